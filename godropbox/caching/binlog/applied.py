"""Which transactions a cache has heard of: sets of GTIDs, in the cache, for whoever waits."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from ..._kernels._args import shown
from ...database.binlog import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet
from .._calls import Calls, run

__all__ = ["DEFAULT_KEY", "Applied", "Gtids", "covers", "parsed"]

Gtids = str | Gtid | GtidSet | MariaDBGtid | MariaDBGtidSet
"""A transaction or several: as text, such as ``@@last_gtid``, or as an object."""

DEFAULT_KEY: Final = "binlog:applied"
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


def parsed(gtids: Gtids) -> GtidSet | MariaDBGtidSet:
    """Return transactions as a set; raises ``ValueError`` for a text that has none."""
    if isinstance(gtids, Gtid):
        return GtidSet().add(gtids)
    if isinstance(gtids, MariaDBGtid):
        return MariaDBGtidSet().add(gtids)
    if isinstance(gtids, (GtidSet, MariaDBGtidSet)):
        return gtids
    if not isinstance(gtids, str):
        raise TypeError(f"gtid must be a str or a GTID, got {shown(gtids)}")
    if not gtids.strip():
        raise ValueError("gtid must name a transaction, got an empty text")
    return GtidSet.parse(gtids) if ":" in gtids else MariaDBGtidSet.parse(gtids)


def covers(applied: GtidSet | MariaDBGtidSet | None, wanted: GtidSet | MariaDBGtidSet) -> bool:
    """Return whether all transactions of `wanted` are in `applied`.

    Of MariaDB's those with lower numbers in a domain are, whichever server they are of.
    """
    if applied is None:
        return False
    if isinstance(applied, GtidSet) and isinstance(wanted, GtidSet):
        return (applied | wanted).intervals == applied.intervals
    if isinstance(applied, MariaDBGtidSet) and isinstance(wanted, MariaDBGtidSet):
        last: dict[int, int] = {}
        for gtid in applied.last.values():
            last[gtid.domain] = max(gtid.number, last.get(gtid.domain, 0))
        return all(gtid.number <= last.get(gtid.domain, 0) for gtid in wanted.last.values())
    raise ValueError(f"gtid must be of the server that the cache follows, got {wanted}")


def pauses() -> Iterator[float]:
    """Yield how long to wait before each further look."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, _LONGEST_PAUSE)


class Applied:
    """What an ``Invalidator`` in any process has applied, as it publishes it in memcached.

    `key` is that of its option `publish`.
    """

    def __init__(
        self,
        client: Any,
        key: str = DEFAULT_KEY,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._key = key
        self._clock = clock
        self._pause = pause

    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """Return the transactions that were applied, or None if nobody says."""
        return run(self._gtids_calls())

    def _gtids_calls(self) -> Calls[GtidSet | MariaDBGtidSet | None]:
        text = yield self._client.get, (self._key,)
        return parsed(text) if isinstance(text, str) and text else None

    def wait_for(self, gtid: Gtids, timeout: float) -> bool:
        """Wait until a transaction was applied; return False after `timeout` seconds without it.

        Reads of the cache that begin after True are not older than the transaction.
        """
        return run(self._wait_calls(gtid, timeout))

    def _wait_calls(self, gtid: Gtids, timeout: float) -> Calls[bool]:
        wanted = parsed(gtid)
        until = self._clock() + timeout
        for pause in pauses():
            if covers((yield from self._gtids_calls()), wanted):
                return True
            left = until - self._clock()
            if left <= 0:
                return False
            yield self._pause, (min(pause, left),)
        raise AssertionError  # the pauses do not end
