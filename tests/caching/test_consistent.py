"""``ConsistentCacheOnStorage`` over a real memcached, one race at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caching.consist_support import Caches, CountingChannel, Table, dial, options
from support.memcached import Server, running

from godropbox import memcache
from godropbox.caching.consistent import (
    CommitUncertain,
    ConsistencyOptions,
    ConsistentCacheOnStorage,
    WriteRefused,
)
from godropbox.caching.consistent_servers import MetaServers
from godropbox.memcache import Item, RawMetaClient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture
def raw(server: Server) -> Iterator[RawMetaClient]:
    with dial(server) as client:
        assert client.flush().ok
        yield client


@pytest.fixture
def caches(server: Server, raw: RawMetaClient) -> Iterator[Caches]:
    with Caches(server) as caches:
        yield caches


def unreachable() -> ConsistentCacheOnStorage[str, bytes]:
    """Return a cache whose server is not there, over a table that has a."""

    def refuse() -> RawMetaClient:
        raise memcache.ConnectionLostError("nobody listens")

    return ConsistentCacheOnStorage(MetaServers([refuse]), Table(a=b"1"), options())


# Reading


def test_a_miss_fills_and_the_next_read_hits(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    cache = caches.over(table)
    assert [cache.get("a"), cache.get("a"), cache.get("a")] == [b"1"] * 3
    assert table.reads == 1
    assert (cache.statistics().fills, cache.statistics().hits) == (1, 2)


def test_what_the_storage_has_not_is_absent(caches: Caches, raw: RawMetaClient) -> None:
    cache = caches.over(Table())
    assert cache.get("a") is None
    assert cache.get("a", b"default") == b"default"
    assert cache.get_multi(["a", "b"]) == {}
    assert cache.get_multi([]) == {}


def test_the_misses_of_a_batch_are_one_read(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1", b=b"2", c=b"3")
    cache = caches.over(table)
    assert cache.get("a") == b"1"
    assert cache.get_multi(["a", "b", "c", "d", "b"]) == {"a": b"1", "b": b"2", "c": b"3"}
    assert table.reads == 2
    assert cache.get_multi(["a", "b", "c"]) == {"a": b"1", "b": b"2", "c": b"3"}
    assert table.reads == 2


def test_a_read_that_hits_costs_one_round_trip(caches: Caches, raw: RawMetaClient) -> None:
    channels: list[CountingChannel] = []

    def counted() -> RawMetaClient:
        channels.append(CountingChannel(caches.server.address))
        return RawMetaClient(channels[-1])

    def commands() -> int:
        told = raw.stats().entries[0]
        return sum(int(told[name]) for name in ("cmd_get", "cmd_set", "cmd_touch", "delete_misses"))

    keys = [f"key{n}" for n in range(50)]
    table = Table(**dict.fromkeys(keys, b"1"))
    cache = caches.over(table, servers=caches.servers(counted))
    cache.get_multi(keys)
    before, sent, reads = commands(), channels[0].sent, table.reads
    assert cache.get("key7") == b"1"
    assert (commands() - before, channels[0].sent - sent) == (1, 1)
    assert len(cache.get_multi(keys)) == 50
    assert channels[0].sent - sent == 2
    assert table.reads == reads
    assert len(channels) == 1

    with counted() as plain:
        assert plain.get("key7").found
    assert channels[1].sent == 1


def test_a_write_costs_three_round_trips(caches: Caches, raw: RawMetaClient) -> None:
    channel = CountingChannel(caches.server.address)
    cache = caches.over(Table(), servers=caches.servers(lambda: RawMetaClient(channel)))
    cache.set("a", b"1")
    assert channel.sent == 3
    cache.set("a", b"2")
    assert channel.sent == 6


def test_a_dead_cache_fails_no_read() -> None:
    cache = unreachable()
    assert cache.get("a") == b"1"
    assert cache.get_multi(["a", "b"]) == {"a": b"1"}
    assert cache.statistics().failed_looks == 3


def test_a_failing_storage_fails_the_read_alone(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    cache = caches.over(table)

    def fail() -> None:
        raise OSError("no storage")

    table.before_reading = fail
    with pytest.raises(OSError, match="no storage"):
        cache.get("a")
    with pytest.raises(OSError, match="no storage"):
        cache.get_multi(["a", "b"])
    assert not raw.get("a").found


def test_a_read_that_a_write_overtakes_does_not_fill(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"old")
    reader, writer = caches.over(table), caches.over(table)

    def overtake() -> None:
        table.after_reading = lambda: None
        writer.delete("a")

    table.after_reading = overtake
    assert reader.get("a") == b"old"  # which it was when the read began
    assert reader.statistics().fills_lost == 1
    assert reader.get("a") is None


def test_a_reader_whose_lease_is_gone_does_not_fill(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    cache = caches.over(table)
    table.after_reading = lambda: raw.delete("a")  # as if it had been evicted
    assert cache.get("a") == b"1"
    assert not raw.get("a").found


def test_a_lease_of_another_is_respected(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    first, second = caches.over(table), caches.over(table)
    got: list[Any] = []

    def meanwhile() -> None:
        table.before_reading = lambda: None
        got.append(second.get("a"))

    table.before_reading = meanwhile
    assert first.get("a") == b"1"
    assert got == [b"1"]
    assert (first.statistics().fills, second.statistics().shielded) == (1, 1)


def test_what_others_put_there_is_not_read(caches: Caches, raw: RawMetaClient) -> None:
    raw.set(Item("a", b"theirs"))
    table = Table(a=b"ours")
    cache = caches.over(table)
    assert cache.get("a") == b"ours"
    assert raw.get("a").value == b"theirs"
    cache.set("a", b"new")
    assert raw.get("a").value == b"new"


def test_a_value_that_cannot_be_decoded(caches: Caches, raw: RawMetaClient) -> None:
    table: Any = Table(a=b"7")
    assert caches.over(table).get("a") == b"7"
    table.data["a"] = 8

    def decode(data: bytes) -> int:
        raise ValueError("of an older version")

    encoding = options(encode=lambda value: b"%d" % value, decode=decode)
    assert caches.over(table, encoding).get("a") == 8


def test_an_encoder_that_gives_no_bytes_is_an_error(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    wrong = options(encode=lambda value: "text")
    for use in ("get", "set"):
        cache: Any = caches.over(table, wrong)
        with pytest.raises(TypeError, match="encode must return bytes, got 'text'"):
            cache.get("a") if use == "get" else cache.set("a", b"1")
    assert table.writes == 0


def test_a_bad_key_is_the_callers_error(caches: Caches, raw: RawMetaClient) -> None:
    cache = caches.over(Table())
    for key in ("", "a b", "x" * 251):
        with pytest.raises(memcache.InvalidArgumentError):
            cache.get(key)
        with pytest.raises(memcache.InvalidArgumentError):
            cache.set(key, b"1")
        with pytest.raises(memcache.InvalidArgumentError):
            cache.get_multi(["good", key])


def test_keys_of_any_kind(caches: Caches, raw: RawMetaClient) -> None:
    table: Any = Table()
    table.data[7] = b"seven"
    cache: Any = caches.over(table, options(cache_key=lambda key: f"number:{key}"))
    assert [cache.get(7), cache.get(7)] == [b"seven"] * 2
    assert raw.get("number:7").value == b"seven"


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
    with pytest.raises(WriteRefused, match="could not be told of a write of \\['a'\\]") as caught:
        cache.set("a", b"2")
    assert caught.value.keys == ["a"]
    with pytest.raises(WriteRefused):
        cache.delete("a")
    assert cache.get("a") == b"1"
    assert cache.statistics().refused == 2


def test_a_batch_is_written_whole_or_not_at_all(caches: Caches, raw: RawMetaClient) -> None:
    def refuse() -> RawMetaClient:
        raise memcache.ConnectionLostError("nobody listens")

    servers = caches.servers(
        lambda: dial(caches.server), refuse, server_of=lambda key: int(key == "b")
    )
    table = Table()
    cache = caches.over(table, servers=servers)
    with pytest.raises(WriteRefused, match=r"\['b'\]") as caught:
        cache.set_multi({"a": b"1", "b": b"2"})
    assert caught.value.keys == ["a", "b"]
    assert table.data == {}
    assert not raw.get("a").found  # its sentinel is gone, and readers may fill
    cache.set("a", b"1")
    assert table.data == {"a": b"1"}


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
            with pytest.raises(CommitUncertain, match="could not be told so") as caught:
                cache.set("a", b"new")
            assert (caught.value.committed, caught.value.keys) == (True, ["a"])
            with pytest.raises(CommitUncertain, match="could not be told so"):
                cache.invalidate("a")
        assert cache.get("a") == b"new"
        for manager, _ in after:
            manager.__exit__(None, None, None)


def test_a_server_that_does_not_answer_is_asked_again(caches: Caches, raw: RawMetaClient) -> None:
    table = Table()
    failing = [False]
    pauses: list[float] = []

    def connect() -> RawMetaClient:
        if failing[0]:
            raise memcache.ConnectionLostError("nobody listens")
        return dial(caches.server)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        failing[0] = len(pauses) < 3

    servers = caches.servers(connect)
    cache = caches.over(table, options(settle_limit=60.0), servers, pause=pause)

    def cut() -> None:
        servers.close()
        failing[0] = True

    table.after_writing = cut
    cache.set("a", b"1")
    assert pauses == [0.001, 0.002, 0.004]
    assert raw.get("a").found is False
    assert cache.statistics().acknowledged == 1


# The rest


def test_what_is_written_elsewhere_is_invalidated(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1", b=b"2")
    cache = caches.over(table)
    assert len(cache.get_multi(["a", "b"])) == 2
    table.data.update(a=b"3", b=b"4")
    cache.invalidate("a")
    assert cache.get_multi(["a", "b"]) == {"a": b"3", "b": b"2"}
    cache.invalidate_multi(["a", "b", "c"])
    assert cache.get_multi(["a", "b"]) == {"a": b"3", "b": b"4"}


def test_flush(caches: Caches, raw: RawMetaClient) -> None:
    table = Table(a=b"1")
    cache = caches.over(table)
    assert cache.get("a") == b"1"
    cache.flush()
    assert table.data == {}
    assert cache.get("a") is None

    def fail() -> None:
        raise OSError("no storage")

    table.before_writing = fail
    with pytest.raises(CommitUncertain, match="did not say that it was flushed") as caught:
        cache.flush()
    assert caught.value.committed is None
    with pytest.raises(CommitUncertain, match="a server did not say") as caught:
        unreachable().flush()
    assert caught.value.committed is True


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("value_life", -1, r"value_life must be an int in \[0, 2592000\] seconds, got -1"),
        ("lease_life", 0, r"lease_life must be an int in \[1, 2592000\] seconds, got 0"),
        ("sentinel_life", 2.5, r"sentinel_life must be an int in \[1, 2592000\] seconds, got 2.5"),
        ("clock_drift", 1.0, r"clock_drift must be in \[0, 1\), got 1.0"),
        ("settle_limit", -1.0, r"settle_limit must be in \[0, 1e9\) seconds, got -1.0"),
        ("storage_limit", 29.0, r"storage_limit must be in \(0, 28.71\] seconds"),
        ("storage_limit", 0.0, r"storage_limit must be in \(0, 28.71\] seconds"),
    ],
)
def test_options_that_cannot_be(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConsistencyOptions(**{field: value})
