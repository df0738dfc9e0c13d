"""The pool for asyncio: whom it lends to and in which order, what it raises, how long it keeps."""

import asyncio
import gc
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.aio import run, turns
from support.aio_pools import AsyncOpener, pool_of, state
from support.memory import let_go
from support.pools import Clock, Handle, Opener, in_child

from godropbox.errors import NetworkError, UsageError
from godropbox.resource_pool import (
    ForeignHandleError,
    InactiveHandleError,
    ManagedHandle,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolTimeoutError,
)
from godropbox.resource_pool.aio import AsyncResourcePool

Test = Callable[[], Coroutine[Any, Any, None]]


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
