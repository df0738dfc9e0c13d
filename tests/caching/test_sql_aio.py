"""The storage in a table for asyncio, over each driver and its real server, on both event loops.

What the blocking storage's tests hold it to, this one is held to by the same tests, through
``Blocking``.
"""

import asyncio
import inspect
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pymysql
import pytest
from caching import test_sql as blocking_tests
from support import sqlservers
from support.aio import FACTORIES, run, turns

from godropbox.caching import SqlStorage, StorageError
from godropbox.caching.aio import AsyncSqlStorage, async_sqlite_pool
from godropbox.resource_pool import PoolOptions, SimpleResourcePool
from godropbox.resource_pool.aio import AsyncResourcePool

TABLE, COLUMNS = blocking_tests.TABLE, blocking_tests.COLUMNS
MYSQL: dict[str, Any] = {"database": "caching", "dialect": "mariadb", "paramstyle": "format"}
POSTGRES: dict[str, Any] = {"database": "public", "dialect": "postgresql", "paramstyle": "format"}
# Opens a blocking connection, for what the tests do beside the storage.
Beside = Callable[[], Any]


class Driver:
    """One driver: how its connections are opened, in asyncio and beside it, and its dialect."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.path = str(folder / "kept.db")
        self.options: dict[str, Any] = {}
        if name in ("asyncmy", "aiomysql"):
            self.options = MYSQL
        elif name == "psycopg":
            self.options = POSTGRES
        self.table = {"caching": "caching.kept", "public": "public.kept"}.get(
            self.options.get("database", ""), "kept"
        )

    async def connect(self, _: Any = None) -> Any:
        if self.name == "psycopg":
            return await import_module("psycopg").AsyncConnection.connect(**self._postgres())
        there = sqlservers.mariadb()
        return await import_module(self.name).connect(
            unix_socket=there.socket, user=there.user, password="", charset="utf8mb4"
        )

    def _postgres(self) -> dict[str, Any]:
        there = sqlservers.postgresql()
        folder = str(Path(there.socket).parent)
        return {"host": folder, "port": there.port, "user": there.user}

    def beside(self) -> Any:
        if self.name == "aiosqlite":
            return sqlite3.connect(self.path, isolation_level=None)
        if self.name == "psycopg":
            return import_module("psycopg").connect(**self._postgres())
        there = sqlservers.mariadb()
        return pymysql.connect(unix_socket=there.socket, user=there.user, charset="utf8mb4")

    def create(self) -> None:
        """Make an empty table."""
        kind = "VARCHAR(39) COLLATE utf8mb4_bin" if self.options is MYSQL else "VARCHAR(39)"
        check = "CHECK (length(name) < 40)" if self.name == "aiosqlite" else ""
        with closing(self.beside()) as connection, closing(connection.cursor()) as cursor:
            if self.options is MYSQL:
                cursor.execute("CREATE DATABASE IF NOT EXISTS caching")
            cursor.execute(f"DROP TABLE IF EXISTS {self.table}")
            cursor.execute(
                f"CREATE TABLE {self.table} (name {kind} PRIMARY KEY {check}, content TEXT)"
            )
            connection.commit()

    def pool(self, **more: Any) -> AsyncResourcePool:
        more = {"max_active": 4, "timeout": 10, **more}
        if self.name == "aiosqlite":
            return async_sqlite_pool(self.path, busy_timeout=10, **more)
        return AsyncResourcePool(PoolOptions(open=self.connect, **more))

    def storage(self, pool: Any, **more: Any) -> AsyncSqlStorage:
        return AsyncSqlStorage(pool, TABLE, **COLUMNS, **self.options, **more)


NAMES = ["aiosqlite", "asyncmy", "aiomysql", "psycopg"]


@pytest.fixture(params=NAMES)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    driver = Driver(request.param, tmp_path)
    driver.create()
    return driver


# The tests of the blocking storage


class Blocking:
    """A storage for asyncio behind the blocking storage's methods."""

    def __init__(self, storage: AsyncSqlStorage, runner: "asyncio.Runner") -> None:
        self._storage = storage
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._storage, name)
        return lambda *arguments: self._runner.run(method(*arguments))


@pytest.fixture
def storage(driver: Driver, loop: str) -> Iterator[Blocking]:
    pool = driver.pool()
    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        yield Blocking(driver.storage(pool, batch=3), runner)
        assert runner.run(pool.close())
    assert pool.stats().close_failures == 0


test_get_and_set = blocking_tests.test_get_and_set
test_more_keys_than_a_statement_takes = blocking_tests.test_more_keys_than_a_statement_takes
test_delete_and_flush = blocking_tests.test_delete_and_flush
test_hostile_keys_and_values_are_kept = blocking_tests.test_hostile_keys_and_values_are_kept
test_none_is_no_key = blocking_tests.test_none_is_no_key
test_a_set_of_many_is_done_whole_or_not_at_all = (
    blocking_tests.test_a_set_of_many_is_done_whole_or_not_at_all
)


@pytest.mark.parametrize("key", blocking_tests.ODD_KEYS, ids=repr)
@pytest.mark.parametrize("driver", ["aiosqlite", "asyncmy"], indirect=True)
@pytest.mark.parametrize("loop", ["asyncio"], indirect=True)
def test_what_is_stored_under_any_key_is_found(storage: Any, key: Any) -> None:
    blocking_tests.check_finds(storage, key, {"other": "1", 12: "2"})


