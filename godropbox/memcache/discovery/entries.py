"""What coordinators hold for a fleet, as text: servers, lists of servers, states. No I/O here.

An entry of one server is its address, or ``{"address": "host:port", "state": "WRITE_ONLY"}``. A
list is ``{"servers": [{"name": "cache-1", "address": "host:port", "state": "ACTIVE"}]}``, where
`state` may be left out, and `name` too, which is then the address. The states that operators set
are ``{"cache-1": "DOWN", ...}``. Whatever cannot be understood raises ``SourceError``, because a
fleet without one of its servers would be a wrong one.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from ..._kernels._args import shown
from ..address import parse_address
from ..errors import InvalidArgumentError, InvalidTypeError
from ..fleet.shards import ShardState
from .types import Server, SourceError

__all__ = [
    "STATES",
    "as_query",
    "checked_name",
    "checked_seconds",
    "checked_state",
    "is_server_name",
    "list_with_state",
    "server_of",
    "servers_of",
    "state_of",
    "states_of",
    "states_with",
    "with_states",
]

# What holds the states that operators set, beside the servers.
STATES: Final = ".states"
_NAMES: Final = ", ".join(state.name for state in ShardState)


def as_query(named: Mapping[str, str | None]) -> str:
    """Return the end of a URL that has these keyword arguments, without those that are None."""
    parts = [f"{word}={quote(text, ',{}:')}" for word, text in named.items() if text is not None]
    return f"?{'&'.join(parts)}" if parts else ""


def checked_seconds(name: str, value: Any) -> float:
    """Return `value` as seconds. Raises ``InvalidArgumentError`` or ``InvalidTypeError``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name} must be a number of seconds, got {shown(value)}")
    if not 0 < value <= 1e6:
        raise InvalidArgumentError(f"{name} must be in (0, 1e6] seconds, got {shown(value)}")
    return float(value)


def checked_name(value: Any) -> str:
    """Return a server's name. Raises ``InvalidArgumentError`` or ``InvalidTypeError``."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"name must be a str, got {shown(value)}")
    if not is_server_name(value):
        raise InvalidArgumentError(
            f"name must be a server's, not empty and without a dot in front, got {shown(value)}"
        )
    return value


def checked_state(value: Any) -> ShardState | None:
    """Return `value` if it is a state or None. Raises ``InvalidTypeError``."""
    if value is not None and not isinstance(value, ShardState):
        raise InvalidTypeError(f"state must be a ShardState or None, got {shown(value)}")
    return value


def is_server_name(name: str) -> bool:
    """Tell whether an entry of this name is a server: names with a dot in front are reserved."""
    return name != "" and not name.startswith(".")


def state_of(where: str, value: Any) -> ShardState:
    """Return the state that a text names, in either case."""
    try:
        return ShardState[value.upper()]
    except (AttributeError, KeyError):
        raise SourceError(f"{where}: a state is one of {_NAMES}, got {shown(value)}") from None


def server_of(where: str, name: str, data: bytes) -> Server:
    """Return the server of an entry of its own, which has its address, or no data and it as name.

    `where` names the entry for messages.
    """
    text = _text(where, data).strip()
    if text.startswith("{"):
        return _server(where, name, _parsed(where, data))
    return Server(name, _address(where, text or name))


def servers_of(where: str, data: bytes) -> tuple[Server, ...]:
    """Return the servers of a list."""
    found = []
    for i, each in enumerate(_listed(where, _parsed(where, data))):
        here = f"{where}, server {i}"
        if isinstance(each, str):
            found.append(Server(each, _address(here, each)))
            continue
        name = each.get("name", each.get("address")) if isinstance(each, dict) else None
        if not isinstance(name, str) or not name:
            raise SourceError(f"{here}: a server has a name and an address, got {shown(each)}")
        found.append(_server(here, name, each))
    return tuple(found)


def states_of(where: str, data: bytes) -> dict[str, ShardState]:
    """Return the states that operators set, by the servers' names."""
    if not data:
        return {}
    parsed = _parsed(where, data)
    if not isinstance(parsed, dict):
        raise SourceError(f"{where}: expected an object of names and states, got {shown(parsed)}")
    return {name: state_of(f"{where}, {name!r}", value) for name, value in parsed.items()}


def with_states(servers: list[Server], states: Mapping[str, ShardState]) -> tuple[Server, ...]:
    """Return servers with the states that operators set, which win over what the servers say."""
    return tuple(
        each._replace(state=states[each.name]) if each.name in states else each for each in servers
    )


def states_with(
    where: str, data: bytes, names: set[str], name: str, state: ShardState | None
) -> bytes | None:
    """Return the text of states after one is set, None if it is set already.

    `state` None takes it back. Raises ``InvalidArgumentError`` for a name that is neither among
    `names`, those of the servers, nor has a state.
    """
    states = states_of(where, data)
    if name not in names and name not in states:
        raise _unknown(where, name, names)
    if states.get(name) is state:
        return None
    states.pop(name, None)
    if state is not None:
        states[name] = state
    return _json({each: states[each].name for each in sorted(states)})


def list_with_state(where: str, data: bytes, name: str, state: ShardState | None) -> bytes | None:
    """Return the text of a list after a server's state is set, None if it is set already.

    Whatever else is in the list stays. `state` None takes it back. Raises
    ``InvalidArgumentError`` for a name that is not in the list.
    """
    before = servers_of(where, data)
    names = [each.name for each in before]
    if name not in names:
        raise _unknown(where, name, names)
    parsed = _parsed(where, data)
    place = names.index(name)
    entries = parsed["servers"]
    entry = entries[place]
    if isinstance(entry, str):
        entry = entries[place] = {"name": entry, "address": entry}
    is_told = "state" in entry
    if (before[place].state if is_told else None) is state:
        return None
    entry.pop("state", None)
    if state is not None:
        entry["state"] = state.name
    return _json(parsed)


def _unknown(where: str, name: str, names: Any) -> InvalidArgumentError:
    known = ", ".join(sorted(names)[:20]) or "none"
    more = ", ..." if len(names) > 20 else ""
    return InvalidArgumentError(f"name must be a server of {where} ({known}{more}), got {name!r}")


def _listed(where: str, parsed: Any) -> list[Any]:
    servers = parsed.get("servers") if isinstance(parsed, dict) else None
    if not isinstance(servers, list):
        raise SourceError(f'{where}: expected {{"servers": [...]}}, got {shown(parsed)}')
    return servers


def _server(where: str, name: str, entry: Any) -> Server:
    address = entry.get("address")
    state = state_of(where, entry["state"]) if "state" in entry else ShardState.ACTIVE
    return Server(name, _address(where, address), state)


def _address(where: str, value: Any) -> str:
    try:
        parse_address(value)
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise SourceError(f"{where}: {error}") from None
    address: str = value
    return address


def _text(where: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SourceError(f"{where}: expected UTF-8, got {shown(data)}") from None


def _parsed(where: str, data: bytes) -> Any:
    text = _text(where, data)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: expected JSON, got {shown(text)}: {error}") from None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
