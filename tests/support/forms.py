"""One test, over the blocking form of a storage or layer and over its asyncio form.

The names here stand for the classes of ``godropbox.caching``. In a test that uses the fixture
``form`` each makes the form that the fixture says: the class itself, or its asyncio form behind
methods that run a loop until the operation is done, over storages whose methods are coroutines.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from inspect import iscoroutine
from typing import Any, Final

from godropbox import caching
from godropbox.caching import aio
from support.aio import LOOPS

__all__ = [
    "FORMS",
    "Blocking",
    "CacheOnStorage",
    "ConsistentCacheOnStorage",
    "FreshCacheOnStorage",
    "FunctionStorage",
    "MemcacheStorage",
    "RateLimitedStorage",
    "Yielding",
    "form_of",
]

# Async over storages whose calls are awaited, on every loop, and over plain ones.
PLAIN: Final = "asyncio over plain storages"
FORMS: Final = ("threads", *LOOPS, PLAIN)

_ASYNC: Final = {
    caching.CacheOnStorage: aio.AsyncCacheOnStorage,
    caching.ConsistentCacheOnStorage: aio.AsyncConsistentCacheOnStorage,
    caching.FreshCacheOnStorage: aio.AsyncFreshCacheOnStorage,
    caching.FunctionStorage: aio.AsyncFunctionStorage,
    caching.MemcacheStorage: aio.AsyncMemcacheStorage,
    caching.RateLimitedStorage: aio.AsyncRateLimitedStorage,
}


class Yielding:
    """The asyncio form of something plain: each call of it lets the loop turn first."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    async def _call(self, name: str, *arguments: Any) -> Any:
        await asyncio.sleep(0)
        return getattr(self.plain, name)(*arguments)

    async def get(self, key: Any, default: Any = None) -> Any:
        return await self._call("get", key, default)

    async def get_multi(self, keys: Iterable[Any]) -> Any:
        return await self._call("get_multi", keys)

    async def set(self, *arguments: Any) -> Any:
        return await self._call("set", *arguments)

    async def set_multi(self, items: Mapping[Any, Any]) -> Any:
        return await self._call("set_multi", items)

    async def delete(self, key: Any) -> Any:
        return await self._call("delete", key)

    async def delete_multi(self, keys: Iterable[Any]) -> Any:
        return await self._call("delete_multi", keys)

    async def flush(self) -> Any:
        return await self._call("flush")

    async def get_many(self, keys: Any) -> Any:
        return await self._call("get_many", keys)

    async def set_many(self, values: Any, expire: int = 0) -> Any:
        return await self._call("set_many", values, expire)

    async def delete_many(self, keys: Any) -> Any:
        return await self._call("delete_many", keys)

    async def flush_all(self) -> Any:
        return await self._call("flush_all")

    async def run(self, requests: Any) -> Any:
        return await self._call("run", requests)

    def places(self, key: Any) -> Any:
        return self.plain.places(key)

    def __repr__(self) -> str:
        return repr(self.plain)


class Blocking:
    """An async storage whose methods run the loop until they are done."""

    def __init__(self, storage: Any, runner: "asyncio.Runner") -> None:
        self.storage_itself = storage
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage_itself, name)
        if not callable(found) or name in ("cache", "storage", "client"):
            return found.plain if isinstance(found, Yielding) else found

        def call(*arguments: Any) -> Any:
            result = found(*arguments)
            if not iscoroutine(result):
                return result
            if self._runner.get_loop().is_running():
                return _stepped(result)
            return self._runner.run(result)

        return call

    def __repr__(self) -> str:
        """Return the repr of the blocking form, which differs in the names of classes."""
        return repr(self.storage_itself).replace("<Async", "<")


def _stepped(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that only lets the loop turn, from within that loop."""
    while True:
        try:
            waited_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        assert waited_for is None


class _Form:
    """What is made at present."""

    name = "threads"
    runner: Any = None


@contextmanager
def form_of(name: str) -> Iterator[None]:
    """Have the classes of this module make that form."""
    if name == "threads":
        yield
        return
    factory: Any = asyncio.new_event_loop
    if name == "uvloop":
        factory = import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        _Form.name, _Form.runner = name, runner
        try:
            yield
        finally:
            _Form.name, _Form.runner = "threads", None


def _side(given: Any) -> Any:
    """Return a part of a layer as its asyncio form takes it."""
    if isinstance(given, Blocking):
        return given.storage_itself
    has_methods = hasattr(given, "get") and type(given) is not dict
    is_async = type(given).__module__.startswith("godropbox.caching")
    if _Form.name == PLAIN or is_async or not (has_methods or hasattr(given, "places")):
        return given
    return Yielding(given)


def _maker(blocking: Any) -> Callable[..., Any]:
    def make(*arguments: Any, **options: Any) -> Any:
        if _Form.name == "threads":
            return blocking(*arguments, **options)
        sides = [_side(each) for each in arguments]
        return Blocking(_ASYNC[blocking](*sides, **options), _Form.runner)

    return make


CacheOnStorage: Any = _maker(caching.CacheOnStorage)
ConsistentCacheOnStorage: Any = _maker(caching.ConsistentCacheOnStorage)
FreshCacheOnStorage: Any = _maker(caching.FreshCacheOnStorage)
FunctionStorage: Any = _maker(caching.FunctionStorage)
MemcacheStorage: Any = _maker(caching.MemcacheStorage)
RateLimitedStorage: Any = _maker(caching.RateLimitedStorage)
