"""A back end for cachelib, which Flask-Session and others take as it is; see ``flask`` for Flask.

What it stores is what cachelib's own ``MemcachedCache`` stores over pylibmc, so that both can share
a server.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast

from cachelib import BaseCache

from ._faces import key_namer, server_list
from .memcache import Client, ShardManager
from .memcache.batches import FAILURES
from .memcache.options import ClientOptions

__all__ = ["DEFAULT_OPTIONS", "GodropboxCache"]

DEFAULT_OPTIONS: Final = ClientOptions(serializer="pickle", unreadable="miss")
"""Options of a cache that is given none: any value can be stored, and an unreadable one is none."""

_TRIES: Final = 100
_MISSING: Final = object()


class GodropboxCache(BaseCache):
    """A cachelib cache over one memcached or a fleet; threads share its connections.

    `servers` are what ``Client`` takes, by default 127.0.0.1:11211. `default_timeout` is in seconds
    or a ``timedelta``, and 0 is for ever. `key_prefix` goes before each key; keys may be any text,
    as those that memcached would refuse are hashed.

    What fails raises, as with ``Client``; with ``failures="miss"`` in the `options` a get finds
    nothing, and what should be stored or deleted returns False. A batch says which keys were done.
    With `ignore_delete_many_errors` ``delete_many`` does so too, else it raises ``RuntimeError``.
    """

    def __init__(
        self,
        servers: "Iterable[str] | str | ShardManager | None" = None,
        default_timeout: int | timedelta = 300,
        key_prefix: str | None = None,
        ignore_delete_many_errors: bool = True,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> None:
        super().__init__(default_timeout, ignore_delete_many_errors)
        if key_prefix:
            options = replace(options, prefix=key_prefix)
        if servers is None or not hasattr(servers, "fleet"):
            servers = server_list(servers)
        self._client = Client(servers, options)
        self._forgives = options.failures == "miss"
        self._named = key_namer(options)

    def close(self) -> None:
        """Close the connections; the cache is of no use from then on."""
        self._client.close()

    def get(self, key: str) -> Any:
        """Return the value of a key, None if it has none."""
        return self._client.get(self._named(key))

    def get_many(self, *keys: str) -> list[Any]:
        """Return the values of keys, in their order."""
        if len(keys) == 1:  # takes three quarters of the time
            return [self.get(keys[0])]
        names = list(map(self._named, keys))
        find = self._client.get_many(names).get
        return [find(name) for name in names]

    def get_dict(self, *keys: str) -> dict[str, Any]:
        """Return the values of keys by key."""
        return dict(zip(keys, self.get_many(*keys), strict=True))

    def has(self, key: str) -> bool:
        """Return whether a key has a value."""
        return self._client.get(self._named(key), _MISSING) is not _MISSING

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        """Store a value; return whether it was."""
        try:
            return self._client.set(self._named(key), value, self._normalize_timeout(timeout))
        except FAILURES:
            if not self._forgives:
                raise
        return False

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        """Store a value if the key has none; return whether it was."""
        try:
            return self._client.add(self._named(key), value, self._normalize_timeout(timeout))
        except FAILURES:
            if not self._forgives:
                raise
        return False

    def set_many(
        self, mapping: dict[str, Any], timeout: int | timedelta | None = None
    ) -> list[Any]:
        """Store many values; return the keys that were stored."""
        named = self._named
        values = {named(key): value for key, value in mapping.items()}
        failed = self._client.set_many(values, self._normalize_timeout(timeout))
        if not failed:
            return list(mapping)
        return [key for key in mapping if named(key) not in failed]

    def delete(self, key: str) -> bool:
        """Delete a value; return whether there was one."""
        try:
            return self._client.delete(self._named(key))
        except FAILURES:
            if not self._forgives:
                raise
        return False

    def delete_many(self, *keys: str) -> list[Any]:
        """Delete many values; return the keys that have none now."""
        failed = self._client.delete_many(map(self._named, keys))
        if failed and not self.ignore_delete_many_errors:
            cause = next(iter(failed.errors.values()), None)
            raise RuntimeError(f"{len(failed)} of {len(keys)} keys were not deleted") from cause
        return [key for key in keys if self._named(key) not in failed] if failed else list(keys)

    def clear(self) -> bool:
        """Delete everything on the servers, whatever its prefix; return whether it was done."""
        try:
            self._client.flush_all()
        except FAILURES:
            if not self._forgives:
                raise
            return False
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Add to a number, which begins at 0 and may be negative; return what it is then.

        No other addition gets lost. The number lives for the default timeout from now.
        """
        name = self._named(key)
        try:
            for _ in range(_TRIES):
                value, token = self._client.gets(name)
                total = cast("int", value or 0) + delta
                if token is None:
                    done = self._client.add(name, total, self.default_timeout)
                else:
                    done = self._client.cas(name, total, token, self.default_timeout)
                if done:
                    return total
        except FAILURES:
            if not self._forgives:
                raise
        return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Take from a number, as ``inc`` adds to one."""
        return self.inc(key, -delta)
