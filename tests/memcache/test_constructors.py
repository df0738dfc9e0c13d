"""Mistakes in what a client is made of: each raises at once, and says what to write instead."""

import ast
import inspect
import json
import marshal
import pickle
import ssl
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import godropbox
from godropbox.caching import sqlite_pool
from godropbox.caching.aio import async_sqlite_pool
from godropbox.memcache import (
    AsciiProtocol,
    BinaryProtocol,
    Client,
    ClientOptions,
    ClientOverrides,
    Credentials,
    InvalidArgumentError,
    InvalidTypeError,
    Ketama,
    MetaProtocol,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
    connect,
)
from godropbox.memcache.aio import (
    AsyncClient,
    AsyncClientOptions,
    AsyncClientOverrides,
    AsyncShardOptions,
)
from godropbox.memcache.aio import AsyncStaticShardManager as AsyncManager
from godropbox.memcache.compressors import ZlibCompressor
from godropbox.memcache.hints import _ELSEWHERE
from godropbox.memcache.serializers import JsonSerializer
from godropbox.memcache.testing import MockClient
from godropbox.resource_pool import PoolOptions, PoolOverrides

Make = Callable[..., Any]
SERVERS = ["127.0.0.1:9"]
LIST = "must be a list of str, such as 'host:11211'"
WHOLE = f"servers {LIST}, one of them alone, or a shard manager, got "
ITEM = "servers must hold str, such as 'host:11211', got "

# What was passed, and how the error ends, or all of it.
MISTAKEN_SERVERS: list[tuple[Any, str]] = [
    ([("host", 11211)], f"{ITEM}('host', 11211) (tuple) at 0: write 'host:11211'"),
    (["a:1", ("::1", 11211)], f"{ITEM}('::1', 11211) (tuple) at 1: write '[::1]:11211'"),
    (("host", 11211), f"{WHOLE}('host', 11211) (tuple): write ['host:11211']"),
    (["host", 11211], f"{WHOLE}['host', 11211] (list): write ['host:11211']"),
    (["host", "11211"], f"{WHOLE}['host', '11211'] (list): write ['host:11211']"),
    (("host", "11211"), f"{WHOLE}('host', '11211') (tuple): write ['host:11211']"),
    (b"host:11211", f"{WHOLE}b'host:11211' (bytes): write ['host:11211']"),
    ([b"host:11211"], f"{ITEM}b'host:11211' (bytes) at 0: write 'host:11211'"),
    ([["host", "11211"]], f"{ITEM}['host', '11211'] (list) at 0: write 'host:11211'"),
    (
        [("host:11211", 2)],
        f"{ITEM}('host:11211', 2) (tuple) at 0: write 'host:11211', and the weight as "
        "shard_func=Ketama({'host:11211': 2})",
    ),
    # Hexadecimal digits, points and colons, as IPv6 addresses have.
    ([("10.0.0.1:1", 2)], "'10.0.0.1:1', and the weight as shard_func=Ketama({'10.0.0.1:1': 2})"),
    ([("[::1]:1", 2)], "'[::1]:1', and the weight as shard_func=Ketama({'[::1]:1': 2})"),
    ([("/tmp/s", 2)], "'/tmp/s', and the weight as shard_func=Ketama({'/tmp/s': 2})"),
    ([("host", 11211, "name")], f"{ITEM}('host', 11211, 'name') (tuple) at 0: write 'host:11211'"),
    ([("host", 11211, 3)], ", and the weight as shard_func=Ketama({'host:11211': 3})"),
    ([None], f"{ITEM}None (NoneType) at 0"),
    ([11211], f"{ITEM}11211 at 0: that is a port alone, write 'host:port'"),
    (None, f"{WHOLE}None (NoneType)"),
    (11211, f"{WHOLE}11211: that is a port alone, write 'host:port'"),
    (Path("/run/m.sock"), " (PosixPath): write ['unix:/run/m.sock']"),
    ([Path("/run/m.sock")], " (PosixPath) at 0: write 'unix:/run/m.sock'"),
    (bytearray(b"host:11211"), "(b'host:11211') (bytearray): write ['host:11211']"),
    ("host:11211/", " (str): write 'host:11211'"),
    ("[::1]:11211/0", " (str): write '[::1]:11211'"),
    (["host:1", "HOST:1"], "servers must name each server once, got 'host:1' and 'HOST:1'"),
    ({"host": 11211}, "counts, and a set's or a dict's is an accident"),
    ({"host:11211"}, "counts, and a set's or a dict's is an accident"),
    (frozenset(["host:11211"]), "counts, and a set's or a dict's is an accident"),
    (MockClient(), ": Client.over takes what has operations"),
    ([], "servers must name at least one server, got none"),
    ((), "servers must name at least one server, got none"),
    (["a", "a:11211"], "servers must name each server once, got 'a' and 'a:11211'"),
    (["a", "b", "a"], "servers must name each server once, got 'a' and 'a'"),
    ("host:port", "in [1, 65535], got 'host:port' (str)"),
    (["a:1", "host:port"], "in [1, 65535], got 'host:port' (str)"),
    ("host:", "in [1, 65535], got 'host:' (str)"),
    ("", "in [1, 65535], got '' (str)"),
    ("::1", ": an IPv6 address is in brackets, as in '[::1]:11211'"),
    ("a:1,b:1", ": give a list, ['a:1', 'b:1']"),
    ("tcp://a:1", ": an address has no scheme, write 'a:1'"),
    (["a..b:1"], "in [1, 65535], got 'a..b:1' (str)"),
]


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(("servers", "end"), MISTAKEN_SERVERS, ids=lambda value: repr(value)[:30])
def test_servers(client: Make, servers: Any, end: str) -> None:
    with pytest.raises((InvalidTypeError, InvalidArgumentError)) as caught:
        client(servers)
    assert str(caught.value).endswith(end)
    assert str(caught.value).startswith("servers must ")


