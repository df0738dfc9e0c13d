"""One statement in three dialects, and what a dialect has not got."""

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.sqltables import people, shown, t1, t2

from godropbox.database import sqlbuilder as sb
from godropbox.database import sqltypes
from godropbox.database.sqlbuilder.dialects import FEATURES
from godropbox.database.sqltypes import POSTGRESQL, SqlMode

a, b = t1.c.col1, t1.c.col2
base = t1.select(a)
A, B = '"table1"."col1"', '"table1"."col2"'
BOTH = ("sqlite", "postgresql")
ONLY_MYSQL = [
    (t1.force_index("i").select(a), "index hints"),
    (t1.delete().where(a == 1).limit(1), "LIMIT in DELETE"),
    (t1.update().set(a, 1).where(a == 1).order_by(a), "ORDER BY in UPDATE"),
    (sb.lock_tables().read(t1), "LOCK TABLES"),
    (sb.unlock_tables(), "UNLOCK TABLES"),
    (sb.gtid_next(bytes(16), 1), "GTID_NEXT"),
    (t1.select(sb.cast(a, "unsigned")), "CAST to unsigned"),
]


@pytest.mark.parametrize(
    ("statement", "sqlite", "postgresql"),
    [
        (base, f'SELECT {A} FROM "db"."table1"', None),
        (base.limit(5).offset(2), f'SELECT {A} FROM "db"."table1" LIMIT 5 OFFSET 2', None),
        (
            base.offset(2),
            f'SELECT {A} FROM "db"."table1" LIMIT -1 OFFSET 2',
            f'SELECT {A} FROM "db"."table1" OFFSET 2',
        ),
        (
            base.where(t1.c.col4 > datetime(2014, 7, 1)),
            f'SELECT {A} FROM "db"."table1" WHERE "table1"."col4">\'2014-07-01 00:00:00.000000\'',
            f'SELECT {A} FROM "db"."table1"'
            ' WHERE "table1"."col4">\'2014-07-01 00:00:00.000000\'::timestamp',
        ),
        (
            base.where(a.like("x\\_y'")),
            f"SELECT {A} FROM \"db\".\"table1\" WHERE {A} LIKE 'x\\_y''' ESCAPE '\\'",
            f"SELECT {A} FROM \"db\".\"table1\" WHERE {A} LIKE E'x\\\\_y'''",
        ),
        (
            people.select(people.c.id).where(people.c.active == True),  # noqa: E712
            'SELECT "people"."id" FROM "db"."people" WHERE "people"."active"=1',
            'SELECT "people"."id" FROM "db"."people" WHERE "people"."active"=TRUE',
        ),
        (
            t1.insert(a, b).row(1, 2),
            'INSERT INTO "db"."table1" ("col1","col2") VALUES (1,2)',
            None,
        ),
        (
            t1.insert(a).row(1).ignore_duplicates(),
            'INSERT INTO "db"."table1" ("col1") VALUES (1) ON CONFLICT DO NOTHING',
            None,
        ),
        (
            t1.insert(a, b)
            .row(1, 2)
            .conflict_target(a)
            .on_duplicate_key_update(b, sb.values(b) + b),
            'INSERT INTO "db"."table1" ("col1","col2") VALUES (1,2) ON CONFLICT ("col1") '
            f'DO UPDATE SET "col2"=excluded."col2" + {B}',
            None,
        ),
        (
            t1.update().set(a, b + 1).where(b == 2),
            f'UPDATE "db"."table1" SET "col1"={B} + 1 WHERE {B}=2',
            None,
        ),
        (t1.delete().where(b == 2), f'DELETE FROM "db"."table1" WHERE {B}=2', None),
        (
            sb.union(base, base).order_by(a).limit(1),
            f'SELECT {A} FROM "db"."table1" UNION SELECT {A} FROM "db"."table1" '
            'ORDER BY "col1" LIMIT 1',
            f'(SELECT {A} FROM "db"."table1") UNION (SELECT {A} FROM "db"."table1") '
            'ORDER BY "col1" LIMIT 1',
        ),
        (
            sb.union_all(base.limit(1), base),
            f'SELECT * FROM (SELECT {A} FROM "db"."table1" LIMIT 1) UNION ALL '
            f'SELECT {A} FROM "db"."table1"',
            f'(SELECT {A} FROM "db"."table1" LIMIT 1) UNION ALL (SELECT {A} FROM "db"."table1")',
        ),
    ],
)
def test_a_statement_in_each_dialect(
    statement: sb.Statement, sqlite: str, postgresql: str | None
) -> None:
    assert statement.sql("db", dialect="sqlite") == sqlite
    assert statement.sql("db", dialect="postgresql") == (postgresql or sqlite)


