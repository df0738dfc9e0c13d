"""``AsyncFollower``: a task that keeps a shard manager's fleet as a source has it, for asyncio.

A source is asked in a thread of the follower's own, so that others can neither use up that thread
nor wait for it; the fleet is changed, and hooks are called, in the loop.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self

from ..._kernels._guarded import brief
from ..aio.client import AsyncClient
from ..aio.managers import AsyncBaseShardManager
from ..aio.options import AsyncClientOptions
from ..fleet.placement import ShardFunction
from ..hints import check_kind
from ._base import DEFAULT, BaseFollower, Manager, checked_wait, no_fleet
from .following import Apply, Ask, Load, Pause, Renew, Step, log
from .options import FollowOptions
from .types import Source, SourceError

if TYPE_CHECKING:
    from typing import Unpack

    from ..overrides import AsyncClientOverrides
    from .options import FollowOverrides

__all__ = ["AsyncFollower", "async_client", "async_follow"]

_CLIENT: Final = AsyncClientOptions()
_CLOSE_TRIES: Final = 50


class _Worker:
    """A thread that runs functions for tasks, one after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="godropbox discovery", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def end(self, close: Callable[[], None]) -> None:
        """End the thread: `close` ends what it runs, not what it is about to run."""
        self._calls.put(None)
        for _ in range(_CLOSE_TRIES):
            close()
            self._thread.join(0.1)
            if not self._thread.is_alive():
                return

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what a function returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def call() -> None:
            result = error = None
            try:
                result = function()
            except Exception as failed:
                error = failed
            except BaseException as failed:  # it would end the loop's task, not this thread
                error = SourceError(f"a source raised {brief(failed)}")
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_settle, future, result, error)

        self._calls.put(call)
        return await future


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return  # it was cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class AsyncFollower(BaseFollower):
    """A task that keeps a fleet as a source has it, whatever the source does.

    The arguments are those of ``Follower``, with a manager for asyncio::

        async with AsyncFollower("dns://cache.prod.svc:11211", manager) as follower:
            await follower.wait(5.0)

    It belongs to the loop in which it is started, and ends with ``close``, or when its task is
    cancelled, as ``asyncio.run`` does at its end.
    """

    def __init__(
        self,
        source: Source | str | Callable[[], Source],
        manager: Manager,
        options: FollowOptions = DEFAULT,
        **overrides: "Unpack[FollowOverrides]",
    ) -> None:
        super().__init__(source, manager, options, overrides, is_async=True)
        self._has_fleet: Final = asyncio.Event()
        self._worker: _Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> Self:
        """Start the task, unless it was started before; return the follower."""
        if self._is_closed:
            raise SourceError(f"the follower of {self._following.name} was closed")
        if self._task is None:
            self._worker = _Worker()
            self._task = asyncio.create_task(self._run(), name="godropbox discovery")
            self._task.add_done_callback(self._ended)
        return self

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is a fleet, at most `timeout` seconds; return whether there is one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._has_fleet.wait()
        return self._following.has_fleet

    async def close(self) -> None:
        """Stop following, and close the source; return once the task has ended."""
        self._is_closed = True
        self._has_fleet.set()
        task = self._task
        if task is None:
            self._let_go()
        elif task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._is_closed = True
        self._has_fleet.set()
        self._let_go()
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: following ended: %s", self._following.name, task.exception())

    def _let_go(self) -> None:
        """Close the source, for which the loop does not wait, and end the thread."""
        end: Callable[[], object] = self._source.close
        if self._worker is not None:
            end = partial(self._worker.end, self._source.close)
        threading.Thread(target=end, name="godropbox discovery end", daemon=True).start()

    # The task

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:  # of what was made not to raise
                log.error("%s: following begins again: %s", self._following.name, brief(error))
                await asyncio.sleep(self._options.retry_after)
            else:
                return

    async def _follow(self) -> None:
        steps = self._following.steps()
        step: Step | None = next(steps, None)
        while step is not None and self._manager() is not None:
            try:
                outcome = await self._done(step)
            except Exception as error:
                go_on: Callable[[], Any] = partial(steps.throw, error)
            else:
                go_on = partial(steps.send, outcome)
            try:
                step = go_on()
            except StopIteration:
                return
            if self._following.has_fleet:
                self._has_fleet.set()

    async def _done(self, step: Step) -> Any:
        """Do a step; return what came of it."""
        assert self._worker is not None
        if isinstance(step, Ask):
            return await self._worker.run(partial(self._source.next, step.seconds))
        if isinstance(step, Apply):
            manager = self._manager()
            return None if manager is None else manager.update_shard_states(step.states)
        if isinstance(step, Renew):
            return await self._worker.run(self._source.close)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        assert self._keeper is not None
        if isinstance(step, Load):
            return await self._worker.run(self._keeper.read)
        return await self._worker.run(partial(self._keeper.write, step.answer))


async def async_follow(
    source: Source | str | Callable[[], Source],
    manager: Manager,
    options: FollowOptions = DEFAULT,
    *,
    wait: float = 5.0,
    **overrides: "Unpack[FollowOverrides]",
) -> AsyncFollower:
    """Return a follower that was started, once there is a fleet: at most `wait` seconds later.

    Raises ``SourceError`` where there is none by then; with a `wait` of 0 it returns at once. The
    other arguments are those of ``AsyncFollower``.
    """
    checked_wait(wait)
    follower = AsyncFollower(source, manager, options, **overrides)
    try:
        await follower.start()
        if wait and not await follower.wait(wait):
            raise no_fleet(follower.status, wait)
    except BaseException:
        await follower.close()
        raise
    return follower


class _FollowingManager(AsyncBaseShardManager):
    """A manager with a follower of its own, for one client, which closes both."""

    closes_with_client = True
    owns_follower = True

    def __init__(
        self,
        source: Source | str | Callable[[], Source],
        follow: FollowOptions,
        shard_func: ShardFunction | Callable[[Any, int], int],
        options: AsyncClientOptions,
    ) -> None:
        super().__init__(shard_func, options)
        self.follower: Final = AsyncFollower(source, self, follow)

    async def close(self) -> None:  # type: ignore[override]  # it has to wait
        try:
            await self.follower.close()
        finally:
            await super().close()


async def async_client(
    source: Source | str | Callable[[], Source],
    options: AsyncClientOptions = _CLIENT,
    *,
    follow: FollowOptions = DEFAULT,
    wait: float = 5.0,
    **overrides: "Unpack[AsyncClientOverrides]",
) -> AsyncClient:
    """Return a client of the servers that a source says, whichever they are at the time.

    The arguments are those of ``discovery.client``. It belongs to the running loop::

        async with await async_client("dns://cache.prod.svc:11211") as client:
            await client.set("key", b"value")
    """
    check_kind(options, AsyncClientOptions)
    check_kind(follow, FollowOptions)
    checked_wait(wait)
    chosen = replace(options, **overrides) if overrides else options
    manager = _FollowingManager(source, follow, chosen.shard_func, chosen)
    try:
        made = AsyncClient(manager, chosen)
        await manager.follower.start()
        if wait and not await manager.follower.wait(wait):
            raise no_fleet(manager.follower.status, wait)
    except BaseException:
        await manager.close()
        raise
    return made
