"""Options and statistics of layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import random as uniform
from time import monotonic, time
from typing import Any, Literal

from .._kernels._args import checked_int, shown

__all__ = ["CacheOptions", "CacheStats", "Freshness", "require_number", "require_plausible"]


def require_number(name: str, value: object, allowed: str) -> None:
    """Raise a ``TypeError`` that says what is `allowed` unless `value` is an int or a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}")


def _seconds(name: str, value: Any, least: str) -> None:
    """Raise unless `value` is a finite number: at least 0, or over 0."""
    require_number(name, value, "a number of seconds")
    is_allowed = value >= 0 if least == "at least" else value > 0
    if not is_allowed or (isinstance(value, float) and math.isinf(value)):
        raise ValueError(f"{name} must be {least} 0 seconds, got {shown(value)}")
    require_plausible(name, value)


def require_plausible(name: str, seconds: float) -> None:
    """Raise if a finite number of seconds is so large that it must be a Unix time."""
    if 10**9 <= seconds < math.inf:
        raise ValueError(
            f"{name} must be under 10**9 seconds (31 years), got {shown(seconds)}: "
            "it counts from now and is not a Unix time"
        )


def _ignore(operation: str, error: Exception) -> None:
    """Do nothing: the failure is counted anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How a cache behaves over a storage. Times are seconds.

    - `on_write`: ``"update"`` stores a written value in the cache, ``"invalidate"`` deletes its key
      from the cache.
    - `on_doubt`: what to do if the storage was written and the cache could be neither updated nor
      invalidated. ``"remember"``: the write succeeds; this layer remembers the key, reads it from
      the storage, and keeps trying to invalidate it. ``"raise"``: the same, and the write raises
      ``StaleCacheError``.
    - `max_doubts`: how many such keys are remembered; beyond that a write raises
      ``StaleCacheError`` in any case.
    - `retry_after`: how long to wait between attempts to invalidate them.
    - `patience`, `cancellations`: those of ``SingleFlight``.
    - `on_cache_failure`: called as ``on_cache_failure(operation, error)``, with the name of the
      cache's method and its exception; an exception of this function comes out.
    - `clock` is replaced in tests.
    """

    on_write: Literal["update", "invalidate"] = "update"
    on_doubt: Literal["remember", "raise"] = "remember"
    max_doubts: int = 10_000
    retry_after: float = 1.0
    patience: float | None = None
    cancellations: tuple[type[BaseException], ...] = ()
    on_cache_failure: Callable[[str, Exception], object] = _ignore
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        if self.on_write not in ("update", "invalidate"):
            raise ValueError(
                f"on_write must be 'update' or 'invalidate', got {shown(self.on_write)}"
            )
        if self.on_doubt not in ("remember", "raise"):
            raise ValueError(f"on_doubt must be 'remember' or 'raise', got {shown(self.on_doubt)}")
        checked_int("max_doubts", "[0, 2**31)", self.max_doubts, 1 << 31)
        _seconds("retry_after", self.retry_after, "at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts since a layer was made, and its present state.

    `hits` and `misses` count keys, `cache_failures` calls of the cache that raised. `doubts` is how
    many keys may be older in the cache than in the storage at present, because a write could not
    reach the cache; `waiting` is how many callers wait for another's load at present. `refreshes`
    and `refresh_failures` count the keys that a ``FreshCacheOnStorage`` reloaded, or failed to,
    while it had a value.
    """

    hits: int
    misses: int
    cache_failures: int
    doubts: int
    waiting: int
    refreshes: int = 0
    refresh_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long an entry may be used, and when it is reloaded. Times are seconds.

    - `ttl`: an entry is fresh for so long, less a random part of it up to `jitter` (0 to 1).
    - `beta`: how eagerly a fresh entry is reloaded before it expires, so that a hot key does not
      expire for all callers at once; 0 for never. A read does so with a probability that rises
      towards the end, and the earlier the longer loading takes: XFetch, of Vattani, Chierichetti
      and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015, section 4.
    - `stale`: an expired entry is still returned for so long, while it is reloaded, and if that
      fails.
    - `negative_ttl`: a key that is missing in the storage is remembered for so long; 0 for never.
    - `background`: called with a function to run soon in another thread, such as an executor's
      ``submit``; entries are reloaded there. Without it the read that finds an entry due reloads it
      before it returns, and the others return at once.
    - `clock` must agree in all processes that share the cache; it and `random` are replaced in
      tests.
    """

    ttl: float
    jitter: float = 0.1
    beta: float = 1.0
    stale: float = 0.0
    negative_ttl: float = 0.0
    background: Callable[[Callable[[], None]], object] | None = None
    clock: Callable[[], float] = time
    random: Callable[[], float] = uniform

    def __post_init__(self) -> None:
        _seconds("ttl", self.ttl, "over")
        _seconds("stale", self.stale, "at least")
        _seconds("negative_ttl", self.negative_ttl, "at least")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be in [0, 1], got {shown(self.jitter)}")
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"beta must be in [0, inf), got {shown(self.beta)}")
