# What the compiler is told about ascii.py.

from .base cimport Protocol


cdef class AsciiProtocol(Protocol):
    cdef dict _plain_probes
