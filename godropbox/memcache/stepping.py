"""Operations of several steps, for both drivers: a generator yields calls, and takes their results.

No I/O: a driver makes the calls, and waits where one is to be waited for.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

__all__ = ["Steps", "driven"]

_Result = TypeVar("_Result")
# What is to be called, and what that returned; the result at the end.
Steps = Generator[Callable[[], Any], Any, _Result]


def driven(steps: Steps[_Result]) -> _Result:
    """Take the steps, one after the other, and return their result.

    An exception of a call is raised in the steps.
    """
    try:
        call = next(steps)
        while True:
            try:
                outcome = call()
            except BaseException as error:
                call = steps.throw(error)
            else:
                call = steps.send(outcome)
    except StopIteration as stop:
        result: _Result = stop.value
        return result
