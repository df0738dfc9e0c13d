"""Connections to real servers on this machine: TCP, Unix sockets, TLS; none of them sleeps."""

import errno
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.pools import Clock, in_child

from godropbox import _dial
from godropbox._dial import begin_to_dial
from godropbox.net2 import (
    ConnectionLostError,
    ConnectionOptions,
    DeadlineExceededError,
    ManagedConnection,
    MultiConnectionPool,
    SimpleConnectionPool,
    dial,
    is_quiet,
)
from godropbox.resource_pool import (
    InactiveHandleError,
    LameDuckError,
    PoolExhaustedError,
    UnknownLocationError,
)


class Echo:
    """A server that sends back what it gets, closes at "bye", and then is silent at "quiet"."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self.listener = listener
        self.address = listener.getsockname()
        self.accepted: list[socket.socket] = []
        self._tls = tls
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.accepted.append(connection)
            while (data := connection.recv(4096)) and data != b"bye":
                if data != b"quiet":
                    connection.sendall(data)
        connection.close()

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.accepted):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo(socket.create_server(("127.0.0.1", 0)))
    yield server
    server.close()


def options(**more: Any) -> ConnectionOptions:
    return ConnectionOptions(**{"dial_timeout": 10.0, "clock": Clock(), "reap_every": 0, **more})


def said(connection: ManagedConnection, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(100)


def send_much(connection: ManagedConnection) -> None:
    for _ in range(1000):
        connection.sendall(bytes(1 << 20))


def test_connections_are_reused_and_counted(echo: Echo) -> None:
    pool = SimpleConnectionPool(options(reuse="fifo", max_active=3), echo.address)
    one, two, three = (pool.get() for _ in range(3))
    ports = [each.raw_socket.getsockname()[1] for each in (one, two, three)]
    with pytest.raises(PoolExhaustedError):
        pool.get()
    with pytest.raises(PoolExhaustedError):
        pool.get(timeout=0)
    three.release()
    one.close()
    two.release()
    again = [pool.get() for _ in range(3)]
    assert [each.raw_socket.getsockname()[1] for each in again[:2]] == [ports[2], ports[1]]
    assert [said(each, b"hello") for each in again] == [b"hello"] * 3
    for each in again:
        each.release()
    assert (pool.stats().opens, pool.stats().idle) == (4, 3)
    pool.enter_lame_duck_mode()
    with pytest.raises(LameDuckError):
        pool.get()


def test_a_connection_tells_what_it_is(echo: Echo) -> None:
    pool = SimpleConnectionPool(options(), f"127.0.0.1:{echo.address[1]}")
    with pool.get() as connection:
        assert connection.address == ("127.0.0.1", echo.address[1])
        assert connection.fileno() == connection.raw_socket.fileno()
        assert connection.handle.owner is pool.resources
        for level, option in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        ):
            assert connection.raw_socket.getsockopt(level, option)
        buffer = bytearray(3)
        connection.sendall(b"abc")
        assert connection.recv_into(buffer) == 3
        assert bytes(buffer) == b"abc"
        assert repr(connection).endswith(": active>")
    assert not connection.is_active
    for use in (lambda: connection.recv(1), connection.fileno):
        with pytest.raises(InactiveHandleError):
            use()
    pool.enter_lame_duck_mode()


def test_what_the_server_closed_is_never_lent(echo: Echo) -> None:
    pool = SimpleConnectionPool(options(), echo.address)
    with pool.get() as connection:
        assert said(connection, b"hello") == b"hello"
    echo.accepted[0].shutdown(socket.SHUT_RDWR)
    with pool.get() as connection:
        assert said(connection, b"again") == b"again"
    assert (pool.stats().opens, pool.stats().unhealthy) == (2, 1)
    with pool.get() as connection:
        connection.sendall(b"unasked")
        # Wait for the answer, and leave it there.
        assert connection.raw_socket.recv(1, socket.MSG_PEEK) == b"u"
    with pool.get() as connection:
        assert said(connection, b"fresh") == b"fresh"
    assert (pool.stats().opens, pool.stats().unhealthy) == (3, 2)
    pool.enter_lame_duck_mode()


def test_a_read_and_a_write_have_times_of_their_own(echo: Echo) -> None:
    pool = SimpleConnectionPool(options(read_timeout=0.001, write_timeout=30.0), echo.address)
    with pool.get() as connection:
        connection.sendall(b"quiet")
        with pytest.raises(
            DeadlineExceededError, match=r"a read took more than 0.001 s: 127.0.0.1:\d+"
        ):
            connection.recv(1)
    assert pool.stats().idle == 0  # a late reply would answer the next question
    pool.enter_lame_duck_mode()

    full = SimpleConnectionPool(options(read_timeout=30.0, write_timeout=0.001), echo.address)
    with full.get() as connection:
        assert said(connection, b"hello") == b"hello"
        with pytest.raises(DeadlineExceededError, match=r"a write took more than 0.001 s"):
            send_much(connection)  # more than two sides' buffers, and nobody reads what comes back
    assert full.stats().idle == 0


def test_a_broken_connection_is_discarded_though_nothing_is_raised_in_the_block(
    echo: Echo,
) -> None:
    pool = SimpleConnectionPool(options(), echo.address)
    with pool.get() as connection:
        assert said(connection, b"bye") == b""
        with pytest.raises(ConnectionLostError, match=r"127.0.0.1:"):
            send_much(connection)
    assert (pool.stats().idle, pool.stats().active) == (0, 0)


def test_a_refused_dial_says_what_each_address_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pool = SimpleConnectionPool(options(), ("localhost", port))
    with pytest.raises(
        ConnectionLostError, match=f"cannot connect to localhost:{port}: .*refused"
    ) as caught:
        pool.get()
    assert isinstance(caught.value.__cause__, (ConnectionRefusedError, ExceptionGroup))
    assert (pool.stats().active, pool.stats().open_failures) == (0, 1)
    with pytest.raises(ConnectionLostError, match=r"cannot connect to name.invalid:1"):
        dial("name.invalid:1", options())


def test_sockets_that_cannot_be_polled_try_the_addresses_of_a_name_in_turn(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    real = socket.socket

    class Stuck:
        """A socket of a module that replaces the operating system's."""

        def __init__(self, *kind: Any) -> None:
            self._real = real(*kind)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def connect(self, address: Any) -> None:
            shares.append(self._real.gettimeout() or 0.0)
            if address[1] == 1:
                raise TimeoutError("timed out")
            self._real.connect(address)

    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        for port in (1, 1, 1, echo.address[1])
    ]
    found[1] = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1))
    replaced = ModuleType("socket")
    vars(replaced).update(vars(socket), socket=Stuck, getaddrinfo=lambda *_, **__: found)
    monkeypatch.setattr(_dial, "socket", replaced)
    dial(("name", 5), options(dial_timeout=9.0)).close()
    assert [round(share) for share in shares] == [3, 4, 9]
    found.pop()
    with pytest.raises(
        DeadlineExceededError,
        match=r"to name:5 within 9 s: 127\.0\.0\.1:1: timed out; 127\.0\.0\.2:1: timed out",
    ) as caught:
        dial(("name", 5), options(dial_timeout=9.0))
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    with pytest.raises(
        DeadlineExceededError, match=r"cannot connect to name:5: 127\.0\.0\.1:1: timed out"
    ):
        dial(("name", 5), options(dial_timeout=None))


