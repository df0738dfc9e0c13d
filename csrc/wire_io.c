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

enum { PARTS = 64, GO_ON = GDBX_WIRE_GO_ON };

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

static int broken(int *kept, int error) {
    if (error == EINTR) return GDBX_WIRE_SIGNAL;
    *kept = error;
    return GDBX_WIRE_BROKEN;
}

/* See that a connection is quiet: bytes that nobody asked for would be taken for the reply. */
int gdbx_wire_peek(int fd, int *error) {
    uint8_t byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return GDBX_WIRE_UNASKED;
    if (got == 0) return GDBX_WIRE_CLOSED;
    return would_block(errno) ? GO_ON : broken(error, errno);
}

/* Send what the socket takes now. */
int gdbx_wire_send_some(struct gdbx_wire_io *io) {
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
    if (sent < 0) {
        /* One that is being connected cannot send yet: EAGAIN on Linux, ENOTCONN elsewhere. */
        int soon = would_block(errno) || (errno == ENOTCONN && io->part == 0 && io->offset == 0);
        return soon ? GO_ON : broken(&io->error, errno);
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

/* Receive once and scan. */
int gdbx_wire_receive_some(struct gdbx_wire_io *io, int waits) {
    int flags = waits ? 0 : MSG_DONTWAIT;
    ssize_t got;
    if (io->size == io->capacity) return GDBX_WIRE_MORE;
    got = recv(io->fd, io->data + io->size, io->capacity - io->size, flags);
    if (got == 0) return GDBX_WIRE_CLOSED;
    if (got < 0) return would_block(errno) ? GO_ON : broken(&io->error, errno);
    io->size += (size_t) got;
    return gdbx_wire_rescan(io);
}

/* Go on with what was received, now that there is room for its records. */
int gdbx_wire_rescan(struct gdbx_wire_io *io) {
    int result;
    if (io->take) io->take(io);
    result = gdbx_wire_scan(io->reader, io->data, io->size, io->records, io->record_capacity,
                                &io->record_count);
    return result == GDBX_WIRE_MORE ? GO_ON : result;
}

/* Tell whether the exchange is over, after a step that ended with `result`. A refusal may come
 * while the value that it refuses is still being sent; what is left must go out all the same, for
 * the server is waiting to swallow it. */
int gdbx_wire_judge(const struct gdbx_wire_io *io, int result) {
    if (result != GO_ON && result != GDBX_WIRE_DONE) return result;
    return io->reader->done && io->part == io->part_count ? GDBX_WIRE_DONE : GO_ON;
}

/* What a socket that is being connected has to tell of its failure, it tells when it is used. */
int gdbx_wire_step(struct gdbx_wire_io *io, short ready) {
    int result = GO_ON;
    if (ready & POLLNVAL) return broken(&io->error, EBADF);
    if (ready & (POLLOUT | POLLERR) && io->part < io->part_count)
        if ((result = gdbx_wire_send_some(io)) != GO_ON) return result;
    if (ready & (POLLIN | POLLERR | POLLHUP)) result = gdbx_wire_receive_some(io, 0);
    return gdbx_wire_judge(io, result);
}

/* The milliseconds to poll for, -1 for ever; 0 when the deadline has passed. */
int gdbx_wire_left(int64_t deadline) {
    int64_t left;
    if (deadline == INT64_MAX) return -1;
    left = deadline - gdbx_wire_now();
    if (left <= 0) return 0;
    left = (left + 999999) / 1000000;
    return left > INT_MAX ? INT_MAX : (int) left;
}

int gdbx_wire_exchange(struct gdbx_wire_io *io) {
    struct pollfd poller = {io->fd, 0, 0};
    int result = GO_ON, left;
    if (!io->begun) {
        if ((result = gdbx_wire_peek(io->fd, &io->error)) != GO_ON) return result;
        io->begun = 1;
        if ((result = gdbx_wire_send_some(io)) != GO_ON) return result;
        /* The common case, and as many system calls as the simplest client makes. */
        if (io->armed && io->part == io->part_count && !io->reader->done)
            result = gdbx_wire_receive_some(io, 1);
    } else if (io->size && !io->reader->done) {
        result = gdbx_wire_rescan(io);
    }
    result = gdbx_wire_judge(io, result);
    while (result == GO_ON) {
        if ((left = gdbx_wire_left(io->deadline)) == 0) return GDBX_WIRE_LATE;
        poller.events = io->part < io->part_count ? POLLIN | POLLOUT : POLLIN;
        poller.revents = 0;
        if (poll(&poller, 1, left) < 0) return broken(&io->error, errno);
        result = gdbx_wire_step(io, poller.revents);
    }
    return result;
}

#endif
