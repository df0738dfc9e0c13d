/* Exchanges over pairs of sockets: one that blocks, and several at once. */
#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* setitimer() */
#endif

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "wire_poll.h"

enum { SIDES = 3, RECORDS = 8, BUFFER = 64, REQUEST = 11, GO_ON = GDBX_WIRE_GO_ON };

/* One exchange, and the peer that it is with. */
struct side {
    struct gdbx_wire_reader reader;
    struct gdbx_wire_record records[RECORDS];
    struct gdbx_wire_part part;
    uint8_t buffer[BUFFER];
    int ends[2];
};

struct polled {
    struct side sides[SIDES];
    struct gdbx_wire_io ios[SIDES];
    int results[SIDES];
    struct gdbx_wire_poll all;
    void *room[16];
};

/* Set up exchanges; nothing is sent yet. */
static void open_all(struct polled *polled, size_t count) {
    memset(polled, 0, sizeof *polled);
    CHECK(gdbx_wire_poll_room(SIDES) <= sizeof polled->room, "room for the polls");
    polled->all.ios = polled->ios;
    polled->all.results = polled->results;
    polled->all.count = count;
    polled->all.room = polled->room;
    polled->all.deadline = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct side *side = &polled->sides[i];
        struct gdbx_wire_io *io = &polled->ios[i];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, side->ends) == 0, "socketpair");
        side->reader.kind = GDBX_WIRE_LINES;
        side->reader.count = 1;
        side->reader.words = GDBX_WIRE_OK;
        side->part.data = (const uint8_t *) "flush_all\r\n";
        side->part.size = REQUEST;
        io->reader = &side->reader;
        io->parts = &side->part;
        io->part_count = 1;
        io->data = side->buffer;
        io->capacity = sizeof side->buffer;
        io->records = side->records;
        io->record_capacity = RECORDS;
        io->fd = side->ends[0];
        polled->results[i] = GO_ON;
    }
}

/* Set up exchanges and start each, with a buffer of `capacity` bytes for its reply. */
static void start_all(struct polled *polled, size_t capacity) {
    open_all(polled, SIDES);
    for (size_t i = 0; i < SIDES; i++) {
        polled->ios[i].capacity = capacity;
        gdbx_wire_poll_start(&polled->all, i);
        CHECK(polled->results[i] == GO_ON && polled->ios[i].begun, "start %zu", i);
    }
}

static void close_all(struct polled *polled) {
    for (size_t i = 0; i < polled->all.count; i++) {
        close(polled->sides[i].ends[0]);
        close(polled->sides[i].ends[1]);
    }
}

static void answer(struct polled *polled, size_t at, const char *text) {
    size_t size = strlen(text);
    CHECK(write(polled->sides[at].ends[1], text, size) == (ssize_t) size, "write");
}

/* Go on until exchange `at` has ended or wants room. */
static void finish(struct polled *polled, size_t at) {
    while (polled->results[at] == GO_ON) {
        int result = gdbx_wire_poll_wait(&polled->all, at);
        CHECK(result == GO_ON, "wait: %d", result);
        for (size_t i = 0; i < polled->all.count; i++) gdbx_wire_poll_step(&polled->all, i);
    }
}

/* One exchange */

static void check_alone(void) {
    struct polled one;
    char request[REQUEST + 1];
    for (int armed = 0; armed < 2; armed++) {
        open_all(&one, 1);
        if (armed) answer(&one, 0, "OK\r\n"); /* else the receive would never return */
        CHECK(gdbx_wire_poll_ask(&one.all, 0, armed) == GO_ON, "ask");
        CHECK(read(one.sides[0].ends[1], request, sizeof request) == REQUEST, "the request");
        CHECK(one.results[0] == (armed ? GDBX_WIRE_DONE : GO_ON), "armed: %d", armed);
        if (!armed) answer(&one, 0, "OK\r\n");
        finish(&one, 0);
        CHECK(one.results[0] == GDBX_WIRE_DONE && one.ios[0].record_count == 1, "its reply");
        CHECK(one.ios[0].size == 4 && one.ios[0].begun, "%zu bytes", one.ios[0].size);
        CHECK(gdbx_wire_poll_wait(&one.all, 0) == GDBX_WIRE_DONE, "nothing is under way");
        close_all(&one);
    }
}

