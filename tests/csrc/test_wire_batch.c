/* A batch's keys, sorted by server, and what is written for them. */
#include "check.h"
#include "wire_batch.h"

enum { KEYS = 5, SHARDS = 4, ROOM = 1024 };

#define TEXT(words) {(const uint8_t *) (words), sizeof(words) - 1}

static const struct gdbx_text NAMES[KEYS] = {TEXT("a"), TEXT("bb"), TEXT("ccc"), TEXT("d"),
                                             TEXT("eeeeeeeeeeeeeeee")};

struct made {
    struct gdbx_wire_reader reader; /* of the first server's reply */
    struct gdbx_wire_asked asked[KEYS];
    int32_t after[KEYS];
    struct gdbx_wire_server servers[SHARDS];
    struct gdbx_wire_batch batch;
};

/* Sort the keys, of which the first, the third and the last are on shard 3, the others on 1. */
static void make(struct made *made, const char *prefix) {
    static const uint16_t shards[KEYS] = {3, 1, 3, 1, 3};
    uint16_t *places = block(SHARDS * sizeof *places);
    struct gdbx_wire_batch *batch = &made->batch;

    memset(made, 0, sizeof *made);
    batch->prefix.data = (const uint8_t *) prefix;
    batch->prefix.size = strlen(prefix);
    batch->keys = NAMES;
    batch->asked = made->asked;
    batch->after = made->after;
    batch->count = KEYS;
    batch->servers = made->servers;
    batch->most_line = GDBX_WIRE_LINE;
    for (size_t i = 0; i < KEYS; i++) made->asked[i].value = NAMES[KEYS - 1 - i];
    CHECK(gdbx_wire_batch_sort(batch, shards, places, SHARDS), "each is on a shard");
    CHECK(!gdbx_wire_batch_sort(batch, shards, places, 3), "one is on none");
    CHECK(!gdbx_wire_batch_sort(batch, shards, places, 65536), "more than can be numbered");
    CHECK(gdbx_wire_batch_sort(batch, shards, places, SHARDS), "again");
    free(places);
}

static void check_sorted(void) {
    struct made made;

    make(&made, "");
    CHECK(made.batch.used == 2, "%zu servers", made.batch.used);
    CHECK(made.servers[0].shard == 3 && made.servers[1].shard == 1, "by their first keys");
    CHECK(made.servers[0].number == 3 && made.servers[1].number == 2, "how many keys");
    CHECK(made.servers[0].size == 1 + 3 + 16 + 16 + 3 + 1, "%zu bytes", made.servers[0].size);
    CHECK(made.servers[0].first == 0 && made.after[0] == 2 && made.after[2] == 4, "3");
    CHECK(made.after[4] == GDBX_WIRE_NONE, "the end of it");
    CHECK(made.servers[1].first == 1 && made.after[1] == 3, "1");
    CHECK(made.after[3] == GDBX_WIRE_NONE, "the end of it");
}

/* Check a request, written into a block of the size that was announced for it. */
static void check_written(struct made *made, int is_store, const char *expected) {
    static const struct gdbx_text gets = TEXT("gets"), set = TEXT("set ");
    struct gdbx_wire_server *server = &made->servers[0];
    uint8_t *out, *end;
    size_t size;
    gdbx_wire_batch_count_lines(server, gets);
    out = block(is_store ? gdbx_wire_batch_store_size(server) : gdbx_wire_batch_get_size(server));
    end =
        is_store ? gdbx_wire_batch_store(server, set, out) : gdbx_wire_batch_get(server, gets, out);
    size = (size_t) (end - out);
    CHECK(size == strlen(expected), "%zu bytes", size);
    CHECK(memcmp(out, expected, size) == 0, "%.*s", (int) size, (char *) out);
    free(out);
}

