"""``cached``: a decorator that keeps the results of a function in a storage.

When to load and what to keep is decided by ``FreshCacheOnStorage``, whose storage is the function.
"""

import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from .._kernels._args import shown
from .._kernels._guarded import PLAIN, refuse_unrun
from ._decorated import CALL, Decorated, freshness_of, kept
from .fresh import FreshCacheOnStorage
from .options import CacheOptions, Freshness
from .storage import MISSING, Storage

if TYPE_CHECKING:
    from .aio import AsyncStorage
    from .aio.cached import AsyncCached

__all__ = ["Cached", "Decorator", "cached"]

P = ParamSpec("P")
R = TypeVar("R")


class _Running:
    """The storage below the cache: runs the function for the caller that leads the load."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<the function {self._name}>"

    def get(self, key: str, default: Any = None) -> Any:
        call = CALL.get()
        assert call is not None  # whoever reads the layer set it
        function, args, kwargs = call
        token = CALL.set(None)  # a context that the function copies must not keep the arguments
        try:
            value = function(*args, **kwargs)
        finally:
            CALL.reset(token)
        if type(value) not in PLAIN:
            refuse_unrun(self._name, value)
        return value

    def delete(self, key: str) -> None:
        """Do nothing: a function has nothing to delete."""


class Cached(Decorated[P, R, None]):
    """A function whose results are kept in a storage; made by ``cached``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self._keys.of(args, kwargs)
        token = CALL.set((self._function, args, kwargs))
        try:
            result: R = self._layer.get(key, MISSING)
        finally:
            CALL.reset(token)
        return result

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Delete the entry of this call; a missing one is ignored."""
        self._layer.delete(self.key(*args, **kwargs))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function now, store its result and return it.

        If it raises, the exception comes out and the entry stays as it was.
        """
        given = self._with_class(args, kwargs, True)
        key = self._keys.of(given, kwargs)
        token = CALL.set((self._function, given, kwargs))
        try:
            result: R = self._layer.reload(key, MISSING)
        finally:
            CALL.reset(token)
        return result


class Decorator(Protocol):
    """What ``cached`` returns: it decorates functions, coroutine functions and methods."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # every coroutine is a result, too
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> "AsyncCached[P, R]": ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


def cached(
    storage: "Storage[str, Any] | AsyncStorage[str, Any]",
    *,
    key: str | Callable[..., str] | None = None,
    ttl: float | timedelta | None = None,
    stale: float | timedelta = 0,
    freshness: Freshness | None = None,
    options: CacheOptions | None = None,
) -> Decorator:
    """Return a decorator that keeps the results of a function, or of a coroutine function.

    - `storage`: keeps them; for a coroutine function an ``AsyncStorage``, or a plain one that never
      blocks. ``MemcacheStorage`` keeps each entry for as long as it may be returned; another
      storage must, too.
    - `key`: a template with arguments in braces, such as ``"user:{id}"`` or ``"user:{user.id}"``;
      a function that is called with the arguments and returns the key; or None for the function's
      name and all arguments, without the ``self`` or ``cls`` of a method.
    - `ttl`: for how long a result is fresh, in seconds or as a timedelta.
    - `stale`: for how long after that it is still returned to others while one caller, at most,
      runs the function again, and if that fails.
    - `freshness`: in place of these two, all that ``FreshCacheOnStorage`` may be told.
    - `options`: those of that layer; `patience` and `on_cache_failure` are of use here.

    Callers that want the same key at once share one run. None is a result like any other. An
    exception is not kept; it goes to every caller that waited.

    The decorated function has three methods with the function's own parameters: ``invalidate``
    deletes an entry, ``refresh`` runs the function now and replaces it, ``key`` returns its key.
    ``stats`` returns a ``CacheStats``. Methods can be decorated, and classmethods and staticmethods
    from either side.

    Raises ``TypeError`` or ``ValueError`` at once for a bad template, a generator function, or a
    storage that does not fit; a call raises ``TypeError`` for an argument that cannot be part of
    a key: it must be None, a bool, int, float, str, bytes, Enum, class, date, time, datetime,
    timedelta, Decimal or UUID, or a tuple or frozenset of them.
    """
    if key is not None and not isinstance(key, str) and not callable(key):
        raise TypeError(f"key must be a template, a function or None, got {shown(key)}")
    freshness = freshness_of(ttl, stale, freshness)
    cache = kept(storage, freshness)

    def decorate(function: Any, /) -> Any:
        bare = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        if not callable(bare):
            raise TypeError(f"cached must decorate a function, got {shown(function)}")
        if inspect.isgeneratorfunction(bare) or inspect.isasyncgenfunction(bare):
            raise TypeError(f"cached cannot keep what a generator yields, got {shown(function)}")
        if inspect.iscoroutinefunction(bare):
            from .aio.cached import AsyncCached  # imports asyncio

            return AsyncCached(function, key, cache, freshness, options)
        for name in ("get", "set", "delete"):
            if inspect.iscoroutinefunction(getattr(cache, name)):
                raise TypeError(f"storage must not be async for a plain function: {shown(storage)}")
        return Cached(
            function,
            key,
            lambda name: FreshCacheOnStorage(cache, _Running(name), freshness, options),
        )

    return decorate
