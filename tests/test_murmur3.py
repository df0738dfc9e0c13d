"""godropbox.murmur3: the public face, on whichever implementation this run has."""

import csv
import random
from array import array
from pathlib import Path
from typing import Any

import pytest
from support.hashing import murmur3 as reference

from godropbox import murmur3


def test_every_recorded_hash(vectors: Path) -> None:
    with open(vectors / "murmur3.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) > 1_000
    for data, seed, result in rows:
        assert murmur3.hash32(bytes.fromhex(data), int(seed)) == int(result)
        assert murmur3.hash32_many([bytes.fromhex(data)], int(seed))[0] == int(result)


def test_every_length() -> None:
    data = random.Random(1).randbytes(300)
    for size in range(len(data)):
        assert murmur3.hash32(data[:size], size) == reference(data[:size], size)


@pytest.mark.parametrize("size", [65535, 65536, 100_001])
def test_long_data(size: int) -> None:
    data = random.Random(1).randbytes(size)
    assert murmur3.hash32(data) == reference(data)


@pytest.mark.parametrize(
    "data", [bytearray(b"abcde"), memoryview(b"xabcde")[1:], array("B", b"abcde")]
)
def test_every_buffer(data: Any) -> None:
    assert murmur3.hash32(data) == murmur3.hash32(b"abcde")
    assert murmur3.hash32_many([data])[0] == murmur3.hash32(b"abcde")


def test_seed_by_name_and_of_every_kind() -> None:
    assert murmur3.hash32(b"abc", seed=True) == murmur3.hash32(b"abc", 1)
    assert murmur3.hash32(b"abc", seed=False) == murmur3.hash32(b"abc")
    assert murmur3.hash32(b"abc", 2**32 - 1) == reference(b"abc", 2**32 - 1)


@pytest.mark.parametrize(
    ("data", "seed", "error", "message"),
    [
        ("abc", 0, TypeError, "data must be bytes-like, got 'abc' (str)"),
        (None, 0, TypeError, "data must be bytes-like, got None (NoneType)"),
        (7, 0, TypeError, "data must be bytes-like, got 7"),
        (memoryview(b"abcd")[::2], 0, ValueError, "data must be C-contiguous, got "),
        (b"", -1, ValueError, "seed must be an int in [0, 2**32), got -1"),
        (b"", 2**32, ValueError, "seed must be an int in [0, 2**32), got 4294967296"),
        (b"", 2**64, ValueError, "seed must be an int in [0, 2**32), got 18446744073709551616"),
        (b"", 0.0, TypeError, "seed must be an int in [0, 2**32), got 0.0 (float)"),
        (b"", "0", TypeError, "seed must be an int in [0, 2**32), got '0' (str)"),
    ],
)
def test_bad_arguments(data: Any, seed: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        murmur3.hash32(data, seed)
    assert str(caught.value).startswith(message)
    with pytest.raises(error) as caught:
        murmur3.hash32_many([b"right", data], seed)
    assert str(caught.value).startswith(message.replace("data ", "items[1] "))


def test_many() -> None:
    items = [random.Random(size).randbytes(size) for size in range(100)]
    expected = array("I", [reference(item, 9) for item in items])
    assert murmur3.hash32_many(items, 9) == expected
    assert murmur3.hash32_many(tuple(items), 9) == expected
    assert murmur3.hash32_many(iter(items), seed=9) == expected
    assert murmur3.hash32_many([]) == array("I")


@pytest.mark.parametrize("items", ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc"), 7, None])
def test_many_of_what_is_one(items: Any) -> None:
    with pytest.raises(TypeError, match="items must be an iterable of bytes-like objects, got "):
        murmur3.hash32_many(items)


def test_an_iterable_that_fails() -> None:
    def broken() -> Any:
        yield b"a"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        murmur3.hash32_many(broken())
