"""Objects that threads share, in pure Python, where sharing costs nothing that we could save.

The twin of ``lasting_c``.
"""

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Value = TypeVar("_Value")

__all__ = ["Copies", "call", "copies", "findable", "is_foreign", "lasting", "shared"]


def lasting(value: "_Value") -> "_Value":
    """Return `value`, which is never freed from now on.

    Without an interpreter lock, a count that several threads change makes each wait for the others.
    For sentinels and constants, which live as long as the process: elsewhere this does nothing.
    """
    return value


def shared(value: "_Value") -> "_Value":
    """Return `value`, which the interpreter does not count references to while it calls it.

    For what lives long and is used by many threads: without an interpreter lock only the garbage
    collector frees it. CPython has this from 3.14; elsewhere this does nothing.
    """
    return value


def findable(key: "_Value") -> "_Value":
    """Return `key`, a dict's, which threads then compare with an equal one without its lock.

    CPython has this from 3.14, where there is no interpreter lock: elsewhere this does nothing.
    """
    return key


def is_foreign(value: object) -> bool:
    """Return whether another thread made `value`, where that makes threads wait for each other."""
    return False


def call(function: "Callable[[Any], _Value]", argument: "Any") -> "_Value":
    """Call a function with one argument, without counting a reference to it."""
    return function(argument)


def copies() -> "Copies | None":
    """Return an empty ``Copies``, or None where it would save nothing."""
    return None


class Copies:
    """Copies of one thing that never changes, for some of the threads that use it.

    A copy is made by pickling. Its thread counts the references to it and to all its parts by
    itself, while those of the original, which threads share, make each wait for the others.
    """

    __slots__ = ()

    def own(self, original: "Any") -> "Any":
        """Return the copy of `original` that is this thread's, or `original` where it has none."""
        return original
