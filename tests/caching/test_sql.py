"""A storage in a table: of SQLite, and of MariaDB; values of many kinds, batches, transactions."""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
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
        there: dict[str, Any] = {
            "database": "caching",
            "dialect": "mariadb",
            "paramstyle": "format",
        }
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


class Kind(Enum):
    TEXT = "a"
    NUMBER = 7
    NOTHING = None


class Level(IntEnum):
    HIGH = 5


class Name(StrEnum):
    FOO = "foo"


AWARE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
ODD_KEYS = [
    Kind.TEXT,
    Kind.NUMBER,
    Level.HIGH,
    Name.FOO,
    uuid.UUID(int=5),
    date(2026, 1, 2),
    datetime(2026, 1, 2, 3, 4, 5, 6),
    AWARE,
    time(1, 2, 3),
    Decimal("1.50"),
    Decimal("0.1"),
    1 << 40,
    -3,
    0.1,
    1e22,
    True,
]


def with_column(make: Make, pools: list[SimpleResourcePool], kind: str) -> SqlStorage:
    """Make a storage whose column of keys is of another type."""
    storage = make()
    with pools[-1].get() as loan:
        cursor = loan.handle.cursor()
        where = "caching.kept" if make.__qualname__.startswith("mariadb") else "kept"
        cursor.execute(f"DROP TABLE {where}")
        cursor.execute(f"CREATE TABLE {where} (name {kind} PRIMARY KEY, content TEXT)")
        cursor.close()
    return storage


def check_finds(storage: SqlStorage, key: Any, others: dict[Any, str]) -> None:
    storage.set_multi({key: "it", **others})
    assert storage.get(key) == "it"
    assert storage.get_multi([key]) == {key: "it"}
    assert storage.get_multi([*others, key, *others]) == {key: "it", **others}
    storage.delete(key)
    assert storage.get(key, MISSING) is MISSING
    assert storage.get_multi([key, *others]) == others


@pytest.mark.parametrize("key", ODD_KEYS, ids=repr)
def test_what_is_stored_under_any_key_is_found(storage: SqlStorage, key: Any) -> None:
    """A column of text keeps text, whatever the key is."""
    check_finds(storage, key, {"other": "1", 12: "2"})


COLUMN_KINDS: list[tuple[str, str, Any, dict[Any, str]]] = [
    ("sqlite", "INTEGER", "05", {7: "1", "8": "2"}),
    ("sqlite", "REAL", Decimal("0.1"), {2: "1", Decimal("0.3"): "2"}),
    ("sqlite", "NUMERIC", "1e2", {"1.5": "1", 7: "2"}),
    ("sqlite", "BLOB", "x", {b"x": "1", 5: "2", "5": "3"}),
    ("sqlite", "BLOB", uuid.UUID(int=5), {b"x": "1"}),
    ("mariadb", "INT", "05", {7: "1", "8": "2"}),
    ("mariadb", "DATE", "2026-01-02", {date(2026, 1, 3): "1", "2026-01-04": "2"}),
    ("mariadb", "DATETIME(6)", AWARE, {date(2026, 1, 3): "1", datetime(2026, 1, 4): "2"}),
    ("mariadb", "DATETIME(6)", date(2026, 1, 2), {AWARE: "1", AWARE + timedelta(days=1): "2"}),
    ("mariadb", "TIME", time(1, 2, 3), {timedelta(hours=1): "1", time(2): "2"}),
    ("mariadb", "DECIMAL(10,4)", "1.50", {Decimal("1.6"): "1", "1.7": "2"}),
    ("mariadb", "DOUBLE", Decimal("0.1"), {0.5: "1", "0.25": "2"}),
    ("mariadb", "VARBINARY(39)", "x", {b"y": "1", "z": "2", uuid.UUID(int=5): "3"}),
    ("mariadb", "UUID", uuid.UUID(int=5), {str(uuid.UUID(int=6)): "1"}),
    ("mariadb", "CHAR(39) COLLATE utf8mb4_bin", b"x", {"y": "1"}),
]


