"""Rows of binary logs, in pure Python: the twin of ``binlog_c``.

``csrc/binlog.h`` states the layouts. A column is read by a function of the data and a place that
returns the value and the place behind it; what is cut short is seen at the end of a row.
"""

from struct import Struct, error

from . import _binlog as b
from ._args import checked_int
from ._binlog import UTF8, member, members, short, too_many, zero_date, zero_datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Reader = Callable[[bytes, int], tuple[Any, int]]

__all__ = ["RowDecoder"]

_DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_SCALES = (1, 10_000, 10_000, 100, 100, 1, 1)
_INTS = {1: "bB", 2: "hH", 4: "iI", 8: "qQ"}
_SINGLE = Struct("<f")
_NO_SINGLE = 2.0**128 - 2.0**103  # the least that is rounded to an infinite one


class RowDecoder:
    """Reads the rows of one table from the bytes of its events.

    `columns` are how each column is read: an operation of ``_binlog``, its two numbers, and what
    makes the value: of a TEXT None, UTF8 or a function of bytes; of an INDEX the names or None.
    `wanted` says of each column whether its values are made, None of all; the others are `absent`,
    as are columns that an image lacks. Dates that are not in the calendar are text if `zero_text`,
    else None.
    """

    __slots__ = ("_absent", "_count", "_passing", "_readers", "_wanted")

    def __init__(
        self,
        columns: "Sequence[tuple[int, int, int, object]]",
        wanted: "Sequence[bool] | None",
        zero_text: bool,
        absent: object,
    ) -> None:
        given = list(columns)
        self._count = len(given)
        if self._count > 4096:
            raise ValueError(f"columns must be at most 4096, got {self._count}")
        flags = [True] * self._count if wanted is None else list(wanted)
        if len(flags) != self._count:
            raise ValueError(f"wanted must have {self._count} values, got {len(flags)}")
        readers, passing = [], []
        for index, (op, first, second, extra) in enumerate(given):
            op = checked_int("op", "[0, 256)", op, 256)
            first = checked_int("a", "[0, 256)", first, 256)
            second = checked_int("b", "[0, 256)", second, 256)
            if not _is_column(op, first, second):
                raise ValueError(f"columns[{index}] cannot be read: {(op, first, second)}")
            passing.append(_passing(op, first, second))
            if flags[index]:
                readers.append(_reader(op, first, second, extra, zero_text))
            else:
                readers.append(passing[-1])
        self._readers = readers
        self._passing = passing
        self._wanted = [bool(flag) for flag in flags]
        self._absent = absent

    def rows(self, data: bytes, at: int, present: bytes) -> "list[tuple[Any, ...]]":
        """Return the rows from `at` to the end of `data`; `present` has a bit for each column.

        Raise ``ValueError`` for a row that is cut short, and for a value that its column cannot
        have.
        """
        at = self._checked(data, at, present)
        chosen = self._chosen(present)
        found = []
        while at < len(data):
            row, at = self._row(data, at, chosen)
            found.append(row)
        return found

    def pairs(
        self, data: bytes, at: int, present: bytes, updated: bytes
    ) -> "list[tuple[tuple[Any, ...], tuple[Any, ...]]]":
        """Return the rows of an update, each before and after, as ``rows`` does."""
        at = self._checked(data, at, present)
        self._checked(data, at, updated)
        first, second = self._chosen(present), self._chosen(updated)
        found = []
        while at < len(data):
            before, at = self._row(data, at, first)
            after, at = self._row(data, at, second)
            found.append((before, after))
        return found

    def row(self, data: bytes, at: int, present: bytes) -> "tuple[tuple[Any, ...], int]":
        """Return the row at `at`, and where it ends."""
        return self._row(data, self._checked(data, at, present), self._chosen(present))

    def value(self, index: int, data: bytes, at: int) -> "tuple[Any, int]":
        """Return the value of one column at `at`, which is not NULL, and where it ends."""
        index = checked_int("index", "[0, the number of columns)", index, self._count)
        at = checked_int("at", "[0, the size of data]", at, len(data) + 1)
        try:
            value, end = self._readers[index](data, at)
        except (error, IndexError):
            raise short(at, len(data)) from None
        if end > len(data):
            raise short(at, len(data))
        return value if self._wanted[index] else self._absent, end

    def _checked(self, data: bytes, at: int, present: bytes) -> int:
        for name, value in (("data", data), ("present", present)):
            if type(value) is not bytes:
                raise TypeError(f"{name} must be bytes, got {type(value).__name__}")
        if len(present) < (self._count + 7) >> 3:
            raise ValueError(
                f"present must have {(self._count + 7) >> 3} bytes, got {len(present)}"
            )
        return checked_int("at", "[0, the size of data]", at, len(data) + 1)

    def _chosen(self, present: bytes) -> "list[tuple[int, Reader, bool]]":
        return [
            (i, reader, self._wanted[i])
            for i, reader in enumerate(self._readers)
            if present[i >> 3] >> (i & 7) & 1
        ]

    def _row(
        self, data: bytes, at: int, chosen: "list[tuple[int, Reader, bool]]"
    ) -> "tuple[tuple[Any, ...], int]":
        start = at
        at += (len(chosen) + 7) >> 3
        nulls = marks = int.from_bytes(data[start:at], "little")
        values: list[Any] = [self._absent] * self._count
        try:
            for index, reader, wanted in chosen:
                if nulls & 1:
                    if wanted:
                        values[index] = None
                elif wanted:
                    values[index], at = reader(data, at)
                else:
                    _, at = reader(data, at)
                nulls >>= 1
        except (error, IndexError):
            raise short(start, len(data)) from None
        except ValueError:
            # The compiled twin finds the end of a row before it makes a value.
            self._pass(data, start, chosen, marks)
            raise
        if at > len(data) or at == start:
            raise short(start, len(data))
        return tuple(values), at

    def _pass(
        self, data: bytes, start: int, chosen: "list[tuple[int, Reader, bool]]", nulls: int
    ) -> None:
        at = start + ((len(chosen) + 7) >> 3)
        try:
            for index, _, _ in chosen:
                if not nulls & 1:
                    _, at = self._passing[index](data, at)
                nulls >>= 1
        except IndexError:
            at = len(data) + 1
        if at > len(data):
            raise short(start, len(data)) from None


