"""The policy of an operation over a fleet: which shards, what is retried, who learns of it. No I/O.

An operation is a step: its ``visits`` are exchanges on shards, which a driver carries over
connections, settling each; ``take`` takes what came of them, and returns whether there are more
visits. It follows a change of the fleet that meets it on the way. Errors name the shard.

A status stands beside every error, as it does where a server sends one: WRONG_VBUCKET for a key of
no shard, BUSY where every connection is on loan, TEMPORARY_FAILURE for failures of the network, and
INTERNAL_ERROR for a reply that cannot be trusted. Compiled as it stands (``steps.pxd``).
"""

from array import array
from collections.abc import Callable
from itertools import chain
from typing import Any

from .._kernels import batch as kernel
from .._kernels import wire_request
from .._kernels._guarded import FIELDS, text_of
from .._kernels._identity import refuse_copies
from ..errors import NetworkError, UsageError
from ..resource_pool import LameDuckError, PoolExhaustedError
from .errors import (
    ClientClosedError,
    ConnectionUnusableError,
    InvalidTypeError,
    NotSupportedError,
    ReplyError,
    UnmappedKeyError,
)
from .fleet.manager import ShardManager
from .fleet.placement import NOT_A_KEY
from .fleet.shards import Fleet, Shard, ShardState
from .protocol.ascii import STORE_WORDS
from .protocol.base import Protocol
from .protocol.chunks import key_chunks, mutation_chunks
from .protocol.exchange import (
    CountExchange,
    Exchange,
    GetExchange,
    GetManyExchange,
    MetaGetExchange,
    MutateExchange,
    PartExchange,
    server_error,
)
from .protocol.talk import Talk
from .responses import (
    CountResponse,
    GetResponse,
    MetaResponse,
    MutateResponse,
    failed_get,
    failed_mutate,
    fill_gets,
    list_mutations,
    one_get,
    skipped_count,
    skipped_get,
    skipped_meta,
    skipped_mutate,
    stored_mutate,
)
from .types import Item, Key, ResponseStatus

__all__ = [
    "AllShards",
    "Gets",
    "Mutations",
    "OneKey",
    "Values",
    "Visit",
    "closed",
    "located",
    "require_open",
    "settled",
    "takes",
    "together",
]

_OK = ResponseStatus.OK
_FAULTY = ResponseStatus.INVALID_ARGUMENTS
_CALLERS = (ResponseStatus.INVALID_ARGUMENTS, ResponseStatus.NOT_SUPPORTED)
_NO_TOKENS = (Item("", b""),)
_ROUNDS = 3  # how many changes of the fleet one operation follows

# What stands for an exchange that was not carried: its kind, as skipped, as failed.
_KINDS: tuple[tuple[type[Exchange], Callable[[Key], Any], Callable[..., Any]], ...] = (
    (MetaGetExchange, skipped_meta, lambda k, s, e: MetaResponse(k, s, error=e)),
    (GetExchange, skipped_get, failed_get),
    (CountExchange, skipped_count, lambda k, s, e: CountResponse(k, s, 0, e)),
    (MutateExchange, skipped_mutate, failed_mutate),
)


# Errors and what stands for an answer


def status_of(error: Exception) -> ResponseStatus:
    """Return the status that goes with an error."""
    if isinstance(error, UnmappedKeyError):
        return ResponseStatus.WRONG_VBUCKET
    if isinstance(error, (PoolExhaustedError, LameDuckError)):
        return ResponseStatus.BUSY
    if isinstance(error, NetworkError):
        return ResponseStatus.TEMPORARY_FAILURE
    if isinstance(error, NotSupportedError):
        return ResponseStatus.NOT_SUPPORTED
    if isinstance(error, UsageError):
        return ResponseStatus.INVALID_ARGUMENTS
    return ResponseStatus.INTERNAL_ERROR


def closed(manager: Any) -> ClientClosedError | None:
    """Return the error for an operation over a manager that was closed; None if it is open."""
    if getattr(manager, "is_closed", False):
        return ClientClosedError("the client was closed, or the shard manager that it goes over")
    return None


