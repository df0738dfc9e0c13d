"""``Client``: the same operations over a mock, over raw clients and over fleets of servers."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.memcached import Server, need_tokens
from support.server_fleets import unverified

from godropbox import memcache
from godropbox.memcache import (
    BaseShardManager,
    InvalidArgumentError,
    InvalidTypeError,
    Item,
    Key,
    ServerError,
    ShardState,
    StaticShardManager,
)
from godropbox.memcache.aio import (
    AsyncBaseShardManager,
    AsyncClient,
    AsyncClientOptions,
    AsyncStaticShardManager,
)
from godropbox.memcache.batches import (
    PartialNetworkError,
    PartialResultError,
    PartialServerError,
)
from godropbox.memcache.client import Client
from godropbox.memcache.options import ClientOptions, as_expiry
from godropbox.memcache.testing import MockClient

from .conftest import PROTOCOLS

Servers = Callable[[str], Server]
# Under asyncio there is always a fleet: ``Blocking`` shows an ``AsyncClient`` as a ``Client``.
ASYNC_WAYS = [
    f"{loop} {name}{kind}" for loop in LOOPS for name in PROTOCOLS for kind in ("", " tls")
]
WAYS = ["mock", *(f"{kind} {name}" for kind in ("raw", "fleet") for name in PROTOCOLS)]
WAYS += ASYNC_WAYS


def maker(way: str, servers: Servers) -> Callable[..., Any]:
    """Return what makes clients of the same servers, over a kind of thing, with some options."""
    protocol: Any
    kind, _, protocol = way.partition(" ")
    addresses = [servers("tcp").address, servers("unix").address]
    if kind == "fleet":
        return lambda **options: Client(addresses, protocol=protocol, timeout=10.0, **options)
    if kind in LOOPS:
        more: dict[str, Any] = {"timeout": 10.0}
        if protocol.endswith(" tls"):
            protocol = protocol.removesuffix(" tls")
            addresses = [servers("tls").address]
            more |= {"tls": unverified(), "connect_timeout": 10.0}
        return lambda **options: Blocking(
            AsyncClient(addresses, protocol=protocol, **more, **options), kind
        )
    raw: Any = MockClient()
    if kind == "raw":
        raw = PROTOCOLS[protocol](memcache.connect(servers("tcp").address))
    return lambda **options: Client.over(raw, **options)


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Client]:
    """Give a client with nothing in its servers, over each kind of thing that it goes over."""
    made = maker(request.param, servers)()
    made.flush_all()
    with made:
        yield made


def test_get_and_set(client: Client) -> None:
    assert client.get("k") is None
    assert client.get("k", 5) == 5
    assert client.set("k", "text") is True
    assert client.get("k", 5) == "text"
    assert client.set(b"k", b"") is True
    assert client.get("k") == b""


def test_batches(client: Client) -> None:
    values = {f"k{i}": i if i % 2 else f"text {i}" for i in range(100)} | {"empty": b""}
    assert client.set_many(values) == []
    assert client.get_many(["absent", *values, "k0"]) == values
    assert list(client.get_many(iter(["k9", "k1"]))) == ["k9", "k1"]
    assert client.get_many([]) == {}
    assert client.set_many({}) == []
    assert client.delete_many(["absent", *values]) == []
    assert client.get_many(values) == {}
    assert client.delete_many([]) == []


def test_add_replace_append_prepend(client: Client) -> None:
    assert client.replace("k", "a") is False
    assert client.append("k", "a") is False
    assert client.add("k", "b") is True
    assert client.add("k", "c") is False
    assert client.append("k", "c") is True
    assert client.prepend("k", b"a") is True
    assert client.get("k") == "abc"
    assert client.replace("k", 7) is True
    assert client.get("k") == 7


KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "compressed text": ({"compressor": "zlib"}, "x" * 5000),
    "compressed bytes": ({"compressor": "zlib"}, b"x" * 5000),
    "digits, compressed": ({"compressor": "zlib"}, "1" * 5000),
    "json": ({"serializer": "json"}, {"a": [1, 2]}),
    "pickle": ({"serializer": "pickle"}, {1, 2}),
    "msgpack": ({"serializer": "msgpack"}, [1, 2]),
    "compressed json": ({"serializer": "json", "compressor": "zlib"}, ["x"] * 5000),
    "int": ({}, 5),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ["append", "prepend"])
@pytest.mark.parametrize("way", [each for each in WAYS if "tls" not in each])
def test_what_is_not_stored_as_it_is_cannot_be_extended(
    way: str, servers: Servers, kind: str, verb: str
) -> None:
    need_tokens()
    options, value = KINDS[kind]
    make = maker(way, servers)
    client, writer = make(), make(**options)
    writer.set("k", value)
    before = writer.gets("k")
    for other in (client, writer):
        for more in ("1", b"1"):
            with pytest.raises(
                InvalidArgumentError,
                match=rf"{verb} takes a value that is bytes or text stored as it is; that of 'k'.*"
                "compressed, serialized or a number, flags 0x",
            ):
                getattr(other, verb)("k", more)
    assert writer.gets("k") == before
    if "compressed" in kind:
        with pytest.raises(ServerError, match=r"(?i)non-numeric"):
            writer.incr("k")
        assert writer.gets("k") == before
    client.close()
    writer.close()


def test_what_is_extended_stays_what_it_was(client: Client) -> None:
    cases: list[tuple[Any, Any, Any]] = [
        (b"", b"\xff", b"\xff"),
        (b"", "é", "é".encode()),
        (b"a", "é", b"a" + "é".encode()),
        ("", "é", "é"),
        ("a", "é", "aé"),
        ("a", "é".encode(), "aé"),
        (b"a", bytearray(b"b"), b"ab"),
        ("a", memoryview(b"b"), "ab"),
        ("a", "", "a"),
    ]
    for value, more, expected in cases:
        client.set("k", value)
        assert client.append("k", more) is True
        assert client.get("k") == expected
    client.set("k", "text")
    for bad in (b"\xff", "é".encode()[:1]):
        with pytest.raises(InvalidArgumentError, match="more must be text for UTF-8, as the value"):
            client.append("k", bad)
        with pytest.raises(InvalidArgumentError, match="more must be text for UTF-8, as the value"):
            client.prepend("k", bad)
    with pytest.raises(InvalidArgumentError, match="more must be text for UTF-8: "):
        client.append("k", "\ud800")
    with pytest.raises(InvalidTypeError, match=r"more must be bytes-like or str, got 5"):
        client.append("k", 5)  # type: ignore[arg-type]
    assert client.get("k") == "text"


def test_extending_keeps_the_expiry() -> None:
    now = 1_700_000_000.0
    client = Client.over(MockClient(clock=lambda: now), wall_clock=lambda: now)
    client.set("k", "a", 60)
    assert client.append("k", "b") is True
    now += 59
    assert client.get("k") == "ab"
    now += 1
    assert client.get("k") is None


class Meddling(MockClient):
    """Has another client store something right after the next reads, or before them."""

    def __init__(self, *, tokens: bool, after: list[Item]) -> None:
        super().__init__()
        self._tokens = tokens
        self._after = after

    @property
    def capabilities(self) -> memcache.Capabilities:
        return replace(super().capabilities, conditional_replace=self._tokens)

    def get(self, key: Key) -> memcache.GetResponse:
        response = super().get(key)
        if self._after:
            assert self.set(self._after.pop(0)).ok
        return response


ZIPPED = Item("k", zlib.compress(b"x" * 100), flags=16 | 8)


@pytest.mark.parametrize("verb", ["append", "prepend"])
def test_by_token_nothing_that_another_stores_in_between_is_damaged(verb: str) -> None:
    raw = Meddling(tokens=True, after=[Item("k", b"new", flags=16), ZIPPED])
    client = Client.over(raw, compressor="zlib")
    client.set("k", "old")
    with pytest.raises(InvalidArgumentError, match=f"{verb} takes a value that is bytes or text"):
        getattr(client, verb)("k", "more")
    assert client.get("k") == "x" * 100
    raw = Meddling(tokens=True, after=[Item("k", b"new", flags=16)])
    client = Client.over(raw)
    client.set("k", "old")
    assert getattr(client, verb)("k", "more") is True
    assert client.get("k") == ("newmore" if verb == "append" else "morenew")
    raw = Meddling(tokens=True, after=[Item("k", b"new", flags=16)] * 1000)
    client = Client.over(raw)
    client.set("k", "old")
    with pytest.raises(ServerError, match="the value of 'k' was changed by others 100 times"):
        getattr(client, verb)("k", "more")


@pytest.mark.parametrize("verb", ["append", "prepend"])
def test_without_tokens_what_was_damaged_is_deleted(verb: str) -> None:
    raw = Meddling(tokens=False, after=[ZIPPED])
    client = Client.over(raw, compressor="zlib")
    client.set("k", "old")
    with pytest.raises(ServerError, match=f"another client .* did its {verb}: it was damaged"):
        getattr(client, verb)("k", "more")
    assert client.get("k") is None
    raw = Meddling(tokens=False, after=[Item("k", b"new", flags=16)])
    client = Client.over(raw)
    client.set("k", "old")
    assert getattr(client, verb)("k", "more") is True
    assert client.get("k") == ("newmore" if verb == "append" else "morenew")


def test_a_lease_that_nobody_filled_yet_is_not_extended() -> None:
    raw = MockClient()
    raw.set(Item("k", b""))
    client = Client.over(raw)
    assert client.append("k", "more") is False
    assert raw.get("k").value == b""


def test_gets_and_cas(client: Client) -> None:
    need_tokens()
    assert client.gets("k") == (None, None)
    assert client.gets("k", 5) == (5, None)
    assert client.cas("k", 1, 12345) is False
    client.set("k", 1)
    value, token = client.gets("k")
    assert value == 1
    assert token is not None
    assert client.cas("k", 2, token) is True
    assert client.cas("k", 3, token) is False
    assert client.get("k") == 2
    for bad in (0, -1, 2**64):
        with pytest.raises(InvalidArgumentError, match="cas must be"):
            client.cas("k", 3, bad)


def test_delete_touch_gat(client: Client) -> None:
    assert client.delete("k") is False
    assert client.touch("k", 10) is False
    assert client.gat("k", 10, "none") == "none"
    client.set("k", "v")
    assert client.touch("k", timedelta(hours=1)) is True
    assert client.gat("k", 60) == "v"
    assert client.delete("k") is True
    client.set("k", "v")
    assert client.gat("k", -1) == "v"
    assert client.get("k") is None


def test_counters(client: Client) -> None:
    assert client.incr("n") is None
    assert client.decr("n") is None
    assert client.incr("n", 5, initial=10) == 10
    assert client.incr("n", 5, initial=10) == 15
    assert client.get("n") == 15
    assert client.decr("n", 6) == 9
    assert client.get("n") == 9
    assert client.decr("n", 100) == 0
    client.set("m", 41)
    assert client.incr("m") == 42
    client.set("text", "abc")
    with pytest.raises(ServerError, match=r"(?i)non-numeric"):
        client.incr("text")
    for bad in (-1, 2**64, 1.5):
        with pytest.raises((InvalidArgumentError, InvalidTypeError), match="initial must be"):
            client.incr("n", 1, initial=bad)  # type: ignore[arg-type]


def test_a_bad_key_raises_alone_and_in_a_batch(client: Client) -> None:
    for call in (client.get, client.gets, client.delete, client.incr):
        with pytest.raises(InvalidArgumentError, match="key must have no byte up to 0x20"):
            call("a b")
    with pytest.raises(InvalidArgumentError, match="key must"):
        client.get_many(["good", "a b"])
    with pytest.raises(InvalidArgumentError, match="key must"):
        client.set_many({"good": 1, "a b": 2})
    with pytest.raises(InvalidArgumentError, match="key must"):
        client.delete_many(["x" * 251])
    with pytest.raises(InvalidTypeError, match="key must be str or bytes, got 5"):
        client.get(5)  # type: ignore[arg-type]
    assert client.get("good") == 1


@pytest.mark.parametrize("wrong", ["abc", b"abc"])
def test_one_key_is_no_batch(wrong: Any) -> None:
    client = Client.over(MockClient())
    for call in (client.get_many, client.delete_many):
        with pytest.raises(InvalidTypeError, match="keys must be an iterable of keys, got"):
            call(wrong)
    with pytest.raises(InvalidTypeError, match="values must be a mapping of keys, got"):
        client.set_many(wrong)


def test_a_value_that_cannot_be_stored_raises_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(InvalidTypeError, match="value must be bytes, str or int"):
        client.set_many({"good": 1, "bad": None})
    assert client.get("good") is None


def test_a_value_over_the_servers_limit(client: Client) -> None:
    big = bytes(3_000_000)
    with pytest.raises(ServerError, match=r"(?i)too large"):
        client.set("big", big)
    failed = client.set_many({"a": 1, "big": big, "b": 2})
    assert failed == ["big"]
    assert isinstance(failed.errors["big"], ServerError)
    assert client.get_many(["a", "big", "b"]) == {"a": 1, "b": 2}


def test_stats_version_flush(client: Client) -> None:
    client.set("k", 1)
    assert [entries["curr_items"].isdigit() for entries in client.stats().values()]
    assert client.stats().keys() == client.version().keys()
    assert all(text[0].isdigit() for text in client.version().values())
    client.flush_all()
    assert client.get("k") is None


# Expiries

HOUR = timedelta(hours=1)


def at(seconds: float) -> datetime:
    """Return a Unix time as an aware datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("expire", "sent"),
    [
        (0, 0),
        (0.0, 0),
        (1, 1),
        (0.2, 1),
        (59.5, 60),
        (-1, -1),
        (-0.1, -1),
        (timedelta(0), -1),
        (timedelta(seconds=-5), -1),
        (timedelta(milliseconds=1), 1),
        (timedelta(days=30), 2_592_000),
        (timedelta(days=31), 1_000_001 + 31 * 86400),
        (2_592_001, 1_000_001 + 2_592_001),
        (999_999_999, 1_000_001 + 999_999_999),
        (timedelta(days=40_000), 2**31 - 1),
        (at(1_000_000), -1),
        (at(1_000_000.5), -1),
        (at(999_000), -1),
        (at(-5), -1),
        (at(1_000_000.7), 1),
        (at(1_000_060), 60),
        (at(1_000_060).astimezone(timezone(timedelta(hours=-9))), 60),
        (at(1_000_000.5 + 2_592_000), 2_592_000),
        (at(1_000_001.5 + 2_592_000), 1_000_002 + 2_592_000),
        (at(2**31 - 1), 2**31 - 1),
        (at(2**31), 2**31 - 1),
        (datetime.max.replace(tzinfo=UTC), 2**31 - 1),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=9))), -1),
    ],
)
def test_what_an_expiry_means(expire: Any, sent: int) -> None:
    assert as_expiry(expire, lambda: 1_000_000.5) == sent


