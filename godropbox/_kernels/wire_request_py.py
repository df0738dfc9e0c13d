"""Requests to memcached in pure Python: the twin of ``wire_request_c``.

`first` is the opaque of the first request of a batch; each later request has the next one. `prefix`
is prepended to every key. Stores return a list of buffers to send in order; large values are in it
uncopied. All functions raise ``TypeError`` or ``ValueError`` for keys and items that must not be
sent.
"""

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ._args import bad_buffer
from ._wire import LINE, LINE_KEYS, MAX_VALUE, bad_item, bad_key, bad_size, bad_token, checked_range

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "ascii_each",
    "ascii_keys",
    "ascii_stores",
    "binary_keys",
    "binary_stores",
    "checked_range",
    "has_repeats",
    "meta_keys",
    "meta_stores",
    "roomy_dict",
    "token_kinds",
    "wire_key",
]

LARGE: Final = 16384
_HEADER: Final = struct.Struct(">BBHBBHIIQ")
_NOOP: Final = 0x0A
_LONG_AGO: Final = 2592001  # January 1970: what memcached makes of a negative expiry
_BAD_BYTES: Final = bytes((*range(0x21), 0x7F))

_Key = str | bytes


def wire_key(key: _Key, prefix: bytes) -> bytes:
    """Return the key as sent on the wire, with its prefix."""
    if isinstance(key, str):
        try:
            wire = prefix + str.encode(key)  # a subclass may override encode
        except UnicodeEncodeError:
            raise bad_key(key, prefix) from None
    elif isinstance(key, bytes):
        wire = b"".join((prefix, key))
    else:
        raise bad_key(key, prefix)
    if not 0 < len(wire) <= 250 or len(wire.translate(None, _BAD_BYTES)) != len(wire):
        raise bad_key(key, prefix)
    return wire


def is_plain_key(key: object, prefix: bytes) -> bool:
    """Return whether a key has bytes, and ``wire_key`` takes it."""
    if isinstance(key, str):
        try:
            wire = prefix + str.encode(key)
        except UnicodeEncodeError:
            return False
    elif isinstance(key, bytes):
        wire = b"".join((prefix, key))
    else:
        return False
    fits = len(prefix) < len(wire) <= 250
    return fits and len(wire.translate(None, _BAD_BYTES)) == len(wire)


def roomy_dict(count: int) -> dict[Any, Any]:
    """Return an empty dict, presized for `count` keys where the interpreter supports it."""
    return {}


def has_repeats(keys: list[Any]) -> bool:
    """Return whether a key occurs twice in the list."""
    held = tuple(keys)  # a key's own __hash__ or __eq__ may change the list
    return len(set(held)) != len(held)


def token_kinds(items: Iterable[Any]) -> int:
    """Return 1 if some items have no CAS token, 2 if some have one, 3 if both; 0 if empty."""
    kinds = 0
    for each in items:
        kinds |= 2 if each[3] else 1
    return kinds


def _check_kinds(keys: list[Any]) -> None:
    """Refuse a mixture of str and bytes, in which two keys can be equal on the wire."""
    if len({isinstance(key, str) for key in keys}) > 1:
        raise TypeError("keys must be all str or all bytes")


class _Writer:
    """A request under construction: finished buffers, with large values as they are."""

    def __init__(self) -> None:
        self.buffers: list[ReadableBuffer] = []
        self.open = bytearray()

    def add_value(self, value: "ReadableBuffer", view: memoryview) -> None:
        if len(view) < LARGE:
            self.open += view
            return
        self.cut()
        self.buffers.append(value if isinstance(value, bytes) else view)

    def cut(self) -> None:
        if self.open:
            self.buffers.append(bytes(self.open))
            self.open.clear()


def _fields(item: Any) -> tuple[_Key, Any, int, int, int, memoryview]:
    """Return the checked fields of an item."""
    if not isinstance(item, tuple) or len(item) != 5:
        raise bad_item(item)
    key, value, flags, cas, expire = item
    flags = checked_range("flags", flags, 0, 1 << 32, "[0, 2**32)")
    cas = checked_range("cas", cas, 0, 1 << 64, "[0, 2**64)")
    expire = checked_range("expire", expire, -(1 << 31), 1 << 31, "[-2**31, 2**31)")
    try:
        view = memoryview(value)
    except TypeError:
        raise bad_buffer("value", value) from None
    if not view.c_contiguous:
        raise bad_buffer("value", value)
    if view.nbytes > MAX_VALUE:
        raise bad_size(view.nbytes)
    return key, value, flags, cas, expire, view.cast("B")


