"""What memcached adds to dialling: its port, its logins, and connections for a fleet."""

import socket
from time import monotonic
from typing import TYPE_CHECKING

from .._address import Address, address_text
from .._dial import begin_to_dial, dial, options_of
from .._kernels._channels import Channel, refusal
from .address import Credentials, check_transport, parse_address
from .connection import Connection
from .errors import DeadlineExceededError, ServerError
from .fleet.options import ShardOptions
from .protocol.ascii import AsciiProtocol
from .protocol.binary import BinaryProtocol

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["connect", "open_connection", "send"]


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
    connecting, to whichever address of the name answers, the TLS handshake and the login together.
    Raises ``InvalidArgumentError``, ``ConnectionLostError``, ``DeadlineExceededError``, and
    ``ServerError`` for a login that is refused.
    """
    options = ShardOptions(timeout=timeout, connect_timeout=connect_timeout, tls=tls, auth=auth)
    target = parse_address(address)
    check_transport(target, tls)
    return _connect(target, options)


def open_connection(options: ShardOptions, address: str) -> Connection:
    """Return a connection for a fleet; its first operation may have to wait until it is made.

    So the connections of one operation are made at the same time, within its deadline.
    """
    target = parse_address(address)
    is_bare = options.tls is None and options.auth is None
    channel = begin_to_dial(target, options_of(options)) if is_bare else None
    channel = channel or _connect(target, options)
    channel.settimeout(options.timeout)
    return Connection(channel, options.timeout)


def send(channel: Channel, request: bytes) -> None:
    """Send a first request over a connection; a server that had no room for it is named as that."""
    try:
        channel.sendall(request)
    except OSError as error:
        raise refusal(channel, error) from error


def _connect(target: Address, options: ShardOptions) -> socket.socket:
    deadline = monotonic() + options.connect_timeout
    channel = dial(target, options_of(options))
    try:
        if options.auth is not None:
            left = deadline - monotonic()
            if left <= 0:
                late = f"no login at {address_text(target)} within {options.connect_timeout:g} s"
                raise DeadlineExceededError(late)
            _log_in(channel, options.auth, left)
        channel.settimeout(options.timeout)
    except BaseException:
        channel.close()
        raise
    return channel


def _log_in(channel: socket.socket, who: Credentials, timeout: float) -> None:
    protocol = AsciiProtocol() if who.mechanism == "ascii" else BinaryProtocol()
    exchange = protocol.authenticate(who.user, who.password)
    response = Connection(channel, timeout).run(exchange)
    error = getattr(response, "error", None)
    if error is not None:
        raise ServerError(f"the login of {who.user!r} was refused: {error}", **error.fields)
