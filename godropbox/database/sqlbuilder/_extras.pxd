# The C face of `_extras`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._clauses cimport Ordering
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._terms cimport Alias, Literal, Slot
from godropbox.database.sqlbuilder._windows cimport Window
from godropbox.database.sqlbuilder.dialects._dialect cimport Dialect


cdef class Extras:
    cdef str hint
    cdef Expression limit
    cdef tuple of
    cdef Expression offset
    cdef tuple on
    cdef tuple windows


cdef class Grouping:
    cdef tuple _items
    cdef str _word


@cython.locals(node=Extras)
cpdef Extras extended(Extras extras)
@cython.locals(node=Grouping)
cdef Grouping _grouping(str word, tuple items)
cpdef tuple grouped(tuple terms)
@cython.locals(grouping=Grouping)
cpdef tuple ungrouped(tuple terms)
@cython.locals(rolled=bint, index=Py_ssize_t, grouping=Grouping)
cpdef bint write_group(Renderer out, tuple terms, tuple items) except -1
@cython.locals(first=bint)
cdef int _write_grouping(Renderer out, Grouping grouping, tuple items) except -1
@cython.locals(index=Py_ssize_t)
cdef int _write_set(Renderer out, tuple terms, tuple items) except -1
@cython.locals(alias=Alias, position=Py_ssize_t, node=Expression)
cdef int _write_term(Renderer out, object term, tuple items) except -1
@cython.locals(index=Py_ssize_t, item=Expression, found=Alias)
cdef Py_ssize_t _position(Alias alias, tuple items) except -1
@cython.locals(index=Py_ssize_t, ordering=Ordering, node=Expression, outer=int)
cpdef int write_order(Renderer out, tuple terms) except -1
@cython.locals(slot=Slot, literal=Literal)
cpdef Expression count_term(str what, object value)
@cython.locals(text=Text, dialect=Dialect, limited=bint, moved=bint)
cpdef int write_count(
    Renderer out, long long limit, long long offset, Expression by, Expression after
) except -1
@cython.locals(slot=Slot)
cdef int _write_number(Renderer out, long long number, Expression term) except -1
cpdef str checked_hint(object text)
cpdef tuple named_window(object name, object window, Extras known)
@cython.locals(deepest=int, window=Window)
cpdef int depth_of_windows(Extras extras) except -1
@cython.locals(first=bint, window=Window)
cpdef int write_windows(Renderer out, tuple windows) except -1
