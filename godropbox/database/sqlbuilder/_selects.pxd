# The C face of `_selects`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._base cimport depth_of, predicate
from godropbox.database.sqlbuilder._clauses cimport (
    expressions, ordered, unordered, write_comment, write_limit
)
from godropbox.database.sqlbuilder._columns cimport Column, nullable_copy, output_column
from godropbox.database.sqlbuilder._extras cimport (
    Extras, checked_hint, count_term, depth_of_windows, extended, grouped, named_window, ungrouped,
    write_count, write_group, write_order, write_windows
)
from godropbox.database.sqlbuilder._nodes cimport Expression, conjunction
from godropbox.database.sqlbuilder._queries cimport SelectBase
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int MAX_DEPTH
cdef tuple NOWHERE


cdef class Source:
    cdef int _level
    cdef tuple _names
    cdef int _write_source(self, Renderer out) except -1
    cdef int _write_target(self, Renderer out) except -1
    cdef int _write_definition(self, Renderer out) except -1
    cdef bint _is_recursive(self) except -1
    cdef bint _is_lateral(self) except -1
    cdef tuple _loose(self)
    cdef int _write_deleted(self, Renderer out) except -1
    cdef bint _is_alias(self) except -1
    cdef tuple _columns(self)
    @cython.locals(column=Column)
    cpdef bint _has_column(self, str name) except -1


cdef class Join(Source):
    cdef str _kind
    cdef bint _lateral
    cdef Source _left
    cdef Expression _on
    cdef Source _right
    cdef tuple _using
    @cython.locals(text=Text)
    cdef int _write_source(self, Renderer out) except -1
    @cython.locals(whole=tuple, before=tuple)
    cdef int _write_lateral(self, Renderer out) except -1
    @cython.locals(index=Py_ssize_t)
    cdef int _write_condition(self, Renderer out) except -1


cdef class Select(SelectBase):
    cdef str _comment
    cdef bint _distinct
    cdef Extras _extras
    cdef tuple _group
    cdef Expression _having
    cdef long long _limit
    cdef tuple _list
    cdef int _lock
    cdef long long _offset
    cdef tuple _order
    cdef Source _source
    cdef int _wait
    cdef Expression _where
    cdef tuple _with
    @cython.locals(node=Select)
    cdef Select _copy(self)
    cdef bint _bounded(self) except -1
    cdef bint _reads(self, str name) except -1
    @cython.locals(index=Py_ssize_t, item=Expression)
    cdef Py_ssize_t _width(self) except -2
    @cython.locals(item=Expression, column=Column, loose=tuple)
    cdef tuple _outputs(self)
    @cython.locals(deepest=int, table=Source)
    cdef int _levels(self) except -1
    @cython.locals(text=Text, outer=tuple, aliases=tuple, ctes=tuple, names=tuple, index=Py_ssize_t,
                   item=Expression, source=Source, extras=Extras)
    cdef int _write_query(self, Renderer out) except -1
    cdef int _write_start(self, Renderer out, Extras extras) except -1
    cdef int _write_on(self, Renderer out, Extras extras) except -1
    @cython.locals(text=Text, rolled=bint)
    cdef int _write_groups(self, Renderer out) except -1
    cdef int _check_sides(self, Renderer out, Source source, tuple of) except -1
    cdef int _write_lock(self, Renderer out, Extras extras) except -1


@cython.locals(node=Select)
cpdef Select new_select(Source source, tuple columns)
@cython.locals(source=Source)
cdef tuple _listed(tuple items)
cdef Source _cross(Source left, object right)
@cython.locals(node=Select)
cdef Select _joined(Select select, str kind, object other, object on, object using)
@cython.locals(node=Join, other=Source, lateral=bint)
cdef Join _join(Source left, str kind, object right, object on, object using)
cdef tuple _using(str kind, object on, object using, bint lateral)
@cython.locals(node=Select)
cdef Select _locked(Select select, int lock, object of, bint nowait, bint skip_locked)
@cython.locals(table=Source)
cdef tuple _locked_tables(object of)
@cython.locals(table=Source, recursive=bint, index=Py_ssize_t)
cpdef int write_with(Renderer out, tuple tables) except -1
cpdef tuple named(tuple queries)
