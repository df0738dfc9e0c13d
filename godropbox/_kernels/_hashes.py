"""Hash functions in pure Python, shared by the pure twins of several kernels."""

import struct

__all__ = ["SHARDS", "deal", "first_value", "hash2_among", "murmur3"]

SHARDS = 65535
_MASK = 0xFFFFFFFF


def _next(x: int) -> int:
    """Return the 32-bit murmur3 of the four bytes of `x`, with seed 12345."""
    k = x * 0xCC9E2D51 & _MASK
    k = (k << 15 | k >> 17) * 0x1B873593 & _MASK
    h = k ^ 12345
    h = (h << 13 | h >> 19) * 5 + 0xE6546B64 & _MASK
    h ^= 4
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    return h ^ h >> 16


def deal(hash_: int, best: int, least: int, start: int, stop: int) -> tuple[int, int, int]:
    """Deal digits to the shards from `start` to `stop` - 1 and return the new state.

    The state is the generator's last value, the shard with the least digit so far, and that digit.
    The body of ``_next`` is inlined in the loop, which halves the time.
    """
    if start & 1 and start < stop:
        digit = (hash_ >> 16) % (SHARDS - start)
        if digit < least:
            best, least = start, digit
        start += 1
    for shard in range(start, stop, 2):
        if not least:
            break
        k = hash_ * 0xCC9E2D51 & 0xFFFFFFFF
        h = ((k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF) ^ 12345
        h = ((h << 13 | h >> 19) * 5 + 0xE6546B64 & 0xFFFFFFFF) ^ 4
        h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
        hash_ = h ^ h >> 16
        digit = (hash_ & 0xFFFF) % (65535 - shard)
        if digit < least:
            best, least = shard, digit
        if shard + 1 < stop:
            digit = (hash_ >> 16) % (65534 - shard)
            if digit < least:
                best, least = shard + 1, digit
    return hash_, best, least


def first_value(key: int) -> int:
    """Return the first value of hash2's generator for a 64-bit key."""
    return (key ^ key >> 32) & _MASK


def hash2_among(key: int, bitmap: bytes, lowest: int, highest: int) -> int:
    """Return the shard of a 64-bit key among the shards set in `bitmap`."""
    hash_ = first_value(key)
    best, before = lowest, SHARDS
    for _ in range(lowest >> 1):
        hash_ = _next(hash_)
    if lowest & 1:
        hash_ = _next(hash_)
    for shard in range(lowest, highest + 1):
        if shard & 1:
            digit = (hash_ >> 16) % (SHARDS - shard)
        else:
            hash_ = _next(hash_)
            digit = (hash_ & 0xFFFF) % (SHARDS - shard)
        if digit < before:
            if bitmap[shard >> 3] >> (shard & 7) & 1:
                best, before = shard, digit
            else:
                before -= 1
            if not before:
                break
    return best


def murmur3(data: bytes, seed: int) -> int:
    """Return the 32-bit murmur3 of `data`."""
    h = seed
    size = len(data)
    for (k,) in struct.iter_unpack("<I", data[: size & ~3]):
        k = k * 0xCC9E2D51 & _MASK
        k = (k << 15 | k >> 17) * 0x1B873593 & _MASK
        h ^= k
        h = (h << 13 | h >> 19) * 5 + 0xE6546B64 & _MASK
    if size & 3:
        k = int.from_bytes(data[size & ~3 :], "little") * 0xCC9E2D51 & _MASK
        h ^= (k << 15 | k >> 17) * 0x1B873593 & _MASK
    h ^= size & _MASK
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    return h ^ h >> 16
