"""Random statements mean the same however they are rendered, and mean what they should.

Each statement runs as text, with parameters, and prepared in both ways, and as a reference text
that is written without the builder, every operator in parentheses. All give the same rows, or
leave the same rows behind. sqlglot, a parser of many dialects, understands every text.

``GODROPBOX_STATEMENTS`` is how many there are: nearly all on SQLite, a tenth on each other server.
"""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest
import sqlglot
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import sqlpieces, sqlservers
from support.sqlpieces import Leaves
from support.sqlrandom import Maker, Sample

WANTED = int(os.environ.get("GODROPBOX_STATEMENTS", "200"))

CHOICES = 300  # bytes that a statement is made from, which bound its size

TYPES = {
    "sqlite": {"int": "INTEGER", "text": "TEXT", "float": "REAL", "moment": "TEXT", "data": "BLOB"},
    "mysql": {
        "int": "BIGINT",
        "text": "VARCHAR(90) CHARACTER SET utf8mb4",
        "float": "DOUBLE",
        "moment": "DATETIME(6)",
        "data": "VARBINARY(90)",
    },
    "postgresql": {
        "int": "BIGINT",
        "text": "TEXT",
        "float": "DOUBLE PRECISION",
        "moment": "TIMESTAMP",
        "data": "BYTEA",
    },
}
TYPES["mariadb"] = TYPES["mysql"]
STYLES = {
    "sqlite": ("qmark", "named"),
    "mysql": ("format", "pyformat"),
    "mariadb": ("format", "pyformat"),
    "postgresql": ("format", "pyformat"),
}
REFUSALS = (sqlite3.Error, pymysql.Error, psycopg.Error)

# Without shrinking a failure comes at once, and is a long statement.
PHASES = [Phase.generate] if os.environ.get("GODROPBOX_SHRINK") == "0" else list(Phase)

Rows = list[tuple[Any, ...]]


class Server:
    """A connection, in a transaction that is rolled back after each write."""

    def __init__(self, dialect: str, connection: Any, database: str) -> None:
        self.dialect, self.connection, self.database = dialect, connection, database
        for name, rows in sqlpieces.DATA.items():
            kinds = TYPES[dialect]
            columns = ", ".join(f"{each} {kinds[kind]}" for each, kind in sqlpieces.KINDS.items())
            self.run(f"CREATE TABLE {name} ({columns}, PRIMARY KEY (id))")
            values = ", ".join(
                f"({', '.join(sqlpieces.quoted(value, dialect) for value in row)})" for row in rows
            )
            self.run(f"INSERT INTO {name} VALUES {values}")

    def run(self, text: str, parameters: Any = None) -> Rows:
        cursor = self.connection.cursor()
        try:
            cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def outcome(self, sample: Sample, text: str, parameters: Any = None) -> Rows:
        """Return the rows of a statement, or those that it leaves in its table."""
        self.run("BEGIN")
        try:
            rows = self.run(text, parameters)
            if sample.target:
                returned = sorted(rows, key=repr) if sample.returning else []
                rows = returned + self.run(f"SELECT * FROM {sample.target} ORDER BY id")
        finally:
            self.run("ROLLBACK")
        rows = [tuple(map(plain, row)) for row in rows]
        return rows if sample.ordered or sample.target else sorted(rows, key=repr)


def plain(value: Any) -> Any:
    """Return a value of the same form whatever type a driver has for it."""
    if isinstance(value, (bool, int, float)) or type(value).__name__ == "Decimal":
        return round(float(value), 6) + 0.0
    if isinstance(value, str):
        return value.removesuffix(".000000")  # of a moment, which PyMySQL leaves out
    return bytes(value) if isinstance(value, memoryview) else value


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function(
        "regexp", 2, lambda pattern, text: None if text is None else pattern in text
    )
    yield Server("sqlite", connection, "main")
    connection.close()


