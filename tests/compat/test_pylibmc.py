"""``compat.pylibmc`` does what the real pylibmc does, call by call, over one server."""

from collections.abc import Callable, Iterator
from typing import Any

import pylibmc as theirs
import pytest
from support.memcached import Server, running

from godropbox.compat import pylibmc as ours

BIG = b"x" * 2_000_000
Call = Callable[[Any], Any]

# Calls whose results, or exceptions, are equal; each runs over an empty server.
CALLS: dict[str, Call] = {
    "get a miss": lambda c: c.get("k"),
    "get a default": lambda c: c.get("k", 5),
    "get what is there": lambda c: (c.set("k", "v"), c.get("k"), c.get(b"k")),
    "get of an empty key": lambda c: c.get("", 7),
    "get of an int": lambda c: c.get(5),
    "get of text without UTF-8": lambda c: c.get("\ud800"),
    "get of a long key": lambda c: c.get("x" * 251),
    "get of the longest key": lambda c: (c.set("x" * 250, 1), c.get("x" * 250)),
    "empty values": lambda c: (c.set("k", b""), c.get("k"), c.set("k", ""), c.get("k")),
    "None": lambda c: (c.set("k", None), c.get("k", 1), "k" in c),
    "gets": lambda c: (c.gets("k"), c.set("k", 5), c.gets("k")[0]),
    "gets of an empty key": lambda c: c.gets(""),
    "cas": lambda c: (c.set("k", 1), c.cas("k", 2, c.gets("k")[1]), c.cas("k", 3, 1), c.get("k")),
    "cas of a missing key": lambda c: c.cas("k", 1, 5),
    "cas of an empty key": lambda c: c.cas("", 1, 5),
    "cas with a time": lambda c: (c.set("k", 1), c.cas("k", 2, c.gets("k")[1], time=5), c.get("k")),
    "cas with text for a token": lambda c: c.cas("k", 1, "5"),
    "set with keywords": lambda c: (c.set(key="k", val=1, time=5), c.get("k")),
    "set at once expired": lambda c: (c.set("k", 1, 3_000_000), c.get("k")),
    "set with a float time": lambda c: c.set("k", 1, 1.5),
    "set with no time": lambda c: c.set("k", 1, None),
    "set of an empty key": lambda c: c.set("", 1),
    "set of a long key": lambda c: c.set("x" * 251, 1),
    "set of an int key": lambda c: c.set(5, 1),
    "set of what cannot be pickled": lambda c: c.set("k", lambda: 0),
    "set of text without UTF-8": lambda c: c.set("k", "\ud800"),
    "set of what is too big": lambda c: c.set("k", BIG),
    "set with a level": lambda c: (c.set("k", "3" * 100, 0, 10, 0), c.get("k")),
    "set with a wrong level": lambda c: c.set("k", "v", compress_level=10),
    "set without a key": lambda c: c.set(),
    "add": lambda c: (c.add("k", 1), c.add("k", 2), c.get("k")),
    "replace": lambda c: (c.set("k", 1), c.replace("k", 2), c.get("k")),
    "replace of a missing key": lambda c: c.replace("k", 1),
    "append": lambda c: (c.set("k", b"1"), c.append("k", b"2"), c.append("k", 3), c.get("k")),
    "append of a missing key": lambda c: c.append("k", b"2"),
    "append compressed": lambda c: (c.set("k", b"1"), c.append("k", b"2" * 99, 0, 9), c.get("k")),
    "prepend": lambda c: (c.set("k", "1"), c.prepend("k", "2", 7), c.get("k")),
    "delete": lambda c: (c.set("k", 1), c.delete("k"), c.delete("k"), c.delete("")),
    "delete of a long key": lambda c: c.delete("x" * 251),
    "touch": lambda c: (c.set("k", 1), c.touch("k", 100), c.touch("q", 100), c.touch("", 1)),
    "touch with a float": lambda c: c.touch("k", 1.5),
    "incr": lambda c: (c.set("k", 5), c.incr("k"), c.incr("k", 10), c.incr("k", 0), c.get("k")),
    "incr of a missing key": lambda c: c.incr("k"),
    "incr past 64 bits": lambda c: (c.set("k", 2**64 - 1), c.incr("k")),
    "incr by less than nothing": lambda c: (c.set("k", 5), c.incr("k", -1)),
    "incr by a float": lambda c: (c.set("k", 5), c.incr("k", 1.0)),
    "incr of an empty key": lambda c: c.incr(""),
    "decr": lambda c: (c.set("k", 10), c.decr("k"), c.get("k"), c.decr("k", 99), c.get("k")),
    "decr of a missing key": lambda c: c.decr("k"),
    "incr_multi": lambda c: (c.set("k", 1), c.set("q", b"2"), c.incr_multi(["k", "q"]), c.get("q")),
    "incr_multi by 5": lambda c: (c.set("pk", 1), c.incr_multi(("k",), "p", 5), c.get("pk")),
    "incr_multi of a missing key": lambda c: (c.set("k", 1), c.incr_multi(["k", "q"])),
    "incr_multi of text": lambda c: (c.set("k", "a"), c.set("q", "b"), c.incr_multi(["k", "q"])),
    "get_multi": lambda c: (c.set("k", 1), c.set("q", [2]), c.get_multi(["k", b"q", "", "none"])),
    "get_multi with a prefix": lambda c: (c.set("pk", 1), c.get_multi(["k", "q"], key_prefix="p")),
    "get_multi with a bytes prefix": lambda c: (c.set("pk", 1), c.get_multi([b"k", "k"], b"p")),
    "get_multi of the prefix": lambda c: (c.set("p", 1), c.get_multi(["", "q"], key_prefix="p")),
    "get_multi of nothing": lambda c: c.get_multi([]),
    "get_multi of an int": lambda c: c.get_multi(["k", 5]),
    "get_multi of a long key": lambda c: c.get_multi(["k", "x" * 251]),
    "get_multi of letters": lambda c: (c.set("k", 1), c.get_multi("kq")),
    "get_multi of None": lambda c: c.get_multi(None),
    "set_multi": lambda c: (c.set_multi({"k": 1, b"q": "2", "": 3}), c.get("k"), c.get("q")),
    "set_multi with a prefix": lambda c: (c.set_multi({"k": 1, b"q": 2}, 5, "p"), c.get("pq")),
    "set_multi of a list": lambda c: c.set_multi([("k", 1)]),
    "set_multi of nothing": lambda c: c.set_multi({}),
    "set_multi of a long key": lambda c: c.set_multi({"k": 1, "x" * 251: 1}),
    "set_multi of what is too big": lambda c: c.set_multi({"k": BIG}),
    "set_multi of what cannot be pickled": lambda c: c.set_multi({"k": lambda: 0}),
    "add_multi": lambda c: (c.add_multi({"k": 1}), c.add_multi({"k": 2, b"q": 3}), c.get("k")),
    "add_multi with a prefix": lambda c: (c.set("pk", 1), c.add_multi({"k": 1}, key_prefix="p")),
    "delete_multi": lambda c: (c.set("k", 1), c.delete_multi(["k"]), c.delete_multi(["k"])),
    "delete_multi with a prefix": lambda c: (
        c.set("pk", 1),
        c.delete_multi(["k"], "p"),
        c.get("pk"),
    ),
    "delete_multi of a dict": lambda c: c.delete_multi({"k": 1}),
    "a mapping": lambda c: (c.__setitem__("k", 1), c["k"], "k" in c, c.__delitem__("k"), "k" in c),
    "an item that is missing": lambda c: c["k"],
    "deleting an item that is missing": lambda c: c.__delitem__("k"),
    "an item with an empty key": lambda c: c.__setitem__("", 1),
    "flush_all": lambda c: (c.flush_all(), c.flush_all(time=-5)),
    "flush_all with a float": lambda c: c.flush_all(time=5.0),
    "hash": lambda c: (c.hash("k"), c.hash(b"k"), c.hash("")),
    "hash of an int": lambda c: c.hash(5),
    "disconnect_all": lambda c: (c.set("k", 1), c.disconnect_all(), c.get("k")),
    "clone": lambda c: (c.set("k", 1), c.clone().get("k"), c.clone().behaviors == c.behaviors),
    "text of it": lambda c: (repr(c), str(c), c.addresses, c.binary),
    "statistics": lambda c: [(name, rows["version"]) for name, rows in c.get_stats()],
    "statistics of no group": lambda c: isinstance(c.get_stats("nope"), list),
    "deserialize": lambda c: (
        c.deserialize(b"5 ", 4),
        c.deserialize(b"1", 2),
        c.deserialize(b"", 8),
    ),
    "deserialize of no known flags": lambda c: c.deserialize(b"5", 3),
    "deserialize of what is no text": lambda c: c.deserialize(b"\xff", 16),
    "deserialize of what is no number": lambda c: c.deserialize(b"x", 4),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("pylibmc")) as started:
        yield started


