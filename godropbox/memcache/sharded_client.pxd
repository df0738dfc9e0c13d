# What the compiler is told about sharded_client.py.

cimport cython

from .connection cimport Connection


cdef class ShardedClient:
    cdef object __weakref__
    cdef object _manager, _prefix, _protocol, _timeout
    cdef bint _is_ascii

    @cython.locals(connection=Connection)
    cpdef _fetched(self, key)
    cpdef _fetched_over(self, shard, handle, Connection connection, key)
