"""A cache over a storage: what the Go library's own tests show of it, and what its faults were."""

from collections.abc import Callable
from typing import Any

import pytest
from support.caches import CountedStorage, at_once
from support.forms import CacheOnStorage

from godropbox.caching import (
    MISSING,
    CacheOptions,
    CacheStats,
    LocalStorage,
    Storage,
)

pytestmark = pytest.mark.usefixtures("form")


class Layers:
    """A layer, and both sides of it."""

    def __init__(self, **options: Any) -> None:
        self.cache = CountedStorage()
        self.storage = CountedStorage()
        self.combined = CacheOnStorage(self.cache, self.storage, CacheOptions(**options))

    def fill(self, cache: dict[str, Any], storage: dict[str, Any]) -> None:
        self.cache.data.update(cache)
        self.storage.data.update(storage)

    @property
    def stats(self) -> CacheStats:
        stats: CacheStats = self.combined.stats()
        return stats


@pytest.fixture
def layers(form: str) -> Layers:
    return Layers()


def test_a_hit_is_the_caches(layers: Layers) -> None:
    layers.fill({"foo": 1}, {"foo": 10})
    assert layers.combined.get("foo") == 1
    assert layers.storage.calls == []
    assert (layers.stats.hits, layers.stats.misses) == (1, 0)


def test_a_miss_is_the_storages_and_fills_the_cache(layers: Layers) -> None:
    layers.fill({}, {"foo": 10})
    assert layers.combined.get("foo") == 10
    assert layers.cache.data == {"foo": 10}
    assert layers.combined.get("foo") == 10
    assert layers.storage.calls == [("get", "foo")]
    assert (layers.stats.hits, layers.stats.misses) == (1, 1)


def test_get_multi(layers: Layers) -> None:
    layers.fill({"zzz": 1}, {"foo": 10, "zzz": 123, "www": 5})
    asked = ["foo", "bar", "zzz", "www", "foo"]
    assert layers.combined.get_multi(asked) == {"foo": 10, "zzz": 1, "www": 5}
    assert layers.cache.data == {"zzz": 1, "foo": 10, "www": 5}
    assert layers.storage.calls == [("get_multi", ["foo", "bar", "www"])]
    assert layers.cache.names() == ["get_multi", "set_multi"]
    assert (layers.stats.hits, layers.stats.misses) == (1, 3)


def test_a_batch_of_hits_asks_nobody_else(layers: Layers) -> None:
    layers.fill({"foo": 1, "bar": 2}, {})
    assert layers.combined.get_multi(key for key in ("foo", "bar")) == {"foo": 1, "bar": 2}
    assert layers.combined.get_multi(["foo", "foo"]) == {"foo": 1}
    assert layers.combined.get_multi([]) == {}
    assert layers.storage.calls == []


def test_a_miss_in_the_storage_is_no_value_in_the_cache(layers: Layers) -> None:
    """The original caches a nil for it."""
    assert layers.combined.get("foo", 7) == 7
    assert layers.combined.get("foo") is None
    assert layers.combined.get_multi(["foo", "bar"]) == {}
    assert layers.cache.data == {}
    assert "set" not in layers.cache.names() + layers.storage.names()
    layers.storage.data["foo"] = 10
    assert layers.combined.get("foo") == 10


def test_none_is_a_value(layers: Layers) -> None:
    layers.fill({}, {"foo": None})
    assert layers.combined.get("foo", MISSING) is None
    assert layers.combined.get("foo", MISSING) is None
    assert layers.combined.get_multi(["foo"]) == {"foo": None}
    assert layers.storage.names() == ["get"]


def test_set(layers: Layers) -> None:
    layers.combined.set("foo", 123)
    assert layers.cache.data == layers.storage.data == {"foo": 123}


def test_set_multi(layers: Layers) -> None:
    layers.combined.set_multi({"foo": 123, "bar": 321})
    layers.combined.set_multi({})
    assert layers.cache.data == layers.storage.data == {"foo": 123, "bar": 321}


def test_delete(layers: Layers) -> None:
    layers.combined.set_multi({"foo": 123, "bar": 321})
    layers.combined.delete("foo")
    assert layers.cache.data == layers.storage.data == {"bar": 321}


def test_delete_multi(layers: Layers) -> None:
    layers.combined.set_multi({"foo": 123, "bar": 321, "zzz": 213})
    layers.combined.delete_multi(key for key in ("foo", "zzz"))
    assert layers.cache.data == layers.storage.data == {"bar": 321}


