"""Pools of many locations, each with a simple pool of its own.

The mapping of locations is replaced and never changed: a get that runs while some are added or
removed sees the whole change or none of it.
"""

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from .._calls import call_all
from .._forks import begin_again_in_child
from .._kernels._identity import refuse_copies
from ..errors import DropboxError
from ._options import (
    UNSET,
    ForeignHandleError,
    LameDuckError,
    Loan,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolStats,
    Timeout,
    UnknownLocationError,
    checked_timeout,
)
from ._pool import ManagedHandle
from ._reaper import Reaper
from ._simple import SimpleResourcePool

__all__ = ["MultiResourcePool", "RoundRobinResourcePool"]


class _Locations:
    """The base of both pools: the locations, and the operations on all of them."""

    __reduce_ex__ = refuse_copies

    def __init__(self, options: PoolOptions, locations: Iterable[Any] = ()) -> None:
        self._options = options
        # One background thread for all the locations.
        self._each = replace(options, reap_every=0.0)
        self._reaper = Reaper(self, options.reap_interval)
        self._token: Final = object()
        self._is_lame = False
        self._pools: Mapping[Any, SimpleResourcePool] = {}
        self._lock = threading.Lock()  # held while the mapping is replaced
        begin_again_in_child(self)
        self.set_locations(locations)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    # The locations

    def locations(self) -> list[Any]:
        """Return the locations, in the order in which they were added."""
        return list(self._pools)

    def register(self, location: Any) -> bool:
        """Add a location; return False if it exists already. Raises ``LameDuckError``."""
        return self._change(add=[location])

    def unregister(self, location: Any) -> bool:
        """Remove a location and retire its pool; return False if there is none.

        Handles on loan stay usable, and are closed when they are given back.
        """
        return self._change(remove=[location])

    def set_locations(self, locations: Iterable[Any]) -> None:
        """Replace the locations in one step; those that stay keep their handles."""
        wanted = list(locations)
        self._change(add=wanted, keep=wanted)

    def _change(
        self, add: Iterable[Any] = (), remove: Iterable[Any] = (), keep: Iterable[Any] | None = None
    ) -> bool:
        with self._lock:
            old = self._pools
            if self._is_lame and add:
                raise LameDuckError("the pool was retired and takes no locations")
            gone = set(remove) if keep is None else set(old) - set(keep)
            pools = {each: pool for each, pool in old.items() if each not in gone}
            for location in add:
                if location is None or location == "":
                    raise ValueError(f"location must not be empty, got {location!r}")
                if location not in pools:
                    pools[location] = SimpleResourcePool(
                        self._each, location, self._token, self._reaper
                    )
            self._replace(pools)
        call_all([old[location].enter_lame_duck_mode for location in gone & set(old)])
        return pools.keys() != old.keys()

    def _replace(self, pools: Mapping[Any, SimpleResourcePool]) -> None:
        self._pools = pools

    def pool(self, location: Any) -> SimpleResourcePool:
        """Return the pool of one location; raises ``UnknownLocationError``."""
        pool = self._pools.get(location)
        if pool is None:
            raise UnknownLocationError(f"{location!r} is not a location of the pool")
        return pool

    def evict_all(self) -> None:
        """Close all handles of every location, as ``SimpleResourcePool.evict_all`` does."""
        call_all([pool.evict_all for pool in self._pools.values()])

    def enter_lame_duck_mode(self) -> None:
        """Retire every location's pool, and take no more locations."""
        with self._lock:
            self._is_lame = True
        self._reaper.stop()
        call_all([pool.enter_lame_duck_mode for pool in self._pools.values()])

    # Giving back

    def release(self, handle: ManagedHandle) -> None:
        """Give a handle back to the pool of its location, which may have been removed."""
        self._own(handle).release()

    def discard(self, handle: ManagedHandle) -> None:
        """Close a handle."""
        self._own(handle).discard()

    def _own(self, handle: Any) -> ManagedHandle:
        if not isinstance(handle, ManagedHandle):
            raise TypeError(f"handle must be a ManagedHandle, got {type(handle).__name__}")
        owner = handle.owner
        if owner.group is not self._token and self._pools.get(owner.location) is not owner:
            raise ForeignHandleError(f"{handle!r} belongs to another pool")
        return handle

    # State, and keeping

    @property
    def is_lame_duck(self) -> bool:
        """Whether the pool was retired."""
        return self._is_lame

    @property
    def num_active(self) -> int:
        """How many handles are on loan or being opened, over all locations."""
        return sum(pool.num_active for pool in self._pools.values())

    @property
    def num_idle(self) -> int:
        """How many handles are idle, over all locations."""
        return sum(pool.num_idle for pool in self._pools.values())

    def stats(self) -> PoolStats:
        """Return the sums over the present locations, and the highest ``high_water``."""
        return PoolStats.total([pool.stats() for pool in self._pools.values()])

    def stats_by_location(self) -> dict[Any, PoolStats]:
        """Return the state and counts of each location's pool."""
        return {location: pool.stats() for location, pool in self._pools.items()}

    def loans(self) -> list[Loan]:
        """Return the handles on loan, the oldest first; empty without the option ``track``."""
        found = [loan for pool in self._pools.values() for loan in pool.loans()]
        return sorted(found, key=lambda loan: loan.since)

    def reap(self) -> int:
        """Close the idle handles whose time is over; return how many."""
        closed: list[int] = []

        def reap(pool: SimpleResourcePool) -> None:
            closed.append(pool.reap())

        call_all([partial(reap, pool) for pool in self._pools.values()])
        return sum(closed)

    def __repr__(self) -> str:
        total = self.stats_by_location()
        active = sum(stats.active for stats in total.values())
        idle = sum(stats.idle for stats in total.values())
        return f"<{type(self).__name__} of {len(total)} locations: {active} active, {idle} idle>"


