"""Statements, expressions, tables and prepared statements are values: copied, pickled, shown."""

import copy
import json
import pickle
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.sqltables import people, t1, t2
from support.vector_trees import statement

from godropbox.database import sqlbuilder as sb

a, b = t1.c.col1, t1.c.col2
base = t1.select(a)


def pickled(value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": partial(pickled, protocol=protocol)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}

odd = sb.Table("a`b", sb.IntColumn("é"), sb.StrColumn("s", charset="utf8mb4", nullable=True))
counted = sb.alias("n", sb.count())
kinds = sb.Table(
    "kinds",
    sb.DecimalColumn("exact", precision=10, scale=2),
    sb.EnumColumn("kind", "x", "y"),
    sb.JsonColumn("document"),
    sb.UuidColumn("key"),
    sb.DateColumn("day"),
)
inner = sb.subquery("inner", t1.select(a, sb.alias("sum", a + b)).where(b > 1))
shared = sb.cte("shared", t2.select(t2.c.col3))
STATEMENTS = [
    base,
    base.where((a == 1) & (b != None) | ~(a < b)),  # noqa: E711
    base.where(a.in_([1, 2, 3]) & b.not_in(t2.select(t2.c.col3)) & a.between(1, sb.literal(2))),
    base.where(a.in_([]) | a.like("x%") | (t1.c.col4 > datetime(2014, 7, 1))),
    t1.select(a, counted).group_by(a).having(counted > 1).order_by(sb.desc(a)).distinct(),
    t1.select(
        sb.case((a == 1, b), otherwise=Decimal("1.5")), sb.cast(a, "text"), sb.if_(a > 1, 2, 3)
    ),
    t1.select(sb.func("RANK").over(partition_by=[a], order_by=[sb.asc(b)]), t1.star),
    t1.select(t1.c.col4 + sb.interval(timedelta(1)), sb.tuple_(a, b) == sb.tuple_(1, 2)),
    t1.use_index("i", "j").alias("u").select(sb.star()).limit(5).offset(2).comment("hello"),
    t1.join(t2, a == t2.c.col3).left_join(people, using=["id"]).select(people.c.id).for_update(),
    inner.select(inner.c["sum"]).where(sb.exists(base)),
    shared.select(shared.c.col3).with_(shared),
    sb.union_all(base.limit(1), base).order_by(a).limit(3),
    base.except_(base.intersect(base)).limit(sb.literal(3)).offset(1),
    base.hint("BKA(t1)").limit(sb.literal(1)).for_update(of=t1, nowait=True),
    t1.select(a).group_by(sb.rollup(a, b)),
    t1.select(sb.count().over("w")).window("w", sb.window(partition_by=b)),
    sb.select(sb.literal(1)).where(sb.literal(1) == 1),
    (lambda own: sb.select(own.alias("o")).with_(own.union(own.select(own.c.col3))))(shared),
    t1.left_join(sb.lateral("l", t2.select(t2.c.col3).where(t2.c.col3 == a))).select(a),
    sb.select(sb.values_table("v", sb.IntColumn("x"), rows=[(1,), (sb.literal(2) + 1,)])),
    t1.join(sb.json_table("j", t1.c.col4, "$[*]", sb.IntColumn("x"), ordinality="n")).select(a),
    t1.select(base.limit(1).scalar()),
    t1.insert(a, b).row(1, "x").row(2, b + 1).on_duplicate_key_update(b, a + 1),
    t1.insert(a).from_select(base),
    t1.replace(a).row(1.5),
    t1.update().set(a, b).set(b, None).where(a == 1).order_by(a).limit(1),
    t1.delete().all_rows().comment("bye"),
    odd.in_database("x y").select(*odd.columns).where(odd.c["é"] == 5),
    people.select(people.c.id).where(people.c.active),
    t1.insert().values(col1=1, col2=sb.DEFAULT).ignore_duplicates(),
    t1.insert(a, b).row(1, 2).on_duplicate_key_update(b, sb.values(b) + 1),
    t1.update().join(t2, a == t2.c.col3).values(col1=t2.c.col4).all_rows(),
    t1.delete().join(t2, a == t2.c.col3).where(t2.c.col4.is_null()),
    kinds.insert(*kinds.columns).row(Decimal("1.25"), "x", {"a": [1]}, uuid.UUID(int=7), date.max),
    kinds.select(kinds.c.exact).where((kinds.c.day > date(2014, 7, 1)) & (kinds.c.kind == "y")),
    sb.lock_tables().read(t1).write(t2),
    sb.unlock_tables(),
    sb.gtid_next(bytes(16), 5),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(len(STATEMENTS)))
def test_a_copy_of_a_statement_renders_the_same(way: str, number: int) -> None:
    first = STATEMENTS[number]
    second = WAYS[way](first)
    assert type(second) is type(first)
    assert second.sql("db") == first.sql("db")
    assert second.bind("db") == first.bind("db")


u: Any = sb.Table("u", sb.IntColumn("id"), sb.StrColumn("name"), sb.JsonColumn("doc"))
un, ud = u.c.name, u.c.doc
made = sb.values_table("made", sb.IntColumn("k"), sb.StrColumn("v"), rows=[(1, "x"), (2, None)])
NEWER: list[tuple[Any, Any]] = [
    (sb.select(u).where(un.like("a%") | un.startswith("b") | (un.collate("C") == "x")), "mysql"),
    (sb.select(u).where(un.ilike("a%") | un.is_distinct_from("b")), "postgresql"),
    (u.select(un.concat("x"), -u.c.id, ~u.c.id, sb.shift_left(u.c.id, 2)), "postgresql"),
    (u.select(ud["a"]["b"].as_text(), ud["c"][0].as_integer()), "postgresql"),
    (u.select(ud["a"]["b"].as_text(), ud["c"][0].as_integer()), "sqlite"),
    (u.select(u.c.id).where(u.c.id == sb.any_([1, 2])), "postgresql"),
    (u.select(sb.array([1, 2], "integer"), u.c.id), "postgresql"),
    (u.select(sb.raw("LENGTH(?) > ?", "x", 5)), "mysql"),
    (u.select(sb.string_agg(un, "; ", order_by=[un.desc().nulls_last()])), "postgresql"),
    (u.select(sb.count().over(partition_by=un, order_by=u.c.id, rows=(-1, 0))), "postgresql"),
    (t1.select(sb.extract("year", t1.c.col4), sb.cast(a, "numeric(10, 2)")), "postgresql"),
    (base.union(base).intersect(base).order_by(a).limit(2), "postgresql"),
    (sb.select(made).limit(sb.slot("n", int)), "postgresql"),
    (u.select(u.c.id).distinct(un).order_by(un), "postgresql"),
    (u.join(t1, u.c.id == a).select(u.c.id).for_update(of=u), "postgresql"),
    (u.insert(un).row("x").returning(u.c.id), "postgresql"),
    (u.full_join(t1, u.c.id == a).select(u.c.id), "postgresql"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(len(NEWER)))
def test_a_copy_of_any_kind_renders_the_same(way: str, number: int) -> None:
    first, dialect = NEWER[number]
    second = WAYS[way](first)
    assert str(second) == str(first)
    text = first.prepare("db", dialect=dialect)
    assert repr(WAYS[way](first).prepare("db", dialect=dialect)) == repr(text)
    assert repr(WAYS[way](text)) == repr(text)


def test_every_recorded_statement_survives_a_pickle(vectors: Path) -> None:
    for line in (vectors / "sqlbuilder.jsonl").read_bytes().splitlines()[::5]:
        row = json.loads(line)
        if not row.get("error"):
            made = statement(row["statement"])
            assert pickled(made).sql(row["database"]) == made.sql(row["database"])


@pytest.mark.parametrize("way", WAYS)
def test_columns_and_statements_stay_in_scope_of_each_other(way: str) -> None:
    table, query, column = WAYS[way](t1), WAYS[way](base), WAYS[way](b)
    wanted = "SELECT `table1`.`col1` FROM `db`.`table1` WHERE `table1`.`col2`=5"
    for made in (
        query.where(b == 5),
        query.where(column == 5),
        base.where(column == 5),
        base.where(table.c.col2 == 5),
        table.select(a).where(column == 5),
        query.where(table.c["col2"] == 5),
    ):
        assert made.sql("db") == wanted
    assert table.insert(a, column).row(1, 2).sql() == t1.insert(a, b).row(1, 2).sql()
    assert query.where(a == 1).sql() == base.where(a == 1).sql()
    with pytest.raises(ValueError, match="table table2 is not in this statement"):
        query.where(t2.c.col3 == 1).sql()


@pytest.mark.parametrize("way", WAYS)
def test_a_table_keeps_what_it_was_declared_with(way: str) -> None:
    for table in (t1, odd, people, t1.alias("x"), odd.in_database("d"), t1.use_index("i")):
        other = WAYS[way](table)
        assert other.name == table.name
        assert [*map(str, other.c)] == [*map(str, table.c)]
        for old, new in zip(table.columns, other.columns, strict=True):
            assert type(new) is type(old)
            for field in ("name", "table_name", "nullable", "charset", "collation"):
                assert getattr(new, field) == getattr(old, field)
        assert [column is other.c[column.name] for column in other.columns] == [True] * len(other.c)
        assert other.select(sb.star()).sql("db") == table.select(sb.star()).sql("db")
        with pytest.raises(AttributeError, match=r"no (attribute|column) 'nowhere'"):
            other.c.nowhere  # noqa: B018


class Mine(sb.Table):
    """A user's own table."""

    extra = "kept in the class"


def test_subclasses_of_a_table_stay_themselves() -> None:
    mine = Mine("mine", sb.IntColumn("x"))
    other = pickled(mine)
    assert type(other) is Mine
    assert other.select(other.c.x).sql() == "SELECT `mine`.`x` FROM `mine`"


@pytest.mark.parametrize("way", WAYS)
def test_a_prepared_statement_fills_the_same(way: str) -> None:
    n = sb.slot("n", int)
    many = sb.slot("many", int, many=True)
    query = base.where((a == n) & b.in_(many) & (a * sb.slot("f", float) > 1))
    for style in (None, "format", "qmark"):
        first: Any = query.prepare("db", paramstyle=style)
        second = WAYS[way](first)
        values = {"n": 5, "many": [1, 2], "f": 0.5}
        if style is None:
            assert second.sql(**values) == first.sql(**values)
        else:
            assert second.bind(**values) == first.bind(**values)
        assert second.slots == ("f", "many", "n")
        with pytest.raises(TypeError, match="slot n must be int"):
            second.bind(**{**values, "n": "5"}) if style else second.sql(**{**values, "n": "5"})
    slotted = WAYS[way](query)
    assert slotted.prepare("db").sql(n=1, many=[2], f=3.0) == query.prepare("db").sql(
        n=1, many=[2], f=3.0
    )


def test_long_and_deep_statements_are_pickled() -> None:
    condition = a == 0
    for number in range(1, 5000):
        condition = condition & (a == number) if number % 2 else condition & a.in_([number])
    query = base.where(condition)
    assert pickled(query).sql("db") == query.sql("db")
    insert = t1.insert(a, b)
    for number in range(5000):
        insert = insert.row(number, b + 1 if number % 3 else None)
    assert pickled(insert).sql("db") == insert.sql("db")
    deep = a
    for _ in range(150):
        deep = deep + 1
    assert pickled(t1.select(deep)).sql("db") == t1.select(deep).sql("db")


def test_a_dialect_is_one_object_however_it_is_copied() -> None:
    for dialect in (sb.mysql, sb.mariadb, sb.sqlite, sb.postgresql):
        for way in WAYS.values():
            assert way(dialect) is dialect


def test_a_statement_reads_as_text() -> None:
    query = base.where((a == sb.slot("n", int)) & b.in_(sb.slot("many", int, many=True)))
    text = (
        "SELECT `table1`.`col1` FROM `table1` "
        "WHERE (`table1`.`col1`=:n AND `table1`.`col2` IN (:many))"
    )
    assert str(query) == text
    assert f"{query}" == text
    assert repr(query) == f"<Select {text}>"
    assert str(t1.select(sb.cast(a, "timestamptz"))) == (
        'SELECT CAST("table1"."col1" AS TIMESTAMPTZ) FROM "table1"'
    )
    assert str(t1.insert(a)) == ("<Insert: INSERT needs at least one row: call row() or rows()>")
    assert str(t1.delete()) == "<Delete: DELETE without WHERE: call where() or all_rows()>"
    assert str(t1.force_index("i").select(sb.cast(a, "timestamptz"))).startswith("<Select: ")
    assert repr(a == sb.slot("n", int)) == "<Binary `table1`.`col1`=:n>"
