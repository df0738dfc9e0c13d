"""What of caching is watched for leaks: storages, layers, flights, and every way they fail."""

import asyncio
import atexit
import functools
import itertools
import logging
from typing import Any

from godropbox import caching, errors, memcache
from godropbox.caching import CacheOptions, DictStorage, FunctionStorage, LocalStorage
from godropbox.caching import aio as tasks
from godropbox.memcache.testing import MockClient
from support.leaking import Case, fails

__all__ = ["CACHING"]

logging.getLogger("godropbox.caching").addHandler(logging.NullHandler())  # of the first failure


KEYS = list(range(10))
NUMBERS = itertools.count()
DATA = {key: f"value {key}" for key in KEYS}


def broken(*arguments: Any) -> Any:
    raise errors.NetworkError("no such host")


OPERATIONS = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
BROKEN: FunctionStorage[Any, Any] = FunctionStorage("broken", **dict.fromkeys(OPERATIONS, broken))
BARE: FunctionStorage[Any, Any] = FunctionStorage("bare", get=lambda key, default: default)
LOCALS = {"timed": LocalStorage(8, ttl=60), "untimed": LocalStorage(8)}
CACHED = caching.CacheOnStorage(LocalStorage(100, ttl=60), DictStorage(dict(DATA)))
COLD = caching.CacheOnStorage(LocalStorage(1), DictStorage(dict(DATA)))
DOUBTING = caching.CacheOnStorage(BROKEN, DictStorage(dict(DATA)), CacheOptions(retry_after=0.0))
STRICT = caching.CacheOnStorage(BROKEN, DictStorage(), CacheOptions(on_doubt="raise"))
FRESH = caching.FreshCacheOnStorage(
    LocalStorage(100), DictStorage(dict(DATA)), caching.Freshness(ttl=60, negative_ttl=60)
)
DUE = caching.FreshCacheOnStorage(
    LocalStorage(100),
    DictStorage(dict(DATA)),
    caching.Freshness(ttl=1, jitter=0, stale=1e6, clock=functools.partial(next, NUMBERS)),
)
UNREACHED = caching.ConsistentCacheOnStorage(
    caching.FleetServers(
        memcache.StaticShardManager(["a:1"], options=memcache.ShardOptions(open=broken))
    ),
    DictStorage({1: b"1"}),
    caching.ConsistencyOptions(settle_limit=0.0, cache_key=str),
)
FLIGHTS = caching.SingleFlight()
MEMCACHED = caching.MemcacheStorage(memcache.Client.over(MockClient()), ttl=60)
LIMITED = caching.RateLimitedStorage(DictStorage({1: 1}), 1)


def kept(storage: Any) -> None:
    """Keep more than there is room for, read, take out."""
    key = next(NUMBERS)
    storage.set(key, "value")
    storage.get(key)
    storage.set_multi({key + 1: 1, key + 2: 2})
    storage.delete(key)
    storage.get_multi([key, key + 1])


def written(layer: Any) -> None:
    layer.set(3, "new")
    layer.delete_multi([3, 4])
    layer.set_multi({3: "a", 4: "b"})


def flown() -> object:
    return FLIGHTS.run_multi(KEYS, lambda keys: dict.fromkeys(keys, 1))


def again() -> object:
    """Lead a flight from within a flight for the same key."""
    return FLIGHTS.run("k", lambda: FLIGHTS.run("k", int))


def made_and_left() -> None:
    layer = caching.CacheOnStorage(LocalStorage(10), DictStorage({1: 1}))
    layer.get_multi([1, 2])


def busy() -> None:
    """Ask a storage for more than it does at once."""
    inner = DictStorage({1: 1})
    limited = caching.RateLimitedStorage(
        FunctionStorage("inner", get=lambda key, default: limited.get(key)), 1, timeout=1e-6
    )
    inner.flush()
    try:
        limited.get(1)
    except caching.StorageBusyError:
        return
    raise AssertionError("a second turn was given")


RUNNER = asyncio.Runner()
atexit.register(RUNNER.close)


async def loaded(key: int, default: Any = None) -> str:
    await asyncio.sleep(0)
    if key == 7:
        raise errors.NetworkError("no such host")
    return f"value {key}"