@pytest.mark.parametrize(
    ("expression", "sqlite", "postgresql"),
    [
        (sb.if_(a == 1, a, b), f"CASE WHEN {A}=1 THEN {A} ELSE {B} END", None),
        (sb.case((a == 1, 2), otherwise=3), f"CASE WHEN {A}=1 THEN 2 ELSE 3 END", None),
        (a.regexp("x"), f"{A} REGEXP 'x'", f"{A} ~ 'x'"),
        (sb.cast(a, "text"), f"CAST({A} AS TEXT)", None),
        (sb.cast(a, "integer"), f"CAST({A} AS INTEGER)", f"CAST({A} AS BIGINT)"),
        (t1.star, '"table1".*', None),
    ],
)
def test_an_expression_in_each_dialect(
    expression: Any, sqlite: str, postgresql: str | None
) -> None:
    assert shown(expression, dialect="sqlite") == sqlite
    assert shown(expression, dialect="postgresql") == (postgresql or sqlite)


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(("statement", "feature"), ONLY_MYSQL)
def test_what_a_dialect_lacks_is_named(statement: sb.Statement, feature: str, dialect: str) -> None:
    assert statement.sql("db")
    with pytest.raises(sb.UnsupportedFeature, match=feature):
        statement.sql("db", dialect=dialect)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "dialect", "feature"),
    [
        (base.for_update(), "sqlite", "row locks"),
        (t1.select(a ^ b), "sqlite", "bitwise XOR"),
        (t1.select(sb.extract("week", a)), "sqlite", "EXTRACT week"),
        (t1.select(sb.cast(a, "uuid")), "mysql", "CAST to uuid"),
        (
            t1.insert(a).row(1).on_duplicate_key_update(a, 1),
            "postgresql",
            "ON CONFLICT without a target",
        ),
        (
            t1.update().from_(t2).set(a, 1).all_rows().returning(t2.columns[0]),
            "sqlite",
            "other tables in RETURNING",
        ),
        (t1.alias("x" * 64).select(sb.count()), "postgresql", "names of more than 63 bytes"),
        (t1.alias("x ").select(sb.count()), "mariadb", "names that end with a space"),
        (t1.alias("😀").select(sb.count()), "mysql", "names with characters above U+FFFF"),
    ],
)
def test_the_error_has_the_name_of_what_is_missing(
    statement: sb.Statement, dialect: Any, feature: str
) -> None:
    with pytest.raises(sb.UnsupportedFeature) as caught:
        statement.sql("db", dialect=dialect)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.feature, error.dialect) == (feature, dialect)
        assert str(error) == str(caught.value)


def test_an_alias_in_an_expression_of_order_by() -> None:
    total = sb.alias("total", sb.func("SUM", b))
    query = t1.select(a, total).group_by(a)
    known = query.order_by(1 - total, sb.nulls_last(total))
    assert known.sql("db").endswith(" ORDER BY 1 - `total`,`total` IS null,`total`")
    summed = "SUM(`table1`.`col2`)"
    text = known.sql("db", dialect="mariadb")
    assert text.endswith(f" ORDER BY 1 - {summed},{summed} IS null,`total`")
    hidden = sb.alias("col1", a + 1)
    nulls = t1.select(hidden).order_by(2 * hidden, sb.nulls_last(hidden))
    column = "(`table1`.`col1` + 1)"
    assert nulls.sql("db").endswith(f" ORDER BY 2 * {column},{column} IS null,`col1`")
    both = t1.select(a).union(t1.select(b)).order_by(sb.nulls_last(a))
    assert both.sql("db", dialect="mariadb").endswith(" ORDER BY `col1` IS null,`col1`")


