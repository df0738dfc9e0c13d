"""Rows of binary logs: MySQL 9.7's, of five and of nine columns, compressed and not.

The logs in ``tests/vectors/binlog-speed`` are a server's, its transactions repeated here. Right is
what ``pymysql`` was given to insert: rows have the numbers 0, 1, 2 ... as their first column.
"""

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from .model import AtMost, Case, Faster, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

FOLDER = Path(__file__).parent.parent / "tests" / "vectors" / "binlog-speed"
_CHUNK = 1 << 18
_GTID, _ROTATE = 33, 4


def events(data: bytes) -> Iterator[bytes]:
    """Yield a log's events."""
    at = 4
    while at < len(data):
        size = int.from_bytes(data[at + 9 : at + 13], "little")
        yield data[at : at + size]
        at += size


@cache
def log(name: str, times: int) -> bytes:
    """Return a log whose transactions are those of a server's, so many times."""
    found = list(events((FOLDER / f"{name}.binlog").read_bytes()))
    first = next(i for i, event in enumerate(found) if event[4] == _GTID)
    body = b"".join(event for event in found[first:] if event[4] != _ROTATE)
    return b"".join([b"\xfebin", *found[:first], body * times])


def checked(data: bytes) -> int:
    """Read a log from a file and check the CRC-32 of its events; return its bytes."""
    file = io.BytesIO(data)
    file.read(4)
    while header := file.read(19):
        body = file.read(int.from_bytes(header[9:13], "little") - 19)
        if zlib.crc32(body[:-4], zlib.crc32(header)) != int.from_bytes(body[-4:], "little"):
            raise WrongError("a log's CRC-32 is wrong")
    return len(data)


def read(binlog: Any, data: bytes, columns: Mapping[str, list[str]] | None) -> list[Any]:
    """Read a log with this package, and return its events with rows."""
    parser = binlog.BinlogParser(columns=columns)
    found: list[Any] = []
    for at in range(0, len(data), _CHUNK):
        for event in parser.feed(data[at : at + _CHUNK]):
            if type(event) is binlog.Rows:
                found.append(event)
    parser.end()
    return found


def ours(
    implementation: str, name: str, times: int, columns: Mapping[str, list[str]] | None, _: Any
) -> Names:
    binlog = load("database.binlog", implementation)
    data = log(name, times)
    rows = sum(len(event.rows) for event in read(binlog, data, columns))
    return {
        "read": partial(read, binlog, data, columns),
        "rows": rows,
        "times": times,
    }


def floor(name: str, times: int, rows: int, _: Any) -> Names:
    return {"checked": partial(checked, log(name, times)), "rows": rows * times}


def theirs(name: str, times: int, _: Any) -> Names:
    """Return what reads a log by mysql-replication, which gets each event as a server's packet."""
    from pymysql.protocol import MysqlPacket
    from pymysqlreplication.event import FormatDescriptionEvent, XidEvent
    from pymysqlreplication.packet import BinLogPacketWrapper
    from pymysqlreplication.row_event import (
        DeleteRowsEvent,
        TableMapEvent,
        UpdateRowsEvent,
        WriteRowsEvent,
    )

    class Connection:
        charset = "utf8mb4"

        @staticmethod
        def _get_table_information(schema: str, table: str) -> list[Any]:
            return []

        @staticmethod
        def _get_dbms() -> str:
            return "mysql"

    changes = (WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent)
    allowed = frozenset({*changes, TableMapEvent, FormatDescriptionEvent, XidEvent})
    packets = [b"\0" + event for event in events(log(name, times))]

    def reader() -> list[Any]:
        tables: dict[int, Any] = {}
        connection = Connection()
        found: list[Any] = []
        for packet in packets:
            wrapped = BinLogPacketWrapper(
                MysqlPacket(packet, "utf8"),
                tables,
                connection,
                (9, 7, 4),
                True,
                allowed,
                None,
                None,
                None,
                None,
                False,
                False,
                False,
                True,
                False,
            )
            event = wrapped.event
            if isinstance(event, TableMapEvent):
                tables[event.table_id] = event.get_table()
            elif isinstance(event, changes):
                found.extend(event.rows)
        return found

    return {"read": reader, "rows": len(reader())}


def ids_are_right(result: Any, names: Names) -> None:
    ids = [row[0] for event in result if event.kind == "insert" for row in event.rows]
    count = len(ids) // names["times"]
    if not ids or ids != list(range(count)) * names["times"]:
        raise WrongError(f"the rows do not have the numbers from 0 to {count}")


def their_ids_are_right(result: Any, names: Names) -> None:
    ids = [row["values"]["id"] for row in result if "values" in row]
    if not ids or ids[:3] != [0, 1, 2]:
        raise WrongError(f"the rows begin with {ids[:3]}")


def case(
    name: str,
    about: str,
    rows: int,
    *,
    columns: Mapping[str, list[str]] | None = None,
    peer: bool = True,
    packed: str = "",
) -> Case:
    """Return the case of one log; `packed` names the log that holds the same, compressed."""
    made: Callable[..., Row] = partial(Row, operations="rows")
    found = [
        made("read and check CRC-32", "checked()", partial(floor, name, 20, rows), kind="floor"),
        made(
            "native",
            "read()",
            partial(ours, "native", name, 20, columns),
            check=ids_are_right,
            kind="native",
            target=AtMost(3, "read and check CRC-32"),
        ),
        made(
            "pure",
            "read()",
            partial(ours, "pure", name, 2, columns),
            check=ids_are_right,
            kind="pure",
            env=PURE,
            target=Faster(3, "mysql-replication") if peer else None,
        ),
    ]
    if packed:
        found.append(
            made(
                "native, compressed",
                "read()",
                partial(ours, "native", packed, 20, columns),
                check=ids_are_right,
                kind="native",
                target=AtMost(1.5, "native"),
            )
        )
    if peer:
        found.append(
            made(
                "mysql-replication",
                "read()",
                partial(theirs, name, 1),
                check=their_ids_are_right,
                peer="mysql-replication",
            )
        )
    return Case(about, tuple(found), floor="read and check CRC-32")


GROUPS = (
    Group(
        "binlog",
        "Rows of binary logs",
        "Rows of MySQL's logs with full metadata, 500 a transaction or one, by processor time. The "
        "floor reads the file and checks its CRC-32 alone; it makes no objects. mysql-replication "
        "gets each event as a packet that has already come, and drops compressed transactions.",
        "row",
        (
            case("mysql-five", "5 columns", 1000, packed="mysql-five-packed"),
            case("mysql-nine", "9 columns", 1000, packed="mysql-nine-packed"),
            case(
                "mysql-nine",
                "1 of 9 columns",
                1000,
                columns={"speed.nine": ["id"]},
                peer=False,
            ),
            case("mysql-single", "5 columns, a row a transaction", 100),
        ),
        clock="process_time",
    ),
)
