"""Order-independent hashing in pure Python: the twin of ``oihash_c``."""

import hashlib
import struct
import sys
from array import array

from ._args import bad_buffer, checked_items
from ._oihash import PRIMES, SIZE, bad_size

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer

__all__ = ["added", "added_hashes"]

_WORDS = struct.Struct("<8I")


def _texts(items: object, size: int | None = None) -> list[bytes]:
    texts = []
    for i, item in enumerate(checked_items(items)):
        if type(item) is not bytes:
            try:
                view = memoryview(item)  # type: ignore[arg-type]  # the test is whether it works
            except TypeError:
                raise bad_buffer(f"items[{i}]", item) from None
            if not view.c_contiguous:
                raise bad_buffer(f"items[{i}]", item)
            item = bytes(view)
        if size is not None and len(item) != size:
            raise bad_size(f"items[{i}]", len(item))
        texts.append(item)
    return texts


def _combined(digest: bytes, hashes: list[bytes], removes: bool) -> bytes:
    found = array("I", b"".join(hashes))
    if sys.byteorder == "big":
        found.byteswap()
    sums = [sum(found[column :: len(PRIMES)]) for column in range(len(PRIMES))]
    if removes:
        sums = [-total for total in sums]
    words = _WORDS.unpack(digest)
    return _WORDS.pack(
        *[(word + total) % prime for word, total, prime in zip(words, sums, PRIMES, strict=True)]
    )


def added(digest: bytes, items: "Iterable[ReadableBuffer]", removes: bool = False) -> bytes:
    """Return a digest with the SHA-256 of every item added, or taken away if `removes`.

    `digest` is one that this function returned, or 32 zero bytes, `items` an iterable of
    C-contiguous bytes-like objects. Source: Dropbox's ``oihash``.

    Raise ``TypeError`` for an item that is not bytes-like, ``ValueError`` for one that is not
    contiguous; the error names its index.
    """
    sha256 = hashlib.sha256
    return _combined(digest, [sha256(text).digest() for text in _texts(items)], removes)


def added_hashes(digest: bytes, items: "Iterable[ReadableBuffer]", removes: bool = False) -> bytes:
    """Return a digest with the hash of every item, of 32 bytes, added or taken away.

    The arguments and errors are as in ``added``; raise ``ValueError`` for another size.
    """
    return _combined(digest, _texts(items, SIZE), removes)
