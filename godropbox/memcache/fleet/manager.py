"""A fleet of memcached servers: which there are, in what state, and the pool of each.

- ``ShardManager``: what a sharded client asks of a fleet's manager.
- ``PooledShardManager``: one over pools that a driver makes.
- ``Fleet``, ``Shard``: an immutable snapshot of the servers, and one server of it.

A change of the fleet is one assignment: an operation works with the whole fleet of its snapshot,
old or new. No I/O: the driver's pools open the connections.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, Protocol, Self

from ..._address import Address
from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._identity import refuse_copies
from ...errors import NetworkError
from ...resource_pool import LameDuckError
from ..address import check_transport, listed_addresses, parse_address, same_name, same_server
from ..errors import InvalidArgumentError, InvalidTypeError
from ..protocol.auto import Seen
from ..types import Key
from .ejection import Ejection
from .options import ShardOptions
from .placement import UNMAPPED, Custom, Placement, ShardFunction, as_shard_function
from .shards import Fleet, Shard, ShardState

__all__ = [
    "Fleet",
    "PooledShardManager",
    "Pools",
    "Shard",
    "ShardManager",
    "ShardState",
    "ShardStatus",
    "all_active",
    "check_waiting",
]

_MAX_SHARDS: Final = 65535
_NOWHERE: Final = Custom(lambda key, shards: UNMAPPED).bind(())  # the placement of an empty fleet


class ShardStatus(NamedTuple):
    """A server and its state, as ``update_shard_states`` takes them.

    `name` is its identity: keys are placed by it, so that a server that comes back at another
    address keeps its keys. ``""`` stands for the address.
    """

    address: str
    state: ShardState = ShardState.ACTIVE
    name: str = ""


class ShardManager(Protocol):
    """A fleet's manager, which a sharded client asks at the start of every operation.

    An attribute ``is_closed``, if there is one, says whether it was closed; one of the name
    ``closes_with_client`` that is true has the client close it.
    """

    def fleet(self) -> Fleet:
        """Return the current fleet."""

    def failed(self, shard: Shard, error: BaseException) -> None:
        """Count a failed operation on `shard`: no connection, a broken one, or no answer."""

    def succeeded(self, shard: Shard) -> None:
        """Count an answered operation; called where ``shard.failures`` is not 0."""

    def disconnect_all(self) -> Any:
        """Close the connections, as ``close`` does, and make new ones for what comes."""

    def close(self) -> Any:
        """Close the connections: idle ones now, those on loan as they come back."""


class Pools(Protocol):
    """What keeps the connections to the servers of a fleet."""

    def set_locations(self, locations: Iterable[str], /) -> object:
        """Have a pool for each of these addresses, and for no other."""

    def pool(self, location: str, /) -> Any:
        """Return the pool of an address."""

    def evict_all(self) -> object:
        """Close the connections: idle ones now, those on loan as they come back."""

    def enter_lame_duck_mode(self) -> object:
        """Lend no more connections."""


class PooledShardManager:
    """Manager of a fleet over pools of connections; at first the fleet is empty.

    `pools` lend the connections, one location an address. Threads may share a manager. In the
    child of a fork it has the same fleet, and no connections yet.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        shard_func: ShardFunction | Callable[[Any, int], int],
        options: ShardOptions,
        pools: Pools,
    ) -> None:
        self._options: Final = options
        self._function: Final = as_shard_function(shard_func)
        if options.diverts and not self._function.has_next:
            raise InvalidArgumentError(
                "ejected='next' needs a shard function in which keys have a next shard, "
                f"got {shown(shard_func)}"
            )
        self._pools: Final = pools
        self._ejection: Final = Ejection(options)
        self._fleet = Fleet((), _NOWHERE)
        self._addresses: tuple[str, ...] = ()
        # Those addresses, parsed: most of a change is to parse a large fleet's.
        self._parsed: dict[str, Address] = {}
        self._names: tuple[str, ...] = ()
        self._placement: Placement = _NOWHERE
        self._is_closed = False
        self._lock = threading.Lock()  # held while the fleet is replaced
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def fleet(self) -> Fleet:
        """Return the current fleet."""
        return self._fleet

    def update_shard_states(self, states: Iterable[tuple[str, int] | ShardStatus]) -> None:
        """Replace the fleet by these servers in these states, shard 0 first, in one step.

        `states` are ``ShardStatus``, or pairs of an address and a ``ShardState``; the addresses
        are as ``connect`` takes them, each once, at most 65,535. Keys are placed by the servers'
        names, each once, which are their addresses unless given: printable text, and one that reads
        as an address counts as that. A bad argument raises ``InvalidArgumentError`` or
        ``InvalidTypeError`` and changes nothing.

        Servers that stay keep their connections and their record of failures, whatever their new
        ids and states; a server of the same name at another address gets new ones, and keeps its
        keys. Of those that go, idle connections are closed at once, and those on loan as they come
        back; an operation on the fleet before may find such a server's pool retired
        (``LameDuckError``), and should take the new fleet.
        """
        parsed, wanted = _checked(states, self._parsed)
        if self._options.open is None:
            for status in wanted:
                if status.address not in self._parsed:
                    check_transport(parsed[status.address], self._options.tls)
        with self._lock:
            if self._is_closed:
                raise LameDuckError("the shard manager was closed")
            addresses = tuple(status.address for status in wanted)
            names = tuple(status.name or status.address for status in wanted)
            placement = self._placement
            if names != self._names:
                placement = self._function.bind(names) if names else _NOWHERE
            if (names, addresses) == (self._names, self._addresses):
                self._fleet = self._new_fleet(wanted, placement)
                return
            self._pools.set_locations(dict.fromkeys([*self._addresses, *addresses]))
            known = set(zip(names, addresses, strict=True))
            gone = [each for each in self._fleet.shards if (each.name, each.address) not in known]
            self._fleet = self._new_fleet(wanted, placement)
            self._addresses = addresses
            self._parsed = parsed
            self._names, self._placement = names, placement
            for shard in gone:
                shard._health.retire()
            self._pools.set_locations(addresses)

    def _new_fleet(self, wanted: list[ShardStatus], placement: Placement) -> Fleet:
        old = {(shard.name, shard.address): shard for shard in self._fleet.shards}
        shards = []
        for i, (address, state, name) in enumerate(wanted):
            shard = old.get((name or address, address))
            if shard is None or shard.id != i or shard.state is not state:
                health = self._ejection.new_health() if shard is None else shard._health
                seen = Seen(self._options.clock) if shard is None else shard.seen
                shard = Shard(i, address, state, self._pools.pool(address), health, seen, name)
            shards.append(shard)
        fleet = tuple(shards)
        if self._options.diverts and fleet:
            return Fleet(fleet, _Next(self._function, placement, fleet, self._ejection))
        return Fleet(fleet, placement, not isinstance(self._function, Custom))

    def failed(self, shard: Shard, error: BaseException) -> None:
        """Count a failed operation on `shard`, where `error` is a ``NetworkError``."""
        if self._options.eject_after and isinstance(error, NetworkError):
            shard._health.failed()

    def succeeded(self, shard: Shard) -> None:
        """Forget the failures of `shard`; called where there are any."""
        shard._health.succeeded()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed; its clients' operations then raise ``ClientClosedError``."""
        return self._is_closed

    def disconnect_all(self) -> None:
        """Close the connections: idle ones now, those on loan as they come back.

        The next operations make new ones, for which names are looked up again. Records of failures
        stay. Whoever shares the manager is disconnected, too.
        """
        self._pools.evict_all()

    def close(self) -> None:
        """Close the connections: idle ones now, those on loan as they come back.

        The fleet can still be read; it lends no connections, and cannot be changed.
        """
        with self._lock:
            self._is_closed = True
        self._pools.enter_lame_duck_mode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._fleet.shards)} shards>"