def test_a_query_of_the_table_itself_gets_a_name_beside_an_upsert() -> None:
    insert = t1.insert(a, b).from_select(t1.select(b, a))
    start = "INSERT INTO `db`.`table1` (`table1`.`col1`,`table1`.`col2`) "
    query = "SELECT `table1`.`col2`,`table1`.`col1` FROM `db`.`table1`"
    names = "`excluded` (`col1`,`col2`)"
    assert insert.sql("db") == start + query
    upsert = insert.on_duplicate_key_update(b, b + 1)
    text = upsert.sql("db")
    assert text.startswith(f"{start}SELECT * FROM ({query}) AS {names} ON DUPLICATE KEY UPDATE ")
    text = upsert.sql("db", dialect="mariadb")
    within = f"WITH {names} AS ({query}) SELECT * FROM `excluded`"
    assert text.startswith(f"{start}SELECT * FROM ({within}) AS `excluded` ON DUPLICATE")
    other = t1.alias("x")
    plain = t1.insert(a, b).from_select(other.select(other.c.col1, other.c.col2))
    assert "excluded" not in plain.ignore_duplicates().sql("db")
    assert "excluded" in insert.ignore_duplicates().sql("db")


def test_every_condition_of_several_joins_is_written() -> None:
    x, y = t1.alias("x"), t1.alias("y")
    on, also = x.c.col1 == a, y.c.col1 == x.c.col2
    where = '("x"."col1"="table1"."col1" AND "y"."col1"="x"."col2" AND "table1"."col2"=5)'
    update = t1.update().join(x, on).join(y, also).set(b, 1).where(b == 5)
    delete = t1.delete().join(x, on).join(y, also).where(b == 5)
    tables = '"db"."table1" AS "x", "db"."table1" AS "y"'
    assert update.sql("db", dialect="postgresql").endswith(f" FROM {tables} WHERE {where}")
    assert update.sql("db", dialect="sqlite").endswith(f" FROM {tables} WHERE {where}")
    assert delete.sql("db", dialect="postgresql").endswith(f" USING {tables} WHERE {where}")


def test_only_postgresql_has_moments_with_a_zone() -> None:
    for dialect in ("mysql", "sqlite"):
        with pytest.raises(sb.UnsupportedFeature, match="CAST to timestamptz"):
            shown(sb.cast(a, "timestamptz"), dialect=dialect)
    aware = datetime(2014, 7, 1, 12, tzinfo=UTC)
    text = shown(sb.cast(aware, "timestamptz"), dialect="postgresql")
    assert text == "CAST('2014-07-01 12:00:00.000000+00:00' AS TIMESTAMPTZ)"


def test_times_say_their_types_in_text_alone() -> None:
    moment = datetime(2014, 7, 1, 12)
    values = [moment, moment.date(), moment.time(), timedelta(days=1)]
    kinds = ["timestamp", "date", "time", "interval"]
    slots = [sb.slot("v", type(value)) for value in values]
    for value, kind, slot in zip(values, kinds, slots, strict=True):
        text = base.where(a == value).sql("db", dialect="postgresql")
        assert text.endswith(f"'::{kind}")
        prepared = base.where(a == slot).prepare("db", dialect="postgresql")
        assert prepared.sql(v=value) == text
        assert f"'::{kind})" in base.where(a.in_([value])).sql("db", dialect="postgresql")
        insert = t1.insert(a, b).rows([(value, value)]).sql("db", dialect="postgresql")
        assert insert.count(f"'::{kind}") == 2
    for style in ("format", "pyformat", "qmark"):
        bound, _ = base.where(a.in_(values)).bind("db", style, dialect="postgresql")
        assert ":" not in bound
    bound, _ = base.where(a.in_(values)).bind("db", "numeric", dialect="postgresql")
    assert bound.endswith("IN (:1,:2,:3,:4)")
    assert bound.count(":") == 4


