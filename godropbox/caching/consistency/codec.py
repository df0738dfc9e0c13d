"""Entries of the consistency protocol as they lie in memcached: flags, bytes and time to live.

The flags tell the kind, so that a value's bytes are the value's alone. An entry with other flags
was put there by somebody else. No I/O.
"""

import struct
from typing import Final

from .protocol import FOREIGN, Entry, Lease, Mark, Sentinel, Value, Writer

__all__ = ["decoded", "encoded"]

# The upper half is this protocol's, the lower half the kind.
_VALUE: Final = 0x64620001
_LEASE: Final = 0x64620002
_SENTINEL: Final = 0x64620003
_WRITER: Final = struct.Struct(">QQ")  # its id, and the Unix time by which it has given up


def encoded(entry: Entry) -> tuple[int, bytes]:
    """Return an entry's flags and bytes; the data of a value must be bytes."""
    match entry:
        case Value(data=bytes() as data):
            return _VALUE, data
        case Lease(token=token):
            return _LEASE, token
        case Sentinel(writers=writers):
            return _SENTINEL, b"".join(_WRITER.pack(*writer) for writer in writers)
    raise TypeError(f"encode must return bytes, got {entry.data!r:.80}")


def decoded(flags: int, data: bytes) -> Entry | Mark:
    """Return the entry that has these flags and bytes, or FOREIGN."""
    if flags == _VALUE:
        return Value(data)
    if flags == _LEASE:
        return Lease(data)
    if flags == _SENTINEL and len(data) % _WRITER.size == 0:
        return Sentinel(tuple(Writer(*fields) for fields in _WRITER.iter_unpack(data)))
    return FOREIGN
