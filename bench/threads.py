"""How two threads scale without an interpreter lock: ``bench/run --threads PYTHON``.

A row is a call in a loop, by one thread and by two on a core each: with objects that each made
itself, and with objects that both share. Printed are times one thread's throughput, and what one
thread takes of its time with a lock, the Python loop's own ratio taken out: on the interpreter that
``--beside`` names, or on this one with its lock on. Where there is a lock this says that it was
skipped.

On a machine that does something else, too, most rounds mean nothing. So a round is a fraction of a
millisecond, its threads are pinned and begin together, and it counts only if neither was taken
off its core meanwhile, as the kernel counts that, and they began within a tenth of it. What the
kernel of a virtual machine cannot count is what another guest does on the other half of a core,
and an empty loop was seen to take up to 1.8 times as long for seconds. So each thread also times
such a loop as a yardstick before and after its calls, and the round counts only if none of them
took over a tenth longer than the best of the case. Of those rounds the lower quartile is taken.
Processes with the lock and without take turns, until enough rounds count or 30 of each have run.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from godropbox.caching import LocalStorage
from godropbox.database import sqlbuilder as sb
from godropbox.memcache import Client
from godropbox.memcache.testing import MockClient
from godropbox.resource_pool import PoolOptions, SimpleResourcePool

__all__ = ["main"]

SECONDS = 0.0003  # of a round of one thread
YARD = 1500  # turns of the yardstick, some 30 us
ENOUGH = 200  # undisturbed rounds of each kind
TRIES = 3, 30  # processes of each kind: at least, and at most
OWN, SHARED, ONE = 1.8, 1.6, 1.25  # the targets

Loop = Callable[[int], None]
"""Makes a call so many times."""


def _table() -> sb.Table:
    names = ("ns_id", "sjid", "a", "b")
    return sb.Table("t", *(sb.IntColumn(name) for name in names))


def sql_text() -> Loop:
    t = _table()
    query = t.select(t.c.ns_id, t.c.sjid, t.c.a).where((t.c.ns_id == 456) & t.c.sjid.in_([1, 2]))

    def loop(calls: int) -> None:
        sql = query.sql
        for _ in range(calls):
            sql("db")

    return loop


def prepared_fill() -> Loop:
    t = _table()
    where = (t.c.ns_id == sb.slot("ns_id", int)) & t.c.sjid.in_([1, 2])
    prepared = t.select(t.c.ns_id, t.c.sjid, t.c.a).where(where).prepare("db")

    def loop(calls: int) -> None:
        sql, number = prepared.sql, 400 + threading.get_native_id() % 100  # a value of the thread
        for _ in range(calls):
            sql(ns_id=number)

    return loop


def pool_get_and_release() -> Loop:
    pool = SimpleResourcePool(PoolOptions(open=lambda _: object()))
    for loan in (pool.get(), pool.get()):
        loan.release()

    def loop(calls: int) -> None:
        get = pool.get
        for _ in range(calls):
            get().release()

    return loop


def local_storage_hit() -> Loop:
    storage = LocalStorage(1000)
    for number in range(100):
        storage.set(f"key{number}", number)

    def loop(calls: int) -> None:
        get, key = storage.get, f"key{threading.get_native_id() * 37 % 100}"
        for _ in range(calls):
            get(key)

    return loop


def client_get_over_a_mock() -> Loop:
    client = Client.over(MockClient())
    for number in range(100):
        client.set(f"key{number}", f"value{number}".encode())

    def loop(calls: int) -> None:
        get, key = client.get, f"key{threading.get_native_id() * 37 % 100}"
        for _ in range(calls):
            get(key)

    return loop


def nothing() -> Loop:
    """Return the loop alone."""

    def loop(calls: int) -> None:
        call, empty = len, ()
        for _ in range(calls):
            call(empty)

    return loop


CASES: dict[str, Callable[[], Loop]] = {
    "SQL text of a built query": sql_text,
    "prepared fill": prepared_fill,
    "pool: get and release": pool_get_and_release,
    "LocalStorage: hit": local_storage_hit,
    "Client.get over a mock": client_get_over_a_mock,
}


def switches() -> tuple[int, int]:
    """Return how often this thread was taken off its core, and how often it waited."""
    used = resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF))
    return used.ru_nivcsw, used.ru_nvcsw


def yardstick() -> None:
    """Spend a fixed amount of computing, which shares nothing with another thread."""
    call, empty = len, ()
    for _ in range(YARD):
        call(empty)


class Round(NamedTuple):
    """What one round took."""

    seconds: float  # a call
    yard: float  # seconds, the slowest yardstick of its threads


def rounds(makers: Sequence[Callable[[], Loop]], calls: int, count: int) -> list[Round]:
    """Return the rounds, of a thread a maker, that the kernel did not disturb among `count`."""
    ready = [0] * len(makers)
    laps: list[list[tuple[float, float, float, bool]]] = [[] for _ in makers]
    cores = sorted(os.sched_getaffinity(0))

    def work(at: int) -> None:
        os.sched_setaffinity(0, {cores[at]})  # of this thread alone
        loop = makers[at]()
        loop(100)
        for number in range(1, count + 1):
            time.sleep(0.0002)  # who slept is not taken off the core at once
            ready[at] = number
            while min(ready) < number:
                pass
            before = switches()
            first = time.perf_counter()
            yardstick()
            begun = time.perf_counter()
            loop(calls)
            ended = time.perf_counter()
            yardstick()
            yard = max(begun - first, time.perf_counter() - ended)
            laps[at].append((begun, ended, yard, switches() == before))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(makers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = []
    for each in zip(*laps, strict=True):
        begun = [lap[0] for lap in each]
        seconds = max(lap[1] for lap in each) - min(begun)
        if all(lap[3] for lap in each) and max(begun) - min(begun) < seconds / 10:
            found.append(Round(seconds / calls, max(lap[2] for lap in each)))
    return found


def measured(make: Callable[[], Loop]) -> dict[str, list[Round]]:
    """Return rounds of one thread and of two, with own objects and with shared."""
    loop = make()
    calls = max(int(SECONDS / min(each.seconds for each in rounds([lambda: loop], 50, 50))), 20)
    kinds: dict[str, list[Callable[[], Loop]]] = {"shared one": [lambda: loop]}
    if has_no_lock():
        kinds |= {
            "own one": [make],
            "own two": [make, make],
            "shared two": [lambda: loop, lambda: loop],
        }
    found: dict[str, list[Round]] = {kind: [] for kind in kinds}
    for _ in range(ENOUGH // 50):
        for kind, makers in kinds.items():
            found[kind] += rounds(makers, calls, 50)
    return found


def has_no_lock() -> bool:
    """Return whether threads run side by side."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def measured_apart(name: str, python: str, lock: str) -> dict[str, list[Round]]:
    """Return what a process of `python` measures of a case, with the lock "1" or "0"."""
    command = [python, "-P", __file__, "--case", name]
    environment = {**os.environ, "PYTHON_GIL": lock}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, list[list[float]]] = json.loads(done.stdout)
    return {kind: [Round(*each) for each in laps] for kind, laps in found.items()}


