"""32-bit murmur3 in pure Python: the twin of ``murmur3_c``."""

from array import array

from ._args import bad_buffer, checked_int, checked_items
from ._hashes import murmur3

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer

__all__ = ["hash32", "hash32_many"]


def _bytes(name: str, value: object) -> bytes:
    try:
        view = memoryview(value)  # type: ignore[arg-type]  # the test is whether it works
    except TypeError:
        raise bad_buffer(name, value) from None
    if not view.c_contiguous:
        raise bad_buffer(name, value)
    return bytes(view)


def hash32(data: "ReadableBuffer", seed: int = 0) -> int:
    """Return the 32-bit murmur3 of `data`, as an int in [0, 2**32).

    `data` is any C-contiguous bytes-like object; encode text first. `seed` is an int in
    [0, 2**32). Source: Austin Appleby's MurmurHash3_x86_32.

    Raise ``TypeError`` if `data` is not bytes-like or `seed` not an integer, ``ValueError`` if
    `seed` is out of range or `data` not contiguous.
    """
    seed = checked_int("seed", "[0, 2**32)", seed, 1 << 32)
    return murmur3(_bytes("data", data), seed)


def hash32_many(items: "Iterable[ReadableBuffer]", seed: int = 0) -> "array[int]":
    """Return the 32-bit murmur3 of every item, as an ``array("I")``.

    `items` is an iterable of bytes-like objects. `seed` and the errors are as in ``hash32``; an
    error names the index of the bad item.
    """
    seed = checked_int("seed", "[0, 2**32)", seed, 1 << 32)
    return array(
        "I",
        [murmur3(_bytes(f"items[{i}]", item), seed) for i, item in enumerate(checked_items(items))],
    )
