# What the compiler is told about ascii.py.

from .protocol cimport Protocol


cdef class AsciiProtocol(Protocol):
    cdef dict _plain_probes
