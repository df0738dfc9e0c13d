"""What the three protocols have in common: the set of operations, and batches with bad keys.

A protocol makes exchanges and does no I/O: it imports no socket, no selector and no event loop.
A key that may not go on the wire is an error of the one call that has it alone, and an answer of
its own in a batch, whose other keys go through. Compiled as it stands (``base.pxd``).
"""

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..._forks import begin_again_in_child
from ..._kernels import lasting, wire, wire_request
from ..._kernels._signature import declared
from ..errors import InvalidArgumentError, InvalidTypeError, NotSupportedError, UsageError
from ..keys import by_key
from ..responses import MutateResponse, failed_get, failed_mutate
from ..types import Capabilities, Item, Key, ResponseStatus
from .exchange import (
    CountExchange,
    GetExchange,
    GetManyExchange,
    MutateExchange,
    MutateManyExchange,
    Probe,
    ResponseExchange,
    StatsExchange,
    VersionExchange,
    as_caller_error,
)

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
    from _typeshed import ReadableBuffer
else:
    from ..._kernels import _uncompiled as cython

__all__ = ["Protocol", "Request", "expiry", "ranged"]

# The kernel's, past the module's attributes, to which threads would count references.
_wire_key = wire_request.wire_key
_FAULTY = ResponseStatus.INVALID_ARGUMENTS
# No two processes use one key, so that none can be anybody's: an ASCII probe would replace it.
_NAME = b"godropbox-" + os.urandom(6).hex().encode()

Request = tuple["list[ReadableBuffer]", wire.Reply]


def ranged(name: str, value: object, least: int, limit: int, allowed: str) -> int:
    """Return `value` as an int in [least, limit), or raise an error that says `allowed`."""
    try:
        return wire_request.checked_range(name, value, least, limit, allowed)
    except (TypeError, ValueError) as error:
        raise as_caller_error(error) from None


def expiry(expire: object) -> int:
    """Return `expire` as an int that every server takes.

    From 2**31 on, which is past January 2038 as a Unix time, memcached 1.6.45 refuses it in meta's
    words and in touch and gat, and earlier ones expire the item at once.
    """
    return ranged("expire", expire, -(1 << 31), 1 << 31, "[-2**31, 2**31)")


