"""Every figure that README and the documentation name, from ``bench/results.json``.

``python -P bench/figures.py`` prints them by name, ``--write`` puts them into the documents and
``--check`` ends with status 1 if a document says something else. In a document a figure stands
between two comments, which no reader sees: ``<!--=get-100-->0.72<!--/-->``.
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.headline import losses, tables
from bench.results import about, short_time
from bench.summary import Summary

ROOT: Final = Path(__file__).resolve().parent.parent
MARKED: Final = re.compile(r"<!--=([a-z0-9-]+)-->(.*?)<!--/-->", re.DOTALL)


def short(ratio: float) -> str:
    """Return a ratio in two digits, as a reader wants it."""
    if ratio >= 9.5:
        return f"{float(f'{ratio:.2g}'):,.0f}"
    return f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2f}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long `row` takes as `to`; of several cases or rows, from least to most."""

    group: str
    cases: tuple[str, ...]
    row: str
    to: tuple[str, ...]

    def text(self, summary: Summary) -> str:
        """Return the figure."""
        found = [summary.ratio(self.group, c, self.row, to) for c in self.cases for to in self.to]
        least, most = short(min(found)), short(max(found))
        return least if least == most else f"{least} to {most}"


@dataclass(frozen=True, slots=True)
class Time:
    """What an operation of a row takes; of several rows, from least to most."""

    group: str
    case: str
    rows: tuple[str, ...]

    def text(self, summary: Summary) -> str:
        """Return the figure."""
        times = [summary.line(self.group, self.case, row)["time"] for row in self.rows]
        least, most = short_time(min(times)), short_time(max(times))
        return least if least == most else f"{least} to {most}"


def machine(summary: Summary) -> str:
    """Return where and when the groups of the headline ran."""
    where = about({"environment": summary.environment("client")})
    return f"{where[0]}, {where[1]}, {where[-1]}"


MANY, STORES = "Client: get of 100 keys", "Client: set of 100 keys"
EIGHT, EIGHT_SET = "get of 100 keys, 8 servers", "set of 100 keys, 8 servers"
TASKS = "get, 100 tasks, asyncio"
QUERY, LIST, INSERT = "the query", "IN (1,000)", "INSERT 100x3"
CORE = "SQLAlchemy Core, cache hit"

FIGURES: Final[dict[str, Ratio | Time | Callable[[Summary], str]]] = {
    "machine": machine,
    "losses": losses,
    "tables": tables,
    "get-1-pylibmc": Ratio("client", ("Client: get",), "Client, ASCII", ("pylibmc",)),
    "get-1-pymemcache": Ratio("client", ("Client: get",), "Client, ASCII", ("pymemcache",)),
    "get-1-limit": Ratio("client", ("Client: get",), "Client, ASCII", ("raw socket",)),
    "get-100-pylibmc": Ratio("client", (MANY,), "Client, ASCII", ("pylibmc",)),
    "get-100-pymemcache": Ratio("client", (MANY,), "Client, ASCII", ("pymemcache",)),
    "get-100-limit": Ratio("client", (MANY,), "Client, ASCII", ("raw socket",)),
    "set-100-libmc": Ratio("client", (STORES,), "Client, ASCII", ("libmc",)),
    "set-100-pymemcache": Ratio("client", (STORES,), "Client, ASCII", ("pymemcache",)),
    "eight-pylibmc": Ratio(
        "sharded-processor", (f"{EIGHT}, processor time",), "Client", ("pylibmc",)
    ),
    "eight-pymemcache": Ratio(
        "sharded-processor", (f"{EIGHT}, processor time",), "Client", ("pymemcache HashClient",)
    ),
    "tasks-emcache": Ratio("asyncio", (TASKS,), "AsyncClient", ("emcache, autobatching",)),
    "tasks-aiomcache": Ratio("asyncio", (TASKS,), "AsyncClient", ("aiomcache",)),
    "tasks-redis": Ratio("asyncio", (TASKS,), "AsyncClient", ("redis-py",)),
    "sql-hand": Ratio("sql", (QUERY,), "native", ("by hand",)),
    "sql-hand-many": Ratio("sql", (INSERT, LIST), "native", ("by hand",)),
    "sql-core": Ratio("sql", (QUERY,), CORE, ("native",)),
    "sql-pypika": Ratio("sql", (QUERY, LIST, INSERT), "PyPika", ("native",)),
    "face-pylibmc-sets": Ratio(
        "compat",
        ("pylibmc: set of 100 keys", "pylibmc: set, and delete of 100 keys"),
        "ours",
        ("pylibmc",),
    ),
    "scale-limit": Ratio("scale-servers", ("100 servers",), "raw socket", ("Client",)),
    "placement-100": Time("placement", "100 keys over 8 servers", ("native",)),
    "meta-many": Ratio("memcache", ("get of 100 keys",), "native, meta", ("native, ASCII",)),
    "sharded-client": Ratio("sharded", (EIGHT, EIGHT_SET), "Client", ("raw socket",)),
    "sharded-responses": Ratio("sharded", (EIGHT, EIGHT_SET), "native, ASCII", ("raw socket",)),
    "sharded-get-pylibmc": Ratio("sharded", (EIGHT,), "pylibmc", ("raw socket",)),
    "sharded-get-libmc": Ratio("sharded", (EIGHT,), "libmc", ("raw socket",)),
    "sharded-set-libmc": Ratio("sharded", (EIGHT_SET,), "libmc", ("raw socket",)),
    "processor-get": Ratio(
        "sharded-processor", (f"{EIGHT}, processor time",), "Client", ("libmc", "pylibmc")
    ),
}


def figure(name: str, summary: Summary) -> str:
    """Return a figure; ``KeyError`` if there is none of that name or its row was not timed."""
    found = FIGURES[name]
    return found(summary) if callable(found) else found.text(summary)


def documents() -> list[Path]:
    """Return the documents that may name figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> int:
    """Print, write or check."""
    parser = argparse.ArgumentParser(description="The figures of README and the documentation.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="put them into the documents")
    choice.add_argument("--check", action="store_true", help="compare the documents with them")
    arguments = parser.parse_args()
    summary, wrong = Summary.read(), 0
    if not (arguments.write or arguments.check):
        for name in FIGURES:
            print(f"{name}: {figure(name, summary)}")
        return 0
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in MARKED.finditer(text):
            if match[2] != (right := figure(match[1], summary)):
                wrong += 1
                print(f"{path.relative_to(ROOT)}: {match[1]} is {right}, not {match[2]}")
        if arguments.write:
            new = MARKED.sub(lambda m: f"<!--={m[1]}-->{figure(m[1], summary)}<!--/-->", text)
            path.write_text(new, encoding="utf-8")
    return int(wrong > 0 and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
