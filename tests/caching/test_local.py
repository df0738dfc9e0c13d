"""The storage in this process: bounded, timed, and safe to use from whatever code it runs."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.caches import at_once
from support.memory import let_go
from support.pools import Clock, fork

from godropbox.caching import MISSING, LocalStorage


def test_get_and_set() -> None:
    storage = LocalStorage(10)
    storage.set("foo", 1)
    storage.set_multi({"bar": 2, "zzz": None})
    assert (storage.get("foo"), storage.get("nothing"), storage.get("nothing", 7)) == (1, None, 7)
    assert storage.get("zzz", MISSING) is None
    assert storage.get_multi(["foo", "nothing", "bar", "zzz"]) == {"foo": 1, "bar": 2, "zzz": None}
    storage.set("foo", 5)
    assert storage.get("foo") == 5


def test_delete_and_flush() -> None:
    storage = LocalStorage(10)
    storage.set_multi({"foo": 1, "bar": 2, "zzz": 3, "www": 4})
    storage.delete("foo")
    storage.delete("foo")
    storage.delete_multi(["bar", "nothing"])
    assert storage.get_multi(["foo", "bar", "zzz", "www"]) == {"zzz": 3, "www": 4}
    storage.flush()
    assert storage.get_multi(["zzz", "www"]) == {}
    assert len(storage) == 0


def test_what_was_not_used_for_longest_goes_first() -> None:
    storage = LocalStorage(3)
    storage.set_multi({"a": 1, "b": 2, "c": 3})
    storage.get("a")
    storage.get_multi(["b"])
    storage.set("d", 4)
    storage.set("b", 5)
    storage.set("e", 6)
    assert len(storage) == storage.maxsize == 3
    assert storage.get_multi(["a", "b", "c", "d", "e"]) == {"b": 5, "d": 4, "e": 6}


@pytest.mark.parametrize(("random", "life"), [(0.0, 60.0), (0.5, 57.0), (1.0, 54.0)])
def test_a_value_lives_for_its_time_less_a_random_part(random: float, life: float) -> None:
    clock = Clock()
    storage = LocalStorage(10, ttl=60, jitter=0.1, clock=clock, random=lambda: random)
    storage.set("a", 1)
    storage.set_multi({"b": None})
    clock.advance(life - 0.001)
    assert (storage.get("a"), storage.get("b", MISSING)) == (1, None)
    assert storage.get_multi(["a", "b", "c"]) == {"a": 1, "b": None}
    storage.set("c", 3)
    clock.advance(0.001)
    assert (storage.get("a"), storage.get("b", 7)) == (None, 7)
    assert storage.get_multi(["a", "b", "c"]) == {"c": 3}


def test_values_are_those_that_were_given() -> None:
    for ttl in (None, 60):
        storage = LocalStorage(10, ttl=ttl)
        value: list[int] = []
        storage.set("a", value)
        assert storage.get("a") is value
        assert storage.get_multi(["a"])["a"] is value


def test_threads_may_share_it() -> None:
    storage = LocalStorage(50, ttl=60)

    def work(number: int) -> bool:
        for key in range(300):
            storage.set(key, key)
            storage.set_multi({key + 1: key + 1})
            if storage.get(key, key) != key or storage.get_multi([key, -1]) not in ({key: key}, {}):
                return False
            storage.delete(key - number)
        return len(storage) <= 50

    assert at_once(8, work) == [True] * 8


def test_bad_arguments() -> None:
    for maxsize in (0, -1, 1 << 31):
        with pytest.raises(ValueError, match=r"maxsize must be an int in \[1, 2\*\*31\), got"):
            LocalStorage(maxsize)
    with pytest.raises(ValueError, match="ttl must be over 0 seconds or None, got 0"):
        LocalStorage(1, ttl=0)
    with pytest.raises(ValueError, match=r"ttl must be under 10\*\*9 seconds \(31 years\), got 18"):
        LocalStorage(1, ttl=1_800_000_000)
    with pytest.raises(ValueError, match=r"jitter must be in \[0, 1\], got 1.5"):
        LocalStorage(1, ttl=1, jitter=1.5)
    for wrong in (1.5, "1", None):
        with pytest.raises(TypeError, match=r"maxsize must be an int in \[1, 2\*\*31\), got"):
            LocalStorage(wrong)  # type: ignore[arg-type]
    for wrong in ("1", True):
        with pytest.raises(TypeError, match="ttl must be over 0 seconds or None, got"):
            LocalStorage(1, ttl=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"jitter must be in \[0, 1\], got"):
            LocalStorage(1, ttl=1, jitter=wrong)  # type: ignore[arg-type]


def test_a_key_that_cannot_be_hashed_is_refused() -> None:
    storage = LocalStorage(1)
    for call in (lambda: storage.get([]), lambda: storage.set([], 1), lambda: storage.delete([])):
        with pytest.raises(TypeError, match="unhashable"):
            call()


def test_repr() -> None:
    assert repr(LocalStorage(9)) == "<LocalStorage of 0 of 9 values>"
    assert repr(LocalStorage(9, ttl=60)) == "<LocalStorage of 0 of 9 values, 60 s each>"


class Key:
    """A key whose hash and comparison run what they are told to; all of them collide."""

    def __init__(self, name: str, then: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.then = then

    def __hash__(self) -> int:
        self.then()
        return 7

    def __eq__(self, other: object) -> bool:
        self.then()
        return isinstance(other, Key) and other.name == self.name


class Value:
    """A value whose end runs what it is told to."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.then = then

    def __del__(self) -> None:
        self.then()


