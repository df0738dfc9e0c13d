"""32-bit murmur3 of 16 bytes: one item a call, and many.

Right is what Dropbox's Go library answered, recorded in ``tests/vectors/murmur3.csv``, and the
same answer from every row for the items timed. xxhash is another function and a yardstick.
"""

import csv
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from .model import AtMost, Case, Faster, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "murmur3.csv"

UNSIGNED = 0xFFFFFFFF


@lru_cache
def recorded() -> dict[bytes, int]:
    """Return the recorded data and their hashes under seed 0."""
    with VECTORS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {bytes.fromhex(row["data_hex"]): int(row["hash"]) for row in rows if row["seed"] == "0"}


@lru_cache
def some_items(count: int) -> list[bytes]:
    """Return `count` items of 16 bytes, the same in every process."""
    draw = random.Random(16)
    return [draw.randbytes(16) for _ in range(count)]


@lru_cache
def reference(count: int) -> list[int]:
    """Return the hashes of ``some_items(count)`` by the pure twin, first held to the record."""
    from godropbox._kernels import murmur3_py

    for data, answer in recorded().items():
        if murmur3_py.hash32(data) != answer:
            raise WrongError(
                f"the reference says {murmur3_py.hash32(data)} for {data!r}, not {answer}"
            )
    return [murmur3_py.hash32(item) for item in some_items(count)]


def hashed_right(result: Any, names: Names) -> None:
    """Hold a row to the reference; what is signed counts as its 32 bits."""
    if [value & UNSIGNED for value in result] != reference(len(names["items"])):
        raise WrongError("a hash differs from the reference")
    for data, answer in recorded().items():
        if names["one"](data) & UNSIGNED != answer:
            raise WrongError(f"the hash of {data!r} is {answer}, got {names['one'](data)}")


def is_a_hash(result: Any, names: Names) -> None:
    """Hold another function to being one: 32 bits, the same again, spread out."""
    again = [names["one"](item) for item in names["items"]]
    if result != again or not all(0 <= value <= UNSIGNED for value in result):
        raise WrongError("not a 32-bit hash")
    if len(set(result)) < 0.99 * len(set(names["items"])):
        raise WrongError("it collides too often")


def ours_names(implementation: str, count: int) -> Names:
    murmur3 = load("murmur3", implementation)
    return {
        "hash32": murmur3.hash32,
        "hash32_many": murmur3.hash32_many,
        "one": murmur3.hash32,
        "items": some_items(count),
    }


def mmh3_names(count: int) -> Names:
    import mmh3

    return {"mmh3": mmh3, "one": mmh3.hash, "items": some_items(count)}


def xxhash_names(count: int) -> Names:
    import xxhash

    digest = xxhash.xxh32_intdigest
    return {"xxh32_intdigest": digest, "one": digest, "items": some_items(count)}


def one_item(label: str, expression: str, make: Any, **more: Any) -> Row:
    return Row(label, expression, make, loop="item in items", operations="len(items)", **more)


ONE = Case(
    "16 bytes, one item a call",
    (
        one_item("bare call", "len(item)", lambda _: {"items": some_items(1000)}, kind="floor"),
        one_item(
            "native",
            "hash32(item)",
            lambda _: ours_names("native", 1000),
            check=hashed_right,
            kind="native",
            target=AtMost(1.05, "mmh3"),
        ),
        one_item(
            "pure",
            "hash32(item)",
            lambda _: ours_names("pure", 1000),
            check=hashed_right,
            kind="pure",
            env=PURE,
        ),
        one_item(
            "mmh3", "mmh3.hash(item)", lambda _: mmh3_names(1000), check=hashed_right, peer="mmh3"
        ),
        one_item(
            "xxhash xxh32",
            "xxh32_intdigest(item)",
            lambda _: xxhash_names(1000),
            check=is_a_hash,
            peer="xxhash",
            other=True,
        ),
    ),
    floor="bare call",
)

MANY = Case(
    "16 bytes, many items",
    (
        Row(
            "native",
            "hash32_many(items)",
            lambda _: ours_names("native", 10_000),
            operations="len(items)",
            check=hashed_right,
            kind="native",
            target=Faster(3, "loop of mmh3"),
        ),
        Row(
            "pure",
            "hash32_many(items)",
            lambda _: ours_names("pure", 10_000),
            operations="len(items)",
            check=hashed_right,
            kind="pure",
            env=PURE,
        ),
        one_item(
            "loop of mmh3",
            "mmh3.hash(item)",
            lambda _: mmh3_names(10_000),
            check=hashed_right,
            peer="mmh3",
        ),
        one_item(
            "loop of xxhash xxh32",
            "xxh32_intdigest(item)",
            lambda _: xxhash_names(10_000),
            check=is_a_hash,
            peer="xxhash",
            other=True,
        ),
    ),
    floor="loop of mmh3",
    about="10,000 a call",
    base=True,
)

GROUPS = (
    Group(
        "murmur3",
        "32-bit murmur3",
        "The hash of 16 bytes: one item a call, where the floor is a call that does nothing, "
        "`len(item)`; and many items a call, against a loop that calls mmh3 for each. xxhash "
        "computes another function (†).",
        "item",
        (ONE, MANY),
    ),
)
