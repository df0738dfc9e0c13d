"""What a session remembers of its writes; without I/O, for both routers."""

from math import inf, nextafter
from typing import Any

from ..._kernels._identity import refuse_copies
from ._fleet import Group, Router

__all__ = ["Remembering"]


class Remembering:
    """When a session last wrote to each group: its reads go to a replica that has come so far."""

    __slots__ = ("_router", "_since")
    __reduce_ex__ = refuse_copies

    _router: Any  # of Router

    def __init__(self, router: Router) -> None:
        self._router = router
        self._since: dict[str, float] = {}  # the end of the last write, by group

    def _since_of(self, group: Group) -> float:
        return self._since.get(group.name, -inf)

    def _wrote(self, shard: int) -> None:
        group = self._router._fleet.groups[shard]
        self._since[group.name] = nextafter(group.clock(), inf)  # a sample of then is older
