# The C face of `_columns`, for itself and for the modules compiled beside it.
cimport cython
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int ATOM, VALUE, PREDICATE


cdef class Column(Expression):
    cdef str _bare
    cdef str _owner
    cdef str _quoted
    cdef str _ticked
    cdef readonly bint nullable
    cdef readonly object charset
    cdef readonly object collation
    cdef object _unbound(self)
    cdef int _check_scope(self, Renderer out) except -1


@cython.locals(node=Column)
cpdef Column bound(Column column, str owner)
cpdef int describe(Column column, object charset, object collation) except -1
cpdef int as_condition(Column column) except -1
