"""Many threads at one pool: no handle is lent twice or lost, and nobody waits for ever.

``GODROPBOX_STRESS`` says how many sequences to run in place of what takes a few seconds.
"""

import os
import random
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from support.pools import Handle, Opener

import godropbox
from godropbox.resource_pool import (
    InactiveHandleError,
    LameDuckError,
    ManagedHandle,
    MultiResourcePool,
    OpenError,
    PoolExhaustedError,
    PoolOptions,
    SimpleResourcePool,
    UnknownLocationError,
)

FAILURES = (PoolExhaustedError, OpenError, UnknownLocationError, LameDuckError)
THREADS = 64
SHORT = 50_000 if godropbox.IMPLEMENTATION == "native" else 15_000
SEQUENCES = int(os.environ.get("GODROPBOX_STRESS", str(SHORT)))


def stepping(frame: FrameType, event: str, argument: object) -> Any:
    """Trace the pools' own lines and do nothing: that alone lets threads change at every line."""
    return stepping if "resource_pool" in frame.f_code.co_filename else None


@pytest.fixture(autouse=True, params=[False, True], ids=["running", "stepping"])
def sequences(request: pytest.FixtureRequest) -> Iterator[int]:
    """Have the interpreter change threads as often as it can; return how many sequences to run.

    Of a compiled pool only the reaper's lines are stepped through, for which a tenth will do.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    if request.param:
        threading.settrace(stepping)
    yield SEQUENCES // (10 if request.param and godropbox.IMPLEMENTATION == "native" else 1)
    threading.settrace(None)
    sys.setswitchinterval(before)


class SometimesOpener(Opener):
    """Fails once in twenty."""

    def __init__(self) -> None:
        super().__init__()
        self.draw = random.Random(5)

    def __call__(self, location: Any) -> Handle:
        if self.draw.random() < 0.05:
            raise OSError("not now")
        return super().__call__(location)


class Books:
    """Who holds which handle: each is held by one thread at most, and never closed while held."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.wrongs: list[str] = []

    def take(self, handle: Handle) -> None:
        # Atomic: whoever finds another thread's number there has a handle that is lent twice.
        owner = self.held.setdefault(handle.number, threading.get_ident())
        if owner != threading.get_ident():
            self.wrongs.append(f"{handle.number} is lent twice")
        if handle.is_closed:
            self.wrongs.append(f"{handle.number} is lent closed")

    def drop(self, handle: Handle) -> None:
        if handle.is_closed:
            self.wrongs.append(f"{handle.number} was closed on loan")
        self.held.pop(handle.number, None)


class OnPurposeError(Exception):
    """Raised in a block, to have its handle discarded."""


def use(books: Books, loan: ManagedHandle, draw: random.Random) -> None:
    """End a loan in one of the ways there are."""
    handle = loan.handle
    books.take(handle)
    way = draw.randrange(8)
    books.drop(handle)
    if way == 0:
        with suppress(OnPurposeError), loan:
            raise OnPurposeError
        assert handle.is_closed
    elif way == 1:
        loan.discard()
    elif way == 2:
        detached = loan.detach()
        assert detached is handle
        detached.close()
    elif way == 3:
        loan.release()
        loan.discard()
        loan.release()
    elif way == 4:
        with loan:
            pass
    else:
        loan.release()


