"""What a sharded client does on its shards: one errand a shard, all of them at once.

An errand borrows a connection, and gives it back whatever happens: released if it is valid, closed
if it is not. One that turned out stale before anything was sent, because the server was started
anew, is put away for another. Compiled as it stands (``_errands.pxd``).
"""

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from .._kernels._guarded import FIELDS, text_of
from .._kernels._identity import refuse_copies
from ..errors import DropboxError
from ..resource_pool import LameDuckError, ManagedHandle, PoolExhaustedError
from . import scatter
from ._answers import was_closed
from .connection import Connection
from .errors import NetworkError, NotSupportedError, ReplyError
from .fleet.manager import Shard, ShardManager
from .protocol.exchange import Exchange

__all__ = ["Errand", "borrow", "located", "run"]

# Under names of their own, since the compiler takes a plain ``float`` for a C type.
_Seconds = float | None
_Start = float


class Errand:
    """One shard's part of an operation: `things` to be done there, and their places in the whole.

    `outcome` is the list of the results of its exchanges, or what went wrong.
    """

    __slots__ = ("handle", "outcome", "place", "places", "shard", "things")
    __reduce_ex__ = refuse_copies

    def __init__(self, place: int) -> None:
        self.place = place
        self.things: list[Any] = []
        self.places: list[int] = []
        self.shard: Any = None
        self.handle: Any = None
        self.outcome: Any = None


def located(shard: Shard, error: Exception) -> Exception:
    """Return an error of a connection as the same error of a shard, which its fields name too."""
    if isinstance(error, NotSupportedError) and "address" in error.fields:
        fields = {**error.fields, "shard": shard.id, "address": shard.address}
        return NotSupportedError(f"shard {shard.id} at {error}", **fields)
    if not isinstance(error, (NetworkError, ReplyError)) or "shard" in error.fields:
        return error
    fields = {**error.fields, "shard": shard.id, "address": shard.address}
    try:
        told = type(error)(f"shard {shard.id} at {shard.address}: {text_of(error)}")
        told.__dict__[FIELDS] = fields  # of which one may have the name of an argument
        told.__cause__ = error.__cause__
    except Exception:
        return error  # a class of a user's channel, which takes something else
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


# Makes of an errand what it is to send: one exchange if it may be whole, or several parts.
Make = Callable[[Errand, bool], list[Exchange]]


def run(manager: ShardManager, errands: list[Errand], make: Make, timeout: _Seconds) -> None:
    """Do all errands, and leave each with its outcome.

    `timeout` is seconds for all of it, None for what the connections have.
    """
    errand: Errand
    start = monotonic()
    exhausted: list[Errand] = []
    try:
        for errand in errands:
            _borrow_at_once(errand, exhausted)
        _exchange(errands, make, timeout, start)
        # Those whose pool had none left come last, so that waiting for it costs the others nothing;
        # nothing is held meanwhile, so that no two operations can wait for each other.
        _give_back(errands)
        for position, errand in enumerate(exhausted):
            left = None if timeout is None else start + timeout - monotonic()
            share = None if left is None else left / (len(exhausted) - position)
            _borrow_in_turn(errand, share)
            _exchange([errand], make, timeout, start)
            _give_back([errand])
    finally:
        _give_back(errands)
    for errand in errands:
        if isinstance(errand.outcome, LameDuckError):
            errand.outcome = was_closed(manager) or errand.outcome
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


def _exchange(errands: list[Errand], make: Make, timeout: _Seconds, start: _Start) -> None:
    """Run the exchanges of the errands that have a connection."""
    errand: Errand
    ready = [errand for errand in errands if errand.handle is not None]
    if not ready:
        return
    connections: list[Connection] = [errand.handle.handle for errand in ready]
    places = scatter.stale(connections)
    if places:
        _renew([ready[place] for place in places], start)
        ready = [errand for errand in ready if errand.handle is not None]
        connections = [errand.handle.handle for errand in ready]
    if timeout is None:
        timeouts = [each.timeout for each in connections if each.timeout is not None]
        timeout = min(timeouts) if timeouts else None
    deadline = None if timeout is None else start + timeout
    exchanges = _made(ready, connections, make)
    for errand, outcome in zip(
        ready, scatter.run_all(connections, exchanges, deadline), strict=True
    ):
        errand.outcome = outcome


def _made(
    errands: list[Errand], connections: list[Connection], make: Make
) -> Iterator[list[Exchange]]:
    for errand, connection in zip(errands, connections, strict=True):
        yield make(errand, scatter.takes_all_at_once(connection))


def _renew(errands: list[Errand], start: _Start) -> None:
    """Put stale connections away for others, until each has a good one or a new one."""
    for errand in errands:
        while True:
            errand.handle.discard()
            errand.handle = None
            try:
                errand.handle = errand.shard.pool.get(0.0)
            except DropboxError as error:
                errand.outcome = error
                break
            connection = errand.handle.handle
            if connection.opened >= start or not scatter.is_stale(connection):
                break


def _give_back(errands: list[Errand]) -> None:
    errand: Errand
    failure: BaseException | None = None
    for errand in errands:
        handle: ManagedHandle | None = errand.handle
        errand.handle = None
        if handle is None:
            continue
        connection: Connection = handle.handle
        try:
            if connection.is_valid:
                handle.release()
            else:
                handle.discard()
        except BaseException as error:  # of a clock or a close of the user's: the others go back
            failure = failure or error
    if failure is not None:
        raise failure


def _report(manager: ShardManager, errand: Errand) -> None:
    """Tell the manager how an errand went, and the caller where."""
    shard, outcome = errand.shard, errand.outcome
    if not isinstance(outcome, Exception):
        if shard.failures:
            manager.succeeded(shard)
    elif isinstance(outcome, (NetworkError, ReplyError)):
        manager.failed(shard, outcome)
        errand.outcome = located(shard, outcome)
    else:
        errand.outcome = located(shard, outcome)
