"""Threads for scattered statements: at most so many, and none that keeps the process alive."""

import threading
from collections import deque
from collections.abc import Callable

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

__all__ = ["Workers"]

# Seconds that a thread waits for more work before it ends.
_PATIENCE = 10.0

_Call = Callable[[], object]


class Workers:
    """Runs calls in at most `most` daemon threads, `most_of_one` for a host; a call must not raise.

    A thread that a dead host holds is one less; it does not hold the caller, nor the exit. Calls of
    a host that has all its threads wait beside the queue, so that they hold up no other host.
    """

    __slots__ = (
        "__weakref__",
        "_busy",
        "_held",
        "_idle",
        "_lock",
        "_most",
        "_most_of_one",
        "_queue",
        "_threads",
        "_wake",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._begin_again()
        begin_again_in_child(self)

    def _begin_again(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[tuple[str, _Call]] = deque()
        self._busy: dict[str, int] = {}  # of each host, those in the queue included
        self._held: dict[str, deque[_Call]] = {}
        self._threads = self._idle = 0

    def _forked(self) -> None:
        self._begin_again()

    def submit(self, host: str, call: _Call) -> None:
        """Have `call` made by a thread; raise ``RuntimeError`` if there can be none."""
        with self._lock:
            busy = self._busy.get(host, 0)
            if busy >= self._most_of_one:
                self._held.setdefault(host, deque()).append(call)
                return
            self._busy[host] = busy + 1
            self._queue.append((host, call))
            if self._idle >= len(self._queue):
                self._wake.notify()
            elif self._threads < self._most:
                self._start()

    def withdraw(self, host: str, call: _Call) -> bool:
        """Take back a call that no thread has begun; return whether there is none."""
        with self._lock:
            held = self._held.get(host)
            if held is not None and call in held:
                held.remove(call)
                if not held:
                    del self._held[host]
                return True
            if (host, call) in self._queue:
                self._queue.remove((host, call))
                self._done_with(host)
                return True
            return False

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="godropbox-sharding", daemon=True)
        self._threads += 1
        try:
            thread.start()
        except RuntimeError:
            self._threads -= 1
            if not self._threads:
                host, _ = self._queue.pop()
                self._done_with(host)
                raise

    def _done_with(self, host: str) -> None:
        """Let a call of the host that is held follow one that is not counted any more."""
        held = self._held.get(host)
        if held is None:
            left = self._busy[host] - 1
            if left:
                self._busy[host] = left
            else:
                del self._busy[host]  # hosts come and go
            return
        self._queue.append((host, held.popleft()))
        if not held:
            del self._held[host]

    def _serve(self) -> None:
        host: str | None = None
        while True:
            with self._lock:
                if host is not None:
                    self._done_with(host)
                if not self._queue:
                    self._idle += 1
                    self._wake.wait(_PATIENCE)
                    self._idle -= 1
                if not self._queue:
                    self._threads -= 1
                    return
                host, call = self._queue.popleft()
            call()
            del call  # or its result lives until the next one comes
