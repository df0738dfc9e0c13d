"""The pool of handles to one location: opens, checks and closes as the ledger decides.

Compiled as it stands, with its types in ``_simple.pxd``, or run as it is. Everything that can block
or run the caller's code is here, outside every critical section.
"""

import math
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from .._forks import begin_again_in_child
from .._kernels import IMPLEMENTATION
from .._kernels._guarded import brief, text_of
from ..errors import DropboxError, capture_stack
from ._ledger import (
    CLOSE_FAILED,
    CLOSED,
    EXPIRED,
    LEAKED,
    LEAVE,
    OPEN,
    TAKEN,
    UNHEALTHY,
    WAIT,
    Entry,
    Ledger,
    Slot,
    Waiter,
)
from ._options import (
    UNSET,
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    Loan,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolStats,
    PoolTimeoutError,
    Timeout,
    checked_timeout,
    log,
)
from ._reaper import Reaper

if TYPE_CHECKING:
    from types import TracebackType

    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = ["ManagedHandle", "SimpleResourcePool"]

# How many of the innermost frames of a get belong to this file; compiled code has no frames.
_OWN_FRAMES: Final = 2 if IMPLEMENTATION == "pure" else 0


class ManagedHandle(Slot):
    """A handle on loan from a pool, until it is released, discarded or detached.

    Use it as a context manager: it is released at the end, and discarded if anything is raised in
    the block, since its state is then unknown. Pools make these.
    """

    __slots__ = ("__weakref__", "_loan", "_pool")

    def _begin(self, pool: "SimpleResourcePool") -> None:
        """Initialise an empty handle: an ``__init__`` would take a third of a whole get."""
        self._entry = None
        self._may_open = False
        self._generation = pool._generation
        self._pool = pool
        self._loan: Loan | None = None

    def _held(self) -> Entry | None:
        """Return the entry, which another thread may be giving back."""
        if not cython.compiled:
            return self._entry  # which is one step
        with cython.critical_section(self._pool):
            return self._entry

    @property
    def handle(self) -> Any:
        """The handle itself; raises ``InactiveHandleError`` if it is no longer on loan."""
        entry = self._held()
        if entry is None:
            raise InactiveHandleError(f"the handle to {self.location!r} was given back")
        if self._generation != self._pool._generation:
            raise InactiveHandleError(
                f"the handle to {self.location!r} belongs to the process that forked this one"
            )
        return entry.raw

    @property
    def is_active(self) -> bool:
        """Whether it is on loan."""
        return self._held() is not None and self._generation == self._pool._generation

    @property
    def location(self) -> Any:
        """The location of the handle."""
        return self._pool._location

    @property
    def owner(self) -> "SimpleResourcePool":
        """The pool that lent it."""
        return self._pool

    def release(self) -> None:
        """Give the handle back, to be lent again; ignored if it is inactive."""
        self._pool._put(self)

    def discard(self) -> None:
        """Close the handle; ignored if it is inactive."""
        self._pool._drop(self)

    def detach(self) -> Any:
        """Return the handle and remove it from the pool; the caller closes it. None if inactive."""
        return self._pool._detach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        if kind is None:
            self._pool._put(self)
        else:
            self._pool._drop(self)

    def __del__(self) -> None:
        if self._entry is not None or self._may_open:
            self._pool._leaked(self)

    def __repr__(self) -> str:
        state = "active" if self.is_active else "inactive"
        return f"<{type(self).__name__} of {self.location!r}: {state}>"


# An annotation that the compiler does not check: ``_own`` does, and names the argument.
Lent = ManagedHandle


