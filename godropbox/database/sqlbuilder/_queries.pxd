# The C face of `_queries`, for itself and for the modules compiled beside it.
from godropbox.database.sqlbuilder._columns cimport Column
from godropbox.database.sqlbuilder._groups cimport scalar_node
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._statement cimport Query


cdef class SelectBase(Query):
    cdef tuple _outputs(self)
    cdef tuple _list_of_first(self)
    cdef bint _bounded(self) except -1
    cdef bint _has_with(self) except -1
    cdef bint _is_locked(self) except -1


cdef object _combined(str word, SelectBase first, tuple others)
