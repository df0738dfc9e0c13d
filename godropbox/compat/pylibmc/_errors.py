"""Exceptions of pylibmc, by its names and codes, and what they make of an error of ours. No I/O."""

from typing import Any, Final, cast

from ...memcache import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NetworkError,
    ReplyError,
    ResponseStatus,
    UnmappedKeyError,
)
from ...memcache import ServerError as RefusedError

__all__ = [
    "EXCEPTIONS",
    "AllocationError",
    "BadKeyProvided",
    "CacheMiss",
    "ClientError",
    "ConnectionBindError",
    "ConnectionError",
    "DataDoesNotExist",
    "DataExists",
    "Error",
    "Failure",
    "FetchNotFinished",
    "HostLookupError",
    "InvalidHostProtocolError",
    "NoServers",
    "NotFound",
    "NotSupportedError",
    "ProtocolError",
    "ReadError",
    "ServerDead",
    "ServerDown",
    "ServerError",
    "SocketCreateError",
    "SomeErrors",
    "TooBig",
    "UnixSocketError",
    "UnknownReadFailure",
    "UnknownStatKey",
    "WriteError",
    "bad_key",
    "explained",
    "is_bad_key",
]

_MAX_KEY: Final = 250
_TIMEOUT: Final = 31  # libmemcached's code; pylibmc has no class for it

EXCEPTIONS: list[tuple[str, type[Exception]]] = []
"""Names and classes, in pylibmc's order."""


class Error(Exception):
    """Base of all errors of this module; `retcode` is libmemcached's code."""

    __module__ = "pylibmc"


class CacheMiss(Error):  # noqa: N818  # its name there
    """Raised by a ``deserialize`` of one's own: the value counts as missing."""

    __module__ = "pylibmc"


def _kind(name: str, code: int, meaning: str) -> type[Error]:
    fields = {"__doc__": meaning, "__module__": "pylibmc", "retcode": code}
    kind = type(name, (Error,), fields)
    EXCEPTIONS.append((name, kind))
    return kind


EXCEPTIONS += [("Error", Error), ("CacheMiss", CacheMiss)]
Failure = _kind("Failure", 1, "The operation failed.")
HostLookupError = _kind("HostLookupError", 2, "A server's name has no address.")
ConnectionError = _kind("ConnectionError", 3, "No connection to a server, or it broke.")  # noqa: A001
ConnectionBindError = _kind("ConnectionBindError", 4, "Not raised here.")
WriteError = _kind("WriteError", 5, "Not raised here.")
ReadError = _kind("ReadError", 6, "Not raised here.")
UnknownReadFailure = _kind("UnknownReadFailure", 7, "Not raised here.")
ProtocolError = _kind("ProtocolError", 8, "A server's reply does not fit the request.")
ClientError = _kind("ClientError", 9, "A server refused the request as wrong.")
ServerError = _kind("ServerError", 10, "A server failed.")
SocketCreateError = _kind("SocketCreateError", 11, "Not raised here.")
DataExists = _kind("DataExists", 12, "Not raised here.")
DataDoesNotExist = _kind("DataDoesNotExist", 13, "Not raised here.")
NotFound = _kind("NotFound", 16, "There is no value to count or to replace.")
AllocationError = _kind("AllocationError", 17, "A server is out of memory.")
SomeErrors = _kind("SomeErrors", 19, "An operation on all servers failed for some.")
NoServers = _kind("NoServers", 20, "Not raised here.")
UnixSocketError = _kind("UnixSocketError", 27, "No connection to a Unix socket.")
NotSupportedError = _kind("NotSupportedError", 28, "What libmemcached has, and this has not.")
FetchNotFinished = _kind("FetchNotFinished", 30, "Not raised here.")
BadKeyProvided = _kind("BadKeyProvided", 33, "A key is empty, or has a blank or control character.")
InvalidHostProtocolError = _kind("InvalidHostProtocolError", 34, "Not raised here.")
ServerDead = _kind("ServerDead", 35, "Not raised here.")
ServerDown = _kind("ServerDown", 47, "A server failed, and is left alone until it is tried again.")
TooBig = _kind("TooBig", 37, "A value is larger than a server takes.")
UnknownStatKey = _kind("UnknownStatKey", 36, "Not raised here.")

_REFUSALS: Final = {
    ResponseStatus.KEY_NOT_FOUND: NotFound,
    ResponseStatus.VALUE_TOO_LARGE: TooBig,
    ResponseStatus.INVALID_ARGUMENTS: ClientError,
    ResponseStatus.NON_NUMERIC_VALUE: ClientError,
    ResponseStatus.UNKNOWN_COMMAND: ClientError,
    ResponseStatus.OUT_OF_MEMORY: AllocationError,
}


def is_bad_key(error: object) -> bool:
    """Tell whether an error is about a key, before anything was sent."""
    return isinstance(error, (InvalidArgumentError, InvalidTypeError))


def bad_key(key: Any) -> Exception | None:
    """Return what pylibmc raises for a key that cannot be sent, None if it is soft about it.

    Soft are an empty key, and one with a blank or a control character.
    """
    if isinstance(key, str):
        try:
            key = key.encode()
        except UnicodeEncodeError as error:
            return error
    if not isinstance(key, bytes):
        return TypeError(f"key must be str or bytes, got {type(key).__name__}")
    if len(key) > _MAX_KEY:
        return ValueError(f"key length {len(key)} too long, max is {_MAX_KEY}")
    return None


def explained(what: str, error: BaseException) -> BaseException:
    """Return the exception of pylibmc for an error of the engine, which is its cause.

    `what` is the call that failed. What is no failure of a server or of the network comes back as
    it is.
    """
    kind, code = _kind_of(error)
    if kind is None:
        return error
    made: Exception = kind(f"error {code} from {what}: {error}")
    made.__cause__ = error
    return made


def _kind_of(error: BaseException) -> tuple[type[Error] | None, int]:
    kind: Any = None
    if isinstance(error, DeadlineExceededError):
        return Error, _TIMEOUT
    if isinstance(error, ReplyError):
        kind = ProtocolError
    elif isinstance(error, RefusedError):
        kind = _REFUSALS.get(cast("ResponseStatus", error.fields.get("status")), ServerError)
    elif isinstance(error, NetworkError):
        cause = _root(error)
        if type(cause).__name__ == "gaierror":
            kind = HostLookupError
        elif isinstance(cause, FileNotFoundError):
            kind = UnixSocketError
        else:
            kind = ConnectionError
    elif isinstance(error, UnmappedKeyError):
        kind = NoServers
    return (kind, kind.retcode) if kind is not None else (None, 0)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
