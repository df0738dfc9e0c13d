"""Prints how much memory a shard takes: ``python -P bench/fleet_memory.py``.

A fleet of 1,000 shards is made, then a batch of 10,000 keys is set and got over all of it. What
counts is how much resident memory grows, a shard's part of it: `idle`, before any connection is
made, and `used`, with a connection to each. All shards are one memcached, at 1,000 addresses of
loopback. What the kernel buffers does not count. Each row is a process of its own, and only Linux
tells its memory, and has so many addresses of loopback.
"""

import argparse
import asyncio
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.cases_scale import items_of
from bench.in_flight import resident
from bench.memcached import running
from bench.model import MissingError
from bench.ours import PURE, load

SHARDS = 1_000
KEYS = 10_000
FILES = SHARDS + 200
ROWS = ("Client", "Client, pure", "AsyncClient", "AsyncClient, pure")


def hosts() -> list[str]:
    """Return as many addresses of loopback as there are shards."""
    return [f"127.0.{at // 250 + 1}.{at % 250 + 1}" for at in range(SHARDS)]


def addresses(port: int) -> list[str]:
    """Return the shards."""
    return [f"{host}:{port}" for host in hosts()]


def check(found: Any, items: dict[str, bytes]) -> None:
    """Raise unless every key has its value, at whichever shard."""
    if found != items:
        raise AssertionError("a key has another value than was stored")


def threads(port: int, implementation: str) -> tuple[int, int]:
    """Return the bytes by which a fleet grew the process, idle and used, for threads."""
    memcache = load("memcache", implementation)
    items = items_of(KEYS)
    memcache.Client(["127.0.0.1:1"]).close()  # what a first client loads is no shard's
    before = resident()
    client = memcache.Client(addresses(port), timeout=60, connect_timeout=60)
    idle = resident() - before
    client.set_many(items)
    check(client.get_many(list(items)), items)
    used = resident() - before
    client.close()
    return idle, used


def tasks(port: int, implementation: str) -> tuple[int, int]:
    """Return the same for asyncio."""
    memcache = load("memcache.aio", implementation)
    items = items_of(KEYS)

    async def main() -> tuple[int, int]:
        await memcache.AsyncClient(["127.0.0.1:1"]).close()
        before = resident()
        client = memcache.AsyncClient(addresses(port), timeout=60, connect_timeout=60)
        idle = resident() - before
        await client.set_many(items)
        check(await client.get_many(list(items)), items)
        used = resident() - before
        await client.close()
        return idle, used

    return asyncio.run(main())


def measured(label: str) -> tuple[float, float]:
    """Return the figures of a row, bytes a shard, taken in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--row", label],
        env={**os.environ, **(PURE if label.endswith("pure") else {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise MissingError(done.stdout.strip() or f"status {done.returncode}")
    idle, used = map(float, done.stdout.split())
    return idle, used


def here(label: str) -> None:
    """Print a row's figures, taken in this process."""
    implementation = "pure" if label.endswith("pure") else "native"
    row: Callable[[int, str], tuple[int, int]] = threads if label.startswith("Client") else tasks
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    # Each of them listens and is connected to.
    with running(("-l", ",".join(hosts()), "-c", str(3 * FILES))) as (address, _):
        gc.disable()  # resident() collects by itself, and nothing else shall in between
        print(*(grown / SHARDS for grown in row(address[1], implementation)))


def main() -> None:
    """Print a line for each row; with ``--row``, the figures of one that runs in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", choices=ROWS, help="only this one, here, in bytes")
    given = parser.parse_args()
    if given.row is not None:
        try:
            here(given.row)
        except (ImportError, MissingError) as error:
            print(f"missing: {error}")
            sys.exit(1)
        return
    for label in ROWS:
        try:
            idle, used = measured(label)
        except MissingError as error:
            print(f"{label}: {error}")
            continue
        print(f"{label}: {idle:,.0f} bytes a shard idle, {used:,.0f} used, with a connection")


if __name__ == "__main__":
    main()
