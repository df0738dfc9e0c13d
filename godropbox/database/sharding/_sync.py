"""The router for threads, over DB-API connections: the only file here that blocks.

Where a statement goes and what its failure means is in ``_fleet``; here is what waits: for a
connection, for a database, for writers to end.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable, iscoroutine
from math import inf, nextafter
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar, Unpack, overload

from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._identity import refuse_copies
from ...errors import DropboxError
from ...resource_pool import LameDuckError, ManagedHandle, PoolStats, SimpleResourcePool
from ...resource_pool._options import UNSET, Timeout, checked_timeout
from ...resource_pool._reaper import Reaper
from .. import sqlbuilder as sb
from ._dial import dial
from ._engines import Engine
from ._errors import (
    DrainTimeoutError,
    HostLostError,
    RouterClosedError,
    StatementError,
    StatementTimeoutError,
)
from ._fleet import (
    Fleet,
    Group,
    Router,
    RouterOverrides,
    Token,
    UnsentError,
    broken_off,
    changed_shards,
    drained_in_vain,
    first_of,
    is_drivers,
    log_left,
    log_unmeasured,
    said_of,
    seconds_of,
)
from ._gates import Gates
from ._layout import Key, Layout
from ._merge import Scattered
from ._statements import Filled, Rendered, Result, Runnable, Sharded, render
from ._watch import Watch
from ._workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Session", "ShardRouter", "Transaction"]

_T = TypeVar("_T")
_NEVER: Final = float("-inf")
_new: Final = tuple.__new__
# Seconds for a connection that was idle to answer, and at least for a measurement.
_TRIAL: Final = 2.0
# Seconds to end what was broken off, before it is left alone.
_PATIENCE: Final = 10.0


class Connection:
    """A pooled connection, and what the router did with it."""

    __slots__ = ("limit", "raw", "uses")

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.uses = 0
        self.limit: str | None = None  # the statement that set its time limit


def _commits_each(connection: Any) -> None:
    """Have the connection commit each statement by itself; drivers differ in how."""
    if hasattr(connection, "isolation_level") and hasattr(connection, "in_transaction"):
        connection.isolation_level = None  # sqlite3
        return
    found = getattr(connection, "autocommit", None)
    if callable(found):
        found(True)
    else:
        connection.autocommit = True


class ShardRouter(Router):
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

    __slots__ = (
        "__weakref__",
        "_changed",
        "_connect",
        "_gates",
        "_has_monitors",
        "_limits",
        "_lock",
        "_measuring",
        "_monitors",
        "_reaper",
        "_strays",
        "_token",
        "_until",
        "_updating",
        "_watch",
        "_workers",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        layout: Layout,
        connect: Callable[[str], Any],
        engine: str | Engine,
        **options: Unpack[RouterOverrides],
    ) -> None:
        if not callable(connect):
            raise TypeError(f"connect must be a function of a host, got {shown(connect)}")
        self._connect = connect
        self._token = object()
        self._monitors: dict[Group, threading.Event] = {}
        self._begin_again()
        self._set_up(layout, engine, options)
        self._reaper = Reaper(self, self._pool_options(open=connect).reap_interval)
        self._fleet = self._arranged(layout, None)
        self._limits = self._engine.session_limit(1.0) is not None
        self._watch = Watch(self._engine.abort)
        weakref.finalize(self, self._watch.close).atexit = False
        self._workers = Workers(self._options.threads)
        begin_again_in_child(self)
        self._start_monitors()

    def _begin_again(self) -> None:
        self._has_monitors = False
        self._measuring: set[str] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._updating = threading.Lock()
        self._gates = Gates()
        # Writes that were broken off, by host: the server's numbers of connections, and shards.
        self._strays: dict[str, list[tuple[int, int]]] = {}
        self._until = threading.local()  # the deadline of who opens a connection

    def _forked(self) -> None:
        """Begin again in the child of a fork, which has no other thread, and no writer of them."""
        self._begin_again()
        self._monitors = {}

    # Connections

    def _pool_of(self, host: str) -> SimpleResourcePool:
        options = self._pool_options(open=self._open, close=_close, check=self._is_alive)
        return SimpleResourcePool(options, host, self._token, self._reaper)

    def _open(self, host: str) -> Connection:
        deadline = getattr(self._until, "deadline", None)
        seconds = self._options.connect_timeout
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - monotonic()))
        raw = self._dialled(host, seconds)
        if raw is None or isawaitable(raw):
            if iscoroutine(raw):
                raw.close()  # nobody will await it
            raise TypeError(f"connect must return a connection, got {shown(raw)}")
        try:
            _commits_each(raw)
        except BaseException:
            raw.close()
            raise
        return Connection(raw)

    def _dialled(self, host: str, seconds: float) -> Any:
        if self._engine.name == "sqlite":  # a file, and maybe of this thread alone
            return self._connect(host)
        return dial(self._connect, host, seconds)

    def _is_alive(self, connection: Connection) -> bool:
        """Return whether a connection that was idle answers; servers close those they forget."""
        token = self._watch.begin(connection.raw, monotonic() + _TRIAL)
        try:
            cursor = connection.raw.cursor()
            cursor.execute("SELECT 1")
            cursor.fetchall()
            cursor.close()
        except Exception:
            self._watch.end(token)
            return False
        return self._watch.end(token)

    def reap(self) -> int:
        """Close the connections that were idle for too long; return how many."""
        return sum(pool.reap() for pool in self._fleet.pools.values())

    def stats(self) -> dict[str, PoolStats]:
        """Return the state of each host's pool."""
        return {host: pool.stats() for host, pool in self._fleet.pools.items()}

    def _borrow(self, fleet: Fleet, host: str, deadline: float | None) -> ManagedHandle:
        pool: SimpleResourcePool = fleet.pools[host]
        loan = pool.get_idle()
        if loan is not None:
            return loan
        seconds = self._options.pool_wait
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - monotonic()))
        self._until.deadline = deadline
        try:
            return pool.get(seconds)
        finally:
            self._until.deadline = None

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
        return self._on(fleet.place(key), statement, records, timeout, master, token, read, _NEVER)

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
            fleet.place(key), statement, records, timeout, master, token, read, _NEVER
        ).rows

    def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`, and return the number of rows that it changed.

        See ``run``; the number is the driver's, -1 where it does not know.
        """
        fleet = self._fleet
        return self._on(
            fleet.place(key), statement, None, timeout, True, None, None, _NEVER
        ).rowcount

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
        return self._on(number, statement, records, timeout, master, token, read, _NEVER)

    def _on(
        self,
        shard: int,
        statement: Any,
        records: Any,
        timeout: Timeout,
        master: bool,
        token: Token | None,
        read: bool | None,
        since: float,
    ) -> Result:
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        rendered = render(statement, fleet.databases[shard], self._engine, records, read)
        if rendered.is_read:
            return self._read(fleet, shard, rendered, seconds, deadline, master, token, since)
        fleet, database = self._enter(shard, deadline), fleet.databases[shard]
        try:
            if fleet.databases[shard] != database:
                rendered = render(statement, fleet.databases[shard], self._engine, records, read)
            host = fleet.groups[shard].hosts.master
            return self._perform(fleet, shard, host, rendered, seconds, deadline)
        finally:
            self._leave(shard)

    def _read(
        self,
        fleet: Fleet,
        shard: int,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
        master: bool,
        token: Token | None,
        since: float,
    ) -> Result:
        """Read from a replica or the master, and once more where that may help."""
        group = fleet.groups[shard]
        host = group.hosts.master
        since = fleet.since(shard, since)
        if group.hosts.replicas and not master:
            if not self._has_monitors:
                self._start_monitors()  # in the child of a fork
            host = group.reader(since) if token is None else self._caught_up(fleet, shard, token)
        is_again = False
        while True:
            try:
                result = self._perform(fleet, shard, host, rendered, seconds, deadline)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
                # The layout was replaced, and this host with it; nothing was sent.
                return self._read(
                    self._fleet, shard, rendered, seconds, deadline, master, token, since
                )
            except HostLostError as error:
                group.failed(host)
                if is_again or (host == group.hosts.master and not error._was_pooled):
                    raise
            except StatementTimeoutError:
                group.failed(host)
                raise
            else:
                if host != group.hosts.master:
                    group.answered(host)
                return result
            is_again = True
            if host != group.hosts.master:
                host = group.reader(since, (host,)) if token is None else group.hosts.master

    def _perform(
        self,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
    ) -> Result:
        """Run a statement over a connection to a host."""
        try:
            loan = self._borrow(fleet, host, deadline)
        except LameDuckError:
            if self._is_closed:
                raise RouterClosedError("the router was closed") from None
            raise
        except Exception as error:
            raised = self._unreached(error, fleet, shard, host, rendered)
            if raised is error:
                raise
            raise raised from error
        connection: Connection = loan.handle
        try:
            result = self._execute(connection, shard, host, rendered, seconds, deadline)
            if not rendered.is_built:
                connection.raw.rollback()  # whatever the caller's text has begun
        except BaseException as error:
            self._give_back_failed(loan, connection, fleet, shard, host, rendered, error)
        if connection.uses < 0:  # it was broken off after its answer had come
            loan.discard()
        else:
            loan.release()
        return result

    def _execute(
        self,
        connection: Connection,
        shard: int,
        host: str,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
    ) -> Result:
        """Execute a statement and fetch its rows, which the watch breaks off at the deadline."""
        text, parameters, is_read, is_built, read = rendered
        raw = connection.raw
        watched = None
        if deadline is not None:
            seconds = deadline - monotonic()
            if seconds <= 0:
                raise UnsentError
            if is_built:
                text = self._engine.limited(text, seconds, is_read)
            watched = self._watch.begin(raw, deadline)
        try:
            if self._limits:
                self._limit(connection, seconds)
            cursor = raw.cursor()
            if parameters is None:
                cursor.execute(text)  # or drivers would look for parameters in it
            else:
                cursor.execute(text, parameters)
            rows: Any = cursor.fetchall() if cursor.description is not None else []
            if read is not None:
                rows = list(read(rows))
            elif type(rows) is not list:
                rows = list(rows)
            result = (rows, cursor.rowcount, getattr(cursor, "lastrowid", None), shard, host)
            cursor.close()
        except BaseException:
            if watched is not None and not self._watch.end(watched):
                connection.uses = -2
            raise
        connection.uses += 1
        if watched is not None and not self._watch.end(watched):
            connection.uses = -1
        return _new(Result, result)  # as the class does, without its function in between

    def _limit(self, connection: Connection, seconds: float | None) -> None:
        """Have the server limit the time of what follows, where that takes a statement."""
        wanted = self._engine.session_limit(seconds)
        if wanted is None or wanted == connection.limit:
            return
        cursor = connection.raw.cursor()
        cursor.execute(wanted)
        cursor.close()
        connection.limit = wanted

    def _give_back_failed(
        self,
        loan: ManagedHandle,
        connection: Connection,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered,
        error: BaseException,
    ) -> NoReturn:
        """Close the connection, unless its state is known, and raise what happened."""
        is_late, was_pooled = connection.uses == -2, connection.uses > 0
        if not isinstance(error, Exception):
            if not rendered.is_read:
                self._left_behind(shard, host, connection)
            loan.discard()
            raise error
        if isinstance(error, DropboxError) or not is_drivers(error):
            # Of a function that makes records, say: the statement itself went well.
            loan.discard()
            raise error
        raised = self._error_of(error, fleet, shard, host, rendered, is_late=is_late)
        if isinstance(raised, HostLostError | StatementTimeoutError) and raised.maybe_done:
            self._left_behind(shard, host, connection)
        if isinstance(error, UnsentError):
            loan.release()
        elif isinstance(raised, StatementError) and self._engine.is_answer(error):
            try:
                if not rendered.is_built:
                    connection.raw.rollback()
            except Exception:
                loan.discard()
            else:
                loan.release()
        elif isinstance(raised, HostLostError):
            raised._was_pooled = was_pooled
            loan.owner._lose(loan)  # and those that were idle for as long
        else:
            loan.discard()
        raise raised from error

    def _left_behind(self, shard: int, host: str, connection: Connection) -> None:
        """Have the server end a write that was broken off, which counts as one until then.

        Whoever calls it is inside the gate, which ``update`` waits for.
        """
        number = broken_off(self._engine, connection.raw)
        if number is None:
            return
        with self._lock:
            self._gates.stay(shard)
            is_first = host not in self._strays
            self._strays.setdefault(host, []).append((number, shard))
        if is_first:
            name = "godropbox-sharding-strays"
            thread = threading.Thread(target=self._end_strays, args=(host,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there can be no more threads
                self._end_strays(host)

    def _end_strays(self, host: str) -> None:
        """Have a server end what was broken off, and let out who is counted for it."""
        raw = None
        while True:
            with self._lock:
                found = self._strays[host]
                if not found:
                    del self._strays[host]
                    break
                self._strays[host] = []
            until = monotonic() + _PATIENCE
            try:
                if raw is None:
                    raw = self._dialled(host, _PATIENCE)
                    _commits_each(raw)
                for number, _ in found:
                    self._end_stray(raw, number, until)
            except Exception as error:
                log_left(host, error)
                _close_quietly(raw)
                raw = None
            finally:
                with self._lock:
                    for _, shard in found:
                        self._gates.leave(shard)
                    self._changed.notify_all()
        _close_quietly(raw)

    def _end_stray(self, raw: Any, number: int, until: float) -> None:
        watched = self._watch.begin(raw, until)
        try:
            cursor = raw.cursor()
            try:
                cursor.execute(self._engine.ending(number))
            except Exception as error:
                if self._engine.is_lost(error):
                    raise
                # It has ended by itself, say.
            wait = 0.005
            while True:
                cursor.execute(self._engine.lasting(number))
                if not first_of(cursor.fetchall()):
                    return
                if monotonic() > until:
                    raise TimeoutError(f"it did not end within {_PATIENCE:g} s")
                sleep(wait)
                wait = min(2 * wait, 0.1)
        finally:
            self._watch.end(watched)

    # Reading what was written

    def token(self, key: Key, *, timeout: Timeout = UNSET) -> Token:
        """Return how far the master of the shard of `key` is; a read given it sees all before it.

        Raise ``ValueError`` if the engine has no positions.
        """
        text = self._position_text()
        while True:
            fleet = self._fleet
            shard = fleet.place(key)
            group = fleet.groups[shard]
            try:
                position = self._ask(fleet, shard, group.hosts.master, text, timeout)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
                continue  # the layout was replaced, and this host with it
            if position is None:
                raise ValueError("the heartbeat table has no row")
            return Token(group.name, str(position))

    def _caught_up(self, fleet: Fleet, shard: int, token: Token) -> str:
        """Return a replica that has what a token stands for, or else the master."""
        group, host = self._candidate(fleet, shard, token)
        if host == group.hosts.master or self._is_known_to_have(group, host, token):
            return host
        wait = self._options.token_wait
        text = self._waiting_text(token)
        try:
            value = self._ask(fleet, shard, host, text or self._applied_text(), wait + _TRIAL)
        except DropboxError:
            group.failed(host)
            return group.hosts.master
        has = self._has_come(value, token, waited=text is not None)
        return host if has else group.hosts.master

    def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        """Return the first value of a query of our own."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        rendered = Rendered(text, None, True, True, None)
        rows = self._perform(fleet, shard, host, rendered, seconds, deadline).rows
        return first_of(rows)

    def session(self) -> "Session":
        """Return a session, whose reads see its own writes, at no cost to either."""
        return Session(self)

    # Measuring replicas

    def measure(self) -> None:
        """Measure now how far every replica is; what cannot be measured is as stale as it was."""
        fleet = self._fleet
        for group in fleet.named.values():
            self._measure(fleet, group, None)

    def _measure(self, fleet: Fleet, group: Group, patience: float | None) -> None:
        """Measure a group, waiting `patience` seconds for its replicas, None until they fail."""
        shard = fleet.shard_on(group)
        if shard is None or not group.hosts.replicas:
            return
        beat = self._options.heartbeat
        seconds = max(self._options.measure_every, _TRIAL)
        self._position_text()  # without one, nothing can be measured
        try:
            if beat is not None:
                self._ask(fleet, shard, group.hosts.master, beat.advance, seconds)
            moment = group.clock()
            position = self._ask(fleet, shard, group.hosts.master, self._position_text(), seconds)
            if position is None and beat is not None:
                raise ValueError("the heartbeat table has no row")
            if position:
                group.sampled(moment, position)
        except Exception as error:  # of rows that nobody would expect, too
            log_unmeasured(f"the master {group.hosts.master}", error)
        # Each by itself: one that hangs must not make the others look stale.
        until = monotonic() + (2 * seconds if patience is None else patience)
        threads = []
        for host in group.hosts.replicas:
            with self._lock:
                if host in self._measuring:
                    continue
                self._measuring.add(host)
            thread = threading.Thread(
                target=self._measure_replica,
                args=(fleet, group, shard, host),
                name="godropbox-sharding-replica",
                daemon=True,
            )
            try:
                thread.start()
            except BaseException:
                self._measuring.discard(host)
                raise
            threads.append(thread)
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))

    def _measure_replica(self, fleet: Fleet, group: Group, shard: int, host: str) -> None:
        seconds = max(self._options.measure_every, _TRIAL)
        try:
            applied = self._ask(fleet, shard, host, self._applied_text(), seconds)
            group.applied(host, applied, self._engine, self._options.heartbeat is not None)
        except Exception as error:
            if isinstance(error, DropboxError):
                group.failed(host)
            log_unmeasured(f"the replica {host}", error)
        finally:
            self._measuring.discard(host)

    def _start_monitors(self) -> None:
        """Have a thread for each group that has replicas."""
        self._has_monitors = True
        if not self._options.measure_every or self._options.max_staleness == 0:
            return
        wanted = {group for group in self._fleet.named.values() if group.hosts.replicas}
        for group in set(self._monitors) - wanted:
            self._monitors.pop(group).set()
        for group in wanted - set(self._monitors):
            stop = self._monitors[group] = threading.Event()
            threading.Thread(
                target=_monitor,
                args=(weakref.ref(self), group, stop, self._options.measure_every),
                name="godropbox-sharding-monitor",
                daemon=True,
            ).start()

    # Writers and layouts

    def _enter(self, shard: int, deadline: float | None) -> Fleet:
        """Let a write begin; return the layout that holds until it ends."""
        with self._lock:
            if not self._gates.enter(shard):
                self._wait(lambda: self._gates.enter(shard), deadline, shard)
            fleet = self._fleet
            if shard not in fleet.read_only:
                return fleet
            self._gates.leave(shard)
            patience = self._options.read_only_wait
            if patience:
                until = monotonic() + patience
                until = until if deadline is None else min(until, deadline)
                self._wait(lambda: shard not in self._fleet.read_only, until, shard)
        if not patience:
            raise self._is_closed_to_writes(fleet, shard)
        return self._enter(shard, deadline)

    def _wait(self, is_open: Callable[[], bool], deadline: float | None, shard: int) -> None:
        """Wait, holding the lock, until `is_open`; raise at the deadline."""
        while not is_open():
            seconds = None if deadline is None else deadline - monotonic()
            if seconds is not None and seconds <= 0:
                raise self._is_closed_to_writes(self._fleet, shard)
            self._changed.wait(seconds)

    def _leave(self, shard: int) -> None:
        with self._lock:
            if self._gates.leave(shard):
                self._changed.notify_all()

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
        if not isinstance(layout, Layout):
            raise TypeError(f"layout must be a Layout, got {shown(layout)}")
        seconds = checked_timeout("timeout", timeout)
        with self._updating:
            if self._is_closed:
                raise RouterClosedError("the router was closed")
            old = self._fleet
            changed = changed_shards(old.layout, layout)
            fleet = self._arranged(layout, old)
            with self._lock:
                self._gates.close(changed)
                try:
                    self._drain(changed, seconds)
                    fleet.comes_from(old, self._options.clock())
                    self._fleet = fleet
                finally:
                    self._gates.open(changed)
                    self._changed.notify_all()
            for host, pool in old.pools.items():
                if host not in fleet.pools:
                    pool.enter_lame_duck_mode()
            self._start_monitors()
        return changed

    def _drain(self, shards: list[int], seconds: float) -> None:
        deadline = monotonic() + seconds
        while busy := self._gates.busy(shards):
            left = deadline - monotonic()
            if left <= 0:
                raise DrainTimeoutError(drained_in_vain(busy, seconds), shards=busy)
            self._changed.wait(min(left, threading.TIMEOUT_MAX))

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
        try:
            made = Transaction(self, fleet, shard, seconds, deadline, read_only)
            made._begin()
            try:
                yield made
            except BaseException:
                made._end(commits=False)
                raise
            made._end(commits=True)
        finally:
            if not read_only:
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
        read: Any = records
        if read is None:
            first = next(iter(jobs.values()), None)
            read = first._of._read if isinstance(first, Filled) else None
        results, errors = self._spread(jobs, timeout, master, is_write=False)
        return Scattered(results, errors, gathers, read)

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

    def _spread(
        self, jobs: dict[int, Any], timeout: Timeout, master: bool, *, is_write: bool
    ) -> tuple[dict[int, Result], dict[int, DropboxError]]:
        """Run a statement for each shard; hosts side by side, the shards of one in turn."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        by_host: dict[str, list[int]] = {}
        for shard in jobs:
            by_host.setdefault(fleet.groups[shard].hosts.master, []).append(shard)
        gathered = _Gathered(len(by_host))
        for shards in by_host.values():
            call = partial(
                self._do_host, gathered, shards, jobs, seconds, deadline, master, is_write
            )
            self._workers.submit(call)
        gathered.wait(deadline)
        results, errors, fault = gathered.close()
        if fault is not None:
            raise fault
        self._add_late(fleet, jobs, results, errors, is_write)
        return results, errors

    def _do_host(
        self,
        gathered: "_Gathered",
        shards: list[int],
        jobs: dict[int, Any],
        seconds: float | None,
        deadline: float | None,
        master: bool,
        is_write: bool,
    ) -> None:
        """Run the statements of one host's shards, in a thread of the workers."""
        try:
            for shard in shards:
                left = None if deadline is None else deadline - monotonic()
                if gathered.is_closed or (left is not None and left <= 0):
                    return
                try:
                    result = self._on(
                        shard,
                        jobs[shard],
                        None if is_write else list,  # plain rows, which Scattered reads
                        left,
                        master,
                        None,
                        None if is_write else True,
                        _NEVER,
                    )
                except DropboxError as error:
                    gathered.failed(shard, error)
                else:
                    gathered.found(shard, result)
        except BaseException as error:  # a caller's mistake, which is raised to the caller
            gathered.broke(error)
        finally:
            gathered.ended()

    # The end

    def close(self) -> None:
        """Close all connections, those on loan as they come back; calls raise from now on."""
        with self._updating:
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


class Transaction:
    """A transaction on one shard, over one connection; made by ``router.transaction``."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_ended_by",
        "_fleet",
        "_is_broken",
        "_is_read_only",
        "_loan",
        "_router",
        "_seconds",
        "database",
        "host",
        "shard",
    )
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        router: ShardRouter,
        fleet: Fleet,
        shard: int,
        seconds: float | None,
        deadline: float | None,
        is_read_only: bool,
    ) -> None:
        self._router = router
        self._seconds = seconds
        self._deadline = deadline
        self._is_read_only = is_read_only
        self._is_broken = False
        self._ended_by = ""  # the error for which the database has ended it
        self._loan: ManagedHandle | None = None
        self._connection: Connection | None = None
        self.shard = shard
        self._go_by(fleet)

    def _go_by(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.database = fleet.databases[self.shard]
        self.host = fleet.groups[self.shard].hosts.master

    def run(self, statement: Runnable, *, records: "sb.Records[Any] | None" = None) -> Result:
        """Run a statement on the transaction's shard, and return what it did."""
        connection = self._connection
        if connection is None:
            raise RouterClosedError("the transaction has ended")
        router = self._router
        engine = router._engine
        rendered = render(statement, self.database, engine, records, in_transaction=True)
        if self._ended_by and not engine.resumes(rendered.text):
            raise router._ended_before(self._fleet, self.shard, self.host, rendered, self._ended_by)
        try:
            result = router._execute(
                connection, self.shard, self.host, rendered, self._seconds, self._deadline
            )
        except Exception as error:
            if isinstance(error, DropboxError) or not is_drivers(error):
                raise
            raised = router._error_of(
                error,
                self._fleet,
                self.shard,
                self.host,
                rendered,
                is_late=connection.uses == -2,
            )
            if isinstance(raised, StatementError) and engine.ends_transaction(
                error, connection.raw
            ):
                self._ended_by = said_of(error, raised.code)
            if isinstance(raised, HostLostError | StatementTimeoutError):
                self._is_broken = True
                raised.maybe_done = False  # it was not committed
            raise raised from error
        except BaseException:
            self._is_broken = True
            raise
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
        router = self._router
        word = router._engine.begin_read if self._is_read_only else router._engine.begin
        is_again = False
        while True:
            try:
                loan = router._borrow(self._fleet, self.host, self._deadline)
            except LameDuckError:
                if router._is_closed:
                    raise RouterClosedError("the router was closed") from None
                if self._fleet is router._fleet:
                    raise
                self._go_by(router._fleet)  # the layout was replaced, and this host with it
                continue
            except Exception as error:
                raised: BaseException = router._unreached(
                    error, self._fleet, self.shard, self.host, None, "BEGIN"
                )
                if raised is error:
                    raise
                raise raised from error
            connection: Connection = loan.handle
            try:
                self._say(connection, word)
            except Exception as error:
                was_pooled, is_late = connection.uses > 0, connection.uses == -2
                if isinstance(error, UnsentError):
                    loan.release()
                else:
                    loan.owner._lose(loan)
                    if was_pooled and not is_again:
                        is_again = True  # nothing was done by it
                        continue
                raise router._error_of(
                    error, self._fleet, self.shard, self.host, None, is_late=is_late, kind="BEGIN"
                ) from error
            except BaseException:
                loan.discard()
                raise
            self._loan, self._connection = loan, connection
            return

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
                connection.uses = -2
        return said

    def _end(self, *, commits: bool) -> None:
        """Commit or roll back, and give the connection back if its state is known."""
        loan, connection = self._loan, self._connection
        self._loan = self._connection = None
        assert loan is not None
        assert connection is not None
        is_known = not self._is_broken and connection.uses >= 0
        if not is_known and not commits:
            loan.discard()
            return
        try:
            if not is_known:
                raise ConnectionAbortedError("the connection was lost before")
            said = self._say(connection, "COMMIT" if commits and not self._ended_by else "ROLLBACK")
        except Exception as error:
            loan.discard()
            if not commits:
                return  # the database rolls back by itself; what the block raised counts
            if self._ended_by:
                raise self._ended() from error
            raised = self._router._error_of(
                error,
                self._fleet,
                self.shard,
                self.host,
                None,
                is_late=connection.uses == -2,
                kind="COMMIT",
            )
            if isinstance(raised, HostLostError | StatementTimeoutError):
                raised.maybe_done = raised.maybe_done and not self._is_broken
                if raised.maybe_done:
                    self._router._left_behind(self.shard, self.host, connection)
            raise raised from error
        except BaseException:
            if commits:
                self._router._left_behind(self.shard, self.host, connection)
            loan.discard()
            raise
        if connection.uses < 0:
            loan.discard()
        else:
            loan.release()
        if commits and (self._ended_by or said == "ROLLBACK"):
            raise self._ended()

    def _ended(self) -> StatementError:
        by = self._ended_by or "an error"
        return self._router._ended_before(self._fleet, self.shard, self.host, None, by)


class Session:
    """Calls whose reads see what the session wrote before: on the master, until a replica has it.

    It is for one thread at a time. Other sessions, and other processes, take a ``Token``.
    """

    __slots__ = ("_router", "_since")
    __reduce_ex__ = refuse_copies

    def __init__(self, router: ShardRouter) -> None:
        self._router = router
        self._since: dict[str, float] = {}  # the end of the last write, by group

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
        fleet = router._fleet
        shard = fleet.place(key)
        group = fleet.groups[shard]
        since = self._since.get(group.name, _NEVER)
        is_write = not isinstance(statement, sb.SelectBase)
        try:
            return router._on(shard, statement, records, timeout, False, None, None, since)
        finally:
            if is_write and not (isinstance(statement, Filled) and statement._of._is_query):
                self._wrote(shard)

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

    def _wrote(self, shard: int) -> None:
        group = self._router._fleet.groups[shard]
        self._since[group.name] = nextafter(group.clock(), inf)  # a sample of then is older


class _Gathered:
    """What the threads of a scattered statement have found, until the caller leaves with it."""

    __slots__ = ("_done", "_errors", "_fault", "_left", "_lock", "_results", "is_closed")

    def __init__(self, hosts: int) -> None:
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._left = hosts
        self._results: dict[int, Result] = {}
        self._errors: dict[int, DropboxError] = {}
        self._fault: BaseException | None = None
        self.is_closed = False
        if not hosts:
            self._done.set()

    def found(self, shard: int, result: Result) -> None:
        with self._lock:
            if not self.is_closed:
                self._results[shard] = result

    def failed(self, shard: int, error: DropboxError) -> None:
        with self._lock:
            if not self.is_closed:
                self._errors[shard] = error

    def broke(self, error: BaseException) -> None:
        with self._lock:
            self._fault = self._fault or error
            self._done.set()

    def ended(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self._done.set()

    def wait(self, deadline: float | None) -> None:
        try:
            self._done.wait(None if deadline is None else max(0.0, deadline - monotonic()))
        except BaseException:
            self.is_closed = True
            raise

    def close(
        self,
    ) -> tuple[dict[int, Result], dict[int, DropboxError], BaseException | None]:
        with self._lock:
            self.is_closed = True
            return self._results, self._errors, self._fault


def _close_quietly(raw: Any) -> None:
    try:
        if raw is not None:
            raw.close()
    except Exception:  # it is broken
        return


def _close(connection: Connection) -> None:
    connection.raw.close()


def _monitor(
    reference: "weakref.ref[ShardRouter]", group: Group, stop: threading.Event, interval: float
) -> None:
    while True:
        router = reference()
        if router is None:
            return
        fleet = router._fleet
        if fleet.named.get(group.name) is group:
            try:
                router._measure(fleet, group, interval)
            except Exception as error:  # which would end the thread
                if not stop.is_set():
                    log_unmeasured(f"group {group.name}", error)
        del router, fleet
        if stop.wait(interval):
            return
