"""Copies and pickles: values come back equal, and what has an identity refuses, by name."""

import copy
import enum
import importlib
import inspect
import pickle
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, is_typeddict

import pytest

from godropbox import _kernels, caching, errors, hash2, memcache, net2, resource_pool
from godropbox.caching import aio as tasks
from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb
from godropbox.database.sharding import aio as sharding_aio
from godropbox.database.sqltypes import SqlMode
from godropbox.memcache import (
    codec,
    compressors,
    discovery,
    hooks,
    leases,
    serializers,
    testing,
)
from godropbox.memcache.aio import AsyncBaseShardManager, AsyncClient
from godropbox.memcache.discovery import consul, etcd, zookeeper
from godropbox.memcache.discovery.aio import AsyncFollower
from godropbox.memcache.fleet.manager import PooledShardManager
from godropbox.oihash import OiHash
from godropbox.resource_pool import aio

MODULES = [
    "caching",
    "caching.aio",
    "database.sharding",
    "database.sharding.aio",
    "database.sqlbuilder",
    "database.sqltypes",
    "errors",
    "hash2",
    "memcache",
    "memcache.address",
    "memcache.compressors",
    "memcache.discovery",
    "memcache.discovery.aio",
    "memcache.discovery.consul",
    "memcache.discovery.etcd",
    "memcache.discovery.zookeeper",
    "memcache.fleet.manager",
    "memcache.fleet.options",
    "memcache.fleet.placement",
    "memcache.fleet.shards",
    "memcache.hooks",
    "memcache.leases",
    "memcache.managers",
    "memcache.options",
    "memcache.serializers",
    "memcache.testing",
    "murmur3",
    "net2",
    "oihash",
    "resource_pool",
    "resource_pool.aio",
]


