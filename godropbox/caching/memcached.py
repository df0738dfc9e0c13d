"""A storage in memcached, over ``memcache.Client`` or anything that has its methods.

Writes are written as calls (``_calls``), for ``aio``, too. Reads are so as well, and once more
without: a cache hit is what this storage is for, and calls would cost one part in thirty of it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from random import random as uniform
from typing import Any, Protocol

from .._kernels._args import shown
from .._kernels._guarded import PLAIN, refuse_unrun
from .._kernels._identity import refuse_copies
from ._calls import Calls, run
from .options import require_number
from .storage import PartialFailureError

__all__ = ["CacheClient", "MemcacheStorage"]


class CacheClient(Protocol):
    """The methods that a client needs. `expire` is in seconds, 0 for never.

    Failures raise, or are returned as the keys that failed. An exception of ``get_many`` may have a
    dict `found` of the values that were found, and a dict `errors` of the keys that failed.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""

    def get_many(self, keys: Any) -> dict[Any, Any]:
        """Return the values by key; missing keys are left out."""
        ...

    def set(self, key: Any, value: Any, expire: int = 0) -> object:
        """Store `value`; return False if it was not stored."""

    def set_many(self, values: Mapping[Any, Any], expire: int = 0) -> list[Any]:
        """Store every value; return the keys that failed."""
        ...

    def delete_many(self, keys: Any) -> list[Any]:
        """Delete `keys`; return the keys that failed. A missing key is not a failure."""
        ...

    def flush_all(self) -> object:
        """Delete everything."""


