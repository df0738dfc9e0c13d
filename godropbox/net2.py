"""Dialling, and pools of connections: timeouts, and what makes a connection fit to be lent again.

- ``dial``: a connected socket, over TCP, a Unix socket or TLS, within one deadline;
  ``begin_to_dial``: one that is still being connected.
- ``SimpleConnectionPool``, ``MultiConnectionPool``: pools of sockets to one address, or to many.
- ``ManagedConnection``: a socket on loan, with a timeout for reads and another for writes.
- ``ConnectionOptions``: all of the pool's options, and those of dialling and of the connections.

The only place that opens sockets. An address is what ``parse_address`` takes. A connection that
cannot be made or breaks raises ``ConnectionLostError``, one that is late ``DeadlineExceededError``.
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import errno
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from ._address import Address, address_text, parse_address
from ._kernels._args import shown
from ._kernels._guarded import text_of
from ._kernels._identity import refuse_copies
from .errors import ConnectionLostError, DeadlineExceededError, DropboxError, NetworkError
from .resource_pool import (
    ManagedHandle,
    MultiResourcePool,
    PoolOptions,
    PoolStats,
    SimpleResourcePool,
)

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = [
    "Address",
    "ConnectionLostError",
    "ConnectionOptions",
    "DeadlineExceededError",
    "ManagedConnection",
    "MultiConnectionPool",
    "SimpleConnectionPool",
    "begin_to_dial",
    "dial",
    "is_quiet",
    "parse_address",
]


def is_quiet(connection: socket.socket) -> bool:
    """Return whether an idle connection is still open, with nothing to read.

    Bytes that no request asked for mean that the connection is out of step, or at its end.
    """
    before = connection.gettimeout()
    connection.settimeout(0.0)
    try:
        connection.recv(1)
    except OSError as error:
        # ``ssl.SSLWantReadError`` by its name, since only those who use TLS load ``ssl``.
        return isinstance(error, BlockingIOError) or type(error).__name__ == "SSLWantReadError"
    finally:
        connection.settimeout(before)
    return False


def abandon(connection: socket.socket) -> None:
    """Close a child's copy of its parent's connection; send the other side nothing."""
    os.close(connection.detach())


def _dialled(address: Any) -> socket.socket:
    """Stand for ``dial`` with these options, which a pool puts in its place."""
    raise AssertionError(f"a connection pool would have dialled {address!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions(PoolOptions):
    """The options of a pool of connections; those of ``PoolOptions`` are per address.

    - `open`: takes an address and returns a connected socket; ``dial`` by default. `max_opens`
      limits how many are dialled at a time.
    - `check`: ``is_quiet`` by default, so that a connection that its server closed while it was
      idle is never lent; None checks nothing.
    - `dial_timeout`: for a whole dial: all addresses of a name, and the TLS handshake.
    - `read_timeout`, `write_timeout`: for each read, and each write, of a connection.
    - `tls`: a context to wrap connections with, and `server_hostname` the name to verify if it is
      not the host of the address.
    - `nodelay`, `keepalive`: the TCP options of these names.
    """

    open: Callable[[Any], Any] = _dialled
    check: Callable[[Any], object] | None = is_quiet
    abandon: Callable[[Any], object] | None = abandon
    dial_timeout: float | None = 1.0
    read_timeout: float | None = None
    write_timeout: float | None = None
    tls: "ssl.SSLContext | None" = None
    server_hostname: str | None = None
    nodelay: bool = True
    keepalive: bool = True

    def __post_init__(self) -> None:
        PoolOptions.__post_init__(self)  # a class with slots is made twice, which breaks super()
        for name in ("dial_timeout", "read_timeout", "write_timeout"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not number:
                raise TypeError(f"{name} must be a number of seconds or None, got {shown(value)}")
            if value is not None and not 0 < value < 1e9:
                raise ValueError(f"{name} must be in (0, 1e9) seconds, got {shown(value)}")
        if self.tls is not None and not hasattr(self.tls, "wrap_socket"):
            raise TypeError(f"tls must be an ssl.SSLContext or None, got {shown(self.tls)}")


def dial(address: Any, options: ConnectionOptions) -> socket.socket:
    """Return a socket connected to `address` within ``options.dial_timeout``.

    The addresses of a name are tried in turn, each for an equal share of the time that is left, so
    that one that does not answer leaves the others theirs. (The system looks up the name, without
    a timeout.) Raises ``ConnectionLostError`` or ``DeadlineExceededError``, whose ``__cause__`` is
    the error of the address, or an ``ExceptionGroup`` of the errors of several.
    """
    target = parse_address(address)
    seconds = options.dial_timeout
    deadline = None if seconds is None else monotonic() + seconds
    errors: list[OSError] = []
    candidates: list[tuple[Any, Any]] = []
    try:
        candidates = _candidates(target)
    except OSError as error:
        errors.append(error)
    for i, (family, where) in enumerate(candidates):
        until = None
        if deadline is not None:
            now = monotonic()
            if now >= deadline:
                break
            until = now + (deadline - now) / (len(candidates) - i)
        try:
            return _connect(family, where, target, until, options)
        except OSError as error:
            errors.append(error)
    is_late = deadline is not None and monotonic() >= deadline
    raise _failure(target, errors, seconds, is_late)


def begin_to_dial(address: Any) -> socket.socket | None:
    """Return a non-blocking socket that is being connected, for its first use to wait for.

    So several can be connected at the same time. None where ``dial`` has to wait: the name has
    several addresses, or sockets are not the operating system's own. Raises
    ``ConnectionLostError``.
    """
    target = parse_address(address)
    connection: socket.socket | None = None
    try:
        candidates = _candidates(target)
        if len(candidates) != 1:
            return None
        [(family, where)] = candidates
        connection = socket.socket(family, socket.SOCK_STREAM)
        if not isinstance(connection, _socket.socket):
            connection.close()
            return None
        _set_tcp_options(connection, target, True, True)
        connection.settimeout(0.0)
        number = connection.connect_ex(where)
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(number, os.strerror(number))
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, OSError):
            raise _failure(target, [error]) from error
        raise
    return connection


def _candidates(target: Address) -> list[tuple[Any, Any]]:
    """Return families and socket addresses, in the system's order."""
    if isinstance(target, str):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets")
        return [(socket.AF_UNIX, target)]
    found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _connect(
    family: Any, where: Any, target: Address, deadline: float | None, options: ConnectionOptions
) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_tcp_options(connection, target, options.nodelay, options.keepalive)
        _set_deadline(connection, deadline)
        connection.connect(where)
        if options.tls is not None:
            _set_deadline(connection, deadline)
            host = target[0] if isinstance(target, tuple) else None
            connection = options.tls.wrap_socket(
                connection, server_hostname=options.server_hostname or host
            )
        connection.settimeout(options.read_timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_tcp_options(
    connection: socket.socket, target: Address, nodelay: bool, keepalive: bool
) -> None:
    if isinstance(target, tuple):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive)


