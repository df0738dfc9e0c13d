"""Every interleaving of the consistency protocol, and of others that it must find wanting.

``GODROPBOX_EXPLORE=full`` widens the scenarios, which then takes minutes. ``pytest -s`` shows how
many states there were. The protocol is one file, which is not compiled, so the compiled package's
run explores it for both, and the pure one's where there is no other.
"""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest
from caching import explorer_peers as peers
from caching.explorer import Explorer, explore
from caching.explorer_clients import Client
from caching.explorer_real import AskedCache, AskedServers, AskedStorage, replayed
from caching.explorer_scenarios import Scenario, Shard
from conftest import is_second_run

from godropbox.caching import (
    CacheOnStorage,
    CacheOptions,
    CommitUncertain,
    ConsistencyOptions,
    ConsistentCacheOnStorage,
    WriteRefused,
)
from godropbox.caching.aio import AsyncConsistentCacheOnStorage
from godropbox.caching.consistency import protocol

FULL = os.environ.get("GODROPBOX_EXPLORE") == "full"

READ, WRITE, WRITE_AND_LEAVE = (
    peers.consistent_read,
    peers.consistent_write,
    peers.no_value_is_kept,
)
ACTIVE = Shard("ACTIVE", reads=True, told=True, required=True)
WRITE_ONLY = Shard("WRITE_ONLY", told=True, required=True)
WARM_UP = Shard("WARM_UP", told=True)
DOWN = Shard("DOWN")
FLUSHED = Shard("WRITE_ONLY and flushed", told=True, required=True, flushed=True)


def explored(scenario: Scenario, at_least: int) -> None:
    """Explore a scenario in which nothing may be wrong, and see that it was no small one."""
    if is_second_run() and protocol.__file__.endswith(".py") and not FULL:
        pytest.skip("the protocol is not compiled: the compiled package's run explores the same")
    found = explore(scenario)
    print(f"\n{found}")
    assert found.violation == "", str(found)
    assert found.states >= at_least


# The protocol as it is


def test_two_writers_two_readers_an_eviction_a_restart_and_a_crash_at_every_step() -> None:
    scenario = Scenario((WRITE, WRITE), (READ, READ), evictions=1, restarts=1, crashes=1)
    explored(scenario, 500_000)
    if FULL:
        explored(replace(scenario, writers=(WRITE, WRITE_AND_LEAVE)), 500_000)
        explored(replace(scenario, writers=(WRITE_AND_LEAVE,) * 2), 500_000)


@pytest.mark.parametrize("writers", [(WRITE, WRITE), (WRITE, WRITE_AND_LEAVE)])
def test_an_operation_whose_outcome_stays_unknown_and_which_may_come_late(
    writers: tuple[Client, ...],
) -> None:
    """As when a stopped server goes on, and finds what was sent to it long ago in its socket."""
    scenario = Scenario(writers, (READ,), unknown=1, evictions=1, crashes=1)
    explored(scenario, 100_000)
    if FULL:
        explored(replace(scenario, restarts=1), 500_000)
        explored(replace(scenario, unknown=2, evictions=0), 100_000)
        explored(replace(scenario, readers=(READ, READ)), 500_000)


def test_a_commit_whose_outcome_stays_unknown_and_which_may_come_late() -> None:
    scenario = Scenario((WRITE, WRITE), (READ,), unknown_commits=1, evictions=1, crashes=1)
    explored(scenario, 25_000)
    if FULL:
        explored(replace(scenario, unknown_commits=2, restarts=1, readers=(READ, READ)), 500_000)


def test_a_shard_that_goes_through_all_its_states() -> None:
    states = (ACTIVE, WRITE_ONLY, DOWN, WARM_UP, WRITE_ONLY, FLUSHED, ACTIVE)
    explored(Scenario((WRITE,), (READ, READ), shards=states), 30_000)
    explored(Scenario((WRITE, WRITE_AND_LEAVE), (), shards=states), 10_000)
    if FULL:
        explored(Scenario((WRITE, WRITE), (READ,), shards=states), 500_000)


def test_clocks_that_differ_cost_no_consistency() -> None:
    """Every writer takes every other for dead, and out of the sentinel."""
    writers = (peers.prune_everybody,) * 2
    scenario = Scenario(writers, (READ,), evictions=1, unacknowledged=False)
    explored(scenario, 10_000)


