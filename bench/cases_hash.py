"""Placing keys on shards: one key a call, and many.

Right is what Dropbox's Go library answered, recorded in ``tests/vectors/hash2.csv``. A peer
computes another placement, so what is right for it is a property: in range, the same key on the
same shard, and a shard that is added takes keys but moves none between the others.
"""

import csv
import random
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .model import Case, Faster, Group, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "hash2.csv"

Place = Callable[[int], object]


@lru_cache
def recorded(shards: int) -> dict[int, int]:
    """Return the recorded keys for that number of shards, and their places."""
    with VECTORS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {int(row["key"]): int(row["shard"]) for row in rows if row["num_shards"] == str(shards)}


@lru_cache
def some_keys(shards: int, count: int) -> "array[int]":
    """Return `count` keys: the recorded ones, then random ones, the same in every process."""
    draw = random.Random(shards)
    keys = [*recorded(shards), *(draw.getrandbits(64) for _ in range(count))]
    return array("Q", keys[:count])


def check_recorded(keys: Iterable[int], places: Iterable[int], shards: int) -> None:
    """Hold the recorded keys among these to the Go library's answer."""
    known = recorded(shards)
    for key, place in zip(keys, places, strict=True):
        if known.get(key, place) != place:
            raise WrongError(f"key {key} of {shards} shards is on {known[key]}, got {place}")


def placed_right(shards: int) -> Callable[[Any, Names], None]:
    """Return the check of a loop of one-key calls."""

    def check(result: Any, names: Names) -> None:
        check_recorded(names["keys"], result, shards)

    return check


def consistent(shards: int) -> Callable[[Any, Names], None]:
    """Return the check of a peer; `names["placed"](n)` is its placement over n shards."""

    def check(result: Any, names: Names) -> None:
        places = [int(place) for place in result]
        if not all(0 <= place < shards for place in places):
            raise WrongError(f"a place is not in [0, {shards})")
        if places != [int(names["place"](key)) for key in names["keys"]]:
            raise WrongError("the same key has two places")
        few = min(shards, 100)
        keys = [str(key) if isinstance(names["keys"][0], str) else key for key in range(200)]
        before, after = (list(map(int, map(names["placed"](n), keys))) for n in (few, few + 1))
        if not all(new in (old, few) for old, new in zip(before, after, strict=True)):
            raise WrongError("a shard that is added moves keys between the others")

    return check


def jump(shards: int) -> Place:
    from jump import hash as place

    return lambda key: place(key, shards)


def ring(shards: int) -> Place:
    from uhashring import HashRing

    get_node: Place = HashRing([str(shard) for shard in range(shards)]).get_node
    return get_node


def rendezvous(shards: int) -> Place:
    from pymemcache.client.rendezvous import RendezvousHash

    get_node: Place = RendezvousHash([str(shard) for shard in range(shards)]).get_node
    return get_node


def jump_names(shards: int) -> Names:
    from jump import hash as jump_hash

    return {
        "jump_hash": jump_hash,
        "shards": shards,
        "keys": some_keys(shards, 100),
        "place": jump(shards),
        "placed": jump,
    }


def text_names(placed: Callable[[int], Place], shards: int, count: int) -> Names:
    """Return the names of a peer that takes text, which is made before it is timed."""
    keys = [str(key) for key in some_keys(shards, count)]
    place = placed(shards)
    return {"get_node": place, "place": place, "placed": placed, "keys": keys}


def ours_names(implementation: str, shards: int, count: int) -> Names:
    hash2 = load("hash2", implementation)
    keys = list(some_keys(shards, count))
    return {"consistent_hash": hash2.consistent_hash, "keys": keys, "shards": shards}


def one_key(label: str, expression: str, make: Callable[[Any], Names], **more: Any) -> Row:
    return Row(label, expression, make, loop="key in keys", operations="len(keys)", **more)


def one_case(shards: int, target: Within | None = None) -> Case:
    few = 2 if shards > 1000 else 8 if shards > 100 else 100  # keys for what takes long
    ours = "consistent_hash(key, shards)"
    right, property_ = placed_right(shards), consistent(shards)
    return Case(
        f"{shards:,} shards",
        (
            one_key(
                "bare call",
                'len(b"")',
                lambda _: {"keys": list(some_keys(shards, 100))},
                kind="floor",
            ),
            one_key(
                "native",
                ours,
                lambda _: ours_names("native", shards, 100),
                check=right,
                kind="native",
                target=target,
            ),
            one_key(
                "pure",
                ours,
                lambda _: ours_names("pure", shards, max(few, 16)),
                check=right,
                kind="pure",
                env=PURE,
            ),
            one_key(
                "jump-consistent-hash",
                "jump_hash(key, shards)",
                lambda _: jump_names(shards),
                check=property_,
                peer="jump-consistent-hash",
                other=True,
            ),
            one_key(
                "uhashring",
                "get_node(key)",
                lambda _: text_names(ring, shards, 100),
                check=property_,
                peer="uhashring",
                other=True,
            ),
            one_key(
                "pymemcache rendezvous",
                "get_node(key)",
                lambda _: text_names(rendezvous, shards, few),
                check=property_,
                peer="pymemcache",
                other=True,
            ),
        ),
        floor="bare call",
    )


