"""Rows of binary logs, compiled: ``csrc/binlog`` for Python. The twin of ``binlog_py``."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ._args import checked_int, shown
from ._binlog import UTF8, member, members, short, too_many, zero_date, zero_datetime

__all__ = ["RowDecoder"]

cdef extern from "binlog.h" nogil:
    enum:
        GDBX_BINLOG_DECIMAL
        GDBX_BINLOG_INDEX
        GDBX_BINLOG_COLUMNS
        GDBX_BINLOG_DECIMAL_TEXT
        GDBX_BINLOG_ABSENT
        GDBX_BINLOG_NULL
        GDBX_BINLOG_SIGNED
        GDBX_BINLOG_UNSIGNED
        GDBX_BINLOG_REAL
        GDBX_BINLOG_SINGLE
        GDBX_BINLOG_BYTES
        GDBX_BINLOG_DAY
        GDBX_BINLOG_MOMENT
        GDBX_BINLOG_EPOCH
        GDBX_BINLOG_SPAN
    ctypedef struct gdbx_binlog_column:
        uint8_t op, a, b, wanted
    ctypedef struct gdbx_binlog_cell:
        uint8_t kind, month, day, hour, minute, second
        uint16_t year
        uint32_t micros
    int gdbx_binlog_is_column(const gdbx_binlog_column *) noexcept
    size_t gdbx_binlog_row(const gdbx_binlog_column *, size_t, const uint8_t *, const uint8_t *,
                           size_t, size_t, gdbx_binlog_cell *) noexcept
    size_t gdbx_binlog_value(const gdbx_binlog_column *, const uint8_t *, size_t, size_t,
                             gdbx_binlog_cell *) noexcept
    size_t gdbx_binlog_decimal(const uint8_t *, unsigned, unsigned, char *) noexcept
    void gdbx_binlog_civil(int64_t, gdbx_binlog_cell *) noexcept

cdef extern from "Python.h":
    tuple PyTuple_New(Py_ssize_t)
    void PyTuple_SET_ITEM(tuple, Py_ssize_t, object)
    object PyLong_FromLongLong(long long)
    object PyLong_FromUnsignedLongLong(unsigned long long)
    object PyFloat_FromDouble(double)
    object PyBytes_FromStringAndSize(const char *, Py_ssize_t)
    str PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *)
    str PyUnicode_FromStringAndSize(const char *, Py_ssize_t)
    double PyOS_string_to_double(const char *, char **, PyObject *) except? -1.0
    char *PyOS_double_to_string(double, char, int, int, int *) except NULL

# Cython's own declarations would import datetime along with this module.
cdef extern from *:
    """
    #include "binlog.h"
    #include "datetime.h"

    typedef struct gdbx_binlog_column gdbx_binlog_column;
    typedef struct gdbx_binlog_cell gdbx_binlog_cell;

    static int gdbx_need_datetime(void)
    {
        if (!PyDateTimeAPI)
            PyDateTime_IMPORT;
        return PyDateTimeAPI ? 0 : -1;
    }

    static PyObject *gdbx_date(int year, int month, int day)
    {
        return PyDate_FromDate(year, month, day);
    }

    static PyObject *gdbx_datetime(const gdbx_binlog_cell *cell, int is_utc)
    {
        return PyDateTimeAPI->DateTime_FromDateAndTime(
            cell->year, cell->month, cell->day, cell->hour, cell->minute, cell->second,
            (int)cell->micros, is_utc ? PyDateTime_TimeZone_UTC : Py_None,
            PyDateTimeAPI->DateTimeType);
    }

    static PyObject *gdbx_delta(long long micros)
    {
        long long seconds = micros / 1000000;
        return PyDelta_FromDSU((int)(seconds / 86400), (int)(seconds % 86400),
                               (int)(micros % 1000000));
    }
    """
    int gdbx_need_datetime() except -1
    object gdbx_date(int, int, int)
    object gdbx_datetime(const gdbx_binlog_cell *, int)
    object gdbx_delta(long long)


cdef extern from *:
    """
    #define gdbx_number(cell) ((cell)->as.number)
    #define gdbx_real(cell) ((cell)->as.real)
    #define gdbx_place(cell) ((cell)->as.bytes.place)
    #define gdbx_size(cell) ((cell)->as.bytes.size)
    """
    int64_t gdbx_number(const gdbx_binlog_cell *) noexcept
    double gdbx_real(const gdbx_binlog_cell *) noexcept
    uint32_t gdbx_place(const gdbx_binlog_cell *) noexcept
    uint32_t gdbx_size(const gdbx_binlog_cell *) noexcept


cdef class RowDecoder:
    """Reads the rows of one table from the bytes of its events.

    `columns` are how each column is read: an operation of ``_binlog``, its two numbers, and what makes the
    value: of a TEXT None, UTF8 or a function of bytes; of an INDEX the names or None. `wanted` says of each column
    whether its values are made, None of all; the others are `absent`, as are columns that an image lacks. Dates that
    are not in the calendar are text if `zero_text`, else None.
    """

    cdef gdbx_binlog_column *_columns
    cdef Py_ssize_t _count
    cdef tuple _extras
    cdef bint _zero_text
    cdef object _absent, _decimal

    def __cinit__(self, columns, wanted, bint zero_text, absent):
        from decimal import Decimal

        cdef Py_ssize_t index
        given = list(columns)
        self._count = len(given)
        if self._count > GDBX_BINLOG_COLUMNS:
            raise ValueError(f"columns must be at most {GDBX_BINLOG_COLUMNS}, got {self._count}")
        flags = [True] * self._count if wanted is None else list(wanted)
        if len(flags) != self._count:
            raise ValueError(f"wanted must have {self._count} values, got {len(flags)}")
        self._columns = <gdbx_binlog_column *>PyMem_Malloc((self._count or 1) * sizeof(gdbx_binlog_column))
        if not self._columns:
            raise MemoryError()
        extras = []
        for index, (op, a, b, extra) in enumerate(given):
            self._columns[index].op = checked_int("op", "[0, 256)", op, 256)
            self._columns[index].a = checked_int("a", "[0, 256)", a, 256)
            self._columns[index].b = checked_int("b", "[0, 256)", b, 256)
            self._columns[index].wanted = 1 if flags[index] else 0
            if not gdbx_binlog_is_column(&self._columns[index]):
                raise ValueError(f"columns[{index}] cannot be read: {(op, a, b)}")
            extras.append(extra)
        self._extras = tuple(extras)
        self._zero_text = zero_text
        self._absent = absent
        self._decimal = Decimal
        gdbx_need_datetime()

    def __dealloc__(self):
        PyMem_Free(self._columns)

    cdef object _made(self, Py_ssize_t index, const uint8_t *data, gdbx_binlog_cell *cell):
        cdef int kind = cell.kind
        cdef const char *start
        cdef char text[GDBX_BINLOG_DECIMAL_TEXT]
        if kind == GDBX_BINLOG_ABSENT:
            return self._absent
        if kind == GDBX_BINLOG_NULL:
            return None
        if kind == GDBX_BINLOG_SIGNED:
            return PyLong_FromLongLong(gdbx_number(cell))
        if kind == GDBX_BINLOG_UNSIGNED:
            if self._columns[index].op == GDBX_BINLOG_INDEX:
                return self._named(index, <uint64_t>gdbx_number(cell))
            return PyLong_FromUnsignedLongLong(<uint64_t>gdbx_number(cell))
        if kind == GDBX_BINLOG_BYTES:
            start = <const char *>data + gdbx_place(cell)
            if self._columns[index].op == GDBX_BINLOG_DECIMAL:
                size = gdbx_binlog_decimal(
                    <const uint8_t *>start, self._columns[index].a, self._columns[index].b, text
                )
                return self._decimal(PyUnicode_FromStringAndSize(text, size))
            extra = self._extras[index]
            if extra is UTF8:
                return PyUnicode_DecodeUTF8(start, gdbx_size(cell), "replace")
            value = PyBytes_FromStringAndSize(start, gdbx_size(cell))
            return value if extra is None else extra(value)
        if kind >= GDBX_BINLOG_MOMENT and cell.micros >= 1000000:
            raise too_many(cell.micros)
        if kind == GDBX_BINLOG_SPAN:
            return gdbx_delta(gdbx_number(cell))
        return self._rarer(index, cell)

    cdef object _named(self, Py_ssize_t index, uint64_t number):
        if self._columns[index].b:
            return members(number, self._extras[index])
        return member(number, self._extras[index])

    cdef object _rarer(self, Py_ssize_t index, gdbx_binlog_cell *cell):
        cdef int kind = cell.kind
        if kind == GDBX_BINLOG_REAL:
            return PyFloat_FromDouble(gdbx_real(cell))
        if kind == GDBX_BINLOG_SINGLE:
            return shortest(gdbx_real(cell))
        if kind == GDBX_BINLOG_EPOCH:
            if gdbx_number(cell) == 0 and cell.micros == 0:
                return zero_datetime(self._zero_text, (0, 0, 0), (0, 0, 0, 0), self._columns[index].a)
            gdbx_binlog_civil(gdbx_number(cell), cell)
            return gdbx_datetime(cell, 1)
        try:
            if kind == GDBX_BINLOG_DAY:
                return gdbx_date(cell.year, cell.month, cell.day)
            return gdbx_datetime(cell, 0)
        except ValueError:
            if kind == GDBX_BINLOG_DAY:
                return zero_date(self._zero_text, cell.year, cell.month, cell.day)
            return zero_datetime(
                self._zero_text,
                (cell.year, cell.month, cell.day),
                (cell.hour, cell.minute, cell.second, cell.micros),
                self._columns[index].a,
            )

    cdef tuple _row(self, bytes data, size_t *at, bytes present, gdbx_binlog_cell *cells):
        cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef size_t n = PyBytes_GET_SIZE(data)
        cdef size_t end = gdbx_binlog_row(
            self._columns, self._count, <const uint8_t *>PyBytes_AS_STRING(present), raw, n, at[0], cells
        )
        cdef Py_ssize_t index
        cdef tuple row
        if end <= at[0]:
            raise short(at[0], n)
        at[0] = end
        row = PyTuple_New(self._count)
        for index in range(self._count):
            value = self._made(index, raw, &cells[index])
            Py_INCREF(value)
            PyTuple_SET_ITEM(row, index, value)
        return row

    cdef size_t _checked(self, bytes data, at, bytes present) except? 0:
        if PyBytes_GET_SIZE(present) < (self._count + 7) >> 3:
            raise ValueError(f"present must have {(self._count + 7) >> 3} bytes, got {len(present)}")
        if PyBytes_GET_SIZE(data) >= 0xFFFFFFFF:
            raise ValueError(f"data must be shorter than 2**32 bytes, got {len(data)}")
        return checked_int("at", "[0, the size of data]", at, PyBytes_GET_SIZE(data) + 1)

    cdef gdbx_binlog_cell *_cells(self) except NULL:
        cdef gdbx_binlog_cell *cells = <gdbx_binlog_cell *>PyMem_Malloc(
            (self._count or 1) * sizeof(gdbx_binlog_cell)
        )
        if not cells:
            raise MemoryError()
        return cells

    def rows(self, bytes data not None, at, bytes present not None):
        """Return the rows from `at` to the end of `data`; `present` has a bit for each column.

        Raise ``ValueError`` for a row that is cut short, and for a value that its column cannot have.
        """
        cdef size_t place = self._checked(data, at, present)
        cdef gdbx_binlog_cell *cells = self._cells()
        cdef list found = []
        try:
            while place < <size_t>PyBytes_GET_SIZE(data):
                found.append(self._row(data, &place, present, cells))
        finally:
            PyMem_Free(cells)
        return found

    def pairs(self, bytes data not None, at, bytes present not None, bytes updated not None):
        """Return the rows of an update, each before and after, as ``rows`` does."""
        cdef size_t place = self._checked(data, at, present)
        cdef gdbx_binlog_cell *cells
        cdef list found = []
        self._checked(data, at, updated)
        cells = self._cells()
        try:
            while place < <size_t>PyBytes_GET_SIZE(data):
                before = self._row(data, &place, present, cells)
                found.append((before, self._row(data, &place, updated, cells)))
        finally:
            PyMem_Free(cells)
        return found

    def row(self, bytes data not None, at, bytes present not None):
        """Return the row at `at`, and where it ends."""
        cdef size_t place = self._checked(data, at, present)
        cdef gdbx_binlog_cell *cells = self._cells()
        try:
            row = self._row(data, &place, present, cells)
        finally:
            PyMem_Free(cells)
        return row, place

    def value(self, index, bytes data not None, at):
        """Return the value of one column at `at`, which is not NULL, and where it ends."""
        cdef gdbx_binlog_cell cell
        cdef Py_ssize_t column = checked_int("index", "[0, the number of columns)", index, self._count)
        cdef size_t place = checked_int("at", "[0, the size of data]", at, PyBytes_GET_SIZE(data) + 1)
        cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef size_t end = gdbx_binlog_value(
            &self._columns[column], raw, PyBytes_GET_SIZE(data), place, &cell
        )
        if not end:
            raise short(place, PyBytes_GET_SIZE(data))
        return self._made(column, raw, &cell), end


cdef object shortest(double value):
    """Return the shortest decimal number of which four bytes are the nearest, as a float."""
    cdef int digits
    cdef double near
    cdef char *text
    for digits in range(6, 9):
        text = PyOS_double_to_string(value, b"g", digits, 0, NULL)
        near = PyOS_string_to_double(text, NULL, NULL)
        PyMem_Free(text)
        if <double><float>near == value:
            return near
    text = PyOS_double_to_string(value, b"g", 9, 0, NULL)
    near = PyOS_string_to_double(text, NULL, NULL)
    PyMem_Free(text)
    return near
