"""Prints how much memory a request in flight takes: ``python -P bench/in_flight.py``.

100,000 tasks each get a key over one connection, on asyncio's own loop, while memcached is stopped
and answers none. What counts is how much resident memory grows from before the tasks to where all
wait: a request's part of it, with its caller and without. The caller is the task and its coroutine,
which is measured with tasks that wait for futures made before. What the kernel buffers does not
count. memcached then goes on, and every task must get its value. Each row is a process of its own,
and only Linux tells its memory.
"""

import argparse
import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.clients_asyncio import FLOOR, OURS, Face, floor, ours
from bench.memcached import Plain, running
from bench.model import MissingError
from bench.ours import PURE

COUNT = 100_000
LIMIT = 1536
CALLER = "the caller"
ITEMS = {f"in-flight:{at:04}": f"{at} ".encode().ljust(100, b".") for at in range(1000)}
ROOM: dict[str, Any] = {"max_in_flight": COUNT, "max_in_flight_bytes": 1 << 30}

Open = Callable[[str, int], Awaitable[Face]]
ROWS: dict[str, Open] = {
    FLOOR: floor,
    OURS: partial(ours, implementation="native", **ROOM),
    f"{OURS}, pure": partial(ours, implementation="pure", **ROOM),
}


def resident() -> int:
    """Return the bytes of resident memory of this process."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def caller() -> float:
    """Return the bytes that a waiting task takes."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(COUNT)]

    async def one(future: asyncio.Future[None]) -> None:
        await future

    before = resident()
    tasks = [loop.create_task(one(future)) for future in futures]
    await asyncio.sleep(0.1)
    grown = resident() - before
    for future in futures:
        future.set_result(None)
    await asyncio.gather(*tasks)
    return grown / COUNT


async def in_flight(to_face: Open) -> float:
    """Return the bytes that a get and its caller take while the server does not answer."""
    with running() as (address, server):
        plain = Plain(address)
        plain.store(ITEMS)
        plain.close()
        face = await to_face(*address)
        get = face.get
        await get(next(iter(ITEMS)))
        keys = [key for _ in range(COUNT // len(ITEMS)) for key in ITEMS]

        async def one(key: str) -> bytes:
            value: bytes = await get(key)
            return value

        os.kill(server.pid, signal.SIGSTOP)
        before = resident()
        tasks = [asyncio.create_task(one(key)) for key in keys]
        await asyncio.sleep(0.1)
        grown = resident() - before
        waited = not any(task.done() for task in tasks)
        os.kill(server.pid, signal.SIGCONT)
        values = await asyncio.gather(*tasks)
        await face.close()
    if not waited or values != [ITEMS[key] for key in keys]:
        raise AssertionError("a get did not wait, or gave another value than was stored")
    return grown / COUNT


def measured(label: str) -> float:
    """Return a row's figure, taken in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--row", label],
        env={**os.environ, **(PURE if label.endswith("pure") else {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise MissingError(done.stdout.strip() or f"status {done.returncode}")
    return float(done.stdout)


def main() -> None:
    """Print a line for each row; with ``--row``, the figure of one that runs in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", choices=[CALLER, *ROWS], help="only this one, here, in bytes")
    given = parser.parse_args()
    if given.row is not None:
        try:
            row = caller() if given.row == CALLER else in_flight(ROWS[given.row])
            print(asyncio.run(row))
        except (ImportError, MissingError) as error:
            print(f"missing: {error}")
            sys.exit(1)
        return
    alone = measured(CALLER)
    print(f"{CALLER}: {alone:,.0f} bytes")
    for label in ROWS:
        try:
            whole = measured(label)
        except MissingError as error:
            print(f"{label}: {error}")
            continue
        said = f"{label}: {whole:,.0f} bytes a request, {whole - alone:,.0f} without the caller"
        if label != FLOOR:
            said += f"; at most {LIMIT:,}: {'met' if whole <= LIMIT else 'missed'}"
        print(said)


if __name__ == "__main__":
    main()
