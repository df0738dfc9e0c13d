"""Connections of asyncio clients: stale ones over TLS, several addresses, full backlogs."""

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from support.aio import LOOPS, run
from support.memcached import certificate, running

from godropbox.memcache import Client, ConnectionLostError, DeadlineExceededError
from godropbox.memcache.aio import AsyncClient, AsyncStaticShardManager

Address = tuple[str, int]


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_a_stale_tls_connection_is_replaced(loop: str, end: signal.Signals, tmp_path: Path) -> None:
    """The loop learns of nothing while the server is started again: the program blocks it."""

    async def scenario() -> None:
        with running("tls", tmp_path) as first:
            port = int(first.address.rpartition(":")[2])
            client = AsyncClient(
                first.address, tls=unverified(), timeout=20.0, connect_timeout=20.0
            )
            async with client:
                assert await client.set("a", b"1")
                first.process.send_signal(end)
                first.process.wait()
                with running("tls", tmp_path, port):
                    assert await client.set("a", b"2")
                    assert await client.get("a") == b"2"

    run(scenario(), loop)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_a_stale_tls_connection_of_a_thread_is_replaced(
    end: signal.Signals, tmp_path: Path
) -> None:
    with running("tls", tmp_path) as first:
        port = int(first.address.rpartition(":")[2])
        more: dict[str, Any] = {"tls": unverified(), "timeout": 20.0, "connect_timeout": 20.0}
        with Client(first.address, **more) as client:
            assert client.set("a", b"1")
            first.process.send_signal(end)
            first.process.wait()
            with running("tls", tmp_path, port):
                assert client.set("a", b"2")
                assert client.get("a") == b"2"


@pytest.fixture
def answering() -> Iterator[Address]:
    """Return the address of a server that has nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()


def _serve(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            end = listener.accept()[0]
            threading.Thread(target=_answer, args=(end,), daemon=True).start()


def _answer(end: socket.socket) -> None:
    with end, contextlib.suppress(OSError):
        while asked := end.recv(1 << 16):
            end.sendall(b"VERSION 1.6.45\r\n" if asked.startswith(b"version") else b"END\r\n")


@contextlib.contextmanager
def silent(host: str = "127.0.0.1") -> Iterator[Address]:
    """Make an address that answers no attempt to connect: the backlog there is full."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, 0), backlog=0))
        where: Address = full.getsockname()
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        yield where


def resolve(monkeypatch: pytest.MonkeyPatch, *found: Address) -> None:
    """Have every name have these addresses, whatever loop asks."""
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in found]

    async def lookup(*_: Any, **__: Any) -> Any:
        return [where for *_, where in rows]

    monkeypatch.setattr("godropbox.memcache.aio.connect._candidates", lookup)


def listed(address: str, loop: str, **options: Any) -> Any:
    async def scenario() -> Any:
        async with AsyncClient(address, **options) as client:
            return [info async for info in client.iter_keys()]

    return run(scenario(), loop)


def asked(address: str, loop: str, **options: Any) -> Any:
    async def scenario() -> Any:
        async with AsyncClient(address, protocol="ascii", **options) as client:
            return await client.get("a", "nothing")

    return run(scenario(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_address_that_is_silent_delays_the_next_but_little(
    loop: str, answering: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent() as mute:
        resolve(monkeypatch, mute, answering)
        start = monotonic()
        assert asked("name:1", loop, timeout=60.0, connect_timeout=60.0) == "nothing"
        assert listed("name:1", loop, timeout=60.0, connect_timeout=60.0) == []
        assert monotonic() - start < 20.0


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_is_held_up_past_the_deadline_finds_who_has_answered(
    loop: str, answering: Address
) -> None:
    options: dict[str, Any] = {"timeout": 20.0, "connect_timeout": 0.3}

    async def scenario(turns: int) -> None:
        async with AsyncClient("{}:{}".format(*answering), protocol="ascii", **options) as client:
            asking = asyncio.create_task(client.get("a", "nothing"))
            for _ in range(turns):
                await asyncio.sleep(0)
            sleep(0.5)
            assert await asking == "nothing"

    for turns in range(0, 12, 2):
        run(scenario(turns), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_all_addresses_share_one_deadline_and_are_named(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead: Address = gone.getsockname()
    with silent() as first, silent("127.0.0.2") as second:
        resolve(monkeypatch, first, dead, second)
        start = monotonic()
        with pytest.raises(DeadlineExceededError) as caught:
            asked("name:1", loop, timeout=20.0, connect_timeout=0.1)
        assert monotonic() - start < 10.0
    message = str(caught.value)
    assert "cannot connect to name:1 within 0.1 s: " in message
    for (host, port), words in ((first, "timed out"), (second, "timed out"), (dead, "")):
        assert f"{host}:{port}: {words}" in message
    resolve(monkeypatch, dead, dead)
    with pytest.raises(ConnectionLostError, match=f"{dead[0]}:{dead[1]}: "):
        asked("name:1", loop, timeout=20.0)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_unix_socket_with_a_full_backlog(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(0)
    fillers: list[socket.socket] = []
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                fillers.append(socket.socket(socket.AF_UNIX))
                fillers[-1].setblocking(False)
                fillers[-1].connect(str(path))
        with pytest.raises(DeadlineExceededError, match="backlog of connections is full"):
            asked(str(path), loop, timeout=20.0, connect_timeout=0.05)
        with pytest.raises(DeadlineExceededError, match="backlog of connections is full"):
            listed(str(path), loop, timeout=20.0, connect_timeout=0.05)
        timer = threading.Timer(
            0.05, lambda: threading.Thread(target=_serve, args=(listening,), daemon=True).start()
        )
        timer.start()
        assert asked(str(path), loop, timeout=20.0, connect_timeout=20.0) == "nothing"
        timer.join()
    finally:
        for each in [*fillers, listening]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_name_with_a_dot_at_the_end_over_tls(
    loop: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "DNS:cache.example.com")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        secured = serving.wrap_socket(listener, server_side=True)
        threading.Thread(target=_serve, args=(secured,), daemon=True).start()
        resolve(monkeypatch, listener_address := secured.getsockname())
        name = f"cache.example.com.:{listener_address[1]}"
        options: dict[str, Any] = {"tls": trusting, "timeout": 20.0, "connect_timeout": 20.0}
        assert asked(name, loop, **options) == "nothing"
        assert listed(name, loop, **options) == []
        secured.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_numbers_of_keepalive(loop: str, answering: Address) -> None:
    async def scenario() -> None:
        address = f"{answering[0]}:{answering[1]}"
        async with AsyncClient(
            address, protocol="ascii", timeout=20.0, keepalive_idle=30, keepalive_count=3
        ) as client:
            await client.get("a")
            manager = client._owned
            assert isinstance(manager, AsyncStaticShardManager)
            [connection] = manager._home.connections
            raw = connection.transport.get_extra_info("socket")
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3

    run(scenario(), loop)
