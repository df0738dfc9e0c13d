# What the compiler is told about _errands.py.


cdef class Errand:
    cdef public object handle, outcome, place, shard
    cdef public list places, things
