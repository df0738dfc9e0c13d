"""Rows and assignments by the names of columns, declared classes of columns, misspelt names."""

import sys
from typing import Any

import pytest
from support.sqltables import t1

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b = t1.c.col1, t1.c.col2
INTO = "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) VALUES "
ALL = "(`table1`.`col1`,`table1`.`col2`,`table1`.`col3`,`table1`.`col4`)"


class Stamps(sqlbuilder.Columns):
    """Columns that several tables share."""

    created = sqlbuilder.DateTimeColumn()


class Users(Stamps):
    """A declared table."""

    id = sqlbuilder.IntColumn()
    name = sqlbuilder.StrColumn(nullable=True, charset="utf8mb4")
    class_ = sqlbuilder.StrColumn("class")


users = sqlbuilder.Table("users", Users)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (t1.insert().values(col1=1, col2="x"), f"{INTO}(1,'x')"),
        (t1.insert().values({"col1": 1, b: 2}), f"{INTO}(1,2)"),
        (t1.insert(a, b).values(col2=2, col1=1), f"{INTO}(1,2)"),
        (t1.insert().values([{"col1": 1, "col2": 2}, {"col2": 4, a: 3}]), f"{INTO}(1,2), (3,4)"),
        (t1.insert().values(col1=1, col2=2).values(col2=4, col1=3), f"{INTO}(1,2), (3,4)"),
        (t1.insert(a, b).values((1, 2)).values([3, 4]), f"{INTO}(1,2), (3,4)"),
        (t1.insert(a, b).values([(1, 2), [3, 4], {a: 5, b: 6}]), f"{INTO}(1,2), (3,4), (5,6)"),
        (t1.insert(a, b).rows([[1, 2], {"col2": 4, "col1": 3}]), f"{INTO}(1,2), (3,4)"),
        (t1.insert(a, b).values(iter([(1, 2)])), f"{INTO}(1,2)"),
        (t1.insert(a, b).values(col1=b + 1, col2=None), f"{INTO}(`table1`.`col2` + 1,null)"),
        (t1.insert(a, b).row(1, 2).values([]), f"{INTO}(1,2)"),
        (t1.insert().row(1, 2, 3, None), f"INSERT INTO `db`.`table1` {ALL} VALUES (1,2,3,null)"),
        (
            t1.update().values(col1=1, col2=b + 1).where(a == 5),
            "UPDATE `db`.`table1` SET `table1`.`col1`=1, `table1`.`col2`=`table1`.`col2` + 1 "
            "WHERE `table1`.`col1`=5",
        ),
        (
            t1.update().values({a: 1}).values({"col2": None}).all_rows(),
            "UPDATE `db`.`table1` SET `table1`.`col1`=1, `table1`.`col2`=null",
        ),
    ],
)
def test_rows_and_assignments_by_name(statement: Any, text: str) -> None:
    assert statement.sql("db") == text


def test_values_leave_the_statement_alone() -> None:
    base = t1.insert()
    assert base.values(col1=1).sql("db") != base.values(col2=1).sql("db")
    with pytest.raises(ValueError, match="INSERT needs columns and rows"):
        base.sql("db")


NAMES = "its columns are col1, col2, col3, col4"
MEANT = "table table1 has no column 'clo1': did you mean 'col1'. Its columns are col1, col2, col3"


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: t1.insert().values(clo1=1), ValueError, MEANT),
        (lambda: t1.update().values(clo1=1), ValueError, MEANT),
        (lambda: t1.insert().values([{"clo1": 1}]), ValueError, MEANT),
        (lambda: t1.insert(a).values(clo1=1), ValueError, MEANT),
        (lambda: t1.update().values(price=1), ValueError, f"no column 'price'; {NAMES}"),
        (lambda: t1.c["clo1"], KeyError, "table1.c has no column 'clo1': did you mean 'col1'"),
        (lambda: t1.c.clo1, AttributeError, r"table1\.c .*has no (attribute|column) 'clo1'"),
        (lambda: t1.c[5], KeyError, "has no column 5; its columns are"),
        (lambda: t1.insert().values(), ValueError, "values.. needs a value"),
        (lambda: t1.insert().values({}), ValueError, "a row needs a value"),
        (lambda: t1.insert().values([{"col1": 1}, {}]), ValueError, "value for column col1"),
        (lambda: t1.insert().values({"col1": 1, a: 2}), ValueError, "column col1 once"),
        (
            lambda: t1.insert().values([{"col1": 1, "col2": 2}, {"col1": 1}]),
            ValueError,
            "a row must have a value for column col2, as the first row has",
        ),
        (
            lambda: t1.insert().values(col1=1).values(col1=1, col3=2),
            ValueError,
            "a row must have only the columns col1, got col3",
        ),
        (lambda: t1.insert().values({"col1": 1}, col2=2), TypeError, "either rows or values"),
        (lambda: t1.insert().values(5), TypeError, "rows must be a row or an iterable of rows"),
        (lambda: t1.insert().values("ab"), TypeError, "rows must be a row or an iterable of rows"),
        (
            lambda: t1.insert().values({users.c.id: 1}),
            ValueError,
            "is not a column of table",
        ),
        (lambda: t1.insert().values({5: 1}), TypeError, "column must be a column, got 5"),
        (lambda: t1.update().values(), ValueError, "values.. needs at least one value"),
        (lambda: t1.update().values("x"), TypeError, "changes must be a mapping"),
        (lambda: t1.update().values({a: 1}, col2=1), TypeError, "either a mapping or values"),
        (lambda: t1.update().values({a: 1}).values(col1=1), ValueError, "col1 is set twice"),
    ],
)
def test_a_wrong_name_or_row_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