class _Next:
    """A placement under which keys of an ejected shard go to their next one."""

    __slots__ = ("_ejection", "_function", "_names", "_placement", "_shards", "_spare")
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        function: ShardFunction,
        placement: Placement,
        shards: tuple[Shard, ...],
        ejection: Ejection,
    ) -> None:
        self._function = function
        self._placement = placement
        self._shards = shards
        self._names = [shard.name for shard in shards]
        self._ejection = ejection
        # The placement among the shards that are left, and which shards those are.
        self._spare: tuple[frozenset[int], Placement] = (frozenset(), placement)

    def of(self, key: Key) -> int:
        shard = self._placement.of(key)
        if shard < 0 or self._ejection.admits_all or self._shards[shard]._health.admits():
            return shard
        spare = self._among_the_rest()
        return shard if spare is None else spare.of(key)

    def of_many(self, keys: Iterable[Any]) -> list[int]:
        held = list(keys)
        shards = self._placement.of_many(held)
        if self._ejection.admits_all:
            return shards
        out = {s for s in set(shards) if s >= 0 and not self._shards[s]._health.admits()}
        if not out:
            return shards
        spare = self._among_the_rest()
        if spare is None:
            return shards
        moved = [i for i, shard in enumerate(shards) if shard in out]
        for i, shard in zip(moved, spare.of_many([held[i] for i in moved]), strict=True):
            shards[i] = shard
        return shards

    def _among_the_rest(self) -> Placement | None:
        """Return the placement among the shards that serve and are not ejected, None if none is."""
        left = frozenset(s.id for s in self._shards if s.serves and not s.is_ejected)
        known, placement = self._spare
        if left and left != known:
            placement = self._function.among(self._names, left)
            self._spare = left, placement
        return placement if left else None


