"""The methods for event loops: a client a loop, no thread, loads that are coroutines."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from support import aio

from godropbox.django import GodropboxCache
from godropbox.django.aio import LoopClients
from godropbox.memcache import Client, NetworkError

MakeCache = Callable[..., GodropboxCache]


def held(cache: GodropboxCache) -> dict[Any, Any]:
    """Return what is kept for event loops."""
    loops: LoopClients = cache.clients.of_loops(LoopClients)
    return loops._held


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_300_gets_at_once_use_no_thread(
    cache: GodropboxCache, client: Client, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    before = int(client.stats()[0]["total_connections"])

    async def main() -> list[Any]:
        await cache.aset_many({f"key{number}": number for number in range(300)})
        return await asyncio.gather(*(cache.aget(f"key{number}") for number in range(300)))

    assert aio.run(main(), loop) == list(range(300))
    assert started == []
    assert int(client.stats()[0]["total_connections"]) == before + 1


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_every_method_is_native(
    cache: GodropboxCache, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocking client is not used, nor any thread that Django would use for it."""
    monkeypatch.setattr(cache, "_client", None)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr("django.core.cache.backends.base.sync_to_async", refuse)
    prefix = cache.key_prefix

    async def main() -> None:
        assert await cache.aadd("key", 1)
        assert await cache.aget("key") == 1
        assert await cache.aincr("key") == 2
        assert await cache.adecr("key", 2) == 0
        assert await cache.atouch("key", 60)
        assert 50 <= (await cache.attl("key") or 0) <= 60
        assert await cache.ahas_key("key")
        assert await cache.aincr_version("key") == 2
        assert await cache.adecr_version("key", version=2) == 1
        assert await cache.adelete("key")
        await cache.aset("key", 5)
        assert await cache.aset_many({"a": 1}) == []
        assert await cache.aget_many(["a", "key"]) == {"a": 1, "key": 5}
        await cache.adelete_many(["a"])
        assert await cache.aget_or_set("a", 7) == 7
        await cache.aclose()
        assert cache.key_prefix == prefix

    aio.run(main(), loop)


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_a_loops_client_is_closed_with_it(cache: GodropboxCache, client: Client, loop: str) -> None:
    async def main() -> Any:
        await cache.aget("key")
        assert list(held(cache)) == [asyncio.get_running_loop()]
        return cache.clients.of_loops(LoopClients).current()

    first = aio.run(main(), loop)
    assert held(cache) == {}
    assert aio.run(main(), loop) is not first
    assert held(cache) == {}


def test_back_ends_of_one_loop_share_a_client(make: MakeCache) -> None:
    async def main() -> None:
        caches = [make() for _ in range(5)]
        clients = {id(cache._current()) for cache in caches}
        assert len(clients) == 1

    aio.run(main())


def test_loops_of_several_threads_have_a_client_each(make: MakeCache) -> None:
    cache = make()
    found: list[int] = []
    ready = threading.Barrier(4)

    async def main() -> None:
        await cache.aset("key", 1)
        ready.wait(10)
        found.append(id(cache._current()))
        assert await cache.aget("key") == 1
        ready.wait(10)

    threads = [threading.Thread(target=lambda: aio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4
    assert held(cache) == {}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the loop that ends without a farewell
def test_what_a_loop_left_goes_when_the_next_comes(cache: GodropboxCache) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(cache.aget("key"))
    loop.close()
    assert list(held(cache)) == [loop]
    aio.run(cache.aget("key"))
    assert held(cache) == {}
    del loop
    gc.collect()


def test_from_threads_of_django(cache: GodropboxCache) -> None:
    """A view that blocks may call the methods for event loops, and the other way about."""
    async_to_sync(cache.aset)("key", 1)
    assert async_to_sync(cache.aget)("key") == 1

    async def main() -> Any:
        return await sync_to_async(cache.get)("key"), await cache.aget("key")

    assert async_to_sync(main)() == (1, 1)


@pytest.mark.parametrize("loop", aio.LOOPS)
def test_of_many_tasks_that_miss_one_loads(cache: GodropboxCache, loop: str) -> None:
    calls = []

    async def load() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return "loaded"

    async def main() -> list[Any]:
        return await asyncio.gather(*(cache.aget_or_set("key", load) for _ in range(50)))

    assert aio.run(main(), loop) == ["loaded"] * 50
    assert len(calls) == 1


def test_loads_of_every_kind(make: MakeCache) -> None:
    async def coroutine() -> int:
        return 1

    async def failing() -> int:
        raise NetworkError("the data base is away")

    async def main(cache: GodropboxCache) -> None:
        assert await cache.aget_or_set("coroutine", coroutine) == 1
        assert await cache.aget_or_set("function", lambda: 2) == 2
        assert await cache.aget_or_set("awaitable", lambda: coroutine()) == 1
        assert await cache.aget_or_set("value", 3) == 3
        with pytest.raises(NetworkError, match="the data base is away"):
            await cache.aget_or_set("failing", failing)
        assert await cache.aget_or_set("failing", coroutine) == 1
        keys = ["coroutine", "function", "awaitable", "value", "failing"]
        assert list((await cache.aget_many(keys)).values()) == [1, 2, 1, 3, 1]

    for options in ({}, {"leases": False}, {"large_values": "parts"}, {"ignore_exceptions": True}):
        cache = make(**options)
        cache.key_prefix += str(len(options)) + str(options)[2:5]
        aio.run(main(cache))


def test_a_blocking_get_or_set_refuses_a_coroutine_function(cache: GodropboxCache) -> None:
    async def load() -> int:
        return 1

    with pytest.raises(TypeError, match="load"):
        cache.get_or_set("key", load)
    assert cache.get_or_set("key", lambda: 2) == 2


def test_a_cancelled_load_is_loaded_by_another(cache: GodropboxCache) -> None:
    async def main() -> Any:
        begun = asyncio.Event()

        async def load() -> str:
            begun.set()
            await asyncio.Event().wait()
            return "never"

        task = asyncio.create_task(cache.aget_or_set("key", load))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await cache.aget_or_set("key", lambda: "other")

    assert aio.run(main()) == "other"


def test_without_a_loop_there_is_an_error(cache: GodropboxCache) -> None:
    coroutine = cache.aget("key")
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)
    coroutine.close()
