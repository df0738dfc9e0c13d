"""Races the package on several Pythons, row by row: ``bench/run --beside PYTHON``.

It takes the interpreters of environments that have the package, the base first. Each of our
compiled rows runs on all of them in turn, in a worker process each, timed by the processor time of
the process; on PyPy it is the same row of the pure package. A row's time is without the loop around
its statement, whose cost is measured on each interpreter the same way. What is left is the
kernel's, and the call of it, which is the interpreter's.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.groups import GROUPS
from bench.model import RESULT, Case, Group, Row
from bench.runner import CLOCK, FULL, PYTHON, QUICK, Effort, Outcome, race

__all__ = ["Lap", "beside", "main"]

SLOWER = 1.05
TRIES = 3


@dataclass(frozen=True, slots=True)
class Lap:
    """A row on one interpreter: nanoseconds an operation, and the ratio to the base's."""

    nanoseconds: float | None
    ratio: float | None
    why: str = ""


def _on(case: Case, row: Row, pythons: Sequence[str], clock: str) -> list[Row]:
    """Return the row for each interpreter's worker."""
    more = {} if clock == RESULT else {CLOCK: "process_time"}
    pure = [each for each in case.rows if each.label == row.label.replace("native", "pure")]
    rows = []
    for python in pythons:
        mine = pure[0] if pure and _name(python).startswith("PyPy") else row
        rows.append(replace(mine, env={**mine.env, **more, PYTHON: python}))
    return rows


def loops(pythons: Sequence[str]) -> list[float]:
    """Return the seconds that a turn of the empty loop takes on each interpreter."""
    code = "import time, timeit; print(min(timeit.repeat(timer=time.process_time)))"
    return [min(float(_said(python, code)) for _ in range(TRIES)) / 1e6 for python in pythons]


def beside(
    group: Group,
    case: Case,
    row: Row,
    pythons: Sequence[str],
    empty: Sequence[float],
    effort: Effort,
    resource: Any,
) -> list[Lap]:
    """Race a row on the interpreters; `empty` is what a turn of the loop takes on each."""
    outcomes = race(group, case, _on(case, row, pythons, group.clock), effort, resource)
    taken = empty if group.clock != RESULT else [0.0] * len(empty)
    times = [_times(outcome, loop) for outcome, loop in zip(outcomes, taken, strict=True)]
    laps = []
    for outcome, mine in zip(outcomes, times, strict=True):
        shared = [each for each in mine if each in times[0] and times[0][each] > 0.0]
        ratio = median(mine[each] / times[0][each] for each in shared) if shared else None
        nanoseconds = median(mine.values()) * 1e9 if mine else None
        laps.append(Lap(nanoseconds, ratio, f"{outcome.status}: {outcome.why}"))
    return laps


def _times(outcome: Outcome, loop: float) -> dict[int, float]:
    """Return the seconds an operation by round, without the loop's; none of what did not run."""
    if not outcome.samples:
        return {}
    each = loop if outcome.row.loop or outcome.operations == 1 else loop / outcome.operations
    return {number: seconds - each for number, seconds in outcome.samples.items()}


def _rows(wanted: list[str]) -> Iterator[tuple[Group, list[tuple[Case, Row]]]]:
    for group in GROUPS:
        if not wanted or group.name in wanted:
            yield group, [(c, row) for c in group.cases for row in c.rows if row.kind == "native"]


@cache
def _name(python: str) -> str:
    code = "import platform; print(platform.python_implementation(), platform.python_version())"
    return _said(python, code).strip()


def _said(python: str, code: str) -> str:
    return subprocess.run(
        [python, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _cell(lap: Lap) -> str:
    if lap.nanoseconds is None or lap.ratio is None:
        return "-"
    return f"{lap.ratio:.3f}{' slower' if lap.ratio > SLOWER else ''}"


def _best(*given: Any) -> list[Lap]:
    """Race a row again while it looks slower; return each interpreter's best lap.

    A process has luck of its own, so each try is in new ones.
    """
    tries: list[list[Lap]] = []
    while len(tries) < TRIES:
        tries.append(beside(*given))
        if all(lap.ratio is None or lap.ratio <= SLOWER for lap in tries[-1]):
            break
    return [min(laps, key=lambda lap: lap.ratio or 0.0) for laps in zip(*tries, strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """Print a table of ratios; return 1 if a row is slower than the base by more than 5 %."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="the base first")
    parser.add_argument("--quick", action="store_true", help="measure for a shorter time")
    names = [group.name for group in GROUPS]
    parser.add_argument(
        "--group", action="append", default=[], choices=names, help="only these groups"
    )
    given = parser.parse_args(arguments)
    effort = QUICK if given.quick else FULL
    empty = loops(given.pythons)
    titles = [_name(python) for python in given.pythons]
    print(f"| row | {titles[0]}, ns | {' | '.join(titles[1:])} |")
    print(f"|---|{'---:|' * len(titles)}")
    print(f"| the loop itself | {empty[0] * 1e9:.1f} |", end="")
    print("".join(f" {loop / empty[0]:.3f} |" for loop in empty[1:]), flush=True)
    slower = []
    for group, rows in _rows(given.group):
        with ExitStack() as stack:
            resource = stack.enter_context(group.resource())
            for case, row in rows:
                laps = _best(group, case, row, given.pythons, empty, effort, resource)
                name = f"{group.name}: {case.name}: {row.label}"
                base = laps[0].nanoseconds
                shown = laps[0].why if base is None else f"{base:,.1f}"
                print(f"| {name} | {shown} | {' | '.join(map(_cell, laps[1:]))} |", flush=True)
                if any((lap.ratio or 0.0) > SLOWER for lap in laps):
                    slower.append(name)
    for name in slower:
        print(f"slower by more than {SLOWER - 1:.0%}: {name}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
