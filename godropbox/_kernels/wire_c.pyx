"""Replies of memcached, compiled: ``csrc/wire`` for Python. The twin of ``wire_py``."""

cimport cython
from cpython cimport array as c_array
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport SIZE_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from array import array

from . import _wire as codes
from ._args import bad_buffer
from ._identity import refuse_copies
from ._wire import Row, bad_key, bad_leftover, bad_reply, failures_of
from .wire_csrc cimport (
    GDBX_WIRE_BAD, GDBX_WIRE_FAILED, GDBX_WIRE_FULL, GDBX_WIRE_KEY, GDBX_WIRE_LINES,
    GDBX_WIRE_META, GDBX_WIRE_PIPED, GDBX_WIRE_QUIET, GDBX_WIRE_STATS, GDBX_WIRE_VALUES,
    gdbx_wire_io, gdbx_wire_part, gdbx_wire_record, gdbx_wire_rescan,
)

__all__ = ["Reply", "codes"]

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL

cdef enum:
    MOST_KEPT = 1 << 16  # how much room is kept for the next reply

cdef c_array.array FLAGS = array("I")
cdef c_array.array TOKENS = array("Q")


cdef object item_of(list values):
    """Return the function of an index, out of a section, in which no attribute is looked up."""
    return values.__getitem__


