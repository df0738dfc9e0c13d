/* Fuzz what takes usual frames off a reply before the scan: no key's answer is another for it.
 *
 * Input: kind and options, the size of a piece, how much is missing at the end, a byte each; then
 * steps that make a reply, of which most are frames and some are bytes as they are.
 */
#include "check.h"
#include "wire_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t SEED[2] = {3, 5};

enum { HEAD = 3, KEYS = 6, RECORDS = 3, REPLY = 8192, UNASKED = -2 };

#define TEXT(words) {(const uint8_t *) (words), sizeof(words) - 1}

/* Short ones and long ones, and some that are the start of another. */
static const struct gdbx_text NAMES[KEYS + 1] = {TEXT("a"),
                                                 TEXT("ab"),
                                                 TEXT("eightlet"),
                                                 TEXT("eightlett"),
                                                 TEXT("sixteen--letters"),
                                                 TEXT("sixteen--letters-and-more"),
                                                 TEXT("nobody's")};

struct answer {
    int is_there;
    size_t size;
    uint32_t flags, status;
    uint64_t cas, sum;
};

/* One way to read a reply, and what came of it. */
struct side {
    struct gdbx_wire_reader reader;
    struct gdbx_wire_asked asked[KEYS];
    int32_t after[KEYS];
    struct gdbx_wire_server server;
    struct gdbx_wire_batch batch;
    struct gdbx_wire_record records[RECORDS];
    struct answer answers[KEYS];
    int32_t table[4 * KEYS];
    int result, failure;
};

static uint64_t sum(const uint8_t *data, size_t size) {
    uint64_t sum = size;

    for (size_t i = 0; i < size; i++) sum = sum * 31 + data[i];
    return sum;
}

static void begin(struct side *side, int head) {
    static const uint16_t shards[KEYS] = {0};
    static const char prefix[] = "pre:";
    uint16_t place;

    memset(side, 0, sizeof *side);
    side->batch.keys = NAMES;
    side->batch.asked = side->asked;
    side->batch.after = side->after;
    side->batch.count = KEYS;
    side->batch.servers = &side->server;
    side->batch.prefix.data = (const uint8_t *) prefix;
    side->batch.prefix.size = head & 4 ? sizeof prefix - 1 : 0;
    CHECK(gdbx_wire_batch_sort(&side->batch, shards, &place, 1), "all are on one server");
    side->reader.kind = head & 1 ? GDBX_WIRE_VALUES : GDBX_WIRE_LINES;
    side->reader.options = head & 1 ? (head & 2 ? GDBX_WIRE_BARE : 0) : GDBX_WIRE_STRICT;
    side->reader.words = head & 1 ? 0 : 15;
    side->reader.count = KEYS;
    side->reader.lists = head & 1 ? (uint32_t) head >> 3 & 3 : 0;
}

static void answer(struct side *side, int32_t key, const uint8_t *value, size_t size) {
    struct answer *answer = &side->answers[key];

    CHECK(!answer->is_there, "key %d is answered twice", key);
    answer->is_there = 1;
    answer->size = size;
    answer->sum = sum(value, size);
    answer->flags = side->asked[key].flags;
    answer->cas = side->asked[key].cas;
    side->asked[key].found = side;
}

/* As the kernel does: what was taken, then what the scan made of the rest. */
static void answer_all(struct side *side, const struct gdbx_wire_io *io) {
    struct gdbx_wire_server *server = &side->server;

    for (; side->reader.kind == GDBX_WIRE_VALUES && server->taken != server->next;
         server->taken = side->after[server->taken]) {
        struct gdbx_text *value = &side->asked[server->taken].value;

        if (value->data) answer(side, server->taken, value->data, value->size);
        value->data = NULL;
    }
    for (size_t i = 0; i < io->record_count && !side->failure; i++) {
        const struct gdbx_wire_record *record = &side->records[i];
        int32_t key = server->next;

        if (side->reader.kind == GDBX_WIRE_LINES) {
            side->answers[key].status =
                record->marks & GDBX_WIRE_FAILED ? 1000 + record->status : record->status;
            server->next = side->after[key];
            continue;
        }
        if (record->marks & GDBX_WIRE_FAILED) {
            side->failure = (int) record->status;
            break;
        }
        key = gdbx_wire_batch_named(&side->batch, server, io->data, record);
        if (key == GDBX_WIRE_UNSORTED) {
            CHECK(gdbx_wire_batch_slots(server) <= COUNT(side->table), "a large table");
            gdbx_wire_batch_index(&side->batch, server, side->table, SEED);
            key = gdbx_wire_batch_named(&side->batch, server, io->data, record);
        }
        if (key == GDBX_WIRE_NONE) {
            side->failure = UNASKED;
        } else {
            side->asked[key].flags = record->flags;
            side->asked[key].cas = record->cas;
            answer(side, key, io->data + record->value, record->value_size);
            server->next = server->taken = side->after[key];
        }
    }
}

