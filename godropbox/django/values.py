"""Values of Django's cache as bytes and flags. No I/O.

The bytes are those that Django's own back ends write, so that each reads the other's: bytes, text
and ints as they are, and all else pickled.
"""

from typing import Any, Final

from ..memcache.codec import Codec
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from ..memcache.serializers import as_serializer

__all__ = ["DjangoCodec"]

_PLAIN: Final = frozenset([bytes, str, int])


class DjangoCodec(Codec):
    """Codec that gives back each value with the type it had, and raises what a pickle raises."""

    def __init__(
        self, serializer: Any, compressor: Any, compress_from: int, max_value: int
    ) -> None:
        Codec.__init__(self, serializer, compressor, compress_from, max_value)
        chosen = as_serializer(serializer)
        self._write = None if chosen is None else chosen.dumps
        self._mark = 0 if chosen is None else chosen.flag
        self._stores_bytes = compressor is None

    def encode(self, value: Any) -> tuple[bytes, int]:
        """Return the bytes and the flags that stand for `value`.

        What the serializer raises comes out as it is.
        """
        kind = type(value)
        if kind is bytes and value and self._stores_bytes:
            return value, 0
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
