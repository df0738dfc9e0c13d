# What the compiler is told about exchange.py: the fields of the classes that every call makes.

cimport cython
from libc.stdint cimport uint32_t, uint64_t


cdef class Exchange:
    cdef public list request
    cdef public object reply
    cpdef _result(self)


cdef class GetExchange(Exchange):
    cdef public object key, named
    cdef public bytes prefix
    cpdef _result(self)


cdef class MetaGetExchange(GetExchange):
    pass


cdef class GetManyExchange(Exchange):
    cdef public dict found
    cdef public list keys
    cdef public bytes prefix
    cdef public dict aliases


cdef class ValuesExchange(GetManyExchange):
    pass


cdef class MutateExchange(Exchange):
    cdef public object key


cdef class MutateManyExchange(Exchange):
    cdef public list keys
    cdef public dict faulty


cdef class CountExchange(Exchange):
    cdef public object key
    cdef public bint in_value


cdef class ResponseExchange(Exchange):
    pass


cdef class VersionExchange(Exchange):
    cdef public object shard_id


cdef class StatsExchange(Exchange):
    cdef public object shard_id

@cython.locals(at=Py_ssize_t, rest=dict)
cpdef dict fill_values(dict found, list keys, list values, const uint32_t[::1] flags, const uint64_t[::1] cas)
