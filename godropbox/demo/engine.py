"""Runs the same load over both caches, and says what they and their servers do; it has no page.

Each side has a database and threads of its own, which draw the same keys in the same order. A read
is stale if it returns something older than a write that was acknowledged before it began.
`clock` and `pause` are injected; where ``start`` is not called, a test makes each ``step``.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..errors import DropboxError
from ..memcache.errors import InvalidArgumentError
from .database import Database
from .fleets import DemoFleet, kinds_of_entries
from .sides import CacheAside, Consistent, Meter, Side

__all__ = ["ACTIONS", "Engine", "Load"]

ACTIONS: Final = ("kill", "stop", "start", "add", "stampede")
_LOG: Final = 60
_CROWD: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What each side has to do.

    - `keys`: how many there are; some are far hotter than others.
    - `threads`: of each side; `pause` is the seconds between two calls of one.
    - `writes`: the part of calls that are writes, in [0, 1].
    - `read_time`: seconds that a read of the database takes, at least and at most; one in
      `slow_one_in` takes `slow_time`, as where a row is locked or a disk is busy.
    - `seed`: of the choice of keys.
    """

    keys: int = 64
    threads: int = 8
    pause: float = 0.02
    writes: float = 0.06
    read_time: tuple[float, float] = (0.002, 0.02)
    slow_one_in: int = 12
    slow_time: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        limits = ("keys", 1, 1024), ("threads", 0, 256), ("slow_one_in", 1, 10**9)
        for name, least, most in limits:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InvalidArgumentError(
                    f"{name} must be an int in [{least}, {most}], got {value!r}"
                )
        if not 0 <= self.writes <= 1:
            raise InvalidArgumentError(f"writes must be in [0, 1], got {self.writes!r}")
        if not 0 <= self.pause < 60:
            raise InvalidArgumentError(f"pause must be in [0, 60) seconds, got {self.pause!r}")


