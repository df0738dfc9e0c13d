"""A storage in a table of an SQL database, over connections of an asyncio driver."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Unpack

from ...errors import DropboxError
from ...resource_pool import PoolOptions, PoolOverrides
from ...resource_pool.aio import AsyncResourcePool
from .._sqltable import Reading, Rows, SqlTable, Texts, checked_path

__all__ = ["AsyncSqlStorage", "async_sqlite_pool"]


class _Overrides(PoolOverrides, total=False):
    timeout: float | None


def async_sqlite_pool(
    path: str, *, busy_timeout: float = 5.0, **options: Unpack[_Overrides]
) -> AsyncResourcePool:
    """Return a pool of ``aiosqlite`` connections to the SQLite database in the file `path`.

    `busy_timeout` is how many seconds a statement waits for another connection's lock; `options`
    are those of ``PoolOptions``. A database in memory belongs to one connection and cannot be
    pooled.
    """
    import aiosqlite

    async def connect(location: str) -> aiosqlite.Connection:
        return await aiosqlite.connect(location, timeout=busy_timeout)

    async def close(connection: aiosqlite.Connection) -> None:
        # A cursor that something still refers to, such as the traceback of a cancellation, would
        # keep the connection's locks after it is closed.
        try:
            await connection.rollback()
        finally:
            await connection.close()

    return AsyncResourcePool(PoolOptions(open=connect, close=close, **options), checked_path(path))


class AsyncSqlStorage(SqlTable):
    """Keeps values in `table`, as ``caching.SqlStorage`` does and with its options.

    `pool` is an ``AsyncResourcePool`` of connections, or a function that returns an asynchronous
    context manager of a connection, such as ``acquire`` of a driver's own pool. The connections are
    those of ``aiosqlite`` by default; for ``asyncmy`` and ``aiomysql`` give `dialect` ``"mysql"``
    or ``"mariadb"`` and `paramstyle` ``"format"``, for ``psycopg`` give ``"postgresql"`` and
    ``"format"``.

    The driver's exceptions are the cause of a ``StorageError``. Then, and when the caller is
    cancelled in the middle, the connection is closed; a set or delete may be done or not.
    """

    __slots__ = ()

    def _checked_pool(self, pool: Any) -> Any:
        if isinstance(pool, AsyncResourcePool) or callable(pool):
            return pool
        raise TypeError(
            "pool must be an AsyncResourcePool, or a function that returns an asynchronous context"
            f" manager, got {type(pool).__name__}"
        )

    async def _run(self, texts: Texts, reads: bool = False) -> Rows:
        """Execute statements in one transaction; return their rows, if any."""
        rows: Rows = []
        if not texts:
            return rows
        pool = self._pool
        borrow = pool.handle if isinstance(pool, AsyncResourcePool) else pool
        async with borrow() as connection:
            try:
                cursor = await _result(connection.cursor())
                try:
                    for text, parameters in texts:
                        await _result(cursor.execute(text, parameters))
                        if reads:
                            rows += await _result(cursor.fetchall())
                except Exception:
                    with suppress(Exception):
                        await _result(cursor.close())
                    raise
                # Not after a cancellation, which it could delay and replace.
                await _result(cursor.close())
                if not self._autocommit:
                    await _result(connection.commit())
            except DropboxError:
                raise
            except Exception as error:
                raise self._failed(error, reads) from error
        return rows

    async def _read(self, reading: Reading) -> dict[Any, Any]:
        """Run a reading to its end; return the values by key."""
        texts = next(reading)
        while True:
            rows = await self._run(texts, reads=True)
            try:
                texts = reading.send(rows)
            except StopIteration as end:
                found: dict[Any, Any] = end.value
                return found

    async def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return self._value(await self._read(self._reading([key])), key, default)

    async def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        return self._values(await self._read(self._reading(list(dict.fromkeys(keys)))))

    async def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        await self._run(self._upserts({key: value}))

    async def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        await self._run(self._upserts(items))

    async def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        await self._run(self._deletes([key]))

    async def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        await self._run(self._deletes(keys))

    async def flush(self) -> None:
        """Delete every row."""
        await self._run(self._delete_all())


async def _result(called: Any) -> Any:
    """Return what a driver's method returned; the drivers differ in which are async."""
    return await called if isawaitable(called) else called
