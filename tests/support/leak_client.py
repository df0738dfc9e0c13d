"""What of memcache's upper half is watched for leaks: values, hooks, clients, sharded clients."""

import atexit
import functools
import itertools
import socket
import threading
from collections.abc import Callable
from typing import Any

from godropbox import memcache
from godropbox.memcache.codec import Codec
from godropbox.memcache.testing import MockClient
from support.knowing import answer_to_probe
from support.leaking import Case, fails

__all__ = ["CLIENT"]

VALUES = (b"bytes", b"", "text", 5, {"a": [1, None]}, "x" * 2000)
CODEC = Codec("json", "zlib", 1000)
ENCODED = [CODEC.encode(value) for value in VALUES]
PLAIN = Codec()
MEMORY = MockClient()
CLIENT_OVER_MOCK = memcache.Client.over(MEMORY, serializer="json")
CLIENT_OVER_MOCK.set_many({"a": 1, "b": "2", "c": [3]})
MEMORY.set(memcache.Item("bad", b"junk", flags=4))
FAILING = memcache.Client.over(MockClient(fail_everything=True))
FORGIVING = memcache.Client.over(MockClient(fail_everything=True), failures="miss")
HOOKED = memcache.Client.over(MEMORY, serializer="json", hooks=(lambda event: None,))
HOOKED_FAILING = memcache.Client.over(MockClient(fail_everything=True), hooks=(lambda event: None,))
NUMBERS = itertools.count()
LARGE = b"x" * 3500
IN_PARTS = memcache.Client.over(MockClient(), large_values="split", part_size=1000)
IN_PARTS.set_many({"large": LARGE, "torn": LARGE})
IN_PARTS.delete(next(i.key for i in IN_PARTS.iter_keys() if i.key.startswith(b"torn:")))


WRITTEN = {b"add": b"NOT_STORED\r\n", b"touch": b"TOUCHED\r\n", b"incr": b"1234567890\r\n"}


def answered(request: bytes) -> bytes:
    """Return what a server of the ASCII protocol says that has every key, and stores everything."""
    lines = [line for line in request.split(b"\r\n") if line]
    verb, *keys = lines[0].split()
    if verb == b"gets":
        return b"".join(b"VALUE %b 16 1 7\r\nx\r\n" % key for key in keys) + b"END\r\n"
    if verb == b"get":  # every other one is text
        found = [b"VALUE %b %d 1\r\nx\r\n" % (key, at % 2 * 16) for at, key in enumerate(keys)]
        return b"".join(found) + b"END\r\n"
    if lines[0].startswith(b"delete "):
        return b"DELETED\r\n" * len(lines)
    if verb in WRITTEN:
        return WRITTEN[verb]
    return b"STORED\r\n" * sum(line.startswith(b"set ") for line in lines)


def refusing(request: bytes) -> bytes:
    """Return what a server says that refuses every store, and has what nobody asked for."""
    if request.startswith(b"get"):
        return b"VALUE mine 0 1 7\r\nx\r\nEND\r\n"
    return b"SERVER_ERROR out of memory\r\n" * request.count(b"set ")


