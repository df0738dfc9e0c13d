"""Expressions that operators build."""

from decimal import Decimal
from enum import Enum
from functools import reduce
from operator import add, and_, or_
from typing import Any

import pytest
from support.sqltables import people, shown, t1, t2, where

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a: Any = t1.c.col1
b: Any = t1.c.col2
c: Any = t1.c.col3
A, B, C = "`table1`.`col1`", "`table1`.`col2`", "`table1`.`col3`"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (a == 321, f"{A}=321"),
        (a == None, f"{A} IS null"),  # noqa: E711
        (a != None, f"{A} IS NOT null"),  # noqa: E711
        (a == sb.literal(None), f"{A} IS null"),
        (a.is_null(), f"{A} IS null"),
        (a.is_not_null(), f"{A} IS NOT null"),
        (a != 123, f"{A}!=123"),
        (a < -1.5, f"{A}<-1.5"),
        (a <= "foo\"';drop user table;", f"{A}<='foo\\\"\\';drop user table;'"),
        (a > 1.1, f"{A}>1.1"),
        (a >= b, f"{A}>={B}"),
        (a > 5, f"{A}>5"),
        (a.like(sb.escape_for_like("%my_prefix") + "%"), f"{A} LIKE '\\%my\\_prefix%'"),
        (a.not_like("x"), f"{A} NOT LIKE 'x'"),
        (a.regexp("[[:<:]]log|[[.low-line.]]log"), f"{A} REGEXP '[[:<:]]log|[[.low-line.]]log'"),
        (a.in_([1, 2, 3]), f"{A} IN (1,2,3)"),
        (a.in_(iter((1, 2))), f"{A} IN (1,2)"),
        (a.in_(range(3)), f"{A} IN (0,1,2)"),
        (a.in_([]), "FALSE"),
        (a.not_in([]), "TRUE"),
        (a.not_in([1, 2]), f"{A} NOT IN (1,2)"),
        (a.between(1, 9), f"{A} BETWEEN 1 AND 9"),
        (a.not_between(b, c), f"{A} NOT BETWEEN {B} AND {C}"),
        (sb.tuple_(a, b).in_([(1, 2), (3, 4)]), f"({A},{B}) IN ((1,2), (3,4))"),
        (~(a == 123), f"NOT ({A}=123)"),
        ((a == 1) & (b == 2) & (c == 3), f"({A}=1 AND {B}=2 AND {C}=3)"),
        ((a == 1) & ((b == 2) & (c == 3)), f"({A}=1 AND ({B}=2 AND {C}=3))"),
        ((a == 1) | (b == 2) & (c == 3), f"({A}=1 OR ({B}=2 AND {C}=3))"),
        (people.c.active & (a == 1), f"(`people`.`active` AND {A}=1)"),
        (sb.func("f") & (a == 1), f"(f() AND {A}=1)"),
    ],
)
def test_conditions(expression: Any, text: str) -> None:
    assert where(expression) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (a + 1, f"{A} + 1"),
        (1 + a, f"1 + {A}"),
        (a - (a - 1), f"{A} - ({A} - 1)"),
        ((a - a) - 1, f"{A} - {A} - 1"),
        (a - -5, f"{A} - -5"),
        ((a + b) * c, f"({A} + {B}) * {C}"),
        (a + b * c, f"{A} + {B} * {C}"),
        (a / (b * c), f"{A} / ({B} * {C})"),
        (a * (b / c), f"{A} * ({B} / {C})"),
        (10 % a, f"10 % {A}"),
        (10 / a - 1, f"10 / {A} - 1"),
        (a | b, f"{A} | {B}"),
        (a | b | c, f"{A} | {B} | {C}"),
        (a | (b | c), f"{A} | ({B} | {C})"),
        ((a & b) | c, f"({A} & {B}) | {C}"),
        ((a + b) & c, f"({A} + {B}) & {C}"),
        ((a ^ b) + c, f"({A} ^ {B}) + {C}"),
        ((a == b) == c, f"({A}={B})={C}"),
        ((a + 1) == (b | 2), f"{A} + 1={B} | 2"),
        ((~(a == b)) == c, f"(NOT ({A}={B}))={C}"),
        (a.between(1, 2) == 1, f"({A} BETWEEN 1 AND 2)=1"),
        (2 | a, f"2 | {A}"),
        (2 & a, f"2 & {A}"),
        (2 ^ a, f"2 ^ {A}"),
        (2 - a, f"2 - {A}"),
        (2 * a, f"2 * {A}"),
    ],
)
def test_arithmetic_has_parentheses_where_they_are_needed(expression: Any, text: str) -> None:
    assert shown(expression) == text


