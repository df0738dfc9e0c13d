"""What memcached adds to ``net2``'s dialling: its port, its logins, and connections for a fleet."""

import socket
from time import monotonic
from typing import TYPE_CHECKING

from .. import net2
from .address import Credentials, parse_address
from .connection import Connection
from .errors import DeadlineExceededError, InvalidArgumentError, ServerError
from .fleet.options import ShardOptions
from .protocol.ascii import AsciiProtocol
from .protocol.binary import BinaryProtocol

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["connect", "open_connection"]


def connect(
    address: str,
    *,
    timeout: float | None = 1.0,
    connect_timeout: float = 1.0,
    tls: "ssl.SSLContext | None" = None,
    auth: Credentials | None = None,
) -> socket.socket:
    """Return a channel to the server at `address`, for a raw client to own.

    `address` is ``host:port``, ``[IPv6]:port`` or ``unix:/path``; the port is 11211 by default.
    `timeout` is the client's, for a whole operation, in seconds; `connect_timeout` is for
    connecting, the TLS handshake and the login together. Raises ``InvalidArgumentError``,
    ``ConnectionLostError``, ``DeadlineExceededError``, and ``ServerError`` for a login that is
    refused.
    """
    target = parse_address(address)
    for name, seconds in (("timeout", timeout), ("connect_timeout", connect_timeout)):
        if (seconds is not None or name != "timeout") and not 0 < (seconds or 0) < 1e9:
            raise InvalidArgumentError(f"{name} must be in (0, 1e9) seconds, got {seconds!r}")
    deadline = monotonic() + connect_timeout
    options = net2.ConnectionOptions(dial_timeout=connect_timeout, read_timeout=timeout, tls=tls)
    channel = net2.dial(target, options)
    if auth is not None:
        try:
            left = deadline - monotonic()
            if left <= 0:
                late = f"cannot log in at {address} within {connect_timeout:g} s"
                raise DeadlineExceededError(late)
            _log_in(channel, auth, left)
            channel.settimeout(timeout)
        except BaseException:
            channel.close()
            raise
    return channel


def open_connection(options: ShardOptions, address: str) -> Connection:
    """Return a connection for a fleet; its first operation may have to wait until it is made.

    So the connections of one operation are made at the same time, within its deadline.
    """
    channel = None
    if options.tls is None and options.auth is None:
        channel = net2.begin_to_dial(parse_address(address))
    if channel is None:
        channel = connect(
            address,
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            tls=options.tls,
            auth=options.auth,
        )
    channel.settimeout(options.timeout)
    return Connection(channel, options.timeout)


def _log_in(channel: socket.socket, who: Credentials, timeout: float) -> None:
    protocol = AsciiProtocol() if who.mechanism == "ascii" else BinaryProtocol()
    exchange = protocol.authenticate(who.user, who.password)
    response = Connection(channel, timeout).run(exchange)
    error = getattr(response, "error", None)
    if error is not None:
        raise ServerError(f"the login of {who.user!r} was refused: {error}", **error.fields)
