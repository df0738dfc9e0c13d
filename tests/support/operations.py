"""Every operation of ``Client``, each with a cheap check of what it does on a real server.

For the table of operations and servers (``support.server_table``). A check uses keys of its own and
raises what the operation raises; ``InPartError`` says that it works, but not as a whole.
"""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from godropbox import memcache

__all__ = ["NOT_OPERATIONS", "OPERATIONS", "WITH_OPTIONS", "InPartError", "Operation"]

# Public names of ``Client`` that ask no server.
NOT_OPERATIONS: Final = {"close", "disconnect_all", "options", "over"}
MISSING: Final = object()


class InPartError(Exception):
    """An operation works in part; the message says what does not."""


# What checks an operation with keys that begin as it is told; it may return a remark.
Operation = Callable[[Any, str], str | None]


def _stored(client: Any, key: str, value: Any = b"old") -> None:
    assert client.set(key, value, 60) is True


def _all_done(failed: memcache.FailedKeys) -> None:
    """Raise why the first of the keys that failed did."""
    for error in failed.errors.values():
        raise error
    assert failed == []


def _get(client: Any, key: str) -> None:
    _stored(client, key)
    assert client.get(key) == b"old"
    assert client.get(f"{key}none", MISSING) is MISSING


def _gets(client: Any, key: str) -> None:
    _stored(client, key)
    value, token = client.gets(key)
    assert value == b"old"
    assert client.gets(f"{key}none") == (None, None)
    if not token:
        raise InPartError("the value comes, the token is 0: the server has none")


def _get_many(client: Any, key: str) -> None:
    values = {f"{key}{at}": b"%d" % at for at in range(30)}
    _all_done(client.set_many(values, 60))
    assert client.get_many([*values, f"{key}none"]) == values


def _set(client: Any, key: str) -> None:
    for value in (b"bytes", "text", 7, b""):
        _stored(client, key, value)
        assert client.get(key) == value


def _set_many(client: Any, key: str) -> None:
    values = {f"{key}{at}": at for at in range(30)}
    _all_done(client.set_many(values, timedelta(minutes=1)))
    assert client.get(f"{key}7") == 7


def _add(client: Any, key: str) -> None:
    assert client.add(key, b"first", 60) is True
    assert client.add(key, b"second", 60) is False
    assert client.get(key) == b"first"


def _replace(client: Any, key: str) -> None:
    assert client.replace(key, b"none") is False
    _stored(client, key)
    assert client.replace(key, b"new", 60) is True
    assert client.get(key) == b"new"


def _cas(client: Any, key: str) -> None:
    _stored(client, key)
    _, token = client.gets(key)
    assert client.cas(key, b"new", token, 60) is True
    assert client.cas(key, b"lost", token, 60) is False
    assert client.get(key) == b"new"


def _append(client: Any, key: str) -> None:
    assert client.append(key, b"none") is False
    _stored(client, key)
    assert client.append(key, b"-after") is True
    assert client.get(key) == b"old-after"


def _prepend(client: Any, key: str) -> None:
    assert client.prepend(key, b"none") is False
    _stored(client, key)
    assert client.prepend(key, b"before-") is True
    assert client.get(key) == b"before-old"


def _incr(client: Any, key: str) -> None:
    assert client.incr(key) is None
    assert client.incr(key, 1, initial=5, expire=60) == 5
    assert client.incr(key, 95) == 100
    assert client.get(key) == 100


def _decr(client: Any, key: str) -> None:
    assert client.decr(key, initial=100, expire=60) == 100
    assert client.decr(key, 98) == 2
    assert client.decr(key, 98) == 0
    assert client.get(key) == 0


def _delete(client: Any, key: str) -> None:
    _stored(client, key)
    assert client.delete(key) is True
    assert client.delete(key) is False
    assert client.get(key) is None


def _delete_many(client: Any, key: str) -> None:
    values = {f"{key}{at}": b"1" for at in range(30)}
    _all_done(client.set_many(values, 60))
    _all_done(client.delete_many([*values, f"{key}none"]))
    assert client.get_many(values) == {}


def _touch(client: Any, key: str) -> None:
    _stored(client, key)
    assert client.touch(key, 100) is True
    assert client.touch(f"{key}none", 100) is False
    assert client.touch(key, -1) is True
    assert client.get(key) is None


