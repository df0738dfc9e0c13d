"""A storage in a table of an SQL database, over a pool of DB-API connections."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from ..errors import DropboxError
from ..resource_pool import PoolOptions, PoolOverrides, SimpleResourcePool
from ._sqltable import Reading, Rows, SqlTable, Texts, checked_path

__all__ = ["SqlStorage", "sqlite_pool"]


class _Overrides(PoolOverrides, total=False):
    close: Callable[[Any], object]


def sqlite_pool(
    path: str, *, timeout: float = 5.0, **options: Unpack[_Overrides]
) -> SimpleResourcePool:
    """Return a pool of connections to the SQLite database in the file `path`.

    `timeout` is how many seconds a statement waits for another connection's lock; `options` are
    those of ``PoolOptions``. A database in memory belongs to one connection and cannot be pooled.
    """

    def connect(location: str) -> sqlite3.Connection:
        # One thread at a time uses a connection, but not always the same thread.
        return sqlite3.connect(location, timeout=timeout, check_same_thread=False)

    return SimpleResourcePool(PoolOptions(open=connect, **options), checked_path(path))


class SqlStorage(SqlTable):
    """Keeps values in `table`, in a unique column `key` and a column `value`.

    `table` is a ``sqlbuilder.Table``; the two columns are given by name and must be enough to
    insert a row. `pool` lends DB-API connections: SQLite's by default, as ``sqlite_pool`` makes
    them; for MySQL give `dialect` ``"mysql"`` and `paramstyle` ``"format"``, for MariaDB
    ``"mariadb"``. `database` qualifies the table's name. `encode` makes a value into what the
    column holds, `decode` makes it a value again.

    Every operation is a transaction, reads included: one that stayed open would show the next
    reader of its connection old data. With `autocommit` the connections commit, and a write of more
    than `batch` keys is several transactions. The driver's exceptions are the cause of a
    ``StorageError``, and the connection is closed.

    A key is what the column makes of it: an Enum's value, a UUID's text, an int's digits in a
    column of text. None is not a key and raises ``ValueError``. A row is not found if its key
    equals the one sent for the database alone, and not in Python: use a column that compares as
    Python does (in MySQL ``utf8mb4_bin``). If several rows could be that of a key, and none
    certainly is, ``get`` and ``get_multi`` raise ``StorageError``.
    """

    __slots__ = ()

    def _run(self, texts: Texts, reads: bool = False) -> Rows:
        """Execute statements in one transaction; return their rows, if any."""
        rows: Rows = []
        if not texts:
            return rows
        with self._pool.get() as loan:
            connection = loan.handle
            try:
                cursor = connection.cursor()
                try:
                    for text, parameters in texts:
                        cursor.execute(text, parameters)
                        if reads:
                            rows += cursor.fetchall()
                finally:
                    cursor.close()
                if not self._autocommit:
                    connection.commit()
            except DropboxError:
                raise
            except Exception as error:
                raise self._failed(error, reads) from error
        return rows

    def _read(self, reading: Reading) -> dict[Any, Any]:
        """Run a reading to its end; return the values by key."""
        texts = next(reading)
        while True:
            rows = self._run(texts, reads=True)
            try:
                texts = reading.send(rows)
            except StopIteration as end:
                found: dict[Any, Any] = end.value
                return found

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self._value(self._read(self._reading([key])), key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        return self._values(self._read(self._reading(list(dict.fromkeys(keys)))))

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        self._run(self._upserts({key: value}))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        self._run(self._upserts(items))

    def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        self._run(self._deletes([key]))

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        self._run(self._deletes(keys))

    def flush(self) -> None:
        """Delete every row."""
        self._run(self._delete_all())
