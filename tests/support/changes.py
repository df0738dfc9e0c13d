"""A fleet under change and under load: what is changed, who reads and writes, and what is wrong.

Servers come, go, change their state, and move to other addresses, while threads or tasks use one
client. Values are judged as they come. Each key has one writer, which writes and reads it in turn;
a value holds its key and a number that grows with each write. A value is wrong if

- it is another key's, or nobody wrote it yet: its number is above the writer's last; or
- it is not that of the writer's last acknowledged write or delete, on a fleet that did not change
  in between: the manager's snapshot before the write began is the one after the read ended. A miss
  is wrong then as well, as nothing is evicted.

Between two snapshots a cache may answer with what a server has kept since the key was last placed
there; that is no fault of a client, and is not counted. A server is flushed before it joins, so
that what it held in an earlier life is not taken for new.
"""

import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from godropbox.memcache import RawAsciiClient, ShardState, connect
from godropbox.memcache.fleet.manager import ShardStatus
from support.memcached import running

__all__ = [
    "PATIENT",
    "Book",
    "Operator",
    "Writer",
    "connections_to",
    "open_files",
    "run_tasks",
    "run_threads",
    "some_servers",
]

SMALL = ("-m", "32", "-t", "1")
KEYS = 20  # of a writer
PATIENT = 20.0  # seconds: a machine that is busy makes no error
STATES = (ShardState.WRITE_ONLY, ShardState.DOWN, ShardState.WARM_UP)


@contextmanager
def some_servers(folder: Path, count: int) -> Iterator[list[str]]:
    """Run memcacheds; give their addresses."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", folder, extra=SMALL)).address for _ in range(count)
        ]


def connections_to(address: str) -> int:
    """Return how many TCP connections there are to an address of 127.0.0.1, of any process."""
    port = f"{int(address.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    return sum(row[2] == f"0100007F:{port}" and row[3] == "01" for row in rows)


def open_files() -> int:
    """Return how many file descriptors this process has, but for those of what is garbage."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@dataclass
