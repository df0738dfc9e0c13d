"""Races the rows of a case: each is checked, then all are timed turn by turn.

Rows take turns within every round and another row begins each round, so that a machine that
slows down slows them alike; a ratio is the median of the rounds' ratios, never a ratio of
medians. The collector is off while a sample is taken (``timeit`` sees to that) and a sample is
as many turns of the row as take `min_time`. A row so slow that it would take more than
`max_time` sits rounds out, evenly.
"""

import gc
import json
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from .model import RESULT, Case, Group, MissingError, Names, Row, WrongError

__all__ = ["CLOCK", "FULL", "PYTHON", "QUICK", "Effort", "Local", "Outcome", "failure", "race"]

WORKER = Path(__file__).parent / "worker.py"
# Variables of a row: the interpreter of its worker, and a clock instead of the group's.
PYTHON = "GODROPBOX_BENCH_PYTHON"
CLOCK = "GODROPBOX_BENCH_CLOCK"
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: seconds a sample, rounds, seconds a row."""

    min_time: float
    rounds: int
    max_time: float

    def part(self, share: float) -> "Effort":
        """Return the effort with this share of the rounds and of the seconds a row."""
        rounds = max(LEAST_ROUNDS, round(self.rounds * share))
        return Effort(self.min_time, rounds, self.max_time * share)


QUICK = Effort(min_time=0.005, rounds=15, max_time=0.8)
FULL = Effort(min_time=0.02, rounds=45, max_time=6.0)


@dataclass(slots=True)
class Outcome:
    """What became of a row: `status` is ``"ok"``, ``"missing"``, ``"wrong"`` or ``"broken"``.

    `samples` are seconds an operation by round; `loops` turns of `operations` each a sample.
    """

    row: Row
    status: str = "ok"
    why: str = ""
    loops: int = 0
    operations: int = 0
    samples: dict[int, float] = field(default_factory=dict)

    @property
    def time(self) -> float:
        """The median of the samples: seconds an operation."""
        return median(self.samples.values())

    def ratio(self, other: "Outcome | None") -> float | None:
        """Return the median over the rounds that both ran of this row's time to the other's."""
        if other is None:
            return None
        rounds = self.samples.keys() & other.samples.keys()
        return median(self.samples[r] / other.samples[r] for r in rounds) if rounds else None


def failure(error: Exception) -> tuple[str, str]:
    """Return the status and the words for what a row raised."""
    if isinstance(error, (ImportError, MissingError)):
        return "missing", str(error)
    if isinstance(error, WrongError):
        return "wrong", str(error)
    return "broken", f"{type(error).__name__}: {error}"


class Lane(Protocol):
    """A row made ready, wherever it runs."""

    operations: int

    def check(self) -> None:
        """Raise ``WrongError`` unless the row's result is right."""

    def sample(self, loops: int) -> float:
        """Return the seconds that so many turns take."""

    def close(self) -> None:
        """Let go of what the row holds."""


class Local:
    """A row in this process."""

    def __init__(self, group: Group, row: Row, resource: Any) -> None:
        self._row = row
        self._names: Names = dict(row.make(resource))
        if group.clock == RESULT:
            measured = eval(f"lambda: {row.result}", dict(self._names))
            self._sample: Callable[[int], float] = lambda loops: sum(
                measured() for _ in range(loops)
            )
        else:
            clock: Callable[[], float] = getattr(time, os.environ.get(CLOCK, group.clock))
            timer = timeit.Timer(row.statement, timer=clock, globals=dict(self._names))
            self._sample = timer.timeit
        self.operations: int = eval(row.operations, dict(self._names))

    def check(self) -> None:
        self._row.check(eval(self._row.result, dict(self._names)), self._names)

    def sample(self, loops: int) -> float:
        return self._sample(loops)

    def close(self) -> None:
        close: Callable[[], object] | None = self._names.get("close")
        if close is not None:
            close()


class Remote:
    """A row in a worker process with variables of its own; it works only when asked."""

    def __init__(self, group: Group, case: Case, row: Row, resource: Any) -> None:
        self._process = subprocess.Popen(
            [row.env.get(PYTHON, sys.executable), "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **row.env},
        )
        try:
            self.operations = int(self._ask([group.name, case.name, row.label, resource]))
        except BaseException:
            self.close()
            raise

    def _ask(self, question: object) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict):
            kinds = {"missing": MissingError, "wrong": WrongError}
            raise kinds.get(answer["status"], RuntimeError)(answer["why"])
        return float(answer)

    def check(self) -> None:
        self._ask("check")

    def sample(self, loops: int) -> float:
        return self._ask(loops)

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def _collector_paused() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _calibrate(lane: Lane, min_time: float, clock: str) -> tuple[int, float]:
    """Return how many turns take `min_time`, and what they took; one if they measure themselves."""
    loops = 1
    if clock == RESULT:
        began = time.perf_counter()
        lane.sample(loops)
        return loops, time.perf_counter() - began
    while (seconds := lane.sample(loops)) < min_time:
        enough = int(loops * 1.2 * min_time / max(seconds, 1e-9)) + 1
        loops = min(enough, loops * 10)
    return loops, seconds


@dataclass(slots=True)
class _Runner:
    """A row in the race: its lane, unless it is out, and in how many rounds it runs."""

    outcome: Outcome
    lane: Lane | None
    turns: int

    def take(self, this: int, rounds: int) -> None:
        """Take a sample, if this is a round that the row runs in."""
        if self.lane is None or (this + 1) * self.turns // rounds == this * self.turns // rounds:
            return
        outcome = self.outcome
        try:
            seconds = self.lane.sample(outcome.loops)
        except Exception as error:
            self.lane = None
            outcome.samples.clear()
            outcome.status, outcome.why = failure(error)
        else:
            outcome.samples[this] = seconds / (outcome.loops * outcome.operations)


def _ready(
    stack: ExitStack, group: Group, case: Case, outcome: Outcome, effort: Effort, resource: Any
) -> _Runner:
    """Make the row, check it and see how long it takes; it is out if any of that fails."""
    row = outcome.row
    try:
        lane: Lane = Remote(group, case, row, resource) if row.env else Local(group, row, resource)
        stack.callback(lane.close)
        lane.check()
        outcome.operations = lane.operations
        outcome.loops, seconds = _calibrate(lane, effort.min_time, group.clock)
    except Exception as error:
        outcome.status, outcome.why = failure(error)
        if outcome.status == "missing" and row.peer:
            outcome.why = f"{row.peer} is not installed here ({error})"
        return _Runner(outcome, None, 0)
    turns = max(LEAST_ROUNDS, min(effort.rounds, int(effort.max_time / seconds)))
    return _Runner(outcome, lane, turns)


def race(
    group: Group, case: Case, rows: Sequence[Row], effort: Effort, resource: Any
) -> list[Outcome]:
    """Check these rows of the case, time those that pass, and return an outcome for each."""
    effort = effort.part(group.share)
    outcomes = [Outcome(row) for row in rows]
    with ExitStack() as stack, _collector_paused():
        runners = [_ready(stack, group, case, outcome, effort, resource) for outcome in outcomes]
        for this in range(effort.rounds):
            start = this % len(runners)
            for runner in runners[start:] + runners[:start]:
                runner.take(this, effort.rounds)
    return outcomes
