"""pymemcache's ``HashClient``: keys where pymemcache has them, and the same when servers die."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pymemcache
import pytest
from compat.pymemcache_support import agree, outcome, place
from hypothesis import given, settings
from hypothesis import strategies as st
from pymemcache.client.murmur3 import murmur3_32 as their_murmur
from pymemcache.client.rendezvous import RendezvousHash as TheirRendezvous
from support.memcached import Server, running

from godropbox.compat import pymemcache as ours
from godropbox.compat.pymemcache.client.ext.aws_ec_client import AWSElastiCacheHashClient
from godropbox.compat.pymemcache.client.murmur3 import murmur3_32
from godropbox.compat.pymemcache.client.rendezvous import RendezvousHash
from godropbox.compat.pymemcache.fallback import FallbackClient

KEYS: list[Any] = [*(f"key{at}" for at in range(60)), *(b"bytes%d" % at for at in range(60))]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", tmp_path_factory.mktemp(f"hash{at}")))
            for at in range(4)
        ]


def clients(servers: list[Any], **options: Any) -> tuple[Any, Any]:
    return pymemcache.HashClient(servers, **options), ours.HashClient(servers, **options)


# Placement

ANY_KEYS = st.one_of(st.text(max_size=20), st.binary(max_size=20))


@given(
    nodes=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True),
    keys=st.lists(ANY_KEYS, max_size=8),
    seed=st.sampled_from([0, 0, 7, 2**32 + 1]),
)
def test_any_key_has_the_same_node(nodes: list[str], keys: list[Any], seed: int) -> None:
    theirs, own = TheirRendezvous([*nodes], seed), RendezvousHash([*nodes], seed)
    assert [own.get_node(key) for key in keys] == [theirs.get_node(key) for key in keys]
    for each in (theirs, own):
        each.add_node("another")
        each.remove_node(nodes[0])
    assert [own.get_node(key) for key in keys] == [theirs.get_node(key) for key in keys]


@given(text=st.text(max_size=30), seed=st.integers(0, 2**32 - 1))
def test_the_same_murmur3(text: str, seed: int) -> None:
    assert murmur3_32(text, seed) == their_murmur(text, seed)


def test_nodes() -> None:
    hasher = RendezvousHash()
    assert hasher.get_node("k") is None
    hasher.add_node("a")
    hasher.add_node("a")
    assert hasher.nodes == ["a"]
    with pytest.raises(ValueError, match="No such node"):
        hasher.remove_node("b")
    assert RendezvousHash(["a", "b"], hash_function=lambda text, seed: len(text)).get_node("k")


SPECS = [
    ["127.0.0.1:11211", ("127.0.0.1", 11212), "[::1]:11213", "unix:/tmp/none", "/tmp/other"],
    ["cache", "cache:11212", ("::1", 11211)],
]


@pytest.mark.parametrize("specs", SPECS)
def test_servers_have_the_same_names(specs: list[Any]) -> None:
    theirs, own = clients(specs)
    assert [*own.clients] == [*theirs.clients]
    assert [each.server for each in own.clients.values()] == [
        each.server for each in theirs.clients.values()
    ]
    for key in KEYS:
        assert own.hasher.get_node(key) == theirs.hasher.get_node(key)


@pytest.mark.parametrize("pooling", [False, True])
@settings(max_examples=20, deadline=None)
@given(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=40, unique=True))
def test_each_finds_what_the_other_stored(
    fleet: list[Server], pooling: bool, keys: list[Any]
) -> None:
    options = {"use_pooling": pooling, "default_noreply": False, "key_prefix": b"p:"}
    theirs, own = clients([place(server.address) for server in fleet], **options)
    values = {key: b"%d" % at for at, key in enumerate(keys)}
    try:
        theirs.flush_all()
        for key, value in values.items():
            (theirs if len(value) % 2 else own).set(key, value)
        assert agree(theirs, own, "get_many", keys) == values
        agree(theirs, own, "gets_many", keys)
        agree(theirs, own, "get_many", keys, gets=True)
        agree(theirs, own, "get_multi", keys, True)
        for key in keys:
            assert own.get(key) == values[key]
        changed = {key: value + b"!" for key, value in values.items()}
        assert own.set_many(changed) == []
        assert theirs.get_many(keys) == changed
        assert own.delete_many(keys[::2]) is True
        assert agree(theirs, own, "get_many", keys) == {key: changed[key] for key in keys[1::2]}
    finally:
        theirs.close()
        own.close()


class Lengths:
    """A hasher of one's own: by the length of the key."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []

    def add_node(self, node: Any) -> None:
        self.nodes.append(node)

    def remove_node(self, node: Any) -> None:
        self.nodes.remove(node)

    def get_node(self, key: Any) -> Any:
        return self.nodes[len(key) % len(self.nodes)] if self.nodes else None


