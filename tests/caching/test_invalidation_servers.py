"""Caches that follow the log of a real MariaDB, over real memcached servers."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.logservers import LogServer
from support.memcached import need_tokens, running

from godropbox.caching import ConsistentCacheOnStorage, FleetServers, FunctionStorage
from godropbox.caching.binlog import (
    Applied,
    Committed,
    Generations,
    InvalidationOptions,
    Invalidator,
    NotCommittedError,
)
from godropbox.caching.binlog.aio import AsyncInvalidator
from godropbox.database import binlog
from godropbox.database.binlog import aio
from godropbox.memcache import Client, StaticShardManager
from godropbox.memcache.aio import AsyncClient

SECONDS = 30
ONCE = InvalidationOptions(repeat_after=0)


SERVERS = ["mariadb", *(["mysql"] if os.environ.get("GODROPBOX_MYSQL") else [])]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[LogServer]:
    """A server whose log lacks the names of columns: MySQL's only if it is here."""
    least = "NO_LOG" if request.param == "mariadb" else "MINIMAL"
    with LogServer(request.param, 1, f"--binlog-row-metadata={least}") as server:
        yield server


@pytest.fixture(scope="module")
def memcached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_tokens()
    with running("tcp", tmp_path_factory.mktemp("memcached")) as server:
        yield server.address


@pytest.fixture
def address(memcached: str) -> str:
    """An empty memcached: what was applied of another server's log is not in it."""
    with Client([memcached]) as client:
        client.flush_all()
    return memcached


@pytest.fixture
def cursor(server: LogServer) -> Iterator[Any]:
    with server.connection() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE shop")
        cursor.execute("CREATE DATABASE shop")
        cursor.execute("CREATE TABLE shop.users (id INT PRIMARY KEY, name VARCHAR(20))")
        yield cursor


@pytest.fixture
def schema(server: LogServer) -> Iterator[binlog.InformationSchema]:
    schema = binlog.InformationSchema(server.connection)
    yield schema
    schema.close()


@pytest.fixture
def committed(server: LogServer) -> Iterator[Committed]:
    committed = Committed(server.connection)
    yield committed
    committed.close()


def last_gtid(cursor: Any) -> str:
    """Return the transaction that was written last; of MySQL all there are."""
    cursor.execute("SELECT VERSION()")
    is_mariadb = "MariaDB" in cursor.fetchone()[0]
    cursor.execute(f"SELECT {'@@last_gtid' if is_mariadb else '@@global.gtid_executed'}")
    gtid: str = cursor.fetchone()[0]
    return gtid


class Following:
    """An invalidator in a thread, from now on."""

    def __init__(self, server: LogServer, schema: Any, invalidator: Invalidator) -> None:
        self.invalidator = invalidator
        self.events = binlog.connect(
            server.socket,
            user="root",
            schema=schema,
            heartbeat=1.0,
            **invalidator.wanted,
        )
        self.thread = threading.Thread(target=invalidator.run, args=(self.events,))

    def __enter__(self) -> Invalidator:
        self.thread.start()
        return self.invalidator

    def __exit__(self, *_: object) -> None:
        self.events.close()
        self.invalidator.close()
        self.thread.join()


def test_a_write_past_the_cache_is_read_after_its_gtid_was_waited_for(
    server: LogServer,
    address: str,
    cursor: Any,
    schema: binlog.InformationSchema,
    committed: Committed,
) -> None:
    with Client([address]) as client:
        invalidator = Invalidator(client, {"shop.users": "user:{id}"}, committed=committed)

        def load() -> Any:
            cursor.execute("SELECT name FROM shop.users WHERE id = 1")
            return cursor.fetchall()[0][0]

        with Following(server, schema, invalidator):
            cursor.execute("INSERT INTO shop.users VALUES (1, '0')")
            for number in range(1, 30):
                client.get_or_set("user:1", load, 60)
                cursor.execute("UPDATE shop.users SET name = %s WHERE id = 1", (str(number),))
                gtid = last_gtid(cursor)
                waits = Applied(client) if number % 2 else invalidator
                assert waits.wait_for(gtid, SECONDS)
                assert client.get_or_set("user:1", load, 60) == str(number)


def test_a_consistent_cache_sees_writes_past_it(
    server: LogServer,
    address: str,
    cursor: Any,
    schema: binlog.InformationSchema,
    committed: Committed,
) -> None:
    def get(key: str, default: Any) -> Any:
        with server.connection() as connection, connection.cursor() as other:
            other.execute("SELECT name FROM shop.users WHERE id = %s", (key[5:],))
            row = other.fetchone()
        return default if row is None else row[0].encode()

    manager = StaticShardManager([address])
    cache = ConsistentCacheOnStorage(FleetServers(manager), FunctionStorage("users", get=get))

    def flush(table: str) -> None:
        raise AssertionError

    invalidator = Invalidator(
        cache,
        {"shop.users": "user:{id}"},
        InvalidationOptions(forget=flush),
        committed=committed,
    )
    with pytest.raises(ValueError, match="forget must be a function"):
        Invalidator(cache, {"shop.users": "user:{id}"})
    with Following(server, schema, invalidator):
        cursor.execute("INSERT INTO shop.users VALUES (7, 'Ann')")
        assert invalidator.wait_for(last_gtid(cursor), SECONDS)
        assert cache.get("user:7") == cache.get("user:7") == b"Ann"
        cursor.execute("UPDATE shop.users SET name = 'Bob' WHERE id = 7")
        assert invalidator.wait_for(last_gtid(cursor), SECONDS)
        assert cache.get("user:7") == b"Bob"
    manager.close()


