"""The storages and layers of ``godropbox.caching`` for asyncio.

Each is the asyncio form of the class without ``Async``: the same options, results, errors and
statistics, over the same decisions; every operation is an ``async def``.

- ``AsyncStorage``: the protocol. A cache or a storage may follow it, or be a plain storage that
  never blocks, such as ``LocalStorage``.
- ``AsyncMemcacheStorage``: in memcached; ``AsyncSqlStorage``: in an SQL table, over
  ``async_sqlite_pool``, say; ``AsyncFunctionStorage``: made of functions.
- ``AsyncCacheOnStorage``, ``AsyncFreshCacheOnStorage``, ``AsyncRateLimitedStorage``: layers.
- ``AsyncConsistentCacheOnStorage``: a cache that is never stale after an acknowledged write,
  over ``AsyncConsistentServers``, which ``AsyncFleetServers`` are.
- ``AsyncSingleFlight``: one load for all tasks that want the same key at once.
- ``AsyncCached``: a coroutine function that ``caching.cached`` decorates.
"""

from .cached import AsyncCached
from .consistent import AsyncConsistentCacheOnStorage, AsyncConsistentServers
from .flight import AsyncSingleFlight
from .functions import AsyncFunctionStorage
from .layers import AsyncCacheOnStorage, AsyncFreshCacheOnStorage
from .limited import AsyncRateLimitedStorage
from .memcached import AsyncCacheClient, AsyncMemcacheStorage
from .servers import AsyncFleetServers
from .sql import AsyncSqlStorage, async_sqlite_pool
from .storage import AsyncStorage

__all__ = [
    "AsyncCacheClient",
    "AsyncCacheOnStorage",
    "AsyncCached",
    "AsyncConsistentCacheOnStorage",
    "AsyncConsistentServers",
    "AsyncFleetServers",
    "AsyncFreshCacheOnStorage",
    "AsyncFunctionStorage",
    "AsyncMemcacheStorage",
    "AsyncRateLimitedStorage",
    "AsyncSingleFlight",
    "AsyncSqlStorage",
    "AsyncStorage",
    "async_sqlite_pool",
]
