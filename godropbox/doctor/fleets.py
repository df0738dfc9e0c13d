"""Files of fleets: reading them, and telling whether two of them place keys alike, and why not.

A file is JSON or plain text. As JSON it is a list of servers, or an object:

    {"servers": ["10.0.0.1:11211", {"address": "10.0.0.2:11211", "weight": 2, "state": "DOWN"}],
     "shard_func": "ketama", "weighted": true, "prefix": "site:"}

A server that has a ``"name"`` beside its address is placed by that. As text it has a server a line,
shard 0 first, with its name in front if it has one, with its weight and its state after it if they
are not 1 and ACTIVE, and options as ``shard_func = ketama``; ``#`` begins a comment.

`compare` maps keys by both, and asks of each difference alone how many keys it moves.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from .._kernels._args import shown
from ..memcache import Crc32, Hash2, Jump, Ketama, Rendezvous, ShardFunction, ShardState
from ..memcache.address import parse_address, same_name, same_server
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from ..memcache.fleet.placement import UNMAPPED

__all__ = ["Comparison", "FleetFile", "FleetFileError", "Reason", "compare", "read_fleet"]

FUNCTIONS: Final[Mapping[str, Callable[[], ShardFunction]]] = {
    "hash2": Hash2,
    "jump": Jump,
    "crc32": Crc32,
    "ketama": Ketama,
    "rendezvous": Rendezvous,
}
BY_NUMBER: Final = ("hash2", "jump", "crc32")
"""The functions by which a server's keys follow from its number, not from its name."""

_OPTIONS: Final = ("servers", "shard_func", "weighted", "prefix")


class FleetFileError(ValueError):
    """A file of a fleet cannot be read, or makes no sense; the message names file and place."""


@dataclass(frozen=True, slots=True)
class FleetFile:
    """A fleet as a file describes it: `servers` in the order of shards, and how keys are placed.

    A server is its name, or else its address; `addresses` has those of servers with names.
    `weights` and `states` have the servers whose weight is not 1 and whose state is not ACTIVE.
    `weighted` is False for libmemcached's unweighted ring. `prefix` goes before every key.
    """

    name: str
    servers: tuple[str, ...]
    shard_func: str = "hash2"
    weights: Mapping[str, int] = field(default_factory=dict)
    weighted: bool = True
    states: Mapping[str, ShardState] = field(default_factory=dict)
    prefix: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)

    def located(self) -> list[str]:
        """Return the addresses of the servers."""
        return [self.addresses.get(each, each) for each in self.servers]

    def function(self) -> ShardFunction:
        """Return the shard function."""
        if self.shard_func != "ketama":
            return FUNCTIONS[self.shard_func]()
        return Ketama(self.weights, self.weighted)

    def owners(self, keys: Sequence[str]) -> list[str | None]:
        """Return the server of each key, None where no server takes it."""
        names = [_server(each) for each in self.servers]
        is_up = [
            self.states.get(each, ShardState.ACTIVE) is ShardState.ACTIVE for each in self.servers
        ]
        placed = self.function().bind(self.servers).of_many(keys)
        return [names[at] if at > UNMAPPED and is_up[at] else None for at in placed]


@dataclass(frozen=True, slots=True)
class Reason:
    """One difference between two fleets, and how many keys it moves by itself."""

    text: str
    moved: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two fleets place `keys` keys: `elsewhere` of them on different servers, and why."""

    first: str
    second: str
    keys: int
    elsewhere: int
    reasons: tuple[Reason, ...]


def read_fleet(path: str) -> FleetFile:
    """Read a fleet's file; raises ``FleetFileError`` if it cannot be read or makes no sense."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetFileError(f"{path}: cannot be read: {error}") from None
    try:
        return _checked(
            _from_json(path, text) if text.lstrip()[:1] in ("{", "[") else _from_text(path, text)
        )
    except json.JSONDecodeError as error:
        raise FleetFileError(
            f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}"
        ) from None
    except (InvalidArgumentError, InvalidTypeError, TypeError) as error:
        raise FleetFileError(f"{path}: {error}") from None