def pickled(protocol: int, value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {i}": partial(pickled, i) for i in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}

OK = memcache.ResponseStatus.OK
POOL = resource_pool.PoolOptions(open=str)
STATS = resource_pool.PoolStats.total([])

LAYOUT = sharding.Layout(2, {"a": sharding.HostGroup("a")}, {"a": "0-1"}, read_only=1)

# What comes back equal. One that compares by identity has to look the same.
VALUES: list[Any] = [
    OiHash([b"one", b"two"]),
    caching.CacheOptions(),
    caching.CacheStats(hits=1, misses=2, cache_failures=3, doubts=4, waiting=5),
    caching.ConsistencyStatistics(),
    caching.Freshness(ttl=5),
    discovery.Server("cache-0", "a:1"),
    discovery.Answer(1, (discovery.Server("cache-0", "a:1"),)),
    discovery.FollowStatus("file:/pool", (), None, None, {"accepted": 1}, (), None, False),
    SqlMode(),
    errors.capture_stack(),
    errors.capture_stack().frames()[0],
    hash2.ShardSet([1, 2]),
    hash2.plan_reshard(memoryview(bytes(8)).cast("Q"), 1, 2),
    sharding.ENGINES["mariadb"],
    sharding.Heartbeat("beats"),
    sharding.HostGroup("a", ("b",)),
    LAYOUT,
    sharding.Result([(1,)], 1, None, 0, "a"),
    sharding.RouterOptions(),
    sharding.Scattered({0: sharding.Result([(1,)], 1, None, 0, "a")}, {}, None, None),
    sharding.Token("a", "0-1-5"),
    memcache.AsciiProtocol("p"),
    memcache.AutoProtocol("p"),
    memcache.Dialect("meta", "1.6.45"),
    memcache.BinaryProtocol("p"),
    memcache.AsciiProtocol().capabilities,
    memcache.ClientOptions(),
    memcache.CountResponse("k", OK, 5),
    memcache.Crc32(),
    memcache.Credentials("user", "password"),
    memcache.Custom(max),
    memcache.Event("get", ["k"], 0, 0.5, 1, "hit"),
    memcache.FailedKeys(["k"]),
    memcache.GetResponse("k", OK, b"v"),
    memcache.Hash2(),
    memcache.Item("k", b"v"),
    memcache.KeyInfo(b"k", 0, None, 5, 1, 60, 1, False),
    memcache.Jump(),
    memcache.Ketama(),
    memcache.MetaProtocol("p"),
    memcache.MetaResponse("k", OK, b"v"),
    memcache.MutateResponse("k", OK),
    memcache.Rendezvous(),
    memcache.Response(OK),
    memcache.ShardOptions(),
    memcache.ShardStatus("a:1"),
    memcache.StatsResponse(OK, {0: {"pid": "1"}}),
    memcache.VersionResponse(OK, {0: "1.6"}),
    net2.ConnectionOptions(),
    POOL,
    STATS,
    resource_pool.Loan("a", 1.0, errors.capture_stack()),
    serializers.MsgpackSerializer(),
    serializers.PickleSerializer(),
    compressors.ZlibCompressor(),
]

# Bases, which nobody makes; what is made is in the lists. And what a user's own rules hold.
BASES: set[type] = {
    PooledShardManager,
    sharding.Engine,
    sb.Change,
    sb.Column,
    sb.Columns,  # each table has a class of its own
    sb.Dialect,
    sb.Expression,
    sb.Query,
    sb.SelectBase,
    sb.Source,
    sb.Statement,
}
ELSEWHERE: set[type] = {
    errors.context,  # a block of code
    caching.Cached,  # a function, by name
    tasks.AsyncCached,
    # Which copy and pickle as far as what they hold does: functions, a package's encoder.
    caching.ConsistencyOptions,
    discovery.FollowEvent,
    discovery.FollowOptions,
    zookeeper.Registration,  # refuses, as its tests show over a server
    sb.Records,
    compressors.ZstdCompressor,
    serializers.JsonSerializer,
    hooks.PrometheusHook,  # the packages' own metrics and tracers
    hooks.OpenTelemetryHook,
}


USERS = sb.Table("users", sb.IntColumn("id"), sb.StrColumn("name"))

OTHERS = sb.Table("others", sb.IntColumn("id"))


# Parts of statements, whose == builds an expression: what comes back has to look the same.
BUILT: list[Any] = [
    sb.alias("other", USERS.c.id),
    sb.BoolColumn("a"),
    sb.BytesColumn("a"),
    sb.DateTimeColumn("a"),
    sb.DoubleColumn("a"),
    sb.IntColumn("a"),
    sb.StrColumn("a"),
    sb.ArrayColumn("a", sb.IntColumn()),
    sb.DateColumn("a"),
    sb.DecimalColumn("a"),
    sb.EnumColumn("a", "x", "y"),
    sb.IntervalColumn("a"),
    sb.JsonColumn("a"),
    sb.TimeColumn("a"),
    sb.UuidColumn("a"),
    sb.count(USERS.c.id),
    USERS.c,
    sb.gtid_next(bytes(16), 1),
    USERS.join(OTHERS, on=USERS.c.id == OTHERS.c.id),
    sb.lock_tables(),
    sb.unlock_tables(),
    sb.asc(USERS.c.id),
    sb.ResultColumn("id", int, False),
    USERS.select(USERS.c.id).prepare("db"),
    sharding.prepare(USERS.select(USERS.c.id)),
    sharding.prepare(USERS.select(USERS.c.id))(),
    sb.slot("id", int),
    sb.subquery("sub", USERS.select(USERS.c.id)),
    USERS,
    sb.union(USERS.select(USERS.c.id), OTHERS.select(OTHERS.c.id)),
    sb.func("json_each", USERS.c.name).table_valued("each", sb.StrColumn("key")),
    sb.json_table("parts", USERS.c.name, "$[*]", sb.IntColumn("id")),
    sb.rollup(USERS.c.id),
    sb.window(order_by=USERS.c.id),
    sb.values_table("pairs", sb.IntColumn("id"), rows=[(1,)]),
    USERS.select(USERS.c.id),
    USERS.insert(USERS.c.id),
    USERS.update(),
    USERS.delete(),
]


class Maker:
    """Makes one of each class that has an identity, and closes what has to be."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def closing(self, thing: Any) -> Any:
        self._ends.append(thing.close)
        return thing

    def close(self) -> None:
        for end in reversed(self._ends):
            end()

    def pair(self) -> socket.socket:
        near, far = socket.socketpair()
        self.closing(near)
        self.closing(far)
        return near

    def lent(self) -> resource_pool.ManagedHandle:
        handle = resource_pool.SimpleResourcePool(POOL, "a").get()
        self._ends.append(handle.detach)
        return handle

    def connected(self) -> net2.ManagedConnection:
        server = self.closing(socket.create_server(("127.0.0.1", 0)))
        pool = net2.SimpleConnectionPool(net2.ConnectionOptions(), server.getsockname())
        self._ends.append(pool.enter_lame_duck_mode)
        connection = pool.get()
        self._ends.append(connection.discard)
        return connection

    def manager(self) -> memcache.StaticShardManager:
        manager: memcache.StaticShardManager = self.closing(memcache.StaticShardManager(["a:1"]))
        return manager

    def router(self) -> sharding.ShardRouter:
        router: sharding.ShardRouter = self.closing(sharding.ShardRouter(LAYOUT, str, "mysql"))
        return router

    def client(self) -> memcache.Client:
        client: memcache.Client = self.closing(memcache.Client(["127.0.0.1:1"]))
        return client


def _storage() -> caching.DictStorage[str, int]:
    return caching.DictStorage()


IDENTITIES: dict[str, Callable[[Maker], Any]] = {
    "ManagedHandle": lambda made: made.lent(),
    "SimpleResourcePool": lambda made: resource_pool.SimpleResourcePool(POOL, "a"),
    "AsyncResourcePool": lambda made: aio.AsyncResourcePool(POOL, "a"),
    "MultiResourcePool": lambda made: resource_pool.MultiResourcePool(POOL, ["a"]),
    "RoundRobinResourcePool": lambda made: resource_pool.RoundRobinResourcePool(POOL, ["a"]),
    "ManagedConnection": lambda made: made.connected(),
    "SimpleConnectionPool": lambda made: net2.SimpleConnectionPool(net2.ConnectionOptions(), "a:1"),
    "MultiConnectionPool": lambda made: net2.MultiConnectionPool(net2.ConnectionOptions()),
    "Connection": lambda made: memcache.Connection(made.pair()),
    "RawClient": lambda made: memcache.RawClient(made.pair(), memcache.AsciiProtocol()),
    "RawAsciiClient": lambda made: memcache.RawAsciiClient(made.pair()),
    "RawBinaryClient": lambda made: memcache.RawBinaryClient(made.pair()),
    "RawMetaClient": lambda made: memcache.RawMetaClient(made.pair()),
    "Client": lambda made: made.client(),
    "ShardedClient": lambda made: memcache.ShardedClient(made.manager(), memcache.AsciiProtocol()),
    "BaseShardManager": lambda made: made.closing(memcache.BaseShardManager()),
    "StaticShardManager": lambda made: made.manager(),
    "Fleet": lambda made: made.manager().fleet(),
    "Shard": lambda made: made.manager().fleet().shards[0],
    "Exchange": lambda made: memcache.AsciiProtocol().get("k"),
    "Reply": lambda made: memcache.AsciiProtocol().get("k").reply,
    "Placement": lambda made: memcache.Crc32().bind(["a:1", "b:1"]),
    "MockClient": lambda made: testing.MockClient(),
    "Observed": lambda made: hooks.Observed(testing.MockClient(), ()),
    "Leases": lambda made: leases.Leases(
        testing.MockClient(), codec.Codec(), memcache.ClientOptions()
    ),
    "CacheOnStorage": lambda made: caching.CacheOnStorage(_storage(), _storage()),
    "FreshCacheOnStorage": lambda made: caching.FreshCacheOnStorage(
        _storage(), _storage(), caching.Freshness(ttl=5)
    ),
    "RateLimitedStorage": lambda made: caching.RateLimitedStorage(_storage(), 1),
    "LocalStorage": lambda made: caching.LocalStorage(1),
    "DictStorage": lambda made: _storage(),
    "FunctionStorage": lambda made: caching.FunctionStorage("none"),
    "MemcacheStorage": lambda made: caching.MemcacheStorage(made.client()),
    "SingleFlight": lambda made: caching.SingleFlight(),
    "FleetServers": lambda made: caching.FleetServers(made.manager()),
    "ConsistentCacheOnStorage": lambda made: caching.ConsistentCacheOnStorage(
        caching.FleetServers(made.manager()), _storage()
    ),
    "SqlStorage": lambda made: caching.SqlStorage(
        resource_pool.SimpleResourcePool(POOL, "a"), USERS, key="id", value="name"
    ),
    "AsyncSqlStorage": lambda made: tasks.AsyncSqlStorage(
        aio.AsyncResourcePool(POOL, "a"), USERS, key="id", value="name"
    ),
    "AsyncCacheOnStorage": lambda made: tasks.AsyncCacheOnStorage(_storage(), _storage()),
    "AsyncFreshCacheOnStorage": lambda made: tasks.AsyncFreshCacheOnStorage(
        _storage(), _storage(), caching.Freshness(ttl=5)
    ),
    "AsyncRateLimitedStorage": lambda made: tasks.AsyncRateLimitedStorage(_storage(), 1),
    "AsyncFunctionStorage": lambda made: tasks.AsyncFunctionStorage("none"),
    "AsyncMemcacheStorage": lambda made: tasks.AsyncMemcacheStorage(AsyncClient(["127.0.0.1:1"])),
    "AsyncSingleFlight": lambda made: tasks.AsyncSingleFlight(),
    "AsyncFleetServers": lambda made: tasks.AsyncFleetServers(AsyncBaseShardManager()),
    "FileSource": lambda made: discovery.FileSource("/pool"),
    "DNSSource": lambda made: discovery.DNSSource("cache.example.org"),
    "SRVSource": lambda made: discovery.SRVSource("_memcached._tcp.example.org"),
    "ElastiCacheSource": lambda made: discovery.ElastiCacheSource("cache.example.org:11211"),
    "ConsulSource": lambda made: consul.ConsulSource("127.0.0.1:8500", "cache"),
    "EtcdSource": lambda made: etcd.EtcdSource("127.0.0.1:2379", "/cache/"),
    "ZooKeeperSource": lambda made: zookeeper.ZooKeeperSource("127.0.0.1:2181", "/cache"),
    "Follower": lambda made: discovery.Follower("file:/pool", made.manager()),
    "AsyncFollower": lambda made: AsyncFollower("file:/pool", AsyncBaseShardManager()),
    "ShardRouter": lambda made: made.router(),
    "Session": lambda made: made.router().session(),
    "Transaction": lambda made: sharding.Transaction(
        made.router(), made.router()._fleet, 0, None, None, False
    ),
    "AsyncShardRouter": lambda made: sharding_aio.AsyncShardRouter(LAYOUT, str, "mysql"),
    "AsyncSession": lambda made: sharding_aio.AsyncShardRouter(LAYOUT, str, "mysql").session(),
    "AsyncTransaction": lambda made: sharding_aio.AsyncTransaction(
        sharding_aio.AsyncShardRouter(LAYOUT, str, "mysql"),
        made.router()._fleet,
        0,
        None,
        None,
        False,
    ),
    "AsyncConsistentCacheOnStorage": lambda made: tasks.AsyncConsistentCacheOnStorage(
        tasks.AsyncFleetServers(AsyncBaseShardManager()), _storage()
    ),
}


def a_batch() -> Any:
    batch = _kernels.batch.batch_of_keys(["k"], memcache.Crc32().bind(["a:1"]), 1, b"", False)
    assert batch is not None
    return batch


# The kernels' own.
IDENTITIES["Line"] = lambda made: memcache.Connection(made.pair()).line
IDENTITIES["Batch"] = lambda made: a_batch()
IDENTITIES["Part"] = lambda made: a_batch().parts()[0]


def public_classes() -> dict[type, str]:
    """Return the public classes that can have instances of their own, errors and enums aside."""
    found: dict[type, str] = {}
    for name in MODULES:
        module = importlib.import_module(f"godropbox.{name}")
        for each in module.__all__:
            kind = getattr(module, each)
            if (
                inspect.isclass(kind)
                and not issubclass(kind, (BaseException, enum.Enum))
                and not getattr(kind, "_is_protocol", False)
                and not is_typeddict(kind)
            ):
                found.setdefault(kind, each)
    return found


@pytest.fixture
def made() -> Iterator[Maker]:
    maker = Maker()
    yield maker
    maker.close()


def test_every_public_class_is_in_one_of_the_lists() -> None:
    values = {type(value) for value in [*VALUES, *BUILT]}
    missing = {
        name
        for kind, name in public_classes().items()
        if kind not in values | BASES | ELSEWHERE and name not in IDENTITIES
    }
    assert missing == set()
    assert not {kind.__name__ for kind in values} & set(IDENTITIES)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal(value: Any, way: str) -> None:
    again = WAYS[way](value)
    assert type(again) is type(value)
    assert again == value or repr(again).split(" at 0x")[0] == repr(value).split(" at 0x")[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", BUILT, ids=lambda value: type(value).__name__)
def test_a_part_of_a_statement_comes_back_the_same(value: Any, way: str) -> None:
    again = WAYS[way](value)
    assert type(again).__name__ == type(value).__name__
    assert repr(again).split(" at 0x")[0] == repr(value).split(" at 0x")[0]


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_has_an_identity_refuses_by_name(name: str, made: Maker) -> None:
    thing = IDENTITIES[name](made)
    kind = type(thing).__name__
    words = rf"\b{kind} cannot be (copied or pickled|pickled or copied)"
    for way, take in WAYS.items():
        with pytest.raises(TypeError, match=words):
            take(thing)
        if way != "copy":
            with pytest.raises(TypeError, match=words):
                take([thing])


def test_a_subclass_refuses_by_its_own_name() -> None:
    class Mine(memcache.Client):
        """A user's own client."""

    client = Mine(["127.0.0.1:1"])
    with pytest.raises(TypeError, match="Mine cannot be copied or pickled"):
        copy.copy(client)
    client.close()


def test_a_copied_loan_cannot_lend_one_handle_to_two() -> None:
    pool = resource_pool.SimpleResourcePool(resource_pool.PoolOptions(open=lambda _: [0]), "a")
    loan = pool.get()
    with pytest.raises(TypeError, match="ManagedHandle cannot be copied or pickled"):
        copy.copy(loan)
    loan.detach()
