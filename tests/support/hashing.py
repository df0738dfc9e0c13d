"""Reference forms of the hashes, written from their definitions and as slow as they need be."""

from collections.abc import Collection

SHARDS = 65535


def murmur3(data: bytes, seed: int = 0) -> int:
    """32-bit murmur3 as its description has it, a byte string at a time."""
    h = seed
    for at in range(0, len(data), 4):
        block = data[at : at + 4]
        k = int.from_bytes(block, "little") * 0xCC9E2D51 % 2**32
        k = (k << 15 | k >> 17) % 2**32 * 0x1B873593 % 2**32
        h ^= k
        if len(block) == 4:
            h = ((h << 13 | h >> 19) % 2**32 * 5 + 0xE6546B64) % 2**32
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = (h ^ h >> shift) * factor % 2**32
    return h


def digits(key: int, count: int) -> list[int]:
    """The digits that `key` deals to the shards 0 to `count` - 1."""
    value = key % 2**32 ^ key >> 32
    dealt: list[int] = []
    while len(dealt) < count:
        value = murmur3(value.to_bytes(4, "little"), 12345)
        for half in (value & 0xFFFF, value >> 16):
            dealt.append(half % (SHARDS - len(dealt)) if len(dealt) < SHARDS else 0)
    return dealt[:count]


def permutation_shard(key: int, shards: Collection[int]) -> int:
    """The shard of `key` by the letter: lay out the permutation, take the first available.

    Shard s takes the digit-th place that the shards before it left free.
    """
    taken: dict[int, int] = {}
    for shard, digit in enumerate(digits(key, max(shards) + 1)):
        place = digit
        for other in sorted(taken):
            if other > place:
                break
            place += 1
        taken[place] = shard
    return next(taken[place] for place in sorted(taken) if taken[place] in shards)
