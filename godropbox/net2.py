"""Connections out of pools: dialling, timeouts, and what makes a connection fit to be lent again.

- ``dial``: a connected socket, over TCP, a Unix socket or TLS, within one deadline.
- ``SimpleConnectionPool``, ``MultiConnectionPool``: pools of sockets to one address, or to many.
- ``ManagedConnection``: a socket on loan, with a timeout for reads and another for writes.
- ``ConnectionOptions``: all of the pool's options, and those of dialling and of the connections.

An address is ``(host, port)`` or ``"host:port"`` for TCP, and ``"/path"`` for a Unix socket. What
``socket``, ``ssl`` and ``ipaddress`` do is not done here again.
"""

import functools
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from ._kernels._args import shown
from ._kernels._guarded import text_of
from ._kernels._identity import refuse_copies
from .errors import DropboxError, NetworkError
from .resource_pool import (
    ManagedHandle,
    MultiResourcePool,
    PoolOptions,
    PoolStats,
    SimpleResourcePool,
)

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = [
    "Address",
    "ConnectionBrokenError",
    "ConnectionOptions",
    "DialError",
    "DialTimeoutError",
    "ManagedConnection",
    "MultiConnectionPool",
    "ReadTimeoutError",
    "SimpleConnectionPool",
    "WriteTimeoutError",
    "dial",
    "is_quiet",
    "parse_address",
]

Address = tuple[str, int] | str


class DialError(NetworkError):
    """No connection came about; ``__cause__`` holds what each address of the name said."""


class DialTimeoutError(DialError):
    """None did before the deadline."""


class ConnectionBrokenError(NetworkError):
    """The connection failed, or the other side closed it."""


class ReadTimeoutError(NetworkError):
    """Nothing came within the time for a read."""


class WriteTimeoutError(NetworkError):
    """Not all could be sent within the time for a write."""


def parse_address(address: Any) -> Address:
    """Return an address in its one form: ``(host, port)``, or the path of a Unix socket.

    An IPv6 address before a port stands in brackets. Raises ``TypeError`` or ``ValueError``.
    """
    if isinstance(address, str) and "/" in address:
        return address
    if isinstance(address, str):
        host, colon, digits = address.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            colon = ""
        port: Any = int(digits) if colon and digits.isascii() and digits.isdigit() else -1
    elif isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str):
        host, port = address
    else:
        raise TypeError(f"address must be (host, port) or a str, got {shown(address)}")
    if not host or isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(
            "address must be (host, port), 'host:port' or '/path', with a port in [0, 65535], "
            f"got {shown(address)}"
        )
    return host, port


def is_quiet(connection: socket.socket) -> bool:
    """Tell whether an idle connection is open still and nothing is there to be read.

    What is there was asked for by nobody: the connection is out of step, or at its end.
    """
    before = connection.gettimeout()
    connection.settimeout(0.0)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    finally:
        connection.settimeout(before)
    return False


def abandon(connection: socket.socket) -> None:
    """Free a child's copy of its parent's connection, without a word to the other side."""
    os.close(connection.detach())


