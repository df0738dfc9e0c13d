"""Every operator as an operand of every other, on every server.

Each pair is written by the builder, with as few parentheses as the dialect needs, and as a
reference in which every operator has its own. Both give the same values for each row of a small
table, or are both refused.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
import pytest
from support import sqlservers

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder
numbers = sb.Table("numbers", *(sb.IntColumn(name, nullable=True) for name in "abcd"))
ROWS = [(7, 2, 3, 1), (1, 0, 2, 5), (5, 5, 1, 3), (0, 3, 2, 2), (2, None, 6, 4)]
BATCH = 60  # expressions in a SELECT


@dataclass(frozen=True)
class Operator:
    """An operator: the kinds of its operands, that of its value, and how it is written."""

    operands: str  # a letter each: i for an integer, c for a condition
    kind: str
    build: Callable[..., Any]
    text: str  # the reference, with {} for each operand
    dialects: "tuple[str, ...]" = ("mysql", "mariadb", "sqlite", "postgresql")


MYSQL = ("mysql", "mariadb")
BOTH = ("sqlite", "postgresql")
OPERATORS = {
    "+": Operator("ii", "i", lambda a, b: a + b, "({} + {})"),
    "-": Operator("ii", "i", lambda a, b: a - b, "({} - {})"),
    "*": Operator("ii", "i", lambda a, b: a * b, "({} * {})"),
    "%": Operator("ii", "i", lambda a, b: a % b, "({} % {})", (*MYSQL, "sqlite")),
    "&": Operator("ii", "i", lambda a, b: a.op("&")(b), "({} & {})"),
    "|": Operator("ii", "i", sb.bit_or, "({} | {})"),
    "^": Operator("ii", "i", lambda a, b: a ^ b, "({} ^ {})", MYSQL),
    "#": Operator("ii", "i", lambda a, b: a ^ b, "({} # {})", ("postgresql",)),
    "<<": Operator("ii", "i", lambda a, b: a << sb.literal(1), "({} << 1)", (*MYSQL, "sqlite")),
    ">>": Operator("ii", "i", lambda a, b: a >> sb.literal(1), "({} >> 1)", (*MYSQL, "sqlite")),
    "minus": Operator("i", "i", lambda a: -a, "(- {})"),
    "~": Operator("i", "i", lambda a: sb.bit_not(a), "(~ {})"),
    "add of three": Operator("iii", "i", sb.add, "(({} + {}) + {})"),
    "sub of three": Operator("iii", "i", sb.sub, "(({} - {}) - {})"),
    "mul of three": Operator("iii", "i", sb.mul, "(({} * {}) * {})"),
    "raw +": Operator("ii", "i", lambda a, b: sb.raw("? + ?", a, b), "({} + {})"),
    "case": Operator(
        "cii",
        "i",
        lambda a, b, c: sb.case((a, b), otherwise=c),
        "(CASE WHEN {} THEN {} ELSE {} END)",
    ),
    "if": Operator("cii", "i", sb.if_, "(CASE WHEN {} THEN {} ELSE {} END)"),
    "abs": Operator("i", "i", lambda a: sb.func.abs(a), "ABS({})"),
    "cast": Operator("i", "i", lambda a: sb.cast(a, "integer"), "CAST({} AS INTEGER)", BOTH),
    "=": Operator("ii", "c", lambda a, b: a == b, "({} = {})"),
    "= of conditions": Operator("cc", "c", lambda a, b: a == b, "({} = {})"),
    "!=": Operator("ii", "c", lambda a, b: a != b, "({} <> {})"),
    "<": Operator("ii", "c", lambda a, b: a < b, "({} < {})"),
    ">=": Operator("ii", "c", lambda a, b: a >= b, "({} >= {})"),
    "<=>": Operator("ii", "c", lambda a, b: a.is_not_distinct_from(b), "({} <=> {})", MYSQL),
    "IS": Operator("ii", "c", lambda a, b: a.is_not_distinct_from(b), "({} IS {})", ("sqlite",)),
    "DISTINCT": Operator(
        "ii", "c", lambda a, b: a.is_distinct_from(b), "({} IS DISTINCT FROM {})", ("postgresql",)
    ),
    "NOT <=>": Operator("ii", "c", lambda a, b: a.is_distinct_from(b), "(NOT ({} <=> {}))", MYSQL),
    "BETWEEN": Operator("iii", "c", lambda a, b, c: a.between(b, c), "({} BETWEEN {} AND {})"),
    "NOT BETWEEN": Operator(
        "iii", "c", lambda a, b, c: a.not_between(b, c), "({} NOT BETWEEN {} AND {})"
    ),
    "BETWEEN conditions": Operator(
        "ccc", "c", lambda a, b, c: a.between(b, c), "({} BETWEEN {} AND {})"
    ),
    "IN": Operator("ii", "c", lambda a, b: a.in_([b, 2]), "({} IN ({}, 2))"),
    "NOT IN": Operator("ii", "c", lambda a, b: a.not_in([b, 2]), "({} NOT IN ({}, 2))"),
    "IS NULL": Operator("i", "c", lambda a: a.is_null(), "({} IS NULL)"),
    "IS NOT NULL": Operator("i", "c", lambda a: a.is_not_null(), "({} IS NOT NULL)"),
    "NULL of a condition": Operator("c", "c", lambda a: a.is_null(), "({} IS NULL)"),
    "IS TRUE": Operator("c", "c", lambda a: a.is_(True), "({} IS TRUE)"),
    "IS NOT FALSE": Operator("c", "c", lambda a: a.is_not(False), "({} IS NOT FALSE)"),
    "AND": Operator("cc", "c", lambda a, b: a & b, "({} AND {})"),
    "OR": Operator("cc", "c", lambda a, b: a | b, "({} OR {})"),
    "and_": Operator("ccc", "c", sb.and_, "({} AND {} AND {})"),
    "or_": Operator("ccc", "c", sb.or_, "({} OR {} OR {})"),
    "NOT": Operator("c", "c", lambda a: ~a, "(NOT {})"),
    "raw OR": Operator("cc", "c", lambda a, b: sb.raw("? OR ?", a, b), "({} OR {})"),
    "LIKE": Operator("ii", "c", lambda a, b: a.like(b), "({} LIKE {})", (*MYSQL, "sqlite")),
    "row": Operator(
        "iiii",
        "c",
        lambda a, b, c, d: sb.tuple_(a, b) == sb.tuple_(c, d),
        "(({}, {}) = ({}, {}))",
    ),
    "text": Operator(
        "ii",
        "i",
        lambda a, b: sb.cast(a.concat(b), "integer"),
        "CAST(({} || {}) AS INTEGER)",
        ("sqlite",),
    ),
    "OR of minus": Operator("ii", "i", lambda a, b: -sb.bit_or(a, b), "(- ({} | {}))"),
    "query": Operator(
        "i",
        "i",
        lambda a: sb.select(a).scalar(),
        "(SELECT {})",
    ),
    "EXISTS": Operator(
        "c",
        "c",
        lambda a: sb.exists(sb.select(sb.literal(1)).where(a)),
        "EXISTS (SELECT 1 WHERE {})",
    ),
    "ANY": Operator(
        "i",
        "c",
        lambda a: a == sb.any_(numbers.alias("n").select(numbers.alias("n").c.a)),
        "({} = ANY (SELECT n.a FROM numbers AS n))",
        (*MYSQL, "postgresql"),
    ),
    "array": Operator(
        "ii", "i", lambda a, b: sb.array([a, b])[1], "((ARRAY[{}, {}])[1])", ("postgresql",)
    ),
}
COLUMNS = {"i": list("abcd"), "c": ["(a = b)", "(b < c)", "(c = d)", "(a < d)"]}
MADE = {
    "i": [numbers.c[name] for name in "abcd"],
    "c": [
        numbers.c.a == numbers.c.b,
        numbers.c.b < numbers.c.c,
        numbers.c.c == numbers.c.d,
        numbers.c.a < numbers.c.d,
    ],
}


def fits(inner: str, wanted: str, dialect: str) -> bool:
    """Return whether a value of a kind can be an operand; most dialects count with conditions."""
    return inner == wanted or (inner == "c" and dialect != "postgresql")


def nested(dialect: str) -> Iterator[tuple[str, Any, str]]:
    """Yield a name, an expression and its reference for each operator inside each other."""
    known = {name: each for name, each in OPERATORS.items() if dialect in each.dialects}
    for name, outer in known.items():
        for inner_name, inner in known.items():
            for place, wanted in enumerate(outer.operands):
                if not fits(inner.kind, wanted, dialect):
                    continue
                made = [MADE[kind][at] for at, kind in enumerate(outer.operands)]
                texts = [COLUMNS[kind][at] for at, kind in enumerate(outer.operands)]
                inside = range(place, place + len(inner.operands))
                made[place] = inner.build(
                    *(MADE[k][at % 4] for at, k in zip(inside, inner.operands, strict=True))
                )
                texts[place] = inner.text.format(
                    *(COLUMNS[k][at % 4] for at, k in zip(inside, inner.operands, strict=True))
                )
                yield (
                    f"{inner_name} in operand {place} of {name}",
                    outer.build(*made),
                    outer.text.format(*texts),
                )


def _mysql(dialect: str) -> Iterator[Any]:
    with sqlservers.connection_of(dialect) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE precedence")
        cursor.execute("USE precedence")
        cursor.execute("SET sql_mode = 'NO_UNSIGNED_SUBTRACTION'")
        yield cursor, "precedence"
        cursor.execute("DROP DATABASE precedence")


def _postgresql() -> Iterator[Any]:
    with sqlservers.postgresql_connection() as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA precedence")
        cursor.execute("SET search_path TO precedence")
        yield cursor, "precedence"
        cursor.execute("DROP SCHEMA precedence CASCADE")


def _sqlite() -> Iterator[Any]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection.cursor(), "main"
    connection.close()


def values(cursor: Any, items: list[Any], database: str, dialect: Any) -> list[Any]:
    """Return the values of each item in all rows, or None for what the server refuses."""
    if isinstance(items[0], str):
        text = f"SELECT {', '.join(items)} FROM numbers ORDER BY numbers.c"
    else:
        statement = numbers.select(*items).order_by(numbers.c.c)
        text = statement.sql(database, dialect=dialect)
    try:
        cursor.execute(text)
        return list(zip(*cursor.fetchall(), strict=True))
    except (sqlite3.Error, pymysql.Error, psycopg.Error):
        if len(items) == 1:
            return [None]
        middle = len(items) // 2
        return [
            *values(cursor, items[:middle], database, dialect),
            *values(cursor, items[middle:], database, dialect),
        ]


@pytest.mark.parametrize("dialect", [*sqlservers.mysql_like(), "postgresql", "sqlite"])
def test_every_operator_in_every_other(dialect: str) -> None:
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    for cursor, database in makers[dialect]() if dialect in makers else _mysql(dialect):
        cursor.execute("CREATE TABLE numbers (a BIGINT, b BIGINT, c BIGINT, d BIGINT)")
        cursor.execute(numbers.insert().rows(ROWS).sql(database, dialect=dialect))
        cases = list(nested(dialect))
        assert len(cases) > 1500
        refused = 0
        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            found = values(cursor, [made for _, made, _ in batch], database, dialect)
            wanted = values(cursor, [text for _, _, text in batch], database, dialect)
            for (name, made, text), got, right in zip(batch, found, wanted, strict=True):
                shown = numbers.select(made).sql(database, dialect=dialect)
                assert got == right, f"{name}:\n{shown}\n{text}"
                refused += right is None
        assert refused < len(cases) / 5