def require_open(manager: Any) -> None:
    """Raise ``ClientClosedError`` if a manager was closed."""
    error = closed(manager)
    if error is not None:
        raise error


def located(shard: Shard, error: Exception) -> Exception:
    """Return a connection's error as the same error of a shard, whose id its fields have too."""
    if isinstance(error, NotSupportedError) and "address" in error.fields:
        fields = {**error.fields, "shard": shard.id, "address": shard.address}
        return NotSupportedError(f"shard {shard.id} at {error}", **fields)
    if not isinstance(error, (NetworkError, ReplyError)) or "shard" in error.fields:
        return error
    fields = {**error.fields, "shard": shard.id, "address": shard.address}
    try:
        found = type(error)(f"shard {shard.id} at {shard.address}: {text_of(error)}")
        found.__dict__[FIELDS] = fields  # one of them may have the name of an argument
        found.__cause__ = error.__cause__
    except Exception:
        return error  # a class of a user's channel, which takes something else
    return found


def settled(manager: Any, shard: Shard, error: Exception) -> Exception:
    """Tell the manager of a failure; return the error as its caller gets it."""
    if isinstance(error, (NetworkError, ReplyError)):
        manager.failed(shard, error)
    elif isinstance(error, LameDuckError):
        return closed(manager) or error
    return located(shard, error)


def together(errors: list[Exception], asked: int) -> tuple[ResponseStatus, Exception | None]:
    """Return the status and the error of an operation on `asked` servers, some of which failed."""
    if not errors:
        return _OK, None
    if len(errors) == 1:
        return status_of(errors[0]), errors[0]
    message = f"{len(errors)} of {asked} shards failed: " + "; ".join(map(str, errors))
    status = status_of(errors[0])
    return status, NetworkError(message, cause=ExceptionGroup(message, errors))


def _kind(exchange: Exchange) -> tuple[Any, Callable[[Key], Any], Callable[..., Any]]:
    for kind in _KINDS:
        if isinstance(exchange, kind[0]):
            return kind
    raise InvalidTypeError(f"make must give an exchange of one key, got {exchange!r}")


def _failed(exchange: Any, error: Exception) -> Any:
    """Return the answer to an exchange with one key that failed."""
    return _kind(exchange)[2](exchange.key, status_of(error), error)


def _unmapped(key: Key) -> UnmappedKeyError:
    return UnmappedKeyError(f"no shard has the key {key!r:.200}")


def _forgiven(answer: Any) -> Any:
    """Return the answer to a sentinel's write on a server that warms up: a failure is a success.

    A mistake of the caller, or a command that the server does not know, stays an error.
    """
    if not isinstance(answer, MutateResponse) or answer.ok or answer.skipped:
        return answer
    if isinstance(answer.error, UsageError) and answer.status in _CALLERS:
        return answer
    return stored_mutate(answer.key, _OK)


def takes(shard: Shard, sentinel: bool) -> bool:
    """Return whether an operation may go to a shard now."""
    if not (shard.takes_sentinels if sentinel else shard.serves):
        return False
    return not shard.is_watched or not shard.is_ejected or shard.admits()


# One shard


class Visit(Talk):
    """Exchanges on one shard; `handle` is the loan of the connection, if there is one.

    A visit whose connection turns out to be stale before anything was sent is to be made again,
    over another.
    """

    __slots__ = ("handle", "shard")

    def __init__(self, shard: Shard, exchanges: list[Exchange]) -> None:
        self.shard = shard
        self.handle: Any = None
        self._start(None, exchanges)

    def is_stale(self, moment: float) -> bool:
        """Return whether a connection made before a moment failed before anything was sent."""
        outcome = self.outcome
        if not isinstance(outcome, Exception) or self.peer is None:
            return False
        if not isinstance(outcome, (NetworkError, ReplyError, ConnectionUnusableError)):
            return False
        has_begun = self.peer.has_begun and not isinstance(outcome, ConnectionUnusableError)
        return not has_begun and self.peer.opened < moment

    def settle(self, manager: ShardManager) -> None:
        """Tell the manager how the visit ended, and name the shard in its error."""
        outcome = self.outcome
        if isinstance(outcome, Exception):
            self.outcome = settled(manager, self.shard, outcome)
        elif self.shard.is_watched and self.shard.failures:
            manager.succeeded(self.shard)


