"""Responses: immutable results of memcache operations, compiled as they stand (``responses.pxd``).

Every key of every call gets a response, so the two common classes are small: they have no field
for an error, which only the subclasses for failures have. All of them are read the same way.

The two are not tracked by the garbage collector, which saves 2 us in a get of 100 keys. So they
hold only plain str and bytes, which refer to nothing. A key of a str or bytes subclass could refer
back to its response, so it goes into a subclass that is tracked.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._kernels._args import shown
from .._kernels._signature import declared
from .errors import InvalidTypeError
from .types import Key, ResponseStatus

if TYPE_CHECKING:
    import cython  # type: ignore[import-untyped]  # only its compiler reads this
else:
    from .._kernels import _uncompiled as cython

__all__ = [
    "CountResponse",
    "GetResponse",
    "MetaResponse",
    "MutateResponse",
    "Response",
    "StatsResponse",
    "VersionResponse",
    "failed_get",
    "failed_mutate",
    "fill_gets",
    "list_mutations",
    "one_get",
    "skipped_count",
    "skipped_get",
    "skipped_meta",
    "skipped_mutate",
    "stored_mutate",
]

_OK = ResponseStatus.OK
_MISS = ResponseStatus.KEY_NOT_FOUND
_NOT_STORED = ResponseStatus.ITEM_NOT_STORED
_STATUSES = {int(status): status for status in ResponseStatus}


def _shown(value: object) -> str:
    if isinstance(value, bytes) and len(value) > 60:
        return f"{value[:50]!r}... ({len(value)} bytes)"
    return value.name if isinstance(value, ResponseStatus) else repr(value)


@cython.no_gc
@cython.cclass
class _Answer:
    """Base of all responses: status, repr, equality, read-only fields."""

    __slots__ = ("_status",)
    __signature__ = declared

    def __init__(self, status: ResponseStatus) -> None:
        self._status = status

    @property
    def status(self) -> ResponseStatus:
        """The server's status, in the binary protocol's numbers."""
        return self._status

    @property
    def error(self) -> Exception | None:
        """The error, or None. A miss or a lost race is a status, not an error."""
        return None

    @property
    def skipped(self) -> bool:
        """Whether nothing was sent, because of the state of the key's shard."""
        return False

    @property
    def ok(self) -> bool:
        """Whether the operation succeeded."""
        return self._status is _OK and self.error is None

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (("status", self._status),)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self._fields())
        if self.error is not None:
            shown += f", error={self.error!r}"
        if self.skipped:
            shown += ", skipped=True"
        name = self._kind().__name__.removeprefix("_Failed").removeprefix("_Skipped")
        return f"{name}({shown})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Answer) or self._kind() is not other._kind():
            return NotImplemented
        return self._fields() == other._fields() and self.error is other.error

    def __hash__(self) -> int:
        return hash((self._kind(), self._status))

    def _kind(self) -> type:
        """Return the public class; the subclasses differ only in how they hold the key."""
        return type(self)


def _plain_key(key: Any) -> Key:
    """Return a key as plain str or bytes, which cannot be part of a reference cycle."""
    if type(key) is str or type(key) is bytes:
        return key
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bytes):
        return b"".join((key,))
    raise InvalidTypeError(f"key must be str or bytes, got {shown(key)}")


