"""Many exchanges at once over plain sockets, in C. The twin of ``scatter_py``."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport INT64_MAX, int64_t, uint8_t

from ._identity import refuse_copies
from .wire_c cimport GDBX_WIRE_BAD, GDBX_WIRE_DONE, GDBX_WIRE_FULL, GDBX_WIRE_MORE, Reply
from .wire_io cimport (
    GDBX_HAS_WIRE_IO,
    GDBX_WIRE_GO_ON,
    GDBX_WIRE_SIGNAL,
    failure_of,
    gdbx_wire_io,
    gdbx_wire_many,
    gdbx_wire_many_finish,
    gdbx_wire_many_look,
    gdbx_wire_many_rescan,
    gdbx_wire_many_room,
    gdbx_wire_many_start,
    gdbx_wire_many_unfit,
    gdbx_wire_now,
    gdbx_wire_part,
)

__all__ = ["open_scatter", "unfit"]

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

    __reduce_ex__ = refuse_copies

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
        result = many.results[at]
        if result == GDBX_WIRE_DONE:
            return None
        return reply.bad() if result == GDBX_WIRE_BAD else failure_of(&many.ios[at], result)

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
