/* The readers of memcached's replies, and one exchange over a pair of sockets. */
#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "wire.h"
#include "wire_many.h"

enum { ROOM = 8 };

static const char VALUES[] =
    "VALUE a 5 3 17\r\nx\r\n\r\nVALUE bc 0 0 18446744073709551615\r\n\r\nEND\r\n";

static void check_values(void) {
    struct gdbx_wire_record records[ROOM];
    size_t size = sizeof VALUES - 1;
    for (size_t cut = 0; cut <= size; cut++) {
        struct gdbx_wire_reader reader = {.kind = GDBX_WIRE_VALUES, .count = 2};
        const uint8_t *data = (const uint8_t *) VALUES;
        size_t used = 0;
        int result = gdbx_wire_scan(&reader, data, cut, records, ROOM, &used);
        CHECK(result == (cut == size ? GDBX_WIRE_DONE : GDBX_WIRE_MORE), "cut at %zu", cut);
        result = gdbx_wire_scan(&reader, data, size, records, ROOM, &used);
        CHECK(result == GDBX_WIRE_DONE && used == 2, "cut at %zu: %zu records", cut, used);
        CHECK(memcmp(data + records[0].value, "x\r\n", 3) == 0, "the first value");
        CHECK(records[0].flags == 5 && records[0].cas == 17, "the first fields");
        CHECK(records[1].key_size == 2 && records[1].cas == UINT64_MAX, "the second fields");
    }
}

static void check_keys(void) {
    uint8_t key[251];
    memset(key, 'k', sizeof key);
    CHECK(gdbx_wire_key_ok(key, 1) && gdbx_wire_key_ok(key, 250), "good sizes");
    CHECK(!gdbx_wire_key_ok(key, 0) && !gdbx_wire_key_ok(key, 251), "bad sizes");
    for (unsigned byte = 0; byte < 256; byte++) {
        key[100] = (uint8_t) byte;
        CHECK(gdbx_wire_key_ok(key, 250) == (byte > 0x20 && byte != 0x7f), "byte %u", byte);
    }
    memset(key, '!', sizeof key); /* the lowest good byte, so that a borrow would show */
    for (size_t size = 1; size <= 40; size++) {
        CHECK(gdbx_wire_key_ok(key, size), "%zu good bytes", size);
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                key[at] = (uint8_t) byte;
                CHECK(gdbx_wire_key_ok(key, size) == (byte > 0x20 && byte != 0x7f),
                      "byte %u at %zu of %zu", byte, at, size);
            }
            key[at] = '!';
        }
    }
}

static void check_full(void) {
    static const uint8_t data[] = "STAT a 1\r\nSTAT b 2\r\nEND\r\n";
    struct gdbx_wire_reader reader = {.kind = GDBX_WIRE_STATS, .count = 1};
    struct gdbx_wire_record records[ROOM];
    size_t used = 0;
    CHECK(gdbx_wire_scan(&reader, data, sizeof data - 1, records, 1, &used) == GDBX_WIRE_FULL, "1");
    CHECK(gdbx_wire_scan(&reader, data, sizeof data - 1, records, ROOM, &used) == GDBX_WIRE_DONE,
          "more room");
    CHECK(used == 2, "%zu records", used);
}

