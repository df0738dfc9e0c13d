"""Entries that know how fresh they are: early, late and negative ones, by a clock that is set."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.caches import CountedStorage, Gate, at_once
from support.forms import CacheOnStorage, FreshCacheOnStorage
from support.pools import Clock

from godropbox import errors
from godropbox.caching import (
    MISSING,
    CacheOptions,
    Freshness,
    LocalStorage,
)

pytestmark = pytest.mark.usefixtures("form")


class Layers:
    """A layer with clocks that are set, whose storage takes `seconds` for a read."""

    def __init__(self, seconds: float = 0.0, options: Any = None, **freshness: Any) -> None:
        self.clock = Clock()
        self.clock.now = 1_700_000_000.0
        self.loading = Clock()
        self.seconds = seconds
        self.dice = 0.0
        self.cache = CountedStorage()
        self.storage = CountedStorage()
        self.storage.after = lambda *call: self.loading.advance(self.seconds)
        given: dict[str, Any] = {"ttl": 60, "jitter": 0, **freshness}
        self.combined = FreshCacheOnStorage(
            self.cache,
            self.storage,
            Freshness(clock=self.clock, random=lambda: self.dice, **given),
            CacheOptions(clock=self.loading, **(options or {})),
        )

    def reads(self) -> int:
        """Return how often the storage was read since this was last asked."""
        count = sum(name.startswith("get") for name in self.storage.names())
        self.storage.calls.clear()
        return count


def test_an_entry_is_fresh_for_its_time() -> None:
    layers = Layers()
    layers.storage.data["foo"] = 1
    assert layers.combined.get("foo") == 1
    layers.storage.data["foo"] = 2
    layers.clock.advance(59.9)
    assert layers.combined.get("foo") == 1
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1}
    layers.clock.advance(0.1)
    assert layers.combined.get("foo") == 2
    assert layers.combined.stats().hits == 2


def test_jitter_takes_a_random_part_off() -> None:
    layers = Layers(jitter=0.1, beta=0)
    layers.dice = 0.5
    layers.combined.set("foo", 1)
    layers.storage.data["foo"] = 2
    layers.clock.advance(56.9)
    assert layers.combined.get("foo") == 1
    layers.clock.advance(0.2)
    assert layers.combined.get("foo") == 2


# Early: XFetch


@pytest.mark.parametrize("seconds", [0.5, 2.0])
@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("dice", [0.0, 0.5, 0.9, 0.999])
def test_an_entry_is_loaded_early_when_the_dice_say_so(
    seconds: float, beta: float, dice: float
) -> None:
    early = -seconds * beta * math.log(1 - dice)
    for before_its_time, is_due in ((early + 0.01, False), (early - 0.01, dice > 0)):
        layers = Layers(seconds=seconds, beta=beta)
        layers.storage.data["foo"] = 1
        layers.combined.get("foo")
        layers.clock.advance(60 - max(before_its_time, 0.001))
        layers.dice = dice
        layers.storage.data["foo"] = 2
        assert layers.combined.get("foo") == (2 if is_due else 1)
        assert layers.combined.stats().refreshes == is_due


def test_beta_0_loads_nothing_early() -> None:
    layers = Layers(seconds=50, beta=0)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.dice = 1 - 2**-53
    layers.clock.advance(59.9)
    assert layers.combined.get("foo") == 1
    assert layers.reads() == 1


def test_what_was_written_costs_what_the_last_load_cost() -> None:
    layers = Layers(seconds=5)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.combined.set("bar", 1)
    layers.clock.advance(59)
    layers.dice = 0.9
    layers.storage.data["bar"] = 2
    assert layers.combined.get("bar") == 2


@pytest.mark.threads
def test_while_one_loads_early_the_others_are_answered() -> None:
    layers = Layers(seconds=5)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.reads()
    layers.clock.advance(59)
    layers.dice = 0.9
    gate = Gate()
    layers.storage.before = gate.pass_through
    layers.storage.data["foo"] = 2
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(layers.combined.get, "foo")
        gate.wait_for_someone()
        assert [layers.combined.get("foo") for _ in range(9)] == [1] * 9
        assert layers.combined.get_multi(["foo"]) == {"foo": 1}
        gate.open()
        assert leader.result() == 2
    assert layers.combined.get("foo") == 2
    assert layers.reads() == 1


# Late: stale while it is loaded anew


def test_a_stale_entry_is_loaded_anew_by_whoever_finds_it() -> None:
    layers = Layers(stale=30)
    layers.storage.data.update({"foo": 1, "bar": 2})
    layers.combined.get_multi(["foo", "bar"])
    layers.clock.advance(89)
    layers.storage.data.update({"foo": 10, "bar": 20, "zzz": 30})
    assert layers.combined.get("foo") == 10
    assert layers.combined.get_multi(["foo", "bar", "zzz"]) == {"foo": 10, "bar": 20, "zzz": 30}
    assert layers.combined.stats().refreshes == 2


@pytest.mark.threads
def test_the_stale_value_is_returned_while_it_is_loaded_in_the_background() -> None:
    jobs: list[Callable[[], None]] = []
    layers = Layers(stale=30, background=jobs.append)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.reads()
    layers.clock.advance(89)
    layers.storage.data["foo"] = 2
    assert [layers.combined.get("foo") for _ in range(9)] == [1] * 9
    assert layers.combined.get_multi(["foo"]) == {"foo": 1}
    assert len(jobs) == 1
    assert layers.reads() == 0
    jobs[0]()
    assert layers.combined.get("foo") == 2
    assert layers.reads() == 1
    assert layers.combined.stats().refreshes == 1


def test_a_failing_load_leaves_the_stale_value_for_a_while() -> None:
    layers = Layers(stale=30)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.clock.advance(60)
    layers.storage.fail()
    assert layers.combined.get("foo") == 1
    layers.clock.advance(29.9)
    assert layers.combined.get_multi(["foo"]) == {"foo": 1}
    assert layers.combined.stats().refresh_failures == 2
    layers.clock.advance(0.1)
    with pytest.raises(errors.NetworkError):
        layers.combined.get("foo")


@pytest.mark.threads
def test_who_needs_a_key_does_not_wait_for_the_background() -> None:
    jobs: list[Callable[[], None]] = []
    layers = Layers(stale=30, background=jobs.append)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.clock.advance(89)
    layers.combined.get("foo")
    layers.clock.advance(1)
    layers.storage.data["foo"] = 2
    assert layers.combined.get("foo") == 2
    layers.reads()
    jobs[0]()
    assert layers.reads() == 0


@pytest.mark.threads
def test_a_background_that_takes_no_more_work_fails_no_read() -> None:
    def refuses(job: Callable[[], None]) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    layers = Layers(stale=30, background=refuses)
    layers.storage.data["foo"] = 1
    layers.combined.get("foo")
    layers.clock.advance(89)
    assert [layers.combined.get("foo"), layers.combined.get("foo")] == [1, 1]
    assert layers.combined.stats().refresh_failures == 2


@pytest.mark.threads
def test_what_is_written_while_a_load_waits_is_not_loaded_again() -> None:
    jobs: list[Callable[[], None]] = []
    layers = Layers(stale=30, background=jobs.append)
    layers.combined.set("foo", 1)
    layers.clock.advance(89)
    layers.combined.get("foo")
    layers.combined.set("foo", 2)
    jobs[0]()
    assert layers.reads() == 0
    assert layers.combined.get("foo") == 2


@pytest.mark.parametrize("negative_ttl", [0, 5])
def test_a_stale_key_that_the_storage_has_no_more_is_gone(negative_ttl: float) -> None:
    layers = Layers(stale=30, negative_ttl=negative_ttl)
    layers.combined.set("foo", 1)
    layers.clock.advance(61)
    layers.storage.data.clear()
    assert layers.combined.get("foo", 7) == 7
    assert layers.combined.get_multi(["foo"]) == {}
    assert list(layers.cache.data) == (["foo"] if negative_ttl else [])


def test_a_cache_that_cannot_drop_a_stale_key_is_counted() -> None:
    layers = Layers(stale=30)
    layers.combined.set("foo", 1)
    layers.clock.advance(61)
    layers.storage.data.clear()
    layers.cache.fail("delete")
    assert layers.combined.get("foo") is None
    assert layers.combined.stats().cache_failures == 1
    # The old entry is in the cache still, and would be returned while it is stale.
    assert layers.combined.stats().doubts == 1
    layers.storage.data["foo"] = 2
    assert layers.combined.get("foo") == 2


# Negative


def test_without_a_negative_ttl_a_missing_key_is_asked_for_every_time() -> None:
    layers = Layers()
    assert [layers.combined.get("foo"), layers.combined.get("foo", 7)] == [None, 7]
    assert layers.combined.get_multi(["foo"]) == {}
    assert layers.reads() == 3
    assert layers.cache.data == {}


def test_a_missing_key_is_remembered_for_a_time_of_its_own() -> None:
    layers = Layers(negative_ttl=5, stale=30)
    layers.storage.data["bar"] = None
    assert layers.combined.get("foo", 7) == 7
    assert layers.combined.get_multi(["foo", "bar", "zzz"]) == {"bar": None}
    layers.reads()
    layers.storage.data.update({"foo": 1, "zzz": 2})
    layers.clock.advance(4.9)
    assert layers.combined.get("foo", MISSING) is MISSING
    assert layers.combined.get("zzz", 7) == 7
    assert layers.combined.get_multi(["foo", "bar", "zzz"]) == {"bar": None}
    assert layers.reads() == 0
    layers.clock.advance(0.1)
    assert layers.combined.get_multi(["foo", "bar", "zzz"]) == {"foo": 1, "bar": None, "zzz": 2}


def test_a_write_ends_a_negative_entry() -> None:
    layers = Layers(negative_ttl=5)
    layers.combined.get_multi(["foo", "bar"])
    layers.combined.set("foo", 1)
    layers.combined.set_multi({"bar": 2})
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1, "bar": 2}
    layers.combined.delete("foo")
    assert layers.combined.get("foo") is None


@pytest.mark.threads
def test_a_thousand_callers_of_a_missing_key_cost_one_read() -> None:
    layers = Layers(negative_ttl=5)
    assert at_once(1000, lambda _: layers.combined.get("foo", 7)) == [7] * 1000
    assert layers.reads() == 1


@pytest.mark.threads
def test_a_thousand_callers_cost_one_read() -> None:
    layers = Layers()
    layers.storage.data["foo"] = 1
    assert at_once(1000, lambda _: layers.combined.get("foo")) == [1] * 1000
    assert layers.reads() == 1


# Entries


class JsonCache(CountedStorage):
    """A cache that keeps text, as one in a server might."""

    def get(self, key: Any, default: Any = None) -> Any:
        text = super().get(key, MISSING)
        return default if text is MISSING else json.loads(text)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        return {key: json.loads(text) for key, text in super().get_multi(keys).items()}

    def set(self, key: Any, value: Any) -> None:
        super().set(key, json.dumps(value))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        super().set_multi({key: json.dumps(value) for key, value in items.items()})


def test_entries_survive_any_serialiser() -> None:
    cache, storage = JsonCache(), CountedStorage({"foo": [1, None]})
    layer = FreshCacheOnStorage(cache, storage, Freshness(ttl=60, negative_ttl=5, beta=0))
    for _ in range(2):
        assert layer.get("foo") == [1, None]
        assert layer.get_multi(["foo", "bar"]) == {"foo": [1, None]}
        assert layer.get("bar") is None
    assert storage.calls == [("get", "foo"), ("get_multi", ["bar"])]


class OddValue:
    """Which cannot be compared, as an array cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]


