"""The policy of an operation over a fleet: which shards, what is retried, who learns of it. No I/O.

An operation is a step: its ``visits`` are exchanges on shards, which a driver carries over
connections, settling each; ``take`` takes what came of them, and returns whether there are more
visits. It follows a change of the fleet that meets it on the way. Errors name the shard
(``outcomes``). What many keys have in common is here; ``batch_steps`` has their gets and writes.
Compiled as it stands (``steps.pxd``).
"""

from typing import Any

from .._kernels import wire
from .._kernels._identity import refuse_copies
from ..errors import NetworkError, UsageError
from ..resource_pool import LameDuckError
from .errors import (
    ConnectionUnusableError,
    NotSupportedError,
    ReplyError,
)
from .fleet.manager import ShardManager
from .fleet.shards import Fleet, Shard
from .outcomes import (
    failed_answer,
    forgiven,
    is_lost,
    kind_of,
    named,
    refused,
    require_open,
    settled,
    size_of,
    status_of,
    unmapped_error,
)
from .protocol.base import Protocol
from .protocol.exchange import (
    Exchange,
    MutateExchange,
    PartExchange,
    server_error,
)
from .protocol.talk import Talk, explained
from .types import Key, ResponseStatus

__all__ = [
    "ROUNDS",
    "SHORT_LINE",
    "ManyKeys",
    "OneKey",
    "ShardVisit",
    "Visit",
    "divided",
    "one_key",
    "takes",
]

_OK = ResponseStatus.OK
_FAULTY = ResponseStatus.INVALID_ARGUMENTS
_UNKNOWN = ResponseStatus.UNKNOWN_COMMAND
_CALLERS = (ResponseStatus.INVALID_ARGUMENTS, ResponseStatus.NOT_SUPPORTED)
SHORT_LINE = wire.codes.SHORT_LINE
ROUNDS = 3  # how many changes of the fleet one operation follows


def _is_long(visit: Any) -> bool:
    """Return whether a get had lines that some servers do not take."""
    requests = [visit.part] if visit.part is not None else visit.exchanges
    lines = [
        line for each in requests for text in each.request for line in bytes(text).split(b"\n")
    ]
    return max(map(len, lines)) >= SHORT_LINE


def takes(shard: Shard, sentinel: bool) -> bool:
    """Return whether an operation may go to a shard now."""
    if not (shard.takes_sentinels if sentinel else shard.serves):
        return False
    return not shard.is_watched or not shard.is_ejected or shard.admits()


# One shard


class Visit(Talk):
    """Exchanges on one shard; `handle` is the loan of the connection, if there is one.

    A visit whose connection turns out to be stale before anything was sent is to be made again,
    over another. One that `is_read` is asked once more if its connection is lost later: then it
    `is_again`, and goes over a new connection.
    """

    __slots__ = ("handle", "is_again", "is_read", "shard")

    def __init__(self, shard: Shard, exchanges: list[Exchange], is_read: bool = False) -> None:
        self.shard = shard
        self.handle: Any = None
        self.is_read = is_read
        self.is_again = False
        self._prepare(exchanges)

    def is_to_repeat(self) -> bool:
        """Return whether it is asked once more: a read, whose connection was lost."""
        return (
            self.is_read and not self.is_again and self.peer is not None and is_lost(self.outcome)
        )

    def repeat(self, exchanges: list[Exchange]) -> None:
        """Be asked once more, by these exchanges."""
        self.is_again = True
        self._prepare(exchanges)

    def is_stale(self, moment: float) -> bool:
        """Return whether the visit is to be made again, over another connection.

        That is where one made before a moment failed before anything was sent, or where the probe
        cost the connection, to a server that is now seen to know ASCII alone.
        """
        outcome = self.outcome
        if not isinstance(outcome, Exception) or self.peer is None:
            return False
        if isinstance(outcome, (NetworkError, ReplyError, ConnectionUnusableError)):
            has_begun = self.peer.has_begun and not isinstance(outcome, ConnectionUnusableError)
            if not has_begun and self.peer.opened < moment:
                self._is_undone = False  # which may be for its age
                return True
        return self._is_undone

    def is_undone(self, moment: float) -> bool:
        """Return whether the probe cost a connection made since a moment, or was refused over it.

        Then the server is seen to know ASCII alone, and the visit is to be made again.
        """
        if not self._is_undone or self.peer is None:
            return False
        return isinstance(self.outcome, NotSupportedError) or self.peer.opened >= moment

    def _seen(self) -> Any:
        return self.shard.seen

    def settle(self, manager: ShardManager) -> None:
        """Tell the manager how the visit ended, and name the shard in its error.

        One that is asked once more did not end: what comes of that is what counts.
        """
        outcome = self.outcome
        if isinstance(outcome, Exception):
            if self.is_to_repeat():
                return
            self.outcome = settled(manager, self.shard, outcome)
        elif self.shard.is_watched and self.shard.failures:
            manager.succeeded(self.shard)


