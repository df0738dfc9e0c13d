"""The asyncio driver of the layers' calls, and what their asyncio forms have in common."""

from collections.abc import Iterable, Mapping
from types import CoroutineType
from typing import Any, TypeVar

from ..._kernels._guarded import PLAIN
from ..._kernels._identity import refuse_copies
from .._calls import Calls

__all__ = ["DrivenStorage", "drive"]

T = TypeVar("T")


async def drive(calls: Calls[T]) -> T:
    """Make the calls one after the other, and await what is awaitable; return the result.

    All of them run in the caller's own task. Its cancellation is thrown into `calls`, as any other
    exception of a call.
    """
    try:
        function, arguments = calls.send(None)
        while True:
            try:
                outcome = function(*arguments)
                kind = type(outcome)
                if kind is CoroutineType or (kind not in PLAIN and hasattr(kind, "__await__")):
                    outcome = await outcome
            except BaseException as error:
                function, arguments = calls.throw(error)
            else:
                function, arguments = calls.send(outcome)
    except StopIteration as stop:
        value: T = stop.value
        return value


class DrivenStorage:
    """A storage whose methods are coroutines that make the calls of `_blocking`, its sync form."""

    __slots__ = ("_blocking",)
    __reduce_ex__ = refuse_copies

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking

    async def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none."""
        return await drive(self._blocking._get_calls(key, default))

    async def get_multi(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return the values of `keys` by key; missing keys are left out."""
        found: dict[Any, Any] = await drive(self._blocking._get_multi_calls(keys))
        return found

    async def set(self, key: Any, value: Any) -> None:
        """Store `value` under `key`."""
        await drive(self._blocking._set_calls(key, value))

    async def set_multi(self, items: Mapping[Any, Any]) -> None:
        """Store the values of `items` by key."""
        await drive(self._blocking._set_multi_calls(items))

    async def delete(self, key: Any) -> None:
        """Delete `key`; a missing key is ignored."""
        await drive(self._blocking._delete_calls(key))

    async def delete_multi(self, keys: Iterable[Any]) -> None:
        """Delete `keys`; missing keys are ignored."""
        await drive(self._blocking._delete_multi_calls(keys))

    async def flush(self) -> None:
        """Delete everything."""
        await drive(self._blocking._flush_calls())

    def __repr__(self) -> str:
        return repr(self._blocking)
