"""What the compiled modules of the package call of ``sqltext_c`` without going through Python."""

cimport cython


cpdef str literal(object value, object style)


@cython.final
cdef class Text:
    cdef char *_data  # `_room` characters of `_kind` bytes each, of which `_used` are the text
    cdef Py_ssize_t _used
    cdef Py_ssize_t _room
    cdef unsigned int _kind
    cdef int _style
    cdef int _reserve(self, Py_ssize_t n, unsigned int kind) except -1
    cdef int _ascii(self, const char *text, Py_ssize_t n) except -1
    cdef int _raw(self, str text) except -1
    cdef int _str(self, str value) except -1
    cdef int _bytes(self, bytes value) except -1
    cdef int _value(self, object value) except -1
    cdef int _values(self, tuple values, str separator) except -1
    cpdef raw(self, text)
    cpdef literal(self, value)
    cpdef literals(self, values, separator)
    cpdef rows(self, rows, Py_ssize_t width)
    cpdef str take(self)
