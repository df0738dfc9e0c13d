"""Columns of a table as a TABLE_MAP event tells them: types, and what optional metadata adds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ._charsets import BINARY, charset_of, decoder_of
from ._errors import DataError

__all__ = ["BLOBS", "Column", "Table", "bits", "lenenc", "parse_table_map"]

# The types of MySQL's ``enum_field_types`` that stand in binary logs.
TINY, SHORT, LONG, FLOAT, DOUBLE, TIMESTAMP, LONGLONG, INT24 = 1, 2, 3, 4, 5, 7, 8, 9
DATE, TIME, DATETIME, YEAR, VARCHAR, BIT = 10, 11, 12, 13, 15, 16
TIMESTAMP2, DATETIME2, TIME2 = 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR, JSON = 140, 141, 242, 245
DECIMAL, ENUM, SET, TINY_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = (
    246,
    247,
    248,
    249,
    252,
    253,
    254,
    255,
)

# Bytes of metadata of each type.
_METADATA: Final = (
    dict.fromkeys(
        (TINY, SHORT, LONG, LONGLONG, INT24, TIMESTAMP, DATE, TIME, DATETIME, YEAR, 6, 14), 0
    )
    | dict.fromkeys((FLOAT, DOUBLE, TIMESTAMP2, DATETIME2, TIME2, VECTOR, JSON, GEOMETRY), 1)
    | dict.fromkeys((249, 250, 251, 252, BLOB_COMPRESSED), 1)
    | dict.fromkeys((VARCHAR, BIT, VARCHAR_COMPRESSED, DECIMAL, ENUM, SET, VAR_STRING, STRING), 2)
)
_NUMERIC: Final = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, YEAR, FLOAT, DOUBLE, DECIMAL})
BLOBS: Final = frozenset({249, 250, 251, 252})
_MYSQL_TEXTS: Final = frozenset({VARCHAR, VAR_STRING, STRING, VECTOR}) | BLOBS
_MARIADB_TEXTS: Final = (
    frozenset({VARCHAR, VAR_STRING, STRING, GEOMETRY, BLOB_COMPRESSED, VARCHAR_COMPRESSED}) | BLOBS
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type's code, the code's metadata, and what the log or a schema says of it.

    `name`, `unsigned`, `charset` and `members` are None where nobody says; `charset` is "binary"
    for bytes. `declared` is the type that a schema names, such as "uuid", which a log does not tell
    from others.
    """

    code: int
    meta: int
    nullable: bool = True
    name: str | None = None
    unsigned: bool | None = None
    charset: str | None = None
    members: tuple[str, ...] | None = None
    declared: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as one TABLE_MAP event has it.

    `primary_key` are the positions of its columns, None where the log does not say; `timestamp` are
    seconds since 1970 at which the event was written that was read first.
    """

    database: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[int, ...] | None = None
    timestamp: int = field(default=0, repr=False, compare=False)
    map: bytes = field(
        default=b"", repr=False, compare=False
    )  # the event's bytes behind the number

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns' names, or None if they are not known."""
        names = tuple([column.name for column in self.columns if column.name is not None])
        return names if len(names) == len(self.columns) else None

    @property
    def key(self) -> tuple[str, ...] | None:
        """The names of the primary key's columns, or None if they are not known."""
        names = self.names
        if self.primary_key is None or names is None:
            return None
        return tuple([names[index] for index in self.primary_key])


def lenenc(data: bytes, at: int) -> tuple[int, int]:
    """Return a length-encoded integer and the offset behind it."""
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None or at + 1 + size > len(data):
        raise DataError(f"no length-encoded integer stands at {at}: it begins with {first:#04x}")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def bits(data: bytes, count: int) -> tuple[bool, ...]:
    """Return the first `count` bits, the lowest of each byte first."""
    return tuple([bool(data[i >> 3] >> (i & 7) & 1) for i in range(count)])


def _high_bits(data: bytes, count: int) -> list[bool]:
    if len(data) < (count + 7) >> 3:
        raise DataError(f"{count} bits are due, got {len(data)} bytes")
    return [bool(data[i >> 3] << (i & 7) & 0x80) for i in range(count)]


def parse_table_map(body: bytes, is_mariadb: bool) -> Table:
    """Return the table of a TABLE_MAP event, from behind the table's number and flags."""
    database, at = _named(body, 0)
    name, at = _named(body, at)
    count, at = lenenc(body, at)
    codes = body[at : at + count]
    size, at = lenenc(body, at + count)
    meta = body[at : at + size]
    at += size
    nulls = body[at : at + ((count + 7) >> 3)]
    if len(codes) < count or len(meta) < size or len(nulls) < (count + 7) >> 3:
        raise DataError(f"a TABLE_MAP of {database}.{name} is cut short: {count} columns are due")
    columns = [
        Column(code, number, nullable)
        for (code, number), nullable in zip(_typed(codes, meta), bits(nulls, count), strict=True)
    ]
    told = dict(_fields(body, at + len(nulls)))
    key = _keys(told, count)
    return Table(database, name, _told(columns, told, is_mariadb), key, map=body)


