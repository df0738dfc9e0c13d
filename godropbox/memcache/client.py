"""The client that most people use: values in, values out, exceptions for what fails.

It goes over the operations of a sharded client, a raw client or a mock; what it adds is what a
value is as bytes (``codec``), what an expiry means (``options``), long keys, and which answers are
exceptions. Compiled as it stands (``client.pxd``).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from .._kernels._args import shown
from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from .address import listed_addresses
from .batches import FAILURES, FailedKeys, partial_error
from .codec import EMPTY, INT, TEXT, Codec, UnreadableValueError
from .errors import (
    ClientClosedError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ServerError,
)
from .fleet.manager import ShardManager
from .hints import check_kind
from .hooks import Observed
from .keys import by_key
from .leases import Leases, Steps, driven
from .managers import StaticShardManager
from .options import ClientOptions, Expiry, as_expiry
from .protocol.ascii import AsciiProtocol
from .protocol.base import ranged
from .protocol.binary import BinaryProtocol
from .protocol.meta import MetaProtocol
from .responses import GetResponse, MutateResponse
from .sharded_client import ShardedClient
from .types import Item, Key, ResponseStatus

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Self, Unpack

    from _typeshed import ReadableBuffer

    from .overrides import ClientOverrides

__all__ = ["BaseClient", "Client", "listed", "server_list"]

_Key = TypeVar("_Key", bound=Key)

_OK: Final = ResponseStatus.OK
_EXISTS: Final = ResponseStatus.KEY_EXISTS
_MISS: Final = ResponseStatus.KEY_NOT_FOUND
_MONTH: Final = 60 * 60 * 24 * 30
_PROTOCOLS: Final = {"meta": MetaProtocol, "ascii": AsciiProtocol, "binary": BinaryProtocol}
_DEFAULT: Final = ClientOptions()
_MAX_KEY: Final = 250
_HASHED: Final = b"sha256:"
_COUNT_TRIES: Final = 5
_EXTEND_TRIES: Final = 100
# The flags of values that are bytes or text as they are.
_EXTENSIBLE: Final = frozenset([0, TEXT, EMPTY])
# Past the function by which a named tuple is made, which takes longer than all else in a set.
_new: Final = tuple.__new__
_MISTAKES: Final = (ClientClosedError, InvalidArgumentError, InvalidTypeError)


class BaseClient:
    """What a client does without I/O, for the blocking one and for asyncio's.

    `_operations` are those of a sharded client, `_leases` the loads of ``get_or_set``.
    """

    __slots__ = (
        "__weakref__",
        "_codec",
        "_forgives",
        "_is_closed",
        "_leases",
        "_looks_at_keys",
        "_observed",
        "_operations",
        "_options",
        "_owned",
        "_room",
        "_sharded",
        "_skips",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def _begin(
        self, operations: Any, sharded: Any, observed: Any, options: ClientOptions, owned: Any
    ) -> None:
        """Begin over `operations`, which are `observed` where there are hooks.

        `sharded` is the sharded client that has the batches of values, None if it is another.
        """
        self._sharded = sharded
        self._observed = observed
        self._operations = operations
        self._options = options
        self._owned = owned
        self._codec: Codec = options.codec()
        self._leases = Leases(operations, self._codec, options)
        self._forgives = options.failures == "miss"
        self._skips = options.unreadable == "miss"
        self._is_closed = False
        # Whether keys go through ``_named``: long ones are hashed, or the client is closed.
        self._looks_at_keys = options.long_keys == "hash"
        self._room = _MAX_KEY - options.prefix_size

    @property
    def options(self) -> ClientOptions:
        """The options."""
        return self._options

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._operations!r}>"

    def _close(self) -> None:
        """Let operations raise ``ClientClosedError`` from now on."""
        self._is_closed = True
        self._looks_at_keys = True

    def _disconnecting(self) -> Any:
        """Return what drops the connections."""
        self._require_open()
        target = self._owned if self._sharded is None else self._sharded
        if not hasattr(target, "disconnect_all"):
            raise NotSupportedError(f"{target!r} cannot connect again: make another client")
        return target

    # Keys, values, failures

    def _named(self, key: Key) -> Key:
        """Return the key to send for a key that may be too long, unless the client is closed."""
        self._require_open()
        if isinstance(key, str):
            if 4 * len(key) <= self._room and not key.startswith("sha256:"):
                return key
            raw = key.encode("utf-8", "surrogatepass")
        elif isinstance(key, bytes):
            raw = key
        else:
            return key
        if len(raw) <= self._room and not raw.startswith(_HASHED):
            return key
        from hashlib import sha256  # it loads OpenSSL

        return _HASHED + sha256(raw).hexdigest().encode()

    def _all_named(self, keys: list[Any]) -> list[Any]:
        self._require_open()
        return [self._named(key) for key in keys]

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClientClosedError("the client was closed")

    def _encoded(self, value: Any) -> tuple[bytes, int]:
        """Return the data and the flags of a value."""
        return self._codec.encode(value)

    def _item(self, key: Key, value: Any, cas: Any, expire: Any) -> Item:
        if self._looks_at_keys:
            key = self._named(key)
        data, flags = self._codec.encode(value)
        return _new(Item, (key, data, flags, cas, self._expiry(expire)))

    def _expiry(self, expire: Any) -> Any:
        if type(expire) is int and 0 <= expire <= _MONTH:
            return expire
        return as_expiry(expire, self._options.wall_clock)

    def _value(self, key: Key, response: GetResponse, default: Any) -> Any:
        """Return the value of an answer, or `default` where it has none."""
        value = response._value
        if value is None:
            error = response.error
            if error is None or (self._forgives and isinstance(error, FAILURES)):
                return default
            raise error
        if response._flags == 0:
            # Nothing at all is what a lease leaves that nobody has filled yet.
            return value if value else default
        try:
            return self._codec.decode(key, value, response._flags)
        except UnreadableValueError:
            if not self._skips:
                raise
        return default

    def _done(self, response: Any) -> bool:
        """Return whether an operation did what was asked; raise why it failed."""
        if type(response) is MutateResponse:  # which has no error
            answer: MutateResponse = response
            return answer._status is _OK
        error = response.error
        if error is not None:
            raise error
        return response.status is _OK

    def _found(self, answers: dict[Any, Any], found: dict[Any, Any], asked: int) -> dict[Any, Any]:
        """Put the values of the answers into `found`, or raise what some of those `asked` have."""
        errors: dict[Key, Exception] = {}
        for key, each in answers.items():
            response: GetResponse = each
            value = response._value
            if value is not None and response._flags == 0:
                if value:
                    found[key] = value
            elif value is not None:
                try:
                    found[key] = self._codec.decode(key, value, response._flags)
                except UnreadableValueError as unreadable:
                    if not self._skips:
                        errors[key] = unreadable
            else:
                error = response.error
                if error is not None:
                    if isinstance(error, _MISTAKES):
                        raise error
                    if not (self._forgives and isinstance(error, FAILURES)):
                        errors[key] = error
        if errors:
            raise partial_error(found, errors, asked)
        return found

    def _failed(self, keys: list[Key], answers: list[Any], missing: bool) -> FailedKeys:
        """Return the keys whose answer is no success; with `missing`, one that is not there is."""
        failed = FailedKeys()
        for key, response in zip(keys, answers, strict=True):
            status, error = response.status, response.error
            if status is _OK and error is None:
                continue
            if isinstance(error, _MISTAKES):
                raise error
            if error is not None or not (missing and status is _MISS):
                failed.add(key, error)
        return failed

    def _check(self, response: Any) -> None:
        error = response.error
        if error is not None and not (self._forgives and isinstance(error, FAILURES)):
            raise error

    def _long_names(self, keys: list[Any]) -> dict[Any, Any]:
        """Return the name to send for each key."""
        self._require_open()
        names = by_key(keys)
        for key in names:
            names[key] = self._named(key)
        return names

    def _to_set(self, values: Any, expire: Any) -> tuple[Any, ...]:
        """Return the keys given, their names, data and flags, and the expiry."""
        if not hasattr(values, "items"):
            raise InvalidTypeError(f"values must be a mapping of keys, got {shown(values)}")
        until = self._expiry(expire)
        given, data, flags = self._codec.encode_items(values)
        names = self._all_named(given) if self._looks_at_keys else given
        return given, names, data, flags, until

    def _until(self, delay: Any) -> int:
        """Return what ``flush`` takes for a delay."""
        self._require_open()
        return max(as_expiry(delay, self._options.wall_clock, name="delay"), 0)  # at once, too

    # Operations of several steps, which yield calls and take what these return

    def _extending(self, verb: str, key: Key, more: Any) -> "Steps[bool]":
        """The steps of ``append`` and ``prepend``."""
        name = self._named(key) if self._looks_at_keys else key
        data = _as_bytes(more)
        operations = self._operations
        call = operations.append if verb == "append" else operations.prepend
        by_token = operations.capabilities.conditional_replace
        for _ in range(_EXTEND_TRIES):
            seen: GetResponse = yield partial(operations.get, name)
            if seen.error is not None:
                raise seen.error
            value = seen.value
            if value is None or not (value or seen.flags):
                return False  # there is none, or a lease that nobody has filled yet
            _check_extensible(verb, key, seen.flags, data)
            if not by_token:
                if not self._done((yield partial(call, name, data))):
                    return False
                return (yield from self._checking(verb, key, name, data))
            response = yield partial(call, name, data, seen.cas)
            if response.error is not None or response.status is not _EXISTS:
                return self._done(response)
        raise ServerError(
            f"the value of {key!r} was changed by others {_EXTEND_TRIES} times", key=key
        )

    def _checking(self, verb: str, key: Key, name: Key, data: bytes) -> "Steps[bool]":
        """Return True if what was extended without a token was what was looked at.

        Else another client stored a value of another kind in between, and what is there now is
        that with `data` in it: it is deleted, as a value that is gone can be made anew.
        """
        seen: GetResponse = yield partial(self._operations.get, name)
        value = seen.value
        if value is None or seen.flags in _EXTENSIBLE:
            return True
        if not (value.endswith(data) if verb == "append" else value.startswith(data)):
            return True  # it was stored afterwards
        self._done((yield partial(self._operations.delete, name)))
        raise ServerError(
            f"another client stored a value of {key!r} that is compressed or serialised while this "
            f"one did its {verb}: it was damaged, and deleted",
            key=key,
        )

    def _counting(
        self, verb: str, key: Key, delta: Any, initial: Any, expire: Any
    ) -> "Steps[int | None]":
        """The steps of ``incr`` and ``decr``."""
        name = self._named(key) if self._looks_at_keys else key
        first = initial
        if first is not None:
            first = ranged("initial", initial, 0, 1 << 64, "[0, 2**64)")
        until = self._expiry(expire)
        count, add = self._counters(verb)
        for _ in range(_COUNT_TRIES):
            answer = yield partial(count, name, delta)
            if type(answer) is int:
                return answer
            if self._done(answer):
                counted: int = answer.count
                return counted
            if first is None or answer.skipped:
                return None
            # An item of one's own, whose flags say that it is an int, which no server's would.
            added = yield partial(add, name, b"%d" % first, INT, until, 0)
            if added is None or self._done(added):
                made: int = first
                return made
        raise ServerError(f"the counter {key!r} came and went {_COUNT_TRIES} times", key=key)

    def _counters(self, verb: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return what counts, and what adds an item, as ``ShardedClient`` writes one key."""
        operations = self._operations

        def add(key: Key, data: bytes, flags: int, expire: int, cas: int) -> Any:
            return operations.add(Item(key, data, flags, cas, expire))

        return operations.increment if verb == "incr" else operations.decrement, add


