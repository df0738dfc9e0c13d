# csrc/wire_batch.h for Cython.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from .placement_c cimport gdbx_text
from .wire_c cimport gdbx_wire_reader, gdbx_wire_record
from .wire_io cimport gdbx_wire_io, gdbx_wire_part


cdef extern from "wire_batch.h":
    enum:
        GDBX_WIRE_NONE
        GDBX_WIRE_UNSORTED
        GDBX_WIRE_VERB
        GDBX_WIRE_AROUND
    struct gdbx_wire_asked:
        void *found
        gdbx_text value
        uint64_t cas
        int64_t expire
        uint32_t flags
        int32_t next
    struct gdbx_wire_server:
        gdbx_wire_reader reader
        gdbx_wire_part request
        int32_t first, next, taken
        uint32_t shard
        size_t number, size
        uint8_t *own
        int32_t *table
    struct gdbx_wire_batch:
        gdbx_text prefix
        const gdbx_text *keys
        gdbx_wire_asked *asked
        size_t count
        gdbx_wire_server *servers
        size_t used
    bint gdbx_wire_batch_sort(gdbx_wire_batch *, const uint16_t *, uint16_t *, size_t) noexcept
    uint8_t *gdbx_wire_batch_get(
        const gdbx_wire_batch *, gdbx_wire_server *, gdbx_text, uint8_t *
    ) noexcept
    uint8_t *gdbx_wire_batch_store(
        const gdbx_wire_batch *, gdbx_wire_server *, gdbx_text, uint8_t *
    ) noexcept
    void gdbx_wire_batch_take_values(gdbx_wire_io *) noexcept nogil
    void gdbx_wire_batch_take_stored(gdbx_wire_io *) noexcept nogil
    int32_t gdbx_wire_batch_named(
        const gdbx_wire_batch *, gdbx_wire_server *, const uint8_t *, const gdbx_wire_record *
    ) noexcept
    size_t gdbx_wire_batch_slots(const gdbx_wire_server *) noexcept
    void gdbx_wire_batch_index(
        const gdbx_wire_batch *, gdbx_wire_server *, int32_t *, const uint64_t *
    ) noexcept
