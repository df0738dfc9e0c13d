"""The back end for cachelib: what it stores, its counters, its failures."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cachelib import MemcachedCache
from frameworks.conftest import NOWHERE, Witness
from support.memcached import Server

from godropbox.cachelib import DEFAULT_OPTIONS, GodropboxCache
from godropbox.memcache import (
    ClientOptions,
    InvalidArgumentError,
    InvalidTypeError,
    NetworkError,
    PartialNetworkError,
    StaticShardManager,
)

Make = Callable[..., GodropboxCache]

VALUES = {"text": "x", "int": -5, "bytes": b"\x00", "none": None, "list": [1, {"a": None}], "": 0}


@pytest.fixture
def make(server: Server, witness: Witness) -> Iterator[Make]:
    made: list[GodropboxCache] = []

    def make(servers: Any = None, **arguments: Any) -> GodropboxCache:
        made.append(GodropboxCache(servers or [server.address], **arguments))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.mark.parametrize("prefix", [None, "app:"])
def test_values_of_all_kinds(make: Make, prefix: str | None) -> None:
    cache = make(key_prefix=prefix)
    assert cache.set_many(VALUES) == list(VALUES)
    assert cache.get_many(*VALUES, "missing") == [*VALUES.values(), None]
    assert cache.get_dict("int", "missing") == {"int": -5, "missing": None}
    for key, value in VALUES.items():
        assert cache.get(key) == value
        assert cache.has(key)
    assert not cache.has("missing")
    assert cache.delete("int")
    assert not cache.delete("int")
    assert cache.delete_many("text", "int", "missing") == ["text", "int", "missing"]
    assert not cache.has("text")
    assert cache.add("text", "new")
    assert not cache.add("text", "newer")
    assert cache.get("text") == "new"
    assert cache.get_many() == []
    assert cache.set_many({}) == []
    assert cache.clear()
    assert cache.get("text") is None


def test_a_prefix_keeps_caches_apart(make: Make, witness: Witness) -> None:
    one, other = make(key_prefix="one:"), make(key_prefix="other:")
    one.set("key", 1)
    assert other.get("key") is None
    assert witness.client.get("one:key") == 1


@pytest.mark.parametrize("key", ["", "a b", "line\n", "x" * 500, "ключ", "sha256:x"])
def test_any_text_is_a_key(make: Make, key: str) -> None:
    cache = make(key_prefix="app:")
    assert cache.set(key, 1)
    assert cache.inc(key) == 2
    assert cache.get_dict(key, "other") == {key: 2, "other": None}
    assert cache.delete_many(key) == [key]
    assert cache.get(key) is None


@pytest.mark.parametrize("prefix", [None, "app:"])
def test_what_is_stored_is_read_by_the_one_over_pylibmc(
    make: Make, server: Server, prefix: str | None
) -> None:
    ours = make(key_prefix=prefix)
    other = MemcachedCache([server.address], key_prefix=prefix, memcache_client_lib="pylibmc")
    values = {key: value for key, value in VALUES.items() if key}
    for writer, reader in ((ours, other), (other, ours)):
        assert writer.set_many(values) == list(values)
        assert reader.get_many(*values) == list(values.values())
        writer.set("count", 40)
        assert reader.inc("count", 2) == 42
        assert writer.get("count") == 42
        assert reader.delete_many(*values) == list(values)


def test_how_long_values_live(make: Make, witness: Witness) -> None:
    cache = make(default_timeout=timedelta(minutes=1))
    cache.set("key", 1)
    assert 55 <= (witness.ttl("key") or 0) <= 60
    cache.set_many({"key": 1}, timedelta(days=60))
    assert 5183990 <= (witness.ttl("key") or 0) <= 5184002
    cache.set("key", 1, 0)
    assert witness.ttl("key") == -1
    cache.inc("key")
    assert 55 <= (witness.ttl("key") or 0) <= 60


@pytest.mark.parametrize("protocol", ["meta", "ascii", "binary"])
def test_no_addition_gets_lost(server: Server, make: Make, protocol: Any) -> None:
    cache = make(options=ClientOptions(serializer="pickle", protocol=protocol))

    def add() -> None:
        for _ in range(50):
            assert cache.inc("count", 2) is not None
            assert cache.dec("count", 3) is not None

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("count") == -200


def test_a_value_that_cannot_be_read_is_none(make: Make, witness: Witness) -> None:
    witness.operations.set_values(["key"], [b"no pickle"], [1])
    cache = make()
    assert cache.get("key") is None
    assert not cache.has("key")
    assert cache.get_many("key") == [None]


def test_a_server_that_fails(make: Make) -> None:
    cache = make(NOWHERE)
    calls: list[Callable[[], Any]] = [
        lambda: cache.get("key"),
        lambda: cache.has("key"),
        lambda: cache.set("key", 1),
        lambda: cache.add("key", 1),
        lambda: cache.delete("key"),
        lambda: cache.inc("key"),
        lambda: cache.clear(),
    ]
    for call in calls:
        with pytest.raises(NetworkError, match="cannot connect to unix:/nowhere"):
            call()
    with pytest.raises(PartialNetworkError, match="2 of 2 keys failed"):
        cache.get_many("a", "b")
    assert cache.set_many({"a": 1, "b": 2}) == []
    assert cache.delete_many("a", "b") == []
    strict = make(NOWHERE, ignore_delete_many_errors=False)
    with pytest.raises(RuntimeError, match="2 of 2 keys were not deleted") as caught:
        strict.delete_many("a", "b")
    assert isinstance(caught.value.__cause__, NetworkError)


def test_a_server_that_fails_where_failures_are_misses(make: Make) -> None:
    cache = make(NOWHERE, options=ClientOptions(serializer="pickle", failures="miss"))
    assert cache.get("key") is None
    assert cache.get_dict("a", "b") == {"a": None, "b": None}
    assert not cache.has("key")
    assert not cache.set("key", 1)
    assert not cache.add("key", 1)
    assert not cache.delete("key")
    assert cache.inc("key") is None
    assert cache.dec("key") is None
    assert not cache.clear()
    assert cache.set_many({"a": 1}) == []
    assert cache.delete_many("a") == []


def test_a_manager_is_shared_and_stays_open(make: Make, server: Server) -> None:
    with StaticShardManager([server.address], options=DEFAULT_OPTIONS) as manager:
        one, other = make(manager), make(manager)
        one.set("key", "value")
        one.close()
        assert other.get("key") == "value"


def test_wrong_uses() -> None:
    with pytest.raises(InvalidArgumentError, match="address must be host, host:port"):
        GodropboxCache(["x:0"])
    with pytest.raises(InvalidArgumentError, match="prefix must be at most 179 bytes, got 180"):
        GodropboxCache(key_prefix="x" * 180)
    with pytest.raises(TypeError, match="timeout must be an int"):
        GodropboxCache().set("key", 1, "60")  # type: ignore[arg-type]
    with pytest.raises(InvalidTypeError, match="value must be bytes, str or int without a"):
        GodropboxCache(options=ClientOptions()).set("key", [1])
