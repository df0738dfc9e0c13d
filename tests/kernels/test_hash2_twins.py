"""hash2's twins and vector paths: same results, same errors, same words."""

import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import twins
from hypothesis import given
from hypothesis import strategies as st

import godropbox

pytestmark = pytest.mark.once

TWINS = twins("hash2")
keys = st.integers(0, 2**64 - 1)
anything = st.one_of(
    keys,
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.none(),
)


def outcome(function: Callable[..., Any], *arguments: object) -> object:
    """What a call returns, or the type and the words of what it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def agree(name: str, *arguments: object) -> Any:
    first, *others = (outcome(getattr(twin, name), *arguments) for twin in TWINS)
    assert all(other == first for other in others)
    return first


@given(keys, st.integers(0, 300))
def test_consistent_hash(key: int, num_shards: int) -> None:
    assert agree("consistent_hash", key, num_shards) in range(max(num_shards, 1))


@given(anything, anything)
def test_consistent_hash_of_anything(key: object, num_shards: object) -> None:
    if isinstance(num_shards, int) and 300 < num_shards < 65536:
        num_shards = 300
    agree("consistent_hash", key, num_shards)


@given(st.lists(keys, max_size=200), st.integers(0, 70), st.integers(0, 70))
def test_hash_many(values: list[int], one: int, other: int) -> None:
    few, many = sorted((one, other))
    results = []
    for twin in TWINS:
        outs = [array("H", [9] * len(values)) for _ in range(3)]
        data = memoryview(array("Q", values))
        twin.hash_many(data, few, many, memoryview(outs[0]), memoryview(outs[1]))
        twin.hash_many(data, many, many, memoryview(outs[2]), None)
        results.append(outs)
    expected = [
        array("H", [TWINS[-1].consistent_hash(value, count) for value in values])
        for count in (few, many, many)
    ]
    assert all(result == expected for result in results)


@given(st.lists(keys, max_size=200), st.sets(st.integers(0, 90), min_size=1))
def test_set_hash(values: list[int], ids: set[int]) -> None:
    bitmap = bytearray(8192)
    for number in ids:
        bitmap[number >> 3] |= 1 << (number & 7)
    shards = bytes(bitmap), min(ids), max(ids)
    expected = array("H", [agree("set_hash", value, *shards) for value in values])
    assert set(expected) <= ids
    for twin in TWINS:
        out = array("H", [9] * len(values))
        twin.set_hash_many(memoryview(array("Q", values)), *shards, memoryview(out))
        assert out == expected


PATHS_CHECK = """
import csv, sys
from array import array
from godropbox import hash2
from godropbox._kernels import hash2 as kernel
with open(sys.argv[1], newline="") as file:
    rows = [tuple(map(int, row)) for row in list(csv.reader(file))[1:]][:int(sys.argv[2])]
counts = {}
for key, count, shard in rows:
    counts.setdefault(count, []).append((key, shard))
for count, pairs in counts.items():
    # below 2,000 shards repeated, so that whole vector groups are filled, not only what is left
    times = 1 + 300 // len(pairs) if count < 2000 else 1
    keys = array("Q", [key for key, _ in pairs]) * times
    shards = array("H", [shard for _, shard in pairs]) * times
    assert hash2.consistent_hash_many(keys, count) == shards, count
for ids in (range(300), range(100, 3000, 7), [5, 40000], [65534]):
    shards = hash2.ShardSet(ids)
    keys = array("Q", [key for key, _, _ in rows[:200]])
    assert shards.lookup_many(keys) == array("H", map(shards.lookup, keys)), ids
print(kernel.SIMD, len(rows))
"""


NATIVE = godropbox.IMPLEMENTATION == "native"


@pytest.mark.parametrize("path", ["portable", "neon", "avx2", "avx512"] if NATIVE else ["none"])
def test_every_vector_path_places_every_recorded_key(path: str, vectors: Path) -> None:
    count = "12270" if NATIVE else "40"  # pure Python has no paths to compare
    result = subprocess.run(
        [sys.executable, "-c", PATHS_CHECK, str(vectors / "hash2.csv"), count],
        env=os.environ | {"GODROPBOX_SIMD": path},
        capture_output=True,
        check=False,
    )
    if b"this machine does not run it" in result.stderr:
        assert result.stderr.rstrip().endswith(
            f"ValueError: GODROPBOX_SIMD={path}, but this machine does not run it".encode()
        )
        assert result.returncode == 1
    else:
        assert result.stdout.split() == [path.encode(), count.encode()]
