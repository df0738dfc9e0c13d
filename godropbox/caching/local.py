# cython: annotation_typing=True
"""A storage in this process: bounded, least recently used out first, with a time to live.

No lock is held while a key is hashed or compared, or a key or a value is let go: any of these can
be code of the user's that uses the storage, or waits for a thread that does. Keys are looked up in
a plain dict, which allows for that; the order of use is kept apart from it, and touches no key.

This file is compiled as it stands, with ``local.pxd`` to say the types, or runs as it is.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from random import random as uniform
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._kernels._args import checked_int, shown
from .._kernels._identity import refuse_copies
from .options import require_number, require_plausible

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # read by its compiler alone
else:
    from . import _uncompiled as cython

__all__ = ["Held", "LocalStorage", "Node", "RecentMap"]

# Under other names, since the compiler tests and converts a plain int or float before we see it.
_Int = int
_Float = float


class Held:
    """A value, and when its time is over by the storage's clock."""

    __slots__ = ("deadline", "value")

    def __init__(self, value: Any, deadline: float) -> None:
        self.value = value
        self.deadline = deadline


class Node:
    """An entry: its key, its value, and its place in the order of use."""

    __slots__ = ("key", "newer", "older", "serial", "value")
    __reduce_ex__ = refuse_copies

    def _begin(self, key: Any, value: Any, serial: Any) -> None:
        """Be an entry: an ``__init__`` would take as long as a whole hit."""
        self.key = key
        self.value = value
        self.serial = serial  # its name in the order, where that is a dict
        # Its neighbours in the order, where that is linked; None while it is not in it.
        self.older: Any = None
        self.newer: Any = None


class RecentMap:
    """A map of at most `maxsize` values: what was not used for longest goes first.

    The entries are in a dict by their keys, and in an order of use, the oldest first. A thread that
    comes between another's two steps can leave an entry in the order that is no longer in the dict;
    it goes when its turn comes. None is ever in the dict and for good out of the order.

    Compiled, the order is linked through the entries, and changed in critical sections in which
    nothing is made or let go, so that no other code can run. Uncompiled it is an ordered dict by
    number, each of whose methods is one step.
    """

    __slots__ = ("_ends", "_maxsize", "_nodes", "_order", "_serials", "_size")
    __reduce_ex__ = refuse_copies

    def __init__(self, maxsize: _Int) -> None:
        self._maxsize = maxsize
        self._nodes: dict[Any, Node] = {}
        self._size = 0  # of the linked order
        self._serials = count()
        self._order: OrderedDict[int, Node] = OrderedDict()
        # Before the oldest and after the newest.
        ends: Node = Node.__new__(Node)
        ends._begin(None, None, None)
        if cython.compiled:
            ends.older = ends
            ends.newer = ends
        self._ends = ends

    def __del__(self) -> None:
        if cython.compiled:
            # Or only the garbage collector could free them, and the ends, which are linked too.
            self._unlink_all()
            self._ends.older = self._ends.newer = None

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, which is then the last to go, or `default`."""
        found = self._nodes.get(key)
        if found is None:
            return default
        node: Node = found
        if not cython.compiled:
            try:  # noqa: SIM105  # which would take longer
                self._order.move_to_end(node.serial)
            except KeyError:
                pass  # it was let go just now
            return node.value
        with cython.critical_section(self):
            value = node.value
            if node.newer is not None and node.newer is not self._ends:
                self._unlink(node)
                self._link(node)
        return value

    def insert(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`, and let what was not used for longest go if it is too much."""
        nodes = self._nodes
        found = nodes.get(key)
        if found is None:
            new: Node = Node.__new__(Node)
            new._begin(key, value, None if cython.compiled else next(self._serials))
            found = nodes.setdefault(key, new)
        node: Node = found
        replaced = node.value  # let go at the end of all
        if not cython.compiled:
            node.value = value
            self._order[node.serial] = node
            try:  # noqa: SIM105  # which would take longer
                self._order.move_to_end(node.serial)
            except KeyError:
                pass  # another thread let it go, or cleared the map
        else:
            with cython.critical_section(self):
                replaced = node.value
                node.value = value
                if node.newer is not None:
                    self._unlink(node)
                self._link(node)
        while True:
            oldest = self._surplus()
            if oldest is None:
                break
            self._forget(oldest)
        del replaced

    def _surplus(self) -> Any:
        """Take the oldest entry out of the order, if there are too many; return it or None."""
        oldest: Node | None = None
        if not cython.compiled:
            if len(self._order) > self._maxsize:
                try:  # noqa: SIM105  # which would take longer
                    oldest = self._order.popitem(last=False)[1]
                except KeyError:
                    pass  # another thread cleared the map
            return oldest
        with cython.critical_section(self):
            if self._size > self._maxsize:
                oldest = self._ends.newer
                self._unlink(oldest)
        return oldest

    def _forget(self, node: Node) -> None:
        """Take out of the dict an entry that is out of the order."""
        try:
            if self._nodes.get(node.key) is node:
                self._nodes.pop(node.key, None)
        except BaseException:  # of the key's own
            self._put_back(node)
            raise

    def _put_back(self, node: Node) -> None:
        if not cython.compiled:
            self._order[node.serial] = node
            return
        with cython.critical_section(self):
            if node.newer is None:
                self._link(node)

    def pop(self, key: Any, default: Any = None) -> Any:
        """Take `key` out and return its value, or `default`."""
        found = self._nodes.pop(key, None)
        if found is None:
            hash(key)  # which an empty dict does not try
            return default
        node: Node = found
        if not cython.compiled:
            self._order.pop(node.serial, None)
            return node.value
        with cython.critical_section(self):
            value = node.value
            if node.newer is not None:
                self._unlink(node)
        return value

    def clear(self) -> None:
        """Take everything out."""
        if cython.compiled:
            gone = self._unlink_all()
        else:
            # Held until all is out, lest the dict lets one go in the middle.
            gone = list(self._order.values())
            self._order.clear()
        self._nodes.clear()
        del gone

    def __len__(self) -> int:
        return len(self._nodes)

    # The linked order, in critical sections alone

    def _link(self, node: Node) -> None:
        ends = self._ends
        newest: Node = ends.older
        node.older = newest
        node.newer = ends
        newest.newer = node
        ends.older = node
        self._size += 1

    def _unlink(self, node: Node) -> None:
        older: Node = node.older
        newer: Node = node.newer
        older.newer = newer
        newer.older = older
        node.older = None
        node.newer = None
        self._size -= 1

    def _unlink_all(self) -> list[Any]:
        """Empty the order; return what was in it, to be let go when that can do no harm."""
        gone: list[Any] = []
        with cython.critical_section(self):
            while self._size:
                node: Node = self._ends.newer
                gone.append(node)
                self._unlink(node)
        return gone


