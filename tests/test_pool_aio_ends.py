"""The pool for asyncio is indifferent to where a task is cancelled, and gone once it is closed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.aio import run, turns
from support.aio_pools import AsyncOpener, pool_of, settled, state
from support.pools import Handle, Opener

from godropbox.resource_pool import (
    LameDuckError,
    ManagedHandle,
    OpenError,
)
from godropbox.resource_pool.aio import AsyncResourcePool

Test = Callable[[], Coroutine[Any, Any, None]]


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
