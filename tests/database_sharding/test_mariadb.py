"""The routers over real MariaDB servers: replication, dead hosts, moves, deadlines."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomysql
import pytest
from support import aio
from support.sqlfleets import MariaDBFleet, mariadb_fleet, wait_until
from support.sqlshards import f, files

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
# Another connection's port tells which server answered.
WHERE = sb.select(sb.raw("@@port"))


@pytest.fixture(scope="module")
def fleet() -> MariaDBFleet:
    return mariadb_fleet()


@pytest.fixture
def router(fleet: MariaDBFleet) -> Iterator[ShardRouter]:
    for name in ("a", "b"):
        texts = [f"DELETE FROM shard_{shard:04}.files" for shard in range(fleet.shards)]
        fleet.servers[name].execute(*texts)
    with routed(fleet) as made:
        wait_until(lambda: set(fresh(made)) == {"r1", "r2"})
        yield made


def routed(fleet: MariaDBFleet, **options: Any) -> ShardRouter:
    # A busy machine is no failure.
    patient = {"timeout": 60.0, "pool_wait": 60.0}
    more = {"measure_every": 0.05, "max_staleness": 2.0, **patient, **options}
    return ShardRouter(fleet.layout, fleet.connect, "mariadb", **more)


def fresh(router: ShardRouter) -> list[str]:
    """Return the replicas that are fresh enough to be read."""
    found = router.staleness().items()
    return [host for host, age in found if age is not None and age < 1.0]


def stands_still(pid: int) -> bool:
    """Return whether all threads of a process are stopped."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in stats_of(pid)]
    return set(states) == {"T"}


def stats_of(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*/stat"))


def key_on(router: ShardRouter | AsyncShardRouter, home: str, after: int = 0) -> int:
    layout = router.layout
    return next(k for k in range(after, after + 1000) if layout.home(layout.shard_of(k)) == home)


def test_reads_of_replicas_and_of_what_one_wrote(fleet: MariaDBFleet, router: ShardRouter) -> None:
    key = key_on(router, "a")
    read = {router.run(WHERE, key).host for _ in range(6)}
    assert read == {"r1", "r2"}
    assert router.run(WHERE, key).rows[0][0] in (
        fleet.servers["r1"].port,
        fleet.servers["r2"].port,
    )
    # A % in text of the caller's is a %.
    text = "SELECT 'a%', @@port FROM {}.files WHERE name LIKE 'x%'"
    assert router.fetch(lambda database: text.format(database), key, read=True) == []
    session = router.session()
    for number in range(20):
        session.execute(INSERT(owner=key, id=number), key)
        assert len(session.fetch(BY_OWNER(owner=key), key)) == number + 1
    with fleet.paused("r1"), fleet.paused("r2"):
        router.execute(INSERT(owner=key, id=99), key)
        token = router.token(key)
        found = router.run(BY_OWNER(owner=key), key, token=token)
        assert (found.host, len(found.rows)) == ("a", 21)
    hosts = Counter(router.run(BY_OWNER(owner=key), key, token=token).host for _ in range(6))
    assert set(hosts) <= {"a", "r1", "r2"}
    for _ in range(6):
        assert len(router.fetch(BY_OWNER(owner=key), key, token=token)) == 21


def test_a_replica_that_stands_still_is_left(fleet: MariaDBFleet, router: ShardRouter) -> None:
    key = key_on(router, "a")
    with fleet.paused("r1"):
        router.execute(INSERT(owner=key, id=1), key)
        # Seconds_Behind_Master says nothing of it: its thread does not run.
        wait_until(lambda: (router.staleness()["r1"] or 0) > 2.0)
        assert {router.run(WHERE, key).host for _ in range(6)} == {"r2"}
    wait_until(lambda: "r1" in fresh(router))
    assert {router.run(WHERE, key).host for _ in range(6)} == {"r1", "r2"}


def test_replicas_and_masters_that_are_killed(fleet: MariaDBFleet, router: ShardRouter) -> None:
    key = key_on(router, "a")
    assert {router.run(WHERE, key).host for _ in range(4)} == {"r1", "r2"}
    fleet.servers["r1"].kill()
    # No read fails for it.
    assert {router.run(WHERE, key).host for _ in range(10)} <= {"r2", "a"}
    fleet.servers["r1"].start()
    fleet.servers["r1"].execute("START SLAVE")
    wait_until(lambda: router.down() == [] and "r1" in fresh(router))
    assert {router.run(WHERE, key).host for _ in range(6)} == {"r1", "r2"}

    fleet.servers["b"].kill()
    other = key_on(router, "b")
    with pytest.raises(sharding.HostLostError, match="at b") as caught:
        router.execute(INSERT(owner=other, id=1), other)
    assert caught.value.fields["host"] == "b"
    found = router.scatter(files.select(f.owner))
    assert set(found.errors) == set(router.layout.shards_on("b"))
    assert set(found.by_shard) == set(router.layout.shards_on("a"))
    fleet.servers["b"].start()
    assert router.execute(INSERT(owner=other, id=1), other) == 1

    # A server that restarts while connections to it are idle costs no read, and no write.
    router.fetch(BY_OWNER(owner=other), other)
    fleet.servers["b"].stop()
    fleet.servers["b"].start()
    assert router.fetch(BY_OWNER(owner=other), other) == [(1,)]
    assert router.execute(INSERT(owner=other, id=2), other) == 1


def test_a_master_that_became_read_only(fleet: MariaDBFleet, router: ShardRouter) -> None:
    key = key_on(router, "b")
    fleet.servers["b"].execute(
        "CREATE OR REPLACE USER app@'%' IDENTIFIED BY ''",
        "GRANT SELECT, INSERT ON *.* TO app@'%'",
        "SET GLOBAL read_only = 1",
    )

    def connect(host: str) -> Any:
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=fleet.servers[host].port, user="app")

    try:
        with (
            ShardRouter(fleet.layout, connect, "mariadb", max_staleness=0) as other,
            pytest.raises(sharding.ReadOnlyHostError, match="b takes no writes, so it is no mas"),
        ):
            other.execute(INSERT(owner=key, id=1), key)
    finally:
        fleet.servers["b"].execute("SET GLOBAL read_only = 0", "DROP USER app@'%'")