class LocalStorage:
    """Keeps at most `maxsize` values, each for at most `ttl` seconds (None: until it is evicted).

    Each value lives for `ttl` less a random part of it of up to `jitter` (0 to 1), so that what
    was kept together is not gone together. A value whose time is over is not returned; its place
    is used again when its key is set or its turn to be evicted comes. Values are kept as they are,
    not copied: who changes one changes it for all.

    Threads may share it; a key's ``__hash__`` and ``__eq__`` and a value's ``__del__`` may use it.
    `clock` and `random` are replaced in tests.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_jitter",
        "_map",
        "_maxsize",
        "_random",
        "_timed",
        "_ttl",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        maxsize: _Int,
        *,
        ttl: _Float | None = None,
        jitter: _Float = 0.1,
        clock: Callable[[], float] = monotonic,
        random: Callable[[], float] = uniform,
    ) -> None:
        if checked_int("maxsize", "[1, 2**31)", maxsize, 1 << 31) < 1:
            raise ValueError(f"maxsize must be an int in [1, 2**31), got {maxsize}")
        if ttl is not None:
            require_number("ttl", ttl, "over 0 seconds or None")
            if not ttl > 0:
                raise ValueError(f"ttl must be over 0 seconds or None, got {shown(ttl)}")
            require_plausible("ttl", ttl)
        require_number("jitter", jitter, "in [0, 1]")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be in [0, 1], got {shown(jitter)}")
        self._map = RecentMap(maxsize)
        self._maxsize = maxsize
        self._timed = ttl is not None
        self._ttl = 0.0 if ttl is None else ttl
        self._jitter = jitter
        self._clock = clock
        self._random = random

    @property
    def maxsize(self) -> int:
        """How many values are kept at most."""
        return self._maxsize

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        if not self._timed:
            return self._map.get(key, default)
        found = self._map.get(key, None)
        if found is None:
            return default
        held: Held = found
        return held.value if self._clock() < held.deadline else default

    def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of those of `keys` that are there, by key."""
        found = {}
        now = self._clock() if self._timed else 0.0
        for key in keys:
            value = self._map.get(key, self)  # which nobody keeps in itself
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
        for key, value in items.items():
            self._map.insert(key, self._kept(value))

    def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        self._map.pop(key, None)

    def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        for key in keys:
            self._map.pop(key, None)

    def flush(self) -> None:
        """Delete everything."""
        self._map.clear()

    def __len__(self) -> int:
        return len(self._map)

    def __repr__(self) -> str:
        life = f", {self._ttl:g} s each" if self._timed else ""
        return f"<LocalStorage of {len(self)} of {self._maxsize} values{life}>"
