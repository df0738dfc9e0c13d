"""A cache that fails: reads go on, writes go on, and nothing old is read afterwards."""

import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from support.caches import CountedStorage, Gate, at_once
from support.forms import (
    CacheOnStorage,
    FreshCacheOnStorage,
    FunctionStorage,
    MemcacheStorage,
    RateLimitedStorage,
)
from support.pools import Clock, until

from godropbox import errors
from godropbox.caching import (
    CacheOptions,
    DictStorage,
    Freshness,
    LocalStorage,
    PartialFailureError,
    SingleFlight,
    StaleCacheError,
)
from godropbox.memcache import Client, InvalidArgumentError, InvalidTypeError
from godropbox.memcache.testing import MockClient

pytestmark = pytest.mark.usefixtures("form")


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
        doubts: int = self.combined.stats().doubts
        return doubts


@pytest.fixture
def layers(form: str) -> Layers:
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


@pytest.mark.threads
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
    """A key that memcached refuses, to reads too, is not in it; nor may it hold up the others."""

    def refuses(operation: str, keys: Any) -> None:
        if "a b" in keys:
            raise InvalidArgumentError("key must have no space")

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


def race(reader: Any, writer: Any, storage: CountedStorage) -> Any:
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


@pytest.mark.threads
def test_the_race_leaves_nothing_old_where_both_use_one_layer(layers: Layers) -> None:
    layers.cache.data.clear()
    race(layers.combined, layers.combined, layers.storage)
    assert layers.combined.get("foo") == 2
    assert layers.cache.data["foo"] == 2


@pytest.mark.threads
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


@pytest.mark.threads
def test_who_reads_after_a_write_does_not_share_a_read_from_before(layers: Layers) -> None:
    layers.cache.fail()
    assert race(layers.combined, layers.combined, layers.storage) == 1
    assert layers.combined.get("foo") == 2


# What a cache raises that is no word about the key


def closed_file(*_: Any) -> None:
    """Do what a client over a file that is closed does."""
    raise ValueError("I/O operation on closed file")


