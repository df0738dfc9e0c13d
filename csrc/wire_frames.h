/* The replies of each protocol: wire_ascii.c, wire_meta.c, wire_binary.c.
 *
 * Each scans a reply of one kind as gdbx_wire_scan() does, but leaves alone what follows it. */
#ifndef GDBX_WIRE_FRAMES_H
#define GDBX_WIRE_FRAMES_H

#include <string.h>

#include "wire.h"

typedef int gdbx_wire_reply(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                            struct gdbx_wire_record *records, size_t capacity, size_t *used);

gdbx_wire_reply gdbx_wire_ascii_lines, gdbx_wire_ascii_values, gdbx_wire_ascii_stats;
gdbx_wire_reply gdbx_wire_meta_replies;
gdbx_wire_reply gdbx_wire_binary_packets;

/* Reads the frame at reader->position into a zeroed record. If the frame is whole, it steps past
 * it, sets reader->done if it is the last, and returns DONE, or ENDED if it fills no record. */
typedef int gdbx_wire_frame(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                            struct gdbx_wire_record *record);

enum { GDBX_WIRE_ENDED = -1 };

/* Go on with the next of the lists that answer the lines of one get. */
static inline void gdbx_wire_next_list(struct gdbx_wire_reader *reader) {
    reader->lists--;
    reader->count -= reader->next;
    reader->next = 0;
    reader->done = 0;
}

/* The loop of every gdbx_wire_reply, to be compiled with its frame: a call for each takes longer
 * than the shortest of them. */
static inline int gdbx_wire_each(gdbx_wire_frame *frame, struct gdbx_wire_reader *reader,
                                 const uint8_t *data, size_t size, struct gdbx_wire_record *records,
                                 size_t capacity, size_t *used) {
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
    return GDBX_WIRE_DONE;
}

#endif