class Client(BaseClient):
    """Keys to values in memcached, over one server or many. Threads may share it.

    `servers` are addresses as ``connect`` takes them, shard 0 first, or one address alone, or a
    ``ShardManager``, which then is the caller's to close and has its own options of connections.
    `overrides` are options by name: ``Client(servers, timeout=0.2)``.

    A single operation raises a ``NetworkError`` or a ``ServerError`` when it fails, and a
    ``UsageError`` for a key or a value that cannot be sent, and ``ClientClosedError``, which is
    one, when the client or the manager was closed; a batch goes on with the other keys.
    `expire` is in seconds, 0 for never, a ``timedelta``, or an aware ``datetime`` for an absolute
    time; see ``options.as_expiry``.
    """

    __slots__ = ("_get", "_get_multi", "_set_multi", "_short")

    def __init__(
        self,
        servers: "Iterable[str] | str | ShardManager",
        options: ClientOptions = _DEFAULT,
        **overrides: "Unpack[ClientOverrides]",
    ) -> None:
        check_kind(options, ClientOptions)
        chosen = replace(options, **overrides) if overrides else options
        if iscoroutinefunction(chosen.sleep):
            raise InvalidTypeError(
                f"sleep must block in a Client, got {shown(chosen.sleep)}: is it of an AsyncClient?"
            )
        manager: Any = servers
        own = None
        if not hasattr(servers, "fleet"):
            addresses = server_list(servers)
            own = manager = StaticShardManager(addresses, chosen.shard_func, chosen)
        operations = ShardedClient(
            manager, _PROTOCOLS[chosen.protocol](chosen.prefix), chosen.timeout
        )
        self._start(operations, chosen, own, lambda key: manager.fleet().of(key))

    @classmethod
    def over(
        cls,
        operations: Any,
        options: ClientOptions = _DEFAULT,
        **overrides: "Unpack[ClientOverrides]",
    ) -> "Self":
        """Return a client over what has the operations of the raw clients: one of these, a mock.

        Of the options those of connections and sharding are beside the point, and `prefix` has to
        be the one that `operations` have.
        """
        client = cls.__new__(cls)
        check_kind(options, ClientOptions)
        chosen = replace(options, **overrides) if overrides else options
        client._start(operations, chosen, operations)
        return client

    def _start(
        self,
        operations: Any,
        options: ClientOptions,
        owned: Any,
        shard_of: "Callable[[Key], int] | None" = None,
    ) -> None:
        # Batches of values take the same path with hooks; ``Observed`` wraps it.
        sharded = operations if type(operations) is ShardedClient else None
        observed = None
        if options.hooks:
            observed = operations = Observed(operations, options.hooks, shard_of)
        self._begin(operations, sharded, observed, options, owned)
        # The sharded client whose short writes are called as they are: there are no hooks.
        self._short: ShardedClient | None = sharded if observed is None else None
        self._get = operations.get
        self._get_multi = operations.get_multi
        self._set_multi = operations.set_multi

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def disconnect_all(self) -> None:
        """Close all connections: the idle ones now, those in use as they come back; go on working.

        The next operations make new ones, for which names are looked up again. A manager is
        disconnected for all who share it. Raises ``NotSupportedError`` over a raw client, whose one
        connection cannot be made again.
        """
        self._disconnecting().disconnect_all()

    def close(self) -> None:
        """Close the connections: the idle ones now, those in use as they come back.

        Operations raise ``ClientClosedError`` from then on.
        """
        self._close()
        if self._owned is not None:
            self._owned.close()

    # Reading

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of a key, or `default` if there is none."""
        if self._looks_at_keys:
            key = self._named(key)
        try:
            response: GetResponse = self._get(key)
        except FAILURES:
            if not self._forgives:
                raise
            return default
        return self._value(key, response, default)

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, Any]:
        """Return the values of those keys that have one, in the order in which they were given.

        All servers are asked at once. If some keys fail, the others' values are in the `found` of
        the ``PartialNetworkError`` or ``PartialServerError`` that is raised; with the options
        ``failures="miss"`` and ``unreadable="miss"`` they are what is returned. A key that cannot
        be sent raises ``InvalidArgumentError`` or ``InvalidTypeError``.
        """
        given = list(keys) if type(keys) is list else listed(keys)
        if self._looks_at_keys:
            return self._get_long(given)
        if self._sharded is None:
            return self._found(self._get_multi(given), {}, len(given))
        if self._observed is None:
            plain, rest = self._sharded._get_listed(given)
        else:
            plain, rest = self._observed.get_listed(given)
        if not rest:
            return cast("dict[_Key, Any]", plain)
        found = self._found(rest, plain, len(given))
        return {key: found[key] for key in given if key in found}

    def _get_long(self, keys: list[Any]) -> dict[Any, Any]:
        names = self._long_names(keys)
        answers = self._get_multi(list(dict.fromkeys(names.values())))
        named = {key: answers[name] for key, name in names.items()}
        return self._found(named, {}, len(named))

    def gets(self, key: Key, default: Any = None) -> tuple[Any, int | None]:
        """Return a key's value and the token for ``cas``; `default` and None if it has none."""
        missing = object()
        if self._looks_at_keys:
            key = self._named(key)
        try:
            response: GetResponse = self._get(key)
        except FAILURES:
            if not self._forgives:
                raise
            return default, None
        value = self._value(key, response, missing)
        return (default, None) if value is missing else (value, response.cas)

    def gat(self, key: Key, expire: Expiry, default: Any = None) -> Any:
        """Return the value of a key, and give it a new expiry; `default` if there is none."""
        if self._looks_at_keys:
            key = self._named(key)
        try:
            response: GetResponse = self._operations.gat(key, self._expiry(expire))
        except FAILURES:
            if not self._forgives:
                raise
            return default
        return self._value(key, response, default)

    def get_or_set(
        self,
        key: Key,
        load: Callable[[], Any],
        expire: Expiry,
        *,
        stale: Expiry = 0,
        lease_time: "float | timedelta" = 10.0,
        wait: "float | timedelta | None" = None,
    ) -> Any:
        """Return the value of a key; if it has none, call `load` for it, once among all processes.

        Who misses first loads, stores and returns; the others wait for that value. `stale` is for
        how long after `expire` a value may be given still, while one caller loads a new one: give
        the same to every call for a key. The value that was loaded is not stored if the key was
        deleted or written in the meantime.

        `lease_time` is for how many seconds the load is one's own: if it takes longer, or its
        process dies, another loads. If it raises, so does this, and another loads at once. `wait`
        is how many seconds to wait for another's load, by default `lease_time` and two more; then
        ``LeaseTimeoutError`` is raised. A `load` that is async or a generator is refused by a
        ``TypeError``. It needs the meta protocol, else ``NotSupportedError``.

        If the cache fails, this raises what ``get`` would; with ``failures="miss"`` it loads, and
        returns the value even if it cannot be stored.
        """
        name = self._named(key) if self._looks_at_keys else key
        return driven(self._leases.get_or_set(name, load, expire, stale, lease_time, wait))

    # Writing

    def set(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value; return False only if no server takes the key now."""
        return self._stored("set", key, value, 0, expire)

    def set_many(self, values: Mapping[_Key, Any], expire: Expiry = 0) -> FailedKeys:
        """Store many values, on all servers at once; return the keys that failed, with `errors`.

        A value that cannot be stored raises before anything is sent, a key that cannot be sent
        raises afterwards.
        """
        given, names, data, flags, until = self._to_set(values, expire)
        if self._sharded is None:
            triples = zip(names, data, flags or [0] * len(given), strict=True)
            items = [Item(*three, 0, until) for three in triples]
            return self._failed(given, self._set_multi(items), False)
        if self._observed is None:
            answers = self._sharded._set_listed(names, data, flags, until)
        else:
            answers = self._observed.set_listed(names, data, flags, until)
        return self._failed(given, answers, False) if answers else FailedKeys()

    def add(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value if the key has none; return whether it was stored."""
        return self._stored("add", key, value, 0, expire)

    def replace(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value if the key has one; return whether it was stored."""
        return self._stored("replace", key, value, 0, expire)

    def cas(self, key: Key, value: Any, token: int, expire: Expiry = 0) -> bool:
        """Store a value over the one that ``gets`` gave this `token` for.

        Returns False if that was changed, or is gone.
        """
        return self._stored("cas", key, value, token, expire)

    def _stored(self, verb: str, key: Any, value: Any, cas: Any, expire: Any) -> bool:
        """Store a value as the operation `verb` does, and return whether it was stored."""
        if self._looks_at_keys:
            key = self._named(key)
        data, flags = self._codec.encode(value)
        until = self._expiry(expire)
        short = self._short
        if short is not None:
            answer = short._store_one(verb, key, data, flags, until, cas)
        elif self._sharded is not None:
            answer = self._observed.store_one(verb, key, data, flags, until, cas)
        else:
            item = _new(Item, (key, data, flags, cas, until))
            answer = getattr(self._operations, verb)(item)
        return True if answer is None else self._done(answer)

    def append(self, key: Key, more: "ReadableBuffer | str") -> bool:
        """Put bytes, or text, after the value of a key; return False if it has none.

        The value has to be bytes or text that is stored as it is, and goes on being that. One that
        is compressed or serialised, or a number, would be damaged: it stays as it is, and
        ``InvalidArgumentError`` is raised. So the item is read first. The meta and binary protocols
        then add to it by its token. ASCII has no token for that: it is read again afterwards, and
        deleted if another client stored a value of that kind in between, which is then damaged.
        """
        return bool(driven(self._extending("append", key, more)))

    def prepend(self, key: Key, more: "ReadableBuffer | str") -> bool:
        """Put bytes, or text, before the value of a key, like ``append``."""
        return bool(driven(self._extending("prepend", key, more)))

    # Deleting, touching, counting

    def delete(self, key: Key) -> bool:
        """Delete the value of a key; return whether there was one."""
        name = self._named(key) if self._looks_at_keys else key
        short = self._short
        if short is not None:
            answer = short._delete_one(name)
        elif self._sharded is not None:
            answer = self._observed.delete_one(name)
        else:
            answer = self._operations.delete(name)
        return True if answer is None else self._done(answer)

    def delete_many(self, keys: Iterable[Key]) -> FailedKeys:
        """Delete the values of many keys; return the keys that failed. To have none is no failure.

        A key that cannot be sent raises after the others were.
        """
        given = listed(keys)
        names = self._all_named(given) if self._looks_at_keys else given
        return self._failed(given, self._operations.delete_multi(names), True)

    def touch(self, key: Key, expire: Expiry) -> bool:
        """Give the value of a key a new expiry; return whether there is one."""
        name = self._named(key) if self._looks_at_keys else key
        until = self._expiry(expire)
        short = self._short
        if short is not None:
            answer = short._touch_one(name, until)
        elif self._sharded is not None:
            answer = self._observed.touch_one(name, until)
        else:
            answer = self._operations.touch(name, until)
        return True if answer is None else self._done(answer)

    def incr(
        self, key: Key, delta: int = 1, initial: int | None = None, expire: Expiry = 0
    ) -> int | None:
        """Add `delta` to a counter, modulo 2**64, and return what it is then.

        A counter that is not there is made, with the value `initial` and that `expire`; if
        `initial` is None it is not, and None is returned.
        """
        return self._counted("incr", key, delta, initial, expire)

    def decr(
        self, key: Key, delta: int = 1, initial: int | None = None, expire: Expiry = 0
    ) -> int | None:
        """Take `delta` from a counter, to 0 at the least; else like ``incr``."""
        return self._counted("decr", key, delta, initial, expire)

    def _counted(self, verb: str, key: Any, delta: Any, initial: Any, expire: Any) -> int | None:
        short = self._short
        if short is None or initial is not None:
            count: int | None = driven(self._counting(verb, key, delta, initial, expire))
            return count
        name = self._named(key) if self._looks_at_keys else key
        self._expiry(expire)  # which has to be one, though nothing is made
        answer = short._count_one(verb == "decr", name, delta)
        if type(answer) is int:
            return answer
        self._done(answer)  # raises why it failed
        return None

    def _counters(self, verb: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        if self._sharded is None:
            return BaseClient._counters(self, verb)
        down = verb == "decr"
        if self._short is None:
            observed = self._observed
            return partial(observed.count_one, down), partial(observed.store_one, "add")
        return partial(self._short._count_one, down), partial(self._short._store_one, "add")

    # The servers as a whole

    def stats(self, name: str = "") -> dict[int, Mapping[str, str]]:
        """Return each server's statistics, of the group `name` if one is given, by shard id.

        If a server fails, this raises; with ``failures="miss"`` that server is left out.
        """
        self._require_open()
        response = self._operations.stats(name)
        self._check(response)
        return dict(response.entries)

    def version(self) -> dict[int, str]:
        """Return each server's version by shard id; failures are as those of ``stats``."""
        self._require_open()
        response = self._operations.version()
        self._check(response)
        return dict(response.versions)

    def flush_all(self, delay: Expiry = 0) -> None:
        """Forget everything on every server, now or after `delay`; raise if a server fails.

        `delay` is seconds, a ``timedelta`` or an aware ``datetime``, as `expire` is. The other
        servers' entries are forgotten all the same. All that shares the servers goes, whatever its
        prefix.
        """
        response = self._operations.flush(self._until(delay))
        if response.error is not None:
            raise response.error


def _as_bytes(more: Any) -> bytes:
    """Return what is to be added to a value."""
    if isinstance(more, str):
        try:
            return more.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"more must be text for UTF-8: {error}") from None
    try:
        return memoryview(more).tobytes()
    except TypeError:
        raise InvalidTypeError(f"more must be bytes-like or str, got {shown(more)}") from None


def _check_extensible(verb: str, key: Key, flags: int, data: bytes) -> None:
    """Raise unless a value with these flags is still one with `data` added to it."""
    if flags not in _EXTENSIBLE:
        raise InvalidArgumentError(
            f"{verb} takes a value that is bytes or text stored as it is; that of {shown(key)} is "
            f"compressed, serialized or a number, flags 0x{flags:x}"
        )
    if flags == TEXT:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(
                f"more must be text for UTF-8, as the value of {shown(key)} is: {error}"
            ) from None


def server_list(servers: Any) -> list[str]:
    """Return the addresses that a client's `servers` are; one alone is a list of one."""
    if isinstance(servers, str):
        servers = [servers]
    return listed_addresses("servers", servers, ", one of them alone, or a shard manager")


def listed(keys: Any) -> list[Any]:
    """Return the keys of a batch; one key alone is a mistake, not a batch of its letters."""
    if isinstance(keys, (str, bytes)):
        raise InvalidTypeError(f"keys must be an iterable of keys, got {shown(keys)}")
    return list(keys)
