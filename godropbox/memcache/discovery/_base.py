"""What both followers have: a source, a manager that is not kept alive, and how it goes. No I/O."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..._kernels._args import shown
from ..._kernels._identity import refuse_copies
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.manager import ShardStatus, check_waiting
from ..hints import check_kind
from .following import Following
from .keeping import Keeper
from .options import FollowOptions, FollowStatus
from .types import Source, SourceError
from .urls import source as source_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .options import FollowOverrides

__all__ = ["DEFAULT", "BaseFollower", "Manager", "checked_wait", "no_fleet"]

DEFAULT: Final = FollowOptions()


class Manager(Protocol):
    """What a follower changes: a shard manager of this package, or another with this method."""

    def update_shard_states(self, states: "Iterable[ShardStatus]", /) -> object:
        """Replace the fleet."""


def _as_maker(source: Any) -> Callable[[], Source]:
    """Return what makes the source, or returns it. Raises ``InvalidTypeError``."""
    if isinstance(source, str):
        return partial(source_of, source)
    if all(hasattr(source, name) for name in ("next", "close", "name")):
        return lambda: source
    if callable(source):
        return source  # type: ignore[no-any-return]
    raise InvalidTypeError(
        f"source must be a URL, a Source or a callable that makes one, got {shown(source)}"
    )


def _check_manager(manager: Any, is_async: bool) -> None:
    """Raise ``InvalidTypeError`` for what is no manager, or one that waits in another way."""
    check_waiting(manager, is_async)
    if not callable(getattr(manager, "update_shard_states", None)):
        raise InvalidTypeError(
            f"manager must have update_shard_states, as BaseShardManager has, got {shown(manager)}"
        )


def _held_manager(manager: Manager) -> Callable[[], Manager | None]:
    """Return what returns the manager, or None once it is gone.

    One that is a client's own, and owns its follower, is not kept alive by it: so following ends
    for a client that nobody has any more, and that nobody closed.
    """
    return weakref.ref(manager) if getattr(manager, "owns_follower", False) else lambda: manager


def checked_wait(wait: Any) -> float:
    """Return how many seconds to wait for a fleet. Raises what says that it is none."""
    if isinstance(wait, bool) or not isinstance(wait, (int, float)):
        raise InvalidTypeError(f"wait must be a number of seconds, got {shown(wait)}")
    if not wait >= 0:
        raise InvalidArgumentError(f"wait must be at least 0 seconds, got {wait!r}")
    return wait


def no_fleet(status: FollowStatus, seconds: float) -> SourceError:
    """Return the error for a source that gave no fleet in time."""
    why = status.error or "it has not answered"
    return SourceError(f"no fleet from {status.source} within {seconds:g} s: {why}")


def _is_polled(source: Source) -> bool:
    """Return whether a source tells only what it finds when it looks."""
    return bool(getattr(source, "is_polled", False))


class BaseFollower:
    """What ``Follower`` and ``AsyncFollower`` have: a source, a manager, and how it goes."""

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        source: Any,
        manager: Manager,
        options: FollowOptions,
        overrides: "FollowOverrides",
        is_async: bool,
    ) -> None:
        check_kind(options, FollowOptions)
        self._options: Final = replace(options, **overrides) if overrides else options
        _check_manager(manager, is_async)
        self._manager: Final = _held_manager(manager)
        self._make: Final = _as_maker(source)
        self._source = self._make()
        name = self._source.name
        self._following: Final = Following(name, self._options, _is_polled(self._source))
        keep = self._options.keep
        self._keeper: Final = None if keep is None else Keeper(keep, name)

    @property
    def status(self) -> FollowStatus:
        """How following goes."""
        return self._following.status()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._following.name}>"
