"""The client in memory: the suite of conformance, and what only a mock can do."""

from collections.abc import Callable
from typing import Any

import pytest
from support.memcache_suite import CHECKS

from godropbox.memcache import Item, ResponseStatus, ServerError
from godropbox.memcache.testing import MockClient


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_mock_does_what_the_server_does(check: Callable[[Any], None]) -> None:
    check(MockClient())


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_expiry_on_an_injected_clock() -> None:
    clock = Clock()
    client = MockClient(clock=clock)
    month = 60 * 60 * 24 * 30
    client.set_multi(
        [
            Item("never", b""),
            Item("relative", b"", expire=10),
            Item("month", b"", expire=month),
            Item("absolute", b"", expire=int(clock.now) + 20),
            Item("past", b"", expire=month + 1),
        ]
    )
    keys = ["never", "relative", "month", "absolute", "past"]

    def alive() -> list[str]:
        return [str(key) for key, answer in client.get_multi(keys).items() if answer.found]

    assert alive() == ["never", "relative", "month", "absolute"]
    clock.now += 10
    assert alive() == ["never", "month", "absolute"]
    assert client.touch("never", 5).ok
    clock.now += 10
    assert alive() == ["month"]
    clock.now += month
    assert alive() == []


def test_a_flush_to_come() -> None:
    clock = Clock()
    client = MockClient(clock=clock)
    client.set(Item("a", b"1"))
    assert client.flush(10).ok
    assert client.get("a").found
    clock.now += 10
    assert not client.get("a").found
    client.set(Item("a", b"1"))
    clock.now += 10
    assert client.get("a").found


def test_forced_misses_and_failures() -> None:
    client = MockClient(miss_all_gets=True)
    assert client.set(Item("a", b"1")).ok
    assert client.get("a").status is ResponseStatus.KEY_NOT_FOUND
    client.miss_all_gets = False
    assert client.get("a").value == b"1"
    client.fail_all_sets = True
    response = client.set(Item("a", b"2"))
    assert response.status is ResponseStatus.INTERNAL_ERROR
    assert isinstance(response.error, ServerError)
    assert client.get("a").value == b"1"
    client.fail_everything = True
    for answer in (
        client.get("a"),
        client.get_multi(["a"])["a"],
        client.delete("a"),
        client.touch("a", 1),
        client.increment("a"),
        client.flush(),
        client.version(),
        client.stats(),
    ):
        assert answer.status is ResponseStatus.INTERNAL_ERROR
        assert isinstance(answer.error, ServerError)


def test_a_closed_mock_is_invalid() -> None:
    client = MockClient()
    client.close()
    with pytest.raises(Exception, match="closed"):
        client.get("a")