def many_right(shards: int) -> Callable[[Any, Names], None]:
    """Return the check of a call with many keys: recorded places, and one-key calls for all."""

    def check(result: Any, names: Names) -> None:
        keys = names["keys"]
        check_recorded(keys, result, shards)
        if list(result) != [names["one"](key, shards) for key in keys]:
            raise WrongError("many keys in one call are not placed as one by one")

    return check


def subset_right(shards: int) -> Callable[[Any, Names], None]:
    """Return the check of a set with holes: keys of living shards stay, others go to those.

    And every key goes where a lookup of that key alone takes it.
    """

    def check(result: Any, names: Names) -> None:
        living = names["living"]
        for key, place in zip(names["keys"], result, strict=True):
            whole = names["one"](key, shards)
            if place not in living or (whole in living and place != whole):
                raise WrongError(f"key {key} is on {place}, on {whole} without holes")
        if list(result) != [names["lookup"](key) for key in names["keys"]]:
            raise WrongError("many keys in one call are not placed as one by one")

    return check


def many_names(implementation: str, shards: int, count: int) -> Names:
    hash2 = load("hash2", implementation)
    keys = some_keys(shards, count)
    return {
        "consistent_hash_many": hash2.consistent_hash_many,
        "out": array("H", bytes(2 * count)),
        "keys": keys,
        "shards": shards,
        "one": hash2.consistent_hash,
    }


def set_names(implementation: str, shards: int, count: int) -> Names:
    hash2 = load("hash2", implementation)
    living = frozenset(shard for shard in range(shards) if shard % 10 != 3)
    shards_left = hash2.ShardSet(living)
    return {
        "lookup_many": shards_left.lookup_many,
        "lookup": shards_left.lookup,
        "keys": some_keys(shards, count),
        "living": living,
        "one": hash2.consistent_hash,
    }


def many_case(shards: int, count: int, few: int, targets: Sequence[Faster | None]) -> Case:
    right = many_right(shards)
    many = "consistent_hash_many(keys, shards, out=out)"
    two = "consistent_hash_many(keys, shards, out=out, threads=2)"

    def row(label: str, expression: str, make: Callable[[Any], Names], **more: Any) -> Row:
        return Row(label, expression, make, operations="len(keys)", **more)

    return Case(
        f"{shards:,} shards",
        (
            one_key(
                "loop of one-key calls",
                "consistent_hash(key, shards)",
                lambda _: ours_names("native", shards, min(count, 1000)),
                check=placed_right(shards),
                kind="floor",
            ),
            row(
                "native",
                many,
                lambda _: many_names("native", shards, count),
                check=right,
                kind="native",
                target=targets[0],
            ),
            row(
                "native, 2 threads",
                two,
                lambda _: many_names("native", shards, count),
                check=right,
                kind="native",
                target=targets[1],
            ),
            row(
                "native, ShardSet with holes",
                "lookup_many(keys)",
                lambda _: set_names("native", shards, count),
                check=subset_right(shards),
                kind="native",
            ),
            row(
                "pure",
                many,
                lambda _: many_names("pure", shards, few),
                check=right,
                kind="pure",
                env=PURE,
            ),
        ),
        floor="loop of one-key calls",
        about=f"{count:,} keys a call",
        base=True,
    )


GROUPS = (
    Group(
        "hash-one",
        "One key a call",
        "The shard of a key, one call a key. The floor is a call that does nothing, "
        '`len(b"")`. The peers compute other placements (†), which no fleet of the Go library '
        "shares: jump hashing takes time in the logarithm of the shards and cannot take one "
        "out of the middle; a ring takes memory and time to build, which is not timed here.",
        "key",
        (
            one_case(10, Within(150e-9, "our own bound")),
            one_case(100),
            one_case(1_000, Within(4560e-9, "Go's 4,500 ns on one machine, and 60 ns")),
            one_case(10_000),
        ),
    ),
    Group(
        "hash-many",
        "Many keys a call",
        "The shards of many keys in one call, against a loop that calls for each key. "
        "The ShardSet lacks every tenth shard.",
        "key",
        (
            many_case(10, 500_000, 2_000, (None, None)),
            many_case(
                1_000, 65_536, 100, (Faster(16, "loop of one-key calls"), Faster(1.8, "native"))
            ),
            many_case(10_000, 8_192, 16, (None, None)),
        ),
    ),
)
