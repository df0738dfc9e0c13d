"""What a storage in an SQL table does, without I/O: its statements, and what their rows say.

A storage drives this: it runs statements in one transaction, and blocks or awaits while it does.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from .._kernels._args import checked_int, shown
from .._kernels._guarded import text_of
from .._kernels._identity import refuse_copies
from ..database import sqlbuilder
from ..database.sqltypes import plain_value
from .storage import StorageError

__all__ = ["Reading", "Rows", "SqlTable", "Texts", "checked_path"]

# Statements as text and parameters; the rows of all of them: a key as it reads back, its value.
Texts = list[tuple[str, Any]]
Rows = list[tuple[Any, Any]]
# Yields statements to run in a transaction each time, is sent their rows, and returns the values.
Reading = Generator[Texts, Rows, dict[Any, Any]]

_NUMBERS: Final = (int, float, Decimal)
# Types of keys that are sent as they are; an Enum, for one, may stand for None.
_EXACT: Final = frozenset([str, bytes, int])
# What some drivers return for bytes.
_BUFFERS: Final = frozenset([bytearray, memoryview])


class SqlTable:
    """The base of the storages in a table: the options, the statements, and the meaning of rows."""

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
        self._pool = self._checked_pool(pool)
        self._table = table
        self._columns = (table.c[key], table.c[value])
        self._bound = (database, paramstyle, dialect)
        self._autocommit = autocommit
        self._batch = batch
        self._encode = encode
        self._decode = decode
        self._text(self._select([]))  # raises here what the dialect refuses

    def _checked_pool(self, pool: Any) -> Any:
        """Return the pool if the storage can borrow connections from it."""
        return pool

    # Statements

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

    def _upserts(self, items: Mapping[Any, Any]) -> Texts:
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
        return [self._text(upsert.rows(some)) for some in rows]

    def _deletes(self, keys: Iterable[Any]) -> Texts:
        column = self._columns[0]
        delete = self._table.delete()
        return [self._text(delete.where(column.in_(batch))) for batch in self._batches(keys)]

    def _delete_all(self) -> Texts:
        return [self._text(self._table.delete().all_rows())]

    # Results

    def _failed(self, error: Exception, reads: bool) -> StorageError:
        done = "read" if reads else "written"
        message = f"table {self._table.name!r} could not be {done}: {text_of(error)}"
        return StorageError(message, cause=error)

    def _value(self, found: dict[Any, Any], key: Any, default: Any) -> Any:
        """Return the value of `key` as the caller stored it."""
        if not found:
            return default
        return found[key] if self._decode is None else self._decode(found[key])

    def _values(self, found: dict[Any, Any]) -> dict[Any, Any]:
        """Return the values as the caller stored them."""
        decode = self._decode
        if decode is None:
            return found
        return {key: decode(value) for key, value in found.items()}

    def _reading(self, keys: list[Any]) -> Reading:
        """Read the values of `keys`, which do not repeat: yield statements, take their rows."""
        rows = yield [self._text(self._select(batch)) for batch in self._batches(keys)]
        if not _BUFFERS.isdisjoint(type(read) for read, _ in rows):
            rows = [
                (bytes(read) if type(read) in _BUFFERS else read, value) for read, value in rows
            ]
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
                    found.update((yield from self._reading([key])))
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._table.name!r} over {self._pool!r}>"


def checked_path(path: str) -> str:
    """Return the path of an SQLite database that several connections can open."""
    if not path or path == ":memory:":
        raise ValueError(f"path must name a file, got {shown(path)}")
    return path


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
