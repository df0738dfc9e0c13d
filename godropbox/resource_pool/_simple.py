"""The pool of handles to one location for threads: waits, opens, checks and closes by blocking.

Compiled as it stands, with its types in ``_simple.pxd``, or run as it is. Everything that can block
is here, outside every critical section.
"""

import threading
from typing import Any, Final

from .._kernels import IMPLEMENTATION
from ._ledger import (
    CLOSE_FAILED,
    CLOSED,
    OPEN,
    TAKEN,
    UNHEALTHY,
    Waiter,
)
from ._options import UNSET, PoolOptions, Timeout, checked_timeout, log
from ._pool import FIT, UNCHECKED, ManagedHandle, ResourcePool
from ._reaper import Reaper

__all__ = ["SimpleResourcePool"]

# How many of the innermost frames of a get belong to the pool; compiled code has no frames.
_OWN_FRAMES: Final = 2 if IMPLEMENTATION == "pure" else 0


class SimpleResourcePool(ResourcePool):
    """Lends handles to `location`, which is any argument that ``options.open`` takes.

    Gets are served in their order: none overtakes one that waits. Threads may share the pool. In
    the child of a fork it is empty, and the handles are left to the parent. `group` and `reaper`
    are for pools that are made of these.
    """

    __slots__ = ("_reaper",)

    def __init__(
        self,
        options: PoolOptions,
        location: Any = "",
        group: object = None,
        reaper: Reaper | None = None,
    ) -> None:
        super().__init__(options, location, group)
        self._reaper = Reaper(self, options.reap_interval) if reaper is None else reaper

    # Getting

    def get(self, timeout: Timeout = UNSET) -> ManagedHandle:
        """Return an idle handle, or open a new one if the limits allow.

        `timeout` is how many seconds to wait for a turn, None without limit; the default is that
        of the options. It does not limit opening. Raises ``PoolExhaustedError`` or
        ``PoolTimeoutError`` if no handle is free, ``LameDuckError`` if the pool was retired, and
        what opening raises: an error of this package as it is, another ``Exception`` as the cause
        of an ``OpenError``.
        """
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        handle._begin(self)
        if not self._take_idle(handle, self._clock() if self._timed else 0.0):
            seconds = self._options.timeout if timeout is UNSET else timeout
            self._get_in_turn(handle, checked_timeout("timeout", seconds))
        if self._tracks:
            self._track(handle, _OWN_FRAMES)
        return handle

    def get_idle(self) -> ManagedHandle | None:
        """Return an idle handle that needs no wait, no check and no opening, or None."""
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        return handle if self._lend_idle(handle) else None

    def _lend_idle(self, handle: ManagedHandle) -> bool:
        """Fill an empty handle with what ``get_idle`` would return; return whether it did."""
        if not self._fill(handle):
            return False
        if self._tracks:
            self._track(handle, _OWN_FRAMES)
        return True

    def _get_in_turn(self, handle: ManagedHandle, seconds: float) -> None:
        """Wait for a turn, then fill `handle` with an idle entry that passes, or open one."""
        self.reap()
        deadline = self._clock() + seconds
        while self._admit(handle, seconds) != OPEN:
            if self._is_fit(handle):
                self._count(TAKEN)
                return
            seconds = max(deadline - self._clock(), 0.0)
        self._open(handle)
        self._reaper.start()

    def _admit(self, handle: ManagedHandle, seconds: float) -> int:
        """Wait for a turn; return TAKE if `handle` was given an entry, OPEN if it may open one."""
        # Acquired before another thread sees it, and released to wake the waiter.
        lock = threading.Lock()
        lock.acquire()
        waiter = Waiter(handle, lock)
        try:
            if self._line_up(waiter, seconds > 0):
                lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        except BaseException:
            self._step_out(waiter, handle)
            raise
        return self._turn(waiter, seconds)

    def _wake(self, waiter: Waiter | None) -> None:
        while waiter is not None:
            waiter.signal.release()
            waiter = waiter.next

    def _is_fit(self, handle: ManagedHandle) -> bool:
        """Return whether the entry in `handle`, which was idle, may be lent; check it if due."""
        verdict = self._judge(handle)
        if verdict != UNCHECKED:
            return verdict == FIT
        check, entry = self._options.check, handle._entry
        assert check is not None
        assert entry is not None
        try:
            if check(entry.raw):
                return True
        except Exception as error:
            log("checking", error)
        except BaseException:
            self._drop(handle)
            raise
        self._count(UNHEALTHY)
        return False

    def _open(self, handle: ManagedHandle) -> None:
        """Open a handle, with the permission that `handle` holds."""
        try:
            entry = self._new_entry(self._options.open(self._location))
        except BaseException as error:
            failure = self._not_opened(handle, error)
            if failure is error:
                raise
            raise failure from error
        self._keep_opened(handle, entry)

    def _close(self, raw: Any) -> None:
        self._count(CLOSED)
        try:
            self._options.close(raw)
        except Exception as error:
            self._count(CLOSE_FAILED)
            log("closing", error)

    def _stop_reaping(self) -> None:
        if self._group is None:
            self._reaper.stop()
