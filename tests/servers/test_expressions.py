"""Every kind of expression, executed on each server that has it, and its rows compared.

Text with literals and text with parameters must both give the rows expected; a dialect that lacks
an expression must refuse it.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from support import sqlservers

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # the cases mix types that only some dialects mix

things: Any = sb.Table(
    "things",
    sb.IntColumn("id"),
    sb.IntColumn("a"),
    sb.IntColumn("b", nullable=True),
    sb.StrColumn("s", nullable=True),
    sb.StrColumn("t", nullable=True),
    sb.BoolColumn("flag", nullable=True),
    sb.DateTimeColumn("moment", nullable=True),
    sb.StrColumn("doc"),
)
MOMENT = datetime(2014, 1, 31, 12, 34, 56, 789)
DOCUMENT = '{"a": [1, {"b": "it\'s"}], "n": null, "i": 7, "f": 1.5, "s": "null", "c%d": {"x": "y"}}'
ROWS = [
    (1, 6, 3, "Ada", "A_d%\\", True, MOMENT, DOCUMENT),
    (2, -5, None, "bob", "b", False, datetime(1969, 12, 28, 23, 59, 59), '{"a": [], "y": true}'),
    (3, 0, 0, None, None, None, None, '{"i": 8}'),
]
COLUMNS = {
    "mariadb": "id INT PRIMARY KEY, a BIGINT, b BIGINT, s VARCHAR(50), t VARCHAR(50), flag BOOLEAN,"
    " moment DATETIME(6), doc LONGTEXT",
    "sqlite": "id INT PRIMARY KEY, a BIGINT, b BIGINT, s TEXT, t TEXT, flag BOOLEAN, moment TEXT,"
    " doc TEXT",
    "postgresql": "id INT PRIMARY KEY, a BIGINT, b BIGINT, s TEXT, t TEXT, flag BOOLEAN,"
    " moment TIMESTAMP, doc JSONB",
}
COLUMNS["mysql"] = COLUMNS["mariadb"].replace("LONGTEXT", "JSON")
STYLES = {"mysql": "format", "mariadb": "format", "sqlite": "qmark", "postgresql": "format"}
ALL = ("mysql", "mariadb", "sqlite", "postgresql")


class Server:
    """A connection and the dialect that it speaks."""

    def __init__(self, dialect: str, connection: Any, database: str) -> None:
        self.dialect, self.connection, self.database = dialect, connection, database
        self.raw(f"CREATE TABLE things ({COLUMNS[dialect]})")
        columns = things.columns
        self.raw(things.insert(*columns).rows(ROWS).sql(database, dialect=dialect))

    def raw(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
        found = [tuple(map(plain, row)) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def rows(self, statement: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, the same with literals and with parameters."""
        found = self.raw(statement.sql(self.database, dialect=self.dialect))
        style = STYLES[self.dialect]
        text, parameters = statement.bind(self.database, style, dialect=self.dialect)
        assert self.raw(text, parameters) == found
        return found


