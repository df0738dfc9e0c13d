"""Stacks as code objects and bytecode positions, in pure Python: the twin of ``stack_c``.

A raw stack is one tuple: the code objects, innermost first, then one bytes object with their
bytecode positions as native 32-bit ints. It holds no frame, so it keeps no local variable alive.
Names and lines are looked up only when needed.
"""

import sys
from array import array
from types import FrameType

from ._args import checked_int, shown
from ._guarded import FIELDS, set_args, set_cause
from ._signature import declared

TYPE_CHECKING = False  # not typing's: that module takes longer to import than this one

if TYPE_CHECKING:
    from typing import Self

__all__ = ["StackedError", "StackedOSError", "capture"]

# The most frames an exception keeps, as in the Go library.
_LIMIT = 200
_MOST = 1 << 32


def _captured(skip: int, limit: int) -> tuple[object, ...]:
    """Return at most `limit` frames from the `skip`-th caller of this function outwards."""
    frame: FrameType | None = sys._getframe()
    while skip and frame is not None:
        frame = frame.f_back
        skip -= 1
    codes: list[object] = []
    positions: list[int] = []
    while frame is not None and limit:
        codes.append(frame.f_code)
        positions.append(frame.f_lasti)
        frame = frame.f_back
        limit -= 1
    codes.append(array("i", positions).tobytes())
    return tuple(codes)


def capture(skip: int = 0, limit: int = _LIMIT) -> tuple[object, ...]:
    """Return the caller's raw stack: at most `limit` frames, without the innermost `skip`.

    Both are ints in [0, 2**32).
    """
    return _captured(
        checked_int("skip", "[0, 2**32)", skip, _MOST) + 2,
        checked_int("limit", "[0, 2**32)", limit, _MOST),
    )


class StackedError(Exception):
    """Exception that records the stack where it was made.

    The stack is captured before any ``__init__`` runs, so it ends at the line that makes the
    exception, whatever a subclass's ``__init__`` calls. ``_stack`` holds it raw; ``_error_fields``
    holds the fields as a dict, if there are any. Both are set without ``__setattr__``, which a
    frozen dataclass overrides. A field can have any name but `cause`.
    """

    __signature__ = declared

    _stack: tuple[object, ...]

    def __new__(cls, /, *args: object, **fields: object) -> "Self":
        self = super().__new__(cls, *args)
        self.__dict__["_stack"] = _captured(2, _LIMIT)
        return self

    def __init__(
        self, message: str, /, *, cause: BaseException | None = None, **fields: object
    ) -> None:
        if not isinstance(message, str):
            raise TypeError(f"message must be a str, got {shown(message)}")
        if len(self.args) != 1 or self.args[0] is not message:
            set_args(self, (message,))
        if cause is not None:
            if not isinstance(cause, BaseException):
                raise TypeError(f"cause must be an exception or None, got {shown(cause)}")
            set_cause(self, cause)
        if fields:
            self.__dict__[FIELDS] = fields


class StackedOSError(OSError):
    """The other base of a ``StackedError`` that is an ``OSError``, which gives it its layout.

    It has ``StackedError`` before it among the bases, and takes the same arguments: OSError itself
    would read two as a number and its text, and take none by name.
    """

    def __new__(cls, /, *args: object) -> "Self":
        self = OSError.__new__(cls)
        set_args(self, args)
        return self
