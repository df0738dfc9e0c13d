"""A snapshot of the servers, as every operation of a sharded client takes one.

Compiled as it stands (``_fleet.pxd``): so its fields cost those that are compiled too nothing.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..resource_pool import ManagedHandle
    from .shard_manager import Shard
    from .sharding import Placement

__all__ = ["Fleet"]


class Fleet:
    """An immutable snapshot of the servers: `shards`, in the order of their ids.

    ``of(key)`` is the id of the key's shard, ``of_many(keys)`` a list of them, one a key; the
    arguments, what is raised and the negative numbers are those of ``sharding.Placement``, which
    `placement` is. `sole` is the shard of every key, where there is one alone and its shard
    function leaves none out. `pools` are those of the shards, where all of them serve and none is
    watched; else None.
    """

    __slots__ = ("_spare", "of", "of_many", "placement", "pools", "shards", "sole")

    def __init__(
        self, shards: "tuple[Shard, ...]", placement: "Placement", has_all: bool = False
    ) -> None:
        self.shards: Final = shards
        self.sole: Final = shards[0] if has_all and len(shards) == 1 else None
        self.placement: Final = placement
        # Where every shard serves and none is watched, nothing but its pool is to be looked at.
        plain = all(shard.serves and not shard.is_watched for shard in shards)
        self.pools: Final = tuple(shard.pool for shard in shards) if plain else None
        # The placement's own methods: to go through one more would cost as much as they do.
        self.of: Final = placement.of
        self.of_many: Final = placement.of_many
        self._spare: list[list[ManagedHandle]] = []

    def _handles(self) -> "list[ManagedHandle]":
        """Return a list of handles that hold nothing, for one batch: to make them takes as long as
        to borrow what they are to hold.
        """
        try:
            return self._spare.pop()
        except IndexError:
            return []

    def _keep(self, handles: "list[ManagedHandle]") -> None:
        """Take back such a list, of which again none holds anything."""
        self._spare.append(handles)

    def __repr__(self) -> str:
        return f"<Fleet of {len(self.shards)} shards>"
