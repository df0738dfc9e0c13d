"""What a user sees of the facts: values, errors, and whether the connection was kept.

Over fakes of four versions, the memcached that is installed, and those of ``GODROPBOX_MEMCACHEDS``,
whose bytes are held to ``support.facts`` by ``test_facts``.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.blocking import Blocking
from support.dialects import DIALECTS, FakeServer
from support.facts import asked_alone
from support.memcached import running, version_of

from godropbox import memcache
from godropbox.memcache import Item, ResponseStatus
from godropbox.memcache.aio import AsyncClient

FAKES = ["1.6.12", "1.6.17", "1.6.18", "1.6.45"]
REAL = [
    shutil.which(os.environ.get("MEMCACHED", "memcached")) or "memcached",
    *filter(None, os.environ.get("GODROPBOX_MEMCACHEDS", "").split(":")),
]
RAW: dict[str, Any] = {"ascii": memcache.RawAsciiClient, "meta": memcache.RawMetaClient}
TOO_MUCH = bytes(2 << 20)
MISS, NOT_STORED = ResponseStatus.KEY_NOT_FOUND, ResponseStatus.ITEM_NOT_STORED


@dataclass(frozen=True)
class Speaker:
    """A server, fake or real."""

    address: str
    version: tuple[int, ...]

    def ask(self, *lines: bytes) -> bytes:
        """Send lines from beside, and return what is answered."""
        host, port = self.address.split(":")
        return asked_alone((host, int(port)), b"".join(line + b"\r\n" for line in lines))

    def raw(self, protocol: str, **options: Any) -> Any:
        """Open a connection."""
        return RAW[protocol](memcache.connect(self.address, timeout=10.0), **options)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Speaker]]:
    """Start a server when it is first asked for, and end them all in the end."""
    started: dict[tuple[str, bool], Speaker] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str, has_tokens: bool = True) -> Speaker:
            if (name, has_tokens) not in started:
                manager: Any
                if name in DIALECTS:
                    manager = FakeServer(replace(DIALECTS[name], has_tokens=has_tokens))
                    version = name
                else:
                    extra = () if has_tokens else ("-C",)
                    folder = tmp_path_factory.mktemp("real")
                    manager = running("tcp", folder, program=name, extra=extra)
                    version = version_of(name)
                address = stack.enter_context(manager).address
                numbers = tuple(int(part) for part in version.split("."))
                started[name, has_tokens] = Speaker(address, numbers)
            return started[name, has_tokens]

        yield start


@pytest.fixture(params=[*FAKES, *REAL])
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def speaker(name: str, speakers: Callable[..., Speaker]) -> Speaker:
    found = speakers(name)
    found.ask(b"flush_all")
    return found


@pytest.fixture(params=["blocking meta", "blocking ascii", "asyncio meta", "asyncio ascii"])
def client(request: pytest.FixtureRequest, speaker: Speaker) -> Iterator[Any]:
    driver, protocol = request.param.split()
    options: dict[str, Any] = {"protocol": protocol, "timeout": 10.0}
    if driver == "blocking":
        with memcache.Client(speaker.address, **options) as blocking:
            yield blocking
    else:
        yield Blocking(AsyncClient(speaker.address, **options))


@pytest.fixture(params=RAW)
def raw(request: pytest.FixtureRequest, speaker: Speaker) -> Iterator[Any]:
    """A connection that a test must leave in step."""
    with speaker.raw(request.param) as opened:
        yield opened
        assert opened.is_valid
        assert opened.get("none").status is MISS


@pytest.fixture
def meta(speaker: Speaker) -> Iterator[memcache.RawMetaClient]:
    """A connection that speaks meta, and that a test must leave in step."""
    with speaker.raw("meta") as opened:
        yield opened
        assert opened.is_valid
        assert opened.get("none").status is MISS


# Reading


def test_flags_are_read_in_whatever_order_and_misses_however_bare(
    speaker: Speaker, meta: memcache.RawMetaClient
) -> None:
    assert speaker.ask(b"set key 5 100 3", b"abc") == b"STORED\r\n"
    found = meta.meta_get("key", details=True)
    assert (found.value, found.flags, found.size, found.ttl) == (b"abc", 5, 3, 100)
    assert meta.meta_get("none", details=True).status is MISS
    assert meta.meta_get("key", value=False, details=True).value is None
    answers = meta.get_multi(["none", "key", "nor", "key2"])
    assert [each.value for each in answers.values()] == [None, b"abc", None, None]


def test_an_expiry_is_told_as_seconds_and_never_as_minus_one(
    meta: memcache.RawMetaClient,
) -> None:
    assert meta.set(Item("k", b"x")).ok
    assert meta.meta_get("k", details=True).ttl == -1
    assert meta.meta_get("k", expire=100, details=True).value == b"x"
    assert meta.meta_get("k", details=True).ttl == 100


def test_gat_gives_the_value_that_it_ends(client: Any) -> None:
    assert client.set("k", b"x")
    assert client.gat("k", 100) == b"x"
    assert client.gat("k", -1) == b"x"
    assert client.get("k") is None
    assert client.gat("k", 100) is None
    assert client.set("k", b"x")
    assert client.touch("k", -1)
    assert client.get("k") is None
    assert not client.touch("k", 100)


def test_a_batch_is_longer_than_a_line_may_be(client: Any) -> None:
    """1.6.12 refuses a get of over 16 KiB."""
    values = {f"{at:05d}" * 20: b"%d" % at for at in range(400)}  # of 40 KB
    assert client.set_many(values) == []
    assert client.get_many([*values, "none"]) == values
    assert client.delete_many(values) == []


@pytest.mark.parametrize("version", FAKES)
@pytest.mark.parametrize("protocol", ["meta", "ascii"])
def test_a_batch_comes_in_segments(version: str, protocol: Any) -> None:
    """1.6.12 reads no get of which over 1 KiB wait for the next segment."""
    values = {f"{at:05d}" * 10: b"%d" % at for at in range(200)}
    with (
        FakeServer(DIALECTS[version], piece=1448) as fake,
        memcache.Client(fake.address, protocol=protocol, timeout=10.0) as client,
    ):
        assert client.set_many(values) == []
        assert client.get_many([*values, "none"]) == values
        assert client.delete_many(values) == []


def test_a_key_that_is_too_long_is_refused_before_it_is_sent(
    speaker: Speaker, client: Any, raw: Any
) -> None:
    assert client.set("a", b"x")
    with pytest.raises(memcache.InvalidArgumentError, match="1 to 250 bytes"):
        client.get("k" * 251)
    with pytest.raises(memcache.InvalidArgumentError, match="1 to 250 bytes"):
        client.set("k" * 251, b"flush_all\r\n")
    with pytest.raises(memcache.InvalidArgumentError, match="1 to 250 bytes"):
        client.get_many(["a", "k" * 251])
    answers = raw.get_multi(["a", "k" * 251, "b"])
    assert [each.value for each in answers.values()] == [b"x", None, None]
    assert isinstance(answers["k" * 251].error, memcache.InvalidArgumentError)
    assert client.get("a") == b"x"
    assert client.set("k" * 250, b"y")
    assert speaker.ask(b"get " + b"k" * 250).endswith(b"\r\ny\r\nEND\r\n")


# Numbers


def test_blanks_that_a_shorter_number_leaves_are_no_part_of_it(client: Any, raw: Any) -> None:
    assert client.incr("n", initial=1000) == 1000
    assert client.decr("n", 999) == 1
    assert client.get("n") == 1
    assert raw.get("n").value == b"1   "
    assert client.decr("n", 2000) == 0
    assert client.incr("n", (1 << 64) - 1) == (1 << 64) - 1
    assert client.incr("n") == 0
    assert client.get("n") == 0
    assert client.incr("none") is None


@pytest.mark.parametrize("value", [b"abc", b"", b"-1", b"7a", b"18446744073709551616"])
def test_what_is_no_number_is_an_error_that_keeps_the_connection(
    speaker: Speaker, client: Any, raw: Any, value: bytes
) -> None:
    assert speaker.ask(b"set k 0 0 %d" % len(value), value) == b"STORED\r\n"
    with pytest.raises(memcache.ServerError, match="non-numeric"):
        client.incr("k")
    response = raw.increment("k")
    assert response.status is ResponseStatus.NON_NUMERIC_VALUE
    assert speaker.ask(b"get k").startswith(b"VALUE k 0 %d" % len(value))


def test_blanks_around_a_number_count(speaker: Speaker, raw: Any) -> None:
    assert speaker.ask(b"set k 0 0 2", b" 7") == b"STORED\r\n"
    assert raw.increment("k").count == 8
    assert raw.get("k").value == b"8 "


# Storing


def test_what_is_not_there_is_not_extended(client: Any, raw: Any) -> None:
    assert not client.append("k", b"more")
    assert not client.prepend("k", b"more")
    assert raw.append("k", b"more").status in (MISS, NOT_STORED)
    assert client.get("k") is None


def test_a_token_of_another_item_stores_nothing(client: Any, raw: Any) -> None:
    assert client.set("k", b"old")
    _, token = client.gets("k")
    assert client.cas("k", b"new", token)
    assert not client.cas("k", b"lost", token)
    assert not client.cas("none", b"lost", token)
    assert client.get("k") == b"new"
    assert raw.cas(Item("k", b"lost", cas=token)).status is ResponseStatus.KEY_EXISTS
    assert raw.cas(Item("none", b"lost", cas=token)).status is MISS
    with pytest.raises(memcache.InvalidArgumentError, match=r"cas must be in \[1, 2\*\*64\)"):
        client.cas("k", b"lost", 0)


def test_a_batch_tells_which_keys_were_not_there(raw: Any) -> None:
    """Misses of md and ma are answered, quiet or not."""
    assert [each.ok for each in raw.set_multi([Item("a", b"1"), Item("c", b"3")])] == [True, True]
    answers = raw.delete_multi(["a", "b", "c", "a"])
    assert [each.status.name for each in answers] == [
        "OK",
        "KEY_NOT_FOUND",
        "OK",
        "KEY_NOT_FOUND",
    ]
    assert raw.set(Item("a", b"1")).ok
    answers = raw.add_multi([Item("a", b"2"), Item("b", b"2"), Item("a", b"3")])
    assert [each.status.name for each in answers] == [
        "ITEM_NOT_STORED",
        "OK",
        "ITEM_NOT_STORED",
    ]


def test_a_token_of_ones_own_is_the_items_until_the_next_store(
    speaker: Speaker, meta: memcache.RawMetaClient
) -> None:
    for wrong in (0, -1, 1 << 64):
        with pytest.raises(memcache.InvalidArgumentError, match="new_cas"):
            meta.meta_set(Item("k", b"x"), new_cas=wrong)
    if speaker.version < (1, 6, 27):
        with pytest.raises(memcache.NotSupportedError, match="the flag E"):
            meta.meta_set(Item("k", b"x"), new_cas=12345)
        assert meta.get("k").status is MISS
        return
    for token in (12345, (1 << 64) - 1):
        assert meta.meta_set(Item("k", b"x"), new_cas=token).cas == token
        assert meta.get("k").cas == token
    assert meta.set(Item("k", b"y")).ok
    assert 0 < meta.get("k").cas < 12345


def test_a_value_that_is_too_large_is_refused_alone(client: Any, raw: Any) -> None:
    assert client.set("b", b"old")
    failed = client.set_many({"a": b"1", "b": TOO_MUCH, "c": b"3"})
    assert failed == ["b"]
    assert "too large" in str(failed.errors["b"])
    assert client.get_many(["a", "b", "c"]) == {"a": b"1", "c": b"3"}  # the old one is deleted
    with pytest.raises(memcache.ServerError, match="too large"):
        client.set("b", TOO_MUCH)
    assert raw.set(Item("b", TOO_MUCH)).status is ResponseStatus.VALUE_TOO_LARGE
    assert raw.add(Item("b", TOO_MUCH)).status is ResponseStatus.VALUE_TOO_LARGE


def test_what_would_be_too_large_when_it_is_extended_stays(client: Any, raw: Any) -> None:
    assert client.set("k", bytes(1_000_000))
    with pytest.raises(memcache.ServerError, match="too large"):
        client.append("k", bytes(100_000))
    assert raw.append("k", bytes(100_000)).status is NOT_STORED
    assert client.get("k") == bytes(1_000_000)


def test_expiries_that_a_server_does_not_hold_break_no_batch(raw: Any) -> None:
    """1.6.45 refuses those from 2**31 on in meta, touch and gat; others take them for the past."""
    for expire in (1 << 31, (1 << 32) - 1):
        answers = raw.set_multi([Item("a", b"1"), Item("b", b"2", expire=expire), Item("c", b"3")])
        assert [each.ok for each in answers] == [True, False, True]
        assert isinstance(answers[1].error, memcache.InvalidArgumentError)
        assert raw.get("c").value == b"3"
        for call in (raw.touch, raw.gat):
            with pytest.raises(memcache.InvalidArgumentError, match="expire"):
                call("a", expire)
        assert raw.touch("a", (1 << 31) - 1).ok
        assert raw.get("a").value == b"1"


# Leases and stale items


def test_a_lease_of_another_is_a_miss(speaker: Speaker, client: Any, raw: Any) -> None:
    assert speaker.ask(b"mg key N30 v").startswith(b"VA 0 W")
    assert client.get("key") is None
    assert client.get_many(["key"]) == {}
    assert raw.get("key").value == b""  # as memcached has it
    assert not client.add("key", b"x")
    assert not client.append("key", b"x")
    with pytest.raises(memcache.ServerError, match="non-numeric"):
        client.incr("key")
    assert client.set("key", b"x")
    assert client.get("key") == b"x"


def test_who_does_not_win_the_lease_waits(speaker: Speaker) -> None:
    assert speaker.ask(b"mg key N30 v").startswith(b"VA 0 W")
    with memcache.Client(speaker.address, protocol="meta", timeout=10.0) as client:
        with pytest.raises(memcache.LeaseTimeoutError):
            client.get_or_set("key", lambda: b"x", 60, wait=0)
        assert client.get_or_set("other", lambda: b"x", 60, wait=0) == b"x"
        assert client.get_or_set("other", lambda: b"y", 60, wait=0) == b"x"


def test_a_stale_item_is_won_once_and_read_by_all(
    speaker: Speaker, meta: memcache.RawMetaClient
) -> None:
    assert speaker.ask(b"set key 0 0 2", b"ab") == b"STORED\r\n"
    assert meta.meta_delete("key", stale=True, expire=30).ok
    first, second = meta.meta_get("key", details=True), meta.meta_get("key", details=True)
    assert (first.value, first.ttl, first.stale, first.won, first.taken) == (
        b"ab",
        30,
        True,
        True,
        False,
    )
    assert (second.value, second.stale, second.won, second.taken) == (b"ab", True, False, True)
    assert meta.get("key").value == b"ab"
    assert meta.append("key", b"c").ok
    assert not meta.meta_get("key").stale  # which an append takes away
    assert meta.meta_delete("none", stale=True, expire=30).status is MISS


# Keys of any bytes


LOST = b"a \r\nb"


def test_a_key_of_any_bytes_is_found_whoever_stored_it(speaker: Speaker) -> None:
    assert speaker.ask(b"set a 3 0 1", b"x") == b"STORED\r\n"
    with speaker.raw("meta", binary_keys=True) as client:
        assert client.get("a").value == b"x"
        assert client.get_multi([b"a", b"none"])[b"a"].flags == 3
        assert client.meta_get("a").value == b"x"
        assert client.set(Item("b", b"y")).ok
        assert client.delete("a").ok
        assert client.is_valid
    assert speaker.ask(b"get b").startswith(b"VALUE b 0 1")
    with speaker.raw("meta") as plain:
        assert plain.get("b").value == b"y"
        assert plain.get_multi(["b", "a"])["b"].value == b"y"
        assert plain.is_valid


@pytest.mark.parametrize(
    "change",
    [
        lambda client: client.append(LOST, b"8"),
        lambda client: client.prepend(LOST, b"8"),
        lambda client: client.increment(LOST, 991),
    ],
    ids=["append", "prepend", "increment"],
)
def test_a_key_of_any_bytes_survives_what_loses_its_mark(
    speaker: Speaker, change: Callable[[Any], Any]
) -> None:
    with speaker.raw("meta", binary_keys=True) as client:
        assert client.set(Item(LOST, b"9", flags=5)).ok
        assert change(client).ok
        found = client.get(LOST)
        assert found.value in (b"98", b"89", b"1000")
        assert client.get_multi([b"none\n", LOST, b"nor\0this"])[LOST] == found
        assert client.meta_get(LOST).value == found.value
        assert client.gat(LOST, 100).value == found.value
        assert client.delete(LOST).ok
        assert client.get(LOST).status is MISS
        assert client.is_valid


def test_a_lease_on_a_key_of_any_bytes(speaker: Speaker) -> None:
    with speaker.raw("meta", binary_keys=True) as client:
        assert client.meta_get(LOST, lease=30).won
        assert client.meta_get(LOST, lease=30).taken
        assert client.get(LOST).value == b""
        assert client.increment(b"n\r\nn", 1, 5, expire=0).count == 5
        assert client.get_multi([LOST, b"n\r\nn"])[b"n\r\nn"].value == b"5"
        assert client.is_valid


# The server as a whole


def test_groups_of_statistics(speaker: Speaker, client: Any) -> None:
    assert client.set("k", b"x")
    assert int(client.stats()[0]["curr_items"]) >= 1
    if speaker.version >= (1, 6, 40):
        assert client.stats("proxy") == {0: {}}
    else:
        with pytest.raises(memcache.ServerError, match="ERROR"):
            client.stats("proxy")
    with pytest.raises(memcache.ServerError, match="ERROR"):
        client.stats("nonsense")
    assert client.get("k") == b"x"


def test_a_flush_takes_all_and_what_is_stored_then_stays(client: Any) -> None:
    assert client.set("k", b"x")
    client.flush_all()
    assert client.get("k") is None
    assert client.set("k", b"x")
    assert client.get("k") == b"x"
    client.flush_all(-1)
    assert client.get("k") is None


def test_a_server_without_tokens_has_all_but_what_needs_them(
    name: str, speakers: Callable[..., Speaker]
) -> None:
    speaker = speakers(name, has_tokens=False)
    for protocol in ("meta", "ascii"):
        with memcache.Client(speaker.address, protocol=protocol, timeout=10.0) as client:
            assert client.set("k", b"x")
            with pytest.raises(memcache.NotSupportedError, match="no CAS tokens"):
                client.gets("k")
            assert client.append("k", b"y")
            assert client.get("k") == b"xy"
            assert client.incr("n", initial=1) == 1
            assert client.delete_many(["k", "n"]) == []
    with memcache.Client(speaker.address, protocol="meta", timeout=10.0) as client:
        for value in (b"x", b"y"):  # at once: nobody waits for a lease
            assert client.get_or_set("fresh", lambda: value, 60, wait=0) == b"x"  # noqa: B023
        client.delete("fresh")
