"""The events of a server, read by a thread that waits: ``binlog.connect``.

What to ask, and what an answer means, is in ``_replica``; here are the socket and the waiting.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

from godropbox._address import address_text
from godropbox._dial import check_tls
from godropbox.errors import ConnectionLostError, DeadlineExceededError, NetworkError
from godropbox.net2 import ConnectionOptions, dial

from ._errors import BinlogError
from ._events import Event, Position
from ._gtids import GtidSet, MariaDBGtidSet
from ._positions import Place, PositionStore
from ._reader import Schema
from ._replica import Conversation, LogEnded, Replica, ReplicaOptions, options_of
from ._tls import context_of, final, host_of

__all__ = ["BinlogStream", "checked", "connect", "dial_options", "named"]

_CHUNK = 1 << 18  # bytes that are read at a time


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
) -> "BinlogStream":
    """Return the events of a server, to which this is connected as a replica.

    - `server`: its address, as ``net2.parse_address`` takes it, or several: of a source and of
      replicas that may take its place. The port is 3306 unless named.
    - `user`, `password`: of an account with REPLICATION SLAVE. MySQL without GTIDs wants
      REPLICATION CLIENT too, to say where its log ends.
    - `tls`: an ``ssl.SSLContext``, or ``"password"``: the certificate that MariaDB 11.4 and later
      made itself is verified by the password. None is no TLS.
    - `server_hostname`: the name in the certificate, if it is not the host of the address.
    - `public_key`: without TLS and Unix socket, the server's RSA key in PEM, with which
      ``caching_sha2_password`` sends a password encrypted; ``"ask"`` takes the one that the server
      sends, which somebody in between could replace.
    - `server_id`: a number that no other replica of the server has, in [1, 2**32); by default a
      random one from 2**31 on.
    - `position`: the transactions that were read (``GtidSet``, ``MariaDBGtidSet``), a ``Position``
      behind a transaction, ``"start"``, the oldest log that the server has, or ``"now"``. None is
      ``"now"``. What `store` has goes before.
    - `tables`, `columns`, `schema`, `zero_dates`, `statements`, `lenient`, `most`: as of
      ``BinlogParser``.
    - `heartbeat`: seconds after which an idle server sends a sign of life.
    - `silence`: seconds of waiting without a byte after which the connection is lost; thrice
      `heartbeat` by default.
    - `connect_timeout`: seconds for each connection with its login.
    - `semi_sync`: whether the server's commits may wait for this reader. A transaction is
      acknowledged when the event behind it is asked for. The server has to have semi-synchronous
      replication ON.
    - `reconnect`: whether to go on by a new connection when one fails, for as long as it takes.
    - `on_failure`: is called with the error of each failure before it; what it raises goes to the
      reader.
    - `store`: keeps the place: what has ``load`` and ``save``, such as ``FilePositions``, or a
      function that saves. A transaction is saved after the event behind it was asked for.
    - `save_every`: at most one save in so many seconds; 0 saves after each transaction.
    - `blocks`: whether to wait for new events at the end of the log; without, iteration ends there.

    Raises ``ConnectionLostError`` or ``DeadlineExceededError`` if no server can be reached,
    ``ServerError`` if one refuses, and ``PositionLost``, now or later, if it cannot go on from the
    position. See ``BinlogStream``.
    """
    options = checked(locals())
    place = None if options.store is None else options.store.load()
    stream = BinlogStream(Replica(options, place))
    stream._open()
    return stream


def checked(given: dict[str, Any]) -> ReplicaOptions:
    """Return the arguments of ``connect``, by their names, checked.

    Raises ``TypeError`` and ``ValueError``, as for TLS over a Unix socket without a name to verify.
    """
    options = options_of(**given)
    if options.tls is not None:
        for address in options.addresses:
            check_tls(address, context_of(options), options.server_hostname)
    return options


def dial_options(options: ReplicaOptions) -> ConnectionOptions:
    """Return how to dial; TLS comes later, when the server has greeted."""
    return ConnectionOptions(dial_timeout=options.connect_timeout)


def named(replica: Replica, error: Exception) -> Exception:
    """Return an error of one of the package's families, which names the server."""
    if isinstance(error, ssl.SSLError):
        error = final(error)
    if isinstance(error, BinlogError):
        return error
    address = address_text(replica.address)
    if isinstance(error, NetworkError):
        return error if address in str(error) else type(error)(f"{address}: {error}", cause=error)
    if isinstance(error, TimeoutError):
        seconds = replica.options.connect_timeout
        return DeadlineExceededError(f"{address}: no login within {seconds:g} s", cause=error)
    return ConnectionLostError(f"{address}: {error}", cause=error)


