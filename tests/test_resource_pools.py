"""Pools of many locations: each on its own, or any of them in turn."""

import random
import threading
from typing import Any

import pytest
from support.pools import Handle, Opener, options

from godropbox.errors import DropboxError, NetworkError
from godropbox.resource_pool import (
    ForeignHandleError,
    LameDuckError,
    ManagedHandle,
    MultiResourcePool,
    OpenError,
    PoolExhaustedError,
    PoolStats,
    PoolTimeoutError,
    RoundRobinResourcePool,
    SimpleResourcePool,
    UnknownLocationError,
)


def multi(opener: Opener, *locations: Any, **more: Any) -> MultiResourcePool:
    return MultiResourcePool(options(opener, **more), locations)


def test_each_location_has_its_own() -> None:
    opener = Opener()
    pool = multi(opener, "foo", "bar", max_active=1)
    one, two = pool.get("foo"), pool.get("bar")
    assert [one.handle.location, two.handle.location] == ["foo", "bar"]
    with pytest.raises(PoolExhaustedError, match="'foo'"):
        pool.get("foo")
    pool.release(one)
    assert (pool.num_active, pool.num_idle) == (1, 1)
    pool.discard(two)
    assert (pool.num_active, pool.num_idle) == (0, 1)
    assert pool.get_idle("bar") is None
    stats = pool.stats()
    assert (stats.opens, stats.closes, stats.high_water, stats.exhausted) == (2, 1, 1, 1)
    assert {k: v.idle for k, v in pool.stats_by_location().items()} == {"foo": 1, "bar": 0}
    assert repr(pool) == "<MultiResourcePool of 2 locations: 0 active, 1 idle>"


def test_a_removed_location_lends_no_more_and_its_handles_come_home() -> None:
    opener = Opener()
    pool = multi(opener, "foo", "bar")
    idle, held = pool.get("foo"), pool.get("foo")
    idle.release()
    assert pool.unregister("foo")
    assert not pool.unregister("foo")
    assert opener.still_open == [2]
    with pytest.raises(UnknownLocationError, match="'foo' is not a location of the pool"):
        pool.get("foo")
    assert pool.register("foo")
    assert not pool.register("foo")
    pool.get("foo").release()
    pool.release(held)
    assert (opener.still_open, pool.num_idle) == ([3], 1)
    assert pool.locations() == ["bar", "foo"]


def test_all_locations_change_in_one_step() -> None:
    opener = Opener()
    pool = multi(opener, "a", "b", "c")
    for location in ("a", "b", "c"):
        pool.get(location).release()
    pool.set_locations(["d", "c", "b"])
    assert pool.locations() == ["b", "c", "d"]
    assert opener.still_open == [2, 3]
    with pool.get("c") as handle:
        assert handle.handle.number == 3


@pytest.mark.parametrize("location", ["", None])
@pytest.mark.parametrize("kind", [MultiResourcePool, RoundRobinResourcePool])
def test_an_empty_location_is_refused(kind: Any, location: Any) -> None:
    with pytest.raises(ValueError, match="location must not be empty, got"):
        kind(options(Opener())).register(location)


@pytest.mark.parametrize("kind", [MultiResourcePool, RoundRobinResourcePool])
def test_a_retired_pool_takes_no_locations(kind: Any) -> None:
    opener = Opener()
    pool = kind(options(opener), ["foo"])
    arguments = ["foo"] if kind is MultiResourcePool else []
    handle = pool.get(*arguments)
    pool.enter_lame_duck_mode()
    assert pool.is_lame_duck
    with pytest.raises(LameDuckError):
        pool.register("bar")
    with pytest.raises(LameDuckError):
        pool.get(*arguments)
    handle.release()
    assert (pool.num_idle, opener.still_open) == (0, [])


@pytest.mark.parametrize("kind", [MultiResourcePool, RoundRobinResourcePool])
def test_a_foreign_handle_is_refused(kind: Any) -> None:
    pool, other = kind(options(Opener()), ["foo"]), multi(Opener(), "foo")
    with other.get("foo") as handle:
        for end in (pool.release, pool.discard):
            with pytest.raises(ForeignHandleError, match="belongs to another pool"):
                end(handle)
            with pytest.raises(TypeError, match="handle must be a ManagedHandle, got int"):
                end(3)


class Partly(Opener):
    """Opens all but what is down."""

    down: Any = None

    def __call__(self, location: Any) -> Handle:
        if location == self.down:
            raise OSError("down")
        return super().__call__(location)