static void check_requests(void) {
    struct made made;

    make(&made, "");
    check_written(&made, 0, "gets a ccc eeeeeeeeeeeeeeee\r\n");
    make(&made, "pre:");
    for (size_t i = 0; i < KEYS; i++) made.asked[i].value.size = 0;
    made.servers[0].size = 20;
    check_written(&made, 0, "gets pre:a pre:ccc pre:eeeeeeeeeeeeeeee\r\n");
    made.batch.most_line = 40; /* less than all of it, by a byte */
    check_written(&made, 0, "gets pre:a pre:ccc\r\ngets pre:eeeeeeeeeeeeeeee\r\n");
    CHECK(made.servers[0].lines == 2, "%zu lines", made.servers[0].lines);
    made.batch.most_line = 1; /* no line is without a key */
    check_written(&made, 0, "gets pre:a\r\ngets pre:ccc\r\ngets pre:eeeeeeeeeeeeeeee\r\n");
    make(&made, "p");
    made.asked[0].flags = UINT32_MAX;
    made.asked[0].expire = -(INT64_C(1) << 31);
    made.asked[2].cas = UINT64_MAX;
    made.asked[2].expire = INT64_C(0xffffffff);
    made.asked[4].flags = 10;
    made.asked[4].expire = -9;
    check_written(&made, 1,
                  "set pa 4294967295 2592001 16\r\neeeeeeeeeeeeeeee\r\n"
                  "cas pccc 0 4294967295 3 18446744073709551615\r\nccc\r\n"
                  "set peeeeeeeeeeeeeeee 10 2592001 1\r\na\r\n");
}

/* Everything as long as it gets, and a verb of the most bytes: the announced size is enough. */
static void check_the_longest_store(void) {
    static const struct gdbx_text verb = TEXT("prepend ");
    struct made made;
    char expected[ROOM];
    size_t size, room;
    uint8_t *out;
    make(&made, "p");
    for (size_t i = 0; i < KEYS; i++) {
        made.asked[i].flags = UINT32_MAX;
        made.asked[i].expire = INT64_MAX;
        made.asked[i].cas = i == 0 ? 0 : UINT64_MAX;
    }
    room = gdbx_wire_batch_store_size(&made.servers[0]);
    out = block(room);
    size = (size_t) (gdbx_wire_batch_store(&made.servers[0], verb, out) - out);
    sprintf(expected,
            "prepend pa 4294967295 9223372036854775807 16\r\neeeeeeeeeeeeeeee\r\n"
            "cas pccc 4294967295 9223372036854775807 3 %s\r\nccc\r\n"
            "cas peeeeeeeeeeeeeeee 4294967295 9223372036854775807 1 %s\r\na\r\n",
            "18446744073709551615", "18446744073709551615");
    CHECK(size == strlen(expected) && size <= room, "%zu of %zu bytes", size, room);
    CHECK(memcmp(out, expected, size) == 0, "%.*s", (int) size, (char *) out);
    free(out);
}

