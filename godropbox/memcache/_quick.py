"""The short way of a batch of gets: one call of a kernel for all shards.

That is where nothing stands in it: the ASCII protocol, over idle connections that are plain
sockets, to shards that serve. All else is left to ``_multi``, before anything is sent. Compiled as
it stands (``_quick.pxd``).
"""

from typing import Any

from .._kernels import scatter as kernel
from .._kernels import wire_request
from ..errors import NetworkError
from ._answers import status_of
from ._errands import located
from .connection import Connection
from .errors import ReplyError
from .exchange import server_error
from .protocol import Protocol
from .responses import GetResponse, failed_get, fill_gets
from .scatter import told
from .shard_manager import Shard, ShardManager
from .types import Key

__all__ = ["get_quickly"]

# Under names of their own, since the compiler takes the plain ones for C types.
_Seconds = float | None
_Flag = bool
_Shards = tuple[Shard, ...]
_Places = set[int]


def get_quickly(
    manager: ShardManager, protocol: Protocol, timeout: _Seconds, keys: list[Any], sentinel: bool
) -> dict[Key, GetResponse] | None:
    """Return an answer for every key, or None: nothing was sent, and it takes the long way."""
    fleet = manager.fleet()
    if not keys or wire_request.has_repeats(keys):
        return None
    places = fleet.of_many(keys)
    used = set(places)
    handles = _borrowed(fleet.shards, used, sentinel)
    if handles is None:
        return None
    try:
        if len(used) == 1:
            connection = handles[places[0]].handle
            if timeout is not None and timeout != connection.timeout:
                return None
            return _asked_alone(manager, fleet.shards[places[0]], protocol, keys, connection)
        prefix = protocol.prefix
        return _gathered(manager, fleet.shards, prefix, timeout, keys, places, handles)
    finally:
        _give_back(handles)


def _borrowed(shards: _Shards, places: _Places, sentinel: _Flag) -> Any:
    """Return an idle connection's handle for each place, None for the others; or None."""
    handles: list[Any] = [None] * len(shards)
    is_fit = False
    try:
        for place in places:
            if place < 0:
                return None
            shard = shards[place]
            if not (shard.takes_sentinels if sentinel else shard.serves) or shard.failures:
                return None
            handle = shard.pool.get_idle()
            if handle is None:
                return None
            handles[place] = handle
            connection: Connection = handle.handle
            if connection.line is None or not connection.is_valid:
                return None
        is_fit = True
    finally:
        if not is_fit:
            _give_back(handles)
    return handles


def _give_back(handles: list[Any]) -> None:
    for handle in handles:
        if handle is not None:
            connection: Connection = handle.handle
            if connection.is_valid:
                handle.release()
            else:
                handle.discard()


def _asked_alone(
    manager: ShardManager, shard: Shard, protocol: Protocol, keys: list[Any], connection: Connection
) -> dict[Key, GetResponse] | None:
    """Ask the only shard that has any of the keys, as a raw client does."""
    try:
        found: dict[Key, GetResponse] = connection._see_through(protocol.get_multi(keys), None)
    except (NetworkError, ReplyError) as error:
        if not connection.has_begun:
            return None  # the connection was stale, and is given back to be closed
        manager.failed(shard, error)
        wrong = located(shard, error)
        return _failed(keys, wrong)
    return found


def _failed(keys: list[Any], error: Exception) -> dict[Key, GetResponse]:
    return {key: failed_get(key, status_of(error), error) for key in keys}


def _gathered(
    manager: ShardManager,
    shards: _Shards,
    prefix: bytes,
    timeout: _Seconds,
    keys: list[Any],
    places: list[int],
    handles: list[Any],
) -> dict[Key, GetResponse] | None:
    fds = [-1] * len(handles)
    connections: list[Any] = []
    at = 0
    limit: _Seconds = None
    connection: Connection | None
    for handle in handles:
        connection = None if handle is None else handle.handle
        connections.append(connection)
        if connection is not None:
            fds[at] = connection.line.fd
            if connection.timeout is not None and (limit is None or connection.timeout < limit):
                limit = connection.timeout
        at += 1  # noqa: SIM113  # in C an int, which enumerate's is not
    for connection in connections:
        if connection is not None:
            connection.begin()
    gathered = kernel.gather(
        fds, keys, places, b"gets", prefix, limit if timeout is None else timeout
    )
    if gathered is None:
        for connection in connections:
            if connection is not None:
                connection.end()
        return None
    values, flags, cas, failures = gathered
    at = 0
    for connection in connections:
        if connection is not None and not isinstance(failures.get(at), Exception):
            connection.end()
        at += 1  # noqa: SIM113  # as above
    found: dict[Key, GetResponse] = fill_gets({}, keys, values, flags, cas)
    if failures:
        _tell(manager, shards, keys, places, failures, found)
    return found


def _tell(
    manager: ShardManager,
    shards: _Shards,
    keys: list[Any],
    places: list[int],
    failures: dict[int, Any],
    found: dict[Key, GetResponse],
) -> None:
    """Answer the keys of the servers that failed or refused, and tell the manager."""
    failed: dict[int, Any] = {}
    for place, failure in failures.items():
        if isinstance(failure, Exception):
            error = told(failure)
            if isinstance(error, (NetworkError, ReplyError)):
                manager.failed(shards[place], error)
            error = located(shards[place], error)
            failed[place] = status_of(error), error
        else:
            failed[place] = server_error(*failure)
    for key, place in zip(keys, places, strict=True):
        if place in failed:
            found[key] = failed_get(key, *failed[place])
