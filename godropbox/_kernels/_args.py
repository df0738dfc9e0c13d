"""Argument checks and their error messages, shared by both twins of a kernel.

Only error paths call these, so one Python function can serve the compiled and the pure twin, and
their messages cannot drift apart.
"""

import operator

from ._guarded import brief, name_of

__all__ = ["bad_buffer", "bad_int", "checked_int", "checked_items", "shown"]


def shown(value: object) -> str:
    """Return a short text for `value` for an error message; never raise."""
    is_int = issubclass(type(value), int)  # isinstance would trust its ``__class__``
    text = brief(value)
    if len(text) > 80:
        text = text[:60] + "..."
    return text if is_int else f"{text} ({name_of(type(value))})"


def bad_int(name: str, allowed: str, value: object) -> Exception:
    """Return the error for an argument that must be an int in the range `allowed`."""
    kind = ValueError if hasattr(type(value), "__index__") else TypeError
    return kind(f"{name} must be an int in {allowed}, got {shown(value)}")


def checked_int(name: str, allowed: str, value: object, limit: int) -> int:
    """Return `value` as an int in [0, limit), or raise the error from ``bad_int``."""
    if not hasattr(type(value), "__index__"):
        raise bad_int(name, allowed, value)
    number = operator.index(value)  # type: ignore[arg-type]  # it has __index__, tested above
    if not 0 <= number < limit:
        raise bad_int(name, allowed, value)
    return number


def bad_buffer(name: str, value: object) -> Exception:
    """Return the error for an argument that must be a C-contiguous bytes-like object."""
    try:
        memoryview(value)  # type: ignore[arg-type]  # the test is whether it works
    except TypeError:
        return TypeError(f"{name} must be bytes-like, got {shown(value)}")
    return ValueError(f"{name} must be C-contiguous, got {shown(value)}")


def checked_items(items: object) -> tuple[object, ...]:
    """Return an iterable of bytes-like objects as a tuple, which no other code can change."""
    if isinstance(items, (str, bytes, bytearray, memoryview)) or not hasattr(
        type(items), "__iter__"
    ):
        raise TypeError(f"items must be an iterable of bytes-like objects, got {shown(items)}")
    return tuple(items)  # type: ignore[arg-type]  # it has __iter__, tested above
