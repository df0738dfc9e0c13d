"""A fleet of databases: which has a key, and statements run there, over the connections you have.

- ``Layout``: logical shards on groups of hosts, as an immutable value; ``HostGroup``: a master and
  its replicas; ``ShardState``.
- ``ShardRouter``: runs statements of ``sqlbuilder`` on the shard of a key, in transactions, or on
  many shards at once, over DB-API connections; ``aio.AsyncShardRouter`` over asyncio drivers'.
- ``prepare``: renders a statement once for each shard.
- ``Result``, ``Scattered``, ``Token``, ``Session``, ``Transaction``: what they return.
- ``Engine``, ``Heartbeat``: what differs between databases; ``RouterOptions``.

The driver is yours: a router is given a function that connects. Errors name the shard, its
database, the host and the kind of statement, and never a value.
"""

from ._engines import ENGINES, Engine, Heartbeat
from ._errors import (
    ConstraintError,
    DrainTimeoutError,
    HostLostError,
    ReadOnlyHostError,
    RouterClosedError,
    ScatterError,
    ShardReadOnlyError,
    StaleLayoutError,
    StatementError,
    StatementTimeoutError,
)
from ._fleet import RouterOptions, Token
from ._layout import HostGroup, Layout, ShardState
from ._merge import Scattered
from ._statements import Filled, Result, Sharded, prepare
from ._sync import Session, ShardRouter, Transaction

__all__ = [
    "ENGINES",
    "ConstraintError",
    "DrainTimeoutError",
    "Engine",
    "Filled",
    "Heartbeat",
    "HostGroup",
    "HostLostError",
    "Layout",
    "ReadOnlyHostError",
    "Result",
    "RouterClosedError",
    "RouterOptions",
    "ScatterError",
    "Scattered",
    "Session",
    "ShardReadOnlyError",
    "ShardRouter",
    "ShardState",
    "Sharded",
    "StaleLayoutError",
    "StatementError",
    "StatementTimeoutError",
    "Token",
    "Transaction",
    "prepare",
]
