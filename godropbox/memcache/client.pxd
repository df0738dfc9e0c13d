# What the compiler is told about client.py.

cimport cython

from .codec cimport Codec
from .responses cimport GetResponse
from .sharded_client cimport ShardedClient


cdef class Client:
    cdef object __weakref__
    cdef object _add, _get, _get_multi, _leases, _operations, _options, _owned, _room, _set
    cdef object _set_multi, _observed
    cdef ShardedClient _sharded
    cdef Codec _codec
    cdef bint _forgives, _is_closed, _looks_at_keys, _skips

    @cython.locals(value=bytes)
    cpdef _value(self, key, GetResponse response, default)

    @cython.locals(response=GetResponse, value=bytes)
    cpdef dict _found(self, dict answers, dict found, asked)
    cpdef _expiry(self, expire)
