"""The router for asyncio, over connections of an asyncio driver.

aiomysql, asyncmy, aiosqlite, psycopg's ``AsyncConnection`` and asyncpg (engine ``"asyncpg"``) fit.
What is decided is decided as for threads, in the same files; here is what waits on the loop. A call
that is cancelled closes its connection, whose state is not known then.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from inspect import isawaitable
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from ..._kernels._args import shown
from ..._kernels._identity import refuse_copies
from ...errors import DropboxError
from ...resource_pool import ManagedHandle, PoolStats
from ...resource_pool._options import UNSET, Timeout
from ...resource_pool.aio import AsyncResourcePool
from .. import sqlbuilder as sb
from ._async_connections import AsyncConnection, awaited, commits_each
from ._borrowing import LATE
from ._engines import Engine
from ._fleet import Fleet, Group, RouterOverrides, Token, UnsentError, seconds_of
from ._gates import Gates
from ._layout import Key, Layout
from ._measuring import log_unmeasured
from ._merge import Scattered
from ._scattering import Gathered, Scattering, reader_of
from ._sessions import Remembering
from ._statements import Filled, Rendered, Result, Runnable, Sharded, render
from ._steps import Steps
from ._transactions import Transacting

__all__ = ["AsyncSession", "AsyncShardRouter", "AsyncTransaction"]

_T = TypeVar("_T")
_NEVER: Final = -inf
# Seconds for a connection that was idle to answer, and at least for a measurement.
_TRIAL: Final = 2.0


async def _run(steps: Steps[_T]) -> _T:
    """Await the calls one after the other; return the result."""
    try:
        function, arguments = steps.send(None)
        while True:
            try:
                outcome = await function(*arguments)
            except BaseException as error:
                function, arguments = steps.throw(error)
            else:
                function, arguments = steps.send(outcome)
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def _close(connection: AsyncConnection) -> None:
    raw = connection.raw
    if hasattr(raw, "terminate") and hasattr(raw, "fetchrow"):
        raw.terminate()  # asyncpg's close would wait for the server
        return
    if connection.uses >= 0 or not hasattr(raw, "interrupt"):
        await awaited(raw.close())
        return
    closing = asyncio.ensure_future(awaited(raw.close()))
    try:
        await _interrupt_until(closing, raw)
        await closing
    except BaseException:
        closing.cancel()
        raise


async def _interrupt_until(closing: "asyncio.Future[Any]", raw: Any) -> None:
    """Interrupt aiosqlite until it is closed: its thread may begin a statement after the first."""
    wait = 0.001
    while not closing.done():
        try:
            await awaited(raw.interrupt())
        except Exception:  # it has just been closed
            return
        await asyncio.wait([closing], timeout=wait)
        wait = min(2 * wait, 1.0)


async def _close_quietly(connection: AsyncConnection) -> None:
    try:
        await _close(connection)
    except Exception:  # it is broken
        return


class AsyncShardRouter(Scattering):
    """Runs statements on the shards of their keys, for the tasks of one event loop.

    - `connect`: an async function that takes a host and returns a new connection. For aiosqlite it
      has to pass ``isolation_level=None``.

    The rest is as in ``ShardRouter``. Use it as an async context manager, or call ``close``.
    """

    __slots__ = (
        "__weakref__",
        "_changed",
        "_connect",
        "_measuring",
        "_retired",
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
        self._strays = {}
        self._lock = nullcontext()  # one loop's
        self._changed = asyncio.Event()
        self._updating = asyncio.Lock()
        self._monitors = {}
        self._has_monitors = False
        self._measuring: dict[str, asyncio.Task[None]] = {}
        self._retired: set[asyncio.Future[Any]] = set()
        self._set_up(layout, engine, options)
        self._fleet = self._arranged(layout, None)

    # Connections

    def _pool_of(self, host: str) -> AsyncResourcePool:
        options = self._pool_options(open=self._open, close=_close, check=self._is_alive)
        return AsyncResourcePool(options, host)

    async def _open(self, host: str) -> AsyncConnection:
        opening = self._connect(host)
        if not isawaitable(opening):
            raise TypeError(f"connect must be an async function, got one with {shown(opening)}")
        async with asyncio.timeout(self._options.connect_timeout):
            raw = await opening
        if raw is None:
            raise TypeError("connect must return a connection, got None")
        made = AsyncConnection(raw)
        try:
            await commits_each(made.raw)
        except BaseException:
            await _close(made)
            raise
        return made

    async def _is_alive(self, connection: AsyncConnection) -> bool:
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
        return await self._on(shard, statement, records, timeout, master, token, read, None)

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
        made = await self._on(shard, statement, records, timeout, master, token, read, None)
        return made.rows

    async def execute(self, statement: Runnable, key: Key, *, timeout: Timeout = UNSET) -> int:
        """Run a statement on the shard of `key`, and return the number of rows that it changed.

        See ``run``; the number is the driver's, -1 where it does not know.
        """
        shard = self._fleet.place(key)
        return (await self._on(shard, statement, None, timeout, True, None, None, None)).rowcount

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
        return await self._on(number, statement, records, timeout, master, token, read, None)

    async def _on(
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
        if rendered.is_read:
            since = _NEVER if session is None else session._since_of(fleet.groups[shard])
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
            if session is not None:
                session._wrote(shard)

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
        master_host = host = group.hosts.master
        since = fleet.since(shard, since)
        if group.hosts.replicas and not master:
            if not self._has_monitors:
                self._start_monitors()
            if token is None:
                host = group.reader(since)
            else:
                host = await _run(self._catching_up(fleet, shard, token, _TRIAL))
        try:
            result = await self._perform(fleet, shard, host, rendered, seconds, deadline)
        except DropboxError as error:
            return await _run(
                self._reading_again(
                    fleet, shard, host, rendered, seconds, deadline, master, token, since, error
                )
            )
        if host != master_host:
            group.answered(host)
        return result

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
        except Exception as error:
            self._not_lent(error, fleet, shard, host, rendered)
        connection: AsyncConnection = loan.handle
        try:
            result = await self._execute(connection, shard, host, rendered, seconds, deadline)
            if not rendered.is_built:
                await self._roll_back(connection)  # whatever the caller's text has begun
        except BaseException as error:
            raised = await _run(self._failing(loan, fleet, shard, host, rendered, error))
            if raised is error:
                raise
            raise raised from error
        loan.release()
        return result

    async def _roll_back(self, connection: AsyncConnection) -> None:
        await connection.rollback()

    async def _execute(
        self,
        connection: AsyncConnection,
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
                    connection.uses = LATE
                raise
        connection.uses += 1
        return Result(rows if read is None else list(read(rows)), count, last, shard, host)

    async def _answer(
        self, connection: AsyncConnection, text: str, parameters: Any, seconds: float | None
    ) -> tuple[list[Any], int, Any]:
        wanted = self._engine.session_limit(seconds)
        if wanted is not None and wanted != connection.limit:
            await connection.execute(wanted, None)
            connection.limit = wanted
        return await connection.execute(text, parameters)

    # Writes that were broken off

    def _begin_ending(self, host: str) -> None:
        self._keep(asyncio.ensure_future(_run(self._ending_strays(host))))

    async def _reach(self, host: str, seconds: float) -> AsyncConnection:
        async with asyncio.timeout(seconds):
            return await self._open(host)

    async def _say_to(self, connection: AsyncConnection, text: str, until: float) -> list[Any]:
        async with asyncio.timeout(max(0.0, until - monotonic())):
            return (await connection.execute(text, None))[0]

    async def _quit(self, connection: AsyncConnection) -> None:
        await _close_quietly(connection)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    # Reading what was written

    async def token(self, key: Key, *, timeout: Timeout = UNSET) -> Token:
        """Return how far the master of the shard of `key` is; a read given it sees all before it.

        Raise ``ValueError`` if the engine has no positions.
        """
        return await _run(self._token_of(key, timeout))

    async def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        return await _run(self._asking(fleet, shard, host, text, timeout))

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
        await _run(self._measuring_group(fleet, group, patience, _TRIAL))

    async def _measure_replicas(
        self, fleet: Fleet, group: Group, shard: int, patience: float | None
    ) -> None:
        for host in group.hosts.replicas:
            if host not in self._measuring:
                task = asyncio.ensure_future(self._measure_replica(fleet, group, shard, host))
                self._measuring[host] = task
                self._keep(task)
        tasks = [self._measuring[host] for host in group.hosts.replicas if host in self._measuring]
        await asyncio.wait(tasks, timeout=patience)

    async def _measure_replica(self, fleet: Fleet, group: Group, shard: int, host: str) -> None:
        try:
            await _run(self._measuring_replica(fleet, group, shard, host, _TRIAL))
        finally:
            self._measuring.pop(host, None)

    def _begin_monitor(self, group: Group) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(
            _monitor(weakref.ref(self), group, self._options.measure_every)
        )

    def _end_monitor(self, monitor: "asyncio.Task[None]") -> None:
        self._retire(monitor)

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
        fleet = self._entered(shard)
        return await _run(self._entering(shard, deadline)) if fleet is None else fleet

    async def _changes(self, seconds: float | None) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(None if seconds is None or seconds == inf else seconds):
                await changed.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _leave(self, shard: int) -> None:
        if self._gates.leave(shard):
            self._notify()

    async def update(self, layout: Layout, *, timeout: float | None = 30.0) -> list[int]:
        """Put a new layout in force, as ``ShardRouter.update`` does."""
        seconds = self._seconds_to_drain(layout, timeout)
        async with self._updating:
            old = self._fleet
            fleet, changed = self._to_come(layout)
            for host in await _run(self._replacing(fleet, changed, seconds)):
                self._keep(asyncio.ensure_future(old.pools[host].close()))
            if self._has_monitors:
                self._start_monitors()
        return changed

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
                # A task that is cancelled must not wait.
                await _run(made._rolling_back(may_wait=isinstance(error, Exception)))
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
        results, errors = await self._spread(jobs, timeout, master, is_write=False)
        return Scattered(results, errors, gathers, reader_of(jobs, records))

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
        gathered = Gathered()
        turns = asyncio.Semaphore(self._options.threads)

        async def do_host(shards: list[int]) -> None:
            async with turns:
                await _run(self._asking_host(gathered, shards, jobs, deadline, master, is_write))

        tasks = [asyncio.ensure_future(do_host(shards)) for shards in self._by_host(jobs).values()]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            results, errors = gathered.close()
            for task in tasks:
                if not task.done():
                    self._retire(task)
        for task in tasks:
            fault = None if not task.done() or task.cancelled() else task.exception()
            if fault is not None:  # a caller's mistake
                raise fault
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


class AsyncTransaction(Transacting):
    """A transaction on one shard, over one connection; made by ``router.transaction``."""

    __slots__ = ()

    _router: AsyncShardRouter

    async def run(self, statement: Runnable, *, records: "sb.Records[Any] | None" = None) -> Result:
        """Run a statement on the transaction's shard, and return what it did."""
        rendered = self._rendered(statement, records)
        connection: AsyncConnection = self._connection
        try:
            result = await self._router._execute(
                connection, self.shard, self.host, rendered, self._seconds, self._deadline
            )
        except BaseException as error:
            self._failed(connection, rendered, error)
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
        loan: ManagedHandle | None = None
        try:
            loan = await self._router._borrow(self._fleet, self.host, self._deadline)
            connection = loan.handle
            await self._say(connection, self._first_word())
        except BaseException as error:
            await _run(self._beginning_again(loan, error))
        else:
            self._loan, self._connection = loan, connection

    async def _commit(self) -> None:
        try:
            said = await self._say(self._connection, self._last_word())
        except BaseException as error:
            self._not_committed(error)
        self._committed(said)

    async def _say(self, connection: AsyncConnection, word: str) -> Any:
        left = None if self._deadline is None else self._deadline - monotonic()
        if left is not None and left <= 0:
            raise UnsentError
        scope = asyncio.timeout(left)
        try:
            async with scope:
                return await connection.say(word)
        except BaseException:
            if scope.expired():
                connection.uses = LATE
            raise


class AsyncSession(Remembering):
    """Calls whose reads see what the session wrote before, as ``Session``'s do."""

    __slots__ = ()

    _router: AsyncShardRouter

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
        return await router._on(shard, statement, records, timeout, False, None, None, self)

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
