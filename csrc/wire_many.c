#if !defined(_POSIX_C_SOURCE) && !defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "wire_many.h"

#ifdef _WIN32
typedef int gdbx_wire_many_is_posix_only;
#else

#include <errno.h>
#include <poll.h>

enum { GO_ON = GDBX_WIRE_GO_ON };

size_t gdbx_wire_many_room(size_t count) { return count * sizeof(struct pollfd); }

/* Keep how a step of one exchange ended; returns whether a signal came in between. */
static int keep(struct gdbx_wire_many *many, size_t at, int result) {
    int interrupted = result == GDBX_WIRE_SIGNAL;
    many->results[at] = interrupted ? GO_ON : result;
    return interrupted;
}

/* Send to each what it takes, or go on with those that wanted room. What does not fit is sent
 * between receives, so that a server that waits for us to read does not make us wait for it. */
static int start(struct gdbx_wire_many *many) {
    int interrupted = 0;
    for (size_t i = 0; i < many->count; i++) {
        struct gdbx_wire_io *io = &many->ios[i];
        if (!many->started)
            interrupted |= keep(many, i, gdbx_wire_judge(io, gdbx_wire_send_some(io)));
        else if (many->results[i] == GDBX_WIRE_FULL)
            interrupted |= keep(many, i, gdbx_wire_judge(io, gdbx_wire_rescan(io)));
        else if (many->results[i] == GDBX_WIRE_MORE)
            many->results[i] = GO_ON;
    }
    many->started = 1;
    return interrupted;
}

/* List what is waited for; returns GDBX_WIRE_GO_ON, or what to tell the caller. */
static int list(const struct gdbx_wire_many *many, struct pollfd *polls) {
    int result = GDBX_WIRE_DONE;
    for (size_t i = 0; i < many->count; i++) {
        const struct gdbx_wire_io *io = &many->ios[i];
        int ended = many->results[i];
        if (ended == GDBX_WIRE_MORE || ended == GDBX_WIRE_FULL) return GDBX_WIRE_MORE;
        if (ended == GO_ON) result = GO_ON;
        polls[i].fd = ended == GO_ON ? io->fd : -1; /* which poll passes over */
        polls[i].events = io->part < io->part_count ? POLLIN | POLLOUT : POLLIN;
        polls[i].revents = 0;
    }
    return result;
}

static int end_all(struct gdbx_wire_many *many, int result, int error) {
    for (size_t i = 0; i < many->count; i++) {
        if (many->results[i] != GO_ON) continue;
        many->results[i] = result;
        many->ios[i].error = error;
    }
    return GDBX_WIRE_DONE;
}

int gdbx_wire_many_exchange(struct gdbx_wire_many *many) {
    struct pollfd *polls = many->room;
    int interrupted = start(many), left = -1, result;
    while ((result = list(many, polls)) == GO_ON) {
        if (interrupted) return GDBX_WIRE_SIGNAL;
        /* What has come by the deadline is taken: the last look does not wait. */
        if (left == 0) return end_all(many, GDBX_WIRE_LATE, 0);
        left = gdbx_wire_left(many->deadline);
        if (poll(polls, (nfds_t) many->count, left) < 0) {
            if (errno == EINTR) return GDBX_WIRE_SIGNAL;
            return end_all(many, GDBX_WIRE_BROKEN, errno);
        }
        for (size_t i = 0; i < many->count; i++)
            if (polls[i].revents)
                interrupted |= keep(many, i, gdbx_wire_step(&many->ios[i], polls[i].revents));
    }
    return result;
}

#endif
