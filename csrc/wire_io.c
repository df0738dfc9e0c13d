#if !defined(_POSIX_C_SOURCE) && !defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "wire_io.h"

#ifdef _WIN32
typedef int gdbx_wire_io_is_posix_only;
#else

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

enum { PARTS = 64, GO_ON = -1 };

int64_t gdbx_wire_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

int gdbx_wire_arm(int fd, int64_t nanoseconds) {
    struct timeval limit;
    /* Rounded up: a limit of zero would mean none at all. */
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

/* See that the connection is quiet: bytes that nobody asked for would be taken for the reply. */
static int begin(struct gdbx_wire_io *io) {
    uint8_t byte;
    ssize_t got = recv(io->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return GDBX_WIRE_UNASKED;
    if (got == 0) return GDBX_WIRE_CLOSED;
    if (!would_block(errno)) return broken(io, errno);
    io->begun = 1;
    return GO_ON;
}

/* Send what the socket takes now. */
static int send_some(struct gdbx_wire_io *io) {
    struct iovec parts[PARTS];
    struct msghdr message;
    size_t count = 0;
    ssize_t sent;
    for (size_t i = io->part; i < io->part_count && count < PARTS; i++, count++) {
        size_t skip = i == io->part ? io->offset : 0;
        /* sendmsg reads through iov_base and never writes */
        parts[count].iov_base = (void *) (uintptr_t) (io->parts[i].data + skip);
        parts[count].iov_len = io->parts[i].size - skip;
    }
    if (count == 1) {
        sent = send(io->fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        memset(&message, 0, sizeof message);
        message.msg_iov = parts;
        message.msg_iovlen = count;
        sent = sendmsg(io->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent < 0) return would_block(errno) ? GO_ON : broken(io, errno);
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

/* Receive once and scan; `flags` says whether to wait. */
static int receive_some(struct gdbx_wire_io *io, int flags) {
    ssize_t got;
    int result;
    if (io->size == io->capacity) return GDBX_WIRE_MORE;
    got = recv(io->fd, io->data + io->size, io->capacity - io->size, flags);
    if (got == 0) return GDBX_WIRE_CLOSED;
    if (got < 0) return would_block(errno) ? GO_ON : broken(io, errno);
    io->size += (size_t) got;
    result = gdbx_wire_scan(io->reader, io->data, io->size, io->records, io->record_capacity,
                            &io->record_count);
    return result == GDBX_WIRE_MORE ? GO_ON : result;
}

/* Wait until the socket can be read, or written while there is something to send. */
static int wait_until_ready(struct gdbx_wire_io *io, short *ready) {
    struct pollfd poller = {io->fd, POLLIN, 0};
    int timeout = -1, count;
    if (io->part < io->part_count) poller.events |= POLLOUT;
    if (io->deadline != INT64_MAX) {
        int64_t left = io->deadline - gdbx_wire_now();
        if (left <= 0) return GDBX_WIRE_LATE;
        left = (left + 999999) / 1000000;
        timeout = left > INT_MAX ? INT_MAX : (int) left;
    }
    count = poll(&poller, 1, timeout);
    if (count < 0) return broken(io, errno);
    *ready = count ? poller.revents : 0;
    return GO_ON;
}

int gdbx_wire_exchange(struct gdbx_wire_io *io) {
    int result = GO_ON;
    if (!io->begun) {
        if ((result = begin(io)) != GO_ON) return result;
        if ((result = send_some(io)) != GO_ON) return result;
        /* The common case, and as many system calls as the simplest client makes. */
        if (io->armed && io->part == io->part_count && !io->reader->done) result = receive_some(io, 0);
    } else if (io->size && !io->reader->done) { /* the caller made room for records */
        result = gdbx_wire_scan(io->reader, io->data, io->size, io->records, io->record_capacity,
                                &io->record_count);
        if (result == GDBX_WIRE_MORE) result = GO_ON;
    }
    for (;;) {
        short ready = 0;
        if (result != GO_ON && result != GDBX_WIRE_DONE) return result;
        /* A refusal may come while the value that it refuses is still being sent; what is left
         * must go out all the same, for the server is waiting to swallow it. */
        if (io->reader->done && io->part == io->part_count) return GDBX_WIRE_DONE;
        if ((result = wait_until_ready(io, &ready)) != GO_ON) return result;
        if (ready & POLLNVAL) return broken(io, EBADF);
        if (ready & (POLLOUT | POLLERR) && io->part < io->part_count)
            if ((result = send_some(io)) != GO_ON) return result;
        if (ready & (POLLIN | POLLERR | POLLHUP)) result = receive_some(io, MSG_DONTWAIT);
    }
}

#endif