@pytest.mark.parametrize("expire", ["5", None, True, 1j, date(2040, 1, 1)])
def test_an_expiry_of_a_wrong_type(expire: Any) -> None:
    with pytest.raises(
        InvalidTypeError, match="expire must be seconds, a timedelta or an aware datetime, got"
    ):
        Client.over(MockClient()).set("k", 1, expire)


@pytest.mark.parametrize("expire", [float("nan"), float("inf")])
def test_an_expiry_that_is_no_number(expire: float) -> None:
    with pytest.raises(InvalidArgumentError, match="expire must be a finite number of seconds"):
        Client.over(MockClient()).touch("k", expire)


TAKING_EXPIRIES: dict[str, Callable[[Client, Any], object]] = {
    "expire of set": lambda client, when: client.set("k", 1, when),
    "expire of set_many": lambda client, when: client.set_many({"k": 1}, when),
    "expire of add": lambda client, when: client.add("absent", 1, when),
    "expire of replace": lambda client, when: client.replace("k", 1, when),
    "expire of cas": lambda client, when: client.cas("k", 1, 1, when),
    "expire of touch": lambda client, when: client.touch("k", when),
    "expire of gat": lambda client, when: client.gat("k", when),
    "expire of incr": lambda client, when: client.incr("k", 1, 0, when),
    "expire of decr": lambda client, when: client.decr("k", 1, 0, when),
    "delay of flush_all": lambda client, when: client.flush_all(when),
}


