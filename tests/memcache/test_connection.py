"""One connection: whose turn it is, and what closes it, signals and other threads included."""

import contextlib
import gc
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.memcached import Server
from support.memory import let_go
from support.pools import fork

from godropbox import memcache
from godropbox.resource_pool import PoolExhaustedError

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
        for _ in range(2):  # until it is known what kind of connections there are
            client.get("a")
        before = manager.fleet().shards[0].pool.stats().gets
        for _ in range(3):
            client.get("a")
            client.get_multi(["a", "b"])
            client.set(memcache.Item("a", b"1"))
            client.delete("a")
        assert manager.fleet().shards[0].pool.stats().gets == before + 12
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


def test_close_in_the_child_of_a_fork_leaves_the_parents_operation_alone(ends: Ends) -> None:
    near, far = ends
    client = memcache.RawAsciiClient(near, timeout=30.0)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.get("a")))
    thread.start()
    assert far.recv(100)
    child = fork()
    if child == 0:
        client.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    far.sendall(b"END\r\n")
    thread.join()
    assert [answer.status for answer in answers] == [memcache.ResponseStatus.KEY_NOT_FOUND]


class Served:
    """A server that answers gets but for "dead", and stores; a get of "slow" waits for `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.got_slow = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.accepted: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                end = self._listening.accept()[0]
            except OSError:
                return
            self.accepted.append(end)
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(1 << 16):
                if b"slow" in data:
                    self.got_slow.set()
                    self.go.wait(20.0)
                if b"dead" not in data:
                    end.sendall(b"END\r\n" if data.startswith(b"get") else b"NOT_FOUND\r\n")

    def hang_up(self) -> None:
        for end in self.accepted:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.accepted.clear()

    def close(self) -> None:
        self.go.set()
        self._listening.close()
        self.hang_up()


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


@pytest.mark.parametrize("how", ["get", "get_many", "touch"])
def test_the_wait_for_a_connection_counts_for_the_deadline(served: Served, how: str) -> None:
    options: dict[str, Any] = {"protocol": "ascii", "timeout": 2.0}
    with memcache.Client([served.address], max_active=1, pool_timeout=9.0, **options) as client:
        thread = threading.Thread(target=client.get, args=("slow",))
        thread.start()
        assert served.got_slow.wait(10.0)
        threading.Timer(1.2, served.go.set).start()
        start = time.monotonic()
        call: dict[str, Callable[[], object]] = {
            "touch": lambda: client.touch("dead", 5),
            "get": lambda: client.get("dead"),
            "get_many": lambda: client.get_many(["dead"]),
        }
        with pytest.raises(memcache.NetworkError):
            call[how]()
        assert time.monotonic() - start < 3.0  # 3.2 if it did not count
        thread.join()


@pytest.mark.parametrize("how", ["delete", "get_many"])
def test_a_stale_connection_whose_place_was_taken_is_waited_for(served: Served, how: str) -> None:
    served.go.set()
    with memcache.Client(
        [served.address], protocol="ascii", timeout=9.0, max_active=1, pool_timeout=9.0
    ) as client:
        for _ in range(5):
            client.get("a")
            served.hang_up()
            errors: list[Exception] = []

            def run(errors: list[Exception] = errors) -> None:
                try:
                    if how == "delete":
                        client.delete("slow")
                    else:
                        client.get_many(["slow"])
                except Exception as raised:
                    errors.append(raised)

            threads = [threading.Thread(target=run) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [error for error in errors if isinstance(error, PoolExhaustedError)] == []


Ask = Callable[[Any], object]
ASKED: dict[str, Ask] = {
    "get": lambda client: client.get("a"),
    "get_multi": lambda client: client.get_multi(["a", "b"]),
    "delete": lambda client: client.delete("a"),
    "set_multi": lambda client: client.set_multi([memcache.Item("a", b"1")]),
}


@pytest.mark.parametrize("reply", [b"", b"HUH\r\n"])
@pytest.mark.parametrize("how", ASKED)
@pytest.mark.parametrize("fleet", [False, True])
def test_a_failure_leaves_no_cycle_to_the_collector(how: str, reply: bytes, fleet: bool) -> None:
    """A connection that broke is gone with its last reference, and so is its socket."""
    gone: list[weakref.ref[Any]] = []

    def broken_pair() -> socket.socket:
        near, far = socket.socketpair()

        def serve() -> None:
            with far, contextlib.suppress(OSError):
                far.recv(1 << 16)
                far.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        return near

    def broken() -> memcache.Connection:
        connection = memcache.Connection(broken_pair(), 10.0)
        gone.append(weakref.ref(connection))
        return connection

    def run() -> None:
        client: Any
        if fleet:
            options = memcache.ShardOptions(open=lambda address: broken())
            manager = memcache.StaticShardManager(["a:1", "b:1"], options=options)
            client = memcache.ShardedClient(manager, memcache.AsciiProtocol())
        else:
            client = memcache.RawAsciiClient(broken_pair(), timeout=10.0)
            gone.append(weakref.ref(client.connection))
        with client, contextlib.suppress(memcache.NetworkError, memcache.ServerError):
            kept.append(ASKED[how](client))

    kept: list[Any] = []  # a batch's errors, which must not hold a connection
    gc.collect()
    gc.disable()
    try:
        run()
        assert gone
        let_go()
        assert [each() for each in gone] == [None] * len(gone)
    finally:
        gc.enable()
