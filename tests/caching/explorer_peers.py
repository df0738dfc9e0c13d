"""Protocols for the explorer that are not consistent: what others do, and ours with a part missing.

Each of them is right but for one thing, so that the explorer is seen to find that thing.
"""

from collections.abc import Callable
from typing import Any

from caching.explorer_clients import Steps
from caching.explorer_scenarios import Erase, Put

from godropbox.caching.consistency import protocol
from godropbox.caching.consistency.protocol import (
    DONE,
    FAILED,
    Add,
    Commit,
    Drop,
    Lease,
    Load,
    Look,
    Place,
    Places,
    Reading,
    Retry,
    Seen,
    Sentinel,
    Settled,
    Stored,
    Swap,
    Value,
    Via,
    Writer,
    Writing,
)

__all__ = [
    "acknowledge_unsettled",
    "add_to_fill",
    "consistent_read",
    "consistent_write",
    "delete_after_write",
    "delete_before_the_commit",
    "delete_before_the_commit_and_again",
    "fill_over_a_sentinel",
    "ignore_a_failure_to_join",
    "keep_the_value_of_the_last_one_out",
    "leave_a_sentinel_of_another",
    "no_invalidation",
    "no_value_is_kept",
    "past_the_cache",
    "plain_read",
    "prune_everybody",
    "read_before_the_lease",
    "skip_the_first_step",
    "write_through",
]

_ACKNOWLEDGED = Writing(Settled.ACKNOWLEDGED)
_PLACE = Place(0)
_LEASE = Lease(b"mine")


def _me(n: int) -> Writer:
    return Writer(n, until=1)


def consistent_read(n: int) -> Steps:
    """The read as it is."""
    return protocol.read(lambda: _LEASE)


def consistent_write(n: int) -> Steps:
    """The write as it is, of a value that stays in the cache."""
    return protocol.write(_me(n), 0, Value(n))


def no_value_is_kept(n: int) -> Steps:
    """The write as it is, of a value that does not stay in the cache."""
    return protocol.write(_me(n), 0, None)


def prune_everybody(n: int) -> Steps:
    """The write as it is, by a clock so far ahead that every other writer seems to be dead."""
    return protocol.write(_me(n), 2, Value(n))


# What others do


def plain_read(n: int) -> Steps:
    """Read through: fill whatever was loaded."""
    match (yield Look(None)):
        case Seen(entry=Value(data=data)):
            return Reading(data, Via.HIT)
    data = yield Load()
    yield Put(None, Value(data))
    return Reading(data, Via.FILLED)


def write_through(n: int) -> Steps:
    """Write the storage, then the cache."""
    yield Commit()
    yield Put(_PLACE, Value(n))
    return _ACKNOWLEDGED


def delete_after_write(n: int) -> Steps:
    """Write the storage, then delete from the cache, and do not rest before that is done."""
    yield Commit()
    while (yield Erase(_PLACE)) is FAILED:
        if not (yield Retry()):
            return Writing(Settled.UNSETTLED)
    return _ACKNOWLEDGED


# Writes past the cache, of which the storage's log tells: the last steps are the invalidator's, and
# the write counts once these are done, for which ``wait_for`` waits


def past_the_cache(n: int) -> Steps:
    """Write the storage; whoever follows its log invalidates the entry, and does not give up."""
    yield Commit()
    while True:
        written = yield from protocol.erase()
        if written.settled is Settled.ACKNOWLEDGED or not (yield Retry()):
            return written


def delete_before_the_commit(n: int) -> Steps:
    """The log tells of the write before others can see it."""
    yield Erase(_PLACE)
    yield Commit()
    return _ACKNOWLEDGED


def delete_before_the_commit_and_again(n: int) -> Steps:
    """The same, but the entry is deleted once more."""
    yield Erase(_PLACE)
    return (yield from delete_after_write(n))


# Reads with a part missing


