"""The storage in this process, by either engine: bounded, timed, and what is not installed."""

import subprocess
import sys
from typing import Any, Literal

import pytest
from support.caches import at_once
from support.pools import Clock

from godropbox.caching import MISSING, LocalStorage

ENGINES: list[Literal["cachebox", "ordered"]] = ["cachebox", "ordered"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_get_and_set(engine: Any) -> None:
    storage = LocalStorage(10, engine=engine)
    storage.set("foo", 1)
    storage.set_multi({"bar": 2, "zzz": None})
    assert storage.engine == engine
    assert (storage.get("foo"), storage.get("nothing"), storage.get("nothing", 7)) == (1, None, 7)
    assert storage.get("zzz", MISSING) is None
    assert storage.get_multi(["foo", "nothing", "bar", "zzz"]) == {"foo": 1, "bar": 2, "zzz": None}
    storage.set("foo", 5)
    assert storage.get("foo") == 5


def test_delete_and_flush(engine: Any) -> None:
    storage = LocalStorage(10, engine=engine)
    storage.set_multi({"foo": 1, "bar": 2, "zzz": 3, "www": 4})
    storage.delete("foo")
    storage.delete("foo")
    storage.delete_multi(["bar", "nothing"])
    assert storage.get_multi(["foo", "bar", "zzz", "www"]) == {"zzz": 3, "www": 4}
    storage.flush()
    assert storage.get_multi(["zzz", "www"]) == {}
    assert len(storage) == 0


def test_what_was_not_used_for_longest_goes_first(engine: Any) -> None:
    storage = LocalStorage(3, engine=engine)
    storage.set_multi({"a": 1, "b": 2, "c": 3})
    storage.get("a")
    storage.get_multi(["b"])
    storage.set("d", 4)
    storage.set("b", 5)
    storage.set("e", 6)
    assert len(storage) == storage.maxsize == 3
    assert storage.get_multi(["a", "b", "c", "d", "e"]) == {"b": 5, "d": 4, "e": 6}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("random", "life"), [(0.0, 60.0), (0.5, 57.0), (1.0, 54.0)])
def test_a_value_lives_for_its_time_less_a_random_part(
    engine: Any, random: float, life: float
) -> None:
    clock = Clock()
    storage = LocalStorage(
        10, ttl=60, jitter=0.1, engine=engine, clock=clock, random=lambda: random
    )
    storage.set("a", 1)
    storage.set_multi({"b": None})
    clock.advance(life - 0.001)
    assert (storage.get("a"), storage.get("b", MISSING)) == (1, None)
    assert storage.get_multi(["a", "b", "c"]) == {"a": 1, "b": None}
    storage.set("c", 3)
    clock.advance(0.001)
    assert (storage.get("a"), storage.get("b", 7)) == (None, 7)
    assert storage.get_multi(["a", "b", "c"]) == {"c": 3}


def test_values_are_those_that_were_given(engine: Any) -> None:
    for ttl in (None, 60):
        storage = LocalStorage(10, ttl=ttl, engine=engine)
        value: list[int] = []
        storage.set("a", value)
        assert storage.get("a") is value
        assert storage.get_multi(["a"])["a"] is value


def test_threads_may_share_it(engine: Any) -> None:
    storage = LocalStorage(50, ttl=60, engine=engine)

    def work(number: int) -> bool:
        for key in range(300):
            storage.set(key, key)
            storage.set_multi({key + 1: key + 1})
            if storage.get(key, key) != key or storage.get_multi([key, -1]) not in ({key: key}, {}):
                return False
            storage.delete(key - number)
        return len(storage) <= 50

    assert at_once(8, work) == [True] * 8


def test_auto_is_cachebox_where_there_is_one() -> None:
    assert LocalStorage(1).engine == "cachebox"


WITHOUT = """
import sys
sys.modules["cachebox"] = None  # so that importing it fails
from godropbox.caching import LocalStorage
storage = LocalStorage(2)
storage.set_multi({"a": 1, "b": 2, "c": 3})
assert storage.engine == "ordered" and storage.get_multi("abc") == {"b": 2, "c": 3}
try:
    LocalStorage(2, engine="cachebox")
except ImportError as error:
    print(error)
"""


def test_without_cachebox_auto_does_the_same_and_asking_for_it_says_what_to_type() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    expected = "engine='cachebox' needs cachebox: pip install 'godropbox[local]'\n"
    assert done.stdout == expected, done.stderr


def test_bad_arguments() -> None:
    for maxsize in (0, -1, 1 << 31):
        with pytest.raises(ValueError, match=r"maxsize must be an int in \[1, 2\*\*31\), got"):
            LocalStorage(maxsize)
    with pytest.raises(ValueError, match="ttl must be over 0 seconds or None, got 0"):
        LocalStorage(1, ttl=0)
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
    with pytest.raises(ValueError, match="engine must be 'auto', 'cachebox' or 'ordered', got 'x'"):
        LocalStorage(1, engine="x")  # type: ignore[arg-type]


def test_a_key_that_cannot_be_hashed_is_refused(engine: Any) -> None:
    storage = LocalStorage(1, engine=engine)
    for call in (lambda: storage.get([]), lambda: storage.set([], 1), lambda: storage.delete([])):
        with pytest.raises(TypeError, match="unhashable"):
            call()


def test_repr() -> None:
    assert repr(LocalStorage(9, engine="ordered")) == "<LocalStorage of 0 of 9 values, ordered>"
    assert repr(LocalStorage(9, ttl=60)) == "<LocalStorage of 0 of 9 values, 60 s each, cachebox>"
