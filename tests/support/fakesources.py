"""A server that sends a recorded log, and does what real ones do not do when asked to.

``Source`` says what it has and how it behaves, ``Source.session`` is its side of one connection,
without I/O, and ``serve`` puts it on a port of 127.0.0.1.
"""

import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from godropbox.database import binlog

from .binlogs import stream

__all__ = ["SALT", "Log", "Session", "Source", "logged", "serve"]

SALT = bytes(range(65, 85))
_EOF = b"\xfe\0\0\2\0"
_OK = b"\0\0\0\2\0\0\0"
_TLS = 1 << 11


@dataclass(frozen=True)
class Log:
    """A stream's events: those before any transaction, and those of each, with its GTID."""

    head: list[bytes]
    transactions: list[tuple[Any, list[bytes]]]

    @property
    def is_mariadb(self) -> bool:
        return isinstance(self.transactions[0][0], binlog.MariaDBGtid)


def logged(name: str) -> Log:
    """Return a recorded stream, cut into its transactions."""
    parser = binlog.BinlogParser(lenient=True)
    head: list[bytes] = []
    transactions: list[tuple[Any, list[bytes]]] = []
    part: list[bytes] = []
    gtid: Any = None
    for data in stream(name):
        before = parser.transactions
        for event in parser.feed_event(data):
            gtid = event.gtid if isinstance(event, binlog.GtidEvent) else gtid
        if not transactions and data[4] in (4, 15, 35, 161, 163):
            head.append(data)
            continue
        part.append(data)
        if parser.transactions != before:
            transactions.append((gtid, part))
            part = []
    return Log(head, transactions)


@dataclass
class Source:
    """A server: what it is, whom it takes, what it sends.

    - `cuts`: for each connection, after how many bytes of the dump it ends; None is never.
    - `refuses`: for each connection, the code and the words of an error in place of the dump.
    - `plugin`: how the account logs in; `is_cached` if the server knows the password already.
    - `vouches`: for a certificate in DER, the password that vouches for it, as MariaDB does.
    """

    log: Log
    password: str = "secret"
    plugin: str = "mysql_native_password"
    greets: str = ""  # the plugin of the greeting, if it is another one
    is_cached: bool = False
    key: Any = None  # a private RSA key of ``cryptography``
    has_tls: bool = False
    certificate: bytes = b""
    vouches: str | None = None
    semi_sync: bool = False
    has_log: bool = True
    identity: str = "11111111-2222-3333-4444-555555555555"
    cuts: list[int | None] = field(default_factory=list)
    refuses: list[tuple[int, str] | None] = field(default_factory=list)
    executed: str | None = None  # what MySQL says to have; None is all
    answers: dict[str, bytes] = field(default_factory=dict)  # packets, by a statement's beginning

    connections: int = 0
    sent: int = 0  # bytes, of all connections
    statements: list[str] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    dumps: list[Any] = field(default_factory=list)  # the positions that were asked for

    def session(self) -> "Session":
        self.connections += 1
        return Session(self, self.connections - 1)


def lenenc(data: bytes) -> bytes:
    assert len(data) < 1 << 16
    return (
        bytes([len(data)]) if len(data) < 251 else b"\xfc" + len(data).to_bytes(2, "little")
    ) + data


