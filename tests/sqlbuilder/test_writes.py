"""INSERT, REPLACE, UPDATE and DELETE."""

import copy
import pickle
from datetime import datetime
from typing import Any

import pytest
from support.sqltables import t1, t2

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b, c, d = t1.c.col1, t1.c.col2, t1.c.col3, t1.c.col4
INTO = "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) VALUES "
ONE = "INSERT INTO `db`.`table1` (`table1`.`col1`) VALUES "
two = t1.insert(a, b)
x = t1.alias("x")


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (t1.insert(a).row(1), "INSERT INTO `db`.`table1` (`table1`.`col1`) VALUES (1)"),
        (
            t1.insert(d).row(datetime(1999, 1, 2, 3, 4, 5)),
            "INSERT INTO `db`.`table1` (`table1`.`col4`) VALUES ('1999-01-02 03:04:05.000000')",
        ),
        (
            t1.insert(a).row(1).ignore_errors(),
            "INSERT IGNORE INTO `db`.`table1` (`table1`.`col1`) VALUES (1)",
        ),
        (
            t1.insert(a).row(1).ignore_duplicates(),
            "INSERT INTO `db`.`table1` (`table1`.`col1`) VALUES (1) "
            "ON DUPLICATE KEY UPDATE `table1`.`col1`=`table1`.`col1`",
        ),
        (t1.insert(a).row(1).ignore_duplicates().ignore_duplicates(False), f"{ONE}(1)"),
        (t1.insert(a, b).row(sb.DEFAULT, 2), f"{INTO}(DEFAULT,2)"),
        (t1.insert().default_values(), "INSERT INTO `db`.`table1` () VALUES ()"),
        (
            t1.update().set(a, sb.DEFAULT).all_rows(),
            "UPDATE `db`.`table1` SET `table1`.`col1`=DEFAULT",
        ),
        (
            t1.update().set(a, t2.c.col3).from_(t2).where(b == t2.c.col4),
            "UPDATE `db`.`table1` CROSS JOIN `db`.`table2` SET `table1`.`col1`=`table2`.`col3` "
            "WHERE `table1`.`col2`=`table2`.`col4`",
        ),
        (
            t1.update().join(t2, b == t2.c.col4).set(a, t2.c.col3).set(t2.c.col3, a),
            "UPDATE `db`.`table1` JOIN `db`.`table2` ON `table1`.`col2`=`table2`.`col4` "
            "SET `table1`.`col1`=`table2`.`col3`, `table2`.`col3`=`table1`.`col1`",
        ),
        (
            t1.update().join(t2, b == t2.c.col4).values({t2.c.col3: 1, "col1": 2, b: 3}),
            "UPDATE `db`.`table1` JOIN `db`.`table2` ON `table1`.`col2`=`table2`.`col4` "
            "SET `table2`.`col3`=1, `table1`.`col1`=2, `table1`.`col2`=3",
        ),
        (
            t2.insert().from_select(t1.select(a, b)),
            "INSERT INTO `db`.`table2` (`table2`.`col3`,`table2`.`col4`) "
            "SELECT `table1`.`col1`,`table1`.`col2` FROM `db`.`table1`",
        ),
        (
            t1.delete().join(t2, b == t2.c.col4).where(a == 1),
            "DELETE FROM `db`.`table1` USING `db`.`table1` JOIN `db`.`table2` "
            "ON `table1`.`col2`=`table2`.`col4` WHERE `table1`.`col1`=1",
        ),
        (
            x.delete().left_join(t2, x.c.col2 == t2.c.col4).where(t2.c.col3.is_null()),
            "DELETE FROM `x` USING `db`.`table1` AS `x` LEFT JOIN `db`.`table2` "
            "ON `x`.`col2`=`table2`.`col4` WHERE `table2`.`col3` IS null",
        ),
        (x.delete().all_rows(), "DELETE FROM `db`.`table1` AS `x`"),
        (two.row(1, 2).row(11, 22).row(111, 222), f"{INTO}(1,2), (11,22), (111,222)"),
        (two.rows([(1, 2), [11, 22]]).row(None, "x"), f"{INTO}(1,2), (11,22), (null,'x')"),
        (two.rows(iter([(1, 2)])).rows([]), f"{INTO}(1,2)"),
        (two.row(1, a + 1).rows([(True, b"x")]), f"{INTO}(1,`table1`.`col1` + 1), (1,X'78')"),
        (two.row(bytearray(b"z"), 2.5), f"{INTO}(X'7a',2.5)"),
        (two.row(1, 2).comment("why not"), INTO.replace("INTO ", "INTO /* why not */") + "(1,2)"),
        (
            two.row(1, 2).on_duplicate_key_update(c, 3).on_duplicate_key_update(b, sb.values(b)),
            f"{INTO}(1,2) AS `excluded` ON DUPLICATE KEY UPDATE `table1`.`col3`=3, "
            "`table1`.`col2`=`excluded`.`col2`",
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
        (lambda: t1.insert().sql("db"), ValueError, "INSERT needs columns and rows"),
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
        (lambda: t2.insert().from_select(t1.select(a)), ValueError, "2 columns, got 1"),
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
            lambda: t1.replace(a).row(1).ignore_errors().sql("d"),
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
        (lambda: x.insert(x.c.col1).row(1).sql("d"), ValueError, "alias in INSERT"),
        (lambda: sb.lock_tables().read(x).sql("d"), ValueError, "not to its alias"),
        (lambda: x.delete().where(a == 1).sql("d"), ValueError, "table table1 is not in this"),
        (lambda: two.row(1, sb.DEFAULT + 1).sql("d"), ValueError, "DEFAULT is a whole value"),
        (lambda: t1.update().set(a, 1).where(a == sb.DEFAULT).sql("d"), ValueError, "whole value"),
        (lambda: two.default_values().sql("d"), ValueError, "either default_values.. or rows"),
        (lambda: t1.insert().row(1, 2, 3, 4).default_values().sql("d"), ValueError, "or rows"),
        (lambda: two.row(1, 2).returning(), ValueError, "RETURNING needs at least one column"),
        (lambda: two.row(1, 2).returning("col1"), TypeError, "a term of RETURNING must be"),
        (lambda: two.with_(), ValueError, "WITH needs at least one query"),
        (lambda: two.update_where(True), TypeError, "got the Python bool True"),
        (lambda: two.conflict_target(), ValueError, "needs at least one column"),
        (lambda: two.conflict_target(t2.c.col3), ValueError, "is not a column of table table1"),
        (lambda: two.conflict_target("col1"), TypeError, "column must be a column"),
        (lambda: two.conflict_target(a, where=True), TypeError, "where must be a SQL condition"),
        (lambda: two.conflict_constraint(""), ValueError, "constraint name must have"),
        (lambda: two.ignore_errors(1), TypeError, "ignore must be a bool"),
        (
            lambda: two.row(1, 2).update_where(a == 1).ignore_duplicates().sql("d"),
            ValueError,
            "update_where.. needs on_duplicate_key_update",
        ),
        (
            lambda: two.row(1, 2).ignore_duplicates().on_duplicate_key_update(a, 1).sql("d"),
            ValueError,
            "either ignore_duplicates.. or on_duplicate_key_update",
        ),
        (
            lambda: two.row(1, 2).on_conflict_do_update(index_elements=["clo1"], set_={a: 1}),
            ValueError,
            "did you mean 'col1'",
        ),
        (lambda: two.on_conflict_do_update(set_={}), TypeError, "set_ must be a mapping"),
        (lambda: two.on_conflict_do_update(set_=[a]), TypeError, "set_ must be a mapping"),
        (lambda: two.on_conflict_do_nothing(index_elements="ab"), TypeError, "an iterable of col"),
        (
            lambda: two.on_conflict_do_nothing(index_elements=[a], constraint="x"),
            ValueError,
            "either index_elements or constraint",
        ),
        (lambda: two.on_conflict_do_nothing(index_where=a == 1), ValueError, "needs index_el"),
        (lambda: t1.update().from_(), ValueError, "sources must be at least one"),
        (lambda: t1.update().from_("t2"), TypeError, "sources must be tables or queries"),
        (lambda: t1.delete().using(t1), ValueError, "table table1 is in the join already"),
        (lambda: t1.delete().join(t2, None), ValueError, "a join needs a condition"),
        (lambda: t1.delete().join(t2, True), TypeError, "the condition of ON must be"),
        (
            lambda: t1.delete().left_join(t2, a == t2.c.col3).sql("d"),
            ValueError,
            "DELETE without WHERE",
        ),
        (lambda: t1.delete().using(t2).sql("d"), ValueError, "DELETE without WHERE"),
        (lambda: t1.update().set(t2.c.col3, 1).join(t2, a == 1), ValueError, "is not a column of"),
        (
            lambda: t1.delete().join(t2, a == t2.c.col3).limit(1).sql("d"),
            ValueError,
            "MySQL has no LIMIT in DELETE of joined tables",
        ),
        (lambda: sb.values(5), TypeError, "column must be a column"),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


def test_default_is_one_value_wherever_it_goes() -> None:
    assert copy.copy(sb.DEFAULT) is sb.DEFAULT
    assert copy.deepcopy(sb.DEFAULT) is sb.DEFAULT
    assert pickle.loads(pickle.dumps(sb.DEFAULT)) is sb.DEFAULT


def test_the_condition_of_an_index_is_never_a_parameter() -> None:
    statement = two.row(1, 2).conflict_target(a, where=(b != "50%") & (a % 2 == 0))
    text, parameters = statement.ignore_duplicates().bind("db", "format", dialect="postgresql")
    assert parameters == (1, 2)
    assert text.endswith(
        """ON CONFLICT ("col1") WHERE ("col2"<>'50%%' AND "col1" %% 2=0) DO NOTHING"""
    )
    slotted = two.row(1, 2).conflict_target(a, where=b != sb.slot("s", str)).ignore_duplicates()
    with pytest.raises(ValueError, match="has no value"):
        slotted.prepare("db", dialect="postgresql")


def test_the_row_that_insert_tried_to_write_has_a_name_in_mysql_alone() -> None:
    insert = t1.insert(a, b).row(1, 2)
    value = sb.values(b)
    texts = {
        "mysql": "`excluded`.`col2`",
        "mariadb": "VALUES(`table1`.`col2`)",
        "sqlite": 'excluded."col2"',
        "postgresql": 'excluded."col2"',
    }
    for update in (value, value + 1, sb.func("ABS", b - value), sb.case((value > b, value))):
        upsert = insert.conflict_target(a).on_duplicate_key_update(b, update)
        for dialect, text in texts.items():
            found = upsert.sql("db", dialect=dialect)
            assert text in found
            assert ("VALUES (1,2) AS `excluded` ON DUP" in found) == (dialect == "mysql")
    for update in (5, None, b, b + 1, sb.func("ABS", b)):
        assert "excluded" not in insert.on_duplicate_key_update(b, update).sql("db")
    bound = insert.on_duplicate_key_update(b, value * 2).bind("db")
    assert bound == (
        "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) VALUES (%s,%s) AS `excluded` "
        "ON DUPLICATE KEY UPDATE `table1`.`col2`=`excluded`.`col2` * %s",
        (1, 2, 2),
    )
    prepared = insert.on_duplicate_key_update(b, value * sb.slot("n", int)).prepare("db")
    assert prepared.sql(n=3).endswith(
        "(1,2) AS `excluded` ON DUPLICATE KEY UPDATE `table1`.`col2`=`excluded`.`col2` * 3"
    )


def test_the_rows_of_a_query_get_their_name_from_a_derived_table() -> None:
    query = t2.select(t2.c.col3, sb.count()).group_by(t2.c.col3)
    upsert = t1.insert(a, b).from_select(query).on_duplicate_key_update(b, sb.values(b) + b)
    inner = "SELECT `table2`.`col3`,COUNT(*) FROM `db`.`table2` GROUP BY `table2`.`col3`"
    head = "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) "
    assert upsert.sql("db") == (
        f"{head}SELECT * FROM ({inner}) AS `excluded` (`col1`,`col2`) "
        "ON DUPLICATE KEY UPDATE `table1`.`col2`=`excluded`.`col2` + `table1`.`col2`"
    )
    assert upsert.sql("db", dialect="mariadb") == (
        f"{head}{inner} ON DUPLICATE KEY UPDATE "
        "`table1`.`col2`=VALUES(`table1`.`col2`) + `table1`.`col2`"
    )


def test_a_table_named_like_the_row_keeps_its_name() -> None:
    table = sb.Table("excluded", sb.IntColumn("x"))
    upsert = table.insert(table.c.x).row(1).on_duplicate_key_update(table.c.x, sb.values(table.c.x))
    assert upsert.sql() == (
        "INSERT INTO `excluded` (`excluded`.`x`) VALUES (1) AS `excluded_row` "
        "ON DUPLICATE KEY UPDATE `excluded`.`x`=`excluded_row`.`x`"
    )
