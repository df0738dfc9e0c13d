"""Calls of code that is not ours: one that raises keeps none of the others from being made."""

from collections.abc import Callable, Iterable

from ._kernels._guarded import add_note, brief

__all__ = ["call_all", "raised_by"]


def raised_by(calls: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Make all the calls; return what was raised, of any kind."""
    errors: list[BaseException] = []
    for call in calls:
        try:
            call()
        except BaseException as error:
            errors.append(error)
    return errors


def call_all(calls: Iterable[Callable[[], object]]) -> None:
    """Make all the calls, then raise the first error; the others are notes on it."""
    errors = raised_by(calls)
    if errors:
        for other in errors[1:]:
            add_note(errors[0], f"and then {brief(other)}")
        raise errors[0]
