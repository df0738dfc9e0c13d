"""Proxies with a dead server: the others' keys, and whose errors they are; unknown commands."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.blocking import Blocking
from support.dialects import DIALECTS, FakeServer
from support.proxies import DEAD, FakeProxy, real, split

from godropbox import memcache
from godropbox.compat import pymemcache
from godropbox.memcache import Item, aio
from godropbox.memcache.batches import PartialResultError
from godropbox.memcache.protocol.ascii import AsciiProtocol
from godropbox.memcache.protocol.exchange import Exchange
from godropbox.memcache.protocol.meta import MetaProtocol

WORDS = "SERVER_ERROR backend failure"
LIVE = ["live0", "live1", "live2"]
RAW: dict[str, Any] = {"ascii": memcache.RawAsciiClient, "meta": memcache.RawMetaClient}


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with FakeProxy() as server:
        with memcache.RawAsciiClient(memcache.connect(server.address)) as client:
            assert all(each.ok for each in client.set_multi([Item(k, b"1") for k in LIVE]))
        yield server


@pytest.mark.parametrize("protocol", RAW)
@pytest.mark.parametrize(
    ("keys", "failed"),
    [
        (["dead0", "live0", "live1"], ["dead0"]),
        (["live0", "dead0", "dead1", "live1"], ["dead0", "dead1"]),
        (["live0", "none0", "live1", "dead0"], ["dead0"]),
        (["dead0", "dead1"], ["dead0", "dead1"]),
        # Which of two neighbours failed is not told: neither may pass for a miss.
        (["live0", "dead0", "none0", "live1", "none1"], ["dead0", "none0"]),
    ],
)
def test_a_dead_server_costs_its_own_keys(
    proxy: FakeProxy, protocol: str, keys: list[str], failed: list[str]
) -> None:
    with RAW[protocol](memcache.connect(proxy.address)) as raw:
        found = raw.get_multi(keys)
        assert [key for key in keys if found[key].error is not None] == failed
        assert all(str(found[key].error) == WORDS for key in failed)
        assert [key for key in keys if found[key].found] == [k for k in keys if "live" in k]
        assert raw.is_valid
        assert raw.get("live0").value == b"1"
        assert not raw.get("none0").found
        assert str(raw.get("dead0").error) == WORDS
        assert raw.get("live1").value == b"1"


@pytest.mark.parametrize("protocol", RAW)
def test_mutations_over_a_dead_server_fail_one_by_one(proxy: FakeProxy, protocol: str) -> None:
    keys = ["dead0", "live0", "dead1", "live5"]
    with RAW[protocol](memcache.connect(proxy.address)) as raw:
        for answers in (
            raw.set_multi([Item(key, b"2") for key in keys]),
            raw.delete_multi(keys),
        ):
            assert [each.error is None for each in answers] == [False, True, False, True]
        assert raw.is_valid
        assert str(raw.touch("dead0", 5).error) == WORDS
        assert str(raw.gat("dead0", 5).error) == WORDS
        assert raw.gat("live1", 5).value == b"1"
        assert raw.is_valid


@pytest.mark.parametrize("protocol", RAW)
def test_a_client_gives_what_is_alive_and_keeps_its_connection(
    proxy: FakeProxy, protocol: Any
) -> None:
    before = proxy.connections
    with memcache.Client(proxy.address, protocol=protocol) as client:
        for _ in range(3):
            with pytest.raises(memcache.PartialServerError, match=WORDS) as caught:
                client.get_many(["live0", "dead0", "live1"])
            assert caught.value.found == {"live0": b"1", "live1": b"1"}
        assert client.set_many({"live7": b"7", "dead7": b"7"}) == ["dead7"]
        assert client.delete_many(["live7", "dead7"]) == ["dead7"]
        with pytest.raises(memcache.ServerError, match=f"{WORDS} .key 'dead0'"):
            client.get("dead0")
        assert client.get("live0") == b"1"
    assert proxy.connections == before + 1


@pytest.mark.parametrize("protocol", RAW)
def test_many_callers_of_one_connection_get_their_own(proxy: FakeProxy, protocol: Any) -> None:
    before = proxy.connections
    keys = ["dead0", "none0", "live0", "dead1", "none1", "none2", "live1", "dead2"]

    async def main() -> list[Any]:
        async with aio.AsyncClient(proxy.address, protocol=protocol) as client:
            await client.get("live0")
            gets = [client.get(key) for key in keys]
            answers = await asyncio.gather(*gets, return_exceptions=True)
            with pytest.raises(memcache.PartialServerError) as caught:
                await client.get_many(["live0", "dead0"])
            assert caught.value.found == {"live0": b"1"}
            return answers

    for key, answer in zip(keys, asyncio.run(main()), strict=True):
        if key.startswith("dead"):
            assert isinstance(answer, memcache.ServerError)
        else:
            assert answer == (b"1" if key.startswith("live") else None)
    assert proxy.connections == before + 1


def test_writes_that_nobody_waits_for_leave_the_connection_in_step(
    proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    client = pymemcache.Client(proxy.address)
    client.set("live0", b"1", noreply=False)
    before = proxy.connections
    for key in ("dead0", "live0", "dead1"):
        client.set(key, b"2", noreply=True)
    assert client.get("live0") == b"2"
    told = [record.getMessage() for record in caplog.records]
    assert [text.endswith("backend failure'") for text in told] == [True, True]
    client.close()
    assert proxy.connections == before


def feed(exchange: Exchange, reply: bytes) -> Any:
    for at in range(len(reply)):
        assert exchange.feed(reply[at : at + 1]) == 1
    assert exchange.done
    return exchange.result()


def test_an_error_in_place_of_all_may_be_followed_by_more() -> None:
    """Of nutcracker, and of memcached itself; that of 1.6.45 is followed by an empty line."""
    ascii_protocol = AsciiProtocol()
    for line in (b"SERVER_ERROR Connection refused", b"CLIENT_ERROR bad command line format"):
        exchange = ascii_protocol.get_multi(["a", "b"])
        answers = feed(exchange, line + b"\r\n")
        assert [str(answer.error) for answer in answers.values()] == [line.decode()] * 2
        assert not exchange.in_step()
    single = ascii_protocol.get("a")
    assert feed(single, b"SERVER_ERROR Connection refused\r\n").error is not None
    assert single.in_step()
    single = ascii_protocol.get("a")
    assert feed(single, b"CLIENT_ERROR bad command line format\r\n").error is not None
    assert not single.in_step()


@pytest.mark.parametrize("protocol", RAW)
def test_more_errors_than_keys_are_no_reply(protocol: str) -> None:
    makers = {
        "ascii": AsciiProtocol(),
        "meta": MetaProtocol(),
    }
    hit = {"ascii": b"VALUE b 0 1 7\r\n1\r\n", "meta": b"VA 1 f0 c7 kb O1\r\n1\r\n"}[protocol]
    exchange: Any = makers[protocol].get_multi(["a", "b", "c"])
    with pytest.raises(memcache.ReplyError):
        feed(exchange, DEAD * 2 + hit + (b"END\r\n" if protocol == "ascii" else b"MN\r\n"))


# What proxies do not know


def test_flush_through_memcacheds_proxy_says_what_it_lacks(proxy: FakeProxy) -> None:
    words = r"version 1\.6\.45: it does not know the command flush_all; it closed the connection"
    with memcache.RawAsciiClient(memcache.connect(proxy.address)) as raw:
        with pytest.raises(memcache.NotSupportedError, match=words):
            raw.flush()
        assert not raw.is_valid
    with memcache.Client(proxy.address) as client:
        with pytest.raises(memcache.NotSupportedError, match=words) as caught:
            client.flush_all()
        assert caught.value.fields["address"] == proxy.address
        assert client.get("live0") == b"1"


def test_a_server_that_dies_is_no_proxy() -> None:
    with FakeProxy() as proxy, memcache.RawAsciiClient(memcache.connect(proxy.address)) as raw:
        exchange = AsciiProtocol().flush()
        assert str(raw.version().versions[0]) == "1.6.45"
        raw.channel.close()
        with pytest.raises(memcache.NetworkError):
            raw.connection.run(exchange)


# Real ones


@pytest.fixture(scope="module", params=["nutcracker", "memcached"])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with real(request.param, folder) as found:
        yield found


def test_a_real_proxy_over_a_dead_server(address: str) -> None:
    alive, dead = split(address, [f"key{i}" for i in range(20)])
    protocols = ["ascii"]
    with memcache.RawMetaClient(memcache.connect(address)) as raw:
        try:
            raw.get(alive[0])
            protocols.append("meta")
        except memcache.NotSupportedError as error:
            assert "it closed the connection" in str(error)  # noqa: PT017  # one of two ends
    for protocol in protocols:
        with RAW[protocol](memcache.connect(address, timeout=5.0)) as raw:
            found = raw.get_multi([*alive, *dead])
            assert all(found[key].error is not None for key in dead)
            if len(protocols) == 2:  # nutcracker gives one error for all, and closes
                assert all(found[key].found for key in alive)
                assert raw.get(alive[0]).found
        with RAW[protocol](memcache.connect(address, timeout=5.0)) as raw:
            assert raw.get(alive[0]).found
            assert str(raw.get(dead[0]).error).startswith("SERVER_ERROR")
            assert raw.is_valid
            answers = raw.set_multi([Item(key, b"2") for key in (alive[0], dead[0], alive[1])])
            assert [each.ok for each in answers] == [True, False, True]


def test_what_a_real_proxy_does_not_know_is_named(address: str) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda raw: raw.flush(),
        lambda raw: raw.verbosity(0),
        lambda raw: raw.stats("nonsense"),
        lambda raw: raw.gat("key0", 10),
        lambda raw: raw.gat_multi(["key0", "key1"], 10),
    ]
    for call in calls:
        with memcache.RawAsciiClient(memcache.connect(address, timeout=5.0)) as raw:
            try:
                response = call(raw)
            except memcache.NotSupportedError as error:
                assert "does not know the" in str(error)  # noqa: PT017  # of one proxy
            else:
                assert response is not None
                assert raw.is_valid


@pytest.mark.parametrize("kind", [memcache.Client, aio.AsyncClient])
def test_a_proxy_that_does_not_know_gat_goes_on_serving(kind: Any) -> None:
    """Were it taken for a failure, `eject_after` would make all its keys misses."""
    options = {"protocol": "ascii", "timeout": 10.0, "eject_after": 1, "failures": "miss"}
    with FakeServer(DIALECTS["nutcracker"]) as server:
        client = kind(server.address, **options)
        with client if kind is memcache.Client else Blocking(client) as each:
            each.set_many({"a": "1", "b": "2"})
            with pytest.raises(memcache.NotSupportedError, match="does not know") as caught:
                each.gat_many(["a", "b"], 10)
            assert caught.value.fields["address"] == server.address
            assert each.get("a") == "1"


def test_a_fleet_of_which_one_server_knows_gat_keeps_what_it_found() -> None:
    with (
        FakeServer(DIALECTS["nutcracker"]) as lacks,
        FakeServer(DIALECTS["1.6.18"]) as knows,
        memcache.Client([lacks.address, knows.address], protocol="ascii") as client,
    ):
        values = {f"key{i}": i for i in range(20)}
        client.set_many(values)
        with pytest.raises(PartialResultError) as caught:
            client.gat_many(values, 10)
        found, errors = caught.value.found, caught.value.errors
        assert found
        assert {*found, *errors} == set(values)
        assert {type(error) for error in errors.values()} == {memcache.NotSupportedError}
