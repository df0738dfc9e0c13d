"""What waits on the loop: for connections, databases, writers, hosts asked side by side.

The steps that the policy takes, for asyncio drivers; the package is the public face.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from inspect import isawaitable
from math import inf
from time import monotonic
from typing import Any, Final, TypeVar

from ...._kernels._args import shown
from ....errors import DropboxError
from ....resource_pool import LameDuckError, ManagedHandle, PoolTimeoutError
from ....resource_pool._options import UNSET, Timeout
from ....resource_pool.aio import AsyncResourcePool
from .._borrowing import LATE
from .._engines import Engine
from .._fleet import Fleet, Token, UnsentError, seconds_of
from .._gates import Gates
from .._layout import Layout
from .._scattering import Gathered, Scattering
from .._sessions import Remembering
from .._statements import Rendered, Result, render
from .._steps import Steps
from ._connections import AsyncConnection, awaited, commits_each

__all__ = ["TRIAL", "Waiting", "run_steps"]

_T = TypeVar("_T")
_NEVER: Final = -inf
# Seconds for a connection that was idle to answer, and at least for a measurement.
TRIAL: Final = 2.0


async def run_steps(steps: Steps[_T]) -> _T:
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


class Waiting(Scattering):
    """The steps of a router for tasks."""

    __slots__ = (
        "__weakref__",
        "_changed",
        "_connect",
        "_measuring",
        "_retired",
        "_updating",
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
                await _close_quietly(made)
                raise
        return made

    async def _is_alive(self, connection: AsyncConnection) -> bool:
        """Return whether a connection that was idle answers; servers close those they forget."""
        try:
            async with asyncio.timeout(TRIAL):
                await connection.execute("SELECT 1", None)
        except Exception:
            return False
        return True

    async def _borrow(self, fleet: Fleet, host: str, deadline: float | None) -> ManagedHandle:
        pool: AsyncResourcePool = fleet.pools[host]
        loan = pool.get_idle()
        if loan is not None:
            return loan
        seconds = self._options.pool_wait
        if deadline is None:
            return await pool.get(seconds)
        left = max(0.0, deadline - monotonic())
        scope = asyncio.timeout(left)  # opening is not limited by the pool
        try:
            async with scope:
                return await pool.get(min(seconds, left))
        except TimeoutError:
            # Both have ended at once: whether it waited for a connection, or opened one.
            active = pool.stats().active
            if scope.expired() and active >= self._options.connections:
                raise PoolTimeoutError(
                    f"{active} handles to {host!r} are on loan, and none became free within "
                    f"{left:g} s"
                ) from None
            raise

    # Statements

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
        while rendered.is_read:
            since = _NEVER if session is None else session._since_of(fleet.groups[shard])
            try:
                return await self._read(
                    fleet, shard, rendered, seconds, deadline, master, token, since
                )
            except LameDuckError:
                if fleet is self._fleet:
                    raise
            # The layout was replaced by one that names the shard's database otherwise.
            fleet = self._fleet
            rendered = render(statement, fleet.databases[shard], self._engine, records, read)
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
        if fleet.arrived:
            since = fleet.since(shard, since)
        if group.hosts.replicas and not master:
            if not self._has_monitors:
                self._start_monitors()
            if token is None:
                host = group.reader(since)
            else:
                host = await run_steps(self._catching_up(fleet, shard, token, deadline, TRIAL))
        try:
            result = await self._perform(fleet, shard, host, rendered, seconds, deadline)
        except DropboxError as error:
            return await run_steps(
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
                await self._roll_back(connection, deadline)  # whatever the text has begun
        except BaseException as error:
            raised = await run_steps(
                self._failing(loan, fleet, shard, host, rendered, deadline, error)
            )
            if raised is error:
                raise
            raise raised from error
        loan.release()
        return result

    async def _roll_back(self, connection: AsyncConnection, deadline: float | None) -> None:
        scope = asyncio.timeout(None if deadline is None else max(0.0, deadline - monotonic()))
        try:
            async with scope:
                await connection.rollback()
        except BaseException:
            if scope.expired():
                connection.uses = LATE
            raise

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
        if wanted not in (None, connection.limit) and not self._engine.resumes(text):
            await connection.execute(wanted, None)
            connection.limit = wanted
        return await connection.execute(text, parameters)

    # Writes that were broken off

    def _begin_ending(self, host: str) -> None:
        self._keep(asyncio.ensure_future(run_steps(self._ending_strays(host))))

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

    async def _ask(self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout) -> Any:
        return await run_steps(self._asking(fleet, shard, host, text, timeout))

    # Tasks

    def _retire(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a task, which ``close`` waits for."""
        task.cancel()
        self._keep(task)

    def _keep(self, task: "asyncio.Future[Any]") -> None:
        """Have ``close`` wait for a task."""
        self._retired.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._retired.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks for it, and asyncio would log that

    # Writers

    async def _enter(self, shard: int, deadline: float | None) -> Fleet:
        """Let a write begin; return the layout that holds until it ends."""
        fleet = self._entered(shard)
        return await run_steps(self._entering(shard, deadline)) if fleet is None else fleet

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

    # Many shards

    async def _spread(
        self, jobs: dict[int, Any], timeout: Timeout, master: bool, *, is_write: bool
    ) -> tuple[dict[int, Result], dict[int, DropboxError]]:
        """Run a statement for each shard; hosts side by side, the shards of one in turn."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        fleet = self._fleet
        gathered = Gathered(deadline, is_write)
        records, read = gathered.records, gathered.read
        turns = asyncio.Semaphore(self._options.threads)

        async def do_host(shards: list[int]) -> None:
            async with turns:
                for shard in shards:
                    left = gathered.seconds()
                    if left is not None and left <= 0:
                        return
                    try:
                        result = await self._on(
                            shard, jobs[shard], records, left, master, None, read, None
                        )
                    except DropboxError as error:
                        gathered.failed(shard, error)
                    else:
                        gathered.found(shard, result)

        tasks = [asyncio.ensure_future(do_host(shards)) for shards in self._by_host(jobs).values()]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            results, errors = gathered.close()
            for task in tasks:
                if not task.done():
                    self._retire(task)
        ended = [task for task in tasks if task.done() and not task.cancelled()]
        faults = [fault for fault in [task.exception() for task in ended] if fault is not None]
        if faults:  # a caller's mistake
            raise faults[0]
        self._add_late(fleet, jobs, results, errors, is_write)
        return results, errors