@pytest.mark.parametrize("where", TAKING_EXPIRIES)
@pytest.mark.parametrize("moment", [10**9, 1_800_000_000, 1_800_000_000.5, 1_800_000_000_000])
def test_a_unix_time_is_no_number_of_seconds(where: str, moment: float) -> None:
    name = where.split()[0]
    client = Client.over(MockClient())
    client.set("k", 5)
    with pytest.raises(
        InvalidArgumentError,
        match=rf"{name} must be under 10\*\*9 seconds from now \(31 years\), got 1.*; "
        r"write a Unix time as datetime.fromtimestamp\(time, UTC\)",
    ):
        TAKING_EXPIRIES[where](client, moment)
    assert client.get("k") == 5


@pytest.mark.parametrize("where", TAKING_EXPIRIES)
def test_a_naive_datetime_is_no_absolute_time(where: str) -> None:
    name = where.split()[0]
    client = Client.over(MockClient())
    client.set("k", 5)
    with pytest.raises(
        InvalidArgumentError, match=f"{name} must be an aware datetime, got a naive one, datetime"
    ):
        TAKING_EXPIRIES[where](client, datetime(2040, 1, 1))
    assert client.get("k") == 5


@pytest.mark.parametrize("days", [1, 40])
def test_an_aware_datetime_is_when_it_is_over(days: int) -> None:
    now = 1_700_000_000.0
    raw = MockClient(clock=lambda: now)
    client = Client.over(raw, wall_clock=lambda: now)
    end = now + days * 86400
    client.set("set", 1, at(end))
    client.set_many({"set_many": 1}, at(end))
    client.add("add", 1, at(end))
    client.set("touch", 1)
    client.touch("touch", at(end))
    client.incr("incr", 1, 0, at(end))
    client.set("past", 1, at(now - 1))
    names = ["set", "set_many", "add", "touch", "incr"]
    assert sorted(client.get_many([*names, "past"])) == sorted(names)
    now = end - 1
    assert sorted(client.get_many(names)) == sorted(names)
    now = end
    assert client.get_many(names) == {}


