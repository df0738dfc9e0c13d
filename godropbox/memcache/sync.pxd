# What the compiler is told about sync.py.

cimport cython

from ..resource_pool._simple cimport ManagedHandle, SimpleResourcePool
from .connection cimport Connection
from .fleet.shards cimport Fleet, Shard
from .steps cimport ShardVisit, Visit


@cython.locals(visit=Visit, pool=SimpleResourcePool)
cpdef run(manager, list visits, timeout)

@cython.locals(fleet=Fleet, shard=Shard, connection=Connection, number=Py_ssize_t,
               pool=SimpleResourcePool, handle=ManagedHandle)
cpdef fetched(manager, bytes prefix, key, timeout)

@cython.locals(visit=Visit, share=ShardVisit, connection=Connection, ready=list, lines=list)
cdef _carry(list visits, timeout, double start, double moment)

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
cdef give_back(ManagedHandle handle)

cdef _lend(Visit visit, ManagedHandle handle)
