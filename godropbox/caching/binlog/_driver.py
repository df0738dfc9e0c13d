"""What both drivers of an invalidator have: a core, whether it runs, and what is saved. No I/O."""

from collections.abc import Callable
from typing import Any, Final

from ..._kernels._identity import refuse_copies
from ...database.binlog import GtidSet, MariaDBGtidSet
from .core import Core, InvalidationOptions, InvalidationStatistics

__all__ = ["DEFAULT", "LONGEST_WAIT", "Driver"]

DEFAULT: Final = InvalidationOptions()
LONGEST_WAIT: Final = 60.0  # seconds until the core is asked again when nothing is due


class Driver:
    """An invalidator but for its waiting."""

    __reduce_ex__ = refuse_copies

    def __init__(self, core: Core, clock: Callable[[], float]) -> None:
        self._core = core
        self._clock = clock
        self._is_running = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._store: Any = None
        self._saved: Any = None
        self._saved_at = float("-inf")

    @property
    def wanted(self) -> dict[str, Any]:
        """The arguments `tables` and `columns` for what reads the log, ``binlog.connect`` say.

        Columns that no key is made of are then not decoded.
        """
        rules = self._core.rules
        return {"tables": rules.tables, "columns": rules.columns}

    @property
    def applied(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions that the cache has heard of, None before the first."""
        return self._core.applied

    def statistics(self) -> InvalidationStatistics:
        """Return the counts so far."""
        return self._core.statistics()

    def forget(self, *tables: str) -> None:
        """Have `tables` forgotten with the next transaction, all tables without an argument."""
        self._core.forget(tables or None)

    def _begin(self, store: Any) -> None:
        """Begin to run, and to save in `store`."""
        self._is_running, self._error = True, None
        self._core.begin()
        self._store, self._saved = store, None

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._error is not None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _unsaved(self, now: bool) -> Any:
        """Return the place up to which all was applied, if it is time to save it, or None."""
        place = self._core.place
        if self._store is None or place is None or place is self._saved:
            return None
        if now or self._clock() - self._saved_at >= self._core.options.save_every:
            return place
        return None

    def _note_saved(self, place: Any) -> None:
        self._saved, self._saved_at = place, self._clock()
