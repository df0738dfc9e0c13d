"""A soak under asyncio: many tasks over few connections, cancels, faults, a loop that is blocked.

Every key has one writer. A value names its key and a version, so that a read can be judged: it may
return only what was written for its key, and nothing older than what was acknowledged before the
read began. A write that may or may not have reached the server ends the life of its key's name, for
it may reach the server as late as the network likes; one of which the client says that it was not
sent must never be read.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from godropbox.memcache import (
    DeadlineExceededError,
    NetworkError,
    NotSupportedError,
    PartialResultError,
    ReplyError,
)
from godropbox.memcache.aio import AsyncClient
from support.aio import turns
from support.middle import Middle

__all__ = ["Soak", "WrongError"]

_WORKERS = 60
_SLOTS = 3  # keys of each worker
_FAULT_EVERY = 150  # operations
_BLOCK_EVERY = 2500
_TICK = 0.005  # seconds
FAILURES = (NetworkError, NotSupportedError, ReplyError, PartialResultError)


class WrongError(AssertionError):
    """A read that no order of the writes explains."""


class BoomError(Exception):
    """What a task of a group fails with."""


_LEFT = (TimeoutError, asyncio.CancelledError, BoomError)  # what a caller that leaves gets


def value_of(key: str, version: int) -> bytes:
    """Return a value that tells its key and version, and is whole if it says so."""
    size = version * 37 % 300
    if version % 41 == 0:
        size += 50_000  # received in its own memory
    return f"<{key}|{version}|".encode() + b"x" * size + b">"


class Key:
    """A key in the life of one name: the versions acknowledged, tried, and surely not sent."""

    def __init__(self, slot: str, life: int) -> None:
        self.slot = slot
        self.life = life
        self.name = f"{slot}-{life}"
        self.acknowledged = 0
        self.tried = 0
        self.unsent: set[int] = set()

    def check(self, value: Any, floor: int) -> None:
        """Raise for a value that no read can have that began when `floor` was acknowledged."""
        if value is None:
            if floor:
                raise WrongError(f"{self.name}: no value, version {floor} was acknowledged")
            return
        if b"\0" in value:
            return  # garbage of the proxy's, which no protocol can tell from a value
        name, version_text, _ = value[1:].decode().split("|")
        version = int(version_text)
        if name != self.name or value != value_of(name, version):
            raise WrongError(f"{self.name}: got {value[:80]!r}")
        if not floor <= version <= self.tried:
            raise WrongError(f"{self.name}: version {version}, {floor} was acknowledged")
        if version in self.unsent:
            raise WrongError(f"{self.name}: version {version}, which was not sent")


class Soak:
    """Operations of many tasks on `client`, which reaches its servers through `middles`, too.

    `ends` counts how operations ended; `late` is by how many seconds the slowest missed `timeout`,
    without the time by which the loop itself was late: blocked on purpose, or by a busy machine.
    """

    def __init__(
        self, client: AsyncClient, middles: list[Middle], timeout: float, seed: int
    ) -> None:
        self._random = random.Random(seed)
        self._client = client
        self._middles = middles
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._keys = [
            [Key(f"s{seed}-{worker}-{i}", 0) for i in range(_SLOTS)] for worker in range(_WORKERS)
        ]
        self._lagged = 0.0
        self._due = 0.0  # when the loop is to tick again
        self._done = 0
        self._goal = 0
        self._undo: dict[Callable[[], object], asyncio.TimerHandle] = {}
        self.ends: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.late = 0.0

    async def run(self, operations: int) -> None:
        """Run so many operations, and see that all is well in the end."""
        self._goal = self._done + operations
        self._due = time.monotonic()
        self._tick()
        async with asyncio.TaskGroup() as group:
            for worker in range(_WORKERS):
                group.create_task(self._work(worker))
        for handle in self._undo.values():
            handle.cancel()
        self._undo.clear()
        for middle in self._middles:
            middle.speak()
            middle.listen()
            middle.greeting = "forward"
            middle.start()
        await turns(5)
        for keys in self._keys:
            await self._read_at_last(keys)

    async def _read_at_last(self, keys: list[Key]) -> None:
        """Read keys; again if a busy machine let the deadline pass, for a minute at most."""
        end = time.monotonic() + 60.0
        while True:
            try:
                return await self._read(keys)
            except (DeadlineExceededError, PartialResultError) as error:
                failures = getattr(error, "errors", {"": error}).values()
                if not all(isinstance(each, DeadlineExceededError) for each in failures):
                    raise
                if time.monotonic() > end:
                    raise

    def _tick(self) -> None:
        if self._done < self._goal:
            self._lagged = self._lag()
            self._due = time.monotonic() + _TICK
            self._loop.call_later(_TICK, self._tick)

    def _lag(self) -> float:
        """Return for how many seconds the loop was late so far."""
        return self._lagged + max(time.monotonic() - self._due - _TICK, 0.0)

    async def _work(self, worker: int) -> None:
        while self._done < self._goal:
            await self._one(worker)

    # One operation, and how its caller goes about it

    async def _one(self, worker: int) -> None:
        way = self._random.random()
        try:
            if way < 0.6:
                await self._timed(worker, None)
            elif way < 0.75:
                async with asyncio.timeout(self._random.random() * 0.004):
                    await self._timed(worker, None)
            elif way < 0.9:
                await self._cancelled(worker)
            else:
                await self._together(worker)
        except BaseException as raised:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # another worker failed
                raise
            errors = raised.exceptions if isinstance(raised, BaseExceptionGroup) else [raised]
            for error in errors:
                if not isinstance(error, (*FAILURES, *_LEFT)):
                    raise
                self.ends[type(error).__name__] += 1

    async def _cancelled(self, worker: int) -> None:
        task = asyncio.create_task(self._timed(worker, None))
        if self._random.random() < 0.5:
            await turns(self._random.randrange(6))
        else:
            self._loop.call_later(self._random.random() * 0.004, task.cancel)
            await asyncio.wait([task])
        task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, BaseException):
            raise result

    async def _together(self, worker: int) -> None:
        async with asyncio.TaskGroup() as group:
            for i in range(_SLOTS):
                group.create_task(self._timed(worker, i))
            await turns(self._random.randrange(8))
            raise BoomError

    async def _timed(self, worker: int, slot: int | None) -> None:
        """Run an operation of a worker, which writes no key but that of `slot`, if there is one."""
        self._done += 1
        if self._done % _FAULT_EVERY == 0:
            self._misbehave()
        if self._done % _BLOCK_EVERY == 0:
            self._loop.call_soon(self._block)
        began, lag = time.monotonic(), self._lag()
        try:
            await self._operation(worker, slot)
        except FAILURES:
            raise
        except Exception as error:
            if isinstance(error, WrongError):
                raise
            raise WrongError(f"an error of no family: {error!r}") from error
        else:
            self.ends["answers"] += 1
        finally:
            spent = time.monotonic() - began - (self._lag() - lag)
            self.late = max(self.late, spent - self._timeout)

    def _operation(self, worker: int, slot: int | None) -> Coroutine[Any, Any, None]:
        choice = self._random.random()
        if choice < 0.3:
            at = self._random.randrange(_SLOTS) if slot is None else slot
            return self._write(worker, [at])
        if choice < 0.35 and slot is None:
            return self._write(worker, list(range(_SLOTS)))
        count = self._random.choice((1, 1, 1, 5, 20))
        return self._read(
            [self._random.choice(self._random.choice(self._keys)) for _ in range(count)]
        )

    async def _write(self, worker: int, slots: list[int]) -> None:
        keys = [self._keys[worker][slot] for slot in slots]
        values = {}
        for key in keys:
            key.tried += 1
            values[key.name] = value_of(key.name, key.tried)
        errors: Any = {}
        raised: BaseException | None = None
        try:
            if len(keys) == 1:
                [(name, value)] = values.items()
                assert await self._client.set(name, value) is True
            else:
                errors = (await self._client.set_many(values)).errors
        except BaseException as error:
            raised = error
        for slot, key in zip(slots, keys, strict=True):
            failure = raised or errors.get(key.name)
            if failure is None:
                key.acknowledged = key.tried
            elif isinstance(failure, NetworkError) and failure.fields["sent"] is False:
                key.unsent.add(key.tried)
                self.ends["unsent writes"] += 1
            else:
                self._keys[worker][slot] = Key(key.slot, key.life + 1)
        for failure in [raised, *errors.values()]:
            if failure is not None:
                raise failure

    async def _read(self, keys: list[Key]) -> None:
        floors = [key.acknowledged for key in keys]
        found: Any
        try:
            if len(keys) == 1 and self._random.random() < 0.3:
                value, token = await self._client.gets(keys[0].name)
                assert (value is None) == (token is None)
                found = {keys[0].name: value}
            elif len(keys) == 1:
                found = {keys[0].name: await self._client.get(keys[0].name)}
            else:
                found = await self._client.get_many([key.name for key in keys])
        except PartialResultError as error:
            for key, floor in zip(keys, floors, strict=True):
                if key.name not in error.errors:
                    key.check(error.found.get(key.name), floor)
            raise
        for key, floor in zip(keys, floors, strict=True):
            key.check(found.get(key.name), floor)

    # What goes wrong

    def _block(self) -> None:
        seconds = self._random.choice((0.005, 0.02, 0.5 * self._timeout, 1.5 * self._timeout))
        time.sleep(seconds)
        self.faults["block"] += 1

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        def run() -> None:
            del self._undo[run]
            undo()

        self._undo[run] = self._loop.call_later(seconds, run)

    def _misbehave(self) -> None:
        middle = self._random.choice(self._middles)
        fault = self._random.choice(
            ("eof", "reset", "half", "half", "half", "garbage", "mute", "deafen", "stop", "greet")
        )
        self.faults[fault] += 1
        seconds = self._random.choice((0.0, 0.001, 0.01, 0.03, 0.03, 1.2 * self._timeout))
        if fault in ("eof", "reset"):
            middle.cut("eof" if fault == "eof" else "reset")
        elif fault == "half":
            middle.after(self._random.randrange(3000), self._random.choice(("eof", "reset", None)))
            self._later(seconds, middle.speak)
        elif fault == "garbage":
            middle.after(0, "garbage")
        elif fault == "mute":
            middle.mute()
            self._later(seconds, middle.speak)
        elif fault == "deafen":
            middle.deafen()
            self._later(seconds, middle.listen)
        elif fault == "stop":
            middle.stop()
            self._later(seconds, middle.start)
        else:
            middle.greeting = self._random.choice(("eof", "reset", "hold"))
            middle.cut()
            self._later(seconds, lambda: setattr(middle, "greeting", "forward"))