static void check_peeks(void) {
    struct polled one;
    int fd;
    open_all(&one, 1);
    CHECK(gdbx_wire_poll_ask(&one.all, 1, 0) == GO_ON && one.results[0] == GO_ON, "quiet");
    CHECK(one.ios[0].begun, "it was sent");
    close_all(&one);
    open_all(&one, 1);
    answer(&one, 0, "OK\r\n");
    CHECK(gdbx_wire_poll_ask(&one.all, 1, 0) == GO_ON, "ended at once");
    CHECK(one.results[0] == GDBX_WIRE_UNASKED && !one.ios[0].begun, "bytes were waiting");
    CHECK(one.ios[0].size == 0 && one.ios[0].part == 0, "nothing was sent or received");
    close_all(&one);
    open_all(&one, 1);
    CHECK(shutdown(one.sides[0].ends[1], SHUT_WR) == 0, "shutdown");
    gdbx_wire_poll_ask(&one.all, 1, 0);
    CHECK(one.results[0] == GDBX_WIRE_CLOSED && !one.ios[0].begun, "the peer had closed");
    close_all(&one);
    open_all(&one, 1);
    one.ios[0].fd = -1;
    gdbx_wire_poll_ask(&one.all, 1, 0);
    CHECK(one.results[0] == GDBX_WIRE_BROKEN && one.ios[0].error == EBADF, "no socket");
    close_all(&one);
    /* Outside Linux, one that is being connected is as one that is not connected is here. */
    open_all(&one, 1);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    one.ios[0].fd = fd;
    gdbx_wire_poll_ask(&one.all, 1, 0);
    CHECK(one.ios[0].begun, "it is for the send to tell");
    close(fd);
    close_all(&one);
}

static void check_late(void) {
    struct polled one;
    for (int armed = 0; armed < 2; armed++) {
        open_all(&one, 1);
        CHECK(gdbx_wire_arm(one.ios[0].fd, 1000000) == 0, "arm");
        one.all.deadline = gdbx_wire_now() + 1000000;
        CHECK(gdbx_wire_poll_ask(&one.all, 0, armed) == GO_ON, "ask");
        CHECK(one.results[0] == GO_ON, "a receive gives up, and leaves the deadline to the wait");
        finish(&one, 0);
        CHECK(one.results[0] == GDBX_WIRE_LATE && one.all.is_late, "no answer in time");
        CHECK(gdbx_wire_now() >= one.all.deadline, "not before the deadline");
        close_all(&one);
    }
    CHECK(gdbx_wire_arm(-1, 0) == EBADF, "no socket");
}

static void check_parts(void) {
    enum { PARTS = 200 };
    struct gdbx_wire_part parts[PARTS];
    struct polled one;
    uint8_t bytes[PARTS], taken[PARTS + 1];
    size_t size = 0;
    open_all(&one, 1);
    for (size_t i = 0; i < PARTS; i++) {
        bytes[i] = (uint8_t) i;
        parts[i].data = &bytes[i];
        parts[i].size = i % 3 != 0; /* some, and the first, are empty */
        size += parts[i].size;
    }
    one.ios[0].parts = parts;
    one.ios[0].part_count = PARTS;
    answer(&one, 0, "OK\r\n");
    gdbx_wire_poll_ask(&one.all, 0, 0);
    CHECK(one.ios[0].part < PARTS, "more parts than go into one send");
    finish(&one, 0);
    CHECK(one.results[0] == GDBX_WIRE_DONE && one.ios[0].part == PARTS, "all parts are sent");
    CHECK(read(one.sides[0].ends[1], taken, sizeof taken) == (ssize_t) size, "%zu bytes", size);
    for (size_t i = 0, at = 0; i < PARTS; i++)
        if (parts[i].size) CHECK(taken[at++] == bytes[i], "part %zu", i);
    close_all(&one);
    open_all(&one, 1);
    one.ios[0].part_count = 0;
    one.sides[0].reader.done = 1;
    gdbx_wire_poll_ask(&one.all, 1, 1);
    CHECK(one.results[0] == GDBX_WIRE_DONE && !one.ios[0].begun, "nothing to send");
    close_all(&one);
}

