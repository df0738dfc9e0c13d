"""Connections of asyncio drivers, which differ in how a statement is run; no loop is needed."""

import re
from inspect import isawaitable
from time import monotonic
from typing import Any, Final

from .._engines import ENGINES
from .._statements import kind_of

__all__ = ["AsyncConnection", "awaited", "commits_each"]

_RETURNING: Final = re.compile(r"\bRETURNING\b", re.IGNORECASE)
_YIELD_ROWS: Final = frozenset(["EXPLAIN", "SELECT", "SHOW", "TABLE", "VALUES", "WITH"])


async def awaited(value: Any) -> Any:
    return await value if isawaitable(value) else value


class AsyncConnection:
    """A pooled connection, its driver's way to run a statement, and what the router did with it."""

    __slots__ = ("execute", "limit", "opened", "raw", "uses")

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.execute = self._by_asyncpg if hasattr(raw, "fetchrow") else self._by_cursor
        self.uses = 0
        self.opened = monotonic()
        self.limit: str | None = None  # the statement that set its time limit

    async def _by_cursor(self, text: str, parameters: Any) -> tuple[list[Any], int, Any]:
        cursor = await awaited(self.raw.cursor())
        if parameters is None:
            await cursor.execute(text)  # or drivers would look for parameters in it
        else:
            await cursor.execute(text, parameters)
        rows: list[Any] = []
        if cursor.description is not None:
            rows = list(await cursor.fetchall())
        count, last = cursor.rowcount, getattr(cursor, "lastrowid", None)
        await awaited(cursor.close())
        return rows, count, last

    async def _by_asyncpg(self, text: str, parameters: Any) -> tuple[list[Any], int, Any]:
        values = parameters or ()
        word = kind_of(text)
        if word in _YIELD_ROWS or _returns(text):
            rows = [tuple(row) for row in await self.raw.fetch(text, *values)]
            # A WITH may write, and not tell how much.
            return rows, len(rows) if rows or word != "WITH" else -1, None
        said = await self.raw.execute(text, *values)
        last = str(said).rpartition(" ")[2]  # of "INSERT 0 3"
        return [], int(last) if last.isdecimal() else -1, None

    async def say(self, word: str) -> Any:
        """Run a word of a transaction, and return what PostgreSQL says that it did."""
        if hasattr(self.raw, "fetchrow"):
            return await self.raw.execute(word)
        cursor = await awaited(self.raw.cursor())
        await cursor.execute(word)
        said = getattr(cursor, "statusmessage", None)
        await awaited(cursor.close())
        return said

    async def rollback(self) -> None:
        if hasattr(self.raw, "fetchrow"):
            await self.raw.execute("ROLLBACK")
        else:
            await self.raw.rollback()


def _returns(text: str) -> bool:
    """Return whether a write yields rows."""
    if _RETURNING.search(text) is None:
        return False
    return _RETURNING.search(ENGINES["asyncpg"].said(text)) is not None


async def commits_each(connection: Any) -> None:
    """Have the connection commit each statement by itself; drivers differ in how."""
    if hasattr(connection, "fetchrow"):
        return  # asyncpg does
    if hasattr(connection, "isolation_level") and hasattr(connection, "in_transaction"):
        if connection.isolation_level is not None:  # aiosqlite, in a thread of its own
            raise ValueError("connect must pass isolation_level=None to aiosqlite.connect")
        return
    found = getattr(connection, "set_autocommit", None) or connection.autocommit
    await awaited(found(True))
