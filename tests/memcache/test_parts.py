"""``large_values="split"``: values over the item limit, over every kind of client."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.memcached import Server, need_tokens, running
from support.server_fleets import ServerFleet

from godropbox.memcache import (
    Client,
    ClientOptions,
    InvalidArgumentError,
    Item,
    MetaProtocol,
    NetworkError,
    PartialResultError,
    ServerError,
    ShardedClient,
    UnreadableValueError,
)
from godropbox.memcache.aio import AsyncClientOptions
from godropbox.memcache.heads import PARTS, Head
from godropbox.memcache.testing import MockClient

from .test_client import maker

Servers = Callable[[str], Server]
Make = Callable[..., Any]
WAYS = [
    "mock",
    "raw meta",
    "raw ascii",
    "fleet meta",
    "fleet ascii",
    "fleet binary",
    "asyncio meta",
    "uvloop ascii",
    "asyncio binary",
    "asyncio meta tls",
]
LEASING = ["fleet meta", "asyncio meta", "raw meta"]
BIG = b"0123456789" * 350
TEXT = "\u00fc" * 1234


def making(way: str, servers: Servers) -> Iterator[Make]:
    """Yield what makes clients that store values in parts, and close them."""
    make = maker(way, servers)
    made: list[Any] = []

    def new(**options: Any) -> Any:
        made.append(make(**{"large_values": "split", "part_size": 1000, **options}))
        return made[-1]

    new().flush_all()
    yield new
    for client in made:
        client.close()


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Make]:
    yield from making(request.param, servers)


@pytest.fixture(params=LEASING)
def leasing(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Make]:
    yield from making(request.param, servers)


@pytest.fixture
def fleet(servers: Servers) -> Any:
    """A client of the servers of ``maker`` that looks at what is stored."""
    with Client([servers("tcp").address, servers("unix").address], timeout=10.0) as client:
        client.flush_all()
        yield client


def head_of(client: Client, key: str) -> Head:
    response = client._operations.get(key)
    assert response.flags == PARTS
    return Head.read(response.value, 1 << 30)


def parts_of(client: Client, key: str) -> list[str]:
    return head_of(client, key).names(key)


def expiries(client: Client) -> dict[bytes, int | None]:
    return {info.key: info.expires for info in client.iter_keys()}


@pytest.mark.parametrize("value", [BIG, TEXT, b"x" * 1001, b"x" * 1000, 7])
def test_every_write_stores_and_every_read_joins(make: Make, value: Any) -> None:
    need_tokens()
    client = make()
    assert client.set("key", 1)
    assert client.get("key") == 1
    assert client.set("key", value, 100)
    assert client.get("key") == value
    assert type(client.get("key")) is type(value)
    assert client.get_many(["none", "key"]) == {"key": value}
    found, token = client.gets("key")
    assert found == value
    assert client.gets_many(["none", "key"]) == {"key": (value, token)}
    assert client.gat("key", 50) == value
    assert client.gat_many(["key", "none"], 50) == {"key": value}
    assert not client.add("key", BIG)
    assert not client.add("key", 1)
    assert not client.replace("none", value)
    assert client.replace("key", TEXT)
    assert not client.cas("key", value, token)
    found, token = client.gets("key")
    assert found == TEXT
    assert client.cas("key", value, token)
    assert client.get("key") == value
    assert client.delete("key")
    assert client.get("key", "none") == "none"
    assert not client.cas("key", value, token)
    assert client.add("key", value)
    assert client.get("key") == value


def test_batches_of_small_and_large_values(make: Make) -> None:
    need_tokens()
    client = make()
    values = {
        f"key{i}": bytes([65 + i]) * size for i, size in enumerate([1, 999, 1001, 2000, 9999])
    }
    assert client.set_many(values, 100) == []
    assert client.get_many(["none", *reversed(values)]) == values
    assert list(client.get_many(reversed(values))) == list(reversed(values))
    assert {key: value for key, (value, _) in client.gets_many(values).items()} == values
    for key, (value, token) in client.gets_many(values).items():
        assert client.cas(key, value * 2, token)
    assert client.gat_many(values, 10) == {key: value * 2 for key, value in values.items()}
    assert client.delete_many(values) == []
    assert client.get_many(values) == {}


def test_a_client_without_the_option_reads(make: Make) -> None:
    make().set("key", BIG)
    client = make(large_values="error")
    assert client.get("key") == BIG
    assert client.get_many(["key"]) == {"key": BIG}
    assert client.gat_many(["key"], 10) == {"key": BIG}


def test_append_and_incr_refuse_what_is_in_parts(make: Make) -> None:
    client = make()
    client.set("key", BIG)
    for verb in ("append", "prepend"):
        with pytest.raises(InvalidArgumentError, match=f"{verb} takes a value that is one item; "):
            getattr(client, verb)("key", b"x")
    with pytest.raises(ServerError, match="on-numeric"):
        client.incr("key")
    assert client.get("key") == BIG


def test_long_keys_and_prefixes(make: Make, request: pytest.FixtureRequest) -> None:
    need_tokens()
    is_fleet = request.node.callspec.params["make"].split()[0] not in ("mock", "raw")
    # What a client goes over would have the prefix itself.
    client = make(long_keys="hash", prefix="p" * 150 if is_fleet else "")
    keys = ["k" * 90, "k" * 400, "sha256:k", "\u00fc \n" * 200]
    assert client.set_many({key: BIG + key.encode() for key in keys}) == []
    assert client.get_many(keys) == {key: BIG + key.encode() for key in keys}
    for key in keys:
        assert client.set(key, TEXT, 100)
        assert client.touch(key, 50)
        assert client.gets(key)[0] == TEXT


def test_keys_of_any_bytes(fleet: Client) -> None:
    manager = fleet._sharded.manager
    for prefix in ("", "p" * 60, "p" * 150):
        protocol = MetaProtocol(prefix, binary_keys=True)
        sharded = ShardedClient(manager, protocol, timeout=10.0)
        client = Client.over(sharded, prefix=prefix, large_values="split", part_size=1000)
        longest = 186 - len(prefix)
        for key in (b"\0" * longest, b"\r\nget a\r\n", b"\xff"):
            assert client.set(key, BIG, 100)
            assert client.get(key) == BIG
            assert client.set_many({key: TEXT}) == []
            assert client.get_many([key]) == {key: TEXT}
            assert client.touch(key, 50)
        client = Client.over(sharded, prefix=prefix, long_keys="hash")
        if len(prefix) <= 186 - 71:
            for size in (longest, longest + 1, 250 - len(prefix), 1000):
                assert client.set(b"q" * size, size)
                assert client.get(b"q" * size) == size


def test_compression_comes_first(make: Make) -> None:
    client = make(compressor="zlib", serializer="json")
    value = ["some text"] * 1000
    assert client.set("key", value)
    assert client.get("key") == value
    value = [str(number) for number in range(3000)]
    assert client.set("key", value)
    assert client.get("key") == value
    with pytest.raises(UnreadableValueError, match="max_value allows 2000"):
        make(serializer="json", max_value=2000).get("key")
    assert make(serializer="json", max_value=2000, unreadable="miss").get_many(["key"]) == {}


def test_a_value_over_max_value_is_refused_before_anything_is_sent(make: Make) -> None:
    client = make(max_value=2000)
    client.set("key", 1)
    for write in (client.set, client.add, client.replace):
        with pytest.raises(
            InvalidArgumentError, match=r"at most 2000 bytes \(max_value\), got 3500"
        ):
            write("key", BIG)
    with pytest.raises(InvalidArgumentError, match="max_value"):
        client.set_many({"small": 2, "key": BIG})
    assert client.get_many(["key", "small"]) == {"key": 1}


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_lost_part_is_a_miss(make: Make, which: int, request: pytest.FixtureRequest) -> None:
    client = make()
    for lose in ("delete", "replace"):
        client.set("key", BIG)
        response = request_of(client, "key")
        name = Head.read(response.value, 1 << 30).names("key")[which]
        assert client.delete(name) if lose == "delete" else client.set(name, b"short")
        assert client.get("key", "missing") == "missing"
        assert client.gets("key") == (None, None)
        assert client.get_many(["key"]) == client.gets_many(["key"]) == {}
        assert client.gat("key", 10) is None
        assert client.touch("key", 100) is (lose == "replace")
    assert client.add("key", 1)
    assert client.get("key") == 1
    client.set("key", BIG)
    client.delete(Head.read(request_of(client, "key").value, 1 << 30).names("key")[which])
    assert client.add("key", TEXT)
    assert client.get("key") == TEXT


def request_of(client: Any, key: str) -> Any:
    """Return the response to a get of an item, whatever the client is over."""
    inner = getattr(client, "inner", client)
    response = inner._operations.get(key)
    return client._loop.wait(_awaited, response) if client is not inner else response


async def _awaited(response: Any) -> Any:
    return await response


def test_parts_outlive_their_head(fleet: Client) -> None:
    need_tokens()
    client = Client(fleet._sharded.manager, large_values="split", part_size=1000)
    moment = datetime.now(UTC) + timedelta(seconds=500)
    for expire in (100, timedelta(seconds=100), moment, timedelta(days=40)):
        fleet.flush_all()
        client.set("key", BIG, expire)
        check_expiries(fleet)
        client.set_many({"key": BIG}, expire)
        check_expiries(fleet)
        for operate in (client.touch, client.gat, lambda key, until: client.gat_many([key], until)):
            client.set("key", BIG, 5)
            operate("key", expire)
            check_expiries(fleet)
    fleet.flush_all()
    client.get_or_set("key", lambda: BIG, 100, stale=50)
    assert check_expiries(fleet) > datetime.now(UTC).timestamp() + 140
    client.set("key", BIG)
    assert set(expiries(fleet).values()) == {None}


def check_expiries(fleet: Client) -> int:
    found = {key: until or 0 for key, until in expiries(fleet).items()}
    head = found.pop(b"key")
    assert len(found) == 4
    assert all(head < until <= head + 62 for until in found.values())
    return head


def test_what_expires_at_once_does(make: Make) -> None:
    client = make()
    client.set("key", BIG)
    assert client.set("key", TEXT, -1)
    assert client.get("key") is None
    client.set("key", BIG)
    assert client.touch("key", timedelta(0))
    assert client.get("key") is None


def test_old_parts_are_deleted(fleet: Client) -> None:
    need_tokens()
    client = Client(fleet._sharded.manager, large_values="split", part_size=1000)
    for _ in range(3):
        client.set("key", BIG)
        assert len(expiries(fleet)) == 5
        client.replace("key", BIG)
        client.cas("key", BIG, client.gets("key")[1] or 0)
        client.set_many({"key": BIG, "small": 1})
        assert len(expiries(fleet)) == 6
        client.delete("small")
    assert not client.add("key", BIG)
    assert not client.cas("key", BIG, 1 << 40)
    assert not client.replace("none", BIG)
    assert len(expiries(fleet)) == 5


def test_a_reader_follows_a_head_that_is_replaced(fleet: Client) -> None:
    """Its parts are gone when it asks for them, and the next value's are there."""
    need_tokens()
    writer = Client(fleet._sharded.manager, large_values="split", part_size=1000)
    rounds: list[str] = []

    def hook(event: Any) -> None:
        rounds.append(event.operation)
        if rounds == ["get"]:
            writer.set("key", TEXT)

    writer.set("key", BIG)
    reader = Client(fleet._sharded.manager, hooks=(hook,))
    assert reader.get("key") == TEXT
    rounds.clear()
    writer.set("key", BIG)
    value, token = reader.gets("key")
    assert value == TEXT
    assert writer.cas("key", 1, token or 0)
    rounds[:] = ["again"]
    assert reader.get("key") == 1


