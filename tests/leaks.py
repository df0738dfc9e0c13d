"""Does memory stay flat? Every public function and every error path, called a million times.

``CASES`` is the table, a row a path; a new module adds its rows. Run by hand, or as the short form
in ``test_leaks``:

    python tests/leaks.py [--calls 1000000] [CASE...]
"""

import argparse
import atexit
import dataclasses
import functools
import gc
import os
import re
import subprocess
import sys
from array import array
from collections.abc import Callable
from decimal import Decimal

from support.leak_caching import CACHING
from support.leak_client import CLIENT
from support.leak_kernels import KERNELS
from support.leak_memcache import MEMCACHE, PLACEMENT
from support.leaking import Case, fails

import godropbox
from godropbox import errors, hash2, murmur3, net2, oihash, resource_pool
from godropbox.database import sqlbuilder as sb
from godropbox.database import sqltypes

__all__ = ["ALLOWED", "CALLS", "CASES", "Case", "fails", "growth", "resident"]

ALLOWED = (512 if getattr(sys, "_is_gil_enabled", lambda: True)() else 4096) * 1024
"""Bytes that the resident memory may grow by in one round: what fragmentation alone can do.

Without an interpreter lock that is more: threads have a heap each, and free late what others read.
"""

CALLS = 50_000 if godropbox.IMPLEMENTATION == "native" else 4_000
"""Calls of the short form."""


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

ITEMS = [bytes([i]) for i in range(30)]
OIHASH = (
    Case("OiHash", lambda: oihash.OiHash(ITEMS)),
    Case("OiHash of few", lambda: oihash.OiHash((b"a", memoryview(b"bc")))),
    Case("OiHash of an iterator", lambda: oihash.OiHash(map(bytearray, ITEMS))),
    Case("insert_hash", lambda: oihash.OiHash().insert_hash(bytes(32))),
    Case("OiHash + OiHash", lambda: oihash.OiHash(ITEMS) + oihash.OiHash(ITEMS)),
    fails(TypeError, oihash.OiHash, [*ITEMS, "text"]),
    fails(ValueError, oihash.OiHash, [b"a", STRIDED]),
    fails(ValueError, oihash.OiHash.from_digest, b"\xff" * 32),
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
    dataclasses.replace(fails(resource_pool.PoolTimeoutError, FULL.get, 1e-9), share=0.03),
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
    fails(ValueError, SELECT.sql, "no\0name"),
    fails(TypeError, PREPARED.sql, name=5),
)

BELOW = (*HASH2, *MURMUR3, *OIHASH, *ERRORS, *SQLTYPES, *SQLBUILDER, *POOLS)
CASES = (*BELOW, *PLACEMENT, *KERNELS, *MEMCACHE, *CLIENT, *CACHING)


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
