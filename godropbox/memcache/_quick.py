"""The short way of a batch: two calls of a kernel for all shards, one to sort it, one to do it.

That is where nothing stands in it: the ASCII protocol, over idle connections that are plain
sockets, to shards that serve. All else is left to ``_multi``, before anything is sent. Compiled as
it stands (``_quick.pxd``).
"""

from array import array
from typing import Any

from .._kernels import batch as kernel
from .._kernels import wire_request
from ..errors import NetworkError

# By their fields, since eight properties a batch, eight times over, would take longer than sending.
from ..resource_pool._simple import ManagedHandle, SimpleResourcePool
from ._answers import status_of
from ._errands import located
from .ascii import STORE_WORDS
from .connection import Connection
from .errors import ReplyError
from .exchange import server_error
from .protocol import Protocol
from .responses import (
    failed_get,
    failed_mutate,
    fill_gets,
    list_mutations,
    one_get,
)
from .scatter import told
from .shard_manager import Fleet, Shard, ShardManager
from .types import Item, Key, ResponseStatus

__all__ = ["get_quickly", "set_quickly", "store_quickly"]

# Under names of their own, since the compiler takes the plain ones for C types.
_Seconds = float | None
_Flag = bool
_Verb = bytes | None
_Places = list[int]


def get_quickly(
    manager: ShardManager,
    protocol: Protocol,
    timeout: _Seconds,
    keys: list[Any],
    sentinel: _Flag,
    of_values: _Flag = False,
) -> Any:
    """Return an answer for every key, or None: nothing was sent, and it takes the long way.

    With `of_values` it is the values without flags, and a dict of the other answers but misses,
    which have no tokens.
    """
    fleet = manager.fleet()
    plan: Any = kernel.plan(keys, fleet.placement, len(fleet.shards), protocol.prefix)
    gathered: Any = _carried_out(plan, fleet, timeout, None, sentinel, of_values)
    if gathered is None:
        return None
    found: dict[Key, Any]
    rest: Any
    if of_values:
        found, given, failures = gathered
        rest = {}
        for key, value, flags in given:
            rest[key] = one_get(key, value, flags, 0)
    else:
        values, all_flags, all_cas, failures = gathered
        rest = found = wire_request.roomy_dict(len(keys))
        fill_gets(found, keys, values, all_flags, all_cas)
    for place, (failure, indices) in failures.items():
        status, error = _told(manager, fleet.shards[place], failure)
        for index in indices:
            rest[keys[index]] = failed_get(keys[index], status, error)
    return (found, rest) if of_values else found


def store_quickly(
    manager: ShardManager, protocol: Protocol, timeout: _Seconds, verb: bytes, items: list[Any]
) -> Any:
    """Return an answer for every item, in their order, or None: nothing was sent."""
    fleet = manager.fleet()
    plan: Any = kernel.plan(items, fleet.placement, len(fleet.shards), protocol.prefix, Item)
    stored = _carried_out(plan, fleet, timeout, verb, False, False)
    if stored is None:
        return None
    keys: list[Any] = [item[0] for item in items]
    return _answers(manager, fleet, keys, *stored)


def set_quickly(
    manager: ShardManager,
    protocol: Protocol,
    timeout: _Seconds,
    keys: list[Any],
    values: list[Any],
    flags: Any,
    expire: Any,
) -> Any:
    """Set values, `flags` being None for 0 each; as ``store_quickly``, but an empty list if all
    were stored.
    """
    fleet = manager.fleet()
    plan: Any = kernel.plan_values(
        keys, values, flags, expire, fleet.placement, len(fleet.shards), protocol.prefix
    )
    stored: Any = _carried_out(plan, fleet, timeout, b"set ", False, False)
    if stored is None:
        return None
    statuses, refusals, failures = stored
    if not refusals and not failures and not statuses.strip(b"\0"):
        return []
    return _answers(manager, fleet, keys, statuses, refusals, failures)


