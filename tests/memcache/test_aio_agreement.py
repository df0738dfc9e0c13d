"""``AsyncClient`` and ``Client`` over one fleet: each key on one server, each value the same."""

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.blocking import LOOPS, Blocking
from support.memcached import need_tokens
from support.server_fleets import PROTOCOLS, ServerFleet

from godropbox import memcache
from godropbox.memcache import ShardState
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient
from godropbox.memcache.client import Client
from godropbox.memcache.fleet.placement import Crc32, Custom, Hash2, Jump, Ketama, Rendezvous

SHARD_FUNCS: dict[str, Any] = {
    "hash2": Hash2(),
    "jump": Jump(),
    "crc32": Crc32(),
    "ketama": Ketama(),
    "ketama, unweighted": Ketama(weighted=False),
    "rendezvous": Rendezvous(),
    "custom": Custom(lambda key, shards: zlib.crc32(str(key).encode()) % shards),
    "a callable": lambda key, shards: len(key) % shards,
}
CODECS: dict[str, dict[str, Any]] = {
    "none": {},
    "json": {"serializer": "json"},
    "msgpack": {"serializer": "msgpack"},
    "pickle": {"serializer": "pickle"},
    "json, zlib": {"serializer": "json", "compressor": "zlib", "compress_from": 50},
    "msgpack, zstd": {"serializer": "msgpack", "compressor": "zstd", "compress_from": 50},
    "pickle, zlib, hashed": {"serializer": "pickle", "compressor": "zlib", "long_keys": "hash"},
    "prefix": {"prefix": "app:"},
}
KEYS: list[Any] = [f"{'user:' * (i % 30)}{i * 7919:06}" for i in range(300)]
KEYS += [f"žluť:日本:{i}" for i in range(30)] + [b"bytes:%d" % i for i in range(30)]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFleet]:
    fleet = ServerFleet("tcp", 8, tmp_path_factory.mktemp("eight"))
    yield fleet
    fleet.close()


