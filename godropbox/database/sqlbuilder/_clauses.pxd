# The C face of `_clauses`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._base cimport Node, write_operand
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder.dialects._dialect cimport Dialect

cdef int COMPARE


cdef class Ordering:
    cdef str _nulls
    cdef Node _term
    cdef str _word
    cdef int _write(self, Renderer out) except -1


@cython.locals(direction=Ordering, expression=Node)
cpdef int write_list(Renderer out, tuple terms) except -1
cpdef int write_comment(Renderer out, str comment) except -1
@cython.locals(text=Text, dialect=Dialect)
cpdef int write_limit(Renderer out, long long limit, long long offset) except -1
cpdef tuple ordered(tuple terms)
cpdef tuple expressions(str what, tuple terms)
@cython.locals(node=Ordering)
cpdef tuple unordered(tuple terms)
@cython.locals(node=Ordering, other=Ordering)
cpdef Ordering ordering(object term, str word, str nulls=*)
