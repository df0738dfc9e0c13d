"""Writes of a ``ConsistentCacheOnStorage`` over a real memcached, one race at a time."""

from pathlib import Path
from typing import Any

import pytest
from caching.consist_support import Caches, Table, connected, options, refuse, unreachable
from support.memcached import running

from godropbox.caching.consistent import (
    CommitUncertain,
    ConsistencyOptions,
    WriteRefused,
)
from godropbox.memcache import Connection, RawMetaClient

pytestmark = pytest.mark.usefixtures("form")

# Writing


def test_a_write_leaves_its_value_or_nothing(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    cache = caches.over(table)
    assert cache.get("a") == b"old"
    cache.set("a", b"new")
    assert (table.data["a"], raw.get("a").value) == (b"new", b"new")
    assert cache.get("a") == b"new"
    caches.over(table, options(keep_written=False)).set("a", b"newer")
    assert not raw.get("a").found
    assert cache.get("a") == b"newer"
    cache.delete("a")
    assert table.data == {}
    assert cache.get("a") is None


def test_many_are_written_at_once(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1", b=b"2")
    cache = caches.over(table)
    assert len(cache.get_multi(["a", "b"])) == 2
    cache.set_multi({"a": b"3", "c": b"4"})
    assert table.writes == 1
    assert cache.get_multi(["a", "b", "c"]) == {"a": b"3", "b": b"2", "c": b"4"}
    cache.delete_multi(["a", "b", "a"])
    assert table.writes == 2
    assert cache.get_multi(["a", "b", "c"]) == {"c": b"4"}
    cache.set_multi({})
    cache.delete_multi([])
    assert table.writes == 2


def test_readers_do_not_fill_while_a_write_is_under_way(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    reader, writer = caches.over(table), caches.over(table)
    table.before_writing = lambda: reader.get("a")
    table.after_writing = lambda: reader.get("a")
    writer.set("a", b"new")
    assert reader.statistics().shielded == 2
    assert reader.get("a") == b"new"
    assert reader.statistics().hits == 1


@pytest.mark.parametrize("first_out", ["inner", "outer"])
def test_of_two_writers_neither_leaves_its_value(
    caches: Caches, raw: RawMetaClient, first_out: str
) -> None:
    table = Table(a=b"old")
    outer, inner = caches.over(table), caches.over(table)

    def other() -> None:
        table.before_writing = table.after_writing = lambda: None
        inner.set("a", b"inner")

    if first_out == "inner":
        table.before_writing = other
    else:
        table.after_writing = other
    outer.set("a", b"outer")
    assert not raw.get("a").found
    assert outer.get("a") == table.data["a"]
    assert outer.statistics().sentinels_lost == inner.statistics().sentinels_lost == 0


def test_nothing_is_written_if_the_cache_cannot_be_told() -> None:
    cache = unreachable()
    with pytest.raises(WriteRefused, match="did not confirm a write of \\['a'\\]") as caught:
        cache.set("a", b"2")
    assert caught.value.keys == ["a"]
    with pytest.raises(WriteRefused):
        cache.delete("a")
    assert cache.get("a") == b"1"
    assert cache.statistics().refused == 2


def test_a_batch_is_written_whole_or_not_at_all(caches: Caches, raw: RawMetaClient) -> None:
    servers = caches.servers(lambda: connected(caches.server), refuse)
    table = Table()
    cache = caches.over(table, servers=servers)
    with pytest.raises(WriteRefused, match=r"\['a1'\]") as caught:
        cache.set_multi({"a0": b"1", "a1": b"2"})
    assert caught.value.keys == ["a0", "a1"]
    assert table.data == {}
    assert not raw.get("a0").found  # its sentinel is gone, and readers may fill
    cache.set("a0", b"1")
    assert table.data == {"a0": b"1"}


def test_a_write_that_cannot_begin_in_time_does_not(caches: Caches, raw: RawMetaClient) -> None:
    table = Table()
    times = iter([0.0, 20.0])
    given = ConsistencyOptions(sentinel_life=30, storage_limit=10.0)
    cache = caches.over(table, given, clock=lambda: next(times))
    with pytest.raises(WriteRefused, match="took too long"):
        cache.set("a", b"1")
    assert table.data == {}
    assert not raw.get("a").found
    assert cache.statistics().aborted == 1


# What a writer cannot know


def test_a_storage_that_does_not_say(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    cache = caches.over(table)

    def lose() -> None:
        raise ConnectionError("the reply was lost")

    table.after_writing = lose
    with pytest.raises(CommitUncertain, match="did not say whether it wrote") as caught:
        cache.set("a", b"new")
    assert (caught.value.committed, caught.value.keys) == (None, ["a"])
    assert isinstance(caught.value.__cause__, ConnectionError)
    table.after_writing = lambda: None
    reads = table.reads
    assert [cache.get("a"), cache.get("a")] == [b"new"] * 2
    assert table.reads == reads + 2  # nobody fills
    ttl = raw.meta_get("a", details=True).ttl
    assert ttl is not None
    assert 28 <= ttl <= 30
    cache.set("a", b"newest")  # its author may not be dead, so that the key stays shielded
    assert cache.get("a") == b"newest"
    assert cache.statistics().hits == 0


def test_a_writer_that_has_given_up_is_taken_out(caches: Caches, raw: RawMetaClient) -> None:
    table = Table()
    now = [1_800_000_000.0]
    cache = caches.over(table, wall_clock=lambda: now[0])

    def lose() -> None:
        table.after_writing = lambda: None
        raise ConnectionError("the reply was lost")

    table.after_writing = lose
    with pytest.raises(CommitUncertain):
        cache.set("a", b"1")
    now[0] += 32
    cache.set("a", b"2")
    assert not raw.get("a").found  # it was not alone, and so left nothing
    assert [cache.get("a"), cache.get("a")] == [b"2"] * 2
    assert cache.statistics().hits == 1


def test_a_storage_that_is_sure_that_it_did_not_write(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    cache = caches.over(table, options(not_committed=(KeyError,)))

    def refuse() -> None:
        raise KeyError("a constraint")

    table.before_writing = refuse
    with pytest.raises(KeyError, match="a constraint"):
        cache.set("a", b"new")
    assert not raw.get("a").found
    table.before_writing = lambda: None
    assert [cache.get("a"), cache.get("a")] == [b"old"] * 2
    assert cache.statistics().aborted == 1


def test_a_sentinel_that_is_lost_costs_an_invalidation(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    reader, writer = caches.over(table), caches.over(table)

    def evict() -> None:
        assert raw.delete("a").ok
        assert reader.get("a") == b"old"  # which it fills
        assert reader.get("a") == b"old"

    table.before_writing = evict
    writer.set("a", b"new")
    assert writer.statistics().sentinels_lost == 1
    assert reader.get("a") == b"new"


def test_a_sentinel_that_came_after_the_loss_stays(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    first, second = caches.over(table), caches.over(table)

    def lose_and_begin_another() -> None:
        table.before_writing = lambda: first_ends.append(True)
        table.after_writing = lambda: None
        assert raw.delete("a").ok
        second.set("a", b"second")

    first_ends: list[bool] = []
    table.before_writing = lose_and_begin_another
    first.set("a", b"first")
    assert table.data["a"] == b"first"
    assert second.get("a") == b"first"
    assert first.statistics().sentinels_lost == 1


@pytest.mark.parametrize("is_back", [True, False])
def test_a_server_that_dies_during_the_write(tmp_path: Path, is_back: bool) -> None:
    with running("unix", tmp_path) as server, Caches(server) as caches:
        table = Table(a=b"old")
        address = server.address
        after: list[Any] = []

        def die() -> None:
            server.process.kill()
            server.process.wait()
            Path(address[5:]).unlink()
            if is_back:
                manager = running("unix", tmp_path)
                after.append((manager, manager.__enter__()))

        cache = caches.over(table)
        assert cache.get("a") == b"old"
        table.after_writing = die
        if is_back:
            cache.set("a", b"new")
            assert cache.statistics().sentinels_lost == 1
        else:
            with pytest.raises(CommitUncertain, match="a server did not confirm") as caught:
                cache.set("a", b"new")
            assert (caught.value.committed, caught.value.keys) == (True, ["a"])
            with pytest.raises(CommitUncertain, match="a server did not confirm"):
                cache.invalidate("a")
        assert cache.get("a") == b"new"
        for manager, _ in after:
            manager.__exit__(None, None, None)


def test_a_server_that_does_not_answer_is_asked_again(caches: Caches, raw: RawMetaClient) -> None:
    table = Table()
    failing = [False]
    pauses: list[float] = []

    def connect() -> Connection:
        return refuse() if failing[0] else connected(caches.server)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        failing[0] = len(pauses) < 3

    servers = caches.servers(connect)
    cache = caches.over(table, options(settle_limit=60.0), servers, pause=pause)

    def cut() -> None:
        servers.cut()
        failing[0] = True

    table.after_writing = cut
    cache.set("a", b"1")
    assert pauses == [0.001, 0.002, 0.004]
    assert raw.get("a").found is False
    assert cache.statistics().acknowledged == 1
