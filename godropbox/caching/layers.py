# cython: annotation_typing=True
"""A cache over a storage, which is a storage again: any number of them makes any number of tiers.

This file is compiled as it stands, with ``layers.pxd`` to say the types, or runs as it is.
"""

import threading
from collections.abc import Container, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .._forks import begin_again_in_child
from .._kernels._args import shown
from .._kernels._guarded import PLAIN, add_note, refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from ._doubts import Doubts
from ._failures import Told, failed_keys, found_keys, is_mistake
from .flight import Lead, SingleFlight
from .options import CacheOptions, CacheStats
from .storage import MISSING, PartialFailureError, StaleCacheError

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # read by its compiler alone
else:
    from . import _uncompiled as cython

__all__ = ["CacheOnStorage"]

_METHODS: Final = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
_UNTAKEN: Final = (
    "nothing of this type has been taken by the cache so far: "
    "does it lack a key_of, or a serializer?"
)


class CacheOnStorage:
    """Reads through `cache` and writes through it to `storage`; both are storages.

    Reads. What the cache has is returned. The rest is read from the storage, all of it in one
    call, and put into the cache; of threads that miss the same key at once, one reads it for all
    (``SingleFlight`` says what the others get). A key that is not in the storage is not cached. A
    cache that fails is counted and done without: the storage is read and the cache is not filled.
    What the storage raises comes out.

    Failures of the cache are counted, the first of each kind is logged (``godropbox.caching``).
    While the cache has never taken anything, an ``InvalidTypeError`` of it is a mistake for every
    key, and raised: keys that need a ``key_of``, values that need a serializer.

    Writes. The storage is written first; what it raises comes out, and since nobody knows then
    what it holds, the keys are in doubt. After that the cache is updated, or invalidated as the
    options say. If updating fails it is invalidated; if that fails too, the keys are in doubt.

    Doubt. The cache may hold something older than the storage. This layer reads such a key from
    the storage alone and tries to invalidate it before every other operation, but no more often
    than ``options.retry_after``, until that succeeds. Nobody else knows: another process can read
    the old entry until then, and if this process ends before, for as long as the cache keeps it.

    This layer is not consistent. A reader misses, reads the storage, and is held up; a writer
    writes and updates the cache; the reader puts what it read, the old value, into the cache.
    Where both go through this one object the reader finds out and invalidates the entry, and
    whoever reads meanwhile goes past the cache. Where they are two processes it stays for as long
    as the cache keeps it, so give the cache a time to live. Likewise two writers can write the
    storage in one order and the cache in the other, which ``on_write="invalidate"`` prevents.
    """

    __slots__ = (
        "__weakref__",
        "_cache",
        "_cache_failures",
        "_doubts",
        "_filling",
        "_flight",
        "_hits",
        "_lock",
        "_misses",
        "_options",
        "_storage",
        "_stored",
        "_told",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, cache: Any, storage: Any, options: CacheOptions | None = None) -> None:
        options = CacheOptions() if options is None else options
        for name in _METHODS:
            require_plain(f"cache.{name}", getattr(cache, name, None))
            require_plain(f"storage.{name}", getattr(storage, name, None))
        self._cache = cache
        self._storage = storage
        self._options = options
        self._doubts = Doubts(cache, options)
        self._flight = SingleFlight(patience=options.patience, cancellations=options.cancellations)
        self._hits = 0
        self._misses = 0
        self._cache_failures = 0
        self._stored = False  # whether the cache ever took a value
        self._told = Told()
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Begin, or begin again in the child of a fork, where no other thread is left."""
        self._lock = threading.RLock()
        # How many loads are putting a key into the cache now. What they put may be older than a
        # write that was acknowledged meanwhile, so reads go past the cache.
        self._filling: dict[Any, int] = {}

    @property
    def cache(self) -> Any:
        """The cache."""
        return self._cache

    @property
    def storage(self) -> Any:
        """The storage under it."""
        return self._storage

    # Counting

    def _count(self, hits: Any, misses: Any) -> None:
        with cython.critical_section(self):
            self._hits += hits
            self._misses += misses

    def _failed(self, operation: str, error: Any) -> None:
        with cython.critical_section(self):
            self._cache_failures += 1
        self._told.tell(self, operation, error)
        self._options.on_cache_failure(operation, error)

    def _is_mistake(self, error: Any, values: Iterable[Any] = ()) -> bool:
        """Tell whether an error of the cache is a mistake for every key, as far as is known."""
        if self._hits or self._stored or not is_mistake(error, values):
            return False
        add_note(error, _UNTAKEN)
        return True

    def stats(self) -> CacheStats:
        """Return what the layer did."""
        return CacheStats(
            hits=self._hits,
            misses=self._misses,
            cache_failures=self._cache_failures,
            doubts=len(self._doubts),
            waiting=self._flight.followers,
        )

    # Reading

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        # In this order: what is being put is in doubt before it no longer is.
        if not (self._filling and key in self._filling) and (
            not self._doubts.owed or not self._doubted([key])
        ):
            try:
                value = self._cache.get(key, MISSING)
            except Exception as error:
                self._failed("get", error)
                if self._is_mistake(error):
                    raise
                barred = None
            else:
                if value is not MISSING:
                    self._count(1, 0)
                    return value
        return self._missed([key], ended, barred, True).get(key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        wanted = list(keys)
        ended = self._flight._ended
        found, barred = self._cached(wanted)
        self._count(len(found), 0)
        if list(found) == wanted:
            return found
        # Some caches give more than they were asked for.
        found = {key: found[key] for key in wanted if key in found}
        missing = [key for key in dict.fromkeys(wanted) if key not in found]
        if missing:
            found.update(self._missed(missing, ended, barred, False))
        return found

    def _cached(self, wanted: list[Any]) -> tuple[dict[Any, Any], Container[Any] | None]:
        """Return what the cache has, and the keys not to put into it; None for all of them."""
        filling = {key for key in wanted if key in self._filling} if self._filling else ()
        doubted = self._doubted(wanted) if self._doubts.owed else ()
        asked = wanted
        if filling or doubted:
            asked = [key for key in wanted if key not in filling and key not in doubted]
        try:
            found: dict[Any, Any] = self._cache.get_multi(asked) if asked else {}
            return found if type(found) is dict else dict(found), ()
        except PartialFailureError as error:
            self._failed("get_multi", error)
            return found_keys(error, asked), set(failed_keys(error, asked))
        except Exception as error:
            self._failed("get_multi", error)
            if self._is_mistake(error):
                raise
            return {}, None

    def _missed(
        self, keys: list[Any], ended: Any, barred: Container[Any] | None, single: bool
    ) -> dict[Any, Any]:
        """Return what the storage has of `keys`, that the cache had not after `ended` was read."""
        self._count(0, len(keys))
        load = partial(self._load, ended, barred, single)
        return self._flight._fly(keys, load)

    def _load(
        self, ended: Any, barred: Container[Any] | None, single: bool, lead: Lead
    ) -> dict[Any, Any]:
        """Read the keys of a lead from the storage, and put into the cache what is not `barred`."""
        keys = lead.keys
        found: dict[Any, Any] = {}
        if barred is not None and self._flight._ended != ended:
            # Another's load ended after this caller looked into the cache: it may be in there now.
            sure = [
                key
                for key in keys
                if key not in self._filling and key not in self._doubts and key not in barred
            ]
            found = self._again(sure)
            keys = [key for key in keys if key not in found]
            found = {key: value for key, value in found.items() if value is not MISSING}
        if keys:
            began = self._options.clock()
            if single:
                value = self._storage.get(keys[0], MISSING)
                if type(value) not in PLAIN:
                    refuse_unrun("storage.get", value)
                loaded = {} if value is MISSING else {keys[0]: value}
            else:
                loaded = self._storage.get_multi(keys)
                if type(loaded) is not dict:
                    refuse_unrun("storage.get_multi", loaded)
                    loaded = dict(loaded)
                kind: Any = None
                for value in loaded.values():  # mostly of one type
                    if type(value) is not kind:
                        kind = type(value)
                        if kind not in PLAIN:
                            refuse_unrun_values("storage.get_multi", loaded.values())
                            break
                # A key that was not asked for has no flight that a write of it could tell.
                loaded = {key: loaded[key] for key in keys if key in loaded}
            if barred is not None:
                entries = self._entries(keys, loaded, self._options.clock() - began)
                self._fill(lead, entries, barred)
            found.update(loaded)
        return found

    def _again(self, keys: list[Any]) -> dict[Any, Any]:
        """Return what the cache has of `keys` by now; MISSING for what it knows is not there."""
        try:
            found: dict[Any, Any] = self._cache.get_multi(keys) if keys else {}
            return found if type(found) is dict else dict(found)
        except Exception as error:
            self._failed("get_multi", error)
            return {}

    def _fill(self, lead: Lead, entries: Mapping[Any, Any], barred: Container[Any]) -> None:
        """Put `entries` into the cache, but what was written since the lead began to load."""
        keys = list(entries)
        self._mark(keys, 1)
        try:
            written = self._put_unwritten(lead, entries, barred)
        finally:
            self._mark(keys, -1)
        if written:
            self._retry(True)

    def _mark(self, keys: list[Any], more: Any) -> None:
        """Count loads that begin, or end, to put `keys` into the cache."""
        with self._lock:
            for key in keys:
                count = self._filling.get(key, 0) + more
                if count:
                    self._filling[key] = count
                else:
                    del self._filling[key]

    def _put_unwritten(
        self, lead: Lead, entries: Mapping[Any, Any], barred: Container[Any]
    ) -> list[Any]:
        """Do what ``_fill`` does; return what was written meanwhile, which is in doubt then."""
        before = lead.forgotten()
        if barred or before or self._doubts.owed:
            entries = {
                key: entry
                for key, entry in entries.items()
                if key not in barred and key not in before and key not in self._doubts
            }
        written: list[Any] = []
        try:
            if entries:
                self._put(entries)
        except Exception as error:
            self._failed("set_multi", error)
            if self._is_mistake(error, entries.values()):
                raise
        finally:
            # What is written meanwhile may be in the cache before what is put there now.
            written = [key for key in lead.forgotten() if key in entries]
            if written:
                self._doubts.add(written, False, True)
        return written

    def _entries(
        self, keys: list[Any], values: Mapping[Any, Any], seconds: float
    ) -> Mapping[Any, Any]:
        """Return what to put into the cache for `values`, which is all that there is of `keys`."""
        return values

    def _put(self, entries: Mapping[Any, Any]) -> None:
        done: Any = None
        if len(entries) == 1:
            for key, entry in entries.items():
                done = self._cache.set(key, entry)
        else:
            done = self._cache.set_multi(entries)
        if done is not None:
            refuse_unrun("the cache's set", done)
        self._stored = True

    # Doubt

    def _doubted(self, keys: list[Any]) -> set[Any]:
        """Try to invalidate what is in doubt, if due; return those of `keys` that still are."""
        self._retry(False)
        return {key for key in keys if key in self._doubts}

    def _retry(self, now: bool) -> None:
        error = self._doubts.retry(now)
        if error is not None:
            self._failed("delete_multi", error)

    # Writing

    def set(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, in the storage and in the cache."""
        keys = [key]
        try:
            done = self._storage.set(key, value)
            if done is not None:
                refuse_unrun("storage.set", done)
            failed = self._tell(keys, {key: value})
        except BaseException as error:
            self._lost(keys, error)
            raise
        if failed is not None:
            self._answer(*failed)
        elif self._doubts.owed:
            self._retry(False)

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Keep every value of `items` under its key, in the storage and in the cache."""
        keys = list(items)
        try:
            done = self._storage.set_multi(items)
            if done is not None:
                refuse_unrun("storage.set_multi", done)
            failed = self._tell(keys, items)
        except BaseException as error:
            self._lost(keys, error)
            raise
        if failed is not None:
            self._answer(*failed)
        elif self._doubts.owed:
            self._retry(False)

    def delete(self, key: Any) -> None:
        """Have nothing under `key`, in the storage nor in the cache."""
        keys = [key]
        try:
            done = self._storage.delete(key)
            if done is not None:
                refuse_unrun("storage.delete", done)
            failed = self._tell(keys, None)
        except BaseException as error:
            self._lost(keys, error)
            raise
        if failed is not None:
            self._answer(*failed)
        elif self._doubts.owed:
            self._retry(False)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Have nothing under any of `keys`, in the storage nor in the cache."""
        keys = list(keys)
        try:
            done = self._storage.delete_multi(keys)
            if done is not None:
                refuse_unrun("storage.delete_multi", done)
            failed = self._tell(keys, None)
        except BaseException as error:
            self._lost(keys, error)
            raise
        if failed is not None:
            self._answer(*failed)
        elif self._doubts.owed:
            self._retry(False)

    def flush(self) -> None:
        """Have nothing at all, in the storage nor in the cache.

        If the cache cannot be flushed, ``StaleCacheError``: no layer can keep every key in mind.
        Nor can it if the storage fails; the cache is flushed then, too.
        """
        doubts = self._doubts.all()
        try:
            refuse_unrun("storage.flush", self._storage.flush())
        except BaseException as error:
            if self._flush_cache() is not None:
                add_note(error, "the cache may hold values that the storage no longer holds")
            raise
        failure = self._flush_cache()
        if failure is not None:
            message = "the storage was flushed, but the cache may still hold what was in it"
            raise StaleCacheError(message, cause=failure) from failure
        self._doubts.settle(doubts)

    def _flush_cache(self) -> Exception | None:
        self._flight.forget_all()
        try:
            refuse_unrun("cache.flush", self._cache.flush())
        except Exception as error:
            self._failed("flush", error)
            return error
        self._flight.forget_all()  # that found an old value in the cache meanwhile
        return None

    def _tell(
        self, keys: list[Any], items: Mapping[Any, Any] | None
    ) -> tuple[list[Any], Exception | None, Exception | None] | None:
        """Have the cache know of a write; return None, or the keys of which it may not, and why.

        The third is what is a mistake for every key, and to be raised in any case.
        """
        self._flight.forget(keys)
        untold = self._tell_cache(keys, items)
        if self._flight._flights:
            # One that began meanwhile may have found the old value in the cache.
            self._flight.forget(keys)
        return untold

    def _tell_cache(
        self, keys: list[Any], items: Mapping[Any, Any] | None
    ) -> tuple[list[Any], Exception | None, Exception | None] | None:
        mistake: Exception | None = None
        if items and self._options.on_write == "update":
            entries: Mapping[Any, Any] = {}
            try:
                entries = self._entries(keys, items, 0.0)
                self._put(entries)
                return None
            except PartialFailureError as error:
                self._failed("set_multi" if len(items) > 1 else "set", error)
                keys = failed_keys(error, keys)
            except Exception as error:
                self._failed("set_multi" if len(items) > 1 else "set", error)
                if self._is_mistake(error, entries.values()):
                    mistake = error
        left, failure = self._doubts.invalidate(keys)
        if failure is not None:
            self._failed("delete_multi" if len(keys) > 1 else "delete", failure)
            if mistake is None and self._is_mistake(failure):
                mistake = failure
        return (left, failure, mistake) if left or mistake is not None else None

    def _lost(self, keys: list[Any], error: BaseException) -> None:
        """Note that a write of `keys` ended with `error`, and nobody knows what it did."""
        self._flight.forget(keys)
        if not self._doubts.add(keys, False):
            add_note(error, "the cache may hold old values of the keys that were written")
            if type(error) is PartialFailureError:
                error.keys = keys  # for whoever has this layer as a cache

    def _answer(
        self, left: list[Any], failure: Exception | None, mistake: Exception | None
    ) -> None:
        """End a write that the storage took; of the keys `left` the cache may not know it."""
        if left:
            kept = self._doubts.add(left, True)
            if not kept or self._options.on_doubt == "raise":
                which = shown(left[0]) if len(left) == 1 else f"any of {len(left)} keys"
                message = f"the storage was written, but the cache may hold an old value of {which}"
                raise StaleCacheError(message, left, cause=failure) from failure
        if mistake is not None:
            add_note(mistake, "the storage was written")
            raise mistake

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._cache!r} on {self._storage!r}>"
