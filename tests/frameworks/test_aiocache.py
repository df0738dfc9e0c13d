"""The cache for aiocache: what it stores, its locks, its loops and its options."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiocache import caches
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock
from aiocache.serializers import PickleSerializer
from frameworks.conftest import NOWHERE, Witness
from support.memcached import Server

from godropbox.aiocache import GodropboxCache
from godropbox.memcache import InvalidArgumentError, NetworkError, PartialNetworkError

Run = Callable[..., None]


@pytest.fixture
def over(server: Server, witness: Witness) -> Run:
    """Run a coroutine function of a cache, in a loop of its own."""

    def over(use: Callable[[Any], Coroutine[Any, Any, None]], **arguments: Any) -> None:
        async def session() -> None:
            async with GodropboxCache(**{"servers": [server.address], **arguments}) as cache:
                await use(cache)

        asyncio.run(session())

    return over


def test_what_is_stored(over: Run, witness: Witness) -> None:
    """It is what aiocache's ``MemcachedCache`` stores, under the same key."""

    async def use(cache: Any) -> None:
        await cache.set("two words", {"a": [1, None]}, ttl=60)
        assert await cache.get("two words") == {"a": [1, None]}
        await cache.multi_set([("a", 1), ("b", "x")])
        assert await cache.multi_get(["b", "missing", "a"]) == ["x", None, 1]
        assert await cache.get("missing", default=5) == 5
        assert await cache.increment("count", 3) == 3
        assert await cache.increment("count", -1) == 2
        assert await cache.get("count") == 2
        assert await cache.set("x" * 500, "long")
        assert await cache.get("x" * 500) == "long"
        assert await cache.raw("append", "app:b", b"y") is True

    over(use, namespace="app:")
    item = witness.operations.get("app:two_words")
    assert (item.value, item.flags) == (b'{"a": [1, null]}', 0)
    assert 55 <= (witness.ttl("app:two_words") or 0) <= 60
    assert witness.ttl("app:a") == -1
    assert witness.client.get("app:b") == b'"x"y'


def test_any_object_with_a_serializer_and_a_default_ttl(over: Run, witness: Witness) -> None:
    async def use(cache: Any) -> None:
        await cache.set("key", {1, 2})
        assert await cache.get("key") == {1, 2}
        assert await cache.multi_get(["key", "missing"]) == [{1, 2}, None]

    over(use, serializer=PickleSerializer(), ttl=89.5)
    assert 85 <= (witness.ttl("key") or 0) <= 90


def test_a_lock_is_released_by_its_owner_alone(over: Run, witness: Witness) -> None:
    async def use(cache: Any) -> None:
        async with RedLock(cache, "key", lease=20):
            await cache.delete("key-lock")  # it has expired
            await cache.add("key-lock", "another's")
        assert await cache.get("key-lock") == "another's"
        await cache.delete("key-lock")
        async with RedLock(cache, "key", lease=20):
            assert await cache.exists("key-lock")
        assert not await cache.exists("key-lock")

        await cache.set("key", 1)
        async with OptimisticLock(cache, "key") as lock:
            await cache.set("key", 2)
            with pytest.raises(OptimisticLockError):
                await lock.cas(3)
        async with OptimisticLock(cache, "key") as lock:
            await lock.cas(4)
        assert await cache.get("key") == 4

    over(use)


def test_a_closed_cache_begins_anew_in_another_loop(server: Server, witness: Witness) -> None:
    host, port = server.address.split(":")
    cache = GodropboxCache(endpoint=host, port=int(port))

    async def session(value: int | None) -> None:
        assert await cache.get("key") == value
        await cache.set("key", (value or 0) + 1)
        await cache.close()

    for value in (None, 1, 2):
        asyncio.run(session(value))


def test_a_configuration(server: Server, witness: Witness) -> None:
    name = "godropbox.aiocache.GodropboxCache"
    plugin = {"class": "aiocache.plugins.HitMissRatioPlugin"}
    options = {"connections": 2}
    alias = {"cache": name, "servers": [server.address], "plugins": [plugin], "options": options}
    caches.set_config({"default": alias})

    async def session() -> None:
        cache = caches.create("default")
        await cache.set("key", 1)
        assert [await cache.get("key"), await cache.get("missing")] == [1, None]
        assert cache.hit_miss_ratio["hit_ratio"] == 0.5
        await cache.close()

    asyncio.run(session())


def test_a_server_that_fails(over: Run) -> None:
    async def use(cache: Any) -> None:
        with pytest.raises(NetworkError, match="cannot connect to unix:/nowhere"):
            await cache.get("key")
        with pytest.raises(PartialNetworkError, match="2 of 2 keys failed"):
            await cache.multi_set([("a", 1), ("b", 2)])

    over(use, servers=[NOWHERE])

    async def misses(cache: Any) -> None:
        assert await cache.get("key") is None
        assert await cache.multi_get(["a", "b"]) == [None, None]

    over(misses, servers=[NOWHERE], options={"failures": "miss"})


def test_wrong_uses(over: Run) -> None:
    with pytest.raises(InvalidArgumentError, match="did you mean 'connections'"):
        GodropboxCache(options={"conections": 2})

    async def use(cache: Any) -> None:
        await cache.set("key", "text")
        with pytest.raises(TypeError, match="'key' cannot be incremented"):
            await cache.increment("key")
        with pytest.raises(ValueError, match="'key' has a value already"):
            await cache.add("key", 1)
        with pytest.raises(ValueError, match="no way to clear one namespace"):
            await cache.clear(namespace="app:")
        assert await cache.clear()
        assert not await cache.exists("key")

    over(use)
