"""The policy of an operation over a fleet: which shards, what is retried, who learns of it. No I/O.

An operation is a step: its ``visits`` are exchanges on shards, which a driver carries over
connections, settling each; ``take`` takes what came of them, and returns whether there are more
visits. It follows a change of the fleet that meets it on the way. Errors name the shard.

A status stands beside every error, as it does where a server sends one: WRONG_VBUCKET for a key of
no shard, BUSY where every connection is on loan, TEMPORARY_FAILURE for failures of the network, and
INTERNAL_ERROR for a reply that cannot be trusted. Compiled as it stands (``steps.pxd``).
"""

from array import array
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from .._kernels import batch as kernel
from .._kernels import wire_request
from .._kernels._guarded import FIELDS, brief, set_args, text_of
from .._kernels._identity import refuse_copies
from ..errors import NetworkError, UsageError
from ..resource_pool import LameDuckError, PoolExhaustedError
from .errors import (
    ClientClosedError,
    ConnectionUnusableError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ReplyError,
    ServerError,
    UnmappedKeyError,
)
from .fleet.manager import ShardManager
from .fleet.shards import Fleet, Shard, ShardState
from .keys import by_key
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
from .protocol.talk import Talk, explained
from .responses import (
    CountResponse,
    MetaResponse,
    MutateResponse,
    Response,
    StatsResponse,
    VersionResponse,
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
    "checked_values",
    "closed",
    "located",
    "one_key",
    "refused",
    "require_open",
    "settled",
    "takes",
    "together",
]

_OK = ResponseStatus.OK
_FAULTY = ResponseStatus.INVALID_ARGUMENTS
_CALLERS = (ResponseStatus.INVALID_ARGUMENTS, ResponseStatus.NOT_SUPPORTED)
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
        lacking = NotSupportedError(f"shard {shard.id} at {error}", **fields)
        lacking.__cause__ = error.__cause__
        return lacking
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


def refused(shard: Shard, key: Any, error: Any, size: Any = None) -> Any:
    """Return a server's refusal, which names the shard and the key from now on.

    The error is that of one answer alone. `key` is None for an operation on a whole server, and
    `size` is that of the value, in bytes, if there is one and it is known.
    """
    if type(error) is not ServerError or "shard" in error.fields:
        return error
    fields = {**error.fields, "reply": error.message}
    fields |= {"shard": shard.id, "address": shard.address}
    more = []
    if key is not None:
        fields["key"] = key
        more.append(f"key {brief(key)}")
    if size is not None and fields.get("status") is ResponseStatus.VALUE_TOO_LARGE:
        fields["size"] = size
        more.append(f"{size} bytes; the limit is the server's option -I, by default 1 MiB")
    end = f" ({', '.join(more)})" if more else ""
    set_args(error, (f"shard {shard.id} at {shard.address}: {error.message}{end}",))
    error.__dict__[FIELDS] = fields
    return error


def _size_of(exchange: Any) -> int | None:
    """Return the size of the value of a store; None if it is not sent by itself, as large ones."""
    sizes = [memoryview(part).nbytes for part in exchange.request]
    return max(sizes) if len(sizes) > 1 else None


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
    return UnmappedKeyError(f"no shard has the key {brief(key)}")


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
        self._prepare(exchanges)

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

    def _set_up(self, manager: ShardManager, key: Key, exchange: Exchange, sentinel: bool) -> bool:
        """Be new, in less time than an ``__init__`` takes, and ``aim``."""
        self._manager = manager
        self._key = key
        self._sentinel = sentinel
        self._rounds = _ROUNDS
        self.handle = None
        self.answer: Any = None
        self._prepare([exchange])
        return self.aim()

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
        outcome, self.outcome = self.outcome, None
        forgives = self._sentinel and self.shard.is_warming_up
        if not isinstance(outcome, Exception):
            self.answer = outcome[0]
            error = getattr(self.answer, "error", None)
            if error is not None:
                refused(self.shard, self._key, error, _size_of(self.exchanges[0]))
        elif isinstance(outcome, LameDuckError) and self._manager.fleet() is not self._fleet:
            self._rounds -= 1
            if self._rounds == 0:
                raise LameDuckError(f"the fleet changed {_ROUNDS} times during one operation")
            return self.aim()
        elif (
            forgives
            and isinstance(outcome, (NetworkError, ReplyError, UsageError))
            and isinstance(self.exchanges[0], MutateExchange)
        ):
            self.answer = _failed(self.exchanges[0], outcome)
        else:
            try:
                raise outcome
            finally:
                del outcome  # its traceback holds this frame
        if forgives:
            self.answer = _forgiven(self.answer)
        return False


