"""Events as lines of text, as JSON without loss, and as SQL, forward and reversed. No I/O."""

import base64
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID

from godropbox.database.sqltypes import encode_sql

from . import _events
from ._errors import MetadataError
from ._events import Changed, Event, Position, Query, Rows, XaPrepare
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from ._json import JsonDiff
from ._rows import ABSENT, Geometry

__all__ = ["KINDS", "PROLOGUE", "as_json", "as_sql", "as_text", "control_of", "name_of"]

PROLOGUE: Final = """\
SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
"""
"""What SQL of ``as_sql`` needs to be said before it."""

_NAMES: Final = {
    "FormatDescription": "format",
    "GtidEvent": "gtid",
    "PreviousGtids": "previous_gtids",
    "RowsQuery": "rows_query",
    "XaPrepare": "xa_prepare",
}


def _kinds() -> Iterator[str]:
    yield from ("insert", "update", "delete")  # of Rows
    for name, value in vars(_events).items():
        if isinstance(value, type) and issubclass(value, Event) and value not in (Event, Rows):
            yield _NAMES.get(name, name.lower())


KINDS: Final = tuple(sorted(_kinds()))
"""Every name that ``name_of`` returns."""


def name_of(event: Event) -> str:
    """Return the kind of an event as one word: "insert", "query", "commit" and so on."""
    if isinstance(event, Rows):
        return event.kind
    name = type(event).__name__
    return _NAMES.get(name, name.lower())


# Text


def as_text(event: Event) -> Iterator[str]:
    """Yield the lines of an event: where it is and what it says, and one for each row."""
    where = "-" if event.position is None else f"{event.position.file}:{event.position.offset}"
    when = datetime.fromtimestamp(event.timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
    head = f"{where} {when} {name_of(event)}"
    if not isinstance(event, Rows):
        said = " ".join(
            f"{name}={value!r}" if isinstance(value, (str, bytes)) else f"{name}={value}"
            for name, value in _said(event).items()
        )
        yield f"{head} {said}".rstrip()
        return
    yield f"{head} {event.database}.{event.table} {len(event.rows)} rows"
    for row in event.rows:
        if event.kind == "update":
            yield f"  {_row_text(event.columns, row[0])} -> {_row_text(event.columns, row[1])}"
        else:
            yield f"  {_row_text(event.columns, row)}"


def _said(event: Event) -> dict[str, Any]:
    """Return what a class of events has beside what all have."""
    common = {field.name for field in fields(Event)}
    return {
        field.name: value
        for field in fields(event)
        if field.name not in common and (value := getattr(event, field.name)) is not None
    }


def _row_text(columns: Sequence[str] | None, row: Sequence[Any]) -> str:
    names = columns or [f"@{number}" for number in range(1, len(row) + 1)]
    return ", ".join(
        f"{name}={value!r}" for name, value in zip(names, row, strict=True) if value is not ABSENT
    )


# JSON


def as_json(event: Event) -> str:
    """Return an event as one line of JSON.

    Numbers, text and null are what they are, and every other value is an object with one name that
    says its type: ``{"decimal": "1.50"}``, ``{"bytes": "AAE="}`` in base64, ``{"date": ...}``,
    ``{"datetime": ...}``, ``{"timestamp": ...}`` of UTC, ``{"time": "-12:34:56.789012"}``,
    ``{"set": [...]}``, ``{"json": ...}`` for documents, ``{"uuid": ...}``, ``{"inet4": ...}``,
    ``{"inet6": ...}``, ``{"vector": [...]}``, ``{"geometry": {"srid": 0, "wkb": ...}}``,
    ``{"json_diffs": [["replace", "$.a", 5]]}``. Rows are objects by column, without those that are
    absent, or arrays, with ``{"absent": true}``, where the columns have no names.
    """
    made: dict[str, Any] = {"event": name_of(event)}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "rows":
            value = [_json_row(event, row) for row in value]
        elif isinstance(value, Position):
            value = {"file": value.file, "offset": value.offset}
        elif isinstance(value, (Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet)):
            value = str(value)
        elif isinstance(value, bytes):
            value = _json_value(value)
        elif isinstance(value, tuple):
            value = list(value)
        made[field.name] = value
    return json.dumps(made, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _json_row(event: Any, row: Any) -> Any:
    if event.kind != "update":
        return _json_image(event.columns, row)
    before, after = row
    return {
        "before": _json_image(event.columns, before),
        "after": _json_image(event.columns, after),
    }


def _json_image(columns: Sequence[str] | None, row: Sequence[Any]) -> Any:
    if columns is None:
        return [_json_value(value) for value in row]
    pairs = zip(columns, row, strict=True)
    return {name: _json_value(value) for name, value in pairs if value is not ABSENT}


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (dict, list)):
        return {"json": _document(value)}
    return _tagged(value)


def _is_diffs(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], JsonDiff)


