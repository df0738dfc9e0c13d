"""Values through real servers, as literals and as parameters: what is written comes back.

Every row has a value of each type; rows go in as one INSERT into typed columns and come back
through a driver. All of them are Hypothesis's; ``GODROPBOX_ROUND_TRIPS`` is how many go each way,
as literals and as parameters, in each mode of ``IN_FULL``; the other servers get a tenth.
"""

import contextlib
import datetime
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import sqlcases, sqlservers

from godropbox.database import sqlbuilder as sb
from godropbox.database import sqltypes
from godropbox.database.sqltypes import SqlMode

WANTED = int(os.environ.get("GODROPBOX_ROUND_TRIPS", "25000"))
ROWS_AT_ONCE = 16  # a Hypothesis example has room for 8 KiB of choices

COLUMNS = {
    "mysql": [
        "LONGTEXT CHARACTER SET utf8mb4",
        "LONGBLOB",
        "BIGINT",
        "BIGINT UNSIGNED",
        "DOUBLE",
        "DECIMAL(65, 30)",
        "BOOL",
        "DATETIME(6)",
        "DATE",
        "TIME(6)",
        "TIME(6)",
        "CHAR(36)",
    ],
    "postgresql": [
        "text",
        "bytea",
        "bigint",
        "numeric",
        "double precision",
        "numeric",
        "boolean",
        "timestamp",
        "date",
        "time",
        "interval",
        "uuid",
    ],
    "sqlite": [
        "TEXT",
        "BLOB",
        "INTEGER",
        "INTEGER",
        "REAL",
        "NUMERIC",
        "INTEGER",
        "TEXT",
        "TEXT",
        "TEXT",
        "TEXT",
        "TEXT",
    ],
}

REAL, EXACT = 4, 5  # the columns of the floats and of the decimals

DATABASES = {"mysql": "literals", "postgresql": "public", "sqlite": "main"}

TABLE = sb.Table(
    "literal",
    sb.IntColumn("id"),
    *(sb.StrColumn(f"c{n}", nullable=True) for n in range(len(COLUMNS["mysql"]))),
)

Rows = Sequence[tuple[Any, ...]]
Execute = Callable[..., Sequence[Sequence[Any]]]


