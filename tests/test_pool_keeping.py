"""What a pool does besides lending: checks, reaping, tracking who has what, and forks."""

import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.memory import let_go
from support.pools import Clock, Handle, Opener, in_child, in_line, options, until

from godropbox.resource_pool import (
    InactiveHandleError,
    ManagedHandle,
    MultiResourcePool,
    PoolOptions,
    SimpleResourcePool,
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
    let_go()
    until(lambda: not reapers() - before)


def test_a_log_that_fails_fails_no_release() -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("the log is full")

    def close(_: Handle) -> None:
        raise OSError("stuck")

    logger = logging.getLogger("godropbox.resource_pool")
    logger.addFilter(fail)
    try:
        pool = SimpleResourcePool(options(Opener(), close=close), "bar")
        pool.get().discard()
    finally:
        logger.removeFilter(fail)
    assert (pool.num_active, pool.stats().close_failures) == (0, 1)


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


FAULTS = [OSError("it will not"), KeyboardInterrupt(), SystemExit(3)]


def failing(done: list[int], fault: BaseException) -> Callable[[Any], None]:
    """Return a close or an abandon that notes whose turn it is, and raises."""

    def fail(handle: Handle) -> None:
        done.append(handle.number)
        raise fault

    return fail


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_abandon_that_raises_keeps_nothing_of_the_parents_in_the_child(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = Opener()
    done: list[int] = []
    given = options(opener, abandon=failing(done, fault))
    let_go()  # pools of other tests
    simple = [SimpleResourcePool(given, f"alone-{i}") for i in range(5)]
    many = MultiResourcePool(given, ["a", "b"])
    gets: list[Any] = [*(pool.get for pool in simple), lambda: many.get("a"), lambda: many.get("b")]
    for get in gets:
        first, second = get(), get()
        first.release()
        second.release()
    reports: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def work() -> None:
        assert sorted(done) == list(range(1, 15))
        (report,) = reports
        assert list(report.exc_value.exceptions) == [fault] * 14
        assert "in the child of a fork" in str(report.exc_value)
        pools: list[Any] = [*simple, many]
        for pool in pools:
            assert (pool.num_active, pool.num_idle) == (0, 0)
        for get in gets:
            with get() as own:
                assert own.handle.number > 14
        assert opener.still_open == list(range(1, 22))

    assert in_child(work) == 0
    assert (done, reports) == ([], [])
    assert many.num_idle == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_an_abandon_may_use_the_pools_that_began_again() -> None:
    opener = Opener()
    pools: list[SimpleResourcePool] = []
    taken: list[int] = []

    def abandon(handle: Handle) -> None:
        for pool in pools:
            with pool.get() as loan:
                taken.append(loan.handle.number)
        pools.append(SimpleResourcePool(options(opener), "made meanwhile"))

    for i in range(4):
        pools.append(SimpleResourcePool(options(opener, abandon=abandon), i))
    for pool in list(pools):
        pool.get().release()

    def work() -> None:
        assert len(taken) == 4 + 5 + 6 + 7
        assert min(taken) > 4

    assert in_child(work) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_an_abandon_that_raises_when_a_lent_handle_comes_back_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opener = Opener()
    done: list[int] = []
    pool = SimpleResourcePool(options(opener, abandon=failing(done, OSError("it will not"))), "bar")
    held, kept = pool.get(), pool.get()

    def work() -> None:
        with caplog.at_level(logging.WARNING, "godropbox.resource_pool"):
            held.release()
            kept.discard()
        assert done == [1, 2]
        assert caplog.text.count("abandoning a handle failed: OSError('it will not')") == 2

    assert in_child(work) == 0
    held.release()
    kept.release()


# One close that raises


@pytest.mark.parametrize("fault", FAULTS[1:], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("way", ["retire", "retire many", "unregister", "reap", "reap many"])
def test_a_close_that_is_interrupted_leaves_nothing_open(way: str, fault: BaseException) -> None:
    opener, clock = Opener(), Clock()
    done: list[int] = []
    given = PoolOptions(
        open=opener, close=failing(done, fault), max_idle_time=10, reap_every=0, clock=clock
    )
    simple = SimpleResourcePool(given, "alone")
    many = MultiResourcePool(given, ["a", "b", "c"])
    is_many = way not in ("retire", "reap")
    loans = [many.get(each) if is_many else simple.get() for each in "abcabc"]
    for loan in loans:
        loan.release()
    clock.advance(10)
    calls: dict[str, Callable[[], object]] = {
        "retire": simple.enter_lame_duck_mode,
        "retire many": many.enter_lame_duck_mode,
        "unregister": lambda: many.set_locations([]),
        "reap": simple.reap,
        "reap many": many.reap,
    }
    with pytest.raises(type(fault)) as raised:
        calls[way]()
    assert raised.value is fault
    assert sorted(done) == [1, 2, 3, 4, 5, 6]
    assert simple.num_idle == many.num_idle == 0


def test_a_get_of_many_that_is_interrupted_gives_all_back() -> None:
    opener = Opener()
    clock = Clock()
    done: list[int] = []

    def stop(location: Any) -> Handle:
        if location == "c":
            raise KeyboardInterrupt
        return Opener.__call__(opener, location)

    many = MultiResourcePool(
        PoolOptions(
            open=stop, close=failing(done, SystemExit(3)), max_idle=0, reap_every=0, clock=clock
        ),
        ["a", "b", "c"],
    )
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        many.get_many(["a", "b", "c"])
    assert done == [1, 2]
    assert many.num_active == 0


def test_the_background_thread_survives_a_clock_that_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = threading.Event()
    opener = Opener()

    class Faulty(Clock):
        """Raises once, in the background thread."""

        raised = False

        def __call__(self) -> float:
            if threading.current_thread().name.startswith("godropbox") and not self.raised:
                self.raised = True
                raise OSError("no clock")
            return self.now

    clock = Faulty()
    given = PoolOptions(
        open=opener, close=lambda _: closed.set(), max_idle_time=10, reap_every=0.001, clock=clock
    )
    pool = SimpleResourcePool(given, "bar")
    pool.get().release()
    until(lambda: clock.raised)
    clock.advance(10)
    assert closed.wait(10)
    assert "reaping a handle failed: OSError('no clock')" in caplog.text