def test_a_declared_class_names_its_columns() -> None:
    assert [column.name for column in users.columns] == ["created", "id", "name", "class"]
    assert users.c.class_ is users.c["class"]
    assert users.c.name.nullable
    assert users.c.name.charset == "utf8mb4"
    assert isinstance(users.c, Users)
    assert isinstance(users.c.id, sb.IntColumn)
    query = users.select(users.c.class_).where(users.c.id == 5)
    assert query.sql("db") == ("SELECT `users`.`class` FROM `db`.`users` WHERE `users`.`id`=5")
    other = users.alias("o")
    assert other.select(other.c.class_).sql("db") == ("SELECT `o`.`class` FROM `db`.`users` AS `o`")
    assert isinstance(other.c, Users)
    assert users.force_index("i").c is users.c


def test_one_class_declares_several_tables() -> None:
    left, right = sb.Table("a", Users), sb.Table("b", Users)
    assert left.c.id.table_name == "a"
    assert right.c.id.table_name == "b"
    assert list(left.c.__columns__) == ["created", "id", "name", "class"]


def test_a_subclass_replaces_a_column() -> None:
    class Renamed(Users):
        name = sb.IntColumn("title")

    table = sb.Table("t", Renamed)
    assert [column.name for column in table.columns] == ["created", "id", "title", "class"]


class Empty(sqlbuilder.Columns):
    """No columns."""


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.Table("t", Empty), ValueError, "class Empty of table t declares no column"),
        (lambda: sb.Table("t", int), TypeError, "columns or a subclass of Columns, got"),
        (lambda: sb.Table("t", Users, sb.IntColumn("x")), TypeError, "either a subclass of"),
        (lambda: sb.Table("t", sb.IntColumn()), ValueError, "a column of table t has no name"),
        (lambda: sb.Table("t", sb.IntColumn("x"), Users), TypeError, "must be columns, got"),
        (
            lambda: (
                type("Twice", (sb.Columns,), {"x": sb.IntColumn("a"), "y": sb.IntColumn("a")})
                and sb.Table("t", type("T", (Users,), {"y": sb.IntColumn("id")}))
            ),
            ValueError,
            "table t has two columns named id",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


def test_a_misspelt_column_is_answered_with_what_was_meant() -> None:
    wide = sb.Table("wide", *[sb.IntColumn(f"column_{n}") for n in range(50)], sb.StrColumn("name"))
    if sys.version_info >= (3, 12):
        words = r"wide\.c has no column 'nmae': did you mean 'name'\? Its columns are column_0, "
    else:
        words = r"'wide\.c of column_0, (column_\d, )+\.\.\.' object has no attribute 'nmae'"
    with pytest.raises(AttributeError, match=words) as caught:
        wide.c.nmae  # noqa: B018
    assert caught.value.name == "nmae"
    assert not hasattr(wide.c, "__wrapped__")
    with pytest.raises(KeyError, match="has no column 'nmae': did you mean 'name'"):
        wide.c["nmae"]
    long = sb.Table("t" * 60, sb.IntColumn("a" * 60))
    with pytest.raises(AttributeError, match=r"has no (attribute|column) 'x'"):
        long.c.x  # noqa: B018
