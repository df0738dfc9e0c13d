"""Encode values as an item's bytes and flags, and decode them. No I/O.

bytes, str and int need no serializer; any other type needs the one chosen in the options. Values
from a certain size on are compressed if that makes them smaller. Compiled as it stands
(``codec.pxd``).
"""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from .._kernels._args import shown
from .._kernels._guarded import name_of, text_of
from .compressors import CUSTOM_COMPRESSORS, ZLIB, ZSTD, Compressor, ZlibCompressor, as_compressor
from .errors import InvalidArgumentError, InvalidTypeError, ServerError, UsageError
from .heads import PARTS, Head
from .serializers import JSON, MSGPACK, PICKLE, PickleSerializer, Serializer, as_serializer
from .types import Key

__all__ = ["Codec", "UnreadableValueError"]

INT: Final = 1 << 2  # pylibmc writes bools as 1 << 1, pymemcache ints: both are read as ints
BOOL_OR_INT: Final = 1 << 1
TEXT: Final = 1 << 4
# An item without bytes and flags is an unfilled lease, so b"" needs a flag.
EMPTY: Final = 1 << 11
_COMPRESSED: Final = ZLIB | ZSTD | CUSTOM_COMPRESSORS
_CHOSEN: Final = {
    PICKLE: "pickled, which serializer='pickle' reads",
    MSGPACK: "msgpack, which serializer='msgpack' reads",
    ZSTD: "compressed by zstd, which compressor='zstd' reads",
}


class UnreadableValueError(ServerError):
    """The cached bytes cannot be decoded: damaged, too large, or in a format not enabled here."""


def _itself(data: bytes) -> bytes:
    return data


class Codec:
    """Encoder and decoder for the options of one client; safe to share among threads.

    It always decodes bytes, text, ints, JSON and zlib; pickle, msgpack and zstd only if chosen.
    """

    __slots__ = (
        "_compress",
        "_compress_from",
        "_dumps",
        "_flag",
        "_inflaters",
        "_max",
        "_readers",
        "_zipped",
    )

    def __init__(
        self,
        serializer: Serializer | str | None = None,
        compressor: Compressor | str | None = None,
        compress_from: int = 1024,
        max_value: int = 1 << 26,
    ) -> None:
        chosen = as_serializer(serializer)
        packer = as_compressor(compressor)
        self._readers: dict[int, Any] = {
            0: _itself,
            EMPTY: _itself,
            TEXT: bytes.decode,
            INT: int,
            BOOL_OR_INT: int,
            JSON: _from_json,
            PARTS: partial(Head.read, most=max_value),
        }
        self._dumps: Any = None
        self._flag = 0
        if chosen is not None:
            self._flag = chosen.flag
            if type(chosen) is PickleSerializer:
                self._dumps, self._readers[self._flag] = chosen.functions()
            else:
                self._dumps, self._readers[self._flag] = chosen.dumps, chosen.loads
        zlib = ZlibCompressor()
        self._inflaters: dict[int, Any] = {zlib.flag: zlib.decompress}
        self._compress: Any = None
        self._zipped = 0
        if packer is not None:
            self._inflaters[packer.flag] = packer.decompress
            self._compress, self._zipped = packer.compress, packer.flag
        self._compress_from = compress_from
        self._max = max_value

    def encode(self, value: Any) -> tuple[bytes, int]:
        """Return the bytes and the flags that stand for `value`.

        Raises ``InvalidTypeError`` or ``InvalidArgumentError`` for a value that cannot be encoded.
        """
        kind = type(value)
        flags = 0
        if kind is bytes:
            data: bytes = value
            if not data:
                return data, EMPTY
        elif kind is str:
            try:
                data = value.encode()
            except UnicodeEncodeError as error:
                raise InvalidArgumentError(f"value must be text for UTF-8: {error}") from None
            flags = TEXT
        elif kind is int:
            return self._digits(value), INT
        elif kind is bytearray or kind is memoryview:
            data = bytes(value)
            if not data:
                return data, EMPTY
        else:
            data = self._serialized(value)
            flags = self._flag
        if self._compress is not None and len(data) >= self._compress_from:
            smaller = self._compress(data)
            if len(smaller) < len(data):
                return smaller, flags | self._zipped
        return data, flags

    def encode_items(
        self, values: Mapping[Any, Any]
    ) -> tuple[list[Any], list[bytes], list[int] | None]:
        """Return the keys, the bytes and the flags of a mapping; None if all flags are 0."""
        keys: list[Any] = []
        given: list[Any] = []
        least = self._compress_from if self._compress is not None else sys.maxsize
        if type(values) is dict:
            known: dict[Any, Any] = values
            for key, value in known.items():
                # The common case: all values are bytes below the compression threshold.
                if type(value) is not bytes:
                    break
                data: bytes = value
                if not 0 < len(data) < least:
                    break
                keys.append(key)
                given.append(data)
            else:
                return keys, given, None
        # Copied first, because a custom serializer may change the mapping.
        items = list(values.items())
        pairs = [self.encode(value) for _, value in items]
        keys = [key for key, _ in items]
        return keys, [each for each, _ in pairs], [flag for _, flag in pairs]

    def _digits(self, value: int) -> bytes:
        try:
            return str(value).encode()  # PyPy's b"%d" writes more digits than can be read
        except ValueError as error:  # Python's limit on decimal digits
            raise InvalidArgumentError(f"value must be an int of fewer digits: {error}") from None

    def _serialized(self, value: Any) -> Any:
        if self._dumps is None:
            raise InvalidTypeError(
                "value must be bytes, str or int without a serializer ('json', 'msgpack', "
                f"'pickle'), got {shown(value)}"
            )
        try:
            data = self._dumps(value)
        except Exception as error:
            raise _refused(error, value) from error
        if type(data) is not bytes:
            raise InvalidTypeError(f"the serializer must return bytes, got {shown(data)}")
        return data

    def decode(self, key: Key, data: bytes, flags: int) -> Any:
        """Return the value that an item holds, or the ``Head`` of one in parts.

        Raises ``UnreadableValueError``, naming `key`.
        """
        if flags == TEXT:
            try:
                return data.decode()
            except UnicodeDecodeError as error:
                raise _unreadable(key, flags, str(error)) from error
        packed = flags & _COMPRESSED
        read = self._readers.get(flags & ~_COMPRESSED)
        inflate = self._inflaters.get(packed) if packed else None
        if read is None or (packed and inflate is None):
            raise _unreadable(key, flags, _stranger(flags, read is None))
        try:
            return read(data if inflate is None else inflate(data, self._max))
        except Exception as error:
            raise _unreadable(key, flags, f"{name_of(type(error))}: {text_of(error)}") from error


def _from_json(data: bytes) -> Any:
    """Return the value that JSON stands for, for a client that may never see any."""
    import json

    return json.loads(data.decode())


def _stranger(flags: int, unread: bool) -> str:
    """Describe the format of a value that this client does not decode."""
    unknown = flags & ~_COMPRESSED if unread else flags & _COMPRESSED
    return _CHOSEN.get(unknown, "of a kind that this client does not know")


def _unreadable(key: Key, flags: int, why: str) -> UnreadableValueError:
    return UnreadableValueError(
        f"the value of {shown(key)} cannot be read, flags 0x{flags:x}: {why}", key=key, flags=flags
    )


def _refused(error: Exception, value: Any) -> UsageError:
    kind = InvalidTypeError if issubclass(type(error), TypeError) else InvalidArgumentError
    return kind(f"value cannot be serialized: {text_of(error)}, got {shown(value)}", cause=error)
