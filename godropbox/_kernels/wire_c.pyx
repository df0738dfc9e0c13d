"""Replies of memcached, compiled: ``csrc/wire`` for Python. The twin of ``wire_py``."""

cimport cython
from cpython cimport array as c_array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import os
from array import array

from . import _wire as codes
from ._args import bad_buffer
from ._wire import Row, bad_key, bad_reply

__all__ = ["Reply", "arm", "codes", "exchange"]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef extern from "wire.h":
    enum:
        GDBX_WIRE_VALUES
        GDBX_WIRE_STATS
        GDBX_WIRE_DONE
        GDBX_WIRE_MORE
        GDBX_WIRE_FULL
        GDBX_WIRE_BAD
        GDBX_WIRE_KEY
        GDBX_WIRE_FAILED
    struct gdbx_wire_record:
        size_t key, key_size, value, value_size, line, line_size
        uint64_t cas, number
        uint32_t flags, index, status, marks
    struct gdbx_wire_reader:
        uint64_t words
        uint32_t kind, options, count, first
        size_t position, needed
        int done, reason
    int gdbx_wire_scan(gdbx_wire_reader *, const uint8_t *, size_t, gdbx_wire_record *, size_t,
                       size_t *) noexcept nogil

cdef extern from *:
    """
    #include "wire_io.h"
    #ifdef _WIN32
    /* There the exchange is left to the generic driver, and these are never called. */
    #define GDBX_HAS_WIRE_IO 0
    enum { GDBX_WIRE_SIGNAL = 16, GDBX_WIRE_LATE, GDBX_WIRE_CLOSED, GDBX_WIRE_UNASKED };
    struct gdbx_wire_part { const uint8_t *data; size_t size; };
    struct gdbx_wire_io {
        struct gdbx_wire_reader *reader; const struct gdbx_wire_part *parts; size_t part_count;
        uint8_t *data; size_t capacity, size; struct gdbx_wire_record *records;
        size_t record_capacity, record_count; int64_t deadline; int fd, armed, error;
    };
    #define gdbx_wire_now() 0
    #define gdbx_wire_arm(fd, nanoseconds) 0
    #define gdbx_wire_exchange(io) 0
    #else
    #define GDBX_HAS_WIRE_IO 1
    #endif
    """
    enum:
        GDBX_HAS_WIRE_IO
        GDBX_WIRE_SIGNAL
        GDBX_WIRE_LATE
        GDBX_WIRE_CLOSED
        GDBX_WIRE_UNASKED
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
        int64_t deadline
        int fd, armed, error
    int64_t gdbx_wire_now() noexcept nogil
    int gdbx_wire_arm(int, int64_t) noexcept nogil
    int gdbx_wire_exchange(gdbx_wire_io *) noexcept nogil

cdef enum:
    MOST_TRUSTED = 1 << 22  # how much memory a length that a server claims may cost at once

cdef c_array.array FLAGS = array("I")
cdef c_array.array TOKENS = array("Q")


