/* A batch's keys, sorted by server, and what is written for them. */
#include "check.h"
#include "wire_batch.h"

enum { KEYS = 5, SHARDS = 4, ROOM = 1024 };

#define TEXT(words) {(const uint8_t *)(words), sizeof(words) - 1}

static const struct gdbx_text NAMES[KEYS] = {TEXT("a"), TEXT("bb"), TEXT("ccc"), TEXT("d"),
                                             TEXT("eeeeeeeeeeeeeeee")};

struct made {
    struct gdbx_wire_asked asked[KEYS];
    struct gdbx_wire_server servers[SHARDS];
    struct gdbx_wire_batch batch;
};

/* Sort the keys, of which the first, the third and the last are on shard 3, the others on 1. */
static void make(struct made *made, const char *prefix)
{
    static const uint16_t shards[KEYS] = {3, 1, 3, 1, 3};
    uint16_t *places = block(SHARDS * sizeof *places);
    struct gdbx_wire_batch *batch = &made->batch;

    memset(made, 0, sizeof *made);
    batch->prefix.data = (const uint8_t *)prefix;
    batch->prefix.size = strlen(prefix);
    batch->keys = NAMES;
    batch->asked = made->asked;
    batch->count = KEYS;
    batch->servers = made->servers;
    for (size_t i = 0; i < KEYS; i++)
        made->asked[i].value = NAMES[KEYS - 1 - i];
    CHECK(gdbx_wire_batch_sort(batch, shards, places, SHARDS), "each is on a shard");
    CHECK(!gdbx_wire_batch_sort(batch, shards, places, 3), "one is on none");
    CHECK(gdbx_wire_batch_sort(batch, shards, places, SHARDS), "again");
    free(places);
}

static void check_sorted(void)
{
    struct made made;

    make(&made, "");
    CHECK(made.batch.used == 2, "%zu servers", made.batch.used);
    CHECK(made.servers[0].shard == 3 && made.servers[1].shard == 1, "by their first keys");
    CHECK(made.servers[0].number == 3 && made.servers[1].number == 2, "how many keys");
    CHECK(made.servers[0].size == 1 + 3 + 16 + 16 + 3 + 1, "%zu bytes", made.servers[0].size);
    CHECK(made.servers[0].first == 0 && made.asked[0].next == 2 && made.asked[2].next == 4, "3");
    CHECK(made.asked[4].next == GDBX_WIRE_NONE, "the end of it");
    CHECK(made.servers[1].first == 1 && made.asked[1].next == 3, "1");
    CHECK(made.asked[3].next == GDBX_WIRE_NONE, "the end of it");
}

/* Hold a request, written where there is as much room as is asked for, to what it has to be. */
static void check_written(struct made *made, size_t around, int is_store, const char *expected)
{
    static const struct gdbx_text gets = TEXT("gets"), set = TEXT("set ");
    struct gdbx_wire_server *server = &made->servers[0];
    size_t room = GDBX_WIRE_VERB + 2 + server->size
                  + server->number * (made->batch.prefix.size + around);
    uint8_t *out = block(room), *end;

    end = is_store ? gdbx_wire_batch_store(&made->batch, server, set, out)
                   : gdbx_wire_batch_get(&made->batch, server, gets, out);
    CHECK(server->request.data == out && out + server->request.size == end, "where it is");
    CHECK(server->request.size == strlen(expected), "%zu bytes", server->request.size);
    CHECK(memcmp(out, expected, strlen(expected)) == 0, "%.*s", (int)server->request.size, out);
    free(out);
}

static void check_requests(void)
{
    struct made made;

    make(&made, "");
    check_written(&made, 1, 0, "gets a ccc eeeeeeeeeeeeeeee\r\n");
    make(&made, "pre:");
    for (size_t i = 0; i < KEYS; i++)
        made.asked[i].value.size = 0;
    made.servers[0].size = 20;
    check_written(&made, 1, 0, "gets pre:a pre:ccc pre:eeeeeeeeeeeeeeee\r\n");
    make(&made, "p");
    made.asked[0].flags = UINT32_MAX;
    made.asked[0].expire = -(INT64_C(1) << 31);
    made.asked[2].cas = UINT64_MAX;
    made.asked[2].expire = INT64_C(0xffffffff);
    made.asked[4].flags = 10;
    made.asked[4].expire = -9;
    check_written(&made, GDBX_WIRE_AROUND, 1,
                  "set pa 4294967295 -2147483648 16\r\neeeeeeeeeeeeeeee\r\n"
                  "cas pccc 0 4294967295 3 18446744073709551615\r\nccc\r\n"
                  "set peeeeeeeeeeeeeeee 10 -9 1\r\na\r\n");
}

