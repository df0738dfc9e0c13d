"""The client of a fleet: every key to its shard, and batches to all shards at once.

Operations on one key raise what a raw client would, with the shard named. Batches raise for
nothing that one key or one shard did: every key has an answer of its own, in the order asked. No
thread is made for a shard: all of a batch's requests are sent and all replies read over one poll
loop (``scatter``), under one deadline. Compiled as it stands (``sharded_client.pxd``).
"""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._kernels._identity import refuse_copies
from ..resource_pool import LameDuckError, ManagedHandle
from ._answers import failed, forgiven, require_open, skipped, unmapped
from ._errands import borrow, located
from ._multi import FLEETS, ask_all, get_many, mutate_many, takes
from ._quick import get_quickly, set_quickly, store_quickly
from .connection import Connection, Seconds, check_timeout
from .errors import (
    ConnectionUnusableError,
    InvalidArgumentError,
    NetworkError,
    NotSupportedError,
    ReplyError,
    UsageError,
)
from .fleet.manager import Shard, ShardManager
from .protocol.ascii import AsciiProtocol
from .protocol.base import Protocol
from .protocol.exchange import Exchange, MutateExchange
from .protocol.meta import MetaProtocol
from .responses import (
    CountResponse,
    GetResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
)
from .types import Capabilities, Int, Item, Key, Text

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from _typeshed import ReadableBuffer

__all__ = ["ShardedClient"]


