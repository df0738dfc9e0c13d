"""What a back end decides for both its forms: keys, timeouts, failures, operations of many steps.

No I/O: the blocking methods are in ``cache``, those for event loops in ``aio``, and both only wait.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeGuard

from django.core.cache.backends.base import (
    DEFAULT_TIMEOUT,
    BaseCache,
    InvalidCacheKey,
    default_key_func,
    memcache_key_warnings,
)

from .._kernels._guarded import brief, text_of
from ..memcache.batches import FAILURES, FailedKeys, partial_error
from ..memcache.errors import InvalidArgumentError, NotSupportedError, ServerError
from ..memcache.leases import LeaseTimeoutError, Steps
from ..memcache.responses import MetaResponse
from ..memcache.types import ResponseStatus
from . import parts
from .clients import Clients, clients_of
from .parts import MISSING
from .values import Encoded, Head

__all__ = ["Decisions", "Load"]

_LOG: Final = logging.getLogger("godropbox.django")
_MOST: Final = 10**9 - 1  # seconds, 31 years: more is past what memcached counts
_MAX_KEY: Final = 250
_JOIN_TRIES: Final = 3


class NotACounterError(ServerError, TypeError):
    """The value to count up or down is no int in [0, 2**64)."""


class Decisions(BaseCache):
    """The part of ``GodropboxCache`` that does not wait for anything."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        options = params.get("OPTIONS") or {}
        super().__init__({**params, "OPTIONS": options})
        self._shared = shared = clients_of(server, options, params.get("IGNORE_EXCEPTIONS", False))
        self._servers = list(shared.servers)
        self._client = shared.client
        self._codec = shared.codec
        settings = shared.settings
        self._in_parts = settings.in_parts
        # Whether a server tells of a lease or the head of parts which it is.
        self._looks = settings.client.protocol == "meta"
        self._part_size = settings.part_size
        self._ignores = settings.ignores
        # Whether a key is checked where it is sent, and nowhere before.
        self._checks_late = all(
            getattr(type(self), name) is getattr(kind, name)
            for name, kind in [
                ("make_key", BaseCache),
                ("make_and_validate_key", BaseCache),
                ("validate_key", Decisions),
            ]
        )

    @property
    def clients(self) -> Clients:
        """The servers, the settings and the clients that all back ends like this one share."""
        return self._shared

    # Keys

    def _name(self, key: Any, version: Any) -> Any:
        """Return the key to send."""
        if not self._checks_late:
            return self.make_and_validate_key(key, version)
        if self.key_func is default_key_func:
            if version is None:
                version = self.version
            return f"{self.key_prefix!s}:{version!s}:{key!s}"
        return self.make_key(key, version)

    def _names(self, keys: Iterable[Any], version: Any) -> dict[Any, Any]:
        """Return the keys by the keys to send."""
        if self._checks_late and self.key_func is default_key_func:
            start = f"{self.key_prefix!s}:{self.version if version is None else version!s}:"
            return {f"{start}{key!s}": key for key in keys}
        return {self._name(key, version): key for key in keys}

    def validate_key(self, key: Any) -> None:
        """Raise ``InvalidCacheKey`` for a key that no server takes."""
        options = self._shared.settings.client
        if not isinstance(key, str):
            return
        size = len(key.encode("utf-8", "surrogatepass"))
        room = _MAX_KEY - options.prefix_size
        if size > room and options.long_keys == "hash":
            return
        for warning in memcache_key_warnings(key):
            raise InvalidCacheKey(warning)
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise InvalidCacheKey(
                f"Cache key will cause errors if used with memcached: {key!r} ({error})"
            ) from None
        if size > room:
            raise InvalidCacheKey(
                f"Cache key will cause errors if used with memcached: {key!r} ({size} bytes in "
                f"UTF-8, longer than {room})"
            )

    # Timeouts

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> Any:
        """Return the client's expiry for a timeout: 0 for None, -1 for what expires at once."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if type(timeout) is int and 0 < timeout <= _MOST:
            return timeout
        if timeout is None:
            return 0
        if isinstance(timeout, (int, float)):
            if timeout <= 0:
                return -1
            return min(int(timeout) if isinstance(timeout, int) else timeout, _MOST)
        return timeout  # a timedelta or a datetime, or the client raises

    # Failures

    def _excused(self, error: Exception, names: Iterable[Any], instead: Any) -> Any:
        """Return `instead` for a failure that is to be a miss; raise what any other is to be."""
        if isinstance(error, InvalidArgumentError):
            for name in names:
                self.validate_key(name)
        elif self._ignores and isinstance(error, FAILURES):
            shown = brief(next(iter(names), None))
            _LOG.warning("the cache failed, at %s: %s", shown, text_of(error), exc_info=error)
            return instead
        raise error

    def _failed(self, failed: FailedKeys, named: Mapping[Any, Any]) -> FailedKeys:
        """Return the failed ones of a batch by the caller's keys."""
        found = FailedKeys()
        for name in failed:
            found.add(named[name], failed.errors.get(name))
        return found

    def _raise_first(self, failed: FailedKeys) -> None:
        """Raise the first error of a batch, if there is one."""
        for error in failed.errors.values():
            raise error

    def _counted(self, key: Any, count: int | None) -> int:
        if count is None:
            raise ValueError(f"Key '{key}' not found")
        return count

    # Values

    def _encoded(self, value: Any) -> Encoded:
        return Encoded(*self._codec.encode(value))

    def _values(self, data: Mapping[Any, Any], version: Any) -> tuple[dict[Any, Any], Any]:
        """Return the keys of a batch by the keys to send, and the values by these."""
        named = self._names(data, version)
        if len(named) == len(data):
            return named, dict(zip(named, data.values(), strict=True))
        # Keys that are one and the same as text.
        return named, {name: data[key] for name, key in named.items()}

    def _is_large(self, pair: Encoded) -> bool:
        return self._in_parts and len(pair.data) > self._part_size

    # Operations of several steps: of `client`, which is blocking or asyncio's

    def _storing(self, client: Any, verb: str, name: Any, value: Any, expire: Any) -> Steps[bool]:
        """Store a value that may be large, by ``"set"`` or ``"add"``; return whether it was."""
        pair = self._encoded(value)
        size = self._part_size
        if verb == "add":
            return (yield from parts.add(client, self._codec, name, pair, expire, size))
        stored: bool
        if len(pair.data) <= size:
            stored = yield partial(client.set, name, pair, expire)
            return stored
        failed = yield from parts.set_many(client, {name: pair}, expire, size)
        self._raise_first(failed)
        return not failed

    def _storing_many(self, client: Any, values: Any, expire: Any) -> Steps[FailedKeys]:
        """Store many values that may be large; return the keys that failed."""
        pairs = {name: self._encoded(value) for name, value in values.items()}
        return (yield from parts.set_many(client, pairs, expire, self._part_size))

    def _explained(self, client: Any, error: Exception, name: Any, value: Any) -> Steps[Exception]:
        """Return the error for a value whose store raised `error`, with the limit it is over."""
        if not _is(error, ResponseStatus.VALUE_TOO_LARGE):
            return error
        limit = "its limit (-I)"
        try:
            settings = yield partial(client.stats, "settings")
            limits = [int(each["item_size_max"]) for each in settings.values()]
            limit = f"item_size_max of {min(limits)} bytes (-I)"
        except (*FAILURES, KeyError, ValueError):
            pass  # the limit is not known; the error is the same
        advice = "OPTIONS['large_values'] = 'parts' stores such values in parts"
        if self._in_parts:
            advice = f"OPTIONS['part_size'], {self._part_size}, must be below it"
        fuller = ServerError(
            f"the value of {brief(name)} takes {len(self._encoded(value).data)} bytes, with its "
            f"key and the server's own more than {limit}: {advice}",
            **error.fields,
        )
        fuller.__cause__ = error
        return fuller

    def _completed(
        self,
        client: Any,
        named: Mapping[Any, Any],
        found: Mapping[Any, Any],
        errors: Mapping[Any, Exception],
    ) -> Steps[dict[Any, Any]]:
        """Return what a batch `found` by the caller's keys, with the values that heads stand for.

        If some keys failed, the error with the others' values is raised, or excused.
        """
        heads = {name: value for name, value in found.items() if type(value) is Head}
        whole, lost = yield from parts.fetch_many(client, self._codec, heads)
        values = {
            named[name]: whole[name] if name in heads else value
            for name, value in found.items()
            if name not in heads or name in whole
        }
        failed = {named[name]: error for name, error in {**errors, **lost}.items()}
        if not failed:
            return values
        instead: dict[Any, Any] = self._excused(
            partial_error(values, failed, len(named)), failed, values
        )
        return instead

    def _touching(self, client: Any, name: Any, until: Any) -> Steps[bool]:
        """Give a value, which may be in parts, a new expiry; return whether there is one."""
        lease_time = self._shared.settings.lease_time
        return (yield from parts.touch(client, name, client._expiry(until), lease_time))

    def _uncounted(self, client: Any, name: Any, error: Exception) -> Steps[int | None]:
        """Return None if a counter that raised `error` is not there; raise what it is else."""
        if _is(error, ResponseStatus.NON_NUMERIC_VALUE):
            # An empty item is a lease that nobody has filled yet: no value.
            if (yield partial(client.get, name, MISSING)) is MISSING:
                return None
            words = f"the value of {brief(name)} is no int in [0, 2**64)"
            raise NotACounterError(words, **error.fields) from error
        missed: int | None = self._excused(error, (name,), None)
        return missed

    def _remaining(self, client: Any, name: Any) -> Steps[int | None]:
        """Return the seconds that a value has left, None for no end, 0 for no value."""
        looked: MetaResponse = yield partial(
            client._operations.run,
            client._named(name) if client._looks_at_keys else name,
            lambda protocol, key: _details_of(protocol, key),
        )
        if looked.error is not None:
            raise looked.error
        if not looked.found or not (looked.flags or looked.size):
            return 0
        return None if looked.ttl == -1 else looked.ttl

    def _loading(
        self,
        client: Any,
        name: Any,
        default: Any,
        expire: Any,
        stale: Any,
        wrapped: Callable[["Load"], Callable[[], Any]],
    ) -> Steps[Any]:
        """Return a value, or load it, once among all processes.

        Where the server has no leases, ``MISSING`` is returned, and nothing was done.

        `wrapped` returns the function that loads by a ``Load``, of the driver's kind.
        """
        settings = self._shared.settings
        own = Load(self, client, name, default, expire)
        load = wrapped(own)
        try:
            for _ in range(_JOIN_TRIES):
                found = yield partial(
                    client.get_or_set,
                    name,
                    load,
                    expire,
                    stale=stale,
                    lease_time=settings.lease_time,
                    wait=settings.lease_wait,
                )
                if type(found) is Encoded:
                    return own.value
                if type(found) is not Head:
                    return found
                value = yield from parts.fetch(client, self._codec, name, found, MISSING)
                if value is not MISSING:
                    return value
                yield partial(client.delete, name)
        except (NotSupportedError, InvalidArgumentError) as error:
            if own.is_begun:
                raise
            if isinstance(error, NotSupportedError):
                return MISSING
            self._excused(error, (name,), None)
        except FAILURES as error:
            if own.is_begun and own.value is MISSING:  # it is the caller's function that failed
                raise
            if not isinstance(error, (LeaseTimeoutError, parts.PartsSkippedError)):
                fuller = yield from self._explained(client, error, name, own.value)
                self._excused(fuller, (name,), None)
        if own.value is MISSING:
            own.take((yield own.call))
        return own.value


