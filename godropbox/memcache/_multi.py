"""Batches over a fleet: keys and items grouped by shard, sent out together, and put back in order.

Compiled as it stands (``_multi.pxd``).
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

from ..resource_pool import LameDuckError
from ._answers import forgiven, require_open, status_of, together, unmapped
from ._errands import Errand, run
from .errors import UsageError
from .fleet.manager import Shard, ShardManager, ShardState
from .fleet.placement import NOT_A_KEY
from .protocol.base import Protocol
from .protocol.chunks import key_chunks, mutation_chunks
from .protocol.exchange import Exchange, GetManyExchange
from .responses import (
    GetResponse,
    MutateResponse,
    failed_get,
    failed_mutate,
    skipped_get,
    skipped_mutate,
)
from .types import Item, Key, ResponseStatus

__all__ = ["ask_all", "get_many", "mutate_many", "takes"]

_FAULTY = ResponseStatus.INVALID_ARGUMENTS
FLEETS = 3  # how many changes of the fleet one operation follows

# Under a name of its own, since the compiler takes a plain ``int`` for a C type.
_Count = int


def takes(shard: Shard, sentinel: bool) -> bool:
    """Tell whether an operation may go to a shard now."""
    is_fit = shard.takes_sentinels if sentinel else shard.serves
    return is_fit and (not shard.is_ejected or shard.admits())


def grouped(things: list[Any], places: list[Any], shards: _Count) -> list[Any]:
    """Return an errand for each place that things have: a shard's id, or a negative number."""
    errands: list[Errand] = []
    found: list[Errand | None] = [None] * (shards + 2)  # the first two are for -2 and -1
    at = 0
    if not len(things) == len(places):
        raise ValueError(f"places must be {len(things)}, one a key, got {len(places)}")
    for place in places:
        if not -2 <= place < shards:
            raise ValueError(f"a shard must be in [-2, {shards}), got {place}")
        errand = found[place + 2]
        if errand is None:
            errand = Errand(place)
            found[place + 2] = errand
            errands.append(errand)
        errand.things.append(things[at])
        errand.places.append(at)
        at += 1  # noqa: SIM113  # in C an int, which enumerate's is not
    return errands


# Reading


def get_many(
    manager: ShardManager,
    protocol: Protocol,
    timeout: float | None,
    found: dict[Key, Any],
    sentinel: bool,
    fleets: int = FLEETS,
) -> dict[Key, Any]:
    """Put an answer for every key into `found`, whose keys are what is asked for."""
    errand: Errand
    if fleets == FLEETS:
        require_open(manager)
    fleet = manager.fleet()
    given = list(found)
    errands: list[Errand] = []
    # A placement may be anybody's: it is given a list of its own, and so is ours what it returns.
    places = list(fleet.of_many(given.copy()))
    for errand in grouped(given, places, len(fleet.shards)):
        if errand.place == NOT_A_KEY:
            found.update(protocol.get_multi(errand.things).result())
        elif errand.place < 0:
            for key in errand.things:
                found[key] = _get_failed(protocol, key, unmapped(key))
        elif takes(fleet.shards[errand.place], sentinel):
            errand.shard = fleet.shards[errand.place]
            errands.append(errand)
        else:
            for key in errand.things:
                found[key] = _get_failed(protocol, key, None)

    def make(errand: Errand, whole: bool) -> list[Exchange]:
        if whole:
            return [_gets(protocol, found, errand.things)]
        return [protocol.get_multi(part) for part in key_chunks(protocol, errand.things)]

    run(manager, errands, make, timeout)
    moved: dict[Key, Any] = {}
    for errand in errands:
        outcome = errand.outcome
        if not isinstance(outcome, Exception):
            for answers in outcome:
                if answers is not found:
                    found.update(answers)
        elif isinstance(outcome, LameDuckError) and fleets > 1 and manager.fleet() is not fleet:
            moved.update(dict.fromkeys(errand.things))
        else:
            for key in errand.things:
                found[key] = _get_failed(protocol, key, outcome)
    if moved:
        found.update(get_many(manager, protocol, timeout, moved, sentinel, fleets - 1))
    return found


def _gets(protocol: Protocol, found: dict[Key, Any], keys: list[Any]) -> Exchange:
    """Make the exchange for the keys of one shard, which puts its answers into `found` itself."""
    if not protocol.encodes:
        try:
            request, reply = protocol._gets(keys, protocol.prefix, True)
        except (TypeError, ValueError):
            pass  # of a key that is bad, or that is there twice
        else:
            return GetManyExchange(
                request, reply, found, keys, protocol.prefix, None, protocol.probe
            )
    return protocol.get_multi(keys)


