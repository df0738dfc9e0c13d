"""``ConsistentCacheOnStorage`` over a real memcached: reads, round trips, and all but writes."""

from collections.abc import Callable
from typing import Any

import pytest
from caching.consist_support import Caches, CountingChannel, Servers, Table, options, unreachable
from support.dialects import DIALECTS, FakeServer
from support.forms import ConsistentCacheOnStorage

from godropbox import memcache
from godropbox.caching.consistent import (
    CommitUncertain,
    ConsistencyOptions,
    WriteRefused,
)
from godropbox.memcache import Connection, Item, RawMetaClient

pytestmark = pytest.mark.usefixtures("form")

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

    def counted() -> Connection:
        channels.append(CountingChannel(caches.server.address))
        return Connection(channels[-1])

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

    channel = CountingChannel(caches.server.address)
    with RawMetaClient(channel) as plain:
        assert plain.get("key7").found
        before = channel.sent  # the server was asked what it knows
        assert plain.get("key7").found
    assert channel.sent == before + 1


def test_a_write_costs_three_round_trips(caches: Caches, raw: RawMetaClient) -> None:
    channel = CountingChannel(caches.server.address)
    cache = caches.over(Table(), servers=caches.servers(lambda: Connection(channel)))
    cache.set("a", b"1")
    assert channel.sent == 5  # the server is asked first for its version, and what it knows
    cache.set("a", b"2")
    assert channel.sent == 8


@pytest.mark.parametrize("name", ["1.6.9", "nutcracker", "redis"])
def test_a_server_without_meta_is_refused_by_name_and_runs_no_value(name: str) -> None:
    values = {"a": b"set victim 0 0 5\r\nTAKEN", "b": b"flush_all"}
    with FakeServer(DIALECTS[name]) as fake:
        with Servers([fake.address]) as servers:
            cache = ConsistentCacheOnStorage(servers, Table(**values), options())
            with pytest.raises(memcache.NotSupportedError, match="does not know the meta commands"):
                cache.get_multi(["a", "b"])
            with pytest.raises(memcache.NotSupportedError, match="does not know the meta commands"):
                cache.set("a", values["b"])
        assert fake.store.flushes == 0
        assert fake.store.items == {}
        assert b"flush_all" not in fake.received


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


# What fails without a word of the cache's


@pytest.mark.threads
def test_a_storage_that_is_async_is_refused(caches: Caches, raw: RawMetaClient) -> None:
    class Hidden(Table):
        """Whose methods are not async, but return what is."""

        def get(self, key: str, default: Any = None) -> Any:
            return promised()

        def get_multi(self, keys: Any) -> Any:
            return promised()

        def set(self, key: str, value: bytes) -> Any:
            return promised()

        def set_multi(self, items: Any) -> Any:
            return promised()

        def delete(self, key: str) -> Any:
            return promised()

        def delete_multi(self, keys: Any) -> Any:
            return promised()

        def flush(self) -> Any:
            return promised()

    class Plain(Table):
        async def set(self, key: str, value: bytes) -> None:  # type: ignore[override]
            pass

    async def promised() -> bytes:
        return b"1"

    with pytest.raises(TypeError, match=r"^storage\.set must return a value, got <.*async"):
        caches.over(Plain())
    cache = caches.over(Hidden())
    call: Callable[[], Any]
    for call in (
        lambda: cache.get("a"),
        lambda: cache.get_multi(["a", "b"]),
        lambda: cache.set("a", b"1"),
        lambda: cache.set_multi({"a": b"1", "b": b"2"}),
        lambda: cache.delete("a"),
        lambda: cache.delete_multi(["a", "b"]),
        lambda: cache.flush(),
    ):
        with pytest.raises(TypeError, match="must return a value, got <coroutine"):
            call()

    class Batch(Table):
        def get_multi(self, keys: Any) -> Any:
            return {"a": b"1", "b": promised(), "c": promised()}

    with pytest.raises(TypeError, match=r"^storage\.get_multi must return a value, got <coroutine"):
        caches.over(Batch()).get_multi(["a", "b", "c"])
    # Nothing was written, and that is known: no sentinel keeps readers from the cache.
    assert cache.statistics().aborted == 6
    assert caches.over(Table(a=b"1")).get("a") == b"1"
    assert raw.get("a").value == b"1"


def test_values_that_cannot_be_decoded_are_told_to_the_log(
    caches: Caches, raw: RawMetaClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in ``decode`` makes of every entry one that cannot be read."""

    def fails(data: bytes) -> Any:
        raise KeyError("version")

    cache = caches.over(Table(a=b"1", b=b"2"), ConsistencyOptions(decode=fails))
    for _ in range(3):
        assert cache.get_multi(["a", "b"]) == {"a": b"1", "b": b"2"}
    (told,) = [record for record in caplog.records if record.name == "godropbox.caching"]
    assert "decode failed, which is logged once: builtins.KeyError: 'version'" in told.getMessage()


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError("no answer")], ids=repr
)
def test_a_dial_of_ones_own_that_fails_fails_no_read(
    caches: Caches, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Connection:
        raise error

    cache = caches.over(Table(a=b"1"), servers=caches.servers(fail))
    assert cache.get("a") == b"1"
    assert cache.get_multi(["a", "b"]) == {"a": b"1"}
    assert cache.statistics().failed_looks == 3
    assert caplog.text.count("which is logged once") == 1
    with pytest.raises(WriteRefused):
        cache.set("a", b"2")
