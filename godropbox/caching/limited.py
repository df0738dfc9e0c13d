"""A storage that is asked by no more than so many callers at once."""

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
    """Lets at most `max_concurrency` operations at once through to `storage`.

    An operation is one call, on however many keys. The others wait for their turn, for at most
    `timeout` seconds each (None: for ever), and then raise ``StorageBusyError``, having done
    nothing. An operation that ends in any way at all gives up its place. An async storage, whose
    operations end before they are carried out, is refused with a ``TypeError``.
    """

    __slots__ = ("__weakref__", "_limit", "_places", "_storage", "_timeout")
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
        """Begin, or begin again in the child of a fork, where nobody else has a turn."""
        self._places = threading.BoundedSemaphore(self._limit)

    @property
    def storage(self) -> Any:
        """The storage that is limited."""
        return self._storage

    @contextmanager
    def _turn(self) -> Iterator[None]:
        places = self._places  # those of a parent, if the operation forks
        if not places.acquire(timeout=self._timeout):
            raise StorageBusyError(
                f"{self._limit} operations are going on, which is as many as there may be, "
                f"and no turn came within {self._timeout:g} s"
            )
        try:
            yield
        finally:
            places.release()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        with self._turn():
            value = self._storage.get(key, default)
            if value is not default:
                refuse_unrun("storage.get", value)
            return value

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        with self._turn():
            found: dict[Any, Any] = self._storage.get_multi(keys)
            refuse_unrun("storage.get_multi", found)
            refuse_unrun_values("storage.get_multi", found.values())
            return found

    def set(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, in place of what is there."""
        with self._turn():
            refuse_unrun("storage.set", self._storage.set(key, value))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Keep every value of `items` under its key."""
        with self._turn():
            refuse_unrun("storage.set_multi", self._storage.set_multi(items))

    def delete(self, key: Any) -> None:
        """Have nothing under `key`; a key that is not there is no error."""
        with self._turn():
            refuse_unrun("storage.delete", self._storage.delete(key))

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Have nothing under any of `keys`."""
        with self._turn():
            refuse_unrun("storage.delete_multi", self._storage.delete_multi(keys))

    def flush(self) -> None:
        """Have nothing at all."""
        with self._turn():
            refuse_unrun("storage.flush", self._storage.flush())

    def __repr__(self) -> str:
        return f"<RateLimitedStorage of {self._storage!r}, {self._limit} at once>"
