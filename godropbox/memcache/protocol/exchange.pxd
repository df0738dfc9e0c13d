# What the compiler is told about exchange.py: the fields of the classes that every call makes.


cdef class Probe:
    cdef readonly int kinds
    cdef readonly bytes key, flags


cdef class Exchange:
    cdef public list request
    cdef public object reply
    cdef public Probe probe
    cpdef bint in_step(self) except -1
    cpdef _result(self)


cdef class GetExchange(Exchange):
    cdef public object key, named
    cdef public bytes prefix
    cpdef _result(self)


cdef class MetaGetExchange(GetExchange):
    cdef public object leases


cdef class GetManyExchange(Exchange):
    cdef public dict found
    cdef public list keys
    cdef public bytes prefix
    cdef public dict aliases


cdef class MutateExchange(Exchange):
    cdef public object key


cdef class MutateManyExchange(Exchange):
    cdef public list keys
    cdef public dict faulty


cdef class PartExchange(Exchange):
    cdef public object part

    cdef PartExchange _set_up(self, part, Probe probe)


cdef class CountExchange(Exchange):
    cdef public object key
    cdef public bint in_value


cdef class ResponseExchange(Exchange):
    pass


cdef class VersionExchange(Exchange):
    cdef public object shard_id


cdef class StatsExchange(Exchange):
    cdef public object shard_id