class _Section:
    """A lock that a thread may take twice: a signal handler may make a request in any section."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        self.lock = threading.RLock()


_SECTION = _Section()


class Protocol:
    """A maker of exchanges; a subclass knows the bytes.

    `prefix` goes before every key, `shard_id` is the number that versions and statistics are
    filed under, `encodes` whether a key looks otherwise on the wire, `is_text` whether it is ASCII.
    `most_line` are the most bytes of a line of keys; it is less from when a server refused one.
    """

    __slots__ = (
        "_admin_probe",
        "_opaque",
        "_probes",
        "capabilities",
        "encodes",
        "is_text",
        "most_line",
        "prefix",
        "probe",
        "set_probe",
        "shard_id",
    )
    __signature__ = declared

    def __init__(
        self,
        capabilities: Capabilities,
        prefix: Key = b"",
        shard_id: int = 0,
        encodes: bool = False,
    ) -> None:
        self.capabilities = capabilities
        self.encodes = encodes
        self.is_text = False
        self.most_line = wire.codes.LINE
        self.prefix = self._wire_prefix(prefix) if prefix else b""
        self.shard_id = shard_id
        # What every command with a key needs, and what those need that have none.
        self.probe: Probe | None = None
        self.set_probe: Probe | None = None  # what ASCII's set of a value with no token needs
        self._admin_probe: Probe | None = None
        self._probes: dict[int, Probe] = {}
        self._opaque = 0  # of the next request, where requests have one
        lasting.shared(self)

    @property
    def _lock(self) -> Any:
        """The lock of critical sections where this is not compiled: one for all."""
        return _SECTION.lock

    def _reserve(self, count: Any) -> int:
        """Return the first of `count` opaques in a row that no other request has yet.

        Before the request is made: the threads that share this have opaques of their own, and so
        has a request that a key's or an item's own code makes meanwhile.
        """
        with cython.critical_section(self):
            first = self._opaque
            self._opaque = (first + count) & 0xFFFFFFFF
        return first

    # What a subclass provides: a request, and the reader of its reply. Each raises a ``TypeError``
    # or a ``ValueError`` for a key or an item that may not be sent.

    def _gets(self, keys: list[Any], prefix: bytes, many: bool) -> Request:
        raise self._lacks("get")

    def _gat(self, key: Key, expire: int) -> Request:
        raise self._lacks("gat")

    def _gats(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        raise self._lacks("gat")

    def _stores(self, verb: str, items: list[Any], prefix: bytes) -> Request:
        raise self._lacks(verb)

    def _deletes(self, keys: list[Any], prefix: bytes) -> Request:
        raise self._lacks("delete")

    def _touch(self, key: Key, expire: int) -> Request:
        raise self._lacks("touch")

    def _touches(self, keys: list[Any], expire: int, prefix: bytes) -> Request:
        raise self._lacks("touch")

    def _count(self, down: bool, key: Key, delta: int, initial: int, expire: int | None) -> Request:
        raise self._lacks("increment")

    def _plain(self, verb: str, number: int) -> Request:
        raise self._lacks(verb)

    def _version(self) -> Request:
        raise self._lacks("version")

    def _stats(self, name: str) -> Request:
        raise self._lacks("stats")

    def _store_probe(self, verb: str, items: Iterable[Any]) -> Probe | None:
        """Return what a server must know before it is sent these items."""
        return self.probe

    def _probe_of(self, kinds: int) -> Probe:
        """Return the probe for kinds of headers, whose key a proxy routes as this client's."""
        probe = self._probes.get(kinds)
        if probe is None:
            # Not replaced once it is there, since another thread may be about to use it.
            probe = self._probes.setdefault(kinds, Probe(kinds, *self._probe_key()))
        return probe

    def _probe_key(self) -> tuple[bytes, bytes]:
        """Return a key that nobody else has, and the flags that go with it in meta."""
        return self.prefix[: 250 - len(_NAME)] + _NAME, b""

    def _lacks(self, operation: str) -> NotSupportedError:
        return NotSupportedError(f"the {self.capabilities.protocol} protocol has no {operation}")

    def _wire_prefix(self, prefix: Key) -> bytes:
        """Return a prefix as it is sent. Raises as ``_wire_key``, with the prefix named."""
        try:
            return self._wire_key(prefix, b"")
        except UsageError as error:
            words = str(error)
            raise type(error)(f"prefix{words.removeprefix('key')}") from None

    def _wire_key(self, key: Key, prefix: bytes) -> bytes:
        """Return a key as it goes on the wire, or raise what is wrong with it."""
        try:
            return _wire_key(key, prefix)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None

    # Reading

    def get(self, key: Key) -> GetExchange:
        """Get one item."""
        try:
            request, reply = self._gets([key], self.prefix, False)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return self._get_exchange(request, reply, key)

    def gat(self, key: Key, expire: int) -> GetExchange:
        """Get one item and give it a new expiry."""
        seconds = expiry(expire)
        try:
            request, reply = self._gat(key, seconds)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return self._get_exchange(request, reply, key)

    def _get_exchange(
        self, request: "list[ReadableBuffer]", reply: wire.Reply, key: Key
    ) -> GetExchange:
        if self.encodes:
            named = self._wire_key(key, self.prefix)
            return GetExchange(request, reply, key, named, b"", self.probe)
        return GetExchange(request, reply, key, key, self.prefix, self.probe)

    def get_multi(self, keys: Iterable[Key]) -> GetManyExchange:
        """Get many items; a key given twice is asked for once."""
        given = list(keys)
        try:
            is_plain = not self.encodes and not wire_request.has_repeats(given)
        except TypeError:  # of a key that cannot be hashed, which is named here
            is_plain = False
        if not is_plain:
            return self._get_sorted_out(by_key(given))
        try:
            request, reply = self._gets(given, self.prefix, True)
        except (TypeError, ValueError):
            return self._get_sorted_out(by_key(given))
        found = wire_request.roomy_dict(len(given))
        return GetManyExchange(request, reply, found, given, self.prefix, None, self.probe)

    def gat_multi(self, keys: Iterable[Key], expire: int) -> GetManyExchange:
        """Get many items and give each a new expiry; a key given twice is asked for once."""
        return self._get_sorted_out(by_key(keys), expiry(expire))

    def _get_sorted_out(self, found: dict[Any, Any], expire: int | None = None) -> GetManyExchange:
        """Get many keys of which some may be bad, or two spellings of one."""
        aliases: dict[bytes, list[Key]] = {}
        for key in found:
            try:
                aliases.setdefault(self._wire_key(key, self.prefix), []).append(key)
            except UsageError as error:
                found[key] = failed_get(key, _FAULTY, error)
        if expire is None:
            request, reply = self._gets(list(aliases), b"", True)
        else:
            request, reply = self._gats(list(aliases), expire, b"")
        return GetManyExchange(request, reply, found, list(aliases), b"", aliases, self.probe)

    # Storing

    def _store(self, verb: str, item: Item) -> MutateExchange:
        try:
            request, reply = self._stores(verb, [item], self.prefix)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return MutateExchange(request, reply, item.key, self._store_probe(verb, (item,)))

    def _store_many(self, verb: str, items: Iterable[Item]) -> MutateManyExchange:
        given = list(items)
        try:
            request, reply = self._stores(verb, given, self.prefix)
            keys = [item.key for item in given]
            return MutateManyExchange(request, reply, keys, None, self._store_probe(verb, given))
        except (AttributeError, TypeError, ValueError):
            pass
        faulty: dict[int, MutateResponse] = {}
        good = []
        for at, item in enumerate(given):
            try:
                self._stores(verb, [item], self.prefix)
                good.append(item)
            except (TypeError, ValueError) as error:
                key = item.key if isinstance(item, Item) else item
                faulty[at] = failed_mutate(key, _FAULTY, as_caller_error(error))
        request, reply = self._stores(verb, good, self.prefix)
        keys = [item.key for item in good]
        return MutateManyExchange(request, reply, keys, faulty, self._store_probe(verb, good))

    def set(self, item: Item) -> MutateExchange:
        """Store an item; if it has a token, only over the item that the token is of."""
        return self._store("set", item)

    def set_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items, each as ``set`` would."""
        return self._store_many("set", items)

    def add(self, item: Item) -> MutateExchange:
        """Store an item if there is none."""
        return self._store("add", item)

    def add_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items, each as ``add`` would."""
        return self._store_many("add", items)

    def replace(self, item: Item) -> MutateExchange:
        """Store an item if there is one."""
        return self._store("replace", item)

    def append(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateExchange:
        """Put `value` after the value that is there; with a token, only if that is its own."""
        return self._store("append", Item(key, value, 0, cas))

    def prepend(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateExchange:
        """Put `value` before the value that is there; with a token, only if that is its own."""
        return self._store("prepend", Item(key, value, 0, cas))

    def cas(self, item: Item) -> MutateExchange:
        """Store an item over the one that its token is of."""
        if isinstance(item, Item) and item.cas == 0:
            raise InvalidArgumentError("cas must be in [1, 2**64) for a cas, got 0")
        return self._store("set", item)

    def cas_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        return self._store_many("cas or add", items)

    # Deleting and touching

    def delete(self, key: Key) -> MutateExchange:
        """Delete an item."""
        try:
            request, reply = self._deletes([key], self.prefix)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return MutateExchange(request, reply, key, self.probe)

    def delete_multi(self, keys: Iterable[Key]) -> MutateManyExchange:
        """Delete many items; the answers are in the order of the keys."""
        return self._mutate_keys(keys, self._deletes)

    def touch_multi(self, keys: Iterable[Key], expire: int) -> MutateManyExchange:
        """Give many items a new expiry; the answers are in the order of the keys."""
        seconds = expiry(expire)
        return self._mutate_keys(keys, lambda some, prefix: self._touches(some, seconds, prefix))

    def _mutate_keys(
        self, keys: Iterable[Key], make: Callable[[list[Any], bytes], Request]
    ) -> MutateManyExchange:
        given = list(keys)
        try:
            request, reply = make(given, self.prefix)
            return MutateManyExchange(request, reply, given, None, self.probe)
        except (TypeError, ValueError):
            pass
        faulty: dict[int, MutateResponse] = {}
        good, wire_keys = [], []
        for at, key in enumerate(given):
            try:
                wire_keys.append(self._wire_key(key, self.prefix))
                good.append(key)
            except UsageError as error:
                faulty[at] = failed_mutate(key, _FAULTY, error)
        request, reply = make(wire_keys, b"")
        return MutateManyExchange(request, reply, good, faulty, self.probe)

    def touch(self, key: Key, expire: int) -> MutateExchange:
        """Give an item a new expiry."""
        seconds = expiry(expire)
        try:
            request, reply = self._touch(key, seconds)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        return MutateExchange(request, reply, key, self.probe)

    # Counting

    def increment(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountExchange:
        """Add to a counter, modulo 2**64; `expire` None leaves a missing counter missing."""
        return self._counting(False, key, delta, initial, expire)

    def decrement(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountExchange:
        """Take from a counter, to 0 at the least."""
        return self._counting(True, key, delta, initial, expire)

    def _counting(
        self, down: bool, key: Key, delta: int, initial: int, expire: int | None
    ) -> CountExchange:
        by = ranged("delta", delta, 0, 1 << 64, "[0, 2**64)")
        start = ranged("initial", initial, 0, 1 << 64, "[0, 2**64)")
        seconds = None if expire is None else expiry(expire)
        if seconds is not None and not self.capabilities.increment_creates:
            raise self._lacks("counter that is made by counting: expire must be None")
        try:
            request, reply = self._count(down, key, by, start, seconds)
        except (TypeError, ValueError) as error:
            raise as_caller_error(error) from None
        in_value = self.capabilities.stale_while_revalidate
        return CountExchange(request, reply, key, in_value, self.probe)

    # The server as a whole

    def flush(self, expire: int = 0) -> ResponseExchange:
        """Invalidate every item, `expire` seconds from now."""
        seconds = ranged("expire", expire, 0, 1 << 31, "[0, 2**31)")
        return ResponseExchange(*self._plain("flush", seconds), self._admin_probe)

    def verbosity(self, level: int) -> ResponseExchange:
        """Set how much the server logs."""
        number = ranged("level", level, 0, 1 << 31, "[0, 2**31)")
        if not self.capabilities.verbosity:
            raise self._lacks("verbosity")
        return ResponseExchange(*self._plain("verbosity", number), self._admin_probe)

    def quit(self) -> ResponseExchange:
        """Ask the server to close the connection."""
        return ResponseExchange(*self._plain("quit", 0))

    def version(self) -> VersionExchange:
        """Ask for the server's version."""
        return VersionExchange(*self._version(), self.shard_id)

    def examine(self) -> list[Any]:
        """Return the exchanges that show which dialect a server speaks, see ``dialect_of``."""
        return [self.version()]

    def stats(self, name: str = "") -> StatsExchange:
        """Ask for the server's statistics, of the group `name` if one is given."""
        if not isinstance(name, str):
            raise InvalidTypeError(f"name must be a str, got {name!r}")
        if not name.isascii() or (not name.replace(" ", "a").isalnum() and name):
            raise InvalidArgumentError(
                f"name must be of ASCII letters, digits and spaces, got {name!r}"
            )
        return StatsExchange(*self._stats(name), self.shard_id, self._admin_probe)
