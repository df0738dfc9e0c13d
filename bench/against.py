"""Races this build against another one, row by row: ``bench/run --against REVISION``.

It takes the folder that the other build is installed in. Each row of ours runs twice in turn, in
two worker processes of the same kind that differ in which build they import, so that a ratio says
what the change did and not what the machine did meanwhile. A process has luck of its own (where
its memory lies), so a row that looks worse is raced again in new processes, and is reported as
worse only if it stays so. The exit status is then 1.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.groups import GROUPS
from bench.model import Case, Group, Row
from bench.runner import FULL, QUICK, Effort, Outcome, race

__all__ = ["Duel", "duel", "main", "verdict"]

WORSE = 1.03
TRIES = 3


@dataclass(frozen=True, slots=True)
class Duel:
    """A row raced on both builds: this build's time to the other's, a ratio each round."""

    ratios: tuple[float, ...]
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios; None if a build could not run the row."""
        return median(self.ratios) if self.ratios else None


def _both(this: Outcome, other: Outcome) -> Duel:
    for build, outcome in (("this build", this), ("the other build", other)):
        if outcome.status != "ok":
            return Duel((), f"{build}: {outcome.status}: {outcome.why}")
    rounds = sorted(this.samples.keys() & other.samples.keys())
    return Duel(tuple(this.samples[each] / other.samples[each] for each in rounds))


def duel(group: Group, case: Case, row: Row, site: str, effort: Effort, resource: Any) -> Duel:
    """Race a row of this build against the same row of the build that is installed in `site`."""
    # A variable each, as it is what puts a row into a worker.
    builds = {"GODROPBOX_BENCH_BUILD": "this"}, {"PYTHONPATH": site}
    rows = [replace(row, env={**row.env, **build}) for build in builds]
    return _both(*race(group, case, rows, effort, resource))


def verdict(tries: list[Duel]) -> bool:
    """Return whether a row is worse: in every one of the tries, of which there are enough."""
    ratios = [each.ratio for each in tries]
    return len(ratios) == TRIES and all(ratio is not None and ratio > WORSE for ratio in ratios)


def _rows(wanted: str | None) -> Iterator[tuple[Group, list[tuple[Case, Row]]]]:
    for group in GROUPS:
        if wanted in (None, group.name):
            kinds = ("native", "pure")
            yield group, [(c, row) for c in group.cases for row in c.rows if row.kind in kinds]


def _spread(ratios: tuple[float, ...]) -> str:
    low, _, high = quantiles(sorted(ratios), n=4, method="inclusive")
    return f"{low:.3f} to {high:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Race all rows, a line each; return 1 if any is worse."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("site", help="the folder that the other build is installed in")
    parser.add_argument("--quick", action="store_true", help="measure for a shorter time")
    parser.add_argument("--group", choices=[g.name for g in GROUPS], help="only this group")
    given = parser.parse_args(arguments)
    effort = QUICK if given.quick else FULL
    worse: list[str] = []
    counted = 0
    for group, rows in _rows(given.group):
        with ExitStack() as stack:
            resource = stack.enter_context(group.resource())
            for case, row in rows:
                tries: list[Duel] = []
                while len(tries) < TRIES:
                    tries.append(duel(group, case, row, given.site, effort, resource))
                    ratio = tries[-1].ratio
                    if ratio is None or ratio <= WORSE:
                        break
                name = f"{group.name}: {case.name}: {row.label}"
                last = tries[-1]
                counted += last.ratio is not None
                if last.ratio is None:
                    print(f"    -  {name}: {last.why}", flush=True)
                    continue
                mark = "  worse" if verdict(tries) else ""
                spread = _spread(last.ratios)
                print(f"{last.ratio:6.3f} {name} ({spread}, try {len(tries)}){mark}", flush=True)
                if mark:
                    worse.append(name)
    print(f"{counted} rows raced on both builds; {len(worse)} worse by more than {WORSE - 1:.0%}")
    for name in worse:
        print(f"worse: {name}")
    return 1 if worse or not counted else 0


if __name__ == "__main__":
    sys.exit(main())
