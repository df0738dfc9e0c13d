"""The protocol that a server is found to know: meta where it has that, else ASCII. No I/O.

Each exchange is one of meta, with a ``Choice`` in the place of its probe. The connection's first
probe decides: if the server does not know meta commands, what the choice has in ASCII's words goes
out instead (``talk``). Nothing of the first form has been sent by then. What ASCII has no words for
is refused with a ``NotSupportedError`` that names the server. Compiled as it stands.
"""

from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..responses import StatsResponse
from ..types import Dialect, Item, Key
from .ascii import AsciiProtocol
from .exchange import (
    CountExchange,
    Exchange,
    GetExchange,
    GetManyExchange,
    MetaGetExchange,
    MutateExchange,
    MutateManyExchange,
    Probe,
)
from .meta import MetaProtocol
from .probe import is_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

__all__ = ["AutoProtocol", "Choice", "Seen", "dialect_of"]

_TRUSTED = 60.0  # seconds for which a server is taken to be still without meta
# The versions of memcached from which on meta has these; see ``probe``.
_OF_LATER_META = {"delete by token": (1, 6, 13), "new_cas": (1, 6, 27)}


class Choice(Probe):
    """A probe of an exchange that may be made in ASCII's words instead.

    `needs` says what needs meta, where there is no such exchange.
    """

    __slots__ = ("_args", "_plain", "_verb", "needs")

    def _set_up(
        self, probe: Any, plain: AsciiProtocol, verb: str, args: tuple[Any, ...], needs: str
    ) -> Any:
        """Be new, in less time than an ``__init__`` takes."""
        self.kinds = probe.kinds
        self.key = probe.key
        self.flags = probe.flags
        self._plain = plain
        self._verb = verb
        self._args = args
        self.needs = needs
        return self

    def other(self) -> Exchange:
        """Return the exchange in ASCII's words."""
        exchange: Exchange = getattr(self._plain, self._verb)(*self._args)
        return exchange


class Seen:
    """What the last connection showed of one server: the version of one without meta.

    `clock` counts seconds. It is trusted for a minute: a proxy may tell the version of what is
    behind it, and be replaced by that.
    """

    __slots__ = ("_clock", "_without")

    def __init__(self, clock: "Callable[[], float]" = monotonic) -> None:
        self._clock = clock
        self._without: tuple[str | None, float] | None = None  # replaced as a whole

    def without_meta(self, version: str | None) -> None:
        """Note that a server of this version does not know meta commands."""
        self._without = version, self._clock() + _TRUSTED

    def with_meta(self) -> None:
        """Note that the server knows meta commands."""
        self._without = None

    def version_without_meta(self) -> str | None:
        """Return the version for which meta commands need not be tried, None if there is none."""
        without = self._without
        return without[0] if without is not None and self._clock() < without[1] else None


