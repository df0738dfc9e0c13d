"""Literals through real servers: whatever is written comes back as it was.

Every row has a value of each type; rows go in as one INSERT of literals, into typed columns, and
come back through a driver. ``GODROPBOX_ROUND_TRIPS`` is how many values go through all in all.
"""

import contextlib
import datetime
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import sqlcases, sqlservers

from godropbox.database import sqltypes
from godropbox.database.sqltypes import SqlMode

WANTED = int(os.environ.get("GODROPBOX_ROUND_TRIPS", "100000"))
ROWS_AT_ONCE = 250

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

REAL = 4  # the column of the floats

Execute = Callable[[str], Sequence[Sequence[Any]]]


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

        def execute(sql: str) -> Sequence[Sequence[Any]]:
            cursor.execute(sql)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows

        yield execute


@contextlib.contextmanager
def postgresql(mode: SqlMode) -> Iterator[Execute]:
    with sqlservers.postgresql_connection() as connection:

        def execute(sql: str) -> Sequence[Sequence[Any]]:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

        yield execute


@contextlib.contextmanager
def sqlite(mode: SqlMode) -> Iterator[Execute]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


SERVERS = {"mysql": mysql, "postgresql": postgresql, "sqlite": sqlite}


@contextlib.contextmanager
def table(mode: SqlMode) -> Iterator[Execute]:
    columns = [f"c{n} {kind}" for n, kind in enumerate(COLUMNS[mode.dialect])]
    with SERVERS[mode.dialect](mode) as execute:
        execute("DROP TABLE IF EXISTS literal")
        execute(f"CREATE TABLE literal (id INTEGER, {', '.join(columns)})")
        yield execute


def round_trip(execute: Execute, mode: SqlMode, sent: list[tuple[Any, ...]]) -> None:
    """Insert rows as literals, and compare what comes back."""
    literals = [
        ",".join([str(n), *(sqltypes.encode_sql(value, mode) for value in row)])
        for n, row in enumerate(sent)
    ]
    execute("DELETE FROM literal")
    execute(f"INSERT INTO literal VALUES ({'),('.join(literals)})")
    received = execute("SELECT * FROM literal ORDER BY id")
    assert len(received) == len(sent)
    for (n, *got), row in zip(received, sent, strict=True):
        wanted = list(expected(row, mode.dialect))
        if mode.dialect == "sqlite":
            # SQLite reads digits to about 15 places: the last bits of a float are its own.
            assert got[REAL] == pytest.approx(wanted[REAL], rel=1e-15, abs=1e-320), literals[n]
            got[REAL] = wanted[REAL]
        assert got == wanted, literals[n]


@pytest.mark.parametrize("name", sqlcases.MODES)
def test_random_values_come_back(name: str) -> None:
    mode = sqlcases.MODES[name]
    rng = random.Random(name)
    values_left = -(-WANTED // len(sqlcases.MODES))
    with table(mode) as execute:
        while values_left > 0:
            sent = list(sqlcases.rows(rng, ROWS_AT_ONCE, mode))
            round_trip(execute, mode, sent)
            values_left -= sum(map(len, sent))


@pytest.mark.parametrize("name", sqlcases.MODES)
def test_hypothesis_values_come_back(name: str) -> None:
    mode = sqlcases.MODES[name]
    with table(mode) as execute:

        @settings(
            max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(st.lists(sqlcases.values(mode), min_size=1, max_size=20))
        def check(sent: list[tuple[Any, ...]]) -> None:
            round_trip(execute, mode, sent)

        check()