def all_active(addresses: Any) -> list[ShardStatus]:
    """Return the servers at `addresses`, at least one, as active ones."""
    return [ShardStatus(address) for address in listed_addresses("addresses", addresses)]


def check_waiting(manager: Any, is_async: bool) -> None:
    """Raise ``InvalidTypeError`` for a manager of this package that waits in another way."""
    if not isinstance(manager, PooledShardManager):
        return
    if iscoroutinefunction(manager.close) is not is_async:
        wanted = "an asyncio one, of godropbox.memcache.aio" if is_async else "a blocking one"
        raise InvalidTypeError(f"manager must be {wanted}, got {shown(manager)}")


def _checked(
    states: Any, before: Mapping[str, Address]
) -> tuple[dict[str, Address], list[ShardStatus]]:
    """Return the addresses of a fleet, parsed, and its states; `before` are those parsed before.

    Raises ``InvalidArgumentError`` or ``InvalidTypeError``.
    """
    if isinstance(states, (str, bytes)) or not hasattr(type(states), "__iter__"):
        raise InvalidTypeError(
            f"states must be an iterable of pairs of an address and a state, got {shown(states)}"
        )
    found: dict[Any, ShardStatus] = {}
    parsed: dict[str, Address] = {}
    names: dict[Any, str] = {}
    identity: Any
    for each in states:
        if not isinstance(each, tuple) or not 1 < len(each) < 4 or not isinstance(each[0], str):
            raise InvalidTypeError(
                f"states must hold pairs of an address and a state, got {shown(each)}"
            )
        address, state, name = each if len(each) == 3 else (*each, "")
        target = before.get(address)
        if target is None:
            target = parse_address(address)
        parsed[address] = target
        where = same_server(target)
        if where in found:
            raise InvalidArgumentError(
                f"states must name each server once, got {found[where].address!r} and {address!r}"
            )
        if name == "" or name == address:
            identity = (where, None) if isinstance(where, str) else where
        else:
            identity = same_name(name)
        if identity in names:
            raise InvalidArgumentError(
                "states must have servers of different names,"
                f" got {names[identity]!r} and {name or address!r}"
            )
        names[identity] = name or address
        try:
            found[where] = ShardStatus(address, ShardState(state), name)
        except ValueError:
            known = ", ".join(f"{each.value} ({each.name})" for each in ShardState)
            raise InvalidArgumentError(
                f"the state of {address!r} must be one of {known}, got {shown(state)}"
            ) from None
    if len(found) > _MAX_SHARDS:
        raise InvalidArgumentError(f"states must be at most {_MAX_SHARDS}, got {len(found)}")
    return parsed, list(found.values())
