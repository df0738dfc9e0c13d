"""The client that most people use under asyncio: values in, values out, exceptions for what fails.

What it does beside waiting is ``client.BaseClient``'s.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, cast

from ...resource_pool import LameDuckError
from .. import parts
from ..base_client import BaseClient, listed, server_list
from ..batches import FAILURES, FailedKeys
from ..callers import Source
from ..heads import Head
from ..hints import check_kind
from ..hooks import Event, Observed, tell
from ..options import Expiry
from ..protocol.ascii import AsciiProtocol
from ..protocol.auto import AutoProtocol
from ..protocol.binary import BinaryProtocol
from ..protocol.dump import KeyInfo
from ..protocol.exchange import get_response
from ..protocol.meta import LEASE_LEFT, MetaProtocol, outlives_lease
from ..stepping import Steps
from ..types import Dialect, Item, Key
from .managers import AsyncShardManager, AsyncStaticShardManager
from .options import AsyncClientOptions
from .sharded_client import AsyncShardedClient

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Unpack

    from _typeshed import ReadableBuffer

    from ..overrides import AsyncClientOverrides

__all__ = ["AsyncClient"]

_Key = TypeVar("_Key", bound=Key)
_Result = TypeVar("_Result")

_PROTOCOLS: Final = {
    "auto": AutoProtocol,
    "meta": MetaProtocol,
    "ascii": AsciiProtocol,
    "binary": BinaryProtocol,
}
_DEFAULT: Final = AsyncClientOptions()


async def _driven(steps: Steps[_Result]) -> _Result:
    """Take the steps, one after the other, as ``stepping.driven`` does, and wait for each."""
    try:
        call = next(steps)
        while True:
            try:
                outcome = call()
                if isawaitable(outcome):
                    outcome = await outcome
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                call = steps.throw(error)
            else:
                call = steps.send(outcome)
    except StopIteration as stop:
        result: _Result = stop.value
        return result


async def _wait_at(gate: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await gate.wait()


class _AsyncObserved(Observed):
    """Wrapper around a client's coroutines that reports each of them to the hooks."""

    def _timed(self, *args: Any) -> Any:
        return self._timed_later(*args)

    async def _timed_later(
        self, name: str, keys: list[Any], call: Callable[[], Any], judge: Callable[[Any], Any]
    ) -> Any:
        started, begun = time.time_ns(), self._timer()
        shard = self._shard_for(keys, judge)
        try:
            response = await call()
        except BaseException as error:
            failed = ("error", 0, 0, len(keys), error)
            tell(self._hooks, Event(name, keys, shard, self._timer() - begun, started, *failed))
            raise
        duration = self._timer() - begun
        tell(self._hooks, Event(name, keys, shard, duration, started, *judge(response)))
        return response


