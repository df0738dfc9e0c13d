"""Reset objects in the child of a fork, where no other thread is left."""

import os
import threading  # noqa: F401  # its hook has to run before ours, which may start threads
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ._calls import raised_by

__all__ = ["begin_again_in_child"]

# One registry per process, because a hook of ``os`` cannot be removed. Only the child of a fork
# reads it, in its one thread, before it runs anything else. Its keys are identities, because a
# subclass may define equality.
_OBJECTS: Final[dict[int, "weakref.ref[Any]"]] = {}


def begin_again_in_child(target: Any) -> None:
    """Call ``target._forked()`` in every child of a fork while `target` is alive.

    It may return a list of user functions, such as those that release the child's copies of the
    parent's connections; they are called after all objects are reset.
    """
    name = id(target)

    def forget(ref: "weakref.ref[Any]") -> None:
        if _OBJECTS.get(name) is ref:
            del _OBJECTS[name]

    _OBJECTS[name] = weakref.ref(target, forget)


def _living() -> list[Any]:
    targets = [ref() for ref in list(_OBJECTS.values())]
    return [target for target in targets if target is not None]


def _forked() -> None:
    """Reset all objects, then raise what any of them raised.

    The interpreter reports what a fork hook raises (``sys.unraisablehook``), and continues.
    """
    later: list[Callable[[], object]] = []

    def begin_again(target: Any) -> None:
        later.extend(target._forked() or ())

    errors = raised_by([partial(begin_again, target) for target in _living()])
    errors += raised_by(later)
    if errors:
        raise BaseExceptionGroup("objects could not be reset in the child of a fork", errors)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
