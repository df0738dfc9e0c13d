"""The database under the caches: it keeps every key's order of writes, and so tells what is stale.

It is a ``Storage``. It is slow, as databases are, in a way that a test replaces.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["Database"]

_KEPT: Final = 512  # writes of each key whose order is remembered; an older value is stale


class Database:
    """Values of keys, each write with its number; threads may share it.

    `delay` is called in every read, after the row was read and before it is returned, and in every
    write before the row is written: there a test puts what is to happen meanwhile. `reads` and
    `writes` count.
    """

    def __init__(self, delay: Callable[[str, str], object] = lambda kind, key: None) -> None:
        self.reads = 0
        self.writes = 0
        self._delay = delay
        self._lock = threading.Lock()
        self._rows: dict[str, bytes] = {}
        self._orders: dict[str, OrderedDict[bytes, int]] = {}
        self._last = 0
        self._acknowledged: dict[str, int] = {}
        self._local = threading.local()

    # As a storage

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        with self._lock:
            self.reads += 1
            value = self._rows.get(key, default)
        self._local.was_read = True
        self._delay("read", key)
        return value

    def get_multi(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of `keys`; missing keys are left out."""
        found = {key: self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def set(self, key: str, value: bytes) -> None:
        """Write `value`, which must not have been written under `key` before."""
        self._delay("write", key)
        with self._lock:
            self.writes += 1
            self._put(key, value)

    def _put(self, key: str, value: bytes) -> None:
        self._last += 1
        self._rows[key] = value
        order = self._orders.setdefault(key, OrderedDict())
        order[value] = self._last
        if len(order) > _KEPT:
            order.popitem(last=False)

    def fill(self, key: str, value: bytes) -> None:
        """Have `value` under `key` from the start: nothing is counted, and it takes no time."""
        with self._lock:
            self._put(key, value)
            self._acknowledged[key] = self._last

    def set_multi(self, items: Mapping[str, bytes]) -> None:
        """Write all of `items`."""
        for key, value in items.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        """Delete `key`; a missing key is ignored."""
        with self._lock:
            self._rows.pop(key, None)

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Delete `keys`."""
        for key in keys:
            self.delete(key)

    def flush(self) -> None:
        """Delete everything."""
        with self._lock:
            self._rows.clear()

    # What is stale

    def begin(self, key: str) -> int:
        """Return the number of the last write of `key` that was acknowledged, as a read begins."""
        self._local.was_read = False
        with self._lock:
            return self._acknowledged.get(key, 0)

    def was_read(self) -> bool:
        """Tell whether this thread has read a row since it called ``begin``."""
        return bool(getattr(self._local, "was_read", False))

    def acknowledge(self, key: str, value: bytes) -> None:
        """Note that the writer of `value` was told that it is written."""
        with self._lock:
            number = self._number(key, value)
            self._acknowledged[key] = max(number, self._acknowledged.get(key, 0))

    def is_stale(self, key: str, value: bytes | None, floor: int) -> bool:
        """Tell whether a read that began at `floor` may not return `value` any more."""
        with self._lock:
            return self._number(key, value) < floor

    def _number(self, key: str, value: bytes | None) -> int:
        """Return the number of the write of `value`, 0 if it is none, or long ago."""
        order = self._orders.get(key)
        return 0 if order is None or value is None else order.get(value, 0)

    def is_current(self, key: str, value: bytes | None) -> bool:
        """Tell whether `value` is what the row of `key` has now."""
        with self._lock:
            return self._rows.get(key) == value
