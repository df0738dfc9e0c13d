# C types of fresh.py.

cimport cython

from godropbox.caching.layers cimport CacheOnStorage


cdef class FreshCacheOnStorage(CacheOnStorage):
    cdef object _freshness
    cdef double _seconds
    cdef Py_ssize_t _refreshes, _refresh_failures

    @cython.locals(left=double, eager=double, size=Py_ssize_t)
    cdef object _judge(self, object held)
    @cython.locals(state=object)
    cpdef get(self, object key, object default=*)
    cdef _renewed(self, Py_ssize_t refreshes, Py_ssize_t failures)
