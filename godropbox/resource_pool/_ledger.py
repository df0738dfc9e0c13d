"""The decisions of a pool, without I/O: which get takes what, which waits, what to close.

Compiled as it stands, with its types in ``_ledger.pxd``, or run as it is. Each critical section is
one step to every other thread. In a section nothing is called that runs Python code, waits, or
frees an object, and nothing at all is called between two changes that belong together: so it is
one step with an interpreter lock, without one, and, uncompiled, to a signal handler. Without one,
to drop a reference can make a thread wait, which gives up its section in the middle: so whatever
that must not part is done before a reference is dropped, and meanwhile `_active` is too high, if
anything, never too low.

Without an interpreter lock, where threads would wait for each other at the ends of the list, each
has a desk. A handle that is given back is parked there, where nobody waits and the desk is empty,
and its next get takes it from there; either is one step, without a section. A parked entry counts
as active, so that it has a right to be lent again. Others, that find too little idle, or wait, or
empty the pool, first take what is parked and make it idle.

Times are arguments. Work to be done, such as closing or waking, is returned.
"""

import math
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from ._options import PoolOptions, checked_timeout

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = [
    "CLOSED",
    "CLOSE_FAILED",
    "EXPIRED",
    "LEAKED",
    "LEAVE",
    "OPEN",
    "TAKE",
    "TAKEN",
    "UNHEALTHY",
    "WAIT",
    "Desk",
    "Entry",
    "Ledger",
    "Slot",
    "Waiter",
]

# The decisions on a waiter.
WAIT: Final = 0
TAKE: Final = 1
OPEN: Final = 2
LEAVE: Final = 3

# The indices of ``_counts``.
TAKEN: Final = 0
CLOSED: Final = 1
CLOSE_FAILED: Final = 2
EXPIRED: Final = 3
UNHEALTHY: Final = 4
LEAKED: Final = 5


class Entry:
    """An open handle: until `fresh` it may be lent unchecked, from `stale` on it is not lent.

    It is idle for too long from `stale` on, and too old from `expires` on. It is lent no more when
    the pool's epoch is no longer its own. Of two idle ones, that with the lower `turn` has been
    idle for longer; it is 0 until the first time.
    """

    __slots__ = ("epoch", "expires", "fresh", "raw", "stale", "turn")
    __reduce_ex__ = refuse_copies

    def __init__(self, raw: Any, expires: float) -> None:
        self.raw = raw
        self.expires = expires
        self.stale = expires
        self.fresh = expires
        self.epoch = 0
        self.turn = 0


class Slot:
    """One of the active: it holds an entry on loan, or the permission to open one.

    It is empty before and afterwards. `generation` tells the two sides of a fork apart, `epoch` is
    that in which it was permitted to open.
    """

    __slots__ = ("_entry", "_epoch", "_generation", "_may_open")
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(self, generation: int) -> None:
        self._entry: Entry | None = None
        self._may_open = False
        self._generation = generation
        self._epoch = 0


class Desk:
    """What a thread without an interpreter lock has of a pool: an entry, and how many it got here.

    Its handles hold this rather than the pool, so that threads count references apart.
    """

    __slots__ = ("gets", "parked", "pool")
    __reduce_ex__ = refuse_copies

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.parked: Entry | None = None
        self.gets = 0


class Waiter:
    """A get in the line: the decision on it, and the `signal` it waits for, a lock or a future."""

    __slots__ = ("decision", "next", "signal", "slot")
    __reduce_ex__ = refuse_copies

    def __init__(self, slot: Slot, signal: Any) -> None:
        self.slot = slot
        self.decision = WAIT
        self.next: Waiter | None = None
        self.signal = signal