class ShardedClient:
    """A client of all the servers that `manager` keeps. Threads share it, each its own connections.

    `protocol` makes the exchanges, for every shard. `timeout` is seconds for a whole operation,
    however many keys and shards it has: waiting for connections, making them, sending and
    receiving; None takes what the connections have. Closing it closes the manager.

    When it is closed, or its manager is, an operation raises ``ClientClosedError``, a batch too;
    of a batch that was under way, the keys that were not done have that error.

    An operation on a shard that is in no state for it is skipped: the answer says so
    (``skipped``), and is a miss, or not stored.
    """

    __slots__ = (
        "__weakref__",
        "_is_ascii",
        "_is_text",
        "_manager",
        "_plain",
        "_prefix",
        "_protocol",
        "_timeout",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, manager: ShardManager, protocol: Protocol, timeout: Seconds = None) -> None:
        check_timeout(timeout)
        self._manager = manager
        self._protocol = protocol
        self._timeout = timeout
        self._prefix = protocol.prefix
        self._is_ascii = type(protocol) is AsciiProtocol
        # A server that has meta commands takes ASCII's too, on the same connection. They do where
        # nothing is asked for that only meta has, in a get and in set_values: they are
        # shorter, and a get does not take away from a stale item that the first is to load it.
        self._plain = protocol
        if type(protocol) is MetaProtocol and not protocol.encodes:
            self._plain = AsciiProtocol(protocol.prefix, protocol.shard_id)
        self._is_text = type(self._plain) is AsciiProtocol

    @property
    def manager(self) -> ShardManager:
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
        """Seconds for a whole operation, None for what the connections have."""
        return self._timeout

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._manager!r}>"

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the manager, and with it all connections."""
        self._manager.close()

    # One key

    def run(self, key: Key, make: Callable[[Any, Key], Exchange], sentinel: bool = False) -> Any:
        """Return the result of the exchange that ``make(protocol, key)`` gives, on the key's shard.

        This is the way to what one protocol alone can do: ``MetaProtocol.meta_get`` and the like.
        With `sentinel` it goes where sentinel operations go.
        """
        return self._one(key, make(self._protocol, key), sentinel)

    def _one(self, key: Key, exchange: Exchange, sentinel: bool) -> Any:
        """See an exchange through on the shard of its key, if that takes it."""
        manager = self._manager
        for _ in range(FLEETS):
            fleet = manager.fleet()
            place = fleet.of(key)
            if place < 0:
                return failed(exchange, unmapped(key))
            shard = fleet.shards[place]
            if not takes(shard, sentinel):
                require_open(manager)
                return skipped(exchange)
            try:
                answer = self._through(shard, exchange)
            except LameDuckError:
                require_open(manager)
                if manager.fleet() is fleet:
                    raise
                continue
            except (NetworkError, ReplyError, UsageError) as error:
                if not (sentinel and shard.is_warming_up and isinstance(exchange, MutateExchange)):
                    raise
                answer = failed(exchange, error)
            return forgiven(answer) if sentinel and shard.is_warming_up else answer
        raise LameDuckError(f"the fleet changed {FLEETS} times during one operation")

    def _through(self, shard: Shard, exchange: Exchange) -> Any:
        """See an exchange through over a connection to `shard`, and give that back."""
        start = monotonic()
        timeout = self._timeout
        handle = shard.pool.get_idle()
        is_first = handle is not None
        while True:
            if handle is None:
                handle = self._borrow(shard, None if timeout is None else start + timeout)
            connection = handle.handle
            own = connection.timeout
            if timeout is None:
                timeout = own
            # Of the time that a connection allows itself nothing is gone yet at the first.
            deadline = None if timeout is None or (is_first and timeout == own) else start + timeout
            try:
                answer = connection._see_through(exchange, deadline)
            except BaseException as error:
                _give_back(handle)
                if isinstance(error, NotSupportedError):
                    raise located(shard, error) from error.__cause__
                if not isinstance(error, (NetworkError, ReplyError, ConnectionUnusableError)):
                    raise
                if not _is_stale(connection, error, start):
                    self._manager.failed(shard, error)
                    raise located(shard, error) from error.__cause__
            else:
                _give_back(handle)  # a connection whose server refuses all may be unusable
                if shard.failures:
                    self._manager.succeeded(shard)
                return answer
            handle = None
            is_first = False

    def _borrow(self, shard: Shard, deadline: float | None) -> ManagedHandle:
        try:
            return borrow(shard, None if deadline is None else deadline - monotonic())
        except NetworkError as error:
            self._manager.failed(shard, error)
            raise located(shard, error) from error.__cause__

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        response: GetResponse
        if self._is_text:
            response = self._fetched(key)
        else:
            response = self._one(key, self._plain.get(key), False)
        return response

    def _fetched(self, key: Key) -> Any:
        """Get one item in the ASCII protocol: the short way, if nothing stands in it."""
        fleet = self._manager.fleet()
        shard = fleet.sole
        place = -1
        if shard is None:
            try:
                place = fleet.of(key)
            except (TypeError, ValueError):
                self._plain.get(key)  # which raises the same as an error of the caller
            if place >= 0:
                shard = fleet.shards[place]
        if shard is not None and shard.serves and not (shard.is_watched and shard.failures):
            handle = shard.pool.get_idle()
            if handle is not None:
                connection: Connection = handle.handle
                timeout = self._timeout
                if connection._line is not None and (
                    timeout is None or timeout == connection._timeout
                ):
                    response = self._fetched_over(shard, handle, connection, key)
                    if response is not None:
                        return response
                else:
                    handle.release()
        return self._one(key, self._plain.get(key), False)

    def _fetched_over(
        self, shard: Shard, handle: ManagedHandle, connection: Connection, key: Key
    ) -> GetResponse | None:
        """Get one item over an idle connection, and give that back; None if it was stale."""
        try:
            response = connection._fetch(b"gets ", key, self._prefix)
        except BaseException as error:
            _give_back(handle)
            if not isinstance(error, (NetworkError, ReplyError, ConnectionUnusableError)):
                raise
            if _is_stale(connection, error, monotonic()):
                return None
            self._manager.failed(shard, error)
            raise located(shard, error) from error.__cause__
        handle.release()
        return response

    def gat(self, key: Key, expire: Int) -> GetResponse:
        """Get one item and give it a new expiry."""
        response: GetResponse = self._one(key, self._protocol.gat(key, expire), False)
        return response

    def set(self, item: Item) -> MutateResponse:
        """Store an item; if it has a token, only over the item that the token is of."""
        return self._store(item, self._protocol.set(item))

    def add(self, item: Item) -> MutateResponse:
        """Store an item if there is none."""
        return self._store(item, self._protocol.add(item))

    def replace(self, item: Item) -> MutateResponse:
        """Store an item if there is one."""
        return self._store(item, self._protocol.replace(item))

    def cas(self, item: Item) -> MutateResponse:
        """Store an item over the one that its token is of: KEY_EXISTS if that was changed."""
        return self._store(item, self._protocol.cas(item))

    def _store(self, item: Item, exchange: Exchange) -> MutateResponse:
        response: MutateResponse = self._one(item.key, exchange, False)
        return response

    def append(self, key: Key, value: "ReadableBuffer", cas: Int = 0) -> MutateResponse:
        """Put `value` after the value that is there; with a token, only if that is its own."""
        response: MutateResponse = self._one(key, self._protocol.append(key, value, cas), False)
        return response

    def prepend(self, key: Key, value: "ReadableBuffer", cas: Int = 0) -> MutateResponse:
        """Put `value` before the value that is there; with a token, only if that is its own."""
        response: MutateResponse = self._one(key, self._protocol.prepend(key, value, cas), False)
        return response

    def delete(self, key: Key) -> MutateResponse:
        """Delete an item."""
        response: MutateResponse = self._one(key, self._protocol.delete(key), False)
        return response

    def touch(self, key: Key, expire: Int) -> MutateResponse:
        """Give an item a new expiry."""
        response: MutateResponse = self._one(key, self._protocol.touch(key, expire), False)
        return response

    def increment(
        self, key: Key, delta: Int = 1, initial: Int = 0, expire: Int | None = None
    ) -> CountResponse:
        """Add `delta` to a counter, modulo 2**64; as ``RawClient.increment``."""
        exchange = self._protocol.increment(key, delta, initial, expire)
        response: CountResponse = self._one(key, exchange, False)
        return response

    def decrement(
        self, key: Key, delta: Int = 1, initial: Int = 0, expire: Int | None = None
    ) -> CountResponse:
        """Take `delta` from a counter, to 0 at the least; otherwise like ``increment``."""
        exchange = self._protocol.decrement(key, delta, initial, expire)
        response: CountResponse = self._one(key, exchange, False)
        return response

    # Many keys

    def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: an answer for every key, under the key as it was given."""
        return self._get_many(keys, False)

    def get_values(self, keys: Iterable[Key]) -> tuple[dict[Key, bytes], Mapping[Key, GetResponse]]:
        """Get many items in the least time: the values without flags, and the rest.

        The rest are the answers for keys whose values have flags or are empty, and for those that
        failed or were skipped; they may lack their tokens. A miss is in neither.
        """
        return self._get_listed(list(keys))

    def _get_listed(self, keys: list[Key]) -> tuple[dict[Key, bytes], dict[Key, GetResponse]]:
        """``get_values`` of a list that nobody else has."""
        quick: tuple[dict[Key, bytes], dict[Key, GetResponse]] | None = None
        if self._is_text:
            quick = get_quickly(self._manager, self._plain, self._timeout, keys, False, True)
        if quick is not None:
            return quick
        asked: dict[Key, Any] = dict.fromkeys(keys)
        answers = get_many(self._manager, self._plain, self._timeout, asked, False)
        found: dict[Key, bytes] = {}
        rest: dict[Key, GetResponse] = {}
        for key, answer in answers.items():
            if answer.value and not answer.flags:
                found[key] = answer.value
            elif answer.value is not None or answer.error is not None or answer.skipped:
                rest[key] = answer
        return found, rest

    def get_sentinels(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items, of shards that are WRITE_ONLY or WARM_UP too."""
        return self._get_many(keys, True)

    def set_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``set`` would; the answers are in the order of the items."""
        given = list(items)
        if self._is_ascii:
            answers: list[MutateResponse] | None = store_quickly(
                self._manager, self._protocol, self._timeout, b"set ", given
            )
            if answers is not None:
                return answers
        return self._mutate_many(self._protocol.set_multi, given, True, False)

    def set_values(
        self,
        keys: Iterable[Key],
        values: Iterable[bytes],
        flags: Iterable[int] | None = None,
        expire: Int = 0,
    ) -> list[MutateResponse]:
        """Set many values in the least time; return an empty list if all were stored.

        `flags` are one a key, or None for 0 each; `expire` is for all. If not all were stored, the
        answers are in the order of the keys, and may lack their tokens.
        """
        names, given = list(keys), list(values)
        marks = None if flags is None else list(flags)
        if len(given) != len(names) or (marks is not None and len(marks) != len(names)):
            raise InvalidArgumentError(
                f"values and flags must be {len(names)}, one a key, got {len(given)}"
                + ("" if marks is None else f" and {len(marks)}")
            )
        return self._set_listed(names, given, marks, expire)

    def _set_listed(
        self, keys: list[Any], values: list[Any], flags: list[Any] | None, expire: Int
    ) -> list[MutateResponse]:
        """``set_values`` of as many of each, in lists that nobody else has."""
        answers: list[MutateResponse] | None = None
        if self._is_text:
            answers = set_quickly(
                self._manager, self._plain, self._timeout, keys, values, flags, expire
            )
        return self._set_items(keys, values, flags, expire) if answers is None else answers

    def _set_items(
        self, keys: list[Key], values: list[bytes], flags: list[int] | None, expire: Int
    ) -> list[MutateResponse]:
        each = [0] * len(keys) if flags is None else flags
        items = [Item(*three, 0, expire) for three in zip(keys, values, each, strict=True)]
        answers = self._mutate_many(self._plain.set_multi, items, True, False)
        return [] if all(answer.ok for answer in answers) else answers

    def set_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, on shards that are WRITE_ONLY or WARM_UP too.

        On one that is WARM_UP, what fails counts as success.
        """
        return self._mutate_many(self._protocol.set_multi, items, True, True)

    def add_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``add`` would."""
        return self._mutate_many(self._protocol.add_multi, items, True, False)

    def cas_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        return self._mutate_many(self._protocol.cas_multi, items, True, False)

    def cas_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items as ``cas_multi`` would, where ``set_sentinels`` does."""
        return self._mutate_many(self._protocol.cas_multi, items, True, True)

    def delete_multi(self, keys: Iterable[Key]) -> list[MutateResponse]:
        """Delete many items; the answers are in the order of the keys."""
        return self._mutate_many(self._protocol.delete_multi, keys, False, False)

    def _get_many(self, keys: Iterable[Key], sentinel: bool) -> Mapping[Key, GetResponse]:
        given = list(keys)
        if self._is_text:
            answers: Mapping[Key, GetResponse] | None = get_quickly(
                self._manager, self._plain, self._timeout, given, sentinel, False
            )
            if answers is not None:
                return answers
        found: dict[Key, Any] = dict.fromkeys(given)
        return get_many(self._manager, self._plain, self._timeout, found, sentinel)

    def _mutate_many(
        self,
        make: Callable[[list[Any]], Any],
        things: Iterable[Any],
        of_items: bool,
        sentinel: bool,
    ) -> list[MutateResponse]:
        given = list(things)
        return mutate_many(
            self._manager, self._protocol, self._timeout, make, given, of_items, sentinel
        )

    # The servers as a whole: all that are not DOWN, at once

    def flush(self, expire: Int = 0) -> Response:
        """Invalidate every item of every server, `expire` seconds from now."""
        _, status, error = self._ask(lambda: self._protocol.flush(expire))
        return Response(status, error)

    def verbosity(self, level: Int) -> Response:
        """Set how much the servers log, where the protocol has ``verbosity``."""
        _, status, error = self._ask(lambda: self._protocol.verbosity(level))
        return Response(status, error)

    def version(self) -> VersionResponse:
        """Ask for the servers' versions; those of servers that failed are missing."""
        answers, status, error = self._ask(self._protocol.version)
        versions = {shard: text for shard, answer in answers for text in answer.versions.values()}
        return VersionResponse(status, versions, error)

    def stats(self, name: Text = "") -> StatsResponse:
        """Ask for the servers' statistics; those of servers that failed are missing."""
        answers, status, error = self._ask(lambda: self._protocol.stats(name))
        entries = {
            shard: entries for shard, answer in answers for entries in answer.entries.values()
        }
        return StatsResponse(status, entries, error)

    def _ask(self, make: Callable[[], Any]) -> Any:
        make()  # what is wrong with the arguments is raised, and before anything is sent
        return ask_all(self._manager, self._timeout, make)


def _give_back(handle: ManagedHandle) -> None:
    """Give a connection back: for others to use if it is valid, to be closed if it is not."""
    connection: Connection = handle.handle
    if connection.is_valid:
        handle.release()
    else:
        handle.discard()


def _is_stale(connection: Connection, error: Exception, start: float) -> bool:
    """Tell whether a connection broke before this operation, in which nothing was sent yet."""
    if isinstance(error, ConnectionUnusableError):
        return True
    return not connection.has_begun and connection.opened < start