class AsyncClient(BaseClient):
    """Keys to values in memcached, over one server or many, for the tasks of one event loop.

    The arguments, results and errors are those of ``Client``; every operation is a coroutine.
    `servers` are addresses, or a manager of this package, which then is the caller's to close.
    `overrides` are options by name, those of ``AsyncClientOptions``::

        async with AsyncClient(["cache1:11211", "cache2:11211"], timeout=0.2) as client:
            await client.set("key", b"value", expire=60)

    It may be made anywhere, and belongs to the loop that first uses it: another raises
    ``WrongLoopError``. The tasks share `connections` to each server; what they ask for in one turn
    of the loop goes out in one write. A task that is cancelled leaves at once; what it asked for
    may be carried out all the same.
    """

    __slots__ = ("_fetch",)

    def __init__(
        self,
        servers: "Iterable[str] | str | AsyncShardManager",
        options: AsyncClientOptions = _DEFAULT,
        **overrides: "Unpack[AsyncClientOverrides]",
    ) -> None:
        check_kind(options, AsyncClientOptions)
        chosen = replace(options, **overrides) if overrides else options
        manager: Any = servers
        own = None
        if not hasattr(servers, "fleet"):
            addresses = server_list(servers)
            own = manager = AsyncStaticShardManager(addresses, chosen.shard_func, chosen)
        elif getattr(servers, "closes_with_client", False):
            own = manager
        protocol = _PROTOCOLS[chosen.protocol](chosen.prefix)
        reads = chosen.retry_reads
        sharded = AsyncShardedClient(manager, protocol, chosen.timeout, retry_reads=reads)
        operations: Any = sharded
        observed = None
        if chosen.hooks:
            observed = operations = _AsyncObserved(
                sharded, chosen.hooks, lambda key: manager.fleet().of(key)
            )
        self._begin(operations, sharded, observed, chosen, own)
        self._leases.gate, self._leases.wait_at = asyncio.Event, _wait_at
        self._fetch: Any = None
        if observed is None and sharded._plain.is_text:
            self._fetch = Source(manager, sharded._plain.prefix, chosen.timeout, reads).get

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def disconnect_all(self) -> None:
        """Close all connections, as ``Client.disconnect_all``; what is in flight is carried out.

        The next operations make new ones.
        """
        await self._disconnecting().disconnect_all()

    async def close(self) -> None:
        """Close the connections, when what is in flight is over: at most after `timeout`.

        Operations raise ``ClientClosedError`` from the start.
        """
        if self._owned is not None:
            self._sharded._enter()
        self._close()
        if self._owned is not None:
            await self._owned.close()

    # Reading

    async def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of a key, or `default` if there is none."""
        name = self._named(key) if self._looks_at_keys else key
        try:
            wait = None if self._fetch is None else self._fetch(name)
            if wait is not None:
                try:
                    await wait
                except LameDuckError:  # its server has left the fleet
                    wait = None
            if wait is not None:
                found = wait.value
                if type(found) is bytes:
                    return found
                if found is None:
                    return default
                response = get_response(name, found)
                if response.error is not None:
                    self._sharded._name(name, response.error)
            else:
                response = await self._operations.get(name)
        except FAILURES:
            if not self._forgives:
                raise
            return default
        except RuntimeError:  # by asyncio, for what another loop awaits
            self._sharded._enter()
            raise
        value = self._value(key, response, default)
        if type(value) is Head:
            return (await _driven(parts.fetch(self, key, value, response.cas, default)))[0]
        return value

    async def get_many(self, keys: Iterable[_Key]) -> dict[_Key, Any]:
        """Return the values of those keys that have one, as ``Client.get_many``."""
        given = listed(keys)
        if self._looks_at_keys:
            answers = await self._answered(given, self._operations.get_multi)
            return await self._found(answers, {}, list(answers))
        if self._observed is None:
            plain, rest = await self._sharded._get_listed(given)
        else:
            plain, rest = await self._observed.get_listed(given)
        if not rest:
            return cast("dict[_Key, Any]", plain)
        return await self._found(rest, plain, given)

    async def _found(
        self, answers: dict[Any, Any], found: dict[Any, Any], asked: list[Any]
    ) -> dict[Any, Any]:
        """Return `found` with the values of the answers, or raise what some of those asked have."""
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        if heads is not None:
            await _driven(self._whole(heads, found, errors))
        self._refuse_partial(found, errors, len(asked))
        return {key: found[key] for key in asked if key in found}

    async def _answered(
        self, keys: list[Any], call: Callable[..., Awaitable[Any]], *more: Any
    ) -> dict[Any, Any]:
        """Return the answers for keys by these, however they are sent."""
        if not self._looks_at_keys:
            answers: dict[Any, Any] = await call(keys, *more)
            return answers
        names = self._long_names(keys)
        answers = await call(list(dict.fromkeys(names.values())), *more)
        return {key: answers[name] for key, name in names.items()}

    async def gets(self, key: Key, default: Any = None) -> tuple[Any, int | None]:
        """Return a key's value and the token for ``cas``; `default` and None if it has none."""
        missing = object()
        name = self._named(key) if self._looks_at_keys else key
        try:
            response = await self._operations.get(name)
        except FAILURES:
            if not self._forgives:
                raise
            return default, None
        value = self._value(key, response, missing)
        token = response.cas
        if type(value) is Head:
            value, token = await _driven(parts.fetch(self, key, value, token, missing))
        if value is missing:
            return default, None
        return value, token or self._no_token(key)

    async def gets_many(self, keys: Iterable[_Key]) -> dict[_Key, tuple[Any, int]]:
        """Return the values and the tokens for ``cas`` of those keys that have a value.

        Errors are those of ``get_many``.
        """
        answers = await self._answered(listed(keys), self._operations.get_multi)
        found: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        tokens = {} if heads is None else await _driven(self._whole(heads, found, errors))
        pairs = self._with_tokens(answers, found, tokens)
        self._refuse_partial(pairs, errors, len(answers))
        return pairs

    async def gat(self, key: Key, expire: Expiry, default: Any = None) -> Any:
        """Return the value of a key, and give it a new expiry; `default` if there is none."""
        name = self._named(key) if self._looks_at_keys else key
        until = self._expiry(expire)
        try:
            response = await self._operations.gat(name, until)
            if self._is_lease(response) and outlives_lease(until):
                await self._operations.touch(name, LEASE_LEFT)
        except FAILURES:
            if not self._forgives:
                raise
            return default
        value = self._value(key, response, default)
        if type(value) is Head:
            steps = parts.fetch(
                self, key, value, response.cas, default, parts.outlive(self, expire)
            )
            return (await _driven(steps))[0]
        return value

    async def gat_many(self, keys: Iterable[_Key], expire: Expiry) -> dict[_Key, Any]:
        """Return the values of those keys that have one, and give each a new expiry.

        Errors are those of ``get_many``, and ``NotSupportedError`` from proxies that know no
        ``gat``. All servers are asked at once, in one request each.
        """
        until = self._expiry(expire)
        answers = await self._answered(listed(keys), self._operations.gat_multi, until)
        found: dict[Any, Any] = {}
        errors: dict[Any, Exception] = {}
        heads = self._sorted(answers, found, errors)
        await _driven(parts.shorten_leases(self, answers, expire))
        if heads is not None:
            await _driven(self._whole(heads, found, errors, parts.outlive(self, expire)))
        self._refuse_partial(found, errors, len(answers))
        return {key: found[key] for key in answers if key in found}

    async def get_or_set(
        self,
        key: Key,
        load: Callable[[], Awaitable[Any]] | Callable[[], Any],
        expire: Expiry,
        *,
        stale: Expiry = 0,
        lease_time: "float | timedelta" = 10.0,
        wait: "float | timedelta | None" = None,
    ) -> Any:
        """Return the value of a key; if it has none, load it, once among all processes.

        `load` is a coroutine function, or a plain one that does not block. The other arguments are
        those of ``Client.get_or_set``. A caller that is cancelled while it loads releases its
        lease: another loads at once.
        """
        name = self._named(key) if self._looks_at_keys else key
        limits = (expire, stale, lease_time, wait)
        return await _driven(self._leases.get_or_set(name, load, *limits, self, key))

    # Writing

    async def set(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value; return False only if no server takes the key now."""
        if self._observed is not None:
            return await self._stored("set", key, value, 0, expire)
        name = self._named(key) if self._looks_at_keys else key
        data, flags = self._encoded(value)
        until = self._expiry(expire)
        if len(data) > self._part_size:
            return await _driven(parts.store(self, "set", key, data, flags, 0, expire))
        marks = [flags] if flags else None
        answers = await self._sharded._set_listed([name], [data], marks, until)
        return self._done(answers[0]) if answers else True

    async def set_many(self, values: Mapping[_Key, Any], expire: Expiry = 0) -> FailedKeys:
        """Store many values, on all servers at once; return the keys that failed, with `errors`.

        A value that cannot be stored raises before anything is sent, a key that cannot be sent
        raises afterwards.
        """
        given, names, data, flags, until = self._to_set(values, expire)
        if self._part_size != sys.maxsize and self._has_large(data):
            return await _driven(parts.store_many(self, given, data, flags, expire))
        if self._observed is None:
            answers = await self._sharded._set_listed(names, data, flags, until)
        else:
            answers = await self._observed.set_listed(names, data, flags, until)
        return self._failed(given, answers, False) if answers else FailedKeys()

    async def add(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value if the key has none; return whether it was stored."""
        return await self._stored("add", key, value, 0, expire)

    async def replace(self, key: Key, value: Any, expire: Expiry = 0) -> bool:
        """Store a value if the key has one; return whether it was stored."""
        return await self._stored("replace", key, value, 0, expire)

    async def cas(self, key: Key, value: Any, token: int, expire: Expiry = 0) -> bool:
        """Store a value over the one that ``gets`` gave this `token` for.

        Returns False if that was changed, or is gone.
        """
        return await self._stored("cas", key, value, token, expire)

    async def _stored(self, verb: str, key: Any, value: Any, cas: Any, expire: Any) -> bool:
        """Store a value as the operation `verb` does, and return whether it was stored."""
        name = self._named(key) if self._looks_at_keys else key
        data, flags = self._encoded(value)
        until = self._expiry(expire)
        if len(data) > self._part_size:
            return await _driven(parts.store(self, verb, key, data, flags, cas, expire))
        item = Item(name, data, flags, cas, until)
        if self._done(await getattr(self._operations, verb)(item)):
            return True
        if verb == "add" and self._part_size != sys.maxsize:
            return await _driven(parts.add_over(self, key, data, flags, expire))
        return False

    async def append(self, key: Key, more: "ReadableBuffer | str") -> bool:
        """Put bytes, or text, after the value of a key, as ``Client.append``."""
        return await _driven(self._extending("append", key, more))

    async def prepend(self, key: Key, more: "ReadableBuffer | str") -> bool:
        """Put bytes, or text, before the value of a key, as ``Client.prepend``."""
        return await _driven(self._extending("prepend", key, more))

    # Deleting, touching, counting

    async def delete(self, key: Key) -> bool:
        """Delete the value of a key; return whether there was one."""
        name = self._named(key) if self._looks_at_keys else key
        return self._done(await self._operations.delete(name))

    async def delete_many(self, keys: Iterable[Key]) -> FailedKeys:
        """Delete the values of many keys; return the keys that failed. To have none is no failure.

        A key that cannot be sent raises after the others were.
        """
        given = listed(keys)
        names = self._all_named(given) if self._looks_at_keys else given
        return self._failed(given, await self._operations.delete_multi(names), True)

    async def touch(self, key: Key, expire: Expiry) -> bool:
        """Give the value of a key a new expiry; return whether there is one."""
        if self._part_size != sys.maxsize:
            return await _driven(parts.touch(self, key, expire))
        name = self._named(key) if self._looks_at_keys else key
        sharded = self._sharded if self._observed is None else self._observed
        touch = sharded._touch_one if self._observed is None else sharded.touch_one
        return self._done(await touch(name, self._expiry(expire)))

    async def incr(
        self, key: Key, delta: int = 1, initial: int | None = None, expire: Expiry = 0
    ) -> int | None:
        """Add `delta` to a counter, as ``Client.incr``, and return what it is then."""
        return await _driven(self._counting("incr", key, delta, initial, expire))

    async def decr(
        self, key: Key, delta: int = 1, initial: int | None = None, expire: Expiry = 0
    ) -> int | None:
        """Take `delta` from a counter, to 0 at the least; else like ``incr``."""
        return await _driven(self._counting("decr", key, delta, initial, expire))

    # The servers as a whole

    async def iter_keys(
        self, *, all_prefixes: bool = False, by: Literal["hash", "lru"] = "hash"
    ) -> AsyncGenerator[KeyInfo, None]:
        """Iterate over the keys that the servers have, as ``Client.iter_keys``.

        To stop early, close it, as ``contextlib.aclosing`` does.
        """
        self._sharded._enter()
        async with aclosing(self._listing()(by)) as infos:
            async for info in infos:
                own = info if all_prefixes else self._own_key(info)
                if own is not None:
                    yield own

    async def stats(self, name: str = "") -> dict[int, Mapping[str, str]]:
        """Return each server's statistics, of the group `name` if one is given, by shard id.

        If a server fails, this raises; with ``failures="miss"`` that server is left out.
        """
        self._require_open()
        response = await self._operations.stats(name)
        self._check(response)
        return dict(response.entries)

    async def version(self) -> dict[int, str]:
        """Return each server's version by shard id; failures are as those of ``stats``."""
        self._require_open()
        response = await self._operations.version()
        self._check(response)
        return dict(response.versions)

    async def dialects(self) -> dict[str, Dialect]:
        """Return which server speaks what: for each address a ``Dialect``.

        All servers are asked, and connected to if need be. One that fails has its error in its
        entry; one that is DOWN has none. A client over a raw client or a mock raises
        ``NotSupportedError``.
        """
        found: dict[str, Dialect] = await self._of_fleet().dialects()
        return found

    async def flush_all(self, delay: Expiry = 0) -> None:
        """Forget everything on every server, now or after `delay`, as ``Client.flush_all``."""
        response = await self._operations.flush(self._until(delay))
        if response.error is not None:
            raise response.error
