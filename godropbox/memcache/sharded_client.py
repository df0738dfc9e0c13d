"""The client of a fleet: every key to its shard, and batches to all shards at once.

Operations on one key raise what a raw client would, with the shard named. Batches raise nothing for
what one key or one shard did: every key has a response of its own. Compiled as it stands
(``sharded_client.pxd``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .batch_steps import Gets, Mutations, Values, checked_values
from .connection import DECREMENT, DELETE, INCREMENT, STORE, TOUCH, TOUCH_ITEM
from .errors import NotSupportedError
from .fleet.manager import ShardManager, check_waiting
from .fleet.options import ShardOptions
from .listing import keys_of
from .operations import Operations
from .outcomes import deleted_only, require_open, touched_only, unsupported, untouched
from .protocol.ascii import AsciiProtocol
from .protocol.auto import AutoProtocol
from .protocol.base import Protocol, expiry
from .protocol.dump import KeyInfo, Walk, check_walk
from .protocol.exchange import APPEND, CAS, META, PREPEND, SET, Exchange
from .protocol.meta import LEASE_LEFT, MetaProtocol, outlives_lease
from .protocol.talk import check_bool, check_timeout
from .responses import (
    CountResponse,
    GetResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
    failed_mutate,
    stored_mutate,
)
from .steps import OneKey
from .sync import ShortWay, run
from .types import Dialect, Item, Key, ResponseStatus, Seconds
from .whole_steps import AllShards, Examined

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ShardedClient"]

_MISS = ResponseStatus.KEY_NOT_FOUND
_LEASED = ResponseStatus.ITEM_NOT_STORED  # of a touch
_STATUSES = {int(status): status for status in ResponseStatus}
_NEVER = -1
_DEFAULT = ShardOptions()  # of managers that are a user's own
# ASCII's words, and the kinds of commands that a server must be known to know for them.
_STORES = {
    "set": (b"set ", SET),
    "add": (b"add ", SET),
    "replace": (b"replace ", SET),
    "append": (b"append ", APPEND),
    "prepend": (b"prepend ", PREPEND),
    "cas": (b"cas ", CAS),
}


class ShardedClient(Operations):
    """A client of all the servers of `manager`. Threads share it, each with its own connections.

    `protocol` makes the exchanges, for every shard. `timeout` is seconds for a whole operation,
    however many keys and shards it has: waiting for connections, making them, sending and
    receiving; None takes what the connections have. Closing it closes the manager.

    When it is closed, or its manager is, an operation raises ``ClientClosedError``, a batch too;
    of a batch in flight, the keys that were not done have that error.

    An operation on a shard that is in no state for it is skipped: the response says so
    (``skipped``), and is a miss, or not stored.

    With `retry_reads` a ``get``, a ``get_multi`` or a ``version`` whose connection is lost before
    its reply is complete is asked once more, over a new connection, within the same time.
    """

    __slots__ = ("__weakref__", "_manager", "_plain", "_reader", "_short", "_timeout")

    def __init__(
        self,
        manager: ShardManager,
        protocol: Protocol,
        timeout: Seconds = None,
        *,
        retry_reads: bool = True,
    ) -> None:
        check_timeout(timeout)
        check_bool("retry_reads", retry_reads)
        check_waiting(manager, False)
        Operations.__init__(self, protocol)
        self._manager = manager
        self._timeout = timeout
        # A server that has meta commands takes ASCII's too, on the same connection. They are used
        # in a get and in set_values, which ask for nothing that only meta has: they are shorter,
        # and a get does not take a stale item away from the first who is to load it.
        self._plain = protocol
        if type(protocol) in (AutoProtocol, MetaProtocol) and not protocol.encodes:
            self._plain = AsciiProtocol(protocol.prefix, protocol.shard_id)
        self._reader = self._plain if retry_reads else None
        is_text = self._plain.is_text
        self._short = ShortWay(manager, self._plain.prefix, timeout, is_text, retry_reads)

    @property
    def manager(self) -> ShardManager:
        """The keeper of the fleet."""
        return self._manager

    @property
    def timeout(self) -> float | None:
        """Seconds for a whole operation, None for what the connections have."""
        return self._timeout

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._manager!r}>"

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def disconnect_all(self) -> None:
        """Have the manager close all connections, and make new ones for the next operations."""
        require_open(self._manager)
        self._manager.disconnect_all()

    def close(self) -> None:
        """Close the manager, and with it all connections."""
        self._manager.close()

    # One key

    def _one(self, key: Any, exchange: Exchange) -> Any:
        return self._carried(key, exchange, False)

    def _carried(self, key: Any, exchange: Exchange, sentinel: bool) -> Any:
        step = OneKey.__new__(OneKey)
        goes_on = step._set_up(self._manager, key, exchange, sentinel, None)
        while goes_on:
            run(self._manager, [step], self._timeout)
            goes_on = step.take()
        return step.answer

    def _read(self, key: Any, began: float | None) -> GetResponse:
        """Get one key the general way; again, if the short way began at `began`."""
        step = OneKey.__new__(OneKey)
        exchange = self._plain.get(key)
        goes_on = step._set_up(self._manager, key, exchange, False, self._reader)
        step.is_again = began is not None
        while goes_on:
            began = run(self._manager, [step], self._timeout, began)
            goes_on = step.take()
        answer: GetResponse = step.answer
        return answer

    def run(self, key: Key, make: Callable[[Any, Key], Exchange], sentinel: bool = False) -> Any:
        """Return the result of the exchange that ``make(protocol, key)`` gives, on the key's shard.

        This is the way to what one protocol alone can do: ``MetaProtocol.meta_get`` and the like.
        With `sentinel` it goes where sentinel operations go.
        """
        return self._carried(key, make(self._protocol, key), sentinel)

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        if self._short.is_open:
            answer: Any = self._short.get(key)
            if answer is not None and type(answer) is not float:
                response: GetResponse = answer
                return response
            return self._read(key, answer)
        return self._read(key, None)

    def gat(self, key: Key, expire: int) -> GetResponse:
        """Get one item and give it a new expiry.

        Under ``AutoProtocol`` that is a touch and a get where the server does not know meta.
        """
        try:
            response: GetResponse = self._one(key, self._protocol.gat(key, expire))
        except NotSupportedError:
            if not isinstance(self._protocol, AutoProtocol):
                raise
        else:
            return response
        if expire < 0:  # it is gone then
            found = self.get(key)
            self._carried(key, self._plain.delete(key), False)
            return found
        touched = self._carried(key, self._plain.touch(key, expire), False)
        return self.get(key) if touched.ok else untouched(key, touched)

    # One-key writes of bytes the short way, for the faces of this package: in ASCII's words, which
    # ask for no new token. Each takes the general way by itself where it has to.

    def _store_one(
        self, verb: str, key: Any, data: Any, flags: Any, expire: Any, cas: Any
    ) -> MutateResponse | None:
        """Store bytes as the method named `verb` would: set, add, replace, append, prepend or cas.

        Returns None if they were stored, else the response. A failure is raised, or is its error.
        """
        command, kinds = _STORES[verb]
        if cas:
            kinds = CAS if verb == "set" or verb == "cas" else _NEVER
        elif verb == "cas":
            kinds = _NEVER
        answer = None
        if kinds != _NEVER and self._short.is_open:
            answer = self._short.write(STORE, kinds, command, key, data, flags, expire, cas)
        if answer is None:
            return self._store_general(verb, key, data, flags, expire, cas)
        return _response_of(key, answer)

    def _store_general(
        self, verb: str, key: Any, data: Any, flags: Any, expire: Any, cas: Any
    ) -> MutateResponse | None:
        if verb == "set" and not cas:
            answers = self._set_listed([key], [data], [flags] if flags else None, expire)
            return answers[0] if answers else None
        protocol = self._plain
        if cas and verb != "set" and verb != "cas":
            protocol = self._protocol  # which may have a token for that
        if verb == "append" or verb == "prepend":
            exchange = getattr(protocol, verb)(key, data, cas)
        else:
            exchange = getattr(protocol, verb)(Item(key, data, flags, cas, expire))
        return _unless_done(self._carried(key, exchange, False))

    def _delete_one(self, key: Any) -> MutateResponse | None:
        """Delete one key, with a result like that of ``_store_one``."""
        answer = None
        if self._short.is_open:
            answer = self._short.write(DELETE, 0, None, key, None, 0, 0, 0)
        if answer is None:
            return _unless_done(self._carried(key, self._plain.delete(key), False))
        return _response_of(key, answer)

    def _touch_one(self, key: Any, expire: Any) -> MutateResponse | None:
        """Give one key a new expiry, with a result like that of ``_store_one``.

        A lease that is out is no value, where the server can tell; it is kept for no longer.
        """
        answer = None
        if self._protocol is not self._plain:
            if self._short.is_open:
                answer = self._short.write(TOUCH_ITEM, META, None, key, None, 0, expire, 0)
            if answer is None:
                meta: Any = self._protocol
                response = self._carried(key, meta.touch_value(key, expire), False)
                if response.status is not _LEASED:
                    return _unless_done(response)
            elif answer != -1:
                return _response_of(key, answer)
            if outlives_lease(expire):
                self._carried(key, self._protocol.touch(key, LEASE_LEFT), False)
            return stored_mutate(key, _MISS)
        if self._short.is_open:
            answer = self._short.write(TOUCH, 0, None, key, None, 0, expire, 0)
        if answer is None:
            return _unless_done(self._carried(key, self._plain.touch(key, expire), False))
        return _response_of(key, answer)

    def _count_one(self, down: bool, key: Any, delta: Any) -> "int | CountResponse":
        """Add to a counter, or take from it with `down`; return what it is then.

        If there is none, or that failed, it returns the response.
        """
        answer = None
        if self._short.is_open:
            form = DECREMENT if down else INCREMENT
            answer = self._short.write(form, 0, None, key, None, delta, 0, 0)
        if answer is None:
            count = self._plain.decrement if down else self._plain.increment
            response = self._carried(key, count(key, delta), False)
            done: int | CountResponse = response.count if response.ok else response
            return done
        if type(answer) is tuple:
            status, error = answer
            return CountResponse(key, status, 0, error)
        if answer == -1:
            return CountResponse(key, _MISS)
        counted: int = answer
        return counted

    # Many keys

    def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: a response for every key, under the key as it was given."""
        return self._got(keys, False)

    def get_sentinels(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items, of shards that are WRITE_ONLY or WARM_UP too."""
        return self._got(keys, True)

    def _got(self, keys: Iterable[Key], sentinel: bool) -> Mapping[Key, GetResponse]:
        reads = self._reader is not None
        step = Gets(self._manager, self._plain, list(keys), sentinel, False, reads)
        self._complete(step)
        return step.answers

    def gat_multi(self, keys: Iterable[Key], expire: int) -> Mapping[Key, GetResponse]:
        """Get many items and give each a new expiry; the responses are as ``get_multi``'s."""
        seconds = expiry(expire)
        step = Gets(self._manager, self._protocol, list(keys), False, False, expire=seconds)
        self._complete(step)
        lacking = unsupported(step.answers) if isinstance(self._protocol, AutoProtocol) else []
        if not lacking:
            return step.answers
        if seconds < 0:  # they are gone then
            found = self._got(lacking, False)
            deleted = self.delete_multi(lacking)
            return {**step.answers, **deleted_only(deleted, found)}
        touched = self.touch_multi(lacking, seconds)
        found = self._got([each.key for each in touched if each.ok], False)
        return {**step.answers, **touched_only(touched, found)}

    def touch_multi(self, keys: Iterable[Key], expire: int) -> list[MutateResponse]:
        """Give many items a new expiry; the responses are in the order of the keys."""
        make = partial(self._protocol.touch_multi, expire=expiry(expire))
        step = Mutations(self._manager, self._protocol, make, list(keys), False, False)
        self._complete(step)
        return step.answers

    def get_values(self, keys: Iterable[Key]) -> tuple[dict[Key, bytes], Mapping[Key, GetResponse]]:
        """Get many items in the least time: the values without flags, and the rest.

        The rest are the responses for keys whose values have flags or are empty, and for those that
        failed or were skipped; they may lack their tokens. A miss is in neither.
        """
        return self._get_listed(list(keys))

    def _get_listed(self, keys: list[Key]) -> tuple[dict[Key, bytes], dict[Key, GetResponse]]:
        """``get_values``, which takes ownership of the list."""
        step = Gets(self._manager, self._plain, keys, False, True, self._reader is not None)
        self._complete(step)
        return step.found, step.answers

    def _get_flagged(
        self, keys: list[Any]
    ) -> tuple[dict[Any, bytes], list[Any], dict[Any, GetResponse]]:
        """``_get_listed``, where values with flags are tuples of key, value and flags if they can.

        They are between the values without flags and the responses.
        """
        step = Gets(self._manager, self._plain, keys, False, True, self._reader is not None)
        step.flagged = []
        self._complete(step)
        return step.found, step.flagged, step.answers

    def _many(self, verb: str, things: Iterable[Any], of_items: bool) -> Any:
        return self._mutated(verb, list(things), of_items, False)

    def _mutated(self, verb: str, things: list[Any], of_items: bool, sentinel: bool) -> Any:
        protocol = self._protocol
        command = b"set " if verb == "set_multi" and protocol.is_text and not sentinel else None
        make = getattr(protocol, verb)
        step = Mutations(self._manager, protocol, make, things, of_items, sentinel, command)
        self._complete(step)
        return step.answers

    def set_values(
        self,
        keys: Iterable[Key],
        values: Iterable[bytes],
        flags: Iterable[int] | None = None,
        expire: int = 0,
    ) -> list[MutateResponse]:
        """Set many values in the least time; return an empty list if all were stored.

        `flags` are one a key, or None for 0 each; `expire` is for all. If not all were stored, the
        responses are in the order of the keys, and may lack their tokens.
        """
        names, given, marks = checked_values(keys, values, flags)
        return self._set_listed(names, given, marks, expire)

    def _set_listed(
        self, keys: list[Any], values: list[Any], flags: list[Any] | None, expire: Any
    ) -> list[MutateResponse]:
        """``set_values`` of as many of each, which takes ownership of the lists."""
        step = Values(self._manager, self._plain, keys, values, flags, expire)
        self._complete(step)
        return step.answers

    def set_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, on shards that are WRITE_ONLY or WARM_UP too.

        On one that is WARM_UP, a failure counts as success.
        """
        answers: list[MutateResponse] = self._mutated("set_multi", list(items), True, True)
        return answers

    def cas_sentinels(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items as ``cas_multi`` would, where ``set_sentinels`` does."""
        answers: list[MutateResponse] = self._mutated("cas_multi", list(items), True, True)
        return answers

    def _complete(self, step: Any) -> None:
        goes_on = True
        began = None
        while goes_on:
            if step.visits:
                began = run(self._manager, step.visits, self._timeout, began)
            goes_on = step.take()

    # Whole servers: all that are not DOWN, at once

    def dialects(self) -> dict[str, Dialect]:
        """Return what each server speaks, by address; one that failed has its error."""
        step = Examined(self._manager, self._protocol)
        run(self._manager, step.visits, self._timeout)
        return step.dialects()

    def _all(self, make: Callable[[], Exchange], repeats: bool = False) -> AllShards:
        make()  # raises for wrong arguments, before anything is sent
        step = AllShards(self._manager, make, repeats)
        began = run(self._manager, step.visits, self._timeout)
        lost = step.again()
        if lost:
            run(self._manager, lost, self._timeout, began)
        return step

    def flush(self, expire: int = 0) -> Response:
        """Invalidate every item of every server, `expire` seconds from now."""
        return self._all(lambda: self._protocol.flush(expire)).response()

    def iter_keys(self, by: Walk = "hash") -> Iterator[KeyInfo]:
        """Yield the keys of all servers, prefix and all, as ``Client.iter_keys``."""
        check_walk(by)
        return keys_of(self._manager, getattr(self._manager, "_options", _DEFAULT), by)

    def verbosity(self, level: int) -> Response:
        """Set how much the servers log, if the protocol has ``verbosity``."""
        return self._all(lambda: self._protocol.verbosity(level)).response()

    def version(self) -> VersionResponse:
        """Return the servers' versions; those of servers that failed are missing."""
        return self._all(self._protocol.version, self._reader is not None).versions()

    def stats(self, name: str = "") -> StatsResponse:
        """Return the servers' statistics; those of servers that failed are missing."""
        return self._all(lambda: self._protocol.stats(name)).statistics()


def _response_of(key: Any, answer: Any) -> MutateResponse | None:
    """Return the response to a write that was carried the short way, None if it was done."""
    if type(answer) is tuple:
        return failed_mutate(key, *answer)
    return None if answer == 0 else stored_mutate(key, _STATUSES[answer])


def _unless_done(response: Any) -> MutateResponse | None:
    return None if response.ok else response