def _from_json(path: str, text: str) -> FleetFile:
    read: Any = json.loads(text)
    given = read if isinstance(read, dict) else {"servers": read}
    for name in given:
        if name not in _OPTIONS:
            raise InvalidArgumentError(f"there is no {name!r}; there are {', '.join(_OPTIONS)}")
    servers, weights, states, addresses = [], {}, {}, {}
    listed = given.get("servers", [])
    if not isinstance(listed, list):
        raise InvalidTypeError(f"servers must be a list, got {shown(listed)}")
    for each in listed:
        entry = each if isinstance(each, dict) else {"address": each}
        unknown = entry.keys() - {"address", "name", "weight", "state"}
        if unknown or not isinstance(entry.get("address"), str):
            raise InvalidTypeError(
                "a server must be an address, or an object of address, name, weight and state, "
                f"got {shown(each)}"
            )
        server: Any = entry.get("name", entry["address"])
        same_name(server)
        servers.append(server)
        addresses[server] = entry["address"]
        if "weight" in entry:
            weights[server] = entry["weight"]
        if "state" in entry:
            states[server] = _state(entry["state"])
    fleet = FleetFile(
        path, tuple(servers), weights=weights, states=states, addresses=_with_names(addresses)
    )
    return replace(fleet, **{name: given[name] for name in _OPTIONS[1:] if name in given})


