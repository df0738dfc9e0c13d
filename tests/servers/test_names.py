"""Odd names and other databases, on servers: what is quoted is what the server reads.

Tables with names that are no ASCII words are made by hand, then written and read through the
builder on MariaDB, PostgreSQL and SQLite.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from support import sqlservers

from godropbox.database import sqlbuilder as sb

ODD = [
    "naïve",
    "漢字",
    "1st",
    "it's",
    'say "hi"',
    "back`tick",
    "100%",
    "%s",
    "a.b",
    "?",
    ":1",
    "$1",
]
ODD += ["a\\b", "a; DROP TABLE a; --", "/* a", "x" * 63, "漢" * 21, " a"]
STYLES: dict[str, Any] = {"mariadb": "format", "sqlite": "qmark", "postgresql": "pyformat"}


class Server:
    """A connection, its dialect, and two databases: its own and another."""

    def __init__(self, dialect: sb.Dialect, connection: Any, own: str, other: str) -> None:
        self.dialect, self.connection, self.own, self.other = dialect, connection, own, other

    def raw(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
        found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def rows(self, statement: Any, database: "str | None" = None) -> list[tuple[Any, ...]]:
        return self.raw(statement.sql(database, dialect=self.dialect))

    def bound(self, statement: Any, database: "str | None" = None) -> list[tuple[Any, ...]]:
        style = STYLES[self.dialect.name]
        return self.raw(*statement.bind(database, style, dialect=self.dialect))

    def quoted(self, *names: str) -> str:
        q = self.dialect.quote
        return ".".join(q + name.replace(q, q + q) + q for name in names)


def _mariadb() -> Iterator[Server]:
    own, other = "names own", "nämes`2"
    with sqlservers.mariadb_connection() as root:
        root.cursor().execute(f"CREATE DATABASE `{own}`")
        root.cursor().execute("CREATE DATABASE `nämes``2`")
    with sqlservers.mariadb_connection(database=own) as connection:
        yield Server(sb.mariadb, connection, own, other)
        connection.cursor().execute(f"DROP DATABASE `{own}`")
        connection.cursor().execute("DROP DATABASE `nämes``2`")


def _postgresql() -> Iterator[Server]:
    own, other = "names own", 'nämes"2'
    with sqlservers.postgresql_connection() as connection:
        connection.execute(f'CREATE SCHEMA "{own}"')
        connection.execute('CREATE SCHEMA "nämes""2"')
        connection.execute(f'SET search_path TO "{own}"')
        yield Server(sb.postgresql, connection, own, other)
        connection.execute(f'DROP SCHEMA "{own}" CASCADE')
        connection.execute('DROP SCHEMA "nämes""2" CASCADE')


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("ATTACH ':memory:' AS \"nämes 2\"")
    yield Server(sb.sqlite, connection, "main", "nämes 2")
    connection.close()


@pytest.fixture(scope="module", params=[_mariadb, _postgresql, _sqlite])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from request.param()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_names_its_table_column_and_alias(server: Server, name: str) -> None:
    for database in (server.own, server.other):
        place = server.quoted(database, name)
        server.raw(f"CREATE TABLE {place} ({server.quoted(name)} INT PRIMARY KEY, other INT)")
    table: Any = sb.Table(name, sb.IntColumn(name), sb.IntColumn("other"))
    column = table.c[name]
    twin = table.in_database(server.other).alias(name + "2" if len(name) < 20 else "2")
    ways: list[tuple[Any, Any]] = [
        (None, server.rows),
        (server.own, server.rows),
        (None, server.bound),
    ]
    for database, ask in ways:
        ask(table.insert(column, table.c.other).rows([(1, 10), (2, 20)]), database)
        ask(table.in_database(server.other).insert(column, table.c.other).row(2, 30), database)
        ask(table.update().set(table.c.other, table.c.other + 1).where(column == 1), database)
        inner = sb.subquery(name, table.select(column))
        for statement, wanted in [
            (table.select(column, table.c.other).order_by(column), [(1, 11), (2, 20)]),
            (table.select(sb.alias(name, table.c.other)).order_by(sb.desc(column)), [(20,), (11,)]),
            (inner.select(inner.c[name]).where(inner.c[name] > 1), [(2,)]),
            (
                table.join(twin, column == twin.c[name]).select(column, twin.c.other),
                [(2, 30)],
            ),
        ]:
            assert ask(statement, database) == wanted, statement
        ask(table.in_database(server.other).delete().all_rows(), database)
        ask(table.delete().where(column.in_([1, 2])), database)
        assert ask(table.select(sb.count()), database) == [(0,)]
    for database in (server.own, server.other):
        server.raw(f"DROP TABLE {server.quoted(database, name)}")


def test_what_is_refused_would_be_refused_or_cut(server: Server) -> None:
    """The limits are the servers': each would refuse the name, or take another one for it."""
    for name in ("x" * 64, "a😀", "a "):
        statement = sb.Table(name, sb.IntColumn("x")).select(sb.star())
        make = f"CREATE TABLE {server.quoted(name)} (x INT)"
        try:
            text = statement.sql(dialect=server.dialect)
        except ValueError:
            if server.dialect is sb.postgresql:
                server.raw(make)
                found = server.raw("SELECT relname FROM pg_class WHERE relname LIKE 'xxx%'")
                assert found == [("x" * 63,)]
                server.raw(f"DROP TABLE {server.quoted('x' * 63)}")
            else:
                with pytest.raises(Exception, match=r"Incorrect table name|Invalid utf8mb[34]"):
                    server.raw(make)
            continue
        server.raw(make)
        assert server.raw(text) == []
        server.raw(f"DROP TABLE {server.quoted(name)}")
