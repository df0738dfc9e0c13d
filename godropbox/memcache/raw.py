"""Raw clients: one protocol over one connection, one operation at a time.

What each operation does is told in ``protocol``, and how it is driven in ``connection``. Compiled
as it stands (``raw.pxd``).
"""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from .connection import Channel, Connection, Seconds
from .protocol.base import Protocol
from .protocol.chunks import key_chunks, mutation_chunks
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
    from _typeshed import ReadableBuffer

__all__ = ["RawClient"]


class RawClient(Connection):
    """A connection that speaks one protocol. `prefix` goes before every key."""

    __slots__ = ("_protocol",)

    def __init__(self, channel: Channel, protocol: Protocol, timeout: Seconds = None) -> None:
        Connection.__init__(self, channel, timeout)
        self._protocol = protocol

    @property
    def shard_id(self) -> int:
        """The number that this server's versions and statistics are filed under."""
        return self._protocol.shard_id

    @property
    def capabilities(self) -> Capabilities:
        """What the protocol can do."""
        return self._protocol.capabilities

    def __repr__(self) -> str:
        state = "valid" if self.is_valid else "invalid"
        return f"<{type(self).__name__} of shard {self.shard_id}: {state}>"

    # Batches

    def _run_batch(
        self, make: Callable[..., Any], things: Iterable[Any], parts: Callable[[Any], Any]
    ) -> Any:
        """Run a batch: at once where sending and receiving interleave, and in parts otherwise."""
        if self._line is not None:
            return self._run(make, things)
        deadline = self._take_turn()
        try:
            if deadline is None and self._timeout is not None:
                deadline = monotonic() + self._timeout
            result: Any = None
            for part in parts(things):
                answers = self._see_through(make(part), deadline)
                if result is None:
                    result = answers
                else:
                    (result.update if isinstance(result, dict) else result.extend)(answers)
            return result
        finally:
            self._lock.release()

    def _key_chunks(self, keys: Iterable[Key]) -> list[list[Key]]:
        return key_chunks(self._protocol, keys)

    def _mutation_chunks(self, things: Iterable[Any]) -> list[list[Any]]:
        return mutation_chunks(things, self._plain)

    # Operations; what each does is told once more and in full in ``protocol``

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is an answer, not an error."""
        response: GetResponse = self._run(self._protocol.get, key)
        return response

    def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: an answer for every key, under the key as it was given."""
        responses: Mapping[Key, GetResponse] = self._run_batch(
            self._protocol.get_multi, keys, self._key_chunks
        )
        return responses

    def gat(self, key: Key, expire: Int) -> GetResponse:
        """Get one item and give it a new expiry."""
        response: GetResponse = self._run(self._protocol.gat, key, expire)
        return response

    def set(self, item: Item) -> MutateResponse:
        """Store an item; if it has a token, only over the item that the token is of."""
        response: MutateResponse = self._run(self._protocol.set, item)
        return response

    def set_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``set`` would; the answers are in the order of the items."""
        return self._mutate_many(self._protocol.set_multi, items)

    def add(self, item: Item) -> MutateResponse:
        """Store an item if there is none."""
        response: MutateResponse = self._run(self._protocol.add, item)
        return response

    def add_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items, each as ``add`` would."""
        return self._mutate_many(self._protocol.add_multi, items)

    def replace(self, item: Item) -> MutateResponse:
        """Store an item if there is one."""
        response: MutateResponse = self._run(self._protocol.replace, item)
        return response

    def append(self, key: Key, value: "ReadableBuffer", cas: Int = 0) -> MutateResponse:
        """Put `value` after the value that is there; with a token, only if that is its own."""
        response: MutateResponse = self._run(self._protocol.append, key, value, cas)
        return response

    def prepend(self, key: Key, value: "ReadableBuffer", cas: Int = 0) -> MutateResponse:
        """Put `value` before the value that is there; with a token, only if that is its own."""
        response: MutateResponse = self._run(self._protocol.prepend, key, value, cas)
        return response

    def cas(self, item: Item) -> MutateResponse:
        """Store an item over the one that its token is of: KEY_EXISTS if that was changed."""
        response: MutateResponse = self._run(self._protocol.cas, item)
        return response

    def cas_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        return self._mutate_many(self._protocol.cas_multi, items)

    def delete(self, key: Key) -> MutateResponse:
        """Delete an item."""
        response: MutateResponse = self._run(self._protocol.delete, key)
        return response

    def delete_multi(self, keys: Iterable[Key]) -> list[MutateResponse]:
        """Delete many items; the answers are in the order of the keys."""
        return self._mutate_many(self._protocol.delete_multi, keys)

    def _mutate_many(self, make: Callable[..., Any], things: Iterable[Any]) -> list[MutateResponse]:
        responses: list[MutateResponse] = self._run_batch(make, things, self._mutation_chunks)
        return responses

    def touch(self, key: Key, expire: Int) -> MutateResponse:
        """Give an item a new expiry."""
        response: MutateResponse = self._run(self._protocol.touch, key, expire)
        return response

    def increment(
        self, key: Key, delta: Int = 1, initial: Int = 0, expire: Int | None = None
    ) -> CountResponse:
        """Add `delta` to a counter, modulo 2**64.

        With `expire` None a missing counter is an answer, KEY_NOT_FOUND; otherwise it is made,
        with the value `initial`, where the protocol's ``increment_creates``.
        """
        response: CountResponse = self._run(self._protocol.increment, key, delta, initial, expire)
        return response

    def decrement(
        self, key: Key, delta: Int = 1, initial: Int = 0, expire: Int | None = None
    ) -> CountResponse:
        """Take `delta` from a counter, to 0 at the least; otherwise like ``increment``."""
        response: CountResponse = self._run(self._protocol.decrement, key, delta, initial, expire)
        return response

    def flush(self, expire: Int = 0) -> Response:
        """Invalidate every item, `expire` seconds from now."""
        response: Response = self._run(self._protocol.flush, expire)
        return response

    def stats(self, name: Text = "") -> StatsResponse:
        """Ask for the server's statistics, of the group `name` if one is given."""
        response: StatsResponse = self._run(self._protocol.stats, name)
        return response

    def version(self) -> VersionResponse:
        """Ask for the server's version."""
        response: VersionResponse = self._run(self._protocol.version)
        return response

    def verbosity(self, level: Int) -> Response:
        """Set how much the server logs, where the protocol has ``verbosity``."""
        response: Response = self._run(self._protocol.verbosity, level)
        return response

    def quit(self) -> Response:
        """Ask the server to close the connection, and close it."""
        try:
            response: Response = self._run(self._protocol.quit)
        finally:
            self.close()
        return response