def test_leases_and_a_sure_invalidation_are_enough_for_what_is_acknowledged() -> None:
    """The sentinel is for writes that are not: see docs/consistency.md."""
    writers = (peers.skip_the_first_step,) * 2
    scenario = Scenario(writers, (READ,), evictions=1, restarts=1, unacknowledged=False)
    explored(scenario, 5_000)


def test_writes_past_the_cache_count_once_who_follows_the_log_has_invalidated() -> None:
    """Beside writes through it, and over plain deletes: see docs/binlog-invalidation.md."""
    past, through = peers.past_the_cache, WRITE_AND_LEAVE
    mishaps: dict[str, Any] = {"evictions": 1, "crashes": 1, "unacknowledged": False}
    explored(Scenario((past, through), (READ,), restarts=1, **mishaps), 10_000)
    explored(Scenario((past, past), (READ,), unknown=1, **mishaps), 10_000)
    for write in (peers.delete_after_write, peers.delete_before_the_commit_and_again):
        explored(Scenario((write, write), (READ,), unknown=1, **mishaps), 3_000)
    if FULL:
        explored(Scenario((past, through), (READ, READ), unknown=1, **mishaps), 500_000)


# The class that drives it


def _cache(ask: Any, n: int, kind: Any = ConsistentCacheOnStorage) -> Any:
    options = ConsistencyOptions(encode=lambda value: b"%d" % value, decode=int, settle_limit=0.0)
    return kind(
        AskedServers(ask),
        AskedStorage(ask),
        options,
        clock=lambda: 0.0,
        wall_clock=lambda: 0.0,
        random=lambda size: n.to_bytes(size, "big") if size == 8 else b"mine",
    )


def _get(n: int, ask: Any) -> protocol.Reading:
    return protocol.Reading(_cache(ask, n).get("key"), protocol.Via.HIT)


def _set(n: int, ask: Any) -> protocol.Writing:
    return _written(lambda: _cache(ask, n).set("key", n))


def _written(write: Callable[[], object]) -> protocol.Writing:
    try:
        write()
    except WriteRefused:
        return protocol.Writing(protocol.Settled.REFUSED)
    except CommitUncertain:
        return protocol.Writing(protocol.Settled.UNSETTLED)
    return protocol.Writing(protocol.Settled.ACKNOWLEDGED)


def _ended(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that never waits, as all that it calls is plain."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def _async_get(n: int, ask: Any) -> protocol.Reading:
    value = _ended(_cache(ask, n, AsyncConsistentCacheOnStorage).get("key"))
    return protocol.Reading(value, protocol.Via.HIT)


def _async_set(n: int, ask: Any) -> protocol.Writing:
    return _written(lambda: _ended(_cache(ask, n, AsyncConsistentCacheOnStorage).set("key", n)))


@pytest.mark.parametrize(("get", "set_"), [(_get, _set), (_async_get, _async_set)])
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario((WRITE,), (READ,), evictions=1, restarts=1, crashes=1, unknown=1, retries=0),
        Scenario((WRITE, WRITE), (READ,), crashes=1, retries=0),
    ],
)
def test_the_class_takes_the_steps_that_were_explored(
    scenario: Scenario, get: Any, set_: Any
) -> None:
    steps = explore(scenario)
    writers = (replayed(set_),) * len(scenario.writers)
    calls = explore(replace(scenario, writers=writers, readers=(replayed(get),)))
    assert (steps.violation, calls.violation) == ("", ""), str(calls)
    # A replayed client remembers all that it was told, and stands nowhere else for it.
    assert calls.states >= steps.states >= 1_000


# What the plain layer does: no model of it, but the class


def _plain_get(n: int, ask: Any) -> protocol.Reading:
    layer = CacheOnStorage(AskedCache(ask), AskedStorage(ask))
    return protocol.Reading(layer.get("key"), protocol.Via.HIT)


def _plain_set(n: int, ask: Any) -> protocol.Writing:
    CacheOnStorage(AskedCache(ask), AskedStorage(ask)).set("key", n)
    return protocol.Writing(protocol.Settled.ACKNOWLEDGED)


def _set_and_delete(n: int, ask: Any) -> protocol.Writing:
    options = CacheOptions(on_write="invalidate")
    CacheOnStorage(AskedCache(ask), AskedStorage(ask), options).set("key", n)
    return protocol.Writing(protocol.Settled.ACKNOWLEDGED)


