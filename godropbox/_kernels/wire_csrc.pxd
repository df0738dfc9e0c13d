# csrc/wire*.h for Cython.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from .placement_c cimport gdbx_text

cdef extern from "wire_impl.h":
    bint gdbx_wire_key_fits(const uint8_t *, size_t) noexcept nogil

cdef extern from "wire.h":
    enum:
        GDBX_WIRE_LINES
        GDBX_WIRE_VALUES
        GDBX_WIRE_STATS
        GDBX_WIRE_META
        GDBX_WIRE_STORED
        GDBX_WIRE_NOT_STORED
        GDBX_WIRE_EXISTS
        GDBX_WIRE_NOT_FOUND
        GDBX_WIRE_DELETED
        GDBX_WIRE_TOUCHED
        GDBX_WIRE_NUMBER
        GDBX_WIRE_STRICT
        GDBX_WIRE_QUIET
        GDBX_WIRE_BARE
        GDBX_WIRE_PIPED
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
        uint32_t kind, options, count, first, lists
        size_t position, needed
        int done, reason
        uint32_t refusal
    int gdbx_wire_key_ok(const uint8_t *, size_t) noexcept nogil
    int gdbx_wire_scan(gdbx_wire_reader *, const uint8_t *, size_t, gdbx_wire_record *, size_t, size_t *) noexcept nogil

cdef extern from "wire_poll.h":
    size_t GDBX_WIRE_ANY
    enum:
        GDBX_HAS_WIRE_POLL
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
        size_t part_count, part
        uint8_t *data
        size_t capacity, size
        gdbx_wire_record *records
        size_t record_capacity, record_count
        int fd, begun, error
        void (*take)(gdbx_wire_io *) noexcept nogil
        void *taker
    struct gdbx_wire_poll:
        gdbx_wire_io *ios
        int *results
        size_t count
        void *room
        int64_t deadline
        int is_late
    int64_t gdbx_wire_now() noexcept nogil
    int gdbx_wire_arm(int, int64_t) noexcept nogil
    bint gdbx_wire_poll_greeting(int, const void *, size_t) noexcept nogil
    size_t gdbx_wire_poll_room(size_t) noexcept nogil
    size_t gdbx_wire_poll_unfit(const int *, size_t, void *, uint8_t *) noexcept nogil
    void gdbx_wire_poll_start(gdbx_wire_poll *, size_t) noexcept nogil
    int gdbx_wire_poll_ask(gdbx_wire_poll *, int, int) noexcept nogil
    void gdbx_wire_poll_look(gdbx_wire_poll *, size_t) noexcept nogil
    int gdbx_wire_poll_wait(gdbx_wire_poll *, size_t) noexcept nogil
    void gdbx_wire_poll_step(gdbx_wire_poll *, size_t) noexcept nogil
    void gdbx_wire_poll_rescan(gdbx_wire_poll *, size_t) noexcept nogil
    int gdbx_wire_rescan(gdbx_wire_io *) noexcept nogil

cdef extern from "wire_batch.h":
    enum:
        GDBX_WIRE_NONE
        GDBX_WIRE_UNSORTED
        GDBX_WIRE_VERB
        GDBX_WIRE_LINE
        GDBX_WIRE_SHORT_LINE
        GDBX_WIRE_LINE_KEYS
    struct gdbx_wire_asked:
        void *found
        gdbx_text value
        uint64_t cas
        int64_t expire
        uint32_t flags
    struct gdbx_wire_server:
        int32_t first, next, taken
        uint32_t shard
        size_t number, lines
        int is_mixed
        int32_t *table
    struct gdbx_wire_batch:
        gdbx_text prefix
        const gdbx_text *keys
        gdbx_wire_asked *asked
        int32_t *after
        size_t count
        gdbx_wire_server *servers
        size_t used, most_line
    bint gdbx_wire_batch_sort(gdbx_wire_batch *, const uint16_t *, uint16_t *, size_t) noexcept
    void gdbx_wire_batch_count_lines(gdbx_wire_server *, gdbx_text) noexcept
    size_t gdbx_wire_batch_get_size(const gdbx_wire_server *) noexcept
    size_t gdbx_wire_batch_store_size(const gdbx_wire_server *) noexcept
    uint8_t *gdbx_wire_batch_get(const gdbx_wire_server *, gdbx_text, uint8_t *) noexcept
    uint8_t *gdbx_wire_batch_store(const gdbx_wire_server *, gdbx_text, uint8_t *) noexcept
    void gdbx_wire_batch_take_values(gdbx_wire_io *) noexcept nogil
    void gdbx_wire_batch_take_stored(gdbx_wire_io *) noexcept nogil
    int32_t gdbx_wire_batch_named(
        const gdbx_wire_batch *, gdbx_wire_server *, const uint8_t *, const gdbx_wire_record *
    ) noexcept
    size_t gdbx_wire_batch_slots(const gdbx_wire_server *) noexcept
    void gdbx_wire_batch_index(
        const gdbx_wire_batch *, gdbx_wire_server *, int32_t *, const uint64_t *
    ) noexcept