@pytest.mark.parametrize("manager", [StaticShardManager, AsyncManager])
def test_addresses_of_a_manager(manager: Make) -> None:
    for wrong in ("a:1", ("a", 1), None, {"a:1"}):
        with pytest.raises(InvalidTypeError, match=f"addresses {LIST}, got"):
            manager(wrong)
    with pytest.raises(InvalidArgumentError, match="addresses must name at least one"):
        manager([])


def test_a_sharded_client_is_no_list_of_servers() -> None:
    with (
        ShardedClient(StaticShardManager(SERVERS), AsciiProtocol()) as sharded,
        pytest.raises(InvalidTypeError, match=r"Client\.over takes what has operations"),
    ):
        Client(sharded)  # type: ignore[arg-type]


def test_what_stands_where_options_do() -> None:
    calls: list[tuple[Make, Any, str]] = [
        (Client, 11211, "ClientOptions, got 11211: a port belongs to the address, 'host:port'"),
        (Client, {"timeout": 1}, r"got \{'timeout': 1\} \(dict\): pass them by name, \*\*options"),
        (Client, ShardOptions(), "options must be ClientOptions, got ShardOptions"),
        (Client, None, "options must be ClientOptions, got None"),
        (AsyncClient, 11211, "AsyncClientOptions, got 11211: a port belongs to the address"),
        (AsyncClient, ClientOptions(), "options must be AsyncClientOptions, got ClientOptions"),
        (Client.over, {"timeout": 1}, "options must be ClientOptions, got"),
    ]
    for make, options, words in calls:
        with pytest.raises(InvalidTypeError, match=words):
            make(SERVERS, options)
    for manager in (StaticShardManager, AsyncManager):
        with pytest.raises(InvalidTypeError, match=r"options must be .*ShardOptions.*, got 5"):
            manager(SERVERS, options=5)  # type: ignore[arg-type]


