"""Does memory stay flat? Every public function and every error path, called a million times.

``CASES`` is the table, a row a path; a new module adds its rows. Run by hand, or as the short form
in ``test_leaks``:

    python tests/leaks.py [--calls 1000000] [CASE...]
"""

import argparse
import atexit
import functools
import gc
import os
import re
import socket
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import godropbox
from godropbox import errors, hash2, memcache, murmur3, net2, resource_pool
from godropbox.database import sqlbuilder as sb
from godropbox.database import sqltypes
from godropbox.memcache import AsciiProtocol, BinaryProtocol, MetaProtocol

__all__ = ["ALLOWED", "CALLS", "CASES", "Case", "fails", "growth", "resident"]

ALLOWED = 512 * 1024
"""Bytes that the resident memory may grow by in one round: what fragmentation alone can do."""

CALLS = 100_000 if godropbox.IMPLEMENTATION == "native" else 4_000
"""Calls of the short form."""


@dataclass(frozen=True)
class Case:
    """One path: a call of no arguments. `share` is the part of the calls asked for that it gets."""

    name: str
    call: Callable[[], object]
    share: float = 1.0


def _shown(value: object) -> str:
    plain = isinstance(value, (int, float, str, bytes, list)) and len(repr(value)) < 24
    return repr(value) if plain else type(value).__name__


def fails(
    error: type[Exception], function: Callable[..., object], *arguments: object, **named: object
) -> Case:
    """Return the case of a call that has to raise `error`."""

    def call() -> None:
        try:
            function(*arguments, **named)
        except error:
            return
        raise AssertionError(f"{name} is not raised")

    shown = [_shown(each) for each in arguments]
    shown += [f"{key}={_shown(value)}" for key, value in named.items()]
    name = f"{function.__name__}({', '.join(shown)}): {error.__name__}"
    return Case(name, call)


