"""How callers come to shared connections: ``run`` with visits, ``Source`` with gets that make none.

No I/O, and no asyncio: what is returned is awaited. Compiled as it stands (``callers.pxd``).
"""

from typing import Any

from .._kernels._identity import refuse_copies
from ..resource_pool import LameDuckError
from .fleet.manager import PooledShardManager
from .fleet.shards import Fleet
from .multiplex import Call, Links, Operation

__all__ = ["Source", "run"]


class Source:
    """Gets of one key in the ASCII protocol that make no visit, of the servers of `manager`.

    With `repeats`, one whose connection is lost is asked once more.
    """

    __slots__ = ("_is_plain", "_limit", "_manager", "_prefix", "_repeats")
    __reduce_ex__ = refuse_copies

    def __init__(self, manager: Any, prefix: bytes, timeout: float | None, repeats: bool) -> None:
        self._limit: float | None = None if timeout is None else float(timeout)
        self._manager = manager
        self._prefix = prefix
        self._repeats = repeats
        # Where ``fleet`` does no more than that, its call is left out.
        self._is_plain = getattr(type(manager), "fleet", None) is PooledShardManager.fleet

    def get(self, key: Any) -> Any:
        """Get a key; return what ``Pipeline.get`` does.

        Awaiting it raises the error of the key's shard. None means: take the general way.
        """
        manager = self._manager
        fleet: Fleet = manager._fleet if self._is_plain else manager.fleet()
        shard = fleet.sole
        if shard is None:
            try:
                number = fleet.of(key)
            except Exception:  # of a key that may be at fault, which is to be said first
                return None  # the general way has the words for it
            if number < 0:
                return None
            shard = fleet.shards[number]
        if not shard.serves or (shard.is_watched and shard.failures):
            return None
        links: Any = shard.pool
        link = links.only
        if link is None and links.hub.size > 1 and not links.is_retired:
            link = links.pick()
        if link is None or not link.is_open:
            return None
        context = links.context
        if (
            context is None
            or context[1] is not shard
            or context[0] is not manager
            or context[2] is not self._repeats
        ):
            context = links.context = (manager, shard, self._repeats)
        limit = link._limit if self._limit is None else self._limit
        return link._get(key, self._prefix, context, limit)


def run(manager: Any, visits: list[Any], deadline: float) -> Any:
    """Carry visits, at once; return what to await until all are over and settled."""
    visit = visits[0]
    links: Links = visit.shard.pool
    hub = links.hub
    hub.enter()
    operation = Operation(hub.room.wait(), manager, deadline, len(visits))
    for visit in visits:
        call = Call(visit, operation)
        links = visit.shard.pool
        try:
            link = links.pick()
        except LameDuckError as error:
            call._fail(error, True)
        else:
            link.submit(call)
    return operation.wait
