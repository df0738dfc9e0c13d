# The C face of `_base`, for itself and for the modules compiled beside it.
cimport cython
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int TEXT, VALUE, PREDICATE, NULL, NULL_IN_ROW, MAYBE_NULL, MAX_DEPTH


cdef class Node:
    cdef int _depth
    cdef int _kind
    cdef int _prec
    cdef int _write(self, Renderer out) except -1
    cdef int _write_projection(self, Renderer out) except -1
    cdef int _write_factor(self, Renderer out) except -1
    cdef int _level(self, Renderer out) except -1
    cdef int _family(self) except -1
    cdef int _nulls(self) except -1
    cdef Py_ssize_t _row_width(self) except -2
    cdef bint _is_star(self) except -1
    cdef object _yields(self)
    cdef object _output(self)
    cdef object _parts(self)
    cdef object _item(self)
    cdef object _listed(self, object values)
    cdef bint _is_value(self) except -1
    cdef bint _is_name(self) except -1


cpdef object operand(object value)
@cython.locals(node=Node)
cpdef Node predicate(str what, object value)
@cython.locals(deepest=int, node=Node, query=Query)
cpdef int depth_of(tuple items) except -1
@cython.locals(depth=int, node=Node, query=Query)
cpdef int above(object left, object right) except -1
@cython.locals(node=Node)
cpdef int nulls_of(object value) except -1
@cython.locals(node=Node)
cpdef int family_of(object value) except -1
@cython.locals(node=Node)
cdef Py_ssize_t width_of(object value) except -2
@cython.locals(ours=Py_ssize_t, theirs=Py_ssize_t)
cpdef int same_width(str what, object left, object right) except -1
cpdef object always_null(str symbol)
cpdef object never_true(str what, int nulls)
@cython.locals(node=Node)
cpdef int write_operand(Renderer out, object value, int least) except -1
cpdef int write_enclosed(Renderer out, Node node, int least) except -1
