/* The scan: a loop over frames, which wire_ascii.c, wire_meta.c and wire_binary.c read. */
#include "wire_frames.h"
#include "wire_text.h"

static gdbx_wire_frame *frame_of(uint32_t kind) {
    switch (kind) {
    case GDBX_WIRE_VALUES: return gdbx_wire_ascii_value;
    case GDBX_WIRE_STATS: return gdbx_wire_ascii_stat;
    case GDBX_WIRE_PACKETS: return gdbx_wire_binary_packet;
    case GDBX_WIRE_META: return gdbx_wire_meta_reply;
    default: return gdbx_wire_ascii_line;
    }
}

int gdbx_wire_scan(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                   struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    gdbx_wire_frame *frame = frame_of(reader->kind);
    while (!reader->done) {
        int result;
        if (size < reader->needed) return GDBX_WIRE_MORE;
        if (*used == capacity) return GDBX_WIRE_FULL;
        memset(records + *used, 0, sizeof *records);
        result = frame(reader, data, size, records + *used);
        if (result == GDBX_WIRE_ENDED) break;
        if (result != GDBX_WIRE_DONE) return result;
        ++*used;
    }
    if (reader->position < size && !(reader->options & GDBX_WIRE_PIPED))
        return gdbx_wire_fail(reader, GDBX_WIRE_LEFTOVER);
    return GDBX_WIRE_DONE;
}
