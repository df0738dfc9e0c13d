"""What a client does with values, keys and failures; for the blocking one and asyncio's. No I/O.

Operations of several steps yield calls, and take what these return. Compiled as it stands
(``base_client.pxd``).
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .._kernels import lasting
from .._kernels._args import shown
from .._kernels._identity import refuse_copies
from .._kernels._signature import declared
from . import parts
from .address import listed_addresses
from .batches import FAILURES, FailedKeys, partial_error
from .codec import EMPTY, INT, TEXT, Codec, UnreadableValueError
from .errors import (
    ClientClosedError,
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ServerError,
)
from .heads import PARTS, Head
from .keys import by_key
from .leases import Leases
from .options import ClientOptions, as_expiry
from .protocol.base import ranged
from .protocol.dump import KeyInfo
from .protocol.meta import MAYBE_TOO_LARGE
from .responses import GetResponse, MutateResponse
from .stepping import Steps
from .types import Item, Key, ResponseStatus

if TYPE_CHECKING:
    pass


__all__ = ["BaseClient", "listed", "server_list"]

_Key = TypeVar("_Key", bound=Key)

_OK: Final = ResponseStatus.OK
_EXISTS: Final = ResponseStatus.KEY_EXISTS
_MISS: Final = ResponseStatus.KEY_NOT_FOUND
_MONTH: Final = 60 * 60 * 24 * 30
_MAX_KEY: Final = 250
_MAX_BINARY_KEY: Final = 186  # which has 250 characters in base64
_HASHED: Final = b"sha256:"
_COUNT_TRIES: Final = 5
_EXTEND_TRIES: Final = 100
# The flags of values that are bytes or text as they are.
_EXTENSIBLE: Final = frozenset([0, TEXT, EMPTY])
# Past the function by which a named tuple is made, which takes longer than all else in a set.
_new: Final = tuple.__new__
_MISTAKES: Final = (ClientClosedError, InvalidArgumentError, InvalidTypeError)


class BaseClient:
    """What a client does without I/O, for the blocking one and for asyncio's.

    `_operations` are those of a sharded client, `_leases` the loads of ``get_or_set``.
    """

    __slots__ = (
        "__weakref__",
        "_codec",
        "_forgives",
        "_is_closed",
        "_leases",
        "_looks_at_keys",
        "_observed",
        "_operations",
        "_options",
        "_owned",
        "_part_size",
        "_prefix",
        "_room",
        "_sharded",
        "_skips",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def _begin(
        self, operations: Any, sharded: Any, observed: Any, options: ClientOptions, owned: Any
    ) -> None:
        """Begin over `operations`, which are `observed` where there are hooks.

        `sharded` is the sharded client that has the batches of values, None if it is another.
        """
        lasting.shared(self)
        self._sharded = sharded
        self._observed = observed
        self._operations = operations
        self._options = options
        self._owned = owned
        self._codec: Codec = options.codec()
        self._leases = Leases(operations, self._codec, options)
        self._forgives = options.failures == "miss"
        self._skips = options.unreadable == "miss"
        self._is_closed = False
        # Whether keys go through ``_named``: long ones are hashed, or the client is closed.
        self._looks_at_keys = options.long_keys == "hash"
        prefix = options.prefix
        self._prefix = prefix.encode() if isinstance(prefix, str) else prefix
        most = _MAX_BINARY_KEY if operations.capabilities.binary_keys else _MAX_KEY
        self._room = most - len(self._prefix)
        # Beyond this many bytes a value is stored in parts.
        self._part_size = options.part_size if options.large_values == "split" else sys.maxsize

    @property
    def options(self) -> ClientOptions:
        """The options."""
        return self._options

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._operations!r}>"

    def _close(self) -> None:
        """Let operations raise ``ClientClosedError`` from now on."""
        self._is_closed = True
        self._looks_at_keys = True

    def _of_fleet(self) -> Any:
        """Return the sharded client, for what asks each server of a fleet."""
        self._require_open()
        if self._sharded is None:
            raise NotSupportedError(f"{self._operations!r} is no client of addresses")
        return self._sharded

    def _disconnecting(self) -> Any:
        """Return what drops the connections."""
        self._require_open()
        target = self._owned if self._sharded is None else self._sharded
        if not hasattr(target, "disconnect_all"):
            raise NotSupportedError(f"{target!r} cannot connect again: make another client")
        return target

    # Keys, values, failures

    def _named(self, key: Key) -> Key:
        """Return the key to send for a key that may be too long, unless the client is closed."""
        self._require_open()
        if isinstance(key, str):
            if 4 * len(key) <= self._room and not key.startswith("sha256:"):
                return key
            raw = key.encode("utf-8", "surrogatepass")
        elif isinstance(key, bytes):
            raw = key
        else:
            return key
        if len(raw) <= self._room and not raw.startswith(_HASHED):
            return key
        from hashlib import sha256  # it loads OpenSSL

        return _HASHED + sha256(raw).hexdigest().encode()

    def _all_named(self, keys: list[Any]) -> list[Any]:
        self._require_open()
        return [self._named(key) for key in keys]

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClientClosedError("the client was closed")

    def _encoded(self, value: Any) -> tuple[bytes, int]:
        """Return the data and the flags of a value."""
        return self._codec.encode(value)

    def _expiry(self, expire: Any) -> Any:
        if type(expire) is int and 0 <= expire <= _MONTH:
            return expire
        return as_expiry(expire, self._options.wall_clock)

    def _value(self, key: Key, response: GetResponse, default: Any) -> Any:
        """Return the value of an answer, or `default` where it has none."""
        value = response._value
        if value is None:
            error = response.error
            if error is None or (self._forgives and isinstance(error, FAILURES)):
                return default
            raise error
        if response._flags == 0:
            # Nothing at all is what a lease leaves that nobody has filled yet.
            return value if value else default
        try:
            return self._codec.decode(key, value, response._flags)
        except UnreadableValueError:
            if not self._skips:
                raise
        return default

    def _is_lease(self, response: Any) -> bool:
        """Return whether an answer is an empty item without flags: a lease that is out."""
        return response.value is not None and not (response.value or response.flags)

    def _no_token(self, key: Key) -> int:
        """Raise the error of a value that came without a token."""
        where = ""
        if self._sharded is not None:
            fleet = self._sharded.manager.fleet()
            where = f" of shard {fleet.of(key)} at {fleet.shards[fleet.of(key)].address}"
        raise NotSupportedError(
            f"the server{where} has no CAS tokens, as memcached with -C (--disable-cas): get gives "
            "the value, and cas cannot be done"
        )

    def _done(self, response: Any) -> bool:
        """Return whether an operation did what was asked; raise why it failed."""
        if type(response) is MutateResponse:  # which has no error
            answer: MutateResponse = response
            return answer._status is _OK
        error = response.error
        if error is not None:
            raise error
        return response.status is _OK

    def _sorted(
        self, answers: dict[Any, Any], found: dict[Any, Any], errors: dict[Any, Exception]
    ) -> dict[Any, Any] | None:
        """Put the values of the answers into `found`, what some keys have into `errors`.

        Returns the heads of values in parts with their tokens, None if there are none.
        """
        heads: dict[Any, Any] | None = None
        last: Any = None  # many keys have one error, where a server is silent
        for key, each in answers.items():
            response: GetResponse = each
            value = response._value
            if value is not None and response._flags == 0:
                if value:
                    found[key] = value
            elif value is not None:
                try:
                    decoded = self._codec.decode(key, value, response._flags)
                except UnreadableValueError as unreadable:
                    if not self._skips:
                        errors[key] = unreadable
                    continue
                if type(decoded) is not Head:
                    found[key] = decoded
                    continue
                if heads is None:
                    heads = {}
                heads[key] = decoded, response._cas
            else:
                error = response.error
                if error is not None:
                    if error is not last and isinstance(error, _MISTAKES):
                        raise error
                    last = error
                    if not (self._forgives and isinstance(error, FAILURES)):
                        errors[key] = error
        return heads

    def _whole(
        self,
        heads: dict[Any, Any],
        found: dict[Any, Any],
        errors: dict[Any, Exception],
        until: int | None = None,
    ) -> "Steps[dict[Any, int]]":
        """Put the values that heads stand for into `found`; return their tokens."""
        whole, failed = yield from parts.fetch_many(self, heads, until)
        found.update((key, value) for key, (value, _) in whole.items())
        errors.update(failed)
        return {key: token for key, (_, token) in whole.items()}

    def _with_tokens(
        self, answers: dict[Any, Any], found: dict[Any, Any], tokens: dict[Any, int]
    ) -> dict[Any, Any]:
        """Return the values found with their tokens; those in parts have theirs in `tokens`."""
        return {
            key: (found[key], tokens.get(key) or answers[key].cas or self._no_token(key))
            for key in answers
            if key in found
        }

    def _refuse_partial(
        self, found: dict[Any, Any], errors: dict[Any, Exception], asked: int
    ) -> None:
        if not errors:
            return
        if not found and all(isinstance(error, NotSupportedError) for error in errors.values()):
            raise next(iter(errors.values()))  # no failure of the network
        raise partial_error(found, errors, asked)

    def _failed(self, keys: list[Key], answers: list[Any], missing: bool) -> FailedKeys:
        """Return the keys whose answer is no success; with `missing`, one that is not there is."""
        failed = FailedKeys()
        last: Any = None  # as above
        for key, response in zip(keys, answers, strict=True):
            status, error = response.status, response.error
            if status is _OK and error is None:
                continue
            if error is not last and isinstance(error, _MISTAKES):
                raise error
            last = error
            if error is not None or not (missing and status is _MISS):
                failed.add(key, error)
        return failed

    def _check(self, response: Any) -> None:
        error = response.error
        if error is not None and not (self._forgives and isinstance(error, FAILURES)):
            raise error

    def _long_names(self, keys: list[Any]) -> dict[Any, Any]:
        """Return the name to send for each key."""
        self._require_open()
        names = by_key(keys)
        for key in names:
            names[key] = self._named(key)
        return names

    def _has_large(self, data: list[bytes]) -> bool:
        """Return whether some values are to be stored in parts."""
        return any(len(each) > self._part_size for each in data)

    def _to_set(self, values: Any, expire: Any) -> tuple[Any, ...]:
        """Return the keys given, their names, data and flags, and the expiry."""
        if not hasattr(values, "items"):
            raise InvalidTypeError(f"values must be a mapping of keys, got {shown(values)}")
        until = self._expiry(expire)
        given, data, flags = self._codec.encode_items(values)
        names = self._all_named(given) if self._looks_at_keys else given
        return given, names, data, flags, until

    def _until(self, delay: Any) -> int:
        """Return what ``flush`` takes for a delay."""
        self._require_open()
        return max(as_expiry(delay, self._options.wall_clock, name="delay"), 0)  # at once, too

    def _listing(self) -> Any:
        """Return what lists the servers' keys."""
        self._require_open()
        if not hasattr(self._operations, "iter_keys"):
            raise NotSupportedError(
                "iter_keys needs a connection of its own to each server: a raw client has one"
            )
        return self._operations.iter_keys

    def _own_key(self, info: KeyInfo) -> KeyInfo | None:
        """Return a key without the client's prefix, None if it has another."""
        if not self._prefix:
            return info
        if not info.key.startswith(self._prefix) or info.key == self._prefix:
            return None
        return info._replace(key=info.key[len(self._prefix) :])

    # Operations of several steps, which yield calls and take what these return

    def _extending(self, verb: str, key: Key, more: Any) -> "Steps[bool]":
        """The steps of ``append`` and ``prepend``."""
        name = self._named(key) if self._looks_at_keys else key
        data = _as_bytes(more)
        operations = self._operations
        call = operations.append if verb == "append" else operations.prepend
        by_token = operations.capabilities.conditional_replace
        refused: bytes | None = None  # the value that the server did not extend
        for _ in range(_EXTEND_TRIES):
            seen: GetResponse = yield partial(operations.get, name)
            if seen.error is not None:
                raise seen.error
            value = seen.value
            if value is None or not (value or seen.flags):
                return False  # there is none, or a lease that nobody has filled yet
            if value == refused:
                raise _not_extended(verb, key, len(value) + len(data))
            _check_extensible(verb, key, seen.flags, data)
            if not (by_token and seen.cas and len(data) < MAYBE_TOO_LARGE):
                response = yield partial(call, name, data)
                if self._done(response):
                    return (yield from self._checking(verb, key, name, data))
            else:
                try:
                    response = yield partial(call, name, data, seen.cas)
                except NotSupportedError:  # by a server that knows ASCII alone
                    by_token = False
                    continue
                if response.error is None and response.status is _EXISTS:
                    continue
                if self._done(response):
                    return True
            if response.skipped:
                return False
            refused = value
        raise ServerError(
            f"the value of {key!r} was changed by others {_EXTEND_TRIES} times", key=key
        )

    def _checking(self, verb: str, key: Key, name: Key, data: bytes) -> "Steps[bool]":
        """Return True if what was extended without a token was what was looked at.

        Else another client stored a value of another kind in between, and what is there now is
        that with `data` in it: it is deleted, as a value that is gone can be made anew.
        """
        seen: GetResponse = yield partial(self._operations.get, name)
        value = seen.value
        if value is None or seen.flags in _EXTENSIBLE:
            return True
        if not (value.endswith(data) if verb == "append" else value.startswith(data)):
            return True  # it was stored afterwards
        self._done((yield partial(self._operations.delete, name)))
        raise ServerError(
            f"another client stored a value of {key!r} that is compressed or serialised while this "
            f"one did its {verb}: it was damaged, and deleted",
            key=key,
        )

    def _counting(
        self, verb: str, key: Key, delta: Any, initial: Any, expire: Any
    ) -> "Steps[int | None]":
        """The steps of ``incr`` and ``decr``."""
        name = self._named(key) if self._looks_at_keys else key
        first = initial
        if first is not None:
            first = ranged("initial", initial, 0, 1 << 64, "[0, 2**64)")
        until = self._expiry(expire)
        count, add = self._counters(verb)
        for _ in range(_COUNT_TRIES):
            answer = yield partial(count, name, delta)
            if type(answer) is int:
                return answer
            if self._done(answer):
                counted: int = answer.count
                return counted
            if first is None or answer.skipped:
                return None
            # An item of one's own, whose flags say that it is an int, which no server's would.
            added = yield partial(add, name, b"%d" % first, INT, until, 0)
            if added is None or self._done(added):
                made: int = first
                return made
        raise ServerError(f"the counter {key!r} came and went {_COUNT_TRIES} times", key=key)

    def _counters(self, verb: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return what counts, and what adds an item, as ``ShardedClient`` writes one key."""
        operations = self._operations

        def add(key: Key, data: bytes, flags: int, expire: int, cas: int) -> Any:
            return operations.add(Item(key, data, flags, cas, expire))

        return operations.increment if verb == "incr" else operations.decrement, add


def _not_extended(verb: str, key: Key, size: int) -> ServerError:
    """Return the error of a value that is there, and was not stored with more of `size` in all.

    Servers say of it what they say of a missing key.
    """
    return ServerError(
        f"the server did not store what {verb} makes of the value of {shown(key)}, {size} bytes: it"
        " has no memory for it, or it is too large (the limit is the server's option -I, by default"
        " 1 MiB)",
        key=key,
        size=size,
        status=ResponseStatus.ITEM_NOT_STORED,
    )


def _as_bytes(more: Any) -> bytes:
    """Return what is to be added to a value."""
    if isinstance(more, str):
        try:
            return more.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"more must be text for UTF-8: {error}") from None
    try:
        return memoryview(more).tobytes()
    except TypeError:
        raise InvalidTypeError(f"more must be bytes-like or str, got {shown(more)}") from None


def _check_extensible(verb: str, key: Key, flags: int, data: bytes) -> None:
    """Raise unless a value with these flags is still one with `data` added to it."""
    if flags == PARTS:
        raise InvalidArgumentError(
            f"{verb} takes a value that is one item; that of {shown(key)} is stored in parts"
        )
    if flags not in _EXTENSIBLE:
        raise InvalidArgumentError(
            f"{verb} takes a value that is bytes or text stored as it is; that of {shown(key)} is "
            f"compressed, serialized or a number, flags 0x{flags:x}"
        )
    if flags == TEXT:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(
                f"more must be text for UTF-8, as the value of {shown(key)} is: {error}"
            ) from None


def server_list(servers: Any) -> list[str]:
    """Return the addresses that a client's `servers` are; one alone is a list of one."""
    if isinstance(servers, str):
        servers = [servers]
    return listed_addresses("servers", servers, ", one of them alone, or a shard manager")


def listed(keys: Any) -> list[Any]:
    """Return the keys of a batch; one key alone is a mistake, not a batch of its letters."""
    if isinstance(keys, (str, bytes)):
        raise InvalidTypeError(f"keys must be an iterable of keys, got {shown(keys)}")
    return list(keys)