class MultiResourcePool(_Locations):
    """Lends handles to a given location; each has limits, a line and statistics of its own.

    `locations` are the initial ones; they can be anything hashable.
    """

    def get(self, location: Any, timeout: Timeout = UNSET) -> ManagedHandle:
        """Return a handle to `location`, as ``SimpleResourcePool.get`` does.

        Raises ``UnknownLocationError``, too.
        """
        return self.pool(location).get(timeout)

    def get_idle(self, location: Any) -> ManagedHandle | None:
        """Return an idle handle that needs no wait, no check and no opening, or None."""
        return self.pool(location).get_idle()

    def get_many(
        self, locations: Iterable[Any], timeout: Timeout = UNSET
    ) -> dict[Any, ManagedHandle | DropboxError]:
        """Return a handle or a ``DropboxError`` for each location.

        `timeout` covers all waits together. Handles are taken in the order in which the locations
        were registered, not in that of `locations`, so that two of these gets never wait for each
        other in a circle. Any other exception is raised, after all handles were given back.
        """
        pools = self._pools
        wanted = dict.fromkeys(locations)
        found: dict[Any, Any] = {}
        seconds = checked_timeout("timeout", self._options.timeout if timeout is UNSET else timeout)
        clock = self._options.clock
        deadline = clock() + seconds
        try:
            for location in (each for each in pools if each in wanted):
                try:
                    found[location] = pools[location].get(max(deadline - clock(), 0.0))
                except DropboxError as error:
                    found[location] = error
        except BaseException:
            call_all([each.release for each in found.values() if isinstance(each, ManagedHandle)])
            raise
        for location in wanted:
            if location not in found:
                message = f"{location!r} is not a location of the pool"
                found[location] = UnknownLocationError(message)
        return {location: found[location] for location in wanted}


class RoundRobinResourcePool(_Locations):
    """Lends handles to interchangeable locations, in turn.

    The order is random and drawn again when the locations change, so that processes differ.
    `pools` are pools of the caller, by location, that are used beside those of `locations`.
    """

    def __init__(
        self,
        options: PoolOptions,
        locations: Iterable[Any] = (),
        pools: Mapping[Any, SimpleResourcePool] | None = None,
    ) -> None:
        self._turn = itertools.count()
        self._order: tuple[SimpleResourcePool, ...] = ()
        super().__init__(options)
        if pools:
            for location, pool in pools.items():
                if location is None or location == "":
                    raise ValueError(f"location must not be empty, got {location!r}")
                if not isinstance(pool, SimpleResourcePool):
                    raise TypeError(
                        f"pools must hold SimpleResourcePools, got {type(pool).__name__}"
                    )
            self._replace(dict(pools))
        for location in locations:
            self.register(location)

    def _replace(self, pools: Mapping[Any, SimpleResourcePool]) -> None:
        draw = self._options.random
        self._pools = pools
        self._order = tuple(sorted(pools.values(), key=lambda _: draw()))

    def get(self, timeout: Timeout = UNSET) -> ManagedHandle:
        """Return a handle to the next location.

        A location that fails, or has no free handle, is skipped; if all are, wait for one that was
        only exhausted. Raises ``UnknownLocationError`` if there are no locations,
        ``LameDuckError``, ``PoolExhaustedError``, ``PoolTimeoutError``, or ``OpenError`` if any
        failed, with an ``ExceptionGroup`` of all the errors as ``__cause__``.
        """
        seconds = checked_timeout("timeout", self._options.timeout if timeout is UNSET else timeout)
        order = self._order
        if not order:
            raise UnknownLocationError("the pool has no locations")
        start = next(self._turn)
        errors: list[DropboxError] = []
        exhausted: SimpleResourcePool | None = None
        for step in range(len(order)):
            pool = order[(start + step) % len(order)]
            try:
                return pool.get(0.0)
            except PoolExhaustedError as error:
                exhausted = exhausted or pool
                errors.append(error)
            except DropboxError as error:
                errors.append(error)
            next(self._turn)  # so that the next get does not start at the same neighbour
        if exhausted is not None and seconds > 0:
            return exhausted.get(seconds)
        raise _none_of(errors)


def _none_of(errors: list[DropboxError]) -> DropboxError:
    message = f"none of {len(errors)} locations gave a handle"
    kind: type[DropboxError] = OpenError
    if all(isinstance(error, PoolExhaustedError) for error in errors):
        kind = PoolExhaustedError
    elif all(isinstance(error, LameDuckError) for error in errors):
        kind = LameDuckError
    return kind(message, cause=ExceptionGroup(message, errors))
