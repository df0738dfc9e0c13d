"""Locks by key: one holder at a time for each key, and no lock for a key that nobody wants.

    locks = KeyLocks()
    with locks.hold(user_id, timeout=5):
        ...

``aio.AsyncKeyLocks`` is the same for asyncio's tasks.
"""

import threading
from collections.abc import Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from .._forks import begin_again_in_child
from .._kernels._identity import refuse_copies
from ._keys import LockTimeoutError, in_order, seconds, timed_out

__all__ = ["KeyLocks", "LockTimeoutError"]


class _Entry:
    __slots__ = ("lock", "owner", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner: int | None = None  # a thread
        self.users = 0  # who holds it and who waits


class KeyLocks:
    """A lock for each key, which is any hashable value; made when it is wanted, then forgotten."""

    __reduce_ex__ = refuse_copies

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}
        begin_again_in_child(self)

    def _forked(self) -> None:
        """Keep what the forking thread holds: the others are not in the child."""
        me = threading.get_ident()
        self._guard = threading.Lock()
        kept = [key for key, entry in self._entries.items() if entry.owner == me]
        self._entries = {}
        for key in kept:
            self.acquire(key)

    def __len__(self) -> int:
        """Return how many keys are held or waited for."""
        return len(self._entries)

    def acquire(self, key: Hashable, timeout: float | None = None) -> bool:
        """Wait for a key, for `timeout` seconds or for ever; return whether it was got.

        A `timeout` of 0 does not wait. Raise ``RuntimeError`` if this thread holds the key already.
        """
        wait = -1 if timeout is None else seconds(timeout)
        me = threading.get_ident()
        with self._guard:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry()
            elif entry.owner == me:
                raise RuntimeError(f"this thread holds the lock of {key!r} already")
            entry.users += 1
        has_it = False
        try:
            has_it = entry.lock.acquire(timeout=wait)
        finally:
            if has_it:
                entry.owner = me
            else:
                self._leave(key, entry)
        return has_it

    def _leave(self, key: Hashable, entry: _Entry) -> None:
        with self._guard:
            entry.users -= 1
            if not entry.users and self._entries.get(key) is entry:
                del self._entries[key]

    def release(self, key: Hashable) -> None:
        """Let go of a key. Raise ``RuntimeError`` if this thread does not hold it."""
        with self._guard:
            entry = self._entries.get(key)
        if entry is None or entry.owner != threading.get_ident():
            raise RuntimeError(f"this thread does not hold the lock of {key!r}")
        entry.owner = None
        entry.lock.release()
        self._leave(key, entry)

    @contextmanager
    def hold(self, key: Hashable, timeout: float | None = None) -> Iterator[None]:
        """Hold a key in a ``with`` block; raise ``LockTimeoutError`` if it was not got in time."""
        if not self.acquire(key, timeout):
            raise timed_out(key, timeout)
        try:
            yield
        finally:
            self.release(key)

    @contextmanager
    def hold_all(self, keys: Iterable[Hashable], timeout: float | None = None) -> Iterator[None]:
        """Hold several keys in a ``with`` block, each waited for up to `timeout` seconds.

        All callers take them in one order, so that no two wait for each other.
        """
        with ExitStack() as held:
            for key in in_order(keys):
                held.enter_context(self.hold(key, timeout))
            yield
