# What the compiler is told about auto.py.

cimport cython

from .ascii cimport AsciiProtocol
from .exchange cimport Exchange, Probe
from .meta cimport MetaProtocol


cdef class Choice(Probe):
    cdef readonly str needs
    cdef object _plain
    cdef str _verb
    cdef tuple _args

    cdef Choice _set_up(self, Probe probe, AsciiProtocol plain, str verb, tuple args, str needs)


cdef class AutoProtocol(MetaProtocol):
    cdef readonly AsciiProtocol plain

    @cython.locals(choice=Choice)
    cdef Exchange _chosen(self, Exchange exchange, str verb, tuple args, str needs=*)
