"""The arguments of pymemcache's clients: what they may be, and what they are for ours."""

import platform
import socket
from typing import Any, Final

from ...._address import parse_address
from ...._kernels._args import shown
from ..exceptions import MemcacheIllegalInputError

__all__ = [
    "KeepaliveOpts",
    "Key",
    "ServerSpec",
    "address_of",
    "as_token",
    "check_keepalive",
    "check_key_helper",
    "checked_integer",
    "checked_seconds",
    "listed",
    "normalize_server_spec",
    "socket_options",
]

Key = str | bytes
ServerSpec = tuple[str, int] | str

_MOST_SECONDS: Final = 1e9
_KEEPALIVE_SYSTEMS: Final = frozenset(["Linux"])


def check_key_helper(key: Key, allow_unicode_keys: bool, key_prefix: bytes = b"") -> bytes:
    """Return a key as it goes over the wire, after `key_prefix`.

    Raises ``MemcacheIllegalInputError``, and ``TypeError`` for what is neither str nor bytes.
    """
    raw: Any = key
    if isinstance(key, str):
        try:
            raw = key.encode("utf8" if allow_unicode_keys else "ascii")
        except UnicodeEncodeError:
            raise MemcacheIllegalInputError(f"Non-ASCII key: {key!r}") from None
    elif not isinstance(key, bytes):
        raise TypeError(f"key must be str or bytes, got {shown(key)}")
    raw = key_prefix + raw
    if len(raw) > 250:
        raise MemcacheIllegalInputError(f"Key is too long: {raw!r}")
    if len(b"".join(raw.split())) != len(raw):
        raise MemcacheIllegalInputError(f"Key contains whitespace: {raw!r}")
    if b"\0" in raw:
        raise MemcacheIllegalInputError(f"Key contains null: {raw!r}")
    return bytes(raw)


def normalize_server_spec(server: Any) -> Any:
    """Return a server as (host, port), or the path of a Unix socket.

    It may be a tuple, ``"host:port"``, ``"host"``, ``"[IPv6]:port"``, ``"unix:/path"`` or a path
    that begins with a slash; the port is 11211 by default.
    """
    if isinstance(server, tuple):
        return server
    if not isinstance(server, str):
        raise ValueError(f"Unsupported server specification: {server!r}")
    if server.startswith("unix:"):
        return server[5:]
    if server.startswith("/"):
        return server
    host, port = server, 11211
    if ":" in server and not server.endswith("]"):
        host, _, digits = server.rpartition(":")
        port = int(digits)
    return host.strip("[]") if host.startswith("[") else host, port


class KeepaliveOpts:
    """TCP keepalive: seconds until the first probe, seconds between probes, and how many."""

    __slots__ = ("cnt", "idle", "intvl")

    def __init__(self, idle: int = 1, intvl: int = 1, cnt: int = 5) -> None:
        for name, value in (("idle", idle), ("intvl", intvl), ("cnt", cnt)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {shown(value)}")
        self.idle = idle
        self.intvl = intvl
        self.cnt = cnt


def check_keepalive(options: Any) -> None:
    """Raise unless these are options of keepalive, or None, that this system has."""
    if options is None:
        return
    system = platform.system()
    if system not in _KEEPALIVE_SYSTEMS:
        known = ", ".join(sorted(_KEEPALIVE_SYSTEMS))
        raise SystemError(f"socket_keepalive is for {known}; this is {system}: leave it out")
    if not isinstance(options, KeepaliveOpts):
        raise ValueError(f"socket_keepalive must be a KeepaliveOpts, got {shown(options)}")


def socket_options(no_delay: bool, keepalive: Any) -> list[tuple[int, int, int]]:
    """Return the options of a socket of TCP, as ``setsockopt`` takes them."""
    options = []
    if no_delay:
        options.append((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))
    if keepalive is not None:
        options += [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive.idle),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, keepalive.intvl),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, keepalive.cnt),
        ]
    return options


def address_of(server: Any) -> Any:
    """Return a server as an address that can be dialled."""
    if isinstance(server, str):
        return parse_address(f"unix:{server}")
    if len(server) == 2 and isinstance(server[1], str) and server[1].isdigit():
        server = server[0], int(server[1])  # ElastiCache's discovery gives text
    return parse_address(server)


def checked_integer(name: str, value: Any) -> int:
    """Return an argument that must be an int."""
    if not isinstance(value, int):
        raise MemcacheIllegalInputError(f"{name} must be integer, got bad value: {value!r}")
    return int(value)


def checked_seconds(name: str, value: Any) -> Any:
    """Return a limit of time, None for none."""
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number of seconds or None, got {shown(value)}")
        if not 0 < value < _MOST_SECONDS:
            raise ValueError(f"{name} must be in (0, 1e9) seconds or None, got {shown(value)}")
    return value


def as_token(cas: Any, encoding: str) -> int:
    """Return a token as a number, however it was kept."""
    text = cas
    if isinstance(cas, int | str):
        text = str(cas).encode(encoding, "replace")
    if not isinstance(text, bytes) or not text.isdigit():
        raise MemcacheIllegalInputError(
            f"cas must be an int, or text or bytes of digits, got {shown(cas)}"
        )
    return int(text)


def listed(keys: Any) -> list[Any]:
    """Return the keys of a batch; one key alone is a mistake, not a batch of its letters."""
    if isinstance(keys, str | bytes):
        raise MemcacheIllegalInputError(f"keys must be an iterable of keys, got {shown(keys)}")
    return list(keys)
