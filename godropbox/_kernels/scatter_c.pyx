"""Many exchanges at once over plain sockets, in C. The twin of ``scatter_py``."""

from cpython cimport array as c_array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import os
from array import array

from .wire_c cimport (
    GDBX_WIRE_BAD,
    GDBX_WIRE_DONE,
    GDBX_WIRE_FAILED,
    GDBX_WIRE_FULL,
    GDBX_WIRE_MORE,
    GDBX_WIRE_VALUES,
    Reply,
    gdbx_wire_record,
)
from .wire_io cimport (
    GDBX_HAS_WIRE_IO,
    GDBX_WIRE_CLOSED,
    GDBX_WIRE_GO_ON,
    GDBX_WIRE_LATE,
    GDBX_WIRE_SIGNAL,
    gdbx_wire_io,
    gdbx_wire_now,
    gdbx_wire_part,
)

__all__ = ["gather", "open_scatter", "unfit"]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef extern from "wire.h":
    int gdbx_wire_key_ok(const uint8_t *, size_t) noexcept nogil

cdef extern from "wire_many.h":
    struct gdbx_wire_many:
        gdbx_wire_io *ios
        int *results
        size_t count
        void *room
        int64_t deadline
    size_t gdbx_wire_many_unfit(const int *, size_t, void *, uint8_t *) noexcept nogil
    size_t gdbx_wire_many_room(size_t) noexcept nogil
    void gdbx_wire_many_start(gdbx_wire_many *) noexcept nogil
    void gdbx_wire_many_look(gdbx_wire_many *, size_t) noexcept nogil
    int gdbx_wire_many_finish(gdbx_wire_many *, size_t) noexcept nogil
    void gdbx_wire_many_rescan(gdbx_wire_many *, size_t) noexcept nogil

cdef enum:
    MOST_HELD = 1 << 16  # bytes that are copied with the interpreter locked, as that is quicker

cdef struct sending:
    gdbx_wire_part *parts
    Py_buffer *views
    Py_ssize_t held
    gdbx_wire_part part
    Py_buffer view


