# What the compiler is told about sync.py.

cimport cython

from .connection cimport Connection
from .fleet.shards cimport Fleet, Shard
from .steps cimport OneKey, Visit


@cython.locals(visit=Visit, connection=Connection)
cpdef run(manager, list visits, timeout)

@cython.locals(fleet=Fleet, shard=Shard, connection=Connection, number=Py_ssize_t)
cpdef fetched(manager, bytes prefix, key, timeout)

@cython.locals(visit=Visit)
cdef _carry(list visits, timeout, start)

@cython.locals(visit=Visit)
cdef _renew(list visits, list unfit, start)

@cython.locals(visit=Visit, connection=Connection)
cdef _give_back(list visits)

@cython.locals(connection=Connection)
cpdef bint _lend(Visit visit, handle) except -1