class OneKey(Visit):
    """An operation on one key: `answer` is what it comes to."""

    __slots__ = ("_fleet", "_key", "_manager", "_rounds", "_sentinel", "answer")

    def __init__(self, manager: ShardManager, key: Key, exchange: Exchange, sentinel: bool) -> None:
        self._manager = manager
        self._key = key
        self._sentinel = sentinel
        self._rounds = _ROUNDS
        self.handle = None
        self.answer: Any = None
        self._start(None, [exchange])

    def aim(self) -> bool:
        """Choose the shard; return False if there is an answer at once."""
        fleet: Fleet = self._manager.fleet()
        number = fleet.of(self._key)
        if number < 0:
            self.answer = _failed(self.exchanges[0], _unmapped(self._key))
            return False
        shard = fleet.shards[number]
        if not takes(shard, self._sentinel):
            require_open(self._manager)
            exchange: Any = self.exchanges[0]
            self.answer = _kind(exchange)[1](exchange.key)
            return False
        self._fleet = fleet
        self.shard = shard
        return True

    def take(self) -> bool:
        """Take the answer, or raise; return True if the operation is to go to another shard."""
        outcome = self.outcome
        forgives = self._sentinel and self.shard.is_warming_up
        if not isinstance(outcome, Exception):
            self.answer = outcome[0]
        elif isinstance(outcome, LameDuckError):
            self._rounds -= 1
            if self._manager.fleet() is self._fleet:
                raise outcome
            if self._rounds == 0:
                raise LameDuckError(f"the fleet changed {_ROUNDS} times during one operation")
            return self.aim()
        elif (
            self._sentinel and shard.is_warming_up and isinstance(self.exchanges[0], MutateExchange)
        ):
            self.answer = _failed(self.exchanges[0], outcome)
        else:
            raise outcome
        if self._sentinel and shard.is_warming_up:
            self.answer = _forgiven(self.answer)
        return False


# Many keys


class ShardVisit(Visit):
    """One shard's keys of a batch, which are at these indices of it."""

    __slots__ = ("_many", "indices", "keys", "number")

    def __init__(self, number: int, step: Any) -> None:
        self.number = number
        self.keys: list[Any] = []
        self.indices: list[int] = []
        self._many = step
        self.handle = None
        self._start(None, None)

    def _begin(self) -> None:
        self.exchanges = self._many._exchanges(self.keys, self.indices, self.peer.interleaves)


class PartVisit(Visit):
    """One shard's part of a batch."""

    __slots__ = ("_many", "part")

    def __init__(self, shard: Shard, part: Any, step: Any) -> None:
        self.shard = shard
        self.part = part
        self._many = step
        self.handle = None
        self._start(None, None)

    def _begin(self) -> None:
        self.exchanges = self._many._part_exchanges(self.part, self.peer.interleaves)