OTHERS = [
    ValueError("I/O operation on closed file"),
    TypeError("a bytes-like object is required"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    KeyError("shard"),
    errors.UsageError("the client is closed"),
    errors.NetworkError("no such host"),
]


@pytest.mark.parametrize("error", OTHERS, ids=repr)
@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("on_doubt", ["remember", "raise"])
def test_only_an_argument_error_says_that_the_cache_takes_no_such_key(
    operation: str, error: Exception, on_doubt: Any
) -> None:
    """The old value is in the cache, which can be read and not be written."""
    layers = Layers(on_doubt=on_doubt)
    layers.combined.set_multi({"foo": 1, "zzz": 3})
    layers.cache.fail("set", "set_multi", "delete", "delete_multi", error=error)
    if on_doubt == "raise":
        with pytest.raises(StaleCacheError) as caught:
            write(layers, operation)
        assert caught.value.__cause__ is error
    else:
        write(layers, operation)
    assert layers.doubts == (2 if operation.endswith("multi") else 1)
    assert layers.cache.data["foo"] == 1
    assert layers.combined.get("foo") == layers.storage.data.get("foo")
    assert layers.combined.get_multi(["foo"]).get("foo") == layers.storage.data.get("foo")


REFUSALS = [InvalidArgumentError("value must be smaller"), InvalidTypeError("value must be bytes")]


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("read", ["get", "get_multi"])
def test_a_key_that_a_read_takes_is_in_doubt_though_writes_refuse_it(
    layers: Layers, operation: str, error: Exception, read: str
) -> None:
    refusing = {"set", "set_multi", "delete", "delete_multi", "get", "get_multi"} - {read}
    layers.cache.fail(*refusing, error=error)
    write(layers, operation)
    assert layers.doubts == (2 if operation.endswith("multi") else 1)
    layers.cache.recover()
    assert layers.combined.get("foo") == layers.storage.data.get("foo")


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_a_value_that_cannot_be_stored_takes_the_old_one_out(
    layers: Layers, error: Exception
) -> None:
    layers.cache.fail("set", "set_multi", error=error)
    layers.combined.set("foo", 10)
    layers.combined.set_multi({"bar": 20, "zzz": 30})
    assert (layers.cache.data, layers.doubts) == ({}, 0)
    layers.cache.data["foo"] = 1
    layers.cache.fail("set", "delete", error=error)
    layers.combined.set("foo", 11)
    assert layers.doubts == 1
    assert layers.combined.get("foo") == 11


def test_a_key_that_the_cache_never_lets_go_holds_up_no_other(layers: Layers) -> None:
    """More of them than are invalidated in one call."""
    stuck = [f"stuck {number}" for number in range(1500)]

    def refuses(operation: str, keys: Any) -> None:
        if operation in ("delete", "delete_multi"):
            of_one = [keys] if isinstance(keys, str) else keys
            if any(key.startswith("stuck") for key in of_one) or layers.told == ["down"]:
                raise ValueError("of some client's own")

    layers.told[:] = ["down"]
    layers.cache.before = refuses
    layers.combined.delete_multi([*stuck, "foo"])
    assert (layers.doubts, layers.cache.data) == (1501, {"foo": 1, "bar": 2})
    layers.told.clear()
    for _ in range(2):
        layers.clock.advance(1)
        layers.combined.get("bar")
    assert (layers.doubts, layers.cache.data) == (1500, {"bar": 2})


@pytest.mark.parametrize("names", [[], ["FOO"], ["foo", "FOO"], None, [["foo"]]], ids=repr)
def test_a_partial_failure_that_names_other_keys_says_nothing_of_any(
    layers: Layers, names: Any
) -> None:
    """As of a client that names them as they are on the wire."""
    error = PartialFailureError("some", [], {"foo": 1, "other": 5})
    error.keys = names
    layers.cache.fail("set_multi", "delete_multi", "delete", error=error)
    layers.combined.set_multi({"foo": 10, "bar": 20})
    assert layers.doubts == 2
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 10, "bar": 20}
    fresh = CacheOnStorage(layers.cache, layers.storage)
    layers.cache.fail("get_multi", error=error)
    layers.storage.data["foo"] = 1
    assert fresh.get_multi(["foo", "bar"]) == {"foo": 1, "bar": 20}


def test_what_a_cache_finds_in_an_odd_shape_fails_no_read(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (None, 5, [("foo", 1)], "text"):
        monkeypatch.setattr(layers.cache, "get_multi", Mock(return_value=answer))
        assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1, "bar": 2}


# A cache that is a layer itself


def test_what_the_storage_of_a_cache_raises_is_that_caches_failure() -> None:
    near, far, storage = CountedStorage(), CountedStorage(), CountedStorage()
    inner = CacheOnStorage(near, far)
    outer = CacheOnStorage(inner, storage)
    outer.set_multi({"foo": 1, "bar": 2})
    for error in (
        ValueError("of far"),
        InvalidArgumentError("of far"),
        errors.NetworkError("down"),
    ):
        far.fail("set", "set_multi", "delete", "delete_multi", error=error)
        outer.set("foo", error)
        assert outer.stats().doubts == 1
        assert outer.get("foo") is error
        assert far.data["foo"] == 1
    storage.fail("set", error=errors.NetworkError("down"))
    with pytest.raises(errors.NetworkError):
        outer.set("foo", 9)


