"""What of a log was handed out, so that nothing is lost and nothing repeated. No I/O.

A connection that breaks inside of a transaction leaves a part of it handed out. The next one sends
the transaction from its beginning; ``Progress.fresh`` drops that part. Rows are counted by table
and kind, not by event: another server may have cut them into other events.
"""

from dataclasses import replace
from typing import Any, Final

from ._errors import DataError, PositionLost
from ._events import (
    Changed,
    Commit,
    Event,
    GtidEvent,
    Other,
    Position,
    PreviousGtids,
    Query,
    Rows,
    RowsQuery,
    XaPrepare,
)
from ._gtids import Gtid, GtidSet, MariaDBGtid, MariaDBGtidSet

__all__ = ["Progress"]

_OF_TRANSACTIONS: Final = (GtidEvent, Query, RowsQuery, Rows, Changed, Commit, XaPrepare)
_FORMAT_DESCRIPTION: Final = 15
_CONTEXT: Final = (5, 13, 14)  # INTVAR, RAND, USER_VAR: of the statement that follows
_FOLDED: Final = 256  # GTIDs that are added to a set at a time

AnyGtid = Gtid | MariaDBGtid | None


class _Record:
    """What was handed out of a transaction: runs of rows of a kind and a table, other events."""

    __slots__ = ("others", "runs")

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, str, int]] = []
        self.others: dict[str, int] = {}

    def copy(self) -> "_Record":
        copied = _Record()
        copied.runs = self.runs[:]
        copied.others = dict(self.others)
        return copied

    def note(self, event: Event) -> None:
        if not isinstance(event, Rows):
            name = _name_of(event)
            self.others[name] = self.others.get(name, 0) + 1
            return
        run = event.kind, event.database, event.table
        count = len(event.rows)
        if self.runs and self.runs[-1][:3] == run:
            count += self.runs.pop()[3]
        self.runs.append((*run, count))


