"""``AsyncFleetServers``: the servers of a consistent cache, over connections that tasks share."""

from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Any

from ..._kernels._identity import refuse_copies
from ...memcache.aio import AsyncBaseShardManager
from ...memcache.callers import run
from ...memcache.types import Key
from ..consistency.protocol import Place
from ..consistency.servers import FleetServers, Request
from ._drive import drive

__all__ = ["AsyncFleetServers"]


class _Fleet(FleetServers):
    """What is asked of the servers, by tasks."""

    __reduce_ex__ = refuse_copies

    async def _carry(self, visits: list[Any]) -> None:
        if visits:
            seconds = visits[0].shard.pool.hub.timeout
            await run(self._manager, visits, inf if seconds is None else monotonic() + seconds)


class AsyncFleetServers:
    """The servers of an ``AsyncBaseShardManager``, with its placement and its states.

    The asyncio form of ``FleetServers``, with the same demands: no proxy, and a manager that does
    not move the keys of ejected servers. The manager is the caller's to close.
    """

    __slots__ = ("_fleet",)
    __reduce_ex__ = refuse_copies

    def __init__(self, manager: AsyncBaseShardManager) -> None:
        given: Any = manager
        self._fleet = _Fleet(given)

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be."""
        return self._fleet.places(key)

    async def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps of different keys: those of all servers go out at once, by one deadline."""
        return await drive(self._fleet._run_calls(requests))

    async def flush(self) -> bool:
        """Flush every server that writes must be known at; return whether all have said so."""
        return await drive(self._fleet._flush_calls())
