"""pymemcache's face does what pymemcache does, call by call, on one server."""

import copy
import inspect
import os
import pickle
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pymemcache
import pymemcache.client.base
import pymemcache.client.hash
import pymemcache.client.retrying
import pymemcache.exceptions
import pymemcache.fallback
import pymemcache.pool
import pymemcache.serde
import pymemcache.test.utils
import pytest
from compat.pymemcache_support import KINDS, SERDES, Canned, agree, outcome, pair, place
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memcached import Server, running
from support.pools import fork

from godropbox.compat import pymemcache as ours
from godropbox.compat.pymemcache import exceptions, fallback, pool, serde
from godropbox.compat.pymemcache.client import base, retrying
from godropbox.compat.pymemcache.client import hash as hashing
from godropbox.compat.pymemcache.test import utils
from godropbox.errors import DropboxError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("tcp")) as started:
        yield started


@pytest.fixture(params=KINDS)
def both(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[Any, Any]]:
    """Clients of each kind, theirs and ours, that wait for replies."""
    theirs, own = pair(request.param, server.address, default_noreply=False)
    theirs.flush_all(noreply=False)
    yield theirs, own
    theirs.close()
    own.close()


@pytest.fixture
def client(server: Server) -> Iterator[ours.Client]:
    client = ours.Client(place(server.address), default_noreply=False)
    client.flush_all()
    yield client
    client.close()


# The same names, arguments and classes

MODULES = [
    (pymemcache, ours),
    (pymemcache.exceptions, exceptions),
    (pymemcache.serde, serde),
    (pymemcache.pool, pool),
    (pymemcache.client.base, base),
    (pymemcache.client.hash, hashing),
    (pymemcache.client.retrying, retrying),
    (pymemcache.fallback, fallback),
    (pymemcache.test.utils, utils),
]
FUNCTIONS = {"check_key_helper", "normalize_server_spec", "get_python_memcache_serializer"}


def public_classes(module: Any) -> dict[str, Any]:
    return {
        name: each
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and each.__module__.startswith("pymemcache")
        and not name.startswith("_")
    }


@pytest.mark.parametrize(("theirs", "own"), MODULES, ids=lambda module: module.__name__)
def test_what_has_a_name_there_has_it_here_with_the_same_arguments(theirs: Any, own: Any) -> None:
    wanted = public_classes(theirs)
    for name in FUNCTIONS & set(vars(theirs)):
        assert list(inspect.signature(getattr(own, name)).parameters) == list(
            inspect.signature(getattr(theirs, name)).parameters
        )
    for name, kind in wanted.items():
        here = getattr(own, name)
        assert arguments(here) == arguments(kind), name
        for method, function in vars(kind).items():
            if not method.startswith("_") and inspect.isfunction(function):
                assert_takes_the_same(getattr(here, method), function, f"{name}.{method}")


def arguments(kind: Any) -> list[tuple[str, Any]]:
    if issubclass(kind, Exception):
        return []
    found = list(inspect.signature(kind).parameters.values())
    plain = (bool, int, float, str, bytes, type(None))
    return [(each.name, each.default if isinstance(each.default, plain) else ...) for each in found]


def assert_takes_the_same(own: Any, theirs: Any, name: str) -> None:
    wanted = inspect.signature(theirs).parameters
    if any(each.kind is each.VAR_KEYWORD for each in wanted.values()):
        return  # theirs takes whatever a client's own method does
    found = inspect.signature(own).parameters
    # More may be taken at the end, as gets of a PooledClient does.
    assert list(found)[: len(wanted)] == list(wanted), name
    for each in wanted.values():
        if each.default is not each.empty and not inspect.isclass(each.default):
            here = found[each.name].default
            assert here == each.default or {here, each.default} == {"\r\n", b"\r\n"}, name


def test_exceptions_have_the_same_families() -> None:
    for name in exceptions.__all__:
        families = [
            [base.__name__ for base in getattr(module, name).__mro__]
            for module in (pymemcache.exceptions, exceptions)
        ]
        assert families[0] == families[1]


# The same results