def one_key(
    manager: ShardManager, key: Key, exchange: Exchange, sentinel: bool
) -> tuple[OneKey, bool]:
    """Return an operation on one key, and whether it has a visit to make."""
    step = OneKey.__new__(OneKey)
    goes_on = step._set_up(manager, key, exchange, sentinel)
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
        self._prepare(None)
        return self

    def _begin(self) -> None:
        whole = self.peer.interleaves
        if self.part is not None and (whole or self.many._gets):
            exchange = PartExchange.__new__(PartExchange)
            self.exchanges = [exchange._set_up(self.part, self.many._probe(self.part))]
        else:
            self.exchanges = self.many._exchanges(self.keys, self._own_indices(), whole)

    def _ready_part(self) -> Any:
        """Return the part if it can be carried as it is, with nothing to ask or to cut first."""
        peer: Any = self.peer
        if self.part is None or not (peer.interleaves or self.many._gets) or not peer.is_valid:
            return None
        probe = self.many._probe(self.part)
        return self.part if probe is None or not probe.kinds & ~peer._proven else None

    def _end_part(self) -> None:
        """Take how the part ended that was carried as it is."""
        failure = self.part.failure
        if failure is not None:
            self.outcome = explained(failure)
            return
        refusal = self.part.refusal
        self.outcome = [refusal]
        if refusal is None or len(self.part.indices) == 1:  # as ``PartExchange.in_step``
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
        self._fleet: Fleet = manager.fleet()
        self._after: Any = None
        self._failed: Any = None  # indices, and the error they have, None where skipped
        self._moved: Any = None  # the indices of keys whose server left the fleet meanwhile
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
        if len(self._keys) == 1 and self._error_of(self._keys[0], None) is not None:
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
                self._note([index], _unmapped(key))

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
            if self._rounds == _ROUNDS:
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
                if not is_error:
                    self._note(indices, (visit.shard, *outcome[0]))
                elif (
                    isinstance(outcome, LameDuckError)
                    and self._rounds > 1
                    and self._manager.fleet() is not self._fleet
                ):
                    if self._moved is None:
                        self._moved = []
                    self._moved += indices
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
            for index in indices:
                self._fail(index, self._keys[index], error)

    def _error_of(self, key: Any, error: Any) -> Any:
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
        return None if error is None else (status_of(error), error)

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

    def _fail(self, index: Any, key: Any, error: Any) -> None:
        """Give a key an error, or that of a refusal; None is skipped."""
        raise NotImplementedError

    def _again(self, keys: list[Any]) -> Any:
        """Return the operation on the keys that moved, for the fleet as it is now."""
        raise NotImplementedError

    def _merge(self, after: Any) -> None:
        """Take the answers of that operation."""
        raise NotImplementedError


