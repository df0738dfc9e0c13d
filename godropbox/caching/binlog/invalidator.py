"""``Invalidator``: deletes the keys of rows that a binary log says changed; the blocking driver.

One thread takes events, in ``run`` or ``follow``; another makes the rounds in which keys are
deleted, so that a server that is away holds up neither the log nor the keys of other servers. What
is decided is in ``core``.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...database.binlog import PositionLost
from .._calls import run as blocking
from ._driver import DEFAULT, LONGEST_WAIT, Driver
from .applied import Gtids, covers, parsed
from .core import Core, InvalidationOptions
from .generations import Generations
from .rules import KeyRule

__all__ = ["Invalidator"]

Connect = Callable[[Any], Any]


class Invalidator(Driver):
    """Deletes from a cache what a binary log says changed, whoever wrote it.

    `cache` is a ``Client``, or a ``ConsistentCacheOnStorage``, whose entries are invalidated.
    `keys` has for each table, as database.table, a rule or several: a template whose names are
    columns, such as ``"user:{id}"`` (``{id:hex}`` for bytes), or a function from a row to its keys.
    Of an update both images count, before and after. What is NULL has no key.

    `generations` fill in ``{generation}`` in templates; a new one forgets a whole table.
    `committed` is called with the last GTID of those whose keys are deleted next, and the position
    behind it or None, and returns when other connections see that transaction, as ``Committed``
    does; see ``options.repeat_after``.

    Readers must fill the cache so that a deletion in between is noticed: by ``get_or_set``, or
    through ``ConsistentCacheOnStorage``. docs/binlog-invalidation.md has what holds then.
    """

    def __init__(
        self,
        cache: Any,
        keys: Mapping[str, KeyRule | Iterable[KeyRule]],
        options: InvalidationOptions = DEFAULT,
        *,
        generations: Generations | None = None,
        committed: Callable[[Any, Any], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(Core(cache, keys, options, generations, committed, clock), clock)
        self._changed = threading.Condition()

    def wait_for(self, gtid: Gtids, timeout: float) -> bool:
        """Wait until a transaction was applied; return False after `timeout` seconds without it.

        Reads of the cache that begin after True are not older than the transaction. In other
        processes, see ``Applied``.
        """
        wanted = parsed(gtid)
        with self._changed:
            return self._changed.wait_for(lambda: covers(self._core.applied, wanted), timeout)

    def close(self) -> None:
        """End ``run`` and ``follow``, in other threads: they return without waiting for the cache.

        A ``follow`` that waits for events ends with the next, such as a heartbeat.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def run(self, events: Iterable[Any], store: Any = None) -> None:
        """Take `events`, which ``binlog.connect`` or ``binlog.open`` returned, until they end.

        Returns when all that they say was acknowledged by the cache. The place in the log up to
        which that is so is saved in `store`, a ``binlog.FilePositions`` say: give what it loads as
        `position` next time, and give `store` only here.

        What cannot be understood, or be made a key of, raises, as do `events`; the place that was
        saved is before it.
        """
        with self._working(store):
            self._take(events, False)
            self._drain()

    def follow(self, connect: Connect, store: Any) -> None:
        """Follow a server until ``close``: from where `store` says, or from now on.

        `connect` is called with a position, and returns events: ``lambda position:
        binlog.connect(..., position=position, **invalidator.wanted)``. Where there is no position,
        as at the very first, or the server has purged its log since (``PositionLost``), nobody
        knows what changed: the log is followed from its present end, and all tables are forgotten.
        """
        with self._working(store):
            position = store.load()
            while not self._is_closed:
                is_lost = position is None
                events = connect("now" if is_lost else position)
                try:
                    self._take(events, is_lost)
                    self._drain()
                    return
                except PositionLost:
                    if is_lost:
                        raise
                    position = None
                finally:
                    getattr(events, "close", lambda: None)()

    # The two threads

    @contextmanager
    def _working(self, store: Any) -> Iterator[None]:
        """Run the thread that makes rounds."""
        with self._changed:
            if self._is_running:
                raise RuntimeError("this Invalidator runs already")
            self._begin(store)
        thread = threading.Thread(target=self._work, name="godropbox-invalidator", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._is_running = False
                self._changed.notify_all()
            thread.join()
            self._save(True)
            self._is_closed = False

    def _take(self, events: Iterable[Any], forgets_all: bool) -> None:
        """Feed events to the core, and end its transactions."""
        core = self._core
        for event in events:
            if core.take(event, events, forgets_all):
                self._notify()
            forgets_all = False
            if core.is_full:
                with self._changed:
                    self._changed.wait_for(lambda: not core.is_full or self._is_over)
            if self._is_over:
                self._raise()
                return

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _drain(self) -> None:
        """Wait until all is acknowledged."""
        with self._changed:
            self._changed.wait_for(lambda: self._core.is_idle or self._is_over)
        self._raise()

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._is_running:
                        return
                    due = self._core.due()
                    if due is None or due > 0:
                        self._changed.wait(LONGEST_WAIT if due is None else due)
                        continue
                blocking(self._core.round())
                self._save(False)
                self._notify()
        except BaseException as error:
            self._error = error
            self._notify()

    def _save(self, now: bool) -> None:
        """Save the place up to which all was applied, if it is time."""
        place = self._unsaved(now)
        if place is not None:
            self._store.save(place)
            self._note_saved(place)
