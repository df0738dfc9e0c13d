"""In-memory memcached for tests: the operations of the raw clients, without a server.

It behaves as memcached 1.6 does over the meta protocol. The test provides its clock and can make
gets miss and operations fail.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .._forks import begin_again_in_child
from .._kernels import lasting
from .._kernels._identity import refuse_copies
from .errors import ClientClosedError, InvalidArgumentError, InvalidTypeError, ServerError
from .keys import by_key
from .protocol.base import expiry, ranged
from .protocol.dump import KeyInfo, Walk, check_walk
from .protocol.meta import MetaProtocol
from .responses import (
    CountResponse,
    GetResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
    failed_get,
    failed_mutate,
    one_get,
    stored_mutate,
)
from .types import Capabilities, Item, Key, ResponseStatus

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["MockClient"]

_OK = ResponseStatus.OK
_MISS = ResponseStatus.KEY_NOT_FOUND
_NOT_STORED = ResponseStatus.ITEM_NOT_STORED
_MONTH = 60 * 60 * 24 * 30
_LIMIT = 1024 * 1024
_HEADER = 56  # bytes of an item beside its key and its value
# What memcached accepts as a counter, which it parses with strtoull.
_NUMBER = re.compile(rb"[\t-\r ]*\+?([0-9]+)(?:[\t-\r ]|\Z)")


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    flags: int
    cas: int
    expires: float | None  # on the mock's clock


class MockClient:
    """Client and server in one object.

    `clock` returns seconds since 1970. `miss_all_gets` makes every get a miss, `fail_all_sets`
    fails every store with INTERNAL_ERROR, `fail_everything` fails every operation; all three are
    attributes that may be changed at any time.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        shard_id: int = 0,
        prefix: Key = b"",
        miss_all_gets: bool = False,
        fail_all_sets: bool = False,
        fail_everything: bool = False,
    ) -> None:
        self.miss_all_gets = miss_all_gets
        self.fail_all_sets = fail_all_sets
        self.fail_everything = fail_everything
        self.is_valid = True
        self._protocol = MetaProtocol(prefix, shard_id)
        self._clock = clock
        self._entries: dict[bytes, _Entry] = lasting.shared({})
        self._last_cas = 0
        self._flush_at: float | None = None
        self._forked()
        begin_again_in_child(self)
        lasting.shared(self)

    def _forked(self) -> None:
        """Create the lock; called again in the child of a fork."""
        self._lock = threading.RLock()

    @property
    def shard_id(self) -> int:
        """The shard id under which versions and statistics are returned."""
        return self._protocol.shard_id

    @property
    def capabilities(self) -> Capabilities:
        """Capabilities of the meta protocol without leases, stale items and binary keys."""
        return replace(self._protocol.capabilities, stale_while_revalidate=False)

    def disconnect_all(self) -> None:
        """Do nothing: there are no connections."""

    def close(self) -> None:
        """Drop all items and become invalid."""
        self.is_valid = False
        self._entries.clear()

    # State

    def _key(self, key: Key) -> bytes:
        """Return the key as sent on the wire; raise the same errors as the raw clients."""
        if not self.is_valid:
            raise ClientClosedError("the client was closed")
        return self._protocol._wire_key(key, self._protocol.prefix)

    def _find(self, name: bytes) -> _Entry | None:
        now = self._clock()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush_at = None
            self._entries.clear()
        entry = self._entries.get(name)
        if entry is not None and entry.expires is not None and now >= entry.expires:
            del self._entries[name]
            return None
        return entry

    def _expires(self, expire: int) -> float | None:
        if expire == 0:
            return None
        if expire < 0:
            return float("-inf")
        return expire if expire > _MONTH else self._clock() + expire

    def _put(self, name: bytes, value: bytes, flags: int, expires: float | None) -> int:
        self._last_cas += 1
        self._entries[lasting.findable(name)] = _Entry(value, flags, self._last_cas, expires)
        return self._last_cas

    def _failure(self) -> ServerError:
        status = ResponseStatus.INTERNAL_ERROR
        return ServerError("SERVER_ERROR the mock is set to fail", status=status)

    # Reading

    def _get(self, key: Key, expire: int | None = None) -> GetResponse:
        with self._lock:
            name = self._key(key)
            if self.fail_everything:
                return failed_get(key, ResponseStatus.INTERNAL_ERROR, self._failure())
            entry = self._find(name)
            if entry is None or self.miss_all_gets:
                return one_get(key, None, 0, 0)
            if expire is not None:
                self._entries[name] = replace(entry, expires=self._expires(expire))
            return one_get(key, entry.value, entry.flags, entry.cas)

    def get(self, key: Key) -> GetResponse:
        """Get one item; a miss is a status, not an error."""
        name = self._key(key)
        entry = self._entries.get(name)
        # What is neither missing nor due to be removed is read without the lock, in one step.
        if (
            entry is None
            or entry.expires is not None
            or self._flush_at is not None
            or self.miss_all_gets
            or self.fail_everything
        ):
            return self._get(key)
        return one_get(key, entry.value, entry.flags, entry.cas)

    def gat(self, key: Key, expire: int) -> GetResponse:
        """Get one item and set its expiry."""
        return self._get(key, expiry(expire))

    def get_multi(self, keys: Iterable[Key]) -> Mapping[Key, GetResponse]:
        """Get many items: an answer for every key, under the key as it was given."""
        found: dict[Key, GetResponse] = by_key(keys)
        for key in found:
            try:
                found[key] = self.get(key)
            except (InvalidArgumentError, InvalidTypeError) as error:
                found[key] = failed_get(key, ResponseStatus.INVALID_ARGUMENTS, error)
        return found

    def gat_multi(self, keys: Iterable[Key], expire: int) -> Mapping[Key, GetResponse]:
        """Get many items and set the expiry of each."""
        seconds = expiry(expire)
        found: dict[Key, GetResponse] = by_key(keys)
        for key in found:
            try:
                found[key] = self._get(key, seconds)
            except (InvalidArgumentError, InvalidTypeError) as error:
                found[key] = failed_get(key, ResponseStatus.INVALID_ARGUMENTS, error)
        return found

    # Storing

    def _store(self, verb: str, item: Item) -> MutateResponse:
        # Build the real request, so that bad arguments raise the same errors.
        self._protocol._store("set" if verb == "cas or add" else verb, item)
        if verb == "cas or add":
            verb = "set" if item.cas else "add"
        with self._lock:
            name = self._key(item.key)
            status = self._refusal(item)
            if status is not None:
                words = self._failure()
                if status is ResponseStatus.VALUE_TOO_LARGE:
                    # memcached also deletes the old value, so that it is not read as current.
                    self._entries.pop(name, None)
                    words = ServerError("SERVER_ERROR object too large for cache", status=status)
                return failed_mutate(item.key, status, words)
            entry = self._find(name)
            if entry is None and (item.cas or verb == "replace"):
                return stored_mutate(item.key, _MISS if item.cas else _NOT_STORED)
            if entry is not None and item.cas and item.cas != entry.cas:
                return stored_mutate(item.key, ResponseStatus.KEY_EXISTS)
            if verb in ("append", "prepend"):
                return self._extend(verb, item, name, entry)
            if verb == "add" and entry is not None:
                return stored_mutate(item.key, _NOT_STORED)
            value = bytes(memoryview(item.value))
            cas = self._put(name, value, item.flags, self._expires(item.expire))
            return stored_mutate(item.key, _OK, cas)

    def _refusal(self, item: Item) -> ResponseStatus | None:
        if self.fail_everything or self.fail_all_sets:
            return ResponseStatus.INTERNAL_ERROR
        if memoryview(item.value).nbytes > _LIMIT - 512:  # an item's overhead
            return ResponseStatus.VALUE_TOO_LARGE
        return None

    def _extend(self, verb: str, item: Item, name: bytes, entry: _Entry | None) -> MutateResponse:
        if entry is None:
            return stored_mutate(item.key, _NOT_STORED)
        more = bytes(memoryview(item.value))
        value = entry.value + more if verb == "append" else more + entry.value
        return stored_mutate(item.key, _OK, self._put(name, value, entry.flags, entry.expires))

    def _store_many(self, verb: str, items: Iterable[Item]) -> list[MutateResponse]:
        responses = []
        for item in items:
            try:
                responses.append(self._store(verb, item))
            except (InvalidArgumentError, InvalidTypeError) as error:
                key = item.key if isinstance(item, Item) else item
                responses.append(failed_mutate(key, ResponseStatus.INVALID_ARGUMENTS, error))
        return responses

    def set(self, item: Item) -> MutateResponse:
        """Store an item; with a CAS token, only if the stored item still has that token."""
        return self._store("set", item)

    def set_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items as ``set`` does."""
        return self._store_many("set", items)

    def add(self, item: Item) -> MutateResponse:
        """Store an item if the key is absent."""
        return self._store("add", item)

    def add_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items as ``add`` does."""
        return self._store_many("add", items)

    def replace(self, item: Item) -> MutateResponse:
        """Store an item if the key is present."""
        return self._store("replace", item)

    def append(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateResponse:
        """Append to the stored value; with `cas`, only if the item has that CAS token."""
        return self._store("append", Item(key, value, 0, cas))

    def prepend(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateResponse:
        """Prepend to the stored value; with `cas`, only if the item has that CAS token."""
        return self._store("prepend", Item(key, value, 0, cas))

    def cas(self, item: Item) -> MutateResponse:
        """Store an item if the stored one still has its CAS token; KEY_EXISTS if it changed."""
        self._protocol.cas(item)
        return self._store("set", item)

    def cas_multi(self, items: Iterable[Item]) -> list[MutateResponse]:
        """Store many items: those with a CAS token as ``cas`` does, the others as ``add`` does."""
        return self._store_many("cas or add", items)

    # Deleting, touching, counting

    def delete(self, key: Key) -> MutateResponse:
        """Delete an item; KEY_NOT_FOUND if the key is absent."""
        with self._lock:
            name = self._key(key)
            if self.fail_everything:
                return failed_mutate(key, ResponseStatus.INTERNAL_ERROR, self._failure())
            if self._find(name) is None:
                return stored_mutate(key, _MISS)
            del self._entries[name]
            return stored_mutate(key, _OK)

    def delete_multi(self, keys: Iterable[Key]) -> list[MutateResponse]:
        """Delete many items; responses are in the order of the keys."""
        responses = []
        for key in keys:
            try:
                responses.append(self.delete(key))
            except (InvalidArgumentError, InvalidTypeError) as error:
                responses.append(failed_mutate(key, ResponseStatus.INVALID_ARGUMENTS, error))
        return responses

    def touch(self, key: Key, expire: int) -> MutateResponse:
        """Set the expiry of an item."""
        seconds = expiry(expire)
        with self._lock:
            name = self._key(key)
            if self.fail_everything:
                return failed_mutate(key, ResponseStatus.INTERNAL_ERROR, self._failure())
            entry = self._find(name)
            if entry is None:
                return stored_mutate(key, _MISS)
            self._entries[name] = replace(entry, expires=self._expires(seconds))
            return stored_mutate(key, _OK)

    def touch_multi(self, keys: Iterable[Key], expire: int) -> list[MutateResponse]:
        """Set the expiry of many items; responses are in the order of the keys."""
        seconds = expiry(expire)
        responses = []
        for key in keys:
            try:
                responses.append(self.touch(key, seconds))
            except (InvalidArgumentError, InvalidTypeError) as error:
                responses.append(failed_mutate(key, ResponseStatus.INVALID_ARGUMENTS, error))
        return responses

    def increment(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountResponse:
        """Add `delta` modulo 2**64; with `expire`, create a missing counter as `initial`."""
        self._protocol.increment(key, delta, initial, expire)
        return self._count(key, delta, initial, expire)

    def decrement(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountResponse:
        """Subtract `delta`, stopping at 0; otherwise like ``increment``."""
        self._protocol.decrement(key, delta, initial, expire)
        return self._count(key, -delta, initial, expire)

    def _count(self, key: Key, change: int, initial: int, expire: int | None) -> CountResponse:
        with self._lock:
            name = self._key(key)
            if self.fail_everything:
                return CountResponse(key, ResponseStatus.INTERNAL_ERROR, 0, self._failure())
            entry = self._find(name)
            if entry is None:
                if expire is None:
                    return CountResponse(key, _MISS)
                self._put(name, b"%d" % initial, 0, self._expires(expire))
                return CountResponse(key, _OK, initial)
            digits = _NUMBER.match(entry.value)
            if digits is None or int(digits[1]) >> 64:
                status = ResponseStatus.NON_NUMERIC_VALUE
                words = "CLIENT_ERROR cannot increment or decrement non-numeric value"
                return CountResponse(key, status, 0, ServerError(words, status=status))
            count = max(int(digits[1]) + change, 0) % (1 << 64)
            # memcached overwrites a value that is long enough in place and keeps its length.
            value = (b"%d" % count).ljust(len(entry.value))
            self._put(name, value, entry.flags, entry.expires)
            return CountResponse(key, _OK, count)

    # The server as a whole

    def _respond(self) -> Response:
        if not self.is_valid:
            raise ClientClosedError("the client was closed")
        if self.fail_everything:
            return Response(ResponseStatus.INTERNAL_ERROR, self._failure())
        return Response(_OK)

    def flush(self, expire: int = 0) -> Response:
        """Invalidate all items, `expire` seconds from now."""
        seconds = ranged("expire", expire, 0, 1 << 31, "[0, 2**31)")
        with self._lock:
            response = self._respond()
            if response.ok:
                when = self._expires(seconds)
                self._flush_at = self._clock() if when is None else when
                self._find(b"")
            return response

    def version(self) -> VersionResponse:
        """Return the mock's version, ``1.6.0-mock``."""
        response = self._respond()
        versions = {self.shard_id: "1.6.0-mock"} if response.ok else {}
        return VersionResponse(response.status, versions, response.error)

    def stats(self, name: str = "") -> StatsResponse:
        """Return ``curr_items``, ``version`` and ``maxbytes``."""
        self._protocol.stats(name)
        response = self._respond()
        if not response.ok:
            return StatsResponse(response.status, {}, response.error)
        with self._lock:
            count = sum(self._find(key) is not None for key in list(self._entries))
        entries = {"curr_items": str(count), "version": "1.6.0-mock", "maxbytes": str(64 << 20)}
        return StatsResponse(_OK, {self.shard_id: entries})

    def iter_keys(self, by: Walk = "hash") -> Iterator[KeyInfo]:
        """Yield the keys of all items; when they were last read is not kept."""
        check_walk(by)
        self._respond()
        return self._infos()

    def _infos(self) -> Iterator[KeyInfo]:
        for name in list(self._entries):
            with self._lock:
                entry = self._find(name)
            if entry is not None:
                size = _HEADER + len(name) + len(entry.value)
                until = None if entry.expires is None else int(entry.expires)
                yield KeyInfo(name, self.shard_id, until, 0, entry.cas, size, 1, False, entry.flags)

    def verbosity(self, level: int) -> Response:
        """Check `level` and do nothing."""
        self._protocol.verbosity(level)
        return self._respond()

    def quit(self) -> Response:
        """Close the client."""
        response = self._respond()
        self.close()
        return response
