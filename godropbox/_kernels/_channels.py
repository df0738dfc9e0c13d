"""Exchanges over channels of any kind, driven by the channels' own methods.

The pure transport, and what the compiled one does for channels that are no plain sockets. Sockets
of the operating system, with TLS or without, are polled, all at once; other channels (a fake, or a
socket that gevent has replaced) block, one after the other, in the time that is left.
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import errno
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ._guarded import without_frames
from ._wire import CROWDED, bad_leftover, no_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Channel", "Reply", "Talk", "carry", "is_plain", "polls", "refusal", "unfit"]

_SLICE = 65536  # bytes given to the system at a time
_RECEIVE = 65536
MOST_SECONDS = 1e9  # a longer wait has no end
_SMALL = 8192  # bytes of a request that fit into the buffers of any socket
_READ, _WRITE = 1, 2  # the events of ``selectors``


class _BadReplyError(Exception):
    """The reply is bad, as its argument says. A signal handler's own errors are none of these."""


class Channel(Protocol):
    """What carries bytes: a socket, or what has these methods of one."""

    def sendall(self, data: "ReadableBuffer", /) -> object: ...
    def recv_into(self, buffer: "WriteableBuffer", /) -> int: ...
    def settimeout(self, seconds: float | None, /) -> object: ...
    def close(self) -> object: ...


class Reply(Protocol):
    """What takes the bytes of a reply."""

    @property
    def done(self) -> bool: ...
    @property
    def size(self) -> int: ...
    def feed(self, data: "ReadableBuffer", /) -> int: ...


class Exchange(Protocol):
    """A request and its reply; one that is its own reply looks itself at what may follow."""

    @property
    def request(self) -> "list[ReadableBuffer]": ...
    @property
    def reply(self) -> Any: ...


class Talk(Protocol):
    """Exchanges over one connection, one after the other."""

    def advance(self, failure: Exception | None, /) -> Any: ...


class _Line(Protocol):
    channel: Any
    seconds: float | None
    clean: bool
    begun: bool


def is_plain(channel: object) -> bool:
    """Return whether a channel is a socket of the operating system with nothing in between."""
    kind: Any = type(channel)
    known = sys.modules.get("socket")
    return (
        known is not None
        and isinstance(channel, known.socket)
        and kind.recv_into is _socket.socket.recv_into
        and kind.sendall is _socket.socket.sendall
    )


def polls(channel: object) -> bool:
    """Return whether a channel can be polled: a socket of the operating system, TLS or not."""
    return isinstance(channel, _socket.socket)


def _replaces(channel: object) -> bool:
    """Return whether a channel is of a module that replaces Python's sockets, such as gevent."""
    names = (("socket", "socket"), ("ssl", "SSLSocket"))
    kinds = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return any(isinstance(channel, kind) for kind in kinds if kind is not None)


def interleaves(channel: object) -> bool:
    """Return whether a batch of any size may go over a channel in one request.

    Not over TLS: memcached 1.6 can forget what OpenSSL has read ahead of it, and then waits for
    more. Nor where nothing is received before all is sent.
    """
    ssl = sys.modules.get("ssl")
    return polls(channel) and (ssl is None or not isinstance(channel, ssl.SSLSocket))


def _events(error: OSError, usual: int) -> int:
    """Return the event that an operation waits for, 0 if it failed."""
    if isinstance(error, BlockingIOError):
        return usual
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLWantReadError):
        return _READ
    return _WRITE if ssl is not None and isinstance(error, ssl.SSLWantWriteError) else 0


def _closed(size: int) -> ConnectionResetError:
    return ConnectionResetError(f"the server closed the connection after {size} bytes of the reply")


def refusal(channel: Any, error: OSError) -> OSError:
    """Return why a send failed: the server may have said before that it has no room."""
    if is_plain(channel) and not isinstance(error, TimeoutError):
        with suppress(OSError):
            before = channel.gettimeout()
            channel.settimeout(0.0)
            try:
                if channel.recv(len(CROWDED), _socket.MSG_PEEK) == CROWDED:
                    return no_room()
            finally:
                channel.settimeout(before)
    return error


# Before anything is sent


