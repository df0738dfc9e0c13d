"""``GodropboxCache`` in both forms: keys, values, timeouts, counters, batches, failures."""

import enum
import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache, InvalidCacheKey
from django.utils.safestring import SafeString, mark_safe
from support.dialects import DIALECTS, FakeServer
from support.django_faces import Face
from support.memcached import Server
from support.pools import fork

from godropbox.django import GodropboxCache
from godropbox.memcache import (
    Client,
    Event,
    InvalidTypeError,
    NetworkError,
    NotSupportedError,
    ServerError,
)

MakeCache = Callable[..., GodropboxCache]
Faced = Callable[[GodropboxCache], Face]
DAY = 60 * 60 * 24


class Text(str):
    __slots__ = ()


class Raw(bytes):
    pass


class Number(int):
    pass


class Color(enum.IntEnum):
    RED = 1


class Unpicklable:
    def __getstate__(self) -> dict[str, Any]:
        raise pickle.PickleError


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    5,
    -5,
    2**64,
    10**5000,
    1.5,
    "",
    "text",
    "ü\u2028",
    "\ud800",
    b"",
    b"raw",
    bytearray(b"array"),
    Text("text"),
    Raw(b"raw"),
    Number(3),
    Color.RED,
    mark_safe("<b>"),
    [1, "two", None],
    {"a": (1, 2)},
    datetime(2026, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_with_its_type(face: Face, value: Any) -> None:
    face.set("key", value)
    face.set_many({"many": value})
    found = [face.get("key", "missing"), *face.get_many(["many"]).values()]
    assert found == [value, value]
    assert [type(each) for each in found] == [type(value)] * 2
    assert face.has_key("key")


def test_a_safe_string_stays_safe(face: Face) -> None:
    face.set("key", mark_safe("<b>"))
    assert type(face.get("key")) is SafeString


def test_none_is_a_value_and_no_miss(face: Face) -> None:
    assert face.get("key", "missing") == "missing"
    face.set("key", None)
    assert face.get("key", "missing") is None
    assert face.get_many(["key", "other"]) == {"key": None}
    assert face.has_key("key")
    assert not face.add("key", 1)


@pytest.mark.parametrize("write", ["set", "add", "get_or_set"])
def test_what_a_pickle_raises_comes_out_as_it_is(face: Face, write: str) -> None:
    with pytest.raises(pickle.PickleError):
        getattr(face, write)("key", Unpicklable())
    assert face.get("key") is None
    with pytest.raises(pickle.PickleError):
        face.set_many({"key": 1, "other": Unpicklable()})
    assert face.get("key") is None


# Timeouts


@pytest.mark.parametrize(
    ("timeout", "least", "most"),
    [
        (None, None, None),
        (100, 90, 100),
        (100.5, 90, 101),
        (30 * DAY, 30 * DAY - 10, 30 * DAY),
        (60 * DAY, 60 * DAY - 30, 60 * DAY + 5),
        (timedelta(minutes=2), 110, 120),
        (True, 0, 1),
    ],
)
def test_a_timeout_is_what_django_means(
    face: Face, timeout: Any, least: int | None, most: int | None
) -> None:
    face.set("set", 1, timeout)
    face.add("add", 1, timeout)
    face.set_many({"many": 1}, timeout)
    face.get_or_set("loaded", 1, timeout)
    face.set("touched", 1, 5)
    assert face.touch("touched", timeout)
    for key in ("set", "add", "many", "loaded", "touched"):
        left = face.ttl(key)
        assert left is None if least is None or most is None else least <= left <= most, key


@pytest.mark.parametrize("timeout", [0, -1, -100, 0.0, False, -(10**12), timedelta(0)])
def test_a_timeout_of_nothing_expires_at_once(face: Face, timeout: Any) -> None:
    for key in ("set", "many", "touched"):
        face.set(key, "old", 100)
    face.set("set", 1, timeout)
    face.add("add", 1, timeout)
    face.set_many({"many": 1}, timeout)
    assert face.touch("touched", timeout)
    assert face.get_or_set("loaded", lambda: "new", timeout) == "new"
    assert face.get_many(["set", "add", "many", "loaded", "touched"]) == {}


def test_the_default_timeout_is_that_of_the_settings(make: MakeCache, faced: Faced) -> None:
    for beside, least in [({}, 290), ({"TIMEOUT": 50}, 40), ({"TIMEOUT": 10**12}, 10**8)]:
        cache = faced(make(beside=beside))
        cache.set("key", 1)
        assert cache.ttl("key") >= least
    forever = faced(make(beside={"TIMEOUT": None}))
    forever.set("key", 1)
    assert forever.ttl("key") is None


def test_a_timeout_that_is_none_is_refused(face: Face) -> None:
    with pytest.raises(InvalidTypeError, match="expire must be seconds"):
        face.set("key", 1, "60")


def test_ttl_of_what_is_not_there_is_0(face: Face) -> None:
    assert face.ttl("key") == 0


# Keys


def test_the_key_has_prefix_and_version(cache: GodropboxCache, client: Client) -> None:
    cache.set("key", 1)
    cache.set("key", 2, version=7)
    start = cache.key_prefix
    assert client.get_many([f"{start}:1:key", f"{start}:7:key"]) == {
        f"{start}:1:key": 1,
        f"{start}:7:key": 2,
    }


def test_versions(make: MakeCache, faced: Faced) -> None:
    cache = faced(make(beside={"VERSION": 3}))
    cache.set("key", 1)
    assert cache.get("key", version=3) == 1
    assert cache.incr_version("key") == 4
    assert cache.get("key") is None
    assert cache.get_many(["key"], version=4) == {"key": 1}
    assert cache.decr_version("key", version=4) == 3
    assert cache.get("key") == 1
    with pytest.raises(ValueError, match="Key 'none' not found"):
        cache.incr_version("none")


class Named:
    def __str__(self) -> str:
        return "named"

    def __format__(self, how: str) -> str:
        raise AssertionError


@pytest.mark.parametrize("key", [5, None, ("a", 1), Named(), "ü", Color.RED])
def test_a_key_is_what_django_makes_of_it(cache: GodropboxCache, client: Client, key: Any) -> None:
    if key == ("a", 1):  # has a blank
        with pytest.raises(InvalidCacheKey):
            cache.set(key, 1)
        return
    cache.set(key, "one")
    cache.set_many({key: "many"}, version=2)
    assert client.get(BaseCache.make_key(cache, key)) == "one"
    assert client.get(BaseCache.make_key(cache, key, 2)) == "many"
    assert cache.get_many([key]) == {key: "one"}


def _backwards(key: str, prefix: str, version: int) -> str:
    return f"{key}-{version}-{prefix}"


def test_a_key_function_is_called(make: MakeCache, client: Client) -> None:
    cache = make(beside={"KEY_FUNCTION": _backwards})
    cache.set("key", 1)
    cache.set_many({"many": 2})
    assert client.get(f"key-1-{cache.key_prefix}") == 1
    assert cache.get_many(["key", "many"]) == {"key": 1, "many": 2}


class Own(GodropboxCache):
    """A back end of a user's own, with methods of Django's that it overrides."""

    def make_key(self, key: Any, version: int | None = None) -> str:
        return "own:" + super().make_key(key, version)

    def validate_key(self, key: Any) -> None:
        if key.endswith("refused"):
            raise InvalidCacheKey("bad")
        super().validate_key(key)


def test_what_a_subclass_overrides_is_called(server: Server, prefix: str, client: Client) -> None:
    own = Own(server.address, {"KEY_PREFIX": prefix})
    own.set("key", 1)
    assert client.get(f"own:{prefix}:1:key") == 1
    for call in (own.get, own.delete, lambda key: own.get_many(["fine", key])):
        with pytest.raises(InvalidCacheKey, match=r"^bad$"):
            call("refused")


CALLS: dict[str, Callable[[Face, str], Any]] = {
    "get": lambda cache, key: cache.get(key),
    "set": lambda cache, key: cache.set(key, 1),
    "add": lambda cache, key: cache.add(key, 1),
    "touch": lambda cache, key: cache.touch(key),
    "delete": lambda cache, key: cache.delete(key),
    "incr": lambda cache, key: cache.incr(key),
    "decr": lambda cache, key: cache.decr(key),
    "has_key": lambda cache, key: cache.has_key(key),
    "get_or_set": lambda cache, key: cache.get_or_set(key, 1),
    "ttl": lambda cache, key: cache.ttl(key),
    "get_many": lambda cache, key: cache.get_many(["fine", key]),
    "set_many": lambda cache, key: cache.set_many({"fine": 1, key: 1}),
    "delete_many": lambda cache, key: cache.delete_many(["fine", key]),
}
BAD_KEYS = {
    "a b": "contains characters that will cause errors",
    "a\nb": "contains characters that will cause errors",
    "a\x7fb": "contains characters that will cause errors",
    "a" * 251: "longer than 250",
    "ü" * 120: r"bytes in UTF-8, longer than 250\)",
    "\udc80": "surrogates not allowed",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "key", BAD_KEYS, ids=["blank", "line", "delete", "long", "bytes", "surrogate"]
)
def test_a_key_that_no_server_takes_is_refused(face: Face, call: str, key: str) -> None:
    with pytest.raises(InvalidCacheKey, match=BAD_KEYS[key]):
        CALLS[call](face, key)


def test_long_keys_may_be_hashed(make: MakeCache, faced: Faced) -> None:
    cache = faced(make(long_keys="hash"))
    key = "long " * 100
    cache.set(key, 1)
    assert cache.get(key) == 1
    assert cache.get_many([key, "other"]) == {key: 1}
    assert cache.incr(key) == 2
    assert 290 <= cache.ttl(key) <= 300
    assert cache.touch(key, None)
    assert cache.ttl(key) is None
    assert cache.get_or_set(key, 9) == 2
    assert cache.delete(key)
    with pytest.raises(InvalidCacheKey, match="contains characters"):
        cache.get("short one")


# Counters


def test_counters(face: Face) -> None:
    face.set("key", 41)
    assert face.incr("key") == 42
    assert face.incr("key", 10) == 52
    assert face.decr("key", 12) == 40
    assert face.incr("key", -10) == 30
    assert face.decr("key", 100) == 0  # memcached's stop there
    assert face.incr("key", 0) == 0
    assert face.get("key") == 0


@pytest.mark.parametrize("verb", ["incr", "decr"])
def test_a_counter_that_is_not_there(face: Face, verb: str) -> None:
    with pytest.raises(ValueError, match=r"^Key 'key' not found$"):
        getattr(face, verb)("key")


@pytest.mark.parametrize("value", ["text", -5, None, True, 2**70])
def test_what_is_no_counter_is_a_type_error_as_of_djangos_own(face: Face, value: Any) -> None:
    face.set("key", value)
    with pytest.raises(TypeError, match=r"is no int in \[0, 2\*\*64\)") as caught:
        face.incr("key")
    assert isinstance(caught.value, ServerError)
    assert face.get("key") == value


# Other writes


def test_add_touch_delete(face: Face) -> None:
    assert face.add("key", 1)
    assert not face.add("key", 2)
    assert face.get("key") == 1
    assert face.touch("key", 60)
    assert not face.touch("none")
    assert face.delete("key")
    assert not face.delete("key")


@pytest.mark.parametrize("dialect", ["nutcracker", "1.6.6"])
def test_a_touch_over_a_server_without_meta_commands(faced: Faced, dialect: str) -> None:
    with FakeServer(DIALECTS[dialect]) as old:
        params = {"OPTIONS": {"timeout": 10.0, "large_values": "parts", "part_size": 1000}}
        face = faced(GodropboxCache(old.address, params))
        assert face.set_many({"small": 1, "large": os.urandom(3000)}) == []
        for key in ("small", "large"):
            assert face.touch(key, 60)
            assert not face.touch("none", 60)
            assert face.get(key) is not None
            assert face.touch(key, -1)
            assert face.get(key) is None


def test_batches(face: Face) -> None:
    assert face.set_many({"a": 1, "b": None, 3: b"raw"}) == []
    assert face.get_many(iter(["a", "b", 3, "none"])) == {"a": 1, "b": None, 3: b"raw"}
    assert face.delete_many(["a", "b", "none"]) is None
    assert face.get_many(["a", "b", 3]) == {3: b"raw"}
    assert face.set_many({}) == []
    assert face.get_many([]) == {}
    assert face.delete_many([]) is None
    # Keys that are one as text, as with Django's own.
    assert face.set_many({1: "int", "1": "text"}) == []
    assert face.get_many([1, "1"]) == {"1": "text"}


def test_failed_keys_have_errors_for_type_checkers_too(cache: GodropboxCache) -> None:
    [error] = cache.set_many({"large": "x" * 2_000_000}).errors.values()
    assert isinstance(error, ServerError)


def test_a_value_over_the_servers_limit_names_both_sizes(face: Face) -> None:
    face.set("key", "old")
    for verb, key in [("set", "key"), ("add", "other"), ("get_or_set", "other")]:
        with pytest.raises(ServerError, match=r"takes 2000000 bytes.*1048576 bytes.*large_values"):
            getattr(face, verb)(key, "x" * 2_000_000)
    assert face.get("key") is None
    failed = face.set_many({"small": 1, "large": "x" * 2_000_000})
    assert failed == ["large"]
    assert "too large" in str(failed.errors["large"])
    assert face.get("small") == 1


def test_clear(server: Server, make: MakeCache, faced: Faced) -> None:
    cache = faced(make())
    cache.set("key", 1)
    cache.clear()
    assert cache.get("key") is None


def test_close_leaves_the_connections_alone(cache: GodropboxCache, client: Client) -> None:
    cache.set("key", 1)
    before = client.stats()[0]["total_connections"]
    for _ in range(5):
        cache.close()
        cache.get("key")
    assert client.stats()[0]["total_connections"] == before


# Loads


def test_get_or_set_takes_a_value_or_what_makes_it(face: Face) -> None:
    calls = []

    def load() -> str:
        calls.append(1)
        return "loaded"

    assert face.get_or_set("key", load, 60) == "loaded"
    assert face.get_or_set("key", load) == "loaded"
    assert len(calls) == 1
    assert 50 <= face.ttl("key") <= 60
    assert face.get_or_set("value", "as it is", version=2) == "as it is"
    assert face.get("value", version=2) == "as it is"
    assert face.get_or_set("none", lambda: None) is None
    assert face.get("none", "missing") is None
    assert face.get_or_set("none", load) is None


def test_of_many_that_miss_one_loads(make: MakeCache) -> None:
    calls = []
    entered = threading.Event()
    gate = threading.Event()

    def load() -> str:
        calls.append(1)
        entered.set()
        assert gate.wait(10)
        return "loaded"

    found: list[Any] = []

    def work() -> None:
        found.append(make().get_or_set("key", load))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    # Meanwhile nobody sees a value, and an empty lease is none.
    cache = make()
    assert cache.get("key", "missing") == "missing"
    assert not cache.has_key("key")
    assert cache.ttl("key") == 0
    with pytest.raises(ValueError, match="not found"):
        cache.incr("key")
    gate.set()
    for thread in threads:
        thread.join()
    assert found == ["loaded"] * 8
    assert len(calls) == 1


@pytest.mark.parametrize("timeout", [1000, None, 0])
def test_a_touch_neither_finds_a_lease_nor_prolongs_it(
    make: MakeCache, faced: Faced, client: Client, timeout: Any
) -> None:
    cache = faced(make(lease_time=5))
    inner = []

    def load() -> str:
        touched = cache.touch("key", timeout)
        looked = client._operations.run(
            cache.cache.make_key("key"), lambda protocol, key: protocol.meta_get(key, details=True)
        )
        inner.append((touched, -1 < (looked.ttl or 0) <= 5))
        return "loaded"

    assert make(lease_time=5).get_or_set("key", load) == "loaded"
    assert inner == [(False, True)]
    assert cache.get("key") == (None if timeout == 0 else "loaded")


def test_what_a_load_raises_comes_out_and_the_next_loads(face: Face) -> None:
    def fail() -> str:
        raise NetworkError("the data base is away")

    with pytest.raises(NetworkError, match="the data base is away"):
        face.get_or_set("key", fail)
    assert face.get_or_set("key", lambda: "next") == "next"


def test_who_waits_too_long_loads_for_itself(make: MakeCache, faced: Faced) -> None:
    cache = faced(make(lease_time=5, lease_wait=0.001))
    slow = make()
    inner = []

    def load() -> str:
        inner.append(cache.get_or_set("key", lambda: "own"))
        return "slow"

    assert slow.get_or_set("key", load) == "slow"
    assert inner == ["own"]
    assert cache.get("key") == "slow"


def test_a_stale_value_is_given_while_one_loads(make: MakeCache, client: Client) -> None:
    """The server counts seconds; the value is made stale by hand."""
    cache = make()
    assert cache.get_or_set("key", lambda: "old", 100, stale=50) == "old"
    left = cache.ttl("key")
    assert left is not None
    assert 140 <= left <= 150
    assert cache.touch("key", 40)  # as if 110 seconds were over
    inner = []

    def load() -> str:
        inner.append(make().get_or_set("key", lambda: "never", 100, stale=50))
        return "new"

    assert cache.get_or_set("key", load, 100, stale=50) == "new"
    assert inner == ["old"]


@pytest.mark.parametrize("options", [{"leases": False}, {"protocol": "ascii"}])
def test_get_or_set_without_leases(make: MakeCache, faced: Faced, options: Any) -> None:
    cache = faced(make(**options))
    assert cache.get_or_set("key", lambda: 1) == 1
    assert cache.get_or_set("key", 2) == 1
    assert cache.get_or_set("none", None) is None
    assert cache.get("none", "missing") is None


# Failures


@pytest.fixture
def away() -> Iterator[str]:
    """An address at which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


RESULTS: dict[str, Any] = {
    "get": None,
    "set": None,
    "add": False,
    "touch": False,
    "delete": False,
    "has_key": False,
    "get_or_set": 1,
    "ttl": 0,
    "get_many": {},
    "set_many": ["fine", "key"],
    "delete_many": None,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_raises(make: MakeCache, faced: Faced, away: str, call: str) -> None:
    cache = faced(make(away))
    if call == "set_many":
        failed = cache.set_many({"fine": 1})
        assert failed == ["fine"]
        assert isinstance(failed.errors["fine"], NetworkError)
        return
    with pytest.raises(NetworkError, match=r"[Cc]onnect"):
        CALLS[call](cache, "key")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("where", ["beside", "options", "lower"])
def test_a_failure_may_be_a_miss_and_is_logged(
    make: MakeCache,
    faced: Faced,
    away: str,
    call: str,
    where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"options": {"IGNORE_EXCEPTIONS": True}, "lower": {"ignore_exceptions": True}}
    beside = {"IGNORE_EXCEPTIONS": True} if where == "beside" else {}
    cache = faced(make(away, beside, **options.get(where, {})))
    with caplog.at_level(logging.WARNING, logger="godropbox.django"):
        if call in ("incr", "decr"):
            with pytest.raises(ValueError, match="not found"):
                CALLS[call](cache, "key")
        else:
            assert CALLS[call](cache, "key") == RESULTS[call]
    if call != "set_many":  # its failures are in the list that it returns
        assert "onnect" in caplog.text
    # What the caller did wrong is not ignored.
    with pytest.raises(InvalidCacheKey):
        CALLS[call](cache, "a b")


def test_a_batch_keeps_what_the_other_servers_have(
    server: Server, make: MakeCache, faced: Faced, away: str
) -> None:
    cache = faced(make([server.address, away], ignore_exceptions=True))
    keys = [f"key{number}" for number in range(40)]
    failed = cache.set_many(dict.fromkeys(keys, 1))
    assert 0 < len(failed) < 40
    assert sorted(cache.get_many(keys)) == sorted(set(keys) - set(failed))


def test_ignored_failures_of_a_load_are_its_own(make: MakeCache, faced: Faced, away: str) -> None:
    cache = faced(make(away, ignore_exceptions=True))
    calls = []

    def fail() -> str:
        calls.append(1)
        raise NetworkError("the data base is away")

    with pytest.raises(NetworkError, match="the data base is away"):
        cache.get_or_set("key", fail)
    assert len(calls) == 1


# Whose clients they are


def test_threads_share_one_client(make: MakeCache) -> None:
    caches = []
    threads = [threading.Thread(target=lambda: caches.append(make())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(cache.clients.client) for cache in caches}) == 1
    assert make(timeout=3.0).clients.client is not caches[0].clients.client


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_the_child_of_a_fork_has_connections_of_its_own(cache: GodropboxCache) -> None:
    cache.set("key", "parent")
    cache.get("key")
    child = fork()
    if child == 0:
        found = cache.get("key")
        cache.set("child", found)
        os._exit(0 if found == "parent" else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert cache.get_many(["key", "child"]) == {"key": "parent", "child": "parent"}


def test_hooks_see_every_operation(make: MakeCache) -> None:
    events: list[Event] = []
    cache = make(hooks=(events.append,))
    cache.set("key", 1)
    cache.get("key")
    cache.get_many(["key"])
    cache.get_or_set("other", 2)
    assert cache.ttl("key")
    names = [event.operation for event in events]
    assert names[:3] == ["set", "get", "get_multi"]
    assert "get_or_set" in names


@pytest.mark.parametrize("name", ["keys", "iter_keys", "delete_pattern", "lock"])
def test_what_memcached_cannot_do_says_so(cache: GodropboxCache, name: str) -> None:
    with pytest.raises(NotSupportedError, match=f"{name} is not possible: memcached .*"):
        getattr(cache, name)("pattern*")
    assert not hasattr(cache, name)  # by which others tell what a cache can do
    with pytest.raises(AttributeError, match="'GodropboxCache' object has no attribute 'no_such'"):
        getattr(cache, "no_such")  # noqa: B009  # a type checker would complain of the other way


def test_ttl_needs_meta(make: MakeCache) -> None:
    with pytest.raises(NotSupportedError, match="ttl needs protocol 'meta'"):
        make(protocol="ascii").ttl("key")
