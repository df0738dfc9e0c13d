"""``Committed``: waits until a transaction of the log can be seen by others.

A server writes a transaction to its log first, and sends it to who follows the log; only then can
other connections see it. With semi-synchronous replication that may take seconds.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from ...database.binlog import Gtid, MariaDBGtid, MariaDBGtidSet, Position
from ...errors import DropboxError
from .applied import covers, parsed

__all__ = ["Committed", "NotCommittedError"]

_PAUSE: Final = 0.0005


class NotCommittedError(DropboxError):
    """A transaction of the log cannot be seen yet; it is waited for again."""


class Committed:
    """For an ``Invalidator``: returns when others see a transaction, after a query or two.

    `connect` opens a connection of the DB-API, in autocommit mode, to the server whose log is
    followed, and to no other (``close`` when another takes over); it is used by one thread at a
    time, and opened again after an error. On MySQL its WAIT_FOR_EXECUTED_GTID_SET is asked, on
    MariaDB the place in the log that a consistent snapshot has, which needs no privilege.

    ``NotCommittedError`` is raised after `timeout` seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        if not 0 < timeout <= 3600:
            raise ValueError(f"timeout must be in (0, 3600] seconds, got {timeout!r}")
        self._connect = connect
        self._timeout = timeout
        self._clock = clock
        self._pause = pause
        self._connection: Any = None
        self._seen: Position | None = None  # what others see on MariaDB, at least

    def __call__(self, gtid: Gtid | MariaDBGtid, position: Position | None = None) -> None:
        """Return when others see `gtid`, behind which is `position`; raise what the driver does."""
        if position is not None and self._seen is not None and _is_within(position, self._seen):
            return
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.cursor()
            try:
                self._wait(cursor, gtid, position)
            finally:
                cursor.close()
        except NotCommittedError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        self._seen = None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                return  # it was broken

    def _wait(self, cursor: Any, gtid: Gtid | MariaDBGtid, position: Position | None) -> None:
        late = f"{gtid} cannot be seen after {self._timeout:g} seconds"
        if isinstance(gtid, Gtid):
            cursor.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (str(gtid), self._timeout))
            if int(cursor.fetchone()[0]):
                raise NotCommittedError(late)
            return
        until = self._clock() + self._timeout
        try:
            while not self._sees(cursor, gtid, position):
                if self._clock() >= until:
                    raise NotCommittedError(late)
                self._pause(_PAUSE)
        finally:
            cursor.execute("ROLLBACK")  # ends the last snapshot

    def _sees(self, cursor: Any, gtid: MariaDBGtid, position: Position | None) -> bool:
        """Return whether a snapshot of MariaDB sees a transaction."""
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
        found = {str(name).lower(): value for name, value in cursor.fetchall()}
        file, offset = found["binlog_snapshot_file"], int(found["binlog_snapshot_position"])
        if position is not None:
            self._seen = Position(file, offset)
            return _is_within(position, self._seen)
        cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", (file, offset))
        seen = MariaDBGtidSet.parse(cursor.fetchone()[0] or "")
        return covers(seen, parsed(gtid))


def _is_within(position: Position, end: Position) -> bool:
    """Return whether a place in a log is at another one or before it, by the files' numbers."""
    files = [(len(place.file), place.file) for place in (position, end)]
    return (files[0], position.offset) <= (files[1], end.offset)
