"""Reads from replicas: how fresh they are, which are down, and reading what one wrote."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.sqlshards import AsyncFakeDriver, FakeDriver, f, files, layout_of

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import Heartbeat, HostGroup, ShardRouter, Token
from godropbox.database.sharding.aio import AsyncShardRouter

READ = files.select(f.id)
WRITE = files.update().values(name="x").all_rows()
LAYOUT = layout_of("r1", "r2")
KEY = next(key for key in range(100) if LAYOUT.shard_of(key) == 1)


class Replicated(FakeDriver):
    """A master and replicas that have applied what ``applied`` says, of MariaDB or by a table."""

    def __init__(self) -> None:
        super().__init__(self.say)
        self.now = 100.0
        self.committed = 1
        self.applied = {"r1": 1, "r2": 1}
        self.dead: set[str] = set()
        self.waits = 0  # what MASTER_GTID_WAIT returns

    def clock(self) -> float:
        return self.now

    def say(self, host: str, text: str) -> Any:
        if host in self.dead:
            raise self.OperationalError(2013, "Lost connection")
        if "gtid_binlog_pos" in text:
            return [(f"0-1-{self.committed}",)]
        if "gtid_slave_pos" in text:
            return [(f"0-1-{self.applied[host]}",)]
        if "GTID_WAIT" in text:
            return [(self.waits,)]
        if "SET beat" in text:
            self.committed += 1
            return None
        if "SELECT beat" in text:
            return [(self.applied.get(host, self.committed),)]
        if text.startswith("UPDATE") or "FOR UPDATE" in text:
            self.committed += 1
        return [(host,)]

    def catch_up(self, *hosts: str) -> None:
        for host in hosts:
            self.applied[host] = self.committed


@pytest.fixture
def driver() -> Replicated:
    return Replicated()


def routed(driver: Replicated, **options: Any) -> ShardRouter:
    return ShardRouter(
        LAYOUT,
        driver.connect,
        "mariadb",
        **{"measure_every": 0.0, "clock": driver.clock, "timeout": None, **options},
    )


@pytest.fixture
def router(driver: Replicated) -> Iterator[ShardRouter]:
    with routed(driver) as made:
        yield made


def read_from(router: ShardRouter, count: int = 8, **how: Any) -> Counter[str]:
    return Counter(router.fetch(READ, KEY, **how)[0][0] for _ in range(count))


def test_reads_are_the_masters_until_replicas_are_measured(router: ShardRouter) -> None:
    assert read_from(router) == {"a": 8}
    router.measure()
    assert read_from(router) == {"r1": 4, "r2": 4}
    assert read_from(router, master=True) == {"a": 8}
    assert router.staleness() == {"r1": 0.0, "r2": 0.0}


def test_a_replica_that_stands_still_grows_stale(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    driver.committed = 9
    driver.now += 3.0
    driver.catch_up("r1")
    router.measure()
    assert router.staleness() == {"r1": 0.0, "r2": 3.0}
    assert read_from(router) == {"r1": 4, "r2": 4}
    driver.now += 3.0
    assert router.staleness() == {"r1": 3.0, "r2": 6.0}
    assert read_from(router) == {"r1": 8}
    driver.now += 3.0  # and nobody measures
    assert read_from(router) == {"a": 8}
    driver.catch_up("r1", "r2")
    router.measure()
    assert read_from(router) == {"r1": 4, "r2": 4}


def test_a_replica_is_as_fresh_as_the_last_moment_that_it_has(
    driver: Replicated, router: ShardRouter
) -> None:
    for _ in range(4):
        driver.committed += 1
        driver.now += 1.0
        router.measure()
    driver.applied = {"r1": driver.committed - 2, "r2": driver.committed - 1}
    router.measure()
    assert router.staleness() == {"r1": 2.0, "r2": 1.0}


def test_any_staleness_or_none(driver: Replicated) -> None:
    with routed(driver, max_staleness=None) as router:
        assert read_from(router) == {"r1": 4, "r2": 4}
    with routed(driver, max_staleness=0) as router:
        router.measure()
        assert read_from(router) == {"a": 8}


def test_a_replica_that_fails_is_left_alone_longer_each_time(
    driver: Replicated, router: ShardRouter
) -> None:
    router.measure()
    assert read_from(router) == {"r1": 4, "r2": 4}
    driver.dead = {"r1"}
    driver.log.clear()
    assert read_from(router) == {"r2": 8}  # the failed one was read again elsewhere
    assert [host for host, _ in driver.log].count("r1") == 1
    assert router.down() == ["r1"]
    driver.now += 1.0
    assert read_from(router) == {"r2": 8}
    assert [host for host, _ in driver.log].count("r1") == 2
    driver.now += 1.9
    assert router.down() == ["r1"]
    driver.dead.clear()
    driver.now += 0.2
    assert read_from(router) == {"r1": 4, "r2": 4}
    driver.dead = {"r1", "r2"}
    with pytest.raises(sharding.HostLostError):
        router.fetch(READ, KEY)  # one after the other
    assert read_from(router) == {"a": 8}


def test_both_replicas_fail_in_one_read(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    driver.dead = {"r1", "r2"}
    with pytest.raises(sharding.HostLostError):
        router.fetch(READ, KEY)
    assert read_from(router) == {"a": 8}


def test_measuring_marks_down_and_up(
    driver: Replicated, router: ShardRouter, caplog: pytest.LogCaptureFixture
) -> None:
    router.measure()
    driver.dead = {"r1"}
    router.measure()
    assert router.down() == ["r1"]
    assert "the replica r1 could not be measured" in caplog.text
    driver.dead = {"a"}
    driver.now += 1.0
    router.measure()
    assert router.down() == []
    assert "the master a could not be measured" in caplog.text


def test_without_a_master_replicas_serve_while_they_are_fresh(
    driver: Replicated, router: ShardRouter
) -> None:
    router.measure()
    driver.dead = {"a"}
    assert read_from(router) == {"r1": 4, "r2": 4}
    with pytest.raises(sharding.HostLostError):
        router.execute(WRITE, KEY)
    driver.now += 6.0
    router.measure()
    with pytest.raises(sharding.HostLostError):
        router.fetch(READ, KEY)


def test_an_empty_position_proves_nothing(driver: Replicated, router: ShardRouter) -> None:
    driver.answer = lambda host, text: [("",)] if "gtid" in text else [(host,)]
    router.measure()
    assert router.staleness() == {"r1": None, "r2": None}
    assert read_from(router) == {"a": 8}


def test_a_session_reads_what_it_wrote(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    session = router.session()
    assert session.fetch(READ, KEY)[0][0] in ("r1", "r2")
    driver.now += 1.0
    session.execute(WRITE, KEY)
    assert [session.fetch(READ, KEY)[0][0] for _ in range(4)] == ["a"] * 4
    assert read_from(router) == {"r1": 4, "r2": 4}  # others do not wait
    driver.now += 0.1
    driver.catch_up("r2")
    router.measure()
    assert [session.fetch(READ, KEY)[0][0] for _ in range(4)] == ["r2"] * 4
    driver.catch_up("r1")
    router.measure()
    assert {session.fetch(READ, KEY)[0][0] for _ in range(4)} == {"r1", "r2"}
    driver.now += 1.0
    with session.transaction(KEY) as tx:
        tx.execute(WRITE)
    assert session.fetch(READ, KEY) == [("a",)]


GONE = sb.cte("gone", files.delete().all_rows().returning(f.id))
HIDDEN = GONE.select(GONE.c.id).with_(GONE)


@pytest.mark.parametrize(
    ("statement", "reader"),
    [
        (HIDDEN, "a"),
        (sharding.prepare(HIDDEN)(), "a"),
        (lambda database: HIDDEN, "a"),
        (lambda database: "WITH a AS (DELETE FROM b) SELECT 1", "a"),
        (READ, "r1"),
        (sharding.prepare(READ)(), "r1"),
        (lambda database: READ, "r1"),
    ],
)
def test_a_with_that_writes_is_a_write_of_its_session(statement: Any, reader: str) -> None:
    driver = Replicated()
    driver.applied.clear()  # replicas have what the master has
    options: Any = {"measure_every": 0.0, "clock": driver.clock, "heartbeat": Heartbeat("beats")}
    with ShardRouter(layout_of("r1"), driver.connect, "postgresql", **options) as router:
        router.measure()
        session = router.session()
        driver.now += 1.0
        session.run(statement, KEY)
        assert session.fetch(READ, KEY) == [(reader,)]

    async def under_asyncio() -> None:
        fake = AsyncFakeDriver(driver.say)
        async with AsyncShardRouter(layout_of("r1"), fake.dial, "postgresql", **options) as router:
            await router.measure()
            session = router.session()
            driver.now += 1.0
            await session.run(statement, KEY)
            assert await session.fetch(READ, KEY) == [(reader,)]

    asyncio.run(under_asyncio())


def test_a_token_reads_what_was_written(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    router.execute(WRITE, KEY)
    token = router.token(KEY)
    assert token == Token("a", "0-1-2")
    driver.waits = -1
    assert read_from(router, token=token) == {"a": 8}
    driver.waits = 0
    assert read_from(router, token=token) == {"r1": 4, "r2": 4}
    assert driver.texts()[-2].endswith("FOR SELECT MASTER_GTID_WAIT('0-1-2', 0.500)")
    driver.catch_up("r1", "r2")
    router.measure()
    driver.log.clear()
    assert read_from(router, token=token) == {"r1": 4, "r2": 4}
    assert not any("WAIT" in text for text in driver.texts())
    # Another group's position means nothing.
    assert read_from(router, token=Token("b", "0-1-1")) == {"a": 8}
    with pytest.raises(ValueError, match="a position must be GTIDs"):
        router.fetch(READ, KEY, token=Token("a", "0-1-1'); --"))
    with pytest.raises(TypeError, match="token must be a Token or None"):
        router.fetch(READ, KEY, token="0-1-1")  # type: ignore[call-overload]


def test_a_replica_that_fails_while_it_is_waited_for(
    driver: Replicated, router: ShardRouter
) -> None:
    router.measure()
    driver.committed = 5
    driver.dead = {"r1", "r2"}
    assert router.fetch(READ, KEY, token=router.token(KEY)) == [("a",)]
    assert len(router.down()) == 1


def test_a_token_is_waited_for_within_the_calls_time(driver: Replicated) -> None:
    with routed(driver, max_staleness=None) as router:
        driver.committed, driver.waits = 5, -1
        token = router.token(KEY)
        router.fetch(READ, KEY, token=token)  # which connects
        router.fetch(READ, KEY, token=token)
        driver.log.clear()
        assert router.fetch(READ, KEY, token=token, timeout=8.0) == [("a",)]
        waited = next(text for text in driver.texts() if "GTID_WAIT" in text)
        assert waited.endswith("MASTER_GTID_WAIT('0-1-5', 0.500)")
        driver.log.clear()
        assert router.fetch(READ, KEY, token=token, timeout=0.8) == [("a",)]
        waited = next(text for text in driver.texts() if "GTID_WAIT" in text)
        limit, wait = re.findall(r"0\.\d{3}", waited)
        assert float(limit) <= 0.4
        assert float(wait) <= 0.2
        with pytest.raises(sharding.StatementTimeoutError, match="was not sent"):
            router.fetch(READ, KEY, token=token, timeout=0)
        assert router.down() == []


def test_a_token_is_asked_for_again_on_a_pooled_connection(
    driver: Replicated, router: ShardRouter
) -> None:
    router.token(KEY)
    say, left = driver.answer, [driver.OperationalError(2013, "Lost connection")]

    def answer(host: str, text: str) -> Any:
        if left:
            raise left.pop()
        return say(host, text)

    driver.answer = answer
    assert router.token(KEY) == Token("a", "0-1-1")
    assert driver.opened == ["a", "a"]


def test_a_position_of_no_log_is_read_from_the_master(driver: Replicated) -> None:
    with routed(driver, max_staleness=None) as router:
        assert read_from(router, token=Token("a", "")) == {"a": 8}


def test_a_replica_is_not_blamed_for_time_and_connections_of_ones_own(driver: Replicated) -> None:
    with routed(driver, connections=1, pool_wait=0.0) as router:
        router.measure()
        with pytest.raises(sharding.StatementTimeoutError, match="was not sent"):
            router.fetch(READ, KEY, timeout=0)
        lent = [router._fleet.pools[host].get() for host in ("r1", "r2")]
        router.measure()
        driver.committed, driver.waits = 5, -1
        assert router.fetch(READ, KEY, token=router.token(KEY)) == [("a",)]
        assert router.down() == []
        for loan in lent:
            loan.release()


def test_positions_are_compared_while_others_come(driver: Replicated, router: ShardRouter) -> None:
    group = router._fleet.groups[0]

    class Engine:
        def covers(self, applied: Any, position: Any) -> bool:
            group.sampled(200.0, "later")  # as the monitor does
            return bool(position == applied)

    group.sampled(99.0, "0-1-1")
    group.sampled(99.5, "0-1-2")
    group.applied("r1", "0-1-1", Engine(), False)  # type: ignore[arg-type]
    assert group.fresh["r1"] == 99.0


def test_a_heartbeat_where_there_are_no_positions(driver: Replicated) -> None:
    beat = sharding.Heartbeat("heartbeats.beats")
    with routed(driver, heartbeat=beat) as router:
        driver.catch_up("r1", "r2")
        router.measure()
        assert driver.texts()[0].endswith("FOR UPDATE heartbeats.beats SET beat = beat + 1")
        assert read_from(router) == {"a": 8}  # none has applied the beat
        driver.catch_up("r1")
        driver.now += 1.0
        router.measure()
        assert router.staleness() == {"r1": 1.0, "r2": None}
        assert read_from(router) == {"r1": 8}
        token = router.token(KEY)
        assert token.position == str(driver.committed)
        assert read_from(router, 1, token=token) == {"a": 1}
        driver.catch_up("r1")
        assert read_from(router, 1, token=token) == {"r1": 1}


def test_locking_reads_and_transactions_are_the_masters(
    driver: Replicated, router: ShardRouter
) -> None:
    router.measure()
    assert router.fetch(READ.for_update(), KEY) == [("a",)]
    with router.transaction(KEY, read_only=True) as tx:
        assert tx.fetch(READ) == [("a",)]


def test_scattered_reads_use_replicas(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    hosts = {rows[0][0] for rows in router.scatter(READ, shards=range(8)).by_shard.values()}
    assert hosts == {"r1", "r2", "b"}
    hosts = {rows[0][0] for rows in router.scatter(READ, master=True).by_shard.values()}
    assert hosts == {"a", "b"}


def test_replicas_that_come_and_go(driver: Replicated, router: ShardRouter) -> None:
    router.measure()
    assert router.update(LAYOUT.with_group("a", HostGroup("a", ("r2",)))) == []
    assert read_from(router) == {"a": 8}  # the new group is not measured yet
    router.measure()
    assert read_from(router) == {"r2": 8}
    assert set(router.stats()) == {"a", "b", "r2"}


def test_a_shard_that_came_is_read_from_the_master_until_a_replica_has_it(
    driver: Replicated,
) -> None:
    away = next(key for key in range(100) if LAYOUT.shard_of(key) == 5)  # of the group b
    with routed(driver, max_staleness=None) as router:
        router.measure()
        session = router.session()
        session.execute(WRITE, away)
        token = router.token(KEY)
        router.update(LAYOUT.move(5, "a"))
        assert router.fetch(READ, KEY)[0][0] in ("r1", "r2")  # its shard was there before
        for _ in range(4):
            assert router.fetch(READ, away) == [("a",)]
            assert session.fetch(READ, away) == [("a",)]
            assert router.fetch(READ, away, token=token) == [("a",)]
        router.update(router.layout.read_only(0))  # which changes nothing of it
        driver.committed += 1
        driver.now += 0.1
        router.measure()
        assert router.fetch(READ, away) == [("a",)]
        driver.catch_up("r2")
        router.measure()
        assert {router.fetch(READ, away)[0][0] for _ in range(4)} == {"r2"}
        assert {session.fetch(READ, away)[0][0] for _ in range(4)} == {"r2"}


def test_a_replica_that_hangs_makes_no_other_stale(driver: Replicated) -> None:
    go_on, seen = threading.Event(), threading.Semaphore(0)

    def say(host: str, text: str) -> Any:
        if host == "r1":
            assert go_on.wait(30)
        if host == "r2":
            seen.release()
        return driver.say(host, text)

    driver.answer = say
    try:
        with routed(driver, measure_every=0.01) as router:
            for _ in range(3):
                assert seen.acquire(timeout=30)
            assert router.staleness() == {"r1": None, "r2": 0.0}
    finally:
        go_on.set()


def test_a_thread_measures(driver: Replicated) -> None:
    with routed(driver, measure_every=0.01) as router:
        deadline = time.monotonic() + 30
        while None in router.staleness().values():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert read_from(router) == {"r1": 4, "r2": 4}
        router.update(LAYOUT.with_group("a", HostGroup("a", ("r1",))))
        while router.staleness() != {"r1": 0.0}:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_a_heartbeat_without_a_row(caplog: pytest.LogCaptureFixture) -> None:
    driver = Replicated()
    empty = {"r1"}
    said = driver.say

    def answer(host: str, text: str) -> Any:
        return [] if "SELECT beat" in text and host in empty else said(host, text)

    driver.answer = answer
    with routed(driver, heartbeat=sharding.Heartbeat("beats")) as router:
        driver.catch_up("r2")
        driver.applied["r2"] = 50
        router.measure()
        assert router.staleness()["r1"] is None
        assert router.staleness()["r2"] is not None  # which comes after it
        assert "the replica r1 could not be measured: ValueError('it names no po" in caplog.text
        empty.add("a")
        router.measure()
        assert "the master a could not be measured: ValueError('the heartbeat tab" in caplog.text
        with pytest.raises(ValueError, match="the heartbeat table has no row"):
            router.token(KEY)

    async def whole() -> None:
        other = AsyncFakeDriver(answer)
        empty.discard("a")
        async with AsyncShardRouter(
            LAYOUT, other.dial, "mariadb", measure_every=0.0, heartbeat=sharding.Heartbeat("beats")
        ) as router:
            await router.measure()
            assert router.staleness()["r1"] is None
            assert router.staleness()["r2"] is not None

    asyncio.run(whole())


def test_positions_in_rows_that_are_mappings(driver: Replicated, router: ShardRouter) -> None:
    said = driver.say
    driver.answer = lambda host, text: [dict(enumerate(row, 7)) for row in said(host, text)]
    router.measure()
    assert router.staleness() == {"r1": 0.0, "r2": 0.0}
    assert router.token(KEY).position == "0-1-1"


def test_what_is_asked_while_a_host_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that have taken a layout, which is replaced before they have a connection."""
    driver = Replicated()
    borrow = ShardRouter._borrow

    def after_an_update(router: ShardRouter, fleet: Any, host: str, deadline: Any) -> Any:
        if host == "a":
            router.update(LAYOUT.with_group("a", HostGroup("c", ("r1", "r2"))))
        return borrow(router, fleet, host, deadline)

    monkeypatch.setattr(ShardRouter, "_borrow", after_an_update)
    for ask in (
        lambda router: router.token(KEY).position,
        lambda router: read_in_one(router, True),
        lambda router: router.fetch(READ, KEY, master=True),
    ):
        with routed(driver) as router:
            assert ask(router) in ("0-1-1", [("c",)])
    with pytest.raises(sharding.RouterClosedError):
        router.token(KEY)
    for read_only in (True, False):
        with pytest.raises(sharding.RouterClosedError):
            read_in_one(router, read_only)


