"""One exchange over a plain socket, in C. The twin of ``line_py``."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.string cimport memcpy, memset

import os

from ._identity import refuse_copies
from ._wire import bad_key
from .wire_c cimport (
    GDBX_WIRE_BAD,
    GDBX_WIRE_DONE,
    GDBX_WIRE_FULL,
    GDBX_WIRE_MORE,
    GDBX_WIRE_VALUES,
    Reply,
)
from .wire_io cimport (
    GDBX_HAS_WIRE_IO,
    GDBX_WIRE_SIGNAL,
    failure_of,
    gdbx_wire_arm,
    gdbx_wire_exchange,
    gdbx_wire_io,
    gdbx_wire_key_ok,
    gdbx_wire_now,
    gdbx_wire_part,
)

__all__ = ["open_line"]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef enum:
    MOST_KEY = 250
    MOST_VERB = 16


cdef class Line:
    """A plain socket of which a receive gives up by itself after `seconds`.

    Not `clean` is one on which an exchange began and did not end well; `begun` tells whether the
    latest may have sent anything.
    """

    __reduce_ex__ = refuse_copies

    cdef readonly int fd
    cdef readonly bint clean, begun
    cdef int64_t limit
    cdef Reply reply

    def __cinit__(self, int fd, double seconds):
        cdef int error
        self.fd = fd
        self.clean = True
        self.limit = <int64_t> (seconds * 1e9)
        self.reply = Reply(GDBX_WIRE_VALUES, 1)
        error = gdbx_wire_arm(fd, self.limit)
        if error:
            raise OSError(error, os.strerror(error))

    def get(self, bytes verb not None, key, bytes prefix not None, seconds=None):
        """Ask for one key in the ASCII protocol: as ``exchange``, then ``Reply.hit``."""
        cdef char text[MOST_VERB + MOST_KEY + 2]
        cdef gdbx_wire_part part
        cdef gdbx_wire_io io
        cdef Py_ssize_t size, before = PyBytes_GET_SIZE(prefix), first = PyBytes_GET_SIZE(verb)
        cdef const char *named
        cdef char *place = text + first
        if isinstance(key, str):
            try:
                named = PyUnicode_AsUTF8AndSize(key, &size)
            except UnicodeEncodeError:
                raise bad_key(key, prefix) from None
        elif isinstance(key, bytes):
            named = PyBytes_AS_STRING(key)
            size = PyBytes_GET_SIZE(key)
        else:
            raise bad_key(key, prefix)
        if first > MOST_VERB or before + size > MOST_KEY:
            raise bad_key(key, prefix)
        memcpy(text, PyBytes_AS_STRING(verb), first)
        memcpy(place, PyBytes_AS_STRING(prefix), before)
        memcpy(place + before, named, size)
        if not gdbx_wire_key_ok(<const uint8_t *> place, before + size):
            raise bad_key(key, prefix)
        memcpy(place + before + size, b"\r\n", 2)
        part.data, part.size = <const uint8_t *> text, first + before + size + 2
        memset(&io, 0, sizeof(io))
        io.parts, io.part_count = &part, 1
        self.reply.check_idle()
        self.reply.restart(GDBX_WIRE_VALUES, 1)
        self.see_through(&io, self.reply, seconds)
        hit = self.reply.single_hit(key, prefix)
        self.clean = True
        return hit

    def exchange(self, list request not None, Reply reply not None, seconds=None):
        """Send the buffers of `request` and feed `reply` until it is complete.

        `seconds` is the time left, None for the line's own. Raises ``TimeoutError``, ``OSError``,
        or ``ValueError`` for a bad reply.
        """
        cdef gdbx_wire_io io
        cdef gdbx_wire_part single
        cdef gdbx_wire_part *parts = &single
        cdef Py_buffer *views = NULL
        cdef tuple buffers = tuple(request)  # nobody else can change it
        cdef Py_ssize_t i, held = 0, count = len(buffers)
        reply.check_idle()
        memset(&io, 0, sizeof(io))
        views = <Py_buffer *> PyMem_RawMalloc(count * sizeof(Py_buffer))
        if count > 1:
            parts = <gdbx_wire_part *> PyMem_RawMalloc(count * sizeof(gdbx_wire_part))
        try:
            if views == NULL or parts == NULL:
                raise MemoryError
            for i in range(count):
                PyObject_GetBuffer(buffers[i], &views[i], PyBUF_SIMPLE)
                held += 1
                parts[i].data, parts[i].size = <const uint8_t *> views[i].buf, views[i].len
            io.parts, io.part_count = parts, count
            self.see_through(&io, reply, seconds)
        finally:
            for i in range(held):
                PyBuffer_Release(&views[i])
            PyMem_RawFree(views)
            if parts is not &single:
                PyMem_RawFree(parts)
        self.clean = True

    cdef int see_through(self, gdbx_wire_io *io, Reply reply, seconds) except -1:
        """Run an exchange and raise what went wrong; to be clean again is left to the caller."""
        cdef int64_t left = self.limit
        cdef int result
        io.armed = seconds is None
        if not io.armed:
            left = <int64_t> (<double> seconds * 1e9)
        io.deadline = gdbx_wire_now() + left if left or not io.armed else INT64_MAX
        io.fd, io.reader = self.fd, &reply.reader
        if not reply.capacity:
            reply.grow_data(0)
        self.clean = self.begun = False
        reply.busy = True
        try:
            result = run(io, reply)
        finally:
            reply.busy = False
            self.begun = io.begun
        if result == GDBX_WIRE_DONE:
            return 0
        raise reply.bad() if result == GDBX_WIRE_BAD else failure_of(io, result)


cdef int run(gdbx_wire_io *io, Reply reply) except -1:
    """Go on until the exchange is over, and come back for what only the interpreter can do."""
    cdef int result
    while True:
        io.data, io.capacity, io.size = reply.data, reply.capacity, reply.size
        io.records, io.record_capacity = reply.records, reply.record_capacity
        io.record_count = reply.record_count
        with nogil:
            result = gdbx_wire_exchange(io)
        reply.size, reply.record_count = io.size, io.record_count
        if result == GDBX_WIRE_SIGNAL:
            PyErr_CheckSignals()
        elif result == GDBX_WIRE_MORE:
            reply.grow_data(0)
        elif result == GDBX_WIRE_FULL:
            reply.grow_records(2 * reply.record_capacity)
        else:
            return result


def open_line(int fd, double seconds):
    """Return a line over the blocking socket `fd`, or None where there is no such thing.

    A receive on it gives up by itself after `seconds`, 0 for never.
    """
    return Line(fd, seconds) if GDBX_HAS_WIRE_IO else None
