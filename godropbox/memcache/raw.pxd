# What the compiler is told about raw.py.

from .connection cimport Connection


cdef class RawClient(Connection):
    cdef object _protocol
