"""What SELECT can say, executed on every server that knows it, and refused by name elsewhere.

Each case is rendered as text, as text with parameters, and as a prepared statement; all three must
give the rows expected. MySQL is not started here: what it knows must render, and what it lacks must
be refused.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from support import sqlservers

from godropbox.database import sqlbuilder as sb

people = sb.Table(
    "people",
    sb.IntColumn("id"),
    sb.StrColumn("name"),
    sb.IntColumn("boss", nullable=True),
    sb.BoolColumn("live"),
    sb.DateTimeColumn("born"),
)
orders = sb.Table(
    "orders",
    sb.IntColumn("id"),
    sb.IntColumn("person"),
    sb.StrColumn("kind"),
    sb.IntColumn("cents"),
)
p, o = people.c, orders.c
BORN = datetime(2014, 7, 1, 12, 34, 56, 789)
PEOPLE = [
    (1, "ada", None, True, BORN),
    (2, "bob", 1, True, BORN),
    (3, "cid", 2, False, BORN),
    (4, "dan", 1, True, BORN),
]
ORDERS = [(10, 1, "a", 500), (11, 1, "b", 700), (12, 2, "a", 50), (13, 9, "b", 50)]
TYPES = {
    **dict.fromkeys(
        ("mariadb", "mysql"), ("BOOLEAN", "DATETIME(6)", "VARCHAR(50) CHARACTER SET utf8mb4")
    ),
    "sqlite": ("BOOLEAN", "TEXT", "TEXT"),
    "postgresql": ("BOOLEAN", "TIMESTAMP", "TEXT"),
}


@dataclass
class Server:
    """A connection, the dialect that it speaks and the driver's paramstyle."""

    dialect: str
    connection: Any
    database: str
    style: str

    def fill(self) -> None:
        boolean, moment, text = TYPES[self.dialect]
        self.raw(
            f"CREATE TABLE people (id INT PRIMARY KEY, name {text}, boss INT, live {boolean}, "
            f"born {moment})"
        )
        self.raw(f"CREATE TABLE orders (id INT PRIMARY KEY, person INT, kind {text}, cents INT)")
        for table, rows in ((people, PEOPLE), (orders, ORDERS)):
            insert = table.insert(*table.columns).rows(rows)
            self.raw(insert.sql(self.database, dialect=self.dialect))  # type: ignore[arg-type]

    def raw(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
        found = [tuple(map(plain, row)) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def ways(self, statement: Any) -> Iterator[list[tuple[Any, ...]]]:
        options = {"dialect": self.dialect}
        yield self.raw(statement.sql(self.database, **options))
        yield self.raw(*statement.bind(self.database, self.style, **options))
        yield self.raw(statement.prepare(self.database, **options).sql())


def plain(value: Any) -> Any:
    if isinstance(value, (Decimal, float)):
        return int(value) if value == int(value) else float(value)
    return value


def _mysql(dialect: str) -> Iterator[Server]:
    with sqlservers.connection_of(dialect) as root:
        root.cursor().execute("CREATE DATABASE IF NOT EXISTS queries")
    with sqlservers.connection_of(dialect, "queries") as connection:
        yield Server(dialect, connection, "queries", "format")
        connection.cursor().execute("DROP DATABASE queries")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA queries")
        connection.execute("SET search_path TO queries")
        yield Server("postgresql", connection, "queries", "format")
        connection.execute("DROP SCHEMA queries CASCADE")


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield Server("sqlite", connection, "main", "qmark")
    connection.close()


DIALECTS = [*sqlservers.mysql_like(), "postgresql", "sqlite"]


def start(dialect: str) -> Iterator[Server]:
    """Yield a server with the tables filled."""
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    for made in makers[dialect]() if dialect in makers else _mysql(dialect):
        made.fill()
        yield made


@pytest.fixture(scope="module", params=DIALECTS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from start(request.param)


def only(*dialects: str) -> set[str]:
    """Return the dialects other than `dialects`, which are the ones that know a feature."""
    return {"mysql", "mariadb", "sqlite", "postgresql"} - set(dialects)


ids = sb.select(p.id).from_(people)
low, high = ids.where(p.id < 3), ids.where(p.id > 1)
b = people.alias("b")
n = sb.alias("n", sb.count())
whole = sb.alias("cents", sb.func("SUM", o.cents))
initial = sb.alias("initial", sb.func("SUBSTR", p.name, 1, 1))
upper = sb.alias("name", sb.func("UPPER", p.name))
bosses = sb.cte("bosses", ids.where(p.boss.is_null()))
tree = sb.cte("tree", people.select(p.id, p.name, p.boss).where(p.id == 3))
tree = tree.union_all(people.join(tree, p.id == tree.c.boss).select(p.id, p.name, p.boss))
loop = sb.cte("loop", ids.where(p.id == 1))
loop = loop.union(sb.select(5 - loop.c.id).from_(loop))
again = tree.alias("again")
best = sb.lateral(
    "best",
    sb.select(o.cents).from_(orders).where(o.person == p.id).order_by(sb.desc(o.cents)).limit(1),
)
pairs = sb.values_table(
    "pairs", sb.IntColumn("k"), sb.StrColumn("v"), rows=[(1, "x"), (2, None), (3, "z%")]
)
two, four = sb.cast(2, "integer"), sb.cast(4, "integer")
series = sb.func("generate_series", two, four).table_valued("s", sb.IntColumn("v"))
each = sb.func("json_each", '{"k": "v", "l": "w"}').table_valued(
    "j", sb.StrColumn("key"), sb.StrColumn("value")
)
counted = sb.func("unnest", sb.func("string_to_array", p.name, None)).table_valued(
    "letters", sb.StrColumn("letter"), ordinality="place"
)
recordset = sb.func("json_to_recordset", '[{"a": 5, "b": "x"}]').table_valued(
    "r", sb.IntColumn("a"), sb.StrColumn("b"), typed=True
)
document = sb.json_table(
    "doc",
    '[{"id": 1, "n": "x"}, {"id": 2, "n": "y"}]',
    "$[*]",
    sb.IntColumn("id"),
    sb.StrColumn("name"),
    paths={"name": "$.n"},
    ordinality="place",
)
of_column = sb.json_table(
    "jt", sb.func("CONCAT", "[", p.id, "]"), "$[*]", sb.IntColumn("v"), paths={"v": "$"}
)
flag = sb.alias("odd", p.id % 2 == 1)
flags = sb.select(p.id, p.live, flag).from_(people).subquery("flags")

CASES: dict[str, tuple[Any, list[tuple[Any, ...]], set[str]]] = {
    "select of a table": (
        sb.select(orders).where(o.id == 12),
        [(12, 2, "a", 50)],
        set(),
    ),
    "select of columns": (
        sb.select(p.id, p.name).from_(people).where(p.id == 2),
        [(2, "bob")],
        set(),
    ),
    "several sources": (
        sb.select(sb.count()).select_from(people, orders),
        [(16,)],
        set(),
    ),
    "without FROM": (sb.select(sb.cast(sb.literal(1), "integer") + 2), [(3,)], set()),
    "without FROM, with WHERE": (
        sb.select(sb.cast("x", "text")).where(sb.literal(1) == 2),
        [],
        set(),
    ),
    "scalars without FROM": (
        sb.select(ids.where(p.id == 4).scalar(), sb.exists(low)),
        [(4, 1)],
        set(),
    ),
    "joins of a select": (
        sb.select(p.id, o.id)
        .from_(people)
        .left_join(orders, o.person == p.id)
        .where(p.id > 1)
        .order_by(p.id, o.id),
        [(2, 12), (3, None), (4, None)],
        set(),
    ),
    "other columns": (low.add_columns(p.name).order_by(p.id), [(1, "ada"), (2, "bob")], set()),
    "only columns": (low.with_only_columns(p.name).order_by(p.id), [("ada",), ("bob",)], set()),
    "FULL JOIN": (
        people.full_join(orders, o.person == p.id)
        .select(p.id, o.id)
        .where(p.id.is_null() | (p.id == 3))
        .order_by(sb.func("COALESCE", p.id, 9)),
        [(3, None), (None, 13)],
        only("sqlite", "postgresql"),
    ),
    "UNION": (low.union(high).order_by(p.id), [(1,), (2,), (3,), (4,)], set()),
    "UNION ALL": (low.union_all(high, low).order_by(p.id).limit(3), [(1,), (1,), (2,)], set()),
    "INTERSECT": (low.intersect(high), [(2,)], set()),
    "EXCEPT": (low.except_(high), [(1,)], set()),
    "INTERSECT ALL": (
        low.union_all(low).intersect_all(low.union_all(low), high.union_all(high)),
        [(2,), (2,)],
        {"sqlite"},
    ),
    "EXCEPT ALL": (
        low.union_all(low).except_all(low).order_by(p.id),
        [(1,), (2,)],
        {"sqlite"},
    ),
    "nested right": (
        low.except_(low.except_(high)).order_by(p.id),
        [(2,)],
        set(),
    ),
    "nested left": (low.union(high).intersect(high).order_by(p.id), [(2,), (3,), (4,)], set()),
    "mixed": (
        low.union(high.intersect(ids.where(p.id == 3))).order_by(sb.desc(p.id)),
        [(3,), (2,), (1,)],
        set(),
    ),
    "bounded members": (
        ids.order_by(sb.desc(p.id)).limit(1).union_all(ids.order_by(p.id).limit(1)).order_by(p.id),
        [(1,), (4,)],
        set(),
    ),
    "bounded nested": (
        low.union(high).order_by(p.id).limit(2).except_(low.order_by(p.id).limit(1)),
        [(2,)],
        set(),
    ),
    "a member's WITH": (
        bosses.select(bosses.c.id).with_(bosses).union_all(low).order_by(bosses.c.id),
        [(1,), (1,), (2,)],
        set(),
    ),
    "a second member's WITH": (
        low.union_all(bosses.select(bosses.c.id).with_(bosses)).order_by(p.id),
        [(1,), (1,), (2,)],
        set(),
    ),
    "WITH of a combination": (
        bosses.select(bosses.c.id).union_all(low).with_(bosses).order_by(bosses.c.id),
        [(1,), (1,), (2,)],
        set(),
    ),
    "a combination in a combination's WITH": (
        sb.union_all(bosses.select(bosses.c.id).union(low).with_(bosses), high).order_by(
            bosses.c.id
        ),
        [(1,), (2,), (2,), (3,), (4,)],
        set(),
    ),
    "a combination in FROM": (
        sb.select(sb.count()).from_(low.union_all(high).subquery("u")),
        [(5,)],
        set(),
    ),
    "a combination after IN": (ids.where(p.id.in_(low.intersect(high))), [(2,)], set()),
    "recursive": (
        sb.select(tree.c.name).from_(tree).with_(tree).order_by(tree.c.id),
        [("ada",), ("bob",), ("cid",)],
        set(),
    ),
    "recursive, distinct": (
        sb.select(loop).with_(loop).order_by(loop.c.id),
        [(1,), (4,)],
        set(),
    ),
    "a CTE twice": (
        sb.select(tree.c.id, again.c.id)
        .from_(tree)
        .join(again, again.c.id == tree.c.boss)
        .with_(tree)
        .order_by(tree.c.id),
        [(2, 1), (3, 2)],
        set(),
    ),
    "MATERIALIZED": (
        (lambda m: sb.select(m).with_(m).order_by(m.c.id))(low.cte("m", materialized=True)),
        [(1,), (2,)],
        only("sqlite", "postgresql"),
    ),
    "NOT MATERIALIZED": (
        (lambda m: sb.select(m).with_(m).order_by(m.c.id))(low.cte("m", materialized=False)),
        [(1,), (2,)],
        only("sqlite", "postgresql"),
    ),
    "LEFT JOIN LATERAL": (
        people.left_join(best).select(p.id, best.c.cents).order_by(p.id),
        [(1, 700), (2, 50), (3, None), (4, None)],
        only("mysql", "postgresql"),
    ),
    "JOIN LATERAL ON": (
        people.join(best, best.c.cents > 50).select(p.id, best.c.cents),
        [(1, 700)],
        only("mysql", "postgresql"),
    ),
    "CROSS JOIN LATERAL": (
        people.cross_join(best).select(p.id).order_by(p.id),
        [(1,), (2,)],
        only("mysql", "postgresql"),
    ),
    "RIGHT JOIN of two that are joined LATERAL": (
        (lambda x: x.right_join(people.join(best), x.c.id == p.boss).select(x.c.id, p.id))(
            people.alias("x")
        ).order_by(p.id),
        [(None, 1), (1, 2)],
        only("mysql", "postgresql"),
    ),
    "VALUES": (
        people.join(pairs, pairs.c.k == p.id).select(p.name, pairs.c.v).order_by(p.id),
        [("ada", "x"), ("bob", None), ("cid", "z%")],
        set(),
    ),
    "VALUES of one row": (
        sb.select(sb.values_table("one", sb.IntColumn("k"), rows=[(5,)])),
        [(5,)],
        set(),
    ),
    "VALUES with an expression": (
        sb.select(sb.values_table("two", sb.IntColumn("k"), rows=[(5,), (sb.cast(6, "integer"),)])),
        [(5,), (6,)],
        set(),
    ),
    "json_each": (
        sb.select(each.c.key).from_(each).order_by(each.c.key),
        [("k",), ("l",)],
        only("sqlite", "postgresql"),
    ),
    "WITH ORDINALITY": (
        people.cross_join(counted)
        .select(counted.c.place, counted.c.letter)
        .where(p.id == 1)
        .order_by(counted.c.place),
        [(1, "a"), (2, "d"), (3, "a")],
        only("postgresql"),
    ),
    "column definitions": (sb.select(recordset), [(5, "x")], only("postgresql")),
    "JSON_TABLE": (
        sb.select(document).order_by(document.c.place),
        [(1, "x", 1), (2, "y", 2)],
        only("mysql", "mariadb"),
    ),
    "JSON_TABLE of a column": (
        people.join(of_column).select(of_column.c.v).where(p.id > 2).order_by(p.id),
        [(3,), (4,)],
        only("mysql", "mariadb"),
    ),
    "DISTINCT ON": (
        sb.select(o.person, o.cents)
        .from_(orders)
        .distinct(o.person)
        .order_by(o.person, sb.desc(o.cents)),
        [(1, 700), (2, 50), (9, 50)],
        only("postgresql"),
    ),
    "ROLLUP": (
        sb.select(o.kind, whole).from_(orders).group_by(sb.rollup(o.kind)).having(whole < 600),
        [("a", 550)],
        {"sqlite"},
    ),
    "ORDER BY beside ROLLUP": (
        sb.select(o.kind, whole).from_(orders).group_by(sb.rollup(o.kind)).order_by(whole),
        [("a", 550), ("b", 750), (None, 1300)],
        only("mysql", "postgresql"),
    ),
    "ROLLUP beside other terms": (
        sb.select(o.kind, o.person, whole)
        .from_(orders)
        .where(o.person < 3)
        .group_by(o.kind, sb.rollup(o.person))
        .order_by(whole, o.person),
        [("a", 2, 50), ("a", 1, 500), ("a", None, 550), ("b", 1, 700), ("b", None, 700)],
        only("postgresql"),
    ),
    "CUBE": (
        sb.select(n)
        .from_(orders)
        .group_by(sb.cube(o.kind, o.person))
        .order_by(sb.desc(n))
        .limit(1),
        [(4,)],
        only("postgresql"),
    ),
    "GROUPING SETS": (
        sb.select(o.kind, o.person, n)
        .from_(orders)
        .group_by(sb.grouping_sets(o.kind, (o.person, o.kind), ()))
        .having(n > 1)
        .order_by(n, o.kind),
        [("a", None, 2), ("b", None, 2), (None, None, 4)],
        only("postgresql"),
    ),
    "LIMIT as a parameter": (
        ids.order_by(p.id).limit(sb.literal(2)).offset(sb.literal(1)),
        [(2,), (3,)],
        set(),
    ),
    "OFFSET as a parameter": (ids.order_by(p.id).offset(sb.literal(3)), [(4,)], set()),
    "LIMIT of a combination as a parameter": (
        low.union(high).order_by(p.id).limit(sb.literal(1)).offset(2),
        [(3,)],
        set(),
    ),
    "alias in GROUP BY": (
        sb.select(initial, n).from_(people).group_by(initial).order_by(initial).limit(2),
        [("a", 1), ("b", 1)],
        set(),
    ),
    "alias of a parameter in GROUP BY": (
        (lambda x: sb.select(x, n).from_(people).group_by(x).order_by(x))(
            sb.alias("bit", p.id % sb.cast(2, "integer"))
        ),
        [(0, 2), (1, 2)],
        set(),
    ),
    "alias named like a column in GROUP BY": (
        (lambda x: sb.select(x, n).from_(people).group_by(x).order_by(x))(
            sb.alias("id", p.id % sb.cast(2, "integer"))
        ),
        [(0, 2), (1, 2)],
        set(),
    ),
    "alias in HAVING": (
        sb.select(o.kind, whole).from_(orders).group_by(o.kind).having(whole > 600),
        [("b", 750)],
        set(),
    ),
    "alias named like a column in HAVING": (
        sb.select(o.person, whole).from_(orders).group_by(o.person).having(whole == 1200),
        [(1, 1200)],
        set(),
    ),
    "alias in an expression of ORDER BY": (
        sb.select(o.kind, whole).from_(orders).group_by(o.kind).order_by(0 - whole),
        [("b", 750), ("a", 550)],
        set(),
    ),
    "alias of an aggregate in an expression of ORDER BY": (
        (lambda x: sb.select(o.kind, x).from_(orders).group_by(o.kind).order_by(0 - x))(
            sb.alias("total", sb.func.sum(o.cents))
        ),
        [("b", 750), ("a", 550)],
        set(),
    ),
    "alias of an aggregate, with the place of NULL": (
        (lambda x: sb.select(p.live, x).from_(people).group_by(p.live).order_by(sb.nulls_last(x)))(
            sb.alias("least", sb.func.min(sb.case((p.id < 3, p.id))))
        ),
        [(1, 1), (0, None)],
        set(),
    ),
    "alias named like a column, with the place of NULL": (
        (lambda x: sb.select(p.id, x).from_(people).order_by(sb.nulls_last(x), p.id).limit(3))(
            sb.alias("name", sb.func.nullif(p.boss, 1))
        ),
        [(3, 2), (1, None), (2, None)],
        set(),
    ),
    "the place of NULL after a combination": (
        sb.union(people.select(p.boss), people.select(p.id).where(p.id == 4)).order_by(
            sb.nulls_last(p.boss)
        ),
        [(1,), (2,), (4,), (None,)],
        set(),
    ),
    "alias named like a column in ORDER BY": (
        sb.select(sb.alias("id", 10 - p.id)).from_(people).order_by(sb.alias("id", p.id)).limit(1),
        [(6,)],
        set(),
    ),
    "alias named like a column in an expression of ORDER BY": (
        (lambda x: sb.select(x).from_(people).order_by(x + 0).limit(1))(sb.alias("id", 10 - p.id)),
        [(6,)],
        set(),
    ),
    "alias after a combination in HAVING": (
        sb.select(o.kind, whole)
        .from_(orders)
        .group_by(o.kind)
        .having(sb.exists(low.union(high).order_by(p.id)) & (whole > 600)),
        [("b", 750)],
        set(),
    ),
    "a condition out of a subquery": (
        sb.select(flags.c.id).from_(flags).where(flags.c.live & flags.c.odd),
        [(1,)],
        set(),
    ),
    "named windows": (
        sb.select(o.id, sb.func("SUM", o.cents).over("w"), sb.func("ROW_NUMBER").over("v"))
        .from_(orders)
        .window("w", sb.window(partition_by=o.kind))
        .window("v", sb.window(order_by=sb.desc(o.id)))
        .order_by(o.id),
        [(10, 550, 4), (11, 750, 3), (12, 550, 2), (13, 750, 1)],
        set(),
    ),
    "optimizer hints": (
        ids.hint("MAX_EXECUTION_TIME(1000)").where(p.id == 1),
        [(1,)],
        only("mysql", "postgresql"),
    ),
    "FOR UPDATE OF": (
        people.join(orders, o.person == p.id).select(o.id).where(p.id == 2).for_update(of=people),
        [(12,)],
        only("mysql", "postgresql"),
    ),
    "FOR NO KEY UPDATE": (low.where(p.id == 1).for_update(no_key=True), [(1,)], only("postgresql")),
    "FOR KEY SHARE": (
        low.where(p.id == 1).with_shared_lock(key=True, of=[people], nowait=True),
        [(1,)],
        only("postgresql"),
    ),
    "FOR SHARE SKIP LOCKED": (
        low.where(p.id == 1).with_shared_lock(skip_locked=True),
        [(1,)],
        {"sqlite"},
    ),
    "FOR SHARE NOWAIT": (low.where(p.id == 1).with_shared_lock(nowait=True), [(1,)], {"sqlite"}),
    "row locks beside GROUP BY": (
        sb.select(n).from_(people).where(p.id == 1).group_by(p.id).for_update(),
        [(1,)],
        only("mysql", "mariadb"),
    ),
    "a lock in a combination": (
        ids.where(p.id == 1).for_update().union_all(ids.where(p.id == 2)),
        [(1,), (2,)],
        only("mysql", "mariadb"),
    ),
    "a lock of a join's outer side": (
        people.left_join(orders, o.person == p.id).select(p.id).where(p.id == 3).for_update(),
        [(3,)],
        only("mysql", "mariadb"),
    ),
    "a lock beside a join's outer side": (
        people.left_join(orders, o.person == p.id)
        .select(p.id)
        .where(p.id == 3)
        .for_update(of=people),
        [(3,)],
        only("mysql", "postgresql"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rows(server: Server, name: str) -> None:
    statement, rows, lacks = CASES[name]
    if server.dialect in lacks:
        with pytest.raises(sb.UnsupportedFeature):
            statement.sql(server.database, dialect=server.dialect)
        return
    for found in server.ways(statement):
        assert found == rows


@pytest.mark.parametrize("name", CASES)
def test_mysql_renders_what_it_knows(name: str) -> None:
    statement, _, lacks = CASES[name]
    if "mysql" in lacks:
        with pytest.raises(sb.UnsupportedFeature, match="MySQL has no"):
            statement.sql("queries")
    else:
        assert statement.sql("queries").startswith(("SELECT", "WITH", "("))


def test_generate_series(server: Server) -> None:
    if server.dialect != "postgresql":
        return  # SQLite has it only if an extension is loaded
    for found in server.ways(sb.select(series).order_by(series.c.v)):
        assert found == [(2,), (3,), (4,)]


def test_limit_by_slots(server: Server) -> None:
    statement: Any = ids.order_by(p.id).limit(sb.slot("count", int)).offset(sb.slot("skip", int))
    combined: Any = low.union(high).order_by(p.id).limit(sb.slot("count", int))
    options: Any = {"dialect": server.dialect}
    for paramstyle in (None, server.style):
        prepared = statement.prepare(server.database, paramstyle=paramstyle, **options)
        for count, skip, rows in ((2, 1, [(2,), (3,)]), (0, 0, []), (9, 3, [(4,)])):
            text = prepared.bind(count=count, skip=skip) if paramstyle else None
            found = server.raw(*text) if text else server.raw(prepared.sql(count=count, skip=skip))
            assert found == rows
        for wrong in (-1, 1 << 63):
            with pytest.raises(ValueError, match=r"slot count must be an int in \[0, 2\*\*63\)"):
                (prepared.bind if paramstyle else prepared.sql)(count=wrong, skip=0)
        prepared = combined.prepare(server.database, paramstyle=paramstyle, **options)
        found = (
            server.raw(*prepared.bind(count=1)) if paramstyle else server.raw(prepared.sql(count=1))
        )
        assert found == [(1,)]


class Person(NamedTuple):
    """A row of people."""

    id: int
    name: str
    boss: int | None
    live: bool
    born: datetime


def test_records(server: Server) -> None:
    query = sb.select(people).order_by(p.id)
    cursor = server.connection.cursor()
    cursor.execute(query.sql(server.database, dialect=server.dialect))  # type: ignore[arg-type]
    read = query.records(Person)
    found = list(read(cursor))
    assert found == [Person(*row) for row in PEOPLE]
    assert [type(value) for value in found[1]] == [int, str, int, bool, datetime]
    assert found[0].boss is None
    cursor.execute(query.sql(server.database, dialect=server.dialect))  # type: ignore[arg-type]
    assert read.one(cursor.fetchone()) == Person(*PEOPLE[0])
    cursor.close()