cdef class Reply:
    """The reply to one request, as it comes in.

    `kind` is what to expect, `count` how many answers, `words` which words or opcodes, `first` the
    opaque of the first request, `options` a sum of STRICT, QUIET and SERIES.
    """

    cdef gdbx_wire_reader reader
    cdef gdbx_wire_record single[2]
    cdef gdbx_wire_record *records
    cdef size_t record_capacity, record_count
    cdef uint8_t *data
    cdef size_t capacity, size
    cdef bint busy

    def __cinit__(self, uint32_t kind, uint32_t count, uint64_t words=0, uint32_t first=0,
                  uint32_t options=0):
        # The reader is zeroed by the allocation, as every C field of an object is.
        self.reader.kind = kind
        self.reader.count = count
        self.reader.words = words
        self.reader.first = first
        self.reader.options = options
        self.reader.done = count == 0
        self.records = self.single
        self.record_capacity = 2
        if count >= 2 and kind != GDBX_WIRE_STATS:
            self.grow_records(<size_t> count + 1)

    def __dealloc__(self):
        PyMem_RawFree(self.data)
        if self.records is not self.single:
            PyMem_RawFree(self.records)

    cdef int grow_records(self, size_t capacity) except -1:
        cdef bint inside = self.records == self.single
        cdef void *memory = PyMem_RawRealloc(
            NULL if inside else self.records, capacity * sizeof(gdbx_wire_record)
        )
        if memory == NULL:
            raise MemoryError
        if inside:
            memcpy(memory, self.single, self.record_count * sizeof(gdbx_wire_record))
        self.records = <gdbx_wire_record *> memory
        self.record_capacity = capacity
        return 0

    cdef int grow_data(self, size_t least) except -1:
        # A first guess that takes the whole reply to gets of a hundred bytes each.
        cdef size_t guess = 1024 + 256 * <size_t> min(self.reader.count, 1024)
        cdef size_t capacity = 2 * self.capacity if self.capacity else guess
        cdef size_t asked = self.reader.needed
        if asked > self.size + MOST_TRUSTED:
            asked = self.size + MOST_TRUSTED
        # The room after what is needed is for the head of the next frame.
        capacity = max(capacity, asked + 4096, least)
        cdef void *memory = PyMem_RawRealloc(self.data, capacity)
        if memory == NULL:
            raise MemoryError
        self.data = <uint8_t *> memory
        self.capacity = capacity
        return 0

    cdef object bad(self):
        return bad_reply(self.reader.reason, self.data[:self.size], self.reader.position)

    cdef int check_idle(self) except -1:
        if self.busy:
            raise RuntimeError("the reply is being received by another thread")
        return 0

    cdef int check_done(self) except -1:
        self.check_idle()
        if not self.reader.done:
            raise RuntimeError("the reply is not complete")
        return 0

    @property
    def done(self):
        return self.reader.done != 0

    @property
    def size(self):
        return self.size

    @cython.critical_section
    def feed(self, data):
        cdef Py_buffer view
        cdef int result
        self.check_idle()
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except (TypeError, BufferError):
            raise bad_buffer("data", data) from None
        try:
            if self.capacity - self.size < <size_t> view.len:
                self.grow_data(self.size + view.len)
            if view.len:
                memcpy(self.data + self.size, view.buf, view.len)
            self.size += view.len
        finally:
            PyBuffer_Release(&view)
        while True:
            result = gdbx_wire_scan(&self.reader, self.data, self.size, self.records,
                                    self.record_capacity, &self.record_count)
            if result != GDBX_WIRE_FULL:
                break
            self.grow_records(2 * self.record_capacity)
        if result == GDBX_WIRE_BAD:
            raise self.bad()
        return result == GDBX_WIRE_DONE

    @cython.critical_section
    def hit(self, key, bytes prefix not None):
        cdef gdbx_wire_record *record = self.records
        self.check_done()
        if self.record_count == 0:
            return 1, None, 0, 0
        if record.marks & GDBX_WIRE_KEY and not self.names(record, key, prefix):
            raise self.unasked(record)
        if record.marks & GDBX_WIRE_FAILED or record.status == 0:
            return record.status, self.value_of(record), record.flags, record.cas
        return record.status, None, 0, 0

    @cython.critical_section
    def hits(self, list keys not None, bytes prefix not None):
        cdef Py_ssize_t count = len(keys), at = 0
        cdef list values = [None] * count
        cdef c_array.array flags = c_array.clone(FLAGS, count, True)
        cdef c_array.array cas = c_array.clone(TOKENS, count, True)
        cdef uint64_t *tokens = <uint64_t *> cas.data.as_ulonglongs
        cdef gdbx_wire_record *record
        cdef dict failures = None, places = None
        cdef size_t i
        self.check_done()
        for i in range(self.record_count):
            record = &self.records[i]
            if self.reader.kind == GDBX_WIRE_VALUES:
                if record.marks & GDBX_WIRE_FAILED:
                    failure = (record.status, self.value_of(record))
                    return values, flags, cas, dict.fromkeys(range(count), failure)
                while places is None:
                    if at == count:
                        places = wire_places(keys, prefix)
                    elif self.names(record, keys[at], prefix):
                        break
                    else:
                        at += 1
                if places is not None:
                    at = places.get(self.key_of(record), -1)
                if at < 0 or values[at] is not None:
                    raise self.unasked(record)
            else:
                at = record.index
                if at == count:
                    break  # what ends a quiet batch
                if at > count or (
                    record.marks & GDBX_WIRE_KEY and not self.names(record, keys[at], prefix)
                ):
                    raise self.unasked(record)
                if record.marks & GDBX_WIRE_FAILED:
                    if failures is None:
                        failures = {}
                    failures[at] = (record.status, self.value_of(record))
                    continue
                if record.status != 0:
                    continue
            values[at] = self.value_of(record)
            flags.data.as_uints[at] = record.flags
            tokens[at] = record.cas
            at += 1
        return values, flags, cas, failures

    @cython.critical_section
    def outcomes(self, Py_ssize_t count):
        cdef bytes statuses = PyBytes_FromStringAndSize(NULL, count)
        cdef char *status = PyBytes_AS_STRING(statuses)
        cdef c_array.array cas = c_array.clone(TOKENS, count, True)
        cdef uint64_t *tokens = <uint64_t *> cas.data.as_ulonglongs
        cdef gdbx_wire_record *record
        cdef dict failures = None
        cdef size_t i
        self.check_done()
        memset(status, 0, count)  # a quiet batch leaves out what went well
        for i in range(self.record_count):
            record = &self.records[i]
            if record.index >= <size_t> count:
                break
            if record.marks & GDBX_WIRE_FAILED:
                if failures is None:
                    failures = {}
                failures[record.index] = (record.status, self.value_of(record))
                continue
            status[record.index] = <char> record.status
            if record.status == 0:
                tokens[record.index] = record.cas
        return statuses, cas, failures

    @cython.critical_section
    def rows(self):
        cdef gdbx_wire_record *record
        cdef size_t i
        cdef list rows = []
        self.check_done()
        for i in range(self.record_count):
            record = &self.records[i]
            rows.append(Row(
                record.index, record.status, record.marks,
                self.key_of(record), self.value_of(record),
                self.data[record.line:record.line + record.line_size],
                record.flags, record.cas, record.number,
            ))
        return rows

    cdef bytes value_of(self, gdbx_wire_record *record):
        return PyBytes_FromStringAndSize(
            <const char *> self.data + record.value, record.value_size
        )

    cdef bytes key_of(self, gdbx_wire_record *record):
        return PyBytes_FromStringAndSize(<const char *> self.data + record.key, record.key_size)

    cdef object unasked(self, gdbx_wire_record *record):
        return ValueError(f"the reply names a key that was not asked for: {self.key_of(record)!r}")

    cdef bint names(self, gdbx_wire_record *record, object key, bytes prefix) except -1:
        cdef const char *text
        cdef Py_ssize_t size, before = PyBytes_GET_SIZE(prefix)
        cdef const char *named = <const char *> self.data + record.key
        if isinstance(key, str):
            text = PyUnicode_AsUTF8AndSize(key, &size)
        elif isinstance(key, bytes):
            text = PyBytes_AS_STRING(key)
            size = PyBytes_GET_SIZE(key)
        else:
            raise bad_key(key, prefix)
        return (
            record.key_size == <size_t> (before + size)
            and memcmp(named, PyBytes_AS_STRING(prefix), before) == 0
            and memcmp(named + before, text, size) == 0
        )


