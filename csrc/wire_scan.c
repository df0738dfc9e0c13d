/* The scan: the protocol's own, by the kind of reply, and then a look at what follows the reply. */
#include "wire_frames.h"
#include "wire_text.h"

static gdbx_wire_reply *reply_of(uint32_t kind) {
    switch (kind) {
    case GDBX_WIRE_VALUES: return gdbx_wire_ascii_values;
    case GDBX_WIRE_STATS: return gdbx_wire_ascii_stats;
    case GDBX_WIRE_PACKETS: return gdbx_wire_binary_packets;
    case GDBX_WIRE_META: return gdbx_wire_meta_replies;
    default: return gdbx_wire_ascii_lines;
    }
}

int gdbx_wire_scan(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                   struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    int result = reply_of(reader->kind)(reader, data, size, records, capacity, used);
    if (result == GDBX_WIRE_DONE && reader->position < size && !(reader->options & GDBX_WIRE_PIPED))
        return gdbx_wire_fail(reader, GDBX_WIRE_LEFTOVER);
    return result;
}