static void read_reply(struct side *side, const uint8_t *data, size_t size, size_t piece,
                       int takes) {
    struct gdbx_wire_io io = {.reader = &side->reader, .taker = &side->server};

    io.records = side->records;
    io.record_capacity = RECORDS;
    if (takes)
        io.take = side->reader.kind == GDBX_WIRE_VALUES ? gdbx_wire_batch_take_values
                                                        : gdbx_wire_batch_take_stored;
    while (io.size < size && !side->failure) {
        io.size = size - io.size < piece ? size : io.size + piece;
        io.data = block(io.size);
        memcpy(io.data, data, io.size);
        do {
            io.record_count = 0;
            side->result = gdbx_wire_rescan(&io);
            answer_all(side, &io);
        } while (side->result == GDBX_WIRE_FULL && !side->failure);
        free(io.data);
        if (side->result != GDBX_WIRE_GO_ON && side->result != GDBX_WIRE_DONE) break;
    }
}

/* Write one frame, or some bytes of the input; returns where the input goes on. */
static size_t make_frame(const struct side *side, const uint8_t *data, size_t size, char *out,
                         size_t *made) {
    static const char *const flags[] = {"0", "1", "4294967295", "4294967296", "00", "", "x", "-1"};
    static const char *const lines[] = {
        "END\r\n", "STORED\r\n", "NOT_STORED\r\n",       "EXISTS\r\n", "ERROR\r\n",
        "END\r",   "STORED\n",   "SERVER_ERROR out\r\n", "VALUE \r\n", "NOT_FOUND\r\n"};
    int one = data[0], other = size > 1 ? data[1] : 0, third = size > 2 ? data[2] : 0;
    const struct gdbx_text *name = &NAMES[other % (KEYS + 1)];
    int length = third % 40, written;

    if (one % 8 == 7) { /* as it is */
        size_t count = size - 1 < (size_t) (one / 8) ? size - 1 : (size_t) (one / 8);

        memcpy(out, data + 1, count);
        *made += count;
        return 1 + count;
    }
    if (one % 8 >= 5) {
        *made += (size_t) sprintf(out, "%s", lines[other % (int) COUNT(lines)]);
        return 2;
    }
    written = sprintf(out, "VALUE %.*s%.*s %s %d", (int) side->batch.prefix.size,
                      (const char *) side->batch.prefix.data, (int) name->size,
                      (const char *) name->data, flags[one / 8 < 8 ? one / 8 : 0], length);
    if (!(side->reader.options & GDBX_WIRE_BARE) != (third >= 240))
        written += sprintf(out + written, " %d", one * 1000 + third);
    written +=
        sprintf(out + written, "\r\n%.*s\r\n", length, "a value whose bytes do not matter any m");
    *made += (size_t) written;
    return 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct side plain, taken;
    char reply[REPLY + 512];
    size_t made = 0, missing, piece;
    int head;

    if (size < HEAD) return 0;
    head = data[0];
    piece = 1 + data[1] % 64 * (data[1] >= 64 ? 16u : 1u);
    missing = data[2] >= 128 ? data[2] % 64 : 0;
    begin(&plain, head);
    begin(&taken, head);
    for (size_t at = HEAD; at < size && made < REPLY;)
        at += make_frame(&plain, data + at, size - at, reply + made, &made);
    made -= missing < made ? missing : 0;
    read_reply(&plain, (const uint8_t *) reply, made, piece, 0);
    read_reply(&taken, (const uint8_t *) reply, made, piece, 1);
    CHECK(plain.failure == taken.failure, "%d, taken %d", plain.failure, taken.failure);
    if (plain.failure) /* then that is the answer of every key */
        return 0;
    CHECK(plain.result == taken.result, "%d, taken %d", plain.result, taken.result);
    CHECK(plain.server.next == taken.server.next, "%d, taken %d", plain.server.next,
          taken.server.next);
    CHECK(plain.reader.position == taken.reader.position, "another end");
    CHECK(plain.reader.done == taken.reader.done, "over, and not over");
    CHECK(plain.reader.next == taken.reader.next, "another number of frames");
    if (plain.result == GDBX_WIRE_BAD)
        CHECK(plain.reader.reason == taken.reader.reason, "another reason");
    CHECK(memcmp(plain.answers, taken.answers, sizeof plain.answers) == 0, "other answers");
    return 0;
}
