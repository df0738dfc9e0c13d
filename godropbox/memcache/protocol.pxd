# What the compiler is told about protocol.py.


cdef class Protocol:
    cdef readonly object capabilities
    cdef readonly bint encodes
    cdef readonly bytes prefix
    cdef readonly object shard_id
