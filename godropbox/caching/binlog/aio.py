"""``AsyncInvalidator`` and what goes with it: caches that follow a binary log, for asyncio.

One task takes events, in ``run`` or ``follow``; another makes the rounds in which keys are deleted.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from secrets import token_hex
from typing import Any

from ...database.binlog import GtidSet, MariaDBGtidSet, PositionLost
from ..aio._drive import drive
from ._driver import DEFAULT, LONGEST_WAIT, Driver
from .applied import DEFAULT_KEY, Applied, Gtids, covers, parsed
from .core import Core, InvalidationOptions
from .generations import Generations
from .rules import KeyRule

__all__ = ["AsyncApplied", "AsyncGenerations", "AsyncInvalidator"]


class AsyncGenerations:
    """The generations of tables, through an ``AsyncClient``: asyncio's form of ``Generations``."""

    def __init__(
        self,
        client: Any,
        *,
        refresh: float = 1.0,
        prefix: str = "generation:",
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[int], str] = token_hex,
    ) -> None:
        self._blocking = Generations(
            client, refresh=refresh, prefix=prefix, clock=clock, random=random
        )

    @property
    def refresh(self) -> float:
        """For how many seconds a reader keeps a generation."""
        return self._blocking.refresh

    async def of(self, table: str) -> str:
        """Return the generation of a table; raises what the client does."""
        known = self._blocking._fresh(table)
        if known is not None:
            return known
        found: str = (await drive(self._blocking._asked([table])))[table]
        return found


class AsyncApplied:
    """What an invalidator in any process has applied: the asyncio form of ``Applied``."""

    def __init__(
        self,
        client: Any,
        key: str = DEFAULT_KEY,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = asyncio.sleep,
    ) -> None:
        self._blocking = Applied(client, key, clock=clock, pause=pause)

    async def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """Return the transactions that were applied, or None if nobody says."""
        return await drive(self._blocking._gtids_calls())

    async def wait_for(self, gtid: Gtids, timeout: float) -> bool:
        """Wait until a transaction was applied; return False after `timeout` seconds without it."""
        return await drive(self._blocking._wait_calls(gtid, timeout))


class AsyncInvalidator(Driver):
    """Deletes from a cache what a binary log says changed: the asyncio form of ``Invalidator``.

    `cache` is an ``AsyncClient`` or an ``AsyncConsistentCacheOnStorage``; `generations` are
    ``AsyncGenerations``; `committed` and a rule's ``forget`` may be coroutine functions. All is
    used from one event loop.
    """

    def __init__(
        self,
        cache: Any,
        keys: Mapping[str, KeyRule | Iterable[KeyRule]],
        options: InvalidationOptions = DEFAULT,
        *,
        generations: AsyncGenerations | None = None,
        committed: Callable[[Any, Any], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        blocking = None if generations is None else generations._blocking
        super().__init__(Core(cache, keys, options, blocking, committed, clock), clock)
        self._gates: set[asyncio.Event] = set()  # of those who wait for a change

    async def wait_for(self, gtid: Gtids, timeout: float) -> bool:
        """Wait until a transaction was applied; return False after `timeout` seconds without it."""
        wanted = parsed(gtid)
        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: covers(self._core.applied, wanted))
        except TimeoutError:
            return covers(self._core.applied, wanted)
        return True

    def close(self) -> None:
        """End ``run`` and ``follow`` at the next event: they return without waiting for the cache.

        To end them at once, cancel their task.
        """
        self._is_closed = True
        self._notify()

    async def run(self, events: AsyncIterable[Any], store: Any = None) -> None:
        """Take `events` until they end, and return when the cache has acknowledged all they say.

        Saving and errors are as those of ``Invalidator.run``; methods of `store` may be coroutine
        functions.
        """
        async with self._working(store):
            await self._take(events, False)
            await self._drain()

    async def follow(self, connect: Callable[[Any], Any], store: Any) -> None:
        """Follow a server until ``close``, as ``Invalidator.follow`` does.

        `connect` returns events, or an awaitable of them.
        """
        async with self._working(store):
            position = await _awaited(store.load())
            while not self._is_closed:
                is_lost = position is None
                events = await _awaited(connect("now" if is_lost else position))
                try:
                    await self._take(events, is_lost)
                    await self._drain()
                    return
                except PositionLost:
                    if is_lost:
                        raise
                    position = None
                finally:
                    await _awaited(getattr(events, "close", lambda: None)())

    # The two tasks

    @asynccontextmanager
    async def _working(self, store: Any) -> AsyncIterator[None]:
        """Run the task that makes rounds."""
        if self._is_running:
            raise RuntimeError("this AsyncInvalidator runs already")
        self._begin(store)
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            self._is_running = False
            self._notify()
            try:
                await task
            finally:
                await self._save(True)
                self._is_closed = False

    async def _take(self, events: AsyncIterable[Any], forgets_all: bool) -> None:
        """Feed events to the core, and end its transactions."""
        core = self._core
        async for event in events:
            if core.take(event, events, forgets_all):
                self._notify()
            forgets_all = False
            if core.is_full:
                await self._until(lambda: not core.is_full or self._is_over)
            if self._is_over:
                self._raise()
                return

    def _notify(self) -> None:
        for gate in self._gates:
            gate.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        gate = asyncio.Event()
        self._gates.add(gate)
        try:
            while not holds():
                await gate.wait()
                gate.clear()
        finally:
            self._gates.discard(gate)

    async def _drain(self) -> None:
        """Wait until all is acknowledged."""
        await self._until(lambda: self._core.is_idle or self._is_over)
        self._raise()

    async def _work(self) -> None:
        gate = asyncio.Event()
        self._gates.add(gate)
        try:
            while self._is_running:
                gate.clear()
                due = self._core.due()
                if due is None or due > 0:
                    try:
                        async with asyncio.timeout(LONGEST_WAIT if due is None else due):
                            await gate.wait()
                    except TimeoutError:
                        pass
                    continue
                await drive(self._core.round())
                await self._save(False)
                self._notify()
        except Exception as error:
            self._error = error
            self._notify()
        finally:
            self._gates.discard(gate)

    async def _save(self, now: bool) -> None:
        """Save the place up to which all was applied, if it is time."""
        place = self._unsaved(now)
        if place is not None:
            await _awaited(self._store.save(place))
            self._note_saved(place)


async def _awaited(result: Any) -> Any:
    return await result if isawaitable(result) else result
