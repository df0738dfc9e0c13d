"""Does memory stay flat? Every public function and every error path, called a million times.

``CASES`` is the table, a row a path; a new module adds its rows. Run by hand, or as the short form
in ``test_leaks``:

    python tests/leaks.py [--calls 1000000] [CASE...]
"""

import argparse
import functools
import gc
import os
import re
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import godropbox
from godropbox import errors, hash2, murmur3
from godropbox.database import sqltypes

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

CASES = (*HASH2, *MURMUR3, *ERRORS, *SQLTYPES)


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
