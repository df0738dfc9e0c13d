"""What has to begin again in the child of a fork, where no other thread is left."""

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._calls import raised_by

__all__ = ["begin_again_in_child"]

# The one list in the process, because a hook of ``os`` can never be taken back. It is read in the
# child of a fork alone, by its one thread, before that runs anything else.
# By identity, since a user's subclass may say that two of them are equal.
_HELD: Final[dict[int, "weakref.ref[Any]"]] = {}


def begin_again_in_child(thing: Any) -> None:
    """Have ``thing._forked()`` called in every child, as long as `thing` lives.

    It may return a list of functions of the user's, such as those that free what the child has of
    the parent's connections: they are called when everything else has begun again.
    """
    name = id(thing)

    def forget(ref: "weakref.ref[Any]") -> None:
        if _HELD.get(name) is ref:
            del _HELD[name]

    _HELD[name] = weakref.ref(thing, forget)


def _living() -> list[Any]:
    things = [ref() for ref in list(_HELD.values())]
    return [thing for thing in things if thing is not None]


def _forked() -> None:
    """Have everything begin again, whatever any of it raises; then raise that.

    The interpreter reports what a hook raises (``sys.unraisablehook``), and goes on.
    """
    later: list[Callable[[], object]] = []

    def begin_again(thing: Any) -> None:
        later.extend(thing._forked() or ())

    errors = raised_by([partial(begin_again, thing) for thing in _living()])
    errors += raised_by(later)
    if errors:
        raise BaseExceptionGroup("not all could begin again in the child of a fork", errors)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
