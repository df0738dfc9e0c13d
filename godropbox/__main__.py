"""``python -m godropbox``: report which implementation runs, why, and how fast; or run a command.

The commands, ``python -m godropbox doctor``, ``demo`` and ``fleet``, are in the packages of those
names.
``CASES`` lists the hot paths; each is timed on every implementation that is available. The whole
check takes about five seconds.
"""

import argparse
import json
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from types import ModuleType
from typing import Final

from . import _kernels
from ._about import about
from ._kernels import _binlog as binlog

__all__ = ["about", "main"]

COMMANDS: Final = ("demo", "doctor", "fleet")

KEY: Final = 0x0123456789ABCDEF


@dataclass(frozen=True)
class Case:
    """A hot path: its name, the stem of its kernel, the results per call, and the call."""

    name: str
    stem: str
    items: int
    call: Callable[[ModuleType], object]


def _hash_many(n: int, num_shards: int) -> Callable[[ModuleType], object]:
    keys = memoryview(array("Q", (KEY * (i + 1) & 0xFFFFFFFFFFFFFFFF for i in range(n))))
    out = memoryview(array("H", bytes(2 * n)))
    return lambda kernel: kernel.hash_many(keys, num_shards, num_shards, out, None)


TEXT: Final = "a file's name, as users write them"
ITEMS: Final = tuple(b"user:%011d" % i for i in range(256))

KEYS: Final = [f"user:{i:05}" for i in range(100)]

REQUEST: Final = (b"gets", KEYS, b"")
REPLY: Final = (
    b"".join(b"VALUE user:%05d 0 100 7\r\n%s\r\n" % (i, b"x" * 100) for i in range(100))
    + b"END\r\n"
)


def _parse(kernel: ModuleType) -> object:
    reply = kernel.Reply(kernel.codes.VALUES, 100)
    reply.feed(REPLY)
    return reply.hits(REQUEST[1], b"")


# Rows of a binary log: which values are NULL, a number of four bytes, and a text after its length.
ROWS: Final = b"".join(b"\0" + i.to_bytes(4, "little") + b"\x0auser:%05d" % i for i in range(100))


def _rows(kernel: ModuleType) -> object:
    columns = ((binlog.INT, 4, 0, None), (binlog.TEXT, 1, 0, binlog.UTF8))
    return kernel.RowDecoder(columns, None, True, None).rows(ROWS, 0, b"\3")


CASES: Final = (
    Case("binlog: 100 rows of two columns", "binlog", 100, _rows),
    Case("hash2: one key, 10 shards", "hash2", 1, lambda k: k.consistent_hash(KEY, 10)),
    Case("hash2: one key, 1,000 shards", "hash2", 1, lambda k: k.consistent_hash(KEY, 1000)),
    Case("hash2: 256 keys, 10 shards", "hash2", 256, _hash_many(256, 10)),
    Case("hash2: 256 keys, 1,000 shards", "hash2", 256, _hash_many(256, 1000)),
    Case("murmur3: 16 bytes", "murmur3", 1, lambda k: k.hash32(ITEMS[0])),
    Case("murmur3: 256 items of 16 bytes", "murmur3", 256, lambda k: k.hash32_many(ITEMS)),
    Case("oihash: 256 items of 16 bytes", "oihash", 256, lambda k: k.added(bytes(32), ITEMS)),
    Case("placement: 100 keys, 8 servers", "placement", 100, lambda k: k.hash2(8).of_many(KEYS)),
    Case("sqltext: a str of 33 characters", "sqltext", 1, lambda k: k.literal(TEXT, 0)),
    Case("stack: an error with its stack", "stack", 1, lambda k: k.StackedError("m")),
    Case("wire: a reply of 100 values", "wire", 100, _parse),
    Case("wire: a request for 100 keys", "wire_request", 100, lambda k: k.ascii_keys(*REQUEST)),
)


@dataclass(frozen=True)
class Row:
    """A timed case: nanoseconds per result on each implementation, None if there is none."""

    name: str
    native_ns: float | None
    pure_ns: float

    @property
    def ratio(self) -> float | None:
        """The speed of the native implementation relative to the pure one."""
        return self.pure_ns / self.native_ns if self.native_ns else None


def _time(call: Callable[[ModuleType], object], kernel: ModuleType, seconds: float) -> float:
    """Return the least nanoseconds per call among rounds that together take `seconds`."""
    clock = time.perf_counter_ns
    deadline = clock() + int(seconds * 1e9)
    best, repeat = float("inf"), 1
    while True:
        start = clock()
        for _ in range(repeat):
            call(kernel)
        end = clock()
        best = min(best, (end - start) / repeat)
        if end >= deadline:
            return best
        if end - start < seconds * 1e8:  # aim at a tenth of the time per round
            repeat *= 2


def check(seconds: float = 5.0) -> Iterator[Row]:
    """Time every case on every available implementation, in about `seconds` overall."""
    pairs = _kernels.pairs()
    forms = 1 if _kernels.IMPLEMENTATION == "pure" else 2
    each = seconds / (len(CASES) * forms)
    for case in CASES:
        native, pure = pairs[case.stem]
        times = [
            _time(case.call, kernel, each) / case.items if kernel else None
            for kernel in (native, pure)
        ]
        assert times[1] is not None
        yield Row(case.name, times[0], times[1])


def _shown(nanoseconds: float | None) -> str:
    if nanoseconds is None:
        return "-"
    return f"{nanoseconds:,.1f} ns" if nanoseconds < 1e4 else f"{nanoseconds / 1e3:,.1f} us"


def _line(row: Row | None) -> str:
    if row is None:
        return f"{'time per result':<32}{'native':>12}{'pure':>12}{'faster':>10}"
    ratio = "-" if row.ratio is None else f"{row.ratio:,.1f}x"
    return f"{row.name:<32}{_shown(row.native_ns):>12}{_shown(row.pure_ns):>12}{ratio:>10}"


def _hint(given: list[str]) -> str:
    modules = ("binlog", "compat.check")
    return f"; 'python -m godropbox.{given[0]}' is one" if given[0] in modules else ""


def main(arguments: list[str] | None = None) -> int:
    """Print the report, or run the command that is named first, and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in COMMANDS:
        command = import_module(f"godropbox.{given[0]}.__main__")
        status: int = command.main(given[1:])
        return status
    parser = argparse.ArgumentParser(
        prog="python -m godropbox",
        description="Show which implementation of godropbox runs here, and how fast.",
        epilog="Commands, each with a --help of its own: 'python -m godropbox doctor' examines "
        "servers and fleets; 'python -m godropbox demo' shows leases and consistency at work; "
        "'python -m godropbox.binlog' prints binary logs.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-check", action="store_true", help="skip the speed check")
    if given and not given[0].startswith("-"):
        known = f"{', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}"
        parser.error(f"the command must be {known}, got {given[0]!r}{_hint(given)}")
    options = parser.parse_args(given)
    head = about()
    if options.json:
        rows = [] if options.no_check else [asdict(row) | {"ratio": row.ratio} for row in check()]
        print(json.dumps(head | {"check": rows}, indent=2))
        return 0
    print(f"godropbox {head['version']}: {head['implementation']} ({head['reason']})")
    for name in ("simd", "python", "platform"):
        print(f"{name:<10}{head[name]}")
    if not options.no_check:
        print(f"\n{_line(None)}")
        for row in check():
            print(_line(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