cdef class Scatter:
    """Exchanges over plain sockets, of which one thread has many under way at once."""

    cdef gdbx_wire_many many
    cdef sending *sendings
    cdef list replies
    cdef size_t most

    def __cinit__(self, size_t most, seconds):
        self.replies = []
        self.most = most
        self.sendings = <sending *> PyMem_RawCalloc(
            1, most * (sizeof(sending) + sizeof(gdbx_wire_io) + sizeof(int))
            + gdbx_wire_many_room(most)
        )
        if self.sendings == NULL:
            raise MemoryError
        self.many.ios = <gdbx_wire_io *> (self.sendings + most)
        self.many.room = self.many.ios + most
        self.many.results = <int *> (<char *> self.many.room + gdbx_wire_many_room(most))
        self.many.deadline = INT64_MAX
        if seconds is not None:
            self.many.deadline = gdbx_wire_now() + <int64_t> (<double> seconds * 1e9)

    def __dealloc__(self):
        cdef size_t i
        if self.sendings != NULL:
            for i in range(self.most):
                self.let_go(i)
            PyMem_RawFree(self.sendings)

    cdef int let_go(self, size_t at) except -1:
        """Give back the buffers of a request."""
        cdef sending *request = &self.sendings[at]
        cdef Py_ssize_t i
        for i in range(request.held):
            PyBuffer_Release(&request.views[i])
        request.held = 0
        if request.views != &request.view:
            PyMem_RawFree(request.views)
            PyMem_RawFree(request.parts)
        request.views, request.parts = &request.view, &request.part
        return 0

    cdef size_t take(self, size_t at, tuple buffers) except? 0:
        """Hold the buffers of a request; return how many bytes they are."""
        cdef sending *request = &self.sendings[at]
        cdef gdbx_wire_io *io = &self.many.ios[at]
        cdef Py_ssize_t i, count = len(buffers)
        cdef size_t size = 0
        self.let_go(at)
        if count > 1:
            request.views = <Py_buffer *> PyMem_RawCalloc(count, sizeof(Py_buffer))
            request.parts = <gdbx_wire_part *> PyMem_RawCalloc(count, sizeof(gdbx_wire_part))
            if request.views == NULL or request.parts == NULL:
                raise MemoryError
        for i in range(count):
            PyObject_GetBuffer(buffers[i], &request.views[i], PyBUF_SIMPLE)
            request.held = i + 1
            request.parts[i].data = <const uint8_t *> request.views[i].buf
            request.parts[i].size = request.views[i].len
            size += request.views[i].len
        io.parts, io.part_count = request.parts, count
        return size

    cdef int lend(self, size_t at, Reply reply) except -1:
        """Have the exchange fill the room that the reply has."""
        cdef gdbx_wire_io *io = &self.many.ios[at]
        io.data, io.capacity, io.size = reply.data, reply.capacity, reply.size
        io.records, io.record_capacity = reply.records, reply.record_capacity
        io.record_count = reply.record_count
        return 0

    cdef int settle(self, size_t at, Reply reply) except -1:
        """Have the reply know what was filled."""
        reply.size, reply.record_count = self.many.ios[at].size, self.many.ios[at].record_count
        return 0

    def start(self, int fd, list request not None, Reply reply not None):
        """Send what the socket `fd` takes of the buffers of `request`, to be answered by `reply`.

        The exchanges are numbered from 0.
        """
        cdef size_t at = self.many.count, size
        if at == self.most:
            raise ValueError(f"there must be at most {self.most} exchanges")
        reply.check_idle()
        size = self.take(at, tuple(request))
        if not reply.capacity:
            reply.grow_data(0)
        self.replies.append(reply)
        reply.busy = True
        self.many.ios[at].fd, self.many.ios[at].reader = fd, &reply.reader
        self.lend(at, reply)
        # A send that does not wait is over sooner than another thread gives the lock back.
        if size > MOST_HELD:
            with nogil:
                gdbx_wire_many_start(&self.many)
        else:
            gdbx_wire_many_start(&self.many)

    def finish(self, size_t at):
        """Go on with all exchanges until number `at` is over; return None or what went wrong.

        That is a ``TimeoutError``, an ``OSError``, or a ``ValueError`` for a bad reply.
        """
        cdef Reply reply
        cdef gdbx_wire_many *many = &self.many
        cdef int result
        if at >= many.count:
            raise ValueError(f"there are {many.count} exchanges, got {at}")
        reply = self.replies[at]
        if many.ios[at].capacity > MOST_HELD:
            with nogil:
                gdbx_wire_many_look(many, at)
        else:
            gdbx_wire_many_look(many, at)
        while many.results[at] in (GDBX_WIRE_GO_ON, GDBX_WIRE_MORE, GDBX_WIRE_FULL):
            with nogil:
                result = gdbx_wire_many_finish(many, at)
            if result == GDBX_WIRE_SIGNAL:
                PyErr_CheckSignals()
            elif result == GDBX_WIRE_MORE:
                self.grow()
        self.settle(at, reply)
        reply.busy = False
        self.let_go(at)
        return None if many.results[at] == GDBX_WIRE_DONE else self.failure(at, reply)

    cdef int grow(self) except -1:
        """Give those more room that want it."""
        cdef size_t i
        cdef Reply reply
        for i in range(self.many.count):
            if self.many.results[i] not in (GDBX_WIRE_MORE, GDBX_WIRE_FULL):
                continue
            reply = self.replies[i]
            self.settle(i, reply)
            if self.many.results[i] == GDBX_WIRE_MORE:
                reply.grow_data(0)
                self.many.results[i] = GDBX_WIRE_GO_ON
                self.lend(i, reply)
            else:
                reply.grow_records(2 * reply.record_capacity)
                self.lend(i, reply)
                gdbx_wire_many_rescan(&self.many, i)
        return 0

    cdef object failure(self, size_t at, Reply reply):
        cdef int result = self.many.results[at]
        if result == GDBX_WIRE_BAD:
            return reply.bad()
        if result == GDBX_WIRE_LATE:
            return TimeoutError("the deadline passed")
        if result == GDBX_WIRE_CLOSED:
            return ConnectionResetError(
                f"the server closed the connection after {reply.size} bytes of the reply"
            )
        error = self.many.ios[at].error
        return OSError(error, os.strerror(error))


