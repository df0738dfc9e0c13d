"""The short form of the leak check: resident memory stays flat, for every path in its table."""

import inspect
from types import ModuleType

import pytest
from leaks import ALLOWED, CALLS, CASES, Case, fails, growth

from godropbox import hash2, murmur3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory_stays_flat(case: Case) -> None:
    assert growth(case.call, max(1, int(CALLS * case.share))) <= ALLOWED


def test_a_leak_is_seen() -> None:
    held: list[bytes] = []
    assert growth(lambda: held.append(bytes(200)), 10_000) > ALLOWED


def test_a_case_that_should_fail_and_does_not_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"consistent_hash\(1, 2\): ValueError is not raised"):
        fails(ValueError, hash2.consistent_hash, 1, 2).call()


@pytest.mark.parametrize("module", [hash2, murmur3], ids=lambda module: module.__name__)
def test_every_public_function_has_a_case(module: ModuleType) -> None:
    names = [name for name in module.__all__ if inspect.isroutine(getattr(module, name))]
    assert names
    for name in names:
        assert any(case.name.startswith(name) for case in CASES), name
