# What the compiler is told about _client.py.

cimport cython

from ...memcache.responses cimport GetResponse, MutateResponse
from ...memcache.sharded_client cimport ShardedClient

cdef unsigned long _PICKLE, _BOOL, _INT, _ZLIB, _TEXT, _TYPES


cdef class client:
    cdef object __weakref__
    cdef object _auth, _held, _servers
    cdef int _pickles
    cdef bint _has_cas, _is_binary, _reads_own, _verifies, _writes_own

    cpdef _adopt(self, client other)
    cdef ShardedClient _engine(self)
    cdef tuple _encoded(self, value)
    cdef _answered(self, str what, key, GetResponse response, default)
    cdef _decoded(self, bytes data, unsigned long flags)
    @cython.locals(response=GetResponse, value=bytes, data=bytes, flags=cython.ulong)
    cdef dict _read_all(self, list names, dict plain, list flagged, dict rest)
    @cython.locals(data=bytes, answers=list)
    cdef _put(self, str verb, key, value, time, least, level)
    @cython.locals(data=list, marks=list, some=bytes)
    cdef list _put_all(self, str verb, keys, time, prefix, least, level)
    cdef _count_one(self, bint down, key, delta)
    cdef _counted(self, bint down, key, delta)


@cython.locals(raw=bytes)
cdef list _prefixed(prefix, list keys)


cdef tuple _dumped(value, protocol)

@cython.locals(kind=cython.ulong)
cdef _loaded(bytes data, unsigned long flags)
