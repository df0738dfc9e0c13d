/* N exchanges over N plain sockets under one deadline: send, wait, receive and scan, without the
 * interpreter. One exchange over one socket is the case that blocks.
 *
 * The caller owns every buffer and sets up one gdbx_wire_io for each exchange, with the result
 * GO_ON. A result of MORE or FULL asks the caller for room in a buffer. The rescan is for
 * every system, all else for POSIX: elsewhere GDBX_HAS_WIRE_POLL is 0, and the calls exist only to
 * be compiled. */
#ifndef GDBX_WIRE_POLL_H
#define GDBX_WIRE_POLL_H

#include "wire.h"

/* Beyond enum gdbx_wire_result; GDBX_WIRE_MORE means here that the data buffer must grow. */
enum gdbx_wire_poll_result {
    GDBX_WIRE_GO_ON = -1,  /* under way */
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
    const struct gdbx_wire_part *parts; /* the request; a size may be 0 */
    size_t part_count, part, offset;    /* how far it is sent */
    uint8_t *data;                      /* the reply so far */
    size_t capacity, size;
    struct gdbx_wire_record *records;
    size_t record_capacity, record_count;
    int fd;
    int begun; /* something may have been sent */
    int error; /* errno of a BROKEN exchange */
    /* Consume common frames before the scan sees them; NULL for none. */
    void (*take)(struct gdbx_wire_io *io);
    void *taker; /* what `take` needs besides */
};

struct gdbx_wire_poll {
    struct gdbx_wire_io *ios;
    int *results; /* one an exchange: GO_ON while it is under way, then how it ended */
    size_t count;
    void *room;       /* gdbx_wire_poll_room(count) bytes, aligned for a pointer */
    int64_t deadline; /* in gdbx_wire_now(); INT64_MAX for none */
    int is_late;      /* the deadline passed, and everything received by then was scanned */
};

#define GDBX_WIRE_ANY SIZE_MAX

/* Scan what the buffer of an exchange holds; returns GO_ON, or enum gdbx_wire_result but MORE. */
int gdbx_wire_rescan(struct gdbx_wire_io *io);

#ifdef _WIN32

#define GDBX_HAS_WIRE_POLL 0
#define gdbx_wire_now() 0
#define gdbx_wire_arm(fd, nanoseconds) 0
#define gdbx_wire_poll_greeting(fd, text, size) 0
#define gdbx_wire_poll_room(count) 0
#define gdbx_wire_poll_unfit(fds, count, room, marks) 0
#define gdbx_wire_poll_start(all, at) ((void) 0)
#define gdbx_wire_poll_ask(all, peeks, armed) 0
#define gdbx_wire_poll_look(all, at) ((void) 0)
#define gdbx_wire_poll_wait(all, at) 0
#define gdbx_wire_poll_step(all, at) ((void) 0)
#define gdbx_wire_poll_rescan(all, at) ((void) 0)

#else

#define GDBX_HAS_WIRE_POLL 1

int64_t gdbx_wire_now(void); /* monotonic nanoseconds */

/* Make a blocking receive on fd give up after `nanoseconds`, 0 for never; return errno or 0. */
int gdbx_wire_arm(int fd, int64_t nanoseconds);

/* Whether what waits to be received on fd begins with a text of at most 64 bytes. */
int gdbx_wire_poll_greeting(int fd, const void *text, size_t size);

size_t gdbx_wire_poll_room(size_t count);

/* Mark the sockets that are closed, broken or readable, though nothing was asked; return their
 * number. One that is still being connected is fit. */
size_t gdbx_wire_poll_unfit(const int *fds, size_t count, void *room, uint8_t *marks);

/* Send what the socket takes now. */
void gdbx_wire_poll_start(struct gdbx_wire_poll *all, size_t at);

/* Start the only exchange. With `peeks`, see first that nothing waits to be received. With `armed`,
 * wait in the receive itself, as long as gdbx_wire_arm() allows: as few system calls as the
 * simplest client makes. Returns GDBX_WIRE_SIGNAL if it was interrupted, else GO_ON. */
int gdbx_wire_poll_ask(struct gdbx_wire_poll *all, int peeks, int armed);

/* Receive what is there now. */
void gdbx_wire_poll_look(struct gdbx_wire_poll *all, size_t at);

/* Wait until some exchange can go on; wait a moment for exchange `at` alone, if it is not
 * GDBX_WIRE_ANY. Returns GO_ON, GDBX_WIRE_SIGNAL, or GDBX_WIRE_DONE if none is under way. */
int gdbx_wire_poll_wait(struct gdbx_wire_poll *all, size_t at);

/* Send and receive what the last wait found possible. */
void gdbx_wire_poll_step(struct gdbx_wire_poll *all, size_t at);

/* Go on with what was received, after a FULL. */
void gdbx_wire_poll_rescan(struct gdbx_wire_poll *all, size_t at);

#endif
#endif
