#if !defined(_POSIX_C_SOURCE) && !defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "wire_poll.h"

int gdbx_wire_rescan(struct gdbx_wire_io *io) {
    int result;
    if (io->take) io->take(io);
    result = gdbx_wire_scan(io->reader, io->data, io->size, io->records, io->record_capacity,
                            &io->record_count);
    return result == GDBX_WIRE_MORE ? GDBX_WIRE_GO_ON : result;
}

#ifndef _WIN32

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: CPython ignores SIGPIPE from the start */
#endif

enum { PARTS = 64, GO_ON = GDBX_WIRE_GO_ON, MOMENT = 1 /* millisecond */ };

int64_t gdbx_wire_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

int gdbx_wire_arm(int fd, int64_t nanoseconds) {
    struct timeval limit;
    /* Rounded up: a limit of zero would mean none. */
    int64_t micros = nanoseconds / 1000 + (nanoseconds % 1000 != 0);
    limit.tv_sec = (time_t) (micros / 1000000);
    limit.tv_usec = (suseconds_t) (micros % 1000000);
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ? errno : 0;
}

static int would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

static int broken(struct gdbx_wire_io *io, int error) {
    if (error == EINTR) return GDBX_WIRE_SIGNAL;
    io->error = error;
    return GDBX_WIRE_BROKEN;
}

/* See that a connection is quiet: unasked bytes would be taken for the reply. One that is being
 * connected is: EAGAIN on Linux, ENOTCONN elsewhere. */
static int peek(struct gdbx_wire_io *io) {
    uint8_t byte;
    ssize_t got;
    /* An interrupted peek must not be skipped, as a caller who goes on with a wait would. */
    do got = recv(io->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) return GDBX_WIRE_UNASKED;
    if (got == 0) return GDBX_WIRE_CLOSED;
    return would_block(errno) || errno == ENOTCONN ? GO_ON : broken(io, errno);
}

int gdbx_wire_poll_greeting(int fd, const void *text, size_t size) {
    uint8_t bytes[64];
    ssize_t got;
    if (size > sizeof bytes) return 0;
    do got = recv(fd, bytes, size, MSG_PEEK | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t) size && memcmp(bytes, text, size) == 0;
}

