# What the compiler is told about binary.py.

from .base cimport Protocol


cdef class BinaryProtocol(Protocol):
    pass
