"""The pool for asyncio: fair, indifferent to where a task is cancelled, and gone once closed."""

import asyncio
import gc
import inspect
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.aio import LOOPS, run, turns
from support.memory import let_go
from support.pools import Clock, Handle, Opener, in_child

from godropbox.errors import DropboxError, NetworkError, UsageError
from godropbox.resource_pool import (
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    ManagedHandle,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolTimeoutError,
    SimpleResourcePool,
)
from godropbox.resource_pool.aio import AsyncResourcePool

Test = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class SlowHandle(Handle):
    """Takes two turns of the loop to close."""

    async def close(self) -> None:  # type: ignore[override]
        await turns(2)
        self.closes += 1


class AsyncOpener(Opener):
    """Opens in two turns of the loop, and fails when told to."""

    async def __call__(self, location: Any) -> Handle:  # type: ignore[override]
        await turns(1)
        handle = SlowHandle(len(self.handles) + 1, location)
        self.handles.append(handle)
        await turns(1)
        if self.failure is not None:
            handle.closes += 1
            raise self.failure
        return handle


def pool_of(opener: Any, **more: Any) -> AsyncResourcePool:
    return AsyncResourcePool(PoolOptions(open=opener, **{"reap_every": 0, **more}), "bar")


async def settled(pool: AsyncResourcePool) -> None:
    """Let the loop turn until what the pool opens and closes is done."""
    for _ in range(100):
        await turns(1)
        if not pool._tasks:
            return
    raise AssertionError("it never settles")


def state(pool: AsyncResourcePool) -> tuple[int, int, int, int]:
    stats = pool.stats()
    return stats.active, stats.idle, stats.opening, stats.waiting


# Lending


def test_a_handle_is_lent_and_lent_again(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener) as pool:
            async with pool.handle() as handle:
                assert handle is opener.handles[0]
                assert state(pool) == (1, 0, 0, 0)
            loan = await pool.get()
            assert (loan.handle, loan.owner, loan.location) == (handle, pool, "bar")
            assert repr(pool) == "<AsyncResourcePool of 'bar': 1 active, 0 idle>"
            loan.release()
            loan.release()
            with pytest.raises(InactiveHandleError):
                _ = loan.handle
            with await pool.get() as loan, pytest.raises(RuntimeError, match="mine"), loan:
                raise RuntimeError("mine")
            assert pool.num_idle == 0
            detached = (await pool.get()).detach()
            assert not detached.is_closed
        assert [handle.closes for handle in opener.handles] == [1, 0]
        stats = pool.stats()
        assert (stats.gets, stats.opens, stats.closes, stats.high_water) == (4, 2, 1, 1)

    run(main(), loop)


def test_methods_are_coroutine_functions() -> None:
    assert inspect.iscoroutinefunction(AsyncResourcePool.get)
    assert inspect.iscoroutinefunction(AsyncResourcePool.close)
    assert list(inspect.signature(AsyncResourcePool.get).parameters) == ["self", "timeout"]


@pytest.mark.parametrize("is_async", [False, True])
def test_functions_may_be_async_or_plain(loop: str, is_async: bool) -> None:
    calls: list[str] = []

    def function(name: str, result: Any) -> Callable[[Any], Any]:
        def plain(argument: Any) -> Any:
            calls.append(f"{name} {argument}")
            return result

        async def slow(argument: Any) -> Any:
            await turns(1)
            return plain(argument)

        return slow if is_async else plain

    async def main() -> None:
        options = PoolOptions(
            open=function("open", "it"),
            close=function("close", None),
            check=function("check", False),
            reap_every=0,
        )
        async with AsyncResourcePool(options, "bar") as pool:
            for _ in range(2):
                async with pool.handle() as handle:
                    assert handle == "it"
        assert sorted(calls) == ["check it", "close it", "close it", "open bar", "open bar"]
        assert pool.stats().unhealthy == 1

    run(main(), loop)


def test_a_check_that_raises_is_logged_and_the_get_keeps_its_turn(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(handle: Handle) -> bool:
        await turns(1)
        if handle.is_healthy:
            return True
        raise OSError("ill")

    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener, check=check, max_active=1) as pool:
            async with pool.handle() as first:
                pass
            async with pool.handle() as again:
                assert again is first
            first.is_healthy = False
            async with pool.handle() as second:
                assert second is not first
            assert first.closes == 1
        assert "checking a handle failed: OSError('ill')" in caplog.text

    run(main(), loop)


