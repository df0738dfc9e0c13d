"""The cache servers, as ``ConsistentCacheOnStorage`` needs them, over raw meta clients.

- ``ConsistentServers``: what is needed of them: where a key is read and written, and one method
  that runs a batch of the protocol's steps.
- ``MetaServers``: memcached servers, one connection to each, with the shard states of the
  memcache client. What it may send when is decided here, what to send in ``_consistency``.

A token of memcached is the server's own count of stores, which starts anew with the server. It is
used only over the very connection that it came by: no connection outlives its server's process.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ..errors import NetworkError, ServerError, UsageError
from ..memcache import (
    GetResponse,
    Item,
    Key,
    MutateResponse,
    NotSupportedError,
    RawMetaClient,
    ResponseStatus,
)
from . import _consistency as protocol
from ._consistency import DONE, FAILED, RECONNECTED, REFUSED, Place, Seen, Stored
from ._consistency_wire import decoded, encoded

__all__ = ["ConsistentServers", "MetaServers", "Request", "State"]


class Request(NamedTuple):
    """One step of the protocol: `step`, of `key`, for an entry that may stay `expire` seconds."""

    key: Key
    step: protocol.CacheStep
    expire: int = 0


class ConsistentServers(Protocol):
    """What ``ConsistentCacheOnStorage`` needs of its cache."""

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be.

        If reads of the key may go to a server in any process, all of that server's places are
        there, and required, in every process.
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
    """An entry's token, the server it is of, and the connection that it came by."""

    cas: int
    server: int
    client: RawMetaClient


class MetaServers:
    """memcached servers, one connection to each.

    `dials` open a connection to each server; `server_of` says which of them a key belongs to, by
    its index, and may be left out if there is one server. `state_of` says what a server is used
    for at this moment: the name of a shard state (ACTIVE, WRITE_ONLY, WARM_UP, DOWN), ACTIVE if
    left out. A broken connection is opened anew by the next step that needs it.

    Threads may share it; they take turns at each connection.
    """

    def __init__(
        self,
        dials: Iterable[Callable[[], RawMetaClient]],
        server_of: Callable[[Key], int] | None = None,
        state_of: Callable[[int], str] | None = None,
    ) -> None:
        self._dials = list(dials)
        if not self._dials:
            raise ValueError("dials must be at least one, got none")
        if server_of is None and len(self._dials) > 1:
            raise ValueError(f"server_of must be given for {len(self._dials)} servers")
        self._server_of = server_of
        self._state_of = state_of
        self._clients: list[RawMetaClient | None] = [None] * len(self._dials)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients:
                if client is not None:
                    client.close()
            self._clients = [None] * len(self._dials)

    def places(self, key: Key) -> tuple[Place, ...]:
        """Return where writes of a key must be known at this moment, or had better be."""
        server = self._server(key)
        state = self._state(server)
        return (Place(server, state.required),) if state.told else ()

    def _server(self, key: Key) -> int:
        return 0 if self._server_of is None else self._server_of(key)

    def _state(self, server: int) -> State:
        return _STATES["ACTIVE" if self._state_of is None else self._state_of(server)]

    def _client(self, server: int) -> RawMetaClient:
        """Return the connection to a server, opened anew if it broke."""
        with self._lock:
            client = self._clients[server]
        if client is not None and client.is_valid:
            return client
        fresh = self._dials[server]()  # outside of the lock: it may take its time
        with self._lock:
            client = self._clients[server]
            if client is not None and client.is_valid:
                fresh.close()
                return client
            if client is not None:
                client.close()
            self._clients[server] = fresh
        return fresh

    # Running

    def run(self, requests: Sequence[Request]) -> list[Any]:
        """Run steps of different keys: those of one server and one kind go out together."""
        if len(requests) == 1:
            server = self._addressee(requests[0])
            return [FAILED] if server is None else self._batch(server, requests)
        outcomes: list[Any] = [FAILED] * len(requests)
        batches: dict[tuple[int, bool], list[int]] = {}
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

    def _batch(self, server: int, requests: Sequence[Request]) -> list[Any]:
        """Run steps of one server and one kind."""
        client = None
        try:
            client = self._client(server)
            if isinstance(requests[0].step, protocol.Look):
                return self._look(client, server, requests)
            return self._change(client, server, requests)
        except (NetworkError, ServerError):
            pass  # nobody knows how far it came
        except UsageError:
            if client is None or client.is_valid:
                raise
            # Otherwise another thread broke the connection.
        return [FAILED] * len(requests)

    def _addressee(self, request: Request) -> int | None:
        """Return the server that a step is for, None if it is to be skipped."""
        step = request.step
        if step.place is not None:
            return step.place.server
        if isinstance(step, protocol.Swap | protocol.Drop):
            server: int = step.token.server
        else:
            server = self._server(request.key)
        return server if self._state(server).reads else None

    def _look(self, client: RawMetaClient, server: int, requests: Sequence[Request]) -> list[Any]:
        keys = [request.key for request in requests]
        if len(keys) == 1:
            found: Mapping[Key, GetResponse] = {keys[0]: client.get(keys[0])}
        else:
            found = client.get_multi(keys)
        return [self._seen(client, server, found[key]) for key in keys]

    def _seen(self, client: RawMetaClient, server: int, response: GetResponse) -> Any:
        if response.error is not None:
            if isinstance(response.error, UsageError):
                raise response.error
            return FAILED
        if response.value is None:
            return Seen(None)
        entry = decoded(response.flags, response.value)
        return Seen(entry, _token(response.cas, server, client))

    def _change(self, client: RawMetaClient, server: int, requests: Sequence[Request]) -> list[Any]:
        outcomes: list[Any] = [RECONNECTED] * len(requests)
        storing: list[int] = []
        items: list[Item] = []
        for at, (key, step, expire) in enumerate(requests):
            cas = 0
            if isinstance(step, protocol.Swap | protocol.Drop):
                if step.token.client is not client:
                    continue
                cas = step.token.cas
            if isinstance(step, protocol.Drop):
                response = client.meta_delete(key, cas=cas)
                outcomes[at] = DONE if response.ok else _refusal(response)
            elif isinstance(step, protocol.Add | protocol.Swap):
                flags, data = encoded(step.entry)
                items.append(Item(key, data, flags, cas, expire))
                storing.append(at)
        # With a token a store replaces the very entry that has it, without one it adds.
        for at, response in zip(storing, client.cas_multi(items), strict=True):
            if response.ok:
                outcomes[at] = Stored(_token(response.cas, server, client))
            else:
                outcomes[at] = _refusal(response)
        return outcomes

    def flush(self) -> bool:
        """Flush every server that writes must be known at; return whether all have said so."""
        sure = True
        for server in range(len(self._dials)):
            state = self._state(server)
            if not state.told:
                continue
            try:
                sure &= self._client(server).flush().ok or not state.required
            except (NetworkError, ServerError, UsageError):
                sure &= not state.required
        return sure


def _token(cas: int, server: int, client: RawMetaClient) -> _Token:
    if cas == 0:  # which would mean "add" to a store, and "whatever is there" to a delete
        raise NotSupportedError(f"server {server} has no tokens: was it started with -C?")
    return _Token(cas, server, client)


_REFUSALS: Final = (
    ResponseStatus.KEY_NOT_FOUND,
    ResponseStatus.KEY_EXISTS,
    ResponseStatus.ITEM_NOT_STORED,
)


def _refusal(response: MutateResponse) -> Any:
    if isinstance(response.error, UsageError):
        raise response.error
    return REFUSED if response.status in _REFUSALS else FAILED
