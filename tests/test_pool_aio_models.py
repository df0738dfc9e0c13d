"""The pool for asyncio against models: who may hold what, and what the pool for threads does."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.aio import run, turns
from support.aio_pools import SlowHandle, pool_of, settled, state
from support.pools import Clock, Handle, Opener

from godropbox.errors import DropboxError
from godropbox.resource_pool import (
    ManagedHandle,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    SimpleResourcePool,
)
from godropbox.resource_pool.aio import AsyncResourcePool


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
