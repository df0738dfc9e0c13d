"""What of memcache is watched for leaks: placements, fleets, exchanges and raw clients."""

import atexit
import functools
import socket
import threading
from collections.abc import Callable
from typing import Any

from godropbox import memcache
from godropbox.memcache import AsciiProtocol, BinaryProtocol, MetaProtocol
from godropbox.memcache.fleet import placement as sharding
from support.knowing import answer_to_probe
from support.leaking import Case, fails

__all__ = ["MEMCACHE", "PLACEMENT"]

ADDRESSES = [f"10.0.0.{i}:11211" for i in range(8)]
BATCH = [*(f"user:{i}" for i in range(40)), b"bytes", "\u20ac", None]
RULES = (
    sharding.Hash2(),
    sharding.Crc32(),
    sharding.Jump(),
    sharding.Ketama(),
    sharding.Rendezvous(),
    sharding.Custom(lambda key, count: 0),
)
PLACED = {type(rule).__name__: rule.bind(ADDRESSES) for rule in RULES}
LONG_BATCH = [f"user:{i}" for i in range(300)]
FLEETS = memcache.BaseShardManager()
STATES = [[(address, state) for address in ADDRESSES[state:]] for state in (0, 1)]


def changed_fleet() -> None:
    for states in STATES:
        FLEETS.update_shard_states(states)


PLACEMENT = (
    *(
        Case(f"{rule}: of_many", functools.partial(placed.of_many, BATCH), share=0.2)
        for rule, placed in PLACED.items()
    ),
    *(
        Case(f"{rule}: of", functools.partial(placed.of, "user:1"))
        for rule, placed in PLACED.items()
    ),
    Case("a long batch", lambda: PLACED["Hash2"].of_many(LONG_BATCH), share=0.1),
    Case("key_number", lambda: sharding.key_number("user:1")),
    Case("Hash2.among", lambda: sharding.Hash2().among(ADDRESSES, [1, 3]), share=0.1),
    Case("Ketama.bind", lambda: sharding.Ketama().bind(ADDRESSES[:1]), share=0.01),
    Case("Rendezvous.bind", lambda: sharding.Rendezvous().bind(ADDRESSES[:1]), share=0.2),
    Case("a changed fleet", changed_fleet, share=0.02),
    fails(TypeError, PLACED["Hash2"].of, 5),
    fails(ValueError, PLACED["Rendezvous"].of, "\udc80"),
    fails(TypeError, PLACED["Jump"].of_many, "text"),
    fails(ValueError, sharding.Hash2().among, ADDRESSES, [8]),
    fails(ValueError, FLEETS.update_shard_states, [("a:1", 3)]),
)

ITEMS = [memcache.Item("a", b"1"), memcache.Item("b", b"2" * 20_000)]
PACKET = bytes.fromhex
FOUND = b"VALUE a 5 3 17\r\n\r\nx\r\nEND\r\n"
# What is asked, and the reply: found, stored, refused.
ASCII: dict[str, tuple[Callable[[AsciiProtocol], memcache.Exchange], bytes]] = {
    "get": (lambda p: p.get("a"), FOUND),
    "get_multi": (lambda p: p.get_multi(["a", b"b", "a b", 5]), FOUND),  # type: ignore[list-item]
    "set_multi": (lambda p: p.set_multi(ITEMS), b"STORED\r\nSERVER_ERROR out of memory\r\n"),
    "increment": (lambda p: p.increment("a"), b"CLIENT_ERROR cannot increment\r\n"),
    "stats": (lambda p: p.stats(), b"STAT pid 1\r\nEND\r\n"),
    "version": (lambda p: p.version(), b"VERSION 1.6.18\r\n"),
}
META: dict[str, tuple[Callable[[MetaProtocol], memcache.Exchange], bytes]] = {
    "get": (lambda p: p.get("a"), b"VA 3 f5 c1 ka O0\r\n\r\nx\r\n"),
    "get_multi": (lambda p: p.get_multi(["a", "b"]), b"VA 1 f0 c2 kb O1\r\nx\r\nMN\r\n"),
    "set_multi": (lambda p: p.set_multi(ITEMS), b"HD c5 O0\r\nSERVER_ERROR out of memory\r\n"),
    "meta_get": (
        lambda p: p.meta_get("a", lease=30, details=True),
        b"VA 0 f0 c12 ka t30 s0 h0 l0 W X O0\r\n\r\n",
    ),
    "increment": (lambda p: p.increment("a"), b"VA 2 O0\r\n15\r\n"),
}
BINARY: dict[str, tuple[Callable[[BinaryProtocol], memcache.Exchange], bytes]] = {
    "get": (
        lambda p: p.get("a"),
        PACKET("810000000400000000000007000000000000000000000011") + b"\0\0\0\5xyz",
    ),
    "get_multi": (
        lambda p: p.get_multi(["a", "b"]),
        PACKET("810d00010400000000000007000000010000000000000011")
        + b"\0\0\0\5bxy"
        + PACKET("810a00000000000000000000000000020000000000000000"),
    ),
    "set_multi": (
        lambda p: p.set_multi(ITEMS),
        PACKET("810100000000000000000000000000000000000000000063")
        + PACKET("81010000000000030000000a000000010000000000000000")
        + b"Too large.",
    ),
}


