"""The grammar of addresses, and the numbers of TCP's keepalive. No sockets here.

An address is ``"host:port"``, ``"[IPv6]:port"`` or ``(host, port)`` for TCP; ``"unix:path"``, or a
path with a slash in it, for a Unix socket.
"""

import os
import re
from typing import Any, Final

from ._kernels._args import checked_int, shown

__all__ = ["Address", "address_text", "check_keepalive", "parse_address"]

Address = tuple[str, int] | str

_NAME: Final = re.compile(r"[\w.-]+")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%\S+)?")
# What no path begins with that is not marked as one.
_PORT_AND_SLASH: Final = re.compile(r"(?!unix:)(\[[^]/]*\]|[^:/]+):\d+/")
_LONGEST_PATH: Final = 107  # bytes, of a Unix socket, under Linux

_KEEPALIVE: Final = {"idle": 32767, "interval": 32767, "count": 127}  # and what Linux takes at most


def parse_address(address: Any, default_port: int | None = None) -> Address:
    """Return an address in its one form: ``(host, port)``, or the path of a Unix socket.

    `default_port` stands for a port that a str leaves out; None requires one. Raises ``TypeError``
    or ``ValueError``.
    """
    port: Any
    if isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str):
        host, port = address
    elif not isinstance(address, str):
        raise TypeError(f"address must be (host, port) or a str, got {shown(address)}")
    elif "/" in address or address.startswith("unix:"):
        path = address.removeprefix("unix:")
        is_path = path and "://" not in address and not _PORT_AND_SLASH.match(address)
        if is_path and len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        host, port = "", None
    else:
        host, colon, digits = address.rpartition(":")
        port = int(digits) if digits.isascii() and digits.isdigit() else -1
        if not colon or address.endswith("]"):
            host, port = address, default_port
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            host = host if ":" in host else ""
        elif ":" in host:
            host = ""
    if (
        not _is_host(host)
        or isinstance(port, bool)
        or not isinstance(port, int)
        or not 0 < port < 65536
    ):
        forms = "host:port, [IPv6]:port, unix:/path or (host, port)"
        if default_port is not None:
            forms = "host, host:port, [IPv6]:port or unix:/path"
        raise ValueError(
            f"address must be {forms}, with a port in [1, 65535], got {shown(address)}"
            f"{_hint(address)}"
        )
    return host, port


def _is_host(host: str) -> bool:
    """Return whether `host` can be a name or an IP address; whether there is one, who knows."""
    if ":" in host:
        return _IPV6.fullmatch(host) is not None
    labels = host.removesuffix(".").split(".")
    if not _NAME.fullmatch(host) or not all(labels):
        return False
    if all(label.isdigit() for label in labels):
        return 1 < len(labels) <= 4 and all(int(label) < 256 for label in labels)
    if host.isascii():
        return max(map(len, labels)) < 64
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _hint(address: Any) -> str:
    """Return what a wrong address probably meant, as the end of a message."""
    if not isinstance(address, str):
        return ""
    rest = address.partition("://")[2]
    if rest:
        return f": an address has no scheme, write {rest.rstrip('/')!r}"
    if _PORT_AND_SLASH.match(address):
        return f": write {address.partition('/')[0]!r}"
    several = [part for part in re.split(r"[,;\s]+", address) if part]
    if several and several != [address]:
        return f": write {several[0]!r}" if len(several) == 1 else f": give a list, {several!r}"
    if address.isdigit():
        return ": that is a port alone"
    kind, _, rest = address.partition(":")
    if kind in ("inet", "inet6", "tcp") and rest:
        return f": write {rest!r}"
    if address.count(":") > 1 and _IPV6.fullmatch(address):
        return ": an IPv6 address is in brackets, as in '[::1]:11211'"
    if "/" in address:
        return f": the path of a Unix socket has at most {_LONGEST_PATH} bytes"
    return ""


def address_text(address: Address) -> str:
    """Return a parsed address as the text that ``parse_address`` takes."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_keepalive(options: Any) -> None:
    """Check the options of these names. Raises ``TypeError`` or ``ValueError``."""
    for word, most in _KEEPALIVE.items():
        name = f"keepalive_{word}"
        value = getattr(options, name)
        if value is None:
            continue
        if isinstance(value, bool):
            raise TypeError(f"{name} must be an int in [1, {most}] or None, got {shown(value)}")
        if checked_int(name, f"[1, {most}]", value, most + 1) < 1:
            raise ValueError(f"{name} must be an int in [1, {most}], got {value}")