def open_scatter(size_t most, seconds):
    """Return what runs at most so many exchanges at once, all within `seconds` if it is not None.

    None means that there are no lines on this system.
    """
    return Scatter(most, seconds) if GDBX_HAS_WIRE_IO else None


def unfit(list fds not None):
    """Return the places of the sockets that are closed, broken, or have bytes to be read.

    Nobody has asked for those. None means that there are no lines on this system.
    """
    cdef tuple numbers = tuple(fds)
    cdef size_t count = len(numbers), unfit, i
    cdef size_t room = gdbx_wire_many_room(count)
    cdef char *memory
    cdef int *held
    cdef uint8_t *marks
    if not GDBX_HAS_WIRE_IO:
        return None
    memory = <char *> PyMem_RawCalloc(1, room + count * (sizeof(int) + 1) + 1)
    if memory == NULL:
        raise MemoryError
    held = <int *> (memory + room)
    marks = <uint8_t *> (held + count)
    try:
        for i in range(count):
            held[i] = numbers[i]
        unfit = gdbx_wire_many_unfit(held, count, memory, marks)
        return [i for i in range(count) if marks[i]] if unfit else []
    finally:
        PyMem_RawFree(memory)


cdef c_array.array FLAGS = array("I")
cdef c_array.array TOKENS = array("Q")

cdef enum:
    MOST_KEY = 250
    NONE = -1

cdef struct asked:
    const char *text
    Py_ssize_t size
    Py_ssize_t next  # the next key of the same server, or NONE

cdef struct server:
    Py_ssize_t first, last
    size_t size, number  # bytes and number of its keys


cdef class Errand:
    """The keys of one batch in the ASCII protocol, in a list for each server."""

    cdef asked *keys
    cdef server *servers
    cdef Py_ssize_t count, server_count
    cdef bytes prefix

    def __cinit__(self, Py_ssize_t count, Py_ssize_t server_count, bytes prefix not None):
        self.keys = <asked *> PyMem_RawCalloc(
            1, count * sizeof(asked) + server_count * sizeof(server) + 1
        )
        if self.keys == NULL:
            raise MemoryError
        self.servers = <server *> (self.keys + count)
        self.count, self.server_count, self.prefix = count, server_count, prefix
        for i in range(server_count):
            self.servers[i].first = self.servers[i].last = NONE

    def __dealloc__(self):
        PyMem_RawFree(self.keys)

    cdef bint take(self, list keys, list places) except -1:
        """Sort the keys; return whether they are such as need no one's attention."""
        cdef Py_ssize_t i, place
        cdef asked *one
        cdef server *to
        cdef bint is_text = self.count > 0 and isinstance(keys[0], str)
        cdef object key
        for i in range(self.count):
            key, place = keys[i], places[i]
            one = &self.keys[i]
            if not 0 <= place < self.server_count:
                raise ValueError(f"a place must be in [0, {self.server_count}), got {place}")
            if is_text and isinstance(key, str):
                try:
                    one.text = PyUnicode_AsUTF8AndSize(key, &one.size)
                except UnicodeEncodeError:
                    return False
            elif not is_text and isinstance(key, bytes):
                one.text, one.size = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
            else:
                return False
            if (
                PyBytes_GET_SIZE(self.prefix) + one.size > MOST_KEY
                or not gdbx_wire_key_ok(<const uint8_t *> one.text, one.size)
            ):
                return False
            to = &self.servers[place]
            one.next = NONE
            if to.last == NONE:
                to.first = i
            else:
                self.keys[to.last].next = i
            to.last = i
            to.size += one.size
            to.number += 1
        return True

    cdef bytes request(self, Py_ssize_t place, bytes verb):
        """Return the command that asks one server for its keys: `verb`, a space before each."""
        cdef server *to = &self.servers[place]
        cdef size_t before = PyBytes_GET_SIZE(self.prefix)
        cdef Py_ssize_t at = to.first
        cdef bytes command = PyBytes_FromStringAndSize(
            NULL, PyBytes_GET_SIZE(verb) + to.size + to.number * (before + 1) + 2
        )
        cdef char *out = PyBytes_AS_STRING(command)
        memcpy(out, PyBytes_AS_STRING(verb), PyBytes_GET_SIZE(verb))
        out += PyBytes_GET_SIZE(verb)
        while at != NONE:
            out[0] = b" "
            memcpy(out + 1, PyBytes_AS_STRING(self.prefix), before)
            memcpy(out + 1 + before, self.keys[at].text, self.keys[at].size)
            out += 1 + before + self.keys[at].size
            at = self.keys[at].next
        memcpy(out, b"\r\n", 2)
        return command

    cdef object fill(self, Py_ssize_t place, Reply reply, list keys, list values,
                     c_array.array flags, c_array.array cas):
        """Put what a server found where its keys are; return None, or the line of its refusal."""
        cdef Py_ssize_t at = self.servers[place].first
        cdef gdbx_wire_record *record
        cdef size_t i
        for i in range(reply.record_count):
            record = &reply.records[i]
            if record.marks & GDBX_WIRE_FAILED:
                return record.status, reply.value_of(record)
            while at != NONE and not reply.names(record, keys[at], self.prefix):
                at = self.keys[at].next
            if at == NONE:
                # A key that was not asked for, or an order that no server of ours has.
                at = self.found(place, reply, record, keys)
                if at == NONE or values[at] is not None:
                    raise reply.unasked(record)
            values[at] = reply.value_of(record)
            flags.data.as_uints[at] = record.flags
            (<uint64_t *> cas.data.as_ulonglongs)[at] = record.cas
            at = self.keys[at].next
        return None

    cdef Py_ssize_t found(self, Py_ssize_t place, Reply reply, gdbx_wire_record *record,
                          list keys) except? -1:
        cdef Py_ssize_t at = self.servers[place].first
        while at != NONE and not reply.names(record, keys[at], self.prefix):
            at = self.keys[at].next
        return at


