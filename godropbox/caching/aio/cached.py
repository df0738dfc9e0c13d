"""``AsyncCached``: what ``cached`` makes of a coroutine function.

The keys, the binding and the options are those of plain functions; when to load and what to keep is
decided by ``AsyncFreshCacheOnStorage``, whose storage is the function.
"""

import inspect
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Token
from typing import Any, ParamSpec, TypeVar

from ..._kernels._args import shown
from ..._kernels._guarded import PLAIN, refuse_unrun
from .._decorated import CALL, Decorated
from ..memcached import MemcacheStorage
from ..options import CacheOptions, Freshness
from ..sql import SqlStorage
from ..storage import MISSING
from .layers import AsyncFreshCacheOnStorage

__all__ = ["AsyncCached"]

P = ParamSpec("P")
R = TypeVar("R")


def _reset(token: Token[Any]) -> None:
    with suppress(ValueError):  # closed by a finalizer, in another context
        CALL.reset(token)


class _Running:
    """The storage below the cache: runs the function for the task that leads the load."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<the function {self._name}>"

    async def get(self, key: str, default: Any = None) -> Any:
        call = CALL.get()
        assert call is not None  # whoever reads the layer set it
        function, args, kwargs = call
        token = CALL.set(None)  # a task that the function makes must not keep the arguments
        try:
            value = await function(*args, **kwargs)
        finally:
            _reset(token)
        if type(value) not in PLAIN:
            refuse_unrun(self._name, value)
        return value

    async def delete(self, key: str) -> None:
        """Do nothing: a function has nothing to delete."""


def _blocking(storage: Any) -> Any:
    """Return what in `storage` is known to block, or None."""
    if isinstance(storage, (MemcacheStorage, SqlStorage)):
        return storage
    parts = [getattr(storage, name, None) for name in ("cache", "storage")]
    return next(filter(None, (_blocking(part) for part in parts if part is not None)), None)


class AsyncCached(Decorated[P, Coroutine[Any, Any, R], Coroutine[Any, Any, None]]):
    """A coroutine function whose results are kept in a storage; made by ``cached``."""

    def __init__(
        self,
        function: Any,
        key: str | Callable[..., str] | None,
        cache: Any,
        freshness: Freshness,
        options: CacheOptions | None,
    ) -> None:
        blocking = _blocking(cache)
        if blocking is not None:
            raise TypeError(
                "storage must not block the event loop of a coroutine function, as "
                f"{shown(blocking)} does: take its asyncio form"
            )
        super().__init__(
            function,
            key,
            lambda name: AsyncFreshCacheOnStorage(cache, _Running(name), freshness, options),
        )
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self._keys.of(args, kwargs)
        token = CALL.set((self._function, args, kwargs))
        try:
            result: R = await self._layer.get(key, MISSING)
        finally:
            _reset(token)
        return result

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete the entry of this call; a missing one is ignored."""
        await self._layer.delete(self.key(*args, **kwargs))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function now, store its result and return it.

        If it raises, the exception comes out and the entry stays as it was.
        """
        given = self._with_class(args, kwargs, True)
        key = self._keys.of(given, kwargs)
        token = CALL.set((self._function, given, kwargs))
        try:
            result: R = await self._layer.reload(key, MISSING)
        finally:
            _reset(token)
        return result
