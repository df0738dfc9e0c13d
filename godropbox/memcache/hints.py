"""What a wrong argument probably meant: near names, and other clients' names. No I/O."""

from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any, Final, TypeVar

from .._kernels._args import shown
from .errors import InvalidTypeError

__all__ = ["check_kind", "closest", "meant", "named_options", "required_object"]

_Options = TypeVar("_Options")

_POOLED: Final = "max_active limits the connections to each server; under asyncio, connections"
_WHOLE: Final = "timeout is for a whole operation, sending and receiving"
_LOGIN: Final = "auth=Credentials(user, password) logs in"
_PICKLE: Final = "serializer='pickle' stores any object, PickleSerializer(protocol) by a protocol"
_PLACEMENT: Final = "shard_func chooses a key's server: Hash2(), Ketama() and others"
_ANSWERED: Final = "every write waits for its answer; set_many writes many at once"
_ALWAYS: Final = "it is always on"
_KEEPALIVE: Final = "it is always on; keepalive_idle, _interval and _count are its times"
_EJECTION: Final = "eject_after is how many failures in a row leave a server alone"
_RETRY: Final = "retry_after and max_retry_after are how long a server is left alone"

# Options of pymemcache, pylibmc, python-memcached, bmemcached, aiomcache, emcache, dogpile.cache
# and Django.
_ELSEWHERE: Final = {
    "allow_unicode_keys": "a str is always sent as UTF-8",
    "auto_eject": _EJECTION,
    "autobatching": "requests of one turn of the loop always go out together",
    "behaviors": "each behavior is an option of its own, such as timeout or shard_func",
    "binary_keys": "keys of any bytes are MetaProtocol(binary_keys=True)'s, for a ShardedClient",
    "binary": "protocol='binary' is the binary protocol",
    "compression": "compressor='zlib' compresses, compress_from is the least size",
    "connection_timeout": "connect_timeout is for making a connection",
    "dead_retry": _RETRY,
    "dead_timeout": _RETRY,
    "decompressor": "compressor takes an object that compresses and decompresses",
    "default_noreply": _ANSWERED,
    "default_timeout": "each write takes an expire",
    "deserializer": "serializer takes an object that has dumps and loads",
    "distribution": _PLACEMENT,
    "do_not_retry_for": _RETRY,
    "enable_retry_client": (
        "a stale connection is always replaced before anything is sent, and retry_reads asks once "
        "more where one is lost later"
    ),
    "encoding": "a str is always sent as UTF-8",
    "failure_limit": _EJECTION,
    "hash": _PLACEMENT,
    "hasher": _PLACEMENT,
    "hashclient_dead_timeout": _RETRY,
    "hashclient_retry_attempts": _EJECTION,
    "hashclient_retry_timeout": _RETRY,
    "host": "an address is 'host:port', the first argument",
    "ignore_exc": "failures='miss' makes a miss of a get that fails",
    "keepalive": _KEEPALIVE,
    "key_prefix": "prefix goes before every key",
    "ketama": "shard_func=Ketama() places keys like that",
    "loop": "a client belongs to the event loop that first uses it",
    "max_connections": _POOLED,
    "max_pool_size": _POOLED,
    "min_compress_len": "compress_from is the least size to compress",
    "no_delay": _ALWAYS,
    "noreply": _ANSWERED,
    "password": _LOGIN,
    "pickle_protocol": _PICKLE,
    "pickleprotocol": _PICKLE,
    "pickler": _PICKLE,
    "pool_blocking": "pool_timeout is how long to wait for a connection",
    "pool_idle_timeout": "max_idle_time is when an idle connection is closed",
    "pool_size": _POOLED,
    "port": "an address is 'host:port', the first argument",
    "receive_timeout": _WHOLE,
    "recv_timeout": _WHOLE,
    "remove_failed": _EJECTION,
    "retry_attempts": _EJECTION,
    "retry_delay": _RETRY,
    "retry_for": _EJECTION,
    "retry_timeout": _RETRY,
    "send_timeout": _WHOLE,
    "serde": "serializer takes 'json', 'msgpack', 'pickle' or an object that has dumps and loads",
    "socket_keepalive": _KEEPALIVE,
    "socket_timeout": _WHOLE,
    "ssl": "tls takes an ssl.SSLContext",
    "ssl_context": "tls takes an ssl.SSLContext",
    "tcp_nodelay": _ALWAYS,
    "tls_context": "tls takes an ssl.SSLContext",
    "ttl": "each write takes an expire",
    "unpickler": _PICKLE,
    "use_pooling": f"connections are always pooled, and {_POOLED}",
    "username": _LOGIN,
}
# Those of our own that not every client has.
_OF_ASYNCIO: Final = ("connections", "max_in_flight", "max_in_flight_bytes", "when_full")


