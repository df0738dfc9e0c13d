"""Which server of a fleet owns a key, in pure Python: the twin of ``placement_c``.

``csrc/placement.h`` describes the rules. The functions here make ``Placement`` objects, which never
change.
"""

import hashlib
import zlib
from bisect import bisect_left

from ._hashes import SHARDS, deal, first_value, murmur3
from ._hashes import hash2_among as among
from ._identity import refuse_copies
from ._placement import (
    NOT_A_KEY,
    bad_key,
    bad_keys,
    bitmap_of,
    checked_names,
    checked_points,
    checked_shards,
    low_bytes,
)

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = [
    "NOT_A_KEY",
    "Placement",
    "crc15_modulo",
    "crc32",
    "fnv1a",
    "hash2",
    "hash2_among",
    "jenkins",
    "jenkins_modulo",
    "jump",
    "ketama",
    "md5_modulo",
    "one_at_a_time",
    "rendezvous",
]

_MASK = 0xFFFFFFFF


def fnv1a(key: "str | bytes") -> int:
    """Return the 64-bit FNV-1a hash of a key, as Go's ``fnv.New64a`` does.

    `key` is bytes, or a str that is encoded as UTF-8. Raise ``TypeError`` for any other type,
    ``ValueError`` for a str that UTF-8 cannot encode.
    """
    return _fnv1a(_bytes(key))


def one_at_a_time(key: "str | bytes") -> int:
    """Return libhashkit's 32-bit one-at-a-time hash of a key.

    The key and the errors are as in ``fnv1a``.
    """
    return _one_at_a_time(_bytes(key))


class Placement:
    """Assigns keys to the shards of one fleet by one rule; immutable and thread-safe.

    ``of(key)`` returns the shard of a key and raises as ``fnv1a`` does. ``of_many(keys)`` returns
    a list with the shard of each key, and ``NOT_A_KEY`` for each key for which ``of`` would raise.
    """

    __slots__ = ("_low", "_one")
    __reduce_ex__ = refuse_copies

    def __init__(self, one: "Callable[[bytes], int]", low: bool = False) -> None:
        self._one = one
        self._low = low

    def of(self, key: "str | bytes") -> int:
        data = _bytes(key)
        if self._low and not data.isascii():
            data = low_bytes(key)
        return self._one(data)

    def of_many(self, keys: "Iterable[Any]") -> list[int]:
        if isinstance(keys, (str, bytes)) or not hasattr(type(keys), "__iter__"):
            raise bad_keys(keys)
        return [self._of_any(key) for key in keys]

    def _of_any(self, key: "Any") -> int:
        try:
            return self.of(key)
        except (TypeError, ValueError):
            return NOT_A_KEY


def hash2(num_shards: int) -> Placement:
    """Return the placement by hash2 of FNV-1a among `num_shards` shards, in [1, 65535]."""
    count = checked_shards(num_shards)
    return Placement(lambda data: deal(first_value(_fnv1a(data)), 0, SHARDS, 0, count)[1])


def hash2_among(shards: "Iterable[int]") -> Placement:
    """Return the placement by hash2 of FNV-1a among the given shard ids."""
    bitmap, lowest, highest = bitmap_of(shards)
    return Placement(lambda data: among(_fnv1a(data), bitmap, lowest, highest))


def crc32(num_shards: int) -> Placement:
    """Return the placement by zlib's CRC-32 modulo `num_shards`, in [1, 65535]."""
    count = checked_shards(num_shards)
    return Placement(lambda data: zlib.crc32(data) % count)


def jenkins_modulo(num_shards: int) -> Placement:
    """Return the placement by libhashkit's one-at-a-time hash modulo `num_shards`."""
    count = checked_shards(num_shards)
    return Placement(lambda data: _one_at_a_time(data) % count)


def md5_modulo(num_shards: int) -> Placement:
    """Return the placement by the first 32-bit word of a key's MD5 modulo `num_shards`."""
    count = checked_shards(num_shards)
    return Placement(lambda data: _md5(data) % count)


def crc15_modulo(num_shards: int) -> Placement:
    """Return the placement by bits 16 to 30 of zlib's CRC-32 modulo `num_shards`."""
    count = checked_shards(num_shards)
    return Placement(lambda data: (zlib.crc32(data) >> 16 & 0x7FFF) % count)


def jump(num_shards: int) -> Placement:
    """Return the placement by jump hash of FNV-1a among `num_shards` shards, in [1, 65535].

    Source: John Lamping and Eric Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm".
    """
    count = checked_shards(num_shards)
    return Placement(lambda data: _jump(_fnv1a(data), count))


def ketama(points: "Iterable[tuple[int, int]]") -> Placement:
    """Return the placement on a ring by the first 32-bit word of a key's MD5.

    `points` are (value, shard) pairs in any order, with values in [0, 2**32) and shards in
    [0, 65534]. A key belongs to the first point whose value is at least the key's hash, and past
    the last point to the first one.
    """
    return _ring(points, _md5)


def jenkins(points: "Iterable[tuple[int, int]]") -> Placement:
    """Return the placement on a ring by libhashkit's one-at-a-time hash of a key.

    `points` are as in ``ketama``.
    """
    return _ring(points, _one_at_a_time)


def rendezvous(names: "Iterable[tuple[bytes, int]]") -> Placement:
    """Return the placement on the shard whose name scores highest for a key.

    The score is the 32-bit murmur3 of the name followed by the low byte of each of the key's
    characters, as in pymemcache. `names` are (name, shard) pairs with shards in [0, 65534]; the
    first of equal scores wins.
    """
    pairs = checked_names(names)
    return Placement(lambda data: max(pairs, key=lambda pair: murmur3(pair[0] + data, 0))[1], True)


def _bytes(key: "str | bytes") -> bytes:
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise bad_key(key)
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise bad_key(key) from None


def _fnv1a(data: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def _md5(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:4], "little")


def _one_at_a_time(data: bytes) -> int:
    h = 0
    for byte in data:
        h += byte if byte < 0x80 else byte | 0xFFFFFF00  # libhashkit adds a signed char
        h += h << 10 & _MASK
        h &= _MASK
        h ^= h >> 6
    h = h + (h << 3) & _MASK
    h ^= h >> 11
    return h + (h << 15) & _MASK


def _jump(number: int, count: int) -> int:
    shard, following = -1, 0
    while following < count:
        shard = following
        number = (number * 2862933555777941757 + 1) & 0xFFFFFFFFFFFFFFFF
        following = int((shard + 1) * ((1 << 31) / ((number >> 33) + 1)))
    return shard


def _ring(points: "Iterable[tuple[int, int]]", hashed: "Callable[[bytes], int]") -> Placement:
    ring = checked_points(points)
    values = [value for value, _ in ring]
    shards = [shard for _, shard in ring]
    shards.append(shards[0])
    return Placement(lambda data: shards[bisect_left(values, hashed(data))])