class Gets(ManyKeys):
    """A get of many keys: `answers` has a response for each.

    With `bare`, no tokens are asked for: `found` has the values without flags, `answers` the other
    responses but misses. If `flagged` is a list by then, values with flags go there instead where
    they can, as tuples of key, value and flags, which takes less than a response for each.
    """

    __slots__ = ("_bare", "answers", "flagged", "found")

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
        self._gets = True
        self.flagged: list[Any] | None = None
        self.found: dict[Key, bytes] = {}
        self.answers: dict[Key, Any] = {}
        batch = kernel.batch_of_keys(keys, *self._where(), bare) if protocol.is_text else None
        if batch is None:
            self.answers = by_key(keys)
            self._keys = list(self.answers)
        self._aim(batch)

    def _probe(self, part: Any) -> Any:
        return self._protocol.probe

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        protocol = self._protocol
        if not whole:
            return [protocol.get_multi(chunk) for chunk in key_chunks(protocol, keys)]
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
        for key in visit.keys or [self._keys[index] for index in visit._own_indices()]:
            error = self.answers[key].error
            if error is not None:
                refused(visit.shard, key, error)

    def _take_batch(self, is_partial: bool) -> None:
        if self._bare:
            self.found, others = self._batch.values()
            if self.flagged is not None:
                self.flagged = others
                return
            for key, value, flags in others:
                self.answers[key] = one_get(key, value, flags, 0)
            return
        keys = self._keys
        values, flags, cas = self._batch.answers()
        self.answers = wire_request.roomy_dict(len(keys))
        fill_gets(self.answers, keys, values, flags, cas)
        if len(self.answers) != len(keys):
            # A key given twice is found if it was found once: a server may merge the two.
            for key, value, mark, token in zip(keys, values, flags, cas, strict=True):
                if value is not None:
                    self.answers[key] = one_get(key, value, mark, token)

    def _fail(self, index: Any, key: Any, error: Any) -> None:
        failure = self._error_of(key, error)
        self.found.pop(key, None)
        self.answers[key] = skipped_get(key) if failure is None else failed_get(key, *failure)

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        goes_on = ManyKeys.take(self)
        if not goes_on and self._bare and self._batch is None:
            answers, self.answers = self.answers, {}
            for key, answer in answers.items():
                if answer.value and not answer.flags:
                    self.found[key] = answer.value
                elif answer.value is not None or answer.error is not None or answer.skipped:
                    self.answers[key] = answer
        return goes_on

    def _again(self, keys: list[Any]) -> Any:
        bare = self._bare and self._batch is not None
        return Gets(self._manager, self._protocol, keys, self._sentinel, bare, self._rounds - 1)

    def _merge(self, after: Any) -> None:
        found = {**self.found, **after.found}
        self.found = {key: found[key] for key in self._keys if key in found}
        self.answers.update(after.answers)


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
        batch = None
        if verb is not None:
            batch = kernel.batch_of_items(things, *self._where(), Item, verb, STORE_WORDS)
        self.answers: list[Any] = [None] * len(things)
        self._aim(batch)

    def _items(self, indices: list[int]) -> list[Any]:
        return [self._things[index] for index in indices]

    def _probe(self, part: Any) -> Any:
        return self._protocol._store_probe("set", self._items(part.indices))

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        things = self._items(indices)
        chunks = [things] if whole else mutation_chunks(things)
        return [self._make(chunk) for chunk in chunks]

    def _put(self, visit: ShardVisit) -> None:
        outcome = visit.outcome
        some = outcome[0] if len(outcome) == 1 else [*chain(*outcome)]
        for index, answer in zip(visit.indices, some, strict=True):
            self.answers[index] = answer
            if answer.error is not None:
                self._name(visit.shard, index, answer.error)

    def _take_batch(self, is_partial: bool) -> None:
        statuses, refusals = self._batch.outcomes()
        keys = self._keys
        self.answers = list_mutations(keys, statuses, array("Q", bytes(8 * len(keys))))
        if not refusals:
            return
        shards = self._shards()
        for index, (number, text) in refusals.items():
            status, error = server_error(number, text)
            self._name(shards[index], index, error)
            self.answers[index] = failed_mutate(keys[index], status, error)

    def _shards(self) -> dict[int, Shard]:
        """Return the shard of each key that was sent, by its index."""
        found = {}
        for visit in self.visits:
            for index in visit._own_indices():
                found[index] = visit.shard
        return found

    def _name(self, shard: Shard, index: Any, error: Any) -> None:
        """Name a key and its shard in an error, if it is a server's refusal."""
        if type(error) is not ServerError:
            return
        [thing] = self._items([index])
        size = memoryview(thing.value).nbytes if isinstance(thing, Item) else None
        refused(shard, self._keys[index], error, size)

    def _fail(self, index: Any, key: Any, error: Any) -> None:
        failure = self._error_of(key, error)
        self.answers[index] = (
            skipped_mutate(key) if failure is None else failed_mutate(key, *failure)
        )

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        visits = self.visits if self._sentinel and self._after is None else []
        goes_on = ManyKeys.take(self)
        for visit in visits:
            if visit.shard.is_warming_up:
                for index in visit.indices:
                    self.answers[index] = _forgiven(self.answers[index])
        return goes_on

    def _again(self, keys: list[Any]) -> Any:
        things, rounds = self._items(self._moved), self._rounds - 1
        of_items = self._keys is not self._things
        more = (things, of_items, self._sentinel, None, rounds)
        return Mutations(self._manager, self._protocol, self._make, *more)

    def _merge(self, after: Any) -> None:
        for index, answer in zip(self._moved, after.answers, strict=True):
            self.answers[index] = answer


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
        self._things = None
        self._values = values
        self._flags = flags
        self._expire = expire
        batch = None
        if protocol.is_text:
            given = (keys, values, flags, expire)
            batch = kernel.batch_of_values(*given, *self._where(), b"set ", STORE_WORDS)
        self.answers = [] if batch is not None else [None] * len(keys)
        self._aim(batch)

    def _items(self, indices: list[int]) -> list[Any]:
        keys, values, flags = self._keys, self._values, self._flags
        return [
            Item(keys[i], values[i], 0 if flags is None else flags[i], 0, self._expire)
            for i in indices
        ]

    def _probe(self, part: Any) -> Any:
        return self._protocol.set_probe

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        self._make = self._protocol.set_multi
        return Mutations._exchanges(self, keys, indices, whole)

    def _take_batch(self, is_partial: bool) -> None:
        if is_partial or self._moved or self._failed or not self._batch.is_all_stored():
            Mutations._take_batch(self, is_partial)

    def _again(self, keys: list[Any]) -> Any:
        self._make = self._protocol.set_multi  # where all were in a batch, nothing else set it
        return Mutations._again(self, keys)

    def take(self) -> bool:
        """Take what came of the visits; return whether there are more."""
        goes_on = Mutations.take(self)
        if not goes_on and self.answers and _are_stored(self.answers):
            self.answers = []
        return goes_on