def _gat(client: Any, key: str) -> None:
    _stored(client, key)
    assert client.gat(key, 100) == b"old"
    assert client.gat(f"{key}none", 100) is None
    assert client.gat(key, -1) == b"old"
    assert client.get(key) is None


def _get_or_set(client: Any, key: str) -> None:
    loads: list[str] = []

    def load() -> bytes:
        loads.append(key)
        return b"loaded"

    for _ in range(3):
        found = client.get_or_set(key, load, 60, stale=30, lease_time=1, wait=0.2)
        assert found == b"loaded"
    assert len(loads) == 1


def _gets_many(client: Any, key: str) -> None:
    values = {f"{key}{at}": at for at in range(30)}
    _all_done(client.set_many(values, 60))
    found = client.gets_many([*values, f"{key}none"])
    assert {each: value for each, (value, _) in found.items()} == values
    assert client.cas(f"{key}7", 70, found[f"{key}7"][1], 60) is True


def _gat_many(client: Any, key: str) -> None:
    values = {f"{key}{at}": at for at in range(30)}
    _all_done(client.set_many(values, 60))
    assert client.gat_many([*values, f"{key}none"], 100) == values


def _iter_keys(client: Any, key: str) -> None:
    _stored(client, key)
    assert {key, key.encode()} & {info.key for info in client.iter_keys()}


def _dialects(client: Any, key: str) -> str:
    (dialect,) = client.dialects().values()
    if dialect.error is not None:
        raise dialect.error
    lacks = f", without {', '.join(dialect.lacks)}" if dialect.lacks else ""
    return f"{dialect.protocol}{lacks}"


def _large_values(client: Any, key: str) -> None:
    value = os.urandom(1 << 21)
    _stored(client, key, value)
    assert client.get(key) == value
    assert client.delete(key) is True
    assert client.get(key) is None


def _stats(client: Any, key: str) -> None:
    assert int(client.stats()[0]["curr_connections"]) > 0


def _version(client: Any, key: str) -> None:
    assert re.match(r"[0-9.]+", client.version()[0])


def _flush_all(client: Any, key: str) -> None:
    _stored(client, key)
    client.flush_all()
    assert client.get(key) is None


def _expiries(client: Any, key: str) -> None:
    for expire in (1e8, timedelta(days=9e4)):  # years, and past what a server counts
        assert client.set(key, b"long", expire) is True
        assert client.touch(key, expire) is True
        assert client.gat(key, expire) == b"long"


def _too_large(client: Any, key: str) -> None:
    with pytest.raises(memcache.ServerError, match=r"(?i)too large"):
        client.set(key, bytes(2 << 20), 60)
    failed = client.set_many({f"{key}1": b"1", f"{key}2": bytes(2 << 20), f"{key}3": b"3"}, 60)
    assert failed == [f"{key}2"]
    assert "too large" in str(failed.errors[f"{key}2"]).lower()
    assert client.get_many([f"{key}{at}" for at in (1, 2, 3)]) == {f"{key}1": b"1", f"{key}3": b"3"}


def _long_keys(client: Any, key: str) -> None:
    longest = key.ljust(250, "k")
    _stored(client, longest)
    assert client.get(longest) == b"old"
    with pytest.raises(memcache.InvalidArgumentError):
        client.get(longest + "k")


# A row each, in the table's order: flush_all last, as it takes what the others have stored.
OPERATIONS: Final[dict[str, Operation]] = {
    "get": _get,
    "gets": _gets,
    "get_many": _get_many,
    "set": _set,
    "set_many": _set_many,
    "add": _add,
    "replace": _replace,
    "cas": _cas,
    "append": _append,
    "prepend": _prepend,
    "incr": _incr,
    "decr": _decr,
    "delete": _delete,
    "delete_many": _delete_many,
    "touch": _touch,
    "gat": _gat,
    "get_or_set": _get_or_set,
    "gets_many": _gets_many,
    "gat_many": _gat_many,
    "iter_keys": _iter_keys,
    "dialects": _dialects,
    "expiries over 30 days": _expiries,
    "a value that is too large is refused alone": _too_large,
    "keys of 250 bytes": _long_keys,
    "stats": _stats,
    "version": _version,
    "flush_all": _flush_all,
}
# Some operations need an option: a row for each, with the options that its client is given.
WITH_OPTIONS: Final[dict[str, tuple[dict[str, Any], Operation]]] = {
    'values of 2 MiB (`large_values="split"`)': ({"large_values": "split"}, _large_values),
}
