"""Shard functions: where keys are, what moves, and what is refused."""

import csv
import zlib
from array import array
from pathlib import Path
from typing import Any

import pytest

from godropbox import hash2, memcache
from godropbox.memcache.fleet.placement import (
    NOT_A_KEY,
    UNMAPPED,
    Crc32,
    Custom,
    Hash2,
    Jump,
    Ketama,
    Rendezvous,
    ShardFunction,
    as_shard_function,
    key_number,
)

FLEET = [f"10.0.0.{i}:11211" for i in range(8)]
KEYS = [f"user:{i * 7919:08}:profile" for i in range(1000)]
FUNCTIONS: list[ShardFunction] = [
    Hash2(),
    Crc32(),
    Jump(),
    Ketama(),
    Ketama(weighted=False),
    Rendezvous(),
    Custom(lambda key, count: len(key) % count),
]
NEXT = [function for function in FUNCTIONS if function.has_next]


def test_the_number_of_a_key_is_gos_fnv1a_64() -> None:
    """The check values are those of the FNV reference, draft-eastlake-fnv, section 8."""
    assert key_number("") == 0xCBF29CE484222325
    assert key_number("a") == 0xAF63DC4C8601EC8C
    assert key_number(b"foobar") == 0x85944171F73967E8


def test_hash2_places_10_000_keys_as_go_does(vectors: Path) -> None:
    """The rows are what ``hash2.ConsistentHash`` gave for the ``fnv.New64a`` of each key."""
    fleets: dict[int, list[tuple[bytes, int]]] = {}
    with open(vectors / "placement.csv", newline="") as file:
        for row in csv.DictReader(file):
            pair = bytes.fromhex(row["key_hex"]), int(row["shard"])
            fleets.setdefault(int(row["num_shards"]), []).append(pair)
    assert sum(map(len, fleets.values())) == 10_000
    for count, pairs in fleets.items():
        placed = Hash2().bind([f"10.0.{i >> 8}.{i & 255}" for i in range(count)])
        expected = [shard for _, shard in pairs]
        assert placed.of_many([key for key, _ in pairs]) == expected
        assert placed.of_many([key.decode() for key, _ in pairs]) == expected


def test_hash2_is_the_consistent_hash_of_the_keys_number() -> None:
    numbers = array("Q", map(key_number, KEYS))
    assert Hash2().bind(FLEET).of_many(KEYS) == hash2.consistent_hash_many(numbers, 8).tolist()
    some = hash2.ShardSet([1, 3, 4, 7])
    assert Hash2().among(FLEET, some).of_many(KEYS) == some.lookup_many(numbers).tolist()


def test_crc32_is_zlibs_modulo_the_servers() -> None:
    assert Crc32().bind(FLEET).of_many(KEYS) == [zlib.crc32(key.encode()) % 8 for key in KEYS]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_batch_is_placed_as_its_keys_are(function: ShardFunction) -> None:
    placed = function.bind(FLEET)
    assert placed.of_many(KEYS) == [placed.of(key) for key in KEYS]
    assert placed.of_many(iter(KEYS[:9])) == placed.of_many(KEYS)[:9]
    assert placed.of_many([]) == []


@pytest.mark.parametrize("function", FUNCTIONS[:-1])
def test_the_same_text_in_either_form_is_on_the_same_shard(function: ShardFunction) -> None:
    placed = function.bind(FLEET)
    keys = [*KEYS[:100], "", "žluť", "日本語:%d", "\U0001f600" * 40, "x" * 1000]
    assert placed.of_many([key.encode() for key in keys]) == placed.of_many(keys)
    assert len(set(placed.of_many(KEYS))) == 8


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_no_key_costs_no_other_key_its_place(function: ShardFunction) -> None:
    placed = function.bind(FLEET)
    batch: list[Any] = ["a", None, b"b", "\udc80", 5, bytearray(b"c"), "d"]
    expected = [placed.of("a"), -2, placed.of(b"b"), -2, -2, -2, placed.of("d")]
    assert placed.of_many(batch) == expected
    assert NOT_A_KEY == -2
    with pytest.raises(TypeError, match="key must be str or bytes, got 5"):
        placed.of(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key must be text that UTF-8 can encode, got"):
        placed.of("\udc80")


@pytest.mark.parametrize("function", NEXT)
def test_only_the_keys_of_what_is_left_out_move(function: ShardFunction) -> None:
    whole = function.bind(FLEET).of_many(KEYS)
    rest = function.among(FLEET, [0, 1, 2, 4, 5, 7]).of_many(KEYS)
    moved = [new for old, new in zip(whole, rest, strict=True) if old in (3, 6)]
    assert [o for o in whole if o not in (3, 6)] == [
        new for old, new in zip(whole, rest, strict=True) if old not in (3, 6)
    ]
    assert set(moved) == {0, 1, 2, 4, 5, 7}
    assert set(function.among(FLEET, [5]).of_many(KEYS)) == {5}
    with pytest.raises(memcache.InvalidArgumentError, match="must have at least one of the fleet"):
        function.among(FLEET, [8])


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if not f.has_next])
def test_some_functions_have_no_next_shard(function: ShardFunction) -> None:
    with pytest.raises(memcache.InvalidArgumentError, match="has no next shard for a key"):
        function.among(FLEET, [0, 1])