class AutoProtocol(MetaProtocol):
    """Factory of exchanges in the meta protocol, in ASCII's where the server does not know meta.

    Of memcached, that is before 1.6.10. Over a connection that is closed by the first meta command,
    as nutcracker does, a fleet's clients make another; a raw client cannot.
    """

    __slots__ = ("plain",)

    def __init__(self, prefix: Key = b"", shard_id: int = 0) -> None:
        MetaProtocol.__init__(self, prefix, shard_id)
        self.capabilities = replace(self.capabilities, protocol="auto")
        self.plain = AsciiProtocol(prefix, shard_id)

    def _chosen(self, exchange: Any, verb: str, args: tuple[Any, ...], needs: str = "") -> Any:
        """Return an exchange of meta that may be that of ASCII's method `verb` instead."""
        choice = Choice.__new__(Choice)
        exchange.probe = choice._set_up(exchange.probe, self.plain, verb, args, needs)
        return exchange

    def get(self, key: Key) -> GetExchange:
        """Get one item."""
        exchange: GetExchange = self._chosen(MetaProtocol.get(self, key), "get", (key,))
        return exchange

    def gat(self, key: Key, expire: int) -> GetExchange:
        """Get one item and give it a new expiry, which proxies do not know in ASCII's words."""
        made = MetaProtocol.gat(self, key, expire)
        exchange: GetExchange = self._chosen(made, "", (), "gat")
        return exchange

    def get_multi(self, keys: Iterable[Key]) -> GetManyExchange:
        """Get many items; a key given twice is asked for once."""
        given = list(keys)
        made = MetaProtocol.get_multi(self, given)
        exchange: GetManyExchange = self._chosen(made, "get_multi", (given,))
        return exchange

    def gat_multi(self, keys: Iterable[Key], expire: int) -> GetManyExchange:
        """Get many items and give each a new expiry, as ``gat``."""
        made = MetaProtocol.gat_multi(self, keys, expire)
        exchange: GetManyExchange = self._chosen(made, "", (), "gat_multi")
        return exchange

    def set(self, item: Item) -> MutateExchange:
        """Store an item; if it has a token, only over the item that the token is of."""
        exchange: MutateExchange = self._chosen(MetaProtocol.set(self, item), "set", (item,))
        return exchange

    def set_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items, each as ``set`` would."""
        given = list(items)
        made = MetaProtocol.set_multi(self, given)
        exchange: MutateManyExchange = self._chosen(made, "set_multi", (given,))
        return exchange

    def add(self, item: Item) -> MutateExchange:
        """Store an item if there is none."""
        needs = "add with a CAS token" if item.cas else ""
        made = MetaProtocol.add(self, item)
        exchange: MutateExchange = self._chosen(made, "add", (item,), needs)
        return exchange

    def add_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items, each as ``add`` would."""
        given = list(items)
        made = MetaProtocol.add_multi(self, given)
        exchange: MutateManyExchange = self._chosen(made, "add_multi", (given,))
        return exchange

    def replace(self, item: Item) -> MutateExchange:
        """Store an item if there is one."""
        needs = "replace with a CAS token" if item.cas else ""
        made = MetaProtocol.replace(self, item)
        exchange: MutateExchange = self._chosen(made, "replace", (item,), needs)
        return exchange

    def append(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateExchange:
        """Put `value` after the value that is there; with a token, only if that is its own."""
        needs = "append with a CAS token" if cas else ""
        made = MetaProtocol.append(self, key, value, cas)
        exchange: MutateExchange = self._chosen(made, "append", (key, value), needs)
        return exchange

    def prepend(self, key: Key, value: "ReadableBuffer", cas: int = 0) -> MutateExchange:
        """Put `value` before the value that is there; with a token, only if that is its own."""
        needs = "prepend with a CAS token" if cas else ""
        made = MetaProtocol.prepend(self, key, value, cas)
        exchange: MutateExchange = self._chosen(made, "prepend", (key, value), needs)
        return exchange

    def cas(self, item: Item) -> MutateExchange:
        """Store an item over the one that its token is of."""
        exchange: MutateExchange = self._chosen(MetaProtocol.cas(self, item), "cas", (item,))
        return exchange

    def cas_multi(self, items: Iterable[Item]) -> MutateManyExchange:
        """Store many items: one with a token as ``cas`` would, one without as ``add`` would."""
        given = list(items)
        made = MetaProtocol.cas_multi(self, given)
        exchange: MutateManyExchange = self._chosen(made, "cas_multi", (given,))
        return exchange

    def delete(self, key: Key) -> MutateExchange:
        """Delete an item."""
        exchange: MutateExchange = self._chosen(MetaProtocol.delete(self, key), "delete", (key,))
        return exchange

    def delete_multi(self, keys: Iterable[Key]) -> MutateManyExchange:
        """Delete many items; the answers are in the order of the keys."""
        given = list(keys)
        made = MetaProtocol.delete_multi(self, given)
        exchange: MutateManyExchange = self._chosen(made, "delete_multi", (given,))
        return exchange

    def touch(self, key: Key, expire: int) -> MutateExchange:
        """Give an item a new expiry."""
        made = MetaProtocol.touch(self, key, expire)
        exchange: MutateExchange = self._chosen(made, "touch", (key, expire))
        return exchange

    def touch_multi(self, keys: Iterable[Key], expire: int) -> MutateManyExchange:
        """Give many items a new expiry; the answers are in the order of the keys."""
        given = list(keys)
        made = MetaProtocol.touch_multi(self, given, expire)
        exchange: MutateManyExchange = self._chosen(made, "touch_multi", (given, expire))
        return exchange

    def touch_value(self, key: Key, expire: int) -> MutateExchange:
        """Give an item a new expiry, as ``MetaProtocol.touch_value``."""
        made = MetaProtocol.touch_value(self, key, expire)
        exchange: MutateExchange = self._chosen(made, "touch", (key, expire))
        return exchange

    def increment(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountExchange:
        """Add to a counter, modulo 2**64; `expire` None leaves a missing counter missing."""
        needs = "" if expire is None else "increment of a counter that it makes"
        made = MetaProtocol.increment(self, key, delta, initial, expire)
        exchange: CountExchange = self._chosen(made, "increment", (key, delta), needs)
        return exchange

    def decrement(
        self, key: Key, delta: int = 1, initial: int = 0, expire: int | None = None
    ) -> CountExchange:
        """Take from a counter, to 0 at the least."""
        needs = "" if expire is None else "decrement of a counter that it makes"
        made = MetaProtocol.decrement(self, key, delta, initial, expire)
        exchange: CountExchange = self._chosen(made, "decrement", (key, delta), needs)
        return exchange

    # What only meta has

    def meta_get(
        self,
        key: Key,
        *,
        value: bool = True,
        expire: int | None = None,
        lease: int | None = None,
        recache: int | None = None,
        details: bool = False,
    ) -> MetaGetExchange:
        """Get one item and its metadata, as ``MetaProtocol.meta_get``."""
        made = MetaProtocol.meta_get(
            self,
            key,
            value=value,
            expire=expire,
            lease=lease,
            recache=recache,
            details=details,
        )
        exchange: MetaGetExchange = self._chosen(made, "", (), "meta_get")
        return exchange

    def meta_set(
        self, item: Item, *, invalidate: bool = False, new_cas: int | None = None
    ) -> MutateExchange:
        """Store an item as ``MetaProtocol.meta_set``."""
        made = MetaProtocol.meta_set(self, item, invalidate=invalidate, new_cas=new_cas)
        exchange: MutateExchange = self._chosen(made, "", (), "meta_set")
        return exchange

    def meta_delete(
        self, key: Key, *, cas: int = 0, stale: bool = False, expire: int | None = None
    ) -> MutateExchange:
        """Delete an item as ``MetaProtocol.meta_delete``."""
        made = MetaProtocol.meta_delete(self, key, cas=cas, stale=stale, expire=expire)
        exchange: MutateExchange = self._chosen(made, "", (), "meta_delete")
        return exchange

    def examine(self) -> list[Any]:
        """Return the exchanges that show which dialect a server speaks, see ``dialect_of``."""
        settings, version = MetaProtocol.examine(self)
        return [self._chosen(settings, "version", ()), version]


def dialect_of(protocol: str, answers: list[Any]) -> Dialect:
    """Return the dialect of the server that gave these answers to a protocol's ``examine``."""
    version: str | None = None
    settings: StatsResponse | None = None
    for answer in answers:
        if answer.error is not None:
            return Dialect(None, None, (), answer.error)
        if isinstance(answer, StatsResponse):
            settings = answer
        else:
            version = next(iter(answer.versions.values()), None)
    if settings is None:
        used = "binary" if protocol == "binary" else "ascii"
        return Dialect(used, version, ("leases", "metadata", *_OF_LATER_META))
    lacks = []
    if any(rows.get("cas_enabled") == "no" for rows in settings.entries.values()):
        lacks += ["leases", "tokens"]
    lacks += [name for name, since in _OF_LATER_META.items() if is_before(version, since)]
    return Dialect("meta", version, tuple(lacks))
