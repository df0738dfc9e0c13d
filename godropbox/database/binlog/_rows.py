"""Rows of a table: from what the log and a schema say of its columns to values.

A ``RowReader`` is made once for each TABLE_MAP. Bytes are read by the ``binlog`` kernel.
"""

import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple, final
from uuid import UUID

from godropbox._kernels import _binlog as ops
from godropbox._kernels import binlog as kernel

from . import _columns as c
from ._charsets import decoder_of
from ._columns import Column, Table, lenenc
from ._errors import DataError, MetadataError
from ._json import apply_diffs, json_diffs, json_value

__all__ = ["ABSENT", "Geometry", "RowReader"]

Row = tuple[Any, ...]


@final
class _Absent:
    """The type of ABSENT."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands for a column that a row's image leaves out, or that is not wanted."""


class Geometry(NamedTuple):
    """A GEOMETRY: the number of its spatial reference system, and well-known binary."""

    srid: int
    wkb: bytes


_INTS: Final = {c.TINY: 1, c.SHORT: 2, c.INT24: 3, c.LONG: 4, c.LONGLONG: 8}
_TIMES: Final = {
    c.TIMESTAMP: ops.TIMESTAMP,
    c.DATE: ops.DATE,
    c.TIME: ops.TIME,
    c.DATETIME: ops.DATETIME,
    c.YEAR: ops.YEAR,
    c.TIMESTAMP2: ops.TIMESTAMP2,
    c.DATETIME2: ops.DATETIME2,
    c.TIME2: ops.TIME2,
}
_UTF8: Final = frozenset({"utf8mb3", "utf8mb4"})


