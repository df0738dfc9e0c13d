"""Storages, and layers of storages: caches whose failures fail no read.

- ``Storage``: the protocol that all of them follow.
- ``DictStorage``, ``LocalStorage``: in this process; ``FunctionStorage``: made of functions;
  ``MemcacheStorage``: in memcached; ``SqlStorage``: in an SQL table, over ``sqlite_pool``, say.
- ``CacheOnStorage``: one storage as the cache of another; ``FreshCacheOnStorage``: a cache that
  reloads entries before or after they expire; ``RateLimitedStorage``: limits concurrent calls.
- ``CacheOptions``, ``Freshness``: options of these; ``CacheStats``: their statistics.
- ``ConsistentCacheOnStorage``: a cache that is never stale after an acknowledged write, over
  ``ConsistentServers``, which ``FleetServers`` are.
- ``SingleFlight``: one load for all threads that want the same key at once.
- ``cached``: a decorator that keeps the results of a function in a storage.
"""

from .consistency.servers import ConsistentServers, FleetServers
from .consistent import (
    CommitUncertain,
    ConsistencyOptions,
    ConsistencyStatistics,
    ConsistentCacheOnStorage,
    WriteRefused,
)
from .decorator import Cached, cached
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
    "Cached",
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
    "cached",
    "sqlite_pool",
]
