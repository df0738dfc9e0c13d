"""The driver: one connection, one exchange at a time, and no way to get out of step.

A channel is anything with ``sendall``, ``recv_into``, ``settimeout`` and ``close``. Over a plain
socket a compiled driver sends, waits, receives and parses in C, with the interpreter lock
released; over anything else (TLS, gevent, a fake) it calls those four.

From the first byte sent to the last byte understood the connection counts as broken, and only a
complete and fitting reply mends it: no exception of any kind can leave it usable and out of step.
Compiled as it stands (``connection.pxd``).
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from .._forks import begin_again_in_child
from .._kernels import line as kernel
from .._kernels._guarded import name_of, text_of
from .._kernels._identity import refuse_copies
from .errors import (
    ClientClosedError,
    ConnectionLostError,
    ConnectionUnusableError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NetworkError,
    NotSupportedError,
    ReplyError,
)
from .protocol.exchange import (
    BINARY,
    CAS,
    META,
    SET,
    Exchange,
    Probe,
    as_caller_error,
    get_response,
)
from .protocol.probe import Proof
from .responses import GetResponse
from .types import Key

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Channel", "Connection", "Seconds", "check_timeout", "closed_early", "network_error"]

# Under a name of its own, since the compiler takes a plain ``float`` for a C type.
Seconds = float | None
_SLICE = 16384  # bytes sent between two looks at the clock
_RECEIVE = 65536


def check_timeout(timeout: Any) -> None:
    """Raise what is wrong with the seconds for an operation: a number, or None for no limit."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise InvalidTypeError(f"timeout must be a number in (0, 1e9) or None, got {timeout!r}")
    if not 0 < timeout < 1e9:
        raise InvalidArgumentError(f"timeout must be in (0, 1e9) seconds, got {timeout!r}")


class Channel(Interface):
    """What a connection is made over."""

    def sendall(self, data: "ReadableBuffer", /) -> object: ...
    def recv_into(self, buffer: "WriteableBuffer", /) -> int: ...
    def settimeout(self, seconds: float | None, /) -> object: ...
    def close(self) -> object: ...


def _is_plain(channel: object) -> bool:
    """Tell whether a channel is a socket of the operating system with nothing in between."""
    kind: Any = type(channel)
    return (
        isinstance(channel, socket.socket)
        and kind.recv_into is _socket.socket.recv_into
        and kind.sendall is _socket.socket.sendall
    )


def network_error(error: OSError) -> NetworkError:
    """Return what a channel raised as an error of the network's family."""
    text = text_of(error) or name_of(type(error))
    if isinstance(error, TimeoutError):
        # What is not the system's own is in the kernel's words, whatever the channel has for it.
        return DeadlineExceededError("the deadline passed" if error.errno is None else text)
    return ConnectionLostError(text)


def closed_early(size: int) -> ConnectionResetError:
    """Return the error for a peer that closed the connection after so many bytes of the reply."""
    return ConnectionResetError(f"the server closed the connection after {size} bytes of the reply")


