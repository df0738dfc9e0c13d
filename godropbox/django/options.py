"""What ``CACHES`` says of a back end, checked at once: its servers and its ``OPTIONS``. No I/O.

Options of other back ends (``PyMemcacheCache``, ``PyLibMCCache``, django-redis) mean here what they
mean there, or are refused by an error that says what to write.
"""

import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from .._address import address_text
from .._kernels._args import shown
from ..errors import UsageError
from ..memcache.address import Credentials, parse_address
from ..memcache.aio.options import AsyncClientOptions
from ..memcache.errors import InvalidArgumentError
from ..memcache.fleet.libmemcached import Libmemcached
from ..memcache.fleet.placement import Ketama, Rendezvous
from ..memcache.hints import closest
from ..memcache.options import ClientOptions, as_seconds
from ..memcache.serializers import PickleSerializer
from .values import DjangoCodec

__all__ = ["CacheOptionsError", "Settings", "addresses"]


class CacheOptionsError(InvalidArgumentError, ImproperlyConfigured):
    """``LOCATION`` or ``OPTIONS`` of a cache cannot be used; the message says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options(ClientOptions):
    def codec(self) -> DjangoCodec:
        return _codec(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AsyncOptions(AsyncClientOptions):
    def codec(self) -> DjangoCodec:
        return _codec(self)


def _codec(options: ClientOptions) -> DjangoCodec:
    return DjangoCodec(
        options.serializer,
        options.compressor,
        options.compress_from,
        options.max_value,
    )


_SYNC: Final = frozenset(field.name for field in fields(ClientOptions)) - {"open", "sleep"}
_ASYNC: Final = frozenset(field.name for field in fields(AsyncClientOptions))
_ONLY_ASYNC: Final = _ASYNC - {field.name for field in fields(ClientOptions)}
# Those of pools, which an asyncio client does not have.
_ONLY_SYNC: Final = frozenset(
    ["max_active", "max_idle", "max_opens", "pool_timeout", "max_idle_time", "max_lifetime"]
)
_OWN: Final = frozenset(
    [
        "compatible",
        "ignore_exceptions",
        "large_values",
        "lease_time",
        "lease_wait",
        "leases",
        "part_size",
    ]
)
_COMPATIBLE: Final = (None, "pymemcache", "pylibmc")


# That of libmemcached, and so of pylibmc, by default.
_MODULA: Final = Libmemcached(False, "default", "default", None)


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``OPTIONS`` come to: the options of both clients, and the back end's own.

    - `in_parts`: whether values over `part_size` bytes are stored in parts.
    - `leases`: whether ``get_or_set`` takes leases; `lease_time` and `lease_wait` are theirs.
    - `ignores`: whether failures of servers and the network are logged misses.
    """

    client: _Options
    async_client: AsyncClientOptions
    in_parts: bool = False
    part_size: int = 1_000_000
    leases: bool = True
    lease_time: float = 10.0
    lease_wait: float | None = None
    ignores: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], ignores: Any = False) -> "Settings":
        """Return the settings for ``OPTIONS``; raise ``CacheOptionsError`` for what is wrong."""
        given = _translated(options)
        try:
            return cls._checked(given, ignores)
        except (UsageError, TypeError, ValueError) as error:
            if isinstance(error, CacheOptionsError):
                raise
            raise CacheOptionsError(f"OPTIONS: {error}") from error

    @classmethod
    def _checked(cls, given: dict[str, Any], ignores: Any) -> "Settings":
        own = {name: given.pop(name) for name in _OWN & given.keys()}
        compatible = own.get("compatible")
        if compatible not in _COMPATIBLE:
            raise _bad("compatible", "must be 'pymemcache', 'pylibmc' or None", compatible)
        if compatible is not None:
            given.setdefault("shard_func", Rendezvous() if compatible == "pymemcache" else _MODULA)
        given.setdefault("serializer", PickleSerializer(pickle.HIGHEST_PROTOCOL))
        client = _Options(**{n: value for n, value in given.items() if n not in _ONLY_ASYNC})
        async_client = _AsyncOptions(**{n: v for n, v in given.items() if n not in _ONLY_SYNC})
        large = own.get("large_values", "error")
        if large not in ("error", "parts"):
            raise _bad("large_values", "must be 'error' or 'parts'", large)
        size = own.get("part_size", 1_000_000)
        if type(size) is not int or not 1000 <= size <= 1 << 30:
            raise _bad("part_size", "must be a number of bytes in [1000, 2**30]", size)
        if large == "parts":
            if client.protocol not in ("auto", "meta"):
                raise _bad("large_values", "'parts' needs protocol 'meta'", client.protocol)
            if compatible is not None:
                raise _bad(
                    "large_values",
                    f"'parts' cannot be read by the back end of {compatible}: leave out one of "
                    "compatible and large_values",
                    large,
                )
            if client.prefix_size > 100:
                raise _bad("prefix", "must be at most 100 bytes with parts", client.prefix)
            client = replace(client, large_values="split", part_size=size)
            async_client = replace(async_client, large_values="split", part_size=size)
        speaks = client.protocol in ("auto", "meta")
        leases = own.get("leases", speaks and compatible is None)
        if type(leases) is not bool:
            raise _bad("leases", "must be True or False", leases)
        if leases and not speaks:
            raise _bad("leases", "needs protocol 'meta'", client.protocol)
        wait = own.get("lease_wait")
        ignores = own.get("ignore_exceptions", ignores)
        if type(ignores) is not bool:
            raise _bad("IGNORE_EXCEPTIONS", "must be True or False", ignores)
        return cls(
            client,
            async_client,
            large == "parts",
            size,
            leases,
            _positive("lease_time", own.get("lease_time", 10.0)),
            None if wait is None else _positive("lease_wait", wait),
            ignores,
        )


