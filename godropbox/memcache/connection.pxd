# What the compiler is told about connection.py.

cimport cython

from .._kernels.transport cimport Line
from .protocol.exchange cimport Exchange
from .protocol.talk cimport Peer, Talk


cdef class Connection(Peer):
    cdef object __weakref__
    cdef object _channel, _lock, _opened, _timeout
    cdef Line _line
    cdef bint _is_plain

    cpdef run(self, Exchange exchange)
    cpdef fetch(self, key, bytes prefix, seconds)
    cpdef write(self, int form, bytes verb, key, bytes prefix, data, number, expire, cas)
    cdef _ended(self, error)
