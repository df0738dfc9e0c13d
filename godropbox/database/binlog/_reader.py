"""From bytes to events: a parser without I/O.

``BinlogParser.feed`` takes bytes of a file, ``feed_event`` one event of a stream; both return the
events that are complete. The parser knows the file's format, the tables that TABLE_MAP events told,
and the transaction it is in.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from struct import Struct
from typing import Any, Final

from . import _events as e
from ._columns import Table, lenenc, parse_table_map
from ._errors import BinlogError, ChecksumError, DataError
from ._events import Event, Position
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from ._rows import RowReader
from ._schema import described
from ._statements import Effect, effect_of

__all__ = ["BinlogParser", "Schema"]

Schema = Callable[[Table], "Iterable[tuple[str, str, str | None]] | None"]
"""A function from a table of the log to its columns: name, declared type, character set.

If it has a method ``altered(database, table, gtid, position)``, that is called where the log says
that a table's columns may have changed, before the function is asked for them again. Database and
table are None for any, the GTID where there is none, and the position where it is not known.
"""

MAGIC: Final = b"\xfebin"
_HEADER: Final = Struct("<IBIIIH")
_HEADER_SIZE: Final = 19
_ARTIFICIAL: Final = 0x20
_IN_USE: Final = 0x01
_STATEMENT_END: Final = 0x01
_NO_TABLE: Final = 0xFFFFFF  # stands for the table of a statement that ends
_IGNORABLE: Final = 0x80
_KNOWN_TABLES: Final = 10_000
_ENCRYPTED: Final = {b"\xfdbin": "MySQL"}
_ENDS: Final = frozenset({2, 3, 4, 16, 18, 35, 38, 163, 165})  # types that begin or end something
_STOP: Final = 3

# Events with rows: their kind, the version of their layout, and whether MariaDB compressed them.
_ROWS: Final = {
    23: ("insert", 1, False),
    24: ("update", 1, False),
    25: ("delete", 1, False),
    30: ("insert", 2, False),
    31: ("update", 2, False),
    32: ("delete", 2, False),
    39: ("update", 2, False),
    166: ("insert", 1, True),
    167: ("update", 1, True),
    168: ("delete", 1, True),
    169: ("insert", 2, True),
    170: ("update", 2, True),
    171: ("delete", 2, True),
}
_PARTIAL: Final = 39
_KNOWN_TYPES: Final = frozenset(
    {2, 4, 15, 16, 18, 19, 26, 27, 29, 33, 34, 35, 38, 40, 41, 42, 160, 162, 163, 165}
    | _ROWS.keys()
    | e.OTHERS.keys()
)

_Known = tuple[Table, "RowReader | None"]


class BinlogParser:
    """Reads events from bytes.

    - `file`: the name of the file that is read.
    - `tables`: names such as ``"shop.orders"`` of the tables whose rows are wanted, None for all.
    - `columns`: names of columns by the name of their table; the values of its other columns are
      ``ABSENT``.
    - `schema`: a function from a ``Table`` to its columns (name, type as declared, character set),
      or to None; what the log itself says goes before.
    - `zero_dates`: ``"text"`` for dates such as 0000-00-00 as text, or ``"none"`` for None.
    - `statements`: what a change of rows that is logged as a statement is taken to change:
      ``"everything"``, as triggers, functions and foreign keys may, or ``"named"`` for only the
      table that it names, where you know that there are none of these.
    - `lenient`: where neither log nor schema says what bytes mean, read text as bytes and numbers
      as signed, where else ``MetadataError`` is raised.
    - `most`: the largest event that is taken, in bytes.

    Bytes that cannot be read raise ``DataError``, and those whose CRC-32 is another one
    ``ChecksumError``; each names the file and the place.
    """

    def __init__(
        self,
        file: str = "",
        *,
        tables: Iterable[str] | None = None,
        columns: Mapping[str, Iterable[str]] | None = None,
        schema: Schema | None = None,
        zero_dates: str = "text",
        statements: str = "everything",
        lenient: bool = False,
        most: int = 1 << 30,
    ) -> None:
        if statements not in ("everything", "named"):
            raise ValueError(f"statements must be 'everything' or 'named', got {statements!r}")
        if zero_dates not in ("text", "none"):
            raise ValueError(f"zero_dates must be 'text' or 'none', got {zero_dates!r}")
        if isinstance(tables, str):
            raise TypeError(f"tables must be an iterable of names, got the str {tables!r}")
        self._tables = None if tables is None else frozenset(tables)
        self._columns = {name: tuple(chosen) for name, chosen in (columns or {}).items()}
        for name in (*(self._tables or ()), *self._columns):
            if name.count(".") < 1:
                raise ValueError(f"tables must be named as database.table, got {name!r}")
        self._names_all = statements == "named"
        self._schema = schema
        self._altered: Any = getattr(schema, "altered", None)
        self._zero_dates = zero_dates
        self._lenient = lenient
        self._most = most
        self._file = file
        self._parts: list[bytes] = []  # of an event that is not whole yet
        self._size = 0  # of these parts
        self._due = 0  # their bytes before which it is no use to look at them
        self._jump = 0  # where the bytes behind the first event are from
        self._at = 0  # of the first byte of _parts
        self._has_begun = False
        self._has_checksums: bool | None = None  # not known before a FORMAT_DESCRIPTION
        self._is_mariadb = False
        self._gtid: Gtid | MariaDBGtid | None = None
        self._is_inside = False  # of a transaction
        self._maps: dict[int, _Known] = {}
        self._known: dict[bytes, _Known] = {}
        self._untold: dict[int, Event] = {}  # tables of which no rows came, in this statement
        self._resume: Position | None = None
        self.transactions = 0  # that were read to their end
        self._gtids: GtidSet | MariaDBGtidSet | None = None

    @property
    def resume(self) -> Position | None:
        """Where to go on reading: behind the last transaction that was read to its end, None before
        one.

        From a place inside of a transaction rows would be lost, as tables are told of before them.
        """
        return self._resume

    @property
    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions that were read to their end, and those that went before the log."""
        return self._gtids

    # Bytes

    def start(self, file: str, offset: int = 0) -> None:
        """Begin another file; what is known of tables and transactions stays.

        With `offset`, which must be one of ``resume``, the bytes that follow are to be the file's
        first event, as it is from the beginning, and then those from there on.
        """
        self._file = file
        self._keep(b"", 0)
        self._at = 0
        self._jump = offset
        self._has_begun = False
        self._has_checksums = None

    def _keep(self, data: bytes, due: int) -> None:
        """Keep what is left of bytes, until there are `due` of them."""
        self._parts = [data] if data else []
        self._size = len(data)
        self._due = due

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of a file, and return the events that they complete."""
        return list(self.events(data))

    def events(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes of a file, and yield the events that they complete, one by one.

        `resume` and `gtids` are those of the event that was yielded last. Iterate to the end before
        more is fed.
        """
        if self._parts:
            self._parts.append(bytes(data))
            self._size += len(data)
            if self._size < self._due:
                return
            data = b"".join(self._parts)
        else:
            data = bytes(data)
        start = 0
        if not self._has_begun:
            if len(data) < len(MAGIC):
                self._keep(data, len(MAGIC))
                return
            self._begin(data[: len(MAGIC)])
            start = self._at = len(MAGIC)
        due = _HEADER_SIZE
        while len(data) - start >= _HEADER_SIZE:
            due = int.from_bytes(data[start + 9 : start + 13], "little")
            if not _HEADER_SIZE <= due <= self._most:
                raise self._wrong(
                    DataError(f"an event has {due} bytes, not 19 to {self._most}"), self._at
                )
            if len(data) - start < due:
                break
            yield from self._event(data[start : start + due], self._at, self._at + due)
            if data[start + 4] == 164:
                raise self._wrong(DataError("it is encrypted by MariaDB from here on"), self._at)
            start += due
            self._at = self._jump or self._at + due
            self._jump = 0
            due = _HEADER_SIZE
        self._keep(data[start:], due)

    def _begin(self, magic: bytes) -> None:
        if magic in _ENCRYPTED:
            raise self._wrong(DataError(f"it is encrypted by {_ENCRYPTED[magic]}"), 0)
        if magic != MAGIC:
            raise self._wrong(DataError(f"it begins with {magic.hex()}, not with {MAGIC.hex()}"), 0)
        self._has_begun = True

    def end(self) -> None:
        """Raise ``DataError`` if the bytes ended in the middle of an event."""
        if self._parts or not self._has_begun:
            raise self._wrong(
                DataError(f"the log ends inside of an event, of which it has {self._size} bytes"),
                self._at,
            )

    def drop_part(self) -> int:
        """Drop the bytes of an event that is not whole; return where the whole ones end."""
        self._keep(b"", 0)
        return self._at

    def goes_back(self, offset: int) -> bool:
        """Go on as if the file had ended there; return whether what is not there was no more than
        a part of the last transaction, which then is rolled back.
        """
        resume = self._resume
        if resume is None or resume.file != self._file or not resume.offset <= offset:
            return False
        self._at = offset
        return self._is_inside

    def breaks_off(self, gtid: Gtid | MariaDBGtid) -> None:
        """Say that this transaction was begun in a log that ends in its middle, before the next."""
        self._gtid, self._is_inside = gtid, True

    def feed_event(self, data: bytes) -> list[Event]:
        """Take one event of a stream, which a server sent, without the byte before it."""
        if len(data) < _HEADER_SIZE or int.from_bytes(data[9:13], "little") != len(data):
            raise self._wrong(DataError(f"a packet of {len(data)} bytes is no event"), None)
        end = int.from_bytes(data[13:17], "little")
        return list(self._event(data, end - len(data) if end >= len(data) else None, end))

    def _wrong(self, error: BinlogError, at: int | None) -> BinlogError:
        where = self._file or "the log"
        if at is not None:
            where += f" at {at}"
        return type(error)(f"{where}: {error.args[0]}")

    # Events

    def _event(self, data: bytes, at: int | None, end: int) -> Iterator[Event]:
        try:
            timestamp, code, server_id, _, _, flags = _HEADER.unpack_from(data)
            body = self._body(data, code, flags)
            position = None if at is None else Position(self._file, at)
            head = {
                "type": code,
                "timestamp": timestamp,
                "server_id": server_id,
                "position": position,
            }
            if flags & _IGNORABLE and code not in _KNOWN_TYPES:
                found: list[Event] = [e.Other(name="IGNORABLE", body=body, **head)]
            else:
                found = self._made(code, body, head)
        except BinlogError as wrong:
            raise self._wrong(wrong, at) from None
        except (IndexError, UnicodeDecodeError) as wrong:
            raise self._wrong(
                DataError(f"an event of type {data[4]} cannot be read: {wrong}"), at
            ) from None
        for event in found:
            if event.type in _ENDS:
                self._follow(event, end)
            yield event

    def _follow(self, event: Event, end: int) -> None:
        """Note where a transaction begins and ends."""
        if isinstance(event, e.Query):
            if event.statement == "BEGIN" or event.statement.startswith("XA START "):
                self._is_inside = True
                return
            if self._is_inside and event.statement != "ROLLBACK":
                return
        elif event.type == _STOP:
            self._is_inside = False
            return
        elif isinstance(event, e.Rotate):
            if event.timestamp:  # the log's last event, and none of the server's own
                self._is_inside = False
            self._file = event.file
            self._resume = Position(event.file, event.start)
            return
        elif isinstance(event, e.PreviousGtids):
            if self._gtids is None or event.timestamp != 0:
                self._gtids = event.gtids
            return
        elif not isinstance(event, (e.Commit, e.XaPrepare)):
            return
        self._is_inside = False
        self.transactions += 1
        if end:
            self._resume = Position(self._file, end)
        if self._gtid is not None:
            self._gtids = _added(self._gtids, self._gtid)
            self._gtid = None

    def _body(self, data: bytes, code: int, flags: int) -> bytes:
        """Return an event's body, after its CRC-32 was checked."""
        if code == 15:
            version, self._has_checksums = e.format_description(data[_HEADER_SIZE:])
            self._is_mariadb = "mariadb" in version.lower()
            if flags & _IN_USE:  # the flag of a file that is written to is not in the sum
                data = data[:17] + (flags & ~_IN_USE).to_bytes(2, "little") + data[19:]
        elif self._has_checksums is None or (code == 4 and flags & _ARTIFICIAL):
            # Nothing says whether it has one: 1 of 2**32 events without has its own by chance.
            if zlib.crc32(memoryview(data)[:-4]) != int.from_bytes(data[-4:], "little"):
                return data[_HEADER_SIZE:]
            return data[_HEADER_SIZE:-4]
        if not self._has_checksums:
            return data[_HEADER_SIZE:]
        if len(data) < _HEADER_SIZE + 4:
            raise DataError(f"an event of {len(data)} bytes has no room for a CRC-32")
        told = int.from_bytes(data[-4:], "little")
        found = zlib.crc32(memoryview(data)[:-4])
        if told != found:
            raise ChecksumError(
                f"the CRC-32 of an event of type {code} is {found:08x}, and it says {told:08x}"
            )
        return data[_HEADER_SIZE:-4]

    def _made(self, code: int, body: bytes, head: dict[str, Any]) -> list[Event]:
        """Return the events of one event of the log."""
        if code in _ROWS:
            return self._rows(code, body, head)
        if code == 19:
            return self._table_map(body, head)
        if code == 16:
            return [
                *self._left(),
                e.Commit(xid=int.from_bytes(body[:8], "little"), gtid=self._gtid, **head),
            ]
        if code in (33, 34):
            return self._begins(e.mysql_gtid(body), head)
        if code == 42:
            return self._begins(e.tagged_gtid(body), head)
        if code == 162:
            gtid, is_alone = e.mariadb_gtid(body, head["server_id"])
            self._is_inside = not is_alone
            return self._begins(gtid, head)
        if code in (2, 18, 165):
            return self._query(body, code, head)
        if code == 40:
            return self._payload(body, head)
        if code == 15:
            return self._begun(body, head)
        return [self._rarer(code, body, head)]

    def _begun(self, body: bytes, head: dict[str, Any]) -> list[Event]:
        """Return what the beginning of a log says, of the one before as well."""
        whole = body + b"\0\0\0\0" if self._has_checksums else body
        version, has_checksums = e.format_description(whole)
        self._forget()
        begun = e.FormatDescription(version=version, has_checksums=has_checksums, **head)
        if not self._is_inside:
            return [begun]
        # A transaction lies in one log: the server was killed, and rolled this one back.
        gtid, self._gtid, self._is_inside = self._gtid, None, False
        return [e.Query(database="", statement="ROLLBACK", error=0, gtid=gtid, **head), begun]

    def _rarer(self, code: int, body: bytes, head: dict[str, Any]) -> Event:
        if code == 4:
            if len(body) < 9:
                raise DataError(f"a ROTATE event has {len(body)} bytes")
            return e.Rotate(file=e.text(body[8:]), start=int.from_bytes(body[:8], "little"), **head)
        if code in (29, 160):
            return e.RowsQuery(statement=e.text(body[1:] if code == 29 else body), **head)
        if code == 35:
            return e.PreviousGtids(gtids=GtidSet.decode(body), **head)
        if code == 163:
            return e.PreviousGtids(gtids=MariaDBGtidSet.decode(body), **head)
        if code == 38:
            xid, one_phase = e.xa_xid(body)
            return e.XaPrepare(xid=xid, one_phase=one_phase, gtid=self._gtid, **head)
        if code in (27, 41):
            return e.Heartbeat(file=e.text(body) if code == 27 else "", **head)
        if code == 26:
            return e.Incident(message=e.text(body[3:]), **head)
        if code in e.OTHERS:
            return e.Other(name=e.OTHERS[code], body=body, **head)
        raise DataError(f"an event has the unknown type {code}, and may carry rows")

    def _payload(self, body: bytes, head: dict[str, Any]) -> list[Event]:
        """Return the events of a compressed transaction, which have no CRC-32 of their own."""
        events: list[Event] = []
        plain = e.payload(body, self._most)
        at = 0
        while at < len(plain):
            if len(plain) - at < _HEADER_SIZE:
                raise DataError("a compressed transaction is cut short")
            timestamp, code, server_id, size, _, _ = _HEADER.unpack_from(plain, at)
            if not _HEADER_SIZE <= size <= len(plain) - at:
                raise DataError(f"an event in a compressed transaction has {size} bytes")
            if code in (15, 40):
                raise DataError(f"an event of type {code} is in a compressed transaction")
            inner = {**head, "type": code, "timestamp": timestamp, "server_id": server_id}
            events += self._made(code, plain[at + _HEADER_SIZE : at + size], inner)
            at += size
        return events

    def _begins(self, gtid: Gtid | MariaDBGtid | None, head: dict[str, Any]) -> list[Event]:
        self._gtid = gtid
        return [] if gtid is None else [e.GtidEvent(gtid=gtid, **head)]

    def _query(self, body: bytes, code: int, head: dict[str, Any]) -> list[Event]:
        # EXECUTE_LOAD_QUERY has the numbers of a file and of places in the statement.
        more = 13 if code == 18 else 0
        database, statement, error, quoting = e.query(body, code == 165, more)
        left = self._left()
        if statement == "COMMIT":
            return [*left, e.Commit(xid=None, gtid=self._gtid, **head)]
        effect = effect_of(statement, database, quoting, names_all=self._names_all)
        query = e.Query(
            database=database, statement=statement, error=error, gtid=self._gtid, **head
        )
        return [*left, *self._changed(statement, effect, head), query]

    def _changed(self, statement: str, effect: Effect, head: dict[str, Any]) -> list[Event]:
        """Return the tables that a statement may have changed, of those that are followed."""
        reason = "a statement: " + " ".join(statement[:80].split())
        found: dict[tuple[str | None, str | None], None] = {}
        for name in effect.tables:
            if effect.alters:
                self._forget_schema(*name)
                if self._altered is not None:
                    self._altered(*name, self._gtid, head["position"])
            found |= dict.fromkeys(self._followed(*name))
        return [
            e.Changed(database=database, table=table, reason=reason, gtid=self._gtid, **head)
            for database, table in found
        ]

    def _followed(
        self, database: str | None, table: str | None
    ) -> Iterator[tuple[str | None, str | None]]:
        """Yield a name as it is followed, if it is: some servers tell no case of letters."""
        if self._tables is None or database is None:
            yield database, table
            return
        for name in self._tables:
            of, _, known = name.partition(".")
            if of.casefold() != database.casefold():
                continue
            if table is None:
                yield of, None
            elif known.casefold() == table.casefold():
                yield of, known

    # Rows

    def _forget(self) -> None:
        self._maps.clear()
        self._untold.clear()

    def _left(self) -> list[Event]:
        """Return the tables that were told of, and of which no rows came."""
        left = list(self._untold.values())
        self._forget()
        return left

    def _table_map(self, body: bytes, head: dict[str, Any]) -> list[Event]:
        number = int.from_bytes(body[:6], "little")
        told = body[8:]
        known = self._known.get(told)
        if known is None:
            if len(self._known) >= _KNOWN_TABLES:
                self._known.clear()
            known = self._known[told] = self._learned(told, head["timestamp"])
        self._maps[number] = known
        table, reader = known
        if reader is not None:
            self._untold[number] = e.Changed(
                database=table.database,
                table=table.name,
                reason="a table map without rows",
                gtid=self._gtid,
                **head,
            )
        return []

    def _learned(self, told: bytes, timestamp: int) -> _Known:
        table = replace(parse_table_map(told, self._is_mariadb), timestamp=timestamp)
        name = f"{table.database}.{table.name}"
        if self._tables is not None and name not in self._tables:
            return table, None
        if self._schema is not None:
            columns = self._schema(table)
            if columns is not None:
                table = described(table, columns)
        wanted = self._columns.get(name)
        return table, RowReader(
            table, zero_dates=self._zero_dates, lenient=self._lenient, wanted=wanted
        )

    def forget_schema(self) -> None:
        """Ask `schema` again for every table: call this when a table may have been altered."""
        self._known.clear()

    def _forget_schema(self, database: str | None, table: str | None) -> None:
        """Ask `schema` again for a table, for those of a database, or for all."""
        if database is None:
            self._known.clear()
            return
        for told, (known, _) in list(self._known.items()):
            if known.database.casefold() == database.casefold() and (
                table is None or known.name.casefold() == table.casefold()
            ):
                del self._known[told]

    def _rows(self, code: int, body: bytes, head: dict[str, Any]) -> list[Event]:
        number, flags = int.from_bytes(body[:6], "little"), int.from_bytes(body[6:8], "little")
        at = 8
        if _ROWS[code][1] == 2:
            at += int.from_bytes(body[8:10], "little")
            if not 10 <= at <= len(body):
                raise DataError(f"the extra data of an event with rows end at {at} of {len(body)}")
        known = self._maps.get(number)
        if known is not None:
            events = self._read_rows(code, known, number, body, at, head)
        elif number == _NO_TABLE:
            events = []
        else:
            raise DataError(f"rows are of table {number}, of which no TABLE_MAP told")
        return [*events, *self._left()] if flags & _STATEMENT_END else events

    def _read_rows(
        self, code: int, known: _Known, number: int, body: bytes, at: int, head: dict[str, Any]
    ) -> list[Event]:
        table, reader = known
        if reader is None:
            return []
        kind, _, is_compressed = _ROWS[code]
        count, at = lenenc(body, at)
        if count != len(table.columns):
            raise DataError(
                f"rows of {table.database}.{table.name} have {count} columns, and the table "
                f"{len(table.columns)}"
            )
        width = (count + 7) >> 3
        present = updated = body[at : at + width]
        at += width
        if kind == "update":
            updated = body[at : at + width]
            at += width
        if at > len(body):
            raise DataError("an event with rows is cut short before them")
        if not int.from_bytes(present, "little") & ((1 << count) - 1):
            return []  # rows without values: that the table changed is told at the statement's end
        self._untold.pop(number, None)
        if is_compressed:
            body, at = e.inflated(body[at:], self._most), 0
        rows: list[Any]
        if kind == "update":
            rows = [*reader.pairs(body, at, present, updated, partial=code == _PARTIAL)]
        else:
            rows = [*reader.rows(body, at, present)]
        made: dict[str, Any] = {"kind": kind, "database": table.database, "table": table.name}
        return [
            e.Rows(columns=reader.names, key=table.key, rows=rows, gtid=self._gtid, **made, **head)
        ]


def _added(
    known: GtidSet | MariaDBGtidSet | None, gtid: Gtid | MariaDBGtid
) -> GtidSet | MariaDBGtidSet:
    if isinstance(gtid, Gtid):
        return (known if isinstance(known, GtidSet) else GtidSet()).add(gtid)
    return (known if isinstance(known, MariaDBGtidSet) else MariaDBGtidSet()).add(gtid)
