"""Replies to pipelined requests, recorded from a real server, and received in pieces cut anywhere.

The requests are of all kinds, in flight over one connection at once; each has its own answer,
wherever the loop cuts what it received, also where a large value is received in its own memory.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support import aio
from support.memcached import Server
from support.server_fleets import PROTOCOLS

from godropbox import memcache
from godropbox.memcache import Item
from godropbox.memcache.aio import (
    AsyncClient,
    AsyncShardedClient,
    AsyncShardOptions,
    AsyncStaticShardManager,
)
from godropbox.memcache.aio.connect import _Connection

LARGE = {"large": bytes(range(256)) * 160, "larger": b"END\r\n" * 20_000}
EDGE = 40  # bytes around the ends of large values that are cut one by one


def shown(results: list[Any]) -> str:
    """Return results as text, large values by their hashes, for the sake of time."""
    text = []
    for each in results:
        for one in each.values() if isinstance(each, dict) else [each]:
            value = getattr(one, "value", one)
            if isinstance(value, bytes) and len(value) > 1000:
                text.append(f"{getattr(one, 'key', '')}: {len(value)}, {hash(value)}")
            else:
                text.append(repr(one))
    return "\n".join(text)


class Transport:
    """What a connection writes to: it keeps the bytes."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, buffers: list[bytes]) -> None:
        for each in buffers:
            self.write(each)

    def take(self) -> bytes:
        data, self.written = bytes(self.written), bytearray()
        return data

    def abort(self) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None


class Wire:
    """A client whose one connection is fed by hand."""

    def __init__(self, protocol: str, runner: asyncio.Runner) -> None:
        self.runner = runner
        options = AsyncShardOptions(timeout=60.0)
        self.manager = AsyncStaticShardManager(["127.0.0.1:1"], options=options)
        self.protocol: Any = protocol
        self.transport = Transport()
        self.connection: Any = None
        self.manager._home.dial = self._dial  # type: ignore[method-assign]

    def _dial(self, link: Any) -> None:
        hub = self.manager._hub
        self.connection = _Connection(hub.room, hub.clock)
        self.connection._home = self.manager._home
        self.connection.connection_made(self.transport)
        self.connection.attach(link)
        link.made()

    def feed(self, data: bytes) -> None:
        while data:
            view = self.connection.get_buffer(-1)
            size = min(len(view), len(data))
            view[:size] = data[:size]
            self.connection.buffer_updated(size)
            data = data[size:]

    def requests(self, large: bool) -> list[Awaitable[Any]]:
        """Return one request of each kind, and gets between them; or a few of large values."""
        # New ones, as opaques go on from request to request.
        plain = AsyncClient(self.manager, protocol=self.protocol, timeout=60.0)
        many = AsyncShardedClient(self.manager, PROTOCOLS[self.protocol]())
        if large:
            return [
                plain.get("a"),
                plain.get("large"),
                plain.get("b"),
                many.get_multi(["a", "larger", "flags"]),
                many.get("large"),
                plain.get("larger"),
                plain.get_many(["b", "large", "larger"]),
                plain.get("absent", "none"),
            ]
        return [
            plain.get("a"),
            plain.get("absent", "none"),
            many.get("flags"),
            many.get_multi(["a", "absent", "flags", "b"]),
            many.set(Item("c", b"3", flags=3)),
            plain.get("empty", "none"),
            many.add(Item("a", b"4")),
            many.get_values(["b", "absent"]),
            many.set_multi([Item(f"m{i}", b"x" * i) for i in range(5)]),
            many.delete("a"),
            plain.get("a"),
            many.delete_multi(["b", "absent", "c"]),
            many.touch("flags", 100),
            many.gat("flags", 100),
            many.increment("number", 5),
            many.increment("flags"),
            many.decrement("absent"),
            many.append("number", b"0"),
            many.version(),
            # In ASCII they wait for the answer to a question of their own.
            *([many.stats("sizes")] if self.protocol == "binary" else []),
            plain.get("b"),
            plain.get_many(["number", "m1"]),
            *([many.flush()] if self.protocol == "binary" else []),
            plain.get("number"),
        ]

    async def asked(self, pieces: Iterable[bytes], large: bool) -> tuple[bytes, str]:
        """Send all, then receive the pieces; return the request and the results.

        An empty piece is none.
        """
        everything = asyncio.gather(*self.requests(large))
        await aio.turns(3)
        for piece in pieces:
            self.feed(piece)
            await asyncio.sleep(0)
        await aio.turns(2)
        assert everything.done()
        return self.transport.take(), shown(everything.result())


