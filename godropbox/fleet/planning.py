"""What moves when a fleet changes: which keys, from which server to which, and what that costs.

No I/O. `plan` takes a sample of keys, `moving` tells the keys themselves, and a `Planner` takes
keys as they come, as from the lists of real servers, with their sizes and where they were found.
Servers are known by their names, which for a list of addresses are the addresses.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from .._kernels._args import shown
from ..memcache.address import same_name
from ..memcache.discovery.types import Server
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from ..memcache.fleet.placement import (
    Crc32,
    Hash2,
    Jump,
    Ketama,
    Placement,
    Rendezvous,
    ShardFunction,
    as_shard_function,
)
from ..memcache.fleet.shards import ShardState
from ..memcache.types import Key

__all__ = [
    "BY_NUMBER",
    "FUNCTIONS",
    "Alternative",
    "Layout",
    "Load",
    "Move",
    "Plan",
    "Planner",
    "moving",
    "plan",
]

FUNCTIONS: Final[Mapping[str, ShardFunction]] = {
    "hash2": Hash2(),
    "jump": Jump(),
    "ketama": Ketama(),
    "rendezvous": Rendezvous(),
    "crc32": Crc32(),
}
"""The shard functions that a plan compares, by name."""

BY_NUMBER: Final = frozenset({"hash2", "jump", "crc32"})
"""Those by which a server's keys follow from its number in the fleet, not from its name."""

