"""Pools for asyncio that open slowly, fail when told to, and are looked at once they settle."""

from typing import Any

from godropbox.resource_pool import PoolOptions
from godropbox.resource_pool.aio import AsyncResourcePool
from support.aio import turns
from support.pools import Handle, Opener

__all__ = ["AsyncOpener", "SlowHandle", "pool_of", "settled", "state"]


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
