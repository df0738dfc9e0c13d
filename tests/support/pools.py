"""What the pool tests share: a clock that is set, handles that count, and threads that wait."""

import itertools
import os
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from godropbox.resource_pool import PoolOptions

__all__ = ["Clock", "Handle", "Opener", "fork", "in_child", "in_line", "options", "until"]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Handle:
    """What the pools lend here: a number, and whether it is closed."""

    def __init__(self, number: int, location: Any) -> None:
        self.number = number
        self.location = location
        self.closes = 0
        self.is_healthy = True

    @property
    def is_closed(self) -> bool:
        return self.closes > 0

    def close(self) -> None:
        self.closes += 1


class Opener:
    """Opens handles, remembers them all, and fails when told to."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.failure: BaseException | None = None
        self._numbers = itertools.count(1)

    def __call__(self, location: Any) -> Handle:
        if self.failure is not None:
            raise self.failure
        handle = Handle(next(self._numbers), location)
        self.handles.append(handle)
        return handle

    @property
    def still_open(self) -> list[int]:
        return [handle.number for handle in self.handles if not handle.is_closed]


def options(opener: Opener, **more: Any) -> PoolOptions:
    """Return options with a clock that stands still and no background thread."""
    return PoolOptions(open=opener, **{"clock": Clock(), "reap_every": 0, **more})


def until(condition: Callable[[], bool]) -> None:
    """Let other threads run until a condition holds; fail after ten seconds."""
    tick = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("it never came true")


def in_line(pool: Any, work: Callable[[], object]) -> threading.Thread:
    """Start a thread that gets from `pool`; return it when it stands in the pool's line."""
    before = pool.stats().waiting
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: pool.stats().waiting == before + 1)
    return thread


def fork() -> int:
    """Fork without the warning that there are threads; since Python 3.15 it counts the system's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a child of this process; return 0 if it ended well."""
    child = fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
