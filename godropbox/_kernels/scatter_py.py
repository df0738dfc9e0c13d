"""Many exchanges at once over plain sockets: what the compiled twin does, and this one does not.

In pure Python a socket is driven like any other channel, by its own methods.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .wire_py import Reply

__all__ = ["open_scatter", "unfit"]


class Scatter(Protocol):
    """What ``open_scatter`` returns where it returns something."""

    def start(self, fd: int, request: "list[ReadableBuffer]", reply: "Reply") -> None: ...
    def finish(self, at: int) -> Exception | None: ...


def open_scatter(most: int, seconds: float | None) -> Scatter | None:
    """Return what runs at most so many exchanges at once, all within `seconds` if it is not None.

    None means that there are no lines on this system.
    """
    return None


def unfit(fds: list[int]) -> list[int] | None:
    """Return the places of the sockets that are closed, broken, or have bytes to be read.

    Nobody has asked for those. None means that there are no lines on this system.
    """
    return None
