"""Values over the server's limit, in parts."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.django_faces import Face
from support.memcached import running
from support.server_fleets import ServerFleet

from godropbox.django import GodropboxCache
from godropbox.memcache import (
    Client,
    NetworkError,
    PartialResultError,
    ServerError,
    UnreadableValueError,
)
from godropbox.memcache.heads import PARTS, Head

MakeCache = Callable[..., GodropboxCache]
Faced = Callable[[GodropboxCache], Face]

BIG = {"list": ["some text"] * 200_000, "bytes": b"x" * 3_000_000}
TEXT = "ü" * 1_500_000


@pytest.fixture
def parted(make: MakeCache, faced: Faced) -> Face:
    return faced(make(large_values="parts"))


def raw(cache: Face, client: Client, key: str) -> Any:
    """Return the item of a key: its bytes and its flags."""
    response = client._operations.get(cache.cache.make_key(key))
    return response.value, response.flags


def parts_of(cache: Face, client: Client, key: str) -> list[str]:
    """Return the keys of the parts of a value."""
    data, flags = raw(cache, client, key)
    assert flags == PARTS
    return Head.read(data, 1 << 30).names(cache.cache.make_key(key))


@pytest.mark.parametrize("value", [BIG, TEXT, b"r" * 1_048_577], ids=["object", "text", "bytes"])
@pytest.mark.parametrize("write", ["set", "add", "set_many", "get_or_set"])
def test_a_large_value_comes_back(parted: Face, client: Client, value: Any, write: str) -> None:
    if write == "set_many":
        assert parted.set_many({"small": 1, "key": value}, 100) == []
        assert parted.get_many(["small", "key", "none"]) == {"small": 1, "key": value}
    elif write == "get_or_set":
        assert parted.get_or_set("key", lambda: value, 100) == value
        assert parted.get_or_set("key", 0, 100) == value
    else:
        assert getattr(parted, write)("key", value, 100) in (None, True)
    assert parted.get("key") == value
    assert type(parted.get("key")) is type(value)
    assert parted.has_key("key")
    assert not parted.add("key", value)
    assert 90 <= parted.ttl("key") <= 100
    for part in parts_of(parted, client, "key"):
        assert client.get(part)


def test_a_small_value_is_one_item(parted: Face, client: Client) -> None:
    parted.set("key", "x" * 1_000_000)
    assert raw(parted, client, "key") == (b"x" * 1_000_000, 16)


@pytest.mark.parametrize("size", [1000, 1001, 1999, 2000, 2001, 12345])
def test_the_parts_are_the_whole(make: MakeCache, faced: Faced, client: Client, size: int) -> None:
    cache = faced(make(large_values="parts", part_size=1000))
    value = bytes(number % 251 for number in range(size))
    cache.set("key", value)
    assert cache.get("key") == value
    if size > 1000:
        sizes = [len(client.get(part)) for part in parts_of(cache, client, "key")]
        assert len(sizes) == -(-size // 1000)
        assert sum(sizes) == size
        assert max(sizes) <= 1000


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_lost_part_is_a_miss(parted: Face, client: Client, which: int) -> None:
    parted.set("key", TEXT)
    client.delete(parts_of(parted, client, "key")[which])
    assert parted.get("key", "missing") == "missing"
    assert parted.get_many(["key"]) == {}
    assert not parted.has_key("key")
    assert not parted.touch("key", 100)
    parted.set("key", TEXT)
    client.delete(parts_of(parted, client, "key")[which])
    assert parted.add("key", TEXT + "new")
    assert parted.get("key") == TEXT + "new"
    client.delete(parts_of(parted, client, "key")[which])
    assert parted.get_or_set("key", lambda: TEXT) == TEXT
    assert parted.get("key") == TEXT


def test_a_server_that_is_away_fails_only_the_values_it_has(
    make: MakeCache, faced: Faced, tmp_path: Path
) -> None:
    values: dict[str, Any] = {f"large{i}": bytes([65 + i]) * 1500 for i in range(20)}
    values |= {f"small{i}": i for i in range(20)}
    servers = ServerFleet("tcp", 3, tmp_path)
    with contextlib.closing(servers):
        where = servers.addresses, {"KEY_PREFIX": ""}
        cache = faced(make(*where, large_values="parts", part_size=1000))
        assert cache.set_many(values) == []
        servers.kill(1)
        found = {}
        for key in values:
            with contextlib.suppress(NetworkError):
                found[key] = cache.get(key)
        large = {key for key in found if key.startswith("large")}
        assert 0 < len(large) < 20
        with pytest.raises(PartialResultError) as caught:
            cache.get_many(values)
        assert caught.value.found == found
        assert caught.value.errors.keys() == values.keys() - found.keys()
        forgiving = faced(make(*where, ignore_exceptions=True))
        assert forgiving.get_many(values) == found


def test_what_an_ejected_server_should_have_is_not_said_to_be_stored(
    make: MakeCache, faced: Faced, tmp_path: Path
) -> None:
    value = b"x" * 1500
    servers = ServerFleet("tcp", 3, tmp_path)
    with contextlib.closing(servers):
        options = {"large_values": "parts", "part_size": 1000, "eject_after": 1, "retry_after": 60}
        cache = faced(make(servers.addresses, {"KEY_PREFIX": ""}, **options))
        servers.kill(1)
        for i in range(20):
            with contextlib.suppress(NetworkError):
                cache.get(f"key{i}")
        added = [cache.add(f"key{i}", value) for i in range(20)]
        assert [cache.get(f"key{i}") == value for i in range(20)] == added
        assert {True, False} == set(added)
        for i in range(20):
            assert cache.get_or_set(f"other{i}", lambda: value) == value
            assert (cache.ttl(f"other{i}") > 0) == (cache.get(f"other{i}") == value)


def test_an_unreadable_value_in_parts_fails_alone(
    make: MakeCache, faced: Faced, client: Client
) -> None:
    cache = faced(make(large_values="parts", part_size=1000))
    cache.set_many({"good": "g" * 2000, "bad": "b" * 2000, "small": 1})
    client.set(parts_of(cache, client, "bad")[0], b"\xff" * 1000)
    with pytest.raises(UnreadableValueError):
        cache.get("bad")
    with pytest.raises(PartialResultError) as caught:
        cache.get_many(["bad", "small", "good"])
    assert caught.value.found == {"good": "g" * 2000, "small": 1}
    assert list(caught.value.errors) == ["bad"]
    skipping = faced(make(unreadable="miss"))
    assert skipping.get("bad", "missing") == "missing"
    assert skipping.get_many(["bad", "small"]) == {"small": 1}


def test_a_part_of_another_size_is_a_miss(parted: Face, client: Client) -> None:
    parted.set("key", TEXT)
    client.set(parts_of(parted, client, "key")[0], b"short")
    assert parted.get("key") is None


def test_deletes_and_overwrites(parted: Face) -> None:
    parted.set("key", TEXT)
    assert parted.delete("key")
    assert parted.get("key") is None
    parted.set("key", TEXT)
    parted.set("key", "small")
    assert parted.get("key") == "small"
    parted.set("key", BIG)
    assert parted.get("key") == BIG
    parted.delete_many(["key"])
    assert parted.get("key") is None
    assert parted.incr_version is not None
    parted.set("key", TEXT)
    assert parted.incr_version("key") == 2
    assert parted.get("key", version=2) == TEXT


def test_touch_reaches_the_parts(parted: Face, client: Client) -> None:
    parted.set("key", TEXT, 10)
    parted.set("small", 1, 10)
    for key in ("key", "small"):
        assert parted.touch(key, 1000)
        assert 990 <= parted.ttl(key) <= 1000
    for part in parts_of(parted, client, "key"):
        assert client._operations.run(
            part, lambda protocol, key: protocol.meta_get(key, details=True)
        ).ttl in range(1050, 1061)
    assert not parted.touch("none", 1000)
    assert parted.touch("key", 0)
    assert parted.get("key") is None


def test_a_cache_that_writes_no_parts_touches_them(
    make: MakeCache, faced: Faced, client: Client
) -> None:
    make(large_values="parts").set("key", TEXT, 10)
    cache = faced(make())
    assert cache.touch("key", 1000)
    for part in parts_of(cache, client, "key"):
        assert client._operations.run(
            part, lambda protocol, key: protocol.meta_get(key, details=True)
        ).ttl in range(1050, 1061)


def test_parts_of_two_writes_are_never_joined(make: MakeCache, tmp_path: Path) -> None:
    """Threads write values of one letter each, and read only such.

    On a server of their own, all of whose memory is for items of their size.
    """
    failures: list[str] = []
    with running("tcp", tmp_path) as own:
        _write_letters(make, own.address, failures)
    assert failures == []


def _write_letters(make: MakeCache, address: str, failures: list[str]) -> None:

    def write(letter: str) -> None:
        cache = make(address, large_values="parts", part_size=10_000)
        for _ in range(30):
            cache.set("key", letter * 55_000)
            found = cache.get("key")
            if found is not None and (len(found) != 55_000 or len(set(found)) != 1):
                failures.append(found[:10])

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_cache_that_writes_no_parts_reads_them(make: MakeCache, faced: Faced) -> None:
    make(large_values="parts").set("key", TEXT)
    cache = faced(make())
    assert cache.get("key") == TEXT
    assert cache.get_many(["key"]) == {"key": TEXT}


@pytest.mark.parametrize("data", [b"", b"parts1", b"parts1 a 1 2", b"parts1 a 0 0 0", b"x a 1 1 1"])
def test_a_head_that_is_none_is_unreadable(parted: Face, client: Client, data: bytes) -> None:
    from godropbox.memcache import Item

    client._operations.set(Item(parted.cache.make_key("key"), data, PARTS))
    with pytest.raises(UnreadableValueError, match="no head of parts"):
        parted.get("key")


def test_parts_over_the_servers_limit_say_which_option(make: MakeCache, faced: Faced) -> None:
    cache = faced(make(large_values="parts", part_size=2_000_000))
    cache.set("key", "old")
    with pytest.raises(ServerError, match=r"OPTIONS\['part_size'\], 2000000, must be below it"):
        cache.set("key", TEXT)
    assert cache.get("key") is None


def test_long_prefixes_of_a_key_are_cut(parted: Face) -> None:
    key = "ü" * 100
    parted.set(key, TEXT)
    assert parted.get(key) == TEXT


def test_hashed_keys_have_parts(make: MakeCache, faced: Faced) -> None:
    cache = faced(make(large_values="parts", long_keys="hash"))
    key = "k" * 400
    cache.set(key, TEXT, 10)
    assert cache.get(key) == TEXT
    assert cache.touch(key, 1000)
    assert 990 <= cache.ttl(key) <= 1000


def test_of_a_compressed_value_the_parts_are_fewer(
    make: MakeCache, faced: Faced, client: Client
) -> None:
    cache = faced(make(large_values="parts", compressor="zlib", part_size=1000))
    value = "".join(map(str, range(2000)))
    cache.set("key", value)
    assert cache.get("key") == value
    assert 1 < len(parts_of(cache, client, "key")) < len(value) // 1000