class Connection:
    """One connection to one server. Threads may share it; they take turns.

    `timeout` is seconds for a whole operation, waiting for a turn included; None takes the
    channel's own (``gettimeout``), if it has one.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_fd",
        "_has_begun",
        "_is_closed",
        "_is_mine",
        "_is_proving",
        "_is_valid",
        "_line",
        "_lock",
        "_opened",
        "_pending",
        "_pid",
        "_plain",
        "_proven",
        "_timeout",
        "_version",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, channel: Channel, timeout: Seconds = None) -> None:
        if timeout is None and hasattr(channel, "gettimeout"):
            timeout = channel.gettimeout()
        check_timeout(timeout)
        self._channel = channel
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opened = monotonic()
        self._pid = os.getpid()
        self._has_begun = False
        self._is_closed = False
        self._proven = 0  # which kinds of headers the server knows
        self._version: str | None = None  # of the server, as far as known
        self._is_proving = False
        self._is_mine = True
        self._is_valid = True
        self._plain = _is_plain(channel)
        self._pending = getattr(channel, "pending", None)
        self._line: Any = None
        self._fd = -1  # of the line
        if self._plain:
            line = kernel.open_line(channel.fileno(), timeout or 0.0)  # type: ignore[attr-defined]
            if line is not None:
                channel.settimeout(None)
                self._line = line
                self._fd = line.fd
        begin_again_in_child(self)

    def _forked(self) -> None:
        self._is_mine = False

    @property
    def is_valid(self) -> bool:
        """Whether the connection may be used; once False, it stays False."""
        return self._is_valid and self._is_mine

    @property
    def timeout(self) -> float | None:
        """Seconds for a whole operation, None for no limit."""
        return self._timeout

    @property
    def opened(self) -> float:
        """When the connection was made, at the latest: ``time.monotonic()`` seconds."""
        return self._opened

    @property
    def channel(self) -> Channel:
        """What the connection is made over."""
        return self._channel

    @property
    def line(self) -> Any:
        """The kernel's own end of a plain socket; None where the channel's methods are used."""
        return self._line

    @property
    def has_begun(self) -> bool:
        """Whether anything of the latest exchange may have been sent.

        Where it failed and nothing was, the same can be asked over another connection.
        """
        if self._is_proving:
            return False
        return self._has_begun if self._line is None else self._line.begun

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'valid' if self.is_valid else 'invalid'}>"

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without a word to the server."""
        self._is_valid = False
        self._is_closed = True
        self._channel.close()

    # Driving

    def run(self, exchange: Exchange) -> Any:
        """See an exchange through before the deadline, and return its result.

        Raises ``ConnectionUnusableError``, ``NetworkError`` or ``ReplyError``.
        """
        deadline = self._take_turn()
        try:
            return self._see_through(exchange, deadline)
        finally:
            self._lock.release()

    def _run(self, make: Callable[..., Exchange], *given: Any) -> Any:
        """Make an exchange when it is its turn, see it through, and return its result."""
        deadline = self._take_turn()
        try:
            return self._see_through(make(*given), deadline)
        finally:
            self._lock.release()

    def begin(self) -> None:
        """Have the connection count as broken, for a driver that sees an exchange through itself.

        Whoever does so has the connection alone. Raises ``ConnectionUnusableError``.
        """
        if not (self._is_valid and self._is_mine):
            raise self._unusable()
        self._is_valid = False

    def end(self) -> None:
        """Have the connection count as usable again, after a complete and fitting reply."""
        self._is_valid = True

    def _take_turn(self) -> Any:
        """Lock the connection; return the deadline if there was a wait for it, or else None."""
        if not self._is_mine:
            raise self._unusable()
        if self._lock.acquire(False):
            return None
        if self._timeout is None:
            self._lock.acquire()
            return None
        deadline = monotonic() + self._timeout
        if not self._lock.acquire(timeout=self._timeout):
            raise DeadlineExceededError(f"another thread used the connection for {self._timeout} s")
        return deadline

    def _see_through(self, exchange: Exchange, deadline: Any) -> Any:
        if not (self._is_valid and self._is_mine):
            raise self._unusable()
        if not exchange.request:
            return exchange.result()
        if exchange.probe is not None and exchange.probe.kinds & ~self._proven:
            if deadline is None and self._timeout is not None:
                deadline = monotonic() + self._timeout
            refusal = self._prove(exchange.probe, deadline)
            if refusal is not None:
                return exchange.refused(refusal)
        self._is_valid = False
        if self._line is None:
            if deadline is None and self._timeout is not None:
                deadline = monotonic() + self._timeout
            self._exchange_over_channel(exchange, deadline)
        else:
            try:
                if deadline is None:
                    self._line.exchange(exchange.request, exchange.reply)
                else:
                    left = max(deadline - monotonic(), 0.0)
                    self._line.exchange(exchange.request, exchange.reply, left)
            except ValueError as error:
                raise ReplyError(str(error)) from None
            except OSError as error:
                raise network_error(error) from error
        result = exchange.result()
        self._is_valid = exchange.in_step()
        return result

    # Whether the server knows what is to be sent; see ``probe``

    def lacks(self, exchange: Exchange) -> bool:
        """Tell whether the server is still to be asked whether it knows what an exchange needs."""
        probe = exchange.probe
        return probe is not None and probe.kinds & ~self._proven != 0

    def may_lack(self, exchange: Exchange) -> bool:
        """Tell whether ``lacks`` can be True of any exchange of a batch that begins with this."""
        probe = exchange.probe
        if probe is None:
            return False
        if probe.kinds & (META | BINARY):
            return self.lacks(exchange)
        return self._proven & (SET | CAS) != SET | CAS  # by the items, some need one, some both

    def begin_proof(self, probe: Probe) -> Proof:
        """Return what is to be asked; until ``end_proof`` nothing of an exchange counts as sent."""
        self._is_proving = True
        return Proof(probe, self._proven, self._version)

    def end_proof(self, proof: Proof) -> bytes | None:
        """Take what was found out; return the line that answers the exchange, if one does.

        Raises ``NotSupportedError``.
        """
        self._is_proving = False
        self._proven = proof.proven
        self._version = proof.version
        self._is_valid = proof.in_step
        if proof.error is not None:
            raise proof.told(proof.error, self.server())
        return proof.refusal

    def _prove(self, probe: Probe, deadline: float | None) -> bytes | None:
        """Ask the server what it knows; return the line that answers the exchange, if one does."""
        self._is_valid = False
        proof = self.begin_proof(probe)
        try:
            for step in proof.steps():
                try:
                    self._send_and_receive(step, deadline)
                except OSError as error:
                    raise step.lost(error) from error
        except OSError as error:
            raise network_error(error) from error
        except NotSupportedError as error:
            raise proof.told(error, self.server()) from error.__cause__
        finally:
            if self._line is not None:
                # Of one that was closed meanwhile it is told by what came of that.
                with suppress(OSError):
                    self._channel.settimeout(None)
        return self.end_proof(proof)

    def server(self) -> str:
        """Return the address of the server, as far as the channel can tell."""
        try:
            name = self._channel.getpeername()  # type: ignore[attr-defined]  # a socket, perhaps
        except (AttributeError, OSError):
            return "the server"
        if not isinstance(name, tuple):
            return f"unix:{name}"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def _fetch(self, verb: bytes, key: Key, prefix: bytes) -> GetResponse:
        """Get one key in the ASCII protocol, over a line: no object is made on the way."""
        deadline = self._take_turn()
        try:
            if not (self._is_valid and self._is_mine):
                raise self._unusable()
            self._is_valid = False
            line = self._line
            try:
                if deadline is None:
                    hit = line.get(verb, key, prefix)
                else:
                    hit = line.get(verb, key, prefix, max(deadline - monotonic(), 0.0))
                response = get_response(key, hit)
            except OSError as error:
                raise network_error(error) from error
            except (TypeError, ValueError) as error:
                if not line.clean:
                    raise ReplyError(str(error)) from None
                self._is_valid = True
                raise as_caller_error(error) from None
            self._is_valid = True
            return response
        finally:
            self._lock.release()

    def _unusable(self) -> ConnectionUnusableError:
        if not self._is_mine:
            return ConnectionUnusableError(
                f"the connection belongs to process {self._pid}, which forked this one"
            )
        if self._is_closed:
            return ClientClosedError("the connection was closed by its user")
        return ConnectionUnusableError("the connection broke in an earlier operation")

    def _exchange_over_channel(self, exchange: Exchange, deadline: float | None) -> None:
        self._has_begun = False
        try:
            self._check_quiet()
            self._has_begun = True
            self._send_and_receive(exchange, deadline)
            if self._pending is not None and self._pending():
                raise ReplyError("there are bytes after the end of the reply")
        except OSError as error:
            raise network_error(error) from error

    def _send_and_receive(self, exchange: Exchange, deadline: float | None) -> None:
        channel = self._channel
        for part in exchange.request:
            view = memoryview(part).cast("B")
            for start in range(0, len(view), _SLICE):
                self._set_timeout(deadline)
                channel.sendall(view[start : start + _SLICE])
        buffer = memoryview(bytearray(_RECEIVE))
        while not exchange.done:
            self._set_timeout(deadline)
            size = channel.recv_into(buffer)
            if size == 0:
                raise closed_early(exchange.reply.size)
            exchange.feed(buffer[:size])

    def _check_quiet(self) -> None:
        """See that nothing was received that nobody asked for, where the channel can tell."""
        waiting = self._pending is not None and self._pending()
        if self._plain and hasattr(socket, "MSG_DONTWAIT"):
            self._channel.settimeout(None)
            try:
                flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
                waiting = self._channel.recv(1, flags)  # type: ignore[attr-defined]  # a socket
            except BlockingIOError:
                return
            if not waiting:
                raise closed_early(0)
        if waiting:
            raise ReplyError("bytes were waiting before the request was sent")

    def _set_timeout(self, deadline: float | None) -> None:
        if deadline is not None:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("the deadline passed")
            self._channel.settimeout(left)
