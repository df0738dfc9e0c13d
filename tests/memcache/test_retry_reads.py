"""Reads whose connection is lost are asked once more; a lost flow takes others along.

Over a server that loses connections when it is told to, with a blocking client and with asyncio's.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.aio import run
from support.blocking import LOOPS, Blocking
from support.knowing import answer_to_probe

from godropbox.compat.pymemcache.client.base import Client as PymemcacheClient
from godropbox.memcache import (
    Client,
    ConnectionLostError,
    DeadlineExceededError,
    Event,
    InvalidTypeError,
    NetworkError,
    PartialNetworkError,
    ReplyError,
)
from godropbox.memcache.aio import AsyncClient

Make = Callable[..., Any]
VALUES = {b"a": b"1", b"b": b"22", b"c": b"333"}
# How a connection ends, and how many bytes of the reply are sent first.
LOSSES = [("eof", 0), ("reset", 0), ("eof", 9), ("reset", 3)]
_RESET = struct.pack("ii", 1, 0)


class Flaky:
    """A server that has VALUES and takes every write.

    `plan` says how each of the next requests is met: "eof", "reset" or "mute", and after how many
    bytes of its reply; with nothing planned it is answered. `asked` are the requests, of which each
    is with the number of its connection; `made` counts the connections.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.plan: list[tuple[str, int]] = []
        self.asked: list[tuple[int, bytes]] = []
        self.made = 0
        self.forgotten: set[int] = set()  # connections whose bytes are swallowed
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end = self._listener.accept()[0]
                self.made += 1
                self._ends.append(end)
                threading.Thread(target=self._serve, args=(end, self.made), daemon=True).start()

    def _serve(self, end: socket.socket, number: int) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while more := end.recv(1 << 16):
                if number in self.forgotten:
                    continue
                data += more
                known = answer_to_probe(data)
                if known is not None:
                    end.sendall(known)
                    data = b""
                elif data.endswith(b"\r\n"):
                    requests, data = _requests(data), b""
                    for request in requests:
                        self.asked.append((number, request))
                        if not self._answer(end, _reply_to(request)):
                            return

    def _answer(self, end: socket.socket, reply: bytes) -> bool:
        kind, size = self.plan.pop(0) if self.plan else ("", len(reply))
        end.sendall(reply[:size])
        if kind == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if kind in ("eof", "reset"):
            end.close()
        return kind not in ("eof", "reset")

    def verbs(self) -> list[bytes]:
        """Return what was asked since the last time."""
        asked, self.asked = self.asked, []
        return [request.split()[0] for _, request in asked]

    def close(self) -> None:
        self._listener.close()
        for end in self._ends:
            end.close()


def _requests(data: bytes) -> list[bytes]:
    if data.startswith((b"set ", b"ms ")):
        return [data]
    return data.splitlines(keepends=True)


def _reply_to(request: bytes) -> bytes:
    verb, *rest = request.split()
    if verb in (b"get", b"gets", b"gats"):
        token = b"" if verb == b"get" else b" 7"
        found = [
            b"VALUE %s 0 %d%s\r\n%s\r\n" % (key, len(VALUES[key]), token, VALUES[key])
            for key in rest
            if key in VALUES
        ]
        return b"".join(found) + b"END\r\n"
    answers = {b"version": b"VERSION 1.6.0\r\n", b"incr": b"5\r\n", b"delete": b"DELETED\r\n"}
    return answers.get(verb, b"STORED\r\n")


@pytest.fixture
def server() -> Iterator[Flaky]:
    server = Flaky()
    yield server
    server.close()