def _is_column(op: int, first: int, second: int) -> bool:
    if op == b.INT:
        return first in (1, 2, 3, 4, 8)
    if op == b.DECIMAL:
        return 1 <= first <= 65 and second <= 30 and second <= first
    if op in (b.TIME2, b.DATETIME2, b.TIMESTAMP2):
        return first <= 6
    if op in (b.BITS, b.INDEX):
        return 1 <= first <= 8
    if op == b.TEXT:
        return 1 <= first <= 4
    return op <= b.TEXT


def _reader(op: int, first: int, second: int, extra: object, zero_text: bool) -> "Reader":
    if op == b.INT:
        return _integer(first, bool(second))
    if op == b.FLOAT:
        return _single
    if op == b.DOUBLE:
        return _struct("<d")
    if op == b.DECIMAL:
        return _decimal(first, second)
    if op == b.BITS:
        return lambda data, at: (int.from_bytes(data[at : at + first], "big"), at + first)
    if op == b.INDEX:
        return _index(first, members if second else member, extra)
    if op == b.TEXT:
        return _text(first, extra)
    return _time(op, first, zero_text)


_SIZES = {
    b.FLOAT: 4,
    b.DOUBLE: 8,
    b.YEAR: 1,
    b.DATE: 3,
    b.TIME: 3,
    b.DATETIME: 8,
    b.TIMESTAMP: 4,
    b.TIME2: 3,
    b.DATETIME2: 5,
    b.TIMESTAMP2: 4,
}


