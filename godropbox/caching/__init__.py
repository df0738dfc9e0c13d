"""Storages, and layers of them: caches that never make things worse.

- ``Storage``: the protocol that all of them follow.
- ``DictStorage``, ``LocalStorage``: in this process; ``FunctionStorage``: made of functions;
  ``MemcacheStorage``: in memcached; ``SqlStorage``: in a table, ``sqlite_pool`` opens one.
- ``CacheOnStorage``: one storage as the cache of another; ``FreshCacheOnStorage``: one that loads
  its entries anew before or after their time; ``RateLimitedStorage``: so many callers at once.
- ``CacheOptions``, ``Freshness``: how these behave; ``CacheStats``: what they did.
- ``ConsistentCacheOnStorage``: one that is never stale after an acknowledged write, over
  ``ConsistentServers``, which ``FleetServers`` are.
- ``SingleFlight``: one load for all who want the same thing at once.
"""

from .consistency.servers import ConsistentServers, FleetServers
from .consistent import (
    CommitUncertain,
    ConsistencyOptions,
    ConsistencyStatistics,
    ConsistentCacheOnStorage,
    WriteRefused,
)
from .flight import SingleFlight
from .fresh import FreshCacheOnStorage
from .layers import CacheOnStorage
from .limited import RateLimitedStorage
from .local import LocalStorage
from .memcached import CacheClient, MemcacheStorage
from .options import CacheOptions, CacheStats, Freshness
from .sql import SqlStorage, sqlite_pool
from .storage import (
    MISSING,
    DictStorage,
    FunctionStorage,
    PartialFailureError,
    StaleCacheError,
    Storage,
    StorageBusyError,
    StorageError,
    UnsupportedOperationError,
)

__all__ = [
    "MISSING",
    "CacheClient",
    "CacheOnStorage",
    "CacheOptions",
    "CacheStats",
    "CommitUncertain",
    "ConsistencyOptions",
    "ConsistencyStatistics",
    "ConsistentCacheOnStorage",
    "ConsistentServers",
    "DictStorage",
    "FleetServers",
    "FreshCacheOnStorage",
    "Freshness",
    "FunctionStorage",
    "LocalStorage",
    "MemcacheStorage",
    "PartialFailureError",
    "RateLimitedStorage",
    "SingleFlight",
    "SqlStorage",
    "StaleCacheError",
    "Storage",
    "StorageBusyError",
    "StorageError",
    "UnsupportedOperationError",
    "WriteRefused",
    "sqlite_pool",
]
