"""What the locks of threads and of tasks share: their timeouts, their order and their error."""

import threading
from collections.abc import Hashable, Iterable

from .._kernels._args import shown
from ..errors import DropboxError

__all__ = ["LockTimeoutError", "in_order", "seconds", "timed_out"]


class LockTimeoutError(DropboxError):
    """Others held the lock of a key until the timeout."""


def timed_out(key: Hashable, timeout: float | None) -> LockTimeoutError:
    """Return the error for a key that was not got."""
    return LockTimeoutError(f"others held the lock of {shown(key)} for {timeout} s")


def seconds(timeout: object) -> float:
    """Return a timeout, or raise for what is none."""
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise TypeError(f"timeout must be seconds or None, got {shown(timeout)}")
    if not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"timeout must be in [0, {threading.TIMEOUT_MAX:.0f}] s, got {shown(timeout)}"
        )
    return timeout


def in_order(keys: Iterable[Hashable]) -> list[Hashable]:
    """Return each key once, in an order that is the same for all callers in this process."""
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"keys must be an iterable of keys, got {shown(keys)}")
    return sorted(set(keys), key=lambda key: (hash(key), type(key).__qualname__, repr(key)))
