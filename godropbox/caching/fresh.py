"""A cache that knows how fresh its entries are: reloads them early, and returns them stale.

Compiled as it stands, with its types in ``fresh.pxd``, or run as it is.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any, Final

from .._kernels._identity import refuse_copies
from ._calls import Calls, run
from .flight import Lead
from .layers import CacheOnStorage
from .options import CacheOptions, CacheStats, Freshness
from .storage import MISSING

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = ["FreshCacheOnStorage"]

# The start of an entry, to tell it from other values. An entry is a tuple, which every serialiser
# knows (or makes a list of): the mark, until when it is fresh, how long loading took, and the
# value; without a value, the key is missing in the storage.
_MARK: Final = "godropbox.fresh.1"
# A little more than the negative log of the smallest random number.
_MOST: Final = 37.0

# More seconds than any time is from now.
_FAR: Final = 1 << 53

# The state of an entry: useless, to be returned, to be returned and reloaded.
_DEAD: Final = 0
_FRESH: Final = 1
_DUE: Final = 2


class FreshCacheOnStorage(CacheOnStorage):
    """A ``CacheOnStorage`` whose entries expire and are reloaded as `freshness` says.

    A fresh entry is returned. One that is due early, or expired by less than ``freshness.stale``,
    is returned, too, and reloaded by one thread at a time. If that fails the entry stays, and the
    failure is counted. Older entries are misses, however long the cache keeps them; let it keep
    entries for at least ``ttl + stale``. A batch loads missing keys in one call of the storage, and
    reloads those that are due in another.

    The cache holds entries, not values, so it cannot be another layer's cache, too; anything else
    in it is a miss. The clocks of all processes that share it should agree.
    """

    __slots__ = ("_freshness", "_refresh_failures", "_refreshes", "_seconds")
    __reduce_ex__ = refuse_copies

    _kind = "FreshCacheOnStorage"

    def __init__(
        self,
        cache: Any,
        storage: Any,
        freshness: Freshness,
        options: CacheOptions | None = None,
    ) -> None:
        CacheOnStorage.__init__(self, cache, storage, options)
        self._freshness = freshness
        self._seconds = 0.0  # how long the last load took
        self._refreshes = 0
        self._refresh_failures = 0

    def stats(self) -> CacheStats:
        """Return the layer's statistics."""
        with cython.critical_section(self):
            refreshes, failures = self._refreshes, self._refresh_failures
        stats = CacheOnStorage.stats(self)
        return replace(stats, refreshes=refreshes, refresh_failures=failures)

    # Entries

    def _judge(self, held: Any) -> int:
        """Return the present state of what the cache returned."""
        size = len(held) if type(held) is tuple or type(held) is list else 0
        if not 3 <= size <= 4:
            return _DEAD
        mark, until, took = held[0], held[1], held[2]
        if mark is not _MARK and (type(mark) is not str or mark != _MARK):
            return _DEAD
        # Mostly they are floats, which need no further check.
        if type(until) is not float and not _is_time(until):
            return _DEAD
        if type(took) is not float and not _is_time(took):
            return _DEAD
        freshness = self._freshness
        left: float = until - freshness.clock()
        if size == 3:
            return _FRESH if left > 0 else _DEAD
        if left <= 0:
            return _DUE if -left < freshness.stale else _DEAD
        eager: float = freshness.beta * took
        if eager * _MOST < left or -eager * log(1.0 - freshness.random()) < left:
            return _FRESH
        return _DUE

    def _entries(
        self, keys: list[Any], values: Mapping[Any, Any], seconds: float
    ) -> Mapping[Any, Any]:
        freshness = self._freshness
        now = freshness.clock()
        with cython.critical_section(self):
            if seconds > 0:
                self._seconds = seconds
            seconds = self._seconds  # a written value gets the duration of the last load
        entries: dict[Any, Any] = {}
        for key in keys:
            if key in values:
                life = freshness.ttl * (1.0 - freshness.jitter * freshness.random())
                entries[key] = (_MARK, now + life, seconds, values[key])
            elif freshness.negative_ttl:
                entries[key] = (_MARK, now + freshness.negative_ttl, 0.0)
        return entries

    # Reading

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        # In this order: a key is marked as in doubt before it is unmarked as being filled.
        if self._filling or self._doubts.owed:
            return run(self._get_calls(key, default))
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        try:
            held = self._cache.get(key, MISSING)
        except Exception as error:
            if self._unread("get", error):
                raise
            barred = None
        else:
            state = _DEAD if held is MISSING else self._judge(held)
            if state != _DEAD:
                self._count(1, 0)
                value = held[3] if len(held) == 4 else MISSING
                if state == _DUE:
                    value = run(self._refresh([key])).get(key, value)
                return default if value is MISSING else value
        return run(self._missed([key], ended, barred, True)).get(key, default)

    def _get_calls(self, key: Any, default: Any) -> Calls[Any]:
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        if (yield from self._may_read(key)):
            try:
                held = yield self._cache.get, (key, MISSING)
            except Exception as error:
                if self._unread("get", error):
                    raise
                barred = None
            else:
                state = _DEAD if held is MISSING else self._judge(held)
                if state != _DEAD:
                    self._count(1, 0)
                    value = held[3] if len(held) == 4 else MISSING
                    if state == _DUE:
                        value = (yield from self._refresh([key])).get(key, value)
                    return default if value is MISSING else value
        found = yield from self._missed([key], ended, barred, True)
        return found.get(key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        return run(self._get_multi_calls(keys))

    def _get_multi_calls(self, keys: Iterable[Any]) -> Calls[dict[Any, Any]]:
        wanted = list(dict.fromkeys(keys))
        ended = self._flight._ended
        held, barred = yield from self._cached(wanted)
        known: dict[Any, Any] = {}
        due = []
        for key, entry in held.items():
            state = self._judge(entry)
            if state != _DEAD:
                known[key] = entry[3] if len(entry) == 4 else MISSING
            if state == _DUE:
                due.append(key)
        self._count(len(known), 0)
        missing = [key for key in wanted if key not in known]
        if missing:
            known.update((yield from self._missed(missing, ended, barred, False)))
        if due:
            known.update((yield from self._refresh(due)))
        return {key: known[key] for key in wanted if known.get(key, MISSING) is not MISSING}

    def _look_again(self, keys: list[Any]) -> Calls[dict[Any, Any]]:
        found = yield from CacheOnStorage._look_again(self, keys)
        return {
            key: entry[3] if len(entry) == 4 else MISSING
            for key, entry in found.items()
            if self._judge(entry) == _FRESH
        }

    # Refreshing

    def reload(self, key: Any, default: Any = None) -> Any:
        """Read `key` from the storage now, replace its entry, and return its value or `default`.

        No load that began before this call is followed or stored. If the storage raises, the
        exception comes out and the entry stays. If the new entry cannot be stored, the old one is
        deleted, or in doubt as after a write.
        """
        return run(self._reload_calls(key, default))

    def _reload_calls(self, key: Any, default: Any) -> Calls[Any]:
        failures = self._cache_failures
        found = yield from self._flight.take_over([key]).fly(self._reload)
        if self._cache_failures != failures:
            yield from self._withdraw([key])
        return found.get(key, default)

    def _refresh(self, keys: list[Any]) -> Calls[dict[Any, Any]]:
        """Reload those of `keys` that nobody is loading; return what was loaded by now."""
        lead = self._flight.claim(keys)
        if not lead.keys:
            return {}
        calls = self._renew(lead)
        try:
            is_started = self._start(calls)
        except Exception as error:
            lead.drop()  # now, since the error's traceback keeps this frame and the lead alive
            self._told.tell(self, "background", error)
            self._renewed(0, len(keys))
            return {}
        return {} if is_started else (yield from calls)

    def _start(self, calls: Calls[Any]) -> bool:
        """Make the calls of a refresh in the background; return False to make them at once."""
        background: Callable[..., object] | None = self._freshness.background
        if background is None:
            return False
        background(partial(run, calls))
        return True

    def _renew(self, lead: Lead) -> Calls[dict[Any, Any]]:
        keys = lead.begin()
        if not keys:
            return {}
        try:
            found = yield from lead.fly(self._reload)
        except Exception as error:
            self._told.tell(self, "reloading", error)
            self._renewed(0, len(keys))
            return {}
        self._renewed(len(keys), 0)
        return {key: found.get(key, MISSING) for key in keys}

    def _reload(self, lead: Lead) -> Calls[Mapping[Any, Any]]:
        """Read the keys of a lead from the storage, and replace their entries."""
        keys = lead.keys
        loaded: Mapping[Any, Any] = yield from self._load(None, (), len(keys) == 1, lead)
        gone = [key for key in keys if key not in loaded]
        if gone and not self._freshness.negative_ttl:
            yield from self._withdraw(gone)
        return loaded

    def _withdraw(self, keys: list[Any]) -> Calls[None]:
        """Delete the entries of `keys`, or note that they are in doubt."""
        left, failure = yield from self._doubts.invalidate(keys)
        if failure is not None:
            self._failed("delete_multi", failure)
        if left:
            self._doubts.add(left, True, True)

    def _renewed(self, refreshes: Any, failures: Any) -> None:
        with cython.critical_section(self):
            self._refreshes += refreshes
            self._refresh_failures += failures


def _is_time(value: Any) -> bool:
    """Return whether `value` is a number of seconds, as an entry must have."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and -_FAR < value < _FAR
