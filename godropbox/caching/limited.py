"""A storage that limits how many operations run at once."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .._forks import begin_again_in_child
from .._kernels._args import checked_int, shown
from .._kernels._guarded import refuse_unrun, refuse_unrun_values, require_plain
from .._kernels._identity import refuse_copies
from ._calls import Calls, run
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

    _kind = "RateLimitedStorage"

    def __init__(self, storage: Any, max_concurrency: int, *, timeout: float | None = None) -> None:
        if checked_int("max_concurrency", "[1, 2**31)", max_concurrency, 1 << 31) < 1:
            raise ValueError(f"max_concurrency must be an int in [1, 2**31), got {max_concurrency}")
        if timeout is not None:
            require_number("timeout", timeout, "a number of seconds or None")
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"timeout must be at least 0 seconds or None, got {shown(timeout)}")
        self._check(storage)
        self._limit = max_concurrency
        self._storage = storage
        self._timeout = timeout
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Start without turns taken: at first, and in the child of a fork."""
        self._turns = threading.BoundedSemaphore(self._limit)

    def _check(self, storage: Any) -> None:
        """Raise ``TypeError`` for methods that cannot be called."""
        for name in ("get", "get_multi", "set", "set_multi", "delete", "delete_multi", "flush"):
            require_plain(f"storage.{name}", getattr(storage, name, None))

    @property
    def storage(self) -> Any:
        """The limited storage."""
        return self._storage

    def _enter(self) -> Any:
        """Take a turn, or raise ``StorageBusyError``."""
        if not self._turns.acquire(timeout=self._timeout):
            raise self._busy()

    def _busy(self) -> StorageBusyError:
        return StorageBusyError(
            f"{self._limit} operations are running, the most that max_concurrency allows, "
            f"and no turn came within {self._timeout:g} s"
        )

    def _operate(self, name: str, *arguments: Any) -> Calls[Any]:
        """Call a method of the storage in turn."""
        turns = self._turns  # the parent's, if the operation forks
        yield self._enter, ()
        try:
            result = yield getattr(self._storage, name), arguments
            if not arguments or result is not arguments[-1]:  # a default is the caller's own
                refuse_unrun(f"storage.{name}", result)
            return result
        finally:
            turns.release()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return run(self._get_calls(key, default))

    def _get_calls(self, key: Any, default: Any) -> Calls[Any]:
        return self._operate("get", key, default)

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        return run(self._get_multi_calls(keys))

    def _get_multi_calls(self, keys: Iterable[Any]) -> Calls[dict[Any, Any]]:
        found: dict[Any, Any] = yield from self._operate("get_multi", keys)
        refuse_unrun_values("storage.get_multi", found.values())
        return found

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        run(self._set_calls(key, value))

    def _set_calls(self, key: Any, value: Any) -> Calls[None]:
        yield from self._operate("set", key, value)

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        run(self._set_multi_calls(items))

    def _set_multi_calls(self, items: Mapping[Any, Any]) -> Calls[None]:
        yield from self._operate("set_multi", items)

    def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        run(self._delete_calls(key))

    def _delete_calls(self, key: Any) -> Calls[None]:
        yield from self._operate("delete", key)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        run(self._delete_multi_calls(keys))

    def _delete_multi_calls(self, keys: Iterable[Any]) -> Calls[None]:
        yield from self._operate("delete_multi", keys)

    def flush(self) -> None:
        """Delete everything."""
        run(self._flush_calls())

    def _flush_calls(self) -> Calls[None]:
        yield from self._operate("flush")

    def __repr__(self) -> str:
        return f"<{self._kind} of {self._storage!r}, {self._limit} at once>"
