"""pylibmc's client without its mapping and behaviors by name: every call, over our engine.

Values have pylibmc's bytes and flags. Compiled as it stands (``_client.pxd``).
"""

import pickle
import zlib
from collections.abc import Iterable
from contextlib import suppress
from operator import index
from typing import TYPE_CHECKING, Any, Final, cast

from ..._kernels._identity import refuse_copies
from ...memcache import Credentials, InvalidArgumentError, ResponseStatus
from ...memcache.responses import GetResponse, MutateResponse
from ...memcache.sharded_client import ShardedClient
from ...memcache.types import Item
from ._behaviors import Behaviors, Held, Server
from ._errors import (
    AllocationError,
    BadKeyProvided,
    CacheMiss,
    ClientError,
    Error,
    NotFound,
    ServerDown,
    SomeErrors,
    bad_key,
    explained,
    is_bad_key,
)

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SERVER_TCP", "SERVER_UDP", "SERVER_UNIX", "checked_servers", "client"]

SERVER_TCP: Final = 1
SERVER_UDP: Final = 2
SERVER_UNIX: Final = 4

_PICKLE: Final = 1
_BOOL: Final = 2
_INT: Final = 4
_ZLIB: Final = 8
_TEXT: Final = 16
_TYPES: Final = _PICKLE | _BOOL | _INT | _TEXT

_OK: Final = ResponseStatus.OK
_MISS: Final = ResponseStatus.KEY_NOT_FOUND
_LIMIT: Final = 1 << 31  # of what goes as it is for an expiry
_MISSING: Final = object()
_new: Final = tuple.__new__

_Key = str | bytes
_Keys = Iterable[_Key]


