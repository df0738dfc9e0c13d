# The C face of `_prepared`.
cimport cython
from godropbox._kernels.sqltext_c cimport Text
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._terms cimport Slot

cdef object new_text


cdef class Prepared:
    cdef Py_ssize_t _count
    cdef str _mark
    cdef bint _named
    cdef tuple _params
    cdef tuple _pieces
    cdef tuple _slots
    cdef int _style
    @cython.locals(text=Text, slot=Slot, index=Py_ssize_t)
    cdef str _fill(self, dict values)
    @cython.locals(slot=Slot)
    cdef list _filled(self, dict values)
    @cython.locals(text=Text, slot=Slot, index=Py_ssize_t)
    cdef str _expanded(self, dict values)
    cdef list _all(self)


@cython.locals(node=Prepared)
cpdef Prepared prepared(Renderer out)
@cython.locals(slot=Slot)
cdef Py_ssize_t _count(list slots) except -1
@cython.locals(slot=Slot)
cdef set _names(list slots)
cdef object _value(Slot slot, dict values)
cdef tuple _many(Slot slot, dict values)
cdef int _check(Slot slot, object value) except -1
