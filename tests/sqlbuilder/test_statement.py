"""The ways to ask for a statement: parameters, tags, prepared forms."""

import uuid
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sqltables import t1

from godropbox.database import sqlbuilder, sqltypes

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b = t1.c.col1, t1.c.col2
HEAD = "SELECT `table1`.`col1` FROM `db`.`table1` WHERE "
query = t1.select(a).where((a == 5) & b.in_([1, "x"]) & (b != None))  # noqa: E711


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("paramstyle", "marks", "parameters"),
    [
        ("format", ("%s", "%s", "%s"), (5, 1, "x")),
        ("qmark", ("?", "?", "?"), (5, 1, "x")),
        ("numeric", (":1", ":2", ":3"), (5, 1, "x")),
        ("named", (":p1", ":p2", ":p3"), {"p1": 5, "p2": 1, "p3": "x"}),
        ("pyformat", ("%(p1)s", "%(p2)s", "%(p3)s"), {"p1": 5, "p2": 1, "p3": "x"}),
    ],
)
def test_bind(paramstyle: Any, marks: tuple[str, ...], parameters: object) -> None:
    text, given = query.bind("db", paramstyle)
    assert text == (
        HEAD
        + "(`table1`.`col1`={} AND `table1`.`col2` IN ({},{}) "
        "AND `table1`.`col2` IS NOT null)".format(*marks)
    )
    assert given == parameters


def test_bind_rows() -> None:
    statement = t1.insert(a, b).rows([(1, 2), (None, "y")]).row(b"z", True)
    text, parameters = statement.bind("db", "qmark", dialect="sqlite")
    assert text.endswith(" VALUES (?,?), (?,?), (?,?)")
    assert parameters == (1, 2, None, "y", b"z", True)


def test_bind_sends_plain_values_of_rarer_types() -> None:
    moment, identity = datetime(2014, 7, 1, 12), uuid.UUID(int=5)
    values = [moment, Decimal("1.5"), identity, Colour.RED, 2.5, bytearray(b"z")]
    _, parameters = t1.select(a).where(a.in_(values)).bind("db")
    assert parameters == (moment, Decimal("1.5"), str(identity), "red", 2.5, b"z")
    text, parameters = t1.select(a).where(a.in_(values)).bind("main", "qmark", dialect="sqlite")
    assert parameters == ("2014-07-01 12:00:00.000000", 1.5, str(identity), "red", 2.5, b"z")
    assert text.endswith(" IN (?,?,?,?,?,?)")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    | st.binary(max_size=9)
    | st.decimals(0, 99, places=3)
    | st.datetimes()
    | st.sampled_from(Colour)
)


@settings(deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=30), style=st.sampled_from(["format", "qmark"]))
def test_parameters_in_place_of_their_marks_are_the_text_with_literals(
    values: list[object], style: str
) -> None:
    for statement in (
        t1.select(a).where((b == values[0]) & a.in_([v for v in values if v is not None])),
        t1.insert(a, b).rows([values[:1] * 2] + [[value, 7] for value in values]),
    ):
        text, parameters = statement.bind("db", style)
        pieces = text.split("%s" if style == "format" else "?")
        literals = [*map(sqltypes.encode_sql, parameters), ""]
        filled = "".join(map("".join, zip(pieces, literals, strict=True)))
        assert filled == statement.sql("db")


def test_bind_refuses_what_has_no_literal() -> None:
    for value in (float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="value must be finite"):
            t1.select(a).where(a == value).bind("db")
    with pytest.raises(ValueError, match="paramstyle must be one of format, qmark"):
        query.bind("db", "percent")


def test_tags() -> None:
    tags = {"route": "/a b?x=%1", "app": "it's */ ; --\n\u00e9"}
    plain = t1.select(a).where(a == 5)
    text = plain.sql("db", tags=tags)
    assert text == (
        HEAD + "`table1`.`col1`=5 /*app='it%27s%20%2A%2F%20%3B%20--%0A%C3%A9',"
        "route='%2Fa%20b%3Fx%3D%251'*/"
    )
    assert unquote(text.split("route='")[1].split("'")[0]) == tags["route"]
    assert "%%2Fa" in plain.bind("db", "format", tags=tags)[0]
    assert "%%2Fa" in plain.bind("db", "pyformat", tags=tags)[0]
    assert "='%2Fa" in plain.bind("db", "qmark", tags=tags)[0]
    assert plain.sql("db", tags={}) == plain.sql("db")
    with pytest.raises(TypeError, match="tags must be a mapping"):
        plain.sql("db", tags="x")
    with pytest.raises(TypeError, match="a tag must be a str"):
        plain.sql("db", tags={"x": 5})


