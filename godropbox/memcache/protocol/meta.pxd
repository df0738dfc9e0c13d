# What the compiler is told about meta.py.

from .ascii cimport AsciiProtocol


cdef class MetaProtocol(AsciiProtocol):
    pass


cdef bint _may_be_too_large(str verb, list items) except -1