def test_tables_of_cascades_statements_and_definitions_are_forgotten(
    server: LogServer, address: str, cursor: Any, tmp_path: Path, schema: binlog.InformationSchema
) -> None:
    cursor.execute(
        "CREATE TABLE shop.pets (id INT PRIMARY KEY, owner INT,"
        " FOREIGN KEY (owner) REFERENCES shop.users (id) ON DELETE CASCADE)"
    )
    file = server.folder / "pets.csv"
    file.write_text("5\t1\n")
    file.chmod(0o644)
    statements = [
        "UPDATE shop.users SET name = 'x'",
        f"LOAD DATA INFILE '{file}' INTO TABLE shop.pets",
        "ALTER TABLE shop.pets ADD COLUMN age INT",
        "TRUNCATE shop.pets",
        "DROP TABLE shop.pets",
    ]
    if server.is_mariadb:  # MySQL logs the rows that go
        statements.insert(0, "DELETE FROM shop.users WHERE id = 1")
    cursor.execute("INSERT INTO shop.users VALUES (1, 'Ann')")
    with Client([address]) as client:
        generations = Generations(client, refresh=0.01, prefix="g:")
        invalidator = Invalidator(
            client, {"shop.pets": "pet:{generation}:{id}"}, ONCE, generations=generations
        )
        with Following(server, schema, invalidator):
            for statement in statements:
                cursor.execute("SET binlog_format = 'ROW'")
                cursor.execute("REPLACE INTO shop.users VALUES (2, 'Bob')")
                assert invalidator.wait_for(last_gtid(cursor), SECONDS)
                before = Generations(client, prefix="g:").of("shop.pets")
                if "LOAD" in statement:
                    cursor.execute("INSERT IGNORE INTO shop.users VALUES (1, 'Ann')")
                if statement[:4] in ("UPDA", "LOAD"):
                    cursor.execute("SET binlog_format = 'STATEMENT'")
                cursor.execute(statement)
                assert invalidator.wait_for(last_gtid(cursor), SECONDS), statement
                assert Generations(client, prefix="g:").of("shop.pets") != before, statement


def test_a_transaction_of_two_phases_counts_when_it_is_committed(
    server: LogServer, address: str, cursor: Any, schema: binlog.InformationSchema
) -> None:
    cursor.execute("INSERT INTO shop.users VALUES (1, 'Ann')")
    with Client([address]) as client:
        invalidator = Invalidator(client, {"shop.users": "user:{id}"}, ONCE)
        with Following(server, schema, invalidator):
            cursor.execute("XA START 'a','b'")
            cursor.execute("UPDATE shop.users SET name = 'Bob' WHERE id = 1")
            cursor.execute("XA END 'a','b'")
            cursor.execute("XA PREPARE 'a','b'")
            assert invalidator.wait_for(last_gtid(cursor), SECONDS)
            client.set("user:1", "Ann")  # others see no more yet
            cursor.execute("XA COMMIT 'a','b'")
            assert invalidator.wait_for(last_gtid(cursor), SECONDS)
            assert client.get("user:1") is None
            assert invalidator.statistics().forgotten == 0


def test_under_asyncio(
    server: LogServer, address: str, cursor: Any, schema: binlog.InformationSchema
) -> None:
    async def main() -> None:
        async with AsyncClient([address]) as client:
            await client.set("user:3", "old")
            invalidator = AsyncInvalidator(client, {"shop.users": "user:{id}"}, ONCE)
            events = await aio.connect(
                server.socket, user="root", schema=schema, **invalidator.wanted
            )
            task = asyncio.create_task(invalidator.run(events))
            cursor.execute("INSERT INTO shop.users VALUES (3, 'new')")
            assert await invalidator.wait_for(last_gtid(cursor), SECONDS)
            assert await client.get("user:3") is None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await events.close()

    asyncio.run(main())


def test_a_transaction_that_nobody_sees_is_not_waited_for_forever(
    server: LogServer, cursor: Any
) -> None:
    cursor.execute("INSERT INTO shop.users VALUES (3, 'new')")
    text = last_gtid(cursor)
    last: Any
    if server.is_mariadb:
        (last,) = binlog.MariaDBGtidSet.parse(text)
    else:
        ((uuid, _), runs) = next(iter(binlog.GtidSet.parse(text).intervals.items()))
        last = binlog.Gtid(uuid, runs[-1][1] - 1)
    committed = Committed(server.connection, timeout=0.05)
    committed(last)
    with pytest.raises(NotCommittedError, match=r"cannot be seen after 0\.05 seconds"):
        committed(replace(last, number=last.number + 1000))
    committed.close()
    committed(last)
    committed.close()


@pytest.mark.parametrize("database", SERVERS)
def test_nothing_is_stale_when_everything_was_killed(database: str) -> None:
    """The same for longer, and at random: ``python -m support.invalidation_chaos``."""
    need_tokens()
    done = subprocess.run(
        [sys.executable, "-m", "support.invalidation_chaos", "2", "1", "gentle", database],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(None, 1) for line in done.stdout.splitlines()[1:]]
    counts = {label: count for count, label in lines}
    assert counts["stale"] == "0"
    assert int(counts["cached in the end"]) > 0
    for label in ("logs purged", "logs rotated", "databases killed"):
        assert counts[label] == "1"