def _document(value: Any) -> Any:
    """Return a JSON document, in which other values are tagged, and objects are marked as such."""
    if isinstance(value, dict):
        return {"object": {name: _document(item) for name, item in value.items()}}
    if isinstance(value, list):
        return [_document(item) for item in value]
    return _json_value(value)


def _tagged(value: Any) -> dict[str, Any]:
    if value is ABSENT:
        return {"absent": True}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return {"timestamp": value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")}
        return {"datetime": value.isoformat(" ")}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, timedelta):
        return {"time": _time(value)}
    if isinstance(value, Geometry):
        wkb = base64.b64encode(value.wkb).decode()
        return {"geometry": {"srid": value.srid, "wkb": wkb}}
    if _is_diffs(value):
        diffs = [[diff.operation, diff.path, _document(diff.value)] for diff in value]
        return {"json_diffs": diffs}
    if isinstance(value, (tuple, frozenset)):
        return {"set": list(value)}
    if isinstance(value, array):
        return {"vector": list(value)}
    for kind, name in ((UUID, "uuid"), (IPv4Address, "inet4"), (IPv6Address, "inet6")):
        if isinstance(value, kind):
            return {name: str(value)}
    raise TypeError(f"a value of {type(value).__name__} has no JSON")


def _time(value: timedelta) -> str:
    """Return a time as the servers write it, with hours up to 838."""
    micro = value // timedelta(microseconds=1)
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    seconds, micro = divmod(micro, 1_000_000)
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{micro:06}" if micro else text


# SQL


def as_sql(event: Event, *, reversed_: bool = False) -> list[str]:
    """Return the statements that do what an event says, or undo it; none for what changes nothing.

    Raises ``MetadataError`` where that cannot be said: rows without all columns or their names,
    tables without a known key whose rows cannot be told by their values, and, to be undone, what
    has no rows.
    """
    if isinstance(event, Rows):
        statements = [_row_sql(event, row, reversed_) for row in event.rows]
        return statements[::-1] if reversed_ else statements
    if isinstance(event, Changed) and reversed_:
        raise MetadataError(f"{event.reason} cannot be undone: the log has no rows of it")
    if isinstance(event, XaPrepare):
        raise MetadataError("a transaction of two phases (XA) cannot be written as SQL")
    if isinstance(event, Query) and not reversed_:
        return _statement_sql(event)
    return []


def _statement_sql(event: Query) -> list[str]:
    word = _first_word(event.statement)
    if word in ("BEGIN", ""):
        return []
    if word not in _AS_THEY_ARE:
        raise MetadataError(
            f"a statement that begins with {word[:20]} depends on the session that it was run in, "
            "and cannot be written as SQL: this takes binlog_format=ROW"
        )
    statement = event.statement.encode("utf-8", "surrogateescape")
    try:
        text = statement.decode()
    except UnicodeDecodeError:
        raise MetadataError("a statement is no UTF-8, and cannot be written as SQL") from None
    found = [f"USE {_quoted(event.database)};"] if event.database else []
    if ";" not in text and "\n" not in text and not text.startswith("#"):
        return [*found, f"{text};"]
    end = "$$"
    while end in text:
        end += "$"
    return [*found, f"DELIMITER {end}", f"{text}\n{end}", "DELIMITER ;"]


_CONTROL: Final = re.compile(
    r"(SAVEPOINT|ROLLBACK TO|RELEASE SAVEPOINT) (`(?:[^`]|``)+`|\w+)|(ROLLBACK)()", re.ASCII
)


def control_of(statement: str) -> tuple[str, str] | None:
    """Return what a statement does to its transaction and its savepoint, None if it does nothing.

    As servers log it: SAVEPOINT, ROLLBACK TO, RELEASE SAVEPOINT, or ROLLBACK and no name.
    """
    found = _CONTROL.fullmatch(statement)
    return (found[1] or found[3], (found[2] or "").casefold()) if found else None


_AS_THEY_ARE: Final = frozenset(
    (
        *("ALTER", "ANALYZE", "CREATE", "DROP", "FLUSH", "GRANT", "OPTIMIZE", "RELEASE", "RENAME"),
        *("REPAIR", "REVOKE", "ROLLBACK", "SAVEPOINT", "TRUNCATE"),
    )
)
_COMMENTS: Final = re.compile(
    r"(?:\s+|/\*(?!M?!).*?\*/|#[^\n]*(?:\n|\Z)|--\s[^\n]*(?:\n|\Z))*", re.S
)