static const uint64_t SEED[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static int32_t named(struct made *made, const char *name) {
    struct gdbx_wire_record record = {.key = 2, .key_size = strlen(name)};
    uint8_t *data = block(2 + record.key_size);
    int32_t at;

    memcpy(data, "..", 2);
    memcpy(data + 2, name, record.key_size);
    at = gdbx_wire_batch_named(&made->batch, &made->servers[0], data, &record);
    free(data);
    return at;
}

static void check_names(void) {
    struct made made;

    for (int32_t next = GDBX_WIRE_NONE; next < KEYS; next++) {
        int32_t *table;

        if (next == 1 || next == 3) /* another server's */
            continue;
        make(&made, "p");
        made.servers[0].next = next;
        if (next != GDBX_WIRE_NONE)
            CHECK(named(&made, "peeeeeeeeeeeeeeee") == 4, "the next, or behind it");
        CHECK(named(&made, "q") == GDBX_WIRE_NONE, "another prefix");
        CHECK(!made.servers[0].is_mixed, "that is no other order");
        if (next == 0)
            CHECK(named(&made, "pa") == 0 && named(&made, "pccc") == 2, "from %d on", next);
        else
            CHECK(named(&made, "pa") == GDBX_WIRE_UNSORTED, "from %d on", next);
        table = block(gdbx_wire_batch_slots(&made.servers[0]) * sizeof *table);
        gdbx_wire_batch_index(&made.batch, &made.servers[0], table, SEED);
        CHECK(named(&made, "pa") == 0 && named(&made, "pccc") == 2, "from %d on", next);
        CHECK(named(&made, "peeeeeeeeeeeeeeee") == 4, "from %d on", next);
        CHECK(named(&made, "pbb") == GDBX_WIRE_NONE, "another server's");
        CHECK(named(&made, "a") == GDBX_WIRE_NONE, "no prefix");
        CHECK(named(&made, "qa") == GDBX_WIRE_NONE, "another prefix");
        CHECK(named(&made, "pcc") == GDBX_WIRE_NONE, "the start of one");
        CHECK(named(&made, "p") == GDBX_WIRE_NONE, "a prefix alone");
        CHECK(named(&made, "") == GDBX_WIRE_NONE, "none");
        made.asked[0].found = &made;
        CHECK(named(&made, "pa") == GDBX_WIRE_NONE, "one that has its answer");
        free(table);
    }
}

/* One server's batch of many keys, and a reply of values in any order. */
enum { MANY = 20000, ROOM_OF_NAME = 24 };

struct many {
    struct gdbx_wire_reader reader;
    char names[MANY][ROOM_OF_NAME];
    struct gdbx_text keys[MANY];
    struct gdbx_wire_asked asked[MANY];
    int32_t after[MANY];
    struct gdbx_wire_server server;
    struct gdbx_wire_batch batch;
    uint16_t shards[MANY];
    int order[MANY];
};

static void ask_many(struct many *many, int distinct) {
    uint16_t place;

    memset(many, 0, sizeof *many);
    for (int i = 0; i < MANY; i++) {
        many->keys[i].size = (size_t) sprintf(many->names[i], "key:%d", i % distinct);
        many->keys[i].data = (const uint8_t *) many->names[i];
        many->order[i] = i;
    }
    many->batch.keys = many->keys;
    many->batch.asked = many->asked;
    many->batch.after = many->after;
    many->batch.count = MANY;
    many->batch.servers = &many->server;
    CHECK(gdbx_wire_batch_sort(&many->batch, many->shards, &place, 1), "all are on one server");
    many->reader.kind = GDBX_WIRE_VALUES;
    many->reader.options = GDBX_WIRE_BARE;
    many->reader.count = MANY;
}

/* Read the reply as the kernel does, 64 KiB at a time; returns how many keys had an answer. */
static size_t answer_many(struct many *many, size_t count) {
    struct gdbx_wire_server *server = &many->server;
    struct gdbx_wire_record records[32];
    struct gdbx_wire_io io = {.reader = &many->reader, .taker = server};
    char *reply = block(count * 48 + 8);
    size_t size = 0, answered = 0;
    int32_t *table = NULL, result;

    for (size_t i = 0; i < count; i++)
        size +=
            (size_t) sprintf(reply + size, "VALUE %s 0 3\r\nabc\r\n", many->names[many->order[i]]);
    size += (size_t) sprintf(reply + size, "END\r\n");
    io.data = (uint8_t *) reply;
    io.records = records;
    io.record_capacity = COUNT(records);
    io.take = gdbx_wire_batch_take_values;
    while (io.size < size) {
        io.size = size - io.size < 1 << 16 ? size : io.size + (1 << 16);
        do {
            io.record_count = 0;
            result = gdbx_wire_rescan(&io);
            for (; server->taken != server->next;
                 server->taken = many->batch.after[server->taken]) {
                if (!many->asked[server->taken].value.data) continue;
                many->asked[server->taken].found = many;
                answered++;
            }
            for (size_t i = 0; i < io.record_count; i++) {
                int32_t at = gdbx_wire_batch_named(&many->batch, server, io.data, &records[i]);

                if (at == GDBX_WIRE_UNSORTED) {
                    CHECK(!table, "asked for twice");
                    table = block(gdbx_wire_batch_slots(server) * sizeof *table);
                    gdbx_wire_batch_index(&many->batch, server, table, SEED);
                    at = gdbx_wire_batch_named(&many->batch, server, io.data, &records[i]);
                }
                CHECK(at >= 0 && !many->asked[at].found, "record %zu: %d", i, at);
                many->asked[at].found = many;
                answered++;
                server->next = server->taken = many->batch.after[at];
            }
        } while (result == GDBX_WIRE_FULL);
    }
    CHECK(many->reader.done, "all of it");
    free(table);
    free(reply);
    return answered;
}

/* Whatever the order, a name is compared with a few keys, not with all. */
static void check_many(void) {
    struct many *many = block(sizeof *many);
    uint64_t random = 1;

    ask_many(many, MANY);
    CHECK(answer_many(many, MANY) == MANY && !many->server.is_mixed, "in order");
    CHECK(many->server.steps == 0, "%zu steps", many->server.steps);
    ask_many(many, MANY);
    for (int i = 0; i < MANY / 2; i++) many->order[i] = 2 * i + 1;
    CHECK(answer_many(many, MANY / 2) == MANY / 2, "every second");
    CHECK(many->server.steps == MANY / 2 && !many->server.is_mixed, "%zu", many->server.steps);
    for (int how = 0; how < 4; how++) {
        ask_many(many, how == 3 ? 10 : MANY); /* or each key two thousand times */
        for (int i = 0; i < MANY; i++)
            many->order[i] = how == 1 ? (i + MANY / 2) % MANY : MANY - 1 - i;
        for (int i = MANY - 1; how == 2 && i > 0; i--) {
            int other, kept = many->order[i];

            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            other = (int) ((random >> 33) % (uint64_t) (i + 1));
            many->order[i] = many->order[other];
            many->order[other] = kept;
        }
        CHECK(answer_many(many, MANY) == MANY, "order %d", how);
        CHECK(many->server.is_mixed || how == 3, "order %d", how);
        CHECK(many->server.steps < 6 * MANY, "order %d: %zu steps", how, many->server.steps);
    }
    free(many);
}

static void forget_values(struct made *made) {
    for (size_t i = 0; i < KEYS; i++) made->asked[i].value.data = NULL;
}

/* Show the first server's reader so much of a reply, in a block of that size, and take. */
static void take(struct made *made, void (*how)(struct gdbx_wire_io *), const char *reply,
                 size_t size) {
    struct gdbx_wire_io io = {.reader = &made->reader, .taker = &made->servers[0], .size = size};

    io.data = block(size);
    memcpy(io.data, reply, size);
    how(&io);
    for (size_t i = 0; i < KEYS; i++) {
        struct gdbx_text *value = &made->asked[i].value;

        if (value->data == NULL) continue;
        CHECK(value->data >= io.data && value->data + value->size <= io.data + size, "within");
        made->asked[i].found = made;
        value->data = NULL;
    }
    free(io.data);
}

static void check_taken_values(void) {
    static const char first[] = "VALUE pa 0 3\r\nabc\r\n";
    static const char reply[] = "VALUE pa 0 3\r\nabc\r\nVALUE peeeeeeeeeeeeeeee 4294967295 60\r\n"
                                "012345678901234567890123456789012345678901234567890123456789\r\n"
                                "END\r\n";
    struct made made;
    struct gdbx_wire_reader *reader = &made.reader;

    /* The first ends too near the end to be taken before more is there. */
    for (size_t size = 0; size < sizeof reply; size++) {
        make(&made, "p");
        forget_values(&made);
        reader->options = GDBX_WIRE_BARE;
        take(&made, gdbx_wire_batch_take_values, reply, size);
        CHECK(reader->position == 0 || reader->position == sizeof first - 1
                  || reader->position == sizeof reply - 6 || reader->position == sizeof reply - 1,
              "a part of %zu", reader->position);
        CHECK(!made.asked[2].found, "a key that is not there");
        CHECK(reader->done == (size == sizeof reply - 1), "%zu bytes are all", size);
    }
    CHECK(made.asked[0].found && made.asked[0].flags == 0 && made.asked[0].value.size == 3, "a");
    CHECK(made.asked[4].found && made.asked[4].flags == UINT32_MAX, "the long one");
    CHECK(made.asked[4].value.size == 60 && reader->next == 2, "%zu", made.asked[4].value.size);
    CHECK(made.servers[0].next == GDBX_WIRE_NONE, "no more");
    take(&made, gdbx_wire_batch_take_values, reply, sizeof reply - 1);
    CHECK(reader->position == sizeof reply - 1, "nothing behind the end");
}

static void check_taken_lines(void) {
    static const char reply[] = "STORED\r\nSTORED\r\nNOT_STORED\r\n";
    struct made made;
    struct gdbx_wire_server *server = &made.servers[0];

    for (size_t size = 0; size < sizeof reply; size++) {
        size_t whole = size < 16 ? size / 8 : 2;

        make(&made, "");
        made.reader.count = 3;
        forget_values(&made);
        take(&made, gdbx_wire_batch_take_stored, reply, size);
        CHECK(made.reader.position == 8 * whole && made.reader.next == whole, "%zu", size);
        CHECK(server->next == (whole == 0 ? 0 : whole == 1 ? 2 : 4), "%d", server->next);
        CHECK(!made.reader.done, "one is left");
    }
    make(&made, "");
    made.reader.count = 3;
    forget_values(&made);
    take(&made, gdbx_wire_batch_take_stored, "STORED\r\nSTORED\r\nSTORED\r\n", 24);
    CHECK(made.reader.done && server->next == GDBX_WIRE_NONE, "all three");
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    check_sorted();
    check_requests();
    check_the_longest_store();
    check_names();
    check_many();
    check_taken_values();
    check_taken_lines();
    printf("%d keys on %d servers\n", KEYS, 2);
    return 0;
}
