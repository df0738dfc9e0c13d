"""Gets of very many keys: lines that every server takes, fast, in time, and fair to others."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.memcached import Server

from godropbox.memcache import Client, PartialNetworkError, RawAsciiClient, ServerError, connect
from godropbox.memcache.aio import AsyncClient

from .conftest import tls_context

Make = Callable[..., Any]
LINE, KEYS = 8192, 256  # the most bytes and keys of a line


class Answering:
    """A server that has a value for each key, but for those that end in 7, which it is asked for.

    It receives `piece` bytes at a time, and has the fault of memcached up to 1.6.12, if `is_old`: a
    line is not understood of which more than 1 KiB was there, at the start of the buffer, before
    its end was; if that takes even longer, the connection is closed. `lines` has what was
    understood, `errors` how many were not. It is silent from `silent_after` keys on.
    """

    def __init__(
        self, piece: int = 1 << 16, is_old: bool = False, silent_after: int = 1 << 30
    ) -> None:
        self.lines: list[bytes] = []
        self.errors = self.connections = 0
        self._piece, self._is_old, self._left = piece, is_old, silent_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._threads: list[threading.Thread] = []
        self._channels: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for channel, thread in zip(self._channels, self._threads, strict=True):
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
            thread.join()
            channel.close()

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._channels.append(channel)
            self._threads.append(threading.Thread(target=self._serve, args=(channel,)))
            self._threads[-1].start()

    def _serve(self, channel: socket.socket) -> None:
        data, has_moved, is_lost = b"", False, False
        try:
            while more := channel.recv(self._piece):
                data += more
                *lines, data = data.split(b"\n")
                answers = []
                for line in lines:
                    self.errors += is_lost
                    answers.append(b"ERROR\r\n" if is_lost else self._answer(line))
                    is_lost = False
                if is_lost and data and not lines:
                    self.errors += 1
                    break
                if len(data) > 1024 and not has_moved and self._is_old:
                    has_moved, is_lost = True, not lines
                has_moved = has_moved and bool(data)
                channel.sendall(b"".join(answers))
        except OSError:
            pass
        with contextlib.suppress(OSError):
            channel.shutdown(socket.SHUT_RDWR)

    def _answer(self, line: bytes) -> bytes:
        verb, *keys = line.split()
        self.lines.append(line)
        self._left -= len(keys)
        if self._left < 0:
            return b""
        token = b" 1" if verb == b"gets" else b""
        return (
            b"".join(
                b"VALUE %b 0 %d%b\r\n%b\r\n" % (key, len(key), token, key)
                for key in keys
                if not key.endswith(b"7")
            )
            + b"END\r\n"
        )


@pytest.fixture
def answering() -> Iterator[Make]:
    made: list[Answering] = []

    def make(**options: Any) -> Answering:
        made.append(Answering(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(params=["threads", *LOOPS])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "threads":
        return Client
    return lambda *given, **named: Blocking(AsyncClient(*given, **named), request.param)


def expected(keys: list[str]) -> dict[str, bytes]:
    return {key: key.encode() for key in keys if not key.endswith("7")}


@pytest.mark.parametrize("count", [1, 100, 256, 257, 258, 512, 5000])
def test_a_get_of_any_size_is_cut_into_lines(make: Make, answering: Make, count: int) -> None:
    server = answering()
    keys = [f"key:{i}" for i in range(count)]
    with make([server.address], protocol="ascii") as client:
        assert client.get_many(keys) == expected(keys)
    assert max(map(len, server.lines)) < LINE
    assert all(len(line.split()) <= KEYS + 2 for line in server.lines)
    # A proxy answers a line of one key otherwise than others: none is left alone.
    assert count == 1 or all(len(line.split()) > 2 for line in server.lines)
    assert len(server.lines) == max(-(-(count - 1) // KEYS), 1)
    assert server.connections == 1


def test_lines_of_long_keys_are_shorter_than_old_servers_take(make: Make, answering: Make) -> None:
    server = answering()
    keys = [f"{i:0249}" for i in range(200)]
    with make([server.address], protocol="ascii") as client:
        assert client.get_many(keys) == expected(keys)
    assert 1 < len(server.lines) < 10
    assert max(map(len, server.lines)) <= LINE + 250 < 1 << 14


@pytest.mark.parametrize("size", [700, 1448, 3000])
def test_a_server_that_loses_the_start_of_a_line_is_sent_short_ones(
    make: Make, answering: Make, size: int
) -> None:
    server = answering(piece=size, is_old=True)
    keys = [f"key:{i:010}" for i in range(3000)]
    with make([server.address], protocol="ascii") as client:
        for _ in range(3):
            assert client.get_many(keys) == expected(keys)
        failed = server.errors
        assert failed > 0
        assert client.get_many(keys[:500]) == expected(keys[:500])
        if size == 3000:  # two pieces a line, which is answered
            assert server.connections == 2
            assert server.errors == failed  # it is known from the first on


def test_a_server_that_knows_no_gets_is_told_as_one(make: Make, answering: Make) -> None:
    server = answering(is_old=True, piece=1200)
    keys = ["k" * 240 + str(i) for i in range(30)]
    server._answer = lambda line: b"ERROR\r\n"
    with make([server.address], protocol="ascii") as client, pytest.raises(ServerError) as caught:
        client.get_many(keys)
    assert len(caught.value.errors) == 30  # type: ignore[attr-defined]


def test_a_raw_client_s_and_a_channel_s_gets_are_cut_too(answering: Make) -> None:
    server = answering()
    keys = [f"key:{i}" for i in range(2000)]

    class Plain:
        """A channel that is no socket: all is sent before anything is received."""

        def __init__(self, inner: socket.socket) -> None:
            self.sendall, self.recv_into = inner.sendall, inner.recv_into
            self.settimeout, self.close = inner.settimeout, inner.close

    host, port = server.address.split(":")
    for channel in (
        connect(server.address, timeout=10.0),
        Plain(socket.create_connection((host, int(port)))),
    ):
        with RawAsciiClient(channel, timeout=10.0) as client:
            found = client.get_multi(keys)
            assert {key: each.value for key, each in found.items() if each.found} == expected(keys)
            assert list(found) == keys
    assert max(len(line.split()) for line in server.lines) <= KEYS + 2


def test_a_get_that_is_late_says_so_in_time(make: Make, answering: Make) -> None:
    keys = [f"key:{i}" for i in range(20_000)]
    server = answering(silent_after=10_000)
    with make([server.address], protocol="ascii", timeout=0.2) as client:
        start = time.monotonic()
        with pytest.raises(PartialNetworkError, match=r"20000 of 20000 keys failed.*deadline") as e:
            client.get_many(keys)
        assert len(e.value.errors) == 20_000
        assert 0.2 <= time.monotonic() - start < 5.0


@pytest.mark.parametrize("protocol", ["ascii", "meta"])
def test_lines_go_one_after_the_other_over_tls(
    make: Make, servers: Callable[[str], Server], tmp_path: Path, protocol: str
) -> None:
    server = servers("tls")
    values: dict[str, Any] = {f"tls:{i}": i if i % 3 else b"%d" % i for i in range(1500)}
    options = {"tls": tls_context(server, tmp_path), "connect_timeout": 10.0}
    with make([server.address], protocol=protocol, timeout=30.0, **options) as client:
        assert client.set_many(values) == []
        asked = [f"tls:{i}" for i in range(1510)]
        found = client.get_many(asked)
        assert found == values
        assert list(found) == list(values)
        assert client.delete_many(asked) == []


@pytest.fixture(scope="module")
def server(servers: Callable[[str], Server]) -> Server:
    return servers("tcp")


def test_a_real_server_is_sent_and_asked_for_10_000_keys(make: Make, server: Server) -> None:
    values = {f"many:{i}": b"%d" % i for i in range(10_000)}
    missing = {key: value for key, value in values.items() if not key.endswith("3")}
    with make([server.address], timeout=60.0) as client:
        assert client.set_many(values) == []
        assert client.get_many(values) == values
        gone = [key for key in values if key.endswith("3")]
        assert client.delete_many(gone) == []
        assert client.get_many(values) == missing
        assert client.get_many(reversed(list(values))) == missing
        assert client.delete_many(values) == []
        assert client.get_many(values) == {}
        assert client.get("many:1") is None
