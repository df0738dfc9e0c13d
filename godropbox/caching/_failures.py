"""What the failures of a cache mean, and the log of those that no caller sees.

Only the package's own argument errors can mean that a cache refuses a key or a value. After any
other exception, even a ``ValueError`` or ``TypeError``, the state of the cache is unknown.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .._kernels._guarded import brief, kind_of, linked, text_of
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from ._calls import Calls
from .storage import MISSING, PartialFailureError

__all__ = ["REFUSALS", "Told", "failed_keys", "found_keys", "is_mistake", "reads_refuse"]

REFUSALS: Final = (InvalidArgumentError, InvalidTypeError)

_LOG: Final = logging.getLogger("godropbox.caching")
# How many kinds of failures a layer logs.
_KINDS: Final = 100


class Told:
    """Logs the first failure of each kind: an operation and a class of exceptions."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: set[tuple[str, str]] = set()

    def tell(self, who: object, operation: str, error: BaseException) -> None:
        """Log the failure of an `operation` of `who`, unless its kind was logged before."""
        try:
            kind = (operation, kind_of(error))
            if kind in self._kinds or len(self._kinds) >= _KINDS:
                return
            self._kinds.add(kind)
            message = "%s: %s failed, which is logged once: %s: %s"
            _LOG.warning(message, brief(who), *kind, text_of(error), exc_info=error)
        except Exception:
            return  # a log handler failed, which must fail no read


def is_mistake(error: BaseException, values: Iterable[Any] = ()) -> bool:
    """Return whether the cache refuses all keys, or all of `values`, because of their type.

    Then a ``key_of`` or a serializer is missing. A serializer's complaint about one value is the
    error's cause; and None may be one value among others that are accepted.
    """
    return (
        issubclass(type(error), InvalidTypeError)  # isinstance() could run the error's code
        and linked(error)[0] is None
        and not any(value is None for value in values)
    )


def reads_refuse(cache: Any, key: Any) -> Calls[bool]:
    """Return whether reads refuse `key`, so that no old value can be read under it."""
    for read, given in ((cache.get, (key, MISSING)), (cache.get_multi, ([key],))):
        try:
            yield read, given
        except REFUSALS:
            continue
        except Exception:
            return False
        return False
    return True


def failed_keys(error: PartialFailureError, keys: list[Any]) -> list[Any]:
    """Return which of `keys` failed: all of them, if the error names none, or other keys."""
    try:
        failed = set(error.keys)
        if failed and failed.issubset(keys):
            return [key for key in keys if key in failed]
    except Exception:
        return keys
    return keys


def found_keys(error: PartialFailureError, keys: list[Any]) -> dict[Any, Any]:
    """Return the values of `keys` that a failed read found."""
    try:
        found: Mapping[Any, Any] = error.found
        return {key: found[key] for key in keys if key in found}
    except Exception:
        return {}