def _bad(name: str, why: str, value: Any) -> CacheOptionsError:
    return CacheOptionsError(f"OPTIONS[{name!r}]: {why}, got {shown(value)}")


def _positive(name: str, value: Any) -> float:
    seconds = as_seconds(name, value)
    if not 0 < seconds <= 60 * 60 * 24:
        raise _bad(name, "must be seconds in (0, 86400]", value)
    return seconds


def addresses(location: Any) -> list[str]:
    """Return the servers that ``LOCATION`` names, as it has them: a str, or a list of them.

    A str has one, or several with ``;`` or ``,`` between. Each is ``host``, ``host:port``,
    ``[IPv6]:port``, ``unix:/path`` or ``/path``. Raises ``CacheOptionsError``.
    """
    if isinstance(location, str):
        given: list[Any] = [each.strip() for each in re.split("[;,]", location)]
    elif isinstance(location, (list, tuple)):
        given = list(location)
    else:
        raise CacheOptionsError(f"LOCATION must be a str or a list of str, got {shown(location)}")
    found = []
    for each in given:
        if isinstance(each, str) and "://" in each:
            raise CacheOptionsError(
                f"LOCATION must name memcached servers, such as 'host:11211', got {each!r}"
            )
        try:
            parsed = parse_address(each)
        except (TypeError, ValueError) as error:
            raise CacheOptionsError(f"LOCATION: {error}") from None
        if isinstance(each, str) and not each.startswith("/"):
            found.append(each)
        else:
            found.append(address_text(parsed))
    return found


# Options of other back ends: each is a function of its value that returns options of ours.

_Translation = Callable[[Any], dict[str, Any]]


def _renamed(name: str, convert: Callable[[Any], Any] = lambda value: value) -> _Translation:
    return lambda value: {name: convert(value)}


def _always(*values: Any, why: str) -> _Translation:
    """Take the values that mean what is done anyway."""

    def translate(value: Any) -> dict[str, Any]:
        if value not in values:
            raise InvalidArgumentError(f"{why}: leave it out, got {shown(value)}")
        return {}

    return translate


def _instead(write: str) -> _Translation:
    def translate(value: Any) -> dict[str, Any]:
        raise InvalidArgumentError(f"not an option of this back end: {write}")

    return translate


def _no_effect(value: Any) -> dict[str, Any]:
    return {}


def _serde(value: Any) -> dict[str, Any]:
    module = sys.modules.get("pymemcache.serde")
    if module is not None and value is module.pickle_serde:
        return {}
    if module is not None and value is module.compressed_serde:
        return {"compressor": "zlib", "compress_from": 401}
    raise InvalidArgumentError(
        "write serializer= 'json', 'msgpack', 'pickle' or a Serializer with a flag, and "
        "compressor= for compression"
    )


