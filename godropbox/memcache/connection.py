"""One connection to one server: it carries exchanges, one at a time, each by a deadline.

A connection counts as broken from before the first byte of a request is sent until a complete and
fitting reply was read, whatever ends that. Compiled as it stands (``connection.pxd``).
"""

import _socket  # the operating system's own sockets, which gevent cannot replace
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._forks import begin_again_in_child
from .._kernels import transport
from .._kernels._channels import Channel, interleaves
from .._kernels._identity import refuse_copies
from .errors import (
    ConnectionUnusableError,
    DeadlineExceededError,
    NetworkError,
    ReplyError,
)
from .protocol.exchange import Exchange, as_caller_error, get_response
from .protocol.talk import Peer, Talk, check_timeout, explained
from .responses import GetResponse
from .types import Key, ResponseStatus, Seconds

if TYPE_CHECKING:
    from typing import Self


__all__ = [
    "DECREMENT",
    "DELETE",
    "INCREMENT",
    "STORE",
    "TOUCH",
    "TOUCH_ITEM",
    "Channel",
    "Connection",
]

_BOTH = 2  # ways of a socket, for shutdown
_FAULTY = ResponseStatus.INVALID_ARGUMENTS

# The forms of ``Connection.write``.
STORE: Final = 0
DELETE: Final = 1
TOUCH: Final = 2
INCREMENT: Final = 3
DECREMENT: Final = 4
TOUCH_ITEM: Final = 5


