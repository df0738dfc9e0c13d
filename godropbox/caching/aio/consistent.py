"""``AsyncConsistentCacheOnStorage``: never stale after an acknowledged write, for asyncio."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from secrets import token_bytes
from typing import Any, Protocol

from ..._kernels._identity import refuse_copies
from ...memcache.types import Key
from ..consistency.protocol import Place
from ..consistency.servers import Request
from ..consistent import ConsistencyOptions, ConsistencyStatistics, ConsistentCacheOnStorage
from ._drive import DrivenStorage, drive

__all__ = ["AsyncConsistentCacheOnStorage", "AsyncConsistentServers"]


class AsyncConsistentServers(Protocol):
    """What ``AsyncConsistentCacheOnStorage`` needs of its cache, as ``ConsistentServers``."""

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be."""
        ...

    async def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps, all of different keys, in any order; return what each came to, in order."""
        ...

    async def flush(self) -> bool:
        """Flush every server that writes must be known at; return whether all have said so."""
        ...


class _Consistent(ConsistentCacheOnStorage[Any, Any]):
    """The decisions of a cache whose callers are tasks."""

    __reduce_ex__ = refuse_copies

    def _check(self, storage: Any) -> None:
        """Accept any methods, plain and async."""


class AsyncConsistentCacheOnStorage(DrivenStorage):
    """A storage with a cache over it that is never stale after an acknowledged write, for asyncio.

    The asyncio form of ``ConsistentCacheOnStorage``: the same steps, options, errors and
    statistics. `storage` may be an ``AsyncStorage``, or a plain storage that never blocks.

    A write that is cancelled is not acknowledged, and may have taken place, as if its process had
    ended: its sentinels keep readers from the cache until they expire.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        cache: AsyncConsistentServers,
        storage: Any,
        options: ConsistencyOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        servers: Any = cache
        super().__init__(
            _Consistent(
                servers,
                storage,
                options,
                clock=clock,
                wall_clock=wall_clock,
                pause=pause,
                random=random,
            )
        )

    def statistics(self) -> ConsistencyStatistics:
        """Return the counts so far."""
        statistics: ConsistencyStatistics = self._blocking.statistics()
        return statistics

    async def invalidate(self, key: Any) -> None:
        """Make later reads return the storage's present value, or a later one.

        Call it after a write that bypassed this cache, and after ``CommitUncertain``. Raises
        ``CommitUncertain`` itself if a server does not confirm.
        """
        await self.invalidate_multi([key])

    async def invalidate_multi(self, keys: Iterable[Any]) -> None:
        """Invalidate all of `keys`."""
        await drive(self._blocking._invalidate_calls(keys))

    def __repr__(self) -> str:
        return object.__repr__(self)
