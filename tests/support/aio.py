"""Run a coroutine on asyncio's own event loop or on uvloop; it must leave nothing behind."""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, Final, TypeVar

__all__ = ["FACTORIES", "LOOPS", "run", "turns"]

T = TypeVar("T")


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # only here: PyPy has none

    return uvloop.new_event_loop()


# How each kind of loop is made.
FACTORIES: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
}
if sys.platform != "win32":
    FACTORIES["uvloop"] = _uvloop
LOOPS: Final = tuple(FACTORIES)


def run(coroutine: Coroutine[Any, Any, T], loop: str = "asyncio") -> T:
    """Return what `coroutine` returns; fail if a task is left, or if the loop logs anything."""
    complaints: list[str] = []
    left: list[str] = []

    def complain(_: Any, context: dict[str, Any]) -> None:
        complaints.append(f"{context['message']}: {context.get('exception')!r}")

    async def whole() -> T:
        asyncio.get_running_loop().set_exception_handler(complain)
        result = await coroutine
        await turns(3)  # for what was cancelled a moment ago
        left.extend(map(repr, asyncio.all_tasks() - {asyncio.current_task()}))
        gc.collect()  # which finds exceptions that were never retrieved
        return result

    # Closed even if there is no such loop.
    with closing(coroutine), asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        result = runner.run(whole())
    gc.collect()
    assert left == []
    assert complaints == []
    return result


async def turns(count: int) -> None:
    """Let the loop turn `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)
