# The C face of `_selects`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport (
    expressions, ordered, unordered, write_comment, write_limit, write_list
)
from godropbox.database.sqlbuilder._columns cimport Column
from godropbox.database.sqlbuilder._nodes cimport Expression, conjunction
from godropbox.database.sqlbuilder._base cimport depth_of, predicate
from godropbox.database.sqlbuilder._groups cimport scalar_node
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int MYSQL, SQLITE, POSTGRESQL, MAX_DEPTH


cdef class Source:
    cdef int _level
    cdef tuple _names
    cdef int _write_source(self, Renderer out) except -1
    cdef int _write_target(self, Renderer out) except -1
    cdef int _write_definition(self, Renderer out) except -1
    cdef tuple _columns(self)


cdef class Join(Source):
    cdef str _kind
    cdef Source _left
    cdef Expression _on
    cdef Source _right
    cdef tuple _using
    @cython.locals(text=Text, index=Py_ssize_t)
    cdef int _write_source(self, Renderer out) except -1


cdef class Select(Query):
    cdef str _comment
    cdef bint _distinct
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
    @cython.locals(index=Py_ssize_t, item=Expression)
    cdef Py_ssize_t _width(self) except -2
    @cython.locals(deepest=int, table=Source)
    cdef int _levels(self) except -1
    @cython.locals(text=Text, outer=tuple, aliases=tuple, ctes=tuple, names=tuple, index=Py_ssize_t,
                   item=Expression)
    cdef int _write_query(self, Renderer out) except -1


@cython.locals(node=Select)
cpdef Select new_select(Source source, tuple columns)
@cython.locals(node=Join, other=Source)
cdef Join _join(Source left, str kind, object right, object on, object using)
cdef Select _locked(Select select, int lock, bint nowait, bint skip_locked)
cdef int _write_lock(Renderer out, int lock, int wait) except -1
@cython.locals(table=Source)
cpdef int write_with(Renderer out, tuple tables) except -1
cpdef tuple output_names(Select select)
cpdef tuple named(tuple queries)