class BinlogStream:
    """Events of a server, made by ``binlog.connect``; iterate over it, in one thread.

    Over lost connections and other servers, as long as the object lives, each event of a
    transaction comes once: a transaction that was cut off goes on behind the rows that were handed
    out. Events that belong to none (``FormatDescription``, ``Rotate``, ``PreviousGtids``,
    ``Heartbeat``) come with each connection. A new run that begins where `store` was saved repeats
    what was not saved, and loses nothing.

    Close it, from any thread, or use it as a context manager. After an error the iteration can be
    tried again, and goes on where it was.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._socket: socket.socket | None = None
        self._left: list[Event] = []  # of the last packet, the last one first
        self._turn = threading.Lock()  # held by who reads
        self._closing = threading.Event()
        self._is_over = False

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

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        left = self._left
        while not left:
            if self._is_over or self._closing.is_set():
                raise StopIteration
            if not self._turn.acquire(blocking=False):
                raise RuntimeError("the stream is being read by another thread")
            try:
                self._fill()
            finally:
                self._turn.release()
                if self._closing.is_set():
                    self._drop()
            left = self._left
        event = left.pop()
        if not left:
            self._replica.publish()
        return event

    def save(self) -> None:
        """Save the place behind the last transaction that was handed out, whose work is done.

        That is what asking for the next event says; call this when no more is wanted.
        """
        self._save(now=True)

    def close(self) -> None:
        """End the iteration, in whichever thread it waits, and close the connection."""
        self._closing.set()
        connection = self._socket
        if connection is not None:
            # Not the method of an SSLSocket, which would have the reader go on in plain.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        if self._turn.acquire(blocking=False):
            try:
                self._left = []
                self._drop()
            finally:
                self._turn.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closing.is_set() else "open"
        return f"<BinlogStream of {self._replica.where}: {state}>"

    # Reading

    def _open(self) -> None:
        """Connect for the first time: each address has one attempt."""
        while self._socket is None:
            self._attempt()

    def _attempt(self) -> None:
        try:
            self._connect()
        except (OSError, BinlogError) as error:
            self._closing.wait(self._replica.failed(named(self._replica, error)))

    def _fill(self) -> None:
        """Have the events of the next packet that has some."""
        replica = self._replica
        self._save()
        ack = replica.taken()
        is_parsing = False  # in which what fails is not the connection, but maybe `schema`
        try:
            if ack and self._socket is not None:
                self._send(self._socket, ack)
            while not self._closing.is_set():
                if self._socket is None:
                    self._connect()
                    continue
                payload = replica.packets.next()
                if payload is None:
                    replica.packets.feed(self._received())
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
                self._closing.wait(replica.failed(named(self._replica, error)))
        except BaseException:
            self._drop()
            raise

    def _save(self, now: bool = False) -> None:
        place = self._replica.to_save(now)
        store = self._replica.options.store
        if place is not None and store is not None:
            store.save(place)
            self._replica.saved()

    def _received(self) -> bytes:
        """Return bytes of the dump; the time that the reader took is not counted as silence."""
        connection = self._socket
        assert connection is not None
        seconds = self._replica.options.silence
        connection.settimeout(seconds)
        try:
            data = connection.recv(_CHUNK)
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"the server was silent for {seconds:g} s", cause=error
            ) from error
        if not data:
            raise ConnectionLostError("the server closed the connection")
        return data

    def _send(self, connection: socket.socket, data: bytes) -> None:
        connection.settimeout(self._replica.options.connect_timeout)
        connection.sendall(data)

    def _connect(self) -> None:
        replica = self._replica
        options = replica.options
        deadline = monotonic() + options.connect_timeout
        connection = dial(replica.address, dial_options(options))
        self._socket = connection  # for ``close`` to end it meanwhile
        try:
            conversation = replica.begin()
            while not conversation.is_over:
                connection.settimeout(max(deadline - monotonic(), 1e-3))
                connection = self._step(connection, conversation)
                if self._closing.is_set():
                    return
            self._send_rest(connection, conversation)
            replica.streams(conversation)
        except BaseException:
            self._drop()
            raise

    def _step(self, connection: socket.socket, conversation: Conversation) -> socket.socket:
        """Do what a conversation asks for next; return the connection that it goes on with."""
        self._send_rest(connection, conversation)
        if conversation.wants_tls:
            options = self._replica.options
            host = host_of(options, self._replica.address)
            secured = context_of(options).wrap_socket(connection, server_hostname=host)
            self._socket = secured
            conversation.secured(secured.getpeercert(True))
            return secured
        data = connection.recv(_CHUNK)
        if not data:
            raise ConnectionLostError("the server closed the connection during the login")
        conversation.receive(data)
        return connection

    def _send_rest(self, connection: socket.socket, conversation: Conversation) -> None:
        data = conversation.take_out()
        if data:
            connection.sendall(data)

    def _drop(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
