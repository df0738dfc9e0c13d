"""How two threads scale without an interpreter lock: ``bench/run --threads PYTHON``.

A row is a call in a loop, by one thread and by two on a core each: with objects that each made
itself, and with objects that both share. Printed are times one thread's throughput, and one
thread's time with the lock on, of the Python loop's own taken out. Where there is a lock this says
that it was skipped.

On a machine that does something else, too, most rounds mean nothing. So a round is a fraction of a
millisecond, its threads are pinned and begin together, and it counts only if neither was taken
off its core meanwhile, as the kernel counts that, and they began within a tenth of it. Of those
the lower quartile is taken. Processes with the lock and without take turns.
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

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from godropbox.caching import LocalStorage
from godropbox.database import sqlbuilder as sb
from godropbox.memcache import Client
from godropbox.memcache.testing import MockClient
from godropbox.resource_pool import PoolOptions, SimpleResourcePool

__all__ = ["main"]

SECONDS = 0.0003  # of a round of one thread
ENOUGH = 100  # undisturbed rounds
PATIENCE = 20.0  # seconds, for one kind of rounds
TRIES = 3  # processes of each kind
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


def rounds(makers: Sequence[Callable[[], Loop]], calls: int, count: int) -> list[float]:
    """Return the seconds a call of the undisturbed among `count` rounds, of a thread a maker."""
    ready = [0] * len(makers)
    laps: list[list[tuple[float, float, bool]]] = [[] for _ in makers]
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
            begun = time.perf_counter()
            loop(calls)
            ended = time.perf_counter()
            laps[at].append((begun, ended, switches() == before))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(makers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = []
    for each in zip(*laps, strict=True):
        begun = [lap[0] for lap in each]
        seconds = max(lap[1] for lap in each) - min(begun)
        if all(lap[2] for lap in each) and max(begun) - min(begun) < seconds / 10:
            found.append(seconds / calls)
    return found


def measured(make: Callable[[], Loop]) -> dict[str, float]:
    """Return the seconds a call: of one thread and two, with own objects and with shared."""
    loop = make()
    calls = max(int(SECONDS / min(rounds([lambda: loop], 50, 50))), 20)
    kinds: dict[str, list[Callable[[], Loop]]] = {"shared one": [lambda: loop]}
    if has_no_lock():
        kinds |= {
            "own one": [make],
            "own two": [make, make],
            "shared two": [lambda: loop, lambda: loop],
        }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    begun = time.monotonic()
    while min(map(len, found.values())) < ENOUGH:
        if time.monotonic() - begun > PATIENCE * len(kinds):
            break
        for kind, makers in kinds.items():
            if len(found[kind]) < ENOUGH:
                found[kind] += rounds(makers, calls, 50)
    return {k: quantiles(each)[0] for k, each in found.items() if len(each) > ENOUGH / 10}


def has_no_lock() -> bool:
    """Return whether threads run side by side."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def best_of(name: str, lock: str) -> dict[str, float]:
    """Return what a new process like this one measures of a case, with the lock "1" or "0"."""
    command = [sys.executable, "-P", __file__, "--case", name]
    environment = {**os.environ, "PYTHON_GIL": lock}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(name: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the best of each figure of a case, without the lock and with it."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for _ in range(TRIES):
        for best, lock in zip(found, "01", strict=True):
            for kind, seconds in best_of(name, lock).items():
                best[kind] = min(best.get(kind, seconds), seconds)
    return found


def _times(found: dict[str, float], whose: str, least: float) -> str:
    one, two = found.get(f"{whose} one"), found.get(f"{whose} two")
    if one is None or two is None:
        return "too disturbed"
    times = 2 * one / two
    return f"{times:.2f}x" + ("" if times >= least else f", missed {least}")


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
    free, locked = compared("")
    loop = free["shared one"] / locked["shared one"]
    print(f"the Python loop itself: {loop:.2f} times its time with the lock\n")
    print("| call | one thread | with the lock = 1 | two, own objects | two, shared |")
    print("| --- | --- | --- | --- | --- |")
    for name in CASES:
        free, locked = compared(name)
        ratio = free["shared one"] / locked["shared one"] / loop
        verdict = f"{ratio:.2f}" + ("" if ratio <= ONE else f", missed {ONE}")
        own, shared = _times(free, "own", OWN), _times(free, "shared", SHARED)
        nanoseconds = free["shared one"] * 1e9
        print(f"| {name} | {nanoseconds:.0f} ns | {verdict} | {own} | {shared} |", flush=True)


if __name__ == "__main__":
    main()