static int send_some(struct gdbx_wire_io *io) {
    struct iovec parts[PARTS];
    struct msghdr message;
    size_t count = 0;
    ssize_t sent;
    if (io->part == io->part_count) return GO_ON; /* macOS refuses a message of no parts */
    for (size_t i = io->part; i < io->part_count && count < PARTS; i++, count++) {
        size_t skip = i == io->part ? io->offset : 0;
        /* sendmsg reads through iov_base and never writes */
        parts[count].iov_base = (void *) (uintptr_t) (io->parts[i].data + skip);
        parts[count].iov_len = io->parts[i].size - skip;
    }
    io->begun = 1;
    if (count == 1) {
        sent = send(io->fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        memset(&message, 0, sizeof message);
        message.msg_iov = parts;
        message.msg_iovlen = count;
        sent = sendmsg(io->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent < 0) {
        /* One that is being connected cannot send yet: EAGAIN on Linux, ENOTCONN elsewhere. */
        int soon = would_block(errno) || (errno == ENOTCONN && io->part == 0 && io->offset == 0);
        return soon ? GO_ON : broken(io, errno);
    }
    for (size_t left = (size_t) sent; io->part < io->part_count; io->part++, io->offset = 0) {
        size_t rest = io->parts[io->part].size - io->offset;
        if (left < rest) {
            io->offset += left;
            break;
        }
        left -= rest;
    }
    return GO_ON;
}

/* Scan, and ask for room if the buffer is full of an unfinished reply: the socket may hold more of
 * it, all of which is to be taken before an exchange is late. */
static int scan_full(struct gdbx_wire_io *io) {
    int result = gdbx_wire_rescan(io);
    return result == GO_ON && io->size == io->capacity ? GDBX_WIRE_MORE : result;
}

static int receive_some(struct gdbx_wire_io *io, int waits) {
    ssize_t got;
    if (io->size == io->capacity) return GDBX_WIRE_MORE;
    got = recv(io->fd, io->data + io->size, io->capacity - io->size, waits ? 0 : MSG_DONTWAIT);
    if (got == 0) return GDBX_WIRE_CLOSED;
    if (got < 0) return would_block(errno) ? GO_ON : broken(io, errno);
    io->size += (size_t) got;
    return scan_full(io);
}

/* Keep how a step ended. A refusal may come while the value that it refuses is still being sent;
 * the rest must go out all the same, for the server waits to swallow it. An interrupted step is
 * done again after the next wait. */
static void keep(struct gdbx_wire_poll *all, size_t at, int result) {
    const struct gdbx_wire_io *io = &all->ios[at];
    if (result == GO_ON || result == GDBX_WIRE_DONE)
        result = io->reader->done && io->part == io->part_count ? GDBX_WIRE_DONE : GO_ON;
    all->results[at] = result == GDBX_WIRE_SIGNAL ? GO_ON : result;
}

size_t gdbx_wire_poll_room(size_t count) { return count * sizeof(struct pollfd); }

size_t gdbx_wire_poll_unfit(const int *fds, size_t count, void *room, uint8_t *marks) {
    struct pollfd *polls = room;
    size_t unfit = 0;
    int ready;
    for (size_t i = 0; i < count; i++) {
        polls[i].fd = fds[i];
        polls[i].events = POLLIN;
        polls[i].revents = 0;
    }
    /* Linux interrupts a poll that does not wait. */
    do ready = poll(polls, (nfds_t) count, 0);
    while (ready < 0 && errno == EINTR);
    /* A poll that fails tells nothing good. */
    for (size_t i = 0; i < count; i++)
        unfit += marks[i] = fds[i] < 0 || ready < 0 || (ready > 0 && polls[i].revents != 0);
    return unfit;
}

void gdbx_wire_poll_start(struct gdbx_wire_poll *all, size_t at) {
    keep(all, at, send_some(&all->ios[at]));
}

int gdbx_wire_poll_ask(struct gdbx_wire_poll *all, int peeks, int armed) {
    struct gdbx_wire_io *io = all->ios;
    int result = peeks ? peek(io) : GO_ON;
    if (result == GO_ON) result = send_some(io);
    if (result == GO_ON && armed && io->part == io->part_count && !io->reader->done)
        result = receive_some(io, 1);
    keep(all, 0, result);
    return result == GDBX_WIRE_SIGNAL ? result : GO_ON;
}

void gdbx_wire_poll_look(struct gdbx_wire_poll *all, size_t at) {
    struct gdbx_wire_io *io = &all->ios[at];
    /* A complete reply cannot be looked at any further while its request is being sent. */
    if (all->results[at] == GO_ON && io->part == io->part_count) keep(all, at, receive_some(io, 0));
}

void gdbx_wire_poll_rescan(struct gdbx_wire_poll *all, size_t at) {
    keep(all, at, scan_full(&all->ios[at]));
}

/* List what is waited for; returns how many exchanges are under way. */
static size_t list(const struct gdbx_wire_poll *all, struct pollfd *polls, int *has_all_sent) {
    size_t under_way = 0;
    *has_all_sent = 1;
    for (size_t i = 0; i < all->count; i++) {
        const struct gdbx_wire_io *io = &all->ios[i];
        int goes_on = all->results[i] == GO_ON, is_sent = io->part == io->part_count;
        polls[i].fd = goes_on ? io->fd : -1; /* which poll skips */
        polls[i].events = is_sent ? POLLIN : POLLIN | POLLOUT;
        polls[i].revents = 0;
        under_way += (size_t) goes_on;
        if (goes_on && !is_sent) *has_all_sent = 0;
    }
    return under_way;
}

static int end_all(struct gdbx_wire_poll *all, int result, int error) {
    for (size_t i = 0; i < all->count; i++) {
        if (all->results[i] != GO_ON) continue;
        all->results[i] = result;
        all->ios[i].error = error;
    }
    return GO_ON;
}

/* The milliseconds to wait, -1 for ever; 0 when the deadline has passed. */
static int left_until(int64_t deadline) {
    int64_t left;
    if (deadline == INT64_MAX) return -1;
    left = deadline - gdbx_wire_now();
    if (left <= 0) return 0;
    left = (left + 999999) / 1000000;
    return left > INT_MAX ? INT_MAX : (int) left;
}

int gdbx_wire_poll_wait(struct gdbx_wire_poll *all, size_t at) {
    struct pollfd *polls = all->room;
    int left, has_all_sent, ready = 0;
    if (!list(all, polls, &has_all_sent)) return GDBX_WIRE_DONE;
    /* What was received by the deadline is taken: the last look does not wait. */
    if (all->is_late) return end_all(all, GDBX_WIRE_LATE, 0);
    left = left_until(all->deadline);
    if (left && has_all_sent && at != GDBX_WIRE_ANY && all->results[at] == GO_ON) {
        ready = poll(&polls[at], 1, MOMENT);
        /* Nothing is known of the others: a receive will tell, and costs no more than a poll. */
        for (size_t i = 0; ready > 0 && i < all->count; i++)
            if (i != at) polls[i].revents = POLLIN;
    }
    if (ready == 0) ready = poll(polls, (nfds_t) all->count, left);
    if (ready < 0) return errno == EINTR ? GDBX_WIRE_SIGNAL : end_all(all, GDBX_WIRE_BROKEN, errno);
    all->is_late = left == 0;
    return GO_ON;
}

/* A socket whose connection failed tells why when it is used. */
void gdbx_wire_poll_step(struct gdbx_wire_poll *all, size_t at) {
    const struct pollfd *polls = all->room;
    struct gdbx_wire_io *io = &all->ios[at];
    short ready = polls[at].revents;
    int result = GO_ON;
    if (all->results[at] != GO_ON || !ready) return;
    if (ready & POLLNVAL) {
        result = broken(io, EBADF);
    } else {
        if (ready & (POLLOUT | POLLERR) && io->part < io->part_count) result = send_some(io);
        if (result == GO_ON && ready & (POLLIN | POLLERR | POLLHUP)) result = receive_some(io, 0);
    }
    keep(all, at, result);
}

#endif
