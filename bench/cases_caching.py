"""Caches: a hit in this process, a hit through a layer, and 100 keys from memcached.

Right is that every key gets its own value, and of a layer that nothing was loaded twice. All
caches hold the same 100 keys and have room for 1,000; a row with a time to live has one that ends
long after the race.
"""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

from .memcached import a_server
from .model import AtMost, Case, Group, MissingError, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

ITEMS = {f"user:{at:05}": f"name {at}".ljust(100, ".").encode() for at in range(100)}
ROOM = 1000
LIFE = 3600
CLIENT = "Client.get_many"


def right_values(result: Any, names: Names) -> None:
    """Hold a loop over the keys to their values."""
    if result != list(ITEMS.values()):
        raise WrongError("a value differs from what was kept")


def loaded_once(result: Any, names: Names) -> None:
    """Hold a layer to their values, too, and to one load a key."""
    right_values(result, names)
    if names["loads"] != list(ITEMS):
        raise WrongError("a key was not loaded once")


# A hit: each function returns what gets one key.

Get = Callable[[str], Any]


def local(implementation: str, **limits: Any) -> Get:
    storage = load("caching", implementation).LocalStorage(ROOM, **limits)
    storage.set_multi(ITEMS)
    get: Get = storage.get
    return get


def cachebox_get(name: str, **limits: Any) -> Get:
    cache = getattr(import_module("cachebox"), name)(ROOM, **limits)
    cache.update(ITEMS)
    get: Get = cache.get
    return get


def cachetools_get(name: str, **limits: Any) -> Get:
    cache = getattr(import_module("cachetools"), name)(ROOM, **limits)
    cache.update(ITEMS)
    get: Get = cache.get
    return get


def theine_get() -> Get:
    cache = import_module("theine").Cache(ROOM)
    for key, value in ITEMS.items():
        cache.set(key, value, timedelta(seconds=LIFE))

    def get(key: str) -> Any:
        return cache.get(key)[0]  # with whether it is there

    return get


def dogpile_region() -> Any:
    return import_module("dogpile.cache").make_region().configure("dogpile.cache.memory")


def dogpile_get() -> Get:
    region = dogpile_region()
    region.set_multi(ITEMS)
    get: Get = region.get
    return get


def hit(label: str, get: Callable[[], Get], **more: Any) -> Row:
    return Row(
        label,
        "get(key)",
        lambda _: {"get": get(), "keys": list(ITEMS)},
        loop="key in keys",
        operations="len(keys)",
        check=right_values,
        **more,
    )


def cashews_row(label: str, make: Callable[[Any], Any], check: Any = right_values) -> Row:
    """Return a row of cashews, which is asyncio's: one loop runs 100 reads, one after the other."""

    def names(_: Any) -> Names:
        import asyncio

        caches = import_module("cashews")
        cache = caches.Cache()
        cache.setup(f"mem://?size={ROOM}&check_interval={LIFE}")
        loop = asyncio.new_event_loop()
        loads: list[str] = []
        get = make((cache, loop, loads))

        async def read() -> list[Any]:
            return [await get(key) for key in ITEMS]

        def close() -> None:
            loop.run_until_complete(cache.close())
            loop.close()

        run = loop.run_until_complete
        run(read())
        return {"run": run, "read": read, "keys": list(ITEMS), "loads": loads, "close": close}

    return Row(label, "run(read())", names, operations="len(keys)", peer="cashews", check=check)


def cashews_get(given: Any) -> Any:
    cache, loop, _ = given
    loop.run_until_complete(cache.set_many(ITEMS, expire=LIFE))
    return cache.get


def cashews_cached(given: Any) -> Any:
    cache, _, loads = given

    async def read(key: str) -> Any:
        loads.append(key)
        return ITEMS[key]

    return cache(ttl=LIFE, key="{key}")(read)


HIT = Case(
    "a hit",
    (
        hit("dict", lambda: dict(ITEMS).get, kind="floor"),
        hit("native", lambda: local("native"), kind="native", target=Within(1e-7, "see cachebox")),
        hit(
            "native, with a time to live",
            lambda: local("native", ttl=LIFE),
            kind="native",
            target=Within(1e-7, "see cachebox"),
        ),
        hit("pure", lambda: local("pure"), kind="pure", env=PURE),
        hit("cachebox LRU", lambda: cachebox_get("LRUCache"), peer="cachebox"),
        hit("cachebox TTL", lambda: cachebox_get("TTLCache", global_ttl=LIFE), peer="cachebox"),
        hit("cachetools LRU", lambda: cachetools_get("LRUCache"), peer="cachetools"),
        hit("cachetools TTL", lambda: cachetools_get("TTLCache", ttl=LIFE), peer="cachetools"),
        hit("theine", theine_get, peer="theine"),
        hit("dogpile.cache memory", dogpile_get, peer="dogpile.cache"),
        cashews_row("cashews memory", cashews_get),
    ),
    floor="dict",
    about="by one thread; cachetools takes no lock",
)


# A hit through a layer: each function takes what loads a key, and returns what gets one.

Load = Callable[[str], Any]


