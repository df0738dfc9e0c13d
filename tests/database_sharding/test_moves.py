"""Layouts replaced while statements run: who waits, what is refused, that nothing is lost."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sqlshards import COUNT, SqliteHosts, f, files, layout_of

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import HostGroup, Layout, ShardRouter
from godropbox.errors import UsageError

INSERT = sharding.prepare(
    files.insert(f.owner, f.id, f.name).row(sb.slot("owner", int), sb.slot("id", int), "x")
)
KEY = next(key for key in range(100) if layout_of().shard_of(key) == 1)


@pytest.fixture
def hosts(tmp_path: Path) -> SqliteHosts:
    return SqliteHosts(tmp_path, "a", "b", "c")


@pytest.fixture
def router(hosts: SqliteHosts) -> Iterator[ShardRouter]:
    with ShardRouter(layout_of(), hosts.connect, "sqlite") as made:
        yield made


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_read_only_shard_takes_no_writes(router: ShardRouter) -> None:
    assert router.update(router.layout.read_only(1)) == [1]
    with pytest.raises(
        sharding.ShardReadOnlyError, match=r"^shard 1 \(shard_0001 at a\) is read-on"
    ):
        router.execute(INSERT(owner=KEY, id=1), KEY)
    with pytest.raises(sharding.ShardReadOnlyError), router.transaction(KEY):
        pass
    assert router.fetch(files.select(f.id).where(f.owner == KEY), KEY) == []
    with router.transaction(KEY, read_only=True) as tx:
        assert tx.fetch(files.select(f.id)) == []
    assert router.update(router.layout.writable(1)) == []
    assert router.execute(INSERT(owner=KEY, id=1), KEY) == 1


def test_a_write_waits_for_the_end_of_a_move(hosts: SqliteHosts) -> None:
    with ShardRouter(
        layout_of(), hosts.connect, "sqlite", read_only_wait=60.0, timeout=60.0
    ) as router:
        router.update(router.layout.read_only(1))
        thread = threading.Thread(target=router.execute, args=(INSERT(owner=KEY, id=1), KEY))
        thread.start()
        until(lambda: thread.is_alive())
        router.update(router.layout.move(1, "b"))
        thread.join()
        assert hosts.rows("b", 1) == [(KEY, 1, "x")]
        assert hosts.rows("a", 1) == []
        router.update(router.layout.read_only(1))
        with pytest.raises(sharding.ShardReadOnlyError):
            router.execute(INSERT(owner=KEY, id=2), KEY, timeout=0.05)


def test_an_update_waits_for_writes_that_began(router: ShardRouter) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with router.transaction(KEY) as tx:
            tx.execute(INSERT(owner=KEY, id=1))
            inside.set()
            go_on.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(30)
    old = router.layout
    with pytest.raises(
        sharding.DrainTimeoutError, match=r"writes to shards 1 did not end within 0.0"
    ):
        router.update(old.move(1, "b"), timeout=0.05)
    assert router.layout is old
    assert isinstance(sharding.DrainTimeoutError("x"), UsageError)
    moved: list[list[int]] = []
    updater = threading.Thread(target=lambda: moved.append(router.update(old.move(1, "b"))))
    updater.start()
    until(lambda: router._gates.closed)
    # Other shards are not touched, and neither are reads.
    other = next(key for key in range(100) if old.shard_of(key) == 2)
    assert router.execute(INSERT(owner=other, id=1), other) == 1
    assert router.fetch(files.select(f.id).where(f.owner == KEY), KEY) == []
    assert moved == []
    go_on.set()
    updater.join()
    writer.join()
    assert moved == [[1]]
    assert router.layout.home(1) == "b"


def test_an_older_layout_is_refused(router: ShardRouter) -> None:
    first = router.layout
    router.update(first.move(1, "b"))
    with pytest.raises(
        sharding.StaleLayoutError, match="layout must be later than version 1, got 0"
    ):
        router.update(first)
    with pytest.raises(sharding.StaleLayoutError):
        router.update(first.move(2, "b"))
    assert router.update(router.layout) == []
    groups = {"a": HostGroup("a")}
    with pytest.raises(ValueError, match="layout must have 8 shards, got 4"):
        router.update(Layout(4, groups, {"a": "0-3"}, version=9))
    with pytest.raises(ValueError, match="layout must have the function of the one in force"):
        router.update(
            Layout(8, groups, {"a": "0-7"}, version=9, function=lambda key, shards: key % shards)
        )
    with pytest.raises(TypeError, match="layout must be a Layout"):
        router.update("x")  # type: ignore[arg-type]


def test_a_new_master_and_hosts_that_go(router: ShardRouter, hosts: SqliteHosts) -> None:
    router.fetch(files.select(f.id), KEY)
    assert router.update(router.layout.with_group("a", HostGroup("c"))) == [0, 1, 2, 3]
    assert set(router.stats()) == {"b", "c"}
    router.execute(INSERT(owner=KEY, id=1), KEY)
    assert hosts.rows("c", 1) == [(KEY, 1, "x")]


def test_moves_under_load_lose_and_double_nothing(hosts: SqliteHosts) -> None:
    """Eight threads write while every shard moves; each write is in one home, once."""
    with ShardRouter(
        layout_of(), hosts.connect, "sqlite", read_only_wait=60.0, timeout=60.0
    ) as router:
        stop = threading.Event()
        written: list[list[tuple[int, int]]] = [[] for _ in range(8)]
        errors: list[BaseException] = []

        def write(thread: int) -> None:
            number = 0
            try:
                while not stop.is_set():
                    number += 1
                    owner = thread * 1000 + number % 50
                    assert router.execute(INSERT(owner=owner, id=number), owner) == 1
                    written[thread].append((owner, number))
                    time.sleep(0.001)  # as a caller has other work
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for shard in range(COUNT):
            old = router.layout.home(shard)
            new = "b" if old == "a" else "a"
            router.update(router.layout.read_only(shard))
            hosts.copy(shard, old, new)
            router.update(router.layout.move(shard, new))
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        found: list[tuple[int, int]] = []
        for shard in range(COUNT):
            home, other = ("a", "b") if router.layout.home(shard) == "a" else ("b", "a")
            assert hosts.rows(other, shard) == []
            for owner, number, _ in hosts.rows(home, shard):
                assert router.layout.shard_of(owner) == shard
                found.append((owner, number))
        assert sorted(found) == sorted(pair for each in written for pair in each)
        assert len(found) == len(set(found))
