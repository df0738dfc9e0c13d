"""Tables that a statement makes itself: VALUES, table functions, JSON_TABLE."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from support.sqltables import t1

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a = t1.c.col1
key, value = sb.IntColumn("k"), sb.StrColumn("v")
pairs = sb.values_table("pairs", key, value, rows=[(1, "x'"), (2, None)])


def test_values_in_each_dialect() -> None:
    statement = sb.select(pairs)
    for dialect, text in {
        "mysql": "(VALUES ROW(1,'x\\''), ROW(2,null)) AS `pairs` (`k`,`v`)",
        "mariadb": "(SELECT 1 AS `k`,'x\\'' AS `v` UNION ALL VALUES (2,null)) AS `pairs`",
        "sqlite": """(SELECT 1 AS "k",'x''' AS "v" UNION ALL VALUES (2,null)) AS "pairs\"""",
        "postgresql": "(VALUES (CAST(1 AS BIGINT),CAST('x''' AS TEXT)), (2,null))"
        ' AS "pairs" ("k","v")',
    }.items():
        assert statement.sql("db", dialect=dialect).split(" FROM ", 1)[1] == text
    text, parameters = statement.bind("db", "qmark", dialect="sqlite")
    assert text.endswith('(SELECT ? AS "k",? AS "v" UNION ALL VALUES (?,?)) AS "pairs"')
    assert parameters == (1, "x'", 2, None)


def test_values_are_checked_by_their_columns() -> None:
    price = sb.DecimalColumn("price", precision=5, scale=2)
    day = sb.DateColumn("day")
    rows = [(Decimal("1.50"), date(2014, 7, 1)), (None, None)]
    made = sb.values_table("made", price, day, rows=rows)
    text = sb.select(made).sql("db", dialect="postgresql")
    assert "CAST(1.50 AS NUMERIC),CAST('2014-07-01'::date AS DATE)), (null,null))" in text
    with pytest.raises((TypeError, ValueError), match="price"):
        sb.values_table("made", price, rows=[(1.5,)])


def test_slots_in_values() -> None:
    one = sb.values_table("one", key, rows=[(sb.slot("n", int),)])
    prepared = sb.select(one).prepare("db", dialect="postgresql")
    assert prepared.sql(n=5).endswith('(VALUES (CAST(5 AS BIGINT))) AS "one" ("k")')


def test_values_see_no_columns() -> None:
    wrong = sb.values_table("w", key, rows=[(a,)])
    with pytest.raises(ValueError, match="table table1 is not in this statement"):
        t1.cross_join(wrong).select(a).sql("db")


def test_table_functions() -> None:
    each = sb.func("json_each", a).table_valued("j", sb.StrColumn("key"), value)
    statement = t1.join(each, each.c.key == "x").select(each.c.v)
    assert statement.sql("db", dialect="postgresql") == (
        'SELECT "j"."v" FROM "db"."table1" JOIN json_each("table1"."col1") AS "j" ("key","v") '
        'ON "j"."key"=\'x\''
    )
    assert ' JOIN json_each("table1"."col1") AS "j" ON ' in statement.sql("db", dialect="sqlite")
    with pytest.raises(sb.UnsupportedFeature, match="MySQL has no table functions"):
        statement.sql("db")
    with pytest.raises(ValueError, match="table table1 is not in this statement"):
        each.join(t1, a == 1).select(a).sql("db", dialect="sqlite")
    series = sb.func("generate_series", 1, 5).table_valued("s", key, ordinality="place")
    assert sb.select(series).sql("db", dialect="postgresql") == (
        'SELECT "s"."k","s"."place" FROM generate_series(1,5) WITH ORDINALITY AS "s" ("k","place")'
    )
    # Without columns among its arguments it is a table like any other.
    plain = sb.func("generate_series", 1, 5).table_valued("s", key)
    assert " RIGHT JOIN generate_series(1,5)" in t1.right_join(plain, plain.c.k == a).select(a).sql(
        "db", dialect="postgresql"
    )
    typed = sb.func("json_to_record", "{}").table_valued("r", key, value, typed=True)
    text = sb.select(typed).sql("db", dialect="postgresql")
    assert text.endswith('json_to_record(\'{}\') AS "r" ("k" BIGINT, "v" TEXT)')


def test_json_table() -> None:
    source = sb.json_table("j", a, "$[*]", key, value, paths={"v": "$.x[0]"}, ordinality="n")
    text = t1.left_join(source).select(source.c.n).sql("db")
    assert text.endswith(
        " LEFT JOIN JSON_TABLE(`table1`.`col1`,'$[*]' COLUMNS (`k` BIGINT PATH '$.k', "
        "`v` LONGTEXT PATH '$.x[0]', `n` FOR ORDINALITY)) AS `j` ON TRUE"
    )
    for dialect in ("sqlite", "postgresql"):
        with pytest.raises(sb.UnsupportedFeature, match="has no JSON_TABLE"):
            sb.select(source).sql("db", dialect=dialect)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.values_table("v", rows=[(1,)]), ValueError, "must have at least one column"),
        (lambda: sb.values_table("v", key, rows=[]), ValueError, "must have at least one row"),
        (lambda: sb.values_table("v", key, rows=[(1, 2)]), ValueError, r"rows\[0\] must have 1"),
        (lambda: sb.values_table("v", key, rows=[1]), TypeError, r"rows\[0\] must be a row"),
        (lambda: sb.values_table("v", key, rows="x"), TypeError, "rows must be an iterable"),
        (lambda: sb.values_table("v", key, rows=[({},)]), TypeError, "an operand must be"),
        (lambda: sb.values_table("", key, rows=[(1,)]), ValueError, "table name must have"),
        (lambda: sb.values_table("v", key, key, rows=[(1, 2)]), ValueError, "two columns named k"),
        (lambda: sb.values_table("v", "k", rows=[(1,)]), TypeError, "columns of v must be"),
        (
            lambda: sb.func("f").table_valued("v", key, ordinality="k"),
            ValueError,
            "two columns named k",
        ),
        (
            lambda: sb.func("f").table_valued("v", key, ordinality="n", typed=True),
            ValueError,
            "either typed columns or an ordinality",
        ),
        (lambda: sb.json_table("j", a, "$'", key), ValueError, "path must be"),
        (lambda: sb.json_table("j", a, "$%s", key), ValueError, "path must be"),
        (lambda: sb.json_table("j", a, "x", key), ValueError, "path must be"),
        (lambda: sb.json_table("j", a, 5, key), TypeError, "path must be a str"),
        (
            lambda: sb.json_table("j", a, "$", key, paths={"x": "$"}),
            ValueError,
            "paths must be for columns of j, got 'x'",
        ),
        (
            lambda: sb.select(sb.func("f").table_valued("r", sb.Column("x"), typed=True)).sql(
                "db", dialect="postgresql"
            ),
            ValueError,
            "no type without a name of column x",
        ),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