CHUNK: Final = 8192
COMPARED: Final = 20_000
"""Keys that the shard functions are compared by: a share of them is right to half a percent."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A fleet as keys see it: its servers, shard 0 first, and the function that shares out keys.

    Raises ``InvalidArgumentError`` for no server, or for a name that is there twice.
    """

    servers: tuple[Server, ...]
    function: ShardFunction = field(default_factory=Hash2)

    def __post_init__(self) -> None:
        if not self.servers:
            raise InvalidArgumentError("a fleet must have at least one server, got none")
        seen = Counter(self.names)
        for name, times in seen.items():
            if times > 1:
                raise InvalidArgumentError(f"a fleet must name each server once, got {name} twice")

    @classmethod
    def of(cls, servers: Iterable[Server | str], function: Any = None) -> "Layout":
        """Return the layout of servers, or of their names, all of them active then."""
        if isinstance(servers, (str, bytes)) or not hasattr(type(servers), "__iter__"):
            raise InvalidTypeError(
                f"servers must be a list of names or of Server, got {shown(servers)}"
            )
        listed = []
        for each in servers:
            if not isinstance(each, (str, Server)):
                raise InvalidTypeError(f"a server must be a name or a Server, got {shown(each)}")
            listed.append(Server(each, each) if isinstance(each, str) else each)
        return cls(tuple(listed), Hash2() if function is None else as_shard_function(function))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the servers, in the order of shards."""
        return tuple(each.name for each in self.servers)

    def placement(self) -> Placement:
        """Return what maps keys to the numbers of the servers."""
        return self.function.bind(self.names)

    def server(self, name: str) -> Server:
        """Return the server of a name or an address; raises ``InvalidArgumentError``."""
        found = self.find(name)
        if found is not None:
            return found
        raise InvalidArgumentError(
            f"the fleet has no server {name!r}, it has {', '.join(self.names)}"
        )

    def find(self, name: str) -> Server | None:
        """Return the server of a name or an address, however it is spelled; None for none."""
        for each in self.servers:
            if name in (each.name, each.address):
                return each
        if name.isprintable() and name:
            same = same_name(name)
            for each in self.servers:
                if same in (same_name(each.name), same_name(each.address)):
                    return each
        return None

    def without(self, name: str) -> "Layout":
        """Return the layout without the server of that name."""
        return Layout(tuple(each for each in self.servers if each.name != name), self.function)


@dataclass(frozen=True, slots=True)
class Move:
    """Keys that go from one server to another; None is no server that serves them.

    `size` is in bytes, None where sizes are not known.
    """

    source: str | None
    target: str | None
    keys: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """The keys of a server before and after; None where it is not in the fleet then.

    Sizes are in bytes, None where they are not known, too.
    """

    server: str
    before: int | None
    after: int | None
    size_before: int | None = None
    size_after: int | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """What one shard function would do: the share of keys it moves, and how even it is after.

    `fullest` is the load of the fullest server as a multiple of the mean. `is_chosen` is whether
    the plan's own fleet uses it, before and after.
    """

    function: str
    moved: float
    fullest: float
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What moves between two fleets, by `keys` keys; `size` is their bytes, None if unknown.

    `moves` has those that move, the most first, and `loads` all servers, those before first. A key
    whose server does not serve (it is DOWN, say) counts as one without a server. `strays` are keys
    that were found where the fleet does not look for them; they are not among `keys`. `unplaced`
    are keys that the shard function takes for none.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    keys: int
    size: int | None
    moves: tuple[Move, ...]
    loads: tuple[Load, ...]
    alternatives: tuple[Alternative, ...]
    strays: int = 0
    unplaced: int = 0

    @property
    def moved(self) -> int:
        """How many keys move."""
        return sum(each.keys for each in self.moves)

    @property
    def moved_size(self) -> int | None:
        """How many bytes move, None if that is not known."""
        return None if self.size is None else sum(each.size or 0 for each in self.moves)

    @property
    def share(self) -> float:
        """The share of keys that move, from 0 to 1."""
        return self.moved / self.keys if self.keys else 0.0

    @property
    def missed(self) -> float:
        """The share of reads that hit now and miss at first, from 0 to 1.

        That is of the keys that have a server now: the reads of others miss already.
        """
        served = sum(each.before or 0 for each in self.loads)
        missed = sum(each.keys for each in self.moves if each.source is not None)
        return missed / served if served else 0.0

    @property
    def regained(self) -> float:
        """The share of keys that no server serves now, and one does afterwards, from 0 to 1."""
        found = sum(each.keys for each in self.moves if each.source is None)
        return found / self.keys if self.keys else 0.0

    @property
    def size_share(self) -> float | None:
        """The share of bytes that move, None if that is not known."""
        moved = self.moved_size
        return None if moved is None else moved / self.size if self.size else 0.0

    @property
    def lost(self) -> float:
        """The share of keys that no server serves afterwards, from 0 to 1."""
        lost = sum(each.keys for each in self.moves if each.target is None)
        return lost / self.keys if self.keys else 0.0


class Planner:
    """Takes keys as they come, and says in the end what moves from `before` to `after`."""

    def __init__(self, before: Layout, after: Layout, compare: bool = True) -> None:
        self.before: Final = before
        self.after: Final = after
        self._old = before.placement()
        self._new = after.placement()
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._sizes: dict[tuple[int, int], int] | None = None
        self._strays = 0
        self._compares = compare
        self._sample: list[Key] = []
        self._stride = 1
        self._taken = 0
        self.keys = 0

    def add(
        self, keys: Sequence[Key], sizes: Sequence[int] | None = None, at: int | None = None
    ) -> None:
        """Take keys: their sizes in bytes if they are known, one a key in all calls or in none.

        `at` is the number in `before` of the server that they were found on: those that belong to
        another are strays.
        """
        if sizes is not None and len(sizes) != len(keys):
            raise InvalidArgumentError(
                f"sizes must be one a key, got {len(sizes)} for {len(keys)} keys"
            )
        if self.keys and (sizes is None) != (self._sizes is None):
            raise InvalidArgumentError("sizes must be given with all keys or with none")
        old = self._old.of_many(keys)
        if at is not None:
            kept = [i for i, shard in enumerate(old) if shard == at]
            if len(kept) < len(old):
                self._strays += len(old) - len(kept)
                keys = [keys[i] for i in kept]
                old = [at] * len(kept)
                sizes = None if sizes is None else [sizes[i] for i in kept]
        pairs = list(zip(old, self._new.of_many(keys), strict=True))
        self._pairs.update(pairs)
        if sizes is not None:
            if self._sizes is None:
                self._sizes = {}
            found = self._sizes
            for pair, size in zip(pairs, sizes, strict=True):
                found[pair] = found.get(pair, 0) + size
        self.keys += len(keys)
        if self._compares:
            self._thin(keys)

    def _thin(self, keys: Sequence[Key]) -> None:
        """Keep every so many-th key, so that the sample is spread over all that came."""
        first = -self._taken % self._stride
        self._taken += len(keys)
        self._sample += keys[first :: self._stride]
        while len(self._sample) > COMPARED:
            self._sample = self._sample[::2]
            self._stride *= 2

    def result(self) -> Plan:
        """Return what moves, by the keys so far."""
        before, after = self.before, self.after
        sizes = self._sizes
        if sizes is None and not self.keys and self._strays:
            sizes = {}
        moves: dict[tuple[str | None, str | None], list[int]] = {}
        loads: dict[str, list[int]] = {}
        for name in dict.fromkeys((*before.names, *after.names)):
            loads[name] = [0, 0, 0, 0]
        unplaced = total = total_size = 0
        for (old, new), keys in self._pairs.items():
            if old < -1 or new < -1:
                unplaced += keys
                continue
            size = 0 if sizes is None else sizes[old, new]
            total += keys
            total_size += size
            source, target = _serving(before, old), _serving(after, new)
            for at, server in enumerate((source, target)):
                if server is not None:
                    loads[server][at] += keys
                    loads[server][at + 2] += size
            if source != target:
                found = moves.setdefault((source, target), [0, 0])
                found[0] += keys
                found[1] += size
        known = sizes is not None
        ordered = sorted(moves.items(), key=lambda move: (-move[1][0], str(move[0])))
        was, will = set(before.names), set(after.names)
        return Plan(
            before.names,
            after.names,
            total,
            total_size if known else None,
            tuple(
                Move(source, target, keys, size if known else None)
                for (source, target), (keys, size) in ordered
            ),
            tuple(
                Load(
                    name,
                    each[0] if name in was else None,
                    each[1] if name in will else None,
                    each[2] if name in was and known else None,
                    each[3] if name in will and known else None,
                )
                for name, each in loads.items()
            ),
            tuple(self._alternatives()) if self._compares else (),
            self._strays,
            unplaced,
        )

    def _exact(self, name: str) -> Alternative:
        """Return what the chosen function does, by all keys and not by the sample."""
        ours, theirs = self.before.names, self.after.names
        loads: Counter[int] = Counter()
        moved = 0
        for (at, to), keys in self._pairs.items():
            if at >= 0 and to >= 0:
                loads[to] += keys
                moved += keys if ours[at] != theirs[to] else 0
        total = sum(loads.values()) or 1
        fullest = max(loads.values(), default=0) * len(theirs) / total
        return Alternative(name, moved / total, fullest, True)

    def _alternatives(self) -> Iterator[Alternative]:
        if not self._sample:
            return
        for name, function in FUNCTIONS.items():
            if [_named(self.before.function), _named(self.after.function)] == [name, name]:
                yield self._exact(name)
                continue
            old = Layout(self.before.servers, function)
            new = Layout(self.after.servers, function)
            ours, theirs = old.names, new.names
            moved = 0
            loads: Counter[int] = Counter()
            placed = old.placement(), new.placement()
            pairs = zip(*(each.of_many(self._sample) for each in placed), strict=True)
            for (at, to), keys in Counter(pairs).items():
                if at < 0 or to < 0:
                    continue
                loads[to] += keys
                moved += keys if ours[at] != theirs[to] else 0
            if loads:
                total = sum(loads.values())
                fullest = max(loads.values()) * len(theirs) / total
                yield Alternative(name, moved / total, fullest)


def plan(
    before: Iterable[Server | str],
    after: Iterable[Server | str],
    keys: Iterable[Key],
    *,
    function: Any = None,
    after_function: Any = None,
    sizes: Iterable[int] | None = None,
) -> Plan:
    """Return what moves between two fleets, by a sample of keys, as callers pass them to a client.

    `before` and `after` are servers or names of servers, shard 0 first. `function` is the shard
    function of both, ``Hash2()`` by default, or of the first if `after_function` is given. `sizes`
    are the bytes of the keys' items, one a key. Raises ``InvalidArgumentError`` or
    ``InvalidTypeError`` for a fleet without servers, a name that is there twice, and the like.
    """
    planner = Planner(
        Layout.of(before, function),
        Layout.of(after, function if after_function is None else after_function),
    )
    given = iter(keys)
    measured = None if sizes is None else iter(sizes)
    while chunk := list(islice(given, CHUNK)):
        planner.add(chunk, None if measured is None else list(islice(measured, len(chunk))))
    return planner.result()


def moving(before: Layout, after: Layout, keys: Iterable[Key]) -> Iterator[tuple[Key, int, int]]:
    """Yield the keys whose server changes, each with its numbers in `before` and in `after`.

    Keys that the shard function takes for none are left out. States do not count.
    """
    old, new = before.placement(), after.placement()
    ours, theirs = before.names, after.names
    given = iter(keys)
    while chunk := list(islice(given, CHUNK)):
        for key, at, to in zip(chunk, old.of_many(chunk), new.of_many(chunk), strict=True):
            if at >= 0 and to >= 0 and ours[at] != theirs[to]:
                yield key, at, to


def _serving(layout: Layout, shard: int) -> str | None:
    """Return the name of a server that serves, None for one that does not."""
    if shard < 0 or layout.servers[shard].state is not ShardState.ACTIVE:
        return None
    return layout.servers[shard].name


def _named(function: ShardFunction) -> str:
    """Return the name of a shard function, empty for one that has none here."""
    for name, each in FUNCTIONS.items():
        if type(function) is type(each):
            return name
    return ""