KEYS = st.one_of(
    st.sampled_from(["a", "b", b"a", b"c", "counter", ""]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5),
    st.sampled_from(["with space", "k\n", b"\x00", "\u20ac", "x" * 250, b"x" * 248, None, 7]),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 99),
    st.sampled_from([b"7", "text", "\u20ac", b"z" * 900]),
)
OBJECTS: st.SearchStrategy[Any] = st.one_of(
    VALUES, st.sampled_from([None, 1.5, {"a": [1]}, "\u20ac" * 500, True, (1, 2)])
)
EXPIRES = st.sampled_from([0, 0, 60, 1.5, "1", None, 2**31 - 1])
FLAGS = st.sampled_from([None, None, 0, 1, 16])
TOKENS = st.sampled_from([b"1", "2", 3, 0, b"", "x", None, 1.0])
STORES = st.sampled_from(["set", "add", "replace", "append", "prepend"])


def stores(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(STORES, KEYS, values, EXPIRES, st.booleans(), FLAGS)


def calls(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.lists(KEYS, max_size=4)
    texts = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), values, max_size=3)
    return st.one_of(
        stores(values),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("get"), KEYS, values),
        st.tuples(st.just("gets"), KEYS),
        st.tuples(st.sampled_from(["get_many", "get_multi", "gets_many"]), keys),
        st.tuples(st.sampled_from(["set_many", "set_multi"]), texts, EXPIRES, st.booleans()),
        st.tuples(st.just("delete"), KEYS, st.booleans()),
        st.tuples(st.sampled_from(["delete_many", "delete_multi"]), keys, st.booleans()),
        st.tuples(st.sampled_from(["incr", "decr"]), KEYS, st.sampled_from([0, 1, 5, 2**64, "1"])),
        st.tuples(st.just("touch"), KEYS, EXPIRES),
        st.tuples(st.just("cas"), KEYS, values, TOKENS, EXPIRES),
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(script=st.lists(calls(VALUES), max_size=12))
def test_any_calls_do_the_same(server: Server, kind: str, script: list[Any]) -> None:
    check_script(server, kind, None, script)


@pytest.mark.parametrize("name", SERDES[1:])
@settings(max_examples=40, deadline=None)
@given(script=st.lists(calls(OBJECTS), max_size=12))
def test_any_calls_do_the_same_with_a_serde(server: Server, name: str, script: list[Any]) -> None:
    check_script(server, "PooledClient", name, script)


def check_script(server: Server, kind: str, name: str | None, script: list[Any]) -> None:
    with_noreply = pair(kind, server.address, name, default_noreply=False)
    theirs, own = with_noreply
    theirs.flush_all(noreply=False)
    try:
        for call, *args in script:
            if call in ("get_many", "get_multi", "gets_many") and len(
                {key.encode() if isinstance(key, str) else key for key in args[0]}
            ) < len(args[0]):
                continue  # for one key as text and as bytes, theirs answers one of them
            if kind == "HashClient" and call in ("delete_many", "delete_multi"):
                continue  # theirs deletes what comes before a key that is wrong
            agree(theirs, own, call, *args)
    finally:
        theirs.close()
        own.close()


def test_a_token_is_good_for_one_cas(both: tuple[Any, Any]) -> None:
    for client in both:
        assert client.gets("k") == (None, None)
        assert client.cas("k", b"v", b"1") is None
        client.set("k", b"v")
        value, token = client.gets("k")
        assert value == b"v"
        assert isinstance(token, bytes)
        assert client.cas("k", b"w", token) is True
        assert client.cas("k", b"x", token.decode()) is False
        assert client.cas("k", b"x", int(token)) is False
        assert client.get("k") == b"w"
        assert client.gets_many(["k", "none"])["k"][0] == b"w"


def test_statistics_have_the_same_types(server: Server) -> None:
    theirs, own = pair("Client", server.address)
    for group in ((), ("settings",), ("slabs",), ("items",)):
        expected, found = theirs.stats(*group), own.stats(*group)
        assert expected.keys() == found.keys()
        assert {key: type(value) for key, value in expected.items()} == {
            key: type(value) for key, value in found.items()
        }
    theirs.close()
    own.close()