def _mysql(dialect: str, connect: Any) -> Iterator[Server]:
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE differential")
        cursor.execute("USE differential")
        yield Server(dialect, connection, "differential")
        cursor.execute("DROP DATABASE differential")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA differential")
        connection.execute("SET search_path TO differential")
        yield Server("postgresql", connection, "differential")
        connection.execute("DROP SCHEMA differential CASCADE")


MAKERS: dict[str, Callable[[], Iterator[Server]]] = {
    "sqlite": _sqlite,
    "mariadb": lambda: _mysql("mariadb", sqlservers.mariadb_connection),
    "postgresql": _postgresql,
}
if sqlservers.has_mysql():
    MAKERS["mysql"] = lambda: _mysql("mysql", sqlservers.mysql_connection)


@pytest.fixture(scope="module", params=MAKERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from MAKERS[request.param]()


def renderings(sample: Sample, server: Server, style: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the name of each way to render a statement, its text and its parameters."""
    how: Any = {"dialect": server.dialect}
    statement = sample.build(Leaves(slots=False))
    yield "sql", statement.sql(server.database, **how), None
    yield "bind", *statement.bind(server.database, style, **how)
    slots = Leaves(slots=True)
    open_statement = sample.build(slots)
    prepared = open_statement.prepare(server.database, **how)
    yield "prepared sql", prepared.sql(**slots.values), None
    if style in ("format", "qmark"):
        prepared = open_statement.prepare(server.database, paramstyle=style, **how)
        yield "prepared bind", *prepared.bind(**slots.values)


def is_understood(text: str, dialect: str) -> bool:
    """Return whether sqlglot parses a statement, and not as a command that it does not know.

    Its grammar lacks MySQL's columns with their tables in the list after INSERT and in VALUES().
    """
    language = {"postgresql": "postgres", "mariadb": "mysql"}.get(dialect, dialect)
    if language == "mysql" and text.startswith(("INSERT", "REPLACE")):
        start, end, rest = text.partition(") ")
        text = re.sub(r"([(,])`\w+`\.", r"\1", start) + end
        text += re.sub(r"VALUES\(`\w+`\.", "VALUES(", rest)
    parsed = sqlglot.parse_one(text, dialect=language)
    return not isinstance(parsed, sqlglot.exp.Command)


def samples(dialect: str) -> "st.SearchStrategy[tuple[Sample, str]]":
    """Return Hypothesis's statements, each with the paramstyle of its parameters."""

    def sample(choices: bytes) -> tuple[Sample, str]:
        maker = Maker(choices, dialect)
        style = maker.pick(STYLES[dialect])
        return maker.write() if maker.chance(5) else maker.query(2, shared=True), style

    return st.binary(min_size=CHOICES, max_size=CHOICES).map(sample)


def test_random_statements(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    count = WANTED if server.dialect == "sqlite" else -(-WANTED // 10)
    ran = refused = 0

    @settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=PHASES,
    )
    @given(samples(server.dialect))
    def check(drawn: tuple[Sample, str]) -> None:
        nonlocal ran, refused
        sample, style = drawn
        try:
            wanted: Rows | None = server.outcome(sample, sample.text)
        except REFUSALS:
            wanted, refused = None, refused + 1
        ran += 1
        understood: set[str] = set()
        for way, text, parameters in renderings(sample, server, style):
            context = f"{way}:\n{text}\n{parameters}\nreference:\n{sample.text}"
            if parameters is None and text not in understood:
                assert is_understood(text, server.dialect), context
                understood.add(text)
            if wanted is None:
                continue
            try:
                found = server.outcome(sample, text, parameters)
            except psycopg.errors.NumericValueOutOfRange as error:
                # Psycopg sends small ints as int2, whose arithmetic overflows in parameters alone.
                if parameters is None or "smallint" not in str(error):
                    raise
                continue
            assert found == wanted, context

    with caplog.at_level(logging.WARNING, logger="sqlglot"):
        check()
    assert not caplog.records
    assert ran >= count
    assert refused < max(ran / 5, 10)
