"""32-bit murmur3 in pure Python: the twin of ``murmur3_c``."""

import struct
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ._args import bad_buffer, checked_int, checked_items

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["hash32", "hash32_many"]

_MASK: Final = 0xFFFFFFFF


def _bytes(name: str, value: object) -> bytes:
    try:
        view = memoryview(value)  # type: ignore[arg-type]  # the test is whether it works
    except TypeError:
        raise bad_buffer(name, value) from None
    if not view.c_contiguous:
        raise bad_buffer(name, value)
    return bytes(view)


def _hash32(data: bytes, seed: int) -> int:
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


def hash32(data: "ReadableBuffer", seed: int = 0) -> int:
    """Return the 32-bit murmur3 of `data`, as an int in [0, 2**32).

    `data` is any C-contiguous bytes-like object (text has to be encoded first), `seed` an int in
    [0, 2**32). Source: Austin Appleby's MurmurHash3_x86_32.

    Raises ``TypeError`` for what is not bytes-like or no integer, ``ValueError`` for a seed out
    of range.
    """
    seed = checked_int("seed", "[0, 2**32)", seed, 1 << 32)
    return _hash32(_bytes("data", data), seed)


def hash32_many(items: "Iterable[ReadableBuffer]", seed: int = 0) -> "array[int]":
    """Return the 32-bit murmur3 of every item, as an ``array("I")``.

    `items` is an iterable of bytes-like objects; `seed` and the errors are those of ``hash32``,
    with the index of the item that is wrong.
    """
    seed = checked_int("seed", "[0, 2**32)", seed, 1 << 32)
    return array(
        "I",
        [_hash32(_bytes(f"items[{i}]", item), seed) for i, item in enumerate(checked_items(items))],
    )
