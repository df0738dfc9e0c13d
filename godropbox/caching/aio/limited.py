"""``AsyncRateLimitedStorage``: a storage that limits how many operations run at once."""

import asyncio
from collections import deque
from typing import Any

from ..._kernels._identity import refuse_copies
from ..limited import RateLimitedStorage
from ._drive import DrivenStorage

__all__ = ["AsyncRateLimitedStorage"]


class _Turns:
    """So many turns at once; tasks that wait get theirs in the order in which they came."""

    __slots__ = ("_free", "_waiters")
    __reduce_ex__ = refuse_copies

    def __init__(self, limit: int) -> None:
        self._free = limit
        # Each is set to whether its turn came.
        self._waiters: deque[asyncio.Future[bool]] = deque()

    async def acquire(self, timeout: float | None) -> bool:
        """Take a turn; return whether one came within `timeout` seconds."""
        if self._free:
            self._free -= 1  # nobody waits, as turns are handed on
            return True
        if timeout is not None and timeout <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.append(waiter)
        timer = None if timeout is None else loop.call_later(timeout, _give_up, waiter)
        try:
            came: bool = await waiter
            return came
        except BaseException:
            # Cancelled, perhaps in the very moment in which the turn came.
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.release()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def release(self) -> None:
        """Give a turn back: it goes to the task that has waited longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            # A loop that was closed left its waiters behind.
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(True)
                return
        self._free += 1


def _give_up(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)


class _Limited(RateLimitedStorage):
    """The decisions of a storage whose callers are tasks."""

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    _kind = "AsyncRateLimitedStorage"
    _turns: Any

    def _check(self, storage: Any) -> None:
        """Accept any methods, plain and async."""

    def _forked(self) -> None:
        self._turns = _Turns(self._limit)

    async def _enter(self) -> None:
        if not await self._turns.acquire(self._timeout):
            raise self._busy()


class AsyncRateLimitedStorage(DrivenStorage):
    """Runs at most `max_concurrency` operations of `storage` at once, for asyncio.

    The asyncio form of ``RateLimitedStorage``. Tasks get their turns in the order in which they
    asked. One that waited `timeout` seconds (None: no limit) raises ``StorageBusyError`` and has
    done nothing; so has one that is cancelled while it waits.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(self, storage: Any, max_concurrency: int, *, timeout: float | None = None) -> None:
        super().__init__(_Limited(storage, max_concurrency, timeout=timeout))

    @property
    def storage(self) -> Any:
        """The limited storage."""
        return self._blocking.storage
