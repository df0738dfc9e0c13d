# What the compiler is told about base.py.

cimport cython

from .exchange cimport Probe


cdef class Protocol:
    cdef readonly object capabilities
    cdef readonly bint encodes
    cdef public bint is_text
    cdef public Py_ssize_t most_line
    cdef readonly bytes prefix
    cdef readonly object shard_id
    cdef readonly Probe probe, set_probe
    cdef Probe _admin_probe
    cdef dict _probes
    cdef unsigned int _opaque

    @cython.locals(first=cython.uint)
    cdef unsigned int _reserve(self, unsigned int count) noexcept
