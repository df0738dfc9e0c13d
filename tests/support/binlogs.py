"""The recorded binary logs, and their rows as the server's SELECT gave them.

``tests/vectors/binlog`` has logs of MySQL 9.7.4 (my-), MariaDB 11.8.9 (md-) and 10.11.19 (m10-):
NAME.binlog is a file, NAME.stream the same as sent to a replica, and NAME.json has the tables and
each row as text.
"""

import base64
import json
import re
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from godropbox.database import binlog

FOLDER = Path(__file__).parents[1] / "vectors" / "binlog"
NAMES = sorted(path.stem for path in FOLDER.glob("*.binlog"))
STREAMS = sorted(path.stem for path in FOLDER.glob("*.stream"))


@dataclass(frozen=True)
class Recorded:
    """A log: its bytes, its tables' columns as they were declared, and its rows."""

    name: str
    data: bytes
    tables: dict[str, list[tuple[str, str]]]
    events: list[dict[str, Any]]

    @property
    def is_mysql(self) -> bool:
        return self.name.startswith("my-")

    def schema(self, table: binlog.Table) -> list[tuple[str, str, str | None]] | None:
        """Return what a table's columns were declared as; later ones are of an ALTER TABLE."""
        columns = self.tables.get(table.name)
        if columns is None:
            return None
        return [(name, *_split(declared)) for name, declared in columns[: len(table.columns)]]

    def rows(self) -> list[tuple[str, str, Any]]:
        """Return the table, the kind and the values of each row that the log has to have."""
        return [
            (event["table"], event["kind"], row)
            for event in self.events
            for row in event.get("rows", ())
        ]


def recorded(name: str) -> Recorded:
    told = json.loads((FOLDER / f"{name}.json").read_text())
    tables = {
        table: [(column, declared) for column, declared in described["columns"]]
        for table, described in told["tables"].items()
    }
    return Recorded(name, (FOLDER / f"{name}.binlog").read_bytes(), tables, told["events"])


def stream(name: str) -> list[bytes]:
    """Return the events of a stream."""
    data = (FOLDER / f"{name}.stream").read_bytes()
    events = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        events.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return events


def _split(declared: str) -> tuple[str, str | None]:
    """Return a type without its options, and its character set; utf8mb4 was the tables' own."""
    found = re.search(r" CHARACTER SET (\w+)", declared)
    plain = re.sub(r" (NOT )?NULL| COMPRESSED(=\w+)?| CHARACTER SET \w+", "", declared)
    return plain, found[1] if found else "utf8mb4"


# Values as SELECT writes them


def _digits(declared: str) -> int:
    found = re.match(r"\w+\((\d)\)", declared)
    return int(found[1]) if found else 0


def _fraction(micros: int, digits: int) -> str:
    return f".{micros:06}"[: digits + 1] if digits else ""


def _span(value: timedelta, digits: int) -> str:
    micros = value // timedelta(microseconds=1)
    seconds, rest = divmod(abs(micros), 10**6)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return ("-" if micros < 0 else "") + clock + _fraction(rest, digits)


def as_selected(value: Any, declared: str) -> Any:
    """Return a value as the recorded JSON has it; a number of FLOAT and DOUBLE stays one."""
    kind = declared.lower().split("(")[0].split()[0]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if kind == "bit":
        bits = int(re.findall(r"\d+", declared)[0])
        return {"hex": value.to_bytes((bits + 7) // 8, "big").hex()}
    if isinstance(value, binlog.Geometry):
        return {"hex": (value.srid.to_bytes(4, "little") + value.wkb).hex()}
    if isinstance(value, array):
        return {"hex": value.tobytes().hex()}
    if isinstance(value, timedelta):
        return _span(value, _digits(declared))
    if isinstance(value, datetime):
        moment = f"{value:%Y-%m-%d %H:%M:%S}".rjust(19, "0")
        return moment + _fraction(value.microsecond, _digits(declared))
    if isinstance(value, date):
        return value.isoformat()
    if kind == "year":
        return f"{value:04}"
    if kind == "set":
        return ",".join(value)
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _plain(value: Any) -> Any:
    """Return a part of JSON that has no type there as the server's text has it."""
    if isinstance(value, bytes):
        return f"base64:type15:{base64.b64encode(value).decode()}"
    return float(value) if isinstance(value, Decimal) else as_selected(value, "TIME(6)")


def is_same(value: Any, expected: Any, declared: str, is_mysql: bool) -> bool:
    """Return whether a decoded value is the one that SELECT gave."""
    if is_mysql and declared == "JSON" and expected is not None:
        return bool(json.loads(expected) == json.loads(json.dumps(value, default=_plain)))
    if isinstance(value, float):
        return float(expected) in (value, float(f"{value:.6g}"))
    return bool(as_selected(value, declared) == expected)


def check_rows(log: Recorded, events: Iterable[binlog.Event], absent_is_fine: bool) -> int:
    """Hold the rows of events to those of a log; return the number of values."""
    due = log.rows()
    found = [
        (event, row) for event in events if isinstance(event, binlog.Rows) for row in event.rows
    ]
    assert [(event.table, event.kind) for event, _ in found] == [(t, k) for t, k, _ in due]
    count = 0
    for (event, row), (table, kind, expected) in zip(found, due, strict=True):
        assert event.columns is not None
        types = dict(log.tables[table])
        images = [(row, expected)]
        if kind == "update":
            images = [(row[0], expected["before"]), (row[1], expected["after"])]
        for values, texts in images:
            for column, value in zip(event.columns, values, strict=True):
                if value is binlog.ABSENT:
                    assert absent_is_fine
                    continue
                count += 1
                assert is_same(value, texts[column], types[column], log.is_mysql), (
                    f"{log.name}: {table}.{column} {types[column]}: {value!r}, "
                    f"not {texts[column]!r}"
                )
    return count


Feed = Callable[[binlog.BinlogParser, bytes], list[binlog.Event]]


def whole(parser: binlog.BinlogParser, data: bytes) -> list[binlog.Event]:
    events = parser.feed(data)
    parser.end()
    return events


def one_byte_at_a_time(parser: binlog.BinlogParser, data: bytes) -> list[binlog.Event]:
    events = [event for at in range(len(data)) for event in parser.feed(data[at : at + 1])]
    parser.end()
    return events
