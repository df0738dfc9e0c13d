"""10,000 keys are where the peers' own packages put them."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import jump
import pylibmc
import pytest
from pymemcache.client.hash import HashClient
from support.memcached import Server, running

from godropbox import memcache
from godropbox.memcache.address import parse_address
from godropbox.memcache.fleet.placement import Jump, Ketama, Rendezvous, key_number

KEYS = [f"{'user:' * (i % 40)}{i * 7919:06}" for i in range(9_000)]
KEYS += [f"žluť:日本:\U0001f600:{i}" for i in range(1_000)]

PLAIN = [f"10.0.{i}.7:11211" for i in range(8)]
PORTS = ["cache", "cache:11212", "[::1]:22122", "[fe80::2]", "unix:/run/memcached.sock"]
FLEETS = [PLAIN, PORTS, PLAIN[:1], [f"10.1.{i}.9:{11200 + i}" for i in range(60)]]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(running("tcp", tmp_path_factory.mktemp("five"))) for _ in range(5)
        ]


@pytest.mark.parametrize(
    ("function", "behaviors"),
    [(Ketama(), {"ketama_weighted": True}), (Ketama(weighted=False), {"ketama": True})],
    ids=["weighted", "unweighted"],
)
def test_ketama_finds_what_pylibmc_stored(
    five: list[Server], function: Ketama, behaviors: dict[str, bool]
) -> None:
    addresses = [server.address for server in five]
    theirs = pylibmc.Client(addresses, behaviors=behaviors)
    assert theirs.set_multi(dict.fromkeys(KEYS, "value")) == []
    places = function.bind(addresses).of_many(KEYS)
    assert set(places) == {0, 1, 2, 3, 4}
    for i, address in enumerate(addresses):
        mine = [key for key, place in zip(KEYS, places, strict=True) if place == i]
        with memcache.RawAsciiClient(memcache.connect(address, timeout=10.0)) as client:
            found = client.get_multi(mine)
            assert len(mine) == len(found) > 0
            assert [key for key in mine if not found[key].found] == []
            assert client.flush().ok
    theirs.disconnect_all()


def libmemcached() -> Any:
    """Return the library that pylibmc is linked with."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        path = next(line.split()[-1] for line in file if "/libmemcached" in line)
    library = ctypes.CDLL(path)
    fleet, text = ctypes.c_void_p, ctypes.c_char_p
    library.memcached_create.restype = fleet
    library.memcached_create.argtypes = [fleet]
    library.memcached_free.argtypes = [fleet]
    library.memcached_behavior_set.argtypes = [fleet, ctypes.c_int, ctypes.c_uint64]
    library.memcached_generate_hash.argtypes = [fleet, text, ctypes.c_size_t]
    add = library.memcached_server_add_with_weight
    add.argtypes = [fleet, text, ctypes.c_uint16, ctypes.c_uint32]
    add = library.memcached_server_add_unix_socket_with_weight
    add.argtypes = [fleet, text, ctypes.c_uint32]
    return library


@contextlib.contextmanager
def libmemcached_fleet(
    addresses: list[str], weights: dict[str, int], weighted: bool
) -> Iterator[Callable[[str], int]]:
    """Give libmemcached's own answer to which server a key is on."""
    library = libmemcached()
    fleet = library.memcached_create(None)
    ketama, ketama_weighted = 3, 16
    assert library.memcached_behavior_set(fleet, ketama_weighted if weighted else ketama, 1) == 0
    for address in addresses:
        where, weight = parse_address(address), weights.get(address, 1)
        if isinstance(where, str):
            add = library.memcached_server_add_unix_socket_with_weight
            assert add(fleet, where.encode(), weight) == 0
        else:
            add = library.memcached_server_add_with_weight
            assert add(fleet, where[0].encode(), where[1], weight) == 0

    def of(key: str) -> int:
        number: int = library.memcached_generate_hash(fleet, key.encode(), len(key.encode()))
        return number

    yield of
    library.memcached_free(fleet)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("addresses", FLEETS, ids=len)
def test_ketama_of_any_fleet_is_libmemcacheds(addresses: list[str], weighted: bool) -> None:
    with libmemcached_fleet(addresses, {}, weighted) as theirs:
        ours = Ketama(weighted=weighted).bind(addresses)
        assert ours.of_many(KEYS) == [theirs(key) for key in KEYS]


@pytest.mark.parametrize("weights", [(1, 2, 3, 1, 10), (100, 1, 1, 7, 900, 13, 64, 3)], ids=len)
def test_weights_are_libmemcacheds(weights: tuple[int, ...]) -> None:
    given = dict(zip(PLAIN, weights, strict=False))
    with libmemcached_fleet(list(given), given, True) as theirs:
        assert Ketama(given).bind(list(given)).of_many(KEYS) == [theirs(key) for key in KEYS]


@pytest.mark.parametrize("addresses", [PLAIN, PORTS], ids=len)
def test_rendezvous_is_pymemcaches(addresses: list[str]) -> None:
    hasher = HashClient(addresses, allow_unicode_keys=True).hasher
    numbers = {node: i for i, node in enumerate(hasher.nodes)}
    ours = Rendezvous().bind(addresses)
    assert ours.of_many(KEYS) == [numbers[hasher.get_node(key)] for key in KEYS]


@pytest.mark.parametrize("count", [1, 2, 8, 1000, 65535])
def test_jump_is_the_papers(count: int) -> None:
    addresses = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(count)]
    ours = Jump().bind(addresses)
    assert ours.of_many(KEYS) == [jump.hash(key_number(key), count) for key in KEYS]
