"""What stands for ``cython`` where a module in its pure-Python mode runs as it is written.

Compiled, a critical section costs nothing under the interpreter lock and is the object's own lock
without one. Uncompiled it is a lock that a thread may take twice, because the interpreter can
run a signal handler or a finalizer, and with it another operation, in the middle of any section.
"""

from typing import Any, TypeVar

__all__ = ["cclass", "compiled", "critical_section", "no_gc"]

_Class = TypeVar("_Class", bound=type)

compiled = False


def cclass(cls: _Class) -> _Class:
    """Return the class unchanged; compiled, it is an extension type."""
    return cls


def no_gc(cls: _Class) -> _Class:
    """Return the class unchanged; compiled, the garbage collector leaves its objects alone."""
    return cls


def critical_section(owner: Any) -> Any:
    """Return the owner's lock, a context manager."""
    return owner._lock
