"""oihash's twins: same results, same errors, same words."""

import hashlib

import pytest
from conftest import twins
from hypothesis import given
from hypothesis import strategies as st

from godropbox._kernels._oihash import PRIMES

pytestmark = pytest.mark.once

TWINS = twins("oihash")
EMPTY = bytes(32)
hashes = st.binary(min_size=32, max_size=32)
anything = st.one_of(
    st.binary(max_size=40),
    hashes,
    st.integers(),
    st.text(max_size=3),
    st.none(),
    st.binary(max_size=8).map(bytearray),
    st.binary(max_size=8).map(lambda data: memoryview(data)[::2]),
)
digests = st.tuples(*(st.integers(0, prime - 1) for prime in PRIMES)).map(
    lambda words: b"".join(word.to_bytes(4, "little") for word in words)
)


def outcome(stem: int, name: str, *arguments: object) -> object:
    try:
        return getattr(TWINS[stem], name)(*arguments)
    except Exception as error:
        return type(error), str(error)


def reference(digest: bytes, some: list[bytes], sign: int) -> bytes:
    """Add a word at a time, as the definition says."""
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    for one in some:
        for column, prime in enumerate(PRIMES):
            word = int.from_bytes(one[4 * column : 4 * column + 4], "little")
            words[column] = (words[column] + sign * word) % prime
    return b"".join(word.to_bytes(4, "little") for word in words)


@given(digests, st.lists(st.binary(max_size=200), max_size=40), st.booleans())
def test_added(digest: bytes, items: list[bytes], removes: bool) -> None:
    sums = [hashlib.sha256(item).digest() for item in items]
    expected = reference(digest, sums, -1 if removes else 1)
    for twin in TWINS:
        assert twin.added(digest, items, removes) == expected


@given(digests, st.lists(hashes | st.just(b"\xff" * 32), max_size=40), st.booleans())
def test_added_hashes(digest: bytes, items: list[bytes], removes: bool) -> None:
    expected = reference(digest, items, -1 if removes else 1)
    for twin in TWINS:
        assert twin.added_hashes(digest, items, removes) == expected


@given(st.one_of(anything, st.lists(anything, max_size=20)))
def test_anything(items: object) -> None:
    for name in ("added", "added_hashes"):
        assert len({outcome(i, name, EMPTY, items) for i in range(len(TWINS))}) == 1


def test_sizes_round_the_blocks_of_sha256() -> None:
    for size in [*range(140), 8191, 8192, 100_001]:
        item = bytes(range(256)) * (size // 256 + 1)
        item = item[:size]
        for twin in TWINS:
            assert twin.added(EMPTY, [item]) == reference(EMPTY, [hashlib.sha256(item).digest()], 1)
