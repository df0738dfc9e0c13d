# The C face of `_raw`.
cimport cython
from godropbox.database.sqlbuilder._base cimport Node, depth_of, operand, write_operand
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int LOOSE, ATOM, UNKNOWN


cdef class Raw(Expression):
    cdef bint _hash
    cdef tuple _pieces
    cdef bint _question
    cdef str _special
    cdef tuple _values
    @cython.locals(pieces=tuple, index=Py_ssize_t)
    cdef int _write(self, Renderer out) except -1


@cython.locals(node=Raw)
cpdef Expression raw_node(object text, tuple values)