MAKERS: dict[str, Make] = {
    "Client": lambda **options: Client(SERVERS, **options),
    "AsyncClient": lambda **options: AsyncClient(SERVERS, **options),
    "over": lambda **options: Client.over(MockClient(), **options),
    "ClientOptions": ClientOptions,
    "AsyncClientOptions": AsyncClientOptions,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("time_out", ": did you mean 'timeout'?"),
        ("timout", ": did you mean 'timeout'?"),
        ("connect_timout", ": did you mean 'connect_timeout'?"),
        ("Timeout", ": write 'timeout'"),
        ("max_activ", ": did you mean 'max_active'?"),
        ("shard_function", ": did you mean 'shard_func'?"),
        ("serde", ": serializer takes 'json', 'msgpack', 'pickle' or an object that has dumps"),
        ("KEY_PREFIX", ": prefix goes before every key"),
        ("no_delay", ": it is always on"),
        ("ignore_exc", ": failures='miss' makes a miss of a get that fails"),
        ("max_pool_size", ": max_active limits the connections"),
        ("use_pooling", ": connections are always pooled"),
        ("behaviors", ": each behavior is an option of its own"),
        ("binary", ": protocol='binary' is the binary protocol"),
        ("username", ": auth=Credentials(user, password) logs in"),
        ("port", ": an address is 'host:port', the first argument"),
        ("xyz", "; there are timeout, connect_timeout, tls, auth, keepalive_idle"),
    ],
)
def test_an_option_that_does_not_exist(make: Make, name: str, hint: str) -> None:
    with pytest.raises(InvalidTypeError) as caught:
        make(timeout=0.2, **{name: 1})
    assert str(caught.value).startswith(f"there is no option {name!r}{hint}")


def test_an_option_of_the_other_client() -> None:
    for name in ("connections", "max_in_flight", "max_in_flight_bytes", "when_full"):
        wrongs: list[Make] = [Client, lambda _, **options: ShardOptions(**options)]
        for wrong in wrongs:
            with pytest.raises(InvalidTypeError, match=f"no option '{name}': it is one of Async"):
                wrong(SERVERS, **{name: 1})
    with pytest.raises(InvalidArgumentError, match="max_active is an option of pools"):
        AsyncClient(SERVERS, max_active=1)  # type: ignore[call-arg]


def test_what_other_clients_call_an_option_is_none_of_ours() -> None:
    ours = {*AsyncClientOptions.__dataclass_fields__, "servers", "options", "operations"}
    for name in _ELSEWHERE:
        assert name == name.lower()
        assert name not in ours


def test_options_keep_their_signatures() -> None:
    for kind in (ShardOptions, ClientOptions, AsyncShardOptions, AsyncClientOptions):
        assert list(inspect.signature(kind).parameters) == list(kind.__dataclass_fields__)