@cython.no_gc  # its fields cannot refer back to it
@cython.cclass
class GetResponse(_Answer):
    """Response for one key of a get; `value` is None unless the key was found.

    The constructor converts subclasses of str and bytes to plain str and bytes.
    """

    __slots__ = ("_cas", "_flags", "_key", "_value")

    def __init__(
        self,
        key: Key,
        status: ResponseStatus,
        value: bytes | None = None,
        flags: int = 0,
        cas: int = 0,
    ) -> None:
        self._key = _plain_key(key)
        self._status = status
        self._value = value if value is None or type(value) is bytes else b"".join((value,))
        self._flags = flags
        self._cas = cas

    @property
    def key(self) -> Key:
        """The key, as passed by the caller."""
        return self._key

    @property
    def value(self) -> bytes | None:
        """The value; None unless the key was found."""
        return self._value

    @property
    def flags(self) -> int:
        """The item's flags, in [0, 2**32)."""
        return self._flags

    @property
    def cas(self) -> int:
        """The item's CAS token, in [0, 2**64)."""
        return self._cas

    @property
    def found(self) -> bool:
        """Whether the key was found."""
        return self._status is _OK

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (
            ("key", self.key),
            ("status", self._status),
            ("value", self._value),
            ("flags", self._flags),
            ("cas", self._cas),
        )


class _HeldGetResponse(GetResponse):
    """Variant for a key of any type, tracked by the garbage collector."""

    __slots__ = ("_held",)

    def __init__(
        self,
        key: Key,
        status: ResponseStatus,
        value: bytes | None = None,
        flags: int = 0,
        cas: int = 0,
    ) -> None:
        GetResponse.__init__(self, "", status, value, flags, cas)
        self._held = key

    @property
    def key(self) -> Key:
        held: Key = self._held
        return held

    def _kind(self) -> type:
        return GetResponse if type(self) is _HeldGetResponse else type(self)


class _FailedGetResponse(_HeldGetResponse):
    __slots__ = ("_error",)

    def __init__(self, key: Key, status: ResponseStatus, error: Exception) -> None:
        _HeldGetResponse.__init__(self, key, status)
        self._error = error

    @property
    def error(self) -> Exception | None:
        return self._error


@cython.no_gc  # its fields cannot refer back to it
@cython.cclass
class MutateResponse(_Answer):
    """Response to a store, delete or touch; `cas` is the new CAS token if the server sent it.

    The constructor converts a key of a subclass to plain str or bytes.
    """

    __slots__ = ("_cas", "_key")

    def __init__(self, key: Key, status: ResponseStatus, cas: int = 0) -> None:
        self._key = _plain_key(key)
        self._status = status
        self._cas = cas

    @property
    def key(self) -> Key:
        """The key, as passed by the caller."""
        return self._key

    @property
    def cas(self) -> int:
        """The item's new CAS token; 0 if the protocol does not return it."""
        return self._cas

    @property
    def found(self) -> bool:
        """Whether the item exists: False only for KEY_NOT_FOUND."""
        return self._status is not _MISS

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (("key", self.key), ("status", self._status), ("cas", self._cas))


class _HeldMutateResponse(MutateResponse):
    """Variant for a key of any type, tracked by the garbage collector."""

    __slots__ = ("_held",)

    def __init__(self, key: Key, status: ResponseStatus, cas: int = 0) -> None:
        MutateResponse.__init__(self, "", status, cas)
        self._held = key

    @property
    def key(self) -> Key:
        held: Key = self._held
        return held

    def _kind(self) -> type:
        return MutateResponse if type(self) is _HeldMutateResponse else type(self)


class _FailedMutateResponse(_HeldMutateResponse):
    __slots__ = ("_error",)

    def __init__(self, key: Key, status: ResponseStatus, error: Exception) -> None:
        _HeldMutateResponse.__init__(self, key, status)
        self._error = error

    @property
    def error(self) -> Exception | None:
        return self._error


class Response(_Answer):
    """Response to an operation on the whole server."""

    __slots__ = ("_error",)

    def __init__(self, status: ResponseStatus, error: Exception | None = None) -> None:
        self._status = status
        self._error = error

    @property
    def error(self) -> Exception | None:
        return self._error


