"""The sharded client for asyncio: the same operations, over connections that tasks share."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from ..._kernels._identity import refuse_copies
from ..batch_steps import Gets, Mutations, Values, checked_values
from ..callers import run
from ..errors import NotSupportedError
from ..fleet.manager import check_waiting
from ..outcomes import deleted_only, refused, require_open, touched_only, unsupported, untouched
from ..protocol.ascii import AsciiProtocol
from ..protocol.auto import AutoProtocol
from ..protocol.base import Protocol, expiry
from ..protocol.dump import KeyInfo, Walk, check_walk
from ..protocol.exchange import Exchange
from ..protocol.meta import LEASE_LEFT, MetaProtocol, outlives_lease
from ..protocol.talk import check_bool, check_timeout
from ..responses import (
    CountResponse,
    GetResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
    stored_mutate,
)
from ..steps import one_key
from ..types import Capabilities, Dialect, Item, Key, ResponseStatus, Seconds
from ..whole_steps import AllShards, Examined
from .listing import keys_of
from .managers import AsyncShardManager
from .options import AsyncShardOptions

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["AsyncShardedClient"]

_DEFAULT = AsyncShardOptions()  # of managers that are a user's own


class AsyncShardedClient:
    """A client of all the servers of `manager`, for the tasks of one event loop.

    The operations, arguments and errors are those of ``ShardedClient``. `timeout` is seconds for a
    whole operation; None takes the manager's. Closing it closes the manager.

    `retry_reads` is as that client's.

    A task that is cancelled leaves at once; what it asked for may be carried out all the same.
    """

    __slots__ = ("__weakref__", "_manager", "_plain", "_protocol", "_reader", "_timeout")
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        manager: AsyncShardManager,
        protocol: Protocol,
        timeout: Seconds = None,
        *,
        retry_reads: bool = True,
    ) -> None:
        check_timeout(timeout)
        check_bool("retry_reads", retry_reads)
        check_waiting(manager, True)
        self._manager = manager
        self._protocol = protocol
        self._timeout = timeout
        # As in ``ShardedClient``: shorter, and a get takes no stale item away from who loads it.
        self._plain: Protocol = protocol
        if type(protocol) in (AutoProtocol, MetaProtocol) and not protocol.encodes:
            self._plain = AsciiProtocol(protocol.prefix, protocol.shard_id)
        self._reader: Protocol | None = self._plain if retry_reads else None

    @property
    def manager(self) -> AsyncShardManager:
        """The keeper of the fleet."""
        return self._manager

    @property
    def protocol(self) -> Protocol:
        """What makes the exchanges."""
        return self._protocol

    @property
    def capabilities(self) -> Capabilities:
        """What the protocol can do."""
        return self._protocol.capabilities

    @property
    def timeout(self) -> float | None:
        """Seconds for a whole operation, None for the manager's."""
        return self._timeout

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._manager!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def disconnect_all(self) -> None:
        """Have the manager close all connections, and make new ones for the next operations."""
        require_open(self._manager)
        await self._manager.disconnect_all()

    async def close(self) -> None:
        """Close the manager, when what is in flight is over."""
        await self._manager.close()

    # How an exchange is carried

    async def _one(
        self,
        key: Any,
        exchange: Exchange,
        sentinel: bool = False,
        reader: Protocol | None = None,
    ) -> Any:
        step, goes_on = one_key(self._manager, key, exchange, sentinel, reader)
        deadline = 0.0
        if not goes_on:
            await asyncio.sleep(0)  # the others have their turn, whatever state the shard is in
        while goes_on:
            deadline = deadline or self._deadline(step.shard)
            await run(self._manager, [step], deadline)
            goes_on = step.take()
        return step.answer

    async def _complete(self, step: Any) -> None:
        goes_on = True
        deadline = 0.0
        while goes_on:
            if step.visits:
                deadline = deadline or self._deadline(step.visits[0].shard)
                await run(self._manager, step.visits, deadline)
            else:
                await asyncio.sleep(0)
            goes_on = step.take()

    def _enter(self) -> None:
        """Raise ``WrongLoopError`` in another loop than the client's."""
        for shard in self._manager.fleet().shards:
            shard.pool.hub.check()

    def _deadline(self, shard: Any) -> float:
        seconds = shard.pool.hub.timeout if self._timeout is None else self._timeout
        return inf if seconds is None else monotonic() + seconds

    def _name(self, key: Any, error: Exception) -> None:
        """Name the shard of a key in a server's refusal of a get that made no visit."""
        fleet = self._manager.fleet()
        refused(fleet.shards[fleet.of(key)], key, error)

    # One key

    async def run(
        self, key: Key, make: Callable[[Any, Key], Exchange], sentinel: bool = False
    ) -> Any:
        """Return the result of the exchange that ``make(protocol, key)`` gives, on the key's shard.

        With `sentinel` it goes where sentinel operations go.
        """
        return await self._one(key, make(self._protocol, key), sentinel)

    async def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        response: GetResponse = await self._one(key, self._plain.get(key), False, self._reader)
        return response

    async def gat(self, key: Key, expire: int) -> GetResponse:
        """Get one item and give it a new expiry, as ``ShardedClient.gat``."""
        try:
            response: GetResponse = await self._one(key, self._protocol.gat(key, expire))
        except NotSupportedError:
            if not isinstance(self._protocol, AutoProtocol):
                raise
        else:
            return response
        if expire < 0:  # it is gone then
            found = await self.get(key)
            await self._one(key, self._plain.delete(key))
            return found
        touched = await self._one(key, self._plain.touch(key, expire))
        return await self.get(key) if touched.ok else untouched(key, touched)

    async def set(self, item: Item) -> MutateResponse:
        """Store an item; if it has a token, only over the item with that token."""
        return await self._store(item, self._protocol.set(item))

    async def add(self, item: Item) -> MutateResponse:
        """Store an item if there is none."""
        return await self._store(item, self._protocol.add(item))

    async def replace(self, item: Item) -> MutateResponse:
        """Store an item if there is one."""
        return await self._store(item, self._protocol.replace(item))

    async def cas(self, item: Item) -> MutateResponse:
        """Store an item over the one with its token: KEY_EXISTS if that was changed."""
        return await self._store(item, self._protocol.cas(item))

    async def _store(self, item: Item, exchange: Exchange) -> MutateResponse:
        response: MutateResponse = await self._one(item.key, exchange)
        return response

    async def append(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateResponse:
        """Put `value` after the stored value; with a token, only if that is the item's own."""
        response: MutateResponse = await self._one(key, self._protocol.append(key, value, cas))
        return response

    async def prepend(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateResponse:
        """Put `value` before the stored value; with a token, only if that is the item's own."""
        response: MutateResponse = await self._one(key, self._protocol.prepend(key, value, cas))
        return response

    async def delete(self, key: Key) -> MutateResponse:
        """Delete an item."""
        response: MutateResponse = await self._one(key, self._protocol.delete(key))
        return response

    async def touch(self, key: Key, expire: int) -> MutateResponse:
        """Give an item a new expiry."""
        response: MutateResponse = await self._one(key, self._protocol.touch(key, expire))
        return response

    async def _touch_one(self, key: Key, expire: int) -> MutateResponse:
        """Give one key a new expiry, as ``ShardedClient._touch_one``."""
        if self._protocol is self._plain:
            return await self.touch(key, expire)
        meta: Any = self._protocol
        response: MutateResponse = await self._one(key, meta.touch_value(key, expire))
        if response.status is not ResponseStatus.ITEM_NOT_STORED:
            return response
        if outlives_lease(expire):
            await self._one(key, self._protocol.touch(key, LEASE_LEFT))
        return stored_mutate(key, ResponseStatus.KEY_NOT_FOUND)

    async def increment(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountResponse:
        """Add `delta` to a counter, as ``ShardedClient.increment``."""
        exchange = self._protocol.increment(key, delta, initial, expire)
        response: CountResponse = await self._one(key, exchange)
        return response

    async def decrement(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountResponse:
        """Take `delta` from a counter, as ``ShardedClient.decrement``."""
        exchange = self._protocol.decrement(key, delta, initial, expire)
        response: CountResponse = await self._one(key, exchange)
        return response

    # Many keys

    async def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: a response for every key, under the key as it was given."""
        return await self._got(keys, False)

    async def get_sentinels(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items, of shards that are WRITE_ONLY or WARM_UP too."""
        return await self._got(keys, True)

    async def _got(self, keys: Iterable[Key], sentinel: bool) -> Mapping[Key, GetResponse]:
        reads = self._reader is not None
        step = Gets(self._manager, self._plain, list(keys), sentinel, False, reads)
        await self._complete(step)
        return step.answers

    async def gat_multi(self, keys: Iterable[Key], expire: int) -> Mapping[Key, GetResponse]:
        """Get many items and give each a new expiry; the responses are as ``get_multi``'s."""
        seconds = expiry(expire)
        step = Gets(self._manager, self._protocol, list(keys), False, False, expire=seconds)
        await self._complete(step)
        lacking = unsupported(step.answers) if isinstance(self._protocol, AutoProtocol) else []
        if not lacking:
            return step.answers
        if seconds < 0:  # they are gone then
            found = await self._got(lacking, False)
            deleted = await self.delete_multi(lacking)
            return {**step.answers, **deleted_only(deleted, found)}
        touched = await self.touch_multi(lacking, seconds)
        found = await self._got([each.key for each in touched if each.ok], False)
        return {**step.answers, **touched_only(touched, found)}

    async def touch_multi(self, keys: Iterable[Key], expire: int) -> list[MutateResponse]:
        """Give many items a new expiry; the responses are in the order of the keys."""
        make = partial(self._protocol.touch_multi, expire=expiry(expire))
        step = Mutations(self._manager, self._protocol, make, list(keys), False, False)
        await self._complete(step)
        return step.answers

    async def get_values(
        self, keys: Iterable[Key]
    ) -> tuple[dict[Key, bytes], Mapping[Key, GetResponse]]:
        """Get many items in the least time: the values without flags, and the rest.

        The rest are as those of ``ShardedClient.get_values``.
        """
        return await self._get_listed(list(keys))

    async def _get_listed(self, keys: list[Key]) -> tuple[dict[Key, bytes], dict[Key, GetResponse]]:
        step = Gets(self._manager, self._plain, keys, False, True, self._reader is not None)
        await self._complete(step)
        return step.found, step.answers

    async def set_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``set`` would; the responses are in the order of the items."""
        return await self._mutated("set_multi", items, True)

    async def add_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``add`` would."""
        return await self._mutated("add_multi", items, True)

    async def cas_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        return await self._mutated("cas_multi", items, True)

    async def delete_multi(self, keys: Iterable[Key]) -> list[MutateResponse]:
        """Delete many items; the responses are in the order of the keys."""
        return await self._mutated("delete_multi", keys, False)

    async def set_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, on shards that are WRITE_ONLY or WARM_UP too.

        On one that is WARM_UP, a failure counts as success.
        """
        return await self._mutated("set_multi", items, True, True)

    async def cas_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items as ``cas_multi`` would, where ``set_sentinels`` does."""
        return await self._mutated("cas_multi", items, True, True)

    async def _mutated(
        self, verb: str, things: Iterable[Any], of_items: bool, sentinel: bool = False
    ) -> list[MutateResponse]:
        protocol = self._protocol
        command = b"set " if verb == "set_multi" and protocol.is_text and not sentinel else None
        make = getattr(protocol, verb)
        step = Mutations(self._manager, protocol, make, list(things), of_items, sentinel, command)
        await self._complete(step)
        return step.answers

    async def set_values(
        self,
        keys: Iterable[Key],
        values: Iterable[bytes],
        flags: Iterable[int] | None = None,
        expire: int = 0,
    ) -> list[MutateResponse]:
        """Set many values in the least time; return an empty list if all were stored.

        The arguments and the responses are those of ``ShardedClient.set_values``.
        """
        names, given, marks = checked_values(keys, values, flags)
        return await self._set_listed(names, given, marks, expire)

    async def _set_listed(
        self, keys: list[Any], values: list[Any], flags: list[Any] | None, expire: Any
    ) -> list[MutateResponse]:
        step = Values(self._manager, self._plain, keys, values, flags, expire)
        await self._complete(step)
        return step.answers

    # Whole servers: all that are not DOWN, at once

    async def dialects(self) -> dict[str, Dialect]:
        """Return what each server speaks, by address; one that failed has its error."""
        step = Examined(self._manager, self._protocol)
        if step.visits:
            await run(self._manager, step.visits, self._deadline(step.visits[0].shard))
        return step.dialects()

    async def _all(self, make: Callable[[], Exchange], repeats: bool = False) -> AllShards:
        make()  # raises for wrong arguments, before anything is sent
        step = AllShards(self._manager, make, repeats)
        visits = step.visits
        deadline = self._deadline(visits[0].shard) if visits else 0.0
        while visits:
            await run(self._manager, visits, deadline)
            visits = step.again()
        return step

    async def flush(self, expire: int = 0) -> Response:
        """Invalidate every item of every server, `expire` seconds from now."""
        return (await self._all(lambda: self._protocol.flush(expire))).response()

    async def iter_keys(self, by: Walk = "hash") -> AsyncGenerator[KeyInfo, None]:
        """Yield the keys of all servers, prefix and all, as ``AsyncClient.iter_keys``."""
        check_walk(by)
        options = getattr(self._manager, "_options", _DEFAULT)
        async with aclosing(keys_of(self._manager, options, by)) as infos:
            async for info in infos:
                yield info

    async def verbosity(self, level: int) -> Response:
        """Set how much the servers log, if the protocol has ``verbosity``."""
        return (await self._all(lambda: self._protocol.verbosity(level))).response()

    async def version(self) -> VersionResponse:
        """Return the servers' versions; those of servers that failed are missing."""
        return (await self._all(self._protocol.version, self._reader is not None)).versions()

    async def stats(self, name: str = "") -> StatsResponse:
        """Return the servers' statistics; those of servers that failed are missing."""
        return (await self._all(lambda: self._protocol.stats(name))).statistics()
