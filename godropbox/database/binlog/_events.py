"""What a binary log tells: one class for each kind of event, and how its body is read."""

import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from ._charsets import charset_of
from ._columns import lenenc
from ._errors import DataError
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from ._statements import Quoting

__all__ = [
    "Changed",
    "Commit",
    "Event",
    "FormatDescription",
    "GtidEvent",
    "Heartbeat",
    "Incident",
    "Other",
    "Position",
    "PreviousGtids",
    "Query",
    "Rotate",
    "Rows",
    "RowsQuery",
    "XaPrepare",
]


class Position(NamedTuple):
    """A place in a binary log: the name of a file, and bytes from its beginning."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has.

    `type` is its number in the protocol, `timestamp` are seconds since 1970 on the server that
    wrote it, whose id is `server_id`, and `position` is where it begins, None where a stream does
    not say: MariaDB 11.8 gives it only for the first and the last event of a transaction.
    """

    type: int
    timestamp: int
    server_id: int
    position: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatDescription(Event):
    """The beginning of a file: the server's version, and whether events have a CRC-32."""

    version: str
    has_checksums: bool

    @property
    def is_mariadb(self) -> bool:
        """Whether MariaDB wrote the file."""
        return "mariadb" in self.version.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate(Event):
    """The end of a file: the next one's name, and the position of its first event."""

    file: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GtidEvent(Event):
    """The beginning of a transaction, or of a statement that is one, such as DDL."""

    gtid: Gtid | MariaDBGtid


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousGtids(Event):
    """The transactions of all earlier files."""

    gtids: GtidSet | MariaDBGtidSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Event):
    """A statement: BEGIN, DDL, or a change that was logged as a statement.

    Bytes of it that are no UTF-8 are escaped, as ``surrogateescape`` does.
    """

    database: str
    statement: str
    error: int
    gtid: Gtid | MariaDBGtid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsQuery(Event):
    """The text of the statement whose rows follow."""

    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Event):
    """Rows of one table, of one event.

    `rows` are tuples of values in the order of the table's columns, and pairs of them, before and
    after, where `kind` is "update". `columns` are names, or None where neither log nor schema has
    them; `key` are those of the primary key, None where the log does not say.
    """

    kind: Literal["insert", "update", "delete"]
    database: str
    table: str
    columns: tuple[str, ...] | None
    rows: list[Any]
    gtid: Gtid | MariaDBGtid | None
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Event):
    """A table changed by what the log has no rows of, as `reason` says.

    Either the server told of the table alone, as MariaDB does for what foreign keys cascade to, or
    a statement changed it: TRUNCATE and other DDL, and INSERT, UPDATE and such where they are
    logged as text. `table` is None if all tables of `database` may have changed, and `database` is
    None, too, if all of the server's may have.
    """

    database: str | None
    table: str | None
    reason: str
    gtid: Gtid | MariaDBGtid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(Event):
    """The end of a transaction; `xid` is its number, None where a statement COMMIT ended it."""

    xid: int | None
    gtid: Gtid | MariaDBGtid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class XaPrepare(Event):
    """The end of a transaction that a later ``Query``, XA COMMIT or XA ROLLBACK, decides on."""

    xid: bytes
    one_phase: bool
    gtid: Gtid | MariaDBGtid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    """A sign of life of a server that has nothing else to send."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident(Event):
    """The server lost events: what changed is not in the log."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Event):
    """An event that carries no rows, and that has no class here; `body` are its bytes."""

    name: str
    body: bytes


_ANSI_QUOTES: Final = 1 << 2  # bits of the sql_mode
_NO_BACKSLASHES: Final = 1 << 20
_UTF8: Final = frozenset({"ascii", "binary", "utf8mb3", "utf8mb4"})

# Events that change no rows and need no parsing here.
OTHERS: Final = {
    0: "UNKNOWN",
    3: "STOP",
    5: "INTVAR",
    9: "APPEND_BLOCK",
    11: "DELETE_FILE",
    13: "RAND",
    14: "USER_VAR",
    17: "BEGIN_LOAD_QUERY",
    28: "IGNORABLE",
    36: "TRANSACTION_CONTEXT",
    37: "VIEW_CHANGE",
    161: "BINLOG_CHECKPOINT",
    164: "START_ENCRYPTION",
}


