# The C face of `_tables`.
cimport cython
cimport cython
from godropbox.database.sqlbuilder._columns cimport Column, bound
from godropbox.database.sqlbuilder._inserts cimport Insert, new_insert
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._queries cimport SelectBase
from godropbox.database.sqlbuilder._selects cimport Source
from godropbox.database.sqlbuilder._terms cimport star_node
from godropbox.database.sqlbuilder._unions cimport (
    CompoundSelect, NamedQuery, add_step, name_query, new_compound, read_again
)
from godropbox.database.sqlbuilder._writes cimport (
    Delete, Update, Write, new_delete, new_update, readable
)


cdef class TableSource(Source):
    cdef str _alias
    cdef tuple _all
    cdef str _database
    cdef tuple _hints
    cdef bint _odd
    cdef str _quoted
    cdef str _table
    cdef str _ticked
    cdef int _write_name(self, Renderer out) except -1
    @cython.locals(word=str, names=tuple, index=Py_ssize_t)
    cdef int _write_source(self, Renderer out) except -1


cpdef int fill(TableSource node, str name, object alias, tuple columns) except -1
cpdef int place(TableSource node, object database) except -1
cpdef object database_of(TableSource table)
cpdef int hint(TableSource node, str words, tuple indexes) except -1
cpdef int share(TableSource node, TableSource table) except -1
cpdef object state_of(TableSource table)
cpdef int restore(TableSource node, object state) except -1
