# What the kernels that receive replies share of csrc/wire_io.h.

from libc.stdint cimport int64_t, uint8_t

from .wire_c cimport gdbx_wire_reader, gdbx_wire_record


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
    int64_t gdbx_wire_now() noexcept nogil
    int gdbx_wire_arm(int, int64_t) noexcept nogil
    int gdbx_wire_exchange(gdbx_wire_io *) noexcept nogil
