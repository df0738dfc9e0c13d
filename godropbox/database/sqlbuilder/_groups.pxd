# The C face of `_groups`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._base cimport (
    above, always_null, depth_of, nulls_of, operand, predicate, write_operand
)
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int LOOSE, ATOM, ODD_VALUE, VALUE, PREDICATE, UNKNOWN, NULL


cdef class Nary(Expression):
    cdef tuple _items
    cdef int _least
    cdef str _symbol
    @cython.locals(text=Text, items=tuple, index=Py_ssize_t)
    cdef int _write(self, Renderer out) except -1
    @cython.locals(node=Expression)
    cdef bint _is_value(self) except -1
    @cython.locals(only=Expression)
    cdef Py_ssize_t _row_width(self) except -2


cdef class Exists(Expression):
    cdef Query _query


cdef class Scalar(Expression):
    cdef Query _query


@cython.locals(node=Nary, only=Expression)
cpdef Expression nary(str symbol, tuple items, int prec)
@cython.locals(node=Exists)
cpdef Expression exists_node(object query)
@cython.locals(node=Scalar)
cpdef Expression scalar_node(Query query)
