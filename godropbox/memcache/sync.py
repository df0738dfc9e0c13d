"""The blocking driver: it borrows connections, carries visits over them, and gives them back.

All shards of an operation are asked at once, by one deadline, in one thread. Compiled as it stands
(``sync.pxd``).
"""

from time import monotonic
from typing import Any

from .._kernels import transport
from .._kernels._args import shown
from .._kernels._identity import refuse_copies
from ..errors import DropboxError
from ..resource_pool import PoolExhaustedError
from ..resource_pool._simple import SimpleResourcePool
from .connection import Connection
from .errors import (
    ConnectionUnusableError,
    InvalidTypeError,
    NetworkError,
    ReplyError,
    UsageError,
)
from .fleet.manager import PooledShardManager, ShardManager
from .fleet.shards import Fleet, Shard
from .outcomes import is_lost, named, refused, settled
from .protocol.exchange import server_error
from .responses import GetResponse
from .steps import ShardVisit, Visit

__all__ = ["ShortWay", "run"]


def run(
    manager: ShardManager, visits: list[Any], timeout: Any, began: float | None = None
) -> float:
    """Carry visits, at once, and settle each; return when the operation began.

    `timeout` is seconds for all, None for what the connections have. It began at `began` if these
    are not its first visits.
    """
    moment = monotonic()
    start = moment if began is None else began
    try:
        for visit in visits:
            pool: SimpleResourcePool = visit.shard.pool
            try:
                handle = _new(pool, moment) if visit.is_again else pool.get_idle()
                _lend(visit, pool.get(0.0) if handle is None else handle)
            except DropboxError as error:
                _leave(visit, error)
        _carry(visits, timeout, start, moment)
        # Whose pool had no connection left, at first or for a stale one.
        waiting: list[Any] = []
        for visit in visits:
            if visit.handle is None and _may_wait(visit):
                waiting.append(visit)
        if waiting:
            # Last, so that the wait costs the others nothing; no loan is held meanwhile, so that no
            # two operations wait for each other.
            _give_back(visits)
            for index, visit in enumerate(waiting):
                left = None if timeout is None else start + timeout - monotonic()
                share = None if left is None else left / (len(waiting) - index)
                _wait(visit, share)
                while visit.handle is not None:
                    _carry([visit], timeout, start, monotonic())
                    _give_back([visit])
                    if _may_wait(visit):  # it was stale, and its place was taken
                        _wait(visit, None if timeout is None else start + timeout - monotonic())
    finally:
        _give_back(visits)
    for visit in visits:
        visit.settle(manager)
    return start


def _new(pool: SimpleResourcePool, moment: float) -> Any:
    """Borrow a connection that was made after a moment; close those found idle that were not."""
    idle = pool.num_idle
    while True:
        handle: Any = pool.get(0.0)
        raw = handle.handle
        if idle == 0 or not isinstance(raw, Connection) or raw.opened >= moment:
            return handle
        idle -= 1  # one that the caller's own function opens may be as old as it likes
        handle.discard()


def _leave(visit: Visit, error: Any) -> None:
    """Note why a visit has no connection."""
    visit.peer = None
    visit.outcome = error


def _lend(visit: Visit, handle: Any) -> None:
    """Start a visit over the connection on loan."""
    raw = handle.handle
    if not isinstance(raw, Connection):
        handle.discard()
        raise InvalidTypeError(f"open must return a Connection, got {shown(raw)}")
    visit.handle = handle
    visit._start(raw, visit.exchanges)


def _wait(visit: Visit, left: Any) -> None:
    """Borrow a connection within `left` seconds, None for no limit, and the pool's own limit."""
    pool = visit.shard.pool
    limits = [] if pool.options.timeout is None else [pool.options.timeout]
    if left is not None:
        limits.append(max(left, 0.0))
    try:
        _lend(visit, pool.get(min(limits) if limits else None))
    except DropboxError as error:
        _leave(visit, error)


