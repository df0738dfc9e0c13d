# What the compiler is told about sharded_client.py.

cimport cython

from ._quick cimport get_quickly, set_quickly, store_quickly
from .connection cimport Connection


cdef class ShardedClient:
    cdef object __weakref__
    cdef object _manager, _plain, _prefix, _protocol, _timeout
    cdef bint _is_ascii, _is_text

    @cython.locals(connection=Connection)
    cpdef _fetched(self, key)
    cpdef tuple _get_listed(self, list keys)
    cpdef list _set_listed(self, list keys, list values, list flags, expire)
    cpdef _fetched_over(self, shard, handle, Connection connection, key)