@pytest.mark.parametrize("way", [each for each in WAYS if "tls" not in each and each != "mock"])
def test_a_real_server_takes_every_absolute_time(servers: Servers, way: str) -> None:
    with maker(way, servers)() as client:
        for moment in (at(2**31), datetime.max.replace(tzinfo=UTC), datetime.now(UTC) + HOUR):
            assert client.set("k", 1, moment)
            assert client.touch("k", moment)
            assert client.gat("k", moment) == 1
            assert client.set_many({"k": 2}, moment) == []
            assert client.get("k") == 2
        assert client.touch("k", datetime.now(UTC) - HOUR)
        assert client.get("k") is None


def test_a_delay_of_more_than_a_month_is_not_a_time_long_past() -> None:
    now = 1_700_000_000.0
    asked: list[int] = []

    class Flushed(MockClient):
        """Notes what it is asked."""

        def flush(self, expire: int = 0) -> memcache.Response:
            asked.append(expire)
            return MockClient.flush(self, expire)

    client = Client.over(Flushed(clock=lambda: now), wall_clock=lambda: now)
    for delay in (0, 5, 31 * 86400, timedelta(days=31), at(now + 31 * 86400)):
        client.flush_all(delay)
    later = 1_700_000_000 + 31 * 86400
    assert asked == [0, 5, later, later, later]


