# What the compiler is told about client.py.

cimport cython

from .codec cimport Codec
from .responses cimport GetResponse, MutateResponse
from .sharded_client cimport ShardedClient


cdef class BaseClient:
    cdef object __weakref__
    cdef readonly object _leases, _observed, _operations, _options, _owned, _sharded
    cdef object _room
    cdef Codec _codec
    cdef readonly bint _forgives, _looks_at_keys
    cdef bint _is_closed, _skips

    @cython.locals(value=bytes)
    cpdef _value(self, key, GetResponse response, default)

    @cython.locals(response=GetResponse, value=bytes)
    cpdef dict _found(self, dict answers, dict found, asked)
    cpdef _expiry(self, expire)
    @cython.locals(answer=MutateResponse)
    cpdef bint _done(self, response) except -1


cdef class Client(BaseClient):
    cdef object _get, _get_multi, _set_multi
    cdef ShardedClient _short

    @cython.locals(data=bytes)
    cdef _stored(self, str verb, key, value, cas, expire)
    cdef _counted(self, str verb, key, delta, initial, expire)
