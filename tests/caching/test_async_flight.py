"""Single flight of tasks: what is the same for threads is in test_flight.py."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from support.aio import LOOPS, run, turns

from godropbox import errors
from godropbox.caching import MISSING, StorageError
from godropbox.caching.aio import AsyncSingleFlight

pytestmark = pytest.mark.parametrize("loop", LOOPS)


class Flying:
    """A leader in its load of ``"key"``, which ends as it is told, and tasks that follow it."""

    def __init__(self, flight: AsyncSingleFlight) -> None:
        self.flight = flight
        self.loads = 0
        self.ends: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def lead(self, followers: int = 3) -> "Flying":
        self.leader = asyncio.create_task(self.flight.run("key", lambda: self.ends))
        await until(lambda: len(self.flight) == 1)
        self.followers = [asyncio.create_task(self.follow()) for _ in range(followers)]
        await until(lambda: self.flight.followers == followers)
        return self

    async def follow(self) -> Any:
        return await self.flight.run("key", self.load)

    async def load(self) -> str:
        self.loads += 1
        await turns(3)
        return "loaded again"

    async def all(self) -> list[Any]:
        return await asyncio.gather(*self.followers, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


def test_one_load_for_a_thousand_tasks(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        loads = []

        async def load() -> object:
            loads.append(1)
            await until(lambda: flight.followers == 999)
            return loads

        found = await asyncio.gather(*(flight.run("key", load) for _ in range(1000)))
        assert all(each is loads for each in found)
        assert loads == [1]
        assert len(flight) == flight.followers == 0
        assert repr(flight) == "<AsyncSingleFlight: 0 flying, 1 ended>"

    run(main(), loop)


def test_a_load_may_be_plain(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        assert await flight.run("key", lambda: 1) == 1
        assert await flight.run_multi(["a", "b", "a"], lambda keys: {"a": 1}) == {"a": 1}
        with pytest.raises(KeyError):
            await flight.run("key", dict[str, int]().popitem)

    run(main(), loop)


def test_followers_get_copies_of_what_the_load_raised(loop: str) -> None:
    async def main() -> None:
        flying = await Flying(AsyncSingleFlight()).lead()
        error = StorageError("no such host", cause=OSError(5), host="db1")
        flying.ends.set_exception(error)
        got = await flying.all()
        with pytest.raises(StorageError) as caught:
            await flying.leader
        assert caught.value is error
        assert len({id(each) for each in [error, *got]}) == 4
        assert [(each.message, each.fields) for each in got] == [
            ("no such host", {"host": "db1"})
        ] * 3
        assert flying.loads == 0

    run(main(), loop)


def test_a_leader_that_is_cancelled_is_replaced_by_one_follower(loop: str) -> None:
    async def main() -> None:
        flying = await Flying(AsyncSingleFlight()).lead(followers=200)
        flying.leader.cancel()
        assert await flying.all() == ["loaded again"] * 200
        assert flying.leader.cancelled()
        assert flying.loads == 1
        assert len(flying.flight) == 0

    run(main(), loop)


@pytest.mark.parametrize("error", [ValueError("odd"), asyncio.CancelledError()], ids=repr)
def test_an_heir_may_end_before_the_others_wake(loop: str, error: BaseException) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        flying = await Flying(flight).lead(followers=0)
        loads: list[int] = []

        def fails() -> None:
            loads.append(1)
            raise error

        followers = [asyncio.create_task(flight.run("key", fails)) for _ in range(3)]
        await until(lambda: flight.followers == 3)
        flying.leader.cancel()
        found = await asyncio.gather(*followers, return_exceptions=True)
        assert [type(each) for each in found] == [type(error)] * 3
        # A failure is shared; one that is cancelled leaves the load to the next.
        assert len(loads) == (1 if isinstance(error, ValueError) else 3)
        assert len(flight) == flight.followers == 0

    run(main(), loop)


def test_a_caller_that_fails_for_one_key_leaves_the_others_to_others(loop: str) -> None:
    """Though its error, and with it its frame, is kept."""

    async def main() -> None:
        flight = AsyncSingleFlight()
        one, two = (asyncio.get_running_loop().create_future() for _ in range(2))
        first = asyncio.create_task(flight.run("a", lambda: one))
        second = asyncio.create_task(flight.run("b", lambda: two))
        await turns(1)

        def load(keys: list[str]) -> dict[str, int]:
            return dict.fromkeys(keys, 2)

        both = asyncio.create_task(flight.run_multi(["a", "b"], load))
        other = asyncio.create_task(flight.run("a", lambda: 1))
        await until(lambda: flight.followers == 2)
        first.cancel()
        two.set_exception(errors.NetworkError("no such host"))
        async with asyncio.timeout(5):
            found = await asyncio.gather(both, second, other, return_exceptions=True)
        assert [type(each) for each in found[:2]] == [errors.NetworkError] * 2
        assert found[2] == 1
        assert len(flight) == flight.followers == 0

    run(main(), loop)


def test_a_timeout_of_the_leader_is_no_failure_of_the_load(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        flying = Flying(flight)

        async def lead() -> None:
            async with asyncio.timeout(0):
                await flight.run("key", lambda: flying.ends)

        leader = asyncio.create_task(lead())
        await until(lambda: len(flight) == 1)
        followers = [asyncio.create_task(flying.follow()) for _ in range(3)]
        assert await asyncio.gather(*followers) == ["loaded again"] * 3
        with pytest.raises(TimeoutError):
            await leader

    run(main(), loop)


def test_a_follower_that_is_cancelled_disturbs_nobody(loop: str) -> None:
    async def main() -> None:
        flying = await Flying(AsyncSingleFlight()).lead()
        flying.followers[1].cancel()
        await until(lambda: flying.flight.followers == 2)
        flying.ends.set_result(1)
        first, second, third = await flying.all()
        assert (first, third, await flying.leader) == (1, 1, 1)
        assert isinstance(second, asyncio.CancelledError)
        assert flying.loads == 0

    run(main(), loop)


def test_nothing_is_left_of_callers_who_all_left(loop: str) -> None:
    """As of a hundred requests with one deadline, to a storage that hangs."""

    async def main() -> None:
        flight = AsyncSingleFlight()
        flying = await Flying(flight).lead()
        for task in (flying.leader, *flying.followers):
            task.cancel()
        assert {type(each) for each in await flying.all()} == {asyncio.CancelledError}
        assert len(flight) == flight.followers == 0
        assert await flight.run("key", flying.load) == "loaded again"

        async def never() -> Any:
            await asyncio.get_running_loop().create_future()

        async def late(delay: int) -> None:
            await turns(delay)
            await flight.run_multi(["key", "other"], lambda keys: never())

        tasks = [asyncio.create_task(late(n % 3)) for n in range(50)]
        await turns(10)
        for n, task in enumerate(tasks):
            task.cancel()
            await turns(n % 2)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(flight) == flight.followers == 0

    run(main(), loop)


@pytest.mark.parametrize("in_a_task", [False, True])
def test_a_load_that_asks_for_its_own_key_loads_it(loop: str, in_a_task: bool) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()

        async def load() -> Any:
            inner: Awaitable[Any] = flight.run("key", lambda: "inner")
            return await (asyncio.gather(inner) if in_a_task else inner)

        async with asyncio.timeout(5):
            assert await flight.run("key", load) == (["inner"] if in_a_task else "inner")
        assert len(flight) == 0

    run(main(), loop)


def test_two_loads_that_wait_for_each_other_end(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()

        async def ask(key: str, other: str) -> Any:
            async def load() -> Any:
                await turns(3)
                return [key, await flight.run(other, lambda: "alone")]

            return await flight.run(key, load)

        async with asyncio.timeout(5):
            found = await asyncio.gather(ask("a", "b"), ask("b", "a"))
        assert sorted(map(repr, found)) == ["['a', ['b', 'alone']]", "['b', 'alone']"]

    run(main(), loop)


def test_tasks_of_one_load_share_what_they_load(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        loads: list[int] = []

        async def part() -> int:
            loads.append(1)
            await turns(3)
            return 1

        async def load() -> Any:
            return await asyncio.gather(*(flight.run("part", part) for _ in range(9)))

        assert await flight.run("whole", load) == [1] * 9
        assert loads == [1]

    run(main(), loop)


def test_a_task_that_outlives_the_load_that_made_it_follows_others(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        begin = asyncio.Event()
        made: list[asyncio.Task[Any]] = []

        async def later() -> Any:
            await begin.wait()
            return await flight.run("key", lambda: "its own")

        async def load() -> None:
            made.append(asyncio.create_task(later()))

        await asyncio.create_task(flight.run("made", load))
        gc.collect()
        flying = await Flying(flight).lead(followers=2)
        begin.set()
        await until(lambda: flight.followers == 3)
        flying.ends.set_result(1)
        assert [await flying.leader, *await flying.all(), await made[0]] == [1] * 4

    run(main(), loop)


def test_patience_ends_a_wait(loop: str) -> None:
    async def main() -> None:
        flying = await Flying(AsyncSingleFlight(patience=0.001)).lead()
        assert await flying.all() == ["loaded again"] * 3
        flying.ends.set_result(1)
        assert await flying.leader == 1
        assert len(flying.flight) == 0

    run(main(), loop)


USER: ContextVar[str] = ContextVar("user", default="nobody")


def test_a_load_runs_in_its_leaders_own_context(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        tasks: list[Any] = []

        async def load() -> str:
            tasks.append(asyncio.current_task())
            user = USER.get()
            USER.set("set by the load")
            return user

        USER.set("ann")
        assert await flight.run("key", load) == "ann"
        assert tasks == [asyncio.current_task()]
        assert USER.get() == "set by the load"

    run(main(), loop)


def test_a_batch_that_fails_says_nothing_of_a_key(loop: str) -> None:
    async def main() -> None:
        flight = AsyncSingleFlight()
        ends: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        batch = asyncio.create_task(flight.run_multi(["a", "b"], lambda keys: ends))
        await until(lambda: len(flight) == 2)
        single = asyncio.create_task(flight.run("a", lambda: 1))
        await until(lambda: flight.followers == 1)
        ends.set_exception(errors.NetworkError("no such host"))
        assert await single == 1
        with pytest.raises(errors.NetworkError):
            await batch
        assert await flight.run("b", lambda: MISSING) is MISSING

    run(main(), loop)


def test_what_was_forgotten_is_followed_by_nobody(loop: str) -> None:
    async def main() -> None:
        flying = await Flying(AsyncSingleFlight()).lead()
        flying.flight.forget(["key"])
        assert await flying.follow() == "loaded again"
        flying.flight.forget_all()
        flying.ends.set_result(1)
        assert await flying.all() == [1, 1, 1]

    run(main(), loop)


def test_one_loop_at_a_time(loop: str) -> None:
    flight = AsyncSingleFlight()

    async def ask() -> Any:
        return await flight.run("key", lambda: asyncio.sleep(0, 1))

    assert [run(ask(), loop), run(ask(), loop)] == [1, 1]
    refusals: list[str] = []

    async def load() -> int:
        def elsewhere() -> None:
            with pytest.raises(RuntimeError) as caught:
                asyncio.run(ask())
            refusals.append(str(caught.value))

        await asyncio.to_thread(elsewhere)
        return 2

    assert run(flight.run("key", load), loop) == 2
    assert refusals == [
        "1 keys are being loaded in another event loop; one loop at a time may use this object"
    ]
