"""Connecting in a thread of its own: drivers wait for a frozen host for ever."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

__all__ = ["dial"]


def dial(connect: Callable[[str], Any], host: str, seconds: float) -> Any:
    """Return ``connect(host)``, or raise what it raises, or ``TimeoutError`` after `seconds`.

    A connection that comes later is closed.
    """
    call = _Call(connect, host)
    thread = threading.Thread(
        target=copy_context().run, args=(call.run,), name="godropbox-sharding-dial", daemon=True
    )
    thread.start()
    return call.wait(seconds)


class _Call:
    __slots__ = ("_connect", "_done", "_error", "_host", "_is_left", "_lock", "_made")

    def __init__(self, connect: Callable[[str], Any], host: str) -> None:
        self._connect = connect
        self._host = host
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
        with self._lock:
            self._made = made
            self._done.set()
            is_late = self._is_left and self._error is None
        if is_late and made is not None:
            made.close()

    def wait(self, seconds: float) -> Any:
        try:
            self._done.wait(min(seconds, threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                self._is_left = not self._done.is_set()
        if self._is_left:
            raise TimeoutError(f"no connection to {self._host} within {seconds:.3g} s")
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._made