@pytest.mark.parametrize("expire", [0, 100])
def test_get_or_set(leasing: Make, expire: int) -> None:
    client = leasing()
    assert client.get_or_set("key", lambda: BIG, expire) == BIG
    assert client.get_or_set("key", lambda: 1, expire) == BIG
    assert client.get("key") == BIG
    name = Head.read(request_of(client, "key").value, 1 << 30).names("key")[1]
    client.delete(name)
    assert client.get_or_set("key", lambda: TEXT, expire) == TEXT
    assert client.get("key") == TEXT
    assert client.get_or_set("small", lambda: 1, expire) == 1
    with pytest.raises(InvalidArgumentError, match="max_value"):
        leasing(max_value=2000).get_or_set("other", lambda: BIG, expire)
    assert client.get_or_set("other", lambda: 2, expire, wait=0) == 2  # the lease was given up


def test_a_lease_that_is_touched_stays_short(leasing: Make, fleet: Client) -> None:
    client = leasing()
    looked: list[bool] = []

    def load() -> bytes:
        other = leasing()
        looked.append(other.touch("key", 1000))
        looked.append(other.gat_many(["key"], 1000) == {})
        found = {info.key: (info.expires or 0) - info.last_access for info in fleet.iter_keys()}
        looked.append(found[b"key"] <= 12)
        return BIG

    assert client.get_or_set("key", load, 100) == BIG
    assert looked == [False, True, True]
    assert client.get("key") == BIG