def _first_word(statement: str) -> str:
    begun = _COMMENTS.match(statement)
    words = statement[begun.end() if begun else 0 :].split(None, 1)
    return words[0].upper() if words else ""


def _quoted(name: str) -> str:
    if "\0" in name or not name:
        raise MetadataError(f"{name!r} is no name")
    return "`" + name.replace("`", "``") + "`"


def _row_sql(event: Rows, row: Any, reversed_: bool) -> str:
    table = f"{_quoted(event.database)}.{_quoted(event.table)}"
    if event.columns is None:
        raise MetadataError(f"the columns of {table} have no names: give a schema")
    if event.kind == "update":
        before, after = (row[1], row[0]) if reversed_ else row
        pairs = [
            (name, new)
            for name, old, new in zip(event.columns, before, after, strict=True)
            if new is not ABSENT and (old is ABSENT or new is not old)
        ]
        if reversed_ and (ABSENT in before or ABSENT in after):
            raise _partial(table)
        made = ", ".join(
            f"{_quoted(name)} = {_literal(table, name, value)}" for name, value in pairs
        )
        return f"UPDATE {table} SET {made} WHERE {_where(event, table, before)} LIMIT 1;"
    if (event.kind == "insert") is not reversed_:
        present = [
            (name, value)
            for name, value in zip(event.columns, row, strict=True)
            if value is not ABSENT
        ]
        if reversed_ and len(present) < len(row):
            raise _partial(table)
        names = ", ".join(_quoted(name) for name, _ in present)
        values = ", ".join(_literal(table, name, value) for name, value in present)
        return f"INSERT INTO {table} ({names}) VALUES ({values});"
    return f"DELETE FROM {table} WHERE {_where(event, table, row)} LIMIT 1;"


def _partial(table: str) -> MetadataError:
    return MetadataError(
        f"rows of {table} lack columns, so that they cannot be restored: this takes "
        "binlog_row_image=FULL"
    )


def _where(event: Rows, table: str, row: Sequence[Any]) -> str:
    """Return the condition for one row: by its key if that is known, else by all values."""
    columns = event.columns or ()
    pairs = [pair for pair in zip(columns, row, strict=True) if pair[1] is not ABSENT]
    key = [pair for pair in pairs if event.key and pair[0] in event.key]
    if event.key and len(key) == len(event.key):
        pairs = key
    for name, value in pairs:
        if not isinstance(value, _TOLD_BY) and value is not None:
            raise MetadataError(
                f"rows of {table} cannot be told by {name}, whose values are not equal to a "
                "literal, and the log does not name the table's key: this takes "
                "binlog_row_metadata=FULL and a primary key"
            )
    return " AND ".join(
        f"{_quoted(name)} <=> {_literal(table, name, value)}" for name, value in pairs
    )


_TOLD_BY: Final = (int, str, bytes, Decimal, date, timedelta, UUID, IPv4Address, IPv6Address, tuple)


def _literal(table: str, name: str, value: Any) -> str:
    if isinstance(value, Geometry):
        return f"ST_GeomFromWKB(x'{value.wkb.hex()}', {int(value.srid)})"
    if isinstance(value, array):
        return f"x'{value.tobytes().hex()}'"
    if isinstance(value, (IPv4Address, IPv6Address)):
        value = str(value)
    elif _is_diffs(value):
        return _changed(table, name, value)
    elif isinstance(value, tuple):
        value = ",".join(value)
    elif isinstance(value, (dict, list)):
        value = _json_text(table, name, value)
    try:
        return encode_sql(value)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"column {name} of {table} cannot be written as SQL: {error}") from None


def _json_text(table: str, name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise MetadataError(
            f"column {name} of {table} has a document with values that JSON text has not"
        ) from None


def _changed(table: str, name: str, diffs: tuple[JsonDiff, ...]) -> str:
    """Return an expression for a document that was changed in parts, which MySQL alone logs."""
    made = _quoted(name)
    for diff in diffs:
        path = encode_sql(diff.path)
        if diff.operation == "remove":
            made = f"JSON_REMOVE({made}, {path})"
            continue
        function = "JSON_REPLACE"
        if diff.operation == "insert":
            function = "JSON_ARRAY_INSERT" if diff.path.endswith("]") else "JSON_INSERT"
        document = encode_sql(_json_text(table, name, diff.value))
        made = f"{function}({made}, {path}, CAST({document} AS JSON))"
    return made
