"""A cache for aiocache, which stores what aiocache's own ``MemcachedCache`` does."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiocache.base import BaseCache
from aiocache.serializers import JsonSerializer

from ._faces import chosen, key_namer
from .memcache import ServerError
from .memcache.aio import AsyncClient, AsyncClientOptions
from .memcache.batches import partial_error

__all__ = ["GodropboxCache"]

_DEFAULT: Final = AsyncClientOptions()


class GodropboxCache(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """Cache in one memcached, at `endpoint` and `port`, or in a fleet, at the addresses `servers`.

    `options` are ``AsyncClientOptions`` by name; a wrong one raises, with the one it is most like.
    The other arguments are those of aiocache's ``BaseCache``; values are JSON without a
    `serializer`, and a fraction of a second of `ttl` is rounded up. Keys may be any text. The cache
    belongs to the event loop that first uses it, until it is closed.
    """

    NAME = "godropbox"

    def __init__(
        self,
        serializer: Any = None,
        plugins: Any = None,
        namespace: str | None = None,
        key_builder: Any = None,
        timeout: float | None = 5,
        ttl: float | None = None,
        endpoint: str = "127.0.0.1",
        port: int = 11211,
        servers: Iterable[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        serializer = serializer or JsonSerializer()
        super().__init__(serializer, plugins, namespace, key_builder, timeout, ttl)
        self._servers = list(servers or [f"{endpoint}:{port}"])
        self._options = chosen(_DEFAULT, options or {}, "the options of GodropboxCache")
        self._named = key_namer(self._options)
        self.client = AsyncClient(self._servers, self._options)

    def _build_key(self, key: str, namespace: str | None = None) -> str:
        return self._named(super()._build_key(key, namespace).replace(" ", "_"))

    async def _get(self, key: str, encoding: Any = "utf-8", **_: Any) -> Any:
        return _text(await self.client.get(key), encoding)

    async def _gets(self, key: str, **_: Any) -> int | None:
        return (await self.client.gets(key))[1]

    async def _multi_get(self, keys: list[str], encoding: Any = "utf-8", **_: Any) -> list[Any]:
        found = await self.client.get_many(keys)
        return [_text(found.get(key), encoding) for key in keys]

    async def _set(self, key: str, value: Any, ttl: Any, _cas_token: Any = None, **_: Any) -> bool:
        if _cas_token is not None:
            return await self.client.cas(key, _data(value), _cas_token, ttl or 0)
        return await self.client.set(key, _data(value), ttl or 0)

    async def _multi_set(self, pairs: Iterable[tuple[str, Any]], ttl: Any, **_: Any) -> None:
        values = {key: _data(value) for key, value in pairs}
        failed = await self.client.set_many(values, ttl or 0)
        if failed.errors:
            raise partial_error({}, failed.errors, len(values))

    async def _add(self, key: str, value: Any, ttl: Any, **_: Any) -> None:
        if not await self.client.add(key, _data(value), ttl or 0):
            raise ValueError(f"{key!r} has a value already; set gives it another")

    async def _exists(self, key: str, **_: Any) -> bool:
        return await self.client.get(key) is not None

    async def _increment(self, key: str, delta: int, **_: Any) -> int:
        step = self.client.incr if delta > 0 else self.client.decr
        try:
            while (count := await step(key, abs(delta))) is None:
                if await self.client.add(key, b"%d" % delta):
                    return delta
        except ServerError as error:  # a value that is no number
            raise TypeError(f"{key!r} cannot be incremented: {error}") from error
        return count

    async def _expire(self, key: str, ttl: Any, **_: Any) -> bool:
        return await self.client.touch(key, ttl)

    async def _delete(self, key: str, **_: Any) -> int:
        return int(await self.client.delete(key))

    async def _clear(self, namespace: str | None = None, **_: Any) -> bool:
        if namespace:
            raise ValueError("memcached has no way to clear one namespace")
        await self.client.flush_all()
        return True

    async def _raw(self, command: str, *args: Any, encoding: Any, _conn: Any, **named: Any) -> Any:
        value = await getattr(self.client, command)(*args, **named)
        return _text(value, encoding) if command == "get" else value

    async def _redlock_release(self, key: str, value: Any) -> int:
        held, token = await self.client.gets(key)
        if token is None or held != _data(value):
            return 0
        return int(await self.client.cas(key, b"", token, -1))  # it has expired: it is gone

    async def _close(self, *_: Any, **__: Any) -> None:
        closing, self.client = self.client, AsyncClient(self._servers, self._options)
        await closing.close()


def _data(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _text(value: Any, encoding: str | None) -> Any:
    return value.decode(encoding) if encoding and isinstance(value, bytes) else value
