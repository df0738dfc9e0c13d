"""What a pool does besides lending: checks, reaping, tracking, forks, and many locations."""

import gc
import os
import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.pools import Clock, Handle, Opener, in_line, options, until

from godropbox.errors import DropboxError, NetworkError
from godropbox.resource_pool import (
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    ManagedHandle,
    MultiResourcePool,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolStats,
    PoolTimeoutError,
    RoundRobinResourcePool,
    SimpleResourcePool,
    UnknownLocationError,
)

# Checks, lifetimes, the reaper


def healthy(handle: Handle) -> bool:
    if handle.location == "broken":
        raise OSError("the check itself failed")
    return handle.is_healthy


def test_an_unhealthy_handle_is_closed_and_the_next_one_taken() -> None:
    opener = Opener()
    pool = SimpleResourcePool(options(opener, check=healthy), "bar")
    for handle in [pool.get() for _ in range(3)]:
        handle.release()
    opener.handles[1].is_healthy = opener.handles[2].is_healthy = False
    with pool.get() as handle:
        assert handle.handle.number == 1
        assert pool.num_active == 1
    assert opener.still_open == [1]
    assert pool.stats().unhealthy == 2
    assert pool.get_idle() is None  # it would have to be checked


def test_a_check_that_fails_is_logged_and_the_handle_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opener = Opener()
    pool = SimpleResourcePool(options(opener, check=healthy, max_active=1), "broken")
    pool.get().release()
    with pool.get() as handle:
        assert handle.handle.number == 2
    assert "checking a handle failed: OSError('the check itself failed')" in caplog.text


def test_a_check_that_is_interrupted_discards() -> None:
    opener = Opener()

    def check(_: Handle) -> bool:
        raise KeyboardInterrupt

    pool = SimpleResourcePool(options(opener, check=check), "bar")
    pool.get().release()
    with pytest.raises(KeyboardInterrupt):
        pool.get()
    assert (pool.num_active, pool.num_idle, opener.still_open) == (0, 0, [])


def test_only_what_was_idle_for_long_is_checked() -> None:
    opener, clock = Opener(), Clock()
    checked: list[int] = []

    def check(handle: Handle) -> bool:
        checked.append(handle.number)
        return True

    pool = SimpleResourcePool(options(opener, check=check, check_after=5, clock=clock), "bar")
    for wait in (4.9, 1.0, 4.5):
        pool.get().release()
        clock.advance(wait)
    pool.get().release()
    assert checked == []
    clock.advance(5.0)
    pool.get().release()
    assert checked == [1]


def test_who_found_an_unfit_handle_keeps_its_turn() -> None:
    opener = Opener()
    order: list[str] = []
    pool: SimpleResourcePool
    threads: list[threading.Thread] = []

    def other() -> None:
        with pool.get(timeout=None):
            order.append("other")

    def check(handle: Handle) -> bool:
        if threads:
            return True
        threads.append(in_line(pool, other))
        return False

    pool = SimpleResourcePool(options(opener, check=check, max_active=1), "bar")
    pool.get().release()
    with pool.get():
        order.append("first")
    threads[0].join()
    assert order == ["first", "other"]


def test_lifetimes_differ_and_end() -> None:
    opener, clock = Opener(), Clock()
    draws = iter([0.0, 1.0, 0.5])
    given = options(
        opener, max_lifetime=100, lifetime_jitter=0.2, clock=clock, random=lambda: next(draws)
    )
    pool = SimpleResourcePool(given, "bar")
    handles = [pool.get() for _ in range(3)]
    for handle in handles:
        handle.release()
    closed = []
    for now in (79, 80, 89, 90, 99, 100):
        clock.now = now
        closed.append(pool.reap())
    assert closed == [0, 1, 0, 1, 0, 1]


def test_a_handle_that_comes_back_past_its_lifetime_is_closed() -> None:
    opener, clock = Opener(), Clock()
    pool = SimpleResourcePool(
        options(opener, max_lifetime=10, lifetime_jitter=0, clock=clock), "bar"
    )
    with pool.get():
        clock.advance(10)
    assert (pool.num_idle, opener.still_open, pool.stats().expired) == (0, [], 1)


