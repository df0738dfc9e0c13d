"""The blocking driver: it borrows connections, carries visits over them, and gives them back.

All shards of an operation are asked at once, by one deadline, in one thread. Compiled as it stands
(``sync.pxd``).
"""

from time import monotonic
from typing import Any

from .._kernels import transport
from .._kernels._args import shown
from ..errors import DropboxError
from ..resource_pool import PoolExhaustedError
from ..resource_pool._simple import SimpleResourcePool
from .connection import Connection
from .errors import (
    ConnectionUnusableError,
    InvalidTypeError,
    NetworkError,
    ReplyError,
)
from .fleet.manager import ShardManager
from .fleet.shards import Fleet
from .steps import ShardVisit, Visit, settled

__all__ = ["fetched", "run"]


def run(manager: ShardManager, visits: list[Any], timeout: Any) -> None:
    """Carry visits, at once, and settle each.

    `timeout` is seconds for all, None for what the connections have.
    """
    start = monotonic()
    try:
        for visit in visits:
            pool: SimpleResourcePool = visit.shard.pool
            try:
                handle = pool.get_idle()
                _lend(visit, pool.get(0.0) if handle is None else handle)
            except DropboxError as error:
                visit.outcome = error
        _carry(visits, timeout, start, start)
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
        visit.outcome = error


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
        if len(ready) > 1 or not visit.is_stale(moment):
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
                visit.outcome = error
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
            give_back(handle)
        except BaseException as error:  # of a user's clock or close
            failure = failure or error
    if failure is not None:
        raise failure


def give_back(handle: Any) -> None:
    """End a loan: for others to use the connection if it is valid, else to close it."""
    connection: Any = handle.handle
    if connection._is_valid and connection._is_mine:
        handle._pool._put(handle)
    else:
        handle._pool._drop(handle)


def fetched(manager: ShardManager, prefix: bytes, key: Any, timeout: Any) -> Any:
    """Get one key in the ASCII protocol over an idle plain socket, with no visit to make.

    Returns None if there is none, or it turns out to be stale, or the shard has failed before, and
    False if the connections are of another kind: then the general way is to be taken.
    """
    fleet: Fleet = manager.fleet()
    shard = fleet.sole
    if shard is None:
        try:
            number = fleet.of(key)
        except (TypeError, ValueError):
            return None  # the general way has the words for it
        if number < 0:
            return None
        shard = fleet.shards[number]
    if not shard.serves or (shard.is_watched and shard.failures):
        return None
    pool = shard.pool
    handle = pool.get_idle()
    if handle is None:
        return None
    raw = handle.handle
    if not isinstance(raw, Connection):
        handle.release()
        return False
    connection: Any = raw
    if connection._line.fd < 0 or (timeout is not None and timeout != connection._timeout):
        handle.release()
        return False
    try:
        response = connection.fetch(key, prefix, None)
    except BaseException as error:
        give_back(handle)
        if not isinstance(error, (NetworkError, ReplyError, ConnectionUnusableError)):
            raise
        if isinstance(error, ConnectionUnusableError) or not connection.has_begun:
            return None
        raise settled(manager, shard, error)  # noqa: B904  # it has its cause
    pool._put(handle)
    return response