static void check_bare(void) {
#define META GDBX_WIRE_META
#define VALUES GDBX_WIRE_VALUES
#define PLENTY "0123456789012345678901234567890123456789012345678901234567890123456789012345678"
    static const struct {
        uint32_t kind;
        const char *reply;
        int asked, bare; /* the results of a full and of a bare reader */
    } rows[] = {
        {META, "HD c5 O0\r\n", GDBX_WIRE_DONE, GDBX_WIRE_DONE},
        {META, "NF O0\r\n", GDBX_WIRE_DONE, GDBX_WIRE_DONE},
        {META, "SERVER_ERROR out of memory\r\n", GDBX_WIRE_DONE, GDBX_WIRE_DONE},
        {META, "VA 1 O0\r\nx\r\n", GDBX_WIRE_DONE, GDBX_WIRE_BAD},
        {META, "VA 1 O0\r\n", GDBX_WIRE_MORE, GDBX_WIRE_BAD},
        {META, "HD kb O0\r\n", GDBX_WIRE_DONE, GDBX_WIRE_BAD},
        {VALUES, "END\r\n", GDBX_WIRE_DONE, GDBX_WIRE_DONE},
        {VALUES, "VALUE k 0 1 9\r\nx\r\nEND\r\n", GDBX_WIRE_DONE, GDBX_WIRE_BAD},
        {VALUES, "VALUE k 0 1\r\nx\r\nEND\r\n", GDBX_WIRE_BAD, GDBX_WIRE_DONE},
        {VALUES, "VALUE k 0 1 \r\nx\r\nEND\r\n", GDBX_WIRE_BAD, GDBX_WIRE_BAD},
        {VALUES, "VALUE k 0\r\nx\r\nEND\r\n", GDBX_WIRE_BAD, GDBX_WIRE_BAD},
        /* Long enough for the line to be read in one pass. */
        {VALUES, "VALUE k 0 395 9\r\n" PLENTY PLENTY PLENTY PLENTY PLENTY "\r\nEND\r\n",
         GDBX_WIRE_DONE, GDBX_WIRE_BAD},
        {VALUES, "VALUE k 0 395\r\n" PLENTY PLENTY PLENTY PLENTY PLENTY "\r\nEND\r\n",
         GDBX_WIRE_BAD, GDBX_WIRE_DONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int bare = 0; bare < 2; bare++) {
            struct gdbx_wire_reader reader = {.kind = rows[i].kind, .count = 1};
            struct gdbx_wire_record records[ROOM];
            size_t used = 0;
            int result;
            reader.options = bare ? GDBX_WIRE_BARE : 0;
            result = gdbx_wire_scan(&reader, (const uint8_t *) rows[i].reply, strlen(rows[i].reply),
                                    records, ROOM, &used);
            CHECK(result == (bare ? rows[i].bare : rows[i].asked), "%s", rows[i].reply);
            CHECK(result != GDBX_WIRE_BAD || reader.reason == GDBX_WIRE_BAD_LINE, "its reason");
        }
    }
}

/* A packet's header, with its opcode, size of extras, size of body and opaque, a byte each. */
#define PACKET(opcode, extras, body, opaque)                                                       \
    "\x81" opcode "\0\0" extras "\0\0\0\0\0\0" body "\0\0\0" opaque "\0\0\0\0\0\0\0\x09"
#define HIT(opaque) PACKET("\0", "\4", "\7", opaque) "\0\0\0\5abc"
#define STAT(key_size, body) "\x81\x10\0" key_size "\0\0\0\0\0\0\0" body "\0\0\0\0\0\0\0\0\0\0\0\0"
#define REPLY(text) text, sizeof text - 1

struct piped {
    struct gdbx_wire_reader reader;
    size_t records;
    const char *reply;
    size_t size;
};

