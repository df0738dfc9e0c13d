"""Channels: addresses, socket options, TLS and logging in, against real servers."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from support.memcached import PASSWORD, USER, Server

import godropbox
from godropbox import memcache
from godropbox.memcache import Credentials, Item, connect

Servers = Callable[[str], Server]


def test_tcp_options(servers: Servers) -> None:
    with connect(servers("tcp").address, timeout=2.5) as channel:
        assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert channel.gettimeout() == 2.5
        assert memcache.RawAsciiClient(channel).timeout == 2.5


def test_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with connect(f"[::1]:{port}") as channel:
            assert channel.family is socket.AF_INET6


@pytest.mark.parametrize(
    "address",
    ["", ":1", "host:", "host:0", "host:65536", "host:http", "::1:80", "[::1]:x", "unix:"],
)
def test_bad_addresses(address: str) -> None:
    with pytest.raises(memcache.InvalidArgumentError, match="address must"):
        connect(address)


def test_bad_timeouts() -> None:
    for seconds in (0, -1.0, float("nan"), 1e10):
        with pytest.raises(memcache.InvalidArgumentError, match=r"^timeout must be in \(0, 1000\)"):
            connect("127.0.0.1:1", timeout=seconds)
        with pytest.raises(memcache.InvalidArgumentError, match="connect_timeout must"):
            connect("127.0.0.1:1", connect_timeout=seconds)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(memcache.ConnectionLostError, match=f"cannot connect to {address}"):
        connect(address)
    with pytest.raises(memcache.ConnectionLostError, match="cannot connect to unix:"):
        connect(f"unix:{tmp_path}/none")


def test_a_server_that_does_not_speak_tls_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(memcache.DeadlineExceededError):
            connect(address, connect_timeout=0.05, tls=ssl.create_default_context())


def test_tls_is_verified(servers: Servers) -> None:
    with pytest.raises(memcache.ConnectionLostError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(servers("tls").address, connect_timeout=10.0, tls=ssl.create_default_context())


def log_in(server: Server, who: Credentials | None) -> None:
    sasl = who is not None and who.mechanism == "sasl"
    kind = memcache.RawBinaryClient if sasl else memcache.RawAsciiClient
    with kind(connect(server.address, connect_timeout=10.0, auth=who)) as client:
        assert client.set(Item("secret", b"1")).ok
        assert client.get("secret").value == b"1"


@pytest.mark.parametrize("mechanism", ["ascii", "sasl"])
def test_login(servers: Servers, mechanism: str) -> None:
    server = servers("ascii-auth" if mechanism == "ascii" else "sasl")
    log_in(server, Credentials(USER, PASSWORD, mechanism))
    wrong = Credentials(USER, "wrong", mechanism)
    with pytest.raises(memcache.ServerError, match="the login of 'ann' was refused"):
        connect(server.address, connect_timeout=10.0, auth=wrong)
    assert "wrong" not in repr(wrong)


def test_without_a_login(servers: Servers) -> None:
    with memcache.RawBinaryClient(connect(servers("sasl").address)) as binary:
        response = binary.get("a")
        assert response.status is memcache.ResponseStatus.AUTHENTICATION_ERROR
        assert isinstance(response.error, memcache.ServerError)
    with memcache.RawAsciiClient(connect(servers("ascii-auth").address)) as client:
        response = client.get("a")
        assert isinstance(response.error, memcache.ServerError)


def test_credentials_that_cannot_be_sent() -> None:
    with pytest.raises(memcache.InvalidArgumentError, match="mechanism must be"):
        Credentials("a", "b", "md5")
    with pytest.raises(memcache.InvalidArgumentError, match="no control characters"):
        memcache.AsciiProtocol().authenticate("a", "b\r\nflush_all")
    with pytest.raises(memcache.InvalidArgumentError, match="no NUL"):
        memcache.BinaryProtocol().authenticate("a\0", "b")


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from gevent.server import StreamServer
from godropbox.memcache import Client

ends = []

def serve(end, _):
    ends.append(end)
    while data := end.recv(65536):
        end.sendall(b"END\\r\\n" if data.startswith(b"get") else b"DELETED\\r\\n")

def restart():
    while ends:
        end = ends.pop()
        end.shutdown(2)
        end.close()
    gevent.sleep(0)

server = StreamServer(("127.0.0.1", 0), serve)
server.start()
with Client(f"127.0.0.1:{server.server_port}", protocol="ascii", timeout=20.0) as client:
    for call in (client.delete, client.get, client.delete):
        call("a")
        restart()
        call("a")
print("as it should be")
"""


def test_a_stale_connection_of_gevents_is_replaced() -> None:
    import_module("gevent")  # where it is missing, this skips the test
    path = str(Path(godropbox.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", GEVENT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "as it should be\n", ran.stderr