def _get_failed(protocol: Protocol, key: Any, error: Exception | None) -> GetResponse:
    """Return the answer for a key that was not asked for: because of `error`, or as skipped."""
    wrong = _wrong_with(protocol, key)
    if wrong is not None:
        return failed_get(key, _FAULTY, wrong)
    return skipped_get(key) if error is None else failed_get(key, status_of(error), error)


def _wrong_with(protocol: Protocol, key: Any) -> UsageError | None:
    try:
        protocol._wire_key(key, protocol.prefix)
    except UsageError as error:
        return error
    return None


# Writing


def mutate_many(
    manager: ShardManager,
    protocol: Protocol,
    timeout: float | None,
    make: Callable[[list[Any]], Exchange],
    things: list[Any],
    of_items: bool,
    sentinel: bool,
    fleets: int = FLEETS,
) -> list[MutateResponse]:
    """Return an answer for each item or key, in their order."""
    errand: Errand
    if fleets == FLEETS:
        require_open(manager)
    fleet = manager.fleet()
    answers: list[Any] = [None] * len(things)
    errands: list[Errand] = []
    keys = _keys_of(things) if of_items else things
    places = list(fleet.of_many(keys.copy()))
    for errand in grouped(things, places, len(fleet.shards)):
        if errand.place == NOT_A_KEY:
            _put(answers, errand, make(errand.things).result())
        elif errand.place < 0:
            _put_failed(protocol, answers, keys, errand, True)
        elif takes(fleet.shards[errand.place], sentinel):
            errand.shard = fleet.shards[errand.place]
            errands.append(errand)
        else:
            _put_failed(protocol, answers, keys, errand, False)

    def made(errand: Errand, whole: bool) -> list[Exchange]:
        parts = [errand.things] if whole else mutation_chunks(errand.things, False)
        return [make(part) for part in parts]

    run(manager, errands, made, timeout)
    for errand in errands:
        outcome = errand.outcome
        if not isinstance(outcome, Exception):
            _put(answers, errand, outcome[0] if len(outcome) == 1 else [*chain(*outcome)])
        elif isinstance(outcome, LameDuckError) and fleets > 1 and manager.fleet() is not fleet:
            again = (make, errand.things, of_items, sentinel, fleets - 1)
            _put(answers, errand, mutate_many(manager, protocol, timeout, *again))
        else:
            _put_failed(protocol, answers, keys, errand, False)
        if sentinel and errand.shard.is_warming_up:
            for place in errand.places:
                answers[place] = forgiven(answers[place])
    return answers


def _keys_of(items: list[Any]) -> list[Any]:
    return [item.key if isinstance(item, Item) else None for item in items]


def _put(answers: list[Any], errand: Errand, some: list[Any]) -> None:
    """Put the answers of one shard where those of its keys belong."""
    at = 0
    if len(some) != len(errand.places):
        raise ValueError(f"answers must be {len(errand.places)}, got {len(some)}")
    for place in errand.places:
        answers[place] = some[at]
        at += 1  # noqa: SIM113  # in C an int, which enumerate's is not


def _put_failed(
    protocol: Protocol, answers: list[Any], keys: list[Any], errand: Errand, is_unmapped: bool
) -> None:
    """Put answers for what was not done: because of an error, or as skipped."""
    for place in errand.places:
        key = keys[place]
        error = unmapped(key) if is_unmapped else errand.outcome
        wrong = _wrong_with(protocol, key)
        if wrong is not None:
            answers[place] = failed_mutate(key, _FAULTY, wrong)
        elif error is None:
            answers[place] = skipped_mutate(key)
        else:
            answers[place] = failed_mutate(key, status_of(error), error)


# The servers as a whole


def ask_all(
    manager: ShardManager, timeout: float | None, make: Callable[[], Any]
) -> tuple[list[tuple[int, Any]], ResponseStatus, Exception | None]:
    """Run an exchange on every shard that is not DOWN.

    Returns the answers with their shards' ids, the status of the whole, and what went wrong.
    """
    errand: Errand
    require_open(manager)
    errands: list[Errand] = []
    for shard in manager.fleet().shards:
        if shard.state is not ShardState.DOWN:
            errand = Errand(shard.id)
            errand.shard = shard
            errands.append(errand)
    run(manager, errands, lambda errand, whole: [make()], timeout)
    answers: list[tuple[int, Any]] = []
    errors: list[Exception] = []
    for errand in errands:
        if isinstance(errand.outcome, Exception):
            errors.append(errand.outcome)
        else:
            answer = errand.outcome[0]
            answers.append((errand.place, answer))
            if answer.error is not None:
                errors.append(answer.error)
    return answers, *together(errors, len(errands))
