"""``LOCATION`` and ``OPTIONS``, checked at once, and those of other back ends."""

import pickle
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymemcache.serde
import pytest
from django.core.exceptions import ImproperlyConfigured
from support.django_faces import Face
from support.memcached import PASSWORD, USER, running
from support.server_fleets import unverified

from godropbox.django import CacheOptionsError, GodropboxCache
from godropbox.django.options import Settings, addresses
from godropbox.memcache import ClientOptions, Credentials, Hash2, Ketama, Rendezvous
from godropbox.memcache.aio import AsyncClientOptions

MakeCache = Callable[..., GodropboxCache]


@pytest.mark.parametrize(
    ("location", "servers"),
    [
        ("a", ["a"]),
        ("a:1", ["a:1"]),
        ("a:1;b:2", ["a:1", "b:2"]),
        ("a:1, b:2", ["a:1", "b:2"]),
        (["a:1", "b"], ["a:1", "b"]),
        (("a", "[::1]:5"), ["a", "[::1]:5"]),
        ([("a", 1)], ["a:1"]),
        ("unix:/run/m.sock", ["unix:/run/m.sock"]),
        ("/run/m.sock", ["unix:/run/m.sock"]),
    ],
)
def test_locations(location: Any, servers: list[str]) -> None:
    assert addresses(location) == servers
    cache = GodropboxCache(location, {})
    assert cache.clients.servers == tuple(servers)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "LOCATION: address must be"),
        ("a:1;", "LOCATION: address must be"),
        ("a:port", "LOCATION: address must be"),
        ([], "LOCATION: .* must name at least one server"),
        (["a:1", "a:1"], "LOCATION: "),
        ([5], "LOCATION: address must be"),
        (5, "LOCATION must be a str or a list of str, got 5"),
        ("redis://127.0.0.1:6379/1", "LOCATION must name memcached servers"),
    ],
)
def test_a_wrong_location_is_refused_at_once(location: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        GodropboxCache(location, {})


def test_our_own_options_reach_both_clients() -> None:
    settings = Settings.of({"timeout": 0.25, "eject_after": 3, "prefix": "p:"})
    for client in (settings.client, settings.async_client):
        assert client.timeout == 0.25
        assert client.eject_after == 3
        assert client.prefix == "p:"
    assert isinstance(settings.client, ClientOptions)
    assert isinstance(settings.async_client, AsyncClientOptions)


def test_options_of_one_client_reach_that_one() -> None:
    settings = Settings.of({"max_active": 5, "connections": 2})
    assert settings.client.max_active == 5
    assert settings.async_client.max_active is None
    assert settings.async_client.connections == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timout": 1}, r"OPTIONS\['timout'\]: no such option; did you mean 'timeout'\?"),
        ({"Compressor": "zlib"}, r"no such option; did you mean '(COMPRESSOR|compressor)'\?"),
        ({"qwertz": 1}, r"OPTIONS\['qwertz'\]: no such option$"),
        ({5: 1}, r"OPTIONS\[5\]: no such option"),
        ({"timeout": -1}, r"OPTIONS: timeout must be .* got -1"),
        ({"protocol": "http"}, r"OPTIONS: protocol must be 'auto', 'meta', 'ascii' or 'binary'"),
        ({"serializer": "yaml"}, r"OPTIONS: serializer must be"),
        ({"compatible": "redis"}, r"OPTIONS\['compatible'\]: must be 'pymemcache', 'pylibmc' or"),
        ({"large_values": True}, r"OPTIONS\['large_values'\]: must be 'error' or 'parts'"),
        ({"part_size": 5}, r"OPTIONS\['part_size'\]: must be a number of bytes in \[1000"),
        ({"large_values": "parts", "protocol": "ascii"}, r"'parts' needs protocol 'meta'"),
        ({"large_values": "parts", "compatible": "pylibmc"}, r"cannot be read by the back end"),
        ({"large_values": "parts", "prefix": "p" * 101}, r"at most 100 bytes with parts"),
        ({"leases": 1}, r"OPTIONS\['leases'\]: must be True or False"),
        ({"leases": True, "protocol": "ascii"}, r"OPTIONS\['leases'\]: needs protocol 'meta'"),
        ({"lease_time": 0}, r"OPTIONS\['lease_time'\]: must be seconds in \(0, 86400\]"),
        ({"lease_wait": "5"}, r"OPTIONS: lease_wait must be seconds"),
        ({"IGNORE_EXCEPTIONS": 1}, r"OPTIONS\['IGNORE_EXCEPTIONS'\]: must be True or False"),
        ({"connections": 0}, r"OPTIONS: connections must be in \[1"),
        ({"open": len}, r"OPTIONS\['open'\]: not an option"),
        ({"TIMEOUT": 5}, r"OPTIONS\['TIMEOUT'\].*it goes beside OPTIONS"),
        ({"MAX_ENTRIES": 5}, r"OPTIONS\['MAX_ENTRIES'\].*-m bounds its memory"),
        # Other back ends'
        ({"no_delay": False}, r"OPTIONS\['no_delay'\]: TCP_NODELAY is always set: leave it out"),
        ({"default_noreply": True}, "every write waits for its reply: leave it out, got True"),
        ({"serde": object()}, "write serializer= 'json'"),
        ({"serializer": len}, "OPTIONS: serializer must "),
        ({"hasher": object}, "compatible='pymemcache' has pymemcache's own"),
        ({"dead_timeout": 5}, "write eject_after"),
        ({"behaviors": 5}, r"OPTIONS\['behaviors'\]: must be a mapping, got 5"),
        ({"behaviors": {"ketma": 1}}, "behavior 'ketma' is not known; did you mean 'ketama'"),
        ({"behaviors": {"num_replicas": 1}}, r"behaviors\['num_replicas'\].*on one server"),
        ({"behaviors": {"hash": "md5"}}, "write shard_func for another"),
        ({"behaviors": {"distribution": "x"}}, "must be one of 'modula'"),
        ({"behaviors": {"receive_timeout": "x"}}, "must be a number"),
        ({"username": "ann"}, "username and password must be two str"),
        ({"CLIENT_CLASS": "x"}, r"OPTIONS\['CLIENT_CLASS'\]: not an option.*django-redis's"),
        ({"SERIALIZER": "x"}, "write serializer="),
        ({"PASSWORD": "x"}, r"write auth=Credentials\(user, password\)"),
        ({"CONNECTION_POOL_KWARGS": {"retry": 1}}, "write max_active"),
    ],
)
def test_wrong_options_are_refused_at_once(options: Any, words: str) -> None:
    with pytest.raises(CacheOptionsError, match=words) as caught:
        GodropboxCache("127.0.0.1", {"OPTIONS": options})
    assert isinstance(caught.value, ImproperlyConfigured)
    assert isinstance(caught.value, ValueError)


