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
from ..memcache import parts
from ..memcache.batches import FAILURES, FailedKeys, PartialResultError, partial_error
from ..memcache.errors import InvalidArgumentError, NotSupportedError, ServerError
from ..memcache.heads import PARTS
from ..memcache.leases import LeaseTimeoutError
from ..memcache.responses import MetaResponse
from ..memcache.stepping import Steps
from ..memcache.types import ResponseStatus
from .clients import Clients, clients_of

__all__ = ["MISSING", "Decisions", "Load"]

_LOG: Final = logging.getLogger("godropbox.django")
_MOST: Final = 10**9 - 1  # seconds, 31 years: more is past what memcached counts
_MAX_KEY: Final = 250
MISSING: Final = object()
"""What stands for a value that is not there."""


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
        self._looks = settings.client.protocol in ("auto", "meta")
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

    def _values(self, data: Mapping[Any, Any], version: Any) -> tuple[dict[Any, Any], Any]:
        """Return the keys of a batch by the keys to send, and the values by these."""
        named = self._names(data, version)
        if len(named) == len(data):
            return named, dict(zip(named, data.values(), strict=True))
        # Keys that are one and the same as text.
        return named, {name: data[key] for name, key in named.items()}

    # Operations of several steps: of `client`, which is blocking or asyncio's

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
            f"the value of {brief(name)} takes {len(self._codec.encode(value)[0])} bytes, with its "
            f"key and the server's own more than {limit}: {advice}",
            **error.fields,
        )
        fuller.__cause__ = error
        return fuller

    def _partly_found(self, named: Mapping[Any, Any], error: PartialResultError) -> dict[Any, Any]:
        """Return what was found of a batch some of whose keys failed, if that is to be a miss."""
        values = {named[name]: value for name, value in error.found.items()}
        failed = {named[name]: why for name, why in error.errors.items()}
        fuller = partial_error(values, failed, len(named))
        instead: dict[Any, Any] = self._excused(fuller, failed, values)
        return instead

    def _touching(self, client: Any, name: Any, until: Any) -> Steps[bool]:
        """Give a value, which may be in parts, a new expiry; return whether there is one.

        A lease that is taken is no value, and lives for `lease_time` from now: with `until`, what a
        loader that died has left would keep all others from loading for as long.
        """
        expire = client._expiry(until)
        try:
            looked: MetaResponse = yield partial(
                client._operations.run,
                client._named(name) if client._looks_at_keys else name,
                lambda protocol, key: protocol.meta_get(
                    key, value=False, expire=expire, details=True
                ),
            )
        except NotSupportedError:
            if self._shared.settings.client.protocol != "auto":
                raise
            return (yield from parts.touch(client, name, until))
        if looked.error is not None:
            raise looked.error
        if looked.found and not (looked.flags or looked.size):
            if expire >= 0:
                yield partial(client.touch, name, self._shared.settings.lease_time)
            return False
        if not looked.found or looked.flags != PARTS or expire < 0:
            return looked.found
        if (yield from parts.touch_rest(client, name, until)):
            return True
        yield partial(client.delete, name)
        return False

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
        own = Load(default)
        try:
            found = yield partial(
                client.get_or_set,
                name,
                wrapped(own),
                expire,
                stale=stale,
                lease_time=settings.lease_time,
                wait=settings.lease_wait,
            )
            return own.value if own.is_begun else found
        except (NotSupportedError, InvalidArgumentError) as error:
            if own.is_begun:
                raise
            if isinstance(error, NotSupportedError):
                return MISSING
            self._excused(error, (name,), None)
        except FAILURES as error:
            if own.is_begun and own.value is MISSING:  # it is the caller's function that failed
                raise
            if not isinstance(error, LeaseTimeoutError):
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
    """One load for ``get_or_set``, and what it returned."""

    def __init__(self, default: Any) -> None:
        self.value: Any = MISSING
        self.is_begun = False
        self._default = default

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