def test_options_that_are_replaced_are_dialled_by(echo: Echo) -> None:
    given = replace(options(), nodelay=False, keepalive=False)
    pool = MultiConnectionPool(given, [echo.address])
    with pool.get(echo.address) as connection:
        raw = connection.raw_socket
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    pool.enter_lame_duck_mode()


def test_a_dial_of_the_callers_own(echo: Echo) -> None:
    dialled: list[Any] = []

    def own(address: Any) -> socket.socket:
        dialled.append(address)
        return socket.create_connection(address)

    pool = SimpleConnectionPool(options(open=own), echo.address)
    with pool.get() as connection:
        assert said(connection, b"hello") == b"hello"
    assert dialled == [echo.address]
    pool.enter_lame_duck_mode()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="a system without Unix sockets")
def test_unix_sockets(tmp_path: Path) -> None:
    path = os.path.relpath(tmp_path / "s")  # short: 108 bytes are all that there may be
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    server = Echo(listener)
    pool = SimpleConnectionPool(options(), path)
    with pool.get() as connection:
        assert said(connection, b"hello") == b"hello"
    with pool.get() as connection:
        assert said(connection, b"again") == b"again"
    assert pool.stats().opens == 1
    pool.enter_lame_duck_mode()
    server.close()
    with pytest.raises(ConnectionLostError, match="refused"):
        dial(path, options())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    return key, chain