def test_one_of_many_that_fails_costs_itself_only() -> None:
    opener = Partly()
    opener.down = "b"
    pool = multi(opener, "a", "b", "c", max_active=1)
    with pool.get("c"):
        found = pool.get_many(["c", "x", "b", "a"], timeout=0)
    assert list(found) == ["c", "x", "b", "a"]
    kinds = [type(each) for each in found.values()]
    assert kinds == [PoolExhaustedError, UnknownLocationError, OpenError, ManagedHandle]
    found["a"].release()  # type: ignore[union-attr]
    assert pool.num_active == 0
    opener.down, opener.failure = None, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        pool.get_many(["a", "c", "b"])
    assert pool.num_active == 0


def test_gets_of_many_never_wait_for_each_other_in_a_circle() -> None:
    pool = multi(Opener(), *range(4), max_active=1)
    failures: list[DropboxError] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(50):
            for each in pool.get_many(draw.sample(range(4), 3), timeout=30).values():
                if isinstance(each, ManagedHandle):
                    each.release()
                else:
                    failures.append(each)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (pool.num_active, pool.num_idle) == (0, 4)


# Any location


def ring(opener: Opener, *locations: Any, **more: Any) -> RoundRobinResourcePool:
    given = options(opener, random=random.Random(7).random, **more)
    return RoundRobinResourcePool(given, locations)


def lent(pool: RoundRobinResourcePool, count: int) -> list[Any]:
    found = []
    for _ in range(count):
        with pool.get() as handle:
            found.append(handle.location)
    return found


def test_locations_are_lent_in_turn() -> None:
    pool = ring(Opener(), "foo", "bar", "abc", "zzz")
    first = lent(pool, 4)
    assert sorted(first) == ["abc", "bar", "foo", "zzz"]
    assert lent(pool, 20) == first * 5
    pool.unregister("abc")
    first = lent(pool, 3)
    assert sorted(first) == ["bar", "foo", "zzz"]
    assert lent(pool, 3) == first


def test_pools_of_the_callers_are_lent_in_turn() -> None:
    own = {name: SimpleResourcePool(options(Opener()), name) for name in ("foo", "bar")}
    pool = RoundRobinResourcePool(options(Opener()), ["abc"], pools=own)
    assert sorted(lent(pool, 3)) == ["abc", "bar", "foo"]
    handle = own["foo"].get()
    pool.release(handle)
    assert own["foo"].num_idle == 1
    with pytest.raises(TypeError, match="pools must hold SimpleResourcePools, got int"):
        RoundRobinResourcePool(options(Opener()), pools={"foo": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="location must not be empty"):
        RoundRobinResourcePool(options(Opener()), pools={"": own["foo"]})


def test_what_has_none_left_is_passed_over() -> None:
    pool = ring(Opener(), "foo", "bar", "abc", "zzz", max_active=1)
    handles = [pool.get() for _ in range(4)]
    places = [handle.location for handle in handles]
    handles[1].release()
    again = pool.get()
    handles[3].discard()
    last = pool.get()
    assert [again.location, last.location] == [places[1], places[3]]
    with pytest.raises(PoolExhaustedError, match="none of 4 locations gave a handle") as caught:
        pool.get()
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == 4
    with pytest.raises(PoolTimeoutError):
        pool.get(timeout=1e-6)
    for handle in (handles[0], handles[2], again, last):
        handle.release()


def test_what_fails_is_passed_over() -> None:
    opener = Partly()
    pool = ring(opener, "foo", "bar", "abc")
    opener.down = "bar"
    assert sorted(set(lent(pool, 12))) == ["abc", "foo"]
    opener.failure = NetworkError("all down")
    pool.set_locations(["x", "y"])
    with pytest.raises(OpenError, match="none of 2 locations gave a handle"):
        pool.get()
    pool.set_locations([])
    with pytest.raises(UnknownLocationError, match="the pool has no locations"):
        pool.get()


def test_totals_take_the_highest_high_water() -> None:
    pool = multi(Opener(), "a", "b")
    for count, location in ((3, "a"), (2, "b")):
        for handle in [pool.get(location) for _ in range(count)]:
            handle.release()
    assert (pool.stats().high_water, pool.stats().gets) == (3, 5)
    assert PoolStats.total([]).high_water == 0
    assert pool.reap() == 0
    assert pool.loans() == []
