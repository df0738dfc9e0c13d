"""SQL literals and the text around them, compiled: ``csrc/sqltext`` for Python.

The twin of ``sqltext_py``. Characters are copied between Python's internal forms of a str, never
encoded: the text starts with one byte per character and widens for a wider str.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from ._args import checked_int, shown
from ._sqlvalues import (
    MYSQL,
    MYSQL_PLAIN,
    POSTGRESQL,
    SQLITE,
    bad_character,
    bad_float,
    bad_int,
    binary_parts,
    exact_kind,
    float_text,
    literal_or_plain,
    parameter,
    plain_value,
)

__all__ = [
    "MYSQL",
    "MYSQL_PLAIN",
    "POSTGRESQL",
    "SQLITE",
    "Text",
    "binary_parts",
    "exact_kind",
    "literal",
    "parameter",
    "plain_value",
    "plainness",
]

cdef extern from "Python.h":
    tuple PyTuple_New(Py_ssize_t)
    void Py_DECREF(PyObject *) noexcept
    int PyBool_Check(object) noexcept
    int PyFloat_CheckExact(object) noexcept
    int PyLong_CheckExact(object) noexcept
    int PyUnicode_CheckExact(object) noexcept
    double PyFloat_AS_DOUBLE(object) noexcept
    long PyLong_AsLongAndOverflow(object, int *) except? -1
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object) except? 0xFFFFFFFFFFFFFFFF
    char *PyOS_double_to_string(double, char, int, int, int *) except NULL
    int Py_DTSF_ADD_DOT_0
    unsigned int PyUnicode_KIND(object) noexcept
    Py_UCS4 PyUnicode_READ(unsigned int, void *, Py_ssize_t) noexcept
    Py_UCS4 PyUnicode_MAX_CHAR_VALUE(object) noexcept
    str PyUnicode_New(Py_ssize_t, Py_UCS4)
    str PyUnicode_FromKindAndData(int, const void *, Py_ssize_t)
    Py_ssize_t PY_SSIZE_T_MAX

cdef extern from *:
    """
    #define gdbx_tuple_items(values) (((PyTupleObject *)(values))->ob_item)
    """
    PyObject **tuple_items "gdbx_tuple_items"(object) noexcept

# Cython's own declarations would import datetime along with this module.
cdef extern from *:
    """
    #include "datetime.h"

    static int gdbx_import_datetime(void)
    {
        PyDateTime_IMPORT;
        return PyDateTimeAPI == NULL ? -1 : 0;
    }
    """
    void *PyDateTimeAPI  # NULL until datetime is imported
    int gdbx_import_datetime() except -1
    bint PyDateTime_CheckExact(object) noexcept
    int PyDateTime_GET_YEAR(object) noexcept
    int PyDateTime_GET_MONTH(object) noexcept
    int PyDateTime_GET_DAY(object) noexcept
    int PyDateTime_DATE_GET_HOUR(object) noexcept
    int PyDateTime_DATE_GET_MINUTE(object) noexcept
    int PyDateTime_DATE_GET_SECOND(object) noexcept
    int PyDateTime_DATE_GET_MICROSECOND(object) noexcept
    PyObject *PyDateTime_DATE_GET_TZINFO(object) noexcept  # borrowed

cdef extern from "sqltext.h":
    enum gdbx_sqltext_style:
        GDBX_SQLTEXT_MYSQL
        GDBX_SQLTEXT_MYSQL_PLAIN
        GDBX_SQLTEXT_SQLITE
        GDBX_SQLTEXT_POSTGRESQL
    enum:
        BLOCK "GDBX_SQLTEXT_BLOCK"
    size_t GDBX_SQLTEXT_BOUND(size_t) noexcept nogil
    int GDBX_SQLTEXT_DATETIME
    size_t gdbx_sqltext_quote(
        gdbx_sqltext_style, const void *, unsigned int, size_t, void *, unsigned int, size_t *
    ) noexcept nogil
    void gdbx_sqltext_hex(const uint8_t *, size_t, void *, unsigned int) noexcept nogil
    void gdbx_sqltext_copy(
        const void *, unsigned int, size_t, void *, unsigned int
    ) noexcept nogil
    size_t gdbx_sqltext_decimal(uint64_t, int, char *) noexcept nogil
    void gdbx_sqltext_datetime(
        unsigned int, unsigned int, unsigned int, unsigned int, unsigned int, unsigned int,
        unsigned int, char *
    ) noexcept nogil

cdef enum:
    SMALL = 48  # room for _plain, whose longest text is a PostgreSQL timestamp of 39 characters
    SHORT = 256  # characters up to which a str is quoted on the stack
    INT_ROOM = 21  # characters of a 64-bit int and a comma
    FEW = 8  # parameters kept without allocating
    FIRST_ROOM = 512  # the largest block of Python's small-object allocator


cdef inline int _style(object style) except -1:
    cdef int overflow
    cdef long number
    if PyLong_CheckExact(style):
        number = PyLong_AsLongAndOverflow(style, &overflow)
        if 0 <= number < 4 and not overflow:
            return <int> number
    return checked_int("style", "[0, 4)", style, 4)


cdef Py_ssize_t _int(object value, int style, char *out) except -1:
    cdef int overflow = 0
    cdef long long number
    cdef uint64_t magnitude
    if is_short(<PyObject *> value):
        number = short_value(<PyObject *> value)
    else:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow == 0:
        # Negate as unsigned: -(-2**63) overflows a long long.
        magnitude = <uint64_t> number if number >= 0 else 0 - <uint64_t> number
        return gdbx_sqltext_decimal(magnitude, number < 0, out)
    if overflow < 0 or style == GDBX_SQLTEXT_SQLITE:
        raise bad_int(value, style)
    try:
        magnitude = PyLong_AsUnsignedLongLong(value)
    except OverflowError:
        raise bad_int(value, style) from None
    return gdbx_sqltext_decimal(magnitude, 0, out)


cdef Py_ssize_t _float(double value, object source, int style, char *out) except -1:
    if not isfinite(value):
        raise bad_float(source)
    cdef char *text = PyOS_double_to_string(value, c'r', 0, Py_DTSF_ADD_DOT_0, NULL)
    cdef Py_ssize_t n = 0
    while text[n]:
        out[n] = text[n]
        n += 1
    PyMem_Free(text)
    if style <= GDBX_SQLTEXT_MYSQL_PLAIN:
        if memchr(out, c'e', n) != NULL:
            return 0
        if out[n - 1] == c'0' and out[n - 2] == c'.':
            n -= 2
    return n


cdef Py_ssize_t _plain(object value, int style, char *out) except -1:
    """Write a value whose literal is short; for any other, write nothing and return 0."""
    if PyLong_CheckExact(value):
        return _int(value, style, out)
    if value is None:
        memcpy(out, b"null", 4)
        return 4
    if PyFloat_CheckExact(value):
        return _float(PyFloat_AS_DOUBLE(value), value, style, out)
    if PyBool_Check(value):
        if style != GDBX_SQLTEXT_POSTGRESQL:
            out[0] = c'1' if value is True else c'0'
            return 1
        if value is True:
            memcpy(out, b"TRUE", 4)
            return 4
        memcpy(out, b"FALSE", 5)
        return 5
    if PyDateTimeAPI != NULL and PyDateTime_CheckExact(value) and (
        PyDateTime_DATE_GET_TZINFO(value) == <PyObject *> None
    ):
        gdbx_sqltext_datetime(
            PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value),
            PyDateTime_DATE_GET_HOUR(value), PyDateTime_DATE_GET_MINUTE(value),
            PyDateTime_DATE_GET_SECOND(value), PyDateTime_DATE_GET_MICROSECOND(value), out,
        )
        if style == GDBX_SQLTEXT_POSTGRESQL:
            memcpy(out + GDBX_SQLTEXT_DATETIME, b"::timestamp", 11)
            return GDBX_SQLTEXT_DATETIME + 11
        return GDBX_SQLTEXT_DATETIME
    return 0


cdef str _quoted(str value, int style):
    cdef uint32_t stack[2 * SHORT + 3 + BLOCK]
    cdef size_t n = PyUnicode_GET_LENGTH(value)
    cdef unsigned int kind = PyUnicode_KIND(value)
    cdef size_t bad = 0
    cdef size_t size
    cdef void *out = stack
    cdef str result
    if n > SHORT:
        if n > <size_t> PY_SSIZE_T_MAX // 16:
            raise MemoryError
        out = PyMem_Malloc(GDBX_SQLTEXT_BOUND(n) * kind)
        if out == NULL:
            raise MemoryError
    try:
        size = gdbx_sqltext_quote(
            <gdbx_sqltext_style> style, PyUnicode_DATA(value), kind, n, out, kind, &bad
        )
        if size == 0:
            raise bad_character(value, bad, style)
        result = PyUnicode_New(size, PyUnicode_MAX_CHAR_VALUE(value))
        memcpy(PyUnicode_DATA(result), out, size * kind)
        return result
    finally:
        if out != stack:
            PyMem_Free(out)


cpdef str literal(object value, object style):
    """Return the SQL literal of `value` in a style: MYSQL, MYSQL_PLAIN, SQLITE or POSTGRESQL.

    Raise ``TypeError`` for a type without a literal; ``ValueError`` for a NaN, an infinity, a
    number out of the dialect's range, a lone surrogate, or a NUL in SQLite or PostgreSQL text.
    """
    cdef int style_ = _style(style)
    cdef char small[SMALL]
    cdef Py_ssize_t n
    cdef Text text
    if PyUnicode_CheckExact(value):
        return _quoted(value, style_)
    n = _plain(value, style_, small)
    if n:
        return PyUnicode_FromKindAndData(1, small, n)
    text = new_text(style_)
    text._value(value)
    return text.take()


cpdef int plainness(tuple values) except -1:
    """Return 2 if all `values` are ints in [-2**63, 2**63), 1 if all are plain, 0 otherwise.

    Plain means exactly an int, str, float, bytes, bool or naive datetime.
    """
    cdef PyObject *value
    cdef Py_ssize_t i
    cdef int overflow
    cdef int found = 2
    for i in range(len(values)):
        value = GET_ITEM(values, i)
        if is_int(value):
            if not is_short(value):
                PyLong_AsLongLongAndOverflow(<object> value, &overflow)
                if overflow:
                    found = 1
        elif is_str(value) or is_float(value) or is_bytes(value) or is_bool(value):
            found = 1
        elif _is_moment(<object> value):
            found = 1
        else:
            return 0
    return found


cdef bint _is_moment(object value) except -1:
    """Return whether `value` is exactly a naive datetime."""
    if PyDateTimeAPI == NULL:
        if "datetime" not in sys.modules:
            return False
        gdbx_import_datetime()
    return PyDateTime_CheckExact(value) and (
        PyDateTime_DATE_GET_TZINFO(value) == <PyObject *> None
    )


cdef bint _is_text(PyObject *value) noexcept:
    """Return whether a str has no lone surrogate."""
    cdef void *data = PyUnicode_DATA(<object> value)
    cdef unsigned int kind = PyUnicode_KIND(<object> value)
    cdef Py_ssize_t i
    if kind == 1:
        return True
    for i in range(PyUnicode_GET_LENGTH(<object> value)):
        if 0xD800 <= PyUnicode_READ(kind, data, i) <= 0xDFFF:
            return False
    return True


cdef Text new_text(int style):
    """Return an empty text; `style` is one of the four."""
    cdef Text text = Text.__new__(Text)
    text._style = style
    return text


@cython.final
@cython.freelist(8)
cdef class Text:
    """Growing SQL text: trusted pieces as they are, values as literals of one style.

    Use it from one thread. A call that raises leaves the text unchanged.
    """

    def __cinit__(self):
        self._kind = 1
        self._narrow = True
        self._used = 0
        self._room = FIRST_ROOM
        self._held = self._few
        self._kept = 0
        self._kept_room = FEW
        self._data = <char *> PyMem_Malloc(FIRST_ROOM)
        if self._data == NULL:
            raise MemoryError

    def __init__(self, style):
        self._style = _style(style)

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self._kept):
            Py_DECREF(self._held[i])
        if self._held != self._few:
            PyMem_Free(self._held)
        PyMem_Free(self._data)

    def __len__(self):
        return self._used

    cdef int _more_values(self) except -1:
        cdef Py_ssize_t room = 2 * self._kept_room
        cdef PyObject **values
        if room > PY_SSIZE_T_MAX // <Py_ssize_t> sizeof(PyObject *):
            raise MemoryError
        if self._held == self._few:
            values = <PyObject **> PyMem_Malloc(room * sizeof(PyObject *))
            if values != NULL:
                memcpy(values, self._few, self._kept * sizeof(PyObject *))
        else:
            values = <PyObject **> PyMem_Realloc(self._held, room * sizeof(PyObject *))
        if values == NULL:
            raise MemoryError
        self._held = values
        self._kept_room = room
        return 0

    cdef tuple kept(self):
        """Return the parameters, moving their references, and clear them."""
        cdef tuple values = PyTuple_New(self._kept)
        memcpy(tuple_items(values), self._held, self._kept * sizeof(PyObject *))
        self._kept = 0
        return values

    cdef Py_ssize_t keep_plain(self, tuple values, str mark) except -1:
        """Add the leading `values` that drivers accept unchanged; return how many.

        Append `mark`, the placeholder, for each, separated by commas.
        """
        cdef Py_ssize_t size = len(values)
        cdef Py_ssize_t count = 0
        cdef PyObject *value
        if self._kind != 1:
            return 0  # wide text is written one value at a time
        if 4 * size > self._room - self._used:
            self._reserve(4 * size, 1)
        while self._kept_room - self._kept < size:
            self._more_values()
        while count < size:
            value = GET_ITEM(values, count)
            if not is_sendable(value):
                break
            INCREF(value)
            self._held[self._kept + count] = value
            count += 1
        self._kept += count
        self._marks(mark, count)
        return count

    cdef int keep_ints(self, tuple values, str mark) except -1:
        """Add `values`, whose ``plainness`` is 2, as parameters and append their placeholders."""
        cdef Py_ssize_t size = len(values)
        cdef Py_ssize_t i
        cdef PyObject *value
        cdef PyObject **held
        if 4 * size > self._room - self._used or self._kind != 1:
            self._reserve(4 * size, 1)
        while self._kept_room - self._kept < size:
            self._more_values()
        held = self._held + self._kept
        for i in range(size):
            value = GET_ITEM(values, i)
            INCREF(value)
            held[i] = value
        self._kept += size
        if self._kind == 1:
            self._marks(mark, size)
            return 0
        for i in range(size):
            if i:
                self.put(",")
            self.put(mark)
        return 0

    cdef bint keep_rows(self, tuple rows, Py_ssize_t width, str mark) except? -1:
        """Add rows of `width` values as parameters and append ``(?,?), (?,?)``.

        Return False and add nothing if drivers do not accept one of the values unchanged.
        """
        cdef Py_ssize_t count = len(rows)
        cdef Py_ssize_t before = self._kept
        cdef Py_ssize_t start, size, i
        cdef PyObject *value
        cdef tuple row
        if self._kind != 1 or not count or not width:
            return False
        for row in rows:
            while self._kept_room - self._kept < width:
                self._more_values()
            for i in range(width):
                value = GET_ITEM(row, i)
                if not is_sendable(value):
                    while self._kept > before:
                        self._kept -= 1
                        Py_DECREF(self._held[self._kept])
                    return False
                INCREF(value)
                self._held[self._kept] = value
                self._kept += 1
        self._reserve(count * (4 * width + 4), 1)
        start = self._used
        self._ascii(b"(", 1)
        self._marks(mark, width)
        self._ascii(b"), ", 3)
        size = self._used - start
        for i in range(1, count):
            memcpy(self._data + self._used, self._data + start, size)
            self._used += size
        self._used -= 2
        return True

    cdef int ints(self, tuple values) except -1:
        """Append `values`, whose ``plainness`` is 2, separated by commas."""
        cdef Py_ssize_t size = len(values)
        cdef Py_ssize_t i
        cdef char *out
        if self._kind != 1:
            return self._list(values)
        if INT_ROOM * size > self._room - self._used:
            self._reserve(INT_ROOM * size, 1)
        out = self._data + self._used
        for i in range(size):
            out += _int(<object> GET_ITEM(values, i), GDBX_SQLTEXT_MYSQL, out)
            out[0] = c','
            out += 1
        if size:
            out -= 1
        self._used = out - self._data
        return 0

    cdef int _reserve(self, Py_ssize_t n, unsigned int kind) except -1:
        """Make room for `n` characters of `kind`; pointers into the text become invalid."""
        cdef unsigned int wanted = kind if kind > self._kind else self._kind
        cdef Py_ssize_t room = self._room
        cdef char *data
        if n <= room - self._used and wanted == self._kind:
            return 0
        if n > PY_SSIZE_T_MAX // 16 - self._used:
            raise MemoryError
        if n > room - self._used:
            room = 2 * (self._used + n)
        if wanted == self._kind:
            data = <char *> PyMem_Realloc(self._data, room * wanted)
            if data == NULL:
                raise MemoryError
        else:
            data = <char *> PyMem_Malloc(room * wanted)
            if data == NULL:
                raise MemoryError
            gdbx_sqltext_copy(self._data, self._kind, self._used, data, wanted)
            PyMem_Free(self._data)
        self._data = data
        self._room = room
        self._kind = wanted
        self._narrow = self._narrow and wanted == 1
        return 0

    cdef int _ascii(self, const char *text, Py_ssize_t n) except -1:
        if n > self._room - self._used:
            self._reserve(n, 1)
        if self._kind == 1:
            gdbx_sqltext_put(text, n, self._data + self._used)
        else:
            gdbx_sqltext_copy(text, 1, n, self._data + self._used * self._kind, self._kind)
        self._used += n
        return 0

    cdef int _raw(self, str text) except -1:
        cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
        cdef unsigned int kind = PyUnicode_KIND(text)
        self._reserve(n, kind)
        gdbx_sqltext_copy(
            PyUnicode_DATA(text), kind, n, self._data + self._used * self._kind, self._kind
        )
        self._narrow = self._narrow and PyUnicode_IS_ASCII(text)
        self._used += n
        return 0

    cdef int _str(self, str value) except -1:
        cdef size_t n = PyUnicode_GET_LENGTH(value)
        cdef unsigned int kind = PyUnicode_KIND(value)
        cdef size_t bad = 0
        cdef size_t size
        if n > <size_t> PY_SSIZE_T_MAX // 16:
            raise MemoryError
        if <Py_ssize_t> GDBX_SQLTEXT_BOUND(n) > self._room - self._used or kind != self._kind:
            self._reserve(GDBX_SQLTEXT_BOUND(n), kind)
        size = gdbx_sqltext_quote(
            <gdbx_sqltext_style> self._style, PyUnicode_DATA(value), kind, n,
            self._data + self._used * self._kind, self._kind, &bad,
        )
        if size == 0:
            raise bad_character(value, bad, self._style)
        self._narrow = self._narrow and PyUnicode_IS_ASCII(value)
        self._used += size
        return 0

    cdef int _bytes(self, bytes value) except -1:
        cdef Py_ssize_t n = PyBytes_GET_SIZE(value)
        cdef bint postgresql = self._style == GDBX_SQLTEXT_POSTGRESQL
        if n > PY_SSIZE_T_MAX // 16 - 16:
            raise MemoryError
        self._reserve(2 * n + 16, 1)
        if postgresql:
            self._ascii(b"E'\\\\x", 5)
        else:
            self._ascii(b"X'", 2)
        gdbx_sqltext_hex(
            <const uint8_t *> PyBytes_AS_STRING(value), n,
            self._data + self._used * self._kind, self._kind,
        )
        self._used += 2 * n
        if postgresql:
            return self._ascii(b"'::bytea", 8)
        return self._ascii(b"'", 1)

    cdef int _value(self, object value) except -1:
        cdef char small[SMALL]
        cdef Py_ssize_t n
        if PyUnicode_CheckExact(value):
            return self._str(value)
        if self._kind == 1:
            # Write directly into the text.
            if SMALL > self._room - self._used:
                self._reserve(SMALL, 1)
            n = _plain(value, self._style, self._data + self._used)
            if n:
                self._used += n
                return 0
        else:
            n = _plain(value, self._style, small)
            if n:
                return self._ascii(small, n)
        if PyBytes_CheckExact(value):
            return self._bytes(value)
        if PyFloat_CheckExact(value):
            return self.put(float_text(value, self._style))
        if PyDateTimeAPI == NULL and "datetime" in sys.modules:
            gdbx_import_datetime()  # takes a millisecond, so only when needed
            return self._value(value)
        text, plain = literal_or_plain(value, self._style)
        if text is None:
            return self._value(plain)
        return self.put(text)

    cdef int _list(self, tuple values) except -1:
        """Append the literals of `values`, separated by commas."""
        cdef PyObject *value
        cdef Py_ssize_t i
        for i in range(len(values)):
            # Room for a comma and an int.
            if INT_ROOM + 1 > self._room - self._used:
                self._reserve(INT_ROOM + 1, 1)
            if i:
                if self._kind == 1:
                    self._data[self._used] = c','
                    self._used += 1
                else:
                    self._ascii(b",", 1)
            value = GET_ITEM(values, i)
            if is_int(value) and self._kind == 1:
                self._used += _int(<object> value, self._style, self._data + self._used)
            elif is_str(value):
                self._str(<str> value)
            else:
                self._value(<object> value)
        return 0

    cdef int _values(self, tuple values, str separator) except -1:
        if separator == ",":
            return self._list(values)
        cdef bint first = True
        for value in values:
            if not first:
                self.put(separator)
            first = False
            self._value(value)
        return 0

    cpdef raw(self, text):
        """Append trusted text, a str, without quoting."""
        if type(text) is not str:
            raise TypeError(f"text must be a str, got {shown(text)}")
        self.put(text)

    cpdef literal(self, value):
        """Append the literal of `value`."""
        self._value(value)

    cpdef literals(self, values, separator):
        """Append the literals of `values`, separated by `separator`."""
        cdef Py_ssize_t before = self._used
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"values must be a tuple or a list, got {shown(values)}")
        if type(separator) is not str:
            raise TypeError(f"separator must be a str, got {shown(separator)}")
        try:
            self._values(values if type(values) is tuple else tuple(values), separator)
        except BaseException:
            self._used = before
            raise

    cpdef rows(self, rows, width):
        """Append ``(a,b), (c,d)`` for rows of `width` values, each a tuple or list.

        Raise ``ValueError`` with the index of a row of another length.
        """
        cdef Py_ssize_t before = self._used
        cdef Py_ssize_t index = 0
        cdef Py_ssize_t wanted = checked_int("width", "[0, 2**31)", width, 1 << 31)
        cdef tuple values
        if not isinstance(rows, (tuple, list)):
            raise TypeError(f"rows must be a tuple or a list, got {shown(rows)}")
        try:
            for row in <tuple> (rows if type(rows) is tuple else tuple(rows)):
                if not isinstance(row, (tuple, list)):
                    raise TypeError(f"rows[{index}] must be a tuple or a list, got {shown(row)}")
                values = row if type(row) is tuple else tuple(row)
                if len(values) != wanted:
                    raise ValueError(f"rows[{index}] must have {wanted} values, got {len(values)}")
                if index:
                    self._ascii(b", (", 3)
                else:
                    self._ascii(b"(", 1)
                self._list(values)
                self._ascii(b")", 1)
                index += 1
        except BaseException:
            self._used = before
            raise

    cpdef str take(self):
        """Return the whole text and clear it."""
        cdef str text
        if self._narrow:
            text = PyUnicode_New(self._used, 127)
            memcpy(PyUnicode_DATA(text), self._data, self._used)
        else:
            text = PyUnicode_FromKindAndData(self._kind, self._data, self._used)
        self._used = 0
        self._narrow = self._kind == 1
        return text
