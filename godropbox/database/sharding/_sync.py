"""The router for threads, over DB-API connections: its public face.

What is decided is in the policy (``_moving``, ``_borrowing``, ``_measuring``, ``_scattering``,
``_transactions``, ``_sessions``), what waits for a connection or a database in ``_blocking``.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from ..._kernels._identity import refuse_copies
from ...resource_pool import ManagedHandle, PoolStats
from ...resource_pool._options import UNSET, Timeout
from .. import sqlbuilder as sb
from ._blocking import Blocking, Connection
from ._borrowing import LATE
from ._engines import Engine
from ._fleet import RouterOverrides, Token, UnsentError, seconds_of
from ._layout import Key, Layout
from ._merge import Scattered
from ._scattering import reader_of
from ._sessions import Remembering
from ._statements import Filled, Result, Runnable, Sharded
from ._steps import run
from ._transactions import Transacting

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Session", "ShardRouter", "Transaction"]

_T = TypeVar("_T")


class ShardRouter(Blocking):
    """Runs statements on the shards of their keys, over DB-API connections; threads may share it.

    - `layout`: the ``Layout`` in force, until ``update`` replaces it.
    - `connect`: takes a host and returns a new connection. It has to have a timeout of its own for
      connecting (``connect_timeout``). Every connection is set to commit each statement by itself.
    - `engine`: ``"mysql"``, ``"mariadb"``, ``"postgresql"`` or ``"sqlite"``, or an ``Engine``.
    - `options` are the fields of ``RouterOptions``.

    A host has one pool, whatever shards live on it: statements name their database. Reads go to a
    replica that is up and within `max_staleness`, else to the master, and are tried once more where
    a pooled connection is lost. Writes go to the master, once.

    Use it as a context manager, or call ``close``.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        layout: Layout,
        connect: Callable[[str], Any],
        engine: str | Engine,
        **options: Unpack[RouterOverrides],
    ) -> None:
        self._start(layout, connect, engine, options)

    def reap(self) -> int:
        """Close the connections that were idle for too long; return how many."""
        return sum(pool.reap() for pool in self._fleet.pools.values())

    def stats(self) -> dict[str, PoolStats]:
        """Return the state of each host's pool."""
        return {host: pool.stats() for host, pool in self._fleet.pools.items()}

    # Running

    def run(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> Result:
        """Run a statement on the shard of `key`, and return what it did.

        - `statement`: of ``sqlbuilder``, filled from ``prepare``, or a function of the database's
          name that returns text, or text and parameters, or a statement; text counts as a write
          unless `read`.
        - `records` makes records of its rows, see ``query.records``.
        - `timeout`: seconds for the whole call, None for no limit.
        - `master`: read from the master. `token`: see what was written before it.

        Raise ``StatementError`` if the database refused it, ``HostLostError``,
        ``StatementTimeoutError``, and for a write ``ShardReadOnlyError``.
        """
        fleet = self._fleet
        return self._on(fleet.place(key), statement, records, timeout, master, token, read, None)

    @overload
    def fetch(
        self,
        statement: Filled[_T],
        key: Key,
        *,
        records: None = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> list[_T]: ...
    @overload
    def fetch(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[_T]",
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> list[_T]: ...
    @overload
    def fetch(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: None = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> list[Any]: ...
    def fetch(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: Any = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> list[Any]:
        """Run a statement on the shard of `key`, and return its rows; see ``run``."""
        fleet = self._fleet
        return self._on(
            fleet.place(key), statement, records, timeout, master, token, read, None
        ).rows

    def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`, and return the number of rows that it changed.

        See ``run``; the number is the driver's, -1 where it does not know.
        """
        fleet = self._fleet
        return self._on(fleet.place(key), statement, None, timeout, True, None, None, None).rowcount

    def run_on(
        self,
        statement: Runnable,
        shard: int,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        token: Token | None = None,
        read: bool | None = None,
    ) -> Result:
        """Run a statement on a shard by its number; see ``run``."""
        number = self._fleet.layout._checked(shard)
        return self._on(number, statement, records, timeout, master, token, read, None)

    # Reading what was written

    def token(self, key: Key, *, timeout: Timeout = UNSET) -> Token:
        """Return how far the master of the shard of `key` is; a read given it sees all before it.

        Raise ``ValueError`` if the engine has no positions.
        """
        return run(self._token_of(key, timeout))

    def session(self) -> "Session":
        """Return a session, whose reads see its own writes, at no cost to either."""
        return Session(self)

    # Measuring replicas

    def measure(self) -> None:
        """Measure now how far every replica is; what cannot be measured is as stale as it was."""
        fleet = self._fleet
        for group in fleet.named.values():
            self._measure(fleet, group, None)

    # Writers and layouts

    def update(self, layout: Layout, *, timeout: float | None = 30.0) -> list[int]:
        """Put a new layout in force, and return the shards whose writes it touched.

        Writes to shards that move, or that become read-only, are held back until those that began
        before have ended; then the layout is swapped at once, and they go on. So no write is under
        way on the old home of a shard when this returns: what was broken off has been ended at its
        server, if that can be reached within 10 s; else a warning is logged. Reads under way end
        where they began.

        `timeout` is how many seconds to wait for writes to end, None for no limit. Raise
        ``DrainTimeoutError`` if they do not, ``StaleLayoutError`` for an older layout, and
        ``ValueError`` for one of other shards; then the old layout holds.
        """
        seconds = self._seconds_to_drain(layout, timeout)
        with self._updating:
            old = self._fleet
            fleet, changed = self._to_come(layout)
            with self._lock:
                gone = run(self._replacing(fleet, changed, seconds))
            for host in gone:
                old.pools[host].enter_lame_duck_mode()
            self._start_monitors()
        return changed

    # Transactions

    @contextmanager
    def transaction(
        self, key: Key, *, timeout: Timeout = UNSET, read_only: bool = False
    ) -> "Iterator[Transaction]":
        """Run a block in one transaction on the shard of `key`: commit at its end, or roll back.

        `timeout` is seconds for the whole block. The connection is the block's alone; if its state
        is not known at the end, it is closed. `read_only` reads from the master in one snapshot,
        and is allowed while the shard is read-only.
        """
        shard = self._fleet.place(key)
        with self._transaction(shard, timeout, read_only) as made:
            yield made

    @contextmanager
    def _transaction(
        self, shard: int, timeout: Timeout, read_only: bool
    ) -> "Iterator[Transaction]":
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet if read_only else self._enter(shard, deadline)
        gates = self._gates
        try:
            made = Transaction(self, fleet, shard, seconds, deadline, read_only)
            made._begin()
            try:
                yield made
            except BaseException:
                run(made._rolling_back(may_wait=True))
                raise
            made._commit()
        finally:
            if not read_only and self._gates is gates:  # else this is the child of a fork
                self._leave(shard)

    # All shards

    def scatter(
        self,
        statement: "Runnable | Sharded[Any] | Callable[[list[Any]], Any]",
        *,
        keys: Iterable[Any] | None = None,
        shards: Iterable[int] | None = None,
        into: str | None = None,
        values: "Mapping[str, object] | None" = None,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        merge: bool = True,
        text_key: Callable[[str], Any] | None = None,
    ) -> Scattered[Any]:
        """Read from many shards at once, hosts side by side, under one deadline.

        - `keys`: one statement for each shard, with its keys alone. `statement` is a function of a
          list of keys that returns a query, or a prepared one whose slot `into` (the only slot,
          unless told) takes them, beside the other `values`.
        - `shards`: their numbers, all without `keys`; `statement` is a query for each.
        - `timeout`: seconds for all; a shard that is late is an error of that shard, and no thread
          or connection holds the caller.
        - `merge`: rows come merged by the query's ORDER BY, LIMIT and OFFSET. A query that computes
          over rows raises ``ValueError``, as each shard does so for itself: pass False, and combine
          ``result.by_shard``. `text_key` sorts text as the database's collation does, where ORDER
          BY has one.

        The rest is as in ``run``. Return rows by shard and errors by shard.
        """
        gathers, jobs = self._works(statement, keys, shards, into, values, merge, text_key)
        results, errors = self._spread(jobs, timeout, master, is_write=False)
        return Scattered(results, errors, gathers, reader_of(jobs, records))

    def each(
        self,
        statement: Runnable,
        *,
        shards: Iterable[int] | None = None,
        timeout: Timeout = UNSET,
    ) -> Scattered[Any]:
        """Write to many shards, all unless told: the same statement on each, hosts side by side.

        For a schema, say: ``router.each(lambda database: f"CREATE TABLE {database}.files (...)")``.
        Each shard is written to by itself: some may be done and others fail.
        """
        numbers = self._numbers(shards)
        results, errors = self._spread(
            dict.fromkeys(numbers, statement), timeout, True, is_write=True
        )
        return Scattered(results, errors, None, None)

    # The end

    def close(self) -> None:
        """Close all connections, those on loan as they come back; calls raise from now on."""
        with self._updating:
            with self._lock:
                self._is_closed = True
                for stop in self._monitors.values():
                    stop.set()
                self._monitors.clear()
            self._reaper.stop()
            self._watch.close()
            for pool in self._fleet.pools.values():
                pool.enter_lame_duck_mode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._fleet.layout!r}>"


class Transaction(Transacting):
    """A transaction on one shard, over one connection; made by ``router.transaction``."""

    __slots__ = ()

    _router: ShardRouter

    def run(self, statement: Runnable, *, records: "sb.Records[Any] | None" = None) -> Result:
        """Run a statement on the transaction's shard, and return what it did."""
        rendered = self._rendered(statement, records)
        connection: Connection = self._connection
        try:
            result = self._router._execute(
                connection, self.shard, self.host, rendered, self._seconds, self._deadline
            )
        except BaseException as error:
            self._failed(connection, rendered, error)
        self._ended_by = ""  # after a ROLLBACK TO
        return result

    def fetch(self, statement: Runnable, *, records: "sb.Records[Any] | None" = None) -> list[Any]:
        """Run a statement, and return its rows."""
        return self.run(statement, records=records).rows

    def execute(self, statement: Runnable) -> int:
        """Run a statement, and return the number of rows that it changed."""
        return self.run(statement).rowcount

    def holds(self, key: Key) -> bool:
        """Return whether a key is on the transaction's shard."""
        return self._fleet.place(key) == self.shard

    def _begin(self) -> None:
        loan: ManagedHandle | None = None
        try:
            loan = self._router._borrow(self._fleet, self.host, self._deadline)
            connection = loan.handle
            self._say(connection, self._first_word())
        except BaseException as error:
            run(self._beginning_again(loan, error))
        else:
            self._loan, self._connection = loan, connection

    def _commit(self) -> None:
        try:
            said = self._say(self._connection, self._last_word())
        except BaseException as error:
            self._not_committed(error)
        self._committed(said)

    def _say(self, connection: Connection, word: str) -> Any:
        """Run a word of our own, and return what PostgreSQL says that it did."""
        if self._deadline is not None and self._deadline <= monotonic():
            raise UnsentError
        watch = self._router._watch
        watched = None if self._deadline is None else watch.begin(connection.raw, self._deadline)
        try:
            cursor = connection.raw.cursor()
            cursor.execute(word)
            said = getattr(cursor, "statusmessage", None)
            cursor.close()
        finally:
            if watched is not None and not watch.end(watched):
                connection.uses = LATE
        return said


class Session(Remembering):
    """Calls whose reads see what the session wrote before: on the master, until a replica has it.

    It is for one thread at a time. Other sessions, and other processes, take a ``Token``.
    """

    __slots__ = ()

    _router: ShardRouter

    def run(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
    ) -> Result:
        """Run a statement on the shard of `key`; see ``ShardRouter.run``."""
        router = self._router
        shard = router._fleet.place(key)
        return router._on(shard, statement, records, timeout, False, None, None, self)

    def fetch(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
    ) -> list[Any]:
        """Run a statement on the shard of `key`, and return its rows."""
        return self.run(statement, key, records=records, timeout=timeout).rows

    def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`; return the number of rows that it changed."""
        return self.run(statement, key, timeout=timeout).rowcount

    @contextmanager
    def transaction(self, key: Key, *, timeout: Timeout = UNSET) -> Iterator[Transaction]:
        """Run a block in one transaction on the shard of `key`."""
        shard = self._router._fleet.place(key)
        try:
            with self._router._transaction(shard, timeout, False) as made:
                yield made
        finally:
            self._wrote(shard)
