"""Many exchanges at once over plain sockets: what the compiled twin does, and this one does not.

In pure Python a socket is driven like any other channel, by its own methods.
"""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from array import array

    from _typeshed import ReadableBuffer

    from .wire_py import Reply

__all__ = ["gather", "open_scatter", "unfit"]


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


def gather(
    fds: list[int],
    keys: list[Any],
    places: list[int],
    verb: bytes,
    prefix: bytes,
    seconds: float | None,
) -> "tuple[list[bytes | None], array[int], array[int], dict[int, Any]] | None":
    """Ask servers for keys in the ASCII protocol, all at once; return what they found, or None.

    ``fds[places[i]]`` is the socket for ``keys[i]``; `verb` is the command. Returns values, flags
    and tokens, one a key, and a dict of what went wrong, by place: an exception, or the status and
    the words of a refusal. None means that nothing was sent: a key is not as plain as can be, a
    socket is unfit, or there are no lines on this system.
    """
    return None
