"""The client that most people use: values in, values out, exceptions for what fails.

It goes over the operations of a sharded client, a raw client or a mock; what it adds is what a
value is as bytes (``codec``), what an expiry means (``options``), long keys, and which answers are
exceptions. Compiled as it stands (``client.pxd``).
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from .._kernels import lasting
from .._kernels._args import shown
from . import parts
from .base_client import BaseClient, listed, server_list
from .batches import FAILURES, FailedKeys
from .errors import (
    InvalidTypeError,
)
from .fleet.manager import ShardManager
from .heads import Head
from .hints import check_kind
from .hooks import Observed
from .managers import StaticShardManager
from .options import ClientOptions, Expiry
from .protocol.ascii import AsciiProtocol
from .protocol.auto import AutoProtocol
from .protocol.binary import BinaryProtocol
from .protocol.dump import KeyInfo
from .protocol.meta import LEASE_LEFT, MetaProtocol, outlives_lease
from .responses import GetResponse
from .sharded_client import ShardedClient
from .stepping import driven
from .types import Dialect, Item, Key, ResponseStatus

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Self, Unpack

    from _typeshed import ReadableBuffer

    from .overrides import ClientOverrides

__all__ = ["Client"]

_Key = TypeVar("_Key", bound=Key)

_PROTOCOLS: Final = {
    "auto": AutoProtocol,
    "meta": MetaProtocol,
    "ascii": AsciiProtocol,
    "binary": BinaryProtocol,
}
_DEFAULT: Final = ClientOptions()
# Past the function by which a named tuple is made, which takes longer than all else in a set.
_new: Final = tuple.__new__


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
        elif getattr(servers, "closes_with_client", False):
            own = manager
        operations = ShardedClient(
            manager,
            _PROTOCOLS[chosen.protocol](chosen.prefix),
            chosen.timeout,
            retry_reads=chosen.retry_reads,
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
        name = self._named(key) if self._looks_at_keys else key
        try:
            response: GetResponse = lasting.call(self._get, name)
        except FAILURES:
            if not self._forgives:
                raise
            return default
        value = self._value(key, response, default)
        if type(value) is Head:
            return driven(parts.fetch(self, key, value, response.cas, default))[0]
        return value

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, Any]:
        """Return the values of those keys that have one, in the order in which they were given.

        All servers are asked at once. If some keys fail, the others' values are in the `found` of
        the ``PartialNetworkError`` or ``PartialServerError`` that is raised; with the options
        ``failures="miss"`` and ``unreadable="miss"`` they are what is returned. A key that cannot
        be sent raises ``InvalidArgumentError`` or ``InvalidTypeError``.
        """
        given = list(keys) if type(keys) is list else listed(keys)
        if self._looks_at_keys or self._sharded is None:
            answers = self._answered(given, self._get_multi)
            return self._found(answers, {}, list(answers))
        if self._observed is None:
            plain, rest = self._sharded._get_listed(given)
        else:
            plain, rest = self._observed.get_listed(given)
        if not rest:
            return cast("dict[_Key, Any]", plain)
        return self._found(rest, plain, given)

    def _found(
        self, answers: dict[Any, Any], found: dict[Any, Any], asked: list[Any]
    ) -> dict[Any, Any]:
        """Return `found` with the values of the answers, or raise what some of those asked have."""
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        if heads is not None:
            driven(self._whole(heads, found, errors))
        self._refuse_partial(found, errors, len(asked))
        return {key: found[key] for key in asked if key in found}

    def _answered(self, keys: list[Any], call: Callable[..., Any], *more: Any) -> dict[Any, Any]:
        """Return the answers for keys by these, however they are sent."""
        if not self._looks_at_keys:
            answers: dict[Any, Any] = call(keys, *more)
            return answers
        names = self._long_names(keys)
        answers = call(list(dict.fromkeys(names.values())), *more)
        return {key: answers[name] for key, name in names.items()}

    def gets(self, key: Key, default: Any = None) -> tuple[Any, int | None]:
        """Return a key's value and the token for ``cas``; `default` and None if it has none.

        A server without tokens (memcached with ``-C``) raises ``NotSupportedError``.
        """
        missing = object()
        name = self._named(key) if self._looks_at_keys else key
        try:
            response: GetResponse = self._get(name)
        except FAILURES:
            if not self._forgives:
                raise
            return default, None
        value = self._value(key, response, missing)
        token: Any = response.cas
        if type(value) is Head:
            value, token = driven(parts.fetch(self, key, value, token, missing))
        if value is missing:
            return default, None
        return value, token or self._no_token(key)

    def gets_many(self, keys: Iterable[_Key]) -> dict[_Key, tuple[Any, int]]:
        """Return the values and the tokens for ``cas`` of those keys that have a value.

        Errors are those of ``get_many``.
        """
        given = listed(keys)
        answers = self._answered(given, self._get_multi)
        found: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        tokens = {} if heads is None else driven(self._whole(heads, found, errors))
        pairs = self._with_tokens(answers, found, tokens)
        self._refuse_partial(pairs, errors, len(answers))
        return pairs

    def gat(self, key: Key, expire: Expiry, default: Any = None) -> Any:
        """Return the value of a key, and give it a new expiry; `default` if there is none."""
        name = self._named(key) if self._looks_at_keys else key
        until = self._expiry(expire)
        try:
            response: GetResponse = self._operations.gat(name, until)
            if self._is_lease(response) and outlives_lease(until):
                self._operations.touch(name, LEASE_LEFT)
        except FAILURES:
            if not self._forgives:
                raise
            return default
        value = self._value(key, response, default)
        if type(value) is Head:
            until = parts.outlive(self, expire)
            return driven(parts.fetch(self, key, value, response.cas, default, until))[0]
        return value

    def gat_many(self, keys: Iterable[_Key], expire: Expiry) -> dict[_Key, Any]:
        """Return the values of those keys that have one, and give each a new expiry.

        Errors are those of ``get_many``, and ``NotSupportedError`` from proxies that know no
        ``gat``. All servers are asked at once, in one request each.
        """
        given = listed(keys)
        answers = self._answered(given, self._operations.gat_multi, self._expiry(expire))
        found: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        driven(parts.shorten_leases(self, answers, expire))
        if heads is not None:
            driven(self._whole(heads, found, errors, parts.outlive(self, expire)))
        self._refuse_partial(found, errors, len(answers))
        return {key: found[key] for key in answers if key in found}

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
        ``TypeError``.

        Leases need the meta protocol and a server with CAS tokens. A server without tokens
        (memcached with ``-C``), or without meta where `protocol` is ``"auto"``, has one caller of
        this client load at a time, and each process on its own; then a delete or a write during the
        load is overwritten, and `stale` has no effect without meta. ``protocol="ascii"`` and
        ``"binary"`` raise ``NotSupportedError``.

        If the cache fails, this raises what ``get`` would; with ``failures="miss"`` it loads, and
        returns the value even if it cannot be stored.
        """
        name = self._named(key) if self._looks_at_keys else key
        limits = (expire, stale, lease_time, wait)
        return driven(self._leases.get_or_set(name, load, *limits, self, key))

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
        if self._part_size != sys.maxsize and self._has_large(data):
            return driven(parts.store_many(self, given, data, flags, expire))
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
        name = self._named(key) if self._looks_at_keys else key
        data, flags = self._codec.encode(value)
        until = self._expiry(expire)
        if len(data) > self._part_size:
            return bool(driven(parts.store(self, verb, key, data, flags, cas, expire)))
        short = self._short
        if short is not None:
            answer = short._store_one(verb, name, data, flags, until, cas)
        elif self._sharded is not None:
            answer = self._observed.store_one(verb, name, data, flags, until, cas)
        else:
            item = _new(Item, (name, data, flags, cas, until))
            answer = getattr(self._operations, verb)(item)
        if answer is None or self._done(answer):
            return True
        if verb == "add" and self._part_size != sys.maxsize:
            return bool(driven(parts.add_over(self, key, data, flags, expire)))
        return False

    def append(self, key: Key, more: "ReadableBuffer | str") -> bool:
        """Put bytes, or text, after the value of a key; return False if it has none.

        The value has to be bytes or text that is stored as it is, and goes on being that. One that
        is compressed or serialised, or a number, would be damaged: it stays as it is, and
        ``InvalidArgumentError`` is raised. So the item is read first. The meta and binary protocols
        then add to it by its token. ASCII has no token for that, and meta's would delete the value
        if `more` is over the server's limit, so that 64 KiB and more go without: it is read again
        afterwards, and deleted if another client stored a value of that kind in between, which is
        then damaged.
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
        """Give the value of a key a new expiry; return whether there is one.

        A lease of ``get_or_set`` that nobody has filled yet is no value; ASCII alone cannot tell.
        """
        if self._part_size != sys.maxsize:
            return bool(driven(parts.touch(self, key, expire)))
        name = self._named(key) if self._looks_at_keys else key
        until = self._expiry(expire)
        short = self._short
        if short is not None:
            answer = short._touch_one(name, until)
        elif self._sharded is not None:
            answer = self._observed.touch_one(name, until)
        else:
            answer = self._touched(name, until)
        return True if answer is None else self._done(answer)

    def _touched(self, name: Key, until: int) -> Any:
        """Touch over what is no sharded client; a lease that is out is no value."""
        operations = self._operations
        protocol = getattr(operations, "protocol", None)
        if self._observed is not None or not hasattr(protocol, "touch_value"):
            return operations.touch(name, until)
        answer = operations.run(name, lambda protocol, key: protocol.touch_value(key, until))
        if answer.status is ResponseStatus.ITEM_NOT_STORED and outlives_lease(until):
            operations.touch(name, LEASE_LEFT)
        return answer

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
        # Not by `_short`: Cython 3.3 makes a method of a typed object a C function of another type.
        sharded = self._sharded
        return partial(sharded._count_one, down), partial(sharded._store_one, "add")

    # The servers as a whole

    def iter_keys(
        self, *, all_prefixes: bool = False, by: Literal["hash", "lru"] = "hash"
    ) -> Iterator[KeyInfo]:
        """Iterate over the keys that the servers have: a ``KeyInfo`` for each, as they come.

        They are those under the client's `prefix`, without it; with `all_prefixes` all there are,
        as the servers have them. Expired items are left out. Items that are stored, moved or
        deleted meanwhile may be missing; `by` is how a server walks over its items: ``"hash"``
        finds each of the others once, ``"lru"``, for memcached before 1.5.22, may miss some.

        The servers are asked one after the other, each over a connection of its own, which is
        closed when the iterator is. The timeout is that of each receive. A server lists its keys
        to one client at a time, and to another raises ``ServerError`` (BUSY). ``NotSupportedError``
        is raised for servers and proxies that do not know the command, and over raw clients.
        """
        return self._own_keys(self._listing()(by), all_prefixes)

    def _own_keys(self, infos: Iterator[KeyInfo], all_prefixes: bool) -> Iterator[KeyInfo]:
        with closing(infos):  # type: ignore[type-var]  # which is a generator
            for info in infos:
                own = info if all_prefixes else self._own_key(info)
                if own is not None:
                    yield own

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

    def dialects(self) -> dict[str, Dialect]:
        """Return which server speaks what: for each address a ``Dialect``.

        All servers are asked, and connected to if need be. One that fails has its error in its
        entry; one that is DOWN has none. A client over a raw client or a mock raises
        ``NotSupportedError``.
        """
        found: dict[str, Dialect] = self._of_fleet().dialects()
        return found

    def flush_all(self, delay: Expiry = 0) -> None:
        """Forget everything on every server, now or after `delay`; raise if a server fails.

        `delay` is seconds, a ``timedelta`` or an aware ``datetime``, as `expire` is. The other
        servers' entries are forgotten all the same. All that shares the servers goes, whatever its
        prefix.
        """
        response = self._operations.flush(self._until(delay))
        if response.error is not None:
            raise response.error