class Engine:
    """Both sides over one fleet, under one load. `fleet` is closed with the engine.

    `pause` is called with seconds to wait; what it does meanwhile is a test's business.
    """

    def __init__(
        self,
        fleet: DemoFleet,
        load: Load | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.fleet = fleet
        self.load = load or Load()
        self.clock = clock
        self._pause = pause
        self._begun = clock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._log: deque[dict[str, Any]] = deque(maxlen=_LOG)
        self._writes = 0
        self._stampedes: dict[str, Any] = {}
        self._count_of_stampedes = 0
        self.caption = ""
        self.keys = [f"user:{number}" for number in range(self.load.keys)]
        # The first keys are the hottest: the weight of one is a part of its rank.
        self._weights = [1 / (1 + rank) for rank in range(self.load.keys)]
        delay = self._delay
        meters = Meter(clock), Meter(clock)
        self.plain: Side = CacheAside(fleet, Database(delay), meters[0])
        self.ours = Consistent(fleet, Database(delay), meters[1])
        self.sides: dict[str, Side] = {"plain": self.plain, "ours": self.ours}
        self._last: dict[str, dict[str, str]] = {"plain": {}, "ours": {}}
        self._slowness = random.Random(self.load.seed)
        for side in self.sides.values():
            for key in self.keys:
                side.database.fill(key, self._next_value(key))

    def _delay(self, kind: str, key: str) -> None:
        """Take the time of the database."""
        least, most = self.load.read_time
        if kind == "write":
            self._pause(least)
            return
        with self._lock:
            is_slow = self._slowness.randrange(self.load.slow_one_in) == 0
            usual = self._slowness.uniform(least, most)
        self._pause(self.load.slow_time if is_slow else usual)

    def _next_value(self, key: str) -> bytes:
        with self._lock:
            self._writes += 1
            return b"%s, version %d" % (key.encode(), self._writes)

    # The load

    def start(self) -> None:
        """Start the threads of both sides."""
        for number in range(self.load.threads):
            for name in self.sides:
                draw = random.Random(self.load.seed * 1000 + number)
                thread = threading.Thread(
                    target=self._work, args=(name, draw), name=f"demo-{name}-{number}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _work(self, name: str, draw: random.Random) -> None:
        while not self._ending.is_set():
            self.step(name, draw)
            self._ending.wait(self.load.pause)

    def step(self, name: str, draw: random.Random) -> None:
        """Make one call on a side, of a key that `draw` chooses."""
        [key] = draw.choices(self.keys, self._weights)
        if draw.random() < self.load.writes:
            self.write(name, key)
        else:
            self.read(name, key)

    def read(self, name: str, key: str) -> bool:
        """Read a key on a side; return whether what it returned was stale."""
        side = self.sides[name]
        floor = side.database.begin(key)
        begun = self.clock()
        try:
            value = side.read(key)
        except DropboxError as error:
            side.meter.count("errors")
            self.note(f"{name}: a read failed: {error}")
            self._last[name][key] = "error"
            return False
        took = self.clock() - begun
        is_stale = side.database.is_stale(key, value, floor)
        kind = "stale" if is_stale else "miss" if side.database.was_read() else "hit"
        side.meter.took(kind, took)
        self._last[name][key] = kind
        return is_stale

    def write(self, name: str, key: str) -> bool:
        """Write a new value under a key on a side; return whether it was acknowledged."""
        side = self.sides[name]
        value = self._next_value(key)
        begun = self.clock()
        try:
            is_written = side.write(key, value)
        except DropboxError as error:
            side.meter.count("errors")
            self.note(f"{name}: a write failed: {error}")
            is_written = False
        if is_written:
            side.database.acknowledge(key, value)
        side.meter.took("write", self.clock() - begun)
        self._last[name][key] = "write" if is_written else "refused"
        return is_written

    # What a person does

    def act(self, action: str, server: int | None = None) -> None:
        """Do one of ``ACTIONS``: to `server`, where it is about one.

        Raises ``InvalidArgumentError`` for what cannot be done now.
        """
        if action not in ACTIONS:
            known = ", ".join(ACTIONS)
            raise InvalidArgumentError(f"action must be one of {known}, got {action!r}")
        if action == "stampede":
            threading.Thread(target=self.stampede, daemon=True).start()
            return
        if action == "add":
            number = self.fleet.add()
            self.note(f"server {number} was added, empty: some keys live there now")
            return
        if server is None:
            raise InvalidArgumentError(f"{action} needs the number of a server")
        states = self.fleet.states()
        is_one = type(server) is int and 0 <= server < len(states)
        state = states[server] if is_one else ""  # what is none, the fleet refuses
        getattr(self.fleet, action)(server)
        words = {
            "kill": "was killed: what it held is gone",
            "stop": "was stopped: it holds what it has, and answers nothing",
            "start": "started again, empty" if state == "killed" else "goes on, with what it held",
        }
        self.note(f"server {server} {words[action]}")

    def stampede(self, crowd: int = _CROWD) -> dict[str, int]:
        """Have a crowd miss one new key on each side; return how often each loaded it."""
        with self._lock:
            self._count_of_stampedes += 1
            key = f"report:{self._count_of_stampedes}"
        loads = {name: self._crowd(side, key, crowd) for name, side in self.sides.items()}
        with self._lock:
            self._stampedes = {"crowd": crowd, **loads}
        self.note(
            f"{crowd} callers missed {key} at once: the plain cache loaded it {loads['plain']} "
            f"times, godropbox {loads['ours']}"
        )
        return loads

    def _crowd(self, side: Side, key: str, crowd: int) -> int:
        loads: list[int] = []
        ready = threading.Barrier(crowd)

        def load() -> bytes:
            loads.append(1)
            self._pause(self.load.slow_time)
            return b"a report"

        def call() -> None:
            ready.wait()
            side.load_once(key, load)

        threads = [threading.Thread(target=call, daemon=True) for _ in range(crowd)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(loads)

    def note(self, text: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self._log.append({"at": round(self.clock() - self._begun, 1), "text": text})

    # What is shown

    def snapshot(self) -> dict[str, Any]:
        """Return all that the page shows, as JSON has it."""
        keys, states, names = self.keys, self.fleet.states(), self.fleet.names()
        owners = self.fleet.owners(keys)
        plain = self.fleet.plain_entries(keys)
        ours = kinds_of_entries(self.ours.servers, keys)
        cells: dict[str, list[str]] = {"plain": [], "ours": []}
        for key, owner in zip(keys, owners, strict=True):
            is_down = states[owner] != "up"
            value = plain.get(key)
            kind = "none" if value is None else "value"
            if value is not None and not self.plain.database.is_current(key, value):
                kind = "old"
            cells["plain"].append("down" if is_down else kind)
            cells["ours"].append("down" if is_down else ours[key])
        with self._lock:
            log, stampede = list(self._log), dict(self._stampedes)
        sides = {}
        for name, side in self.sides.items():
            loads = {"database_reads": side.database.reads}
            sides[name] = (
                side.meter.shown()
                | loads
                | {
                    "cells": cells[name],
                    "last": [self._last[name].get(key, "") for key in keys],
                }
            )
        return {
            "at": round(self.clock() - self._begun, 2),
            "kind": self.fleet.kind,
            "keys": keys,
            "owners": owners,
            "servers": [
                {"name": name, "state": state, "keys": owners.count(number)}
                for number, (name, state) in enumerate(zip(names, states, strict=True))
            ],
            "sides": sides,
            "stampede": stampede,
            "log": log,
            "caption": self.caption,
        }

    def close(self) -> None:
        """End the threads, and the fleet; a second call does nothing."""
        self._ending.set()
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()
        self.fleet.close()
