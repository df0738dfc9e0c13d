"""``AsyncFunctionStorage``: a storage made of functions, async or plain."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..._kernels._identity import refuse_copies
from ..storage import FunctionStorage
from ._drive import DrivenStorage

__all__ = ["AsyncFunctionStorage"]


class _Functions(FunctionStorage[Any, Any]):
    """The decisions of a storage whose callers are tasks."""

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    _kind = "AsyncFunctionStorage"

    def _check(self, argument: str, function: Callable[..., Any]) -> None:
        """Accept any function, plain and async."""


class AsyncFunctionStorage(DrivenStorage):
    """A storage made of functions: any of them, each with the signature of its method.

    The asyncio form of ``FunctionStorage``, by the same rules. A function may be async, or plain if
    it never blocks.
    """

    __slots__ = ()
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        name: str,
        *,
        get: Callable[[Any, Any], Awaitable[Any] | Any] | None = None,
        get_multi: Callable[[list[Any]], Awaitable[Mapping[Any, Any]] | Mapping[Any, Any]]
        | None = None,
        set: Callable[[Any, Any], Awaitable[object] | object]  # noqa: A002  # the method's name
        | None = None,
        set_multi: Callable[[Mapping[Any, Any]], Awaitable[object] | object] | None = None,
        delete: Callable[[Any], Awaitable[object] | object] | None = None,
        delete_multi: Callable[[list[Any]], Awaitable[object] | object] | None = None,
        flush: Callable[[], Awaitable[object] | object] | None = None,
    ) -> None:
        functions: dict[str, Any] = {
            "get": get,
            "get_multi": get_multi,
            "set": set,
            "set_multi": set_multi,
            "delete": delete,
            "delete_multi": delete_multi,
            "flush": flush,
        }
        super().__init__(_Functions(name, **functions))