def _is(error: Exception, status: ResponseStatus) -> TypeGuard[ServerError]:
    """Return whether an error is a server's answer of that status."""
    return isinstance(error, ServerError) and error.fields.get("status") is status


def _details_of(protocol: Any, key: Any) -> Any:
    if not hasattr(protocol, "meta_get"):
        raise NotSupportedError("ttl needs protocol 'meta': no other tells when an item expires")
    return protocol.meta_get(key, value=False, details=True)


class Load:
    """One load for ``get_or_set``: what it returned, and how that is stored."""

    def __init__(self, cache: Decisions, client: Any, name: Any, default: Any, expire: Any) -> None:
        self.value: Any = MISSING
        self.is_begun = False
        self._cache = cache
        self._client = client
        self._name = name
        self._default = default
        self._expire = expire

    def call(self) -> Any:
        """Return what the caller's default is, or returns; an awaitable is for ``take``."""
        self.is_begun = True
        if not callable(self._default):
            return self.take(self._default)
        outcome = self._default()
        return outcome if hasattr(outcome, "__await__") else self.take(outcome)

    def take(self, value: Any) -> Any:
        """Keep the value that was loaded, and return it."""
        self.value = value
        return value

    def stored(self) -> Steps[Encoded]:
        """Return what is to be stored under the key, once the parts of a large value are."""
        cache = self._cache
        pair = cache._encoded(self.value)
        if cache._is_large(pair):
            size = cache._part_size
            return (yield from parts.store(self._client, self._name, pair, self._expire, size))
        return pair