def test_deadlines(fleet: MariaDBFleet, router: ShardRouter) -> None:
    key, other = key_on(router, "a"), key_on(router, "b")
    slow = files.select(sb.raw("SLEEP(30)"), f.id)
    router.execute(INSERT(owner=other, id=1), other)
    before = time.monotonic()
    with pytest.raises(sharding.StatementTimeoutError, match="^SELECT on shard"):  # noqa: RUF043
        router.fetch(slow, other, timeout=0.3)
    # Text of the caller's has no limit at the server: the connection is broken off.
    with pytest.raises(sharding.StatementTimeoutError):
        router.fetch(lambda database: "SELECT SLEEP(30)", key, read=True, timeout=0.3)
    found = router.scatter(slow, shards=router.layout.shards_on("b"), timeout=0.5)
    assert router.layout.shard_of(other) in found.errors
    assert time.monotonic() - before < 29
    # A host that hangs holds nobody.
    router.run(WHERE, other)
    process = fleet.servers["b"]._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: stands_still(process.pid))
    try:
        before = time.monotonic()
        with pytest.raises(sharding.StatementTimeoutError):
            router.fetch(BY_OWNER(owner=other), other, timeout=0.5)
        hung = router.scatter(files.select(f.id), timeout=0.5)
        assert set(hung.errors) == set(router.layout.shards_on("b"))
        assert time.monotonic() - before < 29
    finally:
        process.send_signal(signal.SIGCONT)
    assert router.fetch(BY_OWNER(owner=other), other) == [(1,)]


def test_no_write_that_was_broken_off_lands_after_an_update(
    fleet: MariaDBFleet, router: ShardRouter
) -> None:
    other = key_on(router, "b")
    shard = router.layout.shard_of(other)
    under_way = (
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT%SLEEP%'"
    )

    def insert(database: str) -> str:
        return f"INSERT INTO {database}.files SELECT {other}, 7, SLEEP(30)"

    def seen() -> Any:
        return router.fetch(lambda _: under_way, other, read=True)[0][0]

    with pytest.raises(sharding.StatementTimeoutError) as caught:
        router.run(insert, other, timeout=0.3)
    assert caught.value.maybe_done
    assert router.update(router.layout.read_only(shard)) == [shard]
    assert seen() == 0
    assert fleet.rows("b", shard) == []

    async def connect(host: str) -> Any:
        return await aiomysql.connect(
            host="127.0.0.1", port=fleet.servers[host].port, user="root", connect_timeout=10
        )

    async def whole() -> None:
        async with AsyncShardRouter(fleet.layout, connect, "mariadb", measure_every=0) as tasks:
            task = asyncio.ensure_future(tasks.run(insert, other))
            while not await asyncio.to_thread(seen):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await tasks.update(tasks.layout.read_only(shard)) == [shard]
            assert await asyncio.to_thread(seen) == 0

    aio.run(whole())


