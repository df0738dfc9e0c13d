"""How two threads scale without an interpreter lock: ``python -P bench/threads.py``.

A row is a call in a loop, by one thread and by two on a core each: with objects that each made
itself, and with objects that both share. Printed are times one thread's throughput, and one
thread's time with the lock on, of the Python loop's own taken out. Where there is a lock this says
that it was skipped.

Other programs on the machine make single rounds meaningless: a round is a few milliseconds, its
threads are pinned, the kinds of rounds take turns, and the best of each kind counts.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from godropbox.caching import LocalStorage
from godropbox.database import sqlbuilder as sb
from godropbox.memcache import Client
from godropbox.memcache.testing import MockClient
from godropbox.resource_pool import PoolOptions, SimpleResourcePool

__all__ = ["main"]

ROUNDS = int(os.environ.get("GODROPBOX_ROUNDS", "150"))
SECONDS = 0.004  # of a round of one thread

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
        sql = prepared.sql
        for _ in range(calls):
            sql(ns_id=456)

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
    client.set("key", b"value")

    def loop(calls: int) -> None:
        get = client.get
        for _ in range(calls):
            get("key")

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


def seconds_of(calls: int, makers: Sequence[Callable[[], Loop]]) -> float:
    """Return how long threads take, one a maker, from when the first begins to when all end."""
    barrier = threading.Barrier(len(makers))
    begun: list[float] = []
    ended: list[float] = []
    cores = sorted(os.sched_getaffinity(0))

    def work(at: int) -> None:
        os.sched_setaffinity(0, {cores[at]})  # of this thread alone
        loop = makers[at]()
        loop(1)
        barrier.wait()
        begun.append(time.perf_counter())
        loop(calls)
        ended.append(time.perf_counter())

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(makers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(ended) - min(begun)


def measured(make: Callable[[], Loop]) -> dict[str, float]:
    """Return the best seconds a call: of one thread and two, with own objects and with shared."""
    loop = make()
    calls = max(int(SECONDS / min(seconds_of(200, [lambda: loop]) for _ in range(5)) * 200), 50)
    kinds: dict[str, list[Callable[[], Loop]]] = {
        "own one": [make],
        "own two": [make, make],
        "shared one": [lambda: loop],
        "shared two": [lambda: loop, lambda: loop],
    }
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(ROUNDS):
        for kind, makers in kinds.items():
            best[kind] = min(best[kind], seconds_of(calls, makers) / calls)
    return best


def measured_all() -> dict[str, dict[str, float]]:
    """Return the same of each case, and of the loop alone under no name."""
    found = {name: measured(make) for name, make in CASES.items()}
    return found | {"": measured(nothing)}


def with_the_lock() -> dict[str, dict[str, float]]:
    """Return what an interpreter like this one measures with its lock on."""
    command = [sys.executable, "-P", __file__, "--json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON_GIL": "1"}, check=True, capture_output=True
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    if "--json" in sys.argv:
        print(json.dumps(measured_all()))
        return
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        print("skipped: this interpreter has its lock on; use a free-threaded one, PYTHON_GIL=0")
        return
    if len(os.sched_getaffinity(0)) < 2:
        print("skipped: two threads need two cores")
        return
    free, locked = measured_all(), with_the_lock()
    loop = free[""]["shared one"] / locked[""]["shared one"]
    print(f"the Python loop itself: {loop:.2f} times its time with the lock\n")
    print("| call | one thread | with the lock = 1 | two, own objects | two, shared |")
    print("| --- | --- | --- | --- | --- |")
    for name in CASES:
        row = free[name]
        ratio = row["shared one"] / locked[name]["shared one"] / loop
        own, shared = (2 * row[f"{kind} one"] / row[f"{kind} two"] for kind in ("own", "shared"))
        nanoseconds = row["shared one"] * 1e9
        print(f"| {name} | {nanoseconds:.0f} ns | {ratio:.2f} | {own:.2f}x | {shared:.2f}x |")


if __name__ == "__main__":
    main()
