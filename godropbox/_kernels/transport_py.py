"""N exchanges over N connections in pure Python: the twin of ``transport_c``."""

from time import monotonic
from typing import TYPE_CHECKING

from ._channels import MOST_SECONDS, Channel, carry, is_plain, unfit
from ._identity import refuse_copies
from ._wire import BARE, FAILED, LINES, META, STRICT, VALUES, WORDS, checked_range
from .wire_py import Reply
from .wire_request_py import ascii_each, ascii_keys, ascii_stores, meta_keys

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

    __slots__ = ("_until", "begun", "channel", "clean", "fd", "seconds")
    __reduce_ex__ = refuse_copies

    def __init__(self, channel: Channel, seconds: float | None) -> None:
        self.channel = channel
        self.seconds = seconds
        self.fd: int = channel.fileno() if is_plain(channel) else -1  # type: ignore[attr-defined]
        self.clean = True
        self.begun = False
        self._until: float | None = None

    def left(self) -> float | None:
        """Return the seconds that the latest of these operations has left; None for no limit."""
        return None if self._until is None else max(self._until - monotonic(), 0.0)

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
        until = checked_range("expire", expire, -(1 << 31), 1 << 31, "[-2**31, 2**31)")
        return self._command(b"touch ", key, prefix, until, "TOUCHED", seconds)

    def touch_item(
        self, key: str | bytes, prefix: bytes, expire: int, seconds: float | None = None
    ) -> _Answer:
        """Give one key a new expiry in the meta protocol, like ``store``.

        It returns -1 for an empty item without flags, such as a lease that is out.
        """
        until = checked_range("expire", expire, -(1 << 31), 1 << 31, "[-2**31, 2**31)")
        self._check_plain()
        request: list[ReadableBuffer] = [meta_keys(b"mg ", [key], b" s f T%d" % until, 0, prefix)]
        row = self._carried(request, Reply(META, 1, 0, 0, BARE), seconds).rows()[0]
        if row.marks & FAILED:
            return row.status, row.value
        is_lease = row.status == 0 and row.flags == 0 and b" s0 " in row.line + b" "
        return -1 if is_lease else row.status

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

    def shut(self) -> bool:
        """Let no exchange begin any more; return whether the number of the socket is free.

        Until it is, the socket must not be closed: its number could become another file's.
        """
        return True  # what a socket's own methods are called with, it guards itself

    def _check_plain(self) -> None:
        if self.fd < 0:
            raise ValueError("the channel must be a plain socket")

    def _carried(
        self, request: "list[ReadableBuffer]", reply: Reply, seconds: float | None
    ) -> Reply:
        """Return the reply, when it is complete; raise how the exchange failed."""
        talk = _Single(request, reply)
        limit = self.seconds if seconds is None else seconds
        self._until = None if limit is None or limit > MOST_SECONDS else monotonic() + limit
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
