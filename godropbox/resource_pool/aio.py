"""The pool of handles to one location, for the tasks of one event loop.

What is lent to whom is decided in ``_ledger``, how a loan ends in ``_pool``; here is what waits on
the loop. Nothing awaits between a decision and what follows from it, so that a task may be
cancelled anywhere. What must not be cut short, to open and to close, runs in tasks of the pool.
"""

import asyncio
import math
import weakref
from contextlib import AbstractAsyncContextManager
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, Final, Self

from .._kernels import IMPLEMENTATION
from .._kernels._identity import refuse_copies
from ..errors import UsageError
from ._ledger import CLOSE_FAILED, CLOSED, OPEN, TAKEN, UNHEALTHY, Entry, Waiter
from ._options import UNSET, LameDuckError, PoolOptions, Timeout, checked_timeout, log
from ._pool import FIT, UNCHECKED, ManagedHandle, ResourcePool

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["AsyncResourcePool"]

# How many of the innermost frames of a get belong to the pool; compiled code has no frames.
_OWN_FRAMES: Final = 3 if IMPLEMENTATION == "pure" else 2


class AsyncResourcePool(ResourcePool):
    """Lends handles to `location`, which is any argument that ``options.open`` takes, to tasks.

    The options, errors and counts are those of ``SimpleResourcePool``; ``open``, ``close`` and
    ``check`` may be async functions. Gets are served in their order. ``async with pool.handle()``
    lends a handle; ``await pool.get()`` returns the loan, whose ``release``, ``discard`` and
    ``detach`` do not wait: a handle that is to be closed is closed by a task of the pool.

    A get that is cancelled leaves nothing taken. An opening that its get no longer waits for goes
    on, within the limits, and what it opens is lent to the next get: `open` needs a timeout of its
    own, as drivers have.

    The pool may be made anywhere and belongs to the event loop that first uses it. Use it as a
    context manager, or call ``close`` at the end.
    """

    __slots__ = ("_closers", "_loop", "_tasks", "_timer")

    def __init__(self, options: PoolOptions, location: Any = "") -> None:
        self._begin_again()  # first: from then on a fork finds the pool
        super().__init__(options, location)

    def _begin_again(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self._closers: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def _forked(self) -> list[Any]:
        later = super()._forked()
        self._inherited.append((self._loop, self._tasks, self._timer))
        self._begin_again()
        return later

    # The loop

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; raise unless it is the pool's."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                raise UsageError(
                    f"the pool of handles to {self.location!r} belongs to another event loop:"
                    " make one for each loop"
                )
            self._loop = loop
        return loop

    def _is_elsewhere(self) -> bool:
        """Return whether this is not the thread of the pool's loop, or the loop does not run.

        The garbage collector may end a loan in any thread.
        """
        try:
            return asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True

    def _spawn(self, work: Any, then: "Callable[[asyncio.Future[Any]], None]") -> None:
        """Run an awaitable in a task of the pool, which ``close`` waits for; then call `then`."""
        assert self._loop is not None  # nothing is opened before a loop uses the pool
        task = asyncio.ensure_future(work, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(then)

    # Getting

    async def get(self, timeout: Timeout = UNSET) -> ManagedHandle:
        """Return an idle handle on loan, or open a new one if the limits allow.

        `timeout` is how many seconds to wait for a turn, None without limit; the default is that
        of the options. It does not limit opening. Raises what ``SimpleResourcePool.get`` raises,
        and ``UsageError`` on another event loop.
        """
        return await self._lend(timeout, _OWN_FRAMES)

    async def _lend(self, timeout: Timeout, own_frames: int) -> ManagedHandle:
        self._bind()
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        if not self._fill(handle):
            seconds = self.options.timeout if timeout is UNSET else timeout
            await self._get_in_turn(handle, checked_timeout("timeout", seconds))
        if self._tracks:
            self._track(handle, own_frames)
        return handle

    def get_idle(self) -> ManagedHandle | None:
        """Return an idle handle that needs no wait, no check and no opening, or None."""
        self._bind()
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        if not self._fill(handle):
            return None
        if self._tracks:
            self._track(handle, _OWN_FRAMES - 1)
        return handle

    def handle(self, timeout: Timeout = UNSET) -> AbstractAsyncContextManager[Any]:
        """Lend a handle itself for a block of ``async with``; release it at the end.

        It is discarded if anything is raised in the block, a cancellation included, since its state
        is then unknown. Entering raises what ``get`` raises.
        """
        return _Block(self, timeout)

    async def _get_in_turn(self, handle: ManagedHandle, seconds: float) -> None:
        """Wait for a turn, then fill `handle` with an idle entry that passes, or open one."""
        self.reap()
        clock = self.options.clock
        deadline = clock() + seconds
        while await self._admit(handle, seconds) != OPEN:
            if await self._is_fit(handle):
                self._count(TAKEN)
                return
            seconds = max(deadline - clock(), 0.0)
        await self._open(handle)

    async def _admit(self, handle: ManagedHandle, seconds: float) -> int:
        """Wait for a turn; return TAKE if `handle` was given an entry, OPEN if it may open one."""
        loop = self._bind()
        signal: asyncio.Future[None] = loop.create_future()
        waiter = Waiter(handle, signal)
        timer = None
        try:
            if self._line_up(waiter, seconds > 0):
                if seconds < math.inf:
                    timer = loop.call_later(seconds, _resolve, signal)
                await signal
        except BaseException:
            self._step_out(waiter, handle)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return self._turn(waiter, seconds)

    def _wake(self, waiter: Waiter | None) -> None:
        if waiter is None and not self._closers:
            return
        if not self._is_elsewhere():
            self._wake_here(waiter)
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_here, waiter)

    def _wake_here(self, waiter: Waiter | None) -> None:
        while waiter is not None:
            _resolve(waiter.signal)
            waiter = waiter.next
        if self.num_active == 0:
            for closer in self._closers:
                _resolve(closer)

    async def _is_fit(self, handle: ManagedHandle) -> bool:
        """Return whether the entry in `handle`, which was idle, may be lent; check it if due."""
        verdict = self._judge(handle)
        if verdict != UNCHECKED:
            return verdict == FIT
        check, entry = self.options.check, handle._entry
        assert check is not None
        assert entry is not None
        try:
            healthy = check(entry.raw)
            if isawaitable(healthy):
                healthy = await healthy
            if healthy:
                return True
        except Exception as error:
            log("checking", error)
        except BaseException:
            handle.discard()
            raise
        self._count(UNHEALTHY)
        return False

    async def _open(self, handle: ManagedHandle) -> None:
        """Open a handle, with the permission that `handle` holds."""
        opened: asyncio.Future[None] = self._bind().create_future()
        try:
            self._spawn(self._run_open(), partial(self._end_open, handle, opened))
            await opened
        except BaseException as error:
            if not opened.done():
                opened.cancel()  # so that what is opened goes to another get
            elif not opened.cancelled():
                failure = opened.exception()
                if failure is None:
                    handle.release()  # this task was cancelled in the turn in which it was opened
                elif failure is not error:
                    log("opening", failure)
                del failure
            raise
        finally:
            del opened  # an exception in it refers to this frame

    async def _run_open(self) -> Entry:
        raw = self.options.open(self.location)
        return self._new_entry(await raw if isawaitable(raw) else raw)

    def _end_open(
        self, handle: ManagedHandle, opened: "asyncio.Future[None]", task: "asyncio.Future[Entry]"
    ) -> None:
        """Give what was opened to the get that waits for `opened`, or else to the next one."""
        failure: BaseException | None = None
        error = _error_of(task)
        if error is not None:
            failure = self._not_opened(handle, error)
            if isinstance(failure, asyncio.CancelledError):
                # The get was not cancelled, and must not seem to be.
                failure = self._retired() if self.is_lame_duck else self._open_error(error)
            if failure is not error:
                failure.__cause__ = error
        else:
            try:
                self._keep_opened(handle, task.result())
                self._start_timer()
            except LameDuckError as lame:
                failure = lame
        if failure is None:
            if opened.done():
                handle.release()
            else:
                opened.set_result(None)
        elif not opened.done():
            opened.set_exception(failure)
        elif not self.is_lame_duck:
            log("opening", failure)
        del failure  # its traceback refers to this frame

    # Giving back

    def _close(self, raw: Any) -> None:
        if self._is_elsewhere() and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close_here, raw)
        else:
            self._close_here(raw)

    def _close_here(self, raw: Any) -> None:
        self._count(CLOSED)
        try:
            closing = self.options.close(raw)
            if isawaitable(closing):
                if self._loop is None or self._loop.is_closed():
                    if iscoroutine(closing):
                        closing.close()
                    raise RuntimeError("the event loop of the pool is closed")
                self._spawn(closing, self._end_close)
        except Exception as error:
            self._close_failed(error)

    def _end_close(self, task: "asyncio.Future[object]") -> None:
        error = _error_of(task)
        if error is not None:
            self._close_failed(error)

    def _close_failed(self, error: BaseException) -> None:
        self._count(CLOSE_FAILED)
        log("closing", error)

    # Keeping

    def _start_timer(self) -> None:
        """Look for idle handles to close after a while, as long as there are handles."""
        interval = self.options.reap_interval
        if interval and self._timer is None and self._loop is not None and not self.is_lame_duck:
            # It does not keep the pool alive.
            self._timer = self._loop.call_later(interval, _reap, weakref.ref(self))

    def _reap_in_time(self) -> None:
        self._timer = None
        try:
            self.reap()
        except Exception as error:
            log("reaping", error)
        if self.num_active or self.num_idle:
            self._start_timer()

    def _stop_reaping(self) -> None:
        if self._timer is not None and not self._is_elsewhere():
            self._timer.cancel()
            self._timer = None

    # Closing

    async def close(self, timeout: Timeout = 5.0) -> bool:
        """Retire the pool, wait for the loans to end, and close all handles.

        After `timeout` seconds, None for no limit, what still opens or closes is cancelled, and
        handles that are still on loan are left to be closed when they are given back. Returns
        whether there are none. Gets raise ``LameDuckError``, waiting ones included.
        """
        seconds = checked_timeout("timeout", timeout)
        loop = self._bind()
        self.enter_lame_duck_mode()
        try:
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                if self.num_active:
                    closer: asyncio.Future[None] = loop.create_future()
                    self._closers.append(closer)
                    try:
                        await closer
                    finally:
                        self._closers.remove(closer)
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            pass  # told by the result
        finally:
            left = list(self._tasks)
            for task in left:
                task.cancel()
        if left:
            await asyncio.wait(left)
        return self.num_active == 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        await self.close()


class _Block:
    """A block that borrows a handle."""

    __slots__ = ("_loan", "_pool", "_timeout")
    __reduce_ex__ = refuse_copies

    def __init__(self, pool: AsyncResourcePool, timeout: Timeout) -> None:
        self._pool = pool
        self._timeout = timeout

    async def __aenter__(self) -> Any:
        self._loan = await self._pool._lend(self._timeout, _OWN_FRAMES)
        return self._loan.handle

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        self._loan.__exit__(kind, error, traceback)


def _error_of(task: "asyncio.Future[Any]") -> BaseException | None:
    """Return what a task that is done raised, if it did."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _reap(reference: "weakref.ref[AsyncResourcePool]") -> None:
    pool = reference()
    if pool is not None:
        pool._reap_in_time()
