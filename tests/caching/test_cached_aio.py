"""Decorated coroutine functions, on asyncio's own loop and on uvloop."""

import asyncio
import gc
import inspect
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.aio import LOOPS, run, turns
from support.caches import CountedStorage
from support.memcached import Server
from support.memory import let_go
from support.pools import Clock

from godropbox import errors
from godropbox.caching import (
    MISSING,
    CacheOnStorage,
    DictStorage,
    Freshness,
    LocalStorage,
    MemcacheStorage,
    cached,
)
from godropbox.caching.aio import (
    AsyncCached,
    AsyncCacheOnStorage,
    AsyncFunctionStorage,
    AsyncMemcacheStorage,
)
from godropbox.memcache.aio import AsyncClient

pytestmark = pytest.mark.parametrize("loop", LOOPS)


class AsyncStore:
    """A storage of coroutine functions over a counted one; each gives way once."""

    def __init__(self) -> None:
        self.below = CountedStorage()

    async def get(self, key: Any, default: Any = None) -> Any:
        await asyncio.sleep(0)
        return self.below.get(key, default)

    async def set(self, key: Any, value: Any) -> None:
        await asyncio.sleep(0)
        self.below.set(key, value)

    async def delete(self, key: Any) -> None:
        await asyncio.sleep(0)
        self.below.delete(key)

    async def get_multi(self, keys: Any) -> dict[Any, Any]:
        return self.below.get_multi(keys)

    async def set_multi(self, items: Any) -> None:
        self.below.set_multi(items)

    async def delete_multi(self, keys: Any) -> None:
        self.below.delete_multi(keys)

    async def flush(self) -> None:
        self.below.flush()


class Loads:
    """A coroutine function that is decorated, a clock that is set, and a list of its runs."""

    def __init__(self, storage: Any = None, key: Any = "user:{who}", **more: Any) -> None:
        self.clock = Clock()
        self.clock.now = 1_700_000_000.0
        self.storage = AsyncStore() if storage is None else storage
        self.runs: list[Any] = []
        self.gates: list[asyncio.Event] = []
        self.answer: Callable[[Any], Any] = lambda who: f"user {who}"
        given: dict[str, Any] = {"ttl": 60, "stale": 30, "jitter": 0, "beta": 0, **more}

        @cached(self.storage, key=key, freshness=Freshness(clock=self.clock, **given))
        async def load(who: Any) -> Any:
            self.runs.append(who)
            answer = self.answer
            if self.gates:
                await self.gates.pop().wait()
            return answer(who)

        self.load = load


def fail(who: Any) -> Any:
    raise errors.NetworkError("no such host")


@pytest.mark.parametrize("storage", [AsyncStore, DictStorage, lambda: LocalStorage(9)])
def test_a_result_is_kept_for_its_time(loop: str, storage: Any) -> None:
    async def main() -> None:
        loads = Loads(storage())
        assert [await loads.load(1), await loads.load(who=1)] == ["user 1"] * 2
        loads.answer = lambda who: None
        loads.clock.advance(90)
        assert [await loads.load(1), await loads.load(1)] == [None, None]
        assert loads.runs == [1, 1]
        assert loads.load.stats().hits == 2

    run(main(), loop)


def test_tasks_that_want_one_key_share_a_run(loop: str) -> None:
    async def main() -> None:
        loads = Loads()
        assert await asyncio.gather(*(loads.load(1) for _ in range(200))) == ["user 1"] * 200
        assert loads.runs == [1]
        loads.answer = fail
        gate = asyncio.Event()
        loads.gates = [gate]
        tasks = [asyncio.create_task(loads.load(2)) for _ in range(20)]
        await turns(5)
        gate.set()
        failed = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in failed} == {errors.NetworkError}
        assert len(set(map(id, failed))) == 20
        assert loads.runs == [1, 2]
        with pytest.raises(errors.NetworkError):
            await loads.load(2)

    run(main(), loop)