def _decimal_groups(precision: int, scale: int) -> list[int]:
    """Return how many digits of a DECIMAL each of its groups of bytes has."""
    whole = precision - scale
    groups = (whole % 9, *[9] * (whole // 9), *[9] * (scale // 9), scale % 9)
    return [digits for digits in groups if digits]


def _passing(op: int, first: int, second: int) -> "Reader":
    """Return a reader that passes over a value."""
    if op == b.TEXT:
        return _text(first, None)
    if op in (b.INT, b.BITS, b.INDEX):
        size = first
    elif op == b.DECIMAL:
        size = sum(_DIGIT_BYTES[digits] for digits in _decimal_groups(first, second))
    else:
        size = _SIZES[op] + ((first + 1) >> 1 if op >= b.TIME2 else 0)
    return lambda data, at: (None, at + size)


def _struct(form: str) -> "Reader":
    packed = Struct(form)
    unpack, size = packed.unpack_from, packed.size
    return lambda data, at: (unpack(data, at)[0], at + size)


def _integer(size: int, unsigned: bool) -> "Reader":
    if size == 3:
        return lambda data, at: (
            int.from_bytes(data[at : at + 3], "little", signed=not unsigned),
            at + 3,
        )
    return _struct("<" + _INTS[size][unsigned])


def _single(data: bytes, at: int) -> "tuple[float, int]":
    """Return the shortest decimal number of which four bytes are the nearest, as a float."""
    value: float = _SINGLE.unpack_from(data, at)[0]
    for digits in range(6, 9):
        near = float(f"{value:.{digits}g}")
        if abs(near) < _NO_SINGLE and _SINGLE.unpack(_SINGLE.pack(near))[0] == value:
            return near, at + 4
    return float(f"{value:.9g}"), at + 4


def _index(size: int, name: "Callable[[int, Any], object]", names: "Any") -> "Reader":
    def read(data: bytes, at: int) -> "tuple[Any, int]":
        if at + size > len(data):
            raise IndexError
        return name(int.from_bytes(data[at : at + size], "little"), names), at + size

    return read


def _text(width: int, make: "Any") -> "Reader":
    """Return a reader of a length of `width` bytes and so many bytes."""

    def text(data: bytes, at: int) -> "tuple[Any, int]":
        start = at + width
        end = start + int.from_bytes(data[at:start], "little")
        if end > len(data) or start > len(data):
            raise IndexError
        raw = data[start:end]
        return raw if make is None else make(raw), end

    if make is not UTF8:
        return text

    def utf8(data: bytes, at: int) -> "tuple[str, int]":
        start = at + width
        end = start + int.from_bytes(data[at:start], "little")
        if end > len(data) or start > len(data):
            raise IndexError
        return data[start:end].decode("utf-8", "replace"), end

    return utf8


def _decimal(precision: int, scale: int) -> "Reader":
    """Return the reader of a DECIMAL: nine digits stand in four bytes, big endian.

    The first bit is flipped, and so are all bits of a negative number.
    """
    from decimal import Decimal

    whole = precision - scale
    places = []
    size = 0
    for digits in _decimal_groups(precision, scale):
        width = _DIGIT_BYTES[digits]
        places.append((size, size + width, 10**digits))
        size += width
    sign_bit, all_bits = 1 << (8 * size - 1), (1 << 8 * size) - 1

    def decimal(data: bytes, at: int) -> "tuple[Decimal, int]":
        end = at + size
        bits = int.from_bytes(data[at:end], "big") ^ sign_bit
        is_negative = bits & sign_bit
        if is_negative:
            bits ^= all_bits
        raw = bits.to_bytes(size, "big")
        number = 0
        for start, stop, unit in places:
            number = number * unit + int.from_bytes(raw[start:stop], "big") % unit
        text = f"{number:0{precision}}"
        if scale:
            text = f"{text[:whole] or '0'}.{text[whole:]}"
        return Decimal("-" + text if is_negative else text), end

    return decimal


def _time(op: int, digits: int, zero_text: bool) -> "Reader":
    """Return the reader of a date or a time."""
    from datetime import UTC, date, datetime, timedelta

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    width = (digits + 1) >> 1
    scale = _SCALES[digits] if digits < 7 else 1
    from_bytes = int.from_bytes

    def moment(day: "tuple[int, int, int]", clock: "tuple[int, int, int, int]") -> object:
        if clock[3] > 999_999:
            raise too_many(clock[3])
        try:
            return datetime(*day, *clock)  # DATETIME has no zone
        except ValueError:
            return zero_datetime(zero_text, day, clock, digits)

    def since(seconds: int, micros: int) -> object:
        if micros > 999_999:
            raise too_many(micros)
        if seconds or micros:
            return epoch + timedelta(0, seconds, micros)
        return zero_datetime(zero_text, (0, 0, 0), (0, 0, 0, 0), digits)

    def year(data: bytes, at: int) -> "tuple[int, int]":
        return data[at] + 1900 if data[at] else 0, at + 1

    def day(data: bytes, at: int) -> "tuple[Any, int]":
        packed = from_bytes(data[at : at + 3], "little")
        parts = packed >> 9, packed >> 5 & 15, packed & 31
        try:
            return date(*parts), at + 3
        except ValueError:
            return zero_date(zero_text, *parts), at + 3

    def datetime2(data: bytes, at: int) -> "tuple[Any, int]":
        end = at + 5 + width
        if end > len(data):
            raise IndexError
        packed = from_bytes(data[at : at + 5], "big") & 0x7FFFFFFFFF
        micros = from_bytes(data[at + 5 : end], "big") * scale
        months = packed >> 22
        clock = packed >> 12 & 31, packed >> 6 & 63, packed & 63, micros
        return moment((months // 13, months % 13, packed >> 17 & 31), clock), end

    def timestamp2(data: bytes, at: int) -> "tuple[Any, int]":
        end = at + 4 + width
        if end > len(data):
            raise IndexError
        micros = from_bytes(data[at + 4 : end], "big") * scale
        return since(from_bytes(data[at : at + 4], "big"), micros), end

    def time2(data: bytes, at: int) -> "tuple[timedelta, int]":
        end = at + 3 + width
        if end > len(data):
            raise IndexError
        packed = from_bytes(data[at:end], "big") - (1 << 23 + 8 * width)
        magnitude = abs(packed)
        micros = (magnitude & (1 << 8 * width) - 1) * scale
        if micros > 999_999:
            raise too_many(micros)
        whole = magnitude >> 8 * width
        span = timedelta(0, whole & 63, micros, 0, whole >> 6 & 63, whole >> 12 & 1023)
        return -span if packed < 0 else span, end

    def old_datetime(data: bytes, at: int) -> "tuple[Any, int]":
        digits, clock = divmod(from_bytes(data[at : at + 8], "little"), 1_000_000)
        parts = digits // 10_000 % 10_000, digits // 100 % 100, digits % 100
        return moment(parts, (clock // 10_000, clock // 100 % 100, clock % 100, 0)), at + 8

    def old_timestamp(data: bytes, at: int) -> "tuple[Any, int]":
        return since(from_bytes(data[at : at + 4], "little"), 0), at + 4

    def old_time(data: bytes, at: int) -> "tuple[timedelta, int]":
        packed = from_bytes(data[at : at + 3], "little", signed=True)
        size = abs(packed)
        span = timedelta(0, size % 100, 0, 0, size // 100 % 100, size // 10_000)
        return -span if packed < 0 else span, at + 3

    return {
        b.YEAR: year,
        b.DATE: day,
        b.TIME: old_time,
        b.DATETIME: old_datetime,
        b.TIMESTAMP: old_timestamp,
        b.TIME2: time2,
        b.DATETIME2: datetime2,
        b.TIMESTAMP2: timestamp2,
    }[op]