cdef dict wire_places(list keys, bytes prefix):
    """Where each key is in the list: for a server that answers out of order."""
    cdef dict places = {}
    for place, key in enumerate(keys):
        places[prefix + (key.encode() if isinstance(key, str) else key)] = place
    return places


def arm(int fd, double seconds):
    """Make a blocking receive on `fd` give up after `seconds`, 0 for never, for ``exchange``."""
    cdef int error = gdbx_wire_arm(fd, <int64_t> (seconds * 1e9))
    if error:
        raise OSError(error, os.strerror(error))


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


def _exchange(int fd, list request, Reply reply, seconds, bint armed=False):
    cdef gdbx_wire_io io
    cdef gdbx_wire_part single
    cdef gdbx_wire_part *parts = &single
    cdef Py_buffer *views = NULL
    cdef Py_ssize_t i, held = 0, count = len(request)
    cdef int result
    reply.check_idle()
    memset(&io, 0, sizeof(io))
    io.deadline = INT64_MAX
    if seconds is not None:
        io.deadline = gdbx_wire_now() + <int64_t> (<double> seconds * 1e9)
    io.fd, io.armed, io.reader, io.part_count = fd, armed, &reply.reader, count
    if not reply.capacity:
        reply.grow_data(0)
    views = <Py_buffer *> PyMem_RawMalloc(count * sizeof(Py_buffer))
    if count > 1:
        parts = <gdbx_wire_part *> PyMem_RawMalloc(count * sizeof(gdbx_wire_part))
    reply.busy = True
    try:
        if views == NULL or parts == NULL:
            raise MemoryError
        for i in range(count):
            PyObject_GetBuffer(request[i], &views[i], PyBUF_SIMPLE)
            held += 1
            parts[i].data, parts[i].size = <const uint8_t *> views[i].buf, views[i].len
        io.parts = parts
        result = run(&io, reply)
    finally:
        reply.busy = False
        for i in range(held):
            PyBuffer_Release(&views[i])
        PyMem_RawFree(views)
        if parts is not &single:
            PyMem_RawFree(parts)
    if result == GDBX_WIRE_DONE:
        return
    if result == GDBX_WIRE_BAD:
        raise reply.bad()
    if result == GDBX_WIRE_LATE:
        raise TimeoutError("the deadline passed")
    if result == GDBX_WIRE_CLOSED:
        raise ConnectionResetError(
            f"the server closed the connection after {reply.size} bytes of the reply"
        )
    if result == GDBX_WIRE_UNASKED:
        raise ValueError("bytes were waiting before the request was sent")
    raise OSError(io.error, os.strerror(io.error))


# There is none where the C file has none.
exchange = _exchange if GDBX_HAS_WIRE_IO else None
