"""Many exchanges at once over plain sockets: what the compiled twin does, and this one does not.

In pure Python a socket is driven like any other channel, by its own methods.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .wire_py import Reply

__all__ = ["exchange", "unfit"]


def exchange(
    fds: list[int],
    requests: "list[list[ReadableBuffer]]",
    replies: "list[Reply]",
    seconds: float | None,
) -> list[Exception | None] | None:
    """Send each request over its socket, and feed each reply until all are complete.

    A request is a list of buffers, `seconds` is the time for all together or None. Returns for
    each None or what went wrong, each for itself: a ``TimeoutError``, an ``OSError``, or a
    ``ValueError`` for a bad reply. None for all means that there are no lines on this system.
    """
    return None


def unfit(fds: list[int]) -> list[int] | None:
    """Return the places of the sockets that are closed, broken, or have bytes to be read.

    Nobody has asked for those. None means that there are no lines on this system.
    """
    return None
