"""godropbox.oihash: the public face, on whichever implementation this run has."""

import copy
import json
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from godropbox.oihash import OiHash

CALLS = ("insert", "remove", "insert_hash", "remove_hash")


def test_every_recorded_sequence(vectors: Path) -> None:
    lines = (vectors / "oihash.jsonl").read_text().splitlines()
    assert len(lines) > 100
    seen = set()
    for line in lines:
        row = json.loads(line)
        found = OiHash()
        for name, data in row["steps"]:
            assert name in CALLS
            seen.add(name)
            getattr(found, name)(bytes.fromhex(data))
        assert found.hexdigest() == row["digest"]
        assert found.digest() == bytes.fromhex(row["digest"])
    assert seen == set(CALLS)


def items(count: int) -> list[bytes]:
    draw = random.Random(count)
    return [draw.randbytes(draw.randrange(100)) for _ in range(count)]


def test_the_order_does_not_matter_and_the_count_does() -> None:
    some = items(100)
    mixed = random.Random(1).sample(some, len(some))
    assert OiHash(some) == OiHash(mixed)
    assert OiHash(some) != OiHash(some[1:])
    assert OiHash([*some, some[0]]) != OiHash(some)


def test_many_at_a_time_are_the_same_as_one_by_one() -> None:
    some = items(100)
    found = OiHash()
    for item in some:
        found.insert(item)
    assert found == OiHash(some) == OiHash(iter(some)) == OiHash(tuple(some))
    found.remove_many(some[:50])
    assert found == OiHash(some[50:])
    found.insert_many(bytearray(item) for item in some[:50])
    assert found == OiHash(some)
    for item in some:
        found.remove(memoryview(item))
    assert found.digest() == bytes(32) == OiHash().digest()


def test_parts_add_up() -> None:
    one, other = items(30), items(20)
    both = OiHash(one) + OiHash(other)
    assert both == OiHash(one + other)
    assert both - OiHash(other) == OiHash(one)
    found = OiHash(one)
    found.insert_hash(OiHash(other).digest())
    assert found == both
    found.remove_hash(OiHash(one).digest())
    assert found == OiHash(other)
    with pytest.raises(TypeError):
        OiHash(one) + one


def test_copies_and_pickles_are_equal_and_apart() -> None:
    found = OiHash(items(3))
    for made in (found.copy(), copy.copy(found), copy.deepcopy(found)):
        assert made == found
        made.insert(b"more")
        assert made != found
    assert pickle.loads(pickle.dumps(found)) == found
    assert eval(repr(found)) == found


def test_one_cannot_be_hashed_itself() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(OiHash())
    assert OiHash() != b""


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_bytes_is_refused_and_adds_nothing(call: str) -> None:
    found = OiHash([b"one"])
    name = "item_hash" if call.endswith("hash") else "item"
    with pytest.raises(TypeError, match=f"^{name} must be bytes-like, got 'text'"):
        getattr(found, call)("text")
    with pytest.raises(ValueError, match=f"^{name} must be C-contiguous"):
        getattr(found, call)(memoryview(b"0123" * 16)[::2])
    assert found == OiHash([b"one"])


@pytest.mark.parametrize("call", ["insert_hash", "remove_hash"])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_hash_has_32_bytes(call: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"^item_hash must have 32 bytes, got {size}"):
        getattr(OiHash(), call)(bytes(size))


@pytest.mark.parametrize("call", ["insert_many", "remove_many"])
def test_the_wrong_one_of_many_is_named(call: str) -> None:
    found = OiHash([b"one"])
    wrong: list[Any] = [b"right", 5]
    with pytest.raises(TypeError, match=r"^items\[1\] must be bytes-like, got 5"):
        getattr(found, call)(wrong)
    with pytest.raises(TypeError, match=r"^items must be an iterable of bytes-like objects"):
        getattr(found, call)(b"text")
    assert found == OiHash([b"one"])


def test_a_digest_that_no_items_have_is_refused() -> None:
    assert OiHash.from_digest(bytearray(32)) == OiHash()
    with pytest.raises(
        ValueError, match=r"^word 7 of digest must be in \[0, 4294967111\), got 4294967111"
    ):
        OiHash.from_digest(bytes(28) + (4294967111).to_bytes(4, "little"))
    with pytest.raises(ValueError, match=r"^digest must have 32 bytes, got 5"):
        OiHash.from_digest(b"short")
    with pytest.raises(TypeError, match=r"^digest must be bytes-like"):
        OiHash.from_digest("text")  # type: ignore[arg-type]


def test_threads_that_share_one_lose_nothing() -> None:
    some = items(200)
    found = OiHash()

    def work() -> None:
        for item in some:
            found.insert(item)
        found.insert_many(some)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == OiHash(some * 8)