def test_a_read_while_its_database_is_named_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Replicated()
    borrow = ShardRouter._borrow
    later = sharding.Layout(
        8,
        {"a": HostGroup("c"), "b": HostGroup("b")},
        {"a": "0-3", "b": "4-7"},
        database="other_{:04}",
        version=1,
    )

    def after_an_update(router: ShardRouter, fleet: Any, host: str, deadline: Any) -> Any:
        if host != "c":
            router.update(later)
        return borrow(router, fleet, host, deadline)

    monkeypatch.setattr(ShardRouter, "_borrow", after_an_update)
    with routed(driver) as router:
        assert router.fetch(READ, KEY) == [("c",)]
        assert driver.texts() == ["SELECT `files`.`id` FROM `other_0001`.`files`"]


def test_a_read_while_its_database_is_named_otherwise_under_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = AsyncFakeDriver(Replicated().say)
    borrow = AsyncShardRouter._borrow
    groups = {"a": HostGroup("c"), "b": HostGroup("b")}
    homes = {"a": "0-3", "b": "4-7"}
    later = sharding.Layout(8, groups, homes, database="other_{:04}", version=1)

    async def after_an_update(router: Any, fleet: Any, host: str, deadline: Any) -> Any:
        if host != "c":
            await router.update(later)
            await asyncio.sleep(0)  # its pool is closed by a task
        return await borrow(router, fleet, host, deadline)

    async def whole() -> None:
        monkeypatch.setattr(AsyncShardRouter, "_borrow", after_an_update)
        options: Any = {"timeout": None}
        async with AsyncShardRouter(layout_of(), driver.dial, "mariadb", **options) as router:
            assert await router.fetch(READ, KEY) == [("c",)]
            assert driver.texts() == ["SELECT `files`.`id` FROM `other_0001`.`files`"]

    asyncio.run(whole())


