"""Leaving a failing server alone for a while: when, for how long, and who tries it again.

No I/O, no waiting: the clock is injected. A server is ejected after so many failures in a row;
after the back-off one operation is let through, and its end tells whether the server is back. The
next is let through one back-off later at the earliest, so that one that never ends, or that never
reaches the server, holds nobody up for good.
"""

import threading
from typing import TYPE_CHECKING, Final

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

if TYPE_CHECKING:
    from .options import ShardOptions

__all__ = ["Ejection", "Health"]


class Ejection:
    """What the servers of one manager have in common: the options, a lock, how many are out."""

    __reduce_ex__ = refuse_copies

    def __init__(self, options: "ShardOptions") -> None:
        self.options: Final = options
        self.lock = threading.Lock()
        self.admits_all = True
        self._out = 0
        begin_again_in_child(self)

    def _forked(self) -> None:
        self.lock = threading.Lock()

    def new_health(self) -> "Health":
        """Return the record of a server that was never heard of before."""
        return Health(self)

    def count(self, change: int) -> None:
        """Count a server that goes out or comes back; the lock is held."""
        self._out += change
        self.admits_all = not self._out

    def wait(self, times: int) -> float:
        """Return the back-off after as many failed attempts, in seconds."""
        options = self.options
        longest = min(options.retry_after * 2.0 ** min(times, 1000), options.max_retry_after)
        return longest * (1 - options.retry_jitter * options.random())


class Health:
    """The record of one server: `failures` in a row, and whether it is ejected."""

    __slots__ = (
        "_attempts",
        "_ejection",
        "_is_retired",
        "_is_tried",
        "_until",
        "failures",
        "is_ejected",
        "is_watched",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, ejection: Ejection) -> None:
        self._ejection: Final = ejection
        self.is_watched: Final = ejection.options.eject_after > 0
        self.failures = 0
        self.is_ejected = False
        self._attempts = 0
        self._is_retired = False
        self._is_tried = False
        self._until = 0.0

    def failed(self) -> None:
        """Count a failure; eject the server, or leave it out for longer."""
        ejection = self._ejection
        with ejection.lock:
            if self._is_retired:
                return
            self.failures += 1
            if self.is_ejected and not self._is_tried:
                return  # of an operation that began before the server was ejected
            if self.is_ejected:
                self._attempts += 1
            elif self.failures >= ejection.options.eject_after:
                self.is_ejected = True
                ejection.count(+1)
            else:
                return
            self._is_tried = False
            self._until = ejection.options.clock() + ejection.wait(self._attempts)

    def succeeded(self) -> None:
        """Forget the failures, and take the server back."""
        with self._ejection.lock:
            self._forget()

    def retire(self) -> None:
        """Count no more, as the server is of the fleet no more."""
        with self._ejection.lock:
            self._forget()
            self._is_retired = True

    def _forget(self) -> None:
        if self.is_ejected:
            self._ejection.count(-1)
        self.failures = self._attempts = 0
        self.is_ejected = self._is_tried = False

    def admits(self) -> bool:
        """Tell whether an operation may go to the server, as the one that tries it if it is out."""
        if not self.is_ejected:
            return True
        ejection = self._ejection
        with ejection.lock:
            if self.is_ejected:
                now = ejection.options.clock()
                if now < self._until:
                    return False
                self._is_tried = True
                self._until = now + ejection.wait(self._attempts)
            return True

    def lets_through(self) -> bool:
        """Tell whether an operation whose keys were placed on the server may go there.

        Where keys are diverted, those placed here are the trial's, unless no server is left.
        """
        if not self.is_ejected:
            return True
        return self._is_tried if self._ejection.options.diverts else self.admits()