def test_forty_days_are_forty_days() -> None:
    now = 1_700_000_000.0
    raw = MockClient(clock=lambda: now)
    client = Client.over(raw, wall_clock=lambda: now)
    client.set("k", "v", timedelta(days=40))
    now += 40 * 86400 - 1
    assert client.get("k") == "v"
    now += 1
    assert client.get("k") is None


# Keys


def test_long_keys_are_hashed_if_asked_for() -> None:
    raw = MockClient(prefix="p:")
    client = Client.over(raw, prefix="p:", long_keys="hash")
    short, long, longer = "s" * 248, "s" * 249, "é" * 300
    values: dict[Key, int] = {short: 1, long: 2, longer: 3, b"bytes" * 80: 4}
    assert client.set_many(values) == []
    assert raw.get(short).value == b"1"
    keys: list[Key] = [short, long, longer, longer.encode(), "none" * 99]
    assert client.get_many(keys) == {
        short: 1,
        long: 2,
        longer: 3,
        longer.encode(): 3,
    }
    assert client.get(b"bytes" * 80) == 4
    assert client.incr(long) == 3
    assert client.gets(long)[0] == 3
    assert client.set(longer, "3") is True
    assert client.append(longer, "0") is True
    assert client.gat(longer, 60) == "30"
    assert client.touch(longer, 60) is True
    assert client.delete(long) is True
    assert client.delete_many([longer, short]) == []
    assert client.get_many([short, long, longer]) == {}


def test_nobody_can_name_the_entry_of_a_hashed_key() -> None:
    raw = MockClient()
    client = Client.over(raw, long_keys="hash")
    client.set("x" * 300, 1)
    (name,) = [key.decode() for key in raw._entries]
    assert name.startswith("sha256:")
    assert len(name) == 71
    assert client.get(name) is None
    assert client.get(name.encode()) is None
    with pytest.raises(InvalidTypeError, match="key must be str or bytes"):
        client.get(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="key must"):
        client.get("\udc80")