def _from_text(path: str, text: str) -> FleetFile:
    fleet = FleetFile(path, ())
    servers, weights, states, addresses = [], {}, {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            name, equals, value = (part.strip() for part in words.partition("="))
            if equals:
                fleet = replace(fleet, **{_option(name): _value(name, value)})
                continue
            server, *more = words.split()
            servers.append(server)
            if more and any(sign in more[0] for sign in ".:/"):  # which no state has
                addresses[server] = more.pop(0)
            for word in more:
                if word.isdigit():
                    weights[server] = int(word)
                else:
                    states[server] = _state(word)
        except InvalidArgumentError as error:
            raise FleetFileError(f"{path}:{number}: {error}") from None
    return replace(
        fleet,
        servers=tuple(servers),
        weights=weights,
        states=states,
        addresses=_with_names(addresses),
    )


def _with_names(addresses: Mapping[str, str]) -> dict[str, str]:
    return {server: address for server, address in addresses.items() if server != address}


def _option(name: str) -> str:
    if name not in _OPTIONS[1:]:
        raise InvalidArgumentError(f"there is no {name!r}; there are {', '.join(_OPTIONS[1:])}")
    return name


def _value(name: str, value: str) -> Any:
    if name != "weighted":
        return value
    if value.lower() not in ("true", "false"):
        raise InvalidArgumentError(f"weighted must be true or false, got {value!r}")
    return value.lower() == "true"


def _state(name: Any) -> ShardState:
    known = ShardState.__members__
    if not isinstance(name, str) or name.upper() not in known:
        raise InvalidArgumentError(f"a state must be one of {', '.join(known)}, got {shown(name)}")
    return known[name.upper()]


def _checked(fleet: FleetFile) -> FleetFile:
    """Return the fleet; raises for what cannot be."""
    if fleet.shard_func not in FUNCTIONS:
        raise InvalidArgumentError(
            f"shard_func must be one of {', '.join(FUNCTIONS)}, got {shown(fleet.shard_func)}"
        )
    if not isinstance(fleet.weighted, bool):
        raise InvalidTypeError(f"weighted must be true or false, got {shown(fleet.weighted)}")
    if not isinstance(fleet.prefix, str):
        raise InvalidTypeError(f"prefix must be a str, got {shown(fleet.prefix)}")
    if not fleet.servers:
        raise InvalidArgumentError("it must name at least one server")
    found: dict[Any, str] = {}
    for address in fleet.servers:
        where = _server(address)
        if where in found:
            raise InvalidArgumentError(f"it names one server twice: {found[where]} and {address}")
        found[where] = address
    homes = [same_server(parse_address(each)) for each in fleet.located()]
    if len(set(homes)) < len(homes):
        raise InvalidArgumentError("it has two servers of one address")
    if fleet.weights and (fleet.shard_func != "ketama" or not fleet.weighted):
        raise InvalidArgumentError("weights are for shard_func ketama alone, with weighted true")
    fleet.function()  # which checks weights
    return fleet


def _server(address: str) -> str:
    """Return what is the same for all spellings of a server's name, which may be an address."""
    name, *port = same_name(address)
    return f"{name}:{port[0]}" if port and port[0] is not None else f"{'unix:' * bool(port)}{name}"


def compare(first: FleetFile, second: FleetFile, keys: Sequence[str]) -> Comparison:
    """Map `keys` by both fleets; return how many are on different servers, and why."""
    ours = first.owners(keys)
    moved = _moved(ours, second.owners(keys))
    found = tuple(_reasons(first, second, ours, keys))
    if first.prefix != second.prefix:
        found += (
            Reason(
                f"the prefix is {first.prefix!r} in one and {second.prefix!r} in the other: that "
                "moves no key, but neither finds what the other stored",
                0,
            ),
        )
    return Comparison(first.name, second.name, len(keys), moved, found)


def _moved(one: Sequence[str | None], other: Sequence[str | None]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _reasons(
    first: FleetFile, second: FleetFile, ours: Sequence[str | None], keys: Sequence[str]
) -> Iterator[Reason]:
    """Yield each difference with the keys that move if the first fleet had the second's way."""
    for text, fleet in _differences(first, second):
        yield Reason(text, _moved(ours, fleet.owners(keys)))


def _differences(first: FleetFile, second: FleetFile) -> Iterator[tuple[str, FleetFile]]:
    """Yield what differs, in words, and the first fleet changed in that alone."""
    theirs = {_server(each): each for each in second.servers}
    ours = {_server(each): each for each in first.servers}
    if (first.shard_func, first.weighted) != (second.shard_func, second.weighted):
        changed = replace(
            first,
            shard_func=second.shard_func,
            weighted=second.weighted,
            weights=first.weights if second.shard_func == "ketama" and second.weighted else {},
        )
        yield (
            f"the shard function is {_named(first)} in one and {_named(second)} in the other",
            changed,
        )
    gone = [each for where, each in ours.items() if where not in theirs]
    new = [each for where, each in theirs.items() if where not in ours]
    if gone or new:
        left = [each for each in first.servers if each not in gone]
        # New servers take the numbers that they have in the other file.
        for at, each in enumerate(second.servers):
            if each in new:
                left.insert(min(at, len(left)), each)
        parts = [f"only the first has {', '.join(gone)}"] if gone else []
        parts += [f"only the second has {', '.join(new)}"] if new else []
        kept = {each: weight for each, weight in first.weights.items() if each in left}
        yield "; ".join(parts), replace(first, servers=tuple(left), weights=kept)
    shared = [where for where in ours if where in theirs]
    order = [where for where in theirs if where in ours]
    if shared != order:
        turned = iter([ours[where] for where in order])
        servers = tuple(each if each in gone else next(turned) for each in first.servers)
        counts = (
            "" if first.shard_func in BY_NUMBER else f", which {first.shard_func} does not mind"
        )
        yield f"the order of the servers differs{counts}", replace(first, servers=servers)
    spelled = [where for where in shared if ours[where] != theirs[where]]
    if spelled:
        pairs = ", ".join(f"{ours[each]} and {theirs[each]}" for each in spelled)
        names = {ours[each]: theirs[each] for each in spelled}
        servers = tuple(names.get(each, each) for each in first.servers)
        weights = {names.get(each, each): weight for each, weight in first.weights.items()}
        states = {names.get(each, each): state for each, state in first.states.items()}
        changed = replace(first, servers=servers, weights=weights, states=states)
        yield f"servers are spelled differently: {pairs}", changed
    yield from _of_servers(first, second, ours, theirs)


def _of_servers(
    first: FleetFile, second: FleetFile, ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[tuple[str, FleetFile]]:
    """Yield the differences in weights and in states of the servers that both have."""
    shared = [(ours[where], theirs[where]) for where in ours if where in theirs]
    weights = [
        (a, first.weights.get(a, 1), second.weights.get(b, 1))
        for a, b in shared
        if first.weights.get(a, 1) != second.weights.get(b, 1)
    ]
    if weights:
        listed = ", ".join(f"{each} has {one} and {other}" for each, one, other in weights)
        given = dict(first.weights) | {each: other for each, _, other in weights}
        is_able = first.shard_func == "ketama" and first.weighted
        yield f"weights differ: {listed}", replace(first, weights=given) if is_able else first
    active = ShardState.ACTIVE
    states = [
        (a, first.states.get(a, active), second.states.get(b, active))
        for a, b in shared
        if first.states.get(a, active) is not second.states.get(b, active)
    ]
    if states:
        listed = ", ".join(f"{each} is {one.name} and {other.name}" for each, one, other in states)
        changed = replace(
            first, states=dict(first.states) | {each: other for each, _, other in states}
        )
        yield f"states differ: {listed}", changed


def _named(fleet: FleetFile) -> str:
    is_plain = fleet.shard_func == "ketama" and not fleet.weighted
    return f"{fleet.shard_func}{' (unweighted)' if is_plain else ''}"
