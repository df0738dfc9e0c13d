"""Which database on which hosts has a key: immutable values, without I/O.

A key belongs to one of a fixed number of logical shards, for ever. A logical shard is a database
(MySQL's word; a schema in PostgreSQL and SQLite) on one group of hosts: a master and its replicas.
Logical shards are moved between groups one by one; keys never move between shards.
"""

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, Self

from ... import hash2
from ..._kernels import placement
from ..._kernels._args import checked_int, shown

__all__ = ["HASH2", "HostGroup", "Key", "Layout", "ShardState", "shards_text"]

Key = int | str | bytes

HASH2: Final = "hash2"
_MOST: Final = hash2.MAX_SHARDS
# Keys whose shards are remembered: to look one up among 1,024 takes longer than all the rest.
_REMEMBERED: Final = 1 << 15
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_GROUP_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_RANGE: Final = re.compile(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_FIELDS: Final = frozenset(
    ["database", "function", "groups", "names", "read_only", "shards", "version"]
)

Shards = int | str | Iterable[int]


class ShardState(enum.Enum):
    """Whether a logical shard takes writes."""

    NORMAL = "normal"
    READ_ONLY = "read_only"


@dataclass(frozen=True, slots=True)
class HostGroup:
    """A master and its replicas. A host is any str that the router's `connect` takes."""

    master: str
    replicas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.replicas, str) or not isinstance(self.replicas, Iterable):
            raise TypeError(f"replicas must be an iterable of str, got {shown(self.replicas)}")
        object.__setattr__(self, "replicas", tuple(self.replicas))
        for host in self.hosts:
            if not isinstance(host, str):
                raise TypeError(f"a host must be a str, got {shown(host)}")
            if not host:
                raise ValueError("a host must not be empty")
        if len(set(self.hosts)) != len(self.hosts):
            raise ValueError(f"a group must name each host once, got {', '.join(self.hosts)}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The master, then the replicas."""
        return (self.master, *self.replicas)


def _checked_shards(name: str, given: object, count: int) -> list[int]:
    """Return the shards that an int, a text such as ``"0-3,7"`` or an iterable of ints names."""
    if isinstance(given, str):
        found: list[int] = []
        for part in given.split(",") if given.strip() else []:
            matched = _RANGE.fullmatch(part)
            if matched is None:
                raise ValueError(f"{name} must be like '0-511,600', got {shown(given)}")
            first = int(matched[1])
            last = first if matched[2] is None else int(matched[2])
            if last < first:
                raise ValueError(f"{name} must have ranges that ascend, got {shown(part)}")
            found.extend(range(first, min(last, count) + 1))
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        found = list(given)
    else:
        found = [given]  # type: ignore[list-item]  # checked below
    allowed = f"[0, {count})"
    for shard in found:
        if isinstance(shard, bool):
            raise TypeError(f"{name} must be shards in {allowed}, got {shard}")
        checked_int(name, allowed, shard, count)
    return found


def shards_text(shards: Iterable[int]) -> str:
    """Return shards as compact text: ``"0-511,600"``."""
    runs = groupby(enumerate(sorted(shards)), key=lambda pair: pair[1] - pair[0])
    parts = []
    for _, run in runs:
        found = [shard for _, shard in run]
        parts.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return ",".join(parts)


def _hash2_of(key: Key, shards: int) -> int:
    """Return a key's shard as Dropbox's Go fleets find it: text and bytes by 64-bit FNV-1a."""
    if isinstance(key, (str, bytes)):
        return hash2.consistent_hash(placement.fnv1a(key), shards)
    if isinstance(key, bool) or not isinstance(key, int):
        raise TypeError(f"key must be an int, str or bytes, got {shown(key)}")
    return hash2.consistent_hash(checked_int("key", "[0, 2**64)", key, 1 << 64), shards)


def _placing(function: Callable[[Any, int], int] | None, shards: int) -> Callable[[Any], int]:
    """Return what maps a key to its shard."""
    if function is not None:
        return lambda key: checked_int(
            "the shard that function returned", f"[0, {shards})", function(key, shards), shards
        )
    # `typed`, because 1 == True, and one of them is no key.
    known = lru_cache(_REMEMBERED, typed=True)(lambda key: _hash2_of(key, shards))

    def place(key: Any) -> int:
        try:
            return known(key)
        except TypeError:  # of what cannot be remembered, too, such as a list
            return _hash2_of(key, shards)

    return place


class Layout:
    """Where each logical shard lives; an immutable value, whose methods return new ones.

    - `shards`: how many logical shards there are, an int in [1, 65535]. It never changes: take many
      times the hosts you will ever have.
    - `groups`: a mapping of names to ``HostGroup``.
    - `homes`: a mapping of groups' names to their shards: a text such as ``"0-511,600"``, an int or
      an iterable of ints. Every shard has exactly one home.
    - `database`: the name of a shard's database, with ``{}`` for its number, as ``str.format``
      takes it: ``"shard_{:04}"``. Names are letters, digits and ``_``, at most 63.
    - `names`: databases of single shards that are named otherwise, by shard.
    - `read_only`: shards that take no writes, given as in `homes`.
    - `version`: an int in [0, 2**63); each method that changes something adds 1, and a router
      refuses to go back.
    - `function`: takes a key and the number of shards and returns the shard. By default it is the
      Go fleets': ``hash2.consistent_hash`` of an int in [0, 2**64), or of the 64-bit FNV-1a of a
      str or of bytes. It never changes, either.

    Raise ``TypeError`` and ``ValueError`` for what is not a layout.
    """

    __slots__ = (
        "_databases",
        "_function",
        "_groups",
        "_homes",
        "_names",
        "_place",
        "_read_only",
        "_template",
        "_version",
    )

    _databases: tuple[str, ...]
    _function: Callable[[Any, int], int] | None
    _groups: Mapping[str, HostGroup]
    _homes: tuple[str, ...]  # the group's name, by shard
    _names: Mapping[int, str]
    _place: Callable[[Any], int]
    _read_only: frozenset[int]
    _template: str
    _version: int

    def __init__(
        self,
        shards: int,
        groups: Mapping[str, HostGroup],
        homes: Mapping[str, Shards],
        *,
        database: str = "shard_{:04}",
        names: Mapping[int, str] | None = None,
        read_only: Shards = (),
        version: int = 0,
        function: Callable[[Any, int], int] | None = None,
    ) -> None:
        count = checked_int("shards", f"[1, {_MOST}]", shards, _MOST + 1)
        if count < 1 or isinstance(shards, bool):
            raise ValueError(f"shards must be an int in [1, {_MOST}], got {shown(shards)}")
        if function is not None and not callable(function):
            raise TypeError(f"function must be callable or None, got {shown(function)}")
        self._function = function
        self._place = _placing(function, count)
        self._groups = MappingProxyType(_checked_groups(groups))
        self._homes = _checked_homes(homes, count, self._groups)
        self._template = database
        self._names = MappingProxyType(_checked_names(names, count))
        self._databases = _checked_databases(database, self._names, count)
        self._read_only = frozenset(_checked_shards("read_only", read_only, count))
        if isinstance(version, bool):
            raise TypeError(f"version must be an int in [0, 2**63), got {version}")
        self._version = checked_int("version", "[0, 2**63)", version, 1 << 63)
        self._check_apart()

    def _check_apart(self) -> None:
        """Raise if two shards have one database on the same hosts."""
        seen: dict[tuple[str, str], int] = {}
        for shard, (home, database) in enumerate(zip(self._homes, self._databases, strict=True)):
            other = seen.setdefault((home, database), shard)
            if other != shard:
                raise ValueError(
                    f"shards of a group must have databases of their own, got {database} in "
                    f"{home} for both {other} and {shard}"
                )

    # Looking

    @property
    def shards(self) -> int:
        """How many logical shards there are."""
        return len(self._homes)

    @property
    def groups(self) -> Mapping[str, HostGroup]:
        """The groups of hosts by name."""
        return self._groups

    @property
    def version(self) -> int:
        """The number of this layout: a later one has a higher number."""
        return self._version

    @property
    def read_only_shards(self) -> frozenset[int]:
        """The shards that take no writes."""
        return self._read_only

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts, sorted."""
        return tuple(sorted({host for group in self._groups.values() for host in group.hosts}))

    def shard_of(self, key: Key) -> int:
        """Return a key's logical shard; raise ``TypeError`` or ``ValueError`` for no key."""
        return self._place(key)

    def by_shard(self, keys: Iterable[Any]) -> dict[int, list[Any]]:
        """Return the distinct keys of each shard, in their order."""
        place = self._place
        found: dict[int, dict[Any, None]] = {}
        for key in keys:
            found.setdefault(place(key), {})[key] = None
        return {shard: list(mine) for shard, mine in found.items()}

    def home(self, shard: int) -> str:
        """Return the name of the group that a shard lives on."""
        return self._homes[self._checked(shard)]

    def group_of(self, shard: int) -> HostGroup:
        """Return the hosts that a shard lives on."""
        return self._groups[self.home(shard)]

    def database(self, shard: int) -> str:
        """Return the name of a shard's database."""
        return self._databases[self._checked(shard)]

    def state(self, shard: int) -> ShardState:
        """Return whether a shard takes writes."""
        read_only = self._checked(shard) in self._read_only
        return ShardState.READ_ONLY if read_only else ShardState.NORMAL

    def shards_on(self, group: str) -> list[int]:
        """Return the shards that live on a group, ascending."""
        self._check_group("group", group)
        return [shard for shard, home in enumerate(self._homes) if home == group]

    def moved(self, later: "Layout") -> list[int]:
        """Return the shards whose master or database differs in `later`, ascending."""
        here = {name: group.master for name, group in self._groups.items()}
        there = {name: group.master for name, group in later._groups.items()}
        homes = zip(self._homes, later._homes, strict=True)
        return [
            shard
            for shard, (old, new) in enumerate(homes)
            if here[old] != there[new] or self._databases[shard] != later._databases[shard]
        ]

    def _checked(self, shard: int) -> int:
        return checked_int("shard", f"[0, {self.shards})", shard, self.shards)

    def _check_group(self, name: str, group: object) -> None:
        if not isinstance(group, str) or group not in self._groups:
            known = ", ".join(sorted(self._groups))
            raise ValueError(f"{name} must be one of {known}, got {shown(group)}")

    # Changing

    def read_only(self, shards: Shards) -> "Layout":
        """Return the layout in which `shards` (as in `homes`) take no writes."""
        found = _checked_shards("shards", shards, self.shards)
        return self._changed(read_only=self._read_only.union(found))

    def writable(self, shards: Shards) -> "Layout":
        """Return the layout in which `shards` (as in `homes`) take writes."""
        found = _checked_shards("shards", shards, self.shards)
        return self._changed(read_only=self._read_only.difference(found))

    def move(self, shards: Shards, to: str) -> "Layout":
        """Return the layout in which `shards` live on the group `to`, and take writes."""
        self._check_group("to", to)
        found = _checked_shards("shards", shards, self.shards)
        homes = list(self._homes)
        for shard in found:
            homes[shard] = to
        return self._changed(homes=tuple(homes), read_only=self._read_only.difference(found))

    def with_group(self, name: str, group: HostGroup) -> "Layout":
        """Return the layout with a group added, or with other hosts in it."""
        return self._changed(
            groups=MappingProxyType(_checked_groups({**self._groups, name: group}))
        )

    def without_group(self, name: str) -> "Layout":
        """Return the layout without a group; raise ``ValueError`` if shards live on it."""
        self._check_group("name", name)
        left = self.shards_on(name)
        if left:
            raise ValueError(f"group {name} must have no shards, got {shards_text(left)}")
        rest = {other: group for other, group in self._groups.items() if other != name}
        return self._changed(groups=MappingProxyType(rest))

    def _changed(
        self,
        *,
        groups: Mapping[str, HostGroup] | None = None,
        homes: tuple[str, ...] | None = None,
        read_only: frozenset[int] | None = None,
    ) -> "Layout":
        made = object.__new__(type(self))
        for name in Layout.__slots__:
            setattr(made, name, getattr(self, name))
        made._groups = self._groups if groups is None else groups
        made._homes = self._homes if homes is None else homes
        made._read_only = self._read_only if read_only is None else read_only
        made._version = self._version + 1
        made._check_apart()
        return made

    # As text

    def dumps(self) -> str:
        """Return the layout as JSON; `function` is only named, as ``hash2`` or ``custom``."""
        groups = {}
        for name, group in sorted(self._groups.items()):
            groups[name] = {
                "master": group.master,
                "replicas": list(group.replicas),
                "shards": shards_text(self.shards_on(name)),
            }
        made: dict[str, Any] = {
            "version": self._version,
            "shards": self.shards,
            "function": HASH2 if self._function is None else "custom",
            "database": self._template,
            "groups": groups,
        }
        if self._names:
            made["names"] = {str(shard): name for shard, name in sorted(self._names.items())}
        if self._read_only:
            made["read_only"] = shards_text(self._read_only)
        return json.dumps(made, indent=2) + "\n"

    @classmethod
    def loads(cls, text: str, *, function: Callable[[Any, int], int] | None = None) -> Self:
        """Return the layout that ``dumps`` wrote; pass `function` if it has one of its own.

        Raise ``ValueError`` for text that is not a layout's, and for a missing function.
        """
        if function is not None and not callable(function):
            raise TypeError(f"function must be callable or None, got {shown(function)}")
        try:
            read = json.loads(text, object_pairs_hook=_without_doubles)
        except RecursionError:
            raise ValueError("a layout must be JSON, got one that is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"a layout must be JSON: {error}") from None
        try:
            return cls._of_json(read, function)
        except TypeError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def _of_json(cls, read: Any, function: Callable[[Any, int], int] | None) -> Self:
        if not isinstance(read, dict) or not isinstance(read.get("groups"), dict):
            raise ValueError("a layout must be a JSON object with groups")
        unknown = sorted(set(read) - _FIELDS)
        if unknown:
            raise ValueError(f"a layout has no field {unknown[0]!r}")
        groups, homes = {}, {}
        for name, group in read["groups"].items():
            if not isinstance(group, dict) or not set(group) <= {"master", "replicas", "shards"}:
                raise ValueError(f"group {name} must have master, replicas and shards")
            groups[name] = HostGroup(group.get("master"), group.get("replicas", ()))  # type: ignore[arg-type]  # checked there
            homes[name] = group.get("shards", "")
        named = read.get("function", HASH2)
        if (named == HASH2) != (function is None):
            raise ValueError(f"function must be that of the layout, which is {named}")
        names = read.get("names", {})
        if not isinstance(names, dict) or not all(_NUMBER.fullmatch(shard) for shard in names):
            raise ValueError("names must be an object of databases by shard")
        return cls(
            read.get("shards"),  # type: ignore[arg-type]  # checked there
            groups,
            homes,
            database=read.get("database", "shard_{:04}"),
            names={int(shard): name for shard, name in names.items()},
            read_only=read.get("read_only", ""),
            version=read.get("version", 0),
            function=function,
        )

    # As a value

    def _parts(self) -> tuple[Any, ...]:
        return (
            self._version,
            self._homes,
            tuple(sorted(self._groups.items(), key=lambda item: item[0])),
            self._databases,
            self._read_only,
            self._function,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __reduce__(self) -> tuple[Any, ...]:
        homes = {name: shards_text(self.shards_on(name)) for name in self._groups}
        return _restored, (
            type(self),
            self.shards,
            dict(self._groups),
            homes,
            self._template,
            dict(self._names),
            shards_text(self._read_only),
            self._version,
            self._function,
        )

    def __repr__(self) -> str:
        closed = f", {len(self._read_only)} read-only" if self._read_only else ""
        return (
            f"<Layout {self._version}: {self.shards} shards on {len(self._groups)} groups{closed}>"
        )


def _restored(
    kind: type[Layout],
    shards: int,
    groups: dict[str, HostGroup],
    homes: dict[str, str],
    database: str,
    names: dict[int, str],
    read_only: str,
    version: int,
    function: Callable[[Any, int], int] | None,
) -> Layout:
    return kind(
        shards,
        groups,
        homes,
        database=database,
        names=names,
        read_only=read_only,
        version=version,
        function=function,
    )


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise ``ValueError`` if a key is in it twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object must have each key once, got {shown(doubled)} twice")
    return found


def _checked_groups(groups: object) -> dict[str, HostGroup]:
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(f"groups must be a mapping of names to HostGroup, got {shown(groups)}")
    seen: dict[str, str] = {}
    for name, group in groups.items():
        if not isinstance(name, str) or not _GROUP_NAME.fullmatch(name):
            raise ValueError(
                f"a group's name must be letters, digits and _.:-, at most 100, got {shown(name)}"
            )
        if not isinstance(group, HostGroup):
            raise TypeError(f"groups[{name!r}] must be a HostGroup, got {shown(group)}")
        for host in group.hosts:
            if seen.setdefault(host, name) != name:
                raise ValueError(
                    f"a host must be in one group, got {host} in {seen[host]} and {name}"
                )
    return dict(groups)


def _checked_homes(homes: object, count: int, groups: Mapping[str, HostGroup]) -> tuple[str, ...]:
    if not isinstance(homes, Mapping):
        raise TypeError(f"homes must be a mapping of groups to shards, got {shown(homes)}")
    found: list[str | None] = [None] * count
    for name, shards in homes.items():
        if name not in groups:
            raise ValueError(f"homes must name groups, got {shown(name)}")
        for shard in _checked_shards(f"homes[{name!r}]", shards, count):
            other = found[shard]
            if other is not None:
                raise ValueError(
                    f"a shard must have one home, got {shard} on both {other} and {name}"
                )
            found[shard] = name
    homeless = [shard for shard, name in enumerate(found) if name is None]
    if homeless:
        raise ValueError(f"every shard must have a home, got none for {shards_text(homeless)}")
    return tuple([name for name in found if name is not None])


def _checked_names(names: object, count: int) -> dict[int, str]:
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise TypeError(f"names must be a mapping of shards to databases, got {shown(names)}")
    _checked_shards("names", list(names), count)
    return dict(names)


def _checked_databases(template: object, names: Mapping[int, str], count: int) -> tuple[str, ...]:
    if not isinstance(template, str):
        raise TypeError(f"database must be a str such as 'shard_{{:04}}', got {shown(template)}")
    found = []
    for shard in range(count):
        try:
            name = names[shard] if shard in names else template.format(shard)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise ValueError(
                f"database must be a str such as 'shard_{{:04}}', got {shown(template)}: {error}"
            ) from None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                "a database's name must be letters, digits and _, at most 63, and not begin with a "
                f"digit, got {shown(name)}"
            )
        found.append(name)
    return tuple(found)
