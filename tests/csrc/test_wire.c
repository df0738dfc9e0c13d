/* The readers of memcached's replies. */
#include "check.h"
#include "wire.h"

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

static void check_no_prefix(void) {
    static const struct {
        const char *data;
        int result;
    } rows[] = {
        {"PREFIX  get 2\r\nEND\r\n", GDBX_WIRE_DONE},
        {"PREFIX \r\nEND\r\n", GDBX_WIRE_BAD},
        {"STAT  2\r\nEND\r\n", GDBX_WIRE_BAD},
        {"ITEM  2\r\nEND\r\n", GDBX_WIRE_BAD},
    };
    for (size_t at = 0; at < sizeof rows / sizeof rows[0]; at++) {
        struct gdbx_wire_reader reader = {.kind = GDBX_WIRE_STATS, .count = 1};
        struct gdbx_wire_record records[ROOM];
        const uint8_t *data = (const uint8_t *) rows[at].data;
        size_t used = 0;
        int result = gdbx_wire_scan(&reader, data, strlen(rows[at].data), records, ROOM, &used);
        CHECK(result == rows[at].result, "%s", rows[at].data);
        if (result != GDBX_WIRE_DONE) continue;
        CHECK(used == 1 && records[0].key_size == 0, "%zu records", used);
        CHECK(records[0].value_size == 5 && memcmp(data + records[0].value, "get 2", 5) == 0,
              "the value");
    }
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
    {{.kind = GDBX_WIRE_VALUES, .count = 1}, 1, REPLY("SERVER_ERROR backend failure\r\n")},
    {{.kind = GDBX_WIRE_VALUES, .count = 2}, 1, REPLY("SERVER_ERROR busy\r\n")},
    {{.kind = GDBX_WIRE_VALUES, .count = 2}, 1, REPLY("SERVER_ERROR backend failure\r\nEND\r\n")},
    {{.kind = GDBX_WIRE_VALUES, .count = 3},
     3,
     REPLY("SERVER_ERROR lua failure\r\nVALUE k 0 1 9\r\nx\r\nSERVER_ERROR busy\r\nEND\r\n")},
    {{.kind = GDBX_WIRE_META, .count = 2, .options = GDBX_WIRE_QUIET},
     3,
     REPLY("SERVER_ERROR busy\r\nHD O1\r\nMN\r\n")},
    {{.kind = GDBX_WIRE_STATS, .count = 1},
     2,
     REPLY("ITEM a [1 b; 0 s]\r\nPREFIX b get 1\r\nEND\r\n")},
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

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    check_values();
    check_keys();
    check_full();
    check_no_prefix();
    check_bare();
    for (size_t i = 0; i < COUNT(PIPED); i++) check_piped(&PIPED[i]);
    return 0;
}