def _flaw(channel: Any) -> Exception | None:
    """Return why a connection is unfit: it was closed, or has bytes that nobody asked for.

    Nothing can be said of a channel that is no socket, but for what it has buffered.
    """
    unasked = ValueError("bytes were waiting before the request was sent")
    if not polls(channel) and not _replaces(channel):
        pending = getattr(channel, "pending", None)
        return unasked if pending is not None and pending() else None
    before = channel.gettimeout()
    try:
        channel.settimeout(0.0)
        if is_plain(channel):
            waiting = channel.recv(len(CROWDED), _socket.MSG_PEEK)
        else:
            waiting = channel.recv(1)
        if waiting == CROWDED:
            return no_room()
        return unasked if waiting else _closed(0)
    except OSError as error:
        # Being connected, it cannot tell yet.
        return None if _events(error, _READ) or error.errno == errno.ENOTCONN else error
    finally:
        if channel.fileno() >= 0:
            channel.settimeout(before)


def unfit(lines: "Sequence[_Line]") -> list[int]:
    """Return the indices of the lines that are closed, broken, or have bytes nobody asked for."""
    return [i for i, line in enumerate(lines) if _flaw(line.channel) is not None]


# The exchanges


def carry(lines: "Sequence[_Line]", talks: "Sequence[Talk]", seconds: float | None) -> None:
    """See talks through over their lines, all at once, within `seconds`.

    ``talk.advance(None)`` returns the first exchange, which has a `request`, a list of buffers, and
    a `reply`. When that is over, ``advance`` is called with None, or with how it failed: an
    ``OSError`` (``TimeoutError`` when late), or a ``ValueError`` for a bad reply. It returns the
    next exchange, or None.

    A part of a batch is a talk of one exchange, which keeps how it ended in `failure`.

    With `seconds` None, a line that is carried alone takes its own limit, and several take none. A
    line that is carried alone is first seen to be fit.
    """
    if len(lines) != len(talks):
        raise ValueError(f"talks must be {len(lines)}, one a line, got {len(talks)}")
    if len(lines) == 1 and seconds is None:
        seconds = lines[0].seconds
    deadline = None if seconds is None or seconds > MOST_SECONDS else monotonic() + seconds
    if len(lines) == 1:
        _carry_alone(lines[0], talks[0], deadline, True)
        return
    polled = [_Turn(*pair) for pair in zip(lines, talks, strict=True) if polls(pair[0].channel)]
    for turn in polled:
        turn.exchange = turn.talk.advance(None)
    _poll(polled, deadline)
    for line, talk in zip(lines, talks, strict=True):
        if not polls(line.channel):
            _carry_alone(line, talk, deadline, False)


def _carry_alone(line: "_Line", talk: "Talk", deadline: float | None, peeks: bool) -> None:
    """See a talk through by methods that block."""
    line.begun = False
    exchange = talk.advance(None)
    while exchange is not None:
        line.clean = False
        failure = _flaw(line.channel) if peeks else None
        peeks = False
        if failure is None:
            line.begun = True
            if polls(line.channel) and sum(map(_size, exchange.request)) > _SMALL:
                turn = _Turn(line, talk)
                turn.exchange = exchange
                _poll([turn], deadline)  # which sees the whole talk through
                return
            try:
                _block(line.channel, exchange, deadline)
            except _BadReplyError as error:
                failure = without_frames(error.args[0])
            except OSError as error:
                failure = without_frames(refusal(line.channel, error))
        line.clean = failure is None
        exchange = talk.advance(failure)


def _size(part: "ReadableBuffer") -> int:
    return memoryview(part).nbytes


def _block(channel: Any, exchange: Exchange, deadline: float | None) -> None:
    if deadline is None:
        channel.settimeout(None)  # an earlier exchange may have left a limit
    for part in exchange.request:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _SLICE):
            _limit(channel, deadline)
            channel.sendall(view[start : start + _SLICE])
    reply = exchange.reply
    buffer = memoryview(bytearray(_RECEIVE))
    while not reply.done:
        _limit(channel, deadline)
        size = channel.recv_into(buffer)
        if size == 0:
            raise _closed(reply.size)
        _feed(exchange, buffer[:size])
    _check_end(channel, exchange)


def _feed(exchange: Exchange, data: memoryview) -> None:
    """Feed a reply; only an exchange that is its own reply may leave some of it."""
    reply = exchange.reply
    try:
        taken = reply.feed(data)
    except ValueError as error:
        raise _BadReplyError(error) from None
    if taken < len(data) and reply is not exchange:
        raise _BadReplyError(bad_leftover(bytes(data[taken:]), reply.size))