def divided(keys: list[Any], numbers: list[Any], shards: int, step: Any) -> list[Any]:
    """Return a visit for each number that keys have: a shard's id, or a negative number."""
    visits: list[ShardVisit] = []
    found: list[ShardVisit | None] = [None] * (shards + 2)  # the first two are for -2 and -1
    at = 0
    if not len(keys) == len(numbers):
        raise ValueError(f"places must be {len(keys)}, one a key, got {len(numbers)}")
    for number in numbers:
        if not -2 <= number < shards:
            raise ValueError(f"a shard must be in [-2, {shards}), got {number}")
        visit = found[number + 2]
        if visit is None:
            visit = ShardVisit(number, step)
            found[number + 2] = visit
            visits.append(visit)
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
        if rounds == _ROUNDS:
            require_open(manager)
        self._manager = manager
        self._protocol = protocol
        self._keys = keys
        self._sentinel = sentinel
        self._rounds = rounds
        self._fleet: Fleet = manager.fleet()
        self._after: Any = None
        self._failed: list[Any] = []  # indices, and the error they have, None where skipped
        self._moved: list[int] = []  # the indices of keys whose server left the fleet meanwhile
        self.visits: list[Any] = []

    def _aim(self, batch: Any) -> None:
        self._batch = batch
        if batch is not None:
            self._visit_parts(batch)
        else:
            self._visit_shards()

    def _visit_parts(self, batch: Any) -> None:
        for part in batch.parts():
            shard = self._fleet.shards[part.shard]
            if takes(shard, self._sentinel):
                self.visits.append(PartVisit(shard, part, self))
            else:
                self._failed.append((part.indices, None))

    def _visit_shards(self) -> None:
        # A placement may be anybody's: it gets a list of its own, and so does this of its answer.
        numbers = list(self._fleet.of_many(self._keys.copy()))
        for visit in divided(self._keys, numbers, len(self._fleet.shards), self):
            if visit.number == NOT_A_KEY:
                [exchange] = self._exchanges(visit.keys, visit.indices, True)
                visit.outcome = [exchange.result()]
                self._put(visit)
            elif visit.number < 0:
                for key, index in zip(visit.keys, visit.indices, strict=True):
                    self._failed.append(([index], _unmapped(key)))
            else:
                visit.shard = self._fleet.shards[visit.number]
                if takes(visit.shard, self._sentinel):
                    self.visits.append(visit)
                else:
                    self._failed.append((visit.indices, None))

    # What a kind of operation provides

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        """Return the exchanges for some keys: one if it may be `whole`, else one a chunk."""
        raise NotImplementedError

    def _part_exchanges(self, part: Any, whole: bool) -> list[Exchange]:
        """Return the exchanges for a part of the batch."""
        raise NotImplementedError

    def _collect(self) -> None:
        """Take what the visits came to."""
        raise NotImplementedError

    def _put(self, visit: Any) -> None:
        """Take the answers of one shard's visit."""
        raise NotImplementedError

    def _again(self, moved: list[int]) -> Any:
        """Return the operation on the keys at these indices, for the fleet as it is now."""
        raise NotImplementedError

    def _merge(self, after: Any) -> None:
        """Take the answers of that operation."""
        raise NotImplementedError

    def _fail(self, indices: list[int], error: Any) -> None:
        """Give the keys at these indices an error, or a status and an error; None is skipped."""
        raise NotImplementedError

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        if self._after is None:
            self._collect()
            if self._moved:
                self._after = self._again(self._moved)
        if self._after is not None:
            if self._after.visits and self.visits is not self._after.visits:
                self.visits = self._after.visits
                return True
            if self._after.take():
                self.visits = self._after.visits
                return True
            self._merge(self._after)
        self.visits = []
        return False

    def _has_moved(self, visit: Visit, indices: list[int]) -> bool:
        """Return whether a visit found its server gone from the fleet; then its keys go again."""
        if (
            not isinstance(visit.outcome, LameDuckError)
            or self._rounds <= 1
            or self._manager.fleet() is self._fleet
        ):
            return False
        self._moved += indices
        return True

    def _wrong_with(self, key: Any) -> UsageError | None:
        """Return why a key may not be sent, which goes before what its shard did."""
        try:
            self._protocol._wire_key(key, self._protocol.prefix)
        except UsageError as error:
            return error
        return None