def test_a_layer_that_cannot_keep_a_key_in_mind_says_so_to_the_layer_above() -> None:
    """Its storage failed for one key, and its own cache is now old for another."""
    near, far, storage = CountedStorage(), CountedStorage(), CountedStorage()
    inner = CacheOnStorage(near, far, CacheOptions(max_doubts=0))
    outer = CacheOnStorage(inner, storage)
    outer.set_multi({"foo": 1, "bar": 2})
    far.fail("set_multi", "delete_multi", error=PartialFailureError("one shard", ["bar"]))
    near.fail("delete", "delete_multi")
    outer.set_multi({"foo": 10, "bar": 20})
    far.recover()
    assert near.data == {"foo": 1, "bar": 2}
    assert outer.get_multi(["foo", "bar"]) == {"foo": 10, "bar": 20}


def test_a_failing_storage_is_no_failing_cache(layers: Layers) -> None:
    layers.cache.data.clear()
    for error in (InvalidArgumentError("of the storage"), InvalidTypeError("m"), ValueError("m")):
        layers.storage.fail(error=error)
        call: Callable[[], Any]
        for call in (
            lambda: layers.combined.get("foo"),
            lambda: layers.combined.get_multi(["foo", "bar"]),
            lambda: layers.combined.set("foo", 1),
        ):
            with pytest.raises(type(error)):
                call()
    assert layers.combined.stats().cache_failures == 0


# A programmer's mistakes


def over_memcached(storage: dict[Any, Any], **options: Any) -> tuple[CacheOnStorage, Any]:
    cache = MemcacheStorage(Client.over(MockClient(), **options))
    return CacheOnStorage(cache, DictStorage(storage)), cache


def test_keys_that_need_a_key_of_are_a_mistake_that_is_told() -> None:
    layer, _ = over_memcached({5: b"five", 6: b"six"})
    call: Callable[[], Any]
    for call in (lambda: layer.get(5), lambda: layer.get_multi([5, 6]), lambda: layer.set(5, b"")):
        with pytest.raises(InvalidTypeError, match="key must be") as caught:
            call()
        assert "does it lack a key_of, or a serializer?" in caught.value.__notes__[0]
    with pytest.raises(InvalidTypeError, match="key must be") as caught:
        layer.delete(5)
    assert caught.value.__notes__[-1] == "the storage was written"
    assert layer.storage.get(5) is None
    assert layer.stats().doubts == 0


def test_values_that_need_a_serializer_are_a_mistake_that_is_told() -> None:
    layer, _ = over_memcached({"ann": {"name": "Ann"}, "bob": {"name": "Bob"}})
    call: Callable[[], Any]
    for call in (
        lambda: layer.get("ann"),
        lambda: layer.get_multi(["ann", "bob"]),
        lambda: layer.set("ann", {"name": "Anna"}),
        lambda: layer.set_multi({"ann": {"name": "Anna"}, "bob": {}}),
    ):
        with pytest.raises(InvalidTypeError, match="without a serializer"):
            call()
    assert layer.storage.get("ann") == {"name": "Anna"}
    assert layer.stats().doubts == 0
    fresh = FreshCacheOnStorage(layer.cache, DictStorage({"a": b"b"}), Freshness(ttl=60))
    with pytest.raises(InvalidTypeError, match="without a serializer"):
        fresh.get("a")
    with pytest.raises(InvalidTypeError, match="key must be"):
        FreshCacheOnStorage(layer.cache, DictStorage(), Freshness(ttl=60)).get(5)


def test_one_odd_key_or_value_among_others_fails_no_read() -> None:
    layer, cache = over_memcached({"ann": b"Ann", "bob": None, "eve": {}, 5: b"five"})
    assert layer.get("bob") is None  # a null among bytes, and the first that is asked for
    assert layer.get("ann") == b"Ann"
    assert (layer.get("eve"), layer.get(5)) == ({}, b"five")
    assert layer.get_multi(["ann", "eve", 5]) == {"ann": b"Ann", "eve": {}, 5: b"five"}
    layer.set(5, b"six")
    layer.set("ann", {})
    assert (layer.get(5), layer.get("ann"), layer.stats().doubts) == (b"six", {}, 0)
    assert cache.get("ann") is None
    serialized, _ = over_memcached({"ann": object()}, serializer="json")
    assert serialized.get("ann") is serialized.storage.get("ann")


