# What the compiler is told about sharded_client.py.

cimport cython

from .operations cimport Operations
from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange
from .steps cimport OneKey
from .sync cimport ShortWay


cdef class ShardedClient(Operations):
    cdef object __weakref__
    cdef object _manager, _timeout
    cdef Protocol _plain, _reader
    cdef ShortWay _short

    cpdef _one(self, key, Exchange exchange)
    @cython.locals(step=OneKey, goes_on=bint)
    cdef _carried(self, key, Exchange exchange, bint sentinel)
    @cython.locals(step=OneKey, exchange=Exchange, goes_on=bint)
    cdef _read(self, key, began)
    @cython.locals(kinds=int)
    cpdef _store_one(self, str verb, key, data, flags, expire, cas)
    cdef _store_general(self, str verb, key, data, flags, expire, cas)
    cpdef _delete_one(self, key)
    cpdef _touch_one(self, key, expire)
    cpdef _count_one(self, bint down, key, delta)
    cpdef tuple _get_listed(self, list keys)
    cpdef tuple _get_flagged(self, list keys)
    cpdef list _set_listed(self, list keys, list values, list flags, expire)
    cdef _complete(self, step)


cdef _response_of(key, answer)

cdef _unless_done(response)
