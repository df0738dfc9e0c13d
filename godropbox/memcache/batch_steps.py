"""Steps of many keys: gets, writes, and sets of values alone. No I/O.

Compiled as it stands (``batch_steps.pxd``).
"""

from array import array
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from .._kernels import batch as kernel
from .._kernels import wire_request
from .errors import (
    InvalidArgumentError,
    ServerError,
)
from .fleet.manager import ShardManager
from .fleet.shards import Shard
from .keys import by_key
from .outcomes import forgiven, refused
from .protocol.ascii import STORE_WORDS
from .protocol.base import Protocol
from .protocol.chunks import key_chunks, mutation_chunks
from .protocol.exchange import (
    Exchange,
    GetManyExchange,
    server_error,
)
from .responses import (
    failed_get,
    failed_mutate,
    fill_gets,
    list_mutations,
    one_get,
    skipped_get,
    skipped_mutate,
)
from .steps import ROUNDS, SHORT_LINE, ManyKeys, ShardVisit
from .types import Item, Key, ResponseStatus

__all__ = [
    "Gets",
    "Mutations",
    "Values",
    "checked_values",
]

_OK = ResponseStatus.OK
_FAULTY = ResponseStatus.INVALID_ARGUMENTS


class Gets(ManyKeys):
    """A get of many keys: `answers` has a response for each.

    With `bare`, no tokens are asked for: `found` has the values without flags, `answers` the other
    responses but misses. If `flagged` is a list by then, values with flags go there instead where
    they can, as tuples of key, value and flags, which takes less than a response for each.
    `repeats` tells whether keys are asked for once more whose connection is lost; `is_again`, that
    these are. With `expire` each item has a new expiry.
    """

    __slots__ = ("_bare", "_expire", "answers", "flagged", "found")

    def __init__(
        self,
        manager: ShardManager,
        protocol: Protocol,
        keys: list[Any],
        sentinel: bool,
        bare: bool,
        repeats: bool = False,
        rounds: Any = ROUNDS,
        is_again: bool = False,
        expire: Any = None,
    ) -> None:
        self._start(manager, protocol, keys, sentinel, rounds)
        self._bare = bare
        self._expire = expire
        self._gets = True
        self._is_read = repeats
        self._is_again = is_again
        self.flagged: list[Any] | None = None
        self.found: dict[Key, bytes] = {}
        self.answers: dict[Key, Any] = {}
        batch = None
        if protocol.is_text and expire is None:
            # What is sent again goes in lines that every server takes, whatever it was lost for.
            most_line = protocol.most_line if rounds == ROUNDS else SHORT_LINE
            batch = kernel.batch_of_keys(keys, *self._where(), bare, most_line)
        if batch is None:
            self.answers = by_key(keys)
            self._keys = list(self.answers)
        self._aim(batch)

    def _probe(self, part: Any) -> Any:
        return self._protocol.probe

    def _exchanges(self, keys: list[Any], indices: list[int], whole: bool) -> list[Exchange]:
        protocol = self._protocol
        if self._expire is not None:
            # In lines of some KiB where ASCII has all keys in one, and a server takes no longer.
            chunks = [keys] if whole and not protocol.is_text else mutation_chunks(keys)
            return [protocol.gat_multi(chunk, self._expire) for chunk in chunks]
        if not whole:
            given = keys or [self._keys[index] for index in indices]
            return [protocol.get_multi(chunk) for chunk in key_chunks(protocol, given)]
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
        indices = visit._own_indices()
        for answers in visit.outcome:
            for key, answer in answers.items() if answers is not self.answers else ():
                self._take_one(key, answer)
        for key in visit.keys or [self._keys[index] for index in indices]:
            answer = self.answers.get(key)
            if answer is None or answer.error is None:
                continue
            if self._shortens(visit, answer.status):
                self._move(indices)
                return
            refused(visit.shard, key, answer.error)
        if self._bare and self._batch is not None:
            self.found = {key: self.found[key] for key in self._keys if key in self.found}

    def _take_one(self, key: Any, answer: Any) -> None:
        """Take an answer; where no tokens are asked for, a value without flags is apart."""
        if not self._bare or self._batch is None:
            self.answers[key] = answer
        elif answer.value and not answer.flags:
            self.found[key] = answer.value
        elif answer.value is not None or answer.error is not None:
            self.answers[key] = answer

    def _take_batch(self, is_partial: bool) -> None:
        self._take_answers()
        failures = self._batch.failures()
        if not failures:
            return
        keys, shards = self._keys, self._shards()
        found = {keys[at] for at, value in enumerate(self._batch.answers()[0]) if value is not None}
        for index, (number, text) in failures.items():
            if keys[index] not in found:  # a key given twice may have failed once
                refusal = shards[index], number, text
                self._fail(index, keys[index], self._failure(keys[index], refusal))

    def _take_answers(self) -> None:
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

    def _fail(self, index: Any, key: Any, failure: Any) -> None:
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
        how = (self._sentinel, bare, self._is_read, self._rounds - 1, self._is_again, self._expire)
        return Gets(self._manager, self._protocol, keys, *how)

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
        rounds: Any = ROUNDS,
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

    def _name(self, shard: Shard, index: Any, error: Any) -> None:
        """Name a key and its shard in an error, if it is a server's refusal."""
        if type(error) is not ServerError:
            return
        [thing] = self._items([index])
        size = memoryview(thing.value).nbytes if isinstance(thing, Item) else None
        refused(shard, self._keys[index], error, size)

    def _fail(self, index: Any, key: Any, failure: Any) -> None:
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
                    self.answers[index] = forgiven(self.answers[index])
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
        self._start(manager, protocol, keys, False, ROUNDS)
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
