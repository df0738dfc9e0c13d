"""``AsyncCacheOnStorage`` and ``AsyncFreshCacheOnStorage``: caches over storages, for tasks."""

import asyncio
from types import TracebackType
from typing import Any

from ..._kernels._identity import refuse_copies
from .._calls import Calls
from ..flight import SingleFlight
from ..fresh import FreshCacheOnStorage
from ..layers import CacheOnStorage
from ..options import CacheOptions, CacheStats, Freshness
from ._drive import DrivenStorage, drive
from .flight import Table

__all__ = ["AsyncCacheOnStorage", "AsyncFreshCacheOnStorage"]


class _Layer(CacheOnStorage):
    """The decisions of a layer whose callers are tasks."""

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    _kind = "AsyncCacheOnStorage"

    def _check(self, cache: Any, storage: Any) -> None:
        """Accept any methods, plain and async."""

    def _new_flight(self, options: CacheOptions) -> SingleFlight:
        return Table(patience=options.patience, cancellations=options.cancellations)


class _FreshLayer(FreshCacheOnStorage):
    """The decisions of a layer whose callers are tasks, and which may make tasks itself."""

    __slots__ = ("refreshes", "runs_in_background")
    __reduce_ex__ = refuse_copies

    _kind = "AsyncFreshCacheOnStorage"
    refreshes: set[asyncio.Task[Any]]
    runs_in_background: bool

    def _check(self, cache: Any, storage: Any) -> None:
        """Accept any methods, plain and async."""

    def _new_flight(self, options: CacheOptions) -> SingleFlight:
        return Table(patience=options.patience, cancellations=options.cancellations)

    def _start(self, calls: Calls[Any]) -> bool:
        if not self.runs_in_background:
            return False
        task = asyncio.get_running_loop().create_task(drive(calls))
        self.refreshes.add(task)
        task.add_done_callback(self.refreshes.discard)
        return True


class _AsyncLayer(DrivenStorage):
    """What both layers have."""

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    @property
    def cache(self) -> Any:
        """The cache."""
        return self._blocking.cache

    @property
    def storage(self) -> Any:
        """The storage below the cache."""
        return self._blocking.storage

    def stats(self) -> CacheStats:
        """Return the layer's statistics."""
        stats: CacheStats = self._blocking.stats()
        return stats


class AsyncCacheOnStorage(_AsyncLayer):
    """Reads through `cache` and writes through it to `storage`, for asyncio.

    The asyncio form of ``CacheOnStorage``, which decides the same, with the same options, errors
    and statistics. Both sides may be an ``AsyncStorage``, or a plain storage that never blocks,
    such as ``LocalStorage``: a call that returns an awaitable is awaited. So values cannot be
    awaitables.

    If several tasks miss the same key at once, one of them reads it for all, in its own task (see
    ``AsyncSingleFlight``). A write that is cancelled puts its keys in doubt, as a write that fails
    does, since it is unknown what was written.

    Make it anywhere; one event loop at a time may use it.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(self, cache: Any, storage: Any, options: CacheOptions | None = None) -> None:
        super().__init__(_Layer(cache, storage, options))


class AsyncFreshCacheOnStorage(_AsyncLayer):
    """An ``AsyncCacheOnStorage`` whose entries expire and are reloaded as `freshness` says.

    The asyncio form of ``FreshCacheOnStorage``. An entry that is due is reloaded by the read that
    finds it, while the others return at once. With `background` that read returns at once, too, and
    a task reloads the entry; ``close`` waits for such tasks. ``freshness.background``, which is for
    threads, must be None.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        cache: Any,
        storage: Any,
        freshness: Freshness,
        options: CacheOptions | None = None,
        *,
        background: bool = False,
    ) -> None:
        if freshness.background is not None:
            raise ValueError(
                "freshness.background must be None under asyncio, where background=True makes tasks"
            )
        layer = _FreshLayer(cache, storage, freshness, options)
        layer.refreshes = set()
        layer.runs_in_background = background
        super().__init__(layer)

    async def reload(self, key: Any, default: Any = None) -> Any:
        """Read `key` from the storage now, replace its entry, and return its value or `default`.

        As ``FreshCacheOnStorage.reload`` does.
        """
        layer: _FreshLayer = self._blocking
        return await drive(layer._reload_calls(key, default))

    async def close(self) -> None:
        """Wait for the tasks that reload entries; later reads reload them without a task.

        If this is cancelled, so are they.
        """
        layer: _FreshLayer = self._blocking
        layer.runs_in_background = False
        try:
            while layer.refreshes:
                await asyncio.wait(layer.refreshes)
        except asyncio.CancelledError:
            for task in layer.refreshes:
                task.cancel()
            raise

    async def __aenter__(self) -> "AsyncFreshCacheOnStorage":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
