"""One value by every road: text, parameters and prepared statements store and find the same.

Every type of ``sqltypes``, bare, in an Enum and in a subclass, goes through ``sql``, ``bind``,
``prepare().sql`` and ``prepare().bind`` in every paramstyle to MariaDB, PostgreSQL and SQLite, is
read back and is found again by a comparison. A paramstyle that a driver lacks is converted by
``converted``, which takes every mark for a placeholder wherever it stands, as careless drivers do.
"""

import datetime
import enum
import math
import re
import sqlite3
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from support import sqlservers

from godropbox.database import sqlbuilder
from godropbox.database.sqlbuilder._params import PARAMSTYLES

sb: Any = sqlbuilder
# Called with names that are known only here.
ENUM: Any = enum.Enum
INT_ENUM: Any = enum.IntEnum
STR_ENUM: Any = enum.StrEnum

UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
MOMENT = datetime.datetime(2014, 7, 1, 12, 34, 56, 7)

# What each kind of value is stored in: MySQL, PostgreSQL, SQLite.
COLUMNS = {
    "text": ("LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "text", "TEXT"),
    "data": ("LONGBLOB", "bytea", "BLOB"),
    "whole": ("BIGINT", "bigint", "INTEGER"),
    "large": ("BIGINT UNSIGNED", "numeric", "INTEGER"),
    "floating": ("DOUBLE", "double precision", "REAL"),
    "exact": ("DECIMAL(65,30)", "numeric", "NUMERIC"),
    "truth": ("BOOL", "boolean", "INTEGER"),
    "moment": ("DATETIME(6)", "timestamp", "TEXT"),
    "day": ("DATE", "date", "TEXT"),
    "clock": ("TIME(6)", "time", "TEXT"),
    "span": ("TIME(6)", "interval", "TEXT"),
    "name": ("CHAR(36)", "uuid", "TEXT"),
}
DIALECTS = ("mariadb", "postgresql", "sqlite")
MYSQL = ("mysql", "mariadb")
DATABASES = {
    "mysql": "one_value",
    "mariadb": "one_value",
    "postgresql": "one_value",
    "sqlite": "main",
}

TABLE = sb.Table("swept", *(sb.StrColumn(name, nullable=True) for name in COLUMNS))

HOSTILE = [
    "",
    "it's",
    'a"b`c',
    "\\",
    "\\'",
    "100%",
    "x\\%y\\_",
    "%s %(p1)s %% ? :p1 :1 $1",
    "'); DROP TABLE swept; -- ",
    "/* */ # --",
    "\n\r\t\b\x1a",
    "字é\u2028🙂",
    "\\0",
]
VALUES: list[tuple[str, Any]] = [
    *(("text", text) for text in HOSTILE),
    *(("data", data) for data in (b"", b"\0\xff'\\%s?:1")),
    *(("whole", n) for n in (0, 7, -1, 1 << 31, -(1 << 63), (1 << 63) - 1)),
    ("large", (1 << 64) - 1),
    *(("floating", x) for x in (0.1, -2.5, 1.0, -0.0, 1e22, -1e-7, 123456789.125)),
    *(("exact", Decimal(x)) for x in ("1.50", "-0.000001", "1E+3", "12345678.125")),
    *(("truth", x) for x in (True, False)),
    ("moment", MOMENT),
    ("moment", MOMENT.replace(microsecond=0)),
    ("moment", MOMENT.replace(tzinfo=EAST)),
    ("moment", MOMENT.replace(tzinfo=UTC)),
    ("day", MOMENT.date()),
    ("clock", MOMENT.time()),
    ("span", datetime.timedelta(hours=1, microseconds=5)),
    ("span", -datetime.timedelta(hours=30, minutes=12, seconds=7, microseconds=1)),
    ("name", uuid.UUID(int=0x0123456789ABCDEF)),
    *((name, None) for name in COLUMNS),
]


class Disguised:
    """What a subclass says of itself: anything but what it is."""

    value = name = real = "another value"

    def __str__(self) -> str:
        return "another"

    def __repr__(self) -> str:
        return "another"

    def __format__(self, spec: str) -> str:
        return "another"


def subclassed(value: Any) -> Any:
    """Return `value` as a subclass that lies, or as what else stands for it; None for no way."""
    kind = type(value)
    if value is None or kind is bool:
        return None
    attributes = dict(vars(Disguised))
    attributes.pop("__dict__")
    attributes.pop("__weakref__")
    if kind in (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, uuid.UUID):
        del attributes["name"], attributes["real"]
    liar = type(f"Lying{kind.__name__}", (kind,), attributes)
    if kind is datetime.datetime:
        return liar.combine(value.date(), value.timetz())  # type: ignore[attr-defined]
    if kind is datetime.date:
        return liar(value.year, value.month, value.day)
    if kind is datetime.time:
        return liar(value.hour, value.minute, value.second, value.microsecond)
    if kind is datetime.timedelta:
        return liar(value.days, value.seconds, value.microseconds)
    if kind is uuid.UUID:
        return liar(int=value.int)
    return liar(value)


def enumerated(value: Any) -> Any:
    """Return `value` as the value of an Enum's member."""
    return ENUM("Holder", {"MEMBER": value})["MEMBER"]


def forms(value: Any) -> Iterator[Any]:
    """Yield what stands for `value`."""
    yield value
    yield enumerated(value)
    liar = subclassed(value)
    if liar is not None:
        yield liar
        yield enumerated(liar)
    if type(value) is bytes:
        yield bytearray(value)
        yield memoryview(value)
    if type(value) is int:
        yield INT_ENUM("Number", {"MEMBER": value})["MEMBER"]
    if type(value) is str:
        yield STR_ENUM("Word", {"MEMBER": value})["MEMBER"]


def read(value: Any, kind: str, dialect: str) -> Any:
    """Return what a driver reads of `value`, stored in a column of a kind."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if value is None:
        return None
    if dialect in MYSQL and kind == "clock":
        return datetime.datetime.combine(datetime.date.min, value) - datetime.datetime.min
    if dialect in MYSQL and kind == "name":
        return str(value)
    if dialect == "sqlite":
        if kind == "exact":
            return float(value)
        if kind == "moment":
            return value.isoformat(" ", "microseconds")
        if kind == "clock":
            return value.isoformat("microseconds")
        if kind in ("day", "name"):
            return str(value)
        if kind == "span":
            sign, size = ("-", -value) if value < datetime.timedelta() else ("", value)
            hours, rest = divmod(size, datetime.timedelta(hours=1))
            return f"{sign}{hours:02d}{(datetime.datetime.min + rest):%M:%S.%f}".replace(
                f"{hours:02d}", f"{hours:02d}:", 1
            )
    return value


MARKS = {
    "format": re.compile(r"%(?:(s)|(%)|)"),
    "pyformat": re.compile(r"%(?:\((p\d+)\)s|(%)|)"),
    "qmark": re.compile(r"(\?)()"),
    "numeric": re.compile(r":(\d+)()"),
    "numeric_dollar": re.compile(r"\$(\d+)()"),
    "named": re.compile(r":(\w+)()"),
}


def converted(text: str, parameters: Any, style: str, own: str) -> tuple[str, tuple[Any, ...]]:
    """Return a bound statement for a driver whose only placeholder is `own`, ``%s`` or ``?``."""
    pieces: list[str] = []
    given: list[Any] = []
    end = 0

    def plain(piece: str) -> str:
        return piece.replace("%", "%%") if own == "%s" else piece

    for found in MARKS[style].finditer(text):
        pieces.append(plain(text[end : found.start()]))
        end = found.end()
        mark, percent = found.groups()
        if percent:
            pieces.append(plain("%"))
            continue
        assert mark is not None, f"a single percent sign: {text}"
        pieces.append(own)
        if style in ("numeric", "numeric_dollar"):
            given.append(parameters[int(mark) - 1])
        elif style in ("named", "pyformat"):
            given.append(parameters[mark])
        else:
            given.append(parameters[len(given)])
    assert len(given) == len(parameters)
    return "".join([*pieces, plain(text[end:])]), tuple(given)


class Server:
    """A connection, and the roads to it."""

    def __init__(self, dialect: str, connection: Any) -> None:
        self.dialect, self.connection = dialect, connection
        self.database = DATABASES[dialect]
        self.own = "?" if dialect == "sqlite" else "%s"
        which = DIALECTS.index("mariadb" if dialect in MYSQL else dialect)
        columns = ", ".join(f"{name} {kinds[which]}" for name, kinds in COLUMNS.items())
        self.run(f"CREATE TABLE swept ({columns})")

    def run(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        if parameters is None:
            cursor.execute(text)
        else:
            cursor.execute(text, parameters)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return rows

    def bound(self, style: str, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        if style in ("format", "pyformat") and self.own == "%s":
            return self.run(text, parameters)
        if style in ("qmark", "named") and self.own == "?":
            return self.run(text, parameters)
        return self.run(*converted(text, parameters, style, self.own))

    def roads(self, make: Any, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield the name of each road and the rows of ``make(value)`` by it."""
        how = {"dialect": self.dialect}
        yield "sql", lambda: self.run(make(value).sql(self.database, **how))
        for style in PARAMSTYLES:
            yield (
                f"bind {style}",
                lambda s=style: self.bound(s, *make(value).bind(self.database, s, **how)),
            )
        if value is None:
            slot = sb.slot("v", str, nullable=True)
        else:
            nothing = isinstance(value, enum.Enum) and value.value is None
            slot = sb.slot("v", type(value), nullable=nothing)
        yield (
            "prepared sql",
            lambda: self.run(make(slot).prepare(self.database, **how).sql(v=value)),
        )
        for style in PARAMSTYLES:
            yield (
                f"prepared bind {style}",
                lambda s=style: self.bound(
                    s, *make(slot).prepare(self.database, paramstyle=s, **how).bind(v=value)
                ),
            )


def _mysql(dialect: str) -> Iterator[Server]:
    with sqlservers.connection_of(dialect) as root:
        root.cursor().execute("CREATE DATABASE one_value")
    with sqlservers.connection_of(dialect, "one_value") as connection:
        yield Server(dialect, connection)
        connection.cursor().execute("DROP DATABASE one_value")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA one_value")
        connection.execute("SET search_path TO one_value")
        yield Server("postgresql", connection)
        connection.execute("DROP SCHEMA one_value CASCADE")


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Server("sqlite", connection)
    connection.close()


@pytest.fixture(scope="module", params=[*sqlservers.mysql_like(), "postgresql", "sqlite"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    yield from makers[request.param]() if request.param in makers else _mysql(request.param)


@pytest.fixture
def server(any_server: Server) -> Server:
    any_server.run("DELETE FROM swept")
    return any_server


def test_every_value_comes_back_by_every_road(server: Server) -> None:
    taken = 0
    for kind, value in VALUES:
        if server.dialect == "sqlite" and kind == "large":
            continue
        column = TABLE.c[kind]
        wanted = read(value, kind, server.dialect)
        for form in forms(value):
            for road, run in server.roads(lambda v, c=column: TABLE.insert(c).row(v), form):
                run()
                [(got,)] = server.run(f"SELECT {kind} FROM swept")
                assert got == wanted, (road, type(form), value)
                server.run("DELETE FROM swept")
                taken += 1
    assert taken > 12 * 3 * len(VALUES) - 400


def test_every_value_is_found_by_every_road(server: Server) -> None:
    for kind, value in VALUES:
        if (server.dialect == "sqlite" and kind == "large") or value is None:
            continue
        column = TABLE.c[kind]
        server.run(TABLE.insert(column).row(value).sql(server.database, dialect=server.dialect))
        for form in forms(value):
            asks = [
                lambda v, c=column: TABLE.select(sb.count()).where(c == v),
                lambda v, c=column: TABLE.select(sb.count()).where(c.between(v, v)),
            ]
            for ask in asks:
                for road, run in server.roads(ask, form):
                    assert run() == [(1,)], (road, type(form), value)
            for road, run in server.roads(
                lambda v, c=column: TABLE.select(sb.count()).where(c.in_([v])), form
            ):
                if not road.startswith("prepared"):
                    assert run() == [(1,)], (road, type(form), value)
        server.run("DELETE FROM swept")


def test_a_nullable_slot_finds_what_none_and_a_value_find(server: Server) -> None:
    c = TABLE.c
    how = {"dialect": server.dialect}
    for number, text in ((5, "five"), (None, "null"), (6, "six")):
        server.run(TABLE.insert(c.whole, c.text).row(number, text).sql(server.database, **how))
    slot = sb.slot("v", int, nullable=True)
    for condition in (c.whole == slot, sb.eq(slot, c.whole)):
        statement = TABLE.select(c.text).where(condition)
        for value, wanted in ((5, "five"), (None, "null")):
            literal = TABLE.select(c.text).where(c.whole == value).sql(server.database, **how)
            assert server.run(literal) == [(wanted,)]
            filled = statement.prepare(server.database, **how).sql(v=value)
            assert server.run(filled) == [(wanted,)]
            for style in PARAMSTYLES:
                prepared = statement.prepare(server.database, paramstyle=style, **how)
                assert server.bound(style, *prepared.bind(v=value)) == [(wanted,)], style
    any_of = TABLE.select(sb.count()).where(slot.is_null() | (c.whole == slot))
    for value, count in ((None, 3), (5, 1)):
        assert server.run(any_of.prepare(server.database, **how).sql(v=value)) == [(count,)]


def test_nul_is_sent_where_it_is_text(server: Server) -> None:
    if server.dialect not in MYSQL:
        with pytest.raises(ValueError, match="text without NUL"):
            TABLE.insert(TABLE.c.text).row("a\0b").sql("main", dialect=server.dialect)
        return
    for road, run in server.roads(lambda v: TABLE.insert(TABLE.c.text).row(v), "a\0b"):
        run()
        assert server.run("SELECT text FROM swept") == [("a\0b",)], road
        server.run("DELETE FROM swept")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_an_aware_datetime_is_one_moment_in_any_zone_of_the_session(zone: str) -> None:
    moments = sb.Table("moments", sb.DateTimeColumn("plain"), sb.DateTimeColumn("zoned"))
    both = moments.insert(moments.c.plain, moments.c.zoned)
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE TEMPORARY TABLE moments (plain timestamp, zoned timestamptz)")
        connection.execute(f"SET TIME ZONE '{zone}'")
        for aware in (MOMENT.replace(tzinfo=EAST), MOMENT.replace(tzinfo=UTC)):
            plain = aware.astimezone(UTC).replace(tzinfo=None)
            found = moments.select(sb.count()).where(
                (moments.c.plain == aware) & (moments.c.zoned == aware)
            )
            slot = sb.slot("v", datetime.datetime)
            how = {"dialect": "postgresql"}
            for text, parameters in [
                (both.row(aware, aware).sql("pg_temp", **how), None),
                both.row(aware, aware).bind("pg_temp", **how),
                (both.row(slot, slot).prepare("pg_temp", **how).sql(v=aware), None),
                both.row(slot, slot).prepare("pg_temp", paramstyle="format", **how).bind(v=aware),
            ]:
                connection.execute(text, parameters)
                assert connection.execute("SELECT * FROM moments").fetchall() == [(plain, aware)]
                assert connection.execute(found.sql("pg_temp", **how)).fetchall() == [(1,)]
                assert connection.execute(*found.bind("pg_temp", **how)).fetchall() == [(1,)]
                connection.execute("DELETE FROM moments")


NOON = datetime.datetime(2014, 7, 1, 12, 34)
DAY = datetime.timedelta(days=1)


def test_a_day_and_a_moment_are_compared_alike_by_every_road(server: Server) -> None:
    c = TABLE.c
    held = {c.day: [NOON.date() + n * DAY for n in (-1, 0, 1)]}
    held[c.moment] = [NOON + n * DAY for n in (-1, 0, 1)]
    others = [NOON.date(), NOON, datetime.datetime(2014, 7, 1), NOON + DAY]
    for column, values in held.items():
        for value in values:
            row = TABLE.insert(column).row(value)
            server.run(row.sql(server.database, dialect=server.dialect))
        for other in others:
            conditions: list[tuple[Any, Any]] = [
                (lambda v, c=column: c == v, lambda a, b: a == b),
                (lambda v, c=column: c != v, lambda a, b: a != b),
                (lambda v, c=column: c < v, lambda a, b: a < b),
                (lambda v, c=column: c >= v, lambda a, b: a >= b),
                (lambda v, c=column: c.between(v, v), lambda a, b: a == b),
                (lambda v, c=column: ~c.between(v, v), lambda a, b: a != b),
                (lambda v, c=column: c.in_([v]), lambda a, b: a == b),
            ]
            for condition, plain in conditions:
                wanted = sum(plain(midnight(value), midnight(other)) for value in values)
                found = []
                for road, run in server.roads(
                    lambda v, make=condition: TABLE.select(sb.count()).where(make(v)), other
                ):
                    if condition is conditions[-1][0] and road.startswith("prepared"):
                        continue
                    found.append((road, run()[0][0]))
                # SQLite compares the texts that it keeps.
                counts = {count for _, count in found}
                assert len(counts) == 1, (column, other, found)
                if server.dialect != "sqlite":
                    assert counts == {wanted}, (column, other, found)
        server.run("DELETE FROM swept")


def midnight(value: Any) -> datetime.datetime:
    """Return a date as the moment that it is compared as, a datetime as it is."""
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime.combine(value, datetime.time())


def test_times_reckon_alike_by_text_and_by_parameters(server: Server) -> None:
    if server.dialect != "postgresql":
        return  # the others have no type for a span of time
    c = TABLE.c
    span = datetime.timedelta(days=2, microseconds=7)
    row = TABLE.insert(c.moment, c.day, c.clock, c.span).row(NOON, NOON.date(), NOON.time(), span)
    server.run(row.sql(server.database, dialect=server.dialect))
    literal = sb.literal
    for expression, wanted in [
        (literal(2 * DAY) < literal(10 * DAY), True),
        (literal(datetime.time(9)) < datetime.time(10), True),
        (literal(NOON.date()) < literal(NOON), True),
        (literal(NOON.date()) == literal(datetime.datetime(2014, 7, 1)), True),
        (c.span < 10 * DAY, True),
        (c.span == span, True),
        (c.moment + span, NOON + span),
        (c.moment - span, NOON - span),
        (c.moment - 10 * DAY, NOON - 10 * DAY),
        (c.moment - (NOON - span), span),
        (c.day + DAY, datetime.datetime(2014, 7, 2)),
        (c.day - datetime.date(2014, 6, 30), 1),
        (c.clock + datetime.timedelta(hours=1), datetime.time(13, 34)),
        (literal(NOON) - span, NOON - span),
        (literal(span) + span, 2 * span),
        (sb.func("date_trunc", "day", NOON), datetime.datetime(2014, 7, 1)),
        (sb.func("date_trunc", "day", span), 2 * DAY),
        (sb.case((c.moment == NOON, span), otherwise=DAY), span),
        (sb.if_(c.moment == NOON, NOON, NOON.date()), NOON),
    ]:
        assert _same(server, expression) == wanted
    aware = NOON.replace(tzinfo=EAST)
    make: Any
    for make in (
        lambda v: sb.func("date_trunc", "minute", sb.cast(v, "timestamptz")),
        lambda v: sb.if_(c.moment == NOON, sb.cast(v, "timestamptz"), None),
    ):
        assert _same(server, make(aware)) == aware
    server.run("DELETE FROM swept")


NUMBERS: list[Any] = [-5, 7, -2.5, 1.0, 0.1, Decimal("-1.50"), 3]
OPERATORS: dict[str, Any] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}
BITS: dict[str, Any] = {
    "|": lambda a, b: a | b,
    "&": lambda a, b: a & b,
    "^": lambda a, b: a ^ b,
}


def _same(server: Server, expression: Any) -> Any:
    """Return the value of an expression, which is one by text and by parameters."""
    statement = TABLE.select(expression)
    how = {"dialect": server.dialect}
    [(wanted,)] = server.run(statement.sql(server.database, **how))
    for style in PARAMSTYLES:
        [(got,)] = server.bound(style, *statement.bind(server.database, style, **how))
        assert (got, type(got)) == (wanted, type(wanted)), (style, statement)
    return wanted


def test_an_expression_has_one_value_by_text_and_by_parameters(server: Server) -> None:
    c = TABLE.c
    row = TABLE.insert(c.whole, c.floating, c.exact).row(-7, 0.5, Decimal("2.5"))
    server.run(row.sql(server.database, dialect=server.dialect))
    held: dict[Any, Any] = {c.whole: -7, c.floating: 0.5, c.exact: Decimal("2.5")}
    for name, operator in OPERATORS.items():
        for column, number in held.items():
            for other in NUMBERS:
                if name == "%" and (type(other) is not int or column is not c.whole):
                    continue  # the servers differ in what a remainder of fractions is
                for left, right in ((column, other), (other, column), (sb.literal(other), column)):
                    got = _same(server, operator(left, right))
                    if name not in "/%":
                        pair = (number, other) if left is column else (other, number)
                        plain = float(operator(float(pair[0]), float(pair[1])))
                        assert float(got) == pytest.approx(plain), (name, left, right)
    for name, operator in BITS.items():
        if name == "^" and server.dialect == "sqlite":
            continue
        for other in (-5, 7):
            got = _same(server, operator(c.whole, other))
            assert got % (1 << 64) == operator(-7, other) % (1 << 64)
            _same(server, operator(other, c.whole))
    server.run("DELETE FROM swept")


def test_a_float_divides_as_a_float(server: Server) -> None:
    server.run(TABLE.insert(TABLE.c.whole).row(1).sql(server.database, dialect=server.dialect))
    slot = sb.slot("v", float)
    for expression, wanted in [
        (sb.literal(1.0) / 3, 1 / 3),
        (TABLE.c.whole / 3.0, 1 / 3),
        (TABLE.c.whole * 1.0 / 7, 1 / 7),
        (TABLE.c.whole / sb.literal(-3.0), -1 / 3),
    ]:
        assert math.isclose(_same(server, expression), wanted, rel_tol=1e-14)
    how = {"dialect": server.dialect}
    make: Any
    for make in (lambda v: v / 3, lambda v: TABLE.c.whole / v, lambda v: v * 2 / TABLE.c.whole):
        wanted = _same(server, make(sb.literal(7.0)))
        statement = TABLE.select(make(slot))
        [(got,)] = server.run(statement.prepare(server.database, **how).sql(v=7.0))
        assert got == wanted
        prepared = statement.prepare(server.database, paramstyle="qmark", **how)
        [(got,)] = server.bound("qmark", *prepared.bind(v=7.0))
        assert got == wanted
    server.run("DELETE FROM swept")


def test_a_percent_sign_and_a_pattern_by_every_road(server: Server) -> None:
    c = TABLE.c
    for number, text in ((1, "100%"), (2, "100x"), (3, "50_")):
        row = TABLE.insert(c.whole, c.text).row(number, text)
        server.run(row.sql(server.database, dialect=server.dialect))

    def ask(value: Any) -> Any:
        return (
            TABLE.select(c.whole)
            .where((c.whole % 2 == value) & c.text.like("100\\%"))
            .comment("who? 100.")
        )

    for road, run in server.roads(ask, 1):
        assert run() == [(1,)], road
    statement = ask(1)
    for style in PARAMSTYLES:
        text, parameters = statement.bind(
            server.database, style, dialect=server.dialect, tags={"route": "/100%?:1"}
        )
        assert server.bound(style, text, parameters) == [(1,)], style
    server.run("DELETE FROM swept")


@pytest.mark.parametrize("span", [datetime.timedelta(hours=50, minutes=5, microseconds=7), None])
def test_an_interval_by_every_road(server: Server, span: datetime.timedelta | None) -> None:
    if server.dialect == "sqlite":
        return
    span = span or -datetime.timedelta(days=3, seconds=61, microseconds=900000)
    c = TABLE.c
    how = {"dialect": server.dialect}
    server.run(TABLE.insert(c.moment).row(MOMENT).sql(server.database, **how))
    statement = TABLE.select(c.moment + sb.interval(span, exact=True))
    assert server.run(statement.sql(server.database, **how)) == [(MOMENT + span,)]
    for style in PARAMSTYLES:
        bound = statement.bind(server.database, style, **how)
        assert server.bound(style, *bound) == [(MOMENT + span,)], style
    server.run("DELETE FROM swept")
