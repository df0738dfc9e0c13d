"""What a replica and a server say to each other, without I/O: packets, questions, the dump.

A conversation is a generator. It yields a ``Send`` or ``StartTls`` to be done, or None for the next
packet, and is sent that packet's payload, or what was asked for. The protocol is described in the
manuals of MySQL's internals and in MariaDB's knowledge base.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from godropbox._kernels._args import shown

from ._columns import lenenc
from ._errors import DataError, ServerError
from ._gtids import GtidSet

__all__ = [
    "Packets",
    "Send",
    "StartTls",
    "Talk",
    "acknowledgement",
    "checked",
    "dump_by_gtid",
    "dump_by_place",
    "error_of",
    "packet_of",
    "query",
    "quoted",
    "readable",
]

_QUERY: Final = 0x03
_BINLOG_DUMP: Final = 0x12
_BINLOG_DUMP_GTID: Final = 0x1E
LARGEST_PART: Final = 0xFFFFFF  # bytes of a packet; what is longer goes on in the next one
_ROOM_TO_TALK: Final = 1 << 24  # bytes of a packet before the dump
_MOST_ROWS: Final = 1000  # of an answer; no question here has more than a few
_NON_BLOCKING: Final = 1
_ANNOTATIONS: Final = 2  # MariaDB sends the text of statements
_BY_GTID: Final = 4


@dataclass(frozen=True, slots=True)
class Send:
    """Send a packet: the answer to the last one, or a command, which begins to count anew."""

    payload: bytes
    is_command: bool = False


@dataclass(frozen=True, slots=True)
class StartTls:
    """Go on over TLS; the conversation is sent the server's certificate, in DER."""


Talk = Generator[Any, bytes, Any]


def readable(data: bytes) -> str:
    """Return a server's words in one line of at most 500 characters, control characters escaped.

    They end in messages and logs, where they may not begin lines of their own.
    """
    text = data.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 500 else text[:500] + "..."


def quoted(text: str) -> str:
    """Return text as a literal of SQL; raises ``DataError`` for what may end or escape one."""
    if not text.isprintable() or "'" in text or "\\" in text:
        raise DataError(f"{shown(text)} cannot be in a literal of SQL")
    return f"'{text}'"


# Packets


def packet_of(payload: bytes, sequence: int) -> bytes:
    """Return a payload with its headers; what is longer than 16 MiB in several packets."""
    parts = []
    start = 0
    while True:
        part = payload[start : start + LARGEST_PART]
        parts.append(len(part).to_bytes(3, "little") + bytes([sequence & 255]) + part)
        start += LARGEST_PART
        sequence += 1
        if len(part) < LARGEST_PART:
            return b"".join(parts)


class Packets:
    """Payloads from bytes: ``feed`` takes bytes, ``next`` returns a payload that is complete.

    `most` is the largest payload that is taken, in bytes. Whoever sends a larger one, or a packet
    out of turn, is out of step: ``DataError``.
    """

    def __init__(self, most: int = _ROOM_TO_TALK) -> None:
        self.most = most
        self.sequence = -1  # of the last packet, of this side or of the other
        self.counts = True  # whether the numbers of packets have to follow each other
        self._data = bytearray()
        self._at = 0
        self._parts: list[bytes] = []
        self._size = 0  # of the parts

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    @property
    def is_empty(self) -> bool:
        """Whether no byte waits."""
        return len(self._data) == self._at and not self._parts

    def next(self) -> bytes | None:
        """Return the next payload, None if it is not complete."""
        data, at = self._data, self._at
        while len(data) - at >= 4:
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if self._size + size > self.most:
                raise DataError(
                    f"the server sends a packet of {self._size + size} bytes, over the limit of "
                    f"{self.most}"
                )
            end = at + 4 + size
            if end > len(data):
                return None
            following = self.sequence + 1 & 255
            if self.counts and data[at + 3] != following:
                raise DataError(
                    f"the server sent packet number {data[at + 3]}, and {following} was due"
                )
            self.sequence = data[at + 3]
            self._at = end
            part = bytes(data[at + 4 : end])
            at = end
            if size < LARGEST_PART and not self._parts:
                return part
            self._parts.append(part)
            self._size += size
            if size < LARGEST_PART:
                whole = b"".join(self._parts)
                self._parts.clear()
                self._size = 0
                return whole
        return None