def run_threads(work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(seed: int) -> None:
        try:
            work(random.Random(seed))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        assert not thread.is_alive()
    assert failures == []


@pytest.mark.parametrize("reuse", ["lifo", "fifo"])
def test_no_handle_is_lost_or_lent_twice(reuse: Any, sequences: int) -> None:
    opener, books = SometimesOpener(), Books()
    checks = random.Random(3)
    given = PoolOptions(
        open=opener,
        check=lambda _: checks.random() > 0.05,
        check_after=0.001,
        max_active=16,
        max_idle=12,
        max_opens=3,
        max_idle_time=0.005,
        max_lifetime=0.05,
        reap_every=0.002,
        reuse=reuse,
    )
    pool = SimpleResourcePool(given, "bar")

    def work(draw: random.Random) -> None:
        for _ in range(sequences // THREADS):
            try:
                loan = pool.get(timeout=draw.choice([0, 1e-5, 1e-3, None]))
            except (PoolExhaustedError, OpenError):
                continue
            use(books, loan, draw)

    run_threads(work)
    pool.enter_lame_duck_mode()
    stats = pool.stats()
    assert books.wrongs == []
    assert books.held == {}
    assert (stats.active, stats.idle, stats.opening, stats.waiting, stats.leaked) == (0,) * 5
    assert stats.high_water <= 16
    assert stats.opens == len(opener.handles)
    assert [handle.closes for handle in opener.handles] == [1] * len(opener.handles)
    assert stats.gets + stats.exhausted + stats.open_failures == sequences // THREADS * THREADS


def test_locations_come_and_go_while_handles_are_lent() -> None:
    opener, books = SometimesOpener(), Books()
    given = PoolOptions(open=opener, max_active=4, max_idle=3, timeout=0.001)
    pool = MultiResourcePool(given, range(8))
    done = threading.Event()

    def change() -> None:
        draw = random.Random(1)
        while not done.wait(0.001):
            pool.set_locations(draw.sample(range(8), 5))

    def work(draw: random.Random) -> None:
        for _ in range(SEQUENCES // THREADS // 4):
            for each in pool.get_many(draw.sample(range(8), 3)).values():
                if isinstance(each, ManagedHandle):
                    use(books, each, draw)
                else:
                    assert isinstance(each, FAILURES)

    changer = threading.Thread(target=change)
    changer.start()
    run_threads(work)
    done.set()
    changer.join()
    pool.enter_lame_duck_mode()
    assert books.wrongs == []
    assert (pool.num_active, pool.num_idle, books.held) == (0, 0, {})
    assert [handle.closes for handle in opener.handles] == [1] * len(opener.handles)


@pytest.mark.parametrize("kind", ["simple", "many"])
def test_what_a_pool_tells_of_itself_is_true_of_one_moment(kind: str) -> None:
    """One handle is on loan or idle: never both, nor neither, whatever others do meanwhile."""
    options = PoolOptions(open=Opener(), max_active=1, max_idle_time=1000.0, reap_every=0.0)
    many = MultiResourcePool(options, ["a"])
    pool = many.pool("a") if kind == "many" else SimpleResourcePool(options, "a")
    told: Any = many if kind == "many" else pool
    pool.get().release()
    ended = threading.Event()

    wrongs: list[Any] = []

    def lend() -> None:
        while not ended.is_set():
            pool.get().release()

    def look() -> None:
        try:
            for _ in range(1000):
                stats, text = told.stats(), repr(told)
                if (stats.active + stats.idle, stats.high_water) != (1, 1):
                    wrongs.append(stats)
                if not re.search("1 active, 0 idle|0 active, 1 idle", text):
                    wrongs.append(text)
                if told.reap() or told.num_idle not in (0, 1):
                    wrongs.append("more than one idle, or one that is old")
        finally:
            ended.set()

    threads = [threading.Thread(target=lend), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrongs == []
    pool.enter_lame_duck_mode()
    assert repr(pool) == "<SimpleResourcePool of 'a': 0 active, 0 idle, lame duck>"


def test_a_handle_that_two_threads_give_back_is_given_back_once() -> None:
    """And what a thread reads of one that another gives back is the handle, or that it is over."""
    opener = Opener()
    pool = SimpleResourcePool(PoolOptions(open=opener))
    for _ in range(100):
        loan = pool.get()
        handle = loan.handle
        began = threading.Barrier(3)

        def end(loan: ManagedHandle = loan, began: threading.Barrier = began) -> None:
            began.wait(20)
            loan.release()

        threads = [threading.Thread(target=end) for _ in range(2)]
        for thread in threads:
            thread.start()
        began.wait(20)
        try:
            assert loan.handle is handle
        except InactiveHandleError:
            assert not loan.is_active
        for thread in threads:
            thread.join()
        assert (pool.num_active, pool.num_idle) == (0, 1)
    assert len(opener.handles) == 1