class OneKey(Visit):
    """An operation on one key: `answer` is what it comes to.

    A get is asked once more by `reader`, the protocol that made its exchange, if it is not None.
    """

    __slots__ = ("_fleet", "_key", "_manager", "_reader", "_rounds", "_sentinel", "answer")

    def _set_up(
        self,
        manager: ShardManager,
        key: Key,
        exchange: Exchange,
        sentinel: bool,
        reader: Protocol | None,
    ) -> bool:
        """Be new, in less time than an ``__init__`` takes, and ``aim``."""
        self._manager = manager
        self._reader: Any = reader
        self.is_read = reader is not None
        self.is_again = False
        self._key = key
        self._sentinel = sentinel
        self._rounds = ROUNDS
        self.handle = None
        self.answer: Any = None
        self._prepare([exchange])
        return self.aim()

    def aim(self) -> bool:
        """Choose the shard; return False if there is an answer at once."""
        fleet: Fleet = self._manager.fleet()
        number = fleet.of(self._key)
        if number < 0:
            self.answer = failed_answer(self.exchanges[0], unmapped_error(self._key))
            return False
        shard = fleet.shards[number]
        if not takes(shard, self._sentinel):
            require_open(self._manager)
            exchange: Any = self.exchanges[0]
            self.answer = kind_of(exchange)[1](exchange.key)
            return False
        self._fleet = fleet
        self.shard = shard
        return True

    def take(self) -> bool:
        """Take the answer, or raise; return True if there is another visit to make."""
        outcome = self.outcome
        if isinstance(outcome, Exception) and self.is_to_repeat():
            self.repeat([self._reader.get(self._key)])
            return self.aim()
        self.outcome = None
        forgives = self._sentinel and self.shard.is_warming_up
        if not isinstance(outcome, Exception):
            self.answer = outcome[0]
            error = getattr(self.answer, "error", None)
            if error is not None:
                refused(self.shard, self._key, error, size_of(self.exchanges[0]))
        elif isinstance(outcome, LameDuckError) and self._manager.fleet() is not self._fleet:
            self._rounds -= 1
            if self._rounds == 0:
                raise LameDuckError(f"the fleet changed {ROUNDS} times during one operation")
            return self.aim()
        elif (
            forgives
            and isinstance(outcome, (NetworkError, ReplyError, UsageError))
            and isinstance(self.exchanges[0], MutateExchange)
        ):
            self.answer = failed_answer(self.exchanges[0], outcome)
        else:
            try:
                raise named(outcome, self._key)
            finally:
                del outcome  # its traceback holds this frame
        if forgives:
            self.answer = forgiven(self.answer)
        return False


def one_key(
    manager: ShardManager,
    key: Key,
    exchange: Exchange,
    sentinel: bool,
    reader: Protocol | None,
) -> tuple[OneKey, bool]:
    """Return an operation on one key, and whether it has a visit to make."""
    step = OneKey.__new__(OneKey)
    goes_on = step._set_up(manager, key, exchange, sentinel, reader)
    return step, goes_on


# Many keys


class ShardVisit(Visit):
    """One shard's share of `many`: its part of a batch, or else keys at these indices."""

    __slots__ = ("indices", "keys", "many", "part")

    def _set_up(self, many: Any, shard: Any, part: Any) -> Any:
        """Be new: an ``__init__`` would take a third of the time of a get of one key."""
        self.many = many
        self.shard = shard
        self.part = part
        self.keys: Any = None
        self.indices: Any = None
        self.handle = None
        self.is_read = many._is_read
        self.is_again = many._is_again
        self._prepare(None)
        return self

    def _begin(self) -> None:
        whole = self.peer.interleaves
        if self._is_whole():
            exchange = PartExchange.__new__(PartExchange)
            self.exchanges = [exchange._set_up(self.part, self.many._probe(self.part))]
        else:
            self.exchanges = self.many._exchanges(self.keys, self._own_indices(), whole)

    def _is_whole(self) -> Any:
        """Return whether there is a part, and it may go over this connection in one request."""
        part: Any = self.part
        if part is None or self.peer.interleaves:
            return part is not None
        return self.many._gets and part.lines == 1

    def _ready_part(self) -> Any:
        """Return the part if it can be carried as it is, with nothing to ask or to cut first."""
        peer: Any = self.peer
        if not (self._is_whole() and peer.is_valid):
            return None
        probe = self.many._probe(self.part)
        return self.part if probe is None or not probe.kinds & ~peer._proven else None

    def _end_part(self) -> None:
        """Take how the part ended that was carried as it is."""
        failure = self.part.failure
        if failure is not None:
            self.outcome = explained(failure)
            return
        self.outcome = [self.part.refusal]
        if not self.part.is_cut:  # as ``PartExchange.in_step``
            self.peer.end()

    def _own_indices(self) -> Any:
        if self.part is not None:
            self.indices = self.part.indices
        return self.indices