def test_a_server_that_is_away(tmp_path: Path) -> None:
    need_tokens()
    values: dict[str, Any] = {f"large{i}": bytes([65 + i]) * 1500 for i in range(20)}
    values |= {f"small{i}": i for i in range(20)}
    fleet = ServerFleet("tcp", 3, tmp_path)
    options: dict[str, Any] = {"large_values": "split", "part_size": 1000, "timeout": 10.0}
    with contextlib.closing(fleet), Client(fleet.addresses, **options) as client:
        assert client.set_many(values) == []
        fleet.kill(1)
        found = {}
        for key in values:
            with contextlib.suppress(NetworkError):
                found[key] = client.get(key)
        assert 0 < sum(key.startswith("large") for key in found) < 20
        for read in (client.get_many, lambda keys: client.gat_many(keys, 10)):
            with pytest.raises(PartialResultError) as caught:
                read(values)
            assert caught.value.found == found
            assert caught.value.errors.keys() == values.keys() - found.keys()
            assert all(isinstance(error, NetworkError) for error in caught.value.errors.values())
        with pytest.raises(PartialResultError) as caught:
            client.gets_many(values)
        assert {key: value for key, (value, _) in caught.value.found.items()} == found
        with Client(fleet.addresses, failures="miss", timeout=10.0) as forgiving:
            assert forgiving.get_many(values) == found
            assert all(forgiving.get(key) == found.get(key) for key in values)
        failed = client.set_many({key: b"new" * 500 for key in values if key.startswith("large")})
        for key in values:
            if key in failed:
                assert isinstance(failed.errors[key], NetworkError)
            elif key.startswith("large"):
                assert client.get(key) == b"new" * 500
        fleet.restart(1)
        client.disconnect_all()
        for lost in failed:
            assert client.get(lost) is None  # nothing is left from before


