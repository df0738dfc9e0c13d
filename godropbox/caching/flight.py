"""Single-flight: if several threads want the same key at once, one loads it for all.

The first caller of a key is the leader and runs its load. Callers that come while it runs are
followers: they wait and share the outcome. Nothing is kept after the load; that is what caches are
for.

What is decided is written as calls (``_calls``), for threads and for asyncio's tasks; a subclass in
``aio`` says who a caller is there, and how it waits.

Compiled as it stands, with its types in ``flight.pxd``, or run as it is.
"""

import sys
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from typing import Any, Final

from .._forks import begin_again_in_child
from .._kernels._args import shown
from .._kernels._guarded import own_copy, refuse_unrun, refuse_unrun_values
from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from ._calls import Calls, raised, run
from .options import require_number
from .storage import MISSING

__all__ = ["Flight", "Lead", "SingleFlight"]

# The states of a load.
_FLYING: Final = 0
_LANDED: Final = 1
_FAILED: Final = 2
_ABANDONED: Final = 3


class Flight:
    """A load of one key: its leader, its state, and in the end its outcome.

    One without a leader goes to the next caller that wants the key. One that is abandoned has an
    heir, another flight for its followers.
    """

    __slots__ = ("done", "followers", "forgotten", "heir", "key", "leader", "outcome", "state")
    __reduce_ex__ = refuse_copies

    def __init__(self, key: Any, leader: Any) -> None:
        self.key = key
        self.leader = leader
        self.heir: Flight | None = None
        self.state: int = _FLYING
        self.outcome: Any = None  # the value, or the exception
        self.done: Any = None  # an event, as soon as there is a follower
        self.followers = 0
        self.forgotten = False  # whether the key was written since


class Lead:
    """The flights that one caller leads.

    However the caller ends, even by an exception in its clean-up, this object is freed, and flights
    that are not settled by then are abandoned.
    """

    __slots__ = ("_table", "flights", "leader")
    __reduce_ex__ = refuse_copies

    def __init__(self, table: "SingleFlight", leader: Any) -> None:
        self.flights: list[Flight] = []
        self.leader = leader
        self._table = table

    @property
    def keys(self) -> list[Any]:
        """The keys to load, in the order of the request."""
        return [flight.key for flight in self.flights]

    def forgotten(self) -> list[Any]:
        """Return the keys that were written since the flights began."""
        return [flight.key for flight in self.flights if flight.forgotten]

    def begin(self) -> list[Any]:
        """Lead the flights that were claimed; return the keys to load.

        Keys that were written since, or that another caller loads already, are left out.
        """
        me = self._table._me()
        with self._table._lock:
            mine = []
            for flight in self.flights:
                if flight.leader is None and not flight.forgotten:
                    flight.leader = me
                    mine.append(flight)
            self.flights = mine
            self.leader = me
        return self.keys

    def fly(self, load: Callable[["Lead"], Calls[Mapping[Any, Any]]]) -> Calls[Mapping[Any, Any]]:
        """Load the keys and settle the flights by the outcome; raises what `load` raises."""
        try:
            found = yield from self._table._led(load, self)
        except BaseException as error:
            # A failed batch says nothing about a single key.
            is_verdict = len(self.flights) == 1 and not self._table._is_cancellation(error)
            if not is_verdict:
                self._table._settle(self, _ABANDONED, None)
            elif self._table._close(self):
                # Followers copy this copy, without the notes and fields that `error` is given on
                # its way through the leader. No variable holds it: its traceback holds this frame.
                self._table._settle(self, _FAILED, own_copy(raised(error)))
            else:
                self._table._settle(self, _FAILED, None)
            raise
        self._table._settle(self, _LANDED, found)
        return found

    def drop(self) -> None:
        """Abandon the flights that are not settled."""
        self._table._settle(self, _ABANDONED, None)

    def __del__(self) -> None:
        # At its end the interpreter stops threads wherever they are: one may hold the lock.
        if self.flights and not sys.is_finalizing():
            self._table._settle(self, _ABANDONED, None)