def divided(keys: list[Any], numbers: list[Any], shards: int, many: Any) -> list[Any]:
    """Return visits by number: of each shard, then of NOT_A_KEY and UNMAPPED."""
    visits: list[Any] = [None] * (shards + 2)  # the last two are NOT_A_KEY, -2, and UNMAPPED, -1
    at = 0
    if not len(keys) == len(numbers):
        raise ValueError(f"shards must be {len(keys)}, one a key, got {len(numbers)}")
    for number in numbers:
        if not -2 <= number < shards:
            raise ValueError(f"a shard must be in [-2, {shards}), got {number}")
        if number < 0:
            number += shards + 2
        visit = visits[number]
        if visit is None:
            visit = ShardVisit.__new__(ShardVisit)
            visits[number] = visit._set_up(many, None, None)
            visit.keys, visit.indices = [], []
        visit.keys.append(keys[at])
        visit.indices.append(at)
        at += 1  # noqa: SIM113  # in C an int, which enumerate's is not
    return visits


class ManyKeys:
    """An operation on many keys, all shards at once."""

    __slots__ = (
        "_after",
        "_batch",
        "_failed",
        "_fleet",
        "_gets",
        "_is_again",
        "_is_read",
        "_keys",
        "_manager",
        "_moved",
        "_protocol",
        "_rounds",
        "_sentinel",
        "visits",
    )
    __reduce_ex__ = refuse_copies

    def _start(
        self, manager: ShardManager, protocol: Protocol, keys: Any, sentinel: bool, rounds: int
    ) -> None:
        self._manager = manager
        self._protocol = protocol
        self._keys = keys
        self._sentinel = sentinel
        self._rounds = rounds
        self._gets = False
        self._is_read = self._is_again = False
        self._fleet: Fleet = manager.fleet()
        self._after: Any = None
        self._failed: Any = None  # indices, and the error they have, None where skipped
        # The indices of keys to ask for again: their server left the fleet meanwhile, or their
        # connection was lost.
        self._moved: Any = None
        self.visits: list[Any] = []

    def _where(self) -> tuple[Any, int, bytes]:
        """Return the placement, the number of shards and the prefix."""
        return self._fleet.placement, len(self._fleet.shards), self._protocol.prefix

    def _aim(self, batch: Any) -> None:
        """Choose the shards: of a batch that is sorted, or of keys that need a closer look."""
        shards = self._fleet.shards
        self._batch = batch
        if batch is not None:
            for part in batch.parts():
                visit = ShardVisit.__new__(ShardVisit)
                self._visit(visit._set_up(self, shards[part.shard], part))
            return
        if len(self._keys) == 1 and self._failure(self._keys[0], None) is not None:
            self._note([0], None)  # it has its error, whatever a placement makes of it
            return
        # A placement may be anybody's: it gets a list of its own, and so does this of its answer.
        numbers = list(self._fleet.of_many(self._keys.copy()))
        visits = divided(self._keys, numbers, len(shards), self)
        for number in range(len(shards)):
            visit = visits[number]
            if visit is not None:
                visit.shard = shards[number]
                self._visit(visit)
        nowhere, unmapped = visits[len(shards)], visits[len(shards) + 1]
        if nowhere is not None:  # each key has its own error
            [exchange] = self._exchanges(nowhere.keys, nowhere.indices, True)
            nowhere.outcome = [exchange.result()]
            self._put(nowhere)
        if unmapped is not None:
            for key, index in zip(unmapped.keys, unmapped.indices, strict=True):
                self._note([index], unmapped_error(key))

    def _visit(self, visit: ShardVisit) -> None:
        if takes(visit.shard, self._sentinel):
            self.visits.append(visit)
        else:
            self._note(visit._own_indices(), None)

    def _note(self, indices: list[int], error: Any) -> None:
        """Note that the keys at these indices failed, or were skipped."""
        if self._failed is None:
            self._failed = []
        self._failed.append((indices, error))

    def _check_open(self) -> None:
        """Raise ``ClientClosedError`` if the client was closed before a connection was borrowed."""
        for visit in self.visits:
            if visit.peer is not None:
                return
        require_open(self._manager)

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        after = self._after
        if after is None:
            if self._rounds == ROUNDS:
                self._check_open()
            self._collect()
            if self._moved:
                after = self._after = self._again([self._keys[index] for index in self._moved])
                if after.visits:
                    self.visits = after.visits
                    return True
        if after is not None:
            if after.take():
                self.visits = after.visits
                return True
            self._merge(after)
        self.visits = []  # which lead back here
        return False

    def _collect(self) -> None:
        cut: Any = None  # visits with answers of their own
        for visit in self.visits:
            outcome = visit.outcome
            is_error = isinstance(outcome, Exception)
            if is_error or (visit.part is not None and type(outcome[0]) is tuple):
                if visit.part is not None and self._gets:
                    self._batch.condemn(visit.part)
                indices = visit._own_indices()
                if not is_error and self._shortens(visit, outcome[0][0]):
                    self._move(indices)
                elif not is_error:
                    self._note(indices, (visit.shard, *outcome[0]))
                elif visit.is_to_repeat() or (
                    isinstance(outcome, LameDuckError)
                    and self._rounds > 1
                    and self._manager.fleet() is not self._fleet
                ):
                    self._is_again = self._is_again or visit.is_to_repeat()
                    self._move(indices)
                else:
                    self._note(indices, outcome)
            elif visit.part is None or outcome[0] is not None:
                if cut is None:
                    cut = []
                cut.append(visit)
        if self._batch is not None:
            self._take_batch(cut is not None)
        for visit in cut or ():
            self._put(visit)
        for indices, error in self._failed or ():
            # In a batch no key is at fault, so that the many that one failure is of have it alike.
            is_shared = self._batch is not None and type(error) is not tuple
            shared: Any = self._failure(self._keys[indices[0]], error) if is_shared else None
            for index in indices:
                key = self._keys[index]
                self._fail(index, key, shared if is_shared else self._failure(key, error))

    def _move(self, indices: list[int]) -> None:
        """Note that the keys at these indices are to be carried again."""
        if self._moved is None:
            self._moved = []
        self._moved += indices

    def _shortens(self, visit: Any, status: int) -> bool:
        """Return whether a get is to be sent again, from now on in shorter lines.

        memcached up to 1.6.12 answers a line with ERROR that came in pieces, if the first of them
        is longer than 1 KiB: it has freed the start of that before it looks at it. If it came in
        more, they close the connection.
        """
        if status != _UNKNOWN or not self._gets or not _is_long(visit):
            return False
        self._protocol.most_line = SHORT_LINE
        return True

    def _failure(self, key: Any, error: Any) -> Any:
        """Return the status and the error for a key, None if it was skipped.

        `error` may be a server's refusal of a whole part: the shard, the status and the text.
        """
        try:
            self._protocol._wire_key(key, self._protocol.prefix)
        except UsageError as wrong:  # which goes before what its shard did
            return _FAULTY, wrong
        if isinstance(error, tuple):
            shard, number, text = error
            status, own = server_error(number, text)
            return status, refused(shard, key, own)
        if error is None:
            return None
        return status_of(error), named(error, key) if len(self._keys) == 1 else error

    def _shards(self) -> dict[int, Shard]:
        """Return the shard of each key that was sent, by its index."""
        found = {}
        for visit in self.visits:
            for index in visit._own_indices():
                found[index] = visit.shard
        return found

    # What a kind of operation provides

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        """Return the exchanges for some keys: one if it may be `whole`, else one a chunk."""
        raise NotImplementedError

    def _probe(self, part: Any) -> Any:
        """Return what a server must know that is sent a part."""
        raise NotImplementedError

    def _take_batch(self, is_partial: bool) -> None:
        """Take the answers that the batch has."""
        raise NotImplementedError

    def _put(self, visit: Any) -> None:
        """Take the answers of a visit."""
        raise NotImplementedError

    def _fail(self, index: Any, key: Any, failure: Any) -> None:
        """Give a key a status and an error; None is skipped."""
        raise NotImplementedError

    def _again(self, keys: list[Any]) -> Any:
        """Return the operation on the keys that moved, for the fleet as it is now."""
        raise NotImplementedError

    def _merge(self, after: Any) -> None:
        """Take the answers of that operation."""
        raise NotImplementedError
