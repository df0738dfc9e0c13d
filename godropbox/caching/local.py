"""A storage in this process: bounded, with least-recently-used eviction and a time to live.

No lock is held while a key is hashed or compared, or a key or a value is freed: each can run the
caller's code, which may use the storage, or wait for a thread that does. Keys are looked up in a
plain dict, which allows that; the order of use is kept separately and touches no key.

Compiled as it stands, with its types in ``local.pxd``, or run as it is.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from random import random as uniform
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._kernels import lasting
from .._kernels._args import checked_int, shown
from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from .options import require_number, require_plausible

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

# Whether threads run side by side.
_HAS_NO_LOCK: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()

__all__ = ["Held", "LocalStorage", "Node", "RecentMap"]


class Held:
    """A value, and when it expires by the storage's clock."""

    __slots__ = ("deadline", "value")

    def __init__(self, value: Any, deadline: float) -> None:
        self.value = value
        self.deadline = deadline


class Node:
    """An entry: its key, its value, and its neighbours in the order of use."""

    __slots__ = ("key", "linked", "newer", "older", "serial", "value")
    __reduce_ex__ = refuse_copies

    def _begin(self, key: Any, value: Any, serial: Any) -> None:
        """Initialise an entry: an ``__init__`` would take as long as a whole hit."""
        self.key = key
        self.value = value
        self.serial = serial  # its key in the order, uncompiled
        # Its neighbours in the order, compiled; None while it is not in the order.
        self.older: Any = None
        self.newer: Any = None
        self.linked = 0  # when it was put there, as a count of all that were