def test_a_cancelled_leader_hands_over(loop: str) -> None:
    async def main() -> None:
        loads = Loads()
        loads.gates = [asyncio.Event()]
        leader = asyncio.create_task(loads.load(1))
        await turns(5)
        followers = [asyncio.create_task(loads.load(1)) for _ in range(5)]
        await turns(5)
        followers[0].cancel()
        leader.cancel()
        assert await asyncio.gather(*followers[1:]) == ["user 1"] * 4
        assert leader.cancelled()
        assert followers[0].cancelled()
        assert loads.runs == [1, 1]

    run(main(), loop)


def test_a_stale_result_is_returned_while_one_task_loads(loop: str) -> None:
    async def main() -> None:
        loads = Loads()
        await loads.load(1)
        loads.clock.advance(61)
        gate = asyncio.Event()
        loads.gates = [gate]
        loads.answer = lambda who: "new"
        leader = asyncio.create_task(loads.load(1))
        await turns(5)
        assert [await loads.load(1) for _ in range(5)] == ["user 1"] * 5
        gate.set()
        assert await leader == "new"
        assert await loads.load(1) == "new"
        loads.clock.advance(61)
        loads.answer = fail
        assert await loads.load(1) == "new"
        assert len(loads.runs) == 3

    run(main(), loop)


def test_invalidate_and_refresh(loop: str) -> None:
    async def main() -> None:
        loads = Loads()
        await loads.load(1)
        loads.answer = lambda who: "new"
        await loads.load.invalidate(who=1)
        assert await loads.load(1) == "new"
        loads.answer = lambda who: "newer"
        assert await loads.load.refresh(1) == "newer"
        assert await loads.load(1) == "newer"
        loads.answer = fail
        with pytest.raises(errors.NetworkError):
            await loads.load.refresh(1)
        assert await loads.load(1) == "newer"

    run(main(), loop)


@pytest.mark.parametrize("way", ["invalidate", "refresh"])
@pytest.mark.parametrize("first", ["__call__", "refresh"])
def test_a_run_that_began_before_is_not_kept(loop: str, way: str, first: str) -> None:
    async def main() -> None:
        loads = Loads()
        gate = asyncio.Event()
        loads.gates = [gate]
        old = asyncio.create_task(getattr(loads.load, first)(1))
        await turns(5)
        loads.answer = lambda who: "new"
        await getattr(loads.load, way)(1)
        assert await loads.load(1) == "new"
        gate.set()
        assert await old == "user 1"
        assert await loads.load(1) == "new"

    run(main(), loop)


