# The C face of `_writes`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport (
    expressions, ordered, write_comment, write_limit, write_list
)
from godropbox.database.sqlbuilder._columns cimport Column, encoded
from godropbox.database.sqlbuilder._nodes cimport Expression, conjunction
from godropbox.database.sqlbuilder._base cimport depth_of, predicate, write_operand
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._queries cimport SelectBase
from godropbox.database.sqlbuilder._selects cimport Source, named, write_with
from godropbox.database.sqlbuilder._statement cimport Statement


cdef class Default(Expression):
    pass


cdef class Write(Statement):
    cdef str _comment
    cdef tuple _returning
    cdef Source _table
    cdef tuple _with
    cdef Write _clone(self)
    @cython.locals(node=Returned)
    cdef Returned _yielded(self)


cdef class Returned(SelectBase):
    cdef Write _source
    @cython.locals(item=Expression)
    cdef tuple _outputs(self)
    @cython.locals(scope=tuple, aliases=tuple, ctes=tuple)
    cdef int _write_query(self, Renderer out) except -1


cdef class Change(Write):
    cdef bint _all
    cdef tuple _conditions
    cdef Source _joined
    cdef long long _limit
    cdef tuple _order
    cdef tuple _others
    cdef Expression _where
    cdef bint _is_joined(self) except -1


cdef class Update(Change):
    cdef tuple _updates
    @cython.locals(node=Update)
    cdef Write _clone(self)
    @cython.locals(text=Text, joined=bint, first=bint)
    cdef int _write_statement(self, Renderer out) except -1


cdef class Delete(Change):
    @cython.locals(node=Delete)
    cdef Write _clone(self)
    @cython.locals(text=Text, joined=bint, several=bint)
    cdef int _write_statement(self, Renderer out) except -1


@cython.locals(node=Default)
cdef Default _new_default()
@cython.locals(node=Update)
cpdef Update new_update(Source table)
@cython.locals(node=Delete)
cpdef Delete new_delete(Source table)
@cython.locals(node=Column)
cpdef Column own_column(Source table, object column)
@cython.locals(column=Column, columns=tuple, index=Py_ssize_t)
cpdef Column find_column(Source table, object key)
@cython.locals(write=Write)
cpdef object readable(object query)
cdef Change as_change(Write node)
cdef int _start(Change node, Source table) except -1
cdef int _share(Change old, Change node) except -1
@cython.locals(node=Update)
cdef Update _updated(Update old)
cdef int _add_sources(Change node, tuple sources) except -1
@cython.locals(index=Py_ssize_t)
cpdef int write_assignments(Renderer out, tuple updates) except -1
cpdef int write_assigned(Renderer out, object value) except -1
@cython.locals(text=Text, every=bint, stars=bint, item=Expression)
cpdef int write_returning(Renderer out, Write write, str word, tuple tables) except -1
@cython.locals(own=tuple)
cdef int _write_own(Renderer out, Expression item, tuple tables) except -1
cdef Expression as_expression(object term)
@cython.locals(index=Py_ssize_t, column=Column)
cdef int _check_targets(Renderer out, Source table, tuple updates) except -1
@cython.locals(source=Source)
cdef int _write_sources(Renderer out, tuple sources) except -1
@cython.locals(index=Py_ssize_t)
cdef Expression _every(tuple conditions, Expression where)
@cython.locals(where=Expression)
cdef int _write_rest(Renderer out, Change change, str word, bint several) except -1
@cython.locals(node=Default)
cdef Default _new_default()
