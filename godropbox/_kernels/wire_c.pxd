# What other kernels may know of a reply: the C that reads it, and its fields.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "wire.h":
    enum:
        GDBX_WIRE_LINES
        GDBX_WIRE_VALUES
        GDBX_WIRE_STATS
        GDBX_WIRE_STORED
        GDBX_WIRE_STRICT
        GDBX_WIRE_BARE
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

cdef enum:
    MOST_TRUSTED = 1 << 22  # how much memory a length that a server claims may cost at once


cdef class Reply:
    cdef gdbx_wire_reader reader
    cdef gdbx_wire_record single[2]
    cdef gdbx_wire_record *records
    cdef size_t record_capacity, record_count
    cdef uint8_t *data
    cdef size_t capacity, size
    cdef bint busy

    cdef int restart(self, uint32_t kind, uint32_t count) except -1
    cdef int grow_records(self, size_t capacity) except -1
    cdef int grow_data(self, size_t least) except -1
    cdef object bad(self)
    cdef int check_idle(self) except -1
    cdef int check_done(self) except -1
    cdef tuple single_hit(self, object key, bytes prefix)
    cdef bytes value_of(self, gdbx_wire_record *record)
    cdef bytes key_of(self, gdbx_wire_record *record)
    cdef object unasked(self, gdbx_wire_record *record)
    cdef bint names(self, gdbx_wire_record *record, object key, bytes prefix) except -1
