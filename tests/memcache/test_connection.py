"""One connection: whose turn it is, and what closes it, signals and other threads included."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memcached import Server

from godropbox import memcache

from .conftest import tls_context

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    near, far = socket.socketpair()
    far.settimeout(10.0)
    yield near, far
    near.close()
    far.close()


def ask(client: memcache.RawClient, how: str) -> Any:
    if how == "get":
        return client.get("a")
    return client.get_multi(["a", "b"]) if how == "get_multi" else client.delete("a")


@pytest.mark.parametrize("how", ["get", "get_multi", "delete"])
def test_close_ends_what_another_thread_waits_for(ends: Ends, how: str) -> None:
    near, far = ends
    client = memcache.RawAsciiClient(near, timeout=30.0)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            ask(client, how)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    start = time.monotonic()
    thread.start()
    assert far.recv(100)
    client.close()
    thread.join(20.0)
    assert time.monotonic() - start < 10.0
    assert [type(error) for error in errors] == [memcache.ClientClosedError]
    assert "closed by its user" in str(errors[0])
    assert near.fileno() == -1  # who used it closed it
    with pytest.raises(memcache.ClientClosedError):
        ask(client, how)


class Ringing:
    """A signal whose handler calls a function, after a while."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, lambda *_: self._call())
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


@pytest.mark.parametrize("how", ["get", "get_multi", "delete"])
def test_a_signal_handler_that_uses_the_client_is_refused_at_once(ends: Ends, how: str) -> None:
    near, far = ends
    client = memcache.RawAsciiClient(near, timeout=30.0)
    refused: list[Exception] = []

    def handle() -> None:
        start = time.monotonic()
        try:
            client.get("b")
        except memcache.ConnectionUnusableError as error:
            refused.append(error)
        assert time.monotonic() - start < 10.0
        far.sendall(b"NOT_FOUND\r\n" if how == "delete" else b"END\r\n")

    with Ringing(handle):
        answer = ask(client, how)
    assert [str(error) for error in refused] == [
        "the connection is in the middle of another operation of this thread"
    ]
    if how != "get_multi":
        assert answer.status is memcache.ResponseStatus.KEY_NOT_FOUND
    assert client.is_valid


def test_a_signal_handler_may_close_the_client(ends: Ends) -> None:
    near, far = ends
    client = memcache.RawAsciiClient(near, timeout=30.0)
    with Ringing(client.close), pytest.raises(memcache.UsageError):
        client.get("a")
    assert near.fileno() == -1
    assert far.recv(100) == b"gets a\r\n"
    assert far.recv(100) == b""


def test_a_thread_waits_for_its_turn_until_the_deadline(ends: Ends) -> None:
    near, far = ends
    client = memcache.RawAsciiClient(near, timeout=0.3)

    def run() -> None:
        with pytest.raises(memcache.NetworkError):
            client.get("a")

    thread = threading.Thread(target=run)
    thread.start()
    assert far.recv(100)
    with pytest.raises((memcache.DeadlineExceededError, memcache.ConnectionUnusableError)):
        client.get("b")
    thread.join()


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_get_takes_one_connection(
    servers: Callable[[str], Server], tmp_path: Path, kind: str
) -> None:
    server = servers(kind)
    opened: list[str] = []

    def connect(address: str) -> memcache.Connection:
        opened.append(address)
        tls = tls_context(server, tmp_path) if kind == "tls" else None
        return memcache.Connection(memcache.connect(address, timeout=10.0, tls=tls), 10.0)

    options = memcache.ShardOptions(open=connect)
    manager = memcache.StaticShardManager([server.address], options=options)
    with memcache.ShardedClient(manager, memcache.MetaProtocol()) as client:
        for _ in range(3):
            client.get("a")
            client.get_multi(["a", "b"])
            client.set(memcache.Item("a", b"1"))
            client.delete("a")
    assert opened == [server.address]


def test_open_must_return_a_connection(ends: Ends) -> None:
    near, _ = ends
    options = memcache.ShardOptions(open=lambda address: near)
    manager = memcache.StaticShardManager(["a:1"], options=options)
    words = "open must return a Connection, got <socket"
    with (
        memcache.ShardedClient(manager, memcache.AsciiProtocol()) as client,
        pytest.raises(memcache.InvalidTypeError, match=words),
    ):
        client.get("a")