def test_no_operator_runs_into_a_minus() -> None:
    conditions = [a == -1, a != -1, a < -1, a <= -1, a > -1, a >= -1]
    for condition, symbol in zip(conditions, ("=", "<>", "<", "<=", ">", ">="), strict=True):
        text = base.where(condition).sql("db", dialect="postgresql")
        assert text.endswith(f"{A}{symbol}-1")
    for dialect in ("mysql", "sqlite", "postgresql"):
        for expression in (a - -1, a + -1, 5 - sb.literal(-1), sb.sub(1, -1, -2.5)):
            assert "--" not in shown(expression, dialect=dialect)


def test_what_only_one_dialect_lacks() -> None:
    with pytest.raises(sb.UnsupportedFeature, match="SQLite has no row locks"):
        base.for_update().sql("db", dialect="sqlite")
    with pytest.raises(sb.UnsupportedFeature, match="SQLite has no bitwise XOR"):
        t1.select(a ^ b).sql("db", dialect="sqlite")
    with pytest.raises(sb.UnsupportedFeature, match="SQLite has no INTERVAL"):
        t1.select(a + sb.interval(timedelta(1))).sql("db", dialect="sqlite")
    with pytest.raises(sb.UnsupportedFeature, match="PostgreSQL has no REPLACE"):
        t1.replace(a).row(1).sql("db", dialect="postgresql")
    with pytest.raises(sb.UnsupportedFeature, match=r"without a target: call conflict_target\(\)"):
        t1.insert(a).row(1).on_duplicate_key_update(a, 1).sql("db", dialect="postgresql")
    assert shown(a ^ b, dialect="postgresql") == f"{A} # {B}"
    assert base.for_update().sql("db", dialect="postgresql").endswith(" FOR UPDATE")
    assert base.with_shared_lock().sql("db", dialect="postgresql").endswith(" FOR SHARE")


def test_postgresql_writes_intervals_its_own_way() -> None:
    interval = sb.interval(-timedelta(hours=50, minutes=5, microseconds=50))
    assert shown(interval, dialect="postgresql") == "INTERVAL '-50:05:00.000050'"


def test_the_servers_mode_decides_on_backslashes() -> None:
    mode = SqlMode(backslash_escapes=False)
    statement = base.where(a == "a\\b'c")
    assert statement.sql("db", mode=mode).endswith("='a\\b''c'")
    assert statement.sql("db").endswith("='a\\\\b\\'c'")
    like = base.where(a.like("x\\%"))
    assert like.sql("db", mode=mode).endswith(" LIKE 'x\\%' ESCAPE '\\'")
    with pytest.raises(ValueError, match="dialect is sqlite, but mode is for mysql"):
        statement.sql("db", dialect="sqlite", mode=mode)


def test_a_column_declared_once_serves_two_tables() -> None:
    identity = sb.IntColumn("id")
    left, right = sb.Table("left", identity), sb.Table("right", identity)
    text = left.join(right, left.c.id == right.c.id).select(left.c.id).sql("db")
    assert text.endswith("ON `left`.`id`=`right`.`id`")
    with pytest.raises(ValueError, match="column id belongs to no table"):
        t2.select(identity).sql("db")


class DuckDB(sb.Dialect):
    """A fifth dialect, as its own file would have it."""

    def interval(self, microseconds: int, exact: bool, binding: bool) -> str:
        """Return the duration in microseconds."""
        return f"to_microseconds({microseconds})"


