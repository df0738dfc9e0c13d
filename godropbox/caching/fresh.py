# cython: annotation_typing=True
"""A cache that knows how fresh its entries are: loads them early, serves them late, for a while.

This file is compiled as it stands, with ``fresh.pxd`` to say the types, or runs as it is.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any, Final

from .._kernels._identity import refuse_copies
from .flight import Lead
from .layers import CacheOnStorage
from .options import CacheOptions, CacheStats, Freshness
from .storage import MISSING

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # read by its compiler alone
else:
    from . import _uncompiled as cython

__all__ = ["FreshCacheOnStorage"]

# What an entry begins with, so that another's value is not taken for one. An entry is a tuple, as
# every serialiser knows it (or makes a list of it): the mark, until when it is fresh, how long it
# took to load, and the value, if it is not there that the key is not.
_MARK: Final = "godropbox.fresh.1"
# Log of the smallest random number that there is, and a little more.
_MOST: Final = 37.0

# No time in seconds is as far from now as that.
_FAR: Final = 1 << 53

# What an entry is good for: nothing, to be returned, to be returned and loaded anew.
_DEAD: Final = 0
_FRESH: Final = 1
_DUE: Final = 2


class FreshCacheOnStorage(CacheOnStorage):
    """A ``CacheOnStorage`` whose entries say until when they are good, as `freshness` has it.

    A read of an entry whose time is not over returns it; one that is found due early, or that is
    over by less than ``freshness.stale``, is returned too, and loaded anew by one thread at a
    time. If that fails the entry stays, and the failure is counted. Everything older is as if it
    were not there, however long the cache keeps it; let it keep entries for ``ttl + stale``, or
    they are gone before. A batch loads what is missing in one call of the storage and what is due
    in another.

    The cache holds entries, not values, so that it can be no other layer's cache; what is in it
    that is no entry is a miss. All processes that share it should have clocks that agree.
    """

    __slots__ = ("_freshness", "_refresh_failures", "_refreshes", "_seconds")
    __reduce_ex__ = refuse_copies

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
        """Return what the layer did."""
        return CacheStats(
            hits=self._hits,
            misses=self._misses,
            cache_failures=self._cache_failures,
            doubts=len(self._doubts),
            waiting=self._flight.followers,
            refreshes=self._refreshes,
            refresh_failures=self._refresh_failures,
        )

    # Entries

    def _judge(self, held: Any) -> int:
        """Tell what something out of the cache is good for now."""
        size = len(held) if type(held) is tuple or type(held) is list else 0
        if not 3 <= size <= 4:
            return _DEAD
        mark, until, took = held[0], held[1], held[2]
        if mark is not _MARK and (type(mark) is not str or mark != _MARK):
            return _DEAD
        # Most often they are floats, and there is nothing to ask.
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
            seconds = self._seconds  # for what was written, what it took to load the last time
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
        ended = self._flight._ended
        barred: Container[Any] | None = ()
        # In this order: what is being put is in doubt before it no longer is.
        if not (self._filling and key in self._filling) and (
            not self._doubts.owed or not self._doubted([key])
        ):
            try:
                held = self._cache.get(key, MISSING)
            except Exception as error:
                self._failed("get", error)
                if self._is_mistake(error):
                    raise
                barred = None
            else:
                state = _DEAD if held is MISSING else self._judge(held)
                if state != _DEAD:
                    self._count(1, 0)
                    value = held[3] if len(held) == 4 else MISSING
                    if state == _DUE:
                        value = self._refresh([key]).get(key, value)
                    return default if value is MISSING else value
        return self._missed([key], ended, barred, True).get(key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        wanted = list(dict.fromkeys(keys))
        ended = self._flight._ended
        held, barred = self._cached(wanted)
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
            known.update(self._missed(missing, ended, barred, False))
        if due:
            known.update(self._refresh(due))
        return {key: known[key] for key in wanted if known.get(key, MISSING) is not MISSING}

    def _again(self, keys: list[Any]) -> dict[Any, Any]:
        found = CacheOnStorage._again(self, keys)
        return {
            key: entry[3] if len(entry) == 4 else MISSING
            for key, entry in found.items()
            if self._judge(entry) == _FRESH
        }

    # Refreshing

    def _refresh(self, keys: list[Any]) -> dict[Any, Any]:
        """Load those of `keys` anew that nobody is loading; return what came of it by now."""
        lead = self._flight.claim(keys)
        if not lead.keys:
            return {}
        background: Callable[..., object] | None = self._freshness.background
        if background is None:
            return self._renew(lead)
        try:
            background(partial(self._renew, lead))
        except Exception as error:
            lead.drop()  # now: whoever keeps the error keeps this frame, and the lead with it
            self._told.tell(self, "background", error)
            self._renewed(0, len(keys))
        return {}

    def _renew(self, lead: Lead) -> dict[Any, Any]:
        keys = lead.begin()
        if not keys:
            return {}
        try:
            found = lead.fly(self._reload)
        except Exception as error:
            self._told.tell(self, "loading anew", error)
            self._renewed(0, len(keys))
            return {}
        self._renewed(len(keys), 0)
        return {key: found.get(key, MISSING) for key in keys}

    def _reload(self, lead: Lead) -> Mapping[Any, Any]:
        """Read the keys of a lead from the storage, and put them in the place of what is there."""
        keys = lead.keys
        loaded: Mapping[Any, Any] = self._load(self._flight._ended, (), len(keys) == 1, lead)
        gone = [key for key in keys if key not in loaded]
        if gone and not self._freshness.negative_ttl:
            left, failure = self._doubts.invalidate(gone)
            if failure is not None:
                self._failed("delete_multi", failure)
            if left:
                self._doubts.add(left, True, True)
        return loaded

    def _renewed(self, refreshes: Any, failures: Any) -> None:
        with cython.critical_section(self):
            self._refreshes += refreshes
            self._refresh_failures += failures


def _is_time(value: Any) -> bool:
    """Tell whether that is a number of seconds, as one of an entry's must be."""
    if isinstance(value, float):
        return True
    return isinstance(value, int) and -_FAR < value < _FAR
