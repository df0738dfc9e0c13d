# What the kernels that receive replies share of csrc/wire_io.h and csrc/wire_many.h.

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport strerror

from .wire_c cimport gdbx_wire_reader, gdbx_wire_record


cdef extern from "wire.h":
    int gdbx_wire_key_ok(const uint8_t *, size_t) noexcept nogil

cdef extern from "wire_impl.h":
    bint gdbx_wire_key_fits(const uint8_t *, size_t) noexcept nogil

cdef extern from "wire_io.h":
    enum:
        GDBX_HAS_WIRE_IO
        GDBX_WIRE_GO_ON
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
        int fd, armed, begun, error
        void (*take)(gdbx_wire_io *) noexcept nogil
    int64_t gdbx_wire_now() noexcept nogil
    int gdbx_wire_arm(int, int64_t) noexcept nogil
    int gdbx_wire_exchange(gdbx_wire_io *) noexcept nogil

cdef extern from "wire_many.h":
    size_t GDBX_WIRE_ANY
    struct gdbx_wire_many:
        gdbx_wire_io *ios
        int *results
        size_t count
        void *room
        int64_t deadline
        int is_late
    size_t gdbx_wire_many_unfit(const int *, size_t, void *, uint8_t *) noexcept nogil
    size_t gdbx_wire_many_room(size_t) noexcept nogil
    void gdbx_wire_many_start(gdbx_wire_many *) noexcept nogil
    void gdbx_wire_many_look(gdbx_wire_many *, size_t) noexcept nogil
    int gdbx_wire_many_wait(gdbx_wire_many *, size_t) noexcept nogil
    void gdbx_wire_many_step(gdbx_wire_many *, size_t) noexcept nogil
    int gdbx_wire_many_finish(gdbx_wire_many *, size_t) noexcept nogil
    void gdbx_wire_many_rescan(gdbx_wire_many *, size_t) noexcept nogil


cdef inline object failure_of(const gdbx_wire_io *io, int result):
    """Return the exception for how an exchange ended, other than well or with a bad reply."""
    if result == GDBX_WIRE_LATE:
        return TimeoutError("the deadline passed")
    if result == GDBX_WIRE_CLOSED:
        return ConnectionResetError(
            f"the server closed the connection after {io.size} bytes of the reply"
        )
    if result == GDBX_WIRE_UNASKED:
        return ValueError("bytes were waiting before the request was sent")
    return OSError(io.error, strerror(io.error).decode())
