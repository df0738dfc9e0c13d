"""murmur3's twins: same results, same errors, same words."""

import pytest
from conftest import twins
from hypothesis import given
from hypothesis import strategies as st
from support.hashing import murmur3 as reference

pytestmark = pytest.mark.once

TWINS = twins("murmur3")
anything = st.one_of(
    st.binary(max_size=40),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
    st.none(),
    st.binary(max_size=8).map(bytearray),
    st.binary(max_size=8).map(lambda data: memoryview(data)[::2]),
    st.lists(st.binary(max_size=4) | st.text(max_size=4), max_size=3),
)


def outcome(stem: int, name: str, *arguments: object) -> object:
    try:
        return getattr(TWINS[stem], name)(*arguments)
    except Exception as error:
        return type(error), str(error)


@given(st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_hash32(data: bytes, seed: int) -> None:
    assert {outcome(i, "hash32", data, seed) for i in range(len(TWINS))} == {reference(data, seed)}


@given(anything, anything)
def test_hash32_of_anything(data: object, seed: object) -> None:
    assert len({outcome(i, "hash32", data, seed) for i in range(len(TWINS))}) == 1


@given(st.lists(st.binary(max_size=20)), st.integers(0, 2**32 - 1))
def test_hash32_many(items: list[bytes], seed: int) -> None:
    for twin in TWINS:
        assert list(twin.hash32_many(items, seed)) == [reference(item, seed) for item in items]


@given(st.one_of(anything, st.lists(anything, max_size=3)), anything)
def test_hash32_many_of_anything(items: object, seed: object) -> None:
    first, *others = (outcome(i, "hash32_many", items, seed) for i in range(len(TWINS)))
    assert all(other == first for other in others)
