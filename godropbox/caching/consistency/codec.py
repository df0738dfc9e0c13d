"""Entries of the consistency protocol as memcached holds them: flags and bytes. No I/O.

The flags tell the kind, so that the bytes of a value are its own. An entry with other flags was
stored by another client.
"""

import struct
from typing import Final

from .protocol import FOREIGN, Entry, Lease, Mark, Sentinel, Value, Writer

__all__ = ["decoded", "encoded"]

# The upper half is this protocol's, the lower half the kind.
_VALUE: Final = 0x64620001
_LEASE: Final = 0x64620002
_SENTINEL: Final = 0x64620003
_WRITER: Final = struct.Struct(">QQ")  # its id, and the Unix time at which it gives up


def encoded(entry: Entry) -> tuple[int, bytes]:
    """Return the flags and bytes of an entry; the data of a value must be bytes."""
    match entry:
        case Value(data=bytes() as data):
            return _VALUE, data
        case Lease(token=token):
            return _LEASE, token
        case Sentinel(writers=writers):
            return _SENTINEL, b"".join(_WRITER.pack(*writer) for writer in writers)
    raise TypeError(f"encode must return bytes, got {entry.data!r:.80}")


def decoded(flags: int, data: bytes) -> Entry | Mark:
    """Return the entry with these flags and bytes, or FOREIGN."""
    if flags == _VALUE:
        return Value(data)
    if flags == _LEASE:
        return Lease(data)
    if flags == _SENTINEL and len(data) % _WRITER.size == 0:
        return Sentinel(tuple(Writer(*fields) for fields in _WRITER.iter_unpack(data)))
    return FOREIGN
