"""The C interface of ``sqltext_c`` for the package's compiled modules.

``Text.put`` is ``raw`` without a type check, inlined for short ASCII text, and ``put_char`` that of
one ASCII character. ``Text.keep`` adds a
parameter. ``keep_marked``, ``keep_plain``, ``keep_ints`` and ``keep_rows`` add parameters that
drivers accept unchanged, and append their placeholders. ``kept`` returns the parameters.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

cdef extern from "Python.h":
    Py_ssize_t PyTuple_GET_SIZE(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept
    void *PyUnicode_DATA(object) noexcept
    bint PyUnicode_IS_ASCII(object) noexcept
    # On borrowed references, which Cython would count.
    PyObject *GET_ITEM "PyTuple_GET_ITEM"(object, Py_ssize_t) noexcept
    void INCREF "Py_INCREF"(PyObject *) noexcept
    bint is_bool "PyBool_Check"(PyObject *) noexcept
    bint is_bytes "PyBytes_CheckExact"(PyObject *) noexcept
    bint is_float "PyFloat_CheckExact"(PyObject *) noexcept
    bint is_int "PyLong_CheckExact"(PyObject *) noexcept
    bint is_str "PyUnicode_CheckExact"(PyObject *) noexcept
    bint is_ascii "PyUnicode_IS_ASCII"(PyObject *) noexcept

cdef extern from "sqltext.h":
    void gdbx_sqltext_put(const void *, size_t, void *) noexcept nogil

cdef extern from *:
    """
    /* Return whether an int has at most 63 bits, judged by its size; 0 means no or unknown. */
    static inline int gdbx_is_short(PyObject *value)
    {
    #if defined(PYPY_VERSION)
        return 0;
    #elif PY_VERSION_HEX >= 0x030C0000
        return PyUnstable_Long_IsCompact((PyLongObject *)value);
    #else
        return (size_t)(Py_SIZE(value) + 2) <= 4; /* two digits of 30 bits, and a sign */
    #endif
    }

    /* Return the value of an int that is short. */
    static inline long long gdbx_short_value(PyObject *value)
    {
    #if defined(PYPY_VERSION)
        return PyLong_AsLongLong(value);
    #elif PY_VERSION_HEX >= 0x030C0000
        return PyUnstable_Long_CompactValue((PyLongObject *)value);
    #else
        const digit *digits = ((PyLongObject *)value)->ob_digit;
        switch (Py_SIZE(value)) {
        case 0: return 0;
        case 1: return (long long)digits[0];
        case -1: return -(long long)digits[0];
        case 2: return (long long)digits[1] << PyLong_SHIFT | (long long)digits[0];
        default: return -((long long)digits[1] << PyLong_SHIFT | (long long)digits[0]);
        }
    #endif
    }

    /* Return the characters of a str that is ASCII, where they lie in all of them but a few old
       ones, or NULL. */
    static inline const char *gdbx_ascii(PyObject *text)
    {
    #if defined(PYPY_VERSION)
        return NULL;
    #else
        return PyUnicode_IS_COMPACT_ASCII(text) ? (const char *)((PyASCIIObject *)text + 1) : NULL;
    #endif
    }
    """
    const char *ascii_of "gdbx_ascii"(object) noexcept
    bint is_short "gdbx_is_short"(PyObject *) noexcept
    long long short_value "gdbx_short_value"(PyObject *) noexcept


cdef Text new_text(int style)
cpdef str literal(object value, object style)
cpdef int plainness(tuple values) except -1
cdef bint _is_moment(object value) except -1
cdef bint _is_text(PyObject *value) noexcept


cdef inline bint is_sendable(PyObject *value) noexcept:
    if is_int(value):
        return is_short(value)
    if is_str(value):
        return is_ascii(value) or _is_text(value)
    return value == <PyObject *> None or is_bytes(value) or is_bool(value)


cdef inline bint sendable(object value) noexcept:
    """Return whether drivers accept `value` unchanged; False means no or unknown."""
    return is_sendable(<PyObject *> value)


cdef inline bint has_same(tuple names, str name) noexcept:
    """Return whether `name` is one of `names`, compared by identity."""
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(names)):
        if GET_ITEM(names, i) == <PyObject *> name:
            return True
    return False


cdef inline bint is_word(str name) noexcept:
    """Return whether `name` is an identifier of ASCII letters, digits and underscores."""
    cdef const unsigned char *data = <const unsigned char *> PyUnicode_DATA(name)
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(name)
    cdef Py_ssize_t i
    if not PyUnicode_IS_ASCII(name) or size == 0 or <unsigned int> data[0] - 48 < 10:
        return False
    for i in range(size):
        # Unsigned, so that a lower character becomes a large number; 32 makes a letter lower-case.
        if not (<unsigned int> (data[i] | 32) - 97 < 26 or <unsigned int> data[i] - 48 < 10 or data[i] == c'_'):
            return False
    return True


@cython.final
cdef class Text:
    # Room for `_room` characters of `_kind` bytes each; the first `_used` are the text. `_narrow` is
    # true while the text is ASCII, and `_kind` is then 1.
    cdef char *_data
    cdef Py_ssize_t _used
    cdef Py_ssize_t _room
    cdef unsigned int _kind
    cdef bint _narrow
    cdef int _style
    # `_kept` owned references to parameters, in `_few` or in allocated memory.
    cdef PyObject **_held
    cdef Py_ssize_t _kept
    cdef Py_ssize_t _kept_room
    cdef PyObject *_few[8]
    cdef int _more_values(self) except -1
    cdef tuple kept(self)
    cdef Py_ssize_t keep_plain(self, tuple values, str mark) except -1
    cdef int keep_ints(self, tuple values, str mark) except -1
    cdef bint keep_rows(self, tuple rows, Py_ssize_t width, str mark) except? -1
    cdef int ints(self, tuple values) except -1
    cdef int _reserve(self, Py_ssize_t n, unsigned int kind) except -1
    cdef int _ascii(self, const char *text, Py_ssize_t n) except -1
    cdef int _raw(self, str text) except -1
    cdef int _str(self, str value) except -1
    cdef int _bytes(self, bytes value) except -1
    cdef int _value(self, object value) except -1
    cdef int _list(self, tuple values) except -1
    cdef int _values(self, tuple values, str separator) except -1
    cpdef raw(self, text)
    cpdef literal(self, value)
    cpdef literals(self, values, separator)
    cpdef rows(self, rows, width)
    cpdef str take(self)

    cdef inline int put(self, str text) except -1:
        cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
        cdef const char *data = ascii_of(text)
        if self._kind != 1 or data == NULL or n > self._room - self._used:
            return self._raw(text)
        gdbx_sqltext_put(data, n, self._data + self._used)
        self._used += n
        return 0

    cdef inline int put_char(self, Py_UCS4 char) except -1:
        cdef char one = <char> char
        if self._kind != 1 or self._used == self._room:
            return self._ascii(&one, 1)
        self._data[self._used] = one
        self._used += 1
        return 0

    cdef inline int keep(self, object value) except -1:
        if self._kept == self._kept_room:
            self._more_values()
        Py_INCREF(value)
        self._held[self._kept] = <PyObject *> value
        self._kept += 1
        return 0

    cdef inline bint keep_marked(self, object value, str mark) except? -1:
        cdef const char *data = <const char *> PyUnicode_DATA(mark)
        if not sendable(value):
            return False
        if self._kind != 1 or self._room - self._used < 2:
            self.put(mark)
        else:
            # The second character of a short mark is its NUL, which is not counted.
            self._data[self._used] = data[0]
            self._data[self._used + 1] = data[1]
            self._used += PyUnicode_GET_LENGTH(mark)
        self.keep(value)
        return True

    cdef inline void _marks(self, str mark, Py_ssize_t count) noexcept:
        # Write `mark` `count` times, separated by commas; the room is narrow, four characters each.
        cdef const char *data = <const char *> PyUnicode_DATA(mark)
        cdef Py_ssize_t size = PyUnicode_GET_LENGTH(mark)
        cdef char[4] next_mark = [c',', data[0], data[1], 0]
        cdef char *start = self._data + self._used
        cdef Py_ssize_t step, total, i
        if count:
            # Four characters at a time, which is one store; the next one overwrites the surplus.
            memcpy(start, next_mark + 1, 2)
            self._used += size
        if count > 9:
            # Copy what is written already, twice as much each time.
            step = size + 1
            total = size + (count - 1) * step
            for i in range(1, 9):
                memcpy(start + i * step - 1, next_mark, 4)
            i = 8 * step
            while i < total:
                memcpy(start + i, start, min(i, total - i))
                i += i
            self._used += total - size
            return
        for i in range(count - 1):
            memcpy(self._data + self._used, next_mark, 4)
            self._used += size + 1

    cdef inline Py_ssize_t count(self) noexcept:
        return self._kept