static int32_t named(const struct made *made, const char *name)
{
    struct gdbx_wire_record record = {.key = 2, .key_size = strlen(name)};
    uint8_t *data = block(2 + record.key_size);
    int32_t at;

    memcpy(data, "..", 2);
    memcpy(data + 2, name, record.key_size);
    at = gdbx_wire_batch_named(&made->batch, &made->servers[0], data, &record);
    free(data);
    return at;
}

static void check_names(void)
{
    struct made made;

    make(&made, "p");
    for (int32_t next = GDBX_WIRE_NONE; next < KEYS; next++) {
        if (next == 1 || next == 3) /* another server's */
            continue;
        made.servers[0].next = next;
        CHECK(named(&made, "pa") == 0 && named(&made, "pccc") == 2, "from %d on", next);
        CHECK(named(&made, "peeeeeeeeeeeeeeee") == 4, "from %d on", next);
        CHECK(named(&made, "pbb") == GDBX_WIRE_NONE, "another server's");
        CHECK(named(&made, "a") == GDBX_WIRE_NONE, "no prefix");
        CHECK(named(&made, "qa") == GDBX_WIRE_NONE, "another prefix");
        CHECK(named(&made, "pcc") == GDBX_WIRE_NONE, "the start of one");
        CHECK(named(&made, "") == GDBX_WIRE_NONE, "none");
    }
}

static void forget_values(struct made *made)
{
    for (size_t i = 0; i < KEYS; i++)
        made->asked[i].value.data = NULL;
}

/* Show the first server's reader so much of a reply, in a block of that size, and take. */
static void take(struct made *made, void (*how)(struct gdbx_wire_io *), const char *reply,
                 size_t size)
{
    struct gdbx_wire_io io = {.reader = &made->servers[0].reader, .size = size};

    io.data = block(size);
    memcpy(io.data, reply, size);
    how(&io);
    for (size_t i = 0; i < KEYS; i++) {
        struct gdbx_text *value = &made->asked[i].value;

        if (value->data == NULL)
            continue;
        CHECK(value->data >= io.data && value->data + value->size <= io.data + size, "within");
        made->asked[i].found = made;
        value->data = NULL;
    }
    free(io.data);
}

static void check_taken_values(void)
{
    static const char first[] = "VALUE pa 0 3\r\nabc\r\n";
    static const char reply[] = "VALUE pa 0 3\r\nabc\r\nVALUE peeeeeeeeeeeeeeee 4294967295 60\r\n"
                                "012345678901234567890123456789012345678901234567890123456789\r\n"
                                "END\r\n";
    struct made made;
    struct gdbx_wire_reader *reader = &made.servers[0].reader;

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

static void check_taken_lines(void)
{
    static const char reply[] = "STORED\r\nSTORED\r\nNOT_STORED\r\n";
    struct made made;
    struct gdbx_wire_server *server = &made.servers[0];

    for (size_t size = 0; size < sizeof reply; size++) {
        size_t whole = size < 16 ? size / 8 : 2;

        make(&made, "");
        server->reader.count = 3;
        forget_values(&made);
        take(&made, gdbx_wire_batch_take_stored, reply, size);
        CHECK(server->reader.position == 8 * whole && server->reader.next == whole, "%zu", size);
        CHECK(server->next == (whole == 0 ? 0 : whole == 1 ? 2 : 4), "%d", server->next);
        CHECK(!server->reader.done, "one is left");
    }
    make(&made, "");
    server->reader.count = 3;
    forget_values(&made);
    take(&made, gdbx_wire_batch_take_stored, "STORED\r\nSTORED\r\nSTORED\r\n", 24);
    CHECK(server->reader.done && server->next == GDBX_WIRE_NONE, "all three");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: %s FOLDER_OF_VECTORS", argv[0]);
    check_sorted();
    check_requests();
    check_names();
    check_taken_values();
    check_taken_lines();
    printf("%d keys on %d servers\n", KEYS, 2);
    return 0;
}
