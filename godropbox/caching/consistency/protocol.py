"""The consistency protocol: its entries, and the steps of reads and writes. No I/O.

A read or a write is a generator that yields steps (``Look``, ``Add``, ``Swap``, ``Drop`` for the
cache, ``Load`` and ``Commit`` for the storage, ``Places`` and ``Retry`` for its driver) and is sent
their outcomes. ``driver`` runs the steps against servers; the explorer in the tests runs them
through every interleaving. docs/consistency.md explains the protocol.

After an outcome of ``FAILED`` nothing is known: the step was done, was not, or may yet be.
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
    """An outcome of a step without data."""

    DONE = "done"
    FAILED = "outcome unknown"
    REFUSED = "the entry has changed"
    RECONNECTED = "not sent: the connection is younger than the token"
    FOREIGN = "an entry of another protocol"
    MISSING = "the storage lacks the key"
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


# Entries; None is no entry


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a key, as of a moment at which nobody was writing it."""

    data: Any


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one reader to fill the entry; `token` is random and never used twice."""

    token: bytes


class Writer(NamedTuple):
    """A write under way: a random id, and the Unix time at which it gives up."""

    id: int
    until: int


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Writes are under way: nobody may fill the entry."""

    writers: tuple[Writer, ...]

    def joined_by(self, writer: Writer, now: int) -> "Sentinel":
        """Return the sentinel with `writer`, without the writers that must have given up.

        A writer that is removed too early, by a clock that is ahead, finds its id gone and
        invalidates: clocks that differ cost invalidations, not consistency.
        """
        return Sentinel((*(other for other in self.writers if other.until >= now), writer))

    def left_by(self, writer: Writer) -> tuple[Writer, ...]:
        """Return the other writers."""
        return tuple(other for other in self.writers if other.id != writer.id)


Entry = Value | Lease | Sentinel


# Steps


class Place(NamedTuple):
    """A server that must know of a write; if it is not `required`, it may fail to.

    `server` is the driver's name for it.
    """

    server: Any
    required: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """Read the entry at a place; None is where reads go. Outcome: ``Seen`` or FAILED."""

    place: Place | None


@dataclass(frozen=True, slots=True)
class Add:
    """Add an entry if there is none. Outcome: ``Stored``, REFUSED or FAILED."""

    place: Place | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace the entry that has `token`.

    Outcome: ``Stored``, REFUSED, FAILED, or RECONNECTED: the token can no longer be trusted.
    """

    place: Place | None
    token: Any
    entry: Entry


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the entry that has `token`. Outcome: DONE, or as that of ``Swap``."""

    place: Place | None
    token: Any


@dataclass(frozen=True, slots=True)
class Load:
    """Read the storage now. Outcome: the value, MISSING or FAILED."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the storage. Outcome: DONE, ABORTED (certainly not written), or FAILED."""


@dataclass(frozen=True, slots=True)
class Places:
    """Get the places where writes of the key must be known now. Outcome: a tuple of ``Place``."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask whether to try once more, perhaps after a pause. Outcome: True or False."""


CacheStep = Look | Add | Swap | Drop
Step = CacheStep | Load | Commit | Places | Retry
Steps = Generator[Step, Any, Any]


# Outcomes of steps of the cache, besides marks


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry and its token; None is no entry."""

    entry: Entry | Mark | None
    token: Any = None


@dataclass(frozen=True, slots=True)
class Stored:
    """The entry was stored and has this token."""

    token: Any


# Reading


class Via(Enum):
    """The source of a read's result, and what happened to the cache."""

    HIT = "the cache"
    FILLED = "the storage; the cache was filled"
    LOST = "the storage; the lease was lost before the cache was filled"
    SHIELDED = "the storage; a sentinel, a lease or a foreign entry was there"
    FAILED = "the storage; the cache failed"


class Reading(NamedTuple):
    """The result of a read: a value, MISSING, or FAILED if the storage failed."""

    data: Any
    via: Via


LOOK: Final = Look(None)  # the first step of a read


def read(new_lease: Callable[[], Lease]) -> Steps:
    """Read one key; `new_lease` makes a lease that is not used elsewhere. Returns a ``Reading``."""
    return (yield from read_on((yield LOOK), new_lease))


def read_on(seen: Seen | Mark, new_lease: Callable[[], Lease]) -> Steps:
    """Return the further steps of a read whose first look had this outcome."""
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
    # The lease is stored before the storage is read. If it is still there afterwards, no write has
    # begun or ended in between, as both replace it.
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
        # A server's tokens start again with its process, a random lease does not: if it is there it
        # is this reader's, and its token is that of the present process.
        seen = yield Look(None)
        if isinstance(seen, Seen) and seen.entry == lease:
            filled = yield Swap(None, seen.token, Value(data))
    return Reading(data, Via.FILLED if isinstance(filled, Stored) else Via.LOST)