class OddList(list[Any]):
    def __len__(self) -> int:
        raise ValueError("no length")


MARK = "godropbox.fresh.1"


@pytest.mark.parametrize(
    "alien",
    [
        (OddValue(), 1, 2, 3),
        OddList([MARK, 1, 2, 3]),
        (MARK, "soon", 1.0, 5),
        (MARK, None, 1.0, 5),
        (MARK, OddValue(), 1.0, 5),
        (MARK, 10**400, 1.0, 5),
        (MARK, -(10**400), 1.0, 5),
        (MARK, 1e12, "long", 5),
        (MARK, 1e12, 10**400, 5),
        [MARK, 1e12, [1], 5],
    ],
    ids=lambda alien: type(alien).__name__,
)
def test_an_entry_with_odd_parts_is_a_miss(alien: Any) -> None:
    layers = Layers()
    layers.storage.data["foo"] = 1
    layers.cache.data["foo"] = alien
    assert layers.combined.get_multi(["foo"]) == {"foo": 1}
    layers.cache.data["foo"] = alien
    assert layers.combined.get("foo") == 1
    assert layers.combined.stats().cache_failures == 0


@pytest.mark.parametrize(
    "alien", [5, "text", None, [], [1, 2, 3], (1, 2, 3, 4), {"a": 1}], ids=repr
)
def test_what_is_no_entry_is_a_miss(alien: Any) -> None:
    layers = Layers()
    layers.storage.data["foo"] = 1
    layers.cache.data["foo"] = alien
    assert layers.combined.get("foo") == 1
    layers.cache.data["foo"] = alien
    assert layers.combined.get_multi(["foo"]) == {"foo": 1}


