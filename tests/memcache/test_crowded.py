"""A server that has no room for one more connection, and the forms of ``stats``."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from support.memcached import Server

from godropbox import memcache
from godropbox.memcache import Item, ResponseStatus, aio
from godropbox.memcache.protocol.ascii import AsciiProtocol

CROWDED = b"ERROR Too many open connections\r\n"
WORDS = r"has as many as its limit \(option -c\) allows: ERROR Too many open connections"
RAW: dict[str, Any] = {
    "ascii": memcache.RawAsciiClient,
    "binary": memcache.RawBinaryClient,
    "meta": memcache.RawMetaClient,
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda client: client.get("a"),
    "get_multi": lambda client: client.get_multi(["a", "b"]),
    "set": lambda client: client.set(Item("a", b"1")),
    "set_multi": lambda client: client.set_multi([Item("a", b"1"), Item("b", b"1")]),
    "delete": lambda client: client.delete("a"),
    "version": lambda client: client.version(),
    "stats": lambda client: client.stats(),
    "flush": lambda client: client.flush(),
}


class Full:
    """Greets each connection as memcached beyond its limit: at once, or after the first request."""

    def __init__(self, waits: bool, path: str = "") -> None:
        self._waits = waits
        if path:
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(path)
            self._server.listen()
            self.address = f"unix:{path}"
        else:
            self._server = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                channel, _ = self._server.accept()
            except OSError:
                return
            if self._waits:
                channel.recv(1)  # what is left unread makes the close a reset
            channel.sendall(CROWDED)
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture(params=[False, True], ids=["at once", "after a request"])
def full(request: pytest.FixtureRequest) -> Iterator[Full]:
    server = Full(request.param)
    yield server
    server.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("protocol", RAW)
def test_a_raw_client_names_the_limit(full: Full, protocol: str, call: str) -> None:
    with RAW[protocol](memcache.connect(full.address, timeout=10.0)) as client:
        with pytest.raises(memcache.NetworkError, match=WORDS) as caught:
            CALLS[call](client)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        assert not client.is_valid


@pytest.mark.parametrize("protocol", RAW)
def test_a_client_names_the_limit_and_the_server(full: Full, protocol: Any) -> None:
    with memcache.Client(full.address, protocol=protocol, timeout=10.0) as client:
        for call in (
            lambda: client.get("a"),
            lambda: client.get_many(["a", "b"]),
            lambda: client.set("a", b"1"),
        ):
            with pytest.raises(memcache.NetworkError, match=WORDS) as caught:
                call()
            assert full.address in str(caught.value)
            assert "protocol=" not in str(caught.value)  # which is not what is the matter


@pytest.mark.parametrize("protocol", ["ascii", "meta"])
def test_asyncio_names_the_limit_and_the_server(full: Full, protocol: Any) -> None:
    async def main() -> None:
        async with aio.AsyncClient(full.address, protocol=protocol) as client:
            calls = [client.get("a"), client.get("b"), client.set("c", b"1")]
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(answer, memcache.NetworkError)
                assert "option -c" in str(answer)
                assert full.address in str(answer)
            with pytest.raises(memcache.NetworkError, match=WORDS):
                await client.get_many(["a", "b"])

    asyncio.run(main())


def test_a_list_of_keys_names_the_limit(full: Full, tmp_path: Path) -> None:
    async def listed(address: str) -> None:
        async with aio.AsyncClient(address, timeout=10.0) as client:
            async for _ in client.iter_keys():
                pass

    def left(address: str) -> memcache.Connection:
        mine, its = socket.socketpair()
        with its:
            its.sendall(CROWDED)
        return memcache.Connection(mine, 10.0)

    with pytest.raises(memcache.NetworkError, match=WORDS):
        asyncio.run(listed(full.address))
    with (
        memcache.Client(full.address, timeout=10.0) as client,
        pytest.raises(memcache.NetworkError, match=WORDS),
    ):
        list(client.iter_keys())
    with (
        memcache.Client(full.address, open=left) as client,
        pytest.raises(memcache.NetworkError, match=WORDS),
    ):
        list(client.iter_keys())  # the first write fails
    path = str(tmp_path / "s")
    with Full(False, path) as local:
        for _ in range(5):  # the first write may fail
            with pytest.raises(memcache.NetworkError, match=WORDS):
                asyncio.run(listed(local.address))


def test_a_login_names_the_limit(full: Full) -> None:
    for mechanism in ("ascii", "sasl"):
        auth = memcache.Credentials("ann", "secret", mechanism)
        with pytest.raises(memcache.NetworkError, match=WORDS):
            memcache.connect(full.address, auth=auth, connect_timeout=10.0)


def test_tls_names_the_limit_as_one_of_two_reasons(full: Full) -> None:
    context = ssl.create_default_context()
    words = r"answered in plain text: it does not speak TLS, or has as many .*option -c"
    with pytest.raises(memcache.NetworkError, match=words):
        memcache.connect(full.address, tls=context, connect_timeout=10.0)
    with (
        memcache.Client(full.address, tls=context, connect_timeout=10.0) as client,
        pytest.raises(memcache.NetworkError, match=words),
    ):
        client.get("a")

    async def listed() -> None:
        async with aio.AsyncClient(full.address, tls=context, connect_timeout=10.0) as client:
            async for _ in client.iter_keys():
                pass

    with pytest.raises(memcache.NetworkError, match=words):
        asyncio.run(listed())


# Statistics


def test_every_form_of_stats_is_read(servers: Callable[[str], Server], tmp_path: Path) -> None:
    address = servers("tcp").address
    with memcache.RawAsciiClient(memcache.connect(address)) as client:
        assert client.flush().ok
        assert client.stats("detail on").status is ResponseStatus.OK
        assert client.set(Item("stat:one", b"12345")).ok
        assert client.get("stat:one").found
        assert client.set(Item(":1:django", b"1")).ok  # its prefix is nothing
        assert client.stats().entries[0]["pid"].isdigit()
        items = client.stats("items").entries[0]
        for slab in {name.split(":")[1] for name in items}:
            dumped = client.stats(f"cachedump {slab} 0")  # of those that have cooled down
            assert all(" b; " in item for item in dumped.entries[0].values())
        prefixes = client.stats("detail dump").entries[0]
        assert prefixes["stat"].startswith("get 1 hit 1 set 1 del 0")
        assert prefixes[""].startswith("get 0 hit 0 set 1 del 0")
        for name in ("slabs", "sizes", "settings", "conns"):
            assert client.stats(name).entries[0]
        for name in ("reset", "detail off"):
            assert client.stats(name) == memcache.StatsResponse(ResponseStatus.OK, {0: {}})
        assert client.stats("nonsense").error is not None or client.is_valid
        assert client.is_valid
        assert client.get("stat:one").found


@pytest.mark.parametrize(
    ("reply", "entries"),
    [
        (b"END\r\n", {}),
        (b"RESET\r\n", {}),
        (b"OK\r\n", {}),
        (
            b"ITEM a [5 b; 0 s]\r\nITEM b [1 b; 9 s]\r\nEND\r\n",
            {"a": "[5 b; 0 s]", "b": "[1 b; 9 s]"},
        ),
        (
            b"PREFIX a get 1 hit 0 set 1 del 0\r\nPREFIX  get 2 hit 0 set 0 del 0\r\nEND\r\n",
            {"a": "get 1 hit 0 set 1 del 0", "": "get 2 hit 0 set 0 del 0"},
        ),
        (
            b"STAT pid 1\r\nSTAT slab_reassign_last_busy_status none\r\nSTAT x \r\nEND\r\n",
            {"pid": "1", "slab_reassign_last_busy_status": "none", "x": ""},
        ),
    ],
)
def test_a_reply_to_stats(reply: bytes, entries: dict[str, str]) -> None:
    exchange = AsciiProtocol().stats("any")
    for at in range(len(reply)):
        assert exchange.feed(reply[at : at + 1]) == 1
    assert exchange.result().entries == {0: entries}


@pytest.mark.parametrize("line", [b"ERROR", b"CLIENT_ERROR usage: stats detail on|off|dump"])
def test_a_refusal_of_stats(line: bytes) -> None:
    exchange = AsciiProtocol().stats("any")
    exchange.feed(line + b"\r\n")
    assert str(exchange.result().error) == line.decode()


@pytest.mark.parametrize(
    "reply",
    [b"STAT a 1\r\nOK\r\n", b"STAT a 1\r\nERROR\r\n", b"ITEM \r\n", b"PREFIX \r\n", b"STAT  1\r\n"],
)
def test_what_is_no_reply_to_stats(reply: bytes) -> None:
    with pytest.raises(memcache.ReplyError):
        AsciiProtocol().stats("any").feed(reply)
