"""A cache over a storage, which is a storage itself: stack them to make tiers.

What an operation does is written as calls (``_calls``), which ``aio`` makes, too; what may be read
without a call that a cache hit does not need has a way of its own.

Compiled as it stands, with its types in ``layers.pxd``, or run as it is.
"""

import threading
from collections.abc import Container, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .._forks import begin_again_in_child
from .._kernels._args import shown
from .._kernels._guarded import PLAIN, add_note, refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from ._calls import Calls, run
from ._doubts import Doubts
from ._failures import Told, failed_keys, found_keys, is_mistake
from .flight import Lead, SingleFlight
from .options import CacheOptions, CacheStats
from .storage import MISSING, PartialFailureError, StaleCacheError

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = ["CacheOnStorage"]

_METHODS: Final = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
_UNTAKEN: Final = (
    "the cache has not yet accepted anything of this type: does it lack a key_of, or a serializer?"
)


class CacheOnStorage:
    """Reads through `cache` and writes through it to `storage`; both are storages.

    Reads. Hits of the cache are returned. The other keys are read from the storage in one call, and
    stored in the cache; if several threads miss the same key at once, one reads it for all (see
    ``SingleFlight``). A key that the storage lacks is not cached. If the cache fails, the storage
    is read and the cache is not filled. Exceptions of the storage come out.

    Failures of the cache are counted, and the first of each kind is logged (``godropbox.caching``).
    As long as the cache has never accepted anything, its ``InvalidTypeError`` is a mistake for all
    keys, and raised: keys that need a ``key_of``, values that need a serializer.

    Writes. The storage is written first. If it raises, the exception comes out and the keys are in
    doubt, as it is unknown what was written. Then the cache is updated, or invalidated if the
    options say so. If updating fails it is invalidated; if that fails too, the keys are in doubt.

    Doubt. The cache may hold an older value than the storage. This layer reads such a key from the
    storage only. Before every other operation, but no more often than ``options.retry_after``, it
    tries to invalidate the key, until that succeeds. Other processes do not know: they can read the
    old entry until then or, if this process ends before that, for as long as the cache keeps it.

    This layer is not consistent. A reader misses, reads the storage, and is delayed; a writer
    writes and updates the cache; the reader stores the old value in the cache. If both use this
    object, the reader notices and invalidates the entry, and other reads bypass the cache
    meanwhile. Between two processes the old value stays for as long as the cache keeps it, so give
    the cache a time to live. Two writers can also write the storage in one order and the cache in
    the other, which ``on_write="invalidate"`` prevents.
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
    __signature__ = declared

    _kind = "CacheOnStorage"

    def __init__(self, cache: Any, storage: Any, options: CacheOptions | None = None) -> None:
        options = CacheOptions() if options is None else options
        self._check(cache, storage)
        self._cache = cache
        self._storage = storage
        self._options = options
        self._doubts = Doubts(cache, options)
        self._flight = self._new_flight(options)
        self._hits = 0
        self._misses = 0
        self._cache_failures = 0
        self._stored = False  # whether the cache ever accepted a value
        self._told = Told()
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Start without loads under way: at first, and in the child of a fork."""
        self._lock = threading.RLock()
        # How many loads are storing each key in the cache now. Their values may be older than a
        # write that was acknowledged meanwhile, so reads bypass the cache.
        self._filling: dict[Any, int] = {}

    # What depends on how calls are made

    def _check(self, cache: Any, storage: Any) -> None:
        """Raise ``TypeError`` for methods that cannot be called."""
        for name in _METHODS:
            require_plain(f"cache.{name}", getattr(cache, name, None))
            require_plain(f"storage.{name}", getattr(storage, name, None))

    def _new_flight(self, options: CacheOptions) -> SingleFlight:
        """Return the table of loads under way."""
        return SingleFlight(patience=options.patience, cancellations=options.cancellations)

    @property
    def cache(self) -> Any:
        """The cache."""
        return self._cache

    @property
    def storage(self) -> Any:
        """The storage below the cache."""
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
        """Return whether an error of the cache is a mistake for all keys, as far as is known."""
        with cython.critical_section(self):
            works = self._hits > 0 or self._stored
        if works or not is_mistake(error, values):
            return False
        add_note(error, _UNTAKEN)
        return True

    def stats(self) -> CacheStats:
        """Return the layer's statistics."""
        with cython.critical_section(self):
            hits, misses, failures = self._hits, self._misses, self._cache_failures
        return CacheStats(
            hits=hits,
            misses=misses,
            cache_failures=failures,
            doubts=len(self._doubts),
            waiting=self._flight.followers,
        )

    # Reading

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        # In this order: a key is marked as in doubt before it is unmarked as being filled.
        if self._filling or self._doubts.owed:
            return run(self._get_calls(key, default))
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        try:
            value = self._cache.get(key, MISSING)
        except Exception as error:
            if self._unread("get", error):
                raise
            barred = None
        else:
            if value is not MISSING:
                self._count(1, 0)
                return value
        return run(self._missed([key], ended, barred, True)).get(key, default)

    def _get_calls(self, key: Any, default: Any) -> Calls[Any]:
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        if (yield from self._may_read(key)):
            try:
                value = yield self._cache.get, (key, MISSING)
            except Exception as error:
                if self._unread("get", error):
                    raise
                barred = None
            else:
                if value is not MISSING:
                    self._count(1, 0)
                    return value
        found = yield from self._missed([key], ended, barred, True)
        return found.get(key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        wanted = list(keys)
        # In this order: a key is marked as in doubt before it is unmarked as being filled.
        if self._filling or self._doubts.owed:
            return run(self._get_multi_calls(wanted))
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        try:
            found = self._cache.get_multi(wanted) if wanted else {}
            if type(found) is not dict:
                found = dict(found)
        except Exception as error:
            failed = self._read_failed(error, wanted)
            if failed is None:
                raise
            found, barred = failed
        if list(found) == wanted:
            self._count(len(found), 0)
            return found
        return run(self._get_multi_on(wanted, ended, found, barred))

    def _get_multi_calls(self, keys: Iterable[Any]) -> Calls[dict[Any, Any]]:
        wanted = list(keys)
        ended = self._flight._ended
        found, barred = yield from self._cached(wanted)
        return (yield from self._get_multi_on(wanted, ended, found, barred))

    def _get_multi_on(
        self, wanted: list[Any], ended: Any, found: dict[Any, Any], barred: Container[Any] | None
    ) -> Calls[dict[Any, Any]]:
        """Go on after a read of the cache, made after `ended` was read."""
        self._count(len(found), 0)
        if list(found) == wanted:
            return found
        # Some caches return other keys, too.
        found = {key: found[key] for key in wanted if key in found}
        missing = [key for key in dict.fromkeys(wanted) if key not in found]
        if missing:
            found.update((yield from self._missed(missing, ended, barred, False)))
        return found

    def _may_read(self, key: Any) -> Calls[bool]:
        """Return whether the cache cannot have an older value of `key` than the storage."""
        # In this order: a key is marked as in doubt before it is unmarked as being filled.
        if key in self._filling:
            return False
        return not self._doubts.owed or not (yield from self._doubted([key]))

    def _unread(self, operation: str, error: Exception) -> bool:
        """Note that a read of the cache failed; return whether it is a mistake, to be raised."""
        self._failed(operation, error)
        return self._is_mistake(error)

    def _cached(self, wanted: list[Any]) -> Calls[tuple[dict[Any, Any], Container[Any] | None]]:
        """Return the hits, and the keys that must not be stored in the cache; None for all."""
        filling = {key for key in wanted if key in self._filling} if self._filling else ()
        doubted = (yield from self._doubted(wanted)) if self._doubts.owed else ()
        asked = wanted
        if filling or doubted:
            asked = [key for key in wanted if key not in filling and key not in doubted]
        try:
            found: dict[Any, Any] = (yield self._cache.get_multi, (asked,)) if asked else {}
            return found if type(found) is dict else dict(found), ()
        except Exception as error:
            failed = self._read_failed(error, asked)
            if failed is None:
                raise
            return failed

    def _read_failed(
        self, error: Exception, asked: list[Any]
    ) -> tuple[dict[Any, Any], Container[Any] | None] | None:
        """Return what ``_cached`` returns after a failed read; None if it is to be raised."""
        is_mistake = self._unread("get_multi", error)
        if issubclass(type(error), PartialFailureError):
            partial_failure: Any = error
            return found_keys(partial_failure, asked), set(failed_keys(partial_failure, asked))
        return None if is_mistake else ({}, None)

    def _missed(
        self, keys: list[Any], ended: Any, barred: Container[Any] | None, single: bool
    ) -> Calls[dict[Any, Any]]:
        """Load `keys`, which the cache lacked after `ended` was read; return what was found."""
        self._count(0, len(keys))
        load = partial(self._load, ended, barred, single)
        return self._flight._fly(keys, load)

    def _load(
        self, ended: Any, barred: Container[Any] | None, single: bool, lead: Lead
    ) -> Calls[dict[Any, Any]]:
        """Read the keys of a lead from the storage; store those not `barred` in the cache.

        With None for `ended` the cache is not looked into again.
        """
        keys = lead.keys
        found: dict[Any, Any] = {}
        if ended is not None and barred is not None and self._flight._ended != ended:
            # Another load ended after this caller looked into the cache: look again.
            sure = [
                key
                for key in keys
                if key not in self._filling and key not in self._doubts and key not in barred
            ]
            found = yield from self._look_again(sure)
            keys = [key for key in keys if key not in found]
            found = {key: value for key, value in found.items() if value is not MISSING}
        if keys:
            began = self._options.clock()
            if single:
                value = yield self._storage.get, (keys[0], MISSING)
                if type(value) not in PLAIN:
                    refuse_unrun("storage.get", value)
                loaded = {} if value is MISSING else {keys[0]: value}
            else:
                loaded = yield self._storage.get_multi, (keys,)
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
                # A key that was not requested has no flight for a write to mark.
                loaded = {key: loaded[key] for key in keys if key in loaded}
            if barred is not None:
                entries = self._entries(keys, loaded, self._options.clock() - began)
                yield from self._fill(lead, entries, barred)
            found.update(loaded)
        return found

    def _look_again(self, keys: list[Any]) -> Calls[dict[Any, Any]]:
        """Return the present hits of `keys`; MISSING for a key known to be missing."""
        try:
            found: dict[Any, Any] = (yield self._cache.get_multi, (keys,)) if keys else {}
            return found if type(found) is dict else dict(found)
        except Exception as error:
            self._failed("get_multi", error)
            return {}

    def _fill(self, lead: Lead, entries: Mapping[Any, Any], barred: Container[Any]) -> Calls[None]:
        """Store `entries` in the cache, except keys written since the lead began to load."""
        keys = list(entries)
        self._mark(keys, 1)
        try:
            written = yield from self._put_unwritten(lead, entries, barred)
        finally:
            self._mark(keys, -1)
        if written:
            yield from self._retry(True)

    def _mark(self, keys: list[Any], more: Any) -> None:
        """Count a load that begins or ends storing `keys` in the cache."""
        with self._lock:
            for key in keys:
                count = self._filling.get(key, 0) + more
                if count:
                    self._filling[key] = count
                else:
                    del self._filling[key]

    def _put_unwritten(
        self, lead: Lead, entries: Mapping[Any, Any], barred: Container[Any]
    ) -> Calls[list[Any]]:
        """Do what ``_fill`` does; return the keys written meanwhile, which are now in doubt."""
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
                yield from self._put(entries)
        except Exception as error:
            self._failed("set_multi", error)
            if self._is_mistake(error, entries.values()):
                raise
        finally:
            # A key written meanwhile may have been overwritten in the cache just now.
            written = [key for key in lead.forgotten() if key in entries]
            if written:
                self._doubts.add(written, False, True)
        return written

    def _entries(
        self, keys: list[Any], values: Mapping[Any, Any], seconds: float
    ) -> Mapping[Any, Any]:
        """Return what the cache is to hold for `values`, all that was found of `keys`."""
        return values

    def _put(self, entries: Mapping[Any, Any]) -> Calls[None]:
        done: Any = None
        if len(entries) == 1:
            for key, entry in entries.items():
                done = yield self._cache.set, (key, entry)
        else:
            done = yield self._cache.set_multi, (entries,)
        if done is not None:
            refuse_unrun("the cache's set", done)
        self._took()

    def _took(self) -> None:
        """Know that the cache accepts values."""
        with cython.critical_section(self):
            self._stored = True

    # Doubt

    def _doubted(self, keys: list[Any]) -> Calls[set[Any]]:
        """Try to invalidate keys in doubt, if due; return those of `keys` still in doubt."""
        yield from self._retry(False)
        return {key for key in keys if key in self._doubts}

    def _retry(self, now: bool) -> Calls[None]:
        error = yield from self._doubts.retry(now)
        if error is not None:
            self._failed("delete_multi", error)

    # Writing

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`, in the storage and in the cache."""
        run(self._set_calls(key, value))

    def _set_calls(self, key: Any, value: Any) -> Calls[None]:
        return self._write("set", (key, value), [key], {key: value})

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key, in the storage and in the cache."""
        run(self._set_multi_calls(items))

    def _set_multi_calls(self, items: Mapping[Any, Any]) -> Calls[None]:
        return self._write("set_multi", (items,), list(items), items)

    def delete(self, key: Any) -> None:
        """Delete `key` from the storage and the cache; a missing key is ignored."""
        run(self._delete_calls(key))

    def _delete_calls(self, key: Any) -> Calls[None]:
        return self._write("delete", (key,), [key], None)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys` from the storage and the cache; missing keys are ignored."""
        run(self._delete_multi_calls(keys))

    def _delete_multi_calls(self, keys: Iterable[Any]) -> Calls[None]:
        keys = list(keys)
        return self._write("delete_multi", (keys,), keys, None)

    def _write(
        self,
        name: str,
        arguments: tuple[Any, ...],
        keys: list[Any],
        items: Mapping[Any, Any] | None,
    ) -> Calls[None]:
        """Write `keys` to the storage, then to the cache; `items` is None if they are deleted."""
        try:
            done = yield getattr(self._storage, name), arguments
            if done is not None:
                refuse_unrun(f"storage.{name}", done)
            failed = yield from self._update(keys, items)
        except BaseException as error:
            self._note_failure(keys, error)
            raise
        if failed is not None:
            self._end_write(*failed)
        elif self._doubts.owed:
            yield from self._retry(False)

    def flush(self) -> None:
        """Delete everything from the storage and the cache.

        Raises ``StaleCacheError`` if the cache cannot be flushed, since a layer cannot remember all
        keys. If the storage fails, the cache is flushed all the same.
        """
        run(self._flush_calls())

    def _flush_calls(self) -> Calls[None]:
        doubts = self._doubts.all()
        try:
            refuse_unrun("storage.flush", (yield self._storage.flush, ()))
        except GeneratorExit:  # nothing more can be called
            self._flight.forget_all()
            raise
        except BaseException as error:
            if (yield from self._flush_cache()) is not None:
                add_note(error, "the cache may hold values that the storage no longer holds")
            raise
        failure = yield from self._flush_cache()
        if failure is not None:
            message = "the storage was flushed, but the cache may still hold what was in it"
            raise StaleCacheError(message, cause=failure) from failure
        self._doubts.settle(doubts)

    def _flush_cache(self) -> Calls[Exception | None]:
        self._flight.forget_all()
        try:
            refuse_unrun("cache.flush", (yield self._cache.flush, ()))
        except Exception as error:
            self._failed("flush", error)
            return error
        self._flight.forget_all()  # loads that found an old value in the cache meanwhile
        return None

    def _update(
        self, keys: list[Any], items: Mapping[Any, Any] | None
    ) -> Calls[tuple[list[Any], Exception | None, Exception | None] | None]:
        """Apply a write to the cache; return None, or the keys for which that failed, and why.

        The third is a mistake for all keys, which is raised in any case.
        """
        self._flight.forget(keys)
        failed = yield from self._update_cache(keys, items)
        if self._flight._flights:
            # A load that began meanwhile may have found the old value in the cache.
            self._flight.forget(keys)
        return failed

    def _update_cache(
        self, keys: list[Any], items: Mapping[Any, Any] | None
    ) -> Calls[tuple[list[Any], Exception | None, Exception | None] | None]:
        mistake: Exception | None = None
        if items and self._options.on_write == "update":
            entries: Mapping[Any, Any] = {}
            try:
                entries = self._entries(keys, items, 0.0)
                yield from self._put(entries)
                return None
            except PartialFailureError as error:
                self._failed("set_multi" if len(items) > 1 else "set", error)
                keys = failed_keys(error, keys)
            except Exception as error:
                self._failed("set_multi" if len(items) > 1 else "set", error)
                if self._is_mistake(error, entries.values()):
                    mistake = error
        left, failure = yield from self._doubts.invalidate(keys)
        if failure is not None:
            self._failed("delete_multi" if len(keys) > 1 else "delete", failure)
            if mistake is None and self._is_mistake(failure):
                mistake = failure
        return (left, failure, mistake) if left or mistake is not None else None

    def _note_failure(self, keys: list[Any], error: BaseException) -> None:
        """Note that a write of `keys` ended with `error`: what it did is unknown."""
        self._flight.forget(keys)
        if not self._doubts.add(keys, False):
            add_note(error, "the cache may hold old values of the keys that were written")
            if type(error) is PartialFailureError:
                error.keys = keys  # for a layer that uses this one as its cache

    def _end_write(
        self, left: list[Any], failure: Exception | None, mistake: Exception | None
    ) -> None:
        """End a write of the storage; the cache may still hold old values of the keys `left`."""
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
        return f"<{self._kind} of {self._cache!r} on {self._storage!r}>"