def _named(body: bytes, at: int) -> tuple[str, int]:
    size, at = lenenc(body, at)
    end = at + size
    if end >= len(body) or body[end]:
        raise DataError("a name in a TABLE_MAP is not ended")
    return body[at:end].decode(errors="surrogateescape"), end + 1


def _typed(codes: bytes, meta: bytes) -> Iterator[tuple[int, int]]:
    """Yield each column's real type and its metadata as one number, little endian."""
    at = 0
    for code in codes:
        size = _METADATA.get(code)
        if size is None:
            raise DataError(f"a column has the unknown type {code}")
        raw = meta[at : at + size]
        if len(raw) < size:
            raise DataError("the metadata of columns is cut short")
        at += size
        if code == STRING:
            high, low = raw
            if high & 0x30 != 0x30:  # a length over 255 stands in two bits of the type
                yield high | 0x30, low | ((high & 0x30) ^ 0x30) << 4
            else:
                yield high, low
        else:
            yield code, int.from_bytes(raw, "little")
    if at < len(meta):
        raise DataError(f"{len(meta) - at} bytes of metadata are of no column")


def _fields(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        code = body[at]
        size, at = lenenc(body, at + 1)
        value = body[at : at + size]
        if len(value) < size:
            raise DataError(f"optional metadata {code} is cut short")
        at += size
        yield code, value


def _numbers(data: bytes) -> list[int]:
    found = []
    at = 0
    while at < len(data):
        number, at = lenenc(data, at)
        found.append(number)
    return found


def _texts(data: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(data):
        size, at = lenenc(data, at)
        found.append(data[at : at + size])
        at += size
    return found


def _lists(data: bytes) -> list[list[bytes]]:
    found = []
    at = 0
    while at < len(data):
        count, at = lenenc(data, at)
        members = []
        for _ in range(count):
            size, at = lenenc(data, at)
            members.append(data[at : at + size])
            at += size
        found.append(members)
    return found


def _keys(told: dict[int, bytes], count: int) -> tuple[int, ...] | None:
    key = _numbers(told[8]) if 8 in told else _numbers(told[9])[::2] if 9 in told else None
    if key is not None and any(index >= count for index in key):
        raise DataError(f"a primary key names column {max(key)} of {count}")
    return None if key is None else tuple(key)


def _collations(told: dict[int, bytes], default: int, each: int, count: int) -> list[int] | None:
    """Return the collation of each of `count` columns from one of the two fields that tell it."""
    if default in told:
        first, *pairs = _numbers(told[default])
        found = [first] * count
        for index, collation in zip(pairs[::2], pairs[1::2], strict=True):
            if index >= count:
                raise DataError(f"a character set is given for column {index} of {count}")
            found[index] = collation
        return found
    if each in told:
        found = _numbers(told[each])
        if len(found) != count:
            raise DataError(f"{count} character sets are due, got {len(found)}")
        return found
    return None


def _charset(collation: int) -> str:
    if collation == BINARY:
        return "binary"
    name = charset_of(collation)
    if name is None:
        raise DataError(f"a column has the unknown collation {collation}")
    return name


def _set_each(
    columns: list[Column], which: Callable[[Column], bool], values: Sequence[object], name: str
) -> None:
    places = [index for index, column in enumerate(columns) if which(column)]
    if len(places) != len(values):
        raise DataError(f"{len(places)} columns have a {name}, got {len(values)}")
    for index, value in zip(places, values, strict=True):
        columns[index] = replace(columns[index], **{name: value})  # type: ignore[arg-type]


def _told(columns: list[Column], told: dict[int, bytes], is_mariadb: bool) -> tuple[Column, ...]:
    """Return the columns with what the fields of optional metadata say."""
    if 1 in told:
        numeric = [column.code in _NUMERIC for column in columns]
        _set_each(
            columns,
            lambda column: column.code in _NUMERIC,
            _high_bits(told[1], sum(numeric)),
            "unsigned",
        )
    texts = _MARIADB_TEXTS if is_mariadb else _MYSQL_TEXTS
    count = sum(column.code in texts for column in columns)
    collations = _collations(told, 2, 3, count)
    if collations is not None:
        _set_each(
            columns, lambda column: column.code in texts, list(map(_charset, collations)), "charset"
        )
    lists = frozenset({ENUM, SET})
    count = sum(column.code in lists for column in columns)
    collations = _collations(told, 10, 11, count)
    if collations is not None:
        _set_each(
            columns, lambda column: column.code in lists, list(map(_charset, collations)), "charset"
        )
    if 4 in told:
        names = [name.decode() for name in _texts(told[4])]
        _set_each(columns, lambda column: True, names, "name")
    for code, number in ((SET, 5), (ENUM, 6)):
        if number in told:
            _members(columns, code, _lists(told[number]))
    return tuple(columns)


def _members(columns: list[Column], code: int, lists: list[list[bytes]]) -> None:
    places = [index for index, column in enumerate(columns) if column.code == code]
    if len(places) != len(lists):
        raise DataError(f"{len(places)} columns have members, got {len(lists)} lists")
    for index, members in zip(places, lists, strict=True):
        charset = columns[index].charset
        decode = decoder_of(charset) if charset not in (None, "binary") else bytes.decode
        columns[index] = replace(columns[index], members=tuple(map(decode, members)))
