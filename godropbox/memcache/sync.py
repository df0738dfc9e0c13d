"""The blocking driver: it borrows connections, carries visits over them, and gives them back.

All shards of an operation are asked at once, by one deadline, in one thread. Compiled as it stands
(``sync.pxd``).
"""

from time import monotonic
from typing import Any

from .._kernels import transport
from ..errors import DropboxError
from ..resource_pool import ManagedHandle, PoolExhaustedError
from .connection import Connection
from .errors import (
    ConnectionUnusableError,
    InvalidTypeError,
    NetworkError,
    ReplyError,
)
from .fleet.manager import ShardManager
from .fleet.shards import Fleet, Shard
from .steps import Visit, settled

__all__ = ["borrow", "fetched", "give_back", "run"]


def borrow(shard: Shard, left: Any) -> ManagedHandle:
    """Return a loan of a connection to a shard: idle, or new, or the next within `left` seconds.

    None is no limit; the pool's own limits hold besides. Raises what the pool does.
    """
    pool = shard.pool
    try:
        return pool.get(0.0)
    except PoolExhaustedError:
        patience = pool.options.timeout
        if patience == 0 or (left is not None and left <= 0):
            raise
    limits = [each for each in (patience, left) if each is not None]
    return pool.get(min(limits) if limits else None)


def run(manager: ShardManager, visits: list[Any], timeout: Any) -> None:
    """Carry visits, at once, and settle each.

    `timeout` is seconds for all, None for what the connections have.
    """
    start = monotonic()
    waiting: list[Any] = []  # whose pool has no connection left
    try:
        for visit in visits:
            pool = visit.shard.pool
            try:
                _lend(visit, pool.get_idle() or pool.get(0.0))
            except DropboxError as error:
                visit.outcome = error
                if isinstance(error, PoolExhaustedError) and pool.options.timeout != 0:
                    waiting.append(visit)
        _carry(visits, timeout, start)
        if waiting:
            # Last, so that the wait costs the others nothing; no loan is held meanwhile, so that no
            # two operations wait for each other.
            _give_back(visits)
            for index, visit in enumerate(waiting):
                left = None if timeout is None else start + timeout - monotonic()
                share = None if left is None else left / (len(waiting) - index)
                try:
                    _lend(visit, borrow(visit.shard, share))
                except DropboxError as error:
                    visit.outcome = error
                _carry([visit], timeout, start)
                _give_back([visit])
    finally:
        _give_back(visits)
    for visit in visits:
        visit.settle(manager)


def _lend(visit: Visit, handle: ManagedHandle) -> bool:
    """Start a visit over the connection on loan."""
    connection = handle.handle
    if not isinstance(connection, Connection):
        handle.discard()
        raise InvalidTypeError(f"open must return a Connection, got {connection!r:.200}")
    visit.handle = handle
    visit.start(connection)
    return True


def _carry(visits: list[Any], timeout: Any, start: Any) -> None:
    """Carry the visits that have a connection."""
    ready = [visit for visit in visits if visit.handle is not None]
    if len(ready) > 1:
        unfit = transport.unfit([visit.peer.line for visit in ready])
        if unfit:
            _renew([ready[index] for index in unfit], unfit, start)
            ready = [visit for visit in ready if visit.handle is not None]
    while ready:
        seconds = timeout
        if seconds is None:
            limits = [each.peer.timeout for each in ready if each.peer.timeout is not None]
            seconds = min(limits) if limits else None
        visit = ready[0]
        if len(ready) == 1 and seconds == visit.peer.timeout and visit.peer.opened < start:
            seconds = None  # a connection that was idle has its own limit to the full
        elif seconds is not None:
            seconds = max(start + seconds - monotonic(), 0.0)
        transport.carry([each.peer.line for each in ready], ready, seconds)
        if len(ready) > 1 or not visit.is_stale(start):
            return
        _renew(ready, [0], start)
        ready = [visit] if visit.handle is not None else []


def _renew(visits: list[Any], unfit: list[int], start: Any) -> None:
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
            if visit.peer.opened >= start or not transport.unfit([visit.peer.line]):
                break


def _give_back(visits: list[Any]) -> None:
    failure: BaseException | None = None
    for visit in visits:
        handle = visit.handle
        visit.handle = None
        if handle is None:
            continue
        try:
            give_back(handle, visit.peer)
        except BaseException as error:  # of a user's clock or close: the others go back
            failure = failure or error
    if failure is not None:
        raise failure


def give_back(handle: ManagedHandle, connection: Any) -> None:
    """End a loan: for others to use the connection if it is valid, else to close it."""
    if connection.is_valid:
        handle.release()
    else:
        handle.discard()


def fetched(manager: ShardManager, prefix: bytes, key: Any, timeout: Any) -> Any:
    """Get one key in the ASCII protocol over an idle plain socket, with no visit to make.

    Returns None if there is none, or it turns out to be stale, or the shard has failed before: then
    the general way is to be taken.
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
    handle = shard.pool.get_idle()
    if handle is None:
        return None
    connection: Connection = handle.handle
    if connection.line.fd < 0 or (timeout is not None and timeout != connection.timeout):
        handle.release()
        return None
    try:
        response = connection.fetch(key, prefix, None)
    except BaseException as error:
        give_back(handle, connection)
        if not isinstance(error, (NetworkError, ReplyError, ConnectionUnusableError)):
            raise
        if isinstance(error, ConnectionUnusableError) or not connection.has_begun:
            return None
        failure = settled(manager, shard, error)
        raise failure from failure.__cause__
    handle.release()
    return response
