"""Transactions that the database ends by itself, and text that would change the connection."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.sqlshards import FakeDriver, SqliteHosts, f, files, layout_of

from godropbox.database import sharding
from godropbox.database.sharding import ENGINES, ShardRouter
from godropbox.database.sharding._statements import render

READ = files.select(f.id)
WRITE = files.update().values(name="x").all_rows()
KEY = next(key for key in range(100) if layout_of().shard_of(key) == 1)
ENDED = "the transaction was ended by OperationalError 1213; nothing of it is committed"


def deadlocked(driver: FakeDriver) -> None:
    def answer(host: str, text: str) -> Any:
        if "UPDATE" in text:
            raise driver.OperationalError(1213, "Deadlock found")
        return [(host,)]

    driver.answer = answer


def test_what_a_deadlock_ended_is_not_committed() -> None:
    driver = FakeDriver()
    deadlocked(driver)
    with ShardRouter(layout_of(), driver.connect, "mariadb") as router:
        with (  # noqa: PT012
            pytest.raises(sharding.StatementError, match=rf"^COMMIT .* was not done: {ENDED}") as e,
            router.transaction(KEY) as tx,
        ):
            with pytest.raises(sharding.StatementError, match="was refused"):
                tx.execute(WRITE)
            with pytest.raises(sharding.StatementError, match=rf"^SELECT .* was not done: {ENDED}"):
                tx.fetch(READ)
        assert not e.value.maybe_done
        assert driver.texts()[-1] == "ROLLBACK"
        assert "COMMIT" not in driver.texts()
        # Of a lock that was waited for in vain, too: innodb_rollback_on_timeout may be on.
        for code in (1020, 1205, 1206, 1213, 1613, 1614):
            error = driver.OperationalError(code, "")
            assert ENGINES["mysql"].ends_transaction(error, None)
        assert not ENGINES["mysql"].ends_transaction(driver.IntegrityError(1062, ""), None)
        assert router.stats()["a"].active == 0


REPLACE = "INSERT OR ROLLBACK INTO {}.files VALUES (1, 1, 'again')"


def test_sqlite_may_roll_back_by_itself(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as router:
        router.execute(files.insert(f.owner, f.id, f.name).row(1, 1, "x"), KEY)
        with (  # noqa: PT012
            pytest.raises(sharding.StatementError, match=r"ended by IntegrityError SQLITE_CONST"),
            router.transaction(KEY) as tx,
        ):
            tx.execute(files.insert(f.owner, f.id, f.name).row(1, 2, "x"))
            with pytest.raises(sharding.ConstraintError):
                tx.run(REPLACE.format)
        # A constraint alone ends nothing.
        with router.transaction(KEY) as tx:
            with pytest.raises(sharding.ConstraintError):
                tx.execute(files.insert(f.owner, f.id, f.name).row(1, 1, "x"))
            tx.execute(files.insert(f.owner, f.id, f.name).row(1, 3, "x"))
        assert [row[1] for row in hosts.rows("a", 1)] == [1, 3]


@pytest.mark.parametrize(
    "text",
    [
        "SET autocommit = 0",
        "/* mine */ -- really\n SET SESSION sql_mode = ''",
        "/*!40000 SET autocommit = 0 */",
        "lock tables files WRITE",
        "USE other",
        "BEGIN",
        "Start transaction",
        "XA START 'x'",
        "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_keys(1)",
        "LISTEN x",
        "SET LOCAL a = 1",
    ],
)
def test_text_must_not_change_the_connection(text: str) -> None:
    driver = FakeDriver()
    with ShardRouter(layout_of(), driver.connect, "mariadb") as router:
        with pytest.raises(ValueError, match="text must not change the connection"):
            router.run(lambda database: text, KEY)
        with router.transaction(KEY) as tx, pytest.raises(ValueError, match="text must not chang"):
            tx.run(lambda database: text)
        assert driver.texts() == ["START TRANSACTION", "COMMIT"]


def test_text_that_leaves_the_connection_as_it_was() -> None:
    engine = ENGINES["mariadb"]
    for text in (
        "SET STATEMENT max_statement_time=1 FOR SELECT 1",
        "PRAGMA shard_0001.table_info(files)",
        "-- SET a = 1\nSELECT 1",
        "SHOW TABLES",
        "SAVEPOINT one",
        "",
    ):
        assert render(lambda _, text=text: text, "d", engine).text == text
    for text in ("SET LOCAL a = 1", "LOCK TABLE files", "rollback to savepoint one"):
        made = render(lambda _, text=text: text, "d", ENGINES["postgresql"], in_transaction=True)
        assert made.text == text
    for text in ("COMMIT", "/* x */ ROLLBACK", "END"):
        with pytest.raises(ValueError, match="text must not end the transaction, got "):
            render(lambda _, text=text: text, "d", engine, in_transaction=True)


def test_text_that_would_commit_the_transaction_is_refused() -> None:
    for name in ("mysql", "mariadb"):
        engine = ENGINES[name]
        for text in (
            "ALTER TABLE files ADD a INT",
            "/* mine */ create index i ON files (id)",
            "DROP TABLE files",
            "TRUNCATE files",
            "ANALYZE TABLE files",
            "RENAME TABLE a TO b",
        ):
            with pytest.raises(ValueError, match=f"text must not commit .* does in {name}: run it"):
                render(lambda _, text=text: text, "d", engine, in_transaction=True)
            assert render(lambda _, text=text: text, "d", engine).text == text
        for text in (
            "CREATE TEMPORARY TABLE a (b INT)",
            "CREATE OR REPLACE TEMPORARY TABLE a (b INT)",
            "DROP TEMPORARY TABLE a",
            "ANALYZE SELECT 1",
            "CALL f()",
        ):
            assert render(lambda _, text=text: text, "d", engine, in_transaction=True).text == text
    for name in ("sqlite", "postgresql"):  # which roll it back
        made = render(lambda _: "CREATE TABLE a (b INT)", "d", ENGINES[name], in_transaction=True)
        assert made.text.startswith("CREATE")


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM files",
        "/* SELECT */ update files SET id = 1",
        "TRUNCATE files",
        "SELECT id INTO OUTFILE '/tmp/a' FROM files",
        "WITH a AS (SELECT 1) DELETE FROM files",
    ],
)
def test_a_text_that_writes_is_no_read(text: str) -> None:
    driver = FakeDriver()
    with (
        ShardRouter(layout_of("r"), driver.connect, "mariadb", max_staleness=None) as router,
        pytest.raises(ValueError, match=r"text that counts as a read must not write, got [A-Z]+: "),
    ):
        router.run(lambda database: text, KEY, read=True)
    assert text not in driver.texts()


def test_a_transaction_past_its_deadline_is_not_committed(tmp_path: Path) -> None:
    hosts = SqliteHosts(tmp_path, "a", "b")
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as router:
        router.fetch(READ, KEY)
        with (  # noqa: PT012
            pytest.raises(sharding.StatementTimeoutError, match=r"^COMMIT .* was not sent: i") as e,
            router.transaction(KEY, timeout=0.2) as tx,
        ):
            tx.execute(files.insert(f.owner, f.id, f.name).row(1, 1, "x"))
            time.sleep(0.21)
        assert not e.value.maybe_done
        with (  # noqa: PT012
            pytest.raises(sharding.StatementTimeoutError, match=r"^INSERT .* was not sent: its t"),
            router.transaction(KEY, timeout=0.2) as tx,
        ):
            time.sleep(0.21)
            tx.execute(files.insert(f.owner, f.id, f.name).row(1, 1, "x"))
        assert hosts.rows("a", 1) == []
        assert router.stats()["a"].active == 0


def test_what_is_late_before_it_is_sent_is_not_sent() -> None:
    driver = FakeDriver()

    def connect(host: str) -> Any:
        time.sleep(0.05)
        return driver.connect(host)

    with ShardRouter(layout_of(), connect, "sqlite", timeout=0.04) as router:
        with pytest.raises(sharding.StatementTimeoutError) as e:
            router.execute(WRITE, KEY)
        assert not e.value.maybe_done
        assert driver.log == []
        with pytest.raises(sharding.StatementTimeoutError), router.transaction(KEY, timeout=0.0):
            pass
        assert driver.log == []
