# The C interface of a placement for other kernels: assign keys by their bytes.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef extern from "text.h":
    struct gdbx_text:
        const uint8_t *data
        size_t size

cdef extern from "placement.h":
    struct gdbx_hash2_set:
        const uint8_t *bitmap
        uint32_t lowest
        uint32_t highest
    enum gdbx_placement_rule:
        GDBX_PLACEMENT_HASH2
        GDBX_PLACEMENT_HASH2_SET
        GDBX_PLACEMENT_CRC32
        GDBX_PLACEMENT_JUMP
        GDBX_PLACEMENT_KETAMA
        GDBX_PLACEMENT_JENKINS
        GDBX_PLACEMENT_JENKINS_MODULO
        GDBX_PLACEMENT_MD5_MODULO
        GDBX_PLACEMENT_CRC15_MODULO
        GDBX_PLACEMENT_RENDEZVOUS
    struct gdbx_placement_point:
        uint32_t value
        uint16_t shard
    struct gdbx_placement_node:
        pass
    struct gdbx_placement:
        gdbx_placement_rule rule
        uint32_t num_shards
        gdbx_hash2_set set
        const gdbx_placement_point *points
        size_t num_points
        const gdbx_placement_node *nodes
        size_t num_nodes


cdef class Placement:
    cdef gdbx_placement placement
    cdef bytes bitmap  # placement.set points into it
    cdef void *memory  # placement.points or placement.nodes

    cdef int place(self, object key) except? -1
    cdef int place_low(self, bytes key) except? -1
    cdef list by_hash2(self, tuple keys)
    cdef bint by_text(self, const gdbx_text *texts, size_t n, uint16_t *shards) noexcept
    cdef bint by_each_text(self, const gdbx_text *texts, size_t n,
                           uint16_t *shards) noexcept
