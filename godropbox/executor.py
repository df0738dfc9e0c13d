"""An executor that serves the newest work first, and sheds the oldest under overload.

A queue that is served in order is, once it is longer than callers wait, full of work whose callers
have left. Here who came last is served first, and who waited too long is told so at once, so that
most callers of an overloaded service get quick answers.
"""

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ._forks import begin_again_in_child
from ._kernels._args import shown
from ._kernels._identity import refuse_copies
from .errors import DropboxError

__all__ = ["LifoExecutor", "QueueTimeoutError", "ShedError"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Clock = Callable[[], float]


class ShedError(DropboxError):
    """The work was not begun: newer work filled the queue, or it waited too long."""


class QueueTimeoutError(ShedError):
    """The work waited in the queue for longer than `queue_timeout`, and was not begun."""


class _Work:
    __slots__ = ("call", "future", "since")

    def __init__(self, call: Callable[[], Any], since: float) -> None:
        self.future: Future[Any] = Future()
        self.call = call
        self.since = since

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.call()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def shed(self, error: ShedError) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class _Core:
    """The queue and the threads; they hold this, so that an executor that is dropped can end."""

    def __init__(
        self, most_threads: int, timeout: float | None, most: int | None, name: str, clock: _Clock
    ) -> None:
        self.most_threads = most_threads
        self.timeout = timeout
        self.most = most
        self.name = name
        self.clock = clock
        self.highest = 0
        self.shed = 0
        self.is_shut = False
        self._begin()
        begin_again_in_child(self)
        _CORES.add(self)

    def _begin(self) -> None:
        self.lock = threading.Lock()
        self.has_work = threading.Condition(self.lock)
        self.has_aged = threading.Condition(self.lock)
        self.queue: deque[_Work] = deque()  # the oldest first
        self.threads: list[threading.Thread] = []
        self.sweeper: threading.Thread | None = None
        self.idle = 0

    def _forked(self) -> None:
        """Begin again in the child of a fork, which has none of the threads."""
        self._begin()

    def add(self, work: _Work) -> None:
        oldest = None
        with self.lock:
            if self.is_shut:
                raise RuntimeError("cannot submit work after shutdown")
            if self.idle <= len(self.queue) and len(self.threads) < self.most_threads:
                self._start(self._serve, len(self.threads))
            if self.timeout is not None and self.sweeper is None and self.clock is time.monotonic:
                self._start(self._keep_sweeping, None)
            # What idle threads are about to take fills no room.
            if self.most is not None and len(self.queue) - self.idle >= self.most:
                oldest = self.queue.popleft()
                self.shed += 1
            self.queue.append(work)
            self.highest = max(self.highest, len(self.queue))
            self.has_work.notify()
            if len(self.queue) == 1:
                self.has_aged.notify()
        if oldest is not None:
            oldest.shed(ShedError("the queue is full of newer work", max_queue=self.most))

    def _start(self, target: Callable[[], None], number: int | None) -> None:
        """Start a thread; raise only if there is none to do the work. The caller holds the lock."""
        name = f"{self.name}-{'sweeper' if number is None else number}"
        thread = threading.Thread(target=target, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if number == 0:
                raise
            return
        if number is None:
            self.sweeper = thread
        else:
            self.threads.append(thread)
            self.idle += 1

    def _serve(self) -> None:
        while True:
            with self.lock:
                while not self.queue and not self.is_shut:
                    self.has_work.wait()
                self.idle -= 1
                if not self.queue:
                    return
                work = self.queue.pop()
            if self._is_late(work, self.clock()):
                self._drop([work])
            else:
                work.run()
            del work  # or its result lives until the next one comes
            with self.lock:
                self.idle += 1

    def _is_late(self, work: _Work, now: float) -> bool:
        return self.timeout is not None and now - work.since >= self.timeout

    def _drop(self, late: list[_Work]) -> None:
        with self.lock:
            self.shed += len(late)
        words = f"the work waited for over {self.timeout} s and was not begun"
        for work in late:
            work.shed(QueueTimeoutError(words, queue_timeout=self.timeout))

    def sweep(self) -> int:
        late = []
        now = self.clock()
        with self.lock:
            while self.queue and self._is_late(self.queue[0], now):
                late.append(self.queue.popleft())
        self._drop(late)
        return len(late)

    def _keep_sweeping(self) -> None:
        assert self.timeout is not None
        while True:
            self.sweep()
            with self.lock:
                if self.is_shut and not self.queue:
                    return
                if not self.queue:
                    self.has_aged.wait()
                else:
                    left = self.queue[0].since + self.timeout - self.clock()
                    self.has_aged.wait(max(left, 0.001))

    def shut(self, cancels: bool = False) -> list[threading.Thread]:
        """Take no more work, and return the threads, which end when the queue is empty."""
        cancelled: list[_Work] = []
        with self.lock:
            self.is_shut = True
            if cancels:
                cancelled.extend(self.queue)
                self.queue.clear()
            self.has_work.notify_all()
            self.has_aged.notify_all()
            threads = [*self.threads, *([self.sweeper] if self.sweeper else [])]
        for work in cancelled:
            work.future.cancel()
            work.future.set_running_or_notify_cancel()
        return threads


# Of every executor with threads; at exit their work is done before the interpreter ends.
_CORES: "weakref.WeakSet[_Core]" = weakref.WeakSet()


@atexit.register
def _finish() -> None:
    for core in list(_CORES):
        for thread in core.shut():
            thread.join()


class LifoExecutor(Executor):
    """Runs calls in `max_workers` threads, the newest first; a ``concurrent.futures.Executor``.

    - `max_workers`: threads, at least 1; each is started when there is work for it.
    - `queue_timeout`: seconds that work may wait, None for any time. What waited longer is not
      begun; its future gets ``QueueTimeoutError``, at that moment and not when a worker is free.
    - `max_queue`: works that may wait, None for any number. Beyond it the oldest is shed; its
      future gets ``ShedError``.
    - `name`: of its threads, before a number.
    - `clock`: seconds that never go back; with another than ``time.monotonic``, call ``sweep``
      when it has moved.

    Use it as a context manager, or call ``shutdown``. Raise ``TypeError`` and ``ValueError`` for
    arguments out of range.
    """

    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        max_workers: int,
        *,
        queue_timeout: float | None = None,
        max_queue: int | None = None,
        name: str = "godropbox-lifo",
        clock: _Clock = time.monotonic,
    ) -> None:
        if queue_timeout is not None:
            if isinstance(queue_timeout, bool) or not isinstance(queue_timeout, (int, float)):
                raise TypeError(
                    f"queue_timeout must be seconds or None, got {shown(queue_timeout)}"
                )
            if not 0 < queue_timeout <= threading.TIMEOUT_MAX:
                raise ValueError(
                    f"queue_timeout must be in (0, {threading.TIMEOUT_MAX:.0f}] s, "
                    f"got {shown(queue_timeout)}"
                )
        self._core = _Core(
            _count("max_workers", max_workers),
            queue_timeout,
            None if max_queue is None else _count("max_queue", max_queue),
            name,
            clock,
        )
        self._end = weakref.finalize(self, self._core.shut)
        self._end.atexit = False

    @property
    def queued(self) -> int:
        """How many works wait now."""
        return len(self._core.queue)

    @property
    def most_queued(self) -> int:
        """How many waited at most at one time."""
        return self._core.highest

    @property
    def shed(self) -> int:
        """How many were not begun, for want of time or of room."""
        return self._core.shed

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        """Have ``fn(*args, **kwargs)`` called in a thread, and return its future.

        Raise ``RuntimeError`` after ``shutdown``, and where no thread can be started.
        """
        work = _Work(partial(fn, *args, **kwargs), self._core.clock())
        self._core.add(work)
        return work.future

    def sweep(self) -> int:
        """Shed what has waited too long, and return how many those were."""
        return self._core.sweep()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what waits is still done, or cancelled if `cancel_futures`.

        With `wait`, return when all threads have ended.
        """
        threads = self._core.shut(cancel_futures)
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {shown(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {shown(value)}")
    return value
