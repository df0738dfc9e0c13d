# What compiled modules may know of a line, so that an exchange over it is one call in C.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from .wire_c cimport Reply
from .wire_csrc cimport gdbx_wire_io, gdbx_wire_part, gdbx_wire_poll

cdef enum:
    FEW = 4  # buffers of a request that need no memory of their own

cdef struct sending:
    # The buffers of a request while it is sent.
    Py_buffer *views
    gdbx_wire_part *parts
    Py_ssize_t held
    Py_buffer few_views[FEW]
    gdbx_wire_part few_parts[FEW]


cdef class Line


cdef class Carrier:
    cdef gdbx_wire_poll poll
    cdef sending *sendings
    cdef list replies
    # For one exchange.
    cdef gdbx_wire_io io
    cdef sending single
    cdef int result
    cdef void *room[2]
    cdef bint is_busy, is_shut

    cdef int claim(self) except -1
    cdef bint shut(self) noexcept
    cdef int let_go(self, size_t at) except -1
    cdef size_t load(self, size_t at, int fd, exchange) except? 0
    cdef int set_up(self, size_t at, int fd, gdbx_wire_part *parts, size_t count,
                    Reply reply) except -1
    cdef int end(self, size_t at) except -1
    cdef int end_all(self) except -1
    cdef object failure(self, size_t at)
    cdef int digest(self, size_t at) except -1
    cdef int block(self, bint peeks, bint armed) except -1
    cdef size_t load_part(self, size_t at, int fd, Reply part) except? 0
    cdef bint go_on(self, size_t at, Line line, talk, failure) except -1
    cdef int step(self, size_t at) except -1
    cdef int tell(self, size_t at, tuple lines, tuple talks) except -1
    cdef int go(self, tuple lines, tuple talks) except -1


cdef class Line:
    cdef readonly object channel
    cdef readonly int fd
    cdef public bint clean, begun
    cdef readonly object seconds
    cdef Carrier carrier
    cdef Reply reply

    cpdef tuple get(self, bytes verb, key, bytes prefix, seconds=*)
    cpdef store(self, bytes verb, key, bytes prefix, data, flags, expire, cas, seconds=*)
    cpdef delete(self, key, bytes prefix, seconds=*)
    cpdef touch(self, key, bytes prefix, expire, seconds=*)
    cpdef touch_item(self, key, bytes prefix, expire, seconds=*)
    cpdef count(self, bint down, key, bytes prefix, delta, seconds=*)
    cdef object command(self, bytes verb, key, bytes prefix, number, uint64_t word, seconds)
    cdef object ask(self, gdbx_wire_part *parts, size_t count, list request, uint64_t words,
                    uint32_t options, seconds)
    cdef int number(self) noexcept
    cdef int check_plain(self, bytes prefix) except -1
    cdef int block_one(self, seconds) except -1
    cdef int64_t deadline(self, seconds) except? -1
    cdef object block(self, bint peeks, bint armed, int64_t deadline)
    cdef int carry(self, talk, seconds) except -1
