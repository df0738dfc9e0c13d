"""A fork while another thread is inside: the child finds no lock taken, and no turn."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from caching.consist_support import Table
from support.caches import CountedStorage, Gate
from support.pools import in_child

from godropbox.caching import CacheOnStorage, CacheOptions, DictStorage, RateLimitedStorage
from godropbox.caching.consistent import ConsistentCacheOnStorage
from godropbox.memcache.testing import MockClient

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Have another thread hold a lock."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            assert over.wait(20)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        assert taken.wait(20)
        try:
            yield
        finally:
            over.set()
        holding.result()


def in_time(work: Callable[[], object]) -> Callable[[], None]:
    """Return `work` as something that fails where it would hang."""

    def run() -> None:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(work).result(20)

    return run


def test_a_child_has_all_turns_of_a_limited_storage() -> None:
    gate = Gate()
    storage = CountedStorage({"a": 1})
    limited: Any = RateLimitedStorage(storage, 1, timeout=0.0)
    parent = os.getpid()
    storage.before = lambda *call: gate.pass_through() if os.getpid() == parent else None
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(limited.get, "a")
        gate.wait_for_someone()
        assert in_child(lambda: limited.get("a")) == 0
        gate.open()
        assert reading.result() == 1
    assert limited.get("a") == 1


def test_an_operation_that_forks_gives_back_its_own_turn() -> None:
    storage = CountedStorage({"a": 1})
    limited: Any = RateLimitedStorage(storage, 1, timeout=0.0)
    statuses: list[int] = []

    def twice() -> None:
        assert limited.get("a") == 1

    def fork(*call: Any) -> None:
        storage.recover()
        statuses.append(in_child(twice))

    storage.before = fork
    assert limited.get("a") == 1
    assert statuses == [0]
    twice()


def test_a_child_invalidates_what_is_in_doubt() -> None:
    """The parent's thread is inside the section that says when, and in the middle of a try."""
    gate = Gate()
    parent = os.getpid()
    cache = CountedStorage({"a": "old"})
    ticks: list[Callable[[], object]] = []

    def clock() -> float:
        for tick in ticks:
            tick()
        return 0.0

    options = CacheOptions(clock=clock, retry_after=0.0)
    layer: Any = CacheOnStorage(cache, DictStorage({"a": "old"}), options)
    cache.fail("set", "delete")
    layer.set("a", "new")
    assert layer.stats().doubts == 1
    cache.recover()
    main = threading.current_thread()

    def wait() -> None:
        if os.getpid() == parent and threading.current_thread() is not main:
            gate.pass_through()

    def child() -> None:
        assert layer.get("a") == "new"
        assert layer.stats().doubts == 0

    for place in ("clock", "cache"):
        gate = Gate()
        ticks[:] = [wait] if place == "clock" else []
        cache.before = lambda *call, place=place: wait() if place == "cache" else None
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(layer.get, "a")
            gate.wait_for_someone()
            assert in_child(in_time(child)) == 0
            gate.open()
            assert reading.result() == "new"
        cache.fail("set", "delete")
        layer.set("a", "new")
        cache.recover()


def test_a_child_counts_for_itself() -> None:
    consistent: Any = ConsistentCacheOnStorage(None, Table(a=b"1"))  # type: ignore[arg-type]
    with held(consistent._lock):
        assert in_child(in_time(consistent.statistics)) == 0
    mock = MockClient()
    with held(mock._lock):
        assert in_child(in_time(lambda: mock.get("a"))) == 0