def test_calls_of_the_whole_server(server: Server) -> None:
    theirs, own = pair("Client", server.address)
    agree(theirs, own, "version")
    agree(theirs, own, "cache_memlimit", 64)
    agree(theirs, own, "cache_memlimit", "64")
    agree(theirs, own, "raw_command", "mn")
    agree(theirs, own, "raw_command", b"get none", b"END\r\n")
    agree(theirs, own, "raw_command", "nonsense")
    agree(theirs, own, "stats", "cachedump", "1", "1")
    agree(theirs, own, "stats", "no such group")
    agree(theirs, own, "shutdown")
    agree(theirs, own, "flush_all", 0, False)
    agree(theirs, own, "flush_all", "soon")
    agree(theirs, own, "quit")
    agree(theirs, own, "version")
    theirs.close()
    own.close()


def test_as_a_mapping(client: ours.Client) -> None:
    client["k"] = b"v"
    assert client["k"] == b"v"
    del client["k"]
    with pytest.raises(KeyError):
        client["k"]


def test_keys_that_are_not_ascii(server: Server) -> None:
    for kind in KINDS:
        theirs, own = pair(kind, server.address, default_noreply=False, allow_unicode_keys=True)
        for key in ("\u20ac", "na\u00efve", "\u3000", "k\u2028"):
            agree(theirs, own, "set", key, b"v")
            agree(theirs, own, "get", key)
            agree(theirs, own, "get_many", [key, "other"])
        theirs.close()
        own.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_with_a_wrong_key_is_not_sent(server: Server, kind: str) -> None:
    _, client = pair(kind, server.address, default_noreply=False)
    client.set_many({"a": b"v", "b": b"v"})
    for wrong in ("with space", "\u20ac", "x" * 250, "\x01", None):
        for keys in (["a", wrong], [wrong, "a"], [b"a", wrong]):
            error = TypeError if wrong is None else ours.MemcacheIllegalInputError
            with pytest.raises(error):
                client.delete_many(keys)
            with pytest.raises(error):
                client.set_many(dict.fromkeys(keys, b"w"))
    assert client.get_many(["a", "b"]) == {"a": b"v", "b": b"v"}
    client.close()


def test_keys_that_are_wrong(client: ours.Client) -> None:
    # Here alone: memcached and its proxies do not agree on where such a key ends.
    with pytest.raises(ours.MemcacheIllegalInputError, match="0x01"):
        client.set("a\x01b", b"v")
    with pytest.raises(ours.MemcacheIllegalInputError, match="iterable of keys"):
        client.get_many("abc")
    with pytest.raises(ours.MemcacheIllegalInputError, match="ASCII"):
        client.get("\ud800")
    for key in (None, 7, ("a",)):
        with pytest.raises(TypeError, match="key must be str or bytes"):
            client.set(key, b"v")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SERDES)
def test_each_reads_what_the_other_stored(server: Server, name: str | None) -> None:
    theirs, own = (
        module.Client(place(server.address), serde=name and getattr(serdes, name))
        for module, serdes in ((pymemcache, pymemcache.serde), (ours, serde))
    )
    values: list[Any] = [b"", b"raw", b"z" * 5000]
    if name:
        values += ["", "t\u20acxt" * 300, 7, -(10**30), True, None, {"a": [1.5, b"x"]}, (1, "2")]
    for at, value in enumerate(values):
        theirs.set(f"theirs{at}", value, noreply=False)
        own.set(f"own{at}", value, noreply=False)
    for at, value in enumerate(values):
        for key in (f"theirs{at}", f"own{at}"):
            found = [client.get(key, "none") for client in (theirs, own)]
            assert found == [value, value]
            assert [type(each) for each in found] == [type(value)] * 2
    theirs.close()
    own.close()


@pytest.mark.parametrize("made", [(b"v", 0, 1), (b"v",), None])
def test_a_serializer_must_make_two_of_a_value(server: Server, made: Any) -> None:
    options: dict[str, Any] = {"serializer": lambda key, value: made}
    theirs = pymemcache.Client(place(server.address), **options)
    own = ours.Client(place(server.address), **options)
    agree(theirs, own, "set", "k", b"v", 0, False)
    agree(theirs, own, "set_many", {"k": b"v"}, 0, False)


