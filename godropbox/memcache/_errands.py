"""What a sharded client does on its shards: one errand a shard, all of them at once.

An errand borrows a connection, and gives it back whatever happens: released if it is valid, closed
if it is not. One that turned out stale before anything was sent, because the server was started
anew, is put away for another.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from ..errors import DropboxError
from ..resource_pool import ManagedHandle, PoolExhaustedError
from . import scatter
from .connection import Connection
from .errors import NetworkError, ReplyError
from .exchange import Exchange
from .shard_manager import Shard, ShardManager

__all__ = ["Errand", "borrow", "located", "run"]


class Errand:
    """One shard's part of an operation: `things` to be done there, in places of the whole.

    `outcome` is the list of the results of its exchanges, or what went wrong.
    """

    __slots__ = ("exchange", "handle", "outcome", "place", "places", "shard", "things")

    def __init__(self, place: int) -> None:
        self.place = place
        self.things: list[Any] = []
        self.places: list[int] = []
        self.shard: Any = None
        self.exchange: Exchange | None = None
        self.handle: ManagedHandle | None = None
        self.outcome: Any = None


def located(shard: Shard, error: Exception) -> Exception:
    """Return an error of a connection as the same error of a shard, which its fields name too."""
    if not isinstance(error, (NetworkError, ReplyError)) or "shard" in error.fields:
        return error
    fields = {**error.fields, "shard": shard.id, "address": shard.address}
    told = type(error)(f"shard {shard.id} at {shard.address}: {error}", **fields)
    told.__cause__ = error.__cause__
    return told


def borrow(shard: Shard, left: float | None) -> ManagedHandle:
    """Return a connection to a shard: an idle one, or a new one, or the next in the time `left`.

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


def run(
    manager: ShardManager,
    errands: list[Errand],
    parts: Callable[[Errand], list[Exchange]],
    timeout: float | None,
) -> None:
    """Do all errands, each of which has an exchange, and leave each with its outcome.

    `timeout` is seconds for all of it, None for what the connections have. `parts` makes of an
    errand the exchanges that take the place of its own where that may not be sent as it is.
    """
    start = monotonic()
    exhausted: list[Errand] = []
    try:
        for errand in errands:
            _borrow_at_once(errand, exhausted)
        _exchange(errands, parts, timeout, start)
        # Those whose pool had none left come last, so that waiting for it costs the others nothing;
        # nothing is held meanwhile, so that no two operations can wait for each other.
        _give_back(errands)
        for position, errand in enumerate(exhausted):
            left = None if timeout is None else start + timeout - monotonic()
            share = None if left is None else left / (len(exhausted) - position)
            _borrow_in_turn(errand, share)
            _exchange([errand], parts, timeout, start)
            _give_back([errand])
    finally:
        _give_back(errands)
    for errand in errands:
        _report(manager, errand)


def _borrow_at_once(errand: Errand, exhausted: list[Errand]) -> None:
    pool = errand.shard.pool
    try:
        errand.handle = pool.get_idle() or pool.get(0.0)
    except PoolExhaustedError as error:
        errand.outcome = error
        if pool.options.timeout != 0:
            exhausted.append(errand)
    except DropboxError as error:
        errand.outcome = error


def _borrow_in_turn(errand: Errand, left: float | None) -> None:
    try:
        errand.handle = borrow(errand.shard, left)
    except DropboxError as error:
        errand.outcome = error


def _exchange(
    errands: list[Errand],
    parts: Callable[[Errand], list[Exchange]],
    timeout: float | None,
    start: float,
) -> None:
    """Run the exchanges of the errands that have a connection."""
    ready = [errand for errand in errands if errand.handle is not None]
    _renew(ready, start)
    ready = [errand for errand in ready if errand.handle is not None]
    if not ready:
        return
    connections: list[Connection] = []
    exchanges: list[list[Exchange]] = []
    for errand in ready:
        assert errand.handle is not None  # `ready` are those that have one
        assert errand.exchange is not None
        connection: Connection = errand.handle.handle
        connections.append(connection)
        whole = scatter.takes_all_at_once(connection)
        exchanges.append([errand.exchange] if whole else parts(errand))
    if timeout is None:
        timeouts = [each.timeout for each in connections if each.timeout is not None]
        timeout = min(timeouts) if timeouts else None
    deadline = None if timeout is None else start + timeout
    outcomes = scatter.run_all(connections, exchanges, deadline)
    for errand, outcome in zip(ready, outcomes, strict=True):
        errand.outcome = outcome


def _renew(errands: list[Errand], start: float) -> None:
    """Put stale connections away for others; those that were opened just now are as they are."""
    while True:
        checked = [each for each in errands if each.handle is not None]
        checked = [each for each in checked if each.handle.handle.opened < start]  # type: ignore[union-attr]
        places = scatter.stale([each.handle.handle for each in checked]) if checked else []  # type: ignore[union-attr]
        if not places:
            return
        for place in places:
            errand = checked[place]
            handle, errand.handle = errand.handle, None
            assert handle is not None  # `checked` are those that have one
            handle.discard()
            try:
                errand.handle = errand.shard.pool.get(0.0)
            except DropboxError as error:
                errand.outcome = error
        errands = [checked[place] for place in places]


def _give_back(errands: list[Errand]) -> None:
    for errand in errands:
        handle, errand.handle = errand.handle, None
        if handle is None:
            continue
        connection: Connection = handle.handle
        if connection.is_valid:
            handle.release()
        else:
            handle.discard()


def _report(manager: ShardManager, errand: Errand) -> None:
    """Tell the manager how an errand went, and the caller where."""
    shard, outcome = errand.shard, errand.outcome
    if not isinstance(outcome, Exception):
        if shard.failures:
            manager.succeeded(shard)
    elif isinstance(outcome, (NetworkError, ReplyError)):
        manager.failed(shard, outcome)
        errand.outcome = located(shard, outcome)
