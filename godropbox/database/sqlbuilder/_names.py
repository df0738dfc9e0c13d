"""Checks of names, comments and row counts, the parts of SQL that are not literals.

Names are ASCII letters, digits and underscores and do not start with a digit, so that no dialect
needs escapes to quote them.
"""

from sys import intern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MAX_NAME", "check_comment", "check_count", "check_name", "shown"]

MAX_NAME: "Final" = 64

_COMMENT: "Final" = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .?")


def shown(value: object) -> str:
    """Return a short text for `value`, for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + "..."


def check_name(what: str, name: object) -> str:
    """Return `name`, interned, or raise an error that names `what`."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, got {shown(name)} ({type(name).__name__})")
    name = str.__str__(name)  # a subclass may override __str__
    if not (name.isascii() and name.isidentifier()):
        raise ValueError(
            f"{what} must be ASCII letters, digits and '_', not starting with a digit, "
            f"got {shown(name)}"
        )
    if len(name) > MAX_NAME:
        raise ValueError(f"{what} must have at most {MAX_NAME} characters, got {len(name)}")
    return intern(name)


def check_comment(comment: object) -> str:
    """Return `comment`, or raise unless it is ASCII letters, digits and ``_ .?``."""
    if not isinstance(comment, str):
        raise TypeError(f"comment must be a str, got {shown(comment)} ({type(comment).__name__})")
    comment = str.__str__(comment)
    if not _COMMENT.issuperset(comment):
        raise ValueError(
            f"comment must be ASCII letters, digits, spaces, '_', '.' and '?', got {shown(comment)}"
        )
    return comment


def check_count(what: str, value: object) -> int:
    """Return `value` as the row count of a LIMIT or OFFSET, an int in [0, 2**63)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, got {shown(value)} ({type(value).__name__})")
    value = int.__add__(value, 0)  # a subclass may override __int__, which int's own asks on PyPy
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{what} must be an int in [0, 2**63), got {value}")
    return value
