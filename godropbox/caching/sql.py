"""A storage in a table of an SQL database, over a pool of DB-API connections."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._kernels._args import checked_int, shown
from .._kernels._guarded import text_of
from .._kernels._identity import refuse_copies
from ..database import sqlbuilder
from ..errors import DropboxError
from ..resource_pool import PoolOptions, SimpleResourcePool
from .storage import StorageError

__all__ = ["SqlStorage", "sqlite_pool"]


def sqlite_pool(path: str, *, timeout: float = 5.0, **options: Any) -> SimpleResourcePool:
    """Return a pool of connections to the SQLite database in the file `path`.

    `timeout` is how many seconds a statement waits for another connection's lock; `options` are
    those of ``PoolOptions``. A database in memory is one connection's own, and so no pool's.
    """
    if not path or path == ":memory:":
        raise ValueError(f"path must be a file's, got {shown(path)}")

    def connect(location: str) -> sqlite3.Connection:
        # One thread at a time has a connection on loan, but not the same one every time.
        return sqlite3.connect(location, timeout=timeout, check_same_thread=False)

    return SimpleResourcePool(PoolOptions(open=connect, **options), path)


class SqlStorage:
    """Keeps values in `table`, whose column `key` is unique and whose column `value` has the rest.

    `table` is a ``sqlbuilder.Table`` and the columns are named; they have to be all that a row
    needs. `pool` lends DB-API connections; with `dialect` and `paramstyle` left alone they are
    SQLite's, as ``sqlite_pool`` makes them, and for MySQL or MariaDB ``"mysql"`` and ``"format"``.
    `database` is the name that the table's is qualified with. `encode` makes what is put into the
    database of a value, `decode` the value again.

    Every operation is a transaction, reads as well, since one that stays open would show the next
    reader of its connection the past; with `autocommit` the connections see to that, and a write of
    more than `batch` keys is several. A row is found if its key equals the one that was asked for
    in Python, too: let the column compare as Python does (in MySQL ``utf8mb4_bin``). What the
    driver raises comes out as the cause of a ``StorageError``, and its connection is closed.
    """

    __slots__ = (
        "_autocommit",
        "_batch",
        "_bound",
        "_columns",
        "_decode",
        "_encode",
        "_pool",
        "_table",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        pool: Any,
        table: Any,
        *,
        key: str = "key",
        value: str = "value",
        database: str = "main",
        dialect: str = "sqlite",
        paramstyle: str = "qmark",
        autocommit: bool = False,
        batch: int = 400,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        if checked_int("batch", "[1, 2**31)", batch, 1 << 31) < 1:
            raise ValueError(f"batch must be an int in [1, 2**31), got {batch}")
        self._pool = pool
        self._table = table
        self._columns = (table.c[key], table.c[value])
        self._bound = (database, paramstyle, dialect)
        self._autocommit = autocommit
        self._batch = batch
        self._encode = encode
        self._decode = decode
        self._text(self._select([]))  # so that what the dialect refuses is refused here

    def _select(self, keys: list[Any]) -> Any:
        column, value = self._columns
        return self._table.select(column, value).where(column.in_(keys))

    def _text(self, statement: Any) -> tuple[str, Any]:
        """Return a statement as text and parameters."""
        database, paramstyle, dialect = self._bound
        bound: tuple[str, Any] = statement.bind(database, paramstyle, dialect=dialect)
        return bound

    def _batches(self, keys: Iterable[Any]) -> list[list[Any]]:
        """Return the keys, each once, so many at a time as one statement takes."""
        once = list(dict.fromkeys(keys))
        return [once[start : start + self._batch] for start in range(0, len(once), self._batch)]

    def _run(self, statements: Iterable[Any], reads: bool = False) -> list[tuple[Any, Any]]:
        """Execute statements in one transaction; return the rows of them if there are any."""
        texts = [self._text(statement) for statement in statements]  # raises what callers did wrong
        rows: list[tuple[Any, Any]] = []
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
                done = "read" if reads else "written"
                message = f"table {self._table.name!r} could not be {done}: {text_of(error)}"
                raise StorageError(message, cause=error) from error
        return rows

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self.get_multi([key]).get(key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        batches = self._batches(keys)
        asked = {key for batch in batches for key in batch}
        rows = self._run((self._select(batch) for batch in batches), reads=True)
        decode = self._decode
        return {
            key: value if decode is None else decode(value) for key, value in rows if key in asked
        }

    def set(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, in place of what is there."""
        self.set_multi({key: value})

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Keep every value of `items` under its key."""
        column, value = self._columns
        upsert = (
            self._table.insert(column, value)
            .conflict_target(column)
            .on_duplicate_key_update(value, sqlbuilder.values(value))
        )
        encode = self._encode
        rows = [
            [(key, items[key] if encode is None else encode(items[key])) for key in batch]
            for batch in self._batches(items)
        ]
        self._run(upsert.rows(some) for some in rows)

    def delete(self, key: Any) -> None:
        """Have nothing under `key`; a key that is not there is no error."""
        self.delete_multi([key])

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Have nothing under any of `keys`."""
        column = self._columns[0]
        self._run(self._table.delete().where(column.in_(batch)) for batch in self._batches(keys))

    def flush(self) -> None:
        """Delete every row."""
        self._run([self._table.delete().all_rows()])

    def __repr__(self) -> str:
        return f"<SqlStorage in {self._table.name!r} over {self._pool!r}>"
