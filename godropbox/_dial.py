"""Dialling: the only place that opens sockets. ``net2`` and ``memcache`` stand on it.

A module of its own, so that who needs no pools of ``net2`` does not load them.
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import errno
import os
import socket
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ._address import Address, address_text
from ._kernels._guarded import name_of, text_of
from .errors import ConnectionLostError, DeadlineExceededError, NetworkError

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = [
    "BACKLOG_FULL",
    "STAGGER",
    "DialOptions",
    "begin_to_dial",
    "check_tls",
    "dial",
    "dial_failure",
    "options_of",
    "pauses",
    "set_tcp_options",
    "tls_name",
]

STAGGER: Final = 0.25  # seconds from one address to the next, as RFC 8305, section 8, recommends
BACKLOG_FULL: Final = "the server's backlog of connections is full"
_LONGEST_PAUSE: Final = 0.02


class DialOptions(NamedTuple):
    """How to dial: `timeout` seconds for all addresses of a name, the TLS handshake included.

    An idle connection is probed after `keepalive_idle` seconds, then each `keepalive_interval`, and
    is lost after `keepalive_count` probes without an answer; None is what the system has.
    """

    timeout: float | None = 1.0
    tls: "ssl.SSLContext | None" = None
    server_hostname: str | None = None
    nodelay: bool = True
    keepalive: bool = True
    keepalive_idle: int | None = None
    keepalive_interval: int | None = None
    keepalive_count: int | None = None


_PLAIN: Final = DialOptions()


def options_of(given: Any) -> DialOptions:
    """Return how to dial, of the options of a fleet."""
    names = ("keepalive_idle", "keepalive_interval", "keepalive_count")
    times = {name: getattr(given, name) for name in names}
    return DialOptions(given.connect_timeout, given.tls, **times)


def check_tls(target: Address, tls: Any, server_hostname: str | None = None) -> None:
    """Raise ``ValueError`` for TLS over a Unix socket, if the context needs a name to verify."""
    if (
        isinstance(target, str)
        and server_hostname is None
        and getattr(tls, "check_hostname", False)
    ):
        raise ValueError(
            f"tls needs server_hostname over a Unix socket, for there is no name to verify in"
            f" {address_text(target)!r}"
        )


def tls_name(target: Address) -> str | None:
    """Return the name in a server's certificate: that of the host, without what only DNS needs.

    That is the dot at the end of a name that is complete, and the zone of an IPv6 address.
    """
    if isinstance(target, str):
        return None
    return target[0].partition("%")[0].removesuffix(".")


def set_tcp_options(connection: Any, options: DialOptions) -> None:
    """Set the options of TCP. Raises ``OSError`` for one that the system does not have."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, options.nodelay)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.keepalive)
    for name, value in (
        ("TCP_KEEPIDLE", options.keepalive_idle),
        ("TCP_KEEPINTVL", options.keepalive_interval),
        ("TCP_KEEPCNT", options.keepalive_count),
    ):
        if value is None:
            continue
        number = getattr(socket, name, None)
        if number is None and name == "TCP_KEEPIDLE":
            number = getattr(socket, "TCP_KEEPALIVE", None)  # its name in macOS
        if number is None:
            raise OSError(f"this system has no {name}")
        connection.setsockopt(socket.IPPROTO_TCP, number, value)


def pauses(deadline: float | None, clock: Any = monotonic) -> Iterator[float]:
    """Yield pauses in seconds, short at first, until a deadline."""
    pause = 0.001
    while True:
        left = inf if deadline is None else deadline - clock()
        if left <= 0:
            return
        yield min(pause, left)
        pause = min(2 * pause, _LONGEST_PAUSE)


def dial(target: Address, options: DialOptions) -> socket.socket:
    """Return a socket connected to `target` within ``options.timeout``.

    The addresses of a name are tried at once, each a little later than the one before or when that
    has failed (RFC 8305), and the first that answers is taken. Sockets that are not the operating
    system's own try them in turn, each for an equal share of the time that is left. Raises
    ``ConnectionLostError`` or ``DeadlineExceededError``, which name the addresses, and whose
    ``__cause__`` is the error of the address, or an ``ExceptionGroup`` of the errors of several.
    """
    deadline = None if options.timeout is None else monotonic() + options.timeout
    errors: list[OSError] = []
    names: list[str] = []
    candidates = _candidates(target)
    is_own = issubclass(socket.socket, _socket.socket)
    connect = _race if is_own and len(candidates) > 1 else _in_turn
    with closing(connect(candidates, target, deadline, options, names, errors)) as connections:
        for name, connection in connections:
            left = len(candidates) - len(errors)
            try:
                return _secured(connection, target, deadline, left, options)
            except OSError as error:
                errors.append(error)
                names.append(name)
    is_late = deadline is not None and monotonic() >= deadline
    raise dial_failure(target, errors, options.timeout, is_late, names)


def begin_to_dial(target: Address, options: DialOptions = _PLAIN) -> socket.socket | None:
    """Return a non-blocking socket that is being connected, for its first use to wait for.

    So several are connected at the same time. None where ``dial`` has to wait: the name has several
    addresses, a Unix socket takes no more connections now, or sockets are not the operating
    system's own. Raises ``ConnectionLostError``.
    """
    candidates = _candidates(target)
    if len(candidates) != 1 or not issubclass(socket.socket, _socket.socket):
        return None
    [(family, where)] = candidates
    try:
        connection = _opened(family, target, options)
        try:
            connection.settimeout(0.0)
            with suppress(BlockingIOError):
                connection.connect(where)
                return connection
            if isinstance(target, tuple):
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()  # the backlog is full: it is not being connected
        return None
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


