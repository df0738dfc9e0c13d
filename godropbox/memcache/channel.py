"""Making the channel of a raw client: addresses, socket options, TLS and logging in."""

import _socket  # the operating system's own sockets, which gevent cannot replace
import errno
import os
import socket
import ssl
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .._kernels._guarded import text_of
from .connection import Connection
from .errors import (
    ConnectionLostError,
    DeadlineExceededError,
    InvalidArgumentError,
    NetworkError,
    ServerError,
)
from .protocol.ascii import AsciiProtocol
from .protocol.binary import BinaryProtocol

__all__ = ["Credentials", "begin_to_connect", "connect", "parse_address"]

_DEFAULT_PORT = 11211


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who is to be logged in, and how: ``"ascii"`` (``--auth-file``) or ``"sasl"`` (PLAIN)."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "ascii"

    def __post_init__(self) -> None:
        if self.mechanism not in ("ascii", "sasl"):
            raise InvalidArgumentError(
                f"mechanism must be 'ascii' or 'sasl', got {self.mechanism!r}"
            )


def parse_address(address: str) -> str | tuple[str, int]:
    """Return the path of a Unix socket, or a host and a port."""
    if address.startswith("unix:"):
        if len(address) == 5:
            raise InvalidArgumentError("address must have a path behind 'unix:'")
        return address[5:]
    host, colon, port = address.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        host, colon, port = address, ":", str(_DEFAULT_PORT)
    elif not colon:
        host, port = address, str(_DEFAULT_PORT)
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not host or not 0 < number < 65536 or (":" in host and not bracketed):
        raise InvalidArgumentError(
            f"address must be host:port, [IPv6]:port or unix:/path, got {address!r}"
        )
    return host, number


def _open(address: str | tuple[str, int], timeout: float) -> socket.socket:
    if isinstance(address, tuple):
        channel = socket.create_connection(address, timeout)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return channel
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.settimeout(timeout)
        channel.connect(address)
    except BaseException:
        channel.close()
        raise
    return channel


def begin_to_connect(address: str, timeout: float | None) -> socket.socket | None:
    """Return a channel that is being connected, for the first operation over it to wait for.

    So the connections of one operation are made at the same time, within its deadline. None where
    that is not to be had: the name has several addresses, of which the next may have to be tried,
    or the sockets are not the operating system's own. Raises ``ConnectionLostError``.
    """
    target = parse_address(address)
    channel: socket.socket | None = None
    try:
        if isinstance(target, tuple):
            found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
            places: set[tuple[int, Any]] = {(each[0], each[4]) for each in found}
        else:
            places = {(socket.AF_UNIX, target)}
        if len(places) != 1:
            return None
        family, where = places.pop()
        channel = socket.socket(family, socket.SOCK_STREAM)
        if not isinstance(channel, _socket.socket):
            channel.close()
            return None
        if isinstance(target, tuple):
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        channel.settimeout(0.0)
        number = channel.connect_ex(where)
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(number, os.strerror(number))
        channel.settimeout(timeout)
    except BaseException as error:
        if channel is not None:
            channel.close()
        if isinstance(error, OSError):
            message = f"cannot connect to {address}: {text_of(error)}"
            raise ConnectionLostError(message, cause=error) from error
        raise
    return channel


def _log_in(channel: socket.socket, who: Credentials, timeout: float) -> None:
    protocol = AsciiProtocol() if who.mechanism == "ascii" else BinaryProtocol()
    exchange = protocol.authenticate(who.user, who.password)
    response = Connection(channel, timeout).run(exchange)
    error = getattr(response, "error", None)
    if error is not None:
        raise ServerError(f"the login of {who.user!r} was refused: {error}", **error.fields)


def connect(
    address: str,
    *,
    timeout: float | None = 1.0,
    connect_timeout: float = 1.0,
    tls: ssl.SSLContext | None = None,
    auth: Credentials | None = None,
) -> socket.socket:
    """Return a channel to the server at `address`, for a raw client to own.

    `address` is ``host:port``, ``[IPv6]:port`` or ``unix:/path``. `timeout` is what the client
    allows a whole operation, in seconds; `connect_timeout` is for all that is done here. Raises
    ``InvalidArgumentError``, ``ConnectionLostError``, ``DeadlineExceededError``, and
    ``ServerError`` for a login that is refused.
    """
    target = parse_address(address)
    for name, seconds in (("timeout", timeout), ("connect_timeout", connect_timeout)):
        if (seconds is not None or name != "timeout") and not 0 < (seconds or 0) < 1e9:
            raise InvalidArgumentError(f"{name} must be in (0, 1e9) seconds, got {seconds!r}")
    deadline = monotonic() + connect_timeout
    channel: socket.socket | None = None
    try:
        channel = _open(target, connect_timeout)
        if tls is not None:
            channel.settimeout(_left(deadline))
            host = target[0] if isinstance(target, tuple) else None
            channel = tls.wrap_socket(channel, server_hostname=host)
        if auth is not None:
            _log_in(channel, auth, _left(deadline))
        channel.settimeout(timeout)
    except BaseException as error:
        if channel is not None:
            channel.close()
        if isinstance(error, OSError) and not isinstance(error, NetworkError):
            kind = DeadlineExceededError if isinstance(error, TimeoutError) else ConnectionLostError
            raise kind(f"cannot connect to {address}: {text_of(error)}", cause=error) from error
        raise
    return channel


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the deadline passed")
    return left
