"""Layers of tasks: many at once, cancelled and failing; the rest is in the tests of their forms."""

import asyncio
import inspect
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from support.aio import LOOPS, run, turns
from support.caches import CountedStorage
from support.forms import Yielding
from support.pools import Clock

from godropbox import errors
from godropbox.caching import (
    CacheOptions,
    DictStorage,
    Freshness,
    LocalStorage,
    StorageBusyError,
    aio,
)
from godropbox.caching.aio import (
    AsyncCacheOnStorage,
    AsyncFreshCacheOnStorage,
    AsyncFunctionStorage,
    AsyncRateLimitedStorage,
    AsyncStorage,
)

pytestmark = pytest.mark.parametrize("loop", LOOPS)

METHODS = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")


class Held(Yielding):
    """A storage whose calls wait until they are let go."""

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        self.gate = asyncio.Event()
        self.waiting = 0

    async def _call(self, name: str, *arguments: Any) -> Any:
        self.waiting += 1
        try:
            await self.gate.wait()
            return getattr(self.plain, name)(*arguments)
        finally:
            self.waiting -= 1


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


def test_every_operation_is_a_coroutine_function(loop: str) -> None:
    storages = [each for each in map(vars(aio).get, aio.__all__) if hasattr(each, "get_multi")]
    assert {AsyncStorage, AsyncCacheOnStorage, AsyncFunctionStorage} < set(storages)
    for storage in storages:
        for name in METHODS:
            method = getattr(storage, name)
            assert inspect.iscoroutinefunction(method)
            expected = inspect.signature(getattr(DictStorage, name)).parameters
            assert list(inspect.signature(method).parameters) == list(expected)


def test_tiers_of_async_and_plain_storages(loop: str) -> None:
    async def main() -> None:
        far, table = CountedStorage(), CountedStorage({"foo": 1, "bar": 2})
        limited: AsyncStorage[str, int] = AsyncRateLimitedStorage(Yielding(table), 2)
        tiers = AsyncCacheOnStorage(LocalStorage(10), AsyncCacheOnStorage(Yielding(far), limited))
        assert await tiers.get_multi(["foo", "bar", "zzz"]) == {"foo": 1, "bar": 2}
        assert await tiers.get("foo") == 1
        await tiers.set("foo", 5)
        assert (far.data["foo"], table.data["foo"]) == (5, 5)
        assert table.names() == ["get_multi", "set"]
        assert tiers.stats().hits == 1

    run(main(), loop)


def test_a_thousand_tasks_that_miss_cost_the_storage_one_read(loop: str) -> None:
    async def main() -> None:
        table = CountedStorage({"foo": 1})
        layer = AsyncCacheOnStorage(Yielding(CountedStorage()), Yielding(table))
        assert await asyncio.gather(*(layer.get("foo") for _ in range(1000))) == [1] * 1000
        assert table.calls == [("get", "foo")]
        assert layer.stats().misses == 1000

    run(main(), loop)


def test_a_read_that_is_cancelled_leaves_its_load_to_the_others(loop: str) -> None:
    async def main() -> None:
        held = Held(CountedStorage({"foo": 1}))
        layer = AsyncCacheOnStorage(LocalStorage(10), held)
        tasks = [asyncio.create_task(layer.get("foo")) for _ in range(200)]
        await until(lambda: layer.stats().waiting == 199)
        for task in tasks[:100]:
            task.cancel()
        await until(lambda: layer.stats().waiting == 99)
        held.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[100:] == [1] * 100
        assert {type(each) for each in found[:100]} == {asyncio.CancelledError}
        assert held.plain.calls == [("get", "foo")]

    run(main(), loop)