class Gets(ManyKeys):
    """A get of many keys: `answers` has a response for each.

    With `bare`, no tokens are asked for: `found` has the values without flags, `answers` the other
    responses but misses.
    """

    __slots__ = ("_bare", "answers", "found")

    def __init__(
        self,
        manager: ShardManager,
        protocol: Protocol,
        keys: list[Any],
        sentinel: bool,
        bare: bool,
        rounds: Any = _ROUNDS,
    ) -> None:
        self._start(manager, protocol, keys, sentinel, rounds)
        self._bare = bare
        self.found: dict[Key, bytes] = {}
        self.answers: dict[Key, Any] = {}
        batch = None
        if protocol.is_text:
            fleet = self._fleet
            shards = len(fleet.shards)
            batch = kernel.batch_of_keys(keys, fleet.placement, shards, protocol.prefix, bare)
        if batch is None:
            self.answers = dict.fromkeys(_hashable(keys))
            self._keys = list(self.answers)
        self._aim(batch)

    def _part_exchanges(self, part: Any, whole: bool) -> list[Exchange]:
        return [PartExchange(part, self._protocol.probe)]

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        protocol = self._protocol
        if not whole:
            return [protocol.get_multi(part) for part in key_chunks(protocol, keys)]
        if not protocol.encodes:
            try:
                request, reply = protocol._gets(keys, protocol.prefix, True)
            except (TypeError, ValueError):
                pass  # of a key that may not be sent, or that is there twice
            else:
                more = (self.answers, keys, protocol.prefix, None, protocol.probe)
                return [GetManyExchange(request, reply, *more)]
        return [protocol.get_multi(keys)]

    def _put(self, visit: ShardVisit) -> None:
        for answers in visit.outcome:
            if answers is not self.answers:
                self.answers.update(answers)

    def _collect(self) -> None:
        if self._batch is None:
            for visit in self.visits:
                if not isinstance(visit.outcome, Exception):
                    self._put(visit)
                elif not self._has_moved(visit, visit.indices):
                    self._failed.append((visit.indices, visit.outcome))
        else:
            self._collect_parts()
        for indices, error in self._failed:
            self._fail(indices, error)
        if self._bare and self._batch is None:
            answers, self.answers = self.answers, {}
            self._split(answers)

    def _collect_parts(self) -> None:
        batch = self._batch
        for visit in self.visits:
            outcome = visit.outcome
            if isinstance(outcome, Exception):
                batch.condemn(visit.part)
                indices = visit.part.indices
                if not self._has_moved(visit, indices):
                    self._failed.append((indices, outcome))
            elif outcome[0] is not None:
                batch.condemn(visit.part)
                self._failed.append((visit.part.indices, server_error(*outcome[0])))
        if self._bare:
            self.found, others = batch.values()
            for key, value, flags in others:
                self.answers[key] = one_get(key, value, flags, 0)
            return
        keys = self._keys
        values, flags, cas = batch.answers()
        self.answers = wire_request.roomy_dict(len(keys))
        fill_gets(self.answers, keys, values, flags, cas)
        if len(self.answers) != len(keys):
            # A key given twice is found if it was found once: a server may merge the two.
            for key, value, mark, token in zip(keys, values, flags, cas, strict=True):
                if value is not None:
                    self.answers[key] = one_get(key, value, mark, token)

    def _fail(self, indices: list[int], error: Any) -> None:
        for index in indices:
            key = self._keys[index]
            wrong = self._wrong_with(key)
            self.found.pop(key, None)
            if wrong is not None:
                self.answers[key] = failed_get(key, _FAULTY, wrong)
            elif error is None:
                self.answers[key] = skipped_get(key)
            elif isinstance(error, tuple):
                self.answers[key] = failed_get(key, *error)
            else:
                self.answers[key] = failed_get(key, status_of(error), error)

    def _split(self, answers: dict[Key, GetResponse]) -> None:
        """Put the values without flags into `found`, and what is neither that nor a miss aside."""
        for key, answer in answers.items():
            if answer is None:
                continue  # it goes to another server yet
            if answer.value and not answer.flags:
                self.found[key] = answer.value
            elif answer.value is not None or answer.error is not None or answer.skipped:
                self.answers[key] = answer

    def _again(self, moved: list[int]) -> "Gets":
        keys = [self._keys[index] for index in moved]
        for key in keys:
            self.found.pop(key, None)
            if self._bare:
                self.answers.pop(key, None)
        rounds = self._rounds - 1
        return Gets(self._manager, self._protocol, keys, self._sentinel, self._bare, rounds)

    def _merge(self, after: "Gets") -> None:
        found = {**self.found, **after.found}
        self.found = {key: found[key] for key in self._keys if key in found}
        self.answers.update(after.answers)


