"""``AsyncMemcacheStorage``: a storage in memcached, over ``memcache.aio.AsyncClient``."""

from collections.abc import Callable, Mapping
from random import random as uniform
from typing import Any, Protocol

from ..._kernels._identity import refuse_copies
from ..memcached import MemcacheStorage
from ._drive import DrivenStorage

__all__ = ["AsyncCacheClient", "AsyncMemcacheStorage"]


class AsyncCacheClient(Protocol):
    """The methods that a client needs: those of ``CacheClient``, as coroutine functions."""

    async def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""

    async def get_many(self, keys: Any) -> dict[Any, Any]:
        """Return the values by key; missing keys are left out."""
        ...

    async def set(self, key: Any, value: Any, expire: int = 0) -> object:
        """Store `value`; return False if it was not stored."""

    async def set_many(self, values: Mapping[Any, Any], expire: int = 0) -> list[Any]:
        """Store every value; return the keys that failed."""
        ...

    async def delete_many(self, keys: Any) -> list[Any]:
        """Delete `keys`; return the keys that failed. A missing key is not a failure."""
        ...

    async def flush_all(self) -> object:
        """Delete everything."""


class _Memcache(MemcacheStorage):
    """The decisions of a storage whose callers are tasks."""

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    _kind = "AsyncMemcacheStorage"


class AsyncMemcacheStorage(DrivenStorage):
    """Keeps values in memcached through `client`, each for at most `ttl` seconds (None: no limit).

    The asyncio form of ``MemcacheStorage``, with the same options. The client is the caller's to
    close.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        client: AsyncCacheClient,
        *,
        ttl: float | None = None,
        jitter: float = 0.1,
        key_of: Callable[[Any], Any] | None = None,
        random: Callable[[], float] = uniform,
    ) -> None:
        given: Any = client
        super().__init__(_Memcache(given, ttl=ttl, jitter=jitter, key_of=key_of, random=random))

    @property
    def client(self) -> AsyncCacheClient:
        """The client."""
        client: AsyncCacheClient = self._blocking.client
        return client

    @property
    def lifetime(self) -> float | None:
        """For how many seconds a value is kept at least, unless it is evicted; None: no limit."""
        lifetime: float | None = self._blocking.lifetime
        return lifetime

    def keeping(self, seconds: float) -> "AsyncMemcacheStorage":
        """Return a storage over the same client that keeps each value for at least `seconds`."""
        storage = AsyncMemcacheStorage(self.client)
        storage._blocking = self._blocking.keeping(seconds)
        return storage