# The line


def test_gets_are_served_in_their_order_and_none_overtakes(loop: str) -> None:
    async def main() -> None:
        async with pool_of(AsyncOpener(), max_active=2, timeout=None) as pool:
            held = [await pool.get(), await pool.get()]
            served: list[int] = []

            async def use(number: int) -> None:
                async with pool.handle():
                    served.append(number)
                    await turns(number % 3)

            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(use(number))
                await turns(1)
                assert state(pool) == (2, 0, 0, 20)
                held[0].release()
                # The handle is the first waiter's already, which has not run yet.
                assert pool.get_idle() is None
                with pytest.raises(PoolExhaustedError, match="2 handles to 'bar' are on loan"):
                    await pool.get(0)
                held[1].release()
            assert served == list(range(20))
            assert pool.stats().waits == 20

    run(main(), loop)


def test_a_get_that_waits_too_long_leaves_the_line(loop: str) -> None:
    async def main() -> None:
        async with pool_of(AsyncOpener(), max_active=1, timeout=0.001) as pool:
            async with pool.handle():
                with pytest.raises(PoolTimeoutError, match=r"none became free within 0\.001 s"):
                    await pool.get()
                assert state(pool) == (1, 0, 0, 0)
            (await pool.get()).release()
            assert pool.stats().exhausted == 1

    run(main(), loop)


def test_a_limit_of_opens_at_a_time(loop: str) -> None:
    async def main() -> None:
        most = 0

        async def open_slowly(_: Any) -> Handle:
            nonlocal most
            most = max(most, pool.stats().opening)
            await turns(3)
            return Handle(1, "")

        async with pool_of(open_slowly, max_opens=2, timeout=None) as pool:
            loans = await asyncio.gather(*(pool.get() for _ in range(10)))
            assert (most, pool.num_active) == (2, 10)
            for loan in loans:
                loan.release()

    run(main(), loop)


# Cancellation


async def cancelled_after(count: int, work: Coroutine[Any, Any, Any]) -> bool:
    """Cancel a task after some turns of the loop; return whether that cut it short."""
    task = asyncio.create_task(work)
    await turns(count)
    task.cancel()
    try:
        loan = await task
    except asyncio.CancelledError:
        return True
    loan.release()
    return False


async def check_nothing_is_taken(pool: AsyncResourcePool, opener: Opener) -> None:
    await settled(pool)
    assert state(pool)[::2] == (0, 0)
    assert state(pool)[3] == 0
    assert len(opener.still_open) == pool.num_idle
    async with pool.handle(), asyncio.timeout(10):
        pass


def test_a_get_that_is_cancelled_anywhere_leaves_nothing_taken(loop: str) -> None:
    """Opening, checking, waiting for a turn after a failed check, opening again."""
    cut = 0

    async def once(count: int) -> bool:
        opener = AsyncOpener()
        checked = 0

        async def check(_: Handle) -> bool:
            nonlocal checked
            checked += 1
            await turns(2)
            return checked > 2

        async with pool_of(opener, check=check, max_active=2, timeout=None) as pool:
            held = [await pool.get(), await pool.get()]
            for loan in held:
                loan.release()
            was_cut = await cancelled_after(count, pool.get())
            await check_nothing_is_taken(pool, opener)
        assert opener.still_open == []
        return was_cut

    for count in range(100):
        if not run(once(count), loop):
            cut = count
            break
    assert cut >= 7  # at each of the turns that a whole get takes


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_get_that_is_cancelled_as_it_is_granted_passes_its_turn_on(
    loop: str, before: int
) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener, max_active=1, timeout=None) as pool:
            loan = await pool.get()
            first, second = asyncio.create_task(pool.get()), asyncio.create_task(pool.get())
            await turns(1)
            assert pool.stats().waiting == 2
            if before == 0:
                first.cancel()
                loan.release()
            elif before == 1:
                loan.release()
                first.cancel()
            elif before == 2:
                loan.discard()
                first.cancel()
            else:
                assert loan.detach()
                first.cancel()
                opener.handles[0].closes += 1
            with pytest.raises(asyncio.CancelledError):
                await first
            async with asyncio.timeout(10):
                (await second).release()
            await check_nothing_is_taken(pool, opener)

    run(main(), loop)