class CountResponse(Response):
    """Response to an increment or decrement; `count` is the counter's new value."""

    __slots__ = ("_count", "_key")

    def __init__(
        self, key: Key, status: ResponseStatus, count: int = 0, error: Exception | None = None
    ) -> None:
        self._key = key
        self._status = status
        self._count = count
        self._error = error

    @property
    def key(self) -> Key:
        """The key, as passed by the caller."""
        return self._key

    @property
    def count(self) -> int:
        """The counter's new value; 0 unless the status is OK."""
        return self._count

    @property
    def found(self) -> bool:
        """Whether the counter exists: False only for KEY_NOT_FOUND."""
        return self._status is not _MISS

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (("key", self._key), ("status", self._status), ("count", self._count))


class VersionResponse(Response):
    """Response with the version of each server."""

    __slots__ = ("_versions",)

    def __init__(
        self,
        status: ResponseStatus,
        versions: Mapping[int, str],
        error: Exception | None = None,
    ) -> None:
        self._status = status
        self._versions = versions
        self._error = error

    @property
    def versions(self) -> Mapping[int, str]:
        """Versions by shard id."""
        return self._versions

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (("status", self._status), ("versions", self._versions))


class StatsResponse(Response):
    """Response with the statistics of each server."""

    __slots__ = ("_entries",)

    def __init__(
        self,
        status: ResponseStatus,
        entries: Mapping[int, Mapping[str, str]],
        error: Exception | None = None,
    ) -> None:
        self._status = status
        self._entries = entries
        self._error = error

    @property
    def entries(self) -> Mapping[int, Mapping[str, str]]:
        """Statistics by shard id, then by name."""
        return self._entries

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (("status", self._status), ("entries", self._entries))


class MetaResponse(_HeldGetResponse):
    """Response to one meta command: the item, and the metadata that only meta returns."""

    __slots__ = ("_details", "_error")

    def __init__(
        self,
        key: Key,
        status: ResponseStatus,
        value: bytes | None = None,
        flags: int = 0,
        cas: int = 0,
        details: Mapping[str, int | None] | None = None,
        error: Exception | None = None,
    ) -> None:
        _HeldGetResponse.__init__(self, key, status, value, flags, cas)
        self._details = {} if details is None else details
        self._error = error

    @property
    def error(self) -> Exception | None:
        return self._error

    @property
    def won(self) -> bool:
        """Whether this client won the lease and should recache the item (flag W)."""
        return bool(self._details.get("won"))

    @property
    def taken(self) -> bool:
        """Whether another client holds the lease (flag Z)."""
        return bool(self._details.get("taken"))

    @property
    def stale(self) -> bool:
        """Whether the item is marked stale (flag X)."""
        return bool(self._details.get("stale"))

    @property
    def ttl(self) -> int | None:
        """Seconds to live, -1 for no expiry; None unless requested (flag t)."""
        return self._details.get("ttl")

    @property
    def size(self) -> int | None:
        """Size of the value in bytes; None unless requested (flag s)."""
        return self._details.get("size")

    @property
    def hit_before(self) -> bool | None:
        """Whether the item was hit before; None unless requested (flag h)."""
        hit = self._details.get("hit_before")
        return None if hit is None else bool(hit)

    @property
    def last_access(self) -> int | None:
        """Seconds since the last access; None unless requested (flag l)."""
        return self._details.get("last_access")

    def _fields(self) -> tuple[tuple[str, object], ...]:
        return (*GetResponse._fields(self), *self._details.items())


class _SkippedGetResponse(_HeldGetResponse):
    __slots__ = ()

    @property
    def skipped(self) -> bool:
        return True


class _SkippedMutateResponse(_HeldMutateResponse):
    __slots__ = ()

    @property
    def skipped(self) -> bool:
        return True


class _SkippedCountResponse(CountResponse):
    __slots__ = ()

    @property
    def skipped(self) -> bool:
        return True


class _SkippedMetaResponse(MetaResponse):
    __slots__ = ()

    @property
    def skipped(self) -> bool:
        return True


def skipped_get(key: Key) -> GetResponse:
    """Return the response for a key of a get that was not sent: a miss."""
    return _SkippedGetResponse(key, _MISS)


