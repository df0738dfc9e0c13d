/* One exchange over a plain socket: send, wait, receive and scan, without the interpreter.
 *
 * The caller owns every buffer. A call returns when the reply is complete, or when only the caller
 * can go on: a buffer is full, a signal came, the deadline passed. After the first two he calls
 * again with the same structure. POSIX only: elsewhere GDBX_HAS_WIRE_IO is 0, and the calls are
 * there to be compiled, not to be made. */
#ifndef GDBX_WIRE_IO_H
#define GDBX_WIRE_IO_H

#include "wire.h"

/* Beyond enum gdbx_wire_result; GDBX_WIRE_MORE means here that the buffer must grow. */
enum gdbx_wire_io_result {
    GDBX_WIRE_GO_ON = -1,  /* not over; never what an exchange returns */
    GDBX_WIRE_SIGNAL = 16, /* interrupted: run the handlers, then call again */
    GDBX_WIRE_LATE,        /* the deadline passed */
    GDBX_WIRE_CLOSED,      /* the peer closed before the reply was complete */
    GDBX_WIRE_BROKEN,      /* a system call failed; see `error` */
    GDBX_WIRE_UNASKED,     /* bytes were waiting before anything was sent */
};

struct gdbx_wire_part {
    const uint8_t *data;
    size_t size;
};

struct gdbx_wire_io {
    struct gdbx_wire_reader *reader;
    const struct gdbx_wire_part *parts; /* the request; zeroed sizes are allowed */
    size_t part_count, part, offset;    /* how far it is sent */
    uint8_t *data;                      /* the reply so far */
    size_t capacity, size;
    struct gdbx_wire_record *records;
    size_t record_capacity, record_count;
    int64_t deadline; /* gdbx_wire_now() at which to give up; INT64_MAX for never */
    int fd;
    int armed; /* a blocking receive on fd gives up by itself, near enough to the deadline */
    int begun, error;
    /* Takes what is as usual off the front, before the scan sees it; NULL for none such. */
    void (*take)(struct gdbx_wire_io *io);
};

#ifdef _WIN32

#define GDBX_HAS_WIRE_IO 0
#define gdbx_wire_now() 0
#define gdbx_wire_arm(fd, nanoseconds) 0
#define gdbx_wire_exchange(io) 0

#else

#define GDBX_HAS_WIRE_IO 1

int64_t gdbx_wire_now(void); /* monotonic nanoseconds */

/* Make a blocking receive on fd give up after `nanoseconds`, 0 for never; returns errno or 0. */
int gdbx_wire_arm(int fd, int64_t nanoseconds);

int gdbx_wire_exchange(struct gdbx_wire_io *io);

/* The parts of an exchange, for wire_io.c and wire_many.c; each returns GO_ON or how it ended. */
int gdbx_wire_peek(int fd, int *error);
int gdbx_wire_send_some(struct gdbx_wire_io *io);
int gdbx_wire_receive_some(struct gdbx_wire_io *io, int waits);
int gdbx_wire_rescan(struct gdbx_wire_io *io);
int gdbx_wire_step(struct gdbx_wire_io *io, short ready); /* `ready` as poll tells it */
int gdbx_wire_judge(const struct gdbx_wire_io *io, int result);
int gdbx_wire_left(int64_t deadline);

#endif
#endif