def test_what_shards_that_do_not_serve_should_have_is_not_stored(tmp_path: Path) -> None:
    fleet = ServerFleet("tcp", 3, tmp_path)
    options: dict[str, Any] = {"large_values": "split", "part_size": 1000, "timeout": 10.0}
    options |= {"eject_after": 1, "retry_after": 60.0}
    with contextlib.closing(fleet), Client(fleet.addresses, **options) as client:
        fleet.kill(1)
        for i in range(20):
            with contextlib.suppress(NetworkError):
                client.get(f"key{i}")
        stored = [client.set(f"key{i}", BIG[:1500]) for i in range(20)]
        assert {True, False} == set(stored)
        assert [client.get(f"key{i}") is not None for i in range(20)] == stored
        added = [client.add(f"other{i}", BIG[:1500]) for i in range(20)]
        assert [client.get(f"other{i}") is not None for i in range(20)] == added
        for i in range(20):
            key = f"more{i}"
            assert client.get_or_set(key, lambda: BIG[:1500], 100) == BIG[:1500]
            assert client.get_or_set(key, lambda: BIG[:1500], 100, wait=0) == BIG[:1500]


def test_parts_over_the_servers_limit(fleet: Client) -> None:
    client = Client(fleet._sharded.manager, large_values="split", part_size=2_000_000)
    client.set("key", "old")
    with pytest.raises(ServerError, match="too large"):
        client.set("key", b"x" * 3_000_000)
    assert fleet.get("key") is None
    fleet.set("key", "old")
    failed = client.set_many({"key": b"x" * 3_000_000})
    assert "too large" in str(failed.errors["key"])
    assert fleet.get("key") is None


