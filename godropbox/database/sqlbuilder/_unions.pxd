# The C face of `_unions`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport ordered, unordered, write_limit, write_list
from godropbox.database.sqlbuilder._columns cimport Column, bound
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._selects cimport Select, Source, named, output_names, write_with
from godropbox.database.sqlbuilder._statement cimport Query
from godropbox.database.sqlbuilder._groups cimport scalar_node

cdef int SQLITE, MAX_DEPTH


cdef class Union(Query):
    cdef bint _all
    cdef long long _limit
    cdef long long _offset
    cdef tuple _order
    cdef tuple _selects
    cdef tuple _with
    @cython.locals(node=Union)
    cdef Union _copy(self)
    @cython.locals(first=Select)
    cdef Py_ssize_t _width(self) except -2
    @cython.locals(deepest=int, select=Select)
    cdef int _levels(self) except -1
    @cython.locals(text=Text, ctes=tuple, outer=tuple, first=Select)
    cdef int _write_query(self, Renderer out) except -1
    @cython.locals(text=Text, only=Select, select=Select, index=Py_ssize_t)
    cdef int _write_members(self, Renderer out) except -1


cdef class NamedQuery(Source):
    cdef tuple _all
    cdef Query _query
    cdef bint _shared
    cdef int _write_body(self, Renderer out) except -1


@cython.locals(node=Union, select=Select, width=Py_ssize_t, own=Py_ssize_t)
cpdef Union new_union(tuple selects, bint every)
@cython.locals(select=Select, union=Union)
cpdef int name_query(NamedQuery node, str name, object query, bint shared) except -1
