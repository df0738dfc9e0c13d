"""Connections of an asyncio client: what the loop calls, dialling without threads, the login."""

import asyncio
import os
import select
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from functools import partial
from ipaddress import ip_address
from math import inf
from typing import Any

from ..._address import Address, address_text
from ..._dial import (
    BACKLOG_FULL,
    STAGGER,
    dial_failure,
    options_of,
    pauses,
    set_tcp_options,
    tls_name,
)
from ..._kernels import pipeline as kernel
from ..._kernels import wire
from ..._kernels._guarded import text_of
from ...errors import DropboxError
from ..address import parse_address
from ..errors import DeadlineExceededError, ServerError
from ..fleet.options import ShardOptions
from ..hub import Hub
from ..multiplex import Link
from ..protocol.ascii import AsciiProtocol
from ..protocol.binary import BinaryProtocol
from ..protocol.talk import Talk, explained

__all__ = ["Home", "Stream", "open_stream", "until"]


_HELD_UP = 0.1  # seconds after which a loop that comes late looks whether an address has answered
_TURNS = 8  # of the loop, from such an address to a connection that is used
_CLOSING = 1.0  # seconds for the loop to close connections that were aborted
# What tells that an idle connection is of no use: something came; over TLS, where that may be what
# only TLS reads, that the other side has closed it, as far as the system tells. A hang-up always.
_CAME = getattr(select, "POLLIN", 1)
_CLOSED = getattr(select, "POLLRDHUP", 0x2000 if sys.platform == "linux" else 0)  # PyPy: no name


class _Connection(kernel.Pipeline, asyncio.BufferedProtocol):
    """What the loop tells of a connection; it is told apart from those of other attempts."""

    __slots__ = ("_ended", "_events", "_home", "_link", "_looks", "transport")

    def __init__(self, room: Any, clock: Any) -> None:
        self.transport: Any = None
        self._home: Any = None
        self._looks: Any = None
        self._events = 0
        self._link: Link | None = None
        self._ended: Exception | None = None

    def attach(self, link: Link) -> None:
        """Carry the requests of `link`."""
        self._link = link
        link.attach(self, self.transport)
        if self._ended is not None:
            link.failed(self._ended)

    def is_fit(self) -> bool:
        """Return whether nothing has come unasked, such as the end of the connection.

        With TLS only its end can be told, and not on every system.
        """
        return not self._looks or not _has_come(self._looks, self._events)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._home.connections.add(self)
        self._events = _CAME if transport.get_extra_info("sslcontext") is None else _CLOSED
        if self._events:
            self._looks = transport.get_extra_info("socket")

    def connection_lost(self, error: Exception | None) -> None:
        if self._link is not None:
            self._link.transport = None  # asyncio 3.11 fails to abort it once more
        if isinstance(error, OSError) and self.heard == -inf and self._looks is not None:
            error = _refusal(self._looks, error)
        self._end(EOFError() if error is None else error)
        self._home.closed(self)

    def eof_received(self) -> None:
        self._end(EOFError())

    def _end(self, error: Exception) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.failed(error)
        elif self._ended is None:
            self._ended = error

    def pause_writing(self) -> None:
        self.pause()

    def resume_writing(self) -> None:
        self.resume()


class Stream(asyncio.StreamReaderProtocol):
    """A connection that is read by `reader` and written by `transport`: none of a client's."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.transport: Any = None
        self._has_heard = False
        super().__init__(self.reader)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._has_heard = True
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        raw = self.transport.get_extra_info("socket")
        if isinstance(error, OSError) and not self._has_heard and raw is not None:
            error = _refusal(raw, error)
        super().connection_lost(error)


def _refusal(raw: Any, error: OSError) -> OSError:
    """Return why a write failed before anything was read: there may have been no room.

    The socket is open until the loop is told of the end.
    """
    with suppress(OSError), socket.socket(fileno=os.dup(raw.fileno())) as still:
        crowded = wire.codes.CROWDED
        if still.recv(len(crowded), socket.MSG_PEEK) == crowded:
            return wire.codes.no_room()
    return error


async def open_stream(address: str, options: ShardOptions, deadline: float) -> Stream:
    """Return a connection to a server, made as a client's are, but for the login."""
    target = parse_address(address)

    async def attempt(where: Any) -> Stream:
        stream = Stream()
        try:
            await _connect(stream, target, where, options, deadline)
        except BaseException:
            _close(stream)
            raise
        return stream

    stream: Stream = await _first_connected(attempt, target, options.connect_timeout, deadline)
    return stream


