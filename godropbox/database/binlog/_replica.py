"""What a replica does, without I/O: whom to ask for what, what an answer means, when to try again.

A driver dials ``address``, carries the ``Conversation`` that ``begin`` returns, and hands each
packet of the dump to ``take``. What fails it hands to ``failed``, which raises or says how long to
wait.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from godropbox._address import Address, address_text, parse_address
from godropbox._kernels._args import checked_int, shown
from godropbox.errors import NetworkError

from ._errors import BinlogError, DataError, PositionLost, ServerError
from ._events import Event, Heartbeat, Position, Rotate
from ._gtids import GtidSet, MariaDBGtidSet
from ._login import ASK, Login, Server, log_in
from ._positions import Place, PositionStore, numbered, store_of
from ._progress import Progress
from ._reader import BinlogParser, Schema
from ._talk import (
    Packets,
    Send,
    StartTls,
    Talk,
    acknowledgement,
    dump_by_gtid,
    dump_by_place,
    error_of,
    packet_of,
    query,
    quoted,
)

__all__ = ["Conversation", "LogEnded", "Replica", "ReplicaOptions", "options_of"]

_DEFAULT_PORT: Final = 3306
_HEADER_SIZE: Final = 19
_BEFORE_EVENTS: Final = 3  # bytes: the packet's own, and semi-sync's two
_LONGEST_PAUSE: Final = 10.0  # seconds between attempts to connect
_WRITE_TIMEOUT: Final = 3600  # seconds that a server waits for a reader that takes nothing
_CATCHES_UP: Final = 1.0  # seconds that MySQL has to end transactions that it has sent already

# Errors of a server that is busy or on its way down, after which to try again: too many connections
# (1040, 1203), shutdown (1053), failed I/O of the connection (1158 to 1161), killed (1317, 1927,
# 3169).
_PASSING: Final = frozenset({1040, 1053, 1158, 1159, 1160, 1161, 1203, 1317, 1927, 3169})
_CANNOT_READ: Final = 1236
_TORN: Final = re.compile(r"truncated in the middle of event.* last event read from '([^']+)'")
_SAME_ID: Final = 4052
_UNKNOWN_SYNTAX: Final = 1064


class LogEnded(Exception):  # noqa: N818  # it is no error
    """The log is read to its end, and the server was asked not to wait for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOptions:
    """The arguments of ``binlog.connect``, checked."""

    addresses: tuple[Address, ...]
    user: str
    password: str = field(repr=False)
    tls: Any
    server_hostname: str | None
    public_key: bytes | str | None
    server_id: int
    position: Place | str | None
    parser: Mapping[str, Any]  # the arguments of BinlogParser
    heartbeat: float
    connect_timeout: float
    silence: float
    semi_sync: bool
    reconnect: bool
    on_failure: Callable[[Exception], object] | None
    store: PositionStore | None
    save_every: float
    blocks: bool


def _seconds(name: str, value: Any, most: float = 1e6, least: float = 1e-3) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, got {shown(value)}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be in [{least:g}, {most:g}] seconds, got {shown(value)}")
    return float(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} must be without NUL")
    return value


def _addresses(server: Any) -> tuple[Address, ...]:
    several = not isinstance(server, (str, tuple))
    if several and not isinstance(server, Iterable):
        raise TypeError(f"server must be an address or several, got {shown(server)}")
    if isinstance(server, tuple) and not (len(server) == 2 and isinstance(server[1], int)):
        several = True
    found = tuple(parse_address(one, _DEFAULT_PORT) for one in (server if several else [server]))
    if not found:
        raise ValueError("server must have an address, got none")
    return found


def _position(value: Any) -> Any:
    if value is None or value in ("now", "start"):
        return value
    if isinstance(value, Position):
        if not isinstance(value.file, str) or not value.file or not value.file.isprintable():
            raise ValueError(f"position must name a file, got {shown(value)}")
        checked_int("position.offset", "[0, 2**63)", value.offset, 1 << 63)
        return value
    if not isinstance(value, (GtidSet, MariaDBGtidSet)):
        raise TypeError(
            "position must be a GtidSet, a MariaDBGtidSet, a Position, 'now', 'start' or None, "
            f"got {shown(value)}"
        )
    return value


