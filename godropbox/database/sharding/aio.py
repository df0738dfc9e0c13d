"""The router for asyncio, over connections of an asyncio driver.

aiomysql, asyncmy, aiosqlite, psycopg's ``AsyncConnection`` and asyncpg (engine ``"asyncpg"``) fit.
Where a statement goes and what its failure means is in ``_fleet``; here is what waits on the loop.
A call that is cancelled closes its connection, whose state is not known then.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from math import inf, nextafter
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from ..._kernels._args import shown
from ..._kernels._identity import refuse_copies
from ...errors import DropboxError
from ...resource_pool import LameDuckError, ManagedHandle, PoolStats
from ...resource_pool._options import UNSET, Timeout, checked_timeout
from ...resource_pool.aio import AsyncResourcePool
from .. import sqlbuilder as sb
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
from ._statements import Filled, Rendered, Result, Runnable, Sharded, kind_of, render

__all__ = ["AsyncSession", "AsyncShardRouter", "AsyncTransaction"]

_T = TypeVar("_T")
_NEVER: Final = float("-inf")
# Seconds for a connection that was idle to answer, and at least for a measurement.
_TRIAL: Final = 2.0
# Seconds to end what was broken off, before it is left alone.
_PATIENCE: Final = 10.0
_YIELD_ROWS: Final = frozenset(["EXPLAIN", "SELECT", "SHOW", "TABLE", "VALUES", "WITH"])


async def _awaited(value: Any) -> Any:
    return await value if isawaitable(value) else value


class _Connection:
    """A pooled connection, its driver's way to run a statement, and what the router did with it."""

    __slots__ = ("execute", "limit", "raw", "uses")

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.execute = self._by_asyncpg if hasattr(raw, "fetchrow") else self._by_cursor
        self.uses = 0
        self.limit: str | None = None  # the statement that set its time limit

    async def _by_cursor(self, text: str, parameters: Any) -> tuple[list[Any], int, Any]:
        cursor = await _awaited(self.raw.cursor())
        if parameters is None:
            await cursor.execute(text)  # or drivers would look for parameters in it
        else:
            await cursor.execute(text, parameters)
        rows: list[Any] = []
        if cursor.description is not None:
            rows = list(await cursor.fetchall())
        count, last = cursor.rowcount, getattr(cursor, "lastrowid", None)
        await _awaited(cursor.close())
        return rows, count, last

    async def _by_asyncpg(self, text: str, parameters: Any) -> tuple[list[Any], int, Any]:
        values = parameters or ()
        if kind_of(text) in _YIELD_ROWS or " RETURNING " in text:
            rows = [tuple(row) for row in await self.raw.fetch(text, *values)]
            return rows, len(rows), None
        said = await self.raw.execute(text, *values)
        last = str(said).rpartition(" ")[2]  # of "INSERT 0 3"
        return [], int(last) if last.isdecimal() else -1, None

    async def say(self, word: str) -> Any:
        """Run a word of a transaction, and return what PostgreSQL says that it did."""
        if hasattr(self.raw, "fetchrow"):
            return await self.raw.execute(word)
        cursor = await _awaited(self.raw.cursor())
        await cursor.execute(word)
        said = getattr(cursor, "statusmessage", None)
        await _awaited(cursor.close())
        return said

    async def rollback(self) -> None:
        if hasattr(self.raw, "fetchrow"):
            await self.raw.execute("ROLLBACK")
        else:
            await self.raw.rollback()


async def _commits_each(connection: Any) -> None:
    """Have the connection commit each statement by itself; drivers differ in how."""
    if hasattr(connection, "fetchrow"):
        return  # asyncpg does
    if hasattr(connection, "isolation_level") and hasattr(connection, "in_transaction"):
        if connection.isolation_level is not None:  # aiosqlite, in a thread of its own
            raise ValueError("connect must pass isolation_level=None to aiosqlite.connect")
        return
    found = getattr(connection, "set_autocommit", None) or connection.autocommit
    await _awaited(found(True))


