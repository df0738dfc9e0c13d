# The C face of `_render`, for the modules compiled beside it.
cimport cython
from godropbox._kernels.sqltext cimport Text

cdef object new_text, sent_value
cdef Py_ssize_t MAX_NAME


@cython.final
@cython.freelist(8)
@cython.no_gc
cdef class Renderer:
    cdef Text text
    cdef int dialect
    cdef int style
    cdef bint plain
    cdef bint doubles
    cdef str prefix
    cdef tuple scope
    cdef tuple aliases
    cdef tuple ctes
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
    cdef int factor(self, object value) except -1
    cdef int bind_to(self, object paramstyle) except -1
    @cython.locals(text=Text, mark=str, index=Py_ssize_t)
    cdef int rows(self, tuple rows, Py_ssize_t width) except -1
    cdef int _bind(self, object value) except -1
    cdef str written(self, str text)
    cdef int column(self, str owner, str ticked, str quoted, str bare) except -1
    @cython.locals(scope=tuple)
    cdef int check_scope(self, str owner, str column) except -1
    cdef int _write_mark(self) except -1
    cdef int slot(self, object slot, bint many) except -1
    @cython.locals(text=Text)
    cdef int name(self, str name) except -1
    @cython.locals(text=Text)
    cdef int table(self, str ticked, str quoted) except -1
    cdef str operator(self, str symbol)
    cdef int need(self, int allowed, str feature) except -1


@cython.locals(out=Renderer, prefix=str)
cpdef Renderer new_renderer(object database, object dialect, object mode)
cpdef str double_text(object value)
