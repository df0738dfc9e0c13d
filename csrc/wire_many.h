/* Many exchanges at once, each over a plain socket of its own: all are sent, and all replies read
 * as they come, under one deadline and without the interpreter.
 *
 * The caller owns every buffer. A call returns when every exchange is over, each in its own way,
 * or when only the caller can go on: buffers are full, or a signal came; then he calls again with
 * the same structure. POSIX only; elsewhere the file is empty. */
#ifndef GDBX_WIRE_MANY_H
#define GDBX_WIRE_MANY_H

#include "wire_io.h"

#ifndef _WIN32

struct gdbx_wire_many {
    struct gdbx_wire_io *ios; /* `deadline`, `armed` and `begun` are not looked at */
    int *results;             /* GDBX_WIRE_GO_ON at first, and then how each ended */
    size_t count;
    void *room;       /* gdbx_wire_many_room(count) bytes, aligned for a pointer */
    int64_t deadline; /* gdbx_wire_now() at which to give up; INT64_MAX for never */
    int started;
};

size_t gdbx_wire_many_room(size_t count);

/* Returns GDBX_WIRE_DONE when all are over, GDBX_WIRE_SIGNAL, or GDBX_WIRE_MORE when `results` of
 * some are GDBX_WIRE_MORE or GDBX_WIRE_FULL, whose data or records are to be given more room. */
int gdbx_wire_many_exchange(struct gdbx_wire_many *many);

#endif
#endif
