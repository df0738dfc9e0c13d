"""The router over SQLite: statements on the shard of their key, transactions, errors, forks."""

import gc
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest
from support.sqlshards import FakeDriver, SqliteHosts, f, files, layout_of

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding._statements import render
from godropbox.errors import NetworkError, ServerError, UsageError
from godropbox.resource_pool import InactiveHandleError

INSERT = sharding.prepare(
    files.insert(f.owner, f.id, f.name).row(
        sb.slot("owner", int), sb.slot("id", int), sb.slot("name", str)
    )
)
OF_OWNER = files.select(f.id, f.name).where(f.owner == sb.slot("owner", int)).order_by(f.id)
BY_OWNER = sharding.prepare(OF_OWNER)


class File(NamedTuple):
    id: int
    name: str


@pytest.fixture
def hosts(tmp_path: Path) -> SqliteHosts:
    return SqliteHosts(tmp_path, "a", "b")


@pytest.fixture
def router(hosts: SqliteHosts) -> Iterator[sharding.ShardRouter]:
    with sharding.ShardRouter(layout_of(), hosts.connect, "sqlite") as made:
        yield made


def fill(router: sharding.ShardRouter, owners: int = 20) -> None:
    for owner in range(owners):
        for number in (1, 2):
            assert router.execute(INSERT(owner=owner, id=number, name=f"n{owner}"), owner) == 1


def test_a_row_is_where_its_key_is(router: sharding.ShardRouter, hosts: SqliteHosts) -> None:
    fill(router)
    layout = router.layout
    for owner in range(20):
        shard = layout.shard_of(owner)
        host = layout.group_of(shard).master
        assert (owner, 1, f"n{owner}") in hosts.rows(host, shard)
        assert router.fetch(BY_OWNER(owner=owner), owner) == [(1, f"n{owner}"), (2, f"n{owner}")]
        found = router.run(files.select(f.id).where(f.owner == owner), owner)
        assert (sorted(found.rows), found.shard, found.host) == ([(1,), (2,)], shard, host)


def test_a_host_has_one_pool(router: sharding.ShardRouter, hosts: SqliteHosts) -> None:
    fill(router)
    assert hosts.opened.count("a") == hosts.opened.count("b") == 1
    assert router.stats()["a"].active == 0


def test_rows_are_records(router: sharding.ShardRouter) -> None:
    fill(router, 3)
    typed = sharding.prepare(OF_OWNER, OF_OWNER.records(File))
    assert router.fetch(typed(owner=1), 1) == [File(1, "n1"), File(2, "n1")]
    query = files.select(f.id, f.name).where(f.owner == 1).order_by(f.id)
    assert router.fetch(query, 1, records=query.records(File))[1].id == 2


