"""Statements for many shards, and what comes of them; without I/O, for both routers."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from time import monotonic
from typing import Any

from ..._kernels._args import shown
from ...errors import DropboxError
from .. import sqlbuilder as sb
from ._errors import StatementTimeoutError
from ._fleet import Fleet
from ._measuring import Measuring
from ._merge import gathering
from ._statements import Filled, Result, Sharded, check_reads, checked_query

__all__ = ["Gathered", "Scattering", "reader_of"]


class Gathered:
    """What threads or tasks have found for a scattered statement, until the caller leaves."""

    __slots__ = ("_deadline", "_errors", "_lock", "_results", "is_closed", "read", "records")

    def __init__(self, deadline: float | None, is_write: bool) -> None:
        self._deadline = deadline
        self.read = None if is_write else True
        self.records = None if is_write else list  # plain rows, which Scattered reads
        self._lock = threading.Lock()
        self._results: dict[int, Result] = {}
        self._errors: dict[int, DropboxError] = {}
        self.is_closed = False

    def seconds(self) -> float | None:
        """Return the time for the next shard; None is no limit, and below 0 nothing is asked."""
        if self.is_closed:
            return -1.0
        return None if self._deadline is None else self._deadline - monotonic()

    def found(self, shard: int, result: Result) -> None:
        with self._lock:
            if not self.is_closed:
                self._results[shard] = result

    def failed(self, shard: int, error: DropboxError) -> None:
        with self._lock:
            if not self.is_closed:
                self._errors[shard] = error

    def close(self) -> tuple[dict[int, Result], dict[int, DropboxError]]:
        """Take no more, and return what was found; what is late counts no more."""
        with self._lock:
            self.is_closed = True
            return self._results, self._errors


class Scattering(Measuring):
    """One statement for each of many shards."""

    __slots__ = ()

    def _numbers(self, shards: Iterable[int] | None) -> list[int]:
        layout = self._fleet.layout
        if shards is None:
            return list(range(layout.shards))
        return list(dict.fromkeys(layout._checked(shard) for shard in shards))

    def _works(
        self,
        statement: Any,
        keys: Iterable[Any] | None,
        shards: Iterable[int] | None,
        into: str | None,
        values: Mapping[str, object] | None,
        merge: bool,
        text_key: Callable[[str], Any] | None,
    ) -> tuple[Any, dict[int, Any]]:
        """Return how rows are merged, and the statement of each shard."""
        if keys is not None and shards is not None:
            raise ValueError("scatter takes keys or shards, not both")
        jobs: dict[int, Any]
        if keys is None:
            if into is not None or values is not None:
                raise ValueError("into and values are for keys")
            jobs = dict.fromkeys(self._numbers(shards), statement)
        else:
            fill = _filler(statement, into, values)
            jobs = {s: fill(found) for s, found in self._fleet.layout.by_shard(keys).items()}
        databases, how = self._fleet.databases, "a scattered query"
        made: dict[int, Any] = {}
        done: dict[int, Any] = {}  # one statement of all shards is looked at once
        for shard, given in jobs.items():
            job = done.get(id(given))
            if job is None:
                job = check_reads(given, databases[shard], self._engine, how)
                query = job._of.statement if isinstance(job, Filled) else job
                if not merge and isinstance(query, sb.Statement):
                    checked_query(query, self._engine, how)
                if job is given:
                    done[id(given)] = job
            made[shard] = job
        if not merge or not made:
            return None, made
        whole: Any = None
        gathered: dict[int, Any] = {}
        jobs = dict(made)  # which keeps them, and so their ids
        for shard, job in jobs.items():
            found = gathered.get(id(job))
            if found is None:
                found = gathered[id(job)] = gathering(job, self._engine, text_key, how)
            whole = whole or found
            if not found.merges_as(whole):
                raise ValueError(
                    f"{how} must have one ORDER BY, LIMIT and OFFSET for all shards to be merged"
                )
            made[shard] = found.statement
        return whole, made

    def _add_late(
        self,
        fleet: Fleet,
        jobs: Iterable[int],
        results: Mapping[int, Any],
        errors: dict[int, DropboxError],
        is_write: bool,
        unsent: Collection[int] = (),
    ) -> None:
        """Add the errors of the shards that did not answer in time; `unsent` had no thread."""
        for shard in jobs:
            if shard not in results and shard not in errors:
                words, found = self._located(fleet, shard, fleet.groups[shard].hosts.master, None)
                if shard in unsent:
                    said = f"{words} was not sent: no thread was free for its host in time"
                    late = StatementTimeoutError(said, **found)
                else:
                    late = StatementTimeoutError(f"{words} did not end in time", **found)
                    late.maybe_done = is_write
                errors[shard] = late

    def _by_host(self, jobs: Iterable[int]) -> dict[str, list[int]]:
        """Return the shards of each master."""
        groups = self._fleet.groups
        found: dict[str, list[int]] = {}
        for shard in jobs:
            found.setdefault(groups[shard].hosts.master, []).append(shard)
        return found


def reader_of(jobs: Mapping[int, Any], records: Any) -> Any:
    """Return what makes records of the rows."""
    if records is None:
        first = next(iter(jobs.values()), None)
        return first._of._read if isinstance(first, Filled) else None
    return records


def _filler(
    statement: Any, into: str | None, values: Mapping[str, object] | None
) -> Callable[[list[Any]], Any]:
    """Return what makes a shard's statement of its keys."""
    if isinstance(statement, Sharded):
        more = dict(values or {})
        slots = [name for name in statement.slots if name not in more]
        if into is None:
            if len(slots) != 1:
                raise ValueError(
                    f"into must name the slot of the keys, one of {', '.join(slots) or 'none'}"
                )
            into = slots[0]
        name = into
        return lambda keys: statement(**{**more, name: keys})
    if isinstance(statement, (sb.Statement, Filled)) or not callable(statement):
        raise TypeError(
            "statement must be a function of a list of keys, or prepared with a slot for them, got "
            f"{shown(statement)}"
        )
    if into is not None or values is not None:
        raise ValueError("into and values are for a prepared statement")
    made: Callable[[list[Any]], Any] = statement
    return made
