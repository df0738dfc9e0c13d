# The C face of `_groups`.
cimport cython
from godropbox._kernels.sqltext_c cimport Text
from godropbox.database.sqlbuilder._nodes cimport (
    Expression, above, depth_of, operand, predicate, write_operand
)
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int COMPARE, BETWEEN, ATOM, NOT, VALUE, PREDICATE


cdef class Nary(Expression):
    cdef tuple _items
    cdef int _least
    cdef str _symbol
    @cython.locals(text=Text, items=tuple, index=Py_ssize_t)
    cdef int _write(self, Renderer out) except -1


cdef class Not(Expression):
    cdef Expression _operand


cdef class Between(Expression):
    cdef object _left
    cdef object _low
    cdef object _high
    cdef bint _negated


@cython.locals(node=Nary, only=Expression)
cpdef Expression nary(str symbol, tuple items, int prec)
@cython.locals(node=Not)
cpdef Expression negation(object value)
@cython.locals(node=Between)
cpdef Expression between_node(Expression left, object low, object high, bint negated)
