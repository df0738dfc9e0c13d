"""The router for asyncio over aiosqlite, and over drivers that misbehave."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from support import aio
from support.sqlshards import (
    COUNT,
    AsyncConnection,
    AsyncFakeDriver,
    SqliteHosts,
    f,
    files,
    layout_of,
)

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import HostGroup
from godropbox.database.sharding.aio import AsyncShardRouter
from godropbox.database.sharding.aio._connections import AsyncConnection as Connection
from godropbox.resource_pool import PoolExhaustedError

INSERT = sharding.prepare(
    files.insert(f.owner, f.id, f.name).row(sb.slot("owner", int), sb.slot("id", int), "x")
)
BY_OWNER = sharding.prepare(files.select(f.id).where(f.owner == sb.slot("owner", int)))
KEY = next(key for key in range(100) if layout_of().shard_of(key) == 1)
READ = files.select(f.id)
ENDLESS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


@dataclass
class Owned:
    owner: int
    id: int


Test = Callable[[AsyncShardRouter, SqliteHosts], Coroutine[Any, Any, None]]


def on_sqlite(tmp_path: Path, loop: str, test: Test, **options: Any) -> None:
    """Run a test with a router over files."""
    hosts = SqliteHosts(tmp_path, "a", "b")

    async def connect(host: str) -> aiosqlite.Connection:
        hosts.opened.append(host)
        connection = await aiosqlite.connect(
            ":memory:", isolation_level=None, timeout=30, check_same_thread=False
        )
        for name, path in hosts.paths(host):
            await connection.execute(f"ATTACH '{path}' AS {name}")
            await connection.execute(f"PRAGMA {name}.synchronous=OFF")
        return connection

    async def whole() -> None:
        async with AsyncShardRouter(layout_of(), connect, "sqlite", **options) as router:
            await test(router, hosts)

    aio.run(whole(), loop)


def on_fake(driver: AsyncFakeDriver, loop: str, test: Any, **options: Any) -> None:
    layout = options.pop("layout", layout_of())

    async def whole() -> None:
        async with AsyncShardRouter(layout, driver.dial, "mariadb", **options) as router:
            await test(router)

    aio.run(whole(), loop)


def test_statements_and_transactions(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        for owner in range(20):
            assert await router.execute(INSERT(owner=owner, id=1), owner) == 1
        assert await router.fetch(BY_OWNER(owner=7), 7) == [(1,)]
        found = await router.run(files.select(f.id), KEY)
        assert (found.shard, found.host) == (1, "a")
        with pytest.raises(sharding.ConstraintError, match=r"^INSERT on shard") as caught:
            await router.execute(INSERT(owner=7, id=1), 7)
        assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
        async with router.transaction(7) as tx:
            assert tx.holds(7)
            await tx.execute(INSERT(owner=7, id=2))
            assert sorted(await tx.fetch(BY_OWNER(owner=7))) == [(1,), (2,)]

        async def fails() -> None:
            async with router.transaction(7) as tx:
                await tx.execute(files.delete().where(f.owner == 7))
                raise KeyError

        with pytest.raises(KeyError):
            await fails()
        assert sorted(await router.fetch(BY_OWNER(owner=7), 7)) == [(1,), (2,)]
        assert sorted(set(hosts.opened)) == ["a", "b"]
        assert len(hosts.opened) == 2
        assert await router.run_on(files.select(f.id), 0)
        with pytest.raises(ValueError, match="sqlite has no positions"):
            await router.token(7)

    on_sqlite(tmp_path, loop, test)


def test_scattered_reads(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        await asyncio.gather(
            *[router.execute(INSERT(owner=owner, id=1), owner) for owner in range(20)]
        )
        query = files.select(f.owner).order_by(f.owner.desc()).limit(5).offset(1)
        assert (await router.scatter(query)).rows() == [(18,), (17,), (16,), (15,), (14,)]
        many = sharding.prepare(
            files.select(f.owner).where(f.owner.in_(sb.slot("owners", int, many=True)))
        )
        assert sorted((await router.scatter(many, keys=[3, 4, 99])).rows()) == [(3,), (4,)]
        counts = await router.scatter(files.select(sb.count()), merge=False)
        assert sum(rows[0][0] for rows in counts.by_shard.values()) == 20
        made = await router.each(lambda database: f"CREATE TABLE {database}.more (id INT)")
        assert set(made.results) == set(range(COUNT))
        with pytest.raises(TypeError):
            await router.scatter(lambda keys: 5, keys=[1])

    on_sqlite(tmp_path, loop, test)


def test_deadlines_and_cancellation(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        await router.execute(INSERT(owner=KEY, id=1), KEY)
        with pytest.raises(sharding.StatementTimeoutError, match="did not end in time"):
            await router.fetch(lambda database: ENDLESS, KEY, read=True, timeout=0.5)
        task = asyncio.ensure_future(
            router.fetch(lambda database: ENDLESS, KEY, read=True, timeout=None)
        )
        while router.stats()["a"].active == 0:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def transact() -> None:
            async with router.transaction(KEY, timeout=0.5) as tx:
                await tx.execute(files.delete().where(f.owner == KEY))
                await tx.fetch(lambda database: ENDLESS)

        with pytest.raises(sharding.StatementTimeoutError):
            await transact()
        assert await router.fetch(BY_OWNER(owner=KEY), KEY) == [(1,)]
        assert router.stats()["a"].active == 0

    on_sqlite(tmp_path, loop, test)


def test_what_begins_after_it_was_interrupted_is_interrupted_again(
    tmp_path: Path, loop: str
) -> None:
    """A deadline that comes while aiosqlite's thread has something else to do first."""
    go_on = threading.Event()

    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        await router.fetch(READ, KEY)
        pool = router._fleet.pools["a"]
        loan = pool.get_idle()
        raw = loan.handle.raw
        cursor = await raw.cursor()
        before = asyncio.ensure_future(raw._execute(go_on.wait, 30))
        running = asyncio.ensure_future(cursor.execute(ENDLESS))
        await asyncio.sleep(0)  # both are in its queue
        running.cancel()
        loan.handle.uses = -1
        loan.discard()
        await asyncio.sleep(0.01)
        go_on.set()
        assert await before
        await asyncio.wait([running])
        while raw._connection is not None:
            await asyncio.sleep(0.001)
        assert await router.fetch(READ, KEY) == []

    on_sqlite(tmp_path, loop, test)


