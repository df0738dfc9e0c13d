"""Failures of batches: the keys that failed, and the error of each. No I/O."""

from collections.abc import Mapping
from typing import Any, Final

from .._kernels._guarded import brief, text_of
from ..errors import DropboxError
from ..resource_pool import PoolExhaustedError
from .errors import NetworkError, ServerError
from .types import Key

__all__ = [
    "FAILURES",
    "FailedKeys",
    "PartialNetworkError",
    "PartialResultError",
    "PartialServerError",
    "partial_error",
]


FAILURES: Final = (NetworkError, ServerError, PoolExhaustedError)
"""Errors that ``failures="miss"`` turns into misses: those that are not the caller's mistake."""


class FailedKeys(list[Key]):
    """Keys that a batch failed to store or delete, as passed by the caller; empty on success.

    `errors` has the error of each key; a key without one was skipped, because its shard does not
    serve now.
    """

    # Created on first use: most batches have no failure.
    __slots__ = ("_errors",)

    @property
    def errors(self) -> dict[Key, Exception]:
        """Errors by key."""
        try:
            return self._errors
        except AttributeError:
            self._errors: dict[Key, Exception] = {}
            return self._errors

    def add(self, key: Key, error: Exception | None) -> None:
        """Append `key`, with its error if there is one."""
        self.append(key)
        if error is not None:
            self.errors[key] = error


class PartialResultError(DropboxError):
    """A get of many keys failed for some of them.

    `found` has the values of the others, `errors` the error of each key that failed.
    """

    found: Mapping[Key, Any]
    errors: Mapping[Key, Exception]


class PartialNetworkError(PartialResultError, NetworkError):
    """Some keys failed because of the network or a timeout."""


class PartialServerError(PartialResultError, ServerError):
    """Some keys were refused by their servers, or their values cannot be read."""


def partial_error(
    found: Mapping[Key, Any], errors: Mapping[Key, Exception], asked: int
) -> PartialResultError:
    """Return the error for a get of `asked` keys, some of which failed with `errors`."""
    refused = all(isinstance(error, ServerError) for error in errors.values())
    key, first = next(iter(errors.items()))
    kind = PartialServerError if refused else PartialNetworkError
    error = kind(
        f"{len(errors)} of {asked} keys failed; {brief(key)}: {text_of(first)}", cause=first
    )
    error.found, error.errors = found, errors
    return error
