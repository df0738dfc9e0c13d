# The C face of `_tables`.
cimport cython
from godropbox.database.sqlbuilder._columns cimport Column, bound
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._selects cimport Select, Source
from godropbox.database.sqlbuilder._statement cimport Query
from godropbox.database.sqlbuilder._terms cimport star_node
from godropbox.database.sqlbuilder._unions cimport NamedQuery, Union, name_query, new_union
from godropbox.database.sqlbuilder._writes cimport (
    Delete, Insert, Update, new_delete, new_insert, new_update
)


cdef class TableSource(Source):
    cdef str _alias
    cdef tuple _all
    cdef str _hint
    cdef str _quoted
    cdef str _table
    cdef str _ticked


cpdef int fill(TableSource node, str name, object alias, object hint, tuple columns) except -1
cpdef int hint(TableSource node, TableSource table, str text) except -1
