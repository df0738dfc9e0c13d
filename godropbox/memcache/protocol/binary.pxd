# What the compiler is told about binary.py.

cimport cython

from .base cimport Protocol


cdef class BinaryProtocol(Protocol):
    cdef unsigned int _opaque

    @cython.locals(first=cython.uint)
    cdef unsigned int _reserve(self, unsigned int count) noexcept
