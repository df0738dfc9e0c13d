"""Permutation-based consistent hashing: which shard owns a key, as in Dropbox's Go package.

Every key seeds a permutation of all shard ids 0..65534 and belongs to the available shard that
comes first in it. Removing a shard moves only its own keys, adding one moves keys only to it, and
there is no ring to store or to agree on. ``_kernels.hash2`` has the hot paths; this module has the
types and the argument checks.
"""

import sys
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ._kernels import hash2 as _kernel
from ._kernels._args import checked_int, shown

if TYPE_CHECKING:
    from typing import Protocol

    from _typeshed import ReadableBuffer

    class _Array(Protocol):
        """A NumPy array, which type checkers do not accept as a buffer before Python 3.12."""

        @property
        def __array_interface__(self) -> dict[str, Any]: ...

    Keys = ReadableBuffer | _Array

__all__ = [
    "MAX_SHARDS",
    "ReshardPlan",
    "ShardSet",
    "consistent_hash",
    "consistent_hash_many",
    "md5_checksum",
    "md5_matches",
    "plan_reshard",
]

MAX_SHARDS: Final = 65535
"""The maximum number of shards; shard ids are 0 to ``MAX_SHARDS - 1``."""

Out = TypeVar("Out")

consistent_hash = _kernel.consistent_hash

_set_hash = _kernel.set_hash
_NATIVE_ORDER: Final = "@=<" if sys.byteorder == "little" else "@=>!"
_BITMAP_SIZE: Final = 8192
_STEPS_PER_CALL: Final = 1 << 27  # keys times shards: well under a second, so that Ctrl-C works
_CHUNKS_PER_THREAD: Final = 16
_GROUP: Final = 128  # keys that the widest vector path processes at once


@overload
def consistent_hash_many(
    keys: "Keys", num_shards: int, *, out: None = None, threads: int = 1
) -> "array[int]": ...
@overload
def consistent_hash_many(keys: "Keys", num_shards: int, *, out: Out, threads: int = 1) -> Out: ...
def consistent_hash_many(
    keys: "Keys", num_shards: int, *, out: Any = None, threads: int = 1
) -> Any:
    """Return the shard of each of `keys`, as ``consistent_hash`` does for one.

    `keys` is a C-contiguous buffer of unsigned 64-bit ints: an ``array("Q")``, a memoryview, a
    NumPy ``uint64`` array. `num_shards` is an int in [0, 65535]. Write the shards to `out`, a
    writable C-contiguous buffer of the same number of unsigned 16-bit ints, and return it; without
    `out`, return a new ``array("H")``. `out` may overlap `keys`. At most `threads` threads, an int
    in [1, 1024], share the work, without the interpreter lock.

    Raise ``TypeError`` for a buffer of another type, ``ValueError`` for another length or a number
    out of range.
    """
    view = _view("keys", keys, "QLN", 8, "unsigned 64-bit ints, such as array('Q')")
    num_shards = checked_int("num_shards", "[0, 65535]", num_shards, MAX_SHARDS + 1)
    target, wanted = _output(out, len(view))
    found = _apart(wanted, view)

    def work(keys: memoryview, found: memoryview) -> None:
        _kernel.hash_many(keys, num_shards, num_shards, found, None)

    _share(work, (view, found), num_shards, threads)
    if found is not wanted:
        wanted[:] = found
    return target