def options_of(
    server: Any,
    *,
    tables: Iterable[str] | None,
    columns: Mapping[str, Iterable[str]] | None,
    schema: Schema | None,
    zero_dates: str,
    statements: str,
    lenient: bool,
    most: int,
    silence: float | None,
    server_id: int | None,
    blocks: Any,
    heartbeat: Any,
    user: Any,
    password: Any,
    tls: Any,
    public_key: Any,
    on_failure: Any,
    server_hostname: Any,
    position: Any,
    connect_timeout: Any,
    semi_sync: Any,
    reconnect: Any,
    store: Any,
    save_every: Any,
) -> ReplicaOptions:
    """Return the arguments of ``binlog.connect``, checked. Raises ``TypeError``, ``ValueError``."""
    parser: dict[str, Any] = {
        "tables": None if tables is None else _names(tables),
        "columns": {name: tuple(chosen) for name, chosen in (columns or {}).items()},
        "schema": schema,
        "zero_dates": zero_dates,
        "statements": statements,
        "lenient": lenient,
        "most": checked_int("most", "[0, 2**31)", most, 1 << 31),
    }
    BinlogParser(**parser)  # which checks them
    blocks = bool(blocks)
    if server_id is None:
        # Other readers of the server, and its replicas, have other numbers.
        server_id = random.SystemRandom().randrange(1 << 31, 1 << 32)
    elif checked_int("server_id", "[1, 2**32)", server_id, 1 << 32) < 1:
        raise ValueError(f"server_id must be in [1, 2**32), got {server_id}")
    heartbeat = _seconds("heartbeat", heartbeat, 4294967.0)
    silence = 3 * heartbeat if silence is None else _seconds("silence", silence, 1e9)
    if silence <= heartbeat:
        raise ValueError(f"silence must be more than heartbeat, {heartbeat:g} s, got {silence:g}")
    user, password = _text("user", user), _text("password", password)
    if tls is not None and tls != "password" and not hasattr(tls, "wrap_socket"):
        raise TypeError(f"tls must be an ssl.SSLContext, 'password' or None, got {shown(tls)}")
    if tls == "password" and not password:
        raise ValueError("tls must be an ssl.SSLContext where there is no password to vouch for it")
    if public_key is not None and not isinstance(public_key, (str, bytes)):
        raise TypeError(f"public_key must be PEM, {ASK!r} or None, got {shown(public_key)}")
    if on_failure is not None and not callable(on_failure):
        raise TypeError(f"on_failure must be a function, got {shown(on_failure)}")
    return ReplicaOptions(
        addresses=_addresses(server),
        user=user,
        password=password,
        tls=tls,
        server_hostname=server_hostname,
        public_key=public_key,
        server_id=server_id if blocks else 0,
        position=_position(position),
        parser=parser,
        heartbeat=heartbeat,
        connect_timeout=_seconds("connect_timeout", connect_timeout, 1e9),
        silence=silence,
        semi_sync=bool(semi_sync),
        reconnect=bool(reconnect),
        on_failure=on_failure,
        store=store_of(store),
        save_every=_seconds("save_every", save_every, 1e6, 0.0),
        blocks=blocks,
    )


def _names(tables: Iterable[str]) -> Any:
    return tables if isinstance(tables, str) else tuple(tables)  # a str is refused by the parser