@pytest.fixture(params=["threads", *LOOPS])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Make clients, blocking ones or those of an event loop behind a blocking face."""
    if request.param == "threads":
        return Client
    return lambda *given, **named: Blocking(AsyncClient(*given, **named), request.param)


READS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "get": (lambda c: c.get("a"), b"1"),
    "gets": (lambda c: c.gets("a"), (b"1", 7)),
    "get_many": (lambda c: c.get_many(["a", "b", "x"]), {"a": b"1", "b": b"22"}),
}


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("name", READS)
def test_a_read_is_asked_once_more(
    make: Make, server: Flaky, name: str, loss: tuple[str, int]
) -> None:
    read, expected = READS[name]
    with make(server.address, protocol="ascii", timeout=10.0) as client:
        for _ in range(2):
            assert read(client) == expected
            server.verbs()
            made = server.made
            server.plan = [loss]
            assert read(client) == expected
            assert len(server.verbs()) == 2
            assert server.made == made + 1
        server.plan = [loss, loss]
        with pytest.raises(NetworkError, match=r"closed the connection|reset"):
            read(client)
        assert len(server.verbs()) == 2
        assert read(client) == expected


def test_the_end_behind_a_whole_reply_loses_nothing(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0) as client:
        for read, expected in READS.values():
            server.plan = [("eof", 1000)]
            assert read(client) == expected
            assert len(server.verbs()) == 1


def test_a_read_that_is_asked_twice_fails_once(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0, eject_after=2) as client:
        for read, expected in READS.values():  # which fail once each, and come back
            server.plan = [("reset", 0)]
            assert read(client) == expected
        server.plan = [("reset", 0)] * 2
        with pytest.raises(ConnectionLostError):
            client.get("a")
        assert client.get("a") == b"1"  # it was not ejected by one failure
        server.plan = [("reset", 0)] * 4
        for _ in range(2):
            with pytest.raises(ConnectionLostError):
                client.get("a")
        server.verbs()
        assert client.get("a") is None  # but by two in a row
        assert server.verbs() == []


def test_writes_are_never_asked_twice(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0) as client:
        writes: list[Callable[[], Any]] = [
            lambda: client.set("a", b"1"),
            lambda: client.incr("n"),
            lambda: client.delete("a"),
            lambda: client.gat("a", 10),
            lambda: client.touch("a", 10),
        ]
        for write in writes:
            assert client.gat("a", 10) == b"1"  # this connection knows the command
            server.verbs()
            server.plan = [("reset", 0)]
            with pytest.raises(ConnectionLostError):
                write()
            assert len(server.verbs()) == 1
        assert client.get("a") == b"1"
        server.verbs()
        server.plan = [("eof", 0)]
        failed = client.set_many({"a": b"1"})
        assert failed == ["a"]
        assert len(server.verbs()) == 1


def test_what_is_late_is_not_asked_again(make: Make, server: Flaky) -> None:
    for read, _ in READS.values():
        # A client of its own: a multiplexed connection is soon closed for the silence behind this
        # call, and would take the next one along.
        with make(server.address, protocol="ascii", timeout=0.3) as client:
            server.plan = [("mute", 3)]
            with pytest.raises(NetworkError, match="deadline passed"):
                read(client)
            assert len(server.verbs()) == 1


def test_it_can_be_turned_off(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0, retry_reads=False) as client:
        for read, expected in READS.values():
            assert read(client) == expected
            server.verbs()
            server.plan = [("eof", 2)]
            with pytest.raises(NetworkError, match="closed the connection after 2 bytes"):
                read(client)
            assert len(server.verbs()) == 1
    with pytest.raises(InvalidTypeError, match="retry_reads must be True or False, got 1"):
        make(server.address, retry_reads=1)


def test_a_version_is_asked_once_more(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0) as client:
        assert client.version() == {0: "1.6.0"}
        server.plan = [("reset", 3)]
        assert client.version() == {0: "1.6.0"}


def test_a_batch_over_servers_that_lose_some(make: Make) -> None:
    servers = [Flaky() for _ in range(3)]
    keys = ["a", "b", "c", *(f"k{i}" for i in range(30))]
    with make([each.address for each in servers], protocol="ascii", timeout=10.0) as client:
        expected = client.get_many(keys)
        assert len(expected) == 3
        for each in servers:
            each.verbs()
        servers[0].plan = [("eof", 0)]
        servers[2].plan = [("reset", 7)]
        assert list(client.get_many(keys).items()) == list(expected.items())
        assert [len(each.verbs()) for each in servers] == [2, 1, 2]
        servers[1].plan = [("eof", 1), ("eof", 1)]
        with pytest.raises(
            PartialNetworkError, match=r"shard 1 at .*closed the connection"
        ) as caught:
            client.get_many(keys)
        lost = {key for key in expected if key not in caught.value.found}
        assert lost
        assert lost | caught.value.found.keys() == expected.keys()
    for each in servers:
        each.close()


def test_hooks_see_one_operation(server: Flaky) -> None:
    events: list[Event] = []
    with Client(server.address, protocol="ascii", timeout=10.0, hooks=(events.append,)) as client:
        client.get("a")
        server.plan = [("reset", 0)]
        client.get("a")
    assert [(each.operation, each.outcome) for each in events] == [("get", "hit")] * 2


def test_the_deadline_is_that_of_the_first_try(server: Flaky) -> None:
    with Client(server.address, protocol="ascii", timeout=0.3) as client:
        assert client.get("a") == b"1"
        server.plan = [("reset", 0), ("mute", 0)]
        with pytest.raises(DeadlineExceededError):
            client.get("a")
        assert len(server.verbs()) == 3


def test_pymemcaches_face_asks_once(server: Flaky) -> None:
    with contextlib.closing(PymemcacheClient(server.address, timeout=10.0)) as client:
        assert client.get("a") == b"1"
        server.verbs()
        server.plan = [("eof", 0)]
        with pytest.raises(Exception, match="closed the connection"):
            client.get("a")
        assert len(server.verbs()) == 1


def test_a_reply_that_does_not_fit_names_the_key(make: Make, server: Flaky) -> None:
    with make(server.address, protocol="ascii", timeout=10.0) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.delete("spam"),
            lambda: client.get("spam"),
            lambda: client.set("spam", b"eggs"),
        ]
        for call in calls:
            assert client.get("a") == b"1"
            server._answer = lambda end, reply: end.sendall(b"EGGS\r\n") is None  # type: ignore
            with pytest.raises(ReplyError, match=r"\(key 'spam'\)") as caught:
                call()
            assert caught.value.fields["key"] == "spam"
            del server._answer


def borrow(client: Client, count: int) -> None:
    """Have so many connections be idle, all of which have been used."""
    pool = client._operations.manager.fleet().shards[0].pool
    loans = [pool.get() for _ in range(count)]
    for loan in loans:
        loan.handle.get("a", b"")
        loan.release()
    assert pool.num_idle == count


def test_one_timeout_finds_all_flows_that_a_balancer_forgot(server: Flaky) -> None:
    with Client(server.address, protocol="ascii", timeout=0.2) as client:
        borrow(client, 5)
        server.forgotten = set(range(1, 6))
        with pytest.raises(DeadlineExceededError):
            client.get("a")
        pool = client._operations.manager.fleet().shards[0].pool
        assert pool.num_idle == 0
        assert client.get("a") == b"1"
        assert client.get_many(["a", "b"]) == {"a": b"1", "b": b"22"}
        assert server.made == 6


def test_connections_that_were_used_later_stay(server: Flaky) -> None:
    with Client(server.address, protocol="ascii", timeout=0.2) as client:
        borrow(client, 4)
        pool = client._operations.manager.fleet().shards[0].pool
        lent = [pool.get() for _ in range(4)]  # the one that was used last comes first
        for loan in (lent[1], lent[3]):
            loan.handle.get("a", b"")
            loan.release()
        pool._lose(lent[0])  # which was used before these two
        assert pool.num_idle == 2
        pool._lose(lent[2])
        assert pool.num_idle == 2
        assert client.get("a") == b"1"


@pytest.mark.parametrize("loop", LOOPS)
def test_one_timeout_finds_all_flows_of_a_loop(server: Flaky, loop: str) -> None:
    async def scenario() -> None:
        async with AsyncClient(
            server.address, protocol="ascii", timeout=0.5, connections=3
        ) as client:
            while server.made < 3:  # a spare one is made a while after the one before
                await asyncio.gather(*(client.get("a") for _ in range(9)))
            links = client._sharded.manager.fleet().shards[0].pool
            for _ in range(3):  # so that all have been used
                await asyncio.gather(*(client.get("a") for _ in range(9)))
            server.forgotten = set(range(1, server.made + 1))
            with pytest.raises(DeadlineExceededError):
                await client.get("a")
            await asyncio.wait_for(emptied(links), 10.0)
            assert await client.get("a") == b"1"

    run(scenario(), loop)


async def emptied(links: Any) -> None:
    while not repr(links).endswith(": 0>"):
        await asyncio.sleep(0.01)