def test_a_cancelled_refresh_leaves_no_trace(loop: str) -> None:
    async def main() -> None:
        loads = Loads()
        await loads.load(1)
        loads.gates = [asyncio.Event()]
        task = asyncio.create_task(loads.load.refresh(1))
        await turns(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await loads.load(1) == "user 1"
        loads.answer = lambda who: "new"
        assert await loads.load.refresh(1) == "new"

    run(main(), loop)


@pytest.mark.parametrize("broken", [("set",), ("set", "delete", "delete_multi")])
def test_a_refresh_that_cannot_be_stored_leaves_nothing_old(
    loop: str, broken: tuple[str, ...]
) -> None:
    async def main() -> None:
        loads = Loads()
        await loads.load(1)
        loads.storage.below.fail(*broken)
        loads.answer = lambda who: "new"
        assert await loads.load.refresh(1) == "new"
        loads.answer = lambda who: "newer"
        assert await loads.load(1) == "newer"

    run(main(), loop)


def test_random_cancellations_hang_nobody_and_return_no_wrong_value(loop: str) -> None:
    async def main() -> None:
        loads = Loads()

        async def caller(number: int) -> None:
            for step in range(20):
                who = (number * 7 + step) % 5
                task = asyncio.create_task(loads.load(who))
                await turns((number + step) % 4)
                if (number + step) % 3 == 0:
                    task.cancel()
                if (number + step) % 11 == 0:
                    await loads.load.invalidate(who)
                try:
                    assert await task == f"user {who}"
                except asyncio.CancelledError:
                    assert (number + step) % 3 == 0

        async with asyncio.timeout(30):
            await asyncio.gather(*(caller(number) for number in range(200)))
        assert loads.load.stats().waiting == 0

    run(main(), loop)


def test_recursion(loop: str) -> None:
    @cached(DictStorage(), key="sum:{n}", ttl=60)
    async def total(n: int, log: Any = None) -> int:
        return n + await total(n - 1, [log]) if n else 0

    assert run(total(20), loop) == 210


def test_a_task_that_the_function_makes_keeps_no_argument(loop: str) -> None:
    class Argument:
        number = 1

    async def main() -> None:
        stop = asyncio.Event()
        tasks = []

        @cached(DictStorage(), key="k:{argument.number}", ttl=60)
        async def load(argument: Argument) -> int:
            tasks.append(asyncio.create_task(stop.wait()))
            return 1

        argument = Argument()
        await load(argument)
        gone = weakref.ref(argument)
        del argument
        gc.collect()
        let_go()
        assert gone() is None
        stop.set()
        await asyncio.gather(*tasks)

    run(main(), loop)


def test_a_run_that_never_ends_leaves_no_complaint(loop: str) -> None:
    loads = Loads()

    async def main() -> None:
        loads.gates = [asyncio.Event()]
        call = loads.load(1)
        call.send(None)
        call.send(None)
        assert loads.runs == [1]
        call.close()

    run(main(), loop)
    coroutine = loads.load(1)
    coroutine.close()
    assert run(loads.load(1), loop) == "user 1"


def test_one_loop_after_another(loop: str) -> None:
    loads = Loads(LocalStorage(9))
    assert [run(loads.load(1), each) for each in (loop, "asyncio", loop)] == ["user 1"] * 3
    assert loads.runs == [1]


class Shop:
    """A class with coroutine functions, without a dict for its instances."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number

    @cached(DictStorage(), key="price:{self.number}:{x}", ttl=60)
    async def price(self, x: int) -> tuple[int, int]:
        return (self.number, x)

    @classmethod
    @cached(DictStorage(), ttl=60)
    async def inside(cls, x: int) -> tuple[str, int]:
        return (cls.__name__, x)

    @cached(DictStorage(), ttl=60)
    @classmethod
    async def outside(cls, x: int) -> tuple[str, int]:
        return (cls.__name__, x)

    @cached(DictStorage(), ttl=60)
    @staticmethod
    async def static(x: int) -> int:
        return x


def test_methods(loop: str) -> None:
    async def main() -> None:
        first, second = Shop(1), Shop(2)
        assert [await first.price(5), await second.price(5)] == [(1, 5), (2, 5)]
        assert await first.price.refresh(x=5) == (1, 5)
        await first.price.invalidate(5)
        assert first.price.key(5) == "price:1:5"
        for owner in (Shop, first):
            for function in (owner.inside, owner.outside):
                assert await function(3) == ("Shop", 3)
                assert await function.refresh(3) == ("Shop", 3)
            assert await owner.static(3) == 3
            assert owner.static.key(3) == f"{__name__}.Shop.static(x=3)"
        inner: Any = vars(Shop)["inside"].__func__
        assert await inner.refresh(4) == ("Shop", 4)
        await inner.invalidate(4)
        gone = weakref.ref(first)
        del first, owner, function
        gc.collect()
        let_go()
        assert gone() is None

    run(main(), loop)


@cached(DictStorage(), key="user:{who}", ttl=60)
async def load_user(who: int) -> str:
    """Return the name of a user."""
    return f"user {who}"


def test_it_looks_like_a_coroutine_function(loop: str) -> None:
    for function in (load_user, Shop.price, Shop(1).price, Shop.inside, Shop.static):
        assert inspect.iscoroutinefunction(function)
    assert str(inspect.signature(load_user)) == "(who: int) -> str"
    assert load_user.__doc__ == "Return the name of a user."
    assert isinstance(load_user, AsyncCached)
    assert pickle.loads(pickle.dumps(load_user)) is load_user
    assert run(load_user(3), loop) == "user 3"

    async def main() -> None:
        task = asyncio.create_task(load_user(4))
        async with asyncio.TaskGroup() as group:
            other = group.create_task(Shop(1).price(1))
        assert (await task, other.result()) == ("user 4", (1, 1))

    run(main(), loop)


def test_tiers_and_function_storages(loop: str) -> None:
    async def main() -> None:
        held: dict[Any, Any] = {}

        async def get(key: Any, default: Any) -> Any:
            return held.get(key, default)

        async def put(key: Any, value: Any) -> None:
            held[key] = value

        async def delete(key: Any) -> None:
            held.pop(key, None)

        below: Any = AsyncFunctionStorage("held", get=get, set=put, delete=delete)
        loads = Loads(AsyncCacheOnStorage(LocalStorage(9, ttl=5), below))
        assert [await loads.load(1), await loads.load(1)] == ["user 1"] * 2
        assert list(held) == ["user:1"]
        await loads.load.invalidate(1)
        assert held == {}

    run(main(), loop)


def test_memcached(loop: str, server: Server) -> None:
    async def main() -> None:
        async with AsyncClient([server.address], serializer="json") as client:
            await client.flush_all()
            storage = AsyncMemcacheStorage(client, ttl=5)
            assert storage.lifetime == 4
            loads = Loads(storage)
            for who in (1, "a b", "é" * 300, None):
                answers = await asyncio.gather(*(loads.load(who) for _ in range(5)))
                assert answers == [f"user {who}"] * 5
            assert len(loads.runs) == 4
            assert loads.load.stats().cache_failures == 0
            await loads.load.invalidate("a b")
            assert await loads.load.refresh(1) == "user 1"
            assert await client.get("user:1") is not None
            assert await client.get(loads.load.key("a b")) is None

    run(main(), loop)


class Expiries:
    """A client that remembers the expiries it was given."""

    def __init__(self) -> None:
        self.expires: list[int] = []

    async def get(self, key: Any, default: Any = None) -> Any:
        return default

    async def set(self, key: Any, value: Any, expire: int = 0) -> None:
        self.expires.append(expire)


def test_memcached_keeps_entries_as_long_as_they_may_be_returned(loop: str) -> None:
    client: Any = Expiries()
    storage = AsyncMemcacheStorage(client, ttl=5, key_of=lambda key: f"app.{key}")

    @cached(storage, key="k", ttl=300, stale=60)
    async def load() -> int:
        return 1

    assert run(load(), loop) == 1
    assert client.expires == [361]
    early: Any = AsyncCacheOnStorage(DictStorage(), storage)
    with pytest.raises(ValueError, match=r"ttl \+ stale, 10 s, but may drop them after 4 s"):
        cached(early, key="k", ttl=10)


def test_a_storage_that_blocks_is_refused(loop: str) -> None:
    client: Any = Expiries()
    storages: list[Any] = [
        MemcacheStorage(client),
        CacheOnStorage(DictStorage(), MemcacheStorage(client)),
        AsyncCacheOnStorage(MemcacheStorage(client), DictStorage()),
    ]
    for storage in storages:
        with pytest.raises(TypeError, match="storage must not block the event loop"):
            cached(storage, ttl=60)(load_user.__wrapped__)
    with pytest.raises(ValueError, match=r"freshness\.background must be None under asyncio"):
        cached(DictStorage(), freshness=Freshness(ttl=1, background=print))(load_user.__wrapped__)
    with pytest.raises(TypeError, match="storage must not be async for a plain function"):
        cached(AsyncStore(), ttl=60)(len)
    assert run(load_user(1), loop) == "user 1"


def test_a_result_that_is_awaitable_is_refused(loop: str) -> None:
    loads = Loads()
    loads.answer = lambda who: load_user(1)
    with pytest.raises(TypeError, match=r"load must return a value, got <coroutine object"):
        run(loads.load(1), loop)


def test_missing_is_no_result(loop: str) -> None:
    loads = Loads()
    loads.answer = lambda who: MISSING
    assert run(loads.load(1), loop) is MISSING
    assert run(loads.load(1), loop) is MISSING
    assert loads.runs == [1, 1]
