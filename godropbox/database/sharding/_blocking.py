"""What waits in threads: for connections, databases, writers, hosts that are asked side by side.

The steps that the policy takes, for blocking DB-API drivers; ``_sync`` is the public face.
"""

import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from inspect import isawaitable, iscoroutine
from math import inf
from time import monotonic, sleep
from typing import Any, Final

from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ...errors import DropboxError
from ...resource_pool import LameDuckError, ManagedHandle, SimpleResourcePool
from ...resource_pool._options import UNSET, Timeout
from ...resource_pool._reaper import Reaper
from ._borrowing import LATE, LOST
from ._dial import Dialling
from ._engines import Engine
from ._fleet import Fleet, Group, Token, UnsentError, seconds_of
from ._gates import Gates
from ._layout import Layout
from ._measuring import log_unmeasured
from ._scattering import Gathered, Scattering
from ._sessions import Remembering
from ._statements import Rendered, Result, render
from ._steps import run
from ._watch import Watch
from ._workers import Workers

__all__ = ["Blocking", "Connection"]

_NEVER: Final = -inf
_new: Final = tuple.__new__
# Seconds for a connection that was idle to answer, and at least for a measurement.
_TRIAL: Final = 2.0


class Connection:
    """A pooled connection, and what the router did with it."""

    __slots__ = ("limit", "opened", "raw", "uses")

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.uses = 0
        self.opened = monotonic()
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


def _connected(connect: Callable[[str], Any], host: str) -> Any:
    """Return a new connection that commits each statement by itself."""
    raw = connect(host)
    if raw is None or isawaitable(raw):
        if iscoroutine(raw):
            raw.close()  # nobody will await it
        raise TypeError(f"connect must return a connection, got {shown(raw)}")
    try:
        _commits_each(raw)  # which may ask the server
    except BaseException:
        _close_quietly(raw)
        raise
    return raw


