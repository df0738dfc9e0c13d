# What the compiler is told about connection.py.

cimport cython

from .protocol.exchange cimport Exchange, Probe


cdef class Connection:
    cdef object __weakref__
    cdef object _channel, _line, _lock, _opened, _pending, _pid, _timeout, _version
    cdef bint _has_begun, _is_closed, _is_mine, _is_proving, _is_valid, _plain
    cdef int _fd, _proven

    cpdef begin(self)
    cpdef end(self)
    @cython.locals(probe=Probe)
    cpdef bint lacks(self, Exchange exchange) except -1
    @cython.locals(probe=Probe)
    cpdef bint may_lack(self, Exchange exchange) except -1
    cpdef _take_turn(self)
    cpdef _see_through(self, Exchange exchange, deadline)
    @cython.locals(hit=tuple)
    cpdef _fetch(self, bytes verb, key, bytes prefix)
