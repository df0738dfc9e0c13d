# What the compiler is told about binary.py.

from .base cimport Protocol


cdef class BinaryProtocol(Protocol):
    cdef unsigned int _opaque
