# The C face of `_terms`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._columns cimport Column, output_column, renamed
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._prepared cimport Place, new_place
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._base cimport (
    above, depth_of, nulls_of, operand, predicate, write_operand
)
from godropbox.database.sqlbuilder._clauses cimport ordered, unordered, write_list
from godropbox.database.sqlbuilder._statement cimport Query
from godropbox.database.sqlbuilder._windows cimport Window, window_of

cdef int ATOM, TEXT, VALUE, PREDICATE, UNKNOWN, ODD_VALUE, NULL, NULL_IN_ROW, MAYBE_NULL


cdef class Literal(Expression):
    cdef object _value


cdef class Alias(Expression):
    cdef str _name
    cdef object _term
    @cython.locals(alias=Alias)
    cdef int _write(self, Renderer out) except -1
    cdef bint _is_hidden(self, Renderer out) except -1
    @cython.locals(aliases=tuple)
    cdef int _write_term(self, Renderer out) except -1


cdef class Call(Expression):
    cdef tuple _arguments
    cdef bint _distinct
    cdef str _name
    @cython.locals(text=Text)
    cdef int _write(self, Renderer out) except -1


cdef class Aggregate(Call):
    cdef Expression _condition
    cdef tuple _order
    cdef str _separator
    cdef bint _within
    @cython.locals(text=Text, native=bint)
    cdef int _write(self, Renderer out) except -1
    cdef int _need_order(self, Renderer out) except -1
    cdef int _write_separator(self, Renderer out) except -1
    @cython.locals(text=Text, index=Py_ssize_t)
    cdef int _write_cases(self, Renderer out) except -1


cdef class Over(Expression):
    cdef Call _call
    cdef Window _window


cdef class Interval(Expression):
    cdef bint _exact
    cdef object _microseconds
    cdef long _months


cdef class Tuple(Expression):
    cdef tuple _items
    @cython.locals(found=int, nulls=int)
    cdef int _nulls(self) except -1


cdef class Case(Expression):
    cdef object _default
    cdef bint _if
    cdef tuple _pairs


cdef class Values(Expression):
    cdef Column _column


cdef class Word(Call):
    pass


cdef class Star(Expression):
    cdef str _owner


cdef class Slot(Expression):
    cdef Place _place



@cython.locals(index=Py_ssize_t)
cpdef int write_operands(Renderer out, tuple items) except -1
cdef int made(Expression node, int kind, int depth) except -1
@cython.locals(node=Literal)
cpdef Expression literal_node(object value)
@cython.locals(node=Alias)
cpdef Alias alias_node(object name, object term)
@cython.locals(node=Call)
cpdef Call call(object name, tuple arguments, bint distinct)
@cython.locals(node=Expression)
cdef bint _is_star(object value) except -1
@cython.locals(node=Aggregate, known=Aggregate)
cdef Aggregate _aggregate(Call old)
@cython.locals(node=Aggregate)
cpdef Call ordered_call(Call old, tuple order_by)
@cython.locals(node=Aggregate)
cpdef Call string_agg_node(object value, object separator, bint distinct, tuple order_by)
@cython.locals(node=Over)
cpdef Expression over_node(Call function, Window window)
@cython.locals(node=Interval)
cpdef Expression interval_node(object microseconds, bint exact, long months=*)
@cython.locals(node=Tuple)
cpdef Expression tuple_node(tuple items)
@cython.locals(node=Case)
cpdef Expression case_node(tuple pairs, object default, bint short)
@cython.locals(node=Values)
cpdef Expression values_node(object column)
@cython.locals(node=Word)
cpdef Call word_node(str word)
@cython.locals(node=Star)
cpdef Expression star_node(object owner)
@cython.locals(node=Slot)
cpdef Slot slot_node(object name, object kind, bint nullable, bint many)
@cython.locals(node=Expression)
cdef object yields(object value)