def test_tls(certificate: tuple[Path, Path]) -> None:
    key, chain = certificate
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(chain, key)
    server = Echo(socket.create_server(("127.0.0.1", 0)), theirs)
    ours = ssl.create_default_context(cafile=str(chain))
    pool = SimpleConnectionPool(options(tls=ours, server_hostname="localhost"), server.address)
    with pool.get() as connection:
        assert said(connection, b"hello") == b"hello"
    with pool.get() as connection:  # the session tickets that came unasked do no harm
        assert said(connection, b"again") == b"again"
    assert (pool.stats().opens, pool.stats().unhealthy) == (1, 0)
    server.accepted[0].shutdown(socket.SHUT_RDWR)
    with pool.get() as connection:
        assert said(connection, b"new") == b"new"
    assert (pool.stats().opens, pool.stats().unhealthy) == (2, 1)
    pool.enter_lame_duck_mode()
    with pytest.raises(ConnectionLostError, match="certificate"):
        dial(server.address, options(tls=ours))
    server.close()


def test_a_dial_that_fails_late_closes_its_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = ssl.create_default_context()
        with pytest.raises(DeadlineExceededError):  # nobody answers the handshake
            dial(listener.getsockname(), options(tls=context, dial_timeout=0.01))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_a_child_frees_its_copies_and_the_parents_connection_lives(echo: Echo) -> None:
    pool = SimpleConnectionPool(options(), echo.address)
    with pool.get() as connection:
        descriptor = connection.fileno()
    connection = pool.get()
    inherited = connection.raw_socket
    connection.release()

    def work() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        assert inherited.fileno() == -1
        assert pool.stats().idle == 0

    assert in_child(work) == 0
    with pool.get() as connection:
        assert connection.fileno() == descriptor
        assert said(connection, b"still here") == b"still here"
    pool.enter_lame_duck_mode()


def test_many_addresses(echo: Echo) -> None:
    other = Echo(socket.create_server(("127.0.0.1", 0)))
    pool = MultiConnectionPool(options(), [echo.address])
    assert pool.register(other.address)
    assert pool.addresses() == [echo.address, other.address]
    with pool.get(f"127.0.0.1:{other.address[1]}") as connection:
        assert said(connection, b"hello") == b"hello"
    found = pool.get_many([other.address, echo.address, ("127.0.0.1", 1)], timeout=0)
    for address in (other.address, echo.address):
        each = found[address]
        assert isinstance(each, ManagedConnection)
        assert said(each, b"many") == b"many"
        each.release()
    assert isinstance(found["127.0.0.1", 1], UnknownLocationError)
    assert pool.unregister(other.address)
    pool.set_addresses([echo.address, "/no/such"])
    with pytest.raises(ConnectionLostError, match="/no/such"):
        pool.get("/no/such", timeout=0)
    assert (pool.stats().idle, pool.stats().open_failures) == (1, 1)
    pool.enter_lame_duck_mode()
    other.close()


