"""Stand-ins for ``cython`` where a module in its pure-Python mode runs uncompiled."""

import threading
from typing import Any, Final, TypeVar

from .._forks import begin_again_in_child

__all__ = ["cclass", "critical_section", "no_gc"]

_Class = TypeVar("_Class", bound=type)


def cclass(cls: _Class) -> _Class:
    """Return the class as it is; compiled, it is an extension type."""
    return cls


def no_gc(cls: _Class) -> _Class:
    """Return the class as it is; compiled, its objects are none of the garbage collector's."""
    return cls


class _Section:
    """The lock of all critical sections: they take no time, so one is enough.

    A thread may take it twice: a signal handler or a finalizer can run in any section.
    """

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self._forked()
        begin_again_in_child(self)

    def _forked(self) -> None:
        self.lock = threading.RLock()


_SECTION: Final = _Section()


def critical_section(owner: object) -> Any:
    """Return a lock, a context manager; compiled, it is the owner's own, free under the GIL."""
    return _SECTION.lock
