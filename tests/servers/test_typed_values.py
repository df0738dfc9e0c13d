"""Random values through columns of every class: what goes in comes back, and ``==`` finds it.

Rows of Hypothesis's values go in as text, with parameters and by prepared statements, come back
through a driver, and are counted by a comparison with each value. ``GODROPBOX_TYPED_ROWS`` is how
many rows go into each server.
"""

import datetime
import decimal
import enum
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import sqlcases, sqlservers

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder
WANTED = int(os.environ.get("GODROPBOX_TYPED_ROWS", "60"))
ROWS_AT_ONCE = 4


class Mood(enum.Enum):
    """What an enum's values may hold."""

    GLAD = "glad"
    ODD = "it's \\ odd, 100%"


# Collations that do not pad: with utf8mb4_bin, '' equals ' '.
LONG = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
LONG_MARIADB = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
MOODS = "ENUM('glad', 'it''s \\\\ odd, 100%')"
PRICE = "DECIMAL(14,4)"
# Each column, and its type in MySQL, MariaDB, PostgreSQL and SQLite.
TYPED = [
    (sb.IntColumn("whole"), "BIGINT", "BIGINT", "bigint", "INTEGER"),
    (sb.StrColumn("words"), LONG, LONG_MARIADB, "text", "TEXT"),
    (sb.BytesColumn("data"), "LONGBLOB", "LONGBLOB", "bytea", "BLOB"),
    (sb.DoubleColumn("floating"), "DOUBLE", "DOUBLE", "double precision", "REAL"),
    (sb.BoolColumn("truth"), "BOOL", "BOOL", "boolean", "BOOLEAN"),
    (sb.DateTimeColumn("moment"), "DATETIME(6)", "DATETIME(6)", "timestamp", "TEXT"),
    (sb.DateColumn("day"), "DATE", "DATE", "date", "TEXT"),
    (sb.TimeColumn("clock"), "TIME(6)", "TIME(6)", "time", "TEXT"),
    (sb.IntervalColumn("span"), "TIME(6)", "TIME(6)", "interval", "TEXT"),
    (sb.DecimalColumn("exact", precision=14, scale=4), PRICE, PRICE, "numeric(14,4)", "NUMERIC"),
    (sb.JsonColumn("document"), "JSON", "JSON", "jsonb", "TEXT"),
    (sb.UuidColumn("name"), "CHAR(36)", "UUID", "uuid", "TEXT"),
    (sb.UuidColumn("raw", binary=True), "BINARY(16)", "BINARY(16)", "bytea", "BLOB"),
    (sb.EnumColumn("mood", Mood), MOODS, MOODS, "mood", "TEXT"),
]
COLUMNS = {column.name: kinds for column, *kinds in TYPED}
SWEPT = sb.Table("swept", sb.IntColumn("id"), *(column for column, *_ in TYPED))
DIALECTS = ("mysql", "mariadb", "postgresql", "sqlite")
SCHEMAS = dict.fromkeys(DIALECTS, "typed_values") | {"sqlite": "main"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | TEXTS | st.just(2.5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=5,
)
LIMIT = datetime.timedelta(hours=838, minutes=59, seconds=59)
VALUES = st.fixed_dictionaries(
    {
        "whole": st.integers(-(1 << 63), (1 << 63) - 1),
        "words": TEXTS | st.text(sqlcases.ALPHABET.replace("\0", ""), max_size=12),
        "data": st.binary(max_size=12),
        "floating": st.integers(-(1 << 40), 1 << 40).map(lambda number: number / 1024),
        "truth": st.booleans(),
        "moment": st.datetimes(),
        "day": st.dates(),
        "clock": st.times(),
        "span": st.timedeltas(-LIMIT, LIMIT),
        "exact": st.decimals(-(10**9), 10**9, places=4, allow_nan=False, allow_infinity=False),
        "document": st.dictionaries(TEXTS, DOCUMENTS, max_size=3) | st.lists(DOCUMENTS, max_size=3),
        "name": st.uuids(version=4),  # MariaDB refuses variants that are not in RFC 4122
        "raw": st.uuids(),
        "mood": st.sampled_from(Mood),
    }
)


class Server:
    """A connection with the table."""

    def __init__(self, dialect: str, connection: Any) -> None:
        self.dialect, self.connection, self.schema = dialect, connection, SCHEMAS[dialect]
        which = DIALECTS.index(dialect)
        columns = ", ".join(f"{name} {kinds[which]}" for name, kinds in COLUMNS.items())
        self.run(f"CREATE TABLE swept (id INT PRIMARY KEY, {columns})")

    def run(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
        found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def ways(self, statement: Any) -> "list[tuple[Any, ...]]":
        how = {"dialect": self.dialect}
        style = "qmark" if self.dialect == "sqlite" else "format"
        return [
            (statement.sql(self.schema, **how),),
            statement.bind(self.schema, style, **how),
            (statement.prepare(self.schema, **how).sql(),),
        ]


def _mysql(dialect: str) -> Iterator[Server]:
    with sqlservers.connection_of(dialect) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE typed_values")
        cursor.execute("USE typed_values")
        yield Server(dialect, connection)
        cursor.execute("DROP DATABASE typed_values")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA typed_values")
        connection.execute("SET search_path TO typed_values")
        connection.execute("CREATE TYPE mood AS ENUM ('glad', 'it''s \\ odd, 100%')")
        yield Server("postgresql", connection)
        connection.execute("DROP SCHEMA typed_values CASCADE")


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Server("sqlite", connection)
    connection.close()


@pytest.fixture(scope="module", params=[*sqlservers.mysql_like(), "postgresql", "sqlite"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    yield from makers[request.param]() if request.param in makers else _mysql(request.param)


def read(name: str, value: Any) -> Any:
    """Return what a driver gave in the form of the value that was sent, if it means the same."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if name == "document":
        return json.loads(value) if isinstance(value, str) else value
    if name == "exact":
        return decimal.Decimal(value).quantize(decimal.Decimal("0.0001"))
    if name in ("name", "raw"):
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(str(value))
    if name == "mood":
        return Mood(value)
    if name == "clock" and isinstance(value, datetime.timedelta):
        return (datetime.datetime.min + value).time()
    if not isinstance(value, str) or name == "words":
        return bool(value) if name == "truth" else value
    if name == "span":
        sign = -1 if value.startswith("-") else 1
        hours, minutes, seconds = value.lstrip("-").split(":")
        micros = datetime.timedelta(microseconds=int(seconds.replace(".", "")))
        return sign * (datetime.timedelta(hours=int(hours), minutes=int(minutes)) + micros)
    kind: Any = {"moment": datetime.datetime, "day": datetime.date, "clock": datetime.time}[name]
    return kind.fromisoformat(value)


def test_values_come_back_and_are_found(server: Server) -> None:
    columns = [SWEPT.c.id, *(SWEPT.c[name] for name in COLUMNS)]
    taken = 0

    @settings(
        max_examples=-(-WANTED // ROWS_AT_ONCE),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # the message names the column and the value
    )
    @given(st.tuples(*[VALUES] * ROWS_AT_ONCE))
    def check(rows: tuple[dict[str, Any], ...]) -> None:
        nonlocal taken
        insert = SWEPT.insert(*columns).rows(
            [(n, *map(row.get, COLUMNS)) for n, row in enumerate(rows)]
        )
        for call in server.ways(insert):
            server.run("DELETE FROM swept")
            server.run(*call)
            found = server.run("SELECT * FROM swept ORDER BY id")
            for row, (_, *got) in zip(rows, found, strict=True):
                values = dict(zip(COLUMNS, got, strict=True))
                assert {name: read(name, value) for name, value in values.items()} == row
        for name in COLUMNS.keys() - {"document"}:
            count = sum(row[name] == rows[0][name] for row in rows)
            question = SWEPT.select(sb.count()).where(SWEPT.c[name] == rows[0][name])
            for call in server.ways(question):
                assert server.run(*call) == [(count,)], (name, call)
        taken += len(rows)

    check()
    assert taken >= WANTED
