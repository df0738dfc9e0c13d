# What the compiler is told about operations.py.

from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange


cdef class Operations:
    cdef Protocol _protocol

    cpdef _one(self, key, Exchange exchange)
