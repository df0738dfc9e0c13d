"""SELECT: what it is read from, and what can be said of it."""

from typing import Any

import pytest
from support.sqltables import people, t1, t2, t3

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b, c, d = t1.c.col1, t1.c.col2, t1.c.col3, t1.c.col4
HEAD = "SELECT `table1`.`col1` FROM `db`.`table1`"
base = t1.select(a)
on12 = c == t2.c.col3
on13 = a == t3.c.col1


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (base, HEAD),
        (t1.select(a, b), "SELECT `table1`.`col1`,`table1`.`col2` FROM `db`.`table1`"),
        (base.where(a > 123), f"{HEAD} WHERE `table1`.`col1`>123"),
        (base.where(a > 1).replace_where(a < 9), f"{HEAD} WHERE `table1`.`col1`<9"),
        (
            base.where(a > 1).where(a < 9),
            f"{HEAD} WHERE (`table1`.`col1`>1 AND `table1`.`col1`<9)",
        ),
        (
            base.group_by(a).having(a > 1).having(a < 9),
            f"{HEAD} GROUP BY `table1`.`col1` HAVING (`table1`.`col1`>1 AND `table1`.`col1`<9)",
        ),
        (
            base.group_by(a).having(a > 1).replace_having(a < 9),
            f"{HEAD} GROUP BY `table1`.`col1` HAVING `table1`.`col1`<9",
        ),
        (
            base.and_where(a > 123).and_where(a < 321),
            f"{HEAD} WHERE (`table1`.`col1`>123 AND `table1`.`col1`<321)",
        ),
        (base.limit(5), f"{HEAD} LIMIT 5"),
        (base.limit(0), f"{HEAD} LIMIT 0"),
        (base.limit(5).offset(2), f"{HEAD} LIMIT 2, 5"),
        (base.offset(2), f"{HEAD} LIMIT 2, 18446744073709551615"),
        (base.group_by(a, b), f"{HEAD} GROUP BY `table1`.`col1`,`table1`.`col2`"),
        (base.order_by(b), f"{HEAD} ORDER BY `table1`.`col2`"),
        (base.order_by(sb.asc(b)), f"{HEAD} ORDER BY `table1`.`col2` ASC"),
        (base.order_by(sb.desc(b), a), f"{HEAD} ORDER BY `table1`.`col2` DESC,`table1`.`col1`"),
        (base.with_shared_lock(), f"{HEAD} LOCK IN SHARE MODE"),
        (base.for_update(), f"{HEAD} FOR UPDATE"),
        (base.with_shared_lock().for_update(), f"{HEAD} FOR UPDATE"),
        (base.for_update().with_shared_lock(), f"{HEAD} FOR UPDATE"),
        (base.for_update(nowait=True), f"{HEAD} FOR UPDATE NOWAIT"),
        (base.for_update(skip_locked=True), f"{HEAD} FOR UPDATE SKIP LOCKED"),
        (base.with_shared_lock(skip_locked=True), f"{HEAD} FOR SHARE SKIP LOCKED"),
        (base.distinct(), "SELECT DISTINCT `table1`.`col1` FROM `db`.`table1`"),
        (base.comment("v1.2 who?"), HEAD.replace("SELECT ", "SELECT /* v1.2 who? */")),
        (t1.select(sb.star()), "SELECT * FROM `db`.`table1`"),
        (t1.select(t1.star), "SELECT `table1`.* FROM `db`.`table1`"),
        (t1.select(sb.count()), "SELECT COUNT(*) FROM `db`.`table1`"),
        (
            t1.select(sb.count(a, distinct=True)),
            "SELECT COUNT(DISTINCT `table1`.`col1`) FROM `db`.`table1`",
        ),
    ],
)
def test_a_select_says(statement: Any, text: str) -> None:
    assert statement.sql("db") == text


