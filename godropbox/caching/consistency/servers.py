"""The cache servers, as ``ConsistentCacheOnStorage`` needs them, over raw meta clients.

- ``ConsistentServers``: what is needed of them: where a key is read and written, and one method
  that runs a batch of the protocol's steps.
- ``MetaServers``: memcached servers, as many connections to each as threads use at once, with the
  shard states of the memcache client.
- ``FleetServers``: those that a ``ShardManager`` keeps, over its connections.

A token of memcached is the server's own count of stores, which starts anew with the server. It is
used only over a connection that is older than the token: no connection outlives its server's
process, so that one which still works shows that the process is still the one that counted.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from math import inf
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, Self

from ..._calls import call_all
from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies
from ...errors import NetworkError, ServerError, UsageError
from ...memcache import (
    ConnectionLostError,
    GetResponse,
    InvalidTypeError,
    Item,
    Key,
    MutateResponse,
    NotSupportedError,
    RawMetaClient,
    ResponseStatus,
)
from ...memcache.fleet.manager import Shard, ShardManager
from ...resource_pool import LameDuckError, PoolExhaustedError
from .._failures import Told
from . import protocol
from .codec import decoded, encoded
from .protocol import DONE, FAILED, RECONNECTED, REFUSED, Place, Seen, Stored

__all__ = ["ConsistentServers", "FleetServers", "MetaServers", "Request", "State"]


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


class State(NamedTuple):
    """What a server is used for.

    `reads` go there; writes are `told` there; a write that cannot be told there does not take
    place if that is `required`.
    """

    reads: bool
    told: bool
    required: bool


# By the name of a shard's state.
_STATES: Final = {
    "ACTIVE": State(reads=True, told=True, required=True),
    "WRITE_ONLY": State(reads=False, told=True, required=True),
    "WARM_UP": State(reads=False, told=True, required=False),
    "DOWN": State(reads=False, told=False, required=False),
}


class _Token(NamedTuple):
    """An entry's token: the server it is of, and a moment before it was asked for."""

    cas: int
    server: Any
    moment: float


class _Connections:
    """The connections to one server that nobody uses just now."""

    __reduce_ex__ = refuse_copies

    def __init__(self, dial: Callable[[], RawMetaClient]) -> None:
        self._dial = dial
        self._idle: list[RawMetaClient] = []
        self._lock = threading.Lock()
        begin_again_in_child(self)

    def _forked(self) -> list[Callable[[], object]]:
        self._lock = threading.Lock()
        idle, self._idle = self._idle, []
        return [client.close for client in idle]  # the parent goes on with them

    @contextmanager
    def lent(self, moment: float) -> Iterator[RawMetaClient]:
        """Lend a connection made before a moment if there is one, otherwise any."""
        client = self._take(moment) or self._dial()
        try:
            yield client
        finally:
            if client.is_valid:
                with self._lock:
                    self._idle.append(client)
            else:  # and neither are the others
                client.close()
                self.close()

    def _take(self, moment: float) -> RawMetaClient | None:
        with self._lock:
            for at in range(len(self._idle) - 1, -1, -1):
                if self._idle[at].opened <= moment:
                    return self._idle.pop(at)
            return self._idle.pop() if self._idle else None

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        call_all([client.close for client in idle])


