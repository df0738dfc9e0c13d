# What the compiler is told about batch_steps.py.

from .steps cimport ManyKeys


cdef class Gets(ManyKeys):
    cdef readonly dict answers, found
    cdef public list flagged
    cdef bint _bare
    cdef object _expire

    cdef _take_answers(self)


cdef class Mutations(ManyKeys):
    cdef readonly list answers
    cdef object _make
    cdef list _things

    cdef _name(self, shard, index, error)
    cdef list _items(self, list indices)


cdef class Values(Mutations):
    cdef object _expire
    cdef list _flags, _values