def test_options_have_to_be_a_mapping() -> None:
    with pytest.raises(CacheOptionsError, match="OPTIONS must be a mapping, got 5"):
        Settings.of(5)  # type: ignore[arg-type]
    assert GodropboxCache("127.0.0.1", {"OPTIONS": None}).clients.settings.leases


TLS = ssl.create_default_context()


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        # PyMemcacheCache
        (
            {"no_delay": True, "use_pooling": True, "allow_unicode_keys": True},
            {},
        ),
        ({"encoding": "utf-8", "default_noreply": False}, {}),
        ({"max_pool_size": 7, "pool_idle_timeout": 60}, {"max_active": 7, "max_idle_time": 60}),
        ({"pool_idle_timeout": 0}, {"max_idle_time": None}),
        ({"timeout": 2, "connect_timeout": 3}, {"timeout": 2, "connect_timeout": 3}),
        ({"tls_context": TLS}, {"tls": TLS}),
        ({"key_prefix": b"p:"}, {"prefix": b"p:"}),
        ({"serde": pymemcache.serde.pickle_serde}, {"compressor": None}),
        (
            {"serde": pymemcache.serde.compressed_serde},
            {"compressor": "zlib", "compress_from": 401},
        ),
        # PyLibMCCache
        ({"binary": True}, {"protocol": "binary"}),
        ({"binary": False}, {"protocol": "auto"}),
        (
            {"username": "ann", "password": "x"},
            {"auth": Credentials("ann", "x", "sasl"), "protocol": "binary"},
        ),
        (
            {"username": "ann", "password": "x", "protocol": "meta"},
            {"auth": Credentials("ann", "x", "ascii"), "protocol": "meta"},
        ),
        ({"behaviors": {"tcp_nodelay": True, "no_block": True, "cas": True}}, {}),
        ({"behaviors": {"ketama": True}}, {"shard_func": Ketama(weighted=False)}),
        ({"behaviors": {"ketama": False}}, {"shard_func": Hash2()}),
        ({"behaviors": {"ketama_weighted": 1}}, {"shard_func": Ketama()}),
        (
            {"compatible": "pylibmc", "behaviors": {"distribution": "consistent"}},
            {"shard_func": Ketama(weighted=False)},
        ),
        ({"behaviors": {"connect_timeout": 250}}, {"connect_timeout": 0.25}),
        ({"behaviors": {"receive_timeout": 500_000}}, {"timeout": 0.5}),
        ({"compatible": "pymemcache"}, {"shard_func": Rendezvous()}),
        # django-redis
        ({"SOCKET_TIMEOUT": 2, "SOCKET_CONNECT_TIMEOUT": 3}, {"timeout": 2, "connect_timeout": 3}),
        ({"CONNECTION_POOL_KWARGS": {"max_connections": 9}}, {"max_active": 9}),
        ({"LOG_IGNORED_EXCEPTIONS": True}, {}),
    ],
)
def test_options_of_other_back_ends_mean_here_what_they_mean_there(
    options: Any, ours: dict[str, Any]
) -> None:
    client = GodropboxCache("127.0.0.1", {"OPTIONS": options}).clients.settings.client
    assert {name: getattr(client, name) for name in ours} == ours


