"""INSERT, REPLACE, UPDATE and DELETE."""

from datetime import datetime
from typing import Any

import pytest
from support.sqltables import t1, t2

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b, c, d = t1.c.col1, t1.c.col2, t1.c.col3, t1.c.col4
INTO = "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) VALUES "
two = t1.insert(a, b)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (t1.insert(a).row(1), "INSERT INTO `db`.`table1` (`table1`.`col1`) VALUES (1)"),
        (
            t1.insert(d).row(datetime(1999, 1, 2, 3, 4, 5)),
            "INSERT INTO `db`.`table1` (`table1`.`col4`) VALUES ('1999-01-02 03:04:05.000000')",
        ),
        (
            t1.insert(a).row(1).ignore_duplicates(),
            "INSERT IGNORE INTO `db`.`table1` (`table1`.`col1`) VALUES (1)",
        ),
        (two.row(1, 2).row(11, 22).row(111, 222), f"{INTO}(1,2), (11,22), (111,222)"),
        (two.rows([(1, 2), [11, 22]]).row(None, "x"), f"{INTO}(1,2), (11,22), (null,'x')"),
        (two.rows(iter([(1, 2)])).rows([]), f"{INTO}(1,2)"),
        (two.row(1, a + 1).rows([(True, b"x")]), f"{INTO}(1,`table1`.`col1` + 1), (1,X'78')"),
        (two.row(bytearray(b"z"), 2.5), f"{INTO}(X'7a',2.5)"),
        (two.row(1, 2).comment("why not"), INTO.replace("INTO ", "INTO /* why not */") + "(1,2)"),
        (
            two.row(1, 2).on_duplicate_key_update(c, 3).on_duplicate_key_update(b, sb.values(b)),
            f"{INTO}(1,2) ON DUPLICATE KEY UPDATE `table1`.`col3`=3, "
            "`table1`.`col2`=VALUES(`table1`.`col2`)",
        ),
        (t1.replace(a).row(1), "REPLACE INTO `db`.`table1` (`table1`.`col1`) VALUES (1)"),
        (
            t1.insert(a).from_select(t2.select(t2.c.col3).where(t2.c.col4 > 1)),
            "INSERT INTO `db`.`table1` (`table1`.`col1`) "
            "SELECT `table2`.`col3` FROM `db`.`table2` WHERE `table2`.`col4`>1",
        ),
        (
            t1.update().set(a, 1).set(b, 2).where(b == 3),
            "UPDATE `db`.`table1` SET `table1`.`col1`=1, `table1`.`col2`=2 WHERE `table1`.`col2`=3",
        ),
        (
            t1.update().set(b, 2).set(a, b + 1).all_rows(),
            "UPDATE `db`.`table1` SET `table1`.`col2`=2, `table1`.`col1`=`table1`.`col2` + 1",
        ),
        (
            t1.update().set(a, None).where(b == 2).order_by(b).limit(5).comment("x"),
            "UPDATE /* x */`db`.`table1` SET `table1`.`col1`=null WHERE `table1`.`col2`=2 "
            "ORDER BY `table1`.`col2` LIMIT 5",
        ),
        (t1.delete().where(a == 1), "DELETE FROM `db`.`table1` WHERE `table1`.`col1`=1"),
        (t1.delete().all_rows(), "DELETE FROM `db`.`table1`"),
        (
            t1.delete().where(a == 1).where(b == 2),
            "DELETE FROM `db`.`table1` WHERE (`table1`.`col1`=1 AND `table1`.`col2`=2)",
        ),
        (
            t1.delete().where(a == 1).replace_where(b == 2),
            "DELETE FROM `db`.`table1` WHERE `table1`.`col2`=2",
        ),
        (
            t1.update().set(a, 1).where(a == 1).where(b == 2).where(c == 3),
            "UPDATE `db`.`table1` SET `table1`.`col1`=1 "
            "WHERE (`table1`.`col1`=1 AND `table1`.`col2`=2 AND `table1`.`col3`=3)",
        ),
        (
            t1.update().set(a, 1).where(a == 1).replace_where(b == 2),
            "UPDATE `db`.`table1` SET `table1`.`col1`=1 WHERE `table1`.`col2`=2",
        ),
        (
            t1.delete().where(a == 1).and_where(b == 2).order_by(sb.desc(a)).limit(5),
            "DELETE FROM `db`.`table1` WHERE (`table1`.`col1`=1 AND `table1`.`col2`=2) "
            "ORDER BY `table1`.`col1` DESC LIMIT 5",
        ),
    ],
)
def test_a_write_says(statement: Any, text: str) -> None:
    assert statement.sql("db") == text