class Progress:
    """Where a reader is: what it has been handed, to the end and of transactions that are not over.

    ``fresh`` judges a packet's events when they come. ``publish`` counts a transaction when its
    last event goes out, ``taken`` the rest, when the reader asks for what follows.
    """

    def __init__(self) -> None:
        self.resume: Position | None = None
        self.begins_file = (
            True  # whether a file is read from its beginning, and tells what was before
        )
        self.has_gtids = True  # whether all transactions have them, so that they say where to go on
        self._set: GtidSet | MariaDBGtidSet | None = None
        self._more: list[Any] = []  # transactions that are to be added to the set
        self._gtid: AnyGtid = None  # of the transaction whose events come
        self._is_known = False  # whether it has begun
        self._records: dict[AnyGtid, _Record] = {}  # of transactions that are not over
        self._replays: dict[AnyGtid, _Record] = {}  # what this connection still has to repeat
        self._ended: tuple[AnyGtid, Position | None] | None = None
        self._given: tuple[AnyGtid, list[Event]] | None = None  # of a transaction that goes on

    @property
    def gtids(self) -> GtidSet | MariaDBGtidSet | None:
        """The transactions that were handed out to their end, and those before them."""
        more = self._more
        if more:
            self._set = _joined(self._set, more)
            self._more = []
        return self._set

    def begin_at(self, gtids: GtidSet | MariaDBGtidSet | None) -> None:
        """Set the transactions that are not to come."""
        self._set, self._more = gtids, []

    def connect(self) -> None:
        """Expect transactions that are not over from their beginning, on a new connection."""
        self._gtid, self._is_known, self._ended, self._given = None, False, None, None
        self._replays = {gtid: record.copy() for gtid, record in self._records.items()}

    def fresh(self, events: list[Event], has_ended: bool, resume: Position | None) -> list[Event]:
        """Return what of a packet's events was not handed out before.

        `has_ended` says that a transaction ends with them, `resume` where the next one begins.
        """
        found: list[Event] = []
        parts: list[Event] = []
        for event in events:
            if isinstance(event, PreviousGtids) and self._set is None and self.begins_file:
                self._set = event.gtids
            if isinstance(event, Query) and event.type == _FORMAT_DESCRIPTION:
                self._roll_back(event.gtid)
                found.append(event)
                continue
            is_part = isinstance(event, _OF_TRANSACTIONS) or event.type in _CONTEXT
            if not is_part or (isinstance(event, Other) and event.type not in _CONTEXT):
                found.append(event)
                continue
            if isinstance(event, GtidEvent):
                self._begin(event.gtid)
            elif not self._is_known:
                self._begin(None)
            left = self._dropped(event)
            if left is not None:
                found.append(left)
                parts.append(left)
        if has_ended:
            self._end(resume)
        elif parts:
            self._given = self._gtid, parts
        return found

    def part(self) -> AnyGtid:
        """Return the first transaction of which a part was handed out, None if there is none."""
        return next(iter(self._records), None)

    def _roll_back(self, gtid: AnyGtid) -> None:
        """Forget a transaction that its server rolled back; another may have its name."""
        self._records.pop(gtid, None)
        self._replays.pop(gtid, None)
        self._gtid, self._is_known = None, False

    def taken(self) -> None:
        """Note that all events that ``fresh`` returned were handed out."""
        if self._given is None:
            return
        (gtid, events), self._given = self._given, None
        record = self._records.get(gtid)
        if record is None:
            record = self._records[gtid] = _Record()
        for event in events:
            record.note(event)

    def publish(self) -> bool:
        """Count the transaction whose last event goes out; return whether there was one."""
        if self._ended is None:
            return False
        (gtid, resume), self._ended = self._ended, None
        self._records.pop(gtid, None)
        self.has_gtids = gtid is not None
        if gtid is not None:
            self._more.append(gtid)
            if len(self._more) >= _FOLDED:
                self.gtids  # noqa: B018  # adds them
        if resume is not None:
            self.resume = resume
        return True

    # A transaction

    def _begin(self, gtid: AnyGtid) -> None:
        self._gtid, self._is_known = gtid, True
        if self._replays and gtid not in self._replays:
            for waiting, record in self._replays.items():
                _check_order(waiting, gtid)
                record.others.clear()  # its beginning goes out again, after another's events

    def _dropped(self, event: Event) -> Event | None:
        """Return an event, what of its rows is fresh, or None if nothing is."""
        replay = self._replays.get(self._gtid) if self._replays else None
        if replay is None:
            return event
        if not isinstance(event, Rows):
            name = _name_of(event)
            if not replay.others.get(name):
                return event
            replay.others[name] -= 1
            return None
        if not replay.runs:
            return event
        kind, database, table, count = replay.runs[0]
        if (event.kind, event.database, event.table) != (kind, database, table):
            raise DataError(
                f"transaction {self._gtid} has other rows than before: {event.kind} of "
                f"{event.database}.{event.table}, where {count} of {kind} of {database}.{table} "
                "were handed out"
            )
        size = len(event.rows)
        if size < count:
            replay.runs[0] = kind, database, table, count - size
            return None
        del replay.runs[0]
        if size == count:
            return None
        return replace(event, rows=event.rows[count:])

    def _end(self, resume: Position | None) -> None:
        replay = self._replays.pop(self._gtid, None) if self._replays else None
        if replay is not None and replay.runs:
            raise DataError(
                f"transaction {self._gtid} has fewer rows than were handed out of it before"
            )
        self._ended = self._gtid, resume
        self._gtid, self._is_known = None, False


def _name_of(event: Event) -> str:
    """Return what tells an event without rows from others of its transaction."""
    name = type(event).__name__
    return f"{name} {event.database}.{event.table}" if isinstance(event, Changed) else name


def _check_order(waiting: AnyGtid, gtid: AnyGtid) -> None:
    """Raise ``PositionLost`` where a transaction comes in the place of one that was begun."""
    if waiting is None or (
        isinstance(waiting, MariaDBGtid)
        and isinstance(gtid, MariaDBGtid)
        and gtid.domain == waiting.domain
    ):
        raise PositionLost(
            f"transaction {waiting} was handed out in part, and the server sends {gtid} instead"
        )


def _joined(known: GtidSet | MariaDBGtidSet | None, more: list[Any]) -> GtidSet | MariaDBGtidSet:
    """Return a set with more transactions, which are all of one kind of server."""
    if isinstance(more[0], MariaDBGtid):
        position = known if isinstance(known, MariaDBGtidSet) else MariaDBGtidSet()
        for gtid in more:
            position = position.add(gtid)
        return position
    intervals: dict[Any, list[tuple[int, int]]] = {}
    for gtid in more:
        runs = intervals.setdefault((gtid.uuid, gtid.tag), [])
        if runs and runs[-1][1] == gtid.number:
            runs[-1] = runs[-1][0], gtid.number + 1
        else:
            runs.append((gtid.number, gtid.number + 1))
    added = GtidSet({key: tuple(sorted(runs)) for key, runs in intervals.items()})
    return (known if isinstance(known, GtidSet) else GtidSet()) | added
