"""What stands for ``cython`` where a module in its pure-Python mode runs as it is written.

Compiled, a critical section costs nothing under the interpreter lock and is the object's own lock
without one. Uncompiled it is a lock that a thread may take twice, because the interpreter can
run a signal handler or a finalizer, and with it another operation, in the middle of any section.
"""

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Class = TypeVar("_Class", bound=type)

__all__ = ["cast", "cclass", "compiled", "critical_section", "freelist", "no_gc"]

compiled = False


def cclass(cls: "_Class") -> "_Class":
    """Return the class unchanged; compiled, it is an extension type."""
    return cls


def freelist(size: int) -> "Callable[[_Class], _Class]":
    """Return the class unchanged; compiled, the memory of `size` dead objects is used again."""
    return lambda cls: cls


def no_gc(cls: "_Class") -> "_Class":
    """Return the class unchanged; compiled, the garbage collector leaves its objects alone."""
    return cls


def cast(kind: object, value: "Any") -> "Any":
    """Return the value; compiled, it is taken for one of `kind` without a test."""
    return value


def critical_section(owner: "Any", other: "Any" = None) -> "Any":
    """Return the owner's lock, a context manager; compiled, the other's is taken as well."""
    return owner._lock
