"""What a schema says of a table's columns, put beside what the log says.

A schema is the rows of ``information_schema.columns``: name, type as declared, character set.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from . import _columns as c
from ._columns import Column, Table
from ._errors import MetadataError

__all__ = ["SYSTEM_COLUMNS", "described"]

SYSTEM_COLUMNS: Final = (("row_start", "timestamp(6)", None), ("row_end", "timestamp(6)", None))
"""What MariaDB adds to a table WITH SYSTEM VERSIONING, and leaves out of information_schema."""

# The code that a log has for each type, by the first word of its declaration.
_CODES: Final = {
    "tinyint": (c.TINY,),
    "bool": (c.TINY,),
    "boolean": (c.TINY,),
    "smallint": (c.SHORT,),
    "mediumint": (c.INT24,),
    "int": (c.LONG,),
    "integer": (c.LONG,),
    "bigint": (c.LONGLONG,),
    "float": (c.FLOAT,),
    "double": (c.DOUBLE,),
    "real": (c.DOUBLE,),
    "decimal": (c.DECIMAL,),
    "numeric": (c.DECIMAL,),
    "bit": (c.BIT,),
    "year": (c.YEAR,),
    "date": (c.DATE,),
    "time": (c.TIME, c.TIME2),
    "datetime": (c.DATETIME, c.DATETIME2),
    "timestamp": (c.TIMESTAMP, c.TIMESTAMP2),
    "char": (c.STRING,),
    "binary": (c.STRING,),
    "varchar": (c.VARCHAR, c.VARCHAR_COMPRESSED, c.VAR_STRING),
    "varbinary": (c.VARCHAR, c.VARCHAR_COMPRESSED, c.VAR_STRING),
    "tinytext": (c.BLOB, c.BLOB_COMPRESSED),
    "text": (c.BLOB, c.BLOB_COMPRESSED),
    "mediumtext": (c.BLOB, c.BLOB_COMPRESSED),
    "longtext": (c.BLOB, c.BLOB_COMPRESSED),
    "tinyblob": (c.BLOB, c.BLOB_COMPRESSED),
    "blob": (c.BLOB, c.BLOB_COMPRESSED),
    "mediumblob": (c.BLOB, c.BLOB_COMPRESSED),
    "longblob": (c.BLOB, c.BLOB_COMPRESSED),
    "enum": (c.ENUM,),
    "set": (c.SET,),
    "json": (c.JSON, c.BLOB),
    "vector": (c.VECTOR, c.VARCHAR),
    "uuid": (c.STRING,),
    "inet4": (c.STRING,),
    "inet6": (c.STRING,),
}
_GEOMETRIES: Final = frozenset(
    [
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    ]
)
_BYTES: Final = frozenset(["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"])
_OWN: Final = frozenset(("uuid", "inet4", "inet6", "vector"))
_OLD_TIMES: Final = frozenset([c.TIME, c.DATETIME, c.TIMESTAMP])
_MEMBER: Final = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
# What both servers escape in a member, whatever the sql_mode; other backslashes are themselves.
_ESCAPED: Final = re.compile(r"''|\\[\\nr0]")
_ESCAPES: Final = {"''": "'", r"\\": "\\", r"\n": "\n", r"\r": "\r", r"\0": "\0"}


def described(table: Table, columns: Iterable[tuple[str, str, str | None]]) -> Table:
    """Return a table of the log with what a schema says of its columns.

    Each of `columns` is a name, a type as ``information_schema.columns.column_type`` has it, and a
    character set or None. What the log itself says goes before. Raises ``MetadataError`` where the
    two do not agree.
    """
    told = list(columns)
    label = f"{table.database}.{table.name}"
    if len(told) + 2 == len(table.columns) and _has_system_columns(table):
        told += SYSTEM_COLUMNS
    if len(told) != len(table.columns):
        raise MetadataError(
            f"{label} has {len(table.columns)} columns in the log, and {len(told)} in the schema: "
            "it was changed after the event was written, or the schema leaves columns out"
        )
    made = [_one(label, column, *given) for column, given in zip(table.columns, told, strict=True)]
    return replace(table, columns=tuple(made))


def _has_system_columns(table: Table) -> bool:
    names = [column.name for column in table.columns[-2:]]
    return names == [name for name, _, _ in SYSTEM_COLUMNS]


def _members(declared: str) -> tuple[str, ...]:
    """Return the members of an ENUM or a SET."""
    return tuple(
        _ESCAPED.sub(lambda found: _ESCAPES[found[0]], member)
        for member in _MEMBER.findall(declared)
    )


def _one(label: str, column: Column, name: str, declared: str, charset: str | None) -> Column:
    words = declared.lower().split()
    kind = words[0].partition("(")[0] if words else ""
    codes = (c.GEOMETRY,) if kind in _GEOMETRIES else _CODES.get(kind)
    if codes is None:
        raise MetadataError(f"column {name} of {label} has the unknown type {declared!r}")
    if column.code not in codes or column.name not in (None, name):
        raise MetadataError(
            f"column {column.name or name} of {label} has type {column.code} in the log, and is "
            f"{name} {declared} in the schema: it was changed after the event was written"
        )
    if column.code in _OLD_TIMES and "(" in words[0]:
        raise MetadataError(
            f"column {name} of {label} is {declared}, of the format of MariaDB 5.3, and a log does "
            "not say how long its fractions are: ALTER TABLE ... FORCE gives it the newer format"
        )
    members = column.members
    if members is None and kind in ("enum", "set"):
        members = _members(declared)
    if kind in _BYTES or kind in _OWN:
        charset = "binary"
    return replace(
        column,
        name=name,
        unsigned="unsigned" in words or "zerofill" in words
        if column.unsigned is None
        else column.unsigned,
        charset=charset if column.charset is None else column.charset,
        members=members,
        declared=kind if kind in _OWN else None,
    )
