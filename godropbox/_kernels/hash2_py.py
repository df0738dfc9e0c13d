"""Permutation hashing in pure Python: the twin of ``hash2_c``.

The algorithm is described in ``csrc/hash2.h``. Buffers come checked from ``godropbox.hash2``.
"""

from array import array
from typing import Final

from ._args import checked_int

__all__ = ["SIMD", "consistent_hash", "hash_many", "set_hash", "set_hash_many"]

SIMD: Final = "none"

_SHARDS: Final = 65535
_MASK: Final = 0xFFFFFFFF


def _next(x: int) -> int:
    """Return 32-bit murmur3 of the four bytes of `x`, with seed 12345."""
    k = x * 0xCC9E2D51 & _MASK
    k = (k << 15 | k >> 17) * 0x1B873593 & _MASK
    h = k ^ 12345
    h = (h << 13 | h >> 19) * 5 + 0xE6546B64 & _MASK
    h ^= 4
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    return h ^ h >> 16


def _deal(hash_: int, best: int, lowest: int, start: int, stop: int) -> tuple[int, int, int]:
    """Deal to the shards from `start` to `stop` - 1; `hash_` dealt to the one before them.

    Returns the last value of the generator, the first shard so far and its place. ``_next`` is
    written out in the loop, which halves the time.
    """
    if start & 1 and start < stop:
        digit = (hash_ >> 16) % (_SHARDS - start)
        if digit < lowest:
            best, lowest = start, digit
        start += 1
    for shard in range(start, stop, 2):
        if not lowest:
            break
        k = hash_ * 0xCC9E2D51 & 0xFFFFFFFF
        h = ((k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF) ^ 12345
        h = ((h << 13 | h >> 19) * 5 + 0xE6546B64 & 0xFFFFFFFF) ^ 4
        h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        hash_ = h ^ h >> 16
        digit = (hash_ & 0xFFFF) % (65535 - shard)
        if digit < lowest:
            best, lowest = shard, digit
        if shard + 1 < stop:
            digit = (hash_ >> 16) % (65534 - shard)
            if digit < lowest:
                best, lowest = shard + 1, digit
    return hash_, best, lowest


def _first(key: int) -> int:
    return (key ^ key >> 32) & _MASK


def consistent_hash(key: int, num_shards: int) -> int:
    """Return the shard of `key` among `num_shards` shards, as Dropbox's Go fleet places it.

    `key` is an int in [0, 2**64), `num_shards` an int in [0, 65535]; 0 and 1 give 0. The result
    is in [0, num_shards). Time grows with `num_shards`: about 3.5 ns a shard, compiled.

    Raises ``TypeError`` for what is no integer and ``ValueError`` for one out of range.
    """
    key = checked_int("key", "[0, 2**64)", key, 1 << 64)
    num_shards = checked_int("num_shards", "[0, 65535]", num_shards, 65536)
    return _deal(_first(key), 0, _SHARDS, 0, num_shards)[1]


def hash_many(
    keys: memoryview, few: int, many: int, out_few: memoryview, out_many: memoryview | None
) -> None:
    """Write the shards of `keys` under `few` shards and, unless it is None, under `many`.

    `keys` has format "Q", the outputs have format "H" and its length; 0 <= few <= many <= 65535.
    """
    for i, key in enumerate(keys):
        hash_, best, lowest = _deal(_first(key), 0, _SHARDS, 0, few)
        out_few[i] = best
        if out_many is not None:
            out_many[i] = _deal(hash_, best, lowest, few, many)[1]


def set_hash(key: int, bitmap: bytes, lowest: int, highest: int) -> int:
    """Return the shard of `key` among those whose bit is set in `bitmap` (8,192 bytes).

    `lowest` and `highest` are the least and the greatest id in it. `key` is checked as
    ``consistent_hash`` checks it.
    """
    return _set_hash(checked_int("key", "[0, 2**64)", key, 1 << 64), bitmap, lowest, highest)


def _set_hash(key: int, bitmap: bytes, lowest: int, highest: int) -> int:
    hash_ = _first(key)
    best, before = lowest, _SHARDS
    for _ in range(lowest >> 1):
        hash_ = _next(hash_)
    if lowest & 1:
        hash_ = _next(hash_)
    for shard in range(lowest, highest + 1):
        if shard & 1:
            digit = (hash_ >> 16) % (_SHARDS - shard)
        else:
            hash_ = _next(hash_)
            digit = (hash_ & 0xFFFF) % (_SHARDS - shard)
        if digit < before:
            if bitmap[shard >> 3] >> (shard & 7) & 1:
                best, before = shard, digit
            else:
                before -= 1
            if not before:
                break
    return best


def set_hash_many(
    keys: memoryview, bitmap: bytes, lowest: int, highest: int, out: memoryview
) -> None:
    """Write the shards of `keys` (format "Q") to `out` (format "H", the same length)."""
    out[:] = memoryview(array("H", [_set_hash(key, bitmap, lowest, highest) for key in keys]))