# Failures


def test_failures_of_reads_raise_unless_they_are_to_be_misses() -> None:
    raw = MockClient()
    client, forgiving = Client.over(raw), Client.over(raw, failures="miss")
    client.set("k", 1)
    raw.fail_everything = True
    reads: list[Callable[[], Any]] = [lambda: client.get("k"), lambda: client.gets("k")]
    reads += [lambda: client.gat("k", 1), lambda: client.get_many(["k"])]
    for read in reads:
        with pytest.raises(ServerError, match="set to fail"):
            read()
    assert forgiving.get("k", 5) == 5
    assert forgiving.gets("k", 5) == (5, None)
    assert forgiving.gat("k", 1, 5) == 5
    assert forgiving.get_many(["k"]) == {}
    assert forgiving.version() == {}
    assert forgiving.stats() == {}
    for each in (client, forgiving):
        with pytest.raises(ServerError):
            each.set("k", 1)
        with pytest.raises(ServerError):
            each.flush_all()
        assert each.set_many({"k": 1, "l": 2}) == ["k", "l"]
        assert each.delete_many(["k"]) == ["k"]
    for call in (client.stats, client.version):
        with pytest.raises(ServerError):
            call()


def test_a_batch_that_fails_in_part_tells_what_it_found() -> None:
    raw = MockClient()
    client = Client.over(raw)
    client.set_many({"a": 1, "b": 2})
    raw.set(memcache.Item("c", b"junk", flags=4))
    with pytest.raises(PartialServerError, match="1 of 3 keys failed; 'c': the value of") as e:
        client.get_many(["a", "c", "b"])
    assert e.value.found == {"a": 1, "b": 2}
    assert list(e.value.errors) == ["c"]
    assert isinstance(e.value, (PartialResultError, ServerError))


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "udp"}, "protocol must be 'auto', 'meta', 'ascii' or 'binary', got 'udp'"),
        ({"failures": None}, "failures must be 'raise' or 'miss', got None"),
        ({"unreadable": 1}, "unreadable must be 'raise' or 'miss', got 1"),
        ({"long_keys": "cut"}, "long_keys must be 'error' or 'hash', got 'cut'"),
        ({"compress_from": -1}, r"compress_from must be an int in \[0, 2\*\*31\), got -1"),
        ({"max_value": "x"}, r"max_value must be an int in \[0, 2\*\*31\), got 'x'"),
        ({"prefix": 5}, "prefix must be str or bytes, got 5"),
        ({"prefix": "é" * 125}, "prefix must be at most 249 bytes with long_keys='error', got 250"),
        ({"prefix": "x" * 180, "long_keys": "hash"}, "prefix must be at most 179 bytes"),
        ({"hooks": [print]}, "hooks must be a tuple of callables, got"),
        ({"hooks": (5,)}, "hooks must be a tuple of callables, got"),
        ({"timeout": -1}, r"timeout must be in \(0, 1000\) seconds, got -1"),
        ({"shard_func": 5}, "shard_func"),
    ],
)
def test_options_out_of_their_range(options: dict[str, Any], words: str) -> None:
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=words):
        ClientOptions(**options)
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=words):
        Client(["127.0.0.1:1"], **options)
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=words):
        AsyncClientOptions(**options)
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=words):
        AsyncClient(["127.0.0.1:1"], **options)


def test_options_are_frozen_and_overridden_by_name() -> None:
    options = ClientOptions(prefix="p:")
    client = Client.over(MockClient(prefix="p:"), options, failures="miss")
    assert client.options == ClientOptions(prefix="p:", failures="miss")
    assert Client.over(MockClient(), options).options is options
    with pytest.raises(FrozenInstanceError):
        options.prefix = "q:"  # type: ignore[misc]
    with pytest.raises(TypeError, match="tiemout"):
        Client.over(MockClient(), tiemout=1)  # type: ignore[call-arg]
    asked = AsyncClientOptions(prefix="p:")
    assert AsyncClient(["127.0.0.1:1"], asked).options is asked
    changed = AsyncClient(["127.0.0.1:1"], asked, failures="miss", connections=2)
    assert changed.options == AsyncClientOptions(prefix="p:", failures="miss", connections=2)
    with pytest.raises(FrozenInstanceError):
        asked.prefix = "q:"  # type: ignore[misc]
    with pytest.raises(TypeError, match="tiemout"):
        AsyncClient(["127.0.0.1:1"], tiemout=1)  # type: ignore[call-arg]


