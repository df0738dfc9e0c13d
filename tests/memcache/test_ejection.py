"""Leaving failing servers alone: who is ejected when, who tries it again, where its keys go."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.fleets import DOWN, FLEET, KEYS, Clock, Connections

from godropbox import memcache
from godropbox.memcache import (
    BaseShardManager,
    Fleet,
    Shard,
    ShardOptions,
    StaticShardManager,
)
from godropbox.memcache.fleet.placement import Crc32, Hash2, Jump, Ketama, Rendezvous


def ejecting(clock: Clock, **more: Any) -> BaseShardManager:
    options = ShardOptions(
        open=Connections(),
        eject_after=3,
        retry_after=2.0,
        max_retry_after=10.0,
        clock=clock,
        **more,
    )
    return StaticShardManager(FLEET, options=options)


def eject(manager: BaseShardManager, number: int) -> Shard:
    shard = manager.fleet().shards[number]
    for _ in range(3):
        manager.failed(shard, DOWN)
    assert shard.is_ejected
    return shard


def test_by_default_nothing_is_ejected_and_nothing_counted() -> None:
    manager = StaticShardManager(FLEET)
    shard = manager.fleet().shards[0]
    for _ in range(100):
        manager.failed(shard, DOWN)
    assert (shard.failures, shard.is_ejected, shard.admits()) == (0, False, True)


def test_a_server_is_ejected_after_failures_in_a_row() -> None:
    manager = ejecting(Clock())
    shard = manager.fleet().shards[0]
    for _ in range(2):
        manager.failed(shard, DOWN)
    assert (shard.failures, shard.is_ejected) == (2, False)
    manager.succeeded(shard)
    assert shard.failures == 0
    for _ in range(2):
        manager.failed(shard, memcache.DeadlineExceededError("slow"))
    assert not shard.is_ejected
    manager.failed(shard, DOWN)
    assert shard.is_ejected
    assert not shard.admits()
    assert repr(shard) == "<Shard 0 at 10.0.0.0:11211: ACTIVE, ejected>"
    assert [s.id for s in manager.fleet().shards if s.is_ejected] == [0]


def test_only_the_networks_failures_count() -> None:
    manager = ejecting(Clock())
    shard = manager.fleet().shards[0]
    for error in (memcache.ServerError("no"), memcache.UsageError("no"), ValueError("no")):
        for _ in range(5):
            manager.failed(shard, error)
    assert (shard.failures, shard.is_ejected) == (0, False)


def test_one_operation_tries_the_server_after_each_back_off_which_doubles_up_to_a_limit() -> None:
    clock = Clock()
    manager = ejecting(clock, retry_jitter=0.0)
    shard = eject(manager, 0)
    for wait in (2.0, 4.0, 8.0, 10.0, 10.0):
        clock.now += wait - 0.001
        assert not shard.admits()
        clock.now += 0.001
        assert [shard.admits() for _ in range(3)] == [True, False, False]
        assert shard.is_ejected
        manager.failed(shard, DOWN)
    clock.now += 10.0
    assert shard.admits()
    manager.succeeded(shard)
    assert (shard.failures, shard.is_ejected) == (0, False)
    eject(manager, 0)
    clock.now += 2.0  # the back-off began anew
    assert shard.admits()


def test_a_trial_that_never_ends_holds_nobody_up_for_good() -> None:
    clock = Clock()
    shard = eject(ejecting(clock, retry_jitter=0.0), 0)
    clock.now += 2.0
    assert shard.admits()
    clock.now += 1.999
    assert not shard.admits()
    clock.now += 0.001
    assert shard.admits()


def test_late_failures_of_earlier_operations_prolong_nothing() -> None:
    clock = Clock()
    manager = ejecting(clock, retry_jitter=0.0)
    shard = eject(manager, 0)
    clock.now += 1.0
    for _ in range(10):
        manager.failed(shard, DOWN)
    clock.now += 1.0
    assert shard.admits()


def test_a_random_part_of_the_back_off_is_taken_off() -> None:
    clock = Clock()
    shard = eject(ejecting(clock, retry_jitter=0.5, random=lambda: 0.5), 0)
    clock.now += 1.499
    assert not shard.admits()
    clock.now += 0.001  # 2 seconds, less a quarter
    assert shard.admits()


def test_a_change_of_the_fleet_keeps_the_record_of_what_stays() -> None:
    manager = ejecting(Clock())
    eject(manager, 1)
    manager.update_shard_states([(FLEET[1], 0), (FLEET[2], 0)])
    first, second = manager.fleet().shards
    assert (first.is_ejected, second.is_ejected) == (True, False)
    manager.succeeded(first)
    manager.update_shard_states([(FLEET[2], 0)])
    manager.update_shard_states([(FLEET[1], 0)])
    assert not manager.fleet().shards[0].is_ejected


def test_what_went_has_no_record_any_more() -> None:
    manager = ejecting(Clock(), ejected="next")
    before = manager.fleet().of_many(KEYS)
    gone = eject(manager, 7)
    manager.update_shard_states([(address, 0) for address in FLEET[:7]])
    assert (gone.failures, gone.is_ejected) == (0, False)
    for _ in range(5):  # operations that began when it was there
        manager.failed(gone, DOWN)
    assert (gone.failures, gone.is_ejected) == (0, False)
    manager.update_shard_states([(address, 0) for address in FLEET])
    assert not manager.fleet().shards[7].is_ejected
    assert manager.fleet().of_many(KEYS) == before


def test_a_miss_leaves_keys_where_they_are() -> None:
    manager = ejecting(Clock())
    before = manager.fleet().of_many(KEYS)
    eject(manager, 1)
    assert manager.fleet().of_many(KEYS) == before


# Diverting


@pytest.mark.parametrize("function", [Crc32(), Jump(), lambda key, count: 0])
def test_diverting_needs_a_function_with_a_next_shard(function: Any) -> None:
    options = ShardOptions(eject_after=1, ejected="next")
    with pytest.raises(
        memcache.InvalidArgumentError, match="ejected='next' needs a shard function"
    ):
        BaseShardManager(function, options)


def places(fleet: Fleet, how: str) -> list[int]:
    return fleet.of_many(KEYS) if how == "many" else [fleet.of(key) for key in KEYS]


@pytest.mark.parametrize("how", ["one", "many"])
@pytest.mark.parametrize("function", [Hash2(), Ketama(), Rendezvous()])
def test_keys_of_an_ejected_server_live_on_their_next(function: Any, how: str) -> None:
    clock = Clock()
    options = ShardOptions(eject_after=1, retry_after=2.0, ejected="next", clock=clock)
    manager = StaticShardManager(FLEET, function, options)
    fleet = manager.fleet()
    manager.failed(fleet.shards[3], DOWN)
    manager.failed(fleet.shards[5], DOWN)
    assert places(fleet, how) == function.among(FLEET, [0, 1, 2, 4, 6, 7]).of_many(KEYS)
    manager.succeeded(fleet.shards[5])
    assert places(fleet, how) == function.among(FLEET, [0, 1, 2, 4, 5, 6, 7]).of_many(KEYS)
    manager.succeeded(fleet.shards[3])
    assert places(fleet, how) == function.bind(FLEET).of_many(KEYS)


@pytest.mark.parametrize("how", ["one", "many"])
def test_one_operation_tries_the_server_with_its_own_keys(how: str) -> None:
    clock = Clock()
    manager = ejecting(clock, ejected="next", retry_jitter=0.0)
    fleet = manager.fleet()
    shard = eject(manager, 3)
    key = KEYS[Hash2().bind(FLEET).of_many(KEYS).index(3)]

    def place() -> int:
        return fleet.of_many([key])[0] if how == "many" else fleet.of(key)

    following = place()
    assert following != 3
    clock.now += 2.0
    assert place() == 3
    assert shard.is_ejected
    assert shard.admits()  # it is the trial
    assert [place() for _ in range(3)] == [following] * 3
    manager.failed(shard, DOWN)
    clock.now += 3.999
    assert place() == following
    clock.now += 0.001
    assert place() == 3
    manager.succeeded(shard)
    assert [place() for _ in range(3)] == [3] * 3


def test_keys_are_diverted_only_to_servers_that_serve() -> None:
    manager = ejecting(Clock(), ejected="next")
    manager.update_shard_states([(a, 2 if i in (1, 2) else 0) for i, a in enumerate(FLEET)])
    eject(manager, 3)
    whole = Hash2().bind(FLEET).of_many(KEYS)
    now = manager.fleet().of_many(KEYS)
    assert {new for old, new in zip(whole, now, strict=True) if old == 3} == {0, 4, 5, 6, 7}
    assert all(new == old for old, new in zip(whole, now, strict=True) if old != 3)


@pytest.mark.parametrize("how", ["one", "many"])
def test_where_no_server_is_left_keys_stay_and_are_a_miss(how: str) -> None:
    clock = Clock()
    manager = ejecting(clock, ejected="next")
    for i in range(8):
        eject(manager, i)
    fleet = manager.fleet()
    assert places(fleet, how) == Hash2().bind(FLEET).of_many(KEYS)
    assert not any(shard.admits() for shard in fleet.shards)


def test_diverting_leaves_what_is_no_key_alone() -> None:
    manager = ejecting(Clock(), ejected="next")
    eject(manager, 0)
    assert manager.fleet().of_many([None, 5]) == [-2, -2]
    with pytest.raises(TypeError, match="key must be str or bytes, got 5"):
        manager.fleet().of(5)  # type: ignore[arg-type]


def test_trials_are_one_at_a_time_among_threads() -> None:
    clock = Clock()
    shard = eject(ejecting(clock), 0)
    clock.now += 2.0
    admitted: list[bool] = []
    start = threading.Barrier(8)

    def ask(admits: Callable[[], bool]) -> None:
        start.wait()
        admitted.append(admits())

    threads = [threading.Thread(target=ask, args=(shard.admits,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(admitted) == [False] * 7 + [True]
