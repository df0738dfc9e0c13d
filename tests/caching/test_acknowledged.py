"""A read that begins after a write was acknowledged never gets the old value, at any moment.

Both go through one layer. What is told here is what a load does meanwhile that began before.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from support.caches import CountedStorage
from support.pools import until

from godropbox import errors
from godropbox.caching import (
    CacheOnStorage,
    CacheOptions,
    DictStorage,
    FreshCacheOnStorage,
    Freshness,
)

LAYERS: list[Callable[..., Any]] = [
    CacheOnStorage,
    lambda cache, storage, options: FreshCacheOnStorage(
        cache, storage, Freshness(ttl=100.0), options
    ),
]


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("on_write", ["update", "invalidate"])
@pytest.mark.parametrize("max_doubts", [0, 2, 10])
def test_what_a_late_load_puts_into_the_cache_is_read_by_nobody(
    make: Callable[..., Any], on_write: Any, max_doubts: int
) -> None:
    """It is put after the write told the cache, and is read before it can be taken out again."""
    cache = CountedStorage()
    storage = DictStorage({"k": "old", "a": "1", "b": "2"})
    layer = make(cache, storage, CacheOptions(max_doubts=max_doubts, on_write=on_write))
    seen: list[Any] = []

    def before(operation: str, keys: Any = ()) -> None:
        if operation in ("set", "delete", "delete_multi") and {"a", "b"} & set(keys):
            raise errors.NetworkError("no such host")
        if (operation, keys) == ("set", "k") and not seen:
            seen.append(None)
            with ThreadPoolExecutor(1) as threads:
                threads.submit(layer.set, "k", "new").result(20)

    def after(operation: str, key: Any) -> None:
        if operation == "set" and len(seen) == 1 and "old" in cache.data[key]:
            seen.append(layer.get("k"))

    cache.before, cache.after = before, after
    if max_doubts == 2:  # and there is no room for another
        for key in ("a", "b"):
            layer.set(key, "3")
        assert layer.stats().doubts == 2
    assert layer.get("k") == "old"
    assert seen[1:] == ["new"]
    assert layer.get("k") == "new"
    assert storage.get("k") == "new"


def test_a_load_that_found_the_old_value_in_the_cache_is_joined_by_nobody() -> None:
    """It began when the write had told the loads, and looked when it had not told the cache."""
    cache = CountedStorage()
    storage = DictStorage({"k": "old", "other": "1"})
    layer: Any = CacheOnStorage(cache, storage)
    with ThreadPoolExecutor(3) as threads:
        writing: list[Future[None]] = []
        reading: list[Future[Any]] = []
        inside: list[int] = []
        told: list[int] = []

        def before(operation: str, key: Any) -> None:
            if (operation, key) == ("get", "k") and not inside:
                inside.append(1)
                layer.get("other")  # so that the load looks into the cache once more
            elif (operation, key) == ("get_multi", ["k"]) and not writing:
                cache.data["k"] = "old"
                writing.append(threads.submit(layer.set, "k", "new"))
                until(lambda: bool(told))
            elif (operation, key) == ("set", "k"):
                told.append(1)
                until(lambda: bool(reading) or len(told) > 1)

        def after(operation: str, key: Any) -> None:
            if operation == "get_multi" and not reading:
                told.append(2)
                writing[0].result(20)  # it is acknowledged
                del cache.data["k"]  # as another's eviction may
                reading.append(threads.submit(layer.get, "k"))
                until(lambda: reading[0].done() or layer.stats().waiting > 0)

        cache.before, cache.after = before, after
        first = threads.submit(layer.get, "k")
        assert first.result(20) == "old"  # it began before
        assert reading[0].result(20) == "new"


def test_a_storage_that_gives_more_than_was_asked_for_fills_nothing_else() -> None:
    class Generous(CountedStorage):
        def get_multi(self, keys: Any) -> dict[Any, Any]:
            super().get_multi(keys)
            return dict(self.data)

    cache = CountedStorage()
    layer: Any = CacheOnStorage(cache, Generous({"a": 1, "b": 2, "k": "old"}))
    assert layer.get_multi(["a", "b"]) == {"a": 1, "b": 2}
    assert cache.data == {"a": 1, "b": 2}


def test_a_cache_that_gives_more_than_was_asked_for_loses_nothing() -> None:
    class Generous(CountedStorage):
        def get_multi(self, keys: Any) -> dict[Any, Any]:
            return {**super().get_multi(keys), "x": 9}

    layer: Any = CacheOnStorage(Generous({"a": 1}), DictStorage({"a": 1, "b": 2}))
    assert layer.get_multi(["a", "b"]) == {"a": 1, "b": 2}
    assert layer.get_multi(["b", "a", "b"]) == {"a": 1, "b": 2}
