"""One location: what is lent, what waits, what is closed, by a clock that the tests move.

The first part holds what the original's tests pin down; the rest is what it lacked. The pools of
many locations are in ``test_resource_pools``, threads by the thousand in ``test_pool_stress``.
"""

import math
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.pools import Clock, Opener, in_line, options, until

from godropbox.errors import DropboxError, NetworkError, UsageError
from godropbox.resource_pool import (
    ForeignHandleError,
    InactiveHandleError,
    LameDuckError,
    ManagedHandle,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    PoolTimeoutError,
    SimpleResourcePool,
)


def pool_of(opener: Opener, **more: Any) -> SimpleResourcePool:
    return SimpleResourcePool(options(opener, **more), "bar")


def numbers(*handles: ManagedHandle) -> list[int]:
    return [handle.handle.number for handle in handles]


# What the original's tests pin down


def test_handles_are_reused_in_the_order_of_release_under_fifo() -> None:
    opener = Opener()
    pool = pool_of(opener, max_idle=10, max_opens=2, reuse="fifo")
    one, two, three, four = (pool.get() for _ in range(4))
    four.release()
    two.release()
    one.discard()
    three.release()
    assert (len(opener.handles), pool.num_active, pool.num_idle) == (4, 0, 3)
    again = [pool.get() for _ in range(4)]
    assert numbers(*again) == [4, 2, 3, 5]
    for handle in again:
        handle.release()


def test_a_second_end_of_a_loan_does_nothing() -> None:
    opener = Opener()
    pool = pool_of(opener)
    one, two = pool.get(), pool.get()
    one.release()
    one.release()
    one.discard()
    assert (pool.num_active, pool.num_idle, opener.still_open) == (1, 1, [1, 2])
    two.discard()
    two.discard()
    two.release()
    pool.release(two)
    pool.discard(two)
    assert (pool.num_active, pool.num_idle, opener.still_open) == (0, 1, [1])
    assert one.detach() is None
    assert two.detach() is None
    assert [handle.closes for handle in opener.handles] == [0, 1]


def test_discard_closes_and_high_water_never_falls() -> None:
    opener = Opener()
    pool = pool_of(opener)
    handles = []
    for count in range(1, 5):
        handles.append(pool.get())
        assert (pool.num_active, pool.stats().high_water, pool.num_idle) == (count, count, 0)
    seen = []
    for handle, end in zip(handles, ("release", "discard", "release", "discard"), strict=True):
        getattr(handle, end)()
        seen.append((pool.num_active, pool.stats().high_water, pool.num_idle))
    assert seen == [(3, 4, 1), (2, 4, 1), (1, 4, 2), (0, 4, 2)]
    assert opener.still_open == [1, 3]


def test_a_fifth_get_of_four_fails_and_leaves_the_count() -> None:
    pool = pool_of(Opener(), max_active=4)
    handles = [pool.get() for _ in range(4)]
    with pytest.raises(PoolExhaustedError, match="4 handles to 'bar' are on loan, the most"):
        pool.get()
    assert pool.num_active == 4
    for left, handle in zip((3, 2, 1, 0), handles, strict=True):
        handle.release()
        assert pool.num_active == left
    with pool.get():
        assert pool.num_active == 1
    assert pool.stats().exhausted == 1


def test_what_is_over_max_idle_is_closed_the_oldest_first() -> None:
    opener = Opener()
    pool = pool_of(opener, max_idle=2)
    one, two, three, four = (pool.get() for _ in range(4))
    idle = []
    for handle in (four, two, one, three):
        handle.release()
        idle.append(pool.num_idle)
    assert idle == [1, 2, 2, 2]
    assert opener.still_open == [1, 3]


def test_expired_handles_are_closed_at_get() -> None:
    opener, clock = Opener(), Clock()
    pool = pool_of(opener, max_idle_time=1000, reuse="fifo", clock=clock)
    one, two, three, four = (pool.get() for _ in range(4))
    for handle in (four, two, one, three):
        handle.release()
        clock.advance(250)
    assert pool.num_idle == 4
    pool.get().release()
    assert (pool.num_idle, opener.still_open) == (3, [1, 2, 3])
    clock.advance(750)
    pool.get().release()
    assert (pool.num_idle, opener.still_open) == (1, [2])
    clock.advance(10_000)
    assert pool.get_idle() is None
    pool.get().discard()
    assert opener.still_open == []
    assert pool.stats().expired == 4


