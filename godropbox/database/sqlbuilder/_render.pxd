# The C face of `_render`, for the modules compiled beside it.
cimport cython
from godropbox._kernels cimport sqltext
from godropbox._kernels.sqltext cimport Text
from godropbox.database.sqlbuilder.dialects._dialect cimport Dialect

cdef object sent_value
cdef Dialect DEFAULT
cdef Py_ssize_t MAX_PLAIN


@cython.final
cdef class Renderer:
    cdef Text text
    cdef Dialect dialect
    cdef int style
    cdef bint ticks
    cdef bint like_escape
    cdef bint doubles
    cdef str prefix
    cdef str database
    cdef tuple scope
    cdef tuple aliases
    cdef object source
    cdef int place
    cdef tuple ctes
    cdef str row_alias
    cdef bint proposed
    cdef bint unqualified
    cdef bint binding
    cdef str paramstyle
    cdef str mark
    cdef list slots
    @cython.locals(mark=str)
    cdef int literal(self, object value) except -1
    @cython.locals(text=Text, mark=str, first=Py_ssize_t, index=Py_ssize_t)
    cdef int literals(self, tuple values) except -1
    @cython.locals(text=Text, mark=str)
    cdef int ints(self, tuple values) except -1
    @cython.locals(text=Text)
    cdef int constant(self, str value) except -1
    cdef int factor(self, object value) except -1
    cdef int bind_to(self, object paramstyle) except -1
    @cython.locals(text=Text, mark=str, index=Py_ssize_t)
    cdef int rows(self, tuple rows, Py_ssize_t width) except -1
    cdef int _bind(self, object value) except -1
    cdef str written(self, str text)
    cdef int column(self, str owner, str quoted) except -1
    @cython.locals(scope=tuple)
    cdef int check_scope(self, str owner, str column) except -1
    cdef int _write_mark(self) except -1
    cdef int slot(self, object slot, bint many) except -1
    cdef str readable(self)
    @cython.locals(text=Text, mark=str)
    cdef int name(self, str name) except -1
    @cython.locals(text=Text, prefix=str)
    cdef int table(self, str ticked, str quoted) except -1
    cdef int odd_table(self, str database, str table) except -1
    cdef int odd_column(self, str owner, str bare, str shown) except -1
    cdef str operator(self, str symbol)
    cdef bint can(self, str feature) except -1
    cdef int need(self, str feature) except -1


@cython.locals(out=Renderer, prefix=str, chosen=Dialect, style=int)
cpdef Renderer new_renderer(object database, object dialect, object mode)
cpdef str double_text(object value)
