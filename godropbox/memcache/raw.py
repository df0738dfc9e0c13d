"""The raw clients: one protocol over one connection, one operation at a time.

Compiled as it stands (``raw.pxd``).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .connection import Channel, Connection
from .keys import by_key
from .operations import Operations
from .protocol.ascii import AsciiProtocol
from .protocol.base import Protocol
from .protocol.binary import BinaryProtocol
from .protocol.chunks import key_chunks, mutation_chunks
from .protocol.exchange import Exchange
from .protocol.meta import MetaProtocol
from .responses import GetResponse, MetaResponse, MutateResponse, Response
from .types import Item, Key, Seconds

if TYPE_CHECKING:
    from typing import Self

__all__ = ["RawAsciiClient", "RawBinaryClient", "RawClient", "RawMetaClient"]


class RawClient(Operations):
    """A client that speaks `protocol` over `channel`. Threads may share it; they take turns.

    `timeout` is seconds for a whole operation, waiting for a turn included; None takes the
    channel's own (``gettimeout``), if it has one.
    """

    __slots__ = ("__weakref__", "connection")

    def __init__(self, channel: Channel, protocol: Protocol, timeout: Seconds = None) -> None:
        Operations.__init__(self, protocol)
        self.connection = Connection(channel, timeout)

    @property
    def shard_id(self) -> int:
        """The number that this server's version and statistics are filed under."""
        return self._protocol.shard_id

    @property
    def is_valid(self) -> bool:
        """Whether the client may be used; once False, it stays False."""
        return self.connection.is_valid

    @property
    def timeout(self) -> float | None:
        """Seconds for a whole operation, None for no limit."""
        return self.connection.timeout

    @property
    def channel(self) -> Channel:
        """What carries the bytes."""
        return self.connection.channel

    def __repr__(self) -> str:
        state = "valid" if self.is_valid else "invalid"
        return f"<{type(self).__name__} of shard {self.shard_id}: {state}>"

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without a word to the server.

        An operation of another thread ends at once, with ``ClientClosedError``.
        """
        self.connection.close()

    # How an exchange is carried

    def _one(self, key: Any, exchange: Exchange) -> Any:
        return self.connection.run(exchange)

    def _all(self, make: Callable[[], Exchange]) -> Any:
        return self.connection.run(make())

    def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: a response for every key, under the key as it was given."""
        make = self._protocol.get_multi
        if self.connection.interleaves:
            found: Mapping[Key, GetResponse] = self.connection.run(make(keys))
            return found
        answers: dict[Key, GetResponse] = {}
        exchanges: list[Any] = [make(chunk) for chunk in key_chunks(self._protocol, keys)]
        for some in self.connection.run_all(exchanges):
            answers.update(some)
        return answers

    def gat_multi(self, keys: Iterable[Key], expire: int) -> Mapping[Key, GetResponse]:
        """Get many items and give each a new expiry; the responses are as ``get_multi``'s."""
        chunks = mutation_chunks(by_key(keys))
        exchanges: list[Any] = [self._protocol.gat_multi(chunk, expire) for chunk in chunks]
        answers: dict[Key, GetResponse] = {}
        for some in self.connection.run_all(exchanges):
            answers.update(some)
        return answers

    def touch_multi(self, keys: Iterable[Key], expire: int) -> list[MutateResponse]:
        """Give many items a new expiry; the responses are in the order of the keys."""
        chunks = mutation_chunks(keys)
        exchanges: list[Any] = [self._protocol.touch_multi(chunk, expire) for chunk in chunks]
        return [answer for some in self.connection.run_all(exchanges) for answer in some]

    def _many(self, verb: str, things: Iterable[Any], of_items: bool) -> Any:
        make: Callable[[Iterable[Any]], Exchange] = getattr(self._protocol, verb)
        if self.connection.interleaves:
            return self.connection.run(make(things))
        exchanges = [make(chunk) for chunk in mutation_chunks(things)]
        return [answer for some in self.connection.run_all(exchanges) for answer in some]

    def quit(self) -> Response:
        """Ask the server to close the connection, and close it."""
        try:
            response: Response = self.connection.run(self._protocol.quit())
        finally:
            self.close()
        return response


class RawAsciiClient(RawClient):
    """A client that speaks the ASCII protocol over one connection.

    `prefix` goes before every key.
    """

    __slots__ = ()

    def __init__(
        self,
        channel: Channel,
        shard_id: int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
    ) -> None:
        RawClient.__init__(self, channel, AsciiProtocol(prefix, shard_id), timeout)

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        if self.connection.line.fd < 0:
            return Operations.get(self, key)
        return self.connection.get(key, self._protocol.prefix)


class RawBinaryClient(RawClient):
    """A client that speaks the binary protocol over one connection.

    `prefix` goes before every key.
    """

    __slots__ = ()

    def __init__(
        self,
        channel: Channel,
        shard_id: int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
    ) -> None:
        RawClient.__init__(self, channel, BinaryProtocol(prefix, shard_id), timeout)


class RawMetaClient(RawClient):
    """A client that speaks the meta protocol over one connection. `prefix` goes before every key.

    With `binary_keys` a key may have any bytes, at most 186 of them with the prefix.
    """

    __slots__ = ()

    def __init__(
        self,
        channel: Channel,
        shard_id: int = 0,
        *,
        timeout: Seconds = None,
        prefix: Key = b"",
        binary_keys: bool = False,
    ) -> None:
        RawClient.__init__(self, channel, MetaProtocol(prefix, shard_id, binary_keys), timeout)

    def meta_get(
        self,
        key: Key,
        *,
        value: bool = True,
        expire: int | None = None,
        lease: int | None = None,
        recache: int | None = None,
        details: bool = False,
    ) -> MetaResponse:
        """Get one item and what is known of it; see ``MetaProtocol.meta_get``."""
        meta: Any = self._protocol
        exchange = meta.meta_get(
            key, value=value, expire=expire, lease=lease, recache=recache, details=details
        )
        response: MetaResponse = self._one(key, exchange)
        return response

    def meta_set(
        self, item: Item, *, invalidate: bool = False, new_cas: int | None = None
    ) -> MutateResponse:
        """Store an item with a token of one's own, or stale; see ``MetaProtocol.meta_set``."""
        meta: Any = self._protocol
        exchange = meta.meta_set(item, invalidate=invalidate, new_cas=new_cas)
        response: MutateResponse = self._one(item.key, exchange)
        return response

    def meta_delete(
        self, key: Key, *, cas: int = 0, stale: bool = False, expire: int | None = None
    ) -> MutateResponse:
        """Delete an item, or mark it stale; see ``MetaProtocol.meta_delete``."""
        meta: Any = self._protocol
        exchange = meta.meta_delete(key, cas=cas, stale=stale, expire=expire)
        response: MutateResponse = self._one(key, exchange)
        return response
