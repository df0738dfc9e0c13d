"""Where memcached servers are, and who logs in there: data, no I/O."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from .. import _address
from .._kernels._args import shown
from .errors import InvalidArgumentError, InvalidTypeError

__all__ = [
    "DEFAULT_PORT",
    "Credentials",
    "check_transport",
    "listed_addresses",
    "parse_address",
    "parse_name",
    "same_name",
    "same_server",
]

DEFAULT_PORT: Final = 11211


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, and how: ``"ascii"`` (``--auth-file``) or ``"sasl"`` (PLAIN)."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "ascii"

    def __post_init__(self) -> None:
        for name in ("user", "password"):
            if not isinstance(getattr(self, name), str):
                raise InvalidTypeError(f"{name} must be a str, not {_kind(getattr(self, name))}")
        if self.mechanism not in ("ascii", "sasl"):
            raise InvalidArgumentError(
                f"mechanism must be 'ascii' or 'sasl', got {self.mechanism!r}"
            )


def parse_address(address: str) -> _address.Address:
    """Return a host and a port, by default 11211, or the path of a Unix socket.

    Raises ``InvalidArgumentError`` or ``InvalidTypeError``.
    """
    try:
        return _address.parse_address(address, DEFAULT_PORT)
    except TypeError as error:
        raise InvalidTypeError(str(error)) from None
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from None


def check_transport(target: _address.Address, tls: Any) -> None:
    """Raise ``InvalidArgumentError`` for TLS over a Unix socket."""
    if tls is not None and isinstance(target, str):
        raise InvalidArgumentError(
            "tls must be None for a Unix socket, over which memcached speaks no TLS, "
            f"got a context for {_address.address_text(target)!r}"
        )


def same_server(target: _address.Address) -> _address.Address:
    """Return what is the same for all spellings of a server's address: case does not count."""
    return target if isinstance(target, str) else (target[0].lower(), target[1])


def same_name(name: Any) -> tuple[Any, ...]:
    """Return what is the same for all spellings of a server's name, which may be an address.

    Raises ``InvalidArgumentError`` or ``InvalidTypeError`` for what is no name: not a str, empty,
    or not printable.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"the name of a server must be a str, got {shown(name)}")
    if not name or not name.isprintable():
        raise InvalidArgumentError(
            f"the name of a server must be printable text, got {shown(name)}"
        )
    target = parse_name(name)
    if target is None:
        return (name,)
    same = same_server(target)
    return (same, None) if isinstance(same, str) else same


def parse_name(name: str) -> _address.Address | None:
    """Return the address that a server's name is, None if it is none."""
    try:
        return _address.parse_address(name, DEFAULT_PORT)
    except ValueError:
        return None


def listed_addresses(name: str, servers: Any, more: str = "") -> list[str]:
    """Return the addresses of a fleet, at least one, each once and well spelled.

    `name` is the argument's name, and `more` what else it may be. Raises ``InvalidArgumentError``
    or ``InvalidTypeError``, which say how to write what was probably meant.
    """
    text = _spelled(servers)
    if text is not None:
        raise _unlisted(name, servers, more, f": write [{text!r}]")
    if isinstance(servers, (Mapping, Set)):
        hint = ": the order of servers counts, and a set's or a dict's is an accident"
        raise _unlisted(name, servers, more, hint)
    if isinstance(servers, (str, bytes)) or not hasattr(type(servers), "__iter__"):
        hint = ": Client.over takes what has operations" if hasattr(servers, "get_multi") else ""
        raise _unlisted(name, servers, more, hint or _port_hint(servers))
    found: dict[Any, str] = {}
    for i, address in enumerate(servers):
        if not isinstance(address, str):
            raise InvalidTypeError(
                f"{name} must hold str, such as 'host:11211', got {shown(address)} at {i}"
                f"{_element_hint(address)}"
            )
        try:
            where = same_server(parse_address(address))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{name} must hold addresses, but at {i}: {error}") from None
        if where in found:
            raise InvalidArgumentError(
                f"{name} must name each server once, got {found[where]!r} and {address!r}"
            )
        found[where] = address
    if not found:
        raise InvalidArgumentError(f"{name} must name at least one server, got none")
    return list(found.values())


def _unlisted(name: str, servers: Any, more: str, hint: str) -> InvalidTypeError:
    wanted = f"a list of str, such as 'host:11211'{more}"
    return InvalidTypeError(f"{name} must be {wanted}, got {shown(servers)}{hint}")


def _spelled(value: Any) -> str | None:
    """Return as an address what is a host and a port, bytes or a path; None for anything else."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("ascii", "replace")
    if hasattr(type(value), "__fspath__"):
        return f"unix:{value}"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return None
    host, port = value
    if isinstance(port, str) and port.isdigit():
        port = int(port)
    return _with_port(host, port) if isinstance(host, str) else None


def _with_port(host: str, port: Any) -> str | None:
    """Return a host and a port as an address, None if that is none."""
    if _has_port(host):  # as an address with a weight has
        return None
    try:
        return _address.address_text(_address.parse_address((host, port)))
    except (TypeError, ValueError):
        return None


def _has_port(text: str) -> bool:
    """Return whether a text is an address with a port, or a Unix socket's, which needs none."""
    try:
        _address.parse_address(text)
    except ValueError:
        return False
    return True


def _element_hint(value: Any) -> str:
    """Return how to write an element of a list of servers, as the end of a message."""
    text = _spelled(value[:2] if isinstance(value, tuple) else value)
    weight = value[2:] if isinstance(value, tuple) else ()
    if text is None and isinstance(value, tuple) and value and isinstance(value[0], str):
        text, weight = value[0], value[1:]
    if text is None:
        return _port_hint(value)
    if len(weight) == 1 and type(weight[0]) is int:
        weights = {text: weight[0]}
        return f": write {text!r}, and the weight as shard_func=Ketama({weights!r})"
    return f": write {text!r}"


def _port_hint(value: Any) -> str:
    return ": that is a port alone, write 'host:port'" if type(value) is int else ""


def _kind(value: Any) -> str:
    """Return the name of a value's type, for a message that must not show the value."""
    return type(value).__name__
