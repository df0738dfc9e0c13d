"""Requests in flight over one connection that many callers share: the twin of ``pipeline_c``."""

import threading
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from ._guarded import name_of, text_of
from ._identity import refuse_copies
from ._wire import BARE, FAILED, VALUES, Row, bad_leftover, failures_of
from .wire_py import Reply, unasked, wire_name
from .wire_request_py import is_plain_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from _typeshed import ReadableBuffer

__all__ = ["Get", "Pipeline", "Room", "Wait"]

_LARGE = 1 << 14  # bytes from which the buffers of a request are sent without a copy
_MOST_JOINED = 100  # gets that are one request
_MOST_LINE = 1 << 13  # bytes of it: memcached 1.6.12 refuses those over 16 KiB
_LONG = 5e-3  # seconds that a task runs for without a wait, in which a server may come to its end
_SOON = 1e-4  # seconds; waiting for so long halves the time of sets by 100 tasks


class Taker(Protocol):
    """What a reply is for."""

    def over(self, failure: Exception | None, /) -> object: ...


class Owner(Protocol):
    """What keeps a pipeline."""

    def failed(self, error: Exception, /) -> object: ...
    def unjoin(self) -> object: ...
    def repeat(self, gets: "list[Get]", /) -> object: ...
    def arm(self, moment: float, /) -> object: ...
    def drain(self) -> object: ...


