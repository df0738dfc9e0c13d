# What the compiler is told about connection.py.

cimport cython

from .exchange cimport Exchange


cdef class Connection:
    cdef object __weakref__
    cdef object _channel, _line, _lock, _opened, _pending, _pid, _timeout
    cdef bint _has_begun, _is_closed, _is_mine, _is_valid, _plain
    cdef int _fd

    cpdef begin(self)
    cpdef end(self)
    cpdef _take_turn(self)
    cpdef _see_through(self, Exchange exchange, deadline)
    @cython.locals(hit=tuple)
    cpdef _fetch(self, bytes verb, key, bytes prefix)