def test_an_expression_has_no_truth_value() -> None:
    for use in (
        lambda: bool(a == 1),
        lambda: a == 1 and b == 2,
        lambda: 1 < a < 5,
        lambda: (a == 1) in [b == 2],
        lambda: not a,
    ):
        with pytest.raises(TypeError, match="has no truth value in Python"):
            use()


def test_an_expression_hashes_by_identity() -> None:
    assert {a: 1}[a] == 1
    assert hash(a == 1) != hash(a == 1)
    with pytest.raises(TypeError, match="not iterable"):
        list(a)


def test_a_chain_may_be_long() -> None:
    terms = [a == number for number in range(100_000)]
    text = where(reduce(and_, terms))
    assert text.startswith(f"({A}=0 AND {A}=1 AND ")
    assert text.endswith(f" AND {A}=99999)")
    assert text.count(" AND ") == 99_999
    assert where(reduce(or_, terms[:3])) == f"({A}=0 OR {A}=1 OR {A}=2)"


def test_the_parts_of_a_chain_stay_as_they_were() -> None:
    base = (a == 1) & (b == 2)
    left, right = base & (c == 3), base & (c == 4)
    assert where(base) == f"({A}=1 AND {B}=2)"
    assert where(left) == f"({A}=1 AND {B}=2 AND {C}=3)"
    assert where(right) == f"({A}=1 AND {B}=2 AND {C}=4)"


def test_nesting_has_a_limit_with_a_clear_error() -> None:
    with pytest.raises(ValueError, match="may nest at most 200 levels"):
        reduce(add, [a] * 100_000)
    with pytest.raises(ValueError, match="may nest at most 200 levels"):
        reduce(lambda inner, _: ~inner, range(1000), a == 1)
    deepest: Any = a
    for _ in range(199):
        deepest = 1 - deepest
    assert shown(deepest).count("(") == 198


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (a == 1) & True,
        lambda: True & (a == 1),
        lambda: (a == 1) | 5,
        lambda: 5 | (a == 1),
        lambda: ~people.c.name,
        lambda: (a == 1) & b,
        lambda: a == object(),
        lambda: a == t1.select(a),
        lambda: a == [1],
        lambda: a.in_("text"),
        lambda: a.in_(5),
        lambda: t1.select(a).where(True),
        lambda: t1.select(a).where(a),
        lambda: t1.select(a).where("1=1"),
    ],
)
def test_operands_of_a_wrong_kind_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        wrong()


class Nothing(Enum):
    NONE = None


NULLS = [None, Nothing.NONE, sb.literal(None), sb.literal(Nothing.NONE), sb.add(None)]
SLOT = sb.slot("s", int, nullable=True)


@pytest.mark.parametrize("null", NULLS)
def test_equality_with_none_in_any_position_is_null(null: Any) -> None:
    for equal, unequal in [
        (a == null, a != null),
        (sb.eq(a, null), sb.ne(a, null)),
        (sb.eq(null, a), sb.ne(null, a)),
        (null == a, null != a),
    ]:
        assert where(equal) == f"{A} IS null"
        assert where(unequal) == f"{A} IS NOT null"
        text, parameters = t1.select(a).where(equal).bind("db")
        assert text.endswith(f"{A} IS null")
        assert parameters == ()
    assert where(sb.eq(null, a + 1)) == f"{A} + 1 IS null"


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize(
    "condition",
    [
        lambda null: a < null,
        lambda null: a <= null,
        lambda null: a > null,
        lambda null: a >= null,
        lambda null: sb.lt(null, a),
        lambda null: sb.ge(null, a),
        lambda null: a.like(null),
        lambda null: a.not_like(null),
        lambda null: a.regexp(null),
        lambda null: a.between(null, 5),
        lambda null: a.between(5, null),
        lambda null: a.not_between(null, 5),
        lambda null: sb.tuple_(a, b) == sb.tuple_(1, null),
        lambda null: sb.tuple_(null, b) != sb.tuple_(1, 2),
        lambda null: sb.tuple_(a, null).in_([(1, 2)]),
    ],
)
def test_a_condition_that_none_keeps_from_being_true_is_refused(condition: Any, null: Any) -> None:
    with pytest.raises(ValueError, match=r"None is never true: "):
        condition(null)


