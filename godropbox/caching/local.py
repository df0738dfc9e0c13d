"""A storage in this process: bounded, least recently used out first, with a time to live.

The map is cachebox's (``pip install godropbox[local]``). Where that is not installed an ordered
dict under a lock stands in: the same behaviour, slower. ``LocalStorage.engine`` tells which.

This file is compiled as it stands, with ``local.pxd`` to say the types, or runs as it is.
"""

import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from random import random as uniform
from time import monotonic
from typing import Any, Literal

from .._kernels._args import checked_int, shown
from .options import require_number

__all__ = ["Held", "LocalStorage", "OrderedMap"]

# Under other names, since the compiler tests and converts a plain int or float before we see it.
_Int = int
_Float = float


class Held:
    """A value, and when its time is over by the storage's clock."""

    __slots__ = ("deadline", "value")

    def __init__(self, value: Any, deadline: float) -> None:
        self.value = value
        self.deadline = deadline


class OrderedMap:
    """What is asked of cachebox's ``LRUCache``, by an ordered dict."""

    __slots__ = ("_items", "_lock", "maxsize")

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self._items: OrderedDict[Any, Any] = OrderedDict()
        # A thread may take it twice: a finalizer can run in any section.
        self._lock = threading.RLock()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, which is then the last to go, or `default`."""
        with self._lock:
            if key not in self._items:
                return default
            self._items.move_to_end(key)
            return self._items[key]

    def insert(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, and let what was not used for longest go if it is too much."""
        with self._lock:
            self._items[key] = value
            self._items.move_to_end(key)
            if len(self._items) > self.maxsize:
                self._items.popitem(last=False)

    def update(self, items: Mapping[Any, Any]) -> None:
        """Insert every value of `items`."""
        for key, value in items.items():
            self.insert(key, value)

    def pop(self, key: Any, default: Any = None) -> Any:
        """Take `key` out and return its value, or `default`."""
        with self._lock:
            return self._items.pop(key, default)

    def clear(self) -> None:
        """Take everything out."""
        with self._lock:
            self._items.clear()

    def __len__(self) -> int:
        return len(self._items)


def _new_map(engine: object, maxsize: int) -> tuple[str, Any]:
    """Return the name of the engine to use, and its map."""
    if engine not in ("auto", "cachebox", "ordered"):
        raise ValueError(f"engine must be 'auto', 'cachebox' or 'ordered', got {shown(engine)}")
    if engine != "ordered":
        try:
            return "cachebox", importlib.import_module("cachebox").LRUCache(maxsize)
        except ImportError as error:
            if engine == "cachebox":
                raise ImportError(
                    "engine='cachebox' needs cachebox: pip install 'godropbox[local]'"
                ) from error
    return "ordered", OrderedMap(maxsize)


class LocalStorage:
    """Keeps at most `maxsize` values, each for at most `ttl` seconds (None: until it is evicted).

    Each value lives for `ttl` less a random part of it of up to `jitter` (0 to 1), so that what
    was kept together is not gone together. A value whose time is over is not returned; its place
    is used again when its key is set or its turn to be evicted comes. Values are kept as they are,
    not copied: who changes one changes it for all.

    `engine` is ``"cachebox"``, which raises ``ImportError`` where it is not installed,
    ``"ordered"``, which needs nothing, or ``"auto"``, the first that there is. `clock` and
    `random` are replaced in tests.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_engine",
        "_jitter",
        "_look",
        "_map",
        "_maxsize",
        "_random",
        "_timed",
        "_ttl",
    )

    def __init__(
        self,
        maxsize: _Int,
        *,
        ttl: _Float | None = None,
        jitter: _Float = 0.1,
        engine: Literal["auto", "cachebox", "ordered"] = "auto",
        clock: Callable[[], float] = monotonic,
        random: Callable[[], float] = uniform,
    ) -> None:
        if checked_int("maxsize", "[1, 2**31)", maxsize, 1 << 31) < 1:
            raise ValueError(f"maxsize must be an int in [1, 2**31), got {maxsize}")
        if ttl is not None:
            require_number("ttl", ttl, "over 0 seconds or None")
            if not ttl > 0:
                raise ValueError(f"ttl must be over 0 seconds or None, got {shown(ttl)}")
        require_number("jitter", jitter, "in [0, 1]")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be in [0, 1], got {shown(jitter)}")
        self._engine, self._map = _new_map(engine, maxsize)
        self._look = self._map.get
        self._maxsize = maxsize
        self._timed = ttl is not None
        self._ttl = 0.0 if ttl is None else ttl
        self._jitter = jitter
        self._clock = clock
        self._random = random

    @property
    def engine(self) -> str:
        """What keeps the values: ``"cachebox"`` or ``"ordered"``."""
        return self._engine

    @property
    def maxsize(self) -> int:
        """How many values are kept at most."""
        return self._maxsize

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        if not self._timed:
            return self._look(key, default)
        found = self._look(key, None)
        if found is None:
            return default
        held: Held = found
        return held.value if self._clock() < held.deadline else default

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        found = {}
        now = self._clock() if self._timed else 0.0
        for key in keys:
            value = self._look(key, self)  # which nobody keeps in itself
            if value is self:
                continue
            if self._timed:
                held: Held = value
                if now < held.deadline:
                    found[key] = held.value
            else:
                found[key] = value
        return found

    def _kept(self, value: Any) -> Any:
        """Return a value as it is put into the map."""
        if not self._timed:
            return value
        life = self._ttl * (1.0 - self._jitter * self._random())
        return Held(value, self._clock() + life)

    def set(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, in place of what is there."""
        self._map.insert(key, self._kept(value))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Keep every value of `items` under its key."""
        self._map.update({key: self._kept(value) for key, value in items.items()})

    def delete(self, key: Any) -> None:
        """Have nothing under `key`; a key that is not there is no error."""
        self._map.pop(key, None)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Have nothing under any of `keys`."""
        for key in keys:
            self._map.pop(key, None)

    def flush(self) -> None:
        """Have nothing at all."""
        self._map.clear()

    def __len__(self) -> int:
        return len(self._map)

    def __repr__(self) -> str:
        life = f", {self._ttl:g} s each" if self._timed else ""
        return f"<LocalStorage of {len(self)} of {self._maxsize} values{life}, {self._engine}>"
