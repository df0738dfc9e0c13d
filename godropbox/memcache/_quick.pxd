# What the compiler is told about _quick.py.

cimport cython

from ..resource_pool._ledger cimport Entry
from ..resource_pool._simple cimport ManagedHandle, SimpleResourcePool
from .connection cimport Connection


@cython.locals(pool=SimpleResourcePool, handle=ManagedHandle, connection=Connection)
cdef list _borrowed(fleet, list places, sentinel)

@cython.locals(entry=Entry, connection=Connection)
cdef Connection _lent(ManagedHandle handle)

@cython.locals(handle=ManagedHandle, connection=Connection)
cdef list _begun(list handles)

@cython.locals(handle=ManagedHandle, connection=Connection, at=Py_ssize_t)
cdef _end(list handles, list places, dict failures)

@cython.locals(handle=ManagedHandle, connection=Connection)
cdef _give_back(list handles)

@cython.locals(handle=ManagedHandle, connection=Connection)
cdef _limit(list handles, timeout)