cdef class Reply:
    """The reply to one request, as it comes in.

    `kind` is what to expect, `count` how many answers, `words` which words or opcodes, `first` the
    opaque of the first request, `options` a sum of STRICT, QUIET, SERIES and BARE, `lines` how many
    lines a get of VALUES has, each of which is answered by a list.
    """

    __reduce_ex__ = refuse_copies

    def __cinit__(self, uint32_t kind, uint32_t count, uint64_t words=0, uint32_t first=0,
                  uint32_t options=0, uint32_t lines=1):
        # The reader is zeroed by the allocation, as every C field of an object is.
        self.reader.kind = kind
        self.reader.count = count
        self.reader.words = words
        self.reader.first = first
        self.reader.options = options
        self.reader.lists = lines - 1
        self.reader.done = count == 0
        self.records = self.single
        self.record_capacity = 2
        if count >= 2 and kind != GDBX_WIRE_STATS:
            self.grow_records(<size_t> count + 1)

    def __dealloc__(self):
        PyMem_RawFree(self.data)
        if self.records is not self.single:
            PyMem_RawFree(self.records)

    cdef int restart(self, uint32_t kind, uint32_t count) except -1:
        """Begin again as the reply to another request, in the room that there is."""
        if self.capacity > MOST_KEPT:
            PyMem_RawFree(self.data)
            self.data = NULL
            self.capacity = 0
        memset(&self.reader, 0, sizeof(self.reader))
        self.reader.kind = kind
        self.reader.count = count
        self.reader.done = count == 0
        self.size = self.record_count = 0
        return 0

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
        return self.move(capacity)

    cdef int move(self, size_t capacity) except -1:
        """Have so much memory for the data."""
        cdef bint is_seen = self.lent is not None and self.lent.exports
        cdef void *memory = PyMem_RawRealloc(NULL if is_seen else self.data, capacity)
        if memory == NULL:
            raise MemoryError
        if is_seen:  # somebody has kept a view: it keeps the memory
            memcpy(memory, self.data, self.size)
            self.lent.left = self.data
        self.lent = None
        self.data = <uint8_t *> memory
        self.capacity = capacity
        return 0

    cdef Lent lend_rest(self, size_t size):
        """Return a buffer of the next bytes to receive, which outlives the reply if it must."""
        cdef Lent lent = Lent.__new__(Lent)
        if self.lent is not None and self.lent.exports:
            self.move(self.capacity)
        lent.reply, lent.data, lent.size = self, self.data + self.size, size
        self.lent = lent
        return lent

    cdef int ask(self, gdbx_wire_part *request) except -1:
        raise TypeError("talks must give exchanges, got a Reply")

    cdef int lend(self, gdbx_wire_io *io) except -1:
        if not self.capacity:
            self.grow_data(0)
        io.reader = &self.reader
        io.data, io.capacity, io.size = self.data, self.capacity, self.size
        io.records, io.record_capacity = self.records, self.record_capacity
        io.record_count = self.record_count
        return 0

    cdef bint settle(self, gdbx_wire_io *io) except -1:
        self.size, self.record_count = io.size, io.record_count
        return False

    cdef int extend(self, gdbx_wire_io *io, bint of_records) except -1:
        if of_records:
            self.grow_records(2 * self.record_capacity)
        else:
            self.grow_data(0)
        return self.lend(io)

    cdef int park(self, gdbx_wire_io *io) except -1:
        return 0

    cdef object bad(self):
        if self.fault is not None:
            return self.fault
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
    def kind(self):
        """What was to be expected."""
        return self.reader.kind

    @property
    def done(self):
        return self.reader.done != 0

    @property
    def size(self):
        return self.size

    @property
    def is_cut(self):
        return self.was_cut()

    cdef bint was_cut(self) noexcept:
        cdef uint32_t refusal = self.reader.refusal
        return refusal != 0 and (self.reader.count > 1 or refusal == 0x04)

    cdef int scan_piped(self, gdbx_wire_io *io) noexcept:
        """Scan, and leave bytes behind the reply alone."""
        cdef uint32_t options = self.reader.options
        cdef int result
        self.reader.options |= GDBX_WIRE_PIPED
        result = gdbx_wire_rescan(io)
        self.reader.options = options
        return result

    cdef size_t take_in(self, const uint8_t *data, size_t count) except? 0:
        """Take bytes of the reply, copying them; return how many."""
        if self.reader.done:
            return 0
        if self.capacity - self.size < count:
            self.grow_data(self.size + count)
        if count:
            memcpy(self.data + self.size, data, count)
        self.size += count
        return count - self.rescan()

    cdef size_t rescan(self) except? 0:
        """Look at the bytes that came; return how many are left behind the reply's end."""
        cdef gdbx_wire_io io
        cdef int result
        cdef size_t rest
        memset(&io, 0, sizeof(io))
        self.lend(&io)
        result = self.scan_piped(&io)
        while self.settle(&io) or result == GDBX_WIRE_BAD or result == GDBX_WIRE_FULL:
            if result != GDBX_WIRE_FULL:
                raise self.bad()
            self.extend(&io, True)
            result = self.scan_piped(&io)
        if not self.reader.done:
            return 0
        rest = self.size - self.reader.position
        self.size = self.reader.position
        return rest

    @cython.critical_section
    def feed(self, data):
        """Take bytes of the reply; return how many: all, unless the reply ends inside them.

        Bytes behind the end are not looked at. Raises ``ValueError`` for bytes that are no reply to
        the request, and ``ConnectionRefusedError`` for a server that has no room.
        """
        cdef Py_buffer view
        self.check_idle()
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except (TypeError, BufferError):
            raise bad_buffer("data", data) from None
        try:
            self.check_idle()  # what gives the buffer may have lent the reply
            return self.take_in(<const uint8_t *> view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def hit(self, key, bytes prefix not None):
        return self.single_hit(key, prefix)

    @cython.critical_section
    cdef tuple single_hit(self, object key, bytes prefix):
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
        cdef dict failures = None, places = None, same = None
        cdef list errors = None
        cdef size_t i, hits = 0
        cdef bint has_values = self.reader.kind == GDBX_WIRE_VALUES
        cdef bint is_nameless = has_values or (
            self.reader.kind == GDBX_WIRE_META and self.reader.options & GDBX_WIRE_QUIET
        )
        self.check_done()
        if self.reader.refusal:
            failure = (self.records.status, self.value_of(self.records))
            return values, flags, cas, {i: failure for i in range(count)}
        for i in range(self.record_count):
            record = &self.records[i]
            if record.marks & GDBX_WIRE_FAILED and is_nameless:
                if errors is None:
                    errors = []
                errors.append((at, record.status, self.value_of(record)))
                continue
            if has_values:
                while places is None:
                    if at == count:
                        places, same = wire_places(keys, prefix, values)
                    elif self.names(record, keys[at], prefix):
                        break
                    else:
                        at += 1
                if places is not None:
                    key = self.key_of(record)
                    at = places.pop(key, -1)
                    if at < 0:
                        raise self.unasked(record)
                    if at in same:
                        places[key] = same[at]
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
            hits += 1
        if errors is not None:
            failures = failures_of(
                errors, range(count), item_of([value is not None for value in values]),
                places is None,
            )
        if hits and hits < <size_t> count:
            for at, other in repeats(keys, prefix, values):
                if failures is None or at not in failures:
                    values[at] = values[other]
                    flags.data.as_uints[at] = flags.data.as_uints[other]
                    tokens[at] = tokens[other]
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


@cython.final
cdef class Lent:
    """A buffer in the memory of a reply, to receive in."""

    __reduce_ex__ = refuse_copies

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1

    def __dealloc__(self):
        PyMem_RawFree(self.left)


@cython.final
cdef class Fed(Reply):
    """What receives a reply for an object that takes bytes, and that knows by itself when it ends."""

    cdef size_t take_in(self, const uint8_t *data, size_t count) except? 0:
        cdef size_t taken = self.taker.feed(data[:count])
        self.reader.done = self.taker.done
        return taken

    cdef bint settle(self, gdbx_wire_io *io) except -1:
        cdef bytes data = io.data[:io.size]
        io.size = 0
        if data:
            try:
                taken = self.taker.feed(data)
                # An exchange that is its own reply looks itself at what may follow.
                if taken < len(data) and getattr(self.taker, "reply", None) is not self.taker:
                    raise bad_leftover(data[taken:], self.taker.size)
            except (OSError, ValueError) as error:
                self.fault = error
                return True
            self.reader.done = self.taker.done
        return False


cdef Fed fed(taker):
    cdef Fed reply = Fed.__new__(Fed, GDBX_WIRE_LINES, 1)
    reply.taker = taker
    reply.reader.needed = SIZE_MAX  # the scan leaves all to the taker
    reply.reader.done = taker.done
    return reply


cdef bytes wire_name(key, bytes prefix):
    # By the type's own method and a join: neither runs what a subclass has in their place.
    return b"".join((prefix, str.encode(key) if isinstance(key, str) else key))


cdef tuple wire_places(list keys, bytes prefix, list values):
    """Where each key without a value is, and from there another of the same name.

    For a server that answers out of order.
    """
    cdef dict places = {}, same = {}
    cdef Py_ssize_t at
    for at in range(len(keys) - 1, -1, -1):
        if values[at] is None:
            name = wire_name(keys[at], prefix)
            if name in places:
                same[at] = places[name]
            places[name] = at
    return places, same


cdef list repeats(list keys, bytes prefix, list values):
    """Return pairs of places of one key: where it has no value, and where it has one."""
    cdef dict found = {}
    cdef Py_ssize_t at
    cdef bint is_plain = True
    for key in keys:
        if type(key) is not str and type(key) is not bytes:
            is_plain = False  # whose idea of equality is its own
            break
    if is_plain and len(set(keys)) == len(keys):
        return []
    names = [wire_name(key, prefix) for key in keys]
    for at in range(len(names)):
        if values[at] is not None:
            found[names[at]] = at
    return [
        (at, found[name])
        for at, name in enumerate(names) if values[at] is None and name in found
    ]