def test_a_time_out_of_the_systems_own_needs_no_timeout_of_ours(echo: Echo) -> None:
    class Unanswered(socket.socket):
        def recv(self, *_: Any) -> bytes:
            raise TimeoutError(110, "Connection timed out")

    def open_socket(address: Any) -> socket.socket:
        connection = Unanswered()
        connection.connect(address)
        return connection

    pool = SimpleConnectionPool(options(open=open_socket, check=None), echo.address)
    with pool.get() as connection, pytest.raises(DeadlineExceededError, match="timed out: 127"):
        connection.recv(1)
    assert pool.stats().idle == 0


def test_a_connection_that_is_being_made(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = begin_to_dial(echo.address)
    assert connection is not None
    with connection:
        assert connection.gettimeout() == 0
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connection.settimeout(10.0)
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
        assert is_quiet(connection)
    with pytest.raises(ConnectionLostError, match=r"cannot connect to unix:/no/such: .*No such"):
        begin_to_dial("/no/such")
    found = [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port)) for port in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert begin_to_dial(("name", 1)) is None


def test_addresses_are_as_they_are_parsed(echo: Echo) -> None:
    port = echo.address[1]
    pool = MultiConnectionPool(options(), ["[::1]:80", f"127.0.0.1:{port}", "unix:/s", "/t"])
    assert pool.addresses() == [("::1", 80), ("127.0.0.1", port), "/s", "/t"]
    pool.set_addresses(pool.addresses())
    with pool.get(("127.0.0.1", port)) as connection:
        assert repr(connection) == f"<ManagedConnection to 127.0.0.1:{port}: active>"
    for address in ("localhost", "a:0", ("a", 65536)):
        with pytest.raises(ValueError, match="address must be host:port"):
            SimpleConnectionPool(options(), address)
    pool.enter_lame_duck_mode()


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (ValueError, "dial_timeout", 0, "must be in (0, 1e9) seconds, got 0"),
        (ValueError, "read_timeout", -1.5, "must be in (0, 1e9) seconds, got -1.5 (float)"),
        (TypeError, "write_timeout", "1", "must be a number of seconds or None, got '1' (str)"),
        (TypeError, "tls", True, "must be an ssl.SSLContext or None, got True"),
        (ValueError, "max_active", 0, "must be in [1, 2**31), got 0"),
    ],
)
def test_a_bad_option_is_refused(
    kind: type[Exception], name: str, value: Any, message: str
) -> None:
    with pytest.raises(kind, match=re.escape(f"{name} {message}")):
        ConnectionOptions(**{name: value})


class Tunnel:
    """A user's connection, which raises errors of this package."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def settimeout(self, seconds: float | None) -> None:
        pass

    def recv(self, size: int) -> bytes:
        raise self._error

    def close(self) -> None:
        pass


@pytest.mark.parametrize("kind", [ConnectionLostError, DeadlineExceededError])
def test_an_error_of_this_package_passes_as_it_is(kind: type[ConnectionLostError]) -> None:
    error = kind("the tunnel broke", tunnel=7)
    pool = SimpleConnectionPool(options(open=lambda _: Tunnel(error), check=None), "a:1")
    connection = pool.get()
    with pytest.raises(kind) as caught:
        connection.recv(1)
    assert caught.value is error
    connection.release()
    assert pool.stats().idle == 0
    with pytest.raises(kind) as caught:
        SimpleConnectionPool(options(open=lambda _: Tunnel(error).recv(1)), "a:1").get()
    assert caught.value is error


def test_failures_are_those_of_python(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = listening.getsockname()[:2]
    with pytest.raises(ConnectionError, match="refused") as caught:
        dial(nobody, ConnectionOptions())
    assert isinstance(caught.value, ConnectionLostError)
    assert caught.value.errno == errno.ECONNREFUSED
    connection = SimpleConnectionPool(options(read_timeout=0.01), echo.address).get()
    connection.sendall(b"quiet")
    with pytest.raises(TimeoutError, match=r"a read took more than 0.01 s"):
        connection.recv(1)
    connection.discard()