class RowReader:
    """Reads rows of one table, as its columns are while one TABLE_MAP holds.

    Values are made of the columns that `wanted` names, of all if it is None; the others are ABSENT.
    Where neither the log nor a schema says what bytes mean, `lenient` makes bytes of text and
    signed numbers of numbers, and without it ``MetadataError`` is raised.
    """

    def __init__(
        self, table: Table, *, zero_dates: str, lenient: bool, wanted: Sequence[str] | None
    ) -> None:
        self._table = table
        self._lenient = lenient
        self.names = table.names
        flags = None
        if wanted is not None:
            unknown = set(wanted) - set(table.names or ())
            if unknown:
                known = ", ".join(table.names or ()) or "not known"
                raise MetadataError(
                    f"{self._name} has no column {min(unknown)!r}: its columns are {known}"
                )
            flags = [column.name in wanted for column in table.columns]
        self._wanted = flags
        columns = [
            self._column(column) if flags is None or flags[index] else self._passed(column)
            for index, column in enumerate(table.columns)
        ]
        try:
            self._decoder = kernel.RowDecoder(columns, flags, zero_dates == "text", ABSENT)
        except ValueError as wrong:  # no type has such metadata, or too many columns
            raise DataError(f"{self._name}: {wrong}") from None

    def rows(self, data: bytes, at: int, present: bytes) -> list[Row]:
        """Return the rows from a place to the end, whose present columns are bits of `present`."""
        try:
            return self._decoder.rows(data, at, present)
        except ValueError as wrong:
            raise self._wrong(wrong) from None

    def pairs(
        self, data: bytes, at: int, present: bytes, updated: bytes, *, partial: bool
    ) -> list[tuple[Row, Row]]:
        """Return the rows of an update, each before and after."""
        try:
            if not partial:
                return self._decoder.pairs(data, at, present, updated)
            pairs = []
            while at < len(data):
                before, at = self._decoder.row(data, at, present)
                after, at = self._partial(data, at, updated, before)
                pairs.append((before, after))
            return pairs
        except (ValueError, IndexError) as wrong:
            raise self._wrong(wrong) from None

    def _wrong(self, error: Exception) -> DataError:
        return DataError(f"rows of {self._name} cannot be read: {error}")

    @property
    def _name(self) -> str:
        return f"{self._table.database}.{self._table.name}"

    def _partial(self, data: bytes, at: int, present: bytes, before: Row) -> tuple[Row, int]:
        """Read a row after an update that may have logged changes of JSON documents only."""
        options, at = lenenc(data, at)
        documents = [i for i, column in enumerate(self._table.columns) if column.code == c.JSON]
        changed: set[int] = set()
        if options & 1:
            size = (len(documents) + 7) >> 3
            marks = int.from_bytes(data[at : at + size], "little")
            at += size
            changed = {index for place, index in enumerate(documents) if marks >> place & 1}
        count = len(self._table.columns)
        chosen = [i for i in range(count) if present[i >> 3] >> (i & 7) & 1]
        nulls = int.from_bytes(data[at : at + ((len(chosen) + 7) >> 3)], "little")
        at += (len(chosen) + 7) >> 3
        values: list[Any] = [ABSENT] * count
        for index in chosen:
            is_wanted = self._wanted is None or self._wanted[index]
            if nulls & 1:
                if is_wanted:
                    values[index] = None
            elif index in changed:
                raw, at = _sized(data, at, 4)
                if is_wanted:
                    diffs = json_diffs(raw, lenenc)
                    old = before[index]
                    values[index] = diffs if old is ABSENT else apply_diffs(old, diffs)
            else:
                values[index], at = self._decoder.value(index, data, at)
            nulls >>= 1
        return tuple(values), at

    # Columns

    def _passed(self, column: Column) -> tuple[int, int, int, object]:
        """Return how a column is read whose values nobody wants, whatever it means."""
        lenient, self._lenient = self._lenient, True
        try:
            op, a, b, _ = self._column(column)
        finally:
            self._lenient = lenient
        return op, a, b, None

    def _column(self, column: Column) -> tuple[int, int, int, object]:
        """Return how the kernel reads a column."""
        code, meta = column.code, column.meta
        if code in _INTS:
            return ops.INT, _INTS[code], int(self._unsigned(column)), None
        if code == c.FLOAT:
            return ops.FLOAT, 0, 0, None
        if code == c.DOUBLE:
            return ops.DOUBLE, 0, 0, None
        if code == c.DECIMAL:
            return ops.DECIMAL, meta & 255, meta >> 8, None
        if code in _TIMES:
            return _TIMES[code], meta, 0, None
        if code == c.BIT:
            return ops.BITS, (meta >> 8) + bool(meta & 255), 0, None
        if code in (c.ENUM, c.SET):
            return self._listed(column)
        if code in (c.VARCHAR, c.VAR_STRING, c.STRING, c.VARCHAR_COMPRESSED):
            return ops.TEXT, 1 if meta < 256 else 2, 0, self._made(column)
        if code in (c.JSON, c.VECTOR, c.GEOMETRY, c.BLOB_COMPRESSED, *c.BLOBS):
            return ops.TEXT, meta & 255, 0, self._made(column)
        raise DataError(f"column {self._label(column)} has the type {code}, which no row can have")

    def _unsigned(self, column: Column) -> bool:
        if column.unsigned is None and not self._lenient:
            raise self._untold("whether it is unsigned", column, "MINIMAL or FULL")
        return bool(column.unsigned)

    def _untold(self, what: str, column: Column, settings: str) -> MetadataError:
        return MetadataError(
            f"column {self._label(column)}: the log does not say {what}: set "
            f"binlog_row_metadata to {settings}, give a schema, or be lenient"
        )

    def _label(self, column: Column) -> str:
        name = column.name or f"number {self._table.columns.index(column)}"
        return f"{name} of {self._name}"

    def _listed(self, column: Column) -> tuple[int, int, int, object]:
        """Return how an ENUM or a SET is read."""
        if column.members is None and not self._lenient:
            raise self._untold("what its members are", column, "FULL")
        members = column.members
        if column.code == c.SET:
            return ops.INDEX, column.meta, 1, members
        return ops.INDEX, column.meta, 0, None if members is None else ("", *members)

    def _made(self, column: Column) -> object:
        """Return what makes a value of a column's bytes, for the kernel."""
        plain = self._made_plain(column)
        if column.code not in (c.BLOB_COMPRESSED, c.VARCHAR_COMPRESSED):
            return plain
        if plain is None:
            return _inflated
        make: Callable[[bytes], Any] = _utf8 if plain == ops.UTF8 else plain
        return lambda data: make(_inflated(data))

    def _made_plain(self, column: Column) -> Any:
        if column.code == c.JSON:
            return json_value
        if column.code == c.VECTOR:
            return _floats
        if column.code == c.GEOMETRY:
            return _geometry
        if column.declared is not None:
            return _OWN_TYPES[column.declared]
        charset = column.charset
        if charset is None:
            if not self._lenient:
                raise self._untold("what its character set is", column, "MINIMAL or FULL")
            return None
        if charset != "binary":
            return ops.UTF8 if charset in _UTF8 else decoder_of(charset)
        if column.code == c.STRING:
            size = column.meta
            return lambda data: data.ljust(size, b"\0")  # BINARY(n), whose zeros are left out
        return None


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _geometry(data: bytes) -> Geometry:
    return Geometry(int.from_bytes(data[:4], "little"), data[4:])


def _sized(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    start = at + width
    end = start + int.from_bytes(data[at:start], "little")
    if end > len(data):
        raise DataError(f"{end - start} bytes are due, got {len(data) - start}")
    return data[start:end], end


def _floats(data: bytes) -> "array[float]":
    if len(data) & 3:
        raise DataError(f"a VECTOR has {len(data)} bytes, not four for each number")
    values = array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data.ljust(16, b"\0"))


def _inet4(data: bytes) -> IPv4Address:
    return IPv4Address(data.ljust(4, b"\0"))


def _inet6(data: bytes) -> IPv6Address:
    return IPv6Address(data.ljust(16, b"\0"))


_OWN_TYPES: Final[dict[str, Callable[[bytes], Any]]] = {
    "uuid": _uuid,
    "inet4": _inet4,
    "inet6": _inet6,
    "vector": _floats,
}


def _inflated(data: bytes) -> bytes:
    """Return the bytes of a value of a COMPRESSED column of MariaDB."""
    if not data:
        return data
    head = data[0]
    if not head:
        return data[1:]
    width = head & 7
    size = int.from_bytes(data[1 : 1 + width], "big")
    try:
        plain = zlib.decompressobj(-15).decompress(data[1 + width :], size + 1)
    except zlib.error as wrong:
        raise DataError(f"a compressed column cannot be read: {wrong}") from None
    if len(plain) != size:
        raise DataError(f"a compressed column has {len(plain)} bytes, and says {size}")
    return plain