def _may_wait(visit: Visit) -> bool:
    """Return whether a visit found no connection, and its pool's options allow it to wait."""
    error = visit.outcome
    return isinstance(error, PoolExhaustedError) and visit.shard.pool.options.timeout != 0


def _carry(visits: list[Any], timeout: Any, start: float, moment: float) -> None:
    """Carry the visits that have a connection, which may be stale if made before `moment`.

    The time for it began at `start`.
    """
    ready, lines = _lines(visits)
    if len(ready) > 1:
        unfit = transport.unfit(lines)
        if unfit:
            _renew([ready[index] for index in unfit], moment)
            ready, lines = _lines(visits)
    while ready:
        seconds = timeout
        for visit in ready:
            connection: Any = visit.peer
            own = connection._timeout
            if timeout is None and own is not None and (seconds is None or own < seconds):
                seconds = own
        visit = ready[0]
        connection = visit.peer
        if (
            len(visits) == 1
            and moment == start
            and seconds == connection._timeout
            and connection._opened < start
        ):
            seconds = None  # none of the time is gone: the connection's own limit is the same
        elif seconds is not None:
            seconds = max(start + seconds - monotonic(), 0.0)
        parts = _parts(ready)
        if parts is None:
            transport.carry(lines, ready, seconds)
        else:
            transport.carry(lines, parts, seconds)
            for visit in ready:
                share: Any = visit
                share._end_part()
        if len(ready) > 1:
            ready = [each for each in ready if each.is_undone(moment)]
        elif not visit.is_stale(moment):
            return
        if not ready:
            return
        moment = monotonic()
        _renew(ready, moment)
        ready, lines = _lines(ready)


def _parts(visits: list[Any]) -> Any:
    """Begin on the parts of a batch and return them, if all can be carried as they are.

    That saves two calls and an object a shard; the results are those of the general way.
    """
    parts = []
    for visit in visits:
        if not isinstance(visit, ShardVisit):
            return None
        share: Any = visit
        part = share._ready_part()
        if part is None:
            return None
        parts.append(part)
    for visit in visits:
        visit.peer.begin()
    return parts