class Operator:
    """Draws changes of a fleet from a seed; `apply` puts one in force.

    `fleet` maps names to addresses and states. The addresses that no name has are spare. `current`
    returns a manager's snapshot, which may be what was applied only later.
    """

    addresses: list[str]
    apply: Callable[[list[ShardStatus]], object]
    current: Callable[[], Any]
    random: random.Random
    least: int = 3
    fleet: dict[str, tuple[str, ShardState]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _spare: list[str] = field(default_factory=list)
    _next: int = 0

    def begin(self) -> None:
        """Have all but three servers in the fleet."""
        self._spare = list(self.addresses)
        for _ in range(len(self.addresses) - 3):
            self._join()
        self.apply(self.states())

    def states(self) -> list[ShardStatus]:
        """Return the fleet as managers take it."""
        return [ShardStatus(*where, name) for name, where in self.fleet.items()]

    def is_spare(self, address: str) -> bool:
        """Whether no server of the fleet has an address."""
        return address in self._spare

    def change(self) -> None:
        """Make one change, and apply it."""
        kinds = [self._state, self._move]
        if len(self.fleet) > self.least:
            kinds.append(self._leave)
        if len(self._spare) > 1:
            kinds.append(self._join)
        self.random.choice(kinds)()
        self.apply(self.states())

    def restore(self) -> None:
        """Have every server active, as at a run's end."""
        self.fleet = {name: (at, ShardState.ACTIVE) for name, (at, _) in self.fleet.items()}
        self.apply(self.states())

    def _free(self) -> str:
        """Take a spare address, whose server forgets what it held."""
        address = self._spare.pop(0)  # the one that has been spare for longest
        until = time.monotonic() + PATIENT
        while any(shard.address == address for shard in self.current().shards):
            assert time.monotonic() < until, "a server that left is still in the fleet"
            time.sleep(0.005)
        with RawAsciiClient(connect(address, timeout=10.0)) as client:
            assert client.flush().ok
        return address

    def _join(self) -> None:
        self._next += 1
        self.fleet[f"cache-{self._next}"] = self._free(), ShardState.ACTIVE
        self.counts["joined"] += 1

    def _leave(self) -> None:
        address, _ = self.fleet.pop(self.random.choice(list(self.fleet)))
        self._spare.append(address)
        self.counts["left"] += 1

    def _move(self) -> None:
        name = self.random.choice(list(self.fleet))
        old, state = self.fleet[name]
        self.fleet[name] = self._free(), state
        self._spare.append(old)
        self.counts["moved"] += 1

    def _state(self) -> None:
        name = self.random.choice(list(self.fleet))
        address, state = self.fleet[name]
        others = STATES if state is ShardState.ACTIVE else (ShardState.ACTIVE,)
        self.fleet[name] = address, self.random.choice(others)
        self.counts["changed state"] += 1


@dataclass
class Book:
    """What all writers did, and the first of what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, counts: Counter[str], wrong: list[str], errors: list[str]) -> None:
        """Take over what one writer did."""
        with self.lock:
            self.counts += counts
            self.wrong += wrong
            self.errors += errors

    def __str__(self) -> str:
        shown = ", ".join(f"{number} {name}" for name, number in sorted(self.counts.items()))
        return "\n".join([shown, *self.wrong[:5], *self.errors[:5]])


class Writer:
    """One thread or task, and its keys. `fleet` returns the manager's snapshot.

    The steps are coroutines, so that a blocking client and an asyncio one are judged alike: `call`
    is how a method of the client is called.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        client: Any,
        fleet: Callable[[], Any],
        call: Callable[..., Awaitable[Any]],
    ) -> None:
        self._random = random.Random(f"{seed} {number}")
        self._keys = [f"writer-{number}:key-{at}" for at in range(KEYS)]
        self._client = client
        self._fleet = fleet
        self._call = call
        self._number = 0
        # By key: the snapshot before the last acknowledged write, and what it left there.
        self._acknowledged: dict[str, tuple[Any, str | None]] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.errors: list[str] = []

    async def step(self) -> None:
        """Do one thing: a read or a write, of one key or of many."""
        key, some = self._random.choice(self._keys), self._random.sample(self._keys, 8)
        does = self._random.choices(
            (self._get, self._get_many, self._set, self._set_many, self._delete), (6, 3, 4, 2, 1)
        )[0]
        try:
            await does(key, some)
        except Exception as error:
            self.errors.append(f"{does.__name__}: {type(error).__name__}: {error}")
            self._acknowledged.pop(key, None)
            for each in some:
                self._acknowledged.pop(each, None)

    def _new(self, key: str) -> str:
        self._number += 1
        return f"{key} {self._number}"

    async def _set(self, key: str, _: list[str]) -> None:
        before, value = self._fleet(), self._new(key)
        self._acknowledged.pop(key, None)
        if await self._call(self._client.set, key, value):
            self._acknowledged[key] = before, value
            self.counts["writes"] += 1
        else:
            self.counts["writes skipped"] += 1

    async def _set_many(self, _: str, some: list[str]) -> None:
        before, values = self._fleet(), {key: self._new(key) for key in some}
        for key in some:
            self._acknowledged.pop(key, None)
        failed = await self._call(self._client.set_many, values)
        for key, error in failed.errors.items():
            if error is not None:
                self.errors.append(f"_set_many: {key}: {error}")
        for key, value in values.items():
            if key not in failed:
                self._acknowledged[key] = before, value
        self.counts["writes"] += len(values) - len(failed)
        self.counts["writes skipped"] += len(failed)

    async def _delete(self, key: str, _: list[str]) -> None:
        before = self._fleet()
        self._acknowledged.pop(key, None)
        if await self._call(self._client.delete, key):
            self._acknowledged[key] = before, None
        self.counts["deletes"] += 1

    async def _get(self, key: str, _: list[str]) -> None:
        value = await self._call(self._client.get, key)
        self._judge([key], {} if value is None else {key: value})

    async def _get_many(self, _: str, some: list[str]) -> None:
        self._judge(some, await self._call(self._client.get_many, some))

    def _judge(self, keys: list[str], found: dict[str, str]) -> None:
        after = self._fleet()
        self.counts["reads"] += len(keys)
        for key in found.keys() - set(keys):
            self.wrong.append(f"{key} was not asked for")
        for key in keys:
            value = found.get(key)
            if value is not None:
                name, _, number = str(value).rpartition(" ")
                if name != key or not number.isdigit() or int(number) > self._number:
                    self.wrong.append(f"{key}: {value!r}, which nobody has written there")
                    continue
            self.counts["misses" if value is None else "hits"] += 1
            before, last = self._acknowledged.get(key, (None, None))
            if before is not after:
                continue
            self.counts["reads held to the last write"] += 1
            if value != last:
                self.wrong.append(f"{key}: {value!r} after {last!r}, on {after!r}")


def run_threads(
    seconds: float, client: Any, fleet: Callable[[], Any], change: Callable[[], object], seed: int
) -> Book:
    """Have eight threads use a client while the fleet changes ten times a second."""
    book = Book()

    async def call(method: Callable[..., Any], *arguments: Any) -> Any:
        return method(*arguments)

    def work(number: int) -> None:
        writer = Writer(number, seed, client, fleet, call)
        while not book.over.is_set():
            done = writer.step()
            try:
                done.send(None)
            except StopIteration:
                continue
            raise AssertionError("a blocking call waits for a loop")
        book.add(writer.counts, writer.wrong, writer.errors)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        began = time.monotonic()
        for turn in range(1, int(10 * seconds) + 1):
            book.over.wait(max(0.0, began + turn / 10 - time.monotonic()))
            change()
        book.counts["seconds"] = round(time.monotonic() - began)
    finally:
        book.over.set()
        for thread in threads:
            thread.join(60)
    return book


async def run_tasks(
    seconds: float, client: Any, fleet: Callable[[], Any], change: Callable[[], object], seed: int
) -> Book:
    """Have sixteen tasks use a client while the fleet changes ten times a second."""
    book = Book()

    async def call(method: Callable[..., Any], *arguments: Any) -> Any:
        return await method(*arguments)

    async def work(number: int) -> None:
        writer = Writer(number, seed, client, fleet, call)
        while not book.over.is_set():
            await writer.step()
        book.add(writer.counts, writer.wrong, writer.errors)

    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(work(number))
        try:
            began = time.monotonic()
            for turn in range(1, int(10 * seconds) + 1):
                await asyncio.sleep(max(0.0, began + turn / 10 - time.monotonic()))
                change()
            book.counts["seconds"] = round(time.monotonic() - began)
        finally:
            book.over.set()
    return book
