"""How a source is followed: the options of both followers, and what they tell of it. No I/O."""

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from time import monotonic
from typing import Any, NamedTuple, TypedDict

from ..._kernels._args import shown
from ..errors import InvalidArgumentError, InvalidTypeError
from ..hints import named_options
from .rules import Limits
from .types import Server

__all__ = ["FollowEvent", "FollowHook", "FollowOptions", "FollowOverrides", "FollowStatus"]


class FollowEvent(NamedTuple):
    """What a source said, as hooks are told of it; answers that change nothing are left out.

    - `source`: the source's name. `outcome`: ``accepted``, ``older``, ``empty``, ``malformed``,
      ``held``, ``damped``, ``failed``, ``restored``, ``unreadable`` or ``unkept``, as in
      ``FollowStatus.counts``.
    - `servers`: the fleet in force, after the event; `version`: its version, if there is one.
    - `added`, `removed`, `changed`: names of servers, for ``accepted`` and ``restored``; a changed
      one has another address or state.
    - `error`: what was raised, for ``malformed``, ``failed``, ``unreadable`` and ``unkept``.
    """

    source: str
    outcome: str
    servers: tuple[Server, ...]
    version: int | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    error: BaseException | None = None


FollowHook = Callable[[FollowEvent], object]


class FollowStatus(NamedTuple):
    """How following a source goes.

    - `source`: its name. `servers`: the fleet in force; `version`: its version, if it has one.
    - `age`: seconds since the source last answered what can be understood, None if it never has.
    - `counts`: how often each outcome was, by the names of ``FollowEvent.outcome`` and
      ``unchanged``.
    - `held`: the servers of an answer that waits to be confirmed.
    - `error`: why the last question has no answer, or what was wrong with it; None if nothing was.
    - `is_restored`: whether the fleet in force is that of the file, not of the source yet.
    """

    source: str
    servers: tuple[Server, ...]
    version: int | None
    age: float | None
    counts: Mapping[str, int]
    held: tuple[Server, ...]
    error: str | None
    is_restored: bool


@named_options
@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """How a source is followed. Times are seconds.

    - `keep`: the path of a file for the last good answer, from which a process starts while the
      source is away; processes may share it. None is none.
    - `min_interval`: the least time between two changes of who is in the fleet and where; the last
      of several is followed. Changes of states alone do not wait.
    - `max_change`: the part of the fleet, in (0, 1], that may not vanish or move at once: an answer
      under which so much does is held back until it is confirmed. One server that moves, with no
      other change, is not held back; an answer without any active server is. None trusts them all.
    - `confirm_after`: how long a source has to say the same until an answer that is held back is
      followed, and how long all its answers have to be older until it counts as begun anew. A
      failure in between has that begin anew; silence confirms nothing, so a source that tells of
      changes alone is read anew at the end.
    - `retry_after`: the wait after a source failed; it doubles up to `max_retry_after`, and a
      random part of it, up to half, is taken off.
    - `hooks`: plain functions, called with a ``FollowEvent``, in the follower's thread, or in the
      loop. What they raise is logged.

    `clock`, which never goes back, and `random` are replaced in tests.
    """

    keep: "str | os.PathLike[str] | None" = None
    min_interval: float = 1.0
    max_change: float | None = 0.5
    confirm_after: float = 10.0
    retry_after: float = 0.5
    max_retry_after: float = 10.0
    hooks: tuple[FollowHook, ...] = ()
    clock: Callable[[], float] = monotonic
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.keep is not None and not isinstance(self.keep, (str, os.PathLike)):
            raise InvalidTypeError(f"keep must be a path or None, got {shown(self.keep)}")
        for name in ("min_interval", "confirm_after"):
            _number(name, getattr(self, name), "in [0, 86400] seconds", 0, 86400)
        for name in ("retry_after", "max_retry_after"):
            _number(name, getattr(self, name), "in [0.01, 3600] seconds", 0.01, 3600)
        if self.max_retry_after < self.retry_after:
            raise InvalidArgumentError(
                f"max_retry_after must be at least retry_after, {self.retry_after!r},"
                f" got {self.max_retry_after!r}"
            )
        if self.max_change is not None:
            _number("max_change", self.max_change, "in (0, 1] or None", 1e-9, 1)
        if not isinstance(self.hooks, tuple) or not all(map(callable, self.hooks)):
            raise InvalidTypeError(f"hooks must be a tuple of callables, got {shown(self.hooks)}")
        if any(map(_is_async, self.hooks)):
            raise InvalidTypeError(
                "hooks must be plain functions, which are not awaited, got a coroutine function:"
                f" {shown(self.hooks)}"
            )
        for name in ("clock", "random"):
            if not callable(getattr(self, name)):
                raise InvalidTypeError(
                    f"{name} must be a callable, got {shown(getattr(self, name))}"
                )

    @property
    def limits(self) -> Limits:
        """How much may change, and how soon."""
        return Limits(self.min_interval, self.max_change, self.confirm_after)


class FollowOverrides(TypedDict, total=False):
    """What followers take by name: the fields of ``FollowOptions``."""

    keep: "str | os.PathLike[str] | None"
    min_interval: float
    max_change: float | None
    confirm_after: float
    retry_after: float
    max_retry_after: float
    hooks: tuple[FollowHook, ...]
    clock: Callable[[], float]
    random: Callable[[], float]


def _is_async(hook: Callable[..., object]) -> bool:
    return iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__)


def _number(name: str, value: Any, wanted: str, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} must be a number {wanted}, got {shown(value)}")
    if not least <= value <= most:
        raise InvalidArgumentError(f"{name} must be {wanted}, got {value!r}")
