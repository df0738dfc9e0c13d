"""Connecting in a thread of its own: drivers wait for a frozen host for ever."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic
from typing import Any

from ..._forks import begin_again_in_child
from ..._kernels._identity import refuse_copies

__all__ = ["Dialling", "HeldError"]


class HeldError(TimeoutError):
    """As many threads connect to the host as may, and none ended in time."""


class Dialling:
    """Connects to hosts, with at most `most` threads for each, those that were left included."""

    __slots__ = ("__weakref__", "_busy", "_connect", "_free", "_most")
    __reduce_ex__ = refuse_copies

    def __init__(self, connect: Callable[[str], Any], most: int) -> None:
        self._connect = connect
        self._most = most
        self._begin_again()
        begin_again_in_child(self)

    def _begin_again(self) -> None:
        self._busy: dict[str, int] = {}
        self._free = threading.Condition()

    def _forked(self) -> None:
        self._begin_again()

    def dial(self, host: str, seconds: float) -> Any:
        """Return a new connection; raise what `connect` raises, ``TimeoutError`` after `seconds`.

        A connection that comes later is closed. Raise ``HeldError`` if no thread is free by then.
        """
        seconds = min(seconds, threading.TIMEOUT_MAX)
        deadline = monotonic() + seconds
        with self._free:
            if not self._free.wait_for(lambda: self._busy.get(host, 0) < self._most, seconds):
                raise HeldError(f"{self._most} threads are connecting to it already")
            self._busy[host] = self._busy.get(host, 0) + 1
        call = _Call(self._connect, host, self._ended)
        thread = threading.Thread(
            target=copy_context().run, args=(call.run,), name="godropbox-sharding-dial", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            self._ended(host)
            raise
        return call.wait(deadline, seconds)

    def _ended(self, host: str) -> None:
        with self._free:
            left = self._busy[host] - 1
            if left:
                self._busy[host] = left
            else:
                del self._busy[host]
            self._free.notify_all()


class _Call:
    __slots__ = ("_connect", "_done", "_ended", "_error", "_host", "_is_left", "_lock", "_made")

    def __init__(
        self, connect: Callable[[str], Any], host: str, ended: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._host = host
        self._ended = ended
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._made: Any = None
        self._error: BaseException | None = None
        self._is_left = False

    def run(self) -> None:
        made: Any = None
        try:
            made = self._connect(self._host)
        except BaseException as error:  # which the caller raises
            self._error = error
        finally:
            self._ended(self._host)
        with self._lock:
            self._made = made
            self._done.set()
            is_late = self._is_left and self._error is None
        if is_late and made is not None:
            try:
                made.close()
            except Exception:  # it is broken
                return

    def wait(self, deadline: float, seconds: float) -> Any:
        try:
            self._done.wait(max(0.0, deadline - monotonic()))
        finally:
            with self._lock:
                self._is_left = not self._done.is_set()
        if self._is_left:
            raise TimeoutError(f"no connection to {self._host} within {seconds:.3g} s")
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._made
