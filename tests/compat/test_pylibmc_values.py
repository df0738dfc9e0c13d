"""Each of pylibmc and ``compat.pylibmc`` reads the other's values: the same bytes and flags."""

import datetime
import enum
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pylibmc as theirs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.memcached import Server, running

from godropbox import memcache
from godropbox.compat import pylibmc as ours

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.text(),
    st.binary(),
    st.floats(allow_nan=False),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=6,
)


class Colour(enum.IntEnum):
    RED = 3


class Text(str):
    __slots__ = ()


class Data(bytes):
    __slots__ = ()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("pylibmc")) as started:
        yield started


def stored(server: Server, key: str) -> tuple[bytes | None, int]:
    """Return what a server has under a key."""
    with memcache.RawAsciiClient(memcache.connect(server.address)) as client:
        found = client.get(key)
        return found.value, found.flags


@pytest.mark.parametrize("binary", [False, True], ids=["ascii", "binary"])
def test_each_reads_the_others_values(server: Server, binary: bool) -> None:
    clients = [lib.Client([server.address], binary=binary) for lib in (theirs, ours)]

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(VALUES, st.sampled_from([0, 1, 40]), st.sampled_from([-1, 0, 1, 9]))
    def check(value: Any, least: int, level: int) -> None:
        for client, name in zip(clients, "to", strict=True):
            assert client.set(name, value, 0, least, level)
            assert client.set_multi({name: value}, 0, "m", least, level) == []
        assert stored(server, "t") == stored(server, "o") == stored(server, "mo")
        for client in clients:
            assert client.get("t") == client.get("o") == value
            assert client.get_multi(["t", "o"]) == {"t": value, "o": value}
            assert type(client.get("t")) is type(client.get("o"))

    check()


@pytest.mark.parametrize(
    "value",
    [Colour.RED, Text("a"), Data(b"a"), bytearray(b"a"), True, 2**70, datetime.date(2020, 2, 2)],
    ids=repr,
)
def test_subclasses_are_stored_as_there(server: Server, value: Any) -> None:
    for library, name in ((theirs, "t"), (ours, "o")):
        client = library.Client([server.address])
        assert client.set(name, value)
        assert client.serialize(value) == stored(server, name)
    assert stored(server, "t") == stored(server, "o")


@pytest.mark.parametrize("protocol", [-1, 0, 2, 4])
def test_the_pickle_protocol_is_a_behavior(server: Server, protocol: int) -> None:
    for library, name in ((theirs, "t"), (ours, "o")):
        client = library.Client([server.address], behaviors={"pickle_protocol": protocol})
        assert client.set(name, [1, 2.5, ("a",)])
    assert stored(server, "t") == stored(server, "o")


@pytest.mark.parametrize("size", [99, 100, 101])
@pytest.mark.parametrize("value", ["a", b"a", bytes(range(101))], ids=["text", "bytes", "mixed"])
def test_compression_begins_at_the_same_size(server: Server, value: Any, size: int) -> None:
    for library, name in ((theirs, "t"), (ours, "o")):
        client = library.Client([server.address])
        assert client.set(name, (value * 101)[:size], min_compress_len=100)
    assert stored(server, "t") == stored(server, "o")
    flags = stored(server, "o")[1]
    assert bool(flags & 8) == (size >= 100 and value != bytes(range(101)))


def test_an_empty_value_is_a_value_here_and_a_lease_is_one_too(server: Server) -> None:
    client = ours.Client([server.address])
    assert client.set("k", b"")
    assert client.get("k", "default") == b""
    assert client.get_multi(["k"]) == {"k": b""}
    leasing = memcache.Client([server.address])
    assert leasing.get("k", "default") == "default"  # there an item without bytes is a lease
    assert leasing.set("k", b"")
    assert client.get("k", "default") == b""
    leasing.close()


def test_a_client_that_pickles_reads_these_values(server: Server) -> None:
    values = {"a": b"bytes", "b": "text", "c": 5, "d": True, "e": {"x": [None, 1.5]}, "f": "z" * 99}
    facade = ours.Client([server.address])
    assert facade.set_multi(values, 0, "", 50) == []
    with memcache.Client([server.address], serializer="pickle") as client:
        assert client.get_many(list(values)) == {**values, "d": 1}
        assert client.set_many({**values, "f": "y"}) == []
    assert facade.get_multi(list(values)) == {**values, "f": "y"}


def test_damaged_values_raise_what_they_raise_there(server: Server) -> None:
    with memcache.RawAsciiClient(memcache.connect(server.address)) as raw:
        for key, data, flags in [
            ("zlib", b"no", 8),
            ("pickle", b"no", 1),
            ("text", b"\xff", 16),
            ("int", b"x", 4),
            ("kinds", b"5", 5),
            ("cut", zlib.compress(b"a" * 1000)[:-3], 8),
        ]:
            assert raw.set(memcache.Item(key, data, flags)).ok
            seen = []
            for library in (theirs, ours):
                client = library.Client([server.address])
                for call in (client.get, lambda key, client=client: client.get_multi([key])):
                    with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind
                        call(key)
                    seen.append(type(caught.value).__name__)
            assert seen[:2] == seen[2:]


def test_a_subclass_has_its_own_format(server: Server) -> None:
    def subclass(library: Any) -> Any:
        class Json(library.Client):  # type: ignore[misc]  # a class that comes as a value
            def serialize(self, value: Any) -> tuple[bytes, int]:
                return json.dumps(value).encode(), 1 << 20

            def deserialize(self, data: bytes, flags: int) -> Any:
                if flags != 1 << 20:
                    raise library.CacheMiss
                return json.loads(data)

        return Json([server.address], behaviors={"cas": True})

    plain = ours.Client([server.address])
    plain.set_multi({"plain": b"raw", "text": "text"})
    seen = []
    for library in (theirs, ours):
        client = subclass(library)
        client.set("one", [1])
        client.set_multi({"two": {"a": 2}})
        copy = client.clone()
        seen.append(
            (
                client.get("one"),
                copy.get("two"),
                client.gets("two")[0],
                client.get("plain", 5),
                client.gets("plain"),
                client.get_multi(["one", "two", "plain", "text"]),
                stored(server, "one"),
            )
        )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("made", [b"data", (b"data",), (b"data", "1"), (b"data", None)], ids=repr)
def test_a_wrong_serialize_is_told(server: Server, made: Any) -> None:
    class Wrong(ours.Client):
        def serialize(self, value: Any) -> Any:
            return made

    client = Wrong([server.address])
    with pytest.raises(ValueError, match=r"serialize\(\) must return \(bytes, flags\)"):
        client.set("k", 1)
    with pytest.raises(ValueError, match=r"serialize\(\) must return \(bytes, flags\)"):
        client.set_multi({"k": 1})
