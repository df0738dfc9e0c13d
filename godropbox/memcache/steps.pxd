# What the compiler is told about steps.py.

cimport cython

from .fleet.shards cimport Fleet, Shard
from .protocol.base cimport Protocol
from .protocol.exchange cimport Exchange
from .protocol.talk cimport Talk


cdef class Visit(Talk):
    cdef readonly Shard shard
    cdef public object handle

    cpdef settle(self, manager)


cdef class OneKey(Visit):
    cdef readonly object answer
    cdef object _key, _manager
    cdef Fleet _fleet
    cdef bint _sentinel
    cdef int _rounds

    @cython.locals(number=Py_ssize_t)
    cpdef bint aim(self) except -1
    cpdef bint take(self) except -1


cdef class ShardVisit(Visit):
    cdef readonly Py_ssize_t number
    cdef readonly list indices, keys
    cdef object _many


cdef class PartVisit(Visit):
    cdef readonly object part
    cdef object _many


cdef class ManyKeys:
    cdef readonly list visits
    cdef object _after, _batch, _manager
    cdef Protocol _protocol
    cdef Fleet _fleet
    cdef list _failed, _keys, _moved
    cdef bint _sentinel
    cdef int _rounds

    cpdef bint take(self) except -1
    cdef _aim(self, batch)
    @cython.locals(visit=PartVisit, shard=Shard)
    cdef _visit_parts(self, batch)
    @cython.locals(visit=ShardVisit)
    cdef _visit_shards(self)
    cdef bint _has_moved(self, Visit visit, list indices)


cdef class Gets(ManyKeys):
    cdef readonly dict answers, found
    cdef bint _bare


cdef class Mutations(ManyKeys):
    cdef readonly list answers
    cdef object _make
    cdef list _things


cdef class Values(Mutations):
    cdef object _expire
    cdef list _flags, _values


@cython.locals(at=Py_ssize_t, number=Py_ssize_t, visit=ShardVisit)
cpdef list divided(list keys, list numbers, Py_ssize_t shards, step)
