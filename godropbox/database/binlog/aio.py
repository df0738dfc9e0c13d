"""The events of a server under asyncio: ``await aio.connect(...)``, or ``async with``.

What to ask, and what an answer means, is in ``_replica``; here are the loop's transport and the
waiting.
"""

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from godropbox.errors import ConnectionLostError, DeadlineExceededError
from godropbox.net2 import dial

from ._errors import BinlogError, DataError
from ._events import Event, Position
from ._gtids import GtidSet, MariaDBGtidSet
from ._positions import FilePositions, Place, PositionStore
from ._reader import Schema
from ._replica import Conversation, LogEnded, Replica, ReplicaOptions
from ._stream import checked, dial_options, named
from ._tls import context_of, host_of

__all__ = ["AsyncBinlogStream", "connect"]

_FULL = 1 << 19  # bytes that wait for the reader, at which the socket is not read any more
_FREE = 1 << 17  # and at which it is again


def connect(
    server: Any,
    *,
    user: str,
    password: str = "",
    tls: Any = None,
    server_hostname: str | None = None,
    public_key: bytes | str | None = None,
    server_id: int | None = None,
    position: Place | str | None = None,
    tables: Iterable[str] | None = None,
    columns: Mapping[str, Iterable[str]] | None = None,
    schema: Schema | None = None,
    zero_dates: str = "text",
    statements: str = "everything",
    lenient: bool = False,
    most: int = 1 << 30,
    heartbeat: float = 10.0,
    connect_timeout: float = 10.0,
    silence: float | None = None,
    semi_sync: bool = False,
    reconnect: bool = True,
    on_failure: Callable[[Exception], object] | None = None,
    store: PositionStore | Callable[[Place], object] | None = None,
    save_every: float = 1.0,
    blocks: bool = True,
) -> "Connecting":
    """Return what connects as a replica, by ``await`` or ``async with``: an ``AsyncBinlogStream``.

    The arguments and errors are those of ``binlog.connect``. The functions of `store` may be
    coroutines; a ``FilePositions`` writes in a thread, other functions are called in the loop.
    `schema` is called in the loop, too.
    """
    return Connecting(checked(locals()))


class Connecting:
    """A stream that is to be connected: await it, or enter it by ``async with``."""

    def __init__(self, options: ReplicaOptions) -> None:
        self._options = options
        self._stream: AsyncBinlogStream | None = None

    def __await__(self) -> "Generator[Any, None, AsyncBinlogStream]":
        return self._connect().__await__()

    async def __aenter__(self) -> "AsyncBinlogStream":
        self._stream = await self._connect()
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.close()

    async def _connect(self) -> "AsyncBinlogStream":
        store = self._options.store
        place = None if store is None else await _called(store, store.load)
        stream = AsyncBinlogStream(Replica(self._options, place))
        await stream._open()
        return stream


