# What the compiler is told about _quick.py.

cimport cython

from .connection cimport Connection


@cython.locals(connection=Connection)
cpdef _borrowed(shards, places, sentinel)

@cython.locals(connection=Connection)
cpdef _give_back(list handles)

cpdef _asked_alone(manager, shard, protocol, list keys, Connection connection)
