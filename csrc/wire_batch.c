#include "wire_batch.h"
#include "wire_impl.h"

#include <string.h>

enum { NONE = GDBX_WIRE_NONE };

int gdbx_wire_batch_sort(struct gdbx_wire_batch *batch, const uint16_t *shards, uint16_t *places,
                         size_t num_shards) {
    memset(places, 0, num_shards * sizeof *places); /* a place in servers and 1, 0 for none */
    batch->used = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct gdbx_wire_server *server;
        size_t shard = shards[i];
        if (shard >= num_shards) return 0;
        if (places[shard]) {
            server = &batch->servers[places[shard] - 1];
            batch->asked[server->last].next = (int32_t) i;
        } else {
            server = &batch->servers[batch->used];
            memset(server, 0, sizeof *server);
            server->shard = (uint32_t) shard;
            server->batch = batch;
            server->first = server->next = server->taken = (int32_t) i;
            places[shard] = (uint16_t) ++batch->used;
        }
        server->last = (int32_t) i;
        server->number++;
        server->size += batch->keys[i].size + batch->asked[i].value.size;
        batch->asked[i].next = NONE;
    }
    return 1;
}

static uint8_t *put(uint8_t *out, const void *data, size_t size) {
    memcpy(out, data, size);
    return out + size;
}

static inline uint8_t *put_key(uint8_t *out, const struct gdbx_wire_batch *batch, int32_t at) {
    const uint8_t *key = batch->keys[at].data;
    size_t size = batch->keys[at].size;
    if (batch->prefix.size) out = put(out, batch->prefix.data, batch->prefix.size);
    if (size - 8 > 8) return put(out, key, size);
    /* 8 to 16 bytes, as most are: the first eight and the last, without a call. */
    memcpy(out, key, 8);
    memcpy(out + size - 8, key + size - 8, 8);
    return out + size;
}

/* Write a space and a number. */
static uint8_t *put_number(uint8_t *out, uint64_t number) {
    uint8_t digits[20];
    size_t at = sizeof digits;
    *out++ = ' ';
    if (number < 10) {
        *out++ = (uint8_t) ('0' + number);
        return out;
    }
    do digits[--at] = (uint8_t) ('0' + number % 10);
    while (number /= 10);
    while (at < sizeof digits) *out++ = digits[at++]; /* a few, for which a call takes longer */
    return out;
}

static uint8_t *put_signed(uint8_t *out, int64_t number) {
    if (number >= 0) return put_number(out, (uint64_t) number);
    uint8_t *end = put_number(out + 1, 0 - (uint64_t) number);
    memcpy(out, " -", 2);
    return end;
}

static uint8_t *end_request(struct gdbx_wire_server *server, const uint8_t *start, uint8_t *end) {
    server->request.data = start;
    server->request.size = (size_t) (end - start);
    return end;
}

uint8_t *gdbx_wire_batch_get(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                             struct gdbx_text verb, uint8_t *out) {
    const uint8_t *start = out;
    out = put(out, verb.data, verb.size);
    for (int32_t at = server->first; at != NONE; at = batch->asked[at].next) {
        *out++ = ' ';
        out = put_key(out, batch, at);
    }
    return end_request(server, start, put(out, "\r\n", 2));
}

uint8_t *gdbx_wire_batch_store(const struct gdbx_wire_batch *batch, struct gdbx_wire_server *server,
                               struct gdbx_text verb, uint8_t *out) {
    const uint8_t *start = out;
    uint8_t padded[GDBX_WIRE_VERB] = {0};
    memcpy(padded, verb.data, verb.size);
    for (int32_t at = server->first; at != NONE; at = batch->asked[at].next) {
        const struct gdbx_wire_asked *item = &batch->asked[at];
        if (item->cas) {
            out = put(out, "cas ", 4);
        } else {
            memcpy(out, padded, sizeof padded); /* of a size that the compiler knows */
            out += verb.size;
        }
        out = put_key(out, batch, at);
        if (item->flags == 0 && item->expire == 0) {
            out = put(out, " 0 0", 4);
        } else {
            out = put_number(out, item->flags);
            out = put_signed(out, item->expire);
        }
        out = put_number(out, item->value.size);
        if (item->cas) out = put_number(out, item->cas);
        out = put(out, "\r\n", 2);
        out = put(out, item->value.data, item->value.size);
        out = put(out, "\r\n", 2);
    }
    return end_request(server, start, out);
}

