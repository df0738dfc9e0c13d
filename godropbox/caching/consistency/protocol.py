"""The consistency protocol: what an entry may be, and the steps of a read and of a write. No I/O.

A step is a generator: it yields what it wants done (``Look``, ``Add``, ``Swap``, ``Drop`` of the
cache, ``Load`` and ``Commit`` of the storage, ``Places`` and ``Retry`` of its driver) and is sent
what came of it. The driver in ``consistent`` runs these steps against servers, and the explorer
in the tests runs the same ones through every interleaving. docs/consistency.md says why.

An outcome of ``FAILED`` tells nothing: what was asked may have been done, not done, or may yet be.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

__all__ = [
    "ABORTED",
    "DONE",
    "FAILED",
    "FOREIGN",
    "LOOK",
    "MISSING",
    "RECONNECTED",
    "REFUSED",
    "Add",
    "CacheStep",
    "Commit",
    "Drop",
    "Entry",
    "Lease",
    "Load",
    "Look",
    "Mark",
    "Place",
    "Places",
    "Reading",
    "Retry",
    "Seen",
    "Sentinel",
    "Settled",
    "Step",
    "Steps",
    "Stored",
    "Swap",
    "Value",
    "Via",
    "Writer",
    "Writing",
    "erase",
    "read",
    "read_on",
    "settle",
    "write",
]


class Mark(Enum):
    """What came of a step, where there is no more to say."""

    DONE = "done"
    FAILED = "outcome unknown"
    REFUSED = "the entry is another one by now"
    RECONNECTED = "not sent: the connection is younger than the token"
    FOREIGN = "an entry that is none of this protocol's"
    MISSING = "the storage has no such key"
    ABORTED = "the storage was not written"

    def __repr__(self) -> str:
        return self.name


DONE: Final = Mark.DONE
FAILED: Final = Mark.FAILED
REFUSED: Final = Mark.REFUSED
RECONNECTED: Final = Mark.RECONNECTED
FOREIGN: Final = Mark.FOREIGN
MISSING: Final = Mark.MISSING
ABORTED: Final = Mark.ABORTED


# What an entry may be, besides absent (None)


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a key, as of some moment at which nobody was writing it."""

    data: Any


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one reader to fill the entry; `token` is random, and never used twice."""

    token: bytes


class Writer(NamedTuple):
    """A write under way: a random id, and the Unix time by which it has given up."""

    id: int
    until: int


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Writes are under way: nobody may fill the entry."""

    writers: tuple[Writer, ...]

    def joined_by(self, writer: Writer, now: int) -> "Sentinel":
        """Return the sentinel with `writer`, and without those that must have given up.

        A writer that is taken out too early, by a clock that is ahead, finds its id gone and
        invalidates: clocks that differ cost invalidations, not consistency.
        """
        return Sentinel((*(other for other in self.writers if other.until >= now), writer))

    def left_by(self, writer: Writer) -> tuple[Writer, ...]:
        """Return the other writers."""
        return tuple(other for other in self.writers if other.id != writer.id)


Entry = Value | Lease | Sentinel


# What a step may want


class Place(NamedTuple):
    """A server that must know of a write, or, if it is not `required`, that had better know.

    `server` is whatever names it to those who run the steps.
    """

    server: Any
    required: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """Read the entry at a place; of None, where reads go. Comes to a ``Seen`` or FAILED."""

    place: Place | None


@dataclass(frozen=True, slots=True)
class Add:
    """Make an entry where there is none: ``Stored``, REFUSED or FAILED."""

    place: Place | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class Swap:
    """Put an entry in place of the very one that `token` is of.

    Comes to ``Stored``, REFUSED, FAILED, or RECONNECTED: the token cannot be trusted any more.
    """

    place: Place | None
    token: Any
    entry: Entry


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the very entry that `token` is of: DONE, or as ``Swap``."""

    place: Place | None
    token: Any


@dataclass(frozen=True, slots=True)
class Load:
    """Read the storage, afresh: the value, MISSING or FAILED."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the storage: DONE, ABORTED (for certain not written), or FAILED."""


@dataclass(frozen=True, slots=True)
class Places:
    """Ask where writes of the key must be known at this moment: a tuple of ``Place``."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask whether to try once more, perhaps after a pause: True or False."""


