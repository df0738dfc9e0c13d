"""Pools of connections: dialling, timeouts, and what makes a connection fit to be lent again.

- ``dial``: a connected socket, over TCP, a Unix socket or TLS, within one deadline.
- ``SimpleConnectionPool``, ``MultiConnectionPool``: pools of sockets to one address, or to many.
- ``ManagedConnection``: a socket on loan, with a timeout for reads and another for writes.
- ``ConnectionOptions``: all of the pool's options, and those of dialling and of the connections.

An address is what ``parse_address`` takes. A connection that cannot be made or breaks raises
``ConnectionLostError``, one that is late ``DeadlineExceededError``.
"""

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from . import _dial
from ._address import Address, address_text, check_keepalive, parse_address
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
from .resource_pool._options import UNSET, Timeout

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = [
    "Address",
    "ConnectionLostError",
    "ConnectionOptions",
    "DeadlineExceededError",
    "ManagedConnection",
    "MultiConnectionPool",
    "SimpleConnectionPool",
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
    - `nodelay`, `keepalive`: the TCP options of these names. `keepalive_idle`: seconds after which
      an idle connection is probed, `keepalive_interval`: seconds between probes, `keepalive_count`:
      how many without an answer end it; None is what the system has.

    When the network fails a connection, those that have been idle for as long are closed too: what
    forgot it, such as a balancer, has forgotten them.
    """

    open: Any = None
    check: Callable[[Any], object] | None = is_quiet
    abandon: Callable[[Any], object] | None = abandon
    dial_timeout: float | None = 1.0
    read_timeout: float | None = None
    write_timeout: float | None = None
    tls: "ssl.SSLContext | None" = None
    server_hostname: str | None = None
    nodelay: bool = True
    keepalive: bool = True
    keepalive_idle: int | None = None
    keepalive_interval: int | None = None
    keepalive_count: int | None = None

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
        check_keepalive(self)


def _checked(address: Any, options: ConnectionOptions) -> Address:
    """Return a parsed address; raise ``ValueError`` if it does not go with the options."""
    target = parse_address(address)
    if options.open is None:
        _dial.check_tls(target, options.tls, options.server_hostname)
    return target


def dial(address: Any, options: ConnectionOptions) -> socket.socket:
    """Return a socket connected to `address` within ``options.dial_timeout``.

    The addresses of a name are tried at the same time, each a little later than the one before, and
    the first that answers is taken; the system looks up the name, without a timeout. Raises
    ``ConnectionLostError`` or ``DeadlineExceededError``, and ``ValueError`` for TLS over a Unix
    socket without a `server_hostname` to verify.
    """
    target = _checked(address, options)
    names = _dial.DialOptions._fields[1:]
    how = _dial.DialOptions(options.dial_timeout, *(getattr(options, name) for name in names))
    connection = _dial.dial(target, how)
    connection.settimeout(options.read_timeout)
    return connection


class ManagedConnection:
    """A connection on loan from a pool, for one thread at a time.

    Return it like a ``ManagedHandle``: by ``release``, ``discard`` or as a context manager. One on
    which a read or a write failed is closed in any case, as it may be out of step. `raw_socket` is
    for callers that keep their own deadlines; they ``discard`` the connection on an error.
    """

    __slots__ = ("_handle", "_is_broken", "_is_lost", "_options")
    __reduce_ex__ = refuse_copies

    def __init__(self, handle: ManagedHandle, options: ConnectionOptions) -> None:
        self._handle = handle
        self._options = options
        self._is_broken = False
        self._is_lost = False

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
        except DropboxError:
            raise  # of a connection that is not a socket
        except OSError as error:
            self._is_lost = True
            kind: type[NetworkError] = ConnectionLostError
            said = text_of(error)
            if isinstance(error, TimeoutError):
                kind = DeadlineExceededError
                if timeout is not None:
                    said = f"a {'write' if writes else 'read'} took more than {timeout:g} s"
            raise kind(f"{said}: {address_text(self.address)}", cause=error) from error
        finally:
            self._is_broken = self._is_broken or not finished
        return result

    def release(self) -> None:
        """Return the connection to its pool; close it if a read or a write failed."""
        if self._is_broken:
            self.discard()
        else:
            self._handle.release()

    def discard(self) -> None:
        """Close the connection; if the network failed it, those that have been idle as long too."""
        if self._is_lost:
            self._handle.owner._lose(self._handle)
        else:
            self._handle.discard()

    close = discard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.discard()

    def __repr__(self) -> str:
        state = "active" if self.is_active else "inactive"
        return f"<{type(self).__name__} to {address_text(self.address)}: {state}>"


def _dialling(options: ConnectionOptions) -> ConnectionOptions:
    if options.open is not None:
        return options
    return replace(options, open=partial(dial, options=options))


class SimpleConnectionPool:
    """Pool of connections to one address. `resources` is the resource pool behind it."""

    __reduce_ex__ = refuse_copies

    def __init__(self, options: ConnectionOptions, address: Any) -> None:
        self._options = options
        self.resources: Final = SimpleResourcePool(_dialling(options), _checked(address, options))

    def get(self, timeout: Timeout = UNSET) -> ManagedConnection:
        """Return a connection; wait at most `timeout` for a free one.

        Raises what ``SimpleResourcePool.get`` and ``dial`` do.
        """
        return ManagedConnection(self.resources.get(timeout), self._options)

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
        targets = [_checked(address, options) for address in addresses]
        self.resources: Final = MultiResourcePool(_dialling(options), targets)

    def register(self, address: Any) -> bool:
        """Add an address; return False for a known one."""
        return self.resources.register(_checked(address, self._options))

    def unregister(self, address: Any) -> bool:
        """Remove an address; close its connections, those on loan as they come back."""
        return self.resources.unregister(parse_address(address))

    def set_addresses(self, addresses: Iterable[Any]) -> None:
        """Replace the addresses, in one step; those that stay keep their connections."""
        self.resources.set_locations([_checked(each, self._options) for each in addresses])

    def addresses(self) -> list[Address]:
        """Return the addresses, in the order in which they were added."""
        return self.resources.locations()

    def get(self, address: Any, timeout: Timeout = UNSET) -> ManagedConnection:
        """Return a connection to `address`; wait at most `timeout` for a free one."""
        handle = self.resources.get(parse_address(address), timeout)
        return ManagedConnection(handle, self._options)

    def get_many(
        self, addresses: Iterable[Any], timeout: Timeout = UNSET
    ) -> dict[Address, ManagedConnection | DropboxError]:
        """Return a connection, or the error in its place, for each address."""
        found = self.resources.get_many(map(parse_address, addresses), timeout)
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
