"""A storage that is asked by so many at once: who waits, who gives up, and whole batches."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.caches import CountedStorage, Gate, at_once
from support.forms import RateLimitedStorage
from support.pools import until

from godropbox.caching import Storage, StorageBusyError

pytestmark = pytest.mark.usefixtures("form")


def test_every_operation_reaches_the_storage_as_it_is() -> None:
    """The original passes the list of keys on as one key."""
    storage = CountedStorage()
    limited: Storage[str, int] = RateLimitedStorage(storage, 1)
    limited.set("a", 1)
    limited.set_multi({"b": 2, "c": 3})
    assert limited.get("a") == 1
    assert limited.get("z", 7) == 7
    assert limited.get_multi(key for key in ("a", "b", "z")) == {"a": 1, "b": 2}
    limited.delete("a")
    limited.delete_multi(key for key in ("b", "z"))
    assert storage.data == {"c": 3}
    limited.flush()
    assert storage.calls == [
        ("set", "a"),
        ("set_multi", ["b", "c"]),
        ("get", "a"),
        ("get", "z"),
        ("get_multi", ["a", "b", "z"]),
        ("delete", "a"),
        ("delete_multi", ["b", "z"]),
        ("flush",),
    ]


@pytest.mark.threads
def test_no_more_than_so_many_are_in_at_once() -> None:
    storage = CountedStorage()
    limited = RateLimitedStorage(storage, 3)
    lock = threading.Lock()
    inside: list[int] = []
    most: list[int] = []
    full = threading.Event()

    def enter(*_: Any) -> None:
        with lock:
            inside.append(1)
            most.append(len(inside))
            if len(inside) == 3:
                full.set()
        assert full.wait(10)

    def leave(*_: Any) -> None:
        with lock:
            inside.pop()

    storage.before, storage.after = enter, leave
    at_once(12, lambda number: limited.get_multi([number]) if number % 2 else limited.get(number))
    assert max(most) == 3
    assert len(most) == 12


@pytest.mark.threads
def test_who_has_waited_long_enough_gives_up_and_did_nothing() -> None:
    storage = CountedStorage()
    limited = RateLimitedStorage(storage, 1, timeout=0)
    gate = Gate()
    storage.before = gate.pass_through
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(limited.set, "a", 1)
        gate.wait_for_someone()
        with pytest.raises(StorageBusyError) as caught:
            limited.set("b", 2)
        gate.open()
        first.result()
    assert caught.value.message == (
        "1 operations are running, the most that max_concurrency allows, "
        "and no turn came within 0 s"
    )
    assert storage.data == {"a": 1}
    limited.set("b", 2)
    assert storage.data == {"a": 1, "b": 2}


@pytest.mark.threads
def test_who_may_wait_gets_a_turn() -> None:
    storage = CountedStorage()
    limited = RateLimitedStorage(storage, 1)
    gate = Gate()
    storage.before = gate.pass_through
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(limited.set, "a", 1)
        gate.wait_for_someone()
        second = threads.submit(limited.set, "b", 2)
        until(second.running)
        gate.open()
        first.result()
        second.result()
    assert storage.data == {"a": 1, "b": 2}


@pytest.mark.parametrize("error", [ConnectionError("no such host"), KeyboardInterrupt()], ids=repr)
def test_an_operation_that_raises_gives_up_its_place(error: BaseException) -> None:
    storage = CountedStorage()
    limited = RateLimitedStorage(storage, 1, timeout=0)
    storage.fail(error=error)
    for _ in range(3):
        with pytest.raises(type(error)):
            limited.get_multi(["a"])
    storage.recover()
    assert limited.get("a") is None


def test_arguments_and_repr() -> None:
    storage = CountedStorage()
    for limit in (0, -1, 1.5, "3"):
        with pytest.raises(
            (TypeError, ValueError), match=r"max_concurrency must be an int in \[1,"
        ):
            RateLimitedStorage(storage, limit)
    with pytest.raises(ValueError, match="timeout must be at least 0 seconds or None, got -1"):
        RateLimitedStorage(storage, 1, timeout=-1)
    limited = RateLimitedStorage(storage, 3)
    assert limited.storage is storage
    assert repr(limited) == "<RateLimitedStorage of <DictStorage of 0 items>, 3 at once>"


@pytest.mark.parametrize("timeout", ["5", True])
def test_a_timeout_that_is_no_number_is_refused(timeout: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
        RateLimitedStorage(CountedStorage(), 1, timeout=timeout)