def both(fleet: ServerFleet, loop: str, **options: Any) -> tuple[Client, Any]:
    """Return a client of each kind, of the same servers with the same options."""
    options |= {"timeout": 10.0}
    blocking = Client(fleet.addresses, **options)
    return blocking, Blocking(AsyncClient(fleet.addresses, **options), loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", SHARD_FUNCS)
def test_each_key_is_on_the_same_server(eight: ServerFleet, name: str, loop: str) -> None:
    blocking, face = both(eight, loop, shard_func=SHARD_FUNCS[name])
    blocking.flush_all()
    values = dict.fromkeys(KEYS, b"by Client")
    assert blocking.set_many(values) == []
    assert face.get_many(KEYS) == values
    assert [face.get(key) for key in KEYS] == list(values.values())
    held = curr_items(blocking)
    assert sum(held) == len(KEYS)
    values = dict.fromkeys(KEYS, b"by AsyncClient")
    assert face.set_many(values) == []
    assert curr_items(blocking) == held  # each over the other's
    assert blocking.get_many(KEYS) == values
    for key in KEYS[::7]:
        assert face.delete(key) is True
        assert blocking.set(key, b"again") is True
        assert face.get(key) == b"again"
    assert curr_items(face) == held
    blocking.close()
    face.close()


def curr_items(client: Any) -> list[int]:
    """Return how many items each server has."""
    return [int(each["curr_items"]) for _, each in sorted(client.stats().items())]


@pytest.mark.parametrize("name", SHARD_FUNCS)
def test_each_fleet_places_each_key_alike(eight: ServerFleet, name: str) -> None:
    """Also where states tell that some servers are not to be asked, or with one server alone."""
    states = [ShardState.ACTIVE] * 5 + [ShardState.WRITE_ONLY, ShardState.DOWN, ShardState.WARM_UP]
    for count in (8, 3, 1):
        statuses = list(zip(eight.addresses, states, strict=True))[:count]
        plain = memcache.BaseShardManager(SHARD_FUNCS[name])
        of_tasks = AsyncBaseShardManager(SHARD_FUNCS[name])
        for manager in (plain, of_tasks):
            manager.update_shard_states(statuses)
        assert [of_tasks.fleet().of(key) for key in KEYS] == [plain.fleet().of(k) for k in KEYS]
        plain.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("codec", CODECS)
def test_each_value_is_the_same(eight: ServerFleet, codec: str, protocol: str, loop: str) -> None:
    need_tokens()
    options = CODECS[codec]
    blocking, face = both(eight, loop, protocol=protocol, **options)
    blocking.flush_all()
    values: dict[Any, Any] = {
        "bytes": b"\0\r\nEND\r\n",
        "empty bytes": b"",
        b"text": "žluť",
        "empty-text": "",
        "int": -(10**30),
        "large-text": "é" * 5000,
        "large-bytes": bytes(range(256)) * 200,
        "largest": b"x" * 900_000,
    }
    values = {
        key.replace(" ", "-") if isinstance(key, str) else key: v for key, v in values.items()
    }
    if "serializer" in options:
        values |= {"list": ["x", 1, None, 2.5] * 100, "dict": {"a": [1, {"b": True}]}, "none": None}
        values |= {"true": True, "float": 1.5}
    if options.get("serializer") == "pickle":
        values |= {"set": {1, 2}, "bignum": {"a": 2**70}}
    if "long_keys" in options:
        values |= {"k" * 300: 1, "é" * 200: "long"}
    for writer, reader in ((blocking, face), (face, blocking)):
        assert writer.set_many(values) == []
        assert reader.get_many(values) == values
        for key, value in values.items():
            found = reader.get(key)
            assert (found, type(found)) == (value, type(value))
            assert writer.set(key, value) is True
            assert reader.gets(key)[0] == value
        assert raw_of(reader, values) == raw_of(writer, values)
        assert reader.delete_many(values) == []
    if codec == "json":
        face.set("k", {"a": 1})
        assert json.loads(raw_of(blocking, ["k"])["k"][0]) == {"a": 1}
    blocking.close()
    face.close()


def raw_of(client: Any, keys: Any) -> dict[Any, Any]:
    """Return the bytes and flags that are stored, as a client's own operations see them."""
    inner = getattr(client, "inner", client)
    names = [inner._named(key) for key in keys]
    operations = client._operations
    if isinstance(client, Blocking):
        operations = Blocking(operations, client)
    found = operations.get_multi(names)
    return {
        key: (found[name].value, found[name].flags) for key, name in zip(keys, names, strict=True)
    }


@pytest.mark.parametrize("loop", LOOPS)
def test_counters_tokens_and_leases_are_shared(eight: ServerFleet, loop: str) -> None:
    need_tokens()
    blocking, face = both(eight, loop)
    blocking.flush_all()
    pair: tuple[Any, Any] = blocking, face
    for i in range(40):
        first, second = pair if i % 2 else pair[::-1]
        key = f"key:{i}"
        assert first.incr(key, 5, initial=10) == 10
        assert second.incr(key, 5, initial=10) == 15
        assert first.get(key) == second.get(key) == 15
        value, token = first.gets(key)
        assert second.gets(key) == (value, token)
        assert second.cas(key, "mine", token) is True
        assert first.cas(key, "late", token) is False
        assert first.append(key, "!") is True
        assert second.get(key) == "mine!"
        assert first.get_or_set(f"lease:{i}", lambda: "loaded", 60) == "loaded"
        assert second.get_or_set(f"lease:{i}", lambda: "twice", 60) == "loaded"
    blocking.close()
    face.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_errors_name_the_same_shard(loop: str) -> None:
    addresses = [f"127.0.0.1:{port}" for port in (1, 2, 3)]
    face = Blocking(AsyncClient(addresses, timeout=5.0), loop)
    blocking = Client(addresses, timeout=5.0)
    for key in KEYS[:20]:
        told = []
        for client in (blocking, face):
            with pytest.raises(
                memcache.NetworkError, match=r"shard \d at 127\.0\.0\.1:\d"
            ) as caught:
                client.get(key)
            fields = {name: caught.value.fields[name] for name in ("shard", "address")}
            told.append((type(caught.value), fields))
        assert told[0] == told[1]
    blocking.close()
    face.close()
