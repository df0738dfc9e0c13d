# What the compiler is told about local.py.

cimport cython


cdef class Held:
    cdef object value
    cdef double deadline


cdef class LocalStorage:
    cdef object __weakref__
    cdef object _clock, _engine, _look, _map, _maxsize, _random
    cdef double _jitter, _ttl
    cdef bint _timed

    @cython.locals(held=Held)
    cpdef get(self, object key, object default=*)
    @cython.locals(held=Held, now=double, found=dict)
    cpdef dict get_multi(self, object keys)
    @cython.locals(life=double)
    cdef _kept(self, object value)