def test_a_dead_cache_fails_no_read_and_leaves_nothing_old() -> None:
    layers = Layers(stale=30)
    layers.combined.set("foo", 1)
    layers.cache.fail()
    assert layers.combined.get("foo") == 1
    assert layers.combined.get_multi(["foo", "bar"]) == {"foo": 1}
    layers.combined.set("foo", 2)
    layers.cache.recover()
    assert layers.combined.get("foo") == 2
    layers.loading.advance(1)
    assert layers.combined.get("foo") == 2
    assert layers.combined.stats().doubts == 0
    assert layers.combined.stats().cache_failures == 4


def test_the_storage_can_be_a_layer() -> None:
    storage = CountedStorage({"foo": 1})
    tiers = FreshCacheOnStorage(
        LocalStorage(10), CacheOnStorage(CountedStorage(), storage), Freshness(ttl=60)
    )
    assert [tiers.get("foo"), tiers.get("foo")] == [1, 1]
    assert storage.names() == ["get"]


IMPLAUSIBLE = (
    "{} must be under 10**9 seconds (31 years), got {}: it counts from now and is not a Unix time"
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ttl": 0}, "ttl must be over 0 seconds, got 0"),
        ({"ttl": 10**9}, IMPLAUSIBLE.format("ttl", "1000000000")),
        ({"ttl": 1, "stale": 1.8e9}, IMPLAUSIBLE.format("stale", "1800000000.0 (float)")),
        ({"ttl": 1, "negative_ttl": 10**12}, IMPLAUSIBLE.format("negative_ttl", "1000000000000")),
        ({"ttl": math.inf}, "ttl must be over 0 seconds, got inf (float)"),
        ({"ttl": "x"}, "ttl must be a number of seconds, got 'x' (str)"),
        ({"ttl": 1, "stale": -1}, "stale must be at least 0 seconds, got -1"),
        ({"ttl": 1, "negative_ttl": -1}, "negative_ttl must be at least 0 seconds, got -1"),
        ({"ttl": 1, "jitter": 2}, "jitter must be in [0, 1], got 2"),
        ({"ttl": 1, "beta": -1}, "beta must be in [0, inf), got -1"),
    ],
)
def test_bad_freshness(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Freshness(**given)
    assert str(caught.value) == message
