"""Columns of checked values on each server: what goes in comes back, and comparisons find it.

Also the tables that ``Table.from_information_schema`` reads there, and what it refuses.
"""

import enum
import sqlite3
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg.rows
import pymysql.cursors
import pytest
from support import sqlservers

from godropbox.database import sqlbuilder as sb


class Mood(enum.Enum):
    """Values of an enum, one with a quote and a backslash."""

    GLAD = "glad"
    ODD = "it's \\ odd"


class Things(sb.Columns):
    """One column of each class."""

    id = sb.IntColumn()
    day = sb.DateColumn(nullable=True)
    hour = sb.TimeColumn(nullable=True)
    span = sb.IntervalColumn(nullable=True)
    price = sb.DecimalColumn(precision=8, scale=2, nullable=True)
    data = sb.JsonColumn(nullable=True)
    token = sb.UuidColumn(nullable=True)
    raw_token = sb.UuidColumn(binary=True, nullable=True)
    mood = sb.EnumColumn("mood", Mood, nullable=True)


things = sb.Table("things", Things)
c = things.c
VALUES = {
    "day": date(2014, 7, 1),
    "hour": time(12, 34, 56),
    "span": timedelta(hours=30, seconds=1),
    "price": Decimal("-123456.70"),
    "data": {"a": [1, 2.5, None, True, "it's \\ 漢字"], 'b"': {}},
    "token": UUID("12345678-1234-5678-1234-567812345678"),
    "raw_token": UUID("87654321-1234-5678-1234-567812345678"),
    "mood": Mood.ODD,
}
ROWS: list[dict[str, object]] = [{"id": 1, **VALUES}, {"id": 2, **dict.fromkeys(VALUES)}]
TABLES = {
    "mariadb": "day DATE, hour TIME, span TIME, price DECIMAL(8,2), data JSON, token UUID, "
    "raw_token BINARY(16), mood ENUM('glad', 'it''s \\\\ odd')",
    "postgresql": "day DATE, hour TIME, span INTERVAL, price NUMERIC(8,2), data JSONB, token UUID, "
    "raw_token BYTEA, mood mood",
    "sqlite": "day DATE, hour TIME, span TEXT, price DECIMAL(8,2), data JSON, token UUID, "
    "raw_token BLOB, mood TEXT",
}
STYLES: dict[str, Any] = {"mariadb": "format", "sqlite": "qmark", "postgresql": "format"}
SCHEMAS = {"mariadb": "column_types", "sqlite": "main", "postgresql": "column_types"}


def _mariadb() -> Iterator[Any]:
    with sqlservers.mariadb_connection() as root:
        root.cursor().execute("CREATE DATABASE column_types CHARACTER SET utf8mb4")
    with sqlservers.mariadb_connection(database="column_types") as connection:
        yield connection
        connection.cursor().execute("DROP DATABASE column_types")


def _postgresql() -> Iterator[Any]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA column_types")
        connection.execute("SET search_path TO column_types")
        connection.execute("CREATE TYPE mood AS ENUM ('glad', 'it''s \\ odd')")
        yield connection
        connection.execute("DROP SCHEMA column_types CASCADE")


def _sqlite() -> Iterator[Any]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


class Server:
    """A connection and the dialect that it speaks."""

    def __init__(self, dialect: Any, connection: Any) -> None:
        self.dialect, self.connection = dialect, connection
        self.raw(f"CREATE TABLE things (id INT PRIMARY KEY, {TABLES[dialect]})")

    def cursor(self) -> Any:
        return self.connection.cursor()

    def raw(self, *call: Any) -> list[tuple[Any, ...]]:
        cursor = self.cursor()
        cursor.execute(*call)
        found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def run(self, statement: sb.Statement, way: str) -> list[tuple[Any, ...]]:
        schema = SCHEMAS[self.dialect]
        if way == "sql":
            return self.raw(statement.sql(schema, dialect=self.dialect))
        return self.raw(*statement.bind(schema, STYLES[self.dialect], dialect=self.dialect))