# Writing


class Settled(Enum):
    """The outcome of a write."""

    ACKNOWLEDGED = "written, and no later read returns anything older"
    REFUSED = "not written: a server that must know did not confirm"
    ABORTED = "not written: the storage said so, or it was too late to begin"
    UNKNOWN = "possibly written: the storage did not say"
    UNSETTLED = "written, but a server that must know did not confirm"


class Writing(NamedTuple):
    """The outcome of a write, and at how many places its sentinel was gone at the end."""

    settled: Settled
    lost: int = 0


class _Held(NamedTuple):
    """The sentinel at one place: its token, and whether it had no other writer."""

    token: Any
    alone: bool


def write(me: Writer, now: int, value: Value | None) -> Steps:
    """Write one key; `me` must be new. `value` may stay in the cache; None leaves nothing there.

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
    # The servers that must know now may be others than before.
    for place in (yield Places()):
        kept = yield from settle(place, me, held.pop(place, None), value)
        known = known and (kept is not None or not place.required)
        lost += kept is False
    return Writing(Settled.ACKNOWLEDGED if known else Settled.UNSETTLED, lost)


def _join_all(held: dict[Place, _Held], me: Writer, now: int) -> Generator[Step, Any, bool]:
    """Join at all places where writes must be known; return whether that succeeded."""
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
    """Add `me` to the sentinel at a place, or replace its entry by one."""
    while (joined := (yield from _join_once(place, me, now))) is None:
        if not (yield Retry()):
            return None
    return joined if isinstance(joined, _Held) else None


def _join_once(place: Place, me: Writer, now: int) -> Generator[Step, Any, _Held | Mark | None]:
    """Try to join; return None if the entry changed meanwhile, FAILED without a reply."""
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
    """Remove `me` from the sentinel at a place, after the storage was written.

    Returns True if the sentinel was still there, False if it was gone and its successor was
    invalidated, None if neither is certain.
    """
    if held is not None and held.alone:
        # If the sentinel is unchanged, nobody else has begun or ended a write since, so this write
        # is the latest acknowledged one, and its value may stay. But not at a place that the next
        # write may fail to reach.
        keep = value if place.required else None
        last = Swap(place, held.token, keep) if keep is not None else Drop(place, held.token)
        if _is_done((yield last)):
            return True
    while (kept := (yield from _settle_once(place, me))) is None:
        if not (place.required and (yield Retry())):
            return None
    return kept


def _settle_once(place: Place, me: Writer | None) -> Generator[Step, Any, bool | None]:
    """Try to settle; return None if the entry changed meanwhile, or without a reply.

    If the sentinel is gone, its successor may be old and is deleted; by token, because a sentinel
    that another writer has just stored must not be deleted.
    """
    match (yield Look(place)):
        case Seen(entry=None):
            return False  # a later lease, and the value it brings, is younger than the commit
        case Seen(entry=Sentinel() as sentinel, token=token) if me in sentinel.writers:
            return True if (yield from _leave(place, me, sentinel, token)) else None
        case Seen(entry=Sentinel() as sentinel, token=token):
            # It stays, but with a new token: its writer may have written before this one, and has
            # to notice that it was not alone, and to leave nothing.
            return False if _is_done((yield Swap(place, token, sentinel))) else None
        case Seen(token=token):
            return False if _is_done((yield Drop(place, token))) else None
    return None


def _leave(place: Place, me: Writer, sentinel: Sentinel, token: Any) -> Generator[Step, Any, bool]:
    """Remove `me` from a sentinel that was seen; leave no value, as the last writer is unknown."""
    rest = sentinel.left_by(me)
    return _is_done((yield Swap(place, token, Sentinel(rest)) if rest else Drop(place, token)))


def _leave_all(held: dict[Place, _Held], me: Writer) -> Generator[Step, Any, None]:
    """Remove `me` where it joined, for a write that has not touched the storage.

    One attempt each: a sentinel that stays only keeps readers from filling until it expires.
    """
    for place in held:
        match (yield Look(place)):
            case Seen(entry=Sentinel() as sentinel, token=token) if me in sentinel.writers:
                yield from _leave(place, me, sentinel, token)


def erase() -> Steps:
    """Invalidate one key after a write that bypassed the protocol; returns a ``Writing``."""
    known = True
    for place in (yield Places()):
        kept = yield from settle(place, None, None, None)
        known = known and (kept is not None or not place.required)
    return Writing(Settled.ACKNOWLEDGED if known else Settled.UNSETTLED)
