"""Locks by key for asyncio's tasks; ``KeyLocks`` of the package is for threads."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from .._kernels._identity import refuse_copies
from ._keys import LockTimeoutError, in_order, seconds, timed_out

__all__ = ["AsyncKeyLocks", "LockTimeoutError"]


class _Entry:
    __slots__ = ("lock", "owner", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.owner: asyncio.Task[Any] | None = None
        self.users = 0  # who holds it and who waits


class AsyncKeyLocks:
    """A lock for each key, for the tasks of one loop; made when it is wanted, then forgotten."""

    __reduce_ex__ = refuse_copies

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}

    def __len__(self) -> int:
        """Return how many keys are held or waited for."""
        return len(self._entries)

    async def acquire(self, key: Hashable, timeout: float | None = None) -> bool:
        """Wait for a key, for `timeout` seconds or for ever; return whether it was got.

        A `timeout` of 0 does not wait. Raise ``RuntimeError`` if this task holds the key already.
        """
        wait = None if timeout is None else seconds(timeout)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        elif entry.owner is asyncio.current_task():
            raise RuntimeError(f"this task holds the lock of {key!r} already")
        elif wait == 0:
            return False
        entry.users += 1
        has_it = False
        try:
            async with asyncio.timeout(wait if entry.lock.locked() else None):
                has_it = await entry.lock.acquire()
        except TimeoutError:
            pass
        finally:
            if has_it:
                entry.owner = asyncio.current_task()
            else:
                self._leave(key, entry)
        return has_it

    def _leave(self, key: Hashable, entry: _Entry) -> None:
        entry.users -= 1
        if not entry.users:
            del self._entries[key]

    def release(self, key: Hashable) -> None:
        """Let go of a key. Raise ``RuntimeError`` if this task does not hold it."""
        entry = self._entries.get(key)
        if entry is None or entry.owner is not asyncio.current_task():
            raise RuntimeError(f"this task does not hold the lock of {key!r}")
        entry.owner = None
        entry.lock.release()
        self._leave(key, entry)

    @asynccontextmanager
    async def hold(self, key: Hashable, timeout: float | None = None) -> AsyncIterator[None]:
        """Hold a key in an ``async with`` block; raise ``LockTimeoutError`` if not got in time."""
        if not await self.acquire(key, timeout):
            raise timed_out(key, timeout)
        try:
            yield
        finally:
            self.release(key)

    @asynccontextmanager
    async def hold_all(
        self, keys: Iterable[Hashable], timeout: float | None = None
    ) -> AsyncIterator[None]:
        """Hold several keys in an ``async with`` block, each waited for up to `timeout` seconds.

        All callers take them in one order, so that no two wait for each other.
        """
        async with AsyncExitStack() as held:
            for key in in_order(keys):
                await held.enter_async_context(self.hold(key, timeout))
            yield
