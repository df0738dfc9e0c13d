"""Placing memcached keys, which are text, on the servers of a fleet.

Right is what Go answered for hash2 (``tests/vectors/placement.csv``), pymemcache for rendezvous,
and of every row that keys are on every server, and stay where they are when one is added.
"""

import csv
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .model import Case, Group, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "placement.csv"
ADDRESSES = [f"10.0.0.{i}:11211" for i in range(9)]
FLEET = ADDRESSES[:8]
BATCH = Within(6e-8, "6 us for 100 keys")
ONE = Within(150e-9, "150 ns a key")


@lru_cache
def recorded() -> dict[str, int]:
    """Return 100 keys of ASCII, as they mostly are, and their places in Go."""
    with VECTORS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["num_shards"] == "8"]
    pairs = [(bytes.fromhex(row["key_hex"]).decode(), int(row["shard"])) for row in rows]
    return dict([(key, shard) for key, shard in pairs if key.isascii() and len(key) > 7][:100])


def as_go(result: Any, names: Names) -> None:
    """Hold hash2 to Go's places."""
    if list(result) != list(recorded().values()):
        raise WrongError("a key is not where Go places it")


def consistent(result: Any, names: Names) -> None:
    """Hold a placement to what any consistent one does."""
    before = [int(place) for place in result]
    after = [int(place) for place in names["among_nine"](names["keys"])]
    if set(before) != set(range(8)):
        raise WrongError(f"the servers that have keys are {sorted(set(before))}, of 8")
    if any(new not in (old, 8) for old, new in zip(before, after, strict=True)):
        raise WrongError("a server that is added moves keys between the others")


def modulo(result: Any, names: Names) -> None:
    """Hold a placement to zlib's CRC-32 modulo the servers."""
    if list(result) != [zlib.crc32(key.encode()) % 8 for key in names["keys"]]:
        raise WrongError("a key is not at its CRC-32 modulo 8")


def ours(rule: str, implementation: str = "native") -> Callable[[Any], Names]:
    def make(_: Any) -> Names:
        memcache = load("memcache", implementation)
        function = getattr(memcache, rule)()
        place = function.bind(FLEET)
        return {
            "keys": list(recorded()),
            "of": place.of,
            "of_many": place.of_many,
            "among_nine": function.bind(ADDRESSES).of_many,
        }

    return make


def peer_names(place: Callable[[str], int], nine: Callable[[str], int]) -> Names:
    return {
        "keys": list(recorded()),
        "of": place,
        "of_many": lambda keys: [place(key) for key in keys],
        "among_nine": lambda keys: [nine(key) for key in keys],
    }


def pymemcache_names(_: Any) -> Names:
    from pymemcache.client.rendezvous import RendezvousHash

    numbers = {address: i for i, address in enumerate(ADDRESSES)}
    eight, nine = (RendezvousHash(list(nodes)).get_node for nodes in (FLEET, ADDRESSES))
    return peer_names(lambda key: numbers[eight(key)], lambda key: numbers[nine(key)])


def rendezvous_names(_: Any) -> Names:
    names = dict(ours("Rendezvous")(None))
    theirs = pymemcache_names(None)
    if names["of_many"](names["keys"]) != theirs["of_many"](names["keys"]):
        raise WrongError("a key is not where pymemcache places it")
    return names


def uhashring_names(_: Any) -> Names:
    from uhashring import HashRing

    numbers = {address: i for i, address in enumerate(ADDRESSES)}
    eight, nine = (HashRing(nodes=nodes, hash_fn="ketama").get_node for nodes in (FLEET, ADDRESSES))
    return peer_names(lambda key: numbers[eight(key)], lambda key: numbers[nine(key)])


def jump_names(_: Any) -> Names:
    from jump import hash as place

    from godropbox.memcache.fleet.placement import key_number

    return peer_names(lambda key: place(key_number(key), 8), lambda key: place(key_number(key), 9))


def loop_names(_: Any) -> Names:
    keys = list(recorded())
    return {
        "keys": keys,
        "of": lambda key: zlib.crc32(key.encode()) % 8,
        "of_many": lambda keys: [zlib.crc32(key.encode()) % 8 for key in keys],
    }


Named = Callable[[Any], Names]
OURS = (
    ("native", ours("Hash2"), as_go),
    ("native, Ketama", ours("Ketama"), consistent),
    ("native, Rendezvous", rendezvous_names, consistent),
    ("native, Jump", ours("Jump"), consistent),
    ("native, Crc32", ours("Crc32"), modulo),
)
PEERS = (
    ("pymemcache RendezvousHash", pymemcache_names, "pymemcache"),
    ("uhashring ketama", uhashring_names, "uhashring"),
    ("jump-consistent-hash of our number", jump_names, "jump-consistent-hash"),
)


def rows(target: Within, **how: Any) -> tuple[Row, ...]:
    return (
        Row("zlib.crc32 in a Python loop", make=loop_names, check=modulo, kind="floor", **how),
        *(
            Row(
                label,
                make=make,
                check=check,
                kind="native",
                target=target if label == "native" else None,
                **how,
            )
            for label, make, check in OURS
        ),
        Row("pure", make=ours("Hash2", "pure"), check=as_go, kind="pure", env=PURE, **how),
        *(
            Row(label, make=make, check=consistent, peer=peer, other=True, **how)
            for label, make, peer in PEERS
        ),
    )


FLOOR = "zlib.crc32 in a Python loop"
MANY = Case(
    "100 keys over 8 servers",
    rows(BATCH, expression="of_many(keys)", operations="len(keys)"),
    floor=FLOOR,
    base=True,
)
EACH = Case(
    "one key over 8 servers",
    rows(ONE, expression="of(key)", loop="key in keys", operations="len(keys)"),
    floor=FLOOR,
    base=True,
)

GROUPS = (
    Group(
        "placement",
        "Placing memcached keys",
        "From a key's text to its server's number. `native` and `pure` are hash2, the others of "
        "ours the rules of other fleets; peers compute their own.",
        "key",
        (MANY, EACH),
    ),
)
