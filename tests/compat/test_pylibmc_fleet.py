"""Fleets of ``compat.pylibmc``: placement, behaviors, servers that fail, clones and pools."""

import contextlib
import itertools
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pylibmc as theirs
import pytest
from support.memcached import Server, running

from godropbox.compat import pylibmc as ours
from godropbox.compat.pylibmc._behaviors import Behaviors
from godropbox.compat.pylibmc.client import translate_server_spec

KEYS = [f"{'user:' * (i % 9)}{i * 7919}" for i in range(300)]
KEYS += [f"žluť:日本:\U0001f600:{i}" for i in range(100)]
HASHES = ["default", "md5", "crc", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32"]
DISTRIBUTIONS = ["modula", "consistent", "consistent ketama", "consistent weighted"]
FLEET = ["10.0.0.1", "10.0.0.2:11212", "cache", "10.0.0.4:7", "10.0.0.5:11211"]
WEIGHED = [*FLEET[:4], "10.0.0.5:11211:3"]

# Ours is like the pylibmc of the wheels, which carry libmemcached 1.0.16. Built against 1.1.4,
# pylibmc removes no failed server unless asked to, takes 0 where 1.0.16 refuses it, and lets no
# other behavior change "ketama_hash".
LIKE_WHEELS = theirs.libmemcached_version == ours.libmemcached_version
UNLIKE_WHEELS = ["remove_failed", "ketama_hash"]


@pytest.fixture
def three(tmp_path: Any) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running("tcp", tmp_path)) for _ in range(3)]


def dead_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


PAIRS: list[dict[str, Any]] = [
    {"hash": hashed, "distribution": way}
    for hashed, way in itertools.product(HASHES, DISTRIBUTIONS)
]
PAIRS += [
    {},
    {"ketama": True},
    {"ketama": False},
    {"ketama_weighted": True},
    {"ketama_weighted": False},
    {"ketama": True, "ketama_weighted": True},
    {"ketama": True, "hash": "md5"},
    {"ketama_weighted": True, "hash": "crc"},
    {"ketama_weighted": True, "distribution": "modula"},
    {"ketama": True, "ketama_hash": "md5"},
    {"namespace": b"space:"},
    {"namespace": b"space:", "ketama": True},
]


@pytest.mark.parametrize("behaviors", PAIRS, ids=str)
@pytest.mark.parametrize("fleet", [FLEET, WEIGHED], ids=["plain", "weighed"])
def test_keys_are_where_libmemcached_puts_them(fleet: list[str], behaviors: dict[str, Any]) -> None:
    real, client = (library.Client(fleet, behaviors=behaviors) for library in (theirs, ours))
    assert [client.hash(key) for key in KEYS] == [real.hash(key) for key in KEYS]
    # The size of a buffer is the operating system's there, once a socket is open.
    unlike = dict.fromkeys(["_socket_send_size", *([] if LIKE_WHEELS else UNLIKE_WHEELS)], 0)
    assert {**client.behaviors, **unlike} == {**real.behaviors, **unlike}


def test_unix_sockets_are_where_libmemcached_puts_them() -> None:
    fleet = [f"/run/cache{i}.sock" for i in range(4)]
    for behaviors in ({}, {"ketama": True}, {"ketama_weighted": True}):
        real, client = (library.Client(fleet, behaviors=behaviors) for library in (theirs, ours))
        assert [client.hash(key) for key in KEYS] == [real.hash(key) for key in KEYS]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"ketama": True}),
        ({"ketama": True}, {"hash": "md5"}),
        ({"ketama_weighted": True}, {"ketama_weighted": False}),
        ({"ketama_weighted": True}, {"distribution": "modula"}),
        ({"distribution": "consistent"}, {"hash": "crc"}),
    ],
    ids=str,
)
def test_behaviors_change_where_keys_are(first: dict[str, Any], then: dict[str, Any]) -> None:
    real, client = (library.Client(FLEET, behaviors=first) for library in (theirs, ours))
    real.behaviors = then
    client.behaviors = then
    assert [client.hash(key) for key in KEYS] == [real.hash(key) for key in KEYS]


