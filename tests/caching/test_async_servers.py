"""Asyncio forms over a real memcached: the storage in it, and the consistent cache over a fleet."""

import asyncio
import random
from typing import Any

import pytest
from caching.consist_support import Table, options
from support.aio import LOOPS, run, turns
from support.forms import Yielding
from support.memcached import Server

from godropbox import errors
from godropbox.caching import CommitUncertain, DictStorage, FleetServers, LocalStorage, WriteRefused
from godropbox.caching.aio import (
    AsyncCacheOnStorage,
    AsyncConsistentCacheOnStorage,
    AsyncConsistentServers,
    AsyncFleetServers,
    AsyncMemcacheStorage,
    AsyncStorage,
)
from godropbox.caching.consistency.protocol import Place
from godropbox.memcache import RawMetaClient, ShardState, ShardStatus, StaticShardManager
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient, AsyncStaticShardManager

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def test_a_storage_in_memcached(loop: str, server: Server, raw: RawMetaClient) -> None:
    async def main() -> None:
        async with AsyncClient([server.address], serializer="json") as client:
            storage: AsyncStorage[str, Any] = AsyncMemcacheStorage(
                client, ttl=60, key_of=lambda key: f"user:{key}"
            )
            await storage.set("ann", {"age": 7})
            await storage.set_multi({"bob": 2, "eve": None})
            assert await client.get("user:bob") == 2
            assert await storage.get("ann") == {"age": 7}
            assert await storage.get("nobody", 5) == 5
            assert await storage.get_multi(["bob", "eve", "nobody"]) == {"bob": 2, "eve": None}
            await storage.delete("ann")
            await storage.delete_multi(["bob", "nobody"])
            assert await storage.get_multi(["ann", "bob", "eve"]) == {"eve": None}
            await storage.flush()
            assert await storage.get("eve", 7) == 7
            assert repr(storage) == "<AsyncMemcacheStorage over AsyncClient, 60 s each>"

    run(main(), loop)


def test_a_layer_over_memcached(loop: str, server: Server, raw: RawMetaClient) -> None:
    table = Table(**{f"key{n}": b"%d" % n for n in range(200)})

    async def main() -> None:
        async with AsyncClient([server.address]) as client:
            layer = AsyncCacheOnStorage(
                LocalStorage(50), AsyncCacheOnStorage(AsyncMemcacheStorage(client), Yielding(table))
            )
            keys = [f"key{n}" for n in range(200)]
            found = await asyncio.gather(*(layer.get(key) for key in keys * 5))
            assert found == [b"%d" % n for n in range(200)] * 5
            assert table.reads == 200
            assert len(await layer.get_multi(keys)) == 200
            assert table.reads == 200

    run(main(), loop)
    assert raw.get("key7").value == b"7"


def test_a_memcached_that_is_not_there_fails_no_read(loop: str) -> None:
    async def main() -> None:
        async with AsyncClient(["127.0.0.1:1"], timeout=1.0) as client:
            layer = AsyncCacheOnStorage(AsyncMemcacheStorage(client), DictStorage({"foo": 1}))
            assert await layer.get("foo") == 1
            assert await layer.get_multi(["foo", "bar"]) == {"foo": 1}
            await layer.set("foo", 2)
            assert await layer.get("foo") == 2
            assert layer.stats().doubts == 1

    run(main(), loop)


# The consistent cache