async def _close_quietly(connection: _Connection) -> None:
    try:
        await _close(connection)
    except Exception:  # it is broken
        return


async def _close(connection: _Connection) -> None:
    raw = connection.raw
    if hasattr(raw, "terminate") and hasattr(raw, "fetchrow"):
        raw.terminate()  # asyncpg's close would wait for the server
        return
    if connection.uses < 0 and hasattr(raw, "interrupt"):
        await _awaited(raw.interrupt())  # aiosqlite's thread may still be at it
    await _awaited(raw.close())


class AsyncShardRouter(Router):
    """Runs statements on the shards of their keys, for the tasks of one event loop.

    - `connect`: an async function that takes a host and returns a new connection. For aiosqlite it
      has to pass ``isolation_level=None``.

    The rest is as in ``ShardRouter``. Use it as an async context manager, or call ``close``.
    """

    __slots__ = (
        "__weakref__",
        "_changed",
        "_connect",
        "_gates",
        "_has_monitors",
        "_measuring",
        "_monitors",
        "_retired",
        "_strays",
        "_updating",
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
        self._gates = Gates()
        # Writes that were broken off, by host: the server's numbers of connections, and shards.
        self._strays: dict[str, list[tuple[int, int]]] = {}
        self._changed = asyncio.Event()
        self._updating = asyncio.Lock()
        self._monitors: dict[Group, asyncio.Task[None]] = {}
        self._has_monitors = False
        self._measuring: dict[str, asyncio.Task[None]] = {}
        self._retired: set[asyncio.Future[Any]] = set()
        self._set_up(layout, engine, options)
        self._fleet = self._arranged(layout, None)

    # Connections

    def _pool_of(self, host: str) -> AsyncResourcePool:
        options = self._pool_options(open=self._open, close=_close, check=self._is_alive)
        return AsyncResourcePool(options, host)

    async def _open(self, host: str) -> _Connection:
        opening = self._connect(host)
        if not isawaitable(opening):
            raise TypeError(f"connect must be an async function, got one with {shown(opening)}")
        async with asyncio.timeout(self._options.connect_timeout):
            raw = await opening
        if raw is None:
            raise TypeError("connect must return a connection, got None")
        made = _Connection(raw)
        try:
            await _commits_each(made.raw)
        except BaseException:
            await _close(made)
            raise
        return made

    async def _is_alive(self, connection: _Connection) -> bool:
        """Return whether a connection that was idle answers; servers close those they forget."""
        try:
            async with asyncio.timeout(_TRIAL):
                await connection.execute("SELECT 1", None)
        except Exception:
            return False
        return True

    def stats(self) -> dict[str, PoolStats]:
        """Return the state of each host's pool."""
        return {host: pool.stats() for host, pool in self._fleet.pools.items()}

    async def _borrow(self, fleet: Fleet, host: str, deadline: float | None) -> ManagedHandle:
        pool: AsyncResourcePool = fleet.pools[host]
        loan = pool.get_idle()
        if loan is not None:
            return loan
        seconds = self._options.pool_wait
        if deadline is None:
            return await pool.get(seconds)
        left = max(0.0, deadline - monotonic())
        # Opening is not limited by the pool.
        async with asyncio.timeout(left):
            return await pool.get(min(seconds, left))

    # Running

    async def run(
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
        """Run a statement on the shard of `key`, and return what it did; see ``ShardRouter.run``.

        A write that is cancelled may be done or not.
        """
        shard = self._fleet.place(key)
        return await self._on(shard, statement, records, timeout, master, token, read, _NEVER)

    @overload
    async def fetch(
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
    async def fetch(
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
    async def fetch(
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
    async def fetch(
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
        shard = self._fleet.place(key)
        made = await self._on(shard, statement, records, timeout, master, token, read, _NEVER)
        return made.rows

    async def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`, and return the number of rows that it changed.

        See ``run``; the number is the driver's, -1 where it does not know.
        """
        shard = self._fleet.place(key)
        return (await self._on(shard, statement, None, timeout, True, None, None, _NEVER)).rowcount

    async def run_on(
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
        return await self._on(number, statement, records, timeout, master, token, read, _NEVER)

    async def _on(
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
            return await self._read(fleet, shard, rendered, seconds, deadline, master, token, since)
        database = fleet.databases[shard]
        fleet = await self._enter(shard, deadline)
        try:
            if fleet.databases[shard] != database:
                rendered = render(statement, fleet.databases[shard], self._engine, records, read)
            host = fleet.groups[shard].hosts.master
            return await self._perform(fleet, shard, host, rendered, seconds, deadline)
        finally:
            self._leave(shard)

    async def _read(
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
                self._start_monitors()
            if token is None:
                host = group.reader(since)
            else:
                host = await self._caught_up(fleet, shard, token)
        is_again = False
        while True:
            try:
                result = await self._perform(fleet, shard, host, rendered, seconds, deadline)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
                # The layout was replaced, and this host with it; nothing was sent.
                return await self._read(
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

    async def _perform(
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
            loan = await self._borrow(fleet, host, deadline)
        except LameDuckError:
            if self._is_closed:
                raise RouterClosedError("the router was closed") from None
            raise
        except Exception as error:
            raised = self._unreached(error, fleet, shard, host, rendered)
            if raised is error:
                raise
            raise raised from error
        connection: _Connection = loan.handle
        was_pooled = connection.uses > 0
        try:
            result = await self._execute(connection, shard, host, rendered, seconds, deadline)
            if not rendered.is_built:
                await connection.rollback()  # whatever the caller's text has begun
        except Exception as error:
            is_late = connection.uses == -2
            if not is_late and (isinstance(error, DropboxError) or not is_drivers(error)):
                connection.uses = -1
                loan.discard()
                raise
            raised = self._error_of(error, fleet, shard, host, rendered, is_late=is_late)
            if isinstance(raised, HostLostError | StatementTimeoutError) and raised.maybe_done:
                self._left_behind(shard, host, connection)
            if isinstance(error, UnsentError) or (
                isinstance(raised, StatementError) and self._engine.is_answer(error)
            ):
                loan.release()
            elif isinstance(raised, HostLostError):
                raised._was_pooled = was_pooled
                connection.uses = -1
                loan.owner._lose(loan)
            else:
                connection.uses = -1
                loan.discard()
            raise raised from error
        except BaseException:  # cancelled: what the server does is not known
            if not rendered.is_read:
                self._left_behind(shard, host, connection)
            connection.uses = -1
            loan.discard()
            raise
        loan.release()
        return result

    async def _execute(
        self,
        connection: _Connection,
        shard: int,
        host: str,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
    ) -> Result:
        """Execute a statement and fetch its rows, within the deadline."""
        text, parameters, is_read, is_built, read = rendered
        if deadline is None:
            rows, count, last = await self._answer(connection, text, parameters, None)
        else:
            seconds = deadline - monotonic()
            if seconds <= 0:
                raise UnsentError
            if is_built:
                text = self._engine.limited(text, seconds, is_read)
            scope = asyncio.timeout(seconds)
            try:
                async with scope:
                    rows, count, last = await self._answer(connection, text, parameters, seconds)
            except BaseException:
                if scope.expired():
                    connection.uses = -2
                raise
        connection.uses += 1
        return Result(rows if read is None else list(read(rows)), count, last, shard, host)

    async def _answer(
        self, connection: _Connection, text: str, parameters: Any, seconds: float | None
    ) -> tuple[list[Any], int, Any]:
        wanted = self._engine.session_limit(seconds)
        if wanted is not None and wanted != connection.limit:
            await connection.execute(wanted, None)
            connection.limit = wanted
        return await connection.execute(text, parameters)

    def _left_behind(self, shard: int, host: str, connection: _Connection) -> None:
        """Have the server end a write that was broken off, which counts as one until then.

        Whoever calls it is inside the gate, which ``update`` waits for.
        """
        number = broken_off(self._engine, connection.raw)
        if number is None:
            return
        self._gates.stay(shard)
        is_first = host not in self._strays
        self._strays.setdefault(host, []).append((number, shard))
        if is_first:
            self._keep(asyncio.ensure_future(self._end_strays(host)))

    async def _end_strays(self, host: str) -> None:
        """Have a server end what was broken off, and let out who is counted for it."""
        made: _Connection | None = None
        try:
            while found := self._strays[host]:
                self._strays[host] = []
                try:
                    async with asyncio.timeout(_PATIENCE):
                        if made is None:
                            made = await self._open(host)
                        for number, _ in found:
                            await self._end_stray(made, number)
                except Exception as error:
                    log_left(host, error)
                    if made is not None:
                        await _close_quietly(made)
                    made = None
                finally:
                    for _, shard in found:
                        self._leave(shard)
        finally:
            for _, shard in self._strays.pop(host):
                self._leave(shard)
            if made is not None:
                await _close_quietly(made)

    async def _end_stray(self, made: _Connection, number: int) -> None:
        try:
            await made.execute(self._engine.ending(number), None)
        except Exception as error:
            if self._engine.is_lost(error):
                raise
            # It has ended by itself, say.
        wait = 0.005
        while first_of((await made.execute(self._engine.lasting(number), None))[0]):
            await asyncio.sleep(wait)
            wait = min(2 * wait, 0.1)

    # Reading what was written

    async def token(self, key: Key, *, timeout: Timeout = UNSET) -> Token:
        """Return how far the master of the shard of `key` is; a read given it sees all before it.

        Raise ``ValueError`` if the engine has no positions.
        """
        text = self._position_text()
        while True:
            fleet = self._fleet
            shard = fleet.place(key)
            group = fleet.groups[shard]
            try:
                position = await self._ask(fleet, shard, group.hosts.master, text, timeout)
            except LameDuckError:
                if fleet is self._fleet:
                    raise
                continue  # the layout was replaced, and this host with it
            if position is None:
                raise ValueError("the heartbeat table has no row")
            return Token(group.name, str(position))

    async def _caught_up(self, fleet: Fleet, shard: int, token: Token) -> str:
        """Return a replica that has what a token stands for, or else the master."""
        group, host = self._candidate(fleet, shard, token)
        if host == group.hosts.master or self._is_known_to_have(group, host, token):
            return host
        wait = self._options.token_wait
        text = self._waiting_text(token)
        try:
            value = await self._ask(fleet, shard, host, text or self._applied_text(), wait + _TRIAL)
        except DropboxError:
            group.failed(host)
            return group.hosts.master
        has = self._has_come(value, token, waited=text is not None)
        return host if has else group.hosts.master

    async def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        """Return the first value of a query of our own."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        rendered = Rendered(text, None, True, True, None)
        rows = (await self._perform(fleet, shard, host, rendered, seconds, deadline)).rows
        return first_of(rows)

    def session(self) -> "AsyncSession":
        """Return a session, whose reads see its own writes, at no cost to either."""
        return AsyncSession(self)

    # Measuring replicas

    async def measure(self) -> None:
        """Measure now how far every replica is; what cannot be measured is as stale as it was."""
        fleet = self._fleet
        for group in fleet.named.values():
            await self._measure(fleet, group, None)

    async def _measure(self, fleet: Fleet, group: Group, patience: float | None) -> None:
        """Measure a group, waiting `patience` seconds for replicas, None until all have ended."""
        shard = fleet.shard_on(group)
        if shard is None or not group.hosts.replicas:
            return
        beat = self._options.heartbeat
        seconds = max(self._options.measure_every, _TRIAL)
        self._position_text()  # without one, nothing can be measured
        try:
            if beat is not None:
                await self._ask(fleet, shard, group.hosts.master, beat.advance, seconds)
            moment = group.clock()
            text = self._position_text()
            position = await self._ask(fleet, shard, group.hosts.master, text, seconds)
            if position is None and beat is not None:
                raise ValueError("the heartbeat table has no row")
            if position:
                group.sampled(moment, position)
        except Exception as error:  # of rows that nobody would expect, too
            log_unmeasured(f"the master {group.hosts.master}", error)
        # Each by itself: one that hangs must not make the others look stale.
        for host in group.hosts.replicas:
            if host not in self._measuring:
                task = asyncio.ensure_future(self._measure_replica(fleet, group, shard, host))
                self._measuring[host] = task
                self._keep(task)
        tasks = [self._measuring[host] for host in group.hosts.replicas if host in self._measuring]
        await asyncio.wait(tasks, timeout=patience)

    async def _measure_replica(self, fleet: Fleet, group: Group, shard: int, host: str) -> None:
        seconds = max(self._options.measure_every, _TRIAL)
        try:
            applied = await self._ask(fleet, shard, host, self._applied_text(), seconds)
            group.applied(host, applied, self._engine, self._options.heartbeat is not None)
        except Exception as error:
            if isinstance(error, DropboxError):
                group.failed(host)
            log_unmeasured(f"the replica {host}", error)
        finally:
            self._measuring.pop(host, None)

    def _start_monitors(self) -> None:
        """Have a task for each group that has replicas."""
        self._has_monitors = True
        if not self._options.measure_every or self._options.max_staleness == 0:
            return
        wanted = {group for group in self._fleet.named.values() if group.hosts.replicas}
        for group in set(self._monitors) - wanted:
            self._retire(self._monitors.pop(group))
        for group in wanted - set(self._monitors):
            self._monitors[group] = asyncio.get_running_loop().create_task(
                _monitor(weakref.ref(self), group, self._options.measure_every)
            )

    def _retire(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a task, which ``close`` waits for."""
        task.cancel()
        self._keep(task)

    def _keep(self, task: "asyncio.Future[Any]") -> None:
        """Have ``close`` wait for a task."""
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    # Writers and layouts

    async def _enter(self, shard: int, deadline: float | None) -> Fleet:
        """Let a write begin; return the layout that holds until it ends."""
        while True:
            while not self._gates.enter(shard):
                await self._until_changed(shard, deadline)
            fleet = self._fleet
            if shard not in fleet.read_only:
                return fleet
            self._gates.leave(shard)
            patience = self._options.read_only_wait
            if not patience:
                raise self._is_closed_to_writes(fleet, shard)
            until = monotonic() + patience
            until = until if deadline is None else min(until, deadline)
            while shard in self._fleet.read_only:
                await self._until_changed(shard, until)

    async def _until_changed(self, shard: int, deadline: float | None) -> None:
        changed = self._changed
        try:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            async with asyncio.timeout(left):
                await changed.wait()
        except TimeoutError:
            raise self._is_closed_to_writes(self._fleet, shard) from None

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _leave(self, shard: int) -> None:
        if self._gates.leave(shard):
            self._notify()

    async def update(self, layout: Layout, *, timeout: float | None = 30.0) -> list[int]:
        """Put a new layout in force, as ``ShardRouter.update`` does."""
        if not isinstance(layout, Layout):
            raise TypeError(f"layout must be a Layout, got {shown(layout)}")
        seconds = checked_timeout("timeout", timeout)
        async with self._updating:
            if self._is_closed:
                raise RouterClosedError("the router was closed")
            old = self._fleet
            changed = changed_shards(old.layout, layout)
            self._gates.close(changed)
            try:
                await self._drain(changed, seconds)
                fleet = self._arranged(layout, old)
                fleet.comes_from(old, self._options.clock())
                self._fleet = fleet
            finally:
                self._gates.open(changed)
                self._notify()
            for host, pool in old.pools.items():
                if host not in fleet.pools:
                    self._keep(asyncio.ensure_future(pool.close()))
            if self._has_monitors:
                self._start_monitors()
        return changed

    async def _drain(self, shards: list[int], seconds: float) -> None:
        deadline = monotonic() + seconds
        while busy := self._gates.busy(shards):
            changed = self._changed
            left = deadline - monotonic()
            if left <= 0:
                raise DrainTimeoutError(drained_in_vain(busy, seconds), shards=busy)
            try:
                async with asyncio.timeout(left if left < 1e9 else None):
                    await changed.wait()
            except TimeoutError:
                continue

    # Transactions

    @asynccontextmanager
    async def transaction(
        self, key: Key, *, timeout: Timeout = UNSET, read_only: bool = False
    ) -> "AsyncIterator[AsyncTransaction]":
        """Run a block in one transaction on the shard of `key`: commit at its end, or roll back.

        The arguments are as in ``ShardRouter.transaction``. A block that is cancelled is rolled
        back by the database, as its connection is closed.
        """
        shard = self._fleet.place(key)
        async with self._transaction(shard, timeout, read_only) as made:
            yield made

    @asynccontextmanager
    async def _transaction(
        self, shard: int, timeout: Timeout, read_only: bool
    ) -> "AsyncIterator[AsyncTransaction]":
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet if read_only else await self._enter(shard, deadline)
        try:
            made = AsyncTransaction(self, fleet, shard, seconds, deadline, read_only)
            await made._begin()
            try:
                yield made
            except BaseException as error:
                await made._roll_back(error)
                raise
            await made._commit()
        finally:
            if not read_only:
                self._leave(shard)

    # All shards

    async def scatter(
        self,
        statement: "Runnable | Sharded[Any] | Callable[[list[Any]], Any]",
        *,
        keys: Iterable[Any] | None = None,
        shards: Iterable[int] | None = None,
        into: str | None = None,
        values: Mapping[str, object] | None = None,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
        master: bool = False,
        merge: bool = True,
        text_key: Callable[[str], Any] | None = None,
    ) -> Scattered[Any]:
        """Read from many shards at once, as ``ShardRouter.scatter`` does."""
        gathers, jobs = self._works(statement, keys, shards, into, values, merge, text_key)
        read: Any = records
        if read is None:
            first = next(iter(jobs.values()), None)
            read = first._of._read if isinstance(first, Filled) else None
        results, errors = await self._spread(jobs, timeout, master, is_write=False)
        return Scattered(results, errors, gathers, read)

    async def each(
        self,
        statement: Runnable,
        *,
        shards: Iterable[int] | None = None,
        timeout: Timeout = UNSET,
    ) -> Scattered[Any]:
        """Write to many shards, all unless told, as ``ShardRouter.each`` does."""
        jobs = dict.fromkeys(self._numbers(shards), statement)
        results, errors = await self._spread(jobs, timeout, True, is_write=True)
        return Scattered(results, errors, None, None)

    async def _spread(
        self, jobs: dict[int, Any], timeout: Timeout, master: bool, *, is_write: bool
    ) -> tuple[dict[int, Result], dict[int, DropboxError]]:
        """Run a statement for each shard; hosts side by side, the shards of one in turn."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        by_host: dict[str, list[int]] = {}
        for shard in jobs:
            by_host.setdefault(fleet.groups[shard].hosts.master, []).append(shard)
        results: dict[int, Result] = {}
        errors: dict[int, DropboxError] = {}
        turns = asyncio.Semaphore(self._options.threads)

        async def do_host(shards: list[int]) -> None:
            async with turns:
                for shard in shards:
                    left = None if deadline is None else max(0.0, deadline - monotonic())
                    read = None if is_write else True
                    reader = None if is_write else list  # plain rows, which Scattered reads
                    try:
                        results[shard] = await self._on(
                            shard, jobs[shard], reader, left, master, None, read, _NEVER
                        )
                    except DropboxError as error:
                        errors[shard] = error

        tasks = [asyncio.ensure_future(do_host(shards)) for shards in by_host.values()]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                if not task.done():
                    self._retire(task)
        for task in tasks:
            fault = None if not task.done() or task.cancelled() else task.exception()
            if fault is not None:  # a caller's mistake
                raise fault
        results, errors = dict(results), dict(errors)  # what is late counts no more
        self._add_late(fleet, jobs, results, errors, is_write)
        return results, errors

    # The end

    async def close(self, timeout: Timeout = 5.0) -> None:
        """Close all connections, those on loan as they come back; calls raise from now on.

        `timeout` is how many seconds to wait for those.
        """
        seconds = seconds_of(timeout)
        async with self._updating:
            self._is_closed = True
            for task in [*self._monitors.values(), *self._measuring.values()]:
                self._retire(task)
            self._monitors.clear()
            if self._retired:
                await asyncio.wait(set(self._retired), timeout=seconds)
            await asyncio.gather(*[pool.close(seconds) for pool in self._fleet.pools.values()])

    async def __aenter__(self) -> Self:
        self._start_monitors()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._fleet.layout!r}>"


class AsyncTransaction:
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
        router: AsyncShardRouter,
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
        self._connection: _Connection | None = None
        self.shard = shard
        self._go_by(fleet)

    def _go_by(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.database = fleet.databases[self.shard]
        self.host = fleet.groups[self.shard].hosts.master

    async def run(self, statement: Runnable, *, records: "sb.Records[Any] | None" = None) -> Result:
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
            result = await router._execute(
                connection, self.shard, self.host, rendered, self._seconds, self._deadline
            )
        except Exception as error:
            is_late = connection.uses == -2
            if not is_late and (isinstance(error, DropboxError) or not is_drivers(error)):
                raise
            raised = router._error_of(
                error, self._fleet, self.shard, self.host, rendered, is_late=is_late
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

    async def fetch(
        self, statement: Runnable, *, records: "sb.Records[Any] | None" = None
    ) -> list[Any]:
        """Run a statement, and return its rows."""
        return (await self.run(statement, records=records)).rows

    async def execute(self, statement: Runnable) -> int:
        """Run a statement, and return the number of rows that it changed."""
        return (await self.run(statement)).rowcount

    def holds(self, key: Key) -> bool:
        """Return whether a key is on the transaction's shard."""
        return self._fleet.place(key) == self.shard

    async def _begin(self) -> None:
        router = self._router
        word = router._engine.begin_read if self._is_read_only else router._engine.begin
        is_again = False
        while True:
            try:
                loan = await router._borrow(self._fleet, self.host, self._deadline)
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
            connection: _Connection = loan.handle
            try:
                await self._say(connection, word)
            except Exception as error:
                was_pooled, is_late = connection.uses > 0, connection.uses == -2
                if isinstance(error, UnsentError):
                    loan.release()
                else:
                    connection.uses = -1
                    loan.owner._lose(loan)
                    if was_pooled and not is_again:
                        is_again = True  # nothing was done by it
                        continue
                raise router._error_of(
                    error, self._fleet, self.shard, self.host, None, is_late=is_late, kind="BEGIN"
                ) from error
            except BaseException:
                connection.uses = -1
                loan.discard()
                raise
            self._loan, self._connection = loan, connection
            return

    async def _say(self, connection: _Connection, word: str) -> Any:
        left = None if self._deadline is None else self._deadline - monotonic()
        if left is not None and left <= 0:
            raise UnsentError
        scope = asyncio.timeout(left)
        try:
            async with scope:
                return await connection.say(word)
        except BaseException:
            if scope.expired():
                connection.uses = -2
            raise

    def _taken(self) -> "tuple[ManagedHandle, _Connection]":
        loan, connection = self._loan, self._connection
        self._loan = self._connection = None
        assert loan is not None
        assert connection is not None
        return loan, connection

    async def _roll_back(self, error: BaseException) -> None:
        """Roll back, and give the connection back if its state is known."""
        loan, connection = self._taken()
        # A task that is cancelled must not wait: the database rolls back by itself.
        if self._is_broken or not isinstance(error, Exception) or connection.uses < 0:
            connection.uses = -1
            loan.discard()
            return
        try:
            await self._say(connection, "ROLLBACK")
        except Exception:
            connection.uses = -1
            loan.discard()
        except BaseException:
            connection.uses = -1
            loan.discard()
            raise
        else:
            loan.release()

    async def _commit(self) -> None:
        loan, connection = self._taken()
        try:
            if self._is_broken or connection.uses < 0:
                raise ConnectionAbortedError("the connection was lost before")
            said = await self._say(connection, "ROLLBACK" if self._ended_by else "COMMIT")
        except Exception as error:
            is_late = connection.uses == -2
            connection.uses = -1
            loan.discard()
            if self._ended_by:
                raise self._ended() from error
            raised = self._router._error_of(
                error, self._fleet, self.shard, self.host, None, is_late=is_late, kind="COMMIT"
            )
            if isinstance(raised, HostLostError | StatementTimeoutError):
                raised.maybe_done = raised.maybe_done and not self._is_broken
                if raised.maybe_done:
                    self._router._left_behind(self.shard, self.host, connection)
            raise raised from error
        except BaseException:
            self._router._left_behind(self.shard, self.host, connection)
            connection.uses = -1
            loan.discard()
            raise
        loan.release()
        if self._ended_by or said == "ROLLBACK":
            raise self._ended()

    def _ended(self) -> StatementError:
        by = self._ended_by or "an error"
        return self._router._ended_before(self._fleet, self.shard, self.host, None, by)


class AsyncSession:
    """Calls whose reads see what the session wrote before, as ``Session``'s do."""

    __slots__ = ("_router", "_since")
    __reduce_ex__ = refuse_copies

    def __init__(self, router: AsyncShardRouter) -> None:
        self._router = router
        self._since: dict[str, float] = {}  # the end of the last write, by group

    async def run(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
    ) -> Result:
        """Run a statement on the shard of `key`; see ``AsyncShardRouter.run``."""
        router = self._router
        shard = router._fleet.place(key)
        since = self._since.get(router._fleet.groups[shard].name, _NEVER)
        try:
            return await router._on(shard, statement, records, timeout, False, None, None, since)
        finally:
            is_query = isinstance(statement, sb.SelectBase)
            if not is_query and not (isinstance(statement, Filled) and statement._of._is_query):
                self._wrote(shard)

    async def fetch(
        self,
        statement: Runnable,
        key: Key,
        *,
        records: "sb.Records[Any] | None" = None,
        timeout: Timeout = UNSET,
    ) -> list[Any]:
        """Run a statement on the shard of `key`, and return its rows."""
        return (await self.run(statement, key, records=records, timeout=timeout)).rows

    async def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`; return the number of rows that it changed."""
        return (await self.run(statement, key, timeout=timeout)).rowcount

    @asynccontextmanager
    async def transaction(
        self, key: Key, *, timeout: Timeout = UNSET
    ) -> AsyncIterator[AsyncTransaction]:
        """Run a block in one transaction on the shard of `key`."""
        shard = self._router._fleet.place(key)
        try:
            async with self._router._transaction(shard, timeout, False) as made:
                yield made
        finally:
            self._wrote(shard)

    def _wrote(self, shard: int) -> None:
        group = self._router._fleet.groups[shard]
        self._since[group.name] = nextafter(group.clock(), inf)  # a sample of then is older


async def _monitor(
    reference: "weakref.ref[AsyncShardRouter]", group: Group, interval: float
) -> None:
    while True:
        router = reference()
        if router is None:
            return
        fleet = router._fleet
        if fleet.named.get(group.name) is group:
            try:
                await router._measure(fleet, group, interval)
            except Exception as error:  # which would end the task
                log_unmeasured(f"group {group.name}", error)
        del router, fleet
        await asyncio.sleep(interval)