def ascii_keys(command: bytes, keys: list[Any], prefix: bytes, most_line: int = LINE) -> bytes:
    """Return a command for keys, in lines of at most LINE_KEYS of them and `most_line` bytes.

    Each line has the command. None but a short one is of a single key that others go before.
    """
    _check_kinds(keys)
    lines = []
    line, size = [command], len(command)
    for at, key in enumerate(keys):
        wire = wire_key(key, prefix)
        is_full = len(line) > LINE_KEYS or size + 1 + len(wire) + 2 > most_line
        if is_full and len(line) > 1 and (at < len(keys) - 1 or most_line < LINE):
            lines.append(b" ".join(line))
            line, size = [command], len(command)
        line.append(wire)
        size += 1 + len(wire)
    return b"\r\n".join((*lines, b" ".join(line), b""))


def ascii_each(before: bytes, keys: list[Any], after: bytes, prefix: bytes) -> bytes:
    """Return one command per key: `before`, the key, `after`."""
    return b"".join([before + wire_key(key, prefix) + after for key in keys])


def ascii_stores(
    verb: bytes, items: Iterable[Any], prefix: bytes, tokens: bool = True
) -> "list[ReadableBuffer]":
    """Return a store for each item: `verb`, or cas if it has a CAS token and `tokens` allows it."""
    writer = _Writer()
    for item in items:
        key, value, flags, cas, expire, view = _fields(item)
        if expire < 0:  # which nutcracker closes the connection on; the binary protocol has none
            expire = _LONG_AGO
        if cas and not tokens:
            raise bad_token(cas)
        wire = wire_key(key, prefix)
        if cas:
            writer.open += b"cas %b %d %d %d %d\r\n" % (wire, flags, expire, len(view), cas)
        else:
            writer.open += b"%b%b %d %d %d\r\n" % (verb, wire, flags, expire, len(view))
        writer.add_value(value, view)
        writer.open += b"\r\n"
    writer.cut()
    return writer.buffers


def binary_keys(
    opcode: int, keys: list[Any], extras: bytes, first: int, prefix: bytes, quiet: bool = False
) -> bytes:
    """Return a packet for each key, followed by a NOOP if `quiet`."""
    _check_kinds(keys)
    packets = []
    size = len(extras)
    for opaque, key in enumerate(keys, first):
        wire = wire_key(key, prefix)
        total = size + len(wire)
        packets.append(
            _HEADER.pack(0x80, opcode, len(wire), size, 0, 0, total, opaque & 0xFFFFFFFF, 0)
        )
        packets += (extras, wire)
    if quiet:
        opaque = (first + len(keys)) & 0xFFFFFFFF
        packets.append(_HEADER.pack(0x80, _NOOP, 0, 0, 0, 0, 0, opaque, 0))
    return b"".join(packets)


def binary_stores(
    opcode: int, zero: int, items: Iterable[Any], extras: bool, first: int, prefix: bytes
) -> "list[ReadableBuffer]":
    """Return a packet for each item: `opcode` if it has a CAS token, `zero` if not."""
    writer = _Writer()
    for opaque, item in enumerate(items, first):
        key, value, flags, cas, expire, view = _fields(item)
        wire = wire_key(key, prefix)
        size = 8 if extras else 0
        code = opcode if cas else zero
        total = size + len(wire) + len(view)
        writer.open += _HEADER.pack(
            0x80, code, len(wire), size, 0, 0, total, opaque & 0xFFFFFFFF, cas
        )
        if extras:
            writer.open += struct.pack(">II", flags, expire if expire >= 0 else _LONG_AGO)
        writer.open += wire
        writer.add_value(value, view)
    writer.cut()
    return writer.buffers


def meta_keys(
    command: bytes, keys: list[Any], flags: bytes, first: int, prefix: bytes, quiet: bool = False
) -> bytes:
    """Return a meta command for each key, followed by mn if `quiet`."""
    _check_kinds(keys)
    end = b" q\r\n" if quiet else b"\r\n"
    lines = [
        b"%b%b%b O%d%b" % (command, wire_key(key, prefix), flags, opaque & 0xFFFFFFFF, end)
        for opaque, key in enumerate(keys, first)
    ]
    return b"".join(lines) + (b"mn\r\n" if quiet else b"")


def meta_stores(
    flags: bytes, zero: bytes, items: Iterable[Any], first: int, prefix: bytes
) -> "list[ReadableBuffer]":
    """Return a meta store for each item: `flags` if it has a CAS token, `zero` if not."""
    writer = _Writer()
    for opaque, item in enumerate(items, first):
        key, value, item_flags, cas, expire, view = _fields(item)
        wire = wire_key(key, prefix)
        writer.open += b"ms %b %d F%d T%d" % (wire, len(view), item_flags, expire)
        writer.open += b" C%d%b" % (cas, flags) if cas else zero
        writer.open += b" O%d\r\n" % (opaque & 0xFFFFFFFF)
        writer.add_value(value, view)
        writer.open += b"\r\n"
    writer.cut()
    return writer.buffers