OBJECTS = "'json', 'msgpack', 'pickle' or an object with flag, dumps and loads, got "
PACKERS = "'zlib', 'zstd' or an object with flag, compress and decompress, got "


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"serializer": json}, f"{OBJECTS}the module json: write serializer='json'"),
        ({"serializer": pickle}, f"{OBJECTS}the module pickle: write serializer='pickle'"),
        ({"serializer": marshal}, f"{OBJECTS}the module marshal"),
        ({"serializer": JsonSerializer}, "write serializer=JsonSerializer()"),
        ({"serializer": json.dumps}, f"{OBJECTS}<function dumps at"),
        ({"serializer": 5}, f"{OBJECTS}5"),
        ({"compressor": zlib}, f"{PACKERS}the module zlib: write compressor='zlib'"),
        ({"compressor": ZlibCompressor}, "write compressor=ZlibCompressor()"),
        ({"compressor": True}, f"{PACKERS}True"),
        ({"timeout": "1"}, "timeout must be a number, got '1' (str)"),
        ({"timeout": True}, "timeout must be a number, got True"),
        ({"timeout": timedelta(seconds=1)}, "timeout must be a number, got datetime.timedelta"),
        ({"timeout": 0}, "timeout must be in (0, 1000) seconds, got 0"),
        ({"timeout": -1}, "timeout must be in (0, 1000) seconds, got -1"),
        ({"timeout": float("nan")}, "timeout must be in (0, 1000) seconds, got nan"),
        ({"timeout": 1500}, "got 1500; if those are milliseconds, write 1.5"),
        ({"connect_timeout": 5000.0}, "got 5000.0; if those are milliseconds, write 5"),
        ({"timeout": float("inf")}, "timeout must be in (0, 1000) seconds, got inf"),
        ({"timeout": 10**400}, "timeout must be in (0, 1000) seconds, got 1000"),
        ({"connect_timeout": 1e9}, "must be in (0, 1000) seconds, got 1000000000.0"),
        ({"connect_timeout": None}, "connect_timeout must be a number, got None"),
        ({"protocol": "text"}, "or 'binary', got 'text' (str): did you mean 'ascii'?"),
        ({"protocol": "Meta"}, "or 'binary', got 'Meta' (str): did you mean 'meta'?"),
        ({"protocol": MetaProtocol}, "protocol must be 'auto', 'meta', 'ascii' or 'binary', got "),
        ({"failures": "mis"}, "failures must be 'raise' or 'miss', got 'mis' (str): did you"),
        ({"auth": ("me", "secret")}, "auth must be Credentials(user, password) or None, not tuple"),
        (
            {"auth": Credentials("me", "secret"), "protocol": "binary"},
            "auth must be Credentials(..., mechanism='sasl') with protocol='binary'",
        ),
        *(
            (
                {"auth": Credentials("me", "secret", "sasl"), "protocol": protocol},
                "auth must be Credentials(...) without mechanism='sasl' unless protocol is "
                f"'binary', got {protocol!r}",
            )
            for protocol in ("auto", "meta", "ascii")
        ),
        ({"tls": True}, "or None, got True: ssl.create_default_context() makes one"),
        ({"tls": ssl}, "tls must be an ssl.SSLContext or None, got <module"),
        ({"eject_after": True}, "eject_after must be an int in [0, 2**31), got True"),
        ({"eject_after": 1.5}, "eject_after must be an int in [0, 2**31), got 1.5"),
        ({"compress_from": True}, "compress_from must be an int in [0, 2**31), got True"),
        ({"keepalive_idle": 0}, "keepalive_idle must be an int in [1, 32767], got 0"),
        ({"keepalive_idle": True}, "keepalive_idle must be an int in [1, 32767] or None, got True"),
        ({"keepalive_interval": 1.5}, "keepalive_interval must be an int in [1, 32767], got 1.5"),
        ({"keepalive_count": 128}, "keepalive_count must be an int in [1, 127], got 128"),
        ({"retry_reads": 1}, "retry_reads must be True or False, got 1"),
        ({"prefix": "a b"}, "prefix must have no byte up to 0x20 and no 0x7f, got 0x20 at 1"),
        ({"prefix": b"a\x7f"}, "prefix must have no byte up to 0x20 and no 0x7f, got 0x7f at 1"),
        ({"prefix": "\ud800"}, "prefix must be text that UTF-8 can encode, got '\\ud800'"),
        ({"clock": 5}, "clock must be a callable, got 5"),
        ({"random": None}, "random must be a callable, got None"),
        ({"sleep": 0.1}, "sleep must be a callable, got 0.1"),
        ({"wall_clock": None}, "wall_clock must be a callable, got None"),
        ({"shard_func": "ketama"}, "a callable, got 'ketama' (str): write shard_func=Ketama()"),
        ({"shard_func": Ketama}, ": write shard_func=Ketama()"),
        ({"shard_func": "modulo"}, "a callable, got 'modulo' (str)"),
        ({"hooks": print}, "hooks must be a tuple of callables, got <built-in"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_wrong_value(make: Make, options: dict[str, Any], words: str) -> None:
    with pytest.raises((InvalidTypeError, InvalidArgumentError)) as caught:
        make(**options)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{next(iter(options))} must ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["max_active", "max_idle", "max_opens"])
def test_a_wrong_limit_of_a_pool(name: str) -> None:
    for value in (True, 1.5, -1):
        for make in (PoolOptions, ShardOptions, ClientOptions):
            more: dict[str, Any] = {"open": print} if make is PoolOptions else {}
            more[name] = value
            with pytest.raises((TypeError, ValueError)) as caught:
                make(**more)
            assert str(caught.value).startswith(f"{name} must be an int in [")
            own = make is not PoolOptions
            assert isinstance(caught.value, (InvalidTypeError, InvalidArgumentError)) is own


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_tls_over_a_unix_socket(client: Make) -> None:
    tls = ssl.create_default_context()
    words = r"tls must be None for a Unix socket, .* got a context for 'unix:/run/m\.sock'"
    with pytest.raises(InvalidArgumentError, match=words):
        client(["host:11211", "/run/m.sock"], tls=tls)
    with pytest.raises(InvalidArgumentError, match=words):
        connect("unix:/run/m.sock", tls=tls)