def test_an_alias_is_named_after_the_select_list() -> None:
    total = sb.alias("total", sb.func("sum", c))
    statement = t1.select(a, total).group_by(a).having(total > 5).order_by(sb.desc(total))
    assert statement.sql("db") == (
        "SELECT `table1`.`col1`,(sum(`table1`.`col3`)) AS `total` FROM `db`.`table1` "
        "GROUP BY `table1`.`col1` HAVING `total`>5 ORDER BY `total` DESC"
    )
    with pytest.raises(ValueError, match="alias total works only in a select list"):
        t1.select(total).where(total > 5).sql("db")
    with pytest.raises(ValueError, match="alias total is not in the select list"):
        t1.select(a).order_by(total).sql("db")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (t1.join(t2, on12), "JOIN `db`.`table2` ON `table1`.`col3`=`table2`.`col3`"),
        (t1.left_join(t2, on12), "LEFT JOIN `db`.`table2` ON `table1`.`col3`=`table2`.`col3`"),
        (t1.right_join(t2, on12), "RIGHT JOIN `db`.`table2` ON `table1`.`col3`=`table2`.`col3`"),
        (t1.cross_join(t2), "CROSS JOIN `db`.`table2`"),
        (t1.join(t2, using=["col3", "col4"]), "JOIN `db`.`table2` USING (`col3`,`col4`)"),
        (
            t1.join(t2, on12).right_join(t3, on13),
            "JOIN `db`.`table2` ON `table1`.`col3`=`table2`.`col3` "
            "RIGHT JOIN `db`.`table3` ON `table1`.`col1`=`table3`.`col1`",
        ),
        (
            t1.left_join(t2.cross_join(t3), on13),
            "LEFT JOIN (`db`.`table2` CROSS JOIN `db`.`table3`) ON `table1`.`col1`=`table3`.`col1`",
        ),
    ],
)
def test_joins(source: Any, text: str) -> None:
    assert source.select(a).sql("db") == f"{HEAD} {text}"


def test_a_join_has_the_columns_of_its_tables() -> None:
    names = [column.name for column in t1.join(t2, on12).columns]
    assert names == ["col1", "col2", "col3", "col4", "col3", "col4"]


def test_self_join() -> None:
    parent = people.alias("parent")
    text = people.join(parent, people.c.id == parent.c.id).select(parent.c.name).sql("db")
    assert text == (
        "SELECT `parent`.`name` FROM `db`.`people` JOIN `db`.`people` AS `parent` "
        "ON `people`.`id`=`parent`.`id`"
    )
    with pytest.raises(ValueError, match=r"table people is in the join already.*alias"):
        people.cross_join(people)


def test_index_hints() -> None:
    hinted = t1.force_index("foo")
    assert hinted.select(a).sql("db") == f"{HEAD} FORCE INDEX (`foo`)"
    assert t1.use_index("x", "y").select(a).sql("db") == f"{HEAD} USE INDEX (`x`,`y`)"
    assert t1.ignore_index("x").select(a).sql("db") == f"{HEAD} IGNORE INDEX (`x`)"
    assert base.sql("db") == HEAD
    for name in ("foo\x00", "", "x" * 65, "\ud800"):
        with pytest.raises(ValueError, match="index name must have"):
            t1.force_index(name)
    with pytest.raises(ValueError, match="FORCE INDEX needs at least one index"):
        t1.force_index()


def test_a_statement_is_a_value() -> None:
    first = base.where(a > 123)
    second = first.where(a > 321).order_by(a).limit(3).distinct().comment("x").for_update()
    assert first.sql("db") == f"{HEAD} WHERE `table1`.`col1`>123"
    assert "LIMIT 3" in second.sql("db")
    assert base.sql("db") == HEAD


def test_a_query_in_from_has_a_name() -> None:
    inner = sb.subquery("x", t1.select(a, sb.alias("n", sb.count())).group_by(a))
    text = inner.select(inner.c.col1, inner.c.n).where(inner.c.n > 2).sql("db")
    assert text == (
        "SELECT `x`.`col1`,`x`.`n` FROM (SELECT `table1`.`col1`,(COUNT(*)) AS `n` "
        "FROM `db`.`table1` GROUP BY `table1`.`col1`) AS `x` WHERE `x`.`n`>2"
    )
    with pytest.raises(ValueError, match="all columns of query x must have names"):
        sb.subquery("x", t1.select(a + 1))


