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

/* Keep how a step of one exchange ended. An interrupted one is done again, after the next poll. */
static void keep(struct gdbx_wire_many *many, size_t at, int result) {
    result = gdbx_wire_judge(&many->ios[at], result);
    many->results[at] = result == GDBX_WIRE_SIGNAL ? GO_ON : result;
}

size_t gdbx_wire_many_unfit(const int *fds, size_t count, void *room, uint8_t *marks) {
    struct pollfd *polls = room;
    size_t unfit = 0;
    int ready;
    for (size_t i = 0; i < count; i++) {
        polls[i].fd = fds[i];
        polls[i].events = POLLIN;
        polls[i].revents = 0;
    }
    ready = poll(polls, (nfds_t) count, 0);
    /* One that is being connected has nothing to tell; a poll that fails tells nothing good. */
    for (size_t i = 0; i < count; i++)
        unfit += marks[i] = fds[i] < 0 || ready < 0 || (ready > 0 && polls[i].revents != 0);
    return unfit;
}

void gdbx_wire_many_start(struct gdbx_wire_many *many) {
    size_t at = many->count++;
    keep(many, at, gdbx_wire_send_some(&many->ios[at]));
}

void gdbx_wire_many_look(struct gdbx_wire_many *many, size_t at) {
    struct gdbx_wire_io *io = &many->ios[at];
    /* A reply that is complete while its request is not all sent cannot be looked at any further. */
    if (many->results[at] == GO_ON && io->part == io->part_count)
        keep(many, at, gdbx_wire_receive_some(io, 0));
}

void gdbx_wire_many_rescan(struct gdbx_wire_many *many, size_t at) {
    keep(many, at, gdbx_wire_rescan(&many->ios[at]));
}

/* List what is waited for; returns whether an exchange wants more room. */
static int list(const struct gdbx_wire_many *many, struct pollfd *polls) {
    int wants_room = 0;
    for (size_t i = 0; i < many->count; i++) {
        const struct gdbx_wire_io *io = &many->ios[i];
        int ended = many->results[i];
        wants_room |= ended == GDBX_WIRE_MORE || ended == GDBX_WIRE_FULL;
        polls[i].fd = ended == GO_ON ? io->fd : -1; /* which poll passes over */
        polls[i].events = io->part < io->part_count ? POLLIN | POLLOUT : POLLIN;
        polls[i].revents = 0;
    }
    return wants_room;
}

static int end_all(struct gdbx_wire_many *many, int result, int error) {
    for (size_t i = 0; i < many->count; i++) {
        if (many->results[i] != GO_ON) continue;
        many->results[i] = result;
        many->ios[i].error = error;
    }
    return GDBX_WIRE_DONE;
}

int gdbx_wire_many_finish(struct gdbx_wire_many *many, size_t at) {
    struct pollfd *polls = many->room;
    int left = -1;
    for (;;) {
        if (list(many, polls)) return GDBX_WIRE_MORE;
        if (many->results[at] != GO_ON) return GDBX_WIRE_DONE;
        /* What has come by the deadline is taken: the last look does not wait. */
        if (left == 0) return end_all(many, GDBX_WIRE_LATE, 0);
        left = gdbx_wire_left(many->deadline);
        if (poll(polls, (nfds_t) many->count, left) < 0) {
            if (errno == EINTR) return GDBX_WIRE_SIGNAL;
            return end_all(many, GDBX_WIRE_BROKEN, errno);
        }
        for (size_t i = 0; i < many->count; i++)
            if (polls[i].revents) {
                int result = gdbx_wire_step(&many->ios[i], polls[i].revents);
                many->results[i] = result == GDBX_WIRE_SIGNAL ? GO_ON : result;
            }
    }
}

#endif
