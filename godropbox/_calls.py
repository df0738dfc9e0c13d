"""Make several foreign calls; one that raises does not prevent the others."""

from collections.abc import Callable, Iterable

from ._kernels._guarded import add_note, brief

__all__ = ["call_all", "raised_by"]


def raised_by(calls: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Make all calls; return the exceptions they raised, of any class."""
    errors: list[BaseException] = []
    for call in calls:
        try:
            call()
        except BaseException as error:
            errors.append(error)
    return errors


def call_all(calls: Iterable[Callable[[], object]]) -> None:
    """Make all calls, then raise the first exception, with the others as notes."""
    errors = raised_by(calls)
    if errors:
        for other in errors[1:]:
            add_note(errors[0], f"and then {brief(other)}")
        raise errors[0]
