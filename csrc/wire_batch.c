#include "wire_batch.h"

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
            server->first = server->next = (int32_t) i;
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

static uint8_t *put_key(uint8_t *out, const struct gdbx_wire_batch *batch, int32_t at) {
    if (batch->prefix.size) out = put(out, batch->prefix.data, batch->prefix.size);
    return put(out, batch->keys[at].data, batch->keys[at].size);
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
        out = put_number(out, item->flags);
        out = put_signed(out, item->expire);
        out = put_number(out, item->value.size);
        if (item->cas) out = put_number(out, item->cas);
        out = put(out, "\r\n", 2);
        out = put(out, item->value.data, item->value.size);
        out = put(out, "\r\n", 2);
    }
    return end_request(server, start, out);
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
