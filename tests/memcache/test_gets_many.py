"""``gets_many`` and ``gat_many``: the answers of many keys, over every kind of client."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.memcached import Server, need_tokens
from support.server_fleets import ServerFleet

from godropbox.memcache import (
    Client,
    InvalidArgumentError,
    InvalidTypeError,
    Item,
    NetworkError,
    PartialResultError,
    PartialServerError,
    RawClient,
    ShardedClient,
)
from godropbox.memcache.testing import MockClient

from .conftest import Dial
from .test_client import WAYS, maker

Servers = Callable[[str], Server]


@pytest.mark.parametrize("way", WAYS)
def test_many_keys_are_as_one(way: str, servers: Servers) -> None:
    need_tokens()
    with maker(way, servers)() as client:
        client.flush_all()
        values = {f"key{i}": (i, f"text{i}", b"x" * i + b"y")[i % 3] for i in range(300)}
        assert client.set_many(values, 100) == []
        keys = ["none", *reversed(values), "key7", "none"]
        pairs = client.gets_many(keys)
        assert {key: value for key, (value, _) in pairs.items()} == values
        assert all(pairs[key] == client.gets(key) for key in list(values)[:9])
        assert list(pairs) == list(reversed(values))
        assert client.cas("key7", "new", pairs["key7"][1])
        assert not client.cas("key7", "newer", pairs["key7"][1])
        found = client.gat_many(keys, 1000)
        assert found == {**values, "key7": "new"}
        assert list(found) == list(reversed(values))
        assert client.gets_many([]) == client.gat_many([], 5) == client.gets_many(iter(())) == {}
        assert client.gat_many(keys, -1).keys() == values.keys()
        assert client.get_many(keys) == {}


def test_every_expiry_is_new(servers: Servers) -> None:
    for protocol in ("meta", "ascii", "binary"):
        addresses = [servers("tcp").address, servers("unix").address]
        with Client(addresses, protocol=protocol, timeout=10.0) as client:
            client.flush_all()
            client.set_many({f"key{i}": i for i in range(50)}, 10)
            before = {info.key: info.expires or 0 for info in client.iter_keys()}
            client.gat_many([f"key{i}" for i in range(50)], 1000)
            after = {info.key: info.expires or 0 for info in client.iter_keys()}
            assert all(989 <= after[key] - before[key] <= 992 for key in before)
            client.gat_many([f"key{i}" for i in range(50)], 0)
            assert {info.expires for info in client.iter_keys()} == {None}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "mock"])
def test_wrong_keys_and_values(way: str, servers: Servers) -> None:
    need_tokens()
    with maker(way, servers)() as client:
        client.flush_all()
        client.set_many({"a": 1, "b": 2})
        client.set("bad", b"junk")
        for read in (client.gets_many, lambda keys: client.gat_many(keys, 5)):
            for wrong in ("with space", "k" * 251, b"\n"):
                with pytest.raises(InvalidArgumentError, match="key"):
                    read(["a", wrong, "b"])
            with pytest.raises(InvalidTypeError, match="key"):
                read(["a", 5])
            with pytest.raises(InvalidTypeError, match="keys must be an iterable of keys"):
                read("ab")
        with pytest.raises(InvalidTypeError, match="expire"):
            client.gat_many(["a"], "soon")
        with pytest.raises(InvalidArgumentError, match="expire must be under"):
            client.gat_many(["a"], 10**10)
        assert client.get_many(["a", "b"]) == {"a": 1, "b": 2}
    with maker(way, servers)(long_keys="hash") as client:
        keys = ["k" * 300, "a", "sha256:k"]
        client.set_many(dict.fromkeys(keys, 5))
        assert client.gat_many(keys, 10) == dict.fromkeys(keys, 5)
        assert client.gets_many(keys).keys() == set(keys)


def test_what_failed_is_said_by_key(tmp_path: Path) -> None:
    need_tokens()
    fleet = ServerFleet("tcp", 3, tmp_path)
    with contextlib.closing(fleet), Client(fleet.addresses, timeout=10.0) as client:
        values = {f"key{i}": i for i in range(60)}
        client.set_many(values)
        fleet.kill(1)
        for read in (client.gets_many, lambda keys: client.gat_many(keys, 5)):
            with pytest.raises(PartialResultError, match="of 60 keys failed") as caught:
                read(values)
            assert caught.value.found.keys() | caught.value.errors.keys() == values.keys()
            assert 0 < len(caught.value.errors) < 60
            assert all(isinstance(error, NetworkError) for error in caught.value.errors.values())
        with Client(fleet.addresses, failures="miss", timeout=10.0) as forgiving:
            assert forgiving.gets_many(values).keys() == caught.value.found.keys()
            assert forgiving.gat_many(values, 5) == caught.value.found


def test_an_unreadable_value_fails_alone() -> None:
    memory = MockClient()
    client = Client.over(memory)
    client.set("good", 1)
    memory.set(Item("bad", b"junk", 4))
    with pytest.raises(PartialServerError) as caught:
        client.gets_many(["good", "bad"])
    assert caught.value.found == {"good": client.gets("good")}
    with pytest.raises(PartialServerError) as caught:
        client.gat_many(["good", "bad"], 5)
    assert caught.value.found == {"good": 1}
    assert list(caught.value.errors) == ["bad"]
    assert Client.over(memory, unreadable="miss").gat_many(["good", "bad"], 5) == {"good": 1}


def test_raw_clients_get_and_touch_many(dial: Dial) -> None:
    client: RawClient = dial()
    keys = [f"key{i}" for i in range(300)]
    client.set_multi([Item(key, key.encode(), 7) for key in keys])
    answers = client.gat_multi([*keys, "none", "bad key", keys[0]], 500)
    assert list(answers) == [*keys, "none", "bad key"]
    for key in keys:
        assert (answers[key].value, answers[key].flags) == (key.encode(), 7)
        assert answers[key].cas == client.get(key).cas
    assert answers["none"].value is None
    assert answers["none"].error is None
    assert isinstance(answers["bad key"].error, InvalidArgumentError)
    touched = client.touch_multi(["none", *keys, "bad key"], -1)
    assert [each.ok for each in touched] == [False, *[True] * 300, False]
    assert isinstance(touched[-1].error, InvalidArgumentError)
    assert not any(answer.found for answer in client.get_multi(keys).values())
    with pytest.raises(InvalidArgumentError, match="expire"):
        client.gat_multi(keys, 1 << 32)
    with pytest.raises(InvalidArgumentError, match="expire"):
        client.touch_multi(keys, 1 << 32)


def test_hooks_learn_of_them(servers: Servers) -> None:
    need_tokens()
    events: list[Any] = []
    for way in ("fleet meta", "raw meta", "asyncio meta", "mock"):
        with maker(way, servers)(hooks=(events.append,)) as client:
            client.set("a", 1)
            events.clear()
            client.gets_many(["a", "none"])
            client.gat_many(["a", "none"], 5)
            told = [(event.operation, event.outcome, event.hits, event.misses) for event in events]
            assert told == [("get_multi", "ok", 1, 1), ("gat_multi", "ok", 1, 1)]


def test_many_keys_in_ascii_are_lines_of_some_kib(servers: Servers) -> None:
    with Client([servers("tcp").address], protocol="ascii", timeout=10.0) as client:
        operations: ShardedClient = client._sharded
        keys = [f"{i:0200}" for i in range(1000)]
        client.set_many(dict.fromkeys(keys, 1))
        assert len(client.gat_many(keys, 10)) == 1000
        assert all(answer.ok for answer in operations.touch_multi(keys, 10))
