"""Questions over HTTP that can be called off, for sources that ask by it.

``http.client`` waits for a lookup, a connection and each piece of a reply, and knows no deadline
for the whole. So each question has a thread of its own, which puts what comes into a queue: whoever
waits does so as long as it likes, and ``close`` ends that at once. A source says what it asks and
what follows from the answer as a generator of ``Wait``, and of answers and problems; ``next`` here
drives it.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Generator, Iterable, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from ..._address import Address, address_text, parse_address
from ..._dial import DialOptions, dial
from ..._forks import begin_again_in_child
from ..._kernels._args import shown
from ..._kernels._guarded import text_of
from ..._kernels._identity import refuse_copies
from ..errors import InvalidArgumentError, InvalidTypeError
from .types import Answer, SourceError

__all__ = [
    "LATE",
    "Asking",
    "ClosedError",
    "HttpSource",
    "Piece",
    "Problem",
    "Question",
    "Reply",
    "Request",
    "Steps",
    "Wait",
    "checked_endpoint",
    "checked_text",
    "checked_tls",
    "checked_token",
    "is_token",
    "parsed",
    "said_in",
]

# More than any fleet takes.
_LARGEST: Final = 64 << 20
_LONGEST_TEXT: Final = 300

_T = TypeVar("_T")


class Request(NamedTuple):
    """What is asked."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class Reply(NamedTuple):
    """What came back, headers by their names in lower case; `body` is empty where lines follow."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parsed(what: str, data: bytes) -> Any:
    """Return JSON; raise ``SourceError``."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{what}: expected JSON, got {shown(data)}: {error}") from None


class _Late:
    """Nothing came in time."""


LATE: Final = _Late()

# A reply, a line of one, or that nothing came in time.
Piece = Reply | bytes | _Late


class _Over:
    """The question was called off."""


_OVER: Final = _Over()


