"""A path that is watched for leaks: a call, and one that has to fail."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Case", "fails"]

FAILING = 0.3
"""The share of a path that fails: an exception is slow to make, and large if it leaks."""


@dataclass(frozen=True)
class Case:
    """One path: a call of no arguments. `share` is the part of the calls asked for that it gets."""

    name: str
    call: Callable[[], object]
    share: float = 1.0


def _shown(value: object) -> str:
    plain = isinstance(value, (int, float, str, bytes, list)) and len(repr(value)) < 24
    return repr(value) if plain else type(value).__name__


def fails(
    error: type[Exception], function: Callable[..., object], *arguments: object, **named: object
) -> Case:
    """Return the case of a call that has to raise `error`."""

    def call() -> None:
        try:
            function(*arguments, **named)
        except error:
            return
        raise AssertionError(f"{name} is not raised")

    shown = [_shown(each) for each in arguments]
    shown += [f"{key}={_shown(value)}" for key, value in named.items()]
    name = f"{function.__name__}({', '.join(shown)}): {error.__name__}"
    return Case(name, call, FAILING)
