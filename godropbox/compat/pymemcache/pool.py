"""pymemcache's pool of objects. The clients here have pools of their own, which are faster."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["ObjectPool"]

T = TypeVar("T")


class ObjectPool(Generic[T]):
    """Lends objects that `obj_creator` makes, at most `max_size` at a time.

    One that was idle for more than `idle_timeout` seconds, 0 for never, is dropped; `after_remove`
    is called with each object that is. A `lock_generator` makes the lock.
    """

    def __init__(
        self,
        obj_creator: Callable[[], T],
        after_remove: Callable[[T], object] | None = None,
        max_size: int | None = None,
        idle_timeout: float = 0,
        lock_generator: Callable[[], Any] | None = None,
    ) -> None:
        size = max_size or 2**31
        if not isinstance(size, int) or size < 0:
            raise ValueError('"max_size" must be a positive integer')
        self._used_objs: deque[T] = deque()
        self._free_objs: deque[tuple[T, float]] = deque()
        self._obj_creator = obj_creator
        self._after_remove = after_remove
        self._lock = threading.Lock() if lock_generator is None else lock_generator()
        self._idle_clock: Callable[[], float] = time.time if idle_timeout else float
        self.max_size = size
        self.idle_timeout = idle_timeout

    @property
    def used(self) -> tuple[T, ...]:
        """The objects on loan."""
        return tuple(self._used_objs)

    @property
    def free(self) -> tuple[T, ...]:
        """The objects that are idle."""
        return tuple(obj for obj, _ in self._free_objs)

    @contextlib.contextmanager
    def get_and_release(self, destroy_on_fail: bool = False) -> Iterator[T]:
        """Lend an object for a block; after an exception it is dropped with `destroy_on_fail`."""
        obj = self.get()
        try:
            yield obj
        except Exception:
            if destroy_on_fail:
                self.destroy(obj)
            else:
                self.release(obj)
            raise
        self.release(obj)

    def get(self) -> T:
        """Return an object; raise ``RuntimeError`` if all are on loan."""
        with self._lock:
            now = self._idle_clock()
            obj = None
            while self._free_objs and obj is None:
                idle, since = self._free_objs.popleft()
                if now - since <= self.idle_timeout:
                    obj = idle
                else:
                    self._removed(idle)
            if obj is None:
                count = len(self._used_objs)
                if count >= self.max_size:
                    raise RuntimeError(f"Too many objects, {count} >= {self.max_size}")
                obj = self._obj_creator()
            self._used_objs.append(obj)
            return obj

    def destroy(self, obj: T, silent: bool = True) -> None:
        """Drop an object on loan; unless `silent`, raise ``ValueError`` for another."""
        with self._lock:
            known = self._take_back(obj, silent)
        if known:
            self._removed(obj)

    def release(self, obj: T, silent: bool = True) -> None:
        """Take an object back; unless `silent`, raise ``ValueError`` for one not on loan."""
        with self._lock:
            if self._take_back(obj, silent):
                self._free_objs.append((obj, self._idle_clock()))

    def clear(self) -> None:
        """Drop all objects, those on loan as well."""
        with self._lock:
            dropped = [*self._used_objs, *self.free]
            self._used_objs.clear()
            self._free_objs.clear()
        for obj in dropped:
            self._removed(obj)

    def _take_back(self, obj: T, silent: bool) -> bool:
        try:
            self._used_objs.remove(obj)
        except ValueError:
            if not silent:
                raise
            return False
        return True

    def _removed(self, obj: T) -> None:
        if self._after_remove is not None:
            self._after_remove(obj)