def plain(value: Any) -> Any:
    """Return a value as every driver could give it: numbers and booleans as plain numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return int(value) if isinstance(value, bool) else value


def _mysql(dialect: str) -> Iterator[Server]:
    with sqlservers.connection_of(dialect) as root:
        root.cursor().execute("CREATE DATABASE IF NOT EXISTS expressions CHARACTER SET utf8mb4")
    with sqlservers.connection_of(dialect, "expressions") as connection:
        yield Server(dialect, connection, "expressions")
        connection.cursor().execute("DROP DATABASE expressions")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA expressions")
        connection.execute("SET search_path TO expressions")
        yield Server("postgresql", connection, "expressions")
        connection.execute("DROP SCHEMA expressions CASCADE")


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Server("sqlite", connection, "main")
    connection.close()


DIALECTS = [*sqlservers.mysql_like(), "sqlite", "postgresql"]


def start(dialect: str) -> Iterator[Server]:
    """Yield a server with the table filled."""
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    yield from makers[dialect]() if dialect in makers else _mysql(dialect)


@pytest.fixture(scope="module", params=DIALECTS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from start(request.param)


c = things.c
doc = c.doc
ids = things.select(c.id)
NO_MYSQL = ("sqlite", "postgresql")
POSTGRESQL = ("postgresql",)
# What each expression is in the three rows, and the dialects that have it, which are all unless
# they are listed.
EACH: list[Any] = [
    ("minus", -c.a, [-6, 5, 0]),
    ("minus of minus", -sb.neg(c.a), [6, -5, 0]),
    ("minus of a negative", -sb.literal(-5) + c.a, [11, 0, 5]),
    ("minus of a sum", 1 - -(c.a + 1), [8, -3, 2]),
    ("minus in a product", -c.a * 2 + 1, [-11, 11, 1]),
    ("neg()", sb.neg(c.a), [-6, 5, 0]),
    ("bitwise not", ~c.a & 255, [249, 4, 255]),
    ("bitwise not of a negative", ~sb.literal(-5) & 255, [4, 4, 4]),
    ("bitwise not in a comparison", ~c.id == ~(c.id + 0), [1, 1, 1]),
    ("bit_not()", sb.bit_not(c.a) & 7, [1, 4, 7]),
    ("shifts", c.id << 3 >> 1, [4, 8, 12]),
    ("shift and sum", (c.id << 1) + 1, [3, 5, 7]),
    ("shift of a sum", (c.id + 1) << 1, [4, 6, 8]),
    ("shift_left()", sb.shift_left(c.id, 2), [4, 8, 12]),
    ("shift_right()", sb.shift_right(c.id, 1), [0, 1, 1]),
    ("concat", c.s.concat("-%?", c.t), ["Ada-%?A_d%\\", "bob-%?b", None]),
    ("concat()", sb.concat("<", c.s, ">"), ["<Ada>", "<bob>", None]),
    ("concat of a number", sb.concat(c.s, c.a * 2), ["Ada12", "bob-10", None]),
    ("concat in a comparison", c.s.concat("!") == "Ada!", [1, 0, None]),
    ("ilike", c.s.ilike("AD_"), [1, 0, None], POSTGRESQL),
    ("not ilike", c.s.not_ilike("AD_"), [0, 1, None], POSTGRESQL),
    ("startswith", c.t.startswith("A_"), [1, 0, None]),
    ("startswith, no wildcard", c.s.startswith("A_"), [0, 0, None]),
    ("endswith", c.t.endswith("%\\"), [1, 0, None]),
    ("contains", c.t.contains("_d%"), [1, 0, None]),
    ("contains a backslash", c.t.contains("\\"), [1, 0, None]),
    ("contains a column", sb.concat("xA_d%\\y", c.t).contains(c.t), [1, 1, None]),
    ("startswith a column", sb.literal("A_d%\\ and").startswith(c.t), [1, 0, None]),
    ("endswith a column", sb.literal("Axd%\\").endswith(c.t), [0, 0, None]),
    ("is None", c.b.is_(None), [0, 1, 0]),
    ("is not None", c.b.is_not(None), [1, 0, 1]),
    ("is True", c.flag.is_(True), [1, 0, 0]),
    ("is False", c.flag.is_(False), [0, 1, 0]),
    ("is not True", c.flag.is_not(True), [0, 1, 1]),
    ("is not False", c.flag.is_not(False), [1, 0, 1]),
    ("a comparison is True", (c.b == 3).is_(True), [1, 0, 0]),
    ("a comparison is not True", ~(c.b == 3).is_(True), [0, 1, 1]),
    ("distinct from a value", c.b.is_distinct_from(3), [0, 1, 1]),
    ("distinct from None", c.b.is_distinct_from(None), [1, 0, 1]),
    ("not distinct from None", c.b.is_not_distinct_from(None), [0, 1, 0]),
    ("not distinct from a column", c.b.is_not_distinct_from(c.a), [0, 0, 1]),
    ("not distinct, negated", ~c.b.is_not_distinct_from(c.a), [1, 1, 0]),
    ("distinct in a comparison", c.b.is_distinct_from(c.a) == (c.id < 3), [1, 1, 1]),
    ("any of a query", c.a == sb.any_(things.select(c.b).where(c.b == 0)), [0, 0, 1], "any"),
    ("any on the left", sb.any_(things.select(c.id)) < c.a, [1, 0, 0], "any"),
    ("all of a query", c.a <= sb.all_(things.select(c.id)), [0, 1, 1], "any"),
    ("not all of a query", ~(c.a > sb.all_(things.select(c.id))), [0, 1, 1], "any"),
    ("any of a list", c.a == sb.any_([6, 0]), [1, 0, 1], POSTGRESQL),
    ("all of an array", c.a != sb.all_(sb.array([6, 1])), [0, 1, 1], POSTGRESQL),
    ("in with expressions", c.a.in_([c.b, 6, c.id - 7]), [1, 1, 1]),
    ("not in with expressions", c.a.not_in([c.id - 7, 8]), [1, 0, 1]),
    ("in rows", sb.tuple_(c.a, c.id).in_([(6, 1), (0, 4)]), [1, 0, 0]),
    ("in rows with expressions", sb.tuple_(c.a, c.id).in_([(6, c.id), (0, 4)]), [1, 0, 0]),
    ("between with minus", c.a.between(-c.id * 3, -sb.literal(-0)), [0, 1, 1]),
    ("cast to a type by name", c.a.cast("DECIMAL(10,2)") + 1, [7, -4, 1]),
    ("cast to CHAR", sb.concat(c.a.cast("CHAR(3)"), "!"), ["6!", "-5!", "0!"]),
    ("cast to text", c.a.cast("text").concat("!"), ["6!", "-5!", "0!"]),
    ("extract year", sb.extract("year", c.moment), [2014, 1969, None]),
    ("extract quarter", sb.extract("quarter", c.moment), [1, 4, None]),
    ("extract month", sb.extract("month", c.moment), [1, 12, None]),
    ("extract day", sb.extract("day", c.moment), [31, 28, None]),
    ("extract hour", sb.extract("hour", c.moment), [12, 23, None]),
    ("extract minute", sb.extract("minute", c.moment), [34, 59, None]),
    ("extract second", sb.extract("second", c.moment), [56, 59, None]),
    ("extract dow", sb.extract("dow", c.moment), [5, 0, None]),
    ("extract isodow", sb.extract("ISODOW", c.moment), [5, 7, None]),
    ("extract doy", sb.extract("doy", c.moment), [31, 362, None]),
    ("extract epoch", sb.extract("epoch", c.moment), [1391171696, -259201, None]),
    ("extract week", sb.extract("week", c.moment), [5, 52, None], "sql times"),
    ("extract microsecond", sb.extract("microsecond", c.moment), [789, 0, None], "sql times"),
    (
        "interval of months",
        sb.extract("day", c.moment + sb.interval(months=1)),
        [28, 28, None],
        "sql times",
    ),
    (
        "interval of years, subtracted",
        sb.extract("year", c.moment - sb.interval(years=1, months=-1)),
        [2013, 1969, None],
        "sql times",
    ),
    ("raw", sb.raw("? - ?", c.a, -5) * 2, [22, 0, 10]),
    ("raw condition", sb.raw("? > 0 OR ? > 0", c.a, c.b) & (c.id < 3), [1, None, 0]),
    ("raw with quotes", sb.raw("CASE WHEN ? = '?%' THEN 1 ELSE 2 END", "?%"), [1, 1, 1]),
    ("op", c.a.op("*")(2) + 1, [13, -9, 1]),
    ("func by attribute", sb.func.coalesce(c.s, "none"), ["Ada", "bob", "none"]),
    ("func nested", sb.func.lower(sb.func.replace(c.s, "A", "X")), ["xda", "bob", None]),
    ("current_timestamp", sb.func.current_timestamp().is_not(None), [1, 1, 1]),
    ("current_user", sb.func.current_user().is_(None), [0, 0, 0], "any"),
    ("case of not", ~(c.s == "Ada"), [0, 1, None]),
    ("json, integer", doc["i"].as_integer() + 1, [8, None, 9]),
    ("json, float", doc["f"].as_float() * 2, [3, None, None]),
    ("json, nested text", doc["a"][1]["b"].as_text(), ["it's", None, None]),
    ("json, the text null", doc["s"].as_text(), ["null", None, None]),
    ("json, null", doc["n"].as_text().is_(None), [1, 1, 1]),
    ("json, a key with a percent", doc["c%d"]["x"].as_text() == "y", [1, None, None]),
    ("json, part", doc["a"][1]["b"].is_not(None), [1, 0, 0]),
    ("json, text in concat", doc["s"].as_text().concat("!"), ["null!", None, None]),
    ("json, text of a number", doc["i"].as_text(), ["7", None, "8"]),
    ("json, text of true", doc["y"].as_text() == "true", [None, 1, None]),
    ("json part, equal", doc["i"] == 7, [1, None, 0], "documents"),
    ("json part, equal to text", doc["s"] == "null", [1, None, None], "documents"),
    ("json part, not equal", doc["i"] != 7, [0, None, 1], "documents"),
    ("json part, not null", doc["i"].is_not(None), [1, 0, 1]),
    ("json part, in", doc["i"].in_([7, "x"]), [1, None, 0], "json"),
    ("json part, less", doc["i"] < 8, [1, None, 0], "json"),
    ("json part, between", doc["i"].between(8, 9), [0, None, 1], "json"),
    ("json part, distinct", doc["i"].is_distinct_from(7), [0, 1, 1], "json"),
    ("json, contains", doc.contains({"i": 7}), [1, 0, 0], "documents"),
    ("json part, contains", doc["a"].contains([1]), [1, 0, None], "documents"),
    (
        "json part, contained",
        doc["a"].contained_by([1, 2, {"b": "it's"}]),
        [1, 1, None],
        "documents",
    ),
    ("array, element", sb.array([c.a, 5])[1], [6, -5, 0], POSTGRESQL),
    (
        "array, slice",
        sb.array([c.a, 5, 7])[2:][1] + sb.array([5, 6, 7])[1:2][2],
        [11, 11, 11],
        POSTGRESQL,
    ),
    ("array, inner", sb.array([[1, 2], [c.a, 4]])[2][1], [6, -5, 0], POSTGRESQL),
    ("array, contains", sb.array([c.a, 5], "bigint").contains([5, 6]), [1, 0, 0], POSTGRESQL),
    ("array, overlaps", sb.array([c.a, 5], "bigint").overlaps([6, 0]), [1, 0, 1], POSTGRESQL),
    ("array, contained", sb.array([c.id], "bigint").contained_by([1, 2]), [1, 1, 0], POSTGRESQL),
    ("array, empty", sb.array([], "text").overlaps(["x"]), [0, 0, 0], POSTGRESQL),
    ("array_length", sb.func.array_length(sb.array([1, 2]), 1), [2, 2, 2], POSTGRESQL),
    ("rows", sb.func.sum(c.a).over(order_by=c.id, rows=(None, 0)), [6, 1, 1]),
    ("rows, both ways", sb.func.sum(c.a).over(order_by=[c.id], rows=(-1, 1)), [1, 1, -5]),
    ("rows, ahead", sb.func.sum(c.a).over(order_by=c.id, rows=(1, None)), [-5, 0, None]),
    ("range", sb.func.sum(c.id).over(order_by=c.id, range_=(0, 1)), [3, 5, 3]),
    ("groups", sb.func.sum(c.id).over(order_by=c.id, groups=(-1, 0)), [1, 3, 5], NO_MYSQL),
    (
        "exclude",
        sb.func.sum(c.id).over(order_by=c.id, rows=(None, None), exclude="current row"),
        [5, 4, 3],
        NO_MYSQL,
    ),
    (
        "window as a value",
        sb.func.count(c.id).over(sb.window(partition_by=c.flag, order_by=c.id.desc())),
        [1, 1, 1],
    ),
    (
        "a filtered window function",
        sb.count().filter(c.a > 0).over(order_by=c.id),
        [1, 1, 1],
    ),
]
HAVE = {
    "any": ("mysql", "mariadb", "postgresql"),
    "sql times": ("mysql", "mariadb", "postgresql"),
    "documents": ("mysql", "mariadb", "postgresql"),
    "json": ("mysql", "postgresql"),
}
# What an aggregate is over all three rows.
OVERALL: list[Any] = [
    ("filter of count", sb.count().filter(c.a > 0), 1),
    ("filter of sum", sb.func.sum(c.a).filter(c.id < 3), 1),
    ("filter of a distinct count", sb.count(c.a, distinct=True).filter(c.id < 3), 2),
    ("string_agg", sb.string_agg(c.s, "%", order_by=[c.s.desc()]), "bob%Ada", "any"),
    ("string_agg, plain", sb.string_agg(c.s).filter(c.id == 1), "Ada"),
    ("string_agg, distinct", sb.func.length(sb.string_agg(c.s, distinct=True)), 7),
    (
        "order in an aggregate",
        sb.func.array_to_string(sb.func.array_agg(c.id, order_by=[c.a]), ","),
        "2,3,1",
        POSTGRESQL,
    ),
    ("within group", sb.func.percentile_disc(0.5).within_group(c.a), 0, POSTGRESQL),
]


def has(case: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the dialects that have the expression of a case."""
    have = case[3] if len(case) > 3 else ALL
    return HAVE[have] if isinstance(have, str) else have


