/* The readers of one frame, a protocol each: wire_ascii.c, wire_meta.c, wire_binary.c.
 *
 * Each looks at the frame that starts at reader->position and steps past it when it is whole. It
 * sets reader->done after the last. The record comes zeroed. */
#ifndef GDBX_WIRE_FRAMES_H
#define GDBX_WIRE_FRAMES_H

#include "wire.h"

/* Beyond DONE for a frame that fills the record, MORE and BAD: a frame that only ends the reply. */
enum { GDBX_WIRE_ENDED = -1 };

typedef int gdbx_wire_frame(struct gdbx_wire_reader *reader, const uint8_t *data, size_t size,
                            struct gdbx_wire_record *record);

gdbx_wire_frame gdbx_wire_ascii_line, gdbx_wire_ascii_value, gdbx_wire_ascii_stat;
gdbx_wire_frame gdbx_wire_meta_reply;
gdbx_wire_frame gdbx_wire_binary_packet;

#endif