@pytest.mark.parametrize("protocol", [AsciiProtocol, MetaProtocol, BinaryProtocol])
def test_a_prefix_of_a_protocol_is_called_that(protocol: Make) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^prefix must have no byte up to 0x20"):
        protocol("a b")
    with pytest.raises(InvalidTypeError, match=r"^prefix must be str or bytes"):
        protocol(5)


def test_credentials() -> None:
    for given in ((b"me", "secret"), ("me", b"secret"), ("me", None)):
        with pytest.raises(InvalidTypeError, match="must be a str, not") as caught:
            Credentials(*given)
        assert "secret" not in str(caught.value)


# Options by name: the types


def hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, localns={"ssl": ssl})


def of_pools() -> set[str]:
    return {*PoolOptions.__dataclass_fields__} - {"open", "close", "timeout"}


def test_what_clients_take_by_name_are_their_options_with_their_types() -> None:
    named = hints(ClientOverrides)
    assert named == hints(ClientOptions)
    assert list(inspect.signature(ClientOptions).parameters) == list(hints(ClientOptions))
    own = hints(AsyncClientOptions)
    refused = own.keys() - hints(AsyncClientOverrides).keys()
    assert hints(AsyncClientOverrides) == {n: t for n, t in own.items() if n not in refused}
    for name in refused:
        with pytest.raises(InvalidArgumentError, match=f"{name} is an option of pools"):
            AsyncClientOptions(**{name: 7 if name != "open" else print})  # type: ignore[arg-type]
    for kind in (ClientOverrides, AsyncClientOverrides):
        assert kind.__required_keys__ == frozenset()


def test_what_makers_of_pools_take_by_name_are_the_options_of_pools() -> None:
    own = hints(PoolOptions)
    assert hints(PoolOverrides) == {name: own[name] for name in own if name in of_pools()}
    for make, more in ((sqlite_pool, "close"), (async_sqlite_pool, "timeout")):
        [unpacked] = get_args(get_type_hints(make)["options"])
        assert hints(unpacked) == {name: own[name] for name in own if name in {*of_pools(), more}}


@pytest.mark.parametrize(
    ("function", "overrides"),
    [
        (Client.__init__, ClientOverrides),
        (Client.over, ClientOverrides),
        (AsyncClient.__init__, AsyncClientOverrides),
    ],
)
def test_clients_are_declared_to_take_them(function: Any, overrides: type) -> None:
    source = ast.parse(inspect.getsource(inspect.getmodule(AsyncClient)))  # type: ignore[arg-type]
    if overrides is ClientOverrides:
        root = Path(godropbox.__file__).parent
        source = ast.parse((root / "memcache" / "client.py").read_text(encoding="utf-8"))
    found = [
        ast.unparse(node.args.kwarg.annotation)
        for node in ast.walk(source)
        if isinstance(node, ast.FunctionDef)
        and node.name == function.__name__
        and node.args.kwarg is not None
        and node.args.kwarg.annotation is not None
    ]
    assert found == [f"'Unpack[{overrides.__name__}]'"]


def test_no_public_function_takes_just_anything_by_name() -> None:
    root = Path(godropbox.__file__).parent
    found = []
    parts = (
        "*.py",
        "memcache/**/*.py",
        "caching/**/*.py",
        "resource_pool/*.py",
        "database/**/*.py",
    )
    for file in (file for part in parts for file in root.glob(part)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            taken = node.args.kwarg
            public = not node.name.startswith("_") or node.name == "__init__"
            if public and taken is not None and taken.annotation is not None:
                found += [file.name] * (ast.unparse(taken.annotation) == "Any")
    assert found == []
