"""The order-independent hash of 10,000 items of 32 bytes, against hashlib and sums in Python.

Right is what Dropbox's Go library answered, recorded in ``tests/vectors/oihash.jsonl``, and the
same digest from every row.
"""

import hashlib
import json
import random
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from .model import Case, Faster, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

VECTORS = Path(__file__).parent.parent / "tests" / "vectors" / "oihash.jsonl"

COUNT = 10_000
PRIMES = tuple(2**32 - less for less in (5, 17, 65, 99, 107, 135, 153, 185))


@lru_cache
def some_items() -> list[bytes]:
    """Return items of 32 bytes, the same in every process."""
    draw = random.Random(32)
    return [draw.randbytes(32) for _ in range(COUNT)]


def by_hand(items: list[bytes]) -> bytes:
    """Hash as one writes it without us: a hash and eight additions for each item."""
    unpack = struct.Struct("<8I").unpack
    a = b = c = d = e = f = g = h = 0
    for item in items:
        words = unpack(hashlib.sha256(item).digest())
        a += words[0]
        b += words[1]
        c += words[2]
        d += words[3]
        e += words[4]
        f += words[5]
        g += words[6]
        h += words[7]
    sums = (a, b, c, d, e, f, g, h)
    return struct.pack("<8I", *[s % prime for s, prime in zip(sums, PRIMES, strict=True)])


def digest_is_right(result: Any, names: Names) -> None:
    if result != by_hand(some_items()):
        raise WrongError(f"the digest is {result.hex()}")
    if "OiHash" not in names:
        return
    for line in VECTORS.read_text().splitlines():
        row = json.loads(line)
        found = names["OiHash"]()
        for name, data in row["steps"]:
            getattr(found, name)(bytes.fromhex(data))
        if found.hexdigest() != row["digest"]:
            raise WrongError(f"{found.hexdigest()} where Go recorded {row['digest']}")


def ours_names(implementation: str) -> Names:
    return {"OiHash": load("oihash", implementation).OiHash, "items": some_items()}


MANY = Case(
    "32 bytes, many items",
    (
        Row(
            "native",
            "OiHash(items).digest()",
            lambda _: ours_names("native"),
            operations="len(items)",
            check=digest_is_right,
            kind="native",
            target=Faster(8, "hashlib and sums"),
        ),
        Row(
            "pure",
            "OiHash(items).digest()",
            lambda _: ours_names("pure"),
            operations="len(items)",
            check=digest_is_right,
            kind="pure",
            env=PURE,
        ),
        Row(
            "hashlib and sums",
            "by_hand(items)",
            lambda _: {"by_hand": by_hand, "items": some_items()},
            operations="len(items)",
            check=digest_is_right,
        ),
    ),
    floor="hashlib and sums",
    about="10,000 a call",
    base=True,
)

GROUPS = (
    Group(
        "oihash",
        "Order-independent hash",
        "A hash of a multiset: SHA-256 of every item, added by columns. The floor is a loop that "
        "calls `hashlib` and adds in Python.",
        "item",
        (MANY,),
    ),
)
