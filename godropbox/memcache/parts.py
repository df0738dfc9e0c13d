"""Values over the item limit, in parts: the steps that store, join and touch them. No I/O.

The parts go first, under keys of their own, and then the head under the value's key
(``heads.Head``): so a reader sees the value before, the whole new one, or none. A part that was
evicted makes a miss. Parts outlive their head, by ``SLACK``; those that a store replaced are
deleted, others that no head names are never read again, and expire or are evicted.

`client` is a ``Client`` or an ``AsyncClient``; each function returns steps (``stepping.Steps``).
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from .._kernels._guarded import brief
from .batches import FAILURES, FailedKeys
from .codec import UnreadableValueError
from .errors import (
    ClientClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
)
from .heads import PARTS, Head
from .options import as_expiry
from .protocol.base import ranged
from .protocol.meta import LEASE_LEFT, outlives_lease
from .stepping import Steps
from .types import Item, Key

__all__ = [
    "SLACK",
    "add_over",
    "fetch",
    "fetch_many",
    "head_of",
    "names_of",
    "new_head",
    "outlive",
    "put",
    "shorten_leases",
    "store",
    "store_many",
    "sweep",
    "touch",
    "touch_rest",
]

SLACK: Final = 60.0
"""Seconds by which parts outlive their head, and in which they have to be stored."""

_TRIES: Final = 3  # how many heads a reader follows that are replaced while it reads
_MISTAKES: Final = (ClientClosedError, InvalidArgumentError, InvalidTypeError)


def _sent(client: Any, key: Key) -> Key:
    """Return the key that is sent for `key`."""
    name: Key = client._named(key) if client._looks_at_keys else key
    return name


def names_of(client: Any, key: Key, head: Head) -> list[Any]:
    """Return the keys that are sent for the parts of a value."""
    return [_sent(client, name) for name in head.names(key, client._room)]


def outlive(client: Any, expire: Any, stale: float = 0.0) -> int:
    """Return the expiry of the parts of a value that expires at `expire` and `stale` seconds."""
    until: int = client._expiry(expire)
    if until == 0 or (until < 0 and not stale):
        return until
    return as_expiry(expire, client._options.wall_clock, stale + SLACK)


def head_of(client: Any, key: Key, response: Any) -> Head | None:
    """Return the head that a response has, None if it has none that can be read."""
    if response.value is None or response.flags != PARTS:
        return None
    try:
        head: Head = client._codec.decode(key, response.value, PARTS)
    except UnreadableValueError:
        return None
    return head


# Reading


def fetch(
    client: Any, key: Key, head: Head, token: int, default: Any, until: int | None = None
) -> Steps[tuple[Any, int | None]]:
    """Return the value that a head stands for and its token; `default` and None if it is gone.

    `token` is the head's own. With `until` the parts have a new expiry.
    """
    found, errors = yield from fetch_many(client, {key: (head, token)}, until)
    for error in errors.values():
        raise error
    return found.get(key, (default, None))


def fetch_many(
    client: Any, heads: Mapping[Any, tuple[Head, int]], until: int | None = None
) -> Steps[tuple[dict[Any, tuple[Any, int]], dict[Any, Exception]]]:
    """Return the values that heads stand for, with their tokens, and the errors of some keys.

    The parts of all are fetched in one batch. One that is not there as a whole is in neither,
    unless its head was replaced meanwhile: then the new one is followed.
    """
    found: dict[Any, tuple[Any, int]] = {}
    errors: dict[Any, Exception] = {}
    left = dict(heads)
    for _ in range(_TRIES):
        torn = yield from _fetch_once(client, left, until, found, errors)
        if not torn:
            break
        left = yield from _look_again(client, torn, left, found, errors)
        if not left:
            break
    if client._forgives:
        errors = {key: error for key, error in errors.items() if not isinstance(error, FAILURES)}
    return found, errors


def _fetch_once(
    client: Any,
    heads: Mapping[Any, tuple[Head, int]],
    until: int | None,
    found: dict[Any, tuple[Any, int]],
    errors: dict[Any, Exception],
) -> Steps[list[Any]]:
    """Fetch the parts that heads name; return the keys of those that lack some."""
    names = {key: names_of(client, key, head) for key, (head, _) in heads.items()}
    every = [name for some in names.values() for name in some]
    operations = client._operations
    call = partial(operations.get_multi, every)
    if until is not None:
        call = partial(operations.gat_multi, every, until)
    try:
        answers = yield call
    except FAILURES as error:  # of a raw client
        errors.update(dict.fromkeys(heads, error))
        return []
    parts = {name: answer.value for name, answer in answers.items()}
    torn = []
    for key, (head, token) in heads.items():
        whole = head.join(names[key], parts)
        if whole is not None:
            _decode(client, key, whole, head.flags, token, found, errors)
            continue
        failed = [answers[name].error for name in names[key] if answers[name].error is not None]
        if not failed:
            torn.append(key)
        elif isinstance(failed[0], _MISTAKES):
            raise failed[0]
        else:
            errors[key] = failed[0]
    return torn


def _look_again(
    client: Any,
    torn: list[Any],
    heads: Mapping[Any, tuple[Head, int]],
    found: dict[Any, tuple[Any, int]],
    errors: dict[Any, Exception],
) -> Steps[dict[Any, tuple[Head, int]]]:
    """Look at values whose parts are gone; return the heads of those that were replaced."""
    names = {key: _sent(client, key) for key in torn}
    try:
        answers = yield partial(client._operations.get_multi, list(dict.fromkeys(names.values())))
    except FAILURES as error:
        errors.update(dict.fromkeys(torn, error))
        return {}
    again: dict[Any, tuple[Head, int]] = {}
    for key, name in names.items():
        answer = answers[name]
        if answer.error is not None:
            errors[key] = answer.error
        elif answer.value is None or not (answer.value or answer.flags):
            continue
        elif answer.flags == PARTS:
            head = head_of(client, key, answer)
            if head is not None and head.token != heads[key][0].token:
                again[key] = head, answer.cas
        else:
            _decode(client, key, answer.value, answer.flags, answer.cas, found, errors)
    return again


def _decode(
    client: Any,
    key: Any,
    data: bytes,
    flags: int,
    token: int,
    found: dict[Any, tuple[Any, int]],
    errors: dict[Any, Exception],
) -> None:
    try:
        value = data if flags == 0 else client._codec.decode(key, data, flags)
    except UnreadableValueError as error:
        if not client._skips:
            errors[key] = error
        return
    found[key] = value, token


# Storing


def new_head(client: Any, key: Key, data: bytes, flags: int) -> Head:
    """Return the head of a value that is about to be stored.

    Raises ``InvalidArgumentError`` for one that no reader with these options takes.
    """
    most = client._options.max_value
    if len(data) > most:
        raise InvalidArgumentError(
            f"value must be at most {most} bytes (max_value), got {len(data)} for {brief(key)}"
        )
    return Head.of(data, flags, client._part_size)


def put(
    client: Any, heads: Mapping[Any, tuple[Head, bytes]], until: int
) -> Steps[dict[Any, Exception | None]]:
    """Store the parts of values; return the keys some of whose parts were not.

    They have an error, or None where a shard does not serve now. A value that expires at once needs
    no parts.
    """
    if until < 0:
        return {}
    clock = client._options.clock
    begun = clock()
    items: list[Item] = []
    owners: list[Any] = []
    for key, (head, data) in heads.items():
        for name, part in zip(names_of(client, key, head), head.split(data), strict=True):
            items.append(Item(name, part, 0, 0, until))
            owners.append(key)
    answers = yield partial(client._operations.set_multi, items)
    lost: dict[Any, Exception | None] = {}
    for owner, answer in zip(owners, answers, strict=True):
        if isinstance(answer.error, _MISTAKES):
            raise answer.error
        if answer.error is not None or not answer.ok:
            lost[owner] = lost.get(owner) or answer.error  # one skipped must not hide an error
    if until > 0 and clock() - begun > SLACK - 2:
        late = DeadlineExceededError(f"the parts took longer than {SLACK - 2:g} s to store")
        return dict.fromkeys(heads, late)
    return lost


def sweep(client: Any, names: Iterable[Key]) -> Steps[None]:
    """Delete what no head names, or what is not to be read any more; that may fail.

    It is worth nothing but memory, so an error of it is nobody's.
    """
    with suppress(*FAILURES):
        yield partial(client._operations.delete_multi, list(names))


def store(
    client: Any,
    verb: str,
    key: Key,
    data: bytes,
    flags: int,
    cas: Any,
    expire: Any,
) -> Steps[bool]:
    """Store a large value as the operation `verb` does; return whether it was stored.

    After a set whose parts could not be stored the key has no value, so that none is left from
    before.
    """
    head = new_head(client, key, data, flags)
    operations = client._operations
    name = _sent(client, key)
    if verb == "cas":
        ranged("cas", cas, 1, 1 << 64, "[1, 2**64) for a cas")
    seen = yield partial(operations.get, name)
    if seen.error is not None:
        raise seen.error
    old = head_of(client, key, seen)
    if seen.skipped or (seen.value is None and verb in ("replace", "cas")):
        return False
    if verb == "cas" and seen.cas != cas:
        return False
    if verb == "add" and seen.value is not None:
        if not (yield from _is_torn(client, key, old)):
            return False
        if seen.cas:
            verb, cas = "cas", seen.cas
        else:  # a server without tokens
            yield partial(operations.delete, name)
    lost = yield from put(client, {key: (head, data)}, outlive(client, expire))
    if lost:
        if verb == "set":
            yield from sweep(client, [name])
        failure = lost[key]
        if failure is None:
            return False
        raise failure
    item = Item(name, head.text(), PARTS, cas, client._expiry(expire))
    done: bool = client._done((yield partial(getattr(operations, verb), item)))
    if not done:
        yield from sweep(client, names_of(client, key, head))
    elif old is not None:
        yield from sweep(client, names_of(client, key, old))
    return done


def _is_torn(client: Any, key: Key, head: Head | None) -> Steps[bool]:
    """Return whether a head has lost parts, so that it is no value any more."""
    if head is None:
        return False
    names = names_of(client, key, head)
    answers = yield partial(client._operations.get_multi, names)
    if any(answer.error is not None or answer.skipped for answer in answers.values()):
        return False
    return head.join(names, {name: answer.value for name, answer in answers.items()}) is None


def add_over(client: Any, key: Key, data: bytes, flags: int, expire: Any) -> Steps[bool]:
    """Store a small value over a head that has lost parts; return whether it was stored.

    For an ``add`` that found the key present.
    """
    name = _sent(client, key)
    seen = yield partial(client._operations.get, name)
    head = head_of(client, key, seen)
    if not (yield from _is_torn(client, key, head)):
        return False
    call = client._operations.cas
    if not seen.cas:  # a server without tokens
        yield partial(client._operations.delete, name)
        call = client._operations.add
    item = Item(name, data, flags, seen.cas, client._expiry(expire))
    done: bool = client._done((yield partial(call, item)))
    return done


def store_many(
    client: Any, keys: list[Any], data: list[bytes], flags: list[int] | None, expire: Any
) -> Steps[FailedKeys]:
    """Store many values, the large ones in parts; return the keys that failed.

    A large value whose parts could not be stored is deleted, so that none is left from before.
    """
    operations = client._operations
    size = client._part_size
    marks = flags or [0] * len(keys)
    names = [_sent(client, key) for key in keys]
    large = {at: keys[at] for at, each in enumerate(data) if len(each) > size}
    heads = {
        key: (new_head(client, key, data[at], marks[at]), data[at]) for at, key in large.items()
    }
    answers = yield partial(operations.get_multi, [names[at] for at in large])
    old = {}
    for at, key in large.items():
        head = head_of(client, key, answers[names[at]])
        if head is not None:
            old[at] = head
    lost = yield from put(client, heads, outlive(client, expire))
    if lost:
        yield from sweep(client, [names[at] for at, key in large.items() if key in lost])
    until = client._expiry(expire)
    kept = [at for at, key in enumerate(keys) if not (at in large and key in lost)]
    items = [
        Item(names[at], heads[keys[at]][0].text(), PARTS, 0, until)
        if at in large
        else Item(names[at], data[at], marks[at], 0, until)
        for at in kept
    ]
    stored = yield partial(operations.set_multi, items)
    failed: FailedKeys = client._failed([keys[at] for at in kept], stored, False)
    for key, error in lost.items():
        failed.add(key, error)
    missed = set(failed)
    gone = [names_of(client, large[at], head) for at, head in old.items() if keys[at] not in missed]
    if gone:
        yield from sweep(client, [name for some in gone for name in some])
    return failed


# Touching


def touch(client: Any, key: Key, expire: Any) -> Steps[bool]:
    """Give a value and its parts a new expiry; return whether all of it is there."""
    operations = client._operations
    name = _sent(client, key)
    until = client._expiry(expire)
    if not client._done((yield partial(operations.touch, name, until))):
        return False
    if until < 0:
        return True
    return (yield from touch_rest(client, key, expire))


def touch_rest(client: Any, key: Key, expire: Any) -> Steps[bool]:
    """Give the parts of a value that was touched a new expiry; return whether all are there."""
    operations = client._operations
    seen = yield partial(operations.get, _sent(client, key))
    if seen.error is not None:
        raise seen.error
    if client._is_lease(seen):
        if outlives_lease(client._expiry(expire)):
            yield partial(operations.touch, _sent(client, key), LEASE_LEFT)
        return False
    head = head_of(client, key, seen)
    if head is None:  # it is small, or was overwritten meanwhile by what has its own expiry
        return True
    names = names_of(client, key, head)
    answers = yield partial(operations.touch_multi, names, outlive(client, expire))
    for answer in answers:
        if answer.error is not None:
            raise answer.error
    return all(answer.ok for answer in answers)


def shorten_leases(client: Any, answers: Mapping[Any, Any], expire: Any) -> Steps[None]:
    """Give leases among the answers of a ``gat_multi`` a short life again: they are no values."""
    leases = [_sent(client, key) for key, answer in answers.items() if client._is_lease(answer)]
    if leases and outlives_lease(client._expiry(expire)):
        yield partial(client._operations.touch_multi, leases, LEASE_LEFT)