def outcome(library: Any, client: Any, call: Call) -> tuple[str, object]:
    """Return what a call gave, or the name of what it raised and the number in it."""
    try:
        return "returned", call(client)
    except library.Error as error:
        kind = next(e for e in type(error).__mro__ if getattr(library, e.__name__, None) is e)
        return "raised", (kind.__name__, getattr(error, "retcode", None))
    except Exception as error:
        return "raised", type(error).__name__


@pytest.mark.parametrize("binary", [False, True], ids=["ascii", "binary"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_does_what_it_does_there(server: Server, name: str, binary: bool) -> None:
    seen = []
    for library in (theirs, ours):
        client = library.Client([server.address], behaviors={"cas": True}, binary=binary)
        client.flush_all()
        seen.append(outcome(library, client, CALLS[name]))
        client.disconnect_all()
    if name == "statistics of no group":  # of two errors, ours is the more special one
        assert (seen[0][0], seen[1]) == ("raised", ("raised", ("SomeErrors", 19)))
        return
    assert seen[1] == seen[0]


def test_names_are_there() -> None:
    missing = {name for name in theirs.__all__ if not name.startswith("__")} - set(ours.__all__)
    assert missing == set()
    # That of the wheels. A pylibmc that was built here may be linked to another libmemcached.
    assert ours.libmemcached_version == "1.0.16"
    of_library = {"libmemcached_version", "libmemcached_version_hex"}
    if theirs.libmemcached_version == ours.libmemcached_version:
        of_library = set()
        assert ours.build_info() == theirs.build_info()
    for name in (set(theirs.__all__) & set(ours.__all__)) - of_library:
        value = getattr(theirs, name)
        if isinstance(value, (int, str, dict)) or name.startswith("all_"):
            assert getattr(ours, name) == value, name


def test_exceptions_are_theirs() -> None:
    def shape(library: Any) -> list[tuple[str, str, int | None]]:
        return [
            (name, kind.__base__.__name__, getattr(kind, "retcode", None))
            for name, kind in library.exceptions
        ]

    assert shape(ours) == shape(theirs)
    assert ours.MemcachedError is ours.Error
    assert ours.consts.errors == tuple(kind for _, kind in ours.exceptions)


@pytest.mark.parametrize("key", ["a b", "a\nb", "a\0b", "a\x7f"])
def test_a_key_that_could_be_a_command_is_never_sent(server: Server, key: str) -> None:
    client = ours.Client([server.address], behaviors={"cas": True})
    client.set_multi({"a": 1, "b": 2})
    assert client.get(key, "default") == "default"
    assert client.gets(key) == (None, None)
    assert client.get_multi([key, "a"]) == {"a": 1}
    for call in (
        lambda: client.set(key, 1),
        lambda: client.set_multi({key: 1}),
        lambda: client.append(key, b"1"),
        lambda: client.cas(key, 1, 5),
        lambda: client.delete(key),
        lambda: client.delete_multi([key]),
        lambda: client.touch(key, 5),
        lambda: client.incr(key),
        lambda: client.incr_multi([key]),
    ):
        with pytest.raises(ours.ClientError):
            call()
    assert client.get_multi(["a", "b"]) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "name", ["set", "get", "gets", "add", "delete", "get_multi", "set_multi", "incr", "cas"]
)
def test_verify_keys_does_what_it_does_there(server: Server, name: str) -> None:
    key = "a b"
    calls: dict[str, Call] = {
        "set": lambda c: c.set(key, 1),
        "get": lambda c: c.get(key),
        "gets": lambda c: c.gets(key),
        "add": lambda c: c.add(key, 1),
        "delete": lambda c: c.delete(key),
        "get_multi": lambda c: c.get_multi([key]),
        "set_multi": lambda c: c.set_multi({key: 1}),
        "incr": lambda c: c.incr(key),
        "cas": lambda c: c.cas(key, 1, 5),
    }
    seen = []
    for library in (theirs, ours):
        behaviors = {"verify_keys": True, "cas": True}
        client = library.Client([server.address], behaviors=behaviors)
        seen.append(outcome(library, client, calls[name]))
    assert seen[1] == seen[0]


def test_gets_and_cas_need_the_behavior(server: Server) -> None:
    client = ours.Client([server.address])
    with pytest.raises(ValueError, match="gets without cas behavior"):
        client.gets("k")
    with pytest.raises(ValueError, match="cas without cas behavior"):
        client.cas("k", 1, 5)
    client.behaviors["cas"] = True
    assert client.gets("none") == (None, None)


def test_a_login_is_sent(tmp_path: Any) -> None:
    with running("sasl", tmp_path) as server:
        client = ours.Client([server.address], binary=True, username="ann", password="secret")
        assert client.set("k", [1])
        assert client.get("k") == [1]
        stranger = ours.Client([server.address], binary=True, username="ann", password="no")
        with pytest.raises(ours.Error, match="the login of 'ann' was refused"):
            stranger.get("k")
    with pytest.raises(TypeError, match="requires both"):
        ours.Client(["127.0.0.1"], binary=True, username="ann")
    with pytest.raises(TypeError, match="binary protocol"):
        ours.Client(["127.0.0.1"], username="ann", password="secret")
