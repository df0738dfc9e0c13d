"""libmemcached's placement of keys: seven hashes of its, modulo the servers or on a ring. No I/O.

Those of the hashes ``default``, ``md5`` and, modulo, ``crc`` are compiled; here are the others.
libmemcached adds the bytes of a key as signed characters: bytes from 0x80 are sign-extended.
"""

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..._kernels import placement as _kernel
from ..address import same_name
from ..errors import InvalidArgumentError
from ..types import Key
from .placement import NOT_A_KEY, Placement, ketama_digests, ketama_name

__all__ = ["DISTRIBUTIONS", "HASHES", "Libmemcached"]

_MASK: Final = 0xFFFFFFFF
_POINTS: Final = 100  # of a server on a ring without weights
_OFFSET_64: Final = 0xCBF29CE484222325
_PRIME_64: Final = 0x100000001B3
_OFFSET_32: Final = 0x811C9DC5
_PRIME_32: Final = 0x01000193

_Hash = Callable[[bytes], int]


def _md5(data: bytes) -> int:
    import hashlib  # it loads OpenSSL

    number: int = struct.unpack_from("<I", hashlib.md5(data, usedforsecurity=False).digest())[0]
    return number


def _crc(data: bytes) -> int:
    return zlib.crc32(data) >> 16 & 0x7FFF


def _extended(data: bytes) -> Iterable[int]:
    """Return the bytes as signed characters in 64 bits."""
    return data if data.isascii() else [(b ^ 0x80) - 0x80 & 0xFFFFFFFFFFFFFFFF for b in data]


def _fnv1_64(data: bytes) -> int:
    hashed = _OFFSET_64
    for byte in _extended(data):
        hashed = hashed * _PRIME_64 & 0xFFFFFFFFFFFFFFFF ^ byte
    return hashed & _MASK


def _fnv1a_64(data: bytes) -> int:
    hashed = _OFFSET_64 & _MASK  # libmemcached keeps 32 bits of it
    for byte in _extended(data):
        hashed = (hashed ^ byte & _MASK) * (_PRIME_64 & _MASK) & _MASK
    return hashed


def _fnv1_32(data: bytes) -> int:
    hashed = _OFFSET_32
    for byte in _extended(data):
        hashed = hashed * _PRIME_32 & _MASK ^ byte & _MASK
    return hashed


def _fnv1a_32(data: bytes) -> int:
    hashed = _OFFSET_32
    for byte in _extended(data):
        hashed = (hashed ^ byte & _MASK) * _PRIME_32 & _MASK
    return hashed


HASHES: Final[Mapping[str, _Hash]] = {
    "default": _kernel.one_at_a_time,
    "md5": _md5,
    "crc": _crc,
    "fnv1_64": _fnv1_64,
    "fnv1a_64": _fnv1a_64,
    "fnv1_32": _fnv1_32,
    "fnv1a_32": _fnv1a_32,
}
"""Hashes of a key to 32 bits, by pylibmc's names."""

_MODULO: Final[Mapping[str, Callable[[int], Placement]]] = {
    "default": _kernel.jenkins_modulo,
    "md5": _kernel.md5_modulo,
    "crc": _kernel.crc15_modulo,
}

DISTRIBUTIONS: Final = ("modula", "consistent", "consistent ketama", "consistent weighted")
"""Ways from a hash to a server, by pylibmc's names."""


@dataclass(frozen=True, slots=True)
class Libmemcached:
    """The shard function of one `hash`, modulo the servers, or on a ring if `is_ring`.

    `ring_hash` is the hash of the points of a ring: libmemcached makes them when the distribution
    is set, so that it may be another than the keys' by then. `weights` are by name; None is for
    a ring without weights.
    """

    is_ring: bool
    hash: str
    ring_hash: str
    weights: Mapping[str, int] | None

    @property
    def has_next(self) -> bool:
        """Whether keys have a next shard: they have on a ring."""
        return self.is_ring

    def bind(self, servers: Sequence[str]) -> Placement:
        """Return the placement over the servers of these names; the first is shard 0."""
        if not self.is_ring:
            compiled = _MODULO.get(self.hash)
            count = len(servers)
            return _Modula(HASHES[self.hash], count) if compiled is None else compiled(count)
        return self.among(servers, range(len(servers)))

    def among(self, servers: Sequence[str], shards: Collection[int]) -> Placement:
        """Return the placement on the ring of some of the servers."""
        if not self.is_ring:
            raise InvalidArgumentError("modula has no next shard for a key whose own is excluded")
        names = [(i, ketama_name(servers[i])) for i in range(len(servers)) if i in shards]
        if self.weights is not None:
            points = _weighted(self.weights, servers, names)
        else:
            hashed = HASHES[self.ring_hash]
            points = [
                (hashed(b"%s-%d" % (name, i)), s) for s, name in names for i in range(_POINTS)
            ]
        if self.hash == "md5":
            return _kernel.ketama(points)
        if self.hash == "default":
            return _kernel.jenkins(points)
        return _Ring(HASHES[self.hash], points)


class _Hashed:
    """A placement by a hash of a key's bytes."""

    __slots__ = ("_hash",)

    def __init__(self, hashed: _Hash) -> None:
        self._hash = hashed

    def of(self, key: Key) -> int:
        """Return the shard of a key."""
        if isinstance(key, bytes):
            return self._shard(self._hash(key))
        if isinstance(key, str):
            return self._shard(self._hash(key.encode()))
        raise TypeError(f"key must be str or bytes, got {type(key).__name__}")

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        """Return the shards of many keys; ``NOT_A_KEY`` for one at which ``of`` raises."""
        return [self._of_any(key) for key in keys]

    def _of_any(self, key: Any) -> int:
        try:
            return self.of(key)
        except (TypeError, ValueError):
            return NOT_A_KEY

    def _shard(self, hashed: int) -> int:
        raise NotImplementedError


class _Modula(_Hashed):
    __slots__ = ("_count",)

    def __init__(self, hashed: _Hash, count: int) -> None:
        super().__init__(hashed)
        self._count = count

    def _shard(self, hashed: int) -> int:
        return hashed % self._count


class _Ring(_Hashed):
    __slots__ = ("_shards", "_values")

    def __init__(self, hashed: _Hash, points: list[tuple[int, int]]) -> None:
        super().__init__(hashed)
        points.sort()
        self._values = [value for value, _ in points]
        self._shards = [shard for _, shard in points]
        self._shards.append(self._shards[0])

    def _shard(self, hashed: int) -> int:
        return self._shards[bisect_left(self._values, hashed)]


def _weighted(
    given: Mapping[str, int], servers: Sequence[str], names: list[tuple[int, bytes]]
) -> list[tuple[int, int]]:
    """Return the points of a weighted ring: those of MD5, whatever the hash is."""
    import hashlib

    known = {same_name(name): weight for name, weight in given.items()}
    weights = {shard: known.get(same_name(servers[shard]), 1) for shard, _ in names}
    total = sum(weights.values())
    points = []
    for shard, name in names:
        for i in range(ketama_digests(weights[shard], total, len(names))):
            digest = hashlib.md5(b"%s-%d" % (name, i), usedforsecurity=False).digest()
            points += [(value, shard) for value in struct.unpack("<4I", digest)]
    return points