def test_moves_under_load_lose_and_double_nothing(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        stop = asyncio.Event()
        written: list[tuple[int, int]] = []

        async def write(task: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                owner = task * 1000 + number % 50
                assert await router.execute(INSERT(owner=owner, id=number), owner) == 1
                written.append((owner, number))
                await asyncio.sleep(0.002)

        writers = [asyncio.ensure_future(write(n)) for n in range(8)]
        for shard in range(COUNT):
            old = router.layout.home(shard)
            new = "b" if old == "a" else "a"
            assert await router.update(router.layout.read_only(shard)) == [shard]
            await asyncio.to_thread(hosts.copy, shard, old, new)
            assert await router.update(router.layout.move(shard, new)) == [shard]
        stop.set()
        await asyncio.gather(*writers)
        found = []
        for shard in range(COUNT):
            home, other = ("a", "b") if router.layout.home(shard) == "a" else ("b", "a")
            assert hosts.rows(other, shard) == []
            found += [(owner, number) for owner, number, _ in hosts.rows(home, shard)]
        assert sorted(found) == sorted(written)

    on_sqlite(tmp_path, loop, test, read_only_wait=60.0, timeout=60.0)


def test_who_waits_for_whom(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        old = router.layout
        async with router.transaction(KEY) as tx:
            await tx.execute(INSERT(owner=KEY, id=1))
            with pytest.raises(sharding.DrainTimeoutError, match="the old layout holds"):
                await router.update(old.move(1, "b"), timeout=0.02)
            assert router.layout is old
        await router.update(old.read_only(1))
        with pytest.raises(sharding.ShardReadOnlyError):
            await router.execute(INSERT(owner=KEY, id=2), KEY)
        async with router.transaction(KEY, read_only=True) as tx:
            assert await tx.fetch(BY_OWNER(owner=KEY)) == [(1,)]
        with pytest.raises(sharding.StaleLayoutError):
            await router.update(old)
        await router.update(router.layout.move("0-3", "b").without_group("a"))
        assert set(router.stats()) == {"b"}

    on_sqlite(tmp_path, loop, test)


def test_lost_connections(loop: str) -> None:
    driver = AsyncFakeDriver()
    lost: list[str] = []

    def answer(host: str, text: str) -> Any:
        if lost and lost[0] in text:
            lost.pop()
            raise driver.OperationalError(2013, "lost")
        return [(host,)]

    driver.answer = answer

    async def test(router: AsyncShardRouter) -> None:
        assert await router.fetch(READ, KEY) == [("a",)]
        lost.append("SELECT")
        assert await router.fetch(READ, KEY) == [("a",)]
        assert driver.opened == ["a", "a"]
        lost.append("UPDATE")
        with pytest.raises(sharding.HostLostError, match="whether it was done is not known") as e:
            await router.execute(files.update().values(name="x").all_rows(), KEY)
        assert e.value.maybe_done
        await router.fetch(READ, KEY)
        lost.append("START")
        async with router.transaction(KEY) as tx:
            assert await tx.fetch(READ) == [("a",)]
        driver.refused.add("b")
        found = await router.scatter(READ)
        assert set(found.errors) == {4, 5, 6, 7}
        with pytest.raises(sharding.ScatterError):
            found.rows()
        slow = sb.raw("SLEEP(9)")
        late = await router.scatter(files.select(slow, f.id), timeout=0.05, shards=[1])
        assert isinstance(late.errors[1], sharding.StatementTimeoutError)
        while router.stats()["a"].active:
            await asyncio.sleep(0.001)

    on_fake(driver, loop, test)


def test_replicas_sessions_and_tokens(loop: str) -> None:
    driver = AsyncFakeDriver()
    position = {"a": 1, "r1": 1}
    now = [100.0]

    def answer(host: str, text: str) -> Any:
        if "gtid_" in text:
            return [(f"0-1-{position[host]}",)]
        if "GTID_WAIT" in text:
            return [(0 if position["r1"] >= position["a"] else -1,)]
        if text.startswith("SET STATEMENT") and "UPDATE" in text:
            position["a"] += 1
            return None
        return [(host,)]

    driver.answer = answer
    write = files.update().values(name="x").all_rows()

    async def test(router: AsyncShardRouter) -> None:
        assert await router.fetch(READ, KEY) == [("a",)]
        await router.measure()
        assert await router.fetch(READ, KEY) == [("r1",)]
        session = router.session()
        now[0] += 1.0
        await session.execute(write, KEY)
        assert await session.fetch(READ, KEY) == [("a",)]
        token = await router.token(KEY)
        assert token == sharding.Token("a", "0-1-2")
        assert await router.fetch(READ, KEY, token=token) == [("a",)]
        position["r1"] = 2
        assert await router.fetch(READ, KEY, token=token) == [("r1",)]
        now[0] += 0.1
        await router.measure()
        assert await session.fetch(READ, KEY) == [("r1",)]
        async with session.transaction(KEY) as tx:
            await tx.execute(write)
        assert await session.fetch(READ, KEY) == [("a",)]
        now[0] += 9.0
        assert await router.fetch(READ, KEY) == [("a",)]
        # A shard that has just come is not on the replica yet.
        await router.measure()
        assert await router.fetch(READ, KEY) == [("a",)]
        position["r1"] = position["a"]
        await router.measure()
        assert await router.fetch(READ, KEY) == [("r1",)]
        await router.update(router.layout.move(5, "a"))
        assert await router.fetch(READ, KEY) == [("r1",)]
        assert (await router.run_on(READ, 5)).rows == [("a",)]
        now[0] += 0.1
        await router.measure()
        assert (await router.run_on(READ, 5)).rows == [("r1",)]
        await router.update(router.layout.with_group("a", HostGroup("a")))
        assert set(router.stats()) == {"a", "b"}

    on_fake(driver, loop, test, layout=layout_of("r1"), measure_every=0.0, clock=lambda: now[0])


def test_a_task_measures(loop: str) -> None:
    driver = AsyncFakeDriver(lambda host, text: [("0-1-1",)] if "gtid" in text else [(host,)])

    async def test(router: AsyncShardRouter) -> None:
        while router.staleness()["r1"] is None:
            await asyncio.sleep(0.005)
        assert await router.fetch(READ, KEY) == [("r1",)]

    on_fake(driver, loop, test, layout=layout_of("r1"), measure_every=0.01, timeout=None)


def test_a_replica_that_hangs_makes_no_other_stale(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("godropbox.database.sharding.aio._TRIAL", 60.0)  # r1 is not given up
    driver = AsyncFakeDriver(lambda host, text: [("0-1-1",)] if "gtid" in text else [(host,)])
    driver.hang.add("r1")

    async def test(router: AsyncShardRouter) -> None:
        until = asyncio.get_running_loop().time() + 25
        while len([each for each in driver.log if each[0] == "r2"]) < 3:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.005)
        assert router.staleness()["r1"] is None

    on_fake(driver, loop, test, layout=layout_of("r1", "r2"), measure_every=0.01, timeout=None)


def test_a_connection_that_would_begin_transactions_is_refused(tmp_path: Path, loop: str) -> None:
    async def connect(host: str) -> Any:
        return await aiosqlite.connect(":memory:")

    async def whole() -> None:
        async with AsyncShardRouter(layout_of(), connect, "sqlite") as router:
            with pytest.raises(ValueError, match="isolation_level=None"):
                await router.fetch(READ, KEY)

    aio.run(whole(), loop)
    with pytest.raises(TypeError, match="connect must be a function"):
        AsyncShardRouter(layout_of(), "x", "sqlite")  # type: ignore[arg-type]


def test_a_closed_router_raises(loop: str) -> None:
    async def whole() -> None:
        router = AsyncShardRouter(layout_of(), AsyncFakeDriver().dial, "mysql")
        await router.fetch(READ, KEY)
        await router.close()
        with pytest.raises(sharding.RouterClosedError):
            await router.fetch(READ, KEY)
        with pytest.raises(sharding.RouterClosedError):
            await router.update(layout_of())

    aio.run(whole(), loop)


def test_records_of_functions_and_scattered_writes(tmp_path: Path, loop: str) -> None:
    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        for owner in (3, 9):
            await router.execute(INSERT(owner=owner, id=1), owner)
        query = files.select(f.owner, f.id).order_by(f.owner.desc()).limit(1)
        prepared = sharding.prepare(query, query.records(Owned))
        assert (await router.scatter(prepared())).rows() == [Owned(9, 1)]
        assert (await router.scatter(lambda database: prepared())).rows() == [Owned(9, 1)]
        assert (await router.scatter(lambda database: query)).rows() == [(9, 1)]
        for write in (
            files.delete().all_rows(),
            lambda database: f"DELETE FROM {database}.files",
        ):
            with pytest.raises(TypeError, match="a scattered query must read"):
                await router.scatter(write)

    on_sqlite(tmp_path, loop, test)


def test_what_a_deadlock_ended_is_not_committed_in_asyncio(loop: str) -> None:
    driver = AsyncFakeDriver()

    def answer(host: str, text: str) -> Any:
        if "UPDATE" in text:
            raise driver.OperationalError(1213, "Deadlock found")
        return [(host,)]

    driver.answer = answer
    ended = "was not done: the transaction was ended by OperationalError 1213"

    async def block(router: Any) -> None:
        async with router.transaction(KEY) as tx:
            with pytest.raises(sharding.StatementError, match="was refused"):
                await tx.execute(files.update().values(name="x").all_rows())
            with pytest.raises(sharding.StatementError, match=rf"^SELECT .* {ended}"):
                await tx.fetch(READ)

    async def test(router: Any) -> None:
        with pytest.raises(sharding.StatementError, match=rf"^COMMIT .* {ended}"):
            await block(router)
        assert driver.texts()[-1] == "ROLLBACK"
        assert "COMMIT" not in driver.texts()
        assert router.stats()["a"].active == 0

    on_fake(driver, loop, test)


def test_sqlite_may_roll_back_by_itself_in_asyncio(tmp_path: Path, loop: str) -> None:
    async def block(router: Any) -> None:
        async with router.transaction(KEY) as tx:
            await tx.execute(files.insert(f.owner, f.id, f.name).row(1, 2, "x"))
            with pytest.raises(sharding.ConstraintError):
                await tx.run(lambda d: f"INSERT OR ROLLBACK INTO {d}.files VALUES (1, 1, '')")

    async def test(router: Any, hosts: SqliteHosts) -> None:
        await router.execute(files.insert(f.owner, f.id, f.name).row(1, 1, "x"), KEY)
        with pytest.raises(sharding.StatementError, match="was ended by"):
            await block(router)
        assert [row[1] for row in hosts.rows("a", 1)] == [1]

    on_sqlite(tmp_path, loop, test)


def test_an_update_waits_for_a_write_that_was_broken_off(loop: str) -> None:
    driver = AsyncFakeDriver()
    driver.numbers = True
    still = [1, 0, 1, 0]

    def answer(host: str, text: str) -> Any:
        if "UPDATE" in text:
            raise driver.OperationalError(2013, "lost")
        return [(still.pop(0),)] if "PROCESSLIST" in text else [(host,)]

    driver.answer = answer

    async def test(router: AsyncShardRouter) -> None:
        with pytest.raises(sharding.HostLostError):
            await router.execute(files.update().values(name="x").all_rows(), KEY)
        assert router._gates.writers == {1: 1}
        assert await router.update(router.layout.read_only(1)) == [1]
        assert still == [1, 0]
        assert "KILL 1" in driver.texts()
        await router.update(router.layout.writable(1))
        slow = files.update().values(name=sb.raw("SLEEP(30)")).all_rows()
        for how in ("late", "cancelled"):
            still[:] = [1, 0]
            timeout = 0.02 if how == "late" else None
            task = asyncio.ensure_future(router.execute(slow, KEY, timeout=timeout))
            if how == "cancelled":
                while not any("SLEEP" in text for text in driver.began):
                    await asyncio.sleep(0.001)
                task.cancel()
            with pytest.raises((sharding.StatementTimeoutError, asyncio.CancelledError)):
                await task
            driver.began.clear()
            assert await router.update(router.layout.read_only(1)) == [1]
            assert still == []
            await router.update(router.layout.writable(1))
        assert not router._gates.writers

    on_fake(driver, loop, test)


def test_a_transaction_past_its_deadline_is_not_committed(tmp_path: Path, loop: str) -> None:
    async def block(router: AsyncShardRouter) -> None:
        async with router.transaction(KEY, timeout=0.2) as tx:
            await tx.execute(INSERT(owner=1, id=1))
            await asyncio.sleep(0.21)

    async def test(router: AsyncShardRouter, hosts: SqliteHosts) -> None:
        await router.fetch(READ, KEY)
        with pytest.raises(sharding.StatementTimeoutError, match=r"^COMMIT .* was not sent") as e:
            await block(router)
        assert not e.value.maybe_done
        assert hosts.rows("a", 1) == []
        assert router.stats()["a"].active == 0

    on_sqlite(tmp_path, loop, test)


def test_no_connection_free_is_no_lost_host(loop: str) -> None:
    driver = AsyncFakeDriver(lambda host, text: [("0-1-1",)] if "gtid" in text else [(host,)])

    async def test(router: AsyncShardRouter) -> None:
        await router.measure()
        loan = await router._fleet.pools["r1"].get()
        for timeout in (0.02, 0.03, 0.04):
            with pytest.raises(
                PoolExhaustedError, match="got no connection: 1 handles to 'r1' are"
            ):
                await router.fetch(READ, KEY, timeout=timeout)
        assert router.down() == []
        loan.release()

    on_fake(driver, loop, test, layout=layout_of("r1"), connections=1, measure_every=0.0)


def test_a_connection_that_is_not_set_up_in_time_is_closed(loop: str) -> None:
    driver = AsyncFakeDriver()

    class Frozen(AsyncConnection):
        async def autocommit(self, value: bool) -> None:
            await asyncio.sleep(30)

    async def dial(host: str) -> Any:
        return Frozen(driver.connect(host))

    async def whole() -> None:
        async with AsyncShardRouter(
            layout_of(), dial, "mariadb", timeout=None, connect_timeout=0.02
        ) as router:
            with pytest.raises(
                sharding.HostLostError, match=r"no connection to a \(TimeoutError\)"
            ):
                await router.fetch(READ, KEY)
            assert driver.closed == ["a"]

    aio.run(whole(), loop)


def test_a_rollback_has_the_calls_deadline(loop: str) -> None:
    driver = AsyncFakeDriver()

    class Frozen(AsyncConnection):
        async def rollback(self) -> None:
            await asyncio.sleep(30)

    async def dial(host: str) -> Any:
        return Frozen(driver.connect(host))

    async def whole() -> None:
        async with AsyncShardRouter(layout_of(), dial, "mariadb") as router:
            await router.fetch(READ, KEY)
            with pytest.raises(sharding.StatementTimeoutError, match="whether it was done is not"):
                await router.run(lambda _: "UPDATE t SET a = 1", KEY, timeout=0.5)
            while router.stats()["a"].active or not driver.closed:  # a task closes it
                await asyncio.sleep(0.001)

    aio.run(whole(), loop)


def test_a_closed_router_measures_nothing(loop: str) -> None:
    driver = AsyncFakeDriver()

    async def whole() -> None:
        router = AsyncShardRouter(layout_of("r1"), driver.dial, "mariadb")
        await router.close()
        with pytest.raises(sharding.RouterClosedError):
            await router.fetch(READ, KEY)
        assert router._monitors == {}

    aio.run(whole(), loop)


def test_mistakes_of_several_hosts_are_all_taken(loop: str) -> None:
    driver = AsyncFakeDriver()
    told: list[Any] = []

    def wrong(database: str) -> Any:
        raise KeyError(database)

    async def test(router: AsyncShardRouter) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with pytest.raises(KeyError):
            await router.each(wrong)
        gc.collect()
        await asyncio.sleep(0)

    on_fake(driver, loop, test)
    assert told == []


def test_what_asyncpg_returns() -> None:
    asked: list[str] = []

    class Raw:
        fetchrow = None

        async def fetch(self, text: str, *values: Any) -> list[Any]:
            asked.append("fetch")
            return []

        async def execute(self, text: str, *values: Any) -> str:
            asked.append("execute")
            return "UPDATE 3"

    async def whole() -> None:
        connection = Connection(Raw())
        for text, how, count in (
            ("UPDATE t SET a = 'x RETURNING y'", "execute", 3),
            ("UPDATE t SET a = 1", "execute", 3),
            ("DELETE FROM t\nreturning id", "fetch", 0),
            ("WITH x AS (SELECT 1) UPDATE t SET a = 1", "fetch", -1),
            ("SELECT 1", "fetch", 0),
        ):
            assert (await connection.execute(text, None))[1] == count, text
            assert asked.pop() == how, text

    asyncio.run(whole())
