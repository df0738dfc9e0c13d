# The C face of `_columns`, for itself and for the modules compiled beside it.
cimport cython
from godropbox.database.sqlbuilder._base cimport operand
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int ATOM, TEXT, VALUE, PREDICATE


cdef class Column(Expression):
    cdef str _bare
    cdef bint _odd
    cdef object _codec
    cdef str _owner
    cdef str _quoted
    cdef str _ticked
    cdef readonly bint nullable
    cdef readonly object charset
    cdef readonly object collation
    cdef object _unbound(self)
    cdef int _take_name(self, str name) except -1
    cdef int _check_scope(self, Renderer out) except -1


cdef class StrColumn(Column):
    pass


@cython.locals(node=Column)
cpdef Column bound(Column column, str owner)
cpdef int describe(Column column, object charset, object collation) except -1
cpdef int as_condition(Column column) except -1
@cython.locals(node=Column)
cpdef Column renamed(Column column, str name)
@cython.locals(node=Column)
cpdef Column nullable_copy(Column column)
@cython.locals(node=Column)
cpdef Column output_column(object kind, str name)
cpdef int encoded_by(Column column, object codec) except -1
cpdef object codec_of(Column column)
cpdef object encoded(Column column, object value)
cpdef object compared(Column column, object value)
