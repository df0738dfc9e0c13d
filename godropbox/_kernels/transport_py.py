"""N exchanges over N connections in pure Python: the twin of ``transport_c``."""

from typing import TYPE_CHECKING

from ._channels import Channel, carry, is_plain, unfit
from ._identity import refuse_copies
from ._wire import VALUES
from .wire_py import Reply
from .wire_request_py import ascii_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Line", "carry", "unfit"]


class Line:
    """A connection's channel, as it is driven.

    A receive on a plain socket gives up by itself after `seconds`, None for never. `clean` is False
    after an exchange that began and did not end well; `begun` tells whether the latest exchange may
    have sent anything. `fd` is the number of a plain socket, else -1.
    """

    __slots__ = ("begun", "channel", "clean", "fd", "seconds")
    __reduce_ex__ = refuse_copies

    def __init__(self, channel: Channel, seconds: float | None) -> None:
        self.channel = channel
        self.seconds = seconds
        self.fd: int = channel.fileno() if is_plain(channel) else -1  # type: ignore[attr-defined]
        self.clean = True
        self.begun = False

    @property
    def is_busy(self) -> bool:
        """Whether the number of the socket is in use, so that it must not be closed."""
        return False  # what a socket's own methods are called with, it guards itself

    def get(
        self, verb: bytes, key: str | bytes, prefix: bytes, seconds: float | None = None
    ) -> tuple[int, bytes | None, int, int]:
        """Get one key in the ASCII protocol over a plain socket; return ``Reply.hit``.

        `seconds` and what is raised are as for ``carry``; also what ``wire_key`` raises.
        """
        if self.fd < 0:
            raise ValueError("the channel must be a plain socket")
        talk = _Single(ascii_keys(verb.rstrip(b" "), [key], prefix))
        carry([self], [talk], seconds)
        failure, talk.failure = talk.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame
        self.clean = False
        hit = talk.reply.hit(key, prefix)
        self.clean = True
        return hit


class _Single:
    """A talk of one get."""

    def __init__(self, request: bytes) -> None:
        self.request = [request]
        self.reply = Reply(VALUES, 1)
        self.failure: Exception | None = None
        self._exchanges: Iterator[Any] = iter([self])

    def advance(self, failure: Exception | None) -> "Any":
        self.failure = failure
        return next(self._exchanges, None)
