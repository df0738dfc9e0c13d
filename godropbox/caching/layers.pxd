# C types of layers.py.

cimport cython

from godropbox.caching.flight cimport SingleFlight


cdef class CacheOnStorage:
    cdef object __weakref__
    cdef object _cache, _doubts, _lock, _options, _storage
    cdef SingleFlight _flight
    cdef object _told
    cdef dict _filling
    cdef bint _stored
    cdef Py_ssize_t _hits, _misses, _cache_failures

    cdef _count(self, Py_ssize_t hits, Py_ssize_t misses)
    cpdef get(self, object key, object default=*)

