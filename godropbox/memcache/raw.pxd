# What the compiler is told about raw.py.

from .connection cimport Connection
from .operations cimport Operations
from .protocol.exchange cimport Exchange


cdef class RawClient(Operations):
    cdef object __weakref__
    cdef readonly Connection connection

    cpdef _one(self, key, Exchange exchange)


cdef class RawAsciiClient(RawClient):
    pass


cdef class RawBinaryClient(RawClient):
    pass


cdef class RawMetaClient(RawClient):
    pass
