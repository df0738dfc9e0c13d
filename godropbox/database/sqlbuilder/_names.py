"""Checks of names, comments and row counts, the parts of SQL that are not literals.

A word (a function, a slot) is ASCII letters, digits and underscores and does not start with a
digit. The name of a table, a column, an alias or the like may be any text that can be quoted. It is
plain if it is a word of at most 63 characters, which every dialect takes as it is; the renderer
asks the dialect about all others.
"""

from sys import intern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "MAX_NAME",
    "MAX_PLAIN",
    "check_comment",
    "check_count",
    "check_identifier",
    "check_name",
    "is_plain",
    "quoted",
    "shown",
]

MAX_NAME: "Final" = 64
MAX_PLAIN: "Final" = 63

_COMMENT: "Final" = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .?")


def shown(value: object) -> str:
    """Return a short text for `value`, for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + "..."


def is_plain(name: str) -> bool:
    """Return whether every dialect takes `name` between quotes as it is."""
    return len(name) <= MAX_PLAIN and name.isascii() and name.isidentifier()


def quoted(name: str, mark: str) -> str:
    """Return `name` between two of `mark`, a quote, with those in the name doubled."""
    return mark + name.replace(mark, mark + mark) + mark


def check_identifier(what: str, name: object) -> str:
    """Return `name`, interned, if it can be quoted, or raise an error that names `what`."""
    checked = _text(what, name)
    if not checked:
        raise ValueError(f"{what} must have at least 1 character, got none")
    if len(checked) > MAX_NAME:
        raise ValueError(f"{what} must have at most {MAX_NAME} characters, got {len(checked)}")
    if not checked.isascii():
        for character in checked:
            if "\ud800" <= character <= "\udfff":
                raise ValueError(f"{what} must have no lone surrogate, got {shown(checked)}")
    if "\0" in checked:
        raise ValueError(f"{what} must have no NUL, got {shown(checked)}")
    return intern(checked)


def _text(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, got {shown(name)} ({type(name).__name__})")
    return str.__str__(name)  # a subclass may override __str__


def check_name(what: str, name: object) -> str:
    """Return `name`, interned, if it is a word, or raise an error that names `what`."""
    name = _text(what, name)
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
