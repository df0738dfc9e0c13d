"""The calls of pymemcache's clients of one server, over our pools, transport and parsers.

A call goes the shortest way there is for bytes over a plain socket. A socket of another module may
say anything, as those of tests do: there a reply is read row by row, as pymemcache reads it.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

from ...._address import address_text
from ...._dial import DialOptions, begin_to_dial, dial
from ...._kernels import wire, wire_request
from ...._kernels._identity import refuse_copies
from ....memcache.connection import Connection
from ....memcache.errors import ServerError, UsageError
from ....memcache.fleet.options import ShardOptions
from ....memcache.managers import StaticShardManager
from ....memcache.protocol.ascii import STORE_WORDS, AsciiProtocol
from ....memcache.protocol.base import Protocol
from ....memcache.protocol.exchange import Exchange, as_caller_error
from ....memcache.responses import GetResponse
from ....memcache.sharded_client import ShardedClient
from ....memcache.types import Item, ResponseStatus
from ..exceptions import (
    MemcacheIllegalInputError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)
from ..serde import Deserializer, LegacyWrappingSerde, PickleSerde, Serde, Serializer
from ._arguments import (
    KeepaliveOpts,
    Key,
    ServerSpec,
    address_of,
    as_token,
    check_keepalive,
    check_key_helper,
    checked_integer,
    checked_seconds,
    listed,
    normalize_server_spec,
    socket_options,
)
from ._errors import refusal, translated
from ._owed import MOST_BYTES, Owed
from ._wires import Command, Listing, Rows, Segment, as_channel, dialled, statistics

if TYPE_CHECKING:
    from ssl import SSLContext  # loaded by those who make one

    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from ...._kernels import _uncompiled as cython

__all__ = ["Calls"]

_OK: Final = ResponseStatus.OK
_MISS: Final = ResponseStatus.KEY_NOT_FOUND
_FAILED: Final = wire.codes.FAILED
_LINES: Final = wire.codes.LINES
_DELETE_WORDS: Final = wire.codes.WORDS["DELETED"] | wire.codes.WORDS["NOT_FOUND"]
_TOUCH_WORDS: Final = wire.codes.WORDS["TOUCHED"] | wire.codes.WORDS["NOT_FOUND"]
_COUNT_WORDS: Final = wire.codes.WORDS["NUMBER"] | wire.codes.WORDS["NOT_FOUND"]
_OK_WORD: Final = wire.codes.WORDS["OK"]
_STORES: Final = ("set", "add", "replace", "append", "prepend", "cas")
_VERBS: Final = {
    verb: f"{verb} ".encode() for verb in (*_STORES, "delete", "touch", "incr", "decr")
}
_BAD_BYTES: Final = bytes((*range(0x21), 0x7F))
# What a subclass may change in pymemcache, and nothing here would call.
_HOOKS: Final = ("_connect", "_extract_value", "_fetch_cmd", "_misc_cmd", "_store_cmd")
_ZERO: Final = -1  # the token 0, which no item has, and which is not the same as none
_STORED: Final[dict[int, bool | None]] = {0: True, 5: False, 2: False, 1: None}


class Calls:
    """The calls of a client of one server."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_bare",
        "_by_rows",
        "_injected",
        "_key_prefix",
        "_latest",
        "_max_active",
        "_max_idle_time",
        "_owed",
        "_protocol",
        "_proves",
        "_shard",
        "_sharded",
        "_target",
        "allow_unicode_keys",
        "connect_timeout",
        "default_noreply",
        "encoding",
        "ignore_exc",
        "no_delay",
        "serde",
        "server",
        "socket_keepalive",
        "socket_module",
        "timeout",
        "tls_context",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        server: ServerSpec,
        serde: Serde | None,
        serializer: Serializer | None,
        deserializer: Deserializer | None,
        connect_timeout: float | None,
        timeout: float | None,
        no_delay: bool,
        ignore_exc: bool,
        socket_module: Any,
        socket_keepalive: KeepaliveOpts | None,
        key_prefix: Key,
        default_noreply: bool,
        allow_unicode_keys: bool,
        encoding: str,
        tls_context: "SSLContext | None",
        max_pool_size: int | None = None,
        pool_idle_timeout: float = 0,
    ) -> None:
        for name in _HOOKS:
            if hasattr(self, name):
                raise NotImplementedError(
                    f"{type(self).__name__} has {name}, which is not called here: replies are read "
                    "by a parser of our own"
                )
        self.server = normalize_server_spec(server)
        # The serde that leaves everything as it is, so that it need not be called.
        self._bare: Any = None
        self.serde: Any = serde
        if not serde:
            self.serde = LegacyWrappingSerde(serializer, deserializer)
            self._bare = None if serializer or deserializer else self.serde
        self.connect_timeout = checked_seconds("connect_timeout", connect_timeout)
        self.timeout = checked_seconds("timeout", timeout)
        self.no_delay = no_delay
        self.ignore_exc = ignore_exc
        self.socket_module = socket_module
        self.socket_keepalive = socket_keepalive
        check_keepalive(socket_keepalive)
        if isinstance(key_prefix, str):
            key_prefix = key_prefix.encode("ascii")
        if not isinstance(key_prefix, bytes):
            raise TypeError("key_prefix should be bytes.")
        self._key_prefix = key_prefix
        self.default_noreply = default_noreply
        self.allow_unicode_keys = allow_unicode_keys
        self.encoding = encoding
        self.tls_context = tls_context
        self._max_active = max_pool_size or None
        self._max_idle_time = pool_idle_timeout or None
        if tls_context is not None and socket_module is not socket:
            raise NotImplementedError("tls_context needs socket_module to be Python's own")
        self._injected: Any = None
        self._latest: Any = None
        self._target: Any = None
        self._protocol: Any = None
        self._shard: Any = None
        self._sharded: Any = None
        self._owed = Owed()
        self._asked: dict[str, Any] = {}
        self._connect_anew()

    # Connections

    def _connect_anew(self) -> Any:
        """Begin with no connections; return what had those there were, to be closed and freed."""
        # Whether replies are read row by row: a socket of another kind may say anything.
        seen = self._guarded()
        is_known = seen.socket_module is socket
        target = address_of(seen.server)
        options = ShardOptions(
            max_active=self._max_active, max_idle_time=self._max_idle_time, open=self._open
        )
        manager = StaticShardManager([address_text(target)], options=options)
        try:
            protocol = AsciiProtocol(self._key_prefix)
        except UsageError as error:
            raise translated(error, "") from error
        before = self._change(manager, protocol, target)
        self._by_rows = not is_known
        self._proves = not self._by_rows or hasattr(seen.socket_module.socket, "fileno")
        return before[3]

    def _read_by_rows(self) -> None:
        """Read all replies row by row, until there are other connections."""
        self._by_rows = True

    def _change(self, manager: StaticShardManager, protocol: Protocol, target: Any) -> Any:
        """Use the connections of `manager` from now on; return what was used, to be freed."""
        sharded = ShardedClient(manager, protocol, retry_reads=False)
        shard = manager.fleet().shards[0]
        with cython.critical_section(self):
            before = self._target, self._protocol, self._shard, self._sharded
            self._target, self._protocol = target, protocol
            self._shard, self._sharded = shard, sharded
        return before

    @property
    def _lock(self) -> Any:
        """The section of this object, uncompiled: none, as to replace an attribute is one step."""
        return nullcontext()

    def _guarded(self) -> Any:
        """Return this object, for reads of attributes that another thread may be replacing.

        They are done by the attributes' getters, in the object's section. Read directly, what an
        attribute refers to could be freed meanwhile.
        """
        return self

    def _opened(self) -> Any:
        """Return the client of the present connections."""
        if not cython.compiled:
            return self._sharded
        with cython.critical_section(self):
            return self._sharded

    def _open(self, address: str) -> Connection:
        """Return a new connection, for the pool."""
        sock = self._take_injected()
        if sock is None:
            sock = self._dialled()
        connection = Connection(as_channel(sock), self._guarded().timeout)
        self._note_latest((connection, sock))
        return connection

    def _take_injected(self) -> Any:
        """Return the socket that was set to be used next, if any; it is used once."""
        with cython.critical_section(self):
            sock, self._injected = self._injected, None
        return sock

    def _note_latest(self, latest: "tuple[Connection, Any] | None") -> Any:
        """Note the latest connection and its socket; return those there were."""
        with cython.critical_section(self):
            before, self._latest = self._latest, latest
        return before

    def _dialled(self) -> Any:
        seen = self._guarded()
        target = seen._target
        options = socket_options(seen.no_delay, seen.socket_keepalive)
        if seen.socket_module is not socket:
            sock = dialled(seen.socket_module, seen.server, options, seen.connect_timeout)
        else:
            sock = None
            if seen.tls_context is None and seen.connect_timeout == seen.timeout:
                sock = begin_to_dial(target)
            if sock is None:
                sock = dial(target, DialOptions(seen.connect_timeout, seen.tls_context))
            if isinstance(target, tuple):
                for option in options:
                    sock.setsockopt(*option)
        sock.settimeout(seen.timeout)
        return sock

    @property
    def key_prefix(self) -> bytes:
        """What goes before every key."""
        return self._key_prefix

    @property
    def sock(self) -> Any:
        """The socket of the latest connection, None where that is closed.

        To set it closes the connections there are; the next call uses that socket.
        """
        injected, latest = self._guarded()._injected, self._guarded()._latest
        if injected is not None or latest is None:
            return injected
        connection, sock = latest
        return sock if connection.is_valid or connection is self._owed.connection else None

    @sock.setter
    def sock(self, sock: Any) -> None:
        self.close()
        with cython.critical_section(self):
            before, self._injected = self._injected, sock
        del before  # not freed in the section
        if sock is not None:
            self._by_rows = True
            self._proves = hasattr(sock, "fileno")

    def close(self) -> None:
        """Close the connections; the next call makes another."""
        self._owed.close()
        injected = self._take_injected()
        latest = self._note_latest(None)
        self._connect_anew().close()
        del latest  # not freed before, in a section
        if injected is not None:
            with suppress(Exception):
                injected.close()

    def disconnect_all(self) -> None:
        """Close the connections, as ``close`` does."""
        self.close()

    def quit(self) -> None:
        """Close the connections, as ``close`` does, and without a word to the server."""
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {address_text(self._guarded()._target)}>"

    # Checks and conversions

    def _check_keys(self, keys: Iterable[Any]) -> None:
        """Raise for a key of text that is not ASCII, where that is not allowed."""
        if not self._guarded().allow_unicode_keys:
            for key in keys:
                if type(key) is str and not key.isascii():
                    check_key_helper(key, False, self._key_prefix)

    def _check_all(self, keys: list[Any]) -> None:
        """Raise for any key that is wrong, before anything of a batch is sent."""
        raw: Any = None
        try:
            if type(keys[0]) is str:
                raw = "".join(keys).encode(
                    "utf8" if self._guarded().allow_unicode_keys else "ascii"
                )
            else:
                raw = b"".join(keys)
        except (TypeError, UnicodeEncodeError):
            pass  # it is found below which key that is
        sizes = [*map(len, keys)] if raw is not None else [0]
        most = (250 - len(self._key_prefix)) // (1 if len(raw or b"") == sum(sizes) else 4)
        if min(sizes) and max(sizes) <= most and len(raw.translate(None, _BAD_BYTES)) == len(raw):
            return
        for key in keys:
            check_key_helper(key, self._guarded().allow_unicode_keys, self._key_prefix)
            _request(wire_request.wire_key, key, self._key_prefix)

    def _translated(self, error: Exception, name: str, keys: Iterable[Any] = ()) -> Exception:
        """Return what pymemcache raises; it is raised at once if it is about one of the keys."""
        if isinstance(error, UsageError):
            for key in keys:
                check_key_helper(key, self._guarded().allow_unicode_keys, self._key_prefix)
        return translated(error, name)

    def _encoded(self, data: Any) -> bytes:
        """Return what is to be stored as bytes."""
        if isinstance(data, bytes):
            return bytes(data)
        try:
            return str(data).encode(self._guarded().encoding)
        except UnicodeEncodeError as error:
            raise MemcacheIllegalInputError(f"Data values must be binary-safe: {error}") from None

    # Exchanges

    def _is_plain(self) -> bool:
        """Return whether a batch of many servers may use the pool as it is; have nothing owed."""
        self._settle()
        return not self._by_rows

    def _settle(self) -> None:
        """Have no reply owed: what comes next is then answered after what came before."""
        if self._owed.count:
            self._owed.settle()

    def _carry(self, exchange: Exchange) -> Any:
        """Return the result of an exchange of any kind."""
        self._settle()
        return self._opened().run(b"-", lambda protocol, key: exchange)

    def _carried(self, exchange: Exchange, name: str) -> Any:
        """Return the result of an exchange; raise what pymemcache does."""
        try:
            return self._carry(exchange)
        except Exception as error:
            raise translated(error, name)  # noqa: B904  # it has its cause

    def _send(self, asked: Any, request: bytes, count: int, words: int) -> bool:
        """Return whether `count` requests were sent, whose replies will be read later.

        They are not where the server is not known to know the command that `asked` needs.
        """
        if len(request) > MOST_BYTES:
            return False
        opens = self._by_rows and not self._proves
        return self._owed.send(self._guarded()._shard.pool, asked, opens, request, count, words)

    def _line(
        self, verb: str, key: Any, after: bytes, noreply: bool, words: int
    ) -> "wire.codes.Row | None":
        """Return the answer to one line; None if it will be read later, or is of no interest."""
        request = _request(wire_request.ascii_each, _VERBS[verb], [key], after, self._key_prefix)
        if noreply and self._send(None, request, 1, words):
            return None
        [row] = self._carry(Rows([request], wire.Reply(_LINES, 1, words)))
        if row.marks & _FAILED:
            if noreply:
                return None
            raise refusal(row.value, verb) or MemcacheUnknownError(row.value[:32])
        return None if noreply else row

    # Storing

    def set(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> bool | None:
        """Store a value; return True, and without `noreply` False if it was not stored.

        `expire` is in seconds, 0 for never; over 30 days it is a Unix time. `flags` replace those
        of the serde.
        """
        return self._store("set", key, value, expire, noreply, flags, 0)

    def add(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> bool | None:
        """Store a value where there is none; return whether it was, True with `noreply`."""
        return self._store("add", key, value, expire, noreply, flags, 0)

    def replace(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> bool | None:
        """Store a value where there is one; return whether it was, True with `noreply`."""
        return self._store("replace", key, value, expire, noreply, flags, 0)

    def append(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> bool | None:
        """Put data after a value; return whether there was one, True with `noreply`."""
        return self._store("append", key, value, expire, noreply, flags, 0)

    def prepend(
        self,
        key: Key,
        value: Any,
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> bool | None:
        """Put data before a value; return whether there was one, True with `noreply`."""
        return self._store("prepend", key, value, expire, noreply, flags, 0)

    def cas(
        self,
        key: Key,
        value: Any,
        cas: int | str | bytes,
        expire: int = 0,
        noreply: bool = False,
        flags: int | None = None,
    ) -> bool | None:
        """Store a value over the one whose token ``gets`` returned.

        Returns True; False if the value was changed, and None if it is gone.
        """
        token = as_token(cas, self._guarded().encoding)
        return self._store("cas", key, value, expire, bool(noreply), flags, token or _ZERO)

    def _store(
        self, verb: str, key: Any, value: Any, expire: Any, noreply: Any, flags: Any, cas: int
    ) -> bool | None:
        if type(expire) is not int:
            expire = checked_integer("expire", expire)
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        marks: Any = 0
        data = value
        serde = self._guarded().serde
        if serde is not self._bare:
            data, marks = serde.serialize(key, value)
        if flags is not None:
            marks = flags
        if type(data) is not bytes:
            data = self._encoded(data)
        if noreply is None:
            noreply = self._guarded().default_noreply
        try:
            if noreply and self._store_later(verb, key, data, marks, expire, cas):
                return True
            if self._by_rows or cas == _ZERO:
                stored = self._store_by_rows(verb, [Item(key, data, marks, cas, expire)], noreply)
                return True if noreply else stored[0]
            if self._owed.count:
                self._owed.settle()
            response = self._opened()._store_one(verb, key, data, marks, expire, cas)
        except Exception as error:
            raise self._translated(error, verb, [key])  # noqa: B904  # it has its cause
        if response is None:
            return True
        failure = response.error
        if failure is not None and not (noreply and type(failure) is ServerError):
            raise self._translated(failure, verb, [key])
        if noreply:
            return True
        return None if response.status is _MISS else False

    def _store_later(
        self, verb: str, key: Any, data: bytes, flags: Any, expire: Any, cas: int
    ) -> bool:
        """Return whether an item was sent, the reply to which will be read later."""
        if len(data) >= MOST_BYTES or cas == _ZERO:
            return False
        items = ((key, data, flags, cas, expire),)
        [request] = _request(wire_request.ascii_stores, _VERBS[verb], items, self._key_prefix)
        asked = self._asked.get(verb)
        if asked is None and self._proves:
            probe = self._guarded()._protocol._store_probe("set" if verb == "cas" else verb, items)
            asked = self._asked.setdefault(verb, Exchange([], wire.Reply(_LINES, 0), probe))
        return self._send(asked, request, 1, STORE_WORDS)

    def _store_by_rows(self, verb: str, items: list[Any], noreply: bool) -> list[bool | None]:
        """Store items over a socket of any kind; return what became of each."""
        if items[0].cas == _ZERO:
            items = [items[0]._replace(cas=1)]
            [request] = _request(wire_request.ascii_stores, b"cas ", items, self._key_prefix)
            head, _, data = bytes(request).partition(b" 1\r\n")
            requests: list[Any] = [head + b" 0\r\n" + data]
        else:
            requests = _request(wire_request.ascii_stores, _VERBS[verb], items, self._key_prefix)
        probe = None
        if self._proves:
            probe = self._guarded()._protocol._store_probe("set" if verb == "cas" else verb, items)
        reply = wire.Reply(_LINES, len(items), STORE_WORDS)
        stored: list[bool | None] = []
        for row in self._carry(Rows([b"".join(requests)], reply, probe, True)):
            if row.marks & _FAILED and not noreply:
                raise refusal(row.value, verb) or MemcacheUnknownError(row.value[:32])
            stored.append(_STORED.get(row.status, False))
        return stored

    def set_many(
        self,
        values: Mapping[Any, Any],
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> list[Any]:
        """Store many values, by key; return the keys that were not stored, none with `noreply`.

        The replies are awaited with `noreply` as well.
        """
        if noreply is None:
            noreply = self._guarded().default_noreply
        expire = checked_integer("expire", expire)
        keys = [*values]
        if not keys:
            return []
        try:
            self._check_all(keys)
            data, marks = self._all_encoded(values, flags)
            self._settle()
            if self._by_rows:
                return self._set_by_rows(keys, data, marks, expire, noreply)
            answers = self._opened()._set_listed([*keys], data, marks, expire)
        except Exception as error:
            raise self._translated(error, "set", keys)  # noqa: B904  # it has its cause
        return self._failed(keys, answers, noreply) if answers else []

    def set_multi(
        self,
        values: Mapping[Any, Any],
        expire: int = 0,
        noreply: bool | None = None,
        flags: int | None = None,
    ) -> list[Any]:
        """Store many values, as ``set_many`` does."""
        return self.set_many(values, expire, noreply, flags)

    def _all_encoded(self, values: Mapping[Any, Any], flags: Any) -> tuple[list[Any], Any]:
        """Return the data of many values, and their flags, None for 0 each."""
        serde = self._guarded().serde
        marks: Any = None
        if serde is self._bare:
            data = [*values.values()]
        else:
            data, marks = [], []
            for key, value in values.items():
                each, mark = serde.serialize(key, value)
                data.append(each)
                marks.append(mark)
        for at, each in enumerate(data):
            if type(each) is not bytes:
                data[at] = self._encoded(each)
        return data, marks if flags is None else [flags] * len(data)

    def _set_by_rows(
        self, keys: list[Any], data: list[Any], marks: Any, expire: int, noreply: bool
    ) -> list[Any]:
        given = zip(keys, data, marks or [0] * len(keys), strict=True)
        items = [Item(key, each, mark, 0, expire) for key, each, mark in given]
        stored = self._store_by_rows("set", items, noreply)
        if noreply:
            return []
        return [key for key, done in zip(keys, stored, strict=True) if not done]

    def _failed(self, keys: list[Any], answers: list[Any], noreply: bool) -> list[Any]:
        """Return the keys that were not stored; raise why, as far as the caller is told."""
        failed = []
        for key, response in zip(keys, answers, strict=True):
            if response.status is _OK:
                continue
            error = response.error
            if error is not None and not (noreply and type(error) is ServerError):
                raise self._translated(error, "set", [key])
            failed.append(key)
        return [] if noreply else failed

    # Reading

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of a key, `default` if it has none."""
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        try:
            if self._owed.count:
                self._owed.settle()
            if self._by_rows:
                found = self._get_by_rows([key], False)
                return found[key][0] if found else default
            response = self._opened().get(key)
            value = response._value
            if value is None:
                if response.error is not None:
                    raise response.error
                return default
            serde = self._guarded().serde
            if serde is self._bare:
                return value
            return serde.deserialize(key, value, response._flags)
        except Exception as error:
            return self._missed(error, "get", [key], default)

    def gets(self, key: Key, default: Any = None, cas_default: Any = None) -> tuple[Any, Any]:
        """Return the value of a key and its token, which is bytes of digits, or the defaults."""
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        try:
            if self._owed.count:
                self._owed.settle()
            if self._by_rows:
                found = self._get_by_rows([key], True)
                return found[key] if found else (default, cas_default)
            response = self._opened().get(key)
            value = response._value
            if value is None:
                if response.error is not None:
                    raise response.error
                return default, cas_default
            serde = self._guarded().serde
            if serde is not self._bare:
                value = serde.deserialize(key, value, response._flags)
            return value, b"%d" % response._cas
        except Exception as error:
            missed: tuple[Any, Any] = self._missed(error, "gets", [key], (default, cas_default))
            return missed

    def get_many(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """Return the values of the keys that have one, by key."""
        given = listed(keys)
        self._check_keys(given)
        if not given:
            return {}
        try:
            self._settle()
            if self._by_rows:
                return {key: pair[0] for key, pair in self._get_by_rows(given, False).items()}
            found, answers = self._opened()._get_listed([*given])
            return self._values(found, answers)
        except Exception as error:
            missed: dict[Any, Any] = self._missed(error, "get", given, {})
            return missed

    def get_multi(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """Return the values of many keys, as ``get_many`` does."""
        return self.get_many(keys)

    def _values(
        self,
        found: dict[Any, Any],
        answers: Mapping[Any, Any],
        lost: list[tuple[Any, Exception]] | None = None,
    ) -> dict[Any, Any]:
        """Return the values by key, of bytes without flags and of the answers that have others.

        Errors are raised, or put into `lost`.
        """
        serde = self._guarded().serde
        is_bare = serde is self._bare
        if not (is_bare or type(serde) is PickleSerde):  # which leave bytes without flags alone
            for key, value in found.items():
                found[key] = serde.deserialize(key, value, 0)
        for key, each in answers.items():
            response: GetResponse = each
            value = response._value
            if value is not None:
                found[key] = value if is_bare else serde.deserialize(key, value, response._flags)
            elif response.error is not None:
                if lost is None:
                    raise response.error
                lost.append((key, response.error))
        return found

    def gets_many(self, keys: Iterable[Key]) -> dict[Any, tuple[Any, Any]]:
        """Return the values and the tokens of the keys that have one, by key."""
        given = listed(keys)
        self._check_keys(given)
        if not given:
            return {}
        try:
            self._settle()
            if self._by_rows:
                return self._get_by_rows(given, True)
            return self._tokens(self._opened().get_multi(given))
        except Exception as error:
            missed: dict[Any, Any] = self._missed(error, "gets", given, {})
            return missed

    def _tokens(
        self, answers: Mapping[Any, Any], lost: list[tuple[Any, Exception]] | None = None
    ) -> dict[Any, tuple[Any, Any]]:
        """Return the values and tokens of the answers that have some, by key, as ``_values``."""
        serde = self._guarded().serde
        is_bare = serde is self._bare
        found: dict[Any, tuple[Any, Any]] = {}
        for key, each in answers.items():
            response: GetResponse = each
            value = response._value
            if value is not None:
                if not is_bare:
                    value = serde.deserialize(key, value, response._flags)
                found[key] = value, b"%d" % response._cas
            elif response.error is not None:
                if lost is None:
                    raise response.error
                lost.append((key, response.error))
        return found

    def _get_by_rows(self, keys: list[Any], with_tokens: bool) -> dict[Any, tuple[Any, bytes]]:
        """Return values and tokens by key, over a socket of any kind."""
        names = {
            check_key_helper(key, self._guarded().allow_unicode_keys, self._key_prefix): key
            for key in keys
        }
        verb = b"gets" if with_tokens else b"get"
        request = wire_request.ascii_keys(verb, [*names], b"")
        options = 0 if with_tokens else wire.codes.BARE
        lines = request.count(b"\n")
        reply = wire.Reply(wire.codes.VALUES, len(names), 0, 0, options, lines)
        found: dict[Any, tuple[Any, bytes]] = {}
        for row in self._carry(Rows([request], reply)):
            if row.marks & _FAILED:
                raise refusal(row.value, verb.decode()) or MemcacheUnknownError(row.value[:32])
            if row.key not in names:
                raise MemcacheUnknownError(
                    f"the reply has a key that was not asked for: {row.key!r}"
                )
            key = names[row.key]
            found[key] = (
                self._guarded().serde.deserialize(key, row.value, row.flags),
                b"%d" % row.cas,
            )
        return found

    def _missed(self, error: Exception, name: str, keys: list[Any], default: Any) -> Any:
        """Return the default where a read that failed is a miss; else raise why it failed."""
        if not self._guarded().ignore_exc:
            raise self._translated(error, name, keys)
        self._check_missed(keys)
        return default

    def _check_missed(self, keys: list[Any]) -> None:
        """Raise for a key that is wrong, where ``ignore_exc`` does not hide that."""
        for key in keys:
            check_key_helper(key, self._guarded().allow_unicode_keys, self._key_prefix)

    # Deleting, touching, counting

    def delete(self, key: Key, noreply: bool | None = None) -> bool:
        """Delete a value; return whether there was one, True with `noreply`."""
        if noreply is None:
            noreply = self._guarded().default_noreply
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        try:
            if noreply or self._by_rows:
                row = self._line("delete", key, b"\r\n", noreply, _DELETE_WORDS)
                return row is None or row.status == 0
            if self._owed.count:
                self._owed.settle()
            response = self._opened()._delete_one(key)
        except Exception as error:
            raise self._translated(error, "delete", [key])  # noqa: B904  # it has its cause
        if response is None:
            return True
        if response.error is not None:
            raise translated(response.error, "delete")
        return False

    def delete_many(self, keys: Iterable[Key], noreply: bool | None = None) -> bool:
        """Delete many values; return True. The replies are awaited with `noreply` as well."""
        given = listed(keys)
        if not given:
            return True
        if noreply is None:
            noreply = self._guarded().default_noreply
        try:
            self._check_all(given)
            self._settle()
            if self._by_rows:
                self._delete_by_rows(given, noreply)
                return True
            answers = self._opened().delete_multi(given)
        except Exception as error:
            raise self._translated(error, "delete", given)  # noqa: B904  # it has its cause
        for response in answers:
            failure = response.error
            if failure is not None and not (noreply and type(failure) is ServerError):
                raise self._translated(failure, "delete", given)
        return True

    def delete_multi(self, keys: Iterable[Key], noreply: bool | None = None) -> bool:
        """Delete many values, as ``delete_many`` does."""
        return self.delete_many(keys, noreply)

    def _delete_by_rows(self, keys: list[Any], noreply: bool) -> None:
        request = _request(wire_request.ascii_each, b"delete ", keys, b"\r\n", self._key_prefix)
        if noreply and self._send(None, request, len(keys), _DELETE_WORDS):
            return
        reply = wire.Reply(_LINES, len(keys), _DELETE_WORDS)
        for row in self._carry(Rows([request], reply)):
            if row.marks & _FAILED and not noreply:
                raise refusal(row.value, "delete") or MemcacheUnknownError(row.value[:32])

    def touch(self, key: Key, expire: int = 0, noreply: bool | None = None) -> bool:
        """Give a value a new expiry; return whether there is one, True with `noreply`."""
        if noreply is None:
            noreply = self._guarded().default_noreply
        if type(expire) is not int:
            expire = checked_integer("expire", expire)
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        try:
            if noreply or self._by_rows:
                row = self._line("touch", key, b" %d\r\n" % expire, noreply, _TOUCH_WORDS)
                return row is None or row.status == 0
            if self._owed.count:
                self._owed.settle()
            response = self._opened()._touch_one(key, expire)
        except Exception as error:
            raise self._translated(error, "touch", [key])  # noqa: B904  # it has its cause
        if response is None:
            return True
        if response.error is not None:
            raise translated(response.error, "touch")
        return False

    def incr(self, key: Key, value: int, noreply: bool | None = False) -> int | None:
        """Add to a number, modulo 2**64; return it, or None if there is none, or with `noreply`."""
        return self._count("incr", key, value, noreply)

    def decr(self, key: Key, value: int, noreply: bool | None = False) -> int | None:
        """Take from a number, to 0 at the least; return what ``incr`` would."""
        return self._count("decr", key, value, noreply)

    def _count(self, verb: str, key: Any, value: Any, noreply: Any) -> int | None:
        if type(value) is not int:
            value = checked_integer("value", value)
        if type(key) is str and not key.isascii():
            self._check_keys([key])
        try:
            if noreply or self._by_rows:
                row = self._line(verb, key, b" %d\r\n" % value, bool(noreply), _COUNT_WORDS)
                return None if row is None or row.status != 0 else row.number
            if self._owed.count:
                self._owed.settle()
            count: Any = self._opened()._count_one(verb == "decr", key, value)
        except Exception as error:
            raise self._translated(error, verb, [key])  # noqa: B904  # it has its cause
        if type(count) is int:
            return count
        if count.error is not None:
            raise translated(count.error, verb)
        return None

    # The server as a whole

    def stats(self, *args: str | bytes | int) -> dict[bytes, Any]:
        """Return statistics, of the group that `args` name; ints and floats where they are some."""
        words = [
            check_key_helper(
                str(each) if isinstance(each, int) else each, self._guarded().allow_unicode_keys
            )
            for each in args
        ]
        request = b" ".join([b"stats", *words]) + b"\r\n"
        try:
            lines = self._listing(request, "stats")
        except Exception as error:
            missed: dict[bytes, Any] = self._missed(error, "stats", [], {})
            return missed
        return statistics(lines)

    def _listing(self, request: bytes, name: str) -> list[bytes]:
        """Return the lines of a reply before its END or OK."""
        reply: Any = Listing()
        lines: list[bytes] = self._carry(Command([request], reply))
        last = lines.pop()
        if last not in (b"END", b"OK", b"RESET"):
            raise refusal(last, name) or MemcacheUnknownError(last[:32])
        return lines

    def cache_memlimit(self, memlimit: int) -> bool:
        """Set the server's limit of memory, in megabytes; return True."""
        request = b"cache_memlimit %d\r\n" % checked_integer("memlimit", memlimit)
        try:
            self._listing(request, "cache_memlimit")
        except Exception as error:
            self._missed(error, "cache_memlimit", [], None)
        return True

    def version(self) -> bytes:
        """Return the server's version."""
        line = self._segment(b"version\r\n", b"\r\n", "version")
        word, _, text = line.partition(b" ")
        if word != b"VERSION":
            raise MemcacheUnknownError(f"Received unexpected response: {line!r}")
        return text

    def flush_all(self, delay: int = 0, noreply: bool | None = None) -> bool:
        """Forget everything on the server, `delay` seconds from now; return True.

        The reply is awaited with `noreply` as well.
        """
        if noreply is None:
            noreply = self._guarded().default_noreply
        request = b"flush_all %d\r\n" % checked_integer("delay", delay)
        if noreply and self._by_rows and self._send(None, request, 1, _OK_WORD):
            return True
        line = self._segment(request, b"\r\n", "flush_all")
        return noreply or line == b"OK"

    def raw_command(self, command: str | bytes, end_tokens: str | bytes = "\r\n") -> bytes:
        """Send a line of any command; return its reply up to `end_tokens`, without them.

        An error line ends the reply, too. Nothing may follow it, or the connection is closed.
        """
        encoding = "utf8" if self._guarded().allow_unicode_keys else "ascii"
        line = command.encode(encoding) if isinstance(command, str) else command
        end = end_tokens.encode(encoding) if isinstance(end_tokens, str) else end_tokens
        return self._segment(line + b"\r\n", end or b"\r\n", line.decode("latin-1"))

    def shutdown(self, graceful: bool = False) -> None:
        """Stop the server, which has to allow that, and close the connection to it."""
        request = b"shutdown graceful\r\n" if graceful else b"shutdown\r\n"
        with suppress(MemcacheUnexpectedCloseError, ConnectionResetError):
            self._segment(request, b"\r\n", "shutdown")

    def _segment(self, request: bytes, end: bytes, name: str) -> bytes:
        """Return a reply up to `end`; raise if it is an error."""
        reply: Any = Segment(end)
        answer: bytes = self._carried(Command([request], reply), name)
        error = refusal(answer, name)
        if error is not None:
            raise error
        return answer

    # As a mapping

    def __setitem__(self, key: Key, value: Any) -> None:
        self.set(key, value, noreply=True)

    def __getitem__(self, key: Key) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __delitem__(self, key: Key) -> None:
        self.delete(key, noreply=True)


def _request(make: Callable[..., Any], *arguments: Any) -> Any:
    """Return a request of the kernel; raise its errors in the caller's family."""
    try:
        return make(*arguments)
    except (TypeError, ValueError) as error:
        raise as_caller_error(error) from None
