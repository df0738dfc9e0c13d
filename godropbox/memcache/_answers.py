"""The answers of a sharded client for what no server answered: skipped, failed, unmapped.

A status stands beside every error, as it does where a server sends one: WRONG_VBUCKET for a key of
no shard, BUSY where no connection was to be had, TEMPORARY_FAILURE for the network's failures, and
INTERNAL_ERROR for a reply that cannot be trusted.
"""

from collections.abc import Callable
from typing import Any

from ..errors import NetworkError, UsageError
from ..resource_pool import LameDuckError, PoolExhaustedError
from .errors import ClientClosedError, InvalidTypeError, NotSupportedError, UnmappedKeyError
from .protocol.exchange import CountExchange, Exchange, GetExchange, MetaGetExchange, MutateExchange
from .responses import (
    CountResponse,
    MetaResponse,
    MutateResponse,
    failed_get,
    failed_mutate,
    skipped_count,
    skipped_get,
    skipped_meta,
    skipped_mutate,
    stored_mutate,
)
from .types import Key, ResponseStatus

__all__ = [
    "failed",
    "forgiven",
    "require_open",
    "skipped",
    "status_of",
    "together",
    "unmapped",
    "was_closed",
]

_OK = ResponseStatus.OK
_CALLERS = (ResponseStatus.INVALID_ARGUMENTS, ResponseStatus.NOT_SUPPORTED)

# What stands for an exchange that was not made: kind, skipped, failed.
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


def was_closed(manager: Any) -> ClientClosedError | None:
    """Return the error for an operation over a manager that was closed; None if it is open."""
    if getattr(manager, "is_closed", False):
        return ClientClosedError("the client was closed, or the shard manager that it goes over")
    return None


def require_open(manager: Any) -> None:
    """Raise ``ClientClosedError`` if a manager was closed."""
    error = was_closed(manager)
    if error is not None:
        raise error


def unmapped(key: Key) -> UnmappedKeyError:
    """Return the error for a key of no shard."""
    return UnmappedKeyError(f"no shard has the key {key!r:.200}")


def _kind(exchange: Exchange) -> tuple[Any, Callable[[Key], Any], Callable[..., Any]]:
    for kind in _KINDS:
        if isinstance(exchange, kind[0]):
            return kind
    raise InvalidTypeError(f"make must give an exchange of one key, got {exchange!r}")


def skipped(exchange: Any) -> Any:
    """Return the answer to an exchange with one key that was left out."""
    return _kind(exchange)[1](exchange.key)


def failed(exchange: Any, error: Exception) -> Any:
    """Return the answer to an exchange with one key that could not be."""
    return _kind(exchange)[2](exchange.key, status_of(error), error)


def forgiven(answer: Any) -> Any:
    """Return the answer to a sentinel's write on a server that warms up: a failure is a success.

    What the caller did wrong, or the server does not know, stays an error.
    """
    if not isinstance(answer, MutateResponse) or answer.ok or answer.skipped:
        return answer
    if isinstance(answer.error, UsageError) and answer.status in _CALLERS:
        return answer
    return stored_mutate(answer.key, _OK)


def together(errors: list[Exception], asked: int) -> tuple[ResponseStatus, Exception | None]:
    """Return the status and the error of an operation on `asked` servers, of which some failed."""
    if not errors:
        return _OK, None
    if len(errors) == 1:
        return status_of(errors[0]), errors[0]
    message = f"{len(errors)} of {asked} shards failed: " + "; ".join(map(str, errors))
    status = status_of(errors[0])
    return status, NetworkError(message, cause=ExceptionGroup(message, errors))