class ShardSet:
    """Immutable set of available shards; a key belongs to the first one in its permutation.

    ``ShardSet(range(n)).lookup(key)`` is ``consistent_hash(key, n)``. Removing a shard moves only
    its keys; adding one moves keys only to it. A lookup takes about as long as ``consistent_hash``
    among the highest id plus one shards.

    `shard_ids` is an iterable of at least one int in [0, 65534], without duplicates; raise
    ``TypeError`` or ``ValueError`` otherwise. A set iterates in ascending order, compares by its
    ids, is hashable and can be pickled.
    """

    __slots__ = ("_bitmap", "_highest", "_lowest", "_size")

    def __init__(self, shard_ids: Iterable[int]) -> None:
        bitmap = bytearray(_BITMAP_SIZE)
        ids = [_shard_id("shard_ids", shard_id) for shard_id in shard_ids]
        for shard_id in ids:
            byte, bit = shard_id >> 3, 1 << (shard_id & 7)
            if bitmap[byte] & bit:
                raise ValueError(f"shard_ids must name each shard once, got {shard_id} twice")
            bitmap[byte] |= bit
        if not ids:
            raise ValueError("shard_ids must name at least one shard, got none")
        self._bitmap = bytes(bitmap)
        self._lowest = min(ids)
        self._highest = max(ids)
        self._size = len(ids)

    def lookup(self, key: int) -> int:
        """Return the shard of `key`, an int in [0, 2**64)."""
        return _set_hash(key, self._bitmap, self._lowest, self._highest)

    @overload
    def lookup_many(self, keys: "Keys", *, out: None = None, threads: int = 1) -> "array[int]": ...
    @overload
    def lookup_many(self, keys: "Keys", *, out: Out, threads: int = 1) -> Out: ...
    def lookup_many(self, keys: "Keys", *, out: Any = None, threads: int = 1) -> Any:
        """Return the shard of each of `keys`; see ``consistent_hash_many``."""
        view = _view("keys", keys, "QLN", 8, "unsigned 64-bit ints, such as array('Q')")
        target, wanted = _output(out, len(view))
        found = _apart(wanted, view)

        def work(keys: memoryview, found: memoryview) -> None:
            _kernel.set_hash_many(keys, self._bitmap, self._lowest, self._highest, found)

        _share(work, (view, found), self._highest + 1, threads)
        if found is not wanted:
            wanted[:] = found
        return target

    def with_shard(self, shard_id: int) -> "ShardSet":
        """Return a set with `shard_id` added; raise ``ValueError`` if it is in this one."""
        if shard_id in self:
            raise ValueError(f"shard_id must be a shard that is not in the set, got {shard_id}")
        return ShardSet([*self, shard_id])

    def without_shard(self, shard_id: int) -> "ShardSet":
        """Return a set without `shard_id`; raise ``ValueError`` if it is missing or the last."""
        if shard_id not in self:
            raise ValueError(f"shard_id must be a shard of the set, got {shard_id}")
        if self._size == 1:
            raise ValueError(f"shard_id must not be the last shard of the set, got {shard_id}")
        return ShardSet(other for other in self if other != shard_id)

    def __contains__(self, shard_id: object) -> bool:
        number = _shard_id("shard_id", shard_id)
        return bool(self._bitmap[number >> 3] >> (number & 7) & 1)

    def __iter__(self) -> Iterator[int]:
        return (shard_id for shard_id in range(self._lowest, self._highest + 1) if shard_id in self)

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        return self._bitmap == other._bitmap if isinstance(other, ShardSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bitmap)

    def __repr__(self) -> str:
        ids = list(self)
        if ids == list(range(self._lowest, self._highest + 1)):
            return f"ShardSet(range({self._lowest}, {self._highest + 1}))"
        if len(ids) <= 16:
            return f"ShardSet({ids})"
        return f"<ShardSet of {len(ids)} shards from {self._lowest} to {self._highest}>"

    def __reduce__(self) -> tuple[type["ShardSet"], tuple[list[int]]]:
        return ShardSet, (list(self),)


@dataclass(frozen=True, slots=True)
class ReshardPlan:
    """The shards of keys before and after the number of shards changes.

    `before` and `after` are ``array("H")`` with the shard of each key, in the order of the keys.
    `flows` maps each pair (from, to) of shards to the number of keys that move, if any; `moved` is
    the sum.
    """

    old_num_shards: int
    new_num_shards: int
    before: "array[int]"
    after: "array[int]"
    moved: int
    flows: Mapping[tuple[int, int], int]

    @property
    def moved_share(self) -> float:
        """The share of the keys that move, from 0 to 1; 0 without keys."""
        return self.moved / len(self.before) if self.before else 0.0

    def __repr__(self) -> str:
        return (
            f"<ReshardPlan from {self.old_num_shards} to {self.new_num_shards} shards: "
            f"{self.moved} of {len(self.before)} keys move ({self.moved_share:.1%})>"
        )


def plan_reshard(
    keys: "Keys", old_num_shards: int, new_num_shards: int, *, threads: int = 1
) -> ReshardPlan:
    """Return how `keys` move when a fleet changes its number of shards.

    One pass over each key's permutation finds both shards. `keys` and `threads` are as in
    ``consistent_hash_many``; the numbers of shards are ints in [0, 65535].
    """
    view = _view("keys", keys, "QLN", 8, "unsigned 64-bit ints, such as array('Q')")
    old = checked_int("old_num_shards", "[0, 65535]", old_num_shards, MAX_SHARDS + 1)
    new = checked_int("new_num_shards", "[0, 65535]", new_num_shards, MAX_SHARDS + 1)
    few, many = sorted((old, new))
    with_few, with_many = (array("H", (0,)) * len(view) for _ in range(2))

    def work(keys: memoryview, found_few: memoryview, found_many: memoryview) -> None:
        _kernel.hash_many(keys, few, many, found_few, found_many)

    _share(work, (view, memoryview(with_few), memoryview(with_many)), many, threads)
    before, after = (with_few, with_many) if old == few else (with_many, with_few)
    counts = Counter(zip(before, after, strict=True))
    flows = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    return ReshardPlan(old, new, before, after, sum(flows.values()), flows)


