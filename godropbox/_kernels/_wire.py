"""Constants of the wire protocols and error messages, shared by the twins of the memcache kernels.

The constants equal those in ``csrc/wire.h``. The functions are called on error paths only.
"""

import operator
from bisect import bisect_left
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from ._args import bad_int, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import ReadableBuffer

__all__ = [
    "BARE",
    "CROWDED",
    "FAILED",
    "HAS_KEY",
    "HAS_VALUE",
    "LINE",
    "LINES",
    "LINE_KEYS",
    "MAX_LINE",
    "MAX_VALUE",
    "META",
    "PACKETS",
    "PIPED",
    "QUIET",
    "REASONS",
    "SENT",
    "SERIES",
    "SHORT_LINE",
    "STALE",
    "STATS",
    "STRICT",
    "VALUES",
    "WON",
    "WORDS",
    "Asked",
    "Row",
    "bad_item",
    "bad_key",
    "bad_leftover",
    "bad_reply",
    "bad_size",
    "bad_token",
    "checked_range",
    "failures_of",
    "no_room",
]

LINES = 0
VALUES = 1
STATS = 2
PACKETS = 3
META = 4

STRICT = 1
QUIET = 2
SERIES = 4
BARE = 8
PIPED = 16

WORDS = {
    "STORED": 1,
    "NOT_STORED": 2,
    "EXISTS": 4,
    "NOT_FOUND": 8,
    "DELETED": 16,
    "TOUCHED": 32,
    "OK": 64,
    "NUMBER": 128,
    "VERSION": 256,
}

WON = 1
SENT = 2
STALE = 4
HAS_KEY = 16
HAS_VALUE = 32
FAILED = 64

MAX_LINE = 8192

# The most bytes and keys of a line of a get, and of one that every server takes.
LINE = 8192
LINE_KEYS = 256
SHORT_LINE = 1024

MAX_VALUE = 1 << 30

REASONS = (
    "",
    "a line is longer than 8192 bytes",
    "a line does not end in CR LF",
    "a line is not one that answers the request",
    "a value is larger than 1 GiB",
    "a value is not followed by CR LF",
    "there are more values than keys",
    "a packet does not start with 0x81",
    "a packet has another opcode than the request",
    "a packet's lengths do not fit its opcode",
    "an opaque is not that of the request",
    "a command that carries data was refused",
    "there are bytes after the end of the reply",
    "the server has no room for the connection",
)
_LEFTOVER = 12

# What memcached sends to a connection beyond those that its option -c allows, before it closes it.
CROWDED = b"ERROR Too many open connections"


class Asked(NamedTuple):
    """A request and the reply to it."""

    request: "list[ReadableBuffer]"
    reply: object


class Row:
    """One frame of a reply, for rare operations without a faster path.

    `place` is the index of its request in the batch; `value` may be the text of an error; `line` is
    the whole line of a meta reply.
    """

    __slots__ = ("cas", "flags", "key", "line", "marks", "number", "place", "status", "value")

    def __init__(
        self,
        place: int,
        status: int,
        marks: int,
        key: bytes,
        value: bytes,
        line: bytes,
        flags: int,
        cas: int,
        number: int,
    ) -> None:
        self.place = place
        self.status = status
        self.marks = marks
        self.key = key
        self.value = value
        self.line = line
        self.flags = flags
        self.cas = cas
        self.number = number


def no_room() -> ConnectionRefusedError:
    """Return the error for a connection that the server greets with ``CROWDED``."""
    return ConnectionRefusedError(
        "the server refused the connection: it has as many as its limit (option -c) allows:"
        f" {CROWDED.decode()}"
    )


def bad_reply(reason: int, data: bytes, position: int) -> ValueError | ConnectionRefusedError:
    """Return the error for a reply that is malformed at `position`, or none at all."""
    if position == 0 and data.startswith(CROWDED):
        return no_room()
    excerpt = data[position : position + 60]
    return ValueError(f"{REASONS[reason]}: {excerpt!r} at byte {position} of the reply")


def bad_leftover(rest: bytes, position: int) -> ValueError | ConnectionRefusedError:
    """Return the error for bytes after a reply that ends at `position`, as ``bad_reply`` has it."""
    if position == 0 and rest.startswith(CROWDED):
        return no_room()
    return ValueError(f"{REASONS[_LEFTOVER]}: {rest[:60]!r} at byte {position} of the reply")


def failures_of(
    errors: list[tuple[int, int, bytes]],
    places: "Sequence[int]",
    has_answer: "Callable[[int], object]",
    is_ordered: bool,
) -> dict[int, tuple[int, bytes]]:
    """Return the failures of keys, by place, that error lines without a name tell of.

    `places` are those of the keys in the order asked, rising. Each error has the least place that
    it can be of, as the answers before it are in that order, its status and its words. Where a row
    of keys without an answer has as many errors, each has its own; where it has fewer, which of the
    keys failed cannot be told, so all did: none of them may pass for a miss. Where answers are in
    another order, that goes for all keys. Raises ``ValueError`` for more errors than keys.
    """
    if not is_ordered:
        errors = [(0, status, words) for _, status, words in errors]
    failures: dict[int, tuple[int, bytes]] = {}
    for least, group in groupby(errors, key=operator.itemgetter(0)):
        told = [(status, words) for _, status, words in group]
        gap = []
        for place in places[bisect_left(places, least) :] if is_ordered else places:
            if not has_answer(place):
                gap.append(place)
            elif is_ordered:
                break
        if len(told) > len(gap):
            raise ValueError("the reply has more errors than keys without an answer")
        if len(told) < len(gap):
            told = told[:1] * len(gap)
        failures.update(zip(gap, told, strict=True))
    return failures


def bad_key(key: object, prefix: bytes) -> Exception:
    """Return the error for a key that must not be sent."""
    if not isinstance(key, (str, bytes)):
        return TypeError(f"key must be str or bytes, got {shown(key)}")
    try:
        wire = prefix + (key.encode() if isinstance(key, str) else key)
    except UnicodeEncodeError as error:
        return ValueError(f"key must be text that UTF-8 can encode, got {shown(key)}: {error}")
    for i, byte in enumerate(wire):
        if byte <= 0x20 or byte == 0x7F:
            return ValueError(
                f"key must have no byte up to 0x20 and no 0x7f, got 0x{byte:02x} at {i}"
                f" of {shown(wire)}"
            )
    return ValueError(
        f"key must be 1 to 250 bytes with its prefix, got {len(wire)} bytes: {shown(wire)}"
    )


def bad_item(item: object) -> TypeError:
    """Return the error for a value that is not an item."""
    return TypeError(f"item must be an Item, got {shown(item)}")


def bad_size(size: int) -> ValueError:
    """Return the error for a value that is too large for any server."""
    return ValueError(f"value must be at most 2**30 bytes, got {size}")


def bad_token(cas: int) -> ValueError:
    """Return the error for a CAS token in an operation that cannot send one."""
    return ValueError(f"cas must be 0 for this operation of the ASCII protocol, got {cas}")


def checked_range(name: str, value: object, least: int, limit: int, allowed: str) -> int:
    """Return `value` as an int in [least, limit), or raise an error that says `allowed`."""
    if not hasattr(type(value), "__index__"):
        raise bad_int(name, allowed, value)
    number = operator.index(value)  # type: ignore[arg-type]  # it has __index__, tested above
    if not least <= number < limit:
        raise bad_int(name, allowed, value)
    return number