def add_to_fill(n: int) -> Steps:
    """No lease: a miss is filled by ``add``."""
    match (yield Look(None)):
        case Seen(entry=Value(data=data)):
            return Reading(data, Via.HIT)
    data = yield Load()
    yield Add(None, Value(data))
    return Reading(data, Via.FILLED)


def read_before_the_lease(n: int) -> Steps:
    """The lease is taken when the storage was read."""
    match (yield Look(None)):
        case Seen(entry=Value(data=data)):
            return Reading(data, Via.HIT)
    data = yield Load()
    taken = yield Add(None, _LEASE)
    if isinstance(taken, Stored):
        yield Swap(None, taken.token, Value(data))
    return Reading(data, Via.FILLED)


def fill_over_a_sentinel(n: int) -> Steps:
    """Whatever the token is of may be filled, a sentinel too."""
    match (yield Look(None)):
        case Seen(entry=Value(data=data)):
            return Reading(data, Via.HIT)
        case Seen(entry=Sentinel(), token=token):
            data = yield Load()
            yield Swap(None, token, Value(data))
            return Reading(data, Via.FILLED)
        case Seen(entry=None):
            return (yield from protocol.read(lambda: _LEASE))
    return Reading((yield Load()), Via.SHIELDED)


# Writes with a part missing


def skip_the_first_step(n: int) -> Steps:
    """No sentinel: the storage is written, and the cache invalidated before the acknowledgement."""
    yield Commit()
    for place in (yield Places()):
        if (yield from protocol.settle(place, _me(n), None, None)) is None:
            return Writing(Settled.UNSETTLED)
    return _ACKNOWLEDGED


def ignore_a_failure_to_join(n: int) -> Steps:
    """The storage is written and acknowledged, though the cache could not be told."""
    steps = protocol.write(_me(n), 0, Value(n))
    result = yield from steps
    if result.settled is not Settled.REFUSED:
        return result
    yield Commit()
    return _ACKNOWLEDGED


def acknowledge_unsettled(n: int) -> Steps:
    """A write is acknowledged as soon as it is in the storage, whatever the cache says."""
    result = yield from protocol.write(_me(n), 0, Value(n))
    return _ACKNOWLEDGED if result.settled is Settled.UNSETTLED else result


def no_invalidation(n: int) -> Steps:
    """If the sentinel is gone, so much the better."""

    def skipped(step: Any, seen: Any) -> bool:
        return isinstance(seen, Seen) and not _is_mine(seen, n) and isinstance(step, Drop | Swap)

    return _edited(n, skipped)


def leave_a_sentinel_of_another(n: int) -> Steps:
    """If the sentinel is gone but another writer's is there, that one may stay as it is."""

    def skipped(step: Any, seen: Any) -> bool:
        other = isinstance(seen, Seen) and isinstance(seen.entry, Sentinel)
        return other and not _is_mine(seen, n) and isinstance(step, Swap)

    return _edited(n, skipped)


def _is_mine(seen: Seen, n: int) -> bool:
    return isinstance(seen.entry, Sentinel) and _me(n) in seen.entry.writers


def _edited(n: int, skipped: Callable[[Any, Any], bool]) -> Steps:
    """The write without those steps after the commit that are `skipped`, as if they were done."""
    steps = protocol.write(_me(n), 0, Value(n))
    outcome: Any = None
    committed = False
    try:
        while True:
            step = steps.send(outcome)
            outcome = DONE if committed and skipped(step, outcome) else (yield step)
            committed = committed or isinstance(step, Commit)
    except StopIteration as stop:
        return stop.value


def keep_the_value_of_the_last_one_out(n: int) -> Steps:
    """The last one out leaves its value, even if others wrote meanwhile."""
    steps = protocol.write(_me(n), 0, Value(n))
    outcome: Any = None
    committed = False
    try:
        while True:
            step = steps.send(outcome)
            committed = committed or isinstance(step, Commit)
            if committed and isinstance(step, Drop) and step.token is not None:
                step = Swap(step.place, step.token, Value(n))
            outcome = yield step
    except StopIteration as stop:
        return stop.value