def md5_checksum(data: "ReadableBuffer") -> bytes:
    """Return the 16-byte MD5 of `data`, to detect damage; it stops no attacker.

    It works where FIPS forbids MD5 for security. Raise ``TypeError`` if `data` is not bytes-like.
    """
    import hashlib  # it loads OpenSSL, megabytes that nothing else here needs

    return hashlib.md5(data, usedforsecurity=False).digest()


def md5_matches(data: "ReadableBuffer", checksum: "ReadableBuffer") -> bool:
    """Return whether `checksum` is the MD5 of `data`; False for any other length."""
    try:
        given = bytes(memoryview(checksum))
    except TypeError:
        raise TypeError(f"checksum must be bytes-like, got {shown(checksum)}") from None
    return md5_checksum(data) == given


def _shard_id(name: str, value: object) -> int:
    return checked_int(name, "[0, 65534]", value, MAX_SHARDS)


def _view(name: str, value: object, formats: str, size: int, what: str) -> memoryview:
    """Return `value` as a flat memoryview of `size`-byte unsigned ints, or raise."""
    try:
        view = memoryview(value)  # type: ignore[arg-type]  # the call is the test
    except TypeError:
        raise TypeError(f"{name} must be a buffer of {what}, got {shown(value)}") from None
    kind = view.format
    if view.itemsize != size or kind[-1] not in formats or kind[:-1] not in ("", *_NATIVE_ORDER):
        raise TypeError(f"{name} must be a buffer of {what}, got one of format {kind!r}")
    if not view.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got strides {view.strides}")
    if kind == formats[0] and view.ndim == 1:
        return view
    if not view.nbytes:
        return memoryview(array("Q" if size == 8 else "H"))
    return view.cast("B").cast("Q" if size == 8 else "H")


def _output(out: Any, size: int) -> tuple[Any, memoryview]:
    """Return the array for the caller and a view to write its `size` unsigned 16-bit ints."""
    if out is None:
        new = array("H", (0,)) * size
        return new, memoryview(new)
    view = _view("out", out, "H", 2, "unsigned 16-bit ints, such as array('H')")
    if memoryview(out).readonly:
        raise ValueError(f"out must be writable, got {shown(out)}")
    if len(view) != size:
        raise ValueError(f"out must have as many elements as keys, {size}, got {len(view)}")
    return out, view


def _apart(out: memoryview, keys: memoryview) -> memoryview:
    """Return `out`, or a new buffer of its size if writing to it could change `keys`."""
    return memoryview(array("H", (0,)) * len(out)) if _kernel.may_overlap(keys, out) else out


def _share(
    work: Callable[..., None], views: tuple[memoryview, ...], num_shards: int, threads: int
) -> None:
    """Call `work` on parts of `views`, of one size, in up to `threads` threads with this one.

    Each thread takes the next part when it finishes one, so that a slow core delays no other.
    """
    threads = checked_int("threads", "[1, 1024]", threads, 1025)
    if not threads:
        raise ValueError("threads must be an int in [1, 1024], got 0")
    size = len(views[0])
    if size <= _GROUP:
        work(*views)
        return
    chunk = min(_STEPS_PER_CALL // max(num_shards, 1), size // (threads * _CHUNKS_PER_THREAD))
    chunk = max(_GROUP, chunk - chunk % _GROUP)
    starts = iter(range(0, size, chunk))
    # Parts are made and released one at a time: where there is no interpreter lock, CPython counts
    # the parts of a memoryview without one, and releases it when a count was lost.
    lock = threading.Lock()
    failures: list[BaseException] = []

    def run() -> None:
        parts: list[memoryview] = []
        try:
            while not failures:
                with lock:
                    for each in parts:
                        each.release()
                    start = next(starts, size)
                    parts = [view[start : start + chunk] for view in views if start < size]
                if not parts:
                    break
                work(*parts)
        except BaseException as error:
            failures.append(error)
        finally:
            with lock:
                for each in parts:
                    each.release()

    others = [threading.Thread(target=run) for _ in range(1, min(threads, -(-size // chunk)))]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
