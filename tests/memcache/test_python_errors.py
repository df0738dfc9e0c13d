"""Failures as Python's own exceptions: what a handler of OSError or TimeoutError catches."""

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.memcached import Server

from godropbox import memcache
from godropbox.memcache import ConnectionLostError, DeadlineExceededError
from godropbox.memcache.aio import AsyncClient

Make = Callable[..., Any]


@pytest.fixture(params=["threads", *LOOPS])
def make(request: pytest.FixtureRequest) -> Make:
    """Make clients, blocking ones or those of an event loop behind a blocking face."""
    if request.param == "threads":
        return memcache.Client
    return lambda *given, **named: Blocking(AsyncClient(*given, **named), request.param)


@pytest.fixture
def nobody() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


CALLS: dict[str, Callable[[Any], object]] = {
    "get": lambda client: client.get("key"),
    "get_many": lambda client: client.get_many(["key", "other"]),
    "set": lambda client: client.set("key", b"value"),
    "delete": lambda client: client.delete("key"),
    "incr": lambda client: client.incr("key"),
    "stats": lambda client: client.stats(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nobody_listens(make: Make, nobody: str, call: Callable[[Any], object]) -> None:
    with make(nobody) as client, pytest.raises(OSError, match=r"refused|Connect call") as caught:
        call(client)
    assert isinstance(caught.value, memcache.NetworkError)
    assert caught.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_server_is_silent(make: Make, call: Callable[[Any], object]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        make(f"127.0.0.1:{listening.getsockname()[1]}", timeout=0.05) as client,
        pytest.raises(OSError, match="deadline") as caught,
    ):
        call(client)
    assert isinstance(caught.value, memcache.NetworkError)
    if not isinstance(caught.value, memcache.PartialNetworkError):
        assert isinstance(caught.value, DeadlineExceededError)
        assert issubclass(DeadlineExceededError, TimeoutError)
    assert caught.value.errno is None


def test_a_mistake_is_no_oserror(make: Make, servers: Callable[[str], Server]) -> None:
    with make(servers("tcp").address) as client:
        for key in ("", "a b", 5):
            with pytest.raises(memcache.UsageError) as caught:
                client.get(key)
            assert not isinstance(caught.value, OSError)


@pytest.mark.parametrize("make", ["threads", "asyncio"], indirect=True)  # uvloop looks up itself
def test_a_name_server_that_is_late_is_told_as_it_is(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise TimeoutError(errno.ETIMEDOUT, "the name server is silent")

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    with (
        make("cache.example:11211") as client,
        pytest.raises(TimeoutError, match="the name server is silent") as caught,
    ):
        client.get("key")
    assert isinstance(caught.value, DeadlineExceededError)
    assert "within" not in str(caught.value)
    assert caught.value.errno == errno.ETIMEDOUT


class Hanging:
    """A channel of a user, which raises errors of this package."""

    def __init__(self, error: Exception, at: str) -> None:
        self._error = error
        self._at = at

    def sendall(self, data: object, /) -> None:
        if self._at == "sendall":
            raise self._error

    def recv_into(self, buffer: Any, /) -> int:
        raise self._error

    def settimeout(self, seconds: float | None, /) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("at", ["sendall", "recv_into"])
@pytest.mark.parametrize("kind", [ConnectionLostError, DeadlineExceededError])
def test_an_error_of_this_package_passes_as_it_is(
    protocol: str, kind: type[memcache.NetworkError], at: str
) -> None:
    clients = {
        "ascii": memcache.RawAsciiClient,
        "binary": memcache.RawBinaryClient,
        "meta": memcache.RawMetaClient,
    }
    calls: list[Callable[[Any], object]] = [
        lambda raw: raw.get("key"),
        lambda raw: raw.set(memcache.Item("key", b"value")),
    ]
    for call in calls:
        error = kind("the tunnel broke", tunnel=7)
        raw = clients[protocol](Hanging(error, at), timeout=5.0)
        with pytest.raises(kind) as caught:
            call(raw)
        assert caught.value is error
        assert (caught.value.message, caught.value.fields) == ("the tunnel broke", {"tunnel": 7})
        assert not raw.is_valid
