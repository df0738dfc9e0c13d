"""The background thread that closes handles which were idle for too long."""

import sys
import threading
import weakref
from typing import Any

from .._forks import begin_again_in_child
from .._kernels._identity import refuse_copies
from ._options import log

__all__ = ["Reaper"]


class Reaper:
    """Calls ``pool.reap()`` every `interval` seconds, from the first ``start`` to ``stop``.

    It does not keep the pool alive: the thread ends when the pool is gone.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, pool: Any, interval: float) -> None:
        self._interval = interval
        self._prepare(pool)
        begin_again_in_child(self)

    def _prepare(self, pool: Any) -> None:
        stopped, is_ending = threading.Event(), sys.is_finalizing
        self._stopped = stopped

        # It must hold neither the reaper, which the pool holds, nor what ends before the pool.
        def stop(_: object) -> None:
            # At its end the interpreter stops the thread wherever it is: it keeps the event's lock.
            if not is_ending():
                stopped.set()

        self._pool = weakref.ref(pool, stop)
        # The caller that pops the ticket starts the thread. A fork could leave a lock locked.
        self._ticket = [True] if self._interval else []

    def start(self) -> None:
        """Start the thread, unless it was started before or the interval is 0."""
        try:
            self._ticket.pop()
        except IndexError:
            return
        thread = threading.Thread(
            target=_run,
            args=(self._pool, self._stopped, self._interval),
            name="godropbox pool reaper",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter is exiting: a pool works without one.
            self._ticket.append(True)

    def stop(self) -> None:
        """Tell the thread to end."""
        self._stopped.set()

    def _forked(self) -> None:
        """Let the next ``start`` start the thread, in the child of a fork, which has none.

        The event is replaced, because its lock may have been held when the process forked.
        """
        pool = self._pool()
        if pool is not None and not self._stopped.is_set():
            self._prepare(pool)


def _run(reference: Any, stopped: threading.Event, interval: float) -> None:
    while not stopped.wait(min(interval, threading.TIMEOUT_MAX)):
        pool = reference()
        if pool is None:
            return
        try:
            pool.reap()
        except Exception as error:  # which would end the thread
            log("reaping", error)
        del pool