@pytest.mark.parametrize("function", [Hash2(), Jump(), Ketama(), Rendezvous()])
def test_a_new_server_takes_its_share_and_nothing_else_moves(function: ShardFunction) -> None:
    before = function.bind(FLEET).of_many(KEYS)
    after = function.bind([*FLEET, "10.0.0.8:11211"]).of_many(KEYS)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {8}
    assert 50 < len(moved) < 200  # a ninth is 111


@pytest.mark.parametrize("function", [Ketama(), Ketama(weighted=False), Rendezvous()])
def test_placement_by_name_heeds_no_order(function: ShardFunction) -> None:
    there = [FLEET[i] for i in function.bind(FLEET).of_many(KEYS)]
    turned = FLEET[::-1]
    assert [turned[i] for i in function.bind(turned).of_many(KEYS)] == there


def test_a_server_of_more_weight_has_more_keys() -> None:
    even = Ketama().bind(FLEET).of_many(KEYS)
    heavy = Ketama({"10.0.0.2": 4}).bind(FLEET).of_many(KEYS)  # 11211 is the port there
    assert heavy.count(2) > 2 * even.count(2)


def test_servers_of_next_to_no_weight_have_keys_when_the_others_are_left_out() -> None:
    weights = {FLEET[0]: 10_000, FLEET[1]: 5_000}
    assert set(Ketama(weights).bind(FLEET).of_many(KEYS)) == {0, 1}
    assert set(Ketama(weights).among(FLEET, [1, 4, 6]).of_many(KEYS)) == {1}
    assert set(Ketama(weights).among(FLEET, [4, 6]).of_many(KEYS)) == {4, 6}


def test_a_callable_gets_the_key_as_it_is_and_may_leave_it_unmapped() -> None:
    seen = []

    def by_type(key: str | bytes, count: int) -> int:
        seen.append((key, count))
        return count - 1 if isinstance(key, str) else UNMAPPED

    placed = as_shard_function(by_type).bind(FLEET)
    assert placed.of_many(["a", b"b", None]) == [7, -1, NOT_A_KEY]
    assert placed.of(b"c") == -1
    assert seen == [("a", 8), (b"b", 8), (b"c", 8)]


@pytest.mark.parametrize("answer", [8, -2, "0", None, 1.0])
def test_a_callable_that_answers_nonsense_is_told_so(answer: Any) -> None:
    placed = as_shard_function(lambda key, count: answer).bind(FLEET)
    with pytest.raises(
        memcache.InvalidArgumentError, match=r"must return an int in \[-1, 8\), got"
    ):
        placed.of("key")
    with pytest.raises(memcache.InvalidArgumentError, match="for 'key'"):
        placed.of_many(["key"])


def test_bad_functions_and_weights_are_refused() -> None:
    assert as_shard_function(Jump()) == Jump()
    for bad in (None, "hash2", Hash2, 5):
        with pytest.raises(memcache.InvalidTypeError, match="shard_func must be a shard function"):
            as_shard_function(bad)
    with pytest.raises(ValueError, match="the weight of a:1 must be at least 1, got 0"):
        Ketama({"a:1": 0})
    with pytest.raises(TypeError, match=r"the weight of a:1 must be an int in \[1, 2\*\*32\)"):
        Ketama({"a:1": 1.5})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="weights must be empty where weighted is False"):
        Ketama({"a:1": 2}, weighted=False)
    with pytest.raises(memcache.InvalidArgumentError, match="must be printable text, got 'a\\\\n'"):
        Ketama({"a\n": 2})


def test_rules_are_values() -> None:
    assert Ketama() == Ketama({}) != Ketama({"a:1": 2})
    assert repr(Ketama(weighted=False)) == "Ketama(weights={}, weighted=False)"
