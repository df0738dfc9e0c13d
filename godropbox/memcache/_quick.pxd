# What the compiler is told about _quick.py.

cimport cython

from ..resource_pool._ledger cimport Entry
from ..resource_pool._simple cimport ManagedHandle, SimpleResourcePool
from .fleet.shards cimport Fleet, Shard
from .connection cimport Connection
from .protocol.base cimport Protocol


@cython.locals(fleet=Fleet)
cpdef get_quickly(manager, Protocol protocol, timeout, list keys, sentinel, of_values)

@cython.locals(fleet=Fleet)
cpdef store_quickly(manager, Protocol protocol, timeout, bytes verb, list items)

@cython.locals(fleet=Fleet)
cpdef set_quickly(manager, Protocol protocol, timeout, list keys, list values, flags, expire)

@cython.locals(places=list, handles=list, fds=list, handle=ManagedHandle, connection=Connection,
               lent=Py_ssize_t)
cdef _carried_out(plan, Fleet fleet, timeout, verb, sentinel, plain, int needs)

@cython.locals(entry=Entry, connection=Connection, pool=SimpleResourcePool, shard=Shard)
cdef Connection _lent(Fleet fleet, Py_ssize_t place, ManagedHandle handle, sentinel, int needs)

@cython.locals(entry=Entry, handle=ManagedHandle, connection=Connection, at=Py_ssize_t)
cdef _give_back(list handles, Py_ssize_t lent, list places, failures)