def test_a_lame_duck_lends_no_more_and_closes_what_comes_back() -> None:
    opener = Opener()
    pool = pool_of(opener, max_idle=2)
    handles = [pool.get() for _ in range(4)]
    handles.pop().release()
    pool.enter_lame_duck_mode()
    assert (pool.num_idle, opener.still_open) == (0, [1, 2, 3])
    for left, handle in zip((2, 1, 0), handles, strict=True):
        handle.release()
        assert (pool.num_active, pool.num_idle) == (left, 0)
    assert opener.still_open == []
    assert pool.is_lame_duck
    for timeout in (0, None):
        with pytest.raises(LameDuckError, match="the pool of handles to 'bar' was retired"):
            pool.get(timeout)
    assert pool.get_idle() is None
    assert pool.num_active == 0


def test_another_pools_handle_is_refused() -> None:
    pool, other = pool_of(Opener()), pool_of(Opener())
    handle = other.get()
    for end in (pool.release, pool.discard):
        with pytest.raises(ForeignHandleError, match="belongs to another pool"):
            end(handle)
        with pytest.raises(TypeError, match="handle must be a ManagedHandle, got str"):
            end("handle")  # type: ignore[arg-type]
    assert handle.is_active
    other.release(handle)
    assert (other.num_active, other.num_idle) == (0, 1)


# Handles


def test_lifo_reuses_what_was_released_last() -> None:
    pool = pool_of(Opener())
    one, two, three = (pool.get() for _ in range(3))
    for handle in (two, one, three):
        handle.release()
    again = [pool.get() for _ in range(3)]
    assert numbers(*again) == [3, 1, 2]
    for handle in again:
        handle.release()


def in_another_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_other_threads_gave_back_is_lent_before_another_is_opened() -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=3)
    for _ in range(3):
        in_another_thread(lambda: pool.get().release())
    assert (opener.still_open, pool.num_active, pool.num_idle) == ([1], 0, 1)
    lent = [pool.get() for _ in range(3)]
    for handle in lent:
        in_another_thread(handle.release)
    assert (pool.num_active, pool.num_idle) == (0, 3)
    assert repr(pool).endswith("0 active, 3 idle>")
    again = [pool.get() for _ in range(3)]
    assert sorted(numbers(*again)) == [1, 2, 3]
    with pytest.raises(PoolExhaustedError, match="3 handles to 'bar' are on loan"):
        pool.get(timeout=0)
    stats = pool.stats()
    assert (stats.gets, stats.opens, stats.active, stats.idle) == (9, 3, 3, 0)
    assert stats.high_water == 3
    for handle in again:
        handle.release()


@pytest.mark.parametrize("end", ["evict_all", "enter_lame_duck_mode"])
def test_what_other_threads_gave_back_is_closed_with_the_rest(end: str) -> None:
    opener = Opener()
    pool = pool_of(opener)
    lent = [pool.get() for _ in range(3)]
    for handle in lent:
        in_another_thread(handle.release)
    getattr(pool, end)()
    assert (opener.still_open, pool.num_active, pool.num_idle) == ([], 0, 0)


def test_a_handle_tells_what_it_is_and_says_no_when_it_is_over() -> None:
    pool = pool_of(Opener())
    handle = pool.get()
    assert (handle.location, handle.owner, handle.is_active) == ("bar", pool, True)
    assert repr(handle) == "<ManagedHandle of 'bar': active>"
    assert repr(pool) == "<SimpleResourcePool of 'bar': 1 active, 0 idle>"
    handle.release()
    assert repr(handle) == "<ManagedHandle of 'bar': inactive>"
    with pytest.raises(InactiveHandleError, match="the handle to 'bar' was given back"):
        _ = handle.handle


def test_an_old_loan_cannot_end_the_next_one() -> None:
    pool = pool_of(Opener())
    first = pool.get()
    first.release()
    second = pool.get()
    first.discard()
    assert second.is_active
    assert not second.handle.is_closed
    second.release()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_any_exception_in_the_block_discards(error: type[BaseException]) -> None:
    opener = Opener()
    pool = pool_of(opener)
    with pytest.raises(error), pool.get() as handle:
        raise error
    assert (pool.num_active, pool.num_idle, opener.still_open) == (0, 0, [])
    assert not handle.is_active


def test_a_detached_handle_is_the_callers() -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=1)
    with pool.get() as handle:
        assert handle.detach() is opener.handles[0]
    assert (pool.num_active, pool.num_idle, opener.still_open) == (0, 0, [1])
    pool.get().release()


# Waiting


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    pool = pool_of(Opener(), max_active=1)
    order: list[int] = []

    def work(number: int) -> None:
        with pool.get(timeout=None):
            order.append(number)

    held = pool.get()
    threads = [in_line(pool, lambda number=i: work(number)) for i in range(8)]  # type: ignore[misc]
    assert pool.get_idle() is None
    held.release()
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert pool.stats().waits == 8


