"""A storage in a table: of SQLite, and of MariaDB; values of many kinds, batches, transactions."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from support import sqlservers
from support.caches import at_once

from godropbox.caching import MISSING, SqlStorage, StorageError, sqlite_pool
from godropbox.database import sqlbuilder as sb
from godropbox.resource_pool import PoolOptions, SimpleResourcePool

TABLE = sb.Table("kept", sb.StrColumn("name"), sb.StrColumn("content", nullable=True))
# Makes a storage with some options.
Make = Callable[..., SqlStorage]
COLUMNS: dict[str, Any] = {"key": "name", "value": "content"}


@pytest.fixture
def pools() -> Iterator[list[SimpleResourcePool]]:
    """Pools whose connections are closed in the end."""
    made: list[SimpleResourcePool] = []
    yield made
    for pool in made:
        pool.enter_lame_duck_mode()


@pytest.fixture
def sqlite(tmp_path: Path, pools: list[SimpleResourcePool]) -> Make:
    """Make a storage in a file of SQLite's."""

    def make(**options: Any) -> SqlStorage:
        pool = sqlite_pool(str(tmp_path / "kept.db"), max_active=4, timeout=10)
        pools.append(pool)
        with pool.get() as loan:
            loan.handle.execute(
                "CREATE TABLE IF NOT EXISTS kept"
                " (name TEXT PRIMARY KEY CHECK (length(name) < 40), content TEXT)"
            )
        return SqlStorage(pool, TABLE, **COLUMNS, **options)

    return make


@pytest.fixture
def mariadb(pools: list[SimpleResourcePool]) -> Make:
    """Make a storage in MariaDB."""
    server = sqlservers.mariadb()

    def connect(_: Any) -> Any:
        return pymysql.connect(unix_socket=server.socket, user=server.user, charset="utf8mb4")

    def make(**options: Any) -> SqlStorage:
        pool = SimpleResourcePool(PoolOptions(open=connect, max_active=4, timeout=10))
        pools.append(pool)
        with pool.get() as loan, loan.handle.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS caching")
            cursor.execute(
                "CREATE OR REPLACE TABLE caching.kept"
                " (name VARCHAR(39) COLLATE utf8mb4_bin PRIMARY KEY, content TEXT)"
            )
        there: dict[str, Any] = {"database": "caching", "dialect": "mysql", "paramstyle": "format"}
        return SqlStorage(pool, TABLE, **COLUMNS, **there, **options)

    return make


@pytest.fixture(params=["sqlite", "mariadb"])
def storage(request: pytest.FixtureRequest) -> SqlStorage:
    make: Make = request.getfixturevalue(request.param)
    return make(batch=3)


def test_get_and_set(storage: SqlStorage) -> None:
    storage.set("foo", "1")
    storage.set_multi({"bar": "2", "zzz": None})
    assert storage.get("foo") == "1"
    assert (storage.get("nothing"), storage.get("nothing", 7)) == (None, 7)
    assert storage.get("zzz", MISSING) is None
    assert storage.get_multi(["foo", "nothing", "bar", "foo"]) == {"foo": "1", "bar": "2"}
    storage.set("foo", "5")
    storage.set_multi({"foo": "6", "www": "7"})
    assert storage.get_multi(["foo", "www", "zzz"]) == {"foo": "6", "www": "7", "zzz": None}


def test_more_keys_than_a_statement_takes(storage: SqlStorage) -> None:
    items = {f"key{number}": str(number) for number in range(10)}
    storage.set_multi(items)
    assert storage.get_multi(items) == items
    storage.delete_multi(f"key{number}" for number in range(2, 10))
    assert storage.get_multi(items) == {"key0": "0", "key1": "1"}


def test_delete_and_flush(storage: SqlStorage) -> None:
    storage.set_multi({"foo": "1", "bar": "2", "zzz": "3"})
    storage.delete("foo")
    storage.delete("foo")
    storage.delete_multi([])
    assert storage.get_multi(["foo", "bar", "zzz"]) == {"bar": "2", "zzz": "3"}
    assert storage.get_multi([]) == {}
    storage.set_multi({})
    storage.flush()
    assert storage.get_multi(["foo", "bar", "zzz"]) == {}


def test_hostile_keys_and_values_are_kept(storage: SqlStorage) -> None:
    hostile = {"x'); DROP TABLE kept; --": "\\' OR 1=1 %s %(a)s ?", 'a\nb"`': "\u2028😀"}
    storage.set_multi(hostile)
    assert storage.get_multi(hostile) == hostile


