# cython: annotation_typing=True
"""Single-flight: of the threads that want the same thing at once, one gets it for all of them.

The first to ask for a key leads: it runs its load. Those who ask while it runs follow: they wait
and share what comes of it. Nothing is kept once a load is over; that is what caches are for.

This file is compiled as it stands, with ``flight.pxd`` to say the types, or runs as it is.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .._forks import begin_again_in_child
from .._kernels._args import shown
from .._kernels._guarded import own_copy, refuse_unrun, refuse_unrun_values
from .._kernels._identity import refuse_copies
from .options import require_number
from .storage import MISSING

__all__ = ["Flight", "Lead", "SingleFlight"]

# What became of a load.
_FLYING: Final = 0
_LANDED: Final = 1
_FAILED: Final = 2
_ABANDONED: Final = 3

# Under another name, since the compiler tests and converts a plain float before we see it.
_Float = float


class Flight:
    """A load of one key: who leads it, and in the end what came of it.

    One that nobody leads yet is for the next who wants it. What is abandoned has an heir, for
    those who waited.
    """

    __slots__ = ("done", "forgotten", "heir", "key", "leader", "outcome", "state")
    __reduce_ex__ = refuse_copies

    def __init__(self, key: Any, leader: int | None) -> None:
        self.key = key
        self.leader = leader
        self.heir: Flight | None = None
        self.state: int = _FLYING
        self.outcome: Any = None  # the value, or the exception
        self.done: Any = None  # an event, once there is a follower
        self.forgotten = False  # whether the key was written since


class Lead:
    """The flights that one caller leads; when it goes away, so do they.

    However the caller comes to its end, an exception in the very code that cleans up included,
    this object is freed, and flights that are not settled by then are abandoned.
    """

    __slots__ = ("_table", "flights", "leader")
    __reduce_ex__ = refuse_copies

    def __init__(self, table: "SingleFlight", leader: int | None) -> None:
        self.flights: list[Flight] = []
        self.leader = leader
        self._table = table

    @property
    def keys(self) -> list[Any]:
        """The keys to load, in the order in which they were asked for."""
        return [flight.key for flight in self.flights]

    def forgotten(self) -> list[Any]:
        """Return those of the keys that were written since the flights began."""
        return [flight.key for flight in self.flights if flight.forgotten]

    def begin(self) -> list[Any]:
        """Take up flights that were claimed; return the keys that are still to be loaded.

        Those that were written since, or are being loaded by another who wanted them sooner, are
        left out.
        """
        me = threading.get_ident()
        with self._table._lock:
            mine = []
            for flight in self.flights:
                if flight.leader is None and not flight.forgotten:
                    flight.leader = me
                    mine.append(flight)
            self.flights = mine
            self.leader = me
        return self.keys

    def fly(self, load: Callable[["Lead"], Mapping[Any, Any]]) -> Mapping[Any, Any]:
        """Load the keys, and settle the flights by what comes of it; raises what `load` raises."""
        try:
            found = load(self)
        except BaseException as error:
            # A batch that fails says nothing about any one of its keys.
            is_verdict = len(self.flights) == 1 and not self._table._is_cancellation(error)
            if not is_verdict:
                self._table._settle(self, _ABANDONED, None)
            elif self._table._close(self):
                # Followers copy a copy: where `error` goes from here, it is given notes and fields
                # that are the leader's. No variable holds it, as its traceback holds this frame.
                self._table._settle(self, _FAILED, own_copy(error))
            else:
                self._table._settle(self, _FAILED, None)
            raise
        self._table._settle(self, _LANDED, found)
        return found

    def drop(self) -> None:
        """Give up the flights that are not settled, for whoever wants them."""
        self._table._settle(self, _ABANDONED, None)

    def __del__(self) -> None:
        self._table._settle(self, _ABANDONED, None)


class SingleFlight:
    """Runs one load for a key at a time, and gives its outcome to everyone who asked meanwhile.

    What a follower gets, by what became of the leader:

    - It returned: the same value.
    - Its load of one key raised an ``Exception``: a copy of that (the same class, arguments,
      attributes and cause, with notes and fields of its own), or the exception itself where it
      cannot be copied. So a load that fails is run once for all who asked while it ran.
    - Its load of several keys raised: another load, of what the follower asked for. A batch can
      fail for the sake of a key that the follower does not want.
    - It was cancelled: a ``BaseException`` that is no ``Exception`` (``KeyboardInterrupt``,
      ``SystemExit``, a greenlet's kill, ``gevent.Timeout``, asyncio's ``CancelledError``), the
      ``CancelledError`` of ``concurrent.futures``, or one of the classes in `cancellations`:
      another load, led by one of the followers and followed by the others.
    - It ended in some other way, without a word: the same, as soon as its frame is gone.
    - It does not end: the same after `patience` seconds, if given; without, followers wait.
    - It is the follower itself, or waits for the follower, at however many removes: another load
      at once, by the follower, since waiting would be for ever.
    - It is in the process that forked this one: no flight is known in the child.

    A load that returns a coroutine, another awaitable or a generator raises a ``TypeError``: the
    followers would share what can be run once, and nobody has run it.

    The leader itself gets what its load returns or raises. A follower that is cancelled leaves,
    and nobody else is any the wiser. Threads and, where gevent has patched ``threading``,
    greenlets may share one of these; greenlets of a thread that is not patched never wait.
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

    def __init__(
        self,
        *,
        patience: _Float | None = None,
        cancellations: tuple[type[BaseException], ...] = (),
    ) -> None:
        if patience is not None:
            require_number("patience", patience, "over 0 seconds or None")
            if not patience > 0:
                raise ValueError(f"patience must be over 0 seconds or None, got {shown(patience)}")
        # What is longer than any wait can be is for ever.
        is_short = patience is not None and patience <= threading.TIMEOUT_MAX
        self._patience = patience if is_short else None
        self._cancellations = cancellations
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Begin, or begin again in the child of a fork, where no leader is left."""
        # A thread may take it twice: a finalizer or a signal handler can run in any section.
        self._lock = threading.RLock()
        self._flights: dict[Any, Flight] = {}
        self._waits: dict[int | None, Flight] = {}
        self._ended: int = 0

    def run(self, key: Any, load: Callable[[], Any]) -> Any:
        """Return what ``load()`` returns, or what it returned to the caller who led.

        A key that is part of somebody's ``run_multi``, and was not found there, is ``MISSING``.
        """
        return self._fly([key], lambda lead: {key: _loaded(load())}).get(key, MISSING)

    def run_multi(
        self, keys: Iterable[Any], load: Callable[[list[Any]], Mapping[Any, Any]]
    ) -> dict[Any, Any]:
        """Return by key what was loaded: by ``load(some)`` those that nobody else is loading.

        The own keys are loaded in one call, before the others' are waited for.
        """
        return self._fly(list(dict.fromkeys(keys)), lambda lead: _all_loaded(load(lead.keys)))

    def forget(self, keys: Iterable[Any]) -> None:
        """Have whoever asks for `keys` from now on wait for no load that began before."""
        with self._lock:
            for key in keys:
                flight = self._flights.pop(key, None)
                if flight is not None:
                    flight.forgotten = True

    def forget_all(self) -> None:
        """Do so with every key."""
        self.forget(list(self._flights))

    def claim(self, keys: list[Any]) -> Lead:
        """Return the lead of those of `keys` that nobody is loading, to be begun later or never.

        Nobody waits for it until ``begin``: who wants a key before that loads it himself.
        """
        lead = Lead(self, None)
        self._board(keys, lead, [])
        return lead

    @property
    def followers(self) -> int:
        """How many callers are waiting for another's load."""
        return len(self._waits)

    # The table

    def _fly(self, keys: list[Any], load: Callable[[Lead], Mapping[Any, Any]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        passed: list[Flight] = []  # those not to be waited for
        me = threading.get_ident()
        lead = Lead(self, me)
        others = self._board(keys, lead, passed)
        while True:
            if lead.flights:
                found.update(lead.fly(load))
            if not others:
                return found
            lead = Lead(self, me)
            keys = []
            later: list[Flight] = []
            for flight in others:
                if flight.state == _FLYING and (keys or lead.flights):
                    later.append(flight)  # what there is to load comes before waiting
                elif not self._wait(flight):
                    passed.append(flight)
                    keys.append(flight.key)
                elif flight.state == _FAILED:
                    raise own_copy(flight.outcome)
                elif flight.state == _ABANDONED:
                    heir = self._inherit(flight, lead)
                    if heir is not None:
                        later.append(heir)
                elif flight.outcome is not MISSING:
                    found[flight.key] = flight.outcome
            others = later + self._board(keys, lead, passed)

    def _board(self, keys: list[Any], lead: Lead, passed: list[Any]) -> list[Flight]:
        """Give to `lead` the flights of `keys` that nobody leads; return the others."""
        others: list[Flight] = []
        with self._lock:
            for key in keys:
                flight = self._flights.get(key)
                if flight is None or flight in passed:
                    if flight is not None:
                        flight.forgotten = True  # as a write could no longer tell it
                    flight = Flight(key, lead.leader)
                    self._flights[key] = flight
                    lead.flights.append(flight)
                elif lead.leader is not None:
                    self._join(flight, lead, others)
        return others

    def _join(self, flight: Flight, lead: Lead, others: list[Any]) -> None:
        """Lead a flight that nobody leads; else be one of those who wait for it."""
        if flight.leader is None and flight.state == _FLYING:
            flight.leader = lead.leader
            lead.flights.append(flight)
        else:
            if flight.done is None:
                flight.done = threading.Event()
            others.append(flight)

    def _inherit(self, flight: Flight, lead: Lead) -> Flight | None:
        """Lead the heir of a flight that was abandoned, or return it if it is led already."""
        others: list[Flight] = []
        with self._lock:
            assert flight.heir is not None  # it had followers
            self._join(flight.heir, lead, others)
        return others[0] if others else None

    def _wait(self, flight: Flight) -> bool:
        """Wait for a flight to end; return False if that would be, or has been, too long."""
        me = threading.get_ident()
        with self._lock:
            if flight.state != _FLYING:
                return True
            if self._waits_for(flight, me):
                return False
            self._waits[me] = flight
        try:
            ended: bool = flight.done.wait(self._patience)
        finally:
            with self._lock:
                self._waits.pop(me, None)
        return ended

    def _waits_for(self, flight: Flight, me: Any) -> bool:
        """Tell whether the leader of `flight` is thread `me`, or waits for it in the end."""
        there: Flight | None = flight
        seen = 0
        while there is not None and there.state == _FLYING and seen <= len(self._waits):
            if there.leader == me:
                return True
            there = self._waits.get(there.leader)
            seen += 1
        return False

    def _is_cancellation(self, error: Any) -> bool:
        kind = type(error)  # isinstance() would ask the error itself, which may raise
        if not issubclass(kind, Exception) or issubclass(kind, self._cancellations):
            return True
        from concurrent.futures import CancelledError  # here, so that importing this does not

        return issubclass(kind, CancelledError)

    def _close(self, lead: Lead) -> bool:
        """Let nobody else follow the flights of a lead; tell whether anybody does."""
        is_followed = False
        with self._lock:
            for flight in lead.flights:
                if self._flights.get(flight.key) is flight:
                    del self._flights[flight.key]
                if flight.done is not None:
                    is_followed = True
        return is_followed

    def _settle(self, lead: Lead, state: Any, outcome: Any) -> None:
        """Put down what became of those flights of a lead that are not settled yet."""
        with self._lock:
            for flight in lead.flights:
                if flight.state != _FLYING or flight.leader != lead.leader:
                    continue
                flight.outcome = outcome.get(flight.key, MISSING) if state == _LANDED else outcome
                flight.state = state
                self._leave(flight)
            # An exception holds the frame that holds the lead: let that be no circle.
            lead.flights = []

    def _leave(self, flight: Flight) -> None:
        """Take a flight that is settled out of the table, and tell its followers."""
        self._ended += 1
        is_there = self._flights.get(flight.key) is flight
        if is_there:
            del self._flights[flight.key]
        if flight.done is None:
            return
        if flight.state == _ABANDONED:
            flight.heir = Flight(flight.key, None)
            flight.heir.forgotten = not is_there
            if is_there:
                self._flights[flight.key] = flight.heir
        flight.done.set()

    def __len__(self) -> int:
        return len(self._flights)

    def __repr__(self) -> str:
        return f"<SingleFlight: {len(self._flights)} flying, {self._ended} ended>"


def _loaded(value: Any) -> Any:
    refuse_unrun("load", value)
    return value


def _all_loaded(found: Any) -> Any:
    refuse_unrun("load", found)
    if not hasattr(found, "items"):
        raise TypeError(f"load must return a mapping of keys, got {shown(found)}")
    refuse_unrun_values("load", found.values())
    return found
