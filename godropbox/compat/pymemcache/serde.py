"""pymemcache's serialisers, byte for byte: what either library stored, the other reads.

A serialiser ("serde") has ``serialize(key, value)``, which returns data and flags, and
``deserialize(key, value, flags)``. Values that are pickled can run code when they are read: use
these only where nobody else can write to the servers.
"""

import logging
import pickle
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

__all__ = [
    "DEFAULT_PICKLE_VERSION",
    "FLAG_BYTES",
    "FLAG_COMPRESSED",
    "FLAG_INTEGER",
    "FLAG_LONG",
    "FLAG_PICKLE",
    "FLAG_TEXT",
    "CompressedSerde",
    "LegacyWrappingSerde",
    "PickleSerde",
    "Serde",
    "compressed_serde",
    "get_python_memcache_serializer",
    "pickle_serde",
    "python_memcache_deserializer",
    "python_memcache_serializer",
]

FLAG_BYTES: Final = 0
FLAG_PICKLE: Final = 1 << 0
FLAG_INTEGER: Final = 1 << 1
FLAG_LONG: Final = 1 << 2
FLAG_COMPRESSED: Final = 1 << 3
FLAG_TEXT: Final = 1 << 4

DEFAULT_PICKLE_VERSION: Final = pickle.HIGHEST_PROTOCOL

Serializer = Callable[[Any, Any], tuple[Any, int]]
Deserializer = Callable[[Any, Any, int], Any]


class Serde(Protocol):
    """What makes bytes of values, and values of bytes."""

    def serialize(self, key: Any, value: Any) -> tuple[Any, int]:
        """Return the data and the flags to store for a value."""

    def deserialize(self, key: Any, value: Any, flags: int) -> Any:
        """Return the value of data and flags."""


def _serialized(key: Any, value: Any, pickle_version: int | None = None) -> tuple[Any, int]:
    # By the exact type, so that an object of a subclass is read as one.
    kind = type(value)
    if kind is bytes:
        return value, FLAG_BYTES
    if kind is str:
        return value.encode("utf8"), FLAG_TEXT
    if kind is int:
        return str(value).encode(), FLAG_INTEGER
    return pickle.dumps(value, pickle_version), FLAG_PICKLE


def get_python_memcache_serializer(pickle_version: int = DEFAULT_PICKLE_VERSION) -> Serializer:
    """Return a serialiser that pickles by this version of the protocol what needs pickling."""
    return partial(_serialized, pickle_version=pickle_version)


python_memcache_serializer = get_python_memcache_serializer()


def python_memcache_deserializer(key: Any, value: Any, flags: int) -> Any:
    """Return the value of data and flags; None, and a line in the log, for a broken pickle."""
    if flags == 0:
        return value
    if flags & FLAG_TEXT:
        return value.decode("utf8")
    if flags & (FLAG_INTEGER | FLAG_LONG):
        return int(value)
    if flags & FLAG_PICKLE:
        try:
            return pickle.loads(value)
        except Exception:
            logging.getLogger(__name__).info("a pickle cannot be read", exc_info=True)
            return None
    return value


class PickleSerde:
    """Stores bytes, text and ints as they are, and pickles everything else."""

    def __init__(self, pickle_version: int = DEFAULT_PICKLE_VERSION) -> None:
        self._serialize_func = get_python_memcache_serializer(pickle_version)

    def serialize(self, key: Any, value: Any) -> tuple[Any, int]:
        """Return the data and the flags to store for a value."""
        return self._serialize_func(key, value)

    def deserialize(self, key: Any, value: Any, flags: int) -> Any:
        """Return the value of data and flags."""
        return python_memcache_deserializer(key, value, flags)


pickle_serde = PickleSerde()


class CompressedSerde:
    """Compresses what another `serde` makes of a value, if that is long and gets shorter.

    `min_compress_len` is in bytes; 0 compresses nothing.
    """

    def __init__(
        self,
        compress: Callable[[bytes], bytes] = zlib.compress,
        decompress: Callable[[bytes], bytes] = zlib.decompress,
        serde: Serde = pickle_serde,
        min_compress_len: int = 400,
    ) -> None:
        self._serde = serde
        self._compress = compress
        self._decompress = decompress
        self._min_compress_len = min_compress_len

    def serialize(self, key: Any, value: Any) -> tuple[Any, int]:
        """Return the data and the flags to store for a value."""
        data, flags = self._serde.serialize(key, value)
        if len(data) > self._min_compress_len > 0:
            small = self._compress(data)
            if len(small) <= len(data):
                return small, flags | FLAG_COMPRESSED
        return data, flags

    def deserialize(self, key: Any, value: Any, flags: int) -> Any:
        """Return the value of data and flags."""
        if flags & FLAG_COMPRESSED:
            value = self._decompress(value)
        return self._serde.deserialize(key, value, flags)


compressed_serde = CompressedSerde()


class LegacyWrappingSerde:
    """A serialiser of two functions; None leaves values as they are, with flags 0."""

    def __init__(
        self, serializer_func: Serializer | None, deserializer_func: Deserializer | None
    ) -> None:
        self.serialize = serializer_func or self._default_serialize
        self.deserialize = deserializer_func or self._default_deserialize

    def _default_serialize(self, key: Any, value: Any) -> tuple[Any, int]:
        return value, 0

    def _default_deserialize(self, key: Any, value: Any, flags: int) -> Any:
        return value
