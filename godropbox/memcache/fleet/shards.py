"""The snapshot of the servers that every operation of a sharded client takes.

Compiled as it stands (``shards.pxd``), so that other compiled modules read its fields directly.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from ..._kernels._identity import refuse_copies
from ..._kernels._signature import declared
from ..protocol.auto import Seen
from .ejection import Health

if TYPE_CHECKING:
    from .placement import Placement

__all__ = ["Fleet", "Shard", "ShardState"]


class ShardState(IntEnum):
    """What a server is used for; the numbers are those of Dropbox's Go library.

    ``ACTIVE``: for everything. ``WRITE_ONLY``: for sentinel operations alone. ``DOWN``: for
    nothing. ``WARM_UP``: for sentinel operations, whose failures count as success.
    """

    ACTIVE = 0
    WRITE_ONLY = 1
    DOWN = 2
    WARM_UP = 4


class Shard:
    """One server of a fleet.

    These never change: `id`, its index in the fleet; `address`; `name`, its identity by which keys
    are placed, the address unless it was given one; `state`, from which follow `serves` (reads and
    ordinary writes), `takes_sentinels` and `is_warming_up`; `is_watched`, whether its failures are
    counted. `pool` lends connections to it, and outlives a change of the fleet.
    """

    __slots__ = (
        "_health",
        "address",
        "id",
        "is_warming_up",
        "is_watched",
        "name",
        "pool",
        "seen",
        "serves",
        "state",
        "takes_sentinels",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(
        self,
        index: int,
        address: str,
        state: ShardState,
        pool: Any,
        health: Health,
        seen: Seen | None = None,
        name: str = "",
    ) -> None:
        self.id: Final = index
        self.address: Final = address
        self.name: Final = name or address
        self.state: Final = state
        self.pool: Final = pool
        # What its connections showed; outlives a change of the fleet as well.
        self.seen: Final = Seen() if seen is None else seen
        self.serves: Final = state is ShardState.ACTIVE
        self.takes_sentinels: Final = state is not ShardState.DOWN
        self.is_warming_up: Final = state is ShardState.WARM_UP
        self.is_watched: Final = health.is_watched
        self._health: Final = health

    @property
    def where(self) -> str:
        """Its id, its name if that is not the address, and its address, for messages."""
        name = "" if self.name == self.address else f", {self.name},"
        return f"{self.id}{name} at {self.address}"

    @property
    def failures(self) -> int:
        """How many of its operations failed in a row; always 0 where nothing is ejected."""
        return self._health.failures

    @property
    def is_ejected(self) -> bool:
        """Whether it failed so often that it is left alone for now."""
        return self._health.is_ejected

    def admits(self) -> bool:
        """Tell whether an operation may go there now; to be asked where it ``is_ejected``.

        That is False, but for one operation after each back-off: the one that tries it again.
        """
        return self._health.lets_through()

    def __repr__(self) -> str:
        ejected = ", ejected" if self.is_ejected else ""
        return f"<Shard {self.where}: {self.state.name}{ejected}>"


class Fleet:
    """An immutable snapshot of the servers: `shards`, in the order of their ids.

    ``of(key)`` is the id of the key's shard, ``of_many(keys)`` a list of them, one a key; the
    arguments, what is raised and the negative numbers are those of ``placement.Placement``, which
    `placement` is. `sole` is the shard of every key, where there is one alone and its shard
    function leaves none out.
    """

    __slots__ = ("of", "of_many", "placement", "shards", "sole")
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(
        self, shards: tuple[Shard, ...], placement: "Placement", has_all: bool = False
    ) -> None:
        self.shards: Final = shards
        self.sole: Final = shards[0] if has_all and len(shards) == 1 else None
        self.placement: Final = placement
        # The placement's own methods: to go through one more would cost as much as they do.
        self.of: Final = placement.of
        self.of_many: Final = placement.of_many

    def __repr__(self) -> str:
        return f"<Fleet of {len(self.shards)} shards>"
