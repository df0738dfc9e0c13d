"""Split a batch into chunks; send each only after the reply to the previous one. No I/O.

A channel whose send blocks until everything is sent would deadlock once both sides' buffers are
full, so in each chunk either the requests fit the smallest send buffer or the replies do (about 64
bytes for a mutation). Chunks also work around memcached 1.6 with TLS, which can overlook requests
that OpenSSL has already read ahead, and then waits for more input.
"""

from collections.abc import Iterable, Sized
from typing import Any

from ..keys import by_key
from ..types import Item, Key
from .ascii import AsciiProtocol
from .base import Protocol

__all__ = ["key_chunks", "mutation_chunks"]

_BYTES = 8192
_MUTATIONS = 128


def key_chunks(protocol: Protocol, keys: Iterable[Key]) -> list[list[Key]]:
    """Split the keys of a get so that the requests of each chunk fit the send buffer."""
    is_ascii = type(protocol) is AsciiProtocol  # where a key takes its own bytes and a space
    chunk: list[Key] = []
    chunks = [chunk]
    room = _BYTES
    for key in by_key(keys):
        size = len(protocol.prefix) + (1 + _most(key) if is_ascii else _size(key))
        if size > room and chunk:
            chunk = []
            chunks.append(chunk)
            room = _BYTES
        chunk.append(key)
        room -= size
    return chunks


def mutation_chunks(mutations: Iterable[Any]) -> list[list[Any]]:
    """Split items or keys so that the requests and the replies of each chunk fit any buffer."""
    chunk: list[Any] = []
    chunks = [chunk]
    room = _BYTES
    for mutation in mutations:
        size = _size(mutation)
        if chunk and (len(chunk) == _MUTATIONS or size > room):
            chunk = []
            chunks.append(chunk)
            room = _BYTES
        chunk.append(mutation)
        room -= size
    return chunks


def _size(mutation: Any) -> int:
    """Return an upper bound for a key's or item's bytes on the wire, without its prefix."""
    is_item = isinstance(mutation, Item)
    key, value = (mutation.key, mutation.value) if is_item else (mutation, b"")
    # Headers and flags are under 64 bytes.
    return 64 + _most(key) + (len(value) if isinstance(value, Sized) else 0)


def _most(key: Any) -> int:
    """Return an upper bound for a key's bytes."""
    if isinstance(key, bytes) or (isinstance(key, str) and str.isascii(key)):
        return len(key)
    return 4 * len(str(key))  # as UTF-8 takes at most 4 bytes per character