def _lines(visits: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the visits that have a connection, and their lines."""
    ready, lines = [], []
    for visit in visits:
        if visit.handle is not None:
            connection: Any = visit.peer
            ready.append(visit)
            lines.append(connection._line)
    return ready, lines


def _renew(visits: list[Any], moment: float) -> None:
    """Discard stale connections for others, until each visit has a fit one or a new one."""
    for visit in visits:
        while True:
            visit.handle.discard()
            visit.handle = None
            try:
                _lend(visit, visit.shard.pool.get(0.0))
            except DropboxError as error:
                _leave(visit, error)
                break
            if visit.peer.opened >= moment or not transport.unfit([visit.peer.line]):
                break


def _give_back(visits: list[Any]) -> None:
    """End the loans: all of them, whatever ending one of them raises."""
    failure: BaseException | None = None
    for visit in visits:
        if visit.handle is None:
            continue
        handle = visit.handle
        visit.handle = None
        try:
            give_back(handle, visit.outcome)
        except BaseException as error:  # of a user's clock or close
            failure = failure or error
    if failure is not None:
        raise failure


def give_back(handle: Any, outcome: Any) -> None:
    """End a loan: for others to use the connection if it is valid, else to close it.

    Where the network failed it, as `outcome` says, those that have been idle as long are closed.
    """
    connection: Any = handle.handle
    if connection._is_valid and connection._is_mine:
        handle._put()
    elif isinstance(outcome, NetworkError):
        handle._lose()
    else:
        handle._drop()


class ShortWay:
    """The short way of one key: the ASCII protocol over an idle plain socket, and no visit to make.

    What is out of the common is for the general way, which has the same results and errors: then a
    method returns None. `timeout` is as ``run`` takes it. `is_open` is False once connections are
    seen to be of another kind, or each operation would borrow two of them. `repeats` tells whether
    a get is asked once more if its connection is lost.
    """

    __slots__ = ("_is_own", "_manager", "_prefix", "_repeats", "_timeout", "is_open")
    __reduce_ex__ = refuse_copies

    def __init__(
        self, manager: ShardManager, prefix: bytes, timeout: Any, is_open: bool, repeats: bool
    ) -> None:
        self._manager = manager
        # Where ``fleet`` does no more than that, its call is left out.
        self._is_own = getattr(type(manager), "fleet", None) is PooledShardManager.fleet
        self._prefix = prefix
        self._timeout = timeout
        self._repeats = repeats
        self.is_open = is_open

    def get(self, key: Any) -> Any:
        """Get one key: return its response.

        A float says that its connection was lost, and when the time for it began: it is to be asked
        once more.
        """
        shard = self._serving(key)
        if shard is None:
            return None
        handle = self._idle(shard, 0)
        if handle is None:
            return None
        connection: Any = handle._entry.raw
        try:
            response = connection.fetch(key, self._prefix, None)
        except BaseException as error:
            give_back(handle, error)
            if self._repeats and connection.has_begun and is_lost(error):
                return connection.began()
            self._judge(shard, key, connection, error)
            return None
        handle._put()
        if type(response) is not GetResponse and response.error is not None:
            refused(shard, key, response.error)
        return response

    def write(
        self,
        form: int,
        kinds: int,
        verb: Any,
        key: Any,
        data: Any,
        number: Any,
        expire: Any,
        cas: Any,
    ) -> Any:
        """Write one key: return what ``Connection.write`` does; of a refusal its status and error.

        The server must be known to know these `kinds` of commands.
        """
        shard = self._serving(key)
        if shard is None:
            return None
        handle = self._idle(shard, kinds)
        if handle is None:
            return None
        connection: Any = handle._entry.raw
        try:
            answer = connection.write(form, verb, key, self._prefix, data, number, expire, cas)
        except BaseException as error:
            give_back(handle, error)
            if isinstance(error, UsageError) and connection.is_valid:
                return None  # the general way has the words for it
            self._judge(shard, key, connection, error)
            return None
        handle._put()
        if type(answer) is not tuple:
            return answer
        status, failure = server_error(*answer)
        return status, refused(
            shard, key, failure, None if data is None else memoryview(data).nbytes
        )

    def _serving(self, key: Any) -> Any:
        """Return the shard of a key, if it serves and has not failed before."""
        manager: Any = self._manager
        fleet: Fleet = manager._fleet if self._is_own else manager.fleet()
        shard = fleet.sole
        if shard is None:
            try:
                number = fleet.of(key)
            except Exception:  # of a key that may be at fault, which is to be said first
                return None
            if number < 0:
                return None
            shard = fleet.shards[number]
        if not shard.serves or (shard.is_watched and shard.failures):
            return None
        return shard

    def _idle(self, shard: Any, kinds: int) -> Any:
        """Return the loan of an idle plain socket, whose server knows these kinds of commands."""
        pool: SimpleResourcePool = shard.pool
        handle: Any = pool.get_idle()
        if handle is None:
            return None
        raw = handle._entry.raw
        if isinstance(raw, Connection):
            connection: Any = raw
            if connection._is_plain and (
                self._timeout is None or self._timeout == connection._timeout
            ):
                if not kinds & ~connection._proven:
                    return handle
                handle.release()
                return None
        handle.release()
        self.is_open = False
        return None

    def _judge(self, shard: Shard, key: Any, connection: Any, error: BaseException) -> None:
        """Raise the error that ended an exchange, unless another connection may carry it."""
        if not isinstance(error, (NetworkError, ReplyError, ConnectionUnusableError)):
            raise error
        if not isinstance(error, ConnectionUnusableError) and connection.has_begun:
            raise named(settled(self._manager, shard, error), key)
