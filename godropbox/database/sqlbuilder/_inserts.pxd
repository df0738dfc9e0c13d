# The C face of `_inserts`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport write_comment, write_list
from godropbox.database.sqlbuilder._columns cimport Column, encoded
from godropbox.database.sqlbuilder._nodes cimport Expression, conjunction
from godropbox.database.sqlbuilder._base cimport operand, predicate
from godropbox.database.sqlbuilder._render cimport Renderer, new_renderer
from godropbox.database.sqlbuilder._selects cimport Source, write_with
from godropbox.database.sqlbuilder._statement cimport Query
from godropbox.database.sqlbuilder._writes cimport (
    Write, find_column, own_column, write_assigned, write_assignments, write_returning
)


cdef class Insert(Write):
    cdef bint _coded
    cdef tuple _columns
    cdef str _constraint
    cdef bint _defaults
    cdef bint _ignore
    cdef Expression _index_where
    cdef bint _nothing
    cdef Query _query
    cdef tuple _rows
    cdef tuple _target
    cdef Expression _update_where
    cdef tuple _updates
    cdef str _word
    @cython.locals(node=Insert)
    cdef Insert _copy(self)
    @cython.locals(text=Text, before=bint)
    cdef int _write_statement(self, Renderer out) except -1
    @cython.locals(text=Text, alias=str)
    cdef int _write_rows_or_query(self, Renderer out, bint before) except -1


@cython.locals(node=Insert)
cpdef Insert new_insert(Source table, tuple columns, str word)
@cython.locals(node=Insert, width=Py_ssize_t, plain=bint, values=tuple)
cdef Insert _with_rows(Insert insert, tuple rows)
cdef int _take_columns(Insert insert, object row) except -1
@cython.locals(column=Column, index=Py_ssize_t)
cdef tuple _in_order(Insert insert, object row)
@cython.locals(index=Py_ssize_t)
cdef tuple _encoded_row(tuple columns, tuple values)
@cython.locals(column=Column, index=Py_ssize_t)
cdef bint _are_coded(tuple columns) except -1
cdef bint _is_row(object value) except -1
cdef bint are_plain(tuple values) except -1
cdef bint has_nodes(tuple values) except -1
cdef int _write_rows(Renderer out, object rows, Py_ssize_t width) except -1
@cython.locals(index=Py_ssize_t)
cdef int _write_row(Renderer out, tuple row) except -1
cdef Expression _target_term(Source table, object term)
@cython.locals(table=Source)
cdef object _aimed(Insert insert, object elements, object where, object constraint)
cdef int _check_replace(Renderer out, Insert insert) except -1
@cython.locals(probe=Renderer, expression=Expression)
cdef bint _proposes(Renderer out, Insert insert) except -1
@cython.locals(query=Query)
cdef int _write_query(Renderer out, Insert insert, str alias) except -1
@cython.locals(query=Query, text=Text, native=bint)
cdef int _write_named_query(Renderer out, Insert insert, str alias) except -1
@cython.locals(column=Column, index=Py_ssize_t)
cdef int _write_names(Renderer out, tuple columns) except -1
cdef str proposed_row(str target)
cdef int _write_conflict(Renderer out, Insert insert) except -1
cdef tuple _no_change(Insert insert)
@cython.locals(text=Text)
cdef int _write_on_conflict(Renderer out, Insert insert) except -1
@cython.locals(doubles=bint, binding=bint)
cdef int _write_literally(Renderer out, Expression condition) except -1
@cython.locals(term=Expression, index=Py_ssize_t)
cdef int _write_target(Renderer out, tuple terms) except -1
