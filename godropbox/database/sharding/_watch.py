"""A thread that breaks off what runs past its deadline, so that nobody waits for a dead host."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

__all__ = ["Watch"]


# Seconds until what was aborted and goes on is aborted again; the wait doubles up to the second.
_AGAIN = 0.02
_AGAIN_MOST = 1.0


class _Expired:
    __slots__ = ("moment", "target", "wait")

    def __init__(self, moment: float, target: Any) -> None:
        self.moment = moment
        self.wait = _AGAIN
        self.target = target


class Watch:
    """Calls `abort` with what is still under way at its deadline, by ``time.monotonic``.

    It is called again until ``end``: an abort that comes just before the work begins stops nothing.

    ``begin`` costs a dict's entry, and no lock unless its deadline comes before all others.
    """

    __slots__ = (
        "__weakref__",
        "_abort",
        "_active",
        "_expired",
        "_is_shut",
        "_next",
        "_numbers",
        "_thread",
        "_wake",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, abort: Callable[[Any], None]) -> None:
        self._abort = abort
        self._begin_again()
        begin_again_in_child(self)

    def _begin_again(self) -> None:
        self._active: dict[object, tuple[float, Any]] = {}
        self._expired: dict[object, _Expired] = {}  # was aborted, and has not ended
        self._wake = threading.Condition()  # a finalizer may close it anywhere
        self._next = 0.0  # when the thread looks next; it has none yet
        self._thread: threading.Thread | None = None
        self._is_shut = False

    def _forked(self) -> None:
        self._begin_again()

    def begin(self, target: Any, deadline: float) -> object:
        """Watch `target`; return what ``end`` takes."""
        token = object()
        self._active[token] = (deadline, target)
        if deadline < self._next or self._thread is None:
            try:
                self._look_sooner(deadline)
            except BaseException:  # no thread could be started
                self._active.pop(token, None)
                raise
        return token

    def end(self, token: object) -> bool:
        """Stop watching; return False if the deadline came first."""
        if self._active.pop(token, None) is not None:
            return True
        self._expired.pop(token, None)
        return False

    def close(self) -> None:
        """End the thread, once what is under way has ended."""
        with self._wake:
            self._is_shut = True
            self._wake.notify()

    def _look_sooner(self, deadline: float) -> None:
        with self._wake:
            if self._thread is None:
                self._next = deadline
                thread = threading.Thread(
                    target=self._run, name="godropbox-sharding-watch", daemon=True
                )
                thread.start()
                self._thread = thread
            elif deadline < self._next:
                self._next = deadline
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._is_shut and self._ends():
                    return
                seconds = self._next - monotonic()
                if seconds > 0:
                    self._wake.wait(min(seconds, 1.0 if self._is_shut else 3600.0))
                    if self._next > monotonic():
                        continue
                # From here on, whoever begins with an earlier deadline notifies.
                self._next = monotonic() + 3600.0
            following = self.expire()
            with self._wake:
                self._next = min(self._next, following)

    def _ends(self) -> bool:
        """Return whether nothing is watched any more, so that the thread ends."""
        # First: who begins from here on waits for the lock, and then starts another.
        thread, self._thread = self._thread, None
        if self._active or self._expired:
            self._thread = thread
            return False
        return True

    def expire(self) -> float:
        """Abort what is past its deadline; return when the next one is, or infinity."""
        now = monotonic()
        following = float("inf")
        for token, (deadline, target) in list(self._active.items()):
            if deadline > now:
                following = min(following, deadline)
                continue
            # It is entered there before it leaves here, so that ``end`` finds it.
            self._expired[token] = _Expired(now, target)
            if self._active.pop(token, None) is None:
                self._expired.pop(token, None)
        for expired in list(self._expired.values()):
            if expired.moment <= now:
                self._abort(expired.target)
                expired.moment = monotonic() + expired.wait
                expired.wait = min(2 * expired.wait, _AGAIN_MOST)
            following = min(following, expired.moment)
        return following
