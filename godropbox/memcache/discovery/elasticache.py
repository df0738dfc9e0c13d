"""``ElastiCacheSource``: the configuration endpoint of ElastiCache, and of Memorystore."""

import contextlib
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

from ..._address import address_text
from ..._dial import DialOptions, dial
from ..._kernels._args import shown
from ..._kernels._guarded import text_of
from ..address import check_transport, parse_address
from ..errors import InvalidArgumentError
from .polling import PolledSource
from .types import Answer, Server, SourceError

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["ElastiCacheSource", "parse_config"]

_NEW: Final = b"config get cluster\r\n"
_OLD: Final = b"get AmazonElastiCache:cluster\r\n"  # before memcached 1.4.14
_LONGEST: Final = 4 << 20  # bytes of a reply
_LONGEST_LINE: Final = 2048
_ERRORS: Final = (b"CLIENT_ERROR", b"SERVER_ERROR")


class _ClosedError(Exception):
    """The server closed the connection before it said anything, as proxies do."""


class ElastiCacheSource(PolledSource):
    """The nodes of a cluster of ElastiCache or Memorystore, by its configuration endpoint.

    `address` is the endpoint's, as ``connect`` takes it. It is asked every `interval` seconds, over
    a connection of its own, and has `timeout` seconds to answer whole. The version is the
    configuration's, which grows. A node's name is its host name and port. `tls` is an
    ``ssl.SSLContext``, for the endpoint. `dial` is what a node's address is: ``"ip"`` for its IP
    address, where it has one, or ``"host"`` for its host name, which is the default with `tls`,
    because certificates are of host names.
    """

    def __init__(
        self,
        address: str,
        *,
        interval: float = 15.0,
        timeout: float = 5.0,
        tls: "ssl.SSLContext | None" = None,
        dial: Literal["ip", "host"] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        target = parse_address(address)
        check_transport(target, tls)
        if dial not in (None, "ip", "host"):
            raise InvalidArgumentError(f"dial must be 'ip' or 'host', got {shown(dial)}")
        self._target: Final = target
        self._tls: Final = tls
        self._by_ip: Final = dial == "ip" or (dial is None and tls is None)
        name = f"elasticache://{address_text(target)}{'' if self._by_ip else '?dial=host'}"
        super().__init__(name, interval, timeout, clock)
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def _forked(self) -> None:
        super()._forked()
        self._lock = threading.Lock()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()  # the child's copy, over which nothing is said

    def _ask(self) -> Answer:
        deadline = monotonic() + self._timeout
        try:
            try:
                payload = self._asked(_NEW, deadline)
            except _ClosedError:
                payload = None
            if payload is None:  # ERROR, or a proxy
                payload = self._asked(_OLD, deadline)
        except SourceError:  # it is an OSError as well
            raise
        except _ClosedError:
            raise SourceError(f"{self._name}: it closes the connection unasked") from None
        except TimeoutError:
            raise SourceError(f"{self._name}: no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise SourceError(f"{self._name}: {text_of(error)}") from error
        if payload is None:
            raise SourceError(f"{self._name} is no configuration endpoint: it knows of no cluster")
        return parse_config(self._name, payload, self._by_ip)

    def _asked(self, question: bytes, deadline: float) -> bytes | None:
        """Return the configuration, None from a server that has none."""
        options = DialOptions(max(deadline - monotonic(), 0.001), self._tls)
        connection = dial(self._target, options)
        with self._lock:
            self._connection = connection
        try:
            return _Reply(self._name, connection, deadline).to(question)
        finally:
            with self._lock:
                self._connection = None
            connection.close()

    def close(self) -> None:
        """End the question under way: a call of ``next`` raises at once; another begins anew."""
        super().close()
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)


class _Reply:
    """The reply to a question, read up to its end."""

    def __init__(self, name: str, connection: Any, deadline: float) -> None:
        self._name = name
        self._connection = connection
        self._deadline = deadline
        self._data = bytearray()
        self._is_heard = False

    def to(self, question: bytes) -> bytes | None:
        self._wait()
        self._connection.sendall(question)
        line = self._line()
        if line in (b"ERROR", b"END"):
            return None
        words = line.split()
        if line.startswith(_ERRORS):
            raise SourceError(f"{self._name}: {line.decode('utf-8', 'replace')}")
        if len(words) < 4 or words[0] not in (b"CONFIG", b"VALUE") or not words[3].isdigit():
            raise SourceError(f"{self._name}: expected CONFIG cluster 0 BYTES, got {shown(line)}")
        size = int(words[3][:10])
        if size > _LONGEST:
            raise SourceError(f"{self._name}: {size} bytes are more than any cluster takes")
        while len(self._data) < size + 2:
            self._receive()
        payload, end = bytes(self._data[:size]), bytes(self._data[size : size + 2])
        del self._data[: size + 2]
        if end != b"\r\n" or self._line() != b"END":
            raise SourceError(f"{self._name}: the configuration is not of {size} bytes")
        return payload

    def _line(self) -> bytes:
        while b"\r\n" not in self._data:
            if len(self._data) > _LONGEST_LINE:
                raise SourceError(f"{self._name}: a line of over {_LONGEST_LINE} bytes")
            self._receive()
        line, _, rest = bytes(self._data).partition(b"\r\n")
        self._data[:] = rest
        return line

    def _receive(self) -> None:
        self._wait()
        try:
            more = self._connection.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more and not self._is_heard:
            raise _ClosedError
        self._is_heard = True
        if not more:
            raise SourceError(f"{self._name}: the reply ends after {len(self._data)} bytes")
        self._data += more

    def _wait(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def parse_config(name: str, payload: bytes, by_ip: bool = True) -> Answer:
    """Return what a configuration says: a version in a line, and ``host|ip|port`` in the next.

    Raises ``SourceError``, which names the source `name`.
    """
    try:
        version, _, rest = payload.decode("ascii").strip("\r\n").partition("\n")
        if not version.strip().isdigit():
            raise ValueError(f"the version must be a number, got {shown(version)}")
        servers = [_node(each, by_ip) for each in rest.split()]
        return Answer(int(version), tuple(servers))
    except ValueError as error:
        raise SourceError(f"{name}: the configuration makes no sense: {text_of(error)}") from None


def _node(text: str, by_ip: bool) -> Server:
    parts = text.split("|")
    if len(parts) != 3 or not parts[2].isdigit() or not (parts[0] or parts[1]):
        raise ValueError(f"a node must be host|ip|port, got {shown(text)}")
    host, ip, port = parts[0].strip("[]"), parts[1].strip("[]"), int(parts[2])
    dialled = (ip or host) if by_ip else (host or ip)
    return Server(address_text((host or ip, port)), address_text((dialled, port)))