def _dialled(address: Any) -> socket.socket:
    """Stand for ``dial`` with the options that this is in; the pools put that in its place."""
    raise AssertionError(f"a connection pool would have dialled {address!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions(PoolOptions):
    """The options of a pool of connections; those of ``PoolOptions`` are per address.

    - `open`: takes an address and returns a connected socket; by default that is ``dial``. So
      `max_opens` limits how many are dialled at a time.
    - `check` is by default ``is_quiet``, so that a connection that a server closed while it was
      idle is never lent; None trusts them.
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
    tls: ssl.SSLContext | None = None
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
        if self.tls is not None and not isinstance(self.tls, ssl.SSLContext):
            raise TypeError(f"tls must be an ssl.SSLContext or None, got {shown(self.tls)}")


def dial(address: Any, options: ConnectionOptions) -> socket.socket:
    """Return a socket connected to `address` before ``options.dial_timeout`` is over.

    The addresses of a name are tried in turn; each has an equal part of the time that is left, so
    that one that does not answer does not cost the others theirs. (Looking up a name is the
    system's, which takes no timeout.) Raises ``DialError`` or ``DialTimeoutError``.
    """
    target = parse_address(address)
    start = monotonic()
    errors: list[Exception] = []
    try:
        candidates = _candidates(target)
    except OSError as error:
        errors.append(error)
        candidates = []
    for position, (family, where) in enumerate(candidates):
        left: float | None = None
        if options.dial_timeout is not None:
            left = start + options.dial_timeout - monotonic()
            if left <= 0:
                break
        share = left if left is None else left / (len(candidates) - position)
        try:
            return _connect(family, where, target, share, options)
        except OSError as error:
            errors.append(error)
    seconds = options.dial_timeout
    late = seconds is not None and monotonic() - start >= seconds
    if late or any(isinstance(error, TimeoutError) for error in errors):
        kind: type[DialError] = DialTimeoutError
        message = f"no connection to {_told(target)} within {seconds:g} s"
    else:
        kind = DialError
        message = f"no connection to {_told(target)}"
    said = "; ".join(dict.fromkeys(text_of(error) for error in errors))
    cause = ExceptionGroup(message, errors) if errors else None
    raise kind(f"{message}: {said}" if said else message, cause=cause)


def _told(target: Address) -> str:
    return target if isinstance(target, str) else f"{target[0]}:{target[1]}"


def _candidates(target: Address) -> list[tuple[Any, Any]]:
    """Return families and socket addresses, as the system orders them."""
    if isinstance(target, str):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets")
        return [(socket.AF_UNIX, target)]
    found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _connect(
    family: Any, where: Any, target: Address, seconds: float | None, options: ConnectionOptions
) -> socket.socket:
    deadline = None if seconds is None else monotonic() + seconds
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(where)
        if isinstance(target, tuple):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, options.nodelay)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.keepalive)
        if options.tls is not None:
            if deadline is not None:
                connection.settimeout(max(deadline - monotonic(), 1e-3))
            host = target[0] if isinstance(target, tuple) else None
            connection = options.tls.wrap_socket(
                connection, server_hostname=options.server_hostname or host
            )
        connection.settimeout(options.read_timeout)
    except BaseException:
        connection.close()
        raise
    return connection


class ManagedConnection:
    """A connection on loan from a pool, for one thread at a time.

    It goes back like a ``ManagedHandle``: by ``release``, ``discard`` or as a context manager. One
    on which a read or a write failed is closed in any case, as nobody knows what was sent.
    `raw_socket` is for those who keep their own deadlines: they have to ``discard`` what failed.
    """

    __slots__ = ("_handle", "_is_broken", "_options")
    __reduce_ex__ = refuse_copies

    def __init__(self, handle: ManagedHandle, options: ConnectionOptions) -> None:
        self._handle = handle
        self._options = options
        self._is_broken = False

    @property
    def address(self) -> Address:
        """What it is connected to, as it was asked for."""
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
        """Whether it is on loan still."""
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
        except TimeoutError as error:
            kind = WriteTimeoutError if writes else ReadTimeoutError
            word = "write" if writes else "read"
            message = f"a {word} took more than {timeout:g} s: {self._ends(connection)}"
            raise kind(message, cause=error) from error
        except OSError as error:
            message = f"{text_of(error)}: {self._ends(connection)}"
            raise ConnectionBrokenError(message, cause=error) from error
        finally:
            self._is_broken = self._is_broken or not finished
        return result

    def _ends(self, connection: socket.socket) -> str:
        try:
            local = connection.getsockname()
        except OSError:
            local = ""
        mine = f"{local[0]}:{local[1]}" if isinstance(local, tuple) else local or "?"
        return f"{mine} <-> {_told(self.address)}"

    def release(self) -> None:
        """Give the connection back, to be lent again unless it failed."""
        if self._is_broken:
            self._handle.discard()
        else:
            self._handle.release()

    def discard(self) -> None:
        """Have the connection closed."""
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
        return f"<{type(self).__name__} to {_told(self.address)}: {state}>"


_UNSET: Final[Any] = object()


def _dialling(options: ConnectionOptions) -> ConnectionOptions:
    if options.open is not _dialled:
        return options
    return replace(options, open=functools.partial(dial, options=options))


class SimpleConnectionPool:
    """Lends connections to one address. `resources` is the pool behind it, for all the rest."""

    __reduce_ex__ = refuse_copies

    def __init__(self, options: ConnectionOptions, address: Any) -> None:
        self._options = options
        self.resources: Final = SimpleResourcePool(_dialling(options), parse_address(address))

    def get(self, timeout: float | None = _UNSET) -> ManagedConnection:
        """Return a connection; `timeout` is how long to wait for one to be free.

        Raises what ``SimpleResourcePool.get`` and ``dial`` do.
        """
        more = {} if timeout is _UNSET else {"timeout": timeout}
        return ManagedConnection(self.resources.get(**more), self._options)

    def stats(self) -> PoolStats:
        """Return what the pool holds and did."""
        return self.resources.stats()

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool: idle connections are closed now, the others when they come back."""
        self.resources.enter_lame_duck_mode()


class MultiConnectionPool:
    """Lends connections to many addresses, each with limits of its own.

    `resources` is the pool behind it, whose locations are parsed addresses.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, options: ConnectionOptions, addresses: Iterable[Any] = ()) -> None:
        self._options = options
        self.resources: Final = MultiResourcePool(_dialling(options), map(parse_address, addresses))

    def register(self, address: Any) -> bool:
        """Add an address; return False if it was there."""
        return self.resources.register(parse_address(address))

    def unregister(self, address: Any) -> bool:
        """Remove an address; its connections are closed, those on loan when they come back."""
        return self.resources.unregister(parse_address(address))

    def set_addresses(self, addresses: Iterable[Any]) -> None:
        """Have these addresses and no others, in one step; those that stay keep connections."""
        self.resources.set_locations(map(parse_address, addresses))

    def addresses(self) -> list[Address]:
        """Return the addresses, in the order in which they came."""
        return self.resources.locations()

    def get(self, address: Any, timeout: float | None = _UNSET) -> ManagedConnection:
        """Return a connection to `address`; `timeout` is how long to wait for one to be free."""
        more = {} if timeout is _UNSET else {"timeout": timeout}
        handle = self.resources.get(parse_address(address), **more)
        return ManagedConnection(handle, self._options)

    def get_many(
        self, addresses: Iterable[Any], timeout: float | None = _UNSET
    ) -> dict[Address, ManagedConnection | DropboxError]:
        """Return for each address a connection, or the error that there is instead of it."""
        more = {} if timeout is _UNSET else {"timeout": timeout}
        found = self.resources.get_many(map(parse_address, addresses), **more)
        return {
            address: each
            if isinstance(each, DropboxError)
            else ManagedConnection(each, self._options)
            for address, each in found.items()
        }

    def stats(self) -> PoolStats:
        """Return the sums over the addresses there are."""
        return self.resources.stats()

    def enter_lame_duck_mode(self) -> None:
        """Retire the pool, with every address in it."""
        self.resources.enter_lame_duck_mode()