class _Servers(ABC):
    """What servers of either kind have in common: they run steps, and log failures once a kind."""

    _told: Told

    __reduce_ex__ = refuse_copies

    @abstractmethod
    def _server(self, key: Key) -> Any:
        """Return what names the server that a key belongs to, None if there is none."""

    @abstractmethod
    def _all(self) -> Iterable[Any]:
        """Return the names of all servers."""

    @abstractmethod
    def _state(self, server: Any) -> State:
        """Return what a server is used for at this moment."""

    @abstractmethod
    def _lent(self, server: Any, moment: float) -> AbstractContextManager[RawMetaClient]:
        """Lend a connection to a server, made before a moment if there is such a one."""

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be."""
        server = self._server(key)
        if server is None:
            return ()
        state = self._state(server)
        return (Place(server, state.required),) if state.told else ()

    def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps of different keys: those of one server and one kind go out together."""
        if len(requests) == 1:
            server = self._addressee(requests[0])
            return [FAILED] if server is None else self._batch(server, requests)
        outcomes: list[Any] = [FAILED] * len(requests)
        batches: dict[tuple[Any, bool], list[int]] = {}
        for at, request in enumerate(requests):
            server = self._addressee(request)
            if server is not None:
                is_look = isinstance(request.step, protocol.Look)
                batches.setdefault((server, is_look), []).append(at)
        for (server, _), places in batches.items():
            answers = self._batch(server, [requests[at] for at in places])
            for at, answer in zip(places, answers, strict=True):
                outcomes[at] = answer
        return outcomes

    def _batch(self, server: Any, requests: Sequence[Request]) -> list[Any]:
        """Run steps of one server and one kind."""
        is_look = isinstance(requests[0].step, protocol.Look)
        moment = inf if is_look else min(_moment(request.step) for request in requests)
        run = self._look if is_look else self._change
        try:
            with self._lent(server, moment) as client:
                return run(client, server, requests)
        except (NetworkError, ServerError, OSError) as error:
            self._told.tell(self, "run", error)
            return [FAILED] * len(requests)  # nobody knows how far it came

    def _addressee(self, request: Request) -> Any:
        """Return the server that a step is for, None if it is to be skipped."""
        step = request.step
        if step.place is not None:
            return step.place.server
        if isinstance(step, protocol.Swap | protocol.Drop):
            server = step.token.server
        else:
            server = self._server(request.key)
        return server if server is not None and self._state(server).reads else None

    def _look(self, client: RawMetaClient, server: Any, requests: Sequence[Request]) -> list[Any]:
        keys = [request.key for request in requests]
        moment = monotonic()
        if len(keys) == 1:
            found: Mapping[Key, GetResponse] = {keys[0]: client.get(keys[0])}
        else:
            found = client.get_multi(keys)
        return [_seen(found[key], server, moment) for key in keys]

    def _change(self, client: RawMetaClient, server: Any, requests: Sequence[Request]) -> list[Any]:
        outcomes: list[Any] = [RECONNECTED] * len(requests)
        storing: list[int] = []
        items: list[Item] = []
        moment = monotonic()
        for at, (key, step, expire) in enumerate(requests):
            cas = 0
            if isinstance(step, protocol.Swap | protocol.Drop):
                if _moment(step) < client.opened:
                    continue
                cas = step.token.cas
            if isinstance(step, protocol.Drop):
                deleted = client.meta_delete(key, cas=cas)
                outcomes[at] = DONE if deleted.ok else _refusal(deleted)
            elif isinstance(step, protocol.Add | protocol.Swap):
                flags, data = encoded(step.entry)
                items.append(Item(key, data, flags, cas, expire))
                storing.append(at)
        # With a token a store replaces the very entry that has it, without one it adds.
        for at, stored in zip(storing, client.cas_multi(items), strict=True):
            if stored.ok:
                outcomes[at] = Stored(_token(stored.cas, server, moment))
            else:
                outcomes[at] = _refusal(stored)
        return outcomes

    def flush(self) -> bool:
        """Flush every server that writes must be known at; return whether all have said so."""
        sure = True
        for server in self._all():
            state = self._state(server)
            if not state.told:
                continue
            done = False
            with suppress(NetworkError, ServerError, OSError), self._lent(server, inf) as client:
                done = client.flush().ok
            sure = sure and (done or not state.required)
        return sure