@pytest.mark.parametrize(
    "behaviors", [{}, {"ketama": True}, {"hash": "md5"}, {"namespace": b"n:"}], ids=str
)
@pytest.mark.parametrize("binary", [False, True], ids=["ascii", "binary"])
def test_each_finds_what_the_other_stored(
    three: list[Server], behaviors: dict[str, Any], binary: bool
) -> None:
    addresses = [server.address for server in three]
    usable = KEYS if binary else [key for key in KEYS if " " not in key]
    values = {key: i for i, key in enumerate(usable)}
    clients = [lib.Client(addresses, behaviors=behaviors, binary=binary) for lib in (theirs, ours)]
    for writer, reader in (clients, clients[::-1]):
        assert writer.set_multi(values) == []
        assert reader.get_multi(usable) == values
        assert all(reader.get(key) == value for key, value in list(values.items())[:50])
        assert reader.delete_multi(usable)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_replicas", 1),
        ("buffer_requests", 1),
        ("_noreply", 1),
        ("_sort_hosts", 1),
        ("_hash_with_prefix_key", 1),
        ("hash", "murmur"),
        ("hash", "jenkins"),
        ("hash", "hsieh"),
        ("distribution", "random"),
        ("distribution", "virtual bucket"),
        ("distribution", "consistent ketama spy"),
        ("distribution", "consistent max"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(name: str, value: Any) -> None:
    client = ours.Client(["10.0.0.1"])
    before = dict(client.behaviors)
    with pytest.raises(ours.NotSupportedError, match=f"'{name}'"):
        client.behaviors[name] = value
    with pytest.raises(ours.NotSupportedError, match=f"'{name}'"):
        ours.Client(["10.0.0.1"], behaviors={name: value})
    assert dict(client.behaviors) == before
    assert client.hash("k") == 0


@pytest.mark.parametrize(
    ("behaviors", "error"),
    [
        ({"nope": 1, "cas": 1}, ValueError),
        ({"cas": "1"}, TypeError),
        ({"cas": None}, TypeError),
        ({"cas": 1.0}, TypeError),
        ({"hash": "nope"}, KeyError),
        ({"distribution": "nope"}, KeyError),
        ({"retry_timeout": 0}, Exception),
        ({"remove_failed": 0}, Exception),
        ({"namespace": b"a b"}, ValueError),
        ({"namespace": b"n" * 128}, Exception),
    ],
    ids=str,
)
def test_bad_behaviors_raise_what_they_raise_there(
    behaviors: dict[str, Any], error: type[Exception]
) -> None:
    if not LIKE_WHEELS and behaviors in ({"retry_timeout": 0}, {"remove_failed": 0}):
        pytest.skip(f"libmemcached {theirs.libmemcached_version} takes 0; 1.0.16 refuses it")
    seen = []
    for library in (theirs, ours):
        with pytest.raises(error) as caught:
            library.Client(["10.0.0.1"], behaviors=behaviors)
        seen.append(type(caught.value).__name__)
    assert seen[0] == seen[1]


def test_timeouts_are_in_their_units() -> None:
    def options(**given: int) -> Any:
        behaviors = Behaviors(False)
        behaviors.set(given)
        return behaviors.options(None)

    assert (options().timeout, options().connect_timeout) == (5.0, 4.0)
    assert options(connect_timeout=250).connect_timeout == 0.25
    assert options(receive_timeout=300_000).timeout == 0.3
    assert options(receive_timeout=300_000, send_timeout=200_000).timeout == 0.5
    assert options(receive_timeout=300_000, _poll_timeout=100).timeout == 0.1
    assert options(_poll_timeout=-1).timeout is None


def test_servers_are_translated_as_there() -> None:
    for text in [
        "a",
        "a:1",
        "a:1:2",
        "udp:a",
        "/run/x",
        "[::1]",
        "[::1]:5",
        "[::1]:5:6",
        "udp:[::1]:5",
    ]:
        for more in ({}, {"port": 9}, {"weight": 4}):
            there = theirs.client.translate_server_spec(text, **more)
            assert translate_server_spec(text, **more) == there, (text, more)


@pytest.mark.parametrize(
    ("servers", "error", "words"),
    [
        ([], ours.Error, "empty server list"),
        ("127.0.0.1", TypeError, "list of servers"),
        (["127.0.0.1", "/run/x"], ValueError, "mix"),
        (["udp:127.0.0.1"], ValueError, "UDP is not supported"),
        (["127.0.0.1:x"], ValueError, "x"),
        (["127.0.0.1:70000"], ValueError, "port"),
        (["127.0.0.1", "127.0.0.1:11211"], ValueError, "once"),
        ([5], TypeError, "must be str"),
        ([(9, "127.0.0.1", 1)], ValueError, "bad type: 9"),
        ([(4, "/run/x", 1)], ValueError, "port on unix"),
    ],
    ids=str,
)
def test_bad_servers_are_told(servers: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ours.Client(servers)


def test_a_unix_socket_serves(tmp_path: Any) -> None:
    with running("unix", tmp_path) as server:
        path = server.address.removeprefix("unix:")
        client = ours.Client([path])
        assert client.set("k", 1)
        assert theirs.Client([path]).get("k") == 1
        assert [name for name, _ in client.get_stats()] == [
            name for name, _ in theirs.Client([path]).get_stats()
        ]


CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda c: c.get("k"),
    "gets": lambda c: c.gets("k"),
    "set": lambda c: c.set("k", 1),
    "cas": lambda c: c.cas("k", 1, 2),
    "delete": lambda c: c.delete("k"),
    "incr": lambda c: c.incr("k"),
    "incr_multi": lambda c: c.incr_multi(["k"]),
    "get_multi": lambda c: c.get_multi(["k"]),
    "set_multi": lambda c: c.set_multi({"k": 1}),
    "delete_multi": lambda c: c.delete_multi(["k"]),
    "get_stats": lambda c: c.get_stats(),
    "flush_all": lambda c: c.flush_all(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_dead_server_raises_what_it_raises_there(name: str) -> None:
    address, seen = dead_address(), []
    for library in (theirs, ours):
        client = library.Client([address], behaviors={"cas": True})
        for _ in range(2):  # at first, and while it is left alone
            with pytest.raises(library.Error) as caught:
                CALLS[name](client)
            seen.append(type(caught.value).__name__)
    assert seen[:2] == seen[2:]


def test_a_name_without_an_address_is_told() -> None:
    client = ours.Client(["no.such.host.invalid"])
    with pytest.raises(ours.HostLookupError, match=r"error 2 from memcached_get\(k\)"):
        client.get("k")


def test_a_server_that_says_nothing_is_told_by_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        behaviors = {"receive_timeout": 50_000}
        for call in CALLS.values():
            client = ours.Client([address], behaviors={**behaviors, "cas": True})
            with pytest.raises(ours.Error):
                call(client)


def test_a_batch_gives_what_the_live_servers_have(three: list[Server]) -> None:
    addresses = [three[0].address, dead_address()]
    for library in (theirs, ours):
        client = library.Client(addresses)
        here = [key for key in KEYS[:40] if client.hash(key) == 0]
        assert 0 < len(here) < 40
        assert client.set_multi(dict.fromkeys(here, 1)) == []
        assert client.get_multi(KEYS[:40]) == dict.fromkeys(here, 1)
        with pytest.raises(library.Error):
            client.set_multi(dict.fromkeys(KEYS[:40], 1))


def test_a_failed_server_is_removed_from_the_ring(three: list[Server]) -> None:
    addresses = [three[0].address, three[1].address]
    client = ours.Client(addresses, behaviors={"ketama": True, "remove_failed": 1})
    away = next(key for key in KEYS if client.hash(key) == 1)
    assert client.set(away, 1)
    three[1].process.kill()
    three[1].process.wait()
    client.disconnect_all()
    with pytest.raises(ours.ConnectionError):
        client.set(away, 2)
    assert client.set(away, 3)
    assert ours.Client([three[0].address]).get(away) == 3


def test_a_clone_has_its_own_behaviors(three: list[Server]) -> None:
    client = ours.Client([server.address for server in three])
    other = client.clone()
    other.behaviors = {"ketama": True, "cas": True}
    assert client.behaviors["distribution"] == "modula"
    assert (client.behaviors["cas"], other.behaviors["cas"]) == (0, 1)
    assert [client.hash(key) for key in KEYS] != [other.hash(key) for key in KEYS]
    client.disconnect_all()
    assert other.set("k", 1)
    assert client.set("k", 2)


def test_pools_lend_clones(three: list[Server]) -> None:
    client = ours.Client([three[0].address])
    pool = ours.ClientPool(client, 2)
    with pool.reserve() as one, pool.reserve() as two:
        assert one is not two
        assert one.set("k", 1)
        assert two.get("k") == 1
        with pytest.raises(queue.Empty), pool.reserve():
            pass
        late: list[Any] = []
        waiting = threading.Thread(target=lambda: late.append(_get(pool)))
        waiting.start()
    waiting.join()
    assert late == [1]
    empty = ours.ClientPool()
    empty.fill(client, 3)
    assert empty.qsize() == 3
    mapped = ours.ThreadMappedPool(client)
    with mapped.reserve() as mine, mapped.reserve() as inner:
        assert mine is not inner
        assert inner.get("k") == 1
    assert list(mapped) == [threading.get_ident()]
    assert mapped.relinquish() is not None
    assert mapped.relinquish() is None


def _get(pool: ours.ClientPool) -> Any:
    with pool.reserve(block=True) as mc:
        return mc.get("k")


def test_threads_share_a_client(three: list[Server]) -> None:
    client = ours.Client([server.address for server in three])
    wrong: list[Any] = []

    def work(name: str) -> None:
        for i in range(100):
            key = f"{name}:{i}"
            client.set(key, [key])
            if i % 10 == 0:
                client.disconnect_all()
            if client.get(key) != [key] or client.get_multi([key]) != {key: [key]}:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_cluster_configures_itself(three: list[Server]) -> None:
    address = three[0].address
    host, _, port = address.partition(":")
    with pytest.raises(ours.autoconf.NoAutoconfFound):
        ours.autoconf.elasticache(address)
    nodes = f"12\nlocalhost|{host}|{port} {three[1].address.replace(':', '||')}"
    ours.Client([address]).set("AmazonElastiCache:cluster", nodes.encode())
    client = ours.autoconf.elasticache(address)
    assert client.addresses == [address, three[1].address]
    assert client.set_multi(dict.fromkeys(KEYS[:20], 1)) == []
