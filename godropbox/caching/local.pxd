# C types of local.py.

cimport cython
from cpython.object cimport PyObject

cdef extern from *:
    """
    /* Cython's own dict.get() borrows the value before it counts the reference, and without an
       interpreter lock another thread may free it in between. */
    static CYTHON_INLINE PyObject *gdbx_look_up(PyObject *nodes, PyObject *key) {
        PyObject *found;
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyDict_GetItemRef(nodes, key, &found) < 0) return NULL;
        if (found) return found;
    #else
        found = PyDict_GetItemWithError(nodes, key);
        if (found) return Py_NewRef(found);
        if (PyErr_Occurred()) return NULL;
    #endif
        return Py_NewRef(Py_None);
    }
    /* What one thread writes in a section and others read outside it, as a hint. */
    #ifdef Py_GIL_DISABLED
    #define gdbx_peek(address) _Py_atomic_load_ssize_relaxed(address)
    #define gdbx_poke(address, value) _Py_atomic_store_ssize_relaxed(address, value)
    typedef PyMutex gdbx_mutex;
    #define gdbx_hold(mutex) PyMutex_Lock(mutex)
    #define gdbx_let_go(mutex) PyMutex_Unlock(mutex)
    #else
    typedef char gdbx_mutex;
    #define gdbx_hold(mutex) ((void) (mutex))
    #define gdbx_let_go(mutex) ((void) (mutex))
    #define gdbx_peek(address) (*(address))
    #define gdbx_poke(address, value) (*(address) = (value))
    #endif
    """
    ctypedef struct gdbx_mutex:
        pass
    void gdbx_hold(gdbx_mutex *) noexcept
    void gdbx_let_go(gdbx_mutex *) noexcept
    object gdbx_look_up(PyObject *nodes, object key)
    Py_ssize_t gdbx_peek(Py_ssize_t *) noexcept
    void gdbx_poke(Py_ssize_t *, Py_ssize_t) noexcept


cdef class Held:
    cdef object value
    cdef double deadline


cdef class Node:
    cdef object key, value, serial
    cdef Node older, newer
    cdef Py_ssize_t linked

    cdef _begin(self, object key, object value, object serial)


cdef class RecentMap:
    cdef dict _nodes
    cdef object _order, _serials
    cdef Node _ends
    cdef Py_ssize_t _links, _maxsize, _size, _young
    cdef gdbx_mutex _mutex  # of C alone

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
    @cython.locals(oldest=Node, gone=list, count=Py_ssize_t)
    cdef list _unlink_all(self)


cdef inline object look_up(RecentMap owner, object key):
    return gdbx_look_up(<PyObject *> owner._nodes, key)


cdef inline void hold(RecentMap owner) noexcept:
    gdbx_hold(&owner._mutex)


cdef inline void let_go(RecentMap owner) noexcept:
    gdbx_let_go(&owner._mutex)


cdef inline Py_ssize_t linked_since(RecentMap owner, Node node) noexcept:
    return gdbx_peek(&owner._links) - gdbx_peek(&node.linked)


cdef inline void count_link(RecentMap owner, Node node) noexcept:
    gdbx_poke(&owner._links, owner._links + 1)
    gdbx_poke(&node.linked, owner._links)


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
