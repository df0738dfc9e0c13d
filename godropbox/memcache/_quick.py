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
from .connection import Connection
from .errors import ReplyError
from .fleet.manager import ShardManager
from .fleet.shards import Fleet, Shard
from .protocol.ascii import STORE_WORDS
from .protocol.base import Protocol
from .protocol.exchange import SET, Probe, server_error
from .responses import (
    failed_get,
    failed_mutate,
    fill_gets,
    list_mutations,
    one_get,
)
from .scatter import told
from .types import Item, Key, ResponseStatus

__all__ = ["get_quickly", "set_quickly", "store_quickly"]

# Under names of their own, since the compiler takes the plain ones for C types.
_Seconds = float | None
_Flag = bool
_Int = int
_Verb = bytes | None
_Places = list[int]

_ALL = object()  # every connection of a batch failed, as it was not seen through
_FINE = (None,)


def get_quickly(
    manager: ShardManager,
    protocol: Protocol,
    timeout: _Seconds,
    keys: list[Any],
    sentinel: _Flag,
    of_values: _Flag,
) -> Any:
    """Return an answer for every key, or None: nothing was sent, and it takes the long way.

    With `of_values` it is the values without flags, and a dict of the other answers but misses,
    which have no tokens.
    """
    fleet: Fleet = manager.fleet()
    plan: Any = kernel.plan(keys, fleet.placement, len(fleet.shards), protocol.prefix)
    gathered: Any = _carried_out(plan, fleet, timeout, None, sentinel, of_values, 0)
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
        if len(found) != len(keys):
            _fill_repeats(found, keys, values, all_flags, all_cas)
    for place, (failure, indices) in failures.items():
        status, error = _told(manager, fleet.shards[place], failure)
        for index in indices:
            if of_values:
                found.pop(keys[index], None)
            rest[keys[index]] = failed_get(keys[index], status, error)
    return (found, rest) if of_values else found


def _fill_repeats(
    found: dict[Key, Any], keys: list[Any], values: list[Any], all_flags: Any, all_cas: Any
) -> None:
    """Have a key that was given twice found if it was found once: a server may merge the two."""
    for key, value, flags, cas in zip(keys, values, all_flags, all_cas, strict=True):
        if value is not None:
            found[key] = one_get(key, value, flags, cas)


def store_quickly(
    manager: ShardManager, protocol: Protocol, timeout: _Seconds, verb: bytes, items: list[Any]
) -> Any:
    """Return an answer for every item, in their order, or None: nothing was sent."""
    fleet: Fleet = manager.fleet()
    plan: Any = kernel.plan(items, fleet.placement, len(fleet.shards), protocol.prefix, Item)
    if plan is None:
        return None
    probe: Probe | None = protocol._store_probe("set", items)
    assert probe is not None
    stored = _carried_out(plan, fleet, timeout, verb, False, False, probe.kinds)
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
    fleet: Fleet = manager.fleet()
    plan: Any = kernel.plan_values(
        keys, values, flags, expire, fleet.placement, len(fleet.shards), protocol.prefix
    )
    stored: Any = _carried_out(plan, fleet, timeout, b"set ", False, False, SET)
    if stored is None:
        return None
    statuses, refusals, failures = stored
    if not refusals and not failures and statuses == bytes(len(keys)):
        return []
    return _answers(manager, fleet, keys, statuses, refusals, failures)


def _carried_out(
    plan: Any,
    fleet: Fleet,
    timeout: _Seconds,
    verb: _Verb,
    sentinel: _Flag,
    plain: _Flag,
    needs: _Int,
) -> Any:
    """Return what ``Plan.store`` makes of a plan, or ``Plan.get`` without a verb.

    It is None if nothing was sent: there is no plan, or a connection that cannot do, or whose
    server is not known to know what `needs` says.
    """
    if plan is None:
        return None
    places: _Places = plan.places
    handles = fleet._take_handles()
    lent = 0
    # Until they end well the connections count as broken.
    failures: Any = _ALL
    try:
        fds: list[int] = []
        limit = timeout
        for place in places:
            if lent == len(handles):
                handles.append(ManagedHandle.__new__(ManagedHandle))
            handle = handles[lent]
            connection = _lent(fleet, place, handle, sentinel, needs)
            if connection is None:
                failures = None
                return None
            lent += 1
            fds.append(connection._fd)
            if timeout is None and connection._timeout is not None:
                seconds = connection._timeout
                limit = seconds if limit is None or seconds < limit else limit
        outcome: Any
        if verb is None:
            outcome = plan.get(fds, limit, plain)
        else:
            outcome = plan.store(fds, verb, STORE_WORDS, limit)
        failures = None if outcome is None else outcome[len(outcome) - 1]
        return outcome
    finally:
        _give_back(handles, lent, places, failures)
        if failures is not _ALL:  # else one may hold what it was being lent
            fleet._keep_handles(handles)


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


def _lent(
    fleet: Fleet, place: _Int, handle: ManagedHandle, sentinel: _Flag, needs: _Int
) -> Connection | None:
    """Put an idle connection to a shard into a handle, and begin on it.

    None if there is none idle, or none that will do: then the handle is empty.
    """
    if fleet.pools is None:
        shard = fleet.shards[place]
        if not (shard.takes_sentinels if sentinel else shard.serves):
            return None
        if shard.is_watched and shard.failures:
            return None
        pool: SimpleResourcePool = shard.pool
    else:
        pool = fleet.pools[place]
    if not pool._lend_idle(handle):
        return None
    entry = handle._entry
    assert entry is not None
    connection: Connection = entry.raw
    if not (connection._is_valid and connection._is_mine):
        pool._drop(handle)
        return None
    if connection._line is None or needs & ~connection._proven:
        pool._put(handle)
        return None
    connection._is_valid = False
    return connection


def _give_back(handles: list[Any], lent: _Int, places: _Places, failures: Any) -> None:
    """Have the connections of those places count as usable that did not fail; end all the loans.

    All are ended, whatever ending one of them raises; the first that is raised then is.
    """
    handle: ManagedHandle
    failure: BaseException | None = None
    for at in range(lent):
        handle = handles[at]
        entry = handle._entry
        assert entry is not None
        connection: Connection = entry.raw
        try:
            if failures is None or (
                failures is not _ALL and (not failures or _in_step(failures.get(places[at], _FINE)))
            ):
                connection._is_valid = True
                handle._pool._put(handle)
            else:
                handle._pool._drop(handle)
        except BaseException as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _in_step(ended: Any) -> bool:
    """Return whether a connection may be used again, by what failed and for which keys, if any.

    Not after an error line in place of the values of several keys: see ``GetManyExchange``.
    """
    return ended[0] is None or (not isinstance(ended[0], Exception) and len(ended[1]) == 1)


def _told(manager: ShardManager, shard: Shard, failure: Any) -> tuple[ResponseStatus, Exception]:
    """Return the status and the error of all keys of a server that failed; tell the manager."""
    if not isinstance(failure, Exception):
        return server_error(*failure)
    error = told(failure)
    if isinstance(error, (NetworkError, ReplyError)):
        manager.failed(shard, error)
    error = located(shard, error)
    return status_of(error), error
