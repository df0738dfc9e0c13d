"""Dialling: several addresses, full backlogs, names in certificates, the options of TCP."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from godropbox._dial import BACKLOG_FULL, DialOptions, begin_to_dial, dial, pauses, tls_name
from godropbox.errors import ConnectionLostError, DeadlineExceededError
from godropbox.net2 import ConnectionOptions, SimpleConnectionPool

NAME = ("cache.example.com", 11211)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """Return an address that answers no attempt to connect: the backlog there is full."""
    with silent_at("127.0.0.1") as where:
        yield where


@contextlib.contextmanager
def silent_at(host: str) -> Iterator[tuple[str, int]]:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, 0), backlog=0))
        where: tuple[str, int] = full.getsockname()
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        yield where


def refusing() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        where: tuple[str, int] = gone.getsockname()
        return where


def text(where: tuple[str, int]) -> str:
    return f"{where[0]}:{where[1]}"


def resolve(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> None:
    """Have every name have these addresses."""
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)


def test_an_address_that_is_silent_delays_the_next_but_little(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, silent: tuple[str, int]
) -> None:
    resolve(monkeypatch, silent, listener.getsockname())
    start = monotonic()
    with dial(NAME, DialOptions(60.0)) as connection:
        assert connection.getpeername() == listener.getsockname()
    assert monotonic() - start < 10.0  # an equal share of the time would be 30 seconds


def test_addresses_that_refuse_are_left_at_once(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    resolve(monkeypatch, refusing(), refusing(), listener.getsockname())
    with dial(NAME, DialOptions(None)) as connection:
        assert connection.getpeername() == listener.getsockname()
        assert connection.gettimeout() is None


def test_all_addresses_share_one_deadline_and_are_named(
    monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int]
) -> None:
    dead = refusing()
    with silent_at("127.0.0.2") as other:
        resolve(monkeypatch, silent, other, dead)
        start = monotonic()
        with pytest.raises(DeadlineExceededError) as caught:
            dial(NAME, DialOptions(0.1))
        assert monotonic() - start < 5.0
    message = str(caught.value)
    assert message.startswith("cannot connect to cache.example.com:11211 within 0.1 s: ")
    for where, words in ((silent, "timed out"), (other, "timed out"), (dead, "refused")):
        assert f"{text(where)}: " in message
        assert words in message
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert len(caught.value.__cause__.exceptions) == 3


def test_a_refusal_of_all_addresses_is_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = refusing(), refusing()
    resolve(monkeypatch, first, second)
    with pytest.raises(ConnectionLostError) as caught:
        dial(NAME, DialOptions(30.0))
    assert f"{text(first)}: Connection refused; {text(second)}: Connection refused" in str(
        caught.value
    ).replace("[Errno 111] ", "")


def full_unix(path: Path) -> tuple[socket.socket, list[socket.socket]]:
    """Return a listening Unix socket whose backlog is full, and what fills it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(0)
    fillers = []
    with contextlib.suppress(BlockingIOError):
        while True:
            filler = socket.socket(socket.AF_UNIX)
            fillers.append(filler)
            filler.setblocking(False)
            filler.connect(str(path))
    return listening, fillers


def test_a_unix_socket_with_a_full_backlog(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listening, fillers = full_unix(tmp_path / "s")
    try:
        assert begin_to_dial(path) is None
        with pytest.raises(DeadlineExceededError) as caught:
            dial(path, DialOptions(0.05))
        assert str(caught.value) == f"cannot connect to unix:{path} within 0.05 s: {BACKLOG_FULL}"
        accepting = threading.Thread(target=lambda: fillers.append(listening.accept()[0]))
        timer = threading.Timer(0.05, accepting.start)
        timer.start()
        with dial(path, DialOptions(30.0)) as connection:
            assert connection.getpeername() == path
        timer.join()
        accepting.join()
    finally:
        for each in [listening, *fillers]:
            each.close()


def test_pauses_are_short_and_end_at_the_deadline() -> None:
    now = [0.0]
    seen = []
    for pause in pauses(1.0, lambda: now[0]):
        seen.append(pause)
        now[0] += pause
    assert sum(seen) == pytest.approx(1.0)
    assert seen[0] <= 0.001
    assert 30 < len(seen) < 200
    unlimited = pauses(None)
    assert max(next(unlimited) for _ in range(100)) <= 0.02


def test_the_name_in_a_certificate() -> None:
    assert tls_name(("cache.example.com.", 1)) == "cache.example.com"
    assert tls_name(("fe80::1%eth0", 1)) == "fe80::1"
    assert tls_name(("10.0.0.1", 1)) == "10.0.0.1"
    assert tls_name("/run/m.sock") is None


def named_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / "named.pem", folder / "named.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_a_name_with_a_dot_at_the_end_over_tls(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, tmp_path: Path
) -> None:
    cert, key = named_certificate(tmp_path, NAME[0])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    asked: list[Any] = []
    serving.sni_callback = lambda _, name, __: asked.append(name)
    resolve(monkeypatch, listener.getsockname())

    def serve() -> None:
        with serving.wrap_socket(listener.accept()[0], server_side=True) as end:
            end.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    trusting = ssl.create_default_context(cafile=str(cert))
    with dial((f"{NAME[0]}.", 11211), DialOptions(10.0, trusting)) as connection:
        assert connection.recv(5) == b"hello"
    thread.join()
    assert asked == [NAME[0]]


def test_tls_over_a_unix_socket_needs_a_name(tmp_path: Path) -> None:
    options = ConnectionOptions(tls=ssl.create_default_context())
    with pytest.raises(ValueError, match="tls needs server_hostname over a Unix socket"):
        SimpleConnectionPool(options, f"unix:{tmp_path}/s")


def test_the_numbers_of_keepalive(listener: socket.socket) -> None:
    times: dict[str, Any] = {"keepalive_idle": 30, "keepalive_interval": 7, "keepalive_count": 3}
    for make in (dial, begin_to_dial):
        connection = make(listener.getsockname(), DialOptions(10.0, **times))
        assert connection is not None
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 7), ("TCP_KEEPCNT", 3)):
                number = getattr(socket, name)
                assert connection.getsockopt(socket.IPPROTO_TCP, number) == value
    pool = SimpleConnectionPool(ConnectionOptions(**times), listener.getsockname())
    with pool.get() as managed:
        assert managed.raw_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
    pool.enter_lame_duck_mode()
    with pytest.raises(
        ValueError, match=r"keepalive_idle must be an int in \[1, 32767\], got 40000"
    ):
        ConnectionOptions(keepalive_idle=40000)
