"""A storage that limits how many operations run at once."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._forks import begin_again_in_child
from .._kernels._args import checked_int, shown
from .._kernels._guarded import refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from .options import require_number
from .storage import StorageBusyError

__all__ = ["RateLimitedStorage"]


class RateLimitedStorage:
    """Runs at most `max_concurrency` operations of `storage` at once.

    An operation is one call, on any number of keys. The others wait for their turn, for at most
    `timeout` seconds each (None: no limit), and then raise ``StorageBusyError`` without doing
    anything. An async storage, whose calls return before they are done, is refused with a
    ``TypeError``.
    """

    __slots__ = ("__weakref__", "_limit", "_storage", "_timeout", "_turns")
    __reduce_ex__ = refuse_copies

    def __init__(self, storage: Any, max_concurrency: int, *, timeout: float | None = None) -> None:
        if checked_int("max_concurrency", "[1, 2**31)", max_concurrency, 1 << 31) < 1:
            raise ValueError(f"max_concurrency must be an int in [1, 2**31), got {max_concurrency}")
        if timeout is not None:
            require_number("timeout", timeout, "a number of seconds or None")
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"timeout must be at least 0 seconds or None, got {shown(timeout)}")
        for name in ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush"):
            require_plain(f"storage.{name}", getattr(storage, name, None))
        self._limit = max_concurrency
        self._storage = storage
        self._timeout = timeout
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Start without turns taken: at first, and in the child of a fork."""
        self._turns = threading.BoundedSemaphore(self._limit)

    @property
    def storage(self) -> Any:
        """The limited storage."""
        return self._storage

    @contextmanager
    def _turn(self) -> Iterator[None]:
        turns = self._turns  # the parent's, if the operation forks
        if not turns.acquire(timeout=self._timeout):
            raise StorageBusyError(
                f"{self._limit} operations are running, the most that max_concurrency allows, "
                f"and no turn came within {self._timeout:g} s"
            )
        try:
            yield
        finally:
            turns.release()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        with self._turn():
            value = self._storage.get(key, default)
            if value is not default:
                refuse_unrun("storage.get", value)
            return value

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        with self._turn():
            found: dict[Any, Any] = self._storage.get_multi(keys)
            refuse_unrun("storage.get_multi", found)
            refuse_unrun_values("storage.get_multi", found.values())
            return found

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        with self._turn():
            refuse_unrun("storage.set", self._storage.set(key, value))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        with self._turn():
            refuse_unrun("storage.set_multi", self._storage.set_multi(items))

    def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        with self._turn():
            refuse_unrun("storage.delete", self._storage.delete(key))

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        with self._turn():
            refuse_unrun("storage.delete_multi", self._storage.delete_multi(keys))

    def flush(self) -> None:
        """Delete everything."""
        with self._turn():
            refuse_unrun("storage.flush", self._storage.flush())

    def __repr__(self) -> str:
        return f"<RateLimitedStorage of {self._storage!r}, {self._limit} at once>"
