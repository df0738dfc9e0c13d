"""How writes go in and out while layouts are replaced; without I/O, for both routers."""

from collections.abc import Callable
from time import monotonic

from ..._kernels._args import shown
from ...resource_pool._options import checked_timeout
from ._errors import DrainTimeoutError, RouterClosedError
from ._fleet import Fleet, Router, changed_shards
from ._gates import Gates
from ._layout import Layout, shards_text
from ._steps import Steps

__all__ = ["Moving"]


class Moving(Router):
    """Writers, and layouts that are replaced. Whoever calls it holds the lock, if there is one."""

    __slots__ = ("_gates",)

    _gates: Gates

    def _changes(self, seconds: float | None) -> object:
        """Wait until ``_notify`` is called, at most so long; a step."""
        raise NotImplementedError

    def _notify(self) -> None:
        """Wake those that wait for changes."""
        raise NotImplementedError

    def _entered(self, shard: int) -> Fleet | None:
        """Let a write begin if it may just now; return the layout that holds until it ends."""
        if self._gates.enter(shard):
            fleet = self._fleet
            if shard not in fleet.read_only:
                return fleet
            self._gates.leave(shard)
        return None

    def _entering(self, shard: int, deadline: float | None) -> Steps[Fleet]:
        """Let a write begin when it may; return the layout that holds until it ends."""
        closed = self._gates.closed
        while True:
            yield from self._until(lambda: shard not in closed, deadline, shard)
            fleet = self._entered(shard)
            if fleet is not None:
                return fleet
            patience = self._options.read_only_wait
            if not patience:
                raise self._is_closed_to_writes(self._fleet, shard)
            until = monotonic() + patience
            until = until if deadline is None else min(until, deadline)
            yield from self._until(lambda: shard not in self._fleet.read_only, until, shard)

    def _until(self, holds: Callable[[], bool], deadline: float | None, shard: int) -> Steps[None]:
        while not holds():
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise self._is_closed_to_writes(self._fleet, shard)
            yield self._changes, (left,)

    def _seconds_to_drain(self, layout: object, timeout: float | None) -> float:
        """Check the arguments of ``update``."""
        if not isinstance(layout, Layout):
            raise TypeError(f"layout must be a Layout, got {shown(layout)}")
        return checked_timeout("timeout", timeout)

    def _to_come(self, layout: Layout) -> tuple[Fleet, list[int]]:
        """Return what a new layout becomes, and the shards whose writes have to end before."""
        if self._is_closed:
            raise RouterClosedError("the router was closed")
        changed = changed_shards(self._fleet.layout, layout)
        return self._arranged(layout, self._fleet), changed

    def _replacing(self, fleet: Fleet, changed: list[int], seconds: float) -> Steps[list[str]]:
        """Put a layout in force when writes have ended; return the hosts that it has no more."""
        old = self._fleet
        self._gates.close(changed)
        try:
            yield from self._draining(changed, seconds)
            fleet.comes_from(old, self._options.clock())
            self._fleet = fleet
        finally:
            self._gates.open(changed)
            self._notify()
        return [host for host in old.pools if host not in fleet.pools]

    def _draining(self, shards: list[int], seconds: float) -> Steps[None]:
        deadline = monotonic() + seconds
        while busy := self._gates.busy(shards):
            left = deadline - monotonic()
            if left <= 0:
                raise DrainTimeoutError(_drained_in_vain(busy, seconds), shards=busy)
            yield self._changes, (left,)


def _drained_in_vain(shards: list[int], seconds: float) -> str:
    """Return the words for writers that did not end in time."""
    return (
        f"writes to shards {shards_text(shards)} did not end within {seconds:g} s; "
        "the old layout holds"
    )
