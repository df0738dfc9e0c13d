"""Servers and clients for the tests of ``godropbox.memcache``."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.blocking import end_all
from support.memcached import Server, running

from godropbox import memcache

PROTOCOLS = {
    "ascii": memcache.RawAsciiClient,
    "binary": memcache.RawBinaryClient,
    "meta": memcache.RawMetaClient,
}

Dial = Callable[[], memcache.RawClient]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Start a server of a kind when it is first asked for, and end them all in the end."""
    started: dict[str, Server] = {}
    running_now = []

    def start(kind: str) -> Server:
        if kind not in started:
            manager = running(kind, tmp_path_factory.mktemp(kind))
            started[kind] = manager.__enter__()
            running_now.append(manager)
        return started[kind]

    yield start
    for manager in running_now:
        manager.__exit__(None, None, None)


def tls_context(server: Server, folder: Path) -> ssl.SSLContext:
    """Return a context that trusts what the server shows, whoever signed it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture(autouse=True)
def loops() -> Iterator[None]:
    """End the event loops that a test made; nothing may be left of them."""
    yield
    end_all()


@pytest.fixture(params=["tcp", "unix", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(params=list(PROTOCOLS))
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def dial(
    servers: Callable[[str], Server], protocol: str, transport: str, tmp_path: Path
) -> Iterator[Dial]:
    """Open clients of one protocol over one transport to a real server that was flushed."""
    server = servers(transport)
    clients: list[memcache.RawClient] = []

    def open_client() -> memcache.RawClient:
        tls = tls_context(server, tmp_path) if transport == "tls" else None
        channel = memcache.connect(server.address, timeout=10.0, connect_timeout=10.0, tls=tls)
        client = PROTOCOLS[protocol](channel)
        clients.append(client)
        return client

    assert open_client().flush().ok
    yield open_client
    for client in clients:
        client.close()
