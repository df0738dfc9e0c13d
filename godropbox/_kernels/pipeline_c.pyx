"""Requests in flight over one connection that many callers share, compiled. The twin of ``pipeline_py``.

No I/O of its own: what is to be sent goes to the functions that ``open`` is given, and what was
received lies in the buffer that ``get_buffer`` lent, as asyncio's ``BufferedProtocol`` has it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from math import inf

from ._guarded import name_of, text_of
from ._identity import refuse_copies
from ._wire import bad_leftover, bad_reply, failures_of
from .wire_c cimport Fed, Reply, fed
from .wire_csrc cimport (
    GDBX_WIRE_BAD, GDBX_WIRE_BARE, GDBX_WIRE_FAILED, GDBX_WIRE_KEY, GDBX_WIRE_PIPED,
    GDBX_WIRE_VALUES, gdbx_wire_key_ok, gdbx_wire_reader, gdbx_wire_record, gdbx_wire_scan,
)

__all__ = ["Get", "Pipeline", "Room", "Wait"]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    unsigned long PyThread_get_thread_ident()
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    PyObject *PyList_GET_ITEM(list, Py_ssize_t)
    void PyList_SET_ITEM(list, Py_ssize_t, object)

cdef enum:
    LONG = 5  # milliseconds that a task runs for without a wait, in which a server may come to its end
    MOST_KEY = 250
    LARGE = 1 << 14  # bytes from which a buffer of a request is sent as it is, without a copy
    DIRECT = 1 << 15  # bytes to come from which a reply is received in its own memory
    LEAST_OUT = 1 << 10
    MOST_OUT = 1 << 16  # how much memory is kept for the next requests
    MOST_JOINED = 100  # gets that are one request
    MOST_LINE = 1 << 13  # bytes of it: memcached 1.6.12 refuses those over 16 KiB

cdef double SOON = 1e-4  # seconds; waiting for so long halves the time of sets by 100 tasks

cdef enum:
    # What an entry refers to, in a list that the garbage collector sees.
    REPLY  # None for a get, as long as no part of its reply has come
    TAKER  # or a get's Wait
    KEY  # of a get, else None; what goes before it; what its caller gave
    PREFIX
    CONTEXT
    REFERENCES

cdef struct entry:
    double sent
    double deadline
    size_t size
    uint32_t joined  # at the first of gets that are one request: how many
    bint is_late


@cython.final
cdef class Room:
    """What the pipelines of one loop share: a buffer to receive in, of `size` bytes, and `loop`.

    A ``Wait`` that is cancelled raises `cancelled`.
    """

    __reduce_ex__ = refuse_copies

    cdef readonly object loop
    cdef object view, later, cancelled
    cdef bytearray held
    cdef list woken  # waits to wake, while a pipeline takes what was received
    cdef const uint8_t *data

    def __cinit__(self, loop, cancelled, Py_ssize_t size=1 << 18):
        if size < 1:
            raise ValueError(f"size must be at least 1 byte, got {size}")
        self.loop, self.later, self.cancelled = loop, loop.call_soon, cancelled
        self.held = bytearray(size)
        self.view = memoryview(self.held)
        self.data = <const uint8_t *> <char *> self.held

    @property
    def size(self):
        """How many bytes the buffer holds."""
        return len(self.held)

    def wait(self):
        """Return a new ``Wait``."""
        return self.new_wait()

    cdef Wait new_wait(self):
        cdef Wait wait = Wait.__new__(Wait)
        wait.room = self
        return wait

    cdef int wake(self, list woken) except -1:
        """Wake the callers of waits that are done."""
        cdef Wait wait
        cdef BaseException interrupt = None
        for wait in woken:
            try:
                wait.wake()
            except BaseException as error:  # a task's KeyboardInterrupt or SystemExit
                interrupt = error
        if interrupt is not None:
            self.later(raised, interrupt)
        return 0


def raised(error):
    """Raise an exception in the loop."""
    raise error


@cython.final
@cython.freelist(256)
cdef class Wait:
    """What a coroutine awaits until it is filled: a future of one task, for no turn of the loop.

    Once awaited, it has its `value`. A task that awaits it is woken by the pipeline itself, after
    all that was received at once is taken, so it costs the loop no handle and no turn; otherwise it
    is woken by the loop, as it would be by a future.
    """

    __reduce_ex__ = refuse_copies

    cdef public object _asyncio_future_blocking
    cdef readonly object value
    cdef Room room
    cdef object callback, context, error
    cdef bint is_done

    def __init__(self):
        raise TypeError("a Wait is made by a Room")

    def done(self):
        """Return whether it is filled, or was cancelled."""
        return self.is_done

    def get_loop(self):
        """Return its loop."""
        return self.room.loop

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self.is_done:
            self._asyncio_future_blocking = True
            return self
        if self.error is not None:
            self.raise_once()
        raise StopIteration

    cdef int raise_once(self) except -1:
        # Kept, it would be in a circle: its traceback holds the frame that holds this.
        error, self.error = self.error, RuntimeError("the error of this was raised before")
        raise error

    def result(self):
        """Return the value; raise, once, the error it was failed with, or that it was cancelled."""
        if self.error is not None:
            self.raise_once()
        return self.value

    def add_done_callback(self, callback, *, context=None):
        """Call ``callback(wait)`` when it is done; there is one."""
        self.callback, self.context = callback, context
        if self.is_done:
            self.end()

    def cancel(self, msg=None):
        """Let the one who awaits it be cancelled; return False if it is done."""
        if self.is_done:
            return False
        self.error = self.room.cancelled() if msg is None else self.room.cancelled(msg)
        self.is_done = True
        self.wake_later()
        return True

    def fill(self, value):
        """Give it a value; return False if it is done."""
        return self.put(value)

    def fail(self, error):
        """Let it raise an error; return False if it is done."""
        if self.is_done:
            return False
        self.error = error
        self.end()
        return True

    cdef bint put(self, value) except -1:
        if self.is_done:
            return False
        self.value = value
        self.end()
        return True

    cdef int end(self) except -1:
        self.is_done = True
        if self.callback is None:
            return 0
        if self.room.woken is not None:
            self.room.woken.append(self)
        else:
            self.wake_later()
        return 0

    cdef int wake_later(self) except -1:
        callback, context = self.callback, self.context
        self.callback = self.context = None
        if callback is not None:
            self.room.later(callback, self, context=context)
        return 0

    cdef int wake(self) except -1:
        callback, context = self.callback, self.context
        if callback is None:
            return 0
        self.callback = self.context = None
        try:
            if context is None:
                callback(self)
            else:
                PyContext_Enter(context)
                try:
                    callback(self)
                finally:
                    PyContext_Exit(context)
        except RuntimeError:
            # The context, or another task, is being run: this is not called by the loop itself.
            self.room.later(callback, self, context=context)
        return 0


@cython.final
cdef class Get:
    """A get of one key that did not end: its `wait`, and with what it was put."""

    __reduce_ex__ = refuse_copies

    cdef readonly object key
    cdef public object context
    cdef readonly Wait wait
    cdef readonly bytes prefix
    cdef readonly double deadline

    def __init__(self):
        raise TypeError("a Get is made by a Pipeline")


cdef class Pipeline:
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

    cdef entry *ring
    cdef list held
    cdef size_t mask, first, count, unsent
    cdef uint8_t *out
    cdef size_t out_size, out_capacity
    cdef list pieces
    cdef Room room
    cdef Reply direct
    cdef gdbx_wire_reader reader
    cdef gdbx_wire_record *records
    cdef size_t record_capacity
    cdef size_t open_count, open_size  # of the gets that the next may join, and of their line
    cdef object owner, clock, enter, flush_later, write, writelines
    cdef size_t most, most_bytes
    cdef double limit, alarm
    cdef unsigned long thread
    cdef readonly double heard
    cdef readonly size_t size
    cdef readonly bint is_open, is_paused, is_taking
    cdef bint corked
    cdef bint answers_on  # when it last received, more was in flight
    cdef double gap  # seconds from then to the next receive, on average
    cdef public bint has_line, joins
    cdef object unasked  # what is wrong with bytes that came before ``open``

    def __cinit__(self, Room room not None, clock):
        self.room, self.clock = room, clock
        self.pieces = []
        self.alarm = inf
        self.heard = -inf
        self.joins = True

    def __dealloc__(self):
        PyMem_RawFree(self.ring)
        PyMem_RawFree(self.out)
        PyMem_RawFree(self.records)

    def open(self, owner, write, writelines, enter, limit, most, most_bytes):
        """Begin: ``write(data)`` and ``writelines(buffers)`` send, and may call ``pause``.

        ``enter()`` raises where a get may not be put, or ends a pipeline that was closed; it is
        asked when nothing is in flight, nor was received just now. `limit` is the seconds without a
        byte, while a reply is due, that ``take_late`` counts, None for the seconds of the oldest
        request. At most `most` requests and `most_bytes` of them are in flight; one alone may be
        longer.
        """
        self.owner, self.enter = owner, enter
        self.write, self.writelines = write, writelines
        self.limit = inf if limit is None else limit
        self.most, self.most_bytes = most, most_bytes
        self.flush_later = self.uncork
        self.thread = PyThread_get_thread_ident()
        self.is_open = True
        if self.unasked is not None:
            owner.failed(self.unasked)

    def __len__(self):
        return self.count

    @property
    def is_full(self):
        """Whether there is no room for one more request."""
        return self.full()

    # Sending

    cdef entry *nth(self, size_t at) noexcept:
        return &self.ring[(self.first + at) & self.mask]

    cdef object of(self, size_t at, int which):
        """Return what an entry refers to."""
        cdef Py_ssize_t slot = ((self.first + at) & self.mask) * REFERENCES + which
        if self.held is None or slot >= len(self.held):  # the garbage collector has cleared it
            return None
        return <object> PyList_GET_ITEM(self.held, slot)

    cdef int refer(self, size_t at, int which, object value) except -1:
        cdef Py_ssize_t slot = ((self.first + at) & self.mask) * REFERENCES + which
        cdef PyObject *before
        if self.held is None or slot >= len(self.held):
            raise RuntimeError("the pipeline is garbage")
        before = PyList_GET_ITEM(self.held, slot)
        Py_INCREF(value)
        PyList_SET_ITEM(self.held, slot, value)
        Py_XDECREF(before)
        return 0

    cdef entry *push(self, object taker, size_t size, double sent, double deadline) except NULL:
        """Add an entry."""
        cdef size_t i, capacity
        cdef entry *ring
        cdef entry *one
        cdef list held
        if self.ring == NULL or self.count > self.mask:
            capacity = 16 if self.ring == NULL else 2 * (self.mask + 1)
            held = []
            for i in range(self.count):
                held += [self.of(i, which) for which in range(REFERENCES)]
            held += [None] * <Py_ssize_t> (capacity * REFERENCES - len(held))
            ring = <entry *> PyMem_RawMalloc(capacity * sizeof(entry))
            if ring == NULL:
                raise MemoryError
            for i in range(self.count):
                ring[i] = self.nth(i)[0]
            PyMem_RawFree(self.ring)
            self.ring, self.held, self.first, self.mask = ring, held, 0, capacity - 1
        one = self.nth(self.count)
        self.refer(self.count, TAKER, taker)
        one.joined = 0
        one.sent, one.deadline, one.size, one.is_late = sent, deadline, size, False
        self.count += 1
        self.unsent += 1
        self.size += size
        return one

    cdef uint8_t *reserve(self, size_t size) except NULL:
        """Return room for more bytes to send."""
        cdef size_t capacity = self.out_capacity
        cdef void *memory
        if self.out_size + size > capacity or self.out == NULL:
            capacity = max(2 * capacity, self.out_size + size, <size_t> LEAST_OUT)
            memory = PyMem_RawRealloc(self.out, capacity)
            if memory == NULL:
                raise MemoryError
            self.out, self.out_capacity = <uint8_t *> memory, capacity
        return self.out + self.out_size

    cdef int close_line(self) except -1:
        """End the line of gets that were joined."""
        if self.open_count:
            memcpy(self.reserve(2), b"\r\n", 2)
            self.out_size += 2
            self.open_count = 0
        return 0

    cdef int cut(self) except -1:
        """Make a piece to send of what was joined so far."""
        if self.out_size:
            self.pieces.append(PyBytes_FromStringAndSize(<const char *> self.out, self.out_size))
            self.out_size = 0
        return 0

    def has_just_heard(self, double now):
        """Return whether a reply is being taken, and nobody whom that woke blocks since then."""
        return self.just_heard(now)

    cdef inline bint just_heard(self, double now) noexcept:
        return self.is_taking and (now - self.heard) * 1000 < LONG

    def get(self, key, bytes prefix not None, context, limit):
        """Get one key by ASCII's get within `limit` seconds; return a ``Wait``, None if not now.

        Its value is that of the key; or None for a miss; or the status, the value or words, the
        flags and 0, where the value is empty or has flags, or the server refused. There is None
        where there is no room, no connection, or a line, in another thread than that of ``open``,
        and for a key that may not be sent.
        """
        if (
            not self.is_open or self.is_paused or self.has_line or self.full()
            or PyThread_get_thread_ident() != self.thread
        ):
            return None
        cdef double now = self.clock()
        if not self.count and not self.just_heard(now):
            self.enter()
            if not self.is_open:
                return None
        return self.put_key(key, prefix, context, None, now, now + <double> limit)

    def put_get(self, Get get not None):
        """Put a get that ``end`` returned; return whether there is room for it."""
        if not self.is_open or self.is_paused or self.full():
            return False
        self.put_key(get.key, get.prefix, get.context, get.wait, self.clock(), get.deadline)
        return True

    cdef bint full(self) noexcept:
        return self.count >= self.most or (self.count != 0 and self.size >= self.most_bytes)

    cdef Wait put_key(self, key, bytes prefix, context, Wait wait, double now, double deadline):
        cdef Py_ssize_t count, before = PyBytes_GET_SIZE(prefix)
        cdef const char *text
        cdef size_t start = 1
        cdef uint8_t *where
        cdef entry *one
        if isinstance(key, str):
            try:
                text = PyUnicode_AsUTF8AndSize(key, &count)
            except UnicodeEncodeError:
                return None
        elif isinstance(key, bytes):
            text, count = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        else:
            return None
        if count == 0 or before + count > MOST_KEY:
            return None
        if not (
            self.joins and 0 < self.open_count < MOST_JOINED
            and self.open_size + before + count < MOST_LINE
        ):
            self.close_line()
            start, self.open_size = 4, 0
        where = self.reserve(start + before + count)
        memcpy(where, b"get " if start == 4 else b" ", start)
        memcpy(where + start, PyBytes_AS_STRING(prefix), before)
        memcpy(where + start + before, text, count)
        if not gdbx_wire_key_ok(where + start, before + count):
            return None
        if wait is None:
            wait = self.room.new_wait()
        one = self.push(wait, before + count + 6, now, deadline)
        self.out_size += start + before + count
        self.open_size += start + before + count
        self.refer(self.count - 1, KEY, key)
        self.refer(self.count - 1, PREFIX, prefix)
        self.refer(self.count - 1, CONTEXT, context)
        self.nth(self.count - 1 - self.open_count).joined += 1
        self.open_count += 1
        self.join(deadline)
        return wait

    def put(self, list request not None, taker, reply, double deadline):
        """Put a request of buffers, whose `reply` is for `taker`."""
        cdef size_t size = 0
        cdef Py_ssize_t count
        cdef bytes buffer
        cdef Reply held = reply if isinstance(reply, Reply) else fed(reply)
        # What is handed on must not change any more.
        cdef list buffers = [each if type(each) is bytes else bytes(each) for each in request]
        for buffer in buffers:
            size += PyBytes_GET_SIZE(buffer)
        self.close_line()
        self.push(taker, size, self.clock(), deadline)
        self.refer(self.count - 1, REPLY, held)
        try:
            for buffer in buffers:
                count = PyBytes_GET_SIZE(buffer)
                if count >= LARGE:
                    self.cut()
                    self.pieces.append(buffer)
                else:
                    memcpy(self.reserve(count), PyBytes_AS_STRING(buffer), count)
                    self.out_size += count
        except BaseException as error:  # out of memory, with half of it to be sent
            self.break_off(error)
            raise
        self.join(deadline)

    cdef int break_off(self, error) except -1:
        """Give up the connection after an error that leaves it out of step."""
        if self.owner is not None:
            self.owner.failed(ConnectionAbortedError(
                f"the connection was given up: {text_of(error) or name_of(type(error))}"
            ))
        return 0

    cdef int join(self, double deadline) except -1:
        """Write at once what nothing else is in flight with, and join the rest."""
        if deadline < self.alarm:
            self.alarm = deadline
            self.owner.arm(deadline)
        if self.corked or self.is_paused:
            return 0
        if self.count == 1:
            self.flush()
        elif not self.is_taking:
            self.cork()
        return 0

    cdef int cork(self) except -1:
        self.corked = True
        self.room.later(self.flush_later)
        return 0

    def uncork(self):
        """Write what was joined."""
        self.corked = False
        if self.is_open and not self.is_paused:
            self.flush()

    cdef int flush(self) except -1:
        cdef list pieces
        if not self.unsent or not self.is_open:
            return 0
        self.close_line()
        try:
            if not self.pieces:
                data = PyBytes_FromStringAndSize(<const char *> self.out, self.out_size)
                self.out_size = self.unsent = 0
                self.write(data)
            else:
                self.cut()
                pieces, self.pieces = self.pieces, []
                self.unsent = 0
                self.writelines(pieces)
        except BaseException as error:  # an interrupt may have come before anything was sent
            self.break_off(error)
            if not isinstance(error, Exception):
                raise
        if self.out_capacity > MOST_OUT and not self.out_size:
            PyMem_RawFree(self.out)
            self.out, self.out_capacity = NULL, 0
        return 0

    def pause(self):
        """Write nothing until ``resume``."""
        self.is_paused = True

    def resume(self):
        """Write again."""
        self.is_paused = False
        if not self.corked:
            self.flush()
        if self.has_line and self.is_open:  # which the write may have ended
            self.owner.drain()

    # Receiving

    def get_buffer(self, Py_ssize_t hint):
        """Return the buffer to receive in."""
        cdef Reply reply
        cdef size_t size
        self.direct = None
        if self.count and self.of(0, REPLY) is not None:
            reply = <Reply> self.of(0, REPLY)
            if type(reply) is Reply and reply.reader.needed > reply.size + DIRECT:
                if reply.capacity - reply.size < DIRECT:  # it is asked for more often than filled
                    reply.grow_data(0)
                # Not beyond what it needs, so that all of it is its own.
                size = min(reply.capacity, reply.reader.needed) - reply.size
                self.direct = reply
                return memoryview(reply.lend_rest(size))
        return self.room.view

    def buffer_updated(self, Py_ssize_t count):
        """Take the bytes that were received in the buffer, and wake those who waited for them."""
        cdef list woken
        cdef double now
        cdef bint is_outer = self.room.woken is None
        cdef Py_ssize_t most = len(self.room.held)
        if self.direct is not None:
            most = min(self.direct.capacity, self.direct.reader.needed) - self.direct.size
        if not 0 <= count <= most:
            raise ValueError(f"count must be in [0, {most}], got {count}")
        if self.owner is None:
            self.unasked = bad_leftover(self.room.data[:count], 0)
            self.direct = None
            return
        now = self.clock()
        if self.answers_on:
            self.gap += (now - self.heard - self.gap) / 4
        self.heard = now
        if not is_outer:  # by who drives a loop within a loop
            self.take(count)
            return
        woken = self.room.woken = []
        self.is_taking = True
        try:
            self.take(count)
        finally:
            self.room.woken = None
            if woken:
                # What they put next is one write.
                is_corked, self.corked = self.corked, True
                self.room.wake(woken)
                self.corked = is_corked
            self.is_taking = False
            self.go_on()

    cdef int go_on(self) except -1:
        """Write what those put who were woken: now, or with what others put who are woken soon.

        While the server answers what went before, it would not look at more: where its answers come
        in pieces, one right after the other, a write waits until it doubles what is in flight.
        """
        cdef size_t ahead = self.count - self.unsent
        self.answers_on = ahead != 0
        if not self.unsent or not self.is_open or self.is_paused:
            return 0
        return 0 if self.unsent < ahead and self.gap < SOON else self.flush()

    cdef int take(self, Py_ssize_t count) except -1:
        cdef const uint8_t *data = self.room.data
        cdef size_t left = count, used
        cdef Reply reply, direct = self.direct
        cdef bint is_over = False
        self.direct = None
        try:
            while left and self.is_open:
                if self.count == self.unsent:
                    self.owner.failed(bad_leftover(data[:left], 0))
                    return 0
                reply = <Reply> self.of(0, REPLY)
                if reply is None:
                    used = self.scan_gets(self.nth(0).joined, data, left)
                    if used:
                        data += used
                        left -= used
                        is_over = True
                        continue
                    reply = Reply.__new__(
                        Reply, GDBX_WIRE_VALUES, self.nth(0).joined, 0, 0, GDBX_WIRE_BARE
                    )
                    self.refer(0, REPLY, reply)
                if direct is not None:
                    reply.size += left
                    used = left
                    direct = None
                    reply.rescan()
                else:
                    used = reply.take_in(data, left)
                data += used
                left -= used
                if not reply.reader.done:
                    if left:
                        raise bad_leftover(data[:left], size_of(reply))
                    break
                is_over = True
                self.complete(reply)
        except (ValueError, OSError) as error:
            if self.owner is not None:
                self.owner.failed(error)
            return 0
        except BaseException as error:  # the rest of what came is lost with it
            self.break_off(error)
            raise
        if self.is_open and self.has_line and is_over:
            self.owner.drain()
        return 0

    cdef int pop(self) noexcept:
        """Remove the oldest entry."""
        cdef size_t slot = self.first * REFERENCES
        cdef PyObject *freed[REFERENCES]
        cdef int i
        self.size -= self.nth(0).size
        if self.held is None or len(self.held) < <Py_ssize_t> (slot + REFERENCES):
            self.first = (self.first + 1) & self.mask
            self.count -= 1
            return 0
        for i in range(REFERENCES):
            freed[i] = PyList_GET_ITEM(self.held, slot + i)
            Py_INCREF(None)
            PyList_SET_ITEM(self.held, slot + i, None)
        self.first = (self.first + 1) & self.mask
        self.count -= 1
        for i in range(REFERENCES):  # last, as what is freed may put requests
            Py_XDECREF(freed[i])
        return 0

    cdef int complete(self, Reply reply) except -1:
        cdef object taker
        if self.of(0, KEY) is not None:
            self.answer(
                self.nth(0).joined, reply.reader.refusal, reply.records, reply.record_count,
                reply.data,
            )
        else:
            taker = self.of(0, TAKER)
            self.pop()
            taker.over(None)
        return 0

    cdef size_t scan_gets(self, size_t joined, const uint8_t *data, size_t size) except? 0:
        """Answer gets whose whole reply is there; return its bytes, 0 where it is not."""
        cdef gdbx_wire_reader *reader = &self.reader
        cdef void *memory
        cdef size_t count = 0
        if self.record_capacity <= joined:
            memory = PyMem_RawRealloc(self.records, (joined + 1) * sizeof(gdbx_wire_record))
            if memory == NULL:
                raise MemoryError
            self.records, self.record_capacity = <gdbx_wire_record *> memory, joined + 1
        memset(reader, 0, sizeof(gdbx_wire_reader))
        reader.kind, reader.count = GDBX_WIRE_VALUES, <uint32_t> joined
        reader.options = GDBX_WIRE_BARE | GDBX_WIRE_PIPED
        if gdbx_wire_scan(
            reader, data, size, self.records, self.record_capacity, &count
        ) == GDBX_WIRE_BAD:
            raise bad_reply(reader.reason, data[:size], reader.position)
        if not reader.done:
            return 0
        self.answer(joined, reader.refusal, self.records, count, data)
        return reader.position

    cdef int answer(self, size_t joined, uint32_t refusal, gdbx_wire_record *records,
                    size_t count, const uint8_t *data) except -1:
        """Give the first gets their values, and remove them."""
        cdef int found[MOST_JOINED]  # the record of each, -1 where there is none
        cdef gdbx_wire_record *record
        cdef size_t i, due, at = 0
        cdef object value
        cdef list errors = None, unsure = []
        cdef dict failures = None
        cdef bint is_ordered = True
        if refusal and joined > 1:
            self.owner.unjoin()
            return 0
        for i in range(joined):
            found[i] = -1
        for i in range(count):
            record = &records[i]
            if record.marks & GDBX_WIRE_FAILED:
                if errors is None:
                    errors = []
                errors.append((at, record.status, data[record.value:record.value + record.value_size]))
                continue
            due = at
            at = self.named(found, at, joined, data + record.key, record.key_size)
            is_ordered = is_ordered and at >= due
            found[at] = <int> i
            at += 1
        if errors is not None:
            failures = failures_of(
                errors, range(joined), [found[i] >= 0 for i in range(joined)].__getitem__,
                is_ordered,
            )
        if count and count < joined:  # a server may answer once for a key that is there twice
            for i in range(joined):
                for at in range(count if found[i] < 0 else 0):
                    record = &records[at]
                    if record.marks & GDBX_WIRE_KEY and self.names(i, data + record.key, record.key_size):
                        found[i] = <int> at
        for i in range(joined):
            value = None
            if not self.is_open:  # closed by what the last one's end ran
                break
            if failures is not None and i in failures:
                if len(failures) > len(errors):
                    unsure.append(self.taker_of(0))
                    self.pop()
                    continue
                value = (*failures[i], 0, 0)
            elif found[i] >= 0:
                record = &records[found[i]]
                value = PyBytes_FromStringAndSize(
                    <const char *> data + record.value, record.value_size
                )
                if record.flags or not record.value_size:
                    value = (record.status, value, record.flags, 0)
            (<Wait> self.of(0, TAKER)).put(value)
            if self.is_open:
                self.pop()
        if unsure and self.is_open:
            self.joins = False
            self.owner.repeat(unsure)
        return 0

    cdef size_t named(self, int *found, size_t at, size_t joined, const uint8_t *name,
                      size_t size) except? 0:
        """Return which of the first gets a name is of, from `at` on or else before."""
        cdef size_t i, j
        for i in range(joined):
            j = at + i if at + i < joined else at + i - joined
            if found[j] < 0 and self.names(j, name, size):
                return j
        raise ValueError(f"the reply names a key that was not asked for: {name[:size]!r}")

    cdef bint names(self, size_t at, const uint8_t *named, size_t count) except -1:
        """Return whether the name in a reply is that of the key of a get."""
        cdef object key = self.of(at, KEY)
        cdef bytes prefix = <bytes> self.of(at, PREFIX)
        cdef const char *text
        cdef Py_ssize_t size, before = PyBytes_GET_SIZE(prefix)
        if isinstance(key, str):
            text = PyUnicode_AsUTF8AndSize(key, &size)
        else:
            text, size = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        return (
            count == <size_t> (before + size)
            and memcmp(named, PyBytes_AS_STRING(prefix), before) == 0
            and memcmp(named + before, text, size) == 0
        )

    cdef object taker_of(self, size_t at):
        """Return the taker of an entry, a ``Get`` for that of a get."""
        cdef Get get
        if self.of(at, KEY) is None:
            return self.of(at, TAKER)
        get = Get.__new__(Get)
        get.wait, get.key = <Wait> self.of(at, TAKER), self.of(at, KEY)
        get.prefix, get.context = <bytes> self.of(at, PREFIX), self.of(at, CONTEXT)
        get.deadline = self.nth(at).deadline
        return get

    # Ends

    def end(self):
        """Close; return the takers whose requests may have been sent, and those of the others."""
        cdef list sent = [], unsent = []
        cdef size_t i, before = self.count - self.unsent
        self.is_open = False
        self.direct = None
        for i in range(self.count):
            taker = self.taker_of(0)
            self.pop()
            (sent if i < before else unsent).append(taker)
        self.unsent = self.out_size = self.open_count = 0
        self.pieces = []
        self.owner = self.write = self.writelines = self.flush_later = self.enter = None
        return sent, unsent

    @property
    def received(self):
        """How many bytes of the oldest request's reply have come."""
        if not self.count or self.of(0, REPLY) is None:
            return 0
        return size_of(<Reply> self.of(0, REPLY))

    def take_late(self, double now):
        """Return the takers whose deadline has passed, once each; and the next two moments.

        They are the next deadline; and when the oldest request is late, and no byte has come for
        the limit of ``open``, or for half of it since that was sent. Infinity where there is none.
        """
        cdef list late = []
        cdef double due = inf, silent = inf, seconds
        cdef entry *one
        cdef size_t i
        for i in range(self.count):
            one = self.nth(i)
            if one.is_late:
                continue
            if one.deadline <= now:
                one.is_late = True
                late.append(self.taker_of(i))
            elif one.deadline < due:
                due = one.deadline
        if self.count > self.unsent:
            one = self.nth(0)
            seconds = one.deadline - one.sent if self.limit == inf else self.limit
            if self.heard < one.sent:
                seconds /= 2
            silent = max(one.deadline, max(one.sent, self.heard) + seconds)
        self.alarm = min(due, silent)
        return late, due, silent


cdef object size_of(Reply reply):
    """Return how many bytes of a reply have come."""
    return (<Fed> reply).taker.size if type(reply) is Fed else reply.size
