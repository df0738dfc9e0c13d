"""Columns that check and convert their values: what they accept, refuse, and make of it."""

import copy
import enum
import pickle
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too


class State(enum.Enum):
    """An enum of texts."""

    NEW = "new"
    PAID = "paid"


table = sb.Table(
    "t",
    sb.IntColumn("id"),
    sb.DateColumn("day"),
    sb.TimeColumn("hour"),
    sb.IntervalColumn("span"),
    sb.DecimalColumn("price", precision=6, scale=2),
    sb.DecimalColumn("free"),
    sb.JsonColumn("data"),
    sb.UuidColumn("token"),
    sb.UuidColumn("raw", binary=True),
    sb.EnumColumn("state", State),
    sb.EnumColumn("word", "a", "b"),
    sb.ArrayColumn("days", sb.DateColumn()),
)
c = table.c
TOKEN = UUID("12345678-1234-5678-1234-567812345678")


class Sub(date):
    """A subclass of a value's class."""


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        (c.day, date(2014, 7, 1), "'2014-07-01'"),
        (c.day, Sub(2014, 7, 1), "'2014-07-01'"),
        (c.hour, time(1, 2, 3), "'01:02:03.000000'"),
        (c.span, timedelta(hours=30), "'30:00:00.000000'"),
        (c.price, Decimal("-1234.50"), "-1234.50"),
        (c.price, Decimal("1E+3"), "1000"),
        (c.price, Decimal("0E-9"), "0.000000000"),
        (c.price, Decimal("1.1000"), "1.1000"),
        (c.price, 9999, "9999"),
        (c.free, Decimal("1.23456789"), "1.23456789"),
        (c.data, {"a": [1, None, "x'y"]}, """'{\\"a\\":[1,null,\\"x\\'y\\"]}'"""),
        (c.data, [], "'[]'"),
        (c.data, "x", """'\\"x\\"'"""),
        (c.data, sb.literal("null"), "'null'"),
        (c.token, TOKEN, f"'{TOKEN}'"),
        (c.raw, TOKEN, f"X'{TOKEN.hex}'"),
        (c.state, State.PAID, "'paid'"),
        (c.state, "new", "'new'"),
        (c.word, "b", "'b'"),
        (c.days, [date(2014, 7, 1), None], """'{\\"2014-07-01\\",NULL}'"""),
        *[(column, None, "null") for column in table.columns],
    ],
)
def test_a_value_is_stored_as(column: Any, value: object, text: str) -> None:
    insert = table.insert(column).row(value).sql("db")
    assert insert.endswith(f"(`t`.`{column.name}`) VALUES ({text})")
    assert table.insert().values({column.name: value}).sql("db") == insert
    update = table.update().set(column, value).all_rows().sql("db")
    assert update.endswith(f" SET `t`.`{column.name}`={text}")
    upsert = table.insert(c.id).row(1).on_duplicate_key_update(column, value).sql("db")
    assert upsert.endswith(f" ON DUPLICATE KEY UPDATE `t`.`{column.name}`={text}")


@pytest.mark.parametrize(
    ("column", "value", "error", "match"),
    [
        (c.day, datetime(2014, 7, 1), TypeError, "column day must be given a date, got datetime"),
        (c.day, "2014-07-01", TypeError, "column day must be given a date, got '2014-07-01'"),
        (c.hour, "12:00", TypeError, "column hour must be given a time"),
        (c.hour, timedelta(1), TypeError, "column hour must be given a time"),
        (c.span, 5, TypeError, "column span must be given a timedelta"),
        (c.price, 1.5, TypeError, "column price must be given a Decimal or an int, got 1.5"),
        (c.price, True, TypeError, "column price must be given a Decimal or an int, got True"),
        (c.price, Decimal("1.234"), ValueError, "at most 4 digits before the point and 2 after"),
        (c.price, Decimal("12345"), ValueError, "at most 4 digits before the point"),
        (c.price, 12345, ValueError, "at most 4 digits before the point"),
        (c.price, Decimal("1E+4"), ValueError, "at most 4 digits before the point"),
        (c.price, Decimal("NaN"), ValueError, "column price must be given a finite number"),
        (c.data, {1, 2}, TypeError, "column data must be given a value that JSON can say"),
        (c.data, float("nan"), ValueError, "column data must be given a value that JSON can say"),
        (c.token, str(TOKEN), TypeError, "column token must be given a UUID"),
        (c.raw, TOKEN.bytes, TypeError, "column raw must be given a UUID"),
        (c.state, "sent", ValueError, "column state must be one of new, paid, got 'sent'"),
        (c.state, 5, TypeError, "column state must be given one of new, paid, got 5"),
        (c.word, State.NEW, ValueError, "column word must be one of a, b, got <State.NEW"),
        (c.days, "2014", TypeError, "column days must be given a list"),
        (c.days, [datetime(2014, 7, 1, tzinfo=UTC)], TypeError, "days must be given a date"),
    ],
)
def test_a_wrong_value_is_refused_everywhere(
    column: Any, value: object, error: type, match: str
) -> None:
    wrong: Any
    for wrong in (
        lambda: table.insert(column).row(value),
        lambda: table.insert().values({column.name: value}),
        lambda: table.update().set(column, value),
        lambda: table.update().values({column: value}),
        lambda: table.insert(c.id).on_duplicate_key_update(column, value),
    ):
        with pytest.raises(error, match=match):
            wrong()
    if column is c.price and error is ValueError:
        return  # a number that the column cannot hold is still less or greater than what it holds
    for wrong in (
        lambda: column == value,
        lambda: column != value,
        lambda: column < value,
        lambda: column.in_([value]),
        lambda: column.between(value, value),
        lambda: sb.eq(value, column),
        lambda: sb.gt(column, value),
    ):
        with pytest.raises(error, match=match):
            wrong()