def layer(implementation: str, kind: str = "CacheOnStorage") -> Callable[[Load], Get]:
    def make(loads: Load) -> Get:
        caching = load("caching", implementation)
        storage = caching.FunctionStorage("loads", get=lambda key, default: loads(key))
        cache = caching.LocalStorage(ROOM)
        more = [] if kind == "CacheOnStorage" else [caching.Freshness(ttl=LIFE)]
        get: Get = getattr(caching, kind)(cache, storage, *more).get
        return get

    return make


def cachebox_cached(loads: Load) -> Get:
    cachebox = import_module("cachebox")
    get: Get = cachebox.cached(cachebox.LRUCache(ROOM))(loads)
    return get


def cachetools_cached(loads: Load) -> Get:
    import threading

    cachetools = import_module("cachetools")
    get: Get = cachetools.cached(cachetools.LRUCache(ROOM), lock=threading.Lock())(loads)
    return get


def theine_cached(loads: Load) -> Get:
    get: Get = import_module("theine").Memoize(ROOM, timedelta(seconds=LIFE))(loads)
    return get


def dogpile_cached(loads: Load) -> Get:
    region = dogpile_region()

    def get(key: str) -> Any:
        return region.get_or_create(key, loads, creator_args=((key,), {}))

    return get


def through(label: str, make: Callable[[Load], Get], **more: Any) -> Row:
    def names(_: Any) -> Names:
        loads: list[str] = []

        def read(key: str) -> Any:
            loads.append(key)
            return ITEMS[key]

        get = make(read)
        for key in ITEMS:
            get(key)
        return {"get": get, "keys": list(ITEMS), "loads": loads}

    return Row(
        label,
        "get(key)",
        names,
        loop="key in keys",
        operations="len(keys)",
        check=loaded_once,
        **more,
    )


THROUGH = Case(
    "a hit through a layer",
    (
        hit("dict", lambda: dict(ITEMS).get, kind="floor"),
        through(
            "native",
            layer("native"),
            kind="native",
            target=Within(3e-7, "theine.Memoize takes more"),
        ),
        through("native, fresh", layer("native", "FreshCacheOnStorage"), kind="native"),
        through("pure", layer("pure"), kind="pure", env=PURE),
        through("cachebox.cached", cachebox_cached, peer="cachebox"),
        through("cachetools.cached", cachetools_cached, peer="cachetools"),
        through("theine.Memoize", theine_cached, peer="theine"),
        through("dogpile get_or_create", dogpile_cached, peer="dogpile.cache"),
        cashews_row("cashews.cache", cashews_cached, loaded_once),
    ),
    floor="dict",
    about="or through what wraps a function",
)


# From memcached


def client_of(address: list[Any], implementation: str) -> Any:
    memcache = load("memcache", implementation)
    if not hasattr(memcache, "Client"):
        raise MissingError("godropbox.memcache has no Client")
    return memcache.Client(f"{address[0]}:{address[1]}")


def many(implementation: str, through_storage: bool) -> Callable[[list[Any]], Names]:
    def make(address: list[Any]) -> Names:
        client = client_of(address, implementation)
        client.set_many(ITEMS)
        storage = load("caching", implementation).MemcacheStorage(client)
        get_many = storage.get_multi if through_storage else client.get_many
        return {"get_many": get_many, "keys": list(ITEMS), "close": client.close}

    return make


def dogpile_many(address: list[Any]) -> Names:
    import_module("pymemcache")
    arguments = {"url": f"{address[0]}:{address[1]}"}
    region = import_module("dogpile.cache").make_region()
    region.configure("dogpile.cache.pymemcache", arguments=arguments)
    region.set_multi({f"dogpile:{key}": value for key, value in ITEMS.items()})
    return {
        "get_many": region.get_multi,
        "keys": [f"dogpile:{key}" for key in ITEMS],
        "close": region.backend.client.close,
    }


def right_batch(result: Any, names: Names) -> None:
    """Hold a batch to all values: by key, or in the order of the keys."""
    values = [result[key] for key in ITEMS] if isinstance(result, dict) else result
    right_values(values, names)


def batch(label: str, make: Callable[[list[Any]], Names], **more: Any) -> Row:
    return Row(label, "get_many(keys)", make, check=right_batch, **more)


MANY = Case(
    "100 keys from memcached",
    (
        batch(CLIENT, many("native", False), kind="floor"),
        batch("native", many("native", True), kind="native", target=AtMost(1.15, CLIENT)),
        batch("pure", many("pure", True), kind="pure", env=PURE),
        batch("dogpile on pymemcache", dogpile_many, peer="dogpile.cache"),
    ),
    floor=CLIENT,
    about="values of 100 bytes, one server on loopback",
)

GROUPS = (
    Group(
        "caching",
        "Caches",
        "A key that is there, got from a cache in this process, got through a layer that would "
        "load it, and 100 of them got from memcached. The floor of the first two is a dict, which "
        "is no cache. cashews is asyncio's: its time is that of a coroutine that is awaited.",
        "read",
        (HIT, THROUGH, MANY),
        resource=a_server,
    ),
)