async def _called(store: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    if isinstance(store, FilePositions):
        return await asyncio.to_thread(function, *arguments)
    found = function(*arguments)
    return await found if inspect.isawaitable(found) else found


class _Connection(asyncio.Protocol):
    """What the loop tells of a connection: bytes, which wait until they are taken, and its end."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._data = bytearray()
        self._is_paused = False
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) >= _FULL and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended(ConnectionLostError("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(error or ConnectionLostError("the server closed the connection"))

    def _ended(self, error: Exception) -> None:
        if self._end is None:
            self._end = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """Return the bytes that wait, at least one; raise how the connection ended."""
        while not self._data:
            if self._end is not None:
                raise self._end
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._data)
        self._data.clear()
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        return data

    async def secure(self, context: ssl.SSLContext, host: str | None, seconds: float) -> bytes:
        """Go on over TLS; return the server's certificate in DER."""
        loop = asyncio.get_running_loop()
        if self._data:
            raise DataError("the server sent bytes before TLS that nobody asked for")
        self.transport = await loop.start_tls(
            self.transport,
            self,
            context,
            server_hostname=host,
            ssl_handshake_timeout=seconds,
        )
        tls: Any = self.transport.get_extra_info("ssl_object")
        return tls.getpeercert(True) or b""

    def close(self) -> None:
        """Close the connection, without waiting for the other side."""
        self._ended(ConnectionLostError("the connection was closed"))
        if self.transport is not None:
            self.transport.abort()


class AsyncBinlogStream:
    """Events of a server, made by ``aio.connect``; iterate over it by ``async for``, in one task.

    It keeps what ``BinlogStream`` keeps. A task that is cancelled while it waits loses no event:
    the iteration can be tried again.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._connection: _Connection | None = None
        self._left: list[Event] = []  # of the last packet, the last one first
        self._is_reading = False
        self._is_over = False
        self._closing = asyncio.Event()

    @property
    def resume(self) -> Position | None:
        """The end of the last transaction that was handed out, in its server's files."""
        return self._replica.progress.resume

    @property
    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions that were handed out to their end, with those before the position.

        None where that is not known: on MySQL from a position by file until the next file, and
        where transactions have no GTIDs.
        """
        return self._replica.gtids

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        left = self._left
        while not left:
            if self._is_over or self._closing.is_set():
                raise StopAsyncIteration
            if self._is_reading:
                raise RuntimeError("the stream is being read by another task")
            self._is_reading = True
            try:
                await self._fill()
            finally:
                self._is_reading = False
            left = self._left
        event = left.pop()
        if not left:
            self._replica.publish()
        return event

    async def save(self) -> None:
        """Save the place behind the last transaction that was handed out, whose work is done.

        That is what asking for the next event says; call this when no more is wanted.
        """
        await self._save(now=True)

    async def close(self) -> None:
        """End the iteration, in whichever task it waits, and close the connection."""
        self._closing.set()
        self._left = []
        self._drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else "open"
        return f"<AsyncBinlogStream of {self._replica.where}: {state}>"

    # Reading

    async def _open(self) -> None:
        """Connect for the first time: each address has one attempt."""
        while self._connection is None:
            try:
                await self._connect()
            except (OSError, BinlogError) as error:
                await self._pause(self._replica.failed(named(self._replica, error)))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the stream is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _fill(self) -> None:
        """Have the events of the next packet that has some."""
        replica = self._replica
        await self._save()
        ack = replica.taken()
        is_parsing = False  # in which what fails is not the connection, but maybe `schema`
        try:
            if ack and self._connection is not None:
                self._connection.transport.write(ack)
            while not self._closing.is_set():
                if self._connection is None:
                    await self._connect()
                    continue
                payload = replica.packets.next()
                if payload is None:
                    replica.packets.feed(await self._received(self._connection))
                    continue
                is_parsing = True
                events = replica.take(payload)
                is_parsing = False
                if events:
                    self._left = events[::-1]
                    return
        except LogEnded:
            self._is_over = True
            self._drop()
        except (OSError, BinlogError) as error:
            self._drop()
            if is_parsing and not isinstance(error, BinlogError):
                raise
            if not self._closing.is_set():
                await self._pause(replica.failed(named(replica, error)))
        except asyncio.CancelledError:
            raise  # only waiting was cut short, and what has come stays
        except BaseException:
            self._drop()
            raise

    async def _save(self, now: bool = False) -> None:
        place = self._replica.to_save(now)
        store = self._replica.options.store
        if place is not None and store is not None:
            await _called(store, store.save, place)
            self._replica.saved()

    async def _received(self, connection: _Connection) -> bytes:
        """Return bytes of the dump; the time that the reader took is not counted as silence."""
        seconds = self._replica.options.silence
        try:
            async with asyncio.timeout(seconds):
                return await connection.read()
        except TimeoutError as error:
            if isinstance(error, DeadlineExceededError):
                raise
            raise DeadlineExceededError(
                f"the server was silent for {seconds:g} s", cause=error
            ) from error

    async def _connect(self) -> None:
        replica = self._replica
        seconds = replica.options.connect_timeout
        deadline = asyncio.get_running_loop().time() + seconds
        connection = await self._dialled()
        try:
            async with asyncio.timeout_at(deadline):
                conversation = replica.begin()
                while not conversation.is_over:
                    await self._step(connection, conversation, deadline)
                _send_rest(connection, conversation)
        except BaseException:
            connection.close()
            raise
        if self._closing.is_set():
            connection.close()
            return
        self._connection = connection
        replica.streams(conversation)

    async def _dialled(self) -> _Connection:
        """Return a connection; a thread dials, as the other streams do."""
        loop = asyncio.get_running_loop()
        replica = self._replica
        dialling = loop.run_in_executor(None, dial, replica.address, dial_options(replica.options))
        try:
            raw = await asyncio.shield(dialling)
        except asyncio.CancelledError:
            dialling.add_done_callback(_close_dialled)
            raise
        raw.setblocking(False)
        try:
            connection: _Connection
            make: Any = loop.create_unix_connection
            if isinstance(replica.address, tuple):
                make = loop.create_connection
            _, connection = await make(_Connection, sock=raw)
        except BaseException:
            raw.close()
            raise
        return connection

    async def _step(
        self, connection: _Connection, conversation: Conversation, deadline: float
    ) -> None:
        """Do what a conversation asks for next."""
        _send_rest(connection, conversation)
        if conversation.wants_tls:
            options = self._replica.options
            left = max(deadline - asyncio.get_running_loop().time(), 1e-3)
            host = host_of(options, self._replica.address)
            conversation.secured(await connection.secure(context_of(options), host, left))
        else:
            conversation.receive(await connection.read())

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _send_rest(connection: _Connection, conversation: Conversation) -> None:
    data = conversation.take_out()
    if data:
        connection.transport.write(data)


def _close_dialled(dialling: "asyncio.Future[Any]") -> None:
    if not dialling.cancelled() and dialling.exception() is None:
        dialling.result().close()
