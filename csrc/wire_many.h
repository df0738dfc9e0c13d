/* Many exchanges at once, each over a plain socket of its own, under one deadline.
 *
 * Each is started with a send of what its socket takes; to finish one is to go on with all, so
 * that requests go out and replies come in on every socket whoever is waited for. The caller owns
 * every buffer. POSIX only, as wire_io.h is. */
#ifndef GDBX_WIRE_MANY_H
#define GDBX_WIRE_MANY_H

#include "wire_io.h"

struct gdbx_wire_many {
    struct gdbx_wire_io *ios; /* `deadline`, `armed` and `begun` are not looked at */
    int *results;             /* GDBX_WIRE_GO_ON while it is under way, and then how it ended */
    size_t count;             /* how many were started */
    void *room;               /* gdbx_wire_many_room of all there will be, aligned for a pointer */
    int64_t deadline;         /* gdbx_wire_now() at which to give up; INT64_MAX for never */
    int is_late;              /* the deadline has passed, and what had come by then was looked at */
};

#define GDBX_WIRE_ANY SIZE_MAX

#ifdef _WIN32

#define gdbx_wire_many_room(count) 0
#define gdbx_wire_many_unfit(fds, count, room, marks) 0
#define gdbx_wire_many_start(many) ((void) 0)
#define gdbx_wire_many_look(many, at) ((void) 0)
#define gdbx_wire_many_wait(many, at) 0
#define gdbx_wire_many_step(many, at) ((void) 0)
#define gdbx_wire_many_finish(many, at) 0
#define gdbx_wire_many_rescan(many, at) ((void) 0)

#else

size_t gdbx_wire_many_room(size_t count);

/* See which of many idle sockets are closed, broken, or have bytes that nobody asked for: in one
 * system call. marks[i] is set to whether fds[i] is; returns how many are. */
size_t gdbx_wire_many_unfit(const int *fds, size_t count, void *room, uint8_t *marks);

/* Start the exchange in ios[count]. */
void gdbx_wire_many_start(struct gdbx_wire_many *many);

/* Receive what is there for exchange `at`, without waiting. */
void gdbx_wire_many_look(struct gdbx_wire_many *many, size_t at);

/* Wait until steps can be made: at most a moment for exchange `at` alone, which spares the waking
 * for each of the others, then for any; `at` may be GDBX_WIRE_ANY. Returns GDBX_WIRE_GO_ON when there
 * are steps to make; GDBX_WIRE_SIGNAL; GDBX_WIRE_DONE when all are over, ended here if need be. */
int gdbx_wire_many_wait(struct gdbx_wire_many *many, size_t at);

/* Send and receive for exchange `at` what the last wait said can be, without waiting. */
void gdbx_wire_many_step(struct gdbx_wire_many *many, size_t at);

/* Go on until exchange `at` is over. Returns GDBX_WIRE_DONE then; GDBX_WIRE_SIGNAL; or
 * GDBX_WIRE_MORE when `results` of some are GDBX_WIRE_MORE or GDBX_WIRE_FULL: they are to be given
 * more room for data or records, and GDBX_WIRE_GO_ON, or a rescan, as their result. */
int gdbx_wire_many_finish(struct gdbx_wire_many *many, size_t at);

/* Go on with an exchange that was given more room for its records. */
void gdbx_wire_many_rescan(struct gdbx_wire_many *many, size_t at);

#endif
#endif