def test_damaged_heads_and_values(fleet: Client) -> None:
    operations = fleet._operations
    operations.set(Item("bad", b"parts1 a 1 1 1", PARTS))
    with pytest.raises(UnreadableValueError, match=r"'bad'.*no head of parts"):
        fleet.get("bad")
    client = Client(fleet._sharded.manager, large_values="split", part_size=1000)
    client.set_many({"text": TEXT, "small": 1, "good": BIG})
    name = parts_of(fleet, "text")[0]
    operations.set(Item(name, b"\xff" * len(operations.get(name).value)))
    with pytest.raises(UnreadableValueError, match="'text'"):
        client.get("text")
    with pytest.raises(PartialResultError) as caught:
        client.get_many(["text", "bad", "small", "good"])
    assert caught.value.found == {"small": 1, "good": BIG}
    assert set(caught.value.errors) == {"text", "bad"}
    skipping = Client(fleet._sharded.manager, unreadable="miss")
    assert skipping.get("text", 5) == 5
    assert skipping.get_many(["text", "bad", "small"]) == {"small": 1}


def test_a_get_of_a_small_value_is_one_request(fleet: Client) -> None:
    events: list[str] = []
    hooks = (lambda event: events.append(event.operation),)
    client = Client(fleet._sharded.manager, large_values="split", hooks=hooks)
    client.set("key", "text")
    client.set_many({"key": 1})
    client.get("key")
    client.get_many(["key"])
    assert events == ["set", "set_multi", "get", "get_multi"]
    client.set("large", b"x" * 3_000_000)
    events.clear()
    client.get_many(["key", "large"])
    assert events == ["get_multi", "get_multi"]


def test_a_million_bytes_are_one_item_by_default(fleet: Client) -> None:
    client = Client(fleet._sharded.manager, large_values="split")
    key = "k" * 250
    assert client.set(key, b"x" * 1_000_000)
    assert fleet._operations.get(key).flags == 0
    assert client.set(key, b"x" * 1_000_001)
    assert head_of(fleet, key).count == 2


@pytest.mark.parametrize("kind", [ClientOptions, AsyncClientOptions])
def test_wrong_options_are_refused(kind: Any) -> None:
    for size in (999, (1 << 30) + 1):
        with pytest.raises(InvalidArgumentError, match=rf"part_size .*2\*\*30.* got {size}"):
            kind(part_size=size)
    with pytest.raises(TypeError, match=r"part_size must be an int in \[1000, 2\*\*30\]"):
        kind(part_size=1e6)
    with pytest.raises(InvalidArgumentError, match="large_values must be 'error' or 'split'"):
        kind(large_values="parts")
    with pytest.raises(InvalidArgumentError, match="at most 150 bytes with large_values='split'"):
        kind(prefix="p" * 151, large_values="split")
    assert kind(prefix="p" * 151).part_size == 1_000_000


def test_servers_without_tokens(tmp_path: Path) -> None:
    options: dict[str, Any] = {"large_values": "split", "part_size": 1000, "timeout": 10.0}
    with running("tcp", tmp_path, extra=["-C"]) as server, Client(server.address, **options) as own:
        assert own.set("key", BIG)
        assert own.get("key") == BIG
        assert not own.add("key", BIG)
        for value in (TEXT, 1, BIG):
            own.set("key", BIG)
            own.delete(parts_of(own, "key")[0])
            assert own.add("key", value)
            assert own.get("key") == value
        assert own.set_many({"key": TEXT}) == []
        assert own.gat_many(["key"], 10) == {"key": TEXT}


def test_a_mock_has_parts_too() -> None:
    memory = MockClient()
    client = Client.over(memory, large_values="split")
    client.set("key", b"x" * 3_000_000)
    assert len(memory.stats().entries[0]) == 3
    assert sorted(info.size > 1_000_000 for info in client.iter_keys()) == [False, True, True, True]
    memory.fail_all_sets = True
    with pytest.raises(ServerError, match="the mock is set to fail"):
        client.set("key", b"y" * 3_000_000)
    memory.fail_all_sets = False
    assert client.get("key") is None
