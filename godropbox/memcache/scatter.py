"""The driver of many connections: an exchange over each, all at the same time, one deadline.

Where every connection has a line, the kernel does it, in C. Otherwise one loop polls those whose
channels are the operating system's sockets, with TLS or without; and what is then left (a fake, or
a socket that gevent has replaced) is driven last, one after the other, in the time that is left.

A connection counts as broken while its exchange is under way, and whatever is raised here leaves
all of those that are under way so. Compiled as it stands.
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import errno
import selectors
import ssl
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from time import monotonic
from typing import Any

from .._kernels import scatter as kernel
from .connection import Connection, closed_early, network_error
from .errors import DeadlineExceededError, NetworkError, ReplyError, UsageError
from .protocol.exchange import Exchange
from .protocol.probe import Proof

__all__ = ["is_stale", "run_all", "stale", "takes_all_at_once", "told"]

# Under a name of its own, since the compiler takes a plain ``float`` for a C type.
_Deadline = float | None

_SLICE = 65536  # bytes given to the system at a time
_RECEIVE = 65536


def _polls(channel: Any) -> bool:
    """Tell whether a channel can be polled: a socket of the operating system, TLS or not."""
    return isinstance(channel, _socket.socket)


def takes_all_at_once(connection: Connection) -> bool:
    """Tell whether a batch may go over the connection whole, as large as it may be.

    Not over TLS: memcached 1.6 can forget what OpenSSL has read ahead of it, and then waits for
    more. Nor where nothing is received before all is sent.
    """
    if connection.line is not None:
        return True
    return _polls(connection.channel) and not isinstance(connection.channel, ssl.SSLSocket)


# Before anything is sent


def is_stale(connection: Connection) -> bool:
    """Tell whether a connection was closed, or has bytes that nobody asked for.

    Of a channel that cannot be polled it is taken for granted that it was not.
    """
    channel: Any = connection.channel
    if connection.line is not None:
        return bool(kernel.unfit([connection.line.fd]))
    if not _polls(channel):
        return False
    before = channel.gettimeout()
    try:
        channel.settimeout(0.0)
        channel.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError as error:
        return error.errno != errno.ENOTCONN  # which is what one says that is being connected
    finally:
        if channel.fileno() >= 0:
            channel.settimeout(before)
    return True


def stale(connections: Sequence[Connection]) -> list[int]:
    """Return the places of the connections that are stale, looking at all at once if it can."""
    lines = [connection.line for connection in connections]
    if None not in lines:
        return kernel.unfit([line.fd for line in lines]) or []
    return [place for place, each in enumerate(connections) if is_stale(each)]


# The exchanges


def run_all(
    connections: list[Connection], exchanges: Iterable[list[Exchange]], deadline: _Deadline
) -> list[Any]:
    """See exchanges through over each connection, in their order, all connections at once.

    `exchanges` gives the connections' lists in turn, and is not asked for the next before one is
    under way: servers work while requests are made. `deadline` is a time of ``time.monotonic``.
    Returns for each connection the list of its results or what went wrong with it: a
    ``NetworkError``, a ``ReplyError``, or a ``UsageError``.
    """
    lines = [connection.line for connection in connections]
    coming = iter(exchanges)
    first = next(coming, None)
    if first is None:
        return []
    if None in lines:
        return _run_polled(connections, [first, *coming], deadline)
    if any(connection.may_lack(first[0]) for connection in connections):
        # Servers of which it is not known what they know are asked, all at once.
        made = [first, *coming]
        for connection, each in zip(connections, made, strict=True):
            if each[0].request and connection.lacks(each[0]):
                return _run_polled(connections, made, deadline)
        coming = iter(made[1:])
    seconds = None if deadline is None else max(deadline - monotonic(), 0.0)
    under_way = kernel.open_scatter(len(connections), seconds)
    assert under_way is not None  # since there are lines
    outcomes: list[Any] = []
    begun: list[tuple[int, Exchange]] = []
    for each in chain((first,), coming):
        place = len(outcomes)
        exchange = each[0]  # over a line there is but one
        outcomes.append(None)
        if not exchange.request:
            outcomes[place] = [exchange.result()]
            continue
        try:
            connections[place].begin()
        except UsageError as error:
            outcomes[place] = error
            continue
        under_way.start(lines[place].fd, exchange.request, exchange.reply)
        begun.append((place, exchange))
    # The one that was asked last is waited for first: by then most of the others have come, and
    # one wait is all there is.
    for at in range(len(begun) - 1, -1, -1):
        place, exchange = begun[at]
        outcomes[place] = _ended(connections[place], exchange, under_way.finish(at))
    return outcomes


def _ended(connection: Connection, exchange: Exchange, failure: Exception | None) -> Any:
    """Return the outcome of an exchange, and mend the connection if it ended well."""
    if failure is not None:
        return told(failure)
    try:
        result = exchange.result()
    except ReplyError as error:
        return error
    if exchange.in_step():
        connection.end()
    return [result]


def told(error: Exception) -> Exception:
    """Return what went wrong as an error of this package."""
    if isinstance(error, (NetworkError, ReplyError)):
        return error
    if isinstance(error, OSError):
        lost = network_error(error)
        lost.__cause__ = error
        return lost
    return ReplyError(str(error))


def _run_polled(
    connections: list[Connection], exchanges: list[list[Exchange]], deadline: _Deadline
) -> list[Any]:
    talks: dict[int, _Talk] = {}
    outcomes: list[Any] = [None] * len(connections)
    for place, connection in enumerate(connections):
        if _polls(connection.channel):
            talks[place] = _Talk(connection, exchanges[place])
    try:
        _poll(list(talks.values()), deadline)
    finally:
        for talk in talks.values():
            talk.leave()
    for place, talk in talks.items():
        outcomes[place] = talk.outcome
    for place, connection in enumerate(connections):
        if place not in talks:
            outcomes[place] = _run_alone(connection, exchanges[place], deadline)
    return outcomes


def _run_alone(connection: Connection, exchanges: list[Exchange], deadline: _Deadline) -> Any:
    try:
        return [connection._see_through(each, deadline) for each in exchanges]
    except (NetworkError, ReplyError, UsageError) as error:
        return error


def _poll(talks: "list[_Talk]", deadline: _Deadline) -> None:
    """Have every talk go on whenever it can, until all are over or it is too late."""
    with selectors.DefaultSelector() as selector:
        for talk in talks:
            talk.start()
            events = talk.step()
            if events:
                selector.register(talk.channel, events, talk)
        last = False
        while selector.get_map():
            left = None if deadline is None else max(deadline - monotonic(), 0.0)
            # What has come by the deadline is taken: the last look does not wait.
            if last:
                for key in list(selector.get_map().values()):
                    key.data.give_up()
                break
            last = left == 0.0
            for key, _ in selector.select(left):
                events = key.data.step()
                if not events:
                    selector.unregister(key.fileobj)
                elif events != key.events:
                    selector.modify(key.fileobj, events, key.data)


class _Talk:
    """The exchanges over one connection, one after the other, in steps that do not block."""

    def __init__(self, connection: Connection, exchanges: list[Exchange]) -> None:
        channel: Any = connection.channel
        self.channel = channel
        self.outcome: Any = []
        self._connection = connection
        self._coming = self._all(exchanges)
        self._exchange: Exchange | None = None
        self._proof: Proof | None = None  # while it is found out what the server knows
        self._parts: list[memoryview] = []  # what is to be sent yet, the last first
        self._has_sent = False
        self._pending = getattr(channel, "pending", None)
        self._before = channel.gettimeout()
        self._buffer = memoryview(bytearray(_RECEIVE))

    def start(self) -> None:
        try:
            self._connection.begin()
            self.channel.settimeout(0.0)
            self._next()
        except (OSError, UsageError) as error:
            self._fail(error)

    def leave(self) -> None:
        """Have the channel block as it did before."""
        if self.channel.fileno() >= 0:
            self.channel.settimeout(self._before)

    def give_up(self) -> None:
        self._fail(DeadlineExceededError("the deadline passed"))

    def step(self) -> int:
        """Go on as far as it can; return the events to wait for, 0 when it is over."""
        try:
            while self._exchange is not None:
                events = self._send()
                # While there is more to send, what comes is read, so that no side waits for ever.
                events |= self._receive(self._exchange)
                if events:
                    return events
                self._next()
        except OSError as error:
            self._fail(self._lost(error))
        except (ReplyError, UsageError) as error:
            self._fail(error)
        return 0

    def _all(self, exchanges: list[Exchange]) -> Iterator[Exchange]:
        """Give what is to be seen through: before an exchange, what finds out if it may be sent."""
        connection = self._connection
        refusal: bytes | None = None
        in_step = True
        for exchange in exchanges:
            if not in_step:
                raise ReplyError("the server refused an earlier part of the batch")
            if refusal is None and exchange.request and connection.lacks(exchange):
                assert exchange.probe is not None
                self._proof = connection.begin_proof(exchange.probe)
                yield from self._proof.steps()
                proof, self._proof = self._proof, None
                refusal = connection.end_proof(proof)
                if refusal is None:
                    connection.begin()
            if refusal is not None:
                self.outcome.append(exchange.refused(refusal))
                continue
            yield exchange
            self.outcome.append(exchange.result())
            in_step = exchange.in_step()
        if refusal is None and in_step:
            connection.end()

    def _next(self) -> None:
        """Begin the next exchange, or end."""
        self._exchange = next(self._coming, None)
        if self._exchange is not None:
            self._parts = [memoryview(part).cast("B") for part in reversed(self._exchange.request)]

    def _lost(self, error: OSError) -> Exception:
        """Return what it means that the channel failed now."""
        if self._exchange is None or self._proof is None:
            return error
        return self._proof.told(self._exchange.lost(error), self._connection.server())

    def _fail(self, error: Exception) -> None:
        self._exchange = None
        self.outcome = error if isinstance(error, UsageError) else told(error)

    def _send(self) -> int:
        """Send what the channel takes; return the events to wait for, 0 when all is sent."""
        while self._parts:
            part = self._parts.pop()
            try:
                size = self.channel.send(part[:_SLICE]) if part else 0
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._parts.append(part)
                return selectors.EVENT_WRITE
            except ssl.SSLWantReadError:
                self._parts.append(part)
                return selectors.EVENT_READ
            except OSError as error:
                if error.errno != errno.ENOTCONN or self._has_sent:
                    raise
                self._parts.append(part)  # it is being connected
                return selectors.EVENT_WRITE
            self._has_sent = True
            if size < len(part):
                self._parts.append(part[size:])
        return 0

    def _receive(self, exchange: Exchange) -> int:
        """Receive what is there; return the events to wait for, 0 when all was received."""
        while self._has_sent and not (exchange.done and not self._parts):
            try:
                size = self.channel.recv_into(self._buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                return selectors.EVENT_WRITE
            if size == 0:
                raise closed_early(exchange.reply.size)
            exchange.feed(self._buffer[:size])
        if exchange.done and not self._proof and self._pending is not None and self._pending():
            raise ReplyError("there are bytes after the end of the reply")
        return 0
