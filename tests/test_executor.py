"""godropbox.executor: the newest first, the oldest shed."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, wait
from contextlib import contextmanager
from typing import Any

import pytest

from godropbox.errors import DropboxError
from godropbox.executor import LifoExecutor, QueueTimeoutError, ShedError

PATIENCE = 30  # seconds


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def held(executor: LifoExecutor) -> Iterator[None]:
    """Keep the one worker busy, so that what is submitted waits."""
    begun, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        may_end.wait(PATIENCE)

    future = executor.submit(hold)
    assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        may_end.set()
        future.result(PATIENCE)


def test_results_and_errors_come_back() -> None:
    with LifoExecutor(2) as executor:
        assert isinstance(executor, Executor)
        assert executor.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
        assert executor.submit(int, "11", base=2).result(PATIENCE) == 3
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 7, 0).result(PATIENCE)
        with pytest.raises(SystemExit):
            executor.submit(sys.exit, 3).result(PATIENCE)
        assert list(executor.map(abs, [-1, -2, 3])) == [1, 2, 3]


def test_the_newest_is_served_first() -> None:
    order: list[int] = []
    with LifoExecutor(1) as executor:
        with held(executor):
            futures = [executor.submit(order.append, i) for i in range(5)]
            assert executor.queued == executor.most_queued == 5
        wait(futures, PATIENCE)
    assert order == [4, 3, 2, 1, 0]
    assert executor.shed == 0


def test_the_oldest_makes_room() -> None:
    order: list[int] = []
    with LifoExecutor(1, max_queue=2) as executor:
        with held(executor):
            futures = [executor.submit(order.append, i) for i in range(5)]
            for future in futures[:3]:
                error = future.exception(0)
                assert isinstance(error, ShedError)
                assert isinstance(error, DropboxError)
                assert not isinstance(error, QueueTimeoutError)
        wait(futures, PATIENCE)
    assert order == [4, 3]
    assert executor.shed == 3


def test_what_a_free_worker_is_about_to_take_fills_no_room() -> None:
    for _ in range(50):
        with LifoExecutor(1, max_queue=2) as executor:
            futures = [executor.submit(abs, -i) for i in range(3)]
            assert [future.result(PATIENCE) for future in futures] == [0, 1, 2]


def test_what_waited_too_long_is_told_so_while_the_workers_are_busy() -> None:
    clock = Clock()
    with LifoExecutor(1, queue_timeout=5, clock=clock) as executor, held(executor):
        old = executor.submit(abs, 1)
        clock.now += 4
        new = executor.submit(abs, 2)
        assert executor.sweep() == 0
        clock.now += 1
        assert executor.sweep() == 1
        with pytest.raises(QueueTimeoutError, match="waited for over 5 s and was not begun"):
            old.result(0)
        assert not new.done()
    assert new.result(PATIENCE) == 2
    assert executor.shed == 1


def test_a_worker_that_becomes_free_does_not_begin_what_is_late() -> None:
    clock = Clock()
    begun: list[str] = []
    with LifoExecutor(1, queue_timeout=5, clock=clock) as executor:
        with held(executor):
            late = executor.submit(begun.append, "late")
            clock.now += 6
        assert isinstance(late.exception(PATIENCE), QueueTimeoutError)
    assert begun == []


def test_the_real_clock_sheds_by_itself() -> None:
    with LifoExecutor(1, queue_timeout=0.05) as executor, held(executor):
        for _ in range(2):  # the second time the sweeper had nothing to wait for
            assert isinstance(executor.submit(abs, 1).exception(PATIENCE), QueueTimeoutError)


def test_cancelled_work_is_not_begun() -> None:
    order: list[int] = []
    with LifoExecutor(1) as executor:
        with held(executor):
            futures = [executor.submit(order.append, i) for i in range(3)]
            assert futures[1].cancel()
        wait(futures, PATIENCE)
    assert order == [2, 0]


def test_shutdown_does_or_cancels_what_waits() -> None:
    order: list[int] = []
    executor = LifoExecutor(1)
    with held(executor):
        done = executor.submit(order.append, 1)
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(order.append, 2)
    executor.shutdown()
    assert done.done()
    assert order == [1]
    other = LifoExecutor(1)
    with held(other):
        cancelled = other.submit(order.append, 3)
        other.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(CancelledError):
            cancelled.result(0)
    other.shutdown()
    assert order == [1]


def test_threads_are_as_many_as_are_needed() -> None:
    barrier = threading.Barrier(4)
    with LifoExecutor(4, name="mine") as executor:
        futures = [executor.submit(barrier.wait, PATIENCE) for _ in range(4)]
        wait(futures, PATIENCE)
        for _ in range(20):
            executor.submit(abs, 1).result(PATIENCE)
        names = {t.name for t in threading.enumerate() if t.name.startswith("mine-")}
        assert names == {"mine-0", "mine-1", "mine-2", "mine-3"}
    assert not [t for t in threading.enumerate() if t.name.startswith("mine-")]


def test_threads_of_an_executor_that_is_dropped_end() -> None:
    executor = LifoExecutor(1, name="dropped", queue_timeout=60)
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    threads = [t for t in threading.enumerate() if t.name.startswith("dropped-")]
    assert len(threads) == 2
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_result_is_not_kept() -> None:
    class Big:
        pass

    with LifoExecutor(1) as executor:
        gone = weakref.ref(executor.submit(Big).result(PATIENCE))
        executor.submit(abs, 1).result(PATIENCE)
        gc.collect()
        assert gone() is None


def test_at_exit_the_work_is_done() -> None:
    code = (
        "import time; from godropbox.executor import LifoExecutor as L; e = L(1)\n"
        "for i in range(3): e.submit(lambda i=i: (time.sleep(0.05), print(i, flush=True)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(done.stdout.split()) == ["0", "1", "2"]
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_begins_again() -> None:
    with LifoExecutor(1) as executor, held(executor):
        executor.submit(abs, 1)
        child = os.fork()
        if child == 0:
            works = executor.queued == 0 and executor.submit(abs, -3).result(PATIENCE) == 3
            os._exit(0 if works else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1, got 0"),
        ({"max_workers": 1.5}, TypeError, "max_workers must be an int, got 1.5"),
        ({"max_workers": True}, TypeError, "max_workers must be an int, got True"),
        ({"max_workers": 1, "max_queue": 0}, ValueError, "max_queue must be at least 1, got 0"),
        (
            {"max_workers": 1, "queue_timeout": 0},
            ValueError,
            r"must be in \(0, .* got 0",
        ),
        ({"max_workers": 1, "queue_timeout": float("nan")}, ValueError, "got nan"),
        ({"max_workers": 1, "queue_timeout": float("inf")}, ValueError, "got inf"),
        (
            {"max_workers": 1, "queue_timeout": "5"},
            TypeError,
            "queue_timeout must be seconds",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        LifoExecutor(**arguments)
