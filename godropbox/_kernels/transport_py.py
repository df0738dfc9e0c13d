"""N exchanges over N connections in pure Python: the twin of ``transport_c``."""

from typing import TYPE_CHECKING

from ._channels import Channel, carry, is_plain, unfit
from ._identity import refuse_copies
from ._wire import FAILED, LINES, STRICT, VALUES, WORDS, checked_range
from .wire_py import Reply
from .wire_request_py import ascii_each, ascii_keys, ascii_stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from _typeshed import ReadableBuffer

__all__ = ["Line", "carry", "unfit"]

_STORE_WORDS = WORDS["STORED"] | WORDS["NOT_STORED"] | WORDS["EXISTS"] | WORDS["NOT_FOUND"]
_Answer = int | tuple[int, bytes]


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
        self._check_plain()
        request = ascii_keys(verb.rstrip(b" "), [key], prefix)
        reply = self._carried([request], Reply(VALUES, 1), seconds)
        self.clean = False
        hit = reply.hit(key, prefix)
        self.clean = True
        return hit

    def store(
        self,
        verb: bytes,
        key: str | bytes,
        prefix: bytes,
        data: "ReadableBuffer",
        flags: int,
        expire: int,
        cas: int,
        seconds: float | None = None,
    ) -> _Answer:
        """Store one value in the ASCII protocol over a plain socket; return its status.

        An error line is a tuple of its status and its words. An item with a token is stored with
        ``cas``. `seconds` and what is raised are as for ``carry``; also what ``ascii_stores``
        raises.
        """
        self._check_plain()
        request = ascii_stores(verb, [(key, data, flags, cas, expire)], prefix)
        return self._ask(request, Reply(LINES, 1, _STORE_WORDS, 0, STRICT), seconds)

    def delete(self, key: str | bytes, prefix: bytes, seconds: float | None = None) -> _Answer:
        """Delete one key, like ``store``."""
        return self._command(b"delete ", key, prefix, None, "DELETED", seconds)

    def touch(
        self, key: str | bytes, prefix: bytes, expire: int, seconds: float | None = None
    ) -> _Answer:
        """Give one key a new expiry, like ``store``."""
        until = checked_range("expire", expire, -(1 << 31), 1 << 32, "[-2**31, 2**32)")
        return self._command(b"touch ", key, prefix, until, "TOUCHED", seconds)

    def count(
        self, down: bool, key: str | bytes, prefix: bytes, delta: int, seconds: float | None = None
    ) -> _Answer:
        """Count up or down, like ``store``; return the count, -1 if there is no counter."""
        by = checked_range("delta", delta, 0, 1 << 64, "[0, 2**64)")
        verb = b"decr " if down else b"incr "
        return self._command(verb, key, prefix, by, "NUMBER", seconds)

    def _command(
        self,
        verb: bytes,
        key: str | bytes,
        prefix: bytes,
        number: int | None,
        word: str,
        seconds: float | None,
    ) -> _Answer:
        self._check_plain()
        end = b"\r\n" if number is None else b" %d\r\n" % number
        request: list[ReadableBuffer] = [ascii_each(verb, [key], end, prefix)]
        reply = Reply(LINES, 1, WORDS[word] | WORDS["NOT_FOUND"])
        return self._ask(request, reply, seconds, word == "NUMBER")

    def _ask(
        self,
        request: "list[ReadableBuffer]",
        reply: Reply,
        seconds: float | None,
        counts: bool = False,
    ) -> _Answer:
        """Send a request; return what the line says that answers it."""
        row = self._carried(request, reply, seconds).rows()[0]
        if row.marks & FAILED:
            return row.status, row.value
        if not counts:
            return row.status
        return row.number if row.status == 0 else -1

    def _check_plain(self) -> None:
        if self.fd < 0:
            raise ValueError("the channel must be a plain socket")

    def _carried(
        self, request: "list[ReadableBuffer]", reply: Reply, seconds: float | None
    ) -> Reply:
        """Return the reply, when it is complete; raise how the exchange failed."""
        talk = _Single(request, reply)
        carry([self], [talk], seconds)
        failure, talk.failure = talk.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame
        return reply


class _Single:
    """A talk of one exchange."""

    def __init__(self, request: "list[ReadableBuffer]", reply: Reply) -> None:
        self.request = request
        self.reply = reply
        self.failure: Exception | None = None
        self._exchanges: Iterator[Any] = iter([self])

    def advance(self, failure: Exception | None) -> "Any":
        self.failure = failure
        return next(self._exchanges, None)
