"""Many shards at once: rows merged, keys grouped, one deadline, failures by shard."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import pytest
from support.sqlshards import COUNT, FakeDriver, SqliteHosts, f, files, layout_of

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import ENGINES, ShardRouter
from godropbox.database.sharding._merge import gathering
from godropbox.database.sharding._statements import check_reads, render
from godropbox.errors import UsageError

ROWS = [
    (owner, number, f"n{(owner * 7 + number) % 13}") for owner in range(40) for number in (1, 2)
]
OWNERS = sb.slot("owners", int, many=True)
ALL = files.select(f.owner, f.id, f.name)


class File(NamedTuple):
    owner: int
    id: int
    name: str


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShardRouter]:
    hosts = SqliteHosts(tmp_path_factory.mktemp("scatter"), "a", "b")
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as made:
        insert = files.insert(f.owner, f.id, f.name)
        for shard, owners in made.layout.by_shard({row[0] for row in ROWS}).items():
            mine = [row for row in ROWS if row[0] in owners]
            made.run_on(insert.rows(mine), shard)
        yield made


def test_rows_are_merged_as_one_database_would(router: ShardRouter) -> None:
    draw = random.Random(5)
    columns = {f.owner: 0, f.id: 1, f.name: 2}
    for _ in range(30):
        terms = draw.sample(list(columns), draw.randint(1, 3))
        ways = [draw.random() < 0.5 for _ in terms]
        query = ALL.order_by(
            *[t.desc() if down else t for t, down in zip(terms, ways, strict=True)]
        )
        limit, offset = draw.choice([None, 0, 1, 7, 500]), draw.choice([None, 0, 3, 60, 500])
        if limit is not None:
            query = query.limit(limit)
        if offset is not None:
            query = query.offset(offset)
        wanted = list(ROWS)
        for term, down in reversed(list(zip(terms, ways, strict=True))):
            place = columns[term]
            wanted.sort(key=lambda row: row[place], reverse=down)
        start = offset or 0
        wanted = wanted[start:] if limit is None else wanted[start : start + limit]
        found = router.scatter(query).rows()
        places = [columns[term] for term in terms]
        assert [[row[p] for p in places] for row in found] == [
            [row[p] for p in places] for row in wanted
        ]
        assert len(set(found)) == len(found) <= len(ROWS)


def test_the_keys_of_each_shard_alone(router: ShardRouter) -> None:
    asked: list[list[int]] = []

    def of(owners: list[int]) -> Any:
        asked.append(owners)
        return ALL.where(f.owner.in_(owners)).order_by(f.owner, f.id)

    keys = [3, 5, 8, 3, 30, 39]
    found = router.scatter(of, keys=keys)
    assert found.rows() == [row for row in ROWS if row[0] in keys]
    by_shard = router.layout.by_shard(keys)
    assert sorted(map(sorted, asked)) == sorted(map(sorted, by_shard.values()))
    assert set(found.by_shard) == set(by_shard)
    prepared = sharding.prepare(ALL.where(f.owner.in_(OWNERS)).order_by(f.owner, f.id))
    assert router.scatter(prepared, keys=keys).rows() == found.rows()
    named = sharding.prepare(
        ALL.where(f.owner.in_(OWNERS) & (f.id == sb.slot("id", int))), ALL.records(File)
    )
    two = router.scatter(named, keys=[3, 5], values={"id": 2})
    assert {(row.owner, row.id) for row in two.rows()} == {(3, 2), (5, 2)}
    assert router.scatter(named, keys=[3], into="owners", values={"id": 1}).rows() == [
        File(3, 1, ROWS[6][2])
    ]
    assert router.scatter(of, keys=[]).rows() == []


def test_what_cannot_be_merged(router: ShardRouter) -> None:
    total = sb.alias("total", sb.func("SUM", f.id))
    for query in (
        files.select(sb.count()),
        files.select(f.owner, total).group_by(f.owner),
        files.select(f.owner).distinct(),
        files.select(f.id, sb.func("ROW_NUMBER").over(order_by=f.id)),
        ALL.union(ALL),
    ):
        with pytest.raises(ValueError, match="a scattered query must not compute over rows"):
            router.scatter(query)
    counts = router.scatter(files.select(sb.count()), merge=False)
    assert sum(rows[0][0] for rows in counts.by_shard.values()) == len(ROWS)
    assert len(counts.rows()) == COUNT
    with pytest.raises(ValueError, match="term 1 of ORDER BY is not in the select list"):
        router.scatter(files.select(f.id).order_by(f.owner))
    with pytest.raises(ValueError, match="must have LIMIT and OFFSET as ints"):
        router.scatter(ALL.limit(sb.literal(5)))
    with pytest.raises(ValueError, match="must have no OFFSET to be merged, if it is prepared"):
        router.scatter(sharding.prepare(ALL.limit(5).offset(2))())
    # Names that only look like functions are none.
    odd = sb.Table("files", sb.IntColumn("owner")).select(sb.alias("COUNT(", f.owner + 1))
    assert gathering(odd, ENGINES["sqlite"], None, "it").terms == ()


def test_text_is_merged_as_the_database_sorts_it() -> None:
    mariadb = ENGINES["mariadb"]
    with pytest.raises(ValueError, match="must be merged by text_key, because term 1"):
        gathering(ALL.order_by(f.name), mariadb, None, "it")
    binary = sb.Table("t", sb.StrColumn("name", collation="utf8mb4_bin"))
    assert gathering(
        binary.select(binary.c.name).order_by(binary.c.name), mariadb, None, "it"
    ).terms
    made = gathering(ALL.order_by(f.name), mariadb, str.casefold, "it")
    rows = {0: [(1, 1, "a"), (1, 2, "C")], 1: [(2, 1, "B"), (2, 2, "d")]}
    assert [row[2] for row in made.merged(rows)] == ["a", "B", "C", "d"]
    wrong = gathering(ALL.order_by(f.name), mariadb, str, "it")
    with pytest.raises(UsageError, match="the rows of shard 0 are not in the order") as e:
        list(wrong.merged(rows))
    assert e.value.fields["shard"] == 0


@pytest.mark.parametrize("term", [sb.raw("CONCAT(name, '')"), sb.cast(f.name, "CHAR(9)")])
def test_text_of_an_expression_is_merged_as_the_database_sorts_it(term: Any) -> None:
    named = sb.alias("n", term)
    rows = {0: [("b",)], 1: [("B",)], 2: [("a",)]}
    query = files.select(named).order_by(named)
    made = gathering(query, ENGINES["mysql"], None, "it")
    with pytest.raises(UsageError, match="merged by column n without text_key, because it is a te"):
        list(made.merged(rows))
    assert list(made.merged({0: [(2,)], 1: [(1,)]})) == [(1,), (2,)]
    made = gathering(query, ENGINES["mysql"], str.casefold, "it")
    assert list(made.merged(rows)) == [("a",), ("b",), ("B",)]
    made = gathering(query, ENGINES["sqlite"], None, "it")
    assert list(made.merged(rows)) == [("B",), ("a",), ("b",)]


@pytest.mark.parametrize(
    ("engine", "term", "wanted"),
    [
        ("mysql", f.id, [None, 1, 2]),
        ("mysql", f.id.desc(), [2, 1, None]),
        ("postgresql", f.id, [1, 2, None]),
        ("postgresql", f.id.desc(), [None, 2, 1]),
        ("asyncpg", f.id, [1, 2, None]),
        ("asyncpg", f.id.desc(), [None, 2, 1]),
        ("postgresql", f.id.asc().nulls_first(), [None, 1, 2]),
        ("sqlite", f.id.desc().nulls_first(), [None, 2, 1]),
        ("sqlite", f.id.asc().nulls_last(), [1, 2, None]),
    ],
)
def test_where_null_sorts(engine: str, term: Any, wanted: list[Any]) -> None:
    made = gathering(files.select(f.id).order_by(term), ENGINES[engine], None, "it")
    assert [
        row[0] for row in made.merged({n: [(v,)] for n, v in enumerate(wanted[::-1])})
    ] == wanted


def test_an_alias_in_order_by(router: ShardRouter) -> None:
    twice = sb.alias("twice", f.owner * 2)
    found = router.scatter(files.select(twice, f.id).order_by(twice.desc(), f.id).limit(3)).rows()
    assert found == [(78, 1), (78, 2), (76, 1)]


def test_bad_arguments(router: ShardRouter) -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: router.scatter(ALL, keys=[1]), "must be a function of a list of keys"),
        (lambda: router.scatter(ALL, keys=[1], shards=[1]), "takes keys or shards, not both"),
        (lambda: router.scatter(ALL, into="x"), "into and values are for keys"),
        (lambda: router.scatter(lambda keys: ALL, keys=[1], into="x"), "are for a prepared stat"),
        (lambda: router.scatter(sharding.prepare(ALL), keys=[1]), "into must name the slot"),
        (lambda: router.scatter(ALL, shards=[8]), r"shard must be an int in \[0, 8\)"),
        (lambda: router.scatter(lambda keys: 5, keys=[1]), "must be of sqlbuilder"),
    ]
    for call, words in calls:
        with pytest.raises((TypeError, ValueError), match=words):
            call()


def test_failures_by_shard(tmp_path: Path) -> None:
    driver = FakeDriver(lambda host, text: [(len(text),)])
    driver.refused.add("b")
    with ShardRouter(layout_of(), driver.connect, "mysql") as router:
        found = router.scatter(files.select(f.id), shards=[0, 1, 6])
        assert set(found.by_shard) == {0, 1}
        assert not found.is_complete
        assert repr(found) == "<Scattered: 2 shards answered, 1 failed>"
        with pytest.raises(
            sharding.ScatterError, match=r"^1 of 3 shards failed \(6\): SELECT on sh"
        ):
            found.rows()
        assert len(found.rows(partial=True)) == 2
        lost = found.errors[6]
        assert isinstance(lost, sharding.HostLostError)
        assert lost.fields["host"] == "b"
        assert found.error().errors == {6: lost}
        with pytest.raises(ValueError, match="no shard failed"):
            router.scatter(files.select(f.id), shards=[0]).error()


def test_a_late_host_holds_nobody() -> None:
    release = threading.Event()

    def answer(host: str, text: str) -> Any:
        if host == "b":
            release.wait(30)
        return [(1,)]

    driver = FakeDriver(answer)
    with ShardRouter(layout_of(), driver.connect, "mysql") as router:
        before = monotonic()
        found = router.scatter(files.select(f.id), timeout=1.0)
        assert monotonic() - before < 15
        assert set(found.by_shard) == {0, 1, 2, 3}
        assert set(found.errors) == {4, 5, 6, 7}
        assert all(isinstance(e, sharding.StatementTimeoutError) for e in found.errors.values())
        deadline = monotonic() + 30
        while router._watch._active:  # until what is late is broken off
            assert monotonic() < deadline
        release.set()
        while driver.closed.count("b") < driver.opened.count("b"):  # its answer came too late
            assert monotonic() < deadline


def test_a_frozen_host_keeps_few_threads() -> None:
    release = threading.Event()
    began: list[str] = []

    def answer(host: str, text: str) -> Any:
        if host == "b":
            began.append(text)
            release.wait(60)
        return [(1,)]

    driver = FakeDriver(answer)
    options: Any = {"threads": 4, "host_threads": 2, "timeout": 60.0}
    with ShardRouter(layout_of(), driver.connect, "mysql", **options) as router:
        deadline = monotonic() + 60
        while len(began) < 2:
            late = router.scatter(files.select(f.id), shards=[4, 5], timeout=0.1)
            assert set(late.errors) == {4, 5}
            assert monotonic() < deadline
        for _ in range(3):
            kept = router.each(lambda database: "DELETE FROM files", shards=[4, 5], timeout=0.02)
            for shard, error in kept.errors.items():
                assert f"on shard {shard} (shard_000{shard} at b) was not sent: no t" in str(error)
                assert isinstance(error, sharding.StatementTimeoutError)
                assert not error.maybe_done
        assert router.scatter(files.select(f.id), shards=[0, 1]).is_complete  # on the other host
        assert len(began) == 2
        release.set()
        assert router.scatter(files.select(f.id)).is_complete
        assert not any("DELETE" in text for text in driver.texts())


def test_what_waits_for_a_thread_of_its_host_runs_in_turn() -> None:
    most = [0]
    inside: list[str] = []

    def answer(host: str, text: str) -> Any:
        inside.append(host)
        most[0] = max(most[0], inside.count("a"))
        sleep(0.001)
        inside.remove(host)
        return [(1,)]

    driver = FakeDriver(answer)
    options: Any = {"host_threads": 1, "timeout": 60.0}
    with (
        ShardRouter(layout_of(), driver.connect, "mysql", **options) as router,
        ThreadPoolExecutor(6) as callers,
    ):
        calls = [callers.submit(router.scatter, files.select(f.id)) for _ in range(12)]
        assert all(call.result().is_complete for call in calls)
    assert most == [1]


def test_each_writes_to_all(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as router:
        made = router.each(lambda database: f"CREATE TABLE {database}.more (id INT)")
        assert made.is_complete
        assert set(made.results) == set(range(COUNT))
        again = router.each(
            lambda database: f"CREATE TABLE {database}.more (id INT)", shards=[1, 5]
        )
        assert set(again.errors) == {1, 5}
        assert router.fetch(lambda database: f"SELECT * FROM {database}.more", 1, read=True) == []
        router.update(router.layout.read_only("0-3"))
        part = router.each(lambda database: f"DROP TABLE {database}.more")
        assert set(part.results) == {4, 5, 6, 7}
        assert isinstance(part.errors[0], sharding.ShardReadOnlyError)


def test_what_a_function_of_a_database_returns_is_merged(router: ShardRouter) -> None:
    query = ALL.order_by(f.owner, f.id).limit(3)
    assert router.scatter(lambda database: query).rows() == ROWS[:3]
    filled = sharding.prepare(query, query.records(File))
    assert router.scatter(lambda database: filled()).rows() == [File(*row) for row in ROWS[:3]]
    for merge in (True, False):
        found = router.scatter(
            lambda database: f"SELECT owner FROM {database}.files", shards=[1], merge=merge
        )
        assert len(found.rows()) == len(found.by_shard[1]) > 0
    with pytest.raises(ValueError, match="must not compute over rows"):
        router.scatter(lambda database: files.select(sb.count()))
    limits = iter(range(1, 100))
    with pytest.raises(ValueError, match="must have one ORDER BY, LIMIT and OFFSET"):
        router.scatter(lambda database: query.limit(next(limits)))


@dataclass
class Owned:
    owner: int
    id: int


def test_records_of_a_class_without_places(router: ShardRouter) -> None:
    query = files.select(f.owner, f.id).order_by(f.owner.desc(), f.id).limit(2)
    wanted = [Owned(39, 1), Owned(39, 2)]
    prepared = sharding.prepare(query, query.records(Owned))
    for found in (
        router.scatter(prepared()),
        router.scatter(lambda database: prepared()),
        router.scatter(query, records=query.records(Owned)),
    ):
        assert found.rows() == wanted
        assert found.by_shard[router.layout.shard_of(39)] == wanted


def saying(text: str) -> Callable[[str], str]:
    return lambda database: text


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("mysql", "DESC ANALYZE DELETE FROM t"),
        ("mysql", "WITH c AS (SELECT 1) DELETE t, u FROM t JOIN u JOIN c"),
        ("mysql", "WITH c AS (SELECT 1) DELETE LOW_PRIORITY FROM t"),
        ("mysql", "WITH c AS (SELECT 1) /* don't */ DELETE FROM t WHERE a = 'x'"),
        ("mysql", "WITH c AS (SELECT 1) UPDATE t/**/SET a = 1"),
        ("mariadb", "SELECT 1 # don't\n INTO OUTFILE 'x'"),
        ("mariadb", "SELECT 5--1 INTO OUTFILE 'x'"),
        ("mysql", "SELECT 1 /*!80000 INTO OUTFILE 'x' */"),
        ("sqlite", "WITH c AS (SELECT 1) -- don't\n DELETE FROM t WHERE a = 'x'"),
        ("sqlite", "WITH c AS (SELECT '\\' AS a) DELETE FROM t WHERE b = ''"),
        ("postgresql", "WITH c AS (DELETE/**/FROM t RETURNING 1) SELECT 1"),
        ("postgresql", "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1"),
        ("postgresql", "EXPLAIN (ANALYZE) EXECUTE p"),
        ("asyncpg", "SELECT '\\' INTO t, ''"),
        ("postgresql", "SELECT E'\\'' INTO t"),
        ("postgresql", "SELECT $$'$$ INTO t, '' FROM x"),
        ("postgresql", "SELECT $a$ ' $$ $a$ INTO t, ''"),
        ("postgresql", "/* /* */ SELECT */ DELETE FROM t"),
        ("postgresql", "SELECT 1; DELETE FROM t"),
        ("postgresql", "EXPLAIN SELECT 1; DROP TABLE t"),
    ],
)
def test_a_write_that_looks_like_a_read(engine: str, text: str) -> None:
    with pytest.raises(TypeError, match="it must read, got"):
        check_reads(saying(text), "d", ENGINES[engine], "it")


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("mysql", "SELECT 'a\\' INTO x', `INTO`, \"INTO\" FROM t;"),
        ("mysql", "SELECT 1 # INTO\n -- INTO"),
        (
            "mysql",
            "WITH c AS (SELECT REPLACE(a, 'b', INSERT('c', 1, 1, 'd')) FROM t) SELECT a FROM c",
        ),
        ("mysql", "WITH c AS (SELECT 1) SELECT * FROM c FOR UPDATE"),
        ("mysql", "DESC t"),
        ("postgresql", "EXPLAIN ANALYZE SELECT 1"),
        ("postgresql", "/* a /* b */ INTO */ SELECT $q$ INTO $q$, '\\', $1 + $2"),
        ("sqlite", "PRAGMA table_info(t)"),
    ],
)
def test_a_read_that_looks_like_a_write(engine: str, text: str) -> None:
    job = saying(text)
    assert check_reads(job, "d", ENGINES[engine], "it")("d") == text


def test_a_scattered_write_is_refused(router: ShardRouter) -> None:
    doomed = files.delete().all_rows()
    gone = sb.cte("gone", files.delete().all_rows().returning(f.id))
    hidden = gone.select(gone.c.id).with_(gone)
    for write in (
        doomed,
        doomed.returning(f.id),
        sharding.prepare(doomed)(),
        lambda database: doomed,
        lambda database: f"DELETE FROM {database}.files",
        lambda database: (f"/* SELECT */ DELETE FROM {database}.files", ()),
        lambda database: f"-- all\nUPDATE {database}.files SET id = 0",
        lambda database: f"WITH a AS (SELECT 1) DELETE FROM {database}.files",
        lambda database: "SELECT 'a' INTO OUTFILE '/tmp/a'",
        lambda database: f"SELECT id FROM {database}.files LIMIT 1 into\ndumpfile '/tmp/a'",
        lambda database: "SELECT 1, 2 INTO @a, @b",
        lambda database: "SELECT 1/*! INTO @a */",
        lambda database: f"SELECT id INTO TABLE copy FROM {database}.files",
        lambda database: "TABLE files INTO OUTFILE '/tmp/a'",
        lambda database: "WITH a AS (SELECT 1 AS b) SELECT b INTO @a FROM a",
    ):
        for merge in (True, False):
            with pytest.raises(TypeError, match=r"a scattered query must read, got .*: use each"):
                router.scatter(write, merge=merge)
    with pytest.raises(TypeError, match="must read, got Delete"):
        router.scatter(lambda keys: doomed, keys=[1])
    with pytest.raises(TypeError, match="must read, got a WITH that writes"):
        gathering(hidden, ENGINES["postgresql"], None, "it")
    assert not render(hidden, "d", ENGINES["postgresql"]).is_read
    assert not render(sharding.prepare(hidden)(), "d", ENGINES["postgresql"]).is_read
    reads = "WITH a AS (SELECT 'DELETE FROM x' AS t) SELECT t FROM a"
    assert router.scatter(lambda database: reads, shards=[0]).rows() == [("DELETE FROM x",)]
    for text in (
        "SELECT 'INTO @a' AS \"into\" -- don't look into it",
        "/* what's put INTO OUTFILE */ SELECT 'INTO @a'",
    ):
        found = router.scatter(saying(text), shards=[0])
        assert found.rows() == [("INTO @a",)]
    assert len(router.scatter(ALL).rows()) == len(ROWS)


def test_a_collation_that_sqlite_is_told() -> None:
    sqlite = ENGINES["sqlite"]
    table = sb.Table("t", sb.StrColumn("name", collation="NOCASE"), sb.StrColumn("plain"))
    name, plain = table.c.name, table.c.plain
    label = sb.alias("n", name)
    odd = sb.alias("o", plain.collate("NOCASE"))
    for item in (name, label, odd, plain.collate("NOCASE")):
        with pytest.raises(ValueError, match="must be merged by text_key"):
            gathering(table.select(item).order_by(item), sqlite, None, "it")
        made = gathering(table.select(item).order_by(item), sqlite, str.casefold, "it")
        rows = {0: [("b",)], 1: [("A",), ("C",)]}
        assert list(made.merged(rows)) == [("A",), ("b",), ("C",)]
    for item in (plain, sb.alias("p", plain), name.collate("BINARY")):
        assert gathering(table.select(item).order_by(item), sqlite, None, "it").terms


def test_names_that_only_begin_as_aggregates_do() -> None:
    wide = sb.func("MAX", f.owner, sb.func("ABS", f.id))
    for query, engine, sums in (
        (files.select(sb.cast(f.id, "VARCHAR(9)")), "sqlite", False),
        (files.select(wide), "sqlite", False),
        (files.select(wide, sb.func("MIN", sb.func("ABS", f.id))), "sqlite", True),
        (files.select(wide), "mariadb", True),
        (files.select(sb.func("VAR_POP", f.id)), "mariadb", True),
        (files.select(sb.func("STDDEV", f.id)), "mariadb", True),
        (files.select(sb.func("STRING_AGG", f.name)), "postgresql", True),
    ):
        if sums:
            with pytest.raises(ValueError, match="must not compute over rows"):
                gathering(query, ENGINES[engine], None, "it")
        else:
            gathering(query, ENGINES[engine], None, "it")


def test_rows_that_are_mappings() -> None:
    made = gathering(ALL.order_by(f.id), ENGINES["sqlite"], None, "it")
    with pytest.raises(TypeError, match="rows must be tuples to be merged, got dict"):
        list(made.merged({0: [{"id": 1}]}))


@pytest.mark.parametrize(
    "rows",
    [
        {0: [(1, 5, "a")], 1: [(1, "z", "b")]},
        {0: [(1, 5, "a"), (1, "z", "b")]},
        {0: [(1, None, "a")], 1: [(1, 5, "c"), (1, "z", "b")], 2: []},
    ],
)
@pytest.mark.parametrize("term", [f.id, f.id.desc()])
def test_a_column_of_mixed_types_is_named(rows: dict[int, list[Any]], term: Any) -> None:
    made = gathering(ALL.order_by(f.owner, term), ENGINES["sqlite"], None, "it")
    with pytest.raises(
        UsageError, match=r"cannot be merged by column id, which has values of int and of str"
    ) as caught:
        list(made.merged(rows))
    assert caught.value.fields["column"] == "id"
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_column_whose_values_cannot_be_compared_is_named() -> None:
    made = gathering(ALL.order_by(f.owner, f.id.desc()), ENGINES["postgresql"], None, "it")
    naive = datetime(2026, 1, 2)
    aware = naive.replace(tzinfo=UTC)
    mixed: list[dict[int, list[Any]]] = [
        {0: [(1, naive, "a")], 1: [(1, aware, "b")]},
        {0: [(1, aware, "a"), (1, None, "b"), (1, aware, "c")], 1: [(1, naive, "b")]},
        {0: [(1, [1, None], "a")], 1: [(1, [1, 2], "b")]},  # PostgreSQL's arrays
    ]
    for rows in mixed:
        kind = type(rows[0][0][1]).__name__
        words = rf"by column id, which has values of {kind} that cannot be compared \("
        with pytest.raises(UsageError, match=words) as caught:
            list(made.merged(rows))
        assert caught.value.fields["types"] == [kind]


@pytest.mark.parametrize("kind", [float, Decimal])
def test_nan_is_above_all_other_values(kind: Any) -> None:
    low, high, nan = kind(1), kind("Infinity"), kind("NaN")
    rows = {0: [(1, low, "a"), (1, nan, "b"), (1, None, "c")], 1: [(1, high, "d"), (1, nan, "e")]}
    query = ALL.order_by(f.owner, f.id)
    made = gathering(query, ENGINES["postgresql"], None, "it")
    assert [row[2] for row in made.merged(rows)] == ["a", "d", "b", "e", "c"]
    down = {shard: each[::-1] for shard, each in rows.items()}
    made = gathering(ALL.order_by(f.owner, f.id.desc()), ENGINES["postgresql"], None, "it")
    assert [row[2] for row in made.merged(down)] == ["c", "b", "e", "d", "a"]


def test_a_key_that_raises_is_not_taken_for_mixed_types() -> None:
    made = gathering(ALL.order_by(f.name), ENGINES["mariadb"], len, "it")
    assert list(made.merged({0: [(1, 2, "a")], 1: [(1, 2, "bb")]}))

    def broken(text: str) -> Any:
        raise TypeError("mine")

    made = gathering(ALL.order_by(f.name), ENGINES["mariadb"], broken, "it")
    with pytest.raises(TypeError, match="mine"):
        list(made.merged({0: [(1, 2, "a")], 1: [(1, 2, "bb")]}))