def _opened(family: Any, target: Address, options: DialOptions) -> socket.socket:
    """Return a socket that is not connected."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        if isinstance(target, tuple):
            set_tcp_options(connection, options)
    except BaseException:
        connection.close()
        raise
    return connection


def _in_turn(
    candidates: list[Any],
    target: Address,
    deadline: float | None,
    options: DialOptions,
    names: list[str],
    errors: list[OSError],
) -> Generator[tuple[str, socket.socket], None, None]:
    """Yield connected sockets, each tried for an equal share of the time that is left."""
    for i, (family, where) in enumerate(candidates):
        until = _share(deadline, len(candidates) - i)
        try:
            connection = _opened(family, target, options)
            try:
                _connect(connection, where, until)
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            errors.append(error)
            names.append(_name_of(where))
        else:
            yield _name_of(where), connection


def _connect(connection: socket.socket, where: Any, deadline: float | None) -> None:
    """Connect a socket by a deadline."""
    _set_deadline(connection, deadline)
    try:
        connection.connect(where)
    except BlockingIOError:
        # Linux says so of a Unix socket whose backlog is full; it does not tell when there is room.
        for pause in pauses(deadline):
            sleep(pause)
            with suppress(BlockingIOError):
                connection.connect(where)
                return
        raise TimeoutError(BACKLOG_FULL) from None


def _race(
    candidates: list[Any],
    target: Address,
    deadline: float | None,
    options: DialOptions,
    names: list[str],
    errors: list[OSError],
) -> Generator[tuple[str, socket.socket], None, None]:
    """Yield connected sockets as they come; each address is tried ``STAGGER`` after the last."""
    import selectors  # for names of several addresses alone

    waiting = deque(candidates)
    with getattr(selectors, "PollSelector", selectors.DefaultSelector)() as selector:
        try:
            following = -inf  # when the next address is tried
            while waiting or selector.get_map():
                now = monotonic()
                if deadline is not None and now >= deadline:
                    late = [_name_of(where) for _, where in waiting]
                    late[:0] = [key.data for key in selector.get_map().values()]
                    names += late
                    errors += [TimeoutError("timed out") for _ in late]
                    return
                if waiting and (now >= following or not selector.get_map()):
                    left = inf if deadline is None else deadline - now
                    following = now + min(STAGGER, left / (len(waiting) + 1))
                    family, where = waiting.popleft()
                    try:
                        connection = _begun(family, where, target, options)
                    except OSError as error:
                        names.append(_name_of(where))
                        errors.append(error)
                    else:
                        selector.register(connection, selectors.EVENT_WRITE, _name_of(where))
                    continue
                end = min(following if waiting else inf, inf if deadline is None else deadline)
                for key, _ in selector.select(None if end == inf else max(end - now, 0.0)):
                    ready: Any = key.fileobj
                    selector.unregister(ready)
                    number = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if number:
                        ready.close()
                        names.append(key.data)
                        errors.append(OSError(number, os.strerror(number)))
                        following = -inf
                    else:
                        yield key.data, ready
                        following = -inf
        finally:
            for key in list(selector.get_map().values()):
                rest: Any = key.fileobj
                rest.close()


def _begun(family: Any, where: Any, target: Address, options: DialOptions) -> socket.socket:
    """Return a socket that is being connected."""
    connection = _opened(family, target, options)
    try:
        connection.settimeout(0.0)
        number = connection.connect_ex(where)
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(number, os.strerror(number))
    except BaseException:
        connection.close()
        raise
    return connection


def _secured(
    connection: socket.socket,
    target: Address,
    deadline: float | None,
    left: int,
    options: DialOptions,
) -> socket.socket:
    """Return a connected socket with TLS, if that is asked for; close it if that fails.

    The handshake has an equal share of the time, of as many addresses as are `left`.
    """
    try:
        _set_deadline(connection, _share(deadline, left))
        if options.tls is not None:
            host = options.server_hostname or tls_name(target)
            connection = options.tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return connection


def _share(deadline: float | None, count: int) -> float | None:
    """Return the end of one of `count` equal shares of the time that is left."""
    if deadline is None:
        return None
    now = monotonic()
    return now + (deadline - now) / max(count, 1)


def _set_deadline(connection: socket.socket, deadline: float | None) -> None:
    # At least a millisecond, as 0 would be no timeout but a non-blocking socket.
    connection.settimeout(None if deadline is None else max(deadline - monotonic(), 1e-3))


def _name_of(where: Any) -> str:
    """Return a socket address as the text of an address."""
    return address_text(where if isinstance(where, str) else where[:2])


def dial_failure(
    target: Address,
    errors: list[OSError],
    seconds: float | None = None,
    is_late: bool = False,
    names: list[str] | None = None,
) -> NetworkError:
    """Return the error for a connection that was not made, from the errors of its addresses.

    `names` are those of the addresses, one an error.
    """
    message = f"cannot connect to {address_text(target)}"
    kind: type[NetworkError] = ConnectionLostError
    if is_late or any(isinstance(error, TimeoutError) for error in errors):
        kind = DeadlineExceededError
        if seconds is not None:
            message = f"{message} within {seconds:g} s"
    texts = [text_of(error) or name_of(type(error)) for error in errors]
    if names is not None and len(names) > 1:
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
    said = "; ".join(dict.fromkeys(texts))
    if any(getattr(error, "reason", None) == "WRONG_VERSION_NUMBER" for error in errors):
        said += (
            "; the server answered in plain text: it does not speak TLS, or has as many connections"
            " as it allows (memcached's option -c)"
        )
    cause = errors[0] if len(errors) == 1 else ExceptionGroup(message, errors)
    return kind(f"{message}: {said}", cause=cause)
