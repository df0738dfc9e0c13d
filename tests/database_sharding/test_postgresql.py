"""The routers over a real PostgreSQL server: psycopg's connections of both kinds, and asyncpg's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from support import aio, sqlservers
from support.sqlshards import COUNT, f, files, layout_of

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import ShardRouter
from godropbox.database.sharding.aio import AsyncShardRouter

INSERT = sharding.prepare(
    files.insert(f.owner, f.id, f.name).row(sb.slot("owner", int), sb.slot("id", int), "x")
)
BY_OWNER = sharding.prepare(
    files.select(f.id).where(f.owner == sb.slot("owner", int)).order_by(f.id)
)


def where() -> dict[str, Any]:
    server = sqlservers.postgresql()
    return {"host": str(Path(server.socket).parent), "port": server.port, "user": server.user}


@pytest.fixture(autouse=True)
def schemas() -> Iterator[None]:
    with sqlservers.postgresql_connection() as connection:
        for shard in range(COUNT):
            connection.execute(f"DROP SCHEMA IF EXISTS shard_{shard:04} CASCADE")
            connection.execute(f"CREATE SCHEMA shard_{shard:04}")
            connection.execute(
                f"CREATE TABLE shard_{shard:04}.files "
                "(owner INT, id INT, name TEXT, PRIMARY KEY (owner, id))"
            )
        yield
        for shard in range(COUNT):
            connection.execute(f"DROP SCHEMA shard_{shard:04} CASCADE")


def test_psycopg() -> None:
    def connect(host: str) -> Any:
        return psycopg.connect(**where())

    with ShardRouter(layout_of(), connect, "postgresql", timeout=30.0) as router:
        for owner in range(10):
            assert router.execute(INSERT(owner=owner, id=1), owner) == 1
        assert router.fetch(BY_OWNER(owner=7), 7) == [(1,)]
        with pytest.raises(sharding.ConstraintError, match="UniqueViolation 23505") as caught:
            router.execute(INSERT(owner=7, id=1), 7)
        assert caught.value.code == "23505"

        def fails() -> None:
            with router.transaction(7) as tx:
                tx.execute(INSERT(owner=7, id=2))
                tx.execute(INSERT(owner=7, id=1))

        with pytest.raises(sharding.ConstraintError):
            fails()
        # After an error PostgreSQL answers COMMIT with a ROLLBACK.
        with (  # noqa: PT012
            pytest.raises(sharding.StatementError, match="was ended by UniqueViolation 23505; no"),
            router.transaction(7) as tx,
        ):
            tx.execute(INSERT(owner=7, id=2))
            with pytest.raises(sharding.ConstraintError):
                tx.execute(INSERT(owner=7, id=1))
        with router.transaction(7) as tx:
            tx.execute(INSERT(owner=7, id=3))
            tx.run(lambda database: "SAVEPOINT here")
            with pytest.raises(sharding.ConstraintError):
                tx.execute(INSERT(owner=7, id=1))
            with pytest.raises(sharding.StatementError, match=r"^SELECT .* was not done: the tran"):
                tx.fetch(BY_OWNER(owner=7))
            tx.run(lambda database: "ROLLBACK TO here")
        assert router.fetch(BY_OWNER(owner=7), 7) == [(1,), (3,)]
        with (
            pytest.raises(sharding.ReadOnlyHostError),
            router.transaction(7, read_only=True) as tx,
        ):
            tx.execute(INSERT(owner=7, id=4))
        rows = router.scatter(files.select(f.owner).order_by(f.owner.desc()).limit(3)).rows()
        assert rows == [(9,), (8,), (7,)]
        with pytest.raises(sharding.StatementTimeoutError, match="did not end in time"):
            router.fetch(files.select(sb.raw("pg_sleep(30)")), 7, timeout=0.3)
        assert router.token(7).position.count("/") == 1
        opened = router.stats()
        assert sum(stats.active for stats in opened.values()) == 0


def limit_of(tx: Any) -> str:
    return str(tx.run(lambda _: "SHOW statement_timeout").rows[0][0])


def test_what_is_rolled_back_leaves_no_limit_of_time() -> None:
    def connect(host: str) -> Any:
        return psycopg.connect(**where())

    def fails() -> None:
        with router.transaction(7, timeout=200.0) as tx:
            assert tx.fetch(BY_OWNER(owner=7)) == []
            raise KeyError

    with ShardRouter(layout_of(), connect, "postgresql", timeout=200.0) as router:
        router.fetch(BY_OWNER(owner=7), 7, timeout=90.0)
        with pytest.raises(KeyError):
            fails()
        shown = router.run(lambda _: "SHOW statement_timeout", 7, read=True)
        assert shown.rows == [("200s",)]
        with router.transaction(7, timeout=200.0) as tx:
            tx.execute(INSERT(owner=7, id=1))
            tx.run(lambda database: "SAVEPOINT here")
            late = tx._deadline
            assert late is not None
            tx._deadline = late + 100.0  # as after a while
            tx.fetch(BY_OWNER(owner=7))
            with pytest.raises(sharding.ConstraintError):
                tx.execute(INSERT(owner=7, id=1))
            tx._deadline = late
            tx.run(lambda database: "ROLLBACK TO here")
            assert limit_of(tx) == "200s"
        assert router.fetch(BY_OWNER(owner=7), 7) == [(1,)]


def test_what_is_rolled_back_leaves_no_limit_of_time_under_asyncio() -> None:
    async def connect(host: str) -> Any:
        return await psycopg.AsyncConnection.connect(**where())

    async def fails(router: AsyncShardRouter) -> None:
        async with router.transaction(7, timeout=200.0) as tx:
            assert await tx.fetch(BY_OWNER(owner=7)) == []
            raise KeyError

    async def whole() -> None:
        async with AsyncShardRouter(layout_of(), connect, "postgresql", timeout=200.0) as router:
            await router.fetch(BY_OWNER(owner=7), 7, timeout=90.0)
            with pytest.raises(KeyError):
                await fails(router)
            shown = await router.run(lambda _: "SHOW statement_timeout", 7, read=True)
            assert shown.rows == [("200s",)]
            async with router.transaction(7, timeout=200.0) as tx:
                await tx.execute(INSERT(owner=7, id=1))
                await tx.run(lambda database: "SAVEPOINT here")
                with pytest.raises(sharding.ConstraintError):
                    await tx.execute(INSERT(owner=7, id=1))
                assert tx._deadline is not None
                tx._deadline -= 100.0
                await tx.run(lambda database: "ROLLBACK TO here")
            assert await router.fetch(BY_OWNER(owner=7), 7) == [(1,)]

    aio.run(whole())


@pytest.mark.parametrize("engine", ["postgresql", "asyncpg"])
def test_asyncio(engine: str) -> None:
    async def connect(host: str) -> Any:
        if engine == "asyncpg":
            return await asyncpg.connect(**where())
        return await psycopg.AsyncConnection.connect(**where())

    async def whole() -> None:
        async with AsyncShardRouter(layout_of(), connect, engine, timeout=30.0) as router:
            for owner in range(10):
                assert await router.execute(INSERT(owner=owner, id=1), owner) == 1
            assert await router.fetch(BY_OWNER(owner=7), 7) == [(1,)]
            with pytest.raises(sharding.ConstraintError, match=r"UniqueViolation\w* 23505"):
                await router.execute(INSERT(owner=7, id=1), 7)

            async def fails() -> None:
                async with router.transaction(7) as tx:
                    await tx.execute(INSERT(owner=7, id=2))
                    await tx.execute(INSERT(owner=7, id=1))

            with pytest.raises(sharding.ConstraintError):
                await fails()

            async def goes_on() -> None:
                async with router.transaction(7) as tx:
                    await tx.execute(INSERT(owner=7, id=2))
                    with pytest.raises(sharding.ConstraintError):
                        await tx.execute(INSERT(owner=7, id=1))

            with pytest.raises(sharding.StatementError, match=r"^COMMIT .* was ended by Unique"):
                await goes_on()
            async with router.transaction(7) as tx:
                await tx.execute(INSERT(owner=7, id=3))
            assert await router.fetch(BY_OWNER(owner=7), 7) == [(1,), (3,)]
            removed = await router.run(files.delete().where(f.owner == 7).returning(f.id), 7)
            assert sorted(removed.rows) == [(1,), (3,)]
            found = await router.scatter(files.select(f.owner).order_by(f.owner.desc()).limit(3))
            assert found.rows() == [(9,), (8,), (6,)]
            with pytest.raises(sharding.StatementTimeoutError):
                await router.fetch(files.select(sb.raw("pg_sleep(30)")), 8, timeout=0.3)
            assert await router.fetch(BY_OWNER(owner=8), 8) == [(1,)]

    aio.run(whole())
