# What the compiler is told about _quick.py.

cimport cython

from ..resource_pool._ledger cimport Entry
from ..resource_pool._simple cimport ManagedHandle, SimpleResourcePool
from ._fleet cimport Fleet
from .connection cimport Connection


@cython.locals(places=list, handles=list, fds=list, handle=ManagedHandle, connection=Connection,
               lent=Py_ssize_t)
cdef _carried_out(plan, Fleet fleet, timeout, verb, sentinel, plain)

@cython.locals(entry=Entry, connection=Connection, pool=SimpleResourcePool)
cdef Connection _lent(Fleet fleet, Py_ssize_t place, ManagedHandle handle, sentinel)

@cython.locals(entry=Entry, handle=ManagedHandle, connection=Connection, at=Py_ssize_t)
cdef _give_back(list handles, Py_ssize_t lent, list places, failures)