def closest(word: Any, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` is nearly, None if it is like none of them.

    Case does not count; of names that differ in case alone the last is returned.
    """
    if not isinstance(word, str):
        return None
    from difflib import get_close_matches  # only here, to keep the import cheap

    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_lower, 1, 0.7)
    return by_lower[found[0]] if found else None


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return what an unknown option probably meant, in words; None if it is like none of `known`.

    Options of other clients and back ends have words of their own.
    """
    plain = name.lower()
    if plain in known:
        return f"write {plain!r}"
    if plain in _OF_ASYNCIO:
        return "it is one of AsyncClient"
    if plain in _ELSEWHERE:
        return _ELSEWHERE[plain]
    near = closest(name, known)
    return f"did you mean {near!r}?" if near else None


def _unknown(name: str, known: Iterable[str]) -> InvalidTypeError:
    """Return the error for an option that does not exist."""
    hint = meant(name, known)
    return InvalidTypeError(
        f"there is no option {name!r}: {hint}"
        if hint
        else f"there is no option {name!r}; there are {', '.join(known)}"
    )


def named_options(cls: type[_Options]) -> type[_Options]:
    """Have a dataclass of options say what an unknown one probably meant, as a ``TypeError``."""
    made: Callable[..., None] = cls.__init__
    known = cls.__dataclass_fields__  # type: ignore[attr-defined]  # it is a dataclass

    @wraps(made)
    def checked(self: Any, *given: Any, **named: object) -> None:
        if not known.keys() >= named.keys():
            raise _unknown(next(name for name in named if name not in known), known)
        made(self, *given, **named)

    cls.__init__ = checked  # type: ignore[method-assign]  # as it was
    return cls


def required_object(name: str, value: Any, named: Iterable[str], verbs: Iterable[str]) -> None:
    """Raise ``InvalidTypeError`` unless `value` is an object with these methods.

    A module, or a class in the place of its instance, is what people pass by mistake.
    """
    wanted = f"{', '.join(map(repr, named))} or an object with flag, {' and '.join(verbs)}"
    if isinstance(value, ModuleType):
        module = value.__name__
        hint = f": write {name}={module!r}" if module in named else ""
        raise InvalidTypeError(f"{name} must be {wanted}, got the module {module}{hint}")
    if isinstance(value, type):
        raise InvalidTypeError(
            f"{name} must be {wanted}, got the class {value.__name__}: "
            f"write {name}={value.__name__}()"
        )
    for verb in verbs:
        if not callable(getattr(value, verb, None)):
            raise InvalidTypeError(f"{name} must be {wanted}, got {shown(value)}")


def check_kind(options: Any, *kinds: type) -> None:
    """Raise ``InvalidTypeError`` for what are no options, or those of clients of another kind."""
    if isinstance(options, kinds):
        return
    hint = ""
    if type(options) is int:
        hint = ": a port belongs to the address, 'host:port'"
    elif isinstance(options, dict):
        hint = ": pass them by name, **options"
    names = " or ".join(kind.__name__ for kind in kinds)
    raise InvalidTypeError(f"options must be {names}, got {shown(options)}{hint}")