class Blocking(Scattering):
    """The steps of a router for threads."""

    __slots__ = (
        "__weakref__",
        "_changed",
        "_connect",
        "_dialling",
        "_limits",
        "_measuring",
        "_reaper",
        "_token",
        "_until_when",
        "_updating",
        "_watch",
        "_workers",
    )

    def _start(
        self,
        layout: Layout,
        connect: Callable[[str], Any],
        engine: str | Engine,
        options: Mapping[str, Any],
    ) -> None:
        if not callable(connect):
            raise TypeError(f"connect must be a function of a host, got {shown(connect)}")
        self._connect = connect
        self._token = object()
        self._monitors = {}
        self._begin_again()
        self._set_up(layout, engine, options)
        self._reaper = Reaper(self, self._pool_options(open=connect).reap_interval)
        self._fleet = self._arranged(layout, None)
        self._limits = self._engine.session_limit(1.0) is not None
        self._watch = Watch(self._engine.abort)
        weakref.finalize(self, self._watch.close).atexit = False
        self._workers = Workers(self._options.threads, self._options.host_threads)
        self._dialling = Dialling(partial(_connected, connect), self._options.host_threads)
        begin_again_in_child(self)
        self._start_monitors()

    def _begin_again(self) -> None:
        self._has_monitors = False
        self._measuring: set[str] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._updating = threading.Lock()
        self._gates = Gates()
        self._strays = {}
        self._until_when = threading.local()  # the deadline of who opens a connection

    def _forked(self) -> None:
        """Begin again in the child of a fork, which has no other thread, and no writer of them."""
        self._begin_again()
        self._monitors = {}

    # Connections

    def _pool_of(self, host: str) -> SimpleResourcePool:
        options = self._pool_options(open=self._open, close=_close, check=self._is_alive)
        return SimpleResourcePool(options, host, self._token, self._reaper)

    def _open(self, host: str) -> Connection:
        deadline = getattr(self._until_when, "deadline", None)
        seconds = self._options.connect_timeout
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - monotonic()))
        return Connection(self._dialled(host, seconds))

    def _dialled(self, host: str, seconds: float) -> Any:
        if self._engine.name == "sqlite":  # a file, and maybe of this thread alone
            return _connected(self._connect, host)
        return self._dialling.dial(host, seconds)

    def _is_alive(self, connection: Connection) -> bool:
        """Return whether a connection that was idle answers; servers close those they forget."""
        deadline = getattr(self._until_when, "deadline", None)
        until = monotonic() + _TRIAL
        until = until if deadline is None else min(until, deadline)
        token = self._watch.begin(connection.raw, until)
        try:
            cursor = connection.raw.cursor()
            cursor.execute("SELECT 1")
            cursor.fetchall()
            cursor.close()
        except Exception:
            self._watch.end(token)
            return False
        return self._watch.end(token)

    # Statements

    def _borrow(self, fleet: Fleet, host: str, deadline: float | None) -> ManagedHandle:
        pool: SimpleResourcePool = fleet.pools[host]
        loan = pool.get_idle()
        if loan is not None:
            return loan
        seconds = self._options.pool_wait
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - monotonic()))
        self._until_when.deadline = deadline
        try:
            return pool.get(seconds)
        finally:
            self._until_when.deadline = None

    def _on(
        self,
        shard: int,
        statement: Any,
        records: Any,
        timeout: Timeout,
        master: bool,
        token: Token | None,
        read: bool | None,
        session: Remembering | None,
    ) -> Result:
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        rendered = render(statement, fleet.databases[shard], self._engine, records, read)
        while rendered.is_read:
            since = _NEVER if session is None else session._since_of(fleet.groups[shard])
            try:
                return self._read(fleet, shard, rendered, seconds, deadline, master, token, since)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
            # The layout was replaced by one that names the shard's database otherwise.
            fleet = self._fleet
            rendered = render(statement, fleet.databases[shard], self._engine, records, read)
        fleet, database = self._enter(shard, deadline), fleet.databases[shard]
        try:
            if fleet.databases[shard] != database:
                rendered = render(statement, fleet.databases[shard], self._engine, records, read)
            host = fleet.groups[shard].hosts.master
            return self._perform(fleet, shard, host, rendered, seconds, deadline)
        finally:
            self._leave(shard)
            if session is not None:
                session._wrote(shard)

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
        master_host = host = group.hosts.master
        if fleet.arrived:
            since = fleet.since(shard, since)
        if group.hosts.replicas and not master:
            if not self._has_monitors:
                self._start_monitors()  # in the child of a fork
            if token is None:
                host = group.reader(since)
            else:
                host = run(self._catching_up(fleet, shard, token, deadline, _TRIAL))
        try:
            result = self._perform(fleet, shard, host, rendered, seconds, deadline)
        except DropboxError as error:
            return run(
                self._reading_again(
                    fleet, shard, host, rendered, seconds, deadline, master, token, since, error
                )
            )
        if host != master_host:
            group.answered(host)
        return result

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
        except Exception as error:
            self._not_lent(error, fleet, shard, host, rendered)
        connection: Connection = loan.handle
        try:
            result = self._execute(connection, shard, host, rendered, seconds, deadline)
            if not rendered.is_built:
                self._roll_back(connection, deadline)  # whatever the caller's text has begun
        except BaseException as error:
            raised = run(self._failing(loan, fleet, shard, host, rendered, deadline, error))
            if raised is error:
                raise
            raise raised from error
        if connection.uses < 0:  # it was broken off after its answer had come
            loan.discard()
        else:
            loan.release()
        return result

    def _roll_back(self, connection: Connection, deadline: float | None) -> None:
        watched = None if deadline is None else self._watch.begin(connection.raw, deadline)
        try:
            connection.raw.rollback()
        finally:
            if watched is not None and not self._watch.end(watched):
                connection.uses = LATE

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
                self._limit(connection, seconds, text)
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
                connection.uses = LATE
            raise
        connection.uses += 1
        if watched is not None and not self._watch.end(watched):
            connection.uses = LOST
        return _new(Result, result)  # as the class does, without its function in between

    def _limit(self, connection: Connection, seconds: float | None, text: str) -> None:
        """Have the server limit the time of `text`, where that takes a statement."""
        wanted = self._engine.session_limit(seconds)
        if wanted is None or wanted == connection.limit or self._engine.resumes(text):
            return
        cursor = connection.raw.cursor()
        cursor.execute(wanted)
        cursor.close()
        connection.limit = wanted

    # Writes that were broken off

    def _begin_ending(self, host: str) -> None:
        thread = threading.Thread(
            target=self._end_strays, args=(host,), name="godropbox-sharding-strays", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads
            self._end_strays(host)

    def _end_strays(self, host: str) -> None:
        run(self._ending_strays(host))

    def _reach(self, host: str, seconds: float) -> Connection:
        return Connection(self._dialled(host, seconds))

    def _say_to(self, connection: Connection, text: str, until: float) -> Any:
        watched = self._watch.begin(connection.raw, until)
        try:
            cursor = connection.raw.cursor()
            cursor.execute(text)
            rows = cursor.fetchall() if cursor.description is not None else []
            cursor.close()
        finally:
            self._watch.end(watched)
        return rows

    def _quit(self, connection: Connection) -> None:
        _close_quietly(connection.raw)

    def _sleep(self, seconds: float) -> None:
        sleep(seconds)

    # Measuring replicas

    def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        return run(self._asking(fleet, shard, host, text, timeout))

    def _measure(self, fleet: Fleet, group: Group, patience: float | None) -> None:
        """Measure a group, waiting `patience` seconds for its replicas, None until they fail."""
        run(self._measuring_group(fleet, group, patience, _TRIAL))

    def _measure_replicas(
        self, fleet: Fleet, group: Group, shard: int, patience: float | None
    ) -> None:
        if patience is None:
            patience = 2 * max(self._options.measure_every, _TRIAL)
        until = monotonic() + patience
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
        try:
            run(self._measuring_replica(fleet, group, shard, host, _TRIAL))
        finally:
            self._measuring.discard(host)

    def _start_monitors(self) -> None:
        with self._lock:  # or first reads in the child of a fork start two for a group
            Scattering._start_monitors(self)

    def _begin_monitor(self, group: Group) -> threading.Event:
        stop = threading.Event()
        threading.Thread(
            target=_monitor,
            args=(weakref.ref(self), group, stop, self._options.measure_every),
            name="godropbox-sharding-monitor",
            daemon=True,
        ).start()
        return stop

    def _end_monitor(self, monitor: threading.Event) -> None:
        monitor.set()

    # Writers

    def _enter(self, shard: int, deadline: float | None) -> Fleet:
        """Let a write begin; return the layout that holds until it ends."""
        with self._lock:
            fleet = self._entered(shard)
            return run(self._entering(shard, deadline)) if fleet is None else fleet

    def _changes(self, seconds: float | None) -> None:
        self._changed.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def _notify(self) -> None:
        self._changed.notify_all()

    def _leave(self, shard: int) -> None:
        with self._lock:
            if self._gates.leave(shard):
                self._changed.notify_all()

    # Many shards

    def _spread(
        self, jobs: dict[int, Any], timeout: Timeout, master: bool, *, is_write: bool
    ) -> tuple[dict[int, Result], dict[int, DropboxError]]:
        """Run a statement for each shard; hosts side by side, the shards of one in turn."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        by_host = self._by_host(jobs)
        gathered = _Gathered(len(by_host), deadline, is_write)
        calls: list[tuple[str, Callable[[], object]]] = []
        unsent: set[int] = set()
        try:
            for host, shards in by_host.items():
                call = partial(self._do_host, gathered, shards, jobs, master)
                self._workers.submit(host, call)
                calls.append((host, call))
            gathered.wait(deadline)
        finally:
            results, errors = gathered.close()
            for host, made in calls if gathered.left else ():
                if self._workers.withdraw(host, made):
                    unsent.update(by_host[host])
        if gathered.fault is not None:
            raise gathered.fault
        self._add_late(fleet, jobs, results, errors, is_write, unsent)
        return results, errors

    def _do_host(
        self,
        gathered: "_Gathered",
        shards: list[int],
        jobs: dict[int, Any],
        master: bool,
    ) -> None:
        """Run the statements of one host's shards in turn, in a thread of the workers."""
        records, read = gathered.records, gathered.read
        try:
            for shard in shards:
                left = gathered.seconds()
                if left is not None and left <= 0:
                    return
                try:
                    result = self._on(shard, jobs[shard], records, left, master, None, read, None)
                except DropboxError as error:
                    gathered.failed(shard, error)
                else:
                    gathered.found(shard, result)
        except BaseException as error:  # a caller's mistake, which is raised to the caller
            gathered.broke(error)
        finally:
            gathered.ended()


class _Gathered(Gathered):
    """What threads have found, and the wait for them."""

    __slots__ = ("_done", "fault", "left")

    def __init__(self, hosts: int, deadline: float | None, is_write: bool) -> None:
        Gathered.__init__(self, deadline, is_write)
        self._done = threading.Event()
        self.left = hosts
        self.fault: BaseException | None = None
        if not hosts:
            self._done.set()

    def broke(self, error: BaseException) -> None:
        with self._lock:
            self.fault = self.fault or error
            self._done.set()

    def ended(self) -> None:
        with self._lock:
            self.left -= 1
            if not self.left:
                self._done.set()

    def wait(self, deadline: float | None) -> None:
        try:
            self._done.wait(None if deadline is None else max(0.0, deadline - monotonic()))
        except BaseException:
            self.is_closed = True
            raise


def _close_quietly(raw: Any) -> None:
    try:
        if raw is not None:
            raw.close()
    except Exception:  # it is broken
        return


def _close(connection: Connection) -> None:
    connection.raw.close()


def _monitor(
    reference: "weakref.ref[Blocking]", group: Group, stop: threading.Event, interval: float
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