def told(
    new: Callable[[], Any], ask: Callable[[Any], memcache.Exchange], reply: bytes, ending: bytes
) -> object:
    """Make an exchange, feed it in two parts, and have it tell what they mean."""
    exchange = ask(new())
    exchange.feed(reply[:7])
    exchange.feed(reply[7:] + ending)
    return exchange.result()


class Canned:
    """A channel to a server that answers everything but probes with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.waiting = b""

    def sendall(self, data: Any, /) -> None:
        sent = bytes(data)
        known = b"VERSION 1.6.45\r\n" if sent == b"version\r\n" else answer_to_probe(sent)
        self.waiting = self.reply if known is None else known

    def recv_into(self, buffer: Any, /) -> int:
        count = len(self.waiting)
        buffer[:count], self.waiting = self.waiting, b""
        return count

    def settimeout(self, seconds: float | None, /) -> None:
        pass

    def close(self) -> None:
        pass


@functools.cache
def over_a_socket() -> memcache.RawAsciiClient:
    """Return a client of a thread that knows ``a`` and stores everything."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while request := theirs.recv(65536):
            if request.endswith(b"\r\n"):
                theirs.sendall(FOUND if request.startswith(b"gets ") else b"STORED\r\n")
        theirs.close()

    threading.Thread(target=serve, daemon=True).start()
    client = memcache.RawAsciiClient(ours, timeout=60.0)
    atexit.register(client.close)
    return client


def new_client(reply: bytes) -> memcache.GetResponse:
    return memcache.RawMetaClient(Canned(reply)).get("a")


CANNED = memcache.RawAsciiClient(Canned(FOUND))
EXCHANGES: tuple[tuple[str, Callable[[], Any], dict[str, Any]], ...] = (
    ("ascii", AsciiProtocol, ASCII),
    ("binary", BinaryProtocol, BINARY),
    ("meta", MetaProtocol, META),
)

MEMCACHE = (
    *(
        Case(f"{protocol}: {name}", functools.partial(told, new, ask, reply, b""), share=0.5)
        for protocol, new, asked in EXCHANGES
        for name, (ask, reply) in asked.items()
    ),
    *(
        fails(memcache.ReplyError, told, new, ask, b"x" + reply[1:], ending)
        for ending, (_, new, asked) in zip((b"E", b"\r\n", b"EN"), EXCHANGES, strict=True)
        for ask, reply in [asked["get_multi"]]
    ),
    fails(
        memcache.ReplyError, told, AsciiProtocol, ASCII["get"][0], FOUND.replace(b"a", b"b"), b""
    ),
    fails(memcache.ReplyError, told, MetaProtocol, META["get"][0], b"VA 0 O1\r\n", b"\r\n"),
    fails(memcache.InvalidArgumentError, CANNED.get, "a b"),
    fails(memcache.InvalidTypeError, CANNED.set, 5),
    Case("RawAsciiClient.get over a channel", lambda: CANNED.get("a"), share=0.5),
    Case("RawMetaClient, made and thrown away", lambda: new_client(b"EN ka O0\r\n"), share=0.2),
    fails(memcache.ReplyError, new_client, b"VA 1 O5\r\nx\r\n"),
    fails(memcache.ConnectionLostError, new_client, b""),
    Case("RawAsciiClient.get over a socket", lambda: over_a_socket().get("a"), share=0.1),
    Case("RawAsciiClient.set over a socket", lambda: over_a_socket().set(ITEMS[0]), share=0.1),
)