class Index:
    """An int by ``__index__``, or what that raises."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __index__(self) -> int:
        if isinstance(self.value, int):
            return self.value
        raise OSError(self.value)


HASH_ANY: Callable[[object, object], int] = hash2.consistent_hash  # type: ignore[assignment]
KEYS = array("Q", range(10))
MANY_KEYS = array("Q", range(300))
OUT = array("H", bytes(20))
SHARDS = hash2.ShardSet([1, 2, 5, 9])
FROZEN = memoryview(OUT).toreadonly()
STRIDED = memoryview(bytes(20))[::2]
SUM = hash2.md5_checksum(b"text")

HASH2 = (
    Case("consistent_hash", lambda: hash2.consistent_hash(2**63, 10)),
    Case("consistent_hash of __index__", lambda: HASH_ANY(Index(3), Index(10))),
    Case("consistent_hash_many", lambda: hash2.consistent_hash_many(KEYS, 10)),
    Case("consistent_hash_many, out", lambda: hash2.consistent_hash_many(KEYS, 10, out=OUT)),
    Case(
        "consistent_hash_many, 2 threads",
        lambda: hash2.consistent_hash_many(MANY_KEYS, 3, threads=2),
        share=0.02,
    ),
    Case("ShardSet.lookup", lambda: SHARDS.lookup(7)),
    Case("ShardSet.lookup_many", lambda: SHARDS.lookup_many(KEYS)),
    Case("ShardSet.lookup_many, out", lambda: SHARDS.lookup_many(KEYS, out=OUT)),
    Case("ShardSet.with_shard", lambda: SHARDS.with_shard(3)),
    Case("ShardSet.without_shard", lambda: SHARDS.without_shard(5)),
    Case("ShardSet iterated and shown", lambda: (list(SHARDS), repr(SHARDS), hash(SHARDS))),
    Case("plan_reshard", lambda: hash2.plan_reshard(KEYS, 3, 4)),
    Case("md5_checksum", lambda: hash2.md5_checksum(b"text")),
    Case("md5_matches", lambda: hash2.md5_matches(b"text", SUM)),
    fails(ValueError, hash2.consistent_hash, -1, 3),
    fails(ValueError, hash2.consistent_hash, 2**64, 3),
    fails(ValueError, hash2.consistent_hash, 1, 65536),
    fails(ValueError, hash2.consistent_hash, 1, 2**100),
    fails(TypeError, hash2.consistent_hash, "1", 3),
    fails(TypeError, hash2.consistent_hash, 1, 1.5),
    fails(TypeError, hash2.consistent_hash, 1),
    fails(OSError, hash2.consistent_hash, Index("no index"), 3),
    fails(TypeError, hash2.consistent_hash_many, [1, 2], 3),
    fails(TypeError, hash2.consistent_hash_many, array("I", [1]), 3),
    fails(ValueError, hash2.consistent_hash_many, KEYS, -1),
    fails(ValueError, hash2.consistent_hash_many, KEYS, 3, out=array("H")),
    fails(ValueError, hash2.consistent_hash_many, KEYS, 3, out=FROZEN),
    fails(ValueError, hash2.consistent_hash_many, KEYS, 3, threads=0),
    fails(ValueError, hash2.ShardSet, []),
    fails(ValueError, hash2.ShardSet, [1, 1]),
    fails(TypeError, hash2.ShardSet, ["1"]),
    fails(ValueError, SHARDS.lookup, -1),
    fails(TypeError, SHARDS.lookup_many, "keys"),
    fails(ValueError, SHARDS.with_shard, 5),
    fails(ValueError, SHARDS.without_shard, 6),
    fails(ValueError, hash2.plan_reshard, KEYS, 3, 65536),
    fails(TypeError, hash2.md5_checksum, "text"),
    fails(TypeError, hash2.md5_matches, b"text", "sum"),
)

MURMUR3 = (
    Case("hash32", lambda: murmur3.hash32(b"0123456789abcdef", 7)),
    Case("hash32 of a bytearray", lambda: murmur3.hash32(bytearray(b"0123"))),
    Case("hash32_many", lambda: murmur3.hash32_many((b"a", b"bc", memoryview(b"def")))),
    Case("hash32_many of an iterator", lambda: murmur3.hash32_many(iter([b"a", b"bc"]))),
    fails(TypeError, murmur3.hash32, "text"),
    fails(TypeError, murmur3.hash32, b"text", "1"),
    fails(ValueError, murmur3.hash32, b"text", -1),
    fails(ValueError, murmur3.hash32, b"text", 2**64),
    fails(ValueError, murmur3.hash32, STRIDED),
    fails(OSError, murmur3.hash32, b"text", Index("no index")),
    fails(TypeError, murmur3.hash32_many, b"text"),
    fails(TypeError, murmur3.hash32_many, 5),
    fails(TypeError, murmur3.hash32_many, [b"a", "b"]),
    fails(ValueError, murmur3.hash32_many, [b"a", STRIDED]),
    fails(ValueError, murmur3.hash32_many, [b"a"], 2**32),
)

ERRORS = (
    Case("DropboxError", lambda: errors.DropboxError("m", a=1)),
    Case("DropboxError with a cause", lambda: errors.wrap(ValueError(), "m", a=1)),
    Case("stack_text", lambda: errors.DropboxError("m").stack_text()),
    Case("to_dict", lambda: errors.to_dict(errors.wrap(ValueError("v"), "m", a=1)), share=0.1),
    Case("capture_stack", errors.capture_stack),
    fails(TypeError, errors.DropboxError, 5),
    fails(TypeError, errors.wrap, 5, "m"),
    fails(ValueError, errors.capture_stack, -1),
)

SQLTYPES = (
    *(
        Case(f"encode_sql of {value!r}", functools.partial(sqltypes.encode_sql, value))
        for value in (None, 5, 2**64 - 1, 0.5, "it's", "\u20ac'", b"\0", Decimal("0.10"))
    ),
    Case("encode_ascii", lambda: sqltypes.encode_ascii("text")),
    Case("to_binary", lambda: sqltypes.from_binary(sqltypes.to_binary("text"))),
    fails(ValueError, sqltypes.encode_sql, "\ud800"),
    fails(ValueError, sqltypes.encode_sql, 2**64),
    fails(ValueError, sqltypes.encode_sql, float("nan")),
    fails(TypeError, sqltypes.encode_sql, object()),
    fails(ValueError, sqltypes.from_binary, b"\4\2x"),
)


class Handle:
    """What the pools lend; there is nothing to close."""

    def close(self) -> None:
        pass


def broken(_: object) -> object:
    raise OSError("down")


def lent(pool: resource_pool.SimpleResourcePool, end: str) -> None:
    getattr(pool.get(), end)()


def lent_in_block(pool: resource_pool.SimpleResourcePool) -> None:
    try:
        with pool.get():
            raise OSError("in the block")
    except OSError:
        pass


def new_pools() -> None:
    """Make pools and throw them away, with what they hold."""
    options = resource_pool.PoolOptions(open=lambda _: Handle(), max_idle_time=60, reap_every=0)
    resource_pool.SimpleResourcePool(options).get().release()
    many = resource_pool.MultiResourcePool(options, ["a", "b"])
    many.get("a").release()
    many.set_locations(["b", "c"])


POOL = resource_pool.SimpleResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle(), max_active=1), "one"
)
TRACKED = resource_pool.SimpleResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle(), track=True), "tracked"
)
UNFIT = resource_pool.SimpleResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle(), check=lambda _: False), "unfit"
)
DOWN = resource_pool.SimpleResourcePool(resource_pool.PoolOptions(open=broken), "down")
FULL = resource_pool.SimpleResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle(), max_active=1), "full"
)
HELD = FULL.get()
atexit.register(HELD.release)
MANY = resource_pool.MultiResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle()), ["a", "b"]
)
RING = resource_pool.RoundRobinResourcePool(
    resource_pool.PoolOptions(open=lambda _: Handle()), ["a", "b"]
)

POOLS = (
    Case("pool: get and release", lambda: lent(POOL, "release")),
    Case("pool: get and discard", lambda: lent(POOL, "discard")),
    Case("pool: get and detach", lambda: lent(POOL, "detach")),
    Case("pool: an exception in the block", lambda: lent_in_block(POOL)),
    Case("pool: tracked", lambda: lent(TRACKED, "release")),
    Case("pool: a handle that fails its check", lambda: lent(UNFIT, "release")),
    Case("pool: many locations", lambda: MANY.get("b").release()),
    Case("pool: locations in turn", lambda: RING.get().release()),
    Case("pool: made and thrown away", new_pools, share=0.1),
    Case("pool: stats", POOL.stats),
    fails(resource_pool.OpenError, DOWN.get),
    fails(resource_pool.PoolExhaustedError, FULL.get),
    fails(resource_pool.PoolTimeoutError, FULL.get, 1e-9),
    fails(resource_pool.ForeignHandleError, POOL.release, HELD),
    fails(resource_pool.UnknownLocationError, MANY.get, "c"),
    fails(ValueError, POOL.get, -1),
    Case("parse_address", lambda: net2.parse_address("[::1]:80")),
    fails(ValueError, net2.parse_address, "a:b"),
    fails(TypeError, net2.parse_address, 5),
)

FILES = sb.Table("files", sb.IntColumn("id"), sb.StrColumn("name"))
OTHERS = sb.Table("others", sb.IntColumn("id"))
SELECT = FILES.select(FILES.c.name).where((FILES.c.name == "x") & FILES.c.id.in_(range(20)))
# It fails when the first of its values is written already.
ASTRAY = FILES.select(FILES.c.id).where((FILES.c.name == "x") & (OTHERS.c.id == 1))
INSERT = FILES.insert(FILES.c.id, FILES.c.name).row(1, "it's")
PREPARED = FILES.select(FILES.c.id).where(FILES.c.name == sb.slot("name", str)).prepare("s")

SQLBUILDER = (
    Case("Select.sql", lambda: SELECT.sql("s")),
    Case("Select.bind", lambda: SELECT.bind("s")),
    Case("Select.bind, by name", lambda: SELECT.bind("s", "pyformat"), share=0.5),
    Case("Insert.bind", lambda: INSERT.bind("s", dialect="postgresql")),
    Case("Prepared.sql", lambda: PREPARED.sql(name="it's")),
    Case("expressions", lambda: repr(~((FILES.c.id + 1 == 2) | FILES.c.name.is_null()))),
    fails(ValueError, ASTRAY.sql, "s"),
    fails(ValueError, ASTRAY.bind, "s"),
    fails(ValueError, SELECT.bind, "s", "no style"),
    fails(ValueError, SELECT.sql, "no name"),
    fails(TypeError, PREPARED.sql, name=5),
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
    """A channel to a server that answers everything with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.waiting = b""

    def sendall(self, data: object, /) -> None:
        self.waiting = self.reply

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
        fails(memcache.ReplyError, told, new, asked["get_multi"][0], asked["get_multi"][1], ending)
        for ending, (_, new, asked) in zip((b"E", b"\r\n", b"EN"), EXCHANGES, strict=True)
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