@pytest.mark.parametrize(
    "condition",
    [
        lambda: a != SLOT,
        lambda: sb.ne(SLOT, a),
        lambda: a < SLOT,
        lambda: a.between(1, SLOT),
        lambda: a != sb.add(SLOT),
        lambda: a.in_(sb.slot("s", int, nullable=True, many=True)),
        lambda: ~a.in_(sb.slot("s", int, nullable=True, many=True)),
        lambda: sb.tuple_(a, SLOT) != sb.tuple_(1, 2),
        lambda: sb.tuple_(a, SLOT) == sb.tuple_(1, None),
    ],
)
def test_a_nullable_slot_is_compared_only_for_equality(condition: Any) -> None:
    with pytest.raises(ValueError, match=r"nullable slot is never true if"):
        condition()


def test_a_nullable_slot_equals_null_when_it_is_filled_with_none() -> None:
    for condition, left, right in ((a == SLOT, 0, 1), (sb.eq(SLOT, a), 1, 0)):
        for dialect, column, symbol in (
            ("mysql", A, "<=>"),
            ("sqlite", '"table1"."col1"', "IS"),
            ("postgresql", '"table1"."col1"', "IS NOT DISTINCT FROM"),
        ):
            prepared = t1.select(a).where(condition).prepare("db", dialect=dialect)
            for value, text in ((None, "null"), (5, "5")):
                sides = (column, text)
                assert prepared.sql(s=value).endswith(f" {sides[left]} {symbol} {sides[right]}")
    idiom = t1.select(a).where(SLOT.is_null() | (a == SLOT)).prepare("db")
    assert idiom.sql(s=None).endswith(f"(null IS null OR {A} <=> null)")


def test_ints_of_every_length_are_the_same_in_a_list_and_in_a_slot() -> None:
    numbers = [sign * (10**n + off) for n in range(19) for off in (-1, 0) for sign in (-1, 1)]
    numbers += [sign * (1 << n) for n in (29, 30, 31, 59, 60, 61, 62) for sign in (-1, 1)]
    numbers += [-(1 << 63), (1 << 63) - 1]
    wanted = f" IN ({','.join(map(str, numbers))})"
    assert t1.select(a).where(a.in_(numbers)).sql("db").endswith(wanted)
    many = t1.select(a).where(a.in_(sb.slot("s", int, many=True))).prepare("db")
    assert many.sql(s=numbers).endswith(wanted)
    assert many.sql(s=[1 << 63]).endswith(f" IN ({1 << 63})")
    one = t1.select(a).where(a == sb.slot("s", int)).prepare("db")
    assert [one.sql(s=number) for number in numbers] == [
        t1.select(a).where(a == number).sql("db") for number in numbers
    ]
    with pytest.raises(ValueError, match=r"18446744073709551616"):
        many.sql(s=[1, 1 << 64])