TTLS = [None, 60.0]

USES: dict[str, Callable[[LocalStorage, Any], object]] = {
    "get": lambda storage, key: storage.get(key),
    "get_multi": lambda storage, key: storage.get_multi([key]),
    "set": lambda storage, key: storage.set(key, 1),
    "set_multi": lambda storage, key: storage.set_multi({key: 1}),
    "delete": lambda storage, key: storage.delete(key),
    "delete_multi": lambda storage, key: storage.delete_multi([key]),
    "flush": lambda storage, key: storage.flush(),
    "len": lambda storage, key: len(storage),
}


def finished(work: Callable[[], object]) -> None:
    """Run `work` in a thread, so that one that waits for itself fails instead of hanging."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for itself"
    assert failures == []


@pytest.mark.parametrize("ttl", TTLS)
@pytest.mark.parametrize("outer", USES)
@pytest.mark.parametrize("inner", USES)
def test_hashing_and_comparing_a_key_may_use_the_storage(
    outer: str, inner: str, ttl: float | None
) -> None:
    storage = LocalStorage(3, ttl=ttl)
    entered: list[str] = []

    def use() -> None:
        if len(entered) < 50 and threading.current_thread() is not threading.main_thread():
            entered.append(inner)
            USES[inner](storage, "x")
            USES[inner](storage, Key("d"))

    for name in "abc":
        storage.set(Key(name, use), name)
    finished(lambda: USES[outer](storage, Key("b", use)))
    assert entered or outer in ("flush", "len")
    assert len(storage) <= 3
    still_works(storage)


@pytest.mark.parametrize("ttl", TTLS)
@pytest.mark.parametrize("inner", USES)
@pytest.mark.parametrize("way", ["replaced", "evicted", "deleted", "flushed", "collected"])
def test_the_end_of_a_value_may_use_the_storage(way: str, inner: str, ttl: float | None) -> None:
    storage = LocalStorage(3, ttl=ttl)
    ended: list[str] = []

    def use() -> None:
        ended.append(way)
        USES[inner](storage, "other")

    def work() -> None:
        for name in "abc":
            storage.set(name, Value(use))
        if way == "replaced":
            storage.set("a", 1)
        elif way == "evicted":
            storage.set_multi({"d": 1, "e": 2})
        elif way == "deleted":
            storage.delete("a")
        elif way == "flushed":
            storage.flush()
        else:
            cycle: list[Any] = [Value(use)]
            cycle.append(cycle)
            storage.set("a", cycle)
            del cycle
            storage.delete("a")
            gc.collect()
        let_go()

    finished(work)
    assert ended
    assert len(storage) <= 3
    still_works(storage)


def still_works(storage: LocalStorage) -> None:
    """See that the storage is whole: it keeps the last three, and lets the others go."""
    names = [f"after-{i}" for i in range(10)]
    for i, name in enumerate(names):
        storage.set(name, i)
        storage.get(names[0])
    assert len(storage) == 3
    assert storage.get_multi(names) == {names[0]: 0, names[8]: 8, names[9]: 9}
    storage.flush()
    assert len(storage) == 0
    assert storage.get_multi(names) == {}


@pytest.mark.parametrize("ttl", TTLS)
def test_a_comparison_that_waits_for_another_thread_holds_nobody_up(ttl: float | None) -> None:
    storage = LocalStorage(3, ttl=ttl)
    inside, over = threading.Event(), threading.Event()

    def wait() -> None:
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            assert over.wait(20)

    storage.set(Key("a", wait), 1)
    thread = threading.Thread(target=lambda: storage.set(Key("b"), 2), daemon=True)
    thread.start()
    assert inside.wait(20)
    done: list[Any] = []

    def others() -> None:
        storage.set("c", 3)
        done.append(storage.get("c"))
        storage.delete("c")

    other = threading.Thread(target=others, daemon=True)
    other.start()
    other.join(10)
    over.set()
    thread.join(20)
    assert done == [3]
    assert storage.get_multi([Key("a"), Key("b"), "c"]) == {Key("a"): 1, Key("b"): 2}


def test_a_key_that_raises_leaves_the_storage_whole() -> None:
    storage = LocalStorage(3)
    bad = False

    def fail() -> None:
        if bad:
            raise RuntimeError("this key is bad")

    storage.set(Key("a", fail), 1)
    storage.set_multi({"b": 2, "c": 3})
    bad = True
    with pytest.raises(RuntimeError, match="this key is bad"):
        storage.set("d", 4)
    with pytest.raises(RuntimeError, match="this key is bad"):
        storage.get(Key("a"))
    bad = False
    storage.set("e", 5)
    assert len(storage) == 3
    still_works(storage)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_a_fork_in_the_middle_of_another_threads_operation_leaves_the_child_a_whole_one() -> None:
    storage = LocalStorage(3)
    inside, over = threading.Event(), threading.Event()
    parent = os.getpid()

    def wait() -> None:
        if os.getpid() == parent and threading.current_thread() is not threading.main_thread():
            inside.set()
            assert over.wait(20)

    storage.set(Key("a", wait), 1)
    thread = threading.Thread(target=lambda: storage.set(Key("b"), 2), daemon=True)
    thread.start()
    assert inside.wait(20)
    child = fork()
    if child == 0:
        status = 1
        try:
            finished(lambda: still_works(storage))
            status = 0
        finally:
            os._exit(status)
    over.set()
    thread.join(20)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_let_go_is_freed_at_once() -> None:
    class Thing:
        """Anything that can be referred to weakly."""

    gc.disable()
    try:
        storage = LocalStorage(2)
        refs = []
        for name in ("a", "b", "c", "d", "b", "d"):
            value = Thing()
            refs.append(weakref.ref(value))
            storage.set(name, value)
            del value
        let_go()
        assert [ref() is not None for ref in refs] == [False, False, False, False, True, True]
        storage.delete("b")
        let_go()
        assert refs[4]() is None
        del storage
        let_go()
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            gc.collect()  # only the collector frees a storage that threads share without a lock
        assert refs[5]() is None
    finally:
        gc.enable()


def test_a_map_that_was_never_begun_is_freed() -> None:
    code = (
        "from godropbox.caching.local import RecentMap as M; del [M.__new__(M)][0]; print('freed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "freed\n", done
