"""``AsyncSingleFlight``: if several tasks want the same key at once, one loads it for all."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

from ..._kernels._identity import refuse_copies
from .._calls import Calls
from ..flight import Lead, SingleFlight
from ._drive import drive

__all__ = ["AsyncSingleFlight", "Table"]

# The leaders whose loads this task is part of: its own, and those of the tasks that made it.
_LEADERS: Final[ContextVar[tuple["weakref.ref[Any]", ...]]] = ContextVar(
    "godropbox.caching.leaders", default=()
)


class _Caller:
    """A caller that is in no task."""

    __slots__ = ("__weakref__",)


class _Event(asyncio.Event):
    """An event that may be set when its loop is closed already, by a finalizer for instance."""

    def set(self) -> None:
        with suppress(RuntimeError):  # that of a waiter whose loop is closed
            super().set()


class Table(SingleFlight):
    """The flights of tasks: the decisions of ``SingleFlight``, waiting as asyncio waits."""

    __slots__ = ("_loop",)
    __reduce_ex__ = refuse_copies

    _loop: asyncio.AbstractEventLoop | None

    def _forked(self) -> None:
        super()._forked()
        self._loop = None

    def _me(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        return asyncio.current_task() or _Caller()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Move to another loop, which is possible while nothing is being loaded."""
        if self._loop is not None and len(self):
            if not self._loop.is_closed():
                raise RuntimeError(
                    f"{len(self)} keys are being loaded in another event loop; "
                    "one loop at a time may use this object"
                )
            self._forked()  # whose loop is closed, those flights will never end
        self._loop = loop

    def _mine(self, me: Any) -> Container[Any]:
        leaders = (leader() for leader in _LEADERS.get())
        return [me, *(leader for leader in leaders if leader is not None)]

    def _event(self) -> Any:
        return _Event()

    async def _wait_for(self, event: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True

    def _led(
        self, load: Callable[[Lead], Calls[Mapping[Any, Any]]], lead: Lead
    ) -> Calls[Mapping[Any, Any]]:
        """Make the calls of a load where the tasks that they make know whom they work for."""
        token = _LEADERS.set((*_LEADERS.get(), weakref.ref(lead.leader)))
        try:
            return (yield from load(lead))
        finally:
            with suppress(ValueError):  # closed by a finalizer, in another context
                _LEADERS.reset(token)


class AsyncSingleFlight:
    """Runs one load of a key at a time, and shares its outcome with all tasks meanwhile.

    The asyncio form of ``SingleFlight``, by the same rules. The load runs in the leader's own task.
    A leader that is cancelled is replaced by one of its followers, which loads again; a follower
    that is cancelled leaves without any effect on the others. Failures are shared as copies. A task
    does not wait for a load that it is part of, whether it is the leader or a task that the load
    made: it loads by itself.

    A load may be a coroutine function or a plain function. Make this object anywhere. One event
    loop at a time may use it: while a key is being loaded in one, calls in another raise
    ``RuntimeError``.
    """

    __slots__ = ("_table",)
    __reduce_ex__ = refuse_copies

    def __init__(
        self,
        *,
        patience: float | None = None,
        cancellations: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._table = Table(patience=patience, cancellations=cancellations)

    async def run(self, key: Any, load: Callable[[], Awaitable[Any] | Any]) -> Any:
        """Return what ``load()`` returns, or what the leader's load returned.

        If the leader's is a ``run_multi`` that did not find the key, it is ``MISSING``.
        """
        return await drive(self._table._run_calls(key, load))

    async def run_multi(
        self,
        keys: Iterable[Any],
        load: Callable[[list[Any]], Awaitable[Mapping[Any, Any]] | Mapping[Any, Any]],
    ) -> dict[Any, Any]:
        """Return the loaded values by key; ``load(some)`` loads those that nobody else loads.

        It loads them in one call, before the outcomes of other callers' loads are waited for.
        """
        return await drive(self._table._run_multi_calls(keys, load))

    def forget(self, keys: Iterable[Any]) -> None:
        """Let no later caller of `keys` follow a load that began before."""
        self._table.forget(keys)

    def forget_all(self) -> None:
        """Forget every key."""
        self._table.forget_all()

    @property
    def followers(self) -> int:
        """How many tasks wait for another's load."""
        return self._table.followers

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"<Async{repr(self._table)[1:]}"