def text(data: bytes) -> str:
    """Return bytes as text; what is no UTF-8 is escaped as ``surrogateescape`` does."""
    return data.decode(errors="surrogateescape")


def format_description(body: bytes) -> tuple[str, bool]:
    """Return the version of the server, and whether events have checksums."""
    if len(body) < 57 or body[:2] != b"\4\0":
        raise DataError("the log is not of version 4, which MySQL 5.0 and later write")
    if body[56] != 19:
        raise DataError(f"event headers have 19 bytes, the log says {body[56]}")
    version = text(body[2:52].split(b"\0")[0])
    numbers = [int(part) for part in version.split("-")[0].split(".")[:3] if part.isdecimal()]
    if "mariadb" not in version.lower() and numbers < [5, 6, 1]:
        return version, False
    algorithm = body[-5]
    if algorithm > 1:
        raise DataError(f"checksums are of the unknown algorithm {algorithm}")
    return version, algorithm == 1


def query(body: bytes, compressed: bool, more: int = 0) -> tuple[str, str, int, Quoting]:
    """Return the database, the statement, the error code and the quoting of a QUERY event.

    EXECUTE_LOAD_QUERY has `more` bytes before its variables.
    """
    if len(body) < 13 + more:
        raise DataError(f"a QUERY event has {len(body)} bytes")
    size, error = body[8], int.from_bytes(body[9:11], "little")
    start = 13 + more
    at = start + int.from_bytes(body[11:13], "little")
    if at + size >= len(body) or body[at + size]:
        raise DataError("a QUERY event is cut short in its database")
    statement = body[at + size + 1 :]
    if compressed:
        statement = inflated(statement)
    mode, charset = _variables(body[start:at])
    return (
        text(body[at : at + size]),
        text(statement),
        error,
        Quoting(
            has_ansi_quotes=bool(mode & _ANSI_QUOTES),
            has_backslashes=not mode & _NO_BACKSLASHES,
            is_known=statement.isascii() or charset in _UTF8,
        ),
    )


def _variables(data: bytes) -> tuple[int, str | None]:
    """Return the sql_mode and the client's character set from a QUERY event's variables.

    They come first, and in an order that does not change.
    """
    mode, at = 0, 0
    while at + 1 < len(data):
        code = data[at]
        if code == 1:
            mode = int.from_bytes(data[at + 1 : at + 9], "little")
        elif code == 4:
            return mode, charset_of(int.from_bytes(data[at + 1 : at + 3], "little"))
        size = {0: 4, 1: 8, 3: 4, 6: 1 + data[at + 1]}.get(code)
        if size is None:
            break
        at += 1 + size
    return mode, None


def inflated(data: bytes, limit: int = 1 << 30) -> bytes:
    """Return what MariaDB compressed, of at most `limit` bytes.

    That is a byte 0x80 + n, a length of n bytes, big endian, and a zlib stream.
    """
    width = data[0] & 7 if data else 0
    if not data or data[0] & 0xF8 != 0x80 or len(data) < 1 + width:
        raise DataError(
            f"a compressed event begins with {data[:1].hex() or 'nothing'}, not 0x80 to 0x87"
        )
    size = int.from_bytes(data[1 : 1 + width], "big")
    if size > limit:
        raise DataError(f"a compressed event has {size} bytes, over the limit of {limit}")
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data[1 + width :], size + 1)
    except zlib.error as wrong:
        raise DataError(f"a compressed event cannot be read: {wrong}") from None
    if len(plain) != size or not stream.eof or stream.unused_data:
        raise DataError(
            f"a compressed event has {len(plain)} bytes, {len(stream.unused_data)} bytes behind "
            f"them, and says {size}"
        )
    return plain


def mysql_gtid(body: bytes) -> Gtid | None:
    """Return the GTID of an event of MySQL, None for ANONYMOUS."""
    if len(body) < 25:
        raise DataError(f"a GTID event has {len(body)} bytes")
    number = int.from_bytes(body[17:25], "little")
    return Gtid(_uuid(body[1:17]), number) if number else None


