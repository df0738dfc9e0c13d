"""Cutting a batch into parts, each of which is answered before the next is sent. No I/O.

A channel that can only send everything or nothing would come to a stop with both sides' buffers
full: of each part either the requests fit the smallest send buffer, or the replies do (about 64
bytes to a mutation). And memcached 1.6 with TLS can forget what OpenSSL has read ahead of it, and
then waits for more: with such parts there is nothing to forget.
"""

from collections.abc import Iterable, Sized
from typing import Any

from ..keys import by_key
from ..types import Item, Key
from .ascii import AsciiProtocol
from .base import Protocol

__all__ = ["key_parts", "mutation_parts"]

_BYTES = 8192
_MUTATIONS = 128


def key_parts(protocol: Protocol, keys: Iterable[Key]) -> list[list[Key]]:
    """Cut the keys of a get where each has a request of its own that may be answered at length.

    In the ASCII protocol all of them are one request, which is answered when it was read.
    """
    given = list(by_key(keys))
    if type(protocol) is AsciiProtocol:
        return [given]
    part: list[Key] = []
    parts = [part]
    room = _BYTES
    for key in given:
        size = len(protocol.prefix) + _size(key)
        if size > room and part:
            part = []
            parts.append(part)
            room = _BYTES
        part.append(key)
        room -= size
    return parts


def mutation_parts(things: Iterable[Any], plain: bool) -> list[list[Any]]:
    """Cut items or keys so that their answers fit any buffer, and, unless `plain`, they do too."""
    part: list[Any] = []
    parts = [part]
    room = _BYTES
    for thing in things:
        size = 64 if plain else _size(thing)
        if part and (len(part) == _MUTATIONS or size > room):
            part = []
            parts.append(part)
            room = _BYTES
        part.append(thing)
        room -= size
    return parts


def _size(thing: Any) -> int:
    """Return at least how many bytes a key or an item takes on the wire, without its prefix."""
    key, value = (thing.key, thing.value) if isinstance(thing, Item) else (thing, b"")
    # Headers and flags are under 64 bytes; UTF-8 takes at most 4 bytes a character.
    return 64 + 4 * len(str(key)) + (len(value) if isinstance(value, Sized) else 0)
