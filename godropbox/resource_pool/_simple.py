# cython: annotation_typing=True
"""The pool of handles to one location: opens, checks and closes as the ledger decides.

This file is compiled as it stands, with ``_simple.pxd`` to say the types, or runs as it is. All
that can block or run other people's code is here, outside every critical section.
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

__all__ = ["ManagedHandle", "SimpleResourcePool"]

# The innermost frames of a get that are this file's; what is compiled leaves none.
_OWN_FRAMES: Final = 2 if IMPLEMENTATION == "pure" else 0


class ManagedHandle(Slot):
    """A handle on loan from a pool, until it is released, discarded or detached, whichever first.

    As a context manager it gives itself, is released at the end, and is discarded if anything at
    all is raised in between, as its state is then unknown. Pools make these.
    """

    __slots__ = ("__weakref__", "_loan", "_pool")

    def _begin(self, pool: "SimpleResourcePool") -> None:
        """Be a pool's, and hold nothing yet: an ``__init__`` would take a third of a whole get."""
        self._entry = None
        self._may_open = False
        self._generation = pool._generation
        self._pool = pool
        self._loan: Loan | None = None

    @property
    def handle(self) -> Any:
        """The handle itself; raises ``InactiveHandleError`` when it is no longer on loan."""
        entry = self._entry
        if entry is None:
            raise InactiveHandleError(f"the handle to {self.location!r} went back to its pool")
        if self._generation != self._pool._generation:
            raise InactiveHandleError(
                f"the handle to {self.location!r} belongs to the process that forked this one"
            )
        return entry.raw

    @property
    def is_active(self) -> bool:
        """Whether it is on loan still."""
        return self._entry is not None and self._generation == self._pool._generation

    @property
    def location(self) -> Any:
        """What it is a handle to."""
        return self._pool._location

    @property
    def owner(self) -> "SimpleResourcePool":
        """The pool it goes back to."""
        return self._pool

    def release(self) -> None:
        """Give the handle back, to be lent again; once it is inactive, do nothing."""
        self._pool._put(self)

    def discard(self) -> None:
        """Have the handle closed, as it is of no more use; once it is inactive, do nothing."""
        self._pool._drop(self)

    def detach(self) -> Any:
        """Take the handle out of its pool, for the caller to close; None once it is inactive."""
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


# As an annotation that the compiler does not check, because ``_own`` does and names the argument.
Lent = ManagedHandle