static const struct piped PIPED[] = {
    {{.kind = GDBX_WIRE_LINES, .count = 2, .words = GDBX_WIRE_STORED},
     2,
     REPLY("STORED\r\nSTORED\r\n")},
    {{.kind = GDBX_WIRE_LINES, .count = 1, .words = GDBX_WIRE_NUMBER}, 1, REPLY("17  \r\n")},
    {{.kind = GDBX_WIRE_LINES, .count = 1, .words = GDBX_WIRE_STORED, .options = GDBX_WIRE_STRICT},
     1,
     REPLY("SERVER_ERROR out of memory\r\n")},
    {{.kind = GDBX_WIRE_VALUES, .count = 2}, 1, REPLY("VALUE k 0 5 9\r\nEND\r\n\r\nEND\r\n")},
    {{.kind = GDBX_WIRE_VALUES, .count = 1}, 1, REPLY("SERVER_ERROR busy\r\n")},
    {{.kind = GDBX_WIRE_STATS, .count = 1}, 2, REPLY("STAT a 1\r\nSTAT b 2\r\nEND\r\n")},
    {{.kind = GDBX_WIRE_STATS, .count = 1}, 0, REPLY("RESET\r\n")},
    {{.kind = GDBX_WIRE_PACKETS, .count = 2, .words = 1}, 2, REPLY(HIT("\0") HIT("\1"))},
    {{.kind = GDBX_WIRE_PACKETS, .count = 2, .words = 1, .options = GDBX_WIRE_QUIET},
     2,
     REPLY(HIT("\1") PACKET("\x0a", "\0", "\0", "\2"))},
    {{.kind = GDBX_WIRE_PACKETS, .count = 1, .words = 1 << 16, .options = GDBX_WIRE_SERIES},
     2,
     REPLY(STAT("\1", "\2") "a1" STAT("\0", "\0"))},
    {{.kind = GDBX_WIRE_META, .count = 2}, 2, REPLY("HD O0\r\nVA 2 O1\r\nEN\r\n")},
    {{.kind = GDBX_WIRE_META, .count = 3, .options = GDBX_WIRE_QUIET}, 2, REPLY("HD O2\r\nMN\r\n")},
};

/* Show a reader the reply in [start, end), `step` bytes more each time, and what follows it. */
static size_t read_piped(struct gdbx_wire_reader reader, const uint8_t *data, size_t start,
                         size_t end, size_t total, size_t step) {
    struct gdbx_wire_record records[ROOM];
    size_t used = 0, shown = start;
    reader.options |= GDBX_WIRE_PIPED;
    reader.position = start;
    do {
        int result;
        shown = total - shown < step ? total : shown + step;
        result = gdbx_wire_scan(&reader, data, shown, records, ROOM, &used);
        CHECK(result == (shown < end ? GDBX_WIRE_MORE : GDBX_WIRE_DONE), "%d at %zu of %zu", result,
              shown, end);
        CHECK(shown < end || reader.position == end, "ends at %zu of %zu", reader.position, end);
    } while (shown < total);
    return used;
}

/* A piped reader stops at the end of its reply, whatever follows. */
static void check_piped(const struct piped *row) {
    struct gdbx_wire_reader alone = row->reader;
    struct gdbx_wire_record records[ROOM];
    size_t size = row->size, used = 0;
    uint8_t *twice = block(2 * size), *garbage = block(size + 500);
    memcpy(twice, row->reply, size);
    memcpy(twice + size, row->reply, size);
    memset(garbage, 'x', size + 500);
    memcpy(garbage, row->reply, size);
    for (size_t step = 1; step <= 2 * size; step++) {
        used = read_piped(row->reader, twice, 0, size, 2 * size, step);
        CHECK(used == row->records, "%s: %zu records", row->reply, used);
        used = read_piped(row->reader, twice, size, 2 * size, 2 * size, step);
        CHECK(used == row->records, "%s: %zu records after it", row->reply, used);
        used = read_piped(row->reader, garbage, 0, size, size + 500, step);
        CHECK(used == row->records, "%s: %zu records before garbage", row->reply, used);
    }
    used = 0;
    CHECK(gdbx_wire_scan(&alone, twice, 2 * size, records, ROOM, &used) == GDBX_WIRE_BAD
              && alone.reason == GDBX_WIRE_LEFTOVER,
          "%s: not piped", row->reply);
    free(twice);
    free(garbage);
}

struct exchange {
    struct gdbx_wire_reader reader;
    struct gdbx_wire_record records[ROOM];
    struct gdbx_wire_part part;
    uint8_t buffer[64];
    struct gdbx_wire_io io;
    int ends[2];
};

