"""A chaos run: real servers and processes, random mishaps, and a judgment over what happened.

Memcached servers are killed and started anew, stopped and let go on, flushed and filled up, and
moved through all shard states; processes that read and write are killed at random, stopped for
longer than a sentinel lives, and replaced. Everything is drawn from one seed.
"""

import heapq
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from support.chaos_fleet import Fleet, States
from support.chaos_history import Judgment, judge, recorded
from support.chaos_plan import Plan
from support.chaos_storage import ChaosStorage, log_of

__all__ = ["Report", "run"]

_TESTS = Path(__file__).parent.parent
_END_SECONDS = 30.0
_KINDS = 7  # of mishaps


@dataclass
class Report:
    """What a run did, what it cost, and what was wrong."""

    judgment: Judgment
    mishaps: Counter[str]
    statistics: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told = self.statistics
        reads = sum(told[n] for n in ("hits", "fills", "fills_lost", "shielded", "failed_looks"))
        lines = [f"history: {_shown(self.judgment.counts)}", f"mishaps: {_shown(self.mishaps)}"]
        if reads:
            lines.append(f"caches: {_shown(told)}; hit rate {told['hits'] / reads:.1%}")
        return "\n".join([*lines, *self.judgment.examples])


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def run(folder: Path, plan: Plan) -> Report:
    """Run a plan in an empty folder, and judge it."""
    ChaosStorage.make(folder / "data")
    with Fleet(plan.servers, plan.megabytes) as fleet:
        plan = replace(plan, addresses=tuple(fleet.addresses))
        plan.write(folder)
        states = States(folder / "states", plan.servers)
        chaos = _Chaos(folder, plan, fleet, states)
        try:
            chaos.run()
        finally:
            states.end()
            chaos.end()
            states.close()
    history = chain.from_iterable(map(recorded, sorted(folder.glob("history-*"))))
    statistics: Counter[str] = Counter()
    for path in folder.glob("statistics-*[0-9]"):
        statistics.update(json.loads(path.read_text()))
    mishaps = chaos.counts + fleet.counts
    return Report(judge(history, log_of(folder / "data")), mishaps, statistics)