class Rounds:
    """The rounds of one case, without the lock or with it."""

    def __init__(self) -> None:
        self._found: dict[str, list[Round]] = {}

    def add(self, found: dict[str, list[Round]]) -> None:
        for kind, laps in found.items():
            self._found.setdefault(kind, []).extend(laps)

    def undisturbed(self, kind: str) -> list[float]:
        """Return the seconds a call of the rounds whose yardsticks were as short as the best."""
        yards = sorted(each.yard for laps in self._found.values() for each in laps)
        most = 1.1 * yards[len(yards) // 100]
        return [each.seconds for each in self._found.get(kind, ()) if each.yard <= most]

    def are_enough(self) -> bool:
        return all(len(self.undisturbed(kind)) >= ENOUGH for kind in self._found)

    def best(self, kind: str) -> float | None:
        """Return the lower quartile of the seconds a call; None if too few rounds count."""
        found = self.undisturbed(kind)
        return quantiles(found)[0] if len(found) >= ENOUGH // 10 else None


def compared(name: str, python: str) -> tuple[Rounds, Rounds]:
    """Return the rounds of a case, without the lock and with it, the latter on `python`."""
    found = Rounds(), Rounds()
    least, most = TRIES
    for number in range(most):
        if number >= least and all(each.are_enough() for each in found):
            break
        found[0].add(measured_apart(name, sys.executable, "0"))
        found[1].add(measured_apart(name, python, "1"))
    return found


def _times(found: Rounds, whose: str, least: float) -> str:
    one, two = found.best(f"{whose} one"), found.best(f"{whose} two")
    if one is None or two is None:
        return "too disturbed"
    times = 2 * one / two
    return f"{times:.2f}x" + ("" if times >= least else f", missed {least}")


def _ratio(pair: tuple[Rounds, Rounds]) -> float | None:
    free, locked = (each.best("shared one") for each in pair)
    return None if free is None or locked is None else free / locked


def main() -> None:
    """Print the table."""
    if "--case" in sys.argv:
        name = sys.argv[sys.argv.index("--case") + 1]
        print(json.dumps(measured(CASES[name] if name else nothing)))
        return
    if not has_no_lock():
        print("two threads: skipped, this interpreter has its lock on: --threads python3.14t")
        return
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        print("two threads: skipped, they need two cores that they can be pinned to")
        return
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    pair = compared("", python)
    loop = _ratio(pair)
    said = "too disturbed" if loop is None else f"{loop:.2f} times its time with the lock"
    twice = _times(pair[0], "own", OWN)
    print(f"the Python loop itself: {said}; two threads of it: {twice}\n")
    print("| call | one thread | with the lock = 1 | two, own objects | two, shared |")
    print("| --- | --- | --- | --- | --- |")
    for name in CASES:
        pair = compared(name, python)
        verdict, one, ratio = "too disturbed", pair[0].best("shared one"), _ratio(pair)
        if ratio is not None and loop is not None:
            verdict = f"{ratio / loop:.2f}" + ("" if ratio / loop <= ONE else f", missed {ONE}")
        own, shared = _times(pair[0], "own", OWN), _times(pair[0], "shared", SHARED)
        spent = "too disturbed" if one is None else f"{one * 1e9:.0f} ns"
        print(f"| {name} | {spent} | {verdict} | {own} | {shared} |", flush=True)


if __name__ == "__main__":
    main()
