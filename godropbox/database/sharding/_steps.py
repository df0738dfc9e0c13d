"""Steps: what a router decides, written once for threads and for tasks. No I/O here.

A decision that has to wait is a generator. It yields each call that may wait as ``(function,
arguments)``, is sent what the call returned, or is thrown what it raised, and returns the result.
``run`` makes the calls and blocks; ``aio`` awaits them. What does not wait is a plain function.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

__all__ = ["Steps", "raised_by", "run"]

_T = TypeVar("_T")

Steps = Generator[tuple[Callable[..., Any], tuple[Any, ...]], Any, _T]


def run(steps: Steps[_T]) -> _T:
    """Make the calls one after the other; return the result."""
    try:
        function, arguments = steps.send(None)
        while True:
            try:
                outcome = function(*arguments)
            except BaseException as error:
                function, arguments = steps.throw(error)
            else:
                function, arguments = steps.send(outcome)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    except RuntimeError as error:
        cause = raised_by(error)
        if cause is error:
            raise
        raise cause from None


def raised_by(error: RuntimeError) -> BaseException:
    """Return what a call raised: a generator passes StopIteration on as the cause of another error.

    See PEP 479.
    """
    return error.__cause__ if isinstance(error.__cause__, StopIteration) else error