def test_an_index_hint_is_left_to_reads() -> None:
    hinted = t1.force_index("x")
    for statement in (hinted.insert(a).row(1), hinted.delete().all_rows()):
        assert "INDEX" not in statement.sql("db")
    assert "INDEX" not in sb.lock_tables().read(hinted).sql("db")
    update = hinted.update().set(a, 1).all_rows().sql("db")
    assert update == "UPDATE `db`.`table1` FORCE INDEX (`x`) SET `table1`.`col1`=1"


def test_a_statement_is_a_value() -> None:
    one = two.row(1, 2)
    left, right = one.row(3, 4), one.row(5, 6)
    assert one.sql("db") == f"{INTO}(1,2)"
    assert left.sql("db") == f"{INTO}(1,2), (3,4)"
    assert right.sql("db") == f"{INTO}(1,2), (5,6)"
    rows = [[1, 2]]
    kept = two.rows(rows)
    rows[0][0] = 9
    rows.append([3, 4])
    assert kept.sql("db") == f"{INTO}(1,2)"
    update = t1.update().set(a, 1)
    update.set(b, 2).all_rows()
    assert update.all_rows().sql("db") == "UPDATE `db`.`table1` SET `table1`.`col1`=1"


def test_many_rows_one_at_a_time() -> None:
    statement = two
    for number in range(10_000):
        statement = statement.row(number, number)
    assert statement.sql("db").endswith(", (9998,9998), (9999,9999)")


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: t1.insert(), ValueError, "INSERT needs at least one column"),
        (lambda: t1.insert(None), TypeError, "column must be a column"),
        (lambda: t1.insert(t2.c.col3), ValueError, "is not a column of table table1"),
        (lambda: t1.insert(a).sql("db"), ValueError, "INSERT needs at least one row"),
        (lambda: t1.insert(a).rows([]).sql("db"), ValueError, "INSERT needs at least one row"),
        (lambda: two.row(1), ValueError, "a row must have 2 values, one per column, got 1"),
        (lambda: two.rows([(1, 2), (1, 2, 3)]), ValueError, "a row must have 2 values"),
        (lambda: two.rows("ab"), TypeError, "rows must be an iterable of rows"),
        (lambda: two.rows(["ab"]), TypeError, "a row must be an iterable of values"),
        (lambda: two.rows([5]), TypeError, "a row must be an iterable of values"),
        (lambda: two.row(1, object()), TypeError, "an operand must be"),
        (lambda: two.from_select(t1), TypeError, "query must be a SELECT"),
        (lambda: two.row(1, 2).from_select(t1.select(a, b)).sql("d"), ValueError, "either rows"),
        (lambda: two.from_select(t1.select(a)).sql("d"), ValueError, "2 columns, got 1"),
        (
            lambda: two.from_select(t1.select(a, b)).from_select(t1.select(b, a)),
            ValueError,
            "the INSERT has a query already",
        ),
        (lambda: two.on_duplicate_key_update(None, 1), TypeError, "column must be a column"),
        (lambda: two.on_duplicate_key_update(t2.c.col3, 1), ValueError, "is not a column of"),
        (lambda: two.ignore_duplicates(1), TypeError, "ignore must be a bool"),
        (
            lambda: t1.replace(a).row(1).ignore_duplicates().sql("d"),
            ValueError,
            "REPLACE cannot have",
        ),
        (
            lambda: t1.replace(a).row(1).on_duplicate_key_update(a, 1).sql("d"),
            ValueError,
            "REPLACE cannot have",
        ),
        (
            lambda: t1.update().all_rows().sql("db"),
            ValueError,
            "UPDATE needs at least one assignment",
        ),
        (lambda: t1.update().set(None, 1), TypeError, "column must be a column"),
        (lambda: t1.update().set(t2.c.col3, 1), ValueError, "is not a column of table table1"),
        (lambda: t1.update().set(a, 1).set(a, 2), ValueError, "column col1 is set twice"),
        (lambda: t1.update().set(a, object()), TypeError, "an operand must be"),
        (lambda: t1.update().set(a, 1).sql("db"), ValueError, "UPDATE without WHERE"),
        (lambda: t1.delete().sql("db"), ValueError, "DELETE without WHERE"),
        (lambda: t1.delete().limit(5).sql("db"), ValueError, "DELETE without WHERE"),
        (lambda: t1.delete().all_rows().where(a == 1).sql("d"), ValueError, "either where"),
        (lambda: t1.delete().where(t2.c.col3 == 1).sql("d"), ValueError, "is not in this"),
        (lambda: t1.delete().where(True), TypeError, "got the Python bool True"),
        (lambda: t1.delete().limit(-1), ValueError, "limit must be an int"),
        (lambda: t1.alias("x").delete().all_rows().sql("d"), ValueError, "not to its alias"),
        (lambda: sb.values(5), TypeError, "column must be a column"),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