class Conversation:
    """A conversation, between its bytes and whoever carries them.

    Send what ``take_out`` returns; do TLS and call ``secured`` while ``wants_tls``; else read, and
    call ``receive``, until ``is_over``. What came behind the end stays in `packets`.
    """

    def __init__(self, talk: Talk) -> None:
        self.packets: Final = Packets()
        self.wants_tls = False
        self.is_over = False
        self._talk = talk
        self._out: list[bytes] = []
        self._go(None)

    def take_out(self) -> bytes:
        """Return what is to be sent."""
        out, self._out = b"".join(self._out), []
        return out

    def receive(self, data: bytes) -> None:
        """Take bytes of the server."""
        self.packets.feed(data)
        while not self.is_over and not self.wants_tls:
            payload = self.packets.next()
            if payload is None:
                return
            self._go(payload)

    def secured(self, certificate: bytes | None) -> None:
        """Go on over TLS; the certificate is in DER."""
        self.wants_tls = False
        self._go(certificate or b"")

    def _go(self, value: Any) -> None:
        try:
            while True:
                asked = self._talk.send(value)
                value = None
                if asked is None:
                    return
                if isinstance(asked, StartTls):
                    if not self.packets.is_empty:
                        raise DataError("the server sent bytes before TLS that nobody asked for")
                    self.wants_tls = True
                    return
                self._put(asked)
        except StopIteration:
            self.is_over = True
        except (IndexError, UnicodeDecodeError) as wrong:
            raise DataError(f"the server's answer cannot be read: {wrong}") from wrong

    def _put(self, asked: Send) -> None:
        sequence = 0 if asked.is_command else self.packets.sequence + 1
        data = packet_of(asked.payload, sequence)
        self._out.append(data)
        self.packets.sequence = sequence + len(asked.payload) // 0xFFFFFF & 255


