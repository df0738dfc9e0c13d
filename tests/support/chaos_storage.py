"""The storage of a chaos run: SQLite, which tells the order of commits, and at times nothing.

Writers take turns, so that the log's order is the order of commits; every read sees all that was
committed before it began, in whichever process.
"""

import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

__all__ = ["ChaosStorage", "LostReplyError", "NotWrittenError", "log_of"]


class NotWrittenError(Exception):
    """Nothing was written, for certain."""


class LostReplyError(Exception):
    """The connection was lost before the reply came: it may be written or not."""


class ChaosStorage:
    """Keys and values are integers; each thread has a connection of its own.

    Of `doubt` of the writes the reply is lost: half of them are committed all the same.
    """

    def __init__(self, path: Path, wait: float, doubt: float = 0.0, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._doubt = doubt
        self._path = path
        self._wait = wait
        self._own = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """The thread's connection, in which transactions are begun and ended by hand."""
        db: sqlite3.Connection | None = getattr(self._own, "db", None)
        if db is None:
            db = sqlite3.connect(self._path, timeout=self._wait, isolation_level=None)
            db.execute("PRAGMA synchronous = OFF")  # the machine stays up
            self._own.db = db
        return db

    @staticmethod
    def make(path: Path) -> None:
        """Make the data base."""
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE data (key INTEGER PRIMARY KEY, value INTEGER)")
            db.execute("CREATE TABLE log (at INTEGER PRIMARY KEY AUTOINCREMENT, key, value)")
        db.close()

    def get(self, key: int, default: object = None) -> object:
        row = self.connection.execute("SELECT value FROM data WHERE key = ?", (key,)).fetchone()
        return default if row is None else row[0]

    def get_multi(self, keys: Iterable[int]) -> dict[int, int]:
        wanted = list(keys)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT key, value FROM data WHERE key IN ({marks})"
        return dict(self.connection.execute(query, wanted).fetchall())

    def set(self, key: int, value: int) -> None:
        self.set_multi({key: value})

    def set_multi(self, items: Mapping[int, int]) -> None:
        rows = list(items.items())
        self._transact(
            lambda: self.connection.executemany("INSERT OR REPLACE INTO data VALUES (?, ?)", rows),
            rows,
        )

    def delete(self, key: int) -> None:
        self.delete_multi([key])

    def delete_multi(self, keys: Iterable[int]) -> None:
        rows = [(key,) for key in keys]
        self._transact(
            lambda: self.connection.executemany("DELETE FROM data WHERE key = ?", rows),
            [(key, 0) for (key,) in rows],
        )

    def flush(self) -> None:
        self._transact(lambda: self.connection.execute("DELETE FROM data"), [])

    def _transact(self, write: Callable[[], object], log: list[tuple[int, int]]) -> None:
        db = self.connection
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:  # another one had its turn for too long
            raise NotWrittenError(str(error)) from error
        try:
            write()
            db.executemany("INSERT INTO log (key, value) VALUES (?, ?)", log)
            lost = self._random.random()
            if lost < self._doubt / 2:
                raise LostReplyError("before the commit")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        if lost < self._doubt:
            raise LostReplyError("after the commit")


def log_of(path: Path) -> list[tuple[int, int]]:
    """Return all (key, value) that were committed, in order."""
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT key, value FROM log ORDER BY at").fetchall()
    finally:
        db.close()