def test_a_client_can_be_closed_and_shown() -> None:
    raw = MockClient()
    with Client.over(raw) as client:
        assert repr(client).startswith("<Client of <godropbox.memcache.testing.MockClient")
    assert not raw.is_valid
    with pytest.raises(memcache.ClientClosedError, match="the client was closed"):
        client.get("k")


OPERATIONS: dict[str, Callable[[Client], object]] = {
    "get": lambda client: client.get("k"),
    "get_many": lambda client: client.get_many(["k", "l"]),
    "get_many of none": lambda client: client.get_many([]),
    "gets": lambda client: client.gets("k"),
    "gets_many": lambda client: client.gets_many(["k", "l"]),
    "gat": lambda client: client.gat("k", 5),
    "gat_many": lambda client: client.gat_many(["k", "l"], 5),
    "get_or_set": lambda client: client.get_or_set("k", lambda: 5, 5),
    "set": lambda client: client.set("k", 5),
    "set_many": lambda client: client.set_many({"k": 5, "l": b"6"}),
    "set_many of none": lambda client: client.set_many({}),
    "add": lambda client: client.add("k", 5),
    "replace": lambda client: client.replace("k", 5),
    "cas": lambda client: client.cas("k", 5, 1),
    "append": lambda client: client.append("k", "5"),
    "prepend": lambda client: client.prepend("k", "5"),
    "delete": lambda client: client.delete("k"),
    "delete_many": lambda client: client.delete_many(["k", "l"]),
    "delete_many of none": lambda client: client.delete_many([]),
    "touch": lambda client: client.touch("k", 5),
    "incr": lambda client: client.incr("k"),
    "decr": lambda client: client.decr("k", 1, 5),
    "iter_keys": lambda client: list(client.iter_keys()),
    "stats": lambda client: client.stats(),
    "version": lambda client: client.version(),
    "dialects": lambda client: client.dialects(),
    "flush_all": lambda client: client.flush_all(),
    "disconnect_all": lambda client: client.disconnect_all(),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "hooks": {"hooks": (lambda event: None,)},
    "miss": {"failures": "miss"},
    "hash": {"long_keys": "hash"},
}


def test_every_operation_is_in_the_list() -> None:
    for kind in (Client, AsyncClient):
        names = {name for name in vars(kind) if not name.startswith("_")}
        assert names - {"close", "options", "over"} == {name.split()[0] for name in OPERATIONS}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    "way",
    [
        *WAYS,
        "shared",
        "shared and closed by its owner",
        *(f"{loop} shared{how}" for loop in LOOPS for how in ("", " and closed by its owner")),
    ],
)
def test_every_operation_of_a_closed_client_says_so(
    way: str, options: str, servers: Servers
) -> None:
    chosen = OPTIONS[options]
    kind = way.split()[0]
    addresses = [servers("tcp").address, servers("unix").address]
    manager: Any = StaticShardManager(addresses)
    make: Callable[..., Any] = Client
    if kind in LOOPS:
        manager = Blocking(AsyncStaticShardManager(addresses), kind)
        make = lambda *_, **more: Blocking(AsyncClient(manager.inner, **more), manager)  # noqa: E731
    with manager:
        if way in WAYS:
            client = maker(way, servers)(**chosen)
        else:
            client = make(manager, timeout=10.0, **chosen)
        client.set("k", 5)
        client.get_many(["k"])
        if way.endswith("closed by its owner"):
            manager.close()
        else:
            client.close()
        for name, operate in OPERATIONS.items():
            if name.endswith("of none") and manager.is_closed:
                continue  # nothing is asked for, and the client itself is open
            with pytest.raises(memcache.ClientClosedError, match="the client was closed"):
                operate(client)
        client.close()
        assert manager.is_closed is way.endswith("closed by its owner")
        if not manager.is_closed:  # which others use
            assert make(manager, timeout=10.0).version().keys() == {0, 1}


# A fleet of which one server is not there


def by_first_letter(key: Any, shards: int) -> int:
    return "ad".find(key[0])


