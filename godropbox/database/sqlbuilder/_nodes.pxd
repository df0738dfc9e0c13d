# The C face of `_nodes`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext_c cimport Text
from godropbox.database.sqlbuilder._render cimport Renderer, new_renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int COMPARE, BITS, ADD, MUL, ATOM, VALUE, PREDICATE, UNKNOWN, MAX_DEPTH


cdef class Expression:
    cdef int _depth
    cdef int _kind
    cdef int _prec
    cdef int _write(self, Renderer out) except -1
    cdef int _write_projection(self, Renderer out) except -1
    cdef bint _is_null(self) except -1
    cdef bint _is_star(self) except -1


cdef class Binary(Expression):
    cdef Expression _left
    cdef object _left_value
    cdef Expression _right
    cdef object _right_value
    cdef str _symbol
    @cython.locals(symbol=str, prec=int, least=int, below=Binary)
    cdef int _write(self, Renderer out) except -1


cdef class Chain(Expression):
    cdef tuple _before
    cdef Expression _first
    cdef Expression _last
    cdef str _symbol
    @cython.locals(text=Text, symbol=str, index=Py_ssize_t, item=Expression)
    cdef int _write(self, Renderer out) except -1


cdef class In(Expression):
    cdef object _left
    cdef bint _negated
    cdef object _values
    @cython.locals(text=Text, query=Query)
    cdef int _write(self, Renderer out) except -1


@cython.locals(node=Binary, depth=int)
cpdef Binary binary(str symbol, object left, object right, int prec)
@cython.locals(node=Chain, chain=Chain)
cdef Expression _chain(str symbol, Expression left, object right)
@cython.locals(node=In)
cdef Expression _membership(Expression left, object values, bint negated)
cpdef object operand(object value)
@cython.locals(node=Expression)
cpdef Expression predicate(str what, object value)
@cython.locals(deepest=int, node=Expression, query=Query)
cpdef int depth_of(tuple items) except -1
@cython.locals(depth=int, node=Expression, query=Query)
cpdef int above(object left, object right) except -1
@cython.locals(node=Expression)
cpdef int write_operand(Renderer out, object value, int least) except -1
@cython.locals(out=Renderer)
cdef str _preview(Expression node)
@cython.locals(node=Expression)
cdef bint _meets(Expression left, object right) except -1
cpdef Expression conjunction(Expression left, object right)
cdef int _write_null(Renderer out, str symbol) except -1
cpdef int write_enclosed(Renderer out, Expression node) except -1