def test_a_prefix_that_no_key_can_have() -> None:
    with pytest.raises(exceptions.MemcacheIllegalInputError, match="got 0x20 at 1 of b'a b'"):
        ours.Client("127.0.0.1:1", key_prefix=b"a b")


def test_functions_of_ones_own_as_serializers(server: Server) -> None:
    options: dict[str, Any] = {
        "serializer": lambda key, value: (repr(value), 32),
        "deserializer": lambda key, value, flags: (key, value, flags),
    }
    theirs, own = pair("Client", server.address, default_noreply=False, **options)
    agree(theirs, own, "set", "k", {"a": 1})
    assert agree(theirs, own, "get", "k") == ("k", b"{'a': 1}", 32)
    agree(theirs, own, "set", "k", 5, flags=3)
    assert agree(theirs, own, "get_many", ["k"]) == {"k": ("k", b"5", 3)}
    theirs.close()
    own.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", ["unix", "tls", "keepalive", "gevent"])
def test_other_ways_to_a_server(tmp_path: Path, server: Server, kind: str, transport: str) -> None:
    options: dict[str, Any] = {"default_noreply": False, "connect_timeout": 5, "timeout": 10}
    with ExitStack() as stack:
        started = server
        if transport in ("unix", "tls"):
            started = stack.enter_context(running(transport, tmp_path))
        where: Any = started.address if transport == "unix" else place(started.address)
        if transport == "tls":
            options["tls_context"] = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        elif transport == "keepalive":
            options |= {"socket_keepalive": ours.KeepaliveOpts(5, 5, 5), "no_delay": True}
        elif transport == "gevent":
            options["socket_module"] = import_module("gevent.socket")
        client = getattr(ours, kind)([where] if kind == "HashClient" else where, **options)
        for noreply in (True, False):
            value = b"%d" % noreply * 100
            assert client.set("k", value, noreply=noreply) is True
            assert client.get("k") == value
            assert client.set_many({f"k{at}": value for at in range(50)}, noreply=noreply) == []
            assert len(client.get_many([f"k{at}" for at in range(60)])) == 50
            assert client.delete("k", noreply=noreply) is True
            assert client.incr("k", 1, noreply=noreply) is None
            assert client.delete_many([f"k{at}" for at in range(50)], noreply=noreply) is True
            assert client.gets_many(["k1"]) == {}
        client.close()


# Failures

