"""The cache servers, as ``ConsistentCacheOnStorage`` needs them, over a fleet of memcached.

- ``ConsistentServers``: what is needed of them: where a key is read and written, and one method
  that runs a batch of the protocol's steps.
- ``FleetServers``: the servers of a ``ShardManager``, over its connections.

A token of memcached is the server's own count of stores, which starts anew with the server. It is
used only over a connection on which the server had answered before the token was asked for: a
connection leads to one process and ends with it, so if that connection still works, the process is
still the one that counted. When the connection was begun says nothing: it may have been made later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from ..._kernels._identity import refuse_copies
from ...errors import UsageError
from ...memcache import (
    GetResponse,
    InvalidArgumentError,
    InvalidTypeError,
    Item,
    Key,
    MetaProtocol,
    MutateResponse,
    NotSupportedError,
    ResponseStatus,
)
from ...memcache.fleet.manager import Fleet, Shard, ShardManager
from ...memcache.protocol.chunks import key_chunks, mutation_chunks
from ...memcache.steps import Visit, takes
from ...memcache.sync import run
from .._calls import Calls
from .._calls import run as blocking
from .._failures import Told
from . import protocol
from .codec import decoded, encoded
from .protocol import DONE, FAILED, RECONNECTED, REFUSED, Place, Seen, Stored

__all__ = ["ConsistentServers", "FleetServers", "Request"]


class Request(NamedTuple):
    """One step of the protocol: `step`, of `key`, for an entry that may stay `expire` seconds."""

    key: Key
    step: protocol.CacheStep
    expire: int = 0


class ConsistentServers(Protocol):
    """What ``ConsistentCacheOnStorage`` needs of its cache."""

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be.

        A server that reads of the key go to, in whichever process, must be among them and be
        required, in all processes.
        """
        ...

    def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps, all of different keys, in any order; return what each came to, in order.

        A step whose outcome is not known comes to FAILED, and so does a look at a server that
        reads do not go to. Raises only what the caller did wrong.
        """
        ...

    def flush(self) -> bool:
        """Have nothing anywhere that writes must be known; return whether that is sure."""
        ...


_MISTAKES: Final = (InvalidArgumentError, InvalidTypeError, NotSupportedError)


class _Token(NamedTuple):
    """An entry's token: its server, and a moment before it was asked for."""

    cas: int
    server: Any
    moment: float


@dataclass(frozen=True, slots=True)
class _Change:
    """A step that stores `item`, or deletes the entry if that is None; `cas` is 0 without a token.

    It goes only over a connection on which the server had answered at `moment`.
    """

    index: int
    key: Key
    item: Item | None
    cas: int
    moment: float


class _StepsVisit(Visit):
    """Steps for one shard: looks, then deletions, then stores."""

    __slots__ = ("_changes", "_looks", "_moment", "_protocol", "_sent")

    def __init__(self, shard: Shard, meta: MetaProtocol) -> None:
        super().__init__(shard, [])
        self._protocol = meta
        self._looks: list[tuple[int, Key]] = []
        self._changes: list[_Change] = []
        self._sent: list[_Change] = []
        self._moment = 0.0

    def add(self, index: int, request: Request) -> None:
        """Add a step, whose outcome is to be filed under `index`."""
        key, step, expire = request
        if isinstance(step, protocol.Look):
            self._looks.append((index, key))
            return
        cas, moment = 0, inf
        if isinstance(step, protocol.Swap | protocol.Drop):
            cas, moment = step.token.cas, step.token.moment
        item = None
        if not isinstance(step, protocol.Drop):
            flags, data = encoded(step.entry)
            item = Item(key, data, flags, cas, expire)
        self._changes.append(_Change(index, key, item, cas, moment))

    def _begin(self) -> None:
        """Prepare the exchanges, without the steps whose token this connection may not use."""
        meta = self._protocol
        is_whole = self.peer.interleaves
        self._moment = monotonic()
        keys = [key for _, key in self._looks]
        if len(keys) == 1:
            exchanges: list[Any] = [meta.get(keys[0])]
        else:
            exchanges = [meta.get_multi(some) for some in _parts(keys, is_whole, meta)]
        if self._changes:
            known = [change for change in self._changes if self.peer.answered_at <= change.moment]
            drops = [change for change in known if change.item is None]
            stores = [change for change in known if change.item is not None]
            self._sent = [*drops, *stores]
            items = [change.item for change in stores]
            exchanges += [meta.meta_delete(change.key, cas=change.cas) for change in drops]
            # With a token a store replaces the very entry that has it, without one it adds.
            exchanges += [meta.cas_multi(some) for some in _parts(items, is_whole, None)]
        self.exchanges = exchanges

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        """Yield what the steps came to, and where that is to be filed."""
        server = _server(self.shard)
        # The server was asked for tokens after it had first answered, if that was in this visit.
        moment = max(self._moment, self.peer.answered_at)
        found: dict[Key, GetResponse] = {}
        changed: list[MutateResponse] = []
        for result in self.outcome:
            if isinstance(result, GetResponse):
                found[result.key] = result
            elif isinstance(result, MutateResponse):
                changed.append(result)
            elif isinstance(result, list):
                changed += result
            else:
                found.update(result)
        for index, key in self._looks:
            yield index, _seen(found[key], server, moment)
        for change in self._changes:
            yield change.index, RECONNECTED  # unless it was sent, of which more below
        for change, response in zip(self._sent, changed, strict=True):
            if not response.ok:
                yield change.index, _refusal(response)
            elif change.item is None:
                yield change.index, DONE
            else:
                yield change.index, Stored(_token(response.cas, server, moment))