def test_the_first_failure_of_each_kind_is_logged(
    layers: Layers, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (*OTHERS, *OTHERS, InvalidArgumentError("no space"), InvalidTypeError("no int")):
        layers.cache.fail("get", error=error)
        layers.combined.get("foo")
    told = [record for record in caplog.records if record.name == "godropbox.caching"]
    assert [(record.levelname, type(record.exc_info[1])) for record in told] == [  # type: ignore[index]
        ("WARNING", type(error)) for error in (*OTHERS, *REFUSALS)
    ]
    assert told[0].getMessage().replace("<Async", "<") == (
        "<CacheOnStorage of <DictStorage of 2 items> on <DictStorage of 2 items>>: get failed, "
        "which is logged once: builtins.ValueError: I/O operation on closed file"
    )
    caplog.clear()
    layers.cache.fail(error=OTHERS[0])
    layers.combined.set("foo", 1)
    layers.combined.set("foo", 1)
    assert [record.args[1] for record in caplog.records] == ["set", "delete"]  # type: ignore[index]


class OddError(Exception):
    """Whose text and repr fail, too."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def test_a_log_that_fails_fails_no_read(
    layers: Layers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layers.cache.fail(error=OddError())
    assert layers.combined.get("foo") == 1
    assert "OddError whose __str__ raised ValueError" in caplog.text
    monkeypatch.setattr("logging.Logger.warning", closed_file)
    layers.cache.fail(error=KeyError("foo"))
    assert layers.combined.get_multi(["foo"]) == {"foo": 1}


# What has to be waited for, or iterated over, is no value


async def promised(*_: Any) -> Any:
    return 5


def generated(*_: Any) -> Any:
    yield 5


async def both(*_: Any) -> Any:
    yield 5


PROMISES = [promised, generated, both]


class Awaited:
    """An awaitable that can be closed, as those of Cython's and asyncio's can."""

    closed = False

    def __await__(self) -> Any:
        yield 5

    def close(self) -> None:
        self.closed = True


@pytest.mark.threads
@pytest.mark.parametrize("function", PROMISES)
def test_a_storage_that_is_async_is_refused(function: Any) -> None:
    for name in ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush"):
        odd = DictStorageOf(name, function)
        for made in (partial(CacheOnStorage, odd, {}), partial(CacheOnStorage, {}, odd)):
            with pytest.raises(TypeError, match=rf"\.{name} must return a value, got .*async"):
                made()
        with pytest.raises(TypeError, match=f"^{name} must return a value, got .*async"):
            FunctionStorage("odd", **{name: function})


class DictStorageOf(DictStorage[Any, Any]):
    """A storage one of whose methods is another function."""

    __slots__ = ("__dict__",)

    def __init__(self, name: str, function: Any) -> None:
        super().__init__()
        setattr(self, name, function)


@pytest.mark.threads
@pytest.mark.parametrize("function", PROMISES)
def test_what_is_promised_by_a_function_that_is_not_async_is_refused(function: Any) -> None:
    """A decorator hides that it is; and nobody warns that a coroutine was never awaited."""

    def hidden(*given: Any) -> Any:
        return function(*given)

    def mapped(keys: Any) -> Any:
        return {key: function() for key in keys}

    loads = FunctionStorage("odd", get=hidden, get_multi=mapped)
    does = ("set", "set_multi", "delete", "delete_multi", "flush")
    odd = FunctionStorage("odd", **dict.fromkeys(does, hidden))
    of_dicts = [DictStorageOf(name, hidden) for name in ("get", "get_multi", *does)]
    calls: list[Any] = [
        lambda: loads.get(1),
        lambda: loads.get_multi([1]),
        lambda: FunctionStorage("odd", get=hidden).get_multi([1]),
        lambda: FunctionStorage("odd", get_multi=hidden).get(1),
        lambda: FunctionStorage("odd", get_multi=mapped).get(1),
        lambda: odd.set(1, 2),
        lambda: odd.set_multi({1: 2}),
        lambda: odd.delete(1),
        lambda: odd.delete_multi([1]),
        lambda: odd.flush(),
        lambda: CacheOnStorage(DictStorage(), of_dicts[0]).get(1),
        lambda: CacheOnStorage(DictStorage(), of_dicts[1]).get_multi([1]),
        lambda: CacheOnStorage(DictStorage(), of_dicts[2]).set(1, 2),
        lambda: CacheOnStorage(DictStorage(), of_dicts[3]).set_multi({1: 2}),
        lambda: CacheOnStorage(DictStorage(), of_dicts[4]).delete(1),
        lambda: CacheOnStorage(DictStorage(), of_dicts[5]).delete_multi([1]),
        lambda: CacheOnStorage(DictStorage(), of_dicts[6]).flush(),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"must return a value, got <.*: is it async, or a ge"):
            call()


@pytest.mark.threads
@pytest.mark.parametrize("function", [*PROMISES, Awaited])
def test_a_batch_of_promises_is_refused_and_kept_nowhere(function: Any) -> None:
    """All of them are closed, whatever is beside them, and whatever kind of mapping has them."""
    for kind in (dict, OrderedDict, MappingProxyType):
        made: list[Any] = []

        def mapped(keys: Any, made: Any = made, kind: Any = kind) -> Any:
            made += [function() for _ in range(2)]
            return kind(dict(zip(keys, [1, made[0], None, made[1]], strict=True)))

        odd = DictStorageOf("get_multi", mapped)
        fresh = Freshness(ttl=60)
        for layer in (
            CacheOnStorage(DictStorage(), odd),
            FreshCacheOnStorage(DictStorage(), odd, fresh),
            CacheOnStorage(DictStorage(), RateLimitedStorage(odd, 1)),
            RateLimitedStorage(odd, 1),
            FunctionStorage("odd", get_multi=mapped),
        ):
            del made[:]
            with pytest.raises(TypeError, match=r"get_multi must return a value, got <.*: is it"):
                layer.get_multi(["a", "b", "c", "d"])
            assert [is_closed(each) for each in made] == [True, True]
            cache: Any = getattr(layer, "cache", None)
            assert cache is None or cache.data == {}
        del made[:]
        with pytest.raises(TypeError, match=r"^load must return a value, got <.*: is it"):
            SingleFlight().run_multi(["a", "b", "c", "d"], mapped)
        assert [is_closed(each) for each in made] == [True, True]


def is_closed(promise: Any) -> bool:
    if isinstance(promise, Awaited):
        return promise.closed
    if hasattr(promise, "cr_code"):
        return inspect.getcoroutinestate(promise) == inspect.CORO_CLOSED
    if hasattr(promise, "gi_code"):
        return inspect.getgeneratorstate(promise) == inspect.GEN_CLOSED
    return hasattr(promise, "ag_code")  # one that has not begun need not be closed


@pytest.mark.threads
@pytest.mark.parametrize("function", PROMISES)
def test_what_a_limited_storage_promises_is_refused(function: Any) -> None:
    calls: dict[str, Any] = {
        "get": (1,),
        "get_multi": ([1],),
        "set": (1, 2),
        "set_multi": ({1: 2},),
        "delete": (1,),
        "delete_multi": ([1],),
        "flush": (),
    }
    for name, given in calls.items():
        limited = RateLimitedStorage(DictStorageOf(name, lambda *given: function(*given)), 1)
        with pytest.raises(TypeError, match=rf"^storage\.{name} must return a value, got <.*: is"):
            getattr(limited, name)(*given)
    unrun = generated()
    assert RateLimitedStorage(DictStorage(), 1).get("nothing", unrun) is unrun


@pytest.mark.threads
@pytest.mark.parametrize("function", PROMISES)
def test_a_cache_that_promises_a_write_did_not_write(function: Any) -> None:
    for name in ("set", "delete"):
        cache = DictStorageOf(name, lambda *given: function(*given))
        layer = CacheOnStorage(cache, DictStorage())
        cache.data["foo"] = 1
        layer.set("foo", 2) if name == "set" else layer.delete("foo")
        assert layer.get("foo") == layer.storage.get("foo")
        # The read after it tries to fill the cache.
        assert layer.stats().cache_failures == (2 if name == "set" else 1)


class ClassRaisesError(TypeError):
    """Which ``isinstance`` cannot ask."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise OSError("no class")


class AttributesRaiseError(ValueError):
    def __getattribute__(self, name: str) -> Any:
        if name == "__traceback__" and sys.implementation.name == "pypy":  # raising asks for it
            return super().__getattribute__(name)
        raise OSError(f"no {name}")


def outcome(call: Any, *given: Any) -> Any:
    """Return what a call returns, or the class of what it raises: pytest would ask that."""
    try:
        return call(*given)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("kind", [ClassRaisesError, AttributesRaiseError])
@pytest.mark.parametrize("fresh", [False, True])
def test_no_exception_of_a_cache_fails_a_read(kind: type[Exception], fresh: bool) -> None:
    """And nothing asks it who it is."""

    def fails(*_: Any) -> Any:
        raise kind("odd")

    names = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
    cache = FunctionStorage("odd", **dict.fromkeys(names, fails))
    storage: DictStorage[str, int] = DictStorage()
    freshness = Freshness(ttl=60)
    layer = (
        FreshCacheOnStorage(cache, storage, freshness) if fresh else CacheOnStorage(cache, storage)
    )
    storage.set_multi({"foo": 1, "bar": 2})
    assert outcome(layer.get, "foo") == 1
    assert outcome(layer.get_multi, ["foo", "bar"]) == {"foo": 1, "bar": 2}
    assert outcome(layer.set, "foo", 3) is None
    assert outcome(layer.set_multi, {"foo": 3, "bar": 4}) is None
    assert outcome(layer.delete, "foo") is None
    assert outcome(layer.delete_multi, ["foo", "zoo"]) is None
    assert outcome(layer.get_multi, ["foo", "bar"]) == {"bar": 4}
    assert outcome(layer.flush) is StaleCacheError


@pytest.mark.threads
@pytest.mark.parametrize("kind", [ClassRaisesError, AttributesRaiseError])
def test_an_odd_exception_of_a_storage_or_a_load_comes_out(kind: type[Exception]) -> None:
    flight, gate = SingleFlight(), Gate()

    def fails(*_: Any) -> Any:
        raise kind("odd")

    def held() -> Any:
        gate.pass_through()
        fails()

    names = ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush")
    layer = CacheOnStorage(DictStorage(), FunctionStorage("odd", **dict.fromkeys(names, fails)))
    assert outcome(layer.get, "foo") is kind
    assert outcome(layer.get_multi, ["foo", "bar"]) is kind
    assert outcome(layer.set, "foo", 1) is kind
    assert outcome(layer.delete_multi, ["foo", "bar"]) is kind
    assert outcome(layer.flush) is kind
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(outcome, flight.run, "foo", held)]
        gate.wait_for_someone()
        asked.append(threads.submit(outcome, flight.run, "foo", list))
        until(lambda: flight.followers == 1)
        gate.open()
    assert [each.result() for each in asked] == [kind, kind]


@pytest.mark.threads
def test_a_local_cache_keeps_any_object() -> None:
    """Only what a load promises is refused: not what merely can be iterated over or called."""
    for value in (iter([1]), map(str, [1]), range(3), MagicMock(), object, print):
        layer = CacheOnStorage(LocalStorage(10), DictStorage({"foo": value}))
        assert layer.get("foo") is value
        assert layer.get("foo") is value
