"""Django's own memcached back ends and ours over one fleet: each reads what the other stores."""

from collections.abc import Callable, Iterator
from typing import Any

import pymemcache.serde
import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.memcached import PyLibMCCache, PyMemcacheCache
from django.utils.safestring import mark_safe
from support.server_fleets import ServerFleet

from godropbox.django import GodropboxCache

PEERS: dict[str, tuple[Callable[..., BaseCache], dict[str, Any], dict[str, Any]]] = {
    "pymemcache": (PyMemcacheCache, {}, {"compatible": "pymemcache"}),
    "pymemcache-same": (
        PyMemcacheCache,
        {"no_delay": True, "use_pooling": True, "max_pool_size": 4},
        {"compatible": "pymemcache"},
    ),
    "pymemcache-compressed": (
        PyMemcacheCache,
        {"serde": pymemcache.serde.compressed_serde},
        {"compatible": "pymemcache"},
    ),
    "pylibmc": (PyLibMCCache, {}, {"compatible": "pylibmc"}),
    "pylibmc-ketama": (
        PyLibMCCache,
        {"behaviors": {"ketama": True}},
        {"compatible": "pylibmc"},
    ),
    "pylibmc-weighted": (
        PyLibMCCache,
        {"behaviors": {"ketama_weighted": True, "tcp_nodelay": True}},
        {"compatible": "pylibmc"},
    ),
}
# Values that both give back with their types.
VALUES: list[Any] = [
    None,
    0,
    -7,
    2**70,
    1.5,
    "",
    "text",
    "ü" * 50,
    "long " * 1000,
    b"long " * 1000,
    ["long"] * 1000,
    b"raw",
    b"\x00\xff",
    [1, ("two", None)],
    {"a": {1, 2}},
    bytearray(b"array"),
]
KEYS = [f"key{number}" for number in range(60)] + ["ü", "a/b?c=d", "x" * 200]

Pair = tuple[BaseCache, GodropboxCache]


@pytest.fixture(params=list(PEERS))
def pair(request: pytest.FixtureRequest, fleet: ServerFleet, prefix: str) -> Iterator[Pair]:
    """One of Django's back ends and ours, with the same settings but for what ours adds."""
    kind, options, ours = PEERS[request.param]
    params = {"KEY_PREFIX": prefix, "OPTIONS": options}
    theirs = kind(fleet.addresses, params)
    yield theirs, GodropboxCache(fleet.addresses, params | {"OPTIONS": options | ours})
    theirs.close()


def both_ways(pair: Pair) -> list[tuple[BaseCache, BaseCache]]:
    return [(pair[0], pair[1]), (pair[1], pair[0])]


def usable(pair: Pair, keys: list[str]) -> list[str]:
    """Return the keys that the other one can place: pymemcache hashes Latin-1, pylibmc UTF-8."""
    return [key for key in keys if key.isascii() or isinstance(pair[0], PyLibMCCache)]


def test_each_finds_what_the_other_stored(pair: Pair) -> None:
    keys = usable(pair, KEYS)
    for at, (writer, reader) in enumerate(both_ways(pair)):
        for key in keys:
            writer.set(key, f"{at}-{key}")
        assert [reader.get(key) for key in keys] == [f"{at}-{key}" for key in keys]
        assert writer.set_many({key: key for key in keys}) == []
        assert reader.get_many(keys) == {key: key for key in keys}
        reader.delete_many(keys)
        assert writer.get_many(keys) == {}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
def test_values_keep_their_types(pair: Pair, value: Any) -> None:
    for writer, reader in both_ways(pair):
        writer.set("key", value)
        found = reader.get("key", "missing")
        assert found == value
        assert type(found) is type(value)


def test_what_is_not_the_same_is_known(pair: Pair) -> None:
    theirs, ours = pair
    # An empty value is that of a lease to us: a miss, and no wrong value.
    theirs.set("empty", b"")
    assert ours.get("empty", "missing") == "missing"
    ours.set("empty", b"")
    assert theirs.get("empty") == b""
    # pylibmc loses these types, and ours tells it what they were.
    ours.set_many({"safe": mark_safe("<b>"), "true": True})
    assert type(theirs.get("safe")) is type(mark_safe(""))
    assert theirs.get("true") is True
    theirs.set("true", True)
    assert ours.get("true") == 1


def test_counters_are_common(pair: Pair) -> None:
    for writer, reader in both_ways(pair):
        for key in ("n", "m", "o", "p"):
            writer.set(key, 9)
            assert reader.incr(key) == 10
            assert writer.incr(key) == 11
            assert reader.decr(key, 4) == 7
            assert writer.get(key) == 7
            assert reader.get(key) == 7


def test_a_load_leaves_no_lease_that_the_other_would_read(pair: Pair) -> None:
    theirs, ours = pair
    seen = []

    def load() -> str:
        seen.append(theirs.get("key", "missing"))
        return "loaded"

    assert ours.get_or_set("key", load) == "loaded"
    assert seen == ["missing"]
    assert theirs.get_or_set("key", "other") == "loaded"


def test_without_compatible_only_the_placement_differs(fleet: ServerFleet, prefix: str) -> None:
    """On one server each reads the other's values without any option."""
    params = {"KEY_PREFIX": prefix}
    first = fleet.addresses[0]
    for kind in (PyMemcacheCache, PyLibMCCache):
        theirs = kind(first, params)
        test_each_finds_what_the_other_stored((theirs, GodropboxCache(first, params)))
        theirs.close()