def _hashable(keys: list[Any]) -> list[Any]:
    """Return the keys of a batch, or raise for one that cannot be told from others."""
    for key in keys:
        try:
            hash(key)
        except TypeError:
            raise InvalidTypeError(f"key must be str or bytes, got {key!r:.200}") from None
    return keys


class Mutations(ManyKeys):
    """A batch of stores or deletes: `answers` has a response for each item or key, in their order.

    `make` gives the exchange for some of `things`, which are items, or else keys. With `verb`, it
    is the ASCII command that stores items with no token.
    """

    __slots__ = ("_make", "_things", "answers")

    def __init__(
        self,
        manager: ShardManager,
        protocol: Protocol,
        make: Callable[[list[Any]], Exchange],
        things: list[Any],
        of_items: bool,
        sentinel: bool,
        verb: Any = None,
        rounds: Any = _ROUNDS,
    ) -> None:
        keys = things
        if of_items:
            keys = [item[0] if isinstance(item, Item) else None for item in things]
        self._start(manager, protocol, keys, sentinel, rounds)
        self._make = make
        self._things: Any = things
        self.answers: list[Any] = []
        batch = None
        if verb is not None:
            where = (self._fleet.placement, len(self._fleet.shards), protocol.prefix)
            batch = kernel.batch_of_items(things, *where, Item, verb, STORE_WORDS)
        if batch is None:
            self.answers = [None] * len(things)
        self._aim(batch)

    def _items(self, indices: list[int]) -> list[Any]:
        return [self._things[index] for index in indices]

    def _part_exchanges(self, part: Any, whole: bool) -> list[Exchange]:
        if not whole:
            return self._exchanges([], part.indices, False)
        return [PartExchange(part, self._probe(part))]

    def _probe(self, part: Any) -> Any:
        return self._protocol._store_probe("set", self._items(part.indices))

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        things = self._items(indices)
        parts = [things] if whole else mutation_chunks(things, False)
        return [self._make(part) for part in parts]

    def _put(self, visit: Any) -> None:
        self._put_at(visit.indices, visit.outcome)

    def _put_at(self, indices: list[int], outcome: list[Any]) -> None:
        """Put the answers of one shard where those of its keys belong."""
        some = outcome[0] if len(outcome) == 1 else [*chain(*outcome)]
        for index, answer in zip(indices, some, strict=True):
            self.answers[index] = answer

    def _collect(self) -> None:
        if self._batch is not None:
            self._collect_parts()
        else:
            for visit in self.visits:
                if not isinstance(visit.outcome, Exception):
                    self._put(visit)
                elif not self._has_moved(visit, visit.indices):
                    self._failed.append((visit.indices, visit.outcome))
        for indices, error in self._failed:
            self._fail(indices, error)
        if self._sentinel:
            for visit in self.visits:
                if visit.shard.is_warming_up:
                    for index in visit.indices:
                        self.answers[index] = _forgiven(self.answers[index])

    def _collect_parts(self) -> None:
        cut: list[Any] = []  # what went over connections in chunks
        for visit in self.visits:
            outcome = visit.outcome
            if isinstance(outcome, Exception):
                indices = visit.part.indices
                if not self._has_moved(visit, indices):
                    self._failed.append((indices, outcome))
            elif isinstance(outcome[0], list):
                cut.append(visit)
            elif outcome[0] is not None:
                self._failed.append((visit.part.indices, server_error(*outcome[0])))
        statuses, refusals = self._batch.outcomes()
        self.answers = self._listed(statuses, refusals, bool(cut or self._moved))
        for index, (number, text) in refusals.items():
            self.answers[index] = failed_mutate(self._keys[index], *server_error(number, text))
        for visit in cut:
            self._put_at(visit.part.indices, visit.outcome)

    def _listed(self, statuses: bytes, refusals: Any, is_partial: bool) -> list[Any]:
        keys = self._keys
        answers: list[Any] = list_mutations(keys, statuses, array("Q", bytes(8 * len(keys))))
        return answers

    def _fail(self, indices: list[int], error: Any) -> None:
        for index in indices:
            key = self._keys[index]
            wrong = self._wrong_with(key)
            if wrong is not None:
                self.answers[index] = failed_mutate(key, _FAULTY, wrong)
            elif error is None:
                self.answers[index] = skipped_mutate(key)
            elif isinstance(error, tuple):
                self.answers[index] = failed_mutate(key, *error)
            else:
                self.answers[index] = failed_mutate(key, status_of(error), error)

    def _again(self, moved: list[int]) -> "Mutations":
        args = (self._manager, self._protocol, self._make, self._items(moved))
        of_items = self._keys is not self._things
        return Mutations(*args, of_items, self._sentinel, None, self._rounds - 1)

    def _merge(self, after: "Mutations") -> None:
        for index, answer in zip(self._moved, after.answers, strict=True):
            self.answers[index] = answer