def test_both_forms_agree_over_one_fleet(loop: str, server: Server, raw: RawMetaClient) -> None:
    """On the entries in the servers, too: one fills, the other hits."""
    from godropbox.caching import ConsistentCacheOnStorage

    table = Table(**{f"key{n}": b"%d" % n for n in range(20)})
    keys = sorted(table.data)
    with StaticShardManager([server.address]) as manager:
        blocking = ConsistentCacheOnStorage(FleetServers(manager), table, options())

        async def main() -> None:
            async with AsyncStaticShardManager([server.address]) as tasks:
                servers: AsyncConsistentServers = AsyncFleetServers(tasks)
                cache = AsyncConsistentCacheOnStorage(servers, Yielding(table), options())
                assert servers.places("key1") == FleetServers(manager).places("key1")
                assert await cache.get_multi(keys) == blocking.get_multi(keys) == table.data
                assert (cache.statistics().fills, blocking.statistics().hits) == (20, 20)
                blocking.set("key1", b"new")
                assert await cache.get("key1") == b"new"
                await cache.set_multi({"key1": b"newer", "key2": b"newer"})
                assert blocking.get_multi(["key1", "key2"]) == {"key1": b"newer", "key2": b"newer"}
                await cache.delete("key3")
                await cache.delete_multi(["key4", "key5"])
                assert blocking.get_multi(["key3", "key4", "key5"]) == {}
                table.data["key6"] = b"behind its back"
                await cache.invalidate("key6")
                assert await cache.get("key6", b"") == b"behind its back"
                await cache.flush()
                assert (table.data, await cache.get("key1", 7)) == ({}, 7)

        run(main(), loop)


def test_states_of_servers(loop: str, server: Server, raw: RawMetaClient) -> None:
    async def main() -> None:
        async with AsyncBaseShardManager() as manager:
            cache = AsyncConsistentCacheOnStorage(
                AsyncFleetServers(manager), Table(a=b"1"), options()
            )
            assert await cache.get("a") == b"1"
            assert await cache.get_multi(["a", "b"]) == {"a": b"1"}
            manager.update_shard_states([ShardStatus("127.0.0.1:1", ShardState.WRITE_ONLY)])
            with pytest.raises(WriteRefused):
                await cache.set("a", b"2")
            with pytest.raises(CommitUncertain):
                await cache.flush()
            assert AsyncFleetServers(manager).places("a") == (Place((0, "127.0.0.1:1")),)

    run(main(), loop)


@pytest.mark.parametrize("seed", range(2))
def test_200_tasks_read_nothing_older_than_what_was_acknowledged(
    loop: str, seed: int, server: Server, raw: RawMetaClient
) -> None:
    """Through two caches, whose only word of each other is in the server."""
    dice = random.Random(seed)
    keys = [f"key{n}" for n in range(10)]

    async def main() -> None:
        class Rows(Yielding):
            async def _call(self, name: str, *arguments: Any) -> Any:
                await turns(dice.randrange(4))
                if dice.random() < 0.03:
                    raise errors.NetworkError("no such host")
                result = getattr(self.plain, name)(*arguments)
                await turns(dice.randrange(4))
                return result

        table = Table()
        newest, acknowledged = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
        old: list[Any] = []
        counts = {"reads": 0, "writes": 0, "cancelled": 0}
        locks = {key: asyncio.Lock() for key in keys}

        async def write(cache: Any, key: str) -> None:
            async with locks[key]:
                newest[key] += 1
                version = newest[key]
                await cache.set(key, b"%d" % version)
                acknowledged[key] = version
                counts["writes"] += 1

        async def read(cache: Any, wanted: list[str]) -> None:
            before = {key: acknowledged[key] for key in wanted}
            found = await cache.get_multi(wanted)
            counts["reads"] += 1
            for key in wanted:
                if int(found.get(key, b"0")) < before[key]:
                    old.append((key, found.get(key), before[key]))

        async def work(caches: list[Any]) -> None:
            for _ in range(10):
                cache = dice.choice(caches)
                step = (
                    write(cache, dice.choice(keys))
                    if dice.random() < 0.3
                    else read(cache, dice.sample(keys, dice.randint(1, 3)))
                )
                task = asyncio.create_task(step)
                if dice.random() < 0.1:
                    await turns(dice.randrange(20))
                    task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    counts["cancelled"] += 1
                except (errors.NetworkError, WriteRefused, CommitUncertain):
                    pass

        async with (
            AsyncStaticShardManager([server.address]) as one,
            AsyncStaticShardManager([server.address]) as two,
        ):
            caches = [
                AsyncConsistentCacheOnStorage(
                    AsyncFleetServers(manager), Rows(table), options(sentinel_life=12)
                )
                for manager in (one, two)
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*(work(caches) for _ in range(200)))
        assert old == []
        assert counts["cancelled"] > 50
        assert min(counts.values()) > 50

    run(main(), loop)