class SingleFlight:
    """Runs one load of a key at a time, and shares its outcome with all callers meanwhile.

    What a follower gets depends on the leader:

    - It returned: the same value.
    - Its load of one key raised an ``Exception``: a copy of it (the same class, arguments,
      attributes and cause, with notes and fields of its own), or the exception itself if it cannot
      be copied. So a failing load runs once for all callers that came while it ran.
    - Its load of several keys raised: another load, of the follower's keys. A batch can fail
      because of a key that the follower does not want.
    - It was cancelled, by a ``BaseException`` other than an ``Exception`` (``KeyboardInterrupt``,
      ``SystemExit``, a greenlet's kill, ``gevent.Timeout``, asyncio's ``CancelledError``), by the
      ``CancelledError`` of ``concurrent.futures``, or by a class in `cancellations`: another load,
      led by one of the followers and followed by the others.
    - It vanished without an exception: the same, as soon as its frame is freed (on PyPy, by the
      next collection).
    - It does not end: the same after `patience` seconds, if given; otherwise followers wait.
    - It is the follower itself, or waits for the follower, directly or through others: another load
      at once, by the follower, since it would wait for itself.
    - It is in the parent of a fork: the child starts without flights.

    A load that returns a coroutine, another awaitable or a generator raises a ``TypeError``: it has
    not run, and the followers would share what can run only once.

    The leader gets what its load returns or raises. A follower that is cancelled leaves without any
    effect on the others. Threads may share one of these and, if gevent has patched ``threading``,
    greenlets; greenlets of an unpatched thread never wait.
    """

    __slots__ = (
        "__weakref__",
        "_cancellations",
        "_ended",
        "_flights",
        "_lock",
        "_patience",
        "_waits",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(
        self,
        *,
        patience: float | None = None,
        cancellations: tuple[type[BaseException], ...] = (),
    ) -> None:
        if patience is not None:
            require_number("patience", patience, "over 0 seconds or None")
            if not patience > 0:
                raise ValueError(f"patience must be over 0 seconds or None, got {shown(patience)}")
        # Longer than any wait can be is without limit.
        is_short = patience is not None and patience <= threading.TIMEOUT_MAX
        self._patience = patience if is_short else None
        self._cancellations = cancellations
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Start without flights: at first, and in the child of a fork, which has no leaders."""
        # Reentrant: a finalizer or a signal handler can run in any section.
        self._lock = threading.RLock()
        self._flights: dict[Any, Flight] = {}
        self._waits: dict[Any, Flight] = {}
        self._ended: int = 0

    # What depends on how callers wait

    def _me(self) -> Any:
        """Return what tells this caller from others that may wait for it."""
        return threading.get_ident()

    def _mine(self, me: Any) -> Container[Any]:
        """Return the callers that wait as long as `me` runs, itself included."""
        return (me,)

    def _event(self) -> Any:
        """Return an event that followers can wait for."""
        return threading.Event()

    def _wait_for(self, event: Any) -> Any:
        """Wait for an event; return whether it was set in time."""
        return event.wait(self._patience)

    def _led(
        self, load: Callable[[Lead], Calls[Mapping[Any, Any]]], lead: Lead
    ) -> Calls[Mapping[Any, Any]]:
        """Return the calls of a load."""
        return load(lead)

    # Using it

    def run(self, key: Any, load: Callable[[], Any]) -> Any:
        """Return what ``load()`` returns, or what the leader's load returned.

        If the leader's is a ``run_multi`` that did not find the key, it is ``MISSING``.
        """
        return run(self._run_calls(key, load))

    def _run_calls(self, key: Any, load: Callable[[], Any]) -> Calls[Any]:
        found = yield from self._fly([key], partial(_load_one, load))
        return found.get(key, MISSING)

    def run_multi(
        self, keys: Iterable[Any], load: Callable[[list[Any]], Mapping[Any, Any]]
    ) -> dict[Any, Any]:
        """Return the loaded values by key; ``load(some)`` loads those that nobody else loads.

        It loads them in one call, before the outcomes of other callers' loads are waited for.
        """
        return run(self._run_multi_calls(keys, load))

    def _run_multi_calls(
        self, keys: Iterable[Any], load: Callable[[list[Any]], Any]
    ) -> Calls[dict[Any, Any]]:
        return self._fly(list(dict.fromkeys(keys)), partial(_load_many, load))

    def forget(self, keys: Iterable[Any]) -> None:
        """Let no later caller of `keys` follow a load that began before."""
        with self._lock:
            for key in keys:
                flight = self._flights.pop(key, None)
                if flight is not None:
                    flight.forgotten = True

    def forget_all(self) -> None:
        """Forget every key."""
        self.forget(list(self._flights))

    def claim(self, keys: list[Any]) -> Lead:
        """Return a lead of those of `keys` that nobody loads, to begin later or never.

        Nobody waits for it before ``begin``: another caller of a key loads it itself.
        """
        lead = Lead(self, None)
        self._board(keys, lead, [])
        return lead

    def take_over(self, keys: list[Any]) -> Lead:
        """Return a lead of all of `keys` by this caller, which follows no load that began before.

        Those loads are forgotten: no later caller follows them.
        """
        lead = Lead(self, self._me())
        with self._lock:
            self.forget(keys)
            self._board(keys, lead, [])
        return lead

    @property
    def followers(self) -> int:
        """How many callers wait for another's load."""
        return len(self._waits)

    # The table

    def _fly(
        self, keys: list[Any], load: Callable[[Lead], Calls[Mapping[Any, Any]]]
    ) -> Calls[dict[Any, Any]]:
        found: dict[Any, Any] = {}
        passed: list[Flight] = []  # not to be waited for
        me = self._me()
        lead = Lead(self, me)
        others = self._board(keys, lead, passed)
        followed = list(others)  # and not yet passed, led or replaced by an heir
        try:
            while True:
                if lead.flights:
                    found.update((yield from lead.fly(load)))
                if not others:
                    return found
                lead = Lead(self, me)
                keys = []
                later: list[Flight] = []
                for flight in others:
                    if flight.state == _FLYING and (keys or lead.flights):
                        later.append(flight)  # load before waiting
                    elif not (yield from self._wait(flight, me)):
                        followed.remove(flight)
                        self._part([flight])
                        passed.append(flight)
                        keys.append(flight.key)
                    elif flight.state == _FAILED:
                        raise own_copy(flight.outcome)
                    elif flight.state == _ABANDONED:
                        heir = self._inherit(flight, lead)
                        followed.remove(flight)
                        if heir is not None:
                            followed.append(heir)
                            later.append(heir)
                    elif flight.outcome is not MISSING:
                        found[flight.key] = flight.outcome
                joined = self._board(keys, lead, passed)
                followed += joined
                others = later + joined
        except BaseException:
            lead.drop()  # now, since the error's traceback keeps this frame and the lead alive
            self._part(followed)
            raise

    def _board(self, keys: list[Any], lead: Lead, passed: list[Any]) -> list[Flight]:
        """Add to `lead` the flights of `keys` without a leader; return the others."""
        others: list[Flight] = []
        with self._lock:
            for key in keys:
                flight = self._flights.get(key)
                if flight is None or flight in passed:
                    if flight is not None:
                        flight.forgotten = True  # a later write could no longer mark it
                    flight = Flight(key, lead.leader)
                    self._flights[key] = flight
                    lead.flights.append(flight)
                elif lead.leader is not None:
                    self._join(flight, lead, others)
        return others

    def _join(self, flight: Flight, lead: Lead, others: list[Any]) -> None:
        """Lead a flight that has no leader, or follow it."""
        if flight.leader is None and flight.state == _FLYING:
            flight.leader = lead.leader
            lead.flights.append(flight)
        else:
            if flight.done is None:
                flight.done = self._event()
            flight.followers += 1
            others.append(flight)

    def _part(self, followed: list[Any]) -> None:
        """Follow flights and their heirs no more; drop the heirs that nobody will lead."""
        with self._lock:
            for flight in followed:
                left: Flight | None = flight
                while left is not None:
                    left.followers -= 1
                    is_there = self._flights.get(left.key) is left
                    if is_there and left.leader is None and not left.followers:
                        del self._flights[left.key]
                    left = left.heir

    def _inherit(self, flight: Flight, lead: Lead) -> Flight | None:
        """Lead the heir of an abandoned flight, or return it if it has, or had, a leader."""
        with self._lock:
            heir = flight.heir
            assert heir is not None  # it had followers
            if heir.leader is None:
                heir.leader = lead.leader
                heir.followers -= 1
                lead.flights.append(heir)
                heir = None
        return heir

    def _wait(self, flight: Flight, me: Any) -> Calls[bool]:
        """Wait for a flight to end; return False if it would never end, or did not in time."""
        will_end = self._begin_wait(flight, me)
        if will_end is not None:
            return will_end
        try:
            ended: bool = yield self._wait_for, (flight.done,)
        finally:
            with self._lock:
                self._waits.pop(me, None)
        return ended

    def _begin_wait(self, flight: Flight, me: Any) -> bool | None:
        """Note that `me` waits; return whether the flight has ended, None if it may yet."""
        with self._lock:
            if flight.state != _FLYING:
                return True
            if self._waits_for(flight, self._mine(me)):
                return False
            self._waits[me] = flight
        return None

    def _waits_for(self, flight: Flight, mine: Container[Any]) -> bool:
        """Return whether the leader of `flight` is one of `mine`, or waits for one indirectly."""
        there: Flight | None = flight
        seen = 0
        while there is not None and there.state == _FLYING and seen <= len(self._waits):
            if there.leader in mine:
                return True
            there = self._waits.get(there.leader)
            seen += 1
        return False

    def _is_cancellation(self, error: Any) -> bool:
        kind = type(error)  # isinstance() would run the error's own code, which may raise
        if not issubclass(kind, Exception) or issubclass(kind, self._cancellations):
            return True
        from concurrent.futures import CancelledError  # imported late, as it is slow

        return issubclass(kind, CancelledError)

    def _close(self, lead: Lead) -> bool:
        """Close the flights of a lead to new followers; return whether there are any."""
        is_followed = False
        with self._lock:
            for flight in lead.flights:
                if self._flights.get(flight.key) is flight:
                    del self._flights[flight.key]
                if flight.followers:
                    is_followed = True
        return is_followed

    def _settle(self, lead: Lead, state: Any, outcome: Any) -> None:
        """Record the outcome of those flights of a lead that are not settled."""
        with self._lock:
            for flight in lead.flights:
                if flight.state != _FLYING or flight.leader != lead.leader:
                    continue
                flight.outcome = outcome.get(flight.key, MISSING) if state == _LANDED else outcome
                flight.state = state
                self._leave(flight)
            # An exception holds the frame that holds the lead: break the cycle.
            lead.flights = []

    def _leave(self, flight: Flight) -> None:
        """Remove a settled flight from the table, and wake its followers."""
        self._ended += 1
        is_there = self._flights.get(flight.key) is flight
        if is_there:
            del self._flights[flight.key]
        if not flight.followers:
            return
        if flight.state == _ABANDONED:
            # All followers are the heir's, since it may end before they wake.
            flight.heir = Flight(flight.key, None)
            flight.heir.followers = flight.followers
            flight.heir.done = self._event()
            flight.heir.forgotten = not is_there
            if is_there:
                self._flights[flight.key] = flight.heir
        flight.done.set()

    def __len__(self) -> int:
        return len(self._flights)

    def __repr__(self) -> str:
        return f"<SingleFlight: {len(self._flights)} flying, {self._ended} ended>"


def _load_one(load: Callable[[], Any], lead: Lead) -> Calls[dict[Any, Any]]:
    value = yield load, ()
    refuse_unrun("load", value)
    return dict.fromkeys(lead.keys, value)


def _load_many(load: Callable[[list[Any]], Any], lead: Lead) -> Calls[Mapping[Any, Any]]:
    found = yield load, (lead.keys,)
    refuse_unrun("load", found)
    if not hasattr(found, "items"):
        raise TypeError(f"load must return a mapping of keys, got {shown(found)}")
    refuse_unrun_values("load", found.values())
    loaded: Mapping[Any, Any] = found
    return loaded