def _set_deadline(connection: socket.socket, deadline: float | None) -> None:
    # At least a millisecond, as 0 would be no timeout but a non-blocking socket.
    connection.settimeout(None if deadline is None else max(deadline - monotonic(), 1e-3))


def _failure(
    target: Address, errors: list[OSError], seconds: float | None = None, is_late: bool = False
) -> NetworkError:
    """Return the error for a connection that was not made, from the errors of its addresses."""
    message = f"cannot connect to {address_text(target)}"
    kind: type[NetworkError] = ConnectionLostError
    if is_late or any(isinstance(error, TimeoutError) for error in errors):
        kind = DeadlineExceededError
        if seconds is not None:
            message = f"{message} within {seconds:g} s"
    cause = errors[0] if len(errors) == 1 else ExceptionGroup(message, errors) if errors else None
    said = "; ".join(dict.fromkeys(text_of(error) for error in errors))
    return kind(f"{message}: {said}" if said else message, cause=cause)


class ManagedConnection:
    """A connection on loan from a pool, for one thread at a time.

    Return it like a ``ManagedHandle``: by ``release``, ``discard`` or as a context manager. One on
    which a read or a write failed is closed in any case, as it may be out of step. `raw_socket` is
    for callers that keep their own deadlines; they ``discard`` the connection on an error.
    """

    __slots__ = ("_handle", "_is_broken", "_options")
    __reduce_ex__ = refuse_copies

    def __init__(self, handle: ManagedHandle, options: ConnectionOptions) -> None:
        self._handle = handle
        self._options = options
        self._is_broken = False

    @property
    def address(self) -> Address:
        """The parsed address."""
        address: Address = self._handle.location
        return address

    @property
    def raw_socket(self) -> socket.socket:
        """The socket itself; raises ``InactiveHandleError`` when it is no longer on loan."""
        connection: socket.socket = self._handle.handle
        return connection

    @property
    def handle(self) -> ManagedHandle:
        """The loan."""
        return self._handle

    @property
    def is_active(self) -> bool:
        """Whether it is still on loan."""
        return self._handle.is_active

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self.raw_socket.fileno()

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes; b"" means that the other side closed the connection."""
        data: bytes = self._do("recv", size)
        return data

    def recv_into(self, buffer: "WriteableBuffer") -> int:
        """Read into `buffer`; return how many bytes, 0 if the other side closed the connection."""
        size: int = self._do("recv_into", buffer)
        return size

    def sendall(self, data: "ReadableBuffer") -> None:
        """Send all of `data`, within the time for one write."""
        self._do("sendall", data)

    def _do(self, verb: str, argument: Any) -> Any:
        connection = self.raw_socket
        writes = verb == "sendall"
        timeout = self._options.write_timeout if writes else self._options.read_timeout
        finished = False
        try:
            connection.settimeout(timeout)
            result = getattr(connection, verb)(argument)
            finished = True
        except OSError as error:
            kind: type[NetworkError] = ConnectionLostError
            said = text_of(error)
            if isinstance(error, TimeoutError):
                kind = DeadlineExceededError
                if timeout is not None:
                    said = f"a {'write' if writes else 'read'} took more than {timeout:g} s"
            raise kind(f"{said}: {self._ends(connection)}", cause=error) from error
        finally:
            self._is_broken = self._is_broken or not finished
        return result

    def _ends(self, connection: socket.socket) -> str:
        try:
            local = connection.getsockname()
        except OSError:
            local = ""
        mine = address_text(local[:2]) if isinstance(local, tuple) else local or "?"
        return f"{mine} <-> {address_text(self.address)}"

    def release(self) -> None:
        """Return the connection to its pool; close it if a read or a write failed."""
        if self._is_broken:
            self._handle.discard()
        else:
            self._handle.release()

    def discard(self) -> None:
        """Close the connection."""
        self._handle.discard()

    close = discard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.discard()

    def __repr__(self) -> str:
        state = "active" if self.is_active else "inactive"
        return f"<{type(self).__name__} to {address_text(self.address)}: {state}>"


_UNSET: Final[Any] = object()


def _dialling(options: ConnectionOptions) -> ConnectionOptions:
    if options.open is not _dialled:
        return options
    return replace(options, open=partial(dial, options=options))


class SimpleConnectionPool:
    """Pool of connections to one address. `resources` is the resource pool behind it."""

    __reduce_ex__ = refuse_copies

    def __init__(self, options: ConnectionOptions, address: Any) -> None:
        self._options = options
        self.resources: Final = SimpleResourcePool(_dialling(options), parse_address(address))

    def get(self, timeout: float | None = _UNSET) -> ManagedConnection:
        """Return a connection; wait at most `timeout` for a free one.

        Raises what ``SimpleResourcePool.get`` and ``dial`` do.
        """
        more = {} if timeout is _UNSET else {"timeout": timeout}
        return ManagedConnection(self.resources.get(**more), self._options)

    def stats(self) -> PoolStats:
        """Return the pool's statistics."""
        return self.resources.stats()

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool: close idle connections now, those on loan as they come back."""
        self.resources.enter_lame_duck_mode()


class MultiConnectionPool:
    """Pool of connections to many addresses, each with limits of its own.

    `resources` is the resource pool behind it, whose locations are parsed addresses.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, options: ConnectionOptions, addresses: Iterable[Any] = ()) -> None:
        self._options = options
        self.resources: Final = MultiResourcePool(_dialling(options), map(parse_address, addresses))

    def register(self, address: Any) -> bool:
        """Add an address; return False for a known one."""
        return self.resources.register(parse_address(address))

    def unregister(self, address: Any) -> bool:
        """Remove an address; close its connections, those on loan as they come back."""
        return self.resources.unregister(parse_address(address))

    def set_addresses(self, addresses: Iterable[Any]) -> None:
        """Replace the addresses, in one step; those that stay keep their connections."""
        self.resources.set_locations(map(parse_address, addresses))

    def addresses(self) -> list[Address]:
        """Return the addresses, in the order in which they were added."""
        return self.resources.locations()

    def get(self, address: Any, timeout: float | None = _UNSET) -> ManagedConnection:
        """Return a connection to `address`; wait at most `timeout` for a free one."""
        more = {} if timeout is _UNSET else {"timeout": timeout}
        handle = self.resources.get(parse_address(address), **more)
        return ManagedConnection(handle, self._options)

    def get_many(
        self, addresses: Iterable[Any], timeout: float | None = _UNSET
    ) -> dict[Address, ManagedConnection | DropboxError]:
        """Return a connection, or the error in its place, for each address."""
        more = {} if timeout is _UNSET else {"timeout": timeout}
        found = self.resources.get_many(map(parse_address, addresses), **more)
        return {
            address: each
            if isinstance(each, DropboxError)
            else ManagedConnection(each, self._options)
            for address, each in found.items()
        }

    def stats(self) -> PoolStats:
        """Return the sums of the addresses' statistics."""
        return self.resources.stats()

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool, with every address in it."""
        self.resources.enter_lame_duck_mode()