/* The most bytes behind the key of a VALUE line: three numbers, none with more digits than
 * gdbx_wire_few_digits() reads, with a byte before and behind each, and the last of the line. */
enum { NUMBERS = 3 * 19 + 2 };

/* Read what is behind the key of a VALUE line; returns where the value starts, 0 if unusual. */
static size_t numbers(const uint8_t *data, size_t at, int bare, struct gdbx_wire_asked *key,
                      size_t *length) {
    uint64_t number;
    uint8_t next;
    if (data[at] == '0' && data[at + 1] == ' ') {
        key->flags = 0;
        at += 2;
    } else {
        if (gdbx_wire_few_digits(data, &at, &number) != ' ' || number > UINT32_MAX) return 0;
        key->flags = (uint32_t) number;
    }
    next = gdbx_wire_few_digits(data, &at, &number);
    *length = (size_t) number;
    if (number > GDBX_WIRE_MAX_VALUE) return 0;
    if (!bare) next = next == ' ' ? gdbx_wire_few_digits(data, &at, &key->cas) : 0;
    return next == '\r' && data[at] == '\n' ? at + 1 : 0;
}

void gdbx_wire_batch_take_values(struct gdbx_wire_io *io) {
    struct gdbx_wire_reader *reader = io->reader;
    struct gdbx_wire_server *server = (struct gdbx_wire_server *) reader;
    const struct gdbx_wire_batch *batch = server->batch;
    const uint8_t *data = io->data;
    size_t at = reader->position, size = io->size, before = 6 + batch->prefix.size;
    int bare = (reader->options & GDBX_WIRE_BARE) != 0;
    if (reader->done || size < reader->needed) return;
    for (int32_t i = server->next; i != NONE; i = batch->asked[i].next) {
        struct gdbx_wire_asked *key = &batch->asked[i];
        size_t name = batch->keys[i].size, start, length;
        if (size - at < before + name + 1 + NUMBERS || memcmp(data + at, "VALUE ", 6) != 0) break;
        if (before > 6 && memcmp(data + at + 6, batch->prefix.data, before - 6) != 0) break;
        /* Another key's: this one is not there. */
        if (data[at + before + name] != ' '
            || !gdbx_wire_same(data + at + before, batch->keys[i].data, name))
            continue;
        if (key->found) break; /* a key that was answered before */
        start = numbers(data, at + before + name + 1, bare, key, &length);
        if (!start || start + length + 2 > size || memcmp(data + start + length, "\r\n", 2) != 0)
            break;
        key->value.data = data + start;
        key->value.size = length;
        at = start + length + 2;
        reader->next++;
        server->next = key->next;
    }
    if (size - at >= 5 && memcmp(data + at, "END\r\n", 5) == 0) {
        at += 5;
        reader->done = 1;
    }
    reader->position = at;
}

void gdbx_wire_batch_take_stored(struct gdbx_wire_io *io) {
    struct gdbx_wire_reader *reader = io->reader;
    struct gdbx_wire_server *server = (struct gdbx_wire_server *) reader;
    size_t at = reader->position;
    int32_t key = server->next;
    if (reader->done) return;
    while (key != NONE && io->size - at >= 8 && memcmp(io->data + at, "STORED\r\n", 8) == 0) {
        at += 8;
        reader->next++;
        key = server->batch->asked[key].next;
    }
    server->next = key;
    reader->position = at;
    reader->done = reader->next == reader->count;
}

static int is_named(const struct gdbx_wire_batch *batch, int32_t at, const uint8_t *name,
                    size_t size) {
    size_t before = batch->prefix.size;
    const struct gdbx_text *key = &batch->keys[at];
    return size == before + key->size && memcmp(name + before, key->data, key->size) == 0
           && (before == 0 || memcmp(name, batch->prefix.data, before) == 0);
}

int32_t gdbx_wire_batch_named(const struct gdbx_wire_batch *batch,
                              const struct gdbx_wire_server *server, const uint8_t *data,
                              const struct gdbx_wire_record *record) {
    const uint8_t *name = data + record->key;
    int32_t at = server->next;
    while (at != NONE && !is_named(batch, at, name, record->key_size)) at = batch->asked[at].next;
    if (at != NONE) return at;
    /* No server of ours answers in another order, but one might. */
    at = server->first;
    while (at != server->next && !is_named(batch, at, name, record->key_size))
        at = batch->asked[at].next;
    return at == server->next ? NONE : at;
}
