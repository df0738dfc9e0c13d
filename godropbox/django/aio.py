"""The back end's methods for event loops: each loop has a client, and no thread waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from ..memcache.aio.client import AsyncClient, _driven
from ..memcache.batches import FailedKeys, PartialResultError
from ..memcache.options import Expiry
from .base import MISSING, Decisions, Load
from .clients import Clients

__all__ = ["AsyncMethods", "LoopClients"]


class LoopClients:
    """A client for each running event loop, which is closed with the loop.

    An asynchronous generator holds each: a loop ends those before it is closed
    (``loop.shutdown_asyncgens``, which ``asyncio.run`` and ``async_to_sync`` call). What a loop
    left that was closed without it goes when the next loop comes.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._held: dict[Any, tuple[AsyncClient, AsyncGenerator[None, None]]] = {}

    def current(self) -> AsyncClient:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        return self._begun(loop) if held is None else held[0]

    def _begun(self, loop: asyncio.AbstractEventLoop) -> AsyncClient:
        for other in list(self._held):
            if other.is_closed():
                self._held.pop(other, None)
        client = AsyncClient(self._clients.servers, self._clients.settings.async_client)
        keeper = self._kept(loop, client)
        with suppress(StopIteration):  # its first step, which waits for nothing
            keeper.asend(None).send(None)
        self._held[loop] = client, keeper
        return client

    async def _kept(
        self, loop: asyncio.AbstractEventLoop, client: AsyncClient
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._held.pop(loop, None)
            await client.close()


def _awaiting(own: Load) -> Callable[[], Awaitable[Any]]:
    """Return the coroutine function that loads by `own` for an asyncio client."""

    async def load() -> Any:
        outcome = own.call()
        if own.value is MISSING:
            own.take(await outcome)
        return own.value

    return load


class AsyncMethods(Decisions):
    """The methods of ``GodropboxCache`` that are coroutines; each does what its namesake does."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        loops: LoopClients = self._shared.of_loops(LoopClients)
        self._current = loops.current

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value of a key, or `default` if there is none."""
        name = self._name(key, version)
        client = self._current()
        try:
            return await client.get(name, default)
        except Exception as error:
            return self._excused(error, (name,), default)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Store a value. After one that is too large, the key has none."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        client = self._current()
        try:
            await client.set(name, value, until)
        except Exception as error:
            error = await _driven(self._explained(client, error, name, value))
            self._excused(error, (name,), None)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Store a value if the key has none; return whether it was stored."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        client = self._current()
        try:
            return await client.add(name, value, until)
        except Exception as error:
            error = await _driven(self._explained(client, error, name, value))
            return bool(self._excused(error, (name,), False))

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Give the value of a key a new timeout; return whether there is one."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        client = self._current()
        try:
            if self._looks:
                return await _driven(self._touching(client, name, until))
            return await client.touch(name, until)
        except Exception as error:
            return bool(self._excused(error, (name,), False))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """Delete the value of a key; return whether there was one."""
        name = self._name(key, version)
        try:
            return await self._current().delete(name)
        except Exception as error:
            return bool(self._excused(error, (name,), False))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Return the values of those keys that have one; all servers are asked at once."""
        named = self._names(keys, version)
        client = self._current()
        found: Mapping[Any, Any]
        try:
            found = await client.get_many(list(named))
        except PartialResultError as error:
            return self._partly_found(named, error)
        except Exception as error:
            found = self._excused(error, named, {})
        return {named[name]: value for name, value in found.items()}

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> FailedKeys:
        """Store many values, on all servers at once; return the keys that failed."""
        named, values = self._values(data, version)
        until = self.get_backend_timeout(timeout)
        client = self._current()
        try:
            failed = await client.set_many(values, until)
        except Exception as error:
            failed = self._excused(error, named, FailedKeys(named))
        return self._failed(failed, named) if failed else failed

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Delete the values of many keys; a key that has none is no failure."""
        names = list(self._names(keys, version))
        try:
            self._raise_first(await self._current().delete_many(names))
        except Exception as error:
            self._excused(error, names, None)

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add `delta` to a counter and return it; raise ``ValueError`` if it is not there."""
        name = self._name(key, version)
        client = self._current()
        try:
            count = await (client.incr(name, delta) if delta >= 0 else client.decr(name, -delta))
        except Exception as error:
            count = await _driven(self._uncounted(client, name, error))
        return self._counted(key, count)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        stale: Expiry = 0,
    ) -> Any:
        """Return the value of a key; if it has none, store `default`, or what it returns.

        `default` may be a coroutine function. See ``get_or_set``.
        """
        if self._shared.settings.leases:
            name = self._name(key, version)
            until = self.get_backend_timeout(timeout)
            steps = self._loading(self._current(), name, default, until, stale, _awaiting)
            value = await _driven(steps)
            if value is not MISSING:
                return value
        value = await self.aget(key, MISSING, version)
        if value is MISSING:
            value = default() if callable(default) else default
            if isawaitable(value):
                value = await value
            await self.aadd(key, value, timeout, version)
            value = await self.aget(key, value, version)
        return value

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """Return whether a key has a value."""
        return await self.aget(key, MISSING, version) is not MISSING

    async def aclear(self) -> None:
        """Forget everything on every server, whoever stored it."""
        try:
            await self._current().flush_all()
        except Exception as error:
            self._excused(error, (), None)

    async def aclose(self, **kwargs: Any) -> None:
        """Do nothing: the connections are the loop's, and are closed with it."""

    async def attl(self, key: Any, version: int | None = None) -> int | None:
        """Return the seconds that a value has left: None for ever, 0 if there is none."""
        name = self._name(key, version)
        try:
            return await _driven(self._remaining(self._current(), name))
        except Exception as error:
            left: int | None = self._excused(error, (name,), 0)
            return left