class MetaServers(_Servers):
    """memcached servers.

    `dials` open a connection to each server; `server_of` says which of them a key belongs to, by
    its index, and may be left out if there is one server. `state_of` says what a server is used
    for at this moment: the name of a shard state (ACTIVE, WRITE_ONLY, WARM_UP, DOWN), ACTIVE if
    left out. A connection must lead to the server's process itself, past no proxy. Threads may
    share it: each step has a connection to itself, which is kept for the next one.
    """

    def __init__(
        self,
        dials: Iterable[Callable[[], RawMetaClient]],
        server_of: Callable[[Key], int] | None = None,
        state_of: Callable[[int], str] | None = None,
    ) -> None:
        self._told = Told()
        self._connections = [_Connections(dial) for dial in dials]
        if not self._connections:
            raise ValueError("dials must be at least one, got none")
        if server_of is None and len(self._connections) > 1:
            raise ValueError(f"server_of must be given for {len(self._connections)} servers")
        self._server_of = server_of
        self._state_of = state_of

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what comes after opens new ones."""
        for connections in self._connections:
            connections.close()

    def _server(self, key: Key) -> int:
        return 0 if self._server_of is None else self._server_of(key)

    def _state(self, server: int) -> State:
        return _STATES["ACTIVE" if self._state_of is None else self._state_of(server)]

    def _lent(self, server: int, moment: float) -> AbstractContextManager[RawMetaClient]:
        return self._connections[server].lent(moment)

    def _all(self) -> Iterable[Any]:
        return range(len(self._connections))


class FleetServers(_Servers):
    """The servers that a ``ShardManager`` keeps, by the states and the placement that it has.

    Its connections must be ``RawMetaClient``: have ``ShardOptions.open`` make them. It must not
    divert keys of ejected servers to others (``ShardOptions.ejected``); that a server is ejected
    is passed over here, as only its state says whether writes must be known there.
    """

    def __init__(self, manager: ShardManager) -> None:
        self._told = Told()
        self._manager = manager

    def _server(self, key: Key) -> Any:
        fleet = self._manager.fleet()
        index = fleet.of(key)
        return None if index < 0 else (index, fleet.shards[index].address)

    def _all(self) -> Iterable[Any]:
        return [(shard.id, shard.address) for shard in self._manager.fleet().shards]

    def _shard(self, server: Any) -> Shard | None:
        """Return a server if it still is where it was."""
        index: int = server[0]
        shards: tuple[Shard, ...] = self._manager.fleet().shards
        if index < len(shards) and shards[index].address == server[1]:
            return shards[index]
        return None

    def _state(self, server: Any) -> State:
        shard = self._shard(server)
        return _STATES["DOWN" if shard is None else shard.state.name]

    @contextmanager
    def _lent(self, server: Any, moment: float) -> Iterator[RawMetaClient]:
        shard = self._shard(server)
        if shard is None:
            raise ConnectionLostError(f"the server at {server[1]} has left the fleet")
        try:
            loan = shard.pool.get()
        except (LameDuckError, PoolExhaustedError) as error:
            raise ConnectionLostError(f"no connection to {server[1]}: {error}") from error
        with loan:
            if not isinstance(loan.handle, RawMetaClient):
                raise InvalidTypeError(
                    f"the manager's connections must be RawMetaClient, got {loan.handle!r:.80}"
                )
            yield loan.handle


def _seen(response: GetResponse, server: Any, moment: float) -> Any:
    if response.error is not None:
        if isinstance(response.error, UsageError):
            raise response.error
        return FAILED
    if response.value is None:
        return Seen(None)
    entry = decoded(response.flags, response.value)
    return Seen(entry, _token(response.cas, server, moment))


def _moment(step: protocol.CacheStep) -> float:
    """Return the moment that a connection has to be older than, for the token of a step."""
    return step.token.moment if isinstance(step, protocol.Swap | protocol.Drop) else inf


def _token(cas: int, server: Any, moment: float) -> _Token:
    if cas == 0:  # which would mean "add" to a store, and "whatever is there" to a delete
        raise NotSupportedError(f"server {server} has no tokens: was it started with -C?")
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
