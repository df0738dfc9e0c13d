"""One exchange over a plain socket: what the compiled twin does, and this one leaves to others.

In pure Python a socket is driven like any other channel, by its own methods.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .wire_py import Reply

__all__ = ["open_line"]


class Line(Protocol):
    """What ``open_line`` returns where it returns something."""

    @property
    def fd(self) -> int: ...
    @property
    def clean(self) -> bool: ...
    @property
    def begun(self) -> bool: ...
    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]: ...
    def exchange(
        self, request: "list[ReadableBuffer]", reply: "Reply", seconds: float | None = None
    ) -> None: ...


def open_line(fd: int, seconds: float) -> Line | None:
    """Return a line over the blocking socket `fd`, or None where there is no such thing.

    A receive on it gives up by itself after `seconds`, 0 for never.
    """
    return None
