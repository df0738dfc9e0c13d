# The C face of `_windows`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._base cimport Node, depth_of
from godropbox.database.sqlbuilder._clauses cimport ordered, unordered, write_list
from godropbox.database.sqlbuilder._render cimport Renderer


cdef class Window:
    cdef tuple _bounds
    cdef int _depth
    cdef str _exclude
    cdef str _name
    cdef tuple _order
    cdef tuple _partition
    cdef str _unit
    cdef bint _is_name(self) except -1
    @cython.locals(text=Text)
    cdef int _write(self, Renderer out) except -1


@cython.locals(node=Window)
cpdef Window window_of(
    object name, object partition, object order, object rows, object range_, object groups,
    object exclude
)
cdef tuple _terms(object given)
cdef tuple _frame(str unit, object bounds)
cdef object _bound(str unit, object bound)
@cython.locals(text=Text)
cdef int _write_bound(Renderer out, object bound, str unbounded) except -1