CASES = (*HASH2, *MURMUR3, *ERRORS, *SQLTYPES, *SQLBUILDER, *POOLS, *MEMCACHE)


def resident() -> int:
    """Return the bytes of this process's memory that are resident."""
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    if sys.platform == "win32":
        command = ["tasklist", "/NH", "/FO", "CSV", "/FI", f"PID eq {os.getpid()}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kib = re.sub(r"\D", "", told.strip().split('","')[-1])
    return int(kib) * 1024


def growth(call: Callable[[], object], calls: int, rounds: int = 3) -> int:
    """Return by how many bytes `calls` calls make the resident memory grow.

    It is the least growth of several rounds, as a leak grows in all of them; one flat round ends
    the matter.
    """
    for _ in range(calls // 10):
        call()
    least: int | None = None
    for _ in range(rounds):
        gc.collect()
        before = resident()
        for _ in range(calls):
            call()
        gc.collect()
        grown = resident() - before
        least = grown if least is None else min(least, grown)
        if least <= ALLOWED:
            break
    assert least is not None, "no rounds"
    return least


def main() -> int:
    """Run the cases named, or all; return how many leak."""
    parser = argparse.ArgumentParser(description="Does memory stay flat?")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("cases", nargs="*", help="parts of the names of the cases to run")
    options = parser.parse_args()
    leaks = 0
    print(f"godropbox {godropbox.__version__}, {godropbox.IMPLEMENTATION}: KiB grown")
    for case in CASES:
        if options.cases and not any(part in case.name for part in options.cases):
            continue
        calls = max(1, int(options.calls * case.share))
        grown = growth(case.call, calls)
        leaks += grown > ALLOWED
        verdict = "LEAKS" if grown > ALLOWED else "flat"
        print(f"{case.name:<64}{calls:>10,} calls {grown // 1024:>8,} {verdict}", flush=True)
    return leaks


if __name__ == "__main__":
    sys.exit(main())
