# The C face of `_lists`.
cimport cython
from godropbox.database.sqlbuilder._base cimport Node, depth_of, never_true, write_operand
from godropbox.database.sqlbuilder._render cimport Renderer


cpdef bint has_nodes(tuple values) except -1
@cython.locals(node=Node, same=Py_ssize_t)
cpdef tuple mixed(tuple values, Py_ssize_t width, str what)
@cython.locals(depth=int)
cpdef int depth_in(tuple values) except -1
@cython.locals(index=Py_ssize_t)
cpdef int write_mixed(Renderer out, tuple values) except -1
cpdef str in_words(bint negated)
