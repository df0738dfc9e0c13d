"""A storage in a table of an SQL database, over a pool of DB-API connections."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from .._kernels._args import checked_int, shown
from .._kernels._guarded import text_of
from .._kernels._identity import refuse_copies
from ..database import sqlbuilder
from ..database.sqltypes import plain_value
from ..errors import DropboxError
from ..resource_pool import PoolOptions, SimpleResourcePool
from .storage import StorageError

__all__ = ["SqlStorage", "sqlite_pool"]


_NUMBERS: Final = (int, float, Decimal)
# Types of keys that are sent as they are; an Enum, for one, may stand for None.
_EXACT: Final = frozenset([str, bytes, int])
# What some drivers return for bytes.
_BUFFERS: Final = frozenset([bytearray, memoryview])


def sqlite_pool(path: str, *, timeout: float = 5.0, **options: Any) -> SimpleResourcePool:
    """Return a pool of connections to the SQLite database in the file `path`.

    `timeout` is how many seconds a statement waits for another connection's lock; `options` are
    those of ``PoolOptions``. A database in memory belongs to one connection and cannot be pooled.
    """
    if not path or path == ":memory:":
        raise ValueError(f"path must name a file, got {shown(path)}")

    def connect(location: str) -> sqlite3.Connection:
        # One thread at a time uses a connection, but not always the same thread.
        return sqlite3.connect(location, timeout=timeout, check_same_thread=False)

    return SimpleResourcePool(PoolOptions(open=connect, **options), path)


class SqlStorage:
    """Keeps values in `table`, in a unique column `key` and a column `value`.

    `table` is a ``sqlbuilder.Table``; the two columns are given by name and must be enough to
    insert a row. `pool` lends DB-API connections: SQLite's by default, as ``sqlite_pool`` makes
    them; for MySQL or MariaDB give `dialect` ``"mysql"`` and `paramstyle` ``"format"``. `database`
    qualifies the table's name. `encode` makes a value into what the column holds, `decode` makes it
    a value again.

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
        self._text(self._select([]))  # raises here what the dialect refuses

    def _select(self, keys: list[Any]) -> Any:
        column, value = self._columns
        return self._table.select(column, value).where(column.in_(keys))

    def _text(self, statement: Any) -> tuple[str, Any]:
        """Return a statement as text and parameters."""
        database, paramstyle, dialect = self._bound
        bound: tuple[str, Any] = statement.bind(database, paramstyle, dialect=dialect)
        return bound

    def _batches(self, keys: Iterable[Any]) -> list[list[Any]]:
        """Return the keys, without repeats, in batches for one statement each."""
        once = list(dict.fromkeys(keys))
        if not _EXACT.issuperset(map(type, once)):
            for key in once:
                if type(key) not in _EXACT and plain_value(key) is None:
                    raise ValueError(f"a key must not be None, got {shown(key)}")
        return [once[start : start + self._batch] for start in range(0, len(once), self._batch)]

    def _run(self, statements: Iterable[Any], reads: bool = False) -> list[tuple[Any, Any]]:
        """Execute statements in one transaction; return their rows, if any."""
        texts = [self._text(statement) for statement in statements]  # raises for a caller's mistake
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
        found = self._found([key], self._rows([key]))
        if not found:
            return default
        return found[key] if self._decode is None else self._decode(found[key])

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        asked = list(dict.fromkeys(keys))
        found = self._found(asked, self._rows(asked))
        decode = self._decode
        if decode is None:
            return found
        return {key: decode(value) for key, value in found.items()}

    def _rows(self, keys: Iterable[Any]) -> list[tuple[Any, Any]]:
        """Return the rows of `keys`: each key as it reads back, and its value."""
        rows = self._run((self._select(batch) for batch in self._batches(keys)), reads=True)
        if _BUFFERS.isdisjoint(type(read) for read, _ in rows):
            return rows
        return [(bytes(read) if type(read) in _BUFFERS else read, value) for read, value in rows]

    def _found(self, keys: list[Any], rows: list[tuple[Any, Any]]) -> dict[Any, Any]:
        """Return the values by key from the rows that were selected for `keys`."""
        asked = set(keys)
        found = {read: value for read, value in rows if read in asked}
        if not rows or len(found) == len(keys):
            return found
        # A key that is sent and read as the same exact type reads back as it is.
        kinds = {type(read) for read, _ in rows}
        same = kinds if len(kinds) == 1 and kinds <= _EXACT else ()
        odd = [key for key in keys if type(key) not in same and key not in found]
        if not odd:
            return found
        by_read = dict(rows)
        sent = {key: self._sent(key) for key in odd}
        found.update((key, by_read[sent[key]]) for key in odd if sent[key] in by_read)
        sure = asked.union(sent.values())
        by_text = {_text_of(read): read for read in by_read if read not in sure}
        for key in odd:
            if key not in found and _text_of(sent[key]) in by_text:
                found[key] = by_read[by_text[_text_of(sent[key])]]
        texts = {_text_of(key) for key in sent.values()}
        rest = [read for read in by_text.values() if _text_of(read) not in texts]
        taken = {_text_of(read) for read in by_read if read in sure}
        for key in odd:
            if key in found:
                continue
            may_be = [read for read in rest if _may_be(sent[key], read)]
            if len(keys) > 1:
                if may_be or _text_of(sent[key]) in taken:  # its row may have gone to another key
                    found.update(self._found([key], self._rows([key])))
            elif len(may_be) == 1:
                found[key] = by_read[may_be[0]]
            elif may_be:
                which = " and ".join(shown(read) for read in may_be[:2])
                raise StorageError(
                    f"table {self._table.name!r} has {len(may_be)} rows for the one key"
                    f" {shown(key)}: their keys read back as {which}"
                )
        return found

    def _sent(self, key: Any) -> Any:
        """Return a key as the driver is given it."""
        parameters = self._text(self._select([key]))[1]
        (sent,) = parameters.values() if isinstance(parameters, Mapping) else parameters
        return sent

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        self.set_multi({key: value})

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
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
        """Delete `key`; a missing key is ignored."""
        self.delete_multi([key])

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        column = self._columns[0]
        self._run(self._table.delete().where(column.in_(batch)) for batch in self._batches(keys))

    def flush(self) -> None:
        """Delete every row."""
        self._run([self._table.delete().all_rows()])

    def __repr__(self) -> str:
        return f"<SqlStorage in {self._table.name!r} over {self._pool!r}>"


def _text_of(key: Any) -> Any:
    """Return a key as a column of text holds it; bytes as they are."""
    if isinstance(key, bytes):
        return key
    return str(int(key) if isinstance(key, bool) else key)


def _may_be(sent: Any, read: Any) -> bool:
    """Return whether the key that was sent may read back as `read`."""
    if any(isinstance(sent, kind) and isinstance(read, kind) for kind in (str, bytes, int)):
        return False
    if not isinstance(sent, _NUMBERS) and not isinstance(read, _NUMBERS):
        return True
    # MySQL takes text that is not a number for 0, and compares numbers in text as floats.
    number = float if isinstance(sent, float) or isinstance(read, float) else Decimal
    try:
        first, second = (
            number(each.decode("latin-1") if isinstance(each, bytes) else each)
            for each in (sent, read)
        )
    except (ValueError, ArithmeticError):
        return False
    except TypeError:
        return True
    return bool(first == second)
