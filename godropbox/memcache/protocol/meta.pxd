# What the compiler is told about meta.py.

from .ascii cimport AsciiProtocol


cdef class MetaProtocol(AsciiProtocol):
    pass