class Connection(Peer):
    """One connection to one server. Threads may share it; they take turns.

    `timeout` is seconds for a whole operation, waiting for a turn included; None takes the
    channel's own (``gettimeout``), if it has one.
    """

    __slots__ = ("__weakref__", "_channel", "_is_plain", "_line", "_lock", "_opened", "_timeout")
    __reduce_ex__ = refuse_copies

    def __init__(self, channel: Channel, timeout: Seconds = None) -> None:
        Peer.__init__(self)
        if timeout is None and hasattr(channel, "gettimeout"):
            timeout = channel.gettimeout()
        check_timeout(timeout)
        self._channel = channel
        self._timeout = timeout
        # Re-entrant, as it knows its owner: a signal handler may run in the middle of anything.
        self._lock: Any = threading.RLock()
        self._opened = monotonic()
        self._line: Any = transport.Line(channel, timeout)
        self._is_plain: bool = self._line.fd >= 0
        self.interleaves = interleaves(channel)
        begin_again_in_child(self)

    @property
    def timeout(self) -> float | None:
        """Seconds for a whole operation, None for no limit."""
        return self._timeout

    @property
    def opened(self) -> float:
        """When the connection was begun: ``time.monotonic()`` seconds.

        It may be established later, and lead to a server that was started later.
        """
        return self._opened

    @property
    def channel(self) -> Channel:
        """What carries the bytes."""
        return self._channel

    @property
    def line(self) -> Any:
        """The channel as the transport drives it."""
        return self._line

    def began(self) -> float:
        """Return when the time for the latest ``fetch`` began, in ``time.monotonic()`` seconds."""
        now = monotonic()
        left = self._line.left()
        return now if left is None or self._timeout is None else now + left - self._timeout

    @property
    def has_begun(self) -> bool:
        """Whether anything of the latest exchange may have been sent.

        If it failed and nothing was sent, another connection may carry it.
        """
        return not self._is_proving and self._line.begun

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'valid' if self.is_valid else 'invalid'}>"

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, without a word to the server.

        An operation of another thread ends at once, with ``ClientClosedError``.
        """
        self._has_closed = True  # first: see ``_restore``
        self._is_valid = False
        if not self._is_mine:  # a shutdown would end what the parent is doing over it
            self._channel.close()
            return
        if self._lock.acquire(False):
            try:
                if self._line.shut():  # else this is a signal handler, or another thread
                    self._channel.close()
                    return
            finally:
                self._lock.release()
        # Its number must not become another file's while it is in use: who uses it closes it.
        with suppress(OSError, TypeError):
            _socket.socket.shutdown(self._channel, _BOTH)  # type: ignore[arg-type]  # perhaps

    def server(self) -> str:
        """Return the server's address, as far as the channel knows it."""
        try:
            name = self._channel.getpeername()  # type: ignore[attr-defined]  # a socket, perhaps
        except (AttributeError, OSError):
            return "the server"
        if not isinstance(name, tuple):
            return f"unix:{name}"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    # Taking turns

    def run(self, exchange: Exchange) -> Any:
        """Carry an exchange by the deadline, and return its result.

        Raises ``ConnectionUnusableError``, ``NetworkError`` or ``ReplyError``.
        """
        return self.run_all([exchange])[0]

    def run_all(self, exchanges: list[Exchange]) -> list[Any]:
        """Carry exchanges, one after the other, by one deadline; return their results."""
        talk = Talk(self, exchanges)
        self._check_turn()
        try:
            seconds = self._take_turn()
            transport.carry([self._line], [talk], seconds)
        finally:
            self._end_turn()
        outcome, talk.outcome = talk.outcome, None
        if isinstance(outcome, Exception):
            try:
                if self._has_closed and not isinstance(outcome, ConnectionUnusableError):
                    raise self.unusable() from outcome
                raise outcome
            finally:
                del outcome  # its traceback holds this frame
        results: list[Any] = outcome
        return results

    def get(self, key: Key, prefix: bytes) -> "GetResponse":
        """Get one key in the ASCII protocol, over a plain socket, when it is this thread's turn."""
        self._check_turn()
        try:
            return self.fetch(key, prefix, self._take_turn())
        except (NetworkError, ReplyError) as error:
            if self._has_closed:
                raise self.unusable() from error
            raise
        finally:
            self._end_turn()

    def fetch(self, key: Key, prefix: bytes, seconds: Seconds) -> "GetResponse":
        """Get one key in the ASCII protocol, over a plain socket that no other thread has.

        This makes no object on the way, for a tenth of a get's time.
        """
        if not (self._is_valid and self._is_mine):
            raise self.unusable()
        self._is_valid = False
        try:
            response = get_response(key, self._line.get(b"gets ", key, prefix, seconds))
        except (OSError, TypeError, ValueError) as error:
            raise self._ended(error)  # noqa: B904  # it has its cause
        # Behind a CLIENT_ERROR memcached 1.6.45 sends an empty line; see ``Reply.is_cut``.
        if type(response) is GetResponse or response.status is not _FAULTY:
            self._restore()
        return response

    def write(
        self,
        form: int,
        verb: bytes,
        key: Key,
        prefix: bytes,
        data: Any,
        number: Any,
        expire: Any,
        cas: Any,
    ) -> Any:
        """Write one key like ``fetch``; return what the method of ``Line`` does that `form` names.

        `number` is a store's flags or a count's delta; what a form has no use for is ignored.
        """
        if not (self._is_valid and self._is_mine):
            raise self.unusable()
        self._is_valid = False
        try:
            if form == STORE:
                answer = self._line.store(verb, key, prefix, data, number, expire, cas)
            elif form == DELETE:
                answer = self._line.delete(key, prefix)
            elif form == TOUCH:
                answer = self._line.touch(key, prefix, expire)
            elif form == TOUCH_ITEM:
                answer = self._line.touch_item(key, prefix, expire)
            else:
                answer = self._line.count(form == DECREMENT, key, prefix, number)
        except (OSError, TypeError, ValueError) as error:
            raise self._ended(error)  # noqa: B904  # it has its cause
        self._restore()
        return answer

    def _ended(self, error: Exception) -> Exception:
        """Return the error of an exchange; the connection is usable again if nothing was sent."""
        if not self._line.clean:
            return explained(error)
        self._restore()
        caller = as_caller_error(error)
        caller.__cause__ = None  # raised in its handler, it is all there is to say
        return caller

    def _check_turn(self) -> None:
        if not self._is_mine:
            raise self.unusable()
        if self._lock._is_owned():  # this is a signal handler
            raise ConnectionUnusableError(
                "the connection is in the middle of another operation of this thread"
            )

    def _take_turn(self) -> Any:
        """Take the lock; return the seconds that are left, None if there was no wait."""
        seconds = None
        if not self._lock.acquire(False):
            start = monotonic()
            if not self._lock.acquire(timeout=-1 if self._timeout is None else self._timeout):
                raise DeadlineExceededError(
                    f"another thread used the connection for {self._timeout} s"
                )
            if self._timeout is not None:
                seconds = max(self._timeout - (monotonic() - start), 0.0)
        return seconds

    def _end_turn(self) -> None:
        if self._lock._is_owned():
            if self._has_closed:
                self._channel.close()
            self._lock.release()