def test_flush(layers: Layers) -> None:
    layers.combined.set_multi({"foo": 123, "bar": 321, "zzz": 213})
    layers.combined.flush()
    assert layers.cache.data == layers.storage.data == {}


def test_a_write_that_invalidates_leaves_the_next_read_to_fill() -> None:
    layers = Layers(on_write="invalidate")
    layers.fill({"foo": 1, "bar": 2}, {})
    layers.combined.set("foo", 10)
    assert (layers.cache.data, layers.storage.data) == ({"bar": 2}, {"foo": 10})
    layers.combined.set_multi({"bar": 20, "zzz": 30})
    assert layers.cache.data == {}
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 10, "bar": 20}


def test_the_storage_is_written_first(layers: Layers) -> None:
    order: list[str] = []
    layers.storage.before = lambda *call: order.append(f"storage {call[0]}")
    layers.cache.before = lambda *call: order.append(f"cache {call[0]}")
    layers.combined.set("foo", 1)
    layers.combined.delete("foo")
    layers.combined.flush()
    operations = [
        f"{side} {name}" for name in ("set", "delete", "flush") for side in ("storage", "cache")
    ]
    assert order == operations


def test_what_the_storage_raises_comes_out_of_a_read(layers: Layers) -> None:
    layers.storage.fail(error=ConnectionError("no such host"))
    call: Callable[[], Any]
    for call in (lambda: layers.combined.get("foo"), lambda: layers.combined.get_multi(["a", "b"])):
        with pytest.raises(ConnectionError, match="no such host"):
            call()
    layers.storage.recover()
    assert layers.combined.get("foo") is None


def test_any_number_of_tiers() -> None:
    near, far, storage = LocalStorage(10), CountedStorage(), CountedStorage({"foo": 1, "bar": 2})
    tiers = CacheOnStorage(near, CacheOnStorage(far, storage))
    assert tiers.get_multi(["foo", "bar", "zzz"]) == {"foo": 1, "bar": 2}
    assert near.get_multi(["foo", "bar", "zzz"]) == far.data == {"foo": 1, "bar": 2}
    assert storage.calls == [("get_multi", ["foo", "bar", "zzz"])]
    tiers.set("foo", 5)
    assert (near.get("foo"), far.data["foo"], storage.data["foo"]) == (5, 5, 5)
    near.flush()
    storage.calls.clear()
    assert tiers.get("foo") == 5
    assert storage.calls == []
    tiers.flush()
    assert (len(near), far.data, storage.data) == (0, {}, {})


@pytest.mark.threads
def test_a_thousand_callers_who_miss_cost_the_storage_one_read(layers: Layers) -> None:
    layers.fill({}, {"foo": object()})
    values = at_once(1000, lambda _: layers.combined.get("foo"))
    assert set(values) == {layers.storage.data["foo"]}
    assert layers.storage.names() == ["get"]


@pytest.mark.threads
def test_a_thousand_batches_that_miss_cost_the_storage_one_read_a_key(layers: Layers) -> None:
    layers.storage.data.update({key: key for key in range(20)})

    def read(number: int) -> Any:
        return layers.combined.get_multi([number % 20, (number + 1) % 20])

    values = at_once(200, read)
    assert values == [{n % 20: n % 20, (n + 1) % 20: (n + 1) % 20} for n in range(200)]
    read_keys = [key for call in layers.storage.calls for key in call[1]]
    assert sorted(read_keys) == list(range(20))


def test_it_is_a_storage_and_names_both_sides() -> None:
    layers = Layers()
    storage: Storage[str, int] = layers.combined
    assert storage.get("foo") is None
    assert layers.combined.cache is layers.cache
    assert layers.combined.storage is layers.storage
    near = LocalStorage(3)
    assert repr(CacheOnStorage(near, CountedStorage())) == (
        "<CacheOnStorage of <LocalStorage of 0 of 3 values> on <DictStorage of 0 items>>"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_write": "x"}, "on_write must be 'update' or 'invalidate', got 'x' (str)"),
        ({"on_doubt": "x"}, "on_doubt must be 'remember' or 'raise', got 'x' (str)"),
        ({"max_doubts": -1}, "max_doubts must be an int in [0, 2**31), got -1"),
        ({"retry_after": -1}, "retry_after must be at least 0 seconds, got -1"),
        ({"retry_after": float("nan")}, "retry_after must be at least 0 seconds, got nan (float)"),
        ({"retry_after": "x"}, "retry_after must be a number of seconds, got 'x' (str)"),
        ({"patience": 0.0}, "patience must be over 0 seconds or None, got 0.0 (float)"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Layers(**options)
    assert str(caught.value) == message
