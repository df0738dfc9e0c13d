# The C face of `_methods`.
cimport cython
from godropbox.database.sqlbuilder._base cimport (
    Node, family_of, never_true, nulls_of, operand, same_width
)
from godropbox.database.sqlbuilder._clauses cimport Ordering, ordering
from godropbox.database.sqlbuilder._documents cimport document, text_of
from godropbox.database.sqlbuilder._forms cimport (
    check_collation, check_type, concatenated, pattern, truth_words
)

cdef int COMPARE, BITS, ADD, MUL, NULL, ARRAY, JSON


cdef class Methods(Node):
    pass


cdef class Operator:
    cdef Node _left
    cdef str _symbol


cdef object _applied(object form, tuple items, object detail)
cdef object _binary(str symbol, Node left, object right)
cdef object _like(Node left, str before, object text, str after)
@cython.locals(nulls=int)
cdef object _ilike(Node left, str symbol, object text)
cdef object _truth(Node condition, object value, str words)
cdef object _text_at(object form, Node part)
@cython.locals(family=int)
cdef object _containing(Node left, object item)
@cython.locals(family=int)
cdef object _contained(Node left, object other)
cdef object _related(str symbol, Node left, object right)
@cython.locals(node=Operator)
cdef Operator _operator(object symbol, Node left)