CacheStep = Look | Add | Swap | Drop
Step = CacheStep | Load | Commit | Places | Retry
Steps = Generator[Step, Any, Any]


# What a step of the cache may come to, besides a mark


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry, or None for no entry, with the token that names this very one."""

    entry: Entry | Mark | None
    token: Any = None


@dataclass(frozen=True, slots=True)
class Stored:
    """It was stored; the token names the new entry."""

    token: Any


# Reading


class Via(Enum):
    """Where a read got its answer, and what that did to the cache."""

    HIT = "the cache"
    FILLED = "the storage; the cache was filled"
    LOST = "the storage; the lease was lost before the cache was filled"
    SHIELDED = "the storage; a sentinel, a lease or a foreign entry was there"
    FAILED = "the storage; the cache failed"


class Reading(NamedTuple):
    """The answer of a read: a value, MISSING, or FAILED if the storage failed."""

    data: Any
    via: Via


LOOK: Final = Look(None)  # what a read begins with


def read(new_lease: Callable[[], Lease]) -> Steps:
    """Read one key; `new_lease` makes a lease that there never was. Returns a ``Reading``."""
    return (yield from read_on((yield LOOK), new_lease))


def read_on(seen: Seen | Mark, new_lease: Callable[[], Lease]) -> Steps:
    """Return the steps of a read that has looked at the entry, and seen this."""
    match seen:
        case Seen(entry=Value(data=data)):
            return _hit(data)
        case Seen(entry=None):
            return _fill(new_lease())
        case Seen():
            return _load(Via.SHIELDED)
    return _load(Via.FAILED)


def _hit(data: Any) -> Steps:
    yield from ()
    return Reading(data, Via.HIT)


def _load(via: Via) -> Steps:
    return Reading((yield Load()), via)


def _fill(lease: Lease) -> Steps:
    # The lease is there before the storage is read. If it is still there when the value comes,
    # then no write has begun or ended since, as both replace it.
    taken = yield Add(None, lease)
    data = yield Load()
    if not isinstance(taken, Stored):
        return Reading(data, Via.FAILED if taken is FAILED else Via.SHIELDED)
    if data is FAILED:
        yield Drop(None, taken.token)  # for the next reader
        return Reading(data, Via.LOST)
    if data is MISSING:
        return Reading(data, Via.LOST)
    filled = yield Swap(None, taken.token, Value(data))
    if filled is RECONNECTED:
        # A server's own tokens start anew with the server, a random lease does not: if it is
        # there it is ours, and the token that came with it is of this very server.
        seen = yield Look(None)
        if isinstance(seen, Seen) and seen.entry == lease:
            filled = yield Swap(None, seen.token, Value(data))
    return Reading(data, Via.FILLED if isinstance(filled, Stored) else Via.LOST)


# Writing


class Settled(Enum):
    """What became of a write."""

    ACKNOWLEDGED = "written, and no later read returns anything older"
    REFUSED = "not written: a server that must know could not be told"
    ABORTED = "not written: the storage says so, or it was too late to begin"
    UNKNOWN = "perhaps written: the storage did not say"
    UNSETTLED = "written, but a server that must know could not be told"


class Writing(NamedTuple):
    """The outcome of a write, and at how many places its sentinel was gone by the end."""

    settled: Settled
    lost: int = 0


class _Held(NamedTuple):
    """The sentinel at one place: its token, and whether no other writer was in it."""

    token: Any
    alone: bool


def write(me: Writer, now: int, value: Value | None) -> Steps:
    """Write one key; `me` must be new, and `value` None for what cannot be put into the cache.

    Returns a ``Writing``.
    """
    held: dict[Place, _Held] = {}
    if not (yield from _join_all(held, me, now)):
        yield from _leave_all(held, me)
        return Writing(Settled.REFUSED)
    committed = yield Commit()
    if committed is ABORTED:
        yield from _leave_all(held, me)
        return Writing(Settled.ABORTED)
    if committed is not DONE:
        return Writing(Settled.UNKNOWN)  # the sentinels stay until they expire
    known, lost = True, 0
    # The servers that must know now, which may be others than before.
    for place in (yield Places()):
        kept = yield from settle(place, me, held.pop(place, None), value)
        known = known and (kept is not None or not place.required)
        lost += kept is False
    return Writing(Settled.ACKNOWLEDGED if known else Settled.UNSETTLED, lost)


def _join_all(held: dict[Place, _Held], me: Writer, now: int) -> Generator[Step, Any, bool]:
    """Join wherever writes must be known; return whether that was done."""
    for place in (yield Places()):
        joined = yield from _join(place, me, now)
        if joined is not None:
            held[place] = joined
        elif place.required:
            return False
    return True


def _is_done(outcome: Any) -> bool:
    return outcome is DONE or isinstance(outcome, Stored)


def _join(place: Place, me: Writer, now: int) -> Generator[Step, Any, _Held | None]:
    """Put `me` into the sentinel at a place, in place of whatever is there."""
    while (joined := (yield from _join_once(place, me, now))) is None:
        if not (yield Retry()):
            return None
    return joined if isinstance(joined, _Held) else None


def _join_once(place: Place, me: Writer, now: int) -> Generator[Step, Any, _Held | Mark | None]:
    """Try to join; return None if another one came between, FAILED if the place does not answer."""
    match (yield Look(place)):
        case Seen(entry=None):
            alone, stored = True, (yield Add(place, Sentinel((me,))))
        case Seen(entry=Sentinel() as sentinel, token=token):
            alone, stored = False, (yield Swap(place, token, sentinel.joined_by(me, now)))
        case Seen(token=token):
            alone, stored = True, (yield Swap(place, token, Sentinel((me,))))
        case _:
            return FAILED
    if isinstance(stored, Stored):
        return _Held(stored.token, alone)
    return FAILED if stored is FAILED else None


def settle(
    place: Place, me: Writer | None, held: _Held | None, value: Value | None
) -> Generator[Step, Any, bool | None]:
    """Take `me` out of the sentinel at a place, after the storage was written.

    Returns True if the sentinel had stayed there, False if it had not, and what came there
    instead was invalidated; None if neither is sure.
    """
    if held is not None and held.alone:
        # The very sentinel that was put there: nobody else has begun or ended a write since, so
        # this write is the latest of those that are acknowledged, and its value may stay. But not
        # where the next write may fail to be told.
        keep = value if place.required else None
        last = Swap(place, held.token, keep) if keep is not None else Drop(place, held.token)
        if _is_done((yield last)):
            return True
    while (kept := (yield from _settle_once(place, me))) is None:
        if not (place.required and (yield Retry())):
            return None
    return kept


def _settle_once(place: Place, me: Writer | None) -> Generator[Step, Any, bool | None]:
    """Try to settle; return None if another one came between, or the place does not answer.

    If the sentinel is gone, anything may have come there between the loss and now, and goes. All
    by token, for one thing may not go: a sentinel that another writer has just put there.
    """
    match (yield Look(place)):
        case Seen(entry=None):
            return False  # a lease to come is younger than the commit, and so is what it brings
        case Seen(entry=Sentinel() as sentinel, token=token) if me in sentinel.writers:
            return True if (yield from _leave(place, me, sentinel, token)) else None
        case Seen(entry=Sentinel() as sentinel, token=token):
            # It stays, but under a new token: its writer may have written before this one did,
            # and has to see that it was not alone, and to leave nothing.
            return False if _is_done((yield Swap(place, token, sentinel))) else None
        case Seen(token=token):
            return False if _is_done((yield Drop(place, token))) else None
    return None


def _leave(place: Place, me: Writer, sentinel: Sentinel, token: Any) -> Generator[Step, Any, bool]:
    """Take `me` out of a sentinel that was seen; who wrote last is not known, so leave nothing."""
    rest = sentinel.left_by(me)
    return _is_done((yield Swap(place, token, Sentinel(rest)) if rest else Drop(place, token)))


def _leave_all(held: dict[Place, _Held], me: Writer) -> Generator[Step, Any, None]:
    """Take `me` out where it joined, of a write that has not touched the storage.

    One attempt each: what stays behind keeps readers from filling until it expires, no more.
    """
    for place in held:
        match (yield Look(place)):
            case Seen(entry=Sentinel() as sentinel, token=token) if me in sentinel.writers:
                yield from _leave(place, me, sentinel, token)


def erase() -> Steps:
    """Invalidate one key after a write that was done elsewhere; returns a ``Writing``."""
    known = True
    for place in (yield Places()):
        kept = yield from settle(place, None, None, None)
        known = known and (kept is not None or not place.required)
    return Writing(Settled.ACKNOWLEDGED if known else Settled.UNSETTLED)
