"""Large values in parts: the steps that store, join and touch them, for both drivers. No I/O.

A value over the limit is stored as parts under keys of their own, and then as a head under its key
(``values.Head``). So a reader sees the value before, the whole new one, or none; a part that was
evicted makes a miss. Parts that no head names any longer are never read again, and are evicted.

Each function returns steps (``leases.Steps``); `client` is a ``Client`` or an ``AsyncClient``.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from ..memcache.batches import FAILURES, FailedKeys, PartialResultError
from ..memcache.codec import UnreadableValueError
from ..memcache.errors import NetworkError
from ..memcache.leases import Steps
from ..memcache.responses import MetaResponse
from .values import PARTS, DjangoCodec, Encoded, Head

__all__ = [
    "MISSING",
    "PartsSkippedError",
    "add",
    "fetch",
    "fetch_many",
    "set_many",
    "store",
    "touch",
]

MISSING: Final = object()
"""What stands for a value that is not there."""


class PartsSkippedError(NetworkError):
    """A large value was not stored, because a shard of its parts does not serve now."""


def store(client: Any, name: Any, pair: Encoded, expire: Any, part_size: int) -> Steps[Encoded]:
    """Store the parts of a large value; return its head, which is still to be stored.

    If a part cannot be stored, its error is raised, or ``PartsSkippedError`` if it has none.
    """
    head = Head.of(pair.data, pair.flags, part_size)
    failed = yield partial(client.set_many, head.split(name, pair.data), expire)
    _raise_first(failed)
    if failed:
        raise PartsSkippedError(f"{len(failed)} of {head.count} parts were not stored")
    return Encoded(head.text(), PARTS)


def _raise_first(failed: FailedKeys) -> None:
    for error in failed.errors.values():
        raise error


def add(
    client: Any, codec: DjangoCodec, name: Any, pair: Encoded, expire: Any, part_size: int
) -> Steps[bool]:
    """Store a value if the key has none; return whether it was stored.

    A head some of whose parts are gone is no value.
    """
    is_large = len(pair.data) > part_size
    if is_large or not (yield partial(client.add, name, pair, expire)):
        held = yield partial(client.get, name, MISSING)
        if type(held) is Head:
            held = yield from fetch(client, codec, name, held, MISSING)
            if held is MISSING:
                yield partial(client.delete, name)
        if held is not MISSING:
            return False
        if is_large:
            try:
                pair = yield from store(client, name, pair, expire, part_size)
            except PartsSkippedError:
                return False
        stored: bool = yield partial(client.add, name, pair, expire)
        return stored
    return True


def set_many(
    client: Any, pairs: Mapping[Any, Encoded], expire: Any, part_size: int
) -> Steps[FailedKeys]:
    """Store many values, the large ones in parts; return the keys that failed.

    A large value whose parts could not be stored is deleted, so that none is left from before.
    """
    items = dict(pairs)
    parts: dict[str, Encoded] = {}
    owners: dict[str, Any] = {}
    for name, pair in pairs.items():
        if len(pair.data) > part_size:
            head = Head.of(pair.data, pair.flags, part_size)
            items[name] = Encoded(head.text(), PARTS)
            own = head.split(name, pair.data)
            parts.update(own)
            owners.update(dict.fromkeys(own, name))
    lost: dict[Any, Exception | None] = {}
    if parts:
        failed = yield partial(client.set_many, parts, expire)
        for part in failed:  # a part that was only skipped must not hide another's error
            lost[owners[part]] = lost.get(owners[part]) or failed.errors.get(part)
        if lost:
            items = {name: pair for name, pair in items.items() if name not in lost}
            yield partial(client.delete_many, list(lost))
    all_failed: FailedKeys = yield partial(client.set_many, items, expire)
    for name, error in lost.items():
        all_failed.add(name, error)
    return all_failed


def fetch(client: Any, codec: DjangoCodec, name: Any, head: Head, default: Any) -> Steps[Any]:
    """Return the value that a head stands for, or `default` if some of it is gone."""
    found, errors = yield from fetch_many(client, codec, {name: head})
    for error in errors.values():
        raise error
    return found.get(name, default)


def fetch_many(
    client: Any, codec: DjangoCodec, heads: Mapping[Any, Head]
) -> Steps[tuple[dict[Any, Any], dict[Any, Exception]]]:
    """Return the values that heads stand for, and the errors of those that cannot be read.

    One that is not there as a whole is in neither.
    """
    parts: dict[Any, Any] = {
        part: name for name, head in heads.items() for part in head.names(name)
    }
    errors: dict[Any, Exception] = {}
    try:
        found = yield partial(client.get_many, list(parts))
    except PartialResultError as error:
        found = error.found
        for part, why in error.errors.items():
            errors.setdefault(parts[part], why)
    except FAILURES as error:
        found = {}
        errors = dict.fromkeys(heads, error)
    values = {}
    for name, head in heads.items():
        whole = head.join(name, found)
        if whole is not None:
            try:
                values[name] = codec.decode(name, whole, head.flags)
            except UnreadableValueError as error:
                if not codec.skips:
                    errors[name] = error
    return values, errors


def touch(client: Any, name: Any, expire: int, lease_time: float) -> Steps[bool]:
    """Give a value and its parts a new expiry; return whether all of it is there.

    A lease that is taken is no value, and lives for `lease_time` from now: with `expire`, what a
    loader that died has left would keep all others from loading for as long.
    """
    looked: MetaResponse = yield partial(
        client._operations.run,
        client._named(name) if client._looks_at_keys else name,
        lambda protocol, key: protocol.meta_get(key, value=False, expire=expire, details=True),
    )
    if looked.error is not None:
        raise looked.error
    if looked.found and not (looked.flags or looked.size):
        if expire >= 0:
            yield partial(client.touch, name, lease_time)
        return False
    if not looked.found or looked.flags != PARTS or expire < 0:
        return looked.found
    head = yield partial(client.get, name)
    if type(head) is not Head:  # it was overwritten meanwhile, by a value with its own expiry
        return head is not None
    for part in head.names(name):
        if not (yield partial(client.touch, part, expire)):
            yield partial(client.delete, name)
            return False
    return True
