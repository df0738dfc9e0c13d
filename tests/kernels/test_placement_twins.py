"""placement's twins: same shards, same errors, same words."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import twins
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.once

TWINS = twins("placement")
keys = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=80),
    st.text(st.characters(codec="ascii"), max_size=300),
    st.sampled_from([None, 5, "\udc80", bytearray(b"key"), memoryview(b"key"), ("key",)]),
)
shards = st.integers(0, 65534)


def outcome(function: Callable[..., Any], *arguments: object) -> object:
    """What a call returns, or the type and the words of what it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def agree(call: Callable[[Any], Any]) -> Any:
    first, *others = (outcome(call, twin) for twin in TWINS)
    assert all(other == first for other in others)
    return first


def places_agree(batch: list[Any], rule: str, *arguments: object) -> None:
    placements = [getattr(twin, rule)(*arguments) for twin in TWINS]
    for placement in placements:
        many = placement.of_many(batch)
        assert many == placements[-1].of_many(batch)
        for key, shard in zip(batch, many, strict=True):
            one = outcome(placement.of, key)
            assert one == outcome(placements[-1].of, key)
            assert one == shard if shard >= 0 else isinstance(one, tuple)


@given(st.lists(keys, max_size=40), st.integers(1, 300))
def test_rules_of_a_number_of_shards(batch: list[Any], count: int) -> None:
    modulo = ("jenkins_modulo", "md5_modulo", "crc15_modulo")
    for name in ("hash2", "crc32", "jump", *modulo):
        places_agree(batch, name, count)


@given(st.lists(keys, max_size=20), st.sets(st.integers(0, 90), min_size=1))
def test_hash2_among(batch: list[Any], ids: set[int]) -> None:
    places_agree(batch, "hash2_among", ids)


@given(
    st.lists(keys, max_size=40),
    st.lists(st.tuples(st.integers(0, 2**32 - 1), shards), min_size=1, max_size=50),
)
def test_rings(batch: list[Any], points: list[tuple[int, int]]) -> None:
    for name in ("ketama", "jenkins"):
        places_agree(batch, name, points)


@given(
    st.lists(keys, max_size=40),
    st.lists(st.tuples(st.binary(max_size=20), shards), min_size=1, max_size=9),
)
def test_rendezvous(batch: list[Any], names: list[tuple[bytes, int]]) -> None:
    places_agree(batch, "rendezvous", names)


@given(keys)
def test_numbers_of_a_key(key: Any) -> None:
    agree(lambda twin: twin.fnv1a(key))
    agree(lambda twin: twin.one_at_a_time(key))


@pytest.mark.parametrize("twin", TWINS)
def test_large_batches(twin: Any) -> None:
    placed = twin.hash2(70)
    batch = [f"key {i}" for i in range(3000)]
    batch[2000] = None  # type: ignore[call-overload]
    expected = [placed.of(key) if key else twin.NOT_A_KEY for key in batch]
    assert placed.of_many(batch) == expected
    assert placed.of_many(iter(batch)) == expected
    assert placed.of_many(tuple(batch)) == expected


BAD: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda k: k.hash2(0), ValueError, r"num_shards must be an int in \[1, 65535\], got 0"),
    (lambda k: k.crc32(65536), ValueError, r"num_shards must be an int in \[1, 65535\], got 65536"),
    (lambda k: k.md5_modulo(0), ValueError, r"num_shards must be an int in \[1, 65535\], got 0"),
    (lambda k: k.jump("8"), TypeError, r"num_shards must be an int in \[1, 65535\], got '8'"),
    (lambda k: k.hash2_among([]), ValueError, "shards must not be empty"),
    (lambda k: k.hash2_among([65535]), ValueError, r"shard must be an int in \[0, 65534\], got"),
    (lambda k: k.ketama([]), ValueError, "points must not be empty"),
    (lambda k: k.jenkins([(2**32, 0)]), ValueError, r"value must be an int in \[0, 2\*\*32\), got"),
    (lambda k: k.ketama([(0, -1)]), ValueError, r"shard must be an int in \[0, 65534\], got -1"),
    (lambda k: k.rendezvous([]), ValueError, "names must not be empty"),
    (lambda k: k.rendezvous([("name", 0)]), TypeError, "a name must be bytes, got 'name'"),
    (lambda k: k.hash2(8).of(5), TypeError, r"key must be str or bytes, got 5"),
    (lambda k: k.hash2(8).of("\ud800"), ValueError, "key must be text that UTF-8 can encode, got"),
    (lambda k: k.hash2(8).of_many("text"), TypeError, "keys must be an iterable of keys, got"),
    (lambda k: k.jump(8).of_many(5), TypeError, "keys must be an iterable of keys, got 5"),
    (lambda k: k.fnv1a(None), TypeError, "key must be str or bytes, got None"),
    (lambda k: k.one_at_a_time(1.5), TypeError, "key must be str or bytes, got 1.5"),
]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("call", "kind", "words"), BAD)
def test_bad_arguments(
    twin: Any, call: Callable[[Any], object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call(twin)
    agree(call)