def skipped_meta(key: Key) -> MetaResponse:
    """Return the response to a meta command that was not sent: a miss."""
    return _SkippedMetaResponse(key, _MISS)


def skipped_mutate(key: Key) -> MutateResponse:
    """Return the response for a key of a store, delete or touch that was not sent."""
    return _SkippedMutateResponse(key, _NOT_STORED)


def skipped_count(key: Key) -> CountResponse:
    """Return the response to an increment or decrement that was not sent: a missing counter."""
    return _SkippedCountResponse(key, _MISS)


def failed_get(key: Key, status: ResponseStatus, error: Exception) -> GetResponse:
    """Return the response for a key of a get that failed."""
    response = _FailedGetResponse.__new__(_FailedGetResponse)  # as all keys of a batch may fail
    response._key = ""
    response._held = key
    response._status = status
    response._value = None
    response._flags = response._cas = 0
    response._error = error
    return response


def failed_mutate(key: Key, status: ResponseStatus, error: Exception) -> MutateResponse:
    """Return the response for a key of a store or delete that failed."""
    response = _FailedMutateResponse.__new__(_FailedMutateResponse)
    response._key = ""
    response._held = key
    response._status = status
    response._cas = 0
    response._error = error
    return response


def stored_mutate(key: Key, status: ResponseStatus, cas: int = 0) -> MutateResponse:
    """Return the response for a key of a store or delete that the server replied to."""
    if type(key) is not str and type(key) is not bytes:
        return _HeldMutateResponse(key, status, cas)
    response = MutateResponse.__new__(MutateResponse)
    response._key = key
    response._status = status
    response._cas = cas
    return response


def one_get(key: Key, value: bytes | None, flags: int, cas: int) -> GetResponse:
    """Return the answer for a key; a value of None is a miss."""
    if type(key) is not str and type(key) is not bytes:
        return _HeldGetResponse(key, _MISS if value is None else _OK, value, flags, cas)
    response = GetResponse.__new__(GetResponse)
    response._key = key
    response._value = value
    response._status = _MISS if value is None else _OK
    response._flags = flags
    response._cas = cas
    return response


def fill_gets(
    found: dict[Key, GetResponse],
    keys: list[Key],
    values: list[bytes | None],
    flags: Sequence[int],
    cas: Sequence[int],
) -> dict[Key, GetResponse]:
    """Put a response for each key into `found`; a value of None is a miss."""
    if not len(keys) == len(values) == len(flags) == len(cas):
        raise ValueError("keys, values, flags and cas must be of one length")
    at = 0
    size = len(keys)
    for key in keys:
        value = values[at]
        if type(key) is not str and type(key) is not bytes:
            found[key] = one_get(key, value, flags[at], cas[at])
            at += 1
            if at == size or size != len(keys) or size != len(values):
                break  # the key's own __hash__ may have changed the lists
            continue
        response = GetResponse.__new__(GetResponse)
        response._key = key
        response._value = value
        response._status = _MISS if value is None else _OK
        response._flags = flags[at]
        response._cas = cas[at]
        found[key] = response
        at += 1
    return found


def list_mutations(keys: list[Key], statuses: bytes, cas: Sequence[int]) -> list[MutateResponse]:
    """Return a response for each key; statuses must be 0, 1, 2 or 5, which are not errors."""
    if not len(keys) == len(statuses) == len(cas):
        raise ValueError("keys, statuses and cas must be of one length")
    responses: list[MutateResponse] = []
    at = 0
    for key in keys:
        if type(key) is not str and type(key) is not bytes:
            responses.append(stored_mutate(key, _STATUSES[statuses[at]], cas[at]))
            at += 1
            continue
        response = MutateResponse.__new__(MutateResponse)
        response._key = key
        response._status = _STATUSES[statuses[at]]
        response._cas = cas[at]
        responses.append(response)
        at += 1
    return responses
