# The C face of `_statement`, for itself and for the modules compiled beside it.
cimport cython
from godropbox._kernels cimport lasting
from godropbox._kernels.lasting cimport Copies
from godropbox.database.sqlbuilder._prepared cimport Prepared, prepared
from godropbox.database.sqlbuilder._render cimport Renderer, new_renderer


cdef class Statement:
    cdef Copies _copies
    cdef Statement _own(self)
    cdef int _write_statement(self, Renderer out) except -1


cdef class Query(Statement):
    cdef int _write_query(self, Renderer out) except -1
    cdef int _levels(self) except -1
    cdef Py_ssize_t _width(self) except -2
    cdef bint _reads(self, str name) except -1
    cdef object _yields(self)
