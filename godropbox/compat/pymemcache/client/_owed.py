"""Writes whose replies are read later: what ``noreply`` means here.

memcached's own noreply does not silence its errors, and an error that nobody reads is taken for the
answer to the next request. So the word is not sent: the request is, the call returns, and the
connection owes replies, which are read before the client's next call that waits for one, before it
closes the connection, and before the process ends. For memcached drops the requests it has not run
yet when it cannot send a reply.
"""

import atexit
import logging
import socket
import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ...._forks import begin_again_in_child
from ...._kernels import transport, wire
from ...._kernels._identity import refuse_copies
from ....memcache.protocol.exchange import Exchange

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from ...._kernels import _uncompiled as cython

__all__ = ["MOST_BYTES", "Owed"]

MOST_BYTES: Final = 16384
"""Bytes of a request that is sent ahead; a longer one waits for its reply."""

_MOST: Final = 256  # replies, of some ten bytes each, that fit into the buffers of any socket
_RECEIVE: Final = 4096
_LAST_SECONDS: Final = 1.0  # for the replies at the end of a connection, or of all in a process
# Their workers end without ``atexit``, but run finalizers of their own.
_WORKERS: Final = ("multiprocessing.util", "billiard.util")
_AT_ONCE: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)  # Windows has none
_LINES: Final = wire.codes.LINES
_FAILED: Final = wire.codes.FAILED
_LOST: Final = "the replies to %d writes sent with noreply were lost: %s"
_log: Final = logging.getLogger("godropbox.compat.pymemcache")


class Owed:
    """The connection of one client that owes replies, and how many: `count`.

    All threads send over it, in turn, so that writes arrive in their order. A signal handler that
    interrupts one of these steps goes past them, over another connection.
    """

    __slots__ = ("__weakref__", "_handle", "_is_busy", "_lock", "_words", "count")
    __reduce_ex__ = refuse_copies

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_busy = False
        self._handle: Any = None
        self._words = 0
        self.count = 0
        begin_again_in_child(self)
        _ALL.add(self)

    def _forked(self) -> list[Any]:
        handle, self._handle = self._handle, None  # the child has one thread
        self._lock = threading.RLock()
        self._is_busy = False
        self.count = 0
        return [] if handle is None else [handle.discard]

    def __del__(self) -> None:
        if self._handle is not None:  # after the end of this module it is None
            with suppress(Exception):
                self.close()

    @property
    def connection(self) -> Any:
        """The connection, None if there is none."""
        handle = self._held()
        return None if handle is None else handle.handle

    def _held(self) -> Any:
        """Return the loan of the connection, which another thread may be ending."""
        if not cython.compiled:
            return self._handle  # which is one step
        with cython.critical_section(self):
            return self._handle

    def _exchange(self, handle: Any) -> Any:
        """Hold another loan, or None; return the one there was."""
        with cython.critical_section(self):
            before, self._handle = self._handle, handle
        return before

    def send(
        self,
        pool: Any,
        asked: Exchange | None,
        opens: bool,
        request: bytes,
        count: int,
        words: int,
    ) -> bool:
        """Send `count` requests, each answered by one line of `words`; return whether they were.

        They were not where no idle connection of `pool` is known to know the command `asked`, None
        for one that all know: then they are to be sent in the usual way, and the reply awaited.
        With `opens`, a connection is made where none is idle. Raises ``OSError``.
        """
        with self._lock:
            if self._is_busy:
                return False
            self._is_busy = True
            try:
                return self._send(pool, asked, opens, request, count, words)
            finally:
                self._is_busy = False

    def settle(self) -> None:
        """Read what is owed, and give the connection back. What was lost is logged."""
        with self._lock:
            if not self._is_busy:
                self._is_busy = True
                try:
                    self._settle()
                finally:
                    self._is_busy = False

    def close(self, until: float | None = None) -> None:
        """Close the connection, once what is owed is read, or at `until` of the monotonic clock.

        By default that is the connection's own limit of time from now, and 1 second at most.
        """
        if not self._lock.acquire(timeout=-1 if until is None else _left(until)):
            return
        try:
            if not self._is_busy and self._held() is not None:
                self._is_busy = True
                try:
                    self._read_last(until)
                finally:
                    self._is_busy = False
                    self._drop()
        finally:
            self._lock.release()

    def _read_last(self, until: float | None) -> None:
        """Read what is owed, and log what was lost."""
        connection = self._held().handle
        if until is None:
            until = time.monotonic() + min(connection.timeout or _LAST_SECONDS, _LAST_SECONDS)
        reply = wire.Reply(_LINES, self.count, self._words)
        try:
            _receive(connection, reply, until)
        except Exception as error:
            _log.warning(_LOST, self.count, error)
            return
        self._judge(reply)

    def _send(
        self,
        pool: Any,
        asked: Exchange | None,
        opens: bool,
        request: bytes,
        count: int,
        words: int,
    ) -> bool:
        if self.count + count > _MOST:
            self._settle()
        handle = self._held()
        if handle is None:
            handle = _fit(pool, asked, opens)
            if handle is None:
                return False
            _close_in_workers()
            self._exchange(handle)
            self._words = 0
        elif asked is not None and handle.handle.lacks(asked):
            self._settle()
            return False
        try:
            _send(handle.handle, request)
        except BaseException:
            self._drop()
            raise
        self.count += count
        self._words |= words
        return True

    def _drop(self) -> None:
        handle = self._exchange(None)
        self.count = 0
        if handle is not None:
            handle.discard()

    def _settle(self) -> None:
        handle = self._held()
        if handle is None:
            return
        reply = wire.Reply(_LINES, self.count, self._words)
        connection = handle.handle
        try:
            _receive(connection, reply, None)
        except (OSError, ValueError) as error:
            _log.warning(_LOST, self.count, error)
            self._drop()
            return
        except BaseException:
            self._drop()
            raise
        if not self._judge(reply):  # what was refused may have been taken for commands
            self._drop()
            return
        connection.end()
        self._exchange(None)
        self.count = 0
        handle.release()

    def _judge(self, reply: wire.Reply) -> bool:
        """Log what was refused; return whether the connection is in step."""
        is_in_step = True
        for row in reply.rows() if reply.outcomes(self.count)[2] else ():
            if row.marks & _FAILED:
                _log.warning("a write sent with noreply was refused: %r", row.value)
                is_in_step = is_in_step and row.value.startswith(b"SERVER_ERROR")
        return is_in_step