@pytest.mark.parametrize("side", ["storage", "cache"])
@pytest.mark.parametrize("operation", ["set", "set_multi", "delete", "delete_multi"])
def test_a_write_that_is_cancelled_leaves_nothing_old(loop: str, operation: str, side: str) -> None:
    arguments: dict[str, Any] = {
        "set": ("foo", 2),
        "set_multi": ({"foo": 2, "bar": 2},),
        "delete": ("foo",),
        "delete_multi": (["foo", "bar"],),
    }

    async def main() -> None:
        cache, table = CountedStorage({"foo": 1}), CountedStorage({"foo": 1})
        held = Held(table if side == "storage" else cache)
        sides: tuple[Any, Any] = (cache, held) if side == "storage" else (held, table)
        layer = AsyncCacheOnStorage(*sides, CacheOptions(retry_after=0.0))
        task = asyncio.create_task(getattr(layer, operation)(*arguments[operation]))
        await until(lambda: held.waiting == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert layer.stats().doubts == (2 if operation.endswith("multi") else 1)
        held.gate.set()
        table.data["foo"] = 3  # as if it had been written all the same
        assert await layer.get("foo") == 3
        assert layer.stats().doubts == 0

    run(main(), loop)


def test_a_flush_that_is_cancelled_flushes_the_cache(loop: str) -> None:
    async def main() -> None:
        cache, held = CountedStorage({"foo": 1}), Held(CountedStorage())
        layer = AsyncCacheOnStorage(cache, held)
        task = asyncio.create_task(layer.flush())
        await until(lambda: held.waiting == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cache.data == {}

    run(main(), loop)


def test_a_flush_that_is_never_finished_is_let_go(loop: str) -> None:
    """As a coroutine is that a loop was closed under."""

    async def main() -> None:
        layer = AsyncCacheOnStorage(CountedStorage(), Held(CountedStorage()))
        flush = layer.flush()
        flush.send(None)
        flush.close()

    run(main(), loop)


# Nothing old, whatever happens


class Rows:
    """A storage in which every write has a place in the order, and anything may take a while."""

    def __init__(self, dice: random.Random, faults: float) -> None:
        self.dice = dice
        self.faults = faults
        self.rows: dict[Any, Any] = {}

    async def _turns(self) -> None:
        await turns(self.dice.randrange(4))
        if self.dice.random() < self.faults:
            raise errors.NetworkError("no such host")

    async def get(self, key: Any, default: Any = None) -> Any:
        await self._turns()
        value = self.rows.get(key, default)
        await self._turns()
        return value

    async def get_multi(self, keys: Iterable[Any]) -> Any:
        await self._turns()
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await self._turns()
        return found

    async def set(self, key: Any, value: Any) -> None:
        await self.set_multi({key: value})

    async def set_multi(self, items: Mapping[Any, Any]) -> None:
        await self._turns()
        self.rows.update(items)
        await self._turns()

    async def delete(self, key: Any) -> None:
        await self.delete_multi([key])

    async def delete_multi(self, keys: Iterable[Any]) -> None:
        await self._turns()
        for key in keys:
            self.rows.pop(key, None)
        await self._turns()

    async def flush(self) -> None:
        await self._turns()
        self.rows.clear()


class Checker:
    """Writes versions, each key by one task at a time; no read may return an older one."""

    def __init__(self, layer: Any, dice: random.Random) -> None:
        self.layer = layer
        self.dice = dice
        self.keys = [f"key{n}" for n in range(5)]
        self.locks = {key: asyncio.Lock() for key in self.keys}
        self.newest = dict.fromkeys(self.keys, 0)
        self.acknowledged = dict.fromkeys(self.keys, 0)
        self.old: list[Any] = []
        self.reads = self.writes = self.cancelled = 0

    async def write(self) -> None:
        key = self.dice.choice(self.keys)
        async with self.locks[key]:
            self.newest[key] += 1
            version = self.newest[key]
            await (
                self.layer.set(key, version)
                if self.dice.random() < 0.7
                else self.layer.set_multi({key: version})
            )
            self.acknowledged[key] = version
            self.writes += 1

    async def read(self) -> None:
        keys = self.dice.sample(self.keys, self.dice.randint(1, 3))
        before = {key: self.acknowledged[key] for key in keys}
        if len(keys) == 1:
            found = {keys[0]: await self.layer.get(keys[0], 0)}
        else:
            found = await self.layer.get_multi(keys)
        self.reads += 1
        for key in keys:
            if found.get(key, 0) < before[key]:
                self.old.append((key, found.get(key), before[key]))

    async def work(self) -> None:
        for _ in range(20):
            task = asyncio.create_task(self.write() if self.dice.random() < 0.3 else self.read())
            if self.dice.random() < 0.2:
                await turns(self.dice.randrange(8))
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                self.cancelled += 1
            except errors.NetworkError:
                pass


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["update", "invalidate", "fresh", "local"])
def test_200_tasks_read_nothing_older_than_what_was_acknowledged(
    loop: str, kind: str, seed: int
) -> None:
    dice = random.Random(seed)

    async def main() -> None:
        table, cache = Rows(dice, 0.05), Rows(dice, 0.1)
        options = CacheOptions(
            on_write="invalidate" if kind == "invalidate" else "update", retry_after=0.0
        )
        layer: Any
        if kind == "fresh":
            freshness = Freshness(ttl=0.001, stale=60, beta=1)
            layer = AsyncFreshCacheOnStorage(cache, table, freshness, options, background=True)
        else:
            layer = AsyncCacheOnStorage(
                LocalStorage(3) if kind == "local" else cache, table, options
            )
        checker = Checker(layer, dice)
        async with asyncio.timeout(60):
            await asyncio.gather(*(checker.work() for _ in range(200)))
        if kind == "fresh":
            await layer.close()
        assert checker.old == []
        assert checker.cancelled > 100
        assert min(checker.reads, checker.writes) > 300
        assert layer.stats().waiting == 0

    run(main(), loop)


# Freshness


class Fresh:
    """A layer whose clock is set."""

    def __init__(self, table: Any, **options: Any) -> None:
        self.clock = Clock()
        self.clock.now = 1_700_000_000.0
        freshness = Freshness(ttl=60, jitter=0, stale=30, clock=self.clock)
        self.layer = AsyncFreshCacheOnStorage(LocalStorage(10), table, freshness, **options)


def test_a_task_reloads_what_is_due(loop: str) -> None:
    async def main() -> None:
        held = Held(CountedStorage({"foo": 1}))
        held.gate.set()
        fresh = Fresh(held, background=True)
        async with fresh.layer as layer:
            assert await layer.get("foo") == 1
            held.gate.clear()
            held.plain.data["foo"] = 2
            fresh.clock.advance(61)
            assert [await layer.get("foo") for _ in range(9)] == [1] * 9
            assert await layer.get_multi(["foo"]) == {"foo": 1}
            await until(lambda: held.waiting == 1)
            closing = asyncio.create_task(layer.close())
            await turns(5)
            assert not closing.done()
            held.gate.set()
            await closing
            assert await layer.get("foo") == 2
            assert layer.stats().refreshes == 1
            fresh.clock.advance(61)
            held.plain.data["foo"] = 3
            assert await layer.get("foo") == 3  # no task after close
        assert held.plain.names() == ["get", "get", "get"]

    run(main(), loop)


def test_a_reload_in_a_task_that_fails_is_counted(loop: str) -> None:
    async def main() -> None:
        table = CountedStorage({"foo": 1})
        fresh = Fresh(Yielding(table), background=True)
        assert await fresh.layer.get("foo") == 1
        fresh.clock.advance(61)
        table.fail()
        assert await fresh.layer.get("foo") == 1
        await fresh.layer.close()
        assert fresh.layer.stats().refresh_failures == 1

    run(main(), loop)


def test_a_close_that_is_cancelled_cancels_the_reloads(loop: str) -> None:
    async def main() -> None:
        held = Held(CountedStorage({"foo": 1}))
        held.gate.set()
        fresh = Fresh(held, background=True)
        await fresh.layer.get("foo")
        held.gate.clear()
        fresh.clock.advance(61)
        await fresh.layer.get("foo")
        await until(lambda: held.waiting == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await fresh.layer.close()
        await until(lambda: held.waiting == 0)
        held.gate.set()
        fresh.clock.advance(30)
        assert await fresh.layer.get("foo") == 1

    run(main(), loop)


def test_a_background_for_threads_is_refused(loop: str) -> None:
    freshness = Freshness(ttl=1, background=lambda work: work())
    with pytest.raises(ValueError, match=r"^freshness\.background must be None under asyncio"):
        AsyncFreshCacheOnStorage(DictStorage(), DictStorage(), freshness)


# Limits


def test_turns_come_in_order_and_no_more_than_so_many_at_once(loop: str) -> None:
    async def main() -> None:
        inside: list[int] = []
        order: list[int] = []
        most: list[int] = []

        async def get(key: int, default: Any) -> int:
            order.append(key)
            inside.append(key)
            most.append(len(inside))
            await turns(key % 4)
            inside.remove(key)
            if key % 5 == 0:
                raise errors.NetworkError("no such host")
            return key

        limited = AsyncRateLimitedStorage(AsyncFunctionStorage("slow", get=get), 3)
        tasks = [asyncio.create_task(limited.get(key)) for key in range(200)]
        await turns(1)
        cancelled = set(range(10, 200, 7))
        for key in cancelled:
            tasks[key].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [key for key in range(200) if key not in cancelled]
        assert max(most) == 3
        assert [await limited.get(key) for key in (1, 2, 3, 4)] == [1, 2, 3, 4]
        assert repr(limited) == (
            "<AsyncRateLimitedStorage of <AsyncFunctionStorage 'slow': get>, 3 at once>"
        )

    run(main(), loop)


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_task_that_waited_long_enough_has_done_nothing(loop: str, timeout: float) -> None:
    async def main() -> None:
        held = Held(CountedStorage())
        limited = AsyncRateLimitedStorage(held, 1, timeout=timeout)
        first = asyncio.create_task(limited.set("a", 1))
        await until(lambda: held.waiting == 1)
        for _ in range(2):
            with pytest.raises(StorageBusyError, match=f"no turn came within {timeout:g} s"):
                await limited.set("b", 2)
        held.gate.set()
        await first
        assert held.plain.data == {"a": 1}
        await limited.set("b", 2)
        assert held.plain.data == {"a": 1, "b": 2}

    run(main(), loop)


def test_a_task_that_is_cancelled_as_its_turn_comes_passes_it_on(loop: str) -> None:
    async def main() -> None:
        held = Held(CountedStorage())
        limited = AsyncRateLimitedStorage(held, 1)
        tasks = [asyncio.create_task(limited.set(key, 1)) for key in "abc"]
        await until(lambda: held.waiting == 1)
        await turns(1)

        def cancel(_: str, key: str) -> None:
            if key == "a":  # whose turn goes to the second before that one runs
                asyncio.get_running_loop().call_soon(tasks[1].cancel)

        held.plain.after = cancel
        held.gate.set()
        await tasks[2]
        assert tasks[1].cancelled()
        assert held.plain.data == {"a": 1, "c": 1}
        await limited.set("d", 1)

    run(main(), loop)


def test_a_limit_is_kept_from_loop_to_loop(loop: str) -> None:
    limited = AsyncRateLimitedStorage(Yielding(CountedStorage()), 2)
    layer = AsyncCacheOnStorage(LocalStorage(10), limited)

    async def main() -> None:
        assert await asyncio.gather(*(layer.get(key, 7) for key in range(20))) == [7] * 20

    run(main(), loop)
    run(main(), loop)
