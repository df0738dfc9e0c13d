"""Large fleets: a change of 1,000 shards, keys placed on them, and one get over up to 100 servers.

Right is, of a change, that the manager's fleet is the one that was asked for; of a placement, that
a server that is added takes keys and moves no others; of a get, that every key has its own value.
All servers hold all items, as plain connections have stored them, so that wherever a client looks
for a key, its value is there.
"""

import socket
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import zip_longest
from typing import Any

from .cases_memcache import right_mapping
from .cases_scale import A_REQUEST, SERVERS, items_of
from .cases_sharded import libmc_way, names_of, pylibmc_way
from .memcached import Plain, servers, set_request
from .model import Case, Faster, Group, Names, Row, Target, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

SHARDS = 1_000
PLACED = 100_000
KEYS = 10_000
FLOOR = "raw sockets"
# A small fleet in memory: servers of 100 that hold 10,000 items each.
SMALL = ("-m", "16", "-c", "64")


def addresses_of(count: int) -> list[str]:
    return [f"10.0.{at // 250}.{at % 250}:11211" for at in range(count)]


# A change of the fleet


def changed_names(kind: str, manager: str, implementation: str) -> Names:
    """Return what turns the fleet into another and back, which are two operations."""
    memcache = load("memcache", implementation)
    if manager.startswith("Async"):
        made = getattr(load("memcache.aio", implementation), manager)()
    else:
        made = getattr(memcache, manager)()
    return {"update": made.update_shard_states, "fleet": made.fleet, "changes": changes(kind)}


def changes(kind: str) -> list[list[tuple[str, int]]]:
    """Return two fleets that differ in one server, as pairs of an address and a state."""
    fleet = [(address, 0) for address in addresses_of(SHARDS)]
    at = SHARDS // 2
    other = {
        "added or removed": [*fleet, ("10.9.9.9:11211", 0)],
        "in another state": [*fleet[:at], (fleet[at][0], 2), *fleet[at + 1 :]],
        "moved": [*fleet[:at], ("10.9.9.9:11211", 0), *fleet[at + 1 :]],
    }
    return [other[kind], fleet]


def right_fleets(_: Any, names: Names) -> None:
    for wanted in names["changes"]:
        names["update"](wanted)
        found = [(shard.address, int(shard.state)) for shard in names["fleet"]().shards]
        if found != wanted:
            raise WrongError("the fleet is not the one that was asked for")


def change_case(kind: str) -> Case:
    def row(label: str, manager: str, implementation: str, **more: Any) -> Row:
        return Row(
            label,
            "update(states)",
            lambda _: changed_names(kind, manager, implementation),
            loop="states in changes",
            operations="len(changes)",
            check=right_fleets,
            kind=implementation,
            **more,
        )

    target = Within(10e-3, "10 changes a second take a tenth of a core at most")
    rows = (
        Row(
            "a dict of the servers",
            "dict(states)",
            lambda _: {"changes": changes(kind)},
            loop="states in changes",
            operations="len(changes)",
            kind="floor",
        ),
        row("BaseShardManager", "BaseShardManager", "native", target=target),
        row("AsyncBaseShardManager", "AsyncBaseShardManager", "native", target=target),
        row("BaseShardManager, pure", "BaseShardManager", "pure", env=PURE),
    )
    return Case(
        f"one of 1,000 servers {kind}",
        rows,
        floor="a dict of the servers",
        ours="BaseShardManager",
    )


# Keys placed


def placed_names(rule: str, **more: Any) -> Names:
    function = getattr(load("memcache", "native"), rule)(**more)
    addresses = addresses_of(SHARDS + 1)
    return {
        "keys": list(items_of(PLACED)),
        "of_many": function.bind(addresses[:SHARDS]).of_many,
        "among_more": function.bind(addresses).of_many,
    }


def consistent(result: Any, names: Names) -> None:
    after = names["among_more"](names["keys"])
    if any(new not in (old, SHARDS) for old, new in zip(result, after, strict=True)):
        raise WrongError("a server that is added moves keys between the others")
    if len(set(result)) != SHARDS:
        raise WrongError("a server has no keys")