static void open_exchange(struct exchange *exchange) {
    memset(exchange, 0, sizeof *exchange);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, exchange->ends) == 0, "socketpair");
    exchange->reader.kind = GDBX_WIRE_LINES;
    exchange->reader.count = 1;
    exchange->reader.words = GDBX_WIRE_OK;
    exchange->part.data = (const uint8_t *) "flush_all\r\n";
    exchange->part.size = 11;
    exchange->io.reader = &exchange->reader;
    exchange->io.parts = &exchange->part;
    exchange->io.part_count = 1;
    exchange->io.data = exchange->buffer;
    exchange->io.capacity = sizeof exchange->buffer;
    exchange->io.records = exchange->records;
    exchange->io.record_capacity = ROOM;
    exchange->io.deadline = INT64_MAX;
    exchange->io.fd = exchange->ends[0];
}

static void close_exchange(struct exchange *exchange) {
    close(exchange->ends[0]);
    close(exchange->ends[1]);
}

static void check_late(void) {
    struct exchange exchange;
    open_exchange(&exchange);
    exchange.io.deadline = gdbx_wire_now() + 1000000;
    CHECK(gdbx_wire_exchange(&exchange.io) == GDBX_WIRE_LATE, "no answer in time");
    CHECK(write(exchange.ends[1], "OK\r\n", 4) == 4, "write");
    exchange.io.deadline = INT64_MAX;
    CHECK(gdbx_wire_exchange(&exchange.io) == GDBX_WIRE_DONE, "the answer came");
    CHECK(exchange.io.record_count == 1 && exchange.io.size == 4, "the answer");
    close_exchange(&exchange);
}

static void check_unasked_and_closed(void) {
    struct exchange exchange;
    open_exchange(&exchange);
    CHECK(write(exchange.ends[1], "OK\r\n", 4) == 4, "write");
    CHECK(gdbx_wire_exchange(&exchange.io) == GDBX_WIRE_UNASKED, "bytes were waiting");
    close_exchange(&exchange);
    open_exchange(&exchange);
    CHECK(shutdown(exchange.ends[1], SHUT_WR) == 0, "shutdown");
    CHECK(gdbx_wire_exchange(&exchange.io) == GDBX_WIRE_CLOSED, "the peer closed");
    close_exchange(&exchange);
    open_exchange(&exchange);
    CHECK(gdbx_wire_arm(exchange.ends[0], 1000000) == 0, "arm");
    exchange.io.armed = 1;
    exchange.io.deadline = gdbx_wire_now() + 1000000;
    CHECK(gdbx_wire_exchange(&exchange.io) == GDBX_WIRE_LATE, "an armed receive gives up");
    close_exchange(&exchange);
}

#define SIDES 3

struct many {
    struct exchange exchanges[SIDES];
    struct gdbx_wire_io ios[SIDES];
    int results[SIDES];
    struct gdbx_wire_many many;
    void *room[16];
};

/* Start exchanges, of which each has a buffer of `capacity` bytes for its reply. */
static void open_many(struct many *all, size_t capacity) {
    memset(all, 0, sizeof *all);
    CHECK(gdbx_wire_many_room(SIDES) <= sizeof all->room, "room for the polls");
    all->many.ios = all->ios;
    all->many.results = all->results;
    all->many.room = all->room;
    all->many.deadline = INT64_MAX;
    for (size_t i = 0; i < SIDES; i++) {
        open_exchange(&all->exchanges[i]);
        all->ios[i] = all->exchanges[i].io;
        all->ios[i].capacity = capacity;
        gdbx_wire_many_start(&all->many);
    }
}

static void close_many(struct many *all) {
    for (size_t i = 0; i < SIDES; i++) close_exchange(&all->exchanges[i]);
}

static void answer(struct many *all, size_t side, const char *text) {
    size_t size = strlen(text);
    CHECK(write(all->exchanges[side].ends[1], text, size) == (ssize_t) size, "write");
}

