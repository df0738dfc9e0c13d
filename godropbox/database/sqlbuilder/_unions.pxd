# The C face of `_unions`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport ordered, unordered
from godropbox.database.sqlbuilder._columns cimport Column, bound, nullable_copy
from godropbox.database.sqlbuilder._extras cimport count_term, write_count, write_order
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._queries cimport SelectBase
from godropbox.database.sqlbuilder._selects cimport Select, Source, named, write_with

cdef int MAX_DEPTH


cdef class CompoundSelect(SelectBase):
    cdef Expression _after
    cdef Expression _by
    cdef long long _limit
    cdef long long _offset
    cdef tuple _order
    cdef tuple _selects
    cdef tuple _with
    cdef str _word
    @cython.locals(node=CompoundSelect)
    cdef CompoundSelect _copy(self)
    @cython.locals(first=SelectBase)
    cdef Py_ssize_t _width(self) except -2
    @cython.locals(first=SelectBase)
    cdef tuple _list_of_first(self)
    @cython.locals(first=SelectBase, member=SelectBase, column=Column, other=Column)
    cdef tuple _outputs(self)
    @cython.locals(select=SelectBase, index=Py_ssize_t)
    cdef bint _reads(self, str name) except -1
    @cython.locals(deepest=int, select=SelectBase, table=Source)
    cdef int _levels(self) except -1
    @cython.locals(ctes=tuple)
    cdef int _write_query(self, Renderer out) except -1
    @cython.locals(scope=tuple, aliases=tuple, unqualified=bint)
    cdef int _write_order(self, Renderer out) except -1
    @cython.locals(text=Text, only=SelectBase, bounded=bint, unqualified=bint, index=Py_ssize_t)
    cdef int _write_members(self, Renderer out) except -1


@cython.locals(text=Text, parentheses=bint, simple=bint, wrapped=bint)
cdef int write_member(Renderer out, SelectBase member, bint bare) except -1


cdef class NamedQuery(Source):
    cdef tuple _all
    cdef bint _every
    cdef int _kind
    cdef int _materialized
    cdef SelectBase _query
    cdef str _shared
    cdef SelectBase _step
    cdef public object c
    @cython.locals(name=str, scope=tuple)
    cdef int _write_source(self, Renderer out) except -1
    @cython.locals(outer=tuple, aliases=tuple, ctes=tuple)
    cdef int _write_body(self, Renderer out, tuple visible) except -1


cdef tuple output_names(SelectBase query)
@cython.locals(node=CompoundSelect, select=SelectBase, width=Py_ssize_t, own=Py_ssize_t)
cpdef CompoundSelect new_compound(str word, tuple selects)
@cython.locals(limited=bint)
cdef int _check_order(str word, Select select, Py_ssize_t count) except -1
@cython.locals(select=SelectBase, column=Column, outputs=tuple)
cpdef int name_query(
    NamedQuery node, str name, object query, int kind, object materialized
) except -1
@cython.locals(select=SelectBase, width=Py_ssize_t)
cpdef int add_step(NamedQuery node, NamedQuery old, object step, bint every) except -1
cpdef int read_again(NamedQuery node, NamedQuery old, str name) except -1
cdef int _share(NamedQuery node, NamedQuery old) except -1