def _number(value: Any, unit: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"must be a number, got {shown(value)}")
    return value / unit


def _binary(value: Any) -> dict[str, Any]:
    return {"protocol": "binary"} if value else {}


def _pool(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or value.keys() - {"max_connections"}:
        raise InvalidArgumentError("write max_active, pool_timeout, timeout and connect_timeout")
    return {"max_active": value["max_connections"]} if value else {}


_OUTSIDE: Final = "it goes beside OPTIONS, not into it"
_EJECTION: Final = "write eject_after (failures) and retry_after (seconds)"
_DISTRIBUTIONS: Final = {
    "modula": _MODULA,
    "consistent": Ketama(weighted=False),
    "consistent ketama": Ketama(weighted=False),
    "consistent_ketama": Ketama(weighted=False),
    "consistent_ketama_weighted": Ketama(),
    "consistent ketama weighted": Ketama(),
}


def _distribution(value: Any) -> dict[str, Any]:
    if value not in _DISTRIBUTIONS:
        known = ", ".join(map(repr, list(_DISTRIBUTIONS)[:3]))
        raise InvalidArgumentError(f"must be one of {known}, or write shard_func")
    return {"shard_func": _DISTRIBUTIONS[value]}


def _ketama(weighted: bool) -> _Translation:
    return lambda value: {"shard_func": Ketama(weighted=weighted)} if value else {}


_BEHAVIORS: Final[dict[str, _Translation]] = {
    "tcp_nodelay": _always(True, 1, why="TCP_NODELAY is always set"),
    "tcp_keepalive": _always(True, 1, why="SO_KEEPALIVE is always set"),
    "no_block": _no_effect,
    "cas": _no_effect,
    "verify_keys": _always(True, 1, why="keys are always checked"),
    "buffer_requests": _always(False, 0, why="every write waits for its reply"),
    "connect_timeout": lambda value: {"connect_timeout": _number(value, 1000)},
    "send_timeout": lambda value: {"timeout": _number(value, 1e6)},
    "receive_timeout": lambda value: {"timeout": _number(value, 1e6)},
    "pickle_protocol": lambda value: {
        "serializer": PickleSerializer(pickle.HIGHEST_PROTOCOL if value < 0 else value)
    },
    "distribution": _distribution,
    "ketama": _ketama(weighted=False),
    "ketama_weighted": _ketama(weighted=True),
    "hash": _always("default", why="write shard_func for another"),
    "num_replicas": _always(0, why="a value is on one server"),
    "remove_failed": _instead(_EJECTION),
    "failure_limit": _instead(_EJECTION),
    "auto_eject": _instead(_EJECTION),
    "retry_timeout": _instead(_EJECTION),
    "dead_timeout": _instead(_EJECTION),
}


def _behaviors(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"must be a mapping, got {shown(value)}")
    found: dict[str, Any] = {}
    for name, each in value.items():
        if name not in _BEHAVIORS:
            raise InvalidArgumentError(f"behavior {name!r} is not known{_near(name, _BEHAVIORS)}")
        found.update(_told(f"behaviors[{name!r}]", _BEHAVIORS[name], each))
    return found


_FOREIGN: Final[dict[str, _Translation]] = {
    # pymemcache
    "allow_unicode_keys": _always(True, why="keys are always UTF-8"),
    "default_noreply": _always(False, why="every write waits for its reply"),
    "deserializer": _instead("write serializer= 'json', 'msgpack', 'pickle' or a Serializer"),
    "encoding": _always("ascii", "utf-8", "utf8", why="keys and text are always UTF-8"),
    "hasher": _instead("write shard_func; compatible='pymemcache' has pymemcache's own"),
    "ignore_exc": _renamed("ignore_exceptions"),
    "key_prefix": _renamed("prefix"),
    "lock_generator": _instead("gevent patches the locks; leave it out"),
    "max_pool_size": _renamed("max_active"),
    "no_delay": _always(True, why="TCP_NODELAY is always set"),
    "pool_idle_timeout": lambda value: {"max_idle_time": value or None},
    "retry_attempts": _instead(_EJECTION),
    "retry_timeout": _instead(_EJECTION),
    "dead_timeout": _instead(_EJECTION),
    "serde": _serde,
    "socket_keepalive": _instead("write keepalive_idle, keepalive_interval and keepalive_count"),
    "socket_module": _instead("gevent patches the sockets; leave it out"),
    "tls_context": _renamed("tls"),
    "use_pooling": _always(True, False, why="connections are always pooled"),
    # pylibmc
    "behaviors": _behaviors,
    "binary": _binary,
    # django-redis, and Django's own for Redis and others
    "CLIENT_CLASS": _instead("it is django-redis's; leave it out"),
    "COMPRESSOR": _instead("write compressor= 'zlib', 'zstd' or a Compressor"),
    "CONNECTION_FACTORY": _instead("it is django-redis's; leave it out"),
    "CONNECTION_POOL_CLASS": _instead("write max_active and pool_timeout"),
    "CONNECTION_POOL_KWARGS": _pool,
    "IGNORE_EXCEPTIONS": _renamed("ignore_exceptions"),
    "LOG_IGNORED_EXCEPTIONS": _always(True, why="they are always logged, to 'godropbox.django'"),
    "PARSER_CLASS": _instead("it is django-redis's; leave it out"),
    "PASSWORD": _instead("write auth=Credentials(user, password)"),
    "PICKLE_VERSION": _renamed("serializer", PickleSerializer),
    "REDIS_CLIENT_CLASS": _instead("it is django-redis's; leave it out"),
    "REDIS_CLIENT_KWARGS": _instead("it is django-redis's; leave it out"),
    "SERIALIZER": _instead("write serializer= 'json', 'msgpack', 'pickle' or a Serializer"),
    "SOCKET_CONNECT_TIMEOUT": _renamed("connect_timeout"),
    "SOCKET_TIMEOUT": _renamed("timeout"),
    "CULL_FREQUENCY": _instead("memcached evicts what is used least by itself"),
    "MAX_ENTRIES": _instead("memcached's own -m bounds its memory"),
    "open": _instead("both clients make their own connections"),
    "sleep": _instead("both clients wait by themselves"),
    "db": _instead("memcached has no data bases: write KEY_PREFIX"),
    # What does not go here
    "BACKEND": _instead(_OUTSIDE),
    "KEY_FUNCTION": _instead(_OUTSIDE),
    "KEY_PREFIX": _instead(_OUTSIDE),
    "LOCATION": _instead(_OUTSIDE),
    "TIMEOUT": _instead(_OUTSIDE),
    "VERSION": _instead(_OUTSIDE),
}
_LOGIN: Final = ("username", "password")


def _translated(options: Any) -> dict[str, Any]:
    """Return the options by our names."""
    if not isinstance(options, Mapping):
        raise CacheOptionsError(f"OPTIONS must be a mapping, got {shown(options)}")
    found: dict[str, Any] = {}
    known = _SYNC | _ASYNC | _OWN
    for name, value in options.items():
        if name in _FOREIGN:
            found.update(_told(name, _FOREIGN[name], value))
        elif name not in known and name not in _LOGIN:
            near = _near(name, [*_FOREIGN, *_LOGIN, *known])
            raise CacheOptionsError(f"OPTIONS[{name!r}]: no such option{near}")
    found.update((name, value) for name, value in options.items() if name in known - {*_FOREIGN})
    if any(name in options for name in _LOGIN):
        if not all(isinstance(options.get(name), str) for name in _LOGIN):
            raise CacheOptionsError("OPTIONS: username and password must be two str")
        protocol = found.setdefault("protocol", "binary")
        mechanism = "sasl" if protocol == "binary" else "ascii"
        login = Credentials(options["username"], options["password"], mechanism)
        found.setdefault("auth", login)
    return found


def _told(name: str, translate: _Translation, value: Any) -> dict[str, Any]:
    try:
        return translate(value)
    except (TypeError, ValueError) as error:
        raise CacheOptionsError(f"OPTIONS[{name!r}]: {error}") from None


def _near(name: object, names: Iterable[str]) -> str:
    """Return the end of an error about a name that is not known; the last names count most."""
    near = closest(str(name), names)
    return f"; did you mean {near!r}?" if near else ""
