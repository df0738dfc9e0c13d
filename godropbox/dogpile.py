"""A back end for dogpile.cache, by the name ``dogpile.cache.godropbox``.

What it stores is what dogpile's own memcached back ends store, so that they can share servers: a
pickled ``CachedValue``, or, in a region with a serializer, the bytes that the region makes. Its
arguments are those of these back ends that are about dogpile, and ``ClientOptions`` by name.
"""

import math
import os
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from threading import get_ident
from typing import Any, Final, cast

from dogpile.cache.api import NO_VALUE, BackendFormatted, CacheBackend, CacheMutex

from ._faces import chosen, key_namer, mistaken, server_list
from ._kernels._args import shown
from .memcache import Client, InvalidArgumentError, StaticShardManager
from .memcache.batches import FAILURES, FailedKeys, partial_error
from .memcache.options import ClientOptions, as_seconds

__all__ = ["GodropboxBackend"]

_WHERE: Final = "dogpile.cache.godropbox"
_DEFAULT: Final = ClientOptions(serializer="pickle", unreadable="miss")
_OWN: Final = (
    "url",
    "memcached_expire_time",
    "min_compress_len",
    "distributed_lock",
    "lock_timeout",
    "lock_sleep",
    "tls_context",
    "socket_timeout",
    "binary",
)


class GodropboxBackend(CacheBackend):
    """A dogpile.cache back end over one memcached or a fleet; threads share its connections.

    Its arguments, all but `url` optional:

    - `url`: an address, or a list of them, as ``Client`` takes them.
    - `memcached_expire_time`: when memcached forgets a value, in seconds, 0 for never. It has to be
      longer than the region's `expiration_time`, by the time it takes to make a value.
    - `distributed_lock`: whether one process among all makes a value, by a lock in memcached; else
      one thread of each process does.
    - `lock_timeout`: after how many seconds such a lock is free again, whatever became of its
      owner; 0 for never. `lock_sleep`: the seconds between two looks at a lock that is taken.
    - `username` and `password`, `tls_context`, `socket_timeout`, `binary`, `min_compress_len`: as
      the other back ends spell ``auth``, ``tls``, ``timeout``, ``protocol`` and ``compress_from``.
    - all of ``ClientOptions`` but `serializer`. With ``failures="miss"`` a server that fails costs
      the cache, not the request: what it should get is a miss, what it should store is not stored,
      and its locks are free to everybody. Only a delete that fails raises.

    A region without a `key_mangler` may have keys of any text: those that memcached would refuse
    are hashed. Raises ``InvalidArgumentError`` or ``InvalidTypeError`` for a wrong argument; one
    that is like none it has is ignored, as dogpile wants it, with a warning.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        given = _known(arguments)
        if "url" not in given:
            raise InvalidArgumentError(f"{_WHERE} needs the argument url")
        servers = server_list(given.pop("url"))
        expire = _seconds("memcached_expire_time", given.pop("memcached_expire_time", 0))
        self._expire = math.ceil(expire)
        self._locks = bool(given.pop("distributed_lock", False))
        self._lock_timeout = _seconds("lock_timeout", given.pop("lock_timeout", 0))
        self._lock_sleep = _seconds("lock_sleep", given.pop("lock_sleep", 0.1))
        options = chosen(_DEFAULT, _ours(given), _WHERE, _OWN)
        self._forgives = options.failures == "miss"
        self._sleep = options.sleep
        # A region without a mangler of its own takes this one.
        self._named = self.key_mangler = key_namer(options)
        self._manager = StaticShardManager(servers, options.shard_func, options)
        self._client = Client(self._manager, options)
        # What a region serializes itself, and locks, are bytes: nothing in them is ever unpickled.
        self._raw = Client(self._manager, options, serializer=None)

    def close(self) -> None:
        """Close the connections; the back end is of no use from then on."""
        self._client.close()
        self._raw.close()
        self._manager.close()

    def has_lock_timeout(self) -> bool:
        """Return whether locks are free again after a time."""
        return self._lock_timeout != 0

    def get_mutex(self, key: str) -> CacheMutex | None:
        """Return the lock of a key, None if threads are to lock by themselves."""
        return cast("CacheMutex", _Lock(self, key)) if self._locks else None

    def get(self, key: str) -> BackendFormatted:
        """Return the value of a key, or ``NO_VALUE``."""
        return cast("BackendFormatted", self._client.get(key, NO_VALUE))

    def get_multi(self, keys: Iterable[str]) -> Sequence[BackendFormatted]:
        """Return the values of keys, or ``NO_VALUE``, in their order."""
        return _got(self._client, keys)

    def get_serialized(self, key: str) -> Any:
        """Return the bytes that a region with a serializer stored, or ``NO_VALUE``."""
        return self._raw.get(key, NO_VALUE)

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        """Return such bytes of many keys, in their order."""
        return _got(self._raw, keys)

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        try:
            self._client.set(key, value, self._expire)
        except FAILURES:
            if not self._forgives:
                raise

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        """Store many values; raises a ``PartialResultError`` that says which failed, and why."""
        failed = self._client.set_many(mapping, self._expire)
        if failed and not self._forgives:
            _raise(failed, len(mapping))

    def delete(self, key: str) -> None:
        """Delete a value; that there is none is no failure."""
        self._client.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Delete many values; raises a ``PartialResultError`` that says which failed, and why."""
        given = list(keys)
        _raise(self._client.delete_many(given), len(given))