def _limit(channel: Any, deadline: float | None) -> None:
    if deadline is not None:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline passed")
        channel.settimeout(left)


def _check_end(channel: Any, exchange: Exchange) -> None:
    """See that a channel holds nothing behind the reply."""
    pending = getattr(channel, "pending", None)
    if exchange.reply is not exchange and pending is not None and pending():
        raise _BadReplyError(ValueError("there are bytes after the end of the reply"))


def _poll(turns: "list[_Turn]", deadline: float | None) -> None:
    """Have every turn go on whenever it can, until all are over or it is too late."""
    import selectors

    kind = getattr(selectors, "PollSelector", selectors.DefaultSelector)
    before = [turn.channel.gettimeout() for turn in turns]
    try:
        with kind() as selector:
            for turn in turns:
                turn.start()
                events = turn.step()
                if events:
                    selector.register(turn.channel, events, turn)
            is_late = False
            while selector.get_map():
                left = None if deadline is None else max(deadline - monotonic(), 0.0)
                # What was received by the deadline is taken: the last look does not wait.
                if is_late:
                    for key in list(selector.get_map().values()):
                        key.data.give_up()
                    break
                is_late = left == 0.0
                for key, _ in selector.select(left):
                    events = key.data.step()
                    if not events:
                        selector.unregister(key.fileobj)
                    elif events != key.events:
                        selector.modify(key.fileobj, events, key.data)
    finally:
        for turn, seconds in zip(turns, before, strict=True):
            if turn.channel.fileno() >= 0:
                turn.channel.settimeout(seconds)


class _Turn:
    """A talk over a channel that is polled, in steps that do not block."""

    def __init__(self, line: "_Line", talk: "Talk") -> None:
        self.talk = talk
        self.channel = line.channel
        self.exchange: Any = None
        self._line = line
        self._left: list[memoryview] = []  # to be sent, the last first
        self._has_sent = False
        self._buffer = memoryview(bytearray(_RECEIVE))

    def start(self) -> None:
        """Begin the exchange."""
        if self.exchange is not None:
            with suppress(OSError):  # a closed socket tells so when it is used
                self.channel.settimeout(0.0)
            self._line.clean = False
            self._line.begun = True
            self._left = [memoryview(part).cast("B") for part in reversed(self.exchange.request)]

    def step(self) -> int:
        """Go on as far as possible; return the events to wait for, 0 when all is over."""
        while self.exchange is not None:
            try:
                events = self._send()
                # While there is more to send, replies are read, so that no side waits for ever.
                events |= self._receive(self.exchange)
                if events:
                    return events
                _check_end(self.channel, self.exchange)
            except _BadReplyError as error:
                self.end(without_frames(error.args[0]))
            except OSError as error:
                self.end(without_frames(refusal(self.channel, error)))
            else:
                self.end(None)
        return 0

    def end(self, failure: Exception | None) -> None:
        """End the exchange, and begin the next if there is one."""
        self._line.clean = failure is None
        self.exchange = self.talk.advance(failure)
        self.start()

    def give_up(self) -> None:
        """End this exchange, and all that follow it, as late."""
        while self.exchange is not None:
            self.end(TimeoutError("the deadline passed"))

    def _send(self) -> int:
        """Send what the channel takes; return the events to wait for, 0 when all is sent."""
        while self._left:
            part = self._left.pop()
            try:
                size = self.channel.send(part[:_SLICE]) if part else 0
            except OSError as error:
                self._left.append(part)
                events = _events(error, _WRITE)
                if not events and error.errno == errno.ENOTCONN and not self._has_sent:
                    events = _WRITE  # it is being connected
                if not events:
                    raise
                return events
            self._has_sent = True
            if size < len(part):
                self._left.append(part[size:])
        return 0

    def _receive(self, exchange: Exchange) -> int:
        """Receive what is there; return the events to wait for, 0 when all was received."""
        reply = exchange.reply
        while (self._has_sent or not self._left) and not (reply.done and not self._left):
            try:
                size = self.channel.recv_into(self._buffer)
            except OSError as error:
                events = _events(error, _READ)
                if not events:
                    raise
                return events
            if size == 0:
                raise _closed(reply.size)
            _feed(exchange, self._buffer[:size])
        return 0
