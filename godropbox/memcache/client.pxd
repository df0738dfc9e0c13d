# What the compiler is told about client.py.

cimport cython

from godropbox._kernels cimport lasting

from .base_client cimport BaseClient
from .sharded_client cimport ShardedClient


cdef class Client(BaseClient):
    cdef object _get, _get_multi, _set_multi
    cdef ShardedClient _short

    @cython.locals(data=bytes)
    cdef _stored(self, str verb, key, value, cas, expire)
    cdef _counted(self, str verb, key, delta, initial, expire)