class Room:
    """What the pipelines of one loop share: a buffer to receive in, of `size` bytes, and `loop`.

    A ``Wait`` that is cancelled raises `cancelled`.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self, loop: Any, cancelled: type[BaseException], size: int = 1 << 18) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 byte, got {size}")
        self._loop = loop
        self._cancelled = cancelled
        self._later: Callable[..., object] = loop.call_soon
        self._view = memoryview(bytearray(size))
        # Waits to wake, while a pipeline takes what was received.
        self._woken: list[Wait] | None = None

    @property
    def loop(self) -> Any:
        """The loop."""
        return self._loop

    @property
    def size(self) -> int:
        """How many bytes the buffer holds."""
        return len(self._view)

    def wait(self) -> "Wait":
        """Return a new ``Wait``."""
        wait = Wait.__new__(Wait)
        wait._room = self
        return wait

    def _wake(self, woken: "list[Wait]") -> None:
        """Wake the callers of waits that are done."""
        interrupt: BaseException | None = None
        for wait in woken:
            try:
                wait._wake()
            except BaseException as error:  # a task's KeyboardInterrupt or SystemExit
                interrupt = error
        if interrupt is not None:
            self._later(_raised, interrupt)


def _raised(error: BaseException) -> None:
    raise error


class Wait:
    """What a coroutine awaits until it is filled: a future of one task, for no turn of the loop.

    Once awaited, it has its `value`. A task that awaits it is woken by the pipeline itself, after
    all that was received at once is taken, so it costs the loop no handle and no turn; otherwise it
    is woken by the loop, as it would be by a future.
    """

    __reduce_ex__ = refuse_copies

    _asyncio_future_blocking = False
    value: Any = None

    _callback: Any = None
    _context: Any = None
    _error: BaseException | None = None
    _is_done = False
    _room: Room

    def __init__(self) -> None:
        raise TypeError("a Wait is made by a Room")

    def done(self) -> bool:
        """Return whether it is filled, or was cancelled."""
        return self._is_done

    def get_loop(self) -> Any:
        """Return its loop."""
        return self._room._loop

    def __await__(self) -> "Self":
        return self

    def __iter__(self) -> "Self":
        return self

    def __next__(self) -> "Self":
        if not self._is_done:
            self._asyncio_future_blocking = True
            return self
        if self._error is not None:
            self._raise_once()
        raise StopIteration

    def _raise_once(self) -> None:
        # Kept, it would be in a circle: its traceback holds the frame that holds this.
        error = self._error
        self._error = RuntimeError("the error of this was raised before")
        try:
            assert error is not None
            raise error
        finally:
            del error

    def result(self) -> Any:
        """Return the value; raise, once, the error it was failed with, or that it was cancelled."""
        if self._error is not None:
            self._raise_once()
        return self.value

    def add_done_callback(
        self, callback: "Callable[[Any], object]", *, context: Any = None
    ) -> None:
        """Call ``callback(wait)`` when it is done; there is one."""
        self._callback, self._context = callback, context
        if self._is_done:
            self._end()

    def cancel(self, msg: Any = None) -> bool:
        """Let the one who awaits it be cancelled; return False if it is done."""
        if self._is_done:
            return False
        cancelled = self._room._cancelled
        self._error = cancelled() if msg is None else cancelled(msg)
        self._is_done = True
        self._wake_later()
        return True

    def fill(self, value: Any) -> bool:
        """Give it a value; return False if it is done."""
        if self._is_done:
            return False
        self.value = value
        self._end()
        return True

    def fail(self, error: BaseException) -> bool:
        """Let it raise an error; return False if it is done."""
        if self._is_done:
            return False
        self._error = error
        self._end()
        return True

    def _end(self) -> None:
        self._is_done = True
        if self._callback is None:
            return
        if self._room._woken is not None:
            self._room._woken.append(self)
        else:
            self._wake_later()

    def _wake_later(self) -> None:
        callback, context = self._callback, self._context
        self._callback = self._context = None
        if callback is not None:
            self._room._later(callback, self, context=context)

    def _wake(self) -> None:
        callback, context = self._callback, self._context
        if callback is None:
            return
        self._callback = self._context = None
        try:
            if context is None:
                callback(self)
            else:
                context.run(callback, self)
        except RuntimeError:
            # The context, or another task, is being run: this is not called by the loop itself.
            self._room._later(callback, self, context=context)


class Get:
    """A get of one key that did not end: its `wait`, and with what it was put."""

    __slots__ = ("context", "deadline", "key", "prefix", "wait")
    __reduce_ex__ = refuse_copies

    def __init__(
        self, wait: Wait, key: str | bytes, prefix: bytes, context: Any, deadline: float
    ) -> None:
        self.wait = wait
        self.key = key
        self.prefix = prefix
        self.context = context
        self.deadline = deadline


class _Entry:
    __slots__ = ("deadline", "is_late", "joined", "reply", "sent", "size", "taker")

    def __init__(self, taker: Any, reply: Any, size: int, sent: float, deadline: float) -> None:
        self.taker = taker
        self.reply = reply
        self.size = size
        self.sent = sent
        self.deadline = deadline
        self.joined = 0  # at the first of gets that are one request: how many
        self.is_late = False


class Pipeline:
    """Requests in flight over one connection, whose replies come in their order.

    `owner` has ``failed(error)`` for a connection that cannot go on, ``arm(deadline)`` for the
    moment of ``take_late``, and ``drain()`` for when there is room again, while `has_line`. Times
    are seconds of `clock`.

    Gets that are put one after the other, with nothing in between, are one request while `joins`:
    memcached up to 1.6.34 answers those packet by packet that are requests of their own. If it
    refuses such a request, ``owner.unjoin()`` is called in place of an answer. Where a proxy does
    not say which of some keys failed, ``owner.repeat(gets)`` is called with those, and `joins` is
    False from then on.

    A taker of a reply has ``over(failure)``. What is put while nothing is in flight is written at
    once; what is put in one turn of the loop is joined into one write.
    """

    __reduce_ex__ = refuse_copies

    heard = -inf
    size = 0
    is_open = False
    is_paused = False
    has_line = False
    is_taking = False
    joins = True

    _owner: Any = None
    _unsent = _most = _most_bytes = _thread = 0
    _open_count = _open_size = 0  # of the gets that the next may join, and of their line
    _answers_on = False  # when it last received, more was in flight
    _gap = 0.0  # seconds from then to the next receive, on average
    _corked = False
    _alarm = _limit = inf
    _unasked: Exception | None = None

    def __new__(cls, room: Room, clock: "Callable[[], float]") -> "Self":
        made = super().__new__(cls)
        made._room = room
        made._clock = clock
        made._entries = deque()
        made._pieces = []
        return made

    if TYPE_CHECKING:
        _room: Room
        _clock: Callable[[], float]
        _entries: deque[_Entry]
        _pieces: list[bytes]
        _enter: Callable[[], object]
        _write: Callable[[bytes], object]
        _writelines: Callable[[list[bytes]], object]

    def open(
        self,
        owner: Owner,
        write: "Callable[[bytes], object]",
        writelines: "Callable[[list[bytes]], object]",
        enter: "Callable[[], object]",
        limit: float | None,
        most: int,
        most_bytes: int,
    ) -> None:
        """Begin: ``write(data)`` and ``writelines(buffers)`` send, and may call ``pause``.

        ``enter()`` raises where a get may not be put, or ends a pipeline that was closed; it is
        asked when nothing is in flight, nor was received just now. `limit` is the seconds without a
        byte, while a reply is due, that ``take_late`` counts, None for the seconds of the oldest
        request. At most `most` requests and `most_bytes` of them are in flight; one alone may be
        longer.
        """
        self._owner = owner
        self._write, self._writelines = write, writelines
        self._enter = enter
        self._limit = inf if limit is None else limit
        self._most, self._most_bytes = most, most_bytes
        self._thread = threading.get_ident()
        self.is_open = True
        if self._unasked is not None:
            owner.failed(self._unasked)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more request."""
        count = len(self._entries)
        return count >= self._most or (count > 0 and self.size >= self._most_bytes)

    # Sending

    def has_just_heard(self, now: float) -> bool:
        """Return whether a reply is being taken, and nobody whom that woke blocks since then."""
        return self.is_taking and now - self.heard < _LONG

    def get(self, key: Any, prefix: bytes, context: Any, limit: float) -> Wait | None:
        """Get one key by ASCII's get within `limit` seconds; return a ``Wait``, None if not now.

        Its value is that of the key; or None for a miss; or the status, the value or words, the
        flags and 0, where the value is empty or has flags, or the server refused. There is None
        where there is no room, no connection, or a line, in another thread than that of ``open``,
        and for a key that may not be sent.
        """
        if not self.is_open or self.is_paused or self.has_line or self.is_full:
            return None
        if threading.get_ident() != self._thread:
            return None
        now = self._clock()
        if not self._entries and not self.has_just_heard(now):
            self._enter()
            if not self.is_open:
                return None
        if not is_plain_key(key, prefix):
            return None
        get = Get(self._room.wait(), key, prefix, context, now + limit)
        self._put_get(get, now)
        return get.wait

    def put_get(self, get: Get) -> bool:
        """Put a get that ``end`` returned; return whether there is room for it."""
        if not self.is_open or self.is_paused or self.is_full:
            return False
        self._put_get(get, self._clock())
        return True

    def _put_get(self, get: Get, now: float) -> None:
        name = wire_name(get.key, get.prefix)
        before = b" "
        if not (
            self.joins
            and 0 < self._open_count < _MOST_JOINED
            and self._open_size + len(name) < _MOST_LINE
        ):
            self._close_line()
            self._open_size = 0
            before = b"get "
        self._pieces.append(before + name)
        self._open_size += len(before + name)
        entry = _Entry(get, None, len(name) + 6, now, get.deadline)
        first = self._entries[-self._open_count] if self._open_count else entry
        first.joined += 1
        self._open_count += 1
        self._push(entry)

    def put(
        self, request: "list[ReadableBuffer]", taker: Taker, reply: Any, deadline: float
    ) -> None:
        """Put a request of buffers, whose `reply` is for `taker`."""
        self._close_line()
        # What is handed on must not change any more.
        pieces = [each if type(each) is bytes else bytes(each) for each in request]
        self._pieces += pieces
        now = self._clock()
        self._push(_Entry(taker, reply, sum(map(len, pieces)), now, deadline))

    def _close_line(self) -> None:
        """End the line of gets that were joined."""
        if self._open_count:
            self._pieces.append(b"\r\n")
            self._open_count = 0

    def _push(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._unsent += 1
        self.size += entry.size
        if entry.deadline < self._alarm:
            self._alarm = entry.deadline
            self._owner.arm(entry.deadline)
        # Write at once what nothing else is in flight with, and join the rest.
        if self._corked or self.is_paused:
            return
        if len(self._entries) == 1:
            self._flush()
        elif not self.is_taking:
            self._cork()

    def _cork(self) -> None:
        self._corked = True
        self._room._later(self.uncork)

    def uncork(self) -> None:
        """Write what was joined."""
        self._corked = False
        if self.is_open and not self.is_paused:
            self._flush()

    def _flush(self) -> None:
        if not self._unsent or not self.is_open:
            return
        self._close_line()
        pieces, self._pieces = self._pieces, []
        self._unsent = 0
        try:
            if sum(map(len, pieces)) < _LARGE:
                self._write(b"".join(pieces))
            else:
                self._writelines(pieces)
        except BaseException as error:  # an interrupt may have come before anything was sent
            self._break_off(error)
            if not isinstance(error, Exception):
                raise

    def _break_off(self, error: BaseException) -> None:
        """Give up the connection after an error that leaves it out of step."""
        if self._owner is not None:
            self._owner.failed(
                ConnectionAbortedError(
                    f"the connection was given up: {text_of(error) or name_of(type(error))}"
                )
            )

    def pause(self) -> None:
        """Write nothing until ``resume``."""
        self.is_paused = True

    def resume(self) -> None:
        """Write again."""
        self.is_paused = False
        if not self._corked:
            self._flush()
        if self.has_line and self.is_open:  # which the write may have ended
            self._owner.drain()

    # Receiving

    def get_buffer(self, hint: int) -> memoryview:
        """Return the buffer to receive in."""
        return self._room._view

    def buffer_updated(self, count: int) -> None:
        """Take the bytes that were received in the buffer, and wake those who waited for them."""
        room = self._room
        if not 0 <= count <= room.size:
            raise ValueError(f"count must be in [0, {room.size}], got {count}")
        if self._owner is None:
            self._unasked = bad_leftover(bytes(room._view[:count]), 0)
            return
        now = self._clock()
        if self._answers_on:
            self._gap += (now - self.heard - self._gap) / 4
        self.heard = now
        if room._woken is not None:  # by who drives a loop within a loop
            self._take(room._view[:count])
            return
        woken = room._woken = []
        self.is_taking = True
        try:
            self._take(room._view[:count])
        finally:
            room._woken = None
            if woken:
                # What they put next is one write.
                is_corked, self._corked = self._corked, True
                room._wake(woken)
                self._corked = is_corked
            self.is_taking = False
            self._go_on()

    def _go_on(self) -> None:
        """Write what those put who were woken: now, or with what others put who are woken soon.

        While the server answers what went before, it would not look at more: where its answers come
        in pieces, one right after the other, a write waits until it doubles what is in flight.
        """
        ahead = len(self._entries) - self._unsent
        self._answers_on = ahead != 0
        if not self._unsent or not self.is_open or self.is_paused:
            return
        if self._unsent >= ahead or self._gap >= _SOON:
            self._flush()

    def _take(self, data: memoryview) -> None:
        is_over = False
        try:
            while data and self.is_open:
                if len(self._entries) == self._unsent:
                    self._owner.failed(bad_leftover(bytes(data), 0))
                    return
                entry = self._entries[0]
                if entry.reply is None:
                    entry.reply = Reply(VALUES, entry.joined, options=BARE)
                reply = entry.reply
                data = data[reply.feed(data) :]
                if not reply.done:
                    if data:
                        raise bad_leftover(bytes(data), reply.size)
                    break
                is_over = True
                if type(entry.taker) is Get:
                    self._answer(entry.joined, reply)
                else:
                    self._pop()
                    entry.taker.over(None)
        except (ValueError, OSError) as error:
            if self._owner is not None:
                self._owner.failed(error)
            return
        except BaseException as error:  # the rest of what came is lost with it
            self._break_off(error)
            raise
        if self.is_open and self.has_line and is_over:
            self._owner.drain()

    def _answer(self, joined: int, reply: Reply) -> None:
        """Give the first gets their values, and remove them."""
        rows = reply._rows
        if reply._refusal and joined > 1:
            self._owner.unjoin()
            return
        gets = [self._entries[i].taker for i in range(joined)]
        names = [wire_name(get.key, get.prefix) for get in gets]
        found: list[Row | None] = [None] * joined
        errors: list[tuple[int, int, bytes]] = []
        at, is_ordered = 0, True
        for row in rows:
            if row.marks & FAILED:
                errors.append((at, row.status, row.value))
                continue
            # From the last one on, or else before.
            where = [*range(at, joined), *range(at)]
            free = [i for i in where if found[i] is None and names[i] == row.key]
            if not free:
                raise unasked(row)
            is_ordered = is_ordered and free[0] >= at
            at = free[0]
            found[at] = row
            at += 1
        failures = failures_of(errors, range(joined), lambda i: found[i] is not None, is_ordered)
        if 0 < len(rows) < joined:  # a server may answer once for a key that is there twice
            of = {name: each for name, each in zip(names, found, strict=True) if each is not None}
            found = [of.get(name) for name in names]
        unsure: list[Get] = []
        for i, (get, own) in enumerate(zip(gets, found, strict=True)):
            result: Any = None
            if i in failures and len(failures) > len(errors):
                unsure.append(get)
                self._pop()
                continue
            if i in failures:
                result = (*failures[i], 0, 0)
            elif own is not None:
                result = own.value
                if own.flags or not own.value:
                    result = (own.status, own.value, own.flags, 0)
            if not self.is_open:  # closed by what the last one's end ran
                return
            get.wait.fill(result)
            self._pop()
        if unsure and self.is_open:
            self.joins = False
            self._owner.repeat(unsure)

    def _pop(self) -> Any:
        entry = self._entries.popleft()
        self.size -= entry.size
        return entry.taker

    # Ends

    def end(self) -> tuple[list[Any], list[Any]]:
        """Close; return the takers whose requests may have been sent, and those of the others."""
        self.is_open = False
        takers = [entry.taker for entry in self._entries]
        before = len(takers) - self._unsent
        self._entries.clear()
        self._unsent = self.size = self._open_count = 0
        self._pieces = []
        self._owner = None
        return takers[:before], takers[before:]

    @property
    def received(self) -> int:
        """How many bytes of the oldest request's reply have come."""
        reply = self._entries[0].reply if self._entries else None
        return 0 if reply is None else reply.size

    def take_late(self, now: float) -> tuple[list[Any], float, float]:
        """Return the takers whose deadline has passed, once each; and the next two moments.

        They are the next deadline; and when the oldest request is late, and no byte has come for
        the limit of ``open``, or for half of it since that was sent. Infinity where there is none.
        """
        late = []
        due = silent = inf
        for entry in self._entries:
            if entry.is_late:
                continue
            if entry.deadline <= now:
                entry.is_late = True
                late.append(entry.taker)
            else:
                due = min(due, entry.deadline)
        if len(self._entries) > self._unsent:
            head = self._entries[0]
            seconds = head.deadline - head.sent if self._limit == inf else self._limit
            if self.heard < head.sent:
                seconds /= 2
            silent = max(head.deadline, max(head.sent, self.heard) + seconds)
        self._alarm = min(due, silent)
        return late, due, silent
