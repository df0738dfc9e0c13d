"""``AsyncStorage``: the protocol of storages whose methods are coroutines.

It is ``Storage`` with ``async def``. The layers of this package follow it, so that they can be
stacked.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar, overload

__all__ = ["AsyncStorage"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class AsyncStorage(Protocol[K, V]):
    """Keeps values by key: in a server, or over another storage."""

    @overload
    async def get(self, key: K) -> V | None: ...
    @overload
    async def get(self, key: K, default: D) -> V | D: ...
    async def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""

    async def get_multi(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of `keys` by key; missing keys are left out."""
        ...

    async def set(self, key: K, value: V) -> None:
        """Store `value` under `key`."""

    async def set_multi(self, items: Mapping[K, V]) -> None:
        """Store the values of `items` by key."""

    async def delete(self, key: K) -> None:
        """Delete `key`; a missing key is ignored."""

    async def delete_multi(self, keys: Iterable[K]) -> None:
        """Delete `keys`; missing keys are ignored."""

    async def flush(self) -> None:
        """Delete everything."""
