"""Every kind of statement, executed on every dialect that has it, and its rows compared.

One table of people and one of orders; text with literals and text with parameters must both give
the same rows on MariaDB, PostgreSQL and SQLite.
"""

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from support import sqlservers

from godropbox.database import sqlbuilder as sb

people = sb.Table(
    "people",
    sb.IntColumn("id"),
    sb.StrColumn("name"),
    sb.IntColumn("boss", nullable=True),
    sb.DoubleColumn("score", nullable=True),
    sb.BoolColumn("active"),
    sb.DateTimeColumn("born", nullable=True),
)
orders = sb.Table("orders", sb.IntColumn("id"), sb.IntColumn("person"), sb.IntColumn("cents"))
BORN = datetime(2014, 7, 1, 12, 34, 56, 789)
PEOPLE = [
    (1, "Ada", None, 1.5, True, BORN),
    (2, "Bob'; DROP TABLE people; --", 1, None, True, None),
    (3, "C_%\\漢字", 1, -2.25, False, BORN + timedelta(days=1)),
]
ORDERS = [(10, 1, 500), (11, 1, 700), (12, 2, 50), (13, 3, 50)]
TYPES = {
    "mariadb": ("DOUBLE", "BOOLEAN", "DATETIME(6)", "VARCHAR(50) CHARACTER SET utf8mb4"),
    "sqlite": ("REAL", "BOOLEAN", "TEXT", "TEXT"),
    "postgresql": ("DOUBLE PRECISION", "BOOLEAN", "TIMESTAMP", "TEXT"),
}
MYSQL = ("mysql", "mariadb")
TYPES["mysql"] = TYPES["mariadb"]
STYLES = {"mysql": "format", "mariadb": "format", "sqlite": "qmark", "postgresql": "format"}