def test_an_idle_pool_shrinks_by_itself() -> None:
    clock, closed = Clock(), threading.Event()
    given = PoolOptions(
        open=lambda location: Handle(1, location),
        close=lambda _: closed.set(),
        max_idle_time=10,
        reap_every=0.001,
        clock=clock,
    )
    pool = SimpleResourcePool(given, "bar")
    pool.get().release()
    clock.advance(10)
    assert closed.wait(10)
    until(lambda: pool.num_idle == 0)
    many = MultiResourcePool(given, ["bar"])
    closed.clear()
    many.get("bar").release()
    clock.advance(10)
    assert closed.wait(10)


def reapers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "godropbox pool reaper"}


def test_the_background_thread_ends_with_its_pool() -> None:
    before = reapers()
    given = PoolOptions(open=Opener(), max_idle_time=1000)
    assert given.reap_interval == 500
    pool = SimpleResourcePool(given, "bar")
    many = MultiResourcePool(given, range(5))
    pool.get().release()
    assert len(reapers() - before) == 1
    for location in range(5):
        many.get(location).release()
    assert len(reapers() - before) == 2
    many.enter_lame_duck_mode()
    del pool
    gc.collect()
    until(lambda: not reapers() - before)


def test_a_close_that_fails_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def close(_: Handle) -> None:
        raise OSError("stuck")

    pool = SimpleResourcePool(options(Opener(), close=close), "bar")
    pool.get().discard()
    assert (pool.stats().closes, pool.stats().close_failures, pool.num_active) == (1, 1, 0)
    assert "closing a handle failed: OSError('stuck')" in caplog.text


# Leaks and loans


def taken_here(pool: SimpleResourcePool) -> ManagedHandle:
    return pool.get()


def test_a_handle_that_is_garbage_is_closed_and_told_of() -> None:
    opener = Opener()
    pool = SimpleResourcePool(options(opener, max_active=1, track=True), "bar")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        taken_here(pool)
        gc.collect()
    text = str(caught[0].message)
    assert caught[0].category is ResourceWarning
    assert text.startswith("a handle to 'bar' was never given back, a handle to 'bar' taken at:")
    assert text.rstrip().endswith("return pool.get()")
    assert "in taken_here" in text
    assert (pool.num_active, opener.still_open, pool.stats().leaked) == (0, [], 1)
    assert pool.loans() == []


def test_loans_name_who_took_them() -> None:
    clock = Clock()
    pool = SimpleResourcePool(options(Opener(), track=True, clock=clock), "bar")
    handles = [taken_here(pool)]
    clock.advance(5)
    handles.append(pool.get())
    handles[1].release()
    handles[1] = pool.get()
    loans = pool.loans()
    assert [(loan.location, loan.since) for loan in loans] == [("bar", 0.0), ("bar", 5.0)]
    names = [loan.stack.frames()[-1].function for loan in loans]
    assert names == ["taken_here", "test_loans_name_who_took_them"]
    for handle, end in zip(handles, ("detach", "discard"), strict=True):
        getattr(handle, end)()
    assert pool.loans() == []


# Forks


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a child of this process; return 0 if it ended well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.parametrize("abandons", [False, True])
def test_a_child_leaves_the_parents_handles_alone(abandons: bool) -> None:
    opener = Opener()
    abandoned: list[int] = []
    given = options(
        opener, abandon=(lambda h: abandoned.append(h.number)) if abandons else None, max_active=3
    )
    pool = SimpleResourcePool(given, "bar")
    idle, held, kept = (pool.get() for _ in range(3))
    idle.release()

    def work() -> None:
        assert (pool.num_active, pool.num_idle) == (0, 0)
        assert not held.is_active
        with pytest.raises(InactiveHandleError, match="belongs to the process that forked"):
            _ = held.handle
        held.release()
        kept.discard()
        kept.detach()
        assert abandoned == ([1, 2, 3] if abandons else [])
        with pool.get() as own:
            assert own.handle.number == 4
        assert (pool.num_active, pool.num_idle) == (0, 1)
        assert opener.still_open == [1, 2, 3, 4]

    assert in_child(work) == 0
    held.release()
    kept.release()
    assert (pool.num_active, pool.num_idle) == (0, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_a_child_has_a_background_thread_of_its_own() -> None:
    clock, closed = Clock(), threading.Event()
    given = PoolOptions(
        open=lambda location: Handle(1, location),
        close=lambda _: closed.set(),
        max_idle_time=10,
        reap_every=0.001,
        clock=clock,
    )
    many = MultiResourcePool(given, ["a"])
    many.get("a").release()

    def work() -> None:
        assert many.num_idle == 0
        assert many.register("b")
        many.get("b").release()
        clock.advance(10)
        assert closed.wait(10)

    assert in_child(work) == 0


# Many locations


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
