"""memcached under asyncio: many tasks share one connection to each server."""

from .client import AsyncClient
from .managers import AsyncBaseShardManager, AsyncShardManager, AsyncStaticShardManager
from .options import AsyncClientOptions, AsyncShardOptions
from .sharded_client import AsyncShardedClient

__all__ = [
    "AsyncBaseShardManager",
    "AsyncClient",
    "AsyncClientOptions",
    "AsyncShardManager",
    "AsyncShardOptions",
    "AsyncShardedClient",
    "AsyncStaticShardManager",
]
