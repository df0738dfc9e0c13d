"""godropbox.hash2: the public face, on whichever implementation this run has."""

import csv
import hashlib
import pickle
import random
import subprocess
import sys
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest
from conftest import is_second_run
from support.hashing import permutation_shard

import godropbox
from godropbox import _kernels, hash2

NATIVE = godropbox.IMPLEMENTATION == "native"


def random_keys(count: int, seed: int = 1) -> "array[int]":
    return array("Q", random.Random(seed).randbytes(8 * count))


KEYS = random_keys(3000 if NATIVE else 300)


class Index:
    """An integer to Python, though no int."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_every_recorded_shard(vectors: Path) -> None:
    with open(vectors / "hash2.csv", newline="") as file:
        rows = [tuple(map(int, row)) for row in list(csv.reader(file))[1:]]
    assert len(rows) > 12_000
    assert max(count for _, count, _ in rows) == 65535
    # All of them take the pure twin a minute: beside a compiled package every fifth will do.
    for key, num_shards, shard in rows[:: 5 if is_second_run() else 1]:
        assert hash2.consistent_hash(key, num_shards) == shard


def test_few_shards() -> None:
    for key in (0, 1, 2**64 - 1):
        assert hash2.consistent_hash(key, 0) == 0
        assert hash2.consistent_hash(key, 1) == 0
    assert hash2.consistent_hash(0, 5) == 4


@pytest.mark.parametrize(
    ("key", "num_shards"), [(True, 5), (Index(7), 5), (7, True), (7, Index(10)), (2**64 - 1, 65535)]
)
def test_integers_of_every_kind(key: Any, num_shards: Any) -> None:
    plain = hash2.consistent_hash(key.__index__(), num_shards.__index__())
    assert hash2.consistent_hash(key, num_shards) == plain


@pytest.mark.parametrize(
    ("key", "num_shards", "error", "message"),
    [
        (-1, 5, ValueError, "key must be an int in [0, 2**64), got -1"),
        (2**64, 5, ValueError, "key must be an int in [0, 2**64), got 18446744073709551616"),
        (2**256, 5, ValueError, "key must be an int in [0, 2**64), got an int of 257 bits"),
        (-(2**256), 5, ValueError, "key must be an int in [0, 2**64), got a negative int of 257"),
        (1.5, 5, TypeError, "key must be an int in [0, 2**64), got 1.5 (float)"),
        ("3", 5, TypeError, "key must be an int in [0, 2**64), got '3' (str)"),
        (None, 5, TypeError, "key must be an int in [0, 2**64), got None (NoneType)"),
        (Index(-1), 5, ValueError, "key must be an int in [0, 2**64), got "),
        (1, -1, ValueError, "num_shards must be an int in [0, 65535], got -1"),
        (1, 65536, ValueError, "num_shards must be an int in [0, 65535], got 65536"),
        (1, 2**70, ValueError, "num_shards must be an int in [0, 65535], got 11805916"),
        (1, 2.0, TypeError, "num_shards must be an int in [0, 65535], got 2.0 (float)"),
        (1, Index(65536), ValueError, "num_shards must be an int in [0, 65535], got "),
    ],
)
def test_bad_integers(key: Any, num_shards: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        hash2.consistent_hash(key, num_shards)
    assert str(caught.value).startswith(message)


def test_index_that_raises() -> None:
    class Broken:
        def __index__(self) -> int:
            raise RuntimeError("no number today")

    with pytest.raises(RuntimeError, match="no number today"):
        hash2.consistent_hash(Broken(), 5)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("num_shards", [0, 1, 2, 3, 10, 257, 1000])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_equal_one_by_one(num_shards: int, threads: int) -> None:
    expected = array("H", [hash2.consistent_hash(key, num_shards) for key in KEYS])
    assert hash2.consistent_hash_many(KEYS, num_shards, threads=threads) == expected


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 129, 257])
def test_many_of_any_number(count: int) -> None:
    keys = KEYS[:count]
    expected = array("H", [hash2.consistent_hash(key, 300) for key in keys])
    assert hash2.consistent_hash_many(keys, 300) == expected


def test_many_in_more_than_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash2, "_STEPS_PER_CALL", 1)
    expected = array("H", [hash2.consistent_hash(key, 30) for key in KEYS])
    assert hash2.consistent_hash_many(KEYS, 30, threads=2) == expected


def test_many_into_a_given_buffer() -> None:
    out = array("H", bytes(2 * len(KEYS)))
    assert hash2.consistent_hash_many(KEYS, 30, out=out) is out
    assert out == hash2.consistent_hash_many(memoryview(KEYS), 30)
    part = memoryview(out)[10:20]
    assert hash2.consistent_hash_many(memoryview(KEYS)[100:110], 7, out=part) is part
    assert out[10:20] == hash2.consistent_hash_many(KEYS[100:110], 7)


OVERLAPS = [
    ("the same place", 0),
    ("the end of the keys", -1),
    ("the middle", 500),
    ("just ahead of the reading", 3),
]


@pytest.mark.parametrize("start", [start for _, start in OVERLAPS], ids=[n for n, _ in OVERLAPS])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["memoryview", "numpy"])
@pytest.mark.parametrize("among", ["all", "a set"])
def test_many_into_the_memory_of_the_keys(start: int, threads: int, kind: str, among: str) -> None:
    many: Any = hash2.consistent_hash_many
    if among == "a set":
        shards = hash2.ShardSet([3, 9, 40])
        many = lambda keys, _, **more: shards.lookup_many(keys, **more)  # noqa: E731
    expected = many(KEYS, 300)
    memory = array("Q", KEYS)
    at = 4 * len(KEYS) - len(KEYS) if start < 0 else start
    out: Any
    if kind == "numpy":
        import numpy

        out = numpy.frombuffer(memory, dtype=numpy.uint16)[at : at + len(KEYS)]
    else:
        out = memoryview(memory).cast("B").cast("H")[at : at + len(KEYS)]
    assert many(memory, 300, out=out, threads=threads) is out
    assert out.tolist() == expected.tolist()


def test_only_what_is_written_of_shared_memory_changes() -> None:
    memory = array("Q", KEYS)
    out = memoryview(memory).cast("B").cast("H")[:10]
    hash2.consistent_hash_many(memoryview(memory)[:10], 30, out=out)
    assert memory[3:] == KEYS[3:]


def test_many_over_numpy() -> None:
    import numpy

    keys = numpy.array(KEYS[:100], dtype=numpy.uint64)
    expected = hash2.consistent_hash_many(KEYS[:100], 12)
    assert hash2.consistent_hash_many(keys, 12) == expected
    out = numpy.zeros((10, 10), dtype=numpy.uint16)
    assert hash2.consistent_hash_many(keys.reshape(10, 10), 12, out=out) is out
    assert out.ravel().tolist() == list(expected)
    assert len(hash2.consistent_hash_many(keys[:0], 12)) == 0
    with pytest.raises(TypeError, match=r"keys must be .* got one of format 'l'"):
        hash2.consistent_hash_many(keys.astype(numpy.int64), 12)
    with pytest.raises(TypeError, match=r"keys must be .* got one of format '>"):
        hash2.consistent_hash_many(keys.astype(">u8"), 12)
    with pytest.raises(ValueError, match=r"keys must be C-contiguous, got strides \(16,\)"):
        hash2.consistent_hash_many(keys[::2], 12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keys": [1, 2]}, TypeError, "keys must be a buffer of unsigned 64-bit ints"),
        ({"keys": array("q", [1])}, TypeError, "got one of format 'q'"),
        ({"keys": array("I", [1])}, TypeError, "got one of format 'I'"),
        ({"keys": b"12345678"}, TypeError, "got one of format 'B'"),
        ({"keys": memoryview(KEYS)[::2]}, ValueError, "keys must be C-contiguous"),
        ({"num_shards": -1}, ValueError, r"num_shards must be an int in \[0, 65535\], got -1"),
        ({"out": array("H", [0])}, ValueError, "out must have as many elements as keys, 2, got 1"),
        ({"out": array("h", [0, 0])}, TypeError, "out must be .* got one of format 'h'"),
        ({"out": memoryview(b"1234").cast("H")}, ValueError, "out must be writable, got"),
        ({"out": [0, 0]}, TypeError, "out must be a buffer of unsigned 16-bit ints"),
        ({"threads": 0}, ValueError, r"threads must be an int in \[1, 1024\], got 0"),
        ({"threads": 1025}, ValueError, r"threads must be an int in \[1, 1024\], got 1025"),
        ({"threads": 1.0}, TypeError, r"threads must be an int in \[1, 1024\], got 1.0 \(float\)"),
    ],
)
def test_bad_arguments_of_many(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    defaults: dict[str, Any] = {"keys": array("Q", [1, 2]), "num_shards": 5}
    with pytest.raises(error, match=message):
        hash2.consistent_hash_many(**defaults | arguments)


def test_an_interrupt_in_a_part_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    here = threading.get_ident()

    reached = threading.Event()

    def interrupted(*_: object) -> None:
        if threading.get_ident() == here:
            reached.set()
            raise KeyboardInterrupt
        assert reached.wait(60)  # so that not all parts are gone before it is this thread's turn

    monkeypatch.setattr(_kernels.hash2, "hash_many", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hash2.consistent_hash_many(KEYS, 5, threads=2)
    assert threading.active_count() == before


class TestShardSet:
    """Any set of shards."""

    @pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
    def test_a_whole_range_is_the_plain_hash(self, count: int) -> None:
        shards = hash2.ShardSet(range(count))
        expected = array("H", [hash2.consistent_hash(key, count) for key in KEYS])
        assert array("H", [shards.lookup(key) for key in KEYS]) == expected
        assert shards.lookup_many(KEYS) == expected

    @pytest.mark.parametrize(
        "ids", [[0], [7], [8], [3, 8], [1, 2, 3, 40], [0, 63, 64], list(range(5, 90, 3)), [299]]
    )
    def test_the_permutation_by_the_letter(self, ids: list[int]) -> None:
        shards = hash2.ShardSet(ids)
        keys = KEYS[:150]
        expected = array("H", [permutation_shard(key, ids) for key in keys])
        assert array("H", [shards.lookup(key) for key in keys]) == expected
        assert shards.lookup_many(keys) == expected

    def test_taking_a_shard_out_moves_only_its_keys(self) -> None:
        shards = hash2.ShardSet([*range(10), 40, 77])
        for gone in shards:
            fewer = shards.without_shard(gone)
            for key in KEYS[:200]:
                old, new = shards.lookup(key), fewer.lookup(key)
                assert (old == new) if old != gone else (new != gone)
            assert fewer.with_shard(gone) == shards

    def test_putting_a_shard_in_moves_keys_only_to_it(self) -> None:
        shards = hash2.ShardSet([*range(10), 40, 77])
        for new in (10, 41, 78, 200):
            more = shards.with_shard(new)
            moved = [key for key in KEYS if more.lookup(key) != shards.lookup(key)]
            assert moved
            assert {more.lookup(key) for key in moved} == {new}

    def test_the_greatest_shards(self) -> None:
        shards = hash2.ShardSet([65533, 65534])
        keys = KEYS[:20]
        assert set(shards.lookup_many(keys)) == {65533, 65534}
        assert hash2.ShardSet([65534]).lookup(5) == 65534

    def test_it_is_a_set(self) -> None:
        shards = hash2.ShardSet([9, 3, 700])
        assert list(shards) == [3, 9, 700]
        assert len(shards) == 3
        assert 9 in shards
        assert 4 not in shards
        assert shards == hash2.ShardSet((700, 9, 3))
        assert shards != hash2.ShardSet([3, 9])
        assert shards != [3, 9, 700]
        assert len({shards, hash2.ShardSet([3, 9, 700])}) == 1
        assert pickle.loads(pickle.dumps(shards)) == shards

    def test_repr(self) -> None:
        assert repr(hash2.ShardSet(range(2, 5))) == "ShardSet(range(2, 5))"
        assert repr(hash2.ShardSet([5, 1])) == "ShardSet([1, 5])"
        many = hash2.ShardSet(range(0, 100, 2))
        assert repr(many) == "<ShardSet of 50 shards from 0 to 98>"

    @pytest.mark.parametrize(
        ("ids", "error", "message"),
        [
            ([], ValueError, "shard_ids must name at least one shard, got none"),
            ([1, 2, 1], ValueError, "shard_ids must name each shard once, got 1 twice"),
            ([65535], ValueError, r"shard_ids must be an int in \[0, 65534\], got 65535"),
            ([-1], ValueError, r"shard_ids must be an int in \[0, 65534\], got -1"),
            (["1"], TypeError, r"shard_ids must be an int in \[0, 65534\], got '1' \(str\)"),
        ],
    )
    def test_bad_ids(self, ids: list[Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            hash2.ShardSet(ids)

    def test_bad_changes_and_keys(self) -> None:
        shards = hash2.ShardSet([3, 5])
        with pytest.raises(ValueError, match="shard_id must be a shard that is not in the set"):
            shards.with_shard(3)
        with pytest.raises(ValueError, match="shard_id must be a shard of the set, got 4"):
            shards.without_shard(4)
        with pytest.raises(ValueError, match="shard_id must not be the last shard of the set"):
            shards.without_shard(3).without_shard(5)
        with pytest.raises(ValueError, match=r"key must be an int in \[0, 2\*\*64\), got -1"):
            shards.lookup(-1)
        with pytest.raises(TypeError, match="keys must be a buffer of unsigned 64-bit ints"):
            shards.lookup_many([1])  # type: ignore[call-overload]  # that is the point


class TestPlanReshard:
    """Before and after, in one pass."""

    @pytest.mark.parametrize(
        ("old", "new"), [(10, 13), (13, 10), (7, 7), (1, 8), (0, 3), (101, 300), (300, 301)]
    )
    def test_both_places_of_every_key(self, old: int, new: int) -> None:
        plan = hash2.plan_reshard(KEYS, old, new, threads=2)
        assert plan.before == hash2.consistent_hash_many(KEYS, old)
        assert plan.after == hash2.consistent_hash_many(KEYS, new)
        pairs = [pair for pair in zip(plan.before, plan.after, strict=True) if pair[0] != pair[1]]
        assert plan.moved == len(pairs)
        assert plan.flows == {pair: pairs.count(pair) for pair in set(pairs)}
        assert plan.moved_share == len(pairs) / len(KEYS)

    def test_growing_moves_keys_only_to_the_new_shards(self) -> None:
        plan = hash2.plan_reshard(KEYS, 10, 12)
        assert {to for _, to in plan.flows} == {10, 11}

    def test_shrinking_moves_only_the_keys_of_what_goes(self) -> None:
        plan = hash2.plan_reshard(KEYS, 12, 10)
        assert {origin for origin, _ in plan.flows} == {10, 11}

    def test_no_keys(self) -> None:
        plan = hash2.plan_reshard(array("Q"), 3, 4)
        assert (plan.moved, plan.flows, plan.moved_share) == (0, {}, 0.0)
        assert repr(plan) == "<ReshardPlan from 3 to 4 shards: 0 of 0 keys move (0.0%)>"

    def test_bad_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"old_num_shards must be an int in .* got 65536"):
            hash2.plan_reshard(KEYS, 65536, 3)
        with pytest.raises(TypeError, match=r"new_num_shards must be an int in .* got None"):
            hash2.plan_reshard(KEYS, 3, None)  # type: ignore[arg-type]  # that is the point


class TestMd5:
    """Checksums against errors of machines."""

    def test_checksum(self) -> None:
        for data in (b"", b"abc", bytearray(b"abc"), memoryview(b"xabc")[1:]):
            assert hash2.md5_checksum(data) == hashlib.md5(data).digest()

    def test_matches(self) -> None:
        checksum = hash2.md5_checksum(b"abc")
        assert hash2.md5_matches(b"abc", checksum) is True
        assert hash2.md5_matches(b"abc", memoryview(checksum)) is True
        assert hash2.md5_matches(b"abd", checksum) is False
        assert hash2.md5_matches(b"abc", checksum[:-1]) is False

    def test_bad_arguments(self) -> None:
        with pytest.raises(TypeError):
            hash2.md5_checksum("abc")  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match=r"checksum must be bytes-like, got 'x' \(str\)"):
            hash2.md5_matches(b"abc", "x")  # type: ignore[arg-type]  # that is the point

    def test_it_asks_for_no_security(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = hashlib.md5

        def fips_md5(data: bytes, *, usedforsecurity: bool = True) -> Any:
            if usedforsecurity:
                raise ValueError("disabled for FIPS")
            return plain(data, usedforsecurity=False)

        monkeypatch.setattr(hashlib, "md5", fips_md5)
        assert hash2.md5_matches(b"abc", hash2.md5_checksum(b"abc"))


def test_importing_it_needs_no_numpy() -> None:
    code = "import sys; import godropbox.hash2; print('numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.split() == [b"False"]
