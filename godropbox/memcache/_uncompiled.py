"""What a module in Cython's pure-Python mode asks of ``cython``, where there is none."""

from typing import TypeVar

__all__ = ["cclass", "no_gc"]

_Class = TypeVar("_Class", bound=type)


def cclass(cls: _Class) -> _Class:
    """Return the class as it is; compiled, it is an extension type."""
    return cls


def no_gc(cls: _Class) -> _Class:
    """Return the class as it is; compiled, its objects are none of the garbage collector's."""
    return cls
