"""What the failures of a cache mean, and telling the log of those that are raised to nobody.

Only the package's own argument errors can mean that a cache takes no such key or value. Any other
exception, a ``ValueError`` or ``TypeError`` too, means that nobody knows what the cache did.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .._kernels._guarded import brief, kind_of, linked, text_of
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from .storage import MISSING, PartialFailureError

__all__ = ["REFUSALS", "Told", "failed_keys", "found_keys", "is_mistake", "reads_refuse"]

REFUSALS: Final = (InvalidArgumentError, InvalidTypeError)

_LOG: Final = logging.getLogger("godropbox.caching")
# How many kinds of failures a layer tells of.
_KINDS: Final = 100


class Told:
    """Tells the log of the first failure of each kind: an operation and a class of exceptions."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: set[tuple[str, str]] = set()

    def tell(self, who: object, operation: str, error: BaseException) -> None:
        """Log the failure of an `operation` of `who`, unless it is one of a kind already told."""
        try:
            kind = (operation, kind_of(error))
            if kind in self._kinds or len(self._kinds) >= _KINDS:
                return
            self._kinds.add(kind)
            message = "%s: %s failed, which is logged once: %s: %s"
            _LOG.warning(message, brief(who), *kind, text_of(error), exc_info=error)
        except Exception:
            return  # a handler of the log's that fails, and no read may fail for it


def is_mistake(error: BaseException, values: Iterable[Any] = ()) -> bool:
    """Tell whether an error says that the cache takes no key, or none of `values`, of this type.

    That is a missing ``key_of`` or a missing serializer. What a serializer says of one value is
    the error's cause; and None may be one value among others that are taken.
    """
    return (
        issubclass(type(error), InvalidTypeError)  # isinstance() would ask an odd error, and fail
        and linked(error)[0] is None
        and not any(value is None for value in values)
    )


def reads_refuse(cache: Any, key: Any) -> bool:
    """Tell whether reads refuse `key`, so that nothing old can be read under it."""
    for read, given in ((cache.get, (key, MISSING)), (cache.get_multi, ([key],))):
        try:
            read(*given)
        except REFUSALS:
            continue
        except Exception:
            return False
        return False
    return True


def failed_keys(error: PartialFailureError, keys: list[Any]) -> list[Any]:
    """Return those of `keys` that failed: all of them, where the error names none, or others."""
    try:
        failed = set(error.keys)
        if failed and failed.issubset(keys):
            return [key for key in keys if key in failed]
    except Exception:
        return keys
    return keys


def found_keys(error: PartialFailureError, keys: list[Any]) -> dict[Any, Any]:
    """Return what a read found of `keys` all the same."""
    try:
        found: Mapping[Any, Any] = error.found
        return {key: found[key] for key in keys if key in found}
    except Exception:
        return {}
