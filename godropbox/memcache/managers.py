"""Shard managers whose pools dial with blocking sockets.

- ``BaseShardManager``: the program updates the fleet, as it learns of changes.
- ``StaticShardManager``: the fleet is a list of addresses.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ..resource_pool import MultiResourcePool
from .connection import Connection
from .dial import open_connection
from .fleet.manager import PooledShardManager, all_active
from .fleet.options import ShardOptions
from .fleet.placement import Hash2, ShardFunction
from .hints import check_kind

__all__ = ["BaseShardManager", "StaticShardManager"]

_HASH2: Final = Hash2()
_DEFAULT: Final = ShardOptions()


class BaseShardManager(PooledShardManager):
    """Manager of a fleet that ``update_shard_states`` replaces; at first it is empty.

    `shard_func` is a shard function or a callable of a key and the number of shards. Threads may
    share a manager. In the child of a fork it has the same fleet, and no connections yet.
    """

    def __init__(
        self,
        shard_func: ShardFunction | Callable[[Any, int], int] = _HASH2,
        options: ShardOptions = _DEFAULT,
    ) -> None:
        check_kind(options, ShardOptions)
        # ``Connection.close`` sends nothing to the server, whose connection the parent still uses.
        pool = options.pool_options(partial(open_connection, options), Connection.close)
        super().__init__(shard_func, options, MultiResourcePool(pool))


class StaticShardManager(BaseShardManager):
    """Manager of the servers at `addresses`, at least one, shard 0 first, all of them active."""

    def __init__(
        self,
        addresses: Sequence[str],
        shard_func: ShardFunction | Callable[[Any, int], int] = _HASH2,
        options: ShardOptions = _DEFAULT,
    ) -> None:
        states = all_active(addresses)
        super().__init__(shard_func, options)
        self.update_shard_states(states)
