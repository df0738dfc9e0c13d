# What the compiler is told about clients.py.

from .raw cimport RawClient


cdef class RawAsciiClient(RawClient):
    cdef bytes _prefix


cdef class RawBinaryClient(RawClient):
    pass


cdef class RawMetaClient(RawClient):
    cdef object _meta
