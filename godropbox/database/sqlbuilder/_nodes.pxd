# The C face of `_nodes`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels cimport sqltext
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._arrays cimport brackets, checked_items, is_array
from godropbox.database.sqlbuilder._base cimport (
    Node, above, always_null, depth_of, never_true, nulls_of, operand, predicate,
    same_width, write_enclosed, write_operand
)
from godropbox.database.sqlbuilder._documents cimport document, step
from godropbox.database.sqlbuilder._lists cimport depth_in, has_nodes, in_words, mixed, write_mixed
from godropbox.database.sqlbuilder._methods cimport Methods
from godropbox.database.sqlbuilder._forms cimport Form, bit_inverted, check_type, negated, refuse_text
from godropbox.database.sqlbuilder._render cimport Renderer, new_renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int LOOSE, TEXT, JSON, COMPARE, BETWEEN, NOT, BITS, ADD, MUL, UNARY, ATOM, VALUE, PREDICATE, UNKNOWN, ODD_VALUE, NULL, NULL_IN_ROW, MAYBE_NULL, MAX_DEPTH


cdef class Expression(Methods):
    pass


cdef class Binary(Expression):
    cdef Expression _left
    cdef object _left_value
    cdef Expression _right
    cdef object _right_value
    cdef str _symbol
    @cython.locals(symbol=str, prec=int, least=int, below=Binary)
    cdef int _write(self, Renderer out) except -1
    cdef int _write_product(self, Renderer out) except -1


cdef class Chain(Expression):
    cdef tuple _before
    cdef Expression _first
    cdef Expression _last
    cdef str _symbol
    @cython.locals(items=list)
    cdef list _earlier(self)
    @cython.locals(text=Text, symbol=str, index=Py_ssize_t, item=Expression, items=list)
    cdef int _write(self, Renderer out) except -1


cdef class In(Expression):
    cdef object _left
    cdef bint _mixed
    cdef object _values
    cdef bint _negated
    cdef bint _ints
    @cython.locals(text=Text, query=Query)
    cdef int _write(self, Renderer out) except -1


@cython.locals(symbol=str, equality=bint, left=int, right=int)
cdef int _settle_null(Binary node, int nulls) except -1
cdef int _write_factor(Renderer out, Expression node, object value, int least) except -1
@cython.locals(node=Binary, depth=int, nulls=int, odd=bint)
cpdef Expression binary(str symbol, object left, object right, int prec)
@cython.locals(symbol=str)
cdef Expression _with_document(Binary node)
@cython.locals(node=Expression)
cdef bint _is_part(object value) except -1
@cython.locals(node=Expression)
cdef object _beside_part(object value)
@cython.locals(node=Chain, chain=Chain)
cdef Expression _chain(str symbol, Expression left, object right)
@cython.locals(
    node=In, taken=tuple, nulls=int, width=Py_ssize_t, plainness=int
)
cdef Expression _membership(Expression left, object values, bint negated)
@cython.locals(out=Renderer)
cdef str _preview(Expression node)
@cython.locals(query=Query, ours=Py_ssize_t, theirs=Py_ssize_t)
cdef int _check_searched(Expression left, object values, bint negated) except -1
@cython.locals(node=Expression)
cdef bint _meets(Expression left, object right) except -1
cpdef Expression chained(str symbol, tuple operands)
cpdef Expression conjunction(Expression left, object right)
cdef int _write_null(Renderer out, str symbol) except -1


cdef class Not(Expression):
    cdef Expression _operand


cdef class Between(Expression):
    cdef object _left
    cdef object _low
    cdef object _high
    cdef bint _negated


@cython.locals(node=Not)
cpdef Expression negation(object value)
@cython.locals(node=Between, nulls=int)
cdef Expression between_node(Expression left, object low, object high, bint negated)


cdef class Grouped(Expression):
    cdef Expression _operand


cdef class Applied(Expression):
    cdef object _detail
    cdef Form _form
    cdef tuple _items


cdef class AnyOf(Expression):
    cdef object _of
    cdef str _word


@cython.locals(node=Grouped)
cdef Grouped _grouped(object operand)
cpdef Expression applied(Form form, tuple items, object detail)
@cython.locals(node=Applied)
cdef Expression _shaped(Form form, tuple items, object detail)
cpdef Expression cast_node(object value, object kind)
cpdef Expression array_node(object values, object kind)
cdef Expression _element(Expression base, object key)
@cython.locals(node=AnyOf, query=Query)
cpdef Expression any_of(str word, object of)
@cython.locals(symbol=str, wanted=AnyOf)
cdef Expression _quantified(Binary node)
cdef object misplaced(Expression node)