def test_what_is_no_value_passes() -> None:
    slot = sb.slot("day", date)
    assert table.select(c.id).where(c.day == slot).prepare("db").sql(day=date(2014, 7, 1))
    assert table.insert().values(day=slot).prepare("db").sql(day=date(2014, 7, 1))
    inner = table.select(c.day)
    other = table.alias("o")
    for condition in (c.day == other.c.day, c.day.in_(inner), c.day == inner.scalar()):
        assert table.cross_join(other).select(c.id).where(condition).sql("db")
    with pytest.raises(TypeError, match="values of in_"):
        c.day.in_("x")
    with pytest.raises(TypeError, match="values of in_"):
        c.day.in_(5)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.DecimalColumn("a", precision=0), ValueError, r"precision must be an int in \["),
        (lambda: sb.DecimalColumn("a", precision="5"), TypeError, "precision must be an int"),
        (lambda: sb.DecimalColumn("a", precision=True), TypeError, "precision must be an int"),
        (lambda: sb.DecimalColumn("a", precision=5, scale=6), ValueError, r"scale must be an int"),
        (lambda: sb.DecimalColumn("a", scale=2), ValueError, "scale needs precision"),
        (lambda: sb.UuidColumn("a", binary=1), TypeError, "binary must be a bool"),
        (lambda: sb.EnumColumn("a"), ValueError, "an EnumColumn needs its values"),
        (lambda: sb.EnumColumn("a", 5), TypeError, "values of an EnumColumn must be str, got 5"),
        (lambda: sb.EnumColumn("a", "x", "x"), ValueError, "must differ, got 'x' twice"),
        (lambda: sb.ArrayColumn("a"), TypeError, "element must be a column such as IntColumn"),
        (lambda: sb.ArrayColumn("a", int), TypeError, "element must be a column such as"),
        (lambda: sb.DateColumn("a", nullable=1), TypeError, "nullable must be a bool"),
        (lambda: sb.DateColumn(5), TypeError, "column name must be a str"),
    ],
)
def test_a_wrong_declaration_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


def test_checks_survive_aliases_copies_and_pickles() -> None:
    tables = [table.alias("x"), copy.deepcopy(table), pickle.loads(pickle.dumps(table))]
    for other in tables:
        assert [type(column) for column in other.columns] == [
            type(column) for column in table.columns
        ]
        with pytest.raises(ValueError, match="column state must be one of new, paid"):
            other.c.state == "sent"  # noqa: B015


def test_a_declaration_is_python_that_declares_the_same() -> None:
    names = ["class", "a b", "1st", "größe", "a-b", "__len__", "__x", "plain"]
    odd = sb.Table("my table", *[sb.IntColumn(name) for name in names])
    source = odd.declaration()
    assert (
        source
        == """class MyTable(sb.Columns):
    class_ = sb.IntColumn('class')
    a_b = sb.IntColumn('a b')
    _1st = sb.IntColumn('1st')
    größe = sb.IntColumn()
    a_b_ = sb.IntColumn('a-b')
    _len__ = sb.IntColumn('__len__')
    _x = sb.IntColumn('__x')
    plain = sb.IntColumn()


my_table = sb.Table('my table', MyTable)
"""
    )
    space: dict[str, Any] = {"sb": sb}
    exec(source, space)
    assert [column.name for column in space["my_table"].columns] == names
    assert space["my_table"].c.class_.name == "class"
    assert sb.Table("class", sb.StrColumn("x", charset="utf8mb4", nullable=True)).declaration() == (
        "class Class(sb.Columns):\n"
        "    x = sb.StrColumn(charset='utf8mb4', nullable=True)\n\n\n"
        "class_ = sb.Table('class', Class)\n"
    )