class _Chaos:
    """Does one thing after another, at random moments."""

    def __init__(self, folder: Path, plan: Plan, fleet: Fleet, states: States) -> None:
        self._folder = folder
        self._plan = plan
        self._fleet = fleet
        self._states = states
        self._random = random.Random(plan.seed)
        self._numbers = count()
        self._turns = count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._busy: set[tuple[str, int]] = set()  # servers and workers that are dealt with
        self._workers = [self._started() for _ in range(plan.workers)]
        # Each kind of mishap comes once before the others are drawn, so that a short run has all.
        self._first = self._random.sample(range(_KINDS), _KINDS)
        self.counts: Counter[str] = Counter()

    def _started(self) -> "subprocess.Popen[bytes]":
        paths = [str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [sys.executable, "-m", "support.chaos_worker", str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen([*command, str(next(self._numbers))], env=environment)

    def run(self) -> None:
        """Wreak havoc for as long as planned."""
        until = time.monotonic() + self._plan.seconds
        pause = threading.Event()
        self._at(1.0, self._mishap)  # the processes have to start
        while (now := time.monotonic()) < until:
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            for worker in self._workers:
                assert worker.poll() in (None, -signal.SIGKILL), "a process of the run has failed"
            pause.wait(min(0.05, max(self._due[0][0] - now, 0.001)))

    def end(self) -> None:
        """Let everything that was stopped go on, and wait for the end of all processes."""
        for shard in range(self._plan.servers):
            self._fleet.signal(shard, signal.SIGCONT)
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
        for worker in self._workers:
            try:
                worker.wait(_END_SECONDS)
            finally:
                worker.kill()
                worker.wait()

    def _at(self, seconds: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._turns), do))

    def _mishap(self) -> None:
        shard = self._random.randrange(self._plan.servers)
        worker = self._random.randrange(self._plan.workers)
        mishaps: list[tuple[int, str, int, Callable[[int], Iterator[float]]]] = [
            (2, "server", shard, self._kill_a_server),
            (3, "server", shard, self._stop_a_server),
            (2, "server", shard, self._flush_a_server),
            (4, "server", shard, self._fill_a_server),
            (1, "state", shard, self._move_a_shard),
            (2, "worker", worker, self._kill_a_worker),
            (4, "worker", worker, self._stop_a_worker),
        ]
        drawn = self._random.choices(mishaps, [row[0] for row in mishaps])[0]
        (_, kind, number, mishap) = mishaps[self._first[-1]] if self._first else drawn
        if (kind, number) not in self._busy:
            if self._first:
                self._first.pop()
            self._busy.add((kind, number))
            self._advance((kind, number), mishap(number))
        self._at(self._random.uniform(0.01, 0.3), self._mishap)

    def _advance(self, busy: tuple[str, int], steps: Iterator[float]) -> None:
        """Go on with a mishap, which yields how long to wait until the next thing it does."""
        for seconds in steps:
            self._at(seconds, lambda: self._advance(busy, steps))
            return
        self._busy.discard(busy)

    def _moment(self) -> float:
        """Return how long a server is away: at times longer than a write is settled for."""
        if self._random.random() < 0.15:
            return self._random.uniform(1, 2.5) * self._plan.settle_limit
        return self._random.uniform(0.01, 0.4)

    def _kill_a_server(self, shard: int) -> Iterator[float]:
        self.counts["servers killed"] += 1
        self._fleet.kill(shard)
        yield self._moment()
        self._fleet.start(shard)

    def _stop_a_server(self, shard: int) -> Iterator[float]:
        self.counts["servers stopped"] += 1
        self._fleet.signal(shard, signal.SIGSTOP)
        yield self._moment()
        if self._random.random() < 0.2:  # what waits in its sockets is lost with it
            self._fleet.kill(shard)
            self._fleet.start(shard)
        self._fleet.signal(shard, signal.SIGCONT)

    def _flush_a_server(self, shard: int) -> Iterator[float]:
        self.counts["servers flushed"] += self._fleet.flush(shard)
        yield 0.0

    def _fill_a_server(self, shard: int) -> Iterator[float]:
        for _ in range(8):
            self._fleet.fill(shard, next(self._turns))
            yield 0.01
        self.counts["servers filled"] += 1

    def _move_a_shard(self, shard: int) -> Iterator[float]:
        """Take a shard out of use and bring it back: flushed when every write is known there."""
        for state in ("WRITE_ONLY", "DOWN", "WARM_UP", "WRITE_ONLY"):
            self._states[shard] = state
            yield self._random.uniform(0.0, 0.5)
        while ("server", shard) in self._busy or not self._fleet.flush(shard):
            yield 0.05
        self._states[shard] = "ACTIVE"
        self.counts["shards moved through all states"] += 1

    def _kill_a_worker(self, number: int) -> Iterator[float]:
        self.counts["processes killed"] += 1
        self._workers[number].kill()
        self._workers[number].wait()
        yield self._random.uniform(0, 0.3)
        self._workers[number] = self._started()
        yield 0.5

    def _stop_a_worker(self, number: int) -> Iterator[float]:
        self.counts["processes stopped"] += 1
        long = self._random.random() < 0.1
        life = self._plan.sentinel_life
        self._workers[number].send_signal(signal.SIGSTOP)
        yield self._random.uniform(life, 1.5 * life) if long else self._random.uniform(0.01, 0.4)
        self._workers[number].send_signal(signal.SIGCONT)


def main(arguments: list[str]) -> Any:
    """Run for so many seconds in a folder, and print the report: ``chaos.py FOLDER SECONDS``."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True)
    plan = Plan(float(arguments[1]), seed=int(time.time()), plain="plain" in arguments)
    report = run(folder, plan)
    print(f"seed {plan.seed}\n{report}", flush=True)
    return 0 if report.judgment.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
