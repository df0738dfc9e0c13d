"""A result back end for Celery: ``result_backend = "godropbox://cache1:11211;cache2:11211/"``.

Where the entry points of packages are not read it is spelled by its class:
``"godropbox.celery.GodropboxBackend+memcached://cache1:11211/"``. What it stores is what Celery's
own memcached back end stores.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from celery.backends.base import KeyValueStoreBackend

from ._faces import chosen, server_list
from .memcache import Client, Key, NetworkError
from .memcache.options import ClientOptions
from .resource_pool import PoolExhaustedError

__all__ = ["GodropboxBackend"]

_DEFAULT: Final = ClientOptions(timeout=5.0, connect_timeout=5.0)


class GodropboxBackend(KeyValueStoreBackend):  # type: ignore[misc]  # Celery has no types
    """Results of tasks in one memcached or a fleet; threads and forked workers may share it.

    The URL names the servers, with ``;`` between them. Celery's setting ``cache_backend_options``
    has ``ClientOptions`` by name; a wrong one raises, with the one it is most like. Results expire
    after ``result_expires``, which may be more than 30 days. With ``result_backend_always_retry``
    what the network fails is tried again.
    """

    supports_autoexpire = True
    supports_native_join = True
    implements_incr = True

    def __init__(
        self,
        app: Any,
        expires: Any = None,
        url: str | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(app, expires=expires, expires_type=int, url=url, **kwargs)
        self.thread_safe = True  # so an app makes one, and not one a thread
        self._named = {**app.conf.cache_backend_options, **(options or {})}
        servers = (url or "").partition("://")[2].rstrip("/")
        self._client = Client(
            server_list(servers.split(";") if servers else None),
            chosen(_DEFAULT, self._named, "cache_backend_options"),
        )

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        more = {"url": self.url, "expires": self.expires, "options": self._named}
        return super().__reduce__(args, {**(kwargs or {}), **more})

    def close(self) -> None:
        """Close the connections; the back end is of no use from then on."""
        self._client.close()

    def get(self, key: Key) -> Any:
        """Return the result of a task as it is stored, None if there is none."""
        return self._client.get(key)

    def mget(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """Return the results that there are, by key."""
        return self._client.get_many(keys)

    def set(self, key: Key, value: Any) -> None:
        """Store a result until it expires."""
        self._client.set(key, value, self.expires or 0)

    def delete(self, key: Key) -> None:
        """Delete a result."""
        self._client.delete(key)

    def incr(self, key: Key) -> int:
        """Count one more part of a chord."""
        count = self._client.incr(key)
        if count is None:
            raise KeyError(f"the counter of a chord, {key!r}, has expired or was evicted")
        return count

    def expire(self, key: Key, value: int | None) -> None:
        """Let an entry live for `value` seconds from now, None or 0 for ever."""
        self._client.touch(key, value or 0)

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Return whether an operation that raised this may succeed when it is tried again."""
        return isinstance(exc, (NetworkError, PoolExhaustedError))

    def _apply_chord_incr(self, header_result_args: Any, body: Any, **kwargs: Any) -> Any:
        key = self.get_key_for_chord(header_result_args[0])
        expires = cast("int | None", getattr(self, "chord_expires", self.expires))
        self._client.set(key, 0, expires or 0)
        return super()._apply_chord_incr(header_result_args, body, **kwargs)
