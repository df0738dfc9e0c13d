"""The two caches that the demo compares, and what is counted of each.

- ``CacheAside``: what people write: get; on a miss read the database and set; on a write, write the
  database and delete. A cache that fails is a miss.
- ``Consistent``: ``ConsistentCacheOnStorage``.
- ``Meter``: counts and latencies; its clock is injected.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..caching import CommitUncertain, ConsistencyOptions, ConsistentCacheOnStorage, WriteRefused
from ..errors import DropboxError
from .database import Database
from .fleets import DemoFleet

__all__ = ["CacheAside", "Consistent", "Meter", "Side"]

TTL: Final = 60
_WINDOW: Final = 2.0  # seconds over which latencies and rates are shown


class Side(Protocol):
    """One cache over its database."""

    database: Database
    meter: "Meter"

    def read(self, key: str) -> bytes | None:
        """Return a value, out of the cache if it is there."""
        ...

    def write(self, key: str, value: bytes) -> bool:
        """Write a value; return whether the writer may say that it is written."""
        ...

    def load_once(self, key: str, load: Callable[[], bytes]) -> bytes:
        """Return a value that is expensive to make, making it if it is not in the cache."""
        ...


class CacheAside:
    """Plain cache-aside over a client of memcached."""

    def __init__(self, fleet: DemoFleet, database: Database, meter: "Meter") -> None:
        self.database = database
        self.meter = meter
        self._cache = fleet

    def read(self, key: str) -> bytes | None:
        value = self._get(key)
        if value is None:
            value = self.database.get(key)
            if value is not None:
                self._set(key, value)
        return value

    def write(self, key: str, value: bytes) -> bool:
        self.database.set(key, value)
        try:
            self._cache.plain_delete(key)
        except DropboxError:
            self.meter.count("cache_errors")
        return True

    def load_once(self, key: str, load: Callable[[], bytes]) -> bytes:
        value = self._get(key)
        if value is None:
            value = load()
            self._set(key, value)
        return value

    def _get(self, key: str) -> bytes | None:
        try:
            return self._cache.plain_get(key)
        except DropboxError:
            self.meter.count("cache_errors")
            return None

    def _set(self, key: str, value: bytes) -> None:
        try:
            self._cache.plain_set(key, value, TTL)
        except DropboxError:
            self.meter.count("cache_errors")


class Consistent:
    """``ConsistentCacheOnStorage``, and leases for what is expensive to make."""

    def __init__(self, fleet: DemoFleet, database: Database, meter: "Meter") -> None:
        self.database = database
        self.meter = meter
        self._fleet = fleet
        self.servers = fleet.consistent()
        # Short lives: a person who kills servers does not want to wait for them.
        options = ConsistencyOptions(
            value_life=TTL, lease_life=3, sentinel_life=8, storage_limit=4.0, settle_limit=1.5
        )
        self.cache: ConsistentCacheOnStorage[str, bytes] = ConsistentCacheOnStorage(
            self.servers, database, options
        )

    def read(self, key: str) -> bytes | None:
        return self.cache.get(key)

    def write(self, key: str, value: bytes) -> bool:
        try:
            self.cache.set(key, value)
        except WriteRefused:
            self.meter.count("refused")
            return False
        except CommitUncertain:
            self.meter.count("uncertain")
            return False
        return True

    def load_once(self, key: str, load: Callable[[], bytes]) -> bytes:
        try:
            return self._fleet.load_once(key, load, TTL)
        except DropboxError:
            self.meter.count("cache_errors")
            return load()


class Meter:
    """Counts since the start, and latencies and rates of the last two seconds.

    `clock` counts seconds. Threads may share a meter.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._recent: deque[tuple[float, str, float]] = deque()

    def count(self, name: str, by: int = 1) -> None:
        """Count an event."""
        with self._lock:
            self._counts[name] += by

    def took(self, kind: str, seconds: float) -> None:
        """Note how long a ``"hit"``, a ``"miss"``, a ``"stale"`` one or a ``"write"`` took."""
        with self._lock:
            self._counts[kind] += 1
            self._recent.append((self._clock(), kind, seconds))
            self._forget()

    def _forget(self) -> None:
        while self._recent and self._recent[0][0] < self._clock() - _WINDOW:
            self._recent.popleft()

    def shown(self) -> dict[str, Any]:
        """Return the counts, and the rates a second and latencies in milliseconds of late."""
        with self._lock:
            self._forget()
            counts, recent = Counter(self._counts), list(self._recent)
        kinds = Counter(kind for _, kind, _ in recent)
        reads = sorted(seconds * 1000 for _, kind, seconds in recent if kind != "write")
        hits, seen = kinds["hit"] + kinds["stale"], len(reads)
        return {
            "reads": counts["hit"] + counts["miss"] + counts["stale"],
            "stale": counts["stale"],
            "writes": counts["write"],
            "refused": counts["refused"],
            "uncertain": counts["uncertain"],
            "cache_errors": counts["cache_errors"],
            "rate": seen / _WINDOW,
            "stale_rate": kinds["stale"] / _WINDOW,
            "hit_rate": hits / seen if seen else None,
            "middle": reads[seen // 2] if seen else None,
            "late": reads[min(seen - 1, seen * 99 // 100)] if seen else None,
        }
