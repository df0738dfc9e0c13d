"""pymemcache's client that reads from older caches while a newer one fills."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..._kernels._args import shown

__all__ = ["FallbackClient"]


class FallbackClient:
    """Writes to the first of the `caches`, and reads from the first that has something.

    Give older caches ``ignore_exc``, so that they may be taken down while this is in use.
    """

    def __init__(self, caches: Sequence[Any]) -> None:
        if not caches:
            raise ValueError(f"caches must have at least one client, got {shown(caches)}")
        self.caches = caches

    def close(self) -> None:
        """Close the connections of every cache."""
        for cache in self.caches:
            cache.close()

    def set(self, key: Any, value: Any, expire: int = 0, noreply: bool = True) -> None:
        """Store a value."""
        self.caches[0].set(key, value, expire, noreply)

    def add(self, key: Any, value: Any, expire: int = 0, noreply: bool = True) -> None:
        """Store a value where there is none."""
        self.caches[0].add(key, value, expire, noreply)

    def replace(self, key: Any, value: Any, expire: int = 0, noreply: bool = True) -> None:
        """Store a value where there is one."""
        self.caches[0].replace(key, value, expire, noreply)

    def append(self, key: Any, value: Any, expire: int = 0, noreply: bool = True) -> None:
        """Put data after a value."""
        self.caches[0].append(key, value, expire, noreply)

    def prepend(self, key: Any, value: Any, expire: int = 0, noreply: bool = True) -> None:
        """Put data before a value."""
        self.caches[0].prepend(key, value, expire, noreply)

    def cas(self, key: Any, value: Any, cas: Any, expire: int = 0, noreply: bool = True) -> None:
        """Store a value over the one whose token it has."""
        self.caches[0].cas(key, value, cas, expire, noreply)

    def get(self, key: Any) -> Any:
        """Return the value of a key in the first cache that has one, else None."""
        for cache in self.caches:
            value = cache.get(key)
            if value is not None:
                return value
        return None

    def get_many(self, keys: Iterable[Any]) -> Mapping[Any, Any]:
        """Return the values in the first cache that has any of the keys."""
        given = [*keys]
        return next(filter(None, (cache.get_many(given) for cache in self.caches)), {})

    def gets(self, key: Any) -> Any:
        """Return the value and the token of a key in the first cache that has one."""
        for cache in self.caches:
            value, token = cache.gets(key)
            if token is not None:
                return value, token
        return None, None

    def gets_many(self, keys: Iterable[Any]) -> Mapping[Any, Any]:
        """Return the values and tokens in the first cache that has any of the keys."""
        given = [*keys]
        return next(filter(None, (cache.gets_many(given) for cache in self.caches)), {})

    def delete(self, key: Any, noreply: bool = True) -> None:
        """Delete a value."""
        self.caches[0].delete(key, noreply)

    def incr(self, key: Any, value: int, noreply: bool = True) -> None:
        """Add to a number."""
        self.caches[0].incr(key, value, noreply)

    def decr(self, key: Any, value: int, noreply: bool = True) -> None:
        """Take from a number."""
        self.caches[0].decr(key, value, noreply)

    def touch(self, key: Any, expire: int = 0, noreply: bool = True) -> None:
        """Give a value a new expiry."""
        self.caches[0].touch(key, expire, noreply)

    def flush_all(self, delay: int = 0, noreply: bool = True) -> None:
        """Forget everything in the first cache."""
        self.caches[0].flush_all(delay, noreply)

    def stats(self) -> None:
        """Do nothing, as pymemcache's does."""

    def quit(self) -> None:
        """Do nothing, as pymemcache's does."""