def loop_names(_: Any) -> Names:
    return {"keys": list(items_of(PLACED)), "crc32": zlib.crc32, "n": SHARDS}


def placed(label: str, rule: str, **more: Any) -> Row:
    return Row(
        label,
        "of_many(keys)",
        lambda _: placed_names(rule, **more),
        operations="len(keys)",
        check=consistent,
        kind="native",
    )


PLACEMENT = Case(
    "100,000 keys over 1,000 servers",
    (
        Row(
            "zlib.crc32 in a Python loop",
            "[crc32(key.encode()) % n for key in keys]",
            loop_names,
            operations="len(keys)",
            kind="floor",
        ),
        placed("native", "Hash2"),
        placed("native, Jump", "Jump"),
        # Not the weighted ring: libmemcached's own arithmetic gives a thousand servers fewer points
        # than a thousand and one, so that keys move between the others there.
        placed("native, Ketama", "Ketama", weighted=False),
    ),
    floor="zlib.crc32 in a Python loop",
    base=True,
)


# One get over many servers


@contextmanager
def full_servers() -> Iterator[list[list[Any]]]:
    """Run 100 memcacheds that hold all items each; give their hosts and ports."""
    items = list(items_of(KEYS).items())
    parts = [items[at : at + A_REQUEST] for at in range(0, KEYS, A_REQUEST)]
    requests = [b"".join(set_request(*item) for item in part) for part in parts]
    with servers(SERVERS[-1], more=SMALL) as addresses:
        for host, port in addresses:
            with socket.create_connection((host, port), 10) as connection:
                for part, request in zip(parts, requests, strict=True):
                    connection.sendall(request)
                    left = len(b"STORED\r\n") * len(part)
                    while left:
                        left -= len(connection.recv(left)) or left
        yield addresses


def floor_names(count: int, addresses: list[list[Any]]) -> Names:
    """Return what sends requests made before to each server, then receives from each."""
    plains = [Plain(address) for address in addresses[:count]]
    values = items_of(KEYS)
    keys = list(values)
    asked = []
    for at, plain in enumerate(plains):
        share = keys[at::count]
        lines = [share[start : start + A_REQUEST] for start in range(0, len(share), A_REQUEST)]
        asked.append([(plain, *a_line(line, values)) for line in lines])
    # A line to every server at a time, so that no socket is full of what nobody reads.
    rounds = [[each for each in some if each] for some in zip_longest(*asked)]

    def ask_all() -> int:
        total = 0
        for some in rounds:
            for plain, request, _ in some:
                plain.send(request)
            for plain, _, size in some:
                total += plain.take(size)
        return total

    def close() -> None:
        for plain in plains:
            plain.close()

    total = sum(size for some in rounds for _, _, size in some)
    return {"ask_all": ask_all, "total": total, "close": close}


def a_line(keys: list[str], values: Mapping[str, bytes]) -> tuple[bytes, int]:
    """Return the request for some keys, and the size of the reply."""
    reply = [b"VALUE %b 0 100\r\n%b\r\n" % (key.encode(), values[key]) for key in keys]
    return b"get %b\r\n" % " ".join(keys).encode(), sum(map(len, reply)) + len(b"END\r\n")


def right_total(result: int, names: Names) -> None:
    if result != names["total"]:
        raise WrongError("more or less came than the replies")


Way = Callable[[list[list[Any]]], Mapping[str, Any]]


def client_way(implementation: str, rule: str = "Hash2", **more: Any) -> Way:
    def way(addresses: list[list[Any]]) -> Mapping[str, Any]:
        memcache = load("memcache", implementation)
        function = getattr(memcache, rule)(**more)
        client = memcache.Client(names_of(addresses), shard_func=function)
        return {"get_many": client.get_many, "close": client.close}

    return way


def ketama_way(addresses: list[list[Any]]) -> Mapping[str, Any]:
    behaviors = {"tcp_nodelay": True, "no_block": True, "ketama": True}
    client = import_module("pylibmc").Client(names_of(addresses), behaviors=behaviors)
    return {"get_many": client.get_multi, "close": client.disconnect_all}


