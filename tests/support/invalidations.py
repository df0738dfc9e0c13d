"""Events of a made-up log, and what follows it, for the tests of caches that follow one."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from godropbox.database import binlog
from godropbox.database.binlog import MariaDBGtid, MariaDBGtidSet, Position

COLUMNS = ("id", "name", "team")


def head(kind: int = 0) -> dict[str, Any]:
    return {"type": kind, "timestamp": 1, "server_id": 1, "position": None}


class Log:
    """A log of transactions, each of which gets the next GTID; iterate over it once, either way.

    It stands for what ``binlog.connect`` and ``binlog.aio.connect`` return.
    """

    def __init__(self, *transactions: Iterable[Any], start: int = 0) -> None:
        self._transactions = transactions
        self._start = start
        self.gtids: MariaDBGtidSet | None = None
        self.resume: Position | None = None
        if start:
            self.gtids = MariaDBGtidSet().add(MariaDBGtid(0, 1, start))
        self._events = self._made()

    def _made(self) -> Iterator[Any]:
        for number, transaction in enumerate(self._transactions, self._start + 1):
            gtid = MariaDBGtid(0, 1, number)
            events = list(transaction)
            if not events or not isinstance(events[-1], (binlog.Query, binlog.XaPrepare)):
                events.append(binlog.Commit(xid=number, gtid=gtid, **head(16)))
            for event in events[:-1]:
                if isinstance(event, BaseException):
                    raise event
                yield event
            self.gtids = (self.gtids or MariaDBGtidSet()).add(gtid)
            self.resume = Position("log", number)
            yield events[-1]

    def __iter__(self) -> Iterator[Any]:
        return self._events

    async def __aiter__(self) -> AsyncIterator[Any]:
        for event in self._events:
            await asyncio.sleep(0)
            yield event


def insert(*row: Any, table: str = "users", columns: Any = COLUMNS) -> binlog.Rows:
    return _rows("insert", [row], table, columns)


def delete(*row: Any, table: str = "users", columns: Any = COLUMNS) -> binlog.Rows:
    return _rows("delete", [row], table, columns)


def update(before: Any, after: Any, *, table: str = "users", columns: Any = COLUMNS) -> binlog.Rows:
    return _rows("update", [(before, after)], table, columns)


def _rows(kind: Any, rows: list[Any], table: str, columns: Any) -> binlog.Rows:
    return binlog.Rows(
        kind=kind,
        database="shop",
        table=table,
        columns=columns,
        rows=rows,
        gtid=None,
        **head(23),
    )


def changed(database: str | None = "shop", table: str | None = "users") -> binlog.Changed:
    return binlog.Changed(database=database, table=table, reason="TRUNCATE", gtid=None, **head(2))


def query(statement: str) -> binlog.Query:
    return binlog.Query(database="shop", statement=statement, error=0, gtid=None, **head(2))


def prepare(xid: bytes) -> binlog.XaPrepare:
    return binlog.XaPrepare(xid=xid, one_phase=False, gtid=None, **head(38))