class Question:
    """One request over a connection of its own, and what comes back of it.

    The first piece is the reply; with `lines`, those of its body follow one by one, and that they
    ended is an error. A piece that is an exception tells how it failed.
    """

    __slots__ = (
        "_is_over",
        "_lines",
        "_lock",
        "_request",
        "_seconds",
        "_socket",
        "_target",
        "_tls",
        "pieces",
    )

    def __init__(
        self,
        target: Address,
        request: Request,
        tls: ssl.SSLContext | None,
        seconds: float,
        lines: bool = False,
    ) -> None:
        self.pieces: SimpleQueue[Any] = SimpleQueue()
        self._target = target
        self._request = request
        self._tls = tls
        self._seconds = seconds
        self._lines = lines
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        threading.Thread(target=self._ask, name="godropbox-discovery-http", daemon=True).start()

    @property
    def where(self) -> str:
        """The address that is asked."""
        return address_text(self._target)

    def end(self) -> None:
        """Call it off: the connection is closed, and whoever waits is woken."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            connection, self._socket = self._socket, None
        self.pieces.put(_OVER)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closes it

    def leave_to_parent(self) -> None:
        """Close the copy that the child of a fork has of the connection, and say nothing on it."""
        connection, self._socket, self._is_over = self._socket, None, True
        self._lock = threading.Lock()
        if connection is not None:
            with contextlib.suppress(OSError):
                os.close(connection.detach())

    def _ask(self) -> None:
        try:
            connection = dial(self._target, DialOptions(self._seconds, self._tls))
            try:
                with self._lock:
                    if self._is_over:
                        return
                    self._socket = connection
                for piece in self._answered(connection):
                    self.pieces.put(piece)
            finally:
                with self._lock:
                    self._socket = None
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.pieces.put(error)
        except BaseException as error:
            # Whoever waits must be told of anything.
            self.pieces.put(error)
            raise

    def _answered(self, connection: socket.socket) -> Iterable[Any]:
        # What is waited for has no deadline here: whoever waits for it calls it off.
        connection.settimeout(None)
        host = self._target[0] if isinstance(self._target, tuple) else "localhost"
        talk = http.client.HTTPConnection(host)
        talk.sock = connection
        headers = {"Host": _host_of(self._target), **self._request.headers}
        talk.request(self._request.method, self._request.path, self._request.body, headers)
        response = talk.getresponse()
        with contextlib.closing(response):
            told = {name.lower(): value for name, value in response.getheaders()}
            if self._lines and response.status == 200:
                yield Reply(response.status, told, b"")
                yield from _lines_of(response)
            yield Reply(response.status, told, _body_of(response))


def _host_of(target: Address) -> str:
    return address_text(target) if isinstance(target, tuple) else "localhost"


def _body_of(response: http.client.HTTPResponse) -> bytes:
    body = response.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise ValueError(f"the reply is longer than {_LARGEST} bytes")
    # With a length given, read(n) returns less without a word.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return body


def _lines_of(response: http.client.HTTPResponse) -> Iterable[bytes]:
    rest: list[bytes] = []
    size = 0
    while data := response.read1(65536):
        first, *others = data.split(b"\n")
        rest.append(first)
        for other in others:
            yield b"".join(rest)
            rest, size = [other], 0
        size += len(data)
        if size > _LARGEST:
            raise ValueError(f"a line of the reply is longer than {_LARGEST} bytes")
    raise http.client.IncompleteRead(b"")


class ClosedError(SourceError):
    """The source was closed, so nobody else need be asked."""


class Wait(NamedTuple):
    """Waits for the next piece of a question, until then; for the time alone where it is None."""

    question: Question | None
    until: float


class Problem(NamedTuple):
    """What is wrong with what the source holds, which is watched until it is mended."""

    error: SourceError


Steps = Generator[Wait | Answer | Problem, Piece, None]
Asking = Generator[Wait, Piece, _T]


class HttpSource:
    """A source whose ``_steps`` says what to ask; see ``types.Source`` for what the rest does."""

    __reduce_ex__ = refuse_copies

    def __init__(self, name: str, tls: ssl.SSLContext | None, timeout: float) -> None:
        self._name = name
        self._tls = tls
        self._timeout = timeout
        self._begin()
        begin_again_in_child(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        # Set when the source is closed, and replaced: work that has another one is void.
        self._closing = threading.Event()
        self._asked: set[Question] = set()
        self._work: Steps | None = None
        self._worked_until: threading.Event | None = None
        self._wait: Wait | None = None
        self._problem: SourceError | None = None

    def _forked(self) -> None:
        for each in list(self._asked):
            each.leave_to_parent()
        self._begin()

    @property
    def name(self) -> str:
        """What the source is, as a URL without a password."""
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    def next(self, timeout: float) -> Answer | None:
        """Return what the source says: at once the first time, later when it may have changed.

        Waits for that at most `timeout` seconds, then returns None. Raises ``SourceError`` as
        ``Source.next`` says.
        """
        deadline = monotonic() + timeout
        closing = self._closing
        if closing is not self._worked_until:
            self._drop()
        try:
            step = self._next(deadline, closing)
        except BaseException:
            self._drop()
            raise
        if isinstance(step, SourceError):
            raise SourceError(str(step))
        return step

    def close(self) -> None:
        """Let go of connections; a call of ``next`` under way ends at once, with an error."""
        with self._lock:
            closing, self._closing = self._closing, threading.Event()
            asked, self._asked = self._asked, set()
        closing.set()
        for each in asked:
            each.end()

    def _steps(self, closing: threading.Event) -> Steps:
        """Say what to wait for, and what follows; ``closing`` is for ``_reply`` and ``_asking``."""
        raise NotImplementedError

    def _next(self, deadline: float, closing: threading.Event) -> Answer | SourceError | None:
        if self._work is None:
            self._work, self._worked_until = self._steps(closing), closing
        work = self._work
        while True:
            if self._wait is None:
                step = next(work)
            else:
                wait = self._wait
                piece = self._piece(wait, min(deadline, wait.until), closing)
                if isinstance(piece, _Late) and monotonic() < wait.until:
                    return self._problem
                step = work.throw(piece) if isinstance(piece, SourceError) else work.send(piece)
            self._wait = step if isinstance(step, Wait) else None
            if isinstance(step, Answer):
                self._problem = None
                return step
            if isinstance(step, Problem):
                self._problem = step.error
                return step.error

    def _drop(self) -> None:
        work, self._work, self._wait, self._problem = self._work, None, None, None
        if work is not None:
            work.close()

    def _piece(self, wait: Wait, until: float, closing: threading.Event) -> Piece | SourceError:
        """Return what comes, or how the question failed. Raises ``SourceError`` when closed."""
        seconds = max(until - monotonic(), 0.0)
        if wait.question is None:
            if closing.wait(seconds):
                raise self._closed()
            return LATE
        try:
            piece = wait.question.pieces.get(timeout=seconds)
        except Empty:
            return LATE
        if piece is _OVER or closing.is_set():
            raise self._closed()
        if isinstance(piece, BaseException):
            error = SourceError(f"{self._name}: {_said(piece, wait.question.where)}")
            error.__cause__ = piece
            return error
        found: Piece = piece
        return found

    def _closed(self) -> "ClosedError":
        return ClosedError(f"{self._name} was closed")

    @contextlib.contextmanager
    def _asking(
        self, closing: threading.Event, target: Address, request: Request, lines: bool = False
    ) -> Generator[Question, None, None]:
        """Ask a question, which ends with the block. Raises ``SourceError`` when closed."""
        with self._lock:
            if closing is not self._closing:
                raise self._closed()
            question = Question(target, request, self._tls, self._timeout, lines)
            self._asked.add(question)
        try:
            yield question
        finally:
            with self._lock:
                self._asked.discard(question)
            question.end()

    def _reply(self, closing: threading.Event, target: Address, request: Request) -> Asking[Reply]:
        """Ask a question, and return the reply that comes within the source's timeout."""
        with self._asking(closing, target, request) as question:
            piece = yield Wait(question, monotonic() + self._timeout)
        if not isinstance(piece, Reply):
            raise SourceError(
                f"{self._name}: {address_text(target)} did not answer within {self._timeout:g} s"
            )
        return piece

    def _run(self, steps: Asking[_T], closing: threading.Event) -> _T:
        """Return what steps without answers come to."""
        with contextlib.closing(steps):
            try:
                wait = next(steps)
                while True:
                    piece = self._piece(wait, wait.until, closing)
                    failed = isinstance(piece, SourceError)
                    wait = steps.throw(piece) if failed else steps.send(piece)  # type: ignore
            except StopIteration as done:
                found: _T = done.value
                return found


