"""N exchanges over N connections, compiled: ``csrc/wire_poll`` for Python. The twin of ``transport_py``.

Plain sockets are driven in C, without the interpreter; channels of other kinds by their methods.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strerror

import os

from . import _channels
from ._channels import is_plain
from ._identity import refuse_copies
from ._wire import CROWDED as _CROWDED, Asked, bad_key, checked_range, no_room
from .batch_things cimport LEAST_EXPIRY, MOST_EXPIRY, number_of, take_other, text_of
from .placement_c cimport gdbx_text
from .wire_c cimport Fed, Reply, fed
from .wire_csrc cimport (
    GDBX_HAS_WIRE_POLL, GDBX_WIRE_ANY, GDBX_WIRE_BAD, GDBX_WIRE_BARE, GDBX_WIRE_CLOSED,
    GDBX_WIRE_DELETED, GDBX_WIRE_DONE, GDBX_WIRE_EXISTS, GDBX_WIRE_FAILED, GDBX_WIRE_FULL,
    GDBX_WIRE_GO_ON, GDBX_WIRE_LATE, GDBX_WIRE_LINES, GDBX_WIRE_META, GDBX_WIRE_MORE,
    GDBX_WIRE_NOT_FOUND, GDBX_WIRE_NOT_STORED,
    GDBX_WIRE_NUMBER, GDBX_WIRE_SIGNAL, GDBX_WIRE_STORED, GDBX_WIRE_STRICT, GDBX_WIRE_TOUCHED,
    GDBX_WIRE_UNASKED, GDBX_WIRE_VALUES, gdbx_wire_arm, gdbx_wire_io, gdbx_wire_key_fits,
    gdbx_wire_now, gdbx_wire_part, gdbx_wire_poll, gdbx_wire_poll_ask, gdbx_wire_poll_look,
    gdbx_wire_poll_greeting, gdbx_wire_poll_rescan, gdbx_wire_poll_room, gdbx_wire_poll_start, gdbx_wire_poll_step,
    gdbx_wire_poll_unfit, gdbx_wire_poll_wait, gdbx_wire_record,
)

from .wire_request_c import ascii_each, ascii_stores, meta_keys

__all__ = ["Line", "carry", "unfit"]

cdef bytes CROWDED = _CROWDED

cdef enum:
    LONG_AGO = 2592001  # January 1970: what memcached makes of a negative expiry

cdef extern from "Python.h":
    bint PyUnicode_Check(object) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object) noexcept
    void *PyUnicode_DATA(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept

cdef enum:
    MOST_KEY = 250
    MOST_VERB = 16
    MOST_NUMBERS = 88  # four of at most 21 bytes, each behind a space
    MOST_COPIED = 2048  # bytes of a value that are quicker to copy than to send from where they lie
    STORE_WORDS = GDBX_WIRE_STORED | GDBX_WIRE_NOT_STORED | GDBX_WIRE_EXISTS | GDBX_WIRE_NOT_FOUND
    MOST_SECONDS = 1_000_000_000  # a longer wait has no end
    MOST_HELD = 1 << 16  # bytes copied with the interpreter locked, which is quicker

cdef struct command:
    # A command while it is written; `is_plain` is false if it is one that others have to write.
    char text[MOST_VERB + MOST_KEY + MOST_NUMBERS + MOST_COPIED + 4]
    char *end
    bint is_plain


cdef inline void put(command *line, const void *text, size_t size) noexcept:
    memcpy(line.end, text, size)
    line.end += size


cdef inline void put_verb(command *line, bytes verb) noexcept:
    cdef Py_ssize_t size = 0 if verb is None else PyBytes_GET_SIZE(verb)
    line.end, line.is_plain = line.text, size <= MOST_VERB
    if line.is_plain:
        put(line, PyBytes_AS_STRING(verb), size)


cdef inline int put_key(command *line, object key, bytes prefix) except -1:
    """Write a key behind its prefix, if it fits."""
    cdef gdbx_text text
    cdef size_t before = PyBytes_GET_SIZE(prefix)
    if PyUnicode_Check(key) and PyUnicode_IS_COMPACT_ASCII(key):
        text.data = <const uint8_t *> PyUnicode_DATA(key)
        text.size = <size_t> PyUnicode_GET_LENGTH(key)
    elif not take_other(&text, key):
        line.is_plain = False
        return 0
    if before + text.size > MOST_KEY:
        line.is_plain = False
        return 0
    memcpy(line.end, PyBytes_AS_STRING(prefix), before)
    memcpy(line.end + before, text.data, text.size)
    if not gdbx_wire_key_fits(<const uint8_t *> line.end, before + text.size):
        line.is_plain = False
    line.end += before + text.size
    return 0


cdef inline int put_int(command *line, object number, int64_t least, int64_t most) except -1:
    """Write an int in [least, most] behind a space."""
    cdef char digits[22]
    cdef int at = 22
    cdef int64_t value = number_of(number, least, most, &line.is_plain)
    cdef uint64_t rest = <uint64_t> (value if value >= 0 else -value)
    while True:
        at -= 1
        digits[at] = <char> (48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        at -= 1
        digits[at] = 45
    at -= 1
    digits[at] = 32
    put(line, digits + at, 22 - at)
    return 0


cdef inline bint is_empty(const uint8_t *line, size_t size) noexcept:
    """Return whether a reply of meta says that the value has 0 bytes, by the flag s."""
    cdef size_t at
    for at in range(size):
        if size - at < 3:
            break
        if line[at] == 32 and line[at + 1] == 115 and line[at + 2] == 48:
            return size - at == 3 or line[at + 3] == 32
    return False


cdef int64_t deadline_in(seconds) except? -1:
    cdef double span = seconds
    return gdbx_wire_now() + <int64_t> (span * 1e9) if span <= MOST_SECONDS else INT64_MAX


cdef int64_t patience(seconds) except? -1:
    """Return the nanoseconds after which a receive gives up, 0 for never."""
    cdef double span
    if seconds is None:
        return 0
    span = seconds
    return max(<int64_t> (span * 1e9), 1) if span <= MOST_SECONDS else 0


cdef int check_pairs(list lines, list talks) except -1:
    """See that each line has a talk."""
    if len(lines) != len(talks):
        raise ValueError(f"talks must be {len(lines)}, one a line, got {len(talks)}")
    return 0


cdef class Carrier:
    """Exchanges under way over plain sockets, one a socket."""

    __reduce_ex__ = refuse_copies

    def __cinit__(self, size_t count):
        cdef size_t i
        cdef size_t each = sizeof(sending) + sizeof(gdbx_wire_io) + sizeof(int)
        self.replies = [None] * <Py_ssize_t> count
        self.poll.count = count
        if count == 1:
            self.sendings, self.poll.ios = &self.single, &self.io
            self.poll.results, self.poll.room = &self.result, self.room
        else:
            self.sendings = <sending *> PyMem_RawCalloc(1, count * each + gdbx_wire_poll_room(count))
            if self.sendings == NULL:
                raise MemoryError
            self.poll.ios = <gdbx_wire_io *> (self.sendings + count)
            self.poll.room = self.poll.ios + count
            self.poll.results = <int *> (<char *> self.poll.room + gdbx_wire_poll_room(count))
        self.poll.deadline = INT64_MAX
        for i in range(count):
            self.poll.results[i] = GDBX_WIRE_DONE

    def __dealloc__(self):
        cdef size_t i
        if self.sendings != NULL:
            for i in range(self.poll.count):
                self.let_go(i)
            if self.sendings != &self.single:
                PyMem_RawFree(self.sendings)

    @cython.critical_section
    cdef int claim(self) except -1:
        """Claim the buffers of an exchange; raise if they are in use."""
        if self.is_busy:
            raise RuntimeError("the line is in the middle of another exchange")
        self.is_busy = True
        return 0

    @cython.critical_section
    cdef bint shut(self) noexcept:
        """Let no exchange begin over the socket any more; return whether none is under way."""
        self.is_shut = True
        return not self.is_busy

    cdef int let_go(self, size_t at) except -1:
        """Release the buffers of a request."""
        cdef sending *request = &self.sendings[at]
        cdef Py_ssize_t i
        for i in range(request.held):
            PyBuffer_Release(&request.views[i])
        request.held = 0
        if request.views != request.few_views:
            PyMem_RawFree(request.views)
            PyMem_RawFree(request.parts)
        request.views, request.parts = request.few_views, request.few_parts
        return 0

    cdef size_t load(self, size_t at, int fd, exchange) except? 0:
        """Set up exchange number `at`; return the bytes of its request."""
        cdef list buffers = exchange.request
        cdef object taker = exchange.reply
        cdef Reply reply = taker if isinstance(taker, Reply) else fed(taker)
        cdef sending *request = &self.sendings[at]
        cdef tuple held = tuple(buffers)  # nobody else can change it
        cdef Py_ssize_t i, count = len(held)
        cdef size_t size = 0
        self.let_go(at)
        try:
            if count > FEW:
                request.views = <Py_buffer *> PyMem_RawCalloc(count, sizeof(Py_buffer))
                request.parts = <gdbx_wire_part *> PyMem_RawCalloc(count, sizeof(gdbx_wire_part))
                if request.views == NULL or request.parts == NULL:
                    raise MemoryError
            for i in range(count):
                PyObject_GetBuffer(held[i], &request.views[i], PyBUF_SIMPLE)
                request.held = i + 1
                request.parts[i].data = <const uint8_t *> request.views[i].buf
                request.parts[i].size = request.views[i].len
                size += request.views[i].len
            self.set_up(at, fd, request.parts, count, reply)
        except:
            self.let_go(at)
            raise
        return size

    cdef int set_up(self, size_t at, int fd, gdbx_wire_part *parts, size_t count,
                    Reply reply) except -1:
        cdef gdbx_wire_io *io = &self.poll.ios[at]
        reply.check_idle()  # now, as what gives a buffer may have done anything
        memset(io, 0, sizeof(gdbx_wire_io))
        io.fd, io.parts, io.part_count = fd, parts, count
        reply.lend(io)
        self.poll.results[at] = GDBX_WIRE_GO_ON
        self.replies[at] = reply
        reply.busy = True
        return 0

    cdef int end(self, size_t at) except -1:
        """Let go of exchange number `at`, which is over or was given up."""
        (<Reply> self.replies[at]).busy = False
        self.replies[at] = None
        return self.let_go(at)

    cdef int end_all(self) except -1:
        cdef size_t i
        for i in range(self.poll.count):
            if self.replies[i] is not None:
                self.end(i)
        return 0

    cdef object failure(self, size_t at):
        """Return the exception of an exchange that is over, None if it ended well."""
        cdef const gdbx_wire_io *io = &self.poll.ios[at]
        cdef int result = self.poll.results[at]
        if result == GDBX_WIRE_DONE:
            return None
        size = io.size
        if result == GDBX_WIRE_UNASKED or (size == 0 and io.error):
            if gdbx_wire_poll_greeting(io.fd, PyBytes_AS_STRING(CROWDED), len(CROWDED)):
                return no_room()
        if result == GDBX_WIRE_BAD:
            return (<Reply> self.replies[at]).bad()
        if result == GDBX_WIRE_LATE:
            return TimeoutError("the deadline passed")
        if result == GDBX_WIRE_CLOSED:
            if isinstance(self.replies[at], Fed):
                size = (<Fed> self.replies[at]).taker.size
            return ConnectionResetError(
                f"the server closed the connection after {size} bytes of the reply"
            )
        if result == GDBX_WIRE_UNASKED:
            return ValueError("bytes were waiting before the request was sent")
        return OSError(io.error, strerror(io.error).decode())

    cdef int digest(self, size_t at) except -1:
        """Settle what a step received, and make room where there is too little."""
        cdef gdbx_wire_io *io = &self.poll.ios[at]
        cdef int *result = &self.poll.results[at]
        cdef Reply reply = self.replies[at]
        while True:
            if reply.settle(io):
                result[0] = GDBX_WIRE_BAD
            elif result[0] == GDBX_WIRE_FULL:
                reply.extend(io, True)
                gdbx_wire_poll_rescan(&self.poll, at)
                continue
            elif result[0] == GDBX_WIRE_MORE:
                reply.extend(io, False)
                result[0] = GDBX_WIRE_GO_ON
                gdbx_wire_poll_look(&self.poll, at)
                continue
            elif result[0] == GDBX_WIRE_GO_ON:
                if reply.reader.done and io.part == io.part_count:
                    result[0] = GDBX_WIRE_DONE  # as the object says that takes the bytes
                else:
                    reply.park(io)
            return 0

    cdef int block(self, bint peeks, bint armed) except -1:
        """See the only exchange through, without the interpreter."""
        cdef int result
        with nogil:
            result = gdbx_wire_poll_ask(&self.poll, peeks, armed)
        if result == GDBX_WIRE_SIGNAL:
            PyErr_CheckSignals()
        self.digest(0)
        while self.result == GDBX_WIRE_GO_ON:
            (<Reply> self.replies[0]).lend(&self.io)
            with nogil:
                result = gdbx_wire_poll_wait(&self.poll, GDBX_WIRE_ANY)
                if result == GDBX_WIRE_GO_ON:
                    gdbx_wire_poll_step(&self.poll, 0)
            if result == GDBX_WIRE_SIGNAL:
                PyErr_CheckSignals()
            self.digest(0)
        return 0

    cdef size_t load_part(self, size_t at, int fd, Reply part) except? 0:
        """Set up the exchange of a reply that has its own request; return the bytes of that."""
        cdef gdbx_wire_part *where = self.sendings[at].few_parts
        part.ask(where)  # in memory that lives as long as the part
        part.is_asked, part.ending = True, None
        self.set_up(at, fd, where, 1, part)
        return where.size

    cdef bint go_on(self, size_t at, Line line, talk, failure) except -1:
        """Tell a talk how its exchange ended; start the next, or return False if there is none."""
        cdef size_t size
        if isinstance(talk, Reply):
            if (<Reply> talk).is_asked:
                (<Reply> talk).is_asked, (<Reply> talk).ending = False, failure
                return False
            size = self.load_part(at, line.number(), <Reply> talk)
        else:
            exchange = talk.advance(failure)
            if exchange is None:
                return False
            size = self.load(at, line.number(), exchange)
        line.clean, line.begun = False, True
        # A send that does not wait is over sooner than another thread gives the lock back.
        if size > MOST_HELD:
            with nogil:
                gdbx_wire_poll_start(&self.poll, at)
        else:
            gdbx_wire_poll_start(&self.poll, at)
        return True

    cdef int step(self, size_t at) except -1:
        cdef Reply reply = self.replies[at]
        reply.lend(&self.poll.ios[at])
        if self.poll.ios[at].capacity > MOST_HELD:
            with nogil:
                gdbx_wire_poll_step(&self.poll, at)
        else:
            gdbx_wire_poll_step(&self.poll, at)
        return self.digest(at)

    cdef int tell(self, size_t at, tuple lines, tuple talks) except -1:
        """Tell talks how their exchanges ended, until one is under way again."""
        while self.replies[at] is not None and self.poll.results[at] != GDBX_WIRE_GO_ON:
            failure = self.failure(at)
            self.end(at)
            (<Line> lines[at]).clean = failure is None
            self.go_on(at, lines[at], talks[at], failure)
        return 0

    cdef int go(self, tuple lines, tuple talks) except -1:
        """See the talks through, all at once."""
        cdef size_t i, alone = GDBX_WIRE_ANY, count = self.poll.count
        cdef int result
        for i in range(count):
            if self.go_on(i, lines[i], talks[i], None):
                self.tell(i, lines, talks)
                # The last is waited for first: by then most others are answered.
                alone = i
        while True:
            with nogil:
                result = gdbx_wire_poll_wait(&self.poll, alone)
            if result == GDBX_WIRE_DONE:
                return 0
            if result == GDBX_WIRE_SIGNAL:
                PyErr_CheckSignals()
                continue
            for i in range(count):
                if self.poll.results[i] == GDBX_WIRE_GO_ON:
                    self.step(i)
                self.tell(i, lines, talks)
            alone = GDBX_WIRE_ANY


cdef class Line:
    """A connection's channel, as it is driven.

    A receive on a plain socket gives up by itself after `seconds`, None for never. `clean` is False
    after an exchange that began and did not end well; `begun` tells whether the latest exchange may
    have sent anything. `fd` is the number of a plain socket, else -1.
    """

    __reduce_ex__ = refuse_copies

    def __cinit__(self, channel, seconds):
        cdef int error
        self.channel, self.fd, self.seconds = channel, -1, seconds
        self.clean = True
        if GDBX_HAS_WIRE_POLL and is_plain(channel):
            self.fd = channel.fileno()
            self.carrier = Carrier(1)
            self.reply = Reply(GDBX_WIRE_VALUES, 1)
            error = gdbx_wire_arm(self.fd, patience(seconds))
            if error:
                raise OSError(error, os.strerror(error))
            channel.settimeout(None)

    def left(self):
        """Return the seconds that the latest of these operations has left; None for no limit."""
        if self.carrier is None or self.carrier.poll.deadline == INT64_MAX:
            return None
        return max(<double> (self.carrier.poll.deadline - gdbx_wire_now()) / 1e9, 0.0)

    cpdef tuple get(self, bytes verb, key, bytes prefix, seconds=None):
        """Get one key in the ASCII protocol over a plain socket; return ``Reply.hit``.

        `seconds` and what is raised are as for ``carry``; also what ``wire_key`` raises.
        """
        cdef command line
        cdef gdbx_wire_part part
        self.check_plain(prefix)
        put_verb(&line, verb)
        put_key(&line, key, prefix)
        if not line.is_plain:
            raise bad_key(key, prefix)
        put(&line, b"\r\n", 2)
        part.data, part.size = <const uint8_t *> line.text, line.end - line.text
        self.carrier.claim()
        try:
            self.reply.check_idle()
            self.reply.restart(GDBX_WIRE_VALUES, 1)
            self.carrier.set_up(0, self.number(), &part, 1, self.reply)
            self.block_one(seconds)
            hit = self.reply.single_hit(key, prefix)
        finally:
            self.carrier.is_busy = False
        self.clean = True
        return hit

    cpdef store(self, bytes verb, key, bytes prefix, data, flags, expire, cas, seconds=None):
        """Store one value in the ASCII protocol over a plain socket; return its status.

        An error line is a tuple of its status and its words. An item with a token is stored with
        ``cas``. `seconds` and what is raised are as for ``carry``; also what ``ascii_stores``
        raises.
        """
        cdef command line
        cdef gdbx_wire_part parts[3]
        cdef gdbx_text value
        self.check_plain(prefix)
        put_verb(&line, verb if not cas else b"cas ")
        if line.is_plain and type(data) is bytes:
            value = text_of(<bytes> data)
            put_key(&line, key, prefix)
            put_int(&line, flags, 0, 0xFFFFFFFF)
            if type(expire) is int and LEAST_EXPIRY <= expire < 0:
                expire = LONG_AGO  # as ``ascii_stores``
            put_int(&line, expire, LEAST_EXPIRY, MOST_EXPIRY)
            put_int(&line, <object> value.size, 0, 1 << 30)
            if cas:
                put_int(&line, cas, 1, INT64_MAX)
            put(&line, b"\r\n", 2)
            if line.is_plain:
                parts[0].data = <const uint8_t *> line.text
                if value.size <= MOST_COPIED:
                    put(&line, value.data, value.size)
                    put(&line, b"\r\n", 2)
                    parts[0].size = line.end - line.text
                    return self.ask(parts, 1, None, STORE_WORDS, GDBX_WIRE_STRICT, seconds)
                parts[0].size = line.end - line.text
                parts[1].data, parts[1].size = value.data, value.size
                parts[2].data, parts[2].size = <const uint8_t *> b"\r\n", 2
                return self.ask(parts, 3, None, STORE_WORDS, GDBX_WIRE_STRICT, seconds)
        request = ascii_stores(verb, [(key, data, flags, cas, expire)], prefix)
        return self.ask(NULL, 0, request, STORE_WORDS, GDBX_WIRE_STRICT, seconds)

    cpdef delete(self, key, bytes prefix, seconds=None):
        """Delete one key, like ``store``."""
        return self.command(b"delete ", key, prefix, None, GDBX_WIRE_DELETED, seconds)

    cpdef touch(self, key, bytes prefix, expire, seconds=None):
        """Give one key a new expiry, like ``store``."""
        cdef int64_t least = LEAST_EXPIRY
        if type(expire) is not int or not least <= expire <= MOST_EXPIRY:
            expire = checked_range("expire", expire, least, 1 << 31, "[-2**31, 2**31)")
        return self.command(b"touch ", key, prefix, expire, GDBX_WIRE_TOUCHED, seconds)

    cpdef touch_item(self, key, bytes prefix, expire, seconds=None):
        """Give one key a new expiry in the meta protocol, like ``store``.

        It returns -1 for an empty item without flags, such as a lease that is out.
        """
        cdef command line
        cdef gdbx_wire_part part
        cdef Reply reply = self.reply
        cdef gdbx_wire_record *record
        cdef int64_t least = LEAST_EXPIRY
        cdef char *behind
        if type(expire) is not int or not least <= expire <= MOST_EXPIRY:
            expire = checked_range("expire", expire, least, 1 << 31, "[-2**31, 2**31)")
        self.check_plain(prefix)
        put_verb(&line, b"mg ")
        put_key(&line, key, prefix)
        put(&line, b" s f ", 5)
        behind = line.end
        put_int(&line, expire, LEAST_EXPIRY, MOST_EXPIRY)
        behind[0] = 84  # T, for the space
        put(&line, b" O0\r\n", 5)
        part.data, part.size = <const uint8_t *> line.text, line.end - line.text
        self.carrier.claim()
        try:
            reply.check_idle()
            reply.restart(GDBX_WIRE_META, 1)
            reply.reader.options = GDBX_WIRE_BARE
            if line.is_plain:
                self.carrier.set_up(0, self.fd, &part, 1, reply)
            else:
                request = [meta_keys(b"mg ", [key], b" s f T%d" % expire, 0, prefix)]
                self.carrier.load(0, self.fd, Asked(request, reply))
            self.block_one(seconds)
            record = reply.records
            if record.marks & GDBX_WIRE_FAILED:
                answer = record.status, reply.value_of(record)
            elif record.status == 0 and record.flags == 0 and is_empty(
                reply.data + record.line, record.line_size
            ):
                answer = -1
            else:
                answer = record.status
        finally:
            self.carrier.is_busy = False
        self.clean = True
        return answer

    cpdef count(self, bint down, key, bytes prefix, delta, seconds=None):
        """Count up or down, like ``store``; return the count, -1 if there is no counter."""
        if type(delta) is not int or not 0 <= delta < 1 << 64:
            delta = checked_range("delta", delta, 0, 1 << 64, "[0, 2**64)")
        verb = b"decr " if down else b"incr "
        return self.command(verb, key, prefix, delta, GDBX_WIRE_NUMBER, seconds)

    cdef object command(self, bytes verb, key, bytes prefix, number, uint64_t word, seconds):
        cdef command line
        cdef gdbx_wire_part part
        self.check_plain(prefix)
        put_verb(&line, verb)
        put_key(&line, key, prefix)
        if number is not None:
            put_int(&line, number, LEAST_EXPIRY, INT64_MAX)
        put(&line, b"\r\n", 2)
        part.data, part.size = <const uint8_t *> line.text, line.end - line.text
        if line.is_plain:
            return self.ask(&part, 1, None, word | GDBX_WIRE_NOT_FOUND, 0, seconds)
        end = b"\r\n" if number is None else b" %d\r\n" % number
        request = [ascii_each(verb, [key], end, prefix)]
        return self.ask(NULL, 0, request, word | GDBX_WIRE_NOT_FOUND, 0, seconds)

    cdef object ask(self, gdbx_wire_part *parts, size_t count, list request, uint64_t words,
                    uint32_t options, seconds):
        """Send a request in parts, or in buffers; return what the line says that answers it."""
        cdef Reply reply = self.reply
        cdef gdbx_wire_record *record
        self.carrier.claim()
        try:
            reply.check_idle()
            reply.restart(GDBX_WIRE_LINES, 1)
            reply.reader.words, reply.reader.options = words, options
            if request is None:
                self.carrier.set_up(0, self.number(), parts, count, reply)
            else:
                self.carrier.load(0, self.number(), Asked(request, reply))
            self.block_one(seconds)
            record = reply.records
            if record.marks & GDBX_WIRE_FAILED:
                answer = record.status, reply.value_of(record)
            elif not words & GDBX_WIRE_NUMBER:
                answer = record.status
            else:
                answer = record.number if record.status == 0 else -1
        finally:
            self.carrier.is_busy = False
        self.clean = True
        return answer

    def shut(self):
        """Let no exchange begin any more; return whether the number of the socket is free.

        Until it is, the socket must not be closed: its number could become another file's.
        """
        return self.carrier is None or self.carrier.shut()

    cdef int number(self) noexcept:
        """Return the number of the socket, for an exchange that has claimed the line."""
        return -1 if self.carrier.is_shut else self.fd

    cdef int check_plain(self, bytes prefix) except -1:
        if self.fd < 0:
            raise ValueError("the channel must be a plain socket")
        if prefix is None:
            raise TypeError("prefix must be bytes, got None")
        return 0

    cdef int block_one(self, seconds) except -1:
        """See the exchange through that was set up; raise how it failed."""
        failure = self.block(True, seconds is None, self.deadline(seconds))
        if failure is not None:
            raise failure
        return 0

    cdef int64_t deadline(self, seconds) except? -1:
        if seconds is None:
            seconds = self.seconds
        return INT64_MAX if seconds is None else deadline_in(seconds)

    cdef object block(self, bint peeks, bint armed, int64_t deadline):
        """See the exchange through that was set up; return how it failed, or None."""
        cdef Carrier carrier = self.carrier
        self.clean = self.begun = False
        carrier.poll.deadline, carrier.poll.is_late = deadline, 0
        try:
            carrier.block(peeks, armed)
            return carrier.failure(0)
        finally:
            self.begun = carrier.io.begun or not peeks
            carrier.end(0)

    cdef int carry(self, talk, seconds) except -1:
        """See a talk through, alone."""
        cdef bint is_first = True, armed = seconds is None
        cdef int64_t deadline = self.deadline(seconds)
        self.carrier.claim()
        try:
            if isinstance(talk, Reply):
                self.carrier.load_part(0, self.number(), <Reply> talk)
                failure = self.block(True, armed, deadline)
                self.clean = failure is None
                (<Reply> talk).is_asked, (<Reply> talk).ending = False, failure
                return 0
            exchange = talk.advance(None)
            while exchange is not None:
                self.carrier.load(0, self.number(), exchange)
                failure = self.block(is_first, armed and is_first, deadline)
                self.clean = failure is None
                is_first = False
                exchange = talk.advance(failure)
        finally:
            self.carrier.is_busy = False
        return 0


@cython.final
cdef class Spare:
    """Keeps the carrier of one batch for the next."""

    __reduce_ex__ = refuse_copies

    cdef Carrier carrier

    @cython.critical_section
    cdef Carrier swap(self, Carrier other):
        cdef Carrier carrier = self.carrier
        self.carrier = other
        return carrier


cdef Spare SPARE = Spare()


cdef bint are_others(list lines) except -1:
    """Return whether some of the lines are no plain sockets."""
    cdef Line line
    for line in lines:
        if line is None:
            raise TypeError("a line must be a Line, got None")
        if line.fd < 0:
            return True
    return False


def carry(list lines not None, list talks not None, seconds):
    """See talks through over their lines, all at once, within `seconds`.

    ``talk.advance(None)`` returns the first exchange, which has a `request`, a list of buffers, and
    a `reply`. When that is over, ``advance`` is called with None, or with how it failed: an
    ``OSError`` (``TimeoutError`` when late), or a ``ValueError`` for a bad reply. It returns the
    next exchange, or None.

    A part of a batch is a talk of one exchange, which keeps how it ended in `failure`.

    With `seconds` None, a line that is carried alone takes its own limit, and several take none. A
    line that is carried alone is first seen to be fit.
    """
    cdef Line line
    cdef Carrier carrier
    cdef tuple busy
    cdef Py_ssize_t count = len(lines), claimed = 0
    check_pairs(lines, talks)
    if are_others(lines):
        return _channels.carry(lines, talks, seconds)
    if count == 1:
        line = lines[0]
        line.carry(talks[0], seconds)
    elif count:
        carrier = SPARE.swap(None)
        if carrier is None or carrier.poll.count != <size_t> count:
            carrier = Carrier(count)
        carrier.poll.is_late = 0
        carrier.poll.deadline = INT64_MAX if seconds is None else deadline_in(seconds)
        busy = tuple(lines)
        try:
            for line in busy:
                line.carrier.claim()
                claimed += 1
            carrier.go(busy, tuple(talks))
        finally:
            carrier.end_all()
            for line in busy[:claimed]:
                line.carrier.is_busy = False
            SPARE.swap(carrier)


def unfit(list lines not None):
    """Return the indices of the lines that are closed, broken, or have bytes nobody asked for."""
    cdef Line line
    cdef size_t count = len(lines), i, room = gdbx_wire_poll_room(count)
    cdef int *fds
    cdef uint8_t *marks
    cdef char *memory
    if are_others(lines):
        return _channels.unfit(lines)
    memory = <char *> PyMem_RawCalloc(1, room + count * (sizeof(int) + 1) + 1)
    if memory == NULL:
        raise MemoryError
    fds = <int *> (memory + room)
    marks = <uint8_t *> (fds + count)
    try:
        for i in range(count):
            line = lines[i]
            fds[i] = line.fd
        if not gdbx_wire_poll_unfit(fds, count, memory, marks):
            return []
        return [i for i in range(count) if marks[i]]
    finally:
        PyMem_RawFree(memory)
