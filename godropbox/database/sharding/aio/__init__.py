"""The router for asyncio, over connections of an asyncio driver.

aiomysql, asyncmy, aiosqlite, psycopg's ``AsyncConnection`` and asyncpg (engine ``"asyncpg"``) fit.
What is decided is decided as for threads, in the same files; here is what waits on the loop. A call
that is cancelled closes its connection, whose state is not known then.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from ...._kernels._identity import refuse_copies
from ....resource_pool import ManagedHandle, PoolStats
from ....resource_pool._options import UNSET, Timeout
from ... import sqlbuilder as sb
from .._borrowing import LATE
from .._engines import Engine
from .._fleet import Fleet, Group, RouterOverrides, Token, UnsentError, seconds_of
from .._layout import Key, Layout
from .._measuring import log_unmeasured
from .._merge import Scattered
from .._scattering import reader_of
from .._sessions import Remembering
from .._statements import Filled, Result, Runnable, Sharded
from .._transactions import Transacting
from ._connections import AsyncConnection
from ._waiting import TRIAL as _TRIAL
from ._waiting import Waiting, run_steps

__all__ = ["AsyncSession", "AsyncShardRouter", "AsyncTransaction"]

_T = TypeVar("_T")


class AsyncShardRouter(Waiting):
    """Runs statements on the shards of their keys, for the tasks of one event loop.

    - `connect`: an async function that takes a host and returns a new connection. For aiosqlite it
      has to pass ``isolation_level=None``.

    The rest is as in ``ShardRouter``. Use it as an async context manager, or call ``close``.
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

    def stats(self) -> dict[str, PoolStats]:
        """Return the state of each host's pool."""
        return {host: pool.stats() for host, pool in self._fleet.pools.items()}

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

    # Reading what was written

    async def token(self, key: Key, *, timeout: Timeout = UNSET) -> Token:
        """Return how far the master of the shard of `key` is; a read given it sees all before it.

        Raise ``ValueError`` if the engine has no positions.
        """
        return await run_steps(self._token_of(key, timeout))

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
        await run_steps(self._measuring_group(fleet, group, patience, _TRIAL))

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
            await run_steps(self._measuring_replica(fleet, group, shard, host, _TRIAL))
        finally:
            self._measuring.pop(host, None)

    def _begin_monitor(self, group: Group) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(
            _monitor(weakref.ref(self), group, self._options.measure_every)
        )

    def _end_monitor(self, monitor: "asyncio.Task[None]") -> None:
        self._retire(monitor)

    # Writers and layouts

    async def update(self, layout: Layout, *, timeout: float | None = 30.0) -> list[int]:
        """Put a new layout in force, as ``ShardRouter.update`` does."""
        seconds = self._seconds_to_drain(layout, timeout)
        async with self._updating:
            old = self._fleet
            fleet, changed = self._to_come(layout)
            for host in await run_steps(self._replacing(fleet, changed, seconds)):
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
                await run_steps(made._rolling_back(may_wait=isinstance(error, Exception)))
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
            await run_steps(self._beginning_again(loan, error))
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
