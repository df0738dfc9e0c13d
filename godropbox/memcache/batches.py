"""What a batch gives its caller besides values: the keys that failed, and the error of some."""

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
"""What ``failures="miss"`` makes misses of: errors that are not the caller's own."""


class FailedKeys(list[Key]):
    """The keys, as they were given, that a batch did not store or delete: empty if all went well.

    `errors` has the error of each; a key without one was not sent, as no server takes it now.
    """

    # Made when it is wanted: most often nothing failed.
    __slots__ = ("_errors",)

    @property
    def errors(self) -> dict[Key, Exception]:
        """The errors, by key."""
        try:
            return self._errors
        except AttributeError:
            self._errors: dict[Key, Exception] = {}
            return self._errors

    def add(self, key: Key, error: Exception | None) -> None:
        """Add a key."""
        self.append(key)
        if error is not None:
            self.errors[key] = error


class PartialResultError(DropboxError):
    """A get of many keys failed for some: `found` has the others, `errors` the error of each."""

    found: Mapping[Key, Any]
    errors: Mapping[Key, Exception]


class PartialNetworkError(PartialResultError, NetworkError):
    """Some keys failed by the network, or their servers did not answer in time."""


class PartialServerError(PartialResultError, ServerError):
    """Some keys were refused by their servers, or hold what cannot be read."""


def partial_error(
    found: Mapping[Key, Any], errors: Mapping[Key, Exception], asked: int
) -> PartialResultError:
    """Return the error for a get of `asked` keys of which those in `errors` failed."""
    refused = all(isinstance(error, ServerError) for error in errors.values())
    key, first = next(iter(errors.items()))
    kind = PartialServerError if refused else PartialNetworkError
    error = kind(
        f"{len(errors)} of {asked} keys failed, {brief(key)} by: {text_of(first)}", cause=first
    )
    error.found, error.errors = found, errors
    return error