def clock(value: datetime.timedelta) -> str:
    """Return a timedelta as MySQL writes a TIME."""
    sign = "-" if value < datetime.timedelta(0) else ""
    seconds, microseconds = divmod(abs(value) // datetime.timedelta(microseconds=1), 10**6)
    return (
        f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        f".{microseconds:06d}"
    )


def expected(row: tuple[Any, ...], dialect: str) -> tuple[Any, ...]:
    """Return what a driver gives for a row: the row itself but for types that it does not have."""
    text, data, signed, unsigned, real, exact, true, moment, day, time, span, name = row
    if dialect == "mysql":
        time = datetime.datetime.combine(datetime.date.min, time) - datetime.datetime.min
        name = str(name)
    elif dialect == "sqlite":
        exact = float(exact)
        moment = moment.isoformat(" ", "microseconds")
        day, time = day.isoformat(), time.isoformat("microseconds")
        span, name = clock(span), str(name)
    return text, data, signed, unsigned, real, exact, true, moment, day, time, span, name


@contextlib.contextmanager
def mysql(mode: SqlMode) -> Iterator[Execute]:
    words = ["STRICT_ALL_TABLES"]
    words += ["ANSI_QUOTES"] if mode.ansi_quotes else []
    words += [] if mode.backslash_escapes else ["NO_BACKSLASH_ESCAPES"]
    with sqlservers.mysql_connection(",".join(words)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@sql_mode, @@character_set_client")
        assert SqlMode.parse(*(cursor.fetchone() or ())) == mode
        cursor.execute("CREATE DATABASE IF NOT EXISTS literals")
        cursor.execute("USE literals")

        def execute(sql: str, parameters: Any = None) -> Sequence[Sequence[Any]]:
            cursor.execute(sql, parameters)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows

        yield execute


@contextlib.contextmanager
def postgresql(mode: SqlMode) -> Iterator[Execute]:
    with sqlservers.postgresql_connection() as connection:

        def execute(sql: str, parameters: Any = None) -> Sequence[Sequence[Any]]:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

        yield execute


@contextlib.contextmanager
def sqlite(mode: SqlMode) -> Iterator[Execute]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield lambda sql, parameters=(): connection.execute(sql, parameters).fetchall()


SERVERS = {"mysql": mysql, "postgresql": postgresql, "sqlite": sqlite}


@contextlib.contextmanager
def table(mode: SqlMode) -> Iterator[Execute]:
    columns = [f"c{n} {kind}" for n, kind in enumerate(COLUMNS[mode.dialect])]
    with SERVERS[mode.dialect](mode) as execute:
        execute("DROP TABLE IF EXISTS literal")
        execute(f"CREATE TABLE literal (id INTEGER, {', '.join(columns)})")
        yield execute


def by_literals(mode: SqlMode, sent: Rows) -> tuple[str]:
    """Return the INSERT of rows as text."""
    literals = [
        ",".join([str(n), *(sqltypes.encode_sql(value, mode) for value in row)])
        for n, row in enumerate(sent)
    ]
    return (f"INSERT INTO literal VALUES ({'),('.join(literals)})",)


def by_parameters(mode: SqlMode, sent: Rows) -> tuple[str, Any]:
    """Return the INSERT of rows as text and parameters."""
    columns = [TABLE.c[name] for name in ("id", *(f"c{n}" for n in range(len(sent[0]))))]
    insert = TABLE.insert(*columns).rows([(n, *row) for n, row in enumerate(sent)])
    dialect: Any = mode.dialect
    if dialect == "sqlite":
        return insert.bind(DATABASES[dialect], "qmark", dialect=dialect, mode=mode)
    return insert.bind(DATABASES[dialect], dialect=dialect, mode=mode)


Way = Callable[[SqlMode, Rows], tuple[Any, ...]]
WAYS = {"literals": by_literals, "parameters": by_parameters}


def round_trip(execute: Execute, mode: SqlMode, sent: Rows, way: Way) -> None:
    """Insert rows one way, and compare what comes back."""
    execute("DELETE FROM literal")
    execute(*way(mode, sent))
    received = execute("SELECT * FROM literal ORDER BY id")
    assert len(received) == len(sent)
    for (_, *got), row in zip(received, sent, strict=True):
        wanted = list(expected(row, mode.dialect))
        if mode.dialect == "sqlite":
            # SQLite reads digits to about 15 places: the last bits of a float are its own.
            for column in (REAL, EXACT):
                near = pytest.approx(wanted[column], rel=1e-15, abs=1e-320)
                assert got[column] == near, row
                got[column] = wanted[column]
        assert got == wanted


# Each of these has its own rules for quotes and backslashes, so that each gets all the values.
IN_FULL = ("mysql", "mysql-no-backslash", "mysql-ansi")


@pytest.mark.parametrize("name", sqlcases.MODES)
def test_values_come_back(name: str) -> None:
    mode = sqlcases.MODES[name]
    wanted = WANTED if name in IN_FULL else WANTED // 10
    came_back = dict.fromkeys(WAYS, 0)
    rows = st.tuples(*[sqlcases.values(mode)] * ROWS_AT_ONCE)
    with table(mode) as execute:
        # No example is refused, so that there are as many as were asked for.
        @settings(
            max_examples=-(-wanted // (ROWS_AT_ONCE * len(COLUMNS[mode.dialect]))),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        )
        @given(rows)
        def check(sent: Rows) -> None:
            for way, write in WAYS.items():
                round_trip(execute, mode, sent, write)
                came_back[way] += sum(map(len, sent))

        check()
    for way, values in came_back.items():
        assert values >= wanted, way