@pytest.mark.parametrize("name", ["ignore_exc", "IGNORE_EXCEPTIONS", "ignore_exceptions"])
def test_what_ignores_failures(name: str) -> None:
    assert Settings.of({name: True}).ignores


@pytest.mark.parametrize(
    ("options", "protocol"),
    [({}, 5), ({"PICKLE_VERSION": 4}, 4), ({"behaviors": {"pickle_protocol": 3}}, 3)],
)
def test_the_pickle_protocol(
    make: MakeCache, options: dict[str, Any], protocol: int, client: Any
) -> None:
    cache = make(**options)
    cache.set("key", [1])
    data = client._operations.get(cache.make_key("key")).value
    assert data == pickle.dumps([1], protocol)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_another_serializer(make: MakeCache, serializer: str) -> None:
    cache = make(serializer=serializer, compressor="zlib")
    value = {"a": [1, None, "x" * 5000]}
    cache.set("key", value)
    assert cache.get("key") == value
    with pytest.raises(TypeError):
        cache.set("key", object())


KINDS: dict[str, dict[str, Any]] = {
    "unix": {},
    "tls": {"tls_context": unverified()},
    "ascii-auth": {"auth": Credentials(USER, PASSWORD)},
    "sasl": {"binary": True, "username": USER, "password": PASSWORD},
}


@pytest.mark.parametrize("kind", KINDS)
def test_servers_of_every_kind(
    make: MakeCache, faced: Callable[[GodropboxCache], Face], tmp_path: Path, kind: str
) -> None:
    with running(kind, tmp_path) as server:
        cache = faced(make(server.address, **KINDS[kind]))
        cache.set("key", 5)
        assert cache.incr("key") == 6
        assert cache.get_many(["key"]) == {"key": 6}
        assert cache.get_or_set("other", lambda: [1]) == [1]
        assert cache.set_many({"a": 1, "b": 2}) == []
        assert cache.touch("key", None)
        assert cache.delete("key")


def test_without_a_serializer(make: MakeCache) -> None:
    cache = make(serializer=None)
    cache.set("key", "text")
    assert cache.get("key") == "text"
    with pytest.raises(TypeError, match="bytes, str or int without a serializer"):
        cache.set("key", [1])


def test_compressed_bytes_and_objects_come_back(make: MakeCache) -> None:
    cache = make(compressor="zlib")
    values = {
        "bytes": b"x" * 5000,
        "text": "x" * 5000,
        "list": ["x"] * 5000,
        "array": bytearray(5000),
    }
    cache.set_many(values)
    assert cache.get_many(values) == values
