"""Hosts of shards for the tests: SQLite files, and drivers that misbehave on purpose.

A host of ``SqliteHosts`` is a folder, and every shard a file in it that each connection attaches.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import HostGroup, Layout

__all__ = [
    "COUNT",
    "AsyncConnection",
    "AsyncFakeDriver",
    "FakeConnection",
    "FakeDriver",
    "SqliteHosts",
    "f",
    "files",
    "layout_of",
]

COUNT = 8

files = sb.Table("files", sb.IntColumn("owner"), sb.IntColumn("id"), sb.StrColumn("name"))
f = files.c

TABLE = "files (owner INT, id INT, name TEXT, PRIMARY KEY (owner, id))"


def layout_of(*replicas: str) -> Layout:
    """Return eight shards on the hosts `a` and `b`, the first of which has `replicas`."""
    groups = {"a": HostGroup("a", replicas), "b": HostGroup("b")}
    return Layout(COUNT, groups, {"a": "0-3", "b": "4-7"})


class SqliteHosts:
    """Folders of SQLite files, with the table ``files`` in each; `names` are the hosts."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.opened: list[str] = []
        for name in names:
            (folder / name).mkdir()
            connection = self.connect(name)
            for shard in range(COUNT):
                connection.execute(f"PRAGMA shard_{shard:04}.journal_mode=WAL").fetchall()
                connection.execute(f"CREATE TABLE shard_{shard:04}.{TABLE}")
            connection.execute("CREATE TABLE shard_0000.heartbeat (beat INT)")
            connection.execute("INSERT INTO shard_0000.heartbeat VALUES (0)")
            connection.commit()
            connection.close()
        self.opened.clear()

    def paths(self, host: str) -> list[tuple[str, str]]:
        """Return the names of a host's databases, and their files."""
        names = [f"shard_{shard:04}" for shard in range(COUNT)]
        return [(name, f"{self.folder}/{host}/{name}.db") for name in names]

    def connect(self, host: str) -> sqlite3.Connection:
        self.opened.append(host)
        connection = sqlite3.connect(":memory:", check_same_thread=False, timeout=30)
        for name, path in self.paths(host):
            connection.execute(f"ATTACH '{path}' AS {name}")
            connection.execute(f"PRAGMA {name}.synchronous=OFF")
        return connection

    def rows(self, host: str, shard: int) -> list[Any]:
        """Return what is in a host's shard."""
        connection = self.connect(host)
        try:
            return connection.execute(
                f"SELECT owner, id, name FROM shard_{shard:04}.files ORDER BY 1, 2"
            ).fetchall()
        finally:
            connection.close()

    def copy(self, shard: int, old: str, new: str) -> None:
        """Copy a shard's rows to another host, and delete them where they were."""
        rows = self.rows(old, shard)
        target, source = self.connect(new), self.connect(old)
        try:
            target.executemany(f"INSERT INTO shard_{shard:04}.files VALUES (?, ?, ?)", rows)
            target.commit()
            source.execute(f"DELETE FROM shard_{shard:04}.files")
            source.commit()
        finally:
            target.close()
            source.close()


class Error(Exception):
    """The base of a driver's exceptions, whose ``args`` are a number and a text."""


class OperationalError(Error):
    """A driver's exception for what is no fault of the statement."""


class IntegrityError(Error):
    """A driver's exception for a constraint."""


class FakeDriver:
    """A DB-API driver without a database: `answer` is asked what each statement yields.

    It takes the host and the text, and returns rows or raises. ``log`` has both of each statement.
    """

    OperationalError = OperationalError
    IntegrityError = IntegrityError

    def __init__(self, answer: Callable[[str, str], Any] | None = None) -> None:
        self.answer = answer or (lambda host, text: [(host,)])
        self.log: list[tuple[str, str]] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.refused: set[str] = set()
        self.numbers = False  # whether connections have the numbers of the server

    def connect(self, host: str) -> "FakeConnection":
        if host in self.refused:
            raise ConnectionRefusedError(111, "refused")
        self.opened.append(host)
        return FakeConnection(self, host)

    def texts(self) -> list[str]:
        return [text for _, text in self.log]


class FakeConnection:
    def __init__(self, driver: FakeDriver, host: str) -> None:
        self.driver = driver
        self.host = host
        self.commits_each = False
        if driver.numbers:
            number = len(driver.opened)
            self.thread_id = lambda: number

    def autocommit(self, value: bool) -> None:
        self.commits_each = value

    def cursor(self) -> "FakeCursor":
        return FakeCursor(self)

    def rollback(self) -> None:
        self.driver.log.append((self.host, "rollback()"))

    def close(self) -> None:
        self.driver.closed.append(self.host)


class FakeCursor:
    description: Any = None
    rowcount = -1
    lastrowid = None

    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    def execute(self, text: str, parameters: Any = ()) -> None:
        driver, host = self._connection.driver, self._connection.host
        driver.log.append((host, text))
        found = driver.answer(host, text)
        self.description = None if found is None else ((),)
        self._rows = found or []
        self.rowcount = len(self._rows)

    def fetchall(self) -> list[Any]:
        return self._rows

    def close(self) -> None:
        self.description = None


class AsyncFakeDriver(FakeDriver):
    """The fake driver for asyncio; a statement with SLEEP takes 30 s."""

    def __init__(self, answer: Callable[[str, str], Any] | None = None) -> None:
        super().__init__(answer)
        self.began: list[str] = []
        self.hang: set[str] = set()

    async def dial(self, host: str) -> "AsyncConnection":
        return AsyncConnection(self.connect(host))


class AsyncConnection:
    def __init__(self, inner: FakeConnection) -> None:
        self.inner = inner
        if inner.driver.numbers:
            self.thread_id = inner.thread_id

    async def autocommit(self, value: bool) -> None:
        self.inner.autocommit(value)

    async def cursor(self) -> "AsyncCursor":
        return AsyncCursor(self.inner)

    async def rollback(self) -> None:
        self.inner.rollback()

    def close(self) -> None:
        self.inner.close()


class AsyncCursor:
    def __init__(self, connection: FakeConnection) -> None:
        self._cursor = connection.cursor()
        self._connection = connection

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    async def execute(self, text: str, parameters: Any = ()) -> None:
        driver: Any = self._connection.driver
        if "SLEEP" in text or self._connection.host in driver.hang:
            driver.began.append(text)
            await asyncio.sleep(30)
        self._cursor.execute(text, parameters)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()