class Server:
    """A connection and the dialect that it speaks."""

    def __init__(self, dialect: str, connection: Any, database: str) -> None:
        self.dialect, self.connection, self.database = dialect, connection, database
        double, boolean, moment, text = TYPES[dialect]
        self.raw(
            "CREATE TABLE people (id INT PRIMARY KEY, name "
            f"{text}, boss INT, score {double}, active {boolean}, born {moment})"
        )
        self.raw("CREATE TABLE orders (id INT PRIMARY KEY, person INT, cents INT)")
        if dialect in MYSQL:
            self.raw("CREATE INDEX by_boss ON people (boss)")

    def raw(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(text) if parameters is None else cursor.execute(text, parameters)
        found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return found

    def literal(self, statement: Any) -> list[tuple[Any, ...]]:
        return self.raw(statement.sql(self.database, dialect=self.dialect))

    def bound(self, statement: Any) -> list[tuple[Any, ...]]:
        style = STYLES[self.dialect]
        text, parameters = statement.bind(
            self.database, style, dialect=self.dialect, tags={"route": "/100%"}
        )
        return self.raw(text, parameters)

    def refill(self) -> None:
        for table, rows in ((people, PEOPLE), (orders, ORDERS)):
            self.literal(table.delete().all_rows())
            self.literal(table.insert(*table.columns).rows(rows))


def _mysql(dialect: str) -> Iterator[Server]:
    with sqlservers.connection_of(dialect) as root:
        root.cursor().execute("CREATE DATABASE IF NOT EXISTS statements")
    with sqlservers.connection_of(dialect, "statements") as connection:
        yield Server(dialect, connection, "statements")
        connection.cursor().execute("DROP DATABASE statements")


def _postgresql() -> Iterator[Server]:
    with sqlservers.postgresql_connection() as connection:
        connection.execute("CREATE SCHEMA statements")
        connection.execute("SET search_path TO statements")
        yield Server("postgresql", connection, "statements")
        connection.execute("DROP SCHEMA statements CASCADE")


def _sqlite() -> Iterator[Server]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function("regexp", 2, lambda pattern, text: pattern in text)
    yield Server("sqlite", connection, "main")
    connection.close()


@pytest.fixture(scope="module", params=[*sqlservers.mysql_like(), "postgresql", "sqlite"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    makers = {"postgresql": _postgresql, "sqlite": _sqlite}
    yield from makers[request.param]() if request.param in makers else _mysql(request.param)


@pytest.fixture
def server(any_server: Server) -> Server:
    any_server.refill()
    return any_server


p, o = people.c, orders.c
boss = people.alias("boss")
total = sb.alias("total", sb.func("SUM", o.cents))
counted = sb.alias("n", sb.count())
rich = sb.cte("rich", orders.select(o.person).where(o.cents > 400).distinct())
spent = sb.subquery("spent", orders.select(o.person, total).group_by(o.person))
ids = people.select(p.id)
READS = [
    (ids.order_by(p.id), [(1,), (2,), (3,)]),
    (people.select(p.name).where(p.name == PEOPLE[1][1]), [(PEOPLE[1][1],)]),
    (people.select(p.name).where(p.name == PEOPLE[2][1]), [(PEOPLE[2][1],)]),
    (ids.where(p.name.like(sb.escape_for_like("C_%\\") + "%")), [(3,)]),
    (ids.where(p.name.not_like("A%")).order_by(p.id), [(2,), (3,)]),
    (ids.where(p.boss == None).order_by(p.id), [(1,)]),  # noqa: E711
    (ids.where(p.boss.is_not_null()).order_by(sb.desc(p.id)), [(3,), (2,)]),
    (ids.where(p.active).order_by(p.id), [(1,), (2,)]),
    (ids.where(p.born == BORN), [(1,)]),
    (ids.where(p.score < -2.0), [(3,)]),
    (ids.where(p.id.in_([1, 3, 9])).order_by(p.id), [(1,), (3,)]),
    (ids.where(p.id.in_([])), []),
    (ids.where(p.id.not_in([])).limit(1).order_by(p.id), [(1,)]),
    (ids.where(p.id.not_in([1, 2])), [(3,)]),
    (ids.where(p.id.between(2, 3)).order_by(p.id), [(2,), (3,)]),
    (ids.where(sb.tuple_(p.id, p.name).in_([(1, "Ada"), (2, "x")])), [(1,)]),
    (ids.where(p.name.regexp("Ad")), [(1,)]),
    (ids.where(~((p.id == 1) | (p.id == 2))), [(3,)]),
    (ids.order_by(p.id).limit(1).offset(1), [(2,)]),
    (ids.order_by(p.id).offset(2), [(3,)]),
    (ids.where(p.id - (p.id - 1) == p.id), [(1,)]),
    (ids.where(((p.id | 4) & 6) == 6).order_by(p.id), [(2,), (3,)]),
    (people.select((p.id + 2) * 3 - 1).where(p.id == 1), [(8,)]),
    (people.select(sb.if_(p.id > 1, "big", "small")).order_by(p.id).limit(1), [("small",)]),
    (
        people.select(sb.case((p.id == 1, 10), (p.id == 2, 20), otherwise=30)).order_by(p.id),
        [(10,), (20,), (30,)],
    ),
    (people.select(sb.cast(sb.cast(p.id, "text"), "integer")).where(p.id == 3), [(3,)]),
    (orders.select(sb.count()), [(4,)]),
    (orders.select(sb.count(o.cents, distinct=True)), [(3,)]),
    (
        orders.select(o.person, total).group_by(o.person).order_by(sb.desc(total), o.person),
        [(1, 1200), (2, 50), (3, 50)],
    ),
    (orders.select(o.person).group_by(o.person).having(sb.count() > 1), [(1,)]),
    (orders.select(o.cents).distinct().order_by(o.cents), [(50,), (500,), (700,)]),
    (people.join(orders, p.id == o.person).select(p.id, o.id).where(o.cents > 500), [(1, 11)]),
    (
        people.left_join(orders, (p.id == o.person) & (o.cents > 400))
        .select(p.id, o.id)
        .order_by(p.id, o.id),
        [(1, 10), (1, 11), (2, None), (3, None)],
    ),
    (
        orders.right_join(people, (p.id == o.person) & (o.cents > 600))
        .select(p.id, o.id)
        .order_by(p.id),
        [(1, 11), (2, None), (3, None)],
    ),
    (people.cross_join(orders).select(sb.count()), [(12,)]),
    (people.join(orders, using=["id"]).select(sb.count()), [(0,)]),
    (
        people.join(boss, p.boss == boss.c.id).select(p.id, boss.c.name).order_by(p.id),
        [(2, "Ada"), (3, "Ada")],
    ),
    (
        ids.where(p.id.in_(orders.select(o.person).where(o.cents < 100))).order_by(p.id),
        [(2,), (3,)],
    ),
    (ids.where(sb.exists(orders.select(o.id).where((o.person == p.id) & (o.cents > 500)))), [(1,)]),
    (ids.where(p.id == orders.select(sb.func("MAX", o.person)).scalar()), [(3,)]),
    (spent.select(spent.c.person).where(spent.c.total > 100), [(1,)]),
    (rich.select(rich.c.person).with_(rich), [(1,)]),
    (
        orders.select(
            o.id,
            sb.alias(
                "r",
                sb.func("ROW_NUMBER").over(partition_by=[o.person], order_by=[sb.desc(o.cents)]),
            ),
        ).order_by(o.id),
        [(10, 2), (11, 1), (12, 1), (13, 1)],
    ),
    (sb.union(ids.where(p.id < 3), ids.where(p.id > 1)).order_by(p.id), [(1,), (2,), (3,)]),
    (
        sb.union_all(ids.order_by(p.id).limit(1), ids.order_by(sb.desc(p.id)).limit(1)).order_by(
            sb.desc(p.id)
        ),
        [(3,), (1,)],
    ),
    (sb.union(ids, ids).order_by(p.id).limit(1).offset(1), [(2,)]),
    (people.select(people.star).where(p.id == 9), []),
]


@pytest.mark.parametrize(("statement", "rows"), READS)
def test_reads(server: Server, statement: sb.Query, rows: list[tuple[Any, ...]]) -> None:
    def plain(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [
            tuple(
                int(v) if isinstance(v, float) or type(v).__name__ == "Decimal" else v for v in row
            )
            for row in found
        ]

    assert plain(server.literal(statement)) == rows
    assert plain(server.bound(statement)) == rows


def test_values_come_back(server: Server) -> None:
    everything = people.select(*people.columns).order_by(p.id)
    found = server.literal(everything)
    assert server.bound(everything) == found
    expected: list[tuple[Any, ...]] = list(PEOPLE)
    if server.dialect == "sqlite":
        moments = [None if row[5] is None else str(row[5]).ljust(26, "0") for row in PEOPLE]
        expected = [(*row[:5], text) for row, text in zip(PEOPLE, moments, strict=True)]
    assert found == expected


@pytest.mark.parametrize("way", ["literal", "bound"])
def test_writes(server: Server, way: str) -> None:
    run = getattr(server, way)

    def names() -> list[tuple[Any, ...]]:
        return server.literal(people.select(p.id, p.name).order_by(p.id))

    insert = people.insert(p.id, p.name, p.active)
    run(insert.row(4, "Dan", False).rows([(5, "Eve\0"[:3], True)]).comment("new people"))
    assert names()[3:] == [(4, "Dan"), (5, "Eve")]
    run(insert.row(5, "Fay", True).ignore_duplicates())
    assert names()[4:] == [(5, "Eve")]
    update = insert.conflict_target(p.id).on_duplicate_key_update
    run(
        update(p.name, sb.values(p.name))
        .on_duplicate_key_update(p.boss, p.id + 1)
        .row(5, "Gus", True)
    )
    assert server.literal(people.select(p.name, p.boss).where(p.id == 5)) == [("Gus", 6)]
    run(people.update().set(p.name, "Hal").set(p.boss, None).where(p.id >= 4))
    assert names()[3:] == [(4, "Hal"), (5, "Hal")]
    run(
        insert.from_select(
            orders.select(o.id, sb.literal("sold"), sb.literal(True)).where(o.id == 10)
        )
    )
    assert names()[5:] == [(10, "sold")]
    run(people.delete().where(p.id > 3))
    assert len(names()) == 3
    run(people.update().set(p.name, "all").all_rows())
    assert {name for _, name in names()} == {"all"}
    run(people.delete().all_rows())
    assert names() == []


@pytest.mark.parametrize("way", ["literal", "bound"])
def test_prepared(server: Server, way: str) -> None:
    statement = ids.where(
        (p.name == sb.slot("name", str)) & p.id.in_(sb.slot("ids", int, many=True))
    )
    values = {"name": PEOPLE[1][1], "ids": [1, 2, 3]}
    style = STYLES[server.dialect] if way == "bound" else None
    prepared = statement.prepare(server.database, dialect=server.dialect, paramstyle=style)  # type: ignore[arg-type]
    if way == "bound":
        assert server.raw(*prepared.bind(**values)) == [(2,)]
    else:
        assert server.raw(prepared.sql(**values)) == [(2,)]


def test_replace(server: Server) -> None:
    statement = people.replace(p.id, p.name).row(1, "new").row(7, "x")
    if server.dialect == "postgresql":
        with pytest.raises(sb.UnsupportedFeature, match="REPLACE"):
            server.literal(statement)
        return
    server.literal(statement)
    assert server.literal(ids.where(p.boss.is_null()).order_by(p.id)) == [(1,), (7,)]


def test_row_locks(server: Server) -> None:
    locks = [ids.for_update(), ids.with_shared_lock(), ids.for_update(nowait=True)]
    locks.append(ids.for_update(skip_locked=True))
    if server.dialect == "sqlite":
        with pytest.raises(sb.UnsupportedFeature, match="row locks"):
            server.literal(locks[0])
        return
    for statement in locks:
        assert len(server.literal(statement)) == 3


def test_intervals(server: Server) -> None:
    later = people.select(
        p.born + sb.interval(timedelta(hours=25, microseconds=7), exact=True)
    ).where(p.id == 1)
    if server.dialect == "sqlite":
        with pytest.raises(sb.UnsupportedFeature, match="INTERVAL"):
            server.literal(later)
        return
    assert server.literal(later) == [(BORN + timedelta(hours=25, microseconds=7),)]
    assert server.bound(later) == [(BORN + timedelta(hours=25, microseconds=7),)]


def test_mysql_takes_short_microseconds_for_a_fraction(server: Server) -> None:
    """Why `exact` exists: the recorded text, byte for byte, means something else to MySQL."""
    if server.dialect not in MYSQL:
        return
    later = people.select(p.born + sb.interval(timedelta(microseconds=7))).where(p.id == 1)
    assert server.literal(later) == [(BORN + timedelta(milliseconds=700),)]


def test_bitwise_xor(server: Server) -> None:
    statement = people.select(p.id ^ 1).order_by(p.id)
    if server.dialect == "sqlite":
        with pytest.raises(sb.UnsupportedFeature, match="bitwise XOR"):
            server.literal(statement)
        return
    assert server.literal(statement) == [(0,), (3,), (2,)]


def test_what_only_mysql_says(server: Server) -> None:
    hinted = [
        people.use_index("by_boss"),
        people.force_index("by_boss"),
        people.ignore_index("by_boss"),
    ]
    statements: list[sb.Statement] = [table.select(p.id).where(p.boss == 1) for table in hinted]
    statements.append(people.update().set(p.name, "x").where(p.id > 0).order_by(p.id).limit(1))
    statements.append(people.delete().where(p.id > 0).order_by(sb.desc(p.id)).limit(2))
    statements.append(sb.lock_tables().read(people).write(orders))
    statements.append(sb.unlock_tables())
    for statement in statements:
        if server.dialect in MYSQL:
            server.literal(statement)
        else:
            with pytest.raises(sb.UnsupportedFeature):
                server.literal(statement)
    if server.dialect in MYSQL:
        assert server.literal(people.select(p.id, p.name)) == [(1, "x")]
