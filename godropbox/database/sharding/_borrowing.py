"""Statements over borrowed connections, and what becomes of those; without I/O, for both routers.

Whether a connection is given back, closed, or closed with all that were idle as long; whether a
read is tried again, and where; and how a write that was broken off is ended at its server.
"""

from contextlib import AbstractContextManager
from math import inf
from time import monotonic
from typing import Any, Final, NoReturn

from ..._kernels._guarded import brief
from ...errors import DropboxError, UsageError
from ...resource_pool import LameDuckError
from ...resource_pool._options import UNSET, Timeout
from ._engines import Engine
from ._errors import HostLostError, RouterClosedError, StatementError, StatementTimeoutError
from ._fleet import Fleet, Token, UnsentError, first_of, is_drivers, last_of, seconds_of
from ._moving import Moving
from ._statements import Rendered, Result
from ._steps import Steps

__all__ = ["LATE", "LOST", "PATIENCE", "Borrowing", "blames_host", "discard"]

# What ``uses`` of a connection is after it was broken off, by its deadline or otherwise.
LATE: Final = -2
LOST: Final = -1
# Seconds to end what was broken off, before it is left alone.
PATIENCE: Final = 10.0


def discard(loan: Any) -> None:
    """Close a connection whose state is not known."""
    if loan.is_active:  # else it is the parent's of a fork
        loan.handle.uses = LOST
    loan.discard()


def blames_host(error: DropboxError) -> bool:
    """Return whether an error tells of its host, rather than of the caller's time or pool."""
    if isinstance(error, StatementTimeoutError):
        return error._was_sent
    return not isinstance(error, UsageError)