class RecentMap:
    """A map of at most `maxsize` values that evicts the least recently used one.

    The entries are in a dict by key, and in an order of use, the oldest first. A thread that runs
    between another's two steps can leave an entry in the order that is no longer in the dict; it is
    evicted in its turn. No entry stays in the dict without being in the order.

    Compiled, the order is a list linked through the entries, and changed while a lock is held, in
    which nothing is allocated or freed, so that no other code can run. It is no critical section:
    where references are counted, a thread can come to wait, which gives up its sections in the
    middle. A value is read and replaced in the section of its entry. Without an interpreter lock,
    where threads would wait for each other at the ends of the list, an entry among the newest
    eighth stays where it is when it is read. Uncompiled the order is a dict by serial number, each
    of whose methods is one step.
    """

    __slots__ = ("_ends", "_links", "_maxsize", "_nodes", "_order", "_serials", "_size", "_young")
    __reduce_ex__ = refuse_copies

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._nodes: dict[Any, Node] = {}
        self._size = 0  # of the linked order
        self._links = 0  # entries that were ever put into the linked order
        self._young = maxsize // 8 if _HAS_NO_LOCK else 0
        self._serials = count()
        self._order: OrderedDict[int, Node] = OrderedDict()
        # Before the oldest and after the newest.
        self._ends = Node.__new__(Node)
        self._ends._begin(None, None, None)
        if cython.compiled:
            self._ends.older = self._ends
            self._ends.newer = self._ends

    def __del__(self) -> None:
        if cython.compiled and self._ends is not None:
            # Or only the garbage collector could free them, and the ends, which are linked too.
            self._unlink_all()
            self._ends.older = self._ends.newer = None

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key` and make it the newest, or return `default`."""
        found = look_up(self, key)
        if found is None:
            return default
        node: Node = found
        if not cython.compiled:
            try:  # noqa: SIM105  # suppress() is slower
                self._order.move_to_end(node.serial)
            except KeyError:
                pass  # it was evicted just now
            return node.value
        with cython.critical_section(node):
            value = node.value
        if linked_since(self, node) >= self._young:
            hold(self)
            if node.newer is not None and node.newer is not self._ends:
                self._unlink(node)
                self._link(node)
            let_go(self)
        return value

    def insert(self, key: Any, value: Any) -> None:
        """Store `value` under `key`, and evict the oldest entry if there are too many."""
        nodes = self._nodes
        found = look_up(self, key)
        if found is None:
            new: Node = Node.__new__(Node)
            new._begin(key, value, None if cython.compiled else next(self._serials))
            found = nodes.setdefault(lasting.findable(key), new)
        node: Node = found
        if not cython.compiled:
            replaced = node.value  # freed at the very end, as in the other form
            node.value = value
            self._order[node.serial] = node
            try:  # noqa: SIM105  # suppress() is slower
                self._order.move_to_end(node.serial)
            except KeyError:
                pass  # another thread evicted it, or cleared the map
        else:
            with cython.critical_section(node):
                replaced = node.value  # nobody may replace it between the load and the count
                node.value = value
            hold(self)
            if node.newer is not None:
                self._unlink(node)
            self._link(node)
            let_go(self)
        while True:
            oldest = self._surplus()
            if oldest is None:
                break
            self._forget(oldest)
        del replaced

    def _surplus(self) -> Any:
        """Remove the oldest entry from the order if there are too many; return it or None."""
        oldest: Node | None = None
        if not cython.compiled:
            while oldest is None and len(self._order) > self._maxsize:
                try:  # noqa: SIM105  # suppress() is slower
                    oldest = self._order.popitem(last=False)[1]
                except (KeyError, RuntimeError):
                    pass  # another thread cleared the map, or on PyPy changed it meanwhile
            return oldest
        hold(self)
        if self._size > self._maxsize:
            oldest = self._ends.newer
            self._unlink(oldest)
        let_go(self)
        return oldest

    def _forget(self, node: Node) -> None:
        """Remove from the dict an entry that was removed from the order."""
        try:
            if look_up(self, node.key) is node:
                self._nodes.pop(node.key, None)
        except BaseException:  # of the key's own code
            self._put_back(node)
            raise

    def _put_back(self, node: Node) -> None:
        if not cython.compiled:
            self._order[node.serial] = node
            return
        hold(self)
        if node.newer is None:
            self._link(node)
        let_go(self)

    def pop(self, key: Any, default: Any = None) -> Any:
        """Remove `key` and return its value, or `default`."""
        found = self._nodes.pop(key, None)
        if found is None:
            hash(key)  # raises for an unhashable key, as an empty dict does not
            return default
        node: Node = found
        if not cython.compiled:
            self._order.pop(node.serial, None)
            return node.value
        with cython.critical_section(node):
            value = node.value
        hold(self)
        if node.newer is not None:
            self._unlink(node)
        let_go(self)
        return value

    def clear(self) -> None:
        """Remove everything."""
        if cython.compiled:
            gone = self._unlink_all()
        else:
            # Held until the dict is empty, lest an entry is freed in between. One by one, because
            # others may change the order, which is then not to be iterated over.
            gone = []
            for _ in range(len(self._order)):
                try:  # noqa: SIM105  # as above
                    gone.append(self._order.popitem(last=False)[1])
                except (KeyError, RuntimeError):
                    pass
            self._order.clear()
        self._nodes.clear()
        del gone

    def __len__(self) -> int:
        # Those above the bound are being evicted, by the threads that inserted one too many.
        return min(len(self._nodes), self._maxsize)

    # The linked order: call these while the lock is held

    def _link(self, node: Node) -> None:
        ends = self._ends
        newest: Node = ends.older
        node.older = newest
        node.newer = ends
        newest.newer = node
        ends.older = node
        self._size += 1
        count_link(self, node)

    def _unlink(self, node: Node) -> None:
        older: Node = node.older
        newer: Node = node.newer
        older.newer = newer
        newer.older = older
        node.older = None
        node.newer = None
        self._size -= 1

    def _unlink_all(self) -> list[Any]:
        """Empty the order; return its entries, for the caller to free outside the section."""
        gone: list[Any] = []
        hold(self)
        count = self._size  # those that others insert meanwhile stay
        let_go(self)
        for _ in range(count):
            oldest: Node | None = None
            hold(self)
            if self._size > 0:
                oldest = self._ends.newer
                self._unlink(oldest)
            let_go(self)
            gone.append(oldest)
        return gone


if not cython.compiled:  # else ``local.pxd`` has them in C

    def look_up(owner: RecentMap, key: Any) -> Any:
        """Return the node of a key, or None."""
        return owner._nodes.get(key)

    def hold(owner: RecentMap) -> None:
        """Wait for the lock of the linked order; it has an owner without an interpreter lock."""

    def let_go(owner: RecentMap) -> None:
        """Let go of that lock."""

    def linked_since(owner: RecentMap, node: Node) -> int:
        """Return how many entries were linked after this one."""
        return owner._links - node.linked

    def count_link(owner: RecentMap, node: Node) -> None:
        """Count a link, the one of a node."""
        owner._links += 1
        node.linked = owner._links


class LocalStorage:
    """Keeps at most `maxsize` values, each for at most `ttl` seconds (None: until it is evicted).

    Each value lives for `ttl` less a random part of it up to `jitter` (0 to 1), so that values
    stored together do not expire together. An expired value is not returned; it is freed when its
    key is set or it is evicted. Values are not copied: a caller that changes one changes it for
    all.

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
    __signature__ = declared

    def __init__(
        self,
        maxsize: int,
        *,
        ttl: float | None = None,
        jitter: float = 0.1,
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
        lasting.shared(self)

    @property
    def maxsize(self) -> int:
        """The most values that are kept."""
        return self._maxsize

    @property
    def lifetime(self) -> float | None:
        """For how many seconds a value is kept at least, unless it is evicted; None: no limit."""
        return self._ttl * (1.0 - self._jitter) if self._timed else None

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
        """Return the values of `keys` by key; missing keys are left out."""
        found = {}
        now = self._clock() if self._timed else 0.0
        for key in keys:
            value = self._map.get(key, self)  # which is not a value in itself
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
        """Return a value as the map holds it."""
        if not self._timed:
            return value
        life = self._ttl * (1.0 - self._jitter * self._random())
        return Held(value, self._clock() + life)

    def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        self._map.insert(key, self._kept(value))

    def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
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
