"""Keys in doubt: their entries in the cache may be older than the storage, until invalidated."""

import threading
from collections.abc import Container, Iterable
from itertools import islice
from typing import Any, Final

from .._forks import begin_again_in_child
from .._kernels._guarded import refuse_unrun
from .._kernels._identity import refuse_copies
from ._calls import Calls
from ._failures import REFUSALS, failed_keys, reads_refuse
from .options import CacheOptions
from .storage import PartialFailureError

__all__ = ["Doubts"]

# The most keys that are invalidated in one call.
_BATCH: Final = 1000


class Doubts:
    """Keeps at most ``options.max_doubts`` keys, and invalidates them when it is asked and due.

    `owed` is whether there are any: all that an operation checks if there are none.
    """

    __slots__ = ("__weakref__", "_cache", "_due", "_keys", "_lock", "_options", "_trying", "owed")
    __reduce_ex__ = refuse_copies

    def __init__(self, cache: Any, options: CacheOptions) -> None:
        self._cache = cache
        self._options = options
        self._keys: dict[Any, object] = {}  # with a new object each time the key is added
        self._due = float("-inf")
        self.owed = False
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Start without an attempt under way: at first, and in the child of a fork."""
        self._lock = threading.RLock()  # a finalizer can run in any section
        self._trying = False

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Any) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Any], tried: bool, always: bool = False) -> bool:
        """Remember `keys`; return whether there was room for all of them.

        `tried` says that invalidating them has just failed: the next attempt waits. With `always`
        the limit is ignored, as there is no writer to raise an error to.
        """
        with self._lock:
            if tried:
                self._due = self._options.clock() + self._options.retry_after
            for key in keys:
                is_full = len(self._keys) >= self._options.max_doubts
                if is_full and not always and key not in self._keys:
                    return False
                self._keys[key] = object()
                self.owed = True
        return True

    def all(self) -> dict[Any, object]:
        """Return the present keys, for ``settle``."""
        with self._lock:
            return self._keys.copy()

    def settle(self, chosen: dict[Any, object], left: Container[Any] = ()) -> None:
        """Forget the keys of `chosen` that are not `left`: the cache holds nothing old of them.

        A key that was added again since it was chosen is kept. Those `left` go to the end, since
        some may fail for good.
        """
        with self._lock:
            for key, when in chosen.items():
                if self._keys.get(key) is when:
                    del self._keys[key]
                    if key in left:
                        self._keys[key] = when
            self.owed = bool(self._keys)

    def retry(self, now: bool = False) -> Calls[Exception | None]:
        """Invalidate some of the keys if that is due, or `now`; return the cache's exception."""
        with self._lock:
            if self._trying or not self._keys:
                return None
            if not now and self._options.clock() < self._due:
                return None
            self._trying = True
            chosen = dict(islice(self._keys.items(), _BATCH))
        left: Container[Any] = chosen
        failure: Exception | None = None
        try:
            still, failure = yield from self.invalidate(list(chosen))
            left = set(still)
        finally:
            with self._lock:
                self._trying = False
                self._due = self._options.clock() + (self._options.retry_after if left else 0.0)
                self.settle(chosen, left)
        return failure

    def invalidate(self, keys: list[Any]) -> Calls[tuple[list[Any], Exception | None]]:
        """Delete `keys` from the cache; return those that may remain, and the exception.

        A key that deletes and reads refuse cannot be in the cache.
        """
        try:
            if len(keys) == 1:
                refuse_unrun("cache.delete", (yield self._cache.delete, (keys[0],)))
            elif keys:
                refuse_unrun("cache.delete_multi", (yield self._cache.delete_multi, (keys,)))
        except PartialFailureError as error:
            return failed_keys(error, keys), error
        except (TypeError, ValueError) as error:
            if len(keys) == 1:
                refused = issubclass(type(error), REFUSALS) and (
                    yield from reads_refuse(self._cache, keys[0])
                )
                return [] if refused else keys, error
            # One of them may be at fault.
            remaining: list[Any] = []
            for key in keys:
                left, _ = yield from self.invalidate([key])
                remaining += left
            return remaining, error
        except Exception as error:
            return keys, error
        return [], None
