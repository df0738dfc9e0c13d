# What the compiler is told about sync.py.

cimport cython

from ..resource_pool._simple cimport ManagedHandle, SimpleResourcePool
from .connection cimport Connection
from .fleet.shards cimport Fleet, Shard
from .steps cimport ShardVisit, Visit


@cython.locals(visit=Visit, pool=SimpleResourcePool)
cpdef run(manager, list visits, timeout, began=*)

cdef class ShortWay:
    cdef object _manager, _timeout
    cdef bytes _prefix
    cdef bint _is_own, _repeats
    cdef readonly bint is_open

    @cython.locals(shard=Shard, connection=Connection, handle=ManagedHandle)
    cpdef get(self, key)
    @cython.locals(shard=Shard, connection=Connection, handle=ManagedHandle)
    cpdef write(self, int form, int kinds, bytes verb, key, data, number, expire, cas)
    @cython.locals(fleet=Fleet, shard=Shard, number=Py_ssize_t)
    cdef Shard _serving(self, key)
    @cython.locals(connection=Connection, pool=SimpleResourcePool, handle=ManagedHandle)
    cdef ManagedHandle _idle(self, Shard shard, int kinds)
    cdef _judge(self, Shard shard, key, Connection connection, error)


@cython.locals(visit=Visit, share=ShardVisit, connection=Connection, ready=list, lines=list)
cdef _carry(list visits, timeout, double start, double moment)

cdef ManagedHandle _new(SimpleResourcePool pool, double moment)

cdef _leave(Visit visit, error)

cdef bint _may_wait(Visit visit) except -1

cdef _wait(Visit visit, left)

cdef _renew(list visits, double moment)

@cython.locals(visit=Visit, connection=Connection)
cdef tuple _lines(list visits)

@cython.locals(visit=Visit, share=ShardVisit, parts=list)
cdef list _parts(list visits)

@cython.locals(visit=Visit)
cdef _give_back(list visits)

@cython.locals(connection=Connection)
cdef give_back(ManagedHandle handle, outcome)

cdef _lend(Visit visit, ManagedHandle handle)