def read_in_one(router: ShardRouter, read_only: bool) -> list[Any]:
    with router.transaction(KEY, read_only=read_only) as tx:
        assert (tx.host, tx.database) == ("c", "shard_0001")
        return tx.fetch(READ)


def test_what_is_asked_while_a_host_leaves_under_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = AsyncFakeDriver(Replicated().say)
    borrow = AsyncShardRouter._borrow

    async def after_an_update(router: Any, fleet: Any, host: str, deadline: Any) -> Any:
        if host == "a":
            await router.update(layout_of().with_group("a", HostGroup("c")))
            await asyncio.sleep(0)  # its pool is closed by a task
        return await borrow(router, fleet, host, deadline)

    async def read(router: AsyncShardRouter, read_only: bool) -> list[Any]:
        async with router.transaction(KEY, read_only=read_only) as tx:
            assert tx.host == "c"
            return await tx.fetch(READ)

    async def whole() -> None:
        monkeypatch.setattr(AsyncShardRouter, "_borrow", after_an_update)
        async with AsyncShardRouter(layout_of(), driver.dial, "mariadb") as router:
            assert (await router.token(KEY)).position == "0-1-1"
        async with AsyncShardRouter(layout_of(), driver.dial, "mariadb") as router:
            assert await read(router, True) == [("c",)]
        with pytest.raises(sharding.RouterClosedError):
            await router.token(KEY)
        for read_only in (True, False):
            with pytest.raises(sharding.RouterClosedError):
                await read(router, read_only)

    asyncio.run(whole())
