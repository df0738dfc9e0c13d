"""What has to begin again in the child of a fork, where no other thread is left."""

import os
import weakref
from typing import Any, Final

__all__ = ["begin_again_in_child"]

# The one list in the process, because a hook of ``os`` can never be taken back. It is read in the
# child of a fork alone, by its one thread, before that runs anything else.
_HELD: Final["weakref.WeakSet[Any]"] = weakref.WeakSet()


def begin_again_in_child(thing: Any) -> None:
    """Have ``thing._forked()`` called in every child, as long as `thing` lives."""
    _HELD.add(thing)


def _forked() -> None:
    for thing in _HELD:
        thing._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
