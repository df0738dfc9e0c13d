"""The keys of a batch whose answers go by key."""

from collections.abc import Iterable
from typing import Any

from .._kernels._args import shown
from .errors import InvalidTypeError

__all__ = ["by_key"]


def by_key(keys: Iterable[Any]) -> dict[Any, Any]:
    """Return a dict of the keys in their order, with None for each.

    Raises ``InvalidTypeError`` for a key that cannot be hashed: no answer could be filed under it.
    What else a key's own ``__hash__`` raises comes out.
    """
    found: dict[Any, Any] = {}
    for key in keys:
        try:
            found[key] = None
        except TypeError:
            raise InvalidTypeError(f"key must be str or bytes, got {shown(key)}") from None
    return found