def served(address: str, answer: Callable[[bytes], bytes] = answered) -> memcache.Connection:
    """Return a client of a thread that answers."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while request := theirs.recv(65536):
            theirs.sendall(answer_to_probe(request) or answer(request))
        theirs.close()

    threading.Thread(target=serve, daemon=True).start()
    return memcache.Connection(ours, timeout=60.0)


def refused(address: str) -> Any:
    raise memcache.ConnectionLostError("refused")


class Dying:
    """A channel to a server that closes every connection when it is asked something."""

    def sendall(self, data: object, /) -> None:
        pass

    def recv_into(self, buffer: Any, /) -> int:
        return 0

    def settimeout(self, seconds: float | None, /) -> None:
        pass

    def close(self) -> None:
        pass


def sharded(open_one: Callable[[str], Any], **options: Any) -> memcache.ShardedClient:
    """Return a client of three servers, the connections to which `open_one` makes."""
    manager = memcache.StaticShardManager(
        ["a:1", "b:1", "c:1"], options=memcache.ShardOptions(open=open_one, **options)
    )
    client = memcache.ShardedClient(manager, memcache.AsciiProtocol())
    atexit.register(client.close)
    return client


@functools.cache
def fleet() -> memcache.ShardedClient:
    return sharded(served)


@functools.cache
def over_fleet() -> memcache.Client:
    return memcache.Client.over(fleet())


@functools.cache
def refusing_fleet() -> memcache.ShardedClient:
    return sharded(functools.partial(served, answer=refusing))


DOWN = sharded(refused)
LOST = sharded(lambda address: memcache.Connection(Dying()))
EJECTING = sharded(refused, eject_after=1, retry_after=1e6, max_retry_after=1e6)
KEYS = [f"user:{i}" for i in range(12)]
ITEMS = [memcache.Item(key, b"1") for key in KEYS]


def in_another_order() -> object:
    """Store, count, swap and delete a value."""
    CLIENT_OVER_MOCK.set("n", 5, 60)
    CLIENT_OVER_MOCK.incr("n")
    value, token = CLIENT_OVER_MOCK.gets("n")
    CLIENT_OVER_MOCK.cas("n", value, token or 0)
    return CLIENT_OVER_MOCK.delete_many(["n", "none"])


def written() -> None:
    """Write one key in every way, over connections that are idle and known."""
    client = over_fleet()
    client.set("user:1", b"1", 60)
    client.set("user:1", b"1" * 3000)
    client.add("user:1", "text")
    client.touch("user:1", 60)
    client.incr("user:1", 5)
    client.delete("user:1")


def counted(delta: int) -> None:
    over_fleet().incr("user:1", delta)


def touched(key: str) -> None:
    over_fleet().touch(key, 60)


def made_and_left() -> None:
    """Make a sharded client that has asked, and let go of it."""
    manager = memcache.StaticShardManager(
        ["a:1", "b:1"],
        options=memcache.ShardOptions(open=lambda address: memcache.Connection(Dying())),
    )
    with memcache.ShardedClient(manager, memcache.MetaProtocol()) as client:
        client.get_multi(KEYS)


def decoded() -> None:
    for data, flags in ENCODED:
        CODEC.decode("k", data, flags)


CODECS = (
    *(
        Case(f"Codec.encode of {type(value).__name__} {at}", functools.partial(CODEC.encode, value))
        for at, value in enumerate(VALUES)
    ),
    Case("Codec.decode of each", decoded, share=0.5),
    Case("Codec made", lambda: Codec("json", "zlib"), share=0.3),
    fails(memcache.InvalidTypeError, PLAIN.encode, {}),
    fails(memcache.InvalidTypeError, CODEC.encode, [object()]),
    fails(memcache.UnreadableValueError, CODEC.decode, "k", b"junk", 4),
    fails(memcache.UnreadableValueError, CODEC.decode, "k", b"junk", 8),
    fails(memcache.UnreadableValueError, CODEC.decode, "k", b"{", 256),
    fails(memcache.UnreadableValueError, CODEC.decode, "k", b"\xff", 16),
    fails(memcache.UnreadableValueError, PLAIN.decode, "k", b"junk", 1),
    fails(memcache.InvalidArgumentError, Codec, "xml"),
)

VALUED = (
    Case("Client.get", lambda: CLIENT_OVER_MOCK.get("a")),
    Case("Client.get of none", lambda: CLIENT_OVER_MOCK.get("none")),
    Case("Client.get_many", lambda: CLIENT_OVER_MOCK.get_many(["a", "b", "c", "d"]), share=0.5),
    Case("Client.set", lambda: CLIENT_OVER_MOCK.set("s", [1], 60), share=0.5),
    Case("Client.set_many", lambda: CLIENT_OVER_MOCK.set_many({"s": 1, "t": 2}), share=0.3),
    Case("Client: a value's life", in_another_order, share=0.2),
    Case("Client.stats", CLIENT_OVER_MOCK.stats, share=0.3),
    Case("Client that forgives: get", lambda: FORGIVING.get("a"), share=0.5),
    Case("Client.gets_many", lambda: CLIENT_OVER_MOCK.gets_many(["a", "b", "d"]), share=0.3),
    Case("Client.gat_many", lambda: CLIENT_OVER_MOCK.gat_many(["a", "b", "d"], 100), share=0.3),
    Case("Client in parts: set", lambda: IN_PARTS.set("large", LARGE), share=0.01),
    Case("Client in parts: get", lambda: IN_PARTS.get("large"), share=0.02),
    Case("Client in parts: get_many", lambda: IN_PARTS.get_many(["large", "torn"]), share=0.02),
    Case("Client.iter_keys", lambda: next(CLIENT_OVER_MOCK.iter_keys()), share=0.1),
    fails(memcache.PartialServerError, CLIENT_OVER_MOCK.gets_many, ["a", "bad"]),
    Case("Client that forgives: get_many", lambda: FORGIVING.get_many(KEYS), share=0.1),
    Case("Client: failed set_many", lambda: FAILING.set_many({"a": 1, "b": 2}), share=0.3),
    fails(memcache.ServerError, FAILING.get, "a"),
    fails(memcache.PartialServerError, FAILING.get_many, ["a", "b"]),
    fails(memcache.PartialServerError, CLIENT_OVER_MOCK.get_many, ["a", "bad"]),
    fails(memcache.UnreadableValueError, CLIENT_OVER_MOCK.get, "bad"),
    fails(memcache.InvalidArgumentError, CLIENT_OVER_MOCK.get, "a key"),
    fails(memcache.InvalidTypeError, CLIENT_OVER_MOCK.get_many, "key"),
    fails(memcache.InvalidTypeError, CLIENT_OVER_MOCK.set, "a", object()),
    fails(memcache.NotSupportedError, CLIENT_OVER_MOCK.get_or_set, "a", int, 60),
    fails(memcache.InvalidArgumentError, memcache.ClientOptions, failures="ignore"),
    Case("hooks: get", lambda: HOOKED.get("a"), share=0.5),
    Case("hooks: get_many", lambda: HOOKED.get_many(["a", "d"]), share=0.3),
    fails(memcache.ServerError, HOOKED_FAILING.delete, "a"),
)

SHARDED = (
    Case("ShardedClient.get", lambda: fleet().get("user:1"), share=0.1),
    Case("ShardedClient.get_multi", lambda: fleet().get_multi(KEYS), share=0.1),
    Case("ShardedClient.set_multi", lambda: fleet().set_multi(ITEMS), share=0.1),
    Case("ShardedClient.delete_multi", lambda: fleet().delete_multi(KEYS), share=0.1),
    Case("ShardedClient: bad keys", lambda: fleet().get_multi(["a", "a b", ""]), share=0.1),
    Case("Client over a fleet: get", lambda: over_fleet().get("user:1"), share=0.1),
    Case("Client over a fleet: get_many", lambda: over_fleet().get_many(KEYS), share=0.1),
    Case("Client over a fleet: set_many", lambda: over_fleet().set_many({"a": 1}), share=0.1),
    Case("Client over a fleet: one key written", written, share=0.05),
    Case(
        "ShardedClient: a store refused",
        lambda: refusing_fleet()._store_one("set", "user:1", b"1", 0, 0, 0),
        share=0.1,
    ),
    fails(memcache.InvalidArgumentError, counted, -1),
    fails(memcache.InvalidArgumentError, touched, "a b"),
    Case("ShardedClient: all refuse", lambda: refusing_fleet().set_multi(ITEMS), share=0.1),
    Case("ShardedClient: all lie", lambda: refusing_fleet().get_multi(KEYS), share=0.02),
    Case("ShardedClient.set_values", lambda: fleet().set_values(KEYS, [b"1"] * 12), share=0.1),
    Case("ShardedClient: none connects", lambda: DOWN.get_multi(KEYS), share=0.1),
    Case("ShardedClient: all break", lambda: LOST.set_multi(ITEMS), share=0.1),
    Case("ShardedClient: all ejected", lambda: EJECTING.get_multi(KEYS), share=0.2),
    Case("ShardedClient, made and thrown away", made_and_left, share=0.05),
    fails(memcache.InvalidTypeError, DOWN.get, 5),
)

CLIENT = (*CODECS, *VALUED, *SHARDED)
