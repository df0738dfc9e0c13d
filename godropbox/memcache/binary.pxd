# What the compiler is told about binary.py.

from .protocol cimport Protocol


cdef class BinaryProtocol(Protocol):
    cdef unsigned int _opaque
