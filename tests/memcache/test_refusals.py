"""What a server refuses says which key, which shard and which server, in every way of asking."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.server_fleets import DRIVERS, ServerFleet, sharded

from godropbox import memcache
from godropbox.memcache import Client, Item, NotSupportedError, ServerError
from godropbox.memcache.aio import AsyncClient
from godropbox.memcache.testing import MockClient

Make = Callable[..., Any]
BIG = b"x" * 2_000_000
KEYS = [f"key{i}" for i in range(20)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFleet]:
    made = ServerFleet("tcp", 3, tmp_path_factory.mktemp("refusals"))
    yield made
    made.close()


@pytest.fixture(params=["threads", *LOOPS])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "threads":
        return Client
    return lambda *given, **named: Blocking(AsyncClient(*given, **named), request.param)


def shard_of(client: Any, key: str) -> int:
    inner = getattr(client, "inner", client)
    shard: int = inner._sharded.manager.fleet().of(key)
    return shard


def check(error: Any, client: Any, addresses: list[str], key: str, size: int | None) -> None:
    """See that a refusal names everything, once."""
    shard = shard_of(client, key)
    address = addresses[shard]
    assert type(error) is ServerError
    assert error.fields["shard"] == shard
    assert error.fields["address"] == address
    assert error.fields["key"] == key
    assert error.fields.get("size") == size
    text = str(error)
    assert text.startswith(f"shard {shard} at {address}: ")
    assert text.count("shard") == 1
    assert f"(key {key!r}" in text
    if size is not None:
        assert f"{size} bytes; the limit is the server's option -I, by default 1 MiB)" in text


WRITES: dict[str, Callable[[Any, str], object]] = {
    "set": lambda client, key: client.set(key, BIG),
    "add": lambda client, key: client.add(key, BIG),
    "cas": lambda client, key: client.cas(key, BIG, 5),
}


class UnshowableKey(str):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_a_key_that_cannot_be_shown_hides_no_refusal(
    make: Make, fleet: ServerFleet, protocol: str
) -> None:
    key = UnshowableKey("key")
    client = make(fleet.addresses, protocol=protocol)
    for call in WRITES.values():
        with pytest.raises(ServerError, match=r"\(key <.*UnshowableKey object at"):
            call(client, key)
    failed = client.set_many({key: BIG, "other": b"stored"})
    assert "UnshowableKey object at" in str(failed.errors["key"])
    assert client.get("other") == b"stored"
    client.close()


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
@pytest.mark.parametrize("hooks", [(), (lambda event: None,)], ids=["plain", "hooks"])
@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_a_value_that_is_too_large(
    make: Make,
    fleet: ServerFleet,
    protocol: str,
    hooks: Any,
    call: Callable[[Any, str], object],
) -> None:
    with make(fleet.addresses, protocol=protocol, hooks=hooks, timeout=10.0) as client:
        client.delete_many(KEYS)
        for key in KEYS[:4]:
            with pytest.raises(ServerError, match=r"(?i)too large") as caught:
                call(client, key)
            check(caught.value, client, fleet.addresses, key, len(BIG))
            assert client.get(key) is None


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_a_value_that_becomes_too_large(make: Make, fleet: ServerFleet, protocol: str) -> None:
    nearly = b"x" * 1_048_000
    with make(fleet.addresses, protocol=protocol, timeout=10.0) as client:
        client.set("near", nearly)
        for extend in (client.append, client.prepend):
            for more in (b"y" * 1000, b"y" * 100_000):
                with pytest.raises(ServerError, match=r"too large \(the limit .* -I") as caught:
                    extend("near", more)
                assert caught.value.fields["key"] == "near"
                assert caught.value.fields["size"] == len(nearly) + len(more)
                assert client.get("near") == nearly
            assert extend("near", b"y") is True
            client.set("near", nearly)
            assert extend("missing", b"y") is False


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
@pytest.mark.parametrize("hooks", [(), (lambda event: None,)], ids=["plain", "hooks"])
def test_values_of_a_batch_that_are_too_large(
    make: Make, fleet: ServerFleet, protocol: str, hooks: Any
) -> None:
    with make(fleet.addresses, protocol=protocol, hooks=hooks, timeout=10.0) as client:
        values: dict[str, bytes] = dict.fromkeys(KEYS, b"small")
        values[KEYS[3]] = values[KEYS[8]] = BIG
        failed = client.set_many(values)
        assert failed == [KEYS[3], KEYS[8]]
        for key in failed:
            check(failed.errors[key], client, fleet.addresses, key, len(BIG))
        [failed] = [client.set_many({KEYS[5]: BIG})]
        check(failed.errors[KEYS[5]], client, fleet.addresses, KEYS[5], len(BIG))


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_what_is_no_number(make: Make, fleet: ServerFleet, protocol: str) -> None:
    with make(fleet.addresses, protocol=protocol, timeout=10.0) as client:
        for key in KEYS[:4]:
            client.set(key, b"text")
            with pytest.raises(ServerError, match=r"(?i)non-numeric") as caught:
                client.incr(key)
            check(caught.value, client, fleet.addresses, key, None)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_the_responses_of_sharded_clients(fleet: ServerFleet, protocol: str, driver: str) -> None:
    with sharded(fleet, protocol, driver=driver, timeout=10.0) as client:
        placed = client.manager.fleet()
        response = client.set(Item("big", BIG))
        assert response.error.fields["shard"] == placed.of("big")
        assert response.error.fields["key"] == "big"
        items = [Item(key, BIG if key == KEYS[1] else b"1") for key in KEYS]
        for batch in (client.set_multi, client.add_multi):
            client.delete_multi(KEYS)
            [refusal] = [each.error for each in batch(items) if each.error is not None]
            assert refusal.fields["key"] == KEYS[1]
            assert refusal.fields["address"] == fleet.addresses[placed.of(KEYS[1])]
            assert refusal.fields["size"] == len(BIG)


def test_a_whole_server_that_refuses(make: Make, fleet: ServerFleet) -> None:
    with (
        make(fleet.addresses[0], protocol="meta", timeout=10.0) as client,
        pytest.raises(ServerError) as caught,
    ):
        client.stats("nonsense that is none")
    assert caught.value.fields["shard"] == 0
    assert str(caught.value).startswith(f"shard 0 at {fleet.addresses[0]}: ")


class Grumbling:
    """A server that refuses every line of a client."""

    def __init__(self, line: bytes) -> None:

        self._listening = socket.create_server(("127.0.0.1", 0))
        self._line = line
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:

        with contextlib.suppress(OSError):
            while True:
                end = self._listening.accept()[0]
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: Any) -> None:

        with end, contextlib.suppress(OSError):
            while data := end.recv(1 << 16):
                for line in data.splitlines():
                    if line.startswith(b"version"):
                        end.sendall(b"VERSION 1.5.22\r\n")
                    elif line.startswith(b"get"):
                        end.sendall(self._line + b"\r\n")
                    elif line.startswith((b"ms ", b"mg ", b"godropbox")):
                        end.sendall(b"ERROR\r\n")

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def grumbling() -> Iterator[Grumbling]:
    server = Grumbling(b"SERVER_ERROR out of memory writing get response")
    yield server
    server.close()


@pytest.mark.parametrize("size", [1, 5])
def test_a_get_that_is_refused(make: Make, grumbling: Grumbling, size: int) -> None:
    with make([grumbling.address], timeout=10.0) as client:
        for _ in range(2):  # over a new connection, and over an idle one
            with pytest.raises(ServerError, match="out of memory") as caught:
                client.get_many(KEYS[:size])
            error = caught.value
            assert isinstance(error, memcache.PartialServerError)
            for key, each in error.errors.items():
                check(each, client, [grumbling.address], str(key), None)
            for call in (client.get, client.gets):
                with pytest.raises(ServerError, match="out of memory") as caught:
                    call(KEYS[0])
                check(caught.value, client, [grumbling.address], KEYS[0], None)


def test_a_server_without_meta_commands_is_told_of_with_what_to_do(
    make: Make, grumbling: Grumbling
) -> None:
    words = (
        f"shard 0 at {grumbling.address}, version 1.5.22: it does not know the meta commands of "
        'memcached 1.6.10: ERROR; use protocol="ascii"'
    )
    with make([grumbling.address], protocol="meta", timeout=10.0) as client:
        with pytest.raises(NotSupportedError) as caught:
            client.get_or_set("a", lambda: 1, 60)
        assert str(caught.value) == words
        assert caught.value.fields["version"] == "1.5.22"


def test_the_mock_has_no_shard_to_name() -> None:
    mock = MockClient(fail_all_sets=True)
    with Client.over(mock) as client, pytest.raises(ServerError) as caught:
        client.set("a", b"1")
    assert "shard" not in caught.value.fields