def _said(error: BaseException, where: str) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"{where} ended its reply too early"
    said = text_of(error) or type(error).__name__
    # What is said of dialling names the address.
    return said if where in said else f"{where}: {said}"


def checked_endpoint(name: str, value: Any, default_port: int) -> Address:
    """Return where a coordinator is. Raises ``InvalidArgumentError`` or ``InvalidTypeError``."""
    try:
        return parse_address(value, default_port)
    except TypeError as error:
        raise InvalidTypeError(f"{name}: {error}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from None


def checked_text(name: str, value: Any) -> str:
    """Return `value` if it is a str with something in it; the messages do not show it."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidArgumentError(f"{name} must not be empty")
    return value


def checked_token(name: str, value: Any) -> str:
    """Return `value` if it can be sent in a header; the messages do not show it."""
    if not is_token(checked_text(name, value)):
        raise InvalidArgumentError(
            f"{name} must be printable ASCII, without a space or the end of a line around it"
        )
    token: str = value
    return token


def is_token(value: Any) -> bool:
    """Return whether a value can be sent in a header as it is: else its error would show it."""
    if not isinstance(value, str) or not value:
        return False
    return value.isascii() and value.isprintable() and value == value.strip()


def checked_tls(value: Any) -> ssl.SSLContext | None:
    """Return `value` if it is a context or None. Raises ``InvalidTypeError``."""
    if value is not None and not isinstance(value, ssl.SSLContext):
        raise InvalidTypeError(f"tls must be an ssl.SSLContext or None, got {shown(value)}")
    return value


def said_in(body: bytes) -> str:
    """Return the beginning of what a server says of an error."""
    text = body.decode("utf-8", "replace").strip()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