def error_of(payload: bytes) -> ServerError:
    """Return the error of a packet that begins with 0xff."""
    code = int.from_bytes(payload[1:3], "little")
    message = payload[9:] if payload[3:4] == b"#" else payload[3:]
    return ServerError(f"the server says {code}: {readable(message)}", code)


def checked(payload: bytes) -> bytes:
    """Return a payload that is no error; raise that which is one."""
    if not payload:
        raise DataError("the server sent an empty packet")
    if payload[0] == 0xFF:
        raise error_of(payload)
    return payload


# Questions

Row = tuple[str | None, ...]


def query(statement: str) -> Generator[Any, bytes, tuple[list[str], list[Row]]]:
    """Ask a statement; returns the names of its columns and its rows as text, if it has any."""
    yield Send(bytes([_QUERY]) + statement.encode(), is_command=True)
    payload = checked((yield None))
    if payload[0] == 0x00:
        return [], []
    if payload[0] == 0xFB:
        raise DataError("the server asks for a file of this machine (LOCAL INFILE): refused")
    count, _ = lenenc(payload, 0)
    if not 0 < count <= 4096:
        raise DataError(f"the server answers with {count} columns")
    names = []
    for _ in range(count):
        names.append(_name_of(checked((yield None))))
    if not _is_end((yield None)):
        raise DataError("the columns of an answer are not ended")
    rows: list[Row] = []
    while not _is_end(payload := checked((yield None))):
        if len(rows) >= _MOST_ROWS:
            raise DataError(f"the server answers with more than {_MOST_ROWS} rows")
        rows.append(_row(payload, count))
    return names, rows


def _is_end(payload: bytes) -> bool:
    return payload[:1] == b"\xfe" and len(payload) < 9


def _name_of(payload: bytes) -> str:
    """Return a column's name, the fifth of the texts that describe it."""
    at = 0
    for _ in range(4):
        size, at = lenenc(payload, at)
        at += size
    size, at = lenenc(payload, at)
    return readable(_taken(payload, at, size))


def _row(payload: bytes, count: int) -> Row:
    values: list[str | None] = []
    at = 0
    for _ in range(count):
        if payload[at] == 0xFB:
            values.append(None)
            at += 1
            continue
        size, at = lenenc(payload, at)
        values.append(_taken(payload, at, size).decode("utf-8", "replace"))
        at += size
    return tuple(values)


def _taken(payload: bytes, at: int, size: int) -> bytes:
    if at + size > len(payload):
        raise DataError(f"a text of {size} bytes is in a packet that has {len(payload) - at} more")
    return payload[at : at + size]


# The dump


def dump_by_gtid(server_id: int, gtids: GtidSet) -> bytes:
    """Return MySQL's command to send the transactions that a set lacks."""
    data = gtids.encode()
    return b"".join(
        [
            bytes([_BINLOG_DUMP_GTID]),
            (_BY_GTID | (0 if server_id else _NON_BLOCKING)).to_bytes(2, "little"),
            server_id.to_bytes(4, "little"),
            bytes(4),  # no name of a file
            (4).to_bytes(8, "little"),
            len(data).to_bytes(4, "little"),
            data,
        ]
    )


def dump_by_place(server_id: int, file: str, offset: int, is_mariadb: bool) -> bytes:
    """Return the command to send a log from a place on, or the oldest log if `file` is "".

    MariaDB is told GTIDs before, by ``@slave_connect_state``. The server's id 0 means that the
    stream ends where the log does.
    """
    if offset >= 1 << 32:
        raise ValueError(f"offset must be below 2**32 for a server without GTIDs, got {offset}")
    flags = (0 if server_id else _NON_BLOCKING) | (_ANNOTATIONS if is_mariadb else 0)
    return b"".join(
        [
            bytes([_BINLOG_DUMP]),
            max(offset, 4).to_bytes(4, "little"),
            flags.to_bytes(2, "little"),
            server_id.to_bytes(4, "little"),
            _named(file),
        ]
    )


def _named(file: str) -> bytes:
    """Return the name of a file as the server sent it."""
    return file.encode(errors="surrogateescape")


def acknowledgement(file: str, end: int) -> bytes:
    """Return what tells a server that waits for it that its log was read up to a place."""
    return packet_of(b"\xef" + end.to_bytes(8, "little") + _named(file), 0)