@pytest.mark.parametrize("driver", ["asyncmy"], indirect=True)
def test_a_key_that_may_have_several_rows_is_an_error(storage: Any) -> None:
    """Which takes a second reading, of each key by itself."""
    storage.set_multi({"05": "1", "5.0": "2"})
    with pytest.raises(StorageError, match=r"^table 'kept' has 2 rows for the one key 5: "):
        storage.get_multi(["foo", 5])


# What only this one does


def test_methods_and_options_are_those_of_the_blocking_storage() -> None:
    for name in ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush"):
        method = getattr(AsyncSqlStorage, name)
        assert inspect.iscoroutinefunction(method)
        assert list(inspect.signature(method).parameters) == list(
            inspect.signature(getattr(SqlStorage, name)).parameters
        )
    assert inspect.signature(AsyncSqlStorage) == inspect.signature(SqlStorage)


def test_bad_arguments_and_repr(tmp_path: Path) -> None:
    for path in ("", ":memory:"):
        with pytest.raises(ValueError, match="path must name a file, got"):
            async_sqlite_pool(path)
    threads = SimpleResourcePool(PoolOptions(open=str))
    with pytest.raises(TypeError, match=r"^pool must be an AsyncResourcePool, or a function .*, "):
        AsyncSqlStorage(threads, TABLE, **COLUMNS)
    pool = async_sqlite_pool(str(tmp_path / "kept.db"))
    with pytest.raises(ValueError, match=r"batch must be an int in \[1, 2\*\*31\), got 0"):
        AsyncSqlStorage(pool, TABLE, **COLUMNS, batch=0)
    storage = AsyncSqlStorage(pool, TABLE, **COLUMNS)
    assert repr(storage) == f"<AsyncSqlStorage in 'kept' over {pool!r}>"


def test_what_the_driver_raises_is_the_cause_and_closes_the_connection(
    driver: Driver, loop: str
) -> None:
    async def main() -> None:
        async with driver.pool() as pool:
            storage = driver.storage(pool)
            await storage.set("foo", "1")
            with pytest.raises(
                StorageError, match=r"^table 'kept' could not be written: "
            ) as error:
                await storage.set("k" * 40, "1")
            assert error.value.__cause__ is not None
            assert await storage.get("foo") == "1"
            assert (pool.stats().opens, pool.num_active) == (2, 0)

    run(main(), loop)


def test_tasks_may_share_it(driver: Driver, loop: str) -> None:
    async def main() -> None:
        async with driver.pool(max_active=3) as pool:
            storage = driver.storage(pool)

            async def work(number: int) -> Any:
                for turn in range(3):
                    await storage.set(f"key{number}", str(turn))
                return await storage.get(f"key{number}")

            assert await asyncio.gather(*map(work, range(20))) == ["2"] * 20
            assert pool.stats().high_water <= 3

    run(main(), loop)


def test_a_function_may_lend_the_connections(driver: Driver, loop: str) -> None:
    async def main() -> None:
        async with driver.pool() as pool:
            ended: list[bool] = []

            @asynccontextmanager
            async def acquire() -> Any:
                async with pool.handle() as connection:
                    yield connection
                    ended.append(True)

            storage = driver.storage(acquire)
            await storage.set("foo", "1")
            assert await storage.get_multi(["foo", "bar"]) == {"foo": "1"}
            assert ended == [True, True]

    run(main(), loop)


async def until_it_blocks(driver: Driver, beside: Any) -> None:
    """Let the loop turn until the server says that one statement waits for another's lock."""
    asked = {
        "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query'"
        " AND info LIKE 'INSERT INTO%'",
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    }.get(driver.options.get("dialect", ""))
    for _ in range(100_000):
        await turns(1)
        if asked is None:  # SQLite's thread tells nobody
            return
        cursor = beside.cursor()
        cursor.execute(asked)
        if cursor.fetchone()[0] == 1:
            return
    raise AssertionError("it never blocks")


def test_a_statement_that_is_cancelled_costs_its_connection_and_nothing_else(
    driver: Driver, loop: str
) -> None:
    async def main() -> None:
        with closing(driver.beside()) as holder, closing(driver.beside()) as watcher:
            async with driver.pool(max_active=1) as pool:
                storage = driver.storage(pool)
                await storage.set("foo", "1")
                begin = "BEGIN IMMEDIATE" if driver.name == "aiosqlite" else "BEGIN"
                holder.cursor().execute(begin)
                holder.cursor().execute(f"UPDATE {driver.table} SET content = '2'")
                task = asyncio.create_task(storage.set("foo", "3"))
                await until_it_blocks(driver, watcher)
                assert pool.num_active == 1
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                holder.commit()
                assert await storage.get("foo") in ("2", "3")
                await storage.set("foo", "4")
                assert await storage.get("foo") == "4"
                assert (pool.stats().opens, pool.num_active) == (2, 0)

    run(main(), loop)


@pytest.mark.parametrize("count", range(0, 40, 3))
def test_a_get_that_is_cancelled_in_any_turn_leaves_the_answers_right(
    driver: Driver, loop: str, count: int
) -> None:
    async def main() -> None:
        async with driver.pool(max_active=1) as pool:
            storage = driver.storage(pool)
            await storage.set_multi({"foo": "1", "bar": "2"})

            async def cancelled(work: Awaitable[Any]) -> None:
                task = asyncio.ensure_future(work)
                await turns(count)
                task.cancel()
                await asyncio.wait([task])

            await cancelled(storage.get("foo"))
            assert await storage.get("bar") == "2"
            await cancelled(storage.set("bar", "3"))
            assert await storage.get("foo") == "1"
            assert await storage.get("bar") in ("2", "3")
            assert pool.num_active == 0
        assert pool.stats().close_failures == 0

    run(main(), loop)