static void check_broken(void) {
    struct polled one;
    open_all(&one, 1);
    gdbx_wire_poll_start(&one.all, 0);
    close(one.sides[0].ends[0]);
    finish(&one, 0);
    CHECK(one.results[0] == GDBX_WIRE_BROKEN && one.ios[0].error == EBADF, "closed on our side");
    close(one.sides[0].ends[1]);
    open_all(&one, 1);
    close(one.sides[0].ends[1]);
    gdbx_wire_poll_start(&one.all, 0); /* without a SIGPIPE */
    CHECK(one.results[0] == GDBX_WIRE_BROKEN && one.ios[0].error == EPIPE, "closed by the peer");
    close(one.sides[0].ends[0]);
}

static void check_leftover(void) {
    struct polled one;
    for (int piped = 0; piped < 2; piped++) {
        open_all(&one, 1);
        one.sides[0].reader.options = piped ? GDBX_WIRE_PIPED : 0;
        answer(&one, 0, "OK\r\nOK\r\n");
        gdbx_wire_poll_ask(&one.all, 0, 1);
        CHECK(one.results[0] == (piped ? GDBX_WIRE_DONE : GDBX_WIRE_BAD), "piped: %d", piped);
        CHECK(piped || one.sides[0].reader.reason == GDBX_WIRE_LEFTOVER, "its reason");
        CHECK(one.ios[0].size == 8 && one.sides[0].reader.position == 4, "where it ends");
        close_all(&one);
    }
}

/* Signals */

static volatile sig_atomic_t alarms;

static void count_alarm(int number) {
    (void) number;
    alarms = alarms + 1;
}

/* Interrupt this program again and again, without a restart of system calls, as CPython has it. */
static void interrupt(int microseconds) {
    struct itimerval every;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count_alarm;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
    alarms = 0;
    every.it_value.tv_sec = every.it_interval.tv_sec = 0;
    every.it_value.tv_usec = every.it_interval.tv_usec = microseconds;
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0, "setitimer");
}

static void check_signals(void) {
    struct polled one;
    int fds[SIDES];
    uint8_t marks[SIDES];
    interrupt(1000);
    open_all(&one, 1);
    CHECK(gdbx_wire_poll_ask(&one.all, 1, 1) == GDBX_WIRE_SIGNAL, "a receive is interrupted");
    CHECK(one.results[0] == GO_ON && alarms > 0, "and is under way all the same");
    CHECK(gdbx_wire_poll_wait(&one.all, 0) == GDBX_WIRE_SIGNAL, "a wait for one is interrupted");
    CHECK(gdbx_wire_poll_wait(&one.all, GDBX_WIRE_ANY) == GDBX_WIRE_SIGNAL, "a wait for any");
    interrupt(0);
    answer(&one, 0, "OK\r\n");
    finish(&one, 0);
    CHECK(one.results[0] == GDBX_WIRE_DONE && one.ios[0].size == 4, "it goes on");
    close_all(&one);
    start_all(&one, BUFFER);
    for (size_t i = 0; i < SIDES; i++) fds[i] = one.ios[i].fd;
    interrupt(20);
    while (alarms < 2000)
        CHECK(gdbx_wire_poll_unfit(fds, SIDES, one.room, marks) == 0, "after %d", (int) alarms);
    interrupt(0);
    close_all(&one);
}

/* Several exchanges */

static void check_end_each_in_its_way(void) {
    struct polled many;
    char request[16];
    start_all(&many, BUFFER);
    for (size_t i = 0; i < SIDES; i++)
        CHECK(read(many.sides[i].ends[1], request, sizeof request) == REQUEST, "request %zu", i);
    answer(&many, 2, "OK\r\n");
    finish(&many, 2);
    CHECK(many.results[2] == GDBX_WIRE_DONE, "the last ends first");
    CHECK(many.results[0] == GO_ON && many.results[1] == GO_ON, "and alone");
    answer(&many, 0, "NO\r\n");
    CHECK(shutdown(many.sides[1].ends[1], SHUT_WR) == 0, "shutdown");
    finish(&many, 0);
    finish(&many, 1);
    CHECK(many.results[0] == GDBX_WIRE_BAD && many.results[1] == GDBX_WIRE_CLOSED, "its own way");
    CHECK(gdbx_wire_poll_wait(&many.all, GDBX_WIRE_ANY) == GDBX_WIRE_DONE, "all have ended");
    close_all(&many);
}

