"""pylibmc's pools. A client is safe to share among threads here, so no pool is needed."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .client import Client

__all__ = ["ClientPool", "ThreadMappedPool"]


class ClientPool(queue.Queue[Client]):
    """A queue of `n_slots` clones of a client, each lent to one caller at a time."""

    def __init__(self, mc: Client | None = None, n_slots: int = 0) -> None:
        super().__init__(n_slots)
        if mc is not None and n_slots:
            self.fill(mc, n_slots)

    @contextmanager
    def reserve(self, block: bool = False) -> Iterator[Client]:
        """Lend a client for a block.

        If all are lent, this raises ``queue.Empty``, or waits if `block` is true.
        """
        mc = self.get(block)
        try:
            yield mc
        finally:
            self.put(mc)

    def fill(self, mc: Client, n_slots: int) -> None:
        """Put `n_slots` clones of a client into the pool."""
        for _ in range(n_slots):
            self.put(mc.clone())


class ThreadMappedPool(dict[int | None, Client]):
    """A clone of the client `master` for each thread that reserves one."""

    def __new__(cls, master: Client) -> "ThreadMappedPool":
        return super().__new__(cls)

    def __init__(self, master: Client) -> None:
        super().__init__()
        self.master = master

    @property
    def current_key(self) -> int | None:
        """What this thread's client is kept under."""
        return threading.current_thread().ident

    @contextmanager
    def reserve(self) -> Iterator[Client]:
        """Lend this thread's client for a block, another one within that."""
        key = self.current_key
        mc = self.pop(key, None)
        if mc is None:
            mc = self.master.clone()
        try:
            yield mc
        finally:
            self[key] = mc

    def relinquish(self) -> Client | None:
        """Forget this thread's client, before the thread ends; return it if there is one."""
        return self.pop(self.current_key, None)
