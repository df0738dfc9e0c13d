# What the compiler is told about connection.py.

cimport cython

from .protocol.exchange cimport Exchange
from .protocol.talk cimport Peer, Talk


cdef class Connection(Peer):
    cdef object __weakref__
    cdef object _channel, _line, _lock, _opened, _timeout

    cpdef run(self, Exchange exchange)
    cpdef fetch(self, key, bytes prefix, seconds)
