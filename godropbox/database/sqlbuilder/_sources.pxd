# The C face of `_sources`.
cimport cython
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder._base cimport depth_of, operand, write_operand
from godropbox.database.sqlbuilder._columns cimport Column, bound, encoded
from godropbox.database.sqlbuilder._nodes cimport Expression
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._selects cimport Source
from godropbox.database.sqlbuilder._terms cimport Call, Literal


cdef class DeclaredSource(Source):
    cdef tuple _all
    cdef str _ordinality
    cdef public object c


cdef class ValuesTable(DeclaredSource):
    cdef bint _plain
    cdef tuple _rows
    @cython.locals(scope=tuple)
    cdef int _write_source(self, Renderer out) except -1
    @cython.locals(index=Py_ssize_t, column=Column)
    cdef int _write_select(self, Renderer out) except -1
    @cython.locals(text=Text, word=str, row=Py_ssize_t, index=Py_ssize_t)
    cdef int _write_rows(self, Renderer out, Py_ssize_t start) except -1
    @cython.locals(column=Column, kind=str)
    cdef int _write_value(self, Renderer out, Py_ssize_t row, Py_ssize_t index) except -1


cdef class TableFunction(DeclaredSource):
    cdef Call _call
    cdef bint _lateral
    cdef bint _typed
    @cython.locals(scope=tuple)
    cdef int _write_source(self, Renderer out) except -1
    @cython.locals(index=Py_ssize_t, column=Column)
    cdef int _write_definitions(self, Renderer out) except -1


cdef class JsonTable(DeclaredSource):
    cdef object _document
    cdef bint _lateral
    cdef str _path
    cdef tuple _paths
    @cython.locals(text=Text, scope=tuple, index=Py_ssize_t, column=Column)
    cdef int _write_source(self, Renderer out) except -1


@cython.locals(index=Py_ssize_t, column=Column)
cdef int write_names(Renderer out, tuple columns) except -1
cdef str declared_type(Renderer out, Column column)
cdef bint has_expressions(tuple items) except -1
cdef int declare(DeclaredSource node, object name, tuple columns, object ordinality) except -1
@cython.locals(node=TableFunction)
cpdef TableFunction table_function(
    str name, Call call, tuple columns, object ordinality, bint typed
)
@cython.locals(node=ValuesTable, deepest=int)
cdef ValuesTable _values(object name, tuple columns, object rows)
@cython.locals(node=JsonTable, column=Column)
cdef JsonTable _json(
    object name, object document, object path, tuple columns, object paths, object ordinality
)
