"""Replies of memcached in pure Python: the twin of ``wire_c``.

The rules are memcached's doc/protocol.txt and its binary protocol document.
"""

import struct
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from . import _wire as codes
from ._args import bad_buffer
from ._identity import refuse_copies
from ._wire import (
    BARE,
    CROWDED,
    FAILED,
    HAS_KEY,
    HAS_VALUE,
    MAX_LINE,
    MAX_VALUE,
    META,
    PACKETS,
    QUIET,
    SENT,
    SERIES,
    STALE,
    STATS,
    STRICT,
    VALUES,
    WON,
    WORDS,
    Row,
    bad_reply,
    failures_of,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Reply", "codes"]

# The reasons of ``_wire.REASONS``, by their numbers in csrc/wire.h.
_LONG_LINE: Final = 1
_LINE_END: Final = 2
_BAD_LINE: Final = 3
_BAD_SIZE: Final = 4
_VALUE_END: Final = 5
_TOO_MANY: Final = 6
_BAD_MAGIC: Final = 7
_BAD_OPCODE: Final = 8
_BAD_LENGTHS: Final = 9
_BAD_OPAQUE: Final = 10
_REFUSED: Final = 11
_CROWDED: Final = 13

_HEADER: Final = struct.Struct(">BBHBBHIIQ")
_NOOP: Final = 0x0A
_WITH_FLAGS: Final = frozenset((0x00, 0x0C, 0x0D, 0x1D))
_COUNTERS: Final = frozenset((0x05, 0x06))
_CODES: Final = {b"VA": 0, b"HD": 0, b"EN": 1, b"NF": 1, b"NS": 5, b"EX": 2, b"MN": 0}
_STATUSES: Final = {
    b"STORED": 0,
    b"NOT_STORED": 5,
    b"EXISTS": 2,
    b"NOT_FOUND": 1,
    b"DELETED": 0,
    b"TOUCHED": 0,
    b"OK": 0,
}
# What memcached's proxy writes in the place of one key's value: the others and END follow.
_OF_KEY: Final = frozenset(
    (
        b"SERVER_ERROR backend failure",
        b"SERVER_ERROR bad response",
        b"SERVER_ERROR bad request",
        b"SERVER_ERROR lua failure",
        b"SERVER_ERROR lua start failure",
        b"SERVER_ERROR active request limit reached",
    )
)
_MARKS: Final = {b"W": WON, b"Z": SENT, b"X": STALE, b"b": 8}


class _BadError(Exception):
    """The reply is bad, for one of the reasons above."""


class _MoreError(Exception):
    """The frame is not complete."""


def _number(text: bytes, most: int) -> int:
    # Python refuses to read some thousand digits, in words of its own.
    digits = text.lstrip(b"0")[:21] or b"0"
    if not text.isdigit() or int(digits) > most:
        raise _BadError(_BAD_LINE)
    return int(digits)


def _starts(line: bytes, word: bytes) -> bool:
    return line == word or line.startswith(word + b" ")


def _error_status(line: bytes) -> int | None:
    """Return the binary protocol's number for an error line, None if it is none."""
    if _starts(line, b"ERROR"):
        return 0x81
    if _starts(line, b"CLIENT_ERROR"):
        text = line[13:]
        if text.startswith(b"cannot increment"):
            return 0x06
        return 0x20 if text.startswith((b"authentication fail", b"unauthenticated")) else 0x04
    if _starts(line, b"SERVER_ERROR"):
        text = line[13:]
        if text.startswith(b"object too large"):
            return 0x03
        return 0x82 if text.startswith(b"out of memory") else 0x84
    return None


class Reply:
    """The reply to one request, as it comes in.

    `kind` is what to expect, `count` how many answers, `words` which words or opcodes, `first` the
    opaque of the first request, `options` a sum of STRICT, QUIET, SERIES and BARE, `lines` how many
    lines a get of VALUES has, each of which is answered by a list.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        kind: int,
        count: int,
        words: int = 0,
        first: int = 0,
        options: int = 0,
        lines: int = 1,
    ) -> None:
        self._kind = kind
        self._count = count
        self._words = words
        self._first = first
        self._options = options
        self._lists = lines - 1  # that follow the one that is being read
        self._next = 0
        self._data = bytearray()
        self._position = 0
        self._needed = 0
        self._scanned = 0
        self._rows: list[Row] = []
        self._refusal = 0  # the status of an error line in place of VALUES or STATS
        self._done = count == 0

    @property
    def kind(self) -> int:
        """What was to be expected."""
        return self._kind

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        return self._done

    @property
    def size(self) -> int:
        """How many bytes of it were received."""
        return len(self._data)

    @property
    def is_cut(self) -> bool:
        """Whether an error line ended it, behind which more of it may follow.

        A proxy may answer the other keys of a get; memcached 1.6.45 sends an empty line.
        """
        return self._refusal != 0 and (self._count > 1 or self._refusal == 0x04)

    def feed(self, data: "ReadableBuffer") -> int:
        """Take bytes of the reply; return how many: all, unless the reply ends inside them.

        Bytes behind the end are not looked at. Raises ``ValueError`` for bytes that are no reply to
        the request, and ``ConnectionRefusedError`` for a server that has no room.
        """
        try:
            view = memoryview(data).cast("B")
        except TypeError:
            raise bad_buffer("data", data) from None
        if self._done:
            return 0
        self._data += view
        try:
            while not self._done:
                if len(self._data) < self._needed:
                    return len(view)
                self._frame()
                if self._done and self._lists:
                    self._go_on()
        except _MoreError:
            return len(view)
        except _BadError as error:
            raise bad_reply(error.args[0], bytes(self._data), self._position) from None
        rest = len(self._data) - self._position
        del self._data[self._position :]
        return len(view) - rest

    def _go_on(self) -> None:
        """Go on with the next list after one that is over.

        An error in place of one leaves the connection out of step: nothing behind it is looked at.
        """
        at = self._position
        if bytes(self._data[max(at - 6, 0) : at]) not in (b"END\r\n", b"\nEND\r\n"):
            self._position = len(self._data)
            return
        self._lists -= 1
        self._count -= self._next
        self._next = 0
        self._done = False

    def _frame(self) -> None:
        if self._kind == VALUES:
            self._value_block()
        elif self._kind == PACKETS:
            self._packet()
        elif self._kind == META:
            self._meta()
        elif self._kind == STATS:
            self._stat()
        else:
            self._word()

    def _line(self) -> bytes:
        """Return the line that starts at the position, without its CR LF."""
        end = self._data.find(b"\n", max(self._position, self._scanned))
        stop = len(self._data) if end < 0 else end
        if stop - self._position > MAX_LINE:
            raise _BadError(_LONG_LINE)
        if end < 0:
            self._scanned = stop
            raise _MoreError
        if end == self._position or self._data[end - 1] != 0x0D:
            raise _BadError(_LINE_END)
        line = bytes(self._data[self._position : end - 1])
        if self._position == 0 and line == CROWDED:
            raise _BadError(_CROWDED)
        return line

    def _value(self, start: int, size: int) -> bytes:
        """Return the value of `size` bytes at `start`, once its CR LF is there."""
        end = bytes(self._data[start + size : start + size + 2])
        if len(end) < 2:
            if end not in (b"", b"\r"):
                raise _BadError(_VALUE_END)
            self._needed = start + size + len(end) + 1
            raise _MoreError
        if end != b"\r\n":
            raise _BadError(_VALUE_END)
        return bytes(self._data[start : start + size])

    def _add(
        self,
        place: int,
        status: int,
        marks: int,
        key: bytes = b"",
        value: bytes = b"",
        line: bytes = b"",
        flags: int = 0,
        cas: int = 0,
        number: int = 0,
    ) -> None:
        self._rows.append(Row(place, status, marks, key, value, line, flags, cas, number))

    def _word(self) -> None:
        line = self._line()
        status, number, value = _error_status(line), 0, line
        failed = status is not None
        if failed:
            if self._options & STRICT and status in (0x81, 0x04):
                raise _BadError(_REFUSED)
        elif self._words & WORDS["VERSION"] and line.startswith(b"VERSION "):
            status, value = 0, line[8:]
        else:
            # decr leaves the spaces of the longer number that it wrote over
            digits = line.rstrip(b" ")
            if self._words & WORDS["NUMBER"] and digits.isdigit():
                status, number = 0, _number(digits, (1 << 64) - 1)
            elif line in _STATUSES and self._words & WORDS[line.decode()]:
                status = _STATUSES[line]
            else:
                raise _BadError(_BAD_LINE)
        assert status is not None
        self._add(self._next, status, FAILED if failed else 0, value=value, number=number)
        self._position += len(line) + 2
        self._next += 1
        self._done = self._next == self._count

    def _last(self, line: bytes) -> None:
        """Take a line that is not of a list's own: END, or an error in place of it or of a key.

        memcached's proxy asks for each key of a get by itself, and writes the error of one in its
        place; of one key alone there is no END behind it.
        """
        is_stats = self._kind == STATS
        status = _error_status(line)
        if line == b"END" or (is_stats and self._next == 0 and line in (b"OK", b"RESET")):
            self._done = True
        elif status is None:
            raise _BadError(_BAD_LINE)
        elif self._next == 0 and (is_stats or self._count == 1 or line not in _OF_KEY):
            self._refusal = status
            self._done = True
        elif is_stats:
            raise _BadError(_BAD_LINE)
        elif self._next == self._count:
            raise _BadError(_TOO_MANY)
        else:
            self._next += 1
        if status is not None:
            self._add(0, status, FAILED, value=line)
        self._position += len(line) + 2

    def _value_block(self) -> None:
        line = self._line()
        if not line.startswith(b"VALUE "):
            self._last(line)
            return
        fields = line[6:].split(b" ")
        bare = self._options & BARE != 0
        if len(fields) != (3 if bare else 4) or not fields[0]:
            raise _BadError(_BAD_LINE)
        flags = _number(fields[1], 0xFFFFFFFF)
        size = _number(fields[2], 0xFFFFFFFF)
        cas = 0 if bare else _number(fields[3], (1 << 64) - 1)
        if size > MAX_VALUE:
            raise _BadError(_BAD_SIZE)
        if self._next == self._count:
            raise _BadError(_TOO_MANY)
        start = self._position + len(line) + 2
        value = self._value(start, size)
        self._add(0, 0, HAS_KEY | HAS_VALUE, fields[0], value, flags=flags, cas=cas)
        self._position = start + size + 2
        self._next += 1

    def _stat(self) -> None:
        line = self._line()
        if not line.startswith((b"STAT ", b"ITEM ", b"PREFIX ")):
            self._last(line)
            return
        key, parted, value = line[line.index(b" ") + 1 :].partition(b" ")
        if not key and not (parted and line.startswith(b"PREFIX ")):  # a key may begin with ":"
            raise _BadError(_BAD_LINE)
        self._add(0, 0, 0, key, value)
        self._position += len(line) + 2
        self._next = 1

    def _place(self, opcode: int, opaque: int) -> int:
        """Return which request of the batch a packet answers."""
        index = (opaque - self._first) & 0xFFFFFFFF
        quiet = self._options & QUIET
        if quiet and opcode == _NOOP:
            if index != self._count:
                raise _BadError(_BAD_OPAQUE)
            return index
        if opcode > 63 or not self._words >> opcode & 1:
            raise _BadError(_BAD_OPCODE)
        if index >= self._count or (index < self._next if quiet else index != self._next):
            raise _BadError(_BAD_OPAQUE)
        return index

    def _packet(self) -> None:
        start = self._position
        if len(self._data) > start and self._data[start] != 0x81:
            raise _BadError(_BAD_MAGIC)
        if len(self._data) - start < _HEADER.size:
            raise _MoreError
        fields = _HEADER.unpack_from(self._data, start)
        _, opcode, key_size, extras, kind, status, body, opaque, cas = fields
        index = self._place(opcode, opaque)
        size = body - key_size - extras
        if kind != 0 or size < 0:
            raise _BadError(_BAD_LENGTHS)
        if size > MAX_VALUE:
            raise _BadError(_BAD_SIZE)
        if status == 0 and not (
            extras == 4
            if opcode in _WITH_FLAGS
            else extras == 0 and size == 8
            if opcode in _COUNTERS
            else extras in (0, 4)
        ):
            raise _BadError(_BAD_LENGTHS)
        end = start + _HEADER.size + body
        if len(self._data) < end:
            self._needed = end
            raise _MoreError
        at = start + _HEADER.size
        flags = int.from_bytes(self._data[at : at + 4], "big") if status == 0 and extras == 4 else 0
        key = bytes(self._data[at + extras : at + extras + key_size])
        value = bytes(self._data[at + extras + key_size : end])
        number = int.from_bytes(value, "big") if status == 0 and opcode in _COUNTERS else 0
        marks = (HAS_KEY if key else 0) | (
            HAS_VALUE if status == 0 else 0 if status in (1, 2, 5) else FAILED
        )
        self._add(index, status, marks, key, value, b"", flags, cas, number)
        self._position = end
        if self._options & SERIES:
            self._done = not key or status != 0
        else:
            self._next = index + 1
            last = index if self._options & QUIET else self._next
            self._done = last == self._count

    def _meta(self) -> None:
        line = self._line()
        code = line[:2]
        if code not in _CODES or line[2:3] not in (b"", b" "):
            self._meta_error(line)
            return
        quiet = self._options & QUIET
        if code == b"MN":
            if not quiet or line != b"MN":
                raise _BadError(_BAD_LINE)
            self._add(self._count, 0, 0, line=line)
            self._position += len(line) + 2
            self._done = True
            return
        if line.endswith(b" "):
            raise _BadError(_BAD_LINE)
        tokens = [token for token in line[2:].split(b" ") if token]  # 1.6.17 writes two spaces
        size = 0
        if code == b"VA":
            size = _number(tokens.pop(0) if tokens else b"", 0xFFFFFFFF)
        flags = cas = marks = 0
        opaque, key = None, b""
        for token in tokens:
            letter, rest = token[:1], token[1:]
            if letter == b"f":
                flags = _number(rest, 0xFFFFFFFF)
            elif letter == b"c":
                cas = _number(rest, (1 << 64) - 1)
            elif letter == b"O":
                opaque = _number(rest, 0xFFFFFFFF)
            elif letter == b"k":
                key, marks = rest, marks | HAS_KEY
            else:
                marks |= _MARKS.get(letter, 0)
        if marks & _MARKS[b"b"]:
            # The item was stored by its key's base64, and is named by that: the opaque tells.
            marks &= ~HAS_KEY
        if self._options & BARE and (code == b"VA" or marks & HAS_KEY):
            raise _BadError(_BAD_LINE)
        if size > MAX_VALUE:
            raise _BadError(_BAD_SIZE)
        # memcached 1.6.6 to 1.6.17 answer a bare EN: it can only be about the one that is out.
        if opaque is None and self._count == 1 and not quiet and line == code != b"VA":
            opaque = self._first
        index = -1 if opaque is None else (opaque - self._first) & 0xFFFFFFFF
        if not 0 <= index < self._count or (index < self._next if quiet else index != self._next):
            raise _BadError(_BAD_OPAQUE)
        end = self._position + len(line) + 2
        value = b""
        if code == b"VA":
            value = self._value(end, size)
            marks |= HAS_VALUE
            end += size + 2
        self._add(index, _CODES[code], marks, key, value, line, flags, cas)
        self._position = end
        self._next = index + 1
        self._done = not quiet and self._next == self._count

    def _meta_error(self, line: bytes) -> None:
        """Take an error line, which has no opaque: only the order of replies says whose it is.

        In a quiet batch it is of one that is not answered before the next reply, the row's place is
        then the least that it can be.
        """
        status = _error_status(line)
        quiet = self._options & QUIET
        if status is None:
            raise _BadError(_BAD_LINE)
        if self._options & STRICT and status in (0x81, 0x04):
            raise _BadError(_REFUSED)
        if self._next == self._count:  # what ends the batch was refused
            raise _BadError(_REFUSED)
        self._add(self._next, status, FAILED, value=line)
        self._next += 1
        self._position += len(line) + 2
        self._done = not quiet and self._next == self._count

    def _check_done(self) -> None:
        if not self._done:
            raise RuntimeError("the reply is not complete")

    def hit(self, key: str | bytes, prefix: bytes) -> tuple[int, bytes | None, int, int]:
        """Return the status, value, flags and cas of a reply to a get of one key.

        The value is None for a miss, and the text of a failure. Raises ``ValueError`` if the reply
        is about another key.
        """
        self._check_done()
        if not self._rows:
            return 1, None, 0, 0
        row = self._rows[0]
        if row.marks & HAS_KEY and row.key != wire_name(key, prefix):
            raise unasked(row)
        if row.marks & FAILED or row.status == 0:
            return row.status, row.value, row.flags, row.cas
        return row.status, None, 0, 0

    def hits(
        self, keys: list[str | bytes], prefix: bytes
    ) -> tuple[list[bytes | None], "array[int]", "array[int]", dict[int, tuple[int, bytes]] | None]:
        """Return values, flags, cas and failures of a reply to a get, in the order of the keys.

        A value is None for a miss; a key that is there twice has its value twice, also where it was
        answered once. The failures are statuses and texts by place, or None if there are none; see
        ``failures_of``. Raises ``ValueError`` if the reply is about another key, or about one more
        often than it is there.
        """
        self._check_done()
        values: list[bytes | None] = [None] * len(keys)
        flags, cas = array("I", bytes(4 * len(keys))), array("Q", bytes(8 * len(keys)))
        failures: dict[int, tuple[int, bytes]] = {}
        names = [wire_name(key, prefix) for key in keys]
        places = dict(zip(names, range(len(names)), strict=True)) if self._kind == VALUES else {}
        repeated: dict[bytes, list[int]] = {}  # the places of a key
        is_repeated = self._kind == VALUES and len(places) < len(names)
        if is_repeated:
            for at, name in enumerate(names):
                repeated.setdefault(name, []).append(at)
        if self._refusal:
            refusal = self._rows[0].status, self._rows[0].value
            return values, flags, cas, dict.fromkeys(range(len(keys)), refusal)
        is_quiet = self._kind == META and self._options & QUIET
        errors: list[tuple[int, int, bytes]] = []
        due, is_ordered = 0, True
        for row in self._rows:
            if row.marks & FAILED and (self._kind == VALUES or is_quiet):
                errors.append((due, row.status, row.value))
                continue
            if self._kind == VALUES:
                if is_repeated:  # in order, or from the first on once the order is lost
                    left = repeated.get(row.key, [])
                    which = bisect_left(left, due) if is_ordered else 0
                    is_ordered = is_ordered and which < len(left)
                    at = left.pop(which if is_ordered else 0) if left else -1
                else:
                    at = places.pop(row.key, -1)
                    is_ordered = is_ordered and at >= due
                if at < 0:
                    raise unasked(row)
            else:
                at = row.place
                if at == len(keys):
                    break  # what ends a quiet batch
                if at > len(keys) or (row.marks & HAS_KEY and names[at] != row.key):
                    raise unasked(row)
                if row.marks & FAILED:
                    failures[at] = (row.status, row.value)
                    continue
                if row.status != 0:
                    continue
            values[at], flags[at], cas[at] = row.value, row.flags, row.cas
            due = at + 1
        if errors:
            failures = failures_of(
                errors, range(len(keys)), lambda at: values[at] is not None, is_ordered
            )
        if is_repeated or (self._kind != VALUES and len(set(names)) != len(names)):
            found = {name: at for at, name in enumerate(names) if values[at] is not None}
            for at, name in enumerate(names):
                if values[at] is None and name in found and at not in failures:
                    other = found[name]
                    values[at], flags[at], cas[at] = values[other], flags[other], cas[other]
        return values, flags, cas, failures or None

    def outcomes(
        self, count: int
    ) -> tuple[bytes, "array[int]", dict[int, tuple[int, bytes]] | None]:
        """Return statuses, cas and failures of a reply to `count` mutations.

        A status that stands for a failure is 0; the failures are as in ``hits``.
        """
        self._check_done()
        statuses, cas = bytearray(count), array("Q", bytes(8 * count))
        failures: dict[int, tuple[int, bytes]] = {}
        for row in self._rows:
            if row.place >= count:
                break
            if row.marks & FAILED:
                failures[row.place] = (row.status, row.value)
                continue
            statuses[row.place] = row.status
            if row.status == 0:
                cas[row.place] = row.cas
        return bytes(statuses), cas, failures or None

    def rows(self) -> list[Row]:
        """Return every frame of a complete reply."""
        self._check_done()
        return list(self._rows)


def wire_name(key: str | bytes, prefix: bytes) -> bytes:
    """Return a key as a reply names it."""
    # By the type's own method and a join: neither runs what a subclass has in their place.
    return b"".join((prefix, str.encode(key) if isinstance(key, str) else key))


def unasked(row: Row) -> ValueError:
    """Return the error for an answer to a question that was not asked."""
    return ValueError(f"the reply names a key that was not asked for: {row.key!r}")
