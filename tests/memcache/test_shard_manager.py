"""The keepers of a fleet: what a change keeps, closes and shows, and who is left alone when."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.fleets import DOWN, FLEET, KEYS, Connections
from support.memcached import Server
from support.pools import fork

from godropbox import memcache
from godropbox.memcache import (
    BaseShardManager,
    Fleet,
    Shard,
    ShardManager,
    ShardOptions,
    ShardState,
    ShardStatus,
    StaticShardManager,
)
from godropbox.memcache.connection import Connection
from godropbox.memcache.fleet.placement import Crc32, Hash2, Jump, Ketama, Rendezvous
from godropbox.resource_pool import LameDuckError, PoolExhaustedError


def used(shard: Shard) -> None:
    """Take a connection to a shard and give it back."""
    shard.pool.get().release()


# The fleet and its changes


def test_a_static_manager_has_its_servers_in_their_order() -> None:
    manager: ShardManager = StaticShardManager(FLEET)
    fleet = manager.fleet()
    assert [shard.address for shard in fleet.shards] == FLEET
    assert [shard.id for shard in fleet.shards] == list(range(8))
    assert all(shard.state is ShardState.ACTIVE for shard in fleet.shards)
    assert fleet.of_many(KEYS) == Hash2().bind(FLEET).of_many(KEYS)
    assert [fleet.of(key) for key in KEYS[:9]] == fleet.of_many(KEYS[:9])
    assert manager.fleet() is fleet
    assert repr(fleet) == "<Fleet of 8 shards>"
    assert repr(manager) == "<StaticShardManager of 8 shards>"
    assert repr(fleet.shards[2]) == "<Shard 2 at 10.0.0.2:11211: ACTIVE>"


def test_a_manager_takes_any_shard_function() -> None:
    for function in (Crc32(), Jump(), Ketama(), Rendezvous()):
        fleet = StaticShardManager(FLEET, function).fleet()
        assert fleet.of_many(KEYS) == function.bind(FLEET).of_many(KEYS)
    fleet = StaticShardManager(FLEET, lambda key, count: count - 1 if key else -1).fleet()
    assert fleet.of_many(["a", "", None]) == [7, -1, -2]


@pytest.mark.parametrize(
    ("state", "number", "serves", "sentinels", "warming"),
    [
        (ShardState.ACTIVE, 0, True, True, False),
        (ShardState.WRITE_ONLY, 1, False, True, False),
        (ShardState.DOWN, 2, False, False, False),
        (ShardState.WARM_UP, 4, False, True, True),
    ],
)
def test_what_each_state_is_for(
    state: ShardState, number: int, serves: bool, sentinels: bool, warming: bool
) -> None:
    manager = BaseShardManager()
    manager.update_shard_states([("a:1", number)])
    (shard,) = manager.fleet().shards
    assert shard.state is state
    assert (shard.serves, shard.takes_sentinels, shard.is_warming_up) == (
        serves,
        sentinels,
        warming,
    )


def test_a_new_manager_maps_no_key_until_it_is_told_of_servers() -> None:
    manager = BaseShardManager()
    assert manager.fleet().shards == ()
    assert manager.fleet().of("a") == -1
    assert manager.fleet().of_many(["a", b"b"]) == [-1, -1]
    manager.update_shard_states([ShardStatus("a:1")])
    assert manager.fleet().of("a") == 0
    manager.update_shard_states([])
    assert manager.fleet().of("a") == -1


def test_a_change_keeps_connections_of_what_stays_and_closes_the_others() -> None:
    connections = Connections()
    manager = StaticShardManager(["a:1", "b:1", "c:1"], options=ShardOptions(open=connections))
    old = manager.fleet()
    for shard in old.shards:
        used(shard)
    lent = old.shards[1].pool.get()
    assert connections.addresses() == ["a:1", "b:1", "c:1"]

    manager.update_shard_states([ShardStatus("c:1", ShardState.WRITE_ONLY), ShardStatus("d:1")])
    new = manager.fleet()
    assert connections.addresses() == ["b:1", "c:1"]  # a's was idle, b's is on loan
    lent.release()
    assert connections.addresses() == ["c:1"]
    with pytest.raises(LameDuckError):
        old.shards[0].pool.get()
    used(new.shards[0])
    assert connections.opened == 3
    assert new.shards[0].pool is old.shards[2].pool
    assert [shard.address for shard in old.shards] == ["a:1", "b:1", "c:1"]
    assert [(shard.id, shard.address) for shard in new.shards] == [(0, "c:1"), (1, "d:1")]


def test_a_change_of_states_alone_moves_no_key() -> None:
    manager = StaticShardManager(FLEET, Ketama())
    before = manager.fleet()
    manager.update_shard_states([(address, i % 2) for i, address in enumerate(FLEET)])
    after = manager.fleet()
    assert after.of_many(KEYS) == before.of_many(KEYS)
    assert after.shards[0] is before.shards[0]
    assert after.shards[1] is not before.shards[1]
    assert after.shards[1].pool is before.shards[1].pool


def test_no_snapshot_is_half_changed() -> None:
    """Four threads place keys while the fleet goes to and fro: every one sees all or nothing."""
    manager = BaseShardManager(options=ShardOptions(open=Connections()))
    fleets = [[f"{name}{i}:1" for i in range(size)] for name, size in (("a", 3), ("b", 9))]
    manager.update_shard_states([(address, 0) for address in fleets[0]])
    expected = {len(fleet): Hash2().bind(fleet).of_many(KEYS) for fleet in fleets}
    wrong: list[Fleet] = []
    done = threading.Event()
    seen = threading.Barrier(5)

    def look() -> None:
        seen.wait()
        while not done.is_set():
            fleet = manager.fleet()
            names = {shard.address[0] for shard in fleet.shards}
            if len(names) != 1 or fleet.of_many(KEYS) != expected[len(fleet.shards)]:
                wrong.append(fleet)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen.wait()
    try:
        for i in range(300):
            manager.update_shard_states([(address, 0) for address in fleets[i % 2]])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_close_closes_idle_connections_now_and_the_others_as_they_come_back() -> None:
    connections = Connections()
    with StaticShardManager(["a:1", "b:1"], options=ShardOptions(open=connections)) as manager:
        for shard in manager.fleet().shards:
            used(shard)
        lent = manager.fleet().shards[0].pool.get()
    assert connections.addresses() == ["a:1"]
    lent.release()
    assert connections.open == []
    with pytest.raises(LameDuckError):
        manager.fleet().shards[1].pool.get()
    with pytest.raises(LameDuckError, match="the shard manager was closed"):
        manager.update_shard_states([])
    manager.close()


BAD_STATES: list[tuple[Any, type[Exception], str]] = [
    ("a:1", TypeError, "states must be an iterable of pairs of an address and a state, got 'a:1'"),
    (5, TypeError, "states must be an iterable of pairs"),
    (["a:1"], TypeError, "states must hold pairs of an address and a state, got 'a:1'"),
    ([(5, 0)], TypeError, "states must hold pairs of an address and a state"),
    ([("a:1", 3)], ValueError, r"the state of 'a:1' must be one of 0 \(ACTIVE\), .*, got 3"),
    ([("a:1", "DOWN")], ValueError, "the state of 'a:1' must be one of"),
    ([("a:x", 0)], ValueError, "address must be host, host:port"),
    ([("", 0)], ValueError, "address must be host, host:port"),
    ([("a", 0), ("a:11211", 0)], ValueError, "name each server once, got 'a' and 'a:11211'"),
    (((f"a{i}:1", 0) for i in range(65536)), ValueError, "states must be at most 65535, got 65536"),
]


@pytest.mark.parametrize(("states", "kind", "words"), BAD_STATES)
def test_bad_states_change_nothing(states: Any, kind: type[Exception], words: str) -> None:
    manager = StaticShardManager(["z:1"])
    fleet = manager.fleet()
    with pytest.raises(kind, match=words):
        manager.update_shard_states(states)
    assert manager.fleet() is fleet
    assert fleet.shards[0].pool.is_lame_duck is False


def test_a_change_that_is_interrupted_changes_nothing() -> None:
    two, three = ([(f"10.0.0.{i}:11211", 0) for i in range(count)] for count in (2, 3))
    manager = BaseShardManager(Hash2())
    manager.update_shard_states(two)
    pools: Any = manager._pools

    def interrupted(locations: Any) -> None:
        raise KeyboardInterrupt

    pools.set_locations, set_locations = interrupted, pools.set_locations
    with pytest.raises(KeyboardInterrupt):
        manager.update_shard_states(three)
    pools.set_locations = set_locations
    keys = [f"key-{i}" for i in range(100)]
    for states in (two, three):
        manager.update_shard_states(states)
        assert {*manager.fleet().of_many(keys)} == {*range(len(states))}


def test_bad_fleets_are_refused() -> None:
    with pytest.raises(memcache.InvalidArgumentError, match="at least one server, got none"):
        StaticShardManager([])
    with pytest.raises(memcache.InvalidTypeError, match="addresses must be a list of str, such"):
        StaticShardManager("a:1")
    with pytest.raises(memcache.InvalidTypeError, match="addresses must hold str, such"):
        StaticShardManager([5])  # type: ignore[list-item]
    with pytest.raises(memcache.InvalidTypeError, match="shard_func must be a shard function"):
        StaticShardManager(["a:1"], "hash2")  # type: ignore[arg-type]


def test_the_pools_have_the_limits_of_the_options() -> None:
    options = ShardOptions(open=Connections(), max_active=1)
    shard = StaticShardManager(["a:1"], options=options).fleet().shards[0]
    lent = shard.pool.get()
    with pytest.raises(PoolExhaustedError):
        shard.pool.get()
    lent.release()


def test_by_default_connections_are_to_the_server(servers: Callable[[str], Server]) -> None:
    options = ShardOptions(timeout=10.0, connect_timeout=10.0)
    with StaticShardManager([servers("tcp").address], options=options) as manager:
        with manager.fleet().shards[0].pool.get() as loan:
            connection = loan.handle
            assert isinstance(connection, Connection)
            assert connection.timeout == 10.0
            assert connection.run(memcache.AsciiProtocol().version()).ok
            assert connection.is_valid
        assert manager.fleet().shards[0].pool.num_idle == 1


def test_a_server_that_is_not_there_is_a_networks_error() -> None:
    shard = StaticShardManager(["unix:/nobody/listens/here"]).fleet().shards[0]
    with pytest.raises(memcache.ConnectionLostError, match="cannot connect to unix:/nobody"):
        shard.pool.get()


def test_a_child_has_the_fleet_and_no_connections_of_its_parents(
    servers: Callable[[str], Server],
) -> None:
    manager = StaticShardManager([servers("tcp").address])
    used(manager.fleet().shards[0])
    manager._lock.acquire()  # as if another thread was changing the fleet
    child = fork()
    if not child:
        try:
            shard = manager.fleet().shards[0]
            idle = shard.pool.num_idle
            with shard.pool.get() as loan:
                fresh = loan.handle.run(memcache.AsciiProtocol().version()).ok
            manager.update_shard_states([])
            os._exit(0 if (idle, fresh) == (0, True) else 1)
        finally:
            os._exit(2)
    manager._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with manager.fleet().shards[0].pool.get() as loan:
        assert loan.handle.run(memcache.AsciiProtocol().version()).ok
    manager.close()


BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeout": 0}, ValueError, r"timeout must be in \(0, 1000\) seconds, got 0"),
    ({"timeout": "1"}, TypeError, "timeout must be a number, got '1'"),
    ({"connect_timeout": None}, TypeError, "connect_timeout must be a number, got None"),
    ({"pool_timeout": -1}, ValueError, r"pool_timeout must be in \(0, 1e9\) seconds, got -1"),
    ({"max_active": 0}, ValueError, r"max_active must be in \[1, 2\*\*31\), got 0"),
    ({"max_idle": -1}, ValueError, r"max_idle must be an int in \[0, 2\*\*31\), got -1"),
    ({"eject_after": -1}, ValueError, r"eject_after must be an int in \[0, 2\*\*31\), got -1"),
    ({"retry_after": 0}, ValueError, r"retry_after must be in \(0, 1e9\) seconds, got 0"),
    ({"max_retry_after": 0.5}, ValueError, "max_retry_after must be at least retry_after, 1.0"),
    ({"retry_jitter": 1.5}, ValueError, r"retry_jitter must be in \[0, 1\], got 1.5"),
    ({"ejected": "skip"}, ValueError, "ejected must be 'miss' or 'next', got 'skip'"),
]


@pytest.mark.parametrize(("given", "kind", "words"), BAD_OPTIONS)
def test_bad_options_are_refused(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        ShardOptions(**given)


# Names


def named(*servers: tuple[str, str]) -> list[ShardStatus]:
    return [ShardStatus(address, name=name) for name, address in servers]


@pytest.mark.parametrize("function", [Hash2(), Jump(), Crc32(), Ketama(), Rendezvous()])
def test_a_server_keeps_its_keys_at_another_address(function: Any) -> None:
    names = ["cache-0", "cache-1", "the third: nobody's address", "10.0.0.3:11211"]
    manager = BaseShardManager(function)
    manager.update_shard_states(named(*zip(names, ["a:1", "b:1", "c:1", "d:1"], strict=True)))
    before = manager.fleet()
    assert before.of_many(KEYS) == function.bind(names).of_many(KEYS)
    assert set(before.of_many(KEYS)) == {0, 1, 2, 3}
    manager.update_shard_states(named(*zip(names, ["a:1", "e:1", "c:1", "b:1"], strict=True)))
    after = manager.fleet()
    assert after.of_many(KEYS) == before.of_many(KEYS)
    assert [shard.address for shard in after.shards] == ["a:1", "e:1", "c:1", "b:1"]
    assert [shard.name for shard in after.shards] == names
    assert [now is old for now, old in zip(after.shards, before.shards, strict=True)] == [
        True,
        False,
        True,
        False,
    ]


def test_a_name_is_the_address_unless_it_is_given() -> None:
    manager = StaticShardManager(["a:1", "b:1"], Ketama())
    (shard, _) = manager.fleet().shards
    assert (shard.name, repr(shard)) == ("a:1", "<Shard 0 at a:1: ACTIVE>")
    placed = manager.fleet().of_many(KEYS)
    manager.update_shard_states(named(("a:1", "c:1"), ("b:1", "a:1")))
    assert manager.fleet().of_many(KEYS) == placed
    assert repr(manager.fleet().shards[0]) == "<Shard 0, a:1, at c:1: ACTIVE>"


def test_a_server_at_another_address_has_a_new_record_and_a_new_pool() -> None:
    connections = Connections()
    options = ShardOptions(open=connections, eject_after=1, ejected="next")
    manager = BaseShardManager(Ketama(), options)
    manager.update_shard_states(named(("x", "a:1"), ("y", "b:1"), ("z", "c:1")))
    old = manager.fleet()
    for shard in old.shards:
        used(shard)
        manager.failed(shard, DOWN)
    manager.update_shard_states(named(("x", "a:1"), ("y", "d:1"), ("z", "b:1")))
    new = manager.fleet()
    assert [shard.is_ejected for shard in new.shards] == [True, False, False]
    assert new.shards[1].pool is not old.shards[1].pool
    assert connections.addresses() == ["a:1", "b:1"]
    assert set(new.of_many(KEYS)) == {1, 2}
    manager.failed(old.shards[1], DOWN)  # an operation that began before
    assert [shard.is_ejected for shard in new.shards] == [True, False, False]


def test_ejection_goes_on_by_names() -> None:
    names = ["cache-0", "cache-1", "cache-2"]
    manager = BaseShardManager(Ketama(), ShardOptions(eject_after=1, ejected="next"))
    manager.update_shard_states(named(*zip(names, ["a:1", "b:1", "c:1"], strict=True)))
    fleet = manager.fleet()
    manager.failed(fleet.shards[1], DOWN)
    assert fleet.of_many(KEYS) == Ketama().among(names, [0, 2]).of_many(KEYS)


def test_weights_are_by_name() -> None:
    manager = BaseShardManager(Ketama({"Heavy": 50}))
    manager.update_shard_states(named(("light", "a:1"), ("heavy", "b:1")))
    placed = manager.fleet().of_many(KEYS)
    assert placed.count(1) > 9 * placed.count(0)


def test_pairs_and_triples_are_taken() -> None:
    manager = BaseShardManager()
    manager.update_shard_states([("a:1", 0), ("b:1", 2, "x")])  # type: ignore[list-item]
    assert [(each.name, each.address) for each in manager.fleet().shards] == [
        ("a:1", "a:1"),
        ("x", "b:1"),
    ]


@pytest.mark.parametrize(
    ("states", "error", "message"),
    [
        (named(("x", "a:1"), ("x", "b:1")), ValueError, "of different names, got 'x' and 'x'"),
        (named(("b:1", "a:1"), ("", "b:1")), ValueError, "different names, got 'b:1' and 'b:1'"),
        (named(("cache", "a:1"), ("CACHE:11211", "b:1")), ValueError, "of different names"),
        (named(("x", "a:1"), ("y", "a:1")), ValueError, "must name each server once, got 'a:1'"),
        (named(("a\nb", "a:1")), ValueError, r"must be printable text, got 'a\\nb'"),
        ([ShardStatus("a:1", name=None)], TypeError, "name of a server must be a str, got None"),  # type: ignore[arg-type]
        ([("a:1", 0, "x", 1)], TypeError, "must hold pairs of an address and a state"),
        ([("a:1",)], TypeError, "must hold pairs of an address and a state"),
    ],
)
def test_bad_names_are_refused(states: Any, error: type[Exception], message: str) -> None:
    manager = StaticShardManager(["a:1"])
    before = manager.fleet()
    with pytest.raises(error, match=message):
        manager.update_shard_states(states)
    assert manager.fleet() is before


def test_an_error_names_the_server_where_the_name_is_not_the_address() -> None:
    manager = BaseShardManager()
    manager.update_shard_states(named(("cache-0", "127.0.0.1:1")))
    with memcache.Client(manager) as client, pytest.raises(memcache.NetworkError) as raised:
        client.get("key")
    assert str(raised.value).startswith("shard 0, cache-0, at 127.0.0.1:1: ")
    assert raised.value.fields["name"] == "cache-0"