async def shared() -> None:
    """Ask for two keys from several tasks, of which one leader and one follower are cancelled."""
    names = tasks.AsyncFunctionStorage("names", get=loaded, set=lambda key, value: None)
    layer = tasks.AsyncCacheOnStorage(
        LocalStorage(2), tasks.AsyncRateLimitedStorage(names, 1, timeout=60)
    )
    asked = [asyncio.create_task(layer.get(key)) for key in (1, 1, 1, 7, 7)]
    await asyncio.sleep(0)
    asked[0].cancel()
    asked[1].cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    write = asyncio.create_task(layer.set(1, "new"))
    await asyncio.sleep(0)
    write.cancel()
    await asyncio.gather(write, return_exceptions=True)


async def reloaded() -> None:
    """Find an entry due, and have a task reload it."""
    freshness = caching.Freshness(
        ttl=1, jitter=0, stale=1e6, clock=functools.partial(next, NUMBERS)
    )
    layer = tasks.AsyncFreshCacheOnStorage(
        LocalStorage(2), DictStorage({1: 1}), freshness, background=True
    )
    await layer.get(1)
    await layer.get(1)
    await layer.close()


CACHING = (
    Case("AsyncCacheOnStorage, shared and cancelled", lambda: RUNNER.run(shared()), share=0.02),
    Case("AsyncFreshCacheOnStorage, due", lambda: RUNNER.run(reloaded()), share=0.02),
    *(
        Case(f"LocalStorage, {engine}", functools.partial(kept, storage), share=0.2)
        for engine, storage in LOCALS.items()
    ),
    Case("MemcacheStorage", lambda: MEMCACHED.get_multi(["a", "b"]), share=0.3),
    Case("MemcacheStorage.set", lambda: MEMCACHED.set("a", b"1"), share=0.3),
    Case("RateLimitedStorage.get", lambda: LIMITED.get(1), share=0.5),
    Case("RateLimitedStorage, busy", busy, share=0.05),
    Case("CacheOnStorage.get", lambda: CACHED.get(1)),
    Case("CacheOnStorage.get of none", lambda: CACHED.get(99), share=0.2),
    Case("CacheOnStorage.get_multi", lambda: CACHED.get_multi(KEYS), share=0.5),
    Case("CacheOnStorage: misses", lambda: COLD.get_multi(KEYS), share=0.1),
    Case("CacheOnStorage: writes", lambda: written(CACHED), share=0.1),
    Case("CacheOnStorage over a broken cache: get", lambda: DOUBTING.get(1), share=0.1),
    Case("CacheOnStorage over a broken cache: writes", lambda: written(DOUBTING), share=0.05),
    Case("CacheOnStorage, made and thrown away", made_and_left, share=0.1),
    Case("FreshCacheOnStorage.get", lambda: FRESH.get(1), share=0.5),
    Case("FreshCacheOnStorage.get of none", lambda: FRESH.get(99), share=0.5),
    Case("FreshCacheOnStorage.get_multi", lambda: FRESH.get_multi(KEYS), share=0.2),
    Case("FreshCacheOnStorage: due", lambda: DUE.get(1), share=0.1),
    Case("ConsistentCacheOnStorage, no server", lambda: UNREACHED.get_multi([1, 2]), share=0.05),
    fails(caching.WriteRefused, UNREACHED.set, 1, b"new"),
    Case("SingleFlight.run", lambda: FLIGHTS.run("k", int)),
    Case("SingleFlight.run_multi", flown, share=0.3),
    Case("SingleFlight.run within itself", again, share=0.2),
    fails(errors.NetworkError, FLIGHTS.run, "k", broken),
    fails(errors.NetworkError, FLIGHTS.run_multi, [1, 2], broken),
    fails(errors.NetworkError, caching.CacheOnStorage(LocalStorage(1), BROKEN).get, 1),
    fails(caching.StaleCacheError, STRICT.set, 1, 1),
    fails(caching.UnsupportedOperationError, BARE.set, 1, 1),
    fails(ValueError, LocalStorage, 0),
    fails(ValueError, caching.SingleFlight, patience=0),
)
