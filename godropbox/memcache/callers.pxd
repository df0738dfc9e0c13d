# What the compiler is told about callers.py.

cimport cython

from .fleet.shards cimport Fleet, Shard
from .hub cimport Hub
from .multiplex cimport Call, Link, Links, Operation
from .steps cimport Visit


cdef class Source:
    cdef object _limit, _manager
    cdef bytes _prefix
    cdef object _repeats
    cdef bint _is_plain

    @cython.locals(fleet=Fleet, shard=Shard, number=Py_ssize_t, links=Links, link=Link, hub=Hub,
                   context=tuple)
    cpdef get(self, key)


@cython.locals(visit=Visit, hub=Hub, operation=Operation, call=Call, link=Link, links=Links)
cpdef run(manager, list visits, double deadline)