duckdb = DuckDB(
    "duckdb",
    title="DuckDB",
    literals="postgresql",
    name_limit=64,
    like_escape=True,
    features=sb.postgresql.features - {"row locks", "bitwise XOR"} | {"IF()"},
    operators={" <=> ": " IS NOT DISTINCT FROM ", " ^ ": None},
    types={**sb.postgresql.types, "unsigned": "UBIGINT"},
)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (base.offset(2), f'SELECT {A} FROM "db"."table1" OFFSET 2'),
        (
            base.where(a.like("x%")),
            f"SELECT {A} FROM \"db\".\"table1\" WHERE {A} LIKE 'x%' ESCAPE '\\'",
        ),
        (t1.select(sb.if_(a == 1, a, b)), f'SELECT IF({A}=1,{A},{B}) FROM "db"."table1"'),
        (t1.select(sb.cast(a, "unsigned")), f'SELECT CAST({A} AS UBIGINT) FROM "db"."table1"'),
        (
            t1.select(a + sb.interval(timedelta(seconds=1))),
            f'SELECT {A} + to_microseconds(1000000) FROM "db"."table1"',
        ),
        (
            base.where(t1.c.col4 > datetime(2014, 7, 1)),
            f'SELECT {A} FROM "db"."table1" WHERE "table1"."col4">'
            "'2014-07-01 00:00:00.000000'::timestamp",
        ),
        (
            t1.insert(a).row(1).conflict_target(a).on_duplicate_key_update(a, sb.values(a)),
            'INSERT INTO "db"."table1" ("col1") VALUES (1) ON CONFLICT ("col1") '
            'DO UPDATE SET "col1"=excluded."col1"',
        ),
    ],
)
def test_a_fifth_dialect_is_one_object(statement: sb.Statement, text: str) -> None:
    assert statement.sql("db", dialect=duckdb) == text
    assert statement.sql("db", dialect=duckdb, mode=POSTGRESQL) == text
    assert statement.prepare("db", dialect=duckdb).sql() == text


def test_a_fifth_dialect_names_itself_in_errors() -> None:
    for statement, feature in [
        (base.for_update(), "row locks"),
        (t1.select(a ^ b), "bitwise XOR"),
        (t1.replace(a).row(1), "REPLACE"),
        (sb.lock_tables().read(t1), "LOCK TABLES"),
    ]:
        with pytest.raises(sb.UnsupportedFeature, match=f"DuckDB has no {feature}"):
            statement.sql("db", dialect=duckdb)
    with pytest.raises(ValueError, match="dialect is duckdb, but mode is for sqlite"):
        base.sql("db", dialect=duckdb, mode=sqltypes.SQLITE)


def test_a_dialect_is_an_object_or_its_name() -> None:
    for dialect in (sb.mysql, sb.mariadb, sb.sqlite, sb.postgresql):
        name: Any = dialect.name
        assert base.limit(1).sql("db", dialect=dialect) == base.limit(1).sql("db", dialect=name)
        assert dialect.features <= set(FEATURES)
        assert repr(dialect) == f"<{type(dialect).__name__} {name}>"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"literals": "oracle"}, "literals must be one of mysql, sqlite, postgresql, got 'oracle'"),
        ({"quote": "["}, "quote must be a double quote or a backquote, got '\\['"),
        ({"features": ["TIME TRAVEL"]}, "features must be names of FEATURES, got TIME TRAVEL"),
    ],
)
def test_a_dialect_checks_what_it_is_made_of(wrong: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"title": "X", "literals": "mysql", "features": (), "types": {}}
    with pytest.raises(ValueError, match=words):
        sb.Dialect("x", **{**given, **wrong})


def test_the_version_tells_mariadb_from_mysql() -> None:
    waiting = base.with_shared_lock(nowait=True)
    for version, name, end in (
        ("8.0.40", "mysql", " FOR SHARE NOWAIT"),
        ("9.7.0", "mysql", " FOR SHARE NOWAIT"),
        ("10.11.6-MariaDB-0+deb12u1", "mariadb", " LOCK IN SHARE MODE NOWAIT"),
        ("5.5.5-10.6.4-mariadb", "mariadb", " LOCK IN SHARE MODE NOWAIT"),
    ):
        mode = SqlMode.parse("ANSI_QUOTES", "utf8mb4", version)
        assert mode.dialect == name
        assert waiting.sql("db", mode=mode).endswith(end)
    assert waiting.sql("db", dialect="mariadb", mode=SqlMode()).endswith(
        " LOCK IN SHARE MODE NOWAIT"
    )
