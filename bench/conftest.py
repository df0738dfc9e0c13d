"""Where the runner meets pytest: options, the race of a case, and what goes into the JSON.

pytest-benchmark runs one test to its end before the next; a fair race runs them in turns. So
the first row of a case that pytest reaches races all the rows that were selected, and each
row's test hands its samples to its own ``benchmark`` fixture through a clock that shows them.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from .groups import GROUPS
from .machine import environment_record, two_at_once
from .model import Case, Group, Row
from .results import race_record, short_time
from .runner import FULL, QUICK, Outcome, failure, race

MEETING = pytest.StashKey["Meeting"]()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row with the case and the group that it stands in."""

    group: Group
    case: Case
    row: Row


class Replay:
    """A clock for pytest-benchmark that goes by the samples already taken."""

    def __init__(self) -> None:
        self._now = 0.0
        self._samples: Iterator[float] = iter(())

    def __call__(self) -> float:
        return self._now

    def _step(self) -> None:
        self._now += next(self._samples)

    def show(self, benchmark: Any, outcome: Outcome) -> None:
        """Hand the outcome's samples, in seconds an operation, to the fixture."""
        self._samples = iter(outcome.samples.values())
        benchmark.extra_info.update(loops=outcome.loops, operations=outcome.operations)
        benchmark.pedantic(self._step, rounds=len(outcome.samples))


class Meeting:
    """All the races of a run; a group's resource is open while its cases run."""

    def __init__(self, config: pytest.Config) -> None:
        self._quick: bool = config.getoption("bench_quick")
        self._records: list[dict[str, Any]] = []
        self._entries: list[Entry] = []
        self._done: dict[tuple[str, str], dict[str, Outcome]] = {}
        self._group = ""
        self._resource: Any = None
        self._closed: tuple[str, str] | None = None  # status and reason of a resource that failed
        self._open = ExitStack()
        self._two = 0.0

    def expect(self, entries: list[Entry]) -> None:
        """Note the rows that were selected."""
        self._entries = entries

    def outcome(self, entry: Entry) -> Outcome:
        """Return what became of the row, racing its case if that has not been raced."""
        self._two = self._two or two_at_once()
        key = entry.group.name, entry.case.name
        if key not in self._done:
            self._enter(entry.group)
            self._done[key] = self._race(entry.group, entry.case)
        return self._done[key][entry.row.label]

    def record(self, machine: dict[str, Any]) -> dict[str, Any]:
        """Return what goes into the JSON."""
        environment = environment_record(self._quick, self._two, machine)
        return {"environment": environment, "races": self._records}

    def close(self) -> None:
        """Close what is open for the last group."""
        self._open.close()

    def _enter(self, group: Group) -> None:
        if group.name != self._group:
            self._open.close()
            self._group = group.name
            self._closed = None
            try:
                self._resource = self._open.enter_context(group.resource())
            except Exception as error:
                self._closed = failure(error)

    def _race(self, group: Group, case: Case) -> dict[str, Outcome]:
        rows = [e.row for e in self._entries if e.group is group and e.case is case]
        began = time.perf_counter()
        if self._closed:
            outcomes = [Outcome(row, *self._closed) for row in rows]
        else:
            effort = QUICK if self._quick else FULL
            outcomes = race(group, case, rows, effort, self._resource)
        self._tell(group, case, outcomes, time.perf_counter() - began)
        self._records.append(race_record(group, case, outcomes))
        return {outcome.row.label: outcome for outcome in outcomes}

    def _tell(self, group: Group, case: Case, outcomes: list[Outcome], seconds: float) -> None:
        """Write the line of progress of a case."""
        count = len({(e.group.name, e.case.name) for e in self._entries})
        ours = next((o for o in outcomes if o.row.label == case.ours), outcomes[0])
        figure = f"{short_time(ours.time)} per {group.unit}" if ours.samples else ours.status
        gone = "".join(f"; {o.row.label}: {o.status}" for o in outcomes if o.status != "ok")
        print(
            f"[{len(self._done) + 1}/{count}] {group.name}, {case.name}: {ours.row.label} {figure},"
            f" {len(outcomes)} rows in {seconds:.1f} s{gone}",
            file=sys.stderr,
            flush=True,
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    options = parser.getgroup("bench", "the benchmarks of godropbox")
    options.addoption("--bench-quick", action="store_true", help="measure for a shorter time")
    names = [group.name for group in GROUPS]
    options.addoption("--bench-group", choices=names, help="only the cases of this group")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEETING] = Meeting(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("bench_group")
    if wanted is not None:
        groups = [entry.group.name if (entry := _entry(item)) else "" for item in items]
        items[:] = [item for item, group in zip(items, groups, strict=True) if group == wanted]


def pytest_collection_finish(session: pytest.Session) -> None:
    entries = [entry for item in session.items if (entry := _entry(item))]
    session.config.stash[MEETING].expect(entries)


def _entry(item: pytest.Item) -> Entry | None:
    """Return the row that a test is of; None for a test of something else."""
    call = (
        item.callspec if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )
    entry = call.params.get("entry") if call else None
    return entry if isinstance(entry, Entry) else None


@pytest.fixture(scope="session")
def meeting(pytestconfig: pytest.Config) -> Iterator[Meeting]:
    """The races of this run."""
    meeting = pytestconfig.stash[MEETING]
    yield meeting
    meeting.close()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    for each in output_json["benchmarks"]:
        each["params"] = None  # the objects' reprs, at length; "param" names the row
    output_json.update(config.stash[MEETING].record(output_json["machine_info"]))