@pytest.mark.parametrize("write", [_plain_set, _set_and_delete])
def test_a_plain_layer_is_found_to_be_stale(write: Any) -> None:
    plain = Scenario((replayed(write),), (replayed(_plain_get),), unacknowledged=False)
    found = explore(plain)
    print(f"\n{found}")
    assert found.violation.startswith("STALE")
    # The reader has missed and read, the writer has written and updated, and the reader fills.
    assert [line.split(":")[0] for line in found.trace[1:]] == [
        "reader 0",
        "reader 0",
        "writer 0",
        "writer 0",
        "reader 0",
    ]


# Protocols with something missing


@dataclass(frozen=True)
class Fault:
    """A scenario in which something is missing, and how what is found begins."""

    name: str
    found: str
    scenario: Scenario


def _fault(
    name: str, found: str, write: Client, read: Client = READ, clients: str = "wr", **more: Any
) -> Fault:
    """Return a fault of `write` or `read`, with a writer for every w and a reader for every r."""
    writers, readers = (write,) * clients.count("w"), (read,) * clients.count("r")
    return Fault(name, found, Scenario(writers, readers, **more))


# What others do: that the cache may be wrong after a crash is not held against them.
_OTHERS: dict[str, Any] = {"unacknowledged": False}
_UNFLUSHED = (ACTIVE, WRITE_ONLY, DOWN, WARM_UP, WRITE_ONLY, ACTIVE)
_FLUSHED_EARLY = (ACTIVE, WRITE_ONLY, DOWN, replace(WARM_UP, flushed=True), WRITE_ONLY, ACTIVE)

FAULTS = [
    _fault("a plain layer", "STALE", peers.write_through, peers.plain_read, **_OTHERS),
    _fault("two plain writes", "STALE", peers.write_through, clients="ww", **_OTHERS),
    _fault("delete after write", "STALE", peers.delete_after_write, peers.plain_read, **_OTHERS),
    _fault("a log before its commit", "STALE", peers.delete_before_the_commit, **_OTHERS),
    # Reads.
    _fault("fill by add", "STALE", WRITE_AND_LEAVE, peers.add_to_fill),
    _fault("the lease comes late", "STALE", WRITE_AND_LEAVE, peers.read_before_the_lease),
    _fault("fill a sentinel", "LEFT BEHIND", WRITE, peers.fill_over_a_sentinel, crashes=1),
    # Writes.
    _fault("skip step 1", "LEFT BEHIND", peers.skip_the_first_step, crashes=1),
    _fault("write untold", "STALE", peers.ignore_a_failure_to_join, unknown=1),
    _fault("settle nothing", "STALE", peers.acknowledge_unsettled, unknown=1, evictions=1),
    _fault("no invalidation", "STALE", peers.no_invalidation, evictions=1),
    _fault(
        "leave the sentinel of another",
        "STALE",
        peers.leave_a_sentinel_of_another,
        clients="ww",
        evictions=1,
    ),
    _fault(
        "the last one out leaves its value",
        "STALE",
        peers.keep_the_value_of_the_last_one_out,
        clients="ww",
    ),
    # Servers.
    _fault("tokens start anew", "STALE", WRITE, clients="wwr", restarts=1, counted=True),
    _fault("no flush", "STALE", WRITE, shards=_UNFLUSHED),
    _fault("a flush too early", "STALE", WRITE, clients="wwr", shards=_FLUSHED_EARLY),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_missing_is_found(fault: Fault) -> None:
    found = explore(fault.scenario)
    print(f"\n{found}")
    assert found.violation.startswith(fault.found), str(found)
    assert len(found.trace) >= 3


# The explorer


def test_histories_that_are_taken_for_one_lead_to_the_same() -> None:
    scenarios = [
        Scenario((WRITE,), (READ,), evictions=1, restarts=1, unknown=1),
        Scenario((WRITE, WRITE_AND_LEAVE), (READ,)),
    ]
    for scenario in scenarios:
        merged, apart = Explorer(scenario), Explorer(replace(scenario, merged=False))
        assert set(merged.views()) == set(apart.views())


def test_a_trace_can_be_read() -> None:
    found = explore(Scenario((peers.delete_after_write,), (peers.plain_read,)))
    assert found.trace[0] == "in the beginning the cache has None"
    assert found.trace[1].startswith("reader 0: Look(place=None) -> Seen(entry=None")
    assert any(line.startswith("writer 0: Commit() -> DONE") for line in found.trace)
    assert str(found).endswith(found.violation)


def test_too_many_states_are_an_error() -> None:
    with pytest.raises(MemoryError, match="more than 50 states"):
        Explorer(Scenario((WRITE, WRITE), (READ,))).run(limit=50)