@pytest.mark.parametrize("case", EACH, ids=[case[0] for case in EACH])
def test_an_expression_gives_its_rows(server: Server, case: tuple[Any, ...]) -> None:
    statement = things.select(case[1]).order_by(c.id)
    if server.dialect not in has(case):
        with pytest.raises(sb.UnsupportedFeature):
            statement.sql(server.database, dialect=server.dialect)
        return
    assert server.rows(statement) == [(value,) for value in case[2]]


@pytest.mark.parametrize("case", OVERALL, ids=[case[0] for case in OVERALL])
def test_an_aggregate_gives_its_value(server: Server, case: tuple[Any, ...]) -> None:
    statement = things.select(case[1])
    if server.dialect not in has(case):
        with pytest.raises(sb.UnsupportedFeature):
            statement.sql(server.database, dialect=server.dialect)
        return
    assert server.rows(statement) == [(case[2],)]


KEYS = [
    "",
    "a b",
    "a.b",
    "a[0]",
    "$",
    "*",
    "é🙂",
    "it's",
    'q"q',
    "\\",
    "\n",
    "\x01",
    "-1",
    "%",
    "?",
]
REFUSED_KEYS = {"sqlite": ('q"q', "\\", "\n", "\x01"), "mariadb": ("-1",)}


@pytest.mark.parametrize("key", KEYS)
def test_any_key_of_a_document_is_found_or_refused(server: Server, key: str) -> None:
    options: Any = {"dialect": server.dialect}
    row = things.insert(c.id, c.doc).row(7, json.dumps({key: 5, "x": 6}, ensure_ascii=False))
    server.raw(row.sql(server.database, **options))
    found = things.select(c.id).where((c.id == 7) & (doc[key].as_integer() == 5))
    try:
        if key in REFUSED_KEYS.get(server.dialect, ()):
            with pytest.raises(sb.UnsupportedFeature, match="has no JSON keys"):
                found.sql(server.database, **options)
        else:
            assert server.rows(found) == [(7,)]
    finally:
        server.raw(things.delete().where(c.id == 7).sql(server.database, **options))


def test_an_aggregate_that_filter_changes_is_refused() -> None:
    every = things.select(sb.func.every(c.a < 7).filter(c.id < 3))
    for dialect in ("mysql", "mariadb"):
        with pytest.raises(sb.UnsupportedFeature, match="has no FILTER"):
            every.sql("db", dialect=dialect)
