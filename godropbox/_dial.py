"""Dialling: the only place that opens sockets. ``net2`` and ``memcache`` stand on it.

A module of its own, so that who needs no pools of ``net2`` does not load them.
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import socket
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from ._address import Address, address_text
from ._kernels._guarded import name_of, text_of
from .errors import ConnectionLostError, DeadlineExceededError, NetworkError

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["DialOptions", "begin_to_dial", "dial", "dial_failure"]


class DialOptions(NamedTuple):
    """How to dial: `timeout` seconds for all addresses of a name, the TLS handshake included."""

    timeout: float | None = 1.0
    tls: "ssl.SSLContext | None" = None
    server_hostname: str | None = None
    nodelay: bool = True
    keepalive: bool = True


def dial(target: Address, options: DialOptions) -> socket.socket:
    """Return a socket connected to `target` within ``options.timeout``.

    The addresses of a name are tried in turn, each for an equal share of the time that is left.
    Raises ``ConnectionLostError`` or ``DeadlineExceededError``, whose ``__cause__`` is the error of
    the address, or an ``ExceptionGroup`` of the errors of several.
    """
    deadline = None if options.timeout is None else monotonic() + options.timeout
    errors: list[OSError] = []
    candidates = _candidates(target)
    for i, (family, where) in enumerate(candidates):
        now = monotonic()
        until = None if deadline is None else now + (deadline - now) / (len(candidates) - i)
        try:
            return _connect(family, where, target, until, options)
        except OSError as error:
            errors.append(error)
    is_late = deadline is not None and monotonic() >= deadline
    raise dial_failure(target, errors, options.timeout, is_late)


def begin_to_dial(target: Address) -> socket.socket | None:
    """Return a non-blocking socket that is being connected, for its first use to wait for.

    So several are connected at the same time. None where ``dial`` has to wait: the name has several
    addresses, or sockets are not the operating system's own. Raises ``ConnectionLostError``.
    """
    candidates = _candidates(target)
    if len(candidates) != 1 or not issubclass(socket.socket, _socket.socket):
        return None
    [(family, where)] = candidates
    try:
        return _connect(family, where, target, None, DialOptions(), is_begun=True)
    except OSError as error:
        raise dial_failure(target, [error]) from error


def _candidates(target: Address) -> list[tuple[Any, Any]]:
    """Return families and socket addresses, in the system's order."""
    try:
        if isinstance(target, str):
            if not hasattr(socket, "AF_UNIX"):
                raise OSError("this system has no Unix sockets")
            return [(socket.AF_UNIX, target)]
        found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    except OSError as error:
        raise dial_failure(target, [error]) from error
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _connect(
    family: Any,
    where: Any,
    target: Address,
    deadline: float | None,
    options: DialOptions,
    is_begun: bool = False,
) -> socket.socket:
    """Return a connected socket, or where `is_begun` a non-blocking one that is being connected."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        if isinstance(target, tuple):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, options.nodelay)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.keepalive)
        if is_begun:
            connection.settimeout(0.0)
            with suppress(BlockingIOError):
                connection.connect(where)
            return connection
        _set_deadline(connection, deadline)
        connection.connect(where)
        if options.tls is not None:
            _set_deadline(connection, deadline)
            host = options.server_hostname or (target[0] if isinstance(target, tuple) else None)
            connection = options.tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_deadline(connection: socket.socket, deadline: float | None) -> None:
    # At least a millisecond, as 0 would be no timeout but a non-blocking socket.
    connection.settimeout(None if deadline is None else max(deadline - monotonic(), 1e-3))


def dial_failure(
    target: Address, errors: list[OSError], seconds: float | None = None, is_late: bool = False
) -> NetworkError:
    """Return the error for a connection that was not made, from the errors of its addresses."""
    message = f"cannot connect to {address_text(target)}"
    kind: type[NetworkError] = ConnectionLostError
    if is_late or any(isinstance(error, TimeoutError) for error in errors):
        kind = DeadlineExceededError
        if seconds is not None:
            message = f"{message} within {seconds:g} s"
    said = "; ".join(dict.fromkeys(text_of(error) or name_of(type(error)) for error in errors))
    cause = errors[0] if len(errors) == 1 else ExceptionGroup(message, errors)
    return kind(f"{message}: {said}", cause=cause)