def test_moves_under_load_lose_and_double_nothing(fleet: MariaDBFleet, router: ShardRouter) -> None:
    with routed(fleet, read_only_wait=60.0, max_staleness=0) as moving:
        stop = threading.Event()
        written: list[list[tuple[int, int]]] = [[] for _ in range(8)]
        errors: list[BaseException] = []

        def write(thread: int) -> None:
            number = 0
            try:
                while not stop.is_set():
                    number += 1
                    owner = thread * 1000 + number % 50
                    if number % 3:
                        moving.execute(INSERT(owner=owner, id=number), owner)
                    else:
                        with moving.transaction(owner) as tx:
                            tx.execute(INSERT(owner=owner, id=number))
                    written[thread].append((owner, number))
                    time.sleep(0.002)  # as a caller has other work
                    assert (number,) in moving.fetch(BY_OWNER(owner=owner), owner) or (
                        moving.layout.version % 2  # read where it was, while it was copied
                    )
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for shard in range(0, fleet.shards, 2):
            old = moving.layout.home(shard)
            new = "b" if old == "a" else "a"
            moving.update(moving.layout.read_only(shard))
            fleet.copy(shard, old, new)
            moving.update(moving.layout.move(shard, new))
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        found: list[tuple[int, int]] = []
        for shard in range(fleet.shards):
            home = moving.layout.home(shard)
            assert fleet.rows("b" if home == "a" else "a", shard) == []
            found += fleet.rows(home, shard)
        assert sorted(found) == sorted(pair for each in written for pair in each)
        assert all(stats.active == 0 for stats in moving.stats().values())


def test_asyncio(fleet: MariaDBFleet, router: ShardRouter) -> None:
    async def connect(host: str) -> Any:
        return await aiomysql.connect(
            host="127.0.0.1", port=fleet.servers[host].port, user="root", connect_timeout=10
        )

    async def whole() -> None:
        async with AsyncShardRouter(
            fleet.layout, connect, "mariadb", measure_every=0.05, read_only_wait=60.0, timeout=60.0
        ) as tasks:
            key, other = key_on(tasks, "a"), key_on(tasks, "b")
            deadline = time.monotonic() + 60
            while None in tasks.staleness().values():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert await tasks.fetch(lambda database: "SELECT '5%'", key, read=True) == [("5%",)]
            session = tasks.session()
            for number in range(10):
                await session.execute(INSERT(owner=key, id=number), key)
                assert len(await session.fetch(BY_OWNER(owner=key), key)) == number + 1
            token = await tasks.token(key)
            assert len(await tasks.fetch(BY_OWNER(owner=key), key, token=token)) == 10
            with pytest.raises(sharding.ConstraintError) as caught:
                await tasks.execute(INSERT(owner=key, id=1), key)
            assert caught.value.code == 1062
            async with tasks.transaction(other) as tx:
                await tx.execute(INSERT(owner=other, id=1))
            with pytest.raises(sharding.StatementTimeoutError):
                await tasks.fetch(
                    lambda database: "SELECT SLEEP(30)", other, read=True, timeout=0.2
                )
            found = await tasks.scatter(
                files.select(f.owner, f.id).order_by(f.owner, f.id), master=True
            )
            assert found.rows() == sorted([*[(key, n) for n in range(10)], (other, 1)])
            slow = await tasks.scatter(files.select(sb.raw("SLEEP(30)"), f.id), timeout=0.5)
            assert {tasks.layout.shard_of(k) for k in (key, other)} <= set(slow.errors)

            stop, written = asyncio.Event(), []

            async def write(task: int) -> None:
                number = 100
                while not stop.is_set():
                    number += 1
                    owner = task * 1000 + number % 50
                    await tasks.execute(INSERT(owner=owner, id=number), owner)
                    written.append((owner, number))

            writers = [asyncio.ensure_future(write(n)) for n in range(8)]
            for shard in range(0, fleet.shards, 2):
                old = tasks.layout.home(shard)
                new = "b" if old == "a" else "a"
                await tasks.update(tasks.layout.read_only(shard))
                await asyncio.to_thread(fleet.copy, shard, old, new)
                await tasks.update(tasks.layout.move(shard, new))
            stop.set()
            await asyncio.gather(*writers)
            rows = [
                row
                for shard in range(fleet.shards)
                for row in fleet.rows(tasks.layout.home(shard), shard)
            ]
            assert sorted(row for row in rows if row[1] > 100) == sorted(written)

    aio.run(whole())
