"""What a query yields, and records made of rows."""

from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from support.sqltables import people, t1

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

query = people.select(people.c.id, people.c.name, people.c.active)


class Person(NamedTuple):
    """A row of people."""

    id: int
    name: str
    active: bool


@dataclass
class Human:
    """A row of people."""

    id: int
    name: str
    active: bool
    made: int = field(init=False, default=7)


def test_columns_have_names_and_types() -> None:
    parent = people.alias("parent")
    wide = people.left_join(parent, parent.c.id == people.c.id).select(
        people.c.id,
        t1.c.col4,
        parent.c.name,
        sb.alias("n", sb.count()),
        sb.count(),
        sb.alias("same", people.c.id == 1),
        sb.literal(1.5),
        sb.func("anything", 1),
        sb.func("MAX", people.c.name),
        sb.slot("s", bytes),
        query.with_only_columns(people.c.active).scalar(),
    )
    assert wide.columns == (
        sb.ResultColumn("id", int, False),
        sb.ResultColumn("col4", datetime, True),
        sb.ResultColumn("name", str, True),
        sb.ResultColumn("n", int, True),
        sb.ResultColumn(None, int, True),
        sb.ResultColumn("same", bool, True),
        sb.ResultColumn(None, float, True),
        sb.ResultColumn(None, object, True),
        sb.ResultColumn(None, str, True),
        sb.ResultColumn(None, bytes, True),
        sb.ResultColumn(None, bool, True),
    )
    with pytest.raises(ValueError, match=r"the columns of \* are not known"):
        people.select(people.star).columns  # noqa: B018


def test_columns_of_combinations_are_those_of_the_first() -> None:
    other = t1.select(t1.c.col1, sb.literal("x"), sb.literal(True))
    names = [column.name for column in query.union(other).columns]
    assert names == ["id", "name", "active"]
    assert query.columns[0].nullable is False
    assert query.union(other).columns[0].nullable is True  # col1 is


@pytest.mark.parametrize("make", [Person, Human])
def test_records_of_a_class(make: Any) -> None:
    read = query.records(make)
    rows = [(1, "ada", 1), [2, "bob", 0], (3, None, None)]
    found = list(read(iter(rows)))
    assert found == [make(1, "ada", True), make(2, "bob", False), make(3, None, None)]
    assert type(found[0]) is make
    assert [type(each.active) for each in found[:2]] == [bool, bool]
    assert list(read([])) == []
    assert read.one((1, "ada", True)) == make(1, "ada", True)
    assert read.one(None) is None
    assert repr(read) == f"<Records {make.__name__}>"


def test_records_without_a_class_are_named_tuples() -> None:
    read = people.select(people.c.id, sb.count()).records()
    (found,) = read([(1, 5)])
    assert found == (1, 5)
    assert found.id == 1
    assert found.column2 == 5
    with pytest.raises(ValueError, match="two columns named id: rename one with alias"):
        people.select(people.c.id, people.c.id).records()


def test_records_of_a_function() -> None:
    read = query.records(lambda number, name, active: f"{number}{name}{active}")
    assert list(read([(1, "a", 0)])) == ["1aFalse"]


def test_records_of_a_subclass_are_made_by_itself() -> None:
    class Shouting(Person):
        def __new__(cls, number: int, name: str, active: bool) -> "Shouting":
            return super().__new__(cls, number, name.upper(), active)

    assert next(query.records(Shouting)([(1, "ada", 1)])).name == "ADA"


def test_what_sqlite_keeps_as_text_is_read() -> None:
    moments = t1.select(t1.c.col4).records()
    moment = datetime(2014, 7, 1, 12, 30, 0, 5)
    for value in (moment, str(moment), None):
        assert next(moments([(value,)]))[0] == (moment if value else None)


def test_what_databases_keep_as_text_becomes_what_was_declared() -> None:
    odd = sb.Table(
        "odd",
        sb.DateColumn("day"),
        sb.TimeColumn("hour"),
        sb.DecimalColumn("price"),
        sb.UuidColumn("key"),
        sb.EnumColumn("state", "new", "old"),
        sb.JsonColumn("extra"),
    )
    key = UUID(int=5)
    kinds = [column.python_type for column in sb.select(odd).columns]
    assert kinds == [date, time, Decimal, UUID, str, object]
    read = sb.select(odd).subquery("q").select(*odd.alias("q").columns).records()
    expected = (date(2014, 7, 1), time(12, 30), Decimal("1.50"), key, "new", {"a": 1})
    as_text = ("2014-07-01", "12:30:00", "1.50", str(key), "new", {"a": 1})
    assert next(read([as_text])) == next(read([expected])) == expected
    # Without converting what is not text: a driver's own types pass.
    assert next(read([(*expected[:2], 1.5, *expected[3:])])).price == Decimal("1.5")


class Swapped(NamedTuple):
    """Not a row of people."""

    name: str
    id: int
    active: bool


@dataclass(kw_only=True)
class Named:
    """Not to be made of a row."""

    id: int
    name: str
    active: bool


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (
            lambda: query.records(Swapped),
            ValueError,
            "column 1 is named id, but field 1 of Swapped",
        ),
        (
            lambda: query.union(query).limit(1).records(Named),
            ValueError,
            "must not be keyword-only",
        ),
        (
            lambda: people.select(people.c.id).records(Person),
            ValueError,
            "Person has 3 fields, id, name, active, but the query yields 1 columns",
        ),
        (lambda: query.records(5), TypeError, "make must be a class or a function"),
        (lambda: query.records(Person)([{"id": 1}]), TypeError, "rows must be sequences"),
        (lambda: query.records(Person)([(1, "a")]), ValueError, "rows must have 3 values, got 2"),
        (lambda: query.records(Person).one((1,)), ValueError, "rows must have 3 values, got 1"),
    ],
)
def test_what_is_not_such_a_row_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
