"""What an operation over a fleet comes to: errors that name the shard and the key, and answers.

A status stands beside every error, as it does where a server sends one: WRONG_VBUCKET for a key of
no shard, BUSY where every connection is on loan, TEMPORARY_FAILURE for failures of the network, and
INTERNAL_ERROR for a reply that cannot be trusted. No I/O. Compiled as it stands.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._kernels._guarded import FIELDS, brief, set_args, text_of
from ..errors import ConnectionLostError, DropboxError, NetworkError, UsageError
from ..resource_pool import LameDuckError, PoolExhaustedError
from .errors import (
    ClientClosedError,
    InvalidTypeError,
    NotSupportedError,
    ReplyError,
    ServerError,
    UnmappedKeyError,
)
from .fleet.shards import Shard
from .protocol.exchange import (
    CountExchange,
    Exchange,
    GetExchange,
    MetaGetExchange,
    MutateExchange,
)
from .responses import (
    CountResponse,
    MetaResponse,
    MutateResponse,
    failed_get,
    failed_mutate,
    one_get,
    skipped_count,
    skipped_get,
    skipped_meta,
    skipped_mutate,
    stored_mutate,
)
from .types import Key, ResponseStatus

__all__ = [
    "closed",
    "deleted_only",
    "failed_answer",
    "forgiven",
    "is_lost",
    "kind_of",
    "located",
    "named",
    "refused",
    "require_open",
    "settled",
    "size_of",
    "status_of",
    "together",
    "touched_only",
    "unmapped_error",
    "unsupported",
    "untouched",
]

_OK = ResponseStatus.OK
_CALLERS = (ResponseStatus.INVALID_ARGUMENTS, ResponseStatus.NOT_SUPPORTED)

# What stands for an exchange that was not carried: its kind, as skipped, as failed.
_KINDS: tuple[tuple[type[Exchange], Callable[[Key], Any], Callable[..., Any]], ...] = (
    (MetaGetExchange, skipped_meta, lambda k, s, e: MetaResponse(k, s, error=e)),
    (GetExchange, skipped_get, failed_get),
    (CountExchange, skipped_count, lambda k, s, e: CountResponse(k, s, 0, e)),
    (MutateExchange, skipped_mutate, failed_mutate),
)


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


def _named(shard: Shard) -> dict[str, Any]:
    """Return the fields by which an error names a shard."""
    fields = {"shard": shard.id, "address": shard.address}
    return fields if shard.name == shard.address else {**fields, "name": shard.name}


def located(shard: Shard, error: Exception) -> Exception:
    """Return a connection's error as the same error of a shard, whose id its fields have too."""
    if isinstance(error, NotSupportedError) and "address" in error.fields:
        fields = {**error.fields, **_named(shard)}
        lacking = NotSupportedError(
            f"shard {shard.where.removesuffix(shard.address)}{error}", **fields
        )
        lacking.__cause__ = error.__cause__
        return lacking
    if not isinstance(error, (NetworkError, ReplyError)) or "shard" in error.fields:
        return error
    fields = {**error.fields, **_named(shard)}
    try:
        found = type(error)(f"shard {shard.where}: {text_of(error)}")
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


def is_lost(error: Any) -> bool:
    """Return whether a connection was lost: reset, or closed before the reply was complete.

    Another may have the answer, but not one that is late, or refused.
    """
    cause = error
    if isinstance(error, DropboxError):
        cause = error.__cause__ if isinstance(error, ConnectionLostError) else None
    if isinstance(cause, ConnectionError):
        return not isinstance(cause, ConnectionRefusedError)
    # The end of what TLS carries, by its name: only those who use TLS load ``ssl``.
    return type(cause).__name__ in ("SSLEOFError", "SSLZeroReturnError")


def size_of(exchange: Any) -> int | None:
    """Return the size of the value of a store; None if it is not sent by itself, as large ones."""
    sizes = [memoryview(part).nbytes for part in exchange.request]
    return max(sizes) if len(sizes) > 1 else None


def named(error: Exception, key: Any) -> Exception:
    """Name the key of an operation in the error of a reply that does not answer it; return it."""
    if type(error) is ReplyError and "key" not in error.fields:
        fields = {**error.fields, "key": key}
        set_args(error, (f"{error.message} (key {brief(key)})",))
        error.__dict__[FIELDS] = fields
    return error


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


def kind_of(exchange: Exchange) -> tuple[Any, Callable[[Key], Any], Callable[..., Any]]:
    for kind in _KINDS:
        if isinstance(exchange, kind[0]):
            return kind
    raise InvalidTypeError(f"make must give an exchange of one key, got {exchange!r}")


def failed_answer(exchange: Any, error: Exception) -> Any:
    """Return the answer to an exchange with one key that failed."""
    return kind_of(exchange)[2](exchange.key, status_of(error), error)


def untouched(key: Key, touched: Any) -> Any:
    """Return the answer to a get of a key that was not touched."""
    if touched.error is not None:
        return failed_get(key, touched.status, touched.error)
    return skipped_get(key) if touched.skipped else one_get(key, None, 0, 0)


def unsupported(answers: Mapping[Any, Any]) -> list[Any]:
    """Return the keys whose servers do not know what they were asked."""
    return [key for key, answer in answers.items() if isinstance(answer.error, NotSupportedError)]


def touched_only(touched: Iterable[Any], found: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the answers to gets of keys that were touched just before, in `found` if that went."""
    return {each.key: found[each.key] if each.ok else untouched(each.key, each) for each in touched}


def deleted_only(deleted: Iterable[Any], found: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the answers to gets of keys that were deleted just after; a failure of that counts."""
    return {
        each.key: untouched(each.key, each) if each.error is not None else found[each.key]
        for each in deleted
    }


def unmapped_error(key: Key) -> UnmappedKeyError:
    return UnmappedKeyError(f"no shard has the key {brief(key)}")


def forgiven(answer: Any) -> Any:
    """Return the answer to a sentinel's write on a server that warms up: a failure is a success.

    A mistake of the caller, or a command that the server does not know, stays an error.
    """
    if not isinstance(answer, MutateResponse) or answer.ok or answer.skipped:
        return answer
    if isinstance(answer.error, UsageError) and answer.status in _CALLERS:
        return answer
    return stored_mutate(answer.key, _OK)
