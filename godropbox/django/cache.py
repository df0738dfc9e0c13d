"""``GodropboxCache``: the back end, with its blocking methods."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from ..memcache.batches import FailedKeys, PartialResultError
from ..memcache.errors import NotSupportedError
from ..memcache.options import Expiry
from ..memcache.stepping import driven
from .aio import AsyncMethods
from .base import MISSING, Load

__all__ = ["GodropboxCache"]


_UNKNOWN_KEYS: Final = "memcached lists its keys for tools alone (Client.iter_keys); "
# What users of django-redis may look for.
_IMPOSSIBLE: Final = {
    "keys": _UNKNOWN_KEYS + "keep the keys in a value of their own, or change VERSION",
    "iter_keys": _UNKNOWN_KEYS + "keep the keys in a value of their own, or change VERSION",
    "delete_pattern": _UNKNOWN_KEYS + "put a version into the keys, and change that",
    "lock": "memcached may evict a lock while it is held; get_or_set has one caller at a time load "
    "a value, and add() marks what is done at most once a timeout",
}


class ImpossibleError(NotSupportedError, AttributeError):
    """Caches over other servers have this, and memcached cannot do it."""


def _blocking(own: Load) -> Callable[[], Any]:
    """Return the function that loads by `own` for a blocking client."""

    def load() -> Any:
        return own.call()

    return load


class GodropboxCache(AsyncMethods):
    """Django's cache over memcached, for threads and for event loops.

    ``LOCATION`` is a server or several, ``OPTIONS`` are those of ``ClientOptions`` and
    ``AsyncClientOptions`` and the back end's own; see docs/django.md. Wrong ones raise
    ``CacheOptionsError`` at once.

    A failure of a server or of the network raises a ``NetworkError`` or a ``ServerError``, unless
    ``IGNORE_EXCEPTIONS`` is set: then it is logged, and is a miss, or a write that was not done.
    A key that no server takes raises ``InvalidCacheKey``.
    """

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value of a key, or `default` if there is none."""
        name = self._name(key, version)
        try:
            return self._client.get(name, default)
        except Exception as error:
            return self._excused(error, (name,), default)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Store a value. After one that is too large, the key has none."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        try:
            self._client.set(name, value, until)
        except Exception as error:
            self._excused(driven(self._explained(self._client, error, name, value)), (name,), None)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Store a value if the key has none; return whether it was stored."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        try:
            return self._client.add(name, value, until)
        except Exception as error:
            error = driven(self._explained(self._client, error, name, value))
            return bool(self._excused(error, (name,), False))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give the value of a key a new timeout; return whether there is one."""
        name = self._name(key, version)
        until = self.get_backend_timeout(timeout)
        try:
            if self._looks:
                return driven(self._touching(self._client, name, until))
            return self._client.touch(name, until)
        except Exception as error:
            return bool(self._excused(error, (name,), False))

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Delete the value of a key; return whether there was one."""
        name = self._name(key, version)
        try:
            return self._client.delete(name)
        except Exception as error:
            return bool(self._excused(error, (name,), False))

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Return the values of those keys that have one; all servers are asked at once."""
        named = self._names(keys, version)
        found: Mapping[Any, Any]
        try:
            found = self._client.get_many(list(named))
        except PartialResultError as error:
            return self._partly_found(named, error)
        except Exception as error:
            found = self._excused(error, named, {})
        return {named[name]: value for name, value in found.items()}

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> FailedKeys:
        """Store many values, on all servers at once; return the keys that failed.

        The list has the error of each in its `errors`.
        """
        named, values = self._values(data, version)
        until = self.get_backend_timeout(timeout)
        try:
            failed = self._client.set_many(values, until)
        except Exception as error:
            failed = self._excused(error, named, FailedKeys(named))
        return self._failed(failed, named) if failed else failed

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Delete the values of many keys; a key that has none is no failure."""
        names = list(self._names(keys, version))
        try:
            self._raise_first(self._client.delete_many(names))
        except Exception as error:
            self._excused(error, names, None)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add `delta` to a counter and return it; raise ``ValueError`` if it is not there.

        memcached's counters are in [0, 2**64): they stop at 0 on the way down.
        """
        name = self._name(key, version)
        client = self._client
        try:
            count = client.incr(name, delta) if delta >= 0 else client.decr(name, -delta)
        except Exception as error:
            count = driven(self._uncounted(client, name, error))
        return self._counted(key, count)

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        stale: Expiry = 0,
    ) -> Any:
        """Return the value of a key; if it has none, store `default`, or what it returns.

        Of all processes that miss the key at once, one calls `default`; the others wait for its
        value, for ``OPTIONS["lease_wait"]`` seconds. `stale` is for how many seconds after
        `timeout` a value may be given still, while one caller makes a new one.
        """
        if self._shared.settings.leases:
            name = self._name(key, version)
            until = self.get_backend_timeout(timeout)
            steps = self._loading(self._client, name, default, until, stale, _blocking)
            value = driven(steps)
            if value is not MISSING:
                return value
        return super().get_or_set(key, default, timeout, version)

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Return whether a key has a value."""
        return self.get(key, MISSING, version) is not MISSING

    def clear(self) -> None:
        """Forget everything on every server, whoever stored it."""
        try:
            self._client.flush_all()
        except Exception as error:
            self._excused(error, (), None)

    def close(self, **kwargs: Any) -> None:
        """Do nothing: the connections are the process's, and serve its next request."""

    def ttl(self, key: Any, version: int | None = None) -> int | None:
        """Return the seconds that a value has left: None for ever, 0 if there is none."""
        name = self._name(key, version)
        try:
            return driven(self._remaining(self._client, name))
        except Exception as error:
            left: int | None = self._excused(error, (name,), 0)
            return left

    if not TYPE_CHECKING:  # or a type checker would let every name pass

        def __getattr__(self, name: str) -> NoReturn:
            """Say of what memcached cannot do that it cannot; ``hasattr`` is False for it."""
            why = _IMPOSSIBLE.get(name)
            if why is not None:
                raise ImpossibleError(f"{name} is not possible: {why}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
