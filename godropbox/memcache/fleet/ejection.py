"""Ejection: stop using a failing server for a while, then try it again. No I/O.

A server is ejected after a number of failures in a row. After the back-off one operation is let
through as a trial, and its outcome decides whether the server comes back. The next trial starts one
back-off later at the earliest, so a trial that never ends, or never reaches the server, does not
block the others for good. The clock is injected.
"""

import threading
from typing import TYPE_CHECKING, Final

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

if TYPE_CHECKING:
    from .options import ShardOptions

__all__ = ["Ejection", "Health"]


class Ejection:
    """State shared by the servers of one manager: options, lock, number of ejected servers."""

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
        """Return the health record of a new server."""
        return Health(self)

    def count(self, change: int) -> None:
        """Add `change` to the number of ejected servers; the caller holds the lock."""
        self._out += change
        self.admits_all = not self._out

    def wait(self, times: int) -> float:
        """Return the back-off in seconds after `times` failed trials."""
        options = self.options
        longest = min(options.retry_after * 2.0 ** min(times, 1000), options.max_retry_after)
        return longest * (1 - options.retry_jitter * options.random())


class Health:
    """Health record of one server: `failures` in a row, and whether it is ejected."""

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
        """Count a failure; eject the server or extend its ejection."""
        ejection = self._ejection
        with ejection.lock:
            if self._is_retired:
                return
            self.failures += 1
            if self.is_ejected and not self._is_tried:
                return  # from an operation that began before the ejection
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
        """Reset the failures and readmit the server."""
        with self._ejection.lock:
            self._forget()

    def retire(self) -> None:
        """Stop counting: the server has left the fleet."""
        with self._ejection.lock:
            self._forget()
            self._is_retired = True

    def _forget(self) -> None:
        if self.is_ejected:
            self._ejection.count(-1)
        self.failures = self._attempts = 0
        self.is_ejected = self._is_tried = False

    def admits(self) -> bool:
        """Return whether an operation may go to the server; an ejected one admits one trial."""
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
        """Return whether an operation whose keys map to this server may be sent to it.

        When keys are diverted, only a trial's keys map to an ejected server, unless no other server
        is left.
        """
        if not self.is_ejected:
            return True
        return self._is_tried if self._ejection.options.diverts else self.admits()
