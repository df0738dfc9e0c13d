"""Heads of values in parts: what is under the key of a value over the item limit. No I/O.

A head names the parts by a random token that each write draws anew, and says how many they are and
how long: so parts of two writes are never joined.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .._kernels import lasting
from .types import Key

__all__ = ["PARTS", "Head"]

PARTS: Final = 1 << 12
"""Flag of an item that is the head of a value in parts."""

_FORM: Final = re.compile(rb"parts1 ([0-9a-f]{32}) ([1-9]\d{0,9}) ([1-9]\d{0,11}) (\d{1,10})")
_MAX_KEY: Final = 250
# What a part's key has of the value's own key, in bytes; the rest is the token and a number.
_KEPT: Final = 100
_ENDING: Final = 44  # bytes: the token, a number of ten digits and two colons
_SMALLEST: Final = 256  # bytes of a part: a head of more of them is none that was ever written
# Keys that are hashed may have any bytes; no key that is sent has these.
_SENDABLE: Final = bytes(0x5F if byte <= 0x20 or byte == 0x7F else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Head:
    """What is stored under the key of a value in `count` parts: where they are, and the whole.

    The parts are under keys with the `token`. `size` is the whole's in bytes, `flags` its own.
    """

    token: str
    count: int
    size: int
    flags: int

    @classmethod
    def of(cls, data: bytes, flags: int, part_size: int) -> "Head":
        """Return the head of a value that is about to be stored."""
        return cls(secrets.token_hex(16), -(-len(data) // part_size), len(data), flags)

    @classmethod
    def read(cls, data: bytes, most: int) -> "Head":
        """Return what ``text`` wrote; raise ``ValueError`` for anything else.

        `most` is the largest value to read, in bytes: nothing is allocated for a larger one.
        """
        match = _FORM.fullmatch(data)
        if match is None:
            raise ValueError("it is no head of parts")
        head = cls(match[1].decode(), int(match[2]), int(match[3]), int(match[4]))
        last = head.size - (head.count - 1) * head.part_size
        if last <= 0 or (head.count > 1 and head.part_size < _SMALLEST) or head.flags & PARTS:
            raise ValueError("it is no head of parts")
        if head.size > most:
            raise ValueError(f"it has {head.size} bytes in parts, max_value allows {most}")
        return head

    @property
    def part_size(self) -> int:
        """The size of all parts but the last, in bytes."""
        return -(-self.size // self.count)

    def text(self) -> bytes:
        """Return what is stored under the value's key."""
        return b"parts1 %b %d %d %d" % (self.token.encode(), self.count, self.size, self.flags)

    def names(self, key: Key, room: int = _MAX_KEY) -> list[str]:
        """Return the keys of the parts of the value of `key`, in their order.

        `room` is what a key may have, in bytes, without the client's prefix.
        """
        raw = key.encode("utf-8", "replace") if isinstance(key, str) else bytes(key)
        kept = max(0, min(_KEPT, room - _ENDING))
        start = raw[:kept].translate(_SENDABLE).decode("utf-8", "ignore")
        return [f"{start}:{self.token}:{number}" for number in range(self.count)]

    def split(self, data: bytes) -> list[memoryview]:
        """Return the parts of `data`, all of one size but the last."""
        view, size = memoryview(data), self.part_size
        return [view[at : at + size] for at in range(0, self.size, size)]

    def join(self, names: list[str], found: Mapping[str, Any]) -> bytes | None:
        """Return the whole out of the parts `found`; None unless each is there, at its length."""
        parts: list[bytes] = []
        for at, name in enumerate(names):
            part = found.get(name)
            if type(part) is not bytes:
                return None
            if len(part) != min(self.part_size, self.size - at * self.part_size):
                return None
            parts.append(part)
        return b"".join(parts)


lasting.lasting(Head)  # each get compares a value's type with it
