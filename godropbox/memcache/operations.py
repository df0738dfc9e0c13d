"""The operations on memcached, each once, for every client. No I/O.

A client says how an exchange is carried: ``_one`` for one key, ``_many`` for a batch, ``_all`` for
whole servers. Compiled as it stands (``operations.pxd``).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from .protocol.base import Protocol
from .protocol.exchange import Exchange
from .types import Capabilities, Item, Key

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .responses import (
        CountResponse,
        GetResponse,
        MutateResponse,
        Response,
        StatsResponse,
        VersionResponse,
    )

__all__ = ["Operations"]


class Operations:
    """What every client can do: a response for one key, a response for each key of a batch.

    An argument that cannot be sent raises a ``UsageError`` for one key, and is the error of its own
    response in a batch.
    """

    __slots__ = ("_protocol",)
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    @property
    def protocol(self) -> Protocol:
        """What makes the exchanges."""
        return self._protocol

    @property
    def capabilities(self) -> Capabilities:
        """What the protocol can do."""
        return self._protocol.capabilities

    # What a client provides

    def _one(self, key: Any, exchange: Exchange) -> Any:
        """Return the result of an exchange with one key."""
        raise NotImplementedError

    def _many(self, verb: str, things: Iterable[Any], of_items: bool) -> Any:
        """Return the results of the operation `verb` on many items or keys, in their order."""
        raise NotImplementedError

    def _all(self, make: Callable[[], Exchange]) -> Any:
        """Return the result of an exchange with whole servers."""
        raise NotImplementedError

    # One key

    def run(self, key: Key, make: Callable[[Any, Key], Exchange]) -> Any:
        """Return the result of the exchange that ``make(protocol, key)`` gives.

        This is the way to what one protocol alone can do: ``MetaProtocol.meta_get`` and the like.
        """
        return self._one(key, make(self._protocol, key))

    def get(self, key: Key) -> "GetResponse":
        """Get one item; a miss is an answer, not an error."""
        response: GetResponse = self._one(key, self._protocol.get(key))
        return response

    def gat(self, key: Key, expire: int) -> "GetResponse":
        """Get one item and give it a new expiry."""
        response: GetResponse = self._one(key, self._protocol.gat(key, expire))
        return response

    def set(self, item: Item) -> "MutateResponse":
        """Store an item; if it has a token, only over the item with that token."""
        return self._store(item, self._protocol.set(item))

    def add(self, item: Item) -> "MutateResponse":
        """Store an item if there is none."""
        return self._store(item, self._protocol.add(item))

    def replace(self, item: Item) -> "MutateResponse":
        """Store an item if there is one."""
        return self._store(item, self._protocol.replace(item))

    def cas(self, item: Item) -> "MutateResponse":
        """Store an item over the one with its token: KEY_EXISTS if that was changed."""
        return self._store(item, self._protocol.cas(item))

    def _store(self, item: Item, exchange: Exchange) -> "MutateResponse":
        response: MutateResponse = self._one(item.key, exchange)
        return response

    def append(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> "MutateResponse":
        """Put `value` after the stored value; with a token, only if that is the item's own."""
        response: MutateResponse = self._one(key, self._protocol.append(key, value, cas))
        return response

    def prepend(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> "MutateResponse":
        """Put `value` before the stored value; with a token, only if that is the item's own."""
        response: MutateResponse = self._one(key, self._protocol.prepend(key, value, cas))
        return response

    def delete(self, key: Key) -> "MutateResponse":
        """Delete an item."""
        response: MutateResponse = self._one(key, self._protocol.delete(key))
        return response

    def touch(self, key: Key, expire: int) -> "MutateResponse":
        """Give an item a new expiry."""
        response: MutateResponse = self._one(key, self._protocol.touch(key, expire))
        return response

    def increment(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> "CountResponse":
        """Add `delta` to a counter, modulo 2**64.

        With `expire` None a missing counter is an answer, KEY_NOT_FOUND; otherwise it is made with
        the value `initial`, if the protocol's ``increment_creates``.
        """
        exchange = self._protocol.increment(key, delta, initial, expire)
        response: CountResponse = self._one(key, exchange)
        return response

    def decrement(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> "CountResponse":
        """Take `delta` from a counter, to 0 at the least; otherwise like ``increment``."""
        exchange = self._protocol.decrement(key, delta, initial, expire)
        response: CountResponse = self._one(key, exchange)
        return response

    # Many keys

    def get_multi(self, keys: Iterable[Key]) -> "Mapping[Key, GetResponse]":
        """Get many items: a response for every key, under the key as it was given."""
        raise NotImplementedError

    def gat_multi(self, keys: Iterable[Key], expire: int) -> "Mapping[Key, GetResponse]":
        """Get many items and give each a new expiry; the responses are as those of a get."""
        raise NotImplementedError

    def touch_multi(self, keys: Iterable[Key], expire: int) -> "list[MutateResponse]":
        """Give many items a new expiry; the responses are in the order of the keys."""
        raise NotImplementedError

    def set_multi(self, items: Iterable[Item]) -> "list[MutateResponse]":
        """Store many items, each as ``set`` would; the responses are in the order of the items."""
        responses: list[MutateResponse] = self._many("set_multi", items, True)
        return responses

    def add_multi(self, items: Iterable[Item]) -> "list[MutateResponse]":
        """Store many items, each as ``add`` would."""
        responses: list[MutateResponse] = self._many("add_multi", items, True)
        return responses

    def cas_multi(self, items: Iterable[Item]) -> "list[MutateResponse]":
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        responses: list[MutateResponse] = self._many("cas_multi", items, True)
        return responses

    def delete_multi(self, keys: Iterable[Key]) -> "list[MutateResponse]":
        """Delete many items; the responses are in the order of the keys."""
        responses: list[MutateResponse] = self._many("delete_multi", keys, False)
        return responses

    # Whole servers

    def flush(self, expire: int = 0) -> "Response":
        """Invalidate every item, `expire` seconds from now."""
        response: Response = self._all(lambda: self._protocol.flush(expire))
        return response

    def stats(self, name: str = "") -> "StatsResponse":
        """Return the server's statistics, of the group `name` if one is given."""
        response: StatsResponse = self._all(lambda: self._protocol.stats(name))
        return response

    def version(self) -> "VersionResponse":
        """Return the server's version."""
        response: VersionResponse = self._all(self._protocol.version)
        return response

    def verbosity(self, level: int) -> "Response":
        """Set how much the server logs, if the protocol has ``verbosity``."""
        response: Response = self._all(lambda: self._protocol.verbosity(level))
        return response
