# What the compiler is told about base_client.py.

cimport cython

from .codec cimport Codec
from .responses cimport GetResponse, MutateResponse


cdef class BaseClient:
    cdef object __weakref__
    cdef readonly object _leases, _observed, _operations, _options, _owned, _sharded
    cdef readonly object _room
    cdef bytes _prefix
    cdef readonly Py_ssize_t _part_size
    cdef readonly Codec _codec
    cdef readonly bint _forgives, _looks_at_keys, _skips
    cdef bint _is_closed

    @cython.locals(value=bytes)
    cpdef _value(self, key, GetResponse response, default)

    @cython.locals(response=GetResponse, value=bytes, heads=dict)
    cpdef dict _sorted(self, dict answers, dict found, dict errors)
    cpdef _expiry(self, expire)
    @cython.locals(answer=MutateResponse)
    cpdef bint _done(self, response) except -1
