# The C face of `_writes`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport ordered, write_comment, write_limit, write_list
from godropbox.database.sqlbuilder._columns cimport Column
from godropbox.database.sqlbuilder._nodes cimport Expression, conjunction
from godropbox.database.sqlbuilder._base cimport operand, predicate, write_operand
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._selects cimport Source
from godropbox.database.sqlbuilder._statement cimport Query, Statement

cdef int MYSQL, SQLITE, POSTGRESQL


cdef class Insert(Statement):
    cdef tuple _columns
    cdef str _comment
    cdef bint _ignore
    cdef Query _query
    cdef tuple _rows
    cdef Source _table
    cdef tuple _target
    cdef tuple _updates
    cdef str _word
    @cython.locals(node=Insert)
    cdef Insert _copy(self)
    @cython.locals(text=Text)
    cdef int _write_statement(self, Renderer out) except -1


cdef class Change(Statement):
    cdef bint _all
    cdef str _comment
    cdef long long _limit
    cdef tuple _order
    cdef Source _table
    cdef Expression _where
    cdef Change _clone(self)


cdef class Update(Change):
    cdef tuple _updates
    @cython.locals(node=Update)
    cdef Change _clone(self)


cdef class Delete(Change):
    pass


@cython.locals(node=Insert)
cpdef Insert new_insert(Source table, tuple columns, str word)
@cython.locals(node=Update)
cpdef Update new_update(Source table)
@cython.locals(node=Delete)
cpdef Delete new_delete(Source table)
@cython.locals(node=Column)
cpdef Column own_column(Source table, object column)
cdef int _start(Change node, Source table) except -1
cdef int _share(Change old, Change node) except -1
@cython.locals(node=Update)
cdef Update _updated(Update old)
@cython.locals(node=Insert, width=Py_ssize_t, plain=bint, values=tuple)
cdef Insert _with_rows(Insert insert, tuple rows)
cdef bint are_plain(tuple values) except -1
cdef bint has_nodes(tuple values) except -1
cdef int _write_ignore(Renderer out, str word) except -1
cdef int _write_rows(Renderer out, object rows, Py_ssize_t width) except -1
@cython.locals(index=Py_ssize_t)
cdef int _write_row(Renderer out, tuple row) except -1
@cython.locals(index=Py_ssize_t)
cpdef int write_assignments(Renderer out, tuple updates) except -1
cdef int _write_conflict(Renderer out, Insert insert) except -1
cdef int _write_rest(Renderer out, Change change, str word) except -1