class _Lock:
    """A lock in memcached: an entry that is added by its owner, with a token, and expires.

    dogpile gives one object to all threads that lock a key, and may release it in another thread
    than the one that acquired it. Only the owner's own entry is deleted: after it has expired it
    may be another's, here or in another process.
    """

    def __init__(self, backend: GodropboxBackend, key: str) -> None:
        self._backend = backend
        self._client = backend._raw
        # As dogpile's memcached back ends name it, so that these and this one exclude each other.
        self._name = backend._named(f"_lock{key}")
        self._tokens: dict[int, bytes] = {}

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; if it is taken, wait for it, or return False."""
        backend = self._backend
        token = os.urandom(16)
        try:
            while not self._client.add(self._name, token, backend._lock_timeout):
                if not wait:
                    return False
                backend._sleep(backend._lock_sleep * (0.5 + random.random()))
        except BaseException as error:
            self._abandon(token)
            if not (backend._forgives and isinstance(error, FAILURES)):
                raise
            return True
        self._tokens[get_ident()] = token
        return True

    def release(self) -> None:
        """Give the lock back, if it is still one's own."""
        own = self._tokens.pop(get_ident(), None)
        # One that this thread did not acquire was handed to it by another thread.
        tokens = list(self._tokens.items()) if own is None else [(0, own)]
        try:
            held = self._delete([token for _, token in tokens]) if tokens else None
        except FAILURES:
            if not self._backend._forgives:
                raise
            return
        for thread, token in tokens:
            if token == held:
                self._tokens.pop(thread, None)

    def locked(self) -> bool:
        """Return whether somebody has the lock."""
        return self._client.get(self._name) is not None

    def _delete(self, tokens: list[bytes]) -> Any:
        """Delete the entry if it is that of one of the tokens; return the token that it had."""
        held, version = self._client.gets(self._name)
        if version is not None and held in tokens:
            # All protocols have this compare-and-swap by an entry that is expired already.
            self._client.cas(self._name, b"", version, -1)
        return held

    def _abandon(self, token: bytes) -> None:
        """Delete what may have been added though the answer was lost."""
        with suppress(Exception):  # the error to raise is the first one
            self._delete([token])


def _known(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are this back end's; raise for what is likely to be a mistake."""
    known = {*ClientOptions.__dataclass_fields__, *_OWN, "username", "password"} - {"serializer"}
    given = {}
    for name, value in arguments.items():
        if name in known:
            given[name] = value
        elif name in ("serializer", "serde"):
            raise InvalidArgumentError(
                f"{_WHERE} has no option {name!r}: a region has a serializer and a deserializer"
            )
        elif text := mistaken(name, known, _WHERE):
            raise InvalidArgumentError(text)
        else:
            warnings.warn(f"{_WHERE} ignores its argument {name!r}", stacklevel=4)
    return given


def _ours(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the other back ends spell otherwise by the names they have here."""
    for theirs, ours in (("tls_context", "tls"), ("socket_timeout", "timeout")):
        if theirs in given:
            given[ours] = given.pop(theirs)
    if given.pop("binary", False):
        given["protocol"] = "binary"
    if least := given.pop("min_compress_len", 0):
        given = {"compressor": "zlib", "compress_from": least} | given
    return given


def _seconds(name: str, value: Any) -> float:
    seconds = as_seconds(name, value)
    if seconds < 0:
        raise InvalidArgumentError(f"{name} must be at least 0 seconds, got {shown(value)}")
    return seconds


def _got(client: Client, keys: Iterable[str]) -> list[Any]:
    given = list(keys)
    find = client.get_many(given).get
    return [find(key, NO_VALUE) for key in given]


def _raise(failed: FailedKeys, asked: int) -> None:
    """Raise why keys failed; those that were skipped, as no server takes them now, are no error."""
    if failed.errors:
        raise partial_error({}, failed.errors, asked)