class Borrowing(Moving):
    """Statements that are run over connections of the hosts' pools."""

    __slots__ = ("_lock", "_strays")

    _lock: AbstractContextManager[Any]  # around what several threads change
    # Writes that were broken off, by host: the server's numbers of connections, when those were
    # made, and shards.
    _strays: dict[str, list[tuple[int, float, int]]]

    # Steps of the drivers

    def _borrow(self, fleet: Fleet, host: str, deadline: float | None) -> Any:
        """Borrow a connection to a host."""
        raise NotImplementedError

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
    ) -> Any:
        """Read from a replica or the master, and once more where that may help."""
        raise NotImplementedError

    def _perform(
        self,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
    ) -> Any:
        """Run a statement over a connection to a host."""
        raise NotImplementedError

    def _roll_back(self, connection: Any, deadline: float | None) -> Any:
        """Roll back what a caller's text has begun."""
        raise NotImplementedError

    def _reach(self, host: str, seconds: float) -> Any:
        """Return a connection of no pool."""
        raise NotImplementedError

    def _say_to(self, connection: Any, text: str, until: float) -> Any:
        """Run a statement of our own over a connection of no pool; return its rows."""
        raise NotImplementedError

    def _quit(self, connection: Any) -> Any:
        """Close a connection of no pool; never raise."""
        raise NotImplementedError

    def _sleep(self, seconds: float) -> Any:
        raise NotImplementedError

    def _begin_ending(self, host: str) -> None:
        """Take the steps of ``_ending_strays`` beside what goes on."""
        raise NotImplementedError

    # Failures

    def _not_lent(
        self,
        error: BaseException,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered | None,
        kind: str = "",
    ) -> NoReturn:
        """Raise what it means that no connection was lent."""
        if isinstance(error, LameDuckError):
            if self._is_closed:
                raise RouterClosedError("the router was closed") from None
            raise error
        raised = self._unreached(error, fleet, shard, host, rendered, kind)
        if raised is error:
            raise error
        raise raised from error

    def _failing(
        self,
        loan: Any,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered,
        deadline: float | None,
        error: Any,
    ) -> Steps[BaseException]:
        """Give a connection back, or close it unless its state is known; return what to raise."""
        connection = loan.handle
        is_late, was_pooled = connection.uses == LATE, connection.uses > 0
        if not isinstance(error, Exception):  # cancelled: what the server does is not known
            if not rendered.is_read:
                self._left_behind(shard, host, connection)
            discard(loan)
            return error  # type: ignore[no-any-return]
        if not is_late and (isinstance(error, DropboxError) or not is_drivers(error)):
            # Of a function that makes records, say: the statement itself went well.
            discard(loan)
            return error
        raised = self._error_of(error, fleet, shard, host, rendered, is_late=is_late)
        if isinstance(raised, HostLostError | StatementTimeoutError) and raised.maybe_done:
            self._left_behind(shard, host, connection)
        if isinstance(error, UnsentError):
            loan.release()
        elif isinstance(raised, StatementError) and self._engine.is_answer(error):
            if not rendered.is_built:
                try:
                    yield self._roll_back, (connection, deadline)
                except Exception:
                    discard(loan)
                    return raised
                except BaseException:
                    discard(loan)
                    raise
            loan.release() if connection.uses >= 0 else loan.discard()
        elif isinstance(raised, HostLostError):
            raised._was_pooled = was_pooled
            connection.uses = LOST
            loan.owner._lose(loan)  # and those that were idle for as long
        else:
            discard(loan)
        return raised

    def _reading_again(
        self,
        fleet: Fleet,
        shard: int,
        host: str,
        rendered: Rendered,
        seconds: float | None,
        deadline: float | None,
        master: bool,
        token: Token | None,
        since: float,
        error: DropboxError,
    ) -> Steps[Result]:
        """Read once more where that may help, after an error at a host; else raise it."""
        group = fleet.groups[shard]
        is_again = False
        while True:
            if isinstance(error, LameDuckError):
                renamed = fleet.databases[shard] != self._fleet.databases[shard]
                if fleet is self._fleet or renamed:
                    raise error
                # The layout was replaced, and this host with it; nothing was sent.
                found: Result = yield (
                    self._read,
                    (self._fleet, shard, rendered, seconds, deadline, master, token, since),
                )
                return found
            if isinstance(error, HostLostError | StatementTimeoutError) and blames_host(error):
                group.failed(host)
            if (
                not isinstance(error, HostLostError)
                or is_again
                or (host == group.hosts.master and not error._was_pooled)
            ):
                raise error
            is_again = True
            if host != group.hosts.master:
                host = group.reader(since, (host,)) if token is None else group.hosts.master
            try:
                found = yield self._perform, (fleet, shard, host, rendered, seconds, deadline)
            except DropboxError as again:
                error = again
            else:
                if host != group.hosts.master:
                    group.answered(host)
                return found

    def _asking(
        self, fleet: Fleet, shard: int, host: str, text: str, timeout: Timeout
    ) -> Steps[Any]:
        """Return the first value of a query of our own."""
        seconds = self._options.timeout if timeout is UNSET else seconds_of(timeout)
        deadline = None if seconds is None else monotonic() + seconds
        rendered = Rendered(text, None, True, True, None)
        found = yield self._perform, (fleet, shard, host, rendered, seconds, deadline)
        return first_of(found.rows)

    # Writes that were broken off

    def _left_behind(self, shard: int, host: str, connection: Any) -> None:
        """Have the server end a write that was broken off, which counts as one until then.

        Whoever calls it is inside the gate, which ``update`` waits for.
        """
        number = _number_of(self._engine, connection.raw)
        if number is None:
            return
        with self._lock:
            self._gates.stay(shard)
            is_first = host not in self._strays
            self._strays.setdefault(host, []).append((number, connection.opened, shard))
        if is_first:
            self._begin_ending(host)

    def _ending_strays(self, host: str) -> Steps[None]:
        """Have a server end what was broken off, and let out who is counted for it."""
        connection: Any = None
        try:
            while found := self._taken_strays(host):
                until = monotonic() + PATIENCE
                try:
                    if connection is None:
                        connection = yield self._reach, (host, PATIENCE)
                    uptime = yield from self._running_for(connection, until)
                    for number, opened, _ in found:
                        if uptime >= _age_of(opened):  # else the server was started after that
                            yield from self._ending_stray(connection, number, opened, until)
                except Exception as error:
                    _log_left(host, error)
                    if connection is not None:
                        yield self._quit, (connection,)
                    connection = None
                finally:
                    self._let_out(found)
        finally:
            with self._lock:
                left = self._strays.pop(host, [])
            self._let_out(left)
            if connection is not None:
                yield self._quit, (connection,)

    def _running_for(self, connection: Any, until: float) -> Steps[float]:
        """Return for how many seconds the server has run, infinity if that is not known."""
        text = self._engine.uptime()
        if text is None:
            return inf
        try:
            rows = yield self._say_to, (connection, text, until)
            return float(last_of(rows))
        except Exception as error:
            if self._engine.is_lost(error):
                raise
            return inf

    def _taken_strays(self, host: str) -> list[tuple[int, float, int]]:
        with self._lock:
            found = self._strays[host]
            if found:
                self._strays[host] = []
            else:
                del self._strays[host]
            return found

    def _let_out(self, strays: list[tuple[int, float, int]]) -> None:
        with self._lock:
            for *_, shard in strays:
                self._gates.leave(shard)
            if strays:
                self._notify()

    def _ending_stray(
        self, connection: Any, number: int, opened: float, until: float
    ) -> Steps[None]:
        engine = self._engine
        try:
            yield self._say_to, (connection, engine.ending(number, _age_of(opened)), until)
        except Exception as error:
            if engine.is_lost(error):
                raise
            # It has ended by itself, say.
        wait = 0.005
        while True:
            asked = engine.lasting(number, _age_of(opened))
            rows = yield self._say_to, (connection, asked, until)
            if not first_of(rows):
                return
            if monotonic() > until:
                raise TimeoutError(f"it did not end within {PATIENCE:g} s")
            yield self._sleep, (wait,)
            wait = min(2 * wait, 0.1)


def _age_of(opened: float) -> float:
    """Return for how many seconds a connection has been there at least, by any server's clock."""
    return 0.99 * (monotonic() - opened) - 2.0


def _number_of(engine: Engine, connection: Any) -> int | None:
    """Return the server's number of a connection that is broken off; never raise."""
    try:
        return engine.number_of(connection)
    except Exception:  # the driver has forgotten it
        return None


def _log_left(host: str, error: BaseException) -> None:
    """Log that a write that was broken off may still be under way; never raise."""
    try:
        import logging

        logger = logging.getLogger("godropbox.sharding")
        logger.warning(
            "a write that was broken off may still be under way at %s: %s", host, brief(error)
        )
    except Exception:
        return
