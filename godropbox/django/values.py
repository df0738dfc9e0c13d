"""Values of Django's cache as bytes and flags, and the heads of those stored in parts. No I/O.

The bytes are those that Django's own back ends write, so that each reads the other's: bytes, text
and ints as they are, and all else pickled.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..memcache.codec import Codec, UnreadableValueError
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from ..memcache.serializers import as_serializer
from ..memcache.types import Key

__all__ = ["PARTS", "DjangoCodec", "Encoded", "Head"]

PARTS: Final = 1 << 12
"""Flag of an item that is the head of a value in parts."""

_MARK: Final = b"parts1"
_PLAIN: Final = frozenset([bytes, str, int])
# What a part's key has of the value's own key, in bytes; the rest is the token and a number.
_KEPT: Final = 100


class Encoded:
    """A value that is bytes and flags already."""

    __slots__ = ("data", "flags")

    def __init__(self, data: bytes, flags: int) -> None:
        self.data = data
        self.flags = flags


@dataclass(frozen=True, slots=True)
class Head:
    """What is stored under the key of a value in `count` parts: where they are, and the whole.

    The parts are under keys with the `token`, which each write draws anew: parts of two writes are
    never joined. `size` is the whole's in bytes, `flags` its own.
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
    def read(cls, key: Key, data: bytes) -> "Head":
        """Return what ``text`` wrote. Raises ``UnreadableValueError``, naming `key`."""
        try:
            mark, token, *numbers = data.split(b" ")
            count, size, flags = map(int, numbers)
            if mark != _MARK or not token or not 0 < count <= size:
                raise ValueError
        except ValueError:
            raise UnreadableValueError(
                f"the value of {key!r} is no head of parts", key=key, flags=PARTS
            ) from None
        return cls(token.decode("ascii", "replace"), count, size, flags)

    def text(self) -> bytes:
        """Return what is stored under the value's key."""
        return b"%b %b %d %d %d" % (
            _MARK,
            self.token.encode(),
            self.count,
            self.size,
            self.flags,
        )

    def names(self, name: Key) -> list[str]:
        """Return the keys of the parts of the value of `name`, in their order."""
        raw = name.encode("utf-8", "replace") if isinstance(name, str) else name
        start = raw[:_KEPT].decode("utf-8", "ignore")
        return [f"{start}:{self.token}:{number}" for number in range(self.count)]

    def split(self, name: Key, data: bytes) -> dict[str, Encoded]:
        """Return the parts of `data` by their keys, all of one size but the last."""
        size = -(-self.size // self.count)
        return {
            part: Encoded(data[number * size : (number + 1) * size], 0)
            for number, part in enumerate(self.names(name))
        }

    def join(self, name: Key, found: Mapping[str, Any]) -> bytes | None:
        """Return the whole out of the parts that were found; None unless all of it is there."""
        parts = [found.get(part) for part in self.names(name)]
        if not all(type(part) is bytes for part in parts):
            return None
        whole = b"".join(parts)  # type: ignore[arg-type]  # all are bytes
        return whole if len(whole) == self.size else None


class DjangoCodec(Codec):
    """Codec that gives back each value with the type it had, and raises what a pickle raises.

    `skips` is whether an unreadable value is a miss.
    """

    def __init__(
        self, serializer: Any, compressor: Any, compress_from: int, max_value: int, skips: bool
    ) -> None:
        Codec.__init__(self, serializer, compressor, compress_from, max_value)
        chosen = as_serializer(serializer)
        self._write = None if chosen is None else chosen.dumps
        self._mark = 0 if chosen is None else chosen.flag
        self._stores_bytes = compressor is None
        self.skips = skips

    def encode(self, value: Any) -> tuple[bytes, int]:
        """Return the bytes and the flags that stand for `value`.

        What the serializer raises comes out as it is.
        """
        kind = type(value)
        if kind is bytes and value and self._stores_bytes:
            return value, 0
        if kind is Encoded:
            return value.data, value.flags
        if kind in _PLAIN:
            try:
                return Codec.encode(self, value)
            except InvalidArgumentError:  # a lone surrogate, an int of too many digits
                if self._write is None:
                    raise
        elif self._write is None:
            return Codec.encode(self, value)
        data = self._write(value)
        if type(data) is not bytes:
            raise InvalidTypeError(f"the serializer must return bytes, got {type(data).__name__}")
        if not data:
            return data, self._mark
        data, flags = Codec.encode(self, data)
        return data, flags | self._mark

    def decode(self, key: Key, data: bytes, flags: int) -> Any:
        """Return the value of an item, or the ``Head`` of one in parts."""
        if flags == PARTS:
            return Head.read(key, data)
        return Codec.decode(self, key, data, flags)
