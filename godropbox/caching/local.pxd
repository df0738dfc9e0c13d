# C types of local.py.

cimport cython


cdef class Held:
    cdef object value
    cdef double deadline


cdef class Node:
    cdef object key, value, serial
    cdef Node older, newer

    cdef _begin(self, object key, object value, object serial)


cdef class RecentMap:
    cdef dict _nodes
    cdef object _order, _serials
    cdef Node _ends
    cdef Py_ssize_t _maxsize, _size

    @cython.locals(node=Node)
    cpdef get(self, object key, object default=*)
    @cython.locals(nodes=dict, node=Node, new=Node, oldest=Node)
    cpdef insert(self, object key, object value)
    @cython.locals(oldest=Node)
    cdef _surplus(self)
    cdef _forget(self, Node node)
    cdef _put_back(self, Node node)
    @cython.locals(node=Node)
    cpdef pop(self, object key, object default=*)
    @cython.locals(gone=list)
    cpdef clear(self)
    @cython.locals(ends=Node, newest=Node)
    cdef void _link(self, Node node) noexcept
    @cython.locals(older=Node, newer=Node)
    cdef void _unlink(self, Node node) noexcept
    @cython.locals(node=Node, gone=list)
    cdef list _unlink_all(self)


cdef class LocalStorage:
    cdef object __weakref__
    cdef object _clock, _maxsize, _random
    cdef RecentMap _map
    cdef double _jitter, _ttl
    cdef bint _timed

    @cython.locals(held=Held)
    cpdef get(self, object key, object default=*)
    @cython.locals(held=Held, now=double, found=dict)
    cpdef dict get_multi(self, object keys)
    @cython.locals(life=double)
    cdef _kept(self, object value)