class Ledger:
    """The counts, the idle entries (the one released last at the end), and the line of waiters."""

    __slots__ = (
        "_active",
        "_check_after",
        "_counts",
        "_desks",
        "_epoch",
        "_exhausted",
        "_generation",
        "_gets",
        "_high",
        "_idle",
        "_idle_time",
        "_is_lame",
        "_is_lifo",
        "_lock",
        "_max_active",
        "_max_idle",
        "_max_opens",
        "_may_park",
        "_open_failures",
        "_opening",
        "_opens",
        "_parks",
        "_timed",
        "_turns",
        "_waiters",
        "_waits",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(self, options: PoolOptions) -> None:
        most = sys.maxsize
        self._max_active = most if options.max_active is None else int(options.max_active)
        self._max_idle = most if options.max_idle is None else int(options.max_idle)
        self._max_opens = most if options.max_opens is None else int(options.max_opens)
        self._is_lifo = options.reuse == "lifo"
        self._idle_time = checked_timeout("max_idle_time", options.max_idle_time)
        self._check_after = math.inf if options.check is None else float(options.check_after)
        lifetime = checked_timeout("max_lifetime", options.max_lifetime)
        # Without any of these times the clock is not read.
        self._timed = self._idle_time < math.inf or lifetime < math.inf or options.check is not None
        # The time of what is parked is not looked at, nor is its place in a queue.
        self._may_park = (
            has_no_lock()
            and self._is_lifo
            and not self._timed
            and self._max_idle >= self._max_active
        )
        self._is_lame = False
        self._generation = 0
        self._epoch = 0
        self._high = 0
        self._turns = 0
        self._gets = self._waits = self._exhausted = 0
        self._opens = self._open_failures = 0
        self._counts = [0] * 6
        self._desks: list[Desk] = []
        self._clear()

    def _clear(self) -> None:
        # The critical section of the uncompiled form.
        self._lock: Any = threading.RLock()
        self._active = 0
        self._opening = 0
        self._idle: list[Entry] = []
        self._waiters: list[Waiter] = []
        self._see_whether_to_park()

    def _start_over(self) -> list[Entry]:
        """Forget everything, in the child of a fork; return the entries that were idle."""
        self._unpark_all()
        inherited = self._idle
        self._generation += 1
        self._clear()
        return inherited

    # Parking

    def _new_desk(self) -> Desk:
        """Return a new desk for the calling thread, or that of one it shares its place with."""
        new = Desk(self)
        with cython.critical_section(self):
            # What is parked at a desk that is not in the list would be lost.
            return placed_desk(self, new)

    def _see_whether_to_park(self) -> None:
        """Call it in each section that changes what it looks at."""
        self._parks = self._may_park and not self._is_lame and len(self._waiters) == 0

    def _park(self, slot: Slot) -> bool:
        """Leave a slot's entry at the desk of this thread, if it is empty and nobody waits.

        A place is reserved first, and only then is it looked whether an entry may be left there.
        Who forbids it says so first, and then clears the desks, of reservations too: without its
        own nothing is left. So what has been cleared away never comes back.
        """
        if not cython.compiled:
            return False
        desk = own_desk(self)
        with cython.critical_section(slot):
            if slot._entry is None or slot._generation != self._generation:
                return False
            if not reserve(desk, slot):
                return False
            if not self._parks or slot._entry.epoch != self._epoch:
                withdraw(desk, slot)
                return False
            slot._entry.turn = self._turns + 1
            return park(desk, slot)

    def _unpark_all(self) -> None:
        """Make idle what is parked. Call it in a section, before anything is decided in it."""
        for item in self._desks:
            desk = item
            entry = unpark(desk)
            if entry is not None:
                self._idle.append(entry)
                self._active -= 1

    def _num_parked(self) -> int:
        """Return how many entries are parked. Call it in a section."""
        count = 0
        for item in self._desks:
            desk = item
            if is_parked(desk):
                count += 1
        return count

    def _num_taken(self) -> int:
        """Return how many gets took what was parked. Call it in a section."""
        count = 0
        for item in self._desks:
            desk = item
            count += desk.gets
        return count

    # Taking

    def _take_idle(self, slot: Slot, now: float) -> bool:
        """Move the next idle entry into `slot`, if it needs neither a wait nor a check."""
        if self._may_park:
            desk = own_desk(self)
            if take_parked(desk, slot):
                count_get(desk)
                return True
        with cython.critical_section(self):
            if self._may_park and (len(self._idle) == 0 or self._active >= self._max_active):
                self._unpark_all()
            idle = self._idle
            count = len(idle)
            # This overtakes no waiter: one waits only while all slots are taken or nothing is idle,
            # because ``_serve`` runs in every section that frees a slot or adds an idle entry.
            if count == 0 or self._active >= self._max_active:
                return False
            position = count - 1 if self._is_lifo else 0
            entry = idle[position]
            if now >= entry.fresh:
                return False
            slot._entry = entry
            self._active += 1
            self._gets += 1
            if self._active > self._high:
                self._high = self._active
            del idle[position]  # last: see above
        return True

    def _join(self, waiter: Waiter, is_willing: bool) -> Waiter | None:
        """Put a waiter at the end of the line; return the waiters to wake.

        A waiter whose slot holds an entry has had its turn: it gives up that entry, which failed
        its check, and goes to the front. `is_willing` says whether it will wait.
        """
        with cython.critical_section(self):
            if waiter.slot._entry is not None:
                waiter.slot._entry = None  # not freed here: the caller holds it
                self._active -= 1
                self._waiters.insert(0, waiter)
            else:
                self._waiters.append(waiter)
            if self._may_park:
                self._parks = False  # first: who parks looks at it after reserving
                self._unpark_all()
            granted = self._serve()
            if is_willing and waiter.decision == WAIT:
                self._waits += 1
        return granted

    def _serve(self) -> Waiter | None:
        """Decide on the first waiters in the line; return them, chained, to wake.

        Call it in a critical section, after any change that a waiter could be waiting for.
        """
        first: Waiter | None = None
        last: Waiter | None = None
        while len(self._waiters) > 0:
            waiter = self._waiters[0]
            slot = waiter.slot
            count = len(self._idle)
            if self._is_lame:
                waiter.decision = LEAVE
            elif self._active >= self._max_active:
                break
            elif count > 0:
                position = count - 1 if self._is_lifo else 0
                slot._entry = self._idle[position]
                waiter.decision = TAKE
                self._active += 1
                del self._idle[position]
            elif self._opening < self._max_opens:
                slot._may_open = True
                slot._epoch = self._epoch
                waiter.decision = OPEN
                self._active += 1
                self._opening += 1
            else:
                break
            if self._active > self._high:
                self._high = self._active
            del self._waiters[0]  # not freed here: the chain or the caller holds it
            if last is None:
                first = waiter
            else:
                last.next = waiter
            last = waiter
        if self._may_park:
            self._see_whether_to_park()
        return first

    def _quit(self, waiter: Waiter) -> int:
        """Remove a waiter from the line, if it is still there; return the decision on it."""
        with cython.critical_section(self):
            if waiter.decision == WAIT:
                position = 0
                while position < len(self._waiters):
                    if self._waiters[position] is waiter:
                        del self._waiters[position]
                        self._exhausted += 1
                        self._see_whether_to_park()
                        break
                    position += 1
            return waiter.decision

    def _opened(self, slot: Slot, entry: Entry | None) -> Waiter | None:
        """End the opening that `slot` had permission for; return the waiters to wake.

        None for `entry` is a failure. If the pool was retired meanwhile, the slot stays empty.
        """
        with cython.critical_section(self):
            slot._may_open = False
            self._opening -= 1
            if entry is None:
                self._open_failures += 1
            else:
                self._opens += 1
            if entry is None or self._is_lame:
                self._active -= 1
            else:
                entry.epoch = slot._epoch
                slot._entry = entry
                self._gets += 1
            return self._serve()

    def _count(self, index: Any) -> None:
        """Add one to a count; `index` is one of the constants above."""
        with cython.critical_section(self):
            self._counts[index] += 1

    # Giving back

    def _give_back(self, slot: Slot, now: float) -> tuple[Waiter | None, Entry | None] | None:
        """Make a slot's entry idle; return the waiters to wake and the entry to close, if any."""
        granted: Waiter | None = None
        surplus: Entry | None = None
        if self._parks and self._park(slot):
            return None
        with cython.critical_section(self, slot):
            entry = slot._entry
            if entry is None or slot._generation != self._generation:
                return None
            slot._entry = None
            self._active -= 1
            if self._is_lame or entry.epoch != self._epoch:
                surplus = entry
            elif now >= entry.expires:
                surplus = entry
                self._counts[EXPIRED] += 1
            else:
                entry.stale = min(now + self._idle_time, entry.expires)
                entry.fresh = min(now + self._check_after, entry.stale)
                self._turns += 1
                entry.turn = self._turns
                if self._may_park:
                    older = unpark(own_desk(self))
                    if older is not None:  # of this thread, which gave it back before
                        self._idle.append(older)
                        self._active -= 1
                self._idle.append(entry)
            if len(self._waiters) > 0:
                granted = self._serve()
            if len(self._idle) > self._max_idle:
                surplus = self._idle[0]
                del self._idle[0]
        if granted is None and surplus is None:
            return None
        return granted, surplus

    def _vacate(self, slot: Slot) -> tuple[Waiter | None, Entry | None]:
        """Empty a slot; return the waiters to wake, and the entry that it held, if any."""
        granted: Waiter | None = None
        entry: Entry | None = None
        with cython.critical_section(self, slot):
            if slot._generation == self._generation:
                entry = slot._entry
                slot._entry = None
                if entry is not None or slot._may_open:
                    self._active -= 1
                if slot._may_open:
                    slot._may_open = False
                    self._opening -= 1
                granted = self._serve()
        return granted, entry

    # Keeping

    def _take_stale(self, now: float) -> list[Entry]:
        """Remove and return the idle entries whose time is over."""
        spare: list[Entry] = []
        with cython.critical_section(self):
            position = 0
            while position < len(self._idle):
                entry = self._idle[position]
                if now >= entry.stale:
                    spare.append(entry)
                    del self._idle[position]
                    self._counts[EXPIRED] += 1
                else:
                    position += 1
        return spare

    def _turn_of(self, slot: Slot) -> int:
        """Return the turn of the entry on loan in a slot, 0 if there is none."""
        with cython.critical_section(self, slot):
            entry = slot._entry
            if entry is None or slot._generation != self._generation:
                return 0
            return entry.turn

    def _take_older(self, turn: int) -> list[Entry]:
        """Remove and return the entries that have been idle since a turn, or for longer."""
        spare: list[Entry] = []
        with cython.critical_section(self):
            self._unpark_all()
            position = 0
            while position < len(self._idle):
                entry = self._idle[position]
                if entry.turn <= turn:
                    spare.append(entry)
                    del self._idle[position]
                else:
                    position += 1
        return spare

    def _evict(self) -> list[Entry]:
        """Begin an epoch: no entry that there is now will be idle again. Return those that are."""
        empty: list[Entry] = []
        with cython.critical_section(self):
            self._epoch += 1  # first: who parks looks at it after reserving
            self._unpark_all()
            spare = self._idle
            self._idle = empty
        return spare

    def _num_idle(self) -> int:
        """Return how many entries are idle. The list can be replaced outside of a section."""
        with cython.critical_section(self):
            return len(self._idle) + self._num_parked()

    def _num_active(self) -> int:
        """Return how many entries are on loan or being opened."""
        with cython.critical_section(self):
            return self._active - self._num_parked()

    def _retire(self) -> tuple[Waiter | None, list[Entry]]:
        """Stop lending; return the waiters to wake, and the idle entries."""
        empty: list[Entry] = []
        with cython.critical_section(self):
            self._is_lame = True
            self._parks = False  # first: who parks looks at it after reserving
            self._unpark_all()
            spare = self._idle
            self._idle = empty
            granted = self._serve()
        return granted, spare


if not cython.compiled:  # else ``_ledger.pxd`` has them in C

    def has_no_lock() -> bool:
        """Return whether threads have desks."""
        return False

    def own_desk(ledger: Ledger) -> Desk:
        """Return the desk of the calling thread."""
        raise NotImplementedError

    def placed_desk(ledger: Ledger, desk: Desk) -> Desk:
        """Return the desk at the place of the calling thread, `desk` if there was none. Call it in
        a section.
        """
        raise NotImplementedError

    def reserve(desk: Desk, slot: Slot) -> bool:
        """Reserve an empty desk for a slot's entry; return whether it was empty."""
        raise NotImplementedError

    def withdraw(desk: Desk, slot: Slot) -> None:
        """End the reservation, if it is still there."""
        raise NotImplementedError

    def park(desk: Desk, slot: Slot) -> bool:
        """Move a slot's entry to the desk, if the reservation is still there; return whether."""
        raise NotImplementedError

    def take_parked(desk: Desk, slot: Slot) -> bool:
        """Move what is parked at a desk to a slot, which is empty; return whether anything was."""
        raise NotImplementedError

    def unpark(desk: Desk) -> Entry | None:
        """Clear a desk; return what was parked there, if anything was."""
        raise NotImplementedError

    def is_parked(desk: Desk) -> bool:
        """Return whether an entry is parked at a desk."""
        raise NotImplementedError

    def count_get(desk: Desk) -> None:
        """Count a get from a desk."""