# Read when the process ends.
_ALL: Final["weakref.WeakSet[Owed]"] = weakref.WeakSet()
_IN_WORKERS: Final[dict[str, Any]] = {}


def _close_all() -> None:
    until = time.monotonic() + _LAST_SECONDS
    for owed in [*_ALL]:
        with suppress(Exception):
            owed.close(until)


atexit.register(_close_all)


def _close_in_workers() -> None:
    """Have all connections closed where this process is a worker that ends without ``atexit``."""
    for name in _WORKERS:
        util = sys.modules.get(name)
        if util is None:
            continue
        hook = _IN_WORKERS.get(name)
        if hook is None or not hook.still_active():  # a worker begins with no finalizers
            _IN_WORKERS[name] = util.Finalize(None, _close_all, exitpriority=0)


def _fit(pool: Any, asked: Exchange | None, opens: bool) -> Any:
    """Return the loan of an idle connection that knows a command, begun; None if there is none."""
    while True:
        handle = pool.get_idle()
        if handle is None:
            if not opens:
                return None
            handle = pool.get(0.0)
            handle.handle.begin()
            return handle
        connection = handle.handle
        if connection.is_valid and not transport.unfit([connection.line]):
            if asked is not None and connection.lacks(asked):
                handle.release()
                return None
            connection.begin()
            return handle
        handle.discard()


def _send(connection: Any, request: bytes) -> None:
    channel = connection.channel
    if _AT_ONCE and connection.line.fd >= 0:
        try:
            sent = channel.send(request, _AT_ONCE)
        except BlockingIOError:
            sent = 0
        if sent == len(request):
            return
        request = request[sent:]
    before = channel.gettimeout() if hasattr(channel, "gettimeout") else None
    channel.settimeout(connection.timeout)
    try:
        channel.sendall(request)
    finally:
        channel.settimeout(before)


def _receive(connection: Any, reply: wire.Reply, until: float | None) -> None:
    channel = connection.channel
    # The compiled transport has armed a plain socket, which then has no timeout of its own.
    if until is None and (connection.line.fd < 0 or channel.gettimeout() is not None):
        channel.settimeout(connection.timeout)
    buffer = memoryview(bytearray(_RECEIVE))
    while not reply.done:
        if until is not None:
            channel.settimeout(_left(until))
        try:
            size = channel.recv_into(buffer)
        except BlockingIOError:  # the limit of the socket's own receive has passed
            raise TimeoutError("the deadline passed") from None
        if size == 0:
            raise ConnectionResetError("the server closed the connection")
        if reply.feed(buffer[:size]) < size:
            raise ValueError("there are bytes after the end of the replies")


def _left(until: float) -> float:
    """Return the seconds until a time of the monotonic clock, 0 once it has passed."""
    return max(until - time.monotonic(), 0.0)