class MemcacheStorage:
    """Keeps values in memcached through `client`, each for at most `ttl` seconds (None: no limit).

    The values of one call live for `ttl` less a random part of it up to `jitter` (0 to 1), in whole
    seconds and at least one, so that entries stored together do not expire together. Keys and
    values are those of the client; `key_of` makes the client's keys from others, and must not map
    two keys to one. The client's exceptions come out; if only some keys failed,
    ``PartialFailureError`` names them. A server that takes no writes now counts as a failure.
    `random` is replaced in tests.
    """

    __slots__ = ("_client", "_jitter", "_key_of", "_random", "_ttl")
    __reduce_ex__ = refuse_copies

    _kind = "MemcacheStorage"

    def __init__(
        self,
        client: CacheClient,
        *,
        ttl: float | None = None,
        jitter: float = 0.1,
        key_of: Callable[[Any], Any] | None = None,
        random: Callable[[], float] = uniform,
    ) -> None:
        if ttl is not None:
            require_number("ttl", ttl, "a number of seconds or None")
        require_number("jitter", jitter, "a number in [0, 1]")
        if ttl is not None and not 1 <= ttl < 10**9:
            raise ValueError(
                f"ttl must be in [1, 10**9) seconds or None, got {shown(ttl)}; "
                "it counts from when a value is set"
            )
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be in [0, 1], got {shown(jitter)}")
        self._client = client
        self._ttl = ttl
        self._jitter = jitter
        self._key_of = key_of
        self._random = random

    @property
    def client(self) -> CacheClient:
        """The client."""
        return self._client

    @property
    def lifetime(self) -> float | None:
        """For how many seconds a value is kept at least, unless it is evicted; None: no limit."""
        return None if self._ttl is None else max(round(self._ttl * (1 - self._jitter)), 1)

    def keeping(self, seconds: float) -> "MemcacheStorage":
        """Return a storage over the same client that keeps each value for at least `seconds`."""
        # A second more: memcached counts whole ones of its own clock.
        ttl = math.ceil(seconds) + 1
        return type(self)(self._client, ttl=ttl, jitter=0, key_of=self._key_of, random=self._random)

    def _expire(self) -> int:
        """Return the expiry for values that are stored now."""
        if self._ttl is None:
            return 0
        return max(round(self._ttl * (1 - self._jitter * self._random())), 1)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        name = key if self._key_of is None else self._key_of(key)
        value = self._client.get(name, default)
        if type(value) not in PLAIN:
            refuse_unrun("client.get", value)
        return value

    def _get_calls(self, key: Any, default: Any) -> Calls[Any]:
        name = key if self._key_of is None else self._key_of(key)
        value = yield self._client.get, (name, default)
        if type(value) not in PLAIN:
            refuse_unrun("client.get", value)
        return value

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        wanted = keys if type(keys) is list else list(keys)  # named if some fail
        names = None if self._key_of is None else self._names(wanted)
        try:
            values = self._client.get_many(wanted if names is None else list(names))
        except Exception as error:
            partly = _read_partly(error, wanted, names)
            if partly is None:
                raise
            raise partly from error
        return _found(values, names)

    def _get_multi_calls(self, keys: Iterable[Any]) -> Calls[dict[Any, Any]]:
        wanted = keys if type(keys) is list else list(keys)  # named if some fail
        names = None if self._key_of is None else self._names(wanted)
        try:
            values = yield self._client.get_many, (wanted if names is None else list(names),)
        except Exception as error:
            partly = _read_partly(error, wanted, names)
            if partly is None:
                raise
            raise partly from error
        return _found(values, names)

    def _names(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the keys by the client's names for them."""
        of = self._key_of
        return {key if of is None else of(key): key for key in keys}

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        run(self._set_calls(key, value))

    def _set_calls(self, key: Any, value: Any) -> Calls[None]:
        name = key if self._key_of is None else self._key_of(key)
        done = yield self._client.set, (name, value, self._expire())
        if done is not True:
            refuse_unrun("client.set", done)
        if done is False:
            raise self._partial("set", [name], {name: key})

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        run(self._set_multi_calls(items))

    def _set_multi_calls(self, items: Mapping[Any, Any]) -> Calls[None]:
        names = self._names(items)
        named = {name: items[key] for name, key in names.items()}
        failed = yield self._client.set_many, (named, self._expire())
        refuse_unrun("client.set_many", failed)
        if failed:
            raise self._partial("set", failed, names)

    def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        run(self._delete_calls(key))

    def _delete_calls(self, key: Any) -> Calls[None]:
        return self._delete_multi_calls([key])  # which tells a missing key from a failure

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        run(self._delete_multi_calls(keys))

    def _delete_multi_calls(self, keys: Iterable[Any]) -> Calls[None]:
        names = self._names(keys)
        failed = yield self._client.delete_many, (list(names),)
        refuse_unrun("client.delete_many", failed)
        if failed:
            raise self._partial("deleted", failed, names)

    def _partial(self, done: str, failed: Iterable[Any], names: Mapping[Any, Any]) -> Exception:
        keys = [names.get(name, name) for name in failed]
        reasons: Mapping[Any, Exception] = getattr(failed, "errors", {})
        cause = next(iter(reasons.values()), None)
        message = f"{len(keys)} of {len(names)} keys were not {done}"
        return PartialFailureError(message, keys, cause=cause)

    def flush(self) -> None:
        """Delete everything on all servers, other users' entries included."""
        run(self._flush_calls())

    def _flush_calls(self) -> Calls[None]:
        refuse_unrun("client.flush_all", (yield self._client.flush_all, ()))

    def __repr__(self) -> str:
        life = "" if self._ttl is None else f", {self._ttl:g} s each"
        return f"<{self._kind} over {type(self._client).__name__}{life}>"


def _found(values: dict[Any, Any], names: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """Return the values that a client returned by the storage's keys."""
    if type(values) is not dict:
        refuse_unrun("client.get_many", values)
    if names is None:
        return values
    return {names[name]: value for name, value in values.items()}


def _read_partly(
    error: Exception, keys: Iterable[Any], names: Mapping[Any, Any] | None
) -> Exception | None:
    """Return a ``PartialFailureError`` with the values in `error`; None if it has none."""
    found, failed = getattr(error, "found", None), getattr(error, "errors", None)
    if not isinstance(found, Mapping) or not isinstance(failed, Mapping):
        return None
    try:
        known = {key: key for key in keys} if names is None else names
        values = {known[name]: value for name, value in found.items()}
        lost = [known[name] for name in failed]
    except (KeyError, TypeError):  # for keys that were not requested
        return None
    return PartialFailureError(f"{len(lost)} keys could not be read", lost, values, cause=error)