static void check_share_a_deadline(void) {
    struct polled many;
    start_all(&many, BUFFER);
    many.all.deadline = gdbx_wire_now() - 1;
    answer(&many, 1, "OK\r\n");
    finish(&many, 0);
    CHECK(many.results[0] == GDBX_WIRE_LATE && many.results[2] == GDBX_WIRE_LATE, "late");
    CHECK(many.results[1] == GDBX_WIRE_DONE, "what was received by the deadline was taken");
    close_all(&many);
}

static void check_wait_for_one_and_then_for_any(void) {
    struct polled many;
    start_all(&many, BUFFER);
    answer(&many, 0, "OK\r\n");
    answer(&many, 2, "OK\r\n");
    CHECK(gdbx_wire_poll_wait(&many.all, 2) == GO_ON, "the one has answered");
    for (size_t i = 0; i < SIDES; i++) gdbx_wire_poll_step(&many.all, i);
    CHECK(many.results[2] == GDBX_WIRE_DONE && many.results[0] == GDBX_WIRE_DONE, "both are taken");
    CHECK(many.results[1] == GO_ON, "one has not answered");
    answer(&many, 1, "O");
    CHECK(gdbx_wire_poll_wait(&many.all, 1) == GO_ON, "a part was received");
    gdbx_wire_poll_step(&many.all, 1);
    CHECK(many.results[1] == GO_ON && many.ios[1].size == 1, "and taken");
    many.all.deadline = gdbx_wire_now() + 5000000;
    CHECK(gdbx_wire_poll_wait(&many.all, 1) == GO_ON, "neither it nor any was received");
    gdbx_wire_poll_step(&many.all, 1);
    answer(&many, 1, "K\r\n");
    CHECK(gdbx_wire_poll_wait(&many.all, GDBX_WIRE_ANY) == GO_ON, "the last look");
    gdbx_wire_poll_step(&many.all, 1);
    CHECK(many.results[1] == GDBX_WIRE_DONE, "was in time");
    CHECK(gdbx_wire_poll_wait(&many.all, GDBX_WIRE_ANY) == GDBX_WIRE_DONE, "all have ended");
    close_all(&many);
}

static void check_room(void) {
    struct polled many;
    start_all(&many, 2);
    for (size_t i = 0; i < SIDES; i++) answer(&many, i, "OK\r\n");
    finish(&many, 1);
    for (size_t i = 0; i < SIDES; i++) {
        CHECK(many.results[i] == GDBX_WIRE_MORE && many.ios[i].size == 2, "half of %zu", i);
        many.ios[i].capacity = BUFFER;
        many.ios[i].record_capacity = 0;
        many.results[i] = GO_ON;
        gdbx_wire_poll_look(&many.all, i);
        CHECK(many.results[i] == GDBX_WIRE_FULL, "no room for the record of %zu", i);
        many.ios[i].record_capacity = RECORDS;
        gdbx_wire_poll_rescan(&many.all, i);
        CHECK(many.results[i] == GDBX_WIRE_DONE && many.ios[i].size == 4, "all of %zu", i);
    }
    close_all(&many);
}

/* All of a reply that was received by the deadline is taken, however small the buffers are. */
static void check_room_at_the_deadline(void) {
    struct polled many;
    start_all(&many, 8);
    for (size_t i = 0; i < SIDES; i++) {
        many.sides[i].reader.count = 4;
        many.ios[i].record_capacity = i ? RECORDS : 1;
        answer(&many, i, "OK\r\nOK\r\nOK\r\nOK\r\n");
    }
    many.all.deadline = gdbx_wire_now() - 1;
    CHECK(gdbx_wire_poll_wait(&many.all, GDBX_WIRE_ANY) == GO_ON, "the last look");
    for (size_t i = 0; i < SIDES; i++) {
        gdbx_wire_poll_step(&many.all, i);
        if (!i) {
            CHECK(many.results[i] == GDBX_WIRE_FULL, "%d", many.results[i]);
            many.ios[i].record_capacity = RECORDS;
            gdbx_wire_poll_rescan(&many.all, i);
        }
        CHECK(many.results[i] == GDBX_WIRE_MORE, "there may be more of %zu", i);
        many.ios[i].capacity = BUFFER;
        many.results[i] = GO_ON;
        gdbx_wire_poll_look(&many.all, i);
        CHECK(many.results[i] == GDBX_WIRE_DONE && many.ios[i].record_count == 4, "all of %zu", i);
    }
    close_all(&many);
}

