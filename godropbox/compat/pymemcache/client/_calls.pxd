# What the compiler is told about _calls.py.

cimport cython

from ...._kernels.lasting cimport gdbx_flag
from ....memcache.fleet.shards cimport Shard
from ....memcache.protocol.base cimport Protocol
from ....memcache.responses cimport GetResponse
from ....memcache.sharded_client cimport ShardedClient
from ._owed cimport Owed


cdef class Calls:
    cdef object __weakref__
    cdef public object allow_unicode_keys, connect_timeout, default_noreply, encoding, ignore_exc
    cdef public object no_delay, serde, server, socket_keepalive, socket_module, timeout
    cdef public object tls_context
    cdef gdbx_flag _by_rows, _proves
    cdef readonly Protocol _protocol
    cdef readonly Shard _shard
    cdef readonly object _max_active, _max_idle_time
    cdef ShardedClient _sharded
    cdef Owed _owed
    cdef object _bare
    cdef readonly object _injected, _latest, _target
    cdef readonly bytes _key_prefix
    cdef dict _asked

    cdef _guarded(self)
    @cython.final
    cdef ShardedClient _opened(self)
    cdef _take_injected(self)
    cdef _note_latest(self, latest)
    cdef tuple _change(self, manager, Protocol protocol, target)
    cdef bint _send(self, asked, bytes request, Py_ssize_t count, Py_ssize_t words) except -1
    cdef _line(self, str verb, key, bytes after, bint noreply, Py_ssize_t words)
    @cython.locals(response=object)
    cdef _store(self, str verb, key, value, expire, noreply, flags, cas)
    cdef bint _store_later(self, str verb, key, bytes data, flags, expire, cas) except -1
    cdef list _store_by_rows(self, str verb, list items, bint noreply)
    @cython.locals(response=GetResponse)
    cpdef get(self, key, default=*)
    @cython.locals(response=GetResponse)
    cpdef gets(self, key, default=*, cas_default=*)
    @cython.locals(response=GetResponse)
    cpdef _values(self, dict found, answers, list lost=*)
    @cython.locals(response=GetResponse)
    cpdef _tokens(self, answers, list lost=*)
    cdef _count(self, str verb, key, value, noreply)