REFUSALS = {
    "incr": lambda client: client.incr("text", 1),
    "large": lambda client: client.set("k", b"x" * (1 << 21)),
    "command": lambda client: client.raw_command("nonsense"),
    "text": lambda client: client.set("k", "\u20ac"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_its_cause_and_the_client_goes_on(server: Server, name: str) -> None:
    theirs, own = pair("Client", server.address, default_noreply=False)
    for client in (theirs, own):
        client.set("text", b"text")
    expected, found = (outcome(partial(REFUSALS[name], client)) for client in (theirs, own))
    assert expected == found
    with pytest.raises(ours.MemcacheError) as raised:
        REFUSALS[name](own)
    if name in ("incr", "large"):
        assert isinstance(raised.value.__cause__, DropboxError)
        with pytest.raises(pymemcache.MemcacheError) as theirs_raised:
            REFUSALS[name](theirs)
        assert raised.value.args == theirs_raised.value.args
    assert own.get("text") == b"text"
    theirs.close()
    own.close()


def nobody() -> tuple[str, int]:
    """Return an address where nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place: tuple[str, int] = probe.getsockname()
        return place


@pytest.mark.parametrize("ignore_exc", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "call",
    [
        ("get", "k", 5),
        ("gets", "k"),
        ("get_many", ["k"]),
        ("gets_many", ["k"]),
        ("set", "k", b"v"),
        ("set_many", {"k": b"v"}),
        ("delete", "k"),
        ("incr", "k", 1),
        ("cas", "k", b"v", b"1"),
    ],
    ids=lambda call: call[0],
)
def test_a_server_that_is_not_there(kind: str, ignore_exc: bool, call: tuple[Any, ...]) -> None:
    where = "{}:{}".format(*nobody())
    theirs, own = pair(kind, where, ignore_exc=ignore_exc)
    name, *args = call
    if (kind, ignore_exc, name) == ("HashClient", True, "set_many"):
        assert theirs.set_many(*args) == []  # as if it were stored
        assert own.set_many(*args) == ["k"]
    elif (kind, ignore_exc, name) == ("PooledClient", False, "gets"):
        assert outcome(lambda: own.gets(*args))[0] == "ConnectionRefusedError"
    else:
        agree(theirs, own, name, *args)


def test_an_error_of_the_network_is_the_systems_with_ours_as_its_cause() -> None:
    client = ours.Client(nobody())
    with pytest.raises(ConnectionRefusedError) as raised:
        client.get("k")
    assert isinstance(raised.value.__cause__, DropboxError)
    assert raised.value.errno


def test_a_deadline_is_a_timeout() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = ours.Client(silent.getsockname(), connect_timeout=5, timeout=0.05)
        with pytest.raises(socket.timeout):
            client.get("k")
        client.close()


def test_a_server_that_hangs_up() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        client = ours.Client(listener.getsockname(), timeout=5)

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ours.MemcacheUnexpectedCloseError):
            client.get("k")
        thread.join()
        client.close()


def test_the_pool_has_a_limit(server: Server) -> None:
    client = ours.PooledClient(place(server.address), max_pool_size=1, serde=Reentrant())
    client.set("k", b"v", noreply=False)
    Reentrant.call = lambda: client.get("k")
    # The connection was given back before the value is made.
    assert client.get("k") == b"v"
    client.close()
    with pytest.raises(ValueError, match="max_size"):
        ours.PooledClient(place(server.address), max_pool_size=-1)


class Reentrant:
    """A serde that uses the client while it is in use."""

    call: Callable[[], Any] | None = None

    def serialize(self, key: Any, value: Any) -> tuple[Any, int]:
        return value, 0

    def deserialize(self, key: Any, value: Any, flags: int) -> Any:
        call, Reentrant.call = Reentrant.call, None
        return value if call is None else call()


def test_a_retrying_client_retries(server: Server) -> None:
    client = ours.Client(place(server.address))
    client.sock = Canned(b"nonsense\r\n")
    retrying_client = ours.RetryingClient(client, attempts=2, retry_for=[ours.MemcacheUnknownError])
    assert retrying_client.get("not-there", "none") == "none"
    client.sock = Canned(b"nonsense\r\n")
    with pytest.raises(ours.MemcacheUnknownError):
        ours.RetryingClient(client, attempts=1).get("k")
    client.close()


# Sockets of one's own


def test_a_socket_may_be_given(server: Server) -> None:
    client = ours.Client(place(server.address))
    assert client.sock is None
    canned = Canned(b"VALUE k 0 1\r\nv\r\nEND\r\n", b"STO", b"RED\r\n", b"SERVER_ERROR no\r\n")
    client.sock = canned
    assert client.sock is canned
    assert client.get("k") == b"v"
    assert client.set("k", b"v", noreply=False) is True
    with pytest.raises(ours.MemcacheServerError, match="no"):
        client.set("k", b"v", noreply=False)
    client.close()
    assert canned.is_closed
    assert client.sock is None
    assert client.version().startswith(b"1.")  # of the server itself
    client.close()


def test_a_reply_that_means_nothing_closes_the_connection(server: Server) -> None:
    client = ours.Client(place(server.address))
    client.sock = canned = Canned(b"VALUE other 0 1\r\nv\r\nEND\r\n")
    with pytest.raises(ours.MemcacheUnknownError):
        client.get("k")
    client.sock = canned = Canned(b"foo\r\n")
    with pytest.raises(ours.MemcacheUnknownError):
        client.set("k", b"v", noreply=False)
    assert canned.is_closed
    client.close()


def test_what_is_not_supported_says_so(server: Server) -> None:
    class Extracting(ours.Client):
        def _extract_value(self, *args: Any) -> Any:
            raise AssertionError

    with pytest.raises(NotImplementedError, match="_extract_value"):
        Extracting(place(server.address))

    class Renaming(ours.PooledClient):
        def check_key(self, key: Any) -> bytes:
            raise AssertionError

    with pytest.raises(NotImplementedError, match="check_key"):
        Renaming(place(server.address))
    with pytest.raises(NotImplementedError, match="tls_context"):
        ours.Client(
            place(server.address),
            socket_module=import_module("gevent.socket"),
            tls_context=ssl.create_default_context(),
        )
    with pytest.raises(AttributeError):
        ours.Client(place(server.address)).key_prefix = b"other"  # type: ignore[misc]


def test_limits_of_time_that_are_none() -> None:
    for wrong in (0, -1, 1e9):
        for name in ("timeout", "connect_timeout"):
            with pytest.raises(ValueError, match=rf"^{name} must be in \(0, 1e9\) seconds"):
                ours.Client("127.0.0.1", **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout must be a number"):
        ours.HashClient(["127.0.0.1"], timeout="5")  # type: ignore[arg-type]
    assert ours.Client("127.0.0.1", timeout=7200).timeout == 7200


def test_a_pool_of_ones_own_clients(server: Server) -> None:
    class Counting(ours.Client):
        count = 0

        def get(self, key: Any, default: Any = None) -> Any:
            Counting.count += 1
            return super().get(key, default)

    client = ours.PooledClient(place(server.address))
    client.client_class = Counting
    assert client.set("k", b"v", noreply=False) is True
    assert client.get("k") == b"v"
    assert Counting.count == 1
    assert isinstance(client.client_pool.free[0], Counting)
    client.close()
    assert client.client_pool.free == ()


# Threads, processes, pickles


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_a_client(server: Server, kind: str) -> None:
    _, client = pair(kind, server.address)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for at in range(100):
            key, value = f"t{number}", b"%d-%d" % (number, at)
            client.set(key, value)  # with noreply
            found = client.get(key)
            if found != value or client.get_many([key]) != {key: value}:
                wrong.append((found, value))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_has_connections_of_its_own(server: Server) -> None:
    client = ours.Client(place(server.address), timeout=10)
    client.set("k", b"parent", noreply=False)
    client.set("k", b"sent", noreply=True)
    child = fork()
    if child == 0:
        works = client.get("k") == b"sent" and client.set("child", b"v", noreply=False)
        os._exit(0 if works else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get("k") == b"sent"
    assert client.get("child") == b"v"
    client.close()


def test_what_can_be_pickled_there_can_be_here() -> None:
    values: list[Any] = [
        serde.pickle_serde,
        serde.compressed_serde,
        serde.python_memcache_serializer,
        ours.KeepaliveOpts(2, 3, 4),
        ours.MemcacheServerError(b"out of memory"),
    ]
    for value in values:
        again = pickle.loads(pickle.dumps(value))
        assert type(again) is type(value)
    assert pickle.loads(pickle.dumps(serde.pickle_serde)).serialize("k", {"a": 1})[1] == 1
    for client in (ours.Client("127.0.0.1"), ours.HashClient([])):
        with pytest.raises(TypeError, match="Client"):
            copy.copy(client)


def test_the_mock_client() -> None:
    theirs = pymemcache.test.utils.MockMemcacheClient(serde=pymemcache.serde.pickle_serde)
    own = utils.MockMemcacheClient(serde=serde.pickle_serde)
    script: list[tuple[Any, ...]] = [
        ("set", "k", 1),
        ("get", "k"),
        ("incr", "k", 5),
        ("decr", "k", 2),
        ("add", "k", 1, 0, False),
        ("replace", "k", {"a": 1}, 0, False),
        ("get_many", ["k", "none"]),
        ("touch", "none", 5, False),
        ("set", "t", b"text"),
        ("append", "t", b"!"),
        ("prepend", "t", "?"),
        ("get", "t"),
        ("set", "t", "\u20ac"),
        ("delete", "t", False),
        ("delete", "t", False),
        ("cas", "k", 1, b"1"),
        ("get", "a b"),
        ("flush_all",),
        ("get", "k", 7),
        ("version",),
        ("stats",),
    ]
    for name, *args in script:
        agree(theirs, own, name, *args)