class Crc32Hasher:
    """What pymemcache takes in place of rendezvous hashing, which at 100 servers takes seconds."""

    def __init__(self, nodes: list[str] | None = None) -> None:
        self.nodes = list(nodes or [])

    def add_node(self, node: str) -> None:
        """Add a server."""
        self.nodes.append(node)

    def remove_node(self, node: str) -> None:
        """Remove a server."""
        self.nodes.remove(node)

    def get_node(self, key: str | bytes) -> str | None:
        """Return the server of a key."""
        if not self.nodes:
            return None
        data = key.encode() if isinstance(key, str) else key
        return self.nodes[zlib.crc32(data) % len(self.nodes)]


def pymemcache_way(addresses: list[list[Any]]) -> Mapping[str, Any]:
    from pymemcache.client.hash import HashClient

    pairs = [(host, port) for host, port in addresses]
    client = HashClient(pairs, hasher=Crc32Hasher, no_delay=True, use_pooling=True)
    return {"get_many": client.get_many, "close": client.close}


def got_names(count: int, way: Way, addresses: list[list[Any]]) -> Names:
    items = items_of(KEYS)
    return {"found": dict, **way(addresses[:count]), "keys": list(items), "items": items}


PYLIBMC, HASH_CLIENT = "pylibmc", "pymemcache HashClient"
FASTER: tuple[Target, ...] = (Faster(3, PYLIBMC), Faster(3, HASH_CLIENT))


def get_case(count: int) -> Case:
    """Return the case of a call for all keys over so many servers."""

    def row(label: str, way: Way, **more: Any) -> Row:
        make = partial(got_names, count, way)
        return Row(label, "get_many(keys)", make, check=right_mapping, **more)

    rows = [
        Row(FLOOR, "ask_all()", partial(floor_names, count), kind="floor", check=right_total),
        row(
            "Client",
            client_way("native"),
            kind="native",
            target=FASTER if count == SERVERS[-1] else None,
        ),
        row(PYLIBMC, pylibmc_way, peer="pylibmc"),
        row("libmc", libmc_way, peer="libmc"),
        row(HASH_CLIENT, pymemcache_way, peer="pymemcache"),
    ]
    if count in (1, 10):  # it takes too long to be raced over more
        rows.append(row("Client, pure", client_way("pure"), kind="pure", env=PURE))
    if count == SERVERS[-1]:
        ring = client_way("native", "Ketama", weighted=False)
        target = Faster(3, "pylibmc, ketama")
        rows.append(row("Client, ketama", ring, kind="native", target=target))
        rows.append(row("pylibmc, ketama", ketama_way, peer="pylibmc"))
    name = f"{count} server{'s' * (count > 1)}"
    return Case(name, tuple(rows), floor=FLOOR, ours="Client")


GROUPS = (
    Group(
        "fleet-change",
        "A change of a fleet of 1,000 shards",
        "One call of `update_shard_states` that replaces a fleet of 1,000 servers by one that "
        "differs in one of them; the servers that stay keep their connections. Keys are placed by "
        "hash2. A dict of the servers is no fleet: it is what to look at each of them costs.",
        "change",
        tuple(map(change_case, ("added or removed", "in another state", "moved"))),
        clock="process_time",
        share=0.3,
    ),
    Group(
        "fleet-placement",
        "Placing 100,000 keys on 1,000 servers",
        "From a key's text to its server's number, in one call for all keys.",
        "key",
        (PLACEMENT,),
        clock="process_time",
        share=0.3,
    ),
    Group(
        "fleet-get",
        "10,000 keys over many servers",
        "One call for 10,000 keys over 1 to 100 memcached servers with one thread each on "
        "loopback, on one core with the clients; values of 100 bytes, keys of 14. The time is the "
        "processor's that the client's own process takes, in its code and in the kernel. Each "
        "client places keys by its own rule: ours by hash2, and by the ring of pylibmc's `ketama`; "
        "pylibmc does not block, and has Nagle's algorithm off; pymemcache's HashClient has pools, "
        "as its documentation recommends, and the CRC-32 of zlib as its hasher, since its own "
        "scores every server for every key in Python. The raw sockets send requests made before, "
        "then receive from each server and count the bytes.",
        "call",
        tuple(map(get_case, SERVERS)),
        resource=full_servers,
        clock="process_time",
        share=0.2,
    ),
)
