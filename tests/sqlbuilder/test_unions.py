"""UNION."""

from typing import Any

import pytest
from support.sqltables import t1, t2

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b, d = t1.c.col1, t1.c.col2, t1.c.col4
HEAD = "SELECT `table1`.`col1` FROM `db`.`table1`"
first, second = t1.select(a).where(a > 123), t1.select(a).where(a < 23)
FIRST, SECOND = f"{HEAD} WHERE `table1`.`col1`>123", f"{HEAD} WHERE `table1`.`col1`<23"


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (sb.union(first, second, first), f"({FIRST}) UNION ({SECOND}) UNION ({FIRST})"),
        (sb.union_all(first, second), f"({FIRST}) UNION ALL ({SECOND})"),
        (sb.union(first), FIRST),
        (sb.union(first).limit(3), f"({FIRST}) LIMIT 3"),
        (sb.union(first).order_by(a), f"({FIRST}) ORDER BY `col1`"),
        (
            sb.union(first, second).order_by(sb.desc(a)).limit(5).offset(2),
            f"({FIRST}) UNION ({SECOND}) ORDER BY `col1` DESC LIMIT 2, 5",
        ),
        (
            sb.union(first, second.order_by(d).limit(20)),
            f"({FIRST}) UNION ({SECOND} ORDER BY `table1`.`col4` LIMIT 20)",
        ),
    ],
)
def test_a_union_says(statement: Any, text: str) -> None:
    assert statement.sql("db") == text


def test_a_union_is_ordered_by_an_alias() -> None:
    n = sb.alias("n", sb.count())
    statement = sb.union(t1.select(n), t2.select(sb.alias("m", sb.count()))).order_by(n)
    assert statement.sql("db").endswith(") ORDER BY `n`")


def test_a_union_is_a_value_and_a_query() -> None:
    base = sb.union(first, second)
    assert base.limit(1).sql("db") != base.sql("db")
    named = sb.subquery("u", base)
    assert named.select(named.c.col1).sql("db") == (
        f"SELECT `u`.`col1` FROM (({FIRST}) UNION ({SECOND})) AS `u`"
    )
    assert t1.select(b).where(b.in_(base)).sql("db").endswith(f"IN (({FIRST}) UNION ({SECOND}))")


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.union(), ValueError, "UNION needs at least one SELECT"),
        (lambda: sb.union(t1), TypeError, "selects must be SELECTs"),
        (
            lambda: sb.union(first, t1.select(a, b)),
            ValueError,
            "the same number of columns, got 1 and 2",
        ),
        (lambda: sb.union(first.order_by(a), second), ValueError, "must have LIMIT if it has"),
        (lambda: sb.union(first, second).order_by(b), ValueError, "columns of its first SELECT"),
        (lambda: sb.union(first, second).limit(-1), ValueError, "limit must be an int"),
        (lambda: sb.union(first, second).where(a == 1), AttributeError, "where"),
        (lambda: sb.union(first, second).group_by(a), AttributeError, "group_by"),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
