"""Values in parts among servers and writers that are killed: one whole version, or none.

``GODROPBOX_PARTS_KILLS`` says how many, 6 if it is not set; ``pytest -s`` shows the report.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from support.memcached import Server, running
from support.parts_writer import KEYS, PART, is_whole

import godropbox
from godropbox.memcache import (
    Client,
    NetworkError,
    NotSupportedError,
    PartialResultError,
    ServerError,
)
from godropbox.memcache.aio import AsyncClient

KILLS = int(os.environ.get("GODROPBOX_PARTS_KILLS", "6"))
SERVERS, WRITERS = 3, 3
SMALL = ("-m", "10")  # megabytes, so that values are evicted
# A server that dies when it is asked for its dialect looks like one that knows no meta.
FAILURES = (NetworkError, ServerError, NotSupportedError)
WAIT = 60.0  # seconds for some values to be seen


class Judge:
    """What the readers saw, and a count of the values that others wait for."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.torn: list[str] = []
        self.over = False
        self._done = threading.Condition()
        self._seen = 0

    def see(self, asked: int, values: Iterable[Any], errors: int = 0) -> None:
        with self._done:
            found = 0
            for value in values:
                found += 1
                self.counts["in parts" if len(value) > PART else "small"] += 1
                if not is_whole(value):
                    self.torn.append(f"{len(value)} bytes, {value[:8]!r} to {value[-8:]!r}")
            self.counts["misses"] += asked - found - errors
            self.counts["errors"] += errors
            self._seen += found
            self._done.notify_all()

    def wait(self, values: int) -> None:
        """Wait until the readers have seen so many more values."""
        with self._done:
            until = self._seen + values
            assert self._done.wait_for(lambda: self._seen >= until, WAIT), "the readers hang"


def read_on(judge: Judge, addresses: list[str]) -> None:
    """Read over and over, in every way."""
    chance = random.Random(1)
    with Client(addresses, timeout=2.0) as client:
        while not judge.over:
            some = chance.sample(KEYS, 5)
            try:
                match chance.randrange(4):
                    case 0:
                        value = client.get(some[0])
                        judge.see(1, [] if value is None else [value])
                    case 1:
                        judge.see(5, [value for value, _ in client.gets_many(some).values()])
                    case 2:
                        judge.see(5, client.gat_many(some, 50).values())
                    case _:
                        judge.see(5, client.get_many(some).values())
            except PartialResultError as error:
                judge.see(5, _values(error.found), len(error.errors))
            except FAILURES:
                judge.see(1, [], 1)


async def read_on_in_a_loop(judge: Judge, addresses: list[str]) -> None:
    """Read over and over, with several tasks."""

    async def read(seed: int) -> None:
        chance = random.Random(seed)
        while not judge.over:
            some = chance.sample(KEYS, 5)
            try:
                judge.see(5, (await client.get_many(some)).values())
                value = await client.gat(some[0], 50)
                judge.see(1, [] if value is None else [value])
            except PartialResultError as error:
                judge.see(5, _values(error.found), len(error.errors))
            except FAILURES:
                judge.see(1, [], 1)

    async with AsyncClient(addresses, timeout=2.0) as client:
        await asyncio.gather(*map(read, range(3)))


def _values(found: Any) -> list[Any]:
    return [value[0] if type(value) is tuple else value for value in found.values()]


class Mishaps:
    """Servers and writers, which are killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._folder = folder
        self._stacks = [contextlib.ExitStack() for _ in range(SERVERS)]
        self._servers: list[Server] = [self._start(at, 0) for at in range(SERVERS)]
        self._writers = [self._write(seed) for seed in range(WRITERS)]

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self._servers]

    def _start(self, at: int, port: int) -> Server:
        return self._stacks[at].enter_context(running("tcp", self._folder, port, extra=SMALL))

    def _write(self, seed: int) -> "subprocess.Popen[bytes]":
        here = Path(godropbox.__file__).parent.parent
        path = os.pathsep.join([str(here), str(Path(__file__).parent.parent)])
        command = [sys.executable, "-m", "support.parts_writer", str(seed + 1), *self.addresses]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})

    def kill_server(self, at: int) -> None:
        self.counts["evictions"] += self.evictions(at)
        port = int(self._servers[at].address.rpartition(":")[2])
        self._stacks[at].close()  # by SIGKILL
        self._servers[at] = self._start(at, port)
        self.counts["servers"] += 1

    def evictions(self, at: int) -> int:
        """Return how many values a server has evicted."""
        with Client(self._servers[at].address, failures="miss") as client:
            return sum(int(each["evictions"]) for each in client.stats().values())

    def kill_writer(self, at: int, seed: int) -> None:
        assert self._writers[at].poll() is None, "a writer ended by itself"
        self._writers[at].kill()
        self._writers[at].wait()
        self._writers[at] = self._write(seed)
        self.counts["writers"] += 1

    def close(self) -> None:
        for writer in self._writers:
            writer.kill()
            writer.wait()
        for stack in self._stacks:
            stack.close()


@contextlib.contextmanager
def reading(judge: Judge, addresses: list[str]) -> Iterator[None]:
    threads = [
        threading.Thread(target=read_on, args=(judge, addresses)),
        threading.Thread(target=lambda: asyncio.run(read_on_in_a_loop(judge, addresses))),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        judge.over = True
        for thread in threads:
            thread.join()


def test_a_reader_sees_one_whole_version_or_none(tmp_path: Path) -> None:
    judge, chance = Judge(), random.Random(KILLS)
    with contextlib.closing(Mishaps(tmp_path)) as mishaps:
        with reading(judge, mishaps.addresses):
            judge.wait(100)
            for kill in range(KILLS):
                judge.wait(chance.randrange(1, 60))
                if kill % 2:
                    mishaps.kill_server(chance.randrange(SERVERS))
                else:
                    mishaps.kill_writer(chance.randrange(WRITERS), WRITERS + kill)
            judge.wait(100)
            until = time.monotonic() + WAIT
            while not any(map(mishaps.evictions, range(SERVERS))) and time.monotonic() < until:
                judge.wait(100)
        for at in range(SERVERS):
            mishaps.kill_server(at)
    print(f"\n{dict(mishaps.counts)} {dict(judge.counts)}")
    assert judge.torn == []
    # And there was something to judge.
    assert judge.counts["in parts"] > KILLS
    assert judge.counts["misses"] > KILLS
    assert mishaps.counts["evictions"] > 0
    assert mishaps.counts["writers"] + mishaps.counts["servers"] >= KILLS
