"""One fleet for all: what any client of a family stores, every other finds and reads as it was.

A family places keys alike. pymemcache's is ``HashClient``, our face of it, ``PyMemcacheCache`` of
Django and our back end in its place; pylibmc's is its ``Client``, our face, ``PyLibMCCache`` and
our back end. There are three real memcached; keys and values are Hypothesis's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pylibmc
import pymemcache
import pytest
from django.core.cache.backends.memcached import PyLibMCCache, PyMemcacheCache
from hypothesis import given, settings
from hypothesis import strategies as st
from pymemcache.serde import pickle_serde
from support.memcached import running

from godropbox import django as our_django
from godropbox import memcache
from godropbox.compat import pylibmc as our_pylibmc
from godropbox.compat import pymemcache as our_pymemcache

FAMILIES = ("pymemcache", "pylibmc")
PREFIX = ":1:"  # what Django puts before a key


@dataclass(frozen=True)
class Caller:
    """A client by the calls that all have, and the name that it has for a key on the servers."""

    set: Callable[[Any, Any], Any]
    get: Callable[[Any], Any]
    set_many: Callable[[Mapping[Any, Any]], Any]
    get_many: Callable[[list[Any]], Mapping[Any, Any]]
    delete: Callable[[Any], Any]
    is_django: bool = False

    def name(self, key: str) -> str:
        return key if self.is_django else PREFIX + key


def raw(client: Any) -> Caller:
    return Caller(client.set, client.get, client.set_multi, client.get_multi, client.delete)


def framework(cache: Any) -> Caller:
    return Caller(cache.set, cache.get, cache.set_many, cache.get_many, cache.delete, True)


Fleet = Mapping[str, Mapping[str, Caller]]


def of_pymemcache(servers: list[str], close: Callable[[Any], Any]) -> dict[str, Caller]:
    options: dict[str, Any] = {"allow_unicode_keys": True, "default_noreply": False}
    pairs = [(host, int(port)) for host, port in (each.split(":") for each in servers)]
    theirs = pymemcache.HashClient(pairs, serde=pickle_serde, **options)
    ours = our_pymemcache.HashClient(pairs, serde=our_pymemcache.serde.pickle_serde, **options)
    stock = PyMemcacheCache(servers, {})
    in_place = our_django.GodropboxCache(servers, {"OPTIONS": {"compatible": "pymemcache"}})
    for each in (theirs, ours, stock, in_place):
        close(each.close)
    return {
        "pymemcache": raw(theirs),
        "our pymemcache": raw(ours),
        "PyMemcacheCache": framework(stock),
        "GodropboxCache": framework(in_place),
    }


def of_pylibmc(servers: list[str], close: Callable[[Any], Any]) -> dict[str, Caller]:
    theirs = pylibmc.Client(servers, behaviors={"tcp_nodelay": True})
    ours = our_pylibmc.Client(servers, behaviors={"tcp_nodelay": True})
    stock = PyLibMCCache(servers, {})
    in_place = our_django.GodropboxCache(servers, {"OPTIONS": {"compatible": "pylibmc"}})
    close(theirs.disconnect_all)
    close(ours.disconnect_all)
    close(in_place.close)
    return {
        "pylibmc": raw(theirs),
        "our pylibmc": raw(ours),
        "PyLibMCCache": framework(stock),
        "GodropboxCache": framework(in_place),
    }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", tmp_path_factory.mktemp("memcached"))).address
            for _ in range(3)
        ]


@pytest.fixture(scope="module")
def fleet(servers: list[str]) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield {
            "pymemcache": of_pymemcache(servers, stack.callback),
            "pylibmc": of_pylibmc(servers, stack.callback),
        }


# Keys that memcached takes whole: no blanks, no control characters, at most 250 bytes.
TEXT_KEYS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=50
)
BYTES_KEYS = st.binary(min_size=1, max_size=100).map(
    lambda raw: bytes(byte if byte > 0x20 and byte != 0x7F else 0x21 for byte in raw)
)
TEXTS = st.text(st.characters(codec="utf-8"))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.binary()
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.frozensets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)
LARGE = st.builds(lambda part, times: part * times, st.binary(min_size=1), st.integers(1, 4000))
COMPRESSIBLE = st.builds(
    lambda part, times: part * times,
    st.text("abc é", min_size=1, max_size=20),
    st.integers(1, 9000),
)
# Nothing without flags is what a lease looks like, so our back end of Django takes a b"" of the
# others for a miss: tests/django/test_peers.py has that.
ALL = (NESTED | LARGE | COMPRESSIBLE | LARGE.map(lambda data: {"large": data})).filter(
    lambda value: value != b""
)
# pylibmc itself reads the True that it stored as 1; in a container it is True.
VALUES = {"pymemcache": ALL, "pylibmc": ALL.filter(lambda value: not isinstance(value, bool))}


def kinds(value: Any) -> Any:
    """Return a value with the type of each part, so that 1 and True, or 1 and 1.0, differ."""
    if isinstance(value, dict):
        return dict, {key: kinds(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [kinds(each) for each in value]
    if isinstance(value, float):
        return float, value.hex()  # zeros have signs
    return type(value), value


def readers(callers: Mapping[str, Caller], only_raw: bool) -> dict[str, Caller]:
    return {name: each for name, each in callers.items() if not (only_raw and each.is_django)}


def hold(callers: Mapping[str, Caller], items: Mapping[Any, Any], named: bool) -> None:
    """Hold every client to finding all items, one by one and in one batch."""
    for name, caller in callers.items():
        held = {caller.name(key) if named else key: value for key, value in items.items()}
        for key, value in held.items():
            assert kinds(caller.get(key)) == kinds(value), f"{name} reads {key!r} otherwise"
        found = caller.get_many(list(held))
        assert {key: kinds(each) for key, each in found.items()} == {
            key: kinds(each) for key, each in held.items()
        }, f"{name} reads a batch otherwise"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_one_stores_all_of_its_family_read(fleet: Fleet, family: str) -> None:
    callers = fleet[family]

    @settings(max_examples=40, deadline=None, database=None)
    @given(
        st.sampled_from(sorted(callers)),
        st.booleans(),
        st.dictionaries(TEXT_KEYS, VALUES[family], min_size=1, max_size=5),
        st.sampled_from(sorted(callers)),
    )
    def run(writer: str, at_once: bool, items: dict[str, Any], deleter: str) -> None:
        caller = callers[writer]
        if at_once:
            caller.set_many({caller.name(key): value for key, value in items.items()})
        else:
            for key, value in items.items():
                caller.set(caller.name(key), value)
        hold(callers, items, named=True)
        for key in items:
            callers[deleter].delete(callers[deleter].name(key))
        for name, caller in callers.items():
            assert not caller.get_many([caller.name(key) for key in items]), f"{name} finds them"

    run()


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_in_bytes_are_found_by_all_that_take_them(fleet: Fleet, family: str) -> None:
    callers = readers(fleet[family], only_raw=True)

    @settings(max_examples=25, deadline=None, database=None)
    @given(
        st.sampled_from(sorted(callers)),
        st.dictionaries(BYTES_KEYS, VALUES[family], min_size=1, max_size=5),
    )
    def run(writer: str, items: dict[bytes, Any]) -> None:
        for key, value in items.items():
            callers[writer].set(key, value)
        hold(callers, items, named=False)

    run()


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_alone_is_read_as_pylibmc_reads_it(fleet: Fleet, value: bool) -> None:
    callers = fleet["pylibmc"]
    for writer in callers.values():
        writer.set(writer.name("flag"), value)
        assert {each.get(each.name("flag")) for each in callers.values()} == {value}
        only_raw = readers(callers, only_raw=True).values()
        assert len({type(each.get(each.name("flag"))) for each in only_raw}) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_all_servers_are_in_use(fleet: Fleet, family: str, servers: list[str]) -> None:
    """Or placement would not matter to the tests above."""
    callers = fleet[family]
    with memcache.Client(servers) as client:
        before = [int(each["curr_items"]) for each in client.stats().values()]
        for number in range(60):
            for caller in callers.values():
                caller.set(caller.name(f"{family}:{number}"), number)
        after = [int(each["curr_items"]) for each in client.stats().values()]
    new = [more - less for more, less in zip(after, before, strict=True)]
    assert min(new) > 5
    assert sum(new) == 60  # each key is on one server, whoever stored it
