"""A blocking face of the asyncio clients, so that the tests of the blocking ones run over them."""

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any

from support.aio import FACTORIES, LOOPS

__all__ = ["LOOPS", "Blocking", "end_all"]

_loops: "list[_Loop]" = []


class _Loop:
    """An event loop that runs while somebody waits, and what it complained of."""

    def __init__(self, kind: str) -> None:
        self.runner = asyncio.Runner(loop_factory=FACTORIES[kind])
        self.complaints: list[str] = []
        self.faces: list[Blocking] = []
        self.runner.get_loop().set_exception_handler(self._complain)
        _loops.append(self)

    def _complain(self, _: Any, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")

    def wait(self, call: Callable[..., Coroutine[Any, Any, Any]], *given: Any, **named: Any) -> Any:
        """Return what a coroutine function returns."""
        if _is_in_loop():
            return self._wait_elsewhere(call, *given, **named)
        return self.runner.run(call(*given, **named))

    def _wait_elsewhere(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Wait for the sake of a plain function that another loop calls, and blocks for."""
        results: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(self.runner.run(call(*given, **named)))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def tasks(self) -> list[str]:
        return [repr(task) for task in asyncio.all_tasks(self.runner.get_loop())]


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _collected(things: AsyncGenerator[Any, None]) -> list[Any]:
    return [each async for each in things]


def _later(call: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def called(*given: Any) -> Any:
        return call(*given)

    return called


class Blocking:
    """An asyncio client, or manager, whose coroutine functions are called as plain ones.

    `loop` is a kind of loop, or another of these, to share its loop. It counts as valid as long as
    nothing says that it is not: the suite of conformance asks that of a connection.
    """

    is_valid = True

    def __init__(self, inner: Any, loop: "str | Blocking" = "asyncio") -> None:
        self.inner = inner
        self._loop: _Loop = loop._loop if isinstance(loop, Blocking) else _Loop(loop)
        self._loop.faces.append(self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if inspect.iscoroutinefunction(found):
            return partial(self._loop.wait, found)
        if inspect.isasyncgenfunction(found):
            return lambda *given, **named: self._loop.wait(_collected, found(*given, **named))
        if name == "update_shard_states" and not _is_in_loop():  # which belongs there
            return partial(self._loop.wait, _later(found))
        return found

    def __repr__(self) -> str:
        return repr(self.inner)

    def __enter__(self) -> "Blocking":
        self._loop.wait(self.inner.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; no task survives it."""
        self._loop.wait(self.inner.close)
        assert self._loop.tasks() == []


def end_all() -> None:
    """Close what is open, and end all loops; nothing may be left of them, nor have been logged."""
    complaints = []
    while _loops:
        loop = _loops.pop()
        for face in reversed(loop.faces):  # what shares a manager before the manager
            face.close()
        loop.complaints += [f"left behind: {task}" for task in loop.tasks()]
        loop.runner.close()
        complaints += loop.complaints
    assert complaints == []
