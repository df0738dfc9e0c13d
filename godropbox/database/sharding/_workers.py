"""Threads for scattered statements: at most so many, and none that keeps the process alive."""

import threading
from collections import deque
from collections.abc import Callable

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

__all__ = ["Workers"]

# Seconds that a thread waits for more work before it ends.
_PATIENCE = 10.0


class Workers:
    """Runs calls in at most `most` daemon threads, in their order; a call must not raise.

    A thread that a dead host holds is one less; it does not hold the caller, nor the exit.
    """

    __slots__ = ("__weakref__", "_idle", "_lock", "_most", "_queue", "_threads", "_wake")
    __reduce_ex__ = refuse_copies

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin_again()
        begin_again_in_child(self)

    def _begin_again(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[Callable[[], object]] = deque()
        self._threads = self._idle = 0

    def _forked(self) -> None:
        self._begin_again()

    def submit(self, call: Callable[[], object]) -> None:
        """Have `call` made by a thread; raise ``RuntimeError`` if there can be none."""
        with self._lock:
            self._queue.append(call)
            if self._idle >= len(self._queue):
                self._wake.notify()
            elif self._threads < self._most:
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="godropbox-sharding", daemon=True)
        self._threads += 1
        try:
            thread.start()
        except RuntimeError:
            self._threads -= 1
            if not self._threads:
                self._queue.pop()
                raise

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._idle += 1
                    self._wake.wait(_PATIENCE)
                    self._idle -= 1
                if not self._queue:
                    self._threads -= 1
                    return
                call = self._queue.popleft()
            call()
            del call  # or its result lives until the next one comes