def test_a_query_in_with_has_a_name() -> None:
    big = sb.cte("big", t1.select(a).where(a > 9))
    text = big.select(big.c.col1).with_(big).sql("db")
    assert text == (
        f"WITH `big` AS ({HEAD} WHERE `table1`.`col1`>9) SELECT `big`.`col1` FROM `big`"
    )
    other = sb.cte("other", big.select(big.c.col1))
    both = other.select(other.c.col1).with_(big, other).sql("db")
    assert both.endswith(
        ", `other` AS (SELECT `big`.`col1` FROM `big`) SELECT `other`.`col1` FROM `other`"
    )
    with pytest.raises(ValueError, match="query big is not in the WITH"):
        big.select(big.c.col1).sql("db")


def test_window_functions() -> None:
    rank = sb.func("ROW_NUMBER").over(partition_by=[b], order_by=[sb.desc(a)])
    assert t1.select(sb.alias("r", rank)).sql("db") == (
        "SELECT (ROW_NUMBER() OVER (PARTITION BY `table1`.`col2` ORDER BY `table1`.`col1` DESC))"
        " AS `r` FROM `db`.`table1`"
    )
    assert "OVER ()" in t1.select(sb.count().over()).sql("db")


def test_a_column_of_a_table_that_is_not_there_is_refused() -> None:
    for wrong in (
        t1.select(t2.c.col3),
        base.where(t2.c.col3 == 1),
        base.group_by(t2.c.col3),
        base.having(t2.c.col3 == 1),
        base.order_by(t2.c.col3),
        t1.select(t2.star),
        t1.join(t2, t3.c.col1 == a).select(a),
        base.where(a.in_(t2.select(t3.c.col1))),
        sb.subquery("x", t2.select(t2.c.col3).where(t2.c.col3 == a)).select(sb.star()),
    ):
        with pytest.raises(ValueError, match="is not in this statement, whose tables are"):
            wrong.sql("db")


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: t1.select().sql("db"), ValueError, "SELECT needs at least one column"),
        (lambda: t1.select("col1"), TypeError, "columns must be columns"),
        (lambda: t1.select(None), TypeError, "columns must be columns"),
        (lambda: t1.join(t2), ValueError, "a join needs a condition"),
        (lambda: t1.join(t2, None), ValueError, "a join needs a condition"),
        (lambda: t1.join(None, on12), TypeError, "other must be a table or a join"),
        (lambda: t1.join(t2, True), TypeError, "got the Python bool True"),
        (lambda: t1.join(t2, on12, using=["x"]), ValueError, "either on or using"),
        (lambda: t1.join(t2, using="col3"), TypeError, "using must be an iterable"),
        (lambda: base.group_by(), ValueError, "GROUP BY needs at least one column"),
        (lambda: base.order_by(), ValueError, "ORDER BY needs at least one column"),
        (lambda: base.order_by(1), TypeError, "a term of ORDER BY must be"),
        (lambda: base.group_by("col1"), TypeError, "a term of GROUP BY must be"),
        (lambda: sb.asc(None), TypeError, "a term of ORDER BY must be"),
        (lambda: base.limit(-1), ValueError, r"limit must be an int in \[0, 2\*\*63\), got -1"),
        (lambda: base.offset(-1), ValueError, "offset must be an int"),
        (lambda: base.limit(2**63), ValueError, "limit must be an int"),
        (lambda: base.limit(1.0), TypeError, "limit must be an int"),
        (lambda: base.limit(True), TypeError, "limit must be an int"),
        (lambda: base.for_update(nowait=True, skip_locked=True), ValueError, "either nowait"),
        (lambda: base.with_(), ValueError, "WITH needs at least one query"),
        (lambda: base.with_(base), TypeError, "must be made by cte"),
        (lambda: base.with_(t1).sql("db"), TypeError, "has no definition for WITH"),
        (lambda: base.sql(""), ValueError, "database must have at least 1 character"),
        (lambda: base.sql("d\0b"), ValueError, "database must have no NUL"),
        (lambda: base.sql("x" * 65), ValueError, "at most 64 characters"),
        (lambda: base.sql(5), TypeError, "database must be a str"),
        (
            lambda: base.sql("db", dialect="oracle"),
            ValueError,
            "dialect must be a Dialect or one of mysql, mariadb, sqlite",
        ),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