/* Requests that fill every buffer, to peers that answer before they read on. */
static void check_send_and_receive_by_turns(void) {
    static uint8_t large[1 << 22];
    static uint8_t taken[1 << 16];
    struct polled many;
    size_t left = SIDES * sizeof large;
    open_all(&many, SIDES);
    for (size_t i = 0; i < SIDES; i++) {
        many.sides[i].part.data = large;
        many.sides[i].part.size = sizeof large;
        gdbx_wire_poll_start(&many.all, i);
        CHECK(many.ios[i].part == 0 && many.ios[i].offset > 0, "a part of it is sent");
        answer(&many, i, "OK\r\n");
    }
    many.all.deadline = 0; /* no wait: the peers are this program */
    while (left) {
        many.all.is_late = 0;
        for (size_t i = 0; i < SIDES; i++) {
            ssize_t got = recv(many.sides[i].ends[1], taken, sizeof taken, MSG_DONTWAIT);
            if (got > 0) left -= (size_t) got;
        }
        if (gdbx_wire_poll_wait(&many.all, GDBX_WIRE_ANY) == GDBX_WIRE_DONE) continue;
        for (size_t i = 0; i < SIDES; i++) {
            gdbx_wire_poll_step(&many.all, i);
            gdbx_wire_poll_look(&many.all, i); /* of no use before all is sent */
            CHECK(many.results[i] == (many.ios[i].part ? GDBX_WIRE_DONE : GO_ON), "%zu", i);
        }
    }
    for (size_t i = 0; i < SIDES; i++)
        CHECK(many.results[i] == GDBX_WIRE_DONE, "all was sent, and answered");
    close_all(&many);
}

/* A server that closes the connection instead of taking the rest of a request. */
static void check_closed_while_sending(void) {
    static uint8_t large[1 << 22];
    struct polled one;
    open_all(&one, 1);
    one.sides[0].part.data = large;
    one.sides[0].part.size = sizeof large;
    answer(&one, 0, "OK\r\n");
    gdbx_wire_poll_ask(&one.all, 1, 1);
    CHECK(one.results[0] == GDBX_WIRE_UNASKED, "that is not yet an answer");
    one.results[0] = GO_ON;
    gdbx_wire_poll_ask(&one.all, 0, 1);
    CHECK(one.results[0] == GO_ON && one.ios[0].part == 0, "no receive waits while it is sent");
    CHECK(shutdown(one.sides[0].ends[1], SHUT_WR) == 0, "shutdown");
    finish(&one, 0);
    CHECK(one.results[0] == GDBX_WIRE_CLOSED && one.sides[0].reader.done, "after its answer");
    close_all(&one);
}

static void check_unfit(void) {
    struct polled many;
    int fds[SIDES + 1];
    uint8_t marks[SIDES + 1];
    open_all(&many, SIDES);
    for (size_t i = 0; i < SIDES; i++) fds[i] = many.sides[i].ends[0];
    fds[SIDES] = -1;
    CHECK(gdbx_wire_poll_unfit(fds, SIDES, many.room, marks) == 0, "all are quiet");
    answer(&many, 0, "x");
    CHECK(shutdown(many.sides[1].ends[1], SHUT_WR) == 0, "shutdown");
    CHECK(gdbx_wire_poll_unfit(fds, SIDES + 1, many.room, marks) == 3, "three are not");
    CHECK(marks[0] && marks[1] && !marks[2] && marks[3], "which three");
    close_all(&many);
    CHECK(gdbx_wire_poll_unfit(fds, SIDES, many.room, marks) == SIDES, "all are closed");
    CHECK(gdbx_wire_poll_unfit(fds, 0, many.room, marks) == 0, "none");
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    check_alone();
    check_peeks();
    check_late();
    check_parts();
    check_broken();
    check_leftover();
    check_signals();
    check_end_each_in_its_way();
    check_share_a_deadline();
    check_wait_for_one_and_then_for_any();
    check_room();
    check_room_at_the_deadline();
    check_send_and_receive_by_turns();
    check_closed_while_sending();
    check_unfit();
    printf("%d exchanges at once\n", SIDES);
    return 0;
}