@pytest.mark.parametrize(("server", "kind", "key", "others"), COLUMN_KINDS, ids=repr)
def test_what_reads_back_as_something_else_is_found(
    request: pytest.FixtureRequest,
    pools: list[SimpleResourcePool],
    server: str,
    kind: str,
    key: Any,
    others: dict[Any, str],
) -> None:
    storage = with_column(request.getfixturevalue(server), pools, kind)
    check_finds(storage, key, others)


def test_keys_that_are_one_in_the_table_are_found_each(storage: SqlStorage) -> None:
    storage.set_multi({5: "1", Kind.TEXT: "2", Name.FOO: "3"})
    assert storage.get_multi([5, "5", "a", Kind.TEXT, Level.HIGH, "foo"]) == {
        5: "1",
        "5": "1",
        "a": "2",
        Kind.TEXT: "2",
        "foo": "3",
    }


def test_keys_that_are_two_in_the_table_are_kept_apart(
    sqlite: Make, pools: list[SimpleResourcePool]
) -> None:
    storage = with_column(sqlite, pools, "BLOB")
    storage.set_multi({"5": "text", b"x": "bytes"})
    assert storage.get_multi([5, "5", b"x", "x"]) == {"5": "text", b"x": "bytes"}
    assert storage.get(5, MISSING) is MISSING
    assert storage.get("x", MISSING) is MISSING


def test_a_number_has_not_the_row_of_a_text_that_is_none(mariadb: Make) -> None:
    """MySQL takes "foo" for 0, and compares what else there is as floats."""
    storage = mariadb()
    storage.set("foo", "1")
    assert storage.get(0) is None
    assert storage.get_multi([0, 1]) == {}
    storage.set(0, "2")
    assert storage.get(0) == "2"
    assert storage.get_multi([0, "foo"]) == {0: "2", "foo": "1"}
    storage.set(1 << 53, "3")
    assert storage.get((1 << 53) + 1) is None


def test_a_key_that_may_have_several_rows_is_an_error(mariadb: Make) -> None:
    storage = mariadb()
    storage.set_multi({"05": "1", "5.0": "2"})
    match = r"^table 'kept' has 2 rows for the one key 5: their keys read back as .05. .* .5.0. "
    with pytest.raises(StorageError, match=match):
        storage.get(5)
    with pytest.raises(StorageError, match=match):
        storage.get_multi(["foo", 5])
    storage.delete("05")
    assert storage.get(5) == "2"
    assert storage.get_multi([5, "foo"]) == {5: "2"}


@pytest.mark.parametrize("key", [None, Kind.NOTHING])
def test_none_is_no_key(storage: SqlStorage, key: Any) -> None:
    for call in (
        lambda: storage.get(key),
        lambda: storage.get_multi(["foo", key]),
        lambda: storage.set(key, "1"),
        lambda: storage.set_multi({"foo": "1", key: "2"}),
        lambda: storage.delete(key),
        lambda: storage.delete_multi(["foo", key]),
    ):
        with pytest.raises(ValueError, match="a key must not be None, got "):
            call()
    assert storage.get("foo") is None


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
        with pytest.raises(ValueError, match="path must name a file, got"):
            sqlite_pool(path)
    pool = sqlite_pool(str(tmp_path / "kept.db"))
    with pytest.raises(ValueError, match=r"batch must be an int in \[1, 2\*\*31\), got 0"):
        SqlStorage(pool, TABLE, **COLUMNS, batch=0)
    with pytest.raises(ValueError, match="dialect must be a Dialect or one of mysql, mariadb"):
        SqlStorage(pool, TABLE, **COLUMNS, dialect="x")
    assert repr(SqlStorage(pool, TABLE, **COLUMNS)) == f"<SqlStorage in 'kept' over {pool!r}>"
