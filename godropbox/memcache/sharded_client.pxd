# What the compiler is told about sharded_client.py.


cdef class ShardedClient:
    cdef object __weakref__
    cdef object _manager, _prefix, _protocol, _timeout
    cdef bint _is_ascii