class SimpleResourcePool(Ledger):
    """Lends handles to `location`, which is any argument that ``options.open`` takes.

    Gets are served in their order: none overtakes one that waits. Threads may share the pool. In
    the child of a fork it is empty, and the handles are left to the parent. `group` and `reaper`
    are for pools that are made of these.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_group",
        "_inherited",
        "_loans",
        "_location",
        "_options",
        "_reaper",
        "_tracks",
    )

    def __init__(
        self,
        options: PoolOptions,
        location: Any = "",
        group: object = None,
        reaper: Reaper | None = None,
    ) -> None:
        super().__init__(options)
        self._options = options
        self._location = location
        self._group = group
        self._clock = options.clock
        self._tracks = options.track
        self._loans: dict[int, Loan] = {}
        self._inherited: list[Any] = []
        self._reaper = Reaper(self, options.reap_interval) if reaper is None else reaper
        begin_again_in_child(self)

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
            self._track(handle)
        return handle

    def get_idle(self) -> ManagedHandle | None:
        """Return an idle handle that needs no wait, no check and no opening, or None."""
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        return handle if self._lend_idle(handle) else None

    def _lend_idle(self, handle: ManagedHandle) -> bool:
        """Fill an empty handle with what ``get_idle`` would return; return whether it did."""
        handle._begin(self)
        if not self._take_idle(handle, self._clock() if self._timed else 0.0):
            return False
        if self._tracks:
            self._track(handle)
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
        """Wait for a turn; return TAKE if `handle` was given an entry, OPEN if it may open one.

        An entry that `handle` holds already failed its check: it is closed.
        """
        unfit = handle._entry
        waiter = Waiter(handle)
        try:
            self._wake(self._join(waiter, seconds > 0))
            if unfit is not None:
                self._close(unfit.raw)
            if waiter.decision == WAIT and seconds > 0:
                waiter.lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        except BaseException:
            self._quit(waiter)
            if handle._entry is not None:
                self._put(handle)
            else:
                self._drop(handle)
            raise
        decision = self._quit(waiter)
        if decision == WAIT:
            raise self._none_left(seconds)
        if decision == LEAVE:
            raise LameDuckError(f"the pool of handles to {self._location!r} was retired")
        return decision

    def _wake(self, waiter: Waiter | None) -> None:
        while waiter is not None:
            waiter.lock.release()
            waiter = waiter.next

    def _none_left(self, seconds: float) -> PoolExhaustedError:
        with cython.critical_section(self):
            active, opening = self._active, self._opening
        if active < self._max_active:
            cause = f"{opening} handles to {self._location!r} are being opened"
        else:
            cause = f"{active} handles to {self._location!r} are on loan"
        if seconds > 0:
            return PoolTimeoutError(f"{cause}, and none became free within {seconds:g} s")
        return PoolExhaustedError(f"{cause}, the most that the options allow")

    def _is_fit(self, handle: ManagedHandle) -> bool:
        """Return whether the entry in `handle`, which was idle, may be lent; check it if due.

        An entry that fails stays there, for ``_admit`` to close.
        """
        entry = handle._entry
        assert entry is not None  # the ledger put it there
        now = self._clock() if self._timed else 0.0
        if now >= entry.stale:
            self._count(EXPIRED)
            return False
        check = self._options.check
        if check is None or now < entry.fresh:
            return True
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
        options = self._options
        entry: Entry | None = None
        try:
            raw = options.open(self._location)
            entry = Entry(raw, math.inf)
            if options.max_lifetime is not None:
                early = options.lifetime_jitter * options.random()
                entry.expires = self._clock() + options.max_lifetime * (1 - early)
            entry.stale = entry.fresh = entry.expires
        except BaseException as error:
            self._wake(self._opened(handle, None))
            kind = type(error)  # isinstance() would run the error's own code, which may raise
            if issubclass(kind, DropboxError) or not issubclass(kind, Exception):
                raise
            message = f"opening a handle to {brief(self._location)} failed: {text_of(error)}"
            raise OpenError(message, cause=error) from error
        self._wake(self._opened(handle, entry))
        if handle._entry is None:
            self._close(raw)
            raise LameDuckError(f"the pool of handles to {self._location!r} was retired")

    def _track(self, handle: ManagedHandle) -> None:
        loan = Loan(self._location, self._clock(), capture_stack(_OWN_FRAMES))
        handle._loan = loan
        self._loans[id(handle)] = loan

    # Giving back

    def release(self, handle: Lent) -> None:
        """Take a handle back, to be lent again; ignored if it is inactive.

        Raises ``ForeignHandleError`` for a handle of another pool.
        """
        self._put(self._own(handle))

    def discard(self, handle: Lent) -> None:
        """Close a handle instead of keeping it; ignored if it is inactive."""
        self._drop(self._own(handle))

    def _own(self, given: Any) -> ManagedHandle:
        if not isinstance(given, ManagedHandle):
            raise TypeError(f"handle must be a ManagedHandle, got {type(given).__name__}")
        handle = given
        if handle._pool is not self:
            raise ForeignHandleError(f"{handle!r} belongs to another pool")
        return handle

    def _put(self, handle: ManagedHandle) -> None:
        todo = self._give_back(handle, self._clock() if self._timed else 0.0)
        if self._tracks:
            self._loans.pop(id(handle), None)
        if todo is not None:
            granted, surplus = todo
            self._wake(granted)
            if surplus is not None:
                self._close(surplus.raw)
        elif handle._entry is not None:
            self._abandon(handle)

    def _drop(self, handle: ManagedHandle) -> None:
        granted, entry = self._vacate(handle)
        if self._tracks:
            self._loans.pop(id(handle), None)
        self._wake(granted)
        if entry is not None:
            self._close(entry.raw)
        elif handle._entry is not None:
            self._abandon(handle)

    def _detach(self, handle: ManagedHandle) -> Any:
        granted, entry = self._vacate(handle)
        if self._tracks:
            self._loans.pop(id(handle), None)
        self._wake(granted)
        return None if entry is None else entry.raw

    def _close(self, raw: Any) -> None:
        self._count(CLOSED)
        try:
            self._options.close(raw)
        except Exception as error:
            self._count(CLOSE_FAILED)
            log("closing", error)

    def _leaked(self, handle: ManagedHandle) -> None:
        """Close a handle that was garbage-collected on loan, and warn."""
        is_ours = handle._generation == self._generation and handle._entry is not None
        loan = handle._loan
        self._drop(handle)
        if is_ours:
            self._count(LEAKED)
            who = "" if loan is None else f", {loan}"
            message = f"a handle to {self._location!r} was never given back{who}"
            warnings.warn(message, ResourceWarning, source=handle, stacklevel=2)

    # Keeping

    def reap(self) -> int:
        """Close the idle handles whose time is over; return how many."""
        if not self._timed or self._num_idle() == 0:
            return 0
        spare = self._take_stale(self._clock())
        self._close_all(spare)
        return len(spare)

    def _close_all(self, spare: Any) -> None:
        """Close all of these entries, even if closing one of them is interrupted."""
        failure: BaseException | None = None
        for entry in spare:
            try:
                self._close(entry.raw)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool: close idle handles now, and the others as they are given back.

        Gets raise ``LameDuckError``, waiting ones included.
        """
        granted, spare = self._retire()
        self._wake(granted)
        if self._group is None:
            self._reaper.stop()
        self._close_all(spare)

    def _forked(self) -> list[Any]:
        """Empty the pool, in the child of a fork; return functions to call once all others have."""
        self._loans = {}
        return [partial(self._leave_to_parent, entry.raw) for entry in self._start_over()]

    def _abandon(self, handle: ManagedHandle) -> None:
        with cython.critical_section(self):
            entry = handle._entry
            handle._entry = None  # not freed here: the variable holds it
        if entry is not None:
            try:
                self._leave_to_parent(entry.raw)
            except Exception as error:
                log("abandoning", error)

    def _leave_to_parent(self, raw: Any) -> None:
        """Abandon a handle of the parent as the options say; without that keep it for good.

        A handle that was freed could be finalised, and its finalizer talk to the other side. So it
        is kept, too, if the caller's function fails.
        """
        abandon = self._options.abandon
        if abandon is None:
            self._inherited.append(raw)
            return
        try:
            abandon(raw)
        except BaseException:
            self._inherited.append(raw)
            raise

    # State

    @property
    def location(self) -> Any:
        """The location of the handles."""
        return self._location

    @property
    def options(self) -> PoolOptions:
        """The options."""
        return self._options

    @property
    def group(self) -> object:
        """The token of the pool that this one is a part of, or None."""
        return self._group

    @property
    def is_lame_duck(self) -> bool:
        """Whether the pool was retired."""
        return self._is_lame

    @property
    def num_active(self) -> int:
        """How many handles are on loan or being opened."""
        return self._active

    @property
    def num_idle(self) -> int:
        """How many handles are idle."""
        return self._num_idle()

    def loans(self) -> list[Loan]:
        """Return the handles on loan, the oldest first; empty without the option ``track``."""
        return sorted(self._loans.copy().values(), key=lambda loan: loan.since)

    def stats(self) -> PoolStats:
        """Return the pool's state and counts, as of one moment."""
        with cython.critical_section(self):
            active, opening, high = self._active, self._opening, self._high
            idle, waiting = len(self._idle), len(self._waiters)
            gets, waits, exhausted = self._gets, self._waits, self._exhausted
            opens, open_failures = self._opens, self._open_failures
            taken, closes, close_failures, expired, unhealthy, leaked = self._counts
        return PoolStats(
            active=active,
            idle=idle,
            opening=opening,
            waiting=waiting,
            high_water=high,
            gets=gets + taken,
            waits=waits,
            exhausted=exhausted,
            opens=opens,
            open_failures=open_failures,
            closes=closes,
            close_failures=close_failures,
            expired=expired,
            unhealthy=unhealthy,
            leaked=leaked,
        )

    def __repr__(self) -> str:
        with cython.critical_section(self):
            active, idle, is_lame = self._active, len(self._idle), self._is_lame
        state = ", lame duck" if is_lame else ""
        return f"<{type(self).__name__} of {self._location!r}: {active} active, {idle} idle{state}>"
