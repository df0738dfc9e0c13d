# What the compiler is told about meta.py.

cimport cython

from .ascii cimport AsciiProtocol


cdef class MetaProtocol(AsciiProtocol):
    cdef unsigned int _opaque

    @cython.locals(first=cython.uint)
    cdef unsigned int _reserve(self, unsigned int count) noexcept
