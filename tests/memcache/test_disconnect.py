"""``disconnect_all``: every connection is made anew, and nothing that is under way fails."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.aio import FACTORIES
from support.blocking import LOOPS, Blocking
from support.memcached import Server
from support.pools import in_child, until

from godropbox import memcache
from godropbox.memcache import Client, ClientClosedError, NotSupportedError
from godropbox.memcache.aio import AsyncClient, AsyncStaticShardManager
from godropbox.memcache.testing import MockClient

Make = Callable[..., Any]
KEYS = [f"key{i}" for i in range(50)]


@pytest.fixture(params=["threads", *LOOPS])
def how(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make(how: str) -> Make:
    """Make clients, blocking ones or those of an event loop behind a blocking face."""
    if how == "threads":
        return Client
    return lambda *given, **named: Blocking(AsyncClient(*given, **named), how)


@pytest.fixture
def addresses(servers: Callable[[str], Server]) -> list[str]:
    return [servers("tcp").address, servers("unix").address]


def connections(client: Any) -> list[int]:
    """Return how many connections each server has had; asking makes none where one is idle."""
    return [int(rows["total_connections"]) for _, rows in sorted(client.stats().items())]


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_the_next_operation_makes_new_connections(
    make: Make, addresses: list[str], protocol: str
) -> None:
    with make(addresses, protocol=protocol, timeout=10.0) as client:
        assert client.set_many(dict.fromkeys(KEYS, b"1")) == []
        before = connections(client)
        assert connections(client) == before
        for times in (1, 2):
            client.disconnect_all()
            client.disconnect_all()
            assert len(client.get_many(KEYS)) == len(KEYS)
            assert connections(client) == [count + times for count in before]
        assert client.get(KEYS[0]) == b"1"
        client.set(KEYS[0], b"2")
        assert connections(client) == [count + 2 for count in before]


def test_a_new_client_has_nothing_to_disconnect(make: Make, addresses: list[str]) -> None:
    with make(addresses, timeout=10.0) as client:
        client.disconnect_all()
        assert client.set("a", b"1")


class Slow:
    """A server that answers a get of "slow" when it is told to; `closed` counts its ends."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.go = threading.Event()
        self.waiting = threading.Event()
        self.accepted = self.closed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end = self._listening.accept()[0]
                self.accepted += 1
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(1 << 16):
                if b"slow" in data:
                    self.waiting.set()
                    self.go.wait(20.0)
                    token = b" 7" if data.startswith(b"gets") else b""
                    end.sendall(b"VALUE slow 0 1" + token + b"\r\n1\r\n")
                end.sendall(b"END\r\n")
        self.closed += 1

    def close(self) -> None:
        self.go.set()
        self._listening.close()


@pytest.fixture
def slow() -> Iterator[Slow]:
    server = Slow()
    yield server
    server.close()


def test_a_connection_in_use_is_closed_when_it_comes_back(slow: Slow) -> None:
    found: list[Any] = []
    with Client(slow.address, protocol="ascii", timeout=20.0, max_active=2) as client:
        assert client.get("other") is None  # so there is an idle one, which is the one in use
        thread = threading.Thread(target=lambda: found.append(client.get("slow")))
        thread.start()
        assert slow.waiting.wait(10.0)
        client.disconnect_all()
        assert client.get("other") is None
        assert (slow.accepted, slow.closed) == (2, 0)
        slow.go.set()
        thread.join(10.0)
        assert found == [b"1"]
        until(lambda: slow.closed == 1)
        assert client.get("other") is None
        assert slow.accepted == 2


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_in_flight_under_asyncio_is_carried_out(
    slow: Slow, loop: str, connections: int
) -> None:
    async def work() -> None:
        options: dict[str, Any] = {"protocol": "ascii", "timeout": 20.0}
        async with AsyncClient(slow.address, connections=connections, **options) as client:
            assert await client.get("other") is None
            in_flight = asyncio.ensure_future(client.get("slow"))
            assert await asyncio.to_thread(slow.waiting.wait, 10.0)
            await client.disconnect_all()
            assert await client.get("other") is None
            assert (slow.accepted, slow.closed) == (2, 0)
            slow.go.set()
            assert await in_flight == b"1"
            await asyncio.to_thread(until, lambda: slow.closed == 1)
            assert await client.get("other") is None
            assert slow.accepted == 2

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        runner.run(work())


def test_a_manager_is_disconnected_for_all_who_share_it(how: str, addresses: list[str]) -> None:
    one: Any
    manager: Any
    if how == "threads":
        manager = memcache.StaticShardManager(addresses)
        one = Client(manager, timeout=10.0)
    else:
        manager = Blocking(AsyncStaticShardManager(addresses), how)
        one = Blocking(AsyncClient(manager.inner, timeout=10.0), manager)
    with manager, one:
        before = connections(one)
        manager.disconnect_all()
        assert connections(one) == [count + 1 for count in before]


def test_a_closed_client_is_not_disconnected(make: Make, addresses: list[str]) -> None:
    client = make(addresses)
    client.close()
    with pytest.raises(ClientClosedError):
        client.disconnect_all()


def test_over_other_operations(addresses: list[str]) -> None:
    with Client.over(MockClient()) as client:
        client.set("a", b"1")
        client.disconnect_all()
        assert client.get("a") == b"1"
    raw = memcache.RawMetaClient(memcache.connect(addresses[0]))
    with (
        Client.over(raw) as client,
        pytest.raises(NotSupportedError, match=r"RawMetaClient .* cannot connect again"),
    ):
        client.disconnect_all()


def test_hooks_do_not_stand_in_the_way(make: Make, addresses: list[str]) -> None:
    events: list[Any] = []
    with make(addresses, hooks=(events.append,), timeout=10.0) as client:
        before = connections(client)
        client.disconnect_all()
        assert connections(client) == [count + 1 for count in before]


def test_in_the_child_of_a_fork_the_parent_keeps_its_connections(addresses: list[str]) -> None:
    with Client(addresses, timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"1"))
        before = connections(client)

        def work() -> None:
            client.disconnect_all()
            assert client.get(KEYS[0]) == b"1"
            client.disconnect_all()

        in_child(work)
        assert client.get(KEYS[0]) == b"1"
        after = connections(client)
        assert sum(after) == sum(before) + 1  # the child's
