# What the compiler is told about steps.py.

cimport cython

from .fleet.shards cimport Fleet, Shard
from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange
from .protocol.talk cimport Talk


cpdef bint takes(Shard shard, bint sentinel) except -1


cdef class Visit(Talk):
    cdef readonly Shard shard
    cdef public object handle

    cpdef bint is_stale(self, double moment) except -1
    cpdef settle(self, manager)


cdef class OneKey(Visit):
    cdef readonly object answer
    cdef object _key, _manager
    cdef Fleet _fleet
    cdef bint _sentinel
    cdef int _rounds

    @cython.locals(number=Py_ssize_t, shard=Shard)
    cpdef bint aim(self) except -1
    cpdef bint take(self) except -1


cdef class ShardVisit(Visit):
    cdef readonly Py_ssize_t number
    cdef readonly list indices, keys
    cdef ManyKeys _many


cdef class PartVisit(Visit):
    cdef readonly object part
    cdef ManyKeys _many


cdef class ManyKeys:
    cdef readonly list visits
    cdef object _after, _batch, _manager
    cdef Protocol _protocol
    cdef Fleet _fleet
    cdef list _failed, _keys, _moved
    cdef bint _sentinel
    cdef int _rounds

    cpdef bint take(self) except -1
    cdef _start(self, manager, Protocol protocol, keys, bint sentinel, int rounds)
    cdef _aim(self, batch)
    @cython.locals(visit=PartVisit, shard=Shard)
    cdef _visit_parts(self, batch)
    @cython.locals(visit=ShardVisit)
    cdef _visit_shards(self)
    cdef bint _has_moved(self, Visit visit, list indices) except -1
    cdef list _exchanges(self, list keys, list indices, bint whole)
    cdef list _part_exchanges(self, part, bint whole)
    cdef _collect(self)
    cdef _fail(self, list indices, error)
    cdef _put(self, visit)
    cdef _again(self, list moved)
    cdef _merge(self, after)


cdef class Gets(ManyKeys):
    cdef readonly dict answers, found
    cdef bint _bare

    @cython.locals(visit=PartVisit)
    cdef _collect_parts(self)
    cdef _split(self, dict answers)


cdef class Mutations(ManyKeys):
    cdef readonly list answers
    cdef object _make
    cdef list _things

    cdef list _items(self, list indices)
    cdef _put_at(self, list indices, list outcome)
    cdef _probe(self, part)
    @cython.locals(visit=PartVisit)
    cdef _collect_parts(self)
    cdef list _listed(self, bytes statuses, dict refusals, bint is_partial)


cdef class Values(Mutations):
    cdef object _expire
    cdef list _flags, _values


@cython.locals(at=Py_ssize_t, number=Py_ssize_t, visit=ShardVisit)
cpdef list divided(list keys, list numbers, Py_ssize_t shards, step)