class Replica:
    """A reader's side of one stream, over all its connections."""

    def __init__(
        self,
        options: ReplicaOptions,
        place: Place | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options: Final = options
        self.progress: Final = Progress()
        self.packets = Packets()
        self._clock = clock
        self._random = random.Random()
        self._uuid = str(uuid4())
        self._first = _position(place) or options.position or "now"
        self._turn = 0  # which of the addresses
        self._first_failures: list[Exception] = []  # before it was ever connected
        self._failures = 0  # since something new came
        self._home: str | None = None  # the server whose files a Position means
        self._torn: tuple[str, ServerError] | None = None  # its log that ends inside of an event
        self._by_gtid = False  # how the dump was asked for
        self._asked = ""  # the same in words
        self._parser = BinlogParser(**options.parser)
        self._file = ""
        self._ack = b""
        self._is_open = False  # whether it ever was
        self._is_unsaved = False
        self._saved_at = float("-inf")

    @property
    def address(self) -> Address:
        """The address to dial."""
        return self.options.addresses[self._turn % len(self.options.addresses)]

    @property
    def where(self) -> str:
        """The server and the position, as errors name them."""
        asked = self._asked if len(self._asked) <= 200 else self._asked[:200] + "..."
        return address_text(self.address) + (f" from {asked}" if asked else "")

    @property
    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions that were handed out to their end, if they say where to go on."""
        return self.progress.gtids if self.progress.has_gtids else None

    # A connection

    def begin(self) -> Conversation:
        """Return the conversation that ends with a dump that has begun."""
        options = self.options
        self._parser = BinlogParser(**options.parser)
        self._file = ""
        self._ack = b""
        self.progress.connect()
        login = Login(
            options.user,
            options.password,
            tls=options.tls is not None,
            is_vouched=options.tls == "password",
            is_local=isinstance(self.address, str),
            public_key=options.public_key,
        )
        return Conversation(self._opened(login))

    def streams(self, conversation: Conversation) -> None:
        """Go on with what came behind a conversation that is over."""
        self.packets = conversation.packets
        self.packets.most = self.options.parser["most"] + _BEFORE_EVENTS
        self.packets.counts = not self.options.semi_sync  # an acknowledgement counts anew
        self._is_open = True

    def _opened(self, login: Login) -> Talk:
        server: Server = yield from log_in(login)
        yield from query(self._settings(server))
        _, rows = yield from query(
            "SELECT @@global.log_bin, @@global.server_id"
            + ("" if server.is_mariadb else ", @@global.server_uuid, @@global.gtid_mode")
        )
        if not rows or len(rows[0]) < 2:
            raise DataError("the server does not say who it is")
        if rows[0][0] not in ("1", "ON"):
            raise ServerError(f"the server, {server.version}, keeps no binary log (log_bin=OFF)")
        name = rows[0][1] if server.is_mariadb else rows[0][2]
        has_gtids = server.is_mariadb or str(rows[0][3]).startswith("ON")
        if self.options.semi_sync:
            yield from self._check_semi_sync()
        place = yield from self._place(server, has_gtids)
        if isinstance(place, Position) and self._home is not None and name != self._home:
            raise PositionLost(
                f"the position {place.file}:{place.offset} is one of server {self._home}, and "
                f"this is {name}"
            )
        torn, self._torn = self._torn, None
        if torn is not None and server.is_mariadb and name == self._home:
            place = yield from self._behind(*torn)
        self._home = name
        command = yield from self._command(server, place, has_gtids)
        yield Send(command, is_command=True)

    def _settings(self, server: Server) -> str:
        options = self.options
        nanoseconds = round(options.heartbeat * 1e9)
        found = [
            "@master_binlog_checksum='CRC32'",
            "@source_binlog_checksum='CRC32'",
            f"@master_heartbeat_period={nanoseconds}",
            f"@source_heartbeat_period={nanoseconds}",
            f"SESSION net_write_timeout={_WRITE_TIMEOUT}",
        ]
        if server.is_mariadb:
            found.append("@mariadb_slave_capability=4")
        elif options.blocks:
            found += [f"@replica_uuid='{self._uuid}'", f"@slave_uuid='{self._uuid}'"]
        if options.semi_sync:
            found += ["@rpl_semi_sync_replica=1", "@rpl_semi_sync_slave=1"]
        return "SET " + ", ".join(found)

    def _check_semi_sync(self) -> Talk:
        _, rows = yield from query("SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%\\_enabled'")
        found = {row[0]: row[1] for row in rows if len(row) == 2}
        names = ("rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled")
        if not any(found.get(name) == "ON" for name in names):
            raise ServerError(
                f"semi_sync is asked for, and the server has neither {names[0]} nor {names[1]} ON"
            )

    def _place(self, server: Server, has_gtids: bool) -> Talk:
        """Return where to go on: a set, a place in a file, or "start"."""
        progress = self.progress
        if progress.gtids is not None and progress.has_gtids and has_gtids:
            return progress.gtids
        if progress.resume is not None:
            return progress.resume
        if self._first == "now":
            self._first = yield from _end_of_log(server, has_gtids)
        first = self._first
        if isinstance(first, (GtidSet, MariaDBGtidSet)):
            if isinstance(first, MariaDBGtidSet) is not server.is_mariadb:
                kind = "MySQL" if server.is_mariadb else "MariaDB"
                raise PositionLost(
                    f"the position is one of {kind}, and the server is {server.version}"
                )
            progress.begin_at(first)
        elif isinstance(first, Position) and server.is_mariadb:
            gtids = yield from _gtids_at(first)
            progress.begin_at(gtids)
        return first

    def _behind(self, file: str, error: ServerError) -> Talk:
        """Return the place behind a log that ends inside of an event, or raise the error for it.

        MariaDB leaves such a log when it is killed while it writes, and rolls that transaction
        back. Where it has gone on, it says how far it had come: not farther than was read.
        """
        following = numbered(file)
        place = Position(following or "", 4)
        before = (yield from _gtids_at(place)) if following else None
        reached = self.progress.gtids
        if not isinstance(reached, MariaDBGtidSet):
            reached = MariaDBGtidSet()  # nothing was read
        if before is None or not all(
            any(gtid.number <= each.number for each in reached if each.domain == gtid.domain)
            for gtid in before
        ):
            raise PositionLost(str(error), error.code)
        part = self.progress.part()
        if part is not None:
            self._parser.breaks_off(part)
        return place

    def _command(self, server: Server, place: Any, has_gtids: bool) -> Talk:
        server_id = self.options.server_id
        self._by_gtid = not isinstance(place, (Position, str))
        if not self._by_gtid:
            self._asked = place if isinstance(place, str) else f"{place.file}:{place.offset}"
            file, offset = ("", 4) if isinstance(place, str) else place
            self.progress.begins_file = offset <= 4
            return dump_by_place(server_id, file, offset, server.is_mariadb)
        self._asked = f"GTID {place}" if str(place) else "the first GTID"
        if server.is_mariadb:
            yield from query(
                f"SET @slave_connect_state={quoted(str(place))}, @slave_gtid_strict_mode=1"
            )
            return dump_by_place(server_id, "", 4, True)
        if not has_gtids:
            raise PositionLost("the position is a set of GTIDs, and the server has gtid_mode OFF")
        if place.intervals:
            # MySQL itself notices only transactions of its own that it lacks, not another server's.
            wait = min(_CATCHES_UP, self.options.connect_timeout / 2)
            text = quoted(str(place))
            _, rows = yield from query(f"SELECT WAIT_FOR_EXECUTED_GTID_SET({text}, {wait:g})")
            if rows[:1] != [("0",)]:
                _, rows = yield from query(f"SELECT GTID_SUBTRACT({text}, @@global.gtid_executed)")
                lacks = rows[0][0] if rows and rows[0] else "some"
                raise PositionLost(f"the server lacks transactions that were read before: {lacks}")
        return dump_by_gtid(server_id, place)

    # The dump

    def take(self, payload: bytes) -> list[Event]:
        """Return the events of a packet that were not handed out before.

        Raises ``LogEnded`` at the end of a log that is not waited for, and what a server refuses.
        """
        first = payload[:1]
        if first != b"\0":
            if first == b"\xff":
                raise error_of(payload)
            if first == b"\xfe" and len(payload) < 9:
                if not self.options.blocks:
                    raise LogEnded
                raise ServerError("the server ended the stream", 1053)
            raise DataError(f"a packet of the dump begins with {first.hex() or 'nothing'}")
        start = 1
        if self.options.semi_sync and _has_semi_sync(payload):
            start = 3
        data = payload[start:]
        parser = self._parser
        before = parser.transactions
        events = parser.feed_event(data)
        has_ended = parser.transactions != before
        if start == 3 and payload[2] & 1:
            self._ack = acknowledgement(self._file, int.from_bytes(data[13:17], "little"))
        resume = parser.resume if has_ended else None
        for event in events:
            if isinstance(event, Rotate):
                self._file = event.file
                if event.timestamp:
                    self.progress.begins_file = True
                if event.timestamp or not self._by_gtid:
                    self.progress.resume = Position(event.file, event.start)
        fresh = self.progress.fresh(events, has_ended, resume)
        if has_ended or (events and isinstance(events[0], Heartbeat)):
            self._failures = 0
        return fresh

    def publish(self) -> None:
        """Count a transaction as handed out, with its last event."""
        if self.progress.publish():
            self._is_unsaved = True

    def taken(self) -> bytes:
        """Note that the reader asks for more, and has taken all before; return what to send."""
        self.progress.taken()
        ack, self._ack = self._ack, b""
        return ack

    def to_save(self, now: bool = False) -> Place | None:
        """Return the place that is to be saved, None if it is not time; call ``saved`` then."""
        if not self._is_unsaved or self.options.store is None:
            return None
        if not now and self._clock() - self._saved_at < self.options.save_every:
            return None
        return self.reached()

    def saved(self) -> None:
        """Note that the place was saved."""
        self._is_unsaved = False
        self._saved_at = self._clock()

    def reached(self) -> Place | None:
        """Return the place behind the last transaction that was handed out to its end."""
        gtids = self.gtids
        return self.progress.resume if gtids is None else gtids

    # Failures

    def failed(self, error: Exception) -> float:
        """Return the seconds to wait before another attempt; raise if there is to be none.

        At first each address has one attempt. Later the first attempt at each comes at once, and
        the others after pauses that grow.
        """
        found = _TORN.search(str(error))
        if found and type(error) is ServerError and self._is_open and self.options.reconnect:
            self._torn = os.path.basename(found[1]), error
            if self.options.on_failure is not None:
                self.options.on_failure(self.explained(error))
            return 0.0
        error = self.explained(error)
        is_passing = isinstance(error, NetworkError) or (
            isinstance(error, ServerError) and error.code in _PASSING
        )
        count = len(self.options.addresses)
        self._turn += 1
        if not is_passing or (self._is_open and not self.options.reconnect):
            raise error
        if not self._is_open:
            self._first_failures.append(error)
            if len(self._first_failures) >= count:
                failures, self._first_failures = self._first_failures, []
                raise error if count == 1 else _all_of(failures)
        if self.options.on_failure is not None:
            self.options.on_failure(error)
        self._failures += 1
        rounds = self._failures // count
        if rounds == 0:
            return 0.0
        pause = min(_LONGEST_PAUSE, 0.1 * 2.0 ** min(rounds - 1, 20))
        return pause * (0.5 + self._random.random() / 2)

    def explained(self, error: Exception) -> Exception:
        """Return an error that names the server and the position."""
        if isinstance(error, NetworkError):
            if not self._asked:
                return error  # it names the address
            found: Exception = type(error)(f"{error} ({self.where})", cause=error)
        elif isinstance(error, ServerError):
            kind: type[ServerError] = type(error)
            text, code = str(error), error.code
            if code in (_CANNOT_READ, _SAME_ID):
                is_same = code == _SAME_ID or "same server_" in text
                kind = ServerError if is_same else PositionLost
            found = kind(f"{self.where}: {text}", code)
        elif isinstance(error, BinlogError):
            found = type(error)(f"{self.where}: {error}")
        else:
            return error
        found.__cause__ = error.__cause__ if isinstance(error, BinlogError) else error
        return found


def _all_of(failures: list[Exception]) -> Exception:
    """Return the last of several errors, which tells of all."""
    last = failures[-1]
    text = "; ".join(dict.fromkeys(map(str, failures)))
    if isinstance(last, NetworkError):
        return type(last)(text, cause=ExceptionGroup("no server could be reached", failures))
    return ServerError(text)


def _has_semi_sync(payload: bytes) -> bool:
    """Return whether a packet has semi-sync's two bytes before its event, whose size tells."""
    size = int.from_bytes(payload[12:16], "little")
    return payload[1:2] == b"\xef" and payload[2:3] in (b"\0", b"\1") and size == len(payload) - 3


def _end_of_log(server: Server, has_gtids: bool) -> Talk:
    """Return the place where the log ends now."""
    if server.is_mariadb:
        _, rows = yield from query("SELECT @@global.gtid_binlog_pos")
        return _parsed(MariaDBGtidSet, rows)
    if has_gtids:
        _, rows = yield from query("SELECT @@global.gtid_executed")
        return _parsed(GtidSet, rows)
    try:
        names, rows = yield from query("SHOW BINARY LOG STATUS")
    except ServerError as refused:
        if refused.code != _UNKNOWN_SYNTAX:
            raise
        names, rows = yield from query("SHOW MASTER STATUS")  # before MySQL 8.2
    if names[:2] != ["File", "Position"] or not rows or not str(rows[0][1]).isdecimal():
        raise DataError("the server does not say where its log ends")
    return Position(str(rows[0][0]), int(str(rows[0][1])))


def _gtids_at(place: Position) -> Talk:
    """Return MariaDB's GTIDs at a place in a file, None for a file that it does not have."""
    _, rows = yield from query(f"SELECT BINLOG_GTID_POS({quoted(place.file)}, {place.offset})")
    if not rows or rows[0][0] is None:
        return None
    return _parsed(MariaDBGtidSet, rows)


def _parsed(kind: Any, rows: Any) -> Any:
    try:
        return kind.parse(rows[0][0] or "")
    except (ValueError, IndexError, TypeError) as wrong:
        raise DataError(f"the server's GTIDs cannot be read: {wrong}") from wrong
