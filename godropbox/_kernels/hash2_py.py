"""Permutation hashing in pure Python: the twin of ``hash2_c``.

The algorithm is described in ``csrc/hash2.h``. Buffers come checked from ``godropbox.hash2``.
"""

from array import array

from ._args import checked_int
from ._hashes import SHARDS, dealt, first_digits, hash2_among

__all__ = ["SIMD", "consistent_hash", "hash_many", "may_overlap", "set_hash", "set_hash_many"]

SIMD = "none"


def consistent_hash(key: int, num_shards: int) -> int:
    """Return the shard of `key` among `num_shards` shards, as Dropbox's Go fleet places it.

    `key` is an int in [0, 2**64), `num_shards` an int in [0, 65535]; 0 and 1 give 0. The result
    is in [0, num_shards). Time grows with `num_shards`: about 3.5 ns a shard, compiled.

    Raises ``TypeError`` for what is no integer and ``ValueError`` for one out of range.
    """
    key = checked_int("key", "[0, 2**64)", key, 1 << 64)
    num_shards = checked_int("num_shards", "[0, 65535]", num_shards, 65536)
    return dealt(first_digits(key), 0, SHARDS, 0, num_shards)[1]


def hash_many(
    keys: memoryview, few: int, many: int, out_few: memoryview, out_many: memoryview | None
) -> None:
    """Write the shards of `keys` under `few` shards and, unless it is None, under `many`.

    `keys` has format "Q", the outputs have format "H" and its length; 0 <= few <= many <= 65535.
    """
    for i, key in enumerate(keys):
        hash_, best, lowest = dealt(first_digits(key), 0, SHARDS, 0, few)
        out_few[i] = best
        if out_many is not None:
            out_many[i] = dealt(hash_, best, lowest, few, many)[1]


def may_overlap(first: memoryview, second: memoryview) -> bool:
    """Tell whether two buffers may share memory; in pure Python, which sees no addresses, True."""
    return True


def set_hash(key: int, bitmap: bytes, lowest: int, highest: int) -> int:
    """Return the shard of `key` among those whose bit is set in `bitmap` (8,192 bytes).

    `lowest` and `highest` are the least and the greatest id in it. `key` is checked as
    ``consistent_hash`` checks it.
    """
    return hash2_among(checked_int("key", "[0, 2**64)", key, 1 << 64), bitmap, lowest, highest)


def set_hash_many(
    keys: memoryview, bitmap: bytes, lowest: int, highest: int, out: memoryview
) -> None:
    """Write the shards of `keys` (format "Q") to `out` (format "H", the same length)."""
    out[:] = memoryview(array("H", [hash2_among(key, bitmap, lowest, highest) for key in keys]))
