"""memcached under asyncio: many tasks share one connection to each server."""

from ..overrides import AsyncClientOverrides
from .client import AsyncClient
from .managers import AsyncBaseShardManager, AsyncShardManager, AsyncStaticShardManager
from .options import AsyncClientOptions, AsyncShardOptions
from .sharded_client import AsyncShardedClient

__all__ = [
    "AsyncBaseShardManager",
    "AsyncClient",
    "AsyncClientOptions",
    "AsyncClientOverrides",
    "AsyncShardManager",
    "AsyncShardOptions",
    "AsyncShardedClient",
    "AsyncStaticShardManager",
]
