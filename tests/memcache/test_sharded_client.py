"""Sharded clients over real servers: operations, the order of answers, states and sentinels."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.blocking import Blocking
from support.memcache_suite import CHECKS
from support.memcached import need_tokens
from support.server_fleets import (
    DRIVERS,
    PROTOCOLS,
    ServerFleet,
    loans,
    owner,
    sharded,
    unverified,
)

from godropbox import memcache
from godropbox.memcache import (
    BaseShardManager,
    Item,
    MetaProtocol,
    ResponseStatus,
    ShardedClient,
    ShardState,
    StaticShardManager,
)
from godropbox.memcache.aio import (
    AsyncBaseShardManager,
    AsyncClient,
    AsyncShardedClient,
    AsyncStaticShardManager,
)

MISS = ResponseStatus.KEY_NOT_FOUND
NOT_STORED = ResponseStatus.ITEM_NOT_STORED
KEYS = [f"key:{i}" for i in range(200)]


class Checked(ShardedClient):
    """A client of which the suite can ask what it asks of a connection."""

    is_valid = True


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFleet]:
    fleet = ServerFleet("tcp", 3, tmp_path_factory.mktemp("plain"))
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFleet]:
    fleet = ServerFleet("tls", 2, tmp_path_factory.mktemp("secure"))
    yield fleet
    fleet.close()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """What drives the client: threads that block, or a kind of event loop."""
    name: str = request.param
    return name


@pytest.fixture(params=list(PROTOCOLS))
def client(request: pytest.FixtureRequest, driver: str, plain: ServerFleet) -> Iterator[Any]:
    with sharded(plain, request.param, kind=Checked, driver=driver) as client:
        assert client.flush().ok
        yield client


@pytest.fixture
def manager(driver: str) -> Iterator[Any]:
    with new_manager(driver, lambda key, count: int(key[-1]) % count) as manager:
        yield manager
        if driver == "blocking":
            assert loans(manager) == 0


def new_manager(driver: str, shard_func: Callable[[Any, int], int]) -> Any:
    if driver == "blocking":
        return BaseShardManager(shard_func)
    return Blocking(AsyncBaseShardManager(shard_func), driver)


def new_client(manager: Any, protocol: Any, **options: Any) -> Any:
    """Return a client over what ``new_manager`` returned."""
    if isinstance(manager, Blocking):
        return Blocking(AsyncShardedClient(manager.inner, protocol, **options), manager)
    return ShardedClient(manager, protocol, **options)


def new_plain(manager: Any, protocol: Any) -> Any:
    """Return a client of values over what ``new_manager`` returned."""
    if isinstance(manager, Blocking):
        return Blocking(AsyncClient(manager.inner, protocol=protocol), manager)
    return memcache.Client(manager, protocol=protocol)


def checks() -> list[Callable[[Any], None]]:
    return [check for check in CHECKS if check.__name__ != "quit_ends_it"]


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
def test_conformance(check: Callable[[Any], None], client: ShardedClient) -> None:
    check(client)


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_conformance_over_tls(
    check: Callable[[Any], None], protocol: str, driver: str, secure: ServerFleet
) -> None:
    with sharded(secure, protocol, tls=True, kind=Checked, driver=driver) as client:
        assert client.flush().ok
        check(client)


def test_keys_live_where_the_fleet_says(client: ShardedClient, plain: ServerFleet) -> None:
    assert all(r.ok for r in client.set_multi([Item(key, key.encode()) for key in KEYS]))
    for at, address in enumerate(plain.addresses):
        with memcache.RawAsciiClient(memcache.connect(address)) as raw:
            found = raw.get_multi(KEYS)
            assert {key for key in KEYS if found[key].found} == {
                key for key in KEYS if owner(client, key) == at
            }


def test_answers_come_in_the_order_asked(client: ShardedClient) -> None:
    items = [Item(key, str(at).encode()) for at, key in enumerate(KEYS)]
    assert [r.key for r in client.set_multi(items)] == KEYS
    client.delete_multi(KEYS[::3])
    shuffled = KEYS[100:] + KEYS[:100] + KEYS[50:60]
    found = client.get_multi(shuffled)
    assert list(found) == KEYS[100:] + KEYS[:100]
    assert [found[k].value for k in KEYS] == [
        None if at % 3 == 0 else str(at).encode() for at in range(200)
    ]
    statuses = [r.status for r in client.delete_multi(KEYS)]
    assert statuses == [MISS if at % 3 == 0 else ResponseStatus.OK for at in range(200)]


def test_values_are_set_in_the_least_time(client: ShardedClient) -> None:
    values = [key.encode() for key in KEYS]
    assert client.set_values(KEYS, values) == []
    found, rest = client.get_values([*KEYS, "none"])
    assert list(found.items()) == list(zip(KEYS, values, strict=True))
    assert not rest
    assert client.set_values(iter(["a", "b", "c"]), [b"1", b"", b"3"], [0, 0, 7], 60) == []
    found, rest = client.get_values(["c", "a", "b", "a"])
    assert found == {"a": b"1"}
    assert {key: (each.value, each.flags) for key, each in rest.items()} == {
        "b": (b"", 0),
        "c": (b"3", 7),
    }
    assert client.set_values(["a", "b"], [b"2", b"2"], None, -1) == []
    assert client.get_values(["a", "b"]) == ({}, {})
    assert client.set_values([], []) == []
    large = [b"x" * 100_000, b"y" * 16_383]  # of which one is sent from where it lies
    assert client.set_values(["x", "y"], large) == []
    assert [each.value for each in client.get_multi(["x", "y"]).values()] == large


def test_what_was_not_set_has_answers_for_all(client: ShardedClient) -> None:
    answers = client.set_values(["a", "a b", "c"], [b"1", b"2", b"3" * 2_000_000])
    assert [answer.key for answer in answers] == ["a", "a b", "c"]
    assert [answer.ok for answer in answers] == [True, False, False]
    assert isinstance(answers[1].error, memcache.InvalidArgumentError)
    assert isinstance(answers[2].error, memcache.ServerError)
    answers = client.set_values(["a", "b"], [b"1", "text"])  # type: ignore[list-item]
    assert [answer.ok for answer in answers] == [True, False]
    for flags, words in (([0], "got 1 and 1"), (None, "got 1"), ([0, 0], "got 1 and 2")):
        with pytest.raises(
            memcache.InvalidArgumentError, match=f"flags must be 2, one a key, {words}"
        ):
            client.set_values(["a", "b"], [b"1"], flags)


@pytest.mark.parametrize("kind", ["plain", "secure"])
def test_a_get_leaves_the_loading_of_a_stale_item_to_who_asks_for_it(
    kind: str, driver: str, request: pytest.FixtureRequest
) -> None:
    fleet: ServerFleet = request.getfixturevalue(kind)
    tls = unverified() if kind == "secure" else None
    with sharded(fleet, "meta", tls=tls is not None, driver=driver) as client:
        where = fleet.addresses[owner(client, "a")]
        with memcache.RawMetaClient(memcache.connect(where, tls=tls)) as raw:
            client.set(Item("a", b"old", flags=4))
            for _ in range(2):
                assert raw.meta_delete("a", stale=True, expire=30).ok
                for answer in (
                    client.get("a"),
                    client.get_multi(["a"])["a"],
                    client.get_values(["a"])[1]["a"],
                ):
                    assert (answer.value, answer.flags, answer.error) == (b"old", 4, None)
                assert raw.meta_get("a").won


def test_keys_of_any_bytes_go_over_meta(plain: ServerFleet, driver: str) -> None:
    manager: Any = StaticShardManager(plain.addresses)
    if driver != "blocking":
        manager = Blocking(AsyncStaticShardManager(plain.addresses), driver)
    with new_client(manager, MetaProtocol(binary_keys=True)) as client:
        keys = [b"a b", b"\r\n", b"\x00\xff"]
        assert client.set_values(keys, [b"1", b"2", b"3"]) == []
        assert client.get_values(keys) == (dict(zip(keys, [b"1", b"2", b"3"], strict=True)), {})
        assert client.get(b"a b").value == b"1"
        assert client.get_multi(keys)[b"\r\n"].value == b"2"


def test_tokens_are_heeded_in_a_batch(client: ShardedClient) -> None:
    need_tokens()
    client.set_multi([Item(key, b"1") for key in KEYS])
    tokens = {key: answer.cas for key, answer in client.get_multi(KEYS).items()}
    client.set(Item(KEYS[3], b"changed"))
    answers = client.set_multi([Item(key, b"2", 5, tokens[key], 60) for key in KEYS])
    assert [answer.ok for answer in answers] == [key != KEYS[3] for key in KEYS]
    assert answers[3].status is ResponseStatus.KEY_EXISTS
    now = client.get_multi(KEYS)
    assert now[KEYS[3]].value == b"changed"
    assert all(now[key].value == b"2" and now[key].flags == 5 for key in KEYS if key != KEYS[3])


def test_bad_and_double_keys_have_answers_in_their_places(client: ShardedClient) -> None:
    items = [Item("a", b"1"), Item("b c", b"2"), Item("d", b"3"), Item("a", b"4"), Item(5, b"")]  # type: ignore[arg-type]
    answers = client.set_multi([*items, "no item", Item("e", "text")])  # type: ignore[list-item,arg-type]
    assert [r.key for r in answers] == ["a", "b c", "d", "a", 5, "no item", "e"]
    assert [r.ok for r in answers] == [True, False, True, True, False, False, False]
    assert {type(r.error) for r in answers if not r.ok} <= {
        memcache.InvalidArgumentError,
        memcache.InvalidTypeError,
    }
    assert client.get("a").value == b"4"
    found = client.get_multi(["d", "b c", 5, "a", "\udc80", None])  # type: ignore[list-item]
    assert [key for key in found if found[key].error is None] == ["d", "a"]
    assert [r.ok for r in client.delete_multi(["a", "a", "b c", b"d"])] == [
        True,
        False,
        False,
        True,
    ]


def test_versions_and_statistics_are_by_shard(client: ShardedClient, plain: ServerFleet) -> None:
    assert sorted(client.version().versions) == [0, 1, 2]
    pids = {shard: each["pid"] for shard, each in client.stats().entries.items()}
    assert pids == {at: str(each.process.pid) for at, each in enumerate(plain.servers)}


def test_what_one_protocol_alone_can_do(plain: ServerFleet, driver: str) -> None:
    with sharded(plain, "meta", driver=driver) as client:
        client.delete("lease")
        won = client.run("lease", lambda p, key: p.meta_get(key, lease=10))
        lost = client.run("lease", lambda p, key: p.meta_get(key, lease=10))
        assert (won.won, lost.won, lost.taken) == (True, False, True)
        assert client.run("lease", lambda p, key: p.delete(key)).ok
        with pytest.raises(memcache.InvalidArgumentError, match="key must"):
            client.run("a b", lambda p, key: p.meta_get(key))


def test_an_unmapped_key_is_an_error_of_its_own(plain: ServerFleet, driver: str) -> None:
    def place(key: Any, count: int) -> int:
        return -1 if "lost" in str(key) else 0

    with sharded(plain, shard_func=place, driver=driver) as client:
        for response in (client.get("lost"), client.set(Item("lost", b"")), client.delete("lost")):
            assert isinstance(response.error, memcache.UnmappedKeyError)
            assert response.status is ResponseStatus.WRONG_VBUCKET
        assert isinstance(client.increment("lost").error, memcache.UnmappedKeyError)
        found = client.get_multi(["here", "lost", "lost-too", "a lost"])
        kinds = [type(r.error) for r in found.values()]
        assert kinds == [
            type(None),
            memcache.UnmappedKeyError,
            memcache.UnmappedKeyError,
            memcache.InvalidArgumentError,
        ]
        answers = client.set_multi([Item("lost", b""), Item("here", b"1")])
        assert [r.ok for r in answers] == [False, True]
        with pytest.raises(memcache.InvalidArgumentError, match="key must"):
            client.get("a lost")


STATES = [ShardState.ACTIVE, ShardState.WRITE_ONLY, ShardState.DOWN, ShardState.WARM_UP]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("state", STATES)
def test_what_is_not_for_a_shard_is_skipped(
    state: ShardState, protocol: str, plain: ServerFleet, manager: Any
) -> None:
    client = new_client(manager, PROTOCOLS[protocol]())
    manager.update_shard_states([(each, ShardState.ACTIVE) for each in plain.addresses])
    client.set_multi([Item("k0", b"0"), Item("k1", b"1"), Item("s1", b"s")])
    states = [ShardState.ACTIVE, state, ShardState.ACTIVE]
    manager.update_shard_states(list(zip(plain.addresses, states, strict=True)))
    skips = state is not ShardState.ACTIVE
    get, store, count = client.get("k1"), client.set(Item("k1", b"1")), client.increment("k1")
    assert [r.skipped for r in (get, store, count)] == [skips] * 3
    if skips:
        assert (get.status, store.status, count.status) == (MISS, NOT_STORED, MISS)
        assert (get.found, store.ok, count.error) == (False, False, None)
        assert "skipped=True" in repr(get)
    found = client.get_multi(["k0", "k1", "bad 1"])
    assert [r.skipped for r in found.values()] == [False, skips, False]
    assert isinstance(found["bad 1"].error, memcache.InvalidArgumentError)
    answers = client.set_multi([Item("k0", b"0"), Item("k1", b"1"), Item("bad 1", b"")])
    assert [(r.skipped, r.ok) for r in answers] == [
        (False, True),
        (skips, not skips),
        (False, False),
    ]
    assert [r.skipped for r in client.delete_multi(["k0", "k1"])] == [False, skips]
    takes = state is not ShardState.DOWN
    found = client.get_sentinels(["s1"])
    assert (found["s1"].value, found["s1"].skipped) == ((b"s", False) if takes else (None, True))
    answers = client.set_sentinels([Item("k0", b"0"), Item("s1", b"s")])
    assert [(r.ok, r.skipped) for r in answers] == [(True, False), (takes, not takes)]
    answer = client.run("s1", lambda p, key: p.set(Item(key, b"s")), sentinel=True)
    assert (answer.ok, answer.skipped) == (takes, not takes)
    assert sorted(client.version().versions) == ([0, 1, 2] if takes else [0, 2])


def test_while_a_shard_warms_up_failed_sentinel_writes_are_successes(
    plain: ServerFleet, manager: Any
) -> None:
    client = new_client(manager, MetaProtocol())
    nobody = "127.0.0.1:9"
    for address in (plain.addresses[1], nobody):
        addresses = [plain.addresses[0], address]
        states = [ShardState.ACTIVE, ShardState.WARM_UP]
        manager.update_shard_states(list(zip(addresses, states, strict=True)))
        items = [Item("w0", b"", cas=7), Item("w1", b"", cas=7), Item("x1", bytes(2 << 20))]
        answers = client.cas_sentinels([*items, Item("bad 1", b"")])
        assert [r.key for r in answers] == ["w0", "w1", "x1", "bad 1"]
        assert [r.ok for r in answers] == [False, True, True, False]
        assert client.run("x1", lambda p, key: p.cas(Item(key, b"", cas=3)), sentinel=True).ok
    found = client.get_sentinels(["w0", "w1"])
    assert isinstance(found["w1"].error, memcache.ConnectionLostError)
    assert found["w1"].error.fields["shard"] == 1
    assert found["w1"].error.fields["address"] == nobody


def test_options_are_checked(manager: Any) -> None:
    with pytest.raises(memcache.InvalidArgumentError, match=r"timeout must be in \(0, 1e9\)"):
        new_client(manager, MetaProtocol(), timeout=0)
    client = new_client(manager, MetaProtocol(), timeout=2.5)
    assert (client.timeout, client.manager) == (2.5, getattr(manager, "inner", manager))
    assert client.capabilities.protocol == "meta"
    assert isinstance(client.get("k0").error, memcache.UnmappedKeyError)


@pytest.mark.parametrize("protocol", ["ascii", "binary", "meta"])
def test_a_fleet_that_changes_while_keys_are_placed_is_followed(
    plain: ServerFleet, protocol: Any, driver: str
) -> None:
    first, second = plain.addresses[:2]

    def place(key: Any, shards: int) -> int:
        if keeper.fleet().shards[0].address == first:
            keeper.update_shard_states([(second, ShardState.ACTIVE)])
        return 0

    keeper = new_manager(driver, place)

    def back() -> None:
        keeper.update_shard_states([(first, ShardState.ACTIVE)])

    back()
    values = {"moved:a": b"1", "moved:b": b"2"}
    with new_plain(keeper, protocol) as client:
        calls: list[tuple[Callable[[], Any], Any]] = [
            (lambda: client.set("moved:c", b"3"), True),
            (lambda: client.set_many(values), []),
            (lambda: client.get_many([*values, "moved:no"]), values),
            (lambda: client.get("moved:a"), b"1"),
            (lambda: client.delete_many([*values, "moved:c"]), []),
        ]
        for call, result in calls:
            back()
            assert call() == result
    keeper.close()


class Named(bytes):
    """A key of a class of its own."""


@pytest.mark.parametrize("protocol", ["ascii", "binary", "meta"])
def test_keys_of_a_subclass_of_bytes_are_taken(
    plain: ServerFleet, protocol: Any, driver: str
) -> None:
    key, other = Named(b"named:a"), Named(b"named:b")
    keeper = new_manager(driver, lambda key, shards: 0)
    keeper.update_shard_states([(each, ShardState.ACTIVE) for each in plain.addresses])
    with keeper, new_plain(keeper, protocol) as client:
        assert client.set(key, b"1") is True
        assert client.set_many({key: b"2", other: b"3"}) == []
        assert client.get_many([key, other]) == {key: b"2", other: b"3"}
        assert client.get(key) == b"2"
        assert client.delete_many([key, other]) == []


@pytest.mark.parametrize("protocol", ["ascii", "meta"])
def test_a_key_that_cannot_be_sent_is_named_before_it_is_placed(
    plain: ServerFleet, protocol: Any, driver: str
) -> None:
    keeper = new_manager(driver, lambda key, shards: int(key[0]) % shards)
    keeper.update_shard_states([(each, ShardState.ACTIVE) for each in plain.addresses])
    with new_plain(keeper, protocol) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.set(b"", b"1"),
            lambda: client.set_many({b"": b"1"}),
            lambda: client.get(b""),
            lambda: client.add(b"", b"1"),
            lambda: client.delete(b""),
            lambda: client.touch(b"", 1),
            lambda: client.incr(b""),
        ]
        for call in calls:
            with pytest.raises(memcache.InvalidArgumentError, match="key must be 1 to 250 bytes"):
                call()
    keeper.close()