def recorded(wire: Wire, address: str, large: bool) -> tuple[bytes, bytes, str]:
    """Return the requests, the real server's replies to them, and the results."""
    host, port = address.split(":")
    request, replies = bytearray(), bytearray()

    def relay(peer: socket.socket) -> Iterator[bytes]:
        request.clear()
        replies.clear()
        while len(wire.connection):
            data = wire.transport.take()
            request.extend(data)
            peer.sendall(data)
            with suppress(BlockingIOError):
                piece = peer.recv(1 << 20, socket.MSG_DONTWAIT)
                replies.extend(piece)
                yield piece
            yield b""

    async def record() -> str:
        for _ in range(2):  # first it is found out what the server knows
            with memcache.RawMetaClient(memcache.connect(address)) as raw:
                raw.flush()
                values = [Item("a", b"1"), Item("flags", b"f", flags=9), Item("b", b"22")]
                values += [Item("number", b"37"), Item("empty", b"")]
                raw.set_multi([*values, *(Item(key, each) for key, each in LARGE.items())])
            _, results = await wire.asked(relay(peer), large)
        return results

    with socket.create_connection((host, int(port)), 10) as peer:
        results = wire.runner.run(record())
    return bytes(request), bytes(replies), results


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replies_cut_at_every_byte(
    servers: Callable[[str], Server], protocol: str, large: bool
) -> None:
    with asyncio.Runner() as runner:
        wire = Wire(protocol, runner)
        request, reply, results = recorded(wire, servers("tcp").address, large)
        inside: list[range] = []
        for value in LARGE.values():
            at = reply.find(value)
            while at >= 0:
                inside.append(range(at + EDGE, at + len(value) - EDGE))
                at = reply.find(value, at + len(value))
        assert len(inside) == (6 if large else 0)
        every = 9973 if large else 1
        cuts = [
            at for at in range(1, len(reply)) if at % every == 0 or not any(at in r for r in inside)
        ]

        async def play() -> None:
            for cut in cuts:
                pieces = [reply[:cut], reply[cut:]]
                assert await wire.asked(pieces, large) == (request, results)
            for size in (7, 4099, 1 << 16) if large else (1, 2, 7):
                pieces = [reply[at : at + size] for at in range(0, len(reply), size)]
                assert await wire.asked(pieces, large) == (request, results)

        runner.run(play())


@pytest.mark.parametrize("ends", [True, False], ids=["end", "reset"])
def test_a_batch_that_waits_for_a_question_ends_with_the_connection(ends: bool) -> None:
    """Its first part is over, its next may not go behind the question, and then all is over."""

    async def ask() -> None:
        wire = Wire("ascii", runner)
        wire.manager._servers._interleaves = False  # so that a batch goes in parts, as over TLS
        wire.manager.update_shard_states([("127.0.0.1:2", memcache.ShardState.ACTIVE)])
        many = AsyncShardedClient(wire.manager, PROTOCOLS["ascii"](), 5.0)
        keys = [f"key:{i}" * 20 for i in range(2000)]
        batch = asyncio.ensure_future(many.delete_multi(keys))
        await aio.turns(3)
        part = wire.transport.take().count(b"\r\n")
        assert 0 < part < len(keys)
        question = asyncio.ensure_future(many.set(Item("k", b"1")))
        await aio.turns(3)
        assert wire.transport.take()
        wire.feed(b"DELETED\r\n" * part)
        await aio.turns(3)
        assert wire.transport.take() == b""  # not behind the question
        if ends:
            wire.connection.eof_received()
        else:
            wire.connection.connection_lost(ConnectionResetError("reset"))
        async with asyncio.timeout(1):
            answers = await batch
            with pytest.raises(memcache.NetworkError):
                await question
        assert all(isinstance(each.error, memcache.NetworkError) for each in answers[part:])

    with asyncio.Runner() as runner:
        runner.run(ask())