@pytest.fixture(params=["blocking", *LOOPS])
def half(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Callable[..., Any]]:
    """Make clients of two servers: one for keys with a, and one, not there, for those with d."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        addresses = [servers("tcp").address, "127.0.0.1:1"]
        options["shard_func"] = by_first_letter
        if request.param in LOOPS:
            made.append(Blocking(AsyncClient(addresses, **options), request.param))
        else:
            made.append(Client(addresses, **options))
        return made[-1]

    alive = make()
    assert alive.delete_many(["a1", "a2"]) == []
    yield make
    for client in made:
        client.close()


def test_a_dead_server_costs_its_own_keys_only(half: Callable[..., Client]) -> None:
    client = half()
    failed = client.set_many({"a1": 1, "d1": 2, "a2": 3, "d2": 4})
    assert failed == ["d1", "d2"]
    assert all(isinstance(failed.errors[key], memcache.NetworkError) for key in failed)
    with pytest.raises(PartialNetworkError, match="2 of 4 keys failed; 'd1': shard 1 at") as e:
        client.get_many(["a1", "d1", "a2", "d2"])
    assert e.value.found == {"a1": 1, "a2": 3}
    assert list(e.value.errors) == ["d1", "d2"]
    assert isinstance(e.value, memcache.NetworkError)
    assert client.delete_many(["a1", "d1"]) == ["d1"]
    for call in (client.get, client.delete, client.incr):
        with pytest.raises(memcache.NetworkError, match=r"shard 1 at 127\.0\.0\.1:1"):
            call("d1")
    with pytest.raises(memcache.NetworkError):
        client.version()


def test_reads_from_a_dead_server_may_be_misses(half: Callable[..., Client]) -> None:
    client = half(failures="miss")
    assert client.set("a1", 1) is True
    assert client.get_many(["a1", "d1"]) == {"a1": 1}
    assert client.get("d1", "none") == "none"
    assert list(client.version()) == list(client.stats()) == [0]
    with pytest.raises(memcache.NetworkError):
        client.set("d1", 1)


def test_a_key_of_no_server(half: Callable[..., Client]) -> None:
    client = half()
    with pytest.raises(memcache.UnmappedKeyError, match="no shard has the key 'x1'"):
        client.get("x1")
    failed = client.set_many({"a1": 1, "x1": 2})
    assert failed == ["x1"]
    assert isinstance(failed.errors["x1"], memcache.UnmappedKeyError)


@pytest.mark.parametrize("kind", ["blocking", *LOOPS])
def test_a_server_that_is_down_is_skipped(servers: Servers, kind: str) -> None:
    manager: Any = BaseShardManager(by_first_letter)
    make: Callable[[], Any] = lambda: Client(manager, timeout=10.0)  # noqa: E731
    if kind in LOOPS:
        manager = Blocking(AsyncBaseShardManager(by_first_letter), kind)
        make = lambda: Blocking(AsyncClient(manager.inner, timeout=10.0), manager)  # noqa: E731
    address = servers("tcp").address
    manager.update_shard_states([(address, ShardState.ACTIVE), ("127.0.0.1:1", ShardState.DOWN)])
    with make() as client:
        assert client.set("a1", 1) is True
        assert client.set("d1", 1) is False
        assert client.get("d1", "none") == "none"
        assert client.get_many(["a1", "d1"]) == {"a1": 1}
        assert client.incr("d1", initial=1) is None
        assert client.delete("d1") is False
        failed = client.set_many({"a1": 1, "d1": 2})
        assert (failed, failed.errors) == (["d1"], {})
        assert client.get_or_set("d1", lambda: "loaded", 60) == "loaded"
    # Whoever made the manager closes it.
    with make() as client:
        assert client.get("a1") == 1
    manager.close()


def test_to_flush_in_the_past_is_to_flush_now() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for delay in (-1, timedelta(0), timedelta(days=-1), past):
        client = memcache.Client.over(MockClient())
        client.set("a", 1)
        client.flush_all(delay)
        assert client.get("a") is None


def test_a_number_of_seconds_beyond_all_floats_is_refused_as_any_too_large_one() -> None:
    client = memcache.Client.over(MockClient())
    with pytest.raises(InvalidArgumentError, match=r"expire must be under 10\*\*9 seconds"):
        client.set("a", 1, 10**400)
    assert client.set("a", 1, -(10**400))
    assert client.get("a") is None