def test_nobody_overtakes_a_waiter_whether_or_not_it_runs_yet() -> None:
    pool = pool_of(Opener(), max_active=1)
    held = pool.get()
    done = threading.Event()

    def work() -> None:
        with pool.get(timeout=None):
            assert done.wait(10)

    thread = in_line(pool, work)
    held.release()
    assert pool.get_idle() is None
    with pytest.raises(PoolExhaustedError):
        pool.get(0)
    done.set()
    thread.join()


def test_a_wait_ends_at_its_deadline() -> None:
    pool = pool_of(Opener(), max_active=1, timeout=1e-6)
    held = pool.get()
    with pytest.raises(PoolTimeoutError, match=r"on loan, and none became free within 1e-06 s"):
        pool.get()
    with pytest.raises(PoolTimeoutError, match=r"within 2e-06 s"):
        pool.get(timeout=2e-6)
    stats = pool.stats()
    assert (stats.waiting, stats.waits, stats.exhausted, stats.active) == (0, 2, 2, 1)
    held.release()
    pool.get().release()


def test_a_waiter_opens_when_a_handle_was_discarded() -> None:
    pool = pool_of(Opener(), max_active=1)
    held = pool.get()
    got: list[int] = []

    def work() -> None:
        with pool.get(timeout=None) as handle:
            got.extend(numbers(handle))

    thread = in_line(pool, work)
    held.discard()
    thread.join()
    assert got == [2]


def test_retiring_sends_the_waiters_away() -> None:
    pool = pool_of(Opener(), max_active=1)
    held = pool.get()
    errors: list[type[Exception]] = []

    def work() -> None:
        try:
            pool.get(timeout=None)
        except DropboxError as error:
            errors.append(type(error))

    threads = [in_line(pool, work) for _ in range(3)]
    pool.enter_lame_duck_mode()
    for thread in threads:
        thread.join()
    assert errors == [LameDuckError] * 3
    held.release()
    assert pool.num_active == 0


class Interrupted(BaseException):
    """What may come out of a wait: a KeyboardInterrupt, a timeout of gevent's."""


@pytest.mark.parametrize("told_first", [False, True])
def test_an_exception_out_of_a_wait_leaves_no_trace(
    told_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=1)
    held = pool.get()
    real = threading.Lock

    class Lock:
        def __init__(self) -> None:
            self.lock = real()

        def acquire(self, timeout: float = -1) -> bool:
            if timeout == -1:
                return self.lock.acquire()
            if told_first:
                held.release()
            raise Interrupted

        def release(self) -> None:
            self.lock.release()

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", Lock)
        with pytest.raises(Interrupted):
            pool.get(timeout=5)
    held.release()
    stats = pool.stats()
    assert (stats.active, stats.idle, stats.waiting, opener.still_open) == (0, 1, 0, [1])


# Opening


def test_a_failed_open_frees_its_place_and_says_why() -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=1)
    opener.failure = OSError("no route")
    with pytest.raises(OpenError, match="opening a handle to 'bar' failed: no route") as caught:
        pool.get()
    assert caught.value.__cause__ is opener.failure
    for failure in (NetworkError("refused"), KeyboardInterrupt()):
        opener.failure = failure
        with pytest.raises(type(failure)) as unchanged:
            pool.get()
        assert unchanged.value is failure
    opener.failure = None
    stats = pool.stats()
    assert (stats.active, stats.opening, stats.opens, stats.open_failures) == (0, 0, 0, 3)
    pool.get().release()


