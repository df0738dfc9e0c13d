/* The scan: the protocol's own, by the kind of reply, and then a look at what follows the reply. */
#include <string.h>

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

/* Return whether a reply of several lists goes on after one that is over. An error in place of one
 * leaves the connection out of step: nothing behind it is looked at. */
static int goes_on(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size) {
    size_t at = reader->position;
    if (!reader->lists) return 0;
    if (at < 5 || memcmp(data + at - 5, "END\r\n", 5) != 0 || (at > 5 && data[at - 6] != '\n')) {
        reader->position = size;
        return 0;
    }
    gdbx_wire_next_list(reader);
    return 1;
}

int gdbx_wire_scan(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                   struct gdbx_wire_record *records, size_t capacity, size_t *used) {
    gdbx_wire_reply *reply = reply_of(reader->kind);
    int result;
    do result = reply(reader, data, size, records, capacity, used);
    while (result == GDBX_WIRE_DONE && goes_on(reader, data, size));
    if (result == GDBX_WIRE_DONE && reader->position < size && !(reader->options & GDBX_WIRE_PIPED))
        return gdbx_wire_fail(reader, GDBX_WIRE_LEFTOVER);
    return result;
}
