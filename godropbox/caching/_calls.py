"""Calls: what a layer decides, written once for its blocking and its asyncio form. No I/O here.

A layer's operation is a generator. It yields each call of a cache, a storage or another function
that may block as ``(function, arguments)``, is sent what the call returned, or is thrown what it
raised, and returns the operation's result. ``run`` makes the calls and blocks; ``aio._drive`` makes
the same calls, and awaits those that return an awaitable.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

__all__ = ["Call", "Calls", "raised", "run"]

T = TypeVar("T")

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Calls = Generator[Call, Any, T]


def run(calls: Calls[T]) -> T:
    """Make the calls one after the other; return the result."""
    thrown: BaseException | None = None
    try:
        function, arguments = calls.send(None)
        while True:
            try:
                outcome = function(*arguments)
            except BaseException as error:
                thrown = error
                function, arguments = calls.throw(error)
                thrown = None
            else:
                function, arguments = calls.send(outcome)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except RuntimeError as error:
        cause = raised(error)
        if error is thrown or cause is error:
            raise
        raise cause from None
    finally:
        thrown = None  # whose traceback holds this frame


def raised(error: BaseException) -> BaseException:
    """Return what a call raised: a generator passes StopIteration on as the cause of another error.

    See PEP 479.
    """
    if type(error) is RuntimeError and isinstance(error.__cause__, StopIteration):
        return error.__cause__
    return error