class SlowOpener(Opener):
    """Opens when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.at_once = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, location: Any) -> Any:
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self.go.wait(10)
        with self.lock:
            self.at_once -= 1
        return super().__call__(location)


def test_no_more_are_opened_at_a_time_than_may_be() -> None:
    opener = SlowOpener()
    pool = pool_of(opener, max_opens=2, timeout=None)
    threads = [threading.Thread(target=lambda: pool.get().discard()) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: pool.stats().waiting == 4 and opener.at_once == 2)
    with pytest.raises(PoolExhaustedError, match="2 handles to 'bar' are being opened, the most"):
        pool.get(0)
    opener.go.set()
    for thread in threads:
        thread.join()
    stats = pool.stats()
    assert (opener.most, stats.opens, stats.opening, stats.active) == (2, 6, 0, 0)


def test_many_opens_that_fail_leave_the_pool_as_it_was() -> None:
    opener = Opener()
    opener.failure = OSError("timed out")
    pool = pool_of(opener, max_opens=2, timeout=None)
    failures: list[OpenError] = []

    def work() -> None:
        try:
            pool.get()
        except OpenError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 10
    opener.failure = None
    pool.get().release()
    assert (pool.num_active, pool.num_idle) == (0, 1)


def test_what_was_being_opened_when_the_pool_retired_is_closed() -> None:
    opener = Opener()
    pool: SimpleResourcePool

    def retire(location: Any) -> Any:
        pool.enter_lame_duck_mode()
        return opener(location)

    pool = SimpleResourcePool(PoolOptions(open=retire), "bar")
    with pytest.raises(LameDuckError):
        pool.get()
    assert (pool.num_active, opener.still_open) == (0, [])


# Arguments


SECONDS = "a number of seconds or None, got"


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (ValueError, "max_active", 0, "must be in [1, 2**31), got 0"),
        (ValueError, "max_active", -1, "must be an int in [1, 2**31), got -1"),
        (ValueError, "max_idle", -1, "must be an int in [0, 2**31), got -1"),
        (ValueError, "max_opens", 0, "must be in [1, 2**31), got 0"),
        (TypeError, "max_opens", 1.5, "must be an int in [1, 2**31), got 1.5 (float)"),
        (ValueError, "timeout", -1, "must be at least 0 seconds, got -1"),
        (ValueError, "timeout", math.nan, "must be at least 0 seconds, got nan (float)"),
        (TypeError, "timeout", True, f"must be {SECONDS} True"),
        (TypeError, "max_idle_time", "1", f"must be {SECONDS} '1' (str)"),
        (ValueError, "max_lifetime", -2.0, "must be at least 0 seconds, got -2.0 (float)"),
        (ValueError, "lifetime_jitter", 1.5, "must be in [0, 1], got 1.5"),
        (ValueError, "reuse", "random", "must be 'lifo' or 'fifo', got 'random' (str)"),
    ],
)
def test_a_bad_option_is_refused_at_once(
    kind: type[Exception], name: str, value: Any, message: str
) -> None:
    with pytest.raises(kind, match=re.escape(f"{name} {message}")):
        options(Opener(), **{name: value})


@pytest.mark.parametrize("timeout", [-1, "1", True, math.nan])
def test_a_bad_timeout_is_refused(timeout: Any) -> None:
    pool = pool_of(Opener())
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        pool.get(timeout)
    assert pool.num_active == 0


def test_the_errors_are_of_the_families() -> None:
    families = {
        UsageError: (
            PoolExhaustedError,
            LameDuckError,
            ForeignHandleError,
            InactiveHandleError,
        ),
        NetworkError: (OpenError,),
    }
    for family, kinds in families.items():
        for kind in kinds:
            assert issubclass(kind, family)
    assert issubclass(PoolTimeoutError, PoolExhaustedError)


class ClassRaisesError(Exception):
    """Which ``isinstance`` cannot ask."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise OSError("no class")


class AttributesRaiseError(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise OSError(f"no {name}")


ASKS = pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy itself asks it")


@pytest.mark.parametrize("kind", [ClassRaisesError, pytest.param(AttributesRaiseError, marks=ASKS)])
def test_an_exception_that_cannot_be_asked_is_an_open_error(kind: type[Exception]) -> None:
    def fails(_: str) -> Any:
        raise kind("odd")

    pool = SimpleResourcePool(PoolOptions(open=fails), "a")
    got: list[Any] = []
    try:
        pool.get()
    except Exception as error:  # pytest would ask it
        got = [type(error), type(error.__cause__)]
    assert got == [OpenError, kind]


# Eviction


def test_eviction_closes_idle_handles_now_and_the_others_as_they_come_back() -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=3, max_idle=3)
    one, two, three = (pool.get() for _ in range(3))
    one.release()
    pool.evict_all()
    assert opener.still_open == [2, 3]
    assert (two.handle.number, pool.num_active, pool.num_idle) == (2, 2, 0)
    four = pool.get()
    assert four.handle.number == 4
    with pytest.raises(PoolExhaustedError):  # those on loan count until they come back
        pool.get(0)
    for handle in (two, three, four):
        handle.release()
    assert opener.still_open == [4]
    with pool.get() as loan:
        assert numbers(loan) == [4]
    assert not pool.is_lame_duck


def test_eviction_gives_a_waiter_a_new_handle() -> None:
    opener = Opener()
    pool = pool_of(opener, max_active=1)
    one = pool.get()
    found: list[ManagedHandle] = []
    thread = threading.Thread(target=lambda: found.append(pool.get(10)))
    thread.start()
    until(lambda: pool.stats().waiting == 1)
    pool.evict_all()
    one.release()
    thread.join(10)
    assert numbers(*found) == [2]
    found[0].release()
    assert opener.still_open == [2]


def test_a_handle_whose_opening_began_before_an_eviction_is_not_kept() -> None:
    opener = Opener()
    pools: list[SimpleResourcePool] = []

    def opened(location: Any) -> Any:
        handle = opener(location)
        if handle.number == 1:
            pools[0].evict_all()
        return handle

    pools.append(SimpleResourcePool(PoolOptions(open=opened, reap_every=0), "bar"))
    with pools[0].get() as loan:
        assert numbers(loan) == [1]
    assert opener.still_open == []
    pools[0].get().release()
    assert opener.still_open == [2]
