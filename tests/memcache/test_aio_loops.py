"""Whose a client is: it may be made anywhere, and belongs to the event loop that uses it first."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

import pytest
from support import aio
from support.blocking import LOOPS, Blocking
from support.memcached import Server

from godropbox import memcache
from godropbox.memcache import Item, MetaProtocol, WrongLoopError
from godropbox.memcache.aio import (
    AsyncBaseShardManager,
    AsyncClient,
    AsyncShardedClient,
    AsyncStaticShardManager,
)

WORDS = "the client belongs to the event loop that used it first; make one for each loop"
Call = Callable[[AsyncClient], Coroutine[Any, Any, Any]]
CALLS: dict[str, Call] = {
    "get": lambda client: client.get("k"),
    "get_many": lambda client: client.get_many(["k", "l"]),
    "set": lambda client: client.set("k", 1),
    "set_many": lambda client: client.set_many({"k": 1, "l": 2}),
    "incr": lambda client: client.incr("k"),
    "get_or_set": lambda client: client.get_or_set("k", lambda: 1, 60),
    "version": lambda client: client.version(),
    "flush_all": lambda client: client.flush_all(),
    "close": lambda client: client.close(),
}


@pytest.fixture
def address(servers: Callable[[str], Server]) -> str:
    return servers("tcp").address


@pytest.fixture(params=LOOPS)
def used(request: pytest.FixtureRequest, address: str) -> Blocking:
    """Give a client that a loop has used, and closes in the end."""
    face = Blocking(AsyncClient(address, timeout=10.0), request.param)
    face.set_many({"k": 1, "l": 2})
    return face


def in_thread(call: Callable[[], Any]) -> Any:
    """Return what a function returns in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


async def told(call: Call, client: AsyncClient) -> str:
    """Return what is said of a loop that the client does not belong to."""
    with pytest.raises(WrongLoopError) as caught:
        await call(client)
    return str(caught.value)


@pytest.mark.parametrize("other", LOOPS)
@pytest.mark.parametrize("call", CALLS)
def test_another_loop_gets_a_clear_error(used: Blocking, call: str, other: str) -> None:
    client = used.inner
    assert WORDS in aio.run(told(CALLS[call], client), other)
    assert used.get("k") == 1  # its own goes on


@pytest.mark.parametrize("call", CALLS)
def test_the_loop_of_another_thread_gets_it_too(used: Blocking, call: str) -> None:
    assert WORDS in in_thread(lambda: aio.run(told(CALLS[call], used.inner)))


@pytest.mark.parametrize("call", CALLS)
def test_without_a_loop_there_is_an_error_and_no_hang(used: Blocking, call: str) -> None:
    coroutine = CALLS[call](used.inner)
    with pytest.raises(RuntimeError, match="belongs to an event loop, and none runs here"):
        coroutine.send(None)
    coroutine.close()


@pytest.mark.parametrize("in_flight", [False, True], ids=["idle", "in flight"])
@pytest.mark.parametrize("call", [name for name in CALLS if name != "close"])
@pytest.mark.parametrize("loop", LOOPS)
def test_another_run_of_another_loop_is_told(
    address: str, loop: str, call: str, in_flight: bool
) -> None:
    """Whoever calls ``asyncio.run`` twice has to make a client in each."""
    client = AsyncClient(address, timeout=10.0)

    async def first() -> None:
        await client.set("k", 1)
        if in_flight:  # its reply is never read
            task = asyncio.ensure_future(client.get("k"))
            await asyncio.sleep(0)
            task.cancel()

    face = Blocking(client, loop)
    face._loop.wait(first)
    if in_flight and call == "get":
        # Behind what is in flight, a get is not asked whose loop it is; its task is.
        with pytest.raises(RuntimeError, match=r"attached to a diff|belongs to the event"):
            aio.run(client.get("k"), loop)
    else:
        assert WORDS in aio.run(told(CALLS[call], client), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_it_is_made_before_there_is_a_loop_and_in_any_thread(address: str, loop: str) -> None:
    made = [
        AsyncClient(address, timeout=10.0),
        in_thread(lambda: AsyncClient(address, timeout=10.0)),
    ]

    async def use() -> None:
        made.append(AsyncClient(address, timeout=10.0))
        for i, client in enumerate(made):
            async with client:
                assert await client.set("k", i)
                assert await client.get("k") == i

    aio.run(use(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_one_that_was_never_used_is_closed_by_any_loop(address: str, loop: str) -> None:
    client, other = AsyncClient(address), AsyncClient(address)
    aio.run(client.close(), loop)
    aio.run(client.close(), loop)
    with pytest.raises(memcache.ClientClosedError):
        aio.run(client.get("k"), loop)
    assert repr(other).startswith("<AsyncClient of ")


@pytest.mark.parametrize("second", LOOPS)
def test_loops_in_threads_have_a_client_each(address: str, second: str) -> None:
    import_module(second)  # a thread cannot say that it is missing

    def work(name: str, loop: str) -> list[Any]:
        async def use() -> list[Any]:
            async with AsyncClient(address, timeout=10.0) as client:
                for i in range(200):
                    await client.set(f"{name}{i}", i)
                return await asyncio.gather(*(client.get(f"{name}{i}") for i in range(200)))

        return aio.run(use(), loop)

    found: dict[str, list[Any]] = {}
    threads = [
        threading.Thread(target=lambda n=n, k=k: found.update({n: work(n, k)}))
        for n, k in zip("abc", ("asyncio", second, "asyncio"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: list(range(200)) for name in "abc"}


@pytest.mark.parametrize("loop", LOOPS)
def test_clients_of_one_manager_belong_to_its_loop(address: str, loop: str) -> None:
    manager = AsyncStaticShardManager([address])
    one, two = AsyncClient(manager), AsyncClient(manager)
    sharded = AsyncShardedClient(manager, MetaProtocol())

    async def use() -> None:
        await one.set("k", 1)
        assert await two.get("k") == 1
        assert (await sharded.get("k")).value == b"1"

    with Blocking(manager, loop) as face:
        face._loop.wait(use)

        async def wrong() -> str:
            with pytest.raises(WrongLoopError) as caught:
                await sharded.set(Item("k", b"1"))
            return str(caught.value)

        assert WORDS in aio.run(wrong(), loop)
        assert WORDS in aio.run(told(CALLS["get"], two), loop)


def test_states_change_before_there_is_a_loop(address: str) -> None:
    manager = AsyncBaseShardManager()
    client = AsyncClient(manager)
    manager.update_shard_states([(address, memcache.ShardState.ACTIVE)])

    async def use() -> None:
        async with client:
            assert await client.set("k", 1)
        await manager.close()

    aio.run(use())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
def test_eager_tasks(address: str) -> None:
    async def use() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        async with AsyncClient(address, timeout=10.0) as client:
            await client.set_many({f"k{i}": i for i in range(50)})
            tasks = [asyncio.create_task(client.get(f"k{i}")) for i in range(50)]
            assert await asyncio.gather(*tasks) == list(range(50))
            async with asyncio.TaskGroup() as group:
                for i in range(50):
                    group.create_task(client.set(f"k{i}", -i))
            assert await client.get_many(["k1", "k49"]) == {"k1": -1, "k49": -49}

    aio.run(use())
