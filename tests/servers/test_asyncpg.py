"""The paramstyle ``numeric_dollar`` with asyncpg, whose parameters PostgreSQL itself reads."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from support import sqlservers

from godropbox.database import sqlbuilder as sb

people = sb.Table(
    "people",
    sb.IntColumn("id"),
    sb.StrColumn("name", nullable=True),
    sb.DateTimeColumn("born", nullable=True),
    sb.BoolColumn("active"),
)
p = people.c
HOW: Any = {"dialect": "postgresql"}


async def told() -> None:
    server = sqlservers.postgresql()
    connection = await asyncpg.connect(
        host=str(Path(server.socket).parent),
        port=server.port,
        user=server.user,
        database="postgres",
    )
    try:
        await connection.execute(
            "CREATE TEMP TABLE people "
            "(id INT PRIMARY KEY, name TEXT, born TIMESTAMP, active BOOLEAN)"
        )
        insert = people.insert(*people.columns).rows(
            [(1, "it's $1", datetime(2014, 7, 1), True), (2, None, None, False)]
        )
        text, parameters = insert.bind(paramstyle="numeric_dollar", **HOW)
        assert "VALUES ($1,$2,$3,$4), ($5,$6,$7,$8)" in text
        await connection.execute(text, *parameters)
        query = people.select(p.id, p.name).where((p.id == 1) & p.name.in_(["it's $1", "x"]))
        text, parameters = query.bind(None, "numeric_dollar", **HOW)
        assert text.endswith('("people"."id"=$1 AND "people"."name" IN ($2,$3))')
        assert [tuple(row) for row in await connection.fetch(text, *parameters)] == [(1, "it's $1")]
        born = people.select(p.id).where(p.born == sb.slot("born", datetime))
        prepared = born.prepare(paramstyle="numeric_dollar", **HOW)
        text, values = prepared.bind(born=datetime(2014, 7, 1))
        assert [row["id"] for row in await connection.fetch(text, *values)] == [1]
    finally:
        await connection.close()


def test_asyncpg_takes_numbered_parameters() -> None:
    asyncio.run(told())
