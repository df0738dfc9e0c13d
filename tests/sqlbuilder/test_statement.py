"""The ways to ask for a statement: parameters, tags, prepared forms."""

import uuid
from datetime import datetime, timedelta, timezone
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


class Nothing(Enum):
    NONE = None


class Broken(Enum):
    NAN = float("nan")
    TUPLE = (1, 2)


class Valued(int):
    value = 5


class NotATime(datetime):
    """What pandas.NaT is: a datetime that equals nothing, not even itself."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


ENUM: Any = Enum  # called with names that are known only here
EAST = timezone(timedelta(hours=2))
AWARE = datetime(2014, 7, 1, 14, 0, tzinfo=EAST)
IN_UTC = datetime(2014, 7, 1, 12, 0)
TEXT = "2014-07-01 12:00:00.000000"
SENT = [
    (Colour.RED, "red", "red", "red"),
    (ENUM("E", {"A": "it's"})["A"], "it's", "it's", "it's"),
    (ENUM("E", {"A": 2.5})["A"], Decimal("2.5"), Decimal("2.5"), 2.5),
    (ENUM("E", {"A": b"x"})["A"], b"x", b"x", b"x"),
    (ENUM("E", {"A": Decimal("1.50")})["A"], Decimal("1.5"), Decimal("1.5"), 1.5),
    (Valued(9), 9, 9, 9),
    (0.1, Decimal("0.1"), Decimal("0.1"), 0.1),
    (1e300, 1e300, Decimal("1e300"), 1e300),
    (Decimal("1E+3"), Decimal(1000), Decimal(1000), 1000),
    (Decimal("2.5"), Decimal("2.5"), Decimal("2.5"), 2.5),
    (AWARE, IN_UTC, f"{TEXT}+00:00", TEXT),
    (IN_UTC, IN_UTC, IN_UTC, TEXT),
    (-timedelta(minutes=90), "-01:30:00.000000", -timedelta(minutes=90), "-01:30:00.000000"),
    (uuid.UUID(int=5), str(uuid.UUID(int=5)), str(uuid.UUID(int=5)), str(uuid.UUID(int=5))),
    (bytearray(b"z"), b"z", b"z", b"z"),
]


@pytest.mark.parametrize("paramstyle", ["format", "named", "numeric", "pyformat", "qmark"])
@pytest.mark.parametrize(("value", "mysql", "postgresql", "sqlite"), SENT)
def test_a_slot_is_filled_with_what_bind_sends(
    value: Any, mysql: object, postgresql: object, sqlite: object, paramstyle: str
) -> None:
    slot = sb.slot("v", type(value))
    make: Any
    for dialect, wanted in (("mysql", mysql), ("postgresql", postgresql), ("sqlite", sqlite)):
        how = {"dialect": dialect}
        for make in (
            lambda v: t1.select(a).where(a == v),
            lambda v: t1.insert(a).row(v),
            lambda v: t1.update().set(a, v).all_rows(),
            lambda v: t1.select(sb.func("f", v)),
        ):
            text, parameters = make(value).bind("db", paramstyle, **how)
            prepared = make(slot).prepare("db", paramstyle=paramstyle, **how)
            assert prepared.bind(v=value) == (text, parameters)
            [got] = parameters.values() if isinstance(parameters, dict) else parameters
            assert (got, type(got)) == (wanted, type(wanted))
            assert make(slot).prepare("db", **how).sql(v=value) == make(value).sql("db", **how)
        many = t1.select(a).where(a.in_(sb.slot("v", type(value), many=True)))
        text, parameters = t1.select(a).where(a.in_([value, value])).bind("db", paramstyle, **how)
        if paramstyle in ("format", "qmark"):
            filled = many.prepare("db", paramstyle=paramstyle, **how).bind(v=[value, value])
            assert filled == (text, parameters)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        NotATime(1, 1, 1),
        Broken.NAN,
        1 << 64,
        -(1 << 63) - 1,
        "\ud800",
        "\udc80 of surrogateescape",
    ],
)
def test_what_no_literal_writes_no_driver_is_sent(value: Any) -> None:
    slot = sb.slot("v", type(value))
    many = sb.slot("v", type(value), many=True)
    make: Any
    for style in (None, "format", "named"):
        for make in (
            lambda v: t1.select(a).where(a == v),
            lambda v: t1.select(a).where(b / v > 5),
            lambda v: t1.insert(a).row(v),
            lambda v: t1.select(a).where(a.in_([1, v])),
            lambda v: t1.insert(a, b).rows([(1, "x"), (2, v)]),
        ):
            with pytest.raises(ValueError, match="value must "):
                make(value).bind("db", style) if style else make(value).sql("db")
        for prepared in (
            t1.select(a).where(a == slot).prepare("db", paramstyle=style),
            t1.select(b / slot).prepare("db", paramstyle=style),
        ):
            with pytest.raises(ValueError, match="value must "):
                prepared.bind(v=value) if style else prepared.sql(v=value)
    for style in (None, "format"):
        prepared = t1.select(a).where(a.in_(many)).prepare("db", paramstyle=style)
        with pytest.raises(ValueError, match="value must "):
            prepared.bind(v=[value]) if style else prepared.sql(v=[value])


def test_an_enum_of_what_has_no_literal_is_refused_when_built() -> None:
    use: Any
    for use in (lambda: a == Broken.TUPLE, lambda: a.in_([Broken.TUPLE]), lambda: a + Broken.TUPLE):
        with pytest.raises(TypeError, match="literal, got <Broken"):
            use()


def test_a_slot_that_is_not_nullable_refuses_none_in_an_enum() -> None:
    statement = t1.insert(a).row(sb.slot("v", Nothing))
    for style in (None, "format"):
        prepared = statement.prepare("db", paramstyle=style)
        with pytest.raises(TypeError, match="slot v must not be None, got <Nothing"):
            prepared.bind(v=Nothing.NONE) if style else prepared.sql(v=Nothing.NONE)
    nullable = t1.insert(a).row(sb.slot("v", Nothing, nullable=True))
    assert nullable.prepare("db", paramstyle="format").bind(v=Nothing.NONE)[1] == (None,)


@pytest.mark.parametrize(
    ("paramstyle", "sign"),
    [("format", "%%"), ("pyformat", "%%"), ("qmark", "%"), ("numeric", "%"), ("named", "%")],
)
def test_a_percent_sign_in_the_text_is_doubled_where_the_driver_formats_it(
    paramstyle: str, sign: str
) -> None:
    for dialect in ("mysql", "sqlite", "postgresql"):
        for statement in (t1.select(a % 2), t1.select(a).where(a % b == 1)):
            texts = [statement.bind("db", paramstyle, dialect=dialect, tags={"r": "/"})[0]]
            prepared = statement.prepare(
                "db", paramstyle=paramstyle, dialect=dialect, tags={"r": "/"}
            )
            texts.append(prepared.bind()[0])
            for text in texts:
                assert f" {sign} " in text
                assert f"r='{sign}2F'" in text
        assert " % " in t1.select(a % 2).sql("db", dialect=dialect)


def test_what_a_careless_driver_takes_for_a_placeholder_is_not_in_the_text() -> None:
    span = sb.interval(timedelta(hours=25, minutes=2, microseconds=3), exact=True)
    statement = t1.select(t1.c.col4 + span).comment("who? me.")
    for dialect in ("mysql", "postgresql"):
        for style in ("numeric", "named"):
            assert ":" not in statement.bind("db", style, dialect=dialect)[0]
        assert "?" not in statement.bind("db", "qmark", dialect=dialect)[0]
    assert "/* who? me. */" in statement.sql("db")
    assert "/* who? me. */" in statement.bind("db")[0]


def test_lists_and_rows_of_every_length() -> None:
    """The marks of long lists are copied in blocks: each length has to come out right."""
    for size in [*range(1, 70), 1000]:
        numbers = [-(1 << 63), (1 << 63) - 1, *range(size)][:size]
        texts = ["é", None, "字", *map(str, range(size))][:size]
        for mark, style in (("%s", "format"), ("?", "qmark")):
            marks = ",".join([mark] * size)
            for values in (numbers, [v for v in texts if v is not None], [True, *numbers]):
                text, parameters = t1.select(a).where(a.in_(values)).bind("db", style)
                assert text == f"{HEAD}`table1`.`col1` IN ({','.join([mark] * len(values))})"
                assert parameters == tuple(values)
            rows = t1.insert(*[a] * size).rows([numbers, texts, numbers])
            text, parameters = rows.bind("db", style)
            assert text.split(" VALUES ")[1] == f"({marks}), ({marks}), ({marks})"
            assert parameters == (*numbers, *texts, *numbers)
        listed = t1.select(a).where(a.in_(numbers)).sql("db")
        assert listed == f"{HEAD}`table1`.`col1` IN ({','.join(map(str, numbers))})"
        wide = t1.select(a).where((b == "字") & a.in_(numbers))
        assert wide.sql("db") == f"{HEAD}(`table1`.`col2`='字' AND {listed.split('WHERE ')[1]})"
        assert wide.bind("db")[1] == ("字", *numbers)


def test_counts_and_spans_are_what_they_are_whatever_they_say() -> None:
    class Liar(int):
        def __int__(self) -> int:
            return 99

        def __index__(self) -> int:
            return 99

        def __str__(self) -> str:
            return "1; DROP TABLE t"

        __format__ = __str__  # type: ignore[assignment]

    class LyingSpan(timedelta):
        days = seconds = microseconds = 99

    assert t1.select(a).limit(Liar(5)).offset(Liar(6)).sql("db").endswith(" LIMIT 6, 5")
    assert sb.gtid_next(bytes(16), Liar(7)).sql("db").endswith(':7"')
    assert "'1:0:0:0'" in t1.select(a + sb.interval(LyingSpan(hours=1))).sql("db")


def test_a_float_beside_a_product_is_a_double_in_mysql() -> None:
    texts = [
        (sb.literal(1.0) / 3, "1e0 / 3"),
        (a / 2.5, "`table1`.`col1` / 2.5e0"),
        (1e-30 * a, "1e-30 * `table1`.`col1`"),
        (a % sb.literal(-0.5), "`table1`.`col1` % -0.5e0"),
        (a + 1.0, "`table1`.`col1` + 1"),
    ]
    for expression, text in texts:
        assert t1.select(expression).sql("db").split(" FROM")[0] == f"SELECT {text}"
    for dialect in ("sqlite", "postgresql"):
        assert " / 2.5 " in t1.select(a / 2.5).sql("db", dialect=dialect)
    assert t1.select(a / 2.5).bind("db")[1] == (2.5,)
    assert type(t1.select(a / 2.5).bind("db")[1][0]) is float
    slot = t1.select(a / sb.slot("v", float))
    assert slot.prepare("db").sql(v=1.0) == t1.select(a / 1.0).sql("db")
    assert type(slot.prepare("db", paramstyle="format").bind(v=1.0)[1][0]) is float


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


@pytest.mark.parametrize("name", ["self", "cls", "values", "slot", "database"])
def test_a_slot_may_have_any_name(name: str) -> None:
    statement = t1.select(a).where(a == sb.slot(name, int))
    assert statement.prepare("db").sql(**{name: 5}) == HEAD + "`table1`.`col1`=5"
    bound = statement.prepare("db", paramstyle="qmark")
    assert bound.bind(**{name: 5}) == (HEAD + "`table1`.`col1`=?", (5,))


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