static void check_many_end_each_in_its_way(void) {
    struct many all;
    char request[16];
    open_many(&all, sizeof all.exchanges[0].buffer);
    for (size_t i = 0; i < SIDES; i++)
        CHECK(read(all.exchanges[i].ends[1], request, sizeof request) == 11, "request %zu", i);
    answer(&all, 2, "OK\r\n");
    CHECK(gdbx_wire_many_finish(&all.many, 2) == GDBX_WIRE_DONE, "the last one is done first");
    CHECK(all.results[2] == GDBX_WIRE_DONE && all.results[0] == GDBX_WIRE_GO_ON, "and it alone");
    answer(&all, 0, "NO\r\n");
    CHECK(shutdown(all.exchanges[1].ends[1], SHUT_WR) == 0, "shutdown");
    CHECK(gdbx_wire_many_finish(&all.many, 0) == GDBX_WIRE_DONE, "a bad one is over");
    CHECK(gdbx_wire_many_finish(&all.many, 1) == GDBX_WIRE_DONE, "and a closed one");
    CHECK(all.results[0] == GDBX_WIRE_BAD && all.results[1] == GDBX_WIRE_CLOSED, "each its way");
    close_many(&all);
}

static void check_many_share_a_deadline(void) {
    struct many all;
    open_many(&all, sizeof all.exchanges[0].buffer);
    all.many.deadline = gdbx_wire_now() - 1;
    answer(&all, 1, "OK\r\n");
    CHECK(gdbx_wire_many_finish(&all.many, 0) == GDBX_WIRE_DONE, "over");
    CHECK(all.results[0] == GDBX_WIRE_LATE && all.results[2] == GDBX_WIRE_LATE, "late");
    CHECK(all.results[1] == GDBX_WIRE_DONE, "what had come by the deadline was taken");
    close_many(&all);
}

static void check_many_wait_for_one_and_then_for_any(void) {
    struct many all;
    open_many(&all, sizeof all.exchanges[0].buffer);
    answer(&all, 0, "OK\r\n");
    answer(&all, 2, "OK\r\n");
    CHECK(gdbx_wire_many_wait(&all.many, 2) == GDBX_WIRE_GO_ON, "the one has answered");
    for (size_t i = 0; i < SIDES; i++) gdbx_wire_many_step(&all.many, i);
    CHECK(all.results[2] == GDBX_WIRE_DONE && all.results[0] == GDBX_WIRE_DONE, "both are taken");
    CHECK(all.results[1] == GDBX_WIRE_GO_ON, "one has not answered");
    answer(&all, 1, "O");
    CHECK(gdbx_wire_many_wait(&all.many, 1) == GDBX_WIRE_GO_ON, "a part came");
    gdbx_wire_many_step(&all.many, 1);
    CHECK(all.results[1] == GDBX_WIRE_GO_ON && all.ios[1].size == 1, "and was taken");
    all.many.deadline = gdbx_wire_now() + 5000000;
    CHECK(gdbx_wire_many_wait(&all.many, 1) == GDBX_WIRE_GO_ON, "neither it nor any came");
    gdbx_wire_many_step(&all.many, 1);
    answer(&all, 1, "K\r\n");
    CHECK(gdbx_wire_many_wait(&all.many, GDBX_WIRE_ANY) == GDBX_WIRE_GO_ON, "the last look");
    gdbx_wire_many_step(&all.many, 1);
    CHECK(all.results[1] == GDBX_WIRE_DONE, "was in time");
    CHECK(gdbx_wire_many_wait(&all.many, GDBX_WIRE_ANY) == GDBX_WIRE_DONE, "all are over");
    close_many(&all);
}