def test_an_opening_goes_on_and_is_for_the_next_get(loop: str) -> None:
    """What is opened by several steps would leak if the second were cancelled."""

    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener, max_active=1, timeout=None) as pool:
            first, second = asyncio.create_task(pool.get()), asyncio.create_task(pool.get())
            await turns(2)
            assert state(pool) == (1, 0, 1, 1)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            loan = await second
            assert (len(opener.handles), loan.handle.number) == (1, 1)
            loan.release()
            await check_nothing_is_taken(pool, opener)

    run(main(), loop)


def test_an_opening_that_fails_after_its_get_was_cancelled_is_logged(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        opener.failure = OSError("down")
        async with pool_of(opener, max_active=1) as pool:
            for count in range(5):
                await cancelled_after(count, failing(pool))
                await settled(pool)
            opener.failure = None
            await check_nothing_is_taken(pool, opener)

    async def failing(pool: AsyncResourcePool) -> None:
        try:
            await pool.get()
        except OpenError:
            raise asyncio.CancelledError from None

    with caplog.at_level(logging.WARNING):
        run(main(), loop)
    assert "opening a handle failed: OpenError(" in (caplog.text)


def test_a_block_that_is_cancelled_discards_its_handle(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener) as pool:

            async def use() -> None:
                async with pool.handle():
                    await asyncio.Event().wait()

            task = asyncio.create_task(use())
            await turns(6)
            assert pool.num_active == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settled(pool)
            assert (state(pool), opener.still_open) == ((0, 0, 0, 0), [])

    run(main(), loop)


# Errors


def test_what_opening_raises(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener) as pool:
            opener.failure = OSError("down")
            with pytest.raises(
                OpenError, match=r"^opening a handle to 'bar' failed: down"
            ) as caught:
                await pool.get()
            assert caught.value.__cause__ is opener.failure
            opener.failure = NetworkError("ours")
            with pytest.raises(NetworkError, match="ours") as ours:
                await pool.get()
            assert ours.value is opener.failure
            # A library that cancels its own futures does not cancel the get.
            opener.failure = asyncio.CancelledError()
            with pytest.raises(OpenError) as caught:
                await pool.get()
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert pool.stats().open_failures == 3
            assert state(pool) == (0, 0, 0, 0)

    run(main(), loop)


def test_a_failed_get_leaves_no_cycle_to_the_collector(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        opener.failure = OSError("down")
        async with pool_of(opener, max_active=1) as pool:
            for _ in range(2):
                gc.collect()
                gc.disable()
                try:
                    await pool.get()
                except OpenError as error:
                    gone = weakref.ref(error)
                opener.failure = OSError("down")
                await turns(2)
                let_go()
                assert gone() is None

    try:
        run(main(), loop)
    finally:
        gc.enable()


def test_another_pools_handle_is_refused(loop: str) -> None:
    async def main() -> None:
        async with pool_of(Opener()) as pool, pool_of(Opener()) as other:
            loan = await other.get()
            for end in (pool.release, pool.discard):
                with pytest.raises(ForeignHandleError, match="belongs to another pool"):
                    end(loan)
            other.release(loan)

    run(main(), loop)


def test_another_loop_is_refused(loop: str) -> None:
    pool = pool_of(Opener())

    async def use() -> None:
        (await pool.get()).release()

    async def refused() -> None:
        for work in (pool.get, pool.close):
            with pytest.raises(UsageError, match="'bar' belongs to another event loop: make one"):
                await work()
        with pytest.raises(UsageError, match="another event loop"):
            pool.get_idle()

    run(use(), loop)
    run(refused(), loop)
    assert pool.num_idle == 1
    pool.enter_lame_duck_mode()
    assert pool.num_idle == 0


# Closing


def test_close_waits_for_loans_and_closes_everything(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        pool = pool_of(opener, max_active=3, timeout=None)
        loans = [await pool.get() for _ in range(3)]
        loans.pop().release()
        closing = [asyncio.create_task(pool.close(None)) for _ in range(2)]
        late = asyncio.create_task(pool.get())
        await turns(5)
        with pytest.raises(LameDuckError, match="the pool of handles to 'bar' was retired"):
            await late
        assert (closing[0].done(), pool.num_active, opener.still_open) == (False, 2, [1, 2])
        for loan in loans:
            loan.release()
        assert [await each for each in closing] == [True, True]
        assert opener.still_open == []
        assert await pool.close()
        assert not pool._tasks

    run(main(), loop)


def test_close_fails_those_that_wait_and_does_not_wait_for_ever(loop: str) -> None:
    async def main() -> None:
        never = asyncio.Event()

        async def hang(_: Any) -> None:
            await never.wait()

        pool = pool_of(hang, max_active=2, timeout=None)
        gets = [asyncio.create_task(pool.get()) for _ in range(4)]
        await turns(2)
        assert state(pool) == (2, 0, 2, 2)
        assert await pool.close(0)
        for error in await asyncio.gather(*gets, return_exceptions=True):
            assert isinstance(error, LameDuckError)
        assert (state(pool), pool._tasks) == ((0, 0, 0, 0), set())

    run(main(), loop)


@pytest.mark.parametrize("count", range(4))
def test_close_cuts_openings_short_in_any_turn(loop: str, count: int) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        pool = pool_of(opener)
        get = asyncio.create_task(pool.get())
        await turns(count)
        await pool.close(0)
        (result,) = await asyncio.gather(get, return_exceptions=True)
        if isinstance(result, ManagedHandle):
            result.release()
            assert await pool.close()
        else:
            assert isinstance(result, LameDuckError)
        assert state(pool) == (0, 0, 0, 0)

    run(main(), loop)


def test_close_leaves_what_is_on_loan_to_be_closed_when_it_is_given_back(loop: str) -> None:
    async def main() -> None:
        opener = AsyncOpener()
        pool = pool_of(opener)
        loan = await pool.get()
        assert not await pool.close(0)
        assert not loan.handle.is_closed
        loan.release()
        assert await pool.close()
        assert opener.still_open == []

    run(main(), loop)


def test_a_close_that_is_cancelled_leaves_no_task(loop: str) -> None:
    async def main() -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        pool = pool_of(Opener(), close=lambda _: hang())
        (await pool.get()).release()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await pool.close()
        await turns(2)
        assert not pool._tasks
        assert pool.stats().close_failures == 1

    run(main(), loop)


def test_what_closing_raises_is_counted_and_logged(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(_: Any) -> None:
        raise OSError("plain")

    async def slow(_: Any) -> None:
        await turns(1)
        raise OSError("slow")

    async def main() -> None:
        for close in (plain, slow):
            pool = pool_of(Opener(), close=close)
            (await pool.get()).release()
            assert await pool.close()
            assert (pool.stats().closes, pool.stats().close_failures) == (1, 1)
            assert f"closing a handle failed: OSError('{close.__name__}')" in caplog.text

    run(main(), loop)


def test_a_pool_that_was_never_used_can_be_closed(loop: str) -> None:
    async def main() -> None:
        pool = pool_of(Opener())
        assert await pool.close()
        with pytest.raises(LameDuckError):
            await pool.get()

    run(main(), loop)


# Keeping


def test_idle_handles_are_closed_in_time(loop: str) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def close(_: Handle) -> None:
            closed.set()

        clock = Clock()
        pool = pool_of(Opener(), close=close, max_idle_time=10, reap_every=0.001, clock=clock)
        async with pool:
            (await pool.get()).release()
            clock.advance(11)
            async with asyncio.timeout(10):
                await closed.wait()
            assert (pool.num_idle, pool.stats().expired) == (0, 1)
            (await pool.get()).release()
        assert pool._timer is None

    run(main(), loop)


def test_a_timer_does_not_keep_the_pool(loop: str) -> None:
    async def main() -> None:
        pool = pool_of(Opener(), max_idle_time=10, reap_every=1000.0)
        (await pool.get()).release()
        gone = weakref.ref(pool)
        await turns(2)
        del pool
        gc.collect()
        let_go()
        assert gone() is None

    run(main(), loop)


def innermost(pool: AsyncResourcePool) -> str:
    """Return the function that borrowed what is on loan."""
    return pool.loans()[0].stack.frames()[-1].function


def test_the_stack_of_a_loan_ends_in_the_code_that_borrowed(loop: str) -> None:
    async def borrower() -> None:
        async with pool_of(AsyncOpener(), track=True, max_active=1) as pool:
            for _ in range(2):
                with await pool.get():
                    assert innermost(pool).endswith("borrower")
                async with pool.handle():
                    assert innermost(pool).endswith("borrower")
                idle = pool.get_idle()
                assert idle is not None
                assert innermost(pool).endswith("borrower")
                idle.discard()
            assert pool.loans() == []

    run(borrower(), loop)


@pytest.mark.parametrize("where", ["here", "thread"])
def test_a_loan_that_is_garbage_is_reported_and_its_turn_passed_on(loop: str, where: str) -> None:
    loans: list[ManagedHandle] = []

    def end() -> None:
        if where == "here":
            loans.clear()
        else:
            thread = threading.Thread(target=loans.clear)
            thread.start()
            thread.join()
        let_go()

    async def main() -> None:
        opener = AsyncOpener()
        async with pool_of(opener, max_active=1, timeout=None, track=True) as pool:
            loans.append(await pool.get())
            assert innermost(pool).endswith("<locals>.main")
            waiting = asyncio.create_task(pool.get())
            await turns(1)
            assert pool.stats().waiting == 1
            with pytest.warns(ResourceWarning, match="to 'bar' was never given back, a handle"):
                end()
            async with asyncio.timeout(10):
                (await waiting).release()
            assert (pool.stats().leaked, opener.still_open) == (1, [2])

    run(main(), loop)


def test_a_loan_that_outlives_its_loop_is_closed_as_far_as_possible(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(pool: AsyncResourcePool) -> ManagedHandle:
        return await pool.get()

    plain, slow = pool_of(Opener()), pool_of(AsyncOpener())
    loan = run(main(plain), loop)
    loan.discard()
    assert loan.owner.stats().closes == 1
    run(main(slow), loop).discard()
    assert slow.stats().close_failures == 1
    assert "closing a handle failed: RuntimeError('the event loop of the pool is closed')" in (
        caplog.text
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_in_the_child_of_a_fork_it_is_empty_and_belongs_to_no_loop(loop: str) -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=2)

    async def take() -> ManagedHandle:
        (await pool.get()).release()
        return await pool.get()

    run(turns(0), loop)  # skips where there is no such loop, which the child could not
    loan = run(take())

    async def again() -> None:
        assert not loan.is_active
        assert state(pool) == (0, 0, 0, 0)
        async with pool.handle() as handle:
            assert handle.number == 2
        loan.release()
        assert await pool.close()

    assert in_child(lambda: run(again(), loop)) == 0
    assert loan.is_active
    loan.discard()


# Models


class Books:
    """Who holds which handle: each is held by one task at most, and never closed while held."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    def take(self, handle: Handle) -> None:
        assert handle.number not in self.held
        assert not handle.is_closed
        self.held.add(handle.number)

    def drop(self, handle: Handle) -> None:
        assert not handle.is_closed
        self.held.remove(handle.number)


@pytest.mark.parametrize("seed", range(3))
def test_200_tasks_that_are_cancelled_at_random(loop: str, seed: int) -> None:
    async def main() -> None:
        draw, books, opener = random.Random(seed), Books(), Opener()

        async def open_or_fail(location: Any) -> Handle:
            await turns(draw.randrange(3))
            if draw.random() < 0.1:
                raise OSError("not now")
            handle = SlowHandle(len(opener.handles) + 1, location)
            opener.handles.append(handle)
            await turns(draw.randrange(3))
            return handle

        async def check(_: Handle) -> bool:
            await turns(draw.randrange(2))
            return draw.random() > 0.1

        pool = pool_of(
            open_or_fail,
            check=check,
            max_active=12,
            max_idle=8,
            max_opens=3,
            timeout=None,
            reuse=draw.choice(["lifo", "fifo"]),
        )

        async def work() -> None:
            for _ in range(10):
                try:
                    loan = await pool.get(draw.choice([0, 1e-4, None, None]))
                except (PoolExhaustedError, OpenError):
                    continue
                with loan:
                    books.take(loan.handle)
                    try:
                        await turns(draw.randrange(3))
                    finally:
                        books.drop(loan.handle)
                    way = draw.randrange(6)
                    if way == 0:
                        loan.discard()
                    elif way == 1:
                        loan.detach().closes += 1

        async def with_limits() -> None:
            for _ in range(4):
                try:
                    async with asyncio.timeout(draw.choice([0, 1e-5, 1e-4, 1e-3, 1])):
                        await work()
                except TimeoutError:
                    await turns(1)

        tasks = [asyncio.create_task(with_limits()) for _ in range(200)]
        while not all(task.done() for task in tasks):
            await turns(draw.randrange(1, 4))
            if draw.random() < 0.3:
                draw.choice(tasks).cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError)
        await settled(pool)
        assert state(pool)[::2] == (0, 0)
        assert books.held == set()
        assert await pool.close()
        stats = pool.stats()
        assert (state(pool), stats.leaked, stats.close_failures) == ((0, 0, 0, 0), 0, 0)
        assert stats.high_water <= 12
        assert stats.opens == len(opener.handles)
        assert [handle.closes for handle in opener.handles] == [1] * len(opener.handles)

    run(main(), loop)


ACTS = st.lists(
    st.sampled_from(["get", "get", "release", "discard", "detach", "idle", "fail", "ill", "later"])
)


@given(
    ACTS,
    st.sampled_from(["lifo", "fifo"]),
    st.sampled_from([None, 2]),
    st.sampled_from([None, 1]),
)
def test_it_decides_as_the_pool_for_threads_does(
    acts: list[str], reuse: Any, max_active: int | None, max_idle: int | None
) -> None:
    def made() -> tuple[Clock, Opener, PoolOptions]:
        clock, opener = Clock(), Opener()
        options = PoolOptions(
            open=opener,
            check=lambda handle: handle.is_healthy,
            check_after=1,
            max_active=max_active,
            max_idle=max_idle,
            max_idle_time=3,
            max_lifetime=5,
            lifetime_jitter=0,
            reap_every=0,
            reuse=reuse,
            clock=clock,
        )
        return clock, opener, options

    def ended(loans: list[ManagedHandle], act: str) -> Any:
        return getattr(loans.pop(0), act)() is None if loans else None

    def common(clock: Clock, opener: Opener, act: str) -> None:
        if act == "fail":
            opener.failure = None if opener.failure else OSError("down")
        elif act == "ill" and opener.handles:
            opener.handles[-1].is_healthy = False
        elif act == "later":
            clock.advance(1)

    def threaded() -> list[Any]:
        clock, opener, options = made()
        pool, loans, seen = SimpleResourcePool(options, "bar"), list[ManagedHandle](), list[Any]()
        for act in acts:
            common(clock, opener, act)
            try:
                if act in ("get", "idle"):
                    loan = pool.get() if act == "get" else pool.get_idle()
                    if loan is not None:
                        loans.append(loan)
                elif act in ("release", "discard", "detach"):
                    seen.append(ended(loans, act))
            except DropboxError as error:
                seen.append((type(error), error.message))
            seen.append((pool.stats(), [loan.handle.number for loan in loans], opener.still_open))
        for loan in loans:
            loan.release()
        pool.enter_lame_duck_mode()
        return [*seen, pool.stats()]

    async def tasked() -> list[Any]:
        clock, opener, options = made()
        pool, loans, seen = AsyncResourcePool(options, "bar"), list[ManagedHandle](), list[Any]()
        for act in acts:
            common(clock, opener, act)
            try:
                if act in ("get", "idle"):
                    loan = await pool.get() if act == "get" else pool.get_idle()
                    if loan is not None:
                        loans.append(loan)
                elif act in ("release", "discard", "detach"):
                    seen.append(ended(loans, act))
            except DropboxError as error:
                seen.append((type(error), error.message))
            seen.append((pool.stats(), [loan.handle.number for loan in loans], opener.still_open))
        for loan in loans:
            loan.release()
        assert await pool.close()
        return [*seen, pool.stats()]

    assert asyncio.run(tasked()) == threaded()
