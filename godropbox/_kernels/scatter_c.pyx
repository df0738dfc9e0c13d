"""Many exchanges at once over plain sockets, in C. The twin of ``scatter_py``."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport INT64_MAX, int64_t, uint8_t

import os

from .wire_c cimport (
    GDBX_WIRE_BAD,
    GDBX_WIRE_DONE,
    GDBX_WIRE_FULL,
    GDBX_WIRE_MORE,
    Reply,
    gdbx_wire_reader,
    gdbx_wire_record,
)

__all__ = ["exchange", "unfit"]

cdef extern from *:
    """
    #include "wire_many.h"
    #ifdef _WIN32
    /* There are no lines there, and these are never called. */
    #define GDBX_HAS_WIRE_MANY 0
    enum { GDBX_WIRE_GO_ON = -1, GDBX_WIRE_SIGNAL = 16, GDBX_WIRE_LATE, GDBX_WIRE_CLOSED };
    struct gdbx_wire_part { const uint8_t *data; size_t size; };
    struct gdbx_wire_io {
        struct gdbx_wire_reader *reader; const struct gdbx_wire_part *parts; size_t part_count;
        uint8_t *data; size_t capacity, size; struct gdbx_wire_record *records;
        size_t record_capacity, record_count; int fd, error;
    };
    struct gdbx_wire_many {
        struct gdbx_wire_io *ios; int *results; size_t count; void *room; int64_t deadline;
        int started;
    };
    #define gdbx_wire_now() 0
    #define gdbx_wire_peek(fd, error) 0
    #define gdbx_wire_many_room(count) 0
    #define gdbx_wire_many_exchange(many) 0
    #else
    #define GDBX_HAS_WIRE_MANY 1
    #endif
    """
    enum:
        GDBX_HAS_WIRE_MANY
        GDBX_WIRE_GO_ON
        GDBX_WIRE_SIGNAL
        GDBX_WIRE_LATE
        GDBX_WIRE_CLOSED
    struct gdbx_wire_part:
        const uint8_t *data
        size_t size
    struct gdbx_wire_io:
        gdbx_wire_reader *reader
        const gdbx_wire_part *parts
        size_t part_count
        uint8_t *data
        size_t capacity, size
        gdbx_wire_record *records
        size_t record_capacity, record_count
        int fd, error
    struct gdbx_wire_many:
        gdbx_wire_io *ios
        int *results
        size_t count
        void *room
        int64_t deadline
        int started
    int64_t gdbx_wire_now() noexcept nogil
    int gdbx_wire_peek(int, int *) noexcept nogil
    size_t gdbx_wire_many_room(size_t) noexcept nogil
    int gdbx_wire_many_exchange(gdbx_wire_many *) noexcept nogil


cdef class Requests:
    """The buffers of many requests, held for as long as this lives."""

    cdef Py_buffer *views
    cdef gdbx_wire_part *parts
    cdef Py_ssize_t held, room

    def __cinit__(self, Py_ssize_t room):
        self.room = room
        self.views = <Py_buffer *> PyMem_RawMalloc(room * sizeof(Py_buffer))
        self.parts = <gdbx_wire_part *> PyMem_RawMalloc(room * sizeof(gdbx_wire_part))
        if self.views == NULL or self.parts == NULL:
            raise MemoryError

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])
        PyMem_RawFree(self.views)
        PyMem_RawFree(self.parts)

    cdef int add(self, tuple request, gdbx_wire_io *io) except -1:
        cdef Py_ssize_t i = self.held
        io.parts = self.parts + i
        io.part_count = len(request)
        for buffer in request:
            PyObject_GetBuffer(buffer, &self.views[i], PyBUF_SIMPLE)
            self.held += 1
            self.parts[i].data = <const uint8_t *> self.views[i].buf
            self.parts[i].size = self.views[i].len
            i += 1
        return 0


cdef int settle(gdbx_wire_many *many, tuple replies) except -1:
    """Go on until every exchange is over, and come back for what only the interpreter can do."""
    cdef int result
    cdef size_t i
    cdef Reply reply
    cdef gdbx_wire_io *io
    while True:
        for i in range(many.count):
            reply, io = replies[i], &many.ios[i]
            io.data, io.capacity = reply.data, reply.capacity
            io.records, io.record_capacity = reply.records, reply.record_capacity
        with nogil:
            result = gdbx_wire_many_exchange(many)
        for i in range(many.count):
            reply, io = replies[i], &many.ios[i]
            reply.size, reply.record_count = io.size, io.record_count
            if many.results[i] == GDBX_WIRE_MORE:
                reply.grow_data(0)
            elif many.results[i] == GDBX_WIRE_FULL:
                reply.grow_records(2 * reply.record_capacity)
        if result == GDBX_WIRE_DONE:
            return 0
        if result == GDBX_WIRE_SIGNAL:
            PyErr_CheckSignals()


cdef object failure(int result, gdbx_wire_io *io, Reply reply):
    if result == GDBX_WIRE_BAD:
        return reply.bad()
    if result == GDBX_WIRE_LATE:
        return TimeoutError("the deadline passed")
    if result == GDBX_WIRE_CLOSED:
        return ConnectionResetError(
            f"the server closed the connection after {reply.size} bytes of the reply"
        )
    return OSError(io.error, os.strerror(io.error))


cdef class Memory:
    """Bytes that are freed with it."""

    cdef void *start

    def __cinit__(self, size_t size):
        self.start = PyMem_RawCalloc(1, size)
        if self.start == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.start)


def exchange(list fds not None, list requests not None, list replies not None, seconds):
    """Send each request over its socket, and feed each reply until all are complete.

    A request is a list of buffers, `seconds` is the time for all together or None. Returns for
    each None or what went wrong, each for itself: a ``TimeoutError``, an ``OSError``, or a
    ``ValueError`` for a bad reply. None for all means that there are no lines on this system.
    """
    cdef Py_ssize_t count = len(fds), total = 0, i, busy = 0
    cdef tuple held = tuple(map(tuple, requests)), answers = tuple(replies)
    cdef gdbx_wire_many many
    cdef Reply reply
    cdef Memory memory
    if not GDBX_HAS_WIRE_MANY:
        return None
    if not count == len(held) == len(answers):
        raise ValueError("fds, requests and replies must be of one length")
    for each in held:
        total += len(each)
    cdef Requests buffers = Requests(total)
    memory = Memory(
        count * (sizeof(gdbx_wire_io) + sizeof(int)) + gdbx_wire_many_room(count)
    )
    many.ios = <gdbx_wire_io *> memory.start
    many.room = many.ios + count
    many.results = <int *> (<char *> many.room + gdbx_wire_many_room(count))
    many.count = count
    many.started = 0
    many.deadline = INT64_MAX
    if seconds is not None:
        many.deadline = gdbx_wire_now() + <int64_t> (<double> seconds * 1e9)
    try:
        for i in range(count):
            reply = answers[i]
            reply.check_idle()
            reply.busy = True
            busy = i + 1
            if not reply.capacity:
                reply.grow_data(0)
            many.results[i] = GDBX_WIRE_GO_ON
            many.ios[i].fd = fds[i]
            many.ios[i].reader = &reply.reader
            buffers.add(held[i], &many.ios[i])
        settle(&many, answers)
    finally:
        for i in range(busy):
            (<Reply> answers[i]).busy = False
    return [
        None if many.results[i] == GDBX_WIRE_DONE
        else failure(many.results[i], &many.ios[i], answers[i])
        for i in range(count)
    ]


def unfit(list fds not None):
    """Return the places of the sockets that are closed, broken, or have bytes to be read.

    Nobody has asked for those. None means that there are no lines on this system.
    """
    cdef Py_ssize_t count = len(fds), i
    cdef int error
    cdef Memory memory
    cdef int *numbers
    if not GDBX_HAS_WIRE_MANY:
        return None
    memory = Memory(count * sizeof(int))
    numbers = <int *> memory.start
    for i in range(count):
        numbers[i] = fds[i]
    with nogil:
        for i in range(count):
            numbers[i] = gdbx_wire_peek(numbers[i], &error) == GDBX_WIRE_GO_ON
    return [i for i in range(count) if not numbers[i]]