class Session:
    """A server's side of a connection: ``receive`` returns the bytes to send."""

    def __init__(self, source: Source, number: int) -> None:
        self.source = source
        self.number = number
        self.wants_tls = False
        self.is_over = False
        self.user = ""
        self._is_tls = False
        self._data = b""
        self._sequence = 0
        self._out: list[bytes] = []
        self._state: Any = self._login
        self._settings: dict[str, str] = {}

    def greet(self) -> bytes:
        source = self.source
        flags = 0x0008A201 | (_TLS if source.has_tls else 0)
        flags = flags | 1 << 9 | 1 << 15 | 1 << 19
        version = "5.5.5-10.11.6-MariaDB-fake" if source.log.is_mariadb else "8.4.1-fake"
        low, high = (flags & 0xFFFF).to_bytes(2, "little"), (flags >> 16).to_bytes(2, "little")
        plugin = (source.greets or source.plugin).encode() + b"\0"
        self._put(
            b"\x0a" + version.encode() + b"\0" + (7).to_bytes(4, "little") + SALT[:8] + b"\0"
            + low + b"\x2d\2\0" + high + b"\x15" + bytes(10) + SALT[8:] + b"\0" + plugin
        )  # fmt: skip
        return self._taken()

    def secured(self) -> None:
        self.wants_tls = False
        self._is_tls = True

    def receive(self, data: bytes) -> bytes:
        self._data += data
        while len(self._data) >= 4 and not self.wants_tls and not self.is_over:
            size = int.from_bytes(self._data[:3], "little")
            if len(self._data) < 4 + size:
                break
            self._sequence = self._data[3]
            payload, self._data = self._data[4 : 4 + size], self._data[4 + size :]
            self._state(payload)
        return self._taken()

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _put(self, payload: bytes, first: bool = False) -> None:
        self._sequence = 0 if first else self._sequence
        if self._out or self._state != self._login or payload[:1] != b"\x0a":
            self._sequence = self._sequence + 1 & 255
        while True:
            part, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
            self._out.append(len(part).to_bytes(3, "little") + bytes([self._sequence]) + part)
            if len(part) < 0xFFFFFF:
                return
            self._sequence = self._sequence + 1 & 255

    # Login

    def _login(self, payload: bytes) -> None:
        flags = int.from_bytes(payload[:4], "little")
        if flags & _TLS and not self._is_tls:
            assert len(payload) == 32
            self.wants_tls = True
            return
        user, _, rest = payload[32:].partition(b"\0")
        self.user = user.decode()
        answer, plugin = rest[1 : 1 + rest[0]], rest[1 + rest[0] :].rstrip(b"\0").decode()
        if plugin != self.source.plugin:
            self._state = self._proof
            self._put(b"\xfe" + self.source.plugin.encode() + b"\0" + SALT + b"\0")
            return
        self._proof(answer)

    def _proof(self, answer: bytes) -> None:
        source = self.source
        password = source.password.encode()
        if source.plugin == "mysql_native_password":
            once = hashlib.sha1(password).digest()
            mask = hashlib.sha1(SALT + hashlib.sha1(once).digest()).digest()
            self._finish(answer == bytes(a ^ b for a, b in zip(once, mask, strict=True)))
            return
        if source.plugin != "caching_sha2_password":
            self._finish(False)
            return
        once = hashlib.sha256(password).digest()
        mask = hashlib.sha256(hashlib.sha256(once).digest() + SALT).digest()
        is_right = answer == bytes(a ^ b for a, b in zip(once, mask, strict=True))
        if source.is_cached:
            self._put(b"\1\3")
            self._finish(is_right)
        else:
            self._state = self._whole
            self._put(b"\1\4")

    def _whole(self, payload: bytes) -> None:
        """A password as it is, over TLS, or what asks for a key and then has it encrypted."""
        password = self.source.password.encode() + b"\0"
        if payload == b"\2":
            from cryptography.hazmat.primitives import serialization as how

            public = self.source.key.public_key()
            pem = public.public_bytes(how.Encoding.PEM, how.PublicFormat.SubjectPublicKeyInfo)
            self._put(b"\1" + pem)
        elif len(payload) >= 128:
            from cryptography.hazmat.primitives.asymmetric import padding
            from cryptography.hazmat.primitives.hashes import SHA1

            oaep = padding.OAEP(mgf=padding.MGF1(algorithm=SHA1()), algorithm=SHA1(), label=None)
            masked = self.source.key.decrypt(payload, oaep)
            mask = SALT * (len(masked) // len(SALT) + 1)
            self._finish(bytes(a ^ b for a, b in zip(masked, mask, strict=False)) == password)
        else:
            assert self._is_tls, "a password came in plain"
            self._finish(payload == password)

    def _finish(self, is_right: bool) -> None:
        source = self.source
        if not is_right:
            self._error(1045, f"Access denied for user '{self.user}'")
            self.is_over = True
            return
        info = b""
        if source.vouches is not None:
            twice = hashlib.sha1(hashlib.sha1(source.vouches.encode()).digest()).digest()
            mark = hashlib.sha256(source.certificate).digest()
            info = lenenc(b"\1" + hashlib.sha256(twice + SALT + mark).hexdigest().encode())
        self._put(_OK + info)
        self._state = self._command

    # Commands

    def _error(self, code: int, words: str) -> None:
        self._put(b"\xff" + code.to_bytes(2, "little") + b"#HY000" + words.encode())

    def _command(self, payload: bytes) -> None:
        if payload[0] == 0x03:
            self._query(payload[1:].decode())
        elif payload[0] == 0x1E:
            size = int.from_bytes(payload[19:23], "little")
            self._dump(
                int.from_bytes(payload[3:7], "little"),
                binlog.GtidSet.decode(payload[23 : 23 + size]),
            )
        elif payload[0] == 0x12:
            offset = int.from_bytes(payload[1:5], "little")
            state = self._settings.get("@slave_connect_state")
            place: Any = binlog.Position(payload[11:].decode(), offset)
            if state is not None and not place.file:
                place = binlog.MariaDBGtidSet.parse(state)
            self._dump(int.from_bytes(payload[7:11], "little"), place)
        else:
            self._error(1047, "Unknown command")

    def _query(self, statement: str) -> None:
        source = self.source
        source.statements.append(statement)
        for beginning, packets in source.answers.items():
            if statement.startswith(beginning):
                self._put(packets)
                return
        if statement.startswith("SET "):
            for part in statement[4:].split(", "):
                name, _, value = part.partition("=")
                self._settings[name] = value.strip("'")
            self._put(_OK)
        elif "@@global.log_bin," in statement:
            row = ["1" if source.has_log else "0", source.identity]
            if not source.log.is_mariadb:
                row += [source.identity, "ON"]
            self._rows([row])
        elif "gtid_binlog_pos" in statement or "SELECT @@global.gtid_executed" in statement:
            self._rows([[str(self._all())]])
        elif "WAIT_FOR_EXECUTED_GTID_SET" in statement:
            asked = binlog.GtidSet.parse(statement.split("'")[1])
            have = self._all() if source.executed is None else binlog.GtidSet.parse(source.executed)
            self._rows([["0" if have | asked == have else "1"]])
        elif "GTID_SUBTRACT" in statement:
            self._rows([["what-is-missing:1-2"]])
        elif "rpl" in statement:
            on = "ON" if source.semi_sync else "OFF"
            self._rows([["rpl_semi_sync_source_enabled", on]])
        else:
            self._error(1064, f"unknown: {statement}")

    def _all(self) -> Any:
        parser = binlog.BinlogParser(lenient=True)
        for data in self.source.log.head:
            parser.feed_event(data)
        for _, events in self.source.log.transactions:
            for data in events:
                parser.feed_event(data)
        return parser.gtids

    def _rows(self, rows: list[list[str]]) -> None:
        width = len(rows[0])
        self._put(bytes([width]))
        for _ in range(width):
            self._put(lenenc(b"def") + 3 * lenenc(b"") + 2 * lenenc(b"c") + b"\x0c" + bytes(12))
        self._put(_EOF)
        for row in rows:
            self._put(b"".join(lenenc(value.encode()) for value in row))
        self._put(_EOF)

    def _dump(self, server_id: int, place: Any) -> None:
        source = self.source
        source.dumps.append(place)
        self._state = self._acknowledgement
        refusal = source.refuses[self.number] if self.number < len(source.refuses) else None
        if refusal is not None:
            self._error(*refusal)
            self.is_over = True
            return
        before = len(self._out)
        self._send_events(place)
        if server_id == 0:
            self._put(_EOF)
        cut = source.cuts[self.number] if self.number < len(source.cuts) else None
        if cut is not None:
            dump = b"".join(self._out[before:])
            self._out[before:] = [dump[:cut]]
            self.is_over = True

    def _send_events(self, place: Any) -> None:
        log = self.source.log
        mark = b"\xef\0" if self.source.semi_sync else b""
        for data in log.head:
            if not isinstance(place, binlog.Position) or place.offset <= 4 or data[4] in (4, 15):
                self._put(b"\0" + mark + data)
        for gtid, events in log.transactions:
            if not isinstance(place, binlog.Position) and gtid in place:
                continue
            if isinstance(place, binlog.Position) and place.file:
                begins = int.from_bytes(events[0][13:17], "little") - len(events[0])
                if begins < place.offset:
                    continue
            for data in events:
                wants = b"\xef\1" if mark and data is events[-1] else mark
                self._put(b"\0" + wants + data)

    def _acknowledgement(self, payload: bytes) -> None:
        assert payload[0] == 0xEF
        assert self._sequence == 0
        end = int.from_bytes(payload[1:9], "little")
        self.source.acknowledged.append((end, payload[9:].decode()))


def _listener(path: str | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


@contextlib.contextmanager
def serve(
    source: Source, context: ssl.SSLContext | None = None, path: str | None = None
) -> Iterator[Any]:
    """Serve connections, each in a thread, until the context ends; give the address.

    That is a port of 127.0.0.1, or a Unix socket at `path`.
    """
    with _listener(path) as listener:
        open_: list[socket.socket] = []
        threads: list[threading.Thread] = []
        is_closing = threading.Event()

        def carry(connection: socket.socket) -> None:
            session = source.session()
            is_tls = False
            try:
                connection.sendall(session.greet())
                while not session.is_over:
                    # What asks for TLS has 36 bytes, and the handshake may come at once behind it.
                    data = connection.recv(36 if source.has_tls and not is_tls else 1 << 16)
                    if not data:
                        break
                    answer = memoryview(session.receive(data))
                    for at in range(0, len(answer), 1 << 20):
                        connection.sendall(answer[at : at + (1 << 20)])
                        source.sent += len(answer[at : at + (1 << 20)])
                    if session.wants_tls:
                        assert context is not None
                        connection = context.wrap_socket(connection, server_side=True)
                        open_.append(connection)
                        session.secured()
                        is_tls = True
            except OSError:
                pass  # the other side has left
            finally:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                connection.close()

        def accept() -> None:
            while not is_closing.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if is_closing.is_set():
                    connection.close()
                    return
                open_.append(connection)
                thread = threading.Thread(target=carry, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        address = listener.getsockname()
        try:
            yield address
        finally:
            is_closing.set()
            for connection in open_:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            with contextlib.suppress(OSError), socket.socket(listener.family) as last:
                last.settimeout(10)
                last.connect(address)
            for thread in [accepting, *threads]:
                thread.join(10)
