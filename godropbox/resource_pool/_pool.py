"""What a pool of one location is, however its gets wait: handles, how a loan ends, the state.

Compiled as it stands, with its types in ``_pool.pxd``, or run as it is. Nothing here waits. The
caller's functions run outside every critical section.
"""

import math
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from .._forks import begin_again_in_child
from .._kernels import lasting
from .._kernels._guarded import brief, text_of
from ..errors import DropboxError, capture_stack
from ._ledger import (
    EXPIRED,
    LEAKED,
    LEAVE,
    WAIT,
    Entry,
    Ledger,
    Slot,
    Waiter,
)
from ._options import (
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    Loan,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolStats,
    PoolTimeoutError,
    log,
)

if TYPE_CHECKING:
    from types import TracebackType

    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = ["FIT", "UNCHECKED", "UNFIT", "ManagedHandle", "ResourcePool"]

# Whether an idle entry may be lent.
FIT: Final = 0
UNFIT: Final = 1
UNCHECKED: Final = 2


class ManagedHandle(Slot):
    """A handle on loan from a pool, until it is released, discarded or detached.

    Use it as a context manager: it is released at the end, and discarded if anything is raised in
    the block, since its state is then unknown. Pools make these.

    Compiled, it holds the pool, or, where threads would wait for each other to count the references
    to the pool, its thread's desk, which does.
    """

    __slots__ = ("__weakref__", "_keeper", "_loan", "_of")

    def __init__(self, *_: object) -> None:
        raise TypeError("a ManagedHandle cannot be made: get() of a pool lends one")

    def _begin(self, pool: "ResourcePool") -> None:
        """Initialise an empty handle: an ``__init__`` would take a third of a whole get."""
        self._entry = None
        self._may_open = False
        self._generation = pool._generation
        self._epoch = 0
        lend(self, pool)
        self._loan: Loan | None = None

    def _held(self) -> Entry | None:
        """Return the entry, which another thread may be giving back."""
        if not cython.compiled:
            return self._entry  # which is one step
        with cython.critical_section(self):
            return self._entry

    @property
    def handle(self) -> Any:
        """The handle itself; raises ``InactiveHandleError`` if it is no longer on loan."""
        entry = self._held()
        if entry is None:
            raise InactiveHandleError(f"the handle to {self.location!r} was given back")
        if self._generation != pool_of(self)._generation:
            raise InactiveHandleError(
                f"the handle to {self.location!r} belongs to the process that forked this one"
            )
        return entry.raw

    @property
    def is_active(self) -> bool:
        """Whether it is on loan."""
        return self._held() is not None and self._generation == pool_of(self)._generation

    @property
    def location(self) -> Any:
        """The location of the handle."""
        return pool_of(self)._location

    @property
    def owner(self) -> "ResourcePool":
        """The pool that lent it."""
        return pool_of(self)

    def release(self) -> None:
        """Give the handle back, to be lent again; ignored if it is inactive."""
        self._put()

    def discard(self) -> None:
        """Close the handle; ignored if it is inactive."""
        self._drop()

    def detach(self) -> Any:
        """Return the handle and remove it from the pool; the caller closes it. None if inactive."""
        return pool_of(self)._detach(self)

    def _put(self) -> None:
        put_back(self)

    def _drop(self) -> None:
        pool_of(self)._drop(self)

    def _lose(self) -> None:
        pool_of(self)._lose(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        if kind is None:
            self._put()
        else:
            self._drop()

    def __del__(self) -> None:
        if self._entry is None and not self._may_open:
            return
        pool = pool_of(self)
        if not cython.compiled and sys.is_finalizing():
            # A thread that the interpreter stopped at its end keeps the lock for ever.
            if not pool._lock.acquire(blocking=False):
                return
            pool._lock.release()
        pool._leaked(self)

    def __repr__(self) -> str:
        state = "active" if self.is_active else "inactive"
        return f"<{type(self).__name__} of {self.location!r}: {state}>"


# An annotation that the compiler does not check: ``_own`` does, and names the argument.
Lent = ManagedHandle


class ResourcePool(Ledger):
    """The base of the pools of one location. A subclass waits, opens, checks, closes and wakes."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_group",
        "_inherited",
        "_loans",
        "_location",
        "_options",
        "_tracks",
    )

    def __init__(self, options: PoolOptions, location: Any = "", group: object = None) -> None:
        super().__init__(options)
        self._options = options
        self._location = location
        self._group = group
        self._clock = options.clock
        self._tracks = options.track
        self._loans: dict[int, Loan] = {}
        self._inherited: list[Any] = []
        begin_again_in_child(self)
        lasting.shared(self)

    # What a subclass does

    def _wake(self, waiter: Waiter | None) -> None:
        """Wake the chain of waiters that starts with `waiter`, if any."""
        raise NotImplementedError

    def _close(self, raw: Any) -> None:
        """Close a handle, or see to it that it is closed; count and log what that raises."""
        raise NotImplementedError

    def _stop_reaping(self) -> None:
        """Look for idle handles to close no more."""
        raise NotImplementedError

    # Getting

    def _fill(self, handle: ManagedHandle) -> bool:
        """Fill an empty handle with an idle entry that needs no wait, no check and no opening."""
        handle._begin(self)
        return self._take_idle(handle, self._clock() if self._timed else 0.0)

    def _line_up(self, waiter: Waiter, is_willing: bool) -> bool:
        """Put a waiter into the line; return whether it has to wait. It waits only if `is_willing`.

        An entry that its slot holds already failed its check: it is closed.
        """
        unfit = waiter.slot._entry
        self._wake(self._join(waiter, is_willing))
        if unfit is not None:
            self._close(unfit.raw)
        return is_willing and waiter.decision == WAIT

    def _step_out(self, waiter: Waiter, handle: ManagedHandle) -> None:
        """Take a waiter out of the line, whose wait was interrupted, and give back its turn."""
        self._quit(waiter)
        if handle._entry is not None:
            self._put(handle)
        else:
            self._drop(handle)

    def _turn(self, waiter: Waiter, seconds: float) -> int:
        """End the wait of `waiter`; return TAKE if it was given an entry, OPEN if it may open one.

        `seconds` is how long it was willing to wait. Raises if its turn did not come.
        """
        decision = self._quit(waiter)
        if decision == WAIT:
            raise self._none_left(seconds)
        if decision == LEAVE:
            raise self._retired()
        return decision

    def _judge(self, handle: ManagedHandle) -> int:
        """Return whether the entry in `handle`, which was idle, may be lent: FIT, UNFIT, UNCHECKED.

        An entry that may not stays there, for the next turn to close.
        """
        entry = handle._entry
        assert entry is not None  # the ledger put it there
        now = self._clock() if self._timed else 0.0
        if now >= entry.stale:
            self._count(EXPIRED)
            return UNFIT
        return FIT if self._options.check is None or now < entry.fresh else UNCHECKED

    def _new_entry(self, raw: Any) -> Entry:
        """Return the entry of a handle that was opened."""
        options = self._options
        entry = Entry(raw, math.inf)
        if options.max_lifetime is not None:
            early = options.lifetime_jitter * options.random()
            entry.expires = self._clock() + options.max_lifetime * (1 - early)
        entry.stale = entry.fresh = entry.expires
        return entry

    def _keep_opened(self, handle: ManagedHandle, entry: Entry) -> None:
        """End an opening that succeeded; raise if the pool was retired meanwhile."""
        self._wake(self._opened(handle, entry))
        if handle._entry is None:
            self._close(entry.raw)
            raise self._retired()

    def _not_opened(self, handle: ManagedHandle, error: BaseException) -> BaseException:
        """End an opening that failed; return the error to raise, which may be `error` itself."""
        self._wake(self._opened(handle, None))
        kind = type(error)  # isinstance() would run the error's own code, which may raise
        if issubclass(kind, DropboxError) or not issubclass(kind, Exception):
            return error
        return self._open_error(error)

    def _open_error(self, error: BaseException) -> OpenError:
        message = f"opening a handle to {brief(self._location)} failed: {text_of(error)}"
        return OpenError(message, cause=error)

    def _retired(self) -> LameDuckError:
        return LameDuckError(f"the pool of handles to {self._location!r} was retired")

    def _none_left(self, seconds: float) -> PoolExhaustedError:
        with cython.critical_section(self):
            active, opening = self._active - self._num_parked(), self._opening
        if active < self._max_active:
            cause = f"{opening} handles to {self._location!r} are being opened"
        else:
            cause = f"{active} handles to {self._location!r} are on loan"
        if seconds > 0:
            return PoolTimeoutError(f"{cause}, and none became free within {seconds:g} s")
        return PoolExhaustedError(f"{cause}, the most that the options allow")

    def _track(self, handle: ManagedHandle, own_frames: int) -> None:
        """Record the loan, without the innermost frames, which are the pool's own."""
        loan = Loan(self._location, self._clock(), capture_stack(own_frames))
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
        if pool_of(handle) is not self:
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

    def _lose(self, handle: ManagedHandle) -> None:
        """Close a handle that the network failed, and those that have been idle for as long.

        What forgot it while it was idle, such as a balancer, has forgotten those too.
        """
        turn = self._turn_of(handle)
        self._drop(handle)
        if turn > 0:
            self._close_all(self._take_older(turn))

    def _detach(self, handle: ManagedHandle) -> Any:
        granted, entry = self._vacate(handle)
        if self._tracks:
            self._loans.pop(id(handle), None)
        self._wake(granted)
        return None if entry is None else entry.raw

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

    def evict_all(self) -> None:
        """Close all handles: idle ones now, the others as they are given back. Gets open new ones.

        Handles on loan count towards ``max_active`` until then.
        """
        self._close_all(self._evict())

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool: close idle handles now, and the others as they are given back.

        Gets raise ``LameDuckError``, waiting ones included.
        """
        granted, spare = self._retire()
        self._wake(granted)
        self._stop_reaping()
        self._close_all(spare)

    def _forked(self) -> list[Any]:
        """Empty the pool, in the child of a fork; return functions to call once all others have."""
        self._loans = {}
        return [partial(self._leave_to_parent, entry.raw) for entry in self._start_over()]

    def _abandon(self, handle: ManagedHandle) -> None:
        with cython.critical_section(self, handle):
            if handle._generation == self._generation:
                return  # another thread is giving it back just now
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
        return self._num_active()

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
            parked = self._num_parked()
            active, opening, high = self._active - parked, self._opening, self._high
            idle, waiting = len(self._idle) + parked, len(self._waiters)
            taken_here = self._num_taken()
            gets, waits, exhausted = self._gets, self._waits, self._exhausted
            opens, open_failures = self._opens, self._open_failures
            taken, closes, close_failures, expired, unhealthy, leaked = self._counts
        return PoolStats(
            active=active,
            idle=idle,
            opening=opening,
            waiting=waiting,
            high_water=high,
            gets=gets + taken + taken_here,
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
            parked = self._num_parked()
            active, idle, is_lame = self._active - parked, len(self._idle) + parked, self._is_lame
        state = ", lame duck" if is_lame else ""
        return f"<{type(self).__name__} of {self._location!r}: {active} active, {idle} idle{state}>"


if not cython.compiled:  # else ``_pool.pxd`` has them in C

    def lend(handle: Any, pool: ResourcePool) -> None:
        """Let a handle be of a pool."""
        handle._of = pool

    def pool_of(handle: Any) -> ResourcePool:
        """Return the pool that lent a handle."""
        pool: ResourcePool = handle._of
        return pool

    def put_back(handle: Any) -> None:
        """Give a handle back to its pool; no reference to the pool is counted."""
        handle._of._put(handle)