def gather(list fds not None, list keys not None, list places not None, bytes verb not None,
           bytes prefix not None, seconds):
    """Ask servers for keys in the ASCII protocol, all at once; return what they found, or None.

    ``fds[places[i]]`` is the socket for ``keys[i]``; `verb` is the command. Returns values, flags
    and tokens, one a key, and a dict of what went wrong, by place: an exception, or the status and
    the words of a refusal. None means that nothing was sent: a key is not as plain as can be, a
    socket is unfit, or there are no lines on this system.
    """
    cdef Py_ssize_t count = len(keys), i, at = 0
    cdef Errand errand
    cdef Scatter scatter
    cdef Reply reply
    cdef list values, under_way = []
    cdef c_array.array flags, cas
    cdef dict failures = {}
    if len(places) != count:
        raise ValueError(f"places must be {count}, one a key, got {len(places)}")
    errand = Errand(count, len(fds), prefix)
    if not GDBX_HAS_WIRE_IO or not errand.take(keys, places):
        return None
    under_way = [i for i in range(len(fds)) if errand.servers[i].number]
    if unfit([fds[i] for i in under_way]):
        return None
    scatter = Scatter(len(under_way), seconds)
    for i in under_way:
        reply = Reply(GDBX_WIRE_VALUES, errand.servers[i].number)
        scatter.start(fds[i], [errand.request(i, verb)], reply)
    values = [None] * count
    flags = c_array.clone(FLAGS, count, True)
    cas = c_array.clone(TOKENS, count, True)
    # The one that was asked last is waited for first: by then most of the others have come.
    for at in range(len(under_way) - 1, -1, -1):
        i = under_way[at]
        failure = scatter.finish(at)
        if failure is None:
            try:
                failure = errand.fill(i, scatter.replies[at], keys, values, flags, cas)
            except ValueError as error:
                failure = error
        if failure is not None:
            failures[i] = failure
    return values, flags, cas, failures
