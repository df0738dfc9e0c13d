"""The grammar of addresses, for whatever dials or names a server. No sockets here.

An address is ``"host:port"``, ``"[IPv6]:port"`` or ``(host, port)`` for TCP; ``"unix:path"``, or a
path with a slash in it, for a Unix socket.
"""

from typing import Any

from ._kernels._args import shown

__all__ = ["Address", "address_text", "parse_address"]

Address = tuple[str, int] | str


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
        if path:
            return path
        host, port = "", None
    else:
        host, colon, digits = address.rpartition(":")
        port = int(digits) if digits.isascii() and digits.isdigit() else -1
        if not colon or address.endswith("]"):
            host, port = address, default_port
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
    if not host or isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(
            "address must be host:port, [IPv6]:port, unix:/path or (host, port), with a port in "
            f"[1, 65535], got {shown(address)}"
        )
    return host, port


def address_text(address: Address) -> str:
    """Return a parsed address as the text that ``parse_address`` takes."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