def test_a_hasher_of_ones_own(fleet: list[Server]) -> None:
    servers = [place(server.address) for server in fleet]
    theirs, own = clients(servers, hasher=Lengths, default_noreply=False)
    keys = ["k" * at for at in range(1, 9)]
    assert own.set_many(dict.fromkeys(keys, b"v")) == []
    assert agree(theirs, own, "get_many", keys) == dict.fromkeys(keys, b"v")
    theirs.close()
    own.close()


def test_a_hash_of_ones_own(fleet: list[Server]) -> None:
    servers = [place(server.address) for server in fleet]
    theirs = pymemcache.HashClient(servers, hasher=partial(TheirRendezvous, seed=7))
    own = ours.HashClient(servers, hasher=partial(RendezvousHash, seed=7))
    assert own.set_many(dict.fromkeys(KEYS, b"seeded"), noreply=False) == []
    assert agree(theirs, own, "get_many", KEYS) == dict.fromkeys(KEYS, b"seeded")
    theirs.close()
    own.close()


def test_keys_given_twice_and_in_both_types(fleet: list[Server]) -> None:
    servers = [place(server.address) for server in fleet]
    theirs, own = clients(servers, default_noreply=False)
    for keys in (["a", "a"], [b"a", b"b", b"a"], [b"c", "d", b"c", "e"], ["d", b"c"]):
        values = dict.fromkeys(keys, b"v")
        assert own.set_many(values) == []
        assert agree(theirs, own, "get_many", keys) == values
        agree(theirs, own, "gets_many", keys)
        agree(theirs, own, "get_many", keys, gets=True)
        agree(theirs, own, "get_multi", keys, True)
        assert own.delete_many(keys) is True
        assert agree(theirs, own, "get_many", keys) == {}
    theirs.close()
    own.close()


def test_wrong_keys_in_a_batch(fleet: list[Server]) -> None:
    servers = [place(server.address) for server in fleet]
    for ignore_exc in (False, True):
        theirs, own = clients(servers, ignore_exc=ignore_exc)
        for keys in (["a", "b c"], ["a", "\u20ac"], ["a", "x" * 251]):
            agree(theirs, own, "get_many", keys)
            agree(theirs, own, "set_many", dict.fromkeys(keys, b"v"))
            agree(theirs, own, "get", keys[1], 5)
            agree(theirs, own, "set", keys[1], b"v")
        theirs.close()
        own.close()


# Failing over