@pytest.fixture(scope="module", params=["mariadb", "postgresql", "sqlite"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    makers = {"mariadb": _mariadb, "postgresql": _postgresql, "sqlite": _sqlite}
    for connection in makers[request.param]():
        yield Server(request.param, connection)


def _expected(dialect: str, name: str) -> object:
    """Return a value as the server's driver gives it back."""
    value: Any = VALUES[name]
    if name == "mood":
        return value.value
    if name == "raw_token":
        return value.bytes
    if dialect == "postgresql":
        return value
    if dialect == "mariadb":
        if name == "hour":
            return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
        texts = {"data": '{"a":[1,2.5,null,true,"it\'s \\\\ 漢字"],"b\\"":{}}', "token": str(value)}
        return texts.get(name, value)
    texts = {
        "hour": "12:34:56.000000",
        "span": "30:00:01.000000",
        "data": '{"a":[1,2.5,null,true,"it\'s \\\\ 漢字"],"b\\"":{}}',
    }
    return float(value) if name == "price" else texts.get(name, str(value))


@pytest.mark.parametrize("way", ["sql", "bind"])
def test_what_goes_in_comes_back(server: Server, way: str) -> None:
    server.run(things.delete().all_rows(), way)
    server.run(things.insert().values(ROWS), way)
    found = server.run(things.select(*things.columns).order_by(c.id), way)
    assert found[0] == (1, *[_expected(server.dialect, name) for name in VALUES])
    assert found[1] == (2, *[None] * len(VALUES))
    server.run(things.update().values(VALUES).where(c.id == 2), way)
    assert server.run(things.select(*things.columns).where(c.id == 2), way)[0][1:] == found[0][1:]


@pytest.mark.parametrize("way", ["sql", "bind"])
@pytest.mark.parametrize("name", [name for name in VALUES if name != "data"])
def test_comparisons_find_it(server: Server, name: str, way: str) -> None:
    server.run(things.delete().all_rows(), way)
    server.run(things.insert().values(ROWS), way)
    column: Any = c[name]
    value: Any = VALUES[name]
    ids = things.select(c.id)
    for condition in (
        column == value,
        column >= value,
        column <= value,
        column.in_([value]),
        column.between(value, value),
        column.in_(iter([value])),
        sb.eq(column, value),
        sb.le(value, column),
        sb.ge(column, value),
        sb.in_(column, [value]),
        sb.between(column, value, value),
        value == column,
    ):
        assert server.run(ids.where(condition), way) == [(1,)], condition
    for condition in (
        column != value,
        column < value,
        column > value,
        column.not_in([value]),
        column.not_between(value, value),
        sb.ne(column, value),
        sb.lt(value, column),
        sb.gt(column, value),
        sb.not_in(column, [value]),
    ):
        assert server.run(ids.where(condition), way) == [], condition
    assert server.run(ids.where(column == None), way) == [(2,)]  # noqa: E711


@pytest.mark.parametrize("way", ["sql", "bind"])
def test_documents_are_compared_where_the_server_can(server: Server, way: str) -> None:
    server.run(things.delete().all_rows(), way)
    server.run(things.insert().values(ROWS), way)
    document: Any = VALUES["data"]
    ids = things.select(c.id)
    for wanted in (dict(reversed(document.items())), {**document, "a": [1]}, [1], "text", 5):
        found = ids.where(c.data == wanted)
        if server.dialect != "sqlite":
            assert server.run(found, way) == ([(1,)] if wanted == document else [])
            other = ids.where(c.data != wanted)
            assert server.run(other, way) == ([] if wanted == document else [(1,)])
        else:
            with pytest.raises(sb.UnsupportedFeature, match="SQLite has no comparison of JSON"):
                server.run(found, way)
    listed = ids.where(c.data.in_([5, document]))
    if server.dialect in ("mysql", "postgresql"):
        assert server.run(listed, way) == [(1,)]
    else:
        with pytest.raises(sb.UnsupportedFeature, match="no comparison of JSON"):
            server.run(listed, way)
    assert server.run(ids.where(c.data.is_null()), way) == [(2,)]
    text = ids.where(c.data == {"a": 1}).sql()
    assert text.endswith("""`things`.`data`=CAST('{\\"a\\":1}' AS JSON)""")


READ = {
    "mariadb": (
        "id BIGINT UNSIGNED PRIMARY KEY, b BOOLEAN NOT NULL, t TINYINT, y YEAR, f FLOAT, d DOUBLE, "
        "n DECIMAL(8,2), s VARCHAR(5) CHARACTER SET latin1, x LONGTEXT, l BLOB, v VARBINARY(3), "
        "day DATE, at DATETIME(6), seen TIMESTAMP NULL, span TIME, j JSON, u UUID, bits BIT(3), "
        "e ENUM('a', 'it''s', 'c\\\\d', 'x\ny'), st SET('a')",
        {
            "id": sb.IntColumn,
            "b": sb.BoolColumn,
            "t": sb.IntColumn,
            "y": sb.IntColumn,
            "f": sb.DoubleColumn,
            "d": sb.DoubleColumn,
            "n": sb.DecimalColumn,
            "s": sb.StrColumn,
            "x": sb.StrColumn,
            "l": sb.BytesColumn,
            "v": sb.BytesColumn,
            "day": sb.DateColumn,
            "at": sb.DateTimeColumn,
            "seen": sb.DateTimeColumn,
            "span": sb.IntervalColumn,
            "j": sb.JsonColumn,
            "u": sb.UuidColumn,
            "bits": sb.IntColumn,
            "e": sb.EnumColumn,
            "st": sb.StrColumn,
        },
        ["a", "it's", "c\\d", "x\ny"],
    ),
    "postgresql": (
        "id SERIAL PRIMARY KEY, b BOOLEAN NOT NULL, big BIGINT, f REAL, d DOUBLE PRECISION, "
        "n NUMERIC(8,2), free NUMERIC, s VARCHAR(5), x TEXT, l BYTEA, day DATE, at TIMESTAMP, "
        "seen TIMESTAMPTZ, hour TIME, span INTERVAL, j JSON, jb JSONB, u UUID, e mood, "
        "ids INT[], names TEXT[][], moods mood[], p positive, fixed CHAR(3)",
        {
            "id": sb.IntColumn,
            "b": sb.BoolColumn,
            "big": sb.IntColumn,
            "f": sb.DoubleColumn,
            "d": sb.DoubleColumn,
            "n": sb.DecimalColumn,
            "free": sb.DecimalColumn,
            "s": sb.StrColumn,
            "x": sb.StrColumn,
            "l": sb.BytesColumn,
            "day": sb.DateColumn,
            "at": sb.DateTimeColumn,
            "seen": sb.DateTimeColumn,
            "hour": sb.TimeColumn,
            "span": sb.IntervalColumn,
            "j": sb.JsonColumn,
            "jb": sb.JsonColumn,
            "u": sb.UuidColumn,
            "e": sb.EnumColumn,
            "ids": sb.ArrayColumn,
            "names": sb.ArrayColumn,
            "moods": sb.ArrayColumn,
            "p": sb.IntColumn,
            "fixed": sb.StrColumn,
        },
        ["glad", "it's \\ odd"],
    ),
    "sqlite": (
        "id INTEGER PRIMARY KEY, b BOOLEAN NOT NULL, big BIGINT, f FLOAT, d DOUBLE PRECISION, "
        "n DECIMAL(8, 2), free NUMERIC, s VARCHAR(5), x TEXT, l BLOB, day DATE, at DATETIME, "
        "seen TIMESTAMP, hour TIME, j JSON, u UUID, more INT GENERATED ALWAYS AS (id + 1)",
        {
            "id": sb.IntColumn,
            "b": sb.BoolColumn,
            "big": sb.IntColumn,
            "f": sb.DoubleColumn,
            "d": sb.DoubleColumn,
            "n": sb.DecimalColumn,
            "free": sb.DecimalColumn,
            "s": sb.StrColumn,
            "x": sb.StrColumn,
            "l": sb.BytesColumn,
            "day": sb.DateColumn,
            "at": sb.DateTimeColumn,
            "seen": sb.DateTimeColumn,
            "hour": sb.TimeColumn,
            "j": sb.JsonColumn,
            "u": sb.UuidColumn,
            "more": sb.IntColumn,
        },
        [],
    ),
}


@pytest.fixture(scope="module")
def described(server: Server) -> Server:
    if server.dialect == "postgresql":
        server.raw("CREATE DOMAIN positive AS INT CHECK (value > 0)")
    server.raw(f"CREATE TABLE described ({READ[server.dialect][0]})")
    odd = {"mariadb": "place POINT", "postgresql": "place POINT", "sqlite": "place"}
    server.raw(f"CREATE TABLE odd (id INT NOT NULL, {odd[server.dialect]}, ip INT)")
    return server


def _cursors(server: Server) -> list[Any]:
    """Return cursors whose rows are tuples, dicts and other kinds of rows."""
    cursors = [server.cursor()]
    if server.dialect == "mariadb":
        cursors.append(server.connection.cursor(pymysql.cursors.DictCursor))
    elif server.dialect == "postgresql":
        cursors.append(server.connection.cursor(row_factory=psycopg.rows.dict_row))
        cursors.append(server.connection.cursor(row_factory=psycopg.rows.namedtuple_row))
    else:
        cursors.append(server.cursor())
        cursors[-1].row_factory = sqlite3.Row
    return cursors


def test_a_table_is_read_with_its_columns(described: Server) -> None:
    _, classes, labels = READ[described.dialect]
    for cursor in _cursors(described):
        table = sb.Table.from_information_schema(cursor, "described")
        assert {column.name: type(column) for column in table.columns} == classes
        assert [column.name for column in table.columns] == list(classes)
        assert not table.c.id.nullable
        assert not table.c.b.nullable
        assert table.c.n.nullable
        with pytest.raises(ValueError, match="at most 6 digits before the point and 2 after it"):
            table.insert().values(n=Decimal("1.234"))
        for label in labels:
            assert table.select(table.c.e).where(table.c.e == label).sql("db")
        if labels:
            with pytest.raises(ValueError, match="column e must be one of"):
                table.insert().values(e="other")
    if described.dialect == "mariadb":
        assert table.c.s.charset == "latin1"


def test_what_is_read_can_be_declared(described: Server) -> None:
    for name in ("described", "things"):
        table = sb.Table.from_information_schema(described.cursor(), name)
        source = table.declaration()
        space: dict[str, Any] = {"sb": sb}
        exec(source, space)
        again = space[name]
        assert source.startswith(f"class {name.title()}(sb.Columns):\n    id = sb.IntColumn(")
        for column, other in zip(table.columns, again.columns, strict=True):
            assert type(column) is type(other)
            assert (column.name, column.nullable) == (other.name, other.nullable)
        assert again.declaration() == source


def test_what_is_read_can_be_written_and_compared(described: Server) -> None:
    table = sb.Table.from_information_schema(
        described.cursor(), "things", schema=SCHEMAS[described.dialect]
    )
    described.run(things.delete().all_rows(), "sql")
    values: dict[str, Any] = dict(VALUES)
    if type(table.c.raw_token) is sb.BytesColumn:
        values["raw_token"] = VALUES["raw_token"].bytes  # type: ignore[attr-defined]
    if described.dialect == "mariadb":
        values["hour"] = timedelta(hours=12)  # TIME is a duration there
    if described.dialect == "sqlite":
        values["span"], values["mood"] = "1", "glad"
    described.run(table.insert().values(id=1, **values), "bind")
    found = table.select(table.c.id).where(
        (table.c.day == VALUES["day"]) & (table.c.token == VALUES["token"])
    )
    assert described.run(found, "bind") == [(1,)]


def test_some_columns_or_other_types_are_read(described: Server) -> None:
    read = sb.Table.from_information_schema
    table = read(described.cursor(), "described", columns=["u", "id"])
    assert [column.name for column in table.columns] == ["u", "id"]
    kind = "" if described.dialect == "sqlite" else "point"
    with pytest.raises(ValueError, match=f"column place of table odd has {'no ' * (not kind)}type"):
        read(described.cursor(), "odd")
    assert len(read(described.cursor(), "odd", columns=["id", "ip"]).columns) == 2
    table = read(described.cursor(), "odd", types={kind.upper(): sb.BytesColumn})
    assert type(table.c.place) is sb.BytesColumn
    with pytest.raises(ValueError, match="did you mean 'place'"):
        read(described.cursor(), "odd", columns=["plaec"])
    wrong: Any = {kind: lambda name, nullable: name}
    with pytest.raises(TypeError, match="must return a column"):
        read(described.cursor(), "odd", types=wrong)
    with pytest.raises(TypeError, match="columns must be an iterable"):
        read(described.cursor(), "odd", columns="id")


class Wrapped:
    """A cursor of a driver that nobody knows."""

    def __init__(self, cursor: Any) -> None:
        self.texts: list[str] = []
        self._cursor = cursor

    def execute(self, operation: Any, /) -> Any:
        self.texts.append(operation)
        return self._cursor.execute(operation)

    def fetchall(self) -> Any:
        return self._cursor.fetchall()


def test_a_cursor_of_an_unknown_driver_needs_a_dialect(described: Server) -> None:
    cursor = Wrapped(described.cursor())
    read = sb.Table.from_information_schema
    with pytest.raises(ValueError, match="dialect must be given for a cursor of"):
        read(cursor, "things")
    assert read(cursor, "things", dialect=described.dialect).c.day.name == "day"
    assert read(cursor, "things", dialect=getattr(sb, described.dialect)).c.day.name == "day"
    with pytest.raises(ValueError, match="dialect must be a Dialect or one of"):
        read(cursor, "things", dialect="oracle")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a'b", "x\\", "50%", 'a"b', "", "a`b", "a\nb"])
def test_a_name_that_is_no_name_never_reaches_the_server(name: str) -> None:
    cursor = Wrapped(None)
    with pytest.raises(ValueError, match="must"):
        sb.Table.from_information_schema(cursor, name, dialect="sqlite")
    with pytest.raises(ValueError, match="must"):
        sb.Table.from_information_schema(cursor, "t", schema=name, dialect="sqlite")
    assert cursor.texts == []


def test_any_name_that_can_be_quoted_is_read(described: Server) -> None:
    quote = getattr(sb, described.dialect).quote
    names = [f"{quote}{name}{quote}" for name in ("x; DROP TABLE things", "größe -- 漢")]
    described.raw(f"CREATE TABLE {names[0]} ({names[1]} INT)")
    table = sb.Table.from_information_schema(described.cursor(), "x; DROP TABLE things")
    assert [column.name for column in table.columns] == ["größe -- 漢"]
    described.run(table.insert().values({"größe -- 漢": 5}), "sql")
    assert described.run(table.select(*table.columns), "bind") == [(5,)]


def test_a_missing_table_is_named(described: Server) -> None:
    read = sb.Table.from_information_schema
    with pytest.raises(ValueError, match="there is no table missing, or its"):
        read(described.cursor(), "missing")
    schema = SCHEMAS[described.dialect]
    with pytest.raises(ValueError, match=f"there is no table missing in schema {schema}"):
        read(described.cursor(), "missing", schema=schema)


def test_arrays(described: Server) -> None:
    if described.dialect != "postgresql":
        return

    class Lists(sb.Columns):
        id = sb.IntColumn()
        numbers = sb.ArrayColumn("numbers", sb.IntColumn(), nullable=True)
        texts = sb.ArrayColumn("texts", sb.StrColumn(), nullable=True)
        days = sb.ArrayColumn("days", sb.DateColumn(), nullable=True)
        tokens = sb.ArrayColumn("tokens", sb.UuidColumn(), nullable=True)
        prices = sb.ArrayColumn("prices", sb.DecimalColumn(), nullable=True)
        flags = sb.ArrayColumn("flags", sb.BoolColumn(), nullable=True)
        blobs = sb.ArrayColumn("blobs", sb.BytesColumn(), nullable=True)
        spans = sb.ArrayColumn("spans", sb.IntervalColumn(), nullable=True)
        scores = sb.ArrayColumn("scores", sb.DoubleColumn(), nullable=True)

    described.raw(
        "CREATE TABLE lists (id INT, numbers INT[], texts TEXT[], days DATE[], tokens UUID[], "
        "prices NUMERIC[], flags BOOLEAN[], blobs BYTEA[], spans INTERVAL[], scores FLOAT8[])"
    )
    lists = sb.Table("lists", Lists)
    values: dict[str, Any] = {
        "numbers": [[1, 2], [3, None]],
        "texts": ['it\'s "so" {a,b} \\ 漢字', "", "NULL", None, "null"],
        "days": [date(2014, 7, 1)],
        "tokens": [UUID(int=5)],
        "prices": [Decimal("1.50"), Decimal("1E+3")],
        "flags": [True, False, None],
        "blobs": [b"\x00\xff\\\"'", b""],
        "spans": [timedelta(days=-2, seconds=5, microseconds=7)],
        "scores": [1.5, -1e300],
    }
    empty: dict[str, Any] = {name: [] for name in values}
    for way in ("sql", "bind"):
        described.run(lists.delete().all_rows(), way)
        described.run(lists.insert().values([{"id": 1, **values}, {"id": 2, **empty}]), way)
        found = described.run(lists.select(*lists.columns).order_by(lists.c.id), way)
        assert found == [(1, *values.values()), (2, *empty.values())]
        for name, value in values.items():
            condition = lists.c[name] == value
            assert described.run(lists.select(lists.c.id).where(condition), way) == [(1,)]
