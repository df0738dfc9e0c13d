"""How values become smaller: zlib, zstd, or a compressor of one's own. No I/O.

That an item is compressed is told by its flags: 8 for zlib, as pymemcache and pylibmc have it,
0x400 for zstd, bits among ``CUSTOM_COMPRESSORS`` for one of one's own. What is decompressed has a
limit, for a few bytes out of a cache may stand for more than the memory there is.
"""

import sys
import zlib
from typing import Any, Final, Protocol

from .errors import InvalidArgumentError
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
"""The bits of an item's flags that are free for compressors of one's own."""


class Compressor(Protocol):
    """Makes bytes smaller and whole again; threads share it.

    `flag` is what marks its values in the flags of an item: a number with bits of
    ``CUSTOM_COMPRESSORS`` alone, the same wherever these values are read.
    """

    @property
    def flag(self) -> int:
        """The bits that mark its values."""

    def compress(self, data: bytes) -> bytes:
        """Return the data, compressed."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the data as it was; raise for damage, and for more than `limit` bytes of it.

        It has to stop at the limit, not to look at the size of what it has made.
        """


class ZlibCompressor:
    """zlib, at a `level` of 1 (fast) to 9 (small)."""

    flag: Final = ZLIB

    def __init__(self, level: int = 1) -> None:
        if not 1 <= level <= 9:
            raise InvalidArgumentError(f"level must be in [1, 9] for zlib, got {level!r}")
        self._level = level

    def compress(self, data: bytes) -> bytes:
        """Return the data, compressed."""
        return zlib.compress(data, self._level)

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the data as it was; raise for damage, and for more than `limit` bytes of it."""
        return _whole("zlib", zlib.decompressobj(), data, limit)


class ZstdCompressor:
    """zstd, at a `level` of 1 to 22: Python's own from 3.14, before by ``backports.zstd``."""

    flag: Final = ZSTD

    def __init__(self, level: int = 3) -> None:
        if not 1 <= level <= 22:
            raise InvalidArgumentError(f"level must be in [1, 22] for zstd, got {level!r}")
        self._level = level
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        self._zstd: Any = package(name, "compressor='zstd'", "zstd")

    def compress(self, data: bytes) -> bytes:
        """Return the data, compressed."""
        smaller: bytes = self._zstd.compress(data, self._level)
        return smaller

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the data as it was; raise for damage, and for more than `limit` bytes of it."""
        return _whole("zstd", self._zstd.ZstdDecompressor(), data, limit)


def _whole(name: str, stream: Any, data: bytes, limit: int) -> bytes:
    """Return all that a new decompressor makes of `data`, if it is no more than `limit` bytes."""
    whole: bytes = stream.decompress(data, limit + 1)
    if len(whole) > limit:
        raise ValueError(f"it is more than {limit} bytes when decompressed (max_value)")
    if not stream.eof or stream.unused_data:
        raise ValueError(f"the {name} stream is cut off, or there is more behind it")
    return whole


_NAMED: Final[dict[str, Any]] = {"zlib": ZlibCompressor, "zstd": ZstdCompressor}


def as_compressor(compressor: Any) -> Compressor | None:
    """Return the compressor that an option means: None, a name, or a ``Compressor``."""
    if compressor is None:
        return None
    if isinstance(compressor, str):
        if compressor not in _NAMED:
            raise InvalidArgumentError(
                f"compressor must be 'zlib', 'zstd', a Compressor or None, got {compressor!r}"
            )
        named: Compressor = _NAMED[compressor]()
        return named
    checked_flag("compressor", compressor, CUSTOM_COMPRESSORS, tuple(_NAMED.values()))
    checked: Compressor = compressor
    return checked
