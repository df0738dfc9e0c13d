# What the compiler is told about raw.py.


cdef class RawClient:
    cdef object _channel, _lock, _pending, _pid, _protocol, _timeout
    cdef bint _in_c, _is_valid, _plain