def test_a_key_that_only_the_database_takes_for_equal_is_not_found(
    sqlite: Make, pools: list[SimpleResourcePool]
) -> None:
    storage = sqlite()
    with pools[0].get() as loan:
        loan.handle.execute("DROP TABLE kept")
        loan.handle.execute(
            "CREATE TABLE kept (name TEXT PRIMARY KEY COLLATE NOCASE, content TEXT)"
        )
    storage.set("Foo", "1")
    assert storage.get("foo") is None
    assert storage.get_multi(["foo", "Foo"]) == {"Foo": "1"}


def test_values_can_be_anything_that_can_be_encoded(sqlite: Make) -> None:
    storage = sqlite(encode=json.dumps, decode=json.loads)
    storage.set_multi({"a": {"b": [1, None]}, "c": None})
    assert storage.get_multi(["a", "c"]) == {"a": {"b": [1, None]}, "c": None}
    assert storage.get("a") == {"b": [1, None]}


def test_a_reader_sees_what_another_connection_wrote(mariadb: Make) -> None:
    """MariaDB shows a transaction that stays open what was there when it began."""
    reader, writer = mariadb(), mariadb()
    reader.set("foo", "1")
    assert reader.get("foo") == "1"
    writer.set("foo", "2")
    assert reader.get("foo") == "2"


def test_a_set_of_many_is_done_whole_or_not_at_all(storage: SqlStorage) -> None:
    items = {f"key{number}": str(number) for number in range(5)}
    with pytest.raises(StorageError, match="table 'kept' could not be written"):
        storage.set_multi({**items, "k" * 40: "1"})
    assert storage.get_multi(items) == {}
    storage.set_multi(items)
    assert storage.get_multi(items) == items


def test_connections_that_commit_by_themselves(
    sqlite: Make, tmp_path: Path, pools: list[SimpleResourcePool]
) -> None:
    storage = sqlite()

    def connect(path: str) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    pools.append(SimpleResourcePool(PoolOptions(open=connect), str(tmp_path / "kept.db")))
    by_itself = SqlStorage(pools[-1], TABLE, **COLUMNS, autocommit=True)
    by_itself.set("foo", "1")
    assert storage.get("foo") == by_itself.get("foo") == "1"


def test_what_the_driver_raises_is_the_cause_and_closes_the_connection(
    sqlite: Make, pools: list[SimpleResourcePool]
) -> None:
    storage = sqlite()
    pool = pools[0]
    storage.set("foo", "1")
    with pool.get() as loan:
        loan.handle.execute("ALTER TABLE kept RENAME TO gone")
    opened = pool.stats().opens
    with pytest.raises(StorageError) as caught:
        storage.get("foo")
    assert caught.value.message == "table 'kept' could not be read: no such table: main.kept"
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    with pool.get() as loan:
        loan.handle.execute("ALTER TABLE gone RENAME TO kept")
    assert storage.get("foo") == "1"
    assert pool.stats().opens == opened + 1


def test_what_the_caller_did_wrong_touches_no_connection(
    sqlite: Make, pools: list[SimpleResourcePool]
) -> None:
    storage = sqlite()
    gets = pools[0].stats().gets
    with pytest.raises(TypeError):
        storage.set("foo", object())
    assert pools[0].stats().gets == gets


def test_threads_may_share_it(sqlite: Make) -> None:
    storage = sqlite()

    def work(number: int) -> Any:
        for turn in range(5):
            storage.set(f"key{number}", str(turn))
        return storage.get(f"key{number}")

    assert at_once(4, work) == ["4"] * 4


def test_bad_arguments_and_repr(tmp_path: Path) -> None:
    for path in ("", ":memory:"):
        with pytest.raises(ValueError, match="path must be a file's, got"):
            sqlite_pool(path)
    pool = sqlite_pool(str(tmp_path / "kept.db"))
    with pytest.raises(ValueError, match=r"batch must be an int in \[1, 2\*\*31\), got 0"):
        SqlStorage(pool, TABLE, **COLUMNS, batch=0)
    with pytest.raises(ValueError, match="dialect must be mysql, sqlite or postgresql"):
        SqlStorage(pool, TABLE, **COLUMNS, dialect="x")
    assert repr(SqlStorage(pool, TABLE, **COLUMNS)) == f"<SqlStorage in 'kept' over {pool!r}>"