def _are_stored(answers: list[Any]) -> bool:
    return all(answer.ok for answer in answers)


class Values(Mutations):
    """A batch of values to set, with no tokens; `answers` is empty if all were stored.

    `flags` are one a value, or None for 0 each; `expire` is for all.
    """

    __slots__ = ("_expire", "_flags", "_values")

    def __init__(
        self,
        manager: ShardManager,
        protocol: Protocol,
        keys: list[Any],
        values: list[Any],
        flags: Any,
        expire: Any,
    ) -> None:
        self._start(manager, protocol, keys, False, _ROUNDS)
        self._make = protocol.set_multi
        self._things = None
        self._values = values
        self._flags = flags
        self._expire = expire
        self.answers = []
        batch = None
        if protocol.is_text:
            where = (self._fleet.placement, len(self._fleet.shards), protocol.prefix)
            given = (keys, values, flags, expire)
            batch = kernel.batch_of_values(*given, *where, b"set ", STORE_WORDS)
        if batch is None:
            self.answers = [None] * len(keys)
        self._aim(batch)

    def _items(self, indices: list[int]) -> list[Any]:
        keys, values, flags = self._keys, self._values, self._flags
        return [
            Item(keys[i], values[i], 0 if flags is None else flags[i], 0, self._expire)
            for i in indices
        ]

    def _probe(self, part: Any) -> Any:
        return self._protocol._store_probe("set", _NO_TOKENS)

    def _listed(self, statuses: bytes, refusals: Any, is_partial: bool) -> list[Any]:
        is_whole = not (is_partial or refusals or self._failed)
        if is_whole and statuses == bytes(len(statuses)):
            return []
        return Mutations._listed(self, statuses, refusals, is_partial)

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        goes_on = Mutations.take(self)
        if not goes_on and _are_stored(self.answers):
            self.answers = []
        return goes_on


# All shards


class AllShards:
    """An exchange on every shard that is not DOWN."""

    __slots__ = ("visits",)

    def __init__(self, manager: ShardManager, make: Callable[[], Any]) -> None:
        require_open(manager)
        shards = manager.fleet().shards
        self.visits = [Visit(each, [make()]) for each in shards if each.state != ShardState.DOWN]

    def result(self) -> tuple[list[tuple[int, Any]], ResponseStatus, Exception | None]:
        """Return the answers with their shards' ids, the status of all, and what went wrong."""
        answers: list[tuple[int, Any]] = []
        errors: list[Exception] = []
        for visit in self.visits:
            if isinstance(visit.outcome, Exception):
                errors.append(visit.outcome)
            else:
                answer = visit.outcome[0]
                answers.append((visit.shard.id, answer))
                if answer.error is not None:
                    errors.append(answer.error)
        return answers, *together(errors, len(self.visits))
