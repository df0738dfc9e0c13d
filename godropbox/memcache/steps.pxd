# What the compiler is told about steps.py.

cimport cython

from .fleet.shards cimport Fleet, Shard
from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange, PartExchange, Probe
from .protocol.talk cimport Peer, Talk


cpdef bint takes(Shard shard, bint sentinel) except -1


cdef class Visit(Talk):
    cdef readonly Shard shard
    cdef public object handle
    cdef public bint is_again, is_read

    cpdef bint is_to_repeat(self) except -1
    cpdef repeat(self, list exchanges)
    cpdef bint is_stale(self, double moment) except -1
    cpdef bint is_undone(self, double moment) except -1
    cpdef settle(self, manager)


cdef class OneKey(Visit):
    cdef readonly object answer
    cdef object _key, _manager
    cdef Protocol _reader
    cdef Fleet _fleet
    cdef bint _sentinel
    cdef int _rounds

    cdef bint _set_up(self, manager, key, Exchange exchange, bint sentinel,
                      Protocol reader) except -1
    @cython.locals(number=Py_ssize_t, shard=Shard)
    cpdef bint aim(self) except -1
    cpdef bint take(self) except -1


@cython.locals(step=OneKey)
cpdef tuple one_key(manager, key, Exchange exchange, bint sentinel, Protocol reader)


cdef class ShardVisit(Visit):
    cdef readonly object part
    cdef readonly list indices, keys
    cdef ManyKeys many

    cdef ShardVisit _set_up(self, ManyKeys many, Shard shard, part)
    @cython.locals(exchange=PartExchange)
    cpdef _begin(self)
    @cython.locals(peer=Peer, probe=Probe)
    cdef object _ready_part(self)
    cdef _end_part(self)
    cdef list _own_indices(self)


cdef class ManyKeys:
    cdef readonly list visits
    cdef object _after, _batch, _manager
    cdef Protocol _protocol
    cdef Fleet _fleet
    cdef list _failed, _keys, _moved
    cdef bint _gets, _is_again, _is_read, _sentinel
    cdef int _rounds

    cpdef bint take(self) except -1
    cdef _start(self, manager, Protocol protocol, keys, bint sentinel, int rounds)
    cdef tuple _where(self)
    @cython.locals(visit=ShardVisit, nowhere=ShardVisit, unmapped=ShardVisit, shards=tuple,
                   number=Py_ssize_t)
    cdef _aim(self, batch)
    cdef _visit(self, ShardVisit visit)
    cdef _note(self, list indices, error)
    @cython.locals(visit=ShardVisit)
    cdef _check_open(self)
    @cython.locals(visit=ShardVisit, is_error=bint, cut=list)
    cdef _collect(self)
    cdef _failure(self, key, error)
    @cython.locals(visit=ShardVisit)
    cdef dict _shards(self)
    cdef list _exchanges(self, list keys, list indices, bint whole)
    cdef _probe(self, part)
    cdef _take_batch(self, bint is_partial)
    cdef _put(self, ShardVisit visit)
    cdef _fail(self, index, key, failure)
    cdef _again(self, list keys)
    cdef _merge(self, after)


@cython.locals(at=Py_ssize_t, number=Py_ssize_t, visit=ShardVisit)
cpdef list divided(list keys, list numbers, Py_ssize_t shards, ManyKeys many)