@pytest.mark.parametrize("null", [None, Nothing.NONE])
def test_none_in_a_list_is_refused(null: Any) -> None:
    wrong: Any
    for wrong in (
        lambda: a.in_([null, 10]),
        lambda: ~a.in_([10, null]),
        lambda: a.not_in([1, null]),
        lambda: a.in_(iter([null])),
        lambda: sb.in_(a, {null}),
        lambda: sb.not_in(a, ("x", null)),
        lambda: sb.tuple_(a, b).in_([(1, null)]),
    ):
        with pytest.raises(ValueError, match="IN never matches None in its list: leave"):
            wrong()
    for wrong in (lambda: sb.literal(null).in_([1]), lambda: sb.literal(null).not_in([1])):
        with pytest.raises(ValueError, match="IN with None is never true"):
            wrong()


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (
            lambda: sb.tuple_(a, b).in_([(1, 2), (3,)]),
            ValueError,
            r"values\[1\] must have 2 values like the left side, got 1",
        ),
        (lambda: sb.tuple_(a, b).in_([(1, 2, 3)]), ValueError, r"values\[0\] must have 2 values"),
        (lambda: sb.tuple_(a, b).not_in([(1, 2), ()]), ValueError, r"values\[1\] must have 2"),
        (lambda: sb.tuple_(a, b).in_([1, 2]), TypeError, r"values\[0\] must be a row"),
        (lambda: sb.tuple_(a, b).in_([(1, 2), "ab"]), TypeError, r"values\[1\] must be a row"),
        (lambda: sb.func("ROW", a, b).in_([(1, 2), (3,)]), ValueError, r"values\[1\] must have 2"),
        (lambda: a.in_([1, (2, 3)]), TypeError, "values of in_"),
        (lambda: a.in_([1, object()]), TypeError, "values of in_"),
        (lambda: a.in_([1, t1.select(b)]), TypeError, "values of in_"),
        (lambda: a.in_([1, b, object()]), TypeError, "values of in_"),
        (lambda: a.in_([b, sb.literal(None)]), ValueError, "IN with None is never true"),
        (lambda: a.in_([b, None]), ValueError, "IN never matches None"),
        (lambda: a.in_([b, pair]), ValueError, "must have 1 columns"),
        (lambda: pair.in_([(1, b), (b,)]), ValueError, r"must have 2 values"),
        (lambda: pair.in_([(1, b), c]), ValueError, "must have 2 columns"),
        (lambda: sb.tuple_(a, b).in_([(1, object())]), TypeError, "values of in_"),
    ],
)
def test_a_list_of_a_wrong_shape_is_refused_when_built(wrong: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


pair: Any = sb.tuple_(a, b)
triple: Any = sb.tuple_(1, 2, 3)


@pytest.mark.parametrize(
    ("wrong", "symbol", "widths"),
    [
        (lambda: pair == triple, "=", (2, 3)),
        (lambda: pair != triple, "!=", (2, 3)),
        (lambda: pair <= triple, "<=", (2, 3)),
        (lambda: sb.gt(triple, pair), ">", (3, 2)),
        (lambda: pair == 1, "=", (2, 1)),
        (lambda: sb.lt(1, pair), "<", (1, 2)),
        (lambda: pair == c, "=", (2, 1)),
        (lambda: c == pair, "=", (1, 2)),
        (lambda: pair == sb.literal("x"), "=", (2, 1)),
        (lambda: pair == sb.slot("s", int), "=", (2, 1)),
        (lambda: pair == c + 1, "=", (2, 1)),
        (lambda: pair == sb.add(c, 1), "=", (2, 1)),
        (lambda: sb.add(pair) == triple, "=", (2, 3)),
        (lambda: pair == t2.select(t2.c.col3).scalar(), "=", (2, 1)),
        (lambda: pair.like("x"), "LIKE", (2, 1)),
        (lambda: pair.between(1, 2), "BETWEEN", (2, 1)),
        (lambda: pair.between(sb.tuple_(1, 2), triple), "BETWEEN", (2, 3)),
        (lambda: pair.not_between(1, 2), "BETWEEN", (2, 1)),
        (lambda: c.between(1, pair), "BETWEEN", (1, 2)),
        (lambda: pair.in_(triple), "IN", (2, 3)),
    ],
)
def test_rows_of_unlike_widths_are_not_compared(wrong: Any, symbol: str, widths: Any) -> None:
    with pytest.raises(ValueError, match="the operands of") as caught:
        wrong()
    assert str(caught.value) == (
        f"the operands of {symbol} must have the same width, got {widths[0]} and {widths[1]}"
    )


def test_a_query_after_in_has_as_many_columns_as_what_is_looked_for() -> None:
    one, two = t2.select(t2.c.col3), t2.select(t2.c.col3, t2.c.col4)
    wrong: Any
    for wrong in (
        lambda: pair.in_(one),
        lambda: pair.not_in(one),
        lambda: pair.in_(sb.union(one, one)),
        lambda: a.in_(two),
        lambda: a.not_in(two),
        lambda: (a + 1).in_(two),
        lambda: one.scalar().in_(two),
    ):
        with pytest.raises(ValueError, match=r"the query after (NOT )?IN must have \d columns"):
            wrong()
    head, query = f"({A},{B})", "SELECT `table2`.`col3`,`table2`.`col4` FROM `db`.`table2`"
    select = t1.select(a)
    for right, text in [
        (pair.in_(two), f"{head} IN ({query})"),
        (pair == two.scalar(), f"{head}=({query})"),
        (pair.in_(t2.select(sb.star())), f"{head} IN (SELECT * FROM `db`.`table2`)"),
        (pair == sb.func("ROW", 1, 2), f"{head}=ROW(1,2)"),
        (pair == sb.add(sb.func("ROW", 1, 2)), f"{head}=ROW(1,2)"),
        (pair.between(pair, sb.tuple_(1, 2)), f"{head} BETWEEN {head} AND (1,2)"),
        (sb.tuple_(a) == 1, f"({A})=1"),
        (pair.is_null(), f"{head} IS null"),
    ]:
        assert select.where(right).sql("db").endswith(f" WHERE {text}")


@pytest.mark.parametrize("null", [*NULLS, sb.cast(None, "integer")])
def test_arithmetic_with_none_is_refused(null: Any) -> None:
    wrong: Any
    for wrong in (
        lambda: a + null,
        lambda: a - null,
        lambda: null - a,
        lambda: a * null,
        lambda: a / null,
        lambda: a % null,
        lambda: a | null,
        lambda: a & null,
        lambda: a ^ null,
        lambda: a == b + null,
        lambda: sb.add(a, 1, null),
        lambda: sb.sub(null, a),
        lambda: sb.mul(a, null),
        lambda: sb.div(null, a),
        lambda: sb.bit_or(a, null),
    ):
        with pytest.raises(ValueError, match=r". with None is always null: "):
            wrong()


def test_a_nullable_slot_stands_in_arithmetic() -> None:
    prepared = t1.update().set(a, a + SLOT).all_rows().prepare("db")
    assert prepared.sql(s=None).endswith(f"{A} + null")
    assert prepared.sql(s=5).endswith(f"{A} + 5")


def test_rows_of_any_kind_are_looked_for() -> None:
    rows = sb.tuple_(a, b).in_([[1, "x"], (Decimal("2.5"), b"y")])
    assert where(rows) == f"({A},{B}) IN ((1,'x'), (2.5,X'79'))"
    assert where(sb.func("ROW", a, b).in_([(1, 2)])) == f"ROW({A},{B}) IN ((1,2))"


def test_a_mutable_operand_is_copied() -> None:
    data = bytearray(b"ab")
    values = [1, 2]
    expression, listed = a == data, a.in_(values)
    data[:] = b"zz"
    values.append(3)
    assert where(expression) == f"{A}=X'6162'"
    assert where(listed) == f"{A} IN (1,2)"


def test_values_out_of_range_are_refused() -> None:
    for value in (2**64, -(2**63) - 1, float("nan"), float("inf"), "\ud800"):
        with pytest.raises(ValueError, match="value must be"):
            where(a == value)
        with pytest.raises(ValueError, match="value must be"):
            where(a.in_([1, value]))


def test_a_query_in_an_expression() -> None:
    inner = t2.select(t2.c.col3).where(t2.c.col4 == a)
    text = f"SELECT `table2`.`col3` FROM `db`.`table2` WHERE `table2`.`col4`={A}"
    statement = t1.select(a)
    head = f"SELECT {A} FROM `db`.`table1` WHERE "
    assert statement.where(a.in_(inner)).sql("db") == f"{head}{A} IN ({text})"
    assert statement.where(a.not_in(inner)).sql("db") == f"{head}{A} NOT IN ({text})"
    assert statement.where(a == inner.scalar()).sql("db") == f"{head}{A}=({text})"
    assert statement.where(sb.exists(inner)).sql("db") == f"{head}EXISTS ({text})"


def test_reprs_can_be_read() -> None:
    assert repr(a == 5) == f"<Binary {A}=5>"
    assert repr(t1.select(a)) == f"<Select SELECT {A} FROM `table1`>"
    assert "must be" in repr(a == float("nan"))