def test_prepare_fills_slots() -> None:
    statement = t1.select(a).where(
        (a == sb.slot("n", int)) & b.in_(sb.slot("ids", int, many=True)) & (a > 7)
    )
    prepared = statement.prepare("db")
    assert prepared.slots == ("ids", "n")
    text = HEAD + "(`table1`.`col1`={} AND `table1`.`col2` IN ({}) AND `table1`.`col1`>{})"
    assert prepared.sql(n=5, ids=[1, 2]) == text.format(5, "1,2", 7)
    assert prepared.sql(n=-1, ids=(3,)) == text.format(-1, "3", 7)
    bound = statement.prepare("db", paramstyle="qmark")
    assert bound.bind(n=5, ids=[1, 2]) == (text.format("?", "?,?", "?"), (5, 1, 2, 7))
    assert bound.bind(n=6, ids=[1]) == (text.format("?", "?", "?"), (6, 1, 7))
    with pytest.raises(TypeError, match=r"fill it with bind\(\)"):
        bound.sql(n=5, ids=[1])
    with pytest.raises(TypeError, match=r"fill it with sql\(\)"):
        prepared.bind(n=5, ids=[1])
    with pytest.raises(ValueError, match="a slot of many values needs format or qmark"):
        statement.prepare("db", paramstyle="named")


def test_prepare_names_parameters() -> None:
    statement = t1.select(a).where((a == sb.slot("n", int)) & (b > 7) & (b < sb.slot("n", int)))
    text, parameters = statement.prepare("db", paramstyle="pyformat").bind(n=5)
    assert parameters == {"p1": 5, "p2": 7, "p3": 5}
    assert text.count("%(p3)s") == 1
    numbered = statement.prepare("db", paramstyle="numeric").bind(n=5)
    assert numbered[1] == (5, 7, 5)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({}, "the slots are n, s, got none"),
        ({"n": 1}, "the slots are n, s, got n"),
        ({"n": 1, "s": "x", "z": 1}, "the slots are n, s, got n, s, z"),
        ({"n": 1, "z": 1}, "slot s must be given a value"),
        ({"n": "1", "s": "x"}, "slot n must be int, got '1'"),
        ({"n": True, "s": "x"}, r"slot n must be int, got True \(bool\)"),
        ({"n": None, "s": "x"}, "slot n must be int, got None"),
    ],
)
def test_a_wrong_fill_is_refused(values: dict[str, object], match: str) -> None:
    statement = t1.select(a).where((a == sb.slot("n", int)) & (b == sb.slot("s", str)))
    with pytest.raises(TypeError, match=match):
        statement.prepare("db").sql(**values)
    with pytest.raises(TypeError, match=match):
        statement.prepare("db", paramstyle="format").bind(**values)


def test_slots_have_rules() -> None:
    with pytest.raises(ValueError, match=r"slot n has no value: .* prepare\(\)"):
        t1.select(a).where(a == sb.slot("n", int)).sql("db")
    with pytest.raises(ValueError, match="slot n is declared twice"):
        t1.select(a).where((a == sb.slot("n", int)) & (b == sb.slot("n", str))).prepare("db")
    with pytest.raises(TypeError, match="type of slot n must be a class"):
        sb.slot("n", "int")
    many = t1.select(a).where(a.in_(sb.slot("n", int, many=True))).prepare("db")
    for wrong in ([], 5, ["x"], "ab"):
        with pytest.raises(TypeError, match="slot n must be"):
            many.sql(n=wrong)
    update = t1.update().set(a, sb.slot("n", int, nullable=True)).all_rows().prepare("db")
    assert update.sql(n=None) == "UPDATE `db`.`table1` SET `table1`.`col1`=null"
