"""A hash of a multiset, whatever the order of its items: two shards or caches compared unsorted.

    here, there = OiHash(rows_here), OiHash(rows_there)
    if here == there: ...  # the same items, each as many times

Hashes of parts add up, ``OiHash(a) + OiHash(b) == OiHash(a + b)``, so each shard sends 32 bytes.

Not for what an enemy chooses: collisions can be made on purpose, as a column is a sum of 32 bits.
Source: Dropbox's ``oihash``, bit for bit.
"""

import threading

from ._kernels import oihash as _kernel
from ._kernels._args import bad_buffer, shown
from ._kernels._oihash import PRIMES, SIZE, bad_size

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from _typeshed import ReadableBuffer

__all__ = ["OiHash"]

_EMPTY = bytes(SIZE)
_added = _kernel.added
_added_hashes = _kernel.added_hashes


class OiHash:
    """The hash of `items`, an iterable of bytes-like objects, to which more can be added.

    Threads may share one; each call takes effect as a whole. Raise ``TypeError`` for an item that
    is not bytes-like (encode text first), ``ValueError`` for one that is not contiguous; the error
    names the item's index, and nothing was added.
    """

    __slots__ = ("_digest", "_lock")

    def __init__(self, items: "Iterable[ReadableBuffer]" = ()) -> None:
        self._digest = _added(_EMPTY, items)
        self._lock = threading.Lock()

    @classmethod
    def from_digest(cls, digest: "ReadableBuffer") -> "Self":
        """Return the hash that has this digest, of 32 bytes.

        Raise ``TypeError`` for what is not bytes-like, ``ValueError`` for another size, or for a
        digest that no multiset has.
        """
        self = cls.__new__(cls)
        self._digest = _checked(digest)
        self._lock = threading.Lock()
        return self

    def insert(self, item: "ReadableBuffer") -> None:
        """Add an item."""
        held = (_bytes("item", item),)
        with self._lock:
            self._digest = _added(self._digest, held)

    def remove(self, item: "ReadableBuffer") -> None:
        """Take an item away; one that was never added leaves a hash of no multiset."""
        held = (_bytes("item", item),)
        with self._lock:
            self._digest = _added(self._digest, held, True)

    def insert_many(self, items: "Iterable[ReadableBuffer]") -> None:
        """Add every item; for many at a time the fastest way by far."""
        total = _added(_EMPTY, items)
        with self._lock:
            self._digest = _added_hashes(self._digest, (total,))

    def remove_many(self, items: "Iterable[ReadableBuffer]") -> None:
        """Take every item away."""
        total = _added(_EMPTY, items)
        with self._lock:
            self._digest = _added_hashes(self._digest, (total,), True)

    def insert_hash(self, item_hash: "ReadableBuffer") -> None:
        """Add an item by its SHA-256, or the digest of another multiset: 32 bytes.

        Raise ``ValueError`` for another size.
        """
        held = (_sized("item_hash", item_hash),)
        with self._lock:
            self._digest = _added_hashes(self._digest, held)

    def remove_hash(self, item_hash: "ReadableBuffer") -> None:
        """Take an item away by its SHA-256, as ``insert_hash`` adds it."""
        held = (_sized("item_hash", item_hash),)
        with self._lock:
            self._digest = _added_hashes(self._digest, held, True)

    def digest(self) -> bytes:
        """Return the hash as 32 bytes, as Go's ``Digest`` and ``MarshalBinary`` do."""
        return self._digest

    def hexdigest(self) -> str:
        """Return the hash as 64 hexadecimal digits."""
        return self._digest.hex()

    def copy(self) -> "Self":
        """Return a hash of its own with the same digest."""
        return type(self).from_digest(self._digest)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, object]) -> "Self":
        return self.copy()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_digest, (self._digest,)

    def __add__(self, other: object) -> "Self":
        """Return the hash of both multisets together, as Go's ``Combine`` does."""
        if not isinstance(other, OiHash):
            return NotImplemented
        return type(self).from_digest(_added_hashes(self._digest, (other._digest,)))

    def __sub__(self, other: object) -> "Self":
        """Return the hash of this multiset without the items of another."""
        if not isinstance(other, OiHash):
            return NotImplemented
        return type(self).from_digest(_added_hashes(self._digest, (other._digest,), True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OiHash):
            return NotImplemented
        return self._digest == other._digest

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"OiHash.from_digest(bytes.fromhex({self.hexdigest()!r}))"


def _bytes(name: str, value: object) -> bytes:
    if type(value) is bytes:
        return value
    try:
        view = memoryview(value)  # type: ignore[arg-type]  # the test is whether it works
    except TypeError:
        raise bad_buffer(name, value) from None
    if not view.c_contiguous:
        raise bad_buffer(name, value)
    return bytes(view)


def _sized(name: str, value: object) -> bytes:
    found = _bytes(name, value)
    if len(found) != SIZE:
        raise bad_size(name, len(found))
    return found


def _checked(digest: object) -> bytes:
    found = _sized("digest", digest)
    for column, prime in enumerate(PRIMES):
        word = int.from_bytes(found[4 * column : 4 * column + 4], "little")
        if word >= prime:
            raise ValueError(f"word {column} of digest must be in [0, {prime}), got {shown(word)}")
    return found