class Home:
    """What a client has of its loop: it makes the connections, and knows the tasks that do."""

    def __init__(self, options: ShardOptions) -> None:
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        self._hub: Any = None
        self.connections: set[_Connection] = set()  # those that the loop has not closed
        self._change: asyncio.Future[None] | None = None

    def bind(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        """Give a hub the functions of the loop."""
        self._hub = hub
        hub.room = kernel.Room(loop, asyncio.CancelledError)
        # In a context of its own, or that of the first caller would live as long as the connection.
        hub.at = partial(loop.call_later, context=Context())
        hub.dial = self.dial
        hub.gone = self.changed

    def dial(self, link: Link) -> None:
        """Begin to connect a link, in the next turn: an eager task could fail before it is used."""
        self._hub.loop.call_soon(self._dial, link, context=Context())

    def _dial(self, link: Link) -> None:
        if link.is_valid:
            task = self._hub.loop.create_task(self._dialled(link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def closed(self, connection: _Connection) -> None:
        """Note that the loop has closed a connection."""
        self.connections.discard(connection)
        self.changed()

    def changed(self) -> None:
        """Note that a link or a connection is closed."""
        change, self._change = self._change, None
        if change is not None and not change.done():
            change.set_result(None)

    async def _next_change(self) -> None:
        if self._change is None:
            self._change = self._hub.loop.create_future()
        await asyncio.shield(self._change)

    async def idle(self, seconds: float) -> None:
        """Wait until all links are closed, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._hub.links:
                    await self._next_change()

    async def end(self) -> None:
        """Cancel what is being connected, and wait until the loop has closed all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                while self.connections:
                    await self._next_change()

    async def _dialled(self, link: Link) -> None:
        options = self._options
        target = parse_address(link.address)
        deadline = asyncio.get_running_loop().time() + options.connect_timeout
        connection: Any = None
        try:
            connection = await self._connected(target, deadline)
            try:
                if options.auth is not None:
                    async with until(deadline):
                        connection.attach(link)
                        await _log_in(link, options.auth)
            except DropboxError:
                raise  # whose class may be a TimeoutError, too
            except TimeoutError as error:
                raise DeadlineExceededError(
                    f"no login at {address_text(target)} within {options.connect_timeout:g} s"
                ) from error
            if options.auth is None:
                connection.attach(link)
        except (OSError, DropboxError, ValueError) as error:
            _close(connection)
            link.failed(error if isinstance(error, DropboxError) else explained(error))
        except BaseException:
            _close(connection)
            link.close()
            raise
        else:
            if link.is_valid:
                link.made()
            else:
                _close(connection)

    async def _connected(self, target: Address, deadline: float) -> "_Connection":
        """Return a connection to the first address that answers."""
        attempt = partial(self._attempt, target, deadline)
        limit = self._options.connect_timeout
        connection: _Connection = await _first_connected(attempt, target, limit, deadline)
        return connection

    async def _attempt(self, target: Address, deadline: float, where: Any) -> "_Connection":
        connection = _Connection(self._hub.room, self._hub.clock)
        connection._home = self
        try:
            await _connect(connection, target, where, self._options, deadline)
        except BaseException:
            # uvloop 0.23, cancelled between connection_made and its return, never tells the end.
            _close(connection)
            self.closed(connection)
            raise
        return connection


async def _connect(
    connection: Any, target: Address, where: Any, options: ShardOptions, deadline: float
) -> None:
    """Connect to one address of a server, with TLS if that is asked for."""
    loop = asyncio.get_running_loop()
    if isinstance(target, str):
        await _connect_unix(loop, connection, target, deadline)
        return
    async with until(deadline):
        host = None if options.tls is None else tls_name(target)
        await loop.create_connection(
            lambda: connection, *where[:2], ssl=options.tls, server_hostname=host
        )
        raw = connection.transport.get_extra_info("socket")
        if raw is not None:
            set_tcp_options(raw, options_of(options))


@asynccontextmanager
async def until(deadline: float) -> AsyncIterator[None]:
    """Raise ``TimeoutError`` at the loop's time `deadline`.

    A loop that was held up past the deadline finds the answer and the end of the time at once: then
    it sees what has come before.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.Handle

    def come(turns: int) -> None:
        nonlocal timer
        if turns and loop.time() - deadline > _HELD_UP:
            timer = loop.call_soon(come, turns - 1)
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(deadline, come, _TURNS)
        try:
            yield
        finally:
            timer.cancel()


async def _first_connected(
    attempt: Callable[[Any], Coroutine[Any, Any, Any]],
    target: Address,
    limit: float,
    deadline: float,
) -> Any:
    """Return what the first address that answers gives, each tried a little later.

    `limit` is the whole time for it, in seconds.
    """
    loop = asyncio.get_running_loop()
    try:
        async with until(deadline):
            waiting = deque(await _candidates(loop, target))
    except OSError as error:
        if not isinstance(error, TimeoutError) or error.args:  # which a name server may cause
            raise dial_failure(target, [error]) from error
        late = TimeoutError("timed out")
        raise dial_failure(target, [late], limit, True) from error
    names: list[str] = []
    errors: list[OSError] = []
    attempts: dict[asyncio.Task[Any], str] = {}
    try:
        while waiting or attempts:
            now = loop.time()
            if waiting:
                following = now + min(STAGGER, (deadline - now) / (len(waiting) + 1))
                where = waiting.popleft()
                attempts[loop.create_task(attempt(where))] = _name_of(where)
            end = following if waiting else None  # the attempts end by themselves
            done = await _first_of(attempts, None if end is None else end - now)
            for task in done:
                name = attempts.pop(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                if not isinstance(failure, OSError):
                    raise failure
                is_bare = isinstance(failure, TimeoutError) and not failure.args
                names.append(name)
                errors.append(TimeoutError("timed out") if is_bare else failure)
    finally:
        await _end_attempts(attempts)
    raise dial_failure(target, errors, limit, loop.time() >= deadline, names)


async def _first_of(
    attempts: dict[asyncio.Task[Any], str], seconds: float | None
) -> list[asyncio.Task[Any]]:
    """Return the attempts that have ended, as soon as there is one or the time is over."""
    await asyncio.wait(attempts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return [task for task in attempts if task.done()]


async def _end_attempts(attempts: dict[asyncio.Task[Any], str]) -> None:
    """Cancel the attempts that are not needed, and close what they have connected."""
    for task in attempts:
        task.cancel()
    if attempts:
        await asyncio.wait(attempts)
    for task in attempts:
        if not task.cancelled() and task.exception() is None:
            _close(task.result())


async def _connect_unix(
    loop: asyncio.AbstractEventLoop, connection: Any, path: str, deadline: float
) -> None:
    """Connect to a Unix socket; where its backlog is full, try again until the deadline.

    Linux tells of that by ``EAGAIN``, which loops take for a connection that is being made.
    """
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        attempts = pauses(deadline, loop.time)
        while True:
            try:
                raw.connect(path)
                break
            except BlockingIOError:
                pause = next(attempts, None)
                if pause is None:
                    raise TimeoutError(BACKLOG_FULL) from None
            await asyncio.sleep(pause)
        await loop.create_unix_connection(lambda: connection, sock=raw)
    except BaseException:
        raw.close()
        raise


def _name_of(where: Any) -> str:
    """Return a candidate as the text of an address."""
    return address_text(where if isinstance(where, str) else where[:2])


def _has_come(raw: Any, events: int) -> bool:
    """Return whether one of these events has come to a socket, or its end."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(raw.fileno(), events)
        return bool(poll.poll(0))
    return bool(select.select([raw.fileno()], [], [], 0)[0])


def _close(connection: Any) -> None:
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _candidates(loop: asyncio.AbstractEventLoop, target: Address) -> list[Any]:
    """Return the addresses of a name, in the system's order; the loop looks them up."""
    if isinstance(target, str):
        return [target]
    try:
        ip_address(target[0])
    except ValueError:
        found = await loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(where for *_, where in found))
    return [target]


class _Login:
    """The talk of a login, carried before the callers' requests."""

    def __init__(self, link: Link, talk: Talk, done: "asyncio.Future[Any]") -> None:
        self._link = link
        self._talk = talk
        self._done = done

    def over(self, failure: Exception | None) -> None:
        exchange = self._talk.advance(failure)
        if exchange is not None:
            self._link.pipeline.put(exchange.request, self, exchange.reply, float("inf"))
        elif not self._done.done():
            self._done.set_result(self._talk.outcome)


async def _log_in(link: Link, who: Any) -> None:
    protocol = AsciiProtocol() if who.mechanism == "ascii" else BinaryProtocol()
    exchange = protocol.authenticate(who.user, who.password)
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    _Login(link, Talk(link, [exchange]), done).over(None)
    outcome = await done
    if isinstance(outcome, Exception):
        raise outcome
    error = outcome[0].error
    if error is not None:
        raise ServerError(
            f"the login of {who.user!r} was refused: {text_of(error)}", **error.fields
        )
