"""Options, errors and statistics of pools."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from time import monotonic
from typing import Any, Final, Literal, TypedDict

from .._kernels import lasting
from .._kernels._args import checked_int, shown
from .._kernels._guarded import brief
from ..errors import NetworkError, Stack, UsageError

__all__ = [
    "UNSET",
    "ForeignHandleError",
    "InactiveHandleError",
    "LameDuckError",
    "Loan",
    "OpenError",
    "PoolExhaustedError",
    "PoolOptions",
    "PoolOverrides",
    "PoolStats",
    "PoolTimeoutError",
    "Timeout",
    "UnknownLocationError",
    "checked_timeout",
    "log",
]

# Seconds; None is no limit.
Timeout = float | None

# The default of a timeout, which stands for that of the options; None is a timeout.
UNSET: Final[Any] = lasting.lasting(object())


class PoolExhaustedError(UsageError):
    """All handles that the options allow are on loan or being opened."""


class PoolTimeoutError(PoolExhaustedError):
    """No handle became free before the timeout."""


class LameDuckError(UsageError):
    """The pool was retired and lends no more handles."""


class UnknownLocationError(UsageError):
    """The pool has no such location, or no locations at all."""


class ForeignHandleError(UsageError):
    """The handle belongs to another pool."""


class InactiveHandleError(UsageError):
    """The handle was given back, or belongs to the process that forked this one."""


class OpenError(NetworkError):
    """Opening a handle failed; ``__cause__`` is the reason."""


def checked_timeout(name: str, value: Any) -> float:
    """Return `value` as seconds, at least 0; None is infinity."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, got {shown(value)}")
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0 seconds, got {shown(value)}")
    return float(value)


def log(what: str, error: BaseException) -> None:
    """Log a failure that has no caller to go to; never raise."""
    try:
        import logging

        logger = logging.getLogger("godropbox.resource_pool")
        logger.warning("%s a handle failed: %s", what, brief(error), exc_info=error)
    except Exception:
        return  # a log handler or filter failed, or the interpreter is exiting


def close_handle(handle: Any) -> object:
    """Close a handle by its own ``close`` method; return what that returns."""
    return handle.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How a pool opens, keeps and closes handles. Times are seconds; limits are per location.

    Functions, which several threads may call at once:

    - `open`: takes a location and returns a handle.
    - `close`: closes a handle; the default calls its ``close``. Exceptions are counted and logged
      (``godropbox.resource_pool``).
    - `check`: takes an idle handle that is about to be lent. If it returns false or raises, the
      handle is closed and the next one is taken. Called only for handles that were idle for
      `check_after` or longer.
    - `abandon`: takes a handle of the parent, in the child of a fork. It may free the child's copy
      and must not disturb the parent. None leaves such handles alone, and so does an exception,
      which is reported through ``sys.unraisablehook`` once the child is ready, or logged if the
      handle is given back later.

    Limits; None is no limit:

    - `max_active`: handles on loan or being opened. `max_idle`: idle handles.
    - `max_opens`: calls of `open` at a time.
    - `timeout`: how long a get waits for its turn: 0 fails at once, None waits without limit.
    - `max_idle_time`: close a handle that was idle for so long. `max_lifetime`: close a handle that
      was opened so long ago, less a random part of that up to `lifetime_jitter` (0 to 1), so that
      handles opened together are not closed together.
    - `reap_every`: how often a background thread looks for idle handles to close; None is half of
      the shorter of the two times above, 0 starts no thread and leaves it to ``reap``.

    `reuse` selects the idle handle that is lent next: ``"lifo"`` the one released last, so that
    surplus handles grow old; ``"fifo"`` the one released first, so that all are used equally.
    `track` records the stack of every get, for ``loans`` and for the warning about a handle that
    was never given back; it costs about a microsecond. `clock` and `random` are replaced in tests.
    """

    open: Callable[[Any], Any]
    close: Callable[[Any], object] = close_handle
    check: Callable[[Any], object] | None = None
    abandon: Callable[[Any], object] | None = None
    max_active: int | None = None
    max_idle: int | None = None
    max_opens: int | None = None
    timeout: float | None = 0.0
    max_idle_time: float | None = None
    max_lifetime: float | None = None
    lifetime_jitter: float = 0.1
    check_after: float = 0.0
    reap_every: float | None = None
    reuse: Literal["lifo", "fifo"] = "lifo"
    track: bool = False
    clock: Callable[[], float] = monotonic
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        for name, low in (("max_active", 1), ("max_idle", 0), ("max_opens", 1)):
            value = getattr(self, name)
            if isinstance(value, bool):  # which Python takes for an int
                raise TypeError(f"{name} must be an int in [{low}, 2**31) or None, got {value}")
            if value is not None and checked_int(name, f"[{low}, 2**31)", value, 1 << 31) < low:
                raise ValueError(f"{name} must be in [{low}, 2**31), got {value}")
        for name in ("timeout", "max_idle_time", "max_lifetime", "check_after", "reap_every"):
            checked_timeout(name, getattr(self, name))
        if not 0 <= checked_timeout("lifetime_jitter", self.lifetime_jitter) <= 1:
            raise ValueError(f"lifetime_jitter must be in [0, 1], got {self.lifetime_jitter!r}")
        if self.reuse not in ("lifo", "fifo"):
            raise ValueError(f"reuse must be 'lifo' or 'fifo', got {shown(self.reuse)}")

    @property
    def reap_interval(self) -> float:
        """Seconds between two runs of the background thread; 0 if there is none."""
        if self.reap_every is not None:
            return float(self.reap_every)
        times = [t for t in (self.max_idle_time, self.max_lifetime) if t is not None]
        return min(times, default=0.0) / 2


class PoolOverrides(TypedDict, total=False):
    """Options of pools by name, for functions that make pools: all but `open`, `close`, `timeout`.

    They are the fields of ``PoolOptions``.
    """

    check: Callable[[Any], object] | None
    abandon: Callable[[Any], object] | None
    max_active: int | None
    max_idle: int | None
    max_opens: int | None
    max_idle_time: float | None
    max_lifetime: float | None
    lifetime_jitter: float
    check_after: float
    reap_every: float | None
    reuse: Literal["lifo", "fifo"]
    track: bool
    clock: Callable[[], float]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The state of a pool, and counts since it was made.

    State: `active` handles are on loan or being opened (`opening`), `idle` ones are kept for
    later; `waiting` gets wait for their turn; `high_water` is the highest `active` so far.
    Counts: `gets` that returned a handle, `waits` for a turn, `exhausted` gets that gave up,
    `opens` and `open_failures`, `closes` and `close_failures`, handles found `expired` or
    `unhealthy`, and handles `leaked`: garbage-collected while on loan.
    """

    active: int
    idle: int
    opening: int
    waiting: int
    high_water: int
    gets: int
    waits: int
    exhausted: int
    opens: int
    open_failures: int
    closes: int
    close_failures: int
    expired: int
    unhealthy: int
    leaked: int

    @classmethod
    def total(cls, stats: "list[PoolStats]") -> "PoolStats":
        """Return the sums, and the highest high water mark: marks of different times do not add."""
        sums = {f.name: sum(getattr(each, f.name) for each in stats) for f in fields(cls)}
        return cls(**sums | {"high_water": max((each.high_water for each in stats), default=0)})


@dataclass(frozen=True, slots=True)
class Loan:
    """A handle on loan: its location, the time of the get by the pool's clock, and its stack."""

    location: Any
    since: float
    stack: Stack

    def __str__(self) -> str:
        return f"a handle to {self.location!r} taken at:\n{self.stack.text()}"