def _carried_out(
    plan: Any, fleet: Fleet, timeout: _Seconds, verb: _Verb, sentinel: _Flag, plain: _Flag
) -> Any:
    """Return what ``Plan.store`` makes of a plan, or ``Plan.get`` without a verb.

    It is None if nothing was sent: there is no plan, or a connection that cannot do.
    """
    if plan is None:
        return None
    places: _Places = plan.places
    handles = _borrowed(fleet, places, sentinel)
    if handles is None:
        return None
    try:
        fds, limit = _begun(handles), _limit(handles, timeout)
        outcome: Any
        if verb is None:
            outcome = plan.get(fds, limit, plain)
        else:
            outcome = plan.store(fds, verb, STORE_WORDS, limit)
        _end(handles, places, {} if outcome is None else outcome[len(outcome) - 1])
        return outcome
    finally:
        _give_back(handles)


def _answers(
    manager: ShardManager,
    fleet: Fleet,
    keys: list[Any],
    statuses: bytes,
    refusals: dict[int, Any],
    failures: dict[int, Any],
) -> list[Any]:
    answers: list[Any] = list_mutations(keys, statuses, array("Q", bytes(8 * len(keys))))
    for index, (number, text) in refusals.items():
        answers[index] = failed_mutate(keys[index], *server_error(number, text))
    for place, (failure, indices) in failures.items():
        status, error = _told(manager, fleet.shards[place], failure)
        for index in indices:
            answers[index] = failed_mutate(keys[index], status, error)
    return answers


def _borrowed(fleet: Fleet, places: _Places, sentinel: _Flag) -> Any:
    """Return an idle connection's handle for each place; None if one has none, or cannot do."""
    handles: list[ManagedHandle] = []
    is_fit = False
    pools: Any = fleet.pools
    try:
        for place in places:
            if pools is None:
                shard = fleet.shards[place]
                if not (shard.takes_sentinels if sentinel else shard.serves):
                    return None
                if shard.is_watched and shard.failures:
                    return None
                pool: SimpleResourcePool = shard.pool
            else:
                pool = pools[place]
            handle = pool.get_idle()
            if handle is None:
                return None
            handles.append(handle)
            connection = _lent(handle)
            if connection._line is None or not (connection._is_valid and connection._is_mine):
                return None
        is_fit = True
    finally:
        if not is_fit:
            _give_back(handles)
    return handles


def _lent(handle: ManagedHandle) -> Connection:
    """Return the connection that a handle holds, without the looks that ``handle`` takes."""
    entry = handle._entry
    assert entry is not None
    connection: Connection = entry.raw
    return connection


def _begun(handles: list[Any]) -> list[int]:
    """Have the connections count as broken until they end well; return their sockets."""
    handle: ManagedHandle
    fds: list[int] = []
    for handle in handles:
        connection = _lent(handle)
        connection.begin()
        fds.append(connection._fd)
    return fds


def _end(handles: list[Any], places: _Places, failures: dict[int, Any]) -> None:
    """Have those connections count as usable that did not fail."""
    handle: ManagedHandle
    at = 0
    for handle in handles:
        connection = _lent(handle)
        if not failures or not isinstance(failures.get(places[at], (None,))[0], Exception):
            connection.end()
        at += 1  # noqa: SIM113  # in C an int, which enumerate's is not


def _give_back(handles: list[Any]) -> None:
    handle: ManagedHandle
    for handle in handles:
        connection = _lent(handle)
        if connection._is_valid and connection._is_mine:
            handle._pool._put(handle)
        else:
            handle._pool._drop(handle)


def _limit(handles: list[Any], timeout: _Seconds) -> _Seconds:
    """Return the seconds for a batch: the client's, or the least of the connections'."""
    if timeout is not None:
        return timeout
    handle: ManagedHandle
    limit: _Seconds = None
    for handle in handles:
        connection = _lent(handle)
        seconds = connection._timeout
        if seconds is not None and (limit is None or seconds < limit):
            limit = seconds
    return limit


def _told(manager: ShardManager, shard: Shard, failure: Any) -> tuple[ResponseStatus, Exception]:
    """Return the status and the error of all keys of a server that failed; tell the manager."""
    if not isinstance(failure, Exception):
        return server_error(*failure)
    error = told(failure)
    if isinstance(error, (NetworkError, ReplyError)):
        manager.failed(shard, error)
    error = located(shard, error)
    return status_of(error), error
