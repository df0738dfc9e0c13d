"""Sources and managers for the tests of discovery: what they say is written by the test."""

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any

from godropbox.memcache import ShardState, ShardStatus
from godropbox.memcache.discovery import Answer, Server, SourceError

__all__ = ["Recorder", "Scripted", "answer", "fleet", "soon"]


def fleet(count: int, first: int = 0) -> tuple[Server, ...]:
    """Return servers named cache-0, cache-1, ..., at addresses of their own."""
    return tuple(Server(f"cache-{i}", f"10.0.0.{i}:11211") for i in range(first, first + count))


def answer(
    servers: int | Iterable[Server] = 4, version: int | None = None, is_ordered: bool = False
) -> Answer:
    """Return an answer; a number of servers stands for that many of them."""
    held = fleet(servers) if isinstance(servers, int) else tuple(servers)
    return Answer(version, held, is_ordered)


def states(servers: Iterable[Server]) -> list[ShardStatus]:
    return [ShardStatus(each.address, each.state, each.name) for each in servers]


def down(server: Server) -> Server:
    return server._replace(state=ShardState.DOWN)


def soon(test: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition holds; fail where it does not within some seconds."""
    until = monotonic() + seconds
    while not test():
        assert monotonic() < until, "it did not happen in time"
        sleep(0.01)


class Scripted:
    """A source that says what ``say`` is given: an answer, an error, or what a callable returns."""

    def __init__(self, *said: Any, name: str = "script://main", is_polled: bool = False) -> None:
        self.name = name
        self.is_polled = is_polled
        self.asked: list[float] = []
        self.closes = 0
        self._said: SimpleQueue[Any] = SimpleQueue()
        for each in said:
            self.say(each)

    def say(self, what: Any) -> None:
        self._said.put(what)

    def next(self, timeout: float) -> Answer | None:
        self.asked.append(timeout)
        try:
            what = self._said.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(what, BaseException):
            raise what
        found: Answer | None = what() if callable(what) else what
        return found

    def close(self) -> None:
        self.closes += 1
        self.say(SourceError(f"{self.name} was closed"))


class Recorder:
    """A manager that remembers the fleets it was given, and raises what it is told to."""

    def __init__(self) -> None:
        self.fleets: list[list[ShardStatus]] = []
        self.error: BaseException | None = None
        self.lock = threading.Lock()

    def update_shard_states(self, states: Iterable[ShardStatus], /) -> None:
        if self.error is not None:
            raise self.error
        self.fleets.append(list(states))

    @property
    def names(self) -> list[list[str]]:
        return [[each.name or each.address for each in fleet] for fleet in self.fleets]
