"""A cache that fails: reads go on, writes go on, and nothing old is read afterwards."""

from typing import Any

import pytest
from support.caches import CountedStorage, Gate, at_once
from support.pools import Clock, until

from godropbox import errors
from godropbox.caching import CacheOnStorage, CacheOptions, PartialFailureError, StaleCacheError


class Cancelled(BaseException):
    """What a timeout of gevent's is."""


class Layers:
    """A layer whose cache and storage can fail, and whose clock is set."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.cache = CountedStorage()
        self.storage = CountedStorage()
        self.told: list[str] = []
        self.combined = CacheOnStorage(
            self.cache,
            self.storage,
            CacheOptions(
                clock=self.clock,
                on_cache_failure=lambda operation, error: self.told.append(operation),
                **options,
            ),
        )

    @property
    def doubts(self) -> int:
        return self.combined.stats().doubts


@pytest.fixture
def layers() -> Layers:
    made = Layers()
    made.combined.set_multi({"foo": 1, "bar": 2})
    made.cache.calls.clear()
    made.storage.calls.clear()
    return made


def test_a_cache_that_fails_fails_no_read(layers: Layers) -> None:
    """In the original it fails all of them."""
    layers.cache.fail()
    assert layers.combined.get("foo") == 1
    assert layers.combined.get("nothing", 7) == 7
    assert layers.combined.get_multi(["foo", "bar", "nothing"]) == {"foo": 1, "bar": 2}
    assert layers.combined.stats().cache_failures == 3
    assert layers.told == ["get", "get", "get_multi"]
    # What cannot be read is not tried to be filled.
    assert layers.cache.names() == ["get", "get", "get_multi"]
    layers.cache.recover()
    assert layers.combined.get("foo") == 1
    assert layers.combined.stats().hits == 1


def test_a_cache_that_cannot_be_filled_fails_no_read(layers: Layers) -> None:
    layers.cache.data.clear()
    layers.cache.fail("set", "set_multi")
    assert layers.combined.get("foo") == 1
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1, "bar": 2}
    assert layers.combined.stats().cache_failures == 2
    assert layers.doubts == 0


def test_a_thousand_readers_of_a_dead_cache_share_a_read_of_the_storage(layers: Layers) -> None:
    layers.cache.fail()
    layers.storage.before = lambda *call: until(lambda: layers.combined.stats().waiting == 999)
    assert at_once(1000, lambda _: layers.combined.get("foo")) == [1] * 1000
    assert layers.storage.calls == [("get", "foo")]


def test_a_cancelled_cache_is_no_failure(layers: Layers) -> None:
    layers.cache.fail("get", error=Cancelled())
    with pytest.raises(Cancelled):
        layers.combined.get("foo")
    assert layers.combined.stats().cache_failures == 0


# Writes: a value that cannot be cached, a cache that is down


@pytest.mark.parametrize("many", [False, True])
def test_a_value_that_cannot_be_cached_is_taken_out(layers: Layers, many: bool) -> None:
    """As of a value that is too large for memcached; the old one would stay for ever."""
    layers.cache.fail("set", "set_multi")
    if many:
        layers.combined.set_multi({"foo": 10, "bar": 20})
    else:
        layers.combined.set("foo", 10)
    assert layers.cache.data == ({} if many else {"bar": 2})
    assert layers.doubts == 0
    assert layers.combined.get("foo") == 10


def write(layers: Layers, operation: str) -> None:
    if operation == "set":
        layers.combined.set("foo", 10)
    elif operation == "set_multi":
        layers.combined.set_multi({"foo": 10, "zzz": 30})
    elif operation == "delete":
        layers.combined.delete("foo")
    else:
        layers.combined.delete_multi(["foo", "zzz"])


WRITES = ["set", "set_multi", "delete", "delete_multi"]


@pytest.mark.parametrize("operation", WRITES)
def test_what_was_written_past_a_dead_cache_is_read_past_it(layers: Layers, operation: str) -> None:
    layers.cache.fail()
    write(layers, operation)
    expected = layers.storage.data.get("foo")
    assert layers.cache.data["foo"] == 1  # which nobody may read through this layer again
    assert layers.doubts == (2 if operation.endswith("multi") else 1)
    layers.cache.recover()
    assert layers.combined.get("foo") == expected
    assert layers.combined.get_multi(["foo", "bar"]).get("foo") == expected
    assert layers.cache.data["foo"] == 1  # it is not yet time to try again
    layers.clock.advance(1)
    assert layers.combined.get("bar") == 2
    assert "foo" not in layers.cache.data
    assert layers.doubts == 0
    assert layers.combined.get("foo") == expected


def test_while_the_cache_is_down_it_is_tried_once_in_a_while(layers: Layers) -> None:
    layers.cache.fail()
    layers.combined.set("foo", 10)
    layers.cache.calls.clear()
    for _ in range(5):
        assert layers.combined.get("foo") == 10
    assert layers.cache.calls == []
    layers.clock.advance(1)
    for _ in range(5):
        assert layers.combined.get("foo") == 10
    assert layers.cache.calls == [("delete", "foo")]


def test_a_write_that_reaches_the_cache_has_the_others_made_up_for(layers: Layers) -> None:
    layers.cache.fail()
    layers.combined.set("foo", 10)
    layers.cache.recover()
    layers.clock.advance(1)
    layers.combined.set("bar", 20)
    assert layers.cache.data == {"bar": 20}
    assert layers.doubts == 0


def test_a_key_that_still_cannot_be_invalidated_stays_in_doubt(layers: Layers) -> None:
    layers.cache.fail()
    layers.combined.set_multi({"foo": 10, "bar": 20})
    layers.cache.fail("delete_multi", error=PartialFailureError("one shard", ["bar"]))
    layers.clock.advance(1)
    layers.cache.data.pop("foo")
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 10, "bar": 20}
    assert layers.doubts == 1
    assert layers.cache.data == {"bar": 2, "foo": 10}


def test_a_cache_that_fails_for_some_keys_gives_the_others(layers: Layers) -> None:
    """As one of many servers does that is down."""
    layers.storage.data["zzz"] = 3
    layers.cache.fail("get_multi", error=PartialFailureError("one shard", ["bar"], {"foo": 1}))
    assert layers.combined.get_multi(["foo", "bar", "zzz"]) == {"foo": 1, "bar": 2, "zzz": 3}
    assert layers.storage.calls == [("get_multi", ["bar", "zzz"])]
    assert layers.cache.calls == [("get_multi", ["foo", "bar", "zzz"]), ("set", "zzz")]
    assert layers.combined.stats().cache_failures == 1


def test_a_set_that_fails_for_some_keys_takes_those_out(layers: Layers) -> None:
    layers.cache.fail("set_multi", error=PartialFailureError("one shard", ["bar"]))
    layers.combined.set_multi({"foo": 10, "bar": 20})
    assert layers.cache.calls == [("set_multi", ["foo", "bar"]), ("delete", "bar")]
    assert "bar" not in layers.cache.data


def test_only_the_keys_that_could_not_be_taken_out_are_in_doubt(layers: Layers) -> None:
    layers.cache.fail("delete_multi", error=PartialFailureError("one shard", ["bar"]))
    layers.combined.delete_multi(["foo", "bar"])
    assert layers.doubts == 1


def test_what_the_cache_takes_for_no_key_is_never_in_doubt(layers: Layers) -> None:
    """A key that memcached refuses is not in it; nor may it hold up the others."""

    def refuses(operation: str, keys: Any) -> None:
        if "a b" in keys:
            raise ValueError("key must have no space")

    layers.cache.before = refuses
    layers.combined.set("a b", 1)
    assert layers.doubts == 0
    layers.cache.data.update({"foo": 0, "bar": 0})
    layers.combined.delete_multi(["foo", "a b", "bar"])
    assert layers.doubts == 0
    assert layers.cache.data == {}


def test_a_caller_can_ask_to_be_told() -> None:
    layers = Layers(on_doubt="raise")
    layers.combined.set("foo", 1)
    layers.cache.fail()
    with pytest.raises(StaleCacheError) as caught:
        layers.combined.set("foo", 10)
    assert caught.value.message == (
        "the storage was written, but the cache may hold an old value of 'foo' (str)"
    )
    assert caught.value.keys == ["foo"]
    assert isinstance(caught.value.__cause__, errors.NetworkError)
    assert layers.storage.data == {"foo": 10}
    assert layers.combined.get("foo") == 10
    with pytest.raises(StaleCacheError, match="an old value of any of 2 keys"):
        layers.combined.delete_multi(["foo", "bar"])


def test_what_cannot_be_kept_in_mind_is_told() -> None:
    layers = Layers(max_doubts=1)
    layers.cache.fail()
    layers.combined.set("foo", 1)
    layers.combined.set("foo", 2)
    with pytest.raises(StaleCacheError) as caught:
        layers.combined.set("bar", 1)
    assert caught.value.keys == ["bar"]
    assert layers.doubts == 1


@pytest.mark.parametrize("error", [TimeoutError("no answer"), Cancelled()], ids=repr)
@pytest.mark.parametrize("operation", WRITES)
def test_a_write_whose_outcome_is_unknown_leaves_nothing_old(
    layers: Layers, operation: str, error: BaseException
) -> None:
    """The storage was written, and the answer was lost."""

    def written_all_the_same(*call: Any) -> None:
        if call[0] == operation:
            layers.storage.data["foo"] = 10
            raise error

    layers.storage.before = written_all_the_same
    with pytest.raises(type(error)):
        write(layers, operation)
    layers.storage.recover()
    assert layers.combined.get("foo") == 10
    assert layers.cache.data["foo"] == 10


def test_a_write_that_is_cancelled_at_the_cache_leaves_nothing_old(layers: Layers) -> None:
    layers.cache.fail("set", error=Cancelled())
    with pytest.raises(Cancelled):
        layers.combined.set("foo", 10)
    layers.cache.recover()
    assert layers.combined.get("foo") == 10


def test_a_lost_write_that_cannot_be_kept_in_mind_says_so() -> None:
    layers = Layers(max_doubts=0)
    layers.storage.fail("set", error=TimeoutError("no answer"))
    with pytest.raises(TimeoutError) as caught:
        layers.combined.set("foo", 1)
    assert caught.value.__notes__ == ["the cache may hold old values of the keys that were written"]


def test_a_flush_that_does_not_reach_the_cache_is_told(layers: Layers) -> None:
    layers.cache.fail("flush")
    with pytest.raises(StaleCacheError, match="the storage was flushed, but") as caught:
        layers.combined.flush()
    assert caught.value.keys == []
    assert layers.storage.data == {}
    assert layers.told == ["flush"]


def test_a_flush_whose_outcome_is_unknown_flushes_the_cache(layers: Layers) -> None:
    layers.storage.fail("flush", error=TimeoutError("no answer"))
    with pytest.raises(TimeoutError):
        layers.combined.flush()
    assert layers.cache.data == {}
    layers.cache.fail("flush")
    with pytest.raises(TimeoutError) as caught:
        layers.combined.flush()
    assert caught.value.__notes__ == ["the cache may hold values that the storage no longer holds"]


def test_a_flush_ends_all_doubt(layers: Layers) -> None:
    layers.cache.fail()
    layers.combined.set("foo", 10)
    layers.cache.recover()
    layers.combined.flush()
    assert layers.doubts == 0
    assert layers.combined.get("foo") is None


# The race of a reader and a writer


def race(reader: CacheOnStorage, writer: CacheOnStorage, storage: CountedStorage) -> Any:
    """The reader misses, reads 1, and is held up; the writer writes 2; the reader fills."""
    gate = Gate()
    storage.data["foo"] = 1
    storage.after = gate.pass_through

    def work(number: int) -> Any:
        if number == 0:
            return reader.get("foo")
        gate.wait_for_someone()
        storage.after = lambda *call: None
        writer.set("foo", 2)
        gate.open()
        return None

    return at_once(2, work)[0]


def test_the_race_leaves_nothing_old_where_both_use_one_layer(layers: Layers) -> None:
    layers.cache.data.clear()
    race(layers.combined, layers.combined, layers.storage)
    assert layers.combined.get("foo") == 2
    assert layers.cache.data["foo"] == 2


def test_the_race_leaves_the_old_value_where_they_use_two(layers: Layers) -> None:
    """As the documents say: it stays for as long as the cache keeps it."""
    layers.cache.data.clear()
    writer = CacheOnStorage(layers.cache, layers.storage)
    assert race(layers.combined, writer, layers.storage) == 1
    assert writer.get("foo") == 1
    assert layers.storage.data["foo"] == 2


def test_what_was_written_since_is_not_filled(layers: Layers) -> None:
    layers.cache.data.clear()
    layers.storage.after = lambda *call: layers.combined.delete("foo")
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1, "bar": 2}
    assert layers.cache.data == {"bar": 2}


def test_who_reads_after_a_write_does_not_share_a_read_from_before(layers: Layers) -> None:
    layers.cache.fail()
    assert race(layers.combined, layers.combined, layers.storage) == 1
    assert layers.combined.get("foo") == 2
