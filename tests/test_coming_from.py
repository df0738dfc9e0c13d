"""The pages for those who come from another library: each row of their tables runs on SQLite.

A row has another library's expression and ours; both are evaluated with the same names and
executed, and give the same rows, or leave the same rows behind. For go-jet, which is Go, the page
gives the SQL that it stands for instead.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pypika
import pypika.analytics
import pypika.functions
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as sa_sqlite

from godropbox.database import sqlbuilder

CODE = re.compile(r"`[^`]+`|``.+``")
DOCS = Path(__file__).parent.parent / "docs"
sb: Any = sqlbuilder

users = sb.Table(
    "users",
    sb.IntColumn("id"),
    sb.StrColumn("name"),
    sb.IntColumn("boss_id", nullable=True),
    sb.BoolColumn("active"),
    sb.DateTimeColumn("born", nullable=True),
)
orders = sb.Table(
    "orders",
    sb.IntColumn("id"),
    sb.IntColumn("user_id"),
    sb.StrColumn("kind"),
    sb.IntColumn("cents"),
)
meta = sa.MetaData()
SA_USERS = sa.Table(
    "users",
    meta,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String),
    sa.Column("boss_id", sa.Integer),
    sa.Column("active", sa.Boolean),
    sa.Column("born", sa.DateTime),
)
SA_ORDERS = sa.Table(
    "orders",
    meta,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.Integer),
    sa.Column("kind", sa.String),
    sa.Column("cents", sa.Integer),
)
BORN = datetime(1990, 5, 17)
FILL = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, boss_id INT, active BOOL, born TEXT)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INT, kind TEXT, cents INT)",
    "INSERT INTO users VALUES (1, 'ada', NULL, 1, '1990-05-17 00:00:00.000000'), "
    "(2, 'bob', 1, 1, NULL), (3, 'cid', 1, 0, NULL), (4, 'it''s 100%', 2, 1, NULL)",
    "INSERT INTO orders VALUES (10, 1, 'a', 500), (11, 1, 'b', 700), (12, 2, 'a', 50), "
    "(13, 9, 'b', 50)",
)
Rows = list[tuple[Any, ...]]


def plain(row: Any) -> tuple[Any, ...]:
    """Return a row with values of the same form whichever library read them."""
    row = [int(value) if isinstance(value, bool) else value for value in row]
    return tuple(str(v)[:19] if isinstance(v, (str, datetime)) else v for v in row)


def outcome(run: Callable[[sqlite3.Connection], Rows], ordered: bool) -> tuple[Rows, Rows]:
    """Return the rows of a statement, and those that it leaves in both tables."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for text in FILL:
        connection.execute(text)
    found = [plain(row) for row in run(connection)]
    left = [
        plain(row)
        for table in ("users", "orders")
        for row in connection.execute(f"SELECT * FROM {table}")
    ]
    connection.close()
    return found if ordered else sorted(found, key=repr), sorted(left, key=repr)


def ours(cell: str) -> Callable[[sqlite3.Connection], Rows]:
    made = eval(cell, {"sb": sb, "users": users, "orders": orders, "datetime": datetime})
    if isinstance(made, sb.Expression):
        made = sb.select(made)
        if "users" in cell:
            made = made.select_from(users)
    return lambda connection: connection.execute(
        *made.bind(paramstyle="qmark", dialect="sqlite")
    ).fetchall()


def sqlalchemys(cell: str) -> Callable[[sqlite3.Connection], Rows]:
    names = {name: getattr(sa, name) for name in dir(sa) if not name.startswith("_")}
    names |= {"users": SA_USERS, "orders": SA_ORDERS, "datetime": datetime}
    names |= {"insert": sa.insert, "upsert": sa_sqlite.insert}
    made = eval(cell, names)
    if not isinstance(made, sa.Executable):
        made = sa.select(made)

    def run(connection: sqlite3.Connection) -> Rows:
        engine = sa.create_engine("sqlite://", creator=lambda: connection, poolclass=sa.StaticPool)
        with engine.connect() as opened:
            result = opened.execute(made)
            rows = [tuple(row) for row in result] if result.returns_rows else []
            opened.commit()
        return rows

    return run


def pypikas(cell: str) -> Callable[[sqlite3.Connection], Rows]:
    names: dict[str, Any] = {"users": pypika.Table("users"), "orders": pypika.Table("orders")}
    names |= {"fn": pypika.functions, "an": pypika.analytics, "pypika": pypika}
    names |= {name: getattr(pypika, name) for name in ("Case", "Order", "Tuple", "AliasedQuery")}
    names |= {"Query": pypika.SQLLiteQuery, "datetime": datetime}
    made = eval(cell, names)
    if not isinstance(made, pypika.queries.QueryBuilder | pypika.queries._SetOperation):
        made = pypika.SQLLiteQuery.from_(names["users"]).select(made)
    return lambda connection: connection.execute(str(made)).fetchall()


def sqls(cell: str) -> Callable[[sqlite3.Connection], Rows]:
    return lambda connection: connection.execute(cell).fetchall()


def rows_of(page: str) -> Iterator[list[str]]:
    """Yield the code in the cells of a page's tables, but of those that say what is different."""
    runs = False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\)\|", line.strip("| "))
        cells = [cell.strip().replace("\\|", "|") for cell in cells]
        if line.startswith("| ") and cells[1] in ("here", "instead"):
            runs = cells[1] == "here"
        elif (
            runs
            and line.startswith("|")
            and all(re.fullmatch(r"`[^`]+`|``.+``", cell) for cell in cells)
        ):
            yield [cell.strip("`").strip() for cell in cells]


PAGES = {
    "from-sqlalchemy-core.md": (sqlalchemys, 0, 1, 60),
    "from-pypika.md": (pypikas, 0, 1, 30),
    "from-go-jet.md": (sqls, 2, 1, 30),
}
CASES = [(page, cells) for page in PAGES for cells in rows_of(page)]


@pytest.mark.parametrize(("page", "cells"), CASES, ids=[f"{p}-{c[0][:60]}" for p, c in CASES])
def test_a_row_means_the_same(page: str, cells: list[str]) -> None:
    theirs, first, second, _ = PAGES[page]
    ordered = "order_by" in cells[second]
    wanted = outcome(theirs(cells[first]), ordered)
    assert outcome(ours(cells[second]), ordered) == wanted
    assert wanted[0] or wanted[1] != outcome(lambda _: [], False)[1], "the example shows nothing"


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_have_examples(page: str) -> None:
    assert len(list(rows_of(page))) >= PAGES[page][3]