class SimpleResourcePool(Ledger):
    """Lends handles to `location`, which is anything that ``options.open`` takes.

    Gets are served in the order in which they came: none overtakes one that waits. Threads may
    share it. In the child of a fork the pool is empty, and what it held is left to the parent.
    `group` and `reaper` are for the pools that are made of these.
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
        """Return a handle: an idle one, or a new one if there may be more.

        `timeout` is seconds to wait for one, None for ever, and by default what the options say;
        opening takes the time that it takes. Raises ``PoolExhaustedError`` or
        ``PoolTimeoutError`` if there is none to be had, ``LameDuckError``, and what opening
        raises: an error of this package as it is, another ``Exception`` as an ``OpenError``.
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
        """Return an idle handle, if one can be had with no wait, no check and no opening."""
        handle: ManagedHandle = ManagedHandle.__new__(ManagedHandle)
        return handle if self._lend_idle(handle) else None

    def _lend_idle(self, handle: ManagedHandle) -> bool:
        """Put an idle handle into one that holds nothing, if ``get_idle`` would return one."""
        handle._begin(self)
        if not self._take_idle(handle, self._clock() if self._timed else 0.0):
            return False
        if self._tracks:
            self._track(handle)
        return True

    def _get_in_turn(self, handle: ManagedHandle, seconds: float) -> None:
        """Wait for a turn, and put into `handle` what is then to be had, checked or opened."""
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
        """Wait for a turn; return whether it is to take the entry put there, or to open one.

        An entry that is in `handle` already was found unfit: it is closed.
        """
        unfit = handle._entry
        waiter = Waiter(handle)
        try:
            self._wake(self._join(waiter, seconds > 0))
            if unfit is not None:
                self._close(unfit.raw)
            if waiter.told == WAIT and seconds > 0:
                waiter.lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        except BaseException:
            self._quit(waiter)
            if handle._entry is not None:
                self._put(handle)
            else:
                self._drop(handle)
            raise
        told = self._quit(waiter)
        if told == WAIT:
            raise self._none_left(seconds)
        if told == LEAVE:
            raise LameDuckError(f"the pool of handles to {self._location!r} was retired")
        return told

    def _wake(self, waiter: Waiter | None) -> None:
        while waiter is not None:
            waiter.lock.release()
            waiter = waiter.next

    def _none_left(self, seconds: float) -> PoolExhaustedError:
        if self._active < self._max_active:
            cause = f"{self._opening} handles to {self._location!r} are being opened"
        else:
            cause = f"{self._active} handles to {self._location!r} are on loan"
        if seconds > 0:
            return PoolTimeoutError(f"{cause}, and no turn came within {seconds:g} s")
        return PoolExhaustedError(f"{cause}, which is as many as there may be")

    def _is_fit(self, handle: ManagedHandle) -> bool:
        """Tell whether the entry in `handle`, which was idle, may be lent: check it if it is time.

        One that may not stays there, for ``_admit`` to close.
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
        """Open a handle, with the leave to do so that `handle` has."""
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
            kind = type(error)  # isinstance() would ask the error itself, which may raise
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
        """Take a handle back, to be lent again; do nothing if it is inactive.

        Raises ``ForeignHandleError`` for another pool's.
        """
        self._put(self._own(handle))

    def discard(self, handle: Lent) -> None:
        """Close a handle, which then counts no more; do nothing if it is inactive."""
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
        """Take back the place of a handle that nobody has any more, and say so."""
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
        """Close the idle handles whose time is over; return how many those were."""
        if not self._timed or len(self._idle) == 0:
            return 0
        spare = self._take_stale(self._clock())
        self._close_all(spare)
        return len(spare)

    def _close_all(self, spare: Any) -> None:
        """Close all of these entries, though closing one of them is interrupted."""
        failure: BaseException | None = None
        for entry in spare:
            try:
                self._close(entry.raw)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool: close the idle handles now, and the others when they come back.

        Gets raise ``LameDuckError``, those that are waiting too.
        """
        granted, spare = self._retire()
        self._wake(granted)
        if self._group is None:
            self._reaper.stop()
        self._close_all(spare)

    def _forked(self) -> list[Any]:
        """Begin again, in the child of a fork; return what is to be called after all others did."""
        self._loans = {}
        return [partial(self._leave_to_parent, entry.raw) for entry in self._start_over()]

    def _abandon(self, handle: ManagedHandle) -> None:
        entry = handle._entry
        handle._entry = None
        if entry is not None:
            try:
                self._leave_to_parent(entry.raw)
            except Exception as error:
                log("abandoning", error)

    def _leave_to_parent(self, raw: Any) -> None:
        """Do to a handle of the parent's what the options say; else keep it, as it is, for good.

        To let it go would have it collected, and a finalizer could talk to the other side. So one
        is kept at which the user's function fails, too.
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

    # Telling

    @property
    def location(self) -> Any:
        """What the handles are to."""
        return self._location

    @property
    def options(self) -> PoolOptions:
        """What the pool was made with."""
        return self._options

    @property
    def group(self) -> object:
        """What the pool that is made of this one and others knows it by, or None."""
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
        """How many handles are kept for later."""
        return len(self._idle)

    def loans(self) -> list[Loan]:
        """Return who has what, the oldest first; nothing unless the options ask to ``track``."""
        return sorted(self._loans.copy().values(), key=lambda loan: loan.since)

    def stats(self) -> PoolStats:
        """Return what the pool holds and did."""
        counts = self._counts
        return PoolStats(
            active=self._active,
            idle=len(self._idle),
            opening=self._opening,
            waiting=len(self._waiters),
            high_water=self._high,
            gets=self._gets + counts[TAKEN],
            waits=self._waits,
            exhausted=self._exhausted,
            opens=self._opens,
            open_failures=self._open_failures,
            closes=counts[CLOSED],
            close_failures=counts[CLOSE_FAILED],
            expired=counts[EXPIRED],
            unhealthy=counts[UNHEALTHY],
            leaked=counts[LEAKED],
        )

    def __repr__(self) -> str:
        state = ", lame duck" if self._is_lame else ""
        return (
            f"<{type(self).__name__} of {self._location!r}: "
            f"{self._active} active, {len(self._idle)} idle{state}>"
        )