def test_writes_of_every_kind(router: sharding.ShardRouter) -> None:
    fill(router, 2)
    assert router.execute(files.update().values(name="x").where(f.owner == 1), 1) == 2
    found = router.run(files.delete().where(f.owner == 1).returning(f.id), 1)
    assert sorted(found.rows) == [(1,), (2,)]
    text = "SELECT COUNT(*) FROM {}.files WHERE owner = ?"
    made = router.fetch(lambda database: (text.format(database), (0,)), 0, read=True)
    assert made == [(2,)]
    assert router.run_on(lambda database: f"DELETE FROM {database}.files", 0).shard == 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (lambda database: ("x", 1, 2), "a function of a database must return text"),
        (5, "statement must be of sqlbuilder"),
        ("SELECT 1", "statement must be of sqlbuilder"),
        (BY_OWNER, "statement must be filled"),
        (sb.unlock_tables(), "statement must not belong to a connection, got UnlockTables"),
        (BY_OWNER(), "the slots are owner, got none"),
        (lambda database: 5, "a function of a database must return text"),
    ],
)
def test_what_is_no_statement(router: sharding.ShardRouter, statement: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        router.run(statement, 1)
    assert router.stats()["a"].active == 0


def test_a_constraint(router: sharding.ShardRouter, hosts: SqliteHosts) -> None:
    fill(router, 8)
    with pytest.raises(sharding.ConstraintError) as caught:
        router.execute(INSERT(owner=7, id=1, name="secret"), 7)
    error = caught.value
    assert isinstance(error, ServerError)
    assert isinstance(error.__cause__, sqlite3.IntegrityError)
    assert error.code == "SQLITE_CONSTRAINT_PRIMARYKEY"
    shard = router.layout.shard_of(7)
    assert {**error.fields, "code": ""} == {
        "shard": shard,
        "database": f"shard_{shard:04}",
        "host": router.layout.group_of(shard).master,
        "statement": "INSERT",
        "code": "",
    }
    assert str(error).startswith(f"INSERT on shard {shard} (shard_{shard:04} at ")
    assert "secret" not in str(error)
    # The connection is as good as before.
    assert len(hosts.opened) == 2


def test_a_refused_statement(router: sharding.ShardRouter) -> None:
    missing = sb.Table("missing", sb.IntColumn("id"))
    with pytest.raises(sharding.StatementError, match=r"^SELECT on shard . .* was refused: Op"):
        router.fetch(missing.select(missing.c.id), 1)
    assert router.stats()[router.layout.group_of(router.layout.shard_of(1)).master].closes == 0


def test_a_read_only_host(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")

    def connect(host: str) -> sqlite3.Connection:
        connection = hosts.connect(host)
        connection.execute("PRAGMA query_only=ON")
        return connection

    with sharding.ShardRouter(layout_of(), connect, "sqlite") as router:
        with pytest.raises(sharding.ReadOnlyHostError, match=r"so it is no master: update the la"):
            router.execute(INSERT(owner=1, id=1, name=""), 1)
        assert router.fetch(BY_OWNER(owner=1), 1) == []


def test_a_transaction(router: sharding.ShardRouter, hosts: SqliteHosts) -> None:
    fill(router, 3)
    with router.transaction(1) as tx:
        assert tx.holds(1)
        assert tx.execute(files.delete().where(f.owner == 1)) == 2
        tx.execute(INSERT(owner=1, id=9, name="new"))
        assert tx.fetch(BY_OWNER(owner=1)) == [(9, "new")]
        assert (9,) not in hosts.rows(tx.host, tx.shard)
    assert router.fetch(BY_OWNER(owner=1), 1) == [(9, "new")]
    ended = tx
    with pytest.raises(UsageError, match="the transaction has ended"):
        ended.fetch(BY_OWNER(owner=1))

    def fails(*statements: Any) -> None:
        with router.transaction(1) as tx:
            for statement in statements:
                tx.execute(statement)
            raise KeyError

    with pytest.raises(KeyError):
        fails(files.delete().where(f.owner == 1))
    with pytest.raises(sharding.ConstraintError):
        fails(files.delete().where(f.owner == 2), INSERT(owner=1, id=9, name="again"))
    assert router.fetch(BY_OWNER(owner=1), 1) == [(9, "new")]
    assert len(router.fetch(BY_OWNER(owner=2), 2)) == 2
    with router.transaction(1, read_only=True) as tx:
        assert tx.fetch(BY_OWNER(owner=1)) == [(9, "new")]
    assert all(each.active == 0 for each in router.stats().values())
    assert len(hosts.opened) <= 4


def test_what_text_has_begun_is_rolled_back(
    router: sharding.ShardRouter, hosts: SqliteHosts
) -> None:
    fill(router, 2)
    connections = []

    def connect(host: str) -> sqlite3.Connection:
        connections.append(hosts.connect(host))
        return connections[-1]

    with sharding.ShardRouter(layout_of(), connect, "sqlite") as other:
        other.fetch(BY_OWNER(owner=1), 1)
        connections[0].execute("BEGIN")  # as the second of two statements in a text may
        other.run(lambda database: f"DELETE FROM {database}.files", 1)
        assert not connections[0].in_transaction
    assert len(router.fetch(BY_OWNER(owner=1), 1)) == 2


def test_a_statement_that_runs_past_its_deadline(router: sharding.ShardRouter) -> None:
    fill(router, 2)
    endless = (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    )
    with pytest.raises(sharding.StatementTimeoutError, match=r"^WITH on shard .* did not end in t"):
        router.fetch(lambda database: endless, 1, read=True, timeout=0.5)
    with pytest.raises(sharding.StatementTimeoutError, match="was done is not known") as caught:
        router.run(lambda database: endless, 1, timeout=0.5)
    assert isinstance(caught.value, NetworkError)
    assert caught.value.maybe_done

    def transact() -> None:
        with router.transaction(1, timeout=0.5) as tx:
            tx.execute(files.delete().where(f.owner == 1))
            tx.fetch(lambda database: endless)

    with pytest.raises(sharding.StatementTimeoutError):
        transact()
    assert len(router.fetch(BY_OWNER(owner=1), 1)) == 2
    assert all(each.active == 0 for each in router.stats().values())


def test_bad_arguments(router: sharding.ShardRouter, hosts: SqliteHosts) -> None:
    with pytest.raises(TypeError, match="layout must be a Layout"):
        sharding.ShardRouter({}, hosts.connect, "sqlite")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="engine must be an Engine or one of mysql, mariadb"):
        sharding.ShardRouter(layout_of(), hosts.connect, "oracle")
    with pytest.raises(TypeError, match="connect must be a function"):
        sharding.ShardRouter(layout_of(), "host", "sqlite")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a router has no option pool"):
        sharding.ShardRouter(layout_of(), hosts.connect, "sqlite", pool=5)  # type: ignore[call-arg]
    for name, value, words in [
        ("timeout", -1, "timeout must be at least 0 s"),
        ("timeout", "1", "timeout must be a number of seconds or None"),
        ("connections", 0, r"connections must be an int in \[1, 65536\)"),
        ("heartbeat", "t", "heartbeat must be a Heartbeat or None"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            sharding.ShardRouter(layout_of(), hosts.connect, "sqlite", **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout must be at least 0"):
        router.fetch(BY_OWNER(owner=1), 1, timeout=-1)
    with pytest.raises(ValueError, match="sqlite has no positions: pass a heartbeat"):
        router.token(1)


def test_a_closed_router_raises(hosts: SqliteHosts) -> None:
    router = sharding.ShardRouter(layout_of(), hosts.connect, "sqlite")
    router.fetch(BY_OWNER(owner=1), 1)
    router.close()
    with pytest.raises(sharding.RouterClosedError, match="the router was closed"):
        router.fetch(BY_OWNER(owner=1), 1)
    with pytest.raises(sharding.RouterClosedError):
        router.update(layout_of().read_only(1))


# From CPython 3.13 on, SQLite's connections that are dropped with it are warned of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_router_that_is_dropped_leaves_no_thread(hosts: SqliteHosts) -> None:
    router = sharding.ShardRouter(layout_of("r"), hosts.connect, "sqlite", measure_every=0.01)
    router.fetch(BY_OWNER(owner=5), 5, master=True)
    before = {t for t in threading.enumerate() if t.name.startswith("godropbox-sharding-")}
    assert {t.name for t in before} >= {"godropbox-sharding-watch"}
    del router
    for thread in before:
        until = monotonic() + 30
        while thread.is_alive() and monotonic() < until:
            gc.collect()  # again, as a monitor may have been using the router
            thread.join(0.1)
        assert not thread.is_alive()


def test_threads_share_it(router: sharding.ShardRouter) -> None:
    fill(router)
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for turn in range(60):
                owner = (first + turn) % 20
                found = router.fetch(BY_OWNER(owner=owner), owner)
                assert found == [(1, f"n{owner}"), (2, f"n{owner}")]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(each.active == 0 for each in router.stats().values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_has_connections_of_its_own(
    router: sharding.ShardRouter, hosts: SqliteHosts
) -> None:
    fill(router, 2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = len(hosts.opened)
            found = router.fetch(BY_OWNER(owner=1), 1, timeout=5)
            code = 0 if len(found) == 2 and len(hosts.opened) == before + 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(router.fetch(BY_OWNER(owner=1), 1)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("end", ["raises", "ends", "writes"])
def test_the_child_of_a_fork_leaves_a_transaction_to_its_parent(end: str) -> None:
    driver = FakeDriver()
    parent = os.getpid()

    def block(router: sharding.ShardRouter) -> int:
        with router.transaction(1) as tx:
            child = os.fork()
            if child:
                return child
            if end == "raises":
                raise KeyError
            if end == "writes":
                tx.execute(files.delete().all_rows())
        return 0

    with sharding.ShardRouter(layout_of(), driver.connect, "mysql") as router:
        try:
            child = block(router)
        except BaseException as error:
            if os.getpid() == parent:
                raise
            expected = KeyError if end == "raises" else InactiveHandleError
            says = isinstance(error, expected) and driver.texts() == ["START TRANSACTION"]
            os._exit(0 if says and not driver.closed else 2)
        if not child:
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert driver.texts() == ["START TRANSACTION", "COMMIT"]
        assert not router._gates.writers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_closed_router_measures_nothing_in_the_child_of_a_fork() -> None:
    router = sharding.ShardRouter(layout_of("r"), FakeDriver().connect, "mariadb")
    router.close()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            router.fetch(files.select(f.id), 1)
        except sharding.RouterClosedError:
            names = [thread.name for thread in threading.enumerate()]
            code = 2 if "godropbox-sharding-monitor" in names else 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_prepared_statement_of_two_routers_is_rendered_for_each() -> None:
    engine = replace(sharding.ENGINES["mysql"], paramstyle="qmark")
    by_owner = sharding.prepare(files.select(f.id).where(f.owner == sb.slot("owner", int)))
    for each, mark in ((sharding.ENGINES["mysql"], "%s"), (engine, "?")):
        assert render(by_owner(owner=1), "d", each).text.endswith(f"={mark}")