def checked_values(
    keys: Iterable[Key], values: Iterable[bytes], flags: Iterable[int] | None
) -> tuple[list[Key], list[bytes], list[int] | None]:
    """Return lists of the keys, values and flags to set; raise ``InvalidArgumentError``."""
    names, given = list(keys), list(values)
    marks = None if flags is None else list(flags)
    if len(given) != len(names) or (marks is not None and len(marks) != len(names)):
        raise InvalidArgumentError(
            f"values and flags must be {len(names)}, one a key, got {len(given)}"
            + ("" if marks is None else f" and {len(marks)}")
        )
    return names, given, marks


def _are_stored(answers: list[Any]) -> bool:
    return all(answer.ok for answer in answers)


# All shards


class AllShards:
    """An exchange on every shard that is not DOWN."""

    __slots__ = ("visits",)

    def __init__(self, manager: ShardManager, make: Callable[[], Any]) -> None:
        require_open(manager)
        shards = manager.fleet().shards
        self.visits = [Visit(each, [make()]) for each in shards if each.state != ShardState.DOWN]

    def response(self) -> Response:
        """Return the status of all, and what went wrong."""
        _, status, error = self._result()
        return Response(status, error)

    def versions(self) -> VersionResponse:
        """Return the versions of the servers that answered."""
        answers, status, error = self._result()
        found = {shard: text for shard, answer in answers for text in answer.versions.values()}
        return VersionResponse(status, found, error)

    def statistics(self) -> StatsResponse:
        """Return the statistics of the servers that answered."""
        answers, status, error = self._result()
        found = {shard: rows for shard, answer in answers for rows in answer.entries.values()}
        return StatsResponse(status, found, error)

    def _result(self) -> tuple[list[tuple[int, Any]], ResponseStatus, Exception | None]:
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
                    errors.append(refused(visit.shard, None, answer.error))
        return answers, *together(errors, len(self.visits))
