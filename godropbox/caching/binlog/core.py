"""What an invalidator decides: keys of transactions, when to delete them, what is applied. No I/O.

A driver feeds events to ``Core.take``, and makes the calls of ``Core.round`` while ``Core.due``
says so. A round deletes whatever is due in one call: that of new transactions, that which failed
before, and that which is deleted a second time. A transaction is applied when all of that is
acknowledged, and those before it are.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..._kernels._args import shown
from ...database import binlog
from ...database.binlog import GtidSet, MariaDBGtidSet
from ...memcache.errors import ClientClosedError, UsageError
from .._calls import Calls
from .._failures import Told
from ..consistent import CommitUncertain
from ..storage import PartialFailureError
from .applied import DEFAULT_KEY
from .generations import Generations
from .rules import AbsentColumnError, KeyRule, Rules, merged

__all__ = ["Core", "InvalidationOptions", "InvalidationStatistics"]

_LONGEST_RETRY: Final = 2.0
_FULL: Final = 10_000  # keys that wait for a round, at which the log waits, too
_DRIFT: Final = 1.05  # of the clocks of those who keep a generation
_HOLD: Final = object()  # in place of a key: nothing is deleted, but time has to pass


@dataclass(frozen=True, slots=True)
class InvalidationOptions:
    """How an ``Invalidator`` works.

    - `forget`: what to do when a table changed and the log does not say which rows, if its keys
      have no generation: ``"flush"`` flushes the servers, a function is called with the table's
      name; it may raise, and is called again then.
    - `absent`: what to do when an image of a row lacks a column of a key: ``"error"``, or
      ``"forget"`` for all keys of the table.
    - `publish`: the key in the cache under which the applied transactions are stored, for
      ``Applied``; None for none.
    - `repeat_after`: seconds after which each key is deleted once more, 0 for never. A server
      writes its log before others can see the transaction; this is the time that it has for that.
      Until then the transaction does not count as applied. Without effect if `committed` is given.
    - `retry_after`: seconds after which a deletion that failed is tried again; doubled each time,
      up to 2.
    - `most_pending`: keys that could not be deleted yet; if there are more, because a server is
      away, their tables are forgotten instead, once it is back.
    - `save_every`: seconds between two times that the position is saved.
    """

    forget: Literal["flush"] | Callable[[str], object] = "flush"
    absent: Literal["error", "forget"] = "error"
    publish: str | None = DEFAULT_KEY
    repeat_after: float = 0.5
    retry_after: float = 0.05
    most_pending: int = 100_000
    save_every: float = 1.0

    def __post_init__(self) -> None:
        if self.forget != "flush" and not callable(self.forget):
            raise ValueError(f"forget must be 'flush' or a function, got {shown(self.forget)}")
        if self.absent not in ("error", "forget"):
            raise ValueError(f"absent must be 'error' or 'forget', got {shown(self.absent)}")
        for name, least, most in (
            ("repeat_after", 0, 3600),
            ("retry_after", 0.001, 60),
            ("most_pending", 1, 10**9),
            ("save_every", 0, 3600),
        ):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value <= most:
                raise ValueError(f"{name} must be in [{least}, {most}], got {shown(value)}")


@dataclass(frozen=True, slots=True)
class InvalidationStatistics:
    """Counts so far, and how much waits.

    `transactions` that ended, `rows` of followed tables, `deleted` keys (once or twice each),
    `refused` keys, which the cache cannot have, `forgotten` tables, `failures` of the cache,
    `overflows` of the pending keys; `pending` keys and tables wait to be acknowledged.
    """

    transactions: int = 0
    rows: int = 0
    deleted: int = 0
    refused: int = 0
    forgotten: int = 0
    failures: int = 0
    overflows: int = 0
    pending: int = 0


class _Item:
    """A key to delete, or with None a table to forget, for the transaction of that number."""

    __slots__ = ("is_committed", "is_last", "is_tried", "key", "number", "table")

    def __init__(self, key: Any, table: str, number: int, is_last: bool) -> None:
        self.is_committed = False  # whether others are known to see the transaction
        self.is_tried = False  # whether this failed before
        self.key = key
        self.table = table
        self.number = number
        self.is_last = is_last


class _Mark:
    """The end of a transaction: what was applied once that is, and where to go on."""

    __slots__ = ("gtid", "gtids", "number", "resume")

    def __init__(self, number: int, gtid: Any, gtids: Any, resume: Any) -> None:
        self.number = number
        self.gtid = gtid
        self.gtids = gtids
        self.resume = resume  # where the next transaction begins in the server's files


class _Prepared:
    """A transaction of XA that may be committed later, and how many have its name."""

    __slots__ = ("count", "keys", "tables")

    def __init__(self) -> None:
        self.count = 0
        self.keys: dict[Any, str] = {}
        self.tables: set[str] = set()


class Core:
    """The decisions of an invalidator; threads may share it.

    One thread at a time feeds events, and one makes rounds.
    """

    def __init__(
        self,
        cache: Any,
        keys: Mapping[str, KeyRule | Iterable[KeyRule]],
        options: InvalidationOptions,
        generations: Generations | None,
        committed: Callable[[Any, Any], object] | None,
        clock: Callable[[], float],
    ) -> None:
        self.rules = Rules(keys)
        self.options = options
        self._generations = generations
        self._committed = committed
        self._clock = clock
        self._cache = cache
        self._delete = self._deleter(cache)
        if self.rules.has_generations and generations is None:
            raise ValueError("generations must be given, as a key has {generation}")
        is_plain = self.rules.generational != self.rules.tables
        if is_plain and options.forget == "flush" and not self._is_client:
            raise ValueError("forget must be a function, as this cache cannot be flushed alone")
        self._repeats = committed is None and options.repeat_after > 0
        self._told = Told()
        self._lock = threading.Lock()
        self.begin()

    def _deleter(self, cache: Any) -> Callable[[list[Any]], Calls[list[Any]]]:
        """Return how keys are deleted: it returns those of which that is not certain."""
        self._is_client = False
        if hasattr(cache, "invalidate_multi"):
            return self._invalidate
        if not hasattr(cache, "delete_many"):
            raise TypeError(
                "cache must be a Client or a ConsistentCacheOnStorage, or have delete_many or "
                f"invalidate_multi as they do, got {shown(cache)}"
            )
        self._is_client = hasattr(cache, "flush_all")
        return self._delete_many

    def begin(self) -> None:
        """Forget what was under way: nothing of it was applied."""
        self._group: dict[Any, str] = {}  # keys of the transaction that goes on, by table
        self._group_tables: set[str] = set()
        self._prepared: dict[str, _Prepared] = {}
        self._fresh: list[_Item] = []
        self._failed: list[_Item] = []
        self._later: deque[tuple[float, list[_Item]]] = deque()  # in the order of their times
        self._marks: deque[_Mark] = deque()
        self._open: Counter[int] = Counter()  # what waits, by the number of its transaction
        self._waiting = 0
        self._number = 0
        self._lowest = 1  # no number below it waits
        self._retry_at = 0.0
        self._retry_after = self.options.retry_after
        self._seen: dict[str, str] = {}  # generations
        self.has_published = True
        self._own: GtidSet | MariaDBGtidSet | None = None
        self.applied: GtidSet | MariaDBGtidSet | None = None
        self.place: Any = None
        self._counts: Counter[str] = Counter()

    def statistics(self) -> InvalidationStatistics:
        """Return the counts so far."""
        with self._lock:
            return InvalidationStatistics(**self._counts, pending=self._waiting)

    # Events

    def take(self, event: Any, events: Any, forgets_all: bool) -> bool:
        """Take an event of `events`, and end its transaction; return whether there is work to do.

        With `forgets_all`, all tables are forgotten first: the server has said where it goes on.
        """
        if forgets_all:
            self.forget()
            self._finish(None, events)
        is_end = self._note(event)
        if is_end:
            self._finish(getattr(event, "gtid", None), events)
        return forgets_all or is_end or not self.has_published

    def _note(self, event: Any) -> bool:
        """Take an event; return whether it ends a transaction."""
        if isinstance(event, binlog.Rows):
            self._rows(event)
        elif isinstance(event, binlog.Changed):
            self._group_tables.update(self.rules.named(event.database, event.table))
        elif isinstance(event, binlog.Incident):
            self._group_tables.update(self.rules.tables)
            return True
        elif isinstance(event, binlog.Commit):
            return True
        elif isinstance(event, binlog.XaPrepare):
            if not event.one_phase:
                self._prepare(event.xid.hex())
            return True
        elif isinstance(event, binlog.Query):
            return self._statement(event.statement)
        elif isinstance(event, binlog.Heartbeat):
            self.has_published = False  # the cache may have lost it
        return False

    def _rows(self, event: binlog.Rows) -> None:
        table = f"{event.database}.{event.table}"
        rules = self.rules.of(table)
        if not rules:
            return
        columns = event.columns
        if columns is None:
            raise binlog.MetadataError(
                f"the log does not name the columns of {table}: set binlog_row_metadata to FULL, "
                "or give a schema"
            )
        is_update = event.kind == "update"
        for row in event.rows:
            images = (row[0], merged(*row)) if is_update else (row,)
            for rule in rules:
                for image in images:
                    self._add(table, rule, columns, image)
        self._counts["rows"] += len(event.rows)

    def _add(self, table: str, rule: Any, columns: Any, image: Any) -> None:
        try:
            for key in rule.keys(columns, image):
                self._group[key] = table
        except AbsentColumnError:
            if self.options.absent == "error":
                raise
            self._group_tables.add(table)

    def _statement(self, statement: str) -> bool:
        words = statement[:40].upper().split(None, 2)
        if words[:2] == ["XA", "COMMIT"]:
            self._decide(_xid(statement), True)
        elif words[:2] == ["XA", "ROLLBACK"]:
            self._decide(_xid(statement), False)
        return not (
            words[:1] in (["BEGIN"], ["SAVEPOINT"], ["RELEASE"])
            or words[:2] in (["ROLLBACK", "TO"], ["XA", "START"], ["XA", "END"])
        )

    def _prepare(self, xid: str) -> None:
        """Remember a transaction: its rows are in the log now, and seen when it is committed."""
        prepared = self._prepared.setdefault(xid, _Prepared())
        prepared.count += 1
        prepared.keys.update(self._group)
        prepared.tables |= self._group_tables

    def _decide(self, xid: str | None, is_committed: bool) -> None:
        prepared = None if xid is None else self._prepared.get(xid)
        if prepared is None:  # it was prepared before the log that is read here
            if is_committed:
                self._group_tables.update(self.rules.tables)
            return
        if is_committed:
            self._group.update(prepared.keys)
            self._group_tables |= prepared.tables
        prepared.count -= 1
        if not prepared.count:
            del self._prepared[xid or ""]

    def _finish(self, gtid: Any, events: Any) -> None:
        """End a transaction of `events`: what it changed waits for the next round."""
        gtids, resume = getattr(events, "gtids", None), getattr(events, "resume", None)
        keys, tables = self._group, self._group_tables
        self._group, self._group_tables = {}, set()
        if gtids is None and gtid is not None:
            own: Any = self._own
            if own is None:
                own = GtidSet() if isinstance(gtid, binlog.Gtid) else MariaDBGtidSet()
            gtids = self._own = own.add(gtid)
        with self._lock:
            self._number = number = self._number + 1
            is_last = not self._repeats
            items = [_Item(None, table, number, is_last) for table in tables]
            items += [_Item(key, table, number, is_last) for key, table in keys.items()]
            self._fresh += items
            if items:
                self._open[number] += len(items)
                self._waiting += len(items)
            self._marks.append(_Mark(number, gtid, gtids, resume))
            self._counts["transactions"] += 1

    def forget(self, tables: Iterable[str] | None = None) -> None:
        """Have tables forgotten, all if it is None, as if they had changed now."""
        self._group_tables.update(self.rules.tables if tables is None else tables)

    def _overflow(self) -> None:
        """Replace keys that failed by their tables, which are forgotten once servers are back."""
        first: dict[str, int] = {}
        kept = []
        for item in self._failed:
            if item.key is None:
                kept.append(item)
                continue
            first[item.table] = min(item.number, first.get(item.table, item.number))
            self._open[item.number] -= 1
        for table, number in first.items():
            item = _Item(None, table, number, not self._repeats)
            item.is_tried = True  # only what could not be reached is left
            kept.append(item)
            self._open[number] += 1
        self._waiting += len(kept) - len(self._failed)
        self._failed = kept
        self._open = +self._open
        self._counts["overflows"] += 1

    @property
    def is_full(self) -> bool:
        """Whether the log should wait, as much waits to be deleted."""
        return len(self._fresh) > _FULL

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        with self._lock:
            return not self._open and not self._marks

    # Rounds

    def due(self) -> float | None:
        """Return in how many seconds a round is due, None if nothing waits."""
        with self._lock:
            if self._fresh or not self.has_published:
                return 0.0
            if self._marks and self._marks[0].number < self._low():
                return 0.0
            times = [self._retry_at] if self._failed else []
            times += [self._later[0][0]] if self._later else []
            return max(min(times) - self._clock(), 0.0) if times else None

    def _low(self) -> int:
        """Return the lowest number that waits, or one more than any."""
        while self._lowest <= self._number and not self._open[self._lowest]:
            del self._open[self._lowest]
            self._lowest += 1
        return self._lowest

    def _take(self) -> tuple[list[_Item], _Mark | None]:
        """Return what is due, and the end of the last transaction that has a GTID."""
        now = self._clock()
        with self._lock:
            items, self._fresh = self._fresh, []
            last = next((mark for mark in reversed(self._marks) if mark.gtid), None)
            if self._failed and self._retry_at <= now:
                items = self._failed + items
                self._failed = []
            while self._later and self._later[0][0] <= now:
                items += self._later.popleft()[1]
        return items, last

    def round(self) -> Calls[None]:
        """Delete what is due, and publish what is applied."""
        items, last = self._take()
        if items:
            failed: Iterable[_Item] = items
            try:
                yield from self._see(items, last)
                failed = yield from self._run(items)
            except ClientClosedError:
                raise
            except Exception as error:
                self._failure("a round", error)
            finally:
                self._settle(items, failed)
        yield from self._publish()

    def _see(self, items: list[_Item], last: _Mark | None) -> Calls[None]:
        """Wait until others see the transactions of all that is due."""
        if self._committed is None or last is None or all(item.is_committed for item in items):
            return
        yield self._committed, (last.gtid, last.resume)
        for item in items:
            item.is_committed = True

    def _failure(self, what: str, error: Exception) -> None:
        self._counts["failures"] += 1
        self._told.tell(self._cache, what, error)

    def _run(self, items: list[_Item]) -> Calls[Iterable[_Item]]:
        """Delete keys and forget tables; return those of which that is not certain."""
        whole = [item for item in items if item.key is None]
        tables = {item.table for item in whole}
        is_new = any(not item.is_tried for item in whole)
        lost = (yield from self._forget(sorted(tables), is_new)) if tables else set()
        failed = [item for item in whole if item.table in lost]
        by_key: dict[Any, list[_Item]] = {}
        deferred = []
        for item in items:
            if isinstance(item.key, tuple):
                deferred.append(item)
            elif item.key is not None and item.key is not _HOLD:
                by_key.setdefault(item.key, []).append(item)
        if deferred or tables:
            try:
                yield from self._add_deferred(deferred, items, by_key)
            except ClientClosedError:
                raise
            except Exception as error:
                self._failure("generations", error)
                failed = [*whole, *deferred]
        if by_key:
            for key in (yield from self._delete(list(by_key))):
                failed += by_key.get(key, ())
        self._counts["deleted"] += len(by_key)
        return failed

    def _add_deferred(
        self, deferred: list[_Item], items: list[_Item], by_key: dict[Any, list[_Item]]
    ) -> Calls[None]:
        """Fill in the generations that keys have now."""
        if self._generations is None:
            return
        wanted = {item.table for item in deferred}
        wanted |= {item.table for item in items if item.key is None} & set(self._seen)
        if not wanted:
            return
        found = yield from self._generations._asked(sorted(wanted))
        if any(self._seen.get(table) != now for table, now in found.items()):
            # Readers may go on with an earlier one for a while, whose keys are not deleted.
            self._seen.update(found)
            number = min(item.number for item in items)
            wait = self._generations.refresh * _DRIFT
            with self._lock:
                self._open[number] += 1
                self._waiting += 1
                self._put_later(wait, [_Item(_HOLD, "", number, True)])
        for item in deferred:
            by_key.setdefault(found[item.table].join(item.key), []).append(item)

    def _forget(self, tables: list[str], is_new: bool) -> Calls[set[str]]:
        """Forget tables; return those of which that is not certain.

        If none is new, some server could not be flushed before, and the others were.
        """
        failed: set[str] = set()
        own = [table for table in tables if any(r.has_generation for r in self.rules.of(table))]
        if own and self._generations is not None:
            failed |= yield from self._tried(own, self._generations._renewed(own))
            for table in own:
                self._seen.setdefault(table, "")  # so that the new one is asked for
        others = [table for table in tables if table not in self.rules.generational]
        if others and self.options.forget == "flush":
            failed |= yield from self._tried(others, _flushed(self._cache, is_new))
        elif others:
            for table in others:
                failed |= yield from self._tried([table], _called(self.options.forget, table))
        self._counts["forgotten"] += len(tables) - len(failed)
        return failed

    def _tried(self, tables: list[str], calls: Calls[Iterable[str]]) -> Calls[set[str]]:
        """Make calls for tables; return those that failed, all if a call raised."""
        try:
            return set((yield from calls))
        except ClientClosedError:
            raise
        except Exception as error:
            self._failure("forget", error)
            return set(tables)

    def _delete_many(self, keys: list[Any]) -> Calls[list[Any]]:
        try:
            failed = yield self._cache.delete_many, (keys,)
        except ClientClosedError:
            raise
        except UsageError:  # some cannot be sent, so that nobody can have stored them
            failed = yield from self._one_by_one(keys)
        if failed:
            errors = getattr(failed, "errors", {})
            first = next(iter(errors.values()), None) or RuntimeError("a server takes no deletes")
            self._failure("delete_many", first)
        return list(failed)

    def _one_by_one(self, keys: list[Any]) -> Calls[list[Any]]:
        failed: list[Any] = []
        for key in keys:
            try:
                failed += yield self._cache.delete_many, ([key],)
            except ClientClosedError:
                raise
            except UsageError:
                self._counts["refused"] += 1
        return failed

    def _invalidate(self, keys: list[Any]) -> Calls[list[Any]]:
        try:
            yield self._cache.invalidate_multi, (keys,)
        except (CommitUncertain, PartialFailureError) as error:
            self._failure("invalidate_multi", error)
            return list(error.keys)
        return []

    def _put_later(self, seconds: float, items: list[_Item]) -> None:
        """Have items wait; the lock is held."""
        due = self._clock() + seconds
        at = len(self._later)
        while at and self._later[at - 1][0] > due:
            at -= 1
        self._later.insert(at, (due, items))

    def _settle(self, items: list[_Item], failed: Iterable[_Item]) -> None:
        """Put away what a round was about."""
        lost = {id(item): item for item in failed}
        again = []
        with self._lock:
            for item in items:
                if id(item) in lost:
                    continue
                if item.is_last:
                    self._open[item.number] -= 1
                    self._waiting -= 1
                else:
                    item.is_last = True
                    again.append(item)
            self._open = +self._open
            if again:
                self._put_later(self.options.repeat_after, again)
            if lost:
                for item in lost.values():
                    item.is_tried = True
                self._failed += lost.values()
                if sum(item.key is not None for item in self._failed) > self.options.most_pending:
                    self._overflow()
                self._retry_at = self._clock() + self._retry_after
                self._retry_after = min(self._retry_after * 2, _LONGEST_RETRY)
            elif items:
                self._retry_after = self.options.retry_after

    def _publish(self) -> Calls[None]:
        mark = None
        with self._lock:
            low = self._low()
            while self._marks and self._marks[0].number < low:
                mark = self._marks.popleft()
            again = not self.has_published
            self.has_published = True
        if mark is not None:
            if mark.gtids is not None:
                self.applied = mark.gtids
            place = mark.resume if mark.gtids is None else mark.gtids
            if place is not None:
                self.place = place
        key = self.options.publish
        if key is None or self.applied is None or not self._is_client:
            return
        try:
            if mark is not None and mark.gtids is not None:
                yield self._cache.set, (key, str(self.applied))
            elif again:
                yield self._cache.add, (key, str(self.applied))
        except ClientClosedError:
            raise
        except Exception as error:
            self._failure("publish", error)


def _flushed(cache: Any, is_new: bool) -> Calls[Iterable[str]]:
    if not is_new and hasattr(cache, "version"):
        yield cache.version, ()  # raises while a server is away: the others are not flushed again
    yield cache.flush_all, ()
    return ()


def _called(function: Any, table: str) -> Calls[Iterable[str]]:
    yield function, (table,)
    return ()


def _xid(statement: str) -> str | None:
    """Return the bytes of an XA statement's name in hexadecimal digits, as a log has them."""
    parts = statement.split("'")
    if len(parts) < 3 or not parts[0].rstrip().upper().endswith(" X"):
        return None
    branch = parts[3] if len(parts) > 4 else ""
    return (parts[1] + branch).lower()
