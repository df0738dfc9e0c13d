"""Connections that are not our own to make: sockets of other modules, and commands of any kind."""

import errno
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ...._kernels import wire
from ....memcache.protocol.exchange import Exchange

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Command", "Listing", "Rows", "Segment", "as_channel", "dialled", "statistics"]

# pymemcache's types of statistics; all others are ints, or bytes where they are none.
_STATS: Final[dict[bytes, Callable[[bytes], Any]]] = {
    b"version": bytes,
    b"rusage_user": lambda value: float(value.replace(b":", b".")),
    b"rusage_system": lambda value: float(value.replace(b":", b".")),
    b"hash_is_expanding": lambda value: int(value) != 0,
    b"slab_reassign_running": lambda value: int(value) != 0,
    b"inter": bytes,
    b"growth_factor": float,
    b"stat_key_prefix": bytes,
    b"umask": lambda value: int(value, 8),
    b"detail_enabled": lambda value: int(value) != 0,
    b"cas_enabled": lambda value: int(value) != 0,
    b"auth_enabled_sasl": lambda value: value == b"yes",
    b"maxconns_fast": lambda value: int(value) != 0,
    b"slab_reassign": lambda value: int(value) != 0,
    b"slab_automove": lambda value: int(value) != 0,
}
_METHODS = ("sendall", "recv_into", "settimeout", "close")


class Rows(Exchange):
    """An exchange whose result is the rows of its reply. `data` tells whether it carries values."""

    __slots__ = ("_has_data",)

    def __init__(
        self,
        request: "list[ReadableBuffer]",
        reply: wire.Reply,
        probe: Any = None,
        has_data: bool = False,
    ) -> None:
        Exchange.__init__(self, request, reply, probe)
        self._has_data = has_data

    def in_step(self) -> bool:
        """Return whether nothing is left to come: a refused value may be taken for commands."""
        if not self._has_data:
            return True
        return not any(
            row.marks & wire.codes.FAILED and not row.value.startswith(b"SERVER_ERROR")
            for row in self.reply.rows()
        )

    def _result(self) -> Any:
        return self.reply.rows()


class Command(Exchange):
    """A request of any bytes, whose result is what its taker took."""

    __slots__ = ()

    def in_step(self) -> bool:
        """Return whether the reply ended where the bytes received did."""
        taker: Any = self.reply
        in_step: bool = taker.in_step
        return in_step

    def _result(self) -> Any:
        taker: Any = self.reply
        return taker.result()


class Segment:
    """A taker of a reply up to the first `end`, or of one error line."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._data = bytearray()
        self._stop = -1
        self.done = False
        self.in_step = True

    @property
    def size(self) -> int:
        """How many bytes were received."""
        return len(self._data)

    def feed(self, data: "ReadableBuffer") -> int:
        """Take all bytes; the connection cannot go on if some are behind the end."""
        start = max(len(self._data) - len(self._end) + 1, 0)
        self._data += data
        self._stop = self._data.find(self._end, start)
        size = len(self._end)
        if self._stop < 0 and self._data.startswith((b"ERROR", b"CLIENT_ERROR ", b"SERVER_ERROR ")):
            self._stop, size = self._data.find(b"\r\n"), 2
        if self._stop >= 0:
            self.done = True
            self.in_step = self._stop + size == len(self._data)
        return len(memoryview(data))

    def result(self) -> bytes:
        """Return the bytes before the end."""
        return bytes(self._data[: self._stop])


class Listing:
    """A taker of lines up to END, OK, RESET or an error."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._lines: list[bytes] = []
        self.done = False
        self.in_step = True

    @property
    def size(self) -> int:
        """How many bytes were received."""
        return len(self._data)

    def feed(self, data: "ReadableBuffer") -> int:
        """Take all bytes; the connection cannot go on if some are behind the end."""
        self._data += data
        while not self.done:
            line, end, rest = bytes(self._data).partition(b"\r\n")
            if not end:
                break
            self._data = bytearray(rest)
            self._lines.append(line)
            self.done = not line.startswith((b"STAT ", b"ITEM "))
        self.in_step = not (self.done and self._data)
        return len(memoryview(data))

    def result(self) -> list[bytes]:
        """Return the lines, that which ends the list the last."""
        return self._lines


def statistics(lines: list[bytes]) -> dict[bytes, Any]:
    """Return the statistics in the lines of a listing, in pymemcache's types."""
    found: dict[bytes, Any] = {}
    for line in lines:
        kind, name, *rest = line.split()
        value: Any = b" ".join(rest)
        if kind == b"STAT":
            value = rest[0] if rest else b""
            with suppress(ValueError):
                value = _STATS.get(name, int)(value)
        found[name] = value
    return found


class _Adapter:
    """A channel over a socket that can only ``recv``."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.sendall = sock.sendall
        self.settimeout = sock.settimeout
        self.close = sock.close

    def recv_into(self, buffer: "WriteableBuffer") -> int:
        """Receive into a buffer, again if a signal came in between."""
        view = memoryview(buffer)
        while True:
            try:
                data = self._sock.recv(len(view))
            except OSError as error:
                if error.errno != errno.EINTR:
                    raise
                continue
            view[: len(data)] = data
            return len(data)


def as_channel(sock: Any) -> Any:
    """Return what drives a socket of any kind: itself, where it has the methods for that."""
    return sock if all(hasattr(sock, name) for name in _METHODS) else _Adapter(sock)


def dialled(module: ModuleType | Any, server: Any, options: Any, connect_timeout: Any) -> Any:
    """Return a socket of `module` that is connected to `server`.

    `options` are those of the socket, as ``setsockopt`` takes them; the addresses of a name are
    tried in turn.
    """
    if isinstance(server, str):
        sock = module.socket(module.AF_UNIX, module.SOCK_STREAM)
        return _connected(sock, server, (), connect_timeout)
    found = module.getaddrinfo(
        server[0], server[1], module.AF_UNSPEC, module.SOCK_STREAM, module.IPPROTO_TCP
    )
    failure: Exception = OSError(f"{server[0]} has no address")
    for family, kind, protocol, _, where in found:
        try:
            sock = module.socket(family, kind, protocol)
            return _connected(sock, where, options, connect_timeout)
        except OSError as error:
            failure = error
    raise failure


def _connected(sock: Any, where: Any, options: Any, connect_timeout: Any) -> Any:
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.settimeout(connect_timeout)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock
