# The C face of `_prepared`.
cimport cython
from godropbox._kernels cimport lasting, sqltext
from godropbox._kernels.lasting cimport Copies
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._render cimport Renderer, double_text

cdef object plain_value, sent_value, ABSENT


cdef class Place:
    cdef bint _counts
    cdef bint _factor
    cdef bint _many
    cdef str _name
    cdef bint _nullable
    cdef bint _plain
    cdef object _type
    @cython.locals(node=Place)
    cpdef Place as_factor(self)
    @cython.locals(node=Place)
    cpdef Place as_count(self)


cdef class Prepared:
    cdef Copies _copies
    cdef Py_ssize_t _count
    cdef str _mark
    cdef bint _named
    cdef tuple _params
    cdef tuple _pieces
    cdef tuple _slots
    cdef int _style
    cdef Prepared _own(self)
    cdef tuple _bound(self, dict values)
    @cython.locals(text=Text, slot=Place, index=Py_ssize_t, many=tuple)
    cdef str _fill(self, dict values)
    @cython.locals(slot=Place, many=tuple)
    cdef list _filled(self, dict values)
    @cython.locals(text=Text, slot=Place, index=Py_ssize_t)
    cdef str _expanded(self, dict values)
    cdef object _sent(self, Place slot, object value)
    cdef list _all(self)


@cython.locals(node=Prepared)
cpdef Prepared prepared(Renderer out)
@cython.locals(slot=Place)
cdef Py_ssize_t _count(list slots) except -1
@cython.locals(slot=Place)
cdef set _names(list slots)
cdef object _value(Place slot, dict values)
@cython.locals(taken=tuple, plain=bint)
cdef tuple _many(Place slot, dict values)
cdef object _plain(Place slot, object value)
cdef int _check(Place slot, object value) except -1
@cython.locals(node=Place)
cpdef Place new_place(str name, object kind, bint nullable, bint many)
