# What the compiler is told about sharded_client.py.

cimport cython

from .operations cimport Operations
from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange
from .steps cimport OneKey


cdef class ShardedClient(Operations):
    cdef object __weakref__
    cdef object _manager, _timeout
    cdef Protocol _plain
    cdef bint _fetches

    cpdef _one(self, key, Exchange exchange)
    @cython.locals(step=OneKey, goes_on=bint)
    cdef _carried(self, key, Exchange exchange, bint sentinel)
    cpdef tuple _get_listed(self, list keys)
    cpdef list _set_listed(self, list keys, list values, list flags, expire)
    cdef _complete(self, step)