class Clock:
    """The time that both clients see."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("ignore_exc", [False, True])
@pytest.mark.parametrize("attempts", [0, 2])
def test_the_same_while_a_server_is_dead(
    fleet: list[Server],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    ignore_exc: bool,
    attempts: int,
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    with running("tcp", tmp_path) as dying:
        servers = [place(server.address) for server in (*fleet[:2], dying)]
        port = servers[2][1]
        options = {
            "ignore_exc": ignore_exc,
            "retry_attempts": attempts,
            "retry_timeout": 5,
            "dead_timeout": 60,
            "default_noreply": False,
            "timeout": 5,
            "connect_timeout": 5,
        }
        theirs, own = clients(servers, **options)
        for key in KEYS:
            agree(theirs, own, "set", key, b"v")
    # It is dead now: every key of its own, at several times, until it is out and comes back.
    lost = [key for key in KEYS if own.hasher.get_node(key) == f"127.0.0.1:{port}"]
    assert lost
    # pymemcache has to try the connection that it has once to find out, and counts that as nothing.
    outcome(lambda: theirs.get(lost[0]))
    for step in (0, 1, 6, 6, 6, 6, 1, 30):
        clock.now += step
        for key in (lost[0], KEYS[0], lost[1]):
            expected = outcome(partial(theirs.get, key, "none"))
            found = outcome(partial(own.get, key, "none"))
            assert is_failure(found) == is_failure(expected), (step, key, found, expected)
            if not is_failure(found):
                assert found == expected
        assert own.hasher.nodes == theirs.hasher.nodes
    assert f"127.0.0.1:{port}" not in own.hasher.nodes
    assert own.set_many(dict.fromkeys(lost, b"moved")) == []
    assert theirs.get_many(lost) == dict.fromkeys(lost, b"moved")
    with running("tcp", tmp_path, port):
        clock.now += 61
        for key in lost[:2]:
            agree(theirs, own, "get", key)
            agree(theirs, own, "set", key, b"back")
        assert sorted(own.hasher.nodes) == sorted(theirs.hasher.nodes)
        assert len(own.hasher.nodes) == 3
    theirs.close()
    own.close()


def is_failure(found: Any) -> bool:
    return isinstance(found, list)


@pytest.mark.parametrize("ignore_exc", [False, True])
def test_a_batch_with_a_dead_server(fleet: list[Server], tmp_path: Any, ignore_exc: bool) -> None:
    with running("tcp", tmp_path) as dying:
        servers = [place(server.address) for server in (*fleet[:2], dying)]
        client = ours.HashClient(servers, ignore_exc=ignore_exc, timeout=5, connect_timeout=5)
        client.set_many(dict.fromkeys(KEYS, b"v"), noreply=False)
    name = "{}:{}".format(*servers[2])
    lost = [key for key in KEYS if client.hasher.get_node(key) == name]
    kept = [key for key in KEYS if key not in lost]
    if ignore_exc:
        # With noreply as without: what is lost is never told as stored.
        assert sorted(client.set_many(dict.fromkeys(KEYS, b"w")), key=repr) == sorted(
            lost, key=repr
        )
        assert client.get_many(KEYS) == dict.fromkeys(kept, b"w")
        assert client.gets_many(KEYS).keys() == set(kept)
        assert client.delete_many(KEYS) is True
    else:
        with pytest.raises(OSError, match=r"."):
            client.set_many(dict.fromkeys(KEYS, b"w"))
        assert client.get_many(kept) == dict.fromkeys(kept, b"w")
    client.close()


@pytest.mark.parametrize("ignore_exc", [False, True])
def test_a_call_of_all_servers_goes_past_one_that_is_dead(
    fleet: list[Server], tmp_path: Any, ignore_exc: bool
) -> None:
    dead = str(tmp_path / "dead")
    client = ours.HashClient(
        [dead, place(fleet[0].address)], ignore_exc=ignore_exc, retry_attempts=0
    )
    # pymemcache raises ValueError, for a node that it removes once more.
    expected = None if ignore_exc else "FileNotFoundError"
    for _ in range(3):
        failed = outcome(lambda: client.flush_all(noreply=False))
        assert (failed and failed[0]) == expected
    assert client.set("k", b"v", noreply=False) is True
    client.close()


def test_no_servers_at_all() -> None:
    for ignore_exc in (False, True):
        theirs, own = clients([], ignore_exc=ignore_exc)
        for name, *args in (
            ("get", "k", 1),
            ("set", "k", b"v"),
            ("get_many", ["k"]),
            ("set_many", {"k": b"v"}),
            ("delete", "k"),
            ("get", "a b"),
            ("flush_all",),
            ("close",),
        ):
            agree(theirs, own, name, *args)


def test_servers_come_and_go(fleet: list[Server]) -> None:
    first, second = (place(server.address) for server in fleet[:2])
    client = ours.HashClient([first])
    client.add_server(*second)
    assert len(client.clients) == 2
    client.set_many(dict.fromkeys(KEYS, b"v"), noreply=False)
    client.remove_server(second)
    assert client.hasher.nodes == ["{}:{}".format(*first)]
    assert client.set_many(dict.fromkeys(KEYS, b"w"), noreply=False) == []
    assert client.get_many(KEYS) == dict.fromkeys(KEYS, b"w")
    with pytest.raises(TypeError, match="string"):
        client.add_server(first, 11211)
    client.close()


def test_threads_share_a_client(fleet: list[Server]) -> None:
    client = ours.HashClient([place(server.address) for server in fleet])
    wrong: list[Any] = []

    def work(number: int) -> None:
        names = [f"{number}-{at}" for at in range(20)]
        for at in range(20):
            values = dict.fromkeys(names, b"%d" % at)
            if client.set_many(values) or client.get_many(names) != values:
                wrong.append(at)
            client.set(names[0], b"one")
            if client.get(names[0]) != b"one" or client.get_many(names[:2])[names[0]] != b"one":
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    client.close()


# The clients that stand on these


class Cluster:
    """The configuration endpoint of a cluster, which answers `replies` in turn."""

    def __init__(self, *replies: bytes) -> None:
        import socket

        self._replies = replies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.address = f"[127.0.0.1]:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Cluster":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for reply in self._replies:
            connection, _ = self._listener.accept()
            with connection:
                assert connection.recv(100) == b"config get cluster\r\n"
                connection.sendall(reply)
                assert connection.recv(100) == b""


def config(*nodes: str) -> bytes:
    text = "12\n" + " ".join(nodes) + "\n"
    return f"CONFIG cluster 0 {len(text)}\r\n{text}\r\nEND\r\n".encode()


def test_elasticache(fleet: list[Server]) -> None:
    ports = [place(server.address)[1] for server in fleet[:3]]
    nodes = [f"node.example.com|127.0.0.1|{port}" for port in ports]
    with Cluster(config(*nodes[:2]), config(*nodes[1:]), b"ERROR\r\n") as cluster:
        client = AWSElastiCacheHashClient(cluster.address)
        assert client.hasher.nodes == [f"127.0.0.1:{port}" for port in ports[:2]]
        client.set_many(dict.fromkeys(KEYS, b"v"), noreply=False)
        assert client.get_many(KEYS) == dict.fromkeys(KEYS, b"v")
        client.reconfigure_nodes()
        assert sorted(client.hasher.nodes) == [f"127.0.0.1:{port}" for port in sorted(ports[1:])]
        assert client.set_many(dict.fromkeys(KEYS, b"w"), noreply=False) == []
        with pytest.raises(ours.MemcacheUnknownCommandError, match="config get cluster"):
            client.reconfigure_nodes()
        assert client.get_many(KEYS) == dict.fromkeys(KEYS, b"w")
        client.close()
    with Cluster(config("node.example.com|127.0.0.1|11211")) as cluster:
        by_name = AWSElastiCacheHashClient(cluster.address, use_vpc=False)
        assert by_name.hasher.nodes == ["node.example.com:11211"]
    for wrong in ("cluster", "cluster.example.com", 5):
        with pytest.raises(ValueError, match="cfg_node"):
            AWSElastiCacheHashClient(wrong)  # type: ignore[arg-type]


def test_falling_back_to_an_older_cache(fleet: list[Server]) -> None:
    new, old = (ours.Client(place(server.address), key_prefix=b"f:") for server in fleet[:2])
    old.set("k", b"old", noreply=False)
    client = FallbackClient([new, old])
    assert client.get("k") == b"old"
    assert client.get_many(["k"]) == {"k": b"old"}
    assert client.gets("k")[0] == b"old"
    client.set("k", b"new")
    assert client.get("k") == b"new"
    assert client.gets_many(["k"])["k"][0] == b"new"
    client.delete("k")
    assert client.get("k") == b"old"
    old.delete("k")
    assert client.get("k") is None
    assert client.gets("k") == (None, None)
    assert client.get_many(["k"]) == {}
    client.close()
