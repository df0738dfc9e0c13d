# What other kernels may know of a reply: its fields, and how it is filled in place.

from libc.stdint cimport uint8_t, uint32_t

from .wire_csrc cimport gdbx_wire_io, gdbx_wire_part, gdbx_wire_reader, gdbx_wire_record

cdef enum:
    MOST_TRUSTED = 1 << 22  # how much memory a length that a server claims may cost at once


cdef class Reply


cdef class Lent:
    cdef Reply reply
    cdef Py_ssize_t start, size, exports
    cdef uint8_t *data
    cdef void *left


cdef class Reply:
    cdef gdbx_wire_reader reader
    cdef gdbx_wire_record single[2]
    cdef gdbx_wire_record *records
    cdef size_t record_capacity, record_count
    cdef uint8_t *data
    cdef size_t capacity, size
    cdef bint busy
    cdef bint is_asked  # as a talk: its exchange is under way
    cdef object ending  # and how it failed, if it did
    cdef Lent lent  # the view of its memory that was given away last
    cdef object fault  # why it cannot be trusted, if the reader does not know

    # In place: whoever receives lends an io the reply's room, scans, and settles what was found;
    # `extend` makes more room for records or bytes, `park` keeps what lies in room that is shared.
    cdef int ask(self, gdbx_wire_part *request) except -1  # of a reply that has its own
    cdef bint was_cut(self) noexcept
    cdef int scan_piped(self, gdbx_wire_io *io) noexcept
    cdef size_t take_in(self, const uint8_t *data, size_t count) except? 0
    cdef size_t rescan(self) except? 0
    cdef int lend(self, gdbx_wire_io *io) except -1
    cdef bint settle(self, gdbx_wire_io *io) except -1  # True if the reply cannot be trusted
    cdef int extend(self, gdbx_wire_io *io, bint of_records) except -1
    cdef int park(self, gdbx_wire_io *io) except -1
    cdef int restart(self, uint32_t kind, uint32_t count) except -1
    cdef int grow_records(self, size_t capacity) except -1
    cdef int grow_data(self, size_t least) except -1
    cdef int move(self, size_t capacity) except -1
    cdef Lent lend_rest(self, size_t size)
    cdef object bad(self)
    cdef int check_idle(self) except -1
    cdef int check_done(self) except -1
    cdef tuple single_hit(self, object key, bytes prefix)
    cdef bytes value_of(self, gdbx_wire_record *record)
    cdef bytes key_of(self, gdbx_wire_record *record)
    cdef object unasked(self, gdbx_wire_record *record)
    cdef bint names(self, gdbx_wire_record *record, object key, bytes prefix) except -1


cdef class Fed(Reply):
    cdef object taker


cdef Fed fed(taker)
cdef bytes wire_name(key, bytes prefix)