class client:  # noqa: N801  # its name there
    """The operations of pylibmc. Threads may share it.

    `servers` are tuples of a type (``server_type_tcp`` or ``server_type_unix``), a host or a path,
    a port and a weight; the last two may be left out. `behaviors` are by name, and numbers all.
    """

    __slots__ = (
        "__weakref__",
        "_auth",
        "_has_cas",
        "_held",
        "_is_binary",
        "_pickles",
        "_reads_own",
        "_servers",
        "_verifies",
        "_writes_own",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        servers: Iterable[Any],
        binary: bool = False,
        username: str | None = None,
        password: str | None = None,
        behaviors: dict[str, Any] | None = None,
    ) -> None:
        self._is_binary = bool(binary)
        self._auth = _credentials(username, password, self._is_binary)
        settings = Behaviors(self._is_binary)
        if behaviors is not None:
            settings.set(behaviors)
        self._servers = checked_servers(servers)
        settings.heed_weights(self._servers)
        self._held = Held(settings, settings.engine(self._servers, self._auth))
        self._take_values()
        kind = type(self)
        self._reads_own = kind.deserialize is not client.deserialize
        self._writes_own = kind.serialize is not client.serialize

    def _take_values(self) -> None:
        """Take what the behaviors say of values and keys."""
        values = self._held.behaviors.values
        self._has_cas = bool(values["cas"])
        self._verifies = bool(values["verify_keys"])
        self._pickles = values["pickle_protocol"]

    def clone(self) -> "Self":
        """Return a client of the same servers, with behaviors of its own.

        While these are the same, both use the same connections, which are as many as operations
        run at a time.
        """
        kind = type(self)
        other = kind.__new__(kind)
        other._adopt(self)
        return other

    def _adopt(self, other: "client") -> None:
        """Become a clone of another client."""
        self._is_binary = other._is_binary
        self._auth = other._auth
        self._servers = other._servers
        self._held = Held(other._held.behaviors.copy(), other._held.engine)
        self._reads_own = other._reads_own
        self._writes_own = other._writes_own
        self._take_values()

    def disconnect_all(self) -> None:
        """Forget the connections and what is known of failures; what comes next connects again."""
        self._held.engine = self._held.behaviors.engine(self._servers, self._auth)

    def get_behaviors(self) -> dict[str, Any]:
        """Return the behaviors as numbers."""
        return dict(self._held.behaviors.values)

    def set_behaviors(self, behaviors: dict[str, Any]) -> None:
        """Set some behaviors, all of them or none; see ``docs/from-pylibmc.md`` for each."""
        wanted = self._held.behaviors.copy()
        if wanted.set(behaviors):
            self._held.engine = wanted.engine(self._servers, self._auth)
        self._held.behaviors = wanted
        self._take_values()

    def _engine(self) -> ShardedClient:
        """Return the engine, for a whole call: another thread may put another in its place."""
        engine: ShardedClient = self._held.engine
        return engine

    # Values

    def serialize(self, value: Any) -> tuple[bytes, int]:
        """Return a value as bytes and flags. A subclass may override it."""
        return _dumped(value, self._pickles)

    def deserialize(self, bytes_: bytes, flags: int) -> Any:
        """Return the value of bytes and flags. A subclass may override it.

        It may raise ``CacheMiss``: then the value counts as missing.
        """
        return _loaded(bytes_, flags)

    def _encoded(self, value: Any) -> tuple[bytes, int]:
        if not self._writes_own:
            return _dumped(value, self._pickles)
        made = self.serialize(value)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[1], int):
            raise ValueError("serialize() must return (bytes, flags)")
        if not isinstance(made[0], bytes):
            raise TypeError(f"serialize() must return bytes, got {type(made[0]).__name__}")
        return b"".join((made[0],)), made[1] & 0xFFFFFFFF

    def _decoded(self, data: bytes, flags: int) -> Any:
        if flags & _ZLIB:
            try:
                data = zlib.decompress(data)
            except zlib.error as error:
                raise Error(f"Failed to decompress value: {error}") from error
        if self._reads_own:
            return self.deserialize(data, flags)
        return _loaded(data, flags)

    # Reading

    def get(self, key: _Key, default: Any = None) -> Any:
        """Return the value of a key, `default` if it has none."""
        sharded = self._engine()
        try:
            response = sharded.get(key)
        except Exception as error:
            self._check_read("memcached_get", key, error)
            return default
        return self._answered("memcached_get", key, response, default)

    def gets(self, key: _Key) -> tuple[Any, int | None]:
        """Return the value of a key and the token for ``cas``; ``(None, None)`` if it has none."""
        if not self._has_cas:
            _require_key(key)
            raise ValueError("gets without cas behavior")
        sharded = self._engine()
        try:
            response = sharded.get(key)
        except Exception as error:
            self._check_read("memcached_gets", key, error)
            return None, None
        value = self._answered("memcached_gets", key, response, _MISSING)
        return (None, None) if value is _MISSING else (value, response.cas)

    def _answered(self, what: str, key: Any, response: GetResponse, default: Any) -> Any:
        """Return the value of an answer, `default` if it has none."""
        value = response._value
        if value is None:
            _check_miss(what, key, response)
            return default
        if response._flags == 0 and not self._reads_own:
            return value
        try:
            return self._decoded(value, response._flags)
        except CacheMiss:
            return default

    def get_multi(self, keys: _Keys, key_prefix: _Key | None = None) -> dict[Any, Any]:
        """Return the values of those keys that have one.

        `key_prefix` goes before each key to the server, and is not in what comes back. While some
        servers fail, the values of the others are returned; if all that were asked fail, this
        raises.
        """
        given = list(keys)
        names = _prefixed(key_prefix, given)
        asked = names if names is not given else given[:]
        sharded = self._engine()
        found, flagged, rest = sharded._get_flagged(asked)
        if flagged or rest or self._reads_own:
            found = self._read_all(names, found, flagged, rest)
        if names is given:
            return cast("dict[Any, Any]", found)
        wanted = dict(zip(names, given, strict=True))
        return {wanted[name]: value for name, value in found.items()}

    def _read_all(
        self, names: list[Any], plain: dict[Any, Any], flagged: list[Any], rest: dict[Any, Any]
    ) -> dict[Any, Any]:
        """Return the values of a batch: of those without and with flags, and of the responses."""
        found = plain
        if self._reads_own:
            found = {}
            for name, data in plain.items():
                with suppress(CacheMiss):
                    found[name] = self.deserialize(data, 0)
        for name, data, flags in flagged:
            try:  # noqa: SIM105  # suppress() takes longer than all else here
                found[name] = self._decoded(data, flags)
            except CacheMiss:
                pass
        failed = 0
        failure: Any = None
        for name, each in rest.items():
            response: GetResponse = each  # typed for the compiler
            value = response._value
            if value is not None:
                with suppress(CacheMiss):
                    found[name] = self._decoded(value, response._flags)
            elif is_bad_key(response.error):
                self._check_read("memcached_mget", name, response.error)
            elif response.error is not None or response.skipped:
                failed += 1
                failure = failure or response
        if failed and failed >= len(set(names)):
            _check_miss("memcached_mget", None, failure)
        return found

    def _check_read(self, what: str, key: Any, error: Any) -> None:
        """Raise what a get of a key failed with, unless it counts as a miss."""
        if not is_bad_key(error):
            raise explained(_named(what, key), error)
        _require_key(key)
        if key and self._verifies:
            raise BadKeyProvided(_bad(_named(what, key))) from error

    # Writing

    def set(
        self,
        key: _Key,
        val: Any,
        time: int = 0,
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> bool:
        """Store a value; return False if the server takes none, or the key is empty.

        `time` is seconds until it expires, 0 for never, a Unix time from 30 days on. A value of
        `min_compress_len` bytes or more, 0 for none, is compressed by zlib with `compress_level`
        if that makes it smaller.
        """
        return self._put("set", key, val, time, min_compress_len, compress_level)

    def add(
        self,
        key: _Key,
        val: Any,
        time: int = 0,
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> bool:
        """Store a value if the key has none; return whether it was stored."""
        return self._put("add", key, val, time, min_compress_len, compress_level)

    def replace(
        self,
        key: _Key,
        val: Any,
        time: int = 0,
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> bool:
        """Store a value if the key has one; return whether it was stored."""
        return self._put("replace", key, val, time, min_compress_len, compress_level)

    def append(
        self,
        key: _Key,
        val: Any,
        time: int = 0,
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> bool:
        """Put data after the value of a key, whatever that is; return False if it has none."""
        return self._put("append", key, val, time, min_compress_len, compress_level)

    def prepend(
        self,
        key: _Key,
        val: Any,
        time: int = 0,
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> bool:
        """Put data before the value of a key, whatever that is; return False if it has none."""
        return self._put("prepend", key, val, time, min_compress_len, compress_level)

    def cas(self, key: _Key, val: Any, cas: int, time: int = 0) -> bool:
        """Store a value over the one that ``gets`` gave the token `cas` for.

        Returns False if that was changed; raises ``NotFound`` if it is gone.
        """
        if not self._has_cas:
            _require_key(key)
            raise ValueError("cas without cas behavior")
        data, flags = self._encoded(val)
        sharded = self._engine()
        try:
            answer = sharded._store_one("cas", key, data, flags, _seconds(time), index(cas))
        except Exception as error:
            return self._check_write("memcached_cas", key, error)
        if answer is None:
            return True
        if _is_missing(answer):
            raise NotFound(_coded(NotFound, _named("memcached_cas", key)))
        return self._is_done("memcached_cas", key, answer)

    def _put(self, verb: str, key: Any, value: Any, time: Any, least: Any, level: Any) -> bool:
        data, flags = self._encoded(value)
        if type(time) is not int or not 0 <= time < _LIMIT:
            time = _seconds(time)
        if least or level != -1:
            data, flags = _compressed(data, flags, least, level)
        sharded = self._engine()
        try:
            if verb == "set" and self._is_binary:
                answer: Any = sharded.set(_new(Item, (key, data, flags, 0, time)))
            else:
                answer = sharded._store_one(verb, key, data, flags, time, 0)
        except Exception as error:
            return self._check_write("memcached_" + verb, key, error)
        if answer is None:
            return True
        if verb == "replace" and self._is_binary and _is_missing(answer):
            raise NotFound(_coded(NotFound, "memcached_replace"))  # in ASCII it is False
        return self._is_done("memcached_" + verb, key, answer)

    def _is_done(self, what: str, key: Any, answer: Any) -> bool:
        """Return whether an answer is a success; raise what a server failed with."""
        if type(answer) is MutateResponse:  # which has no error
            return answer.status is _OK
        error = answer.error
        if error is not None:
            if is_bad_key(error):
                return self._check_write(what, key, error)
            told = explained(_named(what, key), error)
            if isinstance(told, AllocationError) and what != "memcached_touch":
                return False
            raise told
        if answer.skipped:
            raise ServerDown(_down(_named(what, key)))
        return answer.status is _OK

    def _check_write(self, what: str, key: Any, error: Exception) -> bool:
        """Return False for a key that counts as not stored; raise else."""
        if not is_bad_key(error):
            raise explained(_named(what, key), error)
        _require_key(key)
        if not _is_unfit(key):
            raise error  # it is about another argument
        if what == "memcached_cas" and (self._verifies or not key):
            raise BadKeyProvided(_bad(_named(what, key))) from error
        if key and (not self._verifies or what == "memcached_touch"):
            raise ClientError(_coded(ClientError, f"{_named(what, key)}: {error}")) from error
        return False

    def set_multi(
        self,
        keys: dict[Any, Any],
        time: int = 0,
        key_prefix: _Key = b"",
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> list[Any]:
        """Store many values; return the keys that were not stored."""
        return self._put_all("set", keys, time, key_prefix, min_compress_len, compress_level)

    def add_multi(
        self,
        keys: dict[Any, Any],
        time: int = 0,
        key_prefix: _Key = b"",
        min_compress_len: int = 0,
        compress_level: int = -1,
    ) -> list[Any]:
        """Store many values under those keys that have none; return the other keys."""
        return self._put_all("add", keys, time, key_prefix, min_compress_len, compress_level)

    def _put_all(
        self, verb: str, keys: Any, time: Any, prefix: Any, least: Any, level: Any
    ) -> list[Any]:
        if not isinstance(keys, dict):
            raise TypeError(f"keys must be a dict, got {type(keys).__name__}")
        until = _seconds(time)
        squeezes = least or level != -1
        data: list[bytes] = []
        marks: list[int] = []
        for value in keys.values():
            some, flags = self._encoded(value)
            if squeezes:
                some, flags = _compressed(some, flags, least, level)
            data.append(some)
            marks.append(flags)
        given = list(keys)
        names = _prefixed(prefix, given)
        sharded = self._engine()
        if verb == "set":
            answers = sharded._set_listed(names, data, marks, until)
        else:
            items = [
                _new(Item, (name, some, flags, 0, until))
                for name, some, flags in zip(names, data, marks, strict=True)
            ]
            answers = sharded.add_multi(items)
        what = f"memcached_{verb}_multi"
        failed = []
        for i, answer in enumerate(answers):
            if answer.status is _OK and answer.error is None:
                continue
            self._is_done(what, names[i], answer)  # which raises for most
            failed.append(given[i])
        return failed

    # Deleting, touching, counting

    def delete(self, key: _Key) -> bool:
        """Delete the value of a key; return whether there was one."""
        sharded = self._engine()
        try:
            answer = sharded._delete_one(key)
        except Exception as error:
            return self._check_write("memcached_delete", key, error)
        if answer is None:
            return True
        return self._is_done("memcached_delete", key, answer)

    def delete_multi(self, keys: _Keys, key_prefix: _Key | None = None) -> bool:
        """Delete the values of many keys; return whether all had one."""
        if isinstance(keys, dict):
            raise TypeError("keys must be a sequence, not a mapping")
        names = _prefixed(key_prefix, list(keys))
        is_whole = True
        sharded = self._engine()
        for name, answer in zip(names, sharded.delete_multi(names), strict=True):
            if answer.status is _OK and answer.error is None:
                continue
            is_whole = False
            self._is_done("memcached_delete", name, answer)  # which raises for most
        return is_whole

    def touch(self, key: _Key, time: int) -> bool:
        """Give the value of a key a new expiry; return whether there is one."""
        sharded = self._engine()
        try:
            answer = sharded._touch_one(key, _seconds(time))
        except Exception as error:
            return self._check_write("memcached_touch", key, error)
        if answer is None:
            return True
        return self._is_done("memcached_touch", key, answer)

    def incr(self, key: _Key, delta: int = 1) -> int:
        """Add to a counter and return it; raise ``NotFound`` if there is none."""
        return self._count_one(False, key, delta)

    def decr(self, key: _Key, delta: int = 1) -> int:
        """Take from a counter, to 0 at the least, and return it; raise ``NotFound``."""
        return self._count_one(True, key, delta)

    def _count_one(self, down: bool, key: Any, delta: Any) -> int:
        if type(delta) is not int or delta < 0:
            _require_key(key)
            if index(delta) < 0:
                raise ValueError(f"delta must be positive, got {delta}")
        answer = self._counted(down, key, delta)
        if type(answer) is int:
            return answer
        raise self._uncounted([answer], [key])

    def _counted(self, down: bool, key: Any, delta: Any) -> Any:
        """Return the counter, or what came instead of it."""
        sharded = self._engine()
        try:
            return sharded._count_one(down, key, delta)
        except Exception as error:
            if is_bad_key(error):
                _require_key(key)
                if not _is_unfit(key):
                    raise
            elif explained("", error) is error:
                raise
            return _Failed(error)

    def _uncounted(self, answers: list[Any], keys: list[Any]) -> Error:
        """Return the error for counters of which some were not counted, in pylibmc's words."""
        errors = []
        missing = 0
        for answer, key in zip(answers, keys, strict=True):
            if type(answer) is int:
                continue
            if answer.error is not None:
                errors.append((key, answer.error))
            elif answer.skipped:
                errors.append((key, None))
            else:
                missing += 1
        if not errors:
            return NotFound(f"{missing} keys not found")
        key, error = errors[len(errors) - 1]
        kind: Any = ServerDown
        if is_bad_key(error):
            kind = BadKeyProvided if self._verifies or not key else ClientError
        elif error is not None:
            kind = type(explained("", error))
        if len(errors) > 1:
            kind = Error
        made: Error = kind(f"{missing + len(errors)} keys failed" + (f": {error}" if error else ""))
        made.__cause__ = error
        return made

    def incr_multi(self, keys: _Keys, key_prefix: _Key | None = None, delta: int = 1) -> None:
        """Add to many counters; raise ``NotFound`` if some are not there, after the others."""
        number = index(delta)
        if number < 0:
            raise ValueError(f"delta must be positive, got {delta}")
        names = _prefixed(key_prefix, list(keys))
        for name in names:
            _require_key(name)
        answers = [self._counted(False, name, number) for name in names]
        if any(type(answer) is not int for answer in answers):
            raise self._uncounted(answers, names)

    # The servers as a whole

    def hash(self, key: _Key) -> int:
        """Return the number of the server that a key is on."""
        if isinstance(key, str):
            key = key.encode()
        sharded = self._engine()
        number: int = sharded.manager.fleet().of(key)
        return number

    def get_stats(self, args: str = "") -> list[tuple[bytes, dict[str, bytes]]]:
        """Return the name and the statistics of each server, of the group `args` if given."""
        sharded = self._engine()
        try:
            response = sharded.stats(args)
        except InvalidArgumentError as error:
            raise Error(f"error 38 from get_stats: {error}") from error
        if response.error is not None:
            raise SomeErrors(_coded(SomeErrors, f"get_stats: {response.error}")) from response.error
        found = []
        for number, (address, _) in enumerate(self._servers):
            rows = response.entries.get(number, {})
            name = f"{address[5:]}:0" if address.startswith("unix:") else address
            entries = {key: value.encode() for key, value in rows.items()}
            found.append((f"{name} ({number})".encode(), entries))
        return found

    def flush_all(self, time: int = 0) -> bool:
        """Forget everything on every server, `time` seconds from now."""
        if not isinstance(time, int):
            raise TypeError(f"time must be int, not {type(time).__name__}")
        sharded = self._engine()
        response = sharded.flush(max(time, 0))
        if response.error is not None:
            raise SomeErrors(_coded(SomeErrors, f"flush_all: {response.error}")) from response.error
        return True


def _dumped(value: Any, protocol: int) -> tuple[bytes, int]:
    """Return a value as bytes and flags; pickles of `protocol` for what has no flag of its own."""
    kind = type(value)
    if kind is bytes:
        return value, 0
    if kind is str:
        return value.encode(), _TEXT
    if kind is bool:
        return (b"1" if value else b"0"), _BOOL
    if kind is int:
        return str(value).encode(), _INT
    if isinstance(value, bytes):
        return b"".join((value,)), 0
    if isinstance(value, str):
        return value.encode(), _TEXT
    if isinstance(value, int):
        return str(value).encode("ascii"), _INT
    return pickle.dumps(value, protocol), _PICKLE


def _loaded(data: bytes, flags: int) -> Any:
    """Return the value of bytes and flags."""
    kind = flags & _TYPES
    if kind == _TEXT:
        return data.decode()
    if kind == 0:
        return data
    if kind in (_INT, _BOOL):
        return int(data)
    if kind == _PICKLE:
        return pickle.loads(data)
    raise Error(f"unknown memcached key flags {kind}")


class _Failed:
    """The answer to counting that failed before there was one."""

    __slots__ = ("error", "skipped")

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.skipped = False


def checked_servers(servers: Any) -> list[Server]:
    """Return the servers as addresses and weights."""
    found: list[Server] = []
    kinds = set()
    for server in servers:
        if not isinstance(server, tuple) or not 2 <= len(server) <= 4:
            raise TypeError(
                f"servers must hold tuples of type, host, port and weight, got {server!r}"
            )
        kind, host, port, weight = (*server, 0, 1)[:4] if len(server) == 2 else (*server, 1)[:4]
        kinds.add(kind)
        if len(kinds) > 1:
            raise ValueError("can't mix transport types")
        if kind == SERVER_UDP:
            raise ValueError(f"UDP is not supported, got {host!r}: servers are asked over TCP")
        if kind == SERVER_UNIX:
            if port:
                raise ValueError("can't set port on unix sockets")
            address = f"unix:{host}"
        elif kind == SERVER_TCP:
            name = f"[{host}]" if ":" in host else host
            address = f"{name}:{port or 11211}"
        else:
            raise ValueError(f"bad type: {kind}")
        found.append((address, max(weight, 1)))
    if not found:
        raise Error("empty server list")
    return found


def _credentials(username: Any, password: Any, is_binary: bool) -> Credentials | None:
    if username is None and password is None:
        return None
    if username is None or password is None:
        raise TypeError("SASL requires both username and password")
    if not is_binary:
        raise TypeError("SASL requires the memcached binary protocol")
    return Credentials(username, password, "sasl")


def _seconds(time: Any) -> int:
    """Return an expiry in 32 bits without a sign, as libmemcached is given it."""
    return index(time) & 0xFFFFFFFF


def _compressed(data: bytes, flags: int, least: Any, level: Any) -> tuple[bytes, int]:
    """Return data and flags, compressed if it is long enough and gets smaller."""
    if level != -1 and not 0 <= index(level) <= 9:
        raise ValueError(f"compress_level must be between 0 and 9 inclusive, got {level}")
    if level and 0 < index(least) <= len(data):
        smaller = zlib.compress(data, level)
        if len(smaller) < len(data):
            return smaller, flags | _ZLIB
    return data, flags


def _prefixed(prefix: Any, keys: list[Any]) -> list[Any]:
    """Return the keys with the prefix before each; the list itself if there is none."""
    if prefix is None or (not prefix and isinstance(prefix, (str, bytes))):
        return keys
    if isinstance(prefix, str):
        text, raw = prefix, prefix.encode()
    elif isinstance(prefix, bytes):
        text, raw = "", prefix
    else:
        raise TypeError(f"key_prefix must be str or bytes, got {type(prefix).__name__}")
    names: list[Any] = []
    for key in keys:
        if isinstance(key, str):
            names.append(text + key if text else raw + key.encode())
        elif isinstance(key, bytes):
            names.append(raw + key)
        else:
            raise TypeError(f"key must be str or bytes, got {type(key).__name__}")
    return names


def _require_key(key: Any) -> None:
    """Raise what pylibmc raises for a key of a wrong type or that is too long."""
    wrong = bad_key(key)
    if wrong is not None:
        raise wrong


def _is_unfit(key: Any) -> bool:
    """Tell whether a key is empty or has a blank or a control character."""
    raw = key.encode() if isinstance(key, str) else key
    return not raw or any(byte <= 0x20 or byte == 0x7F for byte in raw)


def _check_miss(what: str, key: Any, response: Any) -> None:
    """Raise unless an answer without a value is a miss."""
    error = response.error
    if error is not None:
        raise explained(_named(what, key), error)
    if response.skipped:
        raise ServerDown(_down(_named(what, key)))


def _is_missing(answer: Any) -> bool:
    """Tell whether an answer says that the key has no value."""
    return answer.status is _MISS and answer.error is None and not answer.skipped


def _named(what: str, key: Any) -> str:
    if not key:
        return what
    return f"{what}({key.decode('utf-8', 'backslashreplace') if isinstance(key, bytes) else key})"


def _coded(kind: Any, what: str) -> str:
    return f"error {kind.retcode} from {what}"


def _bad(what: str) -> str:
    return _coded(BadKeyProvided, what) + ": a key must have no blank or control character"


def _down(what: str) -> str:
    return _coded(ServerDown, what) + ": the server has failed, and is not tried again yet"