static void check_many_want_room(void) {
    struct many all;
    open_many(&all, 2);
    for (size_t i = 0; i < SIDES; i++) answer(&all, i, "OK\r\n");
    gdbx_wire_many_look(&all.many, 1);
    CHECK(all.results[1] == GDBX_WIRE_GO_ON, "half of it came");
    CHECK(gdbx_wire_many_finish(&all.many, 1) == GDBX_WIRE_MORE, "room is wanted");
    CHECK(all.results[1] == GDBX_WIRE_MORE, "by this one");
    for (size_t i = 0; i < SIDES; i++) {
        all.ios[i].capacity = sizeof all.exchanges[i].buffer;
        all.ios[i].record_capacity = 0;
        all.results[i] = GDBX_WIRE_GO_ON;
    }
    CHECK(gdbx_wire_many_finish(&all.many, 1) == GDBX_WIRE_MORE, "and for records");
    for (size_t i = 0; i < SIDES; i++) {
        all.ios[i].record_capacity = ROOM;
        if (all.results[i] == GDBX_WIRE_FULL) gdbx_wire_many_rescan(&all.many, i);
    }
    for (size_t i = 0; i < SIDES; i++) {
        CHECK(gdbx_wire_many_finish(&all.many, i) == GDBX_WIRE_DONE, "done");
        CHECK(all.results[i] == GDBX_WIRE_DONE && all.ios[i].size == 4, "and whole");
    }
    close_many(&all);
}

/* Requests that fill every buffer, to peers that answer before they read on. */
static void check_many_send_and_receive_by_turns(void) {
    static uint8_t large[1 << 22];
    static uint8_t taken[1 << 16];
    struct many all;
    size_t left[SIDES];
    open_many(&all, sizeof all.exchanges[0].buffer);
    for (size_t i = 0; i < SIDES; i++) {
        all.exchanges[i].part.data = large;
        all.exchanges[i].part.size = sizeof large;
        all.ios[i].parts = &all.exchanges[i].part;
        all.ios[i].part = all.ios[i].offset = 0;
        all.results[i] = GDBX_WIRE_GO_ON;
        left[i] = sizeof large + 11;
        answer(&all, i, "OK\r\n");
    }
    all.many.deadline = 0;
    while (left[0] + left[1] + left[2]) {
        for (size_t i = 0; i < SIDES; i++) {
            ssize_t got = recv(all.exchanges[i].ends[1], taken, sizeof taken, MSG_DONTWAIT);
            if (got > 0) left[i] -= (size_t) got;
            if (all.results[i] == GDBX_WIRE_LATE) all.results[i] = GDBX_WIRE_GO_ON;
            all.many.is_late = 0;
            CHECK(gdbx_wire_many_finish(&all.many, i) == GDBX_WIRE_DONE, "a round");
        }
    }
    for (size_t i = 0; i < SIDES; i++)
        CHECK(all.results[i] == GDBX_WIRE_DONE, "all was sent, and answered");
    close_many(&all);
}

static void check_peek(void) {
    struct exchange exchange;
    int error = 0, fds[2] = {0, -1};
    void *room[16];
    uint8_t marks[2];
    open_exchange(&exchange);
    fds[0] = exchange.ends[0];
    CHECK(gdbx_wire_peek(exchange.ends[0], &error) == GDBX_WIRE_GO_ON, "quiet");
    CHECK(gdbx_wire_many_unfit(fds, 2, room, marks) == 1 && !marks[0] && marks[1], "one is not");
    CHECK(write(exchange.ends[1], "x", 1) == 1, "write");
    CHECK(gdbx_wire_peek(exchange.ends[0], &error) == GDBX_WIRE_UNASKED, "not asked for");
    CHECK(gdbx_wire_many_unfit(fds, 2, room, marks) == 2 && marks[0] && marks[1], "neither is");
    close_exchange(&exchange);
    CHECK(gdbx_wire_peek(-1, &error) == GDBX_WIRE_BROKEN && error == EBADF, "no socket");
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    check_values();
    check_keys();
    check_full();
    check_bare();
    for (size_t i = 0; i < COUNT(PIPED); i++) check_piped(&PIPED[i]);
    check_late();
    check_unasked_and_closed();
    check_many_end_each_in_its_way();
    check_many_share_a_deadline();
    check_many_wait_for_one_and_then_for_any();
    check_many_want_room();
    check_many_send_and_receive_by_turns();
    check_peek();
    return 0;
}
