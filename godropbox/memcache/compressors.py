"""Compressors: zlib, zstd, and the protocol for custom ones. No I/O.

An item's flags record its compression: 8 for zlib, as in pymemcache and pylibmc, 0x400 for zstd,
bits of ``CUSTOM_COMPRESSORS`` for custom compressors. Decompression has a limit, since a few bytes
from a cache can expand to more than the memory available.
"""

import sys
import zlib
from typing import Any, Final, Protocol

from .errors import InvalidArgumentError
from .hints import closest, required_object
from .serializers import checked_flag, package

__all__ = [
    "CUSTOM_COMPRESSORS",
    "Compressor",
    "ZlibCompressor",
    "ZstdCompressor",
    "as_compressor",
]

ZLIB: Final = 1 << 3
ZSTD: Final = 1 << 10
CUSTOM_COMPRESSORS: Final = 0xFF000000
"""Bits of an item's flags reserved for custom compressors."""


class Compressor(Protocol):
    """Compresses and decompresses bytes; must be safe to share among threads.

    `flag` marks its values in an item's flags: a number made of bits of ``CUSTOM_COMPRESSORS``,
    the same in every program that reads these values.
    """

    @property
    def flag(self) -> int:
        """Bits that mark its values in an item's flags."""

    def compress(self, data: bytes) -> bytes:
        """Return the compressed data."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the original data; raise if it is damaged or exceeds `limit` bytes.

        Decompression must stop at the limit instead of checking the size of its result.
        """


class ZlibCompressor:
    """zlib, with a `level` from 1 (fast) to 9 (small)."""

    flag: Final = ZLIB

    def __init__(self, level: int = 1) -> None:
        if not 1 <= level <= 9:
            raise InvalidArgumentError(f"level must be in [1, 9] for zlib, got {level!r}")
        self._level = level

    def compress(self, data: bytes) -> bytes:
        """Return the compressed data."""
        return zlib.compress(data, self._level)

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the original data; raise if it is damaged or exceeds `limit` bytes."""
        return _whole("zlib", zlib.decompressobj(), data, limit)


class ZstdCompressor:
    """zstd, with a `level` from 1 to 22; before Python 3.14 from ``backports.zstd``."""

    flag: Final = ZSTD

    def __init__(self, level: int = 3) -> None:
        if not 1 <= level <= 22:
            raise InvalidArgumentError(f"level must be in [1, 22] for zstd, got {level!r}")
        self._level = level
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        self._zstd: Any = package(name, "compressor='zstd'", "zstd")

    def compress(self, data: bytes) -> bytes:
        """Return the compressed data."""
        smaller: bytes = self._zstd.compress(data, self._level)
        return smaller

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the original data; raise if it is damaged or exceeds `limit` bytes."""
        return _whole("zstd", self._zstd.ZstdDecompressor(), data, limit)


def _whole(name: str, stream: Any, data: bytes, limit: int) -> bytes:
    """Decompress all of `data` with a new decompressor, to at most `limit` bytes."""
    whole: bytes = stream.decompress(data, limit + 1)
    if len(whole) > limit:
        raise ValueError(f"it exceeds {limit} bytes when decompressed (max_value)")
    if not stream.eof or stream.unused_data:
        raise ValueError(f"the {name} stream is truncated or followed by other data")
    return whole


_NAMED: Final[dict[str, Any]] = {"zlib": ZlibCompressor, "zstd": ZstdCompressor}


def as_compressor(compressor: Any) -> Compressor | None:
    """Return the compressor for an option: None, a name, or a ``Compressor``."""
    if compressor is None:
        return None
    if isinstance(compressor, str):
        if compressor not in _NAMED:
            near = closest(compressor, _NAMED)
            raise InvalidArgumentError(
                f"compressor must be 'zlib', 'zstd', a Compressor or None, got {compressor!r}"
                + (f": did you mean {near!r}?" if near else "")
            )
        named: Compressor = _NAMED[compressor]()
        return named
    required_object("compressor", compressor, _NAMED, ("compress", "decompress"))
    checked_flag("compressor", compressor, CUSTOM_COMPRESSORS, tuple(_NAMED.values()))
    checked: Compressor = compressor
    return checked
