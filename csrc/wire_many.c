#if !defined(_POSIX_C_SOURCE) && !defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "wire_many.h"

#ifdef _WIN32
typedef int gdbx_wire_many_is_posix_only;
#else

#include <errno.h>
#include <poll.h>

enum { GO_ON = GDBX_WIRE_GO_ON, MOMENT = 1 /* millisecond */ };

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

/* List what is waited for; returns how many exchanges are under way. */
static size_t list(const struct gdbx_wire_many *many, struct pollfd *polls, int *has_all_sent) {
    size_t under_way = 0;
    *has_all_sent = 1;
    for (size_t i = 0; i < many->count; i++) {
        const struct gdbx_wire_io *io = &many->ios[i];
        int goes_on = many->results[i] == GO_ON, is_sent = io->part == io->part_count;
        polls[i].fd = goes_on ? io->fd : -1; /* which poll passes over */
        polls[i].events = is_sent ? POLLIN : POLLIN | POLLOUT;
        polls[i].revents = 0;
        under_way += (size_t) goes_on;
        if (goes_on && !is_sent) *has_all_sent = 0;
    }
    return under_way;
}

static int end_all(struct gdbx_wire_many *many, int result, int error) {
    for (size_t i = 0; i < many->count; i++) {
        if (many->results[i] != GO_ON) continue;
        many->results[i] = result;
        many->ios[i].error = error;
    }
    return GDBX_WIRE_DONE;
}

int gdbx_wire_many_wait(struct gdbx_wire_many *many, size_t at) {
    struct pollfd *polls = many->room;
    int left, has_all_sent, ready = 0;
    if (!list(many, polls, &has_all_sent)) return GDBX_WIRE_DONE;
    /* What has come by the deadline is taken: the last look does not wait. */
    if (many->is_late) return end_all(many, GDBX_WIRE_LATE, 0);
    left = gdbx_wire_left(many->deadline);
    if (left && has_all_sent && at != GDBX_WIRE_ANY && many->results[at] == GO_ON) {
        ready = poll(&polls[at], 1, MOMENT);
        /* Of the others it is not known: a receive will tell, which is no dearer than a poll. */
        for (size_t i = 0; ready > 0 && i < many->count; i++)
            if (i != at) polls[i].revents = POLLIN;
    }
    if (ready == 0) ready = poll(polls, (nfds_t) many->count, left);
    if (ready < 0) {
        if (errno == EINTR) return GDBX_WIRE_SIGNAL;
        return end_all(many, GDBX_WIRE_BROKEN, errno);
    }
    many->is_late = left == 0;
    return GO_ON;
}

void gdbx_wire_many_step(struct gdbx_wire_many *many, size_t at) {
    const struct pollfd *polls = many->room;
    if (many->results[at] == GO_ON && polls[at].revents)
        keep(many, at, gdbx_wire_step(&many->ios[at], polls[at].revents));
}

static int wants_room(const struct gdbx_wire_many *many) {
    for (size_t i = 0; i < many->count; i++)
        if (many->results[i] == GDBX_WIRE_MORE || many->results[i] == GDBX_WIRE_FULL) return 1;
    return 0;
}

int gdbx_wire_many_finish(struct gdbx_wire_many *many, size_t at) {
    for (;;) {
        int result;
        if (wants_room(many)) return GDBX_WIRE_MORE;
        if (many->results[at] != GO_ON) return GDBX_WIRE_DONE;
        result = gdbx_wire_many_wait(many, at);
        if (result == GDBX_WIRE_SIGNAL) return result;
        for (size_t i = 0; i < many->count; i++) gdbx_wire_many_step(many, i);
    }
}

#endif