@lru_cache(maxsize=64)
def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def tagged_gtid(body: bytes) -> Gtid:
    """Return the GTID of a GTID_TAGGED event, in MySQL's ``serialization`` layout."""
    version, at = _varint(body, 0)
    size, at = _varint(body, at)
    _, at = _varint(body, at)  # the last field that a reader has to know
    if version != 1:
        raise DataError(f"a tagged GTID is of version {version}, known is 1")
    if size != len(body):
        raise DataError(f"a tagged GTID has {len(body)} bytes, and says {size}")
    _, at = _field(body, at, 0)  # flags
    parts = []
    at = _begin(body, at, 1)
    for _ in range(16):
        part, at = _varint(body, at)
        parts.append(part)
    if max(parts) > 255:
        raise DataError("a UUID of a tagged GTID has bytes over 255")
    raw, at = _field(body, at, 2)
    length, at = _field(body, at, 3)
    if at + length > len(body):
        raise DataError(f"a tag has {length} bytes, of {len(body) - at}")
    number = raw >> 1 ^ -(raw & 1)
    return Gtid(_uuid(bytes(parts)), number, body[at : at + length].decode())


def _begin(body: bytes, at: int, number: int) -> int:
    """Return where the value of a field is, which must be the next one."""
    found, at = _varint(body, at)
    if found != number:
        raise DataError(f"a tagged GTID has field {found}, where {number} is due")
    return at


def _field(body: bytes, at: int, number: int) -> tuple[int, int]:
    return _varint(body, _begin(body, at, number))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number whose first byte tells by its lowest ones how many bytes follow."""
    first = data[at]
    extra = 0
    while first >> extra & 1 and extra < 8:
        extra += 1
    if at + extra >= len(data):
        raise DataError(f"a number of {extra + 1} bytes at {at} is cut short, of {len(data)}")
    raw = int.from_bytes(data[at : at + extra + 1], "little")
    return (raw >> (extra + 1) if extra < 8 else raw >> 8), at + extra + 1


def mariadb_gtid(body: bytes, server_id: int) -> tuple[MariaDBGtid, bool]:
    """Return the GTID of an event of MariaDB, and whether one statement is its transaction."""
    if len(body) < 13:
        raise DataError(f"a GTID event has {len(body)} bytes")
    number, domain = int.from_bytes(body[:8], "little"), int.from_bytes(body[8:12], "little")
    return MariaDBGtid(domain, server_id, number), bool(body[12] & 1)


def xa_xid(body: bytes) -> tuple[bytes, bool]:
    """Return the id of a prepared transaction, and whether it is committed by this."""
    if len(body) < 13:
        raise DataError(f"an XA_PREPARE event has {len(body)} bytes")
    return body[13:], bool(body[0])


def payload(body: bytes, limit: int) -> bytes:
    """Return the events inside of a TRANSACTION_PAYLOAD event, of at most `limit` bytes."""
    at, kind, size, packed = 0, 255, 0, b""
    while at < len(body):
        code, at = lenenc(body, at)
        if code == 0:
            packed = body[at:]
            break
        length, at = lenenc(body, at)
        number, end = lenenc(body, at)
        at += length
        if end > at:
            raise DataError(f"field {code} of a compressed transaction has {length} bytes")
        if code == 1:
            told = number
            if told > len(body):
                raise DataError(f"a compressed transaction has {len(body)} bytes, and says {told}")
        elif code == 2:
            kind = number
        elif code == 3:
            size = number
    if size > limit:
        raise DataError(f"a compressed transaction has {size} bytes, over the limit of {limit}")
    if kind not in (0, 255):
        raise DataError(f"a transaction is compressed by the unknown algorithm {kind}")
    plain = packed if kind else unpacked(packed, size)
    if len(plain) != size:
        raise DataError(f"a compressed transaction has {len(plain)} bytes, and says {size}")
    return plain


def unpacked(data: bytes, size: int) -> bytes:
    """Return at most `size` + 1 bytes of what zstd compressed."""
    zstd = _zstd()
    try:
        stream = zstd.ZstdDecompressor()
        plain: bytes = stream.decompress(data, max_length=size + 1)
    except zstd.ZstdError as wrong:
        raise DataError(f"a compressed transaction cannot be read: {wrong}") from None
    if len(plain) > size or not stream.eof or stream.unused_data:
        raise DataError(f"a compressed transaction of {len(data)} bytes has not {size} inside")
    return plain


@cache
def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # the first is Python 3.14's
        with suppress(ImportError):
            return import_module(name)
    raise DataError(
        "a transaction is compressed by zstd, which Python before 3.14 lacks: "
        "pip install godropbox[zstd]"
    )