class FleetServers:
    """The servers of a ``ShardManager``, with its placement and its states.

    A connection must lead to the server's process itself, past no proxy. The manager must not move
    keys of ejected servers to others (``ShardOptions.ejected``). Reads skip an ejected server;
    writes do not, as only a server's state says whether they must be known there. Threads may share
    it. The manager is the caller's to close.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, manager: ShardManager) -> None:
        self._told = Told()
        self._manager = manager
        self._protocol = MetaProtocol()

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be."""
        fleet = self._manager.fleet()
        number = fleet.of(key)
        if number < 0 or not fleet.shards[number].takes_sentinels:
            return ()
        shard = fleet.shards[number]
        return (Place(_server(shard), not shard.is_warming_up),)

    def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps of different keys: those of all servers go out at once, by one deadline."""
        return blocking(self._run_calls(requests))

    def _run_calls(self, requests: Sequence[Request]) -> Calls[list[Any]]:
        outcomes: list[Any] = [FAILED] * len(requests)
        fleet = self._manager.fleet()
        visits: dict[int, _StepsVisit] = {}
        for index, request in enumerate(requests):
            shard = _addressee(fleet, request)
            if shard is None:
                continue
            visit = visits.get(shard.id)
            if visit is None:
                visit = visits[shard.id] = _StepsVisit(shard, self._protocol)
            visit.add(index, request)
        for visit in (yield from self._carried(list(visits.values()))):
            for index, outcome in visit.outcomes():
                outcomes[index] = outcome
        return outcomes

    def flush(self) -> bool:
        """Flush every server that writes must be known at; return whether all have said so."""
        return blocking(self._flush_calls())

    def _flush_calls(self) -> Calls[bool]:
        shards = [shard for shard in self._manager.fleet().shards if shard.takes_sentinels]
        visits = [Visit(shard, [self._protocol.flush()]) for shard in shards]
        carried = yield from self._carried(visits)
        done = {visit.shard.id for visit in carried if visit.outcome[0].ok}
        return all(shard.id in done or shard.is_warming_up for shard in shards)

    def _carry(self, visits: list[Any]) -> Any:
        """Carry visits, at once, and settle each."""
        run(self._manager, visits, None)

    def _carried(self, visits: list[Any]) -> Calls[list[Any]]:
        """Carry visits, and return those that did not fail: nobody knows how far the others came.

        Raises what the caller did wrong.
        """
        yield self._carry, (visits,)
        # A server that is killed while it is asked what it knows looks like a proxy that knows no
        # meta commands, until the next connection. Nothing was sent but the question.
        doubtful = [visit for visit in visits if isinstance(visit.outcome, NotSupportedError)]
        if doubtful:
            yield self._carry, (doubtful,)
        done = []
        for visit in visits:
            error = visit.outcome
            if isinstance(error, _MISTAKES):
                raise error
            if isinstance(error, Exception):
                self._told.tell(self, "run", error)
            else:
                done.append(visit)
        return done


def _server(shard: Shard) -> tuple[int, str]:
    """Return what a server is known by, whatever its state."""
    return shard.id, shard.address


def _addressee(fleet: Fleet, request: Request) -> Shard | None:
    """Return the shard that a step is for, None if it is to be skipped."""
    step = request.step
    if step.place is not None:
        return _shard(fleet, step.place.server)
    shard: Shard | None = None
    if isinstance(step, protocol.Swap | protocol.Drop):
        shard = _shard(fleet, step.token.server)
    else:
        number = fleet.of(request.key)
        if number >= 0:
            shard = fleet.shards[number]
    return shard if shard is not None and takes(shard, False) else None


def _shard(fleet: Fleet, server: tuple[int, str]) -> Shard | None:
    """Return a server's shard, None if the server has left the fleet or moved in it."""
    index, address = server
    shards: tuple[Shard, ...] = fleet.shards
    found = index < len(shards) and shards[index].address == address
    return shards[index] if found else None


def _parts(of: list[Any], is_whole: bool, meta: MetaProtocol | None) -> list[list[Any]]:
    """Return the parts of a batch that a connection takes at a time: keys with `meta`, or items."""
    if not of or is_whole:
        return [of] if of else []
    return mutation_chunks(of) if meta is None else key_chunks(meta, of)


def _seen(response: GetResponse, server: Any, moment: float) -> Any:
    if response.error is not None:
        if isinstance(response.error, UsageError):
            raise response.error
        return FAILED
    if response.value is None:
        return Seen(None)
    entry = decoded(response.flags, response.value)
    return Seen(entry, _token(response.cas, server, moment))


def _token(cas: int, server: Any, moment: float) -> _Token:
    if cas == 0:  # to a store that would mean "add", and to a delete "whatever is there"
        _, address = server
        raise NotSupportedError(f"the server at {address} has no tokens: was it started with -C?")
    return _Token(cas, server, moment)


_REFUSALS: Final = (
    ResponseStatus.KEY_NOT_FOUND,
    ResponseStatus.KEY_EXISTS,
    ResponseStatus.ITEM_NOT_STORED,
)


def _refusal(response: MutateResponse) -> Any:
    if isinstance(response.error, UsageError):
        raise response.error
    return REFUSED if response.status in _REFUSALS else FAILED
